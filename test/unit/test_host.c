// SPDX-License-Identifier: GPL-2.0-only
/* Whether a host can carry a VM, found out before anything of it is made: on a fake host. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "remote/direct.h"
#include "state/counter.h"
#include "state/host.h"
#include "testlog.h"
#include "trip.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PFR0 ARM64_SYS_REG(3, 0, 0, 4, 0)

#define FEATURES (1u << KVM_ARM_VCPU_PSCI_0_2 | 1u << KVM_ARM_VCPU_PMU_V3)

/* A VM of four vCPUs with @features, and in the place of its copy a host. */
static struct trip trip_with(uint32_t vm_features)
{
	struct trip trip = trip_dump(
		fake_running((struct fake_shape){ .nr_vcpus = 4, .nr_irqs = 64, .features = vm_features }));

	fake_free(trip.copy);
	trip.copy = fake_host(trip.source, trip.vm);
	return trip;
}

static struct trip trip_to_host(void)
{
	return trip_with(FEATURES);
}

static size_t cpu_kinds = 1; /* of the host, whichever this is */

size_t __wrap_pmu_nr_cpu_kinds(void);
size_t __wrap_pmu_nr_cpu_kinds(void)
{
	return cpu_kinds;
}

/* This process has no /dev/kvm. */
int __real_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode)
{
	if (strcmp(path, "/dev/kvm"))
		return __real_open64(path, flags, mode);
	errno = ENOENT;
	return -1;
}

static int check(struct trip *trip)
{
	log_reset();
	return host_check_kvm(trip->vm, &trip->copy->remote, FAKE_SYSTEM_FD, cpu_kinds);
}

static void lack(struct fake_kvm *host, int cap)
{
	for (size_t i = 0; i < FAKE_CAPS; i++)
		if (host->extensions[i].cap == cap)
			host->extensions[i].value = 0;
}

static void add_reg(struct vm_state *vm, uint64_t id, uint64_t value)
{
	struct vcpu_state *vcpu = &vm->vcpus[0];

	vcpu->regs = reallocarray(vcpu->regs, vcpu->nr_regs + 1, sizeof(*vcpu->regs));
	vcpu->regs[vcpu->nr_regs] = (struct vcpu_reg){ .id = id };
	memcpy(vcpu->regs[vcpu->nr_regs++].value, &value, sizeof(value));
}

static void assert_nothing_is_left(const struct trip *trip)
{
	for (size_t i = 0; i < FAKE_FDS; i++)
		assert_true(trip->copy->fds[i].kind == (i == FAKE_SYSTEM_FD ? FAKE_SYSTEM : FAKE_CLOSED));
	assert_int_equal(fake_count(trip->copy, "*KVM_RUN*"), 0);
}

static void assert_refused(struct trip *trip, const char *reason)
{
	int ret = check(trip);

	if (ret != -EINVAL || !log_has(reason))
		fail_msg("%d, and no '%s'", ret, reason);
	assert_string_equal(log_error(), "vm 1: cannot go on on this host: nothing of it was created");
	assert_false(trip->vm->host_checked);
	assert_nothing_is_left(trip);
}

static void a_host_that_can_is_left_as_it_was(void **state)
{
	struct trip trip = trip_to_host();
	struct vcpu_reg *regs = trip.vm->vcpus[0].regs;
	int fd = trip.vm->fd;

	assert_int_equal(check(&trip), 0);
	assert_int_equal(log_errors(), 0);
	assert_true(trip.vm->host_checked);
	assert_nothing_is_left(&trip);
	assert_ptr_equal(trip.vm->vcpus[0].regs, regs);
	assert_int_equal(trip.vm->fd, fd);
	assert_int_equal(trip.vm->nr_vcpus, 4);
	/* A vCPU of the same GIC, id and features, with all registers of the first one. */
	assert_int_equal(fake_count(trip.copy, "host: KVM_CREATE_DEVICE 7"), 1);
	assert_int_equal(fake_count(trip.copy, "host: KVM_CREATE_VCPU 7"), 1);
	assert_int_equal(fake_count(trip.copy, "vcpu 0: KVM_ARM_VCPU_INIT = 0xc"), 1);
	assert_int_equal(fake_reg_u64(&trip.copy->vcpus[0], PFR0),
			 fake_reg_u64(&trip.source->vcpus[0], PFR0));
	assert_int_equal(fake_reg_u64(&trip.copy->vcpus[0], FAKE_X0),
			 fake_reg_u64(&trip.source->vcpus[0], FAKE_X0));
	trip_finish(&trip);
}

