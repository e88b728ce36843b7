// SPDX-License-Identifier: GPL-2.0-only
/* Which memory of a process may wait for a server: of this one. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "remote/served.h"

#define SIZE 0x4000u

static uint64_t map(int fd, int flags)
{
	void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);

	assert_true(p != MAP_FAILED);
	return (uintptr_t)p;
}

static int file(void)
{
	char path[] = "/tmp/test_served.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	return fd;
}

static int memfd(const char *name)
{
	int fd = memfd_create(name, 0);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	return fd;
}

static void files_are_and_what_is_the_kernels_own_is_not(void **state)
{
	uint64_t shared_file = map(file(), MAP_SHARED), private_file = map(file(), MAP_PRIVATE);
	uint64_t own[] = { map(-1, MAP_PRIVATE | MAP_ANONYMOUS), map(-1, MAP_SHARED | MAP_ANONYMOUS),
			   map(memfd("/tmp/ram"), MAP_SHARED), map(memfd("ram"), MAP_PRIVATE) };
	struct proc_areas areas;
	struct served served;

	assert_int_equal(proc_areas_read(getpid(), PROC_TEXT_ALL, &areas), 0);
	assert_int_equal(served_find(&areas, &served), 0);
	proc_areas_free(&areas);
	assert_true(served_has(&served, shared_file, 1));
	assert_true(served_has(&served, private_file + SIZE - 1, 1));
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		assert_false(served_has(&served, own[i] + 0x1000, 0x1000));
	served_free(&served);
	assert_int_equal(served.nr, 0);
}

static void what_touches_one_is(void **state)
{
	struct served served = { calloc(2, sizeof(*served.areas)), 2 };

	served.areas[0].start = 0x1000;
	served.areas[0].end = 0x2000;
	served.areas[1].start = 0x5000;
	served.areas[1].end = 0x6000;
	assert_false(served_has(&served, 0, 0x1000));
	assert_true(served_has(&served, 0, 0x1001));
	assert_true(served_has(&served, 0x1000, 1));
	assert_true(served_has(&served, 0x1fff, 1));
	assert_false(served_has(&served, 0x2000, 0x3000));
	assert_true(served_has(&served, 0x2000, 0x3001));
	assert_true(served_has(&served, 0x5fff, 8));
	assert_false(served_has(&served, 0x6000, -1));
	served_free(&served);
	assert_false(served_has(&served, 0x1000, 0x1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_and_what_is_the_kernels_own_is_not),
		cmocka_unit_test(what_touches_one_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
