/* SPDX-License-Identifier: GPL-2.0-only */
/* The cgroups (version 2) of a process that are frozen, as by criu's --freeze-cgroup or by a user. */
#ifndef KVM_VGIC_TOOL_FREEZER_H
#define KVM_VGIC_TOOL_FREEZER_H

#include <stddef.h>
#include <sys/types.h>

#define FREEZER_MAX 64 /* nested ones */

struct freezer {
	char *paths[FREEZER_MAX]; /* of cgroup.freeze, the process's own first */
	size_t nr;
};

/* 0 or a negative errno, told. @root: where cgroup2 is mounted. */
int freezer_find(const char *root, pid_t pid, struct freezer *f);

/* All of them, as "0" or "1". 0 or a negative errno, told. */
int freezer_write(const struct freezer *f, const char *value);

void freezer_free(struct freezer *f);

#endif
