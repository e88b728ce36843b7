// SPDX-License-Identifier: GPL-2.0-only
/* What is done beside the calls of a task, which is this process itself, and whose thread is a model of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "fault.h"
#include "probe/proc.h"
#include "remote/batch_code.h"
#include "remote/bring.h"
#include "remote/held.h"
#include "remote/served.h"
#include "remote/task.h"
#include "remote/trace.h"
#include "testlog.h"

/* Places in code that is written, and not run. */
asm(".pushsection .rodata\n"
    ".balign 8\n"
    ".globl task_code, task_code_end, one_call, one_call_stop, batch_code\n"
    "task_code: one_call: .zero 64\n"
    "one_call_stop: .zero 64\n"
    "batch_code: .zero 32\n"
    "task_code_end:\n"
    ".popsection");

static _Alignas(4096) uint8_t scratch[TASK_SCRATCH_SMALL];
static int cannot_begin; /* a negative errno, for the next call */
static struct held_ids taken;
static struct {
	unsigned int runs, munmaps; /* munmap() in a run of its own */
	unsigned int failing; /* of the next batch, calls that are not made, or fail */
	int unmapping; /* errno of munmap() at the end of a batch */
	int lost; /* a negative errno, of the next batch, of which nothing is known */
	bool asked; /* the last batch was to unmap at its end */
	bool gone; /* the memory is */
	uint32_t calls; /* that the last run had time for */
} model;

int held_take(struct held *held, const struct held_ids *ids, int mem)
{
	taken = *ids;
	*held = (struct held){ .pid = ids->pid, .tid = ids->tid, .mem = mem };
	return 0;
}

int held_put_back(struct held *held)
{
	return 0;
}

static bool is_gone(uint64_t addr)
{
	return model.gone && addr - (uintptr_t)scratch < sizeof(scratch);
}

int held_read(const struct held *held, uint64_t addr, void *buf, size_t size)
{
	if (is_gone(addr))
		return -EFAULT;
	return pread(held->mem, buf, size, addr) == (ssize_t)size ? 0 : -EIO;
}

/* Neither what is gone, nor a place told from its beginning being 0: where vm.mmap_min_addr is 0 something can be there. */
int held_write(const struct held *held, uint64_t addr, const void *buf, size_t size)
{
	assert_false(is_gone(addr) || addr < TASK_SCRATCH_SMALL);
	return pwrite(held->mem, buf, size, addr) == (ssize_t)size ? 0 : -EIO;
}

/* What batch_code.S does when no call is left. */
static void end_batch(struct user_regs_struct *regs)
{
	model.asked = regs->regs[27];
	if (regs->regs[20] || !model.asked)
		return;
	assert_int_equal(regs->regs[27], 1);
	assert_int_equal(regs->regs[23], (uintptr_t)scratch);
	assert_int_equal(regs->regs[24], sizeof(scratch));
	model.gone = !model.unmapping;
	regs->regs[27] = -model.unmapping;
}

static int run_batch(struct user_regs_struct *regs)
{
	const struct batch_slot *slots = (void *)(uintptr_t)regs->regs[19];
	int64_t *results = (int64_t *)(uintptr_t)regs->regs[25];
	size_t nr = regs->regs[20];
	int ret = model.lost;

	for (size_t i = 0; i < nr; i++)
		results[i] = slots[i].nr >> 32 ? 0 : slots[i].whole;
	if (model.failing)
		results[nr - model.failing] = -ENOENT;
	regs->regs[20] = model.failing;
	model.failing = model.lost = 0;
	end_batch(regs);
	return ret;
}

