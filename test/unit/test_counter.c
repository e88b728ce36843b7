// SPDX-License-Identifier: GPL-2.0-only
/* What a guest's clock says after a restore. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "state/counter.h"
#include "testlog.h"
#include "trip.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECOND 1000000000ull
#define LARGEST_SKEW 90 /* of what the fake's vCPUs read: vCPU 1's */
#define CNTFRQ 62500000u

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

static uint64_t ticks(uint64_t ns)
{
	return (unsigned __int128)ns * CNTFRQ / SECOND;
}

/* A VM that was dumped @ago ns before now, on a host like the one that restores it. */
static struct trip dumped_ago(struct fake_shape shape, int64_t ago)
{
	struct trip trip = trip_dump(fake_running(shape));

	trip.vm->cntfrq = CNTFRQ;
	trip.vm->realtime = now() - ago;
	return trip;
}

/* The restore, with KVM_VGIC_CLOCK as @clock: *@passed are the bounds of what had passed since the dump. */
static void restore_with(struct trip *trip, const char *clock, uint64_t passed[2])
{
	if (clock)
		setenv("KVM_VGIC_CLOCK", clock, 1);
	passed[0] = now() - trip->vm->realtime;
	assert_int_equal(trip_restore(trip), 0);
	passed[1] = now() - trip->vm->realtime;
	unsetenv("KVM_VGIC_CLOCK");
	assert_int_equal(log_errors(), 0);
	trip_assert_same(trip);
}

static const struct fake_shape plain = { .nr_vcpus = 4, .nr_irqs = 64 };
static const struct fake_shape with_offset = { .nr_vcpus = 4, .nr_irqs = 64, .counter_offset = true };

/* Without a setting */

static void a_clock_goes_on_from_where_it_stopped(void **state)
{
	static const char *const clocks[] = { NULL, "continue" };

	for (size_t i = 0; i < COUNT(clocks); i++) {
		struct trip trip = dumped_ago(plain, 1000 * SECOND);
		uint64_t passed[2];

		restore_with(&trip, clocks[i], passed);
		assert_int_equal(trip.copy->vtimer, trip.source->vtimer + LARGEST_SKEW);
		assert_int_equal(trip.copy->ptimer, trip.copy->host);
		trip_finish(&trip);
	}
}

/* KVM_VGIC_CLOCK=advance */

static void assert_advanced(uint64_t count, uint64_t from, const uint64_t passed[2])
{
	assert_true(count - from >= ticks(passed[0]));
	assert_true(count - from <= ticks(passed[1]));
}

static void a_clock_advances_by_the_time_that_has_passed(void **state)
{
	/* The last is longer than 64 bits have room for on the way. */
	static const uint64_t ago[] = { 0, 1, SECOND, 86400 * SECOND, 50 * 365 * 86400ull * SECOND };

	for (size_t i = 0; i < COUNT(ago); i++) {
		struct trip trip = dumped_ago(plain, ago[i]);
		uint64_t passed[2];

		restore_with(&trip, "advance", passed);
		assert_advanced(trip.copy->vtimer, trip.source->vtimer + LARGEST_SKEW, passed);
		assert_int_equal(trip.copy->ptimer, trip.copy->host);
		trip_finish(&trip);
	}
}

static void a_physical_counter_of_its_own_advances_too(void **state)
{
	struct trip trip = dumped_ago(plain, 3600 * SECOND);
	uint64_t passed[2];

	trip.source->ptimer_offset = trip.vm->ptimer_offset = true;
	restore_with(&trip, "advance", passed);
	assert_advanced(trip.copy->vtimer, trip.source->vtimer + LARGEST_SKEW, passed);
	assert_advanced(trip.copy->ptimer, trip.source->ptimer + LARGEST_SKEW, passed);
	trip_finish(&trip);
}

/* Time that runs backwards would be worse for a guest than time that stood still. */
static void a_clock_never_goes_back(void **state)
{
	struct trip trip = dumped_ago(plain, -3600 * (int64_t)SECOND);
	uint64_t passed[2];

	restore_with(&trip, "advance", passed);
	assert_int_equal(trip.copy->vtimer, trip.source->vtimer + LARGEST_SKEW);
	assert_true(log_has("vm 1: this host's clock is behind that of the dump"));
	trip_finish(&trip);
}

