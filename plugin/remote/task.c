// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls in a stopped arm64 task, by ptrace.
 *
 * Not by libcompel: its functions changed their arguments under the same names
 * between CRIU 4.1.1, 4.2.1 and 4.3, its waits have no time limit, and preparing
 * a task leaks a socket. One plugin binary serves all three.
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
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "remote/batch_code.h"
#include "remote/task.h"

#define SCRATCH_SIZE (256u << 10)
#define STOP_TIMEOUT_MS 1000
/* The longest a batch may take. KVM's ioctls take milliseconds; an emulated host, a hundred times that. */
#define EXEC_TIMEOUT_MS 30000

#define INSN_SVC 0xd4000001u
#define INSN_BRK 0xd4200000u

struct task_remote {
	struct remote remote;
	pid_t pid;
	int mem; /* /proc/PID/mem */

	/* what the task was, for task_remote_close() */
	struct user_regs_struct regs;
	void *sve; /* NT_ARM_SVE, which system calls do not preserve; NULL where there is no SVE */
	size_t sve_size;
	uint64_t sigmask;
	uint64_t entry; /* where the two instructions below stand in its text */
	uint64_t entry_bytes;
	bool stop_signal; /* a SIGSTOP was delivered meanwhile: to be sent again */

	uint64_t code, scratch; /* remote addresses; 0: not mapped */
	uint8_t *mirror;	/* local copy of the scratch area */
};

static struct task_remote *to_task(struct remote *remote)
{
	return (struct task_remote *)remote;
}

static int sys_err(void)
{
	return errno ? -errno : -EIO;
}

static int get_regs(pid_t pid, struct user_regs_struct *regs)
{
	struct iovec iov = { .iov_base = regs, .iov_len = sizeof(*regs) };

	return ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov) ? sys_err() : 0;
}

static int set_regs(pid_t pid, const struct user_regs_struct *regs)
{
	struct iovec iov = { .iov_base = (void *)regs, .iov_len = sizeof(*regs) };

	return ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &iov) ? sys_err() : 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits until the task stops. Polls, for waitpid() alone has no time limit. -ETIMEDOUT, -ESRCH when it died.
 */
static int wait_stop(pid_t pid, int *status, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;
	struct timespec nap = { .tv_nsec = 20000 };

	for (;;) {
		pid_t ret = waitpid(pid, status, __WALL | WNOHANG);

		if (ret < 0 && errno != EINTR)
			return sys_err();
		if (ret == pid)
			return WIFSTOPPED(*status) ? 0 : -ESRCH;
		if (now_ms() > end)
			return -ETIMEDOUT;
		nanosleep(&nap, NULL);
		if (nap.tv_nsec < 500000)
			nap.tv_nsec += nap.tv_nsec / 4;
	}
}

static bool is_event_stop(int status)
{
	return status >> 16 == PTRACE_EVENT_STOP;
}

/*
 * Takes the task to a PTRACE_EVENT_STOP, where it executes nothing of its own.
 * A SIGSTOP that CRIU has sent to a task that was stopped arrives on the way: it
 * must not take the place of our breakpoint later, and must not be lost.
 */
