// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thread that is held never stands where it could not go on alone: see way_back.h, and batch_code.S,
 * whose code is what is run in it.
 */
#include <elf.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "log.h"
#include "remote/held.h"
#include "remote/trace.h"
#include "state/thread.h"

/*
 * The longest that a thread may take to stop, and a batch to end. KVM's ioctls take
 * milliseconds; an emulated host, a hundred times that.
 */
#define EXEC_TIMEOUT_MS 30000
/* And as much for each of many: where the host has other things to do an ioctl of a VM of 512 vCPUs takes more than a millisecond. */
#define EXEC_EACH_MS 5

#define PSTATE_BTYPE 0xc00

/* What is not mapped there is EIO to /proc/PID/mem. */
static int outcome(ssize_t done, size_t size)
{
	return done == (ssize_t)size ? 0 : done < 0 && errno != EIO ? sys_err() : -EFAULT;
}

static bool read_as_it_can(const struct held *held, uint64_t addr, void *buf, size_t size)
{
	struct iovec here = { buf, size }, there = { (void *)(uintptr_t)addr, size };

	return process_vm_readv(held->pid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

/*
 * What is there process_vm_readv() copies at once, /proc/PID/mem page by page and by way of a page of the kernel's; and the first waits for
 * what a userfaultfd has to bring (criu restore --lazy-pages; a dump refuses those), where the second ends. What the first does
 * not, for whatever reason, the second tries, and tells.
 */
int held_read(const struct held *held, uint64_t addr, void *buf, size_t size)
{
	return read_as_it_can(held, addr, buf, size) ? 0 : outcome(pread(held->mem, buf, size, addr), size);
}

/* Likewise; where the task itself may not write /proc/PID/mem does. */
int held_write(const struct held *held, uint64_t addr, const void *buf, size_t size)
{
	struct iovec here = { (void *)buf, size }, there = { (void *)(uintptr_t)addr, size };

	if (process_vm_writev(held->pid, &here, 1, &there, 1, 0) == (ssize_t)size)
		return 0;
	return outcome(pwrite(held->mem, buf, size, addr), size);
}

/*
 * Takes the thread to a PTRACE_EVENT_STOP, where it executes nothing of its own.
 * A SIGSTOP that CRIU has sent to a task that was stopped arrives on the way: it
 * must not take the place of our stop later, and must not be lost.
 */
static int interrupt(struct held *held)
{
	int status, ret;

	do {
		if (ptrace(PTRACE_INTERRUPT, held->tid, 0, 0) || ptrace(PTRACE_CONT, held->tid, 0, 0))
			return sys_err();
		ret = trace_wait_stop(held->tid, &status, EXEC_TIMEOUT_MS);
		if (ret)
			return ret;
		if (!trace_is_event_stop(status) && WSTOPSIG(status) == SIGSTOP)
			held->stop_signal = true;
	} while (!trace_is_event_stop(status));
	return 0;
}

/*
 * At the stop of a system call the kernel shows its own marker in x7, and the
 * thread's value comes back only after it: read there and written later, the marker
 * would stay. CRIU leaves its tasks in one before the late hook and before exit.
 */
static int leave_syscall_stop(struct held *held)
{
	struct __ptrace_syscall_info info = { 0 };

	if (ptrace(PTRACE_GET_SYSCALL_INFO, held->tid, sizeof(info), &info) < 0)
		return sys_err();
	return info.op == PTRACE_SYSCALL_INFO_NONE ? 0 : interrupt(held);
}

/* At each session, not only at the end of the dump: criu may be killed between two of them. */
static int save_sve(struct held *held)
{
	if (!thread_note_can_be(NT_ARM_SVE))
		return 0;
	held->sve_size = THREAD_SET_MAX;
	held->sve = malloc(held->sve_size);
	if (!held->sve)
		return -ENOMEM;
	if (trace_get_regset(held->tid, NT_ARM_SVE, held->sve, &held->sve_size)) {
		free(held->sve);
		held->sve = NULL; /* -EINVAL: no SVE here */
	}
	return 0;
}

/* All but SIGURG, which ends what is run. After its registers: the way back restores the mask too. */
static int block_signals(struct held *held)
{
	uint64_t all = ~(1ull << (SIGURG - 1));

	if (!held->masked && ptrace(PTRACE_SETSIGMASK, held->tid, sizeof(all), &all))
		return sys_err();
	held->masked = true;
	return 0;
}

/* A SIGURG of somebody else: by tgkill() to the thread, else to the process. */
static int note_urgent(struct held *held)
{
	siginfo_t info;

	if (ptrace(PTRACE_GETSIGINFO, held->tid, 0, &info))
		return sys_err();
	*(info.si_code == SI_TKILL ? &held->urgent_to_thread : &held->urgent_signal) = true;
	return 0;
}

/* The stop after @status: 1 the one at @stop, 0 one on the way, or a negative errno. */
static int judge_stop(struct held *held, int status, struct user_regs_struct *regs, uint64_t stop)
{
	int ret;

	if (trace_is_event_stop(status))
		return 0;
	switch (WSTOPSIG(status)) {
	case SIGSTOP:
		held->stop_signal = true;
		return 0;
	case SIGURG:
		/* What the call has answered is nowhere else: a mapping would stay. */
		ret = trace_get_regs(held->tid, regs) ? trace_get_regs(held->tid, regs) : 0;
		if (ret || regs->pc == stop)
			return ret ?: 1;
		return note_urgent(held);
	}
	pr_err("thread %d: signal %d while a system call was run in it\n", held->tid, WSTOPSIG(status));
	return -EFAULT;
}

int held_run(struct held *held, struct user_regs_struct *regs, uint64_t stop)
{
	const int timeout_ms = EXEC_TIMEOUT_MS + EXEC_EACH_MS * held->calls;
	int status, ret;

	held->calls = 0;
	regs->sp = held->frame;
	regs->pstate &= ~PSTATE_BTYPE; /* no branch has led here: guarded text (BTI) would refuse it */
	regs->regs[21] = held->vpid;
	regs->regs[22] = held->vtid;
	ret = trace_set_regs(held->tid, regs);
	if (!ret)
		ret = block_signals(held);
	while (!ret) {
		if (ptrace(PTRACE_CONT, held->tid, 0, 0))
			return sys_err();
		beside_run(&held->beside);
		ret = trace_wait_stop(held->tid, &status, timeout_ms);
		if (ret == -ETIMEDOUT) {
			held->away = true;
			pr_err("thread %d: a system call in it does not return after %d s: it goes on by itself "
			       "when it does\n",
			       held->tid, timeout_ms / 1000);
		}
		if (!ret)
			ret = judge_stop(held, status, regs, stop);
	}
	return ret < 0 ? ret : 0;
}

/* As held_read(), but where the thread itself can read, too: /proc/PID/mem goes through a guard page. */
static int read_stack(const struct held *held, uint64_t addr, void *buf, size_t size)
{
	int ret;

	if (read_as_it_can(held, addr, buf, size))
		return 0;
	ret = outcome(pread(held->mem, buf, size, addr), size); /* its stack grows by that */
	return ret || read_as_it_can(held, addr, buf, size) ? ret : -EFAULT;
}

/* Below its stack, as for a signal. What stands there is dead for it, and is put back all the same. */
static int plant_way_back(struct held *held)
{
	uint64_t at = (held->regs.sp - sizeof(struct way_back)) & ~15ull;
	struct way_back frame;
	int ret;

	ret = way_back_build(held->tid, &held->regs, held->sigmask, held->sve, held->sve_size, &frame);
	if (ret)
		return ret;
	ret = read_stack(held, at, &held->stack, sizeof(held->stack));
	if (!ret) {
		held->frame = at;
		ret = held_write(held, at, &frame, sizeof(frame));
	}
	if (!ret)
		return 0;
	pr_err("thread %d: no room for a signal frame below its stack pointer %#llx (%zu bytes): try again, or give it "
	       "a larger stack\n",
	       held->tid, (unsigned long long)held->regs.sp, sizeof(frame));
	return -ENOTSUP;
}

static int read_state(struct held *held)
{
	int ret = leave_syscall_stop(held);

	if (!ret)
		ret = trace_get_regs(held->tid, &held->regs);
	if (!ret && ptrace(PTRACE_GETSIGMASK, held->tid, sizeof(held->sigmask), &held->sigmask))
		ret = sys_err();
	if (!ret)
		ret = save_sve(held);
	return ret;
}

static int put_back(struct held *held)
{
	int ret = 0, err;

	if (held->masked && ptrace(PTRACE_SETSIGMASK, held->tid, sizeof(held->sigmask), &held->sigmask))
		ret = sys_err();
	if (held->sve) {
		err = trace_set_regset(held->tid, NT_ARM_SVE, held->sve, held->sve_size);
		ret = ret ?: err;
	}
	err = trace_set_regs(held->tid, &held->regs);
	ret = ret ?: err;
	/* The way back goes when the thread points at it no more. */
	if (held->frame) {
		err = held_write(held, held->frame, &held->stack, sizeof(held->stack));
		ret = ret ?: err;
	}
	held->urgent_signal = held->urgent_signal && kill(held->pid, SIGURG);
	held->urgent_to_thread = held->urgent_to_thread && syscall(SYS_tgkill, held->pid, held->tid, SIGURG);
	held->stop_signal = held->stop_signal && kill(held->pid, SIGSTOP);
	if (held->urgent_signal || held->urgent_to_thread || held->stop_signal)
		ret = ret ?: sys_err();
	return ret;
}

int held_put_back(struct held *held)
{
	int ret = held->away ? -ETIMEDOUT : put_back(held);

	/* Register sets take memory of the kernel's, which can lack for a moment; nothing else brings the thread back. */
	if (ret && !held->away)
		ret = put_back(held);
	free(held->sve);
	held->sve = NULL;
	return ret;
}

int held_take(struct held *held, const struct held_ids *ids, int mem)
{
	int ret;

	trace_hear_limit();
	*held = (struct held){ .pid = ids->pid, .tid = ids->tid, .vpid = ids->vpid, .vtid = ids->vtid, .mem = mem };
	ret = read_state(held);
	if (ret) {
		free(held->sve);
		held->sve = NULL;
		return ret;
	}
	ret = plant_way_back(held);
	if (ret)
		held_put_back(held);
	return ret;
}
