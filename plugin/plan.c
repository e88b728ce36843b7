// SPDX-License-Identifier: GPL-2.0-only
/* The order in which a VM is read and rebuilt, and who says so. */
#include <string.h>

#include "fault.h"
#include "image/image.h"
#include "log.h"
#include "plan.h"
#include "remote/remote.h"
#include "state/counter.h"
#include "state/kvm_run.h"
#include "state/pmu.h"
#include "state/reg_policy.h"

/* All tasks of the VMM are stopped; CRIU has not looked at its memory yet. */
const struct plan_step plan_dump[] = {
	{ "eventfd for irqfds that have ended", ANY_GIC, irqfd_flush_begin, "in one round trip with the affinities" },
	{ "vCPU affinities", ANY_GIC, vcpu_capture_mpidr,
	  "arm-vgic-v3.rst: attributes name a vCPU by its MPIDR" },
	{ "irqfds that have ended", ANY_GIC, irqfd_flush,
	  "before the GIC is read: KVM_IRQFD_FLAG_DEASSIGN waits for what they still inject; in one round trip with the lists" },
	{ "ITS addresses", ANY_GIC, its_capture_addresses, "an ITS without one has no registers" },
	{ "GIC asked for addresses", GICV3, vgic_v3_ask_config, "in one round trip with the lists" },
	{ "register lists", ANY_GIC, vcpu_capture_lists, "before registers, which they name" },
	{ "GIC addresses", GICV3, vgic_v3_capture_config, "the number of interrupts sizes the registers" },
	{ "ITS registers", ANY_GIC, its_capture_regs, "arm-vgic-its.rst: with all vCPUs stopped; in one round trip with those of the GIC" },
	{ "GIC registers", GICV3, vgic_v3_capture_regs,
	  "arm-vgic-v3.rst: with all vCPUs stopped, in any order" },
	{ "GICv2 addresses", GICV2, vgic_v2_capture_config, "the number of interrupts sizes the registers" },
	{ "GICv2 registers", GICV2, vgic_v2_capture_regs,
	  "arm-vgic.rst: with all vCPUs stopped, in any order" },
	{ "GICv5 addresses", GICV5, vgic_v5_capture_config, "arm-vgic-v5.rst: they size the ISTs" },
	{ "GICv5 ISTs", GICV5, vgic_v5_capture_ists,
	  "arm-vgic-v5.rst: before the registers; before v7.4 into guest memory, which CRIU dumps later" },
	{ "IRS registers", GICV5, vgic_v5_capture_irs, "arm-vgic-v5.rst: after the ISTs" },
	{ "GICv5 CPU interfaces", GICV5, vgic_v5_capture_cpuif, "arm-vgic-v5.rst: after the ISTs" },
	{ "LPI pending tables kept", ANY_GIC, lpi_keep_pending,
	  "they are overwritten next, and the VM may go on" },
	{ "ITS tables saved", ANY_GIC, its_save_tables,
	  "arm-vgic-its.rst: into guest memory, which CRIU dumps later" },
	{ "LPI pending tables saved", ANY_GIC, lpi_save_pending, "arm-vgic-v3.rst: into guest memory, which CRIU dumps later" },
	{ "ITS tables decoded", ANY_GIC, its_capture_tables,
	  "from guest memory, when KVM has written all of it" },
	{ "LPI tables decoded", ANY_GIC, lpi_capture, "from guest memory, when KVM has written all of it" },
	{ "images of the GIC and ITSes", ANY_GIC, image_write_early,
	  "with all of them read; early, for nobody waits for it while the vCPUs' registers are read" },
	{ "vCPU registers", ANY_GIC, vcpu_capture_regs,
	  "before power states: reading a register commits a PSCI reset that is pending" },
	{ "dirty logs", ANY_GIC, memslots_capture_logs,
	  "after the tables, which KVM has written to guest memory; they are not cleared: api.rst 4.8" },
	{ "timer interrupts", GICV2_OR_V3, vcpu_capture_timers, "devices/vcpu.rst 2" },
	{ "PMU", ANY_GIC, pmu_capture, "devices/vcpu.rst 1" },
	{ "vCPU events", ANY_GIC, vcpu_capture_events, "api.rst 4.31" },
	{ "power states", ANY_GIC, vcpu_capture_mp_state, "api.rst 4.38" },
	{ "kvm_run pages", ANY_GIC, kvm_run_capture,
	  "names each vCPU with the PC that was read; in one round trip with all that is read of vCPUs" },
	{ "guest counters noted", ANY_GIC, counter_note, "last, of what was read: the largest of the vCPUs'" },
	{ "PMU event filter cut", ANY_GIC, pmu_cut_filter,
	  "devices/vcpu.rst 1.3: after ID_AA64DFR0_EL1, which tells how many events there are" },
};
const size_t plan_nr_dump = sizeof(plan_dump) / sizeof(plan_dump[0]);

