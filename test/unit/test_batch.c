// SPDX-License-Identifier: GPL-2.0-only
/* A list of calls on one remote: executed up to the first that must not fail, and that one is named. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "fault.h"
#include "testlog.h"

static int set_up(void **state)
{
	log_reset();
	*state = fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64 });
	return 0;
}

static int tear_down(void **state)
{
	fake_free(*state);
	return 0;
}

static void nothing_is_executed_after_a_failure(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value[3] = { 0 };

	b.vcpu = 1;
	batch_get_reg(&b, FAKE_VCPU_FD + 1, ARM64_CORE_PC, &value[0]);
	batch_get_reg(&b, FAKE_VCPU_FD + 1, ARM64_CORE_U64(9), &value[1]);
	batch_get_reg(&b, FAKE_VCPU_FD + 1, ARM64_CORE_PSTATE, &value[2]);
	assert_int_equal(batch_run(&b), -ENOENT);
	assert_int_equal(kvm->nr_calls, 2);
	assert_true(b.calls[1].done);
	assert_false(b.calls[2].done);
	assert_true(value[0] == kvm->vcpus[1].insn.pc);
	assert_true(value[2] == 0);
	assert_int_equal(log_errors(), 1);
	assert_string_equal(log_error(), "vm 3: test: vcpu 1: KVM_GET_ONE_REG (0x6030000000100009): "
					 "No such file or directory (errno 2)");
	batch_fini(&b);
}

static void a_call_with_leave_to_fail_does_not_end_the_list(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value[2] = { 0 };

	batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_U64(9), &value[0])->may_fail = ENOENT;
	batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_PC, &value[1]);
	assert_int_equal(batch_run(&b), 0);
	assert_int_equal(b.calls[0].result, -ENOENT);
	assert_true(value[1] == kvm->vcpus[0].insn.pc);
	assert_int_equal(log_errors(), 0);
	batch_fini(&b);
}

static void a_failure_that_is_an_answer_is_not_logged(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value;

	batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_U64(9), &value);
	assert_int_equal(batch_try(&b), -ENOENT);
	assert_int_equal(log_errors(), 0);
	batch_fini(&b);
}

/* The list moves as it grows; what the calls point to does not. */
static void a_long_list_is_executed_in_order(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value[1000] = { 0 };

	for (size_t i = 0; i < 1000; i++)
		batch_get_reg(&b, FAKE_VCPU_FD + i % 2, ARM64_CORE_PC, &value[i]);
	assert_int_equal(batch_run(&b), 0);
	for (size_t i = 0; i < 1000; i++)
		assert_true(value[i] == kvm->vcpus[i % 2].insn.pc);
	batch_fini(&b);
}

/* Of @nr registers, in one run. */
static struct remote_call *read_run(struct batch *b, const uint64_t *ids, uint32_t nr, uint64_t *values)
{
	struct remote_call *run = batch_get_reg(b, FAKE_VCPU_FD + 1, ids[0], values);

	run->more = nr - 1;
	run->stride = sizeof(*ids);
	run->numbers = ids;
	return run;
}

static void a_run_is_executed_in_order(void **state)
{
	static const uint64_t ids[] = { ARM64_CORE_PSTATE, ARM64_CORE_PC, FAKE_X0 };
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value[3];

	fake_set_reg_u64(&kvm->vcpus[1], FAKE_X0, 5);
	read_run(&b, ids, 3, value);
	for (size_t i = 1; i <= 2; i++) {
		memset(value, 0, sizeof(value));
		assert_int_equal(batch_run(&b), 0);
		assert_int_equal(kvm->nr_calls, 3 * i);
		assert_true(b.calls[0].done);
		assert_true(value[0] == fake_reg_u64(&kvm->vcpus[1], ARM64_CORE_PSTATE));
		assert_true(value[1] == kvm->vcpus[1].insn.pc);
		assert_true(value[2] == 5);
	}
	batch_fini(&b);
}

