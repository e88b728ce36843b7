// SPDX-License-Identifier: GPL-2.0-only
/* Which memslots are in files, and which of these can be carried: by mappings and files that are made up. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/backing.h"
#include "testlog.h"

#define PID 42
#define PAGE 4096u
#define HVA 0x10000000ull
#define GPA 0x40000000ull
#define NAME "/ram"
#define INODE 7
#define OTHER_INODE 8

/* Mappings of one page each, one behind the other, all of the one file. */
static struct {
	unsigned int nr_maps;
	unsigned int nr_links; /* names of the file */
	ino_t by_name;	       /* the file that NAME leads to; 0: none */
	bool elsewhere;	       /* the VMM is in a mount namespace of its own */
	char maps[(VM_MAX_BACKINGS + 1) * 80];
} host;

/* What /proc tells */

int __wrap_proc_areas_read(pid_t pid, size_t max_text, struct proc_areas *areas);
int __wrap_proc_areas_read(pid_t pid, size_t max_text, struct proc_areas *areas)
{
	const char *text = host.maps;
	size_t used = 0;

	assert_int_equal(pid, PID);
	for (unsigned int i = 0; i < host.nr_maps; i++)
		used += snprintf(host.maps + used, sizeof(host.maps) - used,
				 "%llx-%llx rw-s %08x fe:00 %u      " NAME "\n", HVA + PAGE * i,
				 HVA + PAGE * (i + 1), PAGE * i, INODE);
	*areas = (struct proc_areas){ 0 };
	return proc_areas_add(areas, &text);
}

static int tell(struct stat *st, ino_t inode, nlink_t nr_links)
{
	*st = (struct stat){ .st_mode = S_IFREG | 0600,
			     .st_ino = inode,
			     .st_nlink = nr_links,
			     .st_size = (off_t)PAGE * host.nr_maps };
	return 0;
}

int __wrap_stat64(const char *path, struct stat *st);
int __wrap_stat64(const char *path, struct stat *st)
{
	if (!strcmp(path, "/proc/self/ns/mnt"))
		return tell(st, 1, 1);
	if (!strcmp(path, "/proc/42/ns/mnt"))
		return tell(st, 1 + host.elsewhere, 1);
	if (!strncmp(path, "/proc/42/map_files/", 19))
		return tell(st, INODE, host.nr_links);
	assert_string_equal(path, host.elsewhere ? "/proc/42/root" NAME : NAME);
	errno = ENOENT;
	return host.by_name ? tell(st, host.by_name, 1) : -1;
}

ssize_t __wrap_readlink(const char *path, char *to, size_t size);
ssize_t __wrap_readlink(const char *path, char *to, size_t size)
{
	assert_true(size > strlen(NAME));
	memcpy(to, NAME, strlen(NAME));
	return strlen(NAME);
}

int __wrap_open64(const char *path, int flags);
int __wrap_open64(const char *path, int flags)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)PAGE * host.nr_maps), 0);
	return fd;
}

/* A memslot over all of them */

static struct memslot slot = { .slot = 3, .gpa = GPA, .hva = HVA };
static struct vm_state vm;

static int set_up(void **state)
{
	memset(&host, 0, sizeof(host));
	host.nr_maps = 2;
	host.nr_links = 1;
	host.by_name = INODE;
	vm = (struct vm_state){ .id = 1, .slots = &slot, .nr_slots = 1 };
	slot.size = PAGE * (VM_MAX_BACKINGS + 2);
	log_reset();
	return 0;
}

static int tear_down(void **state)
{
	for (size_t i = 0; i < vm.nr_backings; i++)
		free(vm.backings[i].path);
	free(vm.backings);
	vm.backings = NULL;
	vm.nr_backings = 0;
	return 0;
}

static void assert_refused(const char *says)
{
	assert_int_equal(backing_capture(PID, &vm, NULL), -ENOTSUP);
	assert_int_equal(log_errors(), 1);
	if (!strstr(log_error(), says))
		fail_msg("'%s' is not in: %s", says, log_error());
}

static void each_mapping_of_a_file_is_found(void **state)
{
	const struct backing *b;

	assert_int_equal(backing_capture(PID, &vm, NULL), 0);
	assert_int_equal(vm.nr_backings, 2);
	b = &vm.backings[1];
	assert_string_equal(b->path, NAME);
	assert_int_equal(b->file_size, 2 * PAGE);
	assert_int_equal(b->offset, PAGE);
	assert_int_equal(b->size, PAGE);
	assert_int_equal(b->slot, 3);
	assert_int_equal(b->gpa, GPA + PAGE);
	assert_int_equal(b->inode, INODE);
}

static void a_mapping_beside_the_memslot_is_none(void **state)
{
	slot.size = PAGE;
	assert_int_equal(backing_capture(PID, &vm, NULL), 0);
	assert_int_equal(vm.nr_backings, 1);
}

static void files_are_looked_for_under_memslots_alone(void **state)
{
	struct proc_areas areas;

	assert_int_equal(__wrap_proc_areas_read(PID, PROC_TEXT_ALL, &areas), 0);
	assert_true(backing_is_there(&areas, &vm));
	slot.size = 0;
	assert_false(backing_is_there(&areas, &vm));
	slot.size = PAGE;
	for (size_t i = 0; i < areas.nr; i++)
		areas.list[i].inode = 0;
	assert_false(backing_is_there(&areas, &vm));
	proc_areas_free(&areas);
	assert_int_equal(vm.nr_backings, 0);
}

static void a_file_without_a_name_is_crius(void **state)
{
	host.nr_links = 0;
	host.by_name = 0;
	assert_int_equal(backing_capture(PID, &vm, NULL), 0);
	assert_int_equal(vm.nr_backings, 0);
}

static void a_file_that_has_lost_its_name_is_refused(void **state)
{
	const char *says = "pid 42: /ram: guest memory in a file that has lost this name and has another: not "
			   "supported by this version: unlink all its names";

	host.by_name = 0;
	assert_refused(says);
	log_reset();
	host.by_name = OTHER_INODE;
	assert_refused(says);
}

static void names_are_those_of_the_vmms_mount_namespace(void **state)
{
	host.elsewhere = true;
	assert_int_equal(backing_capture(PID, &vm, NULL), 0);
	assert_int_equal(vm.nr_backings, 2);
}

static void the_most_mappings_of_files(void **state)
{
	host.nr_maps = VM_MAX_BACKINGS;
	assert_int_equal(backing_capture(PID, &vm, NULL), 0);
	assert_int_equal(vm.nr_backings, VM_MAX_BACKINGS);
	tear_down(state);
	host.nr_maps++;
	assert_refused("pid 42: /ram: memslots over more than 4096 mappings of files: not supported by this "
		       "version: map fewer");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_mapping_of_a_file_is_found),
		TEST(a_mapping_beside_the_memslot_is_none),
		TEST(files_are_looked_for_under_memslots_alone),
		TEST(a_file_without_a_name_is_crius),
		TEST(a_file_that_has_lost_its_name_is_refused),
		TEST(names_are_those_of_the_vmms_mount_namespace),
		TEST(the_most_mappings_of_files),
	};

	return cmocka_run_group_tests_name("guest memory in files", tests, NULL, NULL);
}
