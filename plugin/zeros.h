/* SPDX-License-Identifier: GPL-2.0-only */
/* Most of what is in tables of a guest's is nothing. */
#ifndef KVM_VGIC_ZEROS_H
#define KVM_VGIC_ZEROS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ZEROS_LINE 64u /* bytes */

/* Of ZEROS_LINE bytes, of any alignment. */
static inline bool line_is_zeros(const void *bytes)
{
	uint64_t v[ZEROS_LINE / sizeof(uint64_t)];

	memcpy(v, bytes, sizeof(v));
	return !(v[0] | v[1] | v[2] | v[3] | v[4] | v[5] | v[6] | v[7]);
}

#endif
