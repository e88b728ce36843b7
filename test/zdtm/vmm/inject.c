/* SPDX-License-Identifier: GPL-2.0-only */
/* Faults on request: a check that never fails proves nothing. */
#include <string.h>

#include "vmm.h"

#define REG_TPIDR_EL0 ARM64_SYS_REG(3, 3, 13, 0, 2)
#define REG_X25	      (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(regs.regs[25]))
#define REG_V9	      (KVM_REG_ARM64 | KVM_REG_SIZE_U128 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(fp_regs.vregs[9]))

static const char *const inject_names[NR_INJECTS] = {
	[INJECT_NONE] = "none",
	[INJECT_LOST_EDGE] = "lost-edge",
	[INJECT_DOUBLE_EDGE] = "double-edge",
	[INJECT_LOST_LEVEL] = "lost-level",
	[INJECT_DOUBLE_LEVEL] = "double-level",
	[INJECT_LOST_SGI] = "lost-sgi",
	[INJECT_DOUBLE_SGI] = "double-sgi",
	[INJECT_LOST_TIMER] = "lost-timer",
	[INJECT_DOUBLE_TIMER] = "double-timer",
	[INJECT_LOST_READ] = "lost-read",
	[INJECT_DOUBLE_READ] = "double-read",
	[INJECT_LOST_WRITE] = "lost-write",
	[INJECT_DOUBLE_WRITE] = "double-write",
	[INJECT_WRONG_ROUTE] = "wrong-route",
	[INJECT_MEMORY] = "memory",
	[INJECT_GPR] = "gpr",
	[INJECT_FP] = "fp",
	[INJECT_SYSREG] = "sysreg",
	[INJECT_GIC] = "gic",
	[INJECT_CLOCK] = "clock",
	[INJECT_EXCEPTION] = "exception",
	[INJECT_SILENT] = "silent",
	[INJECT_LOST_MSI] = "lost-msi",
	[INJECT_DOUBLE_MSI] = "double-msi",
	[INJECT_LOST_LPI] = "lost-lpi",
	[INJECT_DOUBLE_LPI] = "double-lpi",
	[INJECT_LPI_DISABLED] = "lpi-disabled",
	[INJECT_LPI_CLEARED] = "lpi-cleared",
	[INJECT_LPI_DISCARDED] = "lpi-discarded",
	[INJECT_LPI_ROUTE] = "lpi-route",
	[INJECT_LPI_UNEXPECTED] = "lpi-unexpected",
	[INJECT_LPI_SILENT] = "lpi-silent",
	[INJECT_ITS] = "its",
};

/* enum inject, or -1 */
int inject_by_name(const char *name)
{
	unsigned int i;

	for (i = 0; i < NR_INJECTS; i++)
		if (!strcmp(name, inject_names[i]))
			return i;
	return -1;
}

/* True once, at the 50th event of its kind. */
bool inject_now(struct vcpu *vcpu, enum inject which, uint64_t count)
{
	if (vcpu->vmm->config.inject != which || vcpu->injected || count < 50)
		return false;
	vcpu->injected = true;
	return true;
}

/* During the one read that has all registers live. */
void inject_gpr(struct vcpu *vcpu)
{
	if (inject_now(vcpu, INJECT_GPR, vcpu->rseq))
		vcpu_set_reg(vcpu, REG_X25, 0);
}

static void set_vector(struct vcpu *vcpu)
{
	uint64_t value[2];

	if (!vcpu_get_reg(vcpu, REG_V9, value))
		vcpu_set_reg(vcpu, REG_V9, value[0]);
}

/* Only once the counter has some room below it: a wrapped one hangs the emulated host. */
static void set_clock_back(struct vcpu *vcpu)
{
	uint64_t second = vcpu->vmm->stats->cntfrq, now;

	if (vcpu_get_reg(vcpu, KVM_REG_ARM_TIMER_CNT, &now) || now < 2 * second)
		return;
	vcpu->injected = true;
	vcpu_set_reg(vcpu, KVM_REG_ARM_TIMER_CNT, now - second);
}

/* Called in the vCPU's own thread between two KVM_RUN. */
void inject_state(struct vcpu *vcpu)
{
	uint64_t reads = vcpu->vmm->stats->vcpu[vcpu->index].reads;

	if (inject_now(vcpu, INJECT_SYSREG, reads))
		vcpu_set_reg(vcpu, REG_TPIDR_EL0, 1);
	if (inject_now(vcpu, INJECT_FP, reads))
		set_vector(vcpu);
	if (vcpu->vmm->config.inject == INJECT_CLOCK && !vcpu->injected)
		set_clock_back(vcpu);
}
