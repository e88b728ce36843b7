// SPDX-License-Identifier: GPL-2.0-only
/*
 * GICv2 through KVM's device attributes (Documentation/virt/kvm/devices/arm-vgic.rst). As in vgic_v3.c the tables
 * are the list of what is saved and, read from the top, the order of restore; the rules there hold here too.
 * What is different:
 *  - GICD_IIDR is not only before all else: without a write of it KVM ignores those of GICD_IGROUPR.
 *  - KVM shows in GICD_ISPENDR what is pending for whatever reason, and what is written there stays pending
 *    until the guest takes it. So it gets the latch alone, as the probe has read it, and line levels are raised
 *    as the VMM does that: by KVM_IRQ_LINE, which makes a level of it only where GICD_ICFGR says so.
 *  - An SGI is pending by the vCPU that sent it: GICD_SPENDSGIR. In GICD_ISPENDR KVM would take its bit as sent
 *    by the vCPU itself.
 *  - The vCPU that sent an SGI which is active cannot be written: vCPU 0 has, for KVM. The probe refuses others.
 *  - GICC_PMR has the upper five bits of the mask, shifted down by three: what KVM gives is what it takes.
 */
#include <stdlib.h>

#include "log.h"
#include "remote/remote.h"
#include "state/vm.h"

#define GICD_IIDR 0x8

#define DIST(name_, offset_, bits_, policy_)                                                                 \
	{                                                                                                    \
		.name = name_, .frame = VGIC_V2_DIST, .offset = offset_, .bits = bits_, .count = 1,          \
		.policy = policy_                                                                            \
	}
#define BANKED(name_, offset_, count_, policy_)                                                              \
	{                                                                                                    \
		.name = name_, .frame = VGIC_V2_DIST, .offset = offset_, .count = count_, .policy = policy_  \
	}
#define CPUIF(name_, offset_, count_)                                                                        \
	{                                                                                                    \
		.name = name_, .frame = VGIC_V2_CPUIF, .offset = offset_, .count = count_,                   \
		.policy = VGIC_SAVE                                                                          \
	}

const struct vgic_reg vgic_v2_dist_regs[] = {
	DIST("GICD_TYPER", 0x004, 0, VGIC_CHECK),
	DIST("GICD_CTLR", 0x000, 0, VGIC_SAVE),
	DIST("GICD_IGROUPR", 0x080, 1, VGIC_SAVE),
	DIST("GICD_ITARGETSR", 0x800, 8, VGIC_SAVE),
	DIST("GICD_ICFGR", 0xc00, 2, VGIC_SAVE),
	DIST("GICD_ISENABLER", 0x100, 1, VGIC_SAVE),
	DIST("GICD_ISPENDR", 0x200, 1, VGIC_SAVE),
	DIST("GICD_ISACTIVER", 0x300, 1, VGIC_SAVE),
	DIST("GICD_IPRIORITYR", 0x400, 8, VGIC_SAVE),
};
const size_t vgic_v2_nr_dist_regs = sizeof(vgic_v2_dist_regs) / sizeof(vgic_v2_dist_regs[0]);

/* GICD_ICFGR and GICD_ITARGETSR of SGIs and PPIs cannot be written. */
const struct vgic_reg vgic_v2_banked_regs[] = {
	BANKED("GICD_ICENABLER0", 0x180, 1, VGIC_CLEAR),
	BANKED("GICD_IGROUPR0", 0x080, 1, VGIC_SAVE),
	BANKED("GICD_ISENABLER0", 0x100, 1, VGIC_SAVE),
	BANKED("GICD_ISPENDR0", 0x200, 1, VGIC_SAVE),
	BANKED("GICD_SPENDSGIR", 0xf20, 4, VGIC_SAVE),
	BANKED("GICD_ISACTIVER0", 0x300, 1, VGIC_SAVE),
	BANKED("GICD_IPRIORITYR0", 0x400, 8, VGIC_SAVE),
};
const size_t vgic_v2_nr_banked_regs = sizeof(vgic_v2_banked_regs) / sizeof(vgic_v2_banked_regs[0]);

