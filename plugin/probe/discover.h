/* SPDX-License-Identifier: GPL-2.0-only */
/* From file descriptors to a VM that can be dumped, or a refusal by name. */
#ifndef KVM_VGIC_PROBE_DISCOVER_H
#define KVM_VGIC_PROBE_DISCOVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "state/vm.h"

/* Of an error line that names what cannot be carried; what to do comes behind it. */
#define REFUSAL "not supported by this version"

/* Whether @pid has KVM in its file descriptors or mappings. A negative errno when that cannot be
 * told, logged but for -ESRCH: it has ended. */
int discover_uses_kvm(pid_t pid);

/*
 * The VM of @pid as far as it is seen from outside, in *@vm: identity, fds, memslots,
 * mappings, features. NULL where it uses no KVM. Nothing in the process is touched.
 * -ENOTSUP, logged by name with what to do, for what cannot be carried.
 */
int discover(pid_t pid, struct vm_state **vm);

#endif
