// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk over an ITS's tables in any guest memory, by any GITS_BASER and memslots: it ends, within its
 * bounds; what it has found is what an image may hold, is equal to itself, and differs from what it
 * finds when a word of memory was changed, or else has the same defect, or one that is a bound: what lies
 * beyond a bound is in no list.
 *
 * Built as test/unit/meson.build says it is a libFuzzer target: fuzz_its_table CORPUS. Else main() below:
 *   fuzz_its_table                      some thousand inputs, the same in each run
 *   fuzz_its_table FILE...              these inputs
 *   fuzz_its_table --seconds N [SEED]   others each time; the one that failed is in fuzz_its_table.input
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "image/check.h"
#include "remote/remote.h"
#include "state/guest_memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOTS 4
#define CELLS_MAX 8192u /* words of memory in an input */
#define HVA_PAGES (1u << 20)

/* How guest memory goes on where the words of the input end. */
enum { ZEROS, AGAIN, LAST_AGAIN, PAGE_OF_EACH, NR_MODES };

struct input {
	uint64_t baser_device, baser_collection;
	struct {
		uint64_t gpa, size; /* bytes */
		uint32_t hva_page, pad;
	} slots[SLOTS];
	uint8_t nr_slots, nr_vcpus, nr_itses, mode;
	uint32_t hole;			   /* a page that cannot be read */
	uint64_t change;		   /* turned in the second walk... */
	uint32_t change_page, change_word; /* ...here, by its hva */
	uint32_t bytes, pad; /* of this input, where main() has made it and its file is longer */
	uint64_t cells[];
};

struct fuzzed {
	struct remote remote;
	const struct input *in;
	size_t nr_cells;
	bool changed;
	size_t reads;
};

static uint64_t word_at(const struct fuzzed *f, uint64_t page, size_t word)
{
	uint64_t i = f->in->mode % NR_MODES == PAGE_OF_EACH ? page : page * (GUEST_PAGE / 8) + word,
		 value = 0;

	if (f->in->mode % NR_MODES == LAST_AGAIN && i >= f->nr_cells)
		i = f->nr_cells - 1;
	if (f->nr_cells && (i < f->nr_cells || f->in->mode % NR_MODES != ZEROS))
		value = f->in->cells[i % f->nr_cells];
	if (f->changed && page == f->in->change_page && word == f->in->change_word % (GUEST_PAGE / 8))
		value ^= f->in->change;
	return value;
}

static int read_memory(struct remote *remote, uint64_t addr, void *buf, size_t size)
{
	struct fuzzed *f = (struct fuzzed *)remote;
	uint64_t page = addr / GUEST_PAGE;

	if (addr % GUEST_PAGE || size != GUEST_PAGE || ++f->reads > GUEST_MAX_PAGES)
		abort();
	if (page >= HVA_PAGES || page == f->in->hole)
		return -EFAULT;
	if (f->in->mode % NR_MODES == ZEROS && page * (GUEST_PAGE / 8) >= f->nr_cells &&
	    !(f->changed && page == f->in->change_page)) {
		memset(buf, 0, GUEST_PAGE); /* what long walks go through */
		return 0;
	}
	for (size_t i = 0; i < GUEST_PAGE / 8; i++)
		((uint64_t *)buf)[i] = word_at(f, page, i);
	return 0;
}

static int read_all_of_memory(struct remote *remote, const struct iovec *here, const struct iovec *there, size_t nr)
{
	struct fuzzed *f = (struct fuzzed *)remote;
	size_t reads = f->reads;
	int ret = 0;

	f->reads = 0; /* what is read ahead counts when its turn comes */
	for (size_t i = 0; i < nr; i++)
		for (size_t at = 0; at < there[i].iov_len && !ret; at += GUEST_PAGE)
			ret = read_memory(remote, (uint64_t)there[i].iov_base + at, (char *)here[i].iov_base + at, GUEST_PAGE);
	f->reads = reads;
	return ret;
}

static const struct remote_ops ops = { .read = read_memory, .read_all = read_all_of_memory }, ops_by_page = { .read = read_memory };

