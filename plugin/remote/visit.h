/* SPDX-License-Identifier: GPL-2.0-only */
/* Sessions from their opening to their end. */
#ifndef KVM_VGIC_REMOTE_VISIT_H
#define KVM_VGIC_REMOTE_VISIT_H

#include <sys/resource.h>
#include <sys/types.h>

#include "remote/task.h"

typedef int session_run(void *arg, struct remote *remote); /* 0 or a negative errno, logged */

/*
 * @run with a session on @pid, whose threads this process has stopped by ptrace; @space as of task_remote_open(). What @run
 * answers, or a negative errno, logged.
 */
int session(pid_t pid, struct task_space space, session_run *run, void *arg);

/* session(), between more_fds_begin() and more_fds_end() (give.h). */
int session_with_more_fds(pid_t pid, struct task_space space, rlim_t limit, session_run *run, void *arg);

/* session(); what a system call would lose of the threads is read before the first, and put back after the last. */
int visit(pid_t pid, struct task_space space, session_run *run, void *arg);

#endif
