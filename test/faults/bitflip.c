// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every single bit of a whole set of images is turned, one after the other: each set is refused, with one error that
 * names a file of the plugin's, and without an ioctl, which a seccomp filter would tell.
 *
 *   bitflip [DIR]           of the images in DIR; else of a small VM that is made up
 *   bitflip --forged [DIR]  with all checksums made right again: none may crash; how many are refused is told
 */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "fixture.h"
#include "image/frame.h"
#include "testlog.h"

#define MAX_FILES (1 + 5 * IMAGE_MAX_VMS)
#define SEAL_BYTES 8

struct file {
	char name[FRAME_NAME_MAX];
	uint8_t *bytes;
	size_t size;
	unsigned long flips, refused;
};

static struct file files[MAX_FILES];
static size_t nr_files;
static int dir; /* of ours, in which they are */

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void must(bool good, const char *what)
{
	if (!good)
		die(what);
}

static void load(int from, const char *name)
{
	struct file *file = &files[nr_files++];
	int fd = openat(from, name, O_RDONLY | O_CLOEXEC);
	struct stat st;

	must(nr_files <= MAX_FILES && strlen(name) < sizeof(file->name), "too many files");
	must(fd >= 0 && !fstat(fd, &st), name);
	snprintf(file->name, sizeof(file->name), "%s", name);
	file->size = st.st_size;
	file->bytes = malloc(file->size + 1);
	must(file->bytes && read(fd, file->bytes, file->size) == (ssize_t)file->size, name);
	close(fd);
}

static void load_all(int from)
{
	DIR *list = fdopendir(from);
	struct dirent *de;

	must(list, "images");
	while ((de = readdir(list)))
		if (!strncmp(de->d_name, "kvm-", 4) && strstr(de->d_name, ".img"))
			load(from, de->d_name);
	closedir(list);
	must(nr_files, "no kvm-*.img there");
}

static void put(const struct file *file)
{
	int fd = openat(dir, file->name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && write(fd, file->bytes, file->size) == (ssize_t)file->size, file->name);
	close(fd);
}

static bool is_refused(void)
{
	struct image_files loose;
	struct vm_state **vms;
	size_t n;
	int ret;

	log_reset();
	ret = image_read_all(dir, &vms, &n, &loose);
	if (!ret)
		image_free_all(vms, n, &loose);
	return ret;
}

/* A forgery is refused for what it says; damage is to be told by one error that begins with the file's name. */
static bool is_told(void)
{
	return log_errors() == 1 && !strncmp(log_error(), "kvm-", 4);
}

static void ioctl_made(int sig, siginfo_t *info, void *context)
{
	static const char words[] = "an ioctl was made before the images were refused\n";

	if (write(2, words, sizeof(words) - 1) < 0)
		_exit(3);
	_exit(1);
}

/* From here on. */
static void forbid_ioctls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };
	struct sigaction act = { .sa_sigaction = ioctl_made, .sa_flags = SA_SIGINFO };

	must(!sigaction(SIGSYS, &act, NULL), "sigaction");
	must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program),
	     "seccomp");
}

/* Damage: the byte alone is written. */
static void flip(const struct file *file, size_t at, unsigned int bit)
{
	const uint8_t byte = file->bytes[at] ^ 1u << bit;
	int fd = openat(dir, file->name, O_WRONLY | O_CLOEXEC);

	must(fd >= 0 && pwrite(fd, &byte, 1, at) == 1, file->name);
	close(fd);
}

static bool damage(struct file *file, size_t at, unsigned int bit)
{
	bool refused;

	flip(file, at, bit);
	refused = is_refused();
	if (!refused || !is_told())
		printf("%s: bit %u of byte %zu: %s\n", file->name, bit, at,
		       refused ? log_error() : "was not refused");
	return refused && is_told();
}

static uint64_t seal_of(const struct file *file)
{
	uint64_t seal;

	memcpy(&seal, file->bytes + file->size - SEAL_BYTES, sizeof(seal));
	return seal;
}

static void seal(struct file *file)
{
	uint64_t sum = htole64(XXH64(file->bytes, file->size - FRAME_SEAL_SIZE, 0));

	memcpy(file->bytes + file->size - SEAL_BYTES, &sum, sizeof(sum));
}

static struct file *find(const char *name)
{
	for (size_t i = 0; i < nr_files; i++)
		if (!strcmp(files[i].name, name))
			return &files[i];
	return NULL;
}

/* Where kvm-vm.img has the checksum of another file. */
static void exchange(struct file *index, uint64_t old, uint64_t new)
{
	uint8_t *at = memmem(index->bytes, index->size, &old, sizeof(old));

	must(at, "no such checksum in kvm-vm.img");
	memcpy(at, &new, sizeof(new));
	seal(index);
	put(index);
}

static bool forge(struct file *file, size_t at, unsigned int bit)
{
	struct file *index = find("kvm-vm.img");
	const uint64_t before = seal_of(file);
	bool refused;

	file->bytes[at] ^= 1u << bit;
	seal(file);
	put(file);
	if (file != index)
		exchange(index, before, seal_of(file));
	refused = is_refused();
	if (file != index)
		exchange(index, seal_of(file), before);
	file->bytes[at] ^= 1u << bit;
	seal(file);
	return refused;
}

static void turn_all_of(struct file *file, bool forged)
{
	const size_t end = forged ? file->size - FRAME_SEAL_SIZE : file->size;

	for (size_t at = 0; at < end; at++) {
		for (unsigned int bit = 0; bit < 8; bit++) {
			file->flips++;
			file->refused += forged ? forge(file, at, bit) : damage(file, at, bit);
		}
		if (!forged)
			flip(file, at, 8); /* as it was */
	}
	put(file);
	must(!is_refused(), "the images are refused as they are");
}

static void make_up(int where)
{
	struct vm_state *vm = fixture_vm(1, VGIC_MIN_IRQS);

	must(!fixture_write(where, &fixture_dump, &vm, 1), "fixture");
	vm_state_free(vm);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int report(bool forged, double seconds)
{
	unsigned long flips = 0, refused = 0;

	for (size_t i = 0; i < nr_files; i++) {
		printf("%-24s %8zu bytes %9lu flips %9lu refused\n", files[i].name, files[i].size, files[i].flips,
		       files[i].refused);
		flips += files[i].flips;
		refused += files[i].refused;
	}
	printf("%s: %lu flips, %lu refused before the first ioctl: %.4f %%, in %.0f s, %.0f a second\n",
	       forged ? "forged" : "bitflip", flips, refused, flips ? 100. * refused / flips : 0., seconds,
	       flips / (seconds + 0.001));
	return flips && (forged || refused == flips) ? 0 : 1;
}

int main(int argc, char **argv)
{
	bool forged = argc > 1 && !strcmp(argv[1], "--forged");
	const char *path = argc > 1 + forged ? argv[1 + forged] : NULL;
	int from = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : fixture_dir();
	double start = now();
	int ret;

	must(from >= 0, path);
	dir = fixture_dir();
	printf("images of %s\n", path ?: "a VM that is made up");
	if (!path)
		make_up(from);
	load_all(dup(from));
	for (size_t i = 0; i < nr_files; i++)
		put(&files[i]);
	must(!is_refused(), log_error());
	forbid_ioctls();
	for (size_t i = 0; i < nr_files; i++)
		turn_all_of(&files[i], forged);
	ret = report(forged, now() - start);
	for (size_t i = 0; i < nr_files; i++)
		free(files[i].bytes);
	if (!path)
		fixture_close(from);
	fixture_close(dir);
	return ret;
}
