// SPDX-License-Identifier: GPL-2.0-only
/* The document: interrupt controllers, and their interrupts but for LPIs of an ITS. */
#include "document.h"

static json_t *address(uint64_t base)
{
	return base == VGIC_ADDR_UNSET ? json_null() : hex(base);
}

static json_t *vcpu_or_null(const struct vcpu_state *vcpu)
{
	return vcpu ? number(vcpu->idx) : json_null();
}

static json_t *new_irq(const char *kind, unsigned int intid, json_t *vcpu)
{
	json_t *irq = new_object();

	put(irq, "kind", json_string(kind));
	put(irq, "intid", number(intid));
	put(irq, "vcpu", vcpu);
	return irq;
}

static const char *private_kind(unsigned int intid)
{
	return intid < 16 ? "SGI" : "PPI";
}

/* The vCPU on which SPI @intid is active, where that is another than the one it goes to. */
static void put_active_on(json_t *irq, const struct vgic_active *active, size_t nr, unsigned int intid)
{
	for (size_t i = 0; i < nr; i++)
		if (active[i].intid == intid)
			put(irq, "active_on", number(active[i].vcpu_idx));
}

/* ---- GICv3 ---- */

static const struct vcpu_state *vcpu_of_route(const struct vm_state *vm, uint64_t route)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		if (vgic_v3_route(vm->vcpus[i].mpidr) == vgic_v3_route(route))
			return &vm->vcpus[i];
	return NULL;
}

static json_t *v3_spi(const struct vm_state *vm, unsigned int intid)
{
	const struct vgic_v3_state *gic = vm->vgic;
	const uint64_t route = vgic_values_of(vgic_v3_dist_regs, vgic_v3_nr_dist_regs, gic->dist,
					      "GICD_IROUTER")->v[intid - VGIC_NR_PRIVATE];
	const bool unrouted = vgic_v3_is_unrouted(gic, intid);
	json_t *irq = new_irq("SPI", intid, vcpu_or_null(unrouted ? vm->vcpus : vcpu_of_route(vm, route)));

	document_irq(irq, vgic_v3_dist_regs, vgic_v3_nr_dist_regs, gic->dist, intid - VGIC_NR_PRIVATE);
	put(irq, "affinity", hex(route));
	if (unrouted)
		put(irq, "unrouted", truth(true));
	put_active_on(irq, gic->active, gic->nr_active, intid);
	return irq;
}

static void v3_interrupts(const struct vm_state *vm, json_t *list)
{
	const struct vgic_v3_state *gic = vm->vgic;

	for (size_t c = 0; c < gic->nr_cpus; c++)
		for (unsigned int intid = 0; intid < VGIC_NR_PRIVATE; intid++) {
			json_t *irq = new_irq(private_kind(intid), intid, number(c));

			document_irq(irq, vgic_v3_redist_regs, vgic_v3_nr_redist_regs, gic->redist[c], intid);
			add(list, irq);
		}
	for (unsigned int intid = VGIC_NR_PRIVATE; intid < gic->nr_irqs; intid++)
		add(list, v3_spi(vm, intid));
}

static json_t *v3(const struct vm_state *vm)
{
	const struct vgic_v3_state *gic = vm->vgic;
	json_t *d = new_object(), *regions = new_array(), *cpus = new_array();

	put(d, "kind", json_string(vm_gic_name(vm)));
	put(d, "fd", number(gic->fd));
	put(d, "nr_irqs", number(gic->nr_irqs));
	put(d, "dist_base", address(gic->dist_base));
	put(d, "legacy_redist", truth(gic->legacy_redist));
	for (size_t i = 0; i < gic->nr_regions; i++) {
		json_t *region = new_object();

		put(region, "base", hex(gic->regions[i].base));
		put(region, "count", number(gic->regions[i].count));
		add(regions, region);
	}
	put(d, "redistributors", regions);
	put(d, "iidr", hex(gic->iidr));
	put(d, "dist", document_regs(vgic_v3_dist_regs, vgic_v3_nr_dist_regs, gic->dist));
	for (size_t c = 0; c < gic->nr_cpus; c++) {
		json_t *cpu = new_object();

		put(cpu, "redist", document_regs(vgic_v3_redist_regs, vgic_v3_nr_redist_regs, gic->redist[c]));
		put(cpu, "cpuif", document_regs(vgic_v3_cpuif_regs, vgic_v3_nr_cpuif_regs, gic->cpuif[c]));
		add(cpus, cpu);
	}
	put(d, "cpus", cpus);
	return d;
}