/* All calls of a batch answer 0, or what they have to, as one alone does that maps nothing. No run has more than one. */
int held_run(struct held *held, struct user_regs_struct *regs, uint64_t stop)
{
	int ret = cannot_begin;

	cannot_begin = 0;
	if (ret)
		return ret;
	model.runs++;
	model.calls = held->calls;
	held->calls = 0;
	beside_run(&held->beside);
	if (regs->pc > stop)
		return run_batch(regs);
	if (regs->regs[8] == SYS_mmap)
		model.gone = false;
	if (regs->regs[8] == SYS_munmap) {
		assert_false(model.gone);
		assert_int_equal(regs->regs[0], (uintptr_t)scratch);
		assert_int_equal(regs->regs[24], 0);
		model.munmaps++;
		model.gone = true;
	}
	regs->regs[20] = regs->regs[8] == SYS_mmap ? (uintptr_t)scratch : 0;
	regs->regs[27] = 0;
	return 0;
}

int trace_poke(pid_t tid, uint64_t addr, const uint64_t *words, size_t nr)
{
	return -EIO;
}

int served_find(const struct proc_areas *areas, struct served *served)
{
	return 0;
}

static const void *served_by_somebody;

bool served_has(const struct served *served, uint64_t addr, size_t size)
{
	return addr == (uintptr_t)served_by_somebody;
}

void served_free(struct served *served)
{
}

int bring_fd(struct remote *remote, pid_t pid, pid_t vpid, int fd)
{
	return -EIO;
}

static unsigned int done;

static void count(void *arg)
{
	assert_ptr_equal(arg, &done);
	done++;
}

static int run_beside(struct remote *remote)
{
	struct batch b = BATCH(remote, 3, "test");
	int ret;

	remote->beside = (struct beside){ count, &done };
	batch_syscall(&b, "getppid", SYS_getppid, 0, 0, 0, 0, 0, 0);
	ret = batch_run(&b);
	batch_fini(&b);
	remote->beside = (struct beside){ 0 };
	return ret;
}

/* What is known of the process is not asked again. */
static void a_session_goes_by_what_was_seen(void **state)
{
	struct task_space space = TASK_SPACE_SMALL;
	struct remote *remote;
	struct proc_view seen;

	assert_int_equal(proc_view_read(getpid(), PROC_TEXT_ALL, &seen), 0);
	seen.status.vpid = 4711;
	space.seen = &seen;
	assert_int_equal(task_remote_open(getpid(), space, &remote), 0);
	assert_int_equal(taken.pid, getpid());
	assert_int_equal(taken.tid, getpid());
	assert_int_equal(taken.vpid, 4711);
	assert_int_equal(taken.vtid, 4711);
	assert_int_equal(task_remote_close(remote), 0);

	for (size_t i = 0; i < seen.areas.nr; i++)
		seen.areas.list[i].prot &= ~PROT_EXEC;
	assert_int_equal(task_remote_open(getpid(), space, &remote), -ENOENT);
	space.seen = NULL;
	assert_int_equal(task_remote_open(getpid(), space, &remote), 0);
	assert_int_equal(taken.vpid, getpid());
	assert_int_equal(task_remote_close(remote), 0);
	proc_view_free(&seen);
}

static struct remote *open_here(void)
{
	struct remote *remote;

	done = 0;
	log_reset();
	memset(&model, 0, sizeof(model));
	assert_int_equal(task_remote_open(getpid(), TASK_SPACE_SMALL, &remote), 0);
	return remote;
}

static void what_is_done_beside_calls_is_done_once(void **state)
{
	struct remote *remote = open_here();

	for (unsigned int i = 1; i <= 2; i++) {
		assert_int_equal(run_beside(remote), 0);
		assert_int_equal(done, i);
	}
	assert_int_equal(task_remote_close(remote), 0);
	assert_int_equal(done, 2);
}

/* Not beside one of those that put the task back: whoever asked for it is gone. */
static void what_was_to_be_done_beside_calls_that_cannot_begin_is_not_done(void **state)
{
	struct remote *remote = open_here();

	cannot_begin = -ENOMEM;
	assert_int_equal(run_beside(remote), -ENOMEM);
	assert_int_equal(task_remote_close(remote), 0);
	assert_int_equal(done, 0);
}

