/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's counters, which belong to the VM and not to a vCPU. */
#ifndef KVM_VGIC_STATE_COUNTER_H
#define KVM_VGIC_STATE_COUNTER_H

#include <stdint.h>

struct vm_state;
struct remote;

/* Hz, as the guest reads it in CNTFRQ_EL0; 0 where that cannot be told: not on arm64. */
uint32_t counter_frequency(void);

/* When the counters are read: files are written before all that is read with them has come back. */
void counter_note_time(struct vm_state *vm);

/* Steps of the two sequences (plan.c). 0 or a negative errno, logged. From the registers of all vCPUs: what they count at the dump. */
int counter_note(struct vm_state *vm, struct remote *remote);
int counter_apply(struct vm_state *vm, struct remote *remote);

#endif
