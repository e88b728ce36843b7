// SPDX-License-Identifier: GPL-2.0-only
/* The fake as a remote: carries calls to the model, records them, fails them on request. */
#include <fnmatch.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "fake_kvm.h"

static struct fake_kvm *to_fake(struct remote *remote)
{
	return (struct fake_kvm *)remote;
}

static void *alloc(size_t size)
{
	void *block = calloc(1, size ? size : 1);

	if (!block)
		abort();
	return block;
}

static void *copy_of(const void *data, size_t size)
{
	return memcpy(alloc(size), data, size);
}

/* The record */

void fake_note(struct fake_kvm *kvm, const char *line)
{
	if (kvm->nr_lines == kvm->room_lines) {
		kvm->room_lines = kvm->room_lines ? 2 * kvm->room_lines : 512;
		kvm->lines = reallocarray(kvm->lines, kvm->room_lines, sizeof(*kvm->lines));
		if (!kvm->lines)
			abort();
	}
	snprintf(kvm->lines[kvm->nr_lines++], FAKE_LINE, "%s", line);
}

void fake_forget(struct fake_kvm *kvm)
{
	kvm->nr_lines = 0;
	kvm->nr_calls = 0;
}

bool fake_is_like(const char *line, const char *pattern)
{
	return !fnmatch(pattern, line, 0);
}

size_t fake_count(const struct fake_kvm *kvm, const char *pattern)
{
	size_t n = 0;

	for (size_t i = 0; i < kvm->nr_lines; i++)
		n += fake_is_like(kvm->lines[i], pattern);
	return n;
}

long fake_nth(const struct fake_kvm *kvm, const char *pattern, size_t n)
{
	for (size_t i = 0; i < kvm->nr_lines; i++)
		if (fake_is_like(kvm->lines[i], pattern) && !--n)
			return i;
	return -1;
}

long fake_first(const struct fake_kvm *kvm, const char *pattern)
{
	return fake_nth(kvm, pattern, 1);
}

long fake_last(const struct fake_kvm *kvm, const char *pattern)
{
	for (size_t i = kvm->nr_lines; i > 0; i--)
		if (fake_is_like(kvm->lines[i - 1], pattern))
			return i - 1;
	return -1;
}

/* Records a call. Negative: it is to fail with that errno, unexecuted. */
static int note_call(struct fake_kvm *kvm, const char *line)
{
	bool fails;

	fake_note(kvm, line);
	kvm->nr_calls++;
	fails = kvm->fail_like ? kvm->fail_times && fake_is_like(line, kvm->fail_like)
			       : kvm->nr_calls == kvm->fail_call ||
					 (kvm->fail_again && kvm->nr_calls == kvm->fail_call + 1);
	if (!fails)
		return 0;
	if (kvm->fail_like)
		kvm->fail_times--;
	kvm->failed_line = kvm->nr_lines - 1;
	return -kvm->fail_errno;
}

/* Calls */

static struct fake_fd fd_at(const struct fake_kvm *kvm, uint64_t fd)
{
	return fd < FAKE_FDS ? kvm->fds[fd] : (struct fake_fd){ FAKE_CLOSED, 0 };
}

static void describe(struct fake_kvm *kvm, long nr, const uint64_t *arg, char *line)
{
	struct fake_fd fd = fd_at(kvm, arg[0]);
	void *data = (void *)(uintptr_t)arg[2];

	snprintf(line, FAKE_LINE, "task: ioctl(%" PRIu64 ")", arg[0]);
	if (nr != SYS_ioctl)
		fake_task_describe(kvm, nr, arg, line);
	else if (fd.kind == FAKE_SYSTEM || arg[1] == KVM_CREATE_VCPU || arg[1] == KVM_CREATE_DEVICE)
		fake_host_describe(arg[1], arg[2], line);
	else if (fd.kind == FAKE_VM)
		fake_vm_describe(arg[1], data, line);
	else if (fd.kind == FAKE_VCPU)
		fake_vcpu_describe(kvm, fd.index, arg[1], data, line);
	else if (fd.kind == FAKE_VGIC && kvm->v5)
		fake_v5_describe(kvm, arg[1], data, line);
	else if (fd.kind == FAKE_VGIC && kvm->v2)
		fake_v2_describe(kvm, arg[1], data, line);
	else if (fd.kind == FAKE_VGIC)
		fake_vgic_describe(kvm, arg[1], data, line);
	else if (fd.kind == FAKE_ITS)
		fake_its_describe(fd.index, arg[1], data, line);
}

