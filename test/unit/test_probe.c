// SPDX-License-Identifier: GPL-2.0-only
/* What the plugin makes of the records of its iterator (plugin/probe/kvm_iter.h) about vCPUs and the PMU. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/caps.h"
#include "probe/kernel.h"
#include "probe/vcpu.h"
#include "probe/vgic_v2.h"
#include "testlog.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS (PMU_MAX_EVENTS / 64)
#define VM_FD 5u
#define VCPU_FD 10u
#define STEP_PENDING 8u

/* That of the kernel that runs. */
bool kernel_step_is_pending(unsigned int sflags)
{
	return sflags & STEP_PENDING;
}

static struct kvm_rec *probed; /* what the iterator tells when it is asked once more */
static size_t nr_probed;

void kernel_probe_ahead(pid_t pid)
{
}

void kernel_probe_end_ahead(void)
{
}

int kernel_probe(pid_t pid, struct kvm_rec **recs, size_t *nr)
{
	assert_int_equal(pid, 42);
	*recs = probed;
	*nr = nr_probed;
	return 0;
}

/* The PMU's events */

/* As the iterator does: the words in which it changes whether events are allowed. */
static size_t tell_events(struct kvm_rec *recs, const uint64_t *bits)
{
	uint64_t last = 0;
	size_t nr = 0;

	for (uint32_t w = 0; w < WORDS; w++) {
		if (bits[w] == (last ? ~0ull : 0))
			continue;
		last = bits[w] >> 63;
		recs[nr++] = (struct kvm_rec){ .type = KVM_REC_PMU, .fd = VM_FD, .pmu = { 64 * w, 0, bits[w] } };
	}
	return nr;
}

static void assert_told(const uint64_t *bits)
{
	struct kvm_rec *recs = calloc(WORDS + 2, sizeof(*recs));
	struct pmu_filter filter = { 0 };
	uint64_t back[WORDS] = { 0 };
	size_t nr;

	/* Among records of other kinds, and of another VM's fd. */
	recs[0] = (struct kvm_rec){ .type = KVM_REC_VM, .fd = VM_FD };
	recs[1] = (struct kvm_rec){ .type = KVM_REC_PMU, .fd = VM_FD + 1, .pmu = { 0, 0, 0x5555 } };
	nr = 2 + tell_events(recs + 2, bits);
	assert_int_equal(probe_pmu_filter((struct probe_recs){ recs, nr }, VM_FD, &filter), 0);
	assert_true(filter.active);
	for (size_t r = 0; r < filter.nr; r++)
		for (uint32_t i = filter.allowed[r].first; i <= filter.allowed[r].last; i++)
			back[i / 64] |= 1ull << i % 64;
	assert_memory_equal(bits, back, sizeof(back));
	free(filter.allowed);
	free(recs);
}

static void the_events_that_were_allowed_are_found(void **state)
{
	static const struct pmu_range ranges[] = { { 1, 0 },   { 0, 65535 },  { 0, 0 },	      { 65535, 65535 },
						   { 63, 63 }, { 64, 64 },    { 63, 64 },     { 0, 127 },
						   { 1, 200 }, { 60, 65530 }, { 64, 65535 },  { 0, 65471 } };

	for (size_t i = 0; i < COUNT(ranges); i++) {
		uint64_t bits[WORDS] = { 0 };

		for (uint32_t event = ranges[i].first; event <= ranges[i].last; event++)
			bits[event / 64] |= 1ull << event % 64;
		assert_told(bits);
	}
}

static void events_in_any_pattern_are_found(void **state)
{
	uint64_t x = 7;

	for (int round = 0; round < 64; round++) {
		uint64_t bits[WORDS];

		for (size_t w = 0; w < WORDS; w++) {
			x = x * 6364136223846793005 + 1442695040888963407;
			bits[w] = x >> 62 ? -(x >> 60 & 1) : x ^ x >> 33;
		}
		assert_told(bits);
	}
}

/* vCPUs */

static struct kvm_rec vcpu_rec(void)
{
	struct kvm_rec rec = { .type = KVM_REC_VCPU, .fd = VCPU_FD };

