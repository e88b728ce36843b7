/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SPIs of the VMM's interrupt sources. The device raises the next interrupt
 * only after DONE, so each must carry the next number and arrive at the vCPU
 * that it was routed to at that moment. The route changes either while the
 * interrupt is active or between its end and DONE.
 */
#include "guest.h"

struct source {
	volatile u64 last;
	volatile u64 route;
};

/* Behind the mailboxes, in the memfd memory. */
#define sources ((struct source *)(VM_MAIL_BASE + 0x8000))

static void set_route(u64 n, u64 to)
{
	sources[n].route = to;
	dsb();
	if (params->inject == INJECT_WRONG_ROUTE && sources[n].last > 20)
		return;
	gic_set_route(params->source_intid[n], to);
}

/* Always written: in a fresh GIC of KVM's all SPIs are edge-triggered (VGIC_CONFIG_EDGE is 0). */
static void set_trigger(u64 intid, u64 level)
{
	u64 word = VM_GICD_BASE + GICD_ICFGR + intid / 16 * 4;
	u32 edge = 2u << intid % 16 * 2;

	mmio_write32(word, level ? mmio_read32(word) & ~edge : mmio_read32(word) | edge);
}

void spi_init(void)
{
	u64 n, intid;

	for (n = 0; n < VM_NR_SOURCES; n++) {
		intid = params->source_intid[n];
		set_trigger(intid, params->source_level[n]);
		mmio_write8(VM_GICD_BASE + GICD_IPRIORITYR + intid, 0x40 + n * 0x10);
		set_route(n, 0);
		mmio_write32(VM_GICD_BASE + GICD_ISENABLER + intid / 32 * 4, 1u << intid % 32);
	}
}

static void check_sequence(struct cpu *c, u64 n, u64 seq)
{
	enum subject what = params->source_level[n] ? SUBJ_LEVEL : SUBJ_EDGE;
	u64 last = sources[n].last;

	if ((u32)seq == (u32)last)
		report(FOUND_DOUBLED, what, seq, last + 1);
	else if ((u32)seq != (u32)(last + 1))
		report(FOUND_OUT_OF_ORDER, what, seq, last + 1);
	else if (params->source_level[n])
		c->stats->level_taken++;
	else
		c->stats->edge_taken++;
	sources[n].last = seq;
}

static void check_route(struct cpu *c, u64 n)
{
	u64 want = gic_route_to(sources[n].route);
	u64 got = gic_route(params->source_intid[n]);

	if (got != want)
		report(FOUND_CORRUPT, SUBJ_ROUTE, got, want);
	if (sources[n].route != c->index)
		report(FOUND_OUT_OF_ORDER, SUBJ_ROUTE, c->index, sources[n].route);
}

static void reroute(struct cpu *c, u64 n)
{
	set_route(n, rnd(c, params->nr_vcpus));
	c->stats->rerouted++;
}

/* Returns 1 when it ended the interrupt, 0 when the INTID is nobody's. */
int spi_irq(struct cpu *c, u64 intid)
{
	u64 n, seq, reg, when = rnd(c, 3);

	for (n = 0; n < VM_NR_SOURCES; n++)
		if (params->source_intid[n] == intid)
			break;
	if (n == VM_NR_SOURCES) {
		report(FOUND_UNEXPECTED, SUBJ_INTERRUPT, intid, 0);
		return 0;
	}
	reg = VM_SRC_BASE + n * VM_SRC_SIZE;
	seq = mmio_read32(reg + SRC_SEQ);
	c->stats->irq_reads++;
	check_sequence(c, n, seq);
	check_route(c, n);
	if (when == 0) {
		reroute(c, n);
		spend(300);
	}
	if (params->source_level[n]) {
		mmio_write32(reg + SRC_CLEAR, seq);
		c->stats->irq_writes++;
	}
	gic_eoi(c, intid);
	if (when == 1)
		reroute(c, n);
	c->stats->irq_writes++;
	mmio_write32(reg + SRC_DONE, seq);
	return 1;
}
