// SPDX-License-Identifier: GPL-2.0-only
/*
 * GICv3 through KVM's device attributes (Documentation/virt/kvm/devices/arm-vgic-v3.rst).
 *
 * The tables below are both the list of what is saved and, read from the top,
 * the order of restore. The rules behind the order:
 *  - GICD_IIDR before all else: it selects the behaviour of the rest (arm-vgic-v3.rst).
 *  - PROPBASER and PENDBASER before GICR_CTLR, which has a step of its own after the redistributors:
 *    writes to them are ignored once LPIs are enabled.
 *  - Group, enable, route and trigger before level, level before latch, pending before active:
 *    what is written later is queued to the vCPU that the former have chosen, and stays there.
 *  - GICD_CTLR before what is pending, in the redistributors too: KVM queues nothing while the
 *    distributor is disabled, and enabling it later does not make up for that (vgic_target_oracle()).
 *  - A fresh GIC has its SGIs enabled: cleared first, for SET of an ISENABLER only adds.
 *  - ICC_SRE_EL1 and ICC_CTLR_EL1 before the other CPU interface registers: CTLR sets the
 *    number of priority bits, and with it which active priority registers exist.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "log.h"
#include "remote/remote.h"
#include "state/vm.h"

#define DIST(name_, offset_, bits_, policy_)                                                                 \
	{                                                                                                    \
		.name = name_, .frame = VGIC_DIST, .offset = offset_, .bits = bits_, .count = 1,             \
		.policy = policy_                                                                            \
	}
#define REDIST(name_, offset_, count_, policy_)                                                              \
	{                                                                                                    \
		.name = name_, .frame = VGIC_REDIST, .offset = offset_, .count = count_, .policy = policy_   \
	}
#define CPUIF(name_, instr_, policy_)                                                                        \
	{                                                                                                    \
		.name = name_, .frame = VGIC_CPUIF, .offset = instr_, .count = 1, .policy = policy_          \
	}

const struct vgic_reg vgic_v3_dist_regs[] = {
	DIST("GICD_TYPER", 0x0004, 0, VGIC_CHECK),
	DIST("GICD_CTLR", 0x0000, 0, VGIC_SAVE),
	DIST("GICD_IGROUPR", 0x0080, 1, VGIC_SAVE),
	DIST("GICD_ISENABLER", 0x0100, 1, VGIC_SAVE),
	DIST("GICD_IROUTER", 0x6000, 64, VGIC_SAVE),
	DIST("GICD_ICFGR", 0x0c00, 2, VGIC_SAVE),
	{ .name = "LEVEL_INFO", .frame = VGIC_LEVEL, .bits = 1, .count = 1, .policy = VGIC_SAVE },
	DIST("GICD_ISPENDR", 0x0200, 1, VGIC_SAVE),
	DIST("GICD_ISACTIVER", 0x0300, 1, VGIC_SAVE),
	DIST("GICD_IPRIORITYR", 0x0400, 8, VGIC_SAVE),
};
const size_t vgic_v3_nr_dist_regs = sizeof(vgic_v3_dist_regs) / sizeof(vgic_v3_dist_regs[0]);

const struct vgic_reg vgic_v3_redist_regs[] = {
	REDIST("GICR_PROPBASER", 0x00070, 2, VGIC_NONZERO),
	REDIST("GICR_PENDBASER", 0x00078, 2, VGIC_NONZERO),
	REDIST("GICR_CTLR", 0x00000, 1, VGIC_APART),
	REDIST("GICR_ICENABLER0", 0x10180, 1, VGIC_CLEAR),
	REDIST("GICR_IGROUPR0", 0x10080, 1, VGIC_SAVE),
	REDIST("GICR_ISENABLER0", 0x10100, 1, VGIC_SAVE),
	REDIST("GICR_ICFGR1", 0x10c04, 1, VGIC_SAVE),
	{ .name = "LEVEL_INFO", .frame = VGIC_LEVEL, .count = 1, .policy = VGIC_SAVE },
	REDIST("GICR_ISPENDR0", 0x10200, 1, VGIC_SAVE),
	REDIST("GICR_ISACTIVER0", 0x10300, 1, VGIC_SAVE),
	REDIST("GICR_IPRIORITYR", 0x10400, 8, VGIC_SAVE),
};
const size_t vgic_v3_nr_redist_regs = sizeof(vgic_v3_redist_regs) / sizeof(vgic_v3_redist_regs[0]);

const struct vgic_reg vgic_v3_cpuif_regs[] = {
	CPUIF("ICC_SRE_EL1", 0xc665, VGIC_SAVE),       CPUIF("ICC_CTLR_EL1", 0xc664, VGIC_SAVE),
	CPUIF("ICC_IGRPEN0_EL1", 0xc666, VGIC_SAVE),   CPUIF("ICC_IGRPEN1_EL1", 0xc667, VGIC_SAVE),
	CPUIF("ICC_PMR_EL1", 0xc230, VGIC_SAVE),       CPUIF("ICC_BPR0_EL1", 0xc643, VGIC_SAVE),
	CPUIF("ICC_BPR1_EL1", 0xc663, VGIC_SAVE),      CPUIF("ICC_AP0R0_EL1", 0xc644, VGIC_SAVE),
	CPUIF("ICC_AP0R1_EL1", 0xc645, VGIC_OPTIONAL), CPUIF("ICC_AP0R2_EL1", 0xc646, VGIC_OPTIONAL),
	CPUIF("ICC_AP0R3_EL1", 0xc647, VGIC_OPTIONAL), CPUIF("ICC_AP1R0_EL1", 0xc648, VGIC_SAVE),
	CPUIF("ICC_AP1R1_EL1", 0xc649, VGIC_OPTIONAL), CPUIF("ICC_AP1R2_EL1", 0xc64a, VGIC_OPTIONAL),
	CPUIF("ICC_AP1R3_EL1", 0xc64b, VGIC_OPTIONAL),
};
const size_t vgic_v3_nr_cpuif_regs = sizeof(vgic_v3_cpuif_regs) / sizeof(vgic_v3_cpuif_regs[0]);

void vgic_v3_free(struct vgic_v3_state *gic)
{
	if (!gic)
		return;
	free(gic->dist);
	vgic_values_free_all(gic->redist, gic->nr_cpus);
	vgic_values_free_all(gic->cpuif, gic->nr_cpus);
	free(gic->regions);
	free(gic->active);
	free(gic);
}

/* The part of vCPU @i; of the distributor and whatever else names no vCPU: -1. */
static struct vgic_part part_of(const struct vm_state *vm, int32_t i)
{
	return (struct vgic_part){
		.fd = vm->vgic->fd,
		.nr_irqs = vm->vgic->nr_irqs,
		.mpidr = vm->vcpus[i < 0 ? 0 : i].mpidr,
		.unrouted = vm->vgic->unrouted,
	};
}

