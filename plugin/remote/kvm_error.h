/* SPDX-License-Identifier: GPL-2.0-only */
/* What an errno of KVM's means for the VM, where the kernel documents it for a device attribute. */
#ifndef KVM_VGIC_REMOTE_KVM_ERROR_H
#define KVM_VGIC_REMOTE_KVM_ERROR_H

struct kvm_error {
	int err; /* 0 ends a list of them */
	const char *meaning;
};

#endif
