// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any bytes in place of the entries of one file, rightly sealed, beside a valid
 * rest: the first byte of the input chooses the file, and after the last the GIC's of a VM with a GICv5, and of one
 * with a GICv2. What is accepted must be written and read again as it is.
 *
 * Built as test/unit/meson.build says it is a libFuzzer target: fuzz_image CORPUS. Else main() below:
 *   fuzz_image              some thousand variations of valid files, the same in each run
 *   fuzz_image FILE...      these inputs, as a fuzzer found them
 *   fuzz_image --seeds DIR  writes valid inputs to begin with
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"
#include "forge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct forge v3, v5, v2;

enum { CHOOSE_V5 = FORGE_NR_FILES, CHOOSE_V2, NR_CHOICES };

static void finish(void)
{
	forge_fini(&v3);
	forge_fini(&v5);
	forge_fini(&v2);
}

static void start(void)
{
	if (v3.vm)
		return;
	forge_init(&v3, 2, 64);
	forge_init_of(&v5, fixture_vm_v5(2, 64, 8));
	forge_init_of(&v2, fixture_vm_v2(2, 64));
	atexit(finish);
}

static struct forge *chosen(unsigned int choice, enum forge_file *file)
{
	choice %= NR_CHOICES;
	*file = choice < FORGE_NR_FILES ? choice : FORGE_VGIC;
	return choice == CHOOSE_V5 ? &v5 : choice == CHOOSE_V2 ? &v2 : &v3;
}

static void check_accepted(struct vm_state **vms, size_t n, const struct image_files *given)
{
	int dir = fixture_dir();
	struct image_files files;
	struct vm_state **back;
	size_t nr_back;

	if (fixture_write_with(dir, &fixture_dump, vms, n, given) || image_read_all(dir, &back, &nr_back, &files) || n != nr_back)
		abort();
	for (size_t i = 0; i < n; i++)
		if (fixture_diff(vms[i], back[i]))
			abort();
	if (files.nr != given->nr || (files.nr && memcmp(files.list, given->list, files.nr * sizeof(*files.list))))
		abort();
	image_free_all(back, nr_back, &files);
	fixture_close(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_state **vms;
	enum forge_file file;
	struct image_files files;
	struct frame_out out;
	struct forge *forge;
	size_t n;

	if (!size || size > 1 << 20)
		return 0;
	start();
	forge = chosen(data[0], &file);
	forge_begin(&out, file);
	forge_bytes(&out, data + 1, size - 1);
	forge_finish(forge, file, &out);
	if (!image_read_all(forge->dir, &vms, &n, &files)) {
		check_accepted(vms, n, &files);
		image_free_all(vms, n, &files);
	}
	forge_reset(forge);
	return 0;
}

#ifndef FUZZ_LIBFUZZER

/* A valid input. For free(). */
static uint8_t *seed(unsigned int choice, size_t *size)
{
	enum forge_file file;
	struct forge *forge = chosen(choice, &file);
	struct frame_in in;
	uint8_t *input;

	if (frame_open(&in, forge->dir, forge_name(file), forge_kind(file)))
		abort();
	*size = 1 + in.end - in.pos;
	input = malloc(*size);
	if (!input)
		abort();
	input[0] = choice;
	memcpy(input + 1, in.buf + in.pos, *size - 1);
	frame_close(&in);
	return input;
}

static uint32_t dice(uint32_t sides)
{
	static uint64_t x = 42;

	x = x * 6364136223846793005 + 1442695040888963407;
	return (x >> 33) % sides;
}

/* One to four bytes changed, or a piece of it overwritten by another; now and then cut. */
static void vary(uint8_t *input, size_t *size)
{
	static const uint8_t odd[] = { 0, 1, 0x7f, 0x80, 0xff };

	for (uint32_t n = 1 + dice(4); n; n--) {
		uint8_t *at = input + 1 + dice(*size - 1);
		size_t len = 1 + dice(16), from = 1 + dice(*size - 1);

		if (from + len > *size || at + len > input + *size)
			len = 1;
		switch (dice(4)) {
		case 0:
			memmove(at, input + from, len);
			break;
		case 1:
			*at = odd[dice(sizeof(odd))];
			break;
		default:
			*at ^= 1 << dice(8);
		}
	}
	if (!dice(20))
		*size -= dice(*size - 1);
}

static int run_variations(void)
{
	for (int i = 0; i < 4000; i++) {
		size_t size;
		uint8_t *input = seed(i % NR_CHOICES, &size);

		vary(input, &size);
		LLVMFuzzerTestOneInput(input, size);
		free(input);
	}
	return 0;
}

static int run_file(const char *path)
{
	static uint8_t input[1 << 20];
	FILE *file = fopen(path, "r");
	size_t size;

	if (!file) {
		perror(path);
		return 1;
	}
	size = fread(input, 1, sizeof(input), file);
	fclose(file);
	return LLVMFuzzerTestOneInput(input, size);
}

static int write_seeds(const char *dir)
{
	for (int i = 0; i < NR_CHOICES; i++) {
		size_t size;
		uint8_t *input = seed(i, &size);
		char path[4096];
		FILE *file;

		snprintf(path, sizeof(path), "%s/%s%s", dir, i == CHOOSE_V5 ? "v5-" : i == CHOOSE_V2 ? "v2-" : "",
			 forge_name(i < FORGE_NR_FILES ? i : FORGE_VGIC));
		file = fopen(path, "w");
		if (!file || fwrite(input, 1, size, file) != size || fclose(file)) {
			perror(path);
			return 1;
		}
		free(input);
	}
	return 0;
}

int main(int argc, char **argv)
{
	int ret = 0;

	start();
	if (argc == 3 && !strcmp(argv[1], "--seeds"))
		ret = write_seeds(argv[2]);
	else if (argc == 1)
		ret = run_variations();
	for (int i = 1; i < argc && strcmp(argv[1], "--seeds"); i++)
		ret |= run_file(argv[i]);
	return ret;
}

#endif
