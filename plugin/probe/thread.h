/* SPDX-License-Identifier: GPL-2.0-only */
/* The threads of a restored process. */
#ifndef KVM_VGIC_PROBE_THREAD_H
#define KVM_VGIC_PROBE_THREAD_H

#include <sys/types.h>

#include "state/vm.h"

/*
 * 0 where each thread of @vm's image is one of @pid; else a negative errno, logged: -ESRCH for one that
 * is missing.
 */
int probe_check_threads(pid_t pid, const struct vm_state *vm);

#endif
