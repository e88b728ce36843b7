// SPDX-License-Identifier: GPL-2.0-only
/* Time that tasks stand still: each part of it is told once, and CRIU's own is not. test/bench/figures.py reads the line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "remote/task.h"
#include "spent.h"
#include "testlog.h"

static uint64_t us = 1000000000;

int __wrap_clock_gettime(clockid_t clock, struct timespec *t);

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	assert_int_equal(clock, CLOCK_MONOTONIC);
	*t = (struct timespec){ us / 1000000, us % 1000000 * 1000 };
	return 0;
}

struct task_remote_use task_remote_used(void)
{
	return (struct task_remote_use){ .calls = 10, .ioctls = 7, .trips = 2, .us = 99 };
}

static void spend(enum spent what, unsigned int time)
{
	spent_on(what);
	us += time;
}

static void what_is_not_crius_is_told_once(void **state)
{
	spend(SPENT_LOOK, 200);
	spend(SPENT_NOT, 5000000);
	spend(SPENT_READ, 1000000);
	spend(SPENT_LOOK, 34);
	assert_int_equal(spent_on(SPENT_NOT), SPENT_LOOK);
	us += 70;
	spent_tell("the dump");
	assert_true(log_told("kvm_vgic: the dump took 1000234 us (looking 234, reading 1000000), 7 ioctls and 3 other "
			     "system calls in 2 round trips of 99 us\n"));
}

static void it_begins_anew(void **state)
{
	log_reset();
	spend(SPENT_BUILD, 5);
	spent_tell("the restore");
	assert_true(log_told("the restore took 5 us (building 5), "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_crius_is_told_once),
		cmocka_unit_test(it_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
