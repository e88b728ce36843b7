/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Failures on request, as CRIU's own --fault: for tests of what a failing dump or
 * restore leaves behind. KVM_VGIC_FAULT names the point that fails.
 */
#ifndef KVM_VGIC_FAULT_H
#define KVM_VGIC_FAULT_H

#include <signal.h>
#include <stdlib.h>

#include "log.h"

/* KVM_VGIC_KILL names the point at which criu gets signal KVM_VGIC_SIGNAL, or SIGKILL. */
static inline void signal_injected(const char *point)
{
	const char *kill = getenv("KVM_VGIC_KILL"), *sig = getenv("KVM_VGIC_SIGNAL");

	if (kill && !strcmp(kill, point))
		raise(sig ? atoi(sig) : SIGKILL);
}

static inline int fault_injected(const char *point)
{
	const char *fault = getenv("KVM_VGIC_FAULT");

	signal_injected(point);

	if (!fault || strcmp(fault, point))
		return 0;
	pr_warn("fault injected: %s\n", point);
	return -EIO;
}

#endif
