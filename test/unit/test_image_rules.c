// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each rule that an image must keep, by the VM that breaks it and what is said of
 * it. Writing checks nothing, so that a state that no dump makes can be written.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "its_entry.h"
#include "testlog.h"

struct rule {
	const char *name;
	void (*break_it)(struct vm_state *vm);
	const char *says;
	/* Where image_check() and image_read_all() differ: a bound of the format, or what only a whole dump has. */
	enum { BOTH, READ_ONLY, CHECK_ONLY } by;
	bool v5; /* of a VM with a GICv5 */
};

static const struct rule *rules[512];
static size_t nr_rules;

/* A test's name, what it does to the VM, and the one line that must come of it. */
#define RULE(name_, by_, says_, ...) ADD_RULE(name_, false, by_, says_, __VA_ARGS__)
#define V5_RULE(name_, by_, says_, ...) ADD_RULE(name_, true, by_, says_, __VA_ARGS__)
#define ADD_RULE(name_, v5_, by_, says_, ...)                                 \
	static void name_(struct vm_state *vm)                                \
	{                                                                     \
		__VA_ARGS__;                                                  \
	}                                                                     \
	static void __attribute__((constructor)) add_##name_(void)            \
	{                                                                     \
		static const struct rule rule = { #name_, name_, says_, by_, v5_ }; \
                                                                              \
		rules[nr_rules++] = &rule;                                    \
	}

#define VCPU0 (&vm->vcpus[0])
#define VCPU1 (&vm->vcpus[1])
#define GIC (vm->vgic)
#define ITS0 (&vm->itses[0])
#define ITS1 (&vm->itses[1])
#define ITS2 (&vm->itses[2])
#define RUN0 ((struct kvm_run *)vm->vcpus[0].run)
#define RUN1 ((struct kvm_run *)vm->vcpus[1].run)

/* By name: the order of the tables is the restore's business. */
static struct vgic_values *values(const struct vgic_reg *table, size_t nr_regs, struct vgic_values *of,
				  const char *name)
{
	for (size_t r = 0; r < nr_regs; r++)
		if (!strcmp(table[r].name, name))
			return &of[r];
	abort();
}

#define DIST(name) values(vgic_v3_dist_regs, vgic_v3_nr_dist_regs, GIC->dist, name)
#define REDIST(i, name) values(vgic_v3_redist_regs, vgic_v3_nr_redist_regs, GIC->redist[i], name)
#define ITSREG(its, name) values(its_regs, its_nr_regs, (its)->regs, name)
#define CPUIF(i, name) values(vgic_v3_cpuif_regs, vgic_v3_nr_cpuif_regs, GIC->cpuif[i], name)

static void *grow(void *array, size_t n, size_t size)
{
	array = realloc(array, n * size);
	if (!array)
		abort();
	return array;
}

/* The VM: kvm-vm.img */
RULE(vm_id_zero, BOTH, "kvm-vm.img: VM 0: id is 0", vm->id = 0)
RULE(vpid_zero, BOTH, "kvm-vm.img: VM 1: vpid 0 is no pid", vm->vpid = 0)
RULE(page_size_small, BOTH, "kvm-vm.img: VM 1: page_size 2048 is no page size", vm->page_size = 2048)
RULE(page_size_large, BOTH, "kvm-vm.img: VM 1: page_size 131072 is no page size", vm->page_size = 131072)
RULE(page_size_odd, BOTH, "kvm-vm.img: VM 1: page_size 12288 is no page size", vm->page_size = 12288)
RULE(boot_id_letter, BOTH, "kvm-vm.img: VM 1: boot_id is no UUID", vm->boot_id[0] = 'g')
RULE(boot_id_dash, BOTH, "kvm-vm.img: VM 1: boot_id is no UUID", vm->boot_id[8] = '0')
RULE(boot_id_short, READ_ONLY, "kvm-vm.img: VM 1: boot_id: 36 characters expected, 35 found", vm->boot_id[35] = 0)
RULE(boot_id_short_at_dump, CHECK_ONLY, "kvm-vm.img: VM 1: boot_id is no UUID", vm->boot_id[35] = 0)
RULE(boot_id_long_at_dump, CHECK_ONLY, "kvm-vm.img: VM 1: boot_id is no UUID", vm->boot_id[36] = '0')
RULE(ipa_bits_few, BOTH, "kvm-vm.img: VM 1: ipa_bits 31, 32 to 52 expected", vm->ipa_bits = 31)
RULE(ipa_bits_many, BOTH, "kvm-vm.img: VM 1: ipa_bits 53, 32 to 52 expected", vm->ipa_bits = 53)
RULE(park_base_negative, BOTH, "kvm-vm.img: VM 1: park_base -1 is no fd number", vm->park_base = -1)
RULE(park_base_huge, BOTH, "kvm-vm.img: VM 1: park_base 2147483102 is no fd number",
     vm->park_base = INT32_MAX - 2 - VM_MAX_VCPUS - VM_MAX_ITSES + 1)

RULE(features_nested, BOTH, "kvm-vm.img: VM 1: features 0x80 are not known", vm->features = 1 << KVM_ARM_VCPU_HAS_EL2)
RULE(features_unknown, BOTH, "kvm-vm.img: VM 1: features 0x10000000008 are not known", vm->features = 1ULL << 40 | 8)
RULE(caps_unknown, BOTH, "kvm-vm.img: VM 1: caps 0x1ff are not known", vm->caps |= 0x100)
RULE(caps_of_a_bit_at_the_top, BOTH, "kvm-vm.img: VM 1: caps 0x80000000 are not known", vm->caps = 1u << 31)
RULE(halt_poll_without_cap, CHECK_ONLY, "kvm-vm.img: VM 1: halt_poll_ns, and no KVM_CAP_HALT_POLL",
     vm->caps &= ~VM_CAP_HALT_POLL)
RULE(manual_without_cap, CHECK_ONLY, "kvm-vm.img: VM 1: manual_dirty_log 0x3, and caps 0xf7",
     vm->caps &= ~VM_CAP_MANUAL_DIRTY_LOG)
RULE(manual_without_value, BOTH, "kvm-vm.img: VM 1: manual_dirty_log 0x0, and caps 0xff", vm->manual_dirty_log = 0)
RULE(manual_initially_set_alone, BOTH, "kvm-vm.img: VM 1: manual_dirty_log 0x2 is not known", vm->manual_dirty_log = 2)
RULE(manual_unknown, BOTH, "kvm-vm.img: VM 1: manual_dirty_log 0x5 is not known", vm->manual_dirty_log = 5)
RULE(split_without_cap, CHECK_ONLY, "kvm-vm.img: VM 1: split_chunk 0x200000, and caps 0xef",
     vm->caps &= ~VM_CAP_EAGER_SPLIT)
RULE(split_without_value, BOTH, "kvm-vm.img: VM 1: split_chunk 0x0, and caps 0xff", vm->split_chunk = 0)
RULE(split_of_no_size, BOTH, "kvm-vm.img: VM 1: split_chunk 0x3000 is no size of a block", vm->split_chunk = 0x3000)

/* SMCCC calls: 0x1000, 0x84000000 to 0x84000007, 0xc3000000 to 0xffffffff */
#define CALLS(i) (&vm->smccc_filter.ranges[i])
RULE(smccc_without_cap, CHECK_ONLY, "kvm-vm.img: VM 1: smccc_filter, and caps 0x7f", vm->caps &= ~VM_CAP_SMCCC_FILTER)
RULE(smccc_backwards, BOTH, "kvm-vm.img: VM 1: smccc_filter: range 0, 0x1000 to 0xfff: not after the one before",
     CALLS(0)->last = 0xfff)
RULE(smccc_overlap, BOTH,
     "kvm-vm.img: VM 1: smccc_filter: range 2, 0x84000007 to 0xffffffff: not after the one before",
     CALLS(2)->first = 0x84000007)
RULE(smccc_action, BOTH, "kvm-vm.img: VM 1: smccc_filter: range 1: action 3 is not known", CALLS(1)->action = 3)
RULE(smccc_reserved, BOTH, "kvm-vm.img: VM 1: smccc_filter: range 1, 0x8000ffff to 0x84000007: KVM's own",
     CALLS(1)->first = 0x8000ffff)
RULE(smccc_reserved_64, BOTH, "kvm-vm.img: VM 1: smccc_filter: range 2, 0xc0000000 to 0xc0000000: KVM's own",
     CALLS(2)->first = CALLS(2)->last = 0xc0000000)
RULE(smccc_around_reserved, BOTH, "kvm-vm.img: VM 1: smccc_filter: range 0, 0x0 to 0xffffffff: KVM's own",
     CALLS(0)->first = 0, CALLS(0)->last = UINT32_MAX)
RULE(smccc_many, READ_ONLY, "kvm-vm.img: VM 1: 1025 ranges of SMCCC calls, at most 1024 expected",
     vm->smccc_filter.ranges = grow(vm->smccc_filter.ranges, 1025, sizeof(*CALLS(0))), vm->smccc_filter.nr = 1025,
     memset(CALLS(0), 0, 1025 * sizeof(*CALLS(0))))
RULE(smccc_many_at_dump, CHECK_ONLY, "kvm-vm.img: VM 1: smccc_filter: 1025 ranges, at most 1024 expected",
     vm->smccc_filter.nr = 1025)

/* Events of the PMU: 0, 0x11 to 0x3ff, 0x8000 to 0xfffe, 0xffff */
#define RANGE(i) (&vm->pmu_filter.allowed[i])
#define NO_RANGE(i, range) \
	"kvm-vm.img: VM 1: pmu_filter: range " #i ", " range ": not after the one before, or beyond 0xffff"
RULE(filter_without_pmu, BOTH, "kvm-vm.img: VM 1: pmu_filter, and no PMU", vm->features = 0)
RULE(filter_backwards, BOTH, NO_RANGE(1, "0x11 to 0x10"), RANGE(1)->last = 0x10)
RULE(filter_first_backwards, BOTH, NO_RANGE(0, "0x1 to 0x0"), RANGE(0)->first = 1)
RULE(filter_beyond, BOTH, NO_RANGE(3, "0xffff to 0x10000"), RANGE(3)->last = 0x10000)
RULE(filter_all_beyond, BOTH, NO_RANGE(3, "0x10000 to 0x10000"), RANGE(3)->first = RANGE(3)->last = 0x10000)
RULE(filter_overlap, BOTH, NO_RANGE(2, "0x3ff to 0xfffe"), RANGE(2)->first = 0x3ff)
RULE(filter_order, BOTH, NO_RANGE(2, "0x1 to 0x2"), RANGE(2)->first = 1, RANGE(2)->last = 2)
RULE(filter_many, READ_ONLY, "kvm-vm.img: VM 1: 32769 ranges of PMU events, at most 32768 expected",
     vm->pmu_filter.allowed = grow(vm->pmu_filter.allowed, 32769, sizeof(*RANGE(0))), vm->pmu_filter.nr = 32769,
     memset(RANGE(0), 0, 32769 * sizeof(*RANGE(0))))
RULE(filter_many_at_dump, CHECK_ONLY, "kvm-vm.img: VM 1: pmu_filter: 32769 ranges, at most 32768 expected",
     vm->pmu_filter.nr = 32769)

/* What it has bound; the VM's owner is pid 101. */
#define IRQFD(i) (&vm->irqfds[i])
#define IOEVENTFD(i) (&vm->ioeventfds[i])
#define ROUTE(i) (&vm->routing.routes[i])
#define NO_ROUTE(i, what) "kvm-vm.img: VM 1: GSI route " #i ": " what ": not one that KVM takes"
#define NO_EVENTFD(what) "kvm-vm.img: VM 1: " what ": no pid and fd of an eventfd"
#define NO_LENGTH(i, what) "kvm-vm.img: VM 1: ioeventfd " #i ": address " what
RULE(irqfd_of_no_pid, BOTH, NO_EVENTFD("irqfd 1"), IRQFD(1)->eventfd.vpid = 0)
RULE(irqfd_of_no_fd, BOTH, NO_EVENTFD("irqfd 1"), IRQFD(1)->eventfd.fd = -1)
RULE(irqfd_of_a_parked_fd, BOTH, NO_EVENTFD("irqfd 0"), IRQFD(0)->eventfd.fd = 1000)
RULE(irqfd_of_the_last_parked_fd, BOTH, NO_EVENTFD("irqfd 0"), IRQFD(0)->eventfd.fd = 1000 + vm_nr_parked(vm) - 1)
RULE(irqfd_resampled_to_no_fd, BOTH, NO_EVENTFD("irqfd 0"), IRQFD(0)->resamplefd.fd = INT32_MIN)
RULE(irqfds_many, READ_ONLY, "kvm-vm.img: VM 1: 16385 irqfds, at most 16384 expected",
     vm->irqfds = grow(vm->irqfds, 16385, sizeof(*IRQFD(0))), vm->nr_irqfds = 16385,
     memset(IRQFD(0), 0, 16385 * sizeof(*IRQFD(0))))
RULE(irqfds_many_at_dump, CHECK_ONLY, "kvm-vm.img: VM 1: 16385 irqfds, at most 16384 expected", vm->nr_irqfds = 16385)
RULE(ioeventfd_flags, BOTH, "kvm-vm.img: VM 1: ioeventfd 1: flags 0x4 are not known",
     IOEVENTFD(1)->flags = KVM_IOEVENTFD_FLAG_DEASSIGN)
RULE(ioeventfd_length_odd, BOTH, NO_LENGTH(0, "0xfffffffffffffff0, length 3: not for flags 0x3"), IOEVENTFD(0)->len = 3)
RULE(ioeventfd_length_large, BOTH, NO_LENGTH(0, "0xfffffffffffffff0, length 16: not for flags 0x3"),
     IOEVENTFD(0)->len = 16)
RULE(ioeventfd_matches_nothing, BOTH, NO_LENGTH(0, "0xfffffffffffffff0, length 0: not for flags 0x3"),
     IOEVENTFD(0)->len = 0)
RULE(ioeventfd_overflow, BOTH, NO_LENGTH(0, "0xfffffffffffffff8, length 8: not for flags 0x3"),
     IOEVENTFD(0)->addr = 0xfffffffffffffff8)
RULE(ioeventfd_of_no_fd, BOTH, NO_EVENTFD("ioeventfd 1"), IOEVENTFD(1)->eventfd.fd = -1)
RULE(ioeventfds_many, READ_ONLY, "kvm-vm.img: VM 1: 16385 ioeventfds, at most 16384 expected",
     vm->ioeventfds = grow(vm->ioeventfds, 16385, sizeof(*IOEVENTFD(0))), vm->nr_ioeventfds = 16385,
     memset(IOEVENTFD(0), 0, 16385 * sizeof(*IOEVENTFD(0))))
RULE(ioeventfds_many_at_dump, CHECK_ONLY, "kvm-vm.img: VM 1: 16385 ioeventfds, at most 16384 expected",
     vm->nr_ioeventfds = 16385)
RULE(route_gsi, BOTH, NO_ROUTE(2, "GSI 4096, type 2"), ROUTE(2)->gsi = 4096)
RULE(route_type, BOTH, NO_ROUTE(2, "GSI 0, type 3"), ROUTE(2)->type = 3)
RULE(route_flags, BOTH, NO_ROUTE(1, "GSI 7, type 2"), ROUTE(1)->flags = 2)
RULE(route_irqchip, BOTH, NO_ROUTE(0, "GSI 4095, type 1"), ROUTE(0)->irqchip = 1)
RULE(route_pin, BOTH, NO_ROUTE(0, "GSI 4095, type 1"), ROUTE(0)->pin = 988)
RULE(route_twice, BOTH, "kvm-vm.img: VM 1: GSI route 2: GSI 7 has another", ROUTE(2)->gsi = 7)
RULE(routes_many, READ_ONLY, "kvm-vm.img: VM 1: 4097 GSI routes, at most 4096 expected",
     vm->routing.routes = grow(vm->routing.routes, 4097, sizeof(*ROUTE(0))), vm->routing.nr = 4097,
     memset(ROUTE(0), 0, 4097 * sizeof(*ROUTE(0))))
RULE(routes_many_at_dump, CHECK_ONLY, "kvm-vm.img: VM 1: 4097 GSI routes, at most 4096 expected", vm->routing.nr = 4097)
RULE(zone_pio, BOTH, "kvm-vm.img: VM 1: coalesced MMIO zone 1: pio is 2, 0 or 1 expected", vm->zones[1].pio = 2)
RULE(zones_many, READ_ONLY, "kvm-vm.img: VM 1: 2049 coalesced MMIO zones, at most 2048 expected",
     vm->zones = grow(vm->zones, 2049, sizeof(*vm->zones)), vm->nr_zones = 2049,
     memset(vm->zones, 0, 2049 * sizeof(*vm->zones)))
RULE(zones_many_at_dump, CHECK_ONLY, "kvm-vm.img: VM 1: 2049 coalesced MMIO zones, at most 2048 expected",
     vm->nr_zones = 2049)

/* Memslots */
RULE(slot_gpa_unaligned, BOTH, "kvm-vm.img: VM 1: memslot 1: not aligned to pages of 4096 bytes",
     vm->slots[0].gpa += 1)
RULE(slot_size_unaligned, BOTH, "kvm-vm.img: VM 1: memslot 1: not aligned to pages of 4096 bytes",
     vm->slots[0].size -= 1)
RULE(slot_hva_unaligned, BOTH, "kvm-vm.img: VM 1: memslot 1: not aligned to pages of 4096 bytes",
     vm->slots[0].hva += 2048)
RULE(slot_empty, BOTH, "kvm-vm.img: VM 1: memslot 7: gpa 0x48000000, size 0x0: not within 40 IPA bits",
     vm->slots[2].size = 0)
RULE(slot_beyond_ipa, BOTH, "kvm-vm.img: VM 1: memslot 7: gpa 0x10000000000, size 0x1000: not within 40 IPA bits",
     vm->slots[2].gpa = 1ULL << 40)
RULE(slot_across_ipa, BOTH, "kvm-vm.img: VM 1: memslot 7: gpa 0xfffffff000, size 0x2000: not within 40 IPA bits",
     vm->slots[2].gpa = (1ULL << 40) - 4096, vm->slots[2].size = 8192)
RULE(slot_gpa_overflow, BOTH,
     "kvm-vm.img: VM 1: memslot 7: gpa 0xfffffffffffff000, size 0x2000: not within 40 IPA bits",
     vm->slots[2].gpa = -4096ULL, vm->slots[2].size = 8192)
RULE(slot_hva_overflow, BOTH, "kvm-vm.img: VM 1: memslot 7: hva 0xfffffffffffff000, size 0x2000: overflow",
     vm->slots[2].hva = -4096ULL, vm->slots[2].size = 8192)
RULE(slot_id, BOTH, "kvm-vm.img: VM 1: memslot 32767: an id up to 32766 expected", vm->slots[2].slot = 32767)
RULE(slot_address_space, BOTH, "kvm-vm.img: VM 1: memslot 65543: an id up to 32766 expected", vm->slots[2].slot |= 1 << 16)
RULE(slot_flags, BOTH, "kvm-vm.img: VM 1: memslot 7: flags 0x4 are not known", vm->slots[2].flags = 4)
/* The log of memslot 1, of 32768 pages: 0, 3, 1000, 31765 */
RULE(log_without_logging, BOTH, "kvm-vm.img: VM 1: memslot 1: a dirty log, and flags 0x2",
     vm->slots[0].flags = KVM_MEM_READONLY)
RULE(log_without_end, BOTH, "kvm-vm.img: VM 1: memslot 1: a dirty log of 3 runs", vm->slots[0].log.nr = 3)
RULE(log_empty_run, BOTH, "kvm-vm.img: VM 1: memslot 1: dirty log, run 1: 0 pages of 32768",
     vm->slots[0].log.runs[1] = 0)
RULE(log_beyond, BOTH, "kvm-vm.img: VM 1: memslot 1: dirty log, run 3: 31766 pages of 31765",
     vm->slots[0].log.runs[3]++)
/* A page more than the most: the log of a memslot that is all clean takes no room in the image, and much in the kernel. */
#define MANY_LOGGED ((struct memslot){ 7, KVM_MEM_LOG_DIRTY_PAGES, 1ULL << 44, (1ULL << 40) - 32767 * 4096, 1ULL << 40, .log = { 0 } })
RULE(logs_many, BOTH, "kvm-vm.img: VM 1: more than 268435456 pages with dirty logs", vm->ipa_bits = 48,
     vm->slots[2] = MANY_LOGGED)
RULE(log_overflow, BOTH, "kvm-vm.img: VM 1: memslot 1: dirty log, run 2: 18446744073709551615 pages of 32765",
     vm->slots[0].log.runs[2] = UINT64_MAX)
RULE(slot_id_twice, BOTH, "kvm-vm.img: VM 1: memslot 1: twice", vm->slots[2].slot = 1)
RULE(slot_gpa_overlap, BOTH, "kvm-vm.img: VM 1: memslot 7: gpa 0x47fff000 is memslot 1's too",
     vm->slots[2].gpa = 0x47fff000)
RULE(slots_many, READ_ONLY, "kvm-vm.img: VM 1: 32768 memslots, at most 32767 expected",
     free(vm->slots[0].log.runs), vm->slots = grow(vm->slots, 32768, sizeof(*vm->slots)), vm->nr_slots = 32768,
     memset(vm->slots, 0, 32768 * sizeof(*vm->slots)))
RULE(slots_many_at_dump, CHECK_ONLY, "kvm-vm.img: VM 1: 32768 memslots, at most 32767 expected",
     free(vm->slots[0].log.runs), vm->slots = grow(vm->slots, 32768, sizeof(*vm->slots)), vm->nr_slots = 32768,
     memset(vm->slots, 0, 32768 * sizeof(*vm->slots)))

/* Files under memslots */
#define BACKING (&vm->backings[1])
#define NO_PATH "kvm-vm.img: VM 1: backing 1: no absolute path, or one with control characters"
static char *longest_path(size_t length)
{
	char *path = calloc(1, length + 1);

	if (!path)
		abort();
	return memset(path, '/', length);
}
RULE(backing_path_relative, BOTH, NO_PATH, BACKING->path[0] = '.')
RULE(backing_path_empty, BOTH, NO_PATH, BACKING->path[0] = 0)
RULE(backing_path_newline, BOTH, NO_PATH, BACKING->path[4] = '\n')
RULE(backing_path_delete, BOTH, NO_PATH, BACKING->path[4] = 0x7f)
RULE(backing_path_long, BOTH, NO_PATH, free(BACKING->path), BACKING->path = longest_path(4096))
RULE(backing_empty, BOTH,
     "kvm-vm.img: VM 1: backing 1: offset 0x0, size 0x0: not in a file of 0x4000000 bytes", BACKING->size = 0)
RULE(backing_unaligned, BOTH,
     "kvm-vm.img: VM 1: backing 1: offset 0x800, size 0x1000: not in a file of 0x4000000 bytes",
     BACKING->offset = 0x800, BACKING->size = 0x1000)
RULE(backing_beyond_file, BOTH,
     "kvm-vm.img: VM 1: backing 1: offset 0x1000, size 0x4000000: not in a file of 0x4000000 bytes",
     BACKING->offset = 0x1000)
RULE(backing_file_huge, BOTH,
     "kvm-vm.img: VM 1: backing 1: offset 0x0, size 0x4000000: not in a file of 0x8000000000000000 bytes",
     BACKING->file_size = 1ULL << 63)
RULE(backing_overflow, BOTH,
     "kvm-vm.img: VM 1: backing 1: offset 0x1000, size 0xfffffffffffff000: not in a file of 0x4000000 bytes",
     BACKING->offset = 0x1000, BACKING->size = -4096ULL)
/* Else one large file could be read thousands of times. */
RULE(backing_overlap, BOTH, "kvm-vm.img: VM 1: backing 1: gpa 0x43fff000 is backing 0's too",
     BACKING->gpa = 0x43fff000)
RULE(backing_of_no_slot, BOTH, "kvm-vm.img: VM 1: backing 1: gpa 0x44000000, size 0x4000000: not in memslot 5",
     BACKING->slot = 5)
RULE(backing_before_slot, BOTH, "kvm-vm.img: VM 1: backing 1: gpa 0x3ffff000, size 0x4000000: not in memslot 1",
     BACKING->gpa = 0x3ffff000)
RULE(backing_across_slot, BOTH, "kvm-vm.img: VM 1: backing 1: gpa 0x44001000, size 0x4000000: not in memslot 1",
     BACKING->gpa = 0x44001000)
RULE(backing_after_slot, BOTH, "kvm-vm.img: VM 1: backing 1: gpa 0x48000000, size 0x4000000: not in memslot 1",
     BACKING->gpa = 0x48000000)
RULE(backings_many_at_dump, CHECK_ONLY, "kvm-vm.img: VM 1: 4097 backings, at most 4096 expected",
     vm->nr_backings = 4097)

/* vCPUs */
RULE(vcpus_none, BOTH, "kvm-vcpu-1.img: 0 vCPUs, 1 to 512 expected", vm->nr_vcpus = 0)
RULE(vcpus_many_at_dump, CHECK_ONLY, "kvm-vcpu-1.img: 513 vCPUs, 1 to 512 expected", vm->nr_vcpus = 513)
RULE(vcpu_idx, CHECK_ONLY, "kvm-vcpu-1.img: vCPU 1: idx 5, its place is 1", VCPU1->idx = 5)
RULE(vcpu_idx_twice, BOTH, "kvm-vcpu-1.img: vCPU 1: idx 0, its place is 1", VCPU1->idx = 0)
RULE(vcpu_id_beyond, BOTH, "kvm-vcpu-1.img: vCPU 1: id 512, below 512 expected", VCPU1->id = 512)
RULE(vcpu_id_twice, BOTH, "kvm-vcpu-1.img: vCPU 1: id 4 is vCPU 0's too", VCPU1->id = VCPU0->id)
/* Bit 31 is always set in the register, and no part of the affinity. */
RULE(vcpu_mpidr_twice, BOTH, "kvm-vcpu-1.img: vCPU 1: mpidr 0x1 is vCPU 0's too", VCPU1->mpidr = 1,
     memcpy(VCPU1->regs[0].value, &VCPU1->mpidr, 8))
RULE(vcpu_mpidr_other, BOTH, "kvm-vcpu-1.img: vCPU 1: mpidr 0x80000100, its register says 0x80000002",
     VCPU1->mpidr = 0x80000100)
RULE(timer_irq_sgi, BOTH, "kvm-vcpu-1.img: vCPU 1: vtimer_irq 15, ptimer_irq 30: two of 16 to 31 expected",
     VCPU1->vtimer_irq = 15)
RULE(timer_irq_spi, BOTH, "kvm-vcpu-1.img: vCPU 1: vtimer_irq 27, ptimer_irq 32: two of 16 to 31 expected",
     VCPU1->ptimer_irq = 32)
RULE(timer_irq_same, BOTH, "kvm-vcpu-1.img: vCPU 1: vtimer_irq 27, ptimer_irq 27: two of 16 to 31 expected",
     VCPU1->ptimer_irq = 27)
RULE(vtimer_irq_other, BOTH,
     "kvm-vcpu-1.img: vCPU 1: vtimer_irq 26, ptimer_irq 30, of vCPU 0 27 and 30: the same for all expected",
     VCPU1->vtimer_irq = 26)
RULE(ptimer_irq_other, BOTH,
     "kvm-vcpu-1.img: vCPU 1: vtimer_irq 27, ptimer_irq 29, of vCPU 0 27 and 30: the same for all expected",
     VCPU1->ptimer_irq = 29)
static void add_pmcr(struct vcpu_state *vcpu, uint64_t value)
{
	struct vcpu_reg *reg = &vcpu->regs[vcpu->nr_regs++];

	*reg = (struct vcpu_reg){ .id = ARM64_PMCR_EL0 };
	memcpy(reg->value, &value, sizeof(value));
}

#define NO_PMU vm->features = 0, vm->pmu_filter.active = false
RULE(pmu_irq_without_pmu, BOTH, "kvm-vcpu-1.img: vCPU 0: pmu_irq 23, pmu_created 0, and no PMU", NO_PMU,
     VCPU0->pmu_created = false)
RULE(pmu_created_without_pmu, BOTH, "kvm-vcpu-1.img: vCPU 1: pmu_irq 0, pmu_created 1, and no PMU", NO_PMU,
     VCPU0->pmu_irq = 0, VCPU0->pmu_created = false, VCPU1->pmu_irq = 0)
RULE(pmu_irq_sgi, BOTH, "kvm-vcpu-1.img: vCPU 1: pmu_irq 15 is no PPI or SPI", VCPU1->pmu_irq = 15)
RULE(pmu_irq_none_of_kvm, BOTH, "kvm-vcpu-1.img: vCPU 1: pmu_irq 1020 is no PPI or SPI", VCPU1->pmu_irq = 1020)
RULE(pmu_irq_last_of_all, BOTH, "kvm-vcpu-1.img: vCPU 1: pmu_irq 1023 is no PPI or SPI",
     VCPU1->pmu_irq = VGIC_MAX_IRQS - 1)
RULE(pmu_irq_large, BOTH, "kvm-vcpu-1.img: vCPU 1: pmu_irq 1024 is no PPI or SPI", VCPU1->pmu_irq = VGIC_MAX_IRQS)
RULE(pmu_irq_behind_the_gic, BOTH, "kvm-vcpu-1.img: vCPU 0: pmu_irq 96, and the GIC has 96 interrupts",
     VCPU0->pmu_irq = 96, VCPU1->pmu_irq = 0)
RULE(pmu_irq_other_ppi, BOTH,
     "kvm-vcpu-1.img: vCPU 1: pmu_irq 22, of vCPU 0 23: the same PPI expected, or another SPI",
     VCPU1->pmu_irq = 22)
RULE(pmu_irq_same_spi, BOTH,
     "kvm-vcpu-1.img: vCPU 1: pmu_irq 40, of vCPU 0 40: the same PPI expected, or another SPI",
     VCPU0->pmu_irq = VCPU1->pmu_irq = 40)
RULE(pmu_created_without_irq, BOTH,
     "kvm-vcpu-1.img: vCPU 1: pmu_created 1, and no pmu_irq: KVM_ARM_VCPU_PMU_V3_INIT takes none without",
     VCPU1->pmu_irq = 0)
RULE(pmcr_n, BOTH, "kvm-vcpu-1.img: vCPU 1: PMCR_EL0.N is 22, of vCPU 0 6: the same for all expected",
     add_pmcr(VCPU0, 6ull << 11 | 1), add_pmcr(VCPU1, 22ull << 11 | 1))
V5_RULE(pmu_irq_of_a_gicv3, BOTH, "kvm-vcpu-1.img: vCPU 0: pmu_irq 23 is no PPI or SPI", VCPU0->pmu_irq = 23)
V5_RULE(pmu_irq_other_ppi_of_a_gicv5, BOTH, "kvm-vcpu-1.img: vCPU 1: pmu_irq 536870934 is no PPI or SPI",
	VCPU1->pmu_irq = 0x20000016)
RULE(pvtime_unaligned, BOTH,
     "kvm-vcpu-1.img: vCPU 1: pvtime 0x40000020: not aligned to 64 bytes, or not within 40 IPA bits",
     VCPU1->pvtime = 0x40000020)
RULE(pvtime_beyond, BOTH,
     "kvm-vcpu-1.img: vCPU 0: pvtime 0x10000000000: not aligned to 64 bytes, or not within 40 IPA bits",
     VCPU0->pvtime = 1ULL << 40)
RULE(pvtime_overflow, BOTH,
     "kvm-vcpu-1.img: vCPU 0: pvtime 0xffffffffffffffc0: not aligned to 64 bytes, or not within 40 IPA bits",
     VCPU0->pvtime = -64ULL)
#define NO_PVTIME_SLOT(ipa) "pvtime " ipa ": no memslot is there that can be written, and KVM would refuse it"
RULE(pvtime_without_memory, BOTH, "kvm-vcpu-1.img: vCPU 0: " NO_PVTIME_SLOT("0x20000000"), VCPU0->pvtime = 0x20000000)
RULE(pvtime_behind_memory, BOTH, "kvm-vcpu-1.img: vCPU 1: " NO_PVTIME_SLOT("0x48001000"), VCPU1->pvtime = 0x48001000)
RULE(pvtime_before_memory, BOTH, "kvm-vcpu-1.img: vCPU 0: " NO_PVTIME_SLOT("0x3fffffc0"), VCPU0->pvtime = 0x3fffffc0)
RULE(pvtime_read_only, BOTH, "kvm-vcpu-1.img: vCPU 1: " NO_PVTIME_SLOT("0x1000"), VCPU1->pvtime = 0x1000)
RULE(debug_not_enabled, BOTH, "kvm-vcpu-1.img: vCPU 0: debug: control 0x2 is not known", VCPU0->debug.control = 2)
RULE(debug_unknown, BOTH, "kvm-vcpu-1.img: vCPU 1: debug: control 0x40001 is not known",
     VCPU1->debug.control = 0x40001)
RULE(serror_esr_wide, BOTH, "kvm-vcpu-events-1.img: vCPU 1: serror_esr 0x2000000, 25 bits expected",
     VCPU1->events.exception.serror_esr = 0x2000000)
RULE(serror_esr_of_none_wide, BOTH, "kvm-vcpu-events-1.img: vCPU 0: serror_esr 0x8000000000000000, 25 bits expected",
     VCPU0->events.exception.serror_esr = 1ULL << 63)
RULE(mp_state, BOTH, "kvm-vcpu-1.img: vCPU 1: mp_state 3 is not known", VCPU1->mp_state = KVM_MP_STATE_HALTED)
RULE(fd_negative, BOTH, "kvm-vcpu-1.img: vCPU 1: fd -1, 0 or more expected", VCPU1->fd = -1)
RULE(fd_parked, BOTH, "kvm-vm.img: VM 1: park_base 1000: fd 1000 is that of kvm-vgic-1.img too", GIC->fd = 1000)
RULE(fd_of_vm_parked, BOTH, "kvm-vm.img: VM 1: fd 1001 is that of kvm-vm.img: VM 1: park_base 1000 too", vm->fd = 1001)
RULE(fd_twice, BOTH, "kvm-vcpu-1.img: vCPU 1: fd 6 is that of kvm-vgic-1.img too", VCPU1->fd = 6)
RULE(fd_of_vm_twice, BOTH, "kvm-vgic-1.img: fd 6 is that of kvm-vm.img: VM 1 too", vm->fd = 6)

/* Registers */
RULE(regs_none, BOTH, "kvm-vcpu-1.img: vCPU 0: 0 registers, 1 to 4096 expected", VCPU0->nr_regs = 0)
RULE(regs_none_at_dump, CHECK_ONLY, "kvm-vcpu-1.img: vCPU 1: 0 registers, 1 to 4096 expected",
     VCPU1->nr_regs = 0)
RULE(regs_none_of_a_later_one, READ_ONLY,
     "kvm-vcpu-1.img: vCPU 1: register 0x603000000013c005: size 8, reg_values has 0 bytes left",
     VCPU1->nr_regs = 0)
RULE(regs_many, READ_ONLY, "kvm-vcpu-1.img: vCPU 1: 4097 registers, at most 4096 expected",
     VCPU1->regs = grow(VCPU1->regs, 4097, sizeof(*VCPU1->regs)), VCPU1->nr_regs = 4097,
     memset(VCPU1->regs, 0, 4097 * sizeof(*VCPU1->regs)))
RULE(regs_many_at_dump, CHECK_ONLY, "kvm-vcpu-1.img: vCPU 1: 4097 registers, 1 to 4096 expected",
     VCPU1->nr_regs = 4097)
RULE(reg_of_another_arch, BOTH, "kvm-vcpu-1.img: vCPU 1: register 0x2030000000100040: not of arm64",
     VCPU1->regs[1].id = KVM_REG_X86 | (ARM64_CORE_PC & ~KVM_REG_ARCH_MASK))
RULE(reg_size, READ_ONLY, "kvm-vcpu-1.img: vCPU 1: register 0x6090000000000000: size 512, at most 256 expected",
     VCPU1->regs[1].id = KVM_REG_ARM64 | 9ULL << KVM_REG_SIZE_SHIFT)
RULE(reg_size_at_dump, CHECK_ONLY, "kvm-vcpu-1.img: vCPU 1: register 0x6090000000000000: larger than 256 bytes",
     VCPU1->regs[1].id = KVM_REG_ARM64 | 9ULL << KVM_REG_SIZE_SHIFT)
RULE(reg_twice, BOTH, "kvm-vcpu-1.img: vCPU 1: register 0x6030000000100042: twice",
     VCPU1->regs[1].id = VCPU1->regs[2].id)

/* Mappings of kvm_run */
RULE(map_start_unaligned, BOTH, "kvm-vcpu-1.img: vCPU 1: mapping 0xffff80008001: not aligned to pages of 4096 bytes",
     VCPU1->maps[0].start += 1)
RULE(map_size_unaligned, BOTH, "kvm-vcpu-1.img: vCPU 1: mapping 0xffff80008000: not aligned to pages of 4096 bytes",
     VCPU1->maps[0].size -= 1)
RULE(map_offset_unaligned, BOTH,
     "kvm-vcpu-1.img: vCPU 1: mapping 0xffff8000c000: not aligned to pages of 4096 bytes",
     VCPU1->maps[1].offset -= 1)
RULE(map_empty, BOTH, "kvm-vcpu-1.img: vCPU 1: mapping 0xffff80008000, size 0x0: empty, or overflow",
     VCPU1->maps[0].size = 0)
RULE(map_overflow, BOTH, "kvm-vcpu-1.img: vCPU 1: mapping 0xfffffffffffff000, size 0x2000: empty, or overflow",
     VCPU1->maps[0].start = -4096ULL)
RULE(map_beyond_run, BOTH,
     "kvm-vcpu-1.img: vCPU 1: mapping 0xffff8000c000: offset 0x2000, size 0x1000: not within the run_size of 0x2000",
     VCPU1->maps[1].offset = 8192)
RULE(map_larger_than_run, BOTH,
     "kvm-vcpu-1.img: vCPU 1: mapping 0xffff80008000: offset 0x0, size 0x3000: not within the run_size of 0x2000",
     VCPU1->maps[0].size = 12288)
RULE(map_offset_overflow, BOTH,
     "kvm-vcpu-1.img: vCPU 1: mapping 0xffff8000c000: offset 0xfffffffffffff000, size 0x1000: "
     "not within the run_size of 0x2000",
     VCPU1->maps[1].offset = -4096ULL)
RULE(map_prot, BOTH, "kvm-vcpu-1.img: vCPU 1: mapping 0xffff80008000: prot 0x7 is not known",
     VCPU1->maps[0].prot = 7)
RULE(map_flags, BOTH, "kvm-vcpu-1.img: vCPU 1: mapping 0xffff80008000: flags 0x204 are not known",
     VCPU1->maps[0].flags |= 0x200)
RULE(map_overlap, BOTH, "kvm-vcpu-1.img: vCPU 1: mapping 0xffff80001000 overlaps one of vCPU 0 of VM 1",
     VCPU1->maps[0].start = 0xffff80001000)
RULE(map_twice, BOTH, "kvm-vcpu-1.img: vCPU 1: mapping 0xffff80009000 overlaps one of vCPU 1 of VM 1",
     VCPU1->maps[1].start = 0xffff80009000)
RULE(maps_many_at_dump, CHECK_ONLY, "kvm-vcpu-1.img: vCPU 1: 17 mappings, at most 16 expected",
     VCPU1->nr_maps = 17)

/* The page, and what is pending */
RULE(run_none, BOTH, "kvm-vcpu-1.img: vCPU 1: run_size 0, two pages of 4096 bytes expected",
     VCPU1->run_size = 0)
RULE(run_no_pages, BOTH, "kvm-vcpu-1.img: vCPU 1: run_size 4097, two pages of 4096 bytes expected", VCPU1->run_size = 4097)
RULE(run_one_page, BOTH, "kvm-vcpu-1.img: vCPU 1: run_size 4096, two pages of 4096 bytes expected",
     VCPU1->run_size = 4096, VCPU1->nr_maps = 0)
RULE(run_four_pages, BOTH, "kvm-vcpu-1.img: vCPU 1: run_size 16384, two pages of 4096 bytes expected",
     VCPU1->run = grow(VCPU1->run, 16384, 1), memset(VCPU1->run + 8192, 0, 8192), VCPU1->run_size = 16384)
RULE(run_large, READ_ONLY, "kvm-vcpu-1.img: vCPU 1: run_size 135168, at most 131072 expected",
     VCPU1->run = grow(VCPU1->run, 135168, 1), VCPU1->run_size = 135168)
RULE(run_large_at_dump, CHECK_ONLY,
     "kvm-vcpu-1.img: vCPU 1: run_size 135168, two pages of 4096 bytes expected",
     VCPU1->run_size = 135168)
RULE(pending_unknown, BOTH, "kvm-vcpu-1.img: vCPU 1: pending 3 is not known", VCPU1->pending = 3)
RULE(pending_without_pstate, BOTH, "kvm-vcpu-1.img: vCPU 1: pending 2, but no PSTATE or no MDSCR_EL1",
     VCPU1->regs[2].id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | 2)
RULE(pending_without_mdscr, BOTH, "kvm-vcpu-1.img: vCPU 1: pending 2, but no PSTATE or no MDSCR_EL1",
     VCPU1->regs[3].id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | 4)
RULE(pending_other_exit, BOTH, "kvm-vcpu-1.img: vCPU 1: pending 2, but exit_reason is 10",
     RUN1->exit_reason = KVM_EXIT_INTR)
RULE(pending_len_zero, BOTH, "kvm-vcpu-1.img: vCPU 1: pending 2, but mmio.len is 0", RUN1->mmio.len = 0)
RULE(pending_len_odd, BOTH, "kvm-vcpu-1.img: vCPU 1: pending 2, but mmio.len is 3", RUN1->mmio.len = 3)
RULE(pending_len_large, BOTH, "kvm-vcpu-1.img: vCPU 1: pending 2, but mmio.len is 16", RUN1->mmio.len = 16)
RULE(pending_write_of_read, BOTH, "kvm-vcpu-1.img: vCPU 1: pending 2, but mmio.is_write is 0",
     RUN1->mmio.is_write = 0)
RULE(pending_read_of_write, BOTH, "kvm-vcpu-1.img: vCPU 1: pending 1, but mmio.is_write is 1",
     VCPU1->pending = VCPU_PENDING_READ)
RULE(pending_is_write_two, BOTH, "kvm-vcpu-1.img: vCPU 1: pending 2, but mmio.is_write is 2",
     RUN1->mmio.is_write = 2)
RULE(pending_in_memory, BOTH,
     "kvm-vcpu-1.img: vCPU 1: pending 2, but mmio.phys_addr 0x48000fff is in memslot 7",
     RUN1->mmio.phys_addr = 0x48000fff)
RULE(pending_read_in_rom, BOTH,
     "kvm-vcpu-1.img: vCPU 0: pending 1, but mmio.phys_addr 0x1ffffc is in memslot 0",
     RUN0->mmio.phys_addr = 0x1ffffc)

/* Events */
RULE(serror_pending, BOTH, "kvm-vcpu-events-1.img: vCPU 1: serror_pending 2, 0 or 1 expected",
     VCPU1->events.exception.serror_pending = 2)
RULE(serror_has_esr, BOTH, "kvm-vcpu-events-1.img: vCPU 1: serror_has_esr 255, 0 or 1 expected",
     VCPU1->events.exception.serror_has_esr = 255)
RULE(ext_dabt_pending, BOTH, "kvm-vcpu-events-1.img: vCPU 1: ext_dabt_pending 1, 0 expected",
     VCPU1->events.exception.ext_dabt_pending = 1)
RULE(events_pad, CHECK_ONLY, "kvm-vcpu-events-1.img: vCPU 1: pad or reserved is not 0",
     VCPU1->events.exception.pad[4] = 1)
RULE(events_reserved, CHECK_ONLY, "kvm-vcpu-events-1.img: vCPU 1: pad or reserved is not 0",
     VCPU1->events.reserved[11] = 1)

/* Threads */
#define THREAD1 (&vm->threads[1])
RULE(thread_tid, BOTH, "kvm-thread-1.img: thread 0: no tid", THREAD1->vtid = 0)
RULE(thread_twice, BOTH, "kvm-thread-1.img: thread 115: twice", THREAD1->vtid = vm->threads[2].vtid)
RULE(thread_set_unknown, BOTH,
     "kvm-thread-1.img: thread 108: register set 0x2 is not known, or not in its place", THREAD1->sets[0].note = 2)
RULE(thread_set_order, BOTH,
     "kvm-thread-1.img: thread 101: register set 0x401 is not known, or not in its place",
     vm->threads[0].sets[1].note = vm->threads[0].sets[0].note)
RULE(thread_set_empty, BOTH, "kvm-thread-1.img: thread 108: register set 0x401 is empty", THREAD1->sets[0].size = 0)
RULE(runner_of_nobody, BOTH, "kvm-vcpu-1.img: vCPU 1: vtid 109 is no thread of the VM's owner", VCPU1->vtid = 109)
RULE(runner_below, BOTH, "kvm-vcpu-1.img: vCPU 0: vtid -101 is no thread of the VM's owner", VCPU0->vtid = -101)

/* The GIC */
RULE(nr_irqs_few, BOTH, "kvm-vgic-1.img: nr_irqs 32, 64 to 1024 in steps of 32 expected", GIC->nr_irqs = 32)
RULE(nr_irqs_none, BOTH, "kvm-vgic-1.img: nr_irqs 0, 64 to 1024 in steps of 32 expected", GIC->nr_irqs = 0)
RULE(nr_irqs_many, BOTH, "kvm-vgic-1.img: nr_irqs 1056, 64 to 1024 in steps of 32 expected", GIC->nr_irqs = 1056)
RULE(nr_irqs_step, BOTH, "kvm-vgic-1.img: nr_irqs 100, 64 to 1024 in steps of 32 expected", GIC->nr_irqs = 100)
RULE(dist_base_unaligned, BOTH,
     "kvm-vgic-1.img: dist_base 0x8001000: not aligned to 64 KiB, or not within 40 IPA bits",
     GIC->dist_base = 0x8001000)
RULE(dist_base_beyond_ipa, BOTH,
     "kvm-vgic-1.img: dist_base 0x10000000000: not aligned to 64 KiB, or not within 40 IPA bits",
     GIC->dist_base = 1ULL << 40)
RULE(region_unaligned, BOTH, "kvm-vgic-1.img: region 0: base 0x80a1000 is not aligned to 64 KiB",
     GIC->regions[0].base += 0x1000)
RULE(region_beyond_ipa, BOTH, "kvm-vgic-1.img: region 1: base 0xfffe000000: not within 40 IPA bits",
     GIC->regions[1].base = (1ULL << 40) - 256 * 0x20000)
RULE(region_count_zero, BOTH, "kvm-vgic-1.img: region 1: count 0, 1 to 4095 expected", GIC->regions[1].count = 0)
RULE(region_count_large, BOTH, "kvm-vgic-1.img: region 1: count 4096, 1 to 4095 expected",
     GIC->regions[1].count = 4096)
RULE(region_flags, BOTH, "kvm-vgic-1.img: region 1: flags 0x1, 0 expected", GIC->regions[1].flags = 1)
RULE(region_overlap, BOTH, "kvm-vgic-1.img: the frames at 0x80a0000 and 0x8fe0000 overlap",
     GIC->regions[1].base = 0x8fe0000)
RULE(region_over_dist, BOTH, "kvm-vgic-1.img: the frames at 0x8000000 and 0x8000000 overlap",
     GIC->regions[1].base = 0x8000000, GIC->regions[1].count = 1)
RULE(region_legacy_count, BOTH,
     "kvm-vgic-1.img: region 0: count 123, but legacy_redist: one region without count expected",
     GIC->legacy_redist = true, GIC->nr_regions = 1)
RULE(region_legacy_two, BOTH,
     "kvm-vgic-1.img: region 0: count 0, but legacy_redist: one region without count expected",
     GIC->legacy_redist = true, GIC->regions[0].count = 0)
RULE(region_legacy_none, BOTH, "kvm-vgic-1.img: legacy_redist without a region", GIC->legacy_redist = true,
     GIC->nr_regions = 0)
/* Two vCPUs need 256 KiB of it. */
RULE(region_legacy_grows, BOTH, "kvm-vgic-1.img: region 0: base 0xfffffe0000: not within 40 IPA bits",
     GIC->legacy_redist = true, GIC->nr_regions = 1, GIC->regions[0].count = 0,
     GIC->regions[0].base = (1ULL << 40) - 0x20000)
RULE(regions_many, READ_ONLY, "kvm-vgic-1.img: 65 redistributor regions, at most 64 expected",
     GIC->regions = grow(GIC->regions, 65, sizeof(*GIC->regions)), GIC->nr_regions = 65,
     memset(GIC->regions, 0, 65 * sizeof(*GIC->regions)))
RULE(regions_many_at_dump, CHECK_ONLY, "kvm-vgic-1.img: 65 redistributor regions, at most 64 expected",
     GIC->nr_regions = 65)
RULE(vgic_vcpus_few, BOTH, "kvm-vgic-1.img: 1 vCPUs, kvm-vcpu-1.img has 2", GIC->nr_cpus = 1)
RULE(vgic_missing, BOTH, "kvm-vgic-1.img: no GIC in it", vgic_v3_free(vm->vgic), vm->vgic = NULL)
RULE(dist_values_few, BOTH, "kvm-vgic-1.img: distributor: GICD_IROUTER: 64 values expected, 63 found",
     DIST("GICD_IROUTER")->nr--)
RULE(dist_values_many, BOTH, "kvm-vgic-1.img: distributor: GICD_ICFGR: 4 values expected, 5 found",
     DIST("GICD_ICFGR")->nr++)
RULE(dist_values_too_many, READ_ONLY, "kvm-vgic-1.img: distributor: GICD_CTLR: 2 values, at most 1 expected",
     DIST("GICD_CTLR")->nr = 2)
RULE(dist_values_none, BOTH, "kvm-vgic-1.img: distributor: GICD_IGROUPR: 2 values expected, 0 found",
     DIST("GICD_IGROUPR")->nr = 0)
RULE(dist_value_wide, BOTH, "kvm-vgic-1.img: distributor: GICD_IGROUPR: value 0x100000000 is wider than 32 bits",
     DIST("GICD_IGROUPR")->v[1] = 1ULL << 32)
RULE(redist_values_few, READ_ONLY, "kvm-vgic-1.img: vCPUs: GICR_PROPBASER: 3 values, 4 expected",
     REDIST(1, "GICR_PROPBASER")->nr--)
RULE(redist_values_few_at_dump, CHECK_ONLY, "kvm-vgic-1.img: vCPU 1: GICR_PROPBASER: 2 values expected, 1 found",
     REDIST(1, "GICR_PROPBASER")->nr--)
RULE(redist_value_wide, BOTH, "kvm-vgic-1.img: vCPU 1: GICR_CTLR: value 0x100000000 is wider than 32 bits",
     REDIST(1, "GICR_CTLR")->v[0] = 1ULL << 32)
RULE(redist_clear_has_value, CHECK_ONLY, "kvm-vgic-1.img: vCPU 1: GICR_ICENABLER0: 0 values expected, 1 found",
     REDIST(1, "GICR_ICENABLER0")->nr = 1)
RULE(cpuif_values_none, BOTH, "kvm-vgic-1.img: vCPU 0: ICC_SRE_EL1: 1 values expected, 0 found",
     CPUIF(0, "ICC_SRE_EL1")->nr = 0)
RULE(active_ppi, BOTH, "kvm-vgic-1.img: active: intid 31, 32 to 95 expected", GIC->active[1].intid = 31)
RULE(active_beyond, BOTH, "kvm-vgic-1.img: active: intid 96, 32 to 95 expected", GIC->active[1].intid = 96)
RULE(active_nowhere, BOTH, "kvm-vgic-1.img: active: intid 95: vcpu_idx 2, there are 2 vCPUs",
     GIC->active[1].vcpu_idx = 2)
RULE(active_twice, BOTH, "kvm-vgic-1.img: active: intid 32: twice", GIC->active[1].intid = 32)

RULE(unrouted_private, CHECK_ONLY, "kvm-vgic-1.img: unrouted: intid 31, 32 to 95 expected",
     GIC->unrouted[0] = 1u << 31)
RULE(unrouted_beyond, BOTH, "kvm-vgic-1.img: unrouted: intid 96, 32 to 95 expected", GIC->unrouted[3] = 1)
RULE(unrouted_but_the_same, BOTH, "kvm-vgic-1.img: unrouted: intid 33: vCPU 0 has affinity 0",
     VCPU0->mpidr = 0x80000000, memcpy(VCPU0->regs[0].value, &VCPU0->mpidr, 8))
RULE(unrouted_and_routed, BOTH, "kvm-vgic-1.img: unrouted: intid 34: GICD_IROUTER is not 0",
     GIC->unrouted[1] |= 1u << 2)
RULE(unrouted_and_active_elsewhere, BOTH, "kvm-vgic-1.img: unrouted: intid 33: active elsewhere",
     GIC->active[0].intid = 33)

/* ITSes and LPIs */
RULE(its_unaligned, BOTH,
     "kvm-its-1.img: ITS 1: frame 0x9021000: not aligned to 64 KiB, or not within 40 IPA bits", ITS1->base += 0x1000)
RULE(its_beyond_ipa, BOTH,
     "kvm-its-1.img: ITS 1: frame 0x10000000000: not aligned to 64 KiB, or not within 40 IPA bits",
     ITS1->base = 1ULL << 40)
RULE(its_across_ipa, BOTH,
     "kvm-its-1.img: ITS 1: frame 0xffffff0000: not aligned to 64 KiB, or not within 40 IPA bits",
     ITS1->base = (1ULL << 40) - 0x10000)
RULE(its_over_its, BOTH, "kvm-vgic-1.img: the frames at 0x9000000 and 0x9010000 overlap", ITS1->base = 0x9010000)
RULE(its_over_region, BOTH, "kvm-vgic-1.img: the frames at 0x80a0000 and 0x8ff0000 overlap",
     ITS0->base = 0x8ff0000)
RULE(its_over_dist, BOTH, "kvm-vgic-1.img: the frames at 0x7ff0000 and 0x8000000 overlap",
     ITS0->base = 0x7ff0000)
RULE(its_without_regs, BOTH, "kvm-its-1.img: ITS 1: no registers",
     free(ITS1->regs), ITS1->regs = NULL)
RULE(its_regs_without_address, BOTH, "kvm-its-1.img: ITS 1: registers, but no address",
     ITS1->base = VGIC_ADDR_UNSET)
static void its_has_only(struct its_state *its, struct its_tables keep)
{
	struct its_tables none = { 0 };

	its_tables_free(&its->tables);
	its->tables = none;
	if (keep.nr_ctes)
		its->tables.ctes = calloc(1, sizeof(*keep.ctes)), its->tables.nr_ctes = 1;
	if (keep.nr_l1es)
		its->tables.l1es = calloc(1, sizeof(*keep.l1es)), its->tables.nr_l1es = 1;
	if (keep.nr_dtes)
		its->tables.dtes = calloc(1, sizeof(*keep.dtes)), its->tables.nr_dtes = 1;
}
#define TABLES_WITHOUT_ADDRESS "kvm-its-1.img: ITS 2: tables, but no address"
RULE(its_ctes_without_address, BOTH, TABLES_WITHOUT_ADDRESS, its_has_only(ITS2, (struct its_tables){ .nr_ctes = 1 }))
RULE(its_l1es_without_address, BOTH, TABLES_WITHOUT_ADDRESS, its_has_only(ITS2, (struct its_tables){ .nr_l1es = 1 }))
RULE(its_dtes_without_address, BOTH, TABLES_WITHOUT_ADDRESS, its_has_only(ITS2, (struct its_tables){ .nr_dtes = 1 }))
RULE(its_values_few, BOTH, "kvm-its-1.img: ITS 0: GITS_BASER: 8 values expected, 7 found",
     ITSREG(ITS0, "GITS_BASER")->nr--)
RULE(its_values_none, BOTH, "kvm-its-1.img: ITS 1: GITS_CTLR: 1 values expected, 0 found",
     ITSREG(ITS1, "GITS_CTLR")->nr = 0)
RULE(its_revision, BOTH, "kvm-its-1.img: ITS 1: GITS_IIDR 0x1000: tables of a revision not known here",
     ITSREG(ITS1, "GITS_IIDR")->v[0] = 0x1000)
RULE(cte_not_valid, BOTH, "kvm-its-1.img: ITS 0: collection 1: not valid", ITS0->tables.ctes[1] &= ~VALID)
#define LEVEL_1 "kvm-its-1.img: ITS 1: level 1 entry 7: not valid, or not in ascending order"
RULE(l1e_order, BOTH, LEVEL_1, ITS1->tables.l1es[0].index = 7)
RULE(l1e_not_valid, BOTH, LEVEL_1, ITS1->tables.l1es[1].entry &= ~VALID)
#define DEVICE_3 "kvm-its-1.img: ITS 0: DeviceID 3: not valid, or not in ascending order"
RULE(dte_order, BOTH, DEVICE_3, ITS0->tables.dtes[2].device_id = 3)
RULE(dte_not_valid, BOTH, DEVICE_3, ITS0->tables.dtes[1].entry &= ~VALID)
#define EVENT(device, event)                                                                                 \
	"kvm-its-1.img: ITS 0: DeviceID " #device ", EventID " #event ": more than 16 bits, or not in ascending order"
RULE(ite_order, BOTH, EVENT(0, 3), ITS0->tables.event_ids[2] = 3)
RULE(ite_event_wide, BOTH, EVENT(20000, 65536), ITS0->tables.event_ids[5] = 65536)
RULE(ite_pintid, BOTH, "kvm-its-1.img: ITS 0: DeviceID 0, EventID 6: pINTID 0",
     ITS0->tables.ites[2] = ITE(3, 0, 5))
/* Seventeen devices of 65536. */
static void fill_ites(struct its_tables *t)
{
	its_tables_free(t);
	t->event_ids = calloc(ITS_MAX_ITES + 1, sizeof(*t->event_ids));
	t->ites = calloc(ITS_MAX_ITES + 1, sizeof(*t->ites));
	t->nr_dtes = ITS_MAX_ITES / ITS_MAX_IDS + 1;
	t->dtes = calloc(t->nr_dtes, sizeof(*t->dtes));
	for (size_t i = 0; i < t->nr_dtes; i++) {
		size_t nr = i + 1 < t->nr_dtes ? ITS_MAX_IDS : 1;

		t->dtes[i] = (struct its_dte){ i, DTE(0, 0, 15), t->nr_ites, nr };
		for (size_t e = 0; e < nr; e++, t->nr_ites++) {
			t->event_ids[t->nr_ites] = e;
			t->ites[t->nr_ites] = ITE(0, LPI_MIN, 0);
		}
	}
}
RULE(ites_many, BOTH, "kvm-its-1.img: ITS 0: more than 1048576 interrupts", fill_ites(&ITS0->tables))
RULE(lpis_without_its, BOTH, "kvm-its-1.img: LPIs, but no ITS", its_free(vm->itses, FIXTURE_ITSES),
     vm->itses = NULL, vm->nr_itses = 0)
RULE(its_without_lpis, BOTH, "kvm-its-1.img: no LPIs", lpi_free(vm->lpi), vm->lpi = NULL)
RULE(lpi_vcpus_few, BOTH, "kvm-its-1.img: 1 pending tables, kvm-vcpu-1.img has 2 vCPUs",
     free(vm->lpi->pending[1].bytes), vm->lpi->nr_pending = 1)
RULE(its_fd_negative, BOTH, "kvm-its-1.img: ITS 2: fd -1, 0 or more expected", ITS2->fd = -1)
RULE(its_fd_parked, BOTH, "kvm-vm.img: VM 1: park_base 1000: fd 1000 is that of kvm-its-1.img: ITS 0 too",
     ITS0->fd = 1000)
RULE(its_fd_twice, BOTH, "kvm-its-1.img: ITS 1: fd 7 is that of kvm-its-1.img: ITS 0 too", ITS1->fd = 7)
RULE(its_fd_of_vcpu, BOTH, "kvm-its-1.img: ITS 1: fd 11 is that of kvm-vcpu-1.img: vCPU 1 too", ITS1->fd = 11)
RULE(file_its_index, BOTH, "kvm-vm.img: VM 1: file 0x10008: index 3, less than 3 expected",
     vm->files[8].index = 3)
RULE(file_of_its_missing, READ_ONLY, "kvm-vm.img: VM 1: no file is ITS 2", vm->files[8].index = 0)

/* GICv5: kvm-vgic-1.img; 2 vCPUs, 64 SPIs, 256 LPIs */
#define V5 (vm->vgic_v5)
#define V5_ID(name) values(vgic_v5_id_regs, vgic_v5_nr_id_regs, V5->id, name)
#define V5_IRS(name) values(vgic_v5_irs_regs, vgic_v5_nr_irs_regs, V5->irs, name)
V5_RULE(v5_spis_many, CHECK_ONLY, "kvm-vgic-1.img: nr_spis 1056, at most 1024 expected", V5->nr_spis = 1056)
V5_RULE(v5_spis_other, BOTH, "kvm-vgic-1.img: nr_spis 96, IRS_IDR5 to 7 say otherwise", V5->nr_spis = 96)
V5_RULE(v5_idr5, BOTH, "kvm-vgic-1.img: nr_spis 64, IRS_IDR5 to 7 say otherwise", V5_ID("IRS_IDR5")->v[0] = 1024)
V5_RULE(v5_idr6, BOTH, "kvm-vgic-1.img: nr_spis 64, IRS_IDR5 to 7 say otherwise", V5_ID("IRS_IDR6")->v[0] = 1024)
V5_RULE(v5_idr7, BOTH, "kvm-vgic-1.img: nr_spis 64, IRS_IDR5 to 7 say otherwise", V5_ID("IRS_IDR7")->v[0] = 1)
V5_RULE(v5_spis_few, BOTH, "kvm-vgic-1.img: SPI IST: 64 interrupts, 96 expected", V5->nr_spis = 96,
	V5_ID("IRS_IDR5")->v[0] = 96, V5_ID("IRS_IDR6")->v[0] = 96)
V5_RULE(v5_its, CHECK_ONLY, "kvm-vgic-1.img: a GICv5, and ITSes", vm->itses = grow(vm->itses, 1, sizeof(*vm->itses)),
	memset(vm->itses, 0, sizeof(*vm->itses)), vm->nr_itses = 1)
V5_RULE(v5_lpis_other, BOTH, "kvm-vgic-1.img: LPI IST: 256 interrupts, 512 expected",
	V5_ID("IRS_IST_CFGR")->v[0] = 9)
V5_RULE(v5_lpis_none, BOTH, "kvm-vgic-1.img: LPI IST: 256 interrupts, 0 expected", V5_ID("IRS_IST_BASER")->v[0] = 0)
V5_RULE(v5_lpi_bits, BOTH, "kvm-vgic-1.img: IRS_IST_CFGR: LPI_ID_BITS 17, at most 16 expected",
	V5_ID("IRS_IST_CFGR")->v[0] = 17)
V5_RULE(v5_frame_unaligned, BOTH,
	"kvm-vgic-1.img: irs_frame 0x8001000: not aligned to 64 KiB, or not within 40 IPA bits", V5->irs_base += 0x1000)
V5_RULE(v5_frame_beyond, BOTH,
	"kvm-vgic-1.img: irs_frame 0xffffff0000: not aligned to 64 KiB, or not within 40 IPA bits",
	V5->irs_base = 0xffffff0000)
V5_RULE(v5_reg_wide, BOTH, "kvm-vgic-1.img: IRS: IRS_CR0: value 0x100000000 is wider than 32 bits",
	V5_IRS("IRS_CR0")->v[0] = 1ULL << 32)
V5_RULE(v5_reg_two, READ_ONLY, "kvm-vgic-1.img: IRS: IRS_CR1: 2 values, at most 1 expected",
	V5_IRS("IRS_CR1")->nr = 2)
V5_RULE(v5_reg_two_at_dump, CHECK_ONLY, "kvm-vgic-1.img: IRS: IRS_CR1: 1 value expected, 2 found",
	V5_IRS("IRS_CR1")->nr = 2)
V5_RULE(v5_vcpus_few, BOTH, "kvm-vgic-1.img: 1 vCPUs, kvm-vcpu-1.img has 2",
	free(V5->cpuif[1]), V5->nr_cpus = 1)
V5_RULE(v5_pe_few, BOTH, "kvm-vgic-1.img: IRS_PE_CR0: 1 values, there are 2 vCPUs", V5->pe_cr0.nr = 1)
V5_RULE(v5_cfgr_few, BOTH, "kvm-vgic-1.img: IRS_SPI_CFGR: 63 values, there are 64 SPIs", V5->spi_cfgr.nr = 63)
V5_RULE(v5_timer, BOTH, "kvm-vcpu-1.img: vCPU 1: vtimer_irq 27, ptimer_irq 0: none expected with a GICv5",
	VCPU1->vtimer_irq = 27)
static void add_v3(struct vm_state *vm)
{
	struct vm_state *other = fixture_vm(2, 96);

	vm->vgic = other->vgic;
	other->vgic = NULL;
	vm_state_free(other);
}
V5_RULE(v5_and_v3, READ_ONLY, "kvm-vgic-1.img: more than one GIC", add_v3(vm))

/* CRIU's files */
RULE(file_kind, BOTH, "kvm-vm.img: VM 1: file 0x10003: kind 5 is not known", vm->files[3].kind = 5)
RULE(file_index, BOTH, "kvm-vm.img: VM 1: file 0x10003: index 1, less than 1 expected", vm->files[3].index = 1)
RULE(file_vcpu_index, BOTH, "kvm-vm.img: VM 1: file 0x10005: index 2, less than 2 expected",
     vm->files[5].index = 2)
/* Of 2 vCPUs and 3 ITSes: files 9 and 10 are of statistics. */
RULE(file_stats_index, BOTH, "kvm-vm.img: VM 1: file 0x1000a: index 2, less than 2 expected", vm->files[10].index = 2)
RULE(file_stats_pos, BOTH, "kvm-vm.img: VM 1: file 0x10009: a position that it cannot have",
     vm->files[9].pos = KVM_FILE_MAX_POS + 1)
RULE(file_pos, BOTH, "kvm-vm.img: VM 1: file 0x10001: a position that it cannot have", vm->files[1].pos = 1)
RULE(file_flags, BOTH, "kvm-vm.img: VM 1: file 0x10001: flags that are not known", vm->files[1].flags = O_CREAT)
RULE(file_access, BOTH, "kvm-vm.img: VM 1: file 0x10001: flags that are not known", vm->files[1].flags = O_ACCMODE)
RULE(file_twice, BOTH, "kvm-vm.img: VM 1: file 0x10001: twice", vm->files[3].id = 0x10001)
RULE(file_of_vm_missing, READ_ONLY, "kvm-vm.img: VM 1: no file is the VM",
     vm->files[1].kind = vm->files[3].kind = KVM_FILE_SYSTEM)
RULE(file_of_vgic_missing, READ_ONLY, "kvm-vm.img: VM 1: no file is the GIC", vm->files[2].kind = KVM_FILE_SYSTEM)
RULE(file_of_vcpu_missing, READ_ONLY, "kvm-vm.img: VM 1: no file is vCPU 1", vm->files[5].index = 0)
RULE(files_many, READ_ONLY, "kvm-vm.img: VM 1: 4097 files, at most 4096 expected",
     vm->files = grow(vm->files, 4097, sizeof(*vm->files)), vm->nr_files = 4097,
     memset(vm->files, 0, 4097 * sizeof(*vm->files)))
RULE(files_many_at_dump, CHECK_ONLY, "kvm-vm.img: VM 1: 4097 files, at most 4096 expected", vm->nr_files = 4097)

static int read_back(struct vm_state *vm)
{
	int dir = fixture_dir(), ret;
	struct vm_state **vms;
	struct image_files files;
	size_t n;

	assert_int_equal(fixture_write(dir, &fixture_dump, &vm, 1), 0);
	log_reset();
	ret = image_read_all(dir, &vms, &n, &files);
	if (!ret)
		image_free_all(vms, n, &files);
	fixture_close(dir);
	return ret;
}

static void assert_refusal(int ret, const char *says)
{
	assert_string_equal(log_error(), says);
	assert_int_equal(log_errors(), 1);
	assert_int_equal(ret, -EINVAL);
}

/* What a rule shortens is still the fixture's to free. */
static void free_broken(struct vm_state *vm, size_t nr_vcpus, size_t nr_cpus)
{
	vm->nr_backings = 3;
	vm->nr_vcpus = nr_vcpus;
	if (vm->vgic)
		vm->vgic->nr_cpus = nr_cpus;
	vm_state_free(vm);
}

static void keep_rule(void **state)
{
	const struct rule *rule = *state;
	struct vm_state *vm = rule->v5 ? fixture_vm_v5(2, 64, 8) : fixture_vm(2, 96);
	const struct vm_state *vms[] = { vm };

	rule->break_it(vm);
	if (rule->by != CHECK_ONLY)
		assert_refusal(read_back(vm), rule->says);
	if (rule->by != READ_ONLY) {
		log_reset();
		assert_refusal(image_check(vms, 1), rule->says);
	}
	free_broken(vm, 2, 2);
}

static void the_unbroken_vm_is_accepted(void **state)
{
	struct vm_state *const all[] = { fixture_vm(2, 96), fixture_vm_v5(2, 64, 8), fixture_vm_v5(2, 0, 0) };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct vm_state *vms[] = { all[i] };

		assert_int_equal(read_back(all[i]), 0);
		assert_int_equal(image_check(vms, 1), 0);
		vm_state_free(all[i]);
	}
}

