// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPU registers, timers and power states (Documentation/virt/kvm/api.rst 4.68,
 * 4.82; devices/vcpu.rst).
 */
#include <inttypes.h>
#include <stdlib.h>

#include "fault.h"
#include "log.h"
#include "remote/remote.h"
#include "state/counter.h"
#include "state/reg_policy.h"
#include "state/vm.h"

#define FEW_REGS 512u /* without SVE a list has no more */

const uint64_t *vcpu_reg_u64(const struct vcpu_state *vcpu, uint64_t id)
{
	for (size_t i = 0; i < vcpu->nr_regs; i++)
		if (vcpu->regs[i].id == id)
			return (const uint64_t *)vcpu->regs[i].value;
	return NULL;
}

bool vcpu_same_regs(const struct vcpu_state *a, const struct vcpu_state *b)
{
	if (a->nr_regs != b->nr_regs)
		return false;
	for (size_t i = 0; i < a->nr_regs; i++)
		if (a->regs[i].id != b->regs[i].id)
			return false;
	return true;
}

int vcpu_for_each(struct vm_state *vm, struct remote *remote, const char *step,
		  void (*add)(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu))
{
	struct batch b = BATCH(remote, vm->id, step);
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		b.vcpu = i;
		add(&b, vm, &vm->vcpus[i]);
	}
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

/* Calls in @b, one for each vCPU, that KVM has answered @err: the vCPU was not set up, and @what says how far. */
static int check_set_up(const struct vm_state *vm, const struct batch *b, int err, const char *what)
{
	for (size_t i = 0; i < b->nr; i++) {
		if (!b->calls[i].result)
			continue;
		pr_err("vm %u: vcpu %zu (id %u): %s: not supported by this version: dump the VM when it has been set "
		       "up\n",
		       vm->id, i, vm->vcpus[i].id, what);
		return -err;
	}
	return 0;
}

/* The first registers that are read show what is not set up. */
static int capture_mpidrs(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "vCPU affinities");
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		b.vcpu = i;
		batch_get_reg(&b, vm->vcpus[i].fd, ARM64_MPIDR_EL1, &vm->vcpus[i].mpidr)->may_fail = ENOEXEC;
	}
	ret = batch_run(&b) ?: check_set_up(vm, &b, ENOEXEC, "a vCPU without KVM_ARM_VCPU_INIT");
	batch_fini(&b);
	return ret;
}

static int check_finalized(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "vCPU affinities");
	uint8_t z0[VCPU_REG_MAX];
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		b.vcpu = i;
		batch_get_reg(&b, vm->vcpus[i].fd, ARM64_SVE_Z0, z0)->may_fail = EPERM;
	}
	ret = batch_run(&b) ?: check_set_up(vm, &b, EPERM, "a vCPU with SVE and without KVM_ARM_VCPU_FINALIZE");
	batch_fini(&b);
	return ret;
}

int vcpu_capture_mpidr(struct vm_state *vm, struct remote *remote)
{
	int ret = capture_mpidrs(vm, remote);

	return ret || !(vm->features >> KVM_ARM_VCPU_SVE & 1) ? ret : check_finalized(vm, remote);
}

struct kvm_reg_list *vcpu_reg_list(const struct vcpu_reg_lists *lists, size_t i)
{
	return (struct kvm_reg_list *)&lists->words[i * (lists->room + 1)];
}

/* With room for as many registers as @lists say: 0 with the longest list's length in *@longest, or a negative errno. */
static int try_reg_lists(struct vm_state *vm, struct remote *remote, struct vcpu_reg_lists *lists, uint64_t *longest)
{
	struct batch b = BATCH(remote, vm->id, "register list");
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		struct kvm_reg_list *list = vcpu_reg_list(lists, i);

		list->n = lists->room;
		b.vcpu = i;
		batch_ioctl(&b, vm->vcpus[i].fd, KVM_GET_REG_LIST, list,
			    sizeof(*list) + lists->room * sizeof(list->reg[0]), "KVM_GET_REG_LIST")
			->may_fail = E2BIG;
	}
	ret = batch_run(&b);
	batch_fini(&b);
	*longest = 0;
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		if (vcpu_reg_list(lists, i)->n > *longest)
			*longest = vcpu_reg_list(lists, i)->n;
	return ret;
}

int vcpu_get_reg_lists(struct vm_state *vm, struct remote *remote, struct vcpu_reg_lists *lists)
{
	uint64_t longest = FEW_REGS;
	int ret;

	*lists = (struct vcpu_reg_lists){ 0 };
	do {
		free(lists->words);
		lists->room = longest;
		lists->words = calloc(vm->nr_vcpus + 1, (longest + 1) * sizeof(*lists->words));
		ret = lists->words ? try_reg_lists(vm, remote, lists, &longest) : -ENOMEM;
	} while (!ret && longest > lists->room && longest <= VCPU_MAX_REGS);
	return !ret && longest > lists->room ? -E2BIG : ret;
}

