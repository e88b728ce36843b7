/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ITSes with commands in their queues: some executed, some not. What was executed must not be executed
 * again after a restore, which is seen by what was done since, past the queue; what was queued
 * must be executed when the ITS is enabled, at the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zdtmtst.h"
#include "its.h"
#include "lpi.h"

const char *test_doc = "A small KVM VM with commands in the queues of its ITSes\n";
const char *test_author = "The kvm-vgic authors";

#define QUEUE		4096	/* bytes: 128 commands */
#define DEVICE		5
#define FIRST_LPI(n)	(LPI_MIN + 0x100 * (n))

enum {
	PLAIN,		/* not enabled, commands waiting */
	WRAPPED,	/* likewise, and they begin at the end of the queue */
	EMPTY,		/* not enabled, nothing waiting */
	ENABLED,	/* nothing waiting */
	NR_ITSES,
};

/* EventIDs of DEVICE in each ITS. */
enum {
	CLEARED,	/* INT in the queue, executed; CLEAR past the queue */
	DISCARDED,	/* MAPTI in the queue, executed; DISCARD past the queue */
	SIGNALED,	/* pending by KVM_SIGNAL_MSI: a MAPD executed again would lose that */
	MOVED,		/* MOVI in the queue, executed; moved back past the queue */
	NEW,		/* MAPTI and INT are waiting */
	NEW_CLEARED,	/* MAPTI, INT and CLEAR are waiting */
	SIGNALED_LATER,	/* INT is waiting */
	GOING,		/* DISCARD is waiting */
	NR_EVENTS,
};

/* What must be seen of an event. */
struct state {
	bool mapped;
	bool pending;
	unsigned int vcpu;
};

/* At the dump, which is what stays of an ITS where nothing is waiting; and when all was executed. */
static const struct state before[NR_EVENTS] = {
	[CLEARED] = { true, false, 0 },	       [DISCARDED] = { false, false, 0 },
	[SIGNALED] = { true, true, 1 },	       [MOVED] = { true, true, 0 },
	[NEW] = { false, false, 0 },	       [NEW_CLEARED] = { false, false, 0 },
	[SIGNALED_LATER] = { true, false, 1 }, [GOING] = { true, false, 0 },
};
static const struct state after[NR_EVENTS] = {
	[CLEARED] = { true, false, 0 },	      [DISCARDED] = { false, false, 0 },
	[SIGNALED] = { true, true, 1 },	      [MOVED] = { true, true, 0 },
	[NEW] = { true, true, 1 },	      [NEW_CLEARED] = { true, false, 0 },
	[SIGNALED_LATER] = { true, true, 1 }, [GOING] = { false, false, 0 },
};

static struct odd_vm vm;
static struct odd_its itses[NR_ITSES];

static const uint32_t regs[] = { GITS_CTLR, GITS_CBASER, GITS_CWRITER, GITS_CREADR, GITS_BASER0, GITS_BASER1 };

/* Registers and queues of all ITSes: before the dumps, and after. */
static struct fields {
	uint64_t regs[NR_ITSES][ARRAY_SIZE(regs)];
	char queue[NR_ITSES][QUEUE];
} saved, found;

static uint32_t lpi(unsigned int n, uint32_t event)
{
	return FIRST_LPI(n) + event;
}

/* So that what comes next is not at the beginning of the queue. */
static int fill_queue(struct odd_its *its, uint32_t up_to)
{
	while (its->put != up_to)
		its_put(its, its_sync());
	return its_ring(its);
}

