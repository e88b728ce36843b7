// SPDX-License-Identifier: GPL-2.0-only
/* See view.h. */
#include <errno.h>

#include "probe/view.h"

int proc_view_read(pid_t pid, size_t max_text, struct proc_view *view)
{
	int ret;

	*view = (struct proc_view){ 0 };
	ret = proc_areas_read(pid, max_text, &view->areas);
	ret = ret ?: proc_status(pid, 0, &view->status);
	return !ret && view->status.vpid <= 0 ? -ESRCH : ret;
}

void proc_view_free(struct proc_view *view)
{
	proc_areas_free(&view->areas);
	*view = (struct proc_view){ 0 };
}
