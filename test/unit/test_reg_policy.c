// SPDX-License-Identifier: GPL-2.0-only
/* What becomes of registers on a host that is not the one that dumped: docs/register-policy.md, case by case.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "testlog.h"
#include "trip.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define UNALLOCATED_ID ARM64_SYS_REG(3, 0, 0, 7, 7)
#define AIDR ARM64_SYS_REG(3, 1, 0, 0, 7)
#define PFR0 ARM64_SYS_REG(3, 0, 0, 4, 0)
#define PIR ARM64_SYS_REG(3, 0, 10, 2, 3)
#define PIRE0 ARM64_SYS_REG(3, 0, 10, 2, 2)
#define TCR2 ARM64_SYS_REG(3, 0, 2, 0, 3)
#define STRANGE ARM64_SYS_REG(3, 0, 15, 15, 7)
#define STRANGE_CORE (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | 0x999)
#define WORKAROUND_3 (FAKE_PSCI_VERSION | 3)
#define BMAP_2 (FAKE_FEAT_BMAP | 3)
#define CCSIDR (KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_DEMUX)

static void add(struct fake_vcpu *vcpu, uint64_t id, uint64_t value)
{
	assert_true(vcpu->nr_regs < FAKE_REGS);
	vcpu->regs[vcpu->nr_regs++] = (struct fake_reg){ .id = id };
	fake_set_reg_u64(vcpu, id, value);
}

static void add_to_all(struct fake_kvm *kvm, uint64_t id, uint64_t value)
{
	for (size_t i = 0; i < kvm->nr_vcpus; i++)
		add(&kvm->vcpus[i], id, value);
}

static struct fake_kvm *two_vcpus(void)
{
	return fake_running(
		(struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64, .features = 1 << KVM_ARM_VCPU_PSCI_0_2 });
}

/* A restore that ends with @reason, its only error but for plan_run()'s, before the first register that is
 * not first. */
static void assert_refused(struct trip *trip, const char *step, const char *reason)
{
	size_t failed;

	log_reset();
	assert_int_equal(fake_steps(plan_restore, plan_nr_restore, trip->vm, trip->copy, &failed), -EINVAL);
	assert_string_equal(plan_restore[failed].name, step);
	if (!log_has(reason))
		fail_msg("'%s' expected, and the last is '%s'", reason, log_error());
	assert_int_equal(fake_count(trip->copy, "*KVM_SET_ONE_REG 0x6030000000100*"), 0);
	assert_int_equal(fake_count(trip->copy, "*KVM_RUN*"), 0);
}

/* For the record: all writes of @id. */
static const char *write_of(uint64_t id)
{
	static char pattern[64];

	snprintf(pattern, sizeof(pattern), "vcpu ?: KVM_SET_ONE_REG %#llx *", (unsigned long long)id);
	return pattern;
}

/* Case 1: registers that this kernel has not */

/* @id was @value in a guest whose ID_AA64MMFR3_EL1 was @mmfr3. */
static struct trip trip_without(uint64_t id, uint64_t value, uint64_t mmfr3)
{
	struct fake_kvm *source = two_vcpus();

	for (size_t i = 0; i < source->nr_vcpus; i++)
		fake_set_reg_u64(&source->vcpus[i], FAKE_ID_MMFR3, mmfr3);
	if (!fake_reg(&source->vcpus[0], id))
		add_to_all(source, id, value);
	for (size_t i = 0; i < source->nr_vcpus; i++)
		fake_set_reg_u64(&source->vcpus[i], id, value);
	return trip_dump(source);
}

static void assert_dropped(uint64_t id, uint64_t value, uint64_t mmfr3, const char *told)
{
	struct trip trip = trip_without(id, value, mmfr3);

	for (size_t i = 0; i < trip.copy->nr_vcpus; i++)
		if (fake_reg(&trip.copy->vcpus[i], id))
			fake_reg(&trip.copy->vcpus[i], id)->id =
				STRANGE; /* this kernel has another instead */
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(log_errors(), 0);
	assert_true(log_told(told));
	assert_int_equal(fake_count(trip.copy, write_of(id)), 0);
	assert_null(vcpu_reg_u64(&trip.vm->vcpus[0], id));
	trip_finish(&trip);
}