/* Executed, and in the queue. */
static int execute(struct odd_its *its)
{
	unsigned int n = its->n;

	its_put(its, its_mapc(0, 0));
	its_put(its, its_mapc(1, 1));
	its_put(its, its_mapd(its, DEVICE, ITS_ITT(0), 4));
	its_put(its, its_mapti(DEVICE, CLEARED, lpi(n, CLEARED), 0));
	its_put(its, its_int(DEVICE, CLEARED));
	its_put(its, its_mapti(DEVICE, DISCARDED, lpi(n, DISCARDED), 0));
	its_put(its, its_mapti(DEVICE, SIGNALED, lpi(n, SIGNALED), 1));
	its_put(its, its_mapti(DEVICE, MOVED, lpi(n, MOVED), 0));
	its_put(its, its_int(DEVICE, MOVED));
	its_put(its, its_movi(DEVICE, MOVED, 1));
	its_put(its, its_mapti(DEVICE, SIGNALED_LATER, lpi(n, SIGNALED_LATER), 1));
	its_put(its, its_mapti(DEVICE, GOING, lpi(n, GOING), 0));
	return its_ring(its);
}

/* What the queue does not tell. */
static int change_since(struct odd_its *its)
{
	if (its_do_aside(its, its_clear(DEVICE, CLEARED)) || its_do_aside(its, its_discard(DEVICE, DISCARDED)) ||
	    its_do_aside(its, its_movi(DEVICE, MOVED, 0)))
		return -1;
	return its_signal(its, DEVICE, SIGNALED) == 1 ? 0 : -1;
}

static int leave_waiting(struct odd_its *its)
{
	unsigned int n = its->n;

	if (its_enable(its, false))
		return -1;
	its_put(its, its_mapti(DEVICE, NEW, lpi(n, NEW), 1));
	its_put(its, its_int(DEVICE, NEW));
	its_put(its, its_mapti(DEVICE, NEW_CLEARED, lpi(n, NEW_CLEARED), 0));
	its_put(its, its_int(DEVICE, NEW_CLEARED));
	its_put(its, its_clear(DEVICE, NEW_CLEARED));
	its_put(its, its_int(DEVICE, SIGNALED_LATER));
	its_put(its, its_discard(DEVICE, GOING));
	return its_ring(its);
}

static int set_up_its(unsigned int n)
{
	struct odd_its *its = &itses[n];
	unsigned int i;

	for (i = 0; i < NR_EVENTS; i++)
		lpi_configure(lpi(n, i), LPI_PRIORITY | LPI_ENABLED);
	if (its_set_tables(its, QUEUE, NULL, 0) || its_enable(its, true))
		return -1;
	/* From the middle of the queue, so that what is waiting has its end in it. */
	if (n == WRAPPED && fill_queue(its, QUEUE - 17 * ITS_COMMAND))
		return -1;
	if (execute(its) || change_since(its))
		return -1;
	if (n == PLAIN || n == WRAPPED)
		return leave_waiting(its);
	return n == EMPTY ? its_enable(its, false) : 0;
}

static int set_up(void)
{
	unsigned int i;

	if (odd_create(&vm) || odd_add_memory(&vm, 0) || its_add_memory(&vm, NULL))
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i))
			return -1;
	if (odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    odd_init_gic(&vm) || lpi_enable_group(&vm))
		return -1;
	for (i = 0; i < NR_ITSES; i++)
		if (its_create(&itses[i], &vm, i) || its_place(&itses[i]))
			return -1;
	if (lpi_set_tables(&vm, ODD_NR_VCPUS))
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (lpi_enable(&vm, i, true))
			return -1;
	for (i = 0; i < NR_ITSES; i++)
		if (set_up_its(i))
			return -1;
	return 0;
}

static int read_fields(struct fields *fields)
{
	unsigned int n;
	size_t r;

	for (n = 0; n < NR_ITSES; n++) {
		for (r = 0; r < ARRAY_SIZE(regs); r++)
			if (its_get(&itses[n], regs[r], &fields->regs[n][r]))
				return -1;
		memcpy(fields->queue[n], its_entry(&itses[n], ITS_QUEUE), QUEUE);
	}
	return 0;
}

static bool waits(unsigned int n)
{
	return n == PLAIN || n == WRAPPED;
}

