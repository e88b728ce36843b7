// SPDX-License-Identifier: GPL-2.0-only
/* The rules for vCPUs and their events. */
#include <inttypes.h>
#include <sys/mman.h>

#include "image/check.h"

#define MPIDR_AFFINITY 0xff00ffffffULL

static int check_reg_names(const struct vm_state *vm, size_t i)
{
	const struct vcpu_state *vcpu = &vm->vcpus[i];

	for (size_t r = 0; r < vcpu->nr_regs; r++) {
		uint64_t id = vcpu->regs[r].id;

		if ((id & KVM_REG_ARCH_MASK) != KVM_REG_ARM64)
			return refuse_vcpu(vm, i, "register 0x%" PRIx64 ": not of arm64", id);
		if (kvm_reg_size(id) > VCPU_REG_MAX)
			return refuse_vcpu(vm, i, "register 0x%" PRIx64 ": larger than %u bytes", id,
					   VCPU_REG_MAX);
	}
	return 0;
}

/* No two have one bit of the map: then no two are the same, as of every list that KVM gives but for those with SVE. They are in no order. */
static bool are_apart(const struct vcpu_state *vcpu)
{
	uint64_t seen[UINT16_MAX / 64 + 1] = { 0 };

	for (size_t r = 0; r < vcpu->nr_regs; r++) {
		uint16_t bit = vcpu->regs[r].id ^ vcpu->regs[r].id >> 8; /* what it is, and of which kind */

		if (seen[bit / 64] >> bit % 64 & 1)
			return false;
		seen[bit / 64] |= 1ull << bit % 64;
	}
	return true;
}

static int check_reg_ids(const struct vm_state *vm, size_t i)
{
	const struct vcpu_state *vcpu = &vm->vcpus[i];
	const struct claim *c;
	struct claims ids;
	int ret;

	if (are_apart(vcpu))
		return 0;
	ret = claims_alloc(&ids, vcpu->nr_regs);
	if (ret)
		return ret;
	for (size_t r = 0; r < vcpu->nr_regs; r++)
		claims_add(&ids, &(struct claim){ .first = vcpu->regs[r].id, .last = vcpu->regs[r].id, .n = r });
	c = claims_clash(&ids);
	if (c)
		ret = refuse_vcpu(vm, i, "register 0x%" PRIx64 ": twice", c->first);
	claims_free(&ids);
	return ret;
}

/* GIC attributes go by mpidr, the guest by its register. */
static int check_mpidr(const struct vm_state *vm, size_t i)
{
	const struct vcpu_state *vcpu = &vm->vcpus[i];

	for (size_t r = 0; r < vcpu->nr_regs; r++) {
		uint64_t value;

		if (vcpu->regs[r].id != ARM64_MPIDR_EL1)
			continue;
		memcpy(&value, vcpu->regs[r].value, sizeof(value));
		if ((value ^ vcpu->mpidr) & MPIDR_AFFINITY)
			return refuse_vcpu(vm, i, "mpidr 0x%" PRIx64 ", its register says 0x%" PRIx64,
					   vcpu->mpidr, value);
	}
	return 0;
}

static int check_regs(const struct vm_state *vm, size_t i)
{
	const struct vcpu_state *vcpu = &vm->vcpus[i];

	if (!vcpu->nr_regs || vcpu->nr_regs > VCPU_MAX_REGS)
		return refuse_vcpu(vm, i, "%zu registers, 1 to %u expected", vcpu->nr_regs, VCPU_MAX_REGS);
	if (i && vcpu_same_regs(vcpu, &vm->vcpus[i - 1]))
		return check_mpidr(vm, i);
	return check_reg_names(vm, i) ?: check_reg_ids(vm, i) ?: check_mpidr(vm, i);
}

