/* SPDX-License-Identifier: GPL-2.0-only */
/* Documentation/filesystems/fuse.rst, include/uapi/linux/fuse.h: as little of it as a mapping needs. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuse.h"

#define ROOM	(1u << 20)	/* of a request, and of an answer */
#define FILE_ID	2		/* FUSE_ROOT_ID is 1 */

int odd_fuse_mount(const char *folder)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char options[64];

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	return fd < 0 || mount("fuse", folder, "fuse", MS_NOSUID | MS_NODEV, options) ? -1 : fd;
}

static void reply(int fd, uint64_t unique, int error, const void *data, size_t size)
{
	struct fuse_out_header head = { .len = sizeof(head) + (error ? 0 : size), .error = error, .unique = unique };
	struct iovec parts[] = { { &head, sizeof(head) }, { (void *)data, error ? 0 : size } };

	if (writev(fd, parts, 2) < 0 && errno != ENOENT)
		_exit(1);
}

static struct fuse_attr attr_of(uint64_t node, uint64_t size)
{
	if (node == FILE_ID)
		return (struct fuse_attr){ .ino = node, .size = size, .mode = S_IFREG | 0600, .nlink = 1, .blksize = 4096 };
	return (struct fuse_attr){ .ino = node, .mode = S_IFDIR | 0700, .nlink = 2, .blksize = 4096 };
}

static void look_up(int fd, const struct fuse_in_header *in, uint64_t size)
{
	struct fuse_entry_out out = { .nodeid = FILE_ID, .attr = attr_of(FILE_ID, size) };

	reply(fd, in->unique, strcmp((const char *)(in + 1), FUSE_FILE) ? -ENOENT : 0, &out, sizeof(out));
}

/* Nothing is cached of attributes: whoever looks asks. */
static void get_attr(int fd, const struct fuse_in_header *in, uint64_t size)
{
	struct fuse_attr_out out = { .attr = attr_of(in->nodeid, size) };

	reply(fd, in->unique, 0, &out, sizeof(out));
}

static void serve(int fd, const struct fuse_in_header *in, uint64_t size)
{
	static const char zeros[ROOM];
	const struct fuse_init_in *init = (const void *)(in + 1);
	const struct fuse_read_in *read_in = (const void *)(in + 1);
	const struct fuse_write_in *write_in = (const void *)(in + 1);
	struct fuse_init_out init_out = { .major = FUSE_KERNEL_VERSION, .max_write = 4096 };
	struct fuse_open_out open_out = { .open_flags = FOPEN_KEEP_CACHE };
	struct fuse_write_out write_out = { 0 };

	switch (in->opcode) {
	case FUSE_INIT:
		init_out.minor = init->minor < FUSE_KERNEL_MINOR_VERSION ? init->minor : FUSE_KERNEL_MINOR_VERSION;
		return reply(fd, in->unique, 0, &init_out, sizeof(init_out));
	case FUSE_LOOKUP:
		return look_up(fd, in, size);
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		return get_attr(fd, in, size);
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		return reply(fd, in->unique, 0, &open_out, sizeof(open_out));
	case FUSE_READ:
		return reply(fd, in->unique, 0, zeros, read_in->size < ROOM ? read_in->size : ROOM);
	case FUSE_WRITE:
		write_out.size = write_in->size;
		return reply(fd, in->unique, 0, &write_out, sizeof(write_out));
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FSYNC:
		return reply(fd, in->unique, 0, NULL, 0);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	}
	reply(fd, in->unique, -ENOSYS, NULL, 0);
}

void odd_fuse_serve(int fd, uint64_t size)
{
	char *request = malloc(ROOM);

	while (request) {
		ssize_t got = read(fd, request, ROOM);

		if (got < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (got < 0)
			break;	/* unmounted */
		serve(fd, (const struct fuse_in_header *)request, size);
	}
	_exit(0);
}
