// SPDX-License-Identifier: GPL-2.0-only
/*
 * GICv3 through KVM's device attributes (Documentation/virt/kvm/devices/arm-vgic-v3.rst).
 *
 * The tables below are both the list of what is saved and, read from the top,
 * the order of restore. The rules behind the order:
 *  - GICD_IIDR before all else: it selects the behaviour of the rest (arm-vgic-v3.rst).
 *  - PROPBASER and PENDBASER before GICR_CTLR: writes to them are ignored once LPIs are enabled.
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

#include "fault.h"
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
	REDIST("GICR_CTLR", 0x00000, 1, VGIC_SAVE),
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

uint32_t vgic_reg_words(const struct vgic_reg *reg, uint32_t nr_irqs)
{
	uint32_t spis = nr_irqs - VGIC_NR_PRIVATE;

	if (!reg->bits)
		return reg->count;
	return reg->bits == 64 ? spis : spis * reg->bits / 32;
}

/* MPIDR_EL1's affinity as attributes have it: Aff3.Aff2.Aff1.Aff0 in bits 63:32. */
static uint64_t attr_mpidr(uint64_t mpidr)
{
	return (mpidr & 0xffffff) << 32 | (mpidr & 0xff00000000) << 24;
}

/* The attribute of word @i of @reg for the vCPU of @mpidr, which is any for the distributor. */
static uint64_t reg_attr(const struct vgic_reg *reg, uint64_t mpidr, uint32_t i)
{
	switch (reg->frame) {
	case VGIC_LEVEL:
		return attr_mpidr(mpidr) | (reg->bits ? VGIC_NR_PRIVATE + 32 * i : 0);
	case VGIC_CPUIF:
		return attr_mpidr(mpidr) | reg->offset;
	case VGIC_REDIST:
		return attr_mpidr(mpidr) | (reg->offset + 4 * i);
	case VGIC_DIST:
		break;
	}
	if (!reg->bits)
		return reg->offset + 4 * i;
	if (reg->bits == 64)
		return reg->offset + 8 * (VGIC_NR_PRIVATE + i);
	return reg->offset + VGIC_NR_PRIVATE * reg->bits / 8 + 4 * i;
}

static uint32_t attr_group(const struct vgic_reg *reg)
{
	static const uint32_t group[] = {
		[VGIC_DIST] = KVM_DEV_ARM_VGIC_GRP_DIST_REGS,
		[VGIC_REDIST] = KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
		[VGIC_CPUIF] = KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS,
		[VGIC_LEVEL] = KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO,
	};

	return group[reg->frame];
}

/* Bytes that KVM moves per word of @reg. */
static uint32_t attr_size(const struct vgic_reg *reg)
{
	return reg->frame == VGIC_CPUIF ? 8 : 4;
}

static void get_word(struct batch *b, int fd, const struct vgic_reg *reg, uint64_t mpidr, uint32_t i,
		     uint64_t *v)
{
	batch_get_attr(b, fd, attr_group(reg), reg_attr(reg, mpidr, i), v, attr_size(reg), reg->name)
		->may_fail = reg->policy == VGIC_OPTIONAL ? EINVAL : 0;
}

static void set_word(struct batch *b, int fd, const struct vgic_reg *reg, uint64_t mpidr, uint32_t i,
		     const uint64_t *v)
{
	batch_set_attr(b, fd, attr_group(reg), reg_attr(reg, mpidr, i), v, attr_size(reg), reg->name);
}

static struct vgic_values *alloc_values(size_t nr_regs)
{
	return calloc(nr_regs, sizeof(struct vgic_values));
}

static void free_values(struct vgic_values *values, size_t nr_regs)
{
	for (size_t i = 0; values && i < nr_regs; i++)
		free(values[i].v);
	free(values);
}

void vgic_v3_free(struct vgic_v3_state *gic)
{
	if (!gic)
		return;
	for (size_t i = 0; i < gic->nr_cpus; i++) {
		free_values(gic->cpus[i].redist, vgic_v3_nr_redist_regs);
		free_values(gic->cpus[i].cpuif, vgic_v3_nr_cpuif_regs);
	}
	free_values(gic->dist, vgic_v3_nr_dist_regs);
	free(gic->cpus);
	free(gic->regions);
	free(gic->active);
	free(gic);
}

/* Calls to read every word of @table into @values, which it allocates. */
static int add_capture(struct batch *b, const struct vm_state *vm, const struct vgic_reg *table,
		       size_t nr_regs, uint64_t mpidr, struct vgic_values *values)
{
	for (size_t r = 0; r < nr_regs; r++) {
		const struct vgic_reg *reg = &table[r];

		if (reg->policy == VGIC_CLEAR)
			continue;
		values[r].nr = vgic_reg_words(reg, vm->vgic->nr_irqs);
		values[r].v = calloc(values[r].nr, sizeof(uint64_t));
		if (!values[r].v)
			return -ENOMEM;
		for (uint32_t i = 0; i < values[r].nr; i++)
			get_word(b, vm->vgic->fd, reg, mpidr, i, &values[r].v[i]);
	}
	return 0;
}

