// SPDX-License-Identifier: GPL-2.0-only
/* The attributes that a table of registers stands for, read and written in its order. */
#include <inttypes.h>
#include <stdlib.h>

#include "fault.h"
#include "log.h"
#include "remote/remote.h"
#include "state/vgic_reg.h"
#include "uapi/kvm_arm64.h"

uint32_t vgic_reg_words(const struct vgic_reg *reg, uint32_t nr_irqs)
{
	uint32_t spis = nr_irqs - VGIC_NR_PRIVATE;

	if (!reg->bits)
		return reg->count;
	return reg->bits == 64 ? spis : spis * reg->bits / 32;
}

/* MPIDR_EL1's affinity as attributes have it: Aff3.Aff2.Aff1.Aff0 in bits 63:32. */
static uint64_t attr_mpidr(uint64_t mpidr)
{
	return (mpidr & 0xffffff) << 32 | (mpidr & 0xff00000000) << 24;
}

static uint32_t dist_offset(const struct vgic_reg *reg, uint32_t i)
{
	if (!reg->bits)
		return reg->offset + 4 * i;
	if (reg->bits == 64)
		return reg->offset + 8 * (VGIC_NR_PRIVATE + i);
	return reg->offset + VGIC_NR_PRIVATE * reg->bits / 8 + 4 * i;
}

/* The attribute of word @i of @reg. */
static uint64_t reg_attr(const struct vgic_part *part, const struct vgic_reg *reg, uint32_t i)
{
	switch (reg->frame) {
	case VGIC_LEVEL:
		return attr_mpidr(part->mpidr) | (reg->bits ? VGIC_NR_PRIVATE + 32 * i : 0);
	case VGIC_CPUIF:
		return attr_mpidr(part->mpidr) | reg->offset;
	case VGIC_REDIST:
		return attr_mpidr(part->mpidr) | (reg->offset + 4 * i);
	case VGIC_ITS:
	case VGIC_IRS:
		return reg->offset + 8 * i;
	case VGIC_V2_CPUIF:
	case VGIC_V2_DIST:
		return (uint64_t)part->vcpu_id << KVM_DEV_ARM_VGIC_CPUID_SHIFT | dist_offset(reg, i);
	case VGIC_DIST:
		break;
	}
	return dist_offset(reg, i);
}

static uint32_t attr_group(const struct vgic_reg *reg)
{
	static const uint32_t group[] = {
		[VGIC_DIST] = KVM_DEV_ARM_VGIC_GRP_DIST_REGS,
		[VGIC_REDIST] = KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
		[VGIC_CPUIF] = KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS,
		[VGIC_LEVEL] = KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO,
		[VGIC_ITS] = KVM_DEV_ARM_VGIC_GRP_ITS_REGS,
		[VGIC_V2_DIST] = KVM_DEV_ARM_VGIC_GRP_DIST_REGS,
		[VGIC_V2_CPUIF] = KVM_DEV_ARM_VGIC_GRP_CPU_REGS,
		[VGIC_IRS] = KVM_DEV_ARM_VGIC_GRP_IRS_REGS,
	};

	return group[reg->frame];
}

/* Bytes that KVM moves per word of @reg. */
static uint32_t attr_size(const struct vgic_reg *reg)
{
	return reg->frame == VGIC_CPUIF || reg->frame == VGIC_ITS || reg->frame == VGIC_IRS ? 8 : 4;
}

static struct remote_call *add_get(struct batch *b, const struct vgic_part *part, const struct vgic_reg *reg,
				   uint32_t i, uint64_t *v)
{
	struct remote_call *call =
		batch_get_attr(b, part->fd, attr_group(reg), reg_attr(part, reg, i), v, attr_size(reg), reg->name);

	call->may_fail = reg->policy == VGIC_OPTIONAL ? EINVAL : 0;
	return call;
}

void vgic_reg_add_get(struct batch *b, const struct vgic_part *part, const struct vgic_reg *reg, uint32_t i,
		      uint64_t *v)
{
	add_get(b, part, reg, i, v);
}

struct remote_call *vgic_reg_add_set(struct batch *b, const struct vgic_part *part, const struct vgic_reg *reg,
				     uint32_t i, const uint64_t *v)
{
	return batch_set_attr(b, part->fd, attr_group(reg), reg_attr(part, reg, i), v, attr_size(reg), reg->name);
}

/* Makes @call, for one word of @reg, a run of @nr: the words that follow it. */
static void make_run(struct remote_call *call, const struct vgic_part *part, const struct vgic_reg *reg, uint32_t nr)
{
	call->more = nr - 1;
	call->stride = sizeof(uint64_t);
	call->number_stride = reg_attr(part, reg, 1) - reg_attr(part, reg, 0);
}

struct vgic_values *vgic_values_alloc(const struct vgic_reg *table, size_t nr_regs, uint32_t nr_irqs)
{
	struct vgic_values *values;
	size_t words = 0;
	uint64_t *v;

	for (size_t r = 0; r < nr_regs; r++)
		words += vgic_reg_words(&table[r], nr_irqs);
	values = calloc(1, nr_regs * sizeof(*values) + words * sizeof(*v));
	if (!values)
		return NULL;
	v = (uint64_t *)(values + nr_regs);
	for (size_t r = 0; r < nr_regs; r++) {
		values[r].v = v;
		v += vgic_reg_words(&table[r], nr_irqs);
	}
	return values;
}

