// SPDX-License-Identifier: GPL-2.0-only
/* Which cgroups hold a process frozen: found, thawed and frozen again, those and no others. In a folder that is made up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "freezer.h"
#include "probe/cgroup.h"
#include "testtool.h"

static char root[] = "/tmp/test_freezer.XXXXXX", cgroup[PATH_MAX];

static void put(const char *path, const char *text)
{
	char full[2 * PATH_MAX];
	FILE *file;

	snprintf(full, sizeof(full), "mkdir -p %s%s", root, path);
	assert_int_equal(system(full), 0);
	snprintf(full, sizeof(full), "%s%s/cgroup.freeze", root, path);
	file = fopen(full, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static char value_of(const char *path)
{
	char full[2 * PATH_MAX];
	FILE *file;
	int c;

	snprintf(full, sizeof(full), "%s%s/cgroup.freeze", root, path);
	file = fopen(full, "r");
	assert_non_null(file);
	c = fgetc(file);
	fclose(file);
	return c;
}

/* With one cgroup in the other, whichever this process is in: "" is the root's. */
static int set_up(void **state)
{
	return mkdtemp(root) && !cgroup_of(getpid(), cgroup) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static void one_that_is_not_frozen(void **state)
{
	struct freezer f;

	put(cgroup, "0\n");
	assert_int_equal(freezer_find(root, getpid(), &f), 0);
	assert_int_equal(f.nr, 0);
	assert_int_equal(freezer_write(&f, "1"), 0);
	assert_int_equal(value_of(cgroup), '0');
	freezer_free(&f);
}

static void one_that_is_frozen(void **state)
{
	struct freezer f;

	put(cgroup, "1\n");
	put("/other", "1\n");
	assert_int_equal(freezer_find(root, getpid(), &f), 0);
	assert_int_equal(f.nr, 1);
	assert_int_equal(freezer_write(&f, "0"), 0);
	assert_int_equal(value_of(cgroup), '0');
	assert_int_equal(value_of("/other"), '1');
	assert_int_equal(freezer_write(&f, "1"), 0);
	assert_int_equal(value_of(cgroup), '1');
	freezer_free(&f);
}

static void one_whose_cgroup_is_gone(void **state)
{
	struct freezer f;
	char command[2 * PATH_MAX];

	put(cgroup, "1\n");
	assert_int_equal(freezer_find(root, getpid(), &f), 0);
	snprintf(command, sizeof(command), "rm %s%s/cgroup.freeze", root, cgroup);
	assert_int_equal(system(command), 0);
	tool_reset();
	assert_int_equal(freezer_write(&f, "0"), -ENOENT);
	assert_int_equal(tool_errors(), 1);
	freezer_free(&f);
}

static void one_that_has_ended(void **state)
{
	struct freezer f;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	tool_reset();
	assert_int_equal(freezer_find(root, pid, &f), -ENOENT);
	assert_int_equal(tool_errors(), 1);
	freezer_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_is_not_frozen),
		cmocka_unit_test(one_that_is_frozen),
		cmocka_unit_test(one_whose_cgroup_is_gone),
		cmocka_unit_test(one_that_has_ended),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
