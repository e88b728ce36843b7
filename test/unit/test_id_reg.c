// SPDX-License-Identifier: GPL-2.0-only
/* Names of registers and fields: what a user reads where a host does not take a VM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "state/id_reg.h"
#include "uapi/kvm_arm64.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FW(n) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW | (n))
#define BMAP(n) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW_FEAT_BMAP | (n))
#define CCSIDR(n) (KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_DEMUX | (n))

/* Each with the one field, or part of it, that has a bit: as the Arm ARM and the kernel's headers have them. */
static const struct {
	uint64_t id;
	unsigned int bit;
	const char *name, *field;
	unsigned int msb, lsb;
} known[] = {
	{ ARM64_SYS_REG(3, 0, 0, 0, 0), 12, "MIDR_EL1", "PartNum", 15, 4 },
	{ ARM64_SYS_REG(3, 0, 0, 0, 0), 63, "MIDR_EL1", "bits [63:32]", 63, 32 },
	{ ARM64_SYS_REG(3, 0, 0, 0, 6), 1, "REVIDR_EL1", "bits [3:0]", 3, 0 },
	{ ARM64_SYS_REG(3, 0, 0, 1, 0), 28, "ID_PFR0_EL1", "RAS", 31, 28 },
	{ ARM64_SYS_REG(3, 0, 0, 1, 2), 24, "ID_DFR0_EL1", "PerfMon", 27, 24 },
	{ ARM64_SYS_REG(3, 0, 0, 2, 5), 20, "ID_ISAR5_EL1", "bits [23:20]", 23, 20 },
	{ ARM64_SYS_REG(3, 0, 0, 3, 3), 0, "S3_0_C0_C3_3", "bits [3:0]", 3, 0 },
	{ ARM64_SYS_REG(3, 0, 0, 4, 0), 35, "ID_AA64PFR0_EL1", "SVE", 35, 32 },
	{ ARM64_SYS_REG(3, 0, 0, 4, 0), 63, "ID_AA64PFR0_EL1", "CSV3", 63, 60 },
	{ ARM64_SYS_REG(3, 0, 0, 4, 0), 0, "ID_AA64PFR0_EL1", "EL0", 3, 0 },
	{ ARM64_SYS_REG(3, 0, 0, 4, 1), 4, "ID_AA64PFR1_EL1", "SSBS", 7, 4 },
	{ ARM64_SYS_REG(3, 0, 0, 4, 5), 63, "ID_AA64SMFR0_EL1", "FA64", 63, 63 },
	{ ARM64_SYS_REG(3, 0, 0, 4, 5), 62, "ID_AA64SMFR0_EL1", "bit 62", 62, 62 },
	{ ARM64_SYS_REG(3, 0, 0, 5, 0), 8, "ID_AA64DFR0_EL1", "PMUVer", 11, 8 },
	{ ARM64_SYS_REG(3, 0, 0, 5, 1), 10, "ID_AA64DFR1_EL1", "BRPs", 15, 8 },
	{ ARM64_SYS_REG(3, 0, 0, 6, 1), 4, "ID_AA64ISAR1_EL1", "APA", 7, 4 },
	{ ARM64_SYS_REG(3, 0, 0, 7, 0), 0, "ID_AA64MMFR0_EL1", "PARange", 3, 0 },
	{ ARM64_SYS_REG(3, 0, 0, 7, 3), 8, "ID_AA64MMFR3_EL1", "S1PIE", 11, 8 },
	{ ARM64_SYS_REG(3, 1, 0, 0, 1), 24, "CLIDR_EL1", "LoC", 26, 24 },
	{ ARM64_SYS_REG(3, 3, 0, 0, 1), 29, "CTR_EL0", "DIC", 29, 29 },
	{ ARM64_SYS_REG(3, 3, 0, 0, 1), 13, "CTR_EL0", "bits [13:4]", 13, 4 },
	{ ARM64_SYS_REG(3, 0, 10, 2, 3), 0, "PIR_EL1", "bits [3:0]", 3, 0 },
	{ ARM64_SYS_REG(3, 0, 12, 0, 0), 0, "S3_0_C12_C0_0", "bits [3:0]", 3, 0 },
	{ CCSIDR(3), 31, "CCSIDR_EL1[3]", "bits [31:28]", 31, 28 },
	{ CCSIDR(3), 3, "CCSIDR_EL1[3]", "Associativity", 12, 3 },
	{ FW(0), 0, "KVM_REG_ARM_PSCI_VERSION", "minor", 15, 0 },
	{ FW(0), 16, "KVM_REG_ARM_PSCI_VERSION", "major", 31, 16 },
	{ FW(2), 4, "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2", "enabled", 4, 4 },
	{ FW(3), 3, "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3", "level", 3, 0 },
	{ BMAP(1), 0, "KVM_REG_ARM_STD_HYP_BMAP", "PV_TIME", 0, 0 },
	{ BMAP(2), 1, "KVM_REG_ARM_VENDOR_HYP_BMAP", "PTP", 1, 1 },
	{ BMAP(3), 2, "KVM_REG_ARM_VENDOR_HYP_BMAP_2", "bits [63:2]", 63, 2 },
	{ BMAP(9), 0, "0x6030000000160009", "bits [3:0]", 3, 0 },
	{ ARM64_CORE_PC, 0, "0x6030000000100040", "bits [3:0]", 3, 0 },
};

