/* SPDX-License-Identifier: GPL-2.0-only */
/* A file of one process of the tree in the fd table of another. */
#ifndef KVM_VGIC_REMOTE_BRING_H
#define KVM_VGIC_REMOTE_BRING_H

#include <sys/types.h>

#include "remote/remote.h"

/*
 * A new fd in @pid, on whom @remote is a session, for what is fd @fd of the process @vpid: the one whose pid
 * in its innermost namespace that is, among those that this process traces. Close-on-exec. Or a negative
 * errno: -ENOTUNIQ, there are several; -ESRCH, there is none; -EMFILE, @pid may have no more fds.
 */
int bring_fd(struct remote *remote, pid_t pid, pid_t vpid, int fd);

#endif
