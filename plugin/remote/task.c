// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls in a stopped arm64 task, by ptrace.
 *
 * Not by libcompel: its functions changed their arguments under the same names
 * between CRIU 4.1.1, 4.2.1 and 4.3, its waits have no time limit, and preparing
 * a task leaks a socket. One plugin binary serves all three.
 *
 * While a session is open the task never stands where it could not go on alone: see
 * batch_code.S and way_back.h.
 */
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "probe/proc.h"
#include "remote/batch_code.h"
#include "remote/task.h"
#include "remote/trace.h"
#include "remote/way_back.h"
#include "state/thread.h"

#define SCRATCH_SIZE (256u << 10)
/*
 * The longest that the task may take to stop, and a batch to end. KVM's ioctls take
 * milliseconds; an emulated host, a hundred times that.
 */
#define EXEC_TIMEOUT_MS 30000

#define PSTATE_BTYPE 0xc00

/* The words of one_call, and of batch_code, as POKEDATA writes them. */
#define CODE_WORDS 16

struct task_remote {
	struct remote remote;
	pid_t pid;
	uint64_t vpid; /* in the task's own pid namespace, and its tid there */
	int mem;       /* /proc/PID/mem */

	/* what the task was, for task_remote_close() */
	struct user_regs_struct regs;
	uint64_t sigmask;
	uint8_t *sve; /* NT_ARM_SVE, which system calls do not preserve; NULL where there is no SVE */
	size_t sve_size;
	bool masked;			  /* its signal mask is ours */
	uint64_t entry;			  /* where one_call stands in its text */
	uint64_t entry_words[CODE_WORDS]; /* what stood there */
	uint64_t frame;			  /* where the way back stands, below its stack pointer */
	struct way_back stack;		  /* what stood there */
	bool stop_signal, urgent_signal;  /* SIGSTOP, SIGURG were delivered meanwhile: to be sent again */
	bool away;			  /* it did not come back from a call: nothing can be done in it */

	uint64_t code, scratch; /* remote addresses, the room follows; 0: not mapped */
	uint64_t mapped;	/* bytes from code, that are to go should criu be killed */
	bool filtered;		/* its seccomp filter holds again then, and may know no munmap() */
	uint8_t *mirror;	/* local copy of the scratch area */
};

static struct task_remote *to_task(struct remote *remote)
{
	return (struct task_remote *)remote;
}

/*
 * Takes the task to a PTRACE_EVENT_STOP, where it executes nothing of its own.
 * A SIGSTOP that CRIU has sent to a task that was stopped arrives on the way: it
 * must not take the place of our stop later, and must not be lost.
 */
static int interrupt_task(struct task_remote *task)
{
	int status, ret;

	do {
		if (ptrace(PTRACE_INTERRUPT, task->pid, 0, 0) || ptrace(PTRACE_CONT, task->pid, 0, 0))
			return sys_err();
		ret = trace_wait_stop(task->pid, &status, EXEC_TIMEOUT_MS);
		if (ret)
			return ret;
		if (!trace_is_event_stop(status) && WSTOPSIG(status) == SIGSTOP)
			task->stop_signal = true;
	} while (!trace_is_event_stop(status));
	return 0;
}

/*
 * At the stop of a system call the kernel shows its own marker in x7, and the
 * task's value comes back only after it: read there and written later, the marker
 * would stay. CRIU leaves its tasks in one before the late hook and before exit.
 */
static int leave_syscall_stop(struct task_remote *task)
{
	struct __ptrace_syscall_info info = { 0 };

	if (ptrace(PTRACE_GET_SYSCALL_INFO, task->pid, sizeof(info), &info) < 0)
		return sys_err();
	return info.op == PTRACE_SYSCALL_INFO_NONE ? 0 : interrupt_task(task);
}

static int task_read(struct remote *remote, uint64_t addr, void *buf, size_t size)
{
	ssize_t ret = pread(to_task(remote)->mem, buf, size, addr);

	return ret == (ssize_t)size ? 0 : ret < 0 ? sys_err() : -EFAULT;
}