static int64_t execute(struct fake_kvm *kvm, long nr, const uint64_t *arg)
{
	struct fake_fd fd = fd_at(kvm, arg[0]);
	void *data = (void *)(uintptr_t)arg[2];

	if (nr != SYS_ioctl)
		return fake_task_call(kvm, nr, arg);
	if (fd.kind == FAKE_VM && (arg[1] == KVM_CREATE_VCPU || arg[1] == KVM_CREATE_DEVICE))
		return fake_host_ioctl(kvm, arg[1], arg[2]);
	switch (fd.kind) {
	case FAKE_SYSTEM:
		return fake_host_ioctl(kvm, arg[1], arg[2]);
	case FAKE_VM:
		return fake_vm_ioctl(kvm, arg[1], data);
	case FAKE_VCPU:
		return fake_vcpu_ioctl(kvm, fd.index, arg[1], data);
	case FAKE_VGIC:
		return kvm->v5 ? fake_v5_ioctl(kvm, arg[1], data) :
		       kvm->v2 ? fake_v2_ioctl(kvm, arg[1], data) :
				 fake_vgic_ioctl(kvm, arg[1], data);
	case FAKE_ITS:
		return fake_its_ioctl(kvm, fd.index, arg[1], data);
	case FAKE_EVENTFD:
	case FAKE_CLOSED:
		break;
	}
	return -EBADF;
}

/* The model sees copies of exactly the size the caller gave: a sanitizer finds what reaches beyond. */
static int64_t run_call(struct remote *remote, const struct remote_call *call)
{
	void *data = NULL, *inner = NULL, *rest = NULL;
	struct fake_kvm *kvm = to_fake(remote);
	char line[FAKE_LINE];
	uint64_t arg[6];
	int64_t result;

	memcpy(arg, call->arg, sizeof(arg));
	if (call->data) {
		data = copy_of(call->data, call->size);
		arg[call->data_arg] = (uintptr_t)data;
		if (call->also_arg)
			arg[call->also_arg] = (uintptr_t)data + call->also_at;
	}
	if (call->inner) {
		inner = copy_of(call->inner, call->inner_size);
		memcpy((uint8_t *)data + call->inner_at, &inner, sizeof(inner));
	}
	if (call->arg_2_is_rest) {
		rest = copy_of(&arg[3], (call->data_arg - 2) * sizeof(arg[0]));
		arg[2] = (uintptr_t)rest;
	}

	describe(kvm, call->nr, arg, line);
	result = note_call(kvm, line);
	if (!result)
		result = execute(kvm, call->nr, arg);
	if (call->writes_back && inner)
		memcpy(call->inner, inner, call->inner_size);
	else if (call->writes_back && data)
		memcpy(call->data, data, call->size);
	free(inner);
	free(data);
	free(rest);
	return result;
}

static int fake_exec(struct remote *remote, struct remote_call *calls, size_t nr)
{
	struct fake_kvm *kvm = to_fake(remote);

	kvm->nr_beside += remote->beside.run ? 1 : 0;
	beside_run(&remote->beside);
	kvm->behind_last += kvm->nr_last > 0;
	kvm->nr_last += remote->is_last;
	if (kvm->dead)
		return -kvm->dead;
	return remote_exec_each(remote, calls, nr, run_call);
}

/* In a task calls wait, and what they do not need is done beside them. */
static bool fake_is_at_hand(struct remote *remote, uint64_t addr, size_t size)
{
	return remote->can_wait;
}

/* In one of its threads, without memory to point to. */
static int fake_exec_in(struct remote *remote, int32_t vtid, struct remote_call *calls, size_t nr)
{
	struct fake_kvm *kvm = to_fake(remote);
	int ret;

	if (kvm->thread_dead)
		return -kvm->thread_dead;
	if (vtid < FAKE_FIRST_THREAD || vtid > FAKE_THREAD(FAKE_VCPUS - 1))
		return -ESRCH;
	for (size_t i = 0; i < nr; i++)
		if (calls[i].data || calls[i].arg_2_is_rest)
			return -EINVAL;
	kvm->vtid = vtid;
	ret = fake_exec(remote, calls, nr);
	kvm->vtid = FAKE_FIRST_THREAD;
	return ret;
}

/* Memory of the task */

static int access_memory(struct fake_kvm *kvm, const char *what, uint64_t addr, size_t size,
			 struct fake_map **map)
{
	char line[FAKE_LINE];
	int ret;

	*map = fake_map_at(kvm, addr, size);
	if (*map && (*map)->vcpu >= 0)
		snprintf(line, sizeof(line), "vcpu %d: %s page +%#" PRIx64, (*map)->vcpu, what,
			 addr - (*map)->start + (*map)->offset);
	else
		snprintf(line, sizeof(line), "%s: %s %#" PRIx64 ", %zu bytes",
			 *map && (*map)->is_guest ? "guest" : "task", what, addr, size);
	if (kvm->dead)
		return -kvm->dead;
	ret = note_call(kvm, line);
	return !ret && !*map ? -EIO : ret;
}