/* GICC_IIDR is not the guest's: it sees that of the hardware (GICV_IIDR). */
const struct vgic_reg vgic_v2_cpuif_regs[] = {
	CPUIF("GICC_CTLR", 0x00, 1), CPUIF("GICC_PMR", 0x04, 1),  CPUIF("GICC_BPR", 0x08, 1),
	CPUIF("GICC_ABPR", 0x1c, 1), CPUIF("GICC_APR", 0xd0, 4),
};
const size_t vgic_v2_nr_cpuif_regs = sizeof(vgic_v2_cpuif_regs) / sizeof(vgic_v2_cpuif_regs[0]);

void vgic_v2_free(struct vgic_v2_state *gic)
{
	if (!gic)
		return;
	free(gic->dist);
	vgic_values_free_all(gic->banked, gic->nr_cpus);
	vgic_values_free_all(gic->cpuif, gic->nr_cpus);
	free(gic->private);
	free(gic->active);
	free(gic);
}

/* The part of vCPU @i; the distributor, but for what is banked, is the same through each. */
static struct vgic_part part_of(const struct vm_state *vm, size_t i)
{
	return (struct vgic_part){
		.fd = vm->vgic_v2->fd,
		.nr_irqs = vm->vgic_v2->nr_irqs,
		.vcpu_id = vm->vcpus[i].id,
	};
}

static const struct vgic_values *dist_values(const struct vgic_v2_state *gic, const char *name)
{
	return vgic_values_of(vgic_v2_dist_regs, vgic_v2_nr_dist_regs, gic->dist, name);
}

uint32_t vgic_v2_level_triggered(const struct vgic_v2_state *gic, uint32_t first)
{
	const uint64_t *icfgr = dist_values(gic, "GICD_ICFGR")->v + (first - VGIC_NR_PRIVATE) / 16;
	uint32_t level = 0;

	for (uint32_t i = 0; i < 32; i++)
		level |= (uint32_t)!(icfgr[i / 16] >> (2 * (i % 16) + 1) & 1) << i;
	return level;
}

/* ---- dump ---- */

int vgic_v2_capture_config(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v2_state *gic = vm->vgic_v2;
	struct batch b = BATCH(remote, vm->id, "GICv2 addresses");
	const uint64_t iidr = (uint64_t)vm->vcpus[0].id << KVM_DEV_ARM_VGIC_CPUID_SHIFT | GICD_IIDR;
	int ret;

	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_DIST, &gic->dist_base,
		       sizeof(gic->dist_base), "KVM_VGIC_V2_ADDR_TYPE_DIST");
	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_CPU, &gic->cpu_base,
		       sizeof(gic->cpu_base), "KVM_VGIC_V2_ADDR_TYPE_CPU");
	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &gic->nr_irqs, sizeof(gic->nr_irqs),
		       "KVM_DEV_ARM_VGIC_GRP_NR_IRQS");
	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, iidr, &gic->iidr, sizeof(gic->iidr),
		       "GICD_IIDR");
	ret = batch_run(&b);
	batch_fini(&b);
	if (ret)
		return ret;
	if (gic->nr_irqs < VGIC_MIN_IRQS || gic->nr_irqs > VGIC_MAX_IRQS || gic->nr_irqs % 32) {
		pr_err("vm %u: GIC: %u interrupts\n", vm->id, gic->nr_irqs);
		return -EINVAL;
	}
	return 0;
}

static int capture_table(struct vm_state *vm, struct remote *remote, const char *step, int32_t vcpu,
			 const struct vgic_reg *table, size_t nr_regs, struct vgic_values **values)
{
	const struct vgic_part part = part_of(vm, vcpu < 0 ? 0 : vcpu);
	struct batch b = BATCH(remote, vm->id, step);
	int ret;

	b.vcpu = vcpu;
	ret = vgic_regs_capture(&b, &part, table, nr_regs, values);
	batch_fini(&b);
	return ret;
}

