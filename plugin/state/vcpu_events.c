// SPDX-License-Identifier: GPL-2.0-only
/* Pending SErrors (Documentation/virt/kvm/api.rst 4.31 and 4.32). */
#include <errno.h>

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
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

#define PSTATE_A 0x100 /* in AArch32 too */
/* SCTLR2_EL1: an SError is taken whatever PSTATE.A says (NMEA), or as a synchronous exception (EASE). */
#define SCTLR2_NMEA 0x4ull
#define SCTLR2_EASE 0x20ull

/*
 * Only where one is pending: a GET also says has_esr where nothing is, and a SET that pends nothing has nothing
 * to restore. ext_dabt_pending is always read as 0, and would inject at once. With SErrors masked, or Linux 7.2
 * delivers it now (kvm_inject_serror_esr(), serror_is_masked()): a pending exit would not be completed, and
 * made again.
 */
static int apply_serror(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu)
{
	const uint64_t *pstate = vcpu_reg_u64(vcpu, ARM64_CORE_PSTATE);
	const uint64_t *sctlr2 = vcpu_reg_u64(vcpu, ARM64_SCTLR2_EL1);
	struct batch b = BATCH(remote, vm->id, "vCPU events");
	uint64_t masked, maskable;
	int ret;

	if (!pstate)
		return -EINVAL;
	masked = *pstate | PSTATE_A;
	b.vcpu = vcpu->idx;
	if (sctlr2) {
		maskable = *sctlr2 & ~(SCTLR2_NMEA | SCTLR2_EASE);
		batch_set_reg(&b, vcpu->fd, ARM64_SCTLR2_EL1, &maskable);
	}
	batch_set_reg(&b, vcpu->fd, ARM64_CORE_PSTATE, &masked);
	batch_ioctl(&b, vcpu->fd, ARM64_SET_VCPU_EVENTS, &vcpu->events, sizeof(vcpu->events),
		    "KVM_SET_VCPU_EVENTS");
	batch_set_reg(&b, vcpu->fd, ARM64_CORE_PSTATE, pstate);
	if (sctlr2)
		batch_set_reg(&b, vcpu->fd, ARM64_SCTLR2_EL1, sctlr2);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

int vcpu_apply_events(struct vm_state *vm, struct remote *remote)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < vm->nr_vcpus; i++)
		if (vm->vcpus[i].events.exception.serror_pending)
			ret = apply_serror(vm, remote, &vm->vcpus[i]);
	return ret;
}