/* An optional register that this GIC has not: its call failed, with -EINVAL. */
static void drop_absent(struct batch *b, const struct vgic_reg *table, size_t nr_regs,
			struct vgic_values *values)
{
	for (size_t r = 0; r < nr_regs; r++) {
		const struct remote_call *call = NULL;

		if (table[r].policy != VGIC_OPTIONAL)
			continue;
		for (size_t i = 0; i < b->nr && !call; i++)
			if (b->calls[i].inner == values[r].v)
				call = &b->calls[i];
		if (call && call->result) {
			free(values[r].v);
			values[r] = (struct vgic_values){ 0 };
		}
	}
}

static int capture_table(struct vm_state *vm, struct remote *remote, const char *step, int32_t vcpu,
			 const struct vgic_reg *table, size_t nr_regs, struct vgic_values **values)
{
	struct batch b = BATCH(remote, vm->id, step);
	int ret;

	*values = alloc_values(nr_regs);
	if (!*values)
		return -ENOMEM;
	b.vcpu = vcpu;
	ret = add_capture(&b, vm, table, nr_regs, vm->vcpus[vcpu < 0 ? 0 : vcpu].mpidr, *values);
	if (!ret)
		ret = batch_run(&b);
	if (!ret)
		drop_absent(&b, table, nr_regs, *values);
	batch_fini(&b);
	return ret;
}

int vgic_v3_capture_regs(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v3_state *gic = vm->vgic;
	int ret;

	gic->cpus = calloc(vm->nr_vcpus, sizeof(*gic->cpus));
	if (!gic->cpus)
		return -ENOMEM;
	gic->nr_cpus = vm->nr_vcpus;
	/* Never routed and routed to MPIDR 0 are the same where the first vCPU has that one. */
	if (!vgic_v3_route(vm->vcpus[0].mpidr))
		memset(gic->unrouted, 0, sizeof(gic->unrouted));
	ret = capture_table(vm, remote, "GIC distributor", -1, vgic_v3_dist_regs, vgic_v3_nr_dist_regs,
			    &gic->dist);
	for (size_t i = 0; !ret && i < gic->nr_cpus; i++) {
		ret = capture_table(vm, remote, "GIC redistributor", i, vgic_v3_redist_regs,
				    vgic_v3_nr_redist_regs, &gic->cpus[i].redist);
		if (!ret)
			ret = capture_table(vm, remote, "GIC CPU interface", i, vgic_v3_cpuif_regs,
					    vgic_v3_nr_cpuif_regs, &gic->cpus[i].cpuif);
	}
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

/* Reads the regions by index until -ENOENT. Region 0 with count 0 was set as the one legacy region. */
static int capture_regions(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v3_state *gic = vm->vgic;
	struct batch b = BATCH(remote, vm->id, "GIC redistributor regions");
	bool end = false;
	int ret = 0;

	gic->regions = calloc(VGIC_MAX_REGIONS, sizeof(*gic->regions));
	if (!gic->regions)
		return -ENOMEM;
	while (!ret && !end) {
		uint64_t value = gic->nr_regions;

		batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION,
			       &value, sizeof(value), "KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION")
			->may_fail = ENOENT;
		ret = batch_run(&b);
		end = !ret && b.calls[0].result == -ENOENT;
		if (!ret && !end && gic->nr_regions == VGIC_MAX_REGIONS) {
			pr_err("vm %u: GIC: more than %u redistributor regions\n", vm->id, VGIC_MAX_REGIONS);
			ret = -E2BIG;
		}
		if (!ret && !end)
			gic->regions[gic->nr_regions++] = unpack_region(value);
		batch_reset(&b);
	}
	batch_fini(&b);
	gic->legacy_redist = gic->nr_regions == 1 && !gic->regions[0].count;
	return ret;
}

int vgic_v3_capture_config(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v3_state *gic = vm->vgic;
	struct batch b = BATCH(remote, vm->id, "GIC addresses");
	int ret;

	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &gic->dist_base,
		       sizeof(gic->dist_base), "KVM_VGIC_V3_ADDR_TYPE_DIST");
	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &gic->nr_irqs, sizeof(gic->nr_irqs),
		       "KVM_DEV_ARM_VGIC_GRP_NR_IRQS");
	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x8, &gic->iidr, sizeof(gic->iidr),
		       "GICD_IIDR");
	ret = batch_run(&b);
	batch_fini(&b);
	if (ret)
		return ret;
	if (gic->nr_irqs < VGIC_MIN_IRQS || gic->nr_irqs > VGIC_MAX_IRQS || gic->nr_irqs % 32) {
		pr_err("vm %u: GIC: %u interrupts\n", vm->id, gic->nr_irqs);
		return -EINVAL;
	}
	return capture_regions(vm, remote);
}

