// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order of the two sequences. Each rule is a test, named after what a guest or its
 * owner keeps by it. The whole of both, for a small VM, is in plan_dump.txt and
 * plan_restore.txt: KVM_VGIC_TEST_RECORD=1 writes them anew, and the diff is the change of order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_vm.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define GET_REG "KVM_GET_ONE_REG 0x60300000001"
#define SET_REG "KVM_SET_ONE_REG 0x60300000001"
#define ID_REGS "3c0[2-3]? *" /* ID registers, by the digits that follow */
#define MPIDR "3c005 *"
#define CORE_REGS "000*"
#define SCTLR "3c080 *"
#define DFR0 "3c028*"
#define PMCR "3dce0*"
#define SET_VLS "KVM_SET_ONE_REG 0x606000000015ffff *"
#define SET_SVE "KVM_SET_ONE_REG 0x60[58]0000000150*"
#define DEBUGGER "KVM_SET_GUEST_DEBUG = 0x?000?"
#define TIMER_CNT "3df1a *"
#define PTIMER_CNT "3df01 *"

/* What was recorded of a VM of four vCPUs, which runs and is restored; and of one with ITSes. */
static struct fake_kvm *dumped, *restored, *its_dumped, *its_restored;

/* All lines like @first are before all like @then, and there are some of each. %u: for each vCPU on its own.
 */
struct rule {
	const char *keeps;
	const char *first, *then;
};

static const struct rule dump_rules[] = {
	{ "every_spi_is_read", "gic: GET NR_IRQS", "gic: GET GICD_I[!I]*" },
	{ "a_psci_reset_that_was_pending_is_in_the_power_state", "vcpu %u: KVM_GET_ONE_REG*",
	  "vcpu %u: KVM_GET_MP_STATE" },
	{ "an_serror_is_read_after_what_may_clear_it", "vcpu %u: KVM_GET_ONE_REG*",
	  "vcpu %u: KVM_GET_VCPU_EVENTS" },
	{ "the_power_state_is_the_last_that_is_asked_of_a_vcpu", "vcpu %u: KVM_GET_VCPU_EVENTS",
	  "vcpu %u: KVM_GET_MP_STATE" },
	{ "the_pmu_has_as_many_events_as_its_guest_can_name", "vcpu ?: " GET_REG DFR0, "vcpu ?: GET PMU_V3 IRQ" },
	{ "kvm_run_is_read_when_no_ioctl_can_change_it", "vcpu ?: KVM_*", "vcpu ?: read page*" },
};

