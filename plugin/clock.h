/* SPDX-License-Identifier: GPL-2.0-only */
/* The monotonic clock. */
#ifndef KVM_VGIC_CLOCK_H
#define KVM_VGIC_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

#endif
