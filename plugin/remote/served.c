// SPDX-License-Identifier: GPL-2.0-only
/* See served.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/area.h"
#include "remote/served.h"

/* Of memfds and of shared anonymous memory: by its number, for a file can have any name. 0: it has none. */
static dev_t kernels_own(void)
{
	int fd = memfd_create("", MFD_CLOEXEC);
	struct stat st = { 0 };

	if (fd >= 0) {
		if (fstat(fd, &st))
			st.st_dev = 0;
		close(fd);
	}
	return st.st_dev;
}

static int add(struct served *served, uint64_t start, uint64_t end)
{
	void *more = reallocarray(served->areas, served->nr + 1, sizeof(*served->areas));

	if (!more)
		return -ENOMEM;
	served->areas = more;
	served->areas[served->nr].start = start;
	served->areas[served->nr++].end = end;
	return 0;
}

int served_find(pid_t pid, struct served *served)
{
	char path[32], *line = NULL;
	dev_t own = kernels_own();
	size_t room = 0;
	FILE *maps;
	int ret = 0;

	*served = (struct served){ 0 };
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return errno ? -errno : -EIO;
	while (!ret && getline(&line, &room, maps) > 0) {
		struct proc_area area;

		if (proc_area_parse(line, &area) && area.inode && area.dev != own)
			ret = add(served, area.start, area.end);
	}
	free(line);
	fclose(maps);
	return ret;
}

bool served_has(const struct served *served, uint64_t addr, size_t size)
{
	size_t low = 0, high = served->nr;

	/* The first that ends behind @addr. */
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (served->areas[middle].end > addr)
			high = middle;
		else
			low = middle + 1;
	}
	return low < served->nr && (served->areas[low].start <= addr || served->areas[low].start - addr < size);
}

void served_free(struct served *served)
{
	free(served->areas);
	*served = (struct served){ 0 };
}
