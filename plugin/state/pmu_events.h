/* SPDX-License-Identifier: GPL-2.0-only */
/* How many events a guest's PMU has. Of its own, for the BPF program includes it too. */
#ifndef KVM_VGIC_STATE_PMU_EVENTS_H
#define KVM_VGIC_STATE_PMU_EVENTS_H

#define PMU_MAX_EVENTS 65536 /* from PMUv3p1 on; before: */
#define PMU_MIN_EVENTS 1024

#define PMUVER_V3P1 4
#define PMUVER_IMP_DEF 15 /* none of Arm's */

/*
 * By ID_AA64DFR0_EL1 of the VM, as kvm_pmu_event_mask() has it. The bitmap of KVM_ARM_VCPU_PMU_V3_FILTER is
 * as long as the host's PMU asks for (kvm_arm_pmu_get_pmuver_limit()), beyond which no VM's register goes.
 */
static inline unsigned int pmu_nr_events(unsigned long long dfr0)
{
	unsigned int pmuver = dfr0 >> 8 & 0xf;

	return pmuver >= PMUVER_V3P1 && pmuver != PMUVER_IMP_DEF ? PMU_MAX_EVENTS : PMU_MIN_EVENTS;
}

#endif
