// SPDX-License-Identifier: GPL-2.0-only
/* What a batch brings is what its calls have written, whatever somebody else has written beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "remote/batch_code.h"
#include "remote/slots.h"

#define SCRATCH 0xffff80000000ull
#define NR 4

static uint64_t value, other, inner;
static char text[24];
static struct remote_call calls[NR];
static _Alignas(16) uint8_t mirror[4096];

static int set_up(void **state)
{
	value = other = inner = 0;
	memset(mirror, 0, sizeof(mirror));
	memcpy(calls,
	       (struct remote_call[NR]){
		       { .nr = 1, .data_arg = 2, .data = &value, .size = sizeof(value), .writes_back = true },
		       { .nr = 2, .arg = { 5, 6 } },
		       { .nr = 3, .data_arg = 1, .data = text, .size = sizeof(text), .inner = &inner, .inner_size = sizeof(inner),
			 .inner_at = 8, .writes_back = true },
		       { .nr = 4, .data_arg = 2, .data = &other, .size = sizeof(other), .writes_back = true, .may_fail = 2 },
	       },
	       sizeof(calls));
	return 0;
}

static struct batch_slot *slot(size_t i)
{
	return (struct batch_slot *)mirror + i;
}

/* Where an address of the task's is in the mirror. */
static void *there(uint64_t addr)
{
	assert_in_range(addr, SCRATCH, SCRATCH + sizeof(mirror) - 1);
	return mirror + (addr - SCRATCH);
}

/* As the calls do. */
static void answer(void)
{
	uint64_t at;

	memcpy(there(slot(0)->arg[2]), &(uint64_t){ 0x11 }, 8);
	memcpy(&at, (char *)there(slot(2)->arg[1]) + 8, sizeof(at));
	memcpy(there(at), &(uint64_t){ 0x33 }, 8);
	memcpy(there(slot(3)->arg[2]), &(uint64_t){ 0x44 }, 8);
	for (size_t i = 0; i < NR; i++)
		slot(i)->result = i;
}

static void assert_answered(void)
{
	for (size_t i = 0; i < NR; i++) {
		assert_true(calls[i].done);
		assert_int_equal(calls[i].result, i);
	}
	assert_int_equal(value, 0x11);
	assert_int_equal(inner, 0x33);
	assert_int_equal(other, 0x44);
}

static void each_call_has_its_answer(void **state)
{
	uint32_t used = slots_lay_out(mirror, SCRATCH, calls, NR);

	assert_int_equal(used, NR * sizeof(struct batch_slot) + 16 + 32 + 16 + 16);
	assert_int_equal(slots_fit(calls, NR, used), NR);
	assert_int_equal(slots_fit(calls, NR, used - 1), NR - 1);
	assert_int_equal(slot(1)->arg[1], 6);
	assert_int_equal(slot(3)->result, 2);
	answer();
	slots_collect(mirror, calls, NR, NR);
	assert_answered();
}

static void what_was_not_executed_has_none(void **state)
{
	slots_lay_out(mirror, SCRATCH, calls, NR);
	answer();
	slots_collect(mirror, calls, NR, 1);
	assert_true(calls[0].done);
	assert_false(calls[1].done);
	assert_int_equal(value, 0x11);
	assert_int_equal(other, 0);
}

/* Who shares the memory writes addresses to the slots: criu's own memory is not to be read by them. */
static void an_address_that_was_changed_is_not_followed(void **state)
{
	slots_lay_out(mirror, SCRATCH, calls, NR);
	answer();
	for (size_t i = 0; i < NR; i++)
		memset(slot(i)->arg, 0x7f, sizeof(slot(i)->arg));
	slots_collect(mirror, calls, NR, NR);
	assert_answered();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_call_has_its_answer, set_up),
		cmocka_unit_test_setup(what_was_not_executed_has_none, set_up),
		cmocka_unit_test_setup(an_address_that_was_changed_is_not_followed, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