static void a_run_ends_with_the_call_that_fails_which_is_named(void **state)
{
	static const uint64_t ids[] = { ARM64_CORE_PC, ARM64_CORE_U64(9), ARM64_CORE_PSTATE };
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value[4] = { 0 };

	b.vcpu = 1;
	read_run(&b, ids, 3, value);
	batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_PC, &value[3]);
	assert_int_equal(batch_run(&b), -ENOENT);
	assert_int_equal(kvm->nr_calls, 2);
	assert_true(value[0] == kvm->vcpus[1].insn.pc);
	assert_true(value[2] == 0 && value[3] == 0);
	assert_int_equal(log_errors(), 1);
	assert_string_equal(log_error(), "vm 3: test: vcpu 1: KVM_GET_ONE_REG (0x6030000000100009): "
					 "No such file or directory (errno 2)");
	batch_fini(&b);
}

static void a_run_with_leave_to_fail_goes_on(void **state)
{
	static const uint64_t ids[] = { ARM64_CORE_U64(9), ARM64_CORE_PC };
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	int64_t results[2] = { 1, 1 };
	uint64_t value[2] = { 0 };

	read_run(&b, ids, 2, value)->may_fail = ENOENT;
	b.calls[0].results = results;
	assert_int_equal(batch_run(&b), 0);
	assert_int_equal(b.calls[0].result, -ENOENT);
	assert_int_equal(results[0], -ENOENT);
	assert_int_equal(results[1], 0);
	assert_true(value[1] == kvm->vcpus[1].insn.pc);
	assert_int_equal(log_errors(), 0);
	batch_fini(&b);
}

static void a_list_can_be_used_again(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value;

	for (int i = 0; i < 3; i++) {
		batch_reset(&b);
		batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_PC, &value);
		assert_int_equal(batch_run(&b), 0);
	}
	assert_int_equal(kvm->nr_calls, 3);
	batch_fini(&b);
}

/* What a call only reads may be constant, in memory that cannot be written. */
static void what_a_call_only_reads_is_not_written(void **state)
{
	static const uint64_t value = 0x1234;
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	const struct remote_call *call = batch_set_reg(&b, FAKE_VCPU_FD, FAKE_X0, &value);

	assert_false(call->writes_back);
	assert_int_equal(batch_run(&b), 0);
	assert_true(fake_reg_u64(&kvm->vcpus[0], FAKE_X0) == value);
	batch_fini(&b);
}

static int exec_nothing(struct remote *remote, struct remote_call *calls, size_t nr)
{
	return 0;
}

static void a_call_that_was_not_made_is_not_taken_for_one_that_succeeded(void **state)
{
	static const struct remote_ops ops = { .exec = exec_nothing };
	struct remote remote = { .ops = &ops };
	struct batch b = BATCH(&remote, 3, "test");

	batch_syscall(&b, "close", SYS_close, 5, 0, 0, 0, 0, 0)->may_fail = EBADF;
	assert_int_equal(batch_run(&b), -EIO);
	assert_int_equal(log_errors(), 1);
	batch_fini(&b);
}

static int exec_one(struct remote *remote, struct remote_call *calls, size_t nr)
{
	remote_call_made(calls, &(int64_t){ 0 }, 1);
	return 0;
}

static void a_run_that_was_not_made_to_its_end_has_not_succeeded(void **state)
{
	static const struct remote_ops ops = { .exec = exec_one };
	static const uint64_t ids[] = { ARM64_CORE_PC, ARM64_CORE_PSTATE };
	struct remote remote = { .ops = &ops };
	struct batch b = BATCH(&remote, 3, "test");
	uint64_t value[2];

	read_run(&b, ids, 2, value);
	assert_int_equal(batch_run(&b), -EIO);
	assert_string_equal(log_error(), "vm 3: test: KVM_GET_ONE_REG (0x6030000000100042): Input/output error (errno 5)");
	batch_fini(&b);
}

/* Of calls that wait. */

static void read_pc_later(struct fake_kvm *kvm, const char *step, int vcpu, uint64_t *pc)
{
	struct batch b = BATCH(&kvm->remote, 3, step);

	b.vcpu = vcpu;
	batch_get_reg(&b, FAKE_VCPU_FD + vcpu, ARM64_CORE_PC, pc);
	assert_int_equal(batch_later(&b), 0);
	batch_fini(&b);
}

