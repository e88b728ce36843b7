/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads of a stopped task in which calls are made, each with memory of its own for them. */
#ifndef KVM_VGIC_REMOTE_LANE_H
#define KVM_VGIC_REMOTE_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/beside.h"
#include "remote/held.h"

/*
 * The memory is nobody else's: a thread that is left alone, criu having been killed, unmaps it when it is done with it, and no other
 * waits, nor is waited for.
 */
struct lane {
	struct held held;
	uint64_t entry;	  /* where task_code stands in its text */
	size_t size;	  /* bytes of the scratch area; 0: the thread is not held */
	uint64_t scratch; /* remote address of that, what else is ours follows; 0: not mapped */
	uint64_t mapped;  /* bytes from there, that are to go should criu be killed */
	bool filtered;	  /* its seccomp filter holds again then, and may know no munmap() */
	bool ready;	  /* calls can be laid out in it */
	uint8_t *mirror;  /* local copy of the scratch area */
};

#define MAX_LANES 2

/* What one thread does of a round trip: from @regs, which are what it has at the end. */
struct lane_run {
	struct lane *lane;
	struct user_regs_struct regs;
	int ret; /* 0, or a negative errno: it has not run to its end */
};

/* By one_call, system call @nr; or by batch_code, as many slots as are laid out. */
struct lane_run lane_call(struct lane *lane, long nr, const uint64_t arg[6]);
struct lane_run lane_batch(struct lane *lane, size_t nr, uint32_t first_slot);

/*
 * One round trip: all of them at once, each with a lane of its own, and @beside meanwhile, where that is not NULL and they have begun. 0
 * or the negative errno of the first that has failed; each has its own.
 */
int lane_run_all(struct lane_run *runs, size_t nr, struct beside *beside);

/* What lane_call() has come to: the kernel's result, or -EFAULT and the like. */
int64_t lane_result(const struct lane_run *run);

/*
 * mmap() of its memory, with @room bytes behind it, which are address space alone: no limit but that of it counts them, and they are no
 * neighbour's to merge with. lane_mapped() is for what came of it: 0 or a negative errno.
 */
struct lane_run lane_map(struct lane *lane, size_t room);
int lane_mapped(const struct lane_run *run);

/* The memory of @lanes, at most MAX_LANES, is unmapped, each by its own. 0 or a negative errno. */
int lane_unmap_all(struct lane *const lanes[], size_t nr);

/* The first @size bytes of the scratch area, from the mirror or to it. 0 or a negative errno. */
int lane_write(struct lane *lane, size_t size);
int lane_read(struct lane *lane, size_t size);

/* For task_remote_used(): calls that were made, @ioctls of them such. */
void lane_count_calls(uint64_t calls, uint64_t ioctls);

#endif