static const struct {
	int feature, cap;
	const char *what;
} features[] = {
	{ KVM_ARM_VCPU_EL1_32BIT, KVM_CAP_ARM_EL1_32BIT, "AArch32 at EL1 (KVM_ARM_VCPU_EL1_32BIT)" },
	{ KVM_ARM_VCPU_PMU_V3, KVM_CAP_ARM_PMU_V3, "a PMU (KVM_ARM_VCPU_PMU_V3)" },
	{ KVM_ARM_VCPU_PTRAUTH_ADDRESS, KVM_CAP_ARM_PTRAUTH_ADDRESS,
	  "pointer authentication (KVM_ARM_VCPU_PTRAUTH_ADDRESS)" },
	{ KVM_ARM_VCPU_PTRAUTH_GENERIC, KVM_CAP_ARM_PTRAUTH_GENERIC,
	  "generic pointer authentication (KVM_ARM_VCPU_PTRAUTH_GENERIC)" },
	{ KVM_ARM_VCPU_SVE, KVM_CAP_ARM_SVE, "SVE (KVM_ARM_VCPU_SVE)" },
};

static void a_feature_that_is_missing_is_named(void **state)
{
	char reason[256];

	for (size_t i = 0; i < COUNT(features); i++) {
		struct trip trip = trip_to_host();

		trip.vm->features = FEATURES | 1 << features[i].feature;
		add_reg(trip.vm, ARM64_SVE_Z0 + 32, 0); /* what comes with it is not named one by one */
		lack(trip.copy, features[i].cap);
		snprintf(reason, sizeof(reason),
			 "vm 1: it has %s, and this host's KVM has not: restore on a host that has\n",
			 features[i].what);
		assert_refused(&trip, reason);
		assert_int_equal(log_errors(), 2);
		trip_finish(&trip);
	}
}

static void a_feature_that_the_vm_has_not_is_not_missed(void **state)
{
	struct trip trip = trip_to_host();

	for (size_t i = 0; i < COUNT(features); i++)
		if (features[i].cap != KVM_CAP_ARM_PMU_V3)
			lack(trip.copy, features[i].cap);
	assert_int_equal(check(&trip), 0);
	trip_finish(&trip);
}

/* The user is to see at once all that speaks against this host. */
static void all_that_is_missing_is_named_and_what_comes_with_it(void **state)
{
	struct trip trip = trip_to_host();

	trip.vm->features = 0x7e;
	trip.vm->ipa_bits = 52;
	for (size_t i = 0; i < COUNT(features); i++)
		lack(trip.copy, features[i].cap);
	memcpy(trip.vm->vcpus[0].regs[0].value, (uint64_t[]){ 1 }, 8);
	for (size_t i = 0; i < trip.vm->vcpus[0].nr_regs; i++)
		if (trip.vm->vcpus[0].regs[i].id == PFR0)
			memcpy(trip.vm->vcpus[0].regs[i].value, (uint64_t[]){ 0x1100000011 }, 8);
	fake_set_reg_u64(&trip.copy->vcpus[0], PFR0, 0x11);
	trip.copy->invariants[trip.copy->nr_invariants++] = (struct fake_invariant){ PFR0, 0xf00000000 };
	assert_refused(&trip, "register ID_AA64PFR0_EL1: 0x1100000011 is refused by this kernel: SVE is 1 in "
			      "the image, 0 on "
			      "this host\n");
	for (size_t i = 0; i < COUNT(features); i++)
		assert_true(log_has(features[i].what));
	assert_true(log_has(
		"vm 1: it has guest physical addresses of 52 bits, and this host's KVM of 48 at most\n"));
	assert_int_equal(fake_count(trip.copy, "vcpu 0: KVM_ARM_VCPU_INIT = 0x4"), 1);
	assert_int_equal(fake_count(trip.copy, "host: KVM_CREATE_VM 48"), 1);
	/* Nothing is said of registers that came with the features. */
	assert_int_equal(fake_count(trip.copy, "*KVM_SET_ONE_REG 0x6030000000100*"), 0);
	trip_finish(&trip);
}

