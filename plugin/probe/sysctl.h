/* SPDX-License-Identifier: GPL-2.0-only */
/* What a dump asks of the host alone: each is read once, so that it can be before tasks are stopped. */
#ifndef KVM_VGIC_PROBE_SYSCTL_H
#define KVM_VGIC_PROBE_SYSCTL_H

#include <stdint.h>

/* All of them, now. */
void sysctl_read(void);

/* vm.max_map_count; UINT64_MAX where it cannot be read. */
uint64_t sysctl_max_map_count(void);

/* fs.nr_open; what it is by default where it cannot be read. */
int sysctl_nr_open(void);

/* The id of this boot: 36 characters; "" where it cannot be read. */
const char *sysctl_boot_id(void);

#endif
