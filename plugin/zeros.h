/* SPDX-License-Identifier: GPL-2.0-only */
/* Most of what is in tables of a guest's is nothing. */
#ifndef KVM_VGIC_ZEROS_H
#define KVM_VGIC_ZEROS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZEROS_LINE 256u /* bytes */

/* Of ZEROS_LINE bytes, of any alignment. */
static inline bool line_is_zeros(const void *bytes)
{
	typedef uint64_t vector __attribute__((vector_size(16), aligned(1), may_alias));
	const vector *v = bytes;
	vector any = v[0];

#pragma GCC unroll 16
	for (size_t i = 1; i < ZEROS_LINE / sizeof(any); i++)
		any |= v[i];
	return !(any[0] | any[1]);
}

#endif
