/* SPDX-License-Identifier: GPL-2.0-only */
/* LPIs of a small VM: their tables in the memory of its.h, and a guest that takes them when it is told to. */
#ifndef ODD_LPI_H
#define ODD_LPI_H

#include "oddvm.h"

#define LPI_MIN		8192u
#define LPI_END		65536u

/* Offsets in the memslot of its.h; lives/kvm_its_tables.py knows them. */
#define LPI_CONFIG	0x000000
#define LPI_PENDING(i)	(0x010000 * ((i) + 1))	/* of vCPU @i */
#define LPI_TAKEN(i)	(0x080000 + 0x020000 * (i))	/* how often it has taken each: bytes by INTID */
#define LPI_MAY_TAKE	0x0f0000	/* u64: the guest may acknowledge interrupts */

#define LPI_PRIORITY	0xa0
#define LPI_ENABLED	1

/* GICR_PROPBASER and GICR_PENDBASER of vCPUs 0 to @nr - 1; after the last ITS was created. */
int lpi_set_tables(struct odd_vm *vm, unsigned int nr);
/* GICR_CTLR.EnableLPIs. */
int lpi_enable(struct odd_vm *vm, unsigned int vcpu, bool on);
int lpi_get_ctlr(struct odd_vm *vm, unsigned int vcpu, uint32_t *ctlr);
/* Its byte of the configuration table: KVM reads it at MAPTI and INV. */
void lpi_configure(uint32_t lpi, uint8_t config);
/* Its bit of a pending table: KVM reads it at MAPTI. */
void lpi_mark_pending(unsigned int vcpu, uint32_t lpi, bool pending);
bool lpi_is_marked(unsigned int vcpu, uint32_t lpi);
/* KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES: what lpi_is_marked() tells is then KVM's own state of what is mapped. */
int lpi_save_pending(struct odd_vm *vm);

/* A guest in place of odd_init_vcpu()'s own that takes LPIs, all at once, when it may. */
int lpi_set_guest(struct odd_vm *vm, unsigned int vcpu);
/* GICD_CTLR: the distributor signals group 1, which LPIs are of. */
int lpi_enable_group(struct odd_vm *vm);
volatile uint64_t *lpi_may_take(void);
unsigned int lpi_taken(unsigned int vcpu, uint32_t lpi);

#endif /* ODD_LPI_H */