/* At a dump the files come one by one, after the rest. */
static void accept(struct vm_state *vm)
{
	const struct vm_state *const vms[] = { vm };

	log_reset();
	if (read_back(vm) || image_check(vms, 1))
		fail_msg("%s", log_error());
	vm_state_free(vm);
}

/* By pmu_irq_is_valid() and kvm_arm_pmu_v3_init(). */
static void what_kvm_takes_of_a_pmu_is_accepted(void **state)
{
	static const uint32_t irqs[][2] = {
		{ 16, 16 }, { 23, 40 }, { 40, 23 }, { 40, 41 }, { 23, 0 }, { 0, 40 }, { 0, 0 },
	};
	struct vm_state *vm;

	for (size_t i = 0; i < sizeof(irqs) / sizeof(irqs[0]); i++) {
		vm = fixture_vm(2, 96);
		for (size_t v = 0; v < 2; v++) {
			vm->vcpus[v].pmu_irq = irqs[i][v];
			vm->vcpus[v].pmu_created &= irqs[i][v] != 0;
		}
		accept(vm);
	}
	vm = fixture_vm_v5(2, 64, 8);
	VCPU1->pmu_irq = 0; /* the architecture has but one */
	accept(vm);
	vm = fixture_vm(2, 96);
	add_pmcr(VCPU0, 6 << 11 | 0x41);
	add_pmcr(VCPU1, 0xffff07ff | 6 << 11);
	accept(vm);
	vm = fixture_vm(2, 96);
	add_pmcr(VCPU1, 6 << 11);
	accept(vm);
}

