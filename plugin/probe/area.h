/* SPDX-License-Identifier: GPL-2.0-only */
/* A line of /proc/PID/maps (Documentation/filesystems/proc.rst), of which a VMM has hundreds. */
#ifndef KVM_VGIC_PROBE_AREA_H
#define KVM_VGIC_PROBE_AREA_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_area {
	uint64_t start, end, offset; /* bytes */
	uint32_t prot;		     /* PROT_* */
	bool is_shared;
	dev_t dev;
	uint64_t inode;
	const char *name; /* in the line, to its end; "" */
};

/* false: it is none. */
bool proc_area_parse(const char *line, struct proc_area *area);

#endif
