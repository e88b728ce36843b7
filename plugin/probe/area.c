// SPDX-License-Identifier: GPL-2.0-only
/* See area.h. Not by sscanf(), which takes longer for a line than the kernel does. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "probe/area.h"
#include "probe/text.h"

/* Digits of @base at *@at, and the character behind them: 0 is any number of spaces, which may be the end of the line. */
static bool take_number(const char **at, unsigned int base, char behind, uint64_t *value)
{
	const char *p = *at;

	*value = 0;
	for (;; p++) {
		bool is_decimal = *p >= '0' && *p <= '9';

		if (!is_decimal && (base == 10 || *p < 'a' || *p > 'f'))
			break;
		*value = *value * base + (is_decimal ? *p - '0' : *p - 'a' + 10);
	}
	if (p == *at || (behind && *p != behind))
		return false;
	if (behind)
		p++;
	while (!behind && *p == ' ')
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

	if (!take_number(&line, 16, '-', &area->start) || !take_number(&line, 16, ' ', &area->end) ||
	    !take_perms(&line, area) || !take_number(&line, 16, ' ', &area->offset) ||
	    !take_number(&line, 16, ':', &major) || !take_number(&line, 16, ' ', &minor) ||
	    !take_number(&line, 10, 0, &area->inode))
		return false;
	area->dev = makedev(major, minor);
	area->name = line;
	return true;
}

static size_t count_lines(const char *text)
{
	size_t nr = 0;

	for (; (text = strchr(text, '\n')); text++)
		nr++;
	return nr;
}

int proc_areas_parse(char *text, struct proc_areas *areas)
{
	char *end;

	*areas = (struct proc_areas){ .list = calloc(count_lines(text) + 1, sizeof(*areas->list)), .text = text };
	if (!areas->list)
		return -ENOMEM;
	for (; (end = strchr(text, '\n')); text = end + 1) {
		*end = 0;
		if (!proc_area_parse(text, &areas->list[areas->nr++]))
			return -EIO;
	}
	return 0;
}

int proc_areas_read(pid_t pid, struct proc_areas *areas)
{
	struct text text = { 0 };
	int ret = proc_text(pid, "maps", &text);

	*areas = (struct proc_areas){ .text = text.at };
	if (ret)
		return ret;
	ret = proc_areas_parse(text.at, areas);
	if (!ret)
		return 0;
	errno = -ret;
	return proc_failed(pid, "maps");
}

void proc_areas_free(struct proc_areas *areas)
{
	free(areas->list);
	free(areas->text);
	*areas = (struct proc_areas){ 0 };
}
