// SPDX-License-Identifier: GPL-2.0-only
/* What a vCPU has beside its registers: features, vector lengths, SErrors, and what its VMM has set up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "testlog.h"
#include "trip.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct fake_shape shape = { .nr_vcpus = 4, .nr_irqs = 64 };

/* Features */

#define PSCI (1u << KVM_ARM_VCPU_PSCI_0_2)
#define PTRAUTH (1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1u << KVM_ARM_VCPU_PTRAUTH_GENERIC)

static void each_feature_comes_back_alone(void **state)
{
	static const uint32_t features[] = { PSCI,
					     PSCI | 1u << KVM_ARM_VCPU_EL1_32BIT,
					     PSCI | 1u << KVM_ARM_VCPU_PMU_V3,
					     PSCI | 1u << KVM_ARM_VCPU_SVE,
					     PSCI | PTRAUTH,
					     FAKE_FEATURES };

	for (size_t i = 0; i < COUNT(features); i++) {
		struct trip trip = trip_dump(fake_running(
			(struct fake_shape){ .nr_vcpus = 4, .nr_irqs = 64, .features = features[i] }));
		bool sve = features[i] >> KVM_ARM_VCPU_SVE & 1;

		assert_int_equal(trip_restore(&trip), 0);
		trip_assert_same(&trip);
		assert_int_equal(fake_count(trip.copy, "vcpu ?: KVM_ARM_VCPU_FINALIZE*"), sve ? 4 : 0);
		assert_int_equal(fake_count(trip.copy, "vcpu ?: KVM_SET_ONE_REG 0x606000000015ffff*"), sve ? 4 : 0);
		trip_finish(&trip);
	}
}

static void a_host_without_the_feature_is_named(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));

	trip.copy->fail_like = "vcpu 0: KVM_ARM_VCPU_INIT*";
	trip.copy->fail_times = 1;
	trip.copy->fail_errno = EINVAL;
	assert_int_equal(trip_restore(&trip), -EINVAL);
	assert_true(log_has("vcpu 0: KVM_ARM_VCPU_INIT (0x7d): "));
	trip_finish(&trip);
}

/* Vector lengths */

static void each_vcpu_has_the_vector_lengths_that_it_had(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));
	const struct fake_vcpu *vcpus = trip.copy->vcpus;

	assert_int_equal(trip_restore(&trip), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(fake_reg_u64((struct fake_vcpu *)&vcpus[i], ARM64_SVE_VLS), i % 2 ? FAKE_VLS : 3);
	trip_finish(&trip);
}

/* 384 bits, which this host's CPUs have not, and 512 without 256. */
static void vector_lengths_that_this_host_has_not_are_refused(void **state)
{
	static const uint64_t vls[] = { 0x7, 0x9, 0x10b };

	for (size_t i = 0; i < COUNT(vls); i++) {
		struct fake_kvm *source = fake_running(shape);
		struct trip trip;

		fake_set_reg_u64(&source->vcpus[1], ARM64_SVE_VLS, vls[i]);
		trip = trip_dump(source);
		assert_int_equal(trip_restore(&trip), -EINVAL);
		assert_true(log_has("vm 1: vector lengths: vcpu 1: KVM_SET_ONE_REG (0x606000000015ffff): "));
		assert_int_equal(fake_count(trip.copy, "*: SET *"), 0);
		trip_finish(&trip);
	}
}

static void a_vcpu_that_was_not_finished_is_named(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct vm_state *vm = fake_discovered(source);

	source->vcpus[2].sve_finalized = false;
	log_reset();
	assert_int_equal(plan_run(plan_dump, plan_nr_dump, vm, &source->remote), -EPERM);
	assert_true(log_has("vm 1: vcpu 2 (id 12): a vCPU with SVE and without KVM_ARM_VCPU_FINALIZE: "));
	vm_state_free(vm);
	fake_free(source);
}

/* SErrors */

static void serror(struct fake_kvm *kvm, size_t vcpu, bool pending, uint64_t esr)
{
	kvm->vcpus[vcpu].serror = pending;
	kvm->vcpus[vcpu].serror_esr = esr;
}