/* The numbers that are parked may lie between those of the process. */
static void an_eventfd_above_the_parked_fds_is_accepted(void **state)
{
	struct vm_state *vm = fixture_vm(2, 96);

	IRQFD(0)->eventfd.fd = 1000 + vm_nr_parked(vm);
	accept(vm);
}

static void the_most_logged_pages_are_accepted(void **state)
{
	struct vm_state *vm = fixture_vm(2, 96);

	vm->ipa_bits = 48;
	vm->slots[2] = MANY_LOGGED;
	vm->slots[2].size -= 4096;
	accept(vm);
}

static void a_dump_may_lack_files(void **state)
{
	struct vm_state *vm = fixture_vm(2, 96);
	const struct vm_state *vms[] = { vm };

	vm->nr_files = 0;
	assert_int_equal(image_check(vms, 1), 0);
	vm_state_free(vm);
}

/* Two VMs, of the same process: what they may not share. */
static void check_pair(struct vm_state *a, struct vm_state *b, const char *says)
{
	const struct vm_state *vms[] = { a, b };
	int ret;

	log_reset();
	ret = image_check(vms, 2);
	if (says)
		assert_refusal(ret, says);
	else
		assert_int_equal(ret, 0);
	vm_state_free(a);
	vm_state_free(b);
}

