/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel alone knows of a GICv2. */
#ifndef KVM_VGIC_PROBE_VGIC_V2_H
#define KVM_VGIC_PROBE_VGIC_V2_H

#include "probe/vcpu.h"

/*
 * Makes @vm's GICv2, whose fd is @gic_fd, from the records of its fd @vm_fd and of its vCPUs, which are known.
 * -ENOTSUP, logged, for what cannot be carried.
 */
int probe_vgic_v2(pid_t pid, struct probe_recs all, unsigned int vm_fd, int gic_fd, struct vm_state *vm);

/*
 * Reads the lines and latches of @vm, @kvm of @pid's, once more: where it has a GICv2, and has come to rest since
 * probe_vgic_v2(). 0, or a negative errno, logged.
 */
int probe_vgic_v2_lines(pid_t pid, unsigned long long kvm, struct vm_state *vm);

#endif
