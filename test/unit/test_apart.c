// SPDX-License-Identifier: GPL-2.0-only
/* Files under memslots are read in a process of its own, with a limit: what it finds arrives, and it holds nobody up. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/apart.h"
#include "probe/backing.h"
#include "testlog.h"

#define PID 42
#define NR_FILES 300 /* more than a pipe holds */

static enum { FINDS, FAILS, STANDS, GOES_ON_SLOWLY, DIES } reader;

static void add(struct vm_state *vm, uint32_t slot)
{
	char path[400];

	memset(path, 'x', sizeof(path));
	snprintf(path, sizeof(path), "/files/%0300u", slot);
	vm->backings = reallocarray(vm->backings, vm->nr_backings + 1, sizeof(*vm->backings));
	vm->backings[vm->nr_backings++] = (struct backing){ .path = strdup(path), .slot = slot, .hash = 1000 + slot };
}

/* In the child. */
int backing_capture(pid_t pid, struct vm_state *vm, int (*give_up)(void))
{
	switch (reader) {
	case FINDS:
		for (uint32_t i = 0; i < NR_FILES; i++)
			add(vm, i);
		return pid == PID ? give_up() : -EINVAL;
	case FAILS:
		return -ENOTSUP;
	case STANDS:
		for (;;)
			pause();
	case GOES_ON_SLOWLY:
		for (int i = 0; i < 20; i++) {
			usleep(100000);
			if (give_up())
				_exit(1);
		}
		add(vm, 7);
		return 0;
	case DIES:
		abort();
	}
	return -EINVAL;
}

static void free_backings(struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_backings; i++)
		free(vm->backings[i].path);
	free(vm->backings);
}

static void assert_no_child(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void what_is_found_arrives(void **state)
{
	struct vm_state vm = { 0 };

	reader = FINDS;
	assert_int_equal(backing_capture_apart(PID, &vm, NULL, 10), 0);
	assert_int_equal(vm.nr_backings, NR_FILES);
	for (uint32_t i = 0; i < NR_FILES; i++) {
		assert_int_equal(vm.backings[i].slot, i);
		assert_int_equal(vm.backings[i].hash, 1000 + i);
		assert_int_equal(strlen(vm.backings[i].path), 307);
		assert_int_equal(atoi(vm.backings[i].path + 7), i);
	}
	free_backings(&vm);
	assert_no_child();
}

static void a_refusal_is_one(void **state)
{
	struct vm_state vm = { 0 };

	reader = FAILS;
	assert_int_equal(backing_capture_apart(PID, &vm, NULL, 10), -ENOTSUP);
	assert_no_child();
}

static void a_server_that_does_not_answer_fails_the_dump(void **state)
{
	struct vm_state vm = { 0 };
	time_t begin = time(NULL);

	reader = STANDS;
	log_reset();
	assert_int_equal(backing_capture_apart(PID, &vm, NULL, 1), -ETIMEDOUT);
	assert_true(time(NULL) - begin < 10);
	assert_non_null(strstr(log_error(), "a file under a memslot cannot be read: no answer of its server for 1 s"));
	assert_no_child();
}

/* Longer than the limit, but never as long as that without a block. */
static void one_that_goes_on_has_all_the_time_it_needs(void **state)
{
	struct vm_state vm = { 0 };

	reader = GOES_ON_SLOWLY;
	assert_int_equal(backing_capture_apart(PID, &vm, NULL, 1), 0);
	assert_int_equal(vm.nr_backings, 1);
	free_backings(&vm);
	assert_no_child();
}

static int give_up(void)
{
	return -EINTR;
}

static void a_signal_ends_it(void **state)
{
	struct vm_state vm = { 0 };

	reader = STANDS;
	assert_int_equal(backing_capture_apart(PID, &vm, give_up, 1000), -EINTR);
	assert_no_child();
}

static void one_that_dies_is_an_error(void **state)
{
	struct vm_state vm = { 0 };

	reader = DIES;
	log_reset();
	assert_int_equal(backing_capture_apart(PID, &vm, NULL, 10), -EPIPE);
	assert_int_equal(log_errors(), 1);
	assert_no_child();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_found_arrives),
		cmocka_unit_test(a_refusal_is_one),
		cmocka_unit_test(a_server_that_does_not_answer_fails_the_dump),
		cmocka_unit_test(one_that_goes_on_has_all_the_time_it_needs),
		cmocka_unit_test(a_signal_ends_it),
		cmocka_unit_test(one_that_dies_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
