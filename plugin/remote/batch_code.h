/* SPDX-License-Identifier: GPL-2.0-only */
/* The code that runs inside the task: what it is given, and where its ends are. */
#ifndef KVM_VGIC_BATCH_CODE_H
#define KVM_VGIC_BATCH_CODE_H

#include <stdint.h>

/*
 * One call as the loop reads it: any, or an ioctl() whose third argument is the address of what follows the first two. The upper
 * half of the first u64 tells them apart: a request is not 0.
 *
 * Results, an int64_t for each call, stand apart: they are read back, slots are not. A result is also an input: the errno that does
 * not end the loop, or 0.
 */
struct batch_slot {
	uint64_t nr;
	uint64_t arg[6];
};
_Static_assert(sizeof(struct batch_slot) == 56, "batch_code.S steps by 56");

struct batch_ioctl {
	uint32_t fd, request;
	uint64_t arg[3];
};
_Static_assert(sizeof(struct batch_ioctl) == 32, "batch_code.S steps by 32");

/* All of it, and where in it is begun and stopped. */
extern const uint32_t task_code[], task_code_end[], one_call[], one_call_stop[], batch_code[];

#endif
