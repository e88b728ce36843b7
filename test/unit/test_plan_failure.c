// SPDX-License-Identifier: GPL-2.0-only
/* Each call of a dump and of a restore fails once: what is said, what is returned, what is left. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "testlog.h"

#define ERR EXDEV /* that nothing here answers of its own */

static const struct fake_shape plain = { .nr_vcpus = 2, .nr_irqs = 64 };
static const struct fake_shape with_offset = { .nr_vcpus = 2, .nr_irqs = 64, .counter_offset = true };
static const struct fake_shape with_itses = { .nr_vcpus = 2, .nr_irqs = 64, .itses = true };
static struct fake_shape shape;
static bool calls_wait; /* in fail_plan(): as in a task, where a round trip is dear */

struct plan {
	const char *name;
	const struct plan_step *steps;
	const size_t *nr;
};

static const struct plan dump = { "dump", plan_dump, &plan_nr_dump };
static const struct plan restore = { "restore", plan_restore, &plan_nr_restore };

/* A VM before the plan, and the one that the calls go to. */
struct attempt {
	struct fake_kvm *source, *kvm;
	struct vm_state *vm;
};

static struct attempt before_of(const struct plan *plan, struct fake_shape of)
{
	struct attempt a = { .source = fake_running(of) };

	if (plan == &dump) {
		a.vm = fake_discovered(a.source);
		a.kvm = a.source;
	} else {
		a.vm = fake_dump(a.source);
		a.kvm = fake_created(a.source, a.vm);
	}
	log_reset();
	return a;
}

static struct attempt before(const struct plan *plan)
{
	return before_of(plan, shape);
}

static void forget(struct attempt *a)
{
	if (a->kvm != a->source)
		fake_free(a->kvm);
	fake_free(a->source);
	vm_state_free(a->vm);
}

static size_t calls_of(const struct plan *plan, struct fake_shape of, size_t steps)
{
	struct attempt a = before_of(plan, of);
	size_t failed, n;

	assert_int_equal(fake_steps(plan->steps, steps, a.vm, a.kvm, &failed), 0);
	n = a.kvm->nr_calls;
	forget(&a);
	return n;
}

/* What an error line says */

/* By the line of the record: what must be in the error. The rest has its name in it. */
static const struct {
	const char *call, *name;
} names[] = {
	{ "*: ?ET ADDR DIST*", "ADDR_TYPE_DIST" },	   { "*: GET ADDR REDIST*", "REDIST_REGION" },
	{ "*: SET ADDR REDIST*", "redistributor region" }, { "*: SET CTRL INIT", "CTRL_INIT" },
	{ "its *: ?ET ADDR ITS*", "ITS_ADDR_TYPE" },	   { "its *: SET CTRL SAVE*", "ITS_SAVE_TABLES" },
	{ "*: SET CTRL RESTORE*", "ITS_RESTORE_TABLES" },  { "gic: SET CTRL SAVE*", "SAVE_PENDING_TABLES" },
	{ "*: ?ET PMU_V3 IRQ*", "PMU_V3_IRQ" },	   { "*: SET PMU_V3 INIT*", "PMU_V3_INIT" },
	{ "vm: SMCCC FILTER*", "KVM_ARM_VM_SMCCC_FILTER" },
	{ "*: SET PMU_V3 FILTER*", "PMU_V3_FILTER" },	   { "*: SET PVTIME IPA*", "PVTIME_IPA" },
	{ "*: ?ET TIMER_IRQ v*", "TIMER_IRQ_VTIMER" },	   { "*: ?ET TIMER_IRQ p*", "TIMER_IRQ_PTIMER" },
	{ "task: bring*", "cannot be brought" },
	{ "vcpu *: read page*", "kvm_run page: read" },
};

/* Word @n of @line, from 0, in a buffer of its own. */
static const char *word(const char *line, int n)
{
	static char text[FAKE_LINE];
	size_t len;

	while (n-- && line)
		line = strchr(line, ' ') ? strchr(line, ' ') + 1 : NULL;
	len = line ? strcspn(line, " ,") : 0;
	snprintf(text, sizeof(text), "%.*s", (int)len, len ? line : "");
	return text;
}