/* A VM with an ITS whose tables are @t, as an image has it. */
static void check_storable(struct vm_state *vm, struct its_tables *t)
{
	static uint64_t zeros[8];
	struct vgic_values values[16];
	struct its_state its[VM_MAX_ITSES] = { 0 };
	struct lpi_state lpi = { .nr_pending = vm->nr_vcpus };
	size_t nr_ites = 0;

	for (size_t r = 0; r < its_nr_regs; r++)
		values[r] = (struct vgic_values){ .nr = its_regs[r].count, .v = zeros };
	for (size_t i = 1; i < VM_MAX_ITSES; i++)
		its[i].base = VGIC_ADDR_UNSET;
	its[0].regs = values;
	its[0].tables = *t;
	vm->itses = its;
	vm->lpi = &lpi;
	if (check_itses(vm))
		abort();
	for (size_t i = 0; i < t->nr_dtes; i++)
		nr_ites += t->dtes[i].nr_ites;
	if (nr_ites > ITS_MAX_ITES)
		abort();
	if (t->nr_ctes > ITS_MAX_IDS + 1 || t->nr_l1es > ITS_MAX_L1ES || t->nr_dtes > ITS_MAX_IDS + 1)
		abort();
}

static void walk(struct fuzzed *f, struct vm_state *vm, struct its_tables *t)
{
	struct guest_memory mem = GUEST_MEMORY(vm, &f->remote);

	f->reads = 0;
	if (its_tables_read(&mem, f->in->baser_device, f->in->baser_collection, t))
		abort();
	if (!memchr(t->defect, 0, sizeof(t->defect)))
		abort();
	check_storable(vm, t);
}

/* The same where each page is read by itself. */
static void walk_by_page(struct fuzzed *f, struct vm_state *vm, const struct its_tables *t)
{
	struct its_tables by_page;
	char why[ITS_WHY];

	f->remote.ops = &ops_by_page;
	walk(f, vm, &by_page);
	if (!its_tables_equal(t, &by_page, why) || strcmp(t->defect, by_page.defect) || t->endless != by_page.endless)
		abort();
	its_tables_free(&by_page);
	f->remote.ops = &ops;
}

static void compare(const struct its_tables *a, const struct its_tables *b)
{
	char why[ITS_WHY], back[ITS_WHY];
	bool equal = its_tables_equal(a, b, why);

	if (equal != its_tables_equal(b, a, back) || equal != !why[0] || equal != !back[0])
		abort();
	if (equal && !a->endless && !b->endless && strcmp(a->defect, b->defect))
		abort();
	if (!its_tables_equal(a, a, why) || !its_tables_equal(b, b, why))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vcpu_state vcpus[4] = { { .id = 0 }, { .id = 1 }, { .id = 7 }, { .id = UINT32_MAX } };
	struct memslot slots[SLOTS];
	struct its_tables before, after;
	struct input *in;
	struct fuzzed f = { .remote.ops = &ops };
	struct vm_state vm = { .slots = slots, .vcpus = vcpus, .ipa_bits = 52 };

	if (size < sizeof(*in) || size > sizeof(*in) + CELLS_MAX * 8)
		return 0;
	in = malloc(size); /* of this size: a sanitizer finds what reaches beyond */
	if (!in)
		abort();
	memcpy(in, data, size);
	f.in = in;
	f.nr_cells = (size - sizeof(*in)) / 8;
	vm.nr_slots = in->nr_slots % (SLOTS + 1);
	vm.nr_vcpus = in->nr_vcpus % 5;
	vm.nr_itses = 1 + in->nr_itses % VM_MAX_ITSES;
	for (size_t i = 0; i < vm.nr_slots; i++)
		slots[i] = (struct memslot){ .gpa = in->slots[i].gpa & ~4095ULL,
					     .size = in->slots[i].size & ~4095ULL,
					     .hva = (uint64_t)in->slots[i].hva_page * GUEST_PAGE };
	walk(&f, &vm, &before);
	if (in->nr_itses % 2)
		walk_by_page(&f, &vm, &before);
	f.changed = true;
	walk(&f, &vm, &after);
	compare(&before, &after);
	its_tables_free(&before);
	its_tables_free(&after);
	free(in);
	return 0;
}

#ifndef FUZZ_LIBFUZZER

#define INPUT_MAX (sizeof(struct input) + CELLS_MAX * 8)
#define BASE 0x40000000ULL
#define RAM (CELLS_MAX * 8ULL) /* of the input's own words */
#define CRASH "fuzz_its_table.input"

static uint64_t seed = 42;

static uint64_t any(void)
{
	seed = seed * 6364136223846793005 + 1442695040888963407;
	return (seed ^ seed >> 29) * 0xbf58476d1ce4e5b9 ^ seed >> 32;
}

static uint64_t dice(uint64_t sides)
{
	return (any() >> 8) % sides;
}

static bool rarely(uint32_t n)
{
	return !dice(n);
}

