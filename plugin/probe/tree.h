/* SPDX-License-Identifier: GPL-2.0-only */
/* The processes of a tree, and what is seen of their KVM from outside. */
#ifndef KVM_VGIC_PROBE_TREE_H
#define KVM_VGIC_PROBE_TREE_H

#include "probe/kernel.h"
#include "probe/proc.h"

struct kvm_process {
	pid_t pid;
	struct proc_scan scan;
	struct kvm_rec *recs;
	size_t nr_recs;
	const struct kvm_rec **handles; /* of its fds, by their numbers: there may be a million */
	size_t nr_handles;
	const struct kvm_rec **maps; /* of its mappings, by their addresses: likewise */
	size_t nr_maps;
};

struct kvm_tree {
	pid_t *pids; /* of all processes, the root first */
	size_t nr_pids;
	struct kvm_process *procs; /* those that have not ended, in the same order */
	size_t nr_procs;
};

/*
 * Fills *@tree, to be freed by kvm_tree_free() whatever is returned. All of it is frozen. 0 or a negative
 * errno, logged but for -ESRCH: the root has ended. -ENOTSUP: an fd that @check, called before the kernel
 * is asked, refuses.
 */
int kvm_tree_scan(pid_t root, int (*check)(pid_t pid, const struct proc_scan *scan), struct kvm_tree *tree);
void kvm_tree_free(struct kvm_tree *tree);

/* Whether @proc has VMs, or parts of some, or /dev/kvm alone. */
bool kvm_process_has_kvm(const struct kvm_process *proc);

/* Fills proc->handles and maps from its records: 0 or -ENOMEM. kvm_tree_scan() has done so. */
int kvm_process_list_handles(struct kvm_process *proc);

/* The record of what @fd of @proc is; NULL of /dev/kvm, which is of no VM. */
const struct kvm_rec *kvm_rec_of(const struct kvm_process *proc, const struct proc_fd *fd);

/* The record of its mapping at @start, or NULL. */
const struct kvm_rec *kvm_rec_of_map(const struct kvm_process *proc, uint64_t start);

/* Whether @rec is of an fd or a mapping, and not of what a VM or a vCPU has. */
bool kvm_rec_is_handle(const struct kvm_rec *rec);

/* What @proc has of the VM at @kvm: a process that has nothing else. To be freed as those of a tree are. */
int kvm_process_filter(const struct kvm_process *proc, unsigned long long kvm, struct kvm_process *part);
void kvm_process_free(struct kvm_process *proc);

#endif