	rec.vcpu.idx = 3;
	rec.vcpu.id = 77;
	rec.vcpu.steal_base = VCPU_NO_PVTIME;
	return rec;
}

static int probe(const struct kvm_rec *recs, size_t nr, struct vcpu_state *vcpu)
{
	log_reset();
	return probe_vcpu(42, (struct probe_recs){ recs, nr }, recs, vcpu);
}

static void a_vcpu_with_nothing_has_nothing(void **state)
{
	struct kvm_rec rec = vcpu_rec();
	struct vcpu_state vcpu = { 0 };
	static const struct arm64_guest_debug none;

	assert_int_equal(probe(&rec, 1, &vcpu), 0);
	assert_int_equal(vcpu.fd, VCPU_FD);
	assert_int_equal(vcpu.idx, 3);
	assert_int_equal(vcpu.id, 77);
	assert_true(vcpu.pvtime == VCPU_NO_PVTIME);
	assert_false(vcpu.mmio_needed);
	assert_false(vcpu.marked);
	assert_false(vcpu.pmu_created);
	assert_int_equal(vcpu.vtid, 0);
	assert_false(vcpu.sigset_active);
	assert_memory_equal(&vcpu.debug, &none, sizeof(none));
}

static void what_a_vmm_has_set_up_is_found(void **state)
{
	struct kvm_rec rec = vcpu_rec();
	struct vcpu_state vcpu = { 0 };

	rec.vcpu.steal_base = 0x40000040;
	rec.vcpu.sigset_active = 1;
	rec.vcpu.sigset = 0x123456789abcdef0;
	rec.vcpu.pmu_created = 1;
	rec.vcpu.vtid = 4711;
	rec.vcpu.mmio_needed = 1;
	memcpy(&rec.vcpu.run_head, "\0\1kvmvgi", sizeof(rec.vcpu.run_head));
	assert_int_equal(probe(&rec, 1, &vcpu), 0);
	assert_int_equal(vcpu.pvtime, 0x40000040);
	assert_true(vcpu.sigset_active);
	assert_int_equal(vcpu.sigset, 0x123456789abcdef0);
	assert_true(vcpu.pmu_created);
	assert_int_equal(vcpu.vtid, 4711);
	assert_true(vcpu.mmio_needed);
	assert_true(vcpu.marked);
}

/* KVM keeps one that was set, and taken away again. */
static void a_signal_mask_that_is_not_in_use_is_none(void **state)
{
	struct kvm_rec rec = vcpu_rec();
	struct vcpu_state vcpu = { 0 };

	rec.vcpu.sigset = 0xff;
	assert_int_equal(probe(&rec, 1, &vcpu), 0);
	assert_int_equal(vcpu.sigset, 0);
}

/* The 64 registers of @fd, by four, each its number and @salt. */
static void tell_debug(struct kvm_rec *recs, unsigned int fd, uint64_t salt)
{
	for (unsigned int i = 0; i < 16; i++) {
		recs[i] = (struct kvm_rec){ .type = KVM_REC_DEBUG, .fd = fd, .debug = { .first = 4 * i } };
		for (unsigned int n = 0; n < 4; n++)
			recs[i].debug.values[n] = salt + 4 * i + n;
	}
}

static void the_registers_of_a_debugger_are_found(void **state)
{
	struct kvm_rec recs[33] = { vcpu_rec() };
	struct vcpu_state vcpu = { 0 };

	recs[0].vcpu.guest_debug = 0x20001;
	tell_debug(recs + 1, VCPU_FD, 1000);
	tell_debug(recs + 17, VCPU_FD + 1, 5000);
	assert_int_equal(probe(recs, COUNT(recs), &vcpu), 0);
	assert_int_equal(vcpu.debug.control, 0x20001);
	for (int i = 0; i < 16; i++) {
		assert_int_equal(vcpu.debug.dbg_bcr[i], 1000 + i);
		assert_int_equal(vcpu.debug.dbg_bvr[i], 1016 + i);
		assert_int_equal(vcpu.debug.dbg_wcr[i], 1032 + i);
		assert_int_equal(vcpu.debug.dbg_wvr[i], 1048 + i);
	}
}

