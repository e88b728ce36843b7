// SPDX-License-Identifier: GPL-2.0-only
/*
 * A GICv2 through a dump and a restore, against a fake one. What each register and each place in the order is for:
 * without it, or elsewhere, the VM that comes back is another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "image/check.h"
#include "image/image.h"
#include "state/host.h"
#include "testlog.h"
#include "trip.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_REGS 16
#define MAX_STEPS 64

static const struct fake_shape shape = { .nr_vcpus = 4, .nr_irqs = 128, .v2 = true };

static void a_vm_comes_back_as_it_was(void **state)
{
	for (size_t n = 1; n <= FAKE_VCPUS; n++)
		for (uint32_t irqs = 64; irqs <= VGIC_MAX_IRQS; irqs += 480)
			trip_assert_comes_back(fake_running(
				(struct fake_shape){ .nr_vcpus = n, .nr_irqs = irqs, .v2 = true }));
}

static void a_vm_comes_back_from_its_images(void **state)
{
	struct trip trip = { .source = fake_running(shape) };
	struct vm_state *dumped = fake_dump(trip.source);

	trip.vm = trip_through_images(dumped);
	vm_state_free(dumped);
	trip.copy = fake_created(trip.source, trip.vm);
	assert_int_equal(trip_restore(&trip), 0);
	trip_assert_same(&trip);
	trip_finish(&trip);
}

static void a_dump_changes_nothing(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));

	assert_int_equal(fake_count(trip.source, "*SET*"), 0);
	assert_int_equal(fake_count(trip.source, "*INIT*"), 0);
	assert_int_equal(fake_count(trip.source, "vm: KVM_IRQ_LINE*"), 0);
	trip_finish(&trip);
}

/* ---- what is left out ---- */

/* A register or step, and what fake_diff() says of the copy. */
static const struct {
	const char *what, *differs;
} left_out[] = {
	{ "GICD_CTLR", "vCPU 0: queue of interrupt 3" },
	{ "GICD_IGROUPR", "group of interrupt 32" },
	{ "GICD_ITARGETSR", "router of interrupt 32" },
	{ "GICD_ICFGR", "pending of interrupt 32" },
	{ "GICD_ISENABLER", "enabled of interrupt 32" },
	{ "GICD_ISPENDR", "pending of interrupt 33" },
	{ "GICD_ISACTIVER", "active of interrupt 34" },
	{ "GICD_IPRIORITYR", "priority of interrupt 32" },
	{ "GICD_ICENABLER0", "vCPU 0: enabled of interrupt 5" },
	{ "GICD_IGROUPR0", "vCPU 0: group of interrupt 0" },
	{ "GICD_ISENABLER0", "vCPU 0: enabled of interrupt 0" },
	{ "GICD_ISPENDR0", "vCPU 0: pending of interrupt 18" },
	{ "GICD_SPENDSGIR", "vCPU 0: pending of interrupt 3" },
	{ "GICD_ISACTIVER0", "vCPU 0: active of interrupt 4" },
	{ "GICD_IPRIORITYR0", "vCPU 0: priority of interrupt 1" },
	{ "GICC_CTLR", "v2->cpuif" },
	{ "GICC_PMR", "v2->cpuif" },
	{ "GICC_BPR", "v2->cpuif" },
	{ "GICC_ABPR", "v2->cpuif" },
	{ "GICC_APR", "v2->cpuif" },
	{ "GICv2 distributor", "vCPU 0: queue of interrupt 3" },
	{ "GICv2 banked registers", "vCPU 0: group of interrupt 0" },
	{ "GICv2 line levels", "vCPU 0: level of interrupt 19" },
	{ "GICv2 CPU interfaces", "v2->cpuif" },
	{ "timer interrupts", "vCPU 0: timer_irq" },
};

static void without_it_the_vm_is_another(void **state)
{
	for (size_t i = 0; i < COUNT(left_out); i++) {
		struct trip trip = trip_dump(fake_running(shape));
		const char *diff;

		setenv("KVM_VGIC_SKIP", left_out[i].what, 1);
		if (trip_restore(&trip))
			fail_msg("without %s: %s", left_out[i].what, log_error());
		unsetenv("KVM_VGIC_SKIP");
		diff = fake_diff(trip.source, trip.copy);
		if (!diff || strcmp(diff, left_out[i].differs))
			fail_msg("without %s: '%s' expected to differ, and found: %s", left_out[i].what,
				 left_out[i].differs, diff ? diff : "nothing");
		trip_finish(&trip);
	}
}

