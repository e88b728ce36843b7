// SPDX-License-Identifier: GPL-2.0-only
/* The PMU event filter: from the kernel's bitmap to ranges, and from these to KVM. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "testlog.h"
#include "trip.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS (PMU_MAX_EVENTS / 64)
#define FILTER "vcpu 0: SET PMU_V3 FILTER = "

/* Bitmaps to ranges */

static void set_bits(uint64_t *bits, uint32_t first, uint32_t last)
{
	for (uint32_t i = first; i <= last; i++)
		bits[i / 64] |= 1ull << i % 64;
}

/* @ranges, of which the last is { 1, 0 }, are what @bits come to. */
static void assert_ranges(const uint64_t *bits, const struct pmu_range *ranges)
{
	struct pmu_filter filter = { 0 };
	size_t nr = 0;

	assert_int_equal(pmu_filter_from_bits(&filter, bits), 0);
	assert_true(filter.active);
	for (; ranges[nr].first <= ranges[nr].last; nr++) {
		assert_true(nr < filter.nr);
		assert_int_equal(filter.allowed[nr].first, ranges[nr].first);
		assert_int_equal(filter.allowed[nr].last, ranges[nr].last);
	}
	assert_int_equal(filter.nr, nr);
	free(filter.allowed);
}

#define END { 1, 0 }

static void ranges_are_found_wherever_they_begin_and_end(void **state)
{
	static const struct pmu_range all[][4] = {
		{ END },
		{ { 0, PMU_MAX_EVENTS - 1 }, END },
		{ { 0, 0 }, END },
		{ { 63, 63 }, END },
		{ { 64, 64 }, END },
		{ { 65535, 65535 }, END },
		{ { 63, 64 }, END },
		{ { 0, 63 }, END },
		{ { 64, 127 }, END },
		{ { 65472, 65535 }, END },
		{ { 1, 65534 }, END },
		{ { 0, 0 }, { 2, 2 }, { 65535, 65535 }, END },
		{ { 0, 62 }, { 64, 65534 }, END },
		{ { 0x11, 0x11 }, { 0x3e8, 0xa000 }, { 0xfff0, 0xfff3 }, END },
	};

	for (size_t i = 0; i < COUNT(all); i++) {
		uint64_t bits[WORDS] = { 0 };

		for (size_t r = 0; all[i][r].first <= all[i][r].last; r++)
			set_bits(bits, all[i][r].first, all[i][r].last);
		assert_ranges(bits, all[i]);
	}
}

/* Every second event: as many ranges as there can be. */
static void as_many_ranges_as_there_can_be_are_found(void **state)
{
	struct pmu_range *ranges = calloc(PMU_MAX_EVENTS / 2 + 1, sizeof(*ranges));
	uint64_t bits[WORDS];

	for (int odd = 0; odd < 2; odd++) {
		memset(bits, odd ? 0xaa : 0x55, sizeof(bits));
		for (uint32_t i = 0; i < PMU_MAX_EVENTS / 2; i++)
			ranges[i] = (struct pmu_range){ 2 * i + odd, 2 * i + odd };
		ranges[PMU_MAX_EVENTS / 2] = (struct pmu_range)END;
		assert_ranges(bits, ranges);
	}
	free(ranges);
}

static void ranges_say_what_the_bits_said(void **state)
{
	uint64_t x = 1;

	for (int round = 0; round < 64; round++) {
		uint64_t bits[WORDS], back[WORDS] = { 0 };
		struct pmu_filter filter;

		for (size_t w = 0; w < WORDS; w++) {
			x = x * 6364136223846793005 + 1442695040888963407;
			bits[w] = x >> 62 ? x ^ x >> 33 : -(x >> 60 & 1); /* a quarter of them all alike */
		}
		assert_int_equal(pmu_filter_from_bits(&filter, bits), 0);
		for (size_t r = 0; r < filter.nr; r++)
			set_bits(back, filter.allowed[r].first, filter.allowed[r].last);
		assert_memory_equal(bits, back, sizeof(bits));
		free(filter.allowed);
	}
}

/* Ranges to KVM */

static struct fake_kvm *running(void)
{
	struct fake_kvm *kvm = fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64 });

	memset(kvm->pmu_filter, 0, sizeof(kvm->pmu_filter));
	return kvm;
}

