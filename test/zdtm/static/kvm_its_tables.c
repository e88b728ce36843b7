/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ITSes with all that their tables can hold, and LPIs in every state. What KVM has of it
 * is compared after the restores: by registers, by saving the tables again, by
 * KVM_SIGNAL_MSI, and by a guest that takes what is pending.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "its.h"
#include "lpi.h"

const char *test_doc = "A small KVM VM with sparse ITS tables and LPIs in all states\n";
const char *test_author = "The kvm-vgic authors";

static char *ram, *broken;
TEST_OPTION(ram, string, "file for the memory with the tables", 0);
TEST_OPTION(broken, string, "what the guest has overwritten: dte, dte-taken, ite, ite-taken", 0);

/* lives/kvm_its_tables.py and failcases/tables.py know the numbers below. */

enum {
	FLAT,		/* device table of one level */
	TWO_LEVEL,
	NOWHERE,	/* no address */
	UNUSED,		/* an address and no more */
	NR_ITSES,
};

/* Created in this order: the last one never runs, and has its LPIs not enabled. */
static const unsigned int vcpu_ids[] = { 2, 0, 1 };
#define NR_VCPUS	3
#define NO_VCPU		NR_VCPUS

/* Level 1 entries that are valid; the last but one has an empty level 2 table. */
static const unsigned int l1[] = { 0, 3, 5, 7 };

enum lpi_flags {
	ENABLED = 1,		/* in the configuration table */
	PENDING = 2,
	UNMAPPED = 4,		/* its device or itself, meanwhile */
	REFUSED = 8,		/* KVM_SIGNAL_MSI answers EBUSY: the vCPU's LPIs are not enabled */
	STALE = 16,		/* its bit in the pending table is set, and it is not pending */
	NEW_KERNEL = 32,	/* not with Linux 6.12 */
};

/* What there is at the end of the set-up. */
struct lpi {
	unsigned int its;
	uint32_t device, event, lpi;
	unsigned int vcpu;
	uint32_t flags;
};

static const struct lpi lpis[] = {
	{ FLAT, 3, 0, 8192, 0, ENABLED | PENDING },
	{ FLAT, 3, 1, 8193, 0, PENDING },
	{ FLAT, 3, 2, 8194, 0, ENABLED | STALE },
	{ FLAT, 3, 4, 8197, 0, ENABLED },		/* INT and CLEAR */
	{ FLAT, 3, 31, 8195, 0, ENABLED | PENDING },	/* its collection was moved from vCPU 1 */
	{ FLAT, 20000, 0, 8300, 1, ENABLED | PENDING },
	{ FLAT, 20000, 65535, 65535, 1, ENABLED },
	{ FLAT, 20001, 0, 8301, NO_VCPU, ENABLED },	/* its collection was never mapped */
	{ FLAT, 20001, 1, 8302, 2, ENABLED | PENDING | REFUSED },
	{ FLAT, 30000, 0, 8400, 0, ENABLED | UNMAPPED },
	{ FLAT, 45000, 0, 8401, 0, ENABLED | UNMAPPED },
	{ FLAT, 45000, 1, 8402, 0, ENABLED },
	{ FLAT, 60000, 3, 8303, 1, ENABLED | PENDING },	/* moved from vCPU 0 */
	{ FLAT, 60001, 0, 8403, 0, ENABLED | UNMAPPED | NEW_KERNEL },
	{ TWO_LEVEL, 1, 0, 9000, 1, ENABLED | PENDING },
	{ TWO_LEVEL, 1, 7, 9001, 0, 0 },
	{ TWO_LEVEL, 8191, 0, 9002, 0, ENABLED },
	{ TWO_LEVEL, 24580, 1, 9003, 1, PENDING },
	{ TWO_LEVEL, 65535, 0, 9004, 0, ENABLED | PENDING },
};

/* The pending table of vCPU 1 has a bit for this one, which nobody has mapped. */
#define NEVER_MAPPED	50000

static struct odd_vm vm;
static struct odd_its itses[NR_ITSES];

static const uint32_t regs[] = { GITS_CTLR, GITS_CBASER, GITS_CWRITER, GITS_CREADR, GITS_BASER0, GITS_BASER1,
				 GITS_TYPER, GITS_IIDR };
