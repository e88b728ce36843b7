// SPDX-License-Identifier: GPL-2.0-only
/* What a dump reads and a restore writes: one VM in, the same VM out. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "fixture.h"
#include "image/image.h"
#include "testlog.h"
#include "trip.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A dump that refuses, with one reason and then the step. */
static void assert_no_dump(struct fake_kvm *source, int err, const char *step)
{
	struct vm_state *vm = fake_discovered(source);
	char prefix[64];

	log_reset();
	assert_int_equal(plan_run(plan_dump, plan_nr_dump, vm, &source->remote), err);
	assert_int_equal(log_errors(), 2);
	assert_non_null(strstr(log_error(), step));
	snprintf(prefix, sizeof(prefix), "vm %u: step ", vm->id);
	assert_memory_equal(log_error(), prefix, strlen(prefix));
	vm_state_free(vm);
	fake_free(source);
}

/* The line that names the reason is the one before plan_run()'s: so the last of the step on its own. */
static void assert_stops_saying(struct trip *trip, const char *step, const char *reason)
{
	size_t failed;

	log_reset();
	assert_int_equal(fake_steps(plan_restore, plan_nr_restore, trip->vm, trip->copy, &failed), -EINVAL);
	assert_string_equal(plan_restore[failed].name, step);
	assert_int_equal(log_errors(), 1);
	assert_string_equal(log_error(), reason);
	assert_int_equal(fake_count(trip->copy, "*KVM_RUN*"), 0);
	trip_finish(trip);
}

/* criu may be killed anywhere, and the VMM's threads go on: to KVM_RUN. */
static void assert_no_vcpu_runs(const struct trip *trip)
{
	for (size_t i = 0; i < trip->copy->nr_vcpus; i++)
		assert_true(fake_run(trip->copy, i) < 0);
}

static void no_vcpu_runs_before_the_vm_is_whole(void **state)
{
	for (size_t n = 1; strcmp(plan_restore[n - 1].name, "kvm_run pages"); n++) {
		struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 4, .nr_irqs = 64 }));
		size_t failed;

		assert_int_equal(fake_steps(plan_restore, n, trip.vm, trip.copy, &failed), 0);
		assert_no_vcpu_runs(&trip);
		trip_finish(&trip);
	}
}

static void no_vcpu_runs_before_its_page_is_mapped(void **state)
{
	struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 4, .nr_irqs = 64 }));

	trip.copy->fail_like = "vcpu 3: mmap * fixed *";
	trip.copy->fail_times = 1;
	trip.copy->fail_errno = ENOMEM;
	assert_int_equal(trip_restore(&trip), -ENOMEM);
	assert_no_vcpu_runs(&trip);
	trip_finish(&trip);
}

/* Round trips */

static void a_vm_comes_back_whole(void **state)
{
	static const size_t nr_vcpus[] = { 1, 2, 4, 8 };

	for (size_t i = 0; i < COUNT(nr_vcpus); i++)
		for (int legacy = 0; legacy < 2; legacy++)
			trip_assert_comes_back(fake_running((struct fake_shape){
				.nr_vcpus = nr_vcpus[i], .nr_irqs = 64 + 32 * i, .legacy_redist = legacy }));
}

/* As in a task, where a round trip is dear. */
static struct trip trip_where_calls_wait(void)
{
	struct fake_kvm *source = fake_running((struct fake_shape){ .nr_vcpus = 4, .nr_irqs = 64 });
	struct trip trip;

	source->remote.can_wait = true;
	trip = trip_dump(source);
	trip.copy->remote.can_wait = true;
	return trip;
}

static void a_vm_comes_back_whole_where_calls_wait(void **state)
{
	struct trip trip = trip_where_calls_wait();

	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(log_errors(), 0);
	assert_int_equal(trip.copy->remote.queue.nr, 0);
	trip_assert_same(&trip);
	trip_finish(&trip);
}

/* The next may be one of another session. */
static void no_call_waits_when_a_part_has_ended(void **state)
{
	for (size_t n = 1; n <= plan_nr_restore; n++) {
		struct trip trip = trip_where_calls_wait();
		const struct plan_part part = { .nr = n };

		assert_int_equal(plan_run_part(plan_restore, plan_nr_restore, part, trip.vm, &trip.copy->remote), 0);
		assert_int_equal(trip.copy->remote.queue.nr, 0);
		trip_finish(&trip);
	}
}

