// SPDX-License-Identifier: GPL-2.0-only
/* Vector lengths of a vCPU with SVE (Documentation/virt/kvm/api.rst 4.68 KVM_REG_ARM64_SVE_VLS, 4.119). */
#include "remote/remote.h"
#include "state/vm.h"

static void set_lengths(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	static int feature = KVM_ARM_VCPU_SVE;

	for (size_t i = 0; i < vcpu->nr_regs; i++)
		if (vcpu->regs[i].id == ARM64_SVE_VLS)
			batch_set_reg(b, vcpu->fd, ARM64_SVE_VLS, vcpu->regs[i].value);
	batch_ioctl(b, vcpu->fd, KVM_ARM_VCPU_FINALIZE, &feature, sizeof(feature),
		    "KVM_ARM_VCPU_FINALIZE, SVE");
}

int vcpu_apply_vector_lengths(struct vm_state *vm, struct remote *remote)
{
	if (!(vm->features >> KVM_ARM_VCPU_SVE & 1))
		return 0;
	return vcpu_for_each(vm, remote, "vector lengths", set_lengths);
}
