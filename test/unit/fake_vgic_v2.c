// SPDX-License-Identifier: GPL-2.0-only
/*
 * The attributes of a fake GICv2, after Documentation/virt/kvm/devices/arm-vgic.rst and what Linux 6.12 and 7.2 do
 * (vgic-mmio-v2.c, vgic-mmio.c). Names and offsets of its own: not those of the plugin's tables.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_kvm.h"

#define FRESH_IIDR 0x4b00343bu
#define NR_SGIS 16

/* By creation order, of which the first counts; without one the first vCPU (vgic_mmio_write_target()). */
int fake_v2_target(const struct fake_irq *irq)
{
	return irq->router ? __builtin_ctz(irq->router) : 0;
}

static struct fake_irq *irq_at(struct fake_kvm *kvm, int vcpu, uint32_t intid)
{
	if (intid < VGIC_NR_PRIVATE)
		return &kvm->vcpus[vcpu].irq[intid];
	return intid < kvm->gic.nr_irqs ? &kvm->gic.spi[intid] : NULL;
}

static bool is_pending(const struct fake_irq *irq)
{
	return irq->pending || (irq->level && !(irq->config & 2));
}

/* A field of an interrupt: what reading and writing of it does, by vCPU @vcpu. */
struct field {
	const char *name;
	uint32_t offset, bits;
	uint32_t (*get)(const struct fake_irq *irq);
	void (*set)(struct fake_kvm *kvm, int vcpu, uint32_t intid, struct fake_irq *irq, uint32_t value);
};

#define SET(name_) static void name_(struct fake_kvm *kvm, int vcpu, uint32_t intid, struct fake_irq *irq, uint32_t v)
#define GET(name_, value_)                              \
	static uint32_t name_(const struct fake_irq *irq) \
	{                                               \
		return value_;                          \
	}

GET(get_group, irq->group)
GET(get_enabled, irq->enabled)
GET(get_pending, is_pending(irq))
GET(get_active, irq->active)
GET(get_priority, irq->priority)
GET(get_target, irq->router)
GET(get_config, irq->config)

SET(set_group)
{
	if (kvm->v2->groups_writable)
		irq->group = v;
	fake_queue(kvm, irq);
}

SET(set_enabled)
{
	irq->enabled |= v;
	fake_queue(kvm, irq);
}

SET(clear_enabled)
{
	irq->enabled &= !v;
}

SET(set_pending)
{
	if (!v)
		return;
	irq->pending = true;
	if (intid < NR_SGIS)
		irq->source |= 1u << kvm->vcpus[vcpu].id;
	fake_queue(kvm, irq);
}

SET(set_active)
{
	irq->active |= v;
	fake_queue(kvm, irq);
}

SET(set_priority)
{
	irq->priority = v & 0xf8;
}

SET(set_target)
{
	if (intid >= VGIC_NR_PRIVATE)
		irq->router = v & ((1u << kvm->nr_vcpus) - 1);
}

SET(set_config)
{
	if (intid >= VGIC_NR_PRIVATE)
		irq->config = v & 2;
}

static const struct field fields[] = {
	{ "IGROUPR", 0x080, 1, get_group, set_group },
	{ "ISENABLER", 0x100, 1, get_enabled, set_enabled },
	{ "ICENABLER", 0x180, 1, get_enabled, clear_enabled },
	{ "ISPENDR", 0x200, 1, get_pending, set_pending },
	{ "ISACTIVER", 0x300, 1, get_active, set_active },
	{ "IPRIORITYR", 0x400, 8, get_priority, set_priority },
	{ "ITARGETSR", 0x800, 8, get_target, set_target },
	{ "ICFGR", 0xc00, 2, get_config, set_config },
};

static const struct field *field_at(uint32_t offset)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (offset >= fields[i].offset && offset < fields[i].offset + VGIC_MAX_IRQS * fields[i].bits / 8)
			return &fields[i];
	return NULL;
}

static void access_field(struct fake_kvm *kvm, const struct field *field, int vcpu, uint32_t offset, uint32_t *word,
			 bool set)
{
	uint32_t mask = (1u << field->bits) - 1, first = (offset - field->offset) * 8 / field->bits, value = *word;

	if (!set)
		*word = 0;
	for (uint32_t i = 0; i < 32 / field->bits; i++) {
		struct fake_irq *irq = irq_at(kvm, vcpu, first + i);

		if (irq && set)
			field->set(kvm, vcpu, first + i, irq, value >> i * field->bits & mask);
		else if (irq)
			*word |= (field->get(irq) & mask) << i * field->bits;
	}
}