static int fake_read(struct remote *remote, uint64_t addr, void *buf, size_t size)
{
	struct fake_kvm *kvm = to_fake(remote);
	struct fake_map *map;
	int ret = batch_flush(remote) ?: access_memory(kvm, "read", addr, size, &map);

	if (!ret && map->vcpu < 0)
		memcpy(buf, fake_map_byte(kvm, map, addr), size);
	for (size_t i = 0; !ret && map->vcpu >= 0 && i < size; i++)
		((uint8_t *)buf)[i] = *fake_map_byte(kvm, map, addr + i);
	return ret;
}

/*
 * Where one of its accesses could be made to fail each is made by itself, and does not come right when it is made again: but for
 * guest memory, which is read in other parts then.
 */
static bool will_fail(struct fake_kvm *kvm, const struct iovec *there)
{
	const struct fake_map *map = fake_map_at(kvm, (uintptr_t)there->iov_base, there->iov_len);

	return !(map && map->is_guest) && (kvm->fail_like ? kvm->fail_times : kvm->fail_call > kvm->nr_calls);
}

static int fake_read_all(struct remote *remote, const struct iovec *here, const struct iovec *there, size_t nr)
{
	int ret = will_fail(to_fake(remote), there) ? -EAGAIN : 0;

	for (size_t i = 0; i < nr && !ret; i++)
		ret = fake_read(remote, (uint64_t)there[i].iov_base, here[i].iov_base, there[i].iov_len);
	return ret;
}

static int fake_write(struct remote *remote, uint64_t addr, const void *buf, size_t size)
{
	struct fake_kvm *kvm = to_fake(remote);
	struct fake_map *map;
	int ret = batch_flush(remote) ?: access_memory(kvm, "write", addr, size, &map);

	for (size_t i = 0; !ret && i < size; i++)
		*fake_map_byte(kvm, map, addr + i) = ((const uint8_t *)buf)[i];
	return ret;
}

static int fake_write_all(struct remote *remote, const struct iovec *here, const struct iovec *there, size_t nr)
{
	int ret = will_fail(to_fake(remote), there) ? -EAGAIN : 0;

	for (size_t i = 0; i < nr && !ret; i++)
		ret = fake_write(remote, (uint64_t)there[i].iov_base, here[i].iov_base, there[i].iov_len);
	return ret;
}

static int fake_bring(struct remote *remote, int32_t vpid, int fd)
{
	struct fake_kvm *kvm = to_fake(remote);
	char line[FAKE_LINE];
	int ret;

	snprintf(line, sizeof(line), "task: bring fd %d of pid %d", fd, vpid);
	if (kvm->dead)
		return -kvm->dead;
	ret = note_call(kvm, line);
	return ret ? ret : fake_eventfd_bring(kvm, vpid, fd);
}

static const struct remote_ops fake_ops = {
	.exec = fake_exec,
	.exec_in = fake_exec_in,
	.read = fake_read,
	.read_all = fake_read_all,
	.is_at_hand = fake_is_at_hand,
	.write = fake_write,
	.write_all = fake_write_all,
	.bring = fake_bring,
};

struct fake_kvm *fake_new(size_t nr_vcpus, uint32_t nr_irqs)
{
	struct fake_kvm *kvm = alloc(sizeof(*kvm));

	kvm->remote.ops = &fake_ops;
	kvm->remote.room = FAKE_ROOM;
	kvm->remote.vpid = FAKE_FIRST_THREAD;
	kvm->vtid = FAKE_FIRST_THREAD;
	kvm->nr_vcpus = nr_vcpus;
	kvm->gic.nr_irqs = nr_irqs;
	kvm->gic.dist_base = VGIC_ADDR_UNSET;
	kvm->pmu_events = PMU_MAX_EVENTS;
	kvm->pmu_counters = kvm->pmu_n = 6;
	for (size_t i = 0; i < FAKE_VCPUS; i++)
		kvm->vcpus[i].pvtime = VCPU_NO_PVTIME;
	fake_vgic_reset(kvm);
	return kvm;
}

void fake_free(struct fake_kvm *kvm)
{
	if (!kvm)
		return;
	for (size_t i = 0; i < kvm->nr_maps; i++)
		free(kvm->maps[i].bytes);
	free(kvm->v2);
	for (size_t i = 0; i < FAKE_SLOTS; i++)
		free(kvm->dirty[i]);
	fake_v5_destroy(kvm);
	free(kvm->lines);
	free(kvm);
}
