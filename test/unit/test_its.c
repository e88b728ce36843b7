// SPDX-License-Identifier: GPL-2.0-only
/* ITSes and LPIs through a dump and a restore: what comes back, what a wrong order costs, what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "image/image.h"
#include "testlog.h"
#include "trip.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct fake_shape shape = { .nr_vcpus = 4, .nr_irqs = 64, .itses = true };

static size_t step_of(const struct plan_step *steps, size_t nr, const char *name)
{
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(steps[i].name, name))
			return i;
	fail_msg("there is no step '%s'", name);
	return nr;
}

#define DUMP_STEP(name) step_of(plan_dump, plan_nr_dump, name)
#define RESTORE_STEP(name) step_of(plan_restore, plan_nr_restore, name)

/* Round trips */

static void itses_and_lpis_come_back(void **state)
{
	static const size_t nr_vcpus[] = { 1, 2, 4, 8 };

	for (size_t i = 0; i < COUNT(nr_vcpus); i++)
		trip_assert_comes_back(fake_running(
			(struct fake_shape){ .nr_vcpus = nr_vcpus[i], .nr_irqs = 64, .itses = true }));
}

/* The first restore has cleared what was pending in its own memory, not in the image's. */
static void a_dump_can_be_restored_twice(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));

	for (int i = 0; i < 2; i++) {
		fake_free(trip.copy);
		trip.copy = fake_created(trip.source, trip.vm);
		assert_int_equal(trip_restore(&trip), 0);
		trip_assert_same(&trip);
	}
	trip_finish(&trip);
}

static void a_restored_vm_can_be_dumped_again(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));
	struct fake_kvm *again;
	size_t failed;

	assert_int_equal(trip_restore(&trip), 0);
	vm_state_free(trip.vm);
	for (int i = 0; i < FAKE_FDS; i++)
		trip.copy->fds[i] = trip.source->fds[i];
	trip.vm = fake_discovered(trip.copy);
	assert_int_equal(fake_steps(plan_dump, plan_nr_dump, trip.vm, trip.copy, &failed), 0);
	again = fake_created(trip.copy, trip.vm);
	assert_int_equal(plan_run(plan_restore, plan_nr_restore, trip.vm, &again->remote), 0);
	assert_null(fake_diff(trip.copy, again));
	fake_free(again);
	trip_finish(&trip);
}

static void the_chain_has_gaps_that_an_entry_cannot_tell(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));
	const struct its_tables *flat = &trip.vm->itses[0].tables, *two = &trip.vm->itses[1].tables;

	assert_int_equal(flat->nr_dtes, 3);
	assert_int_equal(its_dte_next(flat->dtes[0].entry), 16383);
	assert_int_equal(flat->dtes[1].device_id, FAKE_DEVICE_B);
	assert_int_equal(flat->dtes[1].nr_ites, 2);
	assert_int_equal(its_ite_next(its_ite(flat, &flat->dtes[1], 0)), 65535);
	assert_int_equal(its_event_id(flat, &flat->dtes[1], 1), 65535);
	assert_int_equal(flat->nr_l1es, 0);
	assert_int_equal(two->nr_l1es, 2);
	assert_int_equal(two->nr_dtes, 2);
	assert_int_equal(its_dte_next(two->dtes[0].entry), 16383);
	assert_int_equal(two->dtes[1].device_id, FAKE_DEVICE_E);
	assert_int_equal(trip.vm->itses[2].tables.nr_ctes, 0);
	assert_null(trip.vm->itses[2].regs);
	trip_finish(&trip);
}

/* Those that were, stay so; the others are, when the guest enables its ITS. */
static void each_command_is_executed_once(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));
	struct fake_its *its = &trip.copy->its[1];

	assert_int_equal(trip_restore(&trip), 0);
	its->enabled = true;
	fake_its_run_commands(its);
	for (size_t i = 0; i < FAKE_COMMANDS; i++)
		assert_int_equal(its->executed[i], i < 5);
	trip_finish(&trip);
}

static void an_lpi_that_was_masked_is_taken_when_the_guest_enables_it(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));
	const struct fake_lpi *lpi;

	assert_int_equal(trip_restore(&trip), 0);
	lpi = fake_lpi(trip.copy, FAKE_LPI_MASKED);
	assert_true(lpi->pending);
	assert_false(lpi->enabled);
	assert_false(lpi->queued);
	trip_finish(&trip);
}

static void a_vm_whose_guest_has_not_enabled_lpis_comes_back(void **state)
{
	struct fake_kvm *source = fake_running(shape);

	for (size_t i = 0; i < source->nr_vcpus; i++)
		fake_lpi_enable(source, i, 0);
	trip_assert_comes_back(source);
}

static void an_its_that_was_never_used_comes_back(void **state)
{
	struct fake_kvm *source = fake_running(shape);

	for (int i = 0; i < 2; i++) {
		uint64_t base = source->its[i].base;

		fake_its_reset(&source->its[i]);
		source->its[i].base = base;
	}
	source->nr_lpis = 0;
	trip_assert_comes_back(source);
}

/* KVM does not read them before the guest has enabled LPIs. */
static void lpi_tables_need_not_be_in_memory(void **state)
{
	struct fake_kvm *source = fake_running(shape);

	for (int i = 0; i < 2; i++) {
		source->its[i].nr_devices = 0;
		source->its[i].enabled = false;
	}
	source->nr_lpis = 0;
	for (size_t i = 0; i < source->nr_vcpus; i++) {
		source->vcpus[i].gicr_ctlr = 0;
		source->vcpus[i].propbaser[0] = 0x70000780;
		source->vcpus[i].pendbaser[0] = 0x70000780;
	}
	trip_assert_comes_back(source);
}

/* What is left out, or late */

struct damage {
	const char *variable, *what;
	const char *differs; /* NULL: the restore fails */
	bool in_dump;
};

