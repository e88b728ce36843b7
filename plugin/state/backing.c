// SPDX-License-Identifier: GPL-2.0-only
/* Whether a file that holds guest memory is what it was at the dump. */
#define XXH_INLINE_ALL
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
 * Links are followed, as CRIU will: where the path begins at @root, an absolute one too begins there. Without
 * RESOLVE_IN_ROOT it would lead out of it.
 */
static int open_at(int root, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = root == AT_FDCWD ? 0 : RESOLVE_IN_ROOT };
	int fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

/* 1: it is a regular file; 0: it is none. */
static int is_regular(int fd, struct stat *st)
{
	return fstat(fd, st) ? -errno : S_ISREG(st->st_mode);
}

/*
 * The path is the image's, and may lead to what blocks or does something when
 * opened: only a regular file is.
 */
static int open_regular(int root, const char *path, struct stat *st)
{
	int fd = open_at(root, path, O_PATH), ret;

	if (fd < 0)
		return fd;
	ret = is_regular(fd, st);
	close(fd);
	if (ret <= 0)
		return ret ?: -EINVAL;
	fd = open_at(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fd;
	ret = is_regular(fd, st); /* another one since? */
	if (ret > 0)
		return fd;
	close(fd);
	return ret ?: -EINVAL;
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

static int check_one(const struct vm_state *vm, const struct backing *b, int root)
{
	struct stat st;
	int fd = open_regular(root, b->path, &st), ret;

	if (fd == -EINVAL)
		return refuse(vm, b, "is not a regular file");
	if (fd < 0)
		return refuse(vm, b, "cannot be opened: %s (errno %d)", strerror(-fd), -fd);
	ret = check_content(vm, b, fd, &st);
	close(fd);
	return ret;
}

int backing_check(const struct vm_state *vm, int root)
{
	int ret = 0;

	for (size_t i = 0; i < vm->nr_backings && !ret; i++)
		ret = check_one(vm, &vm->backings[i], root);
	return ret;
}
