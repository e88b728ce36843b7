// SPDX-License-Identifier: GPL-2.0-only
/*
 * The attributes of a fake GICv3, after Documentation/virt/kvm/devices/arm-vgic-v3.rst
 * and what the kernel does. Names and offsets of its own: not those of the plugin's tables.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_kvm.h"

#define GICD_CTLR 0x0u
#define GICD_TYPER 0x4u
#define GICD_IIDR 0x8u
#define GICD_IROUTER 0x6000u
#define SGI_FRAME 0x10000u
#define FRESH_PRI_BITS 5
#define FRESH_IIDR 0x4b00343bu

/* Where an INTID has its field, of @bits, and what reading and writing it does. */
struct irq_reg {
	const char *name;
	uint32_t offset, bits;
	uint32_t (*get)(const struct fake_irq *irq);
	void (*set)(struct fake_kvm *kvm, struct fake_irq *irq, uint32_t value);
};

/* What is pending or active is put on a vCPU's list now, if all says so now, and stays on it. */
static int target_of(struct fake_kvm *kvm, const struct fake_irq *irq)
{
	if (irq->owner >= 0)
		return irq->owner;
	if (kvm->v2)
		return fake_v2_target(irq);
	if (!irq->routed)
		return 0;
	for (size_t i = 0; i < kvm->nr_vcpus; i++)
		if ((fake_reg_u64(&kvm->vcpus[i], ARM64_MPIDR_EL1) & 0xffffff) == irq->router)
			return i;
	return -1;
}

void fake_queue(struct fake_kvm *kvm, struct fake_irq *irq)
{
	bool pending = irq->pending || (irq->level && !(irq->config & 2));

	if (irq->queue >= 0)
		return;
	if (irq->active || (irq->enabled && pending && kvm->gic.ctlr & 3))
		irq->queue = target_of(kvm, irq);
}

static uint32_t get_group(const struct fake_irq *irq)
{
	return irq->group;
}

static void set_group(struct fake_kvm *kvm, struct fake_irq *irq, uint32_t value)
{
	irq->group = value;
}

static uint32_t get_enabled(const struct fake_irq *irq)
{
	return irq->enabled;
}

static void set_enabled(struct fake_kvm *kvm, struct fake_irq *irq, uint32_t value)
{
	irq->enabled |= value;
}

static void clear_enabled(struct fake_kvm *kvm, struct fake_irq *irq, uint32_t value)
{
	irq->enabled &= !value;
}

static uint32_t get_pending(const struct fake_irq *irq)
{
	return irq->pending;
}

static void set_pending(struct fake_kvm *kvm, struct fake_irq *irq, uint32_t value)
{
	irq->pending = value;
	fake_queue(kvm, irq);
}

static uint32_t get_active(const struct fake_irq *irq)
{
	return irq->active;
}

static void set_active(struct fake_kvm *kvm, struct fake_irq *irq, uint32_t value)
{
	irq->active |= value;
	fake_queue(kvm, irq);
}

static uint32_t get_priority(const struct fake_irq *irq)
{
	return irq->priority;
}

static void set_priority(struct fake_kvm *kvm, struct fake_irq *irq, uint32_t value)
{
	irq->priority = value;
}

static uint32_t get_config(const struct fake_irq *irq)
{
	return irq->config;
}

static void set_config(struct fake_kvm *kvm, struct fake_irq *irq, uint32_t value)
{
	irq->config = value;
}

static uint32_t get_level(const struct fake_irq *irq)
{
	return irq->level;
}

static void set_level(struct fake_kvm *kvm, struct fake_irq *irq, uint32_t value)
{
	irq->level = value;
	fake_queue(kvm, irq);
}

static const struct irq_reg irq_regs[] = {
	{ "IGROUPR", 0x080, 1, get_group, set_group },
	{ "ISENABLER", 0x100, 1, get_enabled, set_enabled },
	{ "ICENABLER", 0x180, 1, get_enabled, clear_enabled },
	{ "ISPENDR", 0x200, 1, get_pending, set_pending },
	{ "ISACTIVER", 0x300, 1, get_active, set_active },
	{ "IPRIORITYR", 0x400, 8, get_priority, set_priority },
	{ "ICFGR", 0xc00, 2, get_config, set_config },
};
static const struct irq_reg level_info = { "LEVEL_INFO", 0, 1, get_level, set_level };

