/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel alone knows of a VM's capabilities. */
#ifndef KVM_VGIC_PROBE_CAPS_H
#define KVM_VGIC_PROBE_CAPS_H

#include "probe/vcpu.h"

/*
 * Fills @vm's capabilities, what they were given and the SMCCC filter from @flags, which are kvm->arch.flags,
 * and from the records of its fd @vm_fd. -ENOTSUP, logged, for what cannot be carried.
 */
int probe_caps(pid_t pid, struct probe_recs all, unsigned int vm_fd, uint64_t flags, struct vm_state *vm);

/* Bits of kvm->arch.flags, the same in the kernels that kernel.c knows. */
enum {
	ARCH_FLAG_NISV_TO_USER = 0,
	ARCH_FLAG_SYSTEM_SUSPEND = 4,
	ARCH_FLAG_WRITABLE_IMP_ID_REGS = 10,
	ARCH_FLAG_SEA_TO_USER = 11,
};

#endif
