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
 * How many bytes of text the kernel may tell them in: what tasks wait for in a dump, which can still refuse it; and no limit, where
 * a refusal would cost the VM. What is kept of them vm.max_map_count bounds.
 */
#define PROC_TEXT_AT_DUMP ((size_t)64 << 20)
#define PROC_TEXT_ALL SIZE_MAX

/*
 * Fills *@areas, to be freed by proc_areas_free() whatever is returned. 0 or a negative errno, logged, but for
 * -ESRCH: @pid has ended. -ENOTSUP: they are more than @max_text bytes of text.
 */
int proc_areas_read(pid_t pid, size_t max_text, struct proc_areas *areas);
/* Adds those of the lines of *@text, which is then behind the last that has an end. 0, -ENOMEM or -EIO: there is another line. */
int proc_areas_add(struct proc_areas *areas, const char **text);
void proc_areas_free(struct proc_areas *areas);

#endif
