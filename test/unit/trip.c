// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "testlog.h"
#include "trip.h"

void trip_finish(struct trip *trip)
{
	vm_state_free(trip->vm);
	fake_free(trip->source);
	fake_free(trip->copy);
	memset(trip, 0, sizeof(*trip));
}

struct trip trip_dump(struct fake_kvm *source)
{
	struct trip trip = { .source = source };

	log_reset();
	trip.vm = fake_dump(source);
	trip.copy = fake_created(source, trip.vm);
	return trip;
}

int trip_restore(struct trip *trip)
{
	log_reset();
	return plan_run(plan_restore, plan_nr_restore, trip->vm, &trip->copy->remote);
}

void trip_assert_same(const struct trip *trip)
{
	const char *diff = fake_diff(trip->source, trip->copy);

	if (diff)
		fail_msg("the copy differs in: %s", diff);
}

void trip_assert_comes_back(struct fake_kvm *source)
{
	struct trip trip = trip_dump(source);

	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(log_errors(), 0);
	trip_assert_same(&trip);
	trip_finish(&trip);
}
