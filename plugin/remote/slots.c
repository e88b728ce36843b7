// SPDX-License-Identifier: GPL-2.0-only
/*
 * See slots.h. In this order: the results, which the task alone writes, and what the calls answer: both are read back; the slots, and
 * what the calls only read, which are not.
 */
#include <stddef.h>
#include <string.h>

#include "remote/batch_code.h"
#include "remote/slots.h"

static uint32_t align8(uint32_t size)
{
	return (size + 7) & ~7u;
}

/* @nr values of @size bytes, by steps of so many. Most are as small as that: no call for them. */
static void copy(void *to, uint32_t to_step, const void *from, uint32_t from_step, uint32_t size, uint32_t nr)
{
	char *t = to;
	const char *f = from;

	if (size == sizeof(uint64_t))
		for (; nr--; t += to_step, f += from_step)
			memcpy(t, f, sizeof(uint64_t));
	else if (size == sizeof(uint32_t))
		for (; nr--; t += to_step, f += from_step)
			memcpy(t, f, sizeof(uint32_t));
	else if (size)
		for (; nr--; t += to_step, f += from_step)
			memcpy(t, f, size);
}

/* What @call, or the first of a run, answers in; and the bytes of that, of each. */
static void *answer_of(const struct remote_call *call)
{
	return call->inner ?: call->data;
}

static uint32_t answer_size(const struct remote_call *call)
{
	if (!call->writes_back || !call->data)
		return 0;
	return call->inner ? call->inner_size : call->size;
}

#define SLOT_SIZE sizeof(struct batch_slot)

/* Whether each call of it has a number of its own, which is written beside it. */
static bool has_numbers(const struct remote_call *call)
{
	return call->more && call->numbers;
}

/* How many calls of @call, at most @max, are to be made next. */
static size_t next_of(const struct remote_call *call, size_t max)
{
	uint32_t left = remote_call_left(call);

	return left < max ? left : max;
}

struct slots slots_fit(const struct remote_call *calls, size_t nr, size_t room)
{
	struct slots fit = { 0 };

	for (size_t i = 0; i < nr; i++) {
		const struct remote_call *call = &calls[i];
		uint32_t answer = sizeof(int64_t) + align8(answer_size(call));
		uint64_t all = sizeof(int64_t) + (uint64_t)align8(call->size) + align8(call->inner_size) +
			       (has_numbers(call) ? sizeof(uint64_t) : 0);
		size_t left = room - fit.used, n = left > SLOT_SIZE ? next_of(call, (left - SLOT_SIZE) / all) : 0;

		if (!n && remote_call_left(call))
			break;
		if (!n)
			continue;
		fit.nr += n;
		fit.answers += n * answer;
		fit.slots += SLOT_SIZE;
		fit.used += SLOT_SIZE + n * all;
		if (n < remote_call_left(call))
			break;
	}
	fit.results = fit.nr * sizeof(int64_t);
	fit.slots += fit.answers;
	return fit;
}

struct layout {
	uint8_t *mirror;
	uint64_t scratch;
	uint32_t answers, slots, inputs; /* where the next of each begins */
};

/* The next @nr calls of @call, or of the run that it is. */
static void lay_out_run(struct layout *l, const struct remote_call *call, uint32_t nr)
{
	struct batch_run *run = (struct batch_run *)(l->mirror + l->slots);
	const unsigned int number = call->data_arg - 4; /* of its arguments; the value's address is the next */
	const uint32_t step = align8(call->size), stride = call->stride;
	uint32_t *next = call->writes_back ? &l->answers : &l->inputs;

	*run = (struct batch_run){ .fd = call->arg[0], .request = call->arg[1], .nr = nr, .may_fail = call->may_fail,
				   .number_step = call->number_stride };
	run->number_at = offsetof(struct batch_run, arg) + number * sizeof(run->arg[0]);
	memcpy(run->arg, &call->arg[3], sizeof(run->arg));
	if (call->more)
		run->arg[number] = remote_call_number(call, call->made);
	if (call->data) {
		run->value_step = step;
		run->arg[number + 1] = l->scratch + *next;
		copy(l->mirror + *next, step, (const char *)call->data + (size_t)call->made * stride, stride, call->size, nr);
		*next += nr * step;
	}
	if (has_numbers(call)) {
		run->numbers = l->scratch + l->inputs;
		copy(l->mirror + l->inputs, sizeof(uint64_t), (const char *)call->numbers + (size_t)call->made * stride, stride,
		     sizeof(uint64_t), nr);
		l->inputs += nr * sizeof(uint64_t);
	}
	l->slots += sizeof(*run);
}

/* Gives @data a place, and returns where. */
static uint32_t place(struct layout *l, const void *data, uint32_t size, bool is_answer)
{
	uint32_t *next = is_answer ? &l->answers : &l->inputs, at = *next;

	copy(l->mirror + at, 0, data, 0, size, 1);
	*next += align8(size);
	return at;
}

static void lay_out_call(struct layout *l, const struct remote_call *call)
{
	struct batch_slot *slot = (struct batch_slot *)(l->mirror + l->slots);
	uint64_t inner;
	uint32_t at;

	l->slots += sizeof(*slot);
	slot->nr = call->nr;
	slot->may_fail = call->may_fail;
	slot->whole = remote_call_whole(call);
	memcpy(slot->arg, call->arg, sizeof(slot->arg));
	if (!call->data)
		return;
	at = place(l, call->data, call->size, call->writes_back && !call->inner);
	slot->arg[call->data_arg] = l->scratch + at;
	if (call->also_arg)
		slot->arg[call->also_arg] = l->scratch + at + call->also_at;
	if (!call->inner)
		return;
	inner = l->scratch + place(l, call->inner, call->inner_size, call->writes_back);
	memcpy(l->mirror + at + call->inner_at, &inner, sizeof(inner));
}

void slots_lay_out(uint8_t *mirror, uint64_t scratch, const struct remote_call *call, const struct slots *slots)
{
	struct layout l = {
		.mirror = mirror,
		.scratch = scratch,
		.answers = slots->results,
		.slots = slots->answers,
		.inputs = slots->slots,
	};

	for (size_t left = slots->nr, n; left; left -= n, call++) {
		n = next_of(call, left);
		if (n && call->arg_2_is_rest)
			lay_out_run(&l, call, n);
		else if (n)
			lay_out_call(&l, call);
	}
}

void slots_succeed(uint8_t *mirror, const struct remote_call *call, const struct slots *slots)
{
	int64_t *result = (int64_t *)mirror;

	for (size_t left = slots->nr, n; left; left -= n, call++) {
		n = next_of(call, left);
		for (size_t i = 0; i < n; i++)
			*result++ = remote_call_whole(call);
	}
}

/* What the next @nr calls of @call have brought. Returns the bytes of @answers that were theirs. */
static uint32_t collect(struct remote_call *call, uint32_t nr, const int64_t *result, const uint8_t *answers)
{
	const uint32_t size = answer_size(call), step = align8(size);

	/* Buffers that a call only reads stay as they are: const ones are const in truth too. */
	if (size)
		copy((char *)answer_of(call) + (size_t)call->made * call->stride, call->stride, answers, step, size, nr);
	remote_call_made(call, result, nr);
	return nr * step;
}

void slots_collect(const uint8_t *mirror, struct remote_call *call, const struct slots *slots, size_t executed)
{
	const int64_t *result = (const int64_t *)mirror;
	uint32_t at = slots->results; /* not by the slot's argument: see slots.h */

	for (size_t left = executed, n; left; left -= n, result += n, call++) {
		n = next_of(call, left);
		at += collect(call, n, result, mirror + at);
	}
}