/* That the test is what it is meant to be. */
static bool is_as_meant(void)
{
	unsigned int n;
	bool good = true;

	for (n = 0; n < NR_ITSES; n++) {
		uint64_t ctlr = saved.regs[n][0], cwriter = saved.regs[n][2], creadr = saved.regs[n][3];

		good &= (ctlr & 1) == (n == ENABLED) && (cwriter != creadr) == waits(n) && cwriter && creadr;
		good &= (cwriter < creadr) == (n == WRAPPED);
	}
	return good;
}

static bool fields_same(void)
{
	unsigned int n;
	size_t r;

	for (n = 0; n < NR_ITSES; n++) {
		for (r = 0; r < ARRAY_SIZE(regs); r++) {
			if (saved.regs[n][r] == found.regs[n][r])
				continue;
			fail("ITS %u: register %#x was %#llx, is %#llx", n, regs[r],
			     (unsigned long long)saved.regs[n][r], (unsigned long long)found.regs[n][r]);
			return false;
		}
		if (memcmp(saved.queue[n], found.queue[n], QUEUE)) {
			fail("ITS %u: the queue has other commands", n);
			return false;
		}
	}
	return true;
}

/* Whether KVM has @event pending, and where. */
static bool pending_is(unsigned int n, uint32_t event, const struct state *want, const char *when)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++) {
		bool is = lpi_is_marked(i, lpi(n, event)), should = want->pending && want->vcpu == i;

		if (is == should)
			continue;
		fail("ITS %u, event %u, %s: LPI %u is %spending on vCPU %u", n, event, when, lpi(n, event),
		     is ? "" : "not ", i);
		return false;
	}
	return true;
}

/* The tables in memory tell of what is mapped only: they are emptied first. */
static bool all_pending_are(const struct state *waiting, const char *when)
{
	unsigned int n, event, i;

	for (n = 0; n < NR_ITSES; n++)
		for (event = 0; event < NR_EVENTS; event++)
			for (i = 0; i < ODD_NR_VCPUS; i++)
				lpi_mark_pending(i, lpi(n, event), false);
	if (lpi_save_pending(&vm)) {
		fail("KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES");
		return false;
	}
	for (n = 0; n < NR_ITSES; n++)
		for (event = 0; event < NR_EVENTS; event++)
			if (!pending_is(n, event, waits(n) ? &waiting[event] : &before[event], when))
				return false;
	return true;
}

static bool all_mapped_are(void)
{
	unsigned int n, event;

	for (n = 0; n < NR_ITSES; n++) {
		const struct state *want = waits(n) ? after : before;

		for (event = 0; event < NR_EVENTS; event++) {
			int ret = its_signal(&itses[n], DEVICE, event);

			if (ret == want[event].mapped)
				continue;
			fail("ITS %u, event %u: KVM_SIGNAL_MSI answers %d, %d expected", n, event, ret,
			     want[event].mapped);
			return false;
		}
	}
	return true;
}

static bool queues_are_empty(void)
{
	uint64_t cwriter, creadr;
	unsigned int n;

	for (n = 0; n < NR_ITSES; n++) {
		if (its_get(&itses[n], GITS_CWRITER, &cwriter) || its_get(&itses[n], GITS_CREADR, &creadr) ||
		    cwriter != creadr || cwriter != saved.regs[n][2]) {
			fail("ITS %u: GITS_CREADR %#llx, GITS_CWRITER %#llx, with all executed", n,
			     (unsigned long long)creadr, (unsigned long long)cwriter);
			return false;
		}
	}
	return true;
}

static bool all_is_right(void)
{
	unsigned int n;

	if (read_fields(&found)) {
		fail("the registers cannot be read");
		return false;
	}
	/* First what became of the commands: that tells more than a register. */
	if (!all_pending_are(before, "before"))
		return false;
	for (n = 0; n < NR_ITSES; n++) {
		if (its_enable(&itses[n], true)) {
			fail("GITS_CTLR");
			return false;
		}
	}
	return all_pending_are(after, "after") && all_mapped_are() && queues_are_empty() && fields_same();
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (set_up() || read_fields(&saved)) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}
	if (!is_as_meant()) {
		pr_err("the queues are not what they are to be\n");
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
