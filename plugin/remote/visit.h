/* SPDX-License-Identifier: GPL-2.0-only */
/* A session in a process that is, all threads of it, as it was before. */
#ifndef KVM_VGIC_REMOTE_VISIT_H
#define KVM_VGIC_REMOTE_VISIT_H

#include <sys/types.h>

#include "remote/task.h"

/*
 * @run with a session on @pid, whose threads this process has stopped by ptrace: what a system call in one of them would
 * lose is read before the first, and put back after the last. @space as of task_remote_open(). What @run answers, or a
 * negative errno, logged.
 */
int visit(pid_t pid, struct task_space space, int (*run)(void *arg, struct remote *remote), void *arg);

#endif
