// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls in a stopped arm64 task, by ptrace.
 *
 * Not by libcompel: its functions changed their arguments under the same names
 * between CRIU 4.1.1, 4.2.1 and 4.3, its waits have no time limit, and preparing
 * a task leaks a socket. One plugin binary serves all three.
 *
 * While a session is open the task never stands where it could not go on alone: see
 * batch_code.S and held.h.
 */
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "log.h"
#include "probe/area.h"
#include "probe/proc.h"
#include "remote/batch_code.h"
#include "remote/bring.h"
#include "remote/held.h"
#include "remote/served.h"
#include "remote/slots.h"
#include "remote/task.h"
#include "remote/trace.h"

/* The words of task_code, as POKEDATA writes them. */
#define CODE_WORDS 21

/*
 * A thread of the task's that makes calls, and the memory for these. Nobody else's: a thread that is left alone, criu having been
 * killed, unmaps that when it is done with it, and no other waits.
 */
struct lane {
	struct held held;
	size_t size;	  /* bytes of the scratch area; 0: the thread is not held */
	uint64_t scratch; /* remote address of that, what else is ours follows; 0: not mapped */
	uint64_t mapped;  /* bytes from there, that are to go should criu be killed */
	bool filtered;	  /* its seccomp filter holds again then, and may know no munmap() */
	bool ready;	  /* calls can be laid out in it */
	uint8_t *mirror;  /* local copy of the scratch area */
};

struct task_remote {
	struct remote remote;
	struct lane first;  /* its first thread: makes all calls but those that */
	struct lane second; /* another one makes at the same time */
	int mem;	    /* /proc/PID/mem */

	uint64_t entry;			  /* where task_code stands in its text */
	uint64_t entry_words[CODE_WORDS]; /* what stood there */

	struct task_space space;
	bool other_away; /* a third thread did not come back, and has still to return into our text */
	struct served served; /* of the process as it was */
};

static struct task_remote_use use;

struct task_remote_use task_remote_used(void)
{
	return use;
}

static void count_call(long nr)
{
	use.calls++;
	use.ioctls += nr == SYS_ioctl;
}

static struct task_remote *to_task(struct remote *remote)
{
	return (struct task_remote *)remote;
}

/* Where @label of task_code stands in the task. */
static uint64_t code_at(const struct task_remote *task, const uint32_t *label)
{
	return task->entry + (label - task_code) * sizeof(*label);
}

/* What one thread does of a round trip: from @regs, which are what it has at the end. */
struct run {
	struct lane *lane;
	struct user_regs_struct regs;
	int ret; /* 0, or a negative errno: it has not run to its end */
};

/* Its memory is left to its own way back to unmap. */
static int begin(struct run *run)
{
	struct lane *lane = run->lane;

	run->regs.regs[23] = lane->scratch;
	run->regs.regs[24] = lane->filtered ? 0 : lane->mapped;
	return held_begin(&lane->held, &run->regs);
}

/* One round trip: all of them at once, and @beside meanwhile, where that is not NULL and they have begun. The first that has failed. */
static int run_all(const struct task_remote *task, struct run *runs, size_t nr, struct beside *beside)
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
			runs[i].ret = held_end(&runs[i].lane->held, &runs[i].regs, code_at(task, one_call_stop));
		ret = ret ?: runs[i].ret;
	}
	use.us += clock_us();
	return ret;
}

/* A run of one system call by one_call. */
static struct run one(const struct task_remote *task, struct lane *lane, long nr, const uint64_t arg[6])
{
	struct run run = { .lane = lane, .regs = lane->held.regs };

	run.regs.regs[8] = nr;
	run.regs.regs[26] = 0;
	memcpy(run.regs.regs, arg, 6 * sizeof(*arg));
	run.regs.pc = code_at(task, one_call);
	return run;
}

/* 0 and *@result, as the kernel returns it, or a negative errno. */
static int run_one(struct task_remote *task, struct lane *lane, long nr, const uint64_t arg[6],
		   int64_t *result)
{
	struct run run = one(task, lane, nr, arg);
	int ret = run_all(task, &run, 1, NULL);

	count_call(nr);
	*result = run.regs.regs[20];
	return ret;
}

