// SPDX-License-Identifier: GPL-2.0-only
/* See thread.h. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "probe/proc.h"
#include "probe/thread.h"

/* Sets in @there what @pid has of the image's threads. */
static int find_threads(pid_t pid, const struct vm_state *vm, bool *there)
{
	char path[32];
	struct dirent *de;
	pid_t vtid = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (vtid >= 0 && (de = readdir(dir))) {
		if (de->d_name[0] == '.')
			continue;
		vtid = proc_vpid(pid, atoi(de->d_name));
		for (size_t i = 0; i < vm->nr_threads; i++)
			there[i] |= vm->threads[i].vtid == vtid;
	}
	closedir(dir);
	return vtid < 0 ? vtid : 0;
}

int probe_check_threads(pid_t pid, const struct vm_state *vm)
{
	bool *there = calloc(vm->nr_threads + 1, sizeof(*there));
	int ret = there ? find_threads(pid, vm, there) : -ENOMEM;

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