static const struct irq_reg *irq_reg_at(uint32_t offset)
{
	for (size_t r = 0; r < sizeof(irq_regs) / sizeof(irq_regs[0]); r++)
		if (offset >= irq_regs[r].offset &&
		    offset < irq_regs[r].offset + VGIC_MAX_IRQS * irq_regs[r].bits / 8)
			return &irq_regs[r];
	return NULL;
}

static struct fake_irq *irq_at(struct fake_kvm *kvm, int vcpu, uint32_t intid)
{
	if (intid < VGIC_NR_PRIVATE)
		return vcpu < 0 ? NULL : &kvm->vcpus[vcpu].irq[intid];
	return vcpu < 0 && intid < kvm->gic.nr_irqs ? &kvm->gic.spi[intid] : NULL;
}

/* The word of @reg that begins with @first: private interrupts of @vcpu, or SPIs for -1. */
static void access_irqs(struct fake_kvm *kvm, const struct irq_reg *reg, int vcpu, uint32_t first,
			uint32_t *word, bool set)
{
	uint32_t mask = (1u << reg->bits) - 1;

	if (!set)
		*word = 0;
	for (uint32_t i = 0; i < 32 / reg->bits; i++) {
		struct fake_irq *irq = irq_at(kvm, vcpu, first + i);

		if (irq && set)
			reg->set(kvm, irq, *word >> i * reg->bits & mask);
		else if (irq)
			*word |= (reg->get(irq) & mask) << i * reg->bits;
	}
}

static void access_word(uint32_t *here, uint32_t *word, bool set)
{
	if (set)
		*here = *word;
	else
		*word = *here;
}

static int access_dist(struct fake_kvm *kvm, uint32_t offset, uint32_t *word, bool set)
{
	const struct irq_reg *reg = irq_reg_at(offset);
	struct fake_irq *irq;

	if (offset >= GICD_IROUTER) {
		irq = irq_at(kvm, -1, (offset - GICD_IROUTER) / 8);
		if (irq && set) {
			irq->router = *word;
			irq->routed = true;
		} else {
			*word = irq ? irq->router : 0;
		}
	} else if (reg) {
		access_irqs(kvm, reg, -1, (offset - reg->offset) * 8 / reg->bits, word, set);
	} else if (offset == GICD_CTLR) {
		access_word(&kvm->gic.ctlr, word, set);
	} else if (offset == GICD_TYPER) {
		*word = set ? 0 : kvm->gic.typer | (kvm->gic.nr_irqs / 32 - 1);
	} else if (offset == GICD_IIDR) {
		if (set && (*word ^ FRESH_IIDR) & ~0xf000u)
			return -EINVAL; /* another implementation */
		access_word(&kvm->gic.iidr, word, set);
	}
	return 0;
}

/* KVM keeps no table base as non-cacheable: what is written as 0 is not read as 0. */
static void access_baser(uint32_t *baser, uint32_t word, uint32_t *value, bool set)
{
	access_word(&baser[word], value, set);
	if (set && !(baser[0] & 0x380))
		baser[0] |= 0x280;
}

/* KVM has one GICR_PROPBASER for all vCPUs. */
static void access_propbaser(struct fake_kvm *kvm, int vcpu, uint32_t word, uint32_t *value, bool set)
{
	access_baser(kvm->vcpus[vcpu].propbaser, word, value, set);
	for (size_t i = 0; set && kvm->nr_itses && i < kvm->nr_vcpus; i++)
		memcpy(kvm->vcpus[i].propbaser, kvm->vcpus[vcpu].propbaser, sizeof(kvm->vcpus[i].propbaser));
}

