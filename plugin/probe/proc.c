// SPDX-License-Identifier: GPL-2.0-only
/* /proc/PID/fd, maps and smaps, as far as KVM is in them, and the threads and children of a process. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "log.h"
#include "probe/proc.h"
#include "probe/text.h"
#include "state/vcpu.h"

#define KVM_MISC_MAJOR 10
#define KVM_MISC_MINOR 232

/* One more element at the end of an array, zeroed, or NULL. */
static void *grow(void *array, size_t *nr, size_t size)
{
	void **at = array, *more = reallocarray(*at, *nr + 1, size);

	if (!more)
		return NULL;
	*at = more;
	return memset((char *)more + (*nr)++ * size, 0, size);
}

/*
 * The number of the character device @name is open on, 0 for none: a device may be called anything, and anything
 * may be called as a device is. The server of a file is not asked, which may not answer.
 */
static dev_t device_of(int dirfd, const char *name)
{
	struct statx st;

	if (statx(dirfd, name, AT_STATX_DONT_SYNC, STATX_TYPE, &st) || !S_ISCHR(st.stx_mode))
		return 0;
	return makedev(st.stx_rdev_major, st.stx_rdev_minor);
}

/* A device of VHOST or VFIO: by what sysfs has under its number, and where there is no sysfs by its name. */
static bool reaches_memory(dev_t device, const char *link)
{
	char path[64], at[256] = "";

	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u", major(device), minor(device));
	if (readlink(path, at, sizeof(at) - 1) < 0)
		return !strncmp(link, "/dev/vhost-", 11) || !strncmp(link, "/dev/vfio/", 10);
	return strstr(at, "/vhost-") || strstr(at, "/vfio");
}

/* The kind of fd that @link names, or -1: not KVM's. No file with a path has a name without a slash in front. */
static int fd_kind(dev_t device, const char *link)
{
	if (!strncmp(link, PROC_VCPU, strlen(PROC_VCPU)))
		return PROC_FD_VCPU;
	if (!strcmp(link, PROC_ANON "kvm-vm"))
		return PROC_FD_VM;
	if (!strcmp(link, PROC_ANON "kvm-arm-vgic-v2"))
		return PROC_FD_VGIC_V2;
	if (!strcmp(link, PROC_ANON "kvm-arm-vgic-v3"))
		return PROC_FD_VGIC_V3;
	if (!strcmp(link, PROC_ANON "kvm-arm-vgic-v5"))
		return PROC_FD_VGIC_V5;
	if (!strcmp(link, PROC_ANON "kvm-arm-vgic-its"))
		return PROC_FD_ITS;
	if (!strcmp(link, PROC_ANON "kvm-vm-stats") ||
	    !strncmp(link, PROC_ANON "kvm-vcpu-stats:", strlen(PROC_ANON "kvm-vcpu-stats:")))
		return PROC_FD_STATS;
	if (!strncmp(link, PROC_ANON "kvm-", strlen(PROC_ANON "kvm-")) ||
	    !strncmp(link, PROC_ANON "[kvm-", strlen(PROC_ANON "[kvm-")) || !strncmp(link, "/[kvm-gmem]", 11))
		return PROC_FD_OTHER;
	return device == makedev(KVM_MISC_MAJOR, KVM_MISC_MINOR) ? PROC_FD_SYSTEM : -1;
}

/* One that does not fit ends in dots. */
static void set_name(char *name, size_t room, const char *link)
{
	if (snprintf(name, room, "%s", link) >= (int)room)
		strcpy(name + room - 4, "...");
}

static int add_fd(struct proc_scan *scan, int fd, int kind, const char *link)
{
	struct proc_fd *found = grow(&scan->fds, &scan->nr_fds, sizeof(*found));

	if (!found)
		return -ENOMEM;
	found->fd = fd;
	found->kind = kind;
	set_name(found->name, sizeof(found->name), link);
	return 0;
}

/* 1, 0: it is not open, or a negative errno. */
static int scan_fd(struct proc_scan *scan, int dirfd, const char *name)
{
	int fd = atoi(name), kind;
	char link[PATH_MAX] = "";
	dev_t device;
	int *open;

	if (readlinkat(dirfd, name, link, sizeof(link) - 1) < 0)
		return errno == ENOENT ? 0 : -errno;
	open = grow(&scan->open, &scan->nr_open, sizeof(*open));
	if (!open)
		return -ENOMEM;
	*open = fd;
	if (!strcmp(link, PROC_ANON "[userfaultfd]"))
		scan->userfaultfd = fd;
	device = link[0] == '/' ? device_of(dirfd, name) : 0;
	kind = fd_kind(device, link);
	if (device && kind < 0 && reaches_memory(device, link))
		set_name(scan->device, sizeof(scan->device), link);
	return (kind < 0 ? 0 : add_fd(scan, fd, kind, link)) ?: 1;
}