/* By the task itself, but for a replay, whose pages this process writes. */
static bool is_by_the_task(void)
{
	return strstr(log_error(), "process_vm_writev (0x7e");
}

static const char *name_in_error(const char *line)
{
	const char *call = strstr(line, ": ") + 2;

	if (fake_is_like(line, "vcpu *: write *"))
		return is_by_the_task() ? "process_vm_writev" : "kvm_run page: write";
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (fake_is_like(line, names[i].call))
			return names[i].name;
	return word(call, strstr(call, "ET ") == call + 1 ? 1 : 0);
}

static void assert_error_has(const char *line, const char *what)
{
	if (!strstr(log_error(), what))
		fail_msg("'%s' failed, and '%s' is not in: %s", line, what, log_error());
}

/* One error, that names the VM, the vCPU, the call, the register and the errno. */
static void assert_names(const char *line)
{
	if (log_errors() != 1)
		fail_msg("'%s' failed, with %u error lines, the last: %s", line, log_errors(), log_error());
	assert_error_has(line, "vm 1: ");
	assert_error_has(line, strerror(ERR));
	assert_error_has(line, name_in_error(line));
	if (!strncmp(line, "vcpu", 4)) {
		char vcpu[16];

		snprintf(vcpu, sizeof(vcpu), "vcpu %c: ", line[5]);
		assert_error_has(line, vcpu);
	}
	if (strstr(line, "ONE_REG"))
		assert_error_has(line, word(strstr(line, "ONE_REG"), 1));
}

/*
 * After a failure only what is of the moment is taken away: the scratch mapping, an eventfd, a capability that is not
 * the VMM's, a replay.
 */
static void assert_nothing_follows(const struct fake_kvm *kvm)
{
	bool replays = fake_last(kvm, "vcpu ?: KVM_SET_GUEST_DEBUG = 0x3") >
		       fake_last(kvm, "vcpu ?: read page*");

	for (size_t i = kvm->failed_line + 1; i < kvm->nr_lines; i++)
		if (!fake_is_like(kvm->lines[i], "task: mmap anonymous room * prot 0") &&
		    strcmp(kvm->lines[i], "vm: KVM_ENABLE_CAP 168 = 0") &&
		    !fake_is_like(kvm->lines[i], "task: close 100") &&
		    !(replays && fake_ends_replay(kvm->lines[i])))
			fail_msg("'%s' failed, and was followed by '%s'", kvm->lines[kvm->failed_line],
				 kvm->lines[i]);
}

static void check_left(const struct plan *plan, const struct attempt *a)
{
	const char *line = a->kvm->lines[a->kvm->failed_line];
	struct fake_kvm *twin;
	const char *diff;

	assert_nothing_follows(a->kvm);
	if (plan != &dump)
		return;
	twin = fake_running(shape);
	diff = fake_diff(twin, a->source);
	if (diff && !fake_is_like(line, "task: mmap anonymous room * prot 0") && !fake_is_like(line, "task: close 100"))
		fail_msg("'%s' failed, and the dump has changed: %s", line, diff);
	fake_free(twin);
}

static struct attempt before_failure(const struct plan *plan, size_t call, bool again)
{
	struct attempt a = before(plan);

	a.kvm->fail_call = call;
	a.kvm->fail_again = again;
	a.kvm->fail_errno = ERR;
	return a;
}

static void fail_step(const struct plan *plan, size_t call, bool again)
{
	struct attempt a = before_failure(plan, call, again);
	const char *line;
	size_t failed;
	int ret;

	ret = fake_steps(plan->steps, *plan->nr, a.vm, a.kvm, &failed);
	line = a.kvm->lines[a.kvm->failed_line];
	irqfd_flush_end(a.vm, &a.kvm->remote);
	if (ret != -ERR)
		fail_msg("'%s' failed with %d, and the %s with %d", line, -ERR, plan->name, ret);
	assert_names(line);
	check_left(plan, &a);
	forget(&a);
}

