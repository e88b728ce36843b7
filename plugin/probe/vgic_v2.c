// SPDX-License-Identifier: GPL-2.0-only
/* See vgic_v2.h. */
#include <stdlib.h>

#include "log.h"
#include "probe/discover.h"
#include "probe/kernel.h"
#include "probe/vgic_v2.h"

static int check_vcpu(pid_t pid, const struct vcpu_state *vcpu)
{
	if (vcpu->id < VGIC_V2_MAX_VCPUS)
		return 0;
	pr_err("pid %d: fd %d (vCPU id %u): a vCPU id above 7 with a GICv2: " REFUSAL
	       ": KVM takes it only before the GIC is made: use lower ids\n",
	       pid, vcpu->fd, vcpu->id);
	return -ENOTSUP;
}

/* KVM tells nobody who sent it, and takes it as vCPU 0's after a restore: a guest could not deactivate it then. */
static int check_sgis(pid_t pid, const struct vcpu_state *vcpu, const struct kvm_rec *rec)
{
	if (!rec->lines.foreign)
		return 0;
	pr_err("pid %d: fd %d (vCPU id %u): an active SGI %d of a GICv2 that another vCPU than 0 has "
	       "sent: " REFUSAL ": try again: it is gone when the guest has handled it\n",
	       pid, vcpu->fd, vcpu->id, __builtin_ctz(rec->lines.foreign));
	return -ENOTSUP;
}

static struct vgic_v2_lines lines_of(const struct kvm_rec *rec)
{
	return (struct vgic_v2_lines){ .level = rec->lines.level, .latch = rec->lines.latch };
}

static int fill_private(pid_t pid, struct probe_recs all, const struct vcpu_state *vcpu,
			struct vgic_v2_lines *lines)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < all.nr; i++) {
		if (all.recs[i].type != KVM_REC_LINES || (int)all.recs[i].fd != vcpu->fd ||
		    all.recs[i].lines.first)
			continue;
		ret = check_sgis(pid, vcpu, &all.recs[i]);
		*lines = lines_of(&all.recs[i]);
	}
	return ret;
}

static void fill_spis(struct probe_recs all, unsigned int vm_fd, struct vgic_v2_state *gic)
{
	for (size_t i = 0; i < all.nr; i++) {
		const struct kvm_rec *rec = &all.recs[i];

		if (rec->fd == vm_fd && rec->type == KVM_REC_LINES && rec->lines.first &&
		    rec->lines.first / 32 < VGIC_V2_WORDS)
			gic->lines[rec->lines.first / 32] = lines_of(rec);
	}
}

static int fill_lines(pid_t pid, struct probe_recs all, unsigned int vm_fd, struct vm_state *vm)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < vm->nr_vcpus; i++)
		ret = fill_private(pid, all, &vm->vcpus[i], &vm->vgic_v2->private[i]);
	fill_spis(all, vm_fd, vm->vgic_v2);
	return ret;
}

static void fill_active(struct probe_recs all, unsigned int vm_fd, struct vgic_v2_state *gic)
{
	for (size_t i = 0; i < all.nr; i++) {
		const struct kvm_rec *rec = &all.recs[i];

		if (rec->fd == vm_fd && rec->type == KVM_REC_ACTIVE)
			gic->active[gic->nr_active++] = (struct vgic_active){
				.intid = rec->active.intid,
				.vcpu_idx = rec->active.vcpu_idx,
			};
	}
}

int probe_vgic_v2(pid_t pid, struct probe_recs all, unsigned int vm_fd, int gic_fd, struct vm_state *vm)
{
	struct vgic_v2_state *gic = vm->vgic_v2 = calloc(1, sizeof(*gic));
	int ret = 0;

	if (!gic)
		return -ENOMEM;
	gic->fd = gic_fd;
	gic->active = calloc(all.nr, sizeof(*gic->active));
	gic->private = calloc(vm->nr_vcpus, sizeof(*gic->private));
	if (!gic->active || !gic->private)
		return -ENOMEM;
	gic->nr_cpus = vm->nr_vcpus;
	for (size_t i = 0; !ret && i < vm->nr_vcpus; i++)
		ret = check_vcpu(pid, &vm->vcpus[i]);
	fill_active(all, vm_fd, gic);
	return ret ?: fill_lines(pid, all, vm_fd, vm);
}

/* Leaves those of the one VM. */
static size_t keep_those_of(unsigned long long kvm, struct kvm_rec *recs, size_t nr)
{
	size_t kept = 0;

	for (size_t i = 0; i < nr; i++)
		if (recs[i].kvm == kvm)
			recs[kept++] = recs[i];
	return kept;
}

/* An irqfd that has ended could inject until irqfd_flush(). */
int probe_vgic_v2_lines(pid_t pid, unsigned long long kvm, struct vm_state *vm)
{
	struct kvm_rec *recs;
	size_t nr;
	int ret;

	if (!vm->vgic_v2)
		return 0;
	ret = kernel_probe(pid, &recs, &nr);
	if (ret)
		return ret;
	nr = keep_those_of(kvm, recs, nr);
	ret = -EIO;
	for (size_t i = 0; ret == -EIO && i < nr; i++)
		if (recs[i].type == KVM_REC_VM)
			ret = fill_lines(pid, (struct probe_recs){ recs, nr }, recs[i].fd, vm);
	if (ret == -EIO)
		pr_err("pid %d: the BPF iterator did not see its VM again\n", pid);
	free(recs);
	return ret;
}
