// SPDX-License-Identifier: GPL-2.0-only
/* See stop.h. */
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "probe/proc.h"
#include "remote/trace.h"
#include "stop.h"
#include "tool.h"

#define STOP_TIMEOUT_MS 10000
#define MAX_PASSES 32 /* threads may make threads while they are seized */

static bool is_known(const struct stopped *s, pid_t tid)
{
	for (size_t i = 0; i < s->nr; i++)
		if (s->tids[i] == tid)
			return true;
	return false;
}

/* Its seccomp filter, where it has one, holds no system call of ours back meanwhile: that takes CAP_SYS_ADMIN. */
static int seize(pid_t tid)
{
	if (!ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_SUSPEND_SECCOMP))
		return 0;
	return ptrace(PTRACE_SEIZE, tid, 0, 0) ? sys_err() : 0;
}

static int take_thread(pid_t pid, pid_t tid, void *arg)
{
	struct stopped *s = arg;
	pid_t *more;
	int ret;

	if (is_known(s, tid))
		return 0;
	more = reallocarray(s->tids, s->nr + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->tids = more;
	ret = seize(tid);
	if (ret == -ESRCH)
		return 0; /* it has ended */
	if (ret)
		return ret;
	s->tids[s->nr++] = tid;
	ret = trace_interrupt(tid, STOP_TIMEOUT_MS);
	if (ret != -ESRCH)
		return ret;
	s->nr--;
	return 0;
}

static int take_all(struct stopped *s)
{
	size_t before;
	int passes = 0, ret;

	do {
		before = s->nr;
		ret = proc_each_thread(s->pid, take_thread, s);
	} while (!ret && s->nr > before && ++passes < MAX_PASSES);
	return ret ?: s->nr == before ? s->nr ? 0 : -ESRCH : -EAGAIN;
}

static int refuse_traced(pid_t pid, pid_t tid, void *arg)
{
	pid_t tracer = proc_tracer(pid, tid);

	if (tracer <= 0)
		return 0;
	tool_error("pid %d: pid %d traces it: if that is a criu which dumps it, let it end, or end it", pid, tracer);
	return -EBUSY;
}

int stop_process(pid_t pid, struct stopped *s)
{
	int ret = proc_each_thread(pid, refuse_traced, NULL);

	*s = (struct stopped){ .pid = pid };
	if (ret == -EBUSY)
		return ret;
	ret = ret ?: take_all(s);
	if (!ret)
		return 0;
	tool_error("pid %d: cannot stop it: %s (errno %d)", pid, strerror(-ret), -ret);
	stop_end(s);
	return ret;
}

void stop_end(struct stopped *s)
{
	for (size_t i = 0; i < s->nr; i++)
		ptrace(PTRACE_DETACH, s->tids[i], 0, 0);
	free(s->tids);
	*s = (struct stopped){ 0 };
}
