/* SPDX-License-Identifier: GPL-2.0-only */
/* The PMU of a VM's vCPUs (Documentation/virt/kvm/devices/vcpu.rst, 1). */
#ifndef KVM_VGIC_STATE_PMU_H
#define KVM_VGIC_STATE_PMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/pmu_events.h"

/* Events that the guest may count. */
struct pmu_range {
	uint32_t first, last;
};

/* Of the VM: KVM_ARM_VCPU_PMU_V3_FILTER. Without @active all events are allowed. */
struct pmu_filter {
	bool active;
	struct pmu_range *allowed; /* ascending, apart from each other */
	size_t nr;
};

/* PMCR_EL0.N: how many counters there are beside that of cycles. */
#define PMCR_N(pmcr) ((unsigned int)((pmcr) >> 11 & 0x1f))

struct vm_state;
struct vcpu_state;
struct remote;

/* How many kinds of CPUs with a PMU this host has. With a PMU for guests 0 means that it cannot be told. */
size_t pmu_nr_cpu_kinds(void);

/*
 * Takes the events of a bitmap of PMU_MAX_EVENTS bits, a PMU's first event in bit 0 of its first word.
 * 0 or -ENOMEM.
 */
int pmu_filter_from_bits(struct pmu_filter *filter, const uint64_t *bits);

/* Steps of the two sequences (plan.c). 0 or a negative errno, logged. */
int pmu_capture(struct vm_state *vm, struct remote *remote);
/* Of the filter what the vCPUs' PMU has events for. */
int pmu_cut_filter(struct vm_state *vm, struct remote *remote);
int pmu_apply_filter(struct vm_state *vm, struct remote *remote);
/* After PMCR_EL0: where the image's N is larger KVM has kept its own, without a word (set_pmcr()). */
int pmu_check_nr_counters(struct vm_state *vm, struct remote *remote);
int pmu_apply(struct vm_state *vm, struct remote *remote);

#endif