/* GICD_SPENDSGIR: who has sent four SGIs from @first on. */
static void access_sgis(struct fake_kvm *kvm, int vcpu, uint32_t first, uint32_t *word, bool set)
{
	uint32_t value = *word;

	if (!set)
		*word = 0;
	for (uint32_t i = 0; i < 4; i++) {
		struct fake_irq *irq = &kvm->vcpus[vcpu].irq[first + i];

		if (!set) {
			*word |= (uint32_t)irq->source << 8 * i;
			continue;
		}
		irq->source |= value >> 8 * i;
		irq->pending |= irq->source;
		fake_queue(kvm, irq);
	}
}

static int access_iidr(struct fake_kvm *kvm, uint32_t *word, bool set)
{
	uint32_t revision = *word >> 12 & 0xf;

	if (!set) {
		*word = kvm->gic.iidr;
		return 0;
	}
	if ((*word ^ FRESH_IIDR) & ~0xf000u || revision < 2 || revision > 3)
		return -EINVAL;
	kvm->gic.iidr = *word;
	kvm->v2->groups_writable = true;
	return 0;
}

static int access_dist(struct fake_kvm *kvm, int vcpu, uint32_t offset, uint32_t *word, bool set)
{
	const struct field *field = field_at(offset);

	if (field)
		access_field(kvm, field, vcpu, offset, word, set);
	else if (offset >= 0xf20 && offset < 0xf30)
		access_sgis(kvm, vcpu, offset - 0xf20, word, set);
	else if (offset == 8)
		return access_iidr(kvm, word, set);
	else if (offset == 0 && set)
		kvm->gic.ctlr = *word & 1;
	else if (offset == 0)
		*word = kvm->gic.ctlr;
	else if (offset == 4 && !set)
		*word = (kvm->gic.nr_irqs / 32 - 1) | (kvm->nr_vcpus - 1) << 5;
	else if (offset != 4)
		return -ENXIO;
	return 0;
}

static const struct {
	const char *name;
	uint32_t offset, mask;
} cpuif_regs[] = {
	{ "CTLR", 0x00, 0x21f }, { "PMR", 0x04, 0x1f }, { "BPR", 0x08, 7 }, { "ABPR", 0x1c, 7 }, { "APR", 0xd0, ~0u },
};

static int access_cpuif(struct fake_kvm *kvm, int vcpu, uint32_t offset, uint32_t *word, bool set)
{
	for (size_t r = 0; r < sizeof(cpuif_regs) / sizeof(cpuif_regs[0]); r++) {
		if (offset != cpuif_regs[r].offset)
			continue;
		if (set)
			kvm->v2->cpuif[vcpu][r] = *word & cpuif_regs[r].mask;
		else
			*word = kvm->v2->cpuif[vcpu][r];
		return 0;
	}
	if (offset < 0xd4 || offset >= 0xe0) /* APR1 to 3 */
		return -ENXIO;
	if (!set)
		*word = 0;
	return 0;
}

static int vcpu_of_attr(const struct fake_kvm *kvm, uint64_t attr)
{
	for (size_t i = 0; i < kvm->nr_vcpus; i++)
		if (kvm->vcpus[i].id == (attr >> 32 & 0xff))
			return i;
	return -1;
}

static int access_regs(struct fake_kvm *kvm, const struct kvm_device_attr *attr, void *value, bool set)
{
	int vcpu = vcpu_of_attr(kvm, attr->attr);

	if (vcpu < 0)
		return -EINVAL;
	kvm->gic.initialised = true; /* by any access */
	return attr->group == KVM_DEV_ARM_VGIC_GRP_DIST_REGS ? access_dist(kvm, vcpu, attr->attr, value, set) :
							       access_cpuif(kvm, vcpu, attr->attr, value, set);
}

static int access_addr(struct fake_kvm *kvm, uint64_t type, uint64_t *value, bool set)
{
	uint64_t *base = type == KVM_VGIC_V2_ADDR_TYPE_DIST ? &kvm->gic.dist_base : &kvm->v2->cpu_base;

	if (type > KVM_VGIC_V2_ADDR_TYPE_CPU)
		return -ENXIO;
	if (!set)
		*value = *base;
	else if (*base != VGIC_ADDR_UNSET)
		return -EEXIST;
	else if (*value % 4096)
		return -EINVAL;
	else
		*base = *value;
	return 0;
}

