/* SPDX-License-Identifier: GPL-2.0-only */
/* GICv2: distributor and CPU interfaces, as KVM's device attributes show them. */
#ifndef KVM_VGIC_STATE_VGIC_V2_H
#define KVM_VGIC_STATE_VGIC_V2_H

#include <stddef.h>
#include <stdint.h>

#include "state/vgic_v3.h"

#define VGIC_V2_MAX_VCPUS 8
#define VGIC_V2_SGIS 0xffffu
#define VGIC_V2_WORDS (VGIC_MAX_IRQS / 32)

extern const struct vgic_reg vgic_v2_dist_regs[], vgic_v2_banked_regs[], vgic_v2_cpuif_regs[];
extern const size_t vgic_v2_nr_dist_regs, vgic_v2_nr_banked_regs, vgic_v2_nr_cpuif_regs;

/*
 * A bit for each INTID of 32. What KVM shows of a GICv2 in GICD_ISPENDR is one or the other; these
 * are from the kernel itself.
 */
struct vgic_v2_lines {
	uint32_t level; /* of the line */
	uint32_t latch; /* pending without it. Only at dump: then GICD_ISPENDR has it */
};

struct vgic_v2_state {
	int32_t fd; /* number of the device fd in the process */
	uint32_t nr_irqs;
	uint64_t dist_base, cpu_base; /* IPA */
	uint32_t iidr;		      /* GICD_IIDR: written before every other register */
	struct vgic_values *dist;     /* vgic_v2_nr_dist_regs of them */
	struct vgic_v2_lines lines[VGIC_V2_WORDS]; /* of SPIs: from the second on */
	struct vgic_v2_lines *private; /* of each vCPU, of its PPIs; indexed as vm_state.vcpus is */
	struct vgic_values **banked;   /* likewise, vgic_v2_nr_banked_regs: of SGIs and PPIs */
	struct vgic_values **cpuif;    /* likewise, vgic_v2_nr_cpuif_regs */
	size_t nr_cpus;
	struct vgic_active *active; /* SPIs active on a vCPU that GICD_ITARGETSR no longer names */
	size_t nr_active;
};

struct vm_state;
struct remote;

/* Steps of the two sequences (plan.c). 0 or a negative errno, logged. */
int vgic_v2_capture_config(struct vm_state *vm, struct remote *remote);
int vgic_v2_capture_regs(struct vm_state *vm, struct remote *remote);
int vgic_v2_apply_config(struct vm_state *vm, struct remote *remote);
int vgic_v2_apply_dist(struct vm_state *vm, struct remote *remote);
int vgic_v2_apply_banked(struct vm_state *vm, struct remote *remote);
int vgic_v2_apply_levels(struct vm_state *vm, struct remote *remote);
int vgic_v2_apply_cpuif(struct vm_state *vm, struct remote *remote);

/* Of 32 SPIs from @first on: those that GICD_ICFGR has as level-triggered. */
uint32_t vgic_v2_level_triggered(const struct vgic_v2_state *gic, uint32_t first);

void vgic_v2_free(struct vgic_v2_state *gic);

#endif