static const struct rule restore_rules[] = {
	{ "guest_memory_is_there_before_what_reads_it", "vm: KVM_SET_USER_MEMORY_REGION*",
	  "[gv][ic]*: SET*" },
	{ "no_vcpu_forgets_its_registers_in_its_initialisation", "vcpu ?: KVM_ARM_VCPU_INIT*",
	  "vcpu ?: *ET_*" },
	{ "a_guest_meets_what_capabilities_change", "vm: KVM_ENABLE_CAP*", "vcpu ?: KVM_ARM_VCPU_INIT*" },
	{ "vector_lengths_are_set_while_they_can_be", "vcpu %u: " SET_VLS, "vcpu %u: KVM_ARM_VCPU_FINALIZE = 0x4" },
	{ "sve_registers_are_there_to_be_listed", "vcpu ?: KVM_ARM_VCPU_FINALIZE*", "vcpu ?: KVM_GET_REG_LIST" },
	{ "sve_registers_have_their_length", "vcpu %u: KVM_ARM_VCPU_FINALIZE*", "vcpu %u: " SET_SVE },
	{ "no_event_is_counted_that_the_vmm_forbids", "vcpu 0: SET PMU_V3 FILTER*", "vcpu ?: KVM_RUN*" },
	{ "the_event_filter_is_set_while_it_can_be", "vcpu 0: SET PMU_V3 FILTER*", "vcpu ?: SET PMU_V3 INIT" },
	{ "the_event_filter_is_that_of_a_host_with_all_registers", "vcpu ?: KVM_GET_REG_LIST",
	  "vcpu 0: SET PMU_V3 FILTER*" },
	{ "counters_that_the_host_has_not_are_missed", "vcpu ?: " SET_REG PMCR, "vcpu ?: " GET_REG PMCR },
	{ "counters_are_compared_before_a_vcpu_runs", "vcpu ?: " GET_REG PMCR, "vcpu ?: KVM_RUN*" },
	{ "the_pmu_has_its_interrupt", "vcpu %u: SET PMU_V3 IRQ = 23", "vcpu %u: SET PMU_V3 INIT" },
	{ "the_pmu_finds_the_gic_initialised", "gic: SET CTRL INIT", "vcpu ?: SET PMU_V3 *I[RN]*" },
	{ "a_vcpu_with_a_pmu_can_run", "vcpu ?: SET PMU_V3 INIT", "vcpu ?: KVM_RUN*" },
	{ "the_stolen_time_is_in_guest_memory", "vm: KVM_SET_USER_MEMORY_REGION*", "vcpu ?: SET PVTIME*" },
	{ "no_time_is_stolen_by_the_replay", "vcpu ?: KVM_RUN*", "vcpu ?: SET PVTIME*" },
	{ "the_replay_does_not_detach_the_debugger", "vcpu ?: KVM_SET_GUEST_DEBUG = 0", "vcpu ?: " DEBUGGER },
	{ "no_signal_for_a_vcpu_ends_the_replay", "vcpu ?: KVM_RUN*", "vcpu ?: KVM_SET_SIGNAL_MASK*" },
	{ "a_guest_keeps_the_cpu_features_it_has_seen", "vcpu %u: " SET_REG ID_REGS,
	  "# register list" },
	{ "firmware_versions_decide_before_the_registers_they_decide", "vcpu %u: " SET_REG "[46]0000 *",
	  "# register list" },
	{ "id_registers_are_first_of_the_core_registers", "vcpu ?: " SET_REG ID_REGS,
	  "vcpu ?: " SET_REG CORE_REGS },
	{ "id_registers_are_first_of_the_system_registers", "vcpu ?: " SET_REG ID_REGS,
	  "vcpu ?: " SET_REG SCTLR },
	{ "firmware_registers_are_first_of_the_others", "vcpu ?: " SET_REG "[46]0000 *",
	  "vcpu ?: " SET_REG CORE_REGS },
	{ "firmware_may_say_what_the_id_registers_let_it_say", "vcpu %u: " SET_REG ID_REGS,
	  "vcpu %u: " SET_REG "[46]000[02] *" },
	{ "no_counter_runs_that_did_not", "vcpu %u: " SET_REG "3dce2 *", "vcpu %u: " SET_REG "3dce1 *" },
	{ "no_counter_has_overflown_that_had_not", "vcpu %u: " SET_REG "3dce3 *", "vcpu %u: " SET_REG "3dcf3 *" },
	{ "no_counter_interrupts_that_did_not", "vcpu %u: " SET_REG "3c4f2 *", "vcpu %u: " SET_REG "3c4f1 *" },
	{ "nothing_is_written_to_a_host_that_lacks_a_register", "vcpu ?: KVM_GET_REG_LIST",
	  "vcpu ?: " SET_REG CORE_REGS },
	{ "no_vcpu_gets_the_interrupts_of_another", "vcpu ?: " SET_REG MPIDR, "*: SET [GIL]*" },
	{ "the_gic_knows_all_vcpus", "vcpu ?: KVM_ARM_VCPU_INIT*", "gic: SET CTRL INIT" },
	{ "the_gic_has_as_many_interrupts_as_it_had", "gic: SET NR_IRQS*", "gic: SET CTRL INIT" },
	{ "the_gic_is_where_the_guest_knows_it", "gic: SET ADDR DIST*", "gic: SET CTRL INIT" },
	{ "the_redistributors_are_where_the_guest_knows_them", "gic: SET ADDR REDIST*",
	  "gic: SET CTRL INIT" },
	{ "the_gic_is_initialised_before_its_registers", "gic: SET CTRL INIT", "*: SET [GIL]*" },
	{ "a_pending_spi_is_queued", "gic: SET GICD_CTLR*", "gic: SET GICD_ISPENDR*" },
	{ "a_high_line_is_queued", "gic: SET GICD_CTLR*", "gic: SET LEVEL_INFO*" },
	{ "a_pending_sgi_is_queued", "gic: SET GICD_CTLR*", "vcpu ?: SET GICR_ISPENDR*" },
	{ "a_timer_that_fired_is_queued", "gic: SET GICD_CTLR*", "vcpu ?: SET LEVEL_INFO*" },
	{ "a_pending_spi_is_enabled", "gic: SET GICD_ISENABLER*", "gic: SET GICD_ISPENDR*" },
	{ "a_high_line_is_enabled", "gic: SET GICD_ISENABLER*", "gic: SET LEVEL_INFO*" },
	{ "a_pending_spi_has_its_group", "gic: SET GICD_IGROUPR*", "gic: SET GICD_ISPENDR*" },
	/* Odd INTIDs: the one that is routed twice is even, and has a test below. */
	{ "a_pending_spi_goes_where_it_is_routed", "gic: SET GICD_IROUTER 0x6[123]?8 *",
	  "gic: SET GICD_ISPENDR*" },
	{ "a_high_line_goes_where_it_is_routed", "gic: SET GICD_IROUTER 0x6[123]?8 *",
	  "gic: SET LEVEL_INFO*" },
	{ "an_edge_is_not_taken_for_a_level", "gic: SET GICD_ICFGR*", "gic: SET LEVEL_INFO*" },
	{ "a_latch_is_not_taken_for_a_level", "gic: SET GICD_ICFGR*", "gic: SET GICD_ISPENDR*" },
	{ "a_line_is_up_before_its_latch", "gic: SET LEVEL_INFO*", "gic: SET GICD_ISPENDR*" },
	{ "an_active_spi_stays_with_its_vcpu", "gic: SET GICD_IROUTER 0x6[123]?8 *",
	  "gic: SET GICD_ISACTIVER*" },
	{ "an_active_spi_that_is_pending_too_is_both", "gic: SET GICD_ISPENDR*", "gic: SET GICD_ISACTIVER*" },
	{ "a_disabled_sgi_stays_disabled", "vcpu %u: SET GICR_ICENABLER* = 0xffffffff",
	  "vcpu %u: SET GICR_ISENABLER*" },
	{ "a_pending_ppi_is_enabled", "vcpu %u: SET GICR_ISENABLER*", "vcpu %u: SET GICR_ISPENDR*" },
	{ "a_timer_that_fired_is_enabled", "vcpu %u: SET GICR_ISENABLER*", "vcpu %u: SET LEVEL_INFO*" },
	{ "a_pending_ppi_has_its_group", "vcpu %u: SET GICR_IGROUPR*", "vcpu %u: SET GICR_ISPENDR*" },
	{ "a_ppi_has_its_trigger_before_its_line", "vcpu %u: SET GICR_ICFGR*", "vcpu %u: SET LEVEL_INFO*" },
	{ "a_ppi_line_is_up_before_its_latch", "vcpu %u: SET LEVEL_INFO*", "vcpu %u: SET GICR_ISPENDR*" },
	{ "an_active_ppi_that_is_pending_too_is_both", "vcpu %u: SET GICR_ISPENDR*",
	  "vcpu %u: SET GICR_ISACTIVER*" },
	{ "the_lpi_configuration_is_set_while_it_can_be", "vcpu 0: SET GICR_PROPBASER*",
	  "vcpu 0: SET GICR_CTLR*" },
	{ "the_lpi_pending_table_is_set_while_it_can_be", "vcpu %u: SET GICR_PENDBASER*",
	  "vcpu %u: SET GICR_CTLR*" },
	{ "system_registers_are_chosen_before_they_are_used", "vcpu %u: SET ICC_SRE_EL1*",
	  "vcpu %u: SET ICC_[!S]*" },
	{ "active_priorities_find_their_registers", "vcpu %u: SET ICC_CTLR_EL1*", "vcpu %u: SET ICC_[!CS]*" },
	{ "the_timer_interrupts_are_set_before_a_vcpu_runs", "vcpu ?: SET TIMER_IRQ*", "vcpu ?: KVM_RUN*" },
	{ "guest_time_starts_when_all_else_is_there", "*: SET [!P]*", "vcpu ?: " SET_REG TIMER_CNT },
	{ "guest_time_starts_when_the_pmu_counts", "*: SET PMU*", "vcpu ?: " SET_REG TIMER_CNT },
	{ "guest_time_starts_after_the_registers", "vcpu ?: " SET_REG SCTLR, "vcpu ?: " SET_REG TIMER_CNT },
	{ "no_vcpu_runs_before_all_are_complete", "vcpu ?: " SET_REG TIMER_CNT,
	  "vcpu ?: KVM_SET_GUEST_DEBUG*" },
	{ "no_vcpu_runs_before_the_gic_is_complete", "*: SET [!P]*", "vcpu ?: KVM_RUN*" },
	{ "an_exit_of_a_stopped_vcpu_can_be_replayed", "vcpu ?: KVM_RUN*", "vcpu ?: KVM_SET_MP_STATE*" },
	{ "an_serror_does_not_take_the_place_of_an_exit", "vcpu ?: KVM_RUN*", "vcpu ?: KVM_SET_VCPU_EVENTS*" },
	{ "no_vcpu_runs_should_criu_be_killed", "# no vCPU runs", "vcpu ?: KVM_ARM_VCPU_INIT*" },
	{ "the_vmm_finds_kvm_run_as_it_left_it", "vcpu ?: KVM_*", "vcpu ?: write all of the page" },
	{ "the_vmm_never_sees_a_page_half_written", "vcpu ?: write all of the page", "vcpu ?: mmap * fixed *" },
	{ "the_fds_are_there_as_long_as_they_are_used", "[gvt][icma]*: [!c]*", "task: close [67]?" },
};

