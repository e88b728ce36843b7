/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls as batch_code.S reads them, in memory of the task's: laid out, and taken back. */
#ifndef KVM_VGIC_REMOTE_SLOTS_H
#define KVM_VGIC_REMOTE_SLOTS_H

#include <stddef.h>
#include <stdint.h>

#include "remote/remote.h"

/* Calls that are laid out together: what is left of the first ones of a list, each of a run counted. */
struct slots {
	size_t nr;
	/* In bytes from the beginning, where each ends: results; what the calls answer; the slots; what they only read, which is all. */
	uint32_t results, answers, slots, used;
};

/* As many of the calls that are left of @calls as fit into @room bytes at once. */
struct slots slots_fit(const struct remote_call *calls, size_t nr, size_t room);

/* Lays them out in @mirror, as the task sees them at @scratch: all but the results. */
void slots_lay_out(uint8_t *mirror, uint64_t scratch, const struct remote_call *calls, const struct slots *slots);

/*
 * Takes back what the first @executed of the calls brought, from the first @slots->answers bytes of @mirror. The task, or who shares its
 * memory, may have written anything to these by now.
 */
void slots_collect(const uint8_t *mirror, struct remote_call *calls, const struct slots *slots, size_t executed);

/* Puts in @mirror what they have all answered, which have succeeded, where it cannot be read back any more: no may_fail, no answers. */
void slots_succeed(uint8_t *mirror, const struct remote_call *calls, const struct slots *slots);

#endif
