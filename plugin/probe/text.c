// SPDX-License-Identifier: GPL-2.0-only
/* See text.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "probe/text.h"

#define FIRST_ROOM 8192 /* for most of them */
#define PIECE 4096

static int make_room(struct text *text)
{
	size_t room = text->room ? 2 * text->room : FIRST_ROOM;
	char *more;

	if (text->room - text->size > PIECE)
		return 0;
	more = realloc(text->at, room);
	if (!more)
		return -ENOMEM;
	text->at = more;
	text->room = room;
	return 0;
}

/* 1: more may come. */
static int read_piece(int fd, struct text *text)
{
	int ret = make_room(text);
	ssize_t got;

	if (ret)
		return ret;
	got = read(fd, text->at + text->size, text->room - text->size - 1);
	if (got < 0)
		return errno == EINTR ? 1 : -errno;
	text->size += got;
	text->at[text->size] = 0;
	return got > 0;
}

int text_read(int dirfd, const char *path, struct text *text)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	text->size = 0;
	do
		ret = read_piece(fd, text);
	while (ret > 0);
	close(fd);
	return ret;
}

void text_free(struct text *text)
{
	free(text->at);
	*text = (struct text){ 0 };
}

int proc_failed(pid_t pid, const char *what)
{
	int err = errno ?: EIO;

	/* A running task may end meanwhile: whether that is an error is for the caller to say. */
	if (err == ENOENT || err == ESRCH)
		return -ESRCH;
	pr_err("pid %d: cannot read /proc/%d/%s: %s (errno %d)\n", pid, pid, what, strerror(err), err);
	return -err;
}

int proc_text(pid_t pid, const char *name, struct text *text)
{
	char path[64];
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	ret = text_read(AT_FDCWD, path, text);
	if (!ret)
		return 0;
	errno = -ret;
	return proc_failed(pid, name);
}
