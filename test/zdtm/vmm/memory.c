/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory of three kinds, as VMMs use them: anonymous shared, memfd and
 * private. The private one sits at a fixed address, because the guest's
 * counters are in it and the runner reads them from outside.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm.h"

extern const char guest_image[], guest_image_end[];

static int add_slot(struct vmm *vmm, unsigned int slot, uint64_t gpa, uint64_t size, void *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	return ioctl(vmm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static void *map(void *where, size_t size, int flags, int fd)
{
	void *p = mmap(where, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* As most VMMs have it: KVM writes tables into it when it is told to. */
static int create_lpi_memory(struct vmm *vmm)
{
	char *p = map(NULL, VM_LPI_SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	if (!p)
		return -1;
	vmm->lpi = (void *)p;
	vmm->lpi_area = (void *)(p + VM_LPI_AREA - VM_LPI_BASE);
	return add_slot(vmm, 7, VM_LPI_BASE, VM_LPI_SIZE, p);
}

int memory_create(struct vmm *vmm)
{
	void *guest = (void *)VMM_GUEST_STATS_ADDR;

	vmm->memfd = memfd_create("guest-mail", MFD_CLOEXEC);
	if (vmm->memfd < 0 || ftruncate(vmm->memfd, VM_MAIL_SIZE))
		return -1;
	vmm->code = map(NULL, VM_CODE_SIZE, MAP_SHARED | MAP_ANONYMOUS, -1);
	vmm->mail = map(NULL, VM_MAIL_SIZE, MAP_SHARED, vmm->memfd);
	vmm->guest = map(guest, VM_STATS_SIZE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1);
	if (!vmm->code || !vmm->mail || !vmm->guest)
		return -1;
	memcpy(vmm->code, guest_image, guest_image_end - guest_image);
	vmm->params = (void *)vmm->mail;
	if (vmm->config.nr_itses && create_lpi_memory(vmm))
		return -1;
	/* Slots out of order, with a hole in the numbers. */
	return add_slot(vmm, 4, VM_STATS_BASE, VM_STATS_SIZE, guest) ||
			       add_slot(vmm, 0, VM_CODE_BASE, VM_CODE_SIZE, vmm->code) ||
			       add_slot(vmm, 2, VM_MAIL_BASE, VM_MAIL_SIZE, vmm->mail)
		       ? -1
		       : 0;
}

void memory_fill_params(struct vmm *vmm)
{
	const struct guest_header *header = (const void *)vmm->code;
	volatile struct guest_params *p = vmm->params;
	unsigned int n = vmm->config.nr_vcpus, i;

	p->nr_vcpus = n;
	for (i = 0; i < n; i++)
		p->mpidr[i] = vmm->stats->vcpu[i].mpidr;
	p->gicr_base[0] = VM_GICR_BASE;
	p->gicr_count[0] = vmm->config.redist_regions ? (n + 1) / 2 : n;
	p->gicr_base[1] = VM_GICR_BASE2;
	p->gicr_count[1] = n - p->gicr_count[0];
	for (i = 0; i < VM_NR_SOURCES; i++) {
		p->source_intid[i] = vmm->source[i].intid;
		p->source_level[i] = vmm->source[i].level;
	}
	p->limit = vmm->config.limit_s * vmm->stats->cntfrq;
	p->inject = vmm->config.inject;
	p->nr_itses = vmm->config.nr_itses;
	vmm->stats->wfi_pc = header->wfi_pc;
}