static int access_redist(struct fake_kvm *kvm, int vcpu, uint32_t offset, uint32_t *word, bool set)
{
	struct fake_vcpu *v = &kvm->vcpus[vcpu];
	const struct irq_reg *reg = offset >= SGI_FRAME ? irq_reg_at(offset - SGI_FRAME) : NULL;

	if (reg)
		access_irqs(kvm, reg, vcpu, (offset - SGI_FRAME - reg->offset) * 8 / reg->bits, word, set);
	else if (offset == 0 && set && kvm->nr_itses)
		fake_lpi_enable(kvm, vcpu, *word);
	else if (offset == 0)
		access_word(&v->gicr_ctlr, word, set);
	else if (set && v->gicr_ctlr & 1)
		return 0; /* ignored: LPIs are enabled */
	else if (offset >= 0x70 && offset < 0x78)
		access_propbaser(kvm, vcpu, (offset - 0x70) / 4, word, set);
	else if (offset >= 0x78 && offset < 0x80)
		access_baser(v->pendbaser, (offset - 0x78) / 4, word, set);
	return 0;
}

/* The CPU interface */

static const struct icc_reg {
	const char *name;
	uint32_t instr, pri_bits; /* there from this many priority bits on */
} icc_regs[FAKE_ICC_REGS] = {
	{ "ICC_PMR_EL1", 0xc230, 0 },	{ "ICC_BPR0_EL1", 0xc643, 0 },	  { "ICC_AP0R0_EL1", 0xc644, 0 },
	{ "ICC_AP0R1_EL1", 0xc645, 6 }, { "ICC_AP0R2_EL1", 0xc646, 7 },	  { "ICC_AP0R3_EL1", 0xc647, 7 },
	{ "ICC_AP1R0_EL1", 0xc648, 0 }, { "ICC_AP1R1_EL1", 0xc649, 6 },	  { "ICC_AP1R2_EL1", 0xc64a, 7 },
	{ "ICC_AP1R3_EL1", 0xc64b, 7 }, { "ICC_BPR1_EL1", 0xc663, 0 },	  { "ICC_CTLR_EL1", 0xc664, 0 },
	{ "ICC_SRE_EL1", 0xc665, 0 },	{ "ICC_IGRPEN0_EL1", 0xc666, 0 }, { "ICC_IGRPEN1_EL1", 0xc667, 0 },
};

static const struct icc_reg *icc_at(uint32_t instr)
{
	for (size_t r = 0; r < FAKE_ICC_REGS; r++)
		if (icc_regs[r].instr == instr)
			return &icc_regs[r];
	return NULL;
}

static int access_icc(struct fake_vcpu *vcpu, uint32_t instr, uint64_t *value, bool set)
{
	const struct icc_reg *reg = icc_at(instr);

	if (!reg)
		return -ENXIO;
	if (vcpu->pri_bits < reg->pri_bits)
		return -EINVAL;
	if (!set)
		*value = vcpu->icc[reg - icc_regs];
	else
		vcpu->icc[reg - icc_regs] = *value;
	if (set && instr == 0xc664)
		vcpu->pri_bits = (*value >> 8 & 7) + 1;
	return 0;
}

/* Addresses */

static int set_addr(struct fake_gic *gic, uint64_t type, uint64_t value)
{
	struct vgic_region region = { .base = value & 0xfffffffff0000, .count = value >> 52 };

	if (gic->nr_regions == FAKE_REGIONS || value == VGIC_ADDR_UNSET)
		return -E2BIG;
	if (type == KVM_VGIC_V3_ADDR_TYPE_DIST) {
		if (gic->dist_base != VGIC_ADDR_UNSET)
			return -EEXIST;
		gic->dist_base = value;
		return 0;
	}
	if (type == KVM_VGIC_V3_ADDR_TYPE_REDIST && !gic->nr_regions) {
		gic->legacy = true;
		region = (struct vgic_region){ .base = value };
	} else if (type != KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION || gic->legacy || !region.count ||
		   (value & 0xfff) != gic->nr_regions) {
		return -EINVAL;
	}
	gic->regions[gic->nr_regions++] = region;
	return 0;
}

static int get_addr(const struct fake_gic *gic, uint64_t type, uint64_t *value)
{
	uint64_t index = *value & 0xfff;

	if (type == KVM_VGIC_V3_ADDR_TYPE_DIST) {
		*value = gic->dist_base;
		return 0;
	}
	if (type != KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION)
		return -ENODEV;
	if (index >= gic->nr_regions)
		return -ENOENT;
	*value = index | gic->regions[index].base | (uint64_t)gic->regions[index].count << 52;
	return 0;
}