static void assert_listed(const char *name)
{
	for (size_t i = 0; i < COUNT(left_out); i++)
		if (!strcmp(left_out[i].what, name))
			return;
	fail_msg("%s is not tried above", name);
}

static void all_that_is_written_is_tried(void **state)
{
	static const struct {
		const struct vgic_reg *regs;
		const size_t *nr;
	} tables[] = {
		{ vgic_v2_dist_regs, &vgic_v2_nr_dist_regs },
		{ vgic_v2_banked_regs, &vgic_v2_nr_banked_regs },
		{ vgic_v2_cpuif_regs, &vgic_v2_nr_cpuif_regs },
	};

	for (size_t t = 0; t < COUNT(tables); t++)
		for (size_t r = 0; r < *tables[t].nr; r++)
			if (tables[t].regs[r].policy != VGIC_CHECK)
				assert_listed(tables[t].regs[r].name);
	for (size_t i = 0; i < plan_nr_restore; i++)
		if (plan_restore[i].gic == GICV2 && strcmp(plan_restore[i].name, "GICv2 addresses"))
			assert_listed(plan_restore[i].name);
}

/* Without GICD_IIDR KVM takes no group, and tells nobody. */
static void groups_are_taken_after_the_iidr_alone(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));
	long iidr;

	assert_int_equal(trip_restore(&trip), 0);
	iidr = fake_first(trip.copy, "vcpu 0: SET GICD_IIDR*");
	assert_int_equal(iidr, fake_first(trip.copy, "gic: SET CTRL INIT") + 1);
	assert_int_equal(iidr, fake_first(trip.copy, "vcpu ?: SET GIC[DC]_*"));
	assert_int_equal(fake_count(trip.copy, "vcpu ?: SET GICD_IIDR*"), 1);
	trip_finish(&trip);
}

/* ---- the order ---- */

/* The table with one register moved to another's place, and what is then another. NULL: nothing. */
static const struct {
	const char *moved, *to, *differs;
} moves[] = {
	{ "GICD_CTLR", "GICD_IPRIORITYR", "queue of interrupt 33" },
	{ "GICD_ITARGETSR", "GICD_ISPENDR", "queue of interrupt 33" },
	{ "GICD_ITARGETSR", "GICD_ISACTIVER", "queue of interrupt 33" },
	{ "GICD_ISACTIVER", "GICD_IGROUPR", "queue of interrupt 34" },
	{ "GICD_ITARGETSR", "GICD_IGROUPR", NULL },
	{ "GICD_IPRIORITYR", "GICD_CTLR", NULL },
};

static size_t find(const struct vgic_reg *table, size_t nr, const char *name)
{
	size_t r = 0;

	while (r < nr && strcmp(table[r].name, name))
		r++;
	assert_true(r < nr);
	return r;
}

static void move(void *table, size_t size, size_t from, size_t to)
{
	char *t = table, kept[256];

	assert_true(size <= sizeof(kept));
	memcpy(kept, t + from * size, size);
	if (from > to)
		memmove(t + (to + 1) * size, t + to * size, (from - to) * size);
	else
		memmove(t + from * size, t + (from + 1) * size, (to - from) * size);
	memcpy(t + to * size, kept, size);
}

/* The distributor by a table of another order; all else as the plan has it. */
static void restore_in_order(struct trip *trip, const struct vgic_reg *table, const struct vgic_values *values)
{
	const struct vgic_part part = { .fd = vm_gic_fd(trip->vm),
					.nr_irqs = trip->vm->vgic_v2->nr_irqs,
					.vcpu_id = trip->vm->vcpus[0].id };
	struct batch b = BATCH(&trip->copy->remote, 1, "test");

	for (size_t i = 0; i < plan_nr_restore; i++) {
		if (!plan_applies(&plan_restore[i], trip->vm))
			continue;
		if (plan_restore[i].run != vgic_v2_apply_dist) {
			assert_int_equal(plan_restore[i].run(trip->vm, &trip->copy->remote), 0);
			continue;
		}
		vgic_regs_add_apply(&b, &part, table, vgic_v2_nr_dist_regs, values);
		assert_int_equal(batch_run(&b), 0);
		batch_fini(&b);
	}
}

