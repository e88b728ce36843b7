// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a step is in its place for: moved or left out, the fake KVM refuses it or what comes after it, or the
 * VM that comes back is another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "testlog.h"
#include "trip.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_STEPS 64

struct change {
	const char *name;
	enum { NOTHING, LEFT_OUT, BEFORE, BEHIND } how;
	const char *step, *other;
	/* One of the two: the call that fails, or what fake_diff() says. */
	const char *fails, *differs;
	bool of_dump, counter_offset;
};

static const struct change changes[] = {
	{ "capabilities_left_out", LEFT_OUT, "capabilities", .differs = "caps" },
	{ "capabilities_behind_memslots", BEHIND, "capabilities", "memslots", .fails = "vm: KVM_ENABLE_CAP 228*" },
	{ "smccc_filter_left_out", LEFT_OUT, "SMCCC filter", .differs = "caps" },
	{ "smccc_filter_behind_the_replay", BEHIND, "SMCCC filter", "pending exits", .fails = "vm: SMCCC FILTER*" },
	{ "dirty_logs_left_out", LEFT_OUT, "dirty logs", .differs = "dirty log of memslot 1" },
	{ "dirty_logs_before_memslots", BEFORE, "dirty logs", "memslots", .fails = "vm: KVM_CLEAR_DIRTY_LOG 1*" },
	{ "dirty_logs_not_read", LEFT_OUT, "dirty logs", .differs = "dirty log of memslot 1", .of_dump = true },
	{ "vector_lengths_left_out", LEFT_OUT, "vector lengths", .fails = "vcpu 0: KVM_GET_REG_LIST" },
	{ "vector_lengths_before_init", BEFORE, "vector lengths", "vCPU initialisation",
	  .fails = "vcpu 0: KVM_SET_ONE_REG 0x606000000015ffff*" },
	{ "vector_lengths_behind_the_list", BEHIND, "vector lengths", "register list",
	  .fails = "vcpu 0: KVM_GET_REG_LIST" },
	{ "vector_lengths_behind_registers", BEHIND, "vector lengths", "vCPU registers",
	  .fails = "vcpu 0: KVM_GET_REG_LIST" },
	{ "registers_before_vector_lengths", BEFORE, "vCPU registers", "vector lengths",
	  .fails = "vcpu 0: KVM_SET_ONE_REG 0x6080000000150000*" },
	{ "pmu_event_filter_left_out", LEFT_OUT, "PMU event filter", .differs = "pmu_filtered" },
	{ "pmu_event_filter_behind_the_pmu", BEHIND, "PMU event filter", "PMU",
	  .fails = "vcpu 0: SET PMU_V3 FILTER*" },
	{ "pmu_event_filter_behind_the_replay", BEHIND, "PMU event filter", "pending exits",
	  .fails = "vcpu 0: SET PMU_V3 FILTER*" },
	{ "pmu_left_out", LEFT_OUT, "PMU", .fails = "vcpu 0: KVM_RUN*" },
	{ "pmu_before_the_gic", BEFORE, "PMU", "GIC addresses", .fails = "vcpu 0: SET PMU_V3 INIT" },
	{ "pmu_behind_the_replay", BEHIND, "PMU", "pending exits", .fails = "vcpu 0: KVM_RUN*" },
	{ "counter_offset_left_out", LEFT_OUT, "guest counters", .differs = "ptimer_offset", .counter_offset = true },
	{ "steal_time_left_out", LEFT_OUT, "steal time", .differs = "vCPU 0: pvtime" },
	{ "steal_time_before_memory", BEFORE, "steal time", "memslots", .fails = "vcpu 0: SET PVTIME IPA*" },
	{ "steal_time_before_the_replay", BEFORE, "steal time", "pending exits", .differs = "vCPU 0: stolen" },
	{ "guest_debugging_left_out", LEFT_OUT, "guest debugging", .differs = "vCPU 0: debug.control" },
	{ "guest_debugging_before_the_replay", BEFORE, "guest debugging", "pending exits",
	  .differs = "vCPU 0: debug.control" },
	{ "signal_masks_left_out", LEFT_OUT, "signal masks", .differs = "vCPU 0: sigset_active" },
	{ "signal_masks_before_the_replay", BEFORE, "signal masks", "pending exits", .fails = "vcpu 0: KVM_RUN*" },
	{ "serrors_left_out", LEFT_OUT, "vCPU events", .differs = "vCPU 1: serror" },
	{ "pmu_interrupts_not_read", LEFT_OUT, "PMU", .fails = "vcpu 0: SET PMU_V3 INIT", .of_dump = true },
	{ "pmu_filter_cut_before_its_version", BEFORE, "PMU event filter cut", "vCPU registers", .differs = "PMU event filter from 0x400 on",
	  .of_dump = true },
	{ "ended_irqfds_left_out", LEFT_OUT, "irqfds that have ended", .differs = "injecting", .of_dump = true },
	{ "routing_left_out", LEFT_OUT, "GSI routing", .differs = "routes" },
	{ "routing_before_init", BEFORE, "GSI routing", "GIC addresses", .differs = "routes" },
	{ "irqfds_left_out", LEFT_OUT, "irqfds", .differs = "irqfds" },
	{ "irqfds_before_init", BEFORE, "irqfds", "GIC addresses", .fails = "vm: KVM_IRQFD fd 40*" },
	{ "ioeventfds_left_out", LEFT_OUT, "ioeventfds", .differs = "ioeventfds" },
	/* The replay leaves KVM_RUN without an access, and why is looked for in the registers. */
	{ "ioeventfds_before_the_replay", BEFORE, "ioeventfds", "pending exits", .fails = "vcpu 1: KVM_GET_ONE_REG*" },
	{ "coalesced_mmio_left_out", LEFT_OUT, "coalesced MMIO", .differs = "zones" },
	{ "coalesced_mmio_before_the_replay", BEFORE, "coalesced MMIO", "pending exits",
	  .fails = "vcpu 1: KVM_GET_ONE_REG*" },
	{ "nothing_changed", NOTHING, "PMU", .of_dump = false },
	{ "nothing_changed_with_a_counter_offset", NOTHING, "PMU", .counter_offset = true },
};