/* Of numbers that are tried, so many may be of no fd. */
#define MAX_GAPS 8

/*
 * From 0 up, until there are as many fds as the kernel says that are open (st_size of the folder, since Linux 6.2): what it lists it
 * looks for in all of its table, which in a restored process is as large as CRIU's was. Not of a process that runs: one that it opens
 * meanwhile would take the place of another, as one does that is opened by another process with this table. *@next is the first number that was not tried. 1: these are all, 0 or a negative errno.
 */
static int scan_lowest(struct proc_scan *scan, int dirfd, int *next)
{
	struct stat st;
	char name[16];
	int ret = 0;

	*next = 0;
	if (scan->view.status.tracer != getpid())
		return 0;
	if (fstat(dirfd, &st))
		return -errno;
	while (ret >= 0 && scan->nr_open < (size_t)st.st_size && *next - (int)scan->nr_open < MAX_GAPS) {
		snprintf(name, sizeof(name), "%d", (*next)++);
		ret = scan_fd(scan, dirfd, name);
	}
	return ret < 0 ? ret : scan->nr_open && scan->nr_open == (size_t)st.st_size;
}

/* Those from @first up. */
static int scan_listed(struct proc_scan *scan, DIR *dir, int first)
{
	struct dirent *de;
	int ret = 0;

	while (ret >= 0 && (de = readdir(dir)))
		if (de->d_name[0] != '.' && atoi(de->d_name) >= first)
			ret = scan_fd(scan, dirfd(dir), de->d_name);
	return ret < 0 ? ret : 0;
}

static int compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int proc_max_fd(const struct proc_scan *scan)
{
	return scan->nr_open ? scan->open[scan->nr_open - 1] : -1;
}

static int scan_fds(pid_t pid, struct proc_scan *scan, bool by_numbers)
{
	int ret = 0, next = 0;
	char path[32];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return proc_failed(pid, "fd");
	if (by_numbers)
		ret = scan_lowest(scan, dirfd(dir), &next);
	scan->by_numbers = next > 0;
	if (!ret)
		ret = scan_listed(scan, dir, next);
	closedir(dir);
	if (ret < 0) {
		errno = -ret;
		return proc_failed(pid, "fd");
	}
	if (scan->nr_open)
		qsort(scan->open, scan->nr_open, sizeof(*scan->open), compare_fds);
	return 0;
}

/*
 * CRIU puts code into the first executable mapping, by ptrace, which writes to what the process itself may not write to only
 * where it is private. Elsewhere CRIU ends by SIGSEGV (seen with 4.1.1; 4.2.1 reads the same).
 */
static void scan_text(struct proc_scan *scan, const struct proc_area *area)
{
	if (!(area->prot & PROT_EXEC) || scan->has_text)
		return;
	scan->has_text = true;
	if (area->is_shared && !(area->prot & PROT_WRITE))
		scan->barred_text = area->start;
}

static int scan_area(struct proc_scan *scan, const struct proc_area *area)
{
	struct proc_map *map;

	scan_text(scan, area);
	if (strncmp(area->name, PROC_VCPU, strlen(PROC_VCPU)))
		return 0;
	map = grow(&scan->maps, &scan->nr_maps, sizeof(*map));
	if (!map)
		return -ENOMEM;
	*map = (struct proc_map){
		.start = area->start,
		.size = area->end - area->start,
		.offset = area->offset,
		.prot = area->prot,
		.is_shared = area->is_shared,
		.vcpu_id = strtoul(area->name + strlen(PROC_VCPU), NULL, 10),
	};
	return 0;
}

static int scan_areas(struct proc_scan *scan)
{
	int ret = 0;

	for (size_t i = 0; i < scan->view.areas.nr && !ret; i++)
		ret = scan_area(scan, &scan->view.areas.list[i]);
	return ret;
}

/* VmFlags as Documentation/filesystems/proc.rst names them; 0: comes with protection, file and kernel. */
static const struct {
	char name[3];
	uint32_t flag;
} vm_flags[] = {
	{ "rd", 0 },
	{ "wr", 0 },
	{ "ex", 0 },
	{ "sh", 0 },
	{ "mr", 0 },
	{ "mw", 0 },
	{ "me", 0 },
	{ "ms", 0 },
	{ "sd", 0 }, /* soft-dirty */
	{ "lo", VCPU_MAP_LOCKED },
	{ "lf", VCPU_MAP_ONFAULT },
	{ "dc", VCPU_MAP_DONTFORK },
	{ "dd", VCPU_MAP_DONTDUMP },
	{ "sr", VCPU_MAP_SEQUENTIAL },
	{ "rr", VCPU_MAP_RANDOM },
	{ "hg", VCPU_MAP_HUGEPAGE },
	{ "nh", VCPU_MAP_NOHUGEPAGE },
	{ "nr", VCPU_MAP_NORESERVE },
};
#define NR_VM_FLAGS (sizeof(vm_flags) / sizeof(vm_flags[0]))

