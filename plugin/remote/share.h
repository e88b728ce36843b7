/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls of a batch, made by one thread of the task or shared by two. */
#ifndef KVM_VGIC_REMOTE_SHARE_H
#define KVM_VGIC_REMOTE_SHARE_H

#include "remote/lane.h"
#include "remote/remote.h"

/*
 * As remote_ops.exec(): those that may be made in any order of their vCPUs by both at once, the others by @first. @second: NULL, all by @first.
 * *@beside is done with the first of them, and is nothing then.
 */
int share_exec(struct lane *first, struct lane *second, struct remote_call *calls, size_t nr, struct beside *beside);

#endif
