/* SPDX-License-Identifier: GPL-2.0-only */
/* What a VM has bound to eventfds, and its GSI routes: read when nothing of it moves any more. */
#ifndef KVM_VGIC_PROBE_EVENTFD_H
#define KVM_VGIC_PROBE_EVENTFD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "probe/kvm_iter.h"
#include "state/vm.h"

/* The fds of eventfds that the processes of criu's pid namespace have, for all VMs of a dump: {} at first, then to be freed. */
struct eventfd_table {
	struct kvm_rec *recs;
	size_t nr;
	bool known;
};

/*
 * Fills irqfds, ioeventfds, zones and routes of @vm, the VM of @vm_rec in @pid. All tasks of the tree are
 * stopped. 0 or a negative errno, logged; -ENOTSUP by name for what cannot be carried.
 */
int probe_bindings(pid_t pid, const struct kvm_rec *vm_rec, struct eventfd_table *eventfds, struct vm_state *vm);
void eventfd_table_free(struct eventfd_table *eventfds);

#endif
