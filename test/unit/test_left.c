// SPDX-License-Identifier: GPL-2.0-only
/* What a criu leaves that is killed while kvm_run is swapped, at each moment of it, and that it is put back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "state/kvm_run.h"
#include "state/left.h"
#include "testlog.h"

static const struct fake_shape shape = { .nr_vcpus = 4, .nr_irqs = 64 };

/* A remote whose owner is killed: after @moments it does nothing any more. What the task runs it runs to its end. */
struct dying {
	struct remote remote;
	struct fake_kvm *kvm;
	size_t moments, used;
};

static bool is_dead(struct remote *remote)
{
	struct dying *dying = (struct dying *)remote;

	return dying->used++ >= dying->moments;
}

static struct remote *fake_of(struct remote *remote)
{
	return &((struct dying *)remote)->kvm->remote;
}

static int dying_exec(struct remote *remote, struct remote_call *calls, size_t nr)
{
	return is_dead(remote) ? -ESRCH : fake_of(remote)->ops->exec(fake_of(remote), calls, nr);
}

static int dying_read(struct remote *remote, uint64_t addr, void *buf, size_t size)
{
	return is_dead(remote) ? -ESRCH : fake_of(remote)->ops->read(fake_of(remote), addr, buf, size);
}

static int dying_write(struct remote *remote, uint64_t addr, const void *buf, size_t size)
{
	return is_dead(remote) ? -ESRCH : fake_of(remote)->ops->write(fake_of(remote), addr, buf, size);
}

static const struct remote_ops dying_ops = { .exec = dying_exec, .read = dying_read, .write = dying_write };

struct life {
	struct fake_kvm *kvm, *twin; /* the twin is left alone, but for what its VMM does */
	struct vm_state *vm;
	struct dying dying;
};

/* With a second mapping of vCPU 0's page, and nothing where records are: of that some moments leave nothing. */
static struct fake_kvm *running(void)
{
	struct fake_kvm *kvm = fake_running(shape);

	for (size_t i = 0; i < kvm->nr_vcpus; i++)
		memset(kvm->vcpus[i].run + left_record_at(FAKE_PAGE), 0, sizeof(struct left_record));
	fake_map_add(kvm, 0xffff90000000, FAKE_PAGE, PROT_READ | PROT_WRITE, 0, 0);
	return kvm;
}

static struct life begin(size_t moments)
{
	struct life life = { .kvm = running(), .twin = running() };

	life.vm = fake_dump(life.kvm);
	life.dying = (struct dying){ .remote = { .ops = &dying_ops, .room = life.kvm->remote.room,
						.vpid = life.kvm->remote.vpid },
				    .kvm = life.kvm,
				    .moments = moments };
	log_reset();
	return life;
}

static void end(struct life *life)
{
	vm_state_free(life->vm);
	fake_free(life->kvm);
	fake_free(life->twin);
}

/* By its own way back the task loses what was mapped for a moment. */
static void lose_room(struct fake_kvm *kvm)
{
	kvm->remote.ops->exec(&kvm->remote,
			      &(struct remote_call){
				      .nr = SYS_mmap,
				      .arg = { FAKE_ROOM, FAKE_ROOM_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED } },
			      1);
}

/* Where the VMM sees @vcpu's page, in one of its mappings. */
static uint8_t *seen(struct fake_kvm *kvm, const struct fake_kvm *twin, int vcpu, bool last)
{
	const struct fake_map *of = NULL;

	for (size_t m = 0; m < twin->nr_maps; m++)
		if (twin->maps[m].vcpu == vcpu && !twin->maps[m].offset && (!of || last))
			of = &twin->maps[m];
	assert_non_null(of);
	return fake_map_byte(kvm, fake_map_at(kvm, of->start, 1), of->start);
}

/* Both VMMs answer the read that vCPU 0 has left for, and try to go on; no vCPU of the one that was dumped does. */
static void answer(struct life *life)
{
	const struct fake_kvm *twin = life->twin;

	((struct kvm_run *)seen(life->kvm, twin, 0, true))->mmio.data[3] = 0x5a;
	((struct kvm_run *)seen(life->twin, twin, 0, true))->mmio.data[3] = 0x5a;
}

static enum left_place look(const struct left_view *view, const struct vcpu_state *vcpu, const struct vcpu_map *map)
{
	const struct {
		struct left_view view;
		struct fake_kvm *kvm;
	} *fake = (const void *)view;
	const struct fake_map *found = fake_map_at(fake->kvm, map->start, map->size);

	if (!found || found->prot != (int)map->prot)
		return LEFT_OTHER;
	return found->vcpu < 0 ? LEFT_COPY : found->vcpu == (int)vcpu->idx ? LEFT_PAGE : LEFT_OTHER;
}