/* Moves all fds and mappings of @vm out of the way of another fixture's. */
static struct vm_state *move_away(struct vm_state *vm, int32_t vpid)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		vm->vcpus[i].vtid += vpid - vm->vpid; /* of the same process's */
	vm->vpid = vpid;
	vm->fd += 100;
	vm->park_base += 1000;
	thread_free(vm->threads, vm->nr_threads); /* they are with the process's first VM */
	vm->threads = NULL;
	vm->nr_threads = 0;
	vm->vgic->fd += 100;
	for (size_t i = 0; i < vm->nr_itses; i++)
		vm->itses[i].fd += 100;
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		vm->vcpus[i].fd += 100;
		for (size_t m = 0; m < vm->vcpus[i].nr_maps; m++)
			vm->vcpus[i].maps[m].start += 1 << 30;
	}
	return vm;
}

static void two_vms_of_one_process(void **state)
{
	struct vm_state *a = fixture_vm_id(1, 2, 96), *b = move_away(fixture_vm_id(2, 1, 64), a->vpid);

	check_pair(a, b, NULL);
}

static void two_vms_with_one_id(void **state)
{
	struct vm_state *a = fixture_vm_id(1, 2, 96), *b = fixture_vm_id(2, 1, 64);

	b->id = 1;
	check_pair(a, b, "kvm-vm.img: VM 1: twice");
}