/* The session's memory may go with it. A dump is not at its end: kvm_run is to be taken away. */
static void the_last_batch_of_a_restore_is_known_to_be_the_last(void **state)
{
	struct trip trip = trip_where_calls_wait();
	struct fake_kvm *kvm = trip.copy;

	assert_int_equal(trip.source->nr_last, 0);
	assert_int_equal(plan_run_part(plan_restore, plan_nr_restore, plan_whole, trip.vm, &kvm->remote), 0);
	assert_int_equal(kvm->nr_last, 1);
	assert_int_equal(kvm->behind_last, 0);
	trip_finish(&trip);

	trip = trip_where_calls_wait();
	kvm = trip.copy;
	assert_int_equal(plan_run_part(plan_restore, plan_nr_restore, plan_build, trip.vm, &kvm->remote), 0);
	assert_int_equal(kvm->behind_last, 0);
	kvm->nr_last = 0; /* another session */
	assert_int_equal(plan_run_part(plan_restore, plan_nr_restore, plan_start, trip.vm, &kvm->remote), 0);
	assert_int_equal(kvm->nr_last, 1);
	assert_int_equal(kvm->behind_last, 0);
	trip_finish(&trip);
}

/* Nothing but when they are made changes: not their order, and none is made twice, or not at all. */
static void calls_come_in_the_same_order_where_they_wait(void **state)
{
	static const struct fake_shape shapes[] = {
		{ .nr_vcpus = 3, .nr_irqs = 64 },
		{ .nr_vcpus = 3, .nr_irqs = 64, .itses = true },
		{ .nr_vcpus = 2, .nr_irqs = 64, .counter_offset = true },
		{ .nr_vcpus = 2, .nr_irqs = 64, .v2 = true },
		{ .nr_vcpus = 2, .nr_irqs = 32, .v5 = true, .lpi_bits = 8 },
		{ .nr_vcpus = 2, .nr_irqs = 32, .v5 = true, .abi = MODEL_V1, .lpi_bits = 8 },
	};

	for (size_t s = 0; s < COUNT(shapes); s++) {
		const struct fake_shape shape = shapes[s];
		struct fake_kvm *kvm[2][2];
		struct vm_state *vm[2];

		for (int waits = 0; waits < 2; waits++) {
			kvm[0][waits] = fake_running(shape);
			vm[waits] = fake_discovered(kvm[0][waits]);
			kvm[0][waits]->remote.can_wait = waits;
			assert_int_equal(plan_run(plan_dump, plan_nr_dump, vm[waits], &kvm[0][waits]->remote), 0);
			kvm[1][waits] = fake_created(kvm[0][waits], vm[waits]);
			kvm[1][waits]->remote.can_wait = waits;
			assert_int_equal(plan_run(plan_restore, plan_nr_restore, vm[waits], &kvm[1][waits]->remote), 0);
		}
		for (int plan = 0; plan < 2; plan++) {
			assert_int_equal(kvm[plan][0]->nr_lines, kvm[plan][1]->nr_lines);
			for (size_t i = 0; i < kvm[plan][0]->nr_lines; i++)
				assert_string_equal(kvm[plan][0]->lines[i], kvm[plan][1]->lines[i]);
			fake_free(kvm[plan][0]);
			fake_free(kvm[plan][1]);
		}
		vm_state_free(vm[0]);
		vm_state_free(vm[1]);
	}
}

static int dump_with_itses(struct fake_kvm *kvm)
{
	struct vm_state *vm = fake_discovered(kvm);
	int ret;

	kvm->remote.can_wait = true;
	ret = plan_run(plan_dump, plan_nr_dump, vm, &kvm->remote);
	assert_null(kvm->remote.beside.run);
	vm_state_free(vm);
	return ret;
}

static const struct fake_shape with_itses = { .nr_vcpus = 2, .nr_irqs = 64, .itses = true };

static void tables_are_decoded_while_registers_are_read(void **state)
{
	struct fake_kvm *kvm = fake_running(with_itses);

	assert_int_equal(dump_with_itses(kvm), 0);
	assert_int_equal(kvm->nr_beside, 1);
	fake_free(kvm);
}