/* An address that there mostly is: each of the tables is a page of 64 KiB or a part of one. */
static uint64_t address(uint64_t align)
{
	return rarely(30) ? any() & ~(align - 1) : BASE + (dice(2 * RAM) & ~(align - 1));
}

static uint64_t distance(uint64_t max)
{
	return rarely(6) ? 0 : rarely(12) ? max : rarely(20) ? dice(max) : 1 + dice(20);
}

static uint64_t icid(void)
{
	return rarely(30) ? dice(65536) : dice(40);
}

static uint64_t a_cte(void)
{
	return 1ULL << 63 |
	       (rarely(40)   ? dice(1ULL << 36)
		: rarely(10) ? UINT32_MAX
			     : dice(2))
		       << 16 |
	       icid();
}

static uint64_t a_dte(void)
{
	uint64_t size = rarely(60) ? dice(32) : rarely(10) ? 15 : dice(6);

	return 1ULL << 63 | distance(16383) << 49 | (address(256) >> 8 & 0xfffffffffff) << 5 | size;
}

static uint64_t an_l1e(void)
{
	return 1ULL << 63 | (address(0x10000) & 0xfffffffff0000);
}

static uint64_t an_ite(void)
{
	uint64_t lpi = rarely(40) ? dice(8192) : rarely(10) ? UINT32_MAX - dice(2) : 8192 + dice(57344);

	return distance(65535) % 65536 << 48 | lpi << 16 | icid();
}

static uint64_t an_entry(void)
{
	switch (dice(8)) {
	case 0:
		return any();
	case 1:
		return a_cte();
	case 2:
		return an_l1e();
	case 3:
		return a_dte();
	default:
		return rarely(2) ? 0 : an_ite();
	}
}

/* A table of the entries that @make makes, not all of them valid. */
static void fill(struct input *in, size_t at, size_t n, size_t nr_cells, uint64_t (*make)(void))
{
	for (size_t i = at; i < at + n && i < nr_cells; i++)
		in->cells[i] = rarely(3) ? 0 : make();
}

static uint64_t baser(uint64_t addr)
{
	uint64_t pages = rarely(4) ? dice(256) : dice(3);

	return (rarely(20) ? 0 : 1ULL << 63) | (addr & 0xffffffff0000) | (rarely(50) ? 0xf000 : 0) | pages;
}

static void add_slots(struct input *in)
{
	in->nr_slots = rarely(20) ? dice(256) : 1 + dice(3);
	in->slots[0].gpa = BASE;
	in->slots[0].size = rarely(4) ? dice(2 * RAM) : 2 * RAM;
	for (size_t i = 1; i < SLOTS; i++) {
		in->slots[i].gpa = rarely(3) ? any() : BASE + dice(4 * RAM);
		in->slots[i].size = rarely(10) ? any() : dice(RAM);
		in->slots[i].hva_page = rarely(10) ? any() : dice(256);
	}
}

/*
 * What a guest would have: in four pages each, a slot for the collections, one for devices or level 1, one
 * for level 2, and one for the tables of interrupts, which are of 32 events.
 */
#define PART (CELLS_MAX / 4)
#define PART_GPA(n) (BASE + (n)*0x100000)

static size_t plausible_collections(struct input *in)
{
	static const uint32_t rdbase[] = { 0, 1, 7, UINT32_MAX };
	size_t n = dice(20);

	for (size_t i = 0; i < n; i++)
		in->cells[i] = 1ULL << 63 | (uint64_t)rdbase[dice(4)] << 16 | i * 3;
	return n;
}

/* A chain at @at that goes from one to the next, and the last of which is @last away from another. */
static size_t plausible_devices(struct input *in, size_t at, uint32_t last)
{
	size_t n = 1 + dice(20), id = dice(30);

	for (size_t i = 0; i < n; i++) {
		uint32_t next = i + 1 < n ? 1 + dice(60) : last;
		uint64_t itt = PART_GPA(3) + 256 * dice(PART / 32);

		in->cells[at + id] = 1ULL << 63 | (uint64_t)next << 49 | itt >> 8 << 5 | dice(5);
		id += next;
	}
	return n;
}

static void plausible_events(struct input *in, size_t collections)
{
	for (size_t table = 3 * PART; table < 4 * PART; table += 32)
		for (size_t e = dice(3); e < 32 && collections;) {
			/* Within the smallest table that can be meant, mostly. */
			size_t next = e < 2 ? dice(2) : e < 30 ? dice(3) : 0;

			in->cells[table + e] =
				(uint64_t)next << 48 | (8192 + dice(500)) << 16 | dice(collections) * 3;
			if (!next)
				break;
			e += next;
		}
}

