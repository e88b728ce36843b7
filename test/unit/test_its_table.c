// SPDX-License-Identifier: GPL-2.0-only
/* The walk over an ITS's tables, and the comparison of two of them, on an array for guest memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "its_entry.h"
#include "remote/remote.h"
#include "state/guest_memory.h"
#include "state/vm.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define BASE 0x40000000u
#define SIZE 0x200000u
#define HVA 0x7f0000000000u
#define TABLE 0x10000u /* bytes of a page of a table */

/* Where the tests have their tables. */
#define COLLECTIONS (BASE + 0 * TABLE)
#define DEVICES (BASE + 1 * TABLE) /* or level 1 */
#define LEVEL_2(i) (BASE + (2 + (i)) * TABLE)
#define ITT (BASE + 8 * TABLE)

#define INDIRECT (1ULL << 62)

struct array {
	struct remote remote;
	uint8_t *bytes; /* of SIZE, at HVA; NULL: each entry is what @entry says of its address */
	uint64_t (*entry)(uint64_t hva);
	size_t reads;
	uint64_t hole; /* a page that cannot be read */
	int hole_err;  /* for another reason than that it is not there */
	struct vm_state vm;
	struct memslot slots[2];
	struct vcpu_state vcpus[2];
	struct its_tables tables;
};

static int read_array(struct remote *remote, uint64_t addr, void *buf, size_t size)
{
	struct array *array = (struct array *)remote;

	array->reads++;
	assert_int_equal(size, GUEST_PAGE);
	assert_int_equal(addr % GUEST_PAGE, 0);
	if (addr == array->hole)
		return array->hole_err ?: -EIO;
	for (size_t i = 0; !array->bytes && i < size / 8; i++)
		((uint64_t *)buf)[i] = array->entry(addr + 8 * i);
	if (!array->bytes)
		return 0;
	assert_in_range(addr, HVA, HVA + SIZE - size);
	memcpy(buf, array->bytes + (addr - HVA), size);
	return 0;
}

static int read_all_of_array(struct remote *remote, const struct iovec *here, const struct iovec *there, size_t nr)
{
	struct array *array = (struct array *)remote;
	size_t reads = array->reads;
	int ret = 0;

	for (size_t i = 0; i < nr; i++)
		for (size_t page = 0; page < there[i].iov_len; page += GUEST_PAGE)
			ret = read_array(remote, (uint64_t)there[i].iov_base + page, (char *)here[i].iov_base + page, GUEST_PAGE) ?: ret;
	array->reads = reads + 1;
	return ret;
}

static const struct remote_ops ops = { .read = read_array }, ops_at_once = { .read = read_array, .read_all = read_all_of_array };

static int set_up(void **state)
{
	struct array *array = calloc(1, sizeof(*array));

	array->remote.ops = &ops;
	array->bytes = calloc(1, SIZE);
	array->slots[0] = (struct memslot){ .gpa = BASE, .size = SIZE, .hva = HVA };
	array->vcpus[0].id = 3;
	array->vcpus[1].id = 0xfffffffe;
	array->vm.slots = array->slots;
	array->vm.nr_slots = 1;
	array->vm.vcpus = array->vcpus;
	array->vm.nr_vcpus = 2;
	array->vm.nr_itses = 1;
	*state = array;
	return 0;
}

static int tear_down(void **state)
{
	struct array *array = *state;

	its_tables_free(&array->tables);
	free(array->bytes);
	free(array);
	return 0;
}

static void put(struct array *array, uint64_t gpa, uint64_t entry)
{
	assert_in_range(gpa, BASE, BASE + SIZE - 8);
	memcpy(array->bytes + (gpa - BASE), &entry, 8);
}

static void walk_by(struct array *array, uint64_t baser_device, uint64_t baser_collection)
{
	struct guest_memory mem = GUEST_MEMORY(&array->vm, &array->remote);

	its_tables_free(&array->tables);
	array->reads = 0;
	assert_int_equal(its_tables_read(&mem, baser_device, baser_collection, &array->tables), 0);
}

/* Tables of one page each, of which the former may be of two levels. */
static const struct its_tables *walk(struct array *array, uint64_t indirect)
{
	walk_by(array, VALID | indirect | DEVICES, VALID | COLLECTIONS);
	return &array->tables;
}

#define assert_defect(tables, text) assert_string_equal((tables)->defect, text)

/* Collections */

static void collections_are_read_in_their_order(void **state)
{
	struct array *array = *state;
	const struct its_tables *t;

	put(array, COLLECTIONS, CTE(3, 8191));
	put(array, COLLECTIONS + 8, CTE(0xffffffff, 0));
	put(array, COLLECTIONS + 16, CTE(0xfffffffe, 7));
	put(array, COLLECTIONS + 32, CTE(3, 9)); /* behind the end */
	t = walk(array, 0);
	assert_defect(t, "");
	assert_int_equal(t->nr_ctes, 3);
	assert_int_equal(its_cte_rdbase(t->ctes[0]), 3);
	assert_int_equal(its_cte_icid(t->ctes[0]), 8191);
	assert_int_equal(its_cte_rdbase(t->ctes[1]), 0xffffffff);
	assert_int_equal(its_cte_rdbase(t->ctes[2]), 0xfffffffe);
	assert_int_equal(its_cte_icid(t->ctes[2]), 7);
}