/* Without their names: none is there of a VM of which not all is. */
static void images_of_the_gic_are_written_while_registers_are_read(void **state)
{
	static const struct fake_shape v2 = { .nr_vcpus = 2, .nr_irqs = 64, .v2 = true };

	for (int is_v2 = 0; is_v2 < 2; is_v2++) {
		struct fake_kvm *kvm = fake_running(is_v2 ? v2 : with_itses);
		struct vm_state *vm = fake_discovered(kvm);

		struct image_seals seals;
		struct image_target target = { fixture_dir(), &fixture_dump, &seals };

		kvm->remote.can_wait = true;
		vm->images = &target;
		assert_int_equal(plan_run(plan_dump, plan_nr_dump, vm, &kvm->remote), 0);
		assert_true(vm->early_written);
		fixture_close(target.dirfd);
		assert_int_equal(kvm->nr_beside, 1);
		vm_state_free(vm);
		fake_free(kvm);
	}
}

/* Nor beside the calls that write them, which wait until somebody reads. */
static void tables_are_decoded_behind_the_calls_that_write_them(void **state)
{
	struct fake_kvm *kvm = fake_running(with_itses);
	struct vm_state *vm = fake_discovered(kvm);

	kvm->remote.can_wait = true;
	setenv("KVM_VGIC_SKIP", "LPI pending tables saved", 1);
	assert_int_equal(plan_run(plan_dump, plan_nr_dump, vm, &kvm->remote), 0);
	unsetenv("KVM_VGIC_SKIP");
	assert_int_not_equal(vm->itses[0].tables.nr_dtes, 0);
	vm_state_free(vm);
	fake_free(kvm);
}

/* The registers have been read all the same, and are not what is to blame. */
static void a_step_beside_that_fails_fails_the_dump_by_its_name(void **state)
{
	struct fake_kvm *kvm = fake_running(with_itses);

	log_reset();
	setenv("KVM_VGIC_FAULT", "LPI tables decoded", 1);
	assert_int_equal(dump_with_itses(kvm), -EIO);
	unsetenv("KVM_VGIC_FAULT");
	assert_non_null(strstr(log_error(), ", LPI tables decoded: failed: "));
	assert_int_equal(kvm->nr_beside, 1);
	fake_free(kvm);
}

static void a_gic_that_no_restore_would_take_fails_the_dump(void **state)
{
	struct fake_kvm *kvm = fake_running(with_itses);
	struct vm_state *vm = fake_discovered(kvm);
	struct image_seals seals;
	struct image_target target = { fixture_dir(), &fixture_dump, &seals };

	log_reset();
	kvm->remote.can_wait = true;
	vm->images = &target;
	vm->ipa_bits = 0; /* no frame is within */
	assert_int_equal(plan_run(plan_dump, plan_nr_dump, vm, &kvm->remote), -EINVAL);
	assert_true(log_has(", images of the GIC and ITSes: failed: "));
	assert_false(vm->early_written);
	fixture_close(target.dirfd);
	vm_state_free(vm);
	fake_free(kvm);
}

static void the_step_that_another_is_done_beside_fails_by_its_own_name(void **state)
{
	struct fake_kvm *kvm = fake_running(with_itses);

	log_reset();
	kvm->fail_like = "vcpu 1: KVM_GET_ONE_REG 0x6030000000100040";
	kvm->fail_times = 1;
	kvm->fail_errno = ENOMEM;
	assert_int_equal(dump_with_itses(kvm), -ENOMEM);
	assert_non_null(strstr(log_error(), ", vCPU registers: failed: "));
	assert_int_equal(kvm->nr_beside, 1);
	fake_free(kvm);
}

/* Behind which others have been said to be done. */
static void a_call_that_waited_and_fails_fails_the_restore(void **state)
{
	struct trip trip = trip_where_calls_wait();

	trip.copy->fail_like = "vcpu 1: KVM_SET_MP_STATE*";
	trip.copy->fail_times = 1;
	trip.copy->fail_errno = ENOMEM;
	assert_int_equal(trip_restore(&trip), -ENOMEM);
	assert_true(log_has("vm 1: power states: vcpu 1: KVM_SET_MP_STATE"));
	assert_int_equal(trip.copy->remote.queue.nr, 0);
	assert_no_vcpu_runs(&trip);
	trip_finish(&trip);
}

