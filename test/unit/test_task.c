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

int held_read(const struct held *held, uint64_t addr, void *buf, size_t size)
{
	return pread(held->mem, buf, size, addr) == (ssize_t)size ? 0 : -EIO;
}

int held_write(const struct held *held, uint64_t addr, const void *buf, size_t size)
{
	return pwrite(held->mem, buf, size, addr) == (ssize_t)size ? 0 : -EIO;
}

/* All calls of a batch answer 0, as one alone does that maps nothing. */
int held_run(struct held *held, struct user_regs_struct *regs, uint64_t stop)
{
	bool is_batch = regs->pc > stop;
	int ret = cannot_begin;

	cannot_begin = 0;
	if (ret)
		return ret;
	beside_run(&held->beside);
	if (is_batch)
		memset((void *)(uintptr_t)regs->regs[25], 0, regs->regs[20] * sizeof(int64_t));
	regs->regs[20] = !is_batch && regs->regs[8] == SYS_mmap ? (uintptr_t)scratch : 0;
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
		cmocka_unit_test(an_access_to_all_at_once_can_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