static const struct damage damages[] = {
	{ "KVM_VGIC_SKIP", "LPI pending tables saved", "pending of LPI 8192", true },
	{ "KVM_VGIC_SKIP", "ITS tables saved", "nr_collections of ITS 0", true },
	{ "KVM_VGIC_SKIP", "ITS tables", "nr_collections of ITS 0", false },
	{ "KVM_VGIC_SKIP", "GITS_CREADR", "executed of ITS 0", false },
	{ "KVM_VGIC_SKIP", "GITS_CWRITER", "cwriter of ITS 0", false },
	{ "KVM_VGIC_SKIP", "GITS_BASER", "baser of ITS 0", false },
	{ "KVM_VGIC_SKIP", "ITS control", "enabled of ITS 0", false },
	{ "KVM_VGIC_SKIP", "LPIs enabled", "vCPU 0: gicr_ctlr", false },
	{ "KVM_VGIC_LATE", "LPIs enabled", "pending of LPI 8192", false },
	{ "KVM_VGIC_LATE", "GIC distributor", "queued of LPI 8192", false },
	{ "KVM_VGIC_LATE", "ITS registers", NULL, false },
};

static void damage_is_seen(void **state)
{
	const struct damage *damage = *state;
	struct trip trip = { .source = fake_running(shape) };
	const char *diff;
	int ret;

	if (damage->in_dump)
		setenv(damage->variable, damage->what, 1);
	trip.vm = fake_dump(trip.source);
	trip.copy = fake_created(trip.source, trip.vm);
	setenv(damage->variable, damage->what, 1);
	ret = trip_restore(&trip);
	unsetenv(damage->variable);
	assert_int_equal(!ret, !!damage->differs);
	diff = fake_diff(trip.source, trip.copy);
	if (!diff || (damage->differs && strcmp(diff, damage->differs)))
		fail_msg("%s=%s: '%s' expected to differ, '%s' does", damage->variable, damage->what,
			 damage->differs, diff);
	trip_finish(&trip);
}

/* The tables in an order of their own: what is at @last comes behind all others. */
static void restore_with_last(struct trip *trip, const char *last)
{
	struct vgic_reg table[16];
	struct vgic_values values[16];
	size_t n = 0, failed, control = RESTORE_STEP("ITS registers");
	const struct its_state *its = &trip->vm->itses[0];
	const struct vgic_part part = { .fd = its->fd };
	struct batch b = BATCH(&trip->copy->remote, 1, "test");

	assert_int_equal(fake_steps(plan_restore, control, trip->vm, trip->copy, &failed), 0);
	trip->copy->its[0].base = its->base;
	for (int pass = 0; pass < 2; pass++)
		for (size_t r = 0; r < its_nr_regs; r++) {
			if ((strcmp(its_regs[r].name, last) ? 0 : 1) != pass)
				continue;
			table[n] = its_regs[r];
			if (table[n].policy == VGIC_APART)
				table[n].policy = VGIC_SAVE;
			values[n++] = its->regs[r];
		}
	vgic_regs_add_apply(&b, &part, table, n, values);
	batch_try(&b);
	batch_fini(&b);
}

/* Written behind CREADR, CBASER resets it; behind CTLR, nothing is taken. */
static void registers_in_another_order_are_other_registers(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));

	restore_with_last(&trip, "GITS_CTLR");
	assert_int_equal(trip.copy->its[0].creadr, 96);
	assert_int_equal(trip.copy->its[0].executed[0], 1);
	fake_free(trip.copy);
	trip.copy = fake_created(trip.source, trip.vm);
	restore_with_last(&trip, "GITS_CBASER");
	assert_int_not_equal(trip.copy->its[0].creadr, 96);
	fake_free(trip.copy);
	trip.copy = fake_created(trip.source, trip.vm);
	restore_with_last(&trip, "GITS_BASER");
	assert_false(trip.copy->its[0].enabled);
	trip_finish(&trip);
}

/* What an errno means */

struct meaning {
	const char *call;
	int err;
	const char *says;
};

static const struct meaning dump_meanings[] = {
	{ "its 0: SET CTRL SAVE_TABLES", ENXIO, "vm 1: ITS 0 at 0x9000000: it was not set up" },
	{ "its 0: SET CTRL SAVE_TABLES", EINVAL,
	  "vm 1: ITS 0 at 0x9000000: a device that it knows has no place in the device table: the guest has changed "
	  "GITS_BASER0, or the level 1 table, since it mapped that device (Linux 6.12; later ones leave it out)" },
	{ "its 1: SET CTRL SAVE_TABLES", EFAULT, "vm 1: ITS 1 at 0xa000000: a table of its is not in guest memory: *" },
	{ "its 1: SET CTRL SAVE_TABLES", EBUSY, "vm 1: ITS 1 at 0xa000000: a vCPU runs" },
	{ "its 1: SET CTRL SAVE_TABLES", ENOMEM,
	  "vm 1: ITS 1 at 0xa000000: the kernel has no memory for it" },
	{ "its 1: SET CTRL SAVE_TABLES", EACCES,
	  "vm 1: ITS 1 at 0xa000000: an LPI is injected directly by a GICv4 ITS, *kvm-arm.vgic_v4_enable" },
	{ "gic: SET CTRL SAVE_PENDING_TABLES", ENXIO, "vm 1: the GIC: the GIC is not initialised" },
	{ "gic: SET CTRL SAVE_PENDING_TABLES", EFAULT,
	  "vm 1: the GIC: an LPI is mapped to a vCPU whose pending table (GICR_PENDBASER) is not in guest "
	  "memory" },
	{ "gic: SET CTRL SAVE_PENDING_TABLES", EBUSY, "vm 1: the GIC: a vCPU runs" },
};

