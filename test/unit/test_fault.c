// SPDX-License-Identifier: GPL-2.0-only
/* Faults on request: points are numbered as they are passed, and each of them fails once. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fault.h"
#include "fixture.h"
#include "testlog.h"
#include "trip.h"

static const struct fake_shape small = { .nr_vcpus = 2, .nr_irqs = 64 };
static const struct fake_shape with_itses = { .nr_vcpus = 2, .nr_irqs = 64, .itses = true };

static int set_up(void **state)
{
	setenv("KVM_VGIC_TESTING", "1", 1);
	log_reset();
	fault_init();
	return 0;
}

static int tear_down(void **state)
{
	unsetenv("KVM_VGIC_FAULT");
	unsetenv("KVM_VGIC_FAULT_SIGNAL");
	unsetenv("KVM_VGIC_FAULT_LIST");
	unsetenv("KVM_VGIC_SKIP");
	return 0;
}

/* From here on point @nr is the one that fails; 0: none. */
static void choose(unsigned int nr)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nr);
	setenv("KVM_VGIC_FAULT", text, 1);
	fault_init();
	log_reset();
}

static void a_point_is_told_by_its_place_among_all(void **state)
{
	choose(2);
	assert_int_equal(fault_point(FAULT_IMAGE, "read", "a"), 0);
	assert_int_equal(fault_point(FAULT_REMOTE, "read", "a"), -EIO);
	assert_true(log_has("fault injected: point 2, remote read: a\n"));
	assert_int_equal(fault_point(FAULT_IMAGE, "read", "a"), 0);
}

static void a_step_is_told_by_its_name_too(void **state)
{
	setenv("KVM_VGIC_FAULT", "swapped", 1);
	assert_int_equal(fault_injected("create"), 0);
	assert_int_equal(fault_injected("swapped"), -EIO);
	assert_true(log_has("fault injected: swapped\n"));
	setenv("KVM_VGIC_FAULT", "vm 2 create", 1);
	assert_int_equal(fault_injected_of(1, "create"), 0);
	assert_int_equal(fault_injected_of(2, "create"), -EIO);
}

/* A dump by a user who has such a variable for something else. */
static void without_leave_nothing_fails(void **state)
{
	choose(1);
	setenv("KVM_VGIC_SKIP", "swapped", 1);
	setenv("KVM_VGIC_LATE", "swapped", 1);
	setenv("KVM_VGIC_TESTING", "0", 1);
	assert_int_equal(fault_injected("swapped"), 0);
	unsetenv("KVM_VGIC_TESTING");
	fault_init();
	assert_int_equal(fault_injected("swapped"), 0);
	assert_false(fault_leaves_out("swapped"));
	assert_false(fault_moves("swapped"));
	unsetenv("KVM_VGIC_LATE");
}

static void points_that_are_passed_are_listed(void **state)
{
	char path[] = "/tmp/kvm-vgic-points.XXXXXX", text[128] = "";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	setenv("KVM_VGIC_FAULT_LIST", path, 1);
	assert_int_equal(fault_point(FAULT_MEMORY, "grow", "frame.c"), 0);
	assert_int_equal(fault_injected("swapped"), 0);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "1\tmemory\tgrow\tframe.c\n2\tstep\tstep\tswapped\n");
	close(fd);
	unlink(path);
}

/* Three registers of a vCPU; the second is at point 2, for none of the calls that are added is as large as to fail. */
static int read_three(struct fake_kvm *kvm, uint64_t value[3], struct batch *b)
{
	batch_get_reg(b, FAKE_VCPU_FD, ARM64_CORE_PC, &value[0]);
	batch_get_reg(b, FAKE_VCPU_FD, ARM64_CORE_PSTATE, &value[1]);
	batch_get_reg(b, FAKE_VCPU_FD, ARM64_CORE_PC, &value[2]);
	choose(2);
	return batch_run(b);
}

static void calls_before_the_one_that_fails_are_made(void **state)
{
	struct fake_kvm *kvm = fake_running(small);
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value[3] = { 0 };

	assert_int_equal(read_three(kvm, value, &b), -EIO);
	assert_int_equal(kvm->nr_calls, 1);
	assert_true(value[0] == kvm->vcpus[0].insn.pc);
	assert_true(value[1] == 0 && value[2] == 0);
	assert_string_equal(log_error(), "vm 3: test: KVM_GET_ONE_REG (0x6030000000100042): Input/output error (errno 5)");
	batch_fini(&b);
	fake_free(kvm);
}

