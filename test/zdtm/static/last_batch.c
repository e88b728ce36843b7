// SPDX-License-Identifier: GPL-2.0-only
/*
 * last_batch MODE TIMES: a session in a process, whose last batch is to give back the session's memory. The tracer is killed, or not, as criu may
 * be, and another process that shares the memory maps something in the place as soon as that is free: it is to stay.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "remote/task.h"

#define ROOM (1u << 20)
#define SIZE (TASK_SCRATCH_SMALL + ROOM)
#define STACK (64u << 10)
#define NAPS 5
#define BATCH_US 8000 /* about as long as the batch takes */
#define NOT_RUN 1

enum mode { SUCCEEDS, KILLED_BEHIND, KILLED, FAILS, WRITES_A_PART };
static const char *const modes[] = { "succeeds", "killed-behind", "killed", "fails", "writes-a-part" };

static struct {
	volatile unsigned long scratch, beats;
	volatile bool mapped, ends;
	volatile int result, made; /* of the batch, and how many of its calls */
} *shared;

void print_on_level(unsigned int level, const char *format, ...)
{
	va_list args;

	if (level > LOG_WARN)
		return;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
}

/* Not traced: it runs whatever becomes of the tracer. Where its mapping goes it dies. */
static int map_there(void *arg)
{
	volatile char *at = MAP_FAILED;

	while (!shared->ends && at == MAP_FAILED) {
		usleep(100);
		if (shared->scratch)
			at = mmap((void *)shared->scratch, SIZE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	}
	if (at == MAP_FAILED)
		_exit(1);
	at[0] = at[SIZE - 1] = 1;
	shared->mapped = true;
	while (!shared->ends)
		if (!at[0] || !at[SIZE - 1])
			_exit(2);
	_exit(0);
}

static int live(void)
{
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid = stack == MAP_FAILED ? -1 : clone(map_there, stack + STACK, CLONE_VM | SIGCHLD, NULL);
	int status;

	while (!shared->ends) {
		usleep(200);
		shared->beats++;
	}
	return waitpid(pid, &status, 0) != pid || status;
}

static void add_calls(struct batch *b, enum mode mode)
{
	static const struct timespec nap = { .tv_nsec = 300000 };
	static struct remote_write write;
	const uint64_t room = b->remote->room;

	batch_syscall(b, "mmap", SYS_mmap, room, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (int i = 0; i < NAPS; i++) {
		struct remote_call *call = batch_syscall(b, "nanosleep", SYS_nanosleep, 0, 0, 0, 0, 0, 0);

		call->data = (void *)&nap;
		call->size = sizeof(nap);
	}
	write.to[0] = (struct iovec){ (void *)room, 4 };
	write.to[1] = (struct iovec){ (void *)(mode == WRITES_A_PART ? 4096 : room + 4096), 4 };
	batch_write(b, &write, 2, "abcdefg", 8);
	if (mode == FAILS)
		batch_syscall(b, "close", SYS_close, -1, 0, 0, 0, 0, 0);
	batch_syscall(b, "getpid", SYS_getpid, 0, 0, 0, 0, 0, 0);
}

static void run_last(struct remote *remote, enum mode mode)
{
	struct batch b = BATCH(remote, 1, "last batch");

	b.is_last = true;
	add_calls(&b, mode);
	shared->scratch = remote->room - TASK_SCRATCH_SMALL;
	shared->result = batch_try(&b);
	shared->made = 0;
	for (size_t i = 0; i < b.nr; i++)
		shared->made += b.calls[i].done;
	batch_fini(&b);
}

static int trace(pid_t pid, enum mode mode)
{
	struct remote *remote;
	int status, ret;

	if (ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0) || waitpid(pid, &status, __WALL) != pid ||
	    task_remote_open(pid, (struct task_space){ .scratch = TASK_SCRATCH_SMALL, .room = ROOM }, &remote))
		return 1;
	run_last(remote, mode);
	if (mode == KILLED_BEHIND) {
		usleep(5000); /* the place is taken meanwhile */
		raise(SIGKILL);
	}
	if (mode == FAILS)
		raise(SIGKILL);
	ret = task_remote_close(remote);
	return ptrace(PTRACE_DETACH, pid, 0, 0) || ret;
}

static bool is_as_it_must_be(enum mode mode)
{
	switch (mode) {
	case SUCCEEDS:
	case KILLED_BEHIND:
		return !shared->result && shared->made == NAPS + 3;
	case KILLED:
		return true;
	case FAILS:
		return shared->result == -EBADF && shared->made == NAPS + 3;
	case WRITES_A_PART:
		return shared->result == -EFAULT && shared->made == NAPS + 2;
	}
	return false;
}

static bool goes_on(void)
{
	unsigned long beats = shared->beats;

	for (int ms = 0; ms < 3000 && (shared->beats < beats + 3 || !shared->mapped); ms++)
		usleep(1000);
	usleep(10000);
	return shared->beats >= beats + 3 && shared->mapped;
}

static int run_once(enum mode mode)
{
	pid_t pid, tracer;
	int traced, status;
	bool good;

	memset(shared, 0, sizeof(*shared));
	shared->result = NOT_RUN;
	pid = fork();
	if (!pid)
		_exit(live());
	while (!shared->beats)
		usleep(100);
	tracer = fork();
	if (!tracer)
		_exit(trace(pid, mode));
	while (mode == KILLED && !shared->scratch)
		;
	if (mode == KILLED) {
		usleep(rand() % BATCH_US);
		kill(tracer, SIGKILL);
	}
	waitpid(tracer, &traced, 0);
	good = (WIFSIGNALED(traced) || !traced) && goes_on() && is_as_it_must_be(mode);
	shared->ends = true;
	if (!good) {
		usleep(10000);
		kill(pid, SIGKILL);
	}
	waitpid(pid, &status, 0);
	if (good && !status)
		return 0;
	printf("%s: the tracer ended with %#x, the process with %#x; batch: %d, %d calls; its place was %staken\n", modes[mode], traced, status,
	       shared->result, shared->made, shared->mapped ? "" : "not ");
	return 1;
}

int main(int argc, char **argv)
{
	int bad = 0;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	setvbuf(stdout, NULL, _IONBF, 0);
	srand(getpid());
	for (size_t mode = 0; argc == 3 && mode < sizeof(modes) / sizeof(modes[0]); mode++)
		if (!strcmp(argv[1], modes[mode])) {
			for (int i = 0; i < atoi(argv[2]); i++)
				bad += run_once(mode);
			return bad > 0;
		}
	fprintf(stderr, "usage: last_batch succeeds|killed-behind|killed|fails|writes-a-part TIMES\n");
	return 2;
}