static void a_full_collection_table_ends_with_its_last_entry(void **state)
{
	struct array *array = *state;

	for (uint32_t i = 0; i < TABLE / 8; i++)
		put(array, COLLECTIONS + 8 * i, CTE(3, i));
	put(array, DEVICES, DTE(0, ITT, 1)); /* is no collection */
	assert_int_equal(walk(array, 0)->nr_ctes, TABLE / 8);
	assert_defect(&array->tables, "");
	assert_int_equal(array->tables.nr_dtes, 1);
}

static void a_collection_that_kvm_refuses_is_the_last(void **state)
{
	static const struct {
		uint64_t entry;
		const char *defect;
	} wrong[] = {
		{ VALID | 4ULL << 16 | 1, "collection table, entry 1: RDBase 4 is no vCPU's id" },
		{ VALID | 3ULL << 16 | 8, "collection table, entry 1: ICID 8 is there twice" },
		{ VALID | 3ULL << 16 | 8192,
		  "collection table, entry 1: ICID 8192 does not fit into the table" },
		{ VALID | 3ULL << 16 | 65535,
		  "collection table, entry 1: ICID 65535 does not fit into the table" },
	};
	struct array *array = *state;

	put(array, COLLECTIONS, CTE(3, 8));
	put(array, COLLECTIONS + 16, CTE(3, 9));
	put(array, DEVICES, DTE(0, ITT, 1));
	for (size_t i = 0; i < COUNT(wrong); i++) {
		put(array, COLLECTIONS + 8, wrong[i].entry);
		assert_defect(walk(array, 0), wrong[i].defect);
		assert_int_equal(array->tables.nr_ctes, 2);
		assert_int_equal(array->tables.nr_dtes, 0);
	}
}

/* A table of two pages has room for it. */
static void the_size_of_a_table_is_that_of_its_baser(void **state)
{
	struct array *array = *state;

	put(array, COLLECTIONS, CTE(3, 8192));
	walk_by(array, 0, VALID | COLLECTIONS | 1);
	assert_defect(&array->tables, "");
	walk_by(array, 0, VALID | COLLECTIONS);
	assert_int_not_equal(array->tables.defect[0], 0);
}

static void an_icid_whose_place_is_not_in_memory_does_not_fit(void **state)
{
	struct array *array = *state;

	array->slots[0].size = GUEST_PAGE;
	put(array, COLLECTIONS, CTE(3, 511));
	put(array, COLLECTIONS + 8, CTE(3, 512));
	walk_by(array, 0, VALID | COLLECTIONS);
	assert_defect(&array->tables, "collection table, entry 1: ICID 512 does not fit into the table");
}

/* GITS_BASER */

static void a_table_that_is_not_valid_is_not_read(void **state)
{
	struct array *array = *state;

	put(array, COLLECTIONS, CTE(3, 8));
	put(array, DEVICES, DTE(0, ITT, 1));
	walk_by(array, DEVICES, COLLECTIONS);
	assert_int_equal(array->reads, 0);
	assert_defect(&array->tables, "");
}

static void an_address_has_its_highest_bits_where_64_kib_pages_have_them(void **state)
{
	struct array *array = *state;

	array->slots[0].gpa = 0xf400000000000 | BASE;
	put(array, COLLECTIONS, CTE(3, 8));
	walk_by(array, 0, VALID | 0x400000000000 | COLLECTIONS | 0xf000);
	assert_int_equal(array->tables.nr_ctes, 1);
	walk_by(array, 0, VALID | 0x400000000000 | COLLECTIONS | 0xe000);
	assert_defect(&array->tables, "collection table: entry 0 at 0xe400040000000: not in guest memory");
}

/* Devices */

static void a_device_has_all_its_fields(void **state)
{
	struct array *array = *state;
	const struct its_tables *t;

	array->slots[1] =
		(struct memslot){ .gpa = 0xffffffff80000, .size = 0x80000, .hva = HVA + SIZE - 0x80000 };
	array->vm.nr_slots = 2;
	put(array, DEVICES + 8, DTE(0x3fff, 0xffffffff80000, 15));
	t = walk(array, 0);
	assert_defect(t, "");
	assert_int_equal(t->nr_dtes, 1);
	assert_int_equal(t->dtes[0].device_id, 1);
	assert_int_equal(its_dte_next(t->dtes[0].entry), 0x3fff);
	assert_int_equal(its_dte_itt_addr(t->dtes[0].entry), 0xffffffff80000);
	assert_int_equal(its_dte_size(t->dtes[0].entry), 15);
	assert_int_equal(t->dtes[0].nr_ites, 0);
}