static int capture_cpu(struct vm_state *vm, struct remote *remote, size_t i)
{
	struct vgic_v2_state *gic = vm->vgic_v2;
	int ret = capture_table(vm, remote, "GICv2 banked registers", i, vgic_v2_banked_regs,
				vgic_v2_nr_banked_regs, &gic->banked[i]);

	if (ret)
		return ret;
	vgic_values_of(vgic_v2_banked_regs, vgic_v2_nr_banked_regs, gic->banked[i], "GICD_ISPENDR0")->v[0] =
		gic->private[i].latch & ~VGIC_V2_SGIS;
	gic->private[i].level &= ~VGIC_V2_SGIS;
	return capture_table(vm, remote, "GICv2 CPU interface", i, vgic_v2_cpuif_regs, vgic_v2_nr_cpuif_regs,
			     &gic->cpuif[i]);
}

/* A line is none where GICD_ICFGR says edge: as LEVEL_INFO of a GICv3 has it. */
int vgic_v2_capture_regs(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v2_state *gic = vm->vgic_v2;
	int ret;

	gic->banked = calloc(gic->nr_cpus, sizeof(*gic->banked));
	gic->cpuif = calloc(gic->nr_cpus, sizeof(*gic->cpuif));
	if (!gic->banked || !gic->cpuif)
		return -ENOMEM;
	ret = capture_table(vm, remote, "GICv2 distributor", -1, vgic_v2_dist_regs, vgic_v2_nr_dist_regs, &gic->dist);
	for (size_t i = 0; !ret && i < gic->nr_cpus; i++)
		ret = capture_cpu(vm, remote, i);
	for (uint32_t first = VGIC_NR_PRIVATE; !ret && first < gic->nr_irqs; first += 32) {
		struct vgic_v2_lines *lines = &gic->lines[first / 32];

		dist_values(gic, "GICD_ISPENDR")->v[first / 32 - 1] = lines->latch;
		lines->level &= vgic_v2_level_triggered(gic, first);
	}
	return ret;
}

/* ---- restore ---- */

int vgic_v2_apply_config(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v2_state *gic = vm->vgic_v2;
	struct batch b = BATCH(remote, vm->id, "GICv2 addresses");
	const uint64_t iidr = (uint64_t)vm->vcpus[0].id << KVM_DEV_ARM_VGIC_CPUID_SHIFT | GICD_IIDR;
	int ret;

	batch_set_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &gic->nr_irqs, sizeof(gic->nr_irqs),
		       "KVM_DEV_ARM_VGIC_GRP_NR_IRQS");
	if (gic->dist_base != VGIC_ADDR_UNSET)
		batch_set_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_DIST,
			       &gic->dist_base, sizeof(gic->dist_base), "KVM_VGIC_V2_ADDR_TYPE_DIST");
	if (gic->cpu_base != VGIC_ADDR_UNSET)
		batch_set_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_CPU,
			       &gic->cpu_base, sizeof(gic->cpu_base), "KVM_VGIC_V2_ADDR_TYPE_CPU");
	batch_set_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, 0,
		       "KVM_DEV_ARM_VGIC_CTRL_INIT");
	batch_set_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, iidr, &gic->iidr, sizeof(gic->iidr),
		       "GICD_IIDR");
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

/* GICD_ITARGETSR has bytes of SPIs. */
static void set_target(uint64_t *words, uint32_t intid, uint8_t targets)
{
	uint32_t spi = intid - VGIC_NR_PRIVATE, shift = 8 * (spi % 4);

	words[spi / 4] = (words[spi / 4] & ~(0xffull << shift)) | (uint64_t)targets << shift;
}

