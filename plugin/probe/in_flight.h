/* SPDX-License-Identifier: GPL-2.0-only */
/* Open files of VMs that somebody has who is no process: the queue of a socket. */
#ifndef KVM_VGIC_PROBE_IN_FLIGHT_H
#define KVM_VGIC_PROBE_IN_FLIGHT_H

#include "probe/discover.h"
#include "probe/tree.h"

/*
 * CRIU opens a file that is in a queue in the process that has the socket, where this is before the VM's own: then
 * it has a stand-in, which goes into the queue, where nothing replaces it. 0, or a negative errno, logged; -ENOTSUP
 * by name for such a file. All tasks of @tree are stopped.
 */
int probe_in_flight(const struct kvm_tree *tree, const struct discovered *all);

#endif