static const struct meaning restore_meanings[] = {
	{ "its 0: SET ADDR *", E2BIG, "vm 1: ITS 0 at 0x9000000: its address is beyond the VM's IPA size" },
	{ "its 0: SET ADDR *", EINVAL, "vm 1: ITS 0 at 0x9000000: its address is not aligned to 64 KiB" },
	{ "its 0: SET ADDR *", EEXIST, "vm 1: ITS 0 at 0x9000000: it has an address already" },
	{ "its 0: SET ADDR *", ENODEV, "vm 1: ITS 0 at 0x9000000: this host's KVM has no ITS" },
	{ "its 1: SET GITS_CREADR*", ENXIO,
	  "vm 1: ITS 1 at 0xa000000: it has no address, or not that register" },
	{ "its 1: SET GITS_CREADR*", EINVAL,
	  "vm 1: ITS 1 at 0xa000000: the value is none that this host's KVM takes" },
	{ "its 1: SET GITS_CREADR*", EBUSY,
	  "vm 1: ITS 1 at 0xa000000: a vCPU runs, or the ITS is enabled already" },
	{ "its 1: SET GITS_IIDR*", EINVAL,
	  "vm 1: ITS 1 at 0xa000000: the value is none that this host's KVM takes" },
	{ "its 0: SET GITS_CTLR*", EBUSY,
	  "vm 1: ITS 0 at 0x9000000: a vCPU runs, or the ITS is enabled already" },
	{ "its 0: SET CTRL RESTORE_TABLES", ENXIO, "vm 1: ITS 0 at 0x9000000: it was not set up" },
	{ "its 0: SET CTRL RESTORE_TABLES", EINVAL,
	  "vm 1: ITS 0 at 0x9000000: KVM does not take the tables in guest memory" },
	{ "its 0: SET CTRL RESTORE_TABLES", EEXIST, "vm 1: ITS 0 at 0x9000000: a collection is there twice" },
	{ "its 0: SET CTRL RESTORE_TABLES", EFAULT,
	  "vm 1: ITS 0 at 0x9000000: an LPI's configuration (GICR_PROPBASER) or pending bit (GICR_PENDBASER) "
	  "is not "
	  "in guest memory" },
	{ "its 0: SET CTRL RESTORE_TABLES", EBUSY, "vm 1: ITS 0 at 0x9000000: a vCPU runs" },
	{ "its 0: SET CTRL RESTORE_TABLES", ENOMEM,
	  "vm 1: ITS 0 at 0x9000000: the kernel has no memory for what it maps" },
};

static void fail_at(struct fake_kvm *kvm, const char *call, int err)
{
	kvm->fail_like = call;
	kvm->fail_times = 1;
	kvm->fail_errno = err;
}

/* Two lines: the call with its errno, and what that means. */
static void assert_explained(const struct meaning *m, int ret)
{
	if (ret != -m->err || log_errors() != 2 || !fake_is_like(log_error(), m->says))
		fail_msg("'%s' failed with %d, and of %u lines the last is: %s", m->call, ret, log_errors(),
			 log_error());
}

static void an_error_of_a_dump_is_explained(void **state)
{
	const struct meaning *m = *state;
	struct fake_kvm *kvm = fake_running(shape);
	struct vm_state *vm = fake_discovered(kvm);
	size_t failed;

	log_reset();
	fail_at(kvm, m->call, m->err);
	assert_explained(m, fake_steps(plan_dump, plan_nr_dump, vm, kvm, &failed));
	vm_state_free(vm);
	fake_free(kvm);
}

static void an_error_of_a_restore_is_explained(void **state)
{
	const struct meaning *m = *state;
	struct trip trip = trip_dump(fake_running(shape));
	size_t failed;

	log_reset();
	fail_at(trip.copy, m->call, m->err);
	assert_explained(m, fake_steps(plan_restore, plan_nr_restore, trip.vm, trip.copy, &failed));
	trip_finish(&trip);
}

static void tables_of_another_revision_are_not_dumped(void **state)
{
	struct fake_kvm *kvm = fake_running(shape);
	struct vm_state *vm = fake_discovered(kvm);
	size_t failed;

	kvm->its[1].iidr |= 1 << 12;
	log_reset();
	assert_int_equal(fake_steps(plan_dump, plan_nr_dump, vm, kvm, &failed), -EINVAL);
	assert_string_equal(log_error(),
			    "vm 1: ITS 1 at 0xa000000: GITS_IIDR 0x4b00143b: tables of a revision "
			    "this plugin does not know");
	assert_int_equal(fake_count(kvm, "*SAVE*TABLES*"), 0);
	vm_state_free(vm);
	fake_free(kvm);
}

static void an_its_of_another_kind_is_named(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));
	size_t failed;

	trip.copy->its[1].typer = 0x1ef61;
	log_reset();
	assert_int_equal(fake_steps(plan_restore, plan_nr_restore, trip.vm, trip.copy, &failed), -EINVAL);
	assert_string_equal(log_error(), "vm 1: GITS_TYPER is 0x1ef61 on this host, 0x1ef71 in the image");
	assert_int_equal(fake_count(trip.copy, "its 1: SET GITS*"), 0);
	trip_finish(&trip);
}

/* The VM goes on */

/* All pending tables. */
static const uint8_t *pending_tables(struct fake_kvm *kvm)
{
	return fake_guest(kvm, FAKE_LPI_PENDING(0), 0x10000 * FAKE_VCPUS);
}

static bool same_pending(struct fake_kvm *a, struct fake_kvm *b)
{
	return !memcmp(pending_tables(a), pending_tables(b), 0x10000 * FAKE_VCPUS);
}

static void a_dump_that_fails_leaves_the_pending_tables_as_they_were(void **state)
{
	size_t last = DUMP_STEP("LPI tables decoded"), failed;

	for (size_t n = DUMP_STEP("LPI pending tables kept"); n < last + 2; n++) {
		struct fake_kvm *kvm = fake_running(shape), *twin = fake_running(shape);
		struct vm_state *vm = fake_discovered(kvm);

		assert_int_equal(fake_steps(plan_dump, n, vm, kvm, &failed), 0);
		assert_int_equal(same_pending(kvm, twin), n <= DUMP_STEP("LPI pending tables saved"));
		log_reset();
		assert_int_equal(lpi_put_back(vm, &kvm->remote, false, false), 0);
		assert_int_equal(log_errors(), 0);
		assert_true(same_pending(kvm, twin));
		assert_null(fake_diff(kvm, twin));
		vm_state_free(vm);
		fake_free(kvm);
		fake_free(twin);
	}
}