#define NR_SETTLE 6
const struct plan_part plan_settle = { .first = 0, .nr = NR_SETTLE };
const struct plan_part plan_read = { .first = NR_SETTLE, .nr = sizeof(plan_dump) / sizeof(plan_dump[0]) - NR_SETTLE };

/* Memory is in place, all tasks are stopped, no vCPU has run. The objects exist, from vm_create(). */
const struct plan_step plan_restore[] = {
	{ "no vCPU runs", ANY_GIC, kvm_run_forbid,
	  "before KVM_ARM_VCPU_INIT: criu may be killed, and the tasks run on" },
	{ "capabilities", ANY_GIC, caps_apply,
	  "api.rst 7.39: before memslots; before the guest can meet what they change" },
	{ "SMCCC filter", ANY_GIC, caps_apply_smccc_filter, "devices/vm.rst 6.1: before the first KVM_RUN" },
	{ "vCPU target", ANY_GIC, vcpu_ask_target, "api.rst 4.83: of the VM, before vCPU initialisation; in one round trip with the memslots" },
	{ "memslots", ANY_GIC, memslots_apply, "guest memory before anything that may read it" },
	{ "dirty logs", ANY_GIC, memslots_apply_logs,
	  "before KVM writes to guest memory, which makes it dirty" },
	{ "ITS tables compared", GICV3, its_check_tables,
	  "before KVM is given any state, and before it clears what it has read of them" },
	{ "LPI tables compared", GICV3, lpi_check,
	  "before KVM is given any state, and before it clears what it has read of them" },
	{ "vCPU initialisation", ANY_GIC, vcpu_apply_init,
	  "api.rst 4.82: before every other ioctl on a vCPU" },
	{ "vector lengths", ANY_GIC, vcpu_apply_vector_lengths,
	  "api.rst 4.68, 4.119: before KVM_ARM_VCPU_FINALIZE, which comes before every register" },
	{ "ID and firmware registers", ANY_GIC, reg_policy_apply_ids,
	  "api.rst 4.68: they decide which others exist" },
	{ "register list", ANY_GIC, reg_policy_check_list,
	  "nothing is written to a host that lacks a register" },
	{ "PMU event filter", ANY_GIC, pmu_apply_filter,
	  "devices/vcpu.rst 1.3: before KVM_ARM_VCPU_PMU_V3_INIT and the first KVM_RUN" },
	{ "vCPU registers", ANY_GIC, vcpu_apply_regs,
	  "devices/vcpu.rst: after the device attributes that reset some" },
	{ "number of PMU counters", ANY_GIC, pmu_check_nr_counters,
	  "PMCR_EL0 read back: KVM lowers N without a word" },
	{ "timer interrupts", GICV2_OR_V3, vcpu_apply_timers, "devices/vcpu.rst 2: before a vCPU has run" },
	{ "GIC addresses", GICV3, vgic_v3_apply_config,
	  "arm-vgic-v3.rst: after all vCPUs; INIT before registers; GICD_IIDR before the others" },
	{ "GIC distributor", GICV3, vgic_v3_apply_dist,
	  "arm-vgic-v3.rst: levels before latches; holds GICD_CTLR: nothing pending is queued while it is "
	  "disabled" },
	{ "GIC redistributors", GICV3, vgic_v3_apply_redist,
	  "arm-vgic-v3.rst: attributes need the restored MPIDRs" },
	{ "LPIs enabled", GICV3, vgic_v3_enable_lpis,
	  "with all PROPBASERs and PENDBASERs; before the ITS tables, which clear what is pending there" },
	{ "GIC CPU interfaces", GICV3, vgic_v3_apply_cpuif, "after the interrupts they are to signal" },
	{ "GICv2 addresses", GICV2, vgic_v2_apply_config,
	  "arm-vgic.rst: INIT after all vCPUs; GICD_IIDR before the other registers" },
	{ "GICv2 distributor", GICV2, vgic_v2_apply_dist,
	  "holds GICD_CTLR: nothing pending is queued while it is disabled" },
	{ "GICv2 banked registers", GICV2, vgic_v2_apply_banked,
	  "after GICD_CTLR: nothing pending is queued while the distributor is disabled" },
	{ "GICv2 line levels", GICV2, vgic_v2_apply_levels,
	  "api.rst 4.25: after GICD_ICFGR, or a level would be an edge" },
	{ "GICv2 CPU interfaces", GICV2, vgic_v2_apply_cpuif, "after the interrupts they are to signal" },
	{ "ITS registers", GICV3, its_apply_regs,
	  "arm-vgic-its.rst: after the redistributors; address, CBASER, then others" },
	{ "ITS tables", GICV3, its_restore_tables, "arm-vgic-its.rst: after all registers but GITS_CTLR" },
	{ "ITS control", GICV3, its_apply_ctlr,
	  "arm-vgic-its.rst: last; it executes the commands that are queued" },
	{ "GICv5 addresses", GICV5, vgic_v5_apply_config,
	  "arm-vgic-v5.rst: after all vCPUs; the number of SPIs before INIT" },
	{ "IRS ID registers compared", GICV5, vgic_v5_check_ids,
	  "nothing is written to an IRS that is another" },
	{ "IRS ID registers", GICV5, vgic_v5_apply_ids,
	  "arm-vgic-v5.rst: before the ISTs, with IRS_IST_CFGR and IRS_IST_BASER, which size that of LPIs" },
	{ "IRS registers", GICV5_DESCRIPTOR, vgic_v5_apply_irs,
	  "arm-vgic-v5.rst of v7.4: all of them before the ISTs; selectors last" },
	{ "GICv5 ISTs", GICV5, vgic_v5_apply_ists,
	  "after guest memory and what sizes them; makes the LPI IST" },
	{ "IRS registers, after the ISTs", GICV5_RAW, vgic_v5_apply_irs,
	  "arm-vgic-v5.rst of April 2026: all of them after the ISTs" },
	{ "GICv5 CPU interfaces", GICV5, vgic_v5_apply_cpuif,
	  "after the ISTs, whose interrupts they are to signal" },
	{ "GSI routing", ANY_GIC, routing_apply, "after the GIC's INIT, which makes the default routes" },
	{ "PMU", ANY_GIC, pmu_apply, "devices/vcpu.rst 1.1, 1.2: the interrupt before INIT, with the GIC initialised" },
	{ "guest counters", ANY_GIC, counter_apply, "once per VM: the offset belongs to it, not to a vCPU" },
	/* The barrier: from here on a vCPU may run, and its first KVM_RUN fixes ID registers for the VM. */
	{ "pending exits", ANY_GIC, kvm_run_replay,
	  "while every vCPU is RUNNABLE: a stopped one would sleep in KVM_RUN" },
	{ "vCPU events", ANY_GIC, vcpu_apply_events,
	  "after the replay: 7.x delivers an unmasked SError at once" },
	{ "steal time", ANY_GIC, vcpu_apply_pvtime,
	  "after the replay, which is not always made by the vCPU's own thread" },
	{ "guest debugging", ANY_GIC, vcpu_apply_debug, "after the replay, which steps the vCPU itself" },
	{ "signal masks", ANY_GIC, vcpu_apply_sigsets,
	  "after the replay: a pending signal that the mask lets in would end it" },
	{ "power states", ANY_GIC, vcpu_apply_mp_state, "after the replay, and after all registers" },
	{ "irqfds", ANY_GIC, irqfd_apply,
	  "after the GIC, the ITSes and the routes: an interrupt may come from here on" },
	{ "ioeventfds", ANY_GIC, ioeventfd_apply,
	  "after the replay: an access that left KVM_RUN before they were bound must leave it again" },
	{ "coalesced MMIO", ANY_GIC, coalesced_apply,
	  "after the replay: an access that left KVM_RUN because the ring was full must leave it again" },
	{ "kvm_run pages", ANY_GIC, kvm_run_apply, "after the replay, which wrote them" },
	/* From here on with all VMs of the tree whole. */
	{ "vCPUs may run", ANY_GIC, kvm_run_allow,
	  "a restore is complete for all VMs of a tree, or none runs" },
	{ "fds kept aside", ANY_GIC, vm_close_parked, "the VMM must not find fds it never had; in one round trip with that" },
};
const size_t plan_nr_restore = sizeof(plan_restore) / sizeof(plan_restore[0]);

