// SPDX-License-Identifier: GPL-2.0-only
/* See thread.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "probe/proc.h"
#include "probe/thread.h"

struct search {
	const struct vm_state *vm;
	bool *there; /* which of the image's threads were found */
};

static int note_thread(pid_t tid, pid_t vtid, void *arg)
{
	const struct search *search = arg;

	for (size_t i = 0; i < search->vm->nr_threads; i++)
		search->there[i] |= search->vm->threads[i].vtid == vtid;
	return 0;
}

int probe_check_threads(pid_t pid, const struct vm_state *vm)
{
	bool *there = calloc(vm->nr_threads + 1, sizeof(*there));
	struct search search = { vm, there };
	int ret = there ? proc_each_vtid(pid, note_thread, &search) : -ENOMEM;

	if (ret)
		pr_err("pid %d: cannot list its threads: %s (errno %d)\n", pid, strerror(-ret), -ret);
	for (size_t i = 0; !ret && i < vm->nr_threads; i++) {
		if (there[i])
			continue;
		pr_err("pid %d: thread %d of the image is not there\n", pid, vm->threads[i].vtid);
		ret = -ESRCH;
	}
	free(there);
	return ret;
}