/* An LPI that is taken, unmapped and mapped again is no interrupt once more. */
static void no_lpi_comes_twice_to_a_vm_that_goes_on(void **state)
{
	struct fake_kvm *kvm = fake_running(shape);
	struct vm_state *vm = fake_dump(kvm);
	struct fake_lpi *lpi;

	assert_int_equal(lpi_put_back(vm, &kvm->remote, true, false), 0);
	kvm->nr_lpis = 0;
	assert_int_equal(fake_lpi_add(kvm, FAKE_LPI_PENDS, 0), 0);
	lpi = fake_lpi(kvm, FAKE_LPI_PENDS);
	assert_false(lpi->pending);
	vm_state_free(vm);
	fake_free(kvm);
}

/* Memory in files is not in CRIU's image: the restored VM reads the same bytes. */
static void pending_tables_in_files_are_left_to_the_restored_vm(void **state)
{
	struct fake_kvm *kvm = fake_running(shape), *twin = fake_running(shape);
	struct vm_state *vm = fake_dump(kvm);
	const size_t size = 0x10000;

	vm->nr_backings = 1;
	vm->backings = calloc(1, sizeof(*vm->backings));
	vm->backings[0] = (struct backing){ .gpa = FAKE_LPI_PENDING(0) + 0x1000, .size = 0x1000 };
	assert_int_equal(lpi_put_back(vm, &kvm->remote, true, false), 0);
	assert_memory_not_equal(pending_tables(kvm), pending_tables(twin), size);
	assert_memory_equal(pending_tables(kvm) + size, pending_tables(twin) + size, (FAKE_VCPUS - 1) * size);
	assert_int_equal(lpi_put_back(vm, &kvm->remote, false, false), 0);
	assert_true(same_pending(kvm, twin));
	vm_state_free(vm);
	fake_free(kvm);
	fake_free(twin);
}

static size_t reads_of_guest_memory(struct fake_kvm *kvm)
{
	size_t n = fake_count(kvm, "guest: read*");

	fake_forget(kvm);
	return n;
}

/* What KVM has saved is known: it is read again only where somebody could have written to it since. */
static void pending_tables_that_are_known_are_not_read_again(void **state)
{
	struct fake_kvm *kvm = fake_running(shape), *twin = fake_running(shape);
	struct vm_state *vm = fake_dump(kvm);

	fake_forget(kvm);
	assert_int_equal(lpi_put_back(vm, &kvm->remote, false, false), 0);
	assert_int_equal(reads_of_guest_memory(kvm), 0);
	assert_true(same_pending(kvm, twin));
	((uint8_t *)pending_tables(kvm))[LPI_MIN / 8] ^= 1;
	assert_int_equal(lpi_put_back(vm, &kvm->remote, false, true), 0);
	assert_true(reads_of_guest_memory(kvm) > 0);
	assert_true(same_pending(kvm, twin));
	vm_state_free(vm);
	fake_free(kvm);
	fake_free(twin);
}

static void tables_that_cannot_be_put_back_are_told_of(void **state)
{
	struct fake_kvm *kvm = fake_running(shape);
	struct vm_state *vm = fake_dump(kvm);

	log_reset();
	fail_at(kvm, "guest: write*", EIO);
	assert_int_equal(lpi_put_back(vm, &kvm->remote, false, false), -EFAULT);
	assert_int_equal(log_errors(), 1);
	assert_non_null(strstr(log_error(), "LPI pending tables were not put back"));
	vm_state_free(vm);
	fake_free(kvm);
}

/* Guest memory that is not what it was */

struct change {
	const char *name;
	uint64_t gpa, bits; /* of the word there, to be turned */
	const char *says;
};

#define DTE(id) (FAKE_DEVICE_TABLE + 8 * (id))
#define ITE(i, event) (FAKE_ITT(i) + 8 * (event))
#define IN_CTES "vm 1: ITS 0 at 0x9000000: collection table, entry "
#define IN_L1ES "vm 1: ITS 1 at 0xa000000: level 1 device table, entry "
#define IN_DTES "vm 1: ITS 0 at 0x9000000: device table, DeviceID "
#define IN_ITES "vm 1: ITS 0 at 0x9000000: interrupt translation table of DeviceID "
#define CHANGED ": guest memory was changed between dump and restore"