#define NR_START 2
const struct plan_part plan_whole = { 0, sizeof(plan_restore) / sizeof(plan_restore[0]), true };
const struct plan_part plan_build = { 0, sizeof(plan_restore) / sizeof(plan_restore[0]) - NR_START, true };
const struct plan_part plan_start = { sizeof(plan_restore) / sizeof(plan_restore[0]) - NR_START, NR_START, true };

/* The step that a test has moved behind @i, for KVM_VGIC_LATE; or NULL. */
static const struct plan_step *moved_behind(const struct plan_step *steps, size_t i)
{
	if (steps != plan_restore || strcmp(steps[i].name, "ITS control"))
		return NULL;
	while (i--)
		if (fault_moves(steps[i].name))
			return &steps[i];
	return NULL;
}

bool plan_applies(const struct plan_step *step, const struct vm_state *vm)
{
	switch (step->gic) {
	case ANY_GIC:
		return true;
	case GICV2:
		return vm->vgic_v2;
	case GICV2_OR_V3:
		return vm->vgic_v2 || vm->vgic;
	case GICV3:
		return vm->vgic;
	case GICV5:
		return vm->vgic_v5;
	case GICV5_DESCRIPTOR:
		return vm->vgic_v5 && vm->vgic_v5->form == VGIC_V5_DESCRIPTOR;
	case GICV5_RAW:
		return vm->vgic_v5 && vm->vgic_v5->form == VGIC_V5_RAW;
	}
	return false;
}

