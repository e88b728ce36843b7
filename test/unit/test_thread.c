// SPDX-License-Identifier: GPL-2.0-only
/* Whether a restored process has the threads of the image: here this one. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/thread.h"
#include "testlog.h"

static pthread_barrier_t barrier;

static void *other_thread(void *tid)
{
	*(int32_t *)tid = syscall(SYS_gettid);
	pthread_barrier_wait(&barrier); /* its tid is known */
	pthread_barrier_wait(&barrier); /* the test is over */
	return NULL;
}

/* Of this process, its other thread, and one that is not. */
static int check(int32_t first, int32_t second)
{
	struct thread_state threads[] = { { .vtid = first }, { .vtid = second } };
	const struct vm_state vm = { .threads = threads, .nr_threads = 2 };

	log_reset();
	return probe_check_threads(getpid(), &vm);
}

static void a_thread_that_is_missing_is_named(void **state)
{
	char says[64];
	pthread_t thread;
	int32_t tid;

	pthread_barrier_init(&barrier, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, other_thread, &tid), 0);
	pthread_barrier_wait(&barrier);
	assert_int_equal(check(getpid(), tid), 0);
	assert_int_equal(check(tid, getpid()), 0);
	assert_int_equal(log_errors(), 0);
	assert_int_equal(check(tid, getppid()), -ESRCH);
	assert_int_equal(log_errors(), 1);
	snprintf(says, sizeof(says), "pid %d: thread %d of the image is not there", getpid(), getppid());
	assert_string_equal(log_error(), says);
	assert_int_equal(check(getppid(), tid), -ESRCH);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	assert_int_equal(check(getpid(), tid), -ESRCH);
}

static void a_process_that_is_gone_has_none(void **state)
{
	struct thread_state thread = { .vtid = 1 };
	const struct vm_state vm = { .threads = &thread, .nr_threads = 1 };

	log_reset();
	assert_int_equal(probe_check_threads(-1, &vm), -ESRCH);
	assert_int_equal(log_errors(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_that_is_missing_is_named),
		cmocka_unit_test(a_process_that_is_gone_has_none),
	};

	return cmocka_run_group_tests_name("threads of a process", tests, NULL, NULL);
}