/* The step that has failed is in @said. */
static void run_plan_that_fails(const struct plan *plan, size_t call, bool again, bool can_wait, char said[160])
{
	struct attempt a = before_failure(plan, call, again);
	char failed[96];
	int ret;

	a.kvm->remote.can_wait = can_wait;
	ret = plan_run(plan->steps, *plan->nr, a.vm, &a.kvm->remote);
	assert_int_equal(ret, -ERR);
	assert_int_equal(log_errors(), 2);
	snprintf(failed, sizeof(failed), "failed: %s (errno %d)", strerror(ERR), ERR);
	assert_non_null(strstr(log_error(), failed));
	snprintf(said, 160, "%s", log_error());
	assert_int_equal(a.kvm->remote.queue.nr, 0);
	irqfd_flush_end(a.vm, &a.kvm->remote);
	check_left(plan, &a);
	forget(&a);
}

static void fail_plan(const struct plan *plan, size_t call, bool again)
{
	char said[160], said_at_once[160];

	run_plan_that_fails(plan, call, again, calls_wait, said);
	if (!calls_wait)
		return;
	run_plan_that_fails(plan, call, again, false, said_at_once);
	assert_string_equal(said, said_at_once);
}

/* Of what a restore has open for the moment only a close that fails once is none: it is tried again. */
static void close_once_more(const struct plan *plan, size_t call)
{
	struct attempt a = before_failure(plan, call, false);
	size_t failed;

	assert_int_equal(fake_steps(plan->steps, *plan->nr, a.vm, a.kvm, &failed), 0);
	assert_int_equal(log_errors(), 0);
	assert_string_equal(a.kvm->lines[a.kvm->failed_line], a.kvm->lines[a.kvm->failed_line + 1]);
	forget(&a);
}

/* Memory of the guest that cannot be read is no failure: it is what the guest has made of its tables. */
static void for_each_call(const struct plan *plan,
			  void (*fail_call)(const struct plan *plan, size_t call, bool again))
{
	struct attempt a = before(plan);
	size_t failed, calls = 0;
	bool closes;

	assert_int_equal(fake_steps(plan->steps, *plan->nr, a.vm, a.kvm, &failed), 0);
	for (size_t i = 0; i < a.kvm->nr_lines; i++) {
		if (a.kvm->lines[i][0] == '#')
			continue;
		calls++;
		closes = fake_is_like(a.kvm->lines[i], "task: close 100");
		if (closes && plan != &dump)
			close_once_more(plan, calls);
		if (!fake_is_like(a.kvm->lines[i], "guest: read*"))
			fail_call(plan, calls, closes);
	}
	assert_true(calls > 100);
	forget(&a);
}

static void each_call_that_fails_is_named_and_is_the_last(void **state)
{
	for_each_call(*state, fail_step);
}

static void each_failure_ends_the_plan_with_its_errno(void **state)
{
	for_each_call(*state, fail_plan);
}

/* What cannot be read of guest memory is another answer to a step, which made others' calls with its own. */
static void a_call_that_waits_is_not_taken_for_guest_memory(void **state)
{
	static const int errs[] = { EFAULT, E2BIG, EIO };
	size_t step = 0;

	while (strcmp(plan_restore[step].name, "memslots"))
		step++;
	for (size_t i = 0; i < sizeof(errs) / sizeof(errs[0]); i++) {
		struct attempt a = before_of(&restore, with_itses);
		char said[128];

		for (size_t n = 0; n < a.vm->nr_slots; n++)
			a.vm->slots[n].flags &= ~KVM_MEM_LOG_DIRTY_PAGES; /* they would be asked for before */
		a.kvm->remote.can_wait = true;
		a.kvm->fail_like = "vm: KVM_SET_USER_MEMORY_REGION *";
		a.kvm->fail_times = 1;
		a.kvm->fail_errno = errs[i];
		assert_int_equal(plan_run(plan_restore, plan_nr_restore, a.vm, &a.kvm->remote), -errs[i]);
		assert_int_equal(log_errors(), 2);
		snprintf(said, sizeof(said), "vm 1: step %zu of %zu, memslots: failed: %s (errno %d)", step + 1, plan_nr_restore,
			 strerror(errs[i]), errs[i]);
		assert_string_equal(log_error(), said);
		forget(&a);
	}
}

