// SPDX-License-Identifier: GPL-2.0-only
/* kvm-vgic-<vm>.img: vgic.proto. */
#include <stdio.h>
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

/* What the file holds of a table: not what is only cleared, nor an optional register without a value. */
static bool is_stored(const struct vgic_reg *reg, const struct vgic_values *values)
{
	return reg->policy != VGIC_CLEAR && (reg->policy != VGIC_OPTIONAL || values->nr);
}

static size_t pack_values(KvmVgic__VgicRegValues **list, const struct vgic_reg *table, size_t nr_regs,
			  const struct vgic_values *values)
{
	size_t n = 0;

	for (size_t r = 0; r < nr_regs; r++) {
		if (!is_stored(&table[r], &values[r]))
			continue;
		kvm_vgic__vgic_reg_values__init(list[n]);
		list[n]->name = (char *)table[r].name;
		list[n]->offset = table[r].offset;
		list[n]->n_value = values[r].nr;
		list[n]->value = values[r].v;
		n++;
	}
	return n;
}

/* The register tables of all vCPUs, in one block of pointers and messages. */
static void pack_cpus(KvmVgic__VgicV3CpuEntry **list, KvmVgic__VgicRegValues **regs,
		      const struct vgic_v3_state *gic)
{
	for (size_t i = 0; i < gic->nr_cpus; i++) {
		KvmVgic__VgicV3CpuEntry *cpu = list[i];

		kvm_vgic__vgic_v3_cpu_entry__init(cpu);
		cpu->redist = regs;
		cpu->n_redist = pack_values(cpu->redist, vgic_v3_redist_regs, vgic_v3_nr_redist_regs,
					    gic->cpus[i].redist);
		regs += vgic_v3_nr_redist_regs;
		cpu->cpuif = regs;
		cpu->n_cpuif = pack_values(cpu->cpuif, vgic_v3_cpuif_regs, vgic_v3_nr_cpuif_regs,
					   gic->cpus[i].cpuif);
		regs += vgic_v3_nr_cpuif_regs;
	}
}

static void pack_regions(KvmVgic__VgicRegionEntry **list, const struct vgic_v3_state *gic)
{
	for (size_t i = 0; i < gic->nr_regions; i++) {
		kvm_vgic__vgic_region_entry__init(list[i]);
		list[i]->redist_base = gic->regions[i].base;
		list[i]->count = gic->regions[i].count;
		list[i]->flags = gic->regions[i].flags;
	}
}

static void pack_active(KvmVgic__VgicActiveEntry **list, const struct vgic_v3_state *gic)
{
	for (size_t i = 0; i < gic->nr_active; i++) {
		kvm_vgic__vgic_active_entry__init(list[i]);
		list[i]->intid = gic->active[i].intid;
		list[i]->vcpu_idx = gic->active[i].vcpu_idx;
	}
}

/* Words of the bitmap that the file has: from INTID 32 up to the last one with a bit. */
static size_t nr_unrouted_words(const struct vgic_v3_state *gic)
{
	size_t last = VGIC_MAX_IRQS / 32 - 1;

	while (last && !gic->unrouted[last])
		last--;
	return last;
}

void vgic_pack(struct frame_out *out, const struct vgic_v3_state *gic)
{
	size_t nr_cpu_regs = gic->nr_cpus * (vgic_v3_nr_redist_regs + vgic_v3_nr_cpuif_regs);
	KvmVgic__VgicEntry entry = KVM_VGIC__VGIC_ENTRY__INIT;
	KvmVgic__VgicV3Entry v3 = KVM_VGIC__VGIC_V3_ENTRY__INIT;
	KvmVgic__VgicRegValues **cpu_regs = NULL;

	entry.v3 = &v3;
	v3.fd = gic->fd;
	v3.nr_irqs = gic->nr_irqs;
	v3.dist_base = gic->dist_base;
	v3.legacy_redist = gic->legacy_redist;
	v3.iidr = gic->iidr;
	v3.n_regions = gic->nr_regions;
	v3.n_cpus = gic->nr_cpus;
	v3.n_active = gic->nr_active;
	v3.n_unrouted = nr_unrouted_words(gic);
	v3.unrouted = (uint32_t *)&gic->unrouted[1];
	if (ENTRY_LIST(out, gic->nr_regions, v3.regions) && ENTRY_LIST(out, vgic_v3_nr_dist_regs, v3.dist) &&
	    ENTRY_LIST(out, gic->nr_cpus, v3.cpus) && ENTRY_LIST(out, gic->nr_active, v3.active) &&
	    ENTRY_LIST(out, nr_cpu_regs, cpu_regs)) {
		pack_regions(v3.regions, gic);
		v3.n_dist = pack_values(v3.dist, vgic_v3_dist_regs, vgic_v3_nr_dist_regs, gic->dist);
		pack_cpus(v3.cpus, cpu_regs, gic);
		pack_active(v3.active, gic);
		frame_add(out, &entry.base);
	}
	free(v3.regions);
	free(v3.dist);
	free(v3.cpus);
	free(v3.active);
	free(cpu_regs);
}

