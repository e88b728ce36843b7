// SPDX-License-Identifier: GPL-2.0-only
/* The rules for a GICv3. */
#include <inttypes.h>
#include <stdio.h>

#include "image/check.h"

#define REDIST_SIZE 0x20000ULL /* bytes of one vCPU's redistributor: two 64 KiB frames */
#define DIST_SIZE 0x10000ULL
#define GIC_ALIGN 0x10000ULL

static int check_reg_values(const struct vm_state *vm, uint32_t nr_irqs, const char *whose,
			    const struct vgic_reg *reg, const struct vgic_values *values)
{
	uint32_t words = reg->policy == VGIC_CLEAR ? 0 : vgic_reg_words(reg, nr_irqs);

	if (values->nr != words && !(reg->policy == VGIC_OPTIONAL && !values->nr))
		return refuse_vgic(vm, "%s: %s: %u values expected, %u found", whose, reg->name, words,
				   values->nr);
	for (uint32_t i = 0; i < values->nr; i++)
		if (reg->frame != VGIC_CPUIF && values->v[i] > UINT32_MAX)
			return refuse_vgic(vm, "%s: %s: value 0x%" PRIx64 " is wider than 32 bits", whose,
					   reg->name, values->v[i]);
	return 0;
}

int check_vgic_table(const struct vm_state *vm, uint32_t nr_irqs, const char *whose,
		     const struct vgic_reg *table, size_t nr_regs, const struct vgic_values *values)
{
	int ret = 0;

	for (size_t r = 0; r < nr_regs && !ret; r++)
		ret = check_reg_values(vm, nr_irqs, whose, &table[r], &values[r]);
	return ret;
}

static int check_table(const struct vm_state *vm, const char *whose, const struct vgic_reg *table,
		       size_t nr_regs, const struct vgic_values *values)
{
	return check_vgic_table(vm, vm->vgic->nr_irqs, whose, table, nr_regs, values);
}

static int check_vgic_regs(const struct vm_state *vm)
{
	const struct vgic_v3_state *gic = vm->vgic;
	char whose[32];
	int ret;

	ret = check_table(vm, "distributor", vgic_v3_dist_regs, vgic_v3_nr_dist_regs, gic->dist);
	for (size_t i = 0; i < gic->nr_cpus && !ret; i++) {
		snprintf(whose, sizeof(whose), "vCPU %zu", i);
		ret = check_table(vm, whose, vgic_v3_redist_regs, vgic_v3_nr_redist_regs,
				  gic->redist[i]);
		if (!ret)
			ret = check_table(vm, whose, vgic_v3_cpuif_regs, vgic_v3_nr_cpuif_regs,
					  gic->cpuif[i]);
	}
	return ret;
}

/* The legacy region has no count: it grows with the vCPUs. */
static uint64_t region_size(const struct vgic_v3_state *gic, const struct vgic_region *region)
{
	return REDIST_SIZE * (gic->legacy_redist ? gic->nr_cpus : region->count);
}

static int check_region(const struct vm_state *vm, size_t i)
{
	const struct vgic_v3_state *gic = vm->vgic;
	const struct vgic_region *region = &gic->regions[i];

	if (gic->legacy_redist && (gic->nr_regions != 1 || region->count))
		return refuse_vgic(
			vm, "region %zu: count %u, but legacy_redist: one region without count expected", i,
			region->count);
	if (!gic->legacy_redist && (!region->count || region->count > 4095))
		return refuse_vgic(vm, "region %zu: count %u, 1 to 4095 expected", i, region->count);
	if (region->flags)
		return refuse_vgic(vm, "region %zu: flags 0x%x, 0 expected", i, region->flags);
	if (!aligned(region->base, GIC_ALIGN))
		return refuse_vgic(vm, "region %zu: base 0x%" PRIx64 " is not aligned to 64 KiB", i,
				   region->base);
	if (!within_ipa(vm, region->base, region_size(gic, region)))
		return refuse_vgic(vm, "region %zu: base 0x%" PRIx64 ": not within %u IPA bits", i,
				   region->base, vm->ipa_bits);
	return 0;
}

static int check_region_clashes(const struct vm_state *vm)
{
	const struct vgic_v3_state *gic = vm->vgic;
	const struct claim *c;
	struct claims frames;
	int ret;

	ret = claims_alloc(&frames, gic->nr_regions + 1 + vm->nr_itses);
	if (ret)
		return ret;
	if (gic->dist_base != VGIC_ADDR_UNSET)
		claims_add(&frames, &(struct claim){ .first = gic->dist_base,
						     .last = gic->dist_base + DIST_SIZE - 1 });
	for (size_t i = 0; i < gic->nr_regions; i++) {
		uint64_t base = gic->regions[i].base;

		claims_add(&frames, &(struct claim){ .first = base,
						     .last = base + region_size(gic, &gic->regions[i]) - 1 });
	}
	for (size_t i = 0; i < vm->nr_itses; i++)
		if (vm->itses[i].base != VGIC_ADDR_UNSET)
			claims_add(&frames, &(struct claim){ .first = vm->itses[i].base,
							     .last = vm->itses[i].base + ITS_FRAME_SIZE - 1 });
	c = claims_clash(&frames);
	if (c)
		ret = refuse_vgic(vm, "the frames at 0x%" PRIx64 " and 0x%" PRIx64 " overlap", c[-1].first,
				  c->first);
	claims_free(&frames);
	return ret;
}

