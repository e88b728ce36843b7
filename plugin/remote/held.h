/* SPDX-License-Identifier: GPL-2.0-only */
/* A thread of the VMM that is held, to run system calls in it: what it was, and is to be again. */
#ifndef KVM_VGIC_REMOTE_HELD_H
#define KVM_VGIC_REMOTE_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "remote/way_back.h"

struct held {
	pid_t pid, tid;	     /* of its process, its own */
	uint64_t vpid, vtid; /* the same in its own pid namespace */
	int mem;	     /* /proc/PID/mem, of whoever holds it */

	struct user_regs_struct regs;
	uint64_t sigmask;
	uint8_t *sve; /* NT_ARM_SVE, which system calls do not preserve; NULL where there is no SVE */
	size_t sve_size;
	bool masked;	       /* its signal mask is ours */
	uint64_t frame;	       /* where the way back stands, below its stack pointer */
	struct way_back stack; /* what stood there */
	/* SIGSTOP, SIGURG to the process, SIGURG to the thread were delivered meanwhile: to be sent again. */
	bool stop_signal, urgent_signal, urgent_to_thread;
	bool away;    /* it did not come back from a call: nothing can be done in it */
	uint64_t end; /* of the time that it has for what it runs: clock_us() */
};

/*
 * Takes thread @tid of @pid, which this process has stopped by ptrace, and puts its way back in place.
 * 0 or a negative errno, with nothing changed in it; -ENOTSUP, its stack has no room for the way back, is logged. held_put_back()
 * is for the first of the two.
 */
int held_take(struct held *held, pid_t pid, pid_t tid, int mem);

/* Likewise, without a word: another thread may do as well. */
int held_try(struct held *held, pid_t pid, pid_t tid, int mem);

/*
 * Lets it go from @regs, whose x0 to x8, x19, x20 and x23 to x27 are the caller's. 0 or a negative errno: it has not begun.
 */
int held_begin(struct held *held, struct user_regs_struct *regs);

/*
 * Waits for the SIGURG that our code sends itself, with the PC at @stop. *@regs is then what it has there. 0 or a negative errno.
 */
int held_end(struct held *held, struct user_regs_struct *regs, uint64_t stop);

/* The thread as it was, each part whatever became of the others. 0 or a negative errno. */
int held_put_back(struct held *held);

/* Memory of its process: 0 or a negative errno. */
int held_read(const struct held *held, uint64_t addr, void *buf, size_t size);
int held_write(const struct held *held, uint64_t addr, const void *buf, size_t size);

#endif
