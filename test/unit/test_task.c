// SPDX-License-Identifier: GPL-2.0-only
/* Calls of a task, which is this process itself, and whose threads, where they make calls, are models of some. */
#include <fcntl.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

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
    "task_code: one_call: .fill 16, 4, 0x7c0de\n"
    "one_call_stop: .fill 16, 4, 0x7c0de\n"
    "batch_code: .fill 8, 4, 0x7c0de\n"
    "task_code_end:\n"
    ".popsection");

#define NR_THREADS 6 /* more than are tried */

/* A thread, as it is seen from outside. */
struct model {
	pid_t tid;
	bool has_no_room;      /* for its way back */
	bool has_other_fds;
	bool has_no_memory;    /* mmap() fails in it */
	bool cannot_be_locked; /* mprotect() does */
	bool cannot_unmap;     /* munmap() does, once */
	bool has_filter;
	int cannot_begin;      /* a negative errno, for what is next to be run in it */
	bool does_not_return;  /* likewise, from a batch */

	bool held, runs;
	unsigned int calls; /* of batches */
	uint64_t mapped;     /* bytes that it was to map */
	uint64_t ours, size; /* what its way back would unmap */
};

static struct model models[NR_THREADS];
static unsigned int running, most_running;
static uint64_t all_mapped; /* bytes, by all of them */

static struct model *model(pid_t tid)
{
	for (size_t i = 0; i < NR_THREADS; i++)
		if (models[i].tid == tid)
			return &models[i];
	fail_msg("thread %d is nobody's", tid);
	return NULL;
}

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	if (nr != SYS_kcmp)
		return __real_syscall(nr, a, b, c, d, e, f);
	assert_int_equal(a, getpid());
	assert_int_equal(c, KCMP_FILES);
	return model(b)->has_other_fds ? 1 : 0;
}

bool __wrap_proc_has_seccomp(pid_t tid);
bool __wrap_proc_has_seccomp(pid_t tid)
{
	return model(tid)->has_filter;
}

int held_try(struct held *held, pid_t pid, pid_t tid, int mem)
{
	struct model *m = model(tid);

	if (m->has_no_room)
		return -ENOTSUP;
	assert_false(m->held);
	m->held = true;
	*held = (struct held){ .pid = pid, .tid = tid, .vtid = tid, .vpid = pid, .mem = mem };
	return 0;
}

int held_take(struct held *held, pid_t pid, pid_t tid, int mem)
{
	return held_try(held, pid, tid, mem);
}

int held_put_back(struct held *held)
{
	struct model *m = model(held->tid);

	assert_true(m->held && (!m->runs || held->away));
	m->held = false;
	return held->away ? -ETIMEDOUT : 0;
}

int held_read(const struct held *held, uint64_t addr, void *buf, size_t size)
{
	return pread(held->mem, buf, size, addr) == (ssize_t)size ? 0 : -EIO;
}

int held_write(const struct held *held, uint64_t addr, const void *buf, size_t size)
{
	return pwrite(held->mem, buf, size, addr) == (ssize_t)size ? 0 : -EIO;
}

int held_begin(struct held *held, struct user_regs_struct *regs)
{
	struct model *m = model(held->tid);
	int ret = m->cannot_begin;

	assert_true(m->held && !m->runs);
	m->ours = regs->regs[23];
	m->size = regs->regs[24];
	m->cannot_begin = 0;
	if (ret)
		return ret;
	m->runs = true;
	running++;
	most_running = running > most_running ? running : most_running;
	return 0;
}

static bool is_its_own(const struct model *m, uint64_t addr)
{
	return addr >= m->ours && addr - m->ours < m->size;
}

/* The code is position independent: the task's copy of it ends where task_code does. */
static bool is_batch(const struct user_regs_struct *regs, uint64_t stop)
{
	return regs->pc > stop;
}

/* As batch_code.S: each answers what its first argument says, and nothing that is touched is another thread's to unmap. */
static void make_batch(struct model *m, struct user_regs_struct *regs)
{
	struct batch_slot *slot = (void *)(uintptr_t)regs->regs[19];
	int64_t *result = (void *)(uintptr_t)regs->regs[25];

	for (; regs->regs[20]; slot++, result++, regs->regs[20]--) {
		int64_t may_fail = *result;

		assert_true(m->has_filter || (is_its_own(m, (uintptr_t)slot) && is_its_own(m, (uintptr_t)result)));
		m->calls++;
		*result = slot->arg[0];
		if (*result < 0 && *result + may_fail)
			break;
	}
}