/* ---- GICv2 ---- */

/* KVM gives it to the first of its targets, which are vCPUs by their idx (vgic_mmio_write_target()). */
static const struct vcpu_state *vcpu_of_targets(const struct vm_state *vm, unsigned int targets)
{
	size_t first = targets ? (size_t)__builtin_ctz(targets) : vm->nr_vcpus;

	return first < vm->nr_vcpus ? &vm->vcpus[first] : NULL;
}

static json_t *v2_spi(const struct vm_state *vm, unsigned int intid)
{
	const struct vgic_v2_state *gic = vm->vgic_v2;
	json_t *irq = new_irq("SPI", intid, json_null());

	document_irq(irq, vgic_v2_dist_regs, vgic_v2_nr_dist_regs, gic->dist, intid - VGIC_NR_PRIVATE);
	put(irq, "level", truth(gic->lines[intid / 32].level >> intid % 32 & 1));
	put(irq, "vcpu", vcpu_or_null(vcpu_of_targets(vm, get_number(irq, "targets"))));
	put_active_on(irq, gic->active, gic->nr_active, intid);
	return irq;
}

static void v2_interrupts(const struct vm_state *vm, json_t *list)
{
	const struct vgic_v2_state *gic = vm->vgic_v2;

	for (size_t c = 0; c < gic->nr_cpus; c++)
		for (unsigned int intid = 0; intid < VGIC_NR_PRIVATE; intid++) {
			json_t *irq = new_irq(private_kind(intid), intid, number(c));

			document_irq(irq, vgic_v2_banked_regs, vgic_v2_nr_banked_regs, gic->banked[c], intid);
			if (intid < 16) /* GICD_ISPENDR0 is without them */
				put(irq, "pending", truth(get_number(irq, "sources")));
			put(irq, "level", truth(gic->private[c].level >> intid & 1));
			add(list, irq);
		}
	for (unsigned int intid = VGIC_NR_PRIVATE; intid < gic->nr_irqs; intid++)
		add(list, v2_spi(vm, intid));
}

static json_t *v2(const struct vm_state *vm)
{
	const struct vgic_v2_state *gic = vm->vgic_v2;
	json_t *d = new_object(), *cpus = new_array();

	put(d, "kind", json_string(vm_gic_name(vm)));
	put(d, "fd", number(gic->fd));
	put(d, "nr_irqs", number(gic->nr_irqs));
	put(d, "dist_base", address(gic->dist_base));
	put(d, "cpu_base", address(gic->cpu_base));
	put(d, "iidr", hex(gic->iidr));
	put(d, "dist", document_regs(vgic_v2_dist_regs, vgic_v2_nr_dist_regs, gic->dist));
	for (size_t c = 0; c < gic->nr_cpus; c++) {
		json_t *cpu = new_object();

		put(cpu, "banked", document_regs(vgic_v2_banked_regs, vgic_v2_nr_banked_regs, gic->banked[c]));
		put(cpu, "cpuif", document_regs(vgic_v2_cpuif_regs, vgic_v2_nr_cpuif_regs, gic->cpuif[c]));
		add(cpus, cpu);
	}
	put(d, "cpus", cpus);
	return d;
}

/* ---- GICv5 ---- */

static const struct vcpu_state *vcpu_by_id(const struct vm_state *vm, uint32_t id)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i].id == id)
			return &vm->vcpus[i];
	return NULL;
}

