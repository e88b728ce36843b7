// SPDX-License-Identifier: GPL-2.0-only
/* The VM itself, and the file descriptors kept aside. */
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
	memslots_free(vm->slots, vm->nr_slots);
	free(vm->backings);
	free(vm->files);
	free(vm->irqfds);
	free(vm->ioeventfds);
	free(vm->routing.routes);
	free(vm->zones);
	free(vm->pmu_filter.allowed);
	free(vm->smccc_filter.ranges);
	thread_free(vm->threads, vm->nr_threads);
	vgic_v2_free(vm->vgic_v2);
	vgic_v3_free(vm->vgic);
	vgic_v5_free(vm->vgic_v5);
	its_free(vm->itses, vm->nr_itses);
	lpi_free(vm->lpi);
	free(vm);
}

uint32_t vm_gic_type(const struct vm_state *vm)
{
	if (vm->vgic_v2)
		return KVM_DEV_TYPE_ARM_VGIC_V2;
	return vm->vgic ? KVM_DEV_TYPE_ARM_VGIC_V3 : KVM_DEV_TYPE_ARM_VGIC_V5;
}

const char *vm_gic_name(const struct vm_state *vm)
{
	return vm->vgic_v2 ? "GICv2" : vm->vgic ? "GICv3" : "GICv5";
}

static int32_t *gic_fd(const struct vm_state *vm)
{
	return vm->vgic_v2 ? &vm->vgic_v2->fd : vm->vgic ? &vm->vgic->fd : &vm->vgic_v5->fd;
}

int vm_gic_fd(const struct vm_state *vm)
{
	return *gic_fd(vm);
}

void vm_set_gic_fd(struct vm_state *vm, int fd)
{
	*gic_fd(vm) = fd;
}

const struct memslot *vm_slot_at(const struct vm_state *vm, uint64_t ipa)
{
	for (size_t i = 0; i < vm->nr_slots; i++)
		if (ipa >= vm->slots[i].gpa && ipa - vm->slots[i].gpa < vm->slots[i].size)
			return &vm->slots[i];
	return NULL;
}

const struct memslot *vm_memory_at(const struct vm_state *vm, uint64_t ipa, bool is_write)
{
	const struct memslot *slot = vm_slot_at(vm, ipa);

	return slot && slot->flags & KVM_MEM_READONLY && is_write ? NULL : slot;
}

size_t vm_room(const struct vm_state *vm)
{
	return kvm_run_room(vm) + vgic_v5_room(vm) + memslots_room(vm);
}

/* A batch of a GICv3's registers with all its SPIs; of a vCPU's registers, without SVE's. */
#define SCRATCH_GIC (192u << 10)
#define SCRATCH_VCPU (32u << 10)
#define SCRATCH_VCPUS 32u /* of more, batches are cut: the VMM pays for the memory */
#define PAGE_MAX ((size_t)64 << 10) /* the largest that arm64 has: the room behind it begins with a page */

static size_t whole_pages(size_t size)
{
	return (size + PAGE_MAX - 1) & ~(PAGE_MAX - 1);
}

/* What is to be whole should criu be killed, kvm_run taken away and the vCPUs let go, is much less of each vCPU. */
size_t vm_scratch(const struct vm_state *vm)
{
	return whole_pages(SCRATCH_GIC + SCRATCH_VCPU * (vm->nr_vcpus < SCRATCH_VCPUS ? vm->nr_vcpus : SCRATCH_VCPUS));
}

size_t vm_undo_scratch(const struct vm_state *vm)
{
	return whole_pages(kvm_run_scratch(vm));
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
	vm_set_gic_fd(vm, vm_parked_fd(vm, KVM_FILE_VGIC, 0));
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		vm->vcpus[i].fd = vm_parked_fd(vm, KVM_FILE_VCPU, i);
	for (size_t i = 0; i < vm->nr_itses; i++)
		vm->itses[i].fd = vm_parked_fd(vm, KVM_FILE_ITS, i);
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
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}