/* In the first thread. The kernel's result, or -EFAULT and the like. */
static int64_t run_syscall(struct task_remote *task, long nr, uint64_t a0, uint64_t a1, uint64_t a2,
			   uint64_t a3, uint64_t a4, uint64_t a5)
{
	int64_t result;
	int ret = run_one(task, &task->first, nr, (uint64_t[]){ a0, a1, a2, a3, a4, a5 }, &result);

	return ret ?: result;
}

static bool is_ours(const struct task_remote *task, uint64_t addr, size_t size)
{
	const struct lane *lane = &task->first;

	return addr >= lane->scratch && addr - lane->scratch <= lane->mapped &&
	       size <= lane->mapped - (addr - lane->scratch);
}

/* Whether no page of it waits for somebody: what we have mapped is anonymous or of a vCPU. */
static bool is_at_hand(const struct task_remote *task, uint64_t addr, size_t size)
{
	return !task->first.scratch || is_ours(task, addr, size) || !served_has(&task->served, addr, size);
}

/* In the scratch area, behind two struct iovec: what is copied. */
#define COPY_AT (2 * sizeof(struct iovec))

/*
 * Memory of the task's, which may be a file's: of a server that does not answer, or that stands still with the tree. The
 * task itself copies it to the scratch area or back, within the time that every call in it has; a pread() of
 * /proc/PID/mem has none. By @nr, process_vm_readv() or process_vm_writev().
 */
static int copy_by_task(struct task_remote *task, long nr, uint64_t addr, size_t size)
{
	const struct iovec iov[] = { { (void *)(task->first.scratch + COPY_AT), size }, { (void *)addr, size } };
	int ret = held_write(&task->first.held, task->first.scratch, iov, sizeof(iov));
	int64_t done;

	if (ret)
		return ret;
	done = run_syscall(task, nr, task->first.held.vpid, task->first.scratch, 1, task->first.scratch + sizeof(iov[0]), 1, 0);
	if (done == (int64_t)size)
		return 0;
	/* As pread() answers where nothing is mapped. */
	return done >= 0 || done == -EFAULT ? -EIO : (int)done;
}

static bool task_is_at_hand(struct remote *remote, uint64_t addr, size_t size)
{
	return is_at_hand(to_task(remote), addr, size);
}

static int task_read(struct remote *remote, uint64_t addr, void *buf, size_t size)
{
	struct task_remote *task = to_task(remote);
	const size_t max = task->first.size - COPY_AT;
	int ret = batch_flush(remote);

	if (!ret && is_at_hand(task, addr, size))
		return held_read(&task->first.held, addr, buf, size);
	for (size_t at = 0, n; at < size && !ret; at += n) {
		n = size - at < max ? size - at : max;
		ret = copy_by_task(task, SYS_process_vm_readv, addr + at, n);
		if (!ret)
			ret = held_read(&task->first.held, task->first.scratch + COPY_AT, (char *)buf + at, n);
	}
	return ret;
}

static int task_write(struct remote *remote, uint64_t addr, const void *buf, size_t size)
{
	struct task_remote *task = to_task(remote);
	const size_t max = task->first.size - COPY_AT;
	int ret = batch_flush(remote);

	if (!ret && is_at_hand(task, addr, size))
		return held_write(&task->first.held, addr, buf, size);
	for (size_t at = 0, n; at < size && !ret; at += n) {
		n = size - at < max ? size - at : max;
		ret = held_write(&task->first.held, task->first.scratch + COPY_AT, (const char *)buf + at, n);
		ret = ret ?: copy_by_task(task, SYS_process_vm_writev, addr + at, n);
	}
	return ret;
}

static void code_words(const struct task_remote *task, uint64_t words[CODE_WORDS])
{
	size_t size = code_at(task, task_code_end) - code_at(task, task_code);

	if (size > CODE_WORDS * sizeof(*words))
		abort(); /* batch_code.S has grown: so must CODE_WORDS */
	memset(words, 0, CODE_WORDS * sizeof(*words));
	memcpy(words, task_code, size);
}

/*
 * Whether the last words before @end, in the page's padding, are nobody's, or what a criu that was killed has left there: with a
 * place of its own for each such criu the task's own code would be what is left.
 */
static bool is_padding(struct task_remote *task, uint64_t end)
{
	uint64_t words[CODE_WORDS], code[CODE_WORDS];

	if (held_read(&task->first.held, end - sizeof(words), words, sizeof(words)))
		return false;
	code_words(task, code);
	for (size_t i = 0; i < CODE_WORDS; i++)
		if (words[i] && words[i] != code[i])
			return false;
	return true;
}

