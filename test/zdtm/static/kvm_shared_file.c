// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory in files: RAM that the guest writes all the time in one, a slot made of
 * two mappings of another, and a read-only slot over a private mapping of a third.
 * lives/kvm_shared_file.py changes the files between dump and restore.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A small KVM VM whose memory is in files\n";
const char *test_author = "The kvm-vgic authors";

/* lives/kvm_shared_file.py knows these. */
#define RAM_OFFSET	0x10000		/* in its file, which goes on for as much after it */
#define SIZE		0x10000		/* of the two other slots and their files */
#define SHM_ADDR	0x5a0000200000
#define SHM_BASE	0x50000000
#define ROM_ADDR	0x5a0000300000
#define ROM_BASE	0x60000000

char *ram = "kvm_shared_file.test.ram", *shm = "kvm_shared_file.test.shm", *rom = "kvm_shared_file.test.rom";
TEST_OPTION(ram, string, "file of the guest's RAM", 0);
TEST_OPTION(shm, string, "file of another slot", 0);
TEST_OPTION(rom, string, "file of a read-only slot", 0);

static int make_file(const char *path, off_t size, int fill)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	char page[4096];

	memset(page, fill, sizeof(page));
	if (fd < 0 || ftruncate(fd, size))
		return -1;
	for (off_t at = 0; fill && at < size; at += sizeof(page))
		if (pwrite(fd, page, sizeof(page), at) != sizeof(page))
			return -1;
	return fd;
}

static int map(uint64_t addr, size_t size, int flags, int fd, off_t offset)
{
	return mmap((void *)addr, size, PROT_READ | PROT_WRITE, MAP_FIXED | flags, fd, offset) == MAP_FAILED ? -1 : 0;
}

static int add_slot(struct odd_vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = SIZE,
		.userspace_addr = hva,
	};

	return ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

/* Over what odd_create() has mapped; sparse, but for what the guest is and does. */
static int ram_in_file(struct odd_vm *vm)
{
	int fd = make_file(ram, RAM_OFFSET + ODD_RAM_SIZE + RAM_OFFSET, 0);

	if (fd < 0 || map((uintptr_t)vm->ram, ODD_RAM_SIZE, MAP_SHARED, fd, RAM_OFFSET))
		return -1;
	return close(fd);
}

/* One slot, two mappings: the halves of the file in the other order. */
static int shm_slot(struct odd_vm *vm)
{
	int fd = make_file(shm, SIZE, 's');

	if (fd < 0 || map(SHM_ADDR, SIZE / 2, MAP_SHARED, fd, SIZE / 2) ||
	    map(SHM_ADDR + SIZE / 2, SIZE / 2, MAP_SHARED, fd, 0) || close(fd))
		return -1;
	strcpy((char *)SHM_ADDR, "first half");
	return add_slot(vm, 1, 0, SHM_BASE, SHM_ADDR);
}

/* Of a private mapping CRIU carries what was written: the first page, here. */
static int rom_slot(struct odd_vm *vm)
{
	int fd = make_file(rom, SIZE, 'r');

	if (fd < 0 || map(ROM_ADDR, SIZE, MAP_PRIVATE, fd, 0) || close(fd))
		return -1;
	strcpy((char *)ROM_ADDR, "written");
	return add_slot(vm, 2, KVM_MEM_READONLY, ROM_BASE, ROM_ADDR);
}

static int set_up(struct odd_vm *vm)
{
	if (odd_create(vm) || ram_in_file(vm) || odd_add_memory(vm, 0) || shm_slot(vm) || rom_slot(vm))
		return -1;
	return odd_complete(vm);
}

static bool memory_is_right(void)
{
	const char *half = (const char *)SHM_ADDR, *page = (const char *)ROM_ADDR;

	return !strcmp(half, "first half") && half[4096] == 's' && half[SIZE - 1] == 's' &&
	       !strcmp(page, "written") && page[4096] == 'r' && page[SIZE - 1] == 'r';
}

int main(int argc, char **argv)
{
	static struct odd_vm vm;

	test_init(argc, argv);

	if (set_up(&vm)) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	if (!odd_is_well(&vm))
		return 1;
	errno = 0;
	if (!memory_is_right()) {
		fail("a slot has not what was put there");
		return 1;
	}
	pass();
	return 0;
}
