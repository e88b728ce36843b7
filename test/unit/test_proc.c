// SPDX-License-Identifier: GPL-2.0-only
/* What /proc tells of a process that calls its files, memory and devices as it likes: this one. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/area.h"
#include "probe/proc.h"
#include "testlog.h"

static char folder[] = "/tmp/test_proc.XXXXXX";

static int set_up(void **state)
{
	return mkdtemp(folder) ? chdir(folder) : -1;
}

static int tear_down(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static void *map(int fd)
{
	void *p;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	return p;
}

static void names_alone_are_nothing(void **state)
{
	static const char *const names[] = { "anon_inode:kvm-vm", "anon_inode:kvm-vcpu:0", "anon_inode:[userfaultfd]",
					     "dev/kvm", "dev/vhost-net", "dev/vfio" };
	struct proc_scan scan;
	int fds[2 * 6];
	void *maps[2 * 6];

	assert_int_equal(mkdir("dev", 0700), 0);
	for (size_t i = 0; i < 6; i++) {
		fds[2 * i] = open(names[i], O_RDWR | O_CREAT, 0600);
		fds[2 * i + 1] = memfd_create(names[i], 0);
		maps[2 * i] = map(fds[2 * i]);
		maps[2 * i + 1] = map(fds[2 * i + 1]);
	}
	assert_int_equal(proc_scan(getpid(), &scan), 0);
	assert_int_equal(scan.nr_fds, 0);
	assert_int_equal(scan.nr_maps, 0);
	assert_int_equal(scan.userfaultfd, -1);
	assert_string_equal(scan.device, "");
	assert_true(scan.nr_open > 12);
	proc_scan_free(&scan);
	for (size_t i = 0; i < 12; i++) {
		munmap(maps[i], 4096);
		close(fds[i]);
	}
}

/* A node of a device, under any name; O_PATH, for not every host has the device. */
static struct proc_scan scan_node(const char *name, unsigned int minor)
{
	struct proc_scan scan;
	int fd;

	if (mknod(name, S_IFCHR | 0600, makedev(10, minor)))
		skip(); /* not root */
	fd = open(name, O_PATH);
	assert_true(fd >= 0);
	assert_int_equal(proc_scan(getpid(), &scan), 0);
	close(fd);
	return scan;
}

static void kvm_is_known_by_its_number(void **state)
{
	struct proc_scan scan = scan_node("elsewhere", 232);

	assert_int_equal(scan.nr_fds, 1);
	assert_int_equal(scan.fds[0].kind, PROC_FD_SYSTEM);
	proc_scan_free(&scan);
}

/* /dev/null as sysfs has it is none, whatever it is called. */
static void another_device_is_another(void **state)
{
	struct proc_scan scan;
	int fd;

	if (mknod("vhost-net", S_IFCHR | 0600, makedev(1, 3)))
		skip();
	fd = open("vhost-net", O_RDWR);
	assert_int_equal(proc_scan(getpid(), &scan), 0);
	assert_int_equal(scan.nr_fds, 0);
	assert_string_equal(scan.device, "");
	proc_scan_free(&scan);
	close(fd);
}

/* /dev/kvm as "kvm", @nr_folders down: how its name ends. */
static void assert_name_of_kvm(unsigned int nr_folders, const char *end)
{
	char path[4096] = "";
	struct proc_scan scan;

	for (unsigned int i = 0; i < nr_folders; i++) {
		strcat(path, "a-folder-with-a-long-name/");
		assert_true(!mkdir(path, 0700) || errno == EEXIST);
	}
	strcat(path, "kvm");
	scan = scan_node(path, 232);
	assert_int_equal(scan.nr_fds, 1);
	assert_string_equal(scan.fds[0].name + strlen(scan.fds[0].name) - strlen(end), end);
	proc_scan_free(&scan);
}

static void a_name_that_is_cut_says_so(void **state)
{
	assert_name_of_kvm(0, "/kvm");
	assert_name_of_kvm(1, "...");
	assert_name_of_kvm(20, "...");
}