/* How good a place a mapping is, the lowest first; of a file, of which every process with a program has one. */
enum place { FILE_PADDING, OTHER_PADDING, FILE_START, OTHER_START, NO_PLACE };

/* In one that is shared the code would be everybody's. */
static enum place judge_place(struct task_remote *task, const char *line, uint64_t *addr)
{
	struct proc_area area;

	if (!proc_area_parse(line, &area) || !(area.prot & PROT_EXEC) || area.is_shared)
		return NO_PLACE;
	if (is_padding(task, area.end)) {
		*addr = area.end - CODE_WORDS * sizeof(uint64_t);
		return area.inode ? FILE_PADDING : OTHER_PADDING;
	}
	*addr = area.start;
	return area.inode ? FILE_START : OTHER_START;
}

/*
 * Where code can stand for a while in a private, executable mapping: behind the code of a file, where, should
 * criu be killed, what stays is in nobody's way; else in the vDSO's or a compiler's of the task's own, or at the start of one.
 */
static int find_text(struct task_remote *task)
{
	char path[32], *line = NULL;
	enum place best = NO_PLACE;
	size_t room = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", task->first.held.pid);
	maps = fopen(path, "re");
	if (!maps)
		return sys_err();
	while (best != FILE_PADDING && getline(&line, &room, maps) > 0) {
		uint64_t addr = 0; /* it is set where there is a place, which gcc -fanalyzer does not follow */
		enum place place = judge_place(task, line, &addr);

		if (place < best) {
			best = place;
			task->entry = addr;
		}
	}
	free(line);
	fclose(maps);
	return best == NO_PLACE ? -ENOENT : 0;
}

/*
 * Text may not be written to, and /proc/PID/mem does all the same: all of it at once. Where the kernel was told that it may not
 * (proc_mem.force_override) ptrace() does, a word at a time.
 */
static int write_text(struct task_remote *task, const uint64_t words[CODE_WORDS])
{
	const size_t size = CODE_WORDS * sizeof(*words);

	if (pwrite(task->mem, words, size, task->entry) == (ssize_t)size)
		return 0;
	return trace_poke(task->first.held.pid, task->entry, words, CODE_WORDS);
}

static int plant_entry(struct task_remote *task)
{
	uint64_t words[CODE_WORDS];
	int ret = find_text(task);

	code_words(task, words);
	if (!ret)
		ret = held_read(&task->first.held, task->entry, task->entry_words, sizeof(task->entry_words));
	if (ret)
		task->entry = 0;
	return ret ?: write_text(task, words);
}

/*
 * mmap() of @lane's memory, with @room bytes behind it. These are address space alone: no limit but that of it counts them, and they
 * are no neighbour's to merge with.
 */
static struct run mapping(const struct task_remote *task, struct lane *lane, size_t room)
{
	struct run run;

	lane->mapped = lane->size + room;
	run = one(task, lane, SYS_mmap, (uint64_t[]){ 0, lane->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 });
	run.regs.regs[26] = lane->size;
	return run;
}

/* What came of it: 0 or a negative errno. */
static int mapped(const struct run *run)
{
	int64_t addr = run->regs.regs[20];

	count_call(SYS_mmap);
	count_call(SYS_mprotect);
	if (run->ret || addr < 0)
		return run->ret ?: (int)addr;
	run->lane->scratch = addr;
	run->lane->ready = !run->regs.regs[27];
	return run->regs.regs[27];
}

/* Of both threads at once. Where there is no memory for the second the first makes all calls. */
static int map_scratch(struct task_remote *task)
{
	struct run runs[] = { mapping(task, &task->first, task->space.room), mapping(task, &task->second, 0) };
	bool both = task->second.size;
	int ret;

	run_all(task, runs, both ? 2 : 1, NULL);
	ret = mapped(&runs[0]);
	task->remote.room = task->first.scratch + task->first.size;
	if (both)
		mapped(&runs[1]);
	return both && !ret ? runs[1].ret : ret;
}

/* The next @nr of those at @call. */
static void count_calls(const struct remote_call *call, size_t nr)
{
	for (size_t n; nr; nr -= n, call++) {
		n = remote_call_left(call) < nr ? remote_call_left(call) : nr;
		use.calls += n;
		use.ioctls += call->nr == SYS_ioctl ? n : 0;
	}
}

