/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel alone knows of a vCPU and of its VM's PMU. */
#ifndef KVM_VGIC_PROBE_VCPU_H
#define KVM_VGIC_PROBE_VCPU_H

#include <stddef.h>
#include <sys/types.h>

#include "probe/kvm_iter.h"
#include "state/vm.h"

struct probe_recs {
	const struct kvm_rec *recs;
	size_t nr;
};

/* Fills @vcpu of @pid from its record @rec, which is one of @all. -ENOTSUP, logged, for what cannot be
 * carried. */
int probe_vcpu(pid_t pid, struct probe_recs all, const struct kvm_rec *rec, struct vcpu_state *vcpu);

/* -ENOTSUP, logged, where the stolen time of a vCPU of @vm is in no memory that KVM can write. */
int probe_check_pvtime(pid_t pid, const struct vm_state *vm);

/*
 * -ENOTSUP, logged, where one of @recs, which are @vm's, has an MMIO access to be completed over whose address a
 * memslot lies by now: a restore makes it again, and would find the memory.
 */
int probe_check_exits(pid_t pid, struct probe_recs recs, const struct vm_state *vm);

/* Fills @filter from the records of the VM fd @vm_fd. 0 or -ENOMEM. */
int probe_pmu_filter(struct probe_recs all, unsigned int vm_fd, struct pmu_filter *filter);

/*
 * VCPU_MAP_* of @vm_flags, those of a mapping as the kernel has them. false: there is one that is none of these, nor one
 * that comes with protection, file and kernel.
 */
bool probe_map_flags(uint64_t vm_flags, uint32_t *flags);

#endif
