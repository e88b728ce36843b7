/* SPDX-License-Identifier: GPL-2.0-only */
/* An ITS's registers, its commands (GIC architecture, "ITS commands"), and its tables in guest memory. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "its.h"

#define TABLE_PAGE	0x10000u
#define NR_DEVICES	0x10000u	/* 16 bits of a DeviceID, which is all that KVM has */

enum {
	MOVI = 0x01, INT = 0x03, CLEAR = 0x04, SYNC = 0x05, MAPD = 0x08, MAPC = 0x09, MAPTI = 0x0a,
	DISCARD = 0x0f,
};

/* Memory */

static int map_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	return fd < 0 || ftruncate(fd, ITS_RAM_SIZE) ? -1 : fd;
}

int its_add_memory(struct odd_vm *vm, const char *path)
{
	struct kvm_userspace_memory_region region = {
		.slot = ITS_RAM_SLOT,
		.guest_phys_addr = ITS_RAM_BASE,
		.memory_size = ITS_RAM_SIZE,
		.userspace_addr = ITS_RAM_ADDR,
	};
	int fd = path ? map_file(path) : -1;

	if (path && fd < 0)
		return -1;
	if (mmap((void *)ITS_RAM_ADDR, ITS_RAM_SIZE, PROT_READ | PROT_WRITE,
		 MAP_FIXED_NOREPLACE | (path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS), fd, 0) == MAP_FAILED)
		return -1;
	if (path && close(fd))
		return -1;
	return ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

uint64_t *its_entry(const struct odd_its *its, uint32_t offset)
{
	return (uint64_t *)(ITS_RAM_ADDR + ITS_BLOCK(its->n) + offset);
}

static uint64_t gpa(const struct odd_its *its, uint32_t offset)
{
	return ITS_RAM_BASE + ITS_BLOCK(its->n) + offset;
}

/* Registers */

int its_create(struct odd_its *its, struct odd_vm *vm, unsigned int n)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_ARM_VGIC_ITS };

	if (ioctl(vm->vm_fd, KVM_CREATE_DEVICE, &create))
		return -1;
	*its = (struct odd_its){ .vm = vm, .fd = create.fd, .n = n };
	return 0;
}

int its_place(struct odd_its *its)
{
	uint64_t frame = ITS_FRAME(its->n);

	return odd_set_attr(its->fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, &frame) ||
	       odd_set_attr(its->fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL) ? -1 : 0;
}

int its_get(const struct odd_its *its, uint32_t reg, uint64_t *value)
{
	struct kvm_device_attr a = { .group = KVM_DEV_ARM_VGIC_GRP_ITS_REGS, .attr = reg,
				     .addr = (uintptr_t)value };

	return ioctl(its->fd, KVM_GET_DEVICE_ATTR, &a);
}

int its_set(const struct odd_its *its, uint32_t reg, uint64_t value)
{
	return odd_set_attr(its->fd, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, reg, &value);
}

static uint64_t cbaser(const struct odd_its *its, uint32_t queue, uint32_t size)
{
	return ITS_VALID | gpa(its, queue) | (size / 4096 - 1);
}

int its_set_tables(struct odd_its *its, uint32_t queue_size, const unsigned int *l1, size_t level_2)
{
	const uint64_t flat_pages = NR_DEVICES * sizeof(uint64_t) / TABLE_PAGE;
	uint64_t devices = ITS_VALID | gpa(its, ITS_DTES);
	size_t i;

	its->queue_size = queue_size;
	its->put = 0;
	for (i = 0; i < level_2; i++)
		its_entry(its, ITS_DTES)[l1[i]] = ITS_VALID | gpa(its, ITS_LEVEL_2(i));
	devices |= level_2 ? ITS_INDIRECT : flat_pages - 1;
	return its_set(its, GITS_CBASER, cbaser(its, ITS_QUEUE, queue_size)) ||
	       its_set(its, GITS_BASER0, devices) ||
	       its_set(its, GITS_BASER1, ITS_VALID | gpa(its, ITS_CTES)) ? -1 : 0;
}