/* The VMM died, or does not answer. */
static void a_vmm_that_answers_no_more_ends_the_plan(void **state)
{
	const struct plan *plan = *state;

	for (size_t i = 0; i < *plan->nr; i++) {
		struct attempt a;
		size_t failed;

		if (calls_of(plan, shape, i) == calls_of(plan, shape, i + 1))
			continue; /* of ITSes, which this VM has not */
		a = before(plan);
		assert_int_equal(fake_steps(plan->steps, i, a.vm, a.kvm, &failed), 0);
		a.kvm->dead = ETIMEDOUT;
		assert_int_equal(plan->steps[i].run(a.vm, &a.kvm->remote), -ETIMEDOUT);
		assert_int_equal(log_errors(), 1);
		/* Pages that are mapped already are written to at once. */
		assert_true(strstr(log_error(), "cannot run system calls in the VMM: ") ||
			    strstr(log_error(), "kvm_run page: write: "));
		forget(&a);
	}
}

/* Optional reads */

static void assert_read_is_named(const char *like, const char *name)
{
	struct attempt a = before(&dump);
	size_t failed;

	a.kvm->fail_like = like;
	a.kvm->fail_times = 1;
	a.kvm->fail_errno = ERR;
	assert_int_equal(fake_steps(plan_dump, plan_nr_dump, a.vm, a.kvm, &failed), -ERR);
	assert_int_equal(log_errors(), 1);
	assert_error_has(like, "vm 1: ");
	assert_error_has(like, name);
	assert_error_has(like, strerror(ERR));
	forget(&a);
}

/* -EINVAL says that this GIC has no such register. Anything else says nothing of the kind. */
static void no_active_priority_is_lost_to_an_error(void **state)
{
	assert_read_is_named("vcpu 1: GET ICC_AP1R1*", "ICC_AP1R1_EL1");
}

static void no_redistributor_region_is_lost_to_an_error(void **state)
{
	assert_read_is_named("gic: GET ADDR REDIST_REGION", "REDIST_REGION");
}

static void a_register_that_must_be_there_is_not_taken_for_an_optional_one(void **state)
{
	struct attempt a = before(&dump);
	size_t failed;

	a.kvm->fail_like = "vcpu 0: GET ICC_AP1R0*";
	a.kvm->fail_times = 1;
	a.kvm->fail_errno = EINVAL;
	assert_int_equal(fake_steps(plan_dump, plan_nr_dump, a.vm, a.kvm, &failed), -EINVAL);
	assert_error_has("ICC_AP1R0", "ICC_AP1R0_EL1");
	forget(&a);
}

/* Faults on request */

static void fail_at_step(const struct plan *plan, size_t i)
{
	const struct fake_shape v5 = { .nr_vcpus = 2, .nr_irqs = 32, .v5 = true, .lpi_bits = 8 };
	const struct fake_shape raw = { .nr_vcpus = 2, .nr_irqs = 32, .v5 = true, .abi = MODEL_V1, .lpi_bits = 8 };
	const enum plan_gic gic = plan->steps[i].gic;
	const struct fake_shape v2 = { .nr_vcpus = 2, .nr_irqs = 64, .v2 = true };
	const struct fake_shape of = gic == GICV2 ? v2 : gic == GICV5_RAW ? raw : gic == GICV5 || gic == GICV5_DESCRIPTOR ? v5 : shape;
	size_t calls = calls_of(plan, of, i);
	struct attempt a = before_of(plan, of);
	char said[128];

	setenv("KVM_VGIC_FAULT", plan->steps[i].name, 1);
	assert_int_equal(plan_run(plan->steps, *plan->nr, a.vm, &a.kvm->remote), -EIO);
	unsetenv("KVM_VGIC_FAULT");
	snprintf(said, sizeof(said), "vm 1: step %zu of %zu, %s: failed: %s (errno %d)", i + 1, *plan->nr,
		 plan->steps[i].name, strerror(EIO), EIO);
	assert_string_equal(log_error(), said);
	assert_int_equal(log_errors(), 1);
	assert_int_equal(a.kvm->nr_calls, calls);
	forget(&a);
}