static struct vm_state *vcpus_of(const struct fake_kvm *kvm)
{
	struct vm_state *vm = fake_discovered(kvm);

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		vm->vcpus[i].nr_maps = 0; /* nobody knows them */
		vm->vcpus[i].run_size = 2 * vm->page_size;
	}
	return vm;
}

/* 0, with *@nr put back, or a negative errno. */
static int recover_by(struct fake_kvm *kvm, struct remote *remote, size_t *nr)
{
	struct {
		struct left_view view;
		struct fake_kvm *kvm;
	} view = { { look }, kvm };
	struct vm_state *vm = vcpus_of(kvm);
	int ret = left_put_back(vm, remote, &view.view, nr);

	vm_state_free(vm);
	return ret;
}

static int recover(struct fake_kvm *kvm, size_t *nr)
{
	return recover_by(kvm, &kvm->remote, nr);
}

static void assert_same(const struct life *life, const char *when, size_t moment)
{
	const char *diff = fake_diff(life->twin, life->kvm);

	if (diff)
		fail_msg("criu killed %s, at moment %zu: the VM differs in: %s", when, moment, diff);
}

static bool is_held(const struct fake_kvm *kvm, size_t vcpu)
{
	return !memcmp(((const struct kvm_run *)kvm->vcpus[vcpu].run)->padding1, "kvmvgi", 6);
}

static size_t moments_of(int (*run)(struct vm_state *vm, struct remote *remote), bool swapped)
{
	struct life life = begin(-1);
	size_t n;

	if (swapped)
		assert_int_equal(kvm_run_swap_out(life.vm, &life.kvm->remote), 0);
	assert_int_equal(run(life.vm, &life.dying.remote), 0);
	n = life.dying.used;
	end(&life);
	return n;
}

/* criu is killed in @run, at each moment of it; the VMM answers an exit; the VM is put back. */
static void kill_at_each_moment(int (*run)(struct vm_state *vm, struct remote *remote), bool swapped, const char *when)
{
	size_t moments = moments_of(run, swapped), put_back = 0;

	for (size_t moment = 0; moment <= moments; moment++) {
		struct life life = begin(moment);
		size_t held = 0, nr;

		if (swapped)
			assert_int_equal(kvm_run_swap_out(life.vm, &life.kvm->remote), 0);
		run(life.vm, &life.dying.remote);
		lose_room(life.kvm);
		for (size_t i = 0; i < life.kvm->nr_vcpus; i++)
			held += is_held(life.kvm, i);
		answer(&life);
		log_reset();
		assert_int_equal(recover(life.kvm, &nr), 0);
		assert_int_equal(nr, held);
		assert_int_equal(log_errors(), 0);
		assert_same(&life, when, moment);
		assert_int_equal(recover(life.kvm, &nr), 0);
		assert_int_equal(nr, 0);
		put_back += held;
		end(&life);
	}
	assert_true(put_back > moments); /* the loop has seen what it is for */
}

/*
 * The batch itself ends at call @n, as where a seccomp filter holds again that does not know it. false: it has no call @n. But for
 * mremap() behind another: of a page that has a copy in one of two places nobody knows which is newer.
 */
static bool cut_short(int (*run)(struct vm_state *vm, struct remote *remote), bool swapped, const char *when, size_t n)
{
	struct life life = begin(1);
	size_t nr;
	bool cut;

	if (swapped)
		assert_int_equal(kvm_run_swap_out(life.vm, &life.kvm->remote), 0);
	fake_forget(life.kvm);
	life.kvm->fail_call = n;
	life.kvm->fail_errno = EXDEV;
	cut = run(life.vm, &life.dying.remote);
	life.kvm->fail_call = 0;
	if (cut && fake_is_like(life.kvm->lines[life.kvm->failed_line], "task: mremap*") && fake_count(life.kvm, "task: mremap*") > 1) {
		end(&life);
		return true;
	}
	lose_room(life.kvm);
	answer(&life);
	log_reset();
	assert_int_equal(recover(life.kvm, &nr), 0);
	assert_int_equal(log_errors(), 0);
	assert_same(&life, when, n);
	end(&life);
	return cut;
}

static void cut_short_at_each_call(int (*run)(struct vm_state *vm, struct remote *remote), bool swapped, const char *when)
{
	size_t n = 1;

	while (cut_short(run, swapped, when, n))
		n++;
	assert_true(n > 4 * shape.nr_vcpus); /* the loop has seen what it is for: three calls for each page and more */
}

static void a_vm_left_in_a_swap_that_was_cut_short_goes_on(void **state)
{
	cut_short_at_each_call(kvm_run_swap_out, false, "and its swap out");
}