static void what_is_on_its_way_into_a_vcpu_is_refused(void **state)
{
	static const struct {
		unsigned int iflags, sflags;
		const char *what;
	} flags[] = { { 1, 0, "an injected exception that the guest has not taken yet" },
		      { 2, 0, "an injected exception that the guest has not taken yet" },
		      { 0, STEP_PENDING, "a single step that the host has pending" } };

	for (size_t i = 0; i < COUNT(flags); i++) {
		struct kvm_rec rec = vcpu_rec();
		struct vcpu_state vcpu = { 0 };

		rec.vcpu.iflags = flags[i].iflags;
		rec.vcpu.sflags = flags[i].sflags;
		assert_int_equal(probe(&rec, 1, &vcpu), -ENOTSUP);
		assert_int_equal(log_errors(), 1);
		assert_true(log_has("pid 42: fd 10 (vCPU id 77): "));
		assert_true(log_has(flags[i].what));
	}
}

/* Of the flags, those that say something else: a vCPU may have them. */
static void other_flags_do_not_matter(void **state)
{
	struct kvm_rec rec = vcpu_rec();
	struct vcpu_state vcpu = { 0 };

	rec.vcpu.iflags = ~3u;
	rec.vcpu.sflags = ~STEP_PENDING;
	assert_int_equal(probe(&rec, 1, &vcpu), 0);
}

/* Capabilities */

static struct kvm_rec caps_rec(void)
{
	return (struct kvm_rec){ .type = KVM_REC_CAPS, .fd = VM_FD };
}

static struct kvm_rec calls_rec(unsigned int fd, unsigned int first, unsigned int last, unsigned int action)
{
	return (struct kvm_rec){ .type = KVM_REC_SMCCC, .fd = fd, .smccc = { first, last, action } };
}

static int caps_of(const struct kvm_rec *recs, size_t nr, uint64_t flags, struct vm_state *vm)
{
	log_reset();
	return probe_caps(42, (struct probe_recs){ recs, nr }, VM_FD, flags, vm);
}

static void a_vm_without_capabilities_has_none(void **state)
{
	/* A default that KVM keeps there and does not use. */
	struct kvm_rec recs[] = { { .type = KVM_REC_CAPS, .fd = VM_FD + 1, .caps = { 3, 4096, 1, 5, 1, 1 } },
				  caps_rec() };
	struct vm_state vm = { 0 };

	recs[1].caps.halt_poll_ns = 500000;
	assert_int_equal(caps_of(recs, COUNT(recs), ~0ull & ~0xc11ull, &vm), 0);
	assert_int_equal(vm.caps | vm.halt_poll_ns | vm.manual_dirty_log | vm.split_chunk | vm.smccc_filter.nr, 0);
	free(vm.smccc_filter.ranges);
}

static void each_capability_is_found(void **state)
{
	static const struct {
		uint64_t flags;
		struct kvm_rec rec;
		uint32_t cap;
	} each[] = {
		{ 1, { .caps = { 0 } }, VM_CAP_NISV_TO_USER },
		{ 1 << 4, { .caps = { 0 } }, VM_CAP_SYSTEM_SUSPEND },
		{ 1 << 10, { .caps = { 0 } }, VM_CAP_WRITABLE_IMP_ID_REGS },
		{ 1 << 11, { .caps = { 0 } }, VM_CAP_SEA_TO_USER },
		{ 0, { .caps = { .manual_dirty_log = 1 } }, VM_CAP_MANUAL_DIRTY_LOG },
		{ 0, { .caps = { .split_chunk = 2 << 20 } }, VM_CAP_EAGER_SPLIT },
		{ 0, { .caps = { .override_halt_poll = 1 } }, VM_CAP_HALT_POLL }, /* of 0: none */
		{ 0, { .caps = { .override_halt_poll = 1, .halt_poll_ns = 77 } }, VM_CAP_HALT_POLL },
		{ 0, { .caps = { .smccc_filter = 1 } }, VM_CAP_SMCCC_FILTER },
	};

	for (size_t i = 0; i < COUNT(each); i++) {
		struct kvm_rec rec = each[i].rec;
		struct vm_state vm = { 0 };

		rec.type = KVM_REC_CAPS;
		rec.fd = VM_FD;
		assert_int_equal(caps_of(&rec, 1, each[i].flags, &vm), 0);
		assert_int_equal(vm.caps, each[i].cap);
		assert_int_equal(vm.manual_dirty_log, rec.caps.manual_dirty_log);
		assert_int_equal(vm.split_chunk, rec.caps.split_chunk);
		assert_int_equal(vm.halt_poll_ns, rec.caps.halt_poll_ns);
		free(vm.smccc_filter.ranges);
	}
}

