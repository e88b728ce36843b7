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

#include "fault.h"
#include "log.h"
#include "probe/area.h"
#include "probe/proc.h"
#include "remote/batch_code.h"
#include "remote/bring.h"
#include "remote/lane.h"
#include "remote/served.h"
#include "remote/share.h"
#include "remote/task.h"
#include "remote/trace.h"

/* The words of task_code, as POKEDATA writes them. */
#define CODE_WORDS 21

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

static struct task_remote *to_task(struct remote *remote)
{
	return (struct task_remote *)remote;
}

/* 0 and *@result, as the kernel returns it, or a negative errno. */
static int run_one(struct lane *lane, long nr, const uint64_t arg[6], int64_t *result)
{
	struct lane_run run = lane_call(lane, nr, arg);
	int ret = lane_run_all(&run, 1, NULL);

	lane_count_calls(1, nr == SYS_ioctl);
	*result = run.regs.regs[20];
	return ret;
}

/* In the first thread. The kernel's result, or -EFAULT and the like. */
static int64_t run_syscall(struct task_remote *task, long nr, uint64_t a0, uint64_t a1, uint64_t a2,
			   uint64_t a3, uint64_t a4, uint64_t a5)
{
	int64_t result;
	int ret = run_one(&task->first, nr, (uint64_t[]){ a0, a1, a2, a3, a4, a5 }, &result);

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
	size_t size = (uintptr_t)task_code_end - (uintptr_t)task_code;

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
	task->first.entry = task->second.entry = task->entry;
	return ret ?: write_text(task, words);
}

/* Of both threads at once. Where there is no memory for the second the first makes all calls. */
static int map_scratch(struct task_remote *task)
{
	struct lane_run runs[] = { lane_map(&task->first, task->space.room), lane_map(&task->second, 0) };
	bool both = task->second.size;
	int ret;

	lane_run_all(runs, both ? 2 : 1, NULL);
	ret = lane_mapped(&runs[0]);
	task->remote.room = task->first.scratch + task->first.size;
	if (both)
		lane_mapped(&runs[1]);
	return both && !ret ? runs[1].ret : ret;
}

static int task_exec(struct remote *remote, struct remote_call *calls, size_t nr)
{
	struct task_remote *task = to_task(remote);

	return share_exec(&task->first, task->second.ready ? &task->second : NULL, calls, nr, &remote->beside);
}

/*
 * Each by one_call: slots are in memory of ours, which another thread may unmap should criu be killed,
 * and so is all that a call could point to.
 */
static int run_in(struct lane *lane, struct remote_call *calls, size_t nr)
{
	int ret = 0;

	for (size_t i = 0; i < nr; i++) {
		int64_t result;

		if (calls[i].data || calls[i].arg_2_is_rest)
			return -EINVAL;
		ret = run_one(lane, calls[i].nr, calls[i].arg, &result);
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
	struct lane other = { .entry = task->entry };
	int ret = held_take(&other.held, task->first.held.pid, tid, task->mem), err;

	if (ret)
		return ret;
	ret = run_in(&other, calls, nr) ?: fault_injected("thread held");
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
		return run_in(&task->second, calls, nr) ?: fault_injected("thread held");
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

static int unmap_scratch(struct task_remote *task)
{
	struct lane *const both[] = { &task->first, &task->second };
	struct lane *lanes[MAX_LANES];
	size_t nr = 0;

	for (size_t i = 0; i < MAX_LANES; i++)
		if (both[i]->scratch && !both[i]->held.away)
			lanes[nr++] = both[i];
	return nr && !fault_leaves_out("munmap") ? lane_unmap_all(lanes, nr) : 0;
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
