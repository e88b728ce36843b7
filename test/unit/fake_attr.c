// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device attributes of a fake vCPU: PMU, timer interrupts, steal time. As Linux 6.12 and 7.2 have them
 * (Documentation/virt/kvm/devices/vcpu.rst), errno by errno, in the order in which they look.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fake_kvm.h"

#define PMU_IRQ_V5 0x20000017u /* PPI 23, with its type */
#define PVTIME_SIZE 64

static const struct fake_attr {
	uint32_t group, attr;
	const char *name;
} attrs[] = {
	{ KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, "PMU_V3 IRQ" },
	{ KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, "PMU_V3 INIT" },
	{ KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_FILTER, "PMU_V3 FILTER" },
	{ KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, "TIMER_IRQ virtual" },
	{ KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_PTIMER, "TIMER_IRQ physical" },
	{ KVM_ARM_VCPU_PVTIME_CTRL, KVM_ARM_VCPU_PVTIME_IPA, "PVTIME IPA" },
};

static void describe_value(const struct kvm_device_attr *attr, char *more)
{
	const void *value = (const void *)(uintptr_t)attr->addr;
	const struct arm64_pmu_event_filter *filter = value;

	if (attr->group == KVM_ARM_VCPU_PMU_V3_CTRL && attr->attr == KVM_ARM_VCPU_PMU_V3_FILTER)
		snprintf(more, FAKE_LINE, " = %s %#x, %u events", filter->action ? "deny" : "allow",
			 filter->base_event, filter->nevents);
	else if (attr->group == KVM_ARM_VCPU_PVTIME_CTRL)
		snprintf(more, FAKE_LINE, " = %#llx", *(const unsigned long long *)value);
	else
		snprintf(more, FAKE_LINE, " = %u", *(const uint32_t *)value);
}

void fake_attr_describe(const struct kvm_device_attr *attr, bool set, char *more)
{
	const char *name = "unknown attribute";
	char value[FAKE_LINE] = "";

	for (size_t i = 0; i < sizeof(attrs) / sizeof(attrs[0]); i++)
		if (attrs[i].group == attr->group && attrs[i].attr == attr->attr)
			name = attrs[i].name;
	if (set && attr->addr)
		describe_value(attr, value);
	snprintf(more, FAKE_LINE, " %s%.80s", name, value);
}

/* PMU */

static bool is_ppi(const struct fake_kvm *kvm, uint32_t irq)
{
	return kvm->v5 ? irq == PMU_IRQ_V5 : irq >= 16 && irq < VGIC_NR_PRIVATE;
}

static bool is_spi(const struct fake_kvm *kvm, uint32_t irq)
{
	return !kvm->v5 && irq >= VGIC_NR_PRIVATE && irq <= 1019;
}

/* A PPI is the same one on all vCPUs, an SPI is another one on each. */
static int set_pmu_irq(struct fake_kvm *kvm, struct fake_vcpu *vcpu, uint32_t irq)
{
	if (!is_ppi(kvm, irq) && !is_spi(kvm, irq))
		return -EINVAL;
	for (size_t i = 0; i < kvm->nr_vcpus; i++)
		if (kvm->vcpus[i].pmu_irq && (kvm->vcpus[i].pmu_irq == irq) != is_ppi(kvm, irq))
			return -EINVAL;
	if (vcpu->pmu_irq)
		return -EBUSY;
	vcpu->pmu_irq = irq;
	return 0;
}

static int init_pmu(struct fake_kvm *kvm, struct fake_vcpu *vcpu)
{
	if (kvm->v5 ? !kvm->v5->initialised : !kvm->gic.initialised)
		return -ENODEV;
	if (!vcpu->pmu_irq && !kvm->v5)
		return -ENXIO;
	if (!vcpu->pmu_irq)
		vcpu->pmu_irq = PMU_IRQ_V5;
	vcpu->pmu_created = true;
	return 0;
}