/* Several ranges by one access: all of them, or it is said that it is not all. */
static void ranges_are_read_and_written_at_once(void **state)
{
	struct remote *remote = open_here();
	char *pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), got[2][4] = { 0 };
	struct iovec here[] = { { got[0], 4 }, { got[1], 4 } }, there[] = { { pages, 4 }, { pages + 2 * 4096, 4 } };
	struct batch b = BATCH(remote, 3, "test");

	assert_ptr_not_equal(pages, MAP_FAILED);
	memcpy(pages, "abcd", 4);
	memcpy(pages + 2 * 4096, "efgh", 4);
	batch_syscall(&b, "getpid", SYS_getpid, 0, 0, 0, 0, 0, 0);
	assert_int_equal(batch_later(&b), 0);
	batch_fini(&b);
	assert_int_equal(remote->queue.nr, 1);
	assert_int_equal(remote->ops->read_all(remote, here, there, 2), 0);
	assert_int_equal(remote->queue.nr, 0); /* it may have written there */
	assert_memory_equal(got, "abcdefgh", 8);
	memcpy(got, "ijklmnop", 8);
	assert_int_equal(remote->ops->write_all(remote, here, there, 2), 0);
	assert_memory_equal(pages, "ijkl", 4);
	assert_memory_equal(pages + 2 * 4096, "mnop", 4);

	served_by_somebody = there[1].iov_base;
	assert_int_equal(remote->ops->read_all(remote, here, there, 2), -EAGAIN);
	memcpy(got, "qrstuvwx", 8);
	assert_int_equal(remote->ops->write_all(remote, here, there, 2), -EAGAIN);
	assert_memory_equal(pages, "ijkl", 4);
	served_by_somebody = NULL;

	assert_int_equal(mprotect(pages + 2 * 4096, 4096, PROT_NONE), 0);
	assert_int_equal(remote->ops->write_all(remote, here, there, 2), -EIO);
	assert_memory_equal(pages, "qrst", 4); /* in their order, up to there */
	assert_int_equal(remote->ops->read_all(remote, here, there, 2), -EIO);
	assert_int_equal(task_remote_close(remote), 0);
	munmap(pages, 3 * 4096);
}

/* Three calls, of which the second writes. */
static void add_calls(struct batch *b, struct remote_write *write)
{
	batch_syscall(b, "getppid", SYS_getppid, 0, 0, 0, 0, 0, 0);
	batch_write(b, write, 1, "abcd", 4);
	batch_syscall(b, "getppid", SYS_getppid, 0, 0, 0, 0, 0, 0);
}

