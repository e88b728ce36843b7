/* SPDX-License-Identifier: GPL-2.0-only */
/* A thread of the VMM that is held, to run system calls in it: what it was, and is to be again. */
#ifndef KVM_VGIC_REMOTE_HELD_H
#define KVM_VGIC_REMOTE_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "remote/beside.h"
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
	bool away; /* it did not come back from a call: nothing can be done in it */
	struct beside beside; /* done while it runs next, once */
	uint32_t calls; /* that it makes when it runs next, once: it has the more time */
};

struct held_ids {
	pid_t pid, tid;
	pid_t vpid, vtid; /* the same in its own pid namespace */
};

/*
 * Takes thread @ids, which this process has stopped by ptrace, and puts its way back in place. 0 or a negative errno, with nothing
 * changed in it. held_put_back() is for the first of the two.
 */
int held_take(struct held *held, const struct held_ids *ids, int mem);

/*
 * Runs it from @regs, whose x0 to x8, x19, x20 and x23 to x27 are the caller's, until the SIGURG that our
 * code sends itself, with the PC at @stop. *@regs is then what it has there. 0 or a negative errno.
 */
int held_run(struct held *held, struct user_regs_struct *regs, uint64_t stop);

/* The thread as it was, each part whatever became of the others. 0 or a negative errno. */
int held_put_back(struct held *held);

/* Memory of its process: 0 or a negative errno. */
int held_read(const struct held *held, uint64_t addr, void *buf, size_t size);
int held_write(const struct held *held, uint64_t addr, const void *buf, size_t size);

#endif