static void a_chain_of_devices_ends_where_it_says(void **state)
{
	struct array *array = *state;
	const struct its_tables *t;

	put(array, DEVICES, DTE(3, ITT, 0));
	put(array, DEVICES + 8, DTE(1, ITT, 0));     /* stepped over */
	put(array, DEVICES + 5 * 8, DTE(0, ITT, 0)); /* behind two that are not valid */
	put(array, DEVICES + 6 * 8, DTE(0, ITT, 0));
	t = walk(array, 0);
	assert_defect(t, "");
	assert_int_equal(t->nr_dtes, 2);
	assert_int_equal(t->dtes[0].device_id, 0);
	assert_int_equal(t->dtes[1].device_id, 5);
}

static void a_chain_of_devices_that_leaves_the_table_ends(void **state)
{
	struct array *array = *state;

	put(array, DEVICES + 8 * 8190, DTE(16383, ITT, 0));
	put(array, LEVEL_2(0), DTE(0, ITT, 0)); /* behind the table */
	assert_int_equal(walk(array, 0)->nr_dtes, 1);
	assert_defect(&array->tables, "");
}

static void a_device_that_kvm_refuses_is_the_last(void **state)
{
	struct array *array = *state;

	put(array, DEVICES, DTE(1, ITT, 16));
	put(array, DEVICES + 8, DTE(0, ITT, 0));
	put(array, ITT, ITE(0, 8192, 0));
	assert_defect(walk(array, 0), "device table, DeviceID 0: Size 16: more than 16 EventID bits");
	assert_int_equal(array->tables.nr_dtes, 1);
	assert_int_equal(array->tables.dtes[0].nr_ites, 0);
}

static void a_device_id_has_16_bits(void **state)
{
	struct array *array = *state;

	put(array, BASE + 8 * 65535, DTE(1, BASE + 9 * TABLE, 0));
	walk_by(array, VALID | BASE | 7, 0);
	assert_defect(&array->tables, "");
	assert_int_equal(array->tables.dtes[0].device_id, 65535);
	put(array, BASE + 8 * 65536, DTE(1, BASE + 9 * TABLE, 0));
	walk_by(array, VALID | BASE | 7, 0);
	assert_defect(&array->tables, "");
	walk_by(array, VALID | BASE | 8, 0);
	assert_defect(&array->tables, "device table, DeviceID 65536: more than 16 bits");
}

/* Two levels */

static void level_2_tables_continue_each_other(void **state)
{
	struct array *array = *state;
	const struct its_tables *t;

	put(array, DEVICES + 8, VALID | LEVEL_2(0));
	put(array, DEVICES + 7 * 8, VALID | LEVEL_2(1));
	put(array, LEVEL_2(0) + 8, DTE(16383, ITT, 0)); /* into what level 1 does not have */
	put(array, LEVEL_2(1) + 8 * 8191, DTE(0, ITT, 0));
	t = walk(array, INDIRECT);
	assert_defect(t, "");
	assert_int_equal(t->nr_l1es, 2);
	assert_int_equal(t->l1es[0].index, 1);
	assert_int_equal(its_l1e_addr(t->l1es[0].entry), LEVEL_2(0));
	assert_int_equal(t->l1es[1].index, 7);
	assert_int_equal(t->nr_dtes, 2);
	assert_int_equal(t->dtes[0].device_id, 8193);
	assert_int_equal(t->dtes[1].device_id, 65535);
}

static void the_last_device_ends_both_levels(void **state)
{
	struct array *array = *state;

	put(array, DEVICES, VALID | LEVEL_2(0));
	put(array, DEVICES + 8, VALID | LEVEL_2(1));
	put(array, LEVEL_2(0), DTE(0, ITT, 0));
	put(array, LEVEL_2(1), DTE(0, ITT, 0));
	assert_int_equal(walk(array, INDIRECT)->nr_l1es, 1);
	assert_int_equal(array->tables.nr_dtes, 1);
}

static void an_address_of_level_2_has_52_bits(void **state)
{
	struct array *array = *state;

	put(array, DEVICES, VALID | 0x7ffffffffff0000);
	assert_defect(walk(array, INDIRECT), "device table: entry 0 at 0xfffffffff0000: not in guest memory");
	assert_int_equal(its_l1e_addr(array->tables.l1es[0].entry), 0xfffffffff0000);
}

/* A level 1 table of 16 MiB, in which the DeviceID of the last entries has 35 bits. */
static uint64_t two_far_apart(uint64_t hva)
{
	if (hva == HVA || hva == HVA + 8ULL * (1 << 19))
		return VALID | (BASE + 256 * TABLE);
	if (hva == HVA + 256 * TABLE)
		return DTE(16383, BASE, 0);
	return 0;
}

static void a_level_1_index_does_not_begin_anew(void **state)
{
	struct array *array = *state;

	free(array->bytes);
	array->bytes = NULL;
	array->entry = two_far_apart;
	array->slots[0].size = 257 * TABLE;
	walk_by(array, VALID | INDIRECT | BASE | 255, 0);
	assert_int_equal(array->tables.nr_l1es, 2);
	assert_int_equal(array->tables.l1es[1].index, 1 << 19);
	assert_defect(&array->tables, "level 1 device table, entry 524288: beyond all DeviceIDs");
	for (size_t i = 1; i < array->tables.nr_dtes; i++)
		assert_true(array->tables.dtes[i].device_id > array->tables.dtes[i - 1].device_id);
}