static int task_write(struct remote *remote, uint64_t addr, const void *buf, size_t size)
{
	ssize_t ret = pwrite(to_task(remote)->mem, buf, size, addr);

	return ret == (ssize_t)size ? 0 : ret < 0 ? sys_err() : -EFAULT;
}

/*
 * A system call inside a restartable sequence loses the abort that preemption
 * there owes the task: it is aborted now, as the kernel would have done.
 */
static int abort_rseq(struct task_remote *task)
{
	struct __ptrace_rseq_configuration conf;
	struct {
		uint32_t version, flags;
		uint64_t start_ip, post_commit_offset, abort_ip;
	} cs;
	uint64_t cs_addr, at, none = 0;
	int ret;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, task->pid, sizeof(conf), &conf) < 0 ||
	    !conf.rseq_abi_pointer)
		return 0;
	at = conf.rseq_abi_pointer + 8; /* struct rseq, rseq_cs */
	ret = task_read(&task->remote, at, &cs_addr, sizeof(cs_addr));
	if (ret || !cs_addr)
		return ret;
	ret = task_read(&task->remote, cs_addr, &cs, sizeof(cs));
	if (ret)
		return ret;
	if (task->regs.pc - cs.start_ip >= cs.post_commit_offset)
		return 0;
	task->regs.pc = cs.abort_ip;
	return task_write(&task->remote, at, &none, sizeof(none));
}

/* At each session, not only at the end of the dump: criu may be killed between two of them. */
static int save_sve(struct task_remote *task)
{
	task->sve_size = THREAD_SET_MAX;
	task->sve = malloc(task->sve_size);
	if (!task->sve)
		return -ENOMEM;
	if (trace_get_regset(task->pid, NT_ARM_SVE, task->sve, &task->sve_size)) {
		free(task->sve);
		task->sve = NULL; /* -EINVAL: no SVE here */
	}
	return 0;
}

/* All but SIGURG, which ends what is run. After its registers: the way back restores the mask too. */
static int block_signals(struct task_remote *task)
{
	uint64_t all = ~(1ull << (SIGURG - 1));

	if (!task->masked && ptrace(PTRACE_SETSIGMASK, task->pid, sizeof(all), &all))
		return sys_err();
	task->masked = true;
	return 0;
}

/* The stop after @status: 1 the one at @stop, 0 one on the way, or a negative errno. */
static int judge_stop(struct task_remote *task, int status, struct user_regs_struct *regs, uint64_t stop)
{
	int ret;

	if (trace_is_event_stop(status))
		return 0;
	switch (WSTOPSIG(status)) {
	case SIGSTOP:
		task->stop_signal = true;
		return 0;
	case SIGURG:
		ret = trace_get_regs(task->pid, regs);
		if (ret || regs->pc == stop)
			return ret ?: 1;
		task->urgent_signal = true;
		return 0;
	}
	pr_err("pid %d: signal %d while a system call was run in it\n", task->pid, WSTOPSIG(status));
	return -EFAULT;
}

/* Bytes from the start of a piece of code to @label. */
static uint64_t code_offset(const uint32_t *code, const uint32_t *label)
{
	return (label - code) * sizeof(*code);
}

/* Runs the task from @regs until its own SIGURG. *@regs is then what it has there. */
static int run(struct task_remote *task, struct user_regs_struct *regs)
{
	const uint64_t stop = task->entry + code_offset(one_call, one_call_stop);
	int status, ret;

	regs->sp = task->frame;
	regs->pstate &= ~PSTATE_BTYPE; /* no branch has led here: guarded text (BTI) would refuse it */
	regs->regs[21] = regs->regs[22] = task->vpid;
	regs->regs[23] = task->code;
	regs->regs[24] = task->filtered ? 0 : task->mapped;
	regs->regs[25] = task->entry + code_offset(one_call, one_call_tail);
	ret = trace_set_regs(task->pid, regs);
	if (!ret)
		ret = block_signals(task);
	while (!ret) {
		if (ptrace(PTRACE_CONT, task->pid, 0, 0))
			return sys_err();
		ret = trace_wait_stop(task->pid, &status, EXEC_TIMEOUT_MS);
		if (ret == -ETIMEDOUT) {
			task->away = true;
			pr_err("pid %d: a system call in it does not return after %d s: it goes on by itself "
			       "when it does\n",
			       task->pid, EXEC_TIMEOUT_MS / 1000);
		}
		if (!ret)
			ret = judge_stop(task, status, regs, stop);
	}
	return ret < 0 ? ret : 0;
}