/* @kvm, through a dump and a restore, has the calls @expected, up to NULL, for its filter and no others. */
static void assert_filters(struct fake_kvm *kvm, const char *const *expected)
{
	struct trip trip = trip_dump(kvm);
	size_t n = 0;

	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(log_errors(), 0);
	trip_assert_same(&trip);
	for (; expected[n]; n++) {
		long at = fake_nth(trip.copy, FILTER "*", n + 1);

		assert_true(at >= 0);
		assert_string_equal(trip.copy->lines[at] + strlen(FILTER), expected[n]);
	}
	assert_int_equal(fake_count(trip.copy, "*PMU_V3 FILTER*"), n);
	trip_finish(&trip);
}

#define FILTERS(...) (const char *const[]){ __VA_ARGS__, NULL }
#define NO_FILTERS (const char *const[]){ NULL }

/* The first that is given to KVM denies all others: one is allowed for a moment. */
static void no_event_is_allowed_where_none_was(void **state)
{
	assert_filters(running(), FILTERS("allow 0, 1 events", "deny 0, 1 events"));
}

/* All are one more than the 16 bits of a filter's count can say. */
static void all_events_take_two_calls(void **state)
{
	struct fake_kvm *kvm = running();

	memset(kvm->pmu_filter, 0xff, sizeof(kvm->pmu_filter));
	assert_filters(kvm, FILTERS("allow 0, 32768 events", "allow 0x8000, 32768 events"));
}

static void a_range_is_one_call_as_long_as_it_can_be(void **state)
{
	struct fake_kvm *kvm = running();

	set_bits(kvm->pmu_filter, 5, 5 + 32767);
	assert_filters(kvm, FILTERS("allow 0x5, 32768 events"));
	kvm = running();
	set_bits(kvm->pmu_filter, 5, 5 + 32768);
	assert_filters(kvm, FILTERS("allow 0x5, 32768 events", "allow 0x8005, 1 events"));
}

static void each_range_is_a_call(void **state)
{
	struct fake_kvm *kvm = running();

	set_bits(kvm->pmu_filter, 0, 0);
	set_bits(kvm->pmu_filter, 0x11, 0x11);
	set_bits(kvm->pmu_filter, 63, 64);
	set_bits(kvm->pmu_filter, 0xffff, 0xffff);
	assert_filters(kvm, FILTERS("allow 0, 1 events", "allow 0x11, 1 events", "allow 0x3f, 2 events",
				    "allow 0xffff, 1 events"));
}

static void a_vm_without_a_filter_gets_none(void **state)
{
	struct fake_kvm *kvm = running();

	kvm->pmu_filtered = false;
	assert_filters(kvm, NO_FILTERS);
}

/* PMUVer of ID_AA64DFR0_EL1: 1 has 1024 events, 4 and later 65536, 15 is none of Arm's. */
static void set_pmuver(struct fake_kvm *kvm, uint64_t pmuver)
{
	for (size_t i = 0; i < kvm->nr_vcpus; i++)
		fake_set_reg_u64(&kvm->vcpus[i], ARM64_ID_AA64DFR0_EL1, pmuver << 8);
}

/* What the probe makes of them does not matter: KVM would refuse such an event. */
static void what_is_behind_the_bitmap_of_an_old_pmu_is_no_event(void **state)
{
	struct fake_kvm *kvm = running();

	kvm->pmu_events = 1024;
	set_pmuver(kvm, 1);
	set_bits(kvm->pmu_filter, 7, 8);
	assert_filters(kvm, FILTERS("allow 0x7, 2 events"));
}

static void all_events_of_an_old_pmu_are_1024(void **state)
{
	struct fake_kvm *kvm = running();

	kvm->pmu_events = 1024;
	set_pmuver(kvm, 1);
	set_bits(kvm->pmu_filter, 0, 1023);
	assert_filters(kvm, FILTERS("allow 0, 1024 events"));
}

/* A VMM may let its guest see an older PMU than the host has. */
static void a_guest_with_an_older_pmu_keeps_what_it_can_name(void **state)
{
	struct fake_kvm *kvm = running();

	set_pmuver(kvm, 1);
	set_bits(kvm->pmu_filter, 1000, 2000);
	set_bits(kvm->pmu_filter, 3000, 3000);
	assert_filters(kvm, FILTERS("allow 0x3e8, 24 events"));
}

