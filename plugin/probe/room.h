/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether a process's limits leave room for what a dump does in it. */
#ifndef KVM_VGIC_PROBE_ROOM_H
#define KVM_VGIC_PROBE_ROOM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/view.h"

struct room {
	uint64_t space;	   /* bytes of address space */
	uint64_t data;	   /* bytes of private, writable memory, which are part of them */
	uint64_t mappings; /* how many */
};

/* Of @pid, which @seen is of. 0; or a negative errno, logged: -ENOTSUP, a limit is in the way, by name. */
int room_check(pid_t pid, const struct proc_view *seen, const struct room *need);

/* That of the memory cgroups from @root@path up, alone: @root is CGROUP_ROOT. */
int room_check_cgroup(pid_t pid, const char *root, const char *path, const struct room *need);

#endif
