// SPDX-License-Identifier: GPL-2.0-only
/*
 * GICv5 through a dump and a restore, against the model (test/model): both forms of the interface; what
 * a wrong order costs; every errno that the documents name; what is refused. No hardware, and no released kernel,
 * has seen this interface yet: docs/gicv5.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "fixture.h"
#include "image/image.h"
#include "testlog.h"
#include "trip.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct fake_shape shape_of(enum model_abi abi, size_t nr_vcpus, uint32_t nr_spis, uint32_t lpi_bits)
{
	return (struct fake_shape){
		.nr_vcpus = nr_vcpus, .nr_irqs = nr_spis, .v5 = true, .abi = abi, .lpi_bits = lpi_bits
	};
}

/* Small, with LPIs. */
static struct fake_kvm *small(enum model_abi abi)
{
	return fake_running(shape_of(abi, 2, 32, 8));
}

/* ---- round trips ---- */

static void all_of_it_comes_back(void **state)
{
	static const size_t nr_vcpus[] = { 1, 2, 8 };
	static const uint32_t nr_spis[] = { 32, 1024 }, lpi_bits[] = { 0, 8, 16 };

	for (int abi = MODEL_MERGED; abi <= MODEL_V1; abi++)
		for (size_t v = 0; v < COUNT(nr_vcpus); v++)
			for (size_t s = 0; s < COUNT(nr_spis); s++)
				for (size_t l = 0; l < COUNT(lpi_bits); l++)
					trip_assert_comes_back(
						fake_running(shape_of(abi, nr_vcpus[v], nr_spis[s], lpi_bits[l])));
}

/* The series of April 2026 allows for an IRS without SPIs. */
static void an_irs_without_spis_comes_back(void **state)
{
	trip_assert_comes_back(fake_running(shape_of(MODEL_V1, 2, 0, 8)));
	trip_assert_comes_back(fake_running(shape_of(MODEL_V1, 2, 0, 0)));
}

/* No vCPU has run: KVM lets the selectors be written, and they are what they were afterwards. */
static void selectors_are_put_back(void **state)
{
	for (int abi = MODEL_MERGED; abi <= MODEL_V1; abi++) {
		struct fake_kvm *kvm = small(abi);
		struct trip trip;

		kvm->ran = false;
		trip = trip_dump(kvm);
		assert_int_equal(trip.vm->vgic_v5->pe_cr0.nr, 2);
		assert_int_equal(trip.vm->vgic_v5->spi_cfgr.nr, 32);
		assert_int_equal(kvm->v5->spi_selr, 3);
		assert_int_equal(kvm->v5->pe_selr, kvm->vcpus[0].id);
		for (uint32_t i = 0; i < 32; i++)
			assert_int_equal(trip.vm->vgic_v5->spi_cfgr.v[i], kvm->v5->is_level[i]);
		for (uint32_t i = 0; i < 2; i++) /* by vCPU id: of another one there is none */
			assert_int_equal(trip.vm->vgic_v5->pe_cr0.v[i], 1);
		assert_int_equal(trip_restore(&trip), 0);
		trip_assert_same(&trip);
		trip_finish(&trip);
	}
}

/* Whatever becomes of a walk, the guest finds its selectors as it left them, and nothing is made up. */
static void a_walk_that_fails_is_undone(void **state)
{
	static const char *const calls[] = { "gic: GET IRS_REGS SPI_CFGR", "gic: GET IRS_REGS PE_CR0",
					     "gic: SET IRS_REGS SPI_SELR = 0" };
	static const int errnos[] = { EBUSY, EFAULT, ENXIO };

	for (size_t c = 0; c < COUNT(calls); c++)
		for (size_t e = 0; e < COUNT(errnos); e++) {
			struct fake_kvm *kvm = small(MODEL_V1), *twin = small(MODEL_V1);
			struct vm_state *vm = fake_discovered(kvm);

			log_reset();
			kvm->fail_like = calls[c];
			kvm->fail_times = 1;
			kvm->fail_errno = errnos[e];
			assert_int_equal(plan_run(plan_dump, plan_nr_dump, vm, &kvm->remote), -errnos[e]);
			assert_true(log_errors() > 0);
			assert_null(fake_diff(twin, kvm));
			vm_state_free(vm);
			fake_free(kvm);
			fake_free(twin);
		}
}

/* One that has: KVM answers EBUSY, which costs nothing. */
static void a_vm_that_has_run_is_dumped_without_the_walks(void **state)
{
	struct trip trip = trip_dump(small(MODEL_MERGED));

	assert_int_equal(trip.vm->vgic_v5->pe_cr0.nr, 0);
	assert_int_equal(trip.vm->vgic_v5->spi_cfgr.nr, 0);
	assert_int_equal(log_errors(), 0);
	trip_finish(&trip);
}

static void each_form_is_told_by_itself(void **state)
{
	struct trip merged = trip_dump(small(MODEL_MERGED)), v1 = trip_dump(small(MODEL_V1));

	assert_int_equal(merged.vm->vgic_v5->form, VGIC_V5_DESCRIPTOR);
	assert_int_equal(v1.vm->vgic_v5->form, VGIC_V5_RAW);
	trip_finish(&merged);
	trip_finish(&v1);
}