#define SAVE_ITS "its ?: SET CTRL SAVE_TABLES"
#define SAVE_LPIS "gic: SET CTRL SAVE_PENDING_TABLES"
#define RESTORE_ITS "its ?: SET CTRL RESTORE_TABLES"
/* Of guest memory, where the fake's tables are. */
#define READ_PENDING "guest: read 0xffff400b*"
#define READ_CONFIG "guest: read 0xffff400a*"
#define READ_DEVICES "guest: read 0xffff4000*"
#define READ_COLLECTIONS "guest: read 0xffff4005*"

static const struct rule its_dump_rules[] = {
	{ "an_its_is_known_before_it_is_saved", "its ?: GET *", SAVE_ITS },
	{ "each_its_is_saved_before_its_devices_are_read", SAVE_ITS, READ_DEVICES },
	{ "each_its_is_saved_before_its_collections_are_read", SAVE_ITS, READ_COLLECTIONS },
	{ "pending_lpis_are_saved_before_the_configuration_is_read", SAVE_LPIS, READ_CONFIG },
	{ "no_lpi_is_saved_before_the_gic_is_read", "*: GET [GIL]*", SAVE_LPIS },
	{ "tables_are_in_memory_before_the_registers_of_vcpus_are_read", SAVE_LPIS,
	  "vcpu ?: KVM_GET_ONE_REG 0x6030000000100*" },
};