/* Interrupts */

static void a_device_of(struct array *array, uint32_t size)
{
	put(array, COLLECTIONS, CTE(3, 1));
	put(array, COLLECTIONS + 8, CTE(3, 8191));
	put(array, DEVICES, DTE(0, ITT, size));
}

static void an_interrupt_has_all_its_fields(void **state)
{
	struct array *array = *state;
	const struct its_tables *t;
	uint64_t first;

	a_device_of(array, 15);
	put(array, ITT + 8, ITE(65534, 0xffffffff, 8191));
	put(array, ITT + 8 * 65535, ITE(0, 8192, 1));
	t = walk(array, 0);
	assert_defect(t, "");
	assert_int_equal(t->dtes[0].nr_ites, 2);
	first = its_ite(t, t->dtes, 0);
	assert_int_equal(its_event_id(t, t->dtes, 0), 1);
	assert_int_equal(its_ite_next(first), 65534);
	assert_int_equal(its_ite_pintid(first), 0xffffffff);
	assert_int_equal(its_ite_icid(first), 8191);
	assert_int_equal(its_event_id(t, t->dtes, 1), 65535);
	assert_int_equal(its_ite_pintid(its_ite(t, t->dtes, 1)), 8192);
}

static void a_table_of_interrupts_has_as_many_as_its_size_says(void **state)
{
	struct array *array = *state;

	a_device_of(array, 1);
	for (uint32_t i = 0; i < 8; i++)
		put(array, ITT + 8 * i, ITE(i < 3, 8192 + i, 1));
	assert_int_equal(walk(array, 0)->dtes[0].nr_ites, 4);
	a_device_of(array, 0);
	put(array, ITT, 0);
	put(array, ITT + 8, ITE(0, 8192, 1));
	assert_int_equal(walk(array, 0)->dtes[0].nr_ites, 1);
	assert_defect(&array->tables, "");
}

static void an_interrupt_that_kvm_refuses_is_the_last(void **state)
{
	static const struct {
		uint64_t entry;
		const char *defect;
	} wrong[] = {
		{ 1ULL << 48 | 8191 << 16 | 1, "DeviceID 0, EventID 1: pINTID 8191 is no LPI" },
		{ 1ULL << 48 | 1 << 16 | 1, "DeviceID 0, EventID 1: pINTID 1 is no LPI" },
		{ 3ULL << 48 | 8192 << 16 | 1, "DeviceID 0, EventID 1: next 3 leaves the table" },
		{ 65535ULL << 48 | 8192 << 16 | 1, "DeviceID 0, EventID 1: next 65535 leaves the table" },
		{ 1ULL << 48 | 8192 << 16 | 2, "DeviceID 0, EventID 1: ICID 2 is no collection" },
		{ 1ULL << 48 | 8192 << 16 | 65535, "DeviceID 0, EventID 1: ICID 65535 is no collection" },
	};
	struct array *array = *state;

	a_device_of(array, 1);
	put(array, ITT, ITE(1, 8192, 1));
	put(array, ITT + 16, ITE(0, 8193, 1));
	for (size_t i = 0; i < COUNT(wrong); i++) {
		put(array, ITT + 8, wrong[i].entry);
		assert_defect(walk(array, 0), wrong[i].defect);
		assert_int_equal(array->tables.dtes[0].nr_ites, 2);
	}
	put(array, ITT + 8, ITE(2, 8192, 1)); /* to the last entry: event 3 */
	assert_defect(walk(array, 0), "");
}

/* Guest memory */

static void a_table_may_be_in_two_memslots(void **state)
{
	struct array *array = *state;

	array->slots[0] = (struct memslot){ .gpa = BASE + TABLE / 2, .size = SIZE - TABLE / 2, .hva = HVA };
	array->slots[1] = (struct memslot){ .gpa = BASE, .size = TABLE / 2, .hva = HVA + SIZE - TABLE / 2 };
	array->vm.nr_slots = 2;
	for (uint32_t i = 0; i < TABLE / 8; i++) {
		uint64_t entry = CTE(3, i),
			 at = i < TABLE / 16 ? SIZE - TABLE / 2 + 8 * i : 8 * i - TABLE / 2;

		memcpy(array->bytes + at, &entry, 8);
	}
	walk_by(array, 0, VALID | COLLECTIONS);
	assert_int_equal(array->tables.nr_ctes, TABLE / 8);
	assert_defect(&array->tables, "");
}

static void a_table_may_end_with_memory(void **state)
{
	struct array *array = *state;

	array->slots[0].size = GUEST_PAGE;
	walk_by(array, VALID | BASE, 0);
	assert_defect(&array->tables, "device table: entry 512 at 0x40001000: not in guest memory");
}

static void memory_that_cannot_be_read_is_a_defect(void **state)
{
	struct array *array = *state;

	a_device_of(array, 15);
	array->hole = HVA + (ITT - BASE) + 3 * GUEST_PAGE;
	assert_defect(walk(array, 0),
		      "interrupt translation table: entry 1536 at 0x40083000: not in guest memory");
}