void vgic_values_free_all(struct vgic_values **all, size_t nr)
{
	for (size_t i = 0; all && i < nr; i++)
		free(all[i]);
	free(all);
}

const struct vgic_values *vgic_values_of(const struct vgic_reg *table, size_t nr_regs,
					 const struct vgic_values *values, const char *name)
{
	for (size_t r = 0; r < nr_regs; r++)
		if (!strcmp(table[r].name, name))
			return &values[r];
	return NULL;
}

int vgic_regs_add_capture(struct batch *b, const struct vgic_part *part, const struct vgic_reg *table,
			  size_t nr_regs, struct vgic_values **values)
{
	*values = vgic_values_alloc(table, nr_regs, part->nr_irqs);
	if (!*values)
		return -ENOMEM;
	for (size_t r = 0; r < nr_regs; r++) {
		const struct vgic_reg *reg = &table[r];
		struct vgic_values *v = &(*values)[r];

		if (reg->policy == VGIC_CLEAR)
			continue;
		v->nr = vgic_reg_words(reg, part->nr_irqs);
		if (v->nr)
			make_run(add_get(b, part, reg, 0, v->v), part, reg, v->nr);
	}
	return 0;
}

/* An optional register that this GIC has not: its run failed, with -EINVAL. Runs are in the order of the table. */
const struct remote_call *vgic_regs_drop_absent(const struct remote_call *call, const struct vgic_reg *table,
						size_t nr_regs, struct vgic_values *values)
{
	for (size_t r = 0; r < nr_regs; r++) {
		if (!values[r].nr)
			continue; /* none was added */
		if (table[r].policy == VGIC_OPTIONAL && call->result)
			values[r].nr = 0;
		call++;
	}
	return call;
}

int vgic_regs_capture(struct batch *b, const struct vgic_part *part, const struct vgic_reg *table,
		      size_t nr_regs, struct vgic_values **values)
{
	int ret = vgic_regs_add_capture(b, part, table, nr_regs, values) ?: batch_run(b);

	if (!ret)
		vgic_regs_drop_absent(b->calls, table, nr_regs, *values);
	batch_reset(b);
	return ret;
}

/*
 * Whether word @i of @reg is not to be written: the GICD_IROUTER of an SPI that was never
 * routed. A fresh GIC sends it to the first vCPU too; any value written would name another.
 */
static bool stays_unrouted(const struct vgic_part *part, const struct vgic_reg *reg, uint32_t i)
{
	uint32_t intid = VGIC_NR_PRIVATE + i;

	return reg->bits == 64 && part->unrouted && part->unrouted[intid / 32] >> intid % 32 & 1;
}

/* What a test is to notice: one interrupt that was pending is not any more. */
static void lose_one_pending(const struct vgic_reg *reg, uint64_t *v, uint32_t words)
{
	static bool lost;

	for (uint32_t i = 0; strstr(reg->name, "_ISPENDR") && i < words && !lost; i++)
		if (v[i] && fault_leaves_out("one pending bit")) {
			v[i] &= v[i] - 1;
			lost = true;
		}
}

static bool is_written(const struct vgic_part *part, const struct vgic_reg *reg, const uint64_t *v, uint32_t i)
{
	return (reg->policy != VGIC_NONZERO || v[i]) && !stays_unrouted(part, reg, i);
}

/* What is to be written of @reg, in as few runs as that is. */
static void add_set_runs(struct batch *b, const struct vgic_part *part, const struct vgic_reg *reg, uint32_t words,
			 const uint64_t *v)
{
	for (uint32_t i = 0, end; i < words; i = end + 1) {
		for (end = i; end < words && is_written(part, reg, v, end); end++)
			;
		if (end > i)
			make_run(vgic_reg_add_set(b, part, reg, i, &v[i]), part, reg, end - i);
	}
}

static const uint64_t all_ones = UINT64_MAX;

void vgic_regs_add_apply(struct batch *b, const struct vgic_part *part, const struct vgic_reg *table,
			 size_t nr_regs, const struct vgic_values *values)
{
	for (size_t r = 0; r < nr_regs; r++) {
		const struct vgic_reg *reg = &table[r];

		if (reg->policy == VGIC_CHECK || reg->policy == VGIC_APART || reg->policy == VGIC_SEEN ||
		    fault_leaves_out(reg->name))
			continue;
		for (uint32_t i = 0; reg->policy == VGIC_CLEAR && i < reg->count; i++)
			vgic_reg_add_set(b, part, reg, i, &all_ones);
		lose_one_pending(reg, values[r].v, values[r].nr);
		add_set_runs(b, part, reg, values[r].nr, values[r].v);
	}
}

/* Read-only registers tell what the new GIC is: it must be what the guest has seen. */
int vgic_regs_check(struct batch *b, const struct vgic_part *part, const struct vgic_reg *table,
		    size_t nr_regs, const struct vgic_values *values)
{
	for (size_t r = 0; r < nr_regs; r++) {
		uint64_t found = 0;
		int ret;

		if (table[r].policy != VGIC_CHECK)
			continue;
		vgic_reg_add_get(b, part, &table[r], 0, &found);
		ret = batch_run(b);
		batch_reset(b);
		if (ret)
			return ret;
		if (found != values[r].v[0]) {
			pr_err("vm %u: %s is %#" PRIx64 " on this host, %#" PRIx64 " in the image\n", b->vm,
			       table[r].name, found, values[r].v[0]);
			return -EINVAL;
		}
	}
	return 0;
}
