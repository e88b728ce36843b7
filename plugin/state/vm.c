// SPDX-License-Identifier: GPL-2.0-only
/* The VM itself: creation, memslots, and the end of the file descriptors kept aside. */
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

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
		break;
	}
	return -1;
}

/* Moves @fd to the number that the late sequence will know it by. */
static int park(const struct vm_state *vm, int fd, enum kvm_file_kind kind, uint32_t index)
{
	int to = vm_parked_fd(vm, kind, index), got = fcntl(fd, F_DUPFD_CLOEXEC, to);

	close(fd);
	if (got == to)
		return 0;
	if (got >= 0)
		close(got);
	pr_err("vm %u: fd %d is not free for the time of the restore%s\n", vm->id, to,
	       got < 0 ? "; raise the limit of open files (RLIMIT_NOFILE)" : "");
	return -EBUSY;
}

static int create_failed(const struct vm_state *vm, const char *what)
{
	int err = errno;

	pr_err("vm %u: creation: %s: %s (errno %d)\n", vm->id, what, strerror(err), err);
	return -err;
}

static int create_vm(const struct vm_state *vm)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), fd, ret;

	if (kvm < 0) {
		ret = create_failed(vm, "/dev/kvm");
		pr_err("vm %u: give the restored process access to /dev/kvm, in its own mount namespace\n",
		       vm->id);
		return ret;
	}
	fd = ioctl(kvm, KVM_CREATE_VM, vm->ipa_bits & KVM_VM_TYPE_ARM_IPA_SIZE_MASK);
	ret = fd < 0 ? create_failed(vm, "KVM_CREATE_VM") : park(vm, fd, KVM_FILE_VM, 0);
	close(kvm);
	return ret;
}

static int create_vgic(const struct vm_state *vm, int vm_fd)
{
	struct kvm_create_device dev = { .type = vm->vgic ? KVM_DEV_TYPE_ARM_VGIC_V3 : KVM_DEV_TYPE_ARM_VGIC_V5 };
	const char *gic = vm->vgic ? "GICv3" : "GICv5";
	char what[40];
	int ret;

	if (ioctl(vm_fd, KVM_CREATE_DEVICE, &dev)) {
		snprintf(what, sizeof(what), "KVM_CREATE_DEVICE, %s", gic);
		ret = create_failed(vm, what);
		if (ret == -ENODEV)
			pr_err("vm %u: this host's KVM has no %s for guests: restore on one that has\n", vm->id, gic);
		return ret;
	}
	return park(vm, dev.fd, KVM_FILE_VGIC, 0);
}

/* In creation order: vcpu_idx is what redistributors, and the kernel's own arrays, go by. */
static int create_vcpus(const struct vm_state *vm, int vm_fd)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		int fd = ioctl(vm_fd, KVM_CREATE_VCPU, vm->vcpus[i].id), ret;

		if (fd < 0)
			return create_failed(vm, "KVM_CREATE_VCPU");
		ret = park(vm, fd, KVM_FILE_VCPU, i);
		if (ret)
			return ret;
	}
	return 0;
}

/* Before any state: creating an ITS gives GICR_PROPBASER its reset value. */
static int create_itses(const struct vm_state *vm, int vm_fd)
{
	for (size_t i = 0; i < vm->nr_itses; i++) {
		struct kvm_create_device dev = { .type = KVM_DEV_TYPE_ARM_VGIC_ITS };
		int ret = ioctl(vm_fd, KVM_CREATE_DEVICE, &dev) ? create_failed(vm, "KVM_CREATE_DEVICE, ITS") :
								  park(vm, dev.fd, KVM_FILE_ITS, i);

		if (ret)
			return ret;
	}
	return 0;
}

int vm_create(const struct vm_state *vm)
{
	int vm_fd = vm_parked_fd(vm, KVM_FILE_VM, 0), ret;

	ret = create_vm(vm);
	if (!ret)
		ret = create_vgic(vm, vm_fd);
	if (!ret)
		ret = create_vcpus(vm, vm_fd);
	if (!ret)
		ret = create_itses(vm, vm_fd);
	return ret;
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

int vm_close_parked(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "closing fds kept aside");
	int ret;

	for (uint32_t i = 0; i < vm_nr_parked(vm); i++)
		batch_syscall(&b, "close", SYS_close, vm->park_base + i, 0, 0, 0, 0, 0)->detail =
			vm->park_base + i;
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}