/* In one batch, whatever the number of vCPUs. */
static int add_capture(struct batch *b, struct vm_state *vm)
{
	struct vgic_v3_state *gic = vm->vgic;
	struct vgic_part part = part_of(vm, -1);
	int ret = vgic_regs_add_capture(b, &part, vgic_v3_dist_regs, vgic_v3_nr_dist_regs, &gic->dist);

	for (size_t i = 0; !ret && i < gic->nr_cpus; i++) {
		part = part_of(vm, i);
		b->vcpu = i;
		ret = vgic_regs_add_capture(b, &part, vgic_v3_redist_regs, vgic_v3_nr_redist_regs,
					    &gic->redist[i]);
		if (!ret)
			ret = vgic_regs_add_capture(b, &part, vgic_v3_cpuif_regs, vgic_v3_nr_cpuif_regs,
						    &gic->cpuif[i]);
	}
	return ret;
}

static void drop_absent(const struct batch *b, struct vgic_v3_state *gic)
{
	const struct remote_call *call =
		vgic_regs_drop_absent(b->calls, vgic_v3_dist_regs, vgic_v3_nr_dist_regs, gic->dist);

	for (size_t i = 0; i < gic->nr_cpus; i++) {
		call = vgic_regs_drop_absent(call, vgic_v3_redist_regs, vgic_v3_nr_redist_regs, gic->redist[i]);
		call = vgic_regs_drop_absent(call, vgic_v3_cpuif_regs, vgic_v3_nr_cpuif_regs, gic->cpuif[i]);
	}
}

int vgic_v3_capture_regs(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "GIC registers");
	struct vgic_v3_state *gic = vm->vgic;
	int ret;

	gic->redist = calloc(vm->nr_vcpus, sizeof(*gic->redist));
	gic->cpuif = calloc(vm->nr_vcpus, sizeof(*gic->cpuif));
	if (!gic->redist || !gic->cpuif)
		return -ENOMEM;
	gic->nr_cpus = vm->nr_vcpus;
	/* Never routed and routed to MPIDR 0 are the same where the first vCPU has that one. */
	if (!vgic_v3_route(vm->vcpus[0].mpidr))
		memset(gic->unrouted, 0, sizeof(gic->unrouted));
	ret = add_capture(&b, vm) ?: batch_run(&b);
	if (!ret)
		drop_absent(&b, gic);
	batch_fini(&b);
	return ret;
}

/* KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION: index[11:0] flags[15:12] base[51:16] count[63:52]. */
static uint64_t pack_region(uint32_t index, const struct vgic_region *region)
{
	return index | (uint64_t)region->flags << 12 | region->base | (uint64_t)region->count << 52;
}

static struct vgic_region unpack_region(uint64_t value)
{
	return (struct vgic_region){
		.base = value & 0x000fffffffff0000,
		.count = value >> 52,
		.flags = value >> 12 & 0xf,
	};
}

/* The next ones, behind what is in @b. */
static void add_get_regions(struct batch *b, struct vgic_v3_state *gic)
{
	for (size_t i = 0; i < VGIC_REGIONS_AT_ONCE; i++) {
		struct remote_call *call;

		gic->asked[i].word = gic->nr_regions + i;
		call = batch_get_attr(b, gic->fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION,
				      &gic->asked[i].word, sizeof(gic->asked[i].word), "KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION");
		call->may_fail = ENOENT;
		call->results = &gic->asked[i].answer;
	}
}

/* What has come of it: 1 if there may be more, 0, or a negative errno. */
static int take_regions(struct vm_state *vm)
{
	struct vgic_v3_state *gic = vm->vgic;

	for (size_t i = 0; i < VGIC_REGIONS_AT_ONCE && !gic->asked[i].answer; i++) {
		if (gic->nr_regions == VGIC_MAX_REGIONS) {
			pr_err("vm %u: GIC: more than %u redistributor regions\n", vm->id, VGIC_MAX_REGIONS);
			return -E2BIG;
		}
		gic->regions[gic->nr_regions++] = unpack_region(gic->asked[i].word);
	}
	return !gic->asked[VGIC_REGIONS_AT_ONCE - 1].answer;
}

static int capture_more_regions(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "GIC redistributor regions");
	int ret;

	add_get_regions(&b, vm->vgic);
	ret = batch_run(&b) ?: take_regions(vm);
	batch_fini(&b);
	return ret;
}

int vgic_v3_ask_config(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v3_state *gic = vm->vgic;
	struct batch b = BATCH(remote, vm->id, "GIC addresses");
	int ret;

	gic->regions = calloc(VGIC_MAX_REGIONS, sizeof(*gic->regions));
	if (!gic->regions)
		return -ENOMEM;
	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &gic->dist_base,
		       sizeof(gic->dist_base), "KVM_VGIC_V3_ADDR_TYPE_DIST");
	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &gic->nr_irqs, sizeof(gic->nr_irqs),
		       "KVM_DEV_ARM_VGIC_GRP_NR_IRQS");
	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x8, &gic->iidr, sizeof(gic->iidr),
		       "GICD_IIDR");
	add_get_regions(&b, gic);
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

int vgic_v3_capture_config(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v3_state *gic = vm->vgic;
	int ret = batch_flush(remote) ?: take_regions(vm);

	while (ret > 0)
		ret = capture_more_regions(vm, remote);
	if (ret)
		return ret;
	/* By index until -ENOENT. Region 0 with count 0 was set as the one legacy region. */
	gic->legacy_redist = gic->nr_regions == 1 && !gic->regions[0].count;
	if (gic->nr_irqs < VGIC_MIN_IRQS || gic->nr_irqs > VGIC_MAX_IRQS || gic->nr_irqs % 32) {
		pr_err("vm %u: GIC: %u interrupts\n", vm->id, gic->nr_irqs);
		return -EINVAL;
	}
	return 0;
}

/*
 * Number of interrupts and addresses before INIT, which needs all vCPUs; then
 * GICD_IIDR, which must come before every other register.
 */
