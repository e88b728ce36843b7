// SPDX-License-Identifier: GPL-2.0-only
/* The ioctls of a fake VM and its vCPUs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_kvm.h"

#define PSTATE_A 0x100u
#define PSTATE_I 0x80u
#define PSTATE_AARCH32 0x10u
#define MDSCR_SS 1u
#define MDSCR_MDE 0x8000u
#define SCTLR2_NMEA 4u
#define VECTOR 0xffff800000010000u

struct fake_reg *fake_reg(struct fake_vcpu *vcpu, uint64_t id)
{
	for (size_t i = 0; i < vcpu->nr_regs; i++)
		if (vcpu->regs[i].id == id)
			return &vcpu->regs[i];
	return NULL;
}

uint64_t fake_reg_u64(struct fake_vcpu *vcpu, uint64_t id)
{
	struct fake_reg *reg = fake_reg(vcpu, id);
	uint64_t value = 0;

	if (!reg)
		abort();
	memcpy(&value, reg->value, kvm_reg_size(id) < sizeof(value) ? kvm_reg_size(id) : sizeof(value));
	return value;
}

void fake_set_reg_u64(struct fake_vcpu *vcpu, uint64_t id, uint64_t value)
{
	struct fake_reg *reg = fake_reg(vcpu, id);

	if (!reg)
		abort();
	memcpy(reg->value, &value, sizeof(value));
}

bool fake_has(const struct fake_kvm *kvm, uint32_t feature)
{
	return kvm->features >> feature & 1;
}

/* struct kvm_signal_mask with its mask. */
struct fake_sigmask {
	uint32_t len;
	uint8_t sigset[sizeof(uint64_t)];
};

/* What a call says */

static const struct {
	unsigned long req;
	const char *name;
} names[] = {
	{ ARM64_VCPU_INIT, "KVM_ARM_VCPU_INIT" },	  { ARM64_GET_VCPU_EVENTS, "KVM_GET_VCPU_EVENTS" },
	{ ARM64_SET_VCPU_EVENTS, "KVM_SET_VCPU_EVENTS" }, { ARM64_SET_GUEST_DEBUG, "KVM_SET_GUEST_DEBUG" },
	{ KVM_GET_REG_LIST, "KVM_GET_REG_LIST" },	  { KVM_GET_ONE_REG, "KVM_GET_ONE_REG" },
	{ KVM_SET_ONE_REG, "KVM_SET_ONE_REG" },		  { KVM_GET_MP_STATE, "KVM_GET_MP_STATE" },
	{ KVM_SET_MP_STATE, "KVM_SET_MP_STATE" },	  { KVM_GET_DEVICE_ATTR, "GET" },
	{ KVM_SET_DEVICE_ATTR, "SET" },			  { KVM_SET_SIGNAL_MASK, "KVM_SET_SIGNAL_MASK" },
	{ KVM_ARM_VCPU_FINALIZE, "KVM_ARM_VCPU_FINALIZE" }, { KVM_RUN, "KVM_RUN" },
};

static void describe_reg(const struct kvm_one_reg *reg, bool set, char *more)
{
	uint32_t size = kvm_reg_size(reg->id);
	uint64_t value = 0;
	int n = snprintf(more, FAKE_LINE, " %#" PRIx64, (uint64_t)reg->id);

	if (!set)
		return;
	if (size <= sizeof(value)) {
		memcpy(&value, (void *)(uintptr_t)reg->addr, size);
		snprintf(more + n, FAKE_LINE - n, " = %#" PRIx64, value);
	} else {
		snprintf(more + n, FAKE_LINE - n, " = %u bytes", size);
	}
}

static void describe_sigset(const struct fake_sigmask *mask, char *more)
{
	uint64_t sigset;

	memcpy(&sigset, mask->sigset, sizeof(sigset));
	snprintf(more, FAKE_LINE, " = %u bytes, %#" PRIx64, mask->len, sigset);
}