static void a_vm_without_memory_has_no_tables(void **state)
{
	struct array *array = *state;

	array->vm.nr_slots = 0;
	assert_defect(walk(array, 0), "collection table: entry 0 at 0x40000000: not in guest memory");
	assert_int_equal(array->reads, 0);
}

/* At the end of the address space, where the next entry would be at 0. */
static void an_address_does_not_begin_anew(void **state)
{
	struct array *array = *state;

	array->slots[0] = (struct memslot){ .gpa = 0xfffffffff0000, .size = TABLE, .hva = HVA };
	walk_by(array, VALID | 0xffffffff0000 | 0xf000 | 0xff, 0);
	assert_defect(&array->tables, "device table: entry 8192 at 0x10000000000000: not in guest memory");
}

/* Bounds */

static uint64_t everything(uint64_t hva)
{
	return DTE(1, BASE, 15) | 1ULL << 48;
}

/* Whatever the guest has made of them. */
static void a_walk_ends(void **state)
{
	static const uint64_t entries[] = { UINT64_MAX,
					    VALID,
					    VALID | 1ULL << 49,
					    VALID | 1ULL << 49 | 15,
					    0,
					    VALID | 1ULL << 48 | 8192 << 16 };
	struct array *array = *state;

	for (size_t e = 0; e < COUNT(entries); e++)
		for (int indirect = 0; indirect < 2; indirect++) {
			for (size_t i = 0; i < SIZE; i += 8)
				put(array, BASE + i, entries[e]);
			walk_by(array, VALID | (indirect ? INDIRECT : 0) | BASE | 0xff, VALID | BASE | 0xff);
			assert_in_range(array->reads, 1, GUEST_MAX_PAGES);
			walk_by(array, VALID | (indirect ? INDIRECT : 0) | BASE | 0xff, 0);
			assert_in_range(array->reads, 1, GUEST_MAX_PAGES);
		}
}

/* A table that is its own second level, and its devices' table of interrupts. */
static void tables_that_are_one_another_end(void **state)
{
	struct array *array = *state;

	free(array->bytes);
	array->bytes = NULL;
	array->entry = everything;
	array->slots[0].gpa = 0;
	array->slots[0].size = 1ULL << 52;
	walk_by(array, VALID | INDIRECT | BASE | 0xff, 0);
	assert_int_not_equal(array->tables.defect[0], 0);
	assert_in_range(array->reads, 1, GUEST_MAX_PAGES);
	walk_by(array, VALID | BASE | 0xff, 0);
	assert_int_not_equal(array->tables.defect[0], 0);
	assert_in_range(array->reads, 1, GUEST_MAX_PAGES);
}

static void no_more_than_1024_tables_of_level_2_are_looked_at(void **state)
{
	struct array *array = *state;

	for (uint32_t i = 0; i < 2048; i++)
		put(array, DEVICES + 8 * i, VALID | LEVEL_2(0));
	assert_defect(walk(array, INDIRECT), "more than 1024 level 2 tables");
	assert_int_equal(array->tables.nr_l1es, ITS_MAX_L1ES);
}

/* Which is no list's: a restore refuses it for the bound. Found by fuzz_its_table. */
static void what_lies_beyond_a_bound_compares_equal(void **state)
{
	struct array *array = *state;
	struct its_tables within;
	char why[ITS_WHY];

	for (uint32_t i = 0; i < ITS_MAX_L1ES; i++)
		put(array, DEVICES + 8 * i, VALID | LEVEL_2(0));
	within = *walk(array, INDIRECT);
	array->tables = (struct its_tables){ 0 };
	put(array, DEVICES + 8 * ITS_MAX_L1ES, VALID | LEVEL_2(0));
	walk(array, INDIRECT);
	assert_true(its_tables_equal(&within, &array->tables, why));
	assert_false(within.endless);
	assert_true(array->tables.endless);
	its_tables_free(&within);
}

/* Those of one ITS leave room for the next one's, up to what an image holds of all. */
static void interrupts_are_bounded_over_all_itses(void **state)
{
	struct array *array = *state;
	struct guest_memory mem = GUEST_MEMORY(&array->vm, &array->remote);
	size_t n[2] = { 0 };

	put(array, COLLECTIONS, CTE(3, 1));
	for (uint32_t i = 0; i < 10; i++)
		put(array, DEVICES + 8 * i, DTE(i < 9, ITT, 15));
	for (uint32_t i = 0; i < 65536; i++)
		put(array, ITT + 8 * i, ITE(i < 65535, 8192, 1));
	for (size_t its = 0; its < 2; its++) {
		its_tables_free(&array->tables);
		assert_int_equal(its_tables_read(&mem, VALID | DEVICES, VALID | COLLECTIONS, &array->tables), 0);
		for (size_t i = 0; i < array->tables.nr_dtes; i++)
			n[its] += array->tables.dtes[i].nr_ites;
		assert_int_equal(array->tables.endless, its);
	}
	assert_string_equal(array->tables.defect, "more than 1048576 interrupts");
	assert_int_equal(n[0] + n[1], ITS_MAX_ITES);
}