/* Also one that the guest has made from nothing: it is told before there is state to lose. */
static void another_form_is_refused(void **state)
{
	for (int abi = MODEL_MERGED; abi <= MODEL_V1; abi++) {
		struct trip trip = trip_dump(small(abi));
		struct model_host host = trip.source->v5->host;

		host.abi = abi == MODEL_V1 ? MODEL_MERGED : MODEL_V1;
		fake_v5_destroy(trip.copy);
		fake_v5_create(trip.copy, &host);
		assert_int_equal(trip_restore(&trip), -EINVAL);
		assert_true(log_has("restore on a kernel like that of the dump"));
		assert_int_equal(fake_count(trip.copy, "gic: SET IRS_REGS *"), 0);
		assert_false(trip.copy->ran);
		trip_finish(&trip);
	}
}

/* ---- the documented sequences ---- */

/* In the record of @kvm, each line like the first pattern is before each like the second. */
static void assert_before(const struct fake_kvm *kvm, const char *first, const char *then)
{
	if (fake_last(kvm, first) < 0 || fake_first(kvm, then) < 0)
		fail_msg("'%s' or '%s' is not in the record", first, then);
	if (fake_last(kvm, first) >= fake_first(kvm, then))
		fail_msg("'%s' is not before '%s'", first, then);
}

static void the_tables_are_saved_before_the_registers(void **state)
{
	struct trip trip = trip_dump(small(MODEL_MERGED));

	assert_true(fake_last(trip.source, "gic: GET IST") < fake_last(trip.source, "gic: GET IRS_REGS IDR0"));
	assert_before(trip.source, "gic: GET IST", "gic: GET IRS_REGS CR0");
	assert_before(trip.source, "gic: GET IRS_REGS CR0", "gic: GET CPU_SYSREGS *");
	assert_int_equal(fake_count(trip.source, "gic: GET IST"), 2);
	trip_finish(&trip);
}

static void the_restore_is_in_the_documented_order(void **state)
{
	static const char *const ids[] = {
		"gic: SET ADDR 6 *",	       "gic: SET NR_IRQS *",	    "gic: SET CTRL INIT*",
		"gic: SET IRS_REGS IDR0 *",    "gic: SET IRS_REGS IDR1 *",  "gic: SET IRS_REGS IDR2 *",
		"gic: SET IRS_REGS IDR5 *",    "gic: SET IRS_REGS IDR6 *",  "gic: SET IRS_REGS IDR7 *",
		"gic: SET IRS_REGS IST_CFGR *", "gic: SET IRS_REGS IST_BASER *",
	};
	static const char *const regs[] = { "gic: SET IRS_REGS CR1 *", "gic: SET IRS_REGS CR0 *" };
	static const char *const never[] = {
		"gic: SET IRS_REGS *STATUSR*", "gic: SET IRS_REGS IIDR*", "gic: SET IRS_REGS AIDR*",
	};

	for (int abi = MODEL_MERGED; abi <= MODEL_V1; abi++) {
		const char *first = abi == MODEL_MERGED ? regs[0] : "gic: SET IST";
		const char *then = abi == MODEL_MERGED ? "gic: SET IST" : regs[0];
		struct trip trip = trip_dump(small(abi));

		assert_int_equal(trip_restore(&trip), 0);
		for (size_t i = 1; i < COUNT(ids); i++) {
			assert_before(trip.copy, ids[i - 1], ids[i]);
			assert_int_equal(fake_count(trip.copy, ids[i]), 1);
		}
		assert_before(trip.copy, ids[COUNT(ids) - 1], first);
		assert_before(trip.copy, first, then);
		assert_before(trip.copy, regs[0], regs[1]);
		/* Selectors before too, to reach what they select. */
		assert_true(fake_last(trip.copy, regs[1]) < fake_last(trip.copy, "gic: SET IRS_REGS SPI_SELR *"));
		assert_true(fake_last(trip.copy, "gic: SET IRS_REGS SPI_SELR *") <
			    fake_last(trip.copy, "gic: SET IRS_REGS PE_SELR *"));
		assert_before(trip.copy, "gic: SET IRS_REGS *", "gic: SET CPU_SYSREGS *");
		assert_before(trip.copy, "gic: SET IST", "gic: SET CPU_SYSREGS *");
		assert_before(trip.copy, "gic: SET CPU_SYSREGS *", "vcpu ?: KVM_RUN*");
		for (size_t i = 0; i < COUNT(never); i++)
			assert_int_equal(fake_count(trip.copy, never[i]), 0);
		trip_finish(&trip);
	}
}

/* ---- the model can fail: the plan, with one step elsewhere ---- */

struct moved {
	enum model_abi abi;
	uint32_t lpi_bits;
	const char *step, *behind; /* of plan_restore */
	int err;
};

