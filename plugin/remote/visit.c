// SPDX-License-Identifier: GPL-2.0-only
#include "remote/give.h"
#include "remote/task.h"
#include "remote/threads.h"
#include "remote/visit.h"
#include "state/vm.h"

int session(pid_t pid, struct task_space space, session_run *run, void *arg)
{
	struct remote *remote;
	int ret = task_remote_open(pid, space, &remote), err;

	if (ret)
		return ret;
	ret = run(arg, remote);
	err = task_remote_close(remote);
	return ret ?: err;
}

int session_with_more_fds(pid_t pid, struct task_space space, rlim_t limit, session_run *run, void *arg)
{
	struct rlimit before;
	int ret = more_fds_begin(pid, limit, &before), err;

	if (ret)
		return ret;
	ret = session(pid, space, run, arg);
	err = more_fds_end(pid, &before);
	return ret ?: err;
}

int visit(pid_t pid, struct task_space space, session_run *run, void *arg)
{
	struct vm_state vm = { 0 }; /* for its threads */
	int ret = threads_take(pid, &vm), err;

	if (!ret) {
		ret = session(pid, space, run, arg);
		err = threads_put_back(pid, &vm);
		ret = ret ?: err;
	}
	thread_free(vm.threads, vm.nr_threads);
	return ret;
}
