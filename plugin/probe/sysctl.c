// SPDX-License-Identifier: GPL-2.0-only
/* See sysctl.h. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "probe/sysctl.h"
#include "probe/text.h"

#define NR_OPEN_DEFAULT 1048576

static struct {
	bool known;
	uint64_t max_map_count;
	int nr_open;
	char boot_id[37];
} host;

/* As @format says, where the file has that. */
static void read_one(const char *path, const char *format, void *value)
{
	struct text text = { 0 };

	if (!text_read(AT_FDCWD, path, &text))
		sscanf(text.at, format, value);
	text_free(&text);
}

void sysctl_read(void)
{
	host.max_map_count = UINT64_MAX;
	host.nr_open = NR_OPEN_DEFAULT;
	host.boot_id[0] = 0;
	read_one("/proc/sys/vm/max_map_count", "%" SCNu64, &host.max_map_count);
	read_one("/proc/sys/fs/nr_open", "%d", &host.nr_open);
	read_one("/proc/sys/kernel/random/boot_id", "%36s", host.boot_id);
	host.known = true;
}

static void know(void)
{
	if (!host.known)
		sysctl_read();
}

uint64_t sysctl_max_map_count(void)
{
	know();
	return host.max_map_count;
}

int sysctl_nr_open(void)
{
	know();
	return host.nr_open;
}

const char *sysctl_boot_id(void)
{
	know();
	return host.boot_id;
}
