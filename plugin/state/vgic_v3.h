/* SPDX-License-Identifier: GPL-2.0-only */
/* GICv3: distributor, redistributors and CPU interface, as KVM's device attributes show them. */
#ifndef KVM_VGIC_STATE_VGIC_V3_H
#define KVM_VGIC_STATE_VGIC_V3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/vgic_reg.h"

#define VGIC_MIN_IRQS 64
#define VGIC_MAX_IRQS 1024
#define VGIC_MAX_REGIONS 64
#define VGIC_ADDR_UNSET UINT64_MAX

extern const struct vgic_reg vgic_v3_dist_regs[], vgic_v3_redist_regs[], vgic_v3_cpuif_regs[];
extern const size_t vgic_v3_nr_dist_regs, vgic_v3_nr_redist_regs, vgic_v3_nr_cpuif_regs;

struct vgic_region {
	uint64_t base;
	uint32_t count, flags;
};

/* An SPI active on a vCPU that its GICD_IROUTER no longer names. */
struct vgic_active {
	uint32_t intid;
	uint32_t vcpu_idx;
};

#define VGIC_REGIONS_AT_ONCE 2 /* most VMs have one */

struct vgic_v3_state {
	int32_t fd; /* number of the device fd in the process */
	uint32_t nr_irqs;
	uint64_t dist_base; /* IPA */
	bool legacy_redist; /* set by KVM_VGIC_V3_ADDR_TYPE_REDIST: one region, no count */
	struct vgic_region *regions;
	size_t nr_regions;
	uint32_t iidr;		  /* GICD_IIDR: written before every other register */
	struct vgic_values *dist; /* vgic_v3_nr_dist_regs of them */
	struct vgic_values **redist; /* of each vCPU, vgic_v3_nr_redist_regs; indexed as vm_state.vcpus is */
	struct vgic_values **cpuif;  /* likewise, vgic_v3_nr_cpuif_regs */
	size_t nr_cpus;
	struct vgic_active *active;
	size_t nr_active;
	/*
	 * A bit for each SPI that goes to the first vCPU because its GICD_IROUTER was never
	 * written, by INTID. Only where that is not what the 0 it reads as names.
	 */
	uint32_t unrouted[VGIC_MAX_IRQS / 32];
	/* The regions that KVM was asked for last: what it wrote, and its answer. Not in images. */
	struct {
		uint64_t word;
		int64_t answer;
	} asked[VGIC_REGIONS_AT_ONCE];
};

static inline bool vgic_v3_is_unrouted(const struct vgic_v3_state *gic, uint32_t intid)
{
	return gic->unrouted[intid / 32] >> intid % 32 & 1;
}

/* GICD_IROUTER of the vCPU of @mpidr: Aff2.Aff1.Aff0, what KVM keeps of it. */
static inline uint64_t vgic_v3_route(uint64_t mpidr)
{
	return mpidr & 0xffffff;
}

struct vm_state;
struct remote;

/* Steps of the two sequences (plan.c). 0 or a negative errno, logged. */
int vgic_v3_ask_config(struct vm_state *vm, struct remote *remote); /* before vgic_v3_capture_config() */
int vgic_v3_capture_config(struct vm_state *vm, struct remote *remote);
int vgic_v3_capture_regs(struct vm_state *vm, struct remote *remote);
int vgic_v3_apply_config(struct vm_state *vm, struct remote *remote);
int vgic_v3_apply_redist(struct vm_state *vm, struct remote *remote);
int vgic_v3_enable_lpis(struct vm_state *vm, struct remote *remote);
int vgic_v3_apply_dist(struct vm_state *vm, struct remote *remote);
int vgic_v3_apply_cpuif(struct vm_state *vm, struct remote *remote);

void vgic_v3_free(struct vgic_v3_state *gic);

#endif
