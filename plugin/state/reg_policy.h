/* SPDX-License-Identifier: GPL-2.0-only */
/* What becomes of registers where the kernel is not the one that dumped: docs/register-policy.md. */
#ifndef KVM_VGIC_STATE_REG_POLICY_H
#define KVM_VGIC_STATE_REG_POLICY_H

#include <stdbool.h>
#include <stdint.h>

struct vm_state;
struct remote;

/* What shapes the others: the CPU and the firmware decide which exist, MPIDR_EL1 is how attributes name a
 * vCPU. */
bool reg_policy_is_first(uint64_t id);

/*
 * Steps of the restore sequence. They fit vcpu_state.regs to this kernel: what is dropped is taken out, what
 * is to be 0 is added. 0 or a negative errno, logged: all registers that are refused are named.
 */

/* Writes those that are first. */
int reg_policy_apply_ids(struct vm_state *vm, struct remote *remote);
/* Compares the other registers with KVM_GET_REG_LIST. After the ID registers, which decide what it holds. */
int reg_policy_check_list(struct vm_state *vm, struct remote *remote);

#endif
