// SPDX-License-Identifier: GPL-2.0-only
/*
 * PMUv3 beside its registers: the event filter, the overflow interrupt, and that
 * the PMU was initialised (Documentation/virt/kvm/devices/vcpu.rst, 1).
 */
#include <stdlib.h>

#include "log.h"
#include "remote/remote.h"
#include "state/vm.h"

#define PMUVER(dfr0) ((dfr0) >> 8 & 0xf)
#define PMUVER_V3P1 4
#define PMUVER_IMP_DEF 0xf

static bool has_pmu(const struct vm_state *vm)
{
	return vm->features >> KVM_ARM_VCPU_PMU_V3 & 1;
}

static bool bit_of(const uint64_t *bits, uint32_t event)
{
	return event < PMU_MAX_EVENTS && bits[event / 64] >> event % 64 & 1;
}

int pmu_filter_from_bits(struct pmu_filter *filter, const uint64_t *bits)
{
	size_t nr = 0;

	for (uint32_t event = 0; event < PMU_MAX_EVENTS; event++)
		nr += bit_of(bits, event) && !bit_of(bits, event + 1);
	filter->allowed = calloc(nr + 1, sizeof(*filter->allowed));
	if (!filter->allowed)
		return -ENOMEM;
	filter->active = true;
	filter->nr = 0;
	for (uint32_t event = 0, first = 0; event < PMU_MAX_EVENTS; event++) {
		if (bit_of(bits, event) && (!event || !bit_of(bits, event - 1)))
			first = event;
		if (bit_of(bits, event) && !bit_of(bits, event + 1))
			filter->allowed[filter->nr++] = (struct pmu_range){ first, event };
	}
	return 0;
}

/* What its guest can name: of the bits behind that the probe could not tell whether the kernel has them. */
static uint32_t nr_events(const struct vm_state *vm)
{
	const uint64_t *dfr0 = vcpu_reg_u64(&vm->vcpus[0], ARM64_ID_AA64DFR0_EL1);

	return dfr0 && PMUVER(*dfr0) >= PMUVER_V3P1 && PMUVER(*dfr0) != PMUVER_IMP_DEF ? PMU_MAX_EVENTS
										       : 1024;
}

static void cut_filter(struct pmu_filter *filter, uint32_t events)
{
	while (filter->nr && filter->allowed[filter->nr - 1].first >= events)
		filter->nr--;
	if (filter->nr && filter->allowed[filter->nr - 1].last >= events)
		filter->allowed[filter->nr - 1].last = events - 1;
}

static void get_irq(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	batch_get_attr(b, vcpu->fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, &vcpu->pmu_irq,
		       sizeof(vcpu->pmu_irq), "KVM_ARM_VCPU_PMU_V3_IRQ")
		->may_fail = ENXIO; /* nobody has set it */
}

int pmu_capture(struct vm_state *vm, struct remote *remote)
{
	if (!has_pmu(vm))
		return 0;
	cut_filter(&vm->pmu_filter, nr_events(vm));
	return vcpu_for_each(vm, remote, "PMU", get_irq);
}

/* The filter's count of events has 16 bits: all 65536 are two of them. */
#define FILTER_MAX 32768u

static size_t nr_filters(const struct pmu_filter *filter)
{
	size_t nr = 2;

	for (size_t i = 0; i < filter->nr; i++)
		nr += (filter->allowed[i].last - filter->allowed[i].first) / FILTER_MAX + 1;
	return nr;
}

static void add_filter(struct batch *b, int fd, struct arm64_pmu_event_filter *f, uint32_t first, uint32_t n,
		       uint8_t action)
{
	*f = (struct arm64_pmu_event_filter){ .base_event = first, .nevents = n, .action = action };
	batch_set_attr(b, fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_FILTER, f, sizeof(*f),
		       "KVM_ARM_VCPU_PMU_V3_FILTER")
		->detail = first;
}

static void add_filters(struct batch *b, int fd, const struct pmu_filter *filter,
			struct arm64_pmu_event_filter *f)
{
	/* The first one decides what becomes of all other events. */
	if (!filter->nr) {
		add_filter(b, fd, f++, 0, 1, KVM_PMU_EVENT_ALLOW);
		add_filter(b, fd, f++, 0, 1, KVM_PMU_EVENT_DENY);
	}
	for (size_t i = 0; i < filter->nr; i++) {
		uint32_t first = filter->allowed[i].first, left = filter->allowed[i].last - first + 1;

		for (uint32_t n; left; first += n, left -= n) {
			n = left < FILTER_MAX ? left : FILTER_MAX;
			add_filter(b, fd, f++, first, n, KVM_PMU_EVENT_ALLOW);
		}
	}
}

/* One for the VM, whichever vCPU it is given by. */
int pmu_apply_filter(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "PMU event filter");
	struct arm64_pmu_event_filter *filters;
	int ret;

	if (!has_pmu(vm) || !vm->pmu_filter.active)
		return 0;
	filters = calloc(nr_filters(&vm->pmu_filter), sizeof(*filters));
	if (!filters)
		return -ENOMEM;
	b.vcpu = 0;
	add_filters(&b, vm->vcpus[0].fd, &vm->pmu_filter, filters);
	ret = batch_run(&b);
	batch_fini(&b);
	free(filters);
	return ret;
}

static void set_pmu(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	if (vcpu->pmu_irq)
		batch_set_attr(b, vcpu->fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, &vcpu->pmu_irq,
			       sizeof(vcpu->pmu_irq), "KVM_ARM_VCPU_PMU_V3_IRQ");
	if (vcpu->pmu_created)
		batch_set_attr(b, vcpu->fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, NULL, 0,
			       "KVM_ARM_VCPU_PMU_V3_INIT");
}

int pmu_apply(struct vm_state *vm, struct remote *remote)
{
	return has_pmu(vm) ? vcpu_for_each(vm, remote, "PMU", set_pmu) : 0;
}