/* What cannot be asked for before INIT, nor set after it. */
static int access_setup(struct fake_kvm *kvm, const struct kvm_device_attr *attr, void *value, bool set)
{
	struct fake_gic *gic = &kvm->gic;

	switch (attr->group) {
	case KVM_DEV_ARM_VGIC_GRP_NR_IRQS:
		if (set && gic->initialised)
			return -EBUSY;
		access_word(&gic->nr_irqs, value, set);
		return 0;
	case KVM_DEV_ARM_VGIC_GRP_ADDR:
		if (set && gic->initialised)
			return -EBUSY;
		return set ? set_addr(gic, attr->attr, *(uint64_t *)value) : get_addr(gic, attr->attr, value);
	case KVM_DEV_ARM_VGIC_GRP_CTRL:
		if (attr->attr == KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES && set)
			return fake_lpi_save_pending(kvm);
		if (attr->attr != KVM_DEV_ARM_VGIC_CTRL_INIT || !set)
			return -ENXIO;
		gic->initialised = true;
		kvm->own_routes = false;
		kvm->nr_routes = 0;
		return 0;
	}
	return -ENXIO;
}

/* The vCPU that an attribute names by its affinity, or -1. */
static int vcpu_of_attr(struct fake_kvm *kvm, uint64_t attr)
{
	uint64_t aff = attr >> 32;

	for (size_t i = 0; i < kvm->nr_vcpus; i++) {
		uint64_t mpidr = fake_reg_u64(&kvm->vcpus[i], ARM64_MPIDR_EL1);

		if (aff == ((mpidr & 0xffffff) | (mpidr >> 8 & 0xff000000)))
			return i;
	}
	return -1;
}

static int access_regs(struct fake_kvm *kvm, const struct kvm_device_attr *attr, void *value, bool set)
{
	int vcpu = vcpu_of_attr(kvm, attr->attr);
	uint32_t low = attr->attr;

	if (attr->group == KVM_DEV_ARM_VGIC_GRP_DIST_REGS)
		return access_dist(kvm, low, value, set);
	if (vcpu < 0)
		return -EINVAL;
	switch (attr->group) {
	case KVM_DEV_ARM_VGIC_GRP_REDIST_REGS:
		return access_redist(kvm, vcpu, low, value, set);
	case KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS:
		return access_icc(&kvm->vcpus[vcpu], low, value, set);
	case KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO:
		access_irqs(kvm, &level_info, low < VGIC_NR_PRIVATE ? vcpu : -1, low, value, set);
		return 0;
	}
	return -ENXIO;
}

int64_t fake_vgic_ioctl(struct fake_kvm *kvm, unsigned long req, void *arg)
{
	const struct kvm_device_attr *attr = arg;
	void *value = (void *)(uintptr_t)attr->addr;
	bool set = req == KVM_SET_DEVICE_ATTR;

	if (req != KVM_SET_DEVICE_ATTR && req != KVM_GET_DEVICE_ATTR)
		return -ENOTTY;
	if (attr->group == KVM_DEV_ARM_VGIC_GRP_ADDR || attr->group == KVM_DEV_ARM_VGIC_GRP_NR_IRQS ||
	    attr->group == KVM_DEV_ARM_VGIC_GRP_CTRL)
		return access_setup(kvm, attr, value, set);
	return kvm->gic.initialised ? access_regs(kvm, attr, value, set) : -EBUSY;
}

/* What a call says */

static const char *dist_name(uint32_t offset)
{
	const struct irq_reg *reg = irq_reg_at(offset);

	if (offset >= GICD_IROUTER)
		return "IROUTER";
	if (reg)
		return reg->name;
	return offset == GICD_CTLR    ? "CTLR"
	       : offset == GICD_TYPER ? "TYPER"
	       : offset == GICD_IIDR  ? "IIDR"
				      : "?";
}