/* KVM reads the interrupts of the devices before it comes to one that it does not take. */
static void what_precedes_a_broken_device_is_bounded_too(void **state)
{
	struct array *array = *state;

	put(array, COLLECTIONS, CTE(3, 1));
	for (uint32_t i = 0; i < 20; i++)
		put(array, DEVICES + 8 * i, DTE(1, ITT, 15));
	put(array, DEVICES + 8 * 20, DTE(0, ITT, 16));
	for (uint32_t i = 0; i < 65536; i++)
		put(array, ITT + 8 * i, ITE(i < 65535, 8192, 1));
	assert_defect(walk(array, 0), "more than 1048576 interrupts");
	assert_true(array->tables.endless);
}

static void entries_that_are_not_valid_are_bounded(void **state)
{
	struct array *array = *state;

	put(array, COLLECTIONS, CTE(3, 1));
	for (uint32_t i = 0; i < 1025; i++)
		put(array, DEVICES + 8 * i, DTE(i < 1024, ITT, 15));
	assert_defect(walk(array, 0), "more than 67108864 entries in the tables");
	assert_true(array->tables.endless);
}

/* Comparison */

static uint64_t ctes[] = { CTE(1, 10), CTE(2, 20), CTE(3, 30) };
static struct its_l1e l1es[] = { { 0, L1E(0x10000) }, { 2, L1E(0x20000) }, { 7, L1E(0x30000) } };
static uint32_t event_ids[] = { 0, 4, 9, 0, 4, 9 };
static uint64_t ites[] = { ITE(4, 8192, 10), ITE(5, 8193, 20), ITE(0, 8194, 30),
			   ITE(4, 8192, 10), ITE(5, 8193, 20), ITE(0, 8194, 30) };
static struct its_dte dtes[] = { { 1, DTE(4, 0x100, 3), 0, 3 }, { 5, DTE(6, 0x200, 4), 3, 0 }, { 11, DTE(0, 0x300, 5), 3, 3 } };
static const struct its_tables whole = {
	.ctes = ctes, .nr_ctes = 3, .l1es = l1es, .nr_l1es = 3, .dtes = dtes, .nr_dtes = 3,
	.event_ids = event_ids, .ites = ites, .nr_ites = 6,
};

static void assert_differs(const struct its_tables *saved, const struct its_tables *found, const char *says)
{
	char why[ITS_WHY];

	assert_false(its_tables_equal(saved, found, why));
	assert_string_equal(why, says);
}

static void the_same_is_equal(void **state)
{
	const struct its_tables none = { 0 };
	char why[ITS_WHY] = "?";

	assert_true(its_tables_equal(&whole, &whole, why));
	assert_string_equal(why, "");
	assert_true(its_tables_equal(&none, &none, why));
}

/* @what of the @i-th in a copy of @list is another. */
#define ASSERT_FIELD(list, i, what, value, says)                                                             \
	do {                                                                                                 \
		struct its_tables other = whole;                                                             \
		typeof(list[0]) copy[3];                                                                     \
                                                                                                             \
		memcpy(copy, list, sizeof(copy));                                                            \
		copy[i] what = value;                                                                        \
		other.list = copy;                                                                           \
		assert_differs(&whole, &other, says);                                                        \
	} while (0)

static void each_field_is_compared(void **state)
{
	ASSERT_FIELD(ctes, 1, , CTE(9, 20),
		     "collection table, entry 1: RDBase is 0x9 in guest memory, 0x2 in the image");
	ASSERT_FIELD(ctes, 2, , CTE(3, 0), "collection table, entry 2: ICID is 0 in guest memory, 0x1e in the image");
	ASSERT_FIELD(l1es, 1, .entry, L1E(1ULL << 51),
		     "level 1 device table, entry 2: address is 0x8000000000000 in guest memory, 0x20000 in "
		     "the image");
	ASSERT_FIELD(dtes, 0, .entry, DTE(5, 0x100, 3),
		     "device table, DeviceID 1: next is 0x5 in guest memory, 0x4 in the image");
	ASSERT_FIELD(dtes, 1, .entry, DTE(6, 0, 4),
		     "device table, DeviceID 5: ITT_addr is 0 in guest memory, 0x200 in the image");
	ASSERT_FIELD(dtes, 2, .entry, DTE(0, 0x300, 15),
		     "device table, DeviceID 11: Size is 0xf in guest memory, 0x5 in the image");
}

/* KVM writes them as 0, and passes over them. */
static void bits_that_are_reserved_are_not_compared(void **state)
{
	struct its_tables other = whole;
	uint64_t odd_ctes[3];
	struct its_l1e odd_l1es[3];
	char why[ITS_WHY];

	memcpy(odd_ctes, ctes, sizeof(odd_ctes));
	memcpy(odd_l1es, l1es, sizeof(odd_l1es));
	odd_ctes[0] |= 0x7ffULL << 52;
	odd_l1es[0].entry |= 0x7ffULL << 52 | 0xffff;
	other.ctes = odd_ctes;
	other.l1es = odd_l1es;
	assert_true(its_tables_equal(&whole, &other, why));
}