static void each_step_fails_on_request(void **state)
{
	const struct plan *plan = *state;

	for (size_t i = 0; i < *plan->nr; i++)
		fail_at_step(plan, i);
}

static void each_step_has_a_name_of_its_own_and_a_reason(void **state)
{
	const struct plan *plan = *state;

	for (size_t i = 0; i < *plan->nr; i++) {
		assert_true(strlen(plan->steps[i].rule) > 0);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(plan->steps[i].name, plan->steps[k].name);
	}
}

static void another_fault_is_none_of_the_plan(void **state)
{
	struct attempt a = before(&dump);

	setenv("KVM_VGIC_FAULT", "swapped", 1);
	assert_int_equal(plan_run(plan_dump, plan_nr_dump, a.vm, &a.kvm->remote), 0);
	unsetenv("KVM_VGIC_FAULT");
	forget(&a);
}

/* Parts of a restore left out on request */

/* A restore without @what makes no call like @absent; @n: as many fewer as that, 0: some. */
static void leave_out_calls(const char *what, const char *absent, size_t n)
{
	struct attempt a = before(&restore);
	size_t expected = calls_of(&restore, shape, plan_nr_restore);

	assert_int_equal(fake_count(a.kvm, absent), 0);
	setenv("KVM_VGIC_SKIP", what, 1);
	assert_int_equal(plan_run(plan_restore, plan_nr_restore, a.vm, &a.kvm->remote), 0);
	unsetenv("KVM_VGIC_SKIP");
	assert_int_equal(fake_count(a.kvm, absent), 0);
	assert_true(a.kvm->nr_calls < expected);
	if (n)
		assert_int_equal(a.kvm->nr_calls, expected - n);
	assert_int_equal(log_errors(), 0);
	forget(&a);
}

static void leave_out(const char *what, const char *absent)
{
	leave_out_calls(what, absent, 0);
}

static void what_is_named_is_left_out(void **state)
{
	leave_out("GICD_IROUTER", "gic: SET GICD_IROUTER 0x6[123]?8 *");
	leave_out("GICR_ISPENDR0", "vcpu ?: SET GICR_ISPENDR0*");
	leave_out("LEVEL_INFO", "*: SET LEVEL_INFO*");
	leave_out("ICC_AP1R0_EL1", "vcpu ?: SET ICC_AP1R0*");
	leave_out("CNTV_CVAL_EL0", "vcpu ?: KVM_SET_ONE_REG 0x603000000013df02*");
	leave_out("CNTP_CTL_EL0", "vcpu ?: KVM_SET_ONE_REG 0x603000000013df11*");
	leave_out("CNTP_CVAL_EL0", "vcpu ?: KVM_SET_ONE_REG 0x603000000013df12*");
	leave_out("guest counters", "vcpu ?: KVM_SET_ONE_REG 0x603000000013df1a*");
	leave_out("pending exits", "vcpu ?: KVM_RUN*");
	leave_out("kvm_run bytes", "vcpu ?: write page +0x*");
	leave_out_calls("capabilities", "vm: KVM_ENABLE_CAP [!1]*", 5);
	leave_out_calls("KVM_CAP_HALT_POLL", "vm: KVM_ENABLE_CAP 182*", 1);
	leave_out_calls("KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE", "vm: KVM_ENABLE_CAP 228*", 1);
	leave_out_calls("KVM_CAP_ARM_SEA_TO_USER", "vm: KVM_ENABLE_CAP 245*", 1);
	leave_out_calls("SMCCC filter", "vm: SMCCC FILTER*", 2);
	leave_out_calls("dirty logs", "vm: KVM_CLEAR_DIRTY_LOG*", 1);
	leave_out("PMU event filter", "vcpu ?: SET PMU_V3 FILTER*");
	leave_out_calls("steal time", "vcpu ?: SET PVTIME*", 1);
	leave_out_calls("guest debugging", "vcpu ?: KVM_SET_GUEST_DEBUG = 0x20001", 1);
	leave_out_calls("signal masks", "vcpu ?: KVM_SET_SIGNAL_MASK*", 2);
	/* Of each vCPU: Z0, FFR; the first and the last key; three counters. No more than these. */
	leave_out_calls("SVE registers", "vcpu ?: KVM_SET_ONE_REG 0x60[58]0000000150*", 4);
	leave_out_calls("pointer authentication keys", "vcpu ?: KVM_SET_ONE_REG 0x603000000013c1[01]*", 4);
	leave_out_calls("PMU counters", "vcpu ?: KVM_SET_ONE_REG 0x603000000013df[45][0e] = 0x*", 6);
	leave_out("PMU counters", "vcpu ?: KVM_SET_ONE_REG 0x603000000013dce8 = 0x*");
}

