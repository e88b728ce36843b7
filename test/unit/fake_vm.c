// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fake_vm.h"
#include "state/kvm_run_page.h"

#define SPI_LEVEL 32
#define SPI_EDGE 33
#define SPI_BOTH 34 /* active and pending */
#define SPI_OFF 35  /* pending, not enabled */
#define PSTATE_EL1H 0x60000005u

static void *alloc(size_t n, size_t size)
{
	void *block = calloc(n ? n : 1, size);

	if (!block)
		abort();
	return block;
}

/* Values that differ from each other and from zero, the same in each run. */
static uint64_t mix(uint64_t x)
{
	x = (x + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
	return (x ^ x >> 29) | 1;
}

/* In the order of KVM_GET_REG_LIST, which is not that of restore: core registers are first there. */
static const uint64_t reg_ids[FAKE_REGS] = {
	FAKE_X0,
	ARM64_CORE_U64(2),
	ARM64_CORE_PC,
	ARM64_CORE_PSTATE,
	FAKE_V0,
	KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_CORE | 212,
	ARM64_SVE_VLS,
	ARM64_SVE_Z0,
	FAKE_FFR,
	FAKE_PSCI_VERSION,
	FAKE_WORKAROUND_2,
	FAKE_FEAT_BMAP,
	KVM_REG_ARM_PTIMER_CNT,
	ARM64_SYS_REG(3, 3, 14, 2, 1), /* CNTP_CTL_EL0 */
	ARM64_SYS_REG(3, 3, 14, 2, 2), /* CNTP_CVAL_EL0 */
	ARM64_SYS_REG(3, 3, 14, 3, 1), /* CNTV_CTL_EL0 */
	KVM_REG_ARM_TIMER_CNT,
	KVM_REG_ARM_TIMER_CVAL,
	ARM64_MDSCR_EL1,
	ARM64_MPIDR_EL1,
	ARM64_SYS_REG(3, 0, 0, 4, 0), /* ID_AA64PFR0_EL1 */
	FAKE_PFR1,
	ARM64_ID_AA64DFR0_EL1,
	FAKE_ID_MMFR3,
	ARM64_SYS_REG(3, 0, 1, 0, 0), /* SCTLR_EL1 */
	FAKE_TCR2,
	FAKE_APIA,
	FAKE_APGA,
	FAKE_PMINTENSET,
	FAKE_PMINTENCLR,
	ARM64_VBAR_EL1,
	FAKE_PMCNTENSET,
	FAKE_PMCNTENCLR,
	FAKE_PMOVSCLR,
	FAKE_PMCCNTR,
	FAKE_PMOVSSET,
	FAKE_PMEVCNTR0,
	FAKE_PMEVCNTR30,
	FAKE_PMEVTYPER0,
	KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_DEMUX,
	ARM64_PMCR_EL0,
	ARM64_CORE_ELR_EL1,
	ARM64_CORE_SPSR_EL1,
	ARM64_AFSR0_EL1,
	ARM64_AFSR1_EL1,
	ARM64_ESR_EL1,
	ARM64_FAR_EL1,
};

static const uint32_t fresh_timer_irq[] = { 26, 29 };

/* Affinities as a VMM may choose them: vCPU 3 has the one that a new vCPU 1 starts with. */
static const uint64_t mpidrs[FAKE_VCPUS] = { 0x80000101, 0x80000000, 0x180010200, 0x80000001,
					     0x80000002, 0x80000100, 0x80000003,  0x80000300 };
static const uint32_t ids[FAKE_VCPUS] = { 7, 2, 12, 0, 5, 9, 1, 30 };
static const uint32_t ids_v2[FAKE_VCPUS] = { 7, 2, 6, 0, 5, 4, 1, 3 };
static const uint64_t skews[FAKE_VCPUS] = { 40, 90, 10, 20, 30, 50, 60, 70 };

/* Of a VM that runs with another PMU than a new one, and with the shorter vectors on every second vCPU. */
#define DFR0_RUNNING 0x400 /* PMUv3p1 */
#define DFR0_NEW 0x600	   /* PMUv3p5 */
#define RESET_UNKNOWN 0x1de7ec7edbadc0deu
#define VLS_SHORT 0x3	   /* 128 and 256 bits */

/* The bits of all three pairs; those that clear have none of their own. */
static void set_pmu_bits(struct fake_vcpu *vcpu, uint64_t enabled, uint64_t overflown, uint64_t interrupts)
{
	fake_set_reg_u64(vcpu, FAKE_PMCNTENSET, enabled);
	fake_set_reg_u64(vcpu, FAKE_PMOVSSET, overflown);
	fake_set_reg_u64(vcpu, FAKE_PMINTENSET, interrupts);
	fake_set_reg_u64(vcpu, FAKE_PMCNTENCLR, 0);
	fake_set_reg_u64(vcpu, FAKE_PMOVSCLR, 0);
	fake_set_reg_u64(vcpu, FAKE_PMINTENCLR, 0);
	fake_set_reg_u64(vcpu, ARM64_PMCR_EL0, 0);
	fake_set_reg_u64(vcpu, FAKE_WORKAROUND_2, 0);
}

static void set_vls(struct fake_vcpu *vcpu, uint64_t vls)
{
	memset(fake_reg(vcpu, ARM64_SVE_VLS)->value, 0, VCPU_REG_MAX);
	fake_set_reg_u64(vcpu, ARM64_SVE_VLS, vls);
}

static void add_regs(struct fake_vcpu *vcpu, uint64_t seed)
{
	for (size_t r = 0; r < FAKE_REGS && reg_ids[r]; r++) {
		struct fake_reg *reg = &vcpu->regs[vcpu->nr_regs++];

		reg->id = reg_ids[r];
		for (uint32_t i = 0; i < kvm_reg_size(reg->id); i++)
			reg->value[i] = seed ? mix(seed + 1000 * r + i) : 0;
	}
}

static void add_fds(struct fake_kvm *kvm, int vm, int vgic, int vcpu, int its)
{
	kvm->fds[vm].kind = FAKE_VM;
	kvm->fds[vgic].kind = FAKE_VGIC;
	for (size_t i = 0; i < kvm->nr_vcpus; i++)
		kvm->fds[vcpu + i] = (struct fake_fd){ FAKE_VCPU, i };
	for (size_t i = 0; i < kvm->nr_itses; i++)
		kvm->fds[its + i] = (struct fake_fd){ FAKE_ITS, i };
}

/* The exit that each vCPU left with, and the instruction behind it. */
static void fill_exit(struct fake_vcpu *vcpu, size_t i)
{
	struct kvm_run *run = (struct kvm_run *)vcpu->run;
	bool is_write = i == 1;

	for (size_t n = 0; n < FAKE_PAGE; n++)
		vcpu->run[n] = mix(77 * i + n);
	run->immediate_exit = is_write;
	run->exit_reason = KVM_EXIT_INTR;
	vcpu->insn = (struct fake_insn){ .pc = 0xffff800080000000 + 0x100 * i,
					 .len = 1u << i % 4,
					 .is_write = is_write,
					 .phys = is_write ? FAKE_WRITE_PHYS : FAKE_READ_PHYS,
					 .data = mix(i) };
	fake_set_reg_u64(vcpu, ARM64_CORE_PC, vcpu->insn.pc + (i == 2 ? 4 : 0));
	fake_set_reg_u64(vcpu, ARM64_CORE_PSTATE, PSTATE_EL1H);
	if (i > 2 && i != 4)
		return;
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = vcpu->insn.phys;
	run->mmio.len = vcpu->insn.len;
	run->mmio.is_write = is_write;
	if (is_write)
		memcpy(run->mmio.data, &vcpu->insn.data, sizeof(run->mmio.data));
	vcpu->mmio_needed = i != 2;
}

/* What a VMM has set up on some vCPUs. */
static void fill_settings(struct fake_vcpu *vcpu, size_t i)
{
	static const uint32_t debug[FAKE_VCPUS] = {
		[0] = KVM_GUESTDBG_ENABLE | FAKE_DEBUG_HW,
		[3] = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP,
		[6] = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | FAKE_DEBUG_HW,
	};

	vcpu->debug.control = debug[i];
	for (size_t r = 0; i != 1 && r < 16; r++) { /* 2, 4, 5 and 7 had a debugger once */
		vcpu->debug.dbg_bcr[r] = mix(4000 * i + r);
		vcpu->debug.dbg_bvr[r] = mix(4100 * i + r);
		vcpu->debug.dbg_wcr[r] = mix(4200 * i + r);
		vcpu->debug.dbg_wvr[r] = mix(4300 * i + r);
	}
	if (i == 0 || i == 2 || i == 6)
		vcpu->pvtime = FAKE_PVTIME(i);
	vcpu->sigset_active = i == 0 || i == 1 || i == 5;
	if (vcpu->sigset_active)
		vcpu->sigset = ~(FAKE_SIGUSR1 | 1ull << 8 | 1ull << 18 | 1ull << (20 + i)); /* never 9 and 19 */
}

static void fill_pmu(const struct fake_kvm *kvm, struct fake_vcpu *vcpu, size_t i)
{
	if (!fake_has(kvm, KVM_ARM_VCPU_PMU_V3) || i == 5)
		return;
	vcpu->pmu_irq = kvm->v5 ? 0x20000017 : 23;
	vcpu->pmu_created = i != 7;
}

/* Both halves of what an older PMU has, the last event of all, and more than a call can name at once. */
static void fill_pmu_filter(struct fake_kvm *kvm)
{
	static const struct pmu_range allowed[] = { { 0, 0 },	      { 8, 0x1b },	 { 63, 64 },
						    { 1000, 0xa000 }, { 0xfff0, 0xfff3 }, { 0xffff, 0xffff } };

	kvm->pmu_filtered = fake_has(kvm, KVM_ARM_VCPU_PMU_V3);
	for (size_t i = 0; kvm->pmu_filtered && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		for (uint32_t event = allowed[i].first; event <= allowed[i].last; event++)
			fake_pmu_allow(kvm, event, true);
}

static void fill_vcpu(struct fake_kvm *kvm, size_t i)
{
	static const uint32_t mp_states[FAKE_VCPUS] = { 0, KVM_MP_STATE_STOPPED,  0,
							0, KVM_MP_STATE_STOPPED,  KVM_MP_STATE_STOPPED,
							0, KVM_MP_STATE_SUSPENDED };
	struct fake_vcpu *vcpu = &kvm->vcpus[i];

	vcpu->id = kvm->v2 ? ids_v2[i] : ids[i];
	vcpu->vtid = FAKE_THREAD(i);
	vcpu->initialised = true;
	vcpu->skew = skews[i];
	vcpu->mp_state = mp_states[i];
	vcpu->timer_irq[0] = 27;
	vcpu->timer_irq[1] = 30;
	add_regs(vcpu, 1 + 100000 * i);
	fake_set_reg_u64(vcpu, ARM64_MPIDR_EL1, mpidrs[i]);
	fake_set_reg_u64(vcpu, FAKE_ID_MMFR3, 0x10);
	fake_set_reg_u64(vcpu, ARM64_ID_AA64DFR0_EL1, DFR0_RUNNING);
	fake_set_reg_u64(vcpu, FAKE_PFR1, 0x2); /* no SSBS */
	set_pmu_bits(vcpu, 0x80000005 + i, 4, 0x21);
	set_vls(vcpu, i % 2 ? FAKE_VLS : VLS_SHORT);
	vcpu->sve_finalized = fake_has(kvm, KVM_ARM_VCPU_SVE);
	fill_exit(vcpu, i);
	fill_settings(vcpu, i);
	vcpu->serror = i == 6 || i == 1;
	vcpu->serror_esr = vcpu->serror ? 0x1000000 + i : 0;
	if (vcpu->serror)
		fake_set_reg_u64(vcpu, ARM64_CORE_PSTATE, PSTATE_EL1H | 0x100);
}

/* Even ones have one mapping of both pages, odd ones one of each. */
/* Of the flags each is in one of the first three. */
static uint32_t map_flags(size_t i)
{
	static const uint32_t flags[] = {
		VCPU_MAP_DONTFORK | VCPU_MAP_DONTDUMP | VCPU_MAP_SEQUENTIAL,
		VCPU_MAP_LOCKED | VCPU_MAP_RANDOM | VCPU_MAP_HUGEPAGE,
		VCPU_MAP_LOCKED | VCPU_MAP_ONFAULT | VCPU_MAP_NOHUGEPAGE | VCPU_MAP_NORESERVE,
	};

	return i < sizeof(flags) / sizeof(flags[0]) ? flags[i] : 0;
}

static void map_vcpu(struct fake_kvm *kvm, size_t i)
{
	uint64_t start = 0xffff80000000 + 0x10000 * i;

	fake_map_add(kvm, start, (i % 2 ? 1 : 2) * FAKE_PAGE, PROT_READ | PROT_WRITE, i, 0)->flags =
		map_flags(i);
	if (i % 2)
		fake_map_add(kvm, start + 0x8000, FAKE_PAGE, PROT_READ, i, FAKE_PAGE);
}

static void fill_private(struct fake_vcpu *vcpu, size_t i)
{
	for (uint32_t n = 0; n < VGIC_NR_PRIVATE; n++) {
		vcpu->irq[n].group = n != 2;
		vcpu->irq[n].enabled = n != 5 && n < 17;
		vcpu->irq[n].priority = 8 * (n + i);
	}
	vcpu->irq[3].pending = true;
	vcpu->irq[27].enabled = true;
	vcpu->irq[27].level = true;
	vcpu->irq[27].active = !i;
	vcpu->irq[30].config = 2;
	vcpu->propbaser[0] = i ? 0 : 0x40000780;
	vcpu->propbaser[1] = i ? 0 : 0x1;
	vcpu->pendbaser[0] = 0x50000780 + 0x10000 * i;
	vcpu->gicr_ctlr = 1;
}

static void fill_spis(struct fake_kvm *kvm)
{
	uint64_t mask = 0xffffff;

	for (uint32_t n = VGIC_NR_PRIVATE; n < kvm->gic.nr_irqs; n++) {
		struct fake_irq *irq = &kvm->gic.spi[n];

		irq->group = n % 3;
		irq->enabled = n % 4 != 3 || n < 40;
		irq->priority = 3 * n;
		irq->config = n % 2 ? 2 : 0;
		irq->router = mpidrs[n % kvm->nr_vcpus] & mask;
		irq->routed = true;
	}
	kvm->gic.spi[SPI_LEVEL].level = true;
	kvm->gic.spi[SPI_EDGE].pending = true;
	kvm->gic.spi[SPI_BOTH].pending = kvm->gic.spi[SPI_BOTH].active = true;
	kvm->gic.spi[SPI_OFF].pending = true;
	kvm->gic.spi[SPI_OFF].enabled = false;
	kvm->gic.spi[FAKE_SPI_UNROUTED].pending = true;
	kvm->gic.spi[FAKE_SPI_UNROUTED].router = 0;
	kvm->gic.spi[FAKE_SPI_UNROUTED].routed = false;
	kvm->gic.spi[FAKE_SPI_ROUTED_AWAY].active = true;
	kvm->gic.spi[FAKE_SPI_ROUTED_AWAY].router = mpidrs[0] & mask;
	kvm->gic.spi[FAKE_SPI_ROUTED_AWAY].queue = kvm->nr_vcpus - 1;
	kvm->gic.spi[kvm->gic.nr_irqs - 1].enabled = true;
	kvm->gic.spi[kvm->gic.nr_irqs - 1].level = true;
	kvm->gic.spi[kvm->gic.nr_irqs - 1].config = 0;
}

static void fill_gic(struct fake_kvm *kvm, struct fake_shape shape)
{
	struct fake_gic *gic = &kvm->gic;
	uint32_t pri_bits = shape.pri_bits ? shape.pri_bits : 7;

	gic->initialised = true;
	gic->iidr = 0x4b00243b;
	gic->ctlr = 0x12;
	gic->dist_base = 0x8000000;
	gic->legacy = shape.legacy_redist;
	gic->nr_regions = shape.legacy_redist ? 1 : 2;
	gic->regions[0] = (struct vgic_region){ .base = 0x80a0000, .count = shape.legacy_redist ? 0 : 1 };
	if (!shape.legacy_redist)
		gic->regions[1] = (struct vgic_region){ .base = 0x4000000000, .count = 512 };
	fill_spis(kvm);
	for (size_t i = 0; i < kvm->nr_vcpus; i++) {
		struct fake_vcpu *vcpu = &kvm->vcpus[i];

		fill_private(vcpu, i);
		for (size_t r = 0; r < FAKE_ICC_REGS; r++)
			vcpu->icc[r] = mix(r + 50 * i) & 0xff;
		vcpu->icc[11] = (pri_bits - 1) << 8; /* ICC_CTLR_EL1.PRIbits */
		vcpu->pri_bits = pri_bits;
		for (uint32_t n = 0; n < VGIC_NR_PRIVATE; n++)
			fake_queue(kvm, &vcpu->irq[n]);
	}
	for (uint32_t n = VGIC_NR_PRIVATE; n < gic->nr_irqs; n++)
		fake_queue(kvm, &gic->spi[n]);
}

static void fill_v2_private(struct fake_vcpu *vcpu, size_t i)
{
	for (uint32_t n = 0; n < VGIC_NR_PRIVATE; n++) {
		vcpu->irq[n].group = n % 3 == i % 3;
		vcpu->irq[n].enabled = n != 5 && n < 20;
		vcpu->irq[n].priority = 8 * (n + i);
	}
	vcpu->irq[3].pending = true; /* from vCPU 2 of id 6, and from itself */
	vcpu->irq[3].source = 1u << 6 | 1u << vcpu->id;
	vcpu->irq[4].active = true;
	vcpu->irq[18].pending = true;
	vcpu->irq[FAKE_PPI_RAISED].level = !i;
	vcpu->irq[27].enabled = true;
}

static void fill_v2(struct fake_kvm *kvm)
{
	struct fake_gic *gic = &kvm->gic;

	gic->initialised = kvm->v2->groups_writable = true;
	gic->iidr = 0x4b00243b;
	gic->ctlr = 1;
	gic->dist_base = 0x8000000;
	kvm->v2->cpu_base = 0x8010000;
	fill_spis(kvm);
	for (uint32_t n = VGIC_NR_PRIVATE; n < gic->nr_irqs; n++) {
		gic->spi[n].router = n % 7 ? 1u << n % kvm->nr_vcpus : 0;
		gic->spi[n].priority &= 0xf8;
	}
	gic->spi[FAKE_SPI_UNROUTED].routed = true;
	gic->spi[FAKE_SPI_ROUTED_AWAY].router = 1;
	gic->spi[FAKE_SPI_BOTH_WAYS].level = gic->spi[FAKE_SPI_BOTH_WAYS].pending = true;
	for (size_t i = 0; i < kvm->nr_vcpus; i++) {
		fill_v2_private(&kvm->vcpus[i], i);
		for (size_t r = 0; r < 5; r++)
			kvm->v2->cpuif[i][r] = mix(r + 60 * i) & 7;
		for (uint32_t n = 0; n < VGIC_NR_PRIVATE; n++)
			fake_queue(kvm, &kvm->vcpus[i].irq[n]);
	}
	for (uint32_t n = VGIC_NR_PRIVATE; n < gic->nr_irqs; n++)
		fake_queue(kvm, &gic->spi[n]);
}

static void add_device(struct fake_its *its, uint32_t id, uint8_t bits, uint64_t itt)
{
	its->devices[its->nr_devices++] = (struct fake_device){ .id = id, .bits = bits, .itt = itt };
}

/* Of the device added last, by the collection of that place: the guest has set its bits before MAPTI. */
static void add_event(struct fake_kvm *kvm, size_t its, uint32_t event, uint32_t lpi, size_t collection,
		      uint8_t config)
{
	const struct fake_collection *c = &kvm->its[its].collections[collection];
	struct fake_device *device = &kvm->its[its].devices[kvm->its[its].nr_devices - 1];
	int target = -1;

	for (size_t i = 0; i < kvm->nr_vcpus; i++)
		if (kvm->vcpus[i].id == c->target)
			target = i;
	*fake_guest(kvm, FAKE_LPI_CONFIG + lpi - LPI_MIN, 1) = config;
	if (fake_lpi_add(kvm, lpi, target))
		abort();
	device->events[device->nr_events++] = (struct fake_event){ event, lpi, c->icid };
}

static void pend(struct fake_kvm *kvm, uint32_t intid)
{
	struct fake_lpi *lpi = fake_lpi(kvm, intid);

	lpi->pending = true;
	lpi->queued = lpi->enabled;
}

static void fill_flat_its(struct fake_kvm *kvm, struct fake_its *its)
{
	its->base = 0x9000000;
	its->enabled = true;
	its->baser[0] |= 1ULL << 63 | FAKE_DEVICE_TABLE | 4;
	its->baser[1] |= 1ULL << 63 | FAKE_COLLECTION_TABLE(0);
	its->cbaser = 1ULL << 63 | FAKE_QUEUE(0);
	its->creadr = its->cwriter = 96;
	memset(its->executed, 1, 96 / 32);
	its->collections[its->nr_collections++] = (struct fake_collection){ 5, kvm->vcpus[0].id };
	its->collections[its->nr_collections++] =
		(struct fake_collection){ 1, kvm->vcpus[kvm->nr_vcpus - 1].id };
	add_device(its, FAKE_DEVICE_A, 3, FAKE_ITT(0));
	add_event(kvm, 0, 0, FAKE_LPI_PENDS, 0, 0xa1);
	add_event(kvm, 0, 1, FAKE_LPI_IDLE, 1, 0xa5);
	add_event(kvm, 0, 5, FAKE_LPI_MASKED, 1, 0xa8);
	add_device(its, FAKE_DEVICE_B, 16, FAKE_LARGE_ITT);
	add_event(kvm, 0, 0, 9000, 0, 0xb1);
	add_event(kvm, 0, 65535, FAKE_LPI_LAST, 1, 0xb5);
	add_device(its, FAKE_DEVICE_C, 2, FAKE_ITT(2));
	add_event(kvm, 0, 2, 8210, 0, 0xb8);
}

static void fill_two_level_its(struct fake_kvm *kvm, struct fake_its *its)
{
	static const uint64_t l2[] = { 1ULL << 63 | FAKE_L2_TABLE(0), 1ULL << 63 | FAKE_L2_TABLE(1) };

	its->base = 0xa000000;
	its->baser[0] |= 3ULL << 62 | FAKE_L1_TABLE;
	its->baser[1] |= 1ULL << 63 | FAKE_COLLECTION_TABLE(1);
	its->cbaser = 1ULL << 63 | FAKE_QUEUE(1);
	its->creadr = 64;
	its->cwriter = 160;
	memset(its->executed, 1, 64 / 32);
	memcpy(fake_guest(kvm, FAKE_L1_TABLE, 8), &l2[0], 8);
	memcpy(fake_guest(kvm, FAKE_L1_TABLE + 4 * 8, 8), &l2[1], 8);
	its->collections[its->nr_collections++] = (struct fake_collection){ 0, kvm->vcpus[0].id };
	its->collections[its->nr_collections++] = (struct fake_collection){ 7, 0xffffffff };
	add_device(its, FAKE_DEVICE_E, 1, FAKE_ITT(4)); /* mapped first: the tables are in order all the same */
	add_event(kvm, 1, 0, 8310, 0, 0xc1);
	add_device(its, FAKE_DEVICE_D, 2, FAKE_ITT(3));
	add_event(kvm, 1, 0, 8300, 0, 0xc1);
	add_event(kvm, 1, 1, FAKE_LPI_UNMAPPED, 1, 0xc5);
	add_event(kvm, 1, 2, 8302, 0, 0xc8);
	add_event(kvm, 1, 3, 8303, 0, 0xc4);
}

static void add_ram(struct fake_kvm *kvm)
{
	kvm->slots[kvm->nr_slots++] = (struct memslot){ 2, 0, FAKE_RAM, FAKE_RAM_SIZE, FAKE_RAM_HVA, .log = { 0 } };
	fake_map_add(kvm, FAKE_RAM_HVA, FAKE_RAM_SIZE, PROT_READ | PROT_WRITE, -1, 0)->is_guest = true;
}

/* A bit in the pending table of a vCPU that has not that LPI, as an earlier move of it may have left. */
static void fill_itses(struct fake_kvm *kvm)
{
	static const uint32_t pending[] = { FAKE_LPI_PENDS, FAKE_LPI_MASKED, FAKE_LPI_LAST, 9000, 8300, 8303 };

	add_ram(kvm);
	for (size_t i = 0; i < kvm->nr_vcpus; i++) {
		kvm->vcpus[i].propbaser[0] = FAKE_LPI_CONFIG | 0x78f;
		kvm->vcpus[i].propbaser[1] = 0;
		kvm->vcpus[i].pendbaser[0] = FAKE_LPI_PENDING(i) | 0x780;
	}
	for (size_t i = 0; i < kvm->nr_itses; i++)
		fake_its_reset(&kvm->its[i]);
	fill_flat_its(kvm, &kvm->its[0]);
	fill_two_level_its(kvm, &kvm->its[1]);
	for (size_t i = 0; i < sizeof(pending) / sizeof(pending[0]); i++)
		pend(kvm, pending[i]);
	*fake_guest(kvm, FAKE_LPI_PENDING(kvm->nr_vcpus - 1) + 8400 / 8, 1) = 1 << 8400 % 8;
}

static void v5_set(struct fake_kvm *kvm, uint32_t group, uint64_t attr, uint64_t value)
{
	if (fake_v5_set(kvm, group, attr, value))
		abort();
}

/* Each interrupt in another state: all ISTE bits but the reserved ones. KVM does not take HWU back. */
static uint32_t some_iste(uint32_t i)
{
	return mix(i) & ~0x1e0u;
}

static void fill_v5(struct fake_kvm *kvm, struct fake_shape shape)
{
	/* Every register of the CPU interface. */
	static const uint32_t instr[] = { 0xc654, 0xc656, 0xc657, 0xc66a, 0xc66b, 0xc66e, 0xc66f, 0xc670, 0xc671,
					  0xc672, 0xc673, 0xc674, 0xc675, 0xc676, 0xc677, 0xc678, 0xc679, 0xc67a,
					  0xc67b, 0xc67c, 0xc67d, 0xc67e, 0xc67f, 0xce00, 0xce01, 0xce02 };
	const struct model_host host = { .abi = shape.abi, .id_bits = 16, .min_lpi_id_bits = 8, .priority_bits = 5,
					 .pa_range = 5, .nr_spis = shape.nr_irqs, .ipa_bits = 40 };

	add_ram(kvm);
	for (size_t i = 0; i < kvm->nr_vcpus; i++) /* the architecture's, which a new vCPU has */
		memcpy(kvm->vcpus[i].timer_irq, fresh_timer_irq, sizeof(fresh_timer_irq));
	fake_v5_create(kvm, &host);
	v5_set(kvm, 0, 6, 0x8000000);
	if (shape.abi == MODEL_MERGED)
		v5_set(kvm, 3, 0, shape.nr_irqs);
	v5_set(kvm, 4, 0, 0);
	v5_set(kvm, MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x084, 0x2a);
	v5_set(kvm, MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x080, 1);
	v5_set(kvm, MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x108, 3);
	v5_set(kvm, MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x140, kvm->vcpus[0].id);
	for (uint32_t i = 0; i < shape.nr_irqs; i++)
		v5_set(kvm, MODEL_GRP_TEST, MODEL_TEST_SPI | i, some_iste(i));
	/* Of v1, which has a register for it, one is triggered otherwise than its entry says. */
	if (shape.abi == MODEL_V1 && shape.nr_irqs) {
		v5_set(kvm, MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x108, 5);
		v5_set(kvm, MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x114, !(some_iste(5) & 4));
		v5_set(kvm, MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x108, 3);
	}
	if (shape.lpi_bits) {
		v5_set(kvm, MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x190, shape.lpi_bits);
		v5_set(kvm, MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x180, FAKE_LPI_IST | 1);
		for (uint32_t i = 0; i < 1u << shape.lpi_bits; i++)
			v5_set(kvm, MODEL_GRP_TEST, MODEL_TEST_LPI | i, some_iste(i + 5000));
	}
	for (uint32_t i = 0; i < kvm->nr_vcpus; i++)
		for (size_t r = 0; r < sizeof(instr) / sizeof(instr[0]); r++)
			v5_set(kvm, MODEL_GRP_TEST, MODEL_TEST_CPU_REG | i << 16 | instr[r], mix(i * 100 + r));
	for (uint32_t i = 0; i < kvm->nr_vcpus; i++)
		if (model_first_run(kvm->v5, i))
			abort();
}

/* All but KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, without which a dump has more to do. */
static void fill_caps(struct fake_kvm *kvm)
{
	kvm->caps = VM_CAP_KNOWN & ~VM_CAP_MANUAL_DIRTY_LOG;
	kvm->halt_poll_ns = 70000;
	kvm->split_chunk = 2 << 20;
	kvm->smccc[kvm->nr_smccc++] = (struct smccc_range){ 0x84000000, 0x84000007, KVM_SMCCC_FILTER_DENY };
	kvm->smccc[kvm->nr_smccc++] = (struct smccc_range){ 0xc3000000, 0xffffffff, KVM_SMCCC_FILTER_FWD_TO_USER };
}

/* Its first page and its last, single ones and whole words of them. */
static void fill_log(struct fake_kvm *kvm, size_t slot)
{
	uint64_t pages = kvm->slots[slot].size / FAKE_PAGE;

	fake_log_begin(kvm, slot);
	for (uint64_t page = 0; page < pages; page++)
		if (!page || page == pages - 1 || page % 1000 == 77 || (page > 2000 && page < 2300))
			fake_log_mark(kvm, slot, page);
}

struct fake_kvm *fake_running(struct fake_shape shape)
{
	struct fake_kvm *kvm = fake_new(shape.nr_vcpus, shape.nr_irqs);

	kvm->features = shape.features ? shape.features : FAKE_FEATURES;
	kvm->features_set = true;
	kvm->vtimer = 0x123456789000;
	kvm->host = kvm->ptimer = 0x555500000000;
	fill_caps(kvm);
	kvm->ran = true;
	kvm->nr_slots = 2;
	kvm->slots[0] = (struct memslot){ 1, 0, 0x40000000, 0x8000000, 0xffff10000000, .log = { 0 } };
	kvm->slots[0].flags = KVM_MEM_LOG_DIRTY_PAGES;
	fill_log(kvm, 0);
	kvm->slots[1] = (struct memslot){ 0, KVM_MEM_READONLY, 0, 0x200000, 0xffff00000000, .log = { 0 } };
	for (size_t n = 0; n < FAKE_PAGE; n++)
		kvm->ring[n] = mix(n);
	kvm->nr_itses = shape.itses ? FAKE_NR_ITSES : 0;
	add_fds(kvm, FAKE_VM_FD, FAKE_VGIC_FD, FAKE_VCPU_FD, FAKE_ITS_FD);
	if (shape.v2)
		fake_v2_create(kvm);
	for (size_t i = 0; i < kvm->nr_vcpus; i++) {
		fill_vcpu(kvm, i);
		map_vcpu(kvm, i);
	}
	fill_pmu_filter(kvm);
	fake_binding_fill(kvm);
	kvm->counter_offset = kvm->ptimer_offset = shape.counter_offset;
	if (shape.counter_offset)
		kvm->ptimer = kvm->vtimer;
	if (shape.v5)
		fill_v5(kvm, shape);
	else if (shape.v2)
		fill_v2(kvm);
	else
		fill_gic(kvm, shape);
	if (shape.itses)
		fill_itses(kvm);
	for (size_t i = 0; i < kvm->nr_vcpus; i++)
		fill_pmu(kvm, &kvm->vcpus[i], i);
	return kvm;
}

/* Discovery */

static void discover_vcpu(const struct fake_kvm *kvm, struct vcpu_state *vcpu, size_t i)
{
	vcpu->idx = i;
	vcpu->id = kvm->vcpus[i].id;
	vcpu->fd = FAKE_VCPU_FD + i;
	vcpu->mmio_needed = kvm->vcpus[i].mmio_needed;
	vcpu->marked = kvm_run_has_mark(kvm->vcpus[i].run);
	vcpu->vtid = kvm->vcpus[i].vtid;
	vcpu->pmu_created = kvm->vcpus[i].pmu_created;
	vcpu->pvtime = kvm->vcpus[i].pvtime;
	vcpu->sigset_active = kvm->vcpus[i].sigset_active;
	vcpu->sigset = kvm->vcpus[i].sigset;
	if (kvm->vcpus[i].debug.control)
		vcpu->debug = kvm->vcpus[i].debug;
	for (size_t m = 0; m < kvm->nr_maps; m++) {
		const struct fake_map *map = &kvm->maps[m];

		if (map->vcpu == (int)i && fake_is_own(map))
			vcpu->maps[vcpu->nr_maps++] = (struct vcpu_map){ map->start, map->size, map->offset,
									 map->prot, map->flags };
	}
}

/* Those whose holder is not the one that an ISACTIVER write would choose. */
static void discover_active(const struct fake_kvm *kvm, struct vgic_active **active, size_t *nr)
{
	const struct fake_irq *irq = &kvm->gic.spi[FAKE_SPI_ROUTED_AWAY];

	*active = alloc(1, sizeof(**active));
	if (!irq->active || irq->queue == 0)
		return;
	(*active)[(*nr)++] = (struct vgic_active){ .intid = FAKE_SPI_ROUTED_AWAY, .vcpu_idx = irq->queue };
}

static struct vgic_v2_lines lines_of(const struct fake_irq *irqs)
{
	struct vgic_v2_lines lines = { 0 };

	for (uint32_t n = 0; n < 32; n++) {
		lines.level |= (uint32_t)irqs[n].level << n;
		lines.latch |= (uint32_t)irqs[n].pending << n;
	}
	return lines;
}

/* As the kernel has it: with the latches of SGIs, and the line of an SPI that is edge-triggered by now. */
static void discover_v2(const struct fake_kvm *kvm, struct vm_state *vm)
{
	struct vgic_v2_state *gic = vm->vgic_v2 = alloc(1, sizeof(*gic));

	gic->fd = FAKE_VGIC_FD;
	gic->nr_cpus = vm->nr_vcpus;
	gic->private = alloc(gic->nr_cpus, sizeof(*gic->private));
	for (size_t i = 0; i < gic->nr_cpus; i++)
		gic->private[i] = lines_of(kvm->vcpus[i].irq);
	for (uint32_t n = VGIC_NR_PRIVATE; n < kvm->gic.nr_irqs; n += 32)
		gic->lines[n / 32] = lines_of(&kvm->gic.spi[n]);
	gic->lines[1].level |= 1u << (FAKE_SPI_STALE - VGIC_NR_PRIVATE);
	discover_active(kvm, &gic->active, &gic->nr_active);
}

static void discover_unrouted(const struct fake_kvm *kvm, struct vgic_v3_state *gic)
{
	for (uint32_t n = VGIC_NR_PRIVATE; n < kvm->gic.nr_irqs && n < VGIC_MAX_IRQS; n++)
		if (!kvm->gic.spi[n].routed)
			gic->unrouted[n / 32] |= 1u << n % 32;
}

/* Of events behind those of the guest's PMU the probe reads nothing: what it makes of them may be anything. */
static void discover_pmu_filter(const struct fake_kvm *kvm, struct pmu_filter *filter)
{
	uint64_t bits[PMU_MAX_EVENTS / 64];

	memcpy(bits, kvm->pmu_filter, sizeof(bits));
	memset(&bits[kvm->pmu_events / 64], 0xa5, (PMU_MAX_EVENTS - kvm->pmu_events) / 8);
	if (kvm->pmu_filtered && pmu_filter_from_bits(filter, bits))
		abort();
}

static void discover_caps(const struct fake_kvm *kvm, struct vm_state *vm)
{
	vm->caps = kvm->caps;
	vm->halt_poll_ns = kvm->halt_poll_ns;
	vm->manual_dirty_log = kvm->manual_dirty_log;
	vm->split_chunk = kvm->split_chunk;
	vm->smccc_filter.nr = kvm->nr_smccc;
	vm->smccc_filter.ranges = alloc(kvm->nr_smccc, sizeof(*vm->smccc_filter.ranges));
	memcpy(vm->smccc_filter.ranges, kvm->smccc, kvm->nr_smccc * sizeof(*kvm->smccc));
}

struct vm_state *fake_discovered(const struct fake_kvm *kvm)
{
	struct vm_state *vm = alloc(1, sizeof(*vm));

	vm->id = 1;
	vm->vpid = FAKE_VPID;
	vm->page_size = FAKE_PAGE;
	vm->ipa_bits = 40;
	vm->features = kvm->features | 1 << KVM_ARM_VCPU_POWER_OFF;
	vm->ptimer_offset = kvm->ptimer_offset;
	vm->counter_offset = kvm->counter_offset;
	discover_caps(kvm, vm);
	discover_pmu_filter(kvm, &vm->pmu_filter);
	fake_binding_discover(kvm, vm);
	vm->fd = FAKE_VM_FD;
	vm->park_base = FAKE_PARK_BASE;
	vm->nr_slots = kvm->nr_slots;
	vm->slots = alloc(kvm->nr_slots, sizeof(*vm->slots));
	memcpy(vm->slots, kvm->slots, kvm->nr_slots * sizeof(*vm->slots));
	vm->nr_vcpus = kvm->nr_vcpus;
	vm->vcpus = alloc(kvm->nr_vcpus, sizeof(*vm->vcpus));
	for (size_t i = 0; i < kvm->nr_vcpus; i++)
		discover_vcpu(kvm, &vm->vcpus[i], i);
	if (kvm->v5) {
		vm->vgic_v5 = alloc(1, sizeof(*vm->vgic_v5));
		vm->vgic_v5->fd = FAKE_VGIC_FD;
	} else if (kvm->v2) {
		discover_v2(kvm, vm);
	} else {
		vm->vgic = alloc(1, sizeof(*vm->vgic));
		vm->vgic->fd = FAKE_VGIC_FD;
		discover_active(kvm, &vm->vgic->active, &vm->vgic->nr_active);
		discover_unrouted(kvm, vm->vgic);
	}
	vm->nr_itses = kvm->nr_itses;
	vm->itses = alloc(kvm->nr_itses, sizeof(*vm->itses));
	for (size_t i = 0; i < kvm->nr_itses; i++)
		vm->itses[i].fd = FAKE_ITS_FD + i;
	return vm;
}

/* Restore */

static void create_vcpu(struct fake_vcpu *vcpu, const struct fake_vcpu *running, size_t i)
{
	vcpu->id = running->id;
	vcpu->insn = running->insn; /* guest memory came with the process */
	add_regs(vcpu, 0);
	fake_set_reg_u64(vcpu, ARM64_MPIDR_EL1, 0x80000000 | i);
	fake_set_reg_u64(vcpu, FAKE_ID_MMFR3, 0x11);
	fake_set_reg_u64(vcpu, ARM64_ID_AA64DFR0_EL1, DFR0_NEW);
	fake_set_reg_u64(vcpu, FAKE_PFR1, 0x12);
	/* What KVM's reset_unknown() leaves: the counters of a new vCPU seem to run, and to have overflown. */
	set_pmu_bits(vcpu, RESET_UNKNOWN & FAKE_PMU_MASK, RESET_UNKNOWN & FAKE_PMU_MASK,
		     RESET_UNKNOWN & FAKE_PMU_MASK);
	set_vls(vcpu, FAKE_VLS);
	memcpy(vcpu->timer_irq, fresh_timer_irq, sizeof(fresh_timer_irq));
}

/* What was executed stays so: the guest will not have it undone. */
static void create_itses(struct fake_kvm *kvm, const struct fake_kvm *running)
{
	kvm->nr_itses = running->nr_itses;
	for (size_t i = 0; i < kvm->nr_itses; i++) {
		fake_its_reset(&kvm->its[i]);
		memcpy(kvm->its[i].executed, running->its[i].executed, sizeof(kvm->its[i].executed));
	}
}

static void copy_map(struct fake_kvm *kvm, const struct fake_map *from)
{
	struct fake_map *map = fake_map_add(kvm, from->start, from->size, from->prot, -1, 0);

	map->is_guest = from->is_guest;
	if (map->is_guest)
		memcpy(map->bytes, from->bytes, from->size);
}

struct fake_kvm *fake_created(const struct fake_kvm *running, struct vm_state *vm)
{
	struct fake_kvm *kvm = fake_new(running->nr_vcpus, 0);

	kvm->host = kvm->ptimer = 0x777700000000;
	kvm->no_ras = running->no_ras;
	kvm->pmu_events = running->pmu_events;
	kvm->caps = running->caps & VM_CAP_WRITABLE_IMP_ID_REGS; /* vm_create() */
	kvm->pmu_counters = kvm->pmu_n = running->pmu_counters;
	if (running->v2)
		fake_v2_create(kvm);
	for (size_t i = 0; i < kvm->nr_vcpus; i++)
		create_vcpu(&kvm->vcpus[i], &running->vcpus[i], i);
	create_itses(kvm, running);
	fake_eventfd_open(kvm);
	if (running->v5)
		fake_v5_create(kvm, &running->v5->host);
	add_fds(kvm, FAKE_VM_FD, FAKE_VGIC_FD, FAKE_VCPU_FD, FAKE_ITS_FD);
	add_fds(kvm, vm_parked_fd(vm, KVM_FILE_VM, 0), vm_parked_fd(vm, KVM_FILE_VGIC, 0),
		vm_parked_fd(vm, KVM_FILE_VCPU, 0), vm_parked_fd(vm, KVM_FILE_ITS, 0));
	for (size_t m = 0; m < running->nr_maps; m++)
		if (fake_is_own(&running->maps[m]))
			copy_map(kvm, &running->maps[m]);

	vm->fd = vm_parked_fd(vm, KVM_FILE_VM, 0);
	vm_set_gic_fd(vm, vm_parked_fd(vm, KVM_FILE_VGIC, 0));
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		vm->vcpus[i].fd = vm_parked_fd(vm, KVM_FILE_VCPU, i);
		vm->vcpus[i].mmio_needed = false; /* not in the image */
	}
	for (size_t i = 0; i < vm->nr_itses; i++)
		vm->itses[i].fd = vm_parked_fd(vm, KVM_FILE_ITS, i);
	return kvm;
}

/* Plans */

struct vm_state *fake_dump(struct fake_kvm *kvm)
{
	struct vm_state *vm = fake_discovered(kvm);

	if (plan_run(plan_dump, plan_nr_dump, vm, &kvm->remote)) {
		fprintf(stderr, "the dump failed after: %s\n",
			kvm->nr_lines ? kvm->lines[kvm->nr_lines - 1] : "-");
		abort();
	}
	return vm;
}

bool fake_ends_replay(const char *line)
{
	static const char *const calls[] = {
		"task: mmap anonymous room * prot 0",
		"vcpu ?: write page +0",
		"vcpu ?: KVM_SET_GUEST_DEBUG = 0",
		"vcpu ?: KVM_SET_ONE_REG 0x6030000000100042 = *", /* PSTATE */
		"vcpu ?: KVM_SET_ONE_REG 0x6030000000138012 = *", /* MDSCR_EL1 */
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (fake_is_like(line, calls[i]))
			return true;
	return false;
}

int fake_steps(const struct plan_step *steps, size_t nr, struct vm_state *vm, struct fake_kvm *kvm,
	       size_t *failed)
{
	char heading[FAKE_LINE];

	for (size_t i = 0; i < nr; i++) {
		int ret;

		if (!plan_applies(&steps[i], vm))
			continue;
		snprintf(heading, sizeof(heading), "# %s", steps[i].name);
		fake_note(kvm, heading);
		ret = steps[i].run(vm, &kvm->remote);
		*failed = i;
		if (ret)
			return ret;
	}
	return 0;
}
