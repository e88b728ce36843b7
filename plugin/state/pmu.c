// SPDX-License-Identifier: GPL-2.0-only
/*
 * PMUv3 beside its registers: the event filter, the overflow interrupt, and that
 * the PMU was initialised (Documentation/virt/kvm/devices/vcpu.rst, 1).
 */
#include <glob.h>
#include <stdlib.h>

#include "log.h"
#include "remote/remote.h"
#include "state/vm.h"

static bool has_pmu(const struct vm_state *vm)
{
	return vm->features >> KVM_ARM_VCPU_PMU_V3 & 1;
}

/* Each kind's PMU has a list of its CPUs; other PMUs have a mask. */
size_t pmu_nr_cpu_kinds(void)
{
	glob_t found = { 0 };
	size_t nr = 0;

	if (!glob("/sys/bus/event_source/devices/*/cpus", 0, NULL, &found))
		nr = found.gl_pathc;
	globfree(&found);
	return nr;
}

/* Whether it is the image's; what is wrong has been named. */
static bool compare_nr_counters(const struct vm_state *vm, const struct vcpu_state *vcpu, uint64_t here)
{
	const uint64_t *pmcr = vcpu_reg_u64(vcpu, ARM64_PMCR_EL0);

	if (!pmcr || PMCR_N(*pmcr) == PMCR_N(here))
		return true;
	pr_err("vm %u: vcpu %u: PMCR_EL0.N is %u in the image, %u on this host: restore on a host whose PMU has "
	       "as many counters\n",
	       vm->id, vcpu->idx, PMCR_N(*pmcr), PMCR_N(here));
	return false;
}

int pmu_check_nr_counters(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "number of PMU counters");
	uint64_t *here = calloc(vm->nr_vcpus, sizeof(*here));
	bool same = true;
	int ret;

	if (!here)
		return -ENOMEM;
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		b.vcpu = i;
		if (vcpu_reg_u64(&vm->vcpus[i], ARM64_PMCR_EL0))
			batch_get_reg(&b, vm->vcpus[i].fd, ARM64_PMCR_EL0, &here[i]);
	}
	ret = batch_run(&b);
	batch_fini(&b);
	for (size_t i = 0; !ret && i < vm->nr_vcpus; i++)
		same &= compare_nr_counters(vm, &vm->vcpus[i], here[i]);
	free(here);
	return ret ?: same ? 0 : -EINVAL;
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

/* What its guest can name, and the probe has read: the bits behind are as the last one of these. */
static uint32_t nr_events(const struct vm_state *vm)
{
	const uint64_t *dfr0 = vcpu_reg_u64(&vm->vcpus[0], ARM64_ID_AA64DFR0_EL1);

	return pmu_nr_events(dfr0 ? *dfr0 : 0);
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
	return has_pmu(vm) ? vcpu_for_each(vm, remote, "PMU", get_irq) : 0;
}

int pmu_cut_filter(struct vm_state *vm, struct remote *remote)
{
	if (has_pmu(vm))
		cut_filter(&vm->pmu_filter, nr_events(vm));
	return 0;
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

/* Of a GICv3. With a GICv5 there is but one interrupt that it can be. */
static bool has_ppi(const struct vcpu_state *vcpu)
{
	return vcpu->pmu_irq && vcpu->pmu_irq < VGIC_NR_PRIVATE;
}

static void set_pmu_with_ppi(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	if (has_ppi(vcpu))
		set_pmu(b, vm, vcpu);
}

static void set_pmu_without_ppi(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	if (!has_ppi(vcpu))
		set_pmu(b, vm, vcpu);
}

/* KVM takes no PPI when a vCPU has an SPI, but an SPI when others have a PPI (pmu_irq_is_valid()). */
int pmu_apply(struct vm_state *vm, struct remote *remote)
{
	if (!has_pmu(vm))
		return 0;
	return vcpu_for_each(vm, remote, "PMU", set_pmu_with_ppi) ?:
	       vcpu_for_each(vm, remote, "PMU", set_pmu_without_ppi);
}