static void map(struct model *m, unsigned long long *x)
{
	void *at = m->has_no_memory ? MAP_FAILED : mmap(NULL, x[1], x[2], x[3], x[4], x[5]);

	m->mapped = x[1];
	x[20] = at == MAP_FAILED ? (uintptr_t)-ENOMEM : (uintptr_t)at;
	if (at == MAP_FAILED)
		return;
	all_mapped += x[1];
	x[27] = m->cannot_be_locked ? -EAGAIN : mprotect(at, x[26], PROT_READ | PROT_WRITE);
}

static int64_t unmap(struct model *m, uint64_t addr, uint64_t size)
{
	bool fails = m->cannot_unmap;

	m->cannot_unmap = false;
	if (fails)
		return -ENOMEM;
	all_mapped -= size;
	return munmap((void *)(uintptr_t)addr, size);
}

static void make_call(struct model *m, struct user_regs_struct *regs)
{
	unsigned long long *x = regs->regs;

	x[27] = 0;
	switch (x[8]) {
	case SYS_mmap:
		map(m, x);
		break;
	case SYS_munmap:
		assert_int_equal(m->size, 0);
		x[20] = unmap(m, x[0], x[1]);
		break;
	default:
		x[20] = 0;
	}
}

int held_end(struct held *held, struct user_regs_struct *regs, uint64_t stop)
{
	struct model *m = model(held->tid);

	assert_true(m->runs);
	running--;
	held->away = is_batch(regs, stop) && m->does_not_return;
	if (held->away)
		return -ETIMEDOUT;
	m->runs = false;
	if (is_batch(regs, stop))
		make_batch(m, regs);
	else
		make_call(m, regs);
	return 0;
}

int trace_poke(pid_t tid, uint64_t addr, const uint64_t *words, size_t nr)
{
	return -EIO;
}

int served_find(pid_t pid, struct served *served)
{
	return 0;
}

bool served_has(const struct served *served, uint64_t addr, size_t size)
{
	return false;
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

static struct remote *open_with(struct task_space space)
{
	struct remote *remote;

	done = 0;
	most_running = 0;
	log_reset();
	assert_int_equal(task_remote_open(getpid(), space, &remote), 0);
	return remote;
}

static struct remote *open_here(void)
{
	return open_with(TASK_SPACE_SMALL);
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

	models[0].cannot_begin = -ENOMEM;
	assert_int_equal(run_beside(remote), -ENOMEM);
	assert_int_equal(task_remote_close(remote), 0);
	assert_int_equal(done, 0);
}

/* ---- two threads ---- */

#define SCRATCH (192u << 10)
#define SPACE ((struct task_space){ .scratch = SCRATCH, .second = SCRATCH / 3, .room = SCRATCH })
#define VCPUS 4u
#define EACH 150u /* calls of a vCPU */
#define HALF (VCPUS / 2 * EACH)

static struct batch b;

/* A batch of @n calls for each of the vCPUs. */
static void fill(struct remote *remote, unsigned int n)
{
	b = (struct batch)BATCH(remote, 3, "test");
	b.any_order = true;
	for (b.vcpu = 0; b.vcpu < (int)VCPUS; b.vcpu++)
		for (unsigned int i = 0; i < n; i++)
			batch_syscall(&b, "getppid", SYS_getppid, i, 0, 0, 0, 0, 0)->detail = i;
	b.any_order = false;
	b.vcpu = -1;
}

static void assert_all_made(void)
{
	for (size_t i = 0; i < b.nr; i++) {
		assert_true(b.calls[i].done);
		assert_int_equal(b.calls[i].made, 1);
		assert_int_equal(b.calls[i].result, b.calls[i].detail);
	}
}

static void *wait_for_end(void *tid)
{
	__atomic_store_n((pid_t *)tid, gettid(), __ATOMIC_SEQ_CST);
	pause();
	return NULL;
}

/* Threads that stay: one test has what another has left. */
static int start_threads(void **state)
{
	models[0].tid = getpid();
	for (size_t i = 1; i < NR_THREADS; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, wait_for_end, &models[i].tid))
			return -1;
		while (!__atomic_load_n(&models[i].tid, __ATOMIC_SEQ_CST))
			sched_yield();
	}
	return 0;
}

static int set_up(void **state)
{
	for (size_t i = 0; i < NR_THREADS; i++)
		models[i] = (struct model){ .tid = models[i].tid };
	running = 0;
	return 0;
}

