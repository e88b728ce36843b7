// SPDX-License-Identifier: GPL-2.0-only
/* The GICv2 of kvm-vgic-<vm>.img: vgic_v2_entry of vgic.proto. */
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

/* Words of line levels, from INTID 32 up. */
static size_t nr_level_words(const struct vgic_v2_state *gic)
{
	return gic->nr_irqs / 32 - 1;
}

/* Room for both begins at @v2->level. */
static void pack_levels(KvmVgic__VgicV2Entry *v2, const struct vgic_v2_state *gic)
{
	v2->private_level = v2->level + v2->n_level;
	for (size_t i = 0; i < v2->n_level; i++)
		v2->level[i] = gic->lines[i + 1].level;
	for (size_t i = 0; i < v2->n_private_level; i++)
		v2->private_level[i] = gic->private[i].level;
}

void vgic_v2_pack(struct frame_out *out, const struct vgic_v2_state *gic)
{
	KvmVgic__VgicEntry entry = KVM_VGIC__VGIC_ENTRY__INIT;
	KvmVgic__VgicV2Entry v2 = KVM_VGIC__VGIC_V2_ENTRY__INIT;

	entry.v2 = &v2;
	v2.fd = gic->fd;
	v2.nr_irqs = gic->nr_irqs;
	v2.dist_base = gic->dist_base;
	v2.cpu_base = gic->cpu_base;
	v2.iidr = gic->iidr;
	v2.n_active = gic->nr_active;
	v2.n_level = nr_level_words(gic);
	v2.n_private_level = gic->nr_cpus;
	v2.level = entry_room(out, v2.n_level + v2.n_private_level, sizeof(*v2.level));
	v2.n_dist = vgic_pack_values(out, &v2.dist, vgic_v2_dist_regs, vgic_v2_nr_dist_regs, &gic->dist, 1);
	v2.n_banked = vgic_pack_values(out, &v2.banked, vgic_v2_banked_regs, vgic_v2_nr_banked_regs, gic->banked,
				       gic->nr_cpus);
	v2.n_cpuif = vgic_pack_values(out, &v2.cpuif, vgic_v2_cpuif_regs, vgic_v2_nr_cpuif_regs, gic->cpuif,
				      gic->nr_cpus);
	if (v2.level && ENTRY_LIST(out, gic->nr_active, v2.active)) {
		pack_levels(&v2, gic);
		vgic_pack_active(v2.active, gic->active, gic->nr_active);
		frame_add(out, &entry.base);
	}
	free(v2.level);
	free(v2.dist);
	free(v2.banked);
	free(v2.cpuif);
	free(v2.active);
}

static int unpack_cpus(const struct frame_in *in, const KvmVgic__VgicV2Entry *entry, struct vgic_v2_state *gic)
{
	int ret = vgic_unpack_nr_cpus(in, entry->n_private_level, VGIC_V2_MAX_VCPUS, &gic->nr_cpus);

	ret = ret ?: entry_alloc(in, &gic->private, gic->nr_cpus, sizeof(*gic->private));
	for (size_t i = 0; i < gic->nr_cpus && !ret; i++)
		gic->private[i].level = entry->private_level[i];
	return ret;
}

/* As many as nr_irqs says, which the rules bound. */
static int unpack_levels(const struct frame_in *in, const KvmVgic__VgicV2Entry *entry,
			 struct vgic_v2_state *gic)
{
	if (entry->n_level >= VGIC_V2_WORDS || entry->n_level + 1 != entry->nr_irqs / 32) {
		pr_err("%s: %zu words of line levels, and %u interrupts\n", in->file, entry->n_level,
		       entry->nr_irqs);
		return -EINVAL;
	}
	for (size_t i = 0; i < entry->n_level; i++)
		gic->lines[i + 1].level = entry->level[i];
	return 0;
}

int vgic_v2_unpack(const struct frame_in *in, const KvmVgic__VgicV2Entry *entry, struct vgic_v2_state *gic)
{
	int ret;

	gic->fd = entry->fd;
	gic->nr_irqs = entry->nr_irqs;
	gic->dist_base = entry->dist_base;
	gic->cpu_base = entry->cpu_base;
	gic->iidr = entry->iidr;
	ret = unpack_levels(in, entry, gic);
	if (!ret)
		ret = vgic_unpack_values(in, "distributor", vgic_v2_dist_regs, vgic_v2_nr_dist_regs,
					 entry->dist, entry->n_dist, &gic->dist);
	if (!ret)
		ret = unpack_cpus(in, entry, gic);
	if (!ret)
		ret = vgic_unpack_vcpu_values(in, vgic_v2_banked_regs, vgic_v2_nr_banked_regs, entry->banked,
					      entry->n_banked, &gic->banked, gic->nr_cpus);
	if (!ret)
		ret = vgic_unpack_vcpu_values(in, vgic_v2_cpuif_regs, vgic_v2_nr_cpuif_regs, entry->cpuif,
					      entry->n_cpuif, &gic->cpuif, gic->nr_cpus);
	return ret ?: vgic_unpack_active(in, entry->active, entry->n_active, &gic->active, &gic->nr_active);
}