/* What is active goes to who has it first, and where the guest wants the next one afterwards: as in vgic_v3.c. */
int vgic_v2_apply_dist(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v2_state *gic = vm->vgic_v2;
	const struct vgic_part part = part_of(vm, 0);
	const struct vgic_values *targets = dist_values(gic, "GICD_ITARGETSR");
	struct batch b = BATCH(remote, vm->id, "GICv2 distributor");
	uint64_t *saved = malloc(targets->nr * sizeof(*saved));
	int ret;

	if (!saved)
		return -ENOMEM;
	memcpy(saved, targets->v, targets->nr * sizeof(*saved));
	ret = vgic_regs_check(&b, &part, vgic_v2_dist_regs, vgic_v2_nr_dist_regs, gic->dist);
	if (!ret) {
		for (size_t i = 0; i < gic->nr_active; i++)
			set_target(targets->v, gic->active[i].intid, 1u << gic->active[i].vcpu_idx);
		vgic_regs_add_apply(&b, &part, vgic_v2_dist_regs, vgic_v2_nr_dist_regs, gic->dist);
		for (size_t i = 0; i < gic->nr_active; i++) {
			uint32_t word = (gic->active[i].intid - VGIC_NR_PRIVATE) / 4;

			vgic_reg_add_set(&b, &part, &vgic_v2_dist_regs[targets - gic->dist], word,
					 &saved[word]);
		}
		ret = batch_run(&b);
		memcpy(targets->v, saved, targets->nr * sizeof(*saved));
	}
	batch_fini(&b);
	free(saved);
	return ret;
}

int vgic_v2_apply_banked(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "GICv2 banked registers");
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		const struct vgic_part part = part_of(vm, i);

		b.vcpu = i;
		vgic_regs_add_apply(&b, &part, vgic_v2_banked_regs, vgic_v2_nr_banked_regs,
				    vm->vgic_v2->banked[i]);
	}
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

static void add_level(struct batch *b, const struct vm_state *vm, uint32_t irq, struct kvm_irq_level *line)
{
	*line = (struct kvm_irq_level){ .irq = irq, .level = 1 };
	batch_ioctl(b, vm->fd, KVM_IRQ_LINE, line, sizeof(*line), "KVM_IRQ_LINE")->detail = irq;
}

/* Those lines that KVM itself raises when the vCPU first runs: timers and PMU. It keeps the VMM from them. */
static uint32_t owned_lines(const struct vcpu_state *vcpu)
{
	return 1u << vcpu->vtimer_irq | 1u << vcpu->ptimer_irq |
	       (vcpu->pmu_created && vcpu->pmu_irq < VGIC_NR_PRIVATE ? 1u << vcpu->pmu_irq : 0);
}

static bool is_pmu_spi(const struct vm_state *vm, uint32_t intid)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i].pmu_created && vm->vcpus[i].pmu_irq == intid)
			return true;
	return false;
}

int vgic_v2_apply_levels(struct vm_state *vm, struct remote *remote)
{
	const struct vgic_v2_state *gic = vm->vgic_v2;
	struct kvm_irq_level *lines = calloc(gic->nr_irqs + vm->nr_vcpus * VGIC_NR_PRIVATE, sizeof(*lines));
	struct batch b = BATCH(remote, vm->id, "GICv2 line levels");
	size_t n = 0;
	int ret;

	if (!lines)
		return -ENOMEM;
	for (uint32_t intid = VGIC_NR_PRIVATE; intid < gic->nr_irqs; intid++)
		if (gic->lines[intid / 32].level >> intid % 32 & 1 && !is_pmu_spi(vm, intid))
			add_level(&b, vm, KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | intid,
				  &lines[n++]);
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		const uint32_t raised = gic->private[i].level & ~owned_lines(&vm->vcpus[i]);

		b.vcpu = i;
		for (uint32_t intid = 0; intid < VGIC_NR_PRIVATE; intid++)
			if (raised >> intid & 1)
				add_level(&b, vm, KVM_ARM_IRQ_TYPE_PPI << KVM_ARM_IRQ_TYPE_SHIFT |
					  vm->vcpus[i].id << KVM_ARM_IRQ_VCPU_SHIFT | intid, &lines[n++]);
	}
	ret = batch_run(&b);
	batch_fini(&b);
	free(lines);
	return ret;
}

int vgic_v2_apply_cpuif(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "GICv2 CPU interface");
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		const struct vgic_part part = part_of(vm, i);

		b.vcpu = i;
		vgic_regs_add_apply(&b, &part, vgic_v2_cpuif_regs, vgic_v2_nr_cpuif_regs,
				    vm->vgic_v2->cpuif[i]);
	}
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}