static void scan_vm_flags(struct proc_map *map, const char *names)
{
	char name[4];
	int used;

	map->strange[0] = 0;
	for (; sscanf(names, "%3s%n", name, &used) == 1; names += used) {
		size_t i = 0;

		while (i < NR_VM_FLAGS && strcmp(vm_flags[i].name, name))
			i++;
		if (i < NR_VM_FLAGS)
			map->flags |= vm_flags[i].flag;
		else if (!map->strange[0])
			strcpy(map->strange, name);
	}
}

/* Missing pages, write protection, minor faults. */
static bool is_of_userfaultfd(const char *names)
{
	return strstr(names, " um") || strstr(names, " uw") || strstr(names, " ui");
}

static int compare_starts(const void *key, const void *map)
{
	const uint64_t start = *(const uint64_t *)key, its = ((const struct proc_map *)map)->start;

	return (start > its) - (start < its);
}

/* They are in the order of maps. */
static struct proc_map *map_at(const struct proc_scan *scan, uint64_t start, uint64_t end)
{
	struct proc_map *map =
		scan->nr_maps ? bsearch(&start, scan->maps, scan->nr_maps, sizeof(*map), compare_starts) : NULL;

	return map && map->size == end - start ? map : NULL;
}

/* A mapping's line as maps has it, then what is known of it. */
static void scan_smap(struct proc_scan *scan, const char *line)
{
	struct proc_area area;

	if (proc_area_parse(line, &area)) {
		scan->area_now = area.start;
		scan->map_now = map_at(scan, area.start, area.end);
	} else if (!strncmp(line, "VmFlags:", 8)) {
		if (scan->map_now)
			scan_vm_flags(scan->map_now, line + 8);
		if (is_of_userfaultfd(line + 8))
			scan->uffd_area = scan->area_now;
	}
}

/* By lines: of a VMM with thousands of mappings it is some MiB. */
static int scan_smaps(pid_t pid, struct proc_scan *scan)
{
	char path[32], *line = NULL;
	size_t room = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	file = fopen(path, "re");
	if (!file)
		return proc_failed(pid, "smaps");
	while (getline(&line, &room, file) > 0)
		scan_smap(scan, line);
	free(line);
	fclose(file);
	return 0;
}

int proc_scan_map_flags(pid_t pid, struct proc_scan *scan)
{
	/* What smaps says nothing of stays strange. */
	for (size_t i = 0; i < scan->nr_maps; i++)
		strcpy(scan->maps[i].strange, "?");
	return scan_smaps(pid, scan);
}

static int scan_fd_limit(pid_t pid, struct proc_scan *scan)
{
	struct rlimit limit;

	if (prlimit(pid, RLIMIT_NOFILE, NULL, &limit))
		return proc_failed(pid, "limits");
	scan->fd_limit = limit.rlim_cur;
	return 0;
}

/* What depends on it: in a dump time counts, all of the process stands still, and what is too much is refused. */
enum moment { AT_ANY_TIME, IN_A_DUMP };

static int scan_all(pid_t pid, struct proc_scan *scan, enum moment moment)
{
	int ret;

	*scan = (struct proc_scan){ .userfaultfd = -1 };
	ret = proc_view_read(pid, moment == IN_A_DUMP ? PROC_TEXT_AT_DUMP : PROC_TEXT_ALL, &scan->view);
	ret = ret ?: scan_areas(scan);
	ret = ret ?: scan_fds(pid, scan, moment == IN_A_DUMP);
	return ret ?: scan_fd_limit(pid, scan);
}

int proc_scan(pid_t pid, struct proc_scan *scan)
{
	return scan_all(pid, scan, AT_ANY_TIME);
}

int proc_scan_by_numbers(pid_t pid, struct proc_scan *scan)
{
	return scan_all(pid, scan, IN_A_DUMP);
}

int proc_scan_fds(pid_t pid, struct proc_scan *scan)
{
	scan->nr_fds = scan->nr_open = 0;
	scan->userfaultfd = -1;
	scan->device[0] = 0;
	return scan_fds(pid, scan, false);
}

void proc_scan_free(struct proc_scan *scan)
{
	free(scan->fds);
	free(scan->maps);
	free(scan->open);
	proc_view_free(&scan->view);
	*scan = (struct proc_scan){ 0 };
}

