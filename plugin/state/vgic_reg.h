/* SPDX-License-Identifier: GPL-2.0-only */
/* Registers of an interrupt controller as tables, and the functions that walk them. */
#ifndef KVM_VGIC_STATE_VGIC_REG_H
#define KVM_VGIC_STATE_VGIC_REG_H

#include <stddef.h>
#include <stdint.h>

#define VGIC_NR_PRIVATE 32

enum vgic_frame {
	VGIC_DIST,   /* KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 32-bit, one per VM */
	VGIC_REDIST, /* KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 32-bit, one per vCPU */
	VGIC_CPUIF,  /* KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 64-bit, one per vCPU */
	VGIC_LEVEL,  /* KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, 32-bit, line levels of 32 INTIDs */
	VGIC_ITS,    /* KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 64-bit, of an ITS's own device */
	VGIC_V2_DIST,  /* KVM_DEV_ARM_VGIC_GRP_DIST_REGS of a GICv2, 32-bit, through any vCPU or banked by vCPU */
	VGIC_V2_CPUIF, /* KVM_DEV_ARM_VGIC_GRP_CPU_REGS, 32-bit, one per vCPU */
	VGIC_IRS,    /* KVM_DEV_ARM_VGIC_GRP_IRS_REGS, moved as 64 bits whatever their width, one per VM */
};

/* What a table entry asks for at save and at restore. */
enum vgic_policy {
	VGIC_SAVE,     /* read at save, written at restore */
	VGIC_OPTIONAL, /* the same, where this GIC has it: -EINVAL at save means it has not */
	VGIC_NONZERO,  /* the same, but for 0, which a fresh one has and KVM would not keep as written */
	VGIC_CHECK,    /* read-only: at restore the new GIC must have the same value */
	VGIC_APART,    /* read at save, written by a step of its own */
	VGIC_SEEN,     /* read at save, for whoever looks into the image; never written */
	VGIC_CLEAR,    /* not saved: all ones are written, to clear what a fresh GIC starts with */
};

/*
 * A register, or an array of them. The order of a table is the order of restore.
 * bits: width of one INTID's field for arrays over INTIDs (32-bit words from INTID
 * 32 up); 0 for a plain register; 64 for GICD_IROUTER, of which KVM moves the low word.
 */
struct vgic_reg {
	const char *name;
	enum vgic_frame frame;
	uint32_t offset; /* bytes from the frame's base; the sysreg encoding for VGIC_CPUIF */
	uint32_t bits;
	uint32_t count; /* of a plain register: consecutive words */
	enum vgic_policy policy;
};

/* Words of @reg that a GIC of @nr_irqs INTIDs has. */
uint32_t vgic_reg_words(const struct vgic_reg *reg, uint32_t nr_irqs);

/* The values of one table entry: vgic_reg_words() of them, or none where an optional one is absent. */
struct vgic_values {
	uint32_t nr;
	uint64_t *v;
};

struct batch;
struct remote_call;

/* Whose registers: what attributes, and the words of arrays over INTIDs, go by. */
struct vgic_part {
	int fd;		   /* of the device, in the process */
	uint32_t nr_irqs;  /* INTIDs of the GIC */
	uint64_t mpidr;	   /* of the vCPU, for frames that there is one of for each */
	uint32_t vcpu_id;  /* likewise, for those of a GICv2 */
	const uint32_t *unrouted; /* a bit for each INTID whose GICD_IROUTER is not to be written; or NULL */
};

/*
 * Reads every word of @table into *@values, which it allocates, for free(), by @b, which it
 * runs. 0 or a negative errno, logged.
 */
int vgic_regs_capture(struct batch *b, const struct vgic_part *part, const struct vgic_reg *table,
		      size_t nr_regs, struct vgic_values **values);
/*
 * The two halves of that, for several tables in one batch: adds the calls to @b; and takes what is behind @call, the
 * first of a table's that has run, for what was read. The latter answers where the next table's are.
 */
int vgic_regs_add_capture(struct batch *b, const struct vgic_part *part, const struct vgic_reg *table,
			  size_t nr_regs, struct vgic_values **values);
const struct remote_call *vgic_regs_drop_absent(const struct remote_call *call, const struct vgic_reg *table,
						size_t nr_regs, struct vgic_values *values);
/* Adds the calls to @b that write every word of @table, in its order. @values must live until they ran. */
void vgic_regs_add_apply(struct batch *b, const struct vgic_part *part, const struct vgic_reg *table,
			 size_t nr_regs, const struct vgic_values *values);
/* A call to read, or to write, word @i of @reg, whatever its policy. */
void vgic_reg_add_get(struct batch *b, const struct vgic_part *part, const struct vgic_reg *reg, uint32_t i,
		      uint64_t *v);
struct remote_call *vgic_reg_add_set(struct batch *b, const struct vgic_part *part, const struct vgic_reg *reg,
				     uint32_t i, const uint64_t *v);
/*
 * Whether the registers of VGIC_CHECK are what @values says: 0, or a negative errno, logged. Runs @b, which
 * must be empty, and leaves it so.
 */
int vgic_regs_check(struct batch *b, const struct vgic_part *part, const struct vgic_reg *table,
		    size_t nr_regs, const struct vgic_values *values);

/* The value of a register of @table, by name; NULL where there is none. */
const struct vgic_values *vgic_values_of(const struct vgic_reg *table, size_t nr_regs,
					 const struct vgic_values *values, const char *name);
/* Of all of @table, with room for what a GIC of @nr_irqs INTIDs has: one block, for free(). NULL when there is no memory. */
struct vgic_values *vgic_values_alloc(const struct vgic_reg *table, size_t nr_regs, uint32_t nr_irqs);
/* Those of each of @nr vCPUs, and the array of them. */
void vgic_values_free_all(struct vgic_values **all, size_t nr);

#endif
