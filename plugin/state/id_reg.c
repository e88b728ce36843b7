// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers by which a guest learns what CPU and what firmware it has: ID registers (Arm ARM D24.2) and KVM's
 * firmware registers (Documentation/virt/kvm/arm/fw-pseudo-registers.rst). Their names, and those of their fields.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "state/id_reg.h"
#include "uapi/kvm_arm64.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define ID(crm, op2) ARM64_SYS_REG(3, 0, 0, crm, op2)
#define FW(n) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW | (n))
#define BMAP(n) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW_FEAT_BMAP | (n))

/* Those whose fields are all of four bits: names from bit 0 up, "" where there is none. */
static const struct {
	uint64_t id;
	const char *name;
	const char *field[16];
} nibble_regs[] = {
	{ ID(1, 0), "ID_PFR0_EL1",
	  { "State0", "State1", "State2", "State3", "CSV2", "AMU", "DIT", "RAS" } },
	{ ID(1, 1), "ID_PFR1_EL1",
	  { "ProgMod", "Security", "MProgMod", "Virtualization", "GenTimer", "Sec_frac", "Virt_frac",
	    "GIC" } },
	{ ID(1, 2), "ID_DFR0_EL1",
	  { "CopDbg", "CopSDbg", "MMapDbg", "CopTrc", "MMapTrc", "MProfDbg", "PerfMon", "TraceFilt" } },
	{ ID(1, 3), "ID_AFR0_EL1",
	  { "IMPDEF0", "IMPDEF1", "IMPDEF2", "IMPDEF3" } },
	{ ID(1, 4), "ID_MMFR0_EL1",
	  { "VMSA", "PMSA", "OuterShr", "ShareLvl", "TCM", "AuxReg", "FCSE", "InnerShr" } },
	{ ID(1, 5), "ID_MMFR1_EL1",
	  { "L1HvdVA", "L1UniVA", "L1HvdSW", "L1UniSW", "L1Hvd", "L1Uni", "L1TstCln", "BPred" } },
	{ ID(1, 6), "ID_MMFR2_EL1",
	  { "L1HvdFG", "L1HvdBG", "L1HvdRng", "HvdTLB", "UniTLB", "MemBarr", "WFIStall", "HWAccFlg" } },
	{ ID(1, 7), "ID_MMFR3_EL1",
	  { "CMaintVA", "CMaintSW", "BPMaint", "MaintBcst", "PAN", "CohWalk", "CMemSz", "Supersec" } },
	{ ID(2, 0), "ID_ISAR0_EL1",
	  { "Swap", "BitCount", "BitField", "CmpBranch", "Coproc", "Debug", "Divide" } },
	{ ID(2, 1), "ID_ISAR1_EL1",
	  { "Endian", "Except", "Except_AR", "Extend", "IfThen", "Immediate", "Interwork", "Jazelle" } },
	{ ID(2, 2), "ID_ISAR2_EL1",
	  { "LoadStore", "MemHint", "MultiAccessInt", "Mult", "MultS", "MultU", "PSR_AR", "Reversal" } },
	{ ID(2, 3), "ID_ISAR3_EL1",
	  { "Saturate", "SIMD", "SVC", "SynchPrim", "TabBranch", "T32Copy", "TrueNOP", "T32EE" } },
	{ ID(2, 4), "ID_ISAR4_EL1",
	  { "Unpriv", "WithShifts", "Writeback", "SMC", "Barrier", "SynchPrim_frac", "PSR_M",
	    "SWP_frac" } },
	{ ID(2, 5), "ID_ISAR5_EL1",
	  { "SEVL", "AES", "SHA1", "SHA2", "CRC32", "", "RDM", "VCMA" } },
	{ ID(2, 6), "ID_MMFR4_EL1",
	  { "SpecSEI", "AC2", "XNX", "CnP", "HPDS", "LSM", "CCIDX", "EVT" } },
	{ ID(2, 7), "ID_ISAR6_EL1",
	  { "JSCVT", "DP", "FHM", "SB", "SPECRES", "BF16", "I8MM" } },
	{ ID(3, 0), "MVFR0_EL1",
	  { "SIMDReg", "FPSP", "FPDP", "FPTrap", "FPDivide", "FPSqrt", "FPShVec", "FPRound" } },
	{ ID(3, 1), "MVFR1_EL1",
	  { "FPFtZ", "FPDNaN", "SIMDLS", "SIMDInt", "SIMDSP", "SIMDHP", "FPHP", "SIMDFMAC" } },
	{ ID(3, 2), "MVFR2_EL1",
	  { "SIMDMisc", "FPMisc" } },
	{ ID(3, 4), "ID_PFR2_EL1",
	  { "CSV3", "SSBS", "RAS_frac" } },
	{ ID(3, 5), "ID_DFR1_EL1",
	  { "MTPMU", "HPMN0" } },
	{ ID(3, 6), "ID_MMFR5_EL1",
	  { "ETS", "nTLBPA" } },
	{ ID(4, 0), "ID_AA64PFR0_EL1",
	  { "EL0", "EL1", "EL2", "EL3", "FP", "AdvSIMD", "GIC", "RAS", "SVE", "SEL2", "MPAM", "AMU",
	    "DIT", "RME", "CSV2", "CSV3" } },
	{ ID(4, 1), "ID_AA64PFR1_EL1",
	  { "BT", "SSBS", "MTE", "RAS_frac", "MPAM_frac", "", "SME", "RNDR_trap", "CSV2_frac", "NMI",
	    "MTE_frac", "GCS", "THE", "MTEX", "DF2", "PFAR" } },
	{ ID(4, 2), "ID_AA64PFR2_EL1",
	  { "MTEPERM", "MTESTOREONLY", "MTEFAR", "GCIE", "UINJ", "", "", "", "FPMR" } },
	{ ID(4, 4), "ID_AA64ZFR0_EL1",
	  { "SVEver", "AES", "", "EltPerm", "BitPerm", "BF16", "B16B16", "", "SHA3", "", "SM4",
	    "I8MM", "F16MM", "F32MM", "F64MM" } },
	{ ID(5, 0), "ID_AA64DFR0_EL1",
	  { "DebugVer", "TraceVer", "PMUVer", "BRPs", "PMSS", "WRPs", "SEBEP", "CTX_CMPs", "PMSVer",
	    "DoubleLock", "TraceFilt", "TraceBuffer", "MTPMU", "BRBE", "ExtTrcBuff", "HPMN0" } },
	{ ID(5, 2), "ID_AA64DFR2_EL1",
	  { "STEP", "BWE", "", "", "SPE_EXC", "SPE_nVM", "TRBE_EXC" } },
	{ ID(5, 4), "ID_AA64AFR0_EL1",
	  { "IMPDEF0", "IMPDEF1", "IMPDEF2", "IMPDEF3", "IMPDEF4", "IMPDEF5", "IMPDEF6", "IMPDEF7" } },
	{ ID(6, 0), "ID_AA64ISAR0_EL1",
	  { "", "AES", "SHA1", "SHA2", "CRC32", "ATOMIC", "TME", "RDM", "SHA3", "SM3", "SM4", "DP",
	    "FHM", "TS", "TLB", "RNDR" } },
	{ ID(6, 1), "ID_AA64ISAR1_EL1",
	  { "DPB", "APA", "API", "JSCVT", "FCMA", "LRCPC", "GPA", "GPI", "FRINTTS", "SB", "SPECRES",
	    "BF16", "DGH", "I8MM", "XS", "LS64" } },
	{ ID(6, 2), "ID_AA64ISAR2_EL1",
	  { "WFxT", "RPRES", "GPA3", "APA3", "MOPS", "BC", "PAC_frac", "CLRBHB", "SYSREG_128",
	    "SYSINSTR_128", "PRFMSLC", "PCDPHINT", "RPRFM", "CSSC", "LUT", "ATS1A" } },
	{ ID(6, 3), "ID_AA64ISAR3_EL1",
	  { "CPA", "FAMINMAX", "TLBIW", "PACM", "LSFE", "OCCMO", "LSUI", "FPRCVT" } },
	{ ID(7, 0), "ID_AA64MMFR0_EL1",
	  { "PARange", "ASIDBits", "BigEnd", "SNSMem", "BigEndEL0", "TGran16", "TGran64", "TGran4",
	    "TGran16_2", "TGran64_2", "TGran4_2", "ExS", "", "", "FGT", "ECV" } },
	{ ID(7, 1), "ID_AA64MMFR1_EL1",
	  { "HAFDBS", "VMIDBits", "VH", "HPDS", "LO", "PAN", "SpecSEI", "XNX", "TWED", "ETS", "HCX",
	    "AFP", "nTLBPA", "TIDCP1", "CMOW", "ECBHB" } },
	{ ID(7, 2), "ID_AA64MMFR2_EL1",
	  { "CnP", "UAO", "LSM", "IESB", "VARange", "CCIDX", "NV", "ST", "AT", "IDS", "FWB", "",
	    "TTL", "BBM", "EVT", "E0PD" } },
	{ ID(7, 3), "ID_AA64MMFR3_EL1",
	  { "TCRX", "SCTLRX", "S1PIE", "S2PIE", "S1POE", "S2POE", "AIE", "MEC", "D128", "D128_2",
	    "SNERR", "ANERR", "", "SDERR", "ADERR", "Spec_FPACC" } },
	{ ID(7, 4), "ID_AA64MMFR4_EL1",
	  { "PoPS", "EIESB", "ASID2", "HACDBS", "FGWTE3", "NV_frac", "E2H0", "RMEGDI", "", "E3DSE",
	    "", "SRMASK" } },
};