static int run_last(struct remote *remote, void (*change)(struct batch *b))
{
	struct batch b = BATCH(remote, 3, "test");
	struct remote_write write = { .to = { { scratch, 4 } } };
	int ret;

	b.is_last = true;
	add_calls(&b, &write);
	if (change)
		change(&b);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

/* Its results go with it, and it is not unmapped once more. */
static void the_last_batch_takes_the_memory_with_it(void **state)
{
	struct remote *remote = open_here();
	uint64_t calls = task_remote_used().calls;
	char page[] = "abcd", got[4];

	assert_int_equal(run_last(remote, NULL), 0);
	assert_true(model.asked && model.gone);
	assert_int_equal(model.calls, 3); /* many take longer than one */
	assert_int_equal(task_remote_used().calls - calls, 4);
	/* It is the last. */
	assert_int_equal(run_beside(remote), -EIO);
	assert_int_equal(remote->ops->read(remote, (uintptr_t)page, got, sizeof(got)), 0);
	assert_memory_equal(got, "abcd", sizeof(got));
	/* What waits for somebody only the task itself may touch. */
	served_by_somebody = page;
	assert_int_equal(remote->ops->read(remote, (uintptr_t)page, got, sizeof(got)), -EIO);
	assert_int_equal(remote->ops->write(remote, (uintptr_t)page, "efgh", 4), -EIO);
	assert_memory_equal(page, "abcd", 4);
	served_by_somebody = NULL;
	assert_int_equal(task_remote_close(remote), 0);
	assert_int_equal(model.runs, 2);
	assert_int_equal(model.munmaps, 0);
}

static void no_other_batch_does(void **state)
{
	struct remote *remote = open_here();

	assert_int_equal(run_beside(remote), 0);
	assert_false(model.asked);
	remote->is_last = true;
	assert_int_equal(run_beside(remote), 0);
	assert_false(model.asked);
	assert_int_equal(task_remote_close(remote), 0);
	assert_int_equal(model.munmaps, 1);
}

/* What it has answered is read, and the memory unmapped by a call of its own. */
static void what_fails_in_the_last_batch_is_known(void **state)
{
	for (unsigned int i = 1; i <= 3; i += 2) {
		struct remote *remote = open_here();

		model.failing = i;
		assert_int_equal(run_last(remote, NULL), -ENOENT);
		assert_true(model.asked && !model.gone);
		assert_string_equal(log_error(), "vm 3: test: getppid (0): No such file or directory (errno 2)");
		assert_int_equal(run_beside(remote), 0);
		assert_int_equal(task_remote_close(remote), 0);
		assert_int_equal(model.munmaps, 1);
	}
}

static void memory_that_could_not_be_unmapped_with_the_last_batch_is_unmapped_behind_it(void **state)
{
	struct remote *remote = open_here();

	model.unmapping = ENOMEM;
	assert_int_equal(run_last(remote, NULL), 0);
	assert_true(model.asked && !model.gone);
	assert_int_equal(task_remote_close(remote), 0);
	assert_int_equal(model.munmaps, 1);
}

/* Nobody has mapped anything there meanwhile, but a munmap() too many could outlive criu. */
static void after_a_last_batch_of_which_nothing_is_known_the_memory_is_unmapped_once(void **state)
{
	for (unsigned int failing = 0; failing <= 1; failing++) {
		struct remote *remote = open_here();

		model.failing = failing;
		model.lost = -EIO;
		assert_int_equal(run_last(remote, NULL), -EIO);
		assert_int_equal(model.gone, !failing);
		assert_int_equal(task_remote_close(remote), 0);
		assert_int_equal(model.munmaps, failing);
	}
}

static void ask_for_an_answer(struct batch *b)
{
	static uint64_t answer;

	batch_get_reg(b, 5, 0x6030000000100002, &answer);
}

static void give_leave_to_fail(struct batch *b)
{
	b->calls[0].may_fail = ENOENT;
}

static void keep_results(struct batch *b)
{
	static int64_t result;

	b->calls[2].results = &result;
}

static void what_is_not_known_of_the_last_batch_is_read(void **state)
{
	void (*const changes[])(struct batch *b) = { ask_for_an_answer, give_leave_to_fail, keep_results };

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct remote *remote = open_here();

		assert_int_equal(run_last(remote, changes[i]), 0);
		assert_false(model.asked);
		assert_int_equal(task_remote_close(remote), 0);
		assert_int_equal(model.munmaps, 1);
	}
}

/* Each by a round trip of its own: it goes with the last one. */
static void a_last_batch_that_does_not_fit_keeps_the_memory_as_long_as_it_takes(void **state)
{
	struct remote *remote = open_here();
	struct batch b = BATCH(remote, 3, "test");

	b.is_last = true;
	for (size_t i = 0; i < sizeof(scratch) / 64; i++)
		batch_syscall(&b, "getppid", SYS_getppid, 0, 0, 0, 0, 0, 0);
	assert_int_equal(batch_run(&b), 0);
	batch_fini(&b);
	assert_int_equal(model.runs, 3);
	assert_true(model.asked && model.gone);
	assert_int_equal(task_remote_close(remote), 0);
	assert_int_equal(model.munmaps, 0);
}

