/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memslots under dirty logging: at any moment the log has exactly the pages that the guest has written to. Each
 * vCPU writes to some pages of a memslot of its own, round after round, and the VMM reads the log after each.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "zdtmtst.h"
#include "guest.h"
#include "oddvm.h"

const char *test_doc = "Dirty logs of a KVM VM\n";
const char *test_author = "The kvm-vgic authors";

static int manual;
TEST_OPTION(manual, int, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: 0, 1 or 3", 0);

#define PAGE		4096
#define PAGES		300 /* of a vCPU's memslot: no whole number of words */
#define WORDS		((PAGES + 63) / 64)
#define WORK(i)		(0x50000000ul + 0x1000000 * (i))
#define KEPT		0x60000000ul /* written to once, at the start */
#define ROUND(i)	(ODD_DEV_BASE + 0x400 + 8 * (i))

/* Slot ids. */
#define WORK_ID(i)	(1 + (i))
#define KEPT_ID		7
#define READONLY_ID	8 /* nobody writes to it */

struct dirty_guest {
	struct guest g;
	uint64_t kept; /* this vCPU writes KEPT's pages first */
	volatile uint64_t round;
};

enum { SAY_NOTHING = 1 };
const char *const guest_says[] = { [SAY_NOTHING] = "-" };

/* Whether vCPU @i writes to @page in @round: to one of eight. */
GUEST_INLINE int is_written(uint64_t i, uint64_t round, uint64_t page)
{
	uint64_t x = (round * 31 + page) * 2654435761u + i * 977;

	return !((x ^ x >> 15) * 2246822519u >> 20 & 7);
}

/* --- in the guest --- */

GUEST static void write_page(uint64_t at, uint64_t page, uint64_t value)
{
	*(volatile uint64_t *)(at + PAGE * page) = value;
}

GUEST static void rest(struct dirty_guest *d)
{
	uint64_t spin;

	for (spin = 0; spin < 3000; spin++)
		asm volatile("");
	guest_progress(&d->g, 64);
}

GUEST static void run(struct guest *g)
{
	struct dirty_guest *d = (struct dirty_guest *)g;
	uint64_t page;

	for (page = 0; d->kept && page < PAGES; page++)
		if (is_written(99, 0, page))
			write_page(KEPT, page, page);
	for (;;) {
		for (page = 0; page < PAGES; page++) {
			if (!is_written(g->id, d->round, page))
				continue;
			write_page(WORK(g->id), page, d->round);
			rest(d);
		}
		mmio_write64(ROUND(g->id), d->round);
		d->round++;
	}
}

/* --- in the VMM --- */

static struct odd_vm vm;

/* What the log must be, once the pages of the running round are added. */
static uint64_t expected[ODD_NR_VCPUS][WORDS];
static volatile uint64_t rounds[ODD_NR_VCPUS];

static void add_pages(uint64_t bits[WORDS], uint64_t i, uint64_t round)
{
	uint64_t page;

	for (page = 0; page < PAGES; page++)
		if (is_written(i, round, page))
			bits[page / 64] |= 1ull << page % 64;
}

static bool get_log(uint32_t slot, uint64_t bits[WORDS])
{
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bits };

	memset(bits, 0, WORDS * sizeof(*bits));
	if (!ioctl(vm.vm_fd, KVM_GET_DIRTY_LOG, &log))
		return true;
	odd_found(&vm, "KVM_GET_DIRTY_LOG: errno", errno);
	return false;
}

static bool has_log(uint32_t slot, const uint64_t want[WORDS], const char *missing, const char *beyond)
{
	uint64_t bits[WORDS], page;

	if (!get_log(slot, bits))
		return false;
	for (page = 0; page < PAGES; page++) {
		bool is = bits[page / 64] >> page % 64 & 1, was = want[page / 64] >> page % 64 & 1;

		if (is != was) {
			odd_found(&vm, is ? beyond : missing, page);
			return false;
		}
	}
	return true;
}

/* Some pages, from a place that is neither the beginning nor the end. */
static bool clear_some(unsigned int i)
{
	uint64_t bits[WORDS] = { 0xffffffff0000ffff, ~0ull };
	struct kvm_clear_dirty_log clear = {
		.slot = WORK_ID(i),
		.first_page = 64,
		.num_pages = 128,
		.dirty_bitmap = bits,
	};
	unsigned int w;

	if (ioctl(vm.vm_fd, KVM_CLEAR_DIRTY_LOG, &clear)) {
		odd_found(&vm, "KVM_CLEAR_DIRTY_LOG: errno", errno);
		return false;
	}
	for (w = 0; w < 2; w++)
		expected[i][1 + w] &= ~bits[w];
	return true;
}