static uint64_t saved_regs[NR_ITSES][ARRAY_SIZE(regs)];
static uint32_t saved_ctlr[NR_VCPUS];

/* What KVM has written of the tables, but for zeros. */
static struct word {
	uint32_t its, at;
	uint64_t value;
} words[256];
static size_t nr_words;

static bool is_old_kernel(void)
{
	struct utsname uts;

	return !uname(&uts) && !strncmp(uts.release, "6.12.", 5);
}

static bool is_there(const struct lpi *l)
{
	return !(l->flags & NEW_KERNEL) || !is_old_kernel();
}

/* Set-up */

static int map_flat(struct odd_its *its)
{
	/* Collections: in creation order, which is not that of their numbers; one is mapped twice, one no more. */
	its_put(its, its_mapc(7, 0));
	its_put(its, its_mapc(2, 1));
	its_put(its, its_mapc(11, 0));
	its_put(its, its_mapc(9, 2));
	its_put(its, its_mapc(0, 1));
	its_put(its, its_unmapc(11));

	its_put(its, its_mapd(its, 60000, ITS_ITT(0), 4));
	its_put(its, its_mapti(60000, 3, 8303, 7));
	its_put(its, its_int(60000, 3));
	its_put(its, its_movi(60000, 3, 0));

	its_put(its, its_mapd(its, 3, ITS_ITT(1), 5));
	its_put(its, its_mapti(3, 31, 8195, 2));
	its_put(its, its_int(3, 31));
	its_put(its, its_mapti(3, 0, 8192, 7));
	its_put(its, its_mapti(3, 1, 8193, 7));
	its_put(its, its_mapti(3, 2, 8194, 7));
	its_put(its, its_mapti(3, 4, 8197, 7));
	its_put(its, its_int(3, 0));
	its_put(its, its_int(3, 1));
	its_put(its, its_int(3, 4));
	its_put(its, its_clear(3, 4));

	its_put(its, its_mapd(its, 20000, ITS_BIG_ITT, 16));
	its_put(its, its_mapti(20000, 65535, 65535, 0));
	its_put(its, its_mapti(20000, 0, 8300, 0));
	its_put(its, its_int(20000, 0));
	its_put(its, its_mapd(its, 20001, ITS_ITT(2), 1));
	its_put(its, its_mapti(20001, 0, 8301, 5));
	its_put(its, its_mapti(20001, 1, 8302, 9));

	its_put(its, its_mapd(its, 30000, ITS_ITT(3), 2));
	its_put(its, its_mapti(30000, 0, 8400, 7));
	its_put(its, its_unmapd(30000));
	its_put(its, its_mapd(its, 40000, ITS_ITT(4), 2));
	its_put(its, its_mapd(its, 45000, ITS_ITT(5), 2));
	its_put(its, its_mapti(45000, 0, 8401, 7));
	its_put(its, its_mapti(45000, 1, 8402, 7));
	its_put(its, its_discard(45000, 0));

	its_put(its, its_mapc(2, 0));
	return its_ring(its);
}

/* MAPC with V=0 of a collection with interrupts: Linux 6.12 cannot save that. */
static int map_orphan(struct odd_its *its)
{
	if (is_old_kernel())
		return 0;
	its_put(its, its_mapc(12, 0));
	its_put(its, its_mapd(its, 60001, ITS_ITT(6), 2));
	its_put(its, its_mapti(60001, 0, 8403, 12));
	its_put(its, its_unmapc(12));
	return its_ring(its);
}

static int map_two_level(struct odd_its *its)
{
	its_put(its, its_mapc(1, 1));
	its_put(its, its_mapc(0, 0));
	its_put(its, its_mapd(its, 65535, ITS_ITT(0), 1));
	its_put(its, its_mapti(65535, 0, 9004, 0));
	its_put(its, its_mapd(its, 24580, ITS_ITT(1), 1));
	its_put(its, its_mapti(24580, 1, 9003, 1));
	its_put(its, its_mapd(its, 8191, ITS_ITT(2), 1));
	its_put(its, its_mapti(8191, 0, 9002, 0));
	its_put(its, its_mapd(its, 1, ITS_ITT(3), 3));
	its_put(its, its_mapti(1, 7, 9001, 0));
	its_put(its, its_mapti(1, 0, 9000, 1));
	if (its_ring(its))
		return -1;
	return its_signal(its, 1, 0) == 1 && its_signal(its, 24580, 1) == 1 &&
	       its_signal(its, 65535, 0) == 1 ? 0 : -1;
}

