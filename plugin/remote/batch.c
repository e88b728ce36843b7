// SPDX-License-Identifier: GPL-2.0-only
/* Building a list of calls, and one error line for the one that failed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "fault.h"
#include "log.h"
#include "remote/remote.h"
#include "uapi/kvm_arm64.h"

static bool grow(struct batch *b)
{
	size_t room = b->room ? 2 * b->room : 64;
	struct remote_call *calls = reallocarray(b->calls, room, sizeof(*calls));

	if (!calls) {
		b->no_memory = true;
		return false;
	}
	b->calls = calls;
	b->room = room;
	return true;
}

static struct remote_call *batch_add(struct batch *b, const char *what)
{
	static struct remote_call nowhere;

	if (b->nr == b->room && !grow(b))
		return &nowhere;
	b->calls[b->nr] = (struct remote_call){
		.step = b->step, .what = what, .plan_step = b->remote->plan_step, .vcpu = b->vcpu,
		.object = b->object, .errors = b->errors
	};
	return &b->calls[b->nr++];
}

struct remote_call *batch_syscall(struct batch *b, const char *what, long nr, uint64_t a0, uint64_t a1,
				  uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct remote_call *call = batch_add(b, what);

	call->nr = nr;
	memcpy(call->arg, (uint64_t[]){ a0, a1, a2, a3, a4, a5 }, sizeof(call->arg));
	return call;
}

struct remote_call *batch_ioctl_value(struct batch *b, int fd, unsigned long req, uint64_t value,
				      const char *what)
{
	return batch_syscall(b, what, SYS_ioctl, fd, req, value, 0, 0, 0);
}

static struct remote_call *add_ioctl(struct batch *b, int fd, unsigned long req, void *data, uint32_t size,
				     bool writes_back, const char *what)
{
	struct remote_call *call = batch_add(b, what);

	call->nr = SYS_ioctl;
	call->arg[0] = fd;
	call->arg[1] = req;
	call->data = data;
	call->size = size;
	call->writes_back = writes_back;
	return call;
}

struct remote_call *batch_ioctl(struct batch *b, int fd, unsigned long req, void *data, uint32_t size,
				const char *what)
{
	struct remote_call *call = add_ioctl(b, fd, req, data, size, _IOC_DIR(req) & _IOC_READ, what);

	call->data_arg = 2;
	return call;
}

/* Which argument the u64 at @at of the struct that starts with argument 3 is. */
#define ARG_AT(at) (3 + (at) / sizeof(uint64_t))

_Static_assert(sizeof(struct kvm_one_reg) <= 3 * sizeof(uint64_t), "in arguments 3 to 5");
_Static_assert(sizeof(struct kvm_device_attr) <= 3 * sizeof(uint64_t), "in arguments 3 to 5");

static struct remote_call *add_reg(struct batch *b, int fd, unsigned long req, uint64_t id, void *value,
				   const char *what)
{
	struct remote_call *call = add_ioctl(b, fd, req, value, kvm_reg_size(id), req == KVM_GET_ONE_REG, what);
	const struct kvm_one_reg reg = { .id = id };

	memcpy(&call->arg[3], &reg, sizeof(reg));
	call->data_arg = ARG_AT(offsetof(struct kvm_one_reg, addr));
	call->arg_2_is_rest = true;
	call->detail = id;
	return call;
}

struct remote_call *batch_get_reg(struct batch *b, int fd, uint64_t id, void *value)
{
	return add_reg(b, fd, KVM_GET_ONE_REG, id, value, "KVM_GET_ONE_REG");
}

struct remote_call *batch_set_reg(struct batch *b, int fd, uint64_t id, const void *value)
{
	return add_reg(b, fd, KVM_SET_ONE_REG, id, (void *)value, "KVM_SET_ONE_REG");
}