static void calls_that_wait_are_made_before_the_next(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value[3] = { 0 };

	kvm->remote.can_wait = true;
	read_pc_later(kvm, "first", 0, &value[0]);
	read_pc_later(kvm, "second", 1, &value[1]);
	assert_int_equal(kvm->nr_calls, 0);
	batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_PSTATE, &value[2]);
	batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_U64(9), &value[2])->may_fail = ENOENT;
	assert_int_equal(batch_run(&b), 0);
	assert_int_equal(kvm->nr_calls, 4);
	assert_true(value[0] == kvm->vcpus[0].insn.pc);
	assert_true(value[1] == kvm->vcpus[1].insn.pc);
	assert_true(value[2] == fake_reg_u64(&kvm->vcpus[0], ARM64_CORE_PSTATE));
	assert_true(b.calls[0].done);
	assert_int_equal(b.calls[1].result, -ENOENT);
	assert_int_equal(kvm->remote.queue.nr, 0);
	batch_fini(&b);
}

/* Their buffers wait with them: a sanitizer finds one that does not, or that stays. */
static void buffers_of_calls_that_wait_are_there_when_they_are_made(void **state)
{
	struct fake_kvm *kvm = *state;
	uint64_t pc[2] = { 0x1234, 0x5678 }, found = 0;

	kvm->remote.can_wait = true;
	for (size_t i = 0; i < 2; i++) {
		struct batch b = BATCH(&kvm->remote, 3, "test");
		uint64_t *value = batch_buffers(&b, 1, sizeof(*value));

		*value = pc[i];
		batch_set_reg(&b, FAKE_VCPU_FD + i, ARM64_CORE_PC, value);
		assert_int_equal(batch_later(&b), 0);
		batch_fini(&b);
	}
	read_pc_later(kvm, "third", 0, &found);
	assert_int_equal(batch_flush(&kvm->remote), 0);
	assert_true(found == pc[0]);
	assert_true(fake_reg_u64(&kvm->vcpus[1], ARM64_CORE_PC) == pc[1]);
}

static void buffers_of_calls_that_are_forgotten_go_with_them(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test"), none = BATCH(&kvm->remote, 3, "test");

	kvm->remote.can_wait = true;
	assert_non_null(batch_buffers(&none, 1, 8));
	assert_int_equal(batch_later(&none), 0);
	batch_fini(&none);
	batch_set_reg(&b, FAKE_VCPU_FD, ARM64_CORE_PC, batch_buffers(&b, 1, 8));
	assert_int_equal(batch_later(&b), 0);
	batch_fini(&b);
	batch_drop(&kvm->remote);
	assert_int_equal(kvm->nr_calls, 0);
}

/* A step that has nothing to ask makes no round trip. */
static void where_nothing_is_asked_calls_go_on_waiting(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value = 0;

	kvm->remote.can_wait = true;
	read_pc_later(kvm, "first", 0, &value);
	assert_int_equal(batch_run(&b), 0);
	assert_int_equal(kvm->nr_calls, 0);
	assert_int_equal(batch_flush(&kvm->remote), 0);
	assert_true(value == kvm->vcpus[0].insn.pc);
	batch_fini(&b);
}

#define AT 0x123450000000u

/* In both places, in order. */
static void the_task_writes_its_own_memory(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	struct remote_write write = { .to = { { (void *)(AT + 8), 4 }, { (void *)AT, 2 } } };
	const struct fake_map *map = fake_map_add(kvm, AT, FAKE_PAGE, 3, -1, 0);

	batch_write(&b, &write, 2, "abcdef", 6);
	assert_int_equal(batch_run(&b), 0);
	assert_memory_equal(map->bytes, "ef\0\0\0\0\0\0abcd", 12);
	batch_fini(&b);
}

/* Though the kernel says no error: what comes behind it is not made. */
static void what_is_written_in_part_has_failed(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	struct remote_write write = { .to = { { (void *)AT, 4 }, { (void *)0x1000, 2 } } };
	const struct fake_map *map = fake_map_add(kvm, AT, FAKE_PAGE, 3, -1, 0);
	uint64_t pc;

	batch_write(&b, &write, 2, "abcdef", 6);
	batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_PC, &pc);
	assert_int_equal(batch_run(&b), -EFAULT);
	assert_memory_equal(map->bytes, "abcd", 4);
	assert_false(b.calls[1].done);
	assert_int_equal(log_errors(), 1);
	assert_string_equal(log_error(), "vm 3: test: process_vm_writev (0x123450000000): Bad address (errno 14)");
	batch_fini(&b);
}

