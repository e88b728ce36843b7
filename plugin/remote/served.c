// SPDX-License-Identifier: GPL-2.0-only
/* See served.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

static dev_t own;

void served_prepare(void)
{
	own = own ?: kernels_own();
}

int served_find(const struct proc_areas *areas, struct served *served)
{
	served_prepare();
	*served = (struct served){ .areas = calloc(areas->nr + 1, sizeof(*served->areas)) };
	if (!served->areas)
		return -ENOMEM;
	for (size_t i = 0; i < areas->nr; i++) {
		const struct proc_area *area = &areas->list[i];

		if (!area->inode || area->dev == own)
			continue;
		served->areas[served->nr].start = area->start;
		served->areas[served->nr++].end = area->end;
	}
	return 0;
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
