/* SPDX-License-Identifier: GPL-2.0-only */
/* A remote that runs its calls in a stopped task whose tracer we are. */
#ifndef KVM_VGIC_REMOTE_TASK_H
#define KVM_VGIC_REMOTE_TASK_H

#include <stdint.h>
#include <sys/types.h>

#include "probe/view.h"
#include "remote/remote.h"

#define TASK_REMOTE_MAPS 2 /* mappings that a session adds */

/* What a session takes in the task, in bytes, whole pages; and what is known of that. */
struct task_space {
	size_t scratch; /* memory for calls and their data; what does not fit at once takes another round trip */
	size_t room;	/* address space wanted at remote->room */
	const struct proc_view *seen; /* for as long as the session; NULL: it is to be looked at */
};

#define TASK_SCRATCH_SMALL (64u << 10) /* for some calls */
#define TASK_SPACE_SMALL ((struct task_space){ .scratch = TASK_SCRATCH_SMALL })

/*
 * Opens a session on thread group leader @pid, which this process has stopped by
 * ptrace. Everything that is changed in the task meanwhile (registers, SVE state,
 * signal mask, a bit of its text, one mapping) is put back by
 * task_remote_close(). Of its other threads, stopped likewise, one is held for as long as exec_in takes.
 * 0 and *@remote, or a negative errno, logged.
 */
int task_remote_open(pid_t pid, struct task_space space, struct remote **remote);

/*
 * 0, or a negative errno, logged: the task is then not what it was, and must not
 * run. NULL is nothing to close.
 */
int task_remote_close(struct remote *remote);

/* What all sessions of this process have come to. */
struct task_remote_use {
	uint64_t calls, ioctls; /* system calls, and those of them that are ioctls */
	uint64_t trips, us;	/* times that a task was set going for them, and how long it went */
};
struct task_remote_use task_remote_used(void);

#endif