/* Of the last device. */
static void assert_ite_differs(size_t i, uint32_t event_id, uint64_t entry, const char *says)
{
	struct its_tables other = whole;
	uint32_t other_ids[6];
	uint64_t other_ites[6];

	memcpy(other_ids, event_ids, sizeof(event_ids));
	memcpy(other_ites, ites, sizeof(ites));
	other_ids[3 + i] = event_id;
	other_ites[3 + i] = entry;
	other.event_ids = other_ids;
	other.ites = other_ites;
	assert_differs(&whole, &other, says);
}

static void each_field_of_an_interrupt_is_compared(void **state)
{
#define OF "interrupt translation table of DeviceID 11, EventID "
	assert_ite_differs(1, 4, ITE(5, 9000, 20),
			   OF "4: pINTID is 0x2328 in guest memory, 0x2001 in the image");
	assert_ite_differs(1, 4, ITE(5, 8193, 21),
			   OF "4: ICID is 0x15 in guest memory, 0x14 in the image");
	assert_ite_differs(1, 4, ITE(4, 8193, 20),
			   OF "4: next is 0x4 in guest memory, 0x5 in the image");
	assert_ite_differs(1, 3, ITE(5, 8193, 20),
			   OF "3: pINTID is 0x2001 in guest memory, 0 in the image");
	assert_ite_differs(1, 5, ITE(5, 8193, 20),
			   OF "4: pINTID is 0 in guest memory, 0x2001 in the image");
#undef OF
}

/* @list without its @i-th. */
#define WITHOUT(list, i)                                                                                     \
	({                                                                                                   \
		static typeof(list[0]) copy[3];                                                              \
                                                                                                             \
		for (size_t from = 0, to = 0; from < 3; from++)                                              \
			if (from != (i))                                                                     \
				copy[to++] = list[from];                                                     \
		copy;                                                                                        \
	})

/* Both ways: what the image has more, and what memory has more. */
static void assert_one_less(const struct its_tables *less, const char *entry)
{
	char says[ITS_WHY];

	snprintf(says, sizeof(says), "%s: V is 0 in guest memory, 0x1 in the image", entry);
	assert_differs(&whole, less, says);
	snprintf(says, sizeof(says), "%s: V is 0x1 in guest memory, 0 in the image", entry);
	assert_differs(less, &whole, says);
}

static void an_entry_more_or_less_is_named(void **state)
{
	static const char *const l1[] = { "level 1 device table, entry 0", "level 1 device table, entry 2",
					  "level 1 device table, entry 7" };
	static const char *const device[] = { "device table, DeviceID 1", "device table, DeviceID 5",
					      "device table, DeviceID 11" };
	struct its_tables less;

	less = whole;
	less.nr_ctes = 2;
	assert_one_less(&less, "collection table, entry 2");
	less.nr_ctes = 0;
	assert_one_less(&less, "collection table, entry 0");
	for (size_t i = 0; i < 3; i++) {
		less = whole;
		less.nr_l1es = 2;
		less.l1es = WITHOUT(l1es, i);
		assert_one_less(&less, l1[i]);
		less = whole;
		less.nr_dtes = 2;
		less.dtes = WITHOUT(dtes, i);
		assert_one_less(&less, device[i]);
	}
}

static void an_interrupt_more_or_less_is_named(void **state)
{
	static const char *const says[] = {
		"interrupt translation table of DeviceID 1, EventID 0: pINTID is 0 in guest memory, 0x2000 "
		"in the image",
		"interrupt translation table of DeviceID 1, EventID 4: pINTID is 0 in guest memory, 0x2001 "
		"in the image",
		"interrupt translation table of DeviceID 1, EventID 9: pINTID is 0 in guest memory, 0x2002 "
		"in the image",
	};

	for (size_t i = 0; i < 3; i++) {
		struct its_tables less = whole;
		struct its_dte devices[3];

		memcpy(devices, dtes, sizeof(devices));
		less.event_ids = WITHOUT(event_ids, i);
		less.ites = WITHOUT(ites, i);
		devices[0].nr_ites = 2;
		less.dtes = devices;
		assert_differs(&whole, &less, says[i]);
		devices[0].nr_ites = 0;
		assert_differs(
			&less, &whole,
			"interrupt translation table of DeviceID 1, EventID 0: pINTID is 0x2000 in guest "
			"memory, 0 in the image");
	}
}

/* Pages beside each other, of which some are in another order. */
#define ITT_OF(i) (ITT + GUEST_PAGE * ((i) % 8 < 2 ? (i) ^ 1 : (i)))

/* @nr devices with an interrupt each. */
static void put_devices(struct array *array, uint32_t nr)
{
	put(array, COLLECTIONS, CTE(3, 1));
	for (uint32_t i = 0; i < nr; i++) {
		put(array, DEVICES + 8 * i, DTE(i + 1 < nr, ITT_OF(i), 4));
		put(array, ITT_OF(i), ITE(0, LPI_MIN + i, 1));
	}
}