static const struct rule its_restore_rules[] = {
	{ "tables_are_read_when_memory_is_there", "vm: KVM_SET_USER_MEMORY_REGION*", "guest: read*" },
	{ "tables_are_compared_before_a_vcpu_is_initialised", "guest: read*", "vcpu ?: KVM_ARM_VCPU_INIT*" },
	{ "tables_are_compared_before_a_register_is_written", "guest: read*", "*: SET *" },
	{ "tables_are_compared_before_kvm_reads_them", "guest: read*", RESTORE_ITS },
	{ "the_lpi_configuration_is_known_before_lpis_are_enabled", "vcpu ?: SET GICR_PROPBASER*",
	  "vcpu ?: SET GICR_CTLR*" },
	{ "all_pending_tables_are_known_before_lpis_are_enabled", "vcpu ?: SET GICR_PENDBASER*",
	  "vcpu ?: SET GICR_CTLR*" },
	{ "an_lpi_is_queued", "gic: SET GICD_CTLR*", RESTORE_ITS },
	{ "lpis_are_enabled_before_what_is_pending_is_read", "vcpu ?: SET GICR_CTLR*", RESTORE_ITS },
	{ "the_redistributors_are_there_before_an_its", "vcpu ?: SET GICR_*", "its ?: SET *" },
	{ "all_vcpus_are_there_before_a_collection_names_one", "vcpu ?: KVM_ARM_VCPU_INIT*", RESTORE_ITS },
	{ "the_0th_its_has_its_address", "its 0: SET ADDR*", "its 0: SET GITS_*" },
	{ "the_1st_its_has_its_address", "its 1: SET ADDR*", "its 1: SET GITS_*" },
	{ "the_revision_of_the_tables_is_known", "its ?: SET GITS_IIDR*", RESTORE_ITS },
	{ "creadr_is_not_reset_in_the_0th_its", "its 0: SET GITS_CBASER*", "its 0: SET GITS_C[RW]*" },
	{ "creadr_is_not_reset_in_the_1st_its", "its 1: SET GITS_CBASER*", "its 1: SET GITS_C[RW]*" },
	{ "cbaser_is_the_first_in_the_0th_its", "its 0: SET GITS_CBASER*", "its 0: SET GITS_[!C]*" },
	{ "all_registers_but_ctlr_are_there_before_the_tables", "its ?: SET GITS_[!C]*", RESTORE_ITS },
	{ "all_command_queues_are_there_before_the_tables", "its ?: SET GITS_C[BRW]*", RESTORE_ITS },
	{ "no_command_is_executed_before_all_tables_are_there", RESTORE_ITS, "its ?: SET GITS_CTLR*" },
	{ "no_register_follows_ctlr", "its ?: SET GITS_[!C]*", "its ?: SET GITS_CTLR*" },
	{ "no_vcpu_runs_before_all_itses_are_complete", "its ?: *", "vcpu ?: KVM_RUN*" },
	{ "time_starts_when_all_itses_are_complete", "its ?: *", "vcpu ?: " SET_REG TIMER_CNT },
};

static void check_order(const struct fake_kvm *kvm, const char *first, const char *then)
{
	long last = fake_last(kvm, first), next = fake_first(kvm, then);

	if (last < 0)
		fail_msg("there is no '%s'", first);
	if (next < 0)
		fail_msg("there is no '%s'", then);
	if (last >= next)
		fail_msg("'%s' is line %ld, and '%s' already line %ld", kvm->lines[last], last,
			 kvm->lines[next], next);
}

/* "vcpu %u" as the pattern of one vCPU. */
static const char *of_vcpu(char *pattern, size_t size, const char *format, size_t i)
{
	const char *at = strstr(format, "%u");

	if (!at)
		return format;
	snprintf(pattern, size, "%.*s%zu%s", (int)(at - format), format, i, at + 2);
	return pattern;
}

static void check_rule(const struct fake_kvm *kvm, const struct rule *rule)
{
	bool each = strstr(rule->first, "%u");

	for (size_t i = 0; i < (each ? kvm->nr_vcpus : 1); i++) {
		char first[80], then[80];

		check_order(kvm, of_vcpu(first, sizeof(first), rule->first, i),
			    of_vcpu(then, sizeof(then), rule->then, i));
	}
}

static void in_the_dump(void **state)
{
	check_rule(dumped, *state);
}

static void in_the_restore(void **state)
{
	check_rule(restored, *state);
}

static void in_the_dump_of_itses(void **state)
{
	check_rule(its_dumped, *state);
}

static void in_the_restore_of_itses(void **state)
{
	check_rule(its_restored, *state);
}

/* Rules that are not of two patterns */