/* The argument of @req, as far as a reader wants to see it. */
static void describe_arg(unsigned long req, const void *arg, char *more)
{
	uint32_t word;

	*more = 0;
	if (req == KVM_GET_ONE_REG || req == KVM_SET_ONE_REG)
		describe_reg(arg, req == KVM_SET_ONE_REG, more);
	if (req == KVM_GET_DEVICE_ATTR || req == KVM_SET_DEVICE_ATTR)
		fake_attr_describe(arg, req == KVM_SET_DEVICE_ATTR, more);
	if (req == KVM_SET_SIGNAL_MASK)
		describe_sigset(arg, more);
	if (req == ARM64_SET_GUEST_DEBUG || req == KVM_SET_MP_STATE || req == ARM64_SET_VCPU_EVENTS ||
	    req == KVM_ARM_VCPU_FINALIZE) {
		memcpy(&word, arg, sizeof(word));
		snprintf(more, FAKE_LINE, " = %#x", word);
	}
	if (req == ARM64_VCPU_INIT)
		snprintf(more, FAKE_LINE, " = %#x", ((const struct arm64_vcpu_init *)arg)->features[0]);
}

void fake_vcpu_describe(const struct fake_kvm *kvm, uint32_t i, unsigned long req, const void *arg,
			char *line)
{
	const char *name = "unknown ioctl";
	char more[FAKE_LINE];

	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
		if (names[n].req == req)
			name = names[n].name;
	describe_arg(req, arg, more);
	if (req == KVM_RUN)
		snprintf(more, FAKE_LINE, " by thread %d", kvm->vtid);
	snprintf(line, FAKE_LINE, "vcpu %u: %s%.80s", i, name, more);
}

/* Registers */

