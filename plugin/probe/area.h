/* SPDX-License-Identifier: GPL-2.0-only */
/* /proc/PID/maps (Documentation/filesystems/proc.rst): a VMM has hundreds of mappings. */
#ifndef KVM_VGIC_PROBE_AREA_H
#define KVM_VGIC_PROBE_AREA_H

#include <stdbool.h>
#include <stddef.h>
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

/* A line of it. false: it is none. */
bool proc_area_parse(const char *line, struct proc_area *area);

/* All mappings of a process, by rising addresses. */
struct proc_areas {
	struct proc_area *list;
	size_t nr;
	char *text; /* that their names are in, each with a 0 at its end */
};

/*
 * Fills *@areas, to be freed by proc_areas_free() whatever is returned. 0 or a negative errno, logged, but for
 * -ESRCH: @pid has ended.
 */
int proc_areas_read(pid_t pid, struct proc_areas *areas);
/* Likewise, of the lines @text, which come from malloc() and go with *@areas. 0, -ENOMEM or -EIO: there is another line. */
int proc_areas_parse(char *text, struct proc_areas *areas);
void proc_areas_free(struct proc_areas *areas);

#endif
