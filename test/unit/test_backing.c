// SPDX-License-Identifier: GPL-2.0-only
/* Files that hold guest memory: what counts as the same, and what is refused before it is read. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "state/vm.h"
#include "testlog.h"

#define SIZE (3 * BACKING_BLOCK + 1000)

/* A VM whose one memslot shows part of a file, from 4096 on. */
struct guest {
	int dir, fd;
	int root; /* where its path begins */
	char path[128];
	struct backing backing;
	struct vm_state vm;
};

static void put(const struct guest *guest, uint64_t at, const char *text)
{
	assert_int_equal(pwrite(guest->fd, text, strlen(text), at), strlen(text));
}

static int hash(const struct guest *guest, uint64_t *hash)
{
	return backing_hash(&guest->backing, guest->fd, NULL, hash);
}

static int set_up(void **state)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	char link[64];
	ssize_t len;

	guest->root = AT_FDCWD;
	guest->dir = fixture_dir();
	snprintf(link, sizeof(link), "/proc/self/fd/%d", guest->dir);
	len = readlink(link, guest->path, 64);
	assert_true(len > 0);
	strcpy(guest->path + len, "/ram");
	guest->fd = open(guest->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(guest->fd >= 0);
	assert_int_equal(ftruncate(guest->fd, 4096 + SIZE + 4096), 0);
	guest->backing =
		(struct backing){ guest->path, 4096 + SIZE + 4096, 4096, SIZE, 3, 0x40000000, 0, 1, 2 };
	put(guest, 4096 + BACKING_BLOCK + 5, "in the second block");
	put(guest, 4096 + SIZE - 3, "end");
	assert_int_equal(hash(guest, &guest->backing.hash), 0);
	guest->vm = (struct vm_state){ .id = 1, .backings = &guest->backing, .nr_backings = 1 };
	log_reset();
	*state = guest;
	return 0;
}

static int tear_down(void **state)
{
	struct guest *guest = *state;

	close(guest->fd);
	fixture_close(guest->dir);
	free(guest);
	return 0;
}

static void the_same_file_is_accepted(void **state)
{
	struct guest *guest = *state;

	assert_int_equal(backing_check(&guest->vm, guest->root), 0);
	assert_int_equal(log_errors(), 0);
}

static void assert_refused(struct guest *guest, const char *why)
{
	assert_int_equal(backing_check(&guest->vm, guest->root), -EINVAL);
	assert_int_equal(log_errors(), 1);
	if (!strstr(log_error(), "vm 1: memslot 3 (gpa 0x40000000): /") || !strstr(log_error(), why))
		fail_msg("\"%s\" expected, \"%s\" found", why, log_error());
	log_reset();
}

/* Whatever is changed back is accepted again. */
static void each_byte_counts(void **state)
{
	static const uint64_t places[] = { 0,	     BACKING_BLOCK - 1, BACKING_BLOCK + 5, 2 * BACKING_BLOCK,
					   SIZE - 4, SIZE - 1 };
	struct guest *guest = *state;
	char was;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		assert_int_equal(pread(guest->fd, &was, 1, 4096 + places[i]), 1);
		put(guest, 4096 + places[i], "X");
		assert_refused(guest, "its content has changed");
		assert_int_equal(pwrite(guest->fd, &was, 1, 4096 + places[i]), 1);
		assert_int_equal(backing_check(&guest->vm, guest->root), 0);
	}
}

/* Of blocks with the same content, the place counts too. */
static void a_block_elsewhere_is_another_content(void **state)
{
	struct guest *guest = *state;
	const char zeros[32] = { 0 };

	put(guest, 4096 + 2 * BACKING_BLOCK + 5, "in the second block");
	assert_int_equal(pwrite(guest->fd, zeros, sizeof(zeros), 4096 + BACKING_BLOCK + 5), sizeof(zeros));
	assert_refused(guest, "its content has changed");
}

static void what_the_guest_does_not_see_does_not_count(void **state)
{
	struct guest *guest = *state;

	put(guest, 4095, "X");
	put(guest, 4096 + SIZE, "X");
	assert_int_equal(backing_check(&guest->vm, guest->root), 0);
}

static void a_hole_is_zeros(void **state)
{
	struct guest *guest = *state;
	char *zeros = calloc(1, BACKING_BLOCK);
	uint64_t now;

	assert_int_equal(pwrite(guest->fd, zeros, BACKING_BLOCK, 4096), BACKING_BLOCK);
	assert_int_equal(hash(guest, &now), 0);
	assert_int_equal(now, guest->backing.hash);
	free(zeros);
}

static void another_size_is_refused(void **state)
{
	struct guest *guest = *state;

	assert_int_equal(ftruncate(guest->fd, guest->backing.file_size + 1), 0);
	assert_refused(guest, "at the dump, and has");
	assert_int_equal(ftruncate(guest->fd, guest->backing.file_size - 1), 0);
	assert_refused(guest, "at the dump, and has");
}

static void a_missing_file_is_refused(void **state)
{
	struct guest *guest = *state;

	unlink(guest->path);
	assert_refused(guest, "cannot be opened: No such file or directory (errno 2)");
}

/* Opening it would wait for a writer. */
static void a_fifo_is_refused_and_not_waited_for(void **state)
{
	struct guest *guest = *state;

	unlink(guest->path);
	assert_int_equal(mkfifo(guest->path, 0600), 0);
	alarm(10);
	assert_refused(guest, "is not a regular file");
	alarm(0);
}

static void a_device_is_refused(void **state)
{
	struct guest *guest = *state;

	guest->backing.path = "/dev/zero";
	assert_refused(guest, "is not a regular file");
}

/* As in another mount namespace, where a link that begins at the root begins at that one's. */
static void its_path_begins_at_its_root(void **state)
{
	struct guest *guest = *state;

	guest->backing.path = "/ram";
	assert_refused(guest, "cannot be opened: No such file or directory (errno 2)");
	guest->root = guest->dir;
	assert_int_equal(backing_check(&guest->vm, guest->root), 0);

	assert_int_equal(renameat(guest->dir, "ram", guest->dir, "file"), 0);
	assert_int_equal(symlinkat("/file", guest->dir, "ram"), 0);
	assert_int_equal(backing_check(&guest->vm, guest->root), 0);
	put(guest, 4096, "X");
	assert_refused(guest, "its content has changed");
}

static int say_stop(void)
{
	return -EINTR;
}

static void reading_can_be_given_up(void **state)
{
	struct guest *guest = *state;
	uint64_t ignored;

	assert_int_equal(backing_hash(&guest->backing, guest->fd, say_stop, &ignored), -EINTR);
}

static void a_file_that_shrinks_meanwhile_is_an_error(void **state)
{
	struct guest *guest = *state;
	uint64_t ignored;

	assert_int_equal(ftruncate(guest->fd, 4096 + BACKING_BLOCK + 100), 0);
	assert_int_equal(hash(guest, &ignored), -ENODATA);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(the_same_file_is_accepted),
		TEST(each_byte_counts),
		TEST(a_block_elsewhere_is_another_content),
		TEST(what_the_guest_does_not_see_does_not_count),
		TEST(a_hole_is_zeros),
		TEST(another_size_is_refused),
		TEST(a_missing_file_is_refused),
		TEST(a_fifo_is_refused_and_not_waited_for),
		TEST(a_device_is_refused),
		TEST(its_path_begins_at_its_root),
		TEST(reading_can_be_given_up),
		TEST(a_file_that_shrinks_meanwhile_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
