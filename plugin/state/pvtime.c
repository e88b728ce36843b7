// SPDX-License-Identifier: GPL-2.0-only
/* Steal time (Documentation/virt/kvm/devices/vcpu.rst, 3): where KVM tells a guest of it. */
#include "remote/remote.h"
#include "state/vm.h"

bool pvtime_has_memory(const struct vm_state *vm, uint64_t ipa)
{
	for (size_t i = 0; i < vm->nr_slots; i++) {
		const struct memslot *slot = &vm->slots[i];

		if (!(slot->flags & KVM_MEM_READONLY) && slot->size >= PVTIME_SIZE && ipa >= slot->gpa &&
		    ipa - slot->gpa <= slot->size - PVTIME_SIZE)
			return true;
	}
	return false;
}

/* KVM counts on from what is in guest memory, by what the vCPU's thread waits from now on. */
static void set_pvtime(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	if (vcpu->pvtime != VCPU_NO_PVTIME)
		batch_set_attr(b, vcpu->fd, KVM_ARM_VCPU_PVTIME_CTRL, KVM_ARM_VCPU_PVTIME_IPA, &vcpu->pvtime,
			       sizeof(vcpu->pvtime), "KVM_ARM_VCPU_PVTIME_IPA")
			->detail = vcpu->pvtime;
}

int vcpu_apply_pvtime(struct vm_state *vm, struct remote *remote)
{
	return vcpu_for_each(vm, remote, "steal time", set_pvtime);
}