static const struct change changes[] = {
	{ "CTE V", FAKE_COLLECTION_TABLE(0) + 8, 1ULL << 63,
	  IN_CTES "1: V is 0 in guest memory, 0x1 in the image" CHANGED },
	{ "CTE V of one more", FAKE_COLLECTION_TABLE(0) + 16, 1ULL << 63,
	  IN_CTES "2: V is 0x1 in guest memory, 0 in the image" CHANGED },
	{ "CTE RDBase", FAKE_COLLECTION_TABLE(0), 5ULL << 16,
	  IN_CTES "0: RDBase is 0x2 in guest memory, 0x7 in the image" CHANGED },
	{ "CTE RDBase, highest bit", FAKE_COLLECTION_TABLE(0), 1ULL << 51,
	  IN_CTES "0: RDBase is 0x800000007 in guest memory, 0x7 in the image" CHANGED },
	{ "CTE ICID", FAKE_COLLECTION_TABLE(0), 6,
	  IN_CTES "0: ICID is 0x3 in guest memory, 0x5 in the image" CHANGED },
	{ "L1 V", FAKE_L1_TABLE + 32, 1ULL << 63,
	  IN_L1ES "4: V is 0 in guest memory, 0x1 in the image" CHANGED },
	{ "L1 V of one more", FAKE_L1_TABLE + 16, 1ULL << 63 | FAKE_L2_TABLE(0),
	  IN_L1ES "2: V is 0x1 in guest memory, 0 in the image" CHANGED },
	{ "L1 address", FAKE_L1_TABLE, 1ULL << 20,
	  IN_L1ES "0: address is 0x80170000 in guest memory, 0x80070000 in the image" CHANGED },
	{ "DTE V", DTE(FAKE_DEVICE_B), 1ULL << 63,
	  IN_DTES "16500: V is 0 in guest memory, 0x1 in the image" CHANGED },
	{ "DTE V of one more", DTE(1), 1ULL << 63,
	  IN_DTES "1: V is 0x1 in guest memory, 0 in the image" CHANGED },
	{ "DTE V in level 2", FAKE_L2_TABLE(0) + 8 * FAKE_DEVICE_D, 1ULL << 63,
	  "vm 1: ITS 1 at 0xa000000: device table, DeviceID 8: V is 0 in guest memory, 0x1 in the "
	  "image" CHANGED },
	{ "DTE next", DTE(FAKE_DEVICE_A), 1ULL << 49,
	  IN_DTES "3: next is 0x3ffe in guest memory, 0x3fff in the image" CHANGED },
	{ "DTE next, highest bit", DTE(FAKE_DEVICE_C), 1ULL << 62,
	  IN_DTES "40000: next is 0x2000 in guest memory, 0 in the image" CHANGED },
	{ "DTE ITT_addr", DTE(FAKE_DEVICE_A), 1ULL << 5,
	  IN_DTES "3: ITT_addr is 0x80130100 in guest memory, 0x80130000 in the image" CHANGED },
	{ "DTE ITT_addr, highest bit", DTE(FAKE_DEVICE_A), 1ULL << 48,
	  IN_DTES "3: ITT_addr is 0x8000080130000 in guest memory, 0x80130000 in the image" CHANGED },
	{ "DTE Size", DTE(FAKE_DEVICE_A), 1,
	  IN_DTES "3: Size is 0x3 in guest memory, 0x2 in the image" CHANGED },
	{ "DTE Size, highest bit", DTE(FAKE_DEVICE_A), 16,
	  IN_DTES "3: Size is 0x12 in guest memory, 0x2 in the image" CHANGED },
	{ "ITE next", ITE(0, 1), 3ULL << 48,
	  IN_ITES "3, EventID 1: next is 0x7 in guest memory, 0x4 in the image" CHANGED },
	{ "ITE next, highest bit", ITE(0, 5), 1ULL << 63,
	  IN_ITES "3, EventID 5: next is 0x8000 in guest memory, 0 in the image" CHANGED },
	{ "ITE pINTID", ITE(0, 1), 1ULL << 17,
	  IN_ITES "3, EventID 1: pINTID is 0x2003 in guest memory, 0x2001 in the image" CHANGED },
	{ "ITE pINTID, highest bit", ITE(0, 1), 1ULL << 47,
	  IN_ITES "3, EventID 1: pINTID is 0x80002001 in guest memory, 0x2001 in the image" CHANGED },
	{ "ITE pINTID 0", ITE(0, 5), 8200ULL << 16,
	  IN_ITES "3, EventID 5: pINTID is 0 in guest memory, 0x2008 in the image" CHANGED },
	{ "ITE ICID", ITE(0, 0), 4,
	  IN_ITES "3, EventID 0: ICID is 0x1 in guest memory, 0x5 in the image" CHANGED },
	{ "ITE of the last event", FAKE_LARGE_ITT + 65535 * 8, 4,
	  IN_ITES "16500, EventID 65535: ICID is 0x5 in guest memory, 0x1 in the image" CHANGED },
	{ "configuration", FAKE_LPI_CONFIG + 8, 1,
	  "vm 1: LPI configuration table, INTID 8200: 0xa9 in guest memory, 0xa8 in the image" },
	{ "configuration of the last", FAKE_LPI_CONFIG + 57336, 1ULL << 63,
	  "vm 1: LPI configuration table, INTID 65535: 0x35 in guest memory, 0xb5 in the image" },
	{ "pending bit lost", FAKE_LPI_PENDING(0) + 1024, 1,
	  "vm 1: LPI pending table of vcpu 0, INTID 8192: 0 in guest memory, 1 in the image" },
	{ "pending bit added", FAKE_LPI_PENDING(3) + 8184, 1ULL << 62,
	  "vm 1: LPI pending table of vcpu 3, INTID 65534: 1 in guest memory, 0 in the image" },
	{ "pending bit of the last", FAKE_LPI_PENDING(3) + 8184, 1ULL << 63,
	  "vm 1: LPI pending table of vcpu 3, INTID 65535: 0 in guest memory, 1 in the image" },
};

/* Before the copy has memslots too. */
static uint8_t *ram(struct fake_kvm *kvm, uint64_t gpa, size_t size)
{
	uint64_t hva = FAKE_RAM_HVA + (gpa - FAKE_RAM);
	struct fake_map *map = fake_map_at(kvm, hva, size);

	assert_non_null(map);
	return fake_map_byte(kvm, map, hva);
}

static void turn(struct fake_kvm *kvm, uint64_t gpa, uint64_t bits)
{
	uint8_t *at = ram(kvm, gpa, 8);
	uint64_t word;

	memcpy(&word, at, 8);
	word ^= bits;
	memcpy(at, &word, 8);
}

/* One line, and nothing was written: no vCPU initialised, no register, no table given to KVM. */
static void a_change_is_named_before_anything_is_written(void **state)
{
	const struct change *change = *state;
	struct trip trip = trip_dump(fake_running(shape));
	size_t failed;

	turn(trip.copy, change->gpa, change->bits);
	log_reset();
	assert_int_equal(fake_steps(plan_restore, plan_nr_restore, trip.vm, trip.copy, &failed), -EINVAL);
	assert_string_equal(log_error(), change->says);
	assert_int_equal(log_errors(), 1);
	assert_int_equal(fake_count(trip.copy, "*RESTORE_TABLES*"), 0);
	assert_int_equal(fake_count(trip.copy, "*: SET *"), 0);
	assert_int_equal(fake_count(trip.copy, "vcpu ?: KVM_*"), 0);
	trip_finish(&trip);
}

/* What KVM does not read of a table is the guest's own: CWRITER's queue, entries behind the last one. */
static void what_kvm_does_not_read_may_change(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));

	turn(trip.copy, DTE(FAKE_DEVICE_C + 1), 1ULL << 63);
	turn(trip.copy, FAKE_COLLECTION_TABLE(0) + 24, 1ULL << 63);
	turn(trip.copy, ITE(0, 2), 8500ULL << 16);
	turn(trip.copy, FAKE_QUEUE(1), 0x55);
	turn(trip.copy, FAKE_LPI_PENDING(1), 0x55);
	assert_int_equal(trip_restore(&trip), 0);
	trip_assert_same(&trip);
	trip_finish(&trip);
}