int its_enable(const struct odd_its *its, bool on)
{
	return its_set(its, GITS_CTLR, on);
}

/* Commands */

void its_put(struct odd_its *its, struct its_command command)
{
	memcpy((char *)its_entry(its, ITS_QUEUE) + its->put, &command, ITS_COMMAND);
	its->put = (its->put + ITS_COMMAND) % its->queue_size;
}

int its_ring(const struct odd_its *its)
{
	return its_set(its, GITS_CWRITER, its->put);
}

int its_do(struct odd_its *its, struct its_command command)
{
	its_put(its, command);
	return its_ring(its);
}

/* A write of GITS_CBASER empties the queue; what there was of it is put back after. */
int its_do_aside(struct odd_its *its, struct its_command command)
{
	uint64_t ctlr, cwriter, creadr;

	if (its_get(its, GITS_CTLR, &ctlr) || its_get(its, GITS_CWRITER, &cwriter) ||
	    its_get(its, GITS_CREADR, &creadr))
		return -1;
	memcpy(its_entry(its, ITS_ASIDE), &command, ITS_COMMAND);
	if (its_enable(its, false) || its_set(its, GITS_CBASER, cbaser(its, ITS_ASIDE, 4096)) ||
	    its_enable(its, true) || its_set(its, GITS_CWRITER, ITS_COMMAND) || its_enable(its, false))
		return -1;
	return its_set(its, GITS_CBASER, cbaser(its, ITS_QUEUE, its->queue_size)) ||
	       its_set(its, GITS_CWRITER, cwriter) || its_set(its, GITS_CREADR, creadr) ||
	       its_enable(its, ctlr & 1) ? -1 : 0;
}

static struct its_command command(uint64_t number, uint64_t device, uint64_t dw1, uint64_t dw2)
{
	return (struct its_command){ { number | device << 32, dw1, dw2, 0 } };
}

struct its_command its_mapd(const struct odd_its *its, uint32_t device, uint32_t itt, unsigned int bits)
{
	return command(MAPD, device, bits - 1, ITS_VALID | gpa(its, itt));
}

struct its_command its_unmapd(uint32_t device)
{
	return command(MAPD, device, 0, 0);
}

struct its_command its_mapc(uint16_t icid, uint32_t vcpu)
{
	return command(MAPC, 0, 0, ITS_VALID | (uint64_t)vcpu << 16 | icid);
}

struct its_command its_unmapc(uint16_t icid)
{
	return command(MAPC, 0, 0, icid);
}

struct its_command its_mapti(uint32_t device, uint32_t event, uint32_t lpi, uint16_t icid)
{
	return command(MAPTI, device, (uint64_t)lpi << 32 | event, icid);
}

struct its_command its_movi(uint32_t device, uint32_t event, uint16_t icid)
{
	return command(MOVI, device, event, icid);
}

struct its_command its_int(uint32_t device, uint32_t event)
{
	return command(INT, device, event, 0);
}

struct its_command its_clear(uint32_t device, uint32_t event)
{
	return command(CLEAR, device, event, 0);
}

struct its_command its_discard(uint32_t device, uint32_t event)
{
	return command(DISCARD, device, event, 0);
}

struct its_command its_sync(void)
{
	return command(SYNC, 0, 0, 0);
}

int its_save_tables(const struct odd_its *its)
{
	return odd_set_attr(its->fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_ITS_SAVE_TABLES, NULL);
}

int its_signal(const struct odd_its *its, uint32_t device, uint32_t event)
{
	const uint64_t doorbell = ITS_FRAME(its->n) + 0x10040;	/* GITS_TRANSLATER */
	struct kvm_msi msi = {
		.address_lo = doorbell,
		.address_hi = doorbell >> 32,
		.data = event,
		.flags = KVM_MSI_VALID_DEVID,
		.devid = device,
	};

	return ioctl(its->vm->vm_fd, KVM_SIGNAL_MSI, &msi);
}