static struct remote_call *add_attr(struct batch *b, int fd, unsigned long req, uint32_t group, uint64_t number,
				    void *value, uint32_t size, const char *what)
{
	struct remote_call *call = add_ioctl(b, fd, req, value, size, req == KVM_GET_DEVICE_ATTR, what);
	const struct kvm_device_attr attr = { .group = group, .attr = number };

	memcpy(&call->arg[3], &attr, sizeof(attr));
	call->data_arg = ARG_AT(offsetof(struct kvm_device_attr, addr));
	call->arg_2_is_rest = true;
	call->detail = number;
	return call;
}

struct remote_call *batch_get_attr(struct batch *b, int fd, uint32_t group, uint64_t attr, void *value,
				   uint32_t size, const char *what)
{
	return add_attr(b, fd, KVM_GET_DEVICE_ATTR, group, attr, value, size, what);
}

struct remote_call *batch_set_attr(struct batch *b, int fd, uint32_t group, uint64_t attr, const void *value,
				   uint32_t size, const char *what)
{
	return add_attr(b, fd, KVM_SET_DEVICE_ATTR, group, attr, (void *)value, size, what);
}

void *batch_buffers(struct batch *b, size_t nr, size_t size)
{
	b->block = calloc(nr + 1, size);
	b->no_memory |= !b->block;
	return b->block;
}

struct remote_call *batch_write(struct batch *b, struct remote_write *write, size_t nr, const void *bytes, uint32_t size)
{
	struct remote_call *call = batch_syscall(b, "process_vm_writev", SYS_process_vm_writev, b->remote->vpid, 0, 1, 0, nr, 0);

	write->from.iov_len = size;
	call->data = write;
	call->size = offsetof(struct remote_write, to) + nr * sizeof(write->to[0]);
	call->data_arg = 1;
	call->also_arg = 3;
	call->also_at = offsetof(struct remote_write, to);
	call->inner = (void *)bytes;
	call->inner_size = size;
	call->inner_at = offsetof(struct remote_write, from.iov_base);
	call->detail = (uintptr_t)write->to[0].iov_base;
	return call;
}

/* Of the first @nr calls the first that failed without leave to, or NULL. */
static struct remote_call *first_failure(const struct batch *b, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (!b->calls[i].done || remote_call_failed(&b->calls[i]))
			return &b->calls[i];
	return NULL;
}

/* What is done to a device's attribute, which has a name of its own. */
static const char *operation(const struct remote_call *call)
{
	if (call->nr == SYS_ioctl && call->arg[1] == KVM_GET_DEVICE_ATTR)
		return "KVM_GET_DEVICE_ATTR ";
	if (call->nr == SYS_ioctl && call->arg[1] == KVM_SET_DEVICE_ATTR)
		return "KVM_SET_DEVICE_ATTR ";
	return "";
}

/* What the error line says of @call: of a run, the call that failed, or else the first that was not made. */
static uint64_t detail_of(const struct remote_call *call)
{
	if (!call->more)
		return call->detail;
	return remote_call_number(call, call->done ? call->made - 1 : call->made);
}

/* What the errno means for the VM, where that is known. */
static void explain(const struct batch *b, const struct remote_call *call, int err)
{
	const struct kvm_error *errors = call->errors;

	while (errors && errors->err && errors->err != -err)
		errors++;
	if (errors && errors->err)
		pr_err("vm %u: %s: %s\n", b->vm, call->object ?: call->step, errors->meaning);
}

static void log_failure(const struct batch *b, const struct remote_call *call, int err)
{
	char object[32] = "";

	if (call->vcpu >= 0)
		snprintf(object, sizeof(object), "vcpu %d: ", call->vcpu);
	pr_err("vm %u: %s: %s%s%s (%#" PRIx64 "): %s (errno %d)\n", b->vm, call->step, object, operation(call),
	       call->what, detail_of(call), strerror(-err), -err);
	explain(b, call, err);
}

