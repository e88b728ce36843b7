// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's counters (Documentation/virt/kvm/api.rst 4.68, KVM_ARM_SET_COUNTER_OFFSET). They belong to the
 * VM: written once, from the largest value that a vCPU read.
 */
#include <inttypes.h>
#include <time.h>

#include "log.h"
#include "remote/remote.h"
#include "setting.h"
#include "state/counter.h"
#include "state/vm.h"

#define NSEC_PER_SEC UINT64_C(1000000000)

uint32_t counter_frequency(void)
{
	uint64_t frequency = 0;

#ifdef __aarch64__
	asm("mrs %0, cntfrq_el0" : "=r"(frequency));
#endif
	return frequency;
}

static uint64_t realtime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

void counter_note_time(struct vm_state *vm)
{
	vm->realtime = realtime();
}

int counter_note(struct vm_state *vm, struct remote *remote)
{
	vm->cntfrq = counter_frequency();
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		const uint64_t *virt = vcpu_reg_u64(&vm->vcpus[i], KVM_REG_ARM_TIMER_CNT);
		const uint64_t *phys = vcpu_reg_u64(&vm->vcpus[i], KVM_REG_ARM_PTIMER_CNT);

		if (virt && *virt > vm->vtimer_cnt)
			vm->vtimer_cnt = *virt;
		if (phys && *phys > vm->ptimer_cnt)
			vm->ptimer_cnt = *phys;
	}
	return 0;
}

/* What the counters are to be beyond what they were: the time the VM was away, where that is asked for. */
static uint64_t advance(const struct vm_state *vm)
{
	uint64_t now = realtime(), passed = now - vm->realtime;

	if (setting_clock() != CLOCK_ADVANCE)
		return 0;
	if (now < vm->realtime) {
		pr_warn("vm %u: this host's clock is behind that of the dump: the guest's counter goes on "
			"from where "
			"it stopped\n",
			vm->id);
		return 0;
	}
	pr_info("vm %u: its counters advance by the %" PRIu64 " ms that have passed\n", vm->id,
		passed / (NSEC_PER_SEC / 1000));
	return (unsigned __int128)passed * vm->cntfrq / NSEC_PER_SEC;
}

/*
 * One offset for both counters, and writes of them are ignored. It is this host's counter less the guest's:
 * read by way of an offset of 0.
 */
static int apply_offset(struct vm_state *vm, struct remote *remote, uint64_t count)
{
	struct arm64_counter_offset offset = { 0 };
	struct batch b = BATCH(remote, vm->id, "guest counters");
	uint64_t host = 0;
	int ret;

	batch_ioctl(&b, vm->fd, ARM64_SET_COUNTER_OFFSET, &offset, sizeof(offset),
		    "KVM_ARM_SET_COUNTER_OFFSET");
	b.vcpu = 0;
	batch_get_reg(&b, vm->vcpus[0].fd, KVM_REG_ARM_TIMER_CNT, &host);
	ret = batch_run(&b);
	batch_reset(&b);
	offset.counter_offset = host - count;
	b.vcpu = -1;
	if (!ret) {
		batch_ioctl(&b, vm->fd, ARM64_SET_COUNTER_OFFSET, &offset, sizeof(offset),
			    "KVM_ARM_SET_COUNTER_OFFSET");
		ret = batch_run(&b);
	}
	batch_fini(&b);
	return ret;
}

/*
 * The physical counter is the host's unless the VM had an offset of its own or the host was booted anew: an
 * offset makes every access to the physical timer trap where the CPU lacks FEAT_ECV.
 */
int counter_apply(struct vm_state *vm, struct remote *remote)
{
	uint64_t passed = advance(vm), virt = vm->vtimer_cnt + passed, phys = vm->ptimer_cnt + passed;
	struct batch b = BATCH(remote, vm->id, "guest counters");
	int ret;

	if (vm->counter_offset)
		return apply_offset(vm, remote, virt);
	b.vcpu = 0;
	if (vm->ptimer_offset)
		batch_set_reg(&b, vm->vcpus[0].fd, KVM_REG_ARM_PTIMER_CNT, &phys);
	batch_set_reg(&b, vm->vcpus[0].fd, KVM_REG_ARM_TIMER_CNT, &virt);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}