int vgic_v3_apply_config(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v3_state *gic = vm->vgic;
	struct batch b = BATCH(remote, vm->id, "GIC addresses");
	uint64_t *regions = batch_buffers(&b, gic->nr_regions, sizeof(*regions));
	int ret;

	if (!regions)
		return batch_later(&b);
	batch_set_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &gic->nr_irqs, sizeof(gic->nr_irqs),
		       "KVM_DEV_ARM_VGIC_GRP_NR_IRQS");
	if (gic->dist_base != VGIC_ADDR_UNSET)
		batch_set_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST,
			       &gic->dist_base, sizeof(gic->dist_base), "KVM_VGIC_V3_ADDR_TYPE_DIST");
	for (size_t i = 0; i < gic->nr_regions; i++) {
		regions[i] = gic->legacy_redist ? gic->regions[i].base : pack_region(i, &gic->regions[i]);
		batch_set_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_ADDR,
			       gic->legacy_redist ? KVM_VGIC_V3_ADDR_TYPE_REDIST
						  : KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION,
			       &regions[i], sizeof(regions[i]), "redistributor region");
	}
	batch_set_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, 0,
		       "KVM_DEV_ARM_VGIC_CTRL_INIT");
	batch_set_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x8, &gic->iidr, sizeof(gic->iidr),
		       "GICD_IIDR");
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

/*
 * An SPI whose affinity was changed while it is active stays with the vCPU that
 * acknowledged it, and only that one can deactivate it. KVM chooses the holder when
 * ISACTIVER is written, from IROUTER: it is first routed to the holder, and to
 * where the guest wants the next one afterwards.
 */
int vgic_v3_apply_dist(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v3_state *gic = vm->vgic;
	const struct vgic_part part = part_of(vm, -1);
	const struct vgic_values *router =
		vgic_values_of(vgic_v3_dist_regs, vgic_v3_nr_dist_regs, gic->dist, "GICD_IROUTER");
	struct batch b = BATCH(remote, vm->id, "GIC distributor");
	uint64_t *saved = malloc(router->nr * sizeof(*saved));
	int ret;

	if (!saved)
		return -ENOMEM;
	memcpy(saved, router->v, router->nr * sizeof(*saved));
	ret = vgic_regs_check(&b, &part, vgic_v3_dist_regs, vgic_v3_nr_dist_regs, gic->dist);
	if (!ret) {
		for (size_t i = 0; i < gic->nr_active; i++)
			router->v[gic->active[i].intid - VGIC_NR_PRIVATE] =
				vgic_v3_route(vm->vcpus[gic->active[i].vcpu_idx].mpidr);
		vgic_regs_add_apply(&b, &part, vgic_v3_dist_regs, vgic_v3_nr_dist_regs, gic->dist);
		for (size_t i = 0; i < gic->nr_active; i++) {
			uint32_t spi = gic->active[i].intid - VGIC_NR_PRIVATE;

			vgic_reg_add_set(&b, &part, &vgic_v3_dist_regs[router - gic->dist], spi, &saved[spi]);
		}
		/* The values that it has meanwhile are gone when calls that wait are made. */
		ret = gic->nr_active ? batch_run(&b) : batch_later(&b);
		memcpy(router->v, saved, router->nr * sizeof(*saved));
	}
	batch_fini(&b);
	free(saved);
	return ret;
}

int vgic_v3_apply_redist(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "GIC redistributor");
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		const struct vgic_part part = part_of(vm, i);

		b.vcpu = i;
		vgic_regs_add_apply(&b, &part, vgic_v3_redist_regs, vgic_v3_nr_redist_regs,
				    vm->vgic->redist[i]);
	}
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

/*
 * GICR_CTLR.EnableLPIs. KVM reads the pending table when LPIs are enabled, into the LPIs that are mapped by
 * then: none, before KVM_DEV_ARM_ITS_RESTORE_TABLES. That reads it too, and clears what it has read:
 * enabled later, LPIs would lose what was pending.
 */
int vgic_v3_enable_lpis(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "LPIs enabled");
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		const struct vgic_part part = part_of(vm, i);
		const struct vgic_values *ctlr = vgic_values_of(
			vgic_v3_redist_regs, vgic_v3_nr_redist_regs, vm->vgic->redist[i], "GICR_CTLR");

		b.vcpu = i;
		vgic_reg_add_set(&b, &part, &vgic_v3_redist_regs[ctlr - vm->vgic->redist[i]], 0, ctlr->v);
	}
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

int vgic_v3_apply_cpuif(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "GIC CPU interface");
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		const struct vgic_part part = part_of(vm, i);

		b.vcpu = i;
		vgic_regs_add_apply(&b, &part, vgic_v3_cpuif_regs, vgic_v3_nr_cpuif_regs,
				    vm->vgic->cpuif[i]);
	}
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}