static int check_regions(const struct vm_state *vm)
{
	const struct vgic_v3_state *gic = vm->vgic;
	int ret = 0;

	if (gic->nr_regions > VGIC_MAX_REGIONS)
		return refuse_vgic(vm, "%zu redistributor regions, at most %u expected", gic->nr_regions,
				   VGIC_MAX_REGIONS);
	if (gic->legacy_redist && !gic->nr_regions)
		return refuse_vgic(vm, "legacy_redist without a region");
	for (size_t i = 0; i < gic->nr_regions && !ret; i++)
		ret = check_region(vm, i);
	return ret ? ret : check_region_clashes(vm);
}

int check_vgic_active(const struct vm_state *vm, uint32_t nr_irqs, const struct vgic_active *list, size_t nr)
{
	bool seen[VGIC_MAX_IRQS] = { 0 };

	for (size_t i = 0; i < nr; i++) {
		const struct vgic_active *active = &list[i];

		if (active->intid < VGIC_NR_PRIVATE || active->intid >= nr_irqs)
			return refuse_vgic(vm, "active: intid %u, %u to %u expected", active->intid,
					   VGIC_NR_PRIVATE, nr_irqs - 1);
		if (active->vcpu_idx >= vm->nr_vcpus)
			return refuse_vgic(vm, "active: intid %u: vcpu_idx %u, there are %zu vCPUs",
					   active->intid, active->vcpu_idx, vm->nr_vcpus);
		if (seen[active->intid])
			return refuse_vgic(vm, "active: intid %u: twice", active->intid);
		seen[active->intid] = true;
	}
	return 0;
}

static uint64_t route_value(const struct vgic_v3_state *gic, uint32_t intid)
{
	for (size_t r = 0; r < vgic_v3_nr_dist_regs; r++)
		if (vgic_v3_dist_regs[r].bits == 64)
			return gic->dist[r].v[intid - VGIC_NR_PRIVATE];
	return 0;
}

/* After the registers and the active ones. */
static int check_unrouted(const struct vm_state *vm)
{
	const struct vgic_v3_state *gic = vm->vgic;

	for (uint32_t intid = 0; intid < VGIC_MAX_IRQS; intid++) {
		if (!vgic_v3_is_unrouted(gic, intid))
			continue;
		if (intid < VGIC_NR_PRIVATE || intid >= gic->nr_irqs)
			return refuse_vgic(vm, "unrouted: intid %u, %u to %u expected", intid,
					   VGIC_NR_PRIVATE, gic->nr_irqs - 1);
		if (!vgic_v3_route(vm->vcpus[0].mpidr))
			return refuse_vgic(vm, "unrouted: intid %u: vCPU 0 has affinity 0", intid);
		if (route_value(gic, intid))
			return refuse_vgic(vm, "unrouted: intid %u: GICD_IROUTER is not 0", intid);
		for (size_t i = 0; i < gic->nr_active; i++)
			if (gic->active[i].intid == intid)
				return refuse_vgic(vm, "unrouted: intid %u: active elsewhere", intid);
	}
	return 0;
}

int check_vgic_size(const struct vm_state *vm, uint32_t nr_irqs, size_t nr_cpus)
{
	if (nr_irqs < VGIC_MIN_IRQS || nr_irqs > VGIC_MAX_IRQS || nr_irqs % 32)
		return refuse_vgic(vm, "nr_irqs %u, %u to %u in steps of 32 expected", nr_irqs, VGIC_MIN_IRQS,
				   VGIC_MAX_IRQS);
	if (nr_cpus != vm->nr_vcpus)
		return refuse_vgic(vm, "%zu vCPUs, " IMAGE_VCPU " has %zu", nr_cpus, vm->id, vm->nr_vcpus);
	return 0;
}

int check_vgic(const struct vm_state *vm)
{
	const struct vgic_v3_state *gic = vm->vgic;
	int ret;

	if (vm->vgic_v2)
		return check_vgic_v2(vm);
	if (vm->vgic_v5)
		return check_vgic_v5(vm);
	if (!gic)
		return refuse_vgic(vm, "no GIC in it");
	ret = check_vgic_size(vm, gic->nr_irqs, gic->nr_cpus);
	if (ret)
		return ret;
	if (gic->dist_base != VGIC_ADDR_UNSET &&
	    (!aligned(gic->dist_base, GIC_ALIGN) || !within_ipa(vm, gic->dist_base, DIST_SIZE)))
		return refuse_vgic(
			vm, "dist_base 0x%" PRIx64 ": not aligned to 64 KiB, or not within %u IPA bits",
			gic->dist_base, vm->ipa_bits);
	ret = check_regions(vm);
	if (!ret)
		ret = check_vgic_regs(vm);
	if (!ret)
		ret = check_vgic_active(vm, gic->nr_irqs, gic->active, gic->nr_active);
	return ret ? ret : check_unrouted(vm);
}
