// SPDX-License-Identifier: GPL-2.0-only
/* See cgroup.h. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "probe/cgroup.h"
#include "probe/text.h"

int cgroup_of(pid_t pid, char path[PATH_MAX])
{
	struct text text = { 0 };
	char name[32], *rest, *line;
	int ret;

	snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
	ret = text_read(AT_FDCWD, name, &text);
	strcpy(path, "/");
	for (rest = ret ? NULL : text.at; (line = strsep(&rest, "\n"));)
		if (!strncmp(line, "0::", 3))
			snprintf(path, PATH_MAX, "%s", line + 3);
	text_free(&text);
	return ret;
}

int cgroup_up(char path[PATH_MAX])
{
	char *last = strrchr(path, '/');

	if (!last || !last[1])
		return 0;
	*last = 0;
	if (last == path)
		strcpy(path, "/");
	return 1;
}