static int told;

static void tell(int sig)
{
	told = sig;
}

static void a_signal_that_criu_survives_lets_all_calls_be_made(void **state)
{
	struct fake_kvm *kvm = fake_running(small);
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value[3] = { 0 };

	signal(SIGUSR1, tell);
	setenv("KVM_VGIC_FAULT_SIGNAL", "10", 1);
	assert_int_equal(read_three(kvm, value, &b), 0);
	assert_int_equal(told, SIGUSR1);
	assert_int_equal(kvm->nr_calls, 3);
	assert_true(value[0] == kvm->vcpus[0].insn.pc && value[2] == value[0]);
	batch_fini(&b);
	fake_free(kvm);
}

/* As read_three(), in one run behind one call; point @nr. */
static int read_run(struct fake_kvm *kvm, uint64_t value[4], struct batch *b, unsigned int nr)
{
	static const uint64_t ids[] = { ARM64_CORE_PSTATE, ARM64_CORE_PC, FAKE_X0 };
	struct remote_call *run;

	batch_get_reg(b, FAKE_VCPU_FD, ARM64_CORE_PC, &value[0]);
	run = batch_get_reg(b, FAKE_VCPU_FD, ids[0], &value[1]);
	run->more = 2;
	run->stride = sizeof(*ids);
	run->numbers = ids;
	choose(nr);
	return batch_run(b);
}

static void each_call_of_a_run_is_a_point(void **state)
{
	static const char *const ids[] = { NULL, "0x603000000010004", "0x6030000000100042", "0x6030000000100040",
					   "0x6030000000100000" };

	for (unsigned int nr = 1; nr <= 4; nr++) {
		struct fake_kvm *kvm = fake_running(small);
		struct batch b = BATCH(&kvm->remote, 3, "test");
		uint64_t value[4] = { 0 };

		fake_set_reg_u64(&kvm->vcpus[0], FAKE_X0, 5);
		assert_int_equal(read_run(kvm, value, &b, nr), -EIO);
		assert_int_equal(kvm->nr_calls, nr - 1);
		assert_non_null(strstr(log_error(), ids[nr]));
		for (unsigned int i = 0; i < 4; i++)
			assert_true(!value[i] == (i >= nr - 1));
		assert_int_equal(b.calls[1].done, nr > 1);
		batch_fini(&b);
		fake_free(kvm);
	}
}

static void a_signal_in_a_run_lets_all_calls_be_made_once(void **state)
{
	signal(SIGUSR1, tell);
	setenv("KVM_VGIC_FAULT_SIGNAL", "10", 1);
	for (unsigned int nr = 1; nr <= 4; nr++) {
		struct fake_kvm *kvm = fake_running(small);
		struct batch b = BATCH(&kvm->remote, 3, "test");
		uint64_t value[4] = { 0 };

		told = 0;
		fake_set_reg_u64(&kvm->vcpus[0], FAKE_X0, 5);
		assert_int_equal(read_run(kvm, value, &b, nr), 0);
		assert_int_equal(told, SIGUSR1);
		assert_int_equal(kvm->nr_calls, 4);
		assert_true(value[0] == kvm->vcpus[0].insn.pc && value[2] == value[0]);
		assert_true(value[1] == fake_reg_u64(&kvm->vcpus[0], ARM64_CORE_PSTATE) && value[3] == 5);
		batch_fini(&b);
		fake_free(kvm);
	}
}

/* @attempt fails with an error at each point that it passes; how many there were. */
static unsigned int sweep(int (*attempt)(void *arg), void *arg)
{
	unsigned int n;
	char said[32];
	int ret;

	for (n = 1;; n++) {
		choose(n);
		ret = attempt(arg);
		snprintf(said, sizeof(said), "fault injected: point %u,", n);
		if (!log_has(said))
			break;
		/* A close is tried again, so that no fd stays in the VMM. */
		if (!ret && log_has(": close\n") && !log_errors())
			continue;
		if (ret != -EIO && ret != -ENOMEM)
			fail_msg("point %u: %d", n, ret);
		if (!log_errors())
			fail_msg("point %u: no error says so", n);
	}
	assert_int_equal(ret, 0);
	assert_int_equal(log_errors(), 0);
	return n - 1;
}