/* The remote side itself, for which no call is to blame. Of several steps the first that has no answer is named. */
static void log_remote_failure(const struct batch *b, int err)
{
	const struct remote_call *first = first_failure(b, b->nr);
	const char *step = first ? first->step : b->step;

	if (b->vtid && err == -ESRCH)
		pr_err("vm %u: %s: vcpu %d: thread %d of the image is not there, or has died\n", b->vm, step, b->vcpu,
		       b->vtid);
	else
		pr_err("vm %u: %s: cannot run system calls in the VMM: %s (errno %d)\n", b->vm, step, strerror(-err),
		       -err);
}

static int exec(struct batch *b, struct remote_call *calls, size_t nr)
{
	if (b->vtid)
		return b->remote->ops->exec_in(b->remote, b->vtid, calls, nr);
	return b->remote->ops->exec(b->remote, calls, nr);
}

/* The call that a test lets fail: b->nr where there is none. *@of_run: which of a run. */
static size_t find_fault(const struct batch *b, uint32_t *of_run)
{
	for (size_t i = 0; i < b->nr; i++)
		for (uint32_t left = remote_call_left(&b->calls[i]); left; left--)
			if (fault_passed(FAULT_CALL, b->calls[i].step, b->calls[i].what)) {
				*of_run = remote_call_left(&b->calls[i]) - left;
				return i;
			}
	return b->nr;
}

/* Of @b the first @n calls, and of the run behind them the first @of_run. */
static int exec_first(struct batch *b, size_t n, uint32_t of_run)
{
	uint32_t more;
	int ret;

	if (!of_run)
		return n ? exec(b, b->calls, n) : 0;
	more = b->calls[n].more;
	b->calls[n].more = of_run - 1;
	ret = exec(b, b->calls, n + 1);
	b->calls[n].more = more;
	return ret;
}

static int exec_all(struct batch *b)
{
	uint32_t of_run = 0;
	size_t n = find_fault(b, &of_run);
	int ret;

	b->remote->is_last = b->is_last && n == b->nr; /* no part of one */
	if (n == b->nr)
		return exec(b, b->calls, n);
	ret = exec_first(b, n, of_run);
	if (ret || first_failure(b, n) || remote_call_failed(&b->calls[n]))
		return ret;
	ret = fault_strikes();
	if (!ret)
		return exec(b, b->calls + n, b->nr - n);
	b->calls[n].made++;
	b->calls[n].result = ret;
	b->calls[n].done = true;
	return 0;
}

static int no_memory(const struct batch *b)
{
	pr_err("vm %u: %s: out of memory\n", b->vm, b->step);
	return -ENOMEM;
}

/* What came of it before. */
static void forget(struct remote_call *call)
{
	call->made = 0;
	call->result = 0;
	call->done = false;
}

static int run(struct batch *b, bool log)
{
	const struct remote_call *failed;
	int ret;

	if (b->no_memory)
		return no_memory(b);
	for (size_t i = 0; i < b->nr; i++)
		forget(&b->calls[i]);
	ret = exec_all(b);
	if (ret) {
		log_remote_failure(b, ret);
		return ret;
	}
	failed = first_failure(b, b->nr);
	if (!failed)
		return 0;
	ret = failed->done ? (int)failed->result : -EIO;
	if (log)
		log_failure(b, failed, ret);
	return ret;
}

/* The calls of @b, behind those that wait. */
static int queue_calls(struct batch_queue *q, const struct batch *b)
{
	if (q->room - q->nr < b->nr) {
		size_t room = 2 * (q->nr + b->nr);
		struct remote_call *calls = reallocarray(q->calls, room, sizeof(*calls));

		if (!calls)
			return -ENOMEM;
		q->calls = calls;
		q->room = room;
	}
	if (b->nr)
		memcpy(&q->calls[q->nr], b->calls, b->nr * sizeof(*b->calls));
	q->nr += b->nr;
	return 0;
}

/* @b's buffers live as long as the queue's calls. */
static int queue_block(struct batch_queue *q, struct batch *b)
{
	void **more = b->block ? reallocarray(q->blocks, q->nr_blocks + 1, sizeof(*more)) : NULL;

	if (!b->block)
		return 0;
	if (!more)
		return -ENOMEM;
	q->blocks = more;
	more[q->nr_blocks++] = b->block;
	b->block = NULL;
	return 0;
}