static void a_guest_that_is_too_large_is_named(void **state)
{
	struct trip trip = trip_to_host();

	trip.vm->ipa_bits = 48;
	assert_int_equal(check(&trip), 0);
	trip.copy->vcpus[0].initialised = false;
	trip.vm->ipa_bits = 49;
	assert_refused(
		&trip,
		"vm 1: it has guest physical addresses of 49 bits, and this host's KVM of 48 at most\n");
	trip_finish(&trip);
}

/* api.rst: KVM_CREATE_VM takes 0, which is 40 bits, of a kernel that cannot say its limit. */
static void a_host_that_does_not_say_its_limit_has_40_bits(void **state)
{
	struct trip trip = trip_to_host();

	lack(trip.copy, KVM_CAP_ARM_VM_IPA_SIZE);
	trip.vm->ipa_bits = 41;
	check(&trip);
	assert_true(log_has("of 41 bits, and this host's KVM of 40 at most\n"));
	trip_finish(&trip);
}

/* Of the fake's VMs vCPU 1 has an SError pending, which is not the first one. */
static void a_pending_serror_with_a_syndrome_needs_ras(void **state)
{
	struct trip trip = trip_to_host();

	lack(trip.copy, KVM_CAP_ARM_INJECT_SERROR_ESR);
	assert_refused(&trip, "vm 1: it has RAS, for the syndrome of an SError that is pending "
			      "(KVM_CAP_ARM_INJECT_SERROR_ESR), and this host's KVM has not: ");
	trip.vm->vcpus[1].events.exception.serror_has_esr = 0;
	assert_int_equal(check(&trip), 0);
	trip.vm->vcpus[1].events.exception.serror_has_esr = 1;
	trip.vm->vcpus[1].events.exception.serror_pending = 0;
	assert_int_equal(check(&trip), 0);
	trip_finish(&trip);
}

static void a_capability_of_the_vm_that_is_missing_is_named(void **state)
{
	static const int caps[] = { KVM_CAP_STEAL_TIME, KVM_CAP_ARM_NISV_TO_USER, KVM_CAP_ARM_SYSTEM_SUSPEND,
				    KVM_CAP_COUNTER_OFFSET };
	static const char *const reasons[] = {
		"vm 1: it has stolen time (KVM_CAP_STEAL_TIME), and this host's KVM has not: ",
		"vm 1: it has KVM_CAP_ARM_NISV_TO_USER, and this host's KVM has not: ",
		"vm 1: it has PSCI SYSTEM_SUSPEND (KVM_CAP_ARM_SYSTEM_SUSPEND), and this host's KVM has "
		"not: ",
		"vm 1: it has KVM_ARM_SET_COUNTER_OFFSET (KVM_CAP_COUNTER_OFFSET), and this host's KVM has "
		"not: ",
	};

	for (size_t i = 0; i < COUNT(caps); i++) {
		struct trip trip = trip_to_host();

		lack(trip.copy, caps[i]);
		trip.vm->caps = 0;
		trip.vm->counter_offset = false;
		for (size_t v = 0; v < trip.vm->nr_vcpus; v++)
			trip.vm->vcpus[v].pvtime = VCPU_NO_PVTIME;
		assert_int_equal(check(&trip), 0); /* it is not missed */
		trip.vm->vcpus[3].pvtime = i == 0 ? 0x80000000 : VCPU_NO_PVTIME;
		trip.vm->caps = i == 1 ? VM_CAP_NISV_TO_USER : i == 2 ? VM_CAP_SYSTEM_SUSPEND : 0;
		trip.vm->counter_offset = i == 3;
		assert_refused(&trip, reasons[i]);
		assert_int_equal(log_errors(), 2);
		trip_finish(&trip);
	}
}

/* Vectors of 128, 256, ... bits, as a bitmap: of the guest's first and second vCPU. The host has those of
 * 0xb. */
