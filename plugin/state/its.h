/* SPDX-License-Identifier: GPL-2.0-only */
/* An ITS: registers, by KVM's device attributes, and tables, by way of guest memory. */
#ifndef KVM_VGIC_STATE_ITS_H
#define KVM_VGIC_STATE_ITS_H

#include <stddef.h>
#include <stdint.h>

#include "state/its_table.h"
#include "state/vgic_reg.h"

#define VM_MAX_ITSES 32
#define ITS_FRAME_SIZE 0x20000u /* bytes: control and translation frame */

/* In the order of restore; GITS_CTLR comes after the tables. */
extern const struct vgic_reg its_regs[];
extern const size_t its_nr_regs;

struct its_state {
	int32_t fd;		  /* number of the device fd in the process */
	uint64_t base;		  /* IPA, or VGIC_ADDR_UNSET: it then has no registers */
	struct vgic_values *regs; /* its_nr_regs of them, or NULL */
	struct its_tables tables;
	char name[48]; /* what messages call it: its_name() */
};

/* Word @i of a register of @its, by name. 0 where it has no registers. */
uint64_t its_reg(const struct its_state *its, const char *name, uint32_t i);

/* Of the tables' layout: GITS_IIDR.Revision. */
static inline unsigned int its_table_revision(const struct its_state *its)
{
	return its_reg(its, "GITS_IIDR", 0) >> 12 & 0xf;
}

struct vm_state;
struct remote;

/*
 * Steps of the two sequences (plan.c), each for all ITSes of the VM, of which there may be none. 0 or
 * a negative errno, logged, with what it means for the VM.
 */
int its_capture_addresses(struct vm_state *vm, struct remote *remote);
int its_capture_regs(struct vm_state *vm, struct remote *remote);
int its_save_tables(struct vm_state *vm, struct remote *remote);
int its_capture_tables(struct vm_state *vm, struct remote *remote);

int its_check_tables(struct vm_state *vm, struct remote *remote);
int its_apply_regs(struct vm_state *vm, struct remote *remote);
int its_restore_tables(struct vm_state *vm, struct remote *remote);
int its_apply_ctlr(struct vm_state *vm, struct remote *remote);

void its_free(struct its_state *itses, size_t nr);

#endif
