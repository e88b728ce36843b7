/* SPDX-License-Identifier: GPL-2.0-only */
/* A process with all its threads, stopped by ptrace: also one whose cgroup is frozen. */
#ifndef KVM_VGIC_TOOL_STOP_H
#define KVM_VGIC_TOOL_STOP_H

#include <stddef.h>
#include <sys/types.h>

struct stopped {
	pid_t pid;
	pid_t *tids;
	size_t nr;
};

/* 0, or a negative errno, told, with nothing left stopped. -EBUSY: somebody traces it, a criu that still runs. */
int stop_process(pid_t pid, struct stopped *s);

/* Lets it go on. */
void stop_end(struct stopped *s);

#endif
