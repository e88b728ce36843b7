// SPDX-License-Identifier: GPL-2.0-only
/* See record.h. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "record.h"
#include "remote/direct.h"

static struct record *to_record(struct remote *remote)
{
	return (struct record *)remote;
}

static uint64_t *copy(struct record *r, const void *data, uint32_t size)
{
	uint64_t *to = size ? malloc(size) : NULL;

	r->no_memory |= size && !to;
	return to ? memcpy(to, data, size) : NULL;
}

static struct recorded *add(struct record *r)
{
	if (r->nr == r->room) {
		size_t room = r->room ? 2 * r->room : 1024;
		struct recorded *list = reallocarray(r->list, room, sizeof(*list));

		if (!list) {
			r->no_memory = true;
			return NULL;
		}
		r->list = list;
		r->room = room;
	}
	return &r->list[r->nr++];
}

/* With the data as it is before the call. */
static void note(struct record *r, const struct remote_call *call)
{
	struct recorded *to = call->nr == SYS_ioctl ? add(r) : NULL;

	if (!to)
		return;
	*to = (struct recorded){ .fd = call->arg[0], .req = call->arg[1], .arg = call->arg[2],
				 .has_rest = call->arg_2_is_rest };
	memcpy(to->rest, &call->arg[3], sizeof(to->rest));
	if (!call->data)
		return;
	to->data_at = call->data_arg - 3;
	to->data = copy(r, call->data, call->size);
	to->size = call->size;
	if (!call->inner)
		return;
	to->inner = copy(r, call->inner, call->inner_size);
	to->inner_size = call->inner_size;
	to->inner_at = call->inner_at;
}

static int64_t run_call(struct remote *remote, const struct remote_call *call)
{
	struct record *r = to_record(remote);
	struct remote_call one = *call;
	size_t before = r->nr;

	note(r, call);
	direct_ops.exec(remote, &one, 1);
	if (r->nr > before)
		r->list[before].result = one.result;
	return one.result;
}

static int record_exec(struct remote *remote, struct remote_call *calls, size_t nr)
{
	remote_exec_each(remote, calls, nr, run_call);
	return to_record(remote)->no_memory ? -ENOMEM : 0;
}

static int record_read(struct remote *remote, uint64_t addr, void *buf, size_t size)
{
	return direct_ops.read(remote, addr, buf, size);
}

static int record_write(struct remote *remote, uint64_t addr, const void *buf, size_t size)
{
	return direct_ops.write(remote, addr, buf, size);
}

static const struct remote_ops record_ops = { .exec = record_exec, .read = record_read, .write = record_write };

int record_begin(struct record *r, size_t room)
{
	void *at = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*r = (struct record){ .remote.ops = &record_ops };
	if (at == MAP_FAILED)
		return -errno;
	r->remote.room = (uintptr_t)at;
	r->remote.vpid = getpid();
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* Copies that the calls may write to: the same data each time, in memory that is there. */
static uint64_t *prepare(const struct record *r, struct recorded *play, int event)
{
	size_t size = 0, at = 0;
	uint64_t *data;

	for (size_t i = 0; i < r->nr; i++)
		size += (r->list[i].size + 7) / 8 + (r->list[i].inner_size + 7) / 8;
	data = calloc(size + 1, sizeof(*data));
	if (!data)
		return NULL;
	for (size_t i = 0; i < r->nr; i++) {
		struct recorded *p = &play[i];

		*p = r->list[i];
		if (p->has_rest)
			p->arg = (uintptr_t)p->rest;
		if (!p->data)
			continue;
		*(p->has_rest ? &p->rest[p->data_at] : &p->arg) = (uintptr_t)memcpy(&data[at], p->data, p->size);
		/* An eventfd that was there for this one call. */
		if (p->req == KVM_IRQFD)
			((struct kvm_irqfd *)&data[at])->fd = event;
		if (p->inner) {
			uint64_t *inner = &data[at + (p->size + 7) / 8], addr = (uintptr_t)inner;

			memcpy(inner, p->inner, p->inner_size);
			memcpy((char *)&data[at] + p->inner_at, &addr, sizeof(addr));
		}
		at += (p->size + 7) / 8 + (p->inner_size + 7) / 8;
	}
	return data;
}

static int check(const struct recorded *played, const struct recorded *recorded)
{
	if (played->result == recorded->result)
		return 0;
	fprintf(stderr, "ioctl %#lx of fd %d: %lld, was %lld\n", played->req, played->fd, (long long)played->result,
		(long long)recorded->result);
	return -EIO;
}

int64_t record_play(struct record *r)
{
	int event = eventfd(0, EFD_CLOEXEC);
	struct recorded *play = calloc(r->nr + 1, sizeof(*play));
	uint64_t *data = play ? prepare(r, play, event) : NULL, start;
	int64_t ret = data ? 0 : -ENOMEM;

	start = now_ns();
	for (size_t i = 0; !ret && i < r->nr; i++) {
		long done = syscall(SYS_ioctl, play[i].fd, play[i].req, play[i].arg);

		play[i].result = done == -1 ? -errno : done;
	}
	ret = ret ?: (int64_t)(now_ns() - start);
	for (size_t i = 0; ret > 0 && i < r->nr; i++)
		if (check(&play[i], &r->list[i]))
			ret = -EIO;
	close(event);
	free(data);
	free(play);
	return ret;
}

void record_end(struct record *r)
{
	for (size_t i = 0; i < r->nr; i++) {
		free(r->list[i].data);
		free(r->list[i].inner);
	}
	free(r->list);
}