static const struct {
	uint64_t id;
	const char *name;
} other_regs[] = {
	{ ID(0, 0), "MIDR_EL1" },
	{ ID(0, 5), "MPIDR_EL1" },
	{ ID(0, 6), "REVIDR_EL1" },
	{ ID(4, 5), "ID_AA64SMFR0_EL1" },
	{ ID(4, 7), "ID_AA64FPFR0_EL1" },
	{ ID(5, 1), "ID_AA64DFR1_EL1" },
	{ ID(5, 5), "ID_AA64AFR1_EL1" },
	{ ARM64_SYS_REG(3, 1, 0, 0, 1), "CLIDR_EL1" },
	{ ARM64_SYS_REG(3, 1, 0, 0, 7), "AIDR_EL1" },
	{ ARM64_SYS_REG(3, 3, 0, 0, 1), "CTR_EL0" },
	{ ARM64_SYS_REG(3, 0, 2, 0, 3), "TCR2_EL1" },
	{ ARM64_SYS_REG(3, 0, 10, 2, 2), "PIRE0_EL1" },
	{ ARM64_SYS_REG(3, 0, 10, 2, 3), "PIR_EL1" },
	{ FW(0), "KVM_REG_ARM_PSCI_VERSION" },
	{ FW(1), "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1" },
	{ FW(2), "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2" },
	{ FW(3), "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3" },
	{ BMAP(0), "KVM_REG_ARM_STD_BMAP" },
	{ BMAP(1), "KVM_REG_ARM_STD_HYP_BMAP" },
	{ BMAP(2), "KVM_REG_ARM_VENDOR_HYP_BMAP" },
	{ BMAP(3), "KVM_REG_ARM_VENDOR_HYP_BMAP_2" },
};