static const struct {
	uint64_t first, second;
	const char *reason; /* NULL: none */
	unsigned int errors;
} lengths[] = {
	{ 0xb, 0xb, NULL, 0 },
	{ 0x3, 0x1, NULL, 0 }, /* longer ones can be hidden */
	{ 0x8b, 0xb,
	  "vm 1: vcpu 0: SVE vectors of 1024 bits: the guest has them, and this host's KVM has not\n", 2 },
	{ 0xb, 0x8b,
	  "vm 1: vcpu 1: SVE vectors of 1024 bits: the guest has them, and this host's KVM has not\n", 2 },
	{ 0x9, 0xb,
	  "vm 1: vcpu 0: SVE vectors of 256 bits: the guest has them not, and this host's KVM cannot do "
	  "without\n",
	  2 },
	{ 0x7, 0xb,
	  "vm 1: vcpu 0: SVE vectors of 384 bits: the guest has them, and this host's KVM has not\n", 2 },
	{ 0x5, 0x5,
	  "vm 1: vcpu 0: SVE vectors of 384 bits: the guest has them, and this host's KVM has not\n", 3 },
};

static void vector_lengths_that_differ_are_named(void **state)
{
	for (size_t i = 0; i < COUNT(lengths); i++) {
		struct trip trip = trip_with(FAKE_FEATURES);
		struct fake_vcpu *host = &trip.copy->vcpus[0];

		for (size_t v = 0; v < trip.vm->nr_vcpus; v++)
			memcpy((uint64_t *)vcpu_reg_u64(&trip.vm->vcpus[v], ARM64_SVE_VLS),
			       v ? &lengths[i].second : &lengths[i].first, 8);
		if (lengths[i].reason)
			assert_refused(&trip, lengths[i].reason);
		else
			assert_int_equal(check(&trip), 0);
		assert_int_equal(log_errors(), lengths[i].errors);
		assert_int_equal(fake_count(trip.copy, "vcpu 0: KVM_ARM_VCPU_FINALIZE*"), 1);
		assert_int_equal(fake_reg_u64(host, ARM64_SVE_VLS),
				 lengths[i].reason ? FAKE_VLS : lengths[i].first);
		assert_int_equal(*vcpu_reg_u64(&trip.vm->vcpus[0], ARM64_SVE_VLS), lengths[i].first);
		trip_finish(&trip);
	}
}

static void a_host_without_the_gic_is_named(void **state)
{
	struct trip trip = trip_to_host();

	trip.copy->no_vgic = true;
	assert_refused(&trip, "vm 1: this host's KVM has no GICv3 for guests: restore on one that has\n");
	trip_finish(&trip);
}

static void a_gicv5_is_tried_as_one(void **state)
{
	struct trip trip = trip_dump(fake_running((struct fake_shape){
		.nr_vcpus = 2, .nr_irqs = 32, .v5 = true, .abi = MODEL_MERGED, .features = FEATURES }));

	fake_free(trip.copy);
	trip.copy = fake_host(trip.source, trip.vm);
	assert_int_equal(check(&trip), 0);
	trip.copy->no_vgic = true;
	assert_int_equal(check(&trip), -EINVAL);
	assert_true(log_has("vm 1: this host's KVM has no GICv5 for guests"));
	trip_finish(&trip);
}

static void a_register_that_is_missing_is_found_out(void **state)
{
	struct trip trip = trip_to_host();

	fake_reg(&trip.copy->vcpus[0], ARM64_SYS_REG(3, 0, 12, 0, 0))->id = ARM64_SYS_REG(3, 0, 12, 0, 1);
	assert_refused(&trip, "registers of the image that this kernel has not: S3_0_C12_C0_0: ");
	trip_finish(&trip);
}

static void a_value_of_any_register_that_is_refused_is_found_out(void **state)
{
	struct trip trip = trip_to_host();

	trip.copy->invariants[trip.copy->nr_invariants++] =
		(struct fake_invariant){ ARM64_CORE_PSTATE, ~0ull };
	assert_refused(&trip,
		       "vCPU registers: vcpu 0: KVM_SET_ONE_REG (0x6030000000100042): Invalid argument");
	trip_finish(&trip);
}

