/* SPDX-License-Identifier: GPL-2.0-only */
/* Open files, from a stopped task to criu and from criu to a stopped task. */
#ifndef KVM_VGIC_REMOTE_GIVE_H
#define KVM_VGIC_REMOTE_GIVE_H

#include <sys/resource.h>
#include <sys/types.h>

#include "remote/remote.h"

/* A copy of @fd of @pid in criu, or a negative errno. */
int fd_take(pid_t pid, int fd);

/* A copy of @fd of criu's in @pid, where @remote is, close-on-exec: its number there, or a negative errno. */
int fd_send(struct remote *remote, pid_t pid, int fd);

/* A copy of @fd of criu's at number @to of @pid, where @remote is; what was there is closed. 0 or a negative errno. */
int fd_give(struct remote *remote, pid_t pid, int fd, int to, bool cloexec);

/*
 * Lets @pid have more fds for a while than its limit allows: it has been restored already. Up to @limit, fs.nr_open:
 * the kernel takes no higher one, whoever asks (do_prlimit()). 0 or a negative errno, logged.
 */
int more_fds_begin(pid_t pid, rlim_t limit, struct rlimit *before);
int more_fds_end(pid_t pid, const struct rlimit *before);

#endif
