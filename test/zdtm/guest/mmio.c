/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sequences through MMIO: the VMM counts each read, the guest each write, and
 * the other side checks the number. An access that is repeated, dropped or
 * answered with stale data breaks one of the two.
 */
#include "guest.h"

static u64 width_mask(u64 width)
{
	return width == 8 ? ~0ull : (1ull << 8 * width) - 1;
}

static void check_read(struct cpu *c, u64 width, u64 got)
{
	u64 want = ++c->rseq & width_mask(width);

	c->stats->reads++;
	if (got == want)
		return;
	if (got == ((want - 1) & width_mask(width)))
		report(FOUND_LOST, SUBJ_MMIO_READ, got, want);
	else if (got == ((want + 1) & width_mask(width)))
		report(FOUND_DOUBLED, SUBJ_MMIO_READ, got, want);
	else
		report(FOUND_OUT_OF_ORDER, SUBJ_MMIO_READ, got, want);
	c->rseq += got - want;
}

void mmio_read_step(struct cpu *c)
{
	switch (rnd(c, 4)) {
	case 0:
		check_read(c, 1, mmio_read8(c->dev + DEV_RSEQ1));
		break;
	case 1:
		check_read(c, 2, mmio_read16(c->dev + DEV_RSEQ2));
		break;
	case 2:
		check_read(c, 4, mmio_read32(c->dev + DEV_RSEQ4));
		break;
	default:
		check_read(c, 8, mmio_read64(c->dev + DEV_RSEQ8));
	}
}

void mmio_write_step(struct cpu *c)
{
	u64 seq = ++c->wseq;

	switch (rnd(c, 4)) {
	case 0:
		mmio_write8(c->dev + DEV_WSEQ1, seq);
		break;
	case 1:
		mmio_write16(c->dev + DEV_WSEQ2, seq);
		break;
	case 2:
		mmio_write32(c->dev + DEV_WSEQ4, seq);
		break;
	default:
		mmio_write64(c->dev + DEV_WSEQ8, seq);
	}
	c->stats->writes++;
}

/* The same read with all of x3-x30 and the flags live across it. */
void mmio_hold_step(struct cpu *c)
{
	u64 value, bad;

	bad = gpr_hold(c->rng, c->dev + DEV_RSEQ_HOLD, 20000 + rnd(c, 50000), &value);
	check_read(c, 8, value);
	if (bad)
		report(FOUND_CORRUPT, SUBJ_GPR, bad, 0);
}