static void a_vm_left_in_a_swap_back_that_was_cut_short_goes_on(void **state)
{
	cut_short_at_each_call(kvm_run_swap_in, true, "and its swap in");
}

static void a_vm_left_in_the_swap_goes_on(void **state)
{
	kill_at_each_moment(kvm_run_swap_out, false, "while it swapped out");
}

static void a_vm_left_in_the_swap_back_goes_on(void **state)
{
	kill_at_each_moment(kvm_run_swap_in, true, "while it swapped in");
}

/* As where something fails when all of it is put back at once. */
static int swap_in_by_steps(struct vm_state *vm, struct remote *remote)
{
	struct fake_kvm *kvm = ((struct dying *)remote)->kvm;
	int ret;

	kvm->fail_like = "vcpu 2: write page*";
	kvm->fail_times = 1;
	kvm->fail_errno = EXDEV;
	ret = kvm_run_swap_in(vm, remote);
	kvm->fail_times = 0;
	return ret;
}

static void a_vm_left_in_the_swap_back_by_steps_goes_on(void **state)
{
	kill_at_each_moment(swap_in_by_steps, true, "while it swapped in by steps");
}

/* The command itself is killed: the next one finishes it. */
static void what_was_put_back_in_part_is_finished(void **state)
{
	size_t moment = 0, used = 0;

	for (; moment <= used; moment++) {
		struct life life = begin(-1);
		size_t nr;

		assert_int_equal(kvm_run_swap_out(life.vm, &life.kvm->remote), 0);
		answer(&life);
		life.dying.moments = moment;
		recover_by(life.kvm, &life.dying.remote, &nr);
		used = life.dying.used;
		lose_room(life.kvm);
		assert_int_equal(recover(life.kvm, &nr), 0);
		assert_same(&life, "while it put back", moment);
		end(&life);
	}
	assert_true(moment > 4 * shape.nr_vcpus); /* the loop has seen what it is for: each page is mapped, read and written, twice */
}

/* Each of two mappings of a page has become a copy of its own. */
static void what_was_written_by_either_mapping_is_kept(void **state)
{
	struct life life = begin(-1);
	size_t nr;

	assert_true(life.vm->vcpus[0].nr_maps > 1);
	assert_int_equal(kvm_run_swap_out(life.vm, &life.kvm->remote), 0);
	seen(life.kvm, life.twin, 0, false)[0x40] = 1;
	seen(life.kvm, life.twin, 0, true)[0x41] = 2;
	seen(life.twin, life.twin, 0, false)[0x40] = 1;
	seen(life.twin, life.twin, 0, true)[0x41] = 2;
	assert_int_equal(recover(life.kvm, &nr), 0);
	assert_same(&life, "with all swapped", 0);
	end(&life);
}

/* What it had behind struct kvm_run, where the record stood, and immediate_exit, which the VMM has set since. */
static void what_is_behind_kvm_run_is_in_the_copy(void **state)
{
	struct life life = begin(-1);
	const size_t at = FAKE_PAGE - 4;
	size_t nr;

	life.kvm->vcpus[1].run[at] = life.twin->vcpus[1].run[at] = 0x77;
	vm_state_free(life.vm);
	life.vm = fake_dump(life.kvm);
	assert_int_equal(kvm_run_swap_out(life.vm, &life.kvm->remote), 0);
	((struct kvm_run *)seen(life.kvm, life.twin, 1, true))->immediate_exit = 1;
	((struct kvm_run *)seen(life.twin, life.twin, 1, true))->immediate_exit = 1;
	assert_int_equal(recover(life.kvm, &nr), 0);
	assert_same(&life, "with all swapped", 0);
	assert_int_equal(life.kvm->vcpus[1].run[at], 0x77);
	end(&life);
}

static void assert_refused(struct life *life, const char *says)
{
	size_t nr;

	log_reset();
	fake_forget(life->kvm);
	assert_int_equal(recover(life->kvm, &nr), -EBUSY);
	assert_int_equal(log_errors(), 1);
	if (!strstr(log_error(), says))
		fail_msg("%s", log_error());
	assert_int_equal(fake_count(life->kvm, "*write*"), 0);
	assert_int_equal(fake_count(life->kvm, "*mmap * fixed *"), 0);
}

static struct left_record *record_in(struct fake_kvm *kvm, size_t vcpu)
{
	return (struct left_record *)(kvm->vcpus[vcpu].run + left_record_at(FAKE_PAGE));
}