static int set_filter(struct fake_kvm *kvm, const struct arm64_pmu_event_filter *filter)
{
	bool allow = filter->action == KVM_PMU_EVENT_ALLOW;

	if ((uint32_t)filter->base_event + filter->nevents > kvm->pmu_events || filter->action > KVM_PMU_EVENT_DENY)
		return -EINVAL;
	if (kvm->ran)
		return -EBUSY;
	/* The first one decides what becomes of the events that none names. */
	if (!kvm->pmu_filtered)
		memset(kvm->pmu_filter, allow ? 0 : 0xff, sizeof(kvm->pmu_filter));
	kvm->pmu_filtered = true;
	for (uint32_t i = 0; i < filter->nevents; i++)
		fake_pmu_allow(kvm, filter->base_event + i, allow);
	return 0;
}

void fake_pmu_allow(struct fake_kvm *kvm, uint32_t event, bool allow)
{
	uint64_t *word = &kvm->pmu_filter[event / 64], bit = 1ull << event % 64;

	*word = allow ? *word | bit : *word & ~bit;
}

static int pmu_attr(struct fake_kvm *kvm, struct fake_vcpu *vcpu, uint64_t attr, void *value, bool set)
{
	if (!set && attr != KVM_ARM_VCPU_PMU_V3_IRQ)
		return -ENXIO;
	if (!fake_has(kvm, KVM_ARM_VCPU_PMU_V3))
		return -ENODEV;
	if (!set) {
		memcpy(value, &vcpu->pmu_irq, sizeof(vcpu->pmu_irq));
		return vcpu->pmu_irq ? 0 : -ENXIO;
	}
	if (vcpu->pmu_created)
		return -EBUSY;
	switch (attr) {
	case KVM_ARM_VCPU_PMU_V3_IRQ:
		return set_pmu_irq(kvm, vcpu, *(uint32_t *)value);
	case KVM_ARM_VCPU_PMU_V3_INIT:
		return init_pmu(kvm, vcpu);
	case KVM_ARM_VCPU_PMU_V3_FILTER:
		return set_filter(kvm, value);
	}
	return -ENXIO;
}

/* Timers */

static int timer_attr(struct fake_kvm *kvm, struct fake_vcpu *vcpu, uint64_t attr, void *value, bool set)
{
	if (attr > 1)
		return -ENXIO;
	if (set && kvm->ran)
		return -EBUSY;
	if (set)
		memcpy(&vcpu->timer_irq[attr], value, sizeof(uint32_t));
	else
		memcpy(value, &vcpu->timer_irq[attr], sizeof(uint32_t));
	return 0;
}

/* Steal time */

static bool in_a_slot(const struct fake_kvm *kvm, uint64_t gpa)
{
	for (size_t i = 0; i < kvm->nr_slots; i++)
		if (gpa - kvm->slots[i].gpa < kvm->slots[i].size && !(kvm->slots[i].flags & KVM_MEM_READONLY))
			return true;
	return false;
}

static int pvtime_attr(struct fake_kvm *kvm, struct fake_vcpu *vcpu, uint64_t attr, void *value, bool set)
{
	uint64_t ipa;

	if (attr != KVM_ARM_VCPU_PVTIME_IPA)
		return -ENXIO;
	if (!set) {
		memcpy(value, &vcpu->pvtime, sizeof(vcpu->pvtime));
		return 0;
	}
	memcpy(&ipa, value, sizeof(ipa));
	if (ipa % PVTIME_SIZE)
		return -EINVAL;
	if (vcpu->pvtime != VCPU_NO_PVTIME)
		return -EEXIST;
	if (!in_a_slot(kvm, ipa))
		return -EINVAL;
	vcpu->pvtime = ipa;
	return 0;
}

int64_t fake_attr_ioctl(struct fake_kvm *kvm, struct fake_vcpu *vcpu, const struct kvm_device_attr *attr,
			bool set)
{
	void *value = (void *)(uintptr_t)attr->addr;

	switch (attr->group) {
	case KVM_ARM_VCPU_PMU_V3_CTRL:
		return pmu_attr(kvm, vcpu, attr->attr, value, set);
	case KVM_ARM_VCPU_TIMER_CTRL:
		return timer_attr(kvm, vcpu, attr->attr, value, set);
	case KVM_ARM_VCPU_PVTIME_CTRL:
		return pvtime_attr(kvm, vcpu, attr->attr, value, set);
	}
	return -ENXIO;
}