/*
 * The scratch area is anonymous memory that is there: process_vm_writev() copies it at once, /proc/PID/mem page by page and by
 * way of a page of the kernel's. What the first does not, for whatever reason, the second tries, and tells.
 */
static int write_scratch(struct lane *lane, size_t size)
{
	struct iovec here = { lane->mirror, size }, there = { (void *)lane->scratch, size };

	if (process_vm_writev(lane->held.pid, &here, 1, &there, 1, 0) == (ssize_t)size)
		return 0;
	return held_write(&lane->held, lane->scratch, lane->mirror, size);
}

static int read_scratch(struct lane *lane, size_t size)
{
	struct iovec here = { lane->mirror, size }, there = { (void *)lane->scratch, size };

	if (process_vm_readv(lane->held.pid, &here, 1, &there, 1, 0) == (ssize_t)size)
		return 0;
	return held_read(&lane->held, lane->scratch, lane->mirror, size);
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
static int prepare(const struct task_remote *task, struct share *share, struct run *run)
{
	struct lane *lane = share->lane;

	share->slots = slots_fit(share->calls, share->nr, lane->size);
	if (!share->slots.nr)
		return -E2BIG;
	slots_lay_out(lane->mirror, lane->scratch, share->calls, &share->slots);
	*run = (struct run){ .lane = lane, .regs = lane->held.regs };
	run->regs.pc = code_at(task, batch_code);
	run->regs.regs[19] = lane->scratch + share->slots.answers;
	run->regs.regs[20] = share->slots.nr;
	run->regs.regs[25] = lane->scratch;
	return write_scratch(lane, share->slots.used);
}

static int collect(struct share *share, const struct run *run)
{
	size_t nr = share->slots.nr, left = run->regs.regs[20], executed;
	int ret;

	if (left > nr)
		return -EFAULT;
	/* In two ways: what the calls have answered is nowhere else, and new fds would stay. */
	ret = read_scratch(share->lane, share->slots.answers);
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

/* What comes next of each of @shares, at most two, that has any left. */
static int exec_next(struct task_remote *task, struct share *const shares[], size_t nr)
{
	struct beside beside = task->remote.beside;
	struct run runs[2];
	int ret = 0;

	for (size_t i = 0; i < nr && !ret; i++)
		ret = prepare(task, shares[i], &runs[i]);
	if (ret)
		return ret;
	/* Whose it is has gone when another call is made, should these not begin. */
	task->remote.beside = (struct beside){ 0 };
	ret = run_all(task, runs, nr, &beside);
	for (size_t i = 0; i < nr && !ret; i++)
		ret = collect(shares[i], &runs[i]);
	return ret;
}

static int exec_alone(struct task_remote *task, struct share *share)
{
	int ret = 0;

	while (!ret && share->nr && !share->stopped)
		ret = exec_next(task, (struct share *[]){ share }, 1);
	return ret;
}

/* Both at once, as long as both go on. Of the first share all is made that can be: the call that is told is the first that has failed. */
static int exec_both(struct task_remote *task, struct share *first, struct share *second)
{
	int ret = 0;

	while (!ret && first->nr && second->nr && !first->stopped && !second->stopped)
		ret = exec_next(task, (struct share *[]){ first, second }, 2);
	ret = ret ?: exec_alone(task, first);
	return ret || first->stopped ? ret : exec_alone(task, second);
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

/* How many of the first of @calls are made together; and *@half, how many of these by the first thread, or 0: all. */
static size_t next_part(const struct task_remote *task, const struct remote_call *calls, size_t nr, size_t *half)
{
	size_t n = 0;

	*half = 0;
	while (n < nr) {
		size_t all, free = count_free(calls + n, nr - n, &all);

		if (all >= ENOUGH_CALLS && task->second.ready) {
			*half = n ? 0 : middle(calls, free, all);
			if (n || *half)
				return n ?: free;
		}
		n += free ?: 1;
	}
	return n;
}

static int task_exec(struct remote *remote, struct remote_call *calls, size_t nr)
{
	struct task_remote *task = to_task(remote);
	int ret = 0;

	for (size_t n, half; nr && !ret; nr -= n, calls += n) {
		struct share first, second;

		n = next_part(task, calls, nr, &half);
		first = (struct share){ .lane = &task->first, .calls = calls, .nr = half ?: n };
		second = (struct share){ .lane = &task->second, .calls = calls + half, .nr = n - half };
		ret = half ? exec_both(task, &first, &second) : exec_alone(task, &first);
		if (first.stopped || (half && second.stopped))
			break;
	}
	return ret;
}

/*
 * Each by one_call: slots are in memory of ours, which another thread may unmap should criu be killed,
 * and so is all that a call could point to.
 */
static int run_in(struct task_remote *task, struct lane *lane, struct remote_call *calls, size_t nr)
{
	int ret = 0;

	for (size_t i = 0; i < nr; i++) {
		int64_t result;

		if (calls[i].data || calls[i].arg_2_is_rest)
			return -EINVAL;
		ret = run_one(task, lane, calls[i].nr, calls[i].arg, &result);
		if (ret)
			break;
		remote_call_made(&calls[i], &result, 1);
		if (remote_call_failed(&calls[i]))
			break;
	}
	return ret;
}

/* In a thread that is held for that alone. */
static int run_in_other(struct task_remote *task, pid_t tid, struct remote_call *calls, size_t nr)
{
	struct lane other = { 0 };
	int ret = held_take(&other.held, task->first.held.pid, tid, task->mem), err;

	if (ret)
		return ret;
	ret = run_in(task, &other, calls, nr) ?: fault_injected("thread held");
	task->other_away |= other.held.away;
	err = held_put_back(&other.held);
	return ret ?: err;
}

static int task_exec_in(struct remote *remote, int32_t vtid, struct remote_call *calls, size_t nr)
{
	struct task_remote *task = to_task(remote);
	int tid;

	if ((uint64_t)vtid == task->first.held.vtid)
		return task_exec(remote, calls, nr);
	if (task->second.size && (uint64_t)vtid == task->second.held.vtid)
		return run_in(task, &task->second, calls, nr) ?: fault_injected("thread held");
	tid = proc_tid(task->first.held.pid, vtid);
	return tid < 0 ? tid : run_in_other(task, tid, calls, nr);
}

static int task_bring(struct remote *remote, int32_t vpid, int fd)
{
	return bring_fd(remote, to_task(remote)->first.held.pid, vpid, fd);
}

static const struct remote_ops task_ops = {
	.exec = task_exec,
	.exec_in = task_exec_in,
	.read = task_read,
	.is_at_hand = task_is_at_hand,
	.write = task_write,
	.bring = task_bring,
};

static struct run unmapping(const struct task_remote *task, struct lane *lane, uint64_t size)
{
	lane->mapped = 0; /* once is enough: somebody else's may be there at once */
	return one(task, lane, SYS_munmap, (uint64_t[6]){ lane->scratch, size });
}

static int unmapped(const struct run *run)
{
	count_call(SYS_munmap);
	return run->ret ?: (int)run->regs.regs[20];
}

/* Of all @lanes, at most two, at once; and tried again where that fails. */
static int unmap(const struct task_remote *task, struct lane *const lanes[], size_t nr)
{
	struct run runs[2];
	uint64_t size[2];
	int ret = 0, err;

	for (size_t i = 0; i < nr; i++) {
		size[i] = lanes[i]->mapped;
		runs[i] = unmapping(task, lanes[i], size[i]);
	}
	run_all(task, runs, nr, NULL);
	for (size_t i = 0; i < nr; i++) {
		if (!unmapped(&runs[i]))
			continue;
		runs[i] = unmapping(task, lanes[i], size[i]);
		run_all(task, &runs[i], 1, NULL);
		err = unmapped(&runs[i]);
		ret = ret ?: err;
	}
	return ret;
}

static int unmap_scratch(struct task_remote *task)
{
	struct lane *const both[] = { &task->first, &task->second };
	struct lane *lanes[2];
	size_t nr = 0;

	for (size_t i = 0; i < 2; i++)
		if (both[i]->scratch && !both[i]->held.away)
			lanes[nr++] = both[i];
	return nr && !fault_leaves_out("munmap") ? unmap(task, lanes, nr) : 0;
}

static int take_text_back(struct task_remote *task)
{
	return write_text(task, task->entry_words);
}

/*
 * Each part that was taken is put back, whatever became of the others, and tried again where that
 * fails: nobody else will. Our code goes when
 * nothing points at it any more: another thread that is away returns into its text.
 */
static int put_back(struct task_remote *task)
{
	int ret = unmap_scratch(task), err;

	if (task->second.size) {
		err = held_put_back(&task->second.held);
		ret = ret ?: err;
	}
	err = held_put_back(&task->first.held);
	ret = ret ?: err;
	if (task->entry && !task->first.held.away && !task->second.held.away && !task->other_away) {
		err = take_text_back(task) ? take_text_back(task) : 0;
		ret = ret ?: err;
	}
	return ret;
}

static void free_task(struct task_remote *task)
{
	if (task->mem >= 0)
		close(task->mem);
	served_free(&task->served);
	free(task->first.mirror);
	free(task->second.mirror);
	free(task);
}

int task_remote_close(struct remote *remote)
{
	struct task_remote *task;
	int ret;

	if (!remote)
		return 0;
	task = to_task(remote);
	batch_drop(remote);
	ret = put_back(task);
	if (ret)
		pr_err("pid %d: cannot put back its registers or memory: %s (errno %d)\n", task->first.held.pid,
		       strerror(-ret), -ret);
	free_task(task);
	return ret;
}

static int take(struct task_remote *task, pid_t pid)
{
	char path[32];
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	task->mem = open(path, O_RDWR | O_CLOEXEC);
	if (task->mem < 0)
		return sys_err();
	task->first.mirror = malloc(task->space.scratch);
	if (!task->first.mirror)
		return -ENOMEM;
	task->first.filtered = proc_has_seccomp(pid);
	ret = served_find(pid, &task->served);
	return ret ?: held_take(&task->first.held, pid, pid, task->mem);
}

#define MOST_TRIED 4 /* threads: that the second makes calls is no need */

struct candidates {
	struct task_remote *task;
	unsigned int tried;
};

/* Not one whose fds are others, nor one whose filter could end it, criu having been killed. 1 where it is taken. */
static int take_if_it_can(pid_t pid, pid_t tid, void *arg)
{
	struct candidates *c = arg;

	if (tid == pid)
		return 0;
	if (++c->tried > MOST_TRIED)
		return -ENOENT;
	if (syscall(SYS_kcmp, pid, tid, KCMP_FILES, 0, 0) || proc_has_seccomp(tid))
		return 0;
	return !held_try(&c->task->second.held, pid, tid, c->task->mem);
}

/* Where there is one, and it is wanted: else the first makes all calls, and has all the memory. */
static void take_second(struct task_remote *task)
{
	struct candidates c = { .task = task };
	struct lane *second = &task->second;

	second->mirror = task->space.second ? malloc(task->space.second) : NULL;
	if (second->mirror && proc_each_thread(task->first.held.pid, take_if_it_can, &c) == 1)
		second->size = task->space.second;
	task->first.size = task->space.scratch - second->size;
}

/* What to look for: it is the task that is in want, and discover() has looked at what can be seen beforehand. */
static const char *hint(int err)
{
	switch (err) {
	case -ENOENT:
		return ": it has no private executable mapping in which code could stand for a while";
	case -ENOMEM:
		return ": no memory or address space is left to it: look at RLIMIT_AS, RLIMIT_DATA, vm.max_map_count, its "
		       "cgroup";
	case -EAGAIN:
		return ": no more of its memory may be locked: raise RLIMIT_MEMLOCK, for it has called mlockall()";
	}
	return "";
}

int task_remote_open(pid_t pid, struct task_space space, struct remote **remote)
{
	struct task_remote *task = calloc(1, sizeof(*task));
	int ret;

	if (!task)
		return -ENOMEM;
	task->remote.ops = &task_ops;
	task->remote.can_wait = true;
	task->space = space;
	ret = take(task, pid);
	if (ret) {
		if (ret != -ENOTSUP) /* said by name */
			pr_err("pid %d: cannot take its registers: %s (errno %d)\n", pid, strerror(-ret), -ret);
		free_task(task);
		return ret;
	}
	take_second(task);
	ret = plant_entry(task);
	if (!ret)
		ret = map_scratch(task);
	if (ret) {
		pr_err("pid %d: cannot run system calls in it: %s (errno %d)%s\n", pid, strerror(-ret), -ret, hint(ret));
		task_remote_close(&task->remote);
		return ret;
	}
	*remote = &task->remote;
	return 0;
}