static int check_map(const struct vm_state *vm, size_t i, const struct vcpu_map *map)
{
	const size_t run_size = vm->vcpus[i].run_size;

	if (!aligned(map->start | map->size | map->offset, vm->page_size))
		return refuse_vcpu(vm, i, "mapping 0x%" PRIx64 ": not aligned to pages of %u bytes",
				   map->start, vm->page_size);
	if (!is_range(map->start, map->size))
		return refuse_vcpu(vm, i, "mapping 0x%" PRIx64 ", size 0x%" PRIx64 ": empty, or overflow",
				   map->start, map->size);
	if (map->size > run_size || map->offset > run_size - map->size)
		return refuse_vcpu(vm, i,
				   "mapping 0x%" PRIx64 ": offset 0x%" PRIx64 ", size 0x%" PRIx64
				   ": not within the run_size of 0x%zx",
				   map->start, map->offset, map->size, run_size);
	if (map->prot & ~(PROT_READ | PROT_WRITE))
		return refuse_vcpu(vm, i, "mapping 0x%" PRIx64 ": prot 0x%x is not known", map->start,
				   map->prot);
	if (map->flags & ~VCPU_MAP_KNOWN_FLAGS)
		return refuse_vcpu(vm, i, "mapping 0x%" PRIx64 ": flags 0x%x are not known", map->start,
				   map->flags);
	return 0;
}

static int check_maps(const struct vm_state *vm, size_t i)
{
	const struct vcpu_state *vcpu = &vm->vcpus[i];
	int ret = 0;

	if (vcpu->nr_maps > VCPU_MAX_MAPS)
		return refuse_vcpu(vm, i, "%zu mappings, at most %u expected", vcpu->nr_maps, VCPU_MAX_MAPS);
	for (size_t m = 0; m < vcpu->nr_maps && !ret; m++)
		ret = check_map(vm, i, &vcpu->maps[m]);
	return ret;
}

/* This far struct kvm_run is the same on every architecture. */
static int check_pending(const struct vm_state *vm, size_t i)
{
	const struct vcpu_state *vcpu = &vm->vcpus[i];
	const struct memslot *slot;
	struct kvm_run run;

	if (vcpu->pending == VCPU_PENDING_NONE)
		return 0;
	if (vcpu->pending != VCPU_PENDING_READ && vcpu->pending != VCPU_PENDING_WRITE)
		return refuse_vcpu(vm, i, "pending %d is not known", (int)vcpu->pending);
	memcpy(&run, vcpu->run, offsetof(struct kvm_run, mmio) + sizeof(run.mmio));
	if (run.exit_reason != KVM_EXIT_MMIO)
		return refuse_vcpu(vm, i, "pending %d, but exit_reason is %u", (int)vcpu->pending,
				   run.exit_reason);
	if (run.mmio.len != 1 && run.mmio.len != 2 && run.mmio.len != 4 && run.mmio.len != 8)
		return refuse_vcpu(vm, i, "pending %d, but mmio.len is %u", (int)vcpu->pending, run.mmio.len);
	if (run.mmio.is_write != (vcpu->pending == VCPU_PENDING_WRITE))
		return refuse_vcpu(vm, i, "pending %d, but mmio.is_write is %u", (int)vcpu->pending,
				   run.mmio.is_write);
	slot = vm_memory_at(vm, run.mmio.phys_addr, run.mmio.is_write);
	if (slot)
		return refuse_vcpu(vm, i, "pending %d, but mmio.phys_addr 0x%llx is in memslot %u",
				   (int)vcpu->pending, (unsigned long long)run.mmio.phys_addr, slot->slot);
	/* By which it is replayed. */
	if (!vcpu_reg_u64(vcpu, ARM64_CORE_PSTATE) || !vcpu_reg_u64(vcpu, ARM64_MDSCR_EL1))
		return refuse_vcpu(vm, i, "pending %d, but no PSTATE or no MDSCR_EL1", (int)vcpu->pending);
	return 0;
}