static void tables_of_interrupts_are_read_at_once(void **state)
{
	struct array *array = *state;

	put_devices(array, 100);
	walk(array, 0);
	assert_int_equal(array->reads, 2 + 100);
	array->remote.ops = &ops_at_once;
	walk(array, 0);
	assert_defect(&array->tables, "");
	assert_int_equal(array->tables.nr_ites, 100);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(its_ite_pintid(array->tables.ites[i]), LPI_MIN + i);
	assert_int_equal(array->reads, 2 + 7);
}

/* Whatever of them cannot be read: not in a memslot, or not there, or not now. */
static void what_cannot_be_read_at_once_is_told_as_page_by_page(void **state)
{
	struct array *array = *state;
	struct guest_memory mem = GUEST_MEMORY(&array->vm, &array->remote);

	put_devices(array, 40);
	for (uint32_t i = 0; i < 40; i++) {
		struct its_tables by_page;
		char why[ITS_WHY];

		array->hole = HVA + (ITT_OF(i) - BASE);
		array->remote.ops = &ops;
		by_page = *walk(array, 0);
		array->tables = (struct its_tables){ 0 };
		array->remote.ops = &ops_at_once;
		walk(array, 0);
		assert_true(by_page.defect[0]);
		assert_defect(&array->tables, by_page.defect);
		assert_true(its_tables_equal(&by_page, &array->tables, why));
		its_tables_free(&by_page);
	}
	array->hole_err = -ENOMEM;
	its_tables_free(&array->tables);
	assert_int_equal(its_tables_read(&mem, VALID | DEVICES, VALID | COLLECTIONS, &array->tables), -ENOMEM);
}

/* Not what the guest has made of its tables: memory that lacks for a moment. */
static void a_page_that_cannot_be_read_now_is_no_defect(void **state)
{
	const uint64_t tables[] = { COLLECTIONS, DEVICES, ITT };
	struct array *array = *state;
	struct guest_memory mem;

	put(array, COLLECTIONS, CTE(3, 1));
	put(array, DEVICES, DTE(0, ITT, 4));
	array->hole_err = -ENOMEM;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		array->hole = HVA + (tables[i] - BASE);
		mem = (struct guest_memory)GUEST_MEMORY(&array->vm, &array->remote);
		its_tables_free(&array->tables);
		assert_int_equal(its_tables_read(&mem, VALID | DEVICES, VALID | COLLECTIONS, &array->tables), -ENOMEM);
	}
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_page_that_cannot_be_read_now_is_no_defect),
		TEST(tables_of_interrupts_are_read_at_once),
		TEST(what_cannot_be_read_at_once_is_told_as_page_by_page),
		TEST(collections_are_read_in_their_order),
		TEST(a_full_collection_table_ends_with_its_last_entry),
		TEST(a_collection_that_kvm_refuses_is_the_last),
		TEST(the_size_of_a_table_is_that_of_its_baser),
		TEST(an_icid_whose_place_is_not_in_memory_does_not_fit),
		TEST(a_table_that_is_not_valid_is_not_read),
		TEST(an_address_has_its_highest_bits_where_64_kib_pages_have_them),
		TEST(a_device_has_all_its_fields),
		TEST(a_chain_of_devices_ends_where_it_says),
		TEST(a_chain_of_devices_that_leaves_the_table_ends),
		TEST(a_device_that_kvm_refuses_is_the_last),
		TEST(a_device_id_has_16_bits),
		TEST(level_2_tables_continue_each_other),
		TEST(the_last_device_ends_both_levels),
		TEST(an_address_of_level_2_has_52_bits),
		TEST(a_level_1_index_does_not_begin_anew),
		TEST(an_interrupt_has_all_its_fields),
		TEST(a_table_of_interrupts_has_as_many_as_its_size_says),
		TEST(an_interrupt_that_kvm_refuses_is_the_last),
		TEST(a_table_may_be_in_two_memslots),
		TEST(a_table_may_end_with_memory),
		TEST(memory_that_cannot_be_read_is_a_defect),
		TEST(a_vm_without_memory_has_no_tables),
		TEST(an_address_does_not_begin_anew),
		TEST(a_walk_ends),
		TEST(tables_that_are_one_another_end),
		TEST(no_more_than_1024_tables_of_level_2_are_looked_at),
		TEST(what_lies_beyond_a_bound_compares_equal),
		TEST(interrupts_are_bounded_over_all_itses),
		TEST(what_precedes_a_broken_device_is_bounded_too),
		TEST(entries_that_are_not_valid_are_bounded),
		cmocka_unit_test(the_same_is_equal),
		cmocka_unit_test(each_field_is_compared),
		cmocka_unit_test(bits_that_are_reserved_are_not_compared),
		cmocka_unit_test(each_field_of_an_interrupt_is_compared),
		cmocka_unit_test(an_entry_more_or_less_is_named),
		cmocka_unit_test(an_interrupt_more_or_less_is_named),
	};

	return cmocka_run_group_tests_name("tables of an ITS", tests, NULL, NULL);
}