/*
 * Number of interrupts and addresses before INIT, which needs all vCPUs; then
 * GICD_IIDR, which must come before every other register.
 */
int vgic_v3_apply_config(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v3_state *gic = vm->vgic;
	struct batch b = BATCH(remote, vm->id, "GIC addresses");
	uint64_t regions[VGIC_MAX_REGIONS];
	int ret;

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
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

/*
 * Whether word @i of @reg is not to be written: the GICD_IROUTER of an SPI that was never
 * routed. A fresh GIC sends it to the first vCPU too; any value written would name another.
 */
static bool stays_unrouted(const struct vgic_v3_state *gic, const struct vgic_reg *reg, uint32_t i)
{
	return reg->bits == 64 && vgic_v3_is_unrouted(gic, VGIC_NR_PRIVATE + i);
}

static const uint64_t all_ones = UINT64_MAX;

/* Calls to write every word of @table, in its order. */
static void add_apply(struct batch *b, const struct vm_state *vm, const struct vgic_reg *table,
		      size_t nr_regs, uint64_t mpidr, const struct vgic_values *values)
{
	for (size_t r = 0; r < nr_regs; r++) {
		const struct vgic_reg *reg = &table[r];
		uint32_t words = reg->policy == VGIC_CLEAR ? reg->count : values[r].nr;

		if (reg->policy == VGIC_CHECK || fault_leaves_out(reg->name))
			continue;
		for (uint32_t i = 0; i < words; i++)
			if ((reg->policy != VGIC_NONZERO || values[r].v[i]) &&
			    !stays_unrouted(vm->vgic, reg, i))
				set_word(b, vm->vgic->fd, reg, mpidr, i,
					 reg->policy == VGIC_CLEAR ? &all_ones : &values[r].v[i]);
	}
}

/* Read-only registers tell what the new GIC is: it must be what the guest has seen. */
static int check_table(struct vm_state *vm, struct remote *remote, const struct vgic_reg *table,
		       size_t nr_regs, uint64_t mpidr, const struct vgic_values *values)
{
	for (size_t r = 0; r < nr_regs; r++) {
		struct batch b = BATCH(remote, vm->id, "GIC identity");
		uint64_t found = 0;
		int ret;

		if (table[r].policy != VGIC_CHECK)
			continue;
		get_word(&b, vm->vgic->fd, &table[r], mpidr, 0, &found);
		ret = batch_run(&b);
		batch_fini(&b);
		if (ret)
			return ret;
		if (found != values[r].v[0]) {
			pr_err("vm %u: %s is %#" PRIx64 " on this host, %#" PRIx64 " in the image\n", vm->id,
			       table[r].name, found, values[r].v[0]);
			return -EINVAL;
		}
	}
	return 0;
}

static struct vgic_values *dist_values(const struct vgic_v3_state *gic, const char *name)
{
	for (size_t r = 0; r < vgic_v3_nr_dist_regs; r++)
		if (!strcmp(vgic_v3_dist_regs[r].name, name))
			return &gic->dist[r];
	return NULL;
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
	struct vgic_values *router = dist_values(gic, "GICD_IROUTER");
	struct batch b = BATCH(remote, vm->id, "GIC distributor");
	uint64_t *saved = malloc(router->nr * sizeof(*saved)), mpidr = vm->vcpus[0].mpidr;
	int ret;

	if (!saved)
		return -ENOMEM;
	memcpy(saved, router->v, router->nr * sizeof(*saved));
	ret = check_table(vm, remote, vgic_v3_dist_regs, vgic_v3_nr_dist_regs, mpidr, gic->dist);
	if (!ret) {
		for (size_t i = 0; i < gic->nr_active; i++)
			router->v[gic->active[i].intid - VGIC_NR_PRIVATE] =
				vgic_v3_route(vm->vcpus[gic->active[i].vcpu_idx].mpidr);
		add_apply(&b, vm, vgic_v3_dist_regs, vgic_v3_nr_dist_regs, mpidr, gic->dist);
		for (size_t i = 0; i < gic->nr_active; i++) {
			uint32_t spi = gic->active[i].intid - VGIC_NR_PRIVATE;

			set_word(&b, gic->fd, &vgic_v3_dist_regs[router - gic->dist], mpidr, spi,
				 &saved[spi]);
		}
		ret = batch_run(&b);
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
		b.vcpu = i;
		add_apply(&b, vm, vgic_v3_redist_regs, vgic_v3_nr_redist_regs, vm->vcpus[i].mpidr,
			  vm->vgic->cpus[i].redist);
	}
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

int vgic_v3_apply_cpuif(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "GIC CPU interface");
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		b.vcpu = i;
		add_apply(&b, vm, vgic_v3_cpuif_regs, vgic_v3_nr_cpuif_regs, vm->vcpus[i].mpidr,
			  vm->vgic->cpus[i].cpuif);
	}
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}