static void a_call_that_waited_fails_under_its_own_name(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test"), later = BATCH(&kvm->remote, 3, "earlier");
	uint64_t value[2] = { 0 };

	kvm->remote.can_wait = true;
	later.vcpu = 1;
	batch_get_reg(&later, FAKE_VCPU_FD + 1, ARM64_CORE_U64(9), &value[0]);
	assert_int_equal(batch_later(&later), 0);
	batch_fini(&later);
	batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_PC, &value[1]);
	assert_int_equal(batch_run(&b), -ENOENT);
	assert_false(b.calls[0].done);
	assert_true(value[1] == 0);
	assert_int_equal(log_errors(), 1);
	assert_string_equal(log_error(), "vm 3: earlier: vcpu 1: KVM_GET_ONE_REG (0x6030000000100009): "
					 "No such file or directory (errno 2)");
	assert_int_equal(kvm->remote.queue.nr, 0);
	batch_fini(&b);
}

/* Whose failure is its own alone. */
static void what_is_tried_is_tried_behind_calls_that_wait(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value[2] = { 0 };

	kvm->remote.can_wait = true;
	read_pc_later(kvm, "first", 0, &value[0]);
	batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_U64(9), &value[1]);
	assert_int_equal(batch_try(&b), -ENOENT);
	assert_true(value[0] == kvm->vcpus[0].insn.pc);
	assert_int_equal(log_errors(), 0);
	batch_fini(&b);
}

/* Not in that thread, where they would point to nothing. */
static void calls_of_one_thread_come_behind_calls_that_wait(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value = 0;

	kvm->remote.can_wait = true;
	read_pc_later(kvm, "first", 0, &value);
	b.vtid = FAKE_THREAD(1);
	batch_syscall(&b, "eventfd2", SYS_eventfd2, 0, 0, 0, 0, 0, 0);
	assert_int_equal(batch_run(&b), 0);
	assert_true(value == kvm->vcpus[0].insn.pc);
	assert_int_equal(fake_last(kvm, "task: eventfd2*"), kvm->nr_lines - 1);
	assert_int_equal(kvm->remote.queue.nr, 0);
	batch_fini(&b);
}

static void calls_that_wait_are_made_or_forgotten(void **state)
{
	struct fake_kvm *kvm = *state;
	uint64_t value[2] = { 0 };

	kvm->remote.can_wait = true;
	read_pc_later(kvm, "first", 0, &value[0]);
	assert_int_equal(batch_flush(&kvm->remote), 0);
	assert_true(value[0] == kvm->vcpus[0].insn.pc);
	read_pc_later(kvm, "second", 1, &value[1]);
	batch_drop(&kvm->remote);
	assert_int_equal(batch_flush(&kvm->remote), 0);
	assert_int_equal(kvm->nr_calls, 1);
}

/* Nobody asks again for what has failed: the plan that it was made for is told of it at its end. */
static void a_call_that_waited_and_failed_is_no_answer_to_another(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch later = BATCH(&kvm->remote, 3, "earlier");
	uint64_t value = 0;
	int fd;

	kvm->remote.can_wait = true;
	batch_syscall(&later, "eventfd2", SYS_eventfd2, 0, 0, 0, 0, 0, 0);
	assert_int_equal(batch_run(&later), 0);
	fd = later.calls[0].result;
	batch_reset(&later);
	batch_get_reg(&later, FAKE_VCPU_FD, ARM64_CORE_U64(9), &value);
	assert_int_equal(batch_later(&later), 0);
	batch_fini(&later);
	assert_int_equal(batch_close(&kvm->remote, 3, "test", fd), 0);
	assert_int_equal(kvm->fds[fd].kind, FAKE_CLOSED);
	assert_int_equal(batch_flush(&kvm->remote), -ENOENT);
	assert_int_equal(log_errors(), 1);
	batch_drop(&kvm->remote);
	assert_int_equal(batch_flush(&kvm->remote), 0);
}

