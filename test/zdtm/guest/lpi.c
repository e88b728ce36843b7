/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * LPIs of two ITSes. An LPI that is sent again while it is pending is one LPI: so each has one sender,
 * the VMM (KVM_SIGNAL_MSI) or a vCPU (INT), which counts it, sends it, and sends the next one only
 * when the last was taken, or was cleared. Each LPI is tended by one vCPU, which moves it and has a few
 * LPIs at a time in hand: disabled, or discarded, for a moment that a dump may well find them in.
 */
#include "guest.h"

#define area	   ((volatile struct lpi_area *)VM_LPI_AREA)
#define records	   ((volatile struct lpi_record *)VM_LPI_BASE)
#define priorities ((volatile u8 *)VM_LPI_PROP) /* and bit 0, which enables the LPI */

#define NR_HANDS      8
#define LPIS_A_STEP   4
#define CHECKS_A_STEP 16
#define NONE	      (~0ull)
#define NOT_OURS      65535 /* an INTID that is no record's */

struct hand {
	u64 lpi; /* and one: 0 is none */
	u64 until;
};

/* Here and not in struct cpu: a vCPU that was off starts with what it had in hand. */
static struct tender {
	struct hand hand[NR_HANDS];
	u64 next_check;
	u64 last; /* no more INT: a fault was made of the last one */
} tenders[VM_MAX_VCPUS];

static volatile struct lpi_record *record(u64 lpi)
{
	return &records[lpi];
}

/* Nothing of it changes after the start. */
static const struct lpi_device *device(u64 n)
{
	return (const struct lpi_device *)&area->device[n];
}

static const struct lpi_device *device_of(u64 lpi)
{
	return device(lpi / VM_NR_EVENTS);
}

static struct its *its_of(u64 lpi)
{
	return &itses[device_of(lpi)->its];
}

static u64 event_of(u64 lpi)
{
	return lpi % VM_NR_EVENTS * device_of(lpi)->event_step;
}

static u64 intid_of(u64 lpi)
{
	return VM_FIRST_LPI + lpi * area->intid_step;
}

static int exists(u64 lpi)
{
	return lpi % VM_NR_EVENTS < device_of(lpi)->nr_events && !device_of(lpi)->unmapped;
}

static int by_vmm(u64 lpi)
{
	return lpi % 2 == 0;
}

static enum subject subject_of(u64 lpi)
{
	return by_vmm(lpi) ? SUBJ_MSI : SUBJ_LPI;
}

static int is_idle(u64 lpi)
{
	return record(lpi)->sent == record(lpi)->taken + record(lpi)->cleared;
}

