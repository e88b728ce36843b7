// SPDX-License-Identifier: GPL-2.0-only
/* See parasite.h. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "parasite.h"
#include "probe/area.h"
#include "remote/trace.h"
#include "tool.h"

#define NAME "/memfd:CRIUMFD (deleted)"

static int cannot_read(pid_t pid, const char *what, int err)
{
	tool_error("pid %d: cannot read /proc/%d/%s: %s (errno %d)", pid, pid, what, strerror(-err), -err);
	return err;
}

/* compel maps it shared; its parts may have been given protections of their own. */
static int add_map(struct parasite *p, char *line)
{
	struct parasite_map *more;
	struct proc_area area;

	line[strcspn(line, "\n")] = 0;
	if (!proc_area_parse(line, &area) || !area.is_shared || strcmp(area.name, NAME))
		return 0;
	more = reallocarray(p->maps, p->nr_maps + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	p->maps = more;
	more[p->nr_maps++] = (struct parasite_map){ .start = area.start, .end = area.end };
	return 0;
}

static int find_maps(pid_t pid, struct parasite *p)
{
	char path[32], *line = NULL;
	size_t room = 0;
	FILE *maps;
	int ret = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return cannot_read(pid, "maps", sys_err());
	while (!ret && getline(&line, &room, maps) > 0)
		ret = add_map(p, line);
	free(line);
	fclose(maps);
	return ret;
}

static int add_fd(struct parasite *p, int dirfd, const char *name)
{
	char link[sizeof(NAME) + 1] = "";
	int *more;

	if (readlinkat(dirfd, name, link, sizeof(link) - 1) < 0 || strcmp(link, NAME))
		return 0;
	more = reallocarray(p->fds, p->nr_fds + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	p->fds = more;
	more[p->nr_fds++] = atoi(name);
	return 0;
}

static int find_fds(pid_t pid, struct parasite *p)
{
	char path[32];
	struct dirent *de;
	int ret = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return cannot_read(pid, "fd", sys_err());
	while (!ret && (de = readdir(dir)))
		ret = add_fd(p, dirfd(dir), de->d_name);
	closedir(dir);
	return ret;
}

int parasite_find(pid_t pid, struct parasite *p)
{
	*p = (struct parasite){ 0 };
	return find_maps(pid, p) ?: find_fds(pid, p);
}

bool parasite_is_there(const struct parasite *p)
{
	return p->nr_maps || p->nr_fds;
}

void parasite_free(struct parasite *p)
{
	free(p->maps);
	free(p->fds);
	*p = (struct parasite){ 0 };
}

/* ---- who is in it ---- */

static bool has(const struct parasite *p, uint64_t addr)
{
	for (size_t i = 0; i < p->nr_maps; i++)
		if (addr >= p->maps[i].start && addr < p->maps[i].end)
			return true;
	return false;
}

/* 1, 0, or a negative errno. All general registers: what is none of an address is not where this is mapped. */
static int points_there(const struct parasite *p, pid_t tid)
{
	union {
		struct user_regs_struct regs;
		uint64_t words[sizeof(struct user_regs_struct) / sizeof(uint64_t)];
	} u;
	int ret = trace_get_regs(tid, &u.regs);

	for (size_t i = 0; i < sizeof(u.words) / sizeof(u.words[0]) && !ret; i++)
		ret = has(p, u.words[i]);
	return ret;
}

pid_t parasite_thread(const struct parasite *p, const pid_t *tids, size_t nr)
{
	for (size_t i = 0; i < nr && p->nr_maps; i++) {
		int ret = points_there(p, tids[i]);

		if (ret < 0)
			tool_error("thread %d: cannot read its registers: %s (errno %d)", tids[i], strerror(-ret), -ret);
		if (ret)
			return ret < 0 ? ret : tids[i];
	}
	return 0;
}

/* ---- away with it ---- */

int parasite_take_out(const struct parasite *p, struct remote *remote)
{
	struct batch b = BATCH(remote, 0, "recover");
	int ret;

	for (size_t i = 0; i < p->nr_maps; i++)
		batch_syscall(&b, "munmap", SYS_munmap, p->maps[i].start, p->maps[i].end - p->maps[i].start, 0, 0, 0, 0);
	for (size_t i = 0; i < p->nr_fds; i++)
		batch_syscall(&b, "close", SYS_close, p->fds[i], 0, 0, 0, 0, 0);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}
