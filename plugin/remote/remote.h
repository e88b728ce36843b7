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
#include <sys/syscall.h>
#include <sys/uio.h>

#include "remote/beside.h"
#include "remote/kvm_error.h"

/*
 * One system call. Where @data is set, argument @data_arg is the address of a
 * copy of it in the remote mm; where @inner is set, the u64 at @data + @inner_at
 * is the address of a copy of that. Where @also_arg is set, that argument is the address of the byte at @data + @also_at.
 *
 * Most calls are KVM_GET_ONE_REG and KVM_GET_DEVICE_ATTR, or SET, with a value behind a struct kvm_one_reg or a struct
 * kvm_device_attr. That struct is in the call itself: where @arg_2_is_rest is set, which is an ioctl()'s alone, argument 2 is the
 * address of what arguments 3 to 5 say, in the remote mm. It has no more than three itself. Such calls come in
 * runs, which differ in the number of the register or attribute alone, and in the value: a run is one struct remote_call, begun as
 * its first call, which whoever adds it makes a run by @more, @stride and where the numbers are.
 */
struct remote_call {
	long nr;
	uint64_t arg[6];
	void *data;
	uint32_t size;	    /* bytes */
	uint8_t data_arg;   /* index of the argument that points to @data */
	uint8_t also_arg;   /* index of another that points to it; 0: none */
	uint8_t also_at;    /* bytes */
	bool arg_2_is_rest; /* the one before @data_arg is the number then */
	bool writes_back;   /* the call answers in @inner, or else in @data; if not, they are only read */
	bool done;	    /* it was executed; a run, to its end or to the call that failed */
	void *inner;
	uint32_t inner_size, inner_at; /* bytes */

	uint32_t more;		 /* calls of the run behind the first; 0: it is one call */
	uint32_t made;		 /* calls of it that were executed */
	uint32_t stride;	 /* bytes from the value of one to that of the next */
	uint32_t number_stride;	 /* likewise, of numbers that are not in @numbers */
	const uint64_t *numbers; /* all of them, with @stride from one to the next; or NULL */
	int64_t *results;	 /* where what each of a run has answered is put as well; or NULL */

	const char *step; /* for the error line: of its batch */
	const char *what; /* likewise: "KVM_SET_ONE_REG", "GICD_CTLR" */
	size_t plan_step; /* likewise: remote->plan_step when it was added */
	uint64_t detail;  /* likewise: a register id or an offset */
	int32_t vcpu;	  /* likewise: the vCPU it concerns, or -1 */
	const char *object;		 /* for a second line: what is concerned; NULL: as @step says */
	const struct kvm_error *errors; /* likewise: what an errno says of it; NULL: no more than strerror() does */
	int may_fail;	  /* an errno that is an answer, and does not end the batch; 0: none is */
	int64_t result;	  /* as the kernel returns it: negative errno, or the value; of a run, the last that is not 0 */
};

/* Whether the call, or one of the run, has failed, and may not. */
static inline bool remote_call_failed(const struct remote_call *call)
{
	return call->result < 0 && call->result != -call->may_fail;
}

/* What it has to answer, else it has failed: 0 where any answer that is no error will do. */
static inline int64_t remote_call_whole(const struct remote_call *call)
{
	return call->nr == SYS_process_vm_writev ? call->inner_size : 0;
}

/* How many calls of it were not executed. */
static inline uint32_t remote_call_left(const struct remote_call *call)
{
	return 1 + call->more - call->made;
}

/* The number by which call @i of a run differs from the others. */
static inline uint64_t remote_call_number(const struct remote_call *run, uint32_t i)
{
	if (run->numbers)
		return *(const uint64_t *)((const char *)run->numbers + (size_t)i * run->stride);
	return run->arg[run->data_arg - 1] + (uint64_t)i * run->number_stride;
}

/* Notes what the call has answered, or the next @nr of a run. */
void remote_call_made(struct remote_call *run, const int64_t *results, uint32_t nr);

struct remote;
struct vm_state;

struct remote_ops {
	/*
	 * Executes what is left of @calls in order, ends after the first that fails otherwise than by may_fail.
	 * 0 when it got through or ended so; a negative errno when the remote side
	 * itself failed: -ETIMEDOUT, -ESRCH, -EIO.
	 */
	int (*exec)(struct remote *remote, struct remote_call *calls, size_t nr);
	/* Likewise, in thread @vtid (as its innermost pid namespace numbers it): calls without data. */
	int (*exec_in)(struct remote *remote, int32_t vtid, struct remote_call *calls, size_t nr);
	int (*read)(struct remote *remote, uint64_t addr, void *buf, size_t size);
	int (*write)(struct remote *remote, uint64_t addr, const void *buf, size_t size);
	/*
	 * @nr ranges, IOV_MAX at most, each to one of its size, where that is one access: else, or where some of it
	 * cannot be read, a negative errno that says no more, and each is to be read by itself. NULL: there is no such access.
	 */
	int (*read_all)(struct remote *remote, const struct iovec *here, const struct iovec *there, size_t nr);
	/* Likewise to write them, each behind the one before: when it fails some of the first may have been written. */
	int (*write_all)(struct remote *remote, const struct iovec *here, const struct iovec *there, size_t nr);
	/*
	 * Whether read() of it makes no call there, and exec() runs what is to be done beside: it is no file's, but for those of the
	 * kernel's own, as memfds are. NULL: not so.
	 */
	bool (*is_at_hand)(struct remote *remote, uint64_t addr, size_t size);
	/* A new fd for fd @fd of process @vpid of the tree, or a negative errno. NULL: there is no tree. */
	int (*bring)(struct remote *remote, int32_t vpid, int fd);
};