static void a_dump_changes_nothing_in_the_vm(void **state)
{
	assert_int_equal(fake_count(dumped, "*SET*"), 0);
	assert_int_equal(fake_count(dumped, "*INIT*"), 0);
	assert_int_equal(fake_count(dumped, "*KVM_RUN*"), 0);
	assert_int_equal(fake_count(dumped, "*: write *"), 0);
	/* KVM_IRQFD_FLAG_DEASSIGN, for an eventfd that nothing was bound to. */
	assert_int_equal(fake_count(dumped, "*close*"), 1);
	assert_int_equal(fake_count(dumped, "vm: KVM_IRQFD*"), 1);
	assert_int_equal(fake_count(dumped, "vm: KVM_IRQFD * DEASSIGN"), 1);
	assert_int_equal(fake_count(dumped, "*fixed*"), 0);
	assert_int_equal(fake_count(dumped, "*map*"), fake_count(dumped, "*mmap * room *"));
	/* Each vCPU's page, once, to the end of the session; of the dirty logs nothing stays. */
	assert_int_equal(fake_count(dumped, "vcpu ?: mmap*"), dumped->nr_vcpus);
	assert_int_equal(fake_count(dumped, "task: mmap anonymous room * prot 0"), 1);
	/* The logs are read with the capability, and the VMM has its own again. */
	assert_int_equal(fake_count(dumped, "*KVM_ENABLE_CAP*"), 2);
	assert_int_equal(fake_first(dumped, "vm: KVM_GET_DIRTY_LOG*") - 1,
			 fake_first(dumped, "vm: KVM_ENABLE_CAP 168 = 0x1"));
	assert_int_equal(fake_last(dumped, "vm: KVM_GET_DIRTY_LOG*") + 1,
			 fake_first(dumped, "vm: KVM_ENABLE_CAP 168 = 0"));
}

/* Attributes name a vCPU by its affinity: all are known before the first of these. */
static void each_vcpu_is_read_under_its_own_affinity(void **state)
{
	char pattern[80];

	for (size_t i = 0; i < dumped->nr_vcpus; i++) {
		long mpidr =
			fake_first(dumped, of_vcpu(pattern, sizeof(pattern), "vcpu %u: " GET_REG "3c005", i));

		assert_in_range(mpidr, 0, fake_first(dumped, "*: GET [GIL]*") - 1);
	}
	assert_int_equal(fake_count(dumped, "vcpu -1*"), 0);
	assert_int_equal(fake_count(restored, "vcpu -1*"), 0);
}

static void the_gic_behaves_as_the_guest_knows_it(void **state)
{
	long iidr = fake_first(restored, "gic: SET GICD_IIDR*");

	assert_int_equal(iidr, fake_first(restored, "*: [GS]ET [GIL]*"));
	assert_int_equal(iidr, fake_first(restored, "gic: SET CTRL INIT") + 1);
	assert_int_equal(fake_count(restored, "gic: SET GICD_IIDR*"), 1);
}

static void an_spi_stays_with_the_vcpu_that_handles_it(void **state)
{
	const char *holder = "gic: SET GICD_IROUTER 0x6120 = 0x1",
		   *routed = "gic: SET GICD_IROUTER 0x6120 = 0x101";

	assert_int_equal(fake_count(restored, "gic: SET GICD_IROUTER 0x6120*"), 2);
	check_order(restored, holder, "gic: SET GICD_ISACTIVER*");
	check_order(restored, holder, "gic: SET LEVEL_INFO*");
	check_order(restored, "gic: SET GICD_ISACTIVER*", routed);
	check_order(restored, routed, "vcpu ?: KVM_RUN*");
}

/* 0x6128 is its GICD_IROUTER, which reads 0: the MPIDR of vCPU 1. */
static void an_spi_that_was_never_routed_stays_with_the_first_vcpu(void **state)
{
	assert_int_equal(fake_count(dumped, "gic: GET GICD_IROUTER 0x6128*"), 1);
	assert_int_equal(fake_count(restored, "gic: SET GICD_IROUTER 0x6128*"), 0);
	assert_int_equal(fake_count(restored, "gic: SET GICD_IROUTER 0x6130*"), 1);
}

static void guest_time_is_written_once_and_never_back(void **state)
{
	/* vCPU 1 read the most. */
	assert_int_equal(fake_count(restored, "vcpu ?: " SET_REG TIMER_CNT), 1);
	assert_int_equal(fake_count(restored, "vcpu ?: " SET_REG "3df1a = 0x12345678905a"), 1);
}

/* An offset makes each access to the physical timer trap where the CPU lacks FEAT_ECV. */
static void the_physical_timer_stays_fast(void **state)
{
	assert_int_equal(fake_count(restored, "vcpu ?: " SET_REG PTIMER_CNT), 0);
}

static void no_vcpu_runs_that_owes_nothing(void **state)
{
	assert_int_equal(fake_count(restored, "vcpu ?: KVM_RUN*"), 2);
	assert_int_equal(fake_count(restored, "vcpu 0: KVM_RUN*"), 1);
	assert_int_equal(fake_count(restored, "vcpu 1: KVM_RUN*"), 1);
	assert_int_equal(fake_count(restored, "vcpu [23]: KVM_SET_GUEST_DEBUG*"), 1);
	assert_int_equal(fake_count(restored, "vcpu 3: KVM_SET_GUEST_DEBUG = 0x10001"), 1); /* its debugger */
}

static void an_serror_is_given_to_who_had_it(void **state)
{
	assert_int_equal(fake_count(restored, "vcpu ?: KVM_SET_VCPU_EVENTS*"), 1);
	assert_int_equal(fake_count(restored, "vcpu 1: KVM_SET_VCPU_EVENTS = 0x101"), 1);
}