static void assert_missed(uint64_t id, uint64_t value, uint64_t mmfr3, const char *step, const char *name)
{
	struct trip trip = trip_without(id, value, mmfr3);
	char reason[256];

	snprintf(reason, sizeof(reason),
		 "vm 1: vcpu 0: registers of the image that this kernel has not: %s: restore on ", name);
	for (size_t i = 0; i < trip.copy->nr_vcpus; i++)
		if (fake_reg(&trip.copy->vcpus[i], id))
			fake_reg(&trip.copy->vcpus[i], id)->id = STRANGE;
	assert_refused(&trip, step, reason);
	trip_finish(&trip);
}

static void an_id_register_that_was_0_is_not_missed(void **state)
{
	assert_dropped(UNALLOCATED_ID, 0, 0x10,
		       "vm 1: registers that this kernel has not, and that the guest does not miss: "
		       "S3_0_C0_C7_7: dropped\n");
}

static void an_id_register_that_was_not_0_is_missed(void **state)
{
	assert_missed(UNALLOCATED_ID, 1ull << 60, 0x10, "ID and firmware registers", "S3_0_C0_C7_7");
}

static void services_that_were_not_offered_are_not_missed(void **state)
{
	assert_dropped(BMAP_2, 0, 0x10, ": KVM_REG_ARM_VENDOR_HYP_BMAP_2: dropped\n");
	assert_dropped(WORKAROUND_3, 0, 0x10, ": KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3: dropped\n");
}

static void a_service_that_was_offered_is_missed(void **state)
{
	assert_missed(BMAP_2, 2, 0x10, "ID and firmware registers", "KVM_REG_ARM_VENDOR_HYP_BMAP_2");
	assert_missed(WORKAROUND_3, 1, 0x10, "ID and firmware registers",
		      "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3");
}

/* Of 6.12, which lists them on every CPU. */
static void a_register_that_the_guest_could_not_reach_is_not_missed(void **state)
{
	assert_dropped(PIR, 0x1de7ec7edbadc0de, 0x10, ": PIR_EL1: dropped\n");
	assert_dropped(PIRE0, 0x1de7ec7edbadc0de, 0x11, ": PIRE0_EL1: dropped\n");
}

/* The fake lists it as 7.2 does. */
static void a_register_of_6_12_that_7_2_lists_with_its_feature_only_is_not_missed(void **state)
{
	struct trip trip = trip_dump(two_vcpus());

	for (size_t i = 0; i < trip.vm->nr_vcpus; i++) {
		struct vcpu_state *vcpu = &trip.vm->vcpus[i];

		vcpu->regs = reallocarray(vcpu->regs, vcpu->nr_regs + 1, sizeof(*vcpu->regs));
		vcpu->regs[vcpu->nr_regs++] = (struct vcpu_reg){ .id = TCR2, .value = { 1 } };
	}
	assert_int_equal(trip_restore(&trip), 0);
	assert_true(log_told(": TCR2_EL1: dropped\n"));
	trip_assert_same(&trip);
	trip_finish(&trip);
}

static void a_register_that_the_guest_could_reach_is_missed(void **state)
{
	assert_missed(PIR, 0, 0x110, "register list", "PIR_EL1");
	assert_missed(PIRE0, 0, 0x110, "register list", "PIRE0_EL1");
	assert_missed(TCR2, 0, 0x11, "register list", "TCR2_EL1");
}

/* REVIDR_EL1 and its like are not in the space where an absent one reads as 0. */
static void the_identity_of_a_cpu_is_missed_even_where_it_was_0(void **state)
{
	assert_missed(AIDR, 0, 0x10, "ID and firmware registers", "AIDR_EL1");
}

