/* SPDX-License-Identifier: GPL-2.0-only */
/* Fd numbers for the time of a restore. */
#ifndef KVM_VGIC_PROBE_PARK_H
#define KVM_VGIC_PROBE_PARK_H

#include "probe/proc.h"

/* fs.nr_open: no fd has this number. */
int open_limit(void);

/* The highest number of a fd that CRIU restores: above it it has fds of its own, all below @limit. */
int park_highest(int limit);

/*
 * The first of @need numbers in a row, below @limit, that neither the process has open nor CRIU takes for itself
 * when it restores it; or -1.
 */
int park_base(const struct proc_scan *scan, uint32_t need, int limit);

#endif
