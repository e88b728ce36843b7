// SPDX-License-Identifier: GPL-2.0-only
/* Build machines other than arm64: the plugin names what it cannot do, and never gets here. */
#include <errno.h>

#include "remote/task.h"

int task_remote_open(pid_t pid, struct remote **remote)
{
	return -ENOTSUP;
}

int task_remote_close(struct remote *remote)
{
	return 0;
}
