// SPDX-License-Identifier: GPL-2.0-only
/* See slots.h. Slots first, then what each call points to, in their order. */
#include <string.h>

#include "remote/batch_code.h"
#include "remote/slots.h"

static uint32_t align16(uint32_t size)
{
	return (size + 15) & ~15u;
}

static uint32_t call_size(const struct remote_call *call)
{
	return align16(call->size) + align16(call->inner_size);
}

size_t slots_fit(const struct remote_call *calls, size_t nr, size_t room)
{
	uint64_t used = 0;
	size_t n;

	for (n = 0; n < nr; n++) {
		used += sizeof(struct batch_slot) + call_size(&calls[n]);
		if (used > room)
			break;
	}
	return n;
}

uint32_t slots_lay_out(uint8_t *mirror, uint64_t scratch, const struct remote_call *calls, size_t nr)
{
	struct batch_slot *slot = (struct batch_slot *)mirror;
	uint32_t at = nr * sizeof(*slot);

	for (size_t i = 0; i < nr; i++) {
		const struct remote_call *call = &calls[i];

		slot[i].nr = call->nr;
		memcpy(slot[i].arg, call->arg, sizeof(slot[i].arg));
		slot[i].result = call->may_fail;
		if (!call->data)
			continue;
		slot[i].arg[call->data_arg] = scratch + at;
		memcpy(mirror + at, call->data, call->size);
		if (call->inner) {
			uint64_t inner = scratch + at + align16(call->size);

			memcpy(mirror + at + call->inner_at, &inner, sizeof(inner));
			memcpy(mirror + at + align16(call->size), call->inner, call->inner_size);
		}
		at += call_size(call);
	}
	return at;
}

void slots_collect(const uint8_t *mirror, struct remote_call *calls, size_t nr, size_t executed)
{
	const struct batch_slot *slot = (const struct batch_slot *)mirror;
	uint32_t at = nr * sizeof(*slot); /* not by the slot's argument: see slots.h */

	for (size_t i = 0; i < executed; i++) {
		struct remote_call *call = &calls[i];

		call->result = slot[i].result;
		call->done = true;
		if (!call->data)
			continue;
		/* Buffers that a call only reads come back as they went: const ones are const in truth too. */
		if (call->inner && call->writes_back)
			memcpy(call->inner, mirror + at + align16(call->size), call->inner_size);
		else if (call->writes_back)
			memcpy(call->data, mirror + at, call->size);
		at += call_size(call);
	}
}
