/* SPDX-License-Identifier: GPL-2.0-only */
/* From file descriptors to a VM that can be dumped, or a refusal by name. */
#ifndef KVM_VGIC_PROBE_DISCOVER_H
#define KVM_VGIC_PROBE_DISCOVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "probe/eventfd.h"
#include "probe/kvm_iter.h"
#include "probe/view.h"
#include "state/vm.h"

/* Of an error line that names what cannot be carried; what to do comes behind it. */
#define REFUSAL "not supported by this version"

/* Whether @pid has KVM in its file descriptors or mappings. A negative errno when that cannot be
 * told, logged but for -ESRCH: it has ended. */
int discover_uses_kvm(pid_t pid);

#define DISCOVER_MAX_VMS KVM_MAX_VMS /* in a tree of processes: IMAGE_MAX_VMS */

/* An fd of an object of a VM, in any process of the tree. */
struct discovered_fd {
	pid_t pid;
	int fd;
	struct kvm_file object; /* without an id */
};

/* A VM as far as it is seen from outside: identity, fds, memslots, mappings, features. */
struct discovered_vm {
	struct vm_state *vm;
	pid_t pid;		/* whose mm it was made in */
	unsigned long long kvm; /* address of struct kvm, and of its ITSes: tell them apart */
	unsigned long long *itses;
	size_t nr_itses;
	struct discovered_fd *fds;
	size_t nr_fds;
	const struct proc_view *seen; /* of @pid: of struct discovered */
};

struct discovered {
	bool uses_kvm; /* a process has VMs, or /dev/kvm alone */
	pid_t *pids;   /* all processes that were looked at */
	size_t nr_pids;
	struct discovered_vm *vms;
	size_t nr_vms;
	struct proc_view *views; /* of all processes that have not ended: mappings of those alone that a VM is of */
	size_t nr_views;
	struct eventfd_table eventfds; /* while VMs are looked for */
};

/*
 * The VMs of @root and of the processes below it, in *@all, to be freed by discovered_free() whatever is
 * returned. All of them are frozen; nothing in them is touched. -ENOTSUP, logged by name with what to
 * do, for what cannot be carried.
 */
int discover(pid_t root, struct discovered *all);

/* Those of processes that have been scanned, behind what @all has; completes what is known of their mappings. */
struct kvm_tree;
int discover_vms(struct kvm_tree *tree, struct discovered *all);
void discovered_free(struct discovered *all);

#endif
