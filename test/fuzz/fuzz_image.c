// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any bytes in place of the entries of one file, rightly sealed, beside a valid
 * rest: the first byte of the input chooses the file, and after the last the GIC's of a VM with a GICv5, and of one
 * with a GICv2. With FUZZ_CHOICE that is the choice, and all of the input the file's. What is accepted must be written
 * and read again as it is.
 *
 * test/fuzz/run builds a libFuzzer target of it for each choice: fuzz_image_vm CORPUS. Else main() below:
 *   fuzz_image              some thousand variations of valid files, the same in each run
 *   fuzz_image FILE...      these inputs, as a fuzzer found them
 *   fuzz_image --seeds DIR  writes valid inputs to begin with
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accepted.h"
#include "fixture.h"
#include "forge.h"

static struct forge v3, v5, v2;

enum { CHOOSE_V5 = FORGE_NR_FILES, CHOOSE_V2, NR_CHOICES };

#ifdef FUZZ_CHOICE
#define HEAD 0
#define CHOICE(data) FUZZ_CHOICE
#else
#define HEAD 1 /* bytes before the file's */
#define CHOICE(data) ((data)[0])
#endif

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

static int accepted; /* the last input was */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum forge_file file;
	struct frame_out out;
	struct forge *forge;

	if (size < HEAD || size > 1 << 20)
		return 0;
	start();
	forge = chosen(CHOICE(data), &file);
	forge_begin(&out, file);
	forge_bytes(&out, data + HEAD, size - HEAD);
	forge_finish(forge, file, &out);
	accepted = read_and_check(forge->dir);
	if (HEAD) /* else the next input takes the place of the same file */
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

		if (i >= NR_CHOICES)
			vary(input, &size);
		LLVMFuzzerTestOneInput(input, size);
		if (i < NR_CHOICES && !accepted)
			abort(); /* not even a valid one */
		free(input);
	}
	return 0;
}

/* A folder for each choice, as test/fuzz/run names them: what a target of that choice takes. */
static const char *const choices[] = {
	[FORGE_VM] = "vm", [FORGE_VCPU] = "vcpu", [FORGE_VCPU_EVENTS] = "vcpu-events", [FORGE_VGIC] = "vgic",
	[FORGE_ITS] = "its", [FORGE_THREAD] = "thread", [CHOOSE_V5] = "vgic-v5", [CHOOSE_V2] = "vgic-v2",
};

static int write_seeds(const char *dir)
{
	int ret = 0;

	for (int i = 0; i < NR_CHOICES && !ret; i++) {
		size_t size;
		uint8_t *input = seed(i, &size);
		char path[32];

		snprintf(path, sizeof(path), "%s/valid", choices[i]);
		ret = write_file(dir, path, input + HEAD, size - HEAD);
		free(input);
	}
	return ret;
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
