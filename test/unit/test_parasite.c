// SPDX-License-Identifier: GPL-2.0-only
/* Memory by the name that compel gives its own, in a real process: found, found to be in use, and taken out. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "parasite.h"
#include "remote/direct.h"
#include "testlog.h"
#include "testtool.h"

#define PAGES 4

static size_t page;

/* As compel maps it. */
static char *map_named(const char *name, int flags, int *fd)
{
	char *at;

	*fd = memfd_create(name, 0);
	assert_true(*fd >= 0);
	assert_int_equal(ftruncate(*fd, PAGES * page), 0);
	at = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, flags, *fd, 0);
	assert_true(at != MAP_FAILED);
	return at;
}

static void assert_nothing_is_found(void)
{
	struct parasite p;

	assert_int_equal(parasite_find(getpid(), &p), 0);
	assert_false(parasite_is_there(&p));
	parasite_free(&p);
}

static bool is_mapped(const char *at)
{
	unsigned char in_core;

	return !mincore((void *)at, page, &in_core);
}

static void it_is_found_and_taken_out(void **state)
{
	struct remote remote = DIRECT_REMOTE;
	struct parasite p;
	int fd, fds[2];
	char *at = map_named("CRIUMFD", MAP_SHARED, &fd);

	assert_int_equal(parasite_find(getpid(), &p), 0);
	assert_int_equal(p.nr_maps, 1);
	assert_int_equal(p.maps[0].start, (uintptr_t)at);
	assert_int_equal(p.maps[0].end - p.maps[0].start, PAGES * page);
	assert_int_equal(p.nr_fds, 1);
	assert_int_equal(p.fds[0], fd);
	assert_int_equal(parasite_take_out(&p, &remote), 0);
	parasite_free(&p);
	assert_false(is_mapped(at));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_nothing_is_found();

	/* From several dumps, one of them with parts that have protections of their own. */
	map_named("CRIUMFD", MAP_SHARED, &fds[0]);
	at = map_named("CRIUMFD", MAP_SHARED, &fds[1]);
	assert_int_equal(mprotect(at, page, PROT_READ), 0);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(parasite_find(getpid(), &p), 0);
	assert_int_equal(p.nr_maps, 3);
	assert_int_equal(p.nr_fds, 0);
	assert_true(parasite_is_there(&p));
	assert_int_equal(parasite_take_out(&p, &remote), 0);
	parasite_free(&p);
	assert_nothing_is_found();
}

/* Only what cannot be anybody else's. */
static void what_is_the_process_s_own_is_not_taken_for_it(void **state)
{
	int fds[3];
	char *maps[] = {
		map_named("CRIUMFD2", MAP_SHARED, &fds[0]),
		map_named("", MAP_SHARED, &fds[1]),
		map_named("CRIUMFD", MAP_PRIVATE, &fds[2]),
	};

	close(fds[2]);
	assert_nothing_is_found();
	for (size_t i = 0; i < 3; i++)
		munmap(maps[i], PAGES * page);
	close(fds[0]);
	close(fds[1]);
}

static void a_memfd_that_was_not_mapped_yet_is_closed(void **state)
{
	struct remote remote = DIRECT_REMOTE;
	int fd = memfd_create("CRIUMFD", 0);
	struct parasite p;

	assert_int_equal(parasite_find(getpid(), &p), 0);
	assert_true(parasite_is_there(&p));
	assert_int_equal(parasite_take_out(&p, &remote), 0);
	parasite_free(&p);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* A child in read(), which has the address of @to in a register; traced. */
static pid_t child_with(void *to)
{
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (!pid)
		_exit(read(ends[0], to, 1) != 1);
	assert_true(pid > 0);
	assert_int_equal(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL), 0);
	return pid;
}

static void stop(pid_t pid)
{
	int status;

	assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
	assert_int_equal(waitpid(pid, &status, __WALL), pid);
	assert_true(WIFSTOPPED(status));
}

/* It comes to its read() in a while. */
static bool is_in(const struct parasite *p, pid_t pid)
{
	for (int i = 0; i < 1000; i++) {
		stop(pid);
		if (parasite_thread(p, &pid, 1) == pid)
			return true;
		assert_int_equal(ptrace(PTRACE_CONT, pid, 0, 0), 0);
		usleep(5000);
	}
	return false;
}

/* Of its last byte, without its start, to which other registers may point. */
static void a_thread_that_is_in_it_is_named(void **state)
{
	struct remote remote = DIRECT_REMOTE;
	struct parasite p;
	int fd, status;
	char *at = map_named("CRIUMFD", MAP_SHARED, &fd), *end = at + PAGES * page;
	struct parasite_map map = { (uintptr_t)at + page, (uintptr_t)end };
	const struct parasite all = { .maps = &map, .nr_maps = 1 };
	pid_t pid = child_with(end - 1);

	assert_true(is_in(&all, pid));
	map.end--;
	assert_int_equal(parasite_thread(&all, &pid, 1), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, __WALL), pid);
	assert_int_equal(parasite_find(getpid(), &p), 0);
	assert_int_equal(parasite_take_out(&p, &remote), 0);
	parasite_free(&p);
}

static void a_thread_whose_registers_cannot_be_read_is_an_error(void **state)
{
	struct parasite_map map = { 0, 1 };
	struct parasite p = { .maps = &map, .nr_maps = 1 };
	pid_t pid = getpid(); /* which nobody traces */

	assert_true(parasite_thread(&p, &pid, 1) < 0);
	assert_non_null(strstr(tool_told(), "cannot read its registers"));
}

static void a_process_that_has_ended_is_an_error(void **state)
{
	struct parasite p;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(parasite_find(pid, &p), -ENOENT);
	assert_non_null(strstr(tool_told(), "cannot read"));
	parasite_free(&p);
}

static int set_up(void **state)
{
	page = sysconf(_SC_PAGESIZE);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_found_and_taken_out),
		cmocka_unit_test(what_is_the_process_s_own_is_not_taken_for_it),
		cmocka_unit_test(a_memfd_that_was_not_mapped_yet_is_closed),
		cmocka_unit_test(a_thread_that_is_in_it_is_named),
		cmocka_unit_test(a_thread_whose_registers_cannot_be_read_is_an_error),
		cmocka_unit_test(a_process_that_has_ended_is_an_error),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