static size_t find(const struct plan_step *steps, size_t nr, const char *name)
{
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(steps[i].name, name))
			return i;
	fail_msg("there is no step '%s'", name);
	return 0;
}

/* @steps as @change has them: how many. */
static size_t change_steps(const struct change *change, struct plan_step *to, const struct plan_step *steps, size_t nr)
{
	size_t at = find(steps, nr, change->step);
	struct plan_step step = steps[at];

	assert_true(nr <= MAX_STEPS);
	memcpy(to, steps, nr * sizeof(*steps));
	if (change->how == NOTHING)
		return nr;
	memmove(&to[at], &to[at + 1], (nr - at - 1) * sizeof(*to));
	if (change->how == LEFT_OUT)
		return nr - 1;
	at = find(to, nr - 1, change->other) + (change->how == BEHIND);
	memmove(&to[at + 1], &to[at], (nr - 1 - at) * sizeof(*to));
	to[at] = step;
	return nr;
}

static int run_changed(const struct change *change, const struct plan_step *steps, size_t nr, struct vm_state *vm,
		       struct fake_kvm *kvm, bool changed)
{
	struct plan_step to[MAX_STEPS];
	size_t failed;

	log_reset();
	if (!changed)
		return fake_steps(steps, nr, vm, kvm, &failed);
	nr = change_steps(change, to, steps, nr);
	return fake_steps(to, nr, vm, kvm, &failed);
}