/* KVM counts on CPUs of one kind. */
static void a_host_with_cpus_of_several_kinds_is_none_for_a_pmu(void **state)
{
	struct trip with = trip_to_host(), without = trip_with(1u << KVM_ARM_VCPU_PSCI_0_2);

	cpu_kinds = 2;
	assert_refused(&with, "vm 1: it has a PMU, and this host has CPUs of several kinds: ");
	assert_int_equal(log_errors(), 2);
	assert_int_equal(check(&without), 0);
	cpu_kinds = 1;
	trip_finish(&with);
	trip_finish(&without);
}

static void a_host_that_does_not_tell_its_kinds_of_cpus_is_none_for_a_pmu(void **state)
{
	struct trip with = trip_to_host(), without = trip_with(1u << KVM_ARM_VCPU_PSCI_0_2);

	cpu_kinds = 0;
	assert_refused(&with, "vm 1: it has a PMU, and /sys/bus/event_source does not tell ");
	assert_true(log_has("mount sysfs on /sys\n"));
	assert_int_equal(check(&without), 0);
	/* Where KVM has no PMU at all that is the reason. */
	with.copy->vcpus[0].initialised = false;
	lack(with.copy, KVM_CAP_ARM_PMU_V3);
	log_reset();
	assert_int_equal(check(&with), -EINVAL);
	assert_false(log_has("/sys"));
	cpu_kinds = 1;
	trip_finish(&with);
	trip_finish(&without);
}

/* Only the process that will own the VM may have it: what sysfs tells is known all the same. */
static void without_dev_kvm_the_kinds_of_cpus_are_looked_at(void **state)
{
	struct trip with = trip_to_host(), without = trip_with(1u << KVM_ARM_VCPU_PSCI_0_2);
	static const char *const reasons[] = {
		"vm 1: it has a PMU, and /sys/bus/event_source does not tell ",
		NULL,
		"vm 1: it has a PMU, and this host has CPUs of several kinds: ",
	};

	with.vm->page_size = without.vm->page_size = getpagesize();
	with.vm->cntfrq = without.vm->cntfrq = counter_frequency();
	for (cpu_kinds = 0; cpu_kinds < 3; cpu_kinds++) {
		log_reset();
		assert_int_equal(host_check(with.vm), reasons[cpu_kinds] ? -EINVAL : 0);
		assert_true(log_told("vm 1: /dev/kvm: No such file or directory: this host is not checked "));
		assert_int_equal(log_errors(), reasons[cpu_kinds] ? 1 : 0);
		assert_true(!reasons[cpu_kinds] || log_has(reasons[cpu_kinds]));
		assert_int_equal(host_check(without.vm), 0);
	}
	cpu_kinds = 1;
	trip_finish(&with);
	trip_finish(&without);
}

/* Each bit of N counts: of 6 and 14, of 6 and 22, of 6 and 7. */
static void other_numbers_of_counters_are_told_apart(void **state)
{
	static const uint32_t image[] = { 7, 14, 22, 30, 31 };

	for (size_t i = 0; i < COUNT(image); i++) {
		struct trip trip = trip_to_host();
		uint64_t *pmcr = (uint64_t *)vcpu_reg_u64(&trip.vm->vcpus[0], ARM64_PMCR_EL0);
		char reason[96];

		*pmcr = (*pmcr & ~(0x1full << 11)) | image[i] << 11;
		snprintf(reason, sizeof(reason), "vm 1: vcpu 0: PMCR_EL0.N is %u in the image, 6 on this host: ",
			 image[i]);
		assert_refused(&trip, reason);
		trip_finish(&trip);
	}
}

/* KVM keeps its own number without a word. */
static void counters_of_the_pmu_that_are_missing_are_named(void **state)
{
	struct trip trip = trip_to_host();

	trip.copy->pmu_counters = trip.copy->pmu_n = 5;
	assert_refused(&trip, "vm 1: vcpu 0: PMCR_EL0.N is 6 in the image, 5 on this host: ");
	assert_int_equal(log_errors(), 2);
	trip_finish(&trip);
}

static void more_counters_of_the_pmu_are_hidden(void **state)
{
	struct trip trip = trip_to_host();

	trip.copy->pmu_counters = trip.copy->pmu_n = 31;
	assert_int_equal(check(&trip), 0);
	assert_int_equal(trip.copy->pmu_n, 6);
	trip_finish(&trip);
}