/* By whom it was given one, and by nobody else. */
static void what_a_vmm_has_set_up_on_a_vcpu_is_of_that_vcpu(void **state)
{
	static const struct {
		const char *call;
		size_t times;
	} of_vcpus[] = {
		{ "vcpu [02]: SET PVTIME IPA = 0x47ff00[08]0", 2 },
		{ "vcpu ?: SET PVTIME*", 2 },
		{ "vcpu 0: " DEBUGGER, 1 },
		{ "vcpu 3: " DEBUGGER, 1 },
		{ "vcpu ?: " DEBUGGER, 2 },
		{ "vcpu 0: KVM_SET_SIGNAL_MASK = 8 bytes, 0xffffffffffebfcff", 1 },
		{ "vcpu 1: KVM_SET_SIGNAL_MASK = 8 bytes, 0xffffffffffdbfcff", 1 },
		{ "vcpu ?: KVM_SET_SIGNAL_MASK*", 2 },
		{ "vcpu ?: SET PMU_V3 IRQ = 23", 4 },
		{ "vcpu ?: SET PMU_V3 INIT", 4 },
		{ "vm: KVM_ENABLE_CAP 177 = 0", 1 },
		{ "vm: KVM_ENABLE_CAP 216 = 0", 1 },
		{ "vm: KVM_ENABLE_CAP 182 = 0x11170", 1 },
		{ "vm: KVM_ENABLE_CAP 228 = 0x200000", 1 },
		{ "vm: KVM_ENABLE_CAP 245 = 0", 1 },
		{ "vm: KVM_ENABLE_CAP 168 = *", 2 },
		{ "vm: KVM_ENABLE_CAP*", 7 },
		{ "vm: SMCCC FILTER*", 2 },
		{ "vcpu ?: " SET_VLS, 4 },
		{ "vcpu ?: KVM_ARM_VCPU_FINALIZE*", 4 },
	};

	for (size_t i = 0; i < COUNT(of_vcpus); i++)
		if (fake_count(restored, of_vcpus[i].call) != of_vcpus[i].times)
			fail_msg("'%s': %zu times, %zu expected", of_vcpus[i].call,
				 fake_count(restored, of_vcpus[i].call), of_vcpus[i].times);
}

/* The first KVM_RUN of any vCPU fixes ID registers, filters and timers of the VM. */
static void nothing_but_the_replay_follows_the_barrier(void **state)
{
	static const char *const allowed[] = {
		"#*",
		"vcpu ?: KVM_SET_GUEST_DEBUG*",
		"vcpu ?: KVM_RUN*",
		"vcpu ?: " SET_REG "00042 = *", /* PSTATE */
		"vcpu ?: " SET_REG "38012 = *", /* MDSCR_EL1 */
		"vcpu ?: KVM_SET_VCPU_EVENTS*",
		"vcpu ?: SET PVTIME IPA*",
		"vcpu ?: KVM_SET_SIGNAL_MASK*",
		"vcpu ?: KVM_SET_MP_STATE*",
		"vcpu ?: mmap*",
		"vcpu ?: [rw]* page*",
		"task: madvise*",
		"task: m*lock*",
		"task: close*",
		"task: bring*",
		"task: preadv2*",
		"vm: KVM_IRQFD*",
		"vm: KVM_IOEVENTFD*",
		"vm: KVM_REGISTER_COALESCED_MMIO*",
	};
	long barrier = fake_first(restored, "vcpu ?: KVM_SET_GUEST_DEBUG*");

	assert_true(barrier > 0);
	for (size_t i = barrier; i < restored->nr_lines; i++) {
		size_t p = 0;

		while (p < COUNT(allowed) && !fake_is_like(restored->lines[i], allowed[p]))
			p++;
		if (p == COUNT(allowed))
			fail_msg("'%s' after the first vCPU may run", restored->lines[i]);
	}
}

/* One line after another, from the first like the first. */
static void assert_run_of(const struct fake_kvm *kvm, const char *const *patterns)
{
	long at = fake_first(kvm, patterns[0]);

	assert_true(at >= 0);
	for (size_t i = 0; patterns[i]; i++) {
		const char *line = at + i < kvm->nr_lines ? kvm->lines[at + i] : "the end";

		if (!fake_is_like(line, patterns[i]))
			fail_msg("'%s' expected, '%s' found", patterns[i], line);
	}
}

static void an_instruction_is_repeated_alone_and_unseen(void **state)
{
	static const char *const replay[] = {
		"vcpu 0: KVM_SET_GUEST_DEBUG = 0x3",
		"vcpu 0: " SET_REG "00042 = 0x600003c5",
		"vcpu 0: " SET_REG "38012 = *",
		"vcpu 0: write page +0",
		"vcpu 0: KVM_RUN*",
		"vcpu 0: write page +0",
		"vcpu 0: KVM_SET_GUEST_DEBUG = 0",
		"vcpu 0: " SET_REG "00042 = 0x60000005",
		"vcpu 0: " SET_REG "38012 = *",
		"vcpu 0: read page +0",
		"vcpu 1: KVM_SET_GUEST_DEBUG = 0x3",
		NULL,
	};

	assert_run_of(restored, replay);
}

/* A session has them in its room from the first time on: what is mapped anew there costs a round trip each time. */
static void pages_are_mapped_once(void **state)
{
	assert_int_equal(fake_count(dumped, "vcpu ?: mmap fd * shared room *"), 4);
	assert_int_equal(fake_count(restored, "vcpu ?: mmap fd * shared room *"), 4);
}

