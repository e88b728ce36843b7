// SPDX-License-Identifier: GPL-2.0-only
/* See status.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/status.h"
#include "probe/text.h"

/* What is behind @name, where @line begins with it, or NULL. */
static const char *value_of(const char *line, const char *name)
{
	size_t n = strlen(name);

	return *line != *name || strncmp(line, name, n) ? NULL : line + n;
}

/* A number for each namespace, its own the last. */
static pid_t last_number(const char *numbers)
{
	long last = 0;
	char *end;

	for (; *numbers == '\t'; numbers = end)
		last = strtol(numbers + 1, &end, 10);
	return last;
}

static void read_line(const char *line, struct proc_status *status)
{
	const char *value;

	if ((value = value_of(line, "NSpid:")))
		status->vpid = last_number(value);
	else if ((value = value_of(line, "TracerPid:")))
		status->tracer = strtol(value, NULL, 10);
	else if ((value = value_of(line, "VmSize:")))
		status->space = strtoull(value, NULL, 10) << 10;
	else if ((value = value_of(line, "VmData:")))
		status->data = strtoull(value, NULL, 10) << 10;
	else if ((value = value_of(line, "Seccomp:")))
		status->has_seccomp = strncmp(value, "\t0", 2);
}

int proc_status(pid_t pid, pid_t tid, struct proc_status *status)
{
	struct text text = { 0 };
	char name[32] = "status";
	int ret;

	*status = (struct proc_status){ .has_seccomp = true };
	if (tid)
		snprintf(name, sizeof(name), "task/%d/status", tid);
	ret = proc_text(pid, name, &text);
	for (const char *line = ret ? NULL : text.at; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		read_line(line, status);
	}
	text_free(&text);
	return ret;
}