/* An exec() of one call at a time, by @make: of a run each as a call of its own. */
int remote_exec_each(struct remote *remote, struct remote_call *calls, size_t nr,
		     int64_t (*make)(struct remote *remote, const struct remote_call *call));

/* Calls that wait for the next batch: batch_later(). */
struct batch_queue {
	struct remote_call *calls;
	size_t nr, room;
	void **blocks; /* that their buffers are in */
	size_t nr_blocks;
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
	struct beside beside; /* for the next exec() */
	bool is_last; /* the next exec(): see struct batch */
	/*
	 * Address space of ours there, PROT_NONE and page-aligned, for what is mapped with MAP_FIXED. It is gone,
	 * with all that is in it, when the session ends: also by the death of criu.
	 */
	uint64_t room;
	int32_t vpid; /* of the process, in its own pid namespace: by which it names itself */
	/* The VM whose vCPUs' pages stand in the room, and memory for copies of their mappings; NULL: nobody's. */
	const struct vm_state *pages_of, *copies_of;
};

/* A growing list of calls on one remote. The context names a failing call. */
struct batch {
	struct remote *remote;
	struct remote_call *calls;
	size_t nr, room;
	bool no_memory;	  /* a call could not be added: batch_run() says -ENOMEM */
	void *block;	  /* of batch_buffers() */
	uint32_t vm;	  /* for the error line */
	const char *step; /* likewise */
	int32_t vcpu;	  /* given to the calls added from now on; -1: the VM or a device */
	const char *object; /* likewise: as a call's; it lives as long as the call, which may wait */
	const struct kvm_error *errors; /* likewise */
	int32_t vtid;	  /* the thread that makes the calls, which have no data then; 0: whichever it is */
	/*
	 * When all its calls have succeeded nothing more is done there, and nobody looks at results: the session's memory may go with them,
	 * without a round trip of its own. Of a batch that fails it stays to the end of the session.
	 */
	bool is_last;
};

#define BATCH(remote_, vm_, step_) BATCH_FOR(remote_, vm_, step_, NULL, NULL)
#define BATCH_FOR(remote_, vm_, step_, object_, errors_)                                                     \
	{                                                                                                    \
		.remote = (remote_), .vm = (vm_), .step = (step_), .vcpu = -1, .object = (object_),          \
		.errors = (errors_)                                                                          \
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
 * @nr times @size bytes for the buffers of @b's calls, which live as long as the calls, also where these wait. Once for a batch.
 * NULL: there is no memory, and batch_run() and batch_later() say so.
 */
void *batch_buffers(struct batch *b, size_t nr, size_t size);

#define REMOTE_PLACES 32

/* Some bytes for places in the remote mm, which the process itself writes there: process_vm_writev(). */
struct remote_write {
	struct iovec from, to[REMOTE_PLACES]; /* @from is batch_write()'s own */
};

/*
 * @size bytes at @bytes to the first @nr of @write->to, in this order: nothing comes between them but what runs in the process itself, also
 * where criu is killed. The pages may be written to by the process. It is a call as others; where it has written a part, as it can where
 * @bytes go to more than one page, it has failed.
 */
struct remote_call *batch_write(struct batch *b, struct remote_write *write, size_t nr, const void *bytes, uint32_t size);

/*
 * Runs all added calls; where there are none, nothing, and what waits goes on waiting. 0, or the negative errno of the first that failed, which
 * has then been logged with VM, step, vCPU and register, and no later one was
 * executed. The results stay until batch_reset().
 */
int batch_run(struct batch *b);

/*
 * batch_run() together with the next batch that is run on this remote, and before it: for calls whose answers nobody looks at
 * before, and whose buffers live as long as the VM's state, or are batch_buffers(). One that fails fails the other batch, under its own name, and each
 * batch_flush() from then on: whoever takes the failure for the other batch's may go on, but not to an end that is good. 0 or a
 * negative errno. @b is empty then.
 */
int batch_later(struct batch *b);

/* Runs what waits: 0 or a negative errno, logged, also of what has waited before; as a batch that is last, too. Or forgets it. */
int batch_flush(struct remote *remote);
int batch_end(struct remote *remote);
void batch_drop(struct remote *remote);

/* batch_run() without the log line, for calls whose failure is an answer. */
int batch_try(struct batch *b);

/* Closes @fd there, and tries again where that fails: nobody else will. 0 or a negative errno, logged. */
int batch_close(struct remote *remote, uint32_t vm, const char *step, int fd);

/* Forgets the calls, keeps the context. batch_fini() frees. */
void batch_reset(struct batch *b);
void batch_fini(struct batch *b);

#endif