static bool ran_on;

static int sets_what_nobody_has(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "what nobody has");
	static const uint64_t value;
	int ret;

	batch_set_reg(&b, FAKE_VCPU_FD, ARM64_CORE_U64(9), &value);
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

/* As where a failure is an answer. */
static int tries(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "what is tried");

	batch_try(&b);
	batch_fini(&b);
	return 0;
}

static int runs_on(struct vm_state *vm, struct remote *remote)
{
	ran_on = true;
	return 0;
}

/* What is tried behind it is no excuse: nothing comes after it. */
static void a_call_that_waited_and_fails_fails_the_plan_whoever_made_it(void **state)
{
	const struct plan_step steps[] = {
		{ "first", ANY_GIC, sets_what_nobody_has, "" },
		{ "second", ANY_GIC, tries, "" },
		{ "third", ANY_GIC, runs_on, "" },
	};
	struct trip trip = trip_where_calls_wait();

	ran_on = false;
	log_reset();
	assert_int_equal(plan_run(steps, 3, trip.vm, &trip.source->remote), -ENOENT);
	assert_string_equal(log_error(), "vm 1: step 1 of 3, first: failed: No such file or directory (errno 2)");
	assert_false(ran_on);
	assert_int_equal(plan_run(&steps[2], 1, trip.vm, &trip.source->remote), 0);
	trip_finish(&trip);
}

static void the_largest_gic_comes_back(void **state)
{
	trip_assert_comes_back(fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = VGIC_MAX_IRQS }));
}

/* Fewer priority bits, fewer active priority registers. */
static void active_priorities_come_back_as_far_as_there_are_any(void **state)
{
	for (uint32_t bits = 5; bits <= 7; bits++)
		trip_assert_comes_back(
			fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64, .pri_bits = bits }));
}

static void an_active_priority_register_that_is_absent_stays_absent(void **state)
{
	struct trip trip =
		trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 1, .nr_irqs = 64, .pri_bits = 6 }));
	size_t absent = 0;

	for (size_t r = 0; r < vgic_v3_nr_cpuif_regs; r++)
		absent += !trip.vm->vgic->cpuif[0][r].nr;
	assert_int_equal(absent, 4);
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(fake_count(trip.copy, "*SET ICC_AP?R1*"), 2);
	assert_int_equal(fake_count(trip.copy, "*SET ICC_AP?R[23]*"), 0);
	trip_finish(&trip);
}

static void as_many_redistributor_regions_as_an_image_holds_come_back(void **state)
{
	struct fake_kvm *source = fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64 });

	for (; source->gic.nr_regions < VGIC_MAX_REGIONS; source->gic.nr_regions++)
		source->gic.regions[source->gic.nr_regions] =
			(struct vgic_region){ .base = 0x5000000000 + 0x20000 * source->gic.nr_regions,
					      .count = 1 };
	trip_assert_comes_back(source);
}

static void a_gic_without_addresses_comes_back(void **state)
{
	struct fake_kvm *source = fake_running((struct fake_shape){ .nr_vcpus = 1, .nr_irqs = 64 });

	source->gic.dist_base = VGIC_ADDR_UNSET;
	source->gic.nr_regions = 0;
	trip_assert_comes_back(source);
}

static void a_vm_without_slots_and_mappings_comes_back(void **state)
{
	struct fake_kvm *source = fake_running((struct fake_shape){ .nr_vcpus = 1, .nr_irqs = 64 });

	source->nr_slots = 0;
	source->nr_maps = 0;
	source->vcpus[0].pvtime = VCPU_NO_PVTIME;
	trip_assert_comes_back(source);
}

/* A value of 0 then names the vCPU that the SPI goes to, and a route for a moment does no harm. */
static void an_unrouted_spi_is_none_where_the_first_vcpu_has_mpidr_0(void **state)
{
	struct fake_kvm *source = fake_running((struct fake_shape){ .nr_vcpus = 1, .nr_irqs = 64 });
	struct trip trip;

	fake_set_reg_u64(&source->vcpus[0], ARM64_MPIDR_EL1, 0x80000000);
	trip = trip_dump(source);
	assert_int_equal(trip.vm->vgic->unrouted[FAKE_SPI_UNROUTED / 32], 0);
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(trip.copy->gic.spi[FAKE_SPI_UNROUTED].queue, 0);
	trip_finish(&trip);
}

