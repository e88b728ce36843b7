/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An exit that cannot be replayed. The replay goes through the guest's page tables as they are at the dump,
 * and another vCPU may have unmapped the page since the exit: KVM does not look at them again to complete an
 * access.
 */
#ifndef KVM_VGIC_STATE_PENDING_WRITE_H
#define KVM_VGIC_STATE_PENDING_WRITE_H

#include "state/vm.h"

struct remote;

/* Into @aborted: whether @vcpu's instruction has ended now in an abort, of the access or the fetch. */
int pending_is_aborted(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, bool *aborted);

/*
 * Whether the pending access is a write of AArch64. The VMM has the value and has yet to store it, or has
 * stored it: what KVM owes is the next PC. Of a read it also is a register, and which one only the
 * instruction tells.
 */
bool pending_write_is_simple(const struct vcpu_state *vcpu);

/* Completes it, and takes the abort back. */
int pending_write_complete(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu);

#endif