static void two_vms_with_one_fd(void **state)
{
	struct vm_state *a = fixture_vm_id(1, 2, 96), *b = move_away(fixture_vm_id(2, 1, 64), a->vpid);

	b->vcpus[0].fd = 11;
	check_pair(a, b, "kvm-vcpu-2.img: vCPU 0: fd 11 is that of kvm-vcpu-1.img: vCPU 1 too");
}

static void two_vms_with_one_mapping(void **state)
{
	struct vm_state *a = fixture_vm_id(1, 2, 96), *b = move_away(fixture_vm_id(2, 1, 64), a->vpid);

	b->vcpus[0].maps[0].start = a->vcpus[1].maps[0].start;
	check_pair(a, b, "kvm-vcpu-2.img: vCPU 0: mapping 0xffff80008000 overlaps one of vCPU 1 of VM 1");
}

/* As many registers as one VM can have, which are the same memory here. */
static struct vcpu_reg *share_regs(struct vm_state *vm)
{
	struct vcpu_reg *regs = calloc(VCPU_MAX_REGS, sizeof(*regs));

	assert_non_null(regs);
	for (size_t r = 0; r < VCPU_MAX_REGS; r++)
		regs[r].id = KVM_REG_ARM64 | KVM_REG_SIZE_U8 | r;
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		free(vm->vcpus[i].regs);
		vm->vcpus[i].regs = regs;
		vm->vcpus[i].nr_regs = VCPU_MAX_REGS;
		vm->vcpus[i].pending = VCPU_PENDING_NONE; /* which is replayed by registers */
	}
	return regs;
}