static void a_register_elsewhere_makes_another_vm(void **state)
{
	for (size_t i = 0; i < COUNT(moves); i++) {
		struct fake_kvm *source = fake_running(shape);
		struct vgic_reg table[MAX_REGS];
		struct vgic_values values[MAX_REGS];
		const size_t nr = vgic_v2_nr_dist_regs;
		struct trip trip;
		const char *diff;

		source->gic.spi[FAKE_SPI_ROUTED_AWAY].active = false; /* has a way of its own */
		source->gic.spi[FAKE_SPI_ROUTED_AWAY].queue = -1;
		trip = trip_dump(source);
		memcpy(table, vgic_v2_dist_regs, nr * sizeof(*table));
		memcpy(values, trip.vm->vgic_v2->dist, nr * sizeof(*values));
		move(values, sizeof(*values), find(table, nr, moves[i].moved), find(table, nr, moves[i].to));
		move(table, sizeof(*table), find(table, nr, moves[i].moved), find(table, nr, moves[i].to));
		restore_in_order(&trip, table, values);
		diff = fake_diff(trip.source, trip.copy);
		if (!diff != !moves[i].differs || (diff && strcmp(diff, moves[i].differs)))
			fail_msg("%s to %s: found: %s", moves[i].moved, moves[i].to, diff ? diff : "nothing");
		trip_finish(&trip);
	}
}

static size_t step_at(const struct plan_step *steps, const char *name)
{
	size_t i = 0;

	while (i < plan_nr_restore && strcmp(steps[i].name, name))
		i++;
	assert_true(i < plan_nr_restore);
	return i;
}

/* A step moved to another's place: the call that fails, or what differs. */
static const struct {
	const char *step, *before, *fails, *differs;
} steps_moved[] = {
	{ "GICv2 banked registers", "GICv2 distributor", NULL, "vCPU 0: queue of interrupt 3" },
	{ "GICv2 line levels", "GICv2 distributor", NULL, "pending of interrupt 32" },
	{ "GICv2 line levels", "GICv2 addresses", "vm: KVM_IRQ_LINE*", NULL },
	{ "GICv2 CPU interfaces", "GICv2 distributor", NULL, NULL },
};

static void a_step_elsewhere_makes_another_vm(void **state)
{
	for (size_t i = 0; i < COUNT(steps_moved); i++) {
		struct plan_step steps[MAX_STEPS];
		struct trip trip = trip_dump(fake_running(shape));
		const char *diff, *last;
		size_t failed;
		int ret;

		assert_true(plan_nr_restore <= MAX_STEPS);
		memcpy(steps, plan_restore, plan_nr_restore * sizeof(*steps));
		move(steps, sizeof(*steps), step_at(steps, steps_moved[i].step), step_at(steps, steps_moved[i].before));
		ret = fake_steps(steps, plan_nr_restore, trip.vm, trip.copy, &failed);
		diff = ret ? NULL : fake_diff(trip.source, trip.copy);
		last = trip.copy->lines[trip.copy->nr_lines - 1];
		if (!ret != !steps_moved[i].fails || (ret && !fake_is_like(last, steps_moved[i].fails)))
			fail_msg("%s before %s: the last call: %s", steps_moved[i].step, steps_moved[i].before, last);
		if (!diff != !steps_moved[i].differs || (diff && strcmp(diff, steps_moved[i].differs)))
			fail_msg("%s before %s: found: %s", steps_moved[i].step, steps_moved[i].before,
				 diff ? diff : "nothing");
		trip_finish(&trip);
	}
}

static void an_spi_stays_with_the_vcpu_that_handles_it(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));
	long holder, active, routed;

	assert_int_equal(trip_restore(&trip), 0);
	/* SPIs 36 to 39: the last vCPU has the first of them, and vCPU 0 is where it goes by now. */
	holder = fake_nth(trip.copy, "vcpu 0: SET GICD_ITARGETSR 0x824 = 0x8040208", 1);
	active = fake_first(trip.copy, "vcpu 0: SET GICD_ISACTIVER*");
	routed = fake_nth(trip.copy, "vcpu 0: SET GICD_ITARGETSR 0x824 = 0x8040201", 1);
	assert_in_range(holder, 0, active);
	assert_in_range(active, 0, routed);
	assert_int_equal(fake_count(trip.copy, "vcpu 0: SET GICD_ITARGETSR 0x824*"), 2);
	trip_finish(&trip);
}

/* ---- lines ---- */

