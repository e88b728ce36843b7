/* SPDX-License-Identifier: GPL-2.0-only */
/* What an errno of KVM's means for the VM, where the kernel documents it for a device attribute. */
#ifndef KVM_VGIC_STATE_KVM_ERROR_H
#define KVM_VGIC_STATE_KVM_ERROR_H

#include <stddef.h>
#include <stdint.h>

#include "log.h"

struct kvm_error {
	int err; /* 0 ends a list of them */
	const char *meaning;
};

/* Logs what @ret, a negative errno or 0, says of @object of VM @vm. */
static inline void kvm_error_explain(uint32_t vm, const char *object, const struct kvm_error *errors, int ret)
{
	while (errors->err && errors->err != -ret)
		errors++;
	if (ret && errors->err)
		pr_err("vm %u: %s: %s\n", vm, object, errors->meaning);
}

#endif
