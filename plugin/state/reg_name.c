// SPDX-License-Identifier: GPL-2.0-only
/* Names of a vCPU's registers: those of the Arm ARM. ID and firmware registers are in id_reg.c. */
#include <stdio.h>

#include "state/reg_name.h"
#include "uapi/kvm_arm64.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SYS(op0, op1, crn, crm, op2) ARM64_SYS_REG(op0, op1, crn, crm, op2)

/* By offset in struct kvm_regs / 4: what is no array there. */
static const struct {
	unsigned int index;
	const char *name;
} core_regs[] = {
	{ 62, "SP" },	     { 64, "PC" },	 { 66, "PSTATE" },   { 68, "SP_EL1" },	 { 70, "ELR_EL1" },
	{ 72, "SPSR_EL1" },  { 74, "SPSR_abt" }, { 76, "SPSR_und" }, { 78, "SPSR_irq" }, { 80, "SPSR_fiq" },
	{ 212, "FPSR" },     { 213, "FPCR" },
};

static const struct {
	uint64_t id;
	const char *name;
} sys_regs[] = {
	{ SYS(2, 0, 0, 2, 2), "MDSCR_EL1" },
	{ SYS(2, 0, 0, 2, 0), "MDCCINT_EL1" },
	{ SYS(2, 0, 1, 1, 4), "OSLSR_EL1" },
	{ SYS(2, 4, 0, 7, 0), "DBGVCR32_EL2" },
	{ SYS(3, 0, 1, 0, 0), "SCTLR_EL1" },
	{ SYS(3, 0, 1, 0, 1), "ACTLR_EL1" },
	{ SYS(3, 0, 1, 0, 2), "CPACR_EL1" },
	{ SYS(3, 0, 1, 0, 3), "SCTLR2_EL1" },
	{ SYS(3, 0, 1, 2, 0), "ZCR_EL1" },
	{ SYS(3, 0, 1, 2, 4), "SMPRI_EL1" },
	{ SYS(3, 0, 1, 2, 6), "SMCR_EL1" },
	{ SYS(3, 0, 2, 0, 0), "TTBR0_EL1" },
	{ SYS(3, 0, 2, 0, 1), "TTBR1_EL1" },
	{ SYS(3, 0, 2, 0, 2), "TCR_EL1" },
	{ SYS(3, 0, 2, 1, 0), "APIAKeyLo_EL1" },
	{ SYS(3, 0, 2, 1, 1), "APIAKeyHi_EL1" },
	{ SYS(3, 0, 2, 1, 2), "APIBKeyLo_EL1" },
	{ SYS(3, 0, 2, 1, 3), "APIBKeyHi_EL1" },
	{ SYS(3, 0, 2, 2, 0), "APDAKeyLo_EL1" },
	{ SYS(3, 0, 2, 2, 1), "APDAKeyHi_EL1" },
	{ SYS(3, 0, 2, 2, 2), "APDBKeyLo_EL1" },
	{ SYS(3, 0, 2, 2, 3), "APDBKeyHi_EL1" },
	{ SYS(3, 0, 2, 3, 0), "APGAKeyLo_EL1" },
	{ SYS(3, 0, 2, 3, 1), "APGAKeyHi_EL1" },
	{ SYS(3, 0, 5, 1, 0), "AFSR0_EL1" },
	{ SYS(3, 0, 5, 1, 1), "AFSR1_EL1" },
	{ SYS(3, 0, 5, 2, 0), "ESR_EL1" },
	{ SYS(3, 0, 5, 3, 1), "ERRSELR_EL1" },
	{ SYS(3, 0, 6, 0, 0), "FAR_EL1" },
	{ SYS(3, 0, 7, 4, 0), "PAR_EL1" },
	{ SYS(3, 0, 9, 14, 1), "PMINTENSET_EL1" },
	{ SYS(3, 0, 9, 14, 2), "PMINTENCLR_EL1" },
	{ SYS(3, 0, 10, 2, 0), "MAIR_EL1" },
	{ SYS(3, 0, 10, 2, 4), "POR_EL1" },
	{ SYS(3, 0, 10, 3, 0), "AMAIR_EL1" },
	{ SYS(3, 0, 12, 0, 0), "VBAR_EL1" },
	{ SYS(3, 0, 12, 1, 1), "DISR_EL1" },
	{ SYS(3, 0, 13, 0, 1), "CONTEXTIDR_EL1" },
	{ SYS(3, 0, 13, 0, 4), "TPIDR_EL1" },
	{ SYS(3, 0, 14, 1, 0), "CNTKCTL_EL1" },
	{ SYS(3, 2, 0, 0, 0), "CSSELR_EL1" },
	{ SYS(3, 3, 9, 12, 0), "PMCR_EL0" },
	{ SYS(3, 3, 9, 12, 1), "PMCNTENSET_EL0" },
	{ SYS(3, 3, 9, 12, 2), "PMCNTENCLR_EL0" },
	{ SYS(3, 3, 9, 12, 3), "PMOVSCLR_EL0" },
	{ SYS(3, 3, 9, 12, 4), "PMSWINC_EL0" },
	{ SYS(3, 3, 9, 12, 5), "PMSELR_EL0" },
	{ SYS(3, 3, 9, 13, 0), "PMCCNTR_EL0" },
	{ SYS(3, 3, 9, 14, 0), "PMUSERENR_EL0" },
	{ SYS(3, 3, 9, 14, 3), "PMOVSSET_EL0" },
	{ SYS(3, 3, 14, 15, 7), "PMCCFILTR_EL0" },
	{ SYS(3, 3, 10, 2, 4), "POR_EL0" },
	{ SYS(3, 3, 13, 0, 2), "TPIDR_EL0" },
	{ SYS(3, 3, 13, 0, 3), "TPIDRRO_EL0" },
	{ SYS(3, 3, 13, 0, 5), "TPIDR2_EL0" },
	{ KVM_REG_ARM_TIMER_CTL, "CNTV_CTL_EL0" },
	{ KVM_REG_ARM_TIMER_CVAL, "CNTV_CVAL_EL0" },
	{ KVM_REG_ARM_TIMER_CNT, "CNTVCT_EL0" },
	{ KVM_REG_ARM_PTIMER_CTL, "CNTP_CTL_EL0" },
	{ KVM_REG_ARM_PTIMER_CVAL, "CNTP_CVAL_EL0" },
	{ KVM_REG_ARM_PTIMER_CNT, "CNTPCT_EL0" },
	{ SYS(3, 4, 3, 0, 0), "DACR32_EL2" },
	{ SYS(3, 4, 5, 0, 1), "IFSR32_EL2" },
	{ SYS(3, 4, 5, 3, 0), "FPEXC32_EL2" },
};

