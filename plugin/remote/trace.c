// SPDX-License-Identifier: GPL-2.0-only
/* See trace.h. */
#include <elf.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "remote/trace.h"

int trace_get_regset(pid_t tid, unsigned int note, void *buf, size_t *size)
{
	struct iovec iov = { .iov_base = buf, .iov_len = *size };

	if (ptrace(PTRACE_GETREGSET, tid, note, &iov))
		return sys_err();
	*size = iov.iov_len;
	return 0;
}

int trace_set_regset(pid_t tid, unsigned int note, const void *buf, size_t size)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = size };

	return ptrace(PTRACE_SETREGSET, tid, note, &iov) ? sys_err() : 0;
}

int trace_get_regs(pid_t tid, struct user_regs_struct *regs)
{
	size_t size = sizeof(*regs);

	return trace_get_regset(tid, NT_PRSTATUS, regs, &size);
}

int trace_set_regs(pid_t tid, const struct user_regs_struct *regs)
{
	return trace_set_regset(tid, NT_PRSTATUS, regs, sizeof(*regs));
}

int trace_poke(pid_t tid, uint64_t addr, const uint64_t *words, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (ptrace(PTRACE_POKEDATA, tid, addr + 8 * i, words[i]))
			return sys_err();
	return 0;
}

int trace_peek(pid_t tid, uint64_t addr, uint64_t *words, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		errno = 0; /* the word itself is what it answers */
		words[i] = ptrace(PTRACE_PEEKDATA, tid, addr + 8 * i, 0);
		if (errno)
			return sys_err();
	}
	return 0;
}

static void ignore(int sig)
{
}

/*
 * waitpid() has no time limit of its own: a signal now and then has it return. The handler stays, and does nothing; the timer runs
 * while somebody waits. A child of this process has no timer of its.
 */
static struct {
	timer_t timer;
	pid_t owner;
	bool is_heard;
} limit;

void trace_hear_limit(void)
{
	struct sigaction act = { .sa_handler = ignore };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMAX };
	pid_t self = getpid();
	sigset_t set;

	if (limit.owner != self && !sigaction(SIGRTMAX, &act, NULL) && !timer_create(CLOCK_MONOTONIC, &event, &limit.timer))
		limit.owner = self;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMAX);
	limit.is_heard = limit.owner == self && !sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* The signal each @ms, or with 0 no more. Whether it comes. */
static bool set_timer(int ms)
{
	struct timespec each = { ms / 1000, ms % 1000 * 1000000 };
	struct itimerspec spec = { each, each };

	return limit.is_heard && !timer_settime(limit.timer, 0, &spec, NULL);
}

/* 1: a stop, 0: not yet, or a negative errno. */
static int look(pid_t tid, int *status, bool waits)
{
	pid_t ret = waitpid(tid, status, __WALL | (waits ? 0 : WNOHANG));

	if (ret == tid)
		return WIFSTOPPED(*status) ? 1 : -ESRCH;
	return ret < 0 && errno != EINTR ? sys_err() : 0;
}

#define LOOKS_MS 500 /* how often the time is looked at */

int trace_wait_stop(pid_t tid, int *status, int timeout_ms)
{
	const struct timespec nap = { .tv_nsec = 100000 };
	uint64_t end = clock_us() + 1000ull * timeout_ms;
	bool waits = set_timer(timeout_ms < LOOKS_MS ? timeout_ms : LOOKS_MS);
	int ret;

	while (!(ret = look(tid, status, waits)) && clock_us() < end)
		if (!waits)
			nanosleep(&nap, NULL);
	if (waits)
		set_timer(0);
	return ret < 0 ? ret : ret ? 0 : -ETIMEDOUT;
}

bool trace_is_event_stop(int status)
{
	return status >> 16 == PTRACE_EVENT_STOP;
}

bool trace_goes_on(pid_t tid)
{
	struct user_regs_struct regs;
	siginfo_t info = { 0 };

	if (trace_get_regs(tid, &regs) == -ESRCH)
		return true;
	if (waitid(P_PID, tid, &info, WSTOPPED | WNOHANG | WNOWAIT | __WALL) || info.si_pid != tid)
		return false;
	/* Not SIGTRAP, by which CRIU's own code ends. */
	return info.si_status > 0 && info.si_status < NSIG && info.si_status != SIGTRAP;
}

/* As CRIU's tasks have them, by PTRACE_O_TRACESYSGOOD. */
static bool is_syscall_stop(int status)
{
	return WSTOPSIG(status) == (SIGTRAP | 0x80);
}

int trace_interrupt(pid_t tid, int timeout_ms)
{
	int status, ret;

	trace_hear_limit();
	if (ptrace(PTRACE_INTERRUPT, tid, 0, 0))
		return sys_err();
	for (;;) {
		ret = trace_wait_stop(tid, &status, timeout_ms);
		if (ret || trace_is_event_stop(status) || is_syscall_stop(status))
			return ret;
		if (ptrace(PTRACE_CONT, tid, 0, WSTOPSIG(status)))
			return sys_err();
	}
}