int64_t fake_v2_ioctl(struct fake_kvm *kvm, unsigned long req, void *arg)
{
	const struct kvm_device_attr *attr = arg;
	void *value = (void *)(uintptr_t)attr->addr;
	bool set = req == KVM_SET_DEVICE_ATTR;

	switch (attr->group) {
	case KVM_DEV_ARM_VGIC_GRP_ADDR:
		return access_addr(kvm, attr->attr, value, set);
	case KVM_DEV_ARM_VGIC_GRP_NR_IRQS:
		if (set && kvm->gic.nr_irqs)
			return -EBUSY;
		if (set)
			kvm->gic.nr_irqs = *(uint32_t *)value;
		else
			*(uint32_t *)value = kvm->gic.nr_irqs;
		return 0;
	case KVM_DEV_ARM_VGIC_GRP_CTRL:
		kvm->gic.initialised |= set;
		return attr->attr ? -ENXIO : 0;
	case KVM_DEV_ARM_VGIC_GRP_DIST_REGS:
	case KVM_DEV_ARM_VGIC_GRP_CPU_REGS:
		return access_regs(kvm, attr, value, set);
	}
	return -ENXIO;
}

/* What KVM raises itself it keeps the VMM from. */
int64_t fake_v2_irq_line(struct fake_kvm *kvm, const struct kvm_irq_level *line)
{
	const struct kvm_device_attr vcpu = { .attr = (uint64_t)(line->irq >> 16 & 0xff) << 32 };
	uint32_t type = line->irq >> 24 & 0xf, intid = line->irq & 0xffff;
	struct fake_irq *irq;
	int i = type == 2 ? vcpu_of_attr(kvm, vcpu.attr) : 0;

	if (i < 0 || (type == 2) != (intid < VGIC_NR_PRIVATE) || intid < NR_SGIS || !kvm->gic.initialised)
		return -EINVAL;
	irq = irq_at(kvm, i, intid);
	if (!irq)
		return -EINVAL;
	if (irq->config & 2)
		irq->pending |= line->level;
	else
		irq->level = line->level;
	fake_queue(kvm, irq);
	return 0;
}

static void describe_attr(const struct kvm_device_attr *attr, char *text, size_t size)
{
	uint32_t low = attr->attr;
	const struct field *field = field_at(low);
	const char *name = field ? field->name : low == 0 ? "CTLR" : low == 4 ? "TYPER" : low == 8 ? "IIDR" : "SPENDSGIR";

	switch (attr->group) {
	case KVM_DEV_ARM_VGIC_GRP_ADDR:
		snprintf(text, size, "ADDR %s", low ? "CPU" : "DIST");
		break;
	case KVM_DEV_ARM_VGIC_GRP_NR_IRQS:
		snprintf(text, size, "NR_IRQS");
		break;
	case KVM_DEV_ARM_VGIC_GRP_CTRL:
		snprintf(text, size, "CTRL INIT");
		break;
	case KVM_DEV_ARM_VGIC_GRP_DIST_REGS:
		snprintf(text, size, "GICD_%s %#x", name, low);
		break;
	default:
		name = "APR";
		for (size_t r = 0; r < sizeof(cpuif_regs) / sizeof(cpuif_regs[0]); r++)
			if (low == cpuif_regs[r].offset)
				name = cpuif_regs[r].name;
		snprintf(text, size, "GICC_%s %#x", name, low);
	}
}

void fake_v2_describe(struct fake_kvm *kvm, unsigned long req, const void *arg, char *line)
{
	const struct kvm_device_attr *attr = arg;
	bool of_vcpu = attr->group == KVM_DEV_ARM_VGIC_GRP_DIST_REGS || attr->group == KVM_DEV_ARM_VGIC_GRP_CPU_REGS;
	char text[40], whose[16] = "gic";
	uint64_t value = 0;
	int n;

	if (of_vcpu)
		snprintf(whose, sizeof(whose), "vcpu %d", vcpu_of_attr(kvm, attr->attr));
	describe_attr(attr, text, sizeof(text));
	n = snprintf(line, FAKE_LINE, "%s: %s %s", whose, req == KVM_SET_DEVICE_ATTR ? "SET" : "GET", text);
	if (req != KVM_SET_DEVICE_ATTR || !attr->addr)
		return;
	memcpy(&value, (void *)(uintptr_t)attr->addr, attr->group == KVM_DEV_ARM_VGIC_GRP_ADDR ? 8 : 4);
	snprintf(line + n, FAKE_LINE - n, " = %#" PRIx64, value);
}

/* All SPIs of a fresh one are edge-triggered in KVM, and all interrupts of group 0. */
void fake_v2_create(struct fake_kvm *kvm)
{
	kvm->v2 = calloc(1, sizeof(*kvm->v2));
	if (!kvm->v2)
		abort();
	kvm->v2->cpu_base = VGIC_ADDR_UNSET;
	kvm->gic.typer = 0;
	for (int n = VGIC_NR_PRIVATE; n < VGIC_MAX_IRQS; n++)
		kvm->gic.spi[n].config = 2;
	for (size_t i = 0; i < FAKE_VCPUS; i++)
		for (int n = 0; n < VGIC_NR_PRIVATE; n++)
			kvm->vcpus[i].irq[n].router = 1u << i;
}