/* Of the kernel's bitmap no more is read: behind it is other memory, of which there may be any records. */
static void the_bitmap_is_as_long_as_kvm_makes_it(void **state)
{
	static const struct {
		uint64_t pmuver;
		unsigned int events;
	} versions[] = { { 0, 1024 },  { 1, 1024 },  { 4, 65536 }, { 5, 65536 },
			 { 6, 65536 }, { 7, 65536 }, { 9, 65536 }, { 15, 1024 } };

	for (size_t i = 0; i < COUNT(versions); i++)
		assert_int_equal(pmu_nr_events(0xfffffffffffff0ffull | versions[i].pmuver << 8), versions[i].events);
}

static void events_are_counted_by_the_version_of_the_pmu(void **state)
{
	static const struct {
		uint64_t pmuver;
		const char *call;
	} versions[] = { { 1, "allow 0x3ff, 1 events" },
			 { 4, "allow 0x3ff, 2 events" },
			 { 6, "allow 0x3ff, 2 events" },
			 { 15, "allow 0x3ff, 1 events" } };

	for (size_t i = 0; i < COUNT(versions); i++) {
		struct fake_kvm *kvm = running();
		struct trip trip;

		set_pmuver(kvm, versions[i].pmuver);
		set_bits(kvm->pmu_filter, 1023, 1024);
		trip = trip_dump(kvm);
		assert_int_equal(trip_restore(&trip), 0);
		assert_int_equal(fake_count(trip.copy, FILTER "*"), 1);
		assert_string_equal(trip.copy->lines[fake_first(trip.copy, FILTER "*")] + strlen(FILTER),
				    versions[i].call);
		trip_finish(&trip);
	}
}

/* Interrupt and initialisation */

/* vCPUs 5 and 7 of the fake have not run: no interrupt, and no initialisation. */
static void a_pmu_is_as_far_as_it_was(void **state)
{
	struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 8, .nr_irqs = 64 }));

	assert_int_equal(trip.vm->vcpus[5].pmu_irq, 0);
	assert_int_equal(trip.vm->vcpus[7].pmu_irq, 23);
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(fake_count(trip.copy, "vcpu 5: SET PMU*"), 0);
	assert_int_equal(fake_count(trip.copy, "vcpu 7: SET PMU*"), 1);
	assert_int_equal(fake_count(trip.copy, "vcpu ?: SET PMU_V3 INIT"), 6);
	trip_assert_same(&trip);
	trip_finish(&trip);
}

/* Linux 6.12 sets and clears the bits that are written, 7.2 takes them for the value. */
static void counters_run_that_did_and_no_others(void **state)
{
	static const uint64_t bits[] = { 0, 1, 0x80000000, 0x8000003f, 0x2a };

	for (int assigns = 0; assigns < 2; assigns++)
		for (size_t i = 0; i < COUNT(bits); i++) {
			struct fake_kvm *kvm = running();
			struct trip trip;

			fake_set_reg_u64(&kvm->vcpus[1], FAKE_PMCNTENSET, bits[i]);
			fake_set_reg_u64(&kvm->vcpus[1], FAKE_PMOVSSET, bits[(i + 1) % COUNT(bits)]);
			fake_set_reg_u64(&kvm->vcpus[1], FAKE_PMINTENSET, bits[(i + 2) % COUNT(bits)]);
			trip = trip_dump(kvm);
			trip.copy->pmu_assigns = assigns;
			assert_int_equal(trip_restore(&trip), 0);
			trip_assert_same(&trip);
			trip_finish(&trip);
		}
}

/* A VMM may give its guest fewer counters than the host has. */
static void counters_are_as_many_as_they_were(void **state)
{
	for (uint32_t n = 0; n <= 6; n++) {
		struct fake_kvm *kvm = running();
		struct trip trip;

		kvm->pmu_n = n;
		trip = trip_dump(kvm);
		assert_int_equal(trip_restore(&trip), 0);
		assert_int_equal(trip.copy->pmu_n, n);
		trip_assert_same(&trip);
		trip_finish(&trip);
	}
}

/* KVM takes a number that its host has not, and keeps its own. */
static void counters_that_the_host_has_not_are_missed(void **state)
{
	struct trip trip = trip_dump(running());

	trip.copy->pmu_counters = trip.copy->pmu_n = 4;
	log_reset();
	assert_int_equal(trip_restore(&trip), -EINVAL);
	assert_true(log_has("vm 1: vcpu 0: PMCR_EL0.N is 6 in the image, 4 on this host: "));
	assert_true(log_has("vm 1: vcpu 1: PMCR_EL0.N is 6 in the image, 4 on this host: "));
	assert_int_equal(fake_count(trip.copy, "*KVM_RUN*"), 0);
	trip_finish(&trip);
}

