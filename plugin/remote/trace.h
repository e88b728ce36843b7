/* SPDX-License-Identifier: GPL-2.0-only */
/* ptrace of one arm64 task, which this process traces and has stopped: each answers 0 or a negative errno. */
#ifndef KVM_VGIC_REMOTE_TRACE_H
#define KVM_VGIC_REMOTE_TRACE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/* errno of the call before, negative; never 0. */
static inline int sys_err(void)
{
	return errno ? -errno : -EIO;
}

int trace_get_regs(pid_t tid, struct user_regs_struct *regs);
int trace_set_regs(pid_t tid, const struct user_regs_struct *regs);

/* Register set @note (NT_*). *@size: bytes of room before, bytes read after. */
int trace_get_regset(pid_t tid, unsigned int note, void *buf, size_t *size);
int trace_set_regset(pid_t tid, unsigned int note, const void *buf, size_t size);

/* Writes @nr words by POKEDATA, after which the instruction cache sees them. @addr: multiple of 8. */
int trace_poke(pid_t tid, uint64_t addr, const uint64_t *words, size_t nr);

/* Reads @nr words by PEEKDATA. */
int trace_peek(pid_t tid, uint64_t addr, uint64_t *words, size_t nr);

/* Waits for the next stop. -ETIMEDOUT, or -ESRCH when the task died. The limit is looked at by naps where it is not heard. */
int trace_wait_stop(pid_t tid, int *status, int timeout_ms);

/*
 * Has the signal heard by which trace_wait_stop() knows its limit: once for all that is waited for until somebody else may have
 * blocked signals, and in each process.
 */
void trace_hear_limit(void);

/*
 * Whether a task that was stopped runs again, or did until a signal came, which nobody has been told of yet. Of CRIU's own stops, and of
 * ours, each was waited for.
 */
bool trace_goes_on(pid_t tid);

/*
 * Takes a task that was seized, and runs, to a stop where it executes nothing of its own; a signal that comes first is
 * delivered. -ETIMEDOUT, or -ESRCH when the task died.
 */
int trace_interrupt(pid_t tid, int timeout_ms);

/* A stop of PTRACE_INTERRUPT, or of the group, and not one for a signal. */
bool trace_is_event_stop(int status);

#endif
