// SPDX-License-Identifier: GPL-2.0-only
/* Dirty logs: exactly the pages that were dirty are so again, and a dump does not show in them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "testlog.h"
#include "trip.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PIECE 262144u /* pages that one KVM_CLEAR_DIRTY_LOG is about */

static const struct fake_shape shape = { .nr_vcpus = 1, .nr_irqs = 64 };

/* Of @pages pages, logged. */
static size_t add_slot(struct fake_kvm *kvm, uint64_t pages)
{
	size_t slot = kvm->nr_slots++;

	kvm->slots[slot] = (struct memslot){ .slot = 100 + slot,
					     .flags = KVM_MEM_LOG_DIRTY_PAGES,
					     .gpa = 0x1000000000 * slot,
					     .size = pages * FAKE_PAGE,
					     .hva = 0x100000000000 * slot };
	fake_log_begin(kvm, slot);
	return slot;
}

/* There and back, with the manual protection that the VMM has. */
static void assert_log_comes_back(struct fake_kvm *source, uint32_t manual)
{
	source->manual_dirty_log = manual;
	if (manual)
		source->caps |= VM_CAP_MANUAL_DIRTY_LOG;
	trip_assert_comes_back(source);
}

static uint64_t random_u64(void)
{
	static uint64_t x = 88172645463325252;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

/* The sizes around words and pieces. */
static const uint64_t sizes[] = { 1,   2,    63,	64,    65,	  127,
				  128, 1000, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 77 };

static void a_log_with_one_page_comes_back(void **state)
{
	for (size_t i = 0; i < COUNT(sizes); i++) {
		const uint64_t pages[] = { 0, sizes[i] / 2, sizes[i] - 1 };

		for (size_t p = 0; p < COUNT(pages); p++) {
			struct fake_kvm *source = fake_running(shape);

			fake_log_mark(source, add_slot(source, sizes[i]), pages[p]);
			assert_log_comes_back(source, p == 2 ? 3 : p);
		}
	}
}

static void a_log_without_a_page_comes_back(void **state)
{
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct fake_kvm *source = fake_running(shape);

		add_slot(source, sizes[i]);
		assert_log_comes_back(source, 0);
	}
}

static void a_log_of_all_pages_comes_back(void **state)
{
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct fake_kvm *source = fake_running(shape);
		size_t slot = add_slot(source, sizes[i]);

		for (uint64_t page = 0; page < sizes[i]; page++)
			fake_log_mark(source, slot, page);
		assert_log_comes_back(source, 3);
	}
}

static void a_log_of_any_pattern_comes_back(void **state)
{
	for (size_t i = 0; i < COUNT(sizes); i++)
		for (uint64_t often = 1; often < 200; often *= 7) {
			struct fake_kvm *source = fake_running(shape);
			size_t slot = add_slot(source, sizes[i]);

			for (uint64_t page = 0; page < sizes[i]; page++)
				if (!(random_u64() % (often + 1)))
					fake_log_mark(source, slot, page);
			assert_log_comes_back(source, i % 2);
		}
}

/* Every second page: as runs that would be more than an entry of an image has room for. */
static void a_log_in_fragments_comes_back(void **state)
{
	const uint64_t pages = 10ull << 20; /* 40 GiB */
	struct fake_kvm *source = fake_running(shape);
	size_t slot = add_slot(source, pages);

	struct vm_state *vm, *again;

	for (uint64_t page = 0; page < pages; page += 2)
		fake_log_mark(source, slot, page);
	vm = fake_dump(source);
	again = trip_through_images(vm);
	assert_int_equal(again->slots[slot].log.nr, vm->slots[slot].log.nr);
	assert_memory_equal(again->slots[slot].log.runs, vm->slots[slot].log.runs, vm->slots[slot].log.nr * 8);
	vm_state_free(vm);
	vm_state_free(again);
	fake_free(source);
}

/* Runs are pairs, which image/check_memslot.c relies on. */
static void runs_end_with_dirty_pages(void **state)
{
	for (int i = 0; i < 1000; i++) {
		uint64_t bits[3] = { random_u64(), random_u64(), random_u64() & random_u64() }, sum = 0;
		struct dirty_log log;

		assert_int_equal(dirty_log_from_bits(&log, bits, 130 + i % 60), 0);
		assert_int_equal(log.nr % 2, 0);
		for (size_t r = 0; r < log.nr; r++) {
			assert_true(log.runs[r] || !r);
			sum += log.runs[r];
		}
		assert_true(sum <= 130u + i % 60);
		free(log.runs);
	}
}