/* Whether @reg can be one more of @run, which ends with the one before it. */
static bool joins(const struct remote_call *run, const struct vcpu_reg *reg)
{
	return run && run->size == kvm_reg_size(reg->id);
}

/* Makes @call, for @reg, the first of a run. */
static struct remote_call *begin_run(struct remote_call *call, const struct vcpu_reg *reg)
{
	call->stride = sizeof(*reg);
	call->numbers = &reg->id;
	return call;
}

struct remote_call *vcpu_reg_add_set(struct batch *b, const struct vcpu_state *vcpu, const struct vcpu_reg *reg,
				     struct remote_call *run)
{
	if (!joins(run, reg))
		return begin_run(batch_set_reg(b, vcpu->fd, reg->id, reg->value), reg);
	run->more++;
	return run;
}

static void get_regs(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	struct remote_call *run = NULL;

	for (struct vcpu_reg *reg = vcpu->regs; reg < vcpu->regs + vcpu->nr_regs; reg++)
		if (joins(run, reg))
			run->more++;
		else
			run = begin_run(batch_get_reg(b, vcpu->fd, reg->id, reg->value), reg);
}

/* Of most registers a value has room for much more than it has: that stays as it is. */
static int name_regs(struct vcpu_state *vcpu, const struct kvm_reg_list *list)
{
	vcpu->regs = reallocarray(NULL, list->n ?: 1, sizeof(*vcpu->regs));
	if (!vcpu->regs)
		return -ENOMEM;
	vcpu->nr_regs = list->n;
	for (size_t r = 0; r < vcpu->nr_regs; r++) {
		vcpu->regs[r].id = list->reg[r];
		memset(vcpu->regs[r].value, 0, sizeof(uint64_t));
	}
	return 0;
}

int vcpu_capture_lists(struct vm_state *vm, struct remote *remote)
{
	struct vcpu_reg_lists lists;
	int ret = vcpu_get_reg_lists(vm, remote, &lists);

	for (size_t i = 0; !ret && i < vm->nr_vcpus; i++)
		ret = name_regs(&vm->vcpus[i], vcpu_reg_list(&lists, i));
	free(lists.words);
	return ret;
}

int vcpu_capture_regs(struct vm_state *vm, struct remote *remote)
{
	counter_note_time(vm);
	return vcpu_for_each(vm, remote, "vCPU registers", get_regs);
}

static void get_timers(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	batch_get_attr(b, vcpu->fd, KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &vcpu->vtimer_irq,
		       sizeof(vcpu->vtimer_irq), "KVM_ARM_VCPU_TIMER_IRQ_VTIMER");
	batch_get_attr(b, vcpu->fd, KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_PTIMER, &vcpu->ptimer_irq,
		       sizeof(vcpu->ptimer_irq), "KVM_ARM_VCPU_TIMER_IRQ_PTIMER");
}

int vcpu_capture_timers(struct vm_state *vm, struct remote *remote)
{
	return vcpu_for_each(vm, remote, "timer interrupts", get_timers);
}

static void get_mp_state(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	batch_ioctl(b, vcpu->fd, KVM_GET_MP_STATE, &vcpu->mp_state, sizeof(vcpu->mp_state),
		    "KVM_GET_MP_STATE");
}

int vcpu_capture_mp_state(struct vm_state *vm, struct remote *remote)
{
	return vcpu_for_each(vm, remote, "power states", get_mp_state);
}

int vcpu_ask_target(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "vCPU creation");
	int ret;

	batch_ioctl(&b, vm->fd, ARM64_PREFERRED_TARGET, &vm->init, sizeof(vm->init), "KVM_ARM_PREFERRED_TARGET");
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

static void init(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	batch_ioctl(b, vcpu->fd, ARM64_VCPU_INIT, &vm->init, sizeof(vm->init), "KVM_ARM_VCPU_INIT")->detail = vm->features;
}

/*
 * POWER_OFF is not set, whatever the VMM did: it is the first power state only,
 * and the replay of a pending exit must find a vCPU that can run.
 */
int vcpu_apply_init(struct vm_state *vm, struct remote *remote)
{
	int ret = batch_flush(remote);

	vm->init.features[0] = vm->features & ~(1ull << KVM_ARM_VCPU_POWER_OFF);
	vm->init.features[1] = vm->features >> 32;
	return ret ?: vcpu_for_each(vm, remote, "vCPU creation", init);
}

static bool is_counter(uint64_t id)
{
	return id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT;
}

