/* SPDX-License-Identifier: GPL-2.0-only */
/* backing_capture() in a process of its own. */
#ifndef KVM_VGIC_PROBE_APART_H
#define KVM_VGIC_PROBE_APART_H

#include <sys/types.h>

#include "state/vm.h"

/*
 * backing_capture(), with a limit of @seconds from one block that was read to the next: files have servers, which may
 * not answer, or stand still with the tree. -ETIMEDOUT, logged, when it is reached.
 */
int backing_capture_apart(pid_t pid, struct vm_state *vm, int (*give_up)(void), int seconds);

#endif
