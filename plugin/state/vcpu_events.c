// SPDX-License-Identifier: GPL-2.0-only
/* Pending SErrors (Documentation/virt/kvm/api.rst 4.31 and 4.32). */
#include "remote/remote.h"
#include "state/vm.h"

int vcpu_capture_events(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "vCPU events");
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		b.vcpu = i;
		batch_ioctl(&b, vm->vcpus[i].fd, ARM64_GET_VCPU_EVENTS, &vm->vcpus[i].events,
			    sizeof(vm->vcpus[i].events), "KVM_GET_VCPU_EVENTS");
	}
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

/*
 * Only where one is pending: a GET also says has_esr where nothing is, and a SET
 * that pends nothing has nothing to restore. ext_dabt_pending is always read as
 * 0, and would inject at once.
 */
int vcpu_apply_events(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "vCPU events");
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		b.vcpu = i;
		if (vm->vcpus[i].events.exception.serror_pending)
			batch_ioctl(&b, vm->vcpus[i].fd, ARM64_SET_VCPU_EVENTS, &vm->vcpus[i].events,
				    sizeof(vm->vcpus[i].events), "KVM_SET_VCPU_EVENTS");
	}
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}