static size_t plausible(struct input *in)
{
	bool two_level = rarely(2);
	size_t collections;

	memset(in, 0, sizeof(*in) + CELLS_MAX * 8);
	in->nr_slots = SLOTS;
	in->nr_vcpus = 4;
	in->nr_itses = dice(3);
	in->hole = UINT32_MAX;
	for (uint32_t i = 0; i < SLOTS; i++) {
		in->slots[i].gpa = PART_GPA(i);
		in->slots[i].size = 0x10000;
		in->slots[i].hva_page = i * PART / (GUEST_PAGE / 8);
	}
	in->baser_collection = 1ULL << 63 | PART_GPA(0);
	in->baser_device = 1ULL << 63 | PART_GPA(1) | (two_level ? 1ULL << 62 : 0);
	collections = plausible_collections(in);
	plausible_devices(in, two_level ? 2 * PART : PART, two_level ? 16383 : 0);
	for (size_t n = dice(4); two_level && n; n--)
		in->cells[PART + dice(8)] = 1ULL << 63 | PART_GPA(2);
	plausible_events(in, collections);
	for (size_t i = rarely(2) ? 0 : dice(3); i; i--)
		in->cells[dice(CELLS_MAX)] = an_entry();
	return sizeof(*in) + CELLS_MAX * 8;
}

/* A table of 65536 interrupts, all mapped, and several devices that have it. */
static void flood(struct input *in)
{
	uint64_t itt = PART_GPA(3) + PART * 8;

	in->mode = LAST_AGAIN;
	in->nr_itses = rarely(2) ? dice(8) : dice(40);
	in->slots[3].size = 0x200000;
	in->baser_device = 1ULL << 63 | PART_GPA(1);
	in->cells[0] = 1ULL << 63;
	in->cells[CELLS_MAX - 1] = 1ULL << 48 | 8192 << 16;
	for (size_t i = 0; i < 4; i++)
		in->cells[PART + i] = 1ULL << 63 | 1ULL << 49 | itt >> 8 << 5 | (rarely(3) ? dice(32) : 15);
}

/* Many devices that have the same table of 65536 interrupts, with nothing in it: more pages than are read. */
static void lengthy(struct input *in)
{
	in->baser_device = 1ULL << 63 | PART_GPA(1);
	in->slots[3].size = 0x100000;
	for (size_t i = 0; i < PART; i++)
		in->cells[PART + i] = 1ULL << 63 | 1ULL << 49 | (PART_GPA(3) + 2 * PART * 8) >> 8 << 5 | 15;
}

/* A level 1 table of 16 MiB, with an entry at its begin, and one far behind, where there was none. */
static void far_away(struct input *in)
{
	in->baser_device = 1ULL << 63 | 1ULL << 62 | PART_GPA(1) | 255;
	memset(&in->cells[2 * PART], 0, 2 * PART * 8);
	plausible_devices(in, 2 * PART, 16383);
	in->cells[3 * PART] = 1ULL << 63 | (PART_GPA(2) + 0x2000000);
	in->slots[1].size = 0x1000000;
	in->slots[1].hva_page = 3 * PART / 512;
	in->slots[2].gpa += 0x2000000;
	in->slots[3].gpa += 0x2000000;
	in->change = 1ULL << 63 | (PART_GPA(2) + 0x2000000);
	in->change_page = in->slots[1].hva_page + (rarely(2) ? 1024 : dice(4096));
	in->change_word = rarely(2) ? dice(8) : dice(512);
}

/*
 * A level 1 table that is full, and nothing ends it; or one of all the entries that are looked at, with one
 * more in the second walk.
 */
static void wide(struct input *in)
{
	size_t n = rarely(2) ? PART : ITS_MAX_L1ES;

	in->baser_device = 1ULL << 63 | 1ULL << 62 | PART_GPA(1);
	memset(&in->cells[PART], 0, 2 * PART * 8);
	for (size_t i = 0; i < n; i++)
		in->cells[PART + i] = 1ULL << 63 | PART_GPA(2);
	if (n == PART)
		return;
	in->change = 1ULL << 63 | PART_GPA(2);
	in->change_page = (PART + n) / (GUEST_PAGE / 8);
	in->change_word = (PART + n) % (GUEST_PAGE / 8);
}