/* In order, but for what KVM puts in by itself, and what is another VM's. */
static void the_smccc_filter_is_found(void **state)
{
	struct kvm_rec recs[] = { calls_rec(VM_FD, 7, 7, 1),
				  calls_rec(VM_FD, 0x80000000, 0x8000ffff, 0),
				  calls_rec(VM_FD + 1, 0x81000000, 0x81000001, 1),
				  calls_rec(VM_FD, 0x84000000, 0x84000007, 0),
				  calls_rec(VM_FD, 0xc0000000, 0xc000ffff, 0),
				  calls_rec(VM_FD, 0xc3000000, 0xffffffff, 2),
				  caps_rec() };
	static const struct smccc_range expected[] = { { 7, 7, 1 }, { 0x84000000, 0x84000007, 0 },
						       { 0xc3000000, 0xffffffff, 2 } };
	struct vm_state vm = { 0 };

	recs[6].caps.smccc_filter = 1;
	assert_int_equal(caps_of(recs, COUNT(recs), 0, &vm), 0);
	assert_int_equal(vm.smccc_filter.nr, COUNT(expected));
	assert_memory_equal(vm.smccc_filter.ranges, expected, sizeof(expected));
	free(vm.smccc_filter.ranges);
}

static void an_smccc_filter_that_was_not_read_to_its_end_is_refused(void **state)
{
	struct kvm_rec rec = caps_rec();
	struct vm_state vm = { 0 };

	rec.caps.smccc_filter = rec.caps.smccc_unread = 1;
	assert_int_equal(caps_of(&rec, 1, 0, &vm), -ENOTSUP);
	assert_int_equal(log_errors(), 1);
	assert_true(log_has("pid 42: an SMCCC filter of more than 1024 ranges: not supported by this version: "));
	free(vm.smccc_filter.ranges);
}

/* Stolen time */

static struct vm_state vm_with_stolen_time(struct vcpu_state *vcpu, struct memslot *slots, uint64_t ipa)
{
	*vcpu = (struct vcpu_state){ .fd = VCPU_FD, .id = 77, .pvtime = ipa };
	slots[0] = (struct memslot){ 1, KVM_MEM_READONLY, 0x10000, 0x10000, 0xffff00000000, .log = { 0 } };
	slots[1] = (struct memslot){ 2, 0, 0x40000000, 0x10000, 0xffff10000000, .log = { 0 } };
	return (struct vm_state){ .vcpus = vcpu, .nr_vcpus = 1, .slots = slots, .nr_slots = 2 };
}

static void stolen_time_in_memory_is_well(void **state)
{
	static const uint64_t places[] = { VCPU_NO_PVTIME, 0x40000000, 0x4000ffc0 };

	for (size_t i = 0; i < COUNT(places); i++) {
		struct vcpu_state vcpu;
		struct memslot slots[2];
		struct vm_state vm = vm_with_stolen_time(&vcpu, slots, places[i]);

		log_reset();
		assert_int_equal(probe_check_pvtime(42, &vm), 0);
		assert_int_equal(log_errors(), 0);
	}
}

