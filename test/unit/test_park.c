// SPDX-License-Identifier: GPL-2.0-only
/* Fd numbers for the time of a restore: what would be lost is a VM whose process has its fds where they are to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "probe/park.h"

#define LIMIT 1048576

int proc_max_fd(const struct proc_scan *scan)
{
	return scan->nr_open ? scan->open[scan->nr_open - 1] : -1;
}

/* CRIU's choose_service_fd_base(), for a process with @max as its highest fd: where its own end. */
static int criu_end(int max)
{
	unsigned int n = (max + 64) / 128, power = 1;

	while (power <= n)
		power *= 2;
	return power * 128;
}

static int base_of(int *open, size_t nr, uint32_t need)
{
	const struct proc_scan scan = { .open = open, .nr_open = nr };
	int base = park_base(&scan, need, LIMIT);

	if (base < 0)
		return base;
	assert_true(base + (int)need <= LIMIT);
	for (size_t i = 0; i < nr; i++)
		assert_true(open[i] < base || open[i] >= base + (int)need);
	/* Above all, and above CRIU's own; or below some. */
	assert_true(base < proc_max_fd(&scan) || base >= criu_end(proc_max_fd(&scan)));
	return base;
}

static void above_what_is_open(void **state)
{
	for (int max = 0; max < 260000; max = 2 * max + 1) {
		int open[] = { max };

		assert_true(base_of(open, 1, 600) > max);
	}
	assert_true(base_of(NULL, 0, 600) >= 4096);
}

static void between_where_there_is_no_room_above(void **state)
{
	int open[] = { 0, 5000, 300000, 300003, LIMIT - 1 };

	assert_int_equal(base_of(open, 5, 600), LIMIT - 1 - 600);
	open[4] = 300600;
	assert_int_equal(base_of(open, 5, 596), 300004);
	assert_int_equal(base_of(open, 5, 597), 300000 - 597);
	open[4] = 300004;
	assert_int_equal(base_of(open, 5, 2), 300001);
	assert_int_equal(base_of(open, 5, 3), 300000 - 3);
}

/* Low numbers are CRIU's, for a moment at a time. */
static void not_among_the_lowest(void **state)
{
	int open[300], nr = 0;

	for (int fd = 4090; fd < 300000; fd += 3000)
		open[nr++] = fd;
	assert_int_equal(base_of(open, nr, 2999), open[nr - 1] - 2999);
	assert_int_equal(base_of(open, nr, 3000), -1);
}

/* Where CRIU has room: see criu_end(), and its Can't chose service_fd_base. */
static void the_highest_that_is_restored(void **state)
{
	for (int limit = 1024; limit <= LIMIT; limit += 1111)
		assert_true(park_highest(limit) + 16 + 16 <= limit - limit % 128);
	assert_true(park_highest(LIMIT) > LIMIT - 128);
}

static void nowhere(void **state)
{
	size_t nr = LIMIT;
	int *open = calloc(nr, sizeof(*open));

	for (size_t i = 0; i < nr; i++)
		open[i] = i;
	assert_int_equal(base_of(open, nr, 1), -1);
	free(open);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(above_what_is_open),
		cmocka_unit_test(between_where_there_is_no_room_above),
		cmocka_unit_test(not_among_the_lowest),
		cmocka_unit_test(the_highest_that_is_restored),
		cmocka_unit_test(nowhere),
	};

	return cmocka_run_group_tests_name("fd numbers of a restore", tests, NULL, NULL);
}
