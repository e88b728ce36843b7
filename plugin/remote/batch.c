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

union two_level {
	struct kvm_one_reg reg;
	struct kvm_device_attr attr;
};

/* The first levels of calls, outside of the list of calls, which moves as it grows. */
struct batch_levels {
	struct batch_levels *next;
	size_t nr;
	union two_level list[128];
};

static struct remote_call *batch_add(struct batch *b, const char *what)
{
	static struct remote_call nowhere;

	if (b->nr == b->room) {
		size_t room = b->room ? 2 * b->room : 64;
		struct remote_call *calls = reallocarray(b->calls, room, sizeof(*calls));

		if (!calls) {
			b->no_memory = true;
			return &nowhere;
		}
		b->calls = calls;
		b->room = room;
	}

	b->calls[b->nr] = (struct remote_call){
		.step = b->step, .what = what, .plan_step = b->remote->plan_step, .vcpu = b->vcpu
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

struct remote_call *batch_ioctl(struct batch *b, int fd, unsigned long req, void *data, uint32_t size,
				const char *what)
{
	struct remote_call *call = batch_ioctl_value(b, fd, req, 0, what);

	call->data_arg = 2;
	call->data = data;
	call->size = size;
	call->writes_back = _IOC_DIR(req) & _IOC_READ;
	return call;
}

static union two_level *add_level(struct batch *b)
{
	struct batch_levels *block = b->levels;

	if (!block || block->nr == sizeof(block->list) / sizeof(block->list[0])) {
		block = malloc(sizeof(*block));
		if (!block) {
			b->no_memory = true;
			return NULL;
		}
		block->next = b->levels;
		block->nr = 0;
		b->levels = block;
	}
	return &block->list[block->nr++];
}

static struct remote_call *add_two_level(struct batch *b, int fd, unsigned long req, union two_level arg,
					 uint32_t size, uint32_t inner_at, void *value, uint32_t value_size,
					 const char *what)
{
	union two_level *kept = add_level(b);
	struct remote_call *call;

	if (!kept)
		return batch_add(b, what);
	*kept = arg;
	call = batch_ioctl(b, fd, req, kept, size, what);
	call->inner = value;
	call->inner_size = value_size;
	call->inner_at = inner_at;
	call->writes_back = req == KVM_GET_ONE_REG || req == KVM_GET_DEVICE_ATTR;
	return call;
}

static struct remote_call *add_reg(struct batch *b, int fd, unsigned long req, uint64_t id, void *value,
				   const char *what)
{
	union two_level arg = { .reg.id = id };
	struct remote_call *call =
		add_two_level(b, fd, req, arg, sizeof(arg.reg), offsetof(struct kvm_one_reg, addr), value,
			      kvm_reg_size(id), what);

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

static struct remote_call *add_attr(struct batch *b, int fd, unsigned long req, uint32_t group, uint64_t attr,
				    void *value, uint32_t size, const char *what)
{
	union two_level arg = { .attr = { .group = group, .attr = attr } };
	struct remote_call *call = add_two_level(b, fd, req, arg, sizeof(arg.attr),
						 offsetof(struct kvm_device_attr, addr), value, size, what);

	call->detail = attr;
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

/* Of the first @nr calls the first that failed without leave to, or NULL. */
static const struct remote_call *first_failure(const struct batch *b, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (!b->calls[i].done ||
		    (b->calls[i].result < 0 && b->calls[i].result != -b->calls[i].may_fail))
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

static void log_failure(const struct batch *b, const struct remote_call *call, int err)
{
	char object[32] = "";

	if (call->vcpu >= 0)
		snprintf(object, sizeof(object), "vcpu %d: ", call->vcpu);
	pr_err("vm %u: %s: %s%s%s (%#" PRIx64 "): %s (errno %d)\n", b->vm, call->step, object, operation(call),
	       call->what, call->detail, strerror(-err), -err);
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

/* How many calls come before one that a test lets fail. */
static size_t calls_before_fault(const struct batch *b)
{
	size_t i = 0;

	while (i < b->nr && !fault_passed(FAULT_CALL, b->calls[i].step, b->calls[i].what))
		i++;
	return i;
}

static int exec_all(struct batch *b)
{
	size_t n = calls_before_fault(b);
	int ret = n || !b->nr ? exec(b, b->calls, n) : 0;

	if (ret || n == b->nr || first_failure(b, n))
		return ret;
	ret = fault_strikes();
	if (!ret)
		return exec(b, b->calls + n, b->nr - n);
	b->calls[n].result = ret;
	b->calls[n].done = true;
	return 0;
}

static int no_memory(const struct batch *b)
{
	pr_err("vm %u: %s: out of memory\n", b->vm, b->step);
	return -ENOMEM;
}

static int run(struct batch *b, bool log)
{
	const struct remote_call *failed;
	int ret;

	if (b->no_memory)
		return no_memory(b);
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

static void free_levels(struct batch_levels *levels)
{
	while (levels) {
		struct batch_levels *block = levels;

		levels = block->next;
		free(block);
	}
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

/* @err is of @all, of which the first @waited calls have waited: whether it is one of these that has failed. */
static void keep_failure(struct batch_queue *q, const struct batch *all, size_t waited, int err)
{
	const struct remote_call *failed = first_failure(all, waited);

	if (!failed)
		return;
	q->failed = err;
	q->failed_step = failed->plan_step;
}

/* What waits, and then @b, in one: nothing waits afterwards. */
static int run_behind_queue(struct batch *b)
{
	struct batch_queue q = b->remote->queue;
	size_t waited = q.nr;
	int ret = b->no_memory || queue_calls(&q, b) ? no_memory(b) : 0;
	struct batch all = *b;

	b->remote->queue = (struct batch_queue){ 0 };
	all.calls = q.calls;
	all.nr = q.nr;
	ret = ret ?: run(&all, true);
	if (ret)
		keep_failure(&b->remote->queue, &all, waited, ret);
	if (b->nr && q.nr == waited + b->nr)
		memcpy(b->calls, &q.calls[waited], b->nr * sizeof(*b->calls));
	free_levels(q.levels);
	free(q.calls);
	return ret;
}

int batch_run(struct batch *b)
{
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
	struct batch_levels **end = &b->levels;

	if (!b->remote->can_wait || b->no_memory)
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
	while (*end)
		end = &(*end)->next;
	*end = q->levels;
	q->levels = b->levels;
	q->vm = b->vm;
	b->levels = NULL;
	b->nr = 0;
	return 0;
}

int batch_flush(struct remote *remote)
{
	struct batch none = BATCH(remote, remote->queue.vm, "calls that waited");

	return remote->queue.failed ?: remote->queue.nr ? run_behind_queue(&none) : 0;
}

void batch_drop(struct remote *remote)
{
	free_levels(remote->queue.levels);
	free(remote->queue.calls);
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
	free_levels(b->levels);
	b->levels = NULL;
	b->nr = 0;
	b->no_memory = false;
}

void batch_fini(struct batch *b)
{
	batch_reset(b);
	free(b->calls);
	b->calls = NULL;
	b->room = 0;
}