static json_t *v5_iste(const struct vm_state *vm, const char *kind, unsigned int n, uint32_t e)
{
	json_t *irq = new_irq(kind, n, vcpu_or_null(vcpu_by_id(vm, ISTE_IAFFID(e))));

	put(irq, "enabled", truth(ISTE_ENABLE(e)));
	put(irq, "pending", truth(ISTE_PENDING(e)));
	put(irq, "active", truth(ISTE_ACTIVE(e)));
	put(irq, "trigger", json_string(ISTE_HM(e) ? "level" : "edge"));
	put(irq, "priority", number(ISTE_PRIORITY(e)));
	put(irq, "routing", json_string(ISTE_IRM(e) ? "one of many" : "targeted"));
	put(irq, "iaffid", number(ISTE_IAFFID(e)));
	put(irq, "other", number(ISTE_OTHER(e)));
	return irq;
}

/* Interrupts of an IST that are all zeros have never been used, and are left out. */
static void v5_ist(const struct vm_state *vm, json_t *list, const char *kind, const struct vgic_v5_ist *ist)
{
	for (uint32_t n = 0; n < ist->nr; n++)
		if (ist->iste[n])
			add(list, v5_iste(vm, kind, n, ist->iste[n]));
}

/* Likewise. */
static bool is_blank(json_t *irq)
{
	return !get_truth(irq, "enabled") && !get_truth(irq, "pending") && !get_truth(irq, "active") &&
	       !get_number(irq, "priority");
}

#define V5_NR_PPIS 128

static void v5_interrupts(const struct vm_state *vm, json_t *list)
{
	const struct vgic_v5_state *gic = vm->vgic_v5;

	for (size_t c = 0; c < gic->nr_cpus; c++)
		for (unsigned int ppi = 0; ppi < V5_NR_PPIS; ppi++) {
			json_t *irq = new_irq("PPI", ppi, number(c));

			document_irq(irq, vgic_v5_cpuif_regs, vgic_v5_nr_cpuif_regs, gic->cpuif[c], ppi);
			if (is_blank(irq))
				json_decref(irq);
			else
				add(list, irq);
		}
	v5_ist(vm, list, "SPI", &gic->spi);
	v5_ist(vm, list, "LPI", &gic->lpi);
}

static json_t *words(const uint64_t *v, size_t nr)
{
	json_t *list = new_array();

	for (size_t i = 0; i < nr; i++)
		add(list, hex(v[i]));
	return list;
}

static json_t *v5(const struct vm_state *vm)
{
	static const char *const forms[] = { [VGIC_V5_DESCRIPTOR] = "descriptor", [VGIC_V5_RAW] = "raw" };
	const struct vgic_v5_state *gic = vm->vgic_v5;
	json_t *d = new_object(), *cpus = new_array();

	put(d, "kind", json_string(vm_gic_name(vm)));
	put(d, "fd", number(gic->fd));
	put(d, "form", NAMED(gic->form, forms));
	put(d, "irs_base", hex(gic->irs_base));
	put(d, "nr_spis", number(gic->nr_spis));
	put(d, "nr_lpis", number(gic->lpi.nr));
	put(d, "userspace_ppis", words(gic->userspace_ppis, 2));
	put(d, "id", document_regs(vgic_v5_id_regs, vgic_v5_nr_id_regs, gic->id));
	put(d, "irs", document_regs(vgic_v5_irs_regs, vgic_v5_nr_irs_regs, gic->irs));
	put(d, "pe_cr0", words(gic->pe_cr0.v, gic->pe_cr0.nr));
	put(d, "spi_cfgr", words(gic->spi_cfgr.v, gic->spi_cfgr.nr));
	for (size_t c = 0; c < gic->nr_cpus; c++) {
		json_t *cpu = new_object();

		put(cpu, "cpuif", document_regs(vgic_v5_cpuif_regs, vgic_v5_nr_cpuif_regs, gic->cpuif[c]));
		add(cpus, cpu);
	}
	put(d, "cpus", cpus);
	return d;
}

json_t *document_gic(const struct vm_state *vm)
{
	return vm->vgic_v2 ? v2(vm) : vm->vgic ? v3(vm) : v5(vm);
}

json_t *document_interrupts(const struct vm_state *vm)
{
	json_t *list = new_array();

	if (vm->vgic_v2)
		v2_interrupts(vm, list);
	else if (vm->vgic)
		v3_interrupts(vm, list);
	else
		v5_interrupts(vm, list);
	return list;
}