static bool is_sve(uint64_t id)
{
	return (id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM64_SVE;
}

/* APIAKeyLo_EL1 to APGAKeyHi_EL1: op0 3, op1 0, CRn 2, CRm 1 to 3. */
static bool is_pauth_key(uint64_t id)
{
	uint64_t crm = id >> 3 & 0xf;

	return (id & ~0x7full) == ARM64_SYS_REG(3, 0, 2, 0, 0) && crm >= 1 && crm <= 3;
}

/* PMCCNTR_EL0, and PMEVCNTR<n>_EL0: op0 3, op1 3, CRn 14, CRm 8 to 11. */
static bool is_pmu_counter(uint64_t id)
{
	uint64_t crm = id >> 3 & 0xf;

	return id == ARM64_SYS_REG(3, 3, 9, 13, 0) ||
	       ((id & ~0x7full) == ARM64_SYS_REG(3, 3, 14, 0, 0) && crm >= 8 && crm <= 11);
}

/*
 * PMCNTENCLR_EL0, PMOVSCLR_EL0, PMINTENCLR_EL1: each has the bits of another register, which sets them. A new vCPU
 * has some of these bits set (reset_unknown()), and Linux 6.12 sets or clears what is written (set_pmreg()), where
 * 7.2 takes it for the value: so all are cleared, and then the others are set.
 */
static bool clears(uint64_t id)
{
	return id == ARM64_SYS_REG(3, 3, 9, 12, 2) || id == ARM64_SYS_REG(3, 3, 9, 12, 3) ||
	       id == ARM64_SYS_REG(3, 0, 9, 14, 2);
}

static void clear_bits(struct batch *b, struct vcpu_state *vcpu)
{
	static const uint64_t all = ~0ull;

	for (size_t i = 0; i < vcpu->nr_regs; i++)
		if (clears(vcpu->regs[i].id))
			batch_set_reg(b, vcpu->fd, vcpu->regs[i].id, &all);
}

/* Registers that a test leaves out. One by one: in a build without fault points nothing is left of it. */
static bool left_out(uint64_t id)
{
	return (id == KVM_REG_ARM_TIMER_CTL && fault_leaves_out("CNTV_CTL_EL0")) ||
	       (id == KVM_REG_ARM_TIMER_CVAL && fault_leaves_out("CNTV_CVAL_EL0")) ||
	       (id == KVM_REG_ARM_PTIMER_CTL && fault_leaves_out("CNTP_CTL_EL0")) ||
	       (id == KVM_REG_ARM_PTIMER_CVAL && fault_leaves_out("CNTP_CVAL_EL0")) ||
	       (is_sve(id) && fault_leaves_out("SVE registers")) ||
	       (is_pauth_key(id) && fault_leaves_out("pointer authentication keys")) ||
	       (is_pmu_counter(id) && fault_leaves_out("PMU counters"));
}

static bool is_set(uint64_t id)
{
	return !reg_policy_is_first(id) && !is_counter(id) && id != ARM64_SVE_VLS && !clears(id) && !left_out(id);
}

static void set_regs(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	struct remote_call *run = NULL;

	clear_bits(b, vcpu);
	for (const struct vcpu_reg *reg = vcpu->regs; reg < vcpu->regs + vcpu->nr_regs; reg++)
		run = is_set(reg->id) ? vcpu_reg_add_set(b, vcpu, reg, run) : NULL;
}

int vcpu_apply_regs(struct vm_state *vm, struct remote *remote)
{
	return vcpu_for_each(vm, remote, "vCPU registers", set_regs);
}

static void set_timers(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	batch_set_attr(b, vcpu->fd, KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &vcpu->vtimer_irq,
		       sizeof(vcpu->vtimer_irq), "KVM_ARM_VCPU_TIMER_IRQ_VTIMER");
	batch_set_attr(b, vcpu->fd, KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_PTIMER, &vcpu->ptimer_irq,
		       sizeof(vcpu->ptimer_irq), "KVM_ARM_VCPU_TIMER_IRQ_PTIMER");
}

int vcpu_apply_timers(struct vm_state *vm, struct remote *remote)
{
	return vcpu_for_each(vm, remote, "timer interrupts", set_timers);
}

static void set_mp_state(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu)
{
	batch_ioctl(b, vcpu->fd, KVM_SET_MP_STATE, &vcpu->mp_state, sizeof(vcpu->mp_state),
		    "KVM_SET_MP_STATE");
}

int vcpu_apply_mp_state(struct vm_state *vm, struct remote *remote)
{
	return vcpu_for_each(vm, remote, "power states", set_mp_state);
}

/* Which signals KVM_RUN lets through (api.rst, KVM_SET_SIGNAL_MASK). */
struct sigmask {
	uint32_t len;
	uint8_t sigset[sizeof(uint64_t)];
};

int vcpu_apply_sigsets(struct vm_state *vm, struct remote *remote)
{
	struct sigmask *masks = calloc(vm->nr_vcpus, sizeof(*masks));
	struct batch b = BATCH(remote, vm->id, "signal masks");
	int ret;

	if (!masks)
		return -ENOMEM;
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		if (!vm->vcpus[i].sigset_active)
			continue;
		masks[i].len = sizeof(masks[i].sigset);
		memcpy(masks[i].sigset, &vm->vcpus[i].sigset, sizeof(masks[i].sigset));
		b.vcpu = i;
		batch_ioctl(&b, vm->vcpus[i].fd, KVM_SET_SIGNAL_MASK, &masks[i], sizeof(masks[i]),
			    "KVM_SET_SIGNAL_MASK");
	}
	ret = batch_run(&b);
	batch_fini(&b);
	free(masks);
	return ret;
}