/* KVM_GET_DIRTY_LOG would clear it. */
static void a_dump_leaves_the_log(void **state)
{
	for (uint32_t manual = 0; manual <= 3; manual += manual + 1) {
		struct fake_kvm *source = fake_running(shape), *twin = fake_running(shape);
		struct vm_state *vm;

		source->manual_dirty_log = twin->manual_dirty_log = manual;
		source->caps = twin->caps |= manual ? VM_CAP_MANUAL_DIRTY_LOG : 0;
		vm = fake_dump(source);
		assert_null(fake_diff(source, twin));
		/* Nor is the VMM's capability touched where that is not needed. */
		assert_int_equal(fake_count(source, "*KVM_ENABLE_CAP*"), manual ? 0 : 2);
		vm_state_free(vm);
		fake_free(source);
		fake_free(twin);
	}
}

/* Many memslots: the calls are made by parts, each with the capability on and off again. */
static void the_vmm_has_its_capability_back_when_a_dump_fails(void **state)
{
	static const char *const calls[] = { "vm: KVM_GET_DIRTY_LOG 1", "vm: KVM_ENABLE_CAP 168 = 0x1",
					     "vm: KVM_ENABLE_CAP 168 = 0" };

	for (size_t i = 0; i < COUNT(calls); i++) {
		struct fake_kvm *source = fake_running(shape), *twin = fake_running(shape);
		struct vm_state *vm = fake_discovered(source);
		size_t failed;

		source->fail_like = calls[i];
		source->fail_times = 1;
		source->fail_errno = EFAULT;
		assert_int_equal(fake_steps(plan_dump, plan_nr_dump, vm, source, &failed), -EFAULT);
		assert_string_equal(plan_dump[failed].name, "dirty logs");
		assert_int_equal(source->manual_dirty_log, 0);
		assert_null(fake_diff(source, twin));
		vm_state_free(vm);
		fake_free(source);
		fake_free(twin);
	}
}

/* Of a restored VM too: KVM_GET_DIRTY_LOG clears what it tells. */
static void a_restore_leaves_the_vmm_its_capability(void **state)
{
	for (uint32_t manual = 0; manual <= 3; manual += manual + 1) {
		struct fake_kvm *source = fake_running(shape);
		struct trip trip;

		source->manual_dirty_log = manual;
		source->caps |= manual ? VM_CAP_MANUAL_DIRTY_LOG : 0;
		trip = trip_dump(source);
		assert_int_equal(trip_restore(&trip), 0);
		assert_int_equal(trip.copy->manual_dirty_log, manual);
		trip_finish(&trip);
	}
}

/* Where KVM marks a page between the two steps and the end, it stays. */
static void what_is_written_later_stays_dirty(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));
	size_t failed, n = 0;

	while (strcmp(plan_restore[n++].name, "dirty logs"))
		;
	assert_int_equal(fake_steps(plan_restore, n, trip.vm, trip.copy, &failed), 0);
	assert_false(fake_log_has(trip.copy, 0, 5));
	fake_log_mark(trip.copy, 0, 5);
	assert_int_equal(fake_steps(plan_restore + n, plan_nr_restore - n, trip.vm, trip.copy, &failed), 0);
	assert_true(fake_log_has(trip.copy, 0, 5));
	trip_finish(&trip);
}

static void a_vm_without_logs_asks_for_none(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct trip trip;

	fake_drop_log(source, 0);
	trip = trip_dump(source);
	assert_int_equal(fake_count(source, "*DIRTY_LOG*"), 0);
	assert_int_equal(fake_count(source, "*KVM_ENABLE_CAP*"), 0);
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(fake_count(trip.copy, "*DIRTY_LOG*"), 0);
	assert_int_equal(fake_count(trip.copy, "*KVM_ENABLE_CAP 168*"), 0);
	trip_assert_same(&trip);
	trip_finish(&trip);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_with_one_page_comes_back),
		cmocka_unit_test(a_log_without_a_page_comes_back),
		cmocka_unit_test(a_log_of_all_pages_comes_back),
		cmocka_unit_test(a_log_of_any_pattern_comes_back),
		cmocka_unit_test(a_log_in_fragments_comes_back),
		cmocka_unit_test(runs_end_with_dirty_pages),
		cmocka_unit_test(a_dump_leaves_the_log),
		cmocka_unit_test(the_vmm_has_its_capability_back_when_a_dump_fails),
		cmocka_unit_test(a_restore_leaves_the_vmm_its_capability),
		cmocka_unit_test(what_is_written_later_stays_dirty),
		cmocka_unit_test(a_vm_without_logs_asks_for_none),
	};

	return cmocka_run_group_tests_name("memslots and dirty logs", tests, NULL, NULL);
}
