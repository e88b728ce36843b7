// SPDX-License-Identifier: GPL-2.0-only
/* kvm-vgic-<vm>.img: vgic.proto. */
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

static void pack_regions(KvmVgic__VgicRegionEntry **list, const struct vgic_v3_state *gic)
{
	for (size_t i = 0; i < gic->nr_regions; i++) {
		kvm_vgic__vgic_region_entry__init(list[i]);
		list[i]->redist_base = gic->regions[i].base;
		list[i]->count = gic->regions[i].count;
		list[i]->flags = gic->regions[i].flags;
	}
}

void vgic_pack_active(KvmVgic__VgicActiveEntry **list, const struct vgic_active *active, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		kvm_vgic__vgic_active_entry__init(list[i]);
		list[i]->intid = active[i].intid;
		list[i]->vcpu_idx = active[i].vcpu_idx;
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

static void pack_v3(struct frame_out *out, const struct vgic_v3_state *gic)
{
	KvmVgic__VgicEntry entry = KVM_VGIC__VGIC_ENTRY__INIT;
	KvmVgic__VgicV3Entry v3 = KVM_VGIC__VGIC_V3_ENTRY__INIT;

	entry.v3 = &v3;
	v3.fd = gic->fd;
	v3.nr_irqs = gic->nr_irqs;
	v3.dist_base = gic->dist_base;
	v3.legacy_redist = gic->legacy_redist;
	v3.iidr = gic->iidr;
	v3.n_regions = gic->nr_regions;
	v3.nr_cpus = gic->nr_cpus;
	v3.n_active = gic->nr_active;
	v3.n_unrouted = nr_unrouted_words(gic);
	v3.unrouted = (uint32_t *)&gic->unrouted[1];
	v3.n_dist = vgic_pack_values(out, &v3.dist, vgic_v3_dist_regs, vgic_v3_nr_dist_regs, &gic->dist, 1);
	v3.n_redist = vgic_pack_values(out, &v3.redist, vgic_v3_redist_regs, vgic_v3_nr_redist_regs, gic->redist,
				       gic->nr_cpus);
	v3.n_cpuif = vgic_pack_values(out, &v3.cpuif, vgic_v3_cpuif_regs, vgic_v3_nr_cpuif_regs, gic->cpuif,
				      gic->nr_cpus);
	if (ENTRY_LIST(out, gic->nr_regions, v3.regions) && ENTRY_LIST(out, gic->nr_active, v3.active)) {
		pack_regions(v3.regions, gic);
		vgic_pack_active(v3.active, gic->active, gic->nr_active);
		frame_add(out, &entry.base);
	}
	free(v3.regions);
	free(v3.dist);
	free(v3.redist);
	free(v3.cpuif);
	free(v3.active);
}

void vgic_pack(struct frame_out *out, const struct vm_state *vm)
{
	if (vm->vgic_v2)
		vgic_v2_pack(out, vm->vgic_v2);
	if (vm->vgic)
		pack_v3(out, vm->vgic);
	if (vm->vgic_v5)
		vgic_v5_pack(out, vm->vgic_v5);
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

int vgic_unpack_active(const struct frame_in *in, KvmVgic__VgicActiveEntry **list, size_t n,
		       struct vgic_active **active, size_t *nr)
{
	int ret;

	if (n > VGIC_MAX_IRQS) {
		pr_err("%s: %zu active SPIs, at most %u expected\n", in->file, n, VGIC_MAX_IRQS);
		return -EINVAL;
	}
	ret = entry_alloc(in, active, n, sizeof(**active));
	if (ret)
		return ret;
	*nr = n;
	for (size_t i = 0; i < n; i++)
		(*active)[i] = (struct vgic_active){ .intid = list[i]->intid, .vcpu_idx = list[i]->vcpu_idx };
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
	int ret;

	gic->fd = entry->fd;
	gic->nr_irqs = entry->nr_irqs;
	gic->dist_base = entry->dist_base;
	gic->legacy_redist = entry->legacy_redist;
	gic->iidr = entry->iidr;
	ret = unpack_regions(in, entry, gic);
	if (!ret)
		ret = vgic_unpack_values(in, "distributor", vgic_v3_dist_regs, vgic_v3_nr_dist_regs,
					 entry->dist, entry->n_dist, &gic->dist);
	if (!ret)
		ret = vgic_unpack_nr_cpus(in, entry->nr_cpus, VM_MAX_VCPUS, &gic->nr_cpus);
	if (!ret)
		ret = vgic_unpack_vcpu_values(in, vgic_v3_redist_regs, vgic_v3_nr_redist_regs, entry->redist,
					      entry->n_redist, &gic->redist, gic->nr_cpus);
	if (!ret)
		ret = vgic_unpack_vcpu_values(in, vgic_v3_cpuif_regs, vgic_v3_nr_cpuif_regs, entry->cpuif,
					      entry->n_cpuif, &gic->cpuif, gic->nr_cpus);
	if (!ret)
		ret = vgic_unpack_active(in, entry->active, entry->n_active, &gic->active, &gic->nr_active);
	if (!ret)
		ret = unpack_unrouted(in, entry, gic);
	return ret;
}

int vgic_unpack(const struct frame_in *in, const KvmVgic__VgicEntry *entry, struct vm_state *vm)
{
	int ret;

	if (!!entry->v2 + !!entry->v3 + !!entry->v5 != 1) {
		pr_err("%s: entry %u: a GIC of a kind not known here\n", in->file, in->entry);
		return -EINVAL;
	}
	if (entry->v2) {
		ret = entry_alloc(in, &vm->vgic_v2, 1, sizeof(*vm->vgic_v2));
		return ret ?: vgic_v2_unpack(in, entry->v2, vm->vgic_v2);
	}
	if (entry->v3) {
		ret = entry_alloc(in, &vm->vgic, 1, sizeof(*vm->vgic));
		return ret ?: unpack_v3(in, entry->v3, vm->vgic);
	}
	ret = entry_alloc(in, &vm->vgic_v5, 1, sizeof(*vm->vgic_v5));
	return ret ?: vgic_v5_unpack(in, entry->v5, vm->vgic_v5);
}