static int tear_down(void **state)
{
	batch_fini(&b);
	for (size_t i = 0; i < NR_THREADS; i++)
		if (models[i].held)
			return -1;
	return 0;
}

/* Runs @b with two threads, or how many are to make it. */
static int run_and_close(struct remote *remote, unsigned int threads)
{
	int ret = batch_run(&b);

	assert_int_equal(most_running, threads);
	assert_int_equal(task_remote_close(remote), 0);
	return ret;
}

static void each_of_two_threads_makes_a_half(void **state)
{
	struct remote *remote = open_with(SPACE);
	uint64_t trips = task_remote_used().trips;

	fill(remote, EACH);
	remote->beside = (struct beside){ count, &done };
	assert_int_equal(batch_run(&b), 0);
	assert_int_equal(task_remote_used().trips, trips + 1);
	assert_int_equal(done, 1);
	assert_all_made();
	assert_int_equal(models[0].calls, HALF);
	assert_int_equal(models[1].calls, HALF);
	assert_int_equal(most_running, 2);
	assert_int_equal(models[0].mapped + models[1].mapped, SPACE.scratch + SPACE.room);
	models[0].cannot_unmap = models[1].cannot_unmap = true;
	assert_int_equal(task_remote_close(remote), 0);
	assert_int_equal(all_mapped, 0);
}

/* Of three vCPUs one thread makes the calls of one: those of a vCPU stay in their order. */
static void the_calls_of_a_vcpu_are_one_thread_s(void **state)
{
	struct remote *remote = open_with(SPACE);

	fill(remote, EACH);
	for (size_t i = 0; i < b.nr; i++)
		b.calls[i].vcpu = i < 310 ? 0 : i < 500 ? 1 : 2;
	assert_int_equal(run_and_close(remote, 2), 0);
	assert_all_made();
	assert_int_equal(models[0].calls, 310);
	assert_int_equal(models[1].calls, 290);
}

static void calls_of_one_vcpu_are_one_thread_s(void **state)
{
	struct remote *remote = open_with(SPACE);

	fill(remote, EACH);
	for (size_t i = 0; i < b.nr; i++)
		b.calls[i].vcpu = 0;
	assert_int_equal(batch_run(&b), 0);
	assert_all_made();
	assert_int_equal(models[1].calls, 0);
	assert_int_equal(task_remote_close(remote), 0);
}

/* Those before are made before, and those behind when both are done. */
static void calls_whose_order_is_not_free_are_the_first_thread_s(void **state)
{
	struct remote *remote = open_with(SPACE);
	uint64_t trips = task_remote_used().trips;

	fill(remote, EACH);
	batch_syscall(&b, "getppid", SYS_getppid, 7, 0, 0, 0, 0, 0)->detail = 7;
	b.calls[0].any_order = false;
	assert_int_equal(batch_run(&b), 0);
	assert_int_equal(task_remote_used().trips, trips + 3);
	assert_all_made();
	assert_int_equal(models[0].calls + models[1].calls, 2 * HALF + 1);
	assert_int_equal(models[1].calls, HALF);
	assert_int_equal(task_remote_close(remote), 0);
}

static void few_calls_are_one_thread_s(void **state)
{
	struct remote *remote = open_with(SPACE);

	fill(remote, 399 / VCPUS);
	batch_run(&b);
	assert_all_made();
	assert_int_equal(models[1].calls, 0);
	assert_int_equal(task_remote_close(remote), 0);
}

/* More than there is room for at once, of the one and of the other. */
static void what_does_not_fit_comes_next(void **state)
{
	struct remote *remote = open_with(SPACE);

	fill(remote, 10 * EACH);
	assert_int_equal(run_and_close(remote, 2), 0);
	assert_all_made();
	assert_int_equal(models[0].calls, 10 * HALF);
	assert_int_equal(models[1].calls, 10 * HALF);
}

/* Call @nr of all fails. */
static int run_with_failure(unsigned int each, unsigned int nr)
{
	struct remote *remote = open_with(SPACE);

	fill(remote, each);
	b.calls[nr].arg[0] = -EINVAL;
	return run_and_close(remote, 2);
}