/* One system call by one_call. The kernel's result, or -EFAULT and the like. */
static int64_t run_syscall(struct task_remote *task, long nr, uint64_t a0, uint64_t a1, uint64_t a2,
			   uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct user_regs_struct regs = task->regs;
	int ret;

	regs.regs[8] = nr;
	memcpy(regs.regs, (uint64_t[]){ a0, a1, a2, a3, a4, a5 }, 6 * sizeof(uint64_t));
	regs.pc = task->entry;
	ret = run(task, &regs);
	return ret ? ret : (int64_t)regs.regs[20];
}

/* @code as words for trace_poke(), the last one filled up with zeroes: how many. */
static size_t code_words(const uint32_t *code, const uint32_t *end, uint64_t words[CODE_WORDS])
{
	size_t size = code_offset(code, end);

	if (size > CODE_WORDS * sizeof(*words))
		abort(); /* batch_code.S has grown: so must CODE_WORDS */
	memset(words, 0, CODE_WORDS * sizeof(*words));
	memcpy(words, code, size);
	return (size + 7) / 8;
}

/* Whether the last words before @end, in the page's padding, are nobody's. */
static bool is_padding(struct task_remote *task, uint64_t end, uint64_t *addr)
{
	uint64_t words[CODE_WORDS];

	*addr = end - sizeof(words);
	if (task_read(&task->remote, *addr, words, sizeof(words)))
		return false;
	for (size_t i = 0; i < CODE_WORDS; i++)
		if (words[i])
			return false;
	return true;
}

/*
 * Where code can stand for a while in a private, file-backed, executable mapping, of which
 * every process with a program has one: behind the code of the file, where, should
 * criu be killed, what stays is in nobody's way; else at its start.
 */
static int find_text(struct task_remote *task)
{
	char path[32], line[512];
	bool found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", task->pid);
	maps = fopen(path, "re");
	if (!maps)
		return sys_err();
	while (!found && fgets(line, sizeof(line), maps)) {
		uint64_t start, end, padding;
		unsigned long inode;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " r-xp %*x %*s %lu", &start, &end, &inode) != 3 || !inode)
			continue;
		found = is_padding(task, end, &padding);
		if (found)
			task->entry = padding;
		else if (!task->entry)
			task->entry = start;
	}
	fclose(maps);
	return task->entry ? 0 : -ENOENT;
}

static int plant_entry(struct task_remote *task)
{
	uint64_t words[CODE_WORDS];
	size_t nr = code_words(one_call, one_call_end, words);
	int ret = find_text(task);

	if (!ret)
		ret = task_read(&task->remote, task->entry, task->entry_words, sizeof(task->entry_words));
	if (ret)
		task->entry = 0;
	return ret ?: trace_poke(task->pid, task->entry, words, nr);
}

/* Below its stack, as for a signal. What stands there is dead for the task, and is put back all the same. */
static int plant_way_back(struct task_remote *task)
{
	uint64_t at = (task->regs.sp - sizeof(struct way_back)) & ~15ull;
	struct way_back frame;
	int ret;

	ret = way_back_build(task->pid, &task->regs, task->sigmask, &frame);
	if (!ret)
		ret = task_read(&task->remote, at, &task->stack, sizeof(task->stack));
	if (ret)
		return ret;
	task->frame = at;
	return task_write(&task->remote, at, &frame, sizeof(frame));
}