/* KVM takes only the address of memory that it can write, but the VMM can remove the memslot later. */
static void stolen_time_without_memory_is_refused(void **state)
{
	static const uint64_t places[] = { 0x10000, 0x3fffffc0, 0x40010000, 0 };

	for (size_t i = 0; i < COUNT(places); i++) {
		struct vcpu_state vcpu;
		struct memslot slots[2];
		struct vm_state vm = vm_with_stolen_time(&vcpu, slots, places[i]);

		log_reset();
		assert_int_equal(probe_check_pvtime(42, &vm), -ENOTSUP);
		assert_int_equal(log_errors(), 1);
		assert_true(log_has("pid 42: fd 10 (vCPU id 77): stolen time where no memslot is that can be written: "));
		assert_true(log_has("KVM_SET_USER_MEMORY_REGION"));
	}
}

/* Pending exits */

static int check_exit(const struct kvm_rec *rec)
{
	struct memslot slots[2];
	struct vcpu_state vcpu;
	struct vm_state vm = vm_with_stolen_time(&vcpu, slots, VCPU_NO_PVTIME);

	log_reset();
	return probe_check_exits(42, (struct probe_recs){ rec, 1 }, &vm);
}

static struct kvm_rec exit_at(uint64_t addr, bool is_write)
{
	struct kvm_rec rec = vcpu_rec();

	rec.vcpu.exit_reason = KVM_EXIT_MMIO;
	rec.vcpu.mmio_needed = 1;
	rec.vcpu.mmio_addr = addr;
	rec.vcpu.mmio_is_write = is_write;
	return rec;
}

static void exits_outside_memory_are_well(void **state)
{
	struct kvm_rec well[] = {
		exit_at(0x9000000, false),
		exit_at(0x40010000, true),
		exit_at(0x1fff8, true), /* the memslot there is read-only */
		exit_at(0x40000000, true),
		exit_at(0x40000000, true),
		exit_at(0x40000000, false),
	};

	well[3].vcpu.mmio_needed = 0;
	well[4].vcpu.exit_reason = KVM_EXIT_INTR;
	well[5].type = KVM_REC_DEBUG;
	for (size_t i = 0; i < COUNT(well); i++) {
		assert_int_equal(check_exit(&well[i]), 0);
		assert_int_equal(log_errors(), 0);
	}
}

/* A restore makes the access again, and would find the memory, where KVM takes the VMM's answer. */
static void exits_over_which_a_memslot_lies_are_refused(void **state)
{
	const struct kvm_rec bad[] = {
		exit_at(0x40000000, true),
		exit_at(0x4000fff8, false),
		exit_at(0x10000, false), /* also of a memslot that is read-only */
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(check_exit(&bad[i]), -ENOTSUP);
		assert_int_equal(log_errors(), 1);
		assert_true(log_has("pid 42: fd 10 (vCPU id 77): an MMIO access that is not completed, where a "
				    "memslot lies by now: not supported by this version: try again: it is gone "
				    "after the next KVM_RUN"));
	}
}

/* A GICv2 */

static const struct kvm_rec v2_recs[] = {
	{ .type = KVM_REC_LINES, .fd = VCPU_FD, .lines = { 0, 0x13, 0x23, 0 } },
	{ .type = KVM_REC_LINES, .fd = VCPU_FD + 1, .lines = { 0, 0x14, 0x24, 0 } },
	{ .type = KVM_REC_VM, .fd = VM_FD },
	{ .type = KVM_REC_ACTIVE, .fd = VM_FD, .active = { 40, 1 } },
	{ .type = KVM_REC_ACTIVE, .fd = VM_FD + 1, .active = { 41, 1 } }, /* another VM's */
	{ .type = KVM_REC_LINES, .fd = VM_FD, .lines = { 32, 0x11, 0x21, 0 } },
	{ .type = KVM_REC_LINES, .fd = VM_FD, .lines = { 992, 0x12, 0x22, 0 } },
	{ .type = KVM_REC_LINES, .fd = VM_FD, .lines = { 1024, 1, 1, 0 } }, /* there are no more than 1020 */
};