static void the_most_registers(void **state)
{
	struct vm_state *a = fixture_vm_id(1, VM_MAX_VCPUS, 96), *b = fixture_vm_id(2, 1, 64);
	const struct vm_state *vms[] = { a, b };
	struct vcpu_reg *regs = share_regs(a);

	log_reset();
	assert_int_equal(image_check(vms, 1), 0);
	assert_refusal(image_check(vms, 2), "kvm-vcpu-2.img: more than 2097152 registers in all images");
	free(regs);
	for (size_t i = 0; i < VM_MAX_VCPUS; i++)
		a->vcpus[i].regs = NULL;
	vm_state_free(a);
	vm_state_free(b);
}

/* Each by itself has few enough. */
static void two_vms_with_many_logged_pages(void **state)
{
	struct vm_state *a = fixture_vm_id(1, 2, 96), *b = fixture_vm_id(2, 1, 64);

	a->ipa_bits = b->ipa_bits = 48;
	a->slots[2] = b->slots[2] = MANY_LOGGED;
	a->slots[2].size = b->slots[2].size = 1ULL << 39;
	check_pair(a, b, "kvm-vm.img: VM 2: more than 268435456 pages with dirty logs");
}

static void two_vms_with_one_file(void **state)
{
	struct vm_state *a = fixture_vm_id(1, 2, 96), *b = fixture_vm_id(2, 1, 64);

	b->files[0].id = a->files[0].id;
	check_pair(a, b, "kvm-vm.img: VM 2: file 0x10000: twice");
}