/* What KVM takes: ESR_ELx.ISS. api.rst 4.32 has 24 bits of it, and not ISV (IDS). */
#define SERROR_ISS 0x1ffffffull

static int check_events(const struct vm_state *vm, size_t i)
{
	static const struct arm64_vcpu_events zero;
	const struct arm64_vcpu_events *events = &vm->vcpus[i].events;

	if (events->exception.serror_pending > 1)
		return refuse_events(vm, i, "serror_pending %u, 0 or 1 expected",
				     events->exception.serror_pending);
	if (events->exception.serror_has_esr > 1)
		return refuse_events(vm, i, "serror_has_esr %u, 0 or 1 expected",
				     events->exception.serror_has_esr);
	if (events->exception.serror_esr & ~SERROR_ISS)
		return refuse_events(vm, i, "serror_esr 0x%" PRIx64 ", 25 bits expected",
				     events->exception.serror_esr);
	if (events->exception.ext_dabt_pending)
		return refuse_events(vm, i, "ext_dabt_pending %u, 0 expected",
				     events->exception.ext_dabt_pending);
	if (memcmp(events->exception.pad, zero.exception.pad, sizeof(zero.exception.pad)) ||
	    memcmp(events->reserved, zero.reserved, sizeof(zero.reserved)))
		return refuse_events(vm, i, "pad or reserved is not 0");
	return 0;
}

static bool is_ppi(uint32_t intid)
{
	return intid >= 16 && intid < VGIC_NR_PRIVATE;
}

#define MAX_SPI 1019		    /* VGIC_MAX_SPI */
#define GICV5_PMU_IRQ 0x20000017u /* PPI 23, with its type: the architecture has no other */

static bool is_pmu_irq(const struct vm_state *vm, uint32_t irq)
{
	return !irq || (vm->vgic_v5 ? irq == GICV5_PMU_IRQ : irq >= 16 && irq <= MAX_SPI);
}

/* INTIDs of a GICv2 or v3; 0: it has neither. */
static uint32_t nr_intids(const struct vm_state *vm)
{
	return vm->vgic ? vm->vgic->nr_irqs : vm->vgic_v2 ? vm->vgic_v2->nr_irqs : 0;
}

/*
 * As pmu_irq_is_valid() has it (devices/vcpu.rst, 1.1) of PPIs first, which is how they are given: there is
 * one PPI for all vCPUs that have one, and an SPI is of one vCPU.
 */
static int check_pmu_irq_among_others(const struct vm_state *vm, size_t i)
{
	uint32_t irq = vm->vcpus[i].pmu_irq;

	for (size_t other = 0; nr_intids(vm) && irq && other < i; other++) {
		uint32_t its = vm->vcpus[other].pmu_irq;

		if (is_ppi(irq) == is_ppi(its) && (its == irq) != is_ppi(irq))
			return refuse_vcpu(vm, i,
					   "pmu_irq %u, of vCPU %zu %u: the same PPI expected, or another SPI",
					   irq, other, its);
	}
	return 0;
}

/* The VM has one PMCR_EL0.N: KVM would take the last that it is given (set_pmcr()). */
static int check_nr_counters(const struct vm_state *vm, size_t i)
{
	const uint64_t *pmcr = vcpu_reg_u64(&vm->vcpus[i], ARM64_PMCR_EL0);
	const uint64_t *first = vcpu_reg_u64(&vm->vcpus[0], ARM64_PMCR_EL0);

	if (pmcr && first && PMCR_N(*pmcr) != PMCR_N(*first))
		return refuse_vcpu(vm, i, "PMCR_EL0.N is %u, of vCPU 0 %u: the same for all expected",
				   PMCR_N(*pmcr), PMCR_N(*first));
	return 0;
}