/* Each restore of it has the route of an active SPI to change for a moment. */
static void a_dump_can_be_restored_twice(void **state)
{
	struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 4, .nr_irqs = 64 }));

	for (int i = 0; i < 2; i++) {
		fake_free(trip.copy);
		trip.copy = fake_created(trip.source, trip.vm);
		assert_int_equal(trip_restore(&trip), 0);
		trip_assert_same(&trip);
	}
	trip_finish(&trip);
}

/* Time */

static void guest_time_goes_on_from_the_largest_value_read(void **state)
{
	struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 4, .nr_irqs = 64 }));

	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(trip.copy->vtimer, trip.source->vtimer + 90);
	assert_int_equal(trip.copy->ptimer, trip.copy->host);
	trip_finish(&trip);
}

static void a_physical_counter_of_its_own_goes_on(void **state)
{
	struct fake_kvm *source = fake_running((struct fake_shape){ .nr_vcpus = 4, .nr_irqs = 64 });
	struct trip trip;

	source->ptimer_offset = true;
	trip = trip_dump(source);
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(trip.copy->ptimer, source->ptimer + 90);
	assert_int_equal(fake_count(trip.copy, "*KVM_SET_ONE_REG 0x603000000013df01*"), 1);
	trip_assert_same(&trip);
	trip_finish(&trip);
}

/* On a host booted anew the caller asks for an offset that the VM did not have. */
static void a_physical_counter_does_not_go_back_on_another_host(void **state)
{
	struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64 }));

	trip.vm->ptimer_offset = true;
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(trip.copy->ptimer, trip.source->ptimer + 90);
	trip_finish(&trip);
}

/* Power */

static void no_vcpu_is_created_powered_off(void **state)
{
	struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64 }));

	assert_true(trip.vm->features & 1 << KVM_ARM_VCPU_POWER_OFF);
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(fake_count(trip.copy, "*KVM_ARM_VCPU_INIT = 0x7c"), 2);
	trip_finish(&trip);
}

/* Refusals of a dump */

static void a_gic_of_a_strange_size_is_refused(void **state)
{
	static const uint32_t nr_irqs[] = { 0, 32, 63, 65, 1000, 1056, UINT32_MAX };

	for (size_t i = 0; i < COUNT(nr_irqs); i++) {
		struct fake_kvm *source = fake_running((struct fake_shape){ .nr_vcpus = 1, .nr_irqs = 64 });

		source->gic.nr_irqs = nr_irqs[i];
		assert_no_dump(source, -EINVAL, "GIC addresses");
	}
}

static void no_redistributor_region_is_left_out(void **state)
{
	struct fake_kvm *source = fake_running((struct fake_shape){ .nr_vcpus = 1, .nr_irqs = 64 });

	for (; source->gic.nr_regions <= VGIC_MAX_REGIONS; source->gic.nr_regions++)
		source->gic.regions[source->gic.nr_regions] =
			(struct vgic_region){ .base = 0x100000, .count = 1 };
	assert_no_dump(source, -E2BIG, "GIC addresses");
}

/* Refusals of a restore */

static void a_host_that_lacks_a_register_is_named(void **state)
{
	struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64 }));

	fake_reg(&trip.copy->vcpus[1], 0x603000000013c600)->id = 0x603000000013c601;
	assert_stops_saying(&trip, "register list",
			    "vm 1: vcpu 1: registers of the image that this kernel has not: S3_0_C12_C0_0: "
			    "restore on a host with the same CPU and a kernel that is as new");
}

static void nothing_is_written_where_a_register_is_missing(void **state)
{
	struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64 }));

	fake_reg(&trip.copy->vcpus[1], 0x603000000013c600)->id = 0x603000000013c601;
	assert_int_equal(trip_restore(&trip), -EINVAL);
	assert_int_equal(log_errors(), 2);
	assert_int_equal(fake_count(trip.copy, "*KVM_SET_ONE_REG 0x6030000000100*"), 0);
	assert_int_equal(fake_count(trip.copy, "*: SET *"), 0);
	trip_finish(&trip);
}