static void two_vms_with_parked_fds_that_overlap(void **state)
{
	struct vm_state *a = fixture_vm_id(1, 2, 96), *b = move_away(fixture_vm_id(2, 1, 64), a->vpid);

	b->park_base = a->park_base + vm_nr_parked(a) - 1;
	check_pair(a, b, "kvm-vm.img: VM 2: park_base 1006: fd 1006 is that of kvm-vm.img: VM 1: park_base 1000 too");
}

static void two_vms_with_an_fd_among_the_parked(void **state)
{
	struct vm_state *a = fixture_vm_id(1, 2, 96), *b = move_away(fixture_vm_id(2, 1, 64), a->vpid);

	b->vcpus[0].fd = a->park_base + 2;
	check_pair(a, b, "kvm-vcpu-2.img: vCPU 0: fd 1002 is that of kvm-vm.img: VM 1: park_base 1000 too");
}

static void two_vms_of_one_process_both_with_threads(void **state)
{
	struct vm_state *a = fixture_vm_id(1, 2, 96), *b = move_away(fixture_vm_id(2, 1, 64), a->vpid);

	b->nr_threads = 1;
	b->threads = calloc(1, sizeof(*b->threads));
	b->threads[0].vtid = 5;
	check_pair(a, b, "kvm-thread-2.img: threads of a process whose threads are with VM 1");
}