static int run_step(const struct plan_step *step, struct vm_state *vm, struct remote *remote)
{
	return fault_injected(step->name) ?: fault_injected_of(vm->id, step->name) ?: step->run(vm, remote);
}

int plan_run(const struct plan_step *steps, size_t nr, struct vm_state *vm, struct remote *remote)
{
	return plan_run_part(steps, nr, (struct plan_part){ .nr = nr }, vm, remote);
}

#define MAX_STEPS 64
_Static_assert(sizeof(plan_dump) / sizeof(plan_dump[0]) <= MAX_STEPS && sizeof(plan_restore) / sizeof(plan_restore[0]) <= MAX_STEPS,
	       "steps");

/* Where a run of the plan is. */
struct course {
	const struct plan_step *steps;
	size_t nr;
	struct vm_state *vm;
	struct remote *remote;
	size_t last; /* the step that was begun last, or that has failed */
	size_t waiting[MAX_STEPS], nr_waiting; /* steps whose calls have not all been made */
	size_t beside[MAX_STEPS], nr_beside; /* steps to be done beside the next calls */
	bool is_beside; /* they are being done */
	int beside_ret;
};

static void tell_done(struct course *c)
{
	for (size_t i = 0; i < c->nr_waiting; i++)
		pr_debug("vm %u: step %zu of %zu, %s: done\n", c->vm->id, c->waiting[i] + 1, c->nr,
			 c->steps[c->waiting[i]].name);
	c->nr_waiting = 0;
}

