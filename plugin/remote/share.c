// SPDX-License-Identifier: GPL-2.0-only
/* See share.h. */
#include <errno.h>
#include <sys/syscall.h>

#include "remote/share.h"
#include "remote/slots.h"

/* The next @nr of those at @call. */
static void count_calls(const struct remote_call *call, size_t nr)
{
	for (size_t n; nr; nr -= n, call++) {
		n = remote_call_left(call) < nr ? remote_call_left(call) : nr;
		lane_count_calls(n, call->nr == SYS_ioctl ? n : 0);
	}
}

/* Calls that one thread makes, as many at once as there is room for. */
struct share {
	struct lane *lane;
	struct remote_call *calls;
	size_t nr;
	struct slots slots;
	bool stopped; /* one has failed, and those behind it are not made */
};

/* Lays out what comes next, and says how that is run. 0 or a negative errno. */
static int prepare(struct share *share, struct lane_run *run)
{
	struct lane *lane = share->lane;

	share->slots = slots_fit(share->calls, share->nr, lane->size);
	if (!share->slots.nr)
		return -E2BIG;
	slots_lay_out(lane->mirror, lane->scratch, share->calls, &share->slots);
	*run = lane_batch(lane, share->slots.nr, share->slots.answers);
	return lane_write(lane, share->slots.used);
}

static int collect(struct share *share, const struct lane_run *run)
{
	size_t nr = share->slots.nr, left = run->regs.regs[20], executed;
	int ret;

	if (left > nr)
		return -EFAULT;
	/* In two ways: what the calls have answered is nowhere else, and new fds would stay. */
	ret = lane_read(share->lane, share->slots.answers);
	if (ret)
		return ret;
	share->stopped = left > 0;
	executed = share->stopped ? nr - left + 1 : nr;
	count_calls(share->calls, executed);
	slots_collect(share->lane->mirror, share->calls, &share->slots, executed);
	for (; share->nr && !remote_call_left(share->calls); share->nr--)
		share->calls++;
	return 0;
}

/* What comes next of each of @shares, at most MAX_LANES. */
static int exec_next(struct share *const shares[], size_t nr, struct beside *beside)
{
	struct beside now = *beside;
	struct lane_run runs[MAX_LANES];
	int ret = 0;

	for (size_t i = 0; i < nr && !ret; i++)
		ret = prepare(shares[i], &runs[i]);
	if (ret)
		return ret;
	/* Whose it is has gone when another call is made, should these not begin. */
	*beside = (struct beside){ 0 };
	ret = lane_run_all(runs, nr, &now);
	for (size_t i = 0; i < nr && !ret; i++)
		ret = collect(shares[i], &runs[i]);
	return ret;
}

static int exec_alone(struct share *share, struct beside *beside)
{
	int ret = 0;

	while (!ret && share->nr && !share->stopped)
		ret = exec_next((struct share *[]){ share }, 1, beside);
	return ret;
}

/* Both at once, as long as both go on. Of the first share all is made that can be: the call that is told is the first that has failed. */
static int exec_both(struct share *first, struct share *second, struct beside *beside)
{
	int ret = 0;

	while (!ret && first->nr && second->nr && !first->stopped && !second->stopped)
		ret = exec_next((struct share *[]){ first, second }, 2, beside);
	ret = ret ?: exec_alone(first, beside);
	return ret || first->stopped ? ret : exec_alone(second, beside);
}

#define ENOUGH_CALLS 400 /* for two threads: to set another going takes as long as some dozen calls */

/* How many of the first of @calls may be made in any order of their vCPUs; and *@all, the calls that these are. */
static size_t count_free(const struct remote_call *calls, size_t nr, size_t *all)
{
	size_t n;

	*all = 0;
	for (n = 0; n < nr && calls[n].any_order; n++)
		*all += remote_call_left(&calls[n]);
	return n;
}

/* Where in @calls, @all of them, the vCPU changes, as near to the middle as it does; or 0, nowhere. */
static size_t middle(const struct remote_call *calls, size_t nr, size_t all)
{
	size_t best = 0, off = all, before = 0;

	for (size_t i = 1; i < nr; i++) {
		size_t now;

		before += remote_call_left(&calls[i - 1]);
		now = 2 * before > all ? 2 * before - all : all - 2 * before;
		if (calls[i].vcpu != calls[i - 1].vcpu && now < off) {
			best = i;
			off = now;
		}
	}
	return best;
}

/* How many of the first of @calls are made together; and *@half, how many of these by the first of two threads, or 0: all. */
static size_t next_part(const struct remote_call *calls, size_t nr, bool two, size_t *half)
{
	size_t n = 0;

	*half = 0;
	while (n < nr) {
		size_t all, free = count_free(calls + n, nr - n, &all);

		if (two && all >= ENOUGH_CALLS) {
			*half = n ? 0 : middle(calls, free, all);
			if (n || *half)
				return n ?: free;
		}
		n += free ?: 1;
	}
	return n;
}

int share_exec(struct lane *first, struct lane *second, struct remote_call *calls, size_t nr, struct beside *beside)
{
	int ret = 0;

	for (size_t n, half; nr && !ret; nr -= n, calls += n) {
		struct share a, b;

		n = next_part(calls, nr, second, &half);
		a = (struct share){ .lane = first, .calls = calls, .nr = half ?: n };
		b = (struct share){ .lane = second, .calls = calls + half, .nr = n - half };
		ret = half ? exec_both(&a, &b, beside) : exec_alone(&a, beside);
		if (a.stopped || (half && b.stopped))
			break;
	}
	return ret;
}
