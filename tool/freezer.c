// SPDX-License-Identifier: GPL-2.0-only
/* See freezer.h. A process is frozen where its cgroup is, or one that this is in. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "freezer.h"
#include "probe/cgroup.h"
#include "tool.h"

static int failed(const char *path)
{
	int err = errno ?: EIO;

	tool_error("%s: %s (errno %d)", path, strerror(err), err);
	return -err;
}

static bool is_frozen(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char value = '0';

	if (fd < 0)
		return false; /* the root has none */
	if (read(fd, &value, 1) != 1)
		value = '0';
	close(fd);
	return value == '1';
}

static int add(struct freezer *f, const char *root, const char *cgroup)
{
	char *path;

	if (asprintf(&path, "%s%s/cgroup.freeze", root, cgroup) < 0)
		return -ENOMEM;
	if (!is_frozen(path)) {
		free(path);
		return 0;
	}
	if (f->nr == FREEZER_MAX) {
		free(path);
		return -E2BIG;
	}
	f->paths[f->nr++] = path;
	return 0;
}

int freezer_find(const char *root, pid_t pid, struct freezer *f)
{
	char cgroup[PATH_MAX];
	int ret = cgroup_of(pid, cgroup);

	*f = (struct freezer){ 0 };
	if (ret)
		tool_error("pid %d: its cgroup: %s (errno %d)", pid, strerror(-ret), -ret);
	do
		ret = ret ?: add(f, root, cgroup);
	while (!ret && cgroup_up(cgroup));
	return ret;
}

int freezer_write(const struct freezer *f, const char *value)
{
	for (size_t i = 0; i < f->nr; i++) {
		int fd = open(f->paths[i], O_WRONLY | O_CLOEXEC), ret;

		if (fd < 0)
			return failed(f->paths[i]);
		ret = write(fd, value, 1) == 1 ? 0 : failed(f->paths[i]);
		close(fd);
		if (ret)
			return ret;
	}
	return 0;
}

void freezer_free(struct freezer *f)
{
	for (size_t i = 0; i < f->nr; i++)
		free(f->paths[i]);
	*f = (struct freezer){ 0 };
}
