// SPDX-License-Identifier: GPL-2.0-only
/* See park.h. */
#include "probe/park.h"
#include "probe/sysctl.h"

/* Numbers below are CRIU's for a moment at a time: it opens each file where there is room, and moves it. */
#define FIRST_PARKED 4096

int open_limit(void)
{
	return sysctl_nr_open();
}

int park_highest(int limit)
{
	/* Two dozen are its own, with what it leaves for safety, and its end is a multiple of 128. */
	return limit - limit % 128 - 64;
}

/* CRIU's own fds go right after the highest, up to the next power of two: choose_service_fd_base(). */
static int above_all(const struct proc_scan *scan)
{
	int base = 4 * (proc_max_fd(scan) + 256);

	return base < FIRST_PARKED ? FIRST_PARKED : base;
}

/* The highest gap between two fds. */
static int between(const struct proc_scan *scan, uint32_t need)
{
	for (size_t i = scan->nr_open; i--;) {
		int first = i ? scan->open[i - 1] + 1 : 0;

		if (first < FIRST_PARKED)
			first = FIRST_PARKED;
		if (scan->open[i] - first >= (int)need)
			return scan->open[i] - (int)need;
	}
	return -1;
}

int park_base(const struct proc_scan *scan, uint32_t need, int limit)
{
	int base;

	/* So that the multiple is an int. */
	if (proc_max_fd(scan) < limit / 4) {
		base = above_all(scan);
		if (base <= limit - (int)need)
			return base;
	}
	return between(scan, need);
}