static void two_vms_of_one_process_with_a_runner_of_nobody(void **state)
{
	struct vm_state *a = fixture_vm_id(1, 2, 96), *b = move_away(fixture_vm_id(2, 1, 64), a->vpid);

	b->vcpus[0].vtid = 5;
	check_pair(a, b, "kvm-vcpu-2.img: vCPU 0: vtid 5 is no thread of the VM's owner");
}

static void two_processes_one_without_threads(void **state)
{
	struct vm_state *a = fixture_vm_id(1, 2, 96), *b = move_away(fixture_vm_id(2, 1, 64), a->vpid + 1);

	check_pair(a, b, "kvm-thread-2.img: no threads, 1 to 32768 expected");
}

/* @file beside a good VM. */
static void check_loose(struct kvm_file file, const char *says)
{
	struct vm_state *vm = fixture_vm(1, 64), **back;
	struct image_files files, with = { &file, 1 };
	int dir = fixture_dir(), ret;
	size_t n;

	log_reset();
	assert_int_equal(fixture_write_with(dir, &fixture_dump, &vm, 1, &with), 0);
	ret = image_read_all(dir, &back, &n, &files);
	fixture_close(dir);
	vm_state_free(vm);
	assert_refusal(ret, says);
}

static void files_of_no_vm(void **state)
{
	check_loose((struct kvm_file){ .id = 1, .kind = KVM_FILE_VM }, "kvm-vm.img: file 0x1: of no VM, and not /dev/kvm");
	check_loose((struct kvm_file){ .id = 1, .index = 1 }, "kvm-vm.img: file 0x1: of no VM, and not /dev/kvm");
	check_loose((struct kvm_file){ .id = 1, .flags = O_TRUNC }, "kvm-vm.img: file 0x1: flags that are not known");
	check_loose((struct kvm_file){ .id = 1, .flags = O_ACCMODE }, "kvm-vm.img: file 0x1: flags that are not known");
	check_loose((struct kvm_file){ .id = 1, .pos = 1 }, "kvm-vm.img: file 0x1: a position that it cannot have");
	check_loose((struct kvm_file){ .id = 0x10000, .flags = 2 }, "kvm-vm.img: file 0x10000 of no VM: twice");
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(two_vms_with_parked_fds_that_overlap),
		cmocka_unit_test(two_vms_with_an_fd_among_the_parked),
		cmocka_unit_test(two_vms_of_one_process_both_with_threads),
		cmocka_unit_test(two_vms_of_one_process_with_a_runner_of_nobody),
		cmocka_unit_test(two_processes_one_without_threads),
		cmocka_unit_test(files_of_no_vm),
		cmocka_unit_test(the_unbroken_vm_is_accepted),
		cmocka_unit_test(what_kvm_takes_of_a_pmu_is_accepted),
		cmocka_unit_test(an_eventfd_above_the_parked_fds_is_accepted),
		cmocka_unit_test(the_most_logged_pages_are_accepted),
		cmocka_unit_test(a_dump_may_lack_files),
		cmocka_unit_test(two_vms_of_one_process),      cmocka_unit_test(two_vms_with_one_id),
		cmocka_unit_test(two_vms_with_one_fd),	       cmocka_unit_test(two_vms_with_one_mapping),
		cmocka_unit_test(the_most_registers),
		cmocka_unit_test(two_vms_with_many_logged_pages),
		cmocka_unit_test(two_vms_with_one_file),
	};
	struct CMUnitTest tests[sizeof(rules) / sizeof(rules[0])];

	for (size_t i = 0; i < nr_rules; i++)
		tests[i] = (struct CMUnitTest){
			.name = rules[i]->name,
			.test_func = keep_rule,
			.initial_state = (void *)rules[i],
		};
	return _cmocka_run_group_tests("rules", tests, nr_rules, NULL, NULL) |
	       cmocka_run_group_tests_name("VMs", others, NULL, NULL);
}
