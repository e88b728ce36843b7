/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System calls in somebody's mm.
 *
 * KVM answers -EIO to every ioctl that does not come from the mm that created
 * the VM, so state is read and written inside the VMM. A caller fills a batch of
 * calls and runs it; who executes it is behind struct remote: the stopped task
 * (task.c), or a fake that records (test/unit).
 */
#ifndef KVM_VGIC_REMOTE_H
#define KVM_VGIC_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One system call. Where @data is set, argument @data_arg is the address of a
 * copy of it in the remote mm; where @inner is set, the u64 at @data + @inner_at
 * is the address of a copy of that: the second level of KVM_GET_ONE_REG and
 * KVM_GET_DEVICE_ATTR.
 */
struct remote_call {
	long nr;
	uint64_t arg[6];
	int data_arg; /* index of the argument that points to @data */
	void *data;
	uint32_t size; /* bytes */
	void *inner;
	uint32_t inner_size, inner_at; /* bytes */
	bool writes_back; /* the call answers in the innermost of the two; else they are only read */

	int may_fail;	  /* an errno that is an answer, and does not end the batch; 0: none is */
	const char *step; /* for the error line: of its batch */
	const char *what; /* likewise: "KVM_SET_ONE_REG", "GICD_CTLR" */
	size_t plan_step; /* likewise: remote->plan_step when it was added */
	uint64_t detail;  /* likewise: a register id or an offset */
	int32_t vcpu;	  /* likewise: the vCPU it concerns, or -1 */
	int64_t result;	  /* as the kernel returns it: negative errno, or the value */
	bool done;	  /* it was executed */
};

struct remote;
struct batch_levels;
struct vm_state;

struct remote_ops {
	/*
	 * Executes @calls in order, ends after the first that fails otherwise than by may_fail.
	 * 0 when it got through or ended so; a negative errno when the remote side
	 * itself failed: -ETIMEDOUT, -ESRCH, -EIO.
	 */
	int (*exec)(struct remote *remote, struct remote_call *calls, size_t nr);
	/* Likewise, in thread @vtid (as its innermost pid namespace numbers it): calls without data. */
	int (*exec_in)(struct remote *remote, int32_t vtid, struct remote_call *calls, size_t nr);
	int (*read)(struct remote *remote, uint64_t addr, void *buf, size_t size);
	int (*write)(struct remote *remote, uint64_t addr, const void *buf, size_t size);
	/* A new fd for fd @fd of process @vpid of the tree, or a negative errno. NULL: there is no tree. */
	int (*bring)(struct remote *remote, int32_t vpid, int fd);
};

/* Calls that wait for the next batch: batch_later(). */
struct batch_queue {
	struct remote_call *calls;
	size_t nr, room;
	struct batch_levels *levels;
	uint32_t vm; /* whose they are */
	/* One of them has failed, or was not made, whatever became of the batch that it was made with: until batch_drop(). */
	int failed;	    /* its errno, negative */
	size_t failed_step; /* its plan_step */
};

struct remote {
	const struct remote_ops *ops;
	bool can_wait; /* a round trip is dear: calls wait for others where they can */
	struct batch_queue queue;
	size_t plan_step; /* that calls are made for; 0 where there is no plan */
	/*
	 * Address space of ours there, PROT_NONE and page-aligned, for what is mapped with MAP_FIXED. It is gone,
	 * with all that is in it, when the session ends: also by the death of criu.
	 */
	uint64_t room;
	/* The VM whose vCPUs' pages stand in the room; NULL: nobody's. */
	const struct vm_state *pages_of;
};

/* A growing list of calls on one remote. The context names a failing call. */
struct batch {
	struct remote *remote;
	struct remote_call *calls;
	size_t nr, room;
	struct batch_levels *levels; /* what calls of two levels point to */
	bool no_memory;	  /* a call could not be added: batch_run() says -ENOMEM */
	uint32_t vm;	  /* for the error line */
	const char *step; /* likewise */
	int32_t vcpu;	  /* given to the calls added from now on; -1: the VM or a device */
	int32_t vtid;	  /* the thread that makes the calls, which have no data then; 0: whichever it is */
};

#define BATCH(remote_, vm_, step_)                                                                           \
	{                                                                                                    \
		.remote = (remote_), .vm = (vm_), .step = (step_), .vcpu = -1                                \
	}

/*
 * Each adds a call and returns it, for may_fail or for its result, valid until the next is added: keep
 * the index (batch.nr - 1) instead where more follow. Buffers must live until batch_run().
 */
struct remote_call *batch_syscall(struct batch *b, const char *what, long nr, uint64_t a0, uint64_t a1,
				  uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
struct remote_call *batch_ioctl(struct batch *b, int fd, unsigned long req, void *data, uint32_t size,
				const char *what);
struct remote_call *batch_ioctl_value(struct batch *b, int fd, unsigned long req, uint64_t value,
				      const char *what);
struct remote_call *batch_get_reg(struct batch *b, int fd, uint64_t id, void *value);
struct remote_call *batch_set_reg(struct batch *b, int fd, uint64_t id, const void *value);
struct remote_call *batch_get_attr(struct batch *b, int fd, uint32_t group, uint64_t attr, void *value,
				   uint32_t size, const char *what);
struct remote_call *batch_set_attr(struct batch *b, int fd, uint32_t group, uint64_t attr, const void *value,
				   uint32_t size, const char *what);

/*
 * Runs all added calls. 0, or the negative errno of the first that failed, which
 * has then been logged with VM, step, vCPU and register, and no later one was
 * executed. The results stay until batch_reset().
 */
int batch_run(struct batch *b);

/*
 * batch_run() together with the next batch that is run on this remote, and before it: for calls whose answers nobody looks at
 * before, and whose buffers live as long as the VM's state. One that fails fails the other batch, under its own name, and each
 * batch_flush() from then on: whoever takes the failure for the other batch's may go on, but not to an end that is good. 0 or a
 * negative errno. @b is empty then.
 */
int batch_later(struct batch *b);

/* Runs what waits: 0 or a negative errno, logged, also of what has waited before. Or forgets it. */
int batch_flush(struct remote *remote);
void batch_drop(struct remote *remote);

/* batch_run() without the log line, for calls whose failure is an answer. */
int batch_try(struct batch *b);

/* Closes @fd there, and tries again where that fails: nobody else will. 0 or a negative errno, logged. */
int batch_close(struct remote *remote, uint32_t vm, const char *step, int fd);

/* Forgets the calls, keeps the context. batch_fini() frees. */
void batch_reset(struct batch *b);
void batch_fini(struct batch *b);

#endif