static int run_one(struct course *c, size_t i)
{
	const struct plan_step *moved = moved_behind(c->steps, i);
	int ret;

	c->last = i;
	c->remote->plan_step = i;
	ret = run_step(&c->steps[i], c->vm, c->remote);
	if (!ret && moved)
		ret = run_step(moved, c->vm, c->remote);
	ret = ret ?: c->remote->queue.failed; /* of an earlier step, and taken for an answer to this one */
	c->waiting[c->nr_waiting++] = i;
	if (!ret && !c->remote->queue.nr && !c->is_beside)
		tell_done(c);
	return ret;
}

/* The steps beside: in their order, up to the first that fails. */
static void run_beside(void *arg)
{
	struct course *c = arg;
	size_t n = c->nr_beside, step = c->remote->plan_step;

	c->nr_beside = 0;
	c->is_beside = true;
	for (size_t i = 0; i < n && !c->beside_ret; i++)
		c->beside_ret = run_one(c, c->beside[i]);
	c->is_beside = false;
	c->remote->plan_step = step;
}

/* What waits, as a step behind all others; and at the end of the session. */
static int flush(struct course *c, size_t i)
{
	return batch_flush(c->remote);
}

static int end(struct course *c, size_t i)
{
	return batch_end(c->remote);
}

/* @run, with the steps beside while its calls are made: where these wait, so do they, and where it made none they are done behind it. */
static int with_those_beside(struct course *c, int (*run)(struct course *c, size_t i), size_t i)
{
	int ret;

	c->remote->beside = (struct beside){ c->nr_beside ? run_beside : NULL, c };
	ret = run(c, i);
	c->remote->beside = (struct beside){ 0 };
	if (ret)
		c->last = i;
	else if (c->nr_beside && !c->remote->queue.nr)
		run_beside(c);
	return ret ?: c->beside_ret;
}

/* Steps that make no calls: they can be done while those of the next one are made. */
static bool is_beside(const struct plan_step *step)
{
	return step->run == its_capture_tables || step->run == lpi_capture || step->run == image_write_early;
}

/* Whether all that a step beside could read is there, and is read without a call there: calls are being made meanwhile. */
static bool is_at_hand(const struct course *c)
{
	/* What waits may write it. */
	return !c->remote->queue.nr && memslots_are_at_hand(c->vm, c->remote);
}

int plan_run_part(const struct plan_step *steps, size_t nr, struct plan_part part, struct vm_state *vm,
		  struct remote *remote)
{
	struct course c = { .steps = steps, .nr = nr, .vm = vm, .remote = remote, .last = part.first };
	int ret = 0;

	for (size_t i = part.first; !ret && i < part.first + part.nr; i++) {
		if (!plan_applies(&steps[i], vm) || fault_leaves_out(steps[i].name) ||
		    (steps == plan_restore && fault_moves(steps[i].name)))
			continue;
		if (is_beside(&steps[i]) && is_at_hand(&c))
			c.beside[c.nr_beside++] = i;
		else
			ret = with_those_beside(&c, run_one, i);
	}
	ret = ret ?: with_those_beside(&c, part.is_last ? end : flush, c.last);
	if (!ret) {
		tell_done(&c);
		return 0;
	}
	if (remote->queue.failed) {
		ret = remote->queue.failed; /* whatever was made of it since */
		c.last = remote->queue.failed_step;
	}
	pr_err("vm %u: step %zu of %zu, %s: failed: %s (errno %d)\n", vm->id, c.last + 1, nr, steps[c.last].name,
	       strerror(-ret), -ret);
	batch_drop(remote);
	return ret;
}
