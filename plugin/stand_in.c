// SPDX-License-Identifier: GPL-2.0-only
/* See stand_in.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "probe/park.h"
#include "probe/proc.h"
#include "remote/give.h"
#include "remote/task.h"
#include "remote/visit.h"
#include "stand_in.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#define PREFIX "kvm_vgic-"

int stand_in_new_token(struct stand_in_token *token)
{
	uint8_t bytes[16];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
		pr_err("no random bytes for this restore: %s\n", strerror(errno));
		return -EIO;
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(token->hex + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

int stand_in_open(const struct stand_in_token *token, uint32_t id)
{
	char name[80];
	int fd, err;

	snprintf(name, sizeof(name), PREFIX "%s-%x", token->hex, id);
	fd = syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	err = errno;
	if (fd < 0)
		pr_err("file %#x: memfd_create: %s (errno %d)\n", id, strerror(err), err);
	return fd < 0 ? -err : fd;
}

struct stand_in {
	pid_t pid;
	int fd;
	uint32_t id;
	bool cloexec;
};

struct stand_ins {
	struct stand_in *list;
	size_t nr;
};

static bool is_cloexec(pid_t pid, int fd)
{
	char path[48], line[64];
	unsigned int flags = 0;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info) && sscanf(line, "flags: %o", &flags) != 1)
		;
	if (info)
		fclose(info);
	return flags & O_CLOEXEC;
}

/* @link is what /proc shows of @fd of @pid. */
static int note(const struct stand_in_token *token, pid_t pid, int fd, const char *link,
		struct stand_ins *found)
{
	struct stand_in *more;
	char hex[33];
	uint32_t id;

	if (sscanf(link, "/memfd:" PREFIX "%32[0-9a-f]-%x", hex, &id) != 2 || strcmp(hex, token->hex))
		return 0;
	more = reallocarray(found->list, found->nr + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	found->list = more;
	more[found->nr++] = (struct stand_in){ pid, fd, id, is_cloexec(pid, fd) };
	return 0;
}

static int find_in(const struct stand_in_token *token, pid_t pid, struct stand_ins *found)
{
	char path[32], link[128];
	struct dirent *de;
	int ret = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (!ret && (de = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), de->d_name, link, sizeof(link) - 1);

		if (len < 0)
			continue;
		link[len] = 0;
		ret = note(token, pid, atoi(de->d_name), link, found);
	}
	closedir(dir);
	return ret;
}

static int find_all(const struct stand_in_token *token, pid_t root, struct stand_ins *found)
{
	pid_t *pids = NULL;
	size_t nr = 0;
	int ret = proc_tree(root, &pids, &nr);

	for (size_t i = 0; i < nr && !ret; i++)
		ret = find_in(token, pids[i], found);
	free(pids);
	return ret;
}

static int by_id(const void *a_, const void *b_)
{
	const struct stand_in *a = a_, *b = b_;

	return a->id < b->id ? -1 : a->id > b->id;
}

struct gift {
	const struct stand_in *to;
	int file;
};

static int give(void *arg, struct remote *remote)
{
	const struct gift *gift = arg;
	const struct stand_in *s = gift->to;
	int ret = fd_give(remote, s->pid, gift->file, s->fd, s->cloexec);

	if (ret)
		pr_err("pid %d: fd %d: cannot give it its file %#x: %s (errno %d)\n", s->pid, s->fd, s->id,
		       strerror(-ret), -ret);
	return ret;
}

/* Those of one file, which are the first @nr of @list. */
static int replace_file(const struct stand_in *list, size_t nr, int (*get)(uint32_t id))
{
	int file = get(list[0].id), ret = 0;

	if (file < 0)
		return file;
	for (size_t i = 0; i < nr && !ret; i++)
		ret = session_with_more_fds(list[i].pid, TASK_SPACE_SMALL, open_limit(), give,
					    &(struct gift){ &list[i], file });
	close(file);
	return ret;
}

int stand_in_replace_all(const struct stand_in_token *token, pid_t root, int (*get)(uint32_t id))
{
	struct stand_ins found = { 0 };
	int ret = find_all(token, root, &found);

	if (ret)
		pr_err("pid %d: cannot look at the fds of its tree: %s (errno %d)\n", root, strerror(-ret),
		       -ret);
	if (found.nr)
		qsort(found.list, found.nr, sizeof(*found.list), by_id);
	for (size_t i = 0, nr; i < found.nr && !ret; i += nr) {
		for (nr = 1; i + nr < found.nr && found.list[i + nr].id == found.list[i].id; nr++)
			;
		ret = replace_file(&found.list[i], nr, get);
	}
	free(found.list);
	return ret;
}