/* Should criu be killed the filter holds again, and munmap() would end the task. */
static void where_a_filter_may_hold_again_no_batch_unmaps(void **state)
{
	struct task_space space = TASK_SPACE_SMALL;
	struct remote *remote;
	struct proc_view seen;

	assert_int_equal(proc_view_read(getpid(), PROC_TEXT_ALL, &seen), 0);
	seen.status.has_seccomp = true;
	space.seen = &seen;
	memset(&model, 0, sizeof(model));
	assert_int_equal(task_remote_open(getpid(), space, &remote), 0);
	assert_int_equal(run_last(remote, NULL), 0);
	assert_false(model.asked);
	assert_int_equal(task_remote_close(remote), 0);
	assert_int_equal(model.munmaps, 1);
	proc_view_free(&seen);
}

/* A test that leaves it out is to see that it is missed; one that lets a call fail has the batch run in parts. */
static void faults_reach_the_end_of_the_last_batch(void **state)
{
	static const char *const faults[][2] = { { "KVM_VGIC_SKIP", "munmap" }, { "KVM_VGIC_FAULT", "3" } };

	for (size_t i = 0; i < 2; i++) {
		struct remote *remote = open_here();

		setenv("KVM_VGIC_TESTING", "1", 1);
		setenv(faults[i][0], faults[i][1], 1);
		fault_init();
		assert_int_equal(run_last(remote, NULL), i ? -EIO : 0);
		unsetenv("KVM_VGIC_FAULT");
		assert_false(model.asked);
		assert_int_equal(task_remote_close(remote), 0);
		assert_int_equal(model.munmaps, i);
		unsetenv("KVM_VGIC_SKIP");
	}
}

static char text[] = "what is there";

/* The first point that it passes fails. */
static int access_at_once(struct remote *remote, int (*all)(struct remote *remote, const struct iovec *here, const struct iovec *there, size_t nr))
{
	char buf[sizeof(text)] = "what is here!";
	const struct iovec here = { buf, sizeof(buf) }, there = { text, sizeof(text) };
	int ret;

	setenv("KVM_VGIC_TESTING", "1", 1);
	setenv("KVM_VGIC_FAULT", "1", 1);
	fault_init();
	log_reset();
	ret = all(remote, &here, &there, 1);
	unsetenv("KVM_VGIC_FAULT");
	return ret;
}

/* By test/faults/run too each of them is let fail. */
static void an_access_to_all_at_once_can_fail(void **state)
{
	struct remote *remote = open_here();

	assert_int_equal(access_at_once(remote, remote->ops->read_all), -EIO);
	assert_true(log_has("task.c: process_vm_readv"));
	assert_int_equal(access_at_once(remote, remote->ops->write_all), -EIO);
	assert_true(log_has("task.c: process_vm_writev"));
	assert_string_equal(text, "what is there");
	assert_int_equal(task_remote_close(remote), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_goes_by_what_was_seen),
		cmocka_unit_test(what_is_done_beside_calls_is_done_once),
		cmocka_unit_test(what_was_to_be_done_beside_calls_that_cannot_begin_is_not_done),
		cmocka_unit_test(ranges_are_read_and_written_at_once),
		cmocka_unit_test(the_last_batch_takes_the_memory_with_it),
		cmocka_unit_test(no_other_batch_does),
		cmocka_unit_test(what_fails_in_the_last_batch_is_known),
		cmocka_unit_test(memory_that_could_not_be_unmapped_with_the_last_batch_is_unmapped_behind_it),
		cmocka_unit_test(after_a_last_batch_of_which_nothing_is_known_the_memory_is_unmapped_once),
		cmocka_unit_test(what_is_not_known_of_the_last_batch_is_read),
		cmocka_unit_test(a_last_batch_that_does_not_fit_keeps_the_memory_as_long_as_it_takes),
		cmocka_unit_test(where_a_filter_may_hold_again_no_batch_unmaps),
		cmocka_unit_test(faults_reach_the_end_of_the_last_batch),
		cmocka_unit_test(an_access_to_all_at_once_can_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
