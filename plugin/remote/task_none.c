// SPDX-License-Identifier: GPL-2.0-only
/* Build machines other than arm64: the plugin names what it cannot do, and never gets here. */
#include <errno.h>

#include "remote/task.h"
#include "remote/threads.h"

int task_remote_open(pid_t pid, struct task_space space, struct remote **remote)
{
	return -ENOTSUP;
}

int task_remote_close(struct remote *remote)
{
	return 0;
}

struct task_remote_use task_remote_used(void)
{
	return (struct task_remote_use){ 0 };
}

int threads_take(pid_t pid, struct vm_state *vm)
{
	return -ENOTSUP;
}

void threads_stop_again(pid_t pid, struct vm_state *vm)
{
}

bool threads_went_on(const struct vm_state *vm)
{
	return false;
}

int threads_put_back(pid_t pid, const struct vm_state *vm)
{
	return -ENOTSUP;
}

int threads_apply(pid_t pid, const struct vm_state *vm)
{
	return -ENOTSUP;
}