/* What the guest has enabled, and what a pending table says of LPIs before they are mapped. */
static void fill_lpi_tables(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lpis); i++)
		lpi_configure(lpis[i].lpi, LPI_PRIORITY | (lpis[i].flags & ENABLED));
	lpi_mark_pending(2, 8302, true);
	lpi_mark_pending(1, NEVER_MAPPED, true);
}

/* What a dump that fails must leave in the tables: KVM itself does not look at them any more. */
static void make_stale(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lpis); i++)
		if (lpis[i].flags & STALE)
			lpi_mark_pending(lpis[i].vcpu, lpis[i].lpi, true);
}

static int set_up_itses(void)
{
	unsigned int i;

	for (i = 0; i < NR_ITSES; i++)
		if (its_create(&itses[i], &vm, i) || (i != NOWHERE && its_place(&itses[i])))
			return -1;
	if (lpi_set_tables(&vm, NR_VCPUS) || lpi_enable(&vm, 0, true) || lpi_enable(&vm, 1, true))
		return -1;
	fill_lpi_tables();
	if (its_set_tables(&itses[FLAT], 0x10000, NULL, 0) ||
	    its_set_tables(&itses[TWO_LEVEL], 4096, l1, ARRAY_SIZE(l1)) || its_enable(&itses[FLAT], true) ||
	    its_enable(&itses[TWO_LEVEL], true))
		return -1;
	if (map_flat(&itses[FLAT]) || map_orphan(&itses[FLAT]) || map_two_level(&itses[TWO_LEVEL]))
		return -1;
	make_stale();
	/* Two fds of one. */
	return dup(itses[TWO_LEVEL].fd) < 0 ? -1 : 0;
}

static int set_up(void)
{
	unsigned int i;

	if (odd_create(&vm) || odd_add_memory(&vm, 0) || its_add_memory(&vm, ram))
		return -1;
	for (i = 0; i < NR_VCPUS; i++)
		if (odd_create_vcpu(&vm, vcpu_ids[i]) || odd_init_vcpu(&vm, vcpu_ids[i]) ||
		    lpi_set_guest(&vm, vcpu_ids[i]))
			return -1;
	return odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	       odd_init_gic(&vm) || lpi_enable_group(&vm) || set_up_itses() ? -1 : 0;
}

/* Entries where KVM finds none of its own. They come before the first one of its table. */
static int overwrite(void)
{
	uint64_t *dtes = its_entry(&itses[FLAT], ITS_DTES), *ites = its_entry(&itses[FLAT], ITS_ITT(0));
	uint64_t itt = (ITS_RAM_BASE + ITS_BLOCK(FLAT) + ITS_ITT(7)) >> 8 << 5;

	if (!broken)
		return 0;
	if (!strcmp(broken, "dte"))
		dtes[1] = ITS_VALID | 1ull << 49 | itt | 31;	/* Size 31: 32 bits of an EventID */
	else if (!strcmp(broken, "dte-taken"))
		dtes[1] = ITS_VALID | 1ull << 49 | itt | 1;
	else if (!strcmp(broken, "ite"))
		ites[0] = 1ull << 48 | 8500ull << 16 | 99;	/* no collection 99 */
	else if (!strcmp(broken, "ite-taken"))
		ites[0] = 1ull << 48 | 8500ull << 16 | 7;
	else
		return -1;
	return 0;
}

/* What is to be found again */

static bool has_regs(unsigned int n)
{
	return n != NOWHERE;
}

static int save_regs(void)
{
	unsigned int n, i;
	size_t r;

	for (n = 0; n < NR_ITSES; n++)
		for (r = 0; r < ARRAY_SIZE(regs) && has_regs(n); r++)
			if (its_get(&itses[n], regs[r], &saved_regs[n][r]))
				return -1;
	for (i = 0; i < NR_VCPUS; i++)
		if (lpi_get_ctlr(&vm, i, &saved_ctlr[i]))
			return -1;
	return (saved_ctlr[0] & 1) && (saved_ctlr[1] & 1) && !(saved_ctlr[2] & 1) ? 0 : -1;
}