/* Their fields, and those of CCSIDR_EL1, which KVM has under an id of another kind for each cache. */
#define CCSIDR (KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_DEMUX)
#define CTR ARM64_SYS_REG(3, 3, 0, 0, 1)
#define CLIDR ARM64_SYS_REG(3, 1, 0, 0, 1)

static const struct {
	uint64_t id;
	const char *name;
	uint8_t msb, lsb;
} other_fields[] = {
	{ ID(0, 0), "Implementer", 31, 24 }, { ID(0, 0), "Variant", 23, 20 }, { ID(0, 0), "Architecture", 19, 16 },
	{ ID(0, 0), "PartNum", 15, 4 }, { ID(0, 0), "Revision", 3, 0 },
	{ ID(4, 5), "FA64", 63, 63 }, { ID(4, 5), "LUT6", 61, 61 }, { ID(4, 5), "LUTv2", 60, 60 },
	{ ID(4, 5), "SMEver", 59, 56 }, { ID(4, 5), "I16I64", 55, 52 },
	{ ID(4, 5), "F64F64", 48, 48 }, { ID(4, 5), "I16I32", 47, 44 },
	{ ID(4, 5), "B16B16", 43, 43 }, { ID(4, 5), "F16F16", 42, 42 },
	{ ID(4, 5), "F8F16", 41, 41 }, { ID(4, 5), "F8F32", 40, 40 }, { ID(4, 5), "I8I32", 39, 36 },
	{ ID(4, 5), "F16F32", 35, 35 }, { ID(4, 5), "B16F32", 34, 34 },
	{ ID(4, 5), "BI32I32", 33, 33 }, { ID(4, 5), "F32F32", 32, 32 },
	{ ID(4, 5), "SF8FMA", 30, 30 }, { ID(4, 5), "SF8DP4", 29, 29 },
	{ ID(4, 5), "SF8DP2", 28, 28 }, { ID(4, 5), "SBitPerm", 25, 25 },
	{ ID(4, 5), "AES", 24, 24 }, { ID(4, 5), "SFEXPA", 23, 23 }, { ID(4, 5), "STMOP", 16, 16 },
	{ ID(4, 5), "SMOP4", 0, 0 }, { ID(4, 7), "F8CVT", 31, 31 }, { ID(4, 7), "F8FMA", 30, 30 },
	{ ID(4, 7), "F8DP4", 29, 29 }, { ID(4, 7), "F8DP2", 28, 28 }, { ID(4, 7), "F8MM8", 27, 27 },
	{ ID(4, 7), "F8MM4", 26, 26 }, { ID(4, 7), "F16MM2", 15, 15 }, { ID(4, 7), "F8E4M3", 1, 1 },
	{ ID(4, 7), "F8E5M2", 0, 0 }, { ID(5, 1), "ABL_CMPs", 63, 56 },
	{ ID(5, 1), "DPFZS", 55, 52 }, { ID(5, 1), "EBEP", 51, 48 }, { ID(5, 1), "ITE", 47, 44 },
	{ ID(5, 1), "ABLE", 43, 40 }, { ID(5, 1), "PMICNTR", 39, 36 }, { ID(5, 1), "SPMU", 35, 32 },
	{ ID(5, 1), "CTX_CMPs", 31, 24 }, { ID(5, 1), "WRPs", 23, 16 }, { ID(5, 1), "BRPs", 15, 8 },
	{ ID(5, 1), "SYSPMUID", 7, 0 },
	{ CLIDR, "Ttype", 46, 33 }, { CLIDR, "ICB", 32, 30 }, { CLIDR, "LoUU", 29, 27 }, { CLIDR, "LoC", 26, 24 },
	{ CLIDR, "LoUIS", 23, 21 }, { CLIDR, "Ctype7", 20, 18 }, { CLIDR, "Ctype6", 17, 15 },
	{ CLIDR, "Ctype5", 14, 12 }, { CLIDR, "Ctype4", 11, 9 }, { CLIDR, "Ctype3", 8, 6 },
	{ CLIDR, "Ctype2", 5, 3 }, { CLIDR, "Ctype1", 2, 0 },
	{ CTR, "TminLine", 37, 32 }, { CTR, "DIC", 29, 29 }, { CTR, "IDC", 28, 28 }, { CTR, "CWG", 27, 24 },
	{ CTR, "ERG", 23, 20 }, { CTR, "DminLine", 19, 16 }, { CTR, "L1Ip", 15, 14 }, { CTR, "IminLine", 3, 0 },
	{ CCSIDR, "NumSets", 27, 13 }, { CCSIDR, "Associativity", 12, 3 }, { CCSIDR, "LineSize", 2, 0 },
	{ FW(0), "major", 31, 16 }, { FW(0), "minor", 15, 0 },
	{ FW(1), "level", 3, 0 },
	{ FW(2), "enabled", 4, 4 }, { FW(2), "level", 3, 0 },
	{ FW(3), "level", 3, 0 },
	{ BMAP(0), "TRNG_V1_0", 0, 0 },
	{ BMAP(1), "PV_TIME", 0, 0 },
	{ BMAP(2), "PTP", 1, 1 }, { BMAP(2), "FUNC_FEAT", 0, 0 },
	{ BMAP(3), "DISCOVER_IMPL_CPUS", 1, 1 }, { BMAP(3), "DISCOVER_IMPL_VER", 0, 0 },
};