/* Of two with a name the one that is for @vm. */
static const struct plan_step *step_named(const char *name, const struct vm_state *vm)
{
	for (size_t i = 0; i < plan_nr_restore; i++)
		if (!strcmp(plan_restore[i].name, name) && plan_applies(&plan_restore[i], vm))
			return &plan_restore[i];
	fail_msg("there is no step '%s'", name);
	return NULL;
}

/* plan_restore with @step behind @behind, or without it where that is NULL. */
static size_t permute(const struct vm_state *vm, const char *step, const char *behind, struct plan_step *plan)
{
	const struct plan_step *moved = step_named(step, vm), *after = behind ? step_named(behind, vm) : NULL;
	size_t n = 0;

	for (size_t i = 0; i < plan_nr_restore; i++) {
		if (&plan_restore[i] != moved)
			plan[n++] = plan_restore[i];
		if (&plan_restore[i] == after)
			plan[n++] = *moved;
	}
	return n;
}

static int restore_permuted(struct trip *trip, const char *step, const char *behind)
{
	struct plan_step *plan = calloc(plan_nr_restore + 1, sizeof(*plan));
	size_t nr, failed;
	int ret;

	assert_non_null(plan);
	nr = permute(trip->vm, step, behind, plan);
	ret = fake_steps(plan, nr, trip->vm, trip->copy, &failed);
	free(plan);
	return ret;
}

static void every_order_rule_is_the_models_too(void **state)
{
	static const struct moved moved[] = {
		{ MODEL_MERGED, 8, "GICv5 addresses", "IRS ID registers", -EBUSY },
		{ MODEL_V1, 8, "GICv5 addresses", "IRS ID registers", -EBUSY },
		{ MODEL_MERGED, 8, "IRS ID registers", "GICv5 ISTs", -EINVAL }, /* LPIs of no table */
		{ MODEL_MERGED, 0, "IRS ID registers", "GICv5 ISTs", -EPROTO },
		{ MODEL_V1, 8, "IRS ID registers", "GICv5 ISTs", -EPROTO },
		{ MODEL_V1, 8, "GICv5 ISTs", "IRS registers, after the ISTs", -EPROTO },
		{ MODEL_V1, 8, "memslots", "GICv5 ISTs", -EFAULT },
		{ MODEL_MERGED, 8, "GICv5 ISTs", "pending exits", -EINVAL },		/* of KVM_RUN */
		{ MODEL_MERGED, 0, "GICv5 ISTs", "pending exits", -EBUSY },
		{ MODEL_MERGED, 0, "IRS ID registers", "pending exits", -EBUSY },
		{ MODEL_MERGED, 8, "IRS registers", "GICv5 ISTs", -EPROTO },
		{ MODEL_MERGED, 8, "IRS registers", "pending exits", -EBUSY },
		{ MODEL_MERGED, 8, "GICv5 CPU interfaces", "pending exits", -EBUSY },
		{ MODEL_V1, 8, "GICv5 ISTs", "pending exits", -EPROTO },
	};

	for (size_t i = 0; i < COUNT(moved); i++) {
		struct fake_kvm *source = fake_running(shape_of(moved[i].abi, 4, 32, moved[i].lpi_bits));
		struct trip trip;
		int ret;

		fake_drop_log(source, 0); /* "dirty logs" would miss the memslots first */
		trip = trip_dump(source);
		ret = restore_permuted(&trip, moved[i].step, moved[i].behind);

		if (ret != moved[i].err)
			fail_msg("%s behind %s (abi %d, %u LPI bits): %d", moved[i].step, moved[i].behind,
				 moved[i].abi, moved[i].lpi_bits, ret);
		trip_finish(&trip);
	}
}

/* Left out, each is missed: by the model, or in the copy. */
static void every_step_is_needed(void **state)
{
	for (int abi = MODEL_MERGED; abi <= MODEL_V1; abi++)
		for (size_t i = 0; i < plan_nr_restore; i++) {
			struct trip trip = trip_dump(small(abi));
			const struct plan_step *step = &plan_restore[i];

			if (step->gic != ANY_GIC && plan_applies(step, trip.vm) && step->run != vgic_v5_check_ids &&
			    !restore_permuted(&trip, step->name, NULL) && !fake_diff(trip.source, trip.copy))
				fail_msg("without '%s' (abi %d) nothing is missed", step->name, abi);
			trip_finish(&trip);
		}
}

