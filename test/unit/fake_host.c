// SPDX-License-Identifier: GPL-2.0-only
/* A host on which no VM is yet: /dev/kvm, and what is created from it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fake_vm.h"

/* One VM with one vCPU of it is enough: nobody asks for more. */
static int64_t open_fd(struct fake_kvm *kvm, int fd, enum fake_kind kind)
{
	if (kvm->fds[fd].kind != FAKE_CLOSED)
		return -EMFILE;
	kvm->fds[fd] = (struct fake_fd){ .kind = kind };
	return fd;
}

static int64_t check_extension(const struct fake_kvm *kvm, int cap)
{
	for (size_t i = 0; i < FAKE_CAPS; i++)
		if (kvm->extensions[i].cap == cap)
			return kvm->extensions[i].value;
	return 0;
}

static int64_t create_device(struct fake_kvm *kvm, struct kvm_create_device *dev)
{
	uint32_t type = kvm->v5 ? KVM_DEV_TYPE_ARM_VGIC_V5 :
			kvm->v2 ? KVM_DEV_TYPE_ARM_VGIC_V2 :
				  KVM_DEV_TYPE_ARM_VGIC_V3;
	int64_t fd;

	if (kvm->no_vgic || dev->type != type)
		return -ENODEV;
	fd = open_fd(kvm, FAKE_VGIC_FD, FAKE_VGIC);
	if (fd >= 0)
		dev->fd = fd;
	return fd < 0 ? fd : 0;
}

int64_t fake_host_ioctl(struct fake_kvm *kvm, unsigned long req, uint64_t arg)
{
	switch (req) {
	case KVM_CHECK_EXTENSION:
		return check_extension(kvm, arg);
	case KVM_CREATE_VM: /* the type is the IPA size */
		return arg > (uint64_t)check_extension(kvm, KVM_CAP_ARM_VM_IPA_SIZE)
			       ? -EINVAL
			       : open_fd(kvm, FAKE_VM_FD, FAKE_VM);
	case KVM_CREATE_VCPU:
		kvm->vcpus[0].id = arg;
		return open_fd(kvm, FAKE_VCPU_FD, FAKE_VCPU);
	case KVM_CREATE_DEVICE:
		return create_device(kvm, (void *)(uintptr_t)arg);
	}
	return -ENOTTY;
}

void fake_host_describe(unsigned long req, uint64_t arg, char *line)
{
	if (req == KVM_CHECK_EXTENSION)
		snprintf(line, FAKE_LINE, "host: KVM_CHECK_EXTENSION %" PRIu64, arg);
	else if (req == KVM_CREATE_VM)
		snprintf(line, FAKE_LINE, "host: KVM_CREATE_VM %" PRIu64, arg);
	else if (req == KVM_CREATE_VCPU)
		snprintf(line, FAKE_LINE, "host: KVM_CREATE_VCPU %" PRIu64, arg);
	else if (req == KVM_CREATE_DEVICE)
		snprintf(line, FAKE_LINE, "host: KVM_CREATE_DEVICE %u",
			 ((const struct kvm_create_device *)(uintptr_t)arg)->type);
	else
		snprintf(line, FAKE_LINE, "host: unknown ioctl %#lx", req);
}

struct fake_kvm *fake_host(const struct fake_kvm *running, struct vm_state *vm)
{
	static const int all[] = { KVM_CAP_ARM_EL1_32BIT, KVM_CAP_ARM_PMU_V3, KVM_CAP_ARM_SVE,
				   KVM_CAP_ARM_PTRAUTH_ADDRESS, KVM_CAP_ARM_PTRAUTH_GENERIC,
				   KVM_CAP_ARM_INJECT_SERROR_ESR, KVM_CAP_STEAL_TIME,
				   KVM_CAP_ARM_NISV_TO_USER, KVM_CAP_ARM_SYSTEM_SUSPEND, KVM_CAP_COUNTER_OFFSET,
				   KVM_CAP_HALT_POLL, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
				   KVM_CAP_ARM_WRITABLE_IMP_ID_REGS, KVM_CAP_ARM_SEA_TO_USER };
	struct fake_kvm *kvm = fake_created(running, vm);

	memset(kvm->fds, 0, sizeof(kvm->fds));
	kvm->fds[FAKE_SYSTEM_FD].kind = FAKE_SYSTEM;
	kvm->caps = 0;
	kvm->extensions[FAKE_CAPS - 1] = (struct fake_cap){ KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES, 0x40201000 };
	kvm->extensions[0] = (struct fake_cap){ KVM_CAP_ARM_VM_IPA_SIZE, 48 };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		kvm->extensions[i + 1] = (struct fake_cap){ all[i], 1 };
	return kvm;
}