/* Whatever waits, and is made, after it. */
static void a_call_that_waited_and_failed_stays_so_when_others_have_waited(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test"), later = BATCH(&kvm->remote, 3, "earlier");
	uint64_t value[3] = { 0 };

	kvm->remote.can_wait = true;
	kvm->remote.plan_step = 5;
	batch_get_reg(&later, FAKE_VCPU_FD, ARM64_CORE_U64(9), &value[0]);
	assert_int_equal(batch_later(&later), 0);
	batch_fini(&later);
	batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_PC, &value[1]);
	assert_int_equal(batch_run(&b), -ENOENT);
	kvm->remote.plan_step = 6;
	read_pc_later(kvm, "second", 1, &value[2]);
	assert_int_equal(batch_run(&b), 0);
	assert_true(value[2] == kvm->vcpus[1].insn.pc);
	assert_int_equal(batch_flush(&kvm->remote), -ENOENT);
	assert_int_equal(kvm->remote.queue.failed_step, 5);
	batch_fini(&b);
}

/* The other's own failure is its own. */
static void a_batch_that_fails_behind_calls_that_wait_fails_alone(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value[2] = { 0 };

	kvm->remote.can_wait = true;
	read_pc_later(kvm, "first", 0, &value[0]);
	batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_U64(9), &value[1]);
	assert_int_equal(batch_run(&b), -ENOENT);
	assert_true(value[0] == kvm->vcpus[0].insn.pc);
	assert_int_equal(batch_flush(&kvm->remote), 0);
	batch_fini(&b);
}

/* Of them nobody knows whether they were made. */
static void calls_that_wait_fail_with_a_vmm_that_does_not_answer(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value[2] = { 0 };

	kvm->remote.can_wait = true;
	read_pc_later(kvm, "first", 0, &value[0]);
	batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_PC, &value[1]);
	kvm->dead = ETIMEDOUT;
	assert_int_equal(batch_run(&b), -ETIMEDOUT);
	kvm->dead = 0;
	assert_int_equal(batch_run(&b), 0);
	assert_int_equal(batch_flush(&kvm->remote), -ETIMEDOUT);
	batch_fini(&b);
}

/* They were not made: nothing else says so. */
static void calls_that_wait_are_not_lost_in_silence_where_there_is_no_memory(void **state)
{
	struct fake_kvm *kvm = *state;
	struct batch b = BATCH(&kvm->remote, 3, "test");
	uint64_t value[2] = { 0 };

	kvm->remote.can_wait = true;
	kvm->remote.plan_step = 5;
	read_pc_later(kvm, "first", 0, &value[0]);
	kvm->remote.plan_step = 6;
	batch_get_reg(&b, FAKE_VCPU_FD, ARM64_CORE_PC, &value[1]);
	b.no_memory = true;
	assert_int_equal(batch_run(&b), -ENOMEM);
	assert_int_equal(kvm->nr_calls, 0);
	assert_int_equal(log_errors(), 1);
	assert_string_equal(log_error(), "vm 3: test: out of memory");
	assert_int_equal(batch_flush(&kvm->remote), -ENOMEM);
	assert_int_equal(kvm->remote.queue.failed_step, 6);
	batch_fini(&b);
}

static void where_a_round_trip_is_cheap_no_call_waits(void **state)
{
	struct fake_kvm *kvm = *state;
	uint64_t value = 0;

	read_pc_later(kvm, "first", 0, &value);
	assert_true(value == kvm->vcpus[0].insn.pc);
}

/* A VMM in which the first calls fail. */
struct failing {
	struct remote remote;
	int failures, err;
	int closed[4], nr; /* the fds, in order, with those for which it failed */
};

static int exec_failing(struct remote *remote, struct remote_call *calls, size_t nr)
{
	struct failing *f = (struct failing *)remote;

	assert_int_equal(nr, 1);
	assert_int_equal(calls->nr, SYS_close);
	assert_in_range(f->nr, 0, 3);
	f->closed[f->nr] = calls->arg[0];
	calls->result = f->nr++ < f->failures ? -f->err : 0;
	calls->done = true;
	return 0;
}

