// SPDX-License-Identifier: GPL-2.0-only
/* See lane.h, and batch_code.S for what is run. */
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "clock.h"
#include "remote/batch_code.h"
#include "remote/lane.h"
#include "remote/task.h"

static struct task_remote_use use;

struct task_remote_use task_remote_used(void)
{
	return use;
}

void lane_count_calls(uint64_t calls, uint64_t ioctls)
{
	use.calls += calls;
	use.ioctls += ioctls;
}

/* Where @label of task_code stands in the task. */
static uint64_t code_at(const struct lane *lane, const uint32_t *label)
{
	return lane->entry + (label - task_code) * sizeof(*label);
}

struct lane_run lane_call(struct lane *lane, long nr, const uint64_t arg[6])
{
	struct lane_run run = { .lane = lane, .regs = lane->held.regs };

	run.regs.regs[8] = nr;
	run.regs.regs[26] = 0;
	memcpy(run.regs.regs, arg, 6 * sizeof(*arg));
	run.regs.pc = code_at(lane, one_call);
	return run;
}

struct lane_run lane_batch(struct lane *lane, size_t nr, uint32_t first_slot)
{
	struct lane_run run = { .lane = lane, .regs = lane->held.regs };

	run.regs.regs[19] = lane->scratch + first_slot;
	run.regs.regs[20] = nr;
	run.regs.regs[25] = lane->scratch;
	run.regs.pc = code_at(lane, batch_code);
	return run;
}

/* Its memory is left to its own way back to unmap. */
static int begin(struct lane_run *run)
{
	struct lane *lane = run->lane;

	run->regs.regs[23] = lane->scratch;
	run->regs.regs[24] = lane->filtered ? 0 : lane->mapped;
	return held_begin(&lane->held, &run->regs);
}

int lane_run_all(struct lane_run *runs, size_t nr, struct beside *beside)
{
	int ret = 0;

	use.trips++;
	use.us -= clock_us();
	for (size_t i = 0; i < nr; i++) {
		runs[i].ret = begin(&runs[i]);
		ret = ret ?: runs[i].ret;
	}
	if (beside && !ret)
		beside_run(beside);
	ret = 0;
	for (size_t i = 0; i < nr; i++) {
		if (!runs[i].ret)
			runs[i].ret = held_end(&runs[i].lane->held, &runs[i].regs, code_at(runs[i].lane, one_call_stop));
		ret = ret ?: runs[i].ret;
	}
	use.us += clock_us();
	return ret;
}

int64_t lane_result(const struct lane_run *run)
{
	return run->ret ?: (int64_t)run->regs.regs[20];
}

struct lane_run lane_map(struct lane *lane, size_t room)
{
	struct lane_run run;

	lane->mapped = lane->size + room;
	run = lane_call(lane, SYS_mmap, (uint64_t[]){ 0, lane->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 });
	run.regs.regs[26] = lane->size;
	return run;
}

int lane_mapped(const struct lane_run *run)
{
	int64_t addr = lane_result(run);

	lane_count_calls(2, 0);
	if (addr < 0)
		return addr;
	run->lane->scratch = addr;
	run->lane->ready = !run->regs.regs[27];
	return run->regs.regs[27];
}

static struct lane_run unmapping(struct lane *lane, uint64_t size)
{
	lane->mapped = 0; /* once is enough: somebody else's may be there at once */
	return lane_call(lane, SYS_munmap, (uint64_t[6]){ lane->scratch, size });
}

static int unmapped(const struct lane_run *run)
{
	lane_count_calls(1, 0);
	return lane_result(run);
}

/* All at once; and tried again where that fails. */
int lane_unmap_all(struct lane *const lanes[], size_t nr)
{
	struct lane_run runs[MAX_LANES];
	uint64_t size[MAX_LANES];
	int ret = 0, err;

	for (size_t i = 0; i < nr; i++) {
		size[i] = lanes[i]->mapped;
		runs[i] = unmapping(lanes[i], size[i]);
	}
	lane_run_all(runs, nr, NULL);
	for (size_t i = 0; i < nr; i++) {
		if (!unmapped(&runs[i]))
			continue;
		runs[i] = unmapping(lanes[i], size[i]);
		lane_run_all(&runs[i], 1, NULL);
		err = unmapped(&runs[i]);
		ret = ret ?: err;
	}
	return ret;
}

/*
 * The scratch area is anonymous memory that is there: process_vm_writev() copies it at once, /proc/PID/mem page by page and by
 * way of a page of the kernel's. What the first does not, for whatever reason, the second tries, and tells.
 */
int lane_write(struct lane *lane, size_t size)
{
	struct iovec here = { lane->mirror, size }, there = { (void *)lane->scratch, size };

	if (process_vm_writev(lane->held.pid, &here, 1, &there, 1, 0) == (ssize_t)size)
		return 0;
	return held_write(&lane->held, lane->scratch, lane->mirror, size);
}

int lane_read(struct lane *lane, size_t size)
{
	struct iovec here = { lane->mirror, size }, there = { (void *)lane->scratch, size };

	if (process_vm_readv(lane->held.pid, &here, 1, &there, 1, 0) == (ssize_t)size)
		return 0;
	return held_read(&lane->held, lane->scratch, lane->mirror, size);
}