static bool clear_all(unsigned int i)
{
	struct kvm_clear_dirty_log clear = {
		.slot = WORK_ID(i),
		.num_pages = PAGES,
		.dirty_bitmap = expected[i],
	};

	if (ioctl(vm.vm_fd, KVM_CLEAR_DIRTY_LOG, &clear)) {
		odd_found(&vm, "KVM_CLEAR_DIRTY_LOG: errno", errno);
		return false;
	}
	memset(expected[i], 0, sizeof(expected[i]));
	return true;
}

static bool check_round(unsigned int i, uint64_t round)
{
	add_pages(expected[i], i, round);
	if (!has_log(WORK_ID(i), expected[i], "a page that was written to is not in the log",
		     "a page in the log was not written to"))
		return false;
	if (!manual) {
		memset(expected[i], 0, sizeof(expected[i]));
		return true;
	}
	if (!has_log(WORK_ID(i), expected[i], "KVM_GET_DIRTY_LOG has cleared a page",
		     "a page in the log was not written to"))
		return false;
	return round % 4 == 3 ? clear_all(i) : round % 4 == 1 ? clear_some(i) : true;
}

static bool serve(struct odd_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	uint64_t round = 0;

	if (run->exit_reason != KVM_EXIT_MMIO || !run->mmio.is_write || run->mmio.phys_addr != ROUND(vcpu->id))
		return guest_exit(vcpu);
	memcpy(&round, run->mmio.data, sizeof(round));
	if (check_round(vcpu->id, round))
		rounds[vcpu->id]++;
	return true;
}

static int add_slot(uint32_t id, uint64_t gpa, uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = id,
		.flags = KVM_MEM_LOG_DIRTY_PAGES | flags,
		.guest_phys_addr = gpa,
		.memory_size = PAGES * PAGE,
	};
	void *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	region.userspace_addr = (uintptr_t)memory;
	return memory == MAP_FAILED ? -1 : ioctl(vm.vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static int add_slots(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { manual } };
	unsigned int i;

	if (manual && ioctl(vm.vm_fd, KVM_ENABLE_CAP, &cap))
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++) {
		if (add_slot(WORK_ID(i), WORK(i), 0))
			return -1;
		/* KVM_DIRTY_LOG_INITIALLY_SET */
		memset(expected[i], manual == 3 ? 0xff : 0, sizeof(expected[i]));
	}
	return add_slot(KEPT_ID, KEPT, 0) || add_slot(READONLY_ID, 0x70000000, KVM_MEM_READONLY);
}

static int create_vm(void)
{
	unsigned int i;

	if (odd_create(&vm) || odd_add_memory(&vm, 0) || add_slots())
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++) {
		struct dirty_guest *d = guest_cpu(&vm, i);

		if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) || guest_set(&vm, i, run))
			return -1;
		d->kept = !i;
	}
	vm.exit = serve;
	if (odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    odd_init_gic(&vm))
		return -1;
	return odd_start_all(&vm);
}

/* Some rounds more, on every vCPU. */
static bool checks_go_on(void)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	unsigned int i, ticks;

	for (i = 0; i < ODD_NR_VCPUS; i++) {
		uint64_t before = rounds[i];

		for (ticks = 0; ticks < 6000 && rounds[i] < before + 5 && !vm.stats->error[0]; ticks++)
			nanosleep(&tick, NULL);
		if (rounds[i] < before + 5)
			odd_found(&vm, "no progress: rounds", before);
		test_msg("vcpu %u: %llu rounds\n", i, (unsigned long long)rounds[i]);
	}
	return !vm.stats->error[0];
}

/* What was dirty before all dumps, and nothing more. */
static bool logs_are_kept(void)
{
	uint64_t kept[WORDS] = { 0 }, none[WORDS] = { 0 };

	if (manual == 3) {
		memset(kept, 0xff, sizeof(kept));
		memset(none, 0xff, sizeof(none));
	}
	add_pages(kept, 99, 0);
	return has_log(KEPT_ID, kept, "a page that was written to long ago is not in the log",
		       "a page in the log was never written to") &&
	       has_log(READONLY_ID, none, "a page of a read-only memslot is not in the log",
		       "a page of a read-only memslot is in the log");
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (create_vm() || !checks_go_on()) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	if (!checks_go_on() || !logs_are_kept()) {
		errno = 0;
		fail("%s", vm.stats->error);
		return 1;
	}
	return odd_verdict(&vm);
}