static void any_other_register_is_missed(void **state)
{
	assert_missed(ARM64_SYS_REG(3, 0, 12, 0, 0), 0, 0x10, "register list", "S3_0_C12_C0_0");
	assert_missed(STRANGE_CORE, 0, 0x10, "register list", "0x6030000000100999");
}

/* More than a message has room for. */
static void as_many_as_there_are_are_counted(void **state)
{
	struct trip trip = trip_dump(two_vcpus());
	struct vcpu_state *vcpu = &trip.vm->vcpus[1];

	vcpu->regs = reallocarray(vcpu->regs, vcpu->nr_regs + 19, sizeof(*vcpu->regs));
	for (uint64_t i = 0; i < 19; i++)
		vcpu->regs[vcpu->nr_regs++] =
			(struct vcpu_reg){ .id = ARM64_SYS_REG(3, 0, 14, i / 8, i % 8) };
	assert_refused(&trip, "register list",
		       "vcpu 1: registers of the image that this kernel has not: S3_0_C14_C0_0, ");
	assert_non_null(strstr(log_error(), "S3_0_C14_C1_7 and 3 more: restore"));
	trip_finish(&trip);
}

/* Case 2: registers that the image has not */

static struct trip trip_with(uint64_t id, uint64_t value)
{
	struct trip trip = trip_dump(two_vcpus());

	add_to_all(trip.copy, id, value);
	return trip;
}

static void what_the_guest_read_as_0_stays_0(void **state)
{
	static const struct {
		uint64_t id;
		const char *told;
	} zeros[] = {
		{ UNALLOCATED_ID, "vm 1: registers that the image has not: S3_0_C0_C7_7: written as 0, " },
		{ BMAP_2, ": KVM_REG_ARM_VENDOR_HYP_BMAP_2: written as 0, as the guest found them\n" },
	};

	for (size_t i = 0; i < COUNT(zeros); i++) {
		struct trip trip = trip_with(zeros[i].id, 3);
		size_t last;

		log_reset();
		assert_int_equal(fake_steps(plan_restore, plan_nr_restore, trip.vm, trip.copy, &last), 0);
		assert_int_equal(log_errors(), 0);
		assert_true(log_told(zeros[i].told));
		for (size_t v = 0; v < 2; v++)
			assert_int_equal(fake_reg_u64(&trip.copy->vcpus[v], zeros[i].id), 0);
		assert_true(fake_last(trip.copy, write_of(zeros[i].id)) <
			    fake_first(trip.copy, "# register list"));
		trip_finish(&trip);
	}
}

static void a_feature_that_cannot_be_hidden_is_refused(void **state)
{
	struct trip trip = trip_with(ARM64_SYS_REG(3, 0, 0, 7, 4), 0x300);

	trip.copy->invariants[trip.copy->nr_invariants++] =
		(struct fake_invariant){ ARM64_SYS_REG(3, 0, 0, 7, 4), ~0ull };
	assert_refused(&trip, "ID and firmware registers",
		       "vm 1: register ID_AA64MMFR4_EL1: 0 is refused by this kernel: ASID2 is 0 in the "
		       "image, 3 on this "
		       "host\n");
	trip_finish(&trip);
}

static void other_registers_are_left_as_they_are(void **state)
{
	static const struct {
		uint64_t id;
		const char *told;
	} left[] = {
		{ STRANGE, "vm 1: registers that the image has not: S3_0_C15_C15_7: left as this kernel "
			   "makes them\n" },
		{ AIDR, ": AIDR_EL1: left as this kernel makes them\n" },
		{ WORKAROUND_3, ": KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3: left as this kernel makes them\n" },
	};

	for (size_t i = 0; i < COUNT(left); i++) {
		struct trip trip = trip_with(left[i].id, 0x77);

		assert_int_equal(trip_restore(&trip), 0);
		assert_int_equal(log_errors(), 0);
		assert_true(log_told(left[i].told));
		assert_int_equal(fake_count(trip.copy, write_of(left[i].id)), 0);
		assert_int_equal(fake_reg_u64(&trip.copy->vcpus[0], left[i].id), 0x77);
		trip_finish(&trip);
	}
}