/* A table as the file has it, with whose it is for messages. */
struct table {
	const struct frame_in *in;
	const char *whose;
	const struct vgic_reg *regs;
	size_t nr_regs;
	KvmVgic__VgicRegValues **list;
	size_t n;
};

static int copy_values(const struct table *t, const KvmVgic__VgicRegValues *from, struct vgic_values *to)
{
	int ret = entry_alloc(t->in, &to->v, from->n_value, sizeof(*to->v));

	if (ret)
		return ret;
	to->nr = from->n_value;
	if (to->nr)
		memcpy(to->v, from->value, to->nr * sizeof(*to->v));
	return 0;
}

static bool is_reg(const KvmVgic__VgicRegValues *values, const struct vgic_reg *reg)
{
	return !strcmp(values->name, reg->name) && values->offset == reg->offset;
}

/* For the log: what a file calls a register can be anything. */
static const char *reg_name(const KvmVgic__VgicRegValues *values)
{
	static const char known[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
	size_t len = strspn(values->name, known);

	return len && len < 32 && !values->name[len] ? values->name : "another name";
}

static int refuse_reg(const struct table *t, const struct vgic_reg *expected,
		      const KvmVgic__VgicRegValues *found)
{
	if (!found)
		pr_err("%s: %s: %s (0x%x) expected, nothing found\n", t->in->file, t->whose, expected->name,
		       expected->offset);
	else if (!expected)
		pr_err("%s: %s: %s (0x%x) is not a register known here, or out of order\n", t->in->file,
		       t->whose, reg_name(found), found->offset);
	else
		pr_err("%s: %s: %s (0x%x) expected, %s (0x%x) found\n", t->in->file, t->whose, expected->name,
		       expected->offset, reg_name(found), found->offset);
	return -EINVAL;
}

/* The file has the registers of the table, in its order; whatever else it names would be lost state. */
static int unpack_values(const struct table *t, struct vgic_values **values)
{
	size_t n = 0;
	int ret;

	ret = entry_alloc(t->in, values, t->nr_regs, sizeof(**values));
	for (size_t r = 0; r < t->nr_regs && !ret; r++) {
		const struct vgic_reg *reg = &t->regs[r];

		if (reg->policy == VGIC_CLEAR)
			continue;
		if (n < t->n && is_reg(t->list[n], reg))
			ret = copy_values(t, t->list[n++], &(*values)[r]);
		else if (reg->policy != VGIC_OPTIONAL)
			ret = refuse_reg(t, reg, n < t->n ? t->list[n] : NULL);
	}
	if (!ret && n < t->n)
		ret = refuse_reg(t, NULL, t->list[n]);
	return ret;
}

static int unpack_cpu(const struct frame_in *in, size_t i, const KvmVgic__VgicV3CpuEntry *entry,
		      struct vgic_v3_cpu *cpu)
{
	char whose[32];
	const struct table redist = {
		.in = in,
		.whose = whose,
		.regs = vgic_v3_redist_regs,
		.nr_regs = vgic_v3_nr_redist_regs,
		.list = entry->redist,
		.n = entry->n_redist,
	};
	const struct table cpuif = {
		.in = in,
		.whose = whose,
		.regs = vgic_v3_cpuif_regs,
		.nr_regs = vgic_v3_nr_cpuif_regs,
		.list = entry->cpuif,
		.n = entry->n_cpuif,
	};
	int ret;

	snprintf(whose, sizeof(whose), "vCPU %zu", i);
	ret = unpack_values(&redist, &cpu->redist);
	return ret ? ret : unpack_values(&cpuif, &cpu->cpuif);
}

static int unpack_cpus(const struct frame_in *in, const KvmVgic__VgicV3Entry *entry,
		       struct vgic_v3_state *gic)
{
	int ret;

	if (entry->n_cpus > VM_MAX_VCPUS) {
		pr_err("%s: %zu vCPUs, at most %u expected\n", in->file, entry->n_cpus, VM_MAX_VCPUS);
		return -EINVAL;
	}
	ret = entry_alloc(in, &gic->cpus, entry->n_cpus, sizeof(*gic->cpus));
	if (ret)
		return ret;
	gic->nr_cpus = entry->n_cpus;
	for (size_t i = 0; i < gic->nr_cpus && !ret; i++)
		ret = unpack_cpu(in, i, entry->cpus[i], &gic->cpus[i]);
	return ret;
}

static int unpack_regions(const struct frame_in *in, const KvmVgic__VgicV3Entry *entry,
			  struct vgic_v3_state *gic)
{
	int ret;

	if (entry->n_regions > VGIC_MAX_REGIONS) {
		pr_err("%s: %zu redistributor regions, at most %u expected\n", in->file, entry->n_regions,
		       VGIC_MAX_REGIONS);
		return -EINVAL;
	}
	ret = entry_alloc(in, &gic->regions, entry->n_regions, sizeof(*gic->regions));
	if (ret)
		return ret;
	gic->nr_regions = entry->n_regions;
	for (size_t i = 0; i < gic->nr_regions; i++)
		gic->regions[i] = (struct vgic_region){
			.base = entry->regions[i]->redist_base,
			.count = entry->regions[i]->count,
			.flags = entry->regions[i]->flags,
		};
	return 0;
}

static int unpack_active(const struct frame_in *in, const KvmVgic__VgicV3Entry *entry,
			 struct vgic_v3_state *gic)
{
	int ret;

	if (entry->n_active > VGIC_MAX_IRQS) {
		pr_err("%s: %zu active SPIs, at most %u expected\n", in->file, entry->n_active,
		       VGIC_MAX_IRQS);
		return -EINVAL;
	}
	ret = entry_alloc(in, &gic->active, entry->n_active, sizeof(*gic->active));
	if (ret)
		return ret;
	gic->nr_active = entry->n_active;
	for (size_t i = 0; i < gic->nr_active; i++)
		gic->active[i] = (struct vgic_active){
			.intid = entry->active[i]->intid,
			.vcpu_idx = entry->active[i]->vcpu_idx,
		};
	return 0;
}

static int unpack_unrouted(const struct frame_in *in, const KvmVgic__VgicV3Entry *entry,
			   struct vgic_v3_state *gic)
{
	size_t max = VGIC_MAX_IRQS / 32 - 1;

	if (entry->n_unrouted > max) {
		pr_err("%s: %zu words of unrouted SPIs, at most %zu expected\n", in->file, entry->n_unrouted,
		       max);
		return -EINVAL;
	}
	if (entry->n_unrouted)
		memcpy(&gic->unrouted[1], entry->unrouted, entry->n_unrouted * sizeof(*entry->unrouted));
	return 0;
}

static int unpack_v3(const struct frame_in *in, const KvmVgic__VgicV3Entry *entry, struct vgic_v3_state *gic)
{
	const struct table dist = {
		.in = in,
		.whose = "distributor",
		.regs = vgic_v3_dist_regs,
		.nr_regs = vgic_v3_nr_dist_regs,
		.list = entry->dist,
		.n = entry->n_dist,
	};
	int ret;

	gic->fd = entry->fd;
	gic->nr_irqs = entry->nr_irqs;
	gic->dist_base = entry->dist_base;
	gic->legacy_redist = entry->legacy_redist;
	gic->iidr = entry->iidr;
	ret = unpack_regions(in, entry, gic);
	if (!ret)
		ret = unpack_values(&dist, &gic->dist);
	if (!ret)
		ret = unpack_cpus(in, entry, gic);
	if (!ret)
		ret = unpack_active(in, entry, gic);
	if (!ret)
		ret = unpack_unrouted(in, entry, gic);
	return ret;
}

int vgic_unpack(const struct frame_in *in, const KvmVgic__VgicEntry *entry, struct vgic_v3_state **gic)
{
	int ret;

	if (!entry->v3) {
		pr_err("%s: entry %u: a GIC of a kind not known here\n", in->file, in->entry);
		return -EINVAL;
	}
	ret = entry_alloc(in, gic, 1, sizeof(**gic));
	return ret ? ret : unpack_v3(in, entry->v3, *gic);
}
