/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ioctls of a plan, as a list that can be made again in one loop: what the kernel itself needs for
 * them, when the process that owns the VM makes them.
 */
#ifndef BENCH_RECORD_H
#define BENCH_RECORD_H

#include "remote/remote.h"

struct recorded {
	int fd;
	unsigned long req;
	uint64_t arg; /* a value, or the address of @data, or of @rest */
	uint64_t rest[3];
	uint32_t data_at; /* which of @rest is the address of @data; has_rest alone */
	bool has_rest;
	uint64_t *data, *inner;
	uint32_t size, inner_size; /* bytes */
	uint32_t inner_at;
	int64_t result;
};

struct record {
	struct remote remote; /* this process, with a note of each ioctl */
	struct recorded *list;
	size_t nr, room;
	bool no_memory;
};

/* @room: bytes of address space for what a plan maps, as task_remote_open() gives it. 0 or a negative errno. */
int record_begin(struct record *r, size_t room);

/*
 * Makes the ioctls of @r once more, on fds of the same numbers, and takes the time: ns, or a negative errno where one
 * answers otherwise than it did. @r keeps the data that it was recorded with.
 */
int64_t record_play(struct record *r);

void record_end(struct record *r);

#endif