static void an_image_without_what_every_kernel_has_is_damaged(void **state)
{
	struct trip trip = trip_with(STRANGE_CORE, 0);

	assert_refused(&trip, "register list",
		       "vm 1: vcpu 0: registers that every kernel has, and the image has not: "
		       "0x6030000000100999: the image "
		       "is damaged\n");
	trip_finish(&trip);
}

static void both_sides_of_a_difference_are_named(void **state)
{
	struct trip trip = trip_without(ARM64_SYS_REG(3, 0, 12, 0, 0), 0, 0x10);

	for (size_t i = 0; i < 2; i++)
		fake_reg(&trip.copy->vcpus[i], ARM64_SYS_REG(3, 0, 12, 0, 0))->id = STRANGE_CORE;
	assert_refused(&trip, "register list", "this kernel has not: S3_0_C12_C0_0: restore");
	assert_true(log_has("and the image has not: 0x6030000000100999: the image is damaged"));
	trip_finish(&trip);
}

/* What differs is said once, and not where the trial of the host has said it. */
static void a_difference_is_told_once(void **state)
{
	struct trip trip = trip_with(STRANGE, 0x77);

	trip.vm->host_checked = true;
	assert_int_equal(trip_restore(&trip), 0);
	assert_false(log_told("left as this kernel makes them"));
	trip_finish(&trip);
}

static void a_dump_is_restored_twice_with_what_was_dropped_and_added(void **state)
{
	struct trip trip = trip_without(UNALLOCATED_ID, 0, 0x10);

	for (int i = 0; i < 2; i++) {
		fake_free(trip.copy);
		trip.copy = fake_created(trip.source, trip.vm);
		add_to_all(trip.copy, BMAP_2, 3);
		assert_int_equal(trip_restore(&trip), 0);
		assert_int_equal(fake_reg_u64(&trip.copy->vcpus[1], BMAP_2), 0);
	}
	trip_finish(&trip);
}

/* Case 3: values that this kernel refuses */

/* All vCPUs had @image in register @id; this host has @host, and does not let @bits of it be changed. */
static struct trip trip_refused(uint64_t id, uint64_t image, uint64_t host, uint64_t bits)
{
	struct fake_kvm *source = two_vcpus();
	struct trip trip;

	for (size_t i = 0; i < 2; i++)
		fake_set_reg_u64(&source->vcpus[i], id, image);
	trip = trip_dump(source);
	for (size_t i = 0; i < 2; i++)
		fake_set_reg_u64(&trip.copy->vcpus[i], id, host);
	trip.copy->invariants[trip.copy->nr_invariants++] = (struct fake_invariant){ id, bits };
	return trip;
}

static void a_value_that_is_refused_is_explained(void **state)
{
	static const struct {
		uint64_t id, image, host, bits;
		const char *reason;
	} refused[] = {
		/* One field; another differs too, and KVM takes it. */
		{ PFR0, 0x1100000011, 0x0000000011, 0xf00000000,
		  "vm 1: register ID_AA64PFR0_EL1: 0x1100000011 is refused by this kernel: SVE is 1 in the "
		  "image, 0 on "
		  "this host\n" },
		{ PFR0, 0x1100000011, 0x0000000011, ~0ull,
		  ": SEL2 is 1 in the image, 0 on this host; SVE is 1 in the image, 0 on this host\n" },
		{ FAKE_PSCI_VERSION, 0x10003, 0x10001, ~0ull,
		  "vm 1: register KVM_REG_ARM_PSCI_VERSION: 0x10003 is refused by this kernel: minor is 3 in "
		  "the image, 1 "
		  "on this host\n" },
		{ FAKE_FEAT_BMAP, 3, 0, 2,
		  "register KVM_REG_ARM_STD_BMAP: 0x3 is refused by this kernel: bits [63:1] is 1 in the "
		  "image, 0 on this "
		  "host\n" },
		{ CCSIDR, 0x701fe00a, 0x701fe01a, ~0ull,
		  "register CCSIDR_EL1[0]: 0x701fe00a is refused by this kernel: Associativity is 1 in the "
		  "image, 3 on this "
		  "host\n" },
	};

	for (size_t i = 0; i < COUNT(refused); i++) {
		struct trip trip =
			trip_refused(refused[i].id, refused[i].image, refused[i].host, refused[i].bits);

		assert_refused(&trip, "ID and firmware registers", refused[i].reason);
		assert_int_equal(log_errors(), 2);
		assert_string_equal(
			log_error(),
			"vm 1: 1 registers of the image refused: the guest was told of another CPU, "
			"firmware or kernel: restore it on a host that has what it was told of");
		trip_finish(&trip);
	}
}