/* Whether it is of a table that KVM writes, and not a level 1 entry, which is the guest's. */
static bool is_in_tables(unsigned int n, uint32_t at)
{
	if (at < ITS_CTES || at >= ITS_ASIDE)
		return false;
	return n != TWO_LEVEL || at < ITS_DTES || at >= ITS_LEVEL_2(0);
}

/* The tables in memory, from the first ITS on: @see for each word that is not 0. Whether it took all. */
static bool scan_tables(bool (*see)(unsigned int its, uint32_t at, uint64_t *word))
{
	unsigned int n;
	uint32_t at;

	for (n = FLAT; n <= TWO_LEVEL; n++)
		for (at = 0; at < ITS_ASIDE; at += sizeof(uint64_t))
			if (is_in_tables(n, at) && *its_entry(&itses[n], at) &&
			    !see(n, at, its_entry(&itses[n], at)))
				return false;
	return true;
}

static bool empty_word(unsigned int its, uint32_t at, uint64_t *word)
{
	*word = 0;
	return true;
}

static bool note_word(unsigned int its, uint32_t at, uint64_t *word)
{
	if (nr_words == ARRAY_SIZE(words))
		return false;
	words[nr_words++] = (struct word){ .its = its, .at = at, .value = *word };
	return true;
}

static bool same_word(unsigned int its, uint32_t at, uint64_t *word)
{
	const struct word *want = &words[nr_words++];

	if (want->its == its && want->at == at && want->value == *word)
		return true;
	fail("tables saved again: ITS %u, offset %#x: %#llx; expected was ITS %u, offset %#x: %#llx", its, at,
	     (unsigned long long)*word, want->its, want->at, (unsigned long long)want->value);
	return false;
}

/* Into emptied tables: all that is there then KVM has written. */
static int save_tables(void)
{
	scan_tables(empty_word);
	return its_save_tables(&itses[FLAT]) || its_save_tables(&itses[TWO_LEVEL]) ? -1 : 0;
}

/* They are left empty, as they are where nobody has saved them. */
static int save(void)
{
	if (save_regs() || save_tables() || !scan_tables(note_word))
		return -1;
	scan_tables(empty_word);
	return overwrite();
}

/* The verdict */

static bool regs_are_same(void)
{
	uint64_t base, now;
	uint32_t ctlr;
	unsigned int n, i;
	size_t r;

	for (n = 0; n < NR_ITSES; n++) {
		struct kvm_device_attr a = { .group = KVM_DEV_ARM_VGIC_GRP_ADDR, .attr = KVM_VGIC_ITS_ADDR_TYPE,
					     .addr = (uintptr_t)&base };

		if (ioctl(itses[n].fd, KVM_GET_DEVICE_ATTR, &a) || base != (has_regs(n) ? ITS_FRAME(n) : ~0ull)) {
			fail("ITS %u is at %#llx", n, (unsigned long long)base);
			return false;
		}
		for (r = 0; r < ARRAY_SIZE(regs) && has_regs(n); r++) {
			if (!its_get(&itses[n], regs[r], &now) && now == saved_regs[n][r])
				continue;
			fail("ITS %u: register %#x was %#llx, is %#llx", n, regs[r],
			     (unsigned long long)saved_regs[n][r], (unsigned long long)now);
			return false;
		}
	}
	for (i = 0; i < NR_VCPUS; i++) {
		if (lpi_get_ctlr(&vm, i, &ctlr) || ctlr != saved_ctlr[i]) {
			fail("vCPU %u: GICR_CTLR was %#x, is %#x", i, saved_ctlr[i], ctlr);
			return false;
		}
	}
	return true;
}

static bool tables_are_same(void)
{
	size_t nr = nr_words;

	nr_words = 0;
	if (save_tables()) {
		fail("KVM_DEV_ARM_ITS_SAVE_TABLES");
		return false;
	}
	if (!scan_tables(same_word))
		return false;
	if (nr_words == nr)
		return true;
	fail("tables saved again: %zu entries, %zu expected", nr_words, nr);
	return false;
}