static void an_spi_of_each_vcpu_comes_back(void **state)
{
	struct fake_kvm *kvm = fake_running((struct fake_shape){ .nr_vcpus = 4, .nr_irqs = 64 });
	struct trip trip;

	for (size_t i = 0; i < 4; i++)
		kvm->vcpus[i].pmu_irq = 40 + i;
	trip = trip_dump(kvm);
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(fake_count(trip.copy, "vcpu 3: SET PMU_V3 IRQ = 43"), 1);
	trip_assert_same(&trip);
	trip_finish(&trip);
}

/* KVM takes PPIs before SPIs alone, whichever vCPUs they are of. */
static void ppis_and_spis_come_back(void **state)
{
	static const uint32_t irqs[] = { 40, 23, 41, 23 };
	struct fake_kvm *kvm = fake_running((struct fake_shape){ .nr_vcpus = 4, .nr_irqs = 64 });
	struct trip trip;

	for (size_t i = 0; i < 4; i++)
		kvm->vcpus[i].pmu_irq = irqs[i];
	trip = trip_dump(kvm);
	if (trip_restore(&trip))
		fail_msg("%s", log_error());
	assert_int_equal(fake_count(trip.copy, "vcpu ?: SET PMU_V3 IRQ = *"), 4);
	trip_assert_same(&trip);
	trip_finish(&trip);
}

static void a_vm_without_a_pmu_is_asked_for_none(void **state)
{
	struct trip trip = trip_dump(fake_running(
		(struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64, .features = 1 << KVM_ARM_VCPU_PSCI_0_2 }));

	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(fake_count(trip.source, "*PMU*"), 0);
	assert_int_equal(fake_count(trip.copy, "*PMU*"), 0);
	trip_assert_same(&trip);
	trip_finish(&trip);
}

/* Nothing but ENXIO says that nobody has set it. */
static void an_error_is_not_taken_for_no_interrupt(void **state)
{
	struct fake_kvm *kvm = running();
	struct vm_state *vm = fake_discovered(kvm);

	log_reset();
	kvm->fail_like = "vcpu 1: GET PMU_V3 IRQ";
	kvm->fail_times = 1;
	kvm->fail_errno = EINVAL;
	assert_int_equal(plan_run(plan_dump, plan_nr_dump, vm, &kvm->remote), -EINVAL);
	assert_true(log_has("vm 1: PMU: vcpu 1: KVM_GET_DEVICE_ATTR KVM_ARM_VCPU_PMU_V3_IRQ"));
	vm_state_free(vm);
	fake_free(kvm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_found_wherever_they_begin_and_end),
		cmocka_unit_test(as_many_ranges_as_there_can_be_are_found),
		cmocka_unit_test(ranges_say_what_the_bits_said),
		cmocka_unit_test(no_event_is_allowed_where_none_was),
		cmocka_unit_test(all_events_take_two_calls),
		cmocka_unit_test(a_range_is_one_call_as_long_as_it_can_be),
		cmocka_unit_test(each_range_is_a_call),
		cmocka_unit_test(a_vm_without_a_filter_gets_none),
		cmocka_unit_test(what_is_behind_the_bitmap_of_an_old_pmu_is_no_event),
		cmocka_unit_test(all_events_of_an_old_pmu_are_1024),
		cmocka_unit_test(a_guest_with_an_older_pmu_keeps_what_it_can_name),
		cmocka_unit_test(the_bitmap_is_as_long_as_kvm_makes_it),
		cmocka_unit_test(events_are_counted_by_the_version_of_the_pmu),
		cmocka_unit_test(a_pmu_is_as_far_as_it_was),
		cmocka_unit_test(counters_run_that_did_and_no_others),
		cmocka_unit_test(counters_are_as_many_as_they_were),
		cmocka_unit_test(counters_that_the_host_has_not_are_missed),
		cmocka_unit_test(an_spi_of_each_vcpu_comes_back),
		cmocka_unit_test(ppis_and_spis_come_back),
		cmocka_unit_test(a_vm_without_a_pmu_is_asked_for_none),
		cmocka_unit_test(an_error_is_not_taken_for_no_interrupt),
	};

	return cmocka_run_group_tests_name("the PMU", tests, NULL, NULL);
}