static void a_host_with_another_gic_is_named(void **state)
{
	struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64 }));

	trip.copy->gic.typer = 0x77 << 16;
	assert_stops_saying(&trip, "GIC distributor",
			    "vm 1: GICD_TYPER is 0x770001 on this host, 0x780001 in the image");
}

static void a_host_with_another_gic_is_not_written_to(void **state)
{
	struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64 }));

	trip.copy->gic.typer = 0x77 << 16;
	assert_int_equal(trip_restore(&trip), -EINVAL);
	/* What comes before belongs to the vCPUs. */
	assert_int_equal(fake_count(trip.copy, "*: SET [!P]*"),
			 fake_last(trip.copy, "gic: SET GICD_IIDR*") + 1 - fake_first(trip.copy, "*: SET [!P]*"));
	trip_finish(&trip);
}

/* It was closed: all that can still be asked of the VM is asked of its vCPUs and its GIC. */
static void a_vm_without_its_own_fd_is_dumped(void **state)
{
	struct fake_kvm *source = fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 96 });
	struct vm_state *vm = fake_discovered(source);
	size_t failed;

	vm->fd = -1;
	assert_int_equal(fake_steps(plan_dump, plan_nr_dump, vm, source, &failed), 0);
	assert_int_equal(fake_count(source, "vm: *"), 0);
	assert_true(fake_count(source, "vcpu ?: *") > 0);
	vm_state_free(vm);
	fake_free(source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vm_without_its_own_fd_is_dumped),
		cmocka_unit_test(no_vcpu_runs_before_the_vm_is_whole),
		cmocka_unit_test(no_vcpu_runs_before_its_page_is_mapped),
		cmocka_unit_test(a_vm_comes_back_whole),
		cmocka_unit_test(a_vm_comes_back_whole_where_calls_wait),
		cmocka_unit_test(no_call_waits_when_a_part_has_ended),
		cmocka_unit_test(the_last_batch_of_a_restore_is_known_to_be_the_last),
		cmocka_unit_test(calls_come_in_the_same_order_where_they_wait),
		cmocka_unit_test(tables_are_decoded_while_registers_are_read),
		cmocka_unit_test(tables_are_decoded_behind_the_calls_that_write_them),
		cmocka_unit_test(images_of_the_gic_are_written_while_registers_are_read),
		cmocka_unit_test(a_gic_that_no_restore_would_take_fails_the_dump),
		cmocka_unit_test(a_step_beside_that_fails_fails_the_dump_by_its_name),
		cmocka_unit_test(the_step_that_another_is_done_beside_fails_by_its_own_name),
		cmocka_unit_test(a_call_that_waited_and_fails_fails_the_restore),
		cmocka_unit_test(a_call_that_waited_and_fails_fails_the_plan_whoever_made_it),
		cmocka_unit_test(the_largest_gic_comes_back),
		cmocka_unit_test(active_priorities_come_back_as_far_as_there_are_any),
		cmocka_unit_test(an_active_priority_register_that_is_absent_stays_absent),
		cmocka_unit_test(as_many_redistributor_regions_as_an_image_holds_come_back),
		cmocka_unit_test(a_gic_without_addresses_comes_back),
		cmocka_unit_test(a_vm_without_slots_and_mappings_comes_back),
		cmocka_unit_test(an_unrouted_spi_is_none_where_the_first_vcpu_has_mpidr_0),
		cmocka_unit_test(a_dump_can_be_restored_twice),
		cmocka_unit_test(guest_time_goes_on_from_the_largest_value_read),
		cmocka_unit_test(a_physical_counter_of_its_own_goes_on),
		cmocka_unit_test(a_physical_counter_does_not_go_back_on_another_host),
		cmocka_unit_test(no_vcpu_is_created_powered_off),
		cmocka_unit_test(a_gic_of_a_strange_size_is_refused),
		cmocka_unit_test(no_redistributor_region_is_left_out),
		cmocka_unit_test(a_host_that_lacks_a_register_is_named),
		cmocka_unit_test(nothing_is_written_where_a_register_is_missing),
		cmocka_unit_test(a_host_with_another_gic_is_named),
		cmocka_unit_test(a_host_with_another_gic_is_not_written_to),
	};

	return cmocka_run_group_tests_name("dump and restore", tests, NULL, NULL);
}
