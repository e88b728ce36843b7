/* SPDX-License-Identifier: GPL-2.0-only */
/* The in-kernel GICv3, with either way to say where redistributors are; or a GICv2. */
#include <sys/ioctl.h>

#include "vmm.h"

int gic_create(struct vmm *vmm)
{
	struct kvm_create_device create = {
		.type = vmm->config.gicv2 ? KVM_DEV_TYPE_ARM_VGIC_V2 : KVM_DEV_TYPE_ARM_VGIC_V3,
	};

	if (ioctl(vmm->vm_fd, KVM_CREATE_DEVICE, &create))
		return -1;
	vmm->gic_fd = create.fd;
	return 0;
}

static int set_attr(struct vmm *vmm, uint32_t group, uint64_t attr, void *value)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	return ioctl(vmm->gic_fd, KVM_SET_DEVICE_ATTR, &a);
}

static int set_addr(struct vmm *vmm, uint64_t type, uint64_t addr)
{
	return set_attr(vmm, KVM_DEV_ARM_VGIC_GRP_ADDR, type, &addr);
}

/* count, base, flags and index of a redistributor region in one word */
static int set_region(struct vmm *vmm, uint64_t index, uint64_t base, uint64_t count)
{
	return set_addr(vmm, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION, count << 52 | base | index);
}

static int set_redistributors(struct vmm *vmm)
{
	unsigned int n = vmm->config.nr_vcpus;

	if (!vmm->config.redist_regions)
		return set_addr(vmm, KVM_VGIC_V3_ADDR_TYPE_REDIST, VM_GICR_BASE);
	if (set_region(vmm, 0, VM_GICR_BASE, (n + 1) / 2))
		return -1;
	return n > 1 ? set_region(vmm, 1, VM_GICR_BASE2, n / 2) : 0;
}

static int place_gic(struct vmm *vmm)
{
	if (vmm->config.gicv2)
		return set_addr(vmm, KVM_VGIC_V2_ADDR_TYPE_DIST, VM_GICD_BASE) ||
		       set_addr(vmm, KVM_VGIC_V2_ADDR_TYPE_CPU, VM_GICC_BASE) ? -1 : 0;
	return set_addr(vmm, KVM_VGIC_V3_ADDR_TYPE_DIST, VM_GICD_BASE) || set_redistributors(vmm) ? -1 : 0;
}

int gic_init(struct vmm *vmm)
{
	uint32_t nr_irqs = VM_NR_IRQS;

	if (set_attr(vmm, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &nr_irqs) || place_gic(vmm))
		return -1;
	return set_attr(vmm, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
}

int gic_set_line(struct vmm *vmm, unsigned int intid, int level)
{
	struct kvm_irq_level line = {
		.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | intid,
		.level = level,
	};

	if (!ioctl(vmm->vm_fd, KVM_IRQ_LINE, &line))
		return 0;
	vmm_found(vmm, FOUND_UNEXPECTED, SUBJ_VMM, "KVM_IRQ_LINE of INTID %u: %m", intid);
	return -1;
}