static uint64_t pending_spis(const struct trip *trip)
{
	return vgic_values_of(vgic_v2_dist_regs, vgic_v2_nr_dist_regs, trip->vm->vgic_v2->dist, "GICD_ISPENDR")->v[0];
}

/* What its line alone makes pending would stay so when the VMM lowers it. */
static void a_line_is_no_latch(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));

	assert_false(pending_spis(&trip) & 1);
	assert_true(trip.vm->vgic_v2->lines[1].level & 1);
	assert_true(pending_spis(&trip) & 1u << (FAKE_SPI_BOTH_WAYS - VGIC_NR_PRIVATE));
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(fake_count(trip.copy, "vm: KVM_IRQ_LINE 0x1000020 = 1"), 1);
	assert_int_equal(fake_count(trip.copy, "vm: KVM_IRQ_LINE 0x1000026 = 1"), 1);
	assert_int_equal(fake_count(trip.copy, "vm: KVM_IRQ_LINE*"), 4);
	trip_finish(&trip);
}

static void a_line_of_an_edge_is_none(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));

	assert_false(trip.vm->vgic_v2->lines[1].level & 1u << (FAKE_SPI_STALE - VGIC_NR_PRIVATE));
	trip_finish(&trip);
}

/* Timers and PMUs raise theirs by themselves when the vCPU runs. */
static void the_lines_of_timers_are_left_to_them(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));

	for (size_t i = 0; i < trip.vm->nr_vcpus; i++)
		trip.vm->vgic_v2->private[i].level |= 1u << 23 | 1u << 27 | 1u << 30;
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(fake_count(trip.copy, "vm: KVM_IRQ_LINE 0x2*"), 1);
	assert_int_equal(fake_count(trip.copy, "vm: KVM_IRQ_LINE 0x2070013 = 1"), 1); /* vCPU id 7, INTID 19 */
	trip_assert_same(&trip);
	trip_finish(&trip);
}

/* A PMU without KVM_ARM_VCPU_PMU_V3_INIT has not taken its interrupt: the line is the VMM's. */
static void the_line_of_a_pmu_that_is_none_is_raised(void **state)
{
	struct trip trip = trip_dump(fake_running((struct fake_shape){ .nr_vcpus = 8, .nr_irqs = 64, .v2 = true }));

	assert_false(trip.vm->vcpus[7].pmu_created);
	assert_int_equal(trip.vm->vcpus[7].pmu_irq, 23);
	trip.vm->vgic_v2->private[7].level |= 1u << 23;
	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(fake_count(trip.copy, "vm: KVM_IRQ_LINE 0x2030017 = 1"), 1); /* vCPU id 3 */
	trip_finish(&trip);
}

static void sgis_are_pending_by_their_senders(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));
	const struct vgic_values *pending = vgic_values_of(vgic_v2_banked_regs, vgic_v2_nr_banked_regs,
							   trip.vm->vgic_v2->banked[1], "GICD_ISPENDR0");

	assert_int_equal(pending->v[0], 1u << 18);
	assert_int_equal(trip_restore(&trip), 0);
	/* SGI 3 of vCPU 1, whose id is 2: from it and from id 6. */
	assert_int_equal(fake_count(trip.copy, "vcpu 1: SET GICD_SPENDSGIR 0xf20 = 0x44000000"), 1);
	trip_assert_same(&trip);
	trip_finish(&trip);
}

/* ---- hosts and images ---- */

static void another_gic_is_refused(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));

	vgic_values_of(vgic_v2_dist_regs, vgic_v2_nr_dist_regs, trip.vm->vgic_v2->dist, "GICD_TYPER")->v[0] ^= 0x20;
	assert_int_equal(trip_restore(&trip), -EINVAL);
	assert_int_equal(fake_count(trip.copy, "vcpu ?: SET GICD_CTLR*"), 0);
	trip_finish(&trip);
}

static void a_host_without_one_is_refused_beforehand(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));
	struct fake_kvm *host = fake_host(trip.source, trip.vm);

	free(host->v2); /* it has a GICv3 */
	host->v2 = NULL;
	log_reset();
	assert_int_equal(host_check_kvm(trip.vm, &host->remote, FAKE_SYSTEM_FD, 1), -EINVAL);
	assert_true(log_has("this host's KVM has no GICv2 for guests: restore on one that has"));
	fake_free(host);
	trip_finish(&trip);
}

static void damage_irqs(struct vm_state *vm)
{
	vm->vgic_v2->nr_irqs = 96;
}