static void nobody_is_warned_of_a_clock_that_was_not_asked_for(void **state)
{
	struct trip trip = dumped_ago(plain, -3600 * (int64_t)SECOND);
	uint64_t passed[2];

	restore_with(&trip, NULL, passed);
	assert_false(log_has("clock"));
	trip_finish(&trip);
}

/* KVM_ARM_SET_COUNTER_OFFSET */

static void a_counter_offset_is_one_of_this_host(void **state)
{
	struct trip trip = dumped_ago(with_offset, SECOND);
	uint64_t passed[2];

	restore_with(&trip, NULL, passed);
	assert_true(trip.copy->counter_offset);
	assert_int_equal(trip.copy->vtimer, trip.source->vtimer + LARGEST_SKEW);
	assert_int_equal(trip.copy->ptimer, trip.copy->vtimer);
	assert_int_equal(fake_count(trip.copy, "vm: KVM_ARM_SET_COUNTER_OFFSET = 0"), 1);
	assert_int_equal(fake_count(trip.copy, "vm: KVM_ARM_SET_COUNTER_OFFSET*"), 2);
	assert_int_equal(fake_count(trip.copy, "*KVM_SET_ONE_REG 0x603000000013df1a*"), 0);
	assert_int_equal(fake_count(trip.copy, "*KVM_SET_ONE_REG 0x603000000013df01*"), 0);
	trip_finish(&trip);
}

static void a_counter_offset_advances(void **state)
{
	struct trip trip = dumped_ago(with_offset, 86400 * SECOND);
	uint64_t passed[2];

	restore_with(&trip, "advance", passed);
	assert_advanced(trip.copy->vtimer, trip.source->vtimer + LARGEST_SKEW, passed);
	assert_int_equal(trip.copy->ptimer, trip.copy->vtimer);
	trip_finish(&trip);
}

/* A host that was booted a moment ago counts less than the guest does: the offset is then a negative one. */
static void a_counter_offset_of_a_young_host_is_negative(void **state)
{
	struct trip trip = dumped_ago(with_offset, SECOND);
	uint64_t passed[2];

	trip.copy->host = trip.copy->ptimer = 1000;
	restore_with(&trip, NULL, passed);
	assert_int_equal(trip.copy->vtimer, trip.source->vtimer + LARGEST_SKEW);
	assert_int_equal(fake_count(trip.copy, "vm: KVM_ARM_SET_COUNTER_OFFSET = 0xffff*"), 1);
	trip_finish(&trip);
}

static void a_host_that_refuses_an_offset_is_named(void **state)
{
	for (size_t call = 0; call < 2; call++) {
		struct trip trip = dumped_ago(with_offset, 0);

		trip.copy->fail_like = call ? "vm: KVM_ARM_SET_COUNTER_OFFSET = 0x?*" : "vm: KVM_ARM_SET_COUNTER_OFFSET*";
		trip.copy->fail_times = 1;
		trip.copy->fail_errno = EBUSY;
		assert_int_equal(trip_restore(&trip), -EBUSY);
		assert_true(log_has("vm 1: guest counters: KVM_ARM_SET_COUNTER_OFFSET"));
		trip_finish(&trip);
	}
}

/* At the dump */

static void the_time_of_the_dump_is_kept(void **state)
{
	uint64_t before = now();
	struct trip trip = trip_dump(fake_running(plain));

	assert_in_range(trip.vm->realtime, before, now());
	assert_int_equal(trip.vm->cntfrq, counter_frequency());
	trip_finish(&trip);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_clock_goes_on_from_where_it_stopped),
		cmocka_unit_test(a_clock_advances_by_the_time_that_has_passed),
		cmocka_unit_test(a_physical_counter_of_its_own_advances_too),
		cmocka_unit_test(a_clock_never_goes_back),
		cmocka_unit_test(nobody_is_warned_of_a_clock_that_was_not_asked_for),
		cmocka_unit_test(a_counter_offset_is_one_of_this_host),
		cmocka_unit_test(a_counter_offset_advances),
		cmocka_unit_test(a_counter_offset_of_a_young_host_is_negative),
		cmocka_unit_test(a_host_that_refuses_an_offset_is_named),
		cmocka_unit_test(the_time_of_the_dump_is_kept),
	};

	unsetenv("KVM_VGIC_CLOCK");
	return cmocka_run_group_tests_name("guest counters", tests, NULL, NULL);
}