static uint64_t kind_of(uint64_t id)
{
	return id & KVM_REG_ARM_COPROC_MASK;
}

static bool is_system_reg(uint64_t id)
{
	return kind_of(id) == KVM_REG_ARM64_SYSREG;
}

bool id_reg_is_feature(uint64_t id)
{
	uint64_t crm = id >> 3 & 0xf;

	return (id & ~0x7full) == (ID(0, 0) & ~0x7full) && crm >= 1 && crm <= 7;
}

bool id_reg_is_bitmap(uint64_t id)
{
	return kind_of(id) == KVM_REG_ARM_FW_FEAT_BMAP;
}

bool id_reg_is_firmware(uint64_t id)
{
	return kind_of(id) == KVM_REG_ARM_FW || id_reg_is_bitmap(id);
}

/* Of a system register: op0 3, CRn 0: op1 0, 1 and 3 identify; 2 selects (CSSELR_EL1), 4 is EL2's. MPIDR_EL1 places a vCPU. */
static bool identifies(uint64_t id)
{
	uint64_t op1 = id >> 11 & 7;

	return (id >> 14 & 3) == 3 && !(id >> 7 & 0xf) && op1 <= 3 && op1 != 2 &&
	       id != ARM64_MPIDR_EL1;
}

bool id_reg_is_identity(uint64_t id)
{
	switch (kind_of(id)) {
	case KVM_REG_ARM64_SYSREG:
		return identifies(id);
	case KVM_REG_ARM_FW:
	case KVM_REG_ARM_FW_FEAT_BMAP:
	case KVM_REG_ARM_DEMUX:
		return true;
	}
	return false;
}