static bool is_open(const struct proc_scan *scan, int fd)
{
	for (size_t i = 0; i < scan->nr_open; i++)
		if (scan->open[i] == fd)
			return true;
	return false;
}

/* A copy of this process, which is stopped by it, and may be traced too. */
static pid_t copy(bool is_traced)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (is_traced)
			ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
	return pid;
}

static void assert_each_fd_is_found(void)
{
	for (int is_traced = 0; is_traced < 2; is_traced++) {
		pid_t pid = copy(is_traced);
		struct proc_scan scan;
		struct stat st;
		size_t nr = 0;

		assert_int_equal(proc_scan_by_numbers(pid, &scan), 0);
		assert_int_equal(scan.by_numbers, is_traced);
		for (int fd = 0; fd < 1000; fd++) {
			if (fstat(fd, &st))
				continue;
			assert_true(is_open(&scan, fd));
			nr++;
		}
		assert_int_equal(scan.nr_open, nr);
		assert_int_equal(proc_scan_fds(pid, &scan), 0);
		assert_false(scan.by_numbers);
		assert_int_equal(scan.nr_open, nr);
		for (size_t i = 1; i < scan.nr_open; i++)
			assert_true(scan.open[i - 1] < scan.open[i]);
		proc_scan_free(&scan);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
}

/* All of them, in order, whatever numbers they have: one after the other, with gaps, and behind these. */
static void each_fd_is_found(void **state)
{
	int first = dup(1);

	assert_in_range(first, 0, 900);
	assert_each_fd_is_found();
	for (int gap = 2; gap < 40; gap++) {
		assert_int_equal(dup2(1, first + gap), first + gap);
		assert_each_fd_is_found();
		assert_int_equal(dup2(1, 950), 950);
		assert_each_fd_is_found();
		close(first + gap);
		close(950);
	}
	close(first);
}

/* Of this process as it is, and with code in front of all other. */
static void the_first_text(void **state)
{
	static const struct {
		int flags, prot;
		bool barred;
	} rows[] = {
		{ MAP_PRIVATE, PROT_READ | PROT_EXEC, false },
		{ MAP_SHARED, PROT_READ | PROT_WRITE | PROT_EXEC, false },
		{ MAP_SHARED, PROT_READ, false },
		{ MAP_SHARED, PROT_READ | PROT_EXEC, true },
		{ MAP_SHARED, PROT_EXEC, true },
	};
	void *front = (void *)0x200000;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct proc_scan scan;

		if (mmap(front, 4096, rows[i].prot, rows[i].flags | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != front)
			skip(); /* a sanitizer has it */
		assert_int_equal(proc_scan(getpid(), &scan), 0);
		munmap(front, 4096);
		assert_true(scan.has_text);
		assert_int_equal(scan.barred_text, rows[i].barred ? (uintptr_t)front : 0);
		proc_scan_free(&scan);
	}
}

/* More of them than a page of /proc holds. */
static void all_mappings_are_read(void **state)
{
	enum { NR = 300 };
	char *line = NULL, *at = mmap(NULL, 2 * NR * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct proc_areas areas;
	struct proc_area area;
	size_t room = 0, nr = 0;
	char path[32];
	FILE *maps;
	pid_t pid;

	assert_true(at != MAP_FAILED);
	for (size_t i = 0; i < NR; i++)
		assert_int_equal(mprotect(at + 2 * i * 4096, 4096, PROT_READ), 0);
	pid = copy(false); /* which maps nothing meanwhile */
	assert_int_equal(proc_areas_read(pid, PROC_TEXT_ALL, &areas), 0);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "r");
	for (; getline(&line, &room, maps) > 0; nr++) {
		assert_true(proc_area_parse(line, &area) && nr < areas.nr);
		line[strcspn(line, "\n")] = 0;
		assert_int_equal(areas.list[nr].start, area.start);
		assert_int_equal(areas.list[nr].prot, area.prot);
		assert_int_equal(areas.list[nr].inode, area.inode);
		assert_string_equal(areas.list[nr].name, area.name);
	}
	assert_int_equal(nr, areas.nr);
	assert_true(nr > 2 * NR);
	fclose(maps);
	free(line);
	proc_areas_free(&areas);
	munmap(at, 2 * NR * 4096);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A file that is mapped, so deep down that each of its mappings makes a line of @size bytes. */
static int open_deep(size_t size)
{
	char name[251];
	int at = open(".", O_PATH | O_DIRECTORY), fd;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	for (size_t deep = 0; at >= 0 && deep < size; deep += sizeof(name)) {
		int above = at;

		assert_true(!mkdirat(above, name, 0700) || errno == EEXIST);
		at = openat(above, name, O_PATH | O_DIRECTORY);
		close(above);
	}
	fd = openat(at, "deep", O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(at);
	return fd;
}

/* What proc_areas_read() says of a process with @nr mappings whose names are of @size bytes. */
static int read_deep(size_t size, size_t nr, struct proc_areas *areas)
{
	int fd = open_deep(size), ret;
	char *at = mmap(NULL, nr * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	assert_true(at != MAP_FAILED);
	for (size_t i = 0; i < nr; i++) /* all of the same page: they do not become one */
		assert_true(mmap(at + 4096 * i, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED);
	pid = copy(false);
	ret = proc_areas_read(pid, PROC_TEXT_AT_DUMP, areas);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	munmap(at, nr * 4096);
	close(fd);
	return ret;
}

/* They are of what the kernel tells them in, which is of any length, and what is read of it at once is not. */
static void long_names_of_mappings_are_cut(void **state)
{
	static const size_t sizes[] = { 1000, 5000, 65000 };
	struct proc_areas areas;

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		size_t nr = 0;

		assert_int_equal(read_deep(sizes[s], 20, &areas), 0);
		for (size_t i = 0; i < areas.nr; i++) {
			assert_true(!i || areas.list[i].start >= areas.list[i - 1].end);
			if (strncmp(areas.list[i].name, folder, strlen(folder)))
				continue;
			assert_int_equal(strlen(areas.list[i].name), PROC_AREA_NAME - 1);
			assert_int_equal(areas.list[i].end - areas.list[i].start, 4096);
			nr++;
		}
		assert_int_equal(nr, 20);
		proc_areas_free(&areas);
	}
}

static void what_takes_too_long_to_read_is_refused(void **state)
{
	struct proc_areas areas;

	assert_int_equal(read_deep(65000, 900, &areas), 0);
	proc_areas_free(&areas);
	log_reset();
	assert_int_equal(read_deep(65000, 1100, &areas), -ENOTSUP);
	proc_areas_free(&areas);
	assert_true(log_has("more than 64 MiB of text: not supported by this version"));
}

static void what_is_no_mapping_is_an_error(void **state)
{
	const char *text = "00400000-00401000 --xp 00000000 103:02 0 \nVmFlags: rd\n";
	struct proc_areas areas = { 0 };

	assert_int_equal(proc_areas_add(&areas, &text), -EIO);
	proc_areas_free(&areas);
	assert_int_equal(proc_areas_read(0x7ffffff, PROC_TEXT_ALL, &areas), -ESRCH);
	proc_areas_free(&areas);
}

static void the_status_is_read(void **state)
{
	struct proc_status status;
	unsigned long pages;
	FILE *statm;

	assert_int_equal(proc_status(getpid(), getpid(), &status), 0);
	assert_int_equal(status.vpid, getpid());
	assert_int_equal(status.tracer, 0);
	assert_int_equal(status.has_seccomp, prctl(PR_GET_SECCOMP) != 0);
	assert_int_equal(proc_status(getpid(), 0, &status), 0);
	statm = fopen("/proc/self/statm", "r");
	assert_int_equal(fscanf(statm, "%lu", &pages), 1);
	fclose(statm);
	assert_in_range(status.space, 1, pages * 4096 + (64 << 20));
	assert_in_range(status.data, 1, status.space);
	assert_int_equal(proc_status(0x7ffffff, 0, &status), -ESRCH);
	assert_true(status.has_seccomp);
}

static pid_t sleeper(bool has_child)
{
	int pipes[2];
	pid_t pid, below = 0;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		below = has_child ? sleeper(false) : 0;
		if (write(pipes[1], &below, sizeof(below)) > 0)
			for (;;)
				pause();
	}
	assert_int_equal(read(pipes[0], &below, sizeof(below)), sizeof(below));
	close(pipes[0]);
	close(pipes[1]);
	return has_child ? below : pid;
}

/* Parents first, children of one in the order in which they were born. */
static void a_tree_is_found(void **state)
{
	pid_t first = sleeper(false), grandchild = sleeper(true), *pids;
	size_t nr;

	assert_int_equal(proc_tree(getpid(), &pids, &nr), 0);
	assert_int_equal(nr, 4);
	assert_int_equal(pids[0], getpid());
	assert_int_equal(pids[1], first);
	assert_int_equal(pids[3], grandchild);
	for (size_t i = 1; i < nr; i++)
		kill(pids[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	free(pids);
	assert_int_equal(proc_tree(0x7ffffff, &pids, &nr), -ESRCH);
	free(pids);
}

static void nobody_traces_this(void **state)
{
	assert_int_equal(proc_tracer(getpid(), getpid()), 0);
	assert_int_equal(proc_tracer(getpid(), 0x7ffffff), -ESRCH);
}

static void a_line_of_maps_is_read(void **state)
{
	struct proc_area area;

	assert_true(proc_area_parse("ffff8c0a9000-ffff8c0ab000 rw-s 00001000 00:0e 1057                    anon_inode:kvm-vcpu:12\n", &area));
	assert_int_equal(area.start, 0xffff8c0a9000);
	assert_int_equal(area.end, 0xffff8c0ab000);
	assert_int_equal(area.prot, PROT_READ | PROT_WRITE);
	assert_true(area.is_shared);
	assert_int_equal(area.offset, 0x1000);
	assert_int_equal(area.dev, makedev(0, 0xe));
	assert_int_equal(area.inode, 1057);
	assert_string_equal(area.name, "anon_inode:kvm-vcpu:12");

	assert_true(proc_area_parse("00400000-00401000 --xp 00000000 103:02 0 \n", &area));
	assert_int_equal(area.prot, PROT_EXEC);
	assert_false(area.is_shared);
	assert_int_equal(area.dev, makedev(0x103, 2));
	assert_int_equal(area.inode, 0);
	assert_string_equal(area.name, "");
}

static void what_is_no_line_of_maps_is_not_read(void **state)
{
	static const char *const lines[] = { "", "\n", "Size:                  4 kB\n", "VmFlags: rd wr\n", "00400000-00401000",
					     "00400000-00401000 rw", "00400000-00401000 rw-p", "00400000-00401000 rw-p 0 00:00",
					     "00400000-00401000 rw-p 0 00:00 ", "-00401000 rw-p 0 00:00 0\n",
					     "00400000 00401000 rw-p 0 00:00 0\n" };
	struct proc_area area;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_false(proc_area_parse(lines[i], &area));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_alone_are_nothing),
		cmocka_unit_test(kvm_is_known_by_its_number),
		cmocka_unit_test(another_device_is_another),
		cmocka_unit_test(a_name_that_is_cut_says_so),
		cmocka_unit_test(each_fd_is_found),
		cmocka_unit_test(the_first_text),
		cmocka_unit_test(all_mappings_are_read),
		cmocka_unit_test(long_names_of_mappings_are_cut),
		cmocka_unit_test(what_takes_too_long_to_read_is_refused),
		cmocka_unit_test(what_is_no_mapping_is_an_error),
		cmocka_unit_test(the_status_is_read),
		cmocka_unit_test(a_tree_is_found),
		cmocka_unit_test(nobody_traces_this),
		cmocka_unit_test(a_line_of_maps_is_read),
		cmocka_unit_test(what_is_no_line_of_maps_is_not_read),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
