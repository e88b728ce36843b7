/* SPDX-License-Identifier: GPL-2.0-only */
/* The code that runs inside the task: what it is given, and where its ends are. */
#ifndef KVM_VGIC_BATCH_CODE_H
#define KVM_VGIC_BATCH_CODE_H

#include <stdint.h>

/*
 * Calls as the loop reads them: any; or a run of ioctl()s, of which the third argument is the address of @arg, and which differ in
 * one of these, a number, and in the next, the address of a value, alone. The upper half of the first u64 tells them apart: a
 * request is not 0. A run is made of one struct, not of one for each call, for thousands would be copied.
 *
 * @may_fail is the errno that does not end the loop, or 0; @whole, what a call that does not fail has to answer, or 0. Results, an int64_t for each call, stand apart: they are read back, these
 * are not.
 */
struct batch_slot {
	uint64_t nr;
	uint64_t arg[6];
	uint32_t may_fail, whole;
};
_Static_assert(sizeof(struct batch_slot) == 64, "batch_code.S steps by 64");

struct batch_run {
	uint32_t fd, request;
	uint64_t arg[3];		/* of the first call; the loop makes them those of the next */
	uint32_t nr, may_fail;
	uint64_t numbers;		/* the address of all numbers; or 0: each is @number_step more than the one before */
	uint64_t number_step;
	uint32_t value_step, number_at; /* bytes; @number_at from the beginning of this struct */
};
_Static_assert(sizeof(struct batch_run) == 64, "batch_code.S steps by 64");

/* All of it, and where in it is begun and stopped. */
extern const uint32_t task_code[], task_code_end[], one_call[], one_call_stop[], batch_code[];

#endif
