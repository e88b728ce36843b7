// SPDX-License-Identifier: GPL-2.0-only
/* See spent.h. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "clock.h"
#include "log.h"
#include "remote/task.h"
#include "spent.h"

static const char *const names[NR_SPENT] = {
	[SPENT_LOOK] = "looking",	[SPENT_THREADS] = "threads", [SPENT_READ] = "reading",
	[SPENT_IMAGES] = "images",	[SPENT_SWAP] = "kvm_run",    [SPENT_FILES] = "files",
	[SPENT_UNDO] = "putting back", [SPENT_BUILD] = "building",  [SPENT_START] = "starting",
};

static struct {
	enum spent on;
	uint64_t since;
	uint64_t us[NR_SPENT];
} spent;

enum spent spent_on(enum spent what)
{
	enum spent before = spent.on;
	uint64_t now = clock_us();

	spent.us[before] += now - spent.since;
	spent.on = what;
	spent.since = now;
	return before;
}

void spent_tell(const char *action)
{
	struct task_remote_use use = task_remote_used();
	char parts[256] = "";
	uint64_t all = 0;

	spent_on(SPENT_NOT);
	for (size_t i = SPENT_NOT + 1; i < NR_SPENT; i++) {
		size_t n = strlen(parts);

		all += spent.us[i];
		if (spent.us[i])
			snprintf(parts + n, sizeof(parts) - n, "%s%s %" PRIu64, n ? ", " : "", names[i], spent.us[i]);
		spent.us[i] = 0;
	}
	pr_info("%s took %" PRIu64 " us (%s), %" PRIu64 " ioctls and %" PRIu64 " other system calls in %" PRIu64
		" round trips of %" PRIu64 " us\n",
		action, all, parts, use.ioctls, use.calls - use.ioctls, use.trips, use.us);
}