static void free_queue(struct batch_queue *q)
{
	for (size_t i = 0; i < q->nr_blocks; i++)
		free(q->blocks[i]);
	free(q->blocks);
	free(q->calls);
}

static void keep_failure(struct batch_queue *q, int err, size_t step)
{
	if (q->failed)
		return;
	q->failed = err;
	q->failed_step = step;
}

/* Runs @all, of which the first @waited calls have waited: should it fail, whether it is one of these that has failed. */
static int run_all(struct batch *all, size_t waited)
{
	int ret = run(all, true);
	const struct remote_call *failed = ret ? first_failure(all, waited) : NULL;

	if (failed)
		keep_failure(&all->remote->queue, ret, failed->plan_step);
	return ret;
}

/* What waits, and then @b, in one: nothing waits afterwards. */
static int run_behind_queue(struct batch *b)
{
	struct batch_queue q = b->remote->queue;
	size_t waited = q.nr;
	int ret = b->no_memory || queue_calls(&q, b) ? no_memory(b) : 0;
	struct batch all = *b;

	b->remote->queue = (struct batch_queue){ .failed = q.failed, .failed_step = q.failed_step };
	all.calls = q.calls;
	all.nr = q.nr;
	if (ret) /* for want of memory of @b's: what has waited was not made */
		keep_failure(&b->remote->queue, ret, b->remote->plan_step);
	else
		ret = run_all(&all, waited);
	if (b->nr && q.nr == waited + b->nr)
		memcpy(b->calls, &q.calls[waited], b->nr * sizeof(*b->calls));
	free_queue(&q);
	return ret;
}

int batch_run(struct batch *b)
{
	if (!b->nr && !b->no_memory)
		return 0;
	if (!b->remote->queue.nr)
		return run(b, true);
	if (!b->vtid)
		return run_behind_queue(b);
	return batch_flush(b->remote) ?: run(b, true);
}

int batch_try(struct batch *b)
{
	return batch_flush(b->remote) ?: run(b, false);
}

int batch_later(struct batch *b)
{
	struct batch_queue *q = &b->remote->queue;

	if (!b->nr && !b->no_memory)
		return 0;
	if (!b->remote->can_wait || b->no_memory || queue_block(q, b))
		return batch_run(b);
	if (!q->calls) {
		q->calls = b->calls;
		q->nr = b->nr;
		q->room = b->room;
		b->calls = NULL;
		b->room = 0;
	} else if (queue_calls(q, b)) {
		return batch_run(b);
	}
	q->vm = b->vm;
	b->nr = 0;
	return 0;
}

static int flush(struct remote *remote, bool is_last)
{
	struct batch none = BATCH(remote, remote->queue.vm, "calls that waited");

	none.is_last = is_last;
	return remote->queue.failed ?: remote->queue.nr ? run_behind_queue(&none) : 0;
}

int batch_flush(struct remote *remote)
{
	return flush(remote, false);
}

int batch_end(struct remote *remote)
{
	return flush(remote, true);
}

void batch_drop(struct remote *remote)
{
	free_queue(&remote->queue);
	remote->queue = (struct batch_queue){ 0 };
}

int batch_close(struct remote *remote, uint32_t vm, const char *step, int fd)
{
	struct remote_call call; /* no memory is asked for: what is to be closed is to be so also where there is none */
	struct batch b = BATCH(remote, vm, step);

	b.calls = &call;
	b.room = 1;
	batch_syscall(&b, "close", SYS_close, fd, 0, 0, 0, 0, 0)->detail = fd;
	return batch_try(&b) ? batch_run(&b) : 0;
}

void batch_reset(struct batch *b)
{
	b->nr = 0;
	b->no_memory = false;
}

void batch_fini(struct batch *b)
{
	batch_reset(b);
	free(b->calls);
	free(b->block);
	b->calls = NULL;
	b->block = NULL;
	b->room = 0;
}
