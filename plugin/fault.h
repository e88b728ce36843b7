/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Faults on request, as CRIU's own --fault. For tests only; each use is logged.
 * KVM_VGIC_FAULT names the point that fails: what a failing dump or restore leaves behind. "vm 3 GIC registers" is
 * a step of one VM of several.
 * KVM_VGIC_KILL names the one where criu is killed: the same.
 * KVM_VGIC_SKIP names what is left out, unnoticed: whether the tests see it. That is a step of the two
 * sequences, a register of the tables in state/vgic_v2.c, state/vgic_v3.c and state/its.c, a class of registers in
 * state/vcpu.c (CNTV_CTL_EL0 and its like), "kvm_run bytes", "drained irqfds", "threads of vCPUs" or "host check".
 * KVM_VGIC_LATE names a step of plan_restore that is run after "ITS control" instead of in its place.
 */
#ifndef KVM_VGIC_FAULT_H
#define KVM_VGIC_FAULT_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"

static inline bool fault_names(const char *variable, const char *what)
{
	const char *fault = getenv(variable);

	return fault && !strcmp(fault, what);
}

static inline int fault_injected(const char *point)
{
	if (fault_names("KVM_VGIC_KILL", point))
		raise(SIGKILL);
	if (!fault_names("KVM_VGIC_FAULT", point))
		return 0;
	pr_warn("fault injected: %s\n", point);
	return -EIO;
}

static inline int fault_injected_of(unsigned int vm, const char *step)
{
	char point[80];

	snprintf(point, sizeof(point), "vm %u %s", vm, step);
	return fault_injected(point);
}

static inline bool fault_leaves_out(const char *what)
{
	if (!fault_names("KVM_VGIC_SKIP", what))
		return false;
	pr_warn("KVM_VGIC_SKIP is set: the restored VM is damaged: left out: %s\n", what);
	return true;
}

static inline bool fault_moves(const char *step)
{
	if (!fault_names("KVM_VGIC_LATE", step))
		return false;
	pr_warn("KVM_VGIC_LATE is set: the restored VM is damaged: late: %s\n", step);
	return true;
}

#endif