static void memory_that_is_gone_is_a_change(void **state)
{
	struct trip trip = trip_dump(fake_running(shape));
	size_t failed;

	trip.vm->slots[trip.vm->nr_slots - 1].size = FAKE_LPI_CONFIG - FAKE_RAM;
	log_reset();
	assert_int_equal(fake_steps(plan_restore, plan_nr_restore, trip.vm, trip.copy, &failed), -EINVAL);
	assert_string_equal(plan_restore[failed].name, "ITS tables compared");
	assert_int_equal(log_errors(), 1);
	trip_finish(&trip);
}

/* A guest that has broken its own tables */

struct broken {
	const char *name;
	void (*breaks)(struct fake_kvm *kvm);
	const char *defect; /* of ITS 0, or of ITS 1, for fnmatch() */
};

static void put(struct fake_kvm *kvm, uint64_t gpa, uint64_t entry)
{
	memcpy(fake_guest(kvm, gpa, 8), &entry, 8);
}

static uint64_t dte(uint32_t next, uint64_t itt, uint32_t size)
{
	return 1ULL << 63 | (uint64_t)next << 49 | itt >> 8 << 5 | size;
}

static uint64_t ite(uint32_t next, uint64_t pintid, uint32_t icid)
{
	return (uint64_t)next << 48 | pintid << 16 | icid;
}

static void stale_device(struct fake_kvm *kvm)
{
	put(kvm, DTE(1), dte(1, 0xdead0000000, 3));
}

static void stale_large_device(struct fake_kvm *kvm)
{
	put(kvm, DTE(1), dte(1, FAKE_ITT(0), 31));
}

static void stale_event(struct fake_kvm *kvm)
{
	put(kvm, ITE(2, 1), ite(1, 100, 5));
}

static void event_of_no_collection(struct fake_kvm *kvm)
{
	put(kvm, ITE(2, 1), ite(1, 8192, 77));
}

static void event_beyond_its_table(struct fake_kvm *kvm)
{
	put(kvm, ITE(2, 1), ite(65535, 8192, 5));
}

static void table_outside_memory(struct fake_kvm *kvm)
{
	put(kvm, DTE(FAKE_DEVICE_A), dte(16383, 0xfffffffffff00, 15));
}

static void table_at_the_end_of_memory(struct fake_kvm *kvm)
{
	put(kvm, DTE(FAKE_DEVICE_A), dte(16383, FAKE_RAM + FAKE_RAM_SIZE - 0x1000, 15));
}

static void collection_of_no_vcpu(struct fake_kvm *kvm)
{
	put(kvm, FAKE_COLLECTION_TABLE(0) + 16, 1ULL << 63 | 99 << 16 | 6);
}

static void collection_twice(struct fake_kvm *kvm)
{
	put(kvm, FAKE_COLLECTION_TABLE(0) + 16, 1ULL << 63 | 7 << 16 | 5);
}

static void collection_too_high(struct fake_kvm *kvm)
{
	put(kvm, FAKE_COLLECTION_TABLE(0) + 16, 1ULL << 63 | 7 << 16 | 8192);
}

static void all_collections(struct fake_kvm *kvm)
{
	for (uint32_t i = 2; i < 8192; i++)
		put(kvm, FAKE_COLLECTION_TABLE(0) + 8 * i, 1ULL << 63 | 7 << 16 | (i == 5 ? 0 : i));
}

/* Each entry is a level 2 table, and that is the level 1 table itself. */
static void level_1_of_itself(struct fake_kvm *kvm)
{
	for (uint32_t i = 0; i < 8192; i++)
		put(kvm, FAKE_L1_TABLE + 8 * i, dte(16383, 0, 0) | FAKE_L1_TABLE);
}

static void level_2_outside_memory(struct fake_kvm *kvm)
{
	put(kvm, FAKE_L1_TABLE + 8, 1ULL << 63 | 0xffff00000000);
}

static void level_2_of_all(struct fake_kvm *kvm)
{
	memset(fake_guest(kvm, FAKE_L2_TABLE(0), 0x10000), 0, 0x10000);
	for (uint32_t i = 0; i < 8192; i++)
		put(kvm, FAKE_L1_TABLE + 8 * i, 1ULL << 63 | FAKE_L2_TABLE(0));
}

/* All devices, each with the one table of all events. */
static void devices_of_one_table(struct fake_kvm *kvm)
{
	for (uint32_t i = 0; i < 40960; i++)
		put(kvm, DTE(i), dte(1, FAKE_LARGE_ITT, 15));
	for (uint32_t i = 0; i < 65535; i++)
		put(kvm, FAKE_LARGE_ITT + 8 * i, ite(1, 8192 + i % 50000, 5));
}

/* The same, with nothing in it: long to look at. */
static void devices_of_one_empty_table(struct fake_kvm *kvm)
{
	devices_of_one_table(kvm);
	memset(fake_guest(kvm, FAKE_LARGE_ITT, 65536 * 8), 0, 65536 * 8);
}

/* All that KVM has written, as something else. */
static void ones(struct fake_kvm *kvm)
{
	memset(fake_guest(kvm, FAKE_RAM, FAKE_RAM_SIZE), 0xff, FAKE_RAM_SIZE);
}

static void zeros(struct fake_kvm *kvm)
{
	memset(fake_guest(kvm, FAKE_RAM, FAKE_RAM_SIZE), 0, FAKE_RAM_SIZE);
}

static void noise(struct fake_kvm *kvm)
{
	uint8_t *ram = fake_guest(kvm, FAKE_RAM, FAKE_RAM_SIZE);
	uint64_t x = 7;

	for (size_t i = 0; i < FAKE_RAM_SIZE; i++) {
		x = x * 6364136223846793005 + 1442695040888963407;
		ram[i] = x >> 56;
	}
}