static const char *known_name(uint64_t id)
{
	for (size_t i = 0; i < COUNT(nibble_regs); i++)
		if (nibble_regs[i].id == id)
			return nibble_regs[i].name;
	for (size_t i = 0; i < COUNT(other_regs); i++)
		if (other_regs[i].id == id)
			return other_regs[i].name;
	return NULL;
}

void id_reg_name(uint64_t id, char name[ID_REG_NAME])
{
	const char *known = known_name(id);

	if (known)
		snprintf(name, ID_REG_NAME, "%s", known);
	else if (is_system_reg(id)) /* as an assembler has it */
		snprintf(name, ID_REG_NAME, "S%u_%u_C%u_C%u_%u", (unsigned int)(id >> 14 & 3),
			 (unsigned int)(id >> 11 & 7), (unsigned int)(id >> 7 & 0xf), (unsigned int)(id >> 3 & 0xf),
			 (unsigned int)(id & 7));
	else if (kind_of(id) == KVM_REG_ARM_DEMUX)
		snprintf(name, ID_REG_NAME, "CCSIDR_EL1[%u]", (unsigned int)(id & 0xff));
	else
		snprintf(name, ID_REG_NAME, "0x%" PRIx64, id);
}

/* One of its fields of four bits: @msb is the upper bit of it. */
static const char *nibble_name(uint64_t id, int msb)
{
	for (size_t i = 0; i < COUNT(nibble_regs); i++)
		if (nibble_regs[i].id == id && nibble_regs[i].field[msb / 4])
			return nibble_regs[i].field[msb / 4];
	return "";
}

/* The field of other_fields that begins at @msb or, where none does, the first one below: its index, or -1. */
static int next_field(uint64_t id, int msb)
{
	int best = -1;

	if (kind_of(id) == KVM_REG_ARM_DEMUX)
		id = CCSIDR;
	for (size_t i = 0; i < COUNT(other_fields); i++)
		if (other_fields[i].id == id && other_fields[i].msb <= msb &&
		    (best < 0 || other_fields[i].msb > other_fields[best].msb))
			best = i;
	return best;
}

static struct id_field field(const char *name, int msb, int lsb)
{
	struct id_field f = { .msb = msb, .lsb = lsb };

	if (*name)
		snprintf(f.name, sizeof(f.name), "%s", name);
	else if (msb == lsb)
		snprintf(f.name, sizeof(f.name), "bit %d", msb);
	else
		snprintf(f.name, sizeof(f.name), "bits [%d:%d]", msb, lsb);
	return f;
}

size_t id_reg_fields(uint64_t id, struct id_field fields[ID_REG_FIELDS])
{
	int msb = 8 * kvm_reg_size(id) - 1;
	bool others = next_field(id, msb) >= 0;
	size_t nr = 0;

	while (msb >= 0) {
		int next = others ? next_field(id, msb) : -1;

		if (!others)
			fields[nr] = field(nibble_name(id, msb), msb, msb - 3);
		else if (next < 0)
			fields[nr] = field("", msb, 0);
		else if (other_fields[next].msb < msb)
			fields[nr] = field("", msb, other_fields[next].msb + 1);
		else
			fields[nr] = field(other_fields[next].name, msb, other_fields[next].lsb);
		msb = fields[nr++].lsb - 1;
	}
	return nr;
}

uint64_t id_field_mask(const struct id_field *f)
{
	return (~0ull >> (63 - f->msb + f->lsb)) << f->lsb;
}