/* The record is in the VMM's own memory. */
static void a_record_that_lies_is_refused(void **state)
{
	static const struct left_record lies[] = {
		{ .magic = LEFT_MAGIC + 1 },
		{ .magic = LEFT_MAGIC, .nr_maps = VCPU_MAX_MAPS + 1 },
		{ .magic = LEFT_MAGIC, .nr_maps = 1, .maps = { { .start = 0x1000, .size = 3 * FAKE_PAGE } } },
		{ .magic = LEFT_MAGIC, .nr_maps = 1, .maps = { { .start = 0x1000, .size = FAKE_PAGE, .offset = 2 * FAKE_PAGE } } },
		{ .magic = LEFT_MAGIC, .nr_maps = 1, .maps = { { .start = 0x1001, .size = FAKE_PAGE } } },
		{ .magic = LEFT_MAGIC, .nr_maps = 1, .maps = { { .start = -(uint64_t)FAKE_PAGE, .size = 2 * FAKE_PAGE } } },
		{ .magic = LEFT_MAGIC, .nr_maps = 1, .maps = { { .start = 0x1000 } } },
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct life life = begin(-1);

		assert_int_equal(kvm_run_swap_out(life.vm, &life.kvm->remote), 0);
		*record_in(life.kvm, 2) = lies[i];
		assert_refused(&life, "left by a restore that did not come to its end");
		end(&life);
	}
}

static void what_stands_elsewhere_is_refused(void **state)
{
	struct life life = begin(-1);

	assert_int_equal(kvm_run_swap_out(life.vm, &life.kvm->remote), 0);
	record_in(life.kvm, 2)->maps[0].start = 0x123000;
	assert_refused(&life, "neither its page nor a copy of it is where the dump found it mapped");
	end(&life);
}

static void what_a_restore_left_is_refused(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct vm_state *vm = fake_dump(source);
	struct life life = { .kvm = fake_created(source, vm), .twin = source, .vm = vm };

	assert_int_equal(plan_run(plan_restore, plan_nr_restore - 2, vm, &life.kvm->remote), 0);
	assert_refused(&life, "left by a restore that did not come to its end");
	end(&life);
}

/* What is asked before anything is done in the process. */
static void whose_page_it_is_is_known_from_the_page_alone(void **state)
{
	struct life life = begin(-1);
	struct vcpu_state vcpu = { .id = 2, .fd = 7, .run = life.kvm->vcpus[2].run };

	assert_int_equal(left_check(life.vm, &vcpu), 0);
	assert_int_equal(kvm_run_swap_out(life.vm, &life.kvm->remote), 0);
	fake_forget(life.kvm);
	log_reset();
	assert_int_equal(left_check(life.vm, &vcpu), 0);
	record_in(life.kvm, 2)->magic = 0;
	assert_int_equal(left_check(life.vm, &vcpu), -EBUSY);
	assert_int_equal(log_errors(), 1);
	assert_string_equal(log_error(), "vcpu 2 (fd 7): left by a restore that did not come to its end: end the process, and restore again");
	assert_int_equal(fake_count(life.kvm, "*"), 0);
	end(&life);
}

/* One vCPU's page alone, somewhere among the others. */
static void those_that_run_are_left_alone(void **state)
{
	struct life life = begin(-1);
	struct vcpu_state *vcpus = life.vm->vcpus;
	size_t nr;

	life.vm->vcpus = &vcpus[2];
	life.vm->nr_vcpus = 1;
	assert_int_equal(kvm_run_swap_out(life.vm, &life.kvm->remote), 0);
	life.vm->vcpus = vcpus;
	life.vm->nr_vcpus = 4;
	fake_forget(life.kvm);
	assert_int_equal(recover(life.kvm, &nr), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(fake_count(life.kvm, "vcpu [013]: write page*"), 0);
	assert_same(&life, "with one swapped", 0);
	end(&life);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vm_left_in_a_swap_that_was_cut_short_goes_on),
		cmocka_unit_test(a_vm_left_in_a_swap_back_that_was_cut_short_goes_on),
		cmocka_unit_test(a_vm_left_in_the_swap_goes_on),
		cmocka_unit_test(a_vm_left_in_the_swap_back_goes_on),
		cmocka_unit_test(a_vm_left_in_the_swap_back_by_steps_goes_on),
		cmocka_unit_test(what_was_put_back_in_part_is_finished),
		cmocka_unit_test(what_was_written_by_either_mapping_is_kept),
		cmocka_unit_test(what_is_behind_kvm_run_is_in_the_copy),
		cmocka_unit_test(a_record_that_lies_is_refused),
		cmocka_unit_test(what_stands_elsewhere_is_refused),
		cmocka_unit_test(what_a_restore_left_is_refused),
		cmocka_unit_test(whose_page_it_is_is_known_from_the_page_alone),
		cmocka_unit_test(those_that_run_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