static bool core_name(uint64_t id, char name[ID_REG_NAME])
{
	unsigned int index = id & 0xffff;

	for (size_t i = 0; i < COUNT(core_regs); i++)
		if (core_regs[i].index == index)
			return snprintf(name, ID_REG_NAME, "%s", core_regs[i].name) > 0;
	if (index <= 60 && !(index % 2))
		return snprintf(name, ID_REG_NAME, "X%u", index / 2) > 0;
	if (index >= 84 && index < 212 && !(index % 4))
		return snprintf(name, ID_REG_NAME, "V%u", (index - 84) / 4) > 0;
	return false;
}

/* KVM has them in slices, of which there is one: the lowest five bits are its number. */
static bool sve_name(uint64_t id, char name[ID_REG_NAME])
{
	unsigned int reg = id & 0xffff, n = reg >> 5 & 0x1f;

	if (id == ARM64_SVE_VLS)
		return snprintf(name, ID_REG_NAME, "SVE_VLS") > 0;
	if (reg & 0x1f)
		return false;
	switch (reg >> 10) {
	case 0:
		return snprintf(name, ID_REG_NAME, "Z%u", n) > 0;
	case 1:
		if (n > 16)
			return false;
		return n == 16 ? snprintf(name, ID_REG_NAME, "FFR") > 0 : snprintf(name, ID_REG_NAME, "P%u", n) > 0;
	}
	return false;
}

/* Debug registers and PMU counters, of which the encoding has the number. */
static bool numbered_name(uint64_t id, char name[ID_REG_NAME])
{
	static const char *const debug[] = { [4] = "DBGBVR", [5] = "DBGBCR", [6] = "DBGWVR", [7] = "DBGWCR" };
	unsigned int crm = id >> 3 & 0xf, op2 = id & 7;

	if ((id & ~0x7full) == SYS(2, 0, 0, 0, 0) && op2 >= 4)
		return snprintf(name, ID_REG_NAME, "%s%u_EL1", debug[op2], crm) > 0;
	if ((id & ~0x7full) == SYS(3, 3, 14, 0, 0) && crm >= 8)
		return snprintf(name, ID_REG_NAME, "%s%u_EL0", crm < 12 ? "PMEVCNTR" : "PMEVTYPER",
				(crm & 3) * 8 + op2) > 0;
	return false;
}

static bool sys_name(uint64_t id, char name[ID_REG_NAME])
{
	for (size_t i = 0; i < COUNT(sys_regs); i++)
		if (sys_regs[i].id == id)
			return snprintf(name, ID_REG_NAME, "%s", sys_regs[i].name) > 0;
	return numbered_name(id, name);
}

void reg_name(uint64_t id, char name[ID_REG_NAME])
{
	bool known = false;

	switch (id & KVM_REG_ARM_COPROC_MASK) {
	case KVM_REG_ARM_CORE:
		known = core_name(id, name);
		break;
	case KVM_REG_ARM64_SVE:
		known = sve_name(id, name);
		break;
	case KVM_REG_ARM64_SYSREG:
		known = sys_name(id, name);
		break;
	}
	if (!known)
		id_reg_name(id, name);
}