pid_t proc_vpid(pid_t pid, pid_t tid)
{
	struct proc_status status;
	int ret = proc_status(pid, tid, &status);

	if (ret)
		return ret;
	return status.vpid > 0 ? status.vpid : -ESRCH;
}

int proc_each_thread(pid_t pid, int (*use)(pid_t pid, pid_t tid, void *arg), void *arg)
{
	char path[32];
	struct dirent *de;
	int ret = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return proc_failed(pid, "task");
	while (!ret && (de = readdir(dir)))
		if (de->d_name[0] != '.')
			ret = use(pid, atoi(de->d_name), arg);
	closedir(dir);
	return ret;
}

static bool is_in_our_pid_namespace(pid_t pid)
{
	struct stat own, its;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	return !stat("/proc/self/ns/pid", &own) && !stat(path, &its) && own.st_dev == its.st_dev && own.st_ino == its.st_ino;
}

/* Whether its threads have one number each. A process stays in its pid namespace: of the same one it is asked once. */
static bool has_our_numbers(pid_t pid)
{
	static pid_t asked;
	static bool answer;

	if (asked != pid)
		answer = is_in_our_pid_namespace(pid);
	asked = pid;
	return answer;
}

struct with_vtid {
	int (*use)(pid_t tid, pid_t vtid, void *arg);
	void *arg;
	bool is_ours;
};

static int use_with_vtid(pid_t pid, pid_t tid, void *arg)
{
	const struct with_vtid *with = arg;
	pid_t vtid = with->is_ours ? tid : proc_vpid(pid, tid);

	return vtid < 0 ? vtid : with->use(tid, vtid, with->arg);
}

int proc_each_vtid(pid_t pid, int (*use)(pid_t tid, pid_t vtid, void *arg), void *arg)
{
	struct with_vtid with = { use, arg, has_our_numbers(pid) };

	return proc_each_thread(pid, use_with_vtid, &with);
}

/* Where @arg is what @tid is called in its pid namespace, @tid itself. */
static int match_vtid(pid_t tid, pid_t vtid, void *arg)
{
	return vtid == *(const pid_t *)arg ? tid : 0;
}

pid_t proc_tid(pid_t pid, pid_t vtid)
{
	return proc_each_vtid(pid, match_vtid, &vtid) ?: -ESRCH;
}

pid_t proc_tracer(pid_t pid, pid_t tid)
{
	struct proc_status status;

	return proc_status(pid, tid, &status) ?: status.tracer;
}

bool proc_is_traced(pid_t pid)
{
	struct proc_status status;

	return !proc_status(pid, 0, &status) && status.tracer == getpid();
}

pid_t proc_find_traced(pid_t vpid)
{
	DIR *dir = opendir("/proc");
	pid_t found = -ESRCH;
	struct dirent *de;

	if (!dir)
		return -errno;
	while (found != -ENOTUNIQ && (de = readdir(dir))) {
		pid_t pid = atoi(de->d_name);

		if (pid > 0 && proc_is_traced(pid) && proc_vpid(pid, pid) == vpid)
			found = found == -ESRCH ? pid : -ENOTUNIQ;
	}
	closedir(dir);
	return found;
}

/* The children of one thread, behind those that are known; @dirfd is of its process's threads. */
static int add_children(int dirfd, const char *tid, struct text *text, pid_t **pids, size_t *nr)
{
	char path[32], *end;
	int ret;

	snprintf(path, sizeof(path), "%.16s/children", tid);
	ret = text_read(dirfd, path, text);
	for (const char *at = text->at; !ret && *at; at = end) {
		long child = strtol(at, &end, 10);
		pid_t *more = end == at ? NULL : grow(pids, nr, sizeof(*more));

		if (!more)
			return end == at ? 0 : -ENOMEM;
		*more = child;
	}
	return ret;
}

int proc_add_children(pid_t pid, pid_t **pids, size_t *nr)
{
	struct text text = { 0 };
	struct dirent *de;
	char path[32];
	int ret = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return proc_failed(pid, "task");
	while (!ret && (de = readdir(dir)))
		if (de->d_name[0] != '.')
			ret = add_children(dirfd(dir), de->d_name, &text, pids, nr);
	closedir(dir);
	text_free(&text);
	errno = -ret;
	return ret ? proc_failed(pid, "task/children") : 0;
}

int proc_tree(pid_t root, pid_t **pids, size_t *nr)
{
	int ret = 0;

	*nr = 0;
	*pids = malloc(sizeof(**pids));
	if (!*pids)
		return -ENOMEM;
	(*pids)[(*nr)++] = root;
	for (size_t i = 0; !ret && i < *nr; i++)
		ret = proc_add_children((*pids)[i], pids, nr);
	return ret;
}