/* KVM may take each field, and not the two together: it is then for the user to compare. */
static void fields_that_are_refused_only_together_are_all_named(void **state)
{
	struct trip trip = trip_refused(PFR0, 0x1100000011, 0x0000000011, 0);

	trip.copy->fail_like = "vcpu 0: KVM_SET_ONE_REG 0x603000000013c020 = 0x1100000011";
	trip.copy->fail_times = 1;
	trip.copy->fail_errno = EINVAL;
	assert_refused(&trip, "ID and firmware registers",
		       "is refused by this kernel: SEL2 is 1 in the image, 0 on this host; SVE is 1 in the "
		       "image, 0 on this "
		       "host\n");
	trip_finish(&trip);
}

static void a_value_that_is_refused_though_it_is_the_hosts_own_is_named(void **state)
{
	struct trip trip = trip_refused(PFR0, 0x11, 0x11, 0);

	trip.copy->fail_like = "vcpu 1: KVM_SET_ONE_REG 0x603000000013c020 *";
	trip.copy->fail_times = 1;
	trip.copy->fail_errno = EINVAL;
	assert_refused(
		&trip, "ID and firmware registers",
		"register ID_AA64PFR0_EL1: 0x11 is refused by this kernel: and it is what it has itself\n");
	trip_finish(&trip);
}

static void all_registers_that_are_refused_are_named(void **state)
{
	struct trip trip = trip_refused(PFR0, 0x12, 0x11, ~0ull);

	for (size_t i = 0; i < 2; i++)
		fake_set_reg_u64(&trip.copy->vcpus[i], FAKE_PSCI_VERSION, 0x10001);
	trip.copy->invariants[trip.copy->nr_invariants++] =
		(struct fake_invariant){ FAKE_PSCI_VERSION, ~0ull };
	assert_refused(&trip, "ID and firmware registers", "register ID_AA64PFR0_EL1: 0x12 is refused");
	assert_true(log_has("register KVM_REG_ARM_PSCI_VERSION: "));
	assert_int_equal(log_errors(), 3);
	assert_non_null(strstr(log_error(), "2 registers of the image refused: "));
	trip_finish(&trip);
}

/* More than are worth a line each. */
static void as_many_as_are_refused_are_counted(void **state)
{
	struct trip trip;
	struct fake_kvm *source = fake_running(
		(struct fake_shape){ .nr_vcpus = 1, .nr_irqs = 64, .features = 1 << KVM_ARM_VCPU_PSCI_0_2 });

	/* The fake has no room for so many: those that are not needed make place. */
	source->vcpus[0].nr_regs = 0;
	for (size_t i = 0; i < 18; i++)
		add(&source->vcpus[0], ARM64_SYS_REG(3, 0, 0, 1 + i / 8, i % 8), 1);
	add(&source->vcpus[0], ARM64_MPIDR_EL1, 0x80000101);
	add(&source->vcpus[0], ARM64_CORE_PC, 0x1000);
	add(&source->vcpus[0], ARM64_CORE_PSTATE, 5);
	trip = trip_dump(source);
	trip.copy->vcpus[0].nr_regs = 0;
	for (size_t i = 0; i < 18; i++) {
		uint64_t id = ARM64_SYS_REG(3, 0, 0, 1 + i / 8, i % 8);

		add(&trip.copy->vcpus[0], id, 0);
		trip.copy->invariants[trip.copy->nr_invariants++] = (struct fake_invariant){ id, ~0ull };
	}
	add(&trip.copy->vcpus[0], ARM64_MPIDR_EL1, 0);
	add(&trip.copy->vcpus[0], ARM64_CORE_PC, 0);
	add(&trip.copy->vcpus[0], ARM64_CORE_PSTATE, 0);
	assert_refused(&trip, "ID and firmware registers", "register ID_PFR0_EL1: 0x1 is refused");
	assert_int_equal(log_errors(), 17);
	assert_non_null(strstr(log_error(), "18 registers of the image refused, not all of them named: "));
	trip_finish(&trip);
}

