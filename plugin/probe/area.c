// SPDX-License-Identifier: GPL-2.0-only
/* See area.h. Not by sscanf(), which takes longer for a line than the kernel does. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "log.h"
#include "probe/area.h"
#include "probe/discover.h"
#include "probe/text.h"

#define FIRST_ROOM 128 /* areas */
#define PIECE (64u << 10) /* what a read() may bring: a page of the kernel's, which can have so much */
#define LINE_KEPT 256

/* 16 and more: it is none. */
static inline unsigned int hex_digit(char c)
{
	unsigned int digit = c - '0', letter = c - 'a';

	return digit < 10 ? digit : letter < 6 ? letter + 10 : 16;
}

/* Digits at *@at, and the character behind them. */
static inline bool take_hex(const char **at, char behind, uint64_t *value)
{
	const char *p = *at;
	uint64_t read = 0;

	for (unsigned int digit; (digit = hex_digit(*p)) < 16; p++)
		read = read << 4 | digit;
	if (p == *at || *p != behind)
		return false;
	*value = read;
	*at = p + 1;
	return true;
}

/* Digits, and any number of spaces behind them, which may be the end of the line. */
static bool take_decimal(const char **at, uint64_t *value)
{
	const char *p = *at;

	for (*value = 0; *p >= '0' && *p <= '9'; p++)
		*value = *value * 10 + (*p - '0');
	if (p == *at)
		return false;
	while (*p == ' ')
		p++;
	*at = p;
	return true;
}

static bool take_perms(const char **at, struct proc_area *area)
{
	const char *p = *at;

	for (size_t i = 0; i < 4; i++)
		if (!p[i])
			return false;
	if (p[4] != ' ')
		return false;
	area->prot = (p[0] == 'r' ? PROT_READ : 0) | (p[1] == 'w' ? PROT_WRITE : 0) | (p[2] == 'x' ? PROT_EXEC : 0);
	area->is_shared = p[3] == 's';
	*at += 5;
	return true;
}

bool proc_area_parse(const char *line, struct proc_area *area)
{
	uint64_t major, minor;
	size_t size = 0;

	if (!take_hex(&line, '-', &area->start) || !take_hex(&line, ' ', &area->end) || !take_perms(&line, area) ||
	    !take_hex(&line, ' ', &area->offset) || !take_hex(&line, ':', &major) || !take_hex(&line, ' ', &minor) ||
	    !take_decimal(&line, &area->inode))
		return false;
	area->dev = makedev(major, minor);
	while (size < sizeof(area->name) - 1 && line[size] && line[size] != '\n')
		size++;
	memcpy(area->name, line, size);
	area->name[size] = 0;
	return true;
}

/* One more element, or NULL. */
static struct proc_area *new_area(struct proc_areas *areas)
{
	size_t room = areas->room ? 2 * areas->room : FIRST_ROOM;
	struct proc_area *more;

	if (areas->nr == areas->room) {
		more = reallocarray(areas->list, room, sizeof(*more));
		if (!more)
			return NULL;
		areas->list = more;
		areas->room = room;
	}
	return &areas->list[areas->nr++];
}

int proc_areas_add(struct proc_areas *areas, const char **text)
{
	const char *end;

	for (; (end = strchr(*text, '\n')); *text = end + 1) {
		struct proc_area *area = new_area(areas);

		if (!area)
			return -ENOMEM;
		if (!proc_area_parse(*text, area))
			return -EIO;
	}
	return 0;
}

/* A line that a piece ends in is kept for the next one; of one that is longer its begin alone, for all but that is of its name. */
static int read_areas(int fd, char *buf, size_t max_text, struct proc_areas *areas)
{
	size_t all = 0, kept = 0;

	for (;;) {
		ssize_t got = read(fd, buf + kept, PIECE);
		const char *rest = buf;
		int ret;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : 0;
		all += got;
		if (all > max_text)
			return -E2BIG;
		buf[kept + got] = 0;
		ret = proc_areas_add(areas, &rest);
		if (ret)
			return ret;
		kept = strnlen(rest, LINE_KEPT);
		memmove(buf, rest, kept);
	}
}

int proc_areas_read(pid_t pid, size_t max_text, struct proc_areas *areas)
{
	char path[32], *buf = malloc(LINE_KEPT + PIECE + 1);
	int fd, ret = -ENOMEM;

	*areas = (struct proc_areas){ 0 };
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		ret = -errno;
	else if (buf)
		ret = read_areas(fd, buf, max_text, areas);
	if (fd >= 0)
		close(fd);
	free(buf);
	if (ret == -E2BIG) {
		_Static_assert(PROC_TEXT_AT_DUMP == 64 << 20, "the text says so");
		pr_err("pid %d: its mappings and the names of their files are more than 64 MiB of text: " REFUSAL
		       ": have it map fewer, or files with shorter names\n", pid);
		return -ENOTSUP;
	}
	errno = -ret;
	return ret ? proc_failed(pid, "maps") : 0;
}

void proc_areas_free(struct proc_areas *areas)
{
	free(areas->list);
	*areas = (struct proc_areas){ 0 };
}