/* The VMM sends when it has the LPI, and not for long. */
static int try_hold(u64 lpi)
{
	u32 free = LPI_FREE;

	return __atomic_compare_exchange_n(&record(lpi)->holder, &free, LPI_HELD_BY_GUEST, 0,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void release(u64 lpi)
{
	__atomic_store_n(&record(lpi)->holder, LPI_FREE, __ATOMIC_RELEASE);
}

/* Those that vCPU @index tends: pairs of one of the VMM's and one of the guest's. */
static u64 nr_pairs(u64 index)
{
	u64 all = area->nr_devices * VM_NR_EVENTS / 2;

	return (all + params->nr_vcpus - 1 - index) / params->nr_vcpus;
}

/* The @n-th pair's of vCPU @index; NONE for an event that its device does not have. */
static u64 nth(u64 index, u64 n, u64 of_guest)
{
	u64 lpi = 2 * (index + n * params->nr_vcpus) + of_guest;

	return exists(lpi) ? lpi : NONE;
}

static u64 pick(struct cpu *c, u64 of_guest)
{
	return nth(c->index, rnd(c, nr_pairs(c->index)), of_guest);
}

/* The fault that was asked for is made once all goes its way. */
static int inject_now(struct cpu *c, enum inject which)
{
	return params->inject == which && c->stats->loops > 20;
}

static void set_enabled(u64 lpi, int enabled)
{
	volatile u8 *property = &priorities[intid_of(lpi) - VM_FIRST_LPI];

	*property = (0x40 + lpi % 8 * 0x10) | enabled;
	its_command(its_of(lpi), ITS_INV, device_of(lpi), event_of(lpi));
}

/*
 * MAPTI alone is not enough: KVM finds an LPI that some vCPU's list still has as it was when it was
 * discarded, with the route of that time. INV is architecture: enabled or not is as it was cached.
 */
static void map(struct cpu *c, u64 lpi)
{
	volatile struct lpi_record *r = record(lpi);
	struct its *its = its_of(lpi);
	u64 intid = inject_now(c, INJECT_LPI_UNEXPECTED) ? NOT_OURS : intid_of(lpi);

	if (intid == NOT_OURS)
		priorities[NOT_OURS - VM_FIRST_LPI] = 0x41;
	its_begin_move(its, &r->moved_at);
	r->collection = rnd(c, NR_COLLECTIONS);
	its_mapti(its, device_of(lpi), event_of(lpi), intid, r->collection);
	its_movi(its, device_of(lpi), event_of(lpi), r->collection);
	set_enabled(lpi, 1);
	its_run(its);
	its_end_move(its);
}

/* As a driver leaves it: the event is discarded, then the device unmapped. */
static void unmap_device(struct its *its, u64 lpi)
{
	const struct lpi_device *dev = device_of(lpi);

	its_command(its, ITS_DISCARD, dev, event_of(lpi));
	its_mapd(its, dev, 0);
	its_run(its);
	record(lpi)->state = LPI_UNMAPPED;
}

static void init_device(struct cpu *c, u64 n)
{
	const struct lpi_device *dev = device(n);
	struct its *its = &itses[dev->its];
	u64 i;

	its_lock(its);
	its_mapd(its, dev, its_new_itt(its, dev));
	for (i = 0; i < dev->nr_events; i++)
		map(c, n * VM_NR_EVENTS + i);
	if (dev->unmapped)
		unmap_device(its, n * VM_NR_EVENTS);
	its_unlock(its);
}

static void init_collections(struct its *its)
{
	u64 i;

	its_lock(its);
	for (i = 0; i < NR_COLLECTIONS; i++) {
		its->collection[i].target = (i + its->index) % params->nr_vcpus;
		its_mapc(its, i);
	}
	its_run(its);
	its_unlock(its);
}

void lpi_init(void)
{
	u64 i;

	if (!params->nr_itses)
		return;
	gic_init_lpis();
	for (i = 0; i < params->nr_itses; i++) {
		its_init(&itses[i]);
		init_collections(&itses[i]);
	}
	for (i = 0; i < area->nr_devices; i++)
		init_device(this_cpu(), i);
	dsb();
	area->ready = 1;
}

static void count_sent(struct cpu *c, u64 lpi)
{
	volatile struct lpi_record *r = record(lpi);

	r->sent_at = area->moves[device_of(lpi)->its];
	r->patience = patience_of(c);
	dsb();
	r->sent++;
	c->stats->lpi_sent++;
}

static void send(struct cpu *c, u64 lpi)
{
	struct tender *t = &tenders[c->index];

	if (!is_idle(lpi) || t->last)
		return;
	t->last = record(lpi)->state == LPI_ON && c->stats->lpi_sent > 30 &&
		  (params->inject == INJECT_LOST_LPI || params->inject == INJECT_DOUBLE_LPI);
	if (!t->last || params->inject == INJECT_LOST_LPI)
		count_sent(c, lpi);
	if (!t->last || params->inject == INJECT_DOUBLE_LPI)
		its_command(its_of(lpi), ITS_INT, device_of(lpi), event_of(lpi));
}

/* Several commands at once, of which some are for LPIs that are disabled. */
static void send_some(struct cpu *c)
{
	struct its *its = &itses[rnd(c, params->nr_itses)];
	u64 i, lpi;

	its_lock(its);
	for (i = 0; i < LPIS_A_STEP; i++) {
		lpi = pick(c, 1);
		if (lpi != NONE && its_of(lpi) == its && record(lpi)->state != LPI_UNMAPPED)
			send(c, lpi);
	}
	its_run(its);
	its_unlock(its);
}

static void disable(struct cpu *c, u64 lpi)
{
	if (!inject_now(c, INJECT_LPI_DISABLED)) {
		set_enabled(lpi, 0);
		its_run(its_of(lpi));
	}
	record(lpi)->state = LPI_DISABLED;
	if (by_vmm(lpi))
		return; /* it looks for those itself */
	send(c, lpi);
	its_run(its_of(lpi));
}

static void discard(struct cpu *c, u64 lpi)
{
	if (!inject_now(c, INJECT_LPI_DISCARDED)) {
		its_command(its_of(lpi), ITS_DISCARD, device_of(lpi), event_of(lpi));
		its_run(its_of(lpi));
	}
	record(lpi)->state = LPI_UNMAPPED;
	c->stats->lpis_discarded++;
}

static void take_in_hand(struct cpu *c, struct hand *h)
{
	u64 lpi = pick(c, rnd(c, 2));
	struct its *its;

	if (lpi == NONE || record(lpi)->state != LPI_ON || !try_hold(lpi))
		return;
	its = its_of(lpi);
	its_lock(its);
	if (is_idle(lpi)) {
		if (rnd(c, 3) == 0)
			discard(c, lpi);
		else
			disable(c, lpi);
		h->until = counter() + read_sysreg(cntfrq_el0) * (20 + rnd(c, 300)) / 1000;
		h->lpi = lpi + 1;
	}
	its_unlock(its);
	release(lpi);
}

static void clear(struct cpu *c, u64 lpi)
{
	if (!inject_now(c, INJECT_LPI_CLEARED)) {
		its_command(its_of(lpi), ITS_CLEAR, device_of(lpi), event_of(lpi));
		its_run(its_of(lpi));
	}
	record(lpi)->cleared++;
	if (by_vmm(lpi))
		c->stats->msi_cleared++;
	else
		c->stats->lpi_cleared++;
}

/* What is pending is taken after it, unless it was cleared. */
static void enable(struct cpu *c, u64 lpi)
{
	volatile struct lpi_record *r = record(lpi);

	if (!is_idle(lpi)) {
		if (rnd(c, 4) == 0)
			clear(c, lpi);
		else
			c->stats->lpis_enabled++;
	}
	r->patience = patience_of(c);
	r->state = LPI_ON;
	dsb();
	set_enabled(lpi, 1);
	its_run(its_of(lpi));
}

static void remap(struct cpu *c, u64 lpi)
{
	map(c, lpi);
	record(lpi)->state = LPI_ON;
}

static void put_down(struct cpu *c, struct hand *h)
{
	u64 lpi = h->lpi - 1;
	struct its *its = its_of(lpi);

	if (!try_hold(lpi))
		return; /* the VMM sends it just now: next time, then */
	its_lock(its);
	if (record(lpi)->state == LPI_UNMAPPED)
		remap(c, lpi);
	else
		enable(c, lpi);
	its_unlock(its);
	release(lpi);
	h->lpi = 0;
}

/* Pending or not. */
static void move(struct cpu *c, u64 lpi)
{
	struct its *its = its_of(lpi);

	its_lock(its);
	its_begin_move(its, &record(lpi)->moved_at);
	record(lpi)->collection = rnd(c, NR_COLLECTIONS);
	if (!inject_now(c, INJECT_LPI_ROUTE)) {
		its_movi(its, device_of(lpi), event_of(lpi), record(lpi)->collection);
		its_run(its);
	}
	its_end_move(its);
	its_unlock(its);
	c->stats->lpis_moved++;
}

/* With all LPIs in it. */
static void move_collection(struct cpu *c)
{
	struct its *its = &itses[rnd(c, params->nr_itses)];
	u64 icid = rnd(c, NR_COLLECTIONS);

	its_lock(its);
	its_begin_move(its, &its->collection[icid].moved_at);
	its->collection[icid].target = rnd(c, params->nr_vcpus);
	its_mapc(its, icid);
	its_run(its);
	its_end_move(its);
	its_unlock(its);
	c->stats->collections_moved++;
}

static void tend(struct cpu *c)
{
	struct hand *h = &tenders[c->index].hand[rnd(c, NR_HANDS)];
	u64 lpi = pick(c, rnd(c, 2));

	if (!h->lpi)
		take_in_hand(c, h);
	else if (counter() > h->until)
		put_down(c, h);
	if (lpi != NONE && record(lpi)->state != LPI_UNMAPPED)
		move(c, lpi);
	if (rnd(c, 32) == 0)
		move_collection(c);
}

void lpi_step(struct cpu *c)
{
	struct its *its;

	if (!params->nr_itses)
		return;
	send_some(c);
	if (params->inject != INJECT_LPI_SILENT)
		tend(c);
	if (c->stats->loops % 32 == 31) {
		its = &itses[rnd(c, params->nr_itses)];
		its_lock(its);
		its_check(its);
		its_unlock(its);
	}
}

/* Those that this vCPU sends; the VMM checks its own. */
static void check_lost(struct cpu *c, u64 lpi)
{
	volatile struct lpi_record *r = record(lpi);

	if (is_idle(lpi) || r->state != LPI_ON || patience_of(c) < r->patience + params->limit)
		return;
	r->patience = NONE - params->limit;
	report(FOUND_LOST, SUBJ_LPI, intid_of(lpi), r->sent);
}

void lpi_check(struct cpu *c)
{
	struct tender *t = &tenders[c->index];
	u64 i, lpi;

	for (i = 0; params->nr_itses && i < CHECKS_A_STEP; i++) {
		lpi = nth(c->index, t->next_check++ % nr_pairs(c->index), 1);
		if (lpi != NONE)
			check_lost(c, lpi);
	}
}

/* In the drain: nothing stays in hand, all that this vCPU has sent was taken. */
int lpi_drained(struct cpu *c)
{
	struct hand *h = tenders[c->index].hand;
	int in_hand = 0;
	u64 i, lpi;

	if (!params->nr_itses)
		return 1;
	for (i = 0; i < NR_HANDS; i++, h++) {
		if (h->lpi)
			put_down(c, h);
		in_hand |= !!h->lpi;
	}
	for (i = 0; i < nr_pairs(c->index) && !in_hand; i++) {
		lpi = nth(c->index, i, 1);
		if (lpi != NONE && !is_idle(lpi))
			return 0;
	}
	return !in_hand;
}

/*
 * An LPI comes to the vCPU of its collection. Not so if the LPI or the collection was moved after it
 * was sent: then it may have been on its way to the old one.
 */
static void check_route(struct cpu *c, u64 lpi)
{
	volatile struct lpi_record *r = record(lpi);
	struct its_collection *collection = &its_of(lpi)->collection[r->collection];
	u64 target = collection->target;

	dsb();
	if (target != c->index && r->sent_at >= r->moved_at && r->sent_at >= collection->moved_at)
		report(FOUND_OUT_OF_ORDER, SUBJ_LPI_ROUTE, c->index, target);
}

static void check(struct cpu *c, u64 lpi)
{
	if (is_idle(lpi))
		report(FOUND_DOUBLED, subject_of(lpi), intid_of(lpi), record(lpi)->sent);
	else if (record(lpi)->state != LPI_ON)
		report(FOUND_UNEXPECTED, subject_of(lpi), intid_of(lpi), record(lpi)->state);
	else if (by_vmm(lpi))
		c->stats->msi_taken++;
	else
		c->stats->lpi_taken++;
	check_route(c, lpi);
}

/* Returns 1 when it ended the interrupt, 0 when the INTID is nobody's. */
int lpi_irq(struct cpu *c, u64 intid)
{
	u64 lpi = params->nr_itses ? (intid - VM_FIRST_LPI) / area->intid_step : 0;

	if (!params->nr_itses || lpi >= area->nr_devices * VM_NR_EVENTS || !exists(lpi) ||
	    intid_of(lpi) != intid) {
		report(FOUND_UNEXPECTED, SUBJ_INTERRUPT, intid, 0);
		return 0;
	}
	check(c, lpi);
	gic_eoi(c, intid);
	/* From here on the next one may come: the list register of this one must be free by then. */
	record(lpi)->taken++;
	dsb();
	return 1;
}
