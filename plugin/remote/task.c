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
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "log.h"
#include "probe/proc.h"
#include "remote/batch_code.h"
#include "remote/bring.h"
#include "remote/held.h"
#include "remote/served.h"
#include "remote/slots.h"
#include "remote/task.h"
#include "remote/trace.h"

/* The words of task_code, as POKEDATA writes them. */
#define CODE_WORDS 35

struct task_remote {
	struct remote remote;
	struct held held; /* its first thread */
	int mem;	  /* /proc/PID/mem */

	uint64_t entry;			  /* where task_code stands in its text */
	uint64_t entry_words[CODE_WORDS]; /* what stood there */

	struct task_space space;
	struct proc_view looked; /* that space.seen is, where nobody has looked before */
	uint64_t scratch; /* remote address, the room follows; 0: not mapped, or not any more */
	uint64_t mapped;  /* bytes from there, that are to go should criu be killed */
	bool filtered;	  /* its seccomp filter holds again then, and may know no munmap() */
	bool other_away;  /* another thread did not come back, and has still to return into our text */
	uint8_t *mirror;  /* local copy of the scratch area */
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

/* Runs @held, a thread of it, from @regs. What is ours is left to the first thread's way back to unmap. */
static int run(struct task_remote *task, struct held *held, struct user_regs_struct *regs)
{
	bool unmaps = held == &task->held && !task->filtered;
	int ret;

	regs->regs[23] = task->scratch;
	regs->regs[24] = unmaps ? task->mapped : 0;
	use.trips++;
	use.us -= clock_us();
	ret = held_run(held, regs, code_at(task, one_call_stop));
	use.us += clock_us();
	return ret;
}

/* One system call by one_call: 0 and *@result, as the kernel returns it, or a negative errno. */
static int run_one(struct task_remote *task, struct held *held, long nr, const uint64_t arg[6],
		   int64_t *result)
{
	struct user_regs_struct regs = held->regs;
	int ret;

	regs.regs[8] = nr;
	regs.regs[26] = 0;
	memcpy(regs.regs, arg, 6 * sizeof(*arg));
	regs.pc = code_at(task, one_call);
	ret = run(task, held, &regs);
	count_call(nr);
	*result = regs.regs[20];
	return ret;
}

/* In the first thread. The kernel's result, or -EFAULT and the like. */
static int64_t run_syscall(struct task_remote *task, long nr, uint64_t a0, uint64_t a1, uint64_t a2,
			   uint64_t a3, uint64_t a4, uint64_t a5)
{
	int64_t result;
	int ret = run_one(task, &task->held, nr, (uint64_t[]){ a0, a1, a2, a3, a4, a5 }, &result);

	return ret ?: result;
}

static bool is_ours(const struct task_remote *task, uint64_t addr, size_t size)
{
	return addr >= task->scratch && addr - task->scratch <= task->mapped &&
	       size <= task->mapped - (addr - task->scratch);
}

/* Whether no page of it waits for somebody: what we have mapped is anonymous or of a vCPU. */
static bool is_at_hand(const struct task_remote *task, uint64_t addr, size_t size)
{
	return is_ours(task, addr, size) || !served_has(&task->served, addr, size);
}

/* It is gone with the last batch of a session. */
static int need_scratch(const struct task_remote *task)
{
	return task->scratch ? 0 : -EIO;
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
	const struct iovec iov[] = { { (void *)(task->scratch + COPY_AT), size }, { (void *)addr, size } };
	int ret = held_write(&task->held, task->scratch, iov, sizeof(iov));
	int64_t done;

	if (ret)
		return ret;
	done = run_syscall(task, nr, task->held.vpid, task->scratch, 1, task->scratch + sizeof(iov[0]), 1, 0);
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
	const size_t max = task->space.scratch - COPY_AT;
	int ret = batch_flush(remote);

	if (!ret && is_at_hand(task, addr, size))
		return held_read(&task->held, addr, buf, size);
	ret = ret ?: need_scratch(task);
	for (size_t at = 0, n; at < size && !ret; at += n) {
		n = size - at < max ? size - at : max;
		ret = copy_by_task(task, SYS_process_vm_readv, addr + at, n);
		if (!ret)
			ret = held_read(&task->held, task->scratch + COPY_AT, (char *)buf + at, n);
	}
	return ret;
}

static int access_all(struct remote *remote, const struct iovec *here, const struct iovec *there, size_t nr, bool writes)
{
	struct task_remote *task = to_task(remote);
	int ret = batch_flush(remote);
	ssize_t size = 0, done;

	for (size_t i = 0; i < nr && !ret; i++) {
		size += there[i].iov_len;
		if (!is_at_hand(task, (uint64_t)there[i].iov_base, there[i].iov_len))
			ret = -EAGAIN;
	}
	if (ret)
		return ret;
	done = writes ? process_vm_writev(task->held.pid, here, nr, there, nr, 0) : process_vm_readv(task->held.pid, here, nr, there, nr, 0);
	return done == size ? 0 : -EIO;
}

static int task_read_all(struct remote *remote, const struct iovec *here, const struct iovec *there, size_t nr)
{
	return access_all(remote, here, there, nr, false);
}

static int task_write_all(struct remote *remote, const struct iovec *here, const struct iovec *there, size_t nr)
{
	return access_all(remote, here, there, nr, true);
}

static int task_write(struct remote *remote, uint64_t addr, const void *buf, size_t size)
{
	struct task_remote *task = to_task(remote);
	const size_t max = task->space.scratch - COPY_AT;
	int ret = batch_flush(remote);

	if (!ret && is_at_hand(task, addr, size))
		return held_write(&task->held, addr, buf, size);
	ret = ret ?: need_scratch(task);
	for (size_t at = 0, n; at < size && !ret; at += n) {
		n = size - at < max ? size - at : max;
		ret = held_write(&task->held, task->scratch + COPY_AT, (const char *)buf + at, n);
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
	uint64_t *words = task->entry_words, code[CODE_WORDS];

	if (held_read(&task->held, end - sizeof(code), words, sizeof(code)))
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
static enum place judge_place(struct task_remote *task, const struct proc_area *area, uint64_t *addr)
{
	if (!(area->prot & PROT_EXEC) || area->is_shared)
		return NO_PLACE;
	if (is_padding(task, area->end)) {
		*addr = area->end - CODE_WORDS * sizeof(uint64_t);
		return area->inode ? FILE_PADDING : OTHER_PADDING;
	}
	*addr = area->start;
	return area->inode ? FILE_START : OTHER_START;
}

/*
 * Where code can stand for a while in a private, executable mapping: behind the code of a file, where, should
 * criu be killed, what stays is in nobody's way; else in the vDSO's or a compiler's of the task's own, or at the start of one.
 */
static enum place find_text(struct task_remote *task)
{
	const struct proc_areas *areas = &task->space.seen->areas;
	enum place best = NO_PLACE;

	for (size_t i = 0; i < areas->nr && best != FILE_PADDING; i++) {
		uint64_t addr = 0; /* it is set where there is a place, which gcc -fanalyzer does not follow */
		enum place place = judge_place(task, &areas->list[i], &addr);

		if (place < best) {
			best = place;
			task->entry = addr;
		}
	}
	return best;
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
	return trace_poke(task->held.pid, task->entry, words, CODE_WORDS);
}

static int plant_entry(struct task_remote *task)
{
	uint64_t words[CODE_WORDS];
	enum place place = find_text(task);
	int ret = place == NO_PLACE ? -ENOENT : 0;

	code_words(task, words);
	if (!ret && place != FILE_PADDING) /* that is what is_padding() has read last */
		ret = held_read(&task->held, task->entry, task->entry_words, sizeof(task->entry_words));
	if (ret)
		task->entry = 0;
	return ret ?: write_text(task, words);
}

/* The room is address space alone: no limit but that of it counts it, and it is no neighbour's to merge with. */
static int map_scratch(struct task_remote *task)
{
	struct user_regs_struct regs = task->held.regs;
	int ret;

	task->mapped = task->space.scratch + task->space.room;
	memcpy(regs.regs, (uint64_t[]){ 0, task->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 },
	       6 * sizeof(*regs.regs));
	regs.regs[8] = SYS_mmap;
	regs.regs[26] = task->space.scratch;
	regs.pc = code_at(task, one_call);
	ret = run(task, &task->held, &regs);
	count_call(SYS_mmap);
	count_call(SYS_mprotect);
	if (ret || (int64_t)regs.regs[20] < 0)
		return ret ?: (int)regs.regs[20];
	task->scratch = regs.regs[20];
	task->remote.room = task->scratch + task->space.scratch;
	return regs.regs[27];
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

/* Whether @slots are all that is left of @calls, and what is read back of them is known beforehand, where all of them succeed. */
static bool is_end(const struct remote_call *calls, size_t nr, const struct slots *slots)
{
	size_t left = 0;

	for (size_t i = 0; i < nr; i++) {
		if (calls[i].may_fail || calls[i].results)
			return false;
		left += remote_call_left(&calls[i]);
	}
	return left == slots->nr && slots->answers == slots->results;
}

/* Not where the filter could end the task for it, should criu be killed meanwhile. */
static bool unmaps_at_its_end(const struct task_remote *task, const struct remote_call *calls, size_t nr, const struct slots *slots)
{
	return task->remote.is_last && !task->filtered && is_end(calls, nr, slots) && !fault_leaves_out("munmap");
}

static void forget_scratch(struct task_remote *task)
{
	task->scratch = task->mapped = 0;
}

/* After a run that was to unmap it, and of which nothing else is known. */
static void look_whether_it_is_mapped(struct task_remote *task)
{
	uint64_t word;

	if (!task->held.away && held_read(&task->held, task->scratch, &word, sizeof(word)) == -EFAULT)
		forget_scratch(task);
}

static int exec_chunk(struct task_remote *task, struct remote_call *calls, const struct slots *slots, bool unmaps, bool *stopped)
{
	struct user_regs_struct regs = task->held.regs;
	size_t nr = slots->nr, left, executed;
	int ret;

	memset(task->mirror, 0, slots->used); /* between values there are bytes that are written to it as they are */
	slots_lay_out(task->mirror, task->scratch, calls, slots);
	ret = held_write(&task->held, task->scratch + slots->results, task->mirror + slots->results, slots->used - slots->results);
	if (ret)
		return ret;
	regs.pc = code_at(task, batch_code);
	regs.regs[19] = task->scratch + slots->answers;
	regs.regs[20] = nr;
	regs.regs[25] = task->scratch;
	regs.regs[27] = unmaps;
	task->held.calls = nr;
	task->held.beside = task->remote.beside;
	task->remote.beside = (struct beside){ 0 };
	ret = run(task, &task->held, &regs);
	task->held.beside = (struct beside){ 0 }; /* whose it is has gone when another call is made, should this not have begun */
	if (ret && unmaps)
		look_whether_it_is_mapped(task);
	if (ret)
		return ret;
	left = regs.regs[20];
	if (left > nr)
		return -EFAULT;
	if (unmaps && !regs.regs[27]) {
		forget_scratch(task);
		count_call(SYS_munmap);
		slots_succeed(task->mirror, calls, slots);
	} else {
		/* In two ways: what the calls have answered is nowhere else, and new fds would stay. */
		ret = held_read(&task->held, task->scratch, task->mirror, slots->answers);
	}
	if (ret)
		return ret;
	*stopped = left > 0;
	executed = *stopped ? nr - left + 1 : nr;
	count_calls(calls, executed);
	slots_collect(task->mirror, calls, slots, executed);
	return 0;
}

static int task_exec(struct remote *remote, struct remote_call *calls, size_t nr)
{
	struct task_remote *task = to_task(remote);
	bool stopped = false;

	if (need_scratch(task))
		return -EIO;
	while (nr && !stopped) {
		const struct slots slots = slots_fit(calls, nr, task->space.scratch);
		int ret;

		if (!slots.nr)
			return -E2BIG;
		ret = exec_chunk(task, calls, &slots, unmaps_at_its_end(task, calls, nr, &slots), &stopped);
		if (ret)
			return ret;
		for (; nr && !remote_call_left(calls); nr--)
			calls++;
	}
	return 0;
}

/*
 * Each by one_call: slots are in memory of ours, which the first thread unmaps should criu be killed,
 * and so is all that a call could point to.
 */
static int run_in(struct task_remote *task, struct held *held, struct remote_call *calls, size_t nr)
{
	int ret = 0;

	for (size_t i = 0; i < nr; i++) {
		int64_t result;

		if (calls[i].data || calls[i].arg_2_is_rest)
			return -EINVAL;
		ret = run_one(task, held, calls[i].nr, calls[i].arg, &result);
		if (ret)
			break;
		remote_call_made(&calls[i], &result, 1);
		if (remote_call_failed(&calls[i]))
			break;
	}
	return ret;
}

static int task_exec_in(struct remote *remote, int32_t vtid, struct remote_call *calls, size_t nr)
{
	struct task_remote *task = to_task(remote);
	struct held_ids ids = { .pid = task->held.pid, .vpid = task->held.vpid, .vtid = vtid };
	struct held other;
	int ret, err;

	if ((uint64_t)vtid == task->held.vtid)
		return task_exec(remote, calls, nr);
	ret = proc_tid(task->held.pid, vtid);
	if (ret < 0)
		return ret;
	ids.tid = ret;
	ret = held_take(&other, &ids, task->mem);
	if (ret)
		return ret;
	ret = run_in(task, &other, calls, nr) ?: fault_injected("thread held");
	task->other_away |= other.away;
	err = held_put_back(&other);
	return ret ?: err;
}

static int task_bring(struct remote *remote, int32_t vpid, int fd)
{
	return bring_fd(remote, to_task(remote)->held.pid, vpid, fd);
}

static const struct remote_ops task_ops = {
	.exec = task_exec,
	.exec_in = task_exec_in,
	.read = task_read,
	.read_all = task_read_all,
	.write_all = task_write_all,
	.is_at_hand = task_is_at_hand,
	.write = task_write,
	.bring = task_bring,
};

static int unmap(struct task_remote *task, uint64_t size)
{
	return run_syscall(task, SYS_munmap, task->scratch, size, 0, 0, 0, 0);
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
	int ret = 0, err;

	if (task->scratch && !task->held.away && !fault_leaves_out("munmap")) {
		uint64_t size = task->mapped;

		task->mapped = 0; /* once is enough: somebody else's may be there at once */
		ret = unmap(task, size) ? unmap(task, size) : 0;
	}
	err = held_put_back(&task->held);
	ret = ret ?: err;
	if (task->entry && !task->held.away && !task->other_away) {
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
	proc_view_free(&task->looked);
	free(task->mirror);
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
		pr_err("pid %d: cannot put back its registers or memory: %s (errno %d)\n", task->held.pid,
		       strerror(-ret), -ret);
	free_task(task);
	return ret;
}

static int look(struct task_remote *task, pid_t pid)
{
	int ret = task->space.seen ? 0 : proc_view_read(pid, PROC_TEXT_ALL, &task->looked);

	task->space.seen = task->space.seen ?: &task->looked;
	task->filtered = task->space.seen->status.has_seccomp;
	return ret ?: served_find(&task->space.seen->areas, &task->served);
}

static int take(struct task_remote *task, pid_t pid)
{
	struct held_ids ids = { .pid = pid, .tid = pid };
	char path[32];
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	task->mem = open(path, O_RDWR | O_CLOEXEC);
	if (task->mem < 0)
		return sys_err();
	task->mirror = malloc(task->space.scratch);
	if (!task->mirror)
		return -ENOMEM;
	ret = look(task, pid);
	ids.vpid = ids.vtid = task->space.seen->status.vpid;
	return ret ?: held_take(&task->held, &ids, task->mem);
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
	task->remote.vpid = task->held.vpid;
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