/* With the records above, of which one is @changed; those of the VM by @vm_fd. */
static int probe_v2_by(unsigned int vm_fd, struct vm_state *vm, struct vcpu_state vcpus[2], size_t changed,
		       const struct kvm_rec *to)
{
	struct kvm_rec recs[COUNT(v2_recs)];

	memcpy(recs, v2_recs, sizeof(recs));
	if (to)
		recs[changed] = *to;
	for (size_t i = 0; i < COUNT(recs); i++)
		if (recs[i].fd == VM_FD)
			recs[i].fd = vm_fd;
	*vm = (struct vm_state){ .vcpus = vcpus, .nr_vcpus = 2 };
	log_reset();
	return probe_vgic_v2(42, (struct probe_recs){ recs, COUNT(recs) }, vm_fd, 6, vm);
}

static int probe_v2(struct vm_state *vm, struct vcpu_state vcpus[2], size_t changed, const struct kvm_rec *to)
{
	return probe_v2_by(VM_FD, vm, vcpus, changed, to);
}

/* The fd by which the iterator tells of the VM may be a vCPU's. */
static void assert_lines_found(unsigned int vm_fd)
{
	struct vcpu_state vcpus[2] = { { .fd = VCPU_FD, .id = 7 }, { .fd = VCPU_FD + 1, .id = 0 } };
	struct vm_state vm;

	assert_int_equal(probe_v2_by(vm_fd, &vm, vcpus, 0, NULL), 0);
	assert_int_equal(vm.vgic_v2->fd, 6);
	assert_int_equal(vm.vgic_v2->lines[1].level, 0x11);
	assert_int_equal(vm.vgic_v2->lines[1].latch, 0x21);
	assert_int_equal(vm.vgic_v2->lines[31].level, 0x12);
	assert_int_equal(vm.vgic_v2->nr_cpus, 2);
	assert_int_equal(vm.vgic_v2->private[0].level, 0x13);
	assert_int_equal(vm.vgic_v2->private[1].latch, 0x24);
	assert_int_equal(vm.vgic_v2->lines[0].level, 0);
	assert_int_equal(vm.vgic_v2->nr_active, 1);
	assert_int_equal(vm.vgic_v2->active[0].intid, 40);
	vgic_v2_free(vm.vgic_v2);
}

static void the_lines_of_a_gicv2_are_found(void **state)
{
	assert_lines_found(VM_FD);
	assert_lines_found(VCPU_FD);
	assert_lines_found(VCPU_FD + 1);
}

#define KVM 0xffff000012340000ull

/* Of @nr records @to alone is not as it was before, and each is of the VM @kvm. */
static void probe_again(unsigned long long kvm, size_t changed, const struct kvm_rec *to)
{
	nr_probed = COUNT(v2_recs);
	probed = calloc(nr_probed, sizeof(*probed));
	memcpy(probed, v2_recs, sizeof(v2_recs));
	probed[changed] = *to;
	for (size_t i = 0; i < nr_probed; i++)
		probed[i].kvm = kvm;
}

/* What an irqfd that has ended has injected since: a latch of an SPI; a level of a vCPU's own. */
static void lines_that_change_meanwhile_are_found(void **state)
{
	const struct kvm_rec spi = { .type = KVM_REC_LINES, .fd = VM_FD, .lines = { 32, 0x11, 0x31, 0 } };
	const struct kvm_rec ppi = { .type = KVM_REC_LINES, .fd = VCPU_FD, .lines = { 0, 0x33, 0x23, 0 } };
	struct vcpu_state vcpus[2] = { { .fd = VCPU_FD, .id = 1 }, { .fd = VCPU_FD + 1, .id = 5 } };
	struct vm_state vm;

	assert_int_equal(probe_v2(&vm, vcpus, 0, NULL), 0);
	probe_again(KVM, 5, &spi);
	assert_int_equal(probe_vgic_v2_lines(42, KVM, &vm), 0);
	assert_int_equal(vm.vgic_v2->lines[1].level, 0x11);
	assert_int_equal(vm.vgic_v2->lines[1].latch, 0x31);
	assert_int_equal(vm.vgic_v2->nr_active, 1);
	probe_again(KVM, 0, &ppi);
	assert_int_equal(probe_vgic_v2_lines(42, KVM, &vm), 0);
	assert_int_equal(vm.vgic_v2->private[0].level, 0x33);
	assert_int_equal(vm.vgic_v2->lines[1].latch, 0x21);
	vgic_v2_free(vm.vgic_v2);
}