static int interrupt_task(struct task_remote *task)
{
	int status, ret;

	do {
		if (ptrace(PTRACE_INTERRUPT, task->pid, 0, 0) || ptrace(PTRACE_CONT, task->pid, 0, 0))
			return sys_err();
		ret = wait_stop(task->pid, &status, STOP_TIMEOUT_MS);
		if (ret)
			return ret;
		if (!is_event_stop(status) && WSTOPSIG(status) == SIGSTOP)
			task->stop_signal = true;
	} while (!is_event_stop(status));
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

static int save_sve(struct task_remote *task)
{
	struct iovec iov = { .iov_len = 64 << 10 };

	task->sve = iov.iov_base = malloc(iov.iov_len);
	if (!task->sve)
		return -ENOMEM;
	if (ptrace(PTRACE_GETREGSET, task->pid, NT_ARM_SVE, &iov)) {
		free(task->sve);
		task->sve = NULL; /* -EINVAL: no SVE here */
		return 0;
	}
	task->sve_size = iov.iov_len;
	return 0;
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

/* All but SIGTRAP: a breakpoint under a blocked SIGTRAP would reset the task's handler of it. */
static int block_signals(struct task_remote *task)
{
	uint64_t all = ~(1ull << (SIGTRAP - 1));

	if (ptrace(PTRACE_GETSIGMASK, task->pid, sizeof(task->sigmask), &task->sigmask) ||
	    ptrace(PTRACE_SETSIGMASK, task->pid, sizeof(all), &all))
		return sys_err();
	return 0;
}

/* Runs the task from @regs until its breakpoint at @brk. *@regs is then what it has there. */
static int run_until(struct task_remote *task, struct user_regs_struct *regs, uint64_t brk)
{
	int status, ret;

	ret = set_regs(task->pid, regs);
	if (ret)
		return ret;
	for (;;) {
		if (ptrace(PTRACE_CONT, task->pid, 0, 0))
			return sys_err();
		ret = wait_stop(task->pid, &status, EXEC_TIMEOUT_MS);
		if (ret == -ETIMEDOUT) {
			pr_err("pid %d: a system call in it does not return after %d s\n", task->pid,
			       EXEC_TIMEOUT_MS / 1000);
			ptrace(PTRACE_INTERRUPT, task->pid, 0, 0);
			wait_stop(task->pid, &status, STOP_TIMEOUT_MS);
		}
		if (ret)
			return ret;
		if (is_event_stop(status))
			continue;
		if (WSTOPSIG(status) == SIGTRAP)
			break;
		if (WSTOPSIG(status) != SIGSTOP) {
			pr_err("pid %d: signal %d while a system call was run in it\n", task->pid,
			       WSTOPSIG(status));
			return -EFAULT;
		}
		task->stop_signal = true;
	}
	ret = get_regs(task->pid, regs);
	if (!ret && regs->pc != brk) {
		pr_err("pid %d: stopped at %#" PRIx64 ", not at %#" PRIx64 "\n", task->pid,
		       (uint64_t)regs->pc, brk);
		ret = -EFAULT;
	}
	return ret;
}

/* One system call by the two instructions at task->entry. The kernel's result, or -EFAULT and the like. */
static int64_t run_syscall(struct task_remote *task, long nr, uint64_t a0, uint64_t a1, uint64_t a2,
			   uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct user_regs_struct regs = task->regs;
	int ret;

	regs.regs[8] = nr;
	memcpy(regs.regs, (uint64_t[]){ a0, a1, a2, a3, a4, a5 }, 6 * sizeof(uint64_t));
	regs.pc = task->entry;
	ret = run_until(task, &regs, task->entry + 4);
	return ret ? ret : (int64_t)regs.regs[0];
}

/* The start of a private, file-backed, executable mapping: there is one in every process with a program. */
static int find_text(pid_t pid, uint64_t *addr)
{
	char path[32], line[512];
	FILE *maps;
	int ret = -ENOENT;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return sys_err();
	while (ret && fgets(line, sizeof(line), maps)) {
		unsigned long inode;

		if (sscanf(line, "%" SCNx64 "-%*x r-xp %*x %*s %lu", addr, &inode) == 2 && inode)
			ret = 0;
	}
	fclose(maps);
	return ret;
}

static int poke(pid_t pid, uint64_t addr, uint64_t value)
{
	return ptrace(PTRACE_POKEDATA, pid, addr, value) ? sys_err() : 0;
}

/* By POKEDATA, after which the kernel makes the instruction cache see it: real arm64 ones are incoherent. */
static int plant_entry(struct task_remote *task)
{
	int ret = find_text(task->pid, &task->entry);

	if (ret)
		return ret;
	ret = task_read(&task->remote, task->entry, &task->entry_bytes, sizeof(task->entry_bytes));
	if (!ret)
		ret = poke(task->pid, task->entry, INSN_SVC | (uint64_t)INSN_BRK << 32);
	if (ret)
		task->entry = 0;
	return ret;
}

static int map_scratch(struct task_remote *task)
{
	size_t page = sysconf(_SC_PAGESIZE), len = (uint8_t *)batch_code_end - (uint8_t *)batch_code;
	uint64_t words[16] = { 0 };
	int64_t addr;

	if (len > sizeof(words))
		return -E2BIG;
	memcpy(words, batch_code, len);
	addr = run_syscall(task, SYS_mmap, 0, page + SCRATCH_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (addr < 0)
		return addr;
	task->code = addr;
	task->scratch = addr + page;
	addr = run_syscall(task, SYS_mprotect, task->code, page, PROT_READ | PROT_EXEC, 0, 0, 0);
	for (size_t i = 0; !addr && i < sizeof(words) / sizeof(words[0]); i++)
		addr = poke(task->pid, task->code + 8 * i, words[i]);
	return addr;
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
	ret = run_until(task, &regs,
			task->code + ((uint8_t *)batch_code_end - (uint8_t *)batch_code) - sizeof(INSN_BRK));
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

/* Each part that was taken is put back, whatever became of the others. */
static int put_back(struct task_remote *task)
{
	struct iovec sve = { .iov_base = task->sve, .iov_len = task->sve_size };
	int ret = 0, err;

	if (task->code) {
		err = run_syscall(task, SYS_munmap, task->code, task->scratch - task->code + SCRATCH_SIZE, 0,
				  0, 0, 0);
		ret = ret ?: err;
	}
	if (task->entry) {
		err = poke(task->pid, task->entry, task->entry_bytes);
		ret = ret ?: err;
	}
	if (task->sve && ptrace(PTRACE_SETREGSET, task->pid, NT_ARM_SVE, &sve))
		ret = ret ?: sys_err();
	err = set_regs(task->pid, &task->regs);
	ret = ret ?: err;
	if (ptrace(PTRACE_SETSIGMASK, task->pid, sizeof(task->sigmask), &task->sigmask))
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
	ret = put_back(task);
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
	ret = get_regs(task->pid, &task->regs);
	if (ret)
		return ret;
	ret = abort_rseq(task);
	if (ret)
		return ret;
	ret = save_sve(task);
	if (ret)
		return ret;
	return block_signals(task);
}

int task_remote_open(pid_t pid, struct remote **remote)
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

	ret = plant_entry(task);
	if (!ret)
		ret = map_scratch(task);
	if (ret) {
		pr_err("pid %d: cannot run system calls in it: %s (errno %d)\n", pid, strerror(-ret), -ret);
		task_remote_close(&task->remote);
		return ret;
	}
	*remote = &task->remote;
	return 0;
}
