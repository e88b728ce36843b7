// SPDX-License-Identifier: GPL-2.0-only
/* See bring.h. By way of criu, which may take fds of all tasks that it traces. */
#include <unistd.h>

#include "probe/proc.h"
#include "remote/bring.h"
#include "remote/give.h"

int bring_fd(struct remote *remote, pid_t pid, pid_t vpid, int fd)
{
	pid_t holder = proc_find_traced(vpid);
	int ours, ret;

	if (holder < 0)
		return holder;
	ours = fd_take(holder, fd);
	if (ours < 0)
		return ours;
	ret = fd_send(remote, pid, ours);
	close(ours);
	return ret;
}
