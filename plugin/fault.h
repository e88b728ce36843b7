/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Failures on request, as CRIU's own --fault: for tests of what a failing dump or
 * restore leaves behind. KVM_VGIC_FAULT names the point that fails.
 */
#ifndef KVM_VGIC_FAULT_H
#define KVM_VGIC_FAULT_H

#include <stdlib.h>

#include "log.h"

static inline int fault_injected(const char *point)
{
	const char *fault = getenv("KVM_VGIC_FAULT");

	if (!fault || strcmp(fault, point))
		return 0;
	pr_warn("fault injected: %s\n", point);
	return -EIO;
}

#endif