/* The documents' rules that a step keeps within itself, call by call. */
static void every_rule_within_a_step_is_the_models_too(void **state)
{
	struct trip trip = trip_dump(small(MODEL_MERGED));
	struct fake_kvm *kvm = trip.copy;

	assert_int_equal(fake_v5_set(kvm, 10, 0x084, 0), -EBUSY); /* before INIT */
	assert_int_equal(fake_v5_set(kvm, 4, 0, 0), 0);
	assert_int_equal(fake_v5_set(kvm, 3, 0, 64), -EBUSY);	  /* NR_IRQS after INIT */
	assert_int_equal(fake_v5_set(kvm, 10, 0x084, 0), -ENXIO); /* without an address */
	assert_int_equal(fake_v5_set(kvm, 0, 6, 0x8000000), 0);
	assert_int_equal(fake_v5_set(kvm, 0, 6, 0x8000000), -EEXIST);
	assert_int_equal(fake_v5_set(kvm, 10, 0x180, FAKE_LPI_IST | 1), 0);
	assert_int_equal(model_first_run(kvm->v5, 0), -EINVAL); /* its table is not there yet */
	trip_finish(&trip);

	trip = trip_dump(small(MODEL_V1));
	kvm = trip.copy;
	assert_int_equal(fake_v5_set(kvm, 0, 6, 0x8000000), 0);
	assert_int_equal(fake_v5_set(kvm, 4, 0, 0), 0);
	assert_int_equal(fake_v5_set(kvm, 10, 0x180, FAKE_LPI_IST | 1), -EINVAL); /* before IST_CFGR */
	trip_finish(&trip);
}

/* ---- errnos ---- */

struct errno_case {
	const char *call; /* of the record */
	int err;
	const char *what, *reason; /* that the log says */
};

static void assert_logged(const struct errno_case *c)
{
	char what[96], number[24];

	snprintf(what, sizeof(what), "KVM_%.3s_DEVICE_ATTR %s", strchr(c->call, ' ') + 1, c->what);
	snprintf(number, sizeof(number), "(errno %d)", c->err);
	if (!log_has(what) || !log_has(c->reason) || !log_has(number))
		fail_msg("'%s' failing with %d: '%s', '%s' and '%s' expected in the log", c->call, c->err, what,
			 c->reason, number);
}