static void registers_have_the_names_of_the_architecture(void **state)
{
	char name[ID_REG_NAME];

	for (size_t i = 0; i < COUNT(known); i++) {
		id_reg_name(known[i].id, name);
		assert_string_equal(name, known[i].name);
	}
}

static void fields_have_the_names_of_the_architecture(void **state)
{
	struct id_field fields[ID_REG_FIELDS];

	for (size_t i = 0; i < COUNT(known); i++) {
		size_t nr = id_reg_fields(known[i].id, fields), f = 0;

		while (f < nr && !(id_field_mask(&fields[f]) >> known[i].bit & 1))
			f++;
		assert_true(f < nr);
		assert_string_equal(fields[f].name, known[i].field);
		assert_int_equal(fields[f].msb, known[i].msb);
		assert_int_equal(fields[f].lsb, known[i].lsb);
	}
}

/* A bit in no field could differ unseen, one in two would be named twice. */
static void every_bit_is_in_one_field(uint64_t id)
{
	struct id_field fields[ID_REG_FIELDS];
	size_t nr = id_reg_fields(id, fields);
	uint64_t seen = 0;

	for (size_t i = 0; i < nr; i++) {
		assert_false(seen & id_field_mask(&fields[i]));
		seen |= id_field_mask(&fields[i]);
		assert_true(*fields[i].name);
	}
	assert_true(seen == (kvm_reg_size(id) == 4 ? 0xffffffff : ~0ull));
}

static void every_bit_of_every_register_is_in_one_field(void **state)
{
	for (uint64_t low = 0; low < 1 << 16; low++)
		every_bit_is_in_one_field((ARM64_SYS_REG(0, 0, 0, 0, 0) & ~0xffffull) | low);
	for (uint64_t n = 0; n < 16; n++) {
		every_bit_is_in_one_field(FW(n));
		every_bit_is_in_one_field(BMAP(n));
		every_bit_is_in_one_field(CCSIDR(n));
	}
}

static void a_register_that_is_absent_reads_as_0_only_where_the_architecture_says_so(void **state)
{
	assert_true(id_reg_is_feature(ARM64_SYS_REG(3, 0, 0, 1, 0)));
	assert_true(id_reg_is_feature(ARM64_SYS_REG(3, 0, 0, 7, 7)));
	assert_false(id_reg_is_feature(ARM64_SYS_REG(3, 0, 0, 0, 0)));
	assert_false(id_reg_is_feature(ARM64_SYS_REG(3, 0, 0, 0, 6)));
	assert_false(id_reg_is_feature(ARM64_SYS_REG(3, 0, 0, 8, 0)));
	assert_false(id_reg_is_feature(ARM64_SYS_REG(3, 0, 1, 1, 0)));
	assert_false(id_reg_is_feature(ARM64_SYS_REG(3, 1, 0, 1, 0)));
	assert_false(id_reg_is_feature(ARM64_SYS_REG(2, 0, 0, 1, 0)));
	assert_false(id_reg_is_feature(FW(0)));
}

static void what_tells_of_the_cpu_and_the_firmware_is_an_identity(void **state)
{
	static const uint64_t is[] = { ARM64_SYS_REG(3, 0, 0, 0, 0), ARM64_SYS_REG(3, 0, 0, 0, 6),
				       ARM64_SYS_REG(3, 0, 0, 4, 0), ARM64_SYS_REG(3, 1, 0, 0, 1),
				       ARM64_SYS_REG(3, 1, 0, 0, 7), ARM64_SYS_REG(3, 3, 0, 0, 1),
				       FW(0), BMAP(3), CCSIDR(0) };
	static const uint64_t is_not[] = { ARM64_MPIDR_EL1, ARM64_SYS_REG(3, 2, 0, 0, 0), ARM64_SYS_REG(3, 4, 0, 0, 0),
					   ARM64_SYS_REG(3, 0, 1, 0, 0), ARM64_SYS_REG(2, 0, 0, 2, 2), ARM64_CORE_PC,
					   KVM_REG_ARM_TIMER_CNT };

	for (size_t i = 0; i < COUNT(is); i++)
		assert_true(id_reg_is_identity(is[i]));
	for (size_t i = 0; i < COUNT(is_not); i++)
		assert_false(id_reg_is_identity(is_not[i]));
	assert_true(id_reg_is_firmware(FW(1)) && id_reg_is_firmware(BMAP(1)) && !id_reg_is_firmware(CCSIDR(1)));
	assert_true(id_reg_is_bitmap(BMAP(1)) && !id_reg_is_bitmap(FW(1)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_have_the_names_of_the_architecture),
		cmocka_unit_test(fields_have_the_names_of_the_architecture),
		cmocka_unit_test(every_bit_of_every_register_is_in_one_field),
		cmocka_unit_test(a_register_that_is_absent_reads_as_0_only_where_the_architecture_says_so),
		cmocka_unit_test(what_tells_of_the_cpu_and_the_firmware_is_an_identity),
	};

	return cmocka_run_group_tests_name("names of registers", tests, NULL, NULL);
}
