// SPDX-License-Identifier: GPL-2.0-only
/* The rules for a GICv5. */
#include <inttypes.h>
#include <stdio.h>

#include "image/check.h"

#define IRS_ALIGN 0x10000ULL

static int check_table(const struct vm_state *vm, const char *whose, const struct vgic_reg *table, size_t nr_regs,
		       const struct vgic_values *values)
{
	for (size_t r = 0; r < nr_regs; r++) {
		bool wide = table[r].frame == VGIC_CPUIF || table[r].offset == 0x180; /* IRS_IST_BASER */

		if (values[r].nr != 1)
			return refuse_vgic(vm, "%s: %s: 1 value expected, %u found", whose, table[r].name,
					   values[r].nr);
		if (!wide && values[r].v[0] > UINT32_MAX)
			return refuse_vgic(vm, "%s: %s: value 0x%" PRIx64 " is wider than 32 bits", whose,
					   table[r].name, values[r].v[0]);
	}
	return 0;
}

static int check_regs(const struct vm_state *vm)
{
	const struct vgic_v5_state *gic = vm->vgic_v5;
	char whose[32];
	int ret;

	ret = check_table(vm, "IRS", vgic_v5_id_regs, vgic_v5_nr_id_regs, gic->id);
	if (!ret)
		ret = check_table(vm, "IRS", vgic_v5_irs_regs, vgic_v5_nr_irs_regs, gic->irs);
	for (size_t i = 0; i < gic->nr_cpus && !ret; i++) {
		snprintf(whose, sizeof(whose), "vCPU %zu", i);
		ret = check_table(vm, whose, vgic_v5_cpuif_regs, vgic_v5_nr_cpuif_regs, gic->cpuif[i]);
	}
	return ret;
}

static bool id_is_not(const struct vgic_v5_state *gic, const char *name, uint64_t value)
{
	return vgic_values_of(vgic_v5_id_regs, vgic_v5_nr_id_regs, gic->id, name)->v[0] != value;
}

/* The LPI IST has the size that the registers say: KVM is told of both. */
static int check_ists(const struct vm_state *vm)
{
	const struct vgic_v5_state *gic = vm->vgic_v5;
	uint32_t nr_lpis;
	int bits = vgic_v5_nr_lpis(gic, &nr_lpis);

	if (bits)
		return refuse_vgic(vm, "IRS_IST_CFGR: LPI_ID_BITS %d, at most %u expected", bits,
				   VGIC_V5_MAX_LPI_ID_BITS);
	if (id_is_not(gic, "IRS_IDR5", gic->nr_spis) || id_is_not(gic, "IRS_IDR6", gic->nr_spis) ||
	    id_is_not(gic, "IRS_IDR7", 0))
		return refuse_vgic(vm, "nr_spis %u, IRS_IDR5 to 7 say otherwise", gic->nr_spis);
	if (gic->spi.nr != gic->nr_spis)
		return refuse_vgic(vm, "SPI IST: %u interrupts, %u expected", gic->spi.nr, gic->nr_spis);
	if (gic->lpi.nr != nr_lpis)
		return refuse_vgic(vm, "LPI IST: %u interrupts, %u expected", gic->lpi.nr, nr_lpis);
	return 0;
}

/* A walk gives all of them, or there was none. */
static int check_walks(const struct vm_state *vm)
{
	const struct vgic_v5_state *gic = vm->vgic_v5;

	if (gic->pe_cr0.nr && gic->pe_cr0.nr != vm->nr_vcpus)
		return refuse_vgic(vm, "IRS_PE_CR0: %u values, there are %zu vCPUs", gic->pe_cr0.nr, vm->nr_vcpus);
	if (gic->spi_cfgr.nr && gic->spi_cfgr.nr != gic->nr_spis)
		return refuse_vgic(vm, "IRS_SPI_CFGR: %u values, there are %u SPIs", gic->spi_cfgr.nr, gic->nr_spis);
	return 0;
}

static int check_frame(const struct vm_state *vm)
{
	uint64_t base = vm->vgic_v5->irs_base;

	if (aligned(base, IRS_ALIGN) && within_ipa(vm, base, VGIC_V5_IRS_SIZE))
		return 0;
	return refuse_vgic(vm, "irs_frame 0x%" PRIx64 ": not aligned to 64 KiB, or not within %u IPA bits", base,
			   vm->ipa_bits);
}

int check_vgic_v5(const struct vm_state *vm)
{
	const struct vgic_v5_state *gic = vm->vgic_v5;
	int ret;

	if (gic->nr_spis > VGIC_V5_MAX_SPIS)
		return refuse_vgic(vm, "nr_spis %u, at most %u expected", gic->nr_spis, VGIC_V5_MAX_SPIS);
	if (gic->nr_cpus != vm->nr_vcpus)
		return refuse_vgic(vm, "%zu vCPUs, " IMAGE_VCPU " has %zu", gic->nr_cpus, vm->id, vm->nr_vcpus);
	if (vm->nr_itses)
		return refuse_vgic(vm, "a GICv5, and ITSes");
	ret = check_frame(vm);
	if (!ret)
		ret = check_regs(vm);
	if (!ret)
		ret = check_ists(vm);
	return ret ?: check_walks(vm);
}