static void damage_cpus(struct vm_state *vm)
{
	vm->nr_vcpus--;
}

static void damage_id(struct vm_state *vm)
{
	vm->vcpus[1].id = 8;
}

static void damage_alignment(struct vm_state *vm)
{
	vm->vgic_v2->cpu_base += 0x800;
}

static void damage_ipa(struct vm_state *vm)
{
	vm->vgic_v2->dist_base = 1ull << 40;
}

static void damage_frames(struct vm_state *vm)
{
	vm->vgic_v2->cpu_base = vm->vgic_v2->dist_base - 0x1000;
}

static void damage_sgi(struct vm_state *vm)
{
	vgic_values_of(vgic_v2_banked_regs, vgic_v2_nr_banked_regs, vm->vgic_v2->banked[2], "GICD_ISPENDR0")
		->v[0] |= 8;
}

static void damage_sgi_level(struct vm_state *vm)
{
	vm->vgic_v2->private[2].level |= 8;
}

static void damage_level(struct vm_state *vm)
{
	vm->vgic_v2->lines[1].level |= 2; /* 33 is edge-triggered */
}

static void damage_width(struct vm_state *vm)
{
	vm->vgic_v2->cpuif[0][0].v[0] = 1ull << 32;
}

static void damage_active(struct vm_state *vm)
{
	vm->vgic_v2->active[0].vcpu_idx = vm->nr_vcpus;
}

static const struct {
	void (*damage)(struct vm_state *vm);
	const char *says;
} damages[] = {
	{ damage_irqs, "distributor: GICD_IGROUPR: 2 values expected, 3 found" },
	{ damage_cpus, "4 vCPUs, " },
	{ damage_id, "vCPU 1 has id 8, below 8 expected with a GICv2" },
	{ damage_alignment, "cpu_base 0x8010800: not aligned to 4 KiB" },
	{ damage_ipa, "dist_base 0x10000000000: not aligned" },
	{ damage_frames, "overlap" },
	{ damage_sgi, "vCPU 2: GICD_ISPENDR0 0x40008: SGIs are pending by GICD_SPENDSGIR" },
	{ damage_sgi_level, "vCPU 2: level 0x8: SGIs have none" },
	{ damage_level, "level: intid 33 is edge-triggered" },
	{ damage_width, "vCPU 0: GICC_CTLR: value 0x100000000 is wider than 32 bits" },
	{ damage_active, "active: intid 36: vcpu_idx 4, there are 4 vCPUs" },
};

static void what_an_image_may_not_hold_is_refused(void **state)
{
	for (size_t i = 0; i < COUNT(damages); i++) {
		struct trip trip = trip_dump(fake_running(shape));
		const size_t nr_vcpus = trip.vm->nr_vcpus;

		assert_int_equal(check_vgic(trip.vm), 0);
		damages[i].damage(trip.vm);
		log_reset();
		assert_int_equal(check_vgic(trip.vm), -EINVAL);
		if (!strstr(log_error(), damages[i].says))
			fail_msg("'%s' expected, '%s' found", damages[i].says, log_error());
		trip.vm->nr_vcpus = nr_vcpus;
		trip_finish(&trip);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vm_comes_back_as_it_was),
		cmocka_unit_test(a_vm_comes_back_from_its_images),
		cmocka_unit_test(a_dump_changes_nothing),
		cmocka_unit_test(without_it_the_vm_is_another),
		cmocka_unit_test(all_that_is_written_is_tried),
		cmocka_unit_test(groups_are_taken_after_the_iidr_alone),
		cmocka_unit_test(a_register_elsewhere_makes_another_vm),
		cmocka_unit_test(a_step_elsewhere_makes_another_vm),
		cmocka_unit_test(an_spi_stays_with_the_vcpu_that_handles_it),
		cmocka_unit_test(a_line_is_no_latch),
		cmocka_unit_test(a_line_of_an_edge_is_none),
		cmocka_unit_test(the_lines_of_timers_are_left_to_them),
		cmocka_unit_test(the_line_of_a_pmu_that_is_none_is_raised),
		cmocka_unit_test(sgis_are_pending_by_their_senders),
		cmocka_unit_test(another_gic_is_refused),
		cmocka_unit_test(a_host_without_one_is_refused_beforehand),
		cmocka_unit_test(what_an_image_may_not_hold_is_refused),
	};

	return cmocka_run_group_tests_name("a GICv2", tests, NULL, NULL);
}