static void lines_of_another_vm_are_none(void **state)
{
	const struct kvm_rec spi = { .type = KVM_REC_LINES, .fd = VM_FD, .lines = { 32, 0x11, 0x31, 0 } };
	struct vcpu_state vcpus[2] = { { .fd = VCPU_FD, .id = 1 }, { .fd = VCPU_FD + 1, .id = 5 } };
	struct vm_state vm;

	assert_int_equal(probe_v2(&vm, vcpus, 0, NULL), 0);
	probe_again(KVM + 1, 5, &spi);
	assert_int_equal(probe_vgic_v2_lines(42, KVM, &vm), -EIO);
	assert_true(log_has("did not see its VM again"));
	assert_int_equal(vm.vgic_v2->lines[1].latch, 0x21);
	vgic_v2_free(vm.vgic_v2);
}

static void an_sgi_whose_sender_would_be_lost_is_refused(void **state)
{
	const struct kvm_rec foreign = { .type = KVM_REC_LINES, .fd = VCPU_FD + 1, .lines = { 0, 0, 0, 0x28 } };
	struct vcpu_state vcpus[2] = { { .fd = VCPU_FD, .id = 1 }, { .fd = VCPU_FD + 1, .id = 5 } };
	struct vm_state vm;

	assert_int_equal(probe_v2(&vm, vcpus, 1, &foreign), -ENOTSUP);
	assert_int_equal(log_errors(), 1);
	assert_true(log_has("pid 42: fd 11 (vCPU id 5): an active SGI 3 of a GICv2 that another vCPU than 0 has sent: "));
	assert_true(log_has("try again"));
	vgic_v2_free(vm.vgic_v2);
}

static void a_vcpu_that_a_gicv2_cannot_have_is_refused(void **state)
{
	struct vcpu_state vcpus[2] = { { .fd = VCPU_FD, .id = 7 }, { .fd = VCPU_FD + 1, .id = 8 } };
	struct vm_state vm;

	assert_int_equal(probe_v2(&vm, vcpus, 0, NULL), -ENOTSUP);
	assert_int_equal(log_errors(), 1);
	assert_true(log_has("pid 42: fd 11 (vCPU id 8): a vCPU id above 7 with a GICv2: "));
	vgic_v2_free(vm.vgic_v2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_events_that_were_allowed_are_found),
		cmocka_unit_test(events_in_any_pattern_are_found),
		cmocka_unit_test(a_vcpu_with_nothing_has_nothing),
		cmocka_unit_test(what_a_vmm_has_set_up_is_found),
		cmocka_unit_test(a_signal_mask_that_is_not_in_use_is_none),
		cmocka_unit_test(the_registers_of_a_debugger_are_found),
		cmocka_unit_test(what_is_on_its_way_into_a_vcpu_is_refused),
		cmocka_unit_test(other_flags_do_not_matter),
		cmocka_unit_test(a_vm_without_capabilities_has_none),
		cmocka_unit_test(each_capability_is_found),
		cmocka_unit_test(the_smccc_filter_is_found),
		cmocka_unit_test(an_smccc_filter_that_was_not_read_to_its_end_is_refused),
		cmocka_unit_test(stolen_time_in_memory_is_well),
		cmocka_unit_test(stolen_time_without_memory_is_refused),
		cmocka_unit_test(exits_outside_memory_are_well),
		cmocka_unit_test(exits_over_which_a_memslot_lies_are_refused),
		cmocka_unit_test(the_lines_of_a_gicv2_are_found),
		cmocka_unit_test(lines_that_change_meanwhile_are_found),
		cmocka_unit_test(lines_of_another_vm_are_none),
		cmocka_unit_test(an_sgi_whose_sender_would_be_lost_is_refused),
		cmocka_unit_test(a_vcpu_that_a_gicv2_cannot_have_is_refused),
	};

	return cmocka_run_group_tests_name("records of the probe", tests, NULL, NULL);
}