static const struct remote_ops failing_ops = { .exec = exec_failing };

static void a_close_that_fails_once_is_tried_again(void **state)
{
	struct failing f = { .remote = { .ops = &failing_ops }, .failures = 1, .err = EINTR };

	assert_int_equal(batch_close(&f.remote, 3, "test", 17), 0);
	assert_int_equal(f.nr, 2);
	assert_int_equal(f.closed[0], 17);
	assert_int_equal(f.closed[1], 17);
	assert_int_equal(log_errors(), 0);
}

/* The first point that it passes is its call: no allocation that could fail is before that. */
static void a_close_takes_no_memory(void **state)
{
	struct failing f = { .remote = { .ops = &failing_ops } };

	setenv("KVM_VGIC_TESTING", "1", 1);
	setenv("KVM_VGIC_FAULT", "1", 1);
	fault_init();
	assert_int_equal(batch_close(&f.remote, 3, "test", 17), 0);
	unsetenv("KVM_VGIC_FAULT");
	fault_init();
	assert_true(log_has("fault injected: point 1, call test: close"));
	assert_int_equal(f.nr, 1);
	assert_int_equal(log_errors(), 0);
}

static void an_fd_that_stays_open_is_named(void **state)
{
	struct failing f = { .remote = { .ops = &failing_ops }, .failures = 2, .err = EINTR };

	assert_int_equal(batch_close(&f.remote, 3, "test", 17), -EINTR);
	assert_int_equal(f.nr, 2);
	assert_int_equal(log_errors(), 1);
	assert_string_equal(log_error(), "vm 3: test: close (0x11): Interrupted system call (errno 4)");
}

static void an_fd_that_is_closed_is_not_closed_again(void **state)
{
	struct failing f = { .remote = { .ops = &failing_ops } };

	assert_int_equal(batch_close(&f.remote, 3, "test", 17), 0);
	assert_int_equal(f.nr, 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_executed_after_a_failure),
		TEST(a_call_with_leave_to_fail_does_not_end_the_list),
		TEST(a_failure_that_is_an_answer_is_not_logged),
		TEST(a_long_list_is_executed_in_order),
		TEST(a_run_is_executed_in_order),
		TEST(a_run_ends_with_the_call_that_fails_which_is_named),
		TEST(a_run_with_leave_to_fail_goes_on),
		TEST(a_list_can_be_used_again),
		TEST(what_a_call_only_reads_is_not_written),
		TEST(a_call_that_was_not_made_is_not_taken_for_one_that_succeeded),
		TEST(a_run_that_was_not_made_to_its_end_has_not_succeeded),
		TEST(calls_that_wait_are_made_before_the_next),
		TEST(buffers_of_calls_that_wait_are_there_when_they_are_made),
		TEST(buffers_of_calls_that_are_forgotten_go_with_them),
		TEST(where_nothing_is_asked_calls_go_on_waiting),
		TEST(the_task_writes_its_own_memory),
		TEST(what_is_written_in_part_has_failed),
		TEST(a_call_that_waited_fails_under_its_own_name),
		TEST(what_is_tried_is_tried_behind_calls_that_wait),
		TEST(calls_of_one_thread_come_behind_calls_that_wait),
		TEST(calls_that_wait_are_made_or_forgotten),
		TEST(a_call_that_waited_and_failed_is_no_answer_to_another),
		TEST(a_call_that_waited_and_failed_stays_so_when_others_have_waited),
		TEST(a_batch_that_fails_behind_calls_that_wait_fails_alone),
		TEST(calls_that_wait_fail_with_a_vmm_that_does_not_answer),
		TEST(calls_that_wait_are_not_lost_in_silence_where_there_is_no_memory),
		TEST(where_a_round_trip_is_cheap_no_call_waits),
		TEST(a_close_that_fails_once_is_tried_again),
		TEST(a_close_takes_no_memory),
		TEST(an_fd_that_stays_open_is_named),
		TEST(an_fd_that_is_closed_is_not_closed_again),
	};

	return cmocka_run_group_tests_name("lists of calls", tests, NULL, NULL);
}