static void the_image_is_not_changed_by_the_trial(void **state)
{
	struct trip trip = trip_to_host();
	size_t nr = trip.vm->vcpus[0].nr_regs;

	trip.copy->vcpus[0].regs[trip.copy->vcpus[0].nr_regs++] =
		(struct fake_reg){ .id = ARM64_SYS_REG(3, 0, 0, 7, 7), .value = { 1 } };
	assert_int_equal(check(&trip), 0);
	assert_true(log_told("S3_0_C0_C7_7: written as 0"));
	assert_int_equal(trip.vm->vcpus[0].nr_regs, nr);
	trip_finish(&trip);
}

/* Whatever fails, nothing stays open in criu, and the restore ends. */
static void a_trial_that_fails_leaves_nothing(void **state)
{
	size_t n = 1;

	for (;; n++) {
		struct trip trip = trip_to_host();
		bool was_closed;
		int ret;

		trip.copy->fail_call = n;
		trip.copy->fail_errno = ENOMEM;
		ret = check(&trip);
		if (trip.copy->nr_calls < n) { /* there were not so many */
			assert_int_equal(ret, 0);
			trip_finish(&trip);
			break;
		}
		was_closed = fake_is_like(trip.copy->lines[trip.copy->failed_line], "task: close*");
		if (!was_closed) {
			assert_int_equal(ret, -ENOMEM);
			assert_nothing_is_left(&trip);
		}
		trip_finish(&trip);
	}
	assert_true(n > 30);
}

static void a_counter_of_another_frequency_is_named(void **state)
{
	struct trip trip = trip_to_host();

	trip.vm->page_size = getpagesize();
	trip.vm->cntfrq = 12345;
	log_reset();
	assert_int_equal(host_check(trip.vm), -EINVAL);
	assert_int_equal(log_errors(), 1);
	assert_true(
		log_has("vm 1: dumped on a host whose counter has 12345 Hz (CNTFRQ_EL0), this one's has "));
	/* And what else differs is named as well. */
	cpu_kinds = 2;
	log_reset();
	assert_int_equal(host_check(trip.vm), -EINVAL);
	assert_int_equal(log_errors(), 2);
	assert_true(log_has("vm 1: it has a PMU, and this host has CPUs of several kinds: "));
	cpu_kinds = 1;
	trip_finish(&trip);
}

static void pages_of_another_size_are_named(void **state)
{
	struct trip trip = trip_to_host();

	trip.vm->page_size = 65536;
	log_reset();
	assert_int_equal(host_check(trip.vm), -EINVAL);
	assert_true(log_has("vm 1: dumped on a host with pages of 65536 bytes, this one has "));
	trip_finish(&trip);
}

/* System calls in this process. */

static void the_calls_are_made_and_their_results_are_the_kernels(void **state)
{
	struct remote direct = DIRECT_REMOTE;
	struct batch b = BATCH(&direct, 1, "test");
	struct utsname name = { 0 };

	batch_syscall(&b, "getpid", SYS_getpid, 0, 0, 0, 0, 0, 0);
	batch_syscall(&b, "close", SYS_close, -1, 0, 0, 0, 0, 0)->may_fail = EBADF;
	*batch_syscall(&b, "uname", SYS_uname, 0, 0, 0, 0, 0, 0) =
		(struct remote_call){ .nr = SYS_uname,
				      .data = &name,
				      .size = sizeof(name),
				      .what = "uname",
				      .vcpu = -1,
				      .writes_back = true };
	assert_int_equal(batch_run(&b), 0);
	assert_int_equal(b.calls[0].result, getpid());
	assert_int_equal(b.calls[1].result, -EBADF);
	assert_string_equal(name.sysname, "Linux");
	batch_fini(&b);
}

static void a_call_that_fails_is_the_last(void **state)
{
	struct remote direct = DIRECT_REMOTE;
	struct batch b = BATCH(&direct, 1, "test");

	batch_syscall(&b, "close", SYS_close, -1, 0, 0, 0, 0, 0);
	batch_syscall(&b, "getpid", SYS_getpid, 0, 0, 0, 0, 0, 0);
	assert_int_equal(batch_try(&b), -EBADF);
	assert_true(b.calls[0].done);
	assert_false(b.calls[1].done);
	batch_fini(&b);
}

