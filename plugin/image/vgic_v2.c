// SPDX-License-Identifier: GPL-2.0-only
/* The GICv2 of kvm-vgic-<vm>.img: vgic_v2_entry of vgic.proto. */
#include <stdio.h>
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

/* The register tables of all vCPUs, in one block of pointers and messages. */
static void pack_cpus(KvmVgic__VgicV2CpuEntry **list, KvmVgic__VgicRegValues **regs,
		      const struct vgic_v2_state *gic)
{
	for (size_t i = 0; i < gic->nr_cpus; i++) {
		KvmVgic__VgicV2CpuEntry *cpu = list[i];

		kvm_vgic__vgic_v2_cpu_entry__init(cpu);
		cpu->banked = regs;
		cpu->n_banked = vgic_pack_values(cpu->banked, vgic_v2_banked_regs, vgic_v2_nr_banked_regs,
						 gic->banked[i]);
		regs += vgic_v2_nr_banked_regs;
		cpu->cpuif = regs;
		cpu->n_cpuif = vgic_pack_values(cpu->cpuif, vgic_v2_cpuif_regs, vgic_v2_nr_cpuif_regs,
						gic->cpuif[i]);
		regs += vgic_v2_nr_cpuif_regs;
		cpu->level = gic->private[i].level;
	}
}

/* Words of line levels, from INTID 32 up. */
static size_t nr_level_words(const struct vgic_v2_state *gic)
{
	return gic->nr_irqs / 32 - 1;
}

static void pack_levels(uint32_t *words, const struct vgic_v2_state *gic)
{
	for (size_t i = 0; i < nr_level_words(gic); i++)
		words[i] = gic->lines[i + 1].level;
}

void vgic_v2_pack(struct frame_out *out, const struct vgic_v2_state *gic)
{
	KvmVgic__VgicEntry entry = KVM_VGIC__VGIC_ENTRY__INIT;
	KvmVgic__VgicV2Entry v2 = KVM_VGIC__VGIC_V2_ENTRY__INIT;
	KvmVgic__VgicRegValues **cpu_regs = NULL;

	entry.v2 = &v2;
	v2.fd = gic->fd;
	v2.nr_irqs = gic->nr_irqs;
	v2.dist_base = gic->dist_base;
	v2.cpu_base = gic->cpu_base;
	v2.iidr = gic->iidr;
	v2.n_cpus = gic->nr_cpus;
	v2.n_active = gic->nr_active;
	v2.n_level = nr_level_words(gic);
	v2.level = entry_room(out, v2.n_level, sizeof(*v2.level));
	if (v2.level && ENTRY_LIST(out, vgic_v2_nr_dist_regs, v2.dist) &&
	    ENTRY_LIST(out, gic->nr_cpus, v2.cpus) && ENTRY_LIST(out, gic->nr_active, v2.active) &&
	    ENTRY_LIST(out, gic->nr_cpus * (vgic_v2_nr_banked_regs + vgic_v2_nr_cpuif_regs), cpu_regs)) {
		pack_levels(v2.level, gic);
		v2.n_dist = vgic_pack_values(v2.dist, vgic_v2_dist_regs, vgic_v2_nr_dist_regs, gic->dist);
		pack_cpus(v2.cpus, cpu_regs, gic);
		vgic_pack_active(v2.active, gic->active, gic->nr_active);
		frame_add(out, &entry.base);
	}
	free(v2.level);
	free(v2.dist);
	free(v2.cpus);
	free(v2.active);
	free(cpu_regs);
}

static int unpack_cpu(const struct frame_in *in, size_t i, const KvmVgic__VgicV2CpuEntry *entry,
		      struct vgic_v2_state *gic)
{
	char whose[32];
	int ret;

	snprintf(whose, sizeof(whose), "vCPU %zu", i);
	gic->private[i].level = entry->level;
	ret = vgic_unpack_values(in, whose, vgic_v2_banked_regs, vgic_v2_nr_banked_regs, entry->banked,
				 entry->n_banked, &gic->banked[i]);
	if (!ret)
		ret = vgic_unpack_values(in, whose, vgic_v2_cpuif_regs, vgic_v2_nr_cpuif_regs, entry->cpuif,
					 entry->n_cpuif, &gic->cpuif[i]);
	return ret;
}

static int unpack_cpus(const struct frame_in *in, const KvmVgic__VgicV2Entry *entry,
		       struct vgic_v2_state *gic)
{
	int ret;

	if (entry->n_cpus > VGIC_V2_MAX_VCPUS) {
		pr_err("%s: %zu vCPUs, at most %u expected\n", in->file, entry->n_cpus, VGIC_V2_MAX_VCPUS);
		return -EINVAL;
	}
	ret = entry_alloc(in, &gic->private, entry->n_cpus, sizeof(*gic->private));
	ret = ret ?: entry_alloc(in, &gic->banked, entry->n_cpus, sizeof(*gic->banked));
	ret = ret ?: entry_alloc(in, &gic->cpuif, entry->n_cpus, sizeof(*gic->cpuif));
	if (ret)
		return ret;
	gic->nr_cpus = entry->n_cpus;
	for (size_t i = 0; i < gic->nr_cpus && !ret; i++)
		ret = unpack_cpu(in, i, entry->cpus[i], gic);
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
	return ret ?: vgic_unpack_active(in, entry->active, entry->n_active, &gic->active, &gic->nr_active);
}