static const char *redist_name(uint32_t offset)
{
	const struct irq_reg *reg = offset >= SGI_FRAME ? irq_reg_at(offset - SGI_FRAME) : NULL;

	if (reg)
		return reg->name;
	return offset == 0		? "CTLR"
	       : (offset & ~4u) == 0x70 ? "PROPBASER"
	       : (offset & ~4u) == 0x78 ? "PENDBASER"
					: "?";
}

/* The attribute, without its value: "GICD_CTLR 0x0". */
static void describe_attr(const struct kvm_device_attr *attr, char *text, size_t size)
{
	static const char *const addr[] = { [KVM_VGIC_V3_ADDR_TYPE_DIST] = "DIST",
					    [KVM_VGIC_V3_ADDR_TYPE_REDIST] = "REDIST",
					    [KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION] = "REDIST_REGION" };
	uint32_t low = attr->attr;

	if (attr->group == KVM_DEV_ARM_VGIC_GRP_ADDR)
		snprintf(text, size, "ADDR %s", low < 6 && addr[low] ? addr[low] : "?");
	else if (attr->group == KVM_DEV_ARM_VGIC_GRP_NR_IRQS)
		snprintf(text, size, "NR_IRQS");
	else if (attr->group == KVM_DEV_ARM_VGIC_GRP_CTRL)
		snprintf(text, size, "CTRL %s",
			 low == KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES ? "SAVE_PENDING_TABLES" :
			 low					     ? "?" :
								       "INIT");
	else if (attr->group == KVM_DEV_ARM_VGIC_GRP_DIST_REGS)
		snprintf(text, size, "GICD_%s %#x", dist_name(low), low);
	else if (attr->group == KVM_DEV_ARM_VGIC_GRP_REDIST_REGS)
		snprintf(text, size, "GICR_%s %#x", redist_name(low), low);
	else if (attr->group == KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS)
		snprintf(text, size, "%s", icc_at(low) ? icc_at(low)->name : "?");
	else if (attr->group == KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO)
		snprintf(text, size, "LEVEL_INFO %u", low);
	else
		snprintf(text, size, "group %u", attr->group);
}

static uint64_t value_of(const struct kvm_device_attr *attr)
{
	bool wide =
		attr->group == KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS || attr->group == KVM_DEV_ARM_VGIC_GRP_ADDR;
	uint64_t value = 0;

	if (attr->addr)
		memcpy(&value, (void *)(uintptr_t)attr->addr, wide ? 8 : 4);
	return value;
}

void fake_vgic_describe(struct fake_kvm *kvm, unsigned long req, const void *arg, char *line)
{
	const struct kvm_device_attr *attr = arg;
	char text[40], whose[16] = "gic";
	int n;

	if (attr->group == KVM_DEV_ARM_VGIC_GRP_REDIST_REGS ||
	    attr->group == KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS ||
	    (attr->group == KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO && !(uint32_t)attr->attr))
		snprintf(whose, sizeof(whose), "vcpu %d", vcpu_of_attr(kvm, attr->attr));
	describe_attr(attr, text, sizeof(text));
	n = snprintf(line, FAKE_LINE, "%s: %s %s", whose, req == KVM_SET_DEVICE_ATTR ? "SET" : "GET", text);
	if (req == KVM_SET_DEVICE_ATTR && attr->addr)
		snprintf(line + n, FAKE_LINE - n, " = %#" PRIx64, value_of(attr));
}

/* As KVM_CREATE_DEVICE leaves it. SGIs are enabled, and edge-triggered. */
void fake_vgic_reset(struct fake_kvm *kvm)
{
	kvm->gic.iidr = FRESH_IIDR;
	kvm->gic.typer = 0x78 << 16;
	for (int i = 0; i < FAKE_VCPUS; i++) {
		kvm->vcpus[i].pri_bits = FRESH_PRI_BITS;
		for (int n = 0; n < VGIC_NR_PRIVATE; n++)
			kvm->vcpus[i].irq[n] = (struct fake_irq){
				.owner = i, .queue = -1, .enabled = n < 16, .config = n < 16 ? 2 : 0
			};
	}
	for (int n = VGIC_NR_PRIVATE; n < VGIC_MAX_IRQS; n++)
		kvm->gic.spi[n] = (struct fake_irq){ .owner = -1, .queue = -1 };
}