/* The call that was refused; what follows it ends a replay, or takes a page out of the room again. */
static const char *refused_call(const struct fake_kvm *kvm)
{
	size_t i = kvm->nr_lines - 1, n = i;

	while (n && fake_ends_replay(kvm->lines[n]))
		n--;
	if (fake_is_like(kvm->lines[n], "vcpu ?: KVM_RUN*"))
		return kvm->lines[n];
	while (fake_is_like(kvm->lines[i], "task: mmap anonymous room * prot 0"))
		i--;
	return kvm->lines[i];
}

static void assert_matters(const struct change *change, const struct trip *trip, int ret)
{
	const char *diff = ret ? NULL : fake_diff(trip->source, trip->copy);

	if (change->how == NOTHING) {
		assert_int_equal(ret, 0);
		trip_assert_same(trip);
	} else if (change->fails && !ret) {
		fail_msg("'%s' expected to fail, and all went well", change->fails);
	} else if (change->fails) {
		if (!fake_is_like(refused_call(trip->copy), change->fails))
			fail_msg("'%s' expected to fail, but '%s' did", change->fails, refused_call(trip->copy));
	} else if (ret) {
		fail_msg("'%s' failed", refused_call(trip->copy));
	} else if (!diff || strcmp(diff, change->differs)) {
		fail_msg("'%s' expected to differ, and found: %s", change->differs, diff ? diff : "nothing");
	}
}

static void it_matters(void **state)
{
	const struct change *change = *state;
	struct trip trip = { .source = fake_running((struct fake_shape){
				     .nr_vcpus = 4, .nr_irqs = 64, .counter_offset = change->counter_offset }) };
	int ret;

	trip.vm = fake_discovered(trip.source);
	trip.source->injecting = 1;
	assert_int_equal(run_changed(change, plan_dump, plan_nr_dump, trip.vm, trip.source, change->of_dump), 0);
	trip.copy = fake_created(trip.source, trip.vm);
	trip.copy->signals = FAKE_SIGUSR1; /* as a VMM has it that has just kicked this vCPU */
	ret = run_changed(change, plan_restore, plan_nr_restore, trip.vm, trip.copy, !change->of_dump);
	assert_matters(change, &trip, ret);
	trip_finish(&trip);
}

/* Registers that KVM_VGIC_SKIP names, for the end-to-end tests: the VM is another without them. */
static const struct {
	const char *what, *differs;
} classes[] = {
	{ "SVE registers", "vCPU 0: register 0x6080000000150000" },
	{ "pointer authentication keys", "vCPU 0: register 0x603000000013c108" },
	{ "PMU counters", "vCPU 0: register 0x603000000013dce8" },
	{ "drained irqfds", "injected" },
	{ "CNTV_CTL_EL0", "vCPU 0: register 0x603000000013df19" },
	{ "CNTP_CTL_EL0", "vCPU 0: register 0x603000000013df11" },
	{ "CNTP_CVAL_EL0", "vCPU 0: register 0x603000000013df12" },
};

static void each_class_of_registers_matters(void **state)
{
	for (size_t i = 0; i < COUNT(classes); i++) {
		struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64 }));

		setenv("KVM_VGIC_SKIP", classes[i].what, 1);
		assert_int_equal(trip_restore(&trip), 0);
		unsetenv("KVM_VGIC_SKIP");
		assert_non_null(fake_diff(trip.source, trip.copy));
		assert_string_equal(fake_diff(trip.source, trip.copy), classes[i].differs);
		trip_finish(&trip);
	}
}

int main(void)
{
	struct CMUnitTest tests[COUNT(changes) + 1] = { cmocka_unit_test(each_class_of_registers_matters) };

	for (size_t i = 0; i < COUNT(changes); i++)
		tests[i + 1] = (struct CMUnitTest){ .name = changes[i].name,
						    .test_func = it_matters,
						    .initial_state = (void *)&changes[i] };
	return cmocka_run_group_tests_name("what a step is in its place for", tests, NULL, NULL);
}
