// SPDX-License-Identifier: GPL-2.0-only
/* The VM itself: memslots, and the file descriptors kept aside. */
#include <stdlib.h>
#include <sys/syscall.h>

#include "log.h"
#include "remote/remote.h"
#include "state/kvm_run.h"
#include "state/vm.h"

void vm_state_free(struct vm_state *vm)
{
	if (!vm)
		return;
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		free(vm->vcpus[i].regs);
		free(vm->vcpus[i].run);
	}
	for (size_t i = 0; i < vm->nr_backings; i++)
		free(vm->backings[i].path);
	free(vm->vcpus);
	free(vm->slots);
	free(vm->backings);
	free(vm->files);
	free(vm->pmu_filter.allowed);
	thread_free(vm->threads, vm->nr_threads);
	vgic_v3_free(vm->vgic);
	vgic_v5_free(vm->vgic_v5);
	its_free(vm->itses, vm->nr_itses);
	lpi_free(vm->lpi);
	free(vm);
}

int vm_gic_fd(const struct vm_state *vm)
{
	return vm->vgic ? vm->vgic->fd : vm->vgic_v5->fd;
}

size_t vm_room(const struct vm_state *vm)
{
	return kvm_run_room(vm) + vgic_v5_room(vm);
}

uint32_t vm_nr_parked(const struct vm_state *vm)
{
	return 2 + vm->nr_vcpus + vm->nr_itses;
}

int vm_parked_fd(const struct vm_state *vm, enum kvm_file_kind kind, uint32_t index)
{
	switch (kind) {
	case KVM_FILE_VM:
		return vm->park_base;
	case KVM_FILE_VGIC:
		return vm->park_base + 1;
	case KVM_FILE_VCPU:
		return vm->park_base + 2 + index;
	case KVM_FILE_ITS:
		return vm->park_base + 2 + vm->nr_vcpus + index;
	case KVM_FILE_SYSTEM:
	case KVM_FILE_VM_STATS:
	case KVM_FILE_VCPU_STATS:
		break;
	}
	return -1;
}

int vm_object_fd(const struct vm_state *vm, enum kvm_file_kind kind, uint32_t index)
{
	switch (kind) {
	case KVM_FILE_VM:
	case KVM_FILE_VM_STATS:
		return vm->fd;
	case KVM_FILE_VGIC:
		return vm_gic_fd(vm);
	case KVM_FILE_VCPU:
	case KVM_FILE_VCPU_STATS:
		return vm->vcpus[index].fd;
	case KVM_FILE_ITS:
		return vm->itses[index].fd;
	case KVM_FILE_SYSTEM:
		break;
	}
	return -1;
}

void vm_use_parked(struct vm_state *vm)
{
	vm->fd = vm_parked_fd(vm, KVM_FILE_VM, 0);
	if (vm->vgic)
		vm->vgic->fd = vm_parked_fd(vm, KVM_FILE_VGIC, 0);
	else
		vm->vgic_v5->fd = vm_parked_fd(vm, KVM_FILE_VGIC, 0);
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		vm->vcpus[i].fd = vm_parked_fd(vm, KVM_FILE_VCPU, i);
	for (size_t i = 0; i < vm->nr_itses; i++)
		vm->itses[i].fd = vm_parked_fd(vm, KVM_FILE_ITS, i);
}

static const struct {
	uint32_t flag; /* VM_CAP_* */
	uint32_t cap;
	const char *name;
} caps[] = {
	{ VM_CAP_NISV_TO_USER, KVM_CAP_ARM_NISV_TO_USER, "KVM_ENABLE_CAP, KVM_CAP_ARM_NISV_TO_USER" },
	{ VM_CAP_SYSTEM_SUSPEND, KVM_CAP_ARM_SYSTEM_SUSPEND, "KVM_ENABLE_CAP, KVM_CAP_ARM_SYSTEM_SUSPEND" },
};
#define NR_CAPS (sizeof(caps) / sizeof(caps[0]))

int vm_apply_caps(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "capabilities");
	struct kvm_enable_cap enable[NR_CAPS];
	int ret;

	for (size_t i = 0; i < NR_CAPS; i++) {
		enable[i] = (struct kvm_enable_cap){ .cap = caps[i].cap };
		if (vm->caps & caps[i].flag)
			batch_ioctl(&b, vm->fd, KVM_ENABLE_CAP, &enable[i], sizeof(enable[i]), caps[i].name);
	}
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

int vm_apply_memslots(struct vm_state *vm, struct remote *remote)
{
	struct kvm_userspace_memory_region *regions = calloc(vm->nr_slots + 1, sizeof(*regions));
	struct batch b = BATCH(remote, vm->id, "memslots");
	int ret;

	if (!regions)
		return -ENOMEM;
	for (size_t i = 0; i < vm->nr_slots; i++) {
		const struct memslot *slot = &vm->slots[i];

		regions[i] = (struct kvm_userspace_memory_region){
			.slot = slot->slot,
			.flags = slot->flags,
			.guest_phys_addr = slot->gpa,
			.memory_size = slot->size,
			.userspace_addr = slot->hva,
		};
		batch_ioctl(&b, vm->fd, KVM_SET_USER_MEMORY_REGION, &regions[i], sizeof(regions[i]),
			    "KVM_SET_USER_MEMORY_REGION")
			->detail = slot->gpa;
	}
	ret = batch_run(&b);
	batch_fini(&b);
	free(regions);
	return ret;
}

static void add_close(struct batch *b, int fd)
{
	batch_syscall(b, "close", SYS_close, fd, 0, 0, 0, 0, 0)->detail = fd;
}

int vm_close_parked(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "closing fds kept aside");
	int ret;

	add_close(&b, vm->fd);
	add_close(&b, vm_gic_fd(vm));
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		add_close(&b, vm->vcpus[i].fd);
	for (size_t i = 0; i < vm->nr_itses; i++)
		add_close(&b, vm->itses[i].fd);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}