static void the_vmm_finds_its_mappings_where_they_were(void **state)
{
	static const char *const maps[] = {
		"vcpu 0: mmap fd 66 shared fixed 0xffff80000000, 8192 bytes at +0, prot 3",
		"vcpu 1: mmap fd 67 shared fixed 0xffff80010000, 4096 bytes at +0, prot 3",
		"vcpu 1: mmap fd 67 shared fixed 0xffff80018000, 4096 bytes at +0x1000, prot 1",
		"vcpu 2: mmap fd 68 shared fixed 0xffff80020000, 8192 bytes at +0, prot 3",
		"vcpu 3: mmap fd 69 shared fixed 0xffff80030000, 4096 bytes at +0, prot 3",
		"vcpu 3: mmap fd 69 shared fixed 0xffff80038000, 4096 bytes at +0x1000, prot 1",
		"task: madvise 0xffff80000000, 8192 bytes, advice 10",
		NULL,
	};

	assert_run_of(restored, maps);
	assert_int_equal(fake_count(restored, "*mmap*fixed*"), 6);
}

static void the_vmm_finds_no_fd_that_it_never_had(void **state)
{
	static const char *const closed[] = { "# fds kept aside", "task: close 64",
					      "task: close 65",	  "task: close 66",
					      "task: close 67",	  "task: close 68",
					      "task: close 69",	  NULL };

	assert_run_of(restored, closed);
	assert_int_equal(fake_count(restored, "*close 6?"), 6);
	assert_int_equal(fake_count(restored, "*close*"), 6 + fake_count(restored, "task: bring*"));
	assert_int_equal(fake_last(restored, "*close*"), restored->nr_lines - 1);
}

/* "ITS Restore Sequence" of arm-vgic-its.rst, whole: no register is written twice, or elsewhere. */
static void the_registers_of_an_its_are_restored_in_the_documented_order(void **state)
{
#define REGISTERS_OF(n)                                                                                      \
	"its " n ": SET ADDR ITS = *", "its " n ": SET CTRL INIT", "its " n ": GET GITS_TYPER 0x8",           \
		"its " n ": SET GITS_CBASER 0x80 = *", "its " n ": SET GITS_IIDR 0x4 = 0x4b00043b",           \
		"its " n ": SET GITS_BASER 0x100 = *", "its " n ": SET GITS_BASER 0x108 = *",                 \
		"its " n ": SET GITS_BASER 0x110 = 0", "its " n ": SET GITS_BASER 0x118 = 0",                 \
		"its " n ": SET GITS_BASER 0x120 = 0", "its " n ": SET GITS_BASER 0x128 = 0",                 \
		"its " n ": SET GITS_BASER 0x130 = 0", "its " n ": SET GITS_BASER 0x138 = 0",                 \
		"its " n ": SET GITS_CWRITER 0x88 = *", "its " n ": SET GITS_CREADR 0x90 = *"
	static const char *const sequence[] = {
		"# ITS registers",
		REGISTERS_OF("0"),
		REGISTERS_OF("1"),
		"# ITS tables",
		"its 0: SET CTRL RESTORE_TABLES",
		"its 1: SET CTRL RESTORE_TABLES",
		"# ITS control",
		"its 0: SET GITS_CTLR 0 = 0x80000001",
		"its 1: SET GITS_CTLR 0 = 0",
		"# GSI routing", /* the next step */
		NULL,
	};

	assert_run_of(its_restored, sequence);
	assert_int_equal(fake_count(its_restored, "its *"), COUNT(sequence) - 5);
}

/* A guest cannot have used it. */
static void an_its_without_an_address_is_left_alone(void **state)
{
	assert_int_equal(fake_count(its_dumped, "its 2: *"), 1);
	assert_int_equal(fake_count(its_dumped, "its 2: GET ADDR ITS"), 1);
	assert_int_equal(fake_count(its_restored, "its 2: *"), 0);
}

/* What is kept of them is what they were before. */
static void pending_tables_are_kept_before_they_are_overwritten(void **state)
{
	check_order(its_dumped, "# LPI pending tables kept", READ_PENDING);
	assert_in_range(fake_first(its_dumped, READ_PENDING), 0, fake_first(its_dumped, SAVE_LPIS));
	assert_true(fake_last(its_dumped, READ_PENDING) > fake_first(its_dumped, SAVE_LPIS));
}

static void a_dump_of_itses_writes_nothing_but_by_kvm(void **state)
{
	assert_int_equal(fake_count(its_dumped, "*SET*"), 3);
	assert_int_equal(fake_count(its_dumped, SAVE_ITS), 2);
	assert_int_equal(fake_count(its_dumped, SAVE_LPIS), 1);
	assert_int_equal(fake_count(its_dumped, "*: write *"), 0);
	assert_int_equal(fake_count(its_restored, "guest: write*"), 0);
}

static void lpis_are_enabled_once_on_each_vcpu(void **state)
{
	assert_int_equal(fake_count(its_restored, "vcpu ?: SET GICR_CTLR*"), 4);
}

/* The whole of it */

static void record(const char *path, const struct fake_kvm *kvm)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (size_t i = 0; i < kvm->nr_lines; i++)
		fprintf(file, "%s\n", kvm->lines[i]);
	fclose(file);
}

