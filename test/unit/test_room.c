// SPDX-License-Identifier: GPL-2.0-only
/* Whether a limit that is in the way of a dump is named, and one that is not lets it pass: of a real process. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/cgroup.h"
#include "probe/room.h"
#include "testlog.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

static const struct room small = { .space = MIB, .data = MIB, .mappings = 10 };

/* One that stands still. */
static pid_t child(void)
{
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	assert_true(pid > 0);
	log_reset();
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static uint64_t kib_of(pid_t pid, const char *format)
{
	char path[32], line[256];
	unsigned long long kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) && sscanf(line, format, &kib) != 1)
		;
	fclose(file);
	assert_true(kib > 0);
	return kib;
}

static void limit(pid_t pid, int resource, uint64_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	if (prlimit(pid, resource, NULL, &limit))
		abort();
	limit.rlim_cur = bytes;
	assert_int_equal(prlimit(pid, resource, &limit, NULL), 0);
}

/* As it is now. */
static int check(pid_t pid, const struct room *need)
{
	struct proc_view seen;
	int ret;

	assert_int_equal(proc_view_read(pid, PROC_TEXT_ALL, &seen), 0);
	ret = room_check(pid, &seen, need);
	proc_view_free(&seen);
	return ret;
}

static void one_without_limits_has_room(void **state)
{
	pid_t pid = child();

	assert_int_equal(check(pid, &small), 0);
	assert_int_equal(log_errors(), 0);
	end(pid);
}

static void assert_refused(pid_t pid, const struct room *need, const char *says)
{
	log_reset();
	assert_int_equal(check(pid, need), -ENOTSUP);
	assert_int_equal(log_errors(), 1);
	if (!strstr(log_error(), says) || !strstr(log_error(), ": not supported by this version: raise "))
		fail_msg("%s", log_error());
}

/* CRIU's parasite needs a MiB beside. */
static void a_limit_of_address_space_is_named(void **state)
{
	pid_t pid = child();
	uint64_t used = kib_of(pid, "VmSize: %llu") * KIB;
	char advice[64];

	limit(pid, RLIMIT_AS, used + 2 * MIB);
	assert_int_equal(check(pid, &small), 0);
	limit(pid, RLIMIT_AS, used + 2 * MIB - 1);
	snprintf(advice, sizeof(advice), "prlimit --pid %d --as=%llu", pid, (unsigned long long)(used + 2 * MIB));
	assert_refused(pid, &small, "2047 KiB left by its RLIMIT_AS, of the 2048 that a dump needs in it");
	assert_non_null(strstr(log_error(), advice));
	limit(pid, RLIMIT_AS, 4096);
	assert_refused(pid, &small, "0 KiB left by its RLIMIT_AS");
	end(pid);
}

static void a_limit_of_data_is_named(void **state)
{
	pid_t pid = child();
	uint64_t used = kib_of(pid, "VmData: %llu") * KIB;

	limit(pid, RLIMIT_DATA, used + MIB);
	assert_int_equal(check(pid, &small), 0);
	limit(pid, RLIMIT_DATA, used + MIB - 1);
	assert_refused(pid, &small, "1023 KiB left by its RLIMIT_DATA, of the 1024 that a dump needs in it");
	end(pid);
}

static void too_many_mappings_are_named(void **state)
{
	struct room need = small;
	pid_t pid = child();

	need.mappings = 1ull << 40;
	assert_refused(pid, &need, "are more than vm.max_map_count");
	end(pid);
}

static void one_that_has_ended_is_an_error(void **state)
{
	struct proc_view seen;
	pid_t pid = child();

	assert_int_equal(proc_view_read(pid, PROC_TEXT_ALL, &seen), 0);
	end(pid);
	assert_int_equal(room_check(pid, &seen, &small), -ESRCH);
	assert_int_equal(log_errors(), 1);
	proc_view_free(&seen);
}

/* Memory cgroups, made up in a folder. */

static char root[] = "/tmp/test_room.XXXXXX";

static void put(const char *cgroup, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", root, cgroup);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s%s/%s", root, cgroup, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int make_root(void **state)
{
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static int check_cgroup(void)
{
	log_reset();
	return room_check_cgroup(1, root, "/a/b", &small);
}

/* Which kills: 2 MiB are needed. */
static void a_memory_cgroup_at_its_limit_is_named(void **state)
{
	put("/a", "memory.max", "max\n");
	put("/a", "memory.current", "9999999999\n");
	put("/a/b", "memory.max", "10485760\n");
	put("/a/b", "memory.current", "8388608\n");
	assert_int_equal(check_cgroup(), 0);
	put("/a/b", "memory.current", "8388609\n");
	assert_int_equal(check_cgroup(), -ENOTSUP);
	assert_non_null(strstr(log_error(), "2047 KiB left of memory.max of its cgroup /a/b, of the 2048 that a dump needs"));
}

static void what_the_kernel_can_give_up_is_room(void **state)
{
	put("/a/b", "memory.max", "10485760\n");
	put("/a/b", "memory.current", "10485760\n");
	put("/a/b", "memory.stat", "anon 5\ninactive_file 1048576\nactive_file 524288\nslab_reclaimable 524287\nfile 99999999\n");
	assert_int_equal(check_cgroup(), -ENOTSUP);
	put("/a/b", "memory.stat", "anon 5\ninactive_file 1048576\nactive_file 524288\nslab_reclaimable 524288\n");
	assert_int_equal(check_cgroup(), 0);
}

static void a_cgroup_above_counts_too(void **state)
{
	put("/a", "memory.max", "1048576\n");
	put("/a", "memory.current", "1048576\n");
	put("/a/b", "memory.max", "max\n");
	assert_int_equal(check_cgroup(), -ENOTSUP);
	assert_non_null(strstr(log_error(), "of its cgroup /a, of"));
	put("/a", "memory.max", "max\n");
	assert_int_equal(check_cgroup(), 0);
}

static void a_host_without_memory_cgroups_is_no_limit(void **state)
{
	log_reset();
	assert_int_equal(room_check_cgroup(1, root, "/none/of/these", &small), 0);
	assert_int_equal(log_errors(), 0);
}

static void the_way_up_ends_at_the_root(void **state)
{
	char path[PATH_MAX] = "/a/b";

	assert_int_equal(cgroup_up(path), 1);
	assert_string_equal(path, "/a");
	assert_int_equal(cgroup_up(path), 1);
	assert_string_equal(path, "/");
	assert_int_equal(cgroup_up(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_without_limits_has_room),
		cmocka_unit_test(a_limit_of_address_space_is_named),
		cmocka_unit_test(a_limit_of_data_is_named),
		cmocka_unit_test(too_many_mappings_are_named),
		cmocka_unit_test(one_that_has_ended_is_an_error),
		cmocka_unit_test(a_memory_cgroup_at_its_limit_is_named),
		cmocka_unit_test(what_the_kernel_can_give_up_is_room),
		cmocka_unit_test(a_cgroup_above_counts_too),
		cmocka_unit_test(a_host_without_memory_cgroups_is_no_limit),
		cmocka_unit_test(the_way_up_ends_at_the_root),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
