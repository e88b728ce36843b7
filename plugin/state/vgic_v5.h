/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * GICv5: the IRS's registers, its interrupt state tables (ISTs) and the CPU interfaces
 * (Documentation/virt/kvm/devices/arm-vgic-v5.rst of Linux 7.4, and of the series posted before it).
 */
#ifndef KVM_VGIC_STATE_VGIC_V5_H
#define KVM_VGIC_STATE_VGIC_V5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/vgic_reg.h"

#define VGIC_V5_MAX_SPIS 1024
#define VGIC_V5_MAX_LPI_ID_BITS 16 /* KVM's: IRS_IDR2.ID_BITS */
#define VGIC_V5_IRS_SIZE 0x20000ull

/* What KVM_DEV_ARM_VGIC_GRP_IST takes. The kernel does not say which it has; vgic_v5.c finds out. */
enum vgic_v5_form {
	VGIC_V5_DESCRIPTOR, /* struct kvm_vgic_v5_ist, with both tables: Linux 7.4 */
	VGIC_V5_RAW,	    /* the SPIs' table, and LPIs in guest memory: posted from April to July 2026 */
};

/* A 32-bit L2_ISTE. HWU, which hardware keeps for itself, and reserved bits are carried with it. */
#define ISTE_PENDING(e) ((e)&1)
#define ISTE_ACTIVE(e) ((e) >> 1 & 1)
#define ISTE_HM(e) ((e) >> 2 & 1) /* 1: level */
#define ISTE_ENABLE(e) ((e) >> 3 & 1)
#define ISTE_IRM(e) ((e) >> 4 & 1)
#define ISTE_OTHER(e) ((e) >> 5 & 0x3f) /* reserved[3:0], HWU[5:4] */
#define ISTE_PRIORITY(e) ((e) >> 11 & 0x1f)
#define ISTE_IAFFID(e) ((e) >> 16)

/* By SPI number, or by LPI id. */
struct vgic_v5_ist {
	uint32_t *iste;
	uint32_t nr;
};

extern const struct vgic_reg vgic_v5_id_regs[], vgic_v5_irs_regs[], vgic_v5_cpuif_regs[];
extern const size_t vgic_v5_nr_id_regs, vgic_v5_nr_irs_regs, vgic_v5_nr_cpuif_regs;

struct vgic_v5_state {
	int32_t fd; /* number of the device fd in the process */
	enum vgic_v5_form form;
	uint32_t nr_spis;
	uint64_t irs_base; /* IPA */
	uint64_t userspace_ppis[2];
	struct vgic_values *id;	 /* vgic_v5_nr_id_regs of them */
	struct vgic_values *irs; /* vgic_v5_nr_irs_regs of them */
	/* Behind selectors: of each vCPU, and of each SPI; none where KVM did not let the selector be written. */
	struct vgic_values pe_cr0, spi_cfgr;
	struct vgic_v5_ist spi, lpi;
	struct vgic_values **cpuif; /* of each vCPU, vgic_v5_nr_cpuif_regs; indexed as vm_state.vcpus is */
	size_t nr_cpus;
};

struct vm_state;
struct remote;

/* Bytes that the steps below need in a remote's room. */
size_t vgic_v5_room(const struct vm_state *vm);

/* Steps of the two sequences (plan.c), of a VM with GICv5. 0 or a negative errno, logged. */
int vgic_v5_capture_config(struct vm_state *vm, struct remote *remote);
int vgic_v5_capture_ists(struct vm_state *vm, struct remote *remote);
int vgic_v5_capture_irs(struct vm_state *vm, struct remote *remote);
int vgic_v5_capture_cpuif(struct vm_state *vm, struct remote *remote);
int vgic_v5_apply_config(struct vm_state *vm, struct remote *remote);
int vgic_v5_check_ids(struct vm_state *vm, struct remote *remote);
int vgic_v5_apply_ids(struct vm_state *vm, struct remote *remote);
int vgic_v5_apply_ists(struct vm_state *vm, struct remote *remote);
int vgic_v5_apply_irs(struct vm_state *vm, struct remote *remote);
int vgic_v5_apply_cpuif(struct vm_state *vm, struct remote *remote);

/* LPIs that @gic's ID registers say there are, in *@nr: 0, or a number of LPI_ID_BITS that is too large. */
int vgic_v5_nr_lpis(const struct vgic_v5_state *gic, uint32_t *nr);

void vgic_v5_free(struct vgic_v5_state *gic);

#endif