static void assert_recorded(const struct fake_kvm *kvm, const char *name)
{
	char path[512], line[256];
	size_t n = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", RECORDS, name);
	if (getenv("KVM_VGIC_TEST_RECORD"))
		record(path, kvm);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		if (n >= kvm->nr_lines || strcmp(line, kvm->lines[n]))
			fail_msg("%s:%zu: '%s' expected, '%s' found", name, n + 1, line,
				 n < kvm->nr_lines ? kvm->lines[n] : "the end");
		n++;
	}
	fclose(file);
	if (n != kvm->nr_lines)
		fail_msg("%s: %zu lines, %zu found", name, n, kvm->nr_lines);
}

static struct fake_kvm *go_through(struct fake_shape shape, struct fake_kvm **source)
{
	struct fake_kvm *copy;
	struct vm_state *vm;
	size_t failed;

	*source = fake_running(shape);
	vm = fake_discovered(*source);
	if (fake_steps(plan_dump, plan_nr_dump, vm, *source, &failed))
		fail_msg("dump: %s failed", plan_dump[failed].name);
	copy = fake_created(*source, vm);
	if (fake_steps(plan_restore, plan_nr_restore, vm, copy, &failed))
		fail_msg("restore: %s failed: %s", plan_restore[failed].name,
			 copy->lines[copy->nr_lines - 1]);
	vm_state_free(vm);
	return copy;
}

static void the_two_sequences_are_as_they_were_reviewed(void **state)
{
	struct fake_kvm *source;
	struct fake_kvm *copy = go_through((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64 }, &source);

	assert_recorded(source, "plan_dump.txt");
	assert_recorded(copy, "plan_restore.txt");
	fake_free(source);
	fake_free(copy);
}

static int set_up(void **state)
{
	restored = go_through((struct fake_shape){ .nr_vcpus = 4, .nr_irqs = 128 }, &dumped);
	its_restored =
		go_through((struct fake_shape){ .nr_vcpus = 4, .nr_irqs = 64, .itses = true }, &its_dumped);
	return 0;
}

static int tear_down(void **state)
{
	fake_free(dumped);
	fake_free(restored);
	fake_free(its_dumped);
	fake_free(its_restored);
	return 0;
}

static size_t add_rules(struct CMUnitTest *tests, const struct rule *rules, size_t nr,
			CMUnitTestFunction check)
{
	for (size_t i = 0; i < nr; i++)
		tests[i] = (struct CMUnitTest){ .name = rules[i].keeps,
						.test_func = check,
						.initial_state = (void *)&rules[i] };
	return nr;
}

int main(void)
{
	const struct CMUnitTest others[] = {
		cmocka_unit_test(a_dump_changes_nothing_in_the_vm),
		cmocka_unit_test(each_vcpu_is_read_under_its_own_affinity),
		cmocka_unit_test(the_gic_behaves_as_the_guest_knows_it),
		cmocka_unit_test(an_spi_stays_with_the_vcpu_that_handles_it),
		cmocka_unit_test(an_spi_that_was_never_routed_stays_with_the_first_vcpu),
		cmocka_unit_test(guest_time_is_written_once_and_never_back),
		cmocka_unit_test(the_physical_timer_stays_fast),
		cmocka_unit_test(no_vcpu_runs_that_owes_nothing),
		cmocka_unit_test(an_serror_is_given_to_who_had_it),
		cmocka_unit_test(what_a_vmm_has_set_up_on_a_vcpu_is_of_that_vcpu),
		cmocka_unit_test(nothing_but_the_replay_follows_the_barrier),
		cmocka_unit_test(an_instruction_is_repeated_alone_and_unseen),
		cmocka_unit_test(pages_are_mapped_once),
		cmocka_unit_test(the_vmm_finds_its_mappings_where_they_were),
		cmocka_unit_test(the_vmm_finds_no_fd_that_it_never_had),
		cmocka_unit_test(the_registers_of_an_its_are_restored_in_the_documented_order),
		cmocka_unit_test(an_its_without_an_address_is_left_alone),
		cmocka_unit_test(pending_tables_are_kept_before_they_are_overwritten),
		cmocka_unit_test(a_dump_of_itses_writes_nothing_but_by_kvm),
		cmocka_unit_test(lpis_are_enabled_once_on_each_vcpu),
		cmocka_unit_test(the_two_sequences_are_as_they_were_reviewed),
	};
	struct CMUnitTest tests[COUNT(dump_rules) + COUNT(restore_rules) + COUNT(its_dump_rules) +
				COUNT(its_restore_rules) + COUNT(others)];
	size_t n = add_rules(tests, dump_rules, COUNT(dump_rules), in_the_dump);

	n += add_rules(tests + n, restore_rules, COUNT(restore_rules), in_the_restore);
	n += add_rules(tests + n, its_dump_rules, COUNT(its_dump_rules), in_the_dump_of_itses);
	n += add_rules(tests + n, its_restore_rules, COUNT(its_restore_rules), in_the_restore_of_itses);
	memcpy(tests + n, others, sizeof(others));
	return cmocka_run_group_tests_name("the order of dump and restore", tests, set_up, tear_down);
}