static int check_pmu(const struct vm_state *vm, size_t i)
{
	const struct vcpu_state *vcpu = &vm->vcpus[i];

	if ((vcpu->pmu_irq || vcpu->pmu_created) && !(vm->features >> KVM_ARM_VCPU_PMU_V3 & 1))
		return refuse_vcpu(vm, i, "pmu_irq %u, pmu_created %u, and no PMU", vcpu->pmu_irq,
				   vcpu->pmu_created);
	if (nr_intids(vm) && vcpu->pmu_created && !vcpu->pmu_irq)
		return refuse_vcpu(vm, i,
				   "pmu_created 1, and no pmu_irq: KVM_ARM_VCPU_PMU_V3_INIT takes none without");
	if (!is_pmu_irq(vm, vcpu->pmu_irq))
		return refuse_vcpu(vm, i, "pmu_irq %u is no PPI or SPI", vcpu->pmu_irq);
	if (nr_intids(vm) && vcpu->pmu_created && vcpu->pmu_irq >= VGIC_NR_PRIVATE &&
	    vcpu->pmu_irq >= nr_intids(vm))
		return refuse_vcpu(vm, i, "pmu_irq %u, and the GIC has %u interrupts", vcpu->pmu_irq,
				   nr_intids(vm));
	return check_pmu_irq_among_others(vm, i) ?: check_nr_counters(vm, i);
}

static int check_pvtime(const struct vm_state *vm, size_t i)
{
	uint64_t ipa = vm->vcpus[i].pvtime;

	if (ipa == VCPU_NO_PVTIME)
		return 0;
	if (!aligned(ipa, PVTIME_SIZE) || !within_ipa(vm, ipa, PVTIME_SIZE))
		return refuse_vcpu(vm, i, "pvtime 0x%" PRIx64 ": not aligned to %u bytes, or not within %u IPA bits",
				   ipa, PVTIME_SIZE, vm->ipa_bits);
	if (!pvtime_has_memory(vm, ipa))
		return refuse_vcpu(vm, i,
				   "pvtime 0x%" PRIx64 ": no memslot is there that can be written, and KVM would "
				   "refuse it",
				   ipa);
	return 0;
}

/* KVM_GUESTDBG_VALID_MASK of arm64: ENABLE, SINGLESTEP, USE_SW_BP, USE_HW. */
#define DEBUG_CONTROL 0x30003u

static int check_debug(const struct vm_state *vm, size_t i)
{
	uint32_t control = vm->vcpus[i].debug.control;

	if (!control || (control & KVM_GUESTDBG_ENABLE && !(control & ~DEBUG_CONTROL)))
		return 0;
	return refuse_vcpu(vm, i, "debug: control 0x%x is not known", control);
}

/* The VM has one of each (devices/vcpu.rst, 2): KVM would take the last that it is given. */
static int check_timer_irqs(const struct vm_state *vm, size_t i)
{
	const struct vcpu_state *vcpu = &vm->vcpus[i], *first = &vm->vcpus[0];

	if (vm->vgic_v5 && (vcpu->vtimer_irq || vcpu->ptimer_irq))
		return refuse_vcpu(vm, i, "vtimer_irq %u, ptimer_irq %u: none expected with a GICv5",
				   vcpu->vtimer_irq, vcpu->ptimer_irq);
	if (vm->vgic_v5)
		return 0;
	if (!is_ppi(vcpu->vtimer_irq) || !is_ppi(vcpu->ptimer_irq) || vcpu->vtimer_irq == vcpu->ptimer_irq)
		return refuse_vcpu(vm, i, "vtimer_irq %u, ptimer_irq %u: two of 16 to 31 expected",
				   vcpu->vtimer_irq, vcpu->ptimer_irq);
	if (vcpu->vtimer_irq != first->vtimer_irq || vcpu->ptimer_irq != first->ptimer_irq)
		return refuse_vcpu(vm, i,
				   "vtimer_irq %u, ptimer_irq %u, of vCPU 0 %u and %u: the same for all expected",
				   vcpu->vtimer_irq, vcpu->ptimer_irq, first->vtimer_irq, first->ptimer_irq);
	return 0;
}