static void unreadable(struct fake_kvm *kvm)
{
	kvm->fail_like = "guest: read*";
	kvm->fail_times = SIZE_MAX;
	kvm->fail_errno = EIO;
}

static const struct broken breaks[] = {
	{ "stale_device", stale_device,
	  "interrupt translation table: entry 0 at 0xdead0000000: not in guest memory" },
	{ "stale_large_device", stale_large_device,
	  "device table, DeviceID 1: Size 31: more than 16 EventID bits" },
	{ "stale_event", stale_event, "DeviceID 40000, EventID 1: pINTID 100 is no LPI" },
	{ "event_of_no_collection", event_of_no_collection,
	  "DeviceID 40000, EventID 1: ICID 77 is no collection" },
	{ "event_beyond_its_table", event_beyond_its_table,
	  "DeviceID 40000, EventID 1: next 65535 leaves the table" },
	{ "table_outside_memory", table_outside_memory,
	  "interrupt translation table: entry 0 at 0xfffffffffff00: not in guest memory" },
	{ "table_at_the_end_of_memory", table_at_the_end_of_memory,
	  "interrupt translation table: entry 512 at 0x801e0000: not in guest memory" },
	{ "collection_of_no_vcpu", collection_of_no_vcpu,
	  "collection table, entry 2: RDBase 99 is no vCPU's id" },
	{ "collection_twice", collection_twice, "collection table, entry 2: ICID 5 is there twice" },
	{ "collection_too_high", collection_too_high,
	  "collection table, entry 2: ICID 8192 does not fit into the table" },
	{ "all_collections", all_collections, "" },
	{ "level_1_of_itself", level_1_of_itself, "device table*" },
	{ "level_2_outside_memory", level_2_outside_memory, "device table: entry 8192 at 0xffff00000000: not in guest memory" },
	{ "level_2_of_all", level_2_of_all, "more than 1024 level 2 tables" },
	{ "devices_of_one_table", devices_of_one_table, "more than 1048576 interrupts" },
	{ "devices_of_one_empty_table", devices_of_one_empty_table, "more than 67108864 entries in the tables" },
	{ "ones", ones, "*" },
	{ "zeros", zeros, "" },
	{ "noise", noise, "*" },
	{ "unreadable", unreadable, "collection table: entry 0 at 0x80050000: not in guest memory" },
};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* What a dump writes must be what a restore reads. */
static void assert_storable(struct vm_state *vm)
{
	struct thread_state threads[FAKE_VCPUS];
	const struct vm_state *vms[] = { vm };

	strcpy(vm->boot_id, "0123cdef-89ab-4cde-8f01-23456789abcd");
	vm->vpid = 1;
	for (size_t i = 0; i < FAKE_VCPUS; i++)
		threads[i] = (struct thread_state){ .vtid = FAKE_THREAD(i) };
	vm->threads = threads;
	vm->nr_threads = FAKE_VCPUS;
	log_reset();
	if (image_check(vms, 1))
		fail_msg("%s", log_error());
	vm->threads = NULL;
	vm->nr_threads = 0;
}

static void a_guest_that_breaks_its_tables_is_dumped(void **state)
{
	const struct broken *broken = *state;
	struct fake_kvm *kvm = fake_running(shape);
	struct vm_state *vm = fake_discovered(kvm);
	size_t saved = DUMP_STEP("ITS tables decoded"), failed;
	double start = seconds();
	bool found;

	log_reset();
	assert_int_equal(fake_steps(plan_dump, saved, vm, kvm, &failed), 0);
	broken->breaks(kvm);
	assert_int_equal(fake_steps(plan_dump + saved, plan_nr_dump - saved, vm, kvm, &failed), 0);
	assert_int_equal(log_errors(), 0);
	found = fake_is_like(vm->itses[0].tables.defect, broken->defect) ||
		(vm->itses[1].tables.defect[0] && fake_is_like(vm->itses[1].tables.defect, broken->defect));
	if (!found)
		fail_msg("'%s' expected, '%s' and '%s' found", broken->defect, vm->itses[0].tables.defect,
			 vm->itses[1].tables.defect);
	assert_storable(vm);
	assert_true(seconds() - start < 60);
	vm_state_free(vm);
	fake_free(kvm);
}

/* Found by its walk, and by KVM's: whoever wonders reads that the guest has done it. */
static void kvm_refuses_what_was_broken_at_the_dump(void **state)
{
	struct trip trip = { .source = fake_running(shape) };
	size_t saved = DUMP_STEP("ITS tables decoded"), failed;

	trip.vm = fake_discovered(trip.source);
	assert_int_equal(fake_steps(plan_dump, saved, trip.vm, trip.source, &failed), 0);
	stale_event(trip.source);
	assert_int_equal(fake_steps(plan_dump + saved, plan_nr_dump - saved, trip.vm, trip.source, &failed),
			 0);
	trip.copy = fake_created(trip.source, trip.vm);
	log_reset();
	assert_int_equal(fake_steps(plan_restore, plan_nr_restore, trip.vm, trip.copy, &failed), -EINVAL);
	assert_string_equal(log_error(),
			    "vm 1: ITS 0 at 0x9000000: DeviceID 40000, EventID 1: pINTID 100 is no "
			    "LPI: so it was at the dump: the guest had overwritten its tables");
	trip_finish(&trip);
}

/* What fails before KVM has been given them is not for them to explain. */
static void what_was_broken_at_the_dump_is_not_to_blame_for_what_waited(void **state)
{
	struct trip trip = { .source = fake_running(shape) };
	size_t saved = DUMP_STEP("ITS tables decoded"), failed;

	trip.vm = fake_discovered(trip.source);
	assert_int_equal(fake_steps(plan_dump, saved, trip.vm, trip.source, &failed), 0);
	stale_event(trip.source);
	assert_int_equal(fake_steps(plan_dump + saved, plan_nr_dump - saved, trip.vm, trip.source, &failed),
			 0);
	trip.copy = fake_created(trip.source, trip.vm);
	trip.copy->remote.can_wait = true;
	trip.copy->fail_like = "its 1: SET GITS_CWRITER*";
	trip.copy->fail_times = 1;
	trip.copy->fail_errno = EBUSY;
	log_reset();
	assert_int_equal(trip_restore(&trip), -EBUSY);
	assert_true(log_has("vm 1: ITS registers: KVM_SET_DEVICE_ATTR GITS_CWRITER"));
	assert_false(log_has("so it was at the dump"));
	trip_finish(&trip);
}

