/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether this host can carry a VM of an image. */
#ifndef KVM_VGIC_STATE_HOST_H
#define KVM_VGIC_STATE_HOST_H

#include <stddef.h>

struct vm_state;
struct remote;

/*
 * Before anything of @vm exists: compares what it needs with what KVM offers here, and tries its registers on
 * a VM made for that. 0 or a negative errno, logged: all that is missing is named. Also 0 where this process
 * has no /dev/kvm: the one that will own the VM may have it.
 */
int host_check(struct vm_state *vm);

/* The same with /dev/kvm open at @kvm in @remote; the host's CPUs are of @cpu_kinds: pmu_nr_cpu_kinds(). */
int host_check_kvm(struct vm_state *vm, struct remote *remote, int kvm, size_t cpu_kinds);

#endif
