/* SPDX-License-Identifier: GPL-2.0-only */
/* What changes a VM's behaviour: capabilities, the SMCCC filter. */
#ifndef KVM_VGIC_STATE_CAPS_H
#define KVM_VGIC_STATE_CAPS_H

#include <stddef.h>
#include <stdint.h>

/* In images: the values stay. */
#define VM_CAP_NISV_TO_USER 0x1u
#define VM_CAP_SYSTEM_SUSPEND 0x2u
#define VM_CAP_HALT_POLL 0x4u
#define VM_CAP_MANUAL_DIRTY_LOG 0x8u
#define VM_CAP_EAGER_SPLIT 0x10u
#define VM_CAP_WRITABLE_IMP_ID_REGS 0x20u
#define VM_CAP_SEA_TO_USER 0x40u
#define VM_CAP_SMCCC_FILTER 0x80u /* not KVM_ENABLE_CAP's, but an attribute of the VM */
#define VM_CAP_KNOWN 0xffu

/* Function identifiers, first and last, and what becomes of their calls: enum kvm_smccc_filter_action. */
struct smccc_range {
	uint32_t first, last;
	uint32_t action;
};

#define SMCCC_MAX_RANGES 1024
#define SMCCC_MAX_ACTION 2

/* Without the two ranges that KVM makes in each, of architecture calls, which it handles by itself. */
struct smccc_filter {
	struct smccc_range *ranges; /* ascending */
	size_t nr;
};

/* What KVM reserves for itself: whether [@first, @last] touches it. */
int smccc_is_reserved(uint32_t first, uint32_t last);

struct vm_state;
struct remote;
struct remote_call;
struct batch;

/* Those that KVM takes only before there are vCPUs. 0 or a negative errno, logged. */
int caps_apply_early(const struct vm_state *vm, struct remote *remote);

/* Steps of the restore sequence (plan.c), likewise. */
int caps_apply(struct vm_state *vm, struct remote *remote);
int caps_apply_smccc_filter(struct vm_state *vm, struct remote *remote);

/* The @i-th capability that there is: whether @vm has it, and its *@name and *@value. NULL for a name: there are no more. */
int caps_at(const struct vm_state *vm, size_t i, const char **name, uint64_t *value);

/* The names of all that @vm has, with their values, for the log; "none". @size bytes at @text. */
const char *caps_describe(const struct vm_state *vm, char *text, size_t size);

#endif