/* The one of the first thread's is told also where one of the other's has failed, and where that comes first in time. */
static void the_call_that_is_told_is_the_first_that_has_failed(void **state)
{
	for (unsigned int nr = 0; nr < VCPUS * EACH; nr += 50) {
		set_up(NULL);
		assert_int_equal(run_with_failure(EACH, nr), -EINVAL);
		for (unsigned int i = 0; i < nr; i++)
			assert_int_equal(b.calls[i].result, b.calls[i].detail);
		assert_true(b.calls[nr].done && !b.calls[nr + 1].result);
		assert_int_equal(log_errors(), 1);
		batch_fini(&b);
	}
	set_up(NULL);
	assert_int_equal(run_with_failure(10 * EACH, VCPUS / 2 * 10 * EACH), -EINVAL);
	assert_int_equal(models[0].calls, 10 * HALF);
	assert_int_equal(models[1].calls, 1);
	batch_fini(&b);
	set_up(NULL);
	assert_int_equal(run_with_failure(10 * EACH, 0), -EINVAL);
	assert_int_equal(models[0].calls, 1);
	assert_in_range(models[1].calls, 1, 10 * HALF - 1);
}

static void nothing_is_made_behind_a_call_that_has_failed(void **state)
{
	for (unsigned int nr = 0; nr < VCPUS * EACH; nr += VCPUS / 2 * EACH) {
		struct remote *remote;

		set_up(NULL);
		remote = open_with(SPACE);
		fill(remote, EACH);
		b.calls[nr].arg[0] = -EINVAL;
		batch_syscall(&b, "getppid", SYS_getppid, 7, 0, 0, 0, 0, 0);
		assert_int_equal(run_and_close(remote, 2), -EINVAL);
		assert_false(b.calls[b.nr - 1].done);
		batch_fini(&b);
	}
}

/* Calls that may fail go on, in both. */
static void an_answer_that_is_an_errno_ends_nothing(void **state)
{
	struct remote *remote = open_with(SPACE);

	fill(remote, EACH);
	for (unsigned int i = 0; i < VCPUS * EACH; i += EACH) {
		b.calls[i].arg[0] = b.calls[i].detail = -ENOENT;
		b.calls[i].may_fail = ENOENT;
	}
	assert_int_equal(run_and_close(remote, 2), 0);
	assert_all_made();
}

static void assert_one_thread_makes_all(struct remote *remote)
{
	fill(remote, EACH);
	assert_int_equal(batch_run(&b), 0);
	assert_all_made();
	assert_int_equal(models[0].calls, 2 * HALF);
	assert_int_equal(task_remote_close(remote), 0);
	assert_int_equal(log_errors(), 0);
}

static void a_thread_that_is_not_fit_is_passed_over(void **state)
{
	struct remote *remote;

	models[1].has_no_room = models[2].has_other_fds = models[3].has_filter = true;
	remote = open_with(SPACE);
	fill(remote, EACH);
	assert_int_equal(run_and_close(remote, 2), 0);
	assert_int_equal(models[4].calls, HALF);
	assert_int_equal(log_errors(), 0);
}

/* The first thread has a filter, which holds again when criu was killed: the other unmaps what is its own. */
static void a_filter_of_the_first_thread_leaves_the_second_one_its_way_back(void **state)
{
	struct remote *remote;

	models[0].has_filter = true;
	remote = open_with(SPACE);
	fill(remote, EACH);
	assert_int_equal(batch_run(&b), 0);
	assert_int_equal(models[0].size, 0);
	assert_int_equal(models[1].size, SPACE.second);
	assert_int_equal(task_remote_close(remote), 0);
}

static void where_no_thread_is_fit_one_makes_all(void **state)
{
	for (size_t i = 1; i < NR_THREADS - 1; i++)
		models[i].has_no_room = true;
	assert_one_thread_makes_all(open_with(SPACE));
}

static void where_there_is_no_memory_for_two_one_makes_all(void **state)
{

	models[1].has_no_memory = true;
	assert_one_thread_makes_all(open_with(SPACE));
	batch_fini(&b);
	set_up(NULL);
	models[1].cannot_be_locked = true;
	assert_one_thread_makes_all(open_with(SPACE));
	assert_int_equal(all_mapped, 0);
}

/* What is run in one thread goes to its end, whatever becomes of the other. */
static void a_session_in_which_a_thread_cannot_begin_is_not_opened(void **state)
{
	for (size_t i = 0; i < 2; i++) {
			struct remote *remote;

		set_up(NULL);
		models[i].cannot_begin = -EIO;
		assert_int_equal(task_remote_open(getpid(), SPACE, &remote), -EIO);
		assert_int_equal(all_mapped, 0);
		assert_false(models[0].held || models[1].held);
	}
}