static void all_25_bits_of_an_serror_are_kept(void **state)
{
	static const uint64_t esr[] = { 0, 1, 0x1000000, 0xffffff, 0x1ffffff };

	for (size_t i = 0; i < COUNT(esr); i++) {
		struct fake_kvm *source = fake_running(shape);
		struct trip trip;

		serror(source, 1, true, esr[i]);
		trip = trip_dump(source);
		assert_int_equal(trip_restore(&trip), 0);
		assert_true(trip.copy->vcpus[1].serror);
		assert_int_equal(trip.copy->vcpus[1].serror_esr, esr[i]);
		trip_assert_same(&trip);
		trip_finish(&trip);
	}
}

/* KVM says of a host with RAS that an SError had an ESR where there is none, too. */
static void no_serror_comes_of_none(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct trip trip;

	serror(source, 1, false, 0);
	trip = trip_dump(source);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(trip.vm->vcpus[i].events.exception.serror_has_esr, 1);
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(fake_count(trip.copy, "*KVM_SET_VCPU_EVENTS*"), 0);
	trip_assert_same(&trip);
	trip_finish(&trip);
}

static void each_serror_is_given_once_to_who_had_it(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct trip trip;

	serror(source, 3, true, 7);
	trip = trip_dump(source);
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(fake_count(trip.copy, "vcpu 1: KVM_SET_VCPU_EVENTS*"), 1);
	assert_int_equal(fake_count(trip.copy, "vcpu 3: KVM_SET_VCPU_EVENTS*"), 1);
	assert_int_equal(fake_count(trip.copy, "*KVM_SET_VCPU_EVENTS*"), 2);
	trip_assert_same(&trip);
	trip_finish(&trip);
}

/* KVM refuses an ESR there, and makes one up when there is an SError. */
static void an_serror_of_a_host_without_ras_has_no_esr(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct trip trip;

	source->no_ras = true;
	trip = trip_dump(source);
	assert_int_equal(trip.vm->vcpus[1].events.exception.serror_has_esr, 0);
	assert_int_equal(trip_restore(&trip), 0);
	assert_true(trip.copy->vcpus[1].serror);
	assert_int_equal(trip.copy->vcpus[1].serror_esr, 0x1000000);
	trip_finish(&trip);
}

static void an_esr_that_this_host_cannot_give_is_named(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));

	trip.copy->no_ras = true;
	assert_int_equal(trip_restore(&trip), -EINVAL);
	assert_true(log_has("vm 1: vCPU events: vcpu 1: KVM_SET_VCPU_EVENTS"));
	trip_finish(&trip);
}

/* What its VMM has set up */

static void nothing_is_set_up_where_nothing_was(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct trip trip;

	source->caps = source->halt_poll_ns = source->split_chunk = source->nr_smccc = 0;
	memset(source->smccc, 0, sizeof(source->smccc));
	fake_drop_log(source, 0);
	for (size_t i = 0; i < 4; i++) {
		source->vcpus[i].pvtime = VCPU_NO_PVTIME;
		source->vcpus[i].debug.control = 0;
		source->vcpus[i].sigset_active = false;
	}
	trip = trip_dump(source);
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(fake_count(trip.copy, "*KVM_ENABLE_CAP*"), 0);
	assert_int_equal(fake_count(trip.copy, "*PVTIME*"), 0);
	assert_int_equal(fake_count(trip.copy, "*KVM_SET_SIGNAL_MASK*"), 0);
	assert_int_equal(fake_count(trip.copy, "*KVM_SET_GUEST_DEBUG*"), 4); /* of the replay: on and off, twice */
	trip_assert_same(&trip);
	trip_finish(&trip);
}

static void each_capability_comes_back_alone(void **state)
{
	for (uint32_t cap = 1; cap & VM_CAP_KNOWN; cap <<= 1) {
		struct fake_kvm *source = fake_running(shape);
		struct trip trip;

		source->caps = cap;
		source->halt_poll_ns = cap == VM_CAP_HALT_POLL ? 70000 : 0;
		source->manual_dirty_log = cap == VM_CAP_MANUAL_DIRTY_LOG ? 3 : 0;
		source->split_chunk = cap == VM_CAP_EAGER_SPLIT ? 4096 : 0;
		source->nr_smccc = cap == VM_CAP_SMCCC_FILTER;
		trip = trip_dump(source);
		assert_int_equal(trip_restore(&trip), 0);
		assert_int_equal(trip.copy->caps, cap);
		assert_int_equal(trip.copy->halt_poll_ns, source->halt_poll_ns);
		assert_int_equal(trip.copy->manual_dirty_log, source->manual_dirty_log);
		assert_int_equal(trip.copy->split_chunk, source->split_chunk);
		assert_int_equal(trip.copy->nr_smccc, source->nr_smccc);
		trip_finish(&trip);
	}
}