/* What comes before is no part of the attempt. */
static void testing(bool on)
{
	setenv("KVM_VGIC_TESTING", on ? "1" : "0", 1);
	fault_init();
}

static int dump_fake(void *arg)
{
	const struct fake_shape *shape = arg;
	struct fake_kvm *kvm;
	struct vm_state *vm;
	int ret;

	testing(false);
	kvm = fake_running(*shape);
	vm = fake_discovered(kvm);
	testing(true);
	ret = plan_run(plan_dump, plan_nr_dump, vm, &kvm->remote);
	vm_state_free(vm);
	fake_free(kvm);
	return ret;
}

static int restore_fake(void *arg)
{
	const struct fake_shape *shape = arg;
	struct trip trip;
	int ret;

	testing(false);
	trip = trip_dump(fake_running(*shape));
	testing(true);
	ret = trip_restore(&trip);
	trip_finish(&trip);
	return ret;
}

static void a_dump_fails_at_each_point(void **state)
{
	const unsigned int nr = sweep(dump_fake, *state);

	assert_true(nr > plan_nr_dump);
}

static void a_restore_fails_at_each_point(void **state)
{
	const unsigned int nr = sweep(restore_fake, *state);

	assert_true(nr > plan_nr_restore);
}

/* Images */

struct images {
	struct vm_state *vm;
	int dir;
};

static int write_images(void *arg)
{
	struct images *images = arg;

	return fixture_write(images->dir, &fixture_dump, &images->vm, 1);
}

static int read_images(void *arg)
{
	struct images *images = arg;
	struct image_files files;
	struct vm_state **vms;
	size_t n;
	int ret = image_read_all(images->dir, &vms, &n, &files);

	if (!ret)
		image_free_all(vms, n, &files);
	/* An allocation that fails in protobuf-c is a file that does not decode. */
	return ret == -EINVAL && log_has("does not decode") ? -ENOMEM : ret;
}

static void nothing_half_written_is_left(int dir)
{
	DIR *list = fdopendir(dup(dir));
	struct dirent *de;

	rewinddir(list);
	while ((de = readdir(list)))
		if (strstr(de->d_name, ".tmp"))
			fail_msg("%s is left", de->d_name);
	closedir(list);
}

static void images_fail_at_each_point(void **state)
{
	struct images images = { .vm = fixture_vm(2, 64), .dir = fixture_dir() };

	assert_true(sweep(write_images, &images) > 6 * 3);
	nothing_half_written_is_left(images.dir);
	assert_true(sweep(read_images, &images) > 6 * 2);
	vm_state_free(images.vm);
	fixture_close(images.dir);
}

/* What the end-to-end tests must find */

static void restored_without(const char *what, const char *differs)
{
	struct trip trip = trip_dump(fake_running(small));
	const char *diff;

	setenv("KVM_VGIC_SKIP", what, 1);
	assert_int_equal(trip_restore(&trip), 0);
	diff = fake_diff(trip.source, trip.copy);
	assert_non_null(diff);
	assert_string_equal(diff, differs);
	trip_finish(&trip);
}

static void one_pending_bit_can_be_lost(void **state)
{
	restored_without("one pending bit", "pending of interrupt 33");
}

static void one_replay_can_be_left_out(void **state)
{
	restored_without("one replay", "vCPU 0: mmio_needed");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define SWEEP(name, shape) { #name ", " #shape, name, set_up, tear_down, (void *)&shape }

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_point_is_told_by_its_place_among_all),
		TEST(a_step_is_told_by_its_name_too),
		TEST(without_leave_nothing_fails),
		TEST(points_that_are_passed_are_listed),
		TEST(calls_before_the_one_that_fails_are_made),
		TEST(a_signal_that_criu_survives_lets_all_calls_be_made),
		TEST(each_call_of_a_run_is_a_point),
		TEST(a_signal_in_a_run_lets_all_calls_be_made_once),
		SWEEP(a_dump_fails_at_each_point, small),
		SWEEP(a_dump_fails_at_each_point, with_itses),
		SWEEP(a_restore_fails_at_each_point, small),
		SWEEP(a_restore_fails_at_each_point, with_itses),
		TEST(images_fail_at_each_point),
		TEST(one_pending_bit_can_be_lost),
		TEST(one_replay_can_be_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
