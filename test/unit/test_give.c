// SPDX-License-Identifier: GPL-2.0-only
/* Open files from one process to another, here to this one itself: its calls are the kernel's own. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "remote/direct.h"
#include "remote/give.h"

#define TO 500

static int nr_open(void)
{
	int nr = 0;

	for (int fd = 0; fd < 1024; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	return nr;
}

static void assert_given(int to_is, bool cloexec)
{
	struct remote remote = DIRECT_REMOTE;
	int file = open("/dev/null", O_RDWR | O_APPEND), before = nr_open();

	assert_true(file >= 0);
	if (to_is)
		assert_int_equal(dup2(0, TO), TO);
	assert_int_equal(fd_give(&remote, getpid(), file, TO, cloexec), 0);
	/* The same open file: what one does to its flags the other sees. */
	assert_int_equal(fcntl(file, F_SETFL, O_NONBLOCK), 0);
	assert_true(fcntl(TO, F_GETFL) & O_NONBLOCK);
	assert_int_equal(fcntl(TO, F_GETFD), cloexec ? FD_CLOEXEC : 0);
	close(TO);
	assert_int_equal(nr_open(), before);
	close(file);
}

static void a_file_is_given(void **state)
{
	assert_given(0, false);
	assert_given(0, true);
}

static void what_was_there_is_replaced(void **state)
{
	assert_given(1, false);
	assert_given(1, true);
}

static void a_file_is_sent(void **state)
{
	struct remote remote = DIRECT_REMOTE;
	int before = nr_open(), fd = fd_send(&remote, getpid(), 0);

	assert_true(fd > 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	assert_int_equal(nr_open(), before);
}

/* The two sockets fit, and the file does not. */
static void a_task_at_its_limit_gets_no_file(void **state)
{
	struct remote remote = DIRECT_REMOTE;
	struct rlimit before, low;
	int before_it = nr_open(), file = dup2(0, 600), next = dup(0);

	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = (struct rlimit){ next + 3, before.rlim_max };
	for (int fd = next; fd < next + 3; fd++)
		assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(fd_send(&remote, getpid(), file), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	close(file);
	assert_int_equal(nr_open(), before_it);
}

static void a_file_that_is_none_is_an_error(void **state)
{
	struct remote remote = DIRECT_REMOTE;
	int before = nr_open();

	assert_int_equal(fd_give(&remote, getpid(), 900, TO, true), -EBADF);
	assert_int_equal(fd_take(getpid(), 900), -EBADF);
	assert_int_equal(fd_take(0, 0), -EINVAL);
	assert_int_equal(nr_open(), before);
	assert_int_equal(fcntl(TO, F_GETFD), -1);
}

static void a_limit_that_is_reached_is_raised_and_put_back(void **state)
{
	struct rlimit before, low = { 16, 4096 }, now;
	int fd = -1;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(more_fds_begin(getpid(), 1048576, &now), 0);
	fd = fcntl(0, F_DUPFD, 100);
	more_fds_end(getpid(), &now);
	assert_int_equal(fd, 100);
	close(fd);
	assert_int_equal(fcntl(0, F_DUPFD, 100), -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* The limit of a process is the highest there is in many containers. */
static void no_limit_is_raised_above_the_highest(void **state)
{
	static const rlim_t highest[] = { 8, 16, 20 }, raised[] = { 16, 16, 20 };
	struct rlimit before, low = { .rlim_cur = 16 }, had, now;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(more_fds_begin(getpid(), highest[i], &had), 0);
		assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
		more_fds_end(getpid(), &had);
		assert_int_equal(now.rlim_cur, raised[i]);
		assert_int_equal(now.rlim_max, low.rlim_max);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_given),
		cmocka_unit_test(what_was_there_is_replaced),
		cmocka_unit_test(a_file_is_sent),
		cmocka_unit_test(a_task_at_its_limit_gets_no_file),
		cmocka_unit_test(a_file_that_is_none_is_an_error),
		cmocka_unit_test(a_limit_that_is_reached_is_raised_and_put_back),
		cmocka_unit_test(no_limit_is_raised_above_the_highest),
	};

	return cmocka_run_group_tests_name("open files for another process", tests, NULL, NULL);
}