/* As KVM_GET_ONE_REG has it: here by writev(). */
static void the_second_level_is_where_the_first_says(void **state)
{
	struct remote direct = DIRECT_REMOTE;
	struct batch b = BATCH(&direct, 1, "test");
	struct iovec vec[2] = { { .iov_len = 0 }, { .iov_len = 3 } };
	char text[] = "abc", got[4] = "";
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	*batch_syscall(&b, "writev", SYS_writev, fds[1], 0, 2, 0, 0, 0) =
		(struct remote_call){ .nr = SYS_writev,
				      .arg = { fds[1], 0, 2 },
				      .data_arg = 1,
				      .data = vec,
				      .size = sizeof(vec),
				      .inner = text,
				      .inner_size = 3,
				      .inner_at = sizeof(vec[0]) + offsetof(struct iovec, iov_base),
				      .what = "writev",
				      .vcpu = -1 };
	assert_int_equal(batch_run(&b), 0);
	assert_int_equal(read(fds[0], got, 3), 3);
	assert_string_equal(got, "abc");
	batch_fini(&b);
	close(fds[0]);
	close(fds[1]);
}

static void memory_is_read_and_written_and_what_is_not_mapped_is_an_error(void **state)
{
	struct remote direct = DIRECT_REMOTE;
	uint64_t value = 5, other = 0;

	assert_int_equal(direct.ops->read(&direct, (uintptr_t)&value, &other, sizeof(other)), 0);
	assert_int_equal(other, 5);
	other = 7;
	assert_int_equal(direct.ops->write(&direct, (uintptr_t)&value, &other, sizeof(other)), 0);
	assert_int_equal(value, 7);
	assert_int_equal(direct.ops->read(&direct, 8, &other, sizeof(other)), -EIO);
	assert_int_equal(direct.ops->write(&direct, 8, &other, sizeof(other)), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_that_can_is_left_as_it_was),
		cmocka_unit_test(a_feature_that_is_missing_is_named),
		cmocka_unit_test(a_feature_that_the_vm_has_not_is_not_missed),
		cmocka_unit_test(all_that_is_missing_is_named_and_what_comes_with_it),
		cmocka_unit_test(a_guest_that_is_too_large_is_named),
		cmocka_unit_test(a_host_that_does_not_say_its_limit_has_40_bits),
		cmocka_unit_test(a_pending_serror_with_a_syndrome_needs_ras),
		cmocka_unit_test(a_capability_of_the_vm_that_is_missing_is_named),
		cmocka_unit_test(vector_lengths_that_differ_are_named),
		cmocka_unit_test(a_host_without_the_gic_is_named),
		cmocka_unit_test(a_gicv5_is_tried_as_one),
		cmocka_unit_test(a_register_that_is_missing_is_found_out),
		cmocka_unit_test(a_value_of_any_register_that_is_refused_is_found_out),
		cmocka_unit_test(a_host_with_cpus_of_several_kinds_is_none_for_a_pmu),
		cmocka_unit_test(a_host_that_does_not_tell_its_kinds_of_cpus_is_none_for_a_pmu),
		cmocka_unit_test(without_dev_kvm_the_kinds_of_cpus_are_looked_at),
		cmocka_unit_test(other_numbers_of_counters_are_told_apart),
		cmocka_unit_test(counters_of_the_pmu_that_are_missing_are_named),
		cmocka_unit_test(more_counters_of_the_pmu_are_hidden),
		cmocka_unit_test(the_image_is_not_changed_by_the_trial),
		cmocka_unit_test(a_trial_that_fails_leaves_nothing),
		cmocka_unit_test(pages_of_another_size_are_named),
		cmocka_unit_test(a_counter_of_another_frequency_is_named),
		cmocka_unit_test(the_calls_are_made_and_their_results_are_the_kernels),
		cmocka_unit_test(a_call_that_fails_is_the_last),
		cmocka_unit_test(the_second_level_is_where_the_first_says),
		cmocka_unit_test(memory_is_read_and_written_and_what_is_not_mapped_is_an_error),
	};

	return cmocka_run_group_tests_name("this host", tests, NULL, NULL);
}