static void each_errno_of_a_save_is_explained(void **state)
{
	static const struct errno_case cases[] = {
		{ "gic: GET IST", EBUSY, "KVM_DEV_ARM_VGIC_GRP_IST", "try again" },
		{ "gic: GET IST", ETIMEDOUT, "KVM_DEV_ARM_VGIC_GRP_IST", "in time" },
		{ "gic: GET IST", ENOENT, "KVM_DEV_ARM_VGIC_GRP_IST", "no SPI IST" },
		{ "gic: GET IST", EFAULT, "KVM_DEV_ARM_VGIC_GRP_IST", "IRS_IST_BASER" },
		{ "gic: GET IST", ENXIO, "KVM_DEV_ARM_VGIC_GRP_IST", "KVM has no LPI IST" },
		{ "gic: GET IST", ENOMEM, "KVM_DEV_ARM_VGIC_GRP_IST", "no memory" },
		{ "gic: GET IRS_REGS CR0", EBUSY, "IRS_CR0", "a vCPU runs" },
		{ "gic: GET IRS_REGS CR1", ENXIO, "IRS_CR1", "no such register" },
		{ "gic: GET IRS_REGS IST_CFGR", EINVAL, "IRS_IST_CFGR", "this host's KVM" },
		{ "gic: GET IRS_REGS IDR0", EFAULT, "IRS_IDR0", "cannot be used" },
		{ "gic: GET IRS_REGS CR0", EINVAL, "IRS_CR0", "this host's KVM" },
		{ "gic: GET CPU_SYSREGS 1 ICC_APR_EL1", EBUSY, "ICC_APR_EL1", "a vCPU runs" },
		{ "gic: GET CPU_SYSREGS 0 ICC_PCR_EL1", ENXIO, "ICC_PCR_EL1", "no such register" },
		{ "gic: GET CPU_SYSREGS 0 ICC_PCR_EL1", ENOENT, "ICC_PCR_EL1", "no such register" },
		{ "gic: GET CPU_SYSREGS 0 ICC_PCR_EL1", EINVAL, "ICC_PCR_EL1", "this host's KVM" },
		{ "gic: GET CPU_SYSREGS 0 ICC_PCR_EL1", EFAULT, "ICC_PCR_EL1", "cannot be used" },
		{ "gic: GET ADDR 6", ENXIO, "KVM_VGIC_V5_ADDR_TYPE_IRS", "not set up" },
		{ "gic: GET ADDR 6", EFAULT, "KVM_VGIC_V5_ADDR_TYPE_IRS", "cannot be used" },
		{ "gic: GET NR_IRQS", EFAULT, "KVM_DEV_ARM_VGIC_GRP_NR_IRQS", "cannot be used" },
		{ "gic: GET CTRL USERSPACE_PPIS", ENXIO, "KVM_DEV_ARM_VGIC_USERSPACE_PPIS", "not set up" },
		{ "gic: GET CTRL USERSPACE_PPIS", EFAULT, "KVM_DEV_ARM_VGIC_USERSPACE_PPIS", "cannot be used" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct fake_kvm *kvm = small(MODEL_MERGED), *twin = small(MODEL_MERGED);
		struct vm_state *vm = fake_discovered(kvm);

		log_reset();
		kvm->fail_like = cases[i].call;
		kvm->fail_times = 1;
		kvm->fail_errno = cases[i].err;
		assert_int_equal(plan_run(plan_dump, plan_nr_dump, vm, &kvm->remote), -cases[i].err);
		assert_logged(&cases[i]);
		assert_null(fake_diff(twin, kvm)); /* the VM goes on as it was */
		vm_state_free(vm);
		fake_free(kvm);
		fake_free(twin);
	}
}

/* What only the tables' own save can meet: it takes too long, or the IRS does not stay quiet. */
static void an_irs_that_is_not_quiet_is_explained(void **state)
{
	static const struct {
		int err;
		const char *reason;
	} cases[] = { { ETIMEDOUT, "the IRS did not write its tables out in time: try again" },
		      { EBUSY, "a vCPU runs, or the IRS went on changing its tables while they were read: try again" } };

	for (size_t c = 0; c < COUNT(cases); c++)
		for (size_t moment = 0; moment < 3; moment++) {
			struct fake_kvm *kvm = small(MODEL_MERGED), *twin = small(MODEL_MERGED);
			struct vm_state *vm = fake_discovered(kvm);

			log_reset();
			kvm->fail_quiesce[moment] = -cases[c].err;
			assert_int_equal(plan_run(plan_dump, plan_nr_dump, vm, &kvm->remote), -cases[c].err);
			assert_true(log_has("KVM_GET_DEVICE_ATTR KVM_DEV_ARM_VGIC_GRP_IST"));
			assert_true(log_has(cases[c].reason));
			assert_int_equal(fake_count(kvm, "gic: GET IST"), 2);
			assert_null(fake_diff(twin, kvm)); /* the room that held the tables is room again */
			vm_state_free(vm);
			fake_free(kvm);
			fake_free(twin);
		}
}

/* A kernel of the other form that refuses the probe once: it takes the descriptor for a buffer. */
static void a_form_that_changes_is_refused(void **state)
{
	struct fake_kvm *kvm = small(MODEL_V1);
	struct vm_state *vm = fake_discovered(kvm);

	log_reset();
	kvm->fail_like = "gic: GET IST";
	kvm->fail_times = 1;
	kvm->fail_errno = EINVAL;
	assert_int_equal(plan_run(plan_dump, plan_nr_dump, vm, &kvm->remote), -EIO);
	assert_true(log_has("took a descriptor for a buffer"));
	vm_state_free(vm);
	fake_free(kvm);
}

static void assert_refused(struct fake_kvm *kvm, int err, const char *said)
{
	struct vm_state *vm = fake_discovered(kvm);

	log_reset();
	assert_int_equal(plan_run(plan_dump, plan_nr_dump, vm, &kvm->remote), err);
	if (!log_has(said))
		fail_msg("'%s' expected, '%s' found", said, log_error());
	vm_state_free(vm);
	fake_free(kvm);
}

static void one_that_is_not_set_up_is_refused_by_name(void **state)
{
	struct fake_kvm *kvm = small(MODEL_MERGED);

	kvm->v5->irs_base = UINT64_MAX;
	assert_refused(kvm, -ENOTSUP, "a GICv5 that has no address");
	kvm = small(MODEL_MERGED);
	kvm->v5->initialised = false;
	assert_refused(kvm, -ENOTSUP, "a GICv5 that was not initialised");
}

/* Of v1: the guest says where, and may say anything. */
static void an_lpi_ist_outside_of_guest_memory_is_refused(void **state)
{
	struct fake_kvm *kvm = small(MODEL_V1);

	kvm->v5->ist_baser = 0x7000000000 | 1;
	assert_refused(kvm, -EFAULT, "the LPI IST is not in guest memory (IRS_IST_BASER)");
}

static void more_lpis_than_there_can_be_are_refused(void **state)
{
	struct fake_kvm *kvm = small(MODEL_MERGED);

	kvm->v5->ist_cfgr = 31;
	assert_refused(kvm, -E2BIG, "IRS_IST_CFGR.LPI_ID_BITS 31, at most 16 expected");
}

/* The refusal of a descriptor is how its form is told: the second one is an error. */
static void a_descriptor_that_is_refused_is_explained(void **state)
{
	struct fake_kvm *kvm = small(MODEL_MERGED);
	struct vm_state *vm = fake_discovered(kvm);

	log_reset();
	kvm->fail_like = "gic: GET IST";
	kvm->fail_times = 2;
	kvm->fail_errno = EINVAL;
	assert_int_equal(plan_run(plan_dump, plan_nr_dump, vm, &kvm->remote), -EINVAL);
	assert_true(log_has("IRS_IST_CFGR describes no LPI IST"));
	vm_state_free(vm);
	fake_free(kvm);
}

static void each_errno_of_a_restore_is_explained(void **state)
{
	static const struct errno_case cases[] = {
		{ "gic: SET IST", EBUSY, "KVM_DEV_ARM_VGIC_GRP_IST", "has run" },
		{ "gic: SET IST", EINVAL, "KVM_DEV_ARM_VGIC_GRP_IST", "IRS_IST_CFGR" },
		{ "gic: SET IST", ENOENT, "KVM_DEV_ARM_VGIC_GRP_IST", "no SPI IST" },
		{ "gic: SET IST", EFAULT, "KVM_DEV_ARM_VGIC_GRP_IST", "IRS_IST_BASER" },
		{ "gic: SET IST", ENXIO, "KVM_DEV_ARM_VGIC_GRP_IST", "belong to" },
		{ "gic: SET IST", ENOMEM, "KVM_DEV_ARM_VGIC_GRP_IST", "no memory" },
		{ "gic: SET IST", ETIMEDOUT, "KVM_DEV_ARM_VGIC_GRP_IST", "in time" },
		{ "gic: SET IRS_REGS CR0 *", EBUSY, "IRS_CR0", "has run" },
		{ "gic: SET IRS_REGS IDR2 *", EINVAL, "IRS_IDR2", "this host's KVM" },
		{ "gic: SET IRS_REGS IST_BASER *", ENOMEM, "IRS_IST_BASER", "no memory" },
		{ "gic: SET IRS_REGS SPI_SELR *", ENXIO, "IRS_SPI_SELR", "no such register" },
		{ "gic: SET IRS_REGS CR1 *", EFAULT, "IRS_CR1", "cannot be used" },
		{ "gic: SET IRS_REGS IST_CFGR *", EINVAL, "IRS_IST_CFGR", "this host's KVM" },
		{ "gic: SET IRS_REGS IST_BASER *", ETIMEDOUT, "IRS_IST_BASER", "in time" },
		{ "gic: SET CPU_SYSREGS 1 ICC_CR0_EL1 *", EBUSY, "ICC_CR0_EL1", "has run" },
		{ "gic: SET CPU_SYSREGS 1 ICC_CR0_EL1 *", ENXIO, "ICC_CR0_EL1", "no such register" },
		{ "gic: SET CPU_SYSREGS 1 ICC_CR0_EL1 *", ENOENT, "ICC_CR0_EL1", "no such register" },
		{ "gic: SET CPU_SYSREGS 1 ICC_CR0_EL1 *", EINVAL, "ICC_CR0_EL1", "this host's KVM" },
		{ "gic: SET CPU_SYSREGS 1 ICC_CR0_EL1 *", EFAULT, "ICC_CR0_EL1", "cannot be used" },
		{ "gic: SET ADDR 6 *", E2BIG, "KVM_VGIC_V5_ADDR_TYPE_IRS", "IPA size" },
		{ "gic: SET ADDR 6 *", EEXIST, "KVM_VGIC_V5_ADDR_TYPE_IRS", "already" },
		{ "gic: SET ADDR 6 *", EINVAL, "KVM_VGIC_V5_ADDR_TYPE_IRS", "its address" },
		{ "gic: SET ADDR 6 *", ENXIO, "KVM_VGIC_V5_ADDR_TYPE_IRS", "not set up" },
		{ "gic: SET ADDR 6 *", EFAULT, "KVM_VGIC_V5_ADDR_TYPE_IRS", "cannot be used" },
		{ "gic: SET NR_IRQS *", EFAULT, "KVM_DEV_ARM_VGIC_GRP_NR_IRQS", "cannot be used" },
		{ "gic: SET NR_IRQS *", EINVAL, "KVM_DEV_ARM_VGIC_GRP_NR_IRQS", "number of SPIs" },
		{ "gic: SET NR_IRQS *", EBUSY, "KVM_DEV_ARM_VGIC_GRP_NR_IRQS", "set up already" },
		{ "gic: SET CTRL INIT*", ENODEV, "KVM_DEV_ARM_VGIC_CTRL_INIT", "no vCPU" },
		{ "gic: SET CTRL INIT*", ENOSPC, "KVM_DEV_ARM_VGIC_CTRL_INIT", "VM id" },
		{ "gic: SET CTRL INIT*", ENOMEM, "KVM_DEV_ARM_VGIC_CTRL_INIT", "no memory" },
		{ "gic: SET CTRL INIT*", EBUSY, "KVM_DEV_ARM_VGIC_CTRL_INIT", "being created" },
		{ "gic: SET CTRL INIT*", ETIMEDOUT, "KVM_DEV_ARM_VGIC_CTRL_INIT", "in time" },
		{ "gic: SET CTRL INIT*", EINVAL, "KVM_DEV_ARM_VGIC_CTRL_INIT", "nested" },
		{ "gic: SET CTRL INIT*", E2BIG, "KVM_DEV_ARM_VGIC_CTRL_INIT", "VPEs" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct trip trip = trip_dump(small(MODEL_MERGED));

		trip.copy->fail_like = cases[i].call;
		trip.copy->fail_times = 1;
		trip.copy->fail_errno = cases[i].err;
		assert_int_equal(trip_restore(&trip), -cases[i].err);
		assert_logged(&cases[i]);
		assert_false(trip.copy->ran);
		trip_finish(&trip);
	}
}

/* ---- another host ---- */

static void an_irs_that_this_host_cannot_be_is_named(void **state)
{
	static const struct {
		struct model_host host;
		const char *said; /* NULL: it can be */
	} cases[] = {
		{ { MODEL_MERGED, 14, 8, 5, 5, 32, 40 }, "IRS_IDR2.ID_BITS is 16 in the image, at most 14 on this host" },
		{ { MODEL_MERGED, 16, 9, 5, 5, 32, 40 },
		  "IRS_IDR2.MIN_LPI_ID_BITS is 8 in the image, at least 9 on this host" },
		{ { MODEL_MERGED, 16, 8, 4, 5, 32, 40 },
		  "IRS_IDR1.PRIORITY_BITS is 4 in the image, at most 3 on this host" },
		{ { MODEL_MERGED, 16, 6, 5, 6, 32, 40 }, NULL },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct trip trip = trip_dump(small(MODEL_MERGED));

		fake_v5_destroy(trip.copy);
		fake_v5_create(trip.copy, &cases[i].host);
		assert_int_equal(trip_restore(&trip), cases[i].said ? -EINVAL : 0);
		if (cases[i].said) {
			assert_true(log_has(cases[i].said));
			assert_int_equal(fake_count(trip.copy, "gic: SET IRS_REGS *"), 0);
			assert_int_equal(fake_count(trip.copy, "gic: SET IST"), 0);
		} else {
			trip_assert_same(&trip);
		}
		trip_finish(&trip);
	}
}

/* Every field that KVM holds against this host's, one after the other. */
static void each_field_that_differs_is_named(void **state)
{
	static const struct {
		const char *reg, *field;
		unsigned int bit;
	} fields[] = {
		{ "IRS_IDR0", "INT_DOM", 0 },	   { "IRS_IDR0", "VIRT", 6 },	     { "IRS_IDR0", "ONE_N", 7 },
		{ "IRS_IDR0", "VIRT_ONE_N", 8 },   { "IRS_IDR0", "SETLPI", 9 },	     { "IRS_IDR0", "MEC", 10 },
		{ "IRS_IDR0", "MPAM", 11 },	   { "IRS_IDR0", "SWE", 12 },	     { "IRS_IDR1", "IAFFID_BITS", 18 },
		{ "IRS_IDR2", "LPI", 5 },	   { "IRS_IDR2", "IST_LEVELS", 10 }, { "IRS_IDR2", "ISTMD", 14 },
		{ "IRS_IDR2", "ISTMD_SZ", 15 },	   { "IRS_IDR5", "SPI_RANGE", 9 },   { "IRS_IDR6", "SPI_IRS_RANGE", 9 },
		{ "IRS_IDR7", "SPI_BASE", 0 },
	};

	for (size_t f = 0; f < COUNT(fields); f++) {
		struct trip trip = trip_dump(small(MODEL_MERGED));
		struct vgic_values *values = (struct vgic_values *)vgic_values_of(
			vgic_v5_id_regs, vgic_v5_nr_id_regs, trip.vm->vgic_v5->id, fields[f].reg);
		char said[48];

		values->v[0] ^= 1ull << fields[f].bit;
		assert_int_equal(trip_restore(&trip), -EINVAL);
		snprintf(said, sizeof(said), "%s.%s is ", fields[f].reg, fields[f].field);
		if (!log_has(said))
			fail_msg("'%s' expected, '%s' found", said, log_error());
		assert_int_equal(fake_count(trip.copy, "gic: SET IRS_REGS *"), 0);
		trip_finish(&trip);
	}
}

static void errnos_of_the_comparison_are_explained(void **state)
{
	static const struct errno_case cases[] = {
		{ "gic: GET CTRL USERSPACE_PPIS", EFAULT, "KVM_DEV_ARM_VGIC_USERSPACE_PPIS", "cannot be used" },
		{ "gic: GET IRS_REGS IDR0", ENXIO, "IRS_IDR0", "no such register" },
		{ "gic: GET IRS_REGS IIDR", EFAULT, "IRS_IIDR", "cannot be used" },
		{ "gic: GET IST", EBUSY, "KVM_DEV_ARM_VGIC_GRP_IST", "a vCPU runs" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct trip trip = trip_dump(small(MODEL_MERGED));

		trip.copy->fail_like = cases[i].call;
		trip.copy->fail_times = 1;
		trip.copy->fail_errno = cases[i].err;
		assert_int_equal(trip_restore(&trip), -cases[i].err);
		assert_logged(&cases[i]);
		assert_int_equal(fake_count(trip.copy, "gic: SET IRS_REGS *"), 0);
		trip_finish(&trip);
	}
}

static void another_version_is_told(void **state)
{
	struct trip trip = trip_dump(small(MODEL_MERGED));
	struct vgic_values *values = (struct vgic_values *)vgic_values_of(vgic_v5_irs_regs, vgic_v5_nr_irs_regs,
									   trip.vm->vgic_v5->irs, "IRS_IIDR");

	values->v[0] ^= 0x1000;
	assert_int_equal(trip_restore(&trip), 0);
	assert_true(log_has("IRS_IIDR is 0x4b0043b on this host, was 0x4b0143b"));
	trip_finish(&trip);
}

/* HWU is the hardware's own. */
static void hwu_is_not_written_back(void **state)
{
	struct trip trip = trip_dump(small(MODEL_MERGED));

	assert_int_equal(trip_restore(&trip), 0);
	for (uint32_t i = 0; i < 32; i++)
		assert_int_equal(trip.copy->v5->spi[i] & 0x600, 0);
	trip_assert_same(&trip);
	trip_finish(&trip);
}

/* Of v1, which has no NR_IRQS: the host's number of SPIs is what it is. */
static void another_number_of_spis_is_named(void **state)
{
	struct trip trip = trip_dump(small(MODEL_V1));
	struct model_host host = trip.source->v5->host;

	host.nr_spis = 64;
	fake_v5_destroy(trip.copy);
	fake_v5_create(trip.copy, &host);
	assert_int_equal(trip_restore(&trip), -EINVAL);
	assert_true(log_has("IRS_IDR6.SPI_IRS_RANGE is 32 in the image, 64 on this host"));
	trip_finish(&trip);
}

static void other_ppis_are_refused(void **state)
{
	struct trip trip = trip_dump(small(MODEL_MERGED));

	trip.vm->vgic_v5->userspace_ppis[0] |= 0x10;
	assert_int_equal(trip_restore(&trip), -EINVAL);
	assert_true(log_has("the VMM may drive PPIs"));
	trip_finish(&trip);

	trip = trip_dump(small(MODEL_MERGED));
	trip.vm->vgic_v5->userspace_ppis[1] |= 1;
	assert_int_equal(trip_restore(&trip), -EINVAL);
	assert_true(log_has("the VMM may drive PPIs"));
	trip_finish(&trip);
}

/* Of v1: the table is in guest memory, where anybody could have changed it meanwhile. */
static void a_changed_lpi_ist_is_named(void **state)
{
	struct trip trip = trip_dump(small(MODEL_V1));

	*fake_map_byte(trip.copy, fake_map_at(trip.copy, FAKE_RAM_HVA, 4), FAKE_RAM_HVA + 4 * 77) ^= 1;
	assert_int_equal(trip_restore(&trip), -EINVAL);
	assert_true(log_has("LPI 77 is"));
	assert_int_equal(fake_count(trip.copy, "gic: SET IST"), 0);
	trip_finish(&trip);
}

/* ---- images ---- */

static void it_is_in_the_image(void **state)
{
	for (int abi = MODEL_MERGED; abi <= MODEL_V1; abi++) {
		struct fake_kvm *source = fake_running(shape_of(abi, 8, 1024, 16));
		struct vm_state *vm = fake_dump(source), *back = trip_through_images(vm);
		const struct vgic_v5_state *a = vm->vgic_v5, *b = back->vgic_v5;
		struct trip trip = { .source = source, .vm = back };

		assert_non_null(b);
		assert_null(back->vgic);
		assert_int_equal(b->form, a->form);
		assert_int_equal(b->nr_spis, 1024);
		assert_int_equal(b->irs_base, a->irs_base);
		assert_memory_equal(b->userspace_ppis, a->userspace_ppis, sizeof(a->userspace_ppis));
		assert_int_equal(b->spi.nr, 1024);
		assert_int_equal(b->lpi.nr, 65536);
		assert_memory_equal(b->spi.iste, a->spi.iste, 1024 * 4);
		assert_memory_equal(b->lpi.iste, a->lpi.iste, 65536 * 4);
		vm_state_free(vm);
		trip.copy = fake_created(trip.source, trip.vm);
		assert_int_equal(trip_restore(&trip), 0);
		trip_assert_same(&trip);
		trip_finish(&trip);
	}
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_of_it_comes_back),
		TEST(an_irs_without_spis_comes_back),
		TEST(selectors_are_put_back),
		TEST(a_walk_that_fails_is_undone),
		TEST(a_vm_that_has_run_is_dumped_without_the_walks),
		TEST(each_form_is_told_by_itself),
		TEST(another_form_is_refused),
		TEST(the_tables_are_saved_before_the_registers),
		TEST(the_restore_is_in_the_documented_order),
		TEST(every_order_rule_is_the_models_too),
		TEST(every_step_is_needed),
		TEST(every_rule_within_a_step_is_the_models_too),
		TEST(each_errno_of_a_save_is_explained),
		TEST(an_irs_that_is_not_quiet_is_explained),
		TEST(a_form_that_changes_is_refused),
		TEST(one_that_is_not_set_up_is_refused_by_name),
		TEST(an_lpi_ist_outside_of_guest_memory_is_refused),
		TEST(more_lpis_than_there_can_be_are_refused),
		TEST(a_descriptor_that_is_refused_is_explained),
		TEST(each_errno_of_a_restore_is_explained),
		TEST(an_irs_that_this_host_cannot_be_is_named),
		TEST(each_field_that_differs_is_named),
		TEST(errnos_of_the_comparison_are_explained),
		TEST(another_version_is_told),
		TEST(hwu_is_not_written_back),
		TEST(another_number_of_spis_is_named),
		TEST(other_ppis_are_refused),
		TEST(a_changed_lpi_ist_is_named),
		TEST(it_is_in_the_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