/* KVM's own walk has no bounds: a host that is given these is busy for hours, or out of memory. */
static void endless_tables_are_not_given_to_kvm(void **state)
{
	static void (*const make_endless[])(struct fake_kvm *kvm) = { level_2_of_all, devices_of_one_table,
								      devices_of_one_empty_table };

	for (size_t i = 0; i < COUNT(make_endless); i++) {
		struct trip trip = { .source = fake_running(shape) };
		size_t saved = DUMP_STEP("ITS tables decoded"), failed;

		trip.vm = fake_discovered(trip.source);
		assert_int_equal(fake_steps(plan_dump, saved, trip.vm, trip.source, &failed), 0);
		make_endless[i](trip.source);
		assert_int_equal(
			fake_steps(plan_dump + saved, plan_nr_dump - saved, trip.vm, trip.source, &failed), 0);
		trip.copy = fake_created(trip.source, trip.vm);
		log_reset();
		assert_int_equal(fake_steps(plan_restore, plan_nr_restore, trip.vm, trip.copy, &failed), -E2BIG);
		assert_non_null(strstr(log_error(), "tables that keep KVM busy without end are not given to it"));
		assert_int_equal(fake_count(trip.copy, "*RESTORE_TABLES*"), 0);
		trip_finish(&trip);
	}
}

/* What the walk calls a defect, KVM refuses; and the rest it takes. */
static void the_walk_agrees_with_kvm(void **state)
{
	for (size_t i = 0; i < COUNT(breaks); i++) {
		struct trip trip = { 0 };
		size_t saved = DUMP_STEP("ITS tables decoded"), failed;
		const char *defect;
		int ret;

		/* More than the fake holds, or than is looked at. */
		if (strstr(breaks[i].name, "all") || strstr(breaks[i].name, "devices_of") ||
		    strstr(breaks[i].name, "unreadable"))
			continue;
		trip.source = fake_running(shape);
		trip.vm = fake_discovered(trip.source);
		assert_int_equal(fake_steps(plan_dump, saved, trip.vm, trip.source, &failed), 0);
		breaks[i].breaks(trip.source);
		assert_int_equal(
			fake_steps(plan_dump + saved, plan_nr_dump - saved, trip.vm, trip.source, &failed),
			0);
		trip.copy = fake_created(trip.source, trip.vm);
		ret = fake_steps(plan_restore, plan_nr_restore, trip.vm, trip.copy, &failed);
		defect = trip.vm->itses[0].tables.defect[0] ? trip.vm->itses[0].tables.defect
							    : trip.vm->itses[1].tables.defect;
		if (!ret != !defect[0])
			fail_msg("%s: '%s', and KVM says %d", breaks[i].name, defect, ret);
		trip_finish(&trip);
	}
}

#define EACH(tests, n, array, test, text)                                                                    \
	do {                                                                                                 \
		for (size_t i_ = 0; i_ < COUNT(array); i_++)                                                 \
			tests[n++] = (struct CMUnitTest){ .name = (array)[i_].text,                          \
							  .test_func = test,                                 \
							  .initial_state = (void *)&(array)[i_] };           \
	} while (0)

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(itses_and_lpis_come_back),
		cmocka_unit_test(a_dump_can_be_restored_twice),
		cmocka_unit_test(a_restored_vm_can_be_dumped_again),
		cmocka_unit_test(the_chain_has_gaps_that_an_entry_cannot_tell),
		cmocka_unit_test(each_command_is_executed_once),
		cmocka_unit_test(an_lpi_that_was_masked_is_taken_when_the_guest_enables_it),
		cmocka_unit_test(a_vm_whose_guest_has_not_enabled_lpis_comes_back),
		cmocka_unit_test(an_its_that_was_never_used_comes_back),
		cmocka_unit_test(lpi_tables_need_not_be_in_memory),
		cmocka_unit_test(registers_in_another_order_are_other_registers),
		cmocka_unit_test(tables_of_another_revision_are_not_dumped),
		cmocka_unit_test(an_its_of_another_kind_is_named),
		cmocka_unit_test(a_dump_that_fails_leaves_the_pending_tables_as_they_were),
		cmocka_unit_test(no_lpi_comes_twice_to_a_vm_that_goes_on),
		cmocka_unit_test(pending_tables_in_files_are_left_to_the_restored_vm),
		cmocka_unit_test(pending_tables_that_are_known_are_not_read_again),
		cmocka_unit_test(tables_that_cannot_be_put_back_are_told_of),
		cmocka_unit_test(what_kvm_does_not_read_may_change),
		cmocka_unit_test(memory_that_is_gone_is_a_change),
		cmocka_unit_test(kvm_refuses_what_was_broken_at_the_dump),
		cmocka_unit_test(what_was_broken_at_the_dump_is_not_to_blame_for_what_waited),
		cmocka_unit_test(the_walk_agrees_with_kvm),
		cmocka_unit_test(endless_tables_are_not_given_to_kvm),
	};
	struct CMUnitTest tests[COUNT(others) + COUNT(damages) + COUNT(dump_meanings) +
				COUNT(restore_meanings) + COUNT(changes) + COUNT(breaks)];
	size_t n = COUNT(others);

	memcpy(tests, others, sizeof(others));
	EACH(tests, n, damages, damage_is_seen, what);
	EACH(tests, n, dump_meanings, an_error_of_a_dump_is_explained, says);
	EACH(tests, n, restore_meanings, an_error_of_a_restore_is_explained, says);
	EACH(tests, n, changes, a_change_is_named_before_anything_is_written, name);
	EACH(tests, n, breaks, a_guest_that_breaks_its_tables_is_dumped, name);
	return _cmocka_run_group_tests("ITSes and LPIs", tests, n, NULL, NULL);
}
