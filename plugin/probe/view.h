/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What /proc says of a process that stands still. Looked at once, and handed on to whoever would have to ask again: it holds until
 * the process runs on. What is run in it meanwhile maps memory of its own, and replaces mappings of vCPUs by copies, for a while.
 */
#ifndef KVM_VGIC_PROBE_VIEW_H
#define KVM_VGIC_PROBE_VIEW_H

#include "probe/area.h"
#include "probe/status.h"

struct proc_view {
	struct proc_areas areas;
	struct proc_status status;
};

/*
 * Fills *@view, with mappings of @max_text bytes at most (area.h), to be freed by proc_view_free() whatever is returned. 0 or a negative errno, logged, but for -ESRCH: @pid has
 * ended.
 */
int proc_view_read(pid_t pid, size_t max_text, struct proc_view *view);
void proc_view_free(struct proc_view *view);

#endif
