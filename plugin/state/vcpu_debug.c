// SPDX-License-Identifier: GPL-2.0-only
/* What a debugger has asked of KVM (Documentation/virt/kvm/api.rst, KVM_SET_GUEST_DEBUG). */
#include "remote/remote.h"
#include "state/vm.h"

static void set_debug(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	if (vcpu->debug.control)
		batch_ioctl(b, vcpu->fd, ARM64_SET_GUEST_DEBUG, &vcpu->debug, sizeof(vcpu->debug),
			    "KVM_SET_GUEST_DEBUG");
}

int vcpu_apply_debug(struct vm_state *vm, struct remote *remote)
{
	return vcpu_for_each(vm, remote, "guest debugging", set_debug);
}