static bool is_mp_state(uint32_t state)
{
	return state == KVM_MP_STATE_RUNNABLE || state == KVM_MP_STATE_STOPPED ||
	       state == KVM_MP_STATE_SUSPENDED;
}

static int check_vcpu(const struct vm_state *vm, size_t i)
{
	const struct vcpu_state *vcpu = &vm->vcpus[i];
	int ret;

	if (vcpu->idx != i)
		return refuse_vcpu(vm, i, "idx %u, its place is %zu", vcpu->idx, i);
	if (vcpu->id >= VM_MAX_VCPUS)
		return refuse_vcpu(vm, i, "id %u, below %u expected", vcpu->id, VM_MAX_VCPUS);
	if (!is_mp_state(vcpu->mp_state))
		return refuse_vcpu(vm, i, "mp_state %u is not known", vcpu->mp_state);
	/* KVM_GET_VCPU_MMAP_SIZE of arm64: struct kvm_run, and the ring of coalesced MMIO. */
	if (vcpu->run_size != 2 * (size_t)vm->page_size)
		return refuse_vcpu(vm, i, "run_size %zu, two pages of %u bytes expected", vcpu->run_size, vm->page_size);
	ret = check_timer_irqs(vm, i);
	if (!ret)
		ret = check_regs(vm, i);
	if (!ret)
		ret = check_pmu(vm, i);
	if (!ret)
		ret = check_pvtime(vm, i);
	if (!ret)
		ret = check_debug(vm, i);
	if (!ret)
		ret = check_maps(vm, i);
	if (!ret)
		ret = check_pending(vm, i);
	return ret ? ret : check_events(vm, i);
}

static int check_vcpu_clashes(const struct vm_state *vm, struct claims *ids, struct claims *mpidrs)
{
	const struct claim *c;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		uint64_t id = vm->vcpus[i].id, mpidr = vm->vcpus[i].mpidr & MPIDR_AFFINITY;

		claims_add(ids, &(struct claim){ .first = id, .last = id, .n = i });
		claims_add(mpidrs, &(struct claim){ .first = mpidr, .last = mpidr, .n = i });
	}
	c = claims_clash(ids);
	if (c)
		return refuse_vcpu(vm, c->n, "id %" PRIu64 " is vCPU %zu's too", c->first, c[-1].n);
	c = claims_clash(mpidrs);
	if (c)
		return refuse_vcpu(vm, c->n, "mpidr 0x%" PRIx64 " is vCPU %zu's too", c->first, c[-1].n);
	return 0;
}

/* 512 vCPUs with all that one can have; of some 350, as without SVE, 6000 vCPUs. */
#define MAX_REGS (VM_MAX_VCPUS * VCPU_MAX_REGS)

int check_nr_regs(const struct vm_state *const *vms, size_t n)
{
	size_t nr = 0;

	for (size_t v = 0; v < n; v++)
		for (size_t i = 0; i < vms[v]->nr_vcpus; i++) {
			nr += vms[v]->vcpus[i].nr_regs;
			if (nr > MAX_REGS)
				return refuse(IMAGE_VCPU ": more than %u registers in all images", vms[v]->id, MAX_REGS);
		}
	return 0;
}

int check_vcpus(const struct vm_state *vm)
{
	struct claims ids = { 0 }, mpidrs = { 0 };
	int ret = 0;

	for (size_t i = 0; i < vm->nr_vcpus && !ret; i++)
		ret = check_vcpu(vm, i);
	if (!ret)
		ret = claims_alloc(&ids, vm->nr_vcpus);
	if (!ret)
		ret = claims_alloc(&mpidrs, vm->nr_vcpus);
	if (!ret)
		ret = check_vcpu_clashes(vm, &ids, &mpidrs);
	claims_free(&ids);
	claims_free(&mpidrs);
	return ret;
}
