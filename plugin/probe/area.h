/* SPDX-License-Identifier: GPL-2.0-only */
/* /proc/PID/maps (Documentation/filesystems/proc.rst): a VMM has hundreds of mappings. */
#ifndef KVM_VGIC_PROBE_AREA_H
#define KVM_VGIC_PROBE_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Of a name, what it is compared with is shorter. The kernel has no bound for one: that of a file is as long as folders are
 * deep.
 */
#define PROC_AREA_NAME 32

struct proc_area {
	uint64_t start, end, offset; /* bytes */
	uint32_t prot;		     /* PROT_* */
	bool is_shared;
	dev_t dev;
	uint64_t inode;
	char name[PROC_AREA_NAME]; /* its begin; "" */
};

/* A line of it. false: it is none. */
bool proc_area_parse(const char *line, struct proc_area *area);

/* All mappings of a process, by rising addresses. */
struct proc_areas {
	struct proc_area *list;
	size_t nr, room; /* areas, and those that there is memory for */
};

/*
 * Fills *@areas, to be freed by proc_areas_free() whatever is returned. 0 or a negative errno, logged, but for
 * -ESRCH: @pid has ended. -ENOTSUP: it takes too long to read all of them.
 */
int proc_areas_read(pid_t pid, struct proc_areas *areas);
/* Adds those of the lines of *@text, which is then behind the last that has an end. 0, -ENOMEM or -EIO: there is another line. */
int proc_areas_add(struct proc_areas *areas, const char **text);
void proc_areas_free(struct proc_areas *areas);

#endif
