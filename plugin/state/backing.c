// SPDX-License-Identifier: GPL-2.0-only
/* Whether a file that holds guest memory is what it was at the dump. */
#define XXH_INLINE_ALL
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "log.h"
#include "state/vm.h"

#define TELL_EVERY 3 /* seconds */

/* Where the next block with data begins: @at, a later one, or @b's end. Blocks are counted from @b->offset.
 */
static uint64_t skip_hole(const struct backing *b, int fd, uint64_t at)
{
	off_t data = lseek(fd, b->offset + at, SEEK_DATA);
	uint64_t found;

	if (data < 0)
		return errno == ENXIO ? b->size : at; /* else: no such notion there */
	found = data - b->offset;
	return found < at + BACKING_BLOCK ? at : found - found % BACKING_BLOCK;
}

static int read_block(int fd, char *buf, size_t size, uint64_t offset)
{
	while (size) {
		ssize_t got = pread(fd, buf, size, offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -ENODATA; /* shorter than a moment ago */
		buf += got;
		size -= got;
		offset += got;
	}
	return 0;
}

static bool is_zero(const char *buf, size_t size)
{
	return !buf[0] && !memcmp(buf, buf + 1, size - 1);
}

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static void tell_progress(const struct backing *b, uint64_t at, time_t *told)
{
	if (now() < *told + TELL_EVERY)
		return;
	*told = now();
	pr_info("memslot %u: %s: %" PRIu64 " of %" PRIu64 " MiB read\n", b->slot, b->path, at >> 20,
		b->size >> 20);
}

static int hash_blocks(const struct backing *b, int fd, int (*give_up)(void), char *buf, uint64_t *hash)
{
	time_t told = now();
	int ret = 0;

	*hash = 0;
	for (uint64_t at = skip_hole(b, fd, 0); at < b->size && !ret; at = skip_hole(b, fd, at)) {
		size_t size = b->size - at < BACKING_BLOCK ? b->size - at : BACKING_BLOCK;

		ret = read_block(fd, buf, size, b->offset + at);
		if (!ret && !is_zero(buf, size))
			*hash = XXH64(buf, size, *hash + at / BACKING_BLOCK + 1);
		at += size;
		tell_progress(b, at, &told);
		if (!ret && give_up)
			ret = give_up();
	}
	return ret;
}

int backing_hash(const struct backing *b, int fd, int (*give_up)(void), uint64_t *hash)
{
	char *buf = malloc(BACKING_BLOCK);
	int ret;

	if (!buf)
		return -ENOMEM;
	ret = hash_blocks(b, fd, give_up, buf, hash);
	free(buf);
	return ret;
}

#define refuse(vm, b, fmt, ...)                                                                              \
	({                                                                                                   \
		pr_err("vm %u: memslot %u (gpa 0x%" PRIx64 "): %s: " fmt                                     \
		       ": guest memory is in this file, not in the images: put it back as it was at the "    \
		       "dump, then restore again\n",                                                         \
		       (vm)->id, (b)->slot, (b)->gpa, (b)->path, ##__VA_ARGS__);                             \
		-EINVAL;                                                                                     \
	})

/*
 * The path is the image's, and may lead to what blocks or does something when
 * opened: only a regular file is. Links are followed, as CRIU will.
 */
static int open_regular(const char *path, struct stat *st)
{
	int fd;

	if (stat(path, st))
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, st))
		return -errno;
	if (S_ISREG(st->st_mode))
		return fd;
	close(fd); /* another one since */
	return -EINVAL;
}

static int check_content(const struct vm_state *vm, const struct backing *b, int fd, const struct stat *st)
{
	uint64_t hash;
	int ret;

	if ((uint64_t)st->st_size != b->file_size)
		return refuse(vm, b, "it had %" PRIu64 " bytes at the dump, and has %" PRIu64, b->file_size,
			      (uint64_t)st->st_size);
	pr_info("vm %u: memslot %u: %s: reading %" PRIu64 " KiB\n", vm->id, b->slot, b->path, b->size >> 10);
	ret = backing_hash(b, fd, NULL, &hash);
	if (ret)
		return refuse(vm, b, "cannot be read: %s (errno %d)", strerror(-ret), -ret);
	if (hash != b->hash)
		return refuse(vm, b,
			      "its content has changed (inode %" PRIu64 ", modified at %" PRId64
			      "; at the dump inode %" PRIu64 ", %" PRId64 ")",
			      (uint64_t)st->st_ino, (int64_t)st->st_mtime, b->inode, b->mtime);
	return 0;
}

static int check_one(const struct vm_state *vm, const struct backing *b)
{
	struct stat st;
	int fd = open_regular(b->path, &st), ret;

	if (fd == -EINVAL)
		return refuse(vm, b, "is not a regular file");
	if (fd < 0)
		return refuse(vm, b, "cannot be opened: %s (errno %d)", strerror(-fd), -fd);
	ret = check_content(vm, b, fd, &st);
	close(fd);
	return ret;
}

int backing_check(const struct vm_state *vm)
{
	int ret = 0;

	for (size_t i = 0; i < vm->nr_backings && !ret; i++)
		ret = check_one(vm, &vm->backings[i]);
	return ret;
}
