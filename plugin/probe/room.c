// SPDX-License-Identifier: GPL-2.0-only
/*
 * See room.h. A limit met in the middle of a dump fails it, and all is put back; but for that of a memory cgroup, by
 * which the kernel kills the VMM. Looked at beforehand each is named. CRIU's parasite needs some room too.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "log.h"
#include "probe/cgroup.h"
#include "probe/discover.h"
#include "probe/room.h"
#include "probe/sysctl.h"
#include "probe/text.h"

#define PARASITE_SPACE (1u << 20) /* bytes: an estimate, with room to spare */
#define PARASITE_MAPPINGS 8
#define KERNEL_SHARE (1u << 20) /* bytes of a memory cgroup, likewise: page tables and the like of both */

static int failed(pid_t pid, const char *what)
{
	int err = errno ?: EIO;

	pr_err("pid %d: cannot read %s: %s (errno %d)\n", pid, what, strerror(err), err);
	return -err;
}

static int check_limit(pid_t pid, int resource, const char *name, const char *option, uint64_t used, uint64_t need)
{
	struct rlimit limit;
	uint64_t left;

	if (prlimit(pid, resource, NULL, &limit))
		return failed(pid, name);
	left = limit.rlim_cur > used ? limit.rlim_cur - used : 0;
	if (limit.rlim_cur == RLIM_INFINITY || left >= need)
		return 0;
	pr_err("pid %d: %" PRIu64 " KiB left by its %s, of the %" PRIu64 " that a dump needs in it: " REFUSAL
	       ": raise the limit: prlimit --pid %d --%s=%" PRIu64 "\n",
	       pid, left >> 10, name, need >> 10, pid, option, used + need);
	return -ENOTSUP;
}

/* A number in a file, or @otherwise: where it says "max", and where it is not there. */
static uint64_t number_in(const char *root, const char *path, const char *name, uint64_t otherwise)
{
	uint64_t value = otherwise;
	struct text text = { 0 };
	char full[PATH_MAX];

	if (snprintf(full, sizeof(full), "%s%s/%s", root, path, name) >= (int)sizeof(full))
		return otherwise;
	if (text_read(AT_FDCWD, full, &text) || sscanf(text.at, "%" SCNu64, &value) != 1)
		value = otherwise;
	text_free(&text);
	return value;
}

static int check_mappings(pid_t pid, uint64_t used, uint64_t need)
{
	uint64_t max = sysctl_max_map_count();

	if (max > used && max - used >= need)
		return 0;
	pr_err("pid %d: %" PRIu64 " mappings, and %" PRIu64 " more that a dump needs in it, are more than vm.max_map_count: " REFUSAL
	       ": raise that: sysctl vm.max_map_count=%" PRIu64 "\n",
	       pid, used, need, used + need);
	return -ENOTSUP;
}

/* What the kernel gives up of a cgroup's before it kills. */
static uint64_t reclaimable(const char *root, const char *path)
{
	static const char *const fields[] = { "inactive_file %" SCNu64, "active_file %" SCNu64,
					      "slab_reclaimable %" SCNu64 };
	char full[PATH_MAX], *line = NULL;
	uint64_t all = 0, value;
	size_t room = 0;
	FILE *file;

	if (snprintf(full, sizeof(full), "%s%s/memory.stat", root, path) >= (int)sizeof(full))
		return 0;
	file = fopen(full, "re");
	while (file && getline(&line, &room, file) > 0)
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
			if (sscanf(line, fields[i], &value) == 1)
				all += value;
	free(line);
	if (file)
		fclose(file);
	return all;
}

static int check_one_cgroup(pid_t pid, const char *root, const char *path, uint64_t need)
{
	uint64_t max = number_in(root, path, "memory.max", UINT64_MAX), used, left;

	if (max == UINT64_MAX)
		return 0;
	used = number_in(root, path, "memory.current", 0);
	left = (max > used ? max - used : 0) + reclaimable(root, path);
	if (left >= need)
		return 0;
	pr_err("pid %d: %" PRIu64 " KiB left of memory.max of its cgroup %s, of the %" PRIu64
	       " that a dump needs in it: " REFUSAL ": raise it to %" PRIu64 "\n",
	       pid, left >> 10, path, need >> 10, max + need);
	return -ENOTSUP;
}

int room_check_cgroup(pid_t pid, const char *root, const char *path, const struct room *need)
{
	char at[PATH_MAX];
	int ret = 0;

	snprintf(at, sizeof(at), "%s", path);
	do
		ret = check_one_cgroup(pid, root, at, need->data + KERNEL_SHARE);
	while (!ret && cgroup_up(at));
	return ret;
}

int room_check(pid_t pid, const struct proc_view *seen, const struct room *need)
{
	char cgroup[PATH_MAX];
	int ret = check_limit(pid, RLIMIT_AS, "RLIMIT_AS", "as", seen->status.space, need->space + PARASITE_SPACE);

	if (!ret)
		ret = check_limit(pid, RLIMIT_DATA, "RLIMIT_DATA", "data", seen->status.data, need->data);
	if (!ret)
		ret = check_mappings(pid, seen->areas.nr, need->mappings + PARASITE_MAPPINGS);
	if (!ret && !cgroup_of(pid, cgroup))
		ret = room_check_cgroup(pid, CGROUP_ROOT, cgroup, need);
	return ret;
}
