// SPDX-License-Identifier: GPL-2.0-only
/*
 * All files of a set at once, with any bytes for entries: each a length of 32 bits and so many bytes, in the order of
 * forge.h. They are rightly sealed, and kvm-vm.img has the checksums of the others: what is left to be found is what one
 * file says of another. What is accepted must be written and read again as it is.
 *
 * test/fuzz/run builds a libFuzzer target of it. Else main() below:
 *   fuzz_set              valid sets, and some hundred variations of each, the same in each run
 *   fuzz_set FILE...      these inputs
 *   fuzz_set --seeds DIR  writes valid inputs to begin with, in DIR/set
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accepted.h"
#include "fixture.h"
#include "forge.h"
#include "image.pb-c.h"
#include "vm.pb-c.h"

static struct forge sets[3]; /* of each kind of GIC */
static int accepted;	     /* the last input was */
#define NR_SETS (sizeof(sets) / sizeof(sets[0]))

static void finish(void)
{
	for (size_t i = 0; i < NR_SETS; i++)
		forge_fini(&sets[i]);
}

static void start(void)
{
	if (sets[0].vm)
		return;
	forge_init(&sets[0], 2, 64);
	forge_init_of(&sets[1], fixture_vm_v5(2, 64, 8));
	forge_init_of(&sets[2], fixture_vm_v2(2, 64));
	atexit(finish);
}

/* The next file of the input. */
static const uint8_t *cut(const uint8_t **data, size_t *left, size_t *size)
{
	const uint8_t *bytes;
	uint32_t length = 0;

	if (*left >= sizeof(length)) {
		memcpy(&length, *data, sizeof(length));
		*data += sizeof(length);
		*left -= sizeof(length);
	}
	bytes = *data;
	*size = le32toh(length) < *left ? le32toh(length) : *left;
	*data += *size;
	*left -= *size;
	return bytes;
}

/* The checksums of the files that are there now, in an entry of kvm-vm.img that has some. */
static void put_seals(KvmVgic__ImageEntry *entry, const struct image_seals *seals)
{
	KvmVgic__VmEntry *vm = kvm_vgic__vm_entry__unpack(NULL, entry->payload.len, entry->payload.data);

	if (!vm)
		return;
	vm->vcpu_seal = seals->vcpu;
	vm->vcpu_events_seal = seals->vcpu_events;
	vm->vgic_seal = seals->vgic;
	vm->its_seal = seals->its;
	vm->thread_seal = seals->thread;
	free(entry->payload.data);
	entry->payload.len = kvm_vgic__vm_entry__get_packed_size(vm);
	entry->payload.data = malloc(entry->payload.len + 1);
	if (!entry->payload.data)
		abort();
	kvm_vgic__vm_entry__pack(vm, entry->payload.data);
	kvm_vgic__vm_entry__free_unpacked(vm, NULL);
}

static void add_entry(struct frame_out *out, KvmVgic__ImageEntry *entry)
{
	size_t size = kvm_vgic__image_entry__get_packed_size(entry);
	const uint32_t length = htole32(size);
	uint8_t *packed = malloc(size + 1);

	if (!packed)
		abort();
	kvm_vgic__image_entry__pack(entry, packed);
	forge_bytes(out, &length, sizeof(length));
	forge_bytes(out, packed, size);
	free(packed);
}

/* Entries that are none stay as they are, and all behind them. */
static void add_index(struct frame_out *out, const struct image_seals *seals, const uint8_t *bytes, size_t size)
{
	while (size >= 4) {
		KvmVgic__ImageEntry *entry;
		uint32_t length;

		memcpy(&length, bytes, sizeof(length));
		length = le32toh(length);
		entry = length <= size - 4 ? kvm_vgic__image_entry__unpack(NULL, length, bytes + 4) : NULL;
		if (!entry)
			break;
		if (entry->has_payload)
			put_seals(entry, seals);
		add_entry(out, entry);
		kvm_vgic__image_entry__free_unpacked(entry, NULL);
		bytes += 4 + length;
		size -= 4 + length;
	}
	forge_bytes(out, bytes, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct forge *forge = &sets[0];
	const uint8_t *index, *bytes;
	struct frame_out out;
	size_t nr_index, nr;

	if (size > 1 << 20)
		return 0;
	start();
	index = cut(&data, &size, &nr_index);
	for (int file = FORGE_VM + 1; file < FORGE_NR_FILES; file++) {
		bytes = cut(&data, &size, &nr);
		forge_begin(&out, file);
		forge_bytes(&out, bytes, nr);
		forge_put(forge, file, &out);
	}
	forge_begin(&out, FORGE_VM);
	add_index(&out, &forge->seals, index, nr_index);
	forge_put(forge, FORGE_VM, &out);
	accepted = read_and_check(forge->dir);
	return 0;
}

#ifndef FUZZ_LIBFUZZER

/* A valid set, in @input, which has room for it: its size. */
static size_t seed(const struct forge *forge, uint8_t *input)
{
	size_t size = 0;

	for (int file = 0; file < FORGE_NR_FILES; file++) {
		struct frame_in in;
		uint32_t length;

		if (frame_open(&in, forge->dir, forge_name(file), forge_kind(file)))
			abort();
		length = htole32(in.end - in.pos);
		memcpy(input + size, &length, sizeof(length));
		memcpy(input + size + sizeof(length), in.buf + in.pos, in.end - in.pos);
		size += sizeof(length) + in.end - in.pos;
		frame_close(&in);
	}
	return size;
}

static uint8_t inputs[NR_SETS][1 << 16];
static size_t sizes[NR_SETS];

static uint32_t dice(uint32_t sides)
{
	static uint64_t x = 42;

	x = x * 6364136223846793005 + 1442695040888963407;
	return (x >> 33) % sides;
}

static void run_variations(void)
{
	for (int i = 0; i < 1500; i++) {
		const uint8_t *from = inputs[i % NR_SETS];
		size_t size = sizes[i % NR_SETS];
		uint8_t input[sizeof(inputs[0])];

		memcpy(input, from, size);
		for (uint32_t n = i < (int)NR_SETS ? 0 : 1 + dice(3); n; n--)
			input[dice(size)] ^= 1u << dice(8);
		LLVMFuzzerTestOneInput(input, size);
		if (i < (int)NR_SETS && !accepted)
			abort(); /* not even a valid one */
	}
}

static int write_seeds(const char *dir)
{
	static const char *const names[] = { "set/v3", "set/v5", "set/v2" };
	int ret = 0;

	for (size_t i = 0; i < NR_SETS && !ret; i++)
		ret = write_file(dir, names[i], inputs[i], sizes[i]);
	return ret;
}

int main(int argc, char **argv)
{
	int ret = 0;

	start();
	for (size_t i = 0; i < NR_SETS; i++)
		sizes[i] = seed(&sets[i], inputs[i]);
	if (argc == 3 && !strcmp(argv[1], "--seeds"))
		return write_seeds(argv[2]);
	if (argc == 1)
		run_variations();
	for (int i = 1; i < argc; i++)
		ret |= run_file(argv[i]);
	return ret;
}

#endif