static int map_scratch(struct task_remote *task, size_t room)
{
	size_t page = sysconf(_SC_PAGESIZE), nr;
	uint64_t words[CODE_WORDS];
	int64_t addr;

	task->mapped = page + SCRATCH_SIZE + room;
	/* The room is address space alone: no limit but that of it counts it, and it is no neighbour's to merge with. */
	addr = run_syscall(task, SYS_mmap, 0, task->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (addr < 0)
		return addr;
	task->code = addr;
	task->scratch = addr + page;
	task->remote.room = task->scratch + SCRATCH_SIZE;
	addr = run_syscall(task, SYS_mprotect, task->code, page, PROT_READ | PROT_EXEC, 0, 0, 0);
	addr = addr ?: run_syscall(task, SYS_mprotect, task->scratch, SCRATCH_SIZE, PROT_READ | PROT_WRITE, 0, 0, 0);
	nr = code_words(batch_code, batch_code_end, words);
	return addr ?: trace_poke(task->pid, task->code, words, nr);
}

static uint32_t align16(uint32_t size)
{
	return (size + 15) & ~15u;
}

static uint32_t call_size(const struct remote_call *call)
{
	return align16(call->size) + align16(call->inner_size);
}

/* How many of @calls fit into the scratch area at once. */
static size_t chunk(const struct remote_call *calls, size_t nr)
{
	uint64_t used = 0;
	size_t n;

	for (n = 0; n < nr; n++) {
		used += sizeof(struct batch_slot) + call_size(&calls[n]);
		if (used > SCRATCH_SIZE)
			break;
	}
	return n;
}

/* Lays @calls out in the mirror, as the remote side will see them. Returns the bytes used. */
static uint32_t lay_out(struct task_remote *task, const struct remote_call *calls, size_t nr)
{
	struct batch_slot *slot = (struct batch_slot *)task->mirror;
	uint32_t at = nr * sizeof(*slot);

	for (size_t i = 0; i < nr; i++) {
		const struct remote_call *call = &calls[i];

		slot[i].nr = call->nr;
		memcpy(slot[i].arg, call->arg, sizeof(slot[i].arg));
		slot[i].result = call->may_fail;
		if (!call->data)
			continue;
		slot[i].arg[call->data_arg] = task->scratch + at;
		memcpy(task->mirror + at, call->data, call->size);
		if (call->inner) {
			uint64_t inner = task->scratch + at + align16(call->size);

			memcpy(task->mirror + at + call->inner_at, &inner, sizeof(inner));
			memcpy(task->mirror + at + align16(call->size), call->inner, call->inner_size);
		}
		at += call_size(call);
	}
	return at;
}

/* Takes back what the first @executed of @calls brought. */
static void collect(struct task_remote *task, struct remote_call *calls, size_t executed)
{
	const struct batch_slot *slot = (const struct batch_slot *)task->mirror;

	for (size_t i = 0; i < executed; i++) {
		struct remote_call *call = &calls[i];
		uint64_t at = slot[i].arg[call->data_arg] - task->scratch;

		call->result = slot[i].result;
		call->done = true;
		/* Buffers that a call only reads come back as they went: const ones are const in truth too.
		 */
		if (call->inner && call->writes_back)
			memcpy(call->inner, task->mirror + at + align16(call->size), call->inner_size);
		else if (call->data && call->writes_back)
			memcpy(call->data, task->mirror + at, call->size);
	}
}

static int exec_chunk(struct task_remote *task, struct remote_call *calls, size_t nr, bool *stopped)
{
	struct user_regs_struct regs = task->regs;
	uint32_t used = lay_out(task, calls, nr);
	size_t left;
	int ret;

	ret = task_write(&task->remote, task->scratch, task->mirror, used);
	if (ret)
		return ret;
	regs.pc = task->code;
	regs.regs[19] = task->scratch;
	regs.regs[20] = nr;
	ret = run(task, &regs);
	if (ret)
		return ret;
	left = regs.regs[20];
	if (left > nr)
		return -EFAULT;
	ret = task_read(&task->remote, task->scratch, task->mirror, used);
	if (ret)
		return ret;
	*stopped = left > 0;
	collect(task, calls, *stopped ? nr - left + 1 : nr);
	return 0;
}

static int task_exec(struct remote *remote, struct remote_call *calls, size_t nr)
{
	struct task_remote *task = to_task(remote);
	bool stopped = false;

	while (nr && !stopped) {
		size_t n = chunk(calls, nr);
		int ret;

		if (!n)
			return -E2BIG;
		ret = exec_chunk(task, calls, n, &stopped);
		if (ret)
			return ret;
		calls += n;
		nr -= n;
	}
	return 0;
}

static const struct remote_ops task_ops = {
	.exec = task_exec,
	.read = task_read,
	.write = task_write,
};

/*
 * Each part that was taken is put back, whatever became of the others. Our code and the
 * way back go when nothing points at them any more.
 */
static int put_back(struct task_remote *task)
{
	int ret = 0, err;

	if (task->code) {
		uint64_t size = task->mapped;

		task->mapped = 0; /* once is enough: somebody else's may be there at once */
		err = run_syscall(task, SYS_munmap, task->code, size, 0, 0, 0, 0);
		ret = ret ?: err;
	}
	if (task->masked && ptrace(PTRACE_SETSIGMASK, task->pid, sizeof(task->sigmask), &task->sigmask))
		ret = ret ?: sys_err();
	if (task->sve) {
		err = trace_set_regset(task->pid, NT_ARM_SVE, task->sve, task->sve_size);
		ret = ret ?: err;
	}
	err = trace_set_regs(task->pid, &task->regs);
	ret = ret ?: err;
	if (task->entry) {
		err = trace_poke(task->pid, task->entry, task->entry_words, CODE_WORDS);
		ret = ret ?: err;
	}
	if (task->frame) {
		err = task_write(&task->remote, task->frame, &task->stack, sizeof(task->stack));
		ret = ret ?: err;
	}
	if (task->urgent_signal && kill(task->pid, SIGURG))
		ret = ret ?: sys_err();
	if (task->stop_signal && kill(task->pid, SIGSTOP))
		ret = ret ?: sys_err();
	return ret;
}

static void free_task(struct task_remote *task)
{
	if (task->mem >= 0)
		close(task->mem);
	free(task->sve);
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
	ret = task->away ? -ETIMEDOUT : put_back(task);
	if (ret)
		pr_err("pid %d: cannot put back its registers or memory: %s (errno %d)\n", task->pid,
		       strerror(-ret), -ret);
	free_task(task);
	return ret;
}

static int take(struct task_remote *task)
{
	int ret;

	ret = leave_syscall_stop(task);
	if (ret)
		return ret;
	ret = trace_get_regs(task->pid, &task->regs);
	if (ret)
		return ret;
	if (ptrace(PTRACE_GETSIGMASK, task->pid, sizeof(task->sigmask), &task->sigmask))
		return sys_err();
	ret = proc_vpid(task->pid, task->pid);
	if (ret < 0)
		return ret;
	task->vpid = ret;
	task->filtered = proc_has_seccomp(task->pid);
	ret = save_sve(task);
	return ret ?: abort_rseq(task);
}

int task_remote_open(pid_t pid, size_t room, struct remote **remote)
{
	struct task_remote *task = calloc(1, sizeof(*task));
	char path[32];
	int ret = -ENOMEM;

	if (!task)
		return ret;
	task->remote.ops = &task_ops;
	task->pid = pid;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	task->mem = open(path, O_RDWR | O_CLOEXEC);
	task->mirror = malloc(SCRATCH_SIZE);
	if (task->mem < 0)
		ret = sys_err();
	if (task->mem >= 0 && task->mirror)
		ret = take(task);
	if (ret) {
		pr_err("pid %d: cannot take its registers: %s (errno %d)\n", pid, strerror(-ret), -ret);
		free_task(task);
		return ret;
	}

	ret = plant_way_back(task);
	if (!ret)
		ret = plant_entry(task);
	if (!ret)
		ret = map_scratch(task, room);
	if (ret) {
		pr_err("pid %d: cannot run system calls in it: %s (errno %d)\n", pid, strerror(-ret), -ret);
		task_remote_close(&task->remote);
		return ret;
	}
	*remote = &task->remote;
	return 0;
}