/* Steps only: registers of the tables are left out of a restore. */
static void a_dump_leaves_out_the_step_that_is_named(void **state)
{
	struct attempt a = before(&dump);

	setenv("KVM_VGIC_SKIP", "vCPU events", 1);
	assert_int_equal(plan_run(plan_dump, plan_nr_dump, a.vm, &a.kvm->remote), 0);
	unsetenv("KVM_VGIC_SKIP");
	assert_int_equal(fake_count(a.kvm, "vcpu ?: KVM_GET_VCPU_EVENTS"), 0);
	forget(&a);
}

static void a_dump_leaves_no_register_out(void **state)
{
	size_t expected = calls_of(&dump, shape, plan_nr_dump);
	struct attempt a = before(&dump);

	setenv("KVM_VGIC_SKIP", "GICD_IROUTER", 1);
	assert_int_equal(plan_run(plan_dump, plan_nr_dump, a.vm, &a.kvm->remote), 0);
	unsetenv("KVM_VGIC_SKIP");
	assert_int_equal(a.kvm->nr_calls, expected);
	forget(&a);
}

static int without_itses(void **state)
{
	shape = plain;
	return 0;
}

static int an_offset(void **state)
{
	shape = with_offset;
	return 0;
}

static int itses(void **state)
{
	shape = with_itses;
	return 0;
}

static int itses_and_calls_that_wait(void **state)
{
	shape = with_itses;
	calls_wait = true;
	return 0;
}

#define FOR_BOTH(test)                                                                                       \
	{ .name = "dump: " #test, .test_func = test, .initial_state = (void *)&dump },                       \
	{                                                                                                    \
		.name = "restore: " #test, .test_func = test, .initial_state = (void *)&restore              \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FOR_BOTH(each_call_that_fails_is_named_and_is_the_last),
		FOR_BOTH(each_failure_ends_the_plan_with_its_errno),
		FOR_BOTH(a_vmm_that_answers_no_more_ends_the_plan),
		FOR_BOTH(each_step_fails_on_request),
		FOR_BOTH(each_step_has_a_name_of_its_own_and_a_reason),
		cmocka_unit_test(a_call_that_waits_is_not_taken_for_guest_memory),
		cmocka_unit_test(another_fault_is_none_of_the_plan),
		cmocka_unit_test(what_is_named_is_left_out),
		cmocka_unit_test(a_dump_leaves_out_the_step_that_is_named),
		cmocka_unit_test(a_dump_leaves_no_register_out),
		cmocka_unit_test(no_active_priority_is_lost_to_an_error),
		cmocka_unit_test(no_redistributor_region_is_lost_to_an_error),
		cmocka_unit_test(a_register_that_must_be_there_is_not_taken_for_an_optional_one),
	};

	const struct CMUnitTest with[] = {
		FOR_BOTH(each_call_that_fails_is_named_and_is_the_last),
		FOR_BOTH(each_failure_ends_the_plan_with_its_errno),
		FOR_BOTH(each_step_fails_on_request),
	};

	const struct CMUnitTest waiting[] = {
		FOR_BOTH(each_failure_ends_the_plan_with_its_errno),
	};

	return cmocka_run_group_tests_name("failures of dump and restore", tests, without_itses, NULL) |
	       cmocka_run_group_tests_name("failures with ITSes", with, itses, NULL) |
	       cmocka_run_group_tests_name("failures with a counter offset", with, an_offset, NULL) |
	       cmocka_run_group_tests_name("failures where calls wait", waiting, itses_and_calls_that_wait, NULL);
}