/* Any other errno is no answer. */
static void an_error_that_says_nothing_of_the_value_ends_the_step(void **state)
{
	struct trip trip = trip_refused(PFR0, 0x11, 0x11, 0);

	trip.copy->fail_like = "vcpu 0: KVM_SET_ONE_REG 0x603000000013c020 *";
	trip.copy->fail_times = 1;
	trip.copy->fail_errno = EBUSY;
	assert_int_equal(trip_restore(&trip), -EBUSY);
	trip_finish(&trip);
}

static void a_vmm_that_is_gone_while_a_refusal_is_explained_is_an_error(void **state)
{
	static const char *const calls[] = { "vcpu 0: KVM_GET_ONE_REG 0x603000000013c020",
					     "vcpu 0: KVM_SET_ONE_REG 0x603000000013c020 = 0x110000001?" };

	for (size_t i = 0; i < COUNT(calls); i++) {
		struct trip trip = trip_refused(PFR0, 0x1100000012, 0x0000000011, 0xf);

		trip.copy->fail_like = calls[i];
		trip.copy->fail_times = 8;
		trip.copy->fail_errno = i ? EINVAL : EIO;
		assert_true(trip_restore(&trip) < 0);
		assert_int_equal(fake_count(trip.copy, "*KVM_RUN*"), 0);
		trip_finish(&trip);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_register_that_was_0_is_not_missed),
		cmocka_unit_test(an_id_register_that_was_not_0_is_missed),
		cmocka_unit_test(services_that_were_not_offered_are_not_missed),
		cmocka_unit_test(a_service_that_was_offered_is_missed),
		cmocka_unit_test(a_register_that_the_guest_could_not_reach_is_not_missed),
		cmocka_unit_test(a_register_of_6_12_that_7_2_lists_with_its_feature_only_is_not_missed),
		cmocka_unit_test(a_register_that_the_guest_could_reach_is_missed),
		cmocka_unit_test(the_identity_of_a_cpu_is_missed_even_where_it_was_0),
		cmocka_unit_test(any_other_register_is_missed),
		cmocka_unit_test(as_many_as_there_are_are_counted),
		cmocka_unit_test(what_the_guest_read_as_0_stays_0),
		cmocka_unit_test(a_feature_that_cannot_be_hidden_is_refused),
		cmocka_unit_test(other_registers_are_left_as_they_are),
		cmocka_unit_test(an_image_without_what_every_kernel_has_is_damaged),
		cmocka_unit_test(both_sides_of_a_difference_are_named),
		cmocka_unit_test(a_difference_is_told_once),
		cmocka_unit_test(a_dump_is_restored_twice_with_what_was_dropped_and_added),
		cmocka_unit_test(a_value_that_is_refused_is_explained),
		cmocka_unit_test(fields_that_are_refused_only_together_are_all_named),
		cmocka_unit_test(a_value_that_is_refused_though_it_is_the_hosts_own_is_named),
		cmocka_unit_test(all_registers_that_are_refused_are_named),
		cmocka_unit_test(as_many_as_are_refused_are_counted),
		cmocka_unit_test(an_error_that_says_nothing_of_the_value_ends_the_step),
		cmocka_unit_test(a_vmm_that_is_gone_while_a_refusal_is_explained_is_an_error),
	};

	return cmocka_run_group_tests_name("register policy", tests, NULL, NULL);
}