static void a_thread_that_cannot_begin_fails_the_batch(void **state)
{
	for (size_t i = 0; i < 2; i++) {
			struct remote *remote;

		set_up(NULL);
		remote = open_with(SPACE);
		fill(remote, EACH);
		models[i].cannot_begin = -EIO;
		remote->beside = (struct beside){ count, &done };
		assert_int_equal(batch_run(&b), -EIO);
		assert_int_equal(done, 0);
		assert_int_equal(running, 0);
		assert_int_equal(models[!i].calls, HALF);
		assert_int_equal(task_remote_close(remote), 0);
		assert_int_equal(all_mapped, 0);
		batch_fini(&b);
	}
}

/* Where our code stands in this process's text still, at the end of an executable mapping, or 0. */
static uint64_t find_code(void)
{
	size_t size = (task_code_end - task_code) * sizeof(*task_code);
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], prot[5];
	uint64_t found = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end;

		assert_int_equal(sscanf(line, "%lx-%lx %4s", &start, &end, prot), 3);
		for (unsigned long at = end - 256; !strcmp(prot, "r-xp") && at + size <= end; at += 8)
			if (!memcmp((void *)at, task_code, size))
				found = at;
	}
	fclose(maps);
	return found;
}

/* As it was before, which is the padding behind code. */
static void clear_code(uint64_t addr)
{
	const uint8_t none[256] = { 0 };
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	size_t size = (task_code_end - task_code) * sizeof(*task_code);

	assert_int_equal(pwrite(mem, none, size, addr), size);
	close(mem);
}

/* The other is put back; the text stays, for the one that is away has still to come back into it; so does its memory, which it unmaps. */
static void a_thread_that_does_not_return_keeps_what_it_needs(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		struct remote *remote;
		uint64_t ours, size;

		set_up(NULL);
		assert_false(find_code());
		remote = open_with(SPACE);
		fill(remote, EACH);
		models[i].does_not_return = true;
		assert_int_equal(batch_run(&b), -ETIMEDOUT);
		ours = models[i].ours;
		size = models[i].size;
		assert_true(ours && size);
		assert_int_equal(task_remote_close(remote), -ETIMEDOUT);
		assert_true(find_code());
		clear_code(find_code());
		assert_true(models[i].runs && !models[!i].runs);
		assert_int_equal(unmap(&models[i], ours, size), 0); /* as it does at last */
		assert_int_equal(all_mapped, 0);
		batch_fini(&b);
	}
}

/* Calls by a vCPU's own thread, which is held already. */
static void calls_by_the_second_thread_itself_are_made_in_it(void **state)
{
	struct remote *remote = open_with(SPACE);
	struct remote_call call = { .nr = SYS_getppid };

	for (size_t i = 0; i < 3; i++) {
		models[i].cannot_begin = -EPERM;
		assert_int_equal(remote->ops->exec_in(remote, models[i].tid, &call, 1), -EPERM);
	}
	assert_int_equal(remote->ops->exec_in(remote, models[1].tid, &call, 1), 0);
	assert_true(call.done);
	assert_int_equal(task_remote_close(remote), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(what_is_done_beside_calls_is_done_once),
		TEST(what_was_to_be_done_beside_calls_that_cannot_begin_is_not_done),
		TEST(each_of_two_threads_makes_a_half),
		TEST(the_calls_of_a_vcpu_are_one_thread_s),
		TEST(calls_of_one_vcpu_are_one_thread_s),
		TEST(calls_whose_order_is_not_free_are_the_first_thread_s),
		TEST(few_calls_are_one_thread_s),
		TEST(what_does_not_fit_comes_next),
		TEST(the_call_that_is_told_is_the_first_that_has_failed),
		TEST(nothing_is_made_behind_a_call_that_has_failed),
		TEST(an_answer_that_is_an_errno_ends_nothing),
		TEST(a_thread_that_is_not_fit_is_passed_over),
		TEST(a_filter_of_the_first_thread_leaves_the_second_one_its_way_back),
		TEST(where_no_thread_is_fit_one_makes_all),
		TEST(where_there_is_no_memory_for_two_one_makes_all),
		TEST(a_session_in_which_a_thread_cannot_begin_is_not_opened),
		TEST(a_thread_that_cannot_begin_fails_the_batch),
		TEST(a_thread_that_does_not_return_keeps_what_it_needs),
		TEST(calls_by_the_second_thread_itself_are_made_in_it),
	};

	return cmocka_run_group_tests(tests, start_threads, NULL);
}
