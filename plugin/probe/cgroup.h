/* SPDX-License-Identifier: GPL-2.0-only */
/* Where a process is in the hierarchy of cgroups, version 2. */
#ifndef KVM_VGIC_PROBE_CGROUP_H
#define KVM_VGIC_PROBE_CGROUP_H

#include <limits.h>
#include <sys/types.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

/* Its path below CGROUP_ROOT: "/a/b", or "/" where there is none. 0 or a negative errno. */
int cgroup_of(pid_t pid, char path[PATH_MAX]);

/* @path's parent in its place; 0: it was the root. */
int cgroup_up(char path[PATH_MAX]);

#endif
