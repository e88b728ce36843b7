// SPDX-License-Identifier: GPL-2.0-only
/* The rules for a GICv2. */
#include <inttypes.h>
#include <stdio.h>

#include "image/check.h"

#define GIC_ALIGN 0x1000ULL
#define DIST_SIZE 0x1000ULL
#define CPU_SIZE 0x2000ULL

static int check_frame(const struct vm_state *vm, const char *name, uint64_t base, uint64_t size)
{
	if (base == VGIC_ADDR_UNSET || (aligned(base, GIC_ALIGN) && within_ipa(vm, base, size)))
		return 0;
	return refuse_vgic(vm, "%s 0x%" PRIx64 ": not aligned to 4 KiB, or not within %u IPA bits", name,
			   base, vm->ipa_bits);
}

static int check_frames(const struct vm_state *vm)
{
	const struct vgic_v2_state *gic = vm->vgic_v2;
	int ret = check_frame(vm, "dist_base", gic->dist_base, DIST_SIZE);

	if (!ret)
		ret = check_frame(vm, "cpu_base", gic->cpu_base, CPU_SIZE);
	if (!ret && gic->dist_base != VGIC_ADDR_UNSET && gic->cpu_base != VGIC_ADDR_UNSET &&
	    gic->dist_base < gic->cpu_base + CPU_SIZE && gic->cpu_base < gic->dist_base + DIST_SIZE)
		return refuse_vgic(vm, "the frames at 0x%" PRIx64 " and 0x%" PRIx64 " overlap",
				   gic->dist_base, gic->cpu_base);
	return ret;
}

/* KVM takes only these (kvm_arch_vcpu_precreate()), and attributes have eight bits for one. */
static int check_vcpu_ids(const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i].id >= VGIC_V2_MAX_VCPUS)
			return refuse_vgic(vm, "vCPU %zu has id %u, below %u expected with a GICv2", i,
					   vm->vcpus[i].id, VGIC_V2_MAX_VCPUS);
	return 0;
}

static int check_cpu(const struct vm_state *vm, size_t i)
{
	const struct vgic_v2_state *gic = vm->vgic_v2;
	const struct vgic_values *pending;
	char whose[32];
	int ret;

	snprintf(whose, sizeof(whose), "vCPU %zu", i);
	ret = check_vgic_table(vm, gic->nr_irqs, whose, vgic_v2_banked_regs, vgic_v2_nr_banked_regs,
			       gic->banked[i]);
	if (!ret)
		ret = check_vgic_table(vm, gic->nr_irqs, whose, vgic_v2_cpuif_regs, vgic_v2_nr_cpuif_regs,
				       gic->cpuif[i]);
	if (ret)
		return ret;
	pending = vgic_values_of(vgic_v2_banked_regs, vgic_v2_nr_banked_regs, gic->banked[i], "GICD_ISPENDR0");
	if (pending->v[0] & VGIC_V2_SGIS)
		return refuse_vgic(vm, "%s: GICD_ISPENDR0 0x%" PRIx64 ": SGIs are pending by GICD_SPENDSGIR",
				   whose, pending->v[0]);
	if (gic->private[i].level & VGIC_V2_SGIS)
		return refuse_vgic(vm, "%s: level 0x%x: SGIs have none", whose, gic->private[i].level);
	return 0;
}

/* After the registers. KVM_IRQ_LINE would make an edge of another's. */
static int check_levels(const struct vm_state *vm)
{
	const struct vgic_v2_state *gic = vm->vgic_v2;

	for (uint32_t first = VGIC_NR_PRIVATE; first < gic->nr_irqs; first += 32) {
		uint32_t wrong = gic->lines[first / 32].level & ~vgic_v2_level_triggered(gic, first);

		if (wrong)
			return refuse_vgic(vm, "level: intid %u is edge-triggered",
					   first + __builtin_ctz(wrong));
	}
	return 0;
}

int check_vgic_v2(const struct vm_state *vm)
{
	const struct vgic_v2_state *gic = vm->vgic_v2;
	int ret = check_vgic_size(vm, gic->nr_irqs, gic->nr_cpus);

	if (!ret && vm->nr_itses)
		ret = refuse_vgic(vm, "%zu ITSes beside a GICv2", vm->nr_itses);
	if (!ret)
		ret = check_vcpu_ids(vm);
	if (!ret)
		ret = check_frames(vm);
	if (!ret)
		ret = check_vgic_table(vm, gic->nr_irqs, "distributor", vgic_v2_dist_regs,
				       vgic_v2_nr_dist_regs, gic->dist);
	for (size_t i = 0; i < gic->nr_cpus && !ret; i++)
		ret = check_cpu(vm, i);
	if (!ret)
		ret = check_levels(vm);
	return ret ? ret : check_vgic_active(vm, gic->nr_irqs, gic->active, gic->nr_active);
}
