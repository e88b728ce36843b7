// SPDX-License-Identifier: GPL-2.0-only
/* See cgroup.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/cgroup.h"

int cgroup_of(pid_t pid, char path[PATH_MAX])
{
	char name[32], *line = NULL;
	size_t room = 0;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
	file = fopen(name, "re");
	if (!file)
		return errno ? -errno : -EIO;
	strcpy(path, "/");
	while (getline(&line, &room, file) > 0) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "0::", 3))
			snprintf(path, PATH_MAX, "%s", line + 3);
	}
	free(line);
	fclose(file);
	return 0;
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