/* An empty one: all signals end KVM_RUN. */
static void an_empty_signal_mask_is_one(void **state)
{
	struct fake_kvm *source = fake_running(shape);

	source->vcpus[0].sigset = 0;
	trip_assert_comes_back(source);
}

static void steal_time_at_address_0_is_some(void **state)
{
	struct fake_kvm *source = fake_running(shape);

	source->slots[1].flags = 0; /* of the memory at 0 */
	source->vcpus[3].pvtime = 0;
	trip_assert_comes_back(source);
}

static void an_address_that_kvm_refuses_is_named(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));

	trip.vm->vcpus[2].pvtime = 0x50000000; /* no memory of this VM */
	assert_int_equal(trip_restore(&trip), -EINVAL);
	assert_true(log_has("vm 1: steal time: vcpu 2: KVM_SET_DEVICE_ATTR KVM_ARM_VCPU_PVTIME_IPA (0x50000000): "));
	trip_finish(&trip);
}

static void a_debugger_has_its_breakpoints(void **state)
{
	struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 8, .nr_irqs = 64 }));

	assert_int_equal(trip_restore(&trip), 0);
	for (size_t i = 0; i < 8; i += 6) { /* those that use them */
		assert_memory_equal(&trip.copy->vcpus[i].debug, &trip.source->vcpus[i].debug,
				    sizeof(trip.copy->vcpus[i].debug));
		assert_int_not_equal(trip.copy->vcpus[i].debug.dbg_wvr[15], 0);
	}
	trip_finish(&trip);
}

/* Images */

static void all_of_it_is_in_the_image(void **state)
{
	static const struct fake_shape shapes[] = {
		{ .nr_vcpus = 8, .nr_irqs = 64 },
		{ .nr_vcpus = 8, .nr_irqs = 64, .counter_offset = true },
		{ .nr_vcpus = 2, .nr_irqs = 64, .itses = true },
		{ .nr_vcpus = 2, .nr_irqs = 64, .features = PSCI },
	};

	for (size_t i = 0; i < COUNT(shapes); i++) {
		struct trip trip = { .source = fake_running(shapes[i]) };
		struct vm_state *vm = fake_dump(trip.source);

		trip.vm = trip_through_images(vm);
		vm_state_free(vm);
		trip.copy = fake_created(trip.source, trip.vm);
		assert_int_equal(trip_restore(&trip), 0);
		trip_assert_same(&trip);
		trip_finish(&trip);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_feature_comes_back_alone),
		cmocka_unit_test(a_host_without_the_feature_is_named),
		cmocka_unit_test(each_vcpu_has_the_vector_lengths_that_it_had),
		cmocka_unit_test(vector_lengths_that_this_host_has_not_are_refused),
		cmocka_unit_test(a_vcpu_that_was_not_finished_is_named),
		cmocka_unit_test(all_25_bits_of_an_serror_are_kept),
		cmocka_unit_test(no_serror_comes_of_none),
		cmocka_unit_test(each_serror_is_given_once_to_who_had_it),
		cmocka_unit_test(an_serror_of_a_host_without_ras_has_no_esr),
		cmocka_unit_test(an_esr_that_this_host_cannot_give_is_named),
		cmocka_unit_test(nothing_is_set_up_where_nothing_was),
		cmocka_unit_test(each_capability_comes_back_alone),
		cmocka_unit_test(an_empty_signal_mask_is_one),
		cmocka_unit_test(steal_time_at_address_0_is_some),
		cmocka_unit_test(an_address_that_kvm_refuses_is_named),
		cmocka_unit_test(a_debugger_has_its_breakpoints),
		cmocka_unit_test(all_of_it_is_in_the_image),
	};

	return cmocka_run_group_tests_name("vCPUs", tests, NULL, NULL);
}
