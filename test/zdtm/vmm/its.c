/* SPDX-License-Identifier: GPL-2.0-only */
/* The ITSes, and the devices whose interrupts they are to translate. */
#include <sys/ioctl.h>

#include "vmm.h"

#define NR_DEVICES 64

static int create_one(struct vmm *vmm, unsigned int n)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_ARM_VGIC_ITS };
	uint64_t base = VM_ITS_BASE + n * VM_ITS_SIZE;
	struct kvm_device_attr addr = {
		.group = KVM_DEV_ARM_VGIC_GRP_ADDR,
		.attr = KVM_VGIC_ITS_ADDR_TYPE,
		.addr = (uintptr_t)&base,
	};
	struct kvm_device_attr init = {
		.group = KVM_DEV_ARM_VGIC_GRP_CTRL,
		.attr = KVM_DEV_ARM_VGIC_CTRL_INIT,
	};

	if (ioctl(vmm->vm_fd, KVM_CREATE_DEVICE, &create))
		return -1;
	vmm->its_fd[n] = create.fd;
	if (ioctl(create.fd, KVM_SET_DEVICE_ATTR, &addr))
		return -1;
	return ioctl(create.fd, KVM_SET_DEVICE_ATTR, &init);
}

/*
 * Device @k of 32 that an ITS has. Sparse: four groups, of which one lies on both sides of the end of
 * a page of a two-level table (8192 devices). From group to group it is more than the 16383 that
 * `next` of a device table entry of KVM's can say, and some pages have no device.
 */
static uint64_t device_id(const struct vmm *vmm, unsigned int k)
{
	static const uint64_t group[] = { 0, 24200, 42000, 59200 };

	if (!vmm->config.sparse)
		return k;
	return k == NR_DEVICES / VM_NR_ITSES - 1 ? 65535 : group[k / 8] + k % 8 * 100;
}

static void describe_device(struct vmm *vmm, unsigned int n)
{
	volatile struct lpi_device *dev = &vmm->lpi_area->device[n];
	unsigned int k = n / VM_NR_ITSES;

	dev->its = n % VM_NR_ITSES;
	dev->id = device_id(vmm, k);
	dev->nr_events = VM_NR_EVENTS;
	dev->event_step = 1;
	/* Events 0 and 65535 alone. */
	if (vmm->config.sparse && k == 16) {
		dev->nr_events = 2;
		dev->event_step = 65535;
	}
}

/* In the middle of a group, so that an entry of a table could lead to it. */
static void describe_unmapped(struct vmm *vmm, unsigned int n)
{
	volatile struct lpi_device *dev = &vmm->lpi_area->device[n];

	dev->its = n % VM_NR_ITSES;
	dev->id = device_id(vmm, 8) + 50;
	dev->nr_events = 1;
	dev->event_step = 1;
	dev->unmapped = 1;
}

/* The guest reads what there is, and maps it. */
static void describe(struct vmm *vmm)
{
	unsigned int n;

	for (n = 0; n < NR_DEVICES; n++)
		describe_device(vmm, n);
	for (; vmm->config.sparse && n < NR_DEVICES + VM_NR_ITSES; n++)
		describe_unmapped(vmm, n);
	vmm->lpi_area->nr_devices = n;
	vmm->lpi_area->intid_step = vmm->config.sparse ? 27 : 1;
	vmm->lpi_area->two_level[1] = 1;
}

int its_create(struct vmm *vmm)
{
	unsigned int n;

	for (n = 0; n < vmm->config.nr_itses; n++)
		if (create_one(vmm, n))
			return -1;
	describe(vmm);
	return 0;
}
