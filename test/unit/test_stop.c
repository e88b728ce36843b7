// SPDX-License-Identifier: GPL-2.0-only
/* A real process with threads, stopped and let go: all of them, and as they were. */
#include <errno.h>
#include <pthread.h>
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
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "remote/trace.h"
#include "stop.h"
#include "testlog.h"
#include "testtool.h"

#define NR_THREADS 4

/* Of the child: what each thread has counted, and the signals it has taken. */
static volatile struct counts {
	unsigned long counts[NR_THREADS + 1];
	unsigned long signals;
	bool makes_threads;
} *shared;

static void note(int sig)
{
	shared->signals++;
}

static void *nothing(void *arg)
{
	return NULL;
}

static void *count(void *arg)
{
	size_t i = (size_t)arg;

	for (;;) {
		pthread_t thread;

		shared->counts[i]++;
		if (!shared->makes_threads)
			usleep(100);
		else if (!pthread_create(&thread, NULL, nothing, NULL))
			pthread_join(thread, NULL);
	}
	return NULL;
}

static pid_t child(bool makes_threads)
{
	pid_t pid;

	memset((void *)shared, 0, sizeof(*shared));
	shared->makes_threads = makes_threads;
	tool_reset();
	pid = fork();
	if (!pid) {
		signal(SIGUSR1, note);
		for (size_t i = 1; i <= NR_THREADS; i++)
			pthread_create(&(pthread_t){ 0 }, NULL, count, (void *)i);
		count(0);
	}
	assert_true(pid > 0);
	while (!shared->counts[NR_THREADS])
		usleep(1000);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, __WALL), pid);
}

static bool any_moves(void)
{
	struct counts before = *shared;

	usleep(100000);
	return memcmp(before.counts, (void *)shared->counts, sizeof(before.counts));
}

static void assert_all_move(void)
{
	for (size_t i = 0; i <= NR_THREADS; i++) {
		unsigned long before = shared->counts[i];

		for (int tries = 0; shared->counts[i] == before && tries < 10000; tries++)
			usleep(1000);
		assert_int_not_equal(shared->counts[i], before);
	}
}

static void all_threads_stop_and_go_on(void **state)
{
	pid_t pid = child(false);
	struct stopped s;

	assert_int_equal(stop_process(pid, &s), 0);
	assert_int_equal(s.nr, NR_THREADS + 1);
	assert_false(any_moves());
	stop_end(&s);
	assert_all_move();
	end(pid);
}

/* Threads come and go while they are counted. */
static void one_that_makes_threads_stops(void **state)
{
	pid_t pid = child(true);
	struct stopped s;
	int ret;

	for (int i = 0; i < 5; i++) {
		do /* it may have been faster each time */
			ret = stop_process(pid, &s);
		while (ret == -EAGAIN);
		assert_int_equal(ret, 0);
		assert_true(s.nr > NR_THREADS);
		assert_false(any_moves());
		stop_end(&s);
		assert_all_move();
	}
	end(pid);
}

static void signals_on_their_way_arrive(void **state)
{
	pid_t pid = child(false);
	struct stopped s;

	for (int i = 0; i < 20; i++) {
		unsigned long before = shared->signals;

		assert_int_equal(kill(pid, SIGUSR1), 0);
		assert_int_equal(stop_process(pid, &s), 0);
		stop_end(&s);
		for (int tries = 0; shared->signals == before && tries < 10000; tries++)
			usleep(1000);
		assert_int_equal(shared->signals, before + 1);
	}
	end(pid);
}

/* It was stopped, and is. */
static void one_that_stands_stands_afterwards(void **state)
{
	pid_t pid = child(false);
	struct stopped s;

	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
	assert_int_equal(stop_process(pid, &s), 0);
	stop_end(&s);
	assert_false(any_moves());
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_all_move();
	end(pid);
}

/* A criu that still runs. */
static void one_that_is_traced_is_refused(void **state)
{
	pid_t pid = child(false), tracer;
	int ready[2];
	char c, says[64];
	struct stopped s;

	assert_int_equal(pipe(ready), 0);
	tracer = fork();
	if (!tracer) {
		if (ptrace(PTRACE_SEIZE, pid, 0, 0) || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(stop_process(pid, &s), -EBUSY);
	snprintf(says, sizeof(says), "pid %d: pid %d traces it", pid, tracer);
	assert_memory_equal(tool_told(), says, strlen(says));
	assert_all_move();
	end(tracer);
	assert_int_equal(stop_process(pid, &s), 0);
	stop_end(&s);
	end(pid);
}

static void one_that_has_ended_is_an_error(void **state)
{
	pid_t pid = child(false);
	struct stopped s;

	end(pid);
	assert_int_equal(stop_process(pid, &s), -ESRCH);
	assert_non_null(strstr(tool_told(), "cannot stop it"));
}

/* As CRIU lets one go that it cannot reach. */
static void one_that_was_let_go_is_stopped_again(void **state)
{
	pid_t pid = child(false);
	struct stopped s;

	assert_int_equal(stop_process(pid, &s), 0);
	assert_false(trace_goes_on(pid));
	assert_int_equal(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	assert_true(any_moves());
	assert_true(trace_goes_on(pid));
	assert_int_equal(trace_interrupt(pid, 10000), 0);
	assert_false(trace_goes_on(pid));
	assert_false(any_moves());
	stop_end(&s);
	assert_all_move();
	end(pid);
}

/* It looks like one that was stopped all the time: what is run in it then would lose the signal. */
static void a_signal_that_came_before_that_is_delivered(void **state)
{
	pid_t pid = child(false);
	struct stopped s;
	siginfo_t info;

	assert_int_equal(stop_process(pid, &s), 0);
	assert_int_equal(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	assert_int_equal(kill(pid, SIGUSR1), 0);
	assert_int_equal(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT | __WALL), 0);
	assert_true(trace_goes_on(pid));
	assert_int_equal(trace_interrupt(pid, 10000), 0);
	assert_false(trace_goes_on(pid));
	stop_end(&s);
	for (int tries = 0; !shared->signals && tries < 10000; tries++)
		usleep(1000);
	assert_int_equal(shared->signals, 1);
	end(pid);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void nobody_is_waited_for_without_end(void **state)
{
	pid_t pid = child(false);
	int64_t start = now_ms();
	int status;

	assert_int_equal(ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
	assert_int_equal(trace_wait_stop(pid, &status, 200), -ETIMEDOUT);
	assert_true(now_ms() >= start + 200);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
	assert_int_equal(trace_wait_stop(pid, &status, 60000), 0);
	assert_true(trace_is_event_stop(status));
	end(pid);
	assert_int_equal(trace_wait_stop(pid, &status, 60000), -ECHILD);
}

static int set_up(void **state)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared == MAP_FAILED;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_threads_stop_and_go_on),
		cmocka_unit_test(one_that_makes_threads_stops),
		cmocka_unit_test(signals_on_their_way_arrive),
		cmocka_unit_test(one_that_stands_stands_afterwards),
		cmocka_unit_test(one_that_is_traced_is_refused),
		cmocka_unit_test(one_that_has_ended_is_an_error),
		cmocka_unit_test(one_that_was_let_go_is_stopped_again),
		cmocka_unit_test(a_signal_that_came_before_that_is_delivered),
		cmocka_unit_test(nobody_is_waited_for_without_end),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