static bool is_sve(uint64_t id)
{
	return (id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM64_SVE;
}

bool fake_reg_exists(const struct fake_kvm *kvm, const struct fake_vcpu *vcpu, uint64_t id)
{
	static const struct {
		uint64_t id;
		uint32_t feature;
	} of_features[] = {
		{ FAKE_APIA, KVM_ARM_VCPU_PTRAUTH_ADDRESS }, { FAKE_APGA, KVM_ARM_VCPU_PTRAUTH_GENERIC },
		{ FAKE_PMCCNTR, KVM_ARM_VCPU_PMU_V3 },	     { FAKE_PMEVCNTR0, KVM_ARM_VCPU_PMU_V3 },
		{ FAKE_PMEVCNTR30, KVM_ARM_VCPU_PMU_V3 },    { FAKE_PMEVTYPER0, KVM_ARM_VCPU_PMU_V3 },
		{ FAKE_PMCNTENSET, KVM_ARM_VCPU_PMU_V3 },    { FAKE_PMCNTENCLR, KVM_ARM_VCPU_PMU_V3 },
		{ FAKE_PMOVSSET, KVM_ARM_VCPU_PMU_V3 },	     { FAKE_PMOVSCLR, KVM_ARM_VCPU_PMU_V3 },
		{ FAKE_PMINTENSET, KVM_ARM_VCPU_PMU_V3 },    { FAKE_PMINTENCLR, KVM_ARM_VCPU_PMU_V3 },
		{ ARM64_PMCR_EL0, KVM_ARM_VCPU_PMU_V3 },
	};

	for (size_t i = 0; i < sizeof(of_features) / sizeof(of_features[0]); i++)
		if (of_features[i].id == id && !fake_has(kvm, of_features[i].feature))
			return false;
	if ((is_sve(id) || id == FAKE_V0) && fake_has(kvm, KVM_ARM_VCPU_SVE) != is_sve(id))
		return false;
	return fake_reg((struct fake_vcpu *)vcpu, id) &&
	       (id != FAKE_TCR2 || fake_reg_u64((struct fake_vcpu *)vcpu, FAKE_ID_MMFR3) & 0xf);
}

static bool lacks_finalize(const struct fake_kvm *kvm, const struct fake_vcpu *vcpu)
{
	return fake_has(kvm, KVM_ARM_VCPU_SVE) && !vcpu->sve_finalized;
}

/* All that the host has up to a length, or none is right. */
static int check_vls(const uint64_t *vls)
{
	uint64_t up_to = *vls;

	for (int shift = 1; shift < 64; shift *= 2)
		up_to |= up_to >> shift;
	if (!*vls || *vls != (FAKE_VLS & up_to) || vls[1])
		return -EINVAL;
	return 0;
}

/* The one of the pair that sets, or 0: its place has the bits. */
static uint64_t pair_of(uint64_t id)
{
	if (id == FAKE_PMCNTENSET || id == FAKE_PMCNTENCLR)
		return FAKE_PMCNTENSET;
	if (id == FAKE_PMOVSSET || id == FAKE_PMOVSCLR)
		return FAKE_PMOVSSET;
	return id == FAKE_PMINTENSET || id == FAKE_PMINTENCLR ? FAKE_PMINTENSET : 0;
}

static void set_pair(struct fake_kvm *kvm, struct fake_vcpu *vcpu, uint64_t id, uint64_t value)
{
	uint64_t set = pair_of(id), old = fake_reg_u64(vcpu, set);

	value &= FAKE_PMU_MASK;
	if (!kvm->pmu_assigns)
		value = id == set ? old | value : old & ~value;
	fake_set_reg_u64(vcpu, set, value);
}

/* PMCR_EL0.N, of all vCPUs: as set_pmcr() has it, more than the host's is left as it is without a word. */
#define N_OF_PMCR(pmcr) ((pmcr) >> 11 & 0x1f)
#define PMCR_BITS 0xffull

static void set_pmcr(struct fake_kvm *kvm, struct fake_vcpu *vcpu, uint64_t value)
{
	if (!kvm->ran && N_OF_PMCR(value) <= kvm->pmu_counters)
		kvm->pmu_n = N_OF_PMCR(value);
	fake_set_reg_u64(vcpu, ARM64_PMCR_EL0, value & PMCR_BITS);
}

#define NOT_AVAIL 0
#define NOT_REQUIRED 3

/* get_kernel_wa_level() of a host that mitigates. */
static uint64_t workaround_level(struct fake_vcpu *vcpu)
{
	return fake_reg_u64(vcpu, FAKE_PFR1) >> 4 & 0xf ? NOT_AVAIL : NOT_REQUIRED;
}

/* KVM takes these from the VMM only before the VM has run. */
static bool is_fixed_by_run(uint64_t id)
{
	uint64_t kind = id & KVM_REG_ARM_COPROC_MASK;

	return id == FAKE_ID_MMFR3 || id == FAKE_PFR1 || id == ARM64_ID_AA64DFR0_EL1 || id == ARM64_MPIDR_EL1 || kind == KVM_REG_ARM_FW ||
	       kind == KVM_REG_ARM_FW_FEAT_BMAP;
}

static int get_reg(struct fake_kvm *kvm, struct fake_vcpu *vcpu, const struct kvm_one_reg *one)
{
	void *to = (void *)(uintptr_t)one->addr;
	uint64_t value;

	if (!fake_reg_exists(kvm, vcpu, one->id))
		return -ENOENT;
	if (is_sve(one->id) && one->id != ARM64_SVE_VLS && !vcpu->sve_finalized)
		return -EPERM;
	value = (one->id == KVM_REG_ARM_TIMER_CNT ? kvm->vtimer : kvm->ptimer) + vcpu->skew;
	if (one->id == KVM_REG_ARM_TIMER_CNT || one->id == KVM_REG_ARM_PTIMER_CNT)
		memcpy(to, &value, sizeof(value));
	else if (one->id == FAKE_WORKAROUND_2)
		*(uint64_t *)to = workaround_level(vcpu);
	else if (one->id == ARM64_PMCR_EL0)
		*(uint64_t *)to = fake_reg_u64(vcpu, one->id) | (uint64_t)kvm->pmu_n << 11;
	else
		memcpy(to, fake_reg(vcpu, pair_of(one->id) ?: one->id)->value, kvm_reg_size(one->id));
	return 0;
}

/* Without effect once KVM_ARM_SET_COUNTER_OFFSET was made. */
static void set_counter(struct fake_kvm *kvm, uint64_t id, const void *from)
{
	if (kvm->counter_offset)
		return;
	if (id == KVM_REG_ARM_TIMER_CNT) {
		memcpy(&kvm->vtimer, from, sizeof(kvm->vtimer));
		return;
	}
	memcpy(&kvm->ptimer, from, sizeof(kvm->ptimer));
	kvm->ptimer_offset = kvm->ptimer != kvm->host;
}

static bool is_refused(const struct fake_kvm *kvm, struct fake_vcpu *vcpu, uint64_t id, const void *from)
{
	uint64_t value = 0;

	memcpy(&value, from, kvm_reg_size(id) < sizeof(value) ? kvm_reg_size(id) : sizeof(value));
	for (size_t i = 0; i < kvm->nr_invariants; i++)
		if (kvm->invariants[i].id == id && (value ^ fake_reg_u64(vcpu, id)) & kvm->invariants[i].bits)
			return true;
	return false;
}

static int set_reg(struct fake_kvm *kvm, struct fake_vcpu *vcpu, const struct kvm_one_reg *one)
{
	const void *from = (void *)(uintptr_t)one->addr;

	if (!fake_reg_exists(kvm, vcpu, one->id))
		return -ENOENT;
	if (is_sve(one->id) && vcpu->sve_finalized != (one->id != ARM64_SVE_VLS))
		return -EPERM;
	if (one->id == ARM64_SVE_VLS && check_vls(from))
		return check_vls(from);
	if (is_refused(kvm, vcpu, one->id, from))
		return -EINVAL;
	if (kvm->ran && is_fixed_by_run(one->id))
		return -EBUSY;
	if (one->id == KVM_REG_ARM_TIMER_CNT || one->id == KVM_REG_ARM_PTIMER_CNT) {
		set_counter(kvm, one->id, from);
	} else if (one->id == FAKE_WORKAROUND_2) {
		return *(const uint64_t *)from > workaround_level(vcpu) ? -EINVAL : 0;
	} else if (pair_of(one->id)) {
		set_pair(kvm, vcpu, one->id, *(const uint64_t *)from);
	} else if (one->id == ARM64_PMCR_EL0) {
		set_pmcr(kvm, vcpu, *(const uint64_t *)from);
	} else {
		memcpy(fake_reg(vcpu, one->id)->value, from, kvm_reg_size(one->id));
	}
	return 0;
}

static int get_reg_list(struct fake_kvm *kvm, struct fake_vcpu *vcpu, struct kvm_reg_list *list)
{
	uint64_t room = list->n;

	if (lacks_finalize(kvm, vcpu))
		return -EPERM;
	list->n = 0;
	for (size_t i = 0; i < vcpu->nr_regs; i++)
		if (fake_reg_exists(kvm, vcpu, vcpu->regs[i].id) && list->n++ < room)
			list->reg[list->n - 1] = vcpu->regs[i].id;
	return list->n > room ? -E2BIG : 0;
}

/* KVM_RUN */

static bool takes_interrupt(struct fake_kvm *kvm, uint32_t i)
{
	for (uint32_t n = 0; n < kvm->gic.nr_irqs; n++) {
		const struct fake_irq *irq = n < VGIC_NR_PRIVATE ? &kvm->vcpus[i].irq[n] : &kvm->gic.spi[n];

		if (irq->queue == (int)i && !irq->active)
			return true;
	}
	return false;
}

/* As serror_is_masked() of 7.x. */
static bool masks_serrors(struct fake_vcpu *vcpu)
{
	bool nmea = fake_reg(vcpu, ARM64_SCTLR2_EL1) && fake_reg_u64(vcpu, ARM64_SCTLR2_EL1) & SCTLR2_NMEA;

	return fake_reg_u64(vcpu, ARM64_CORE_PSTATE) & PSTATE_A && !nmea;
}

static bool takes_exception(struct fake_kvm *kvm, uint32_t i)
{
	uint64_t pstate = fake_reg_u64(&kvm->vcpus[i], ARM64_CORE_PSTATE);

	return (!(pstate & PSTATE_I) && takes_interrupt(kvm, i)) ||
	       (!masks_serrors(&kvm->vcpus[i]) && kvm->vcpus[i].serror);
}

static void leave_with(struct fake_vcpu *vcpu, uint32_t reason)
{
	struct kvm_run *run = (struct kvm_run *)vcpu->run;

	run->exit_reason = reason;
	if (reason != KVM_EXIT_MMIO)
		return;
	run->mmio.phys_addr = vcpu->insn.phys;
	run->mmio.len = vcpu->insn.len;
	run->mmio.is_write = vcpu->insn.is_write;
	if (vcpu->insn.is_write)
		memcpy(run->mmio.data, &vcpu->insn.data, sizeof(run->mmio.data));
}

static void complete_mmio(struct fake_vcpu *vcpu)
{
	const struct kvm_run *run = (const struct kvm_run *)vcpu->run;
	uint64_t value;

	vcpu->mmio_needed = false;
	memcpy(&value, run->mmio.data, sizeof(value));
	if (!run->mmio.is_write)
		fake_set_reg_u64(vcpu, FAKE_X0, value);
	fake_set_reg_u64(vcpu, ARM64_CORE_PC, fake_reg_u64(vcpu, ARM64_CORE_PC) + 4);
}

static bool steps(const struct fake_vcpu *vcpu)
{
	return vcpu->debug.control & KVM_GUESTDBG_SINGLESTEP;
}

/* To EL1, by the vector that the mode has. */
static void take_abort(struct fake_vcpu *vcpu)
{
	uint64_t pstate = fake_reg_u64(vcpu, ARM64_CORE_PSTATE);
	uint64_t vector = (pstate & 0x1f) == 5 ? 0x200 : pstate & PSTATE_AARCH32 ? 0x600 : 0x400;

	fake_set_reg_u64(vcpu, ARM64_CORE_ELR_EL1, fake_reg_u64(vcpu, ARM64_CORE_PC));
	fake_set_reg_u64(vcpu, ARM64_CORE_SPSR_EL1, pstate);
	fake_set_reg_u64(vcpu, ARM64_ESR_EL1, vector == 0x200 ? 0x96000047 : 0x92000047);
	fake_set_reg_u64(vcpu, ARM64_FAR_EL1, 0xaaaa00001000);
	fake_set_reg_u64(vcpu, ARM64_AFSR0_EL1, 1);
	fake_set_reg_u64(vcpu, ARM64_AFSR1_EL1, 2);
	fake_set_reg_u64(vcpu, ARM64_CORE_PSTATE, 0x3c5);
	fake_set_reg_u64(vcpu, ARM64_CORE_PC, (fake_reg_u64(vcpu, ARM64_VBAR_EL1) & ~0x7ffull) + vector);
}

/* One instruction. An AArch32 one that finds its endianness (PSTATE bit 9) changed stores other bytes. */
static void step(const struct fake_kvm *kvm, struct fake_vcpu *vcpu)
{
	uint64_t pc = fake_reg_u64(vcpu, ARM64_CORE_PC), pstate = fake_reg_u64(vcpu, ARM64_CORE_PSTATE);
	struct kvm_run *run = (struct kvm_run *)vcpu->run;

	if (!vcpu->insn.len || vcpu->insn.pc != pc ||
	    (vcpu->insn.is_write && fake_binding_takes(kvm, vcpu->insn.phys))) {
		fake_set_reg_u64(vcpu, ARM64_CORE_PC, pc + 4);
		leave_with(vcpu, steps(vcpu) ? KVM_EXIT_DEBUG : KVM_EXIT_INTR);
		return;
	}
	/* Linux 6.12: those of the guest are on while the host steps it. */
	if (vcpu->insn.watched && fake_reg_u64(vcpu, ARM64_MDSCR_EL1) & MDSCR_MDE) {
		leave_with(vcpu, KVM_EXIT_DEBUG);
		return;
	}
	if (vcpu->insn.unmapped) {
		take_abort(vcpu);
		leave_with(vcpu, steps(vcpu) ? KVM_EXIT_DEBUG : KVM_EXIT_INTR);
		return;
	}
	leave_with(vcpu, KVM_EXIT_MMIO);
	if (vcpu->insn.is_write && pstate & PSTATE_AARCH32 && pstate & 0x200)
		memset(run->mmio.data, 0xee, sizeof(run->mmio.data));
	vcpu->mmio_needed = true;
}

/* What KVM looks at before a vCPU's first run. */
static int check_run(struct fake_kvm *kvm, uint32_t i)
{
	const struct fake_vcpu *vcpu = &kvm->vcpus[i];

	if (!vcpu->initialised)
		return -ENOEXEC;
	if (lacks_finalize(kvm, vcpu))
		return -EPERM;
	if (kvm->v5 && model_first_run(kvm->v5, i))
		return model_first_run(kvm->v5, i);
	if (!kvm->v5 && !kvm->gic.initialised)
		return -ENXIO;
	return fake_has(kvm, KVM_ARM_VCPU_PMU_V3) && !vcpu->pmu_created ? -EINVAL : 0;
}

int fake_run(struct fake_kvm *kvm, uint32_t i)
{
	struct fake_vcpu *vcpu = &kvm->vcpus[i];
	const struct kvm_run *run = (const struct kvm_run *)vcpu->run;

	int ret = check_run(kvm, i);

	if (ret)
		return ret;
	kvm->ran = true;
	if (run->exit_reason == KVM_EXIT_MMIO && vcpu->mmio_needed)
		complete_mmio(vcpu);
	if (run->immediate_exit)
		return -EINTR;
	if (vcpu->sigset_active && kvm->signals & ~vcpu->sigset)
		return -EINTR;
	vcpu->stolen += vcpu->pvtime != VCPU_NO_PVTIME;
	if (vcpu->mp_state != KVM_MP_STATE_RUNNABLE)
		return -EINTR; /* it sleeps, until a signal comes */
	if (takes_exception(kvm, i)) {
		fake_set_reg_u64(vcpu, ARM64_CORE_PC, VECTOR);
		leave_with(vcpu, steps(vcpu) ? KVM_EXIT_DEBUG : KVM_EXIT_INTR);
	} else {
		step(kvm, vcpu);
	}
	if (steps(vcpu))
		fake_set_reg_u64(vcpu, ARM64_MDSCR_EL1, fake_reg_u64(vcpu, ARM64_MDSCR_EL1) | MDSCR_SS);
	return 0;
}

/* The ioctls */

#define VALID_FEATURES 0x7full
#define PTRAUTH (1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1u << KVM_ARM_VCPU_PTRAUTH_GENERIC)

/* All vCPUs of a VM have the same. */
static int init_vcpu(struct fake_kvm *kvm, struct fake_vcpu *vcpu, const struct arm64_vcpu_init *init)
{
	uint32_t features = init->features[0] & ~(1u << KVM_ARM_VCPU_POWER_OFF);

	if (init->target != 5)
		return -EINVAL;
	if (init->features[0] & ~VALID_FEATURES || init->features[1])
		return -ENOENT;
	if ((features & PTRAUTH && (features & PTRAUTH) != PTRAUTH) ||
	    (kvm->features_set && kvm->features != features))
		return -EINVAL;
	vcpu->initialised = true;
	vcpu->mp_state = init->features[0] & 1 << KVM_ARM_VCPU_POWER_OFF ? KVM_MP_STATE_STOPPED
									 : KVM_MP_STATE_RUNNABLE;
	kvm->features = features;
	kvm->features_set = true;
	return 0;
}

static int finalize(const struct fake_kvm *kvm, struct fake_vcpu *vcpu, int feature)
{
	if (feature != KVM_ARM_VCPU_SVE || !fake_has(kvm, KVM_ARM_VCPU_SVE))
		return -EINVAL;
	if (vcpu->sve_finalized)
		return -EPERM;
	vcpu->sve_finalized = true;
	return 0;
}

static int get_events(const struct fake_kvm *kvm, struct fake_vcpu *vcpu, struct arm64_vcpu_events *events)
{
	*events = (struct arm64_vcpu_events){ .exception.serror_has_esr = !kvm->no_ras };
	events->exception.serror_pending = vcpu->serror;
	events->exception.serror_esr = vcpu->serror && !kvm->no_ras ? vcpu->serror_esr : 0;
	return 0;
}

#define ESR_ISS 0x1ffffffull
#define ESR_OF_NOBODY 0x1000000u /* ISV */

static int set_events(const struct fake_kvm *kvm, struct fake_vcpu *vcpu, const struct arm64_vcpu_events *events)
{
	bool has_esr = events->exception.serror_has_esr;

	if (!events->exception.serror_pending)
		return 0;
	if (has_esr && (kvm->no_ras || events->exception.serror_esr & ~ESR_ISS))
		return -EINVAL;
	/* As 7.x: one that is not masked is delivered, and what was to be completed is not. */
	if (!masks_serrors(vcpu)) {
		fake_set_reg_u64(vcpu, ARM64_CORE_PC, VECTOR);
		vcpu->mmio_needed = false;
		return 0;
	}
	vcpu->serror = true;
	vcpu->serror_esr = has_esr ? events->exception.serror_esr : ESR_OF_NOBODY;
	return 0;
}

#define DEBUG_VALID 0x30003u

static int set_guest_debug(struct fake_vcpu *vcpu, const struct arm64_guest_debug *debug)
{
	if (debug->control & ~DEBUG_VALID)
		return -EINVAL;
	if (debug->control & KVM_GUESTDBG_ENABLE && debug->control & FAKE_DEBUG_HW)
		vcpu->debug = *debug;
	vcpu->debug.control = debug->control & KVM_GUESTDBG_ENABLE ? debug->control : 0;
	return 0;
}

#define SIGKILL_AND_SIGSTOP (1ull << 8 | 1ull << 18)

static int set_sigset(struct fake_vcpu *vcpu, const struct fake_sigmask *mask)
{
	vcpu->sigset_active = mask;
	if (!mask)
		return 0;
	if (mask->len != sizeof(mask->sigset))
		return -EINVAL;
	memcpy(&vcpu->sigset, mask->sigset, sizeof(mask->sigset));
	vcpu->sigset &= ~SIGKILL_AND_SIGSTOP;
	return 0;
}

int64_t fake_vcpu_ioctl(struct fake_kvm *kvm, uint32_t i, unsigned long req, void *arg)
{
	struct fake_vcpu *vcpu = &kvm->vcpus[i];

	if (req != ARM64_VCPU_INIT && !vcpu->initialised)
		return -ENOEXEC;
	switch (req) {
	case ARM64_VCPU_INIT:
		return init_vcpu(kvm, vcpu, arg);
	case KVM_GET_REG_LIST:
		return get_reg_list(kvm, vcpu, arg);
	case KVM_GET_ONE_REG:
		return get_reg(kvm, vcpu, arg);
	case KVM_SET_ONE_REG:
		return set_reg(kvm, vcpu, arg);
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		return fake_attr_ioctl(kvm, vcpu, arg, req == KVM_SET_DEVICE_ATTR);
	case KVM_GET_MP_STATE:
		memcpy(arg, &vcpu->mp_state, sizeof(vcpu->mp_state));
		return 0;
	case KVM_SET_MP_STATE:
		memcpy(&vcpu->mp_state, arg, sizeof(vcpu->mp_state));
		return 0;
	case ARM64_GET_VCPU_EVENTS:
		return get_events(kvm, vcpu, arg);
	case ARM64_SET_VCPU_EVENTS:
		return set_events(kvm, vcpu, arg);
	case ARM64_SET_GUEST_DEBUG:
		return set_guest_debug(vcpu, arg);
	case KVM_SET_SIGNAL_MASK:
		return set_sigset(vcpu, arg);
	case KVM_ARM_VCPU_FINALIZE:
		return finalize(kvm, vcpu, *(int *)arg);
	case KVM_RUN:
		vcpu->vtid = kvm->vtid;
		return fake_run(kvm, i);
	}
	return -ENOTTY;
}