/* Whether it is pending for @want vCPU, or for none, and for no other. */
static bool pending_at(const struct lpi *l, unsigned int want)
{
	unsigned int i;

	for (i = 0; i < NR_VCPUS; i++) {
		if (lpi_is_marked(i, l->lpi) == (i == want))
			continue;
		fail("LPI %u is %spending on vCPU %u", l->lpi, i == want ? "not " : "", i);
		return false;
	}
	return true;
}

/* The tables in memory tell of what is mapped only: they are emptied first. */
static bool pending_are_right(void)
{
	unsigned int i;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(lpis); n++)
		for (i = 0; i < NR_VCPUS; i++)
			lpi_mark_pending(i, lpis[n].lpi, false);
	if (lpi_save_pending(&vm)) {
		fail("KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES");
		return false;
	}
	for (n = 0; n < ARRAY_SIZE(lpis); n++) {
		const struct lpi *l = &lpis[n];

		if (is_there(l) && !pending_at(l, l->flags & PENDING ? l->vcpu : NO_VCPU))
			return false;
	}
	return true;
}

static bool never_mapped_is_kept(void)
{
	if (lpi_is_marked(1, NEVER_MAPPED) && !lpi_is_marked(0, NEVER_MAPPED))
		return true;
	fail("the pending tables have lost what they say of an LPI that is not mapped");
	return false;
}

static int answer_of(const struct lpi *l)
{
	if (l->flags & REFUSED)
		return -1;
	return !(l->flags & UNMAPPED) && l->vcpu != NO_VCPU;
}

static bool msis_are_right(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lpis); i++) {
		const struct lpi *l = &lpis[i];
		int ret = is_there(l) ? its_signal(&itses[l->its], l->device, l->event) : 0;

		if (!is_there(l) || (ret == answer_of(l) && (ret >= 0 || errno == EBUSY)))
			continue;
		fail("ITS %u, device %u, event %u: KVM_SIGNAL_MSI answers %d, %d expected", l->its, l->device,
		     l->event, ret, answer_of(l));
		return false;
	}
	errno = 0;
	return true;
}

/* Each that is enabled is taken once, by the vCPU that it is of; the third one never runs. */
static bool all_are_taken(void)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	unsigned int i, ticks, nr = 0, want = 0;
	size_t n;

	*lpi_may_take() = 1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_start(&vm, i))
			return false;
	for (n = 0; n < ARRAY_SIZE(lpis); n++)
		want += lpis[n].flags & ENABLED && answer_of(&lpis[n]) == 1;
	for (ticks = 0; ticks < 2000 && nr < want; ticks++) {
		nanosleep(&tick, NULL);
		for (nr = 0, n = 0; n < ARRAY_SIZE(lpis); n++)
			nr += lpi_taken(0, lpis[n].lpi) + lpi_taken(1, lpis[n].lpi);
	}
	if (!odd_goes_on(&vm) || !odd_stop(&vm)) {
		fail("%s", vm.stats->error);
		return false;
	}
	for (n = 0; n < ARRAY_SIZE(lpis); n++) {
		const struct lpi *l = &lpis[n];
		bool is = l->flags & ENABLED && answer_of(l) == 1;

		for (i = 0; i < ODD_NR_VCPUS; i++) {
			if (lpi_taken(i, l->lpi) == (is && l->vcpu == i))
				continue;
			fail("LPI %u was taken %u times by vCPU %u", l->lpi, lpi_taken(i, l->lpi), i);
			return false;
		}
	}
	return true;
}

static bool all_is_right(void)
{
	if (!regs_are_same() || !never_mapped_is_kept() || !pending_are_right())
		return false;
	/* A guest that has overwritten its tables has what it has written. */
	return (broken || tables_are_same()) && msis_are_right() && all_are_taken();
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (set_up() || save()) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}
	if (odd_start_all(&vm)) {
		pr_err("%s\n", vm.stats->error);
		return 1;
	}

	test_daemon();
	test_waitsig();

	if (!odd_is_well(&vm))
		return 1;
	errno = 0;
	if (!all_is_right())
		return 1;
	pass();
	return 0;
}
