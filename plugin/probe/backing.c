// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which memslots are in files. CRIU carries anonymous memory, shared or not, and
 * files that have no name any more: memfds, what was unlinked (its ghost files). Of a
 * file with a name it keeps the name, and of a private mapping of one only the
 * pages that were written. So every mapping of such a file counts, shared or private.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "probe/area.h"
#include "probe/backing.h"

struct capture {
	pid_t pid;
	struct vm_state *vm;
	int (*give_up)(void);
};

static int failed(pid_t pid, const char *what)
{
	int err = errno;

	pr_err("pid %d: %s: %s (errno %d)\n", pid, what, strerror(err), err);
	return -err;
}

/* One more at the end of @vm->backings; NULL, logged, when there is no room. */
static struct backing *new_backing(struct vm_state *vm, const char *path, const struct stat *st)
{
	struct backing *more = reallocarray(vm->backings, vm->nr_backings + 1, sizeof(*more));
	char *copy = strdup(path);

	if (more)
		vm->backings = more;
	if (!more || !copy) {
		pr_err("vm %u: %s: no memory for one more file under memslots\n", vm->id, path);
		free(copy);
		return NULL;
	}
	more[vm->nr_backings] = (struct backing){
		.path = copy,
		.file_size = st->st_size,
		.inode = st->st_ino,
		.mtime = st->st_mtime,
	};
	return &more[vm->nr_backings++];
}

static bool in_our_mount_namespace(pid_t pid)
{
	struct stat own, other;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	return !stat("/proc/self/ns/mnt", &own) && !stat(path, &other) && own.st_ino == other.st_ino;
}

/*
 * Whether @path leads to the file that is mapped. With that name gone and another one
 * left, a restore would find another file or none. As CRIU does, the path is taken
 * from the root of the task's mount namespace.
 */
static bool leads_to(pid_t pid, const char *path, const struct stat *mapped)
{
	char full[PATH_MAX + 32] = "";
	struct stat st;

	if (!in_our_mount_namespace(pid))
		snprintf(full, sizeof(full), "/proc/%d/root", pid);
	strcat(full, path);
	return !stat(full, &st) && st.st_dev == mapped->st_dev && st.st_ino == mapped->st_ino;
}

/* What is under @link, a name in /proc/PID/map_files: its path in @path, 1; or 0, it is in CRIU's image. */
static int identify(pid_t pid, const char *link, char path[PATH_MAX], struct stat *st)
{
	ssize_t len;

	if (stat(link, st))
		return failed(pid, link);
	if (!S_ISREG(st->st_mode) || !st->st_nlink)
		return 0;
	len = readlink(link, path, PATH_MAX - 1);
	if (len < 0)
		return failed(pid, link);
	path[len] = 0;
	if (leads_to(pid, path, st))
		return 1;
	pr_err("pid %d: %s: guest memory in a file that has lost this name and has another: not supported by "
	       "this version: unlink all its names, or start the VM with a file that keeps its name\n",
	       pid, path);
	return -ENOTSUP;
}

static int hash(const struct capture *c, const char *link, struct backing *b)
{
	int fd = open(link, O_RDONLY | O_NOCTTY | O_CLOEXEC), ret;

	if (fd < 0)
		return failed(c->pid, link);
	pr_info("vm %u: memslot %u: %s: reading %" PRIu64 " KiB\n", c->vm->id, b->slot, b->path,
		b->size >> 10);
	ret = backing_hash(b, fd, c->give_up, &b->hash);
	close(fd);
	if (ret) {
		errno = -ret;
		return failed(c->pid, b->path);
	}
	return 0;
}

static void warn(const struct capture *c, const struct backing *b, bool is_shared)
{
	pr_warn("vm %u: memslot %u (gpa 0x%" PRIx64 "): %s: %" PRIu64
		" bytes of guest memory are in this file, "
		"not in the images: keep it as it is until the restore%s\n",
		c->vm->id, b->slot, b->gpa, b->path, b->size,
		is_shared ? "; a VM that is left running goes on changing it: copy it before" : "");
}

/* The file under [@start, @end) of @area, which is all @slot's. */
static int capture_range(const struct capture *c, const struct proc_area *area, const struct memslot *slot,
			 uint64_t start, uint64_t end)
{
	uint64_t offset = area->offset + (start - area->start), size = end - start;
	char link[80], path[PATH_MAX];
	struct backing *b;
	struct stat st;
	int ret;

	snprintf(link, sizeof(link), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, c->pid, area->start,
		 area->end);
	ret = identify(c->pid, link, path, &st);
	if (ret <= 0 || offset >= (uint64_t)st.st_size)
		return ret < 0 ? ret : 0;
	if (c->vm->nr_backings == VM_MAX_BACKINGS) {
		pr_err("pid %d: %s: memslots over more than %u mappings of files: not supported by this "
		       "version: map fewer, longer ones\n",
		       c->pid, path, VM_MAX_BACKINGS);
		return -ENOTSUP;
	}
	b = new_backing(c->vm, path, &st);
	if (!b)
		return -ENOMEM;
	b->offset = offset;
	b->size = size < st.st_size - offset ? size : st.st_size - offset;
	b->slot = slot->slot;
	b->gpa = slot->gpa + (start - slot->hva);
	ret = hash(c, link, b);
	if (!ret)
		warn(c, b, area->is_shared);
	return ret;
}

static int capture_area(const struct capture *c, const struct proc_area *area)
{
	int ret = 0;

	for (size_t i = 0; i < c->vm->nr_slots && !ret; i++) {
		const struct memslot *slot = &c->vm->slots[i];
		uint64_t start = area->start > slot->hva ? area->start : slot->hva;
		uint64_t end = area->end < slot->hva + slot->size ? area->end : slot->hva + slot->size;

		if (start < end)
			ret = capture_range(c, area, slot, start, end);
	}
	return ret;
}

int backing_root(pid_t pid)
{
	char path[32];
	int fd;

	if (in_our_mount_namespace(pid))
		return AT_FDCWD;
	snprintf(path, sizeof(path), "/proc/%d/root", pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? failed(pid, path) : fd;
}

static bool is_under_slot(const struct vm_state *vm, const struct proc_area *area)
{
	for (size_t i = 0; i < vm->nr_slots; i++)
		if (area->start < vm->slots[i].hva + vm->slots[i].size && area->end > vm->slots[i].hva)
			return true;
	return false;
}

/* A mapping of a file has an inode. */
bool backing_is_there(const struct proc_areas *areas, const struct vm_state *vm)
{
	for (size_t i = 0; i < areas->nr; i++)
		if (areas->list[i].inode && is_under_slot(vm, &areas->list[i]))
			return true;
	return false;
}

int backing_capture(pid_t pid, struct vm_state *vm, int (*give_up)(void))
{
	const struct capture c = { .pid = pid, .vm = vm, .give_up = give_up };
	struct proc_areas areas;
	int ret = proc_areas_read(pid, PROC_TEXT_ALL, &areas);

	if (ret == -ESRCH) {
		errno = ESRCH;
		failed(pid, "its mappings");
	}
	for (size_t i = 0; i < areas.nr && !ret; i++)
		if (areas.list[i].inode)
			ret = capture_area(&c, &areas.list[i]);
	proc_areas_free(&areas);
	return ret;
}