/* A guest's tables, somewhat, and then some more of anything. Its size in bytes. */
static size_t make_any(struct input *in)
{
	size_t nr_cells = 1 + dice(rarely(3) ? CELLS_MAX : 2048), n = 1 + dice(30);
	size_t collections = dice(64), devices = 64 + dice(448), l2 = 512 + dice(512);

	memset(in, 0, sizeof(*in));
	add_slots(in);
	in->baser_collection = baser(BASE);
	in->baser_device = baser(BASE + (rarely(2) ? 0x10000 : 0)) | (rarely(3) ? 1ULL << 62 : 0);
	in->nr_vcpus = rarely(20) ? dice(5) : 4;
	in->nr_itses = rarely(2) ? 0 : dice(VM_MAX_ITSES);
	in->mode = dice(NR_MODES);
	in->hole = rarely(10) ? dice(64) : UINT32_MAX;
	memset(in->cells, 0, nr_cells * 8);
	/* The first pages are what BASERs and slots begin with. */
	fill(in, rarely(2) ? 0 : collections, n, nr_cells, a_cte);
	fill(in, rarely(2) ? 0 : devices, n, nr_cells, rarely(2) ? a_dte : an_l1e);
	fill(in, l2, n, nr_cells, a_dte);
	fill(in, 1024 + dice(2048), 4 * n, nr_cells, an_ite);
	for (size_t i = dice(16); i; i--)
		in->cells[dice(nr_cells)] = an_entry();
	if (rarely(8))
		fill(in, 0, nr_cells, nr_cells, rarely(2) ? an_ite : a_dte);
	return sizeof(*in) + nr_cells * 8;
}

static size_t make(struct input *in)
{
	bool is_plausible = !rarely(3);
	size_t size = is_plausible ? plausible(in) : make_any(in), nr_cells = (size - sizeof(*in)) / 8;
	size_t part = (rarely(2) ? 3 : dice(4)) * PART % nr_cells;

	in->change = rarely(2) ? 1ULL << dice(64) : any();
	part = (part + (rarely(2) ? dice(64) : dice(PART))) % nr_cells;
	in->change_page = part / (GUEST_PAGE / 8);
	in->change_word = part % (GUEST_PAGE / 8);
	if (is_plausible && rarely(200))
		flood(in);
	else if (is_plausible && rarely(200))
		far_away(in);
	else if (is_plausible && rarely(400))
		wide(in);
	else if (is_plausible && rarely(2000))
		lengthy(in);
	return size;
}

/* Any bytes of it, also those that mean where and how much. */
static void vary(uint8_t *input, size_t size)
{
	for (size_t n = dice(4); n; n--)
		input[dice(rarely(2) ? sizeof(struct input) : size)] ^= 1u << dice(8);
}

/* Where the input stays that a sanitizer, or abort(), ended. */
static struct input *open_crash(void)
{
	int fd = open(CRASH, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	void *map;

	if (fd < 0 || ftruncate(fd, INPUT_MAX)) {
		perror(CRASH);
		exit(1);
	}
	map = mmap(NULL, INPUT_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED) {
		perror(CRASH);
		exit(1);
	}
	return map;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void run_one(struct input *in)
{
	size_t size = make(in);

	vary((uint8_t *)in, size);
	in->bytes = size;
	LLVMFuzzerTestOneInput((const uint8_t *)in, size);
}

static int run_for(double seconds)
{
	struct input *in = open_crash();
	double end = now() + seconds;
	uint64_t n = 0;

	printf("seed %" PRIu64 "\n", seed);
	fflush(stdout);
	for (; now() < end; n++)
		run_one(in);
	munmap(in, INPUT_MAX);
	unlink(CRASH);
	printf("%" PRIu64 " inputs\n", n);
	return 0;
}

static int run_some(void)
{
	static uint64_t input[INPUT_MAX / 8 + 1];

	for (int i = 0; i < 3000; i++)
		run_one((struct input *)input);
	return 0;
}

static int run_file(const char *path)
{
	static uint64_t input[INPUT_MAX / 8 + 1];
	FILE *file = fopen(path, "r");
	size_t size;

	if (!file) {
		perror(path);
		return 1;
	}
	size = fread(input, 1, INPUT_MAX, file);
	fclose(file);
	if (size > ((struct input *)input)->bytes && size == INPUT_MAX)
		size = ((struct input *)input)->bytes;
	return LLVMFuzzerTestOneInput((const uint8_t *)input, size);
}

int main(int argc, char **argv)
{
	int ret = 0;

	if (argc == 1)
		return run_some();
	if (!strcmp(argv[1], "--seconds") && argc > 2) {
		seed = argc > 3 ? strtoull(argv[3], NULL, 10)
				: (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
		return run_for(atof(argv[2]));
	}
	for (int i = 1; i < argc; i++)
		ret |= run_file(argv[i]);
	return ret;
}

#endif
