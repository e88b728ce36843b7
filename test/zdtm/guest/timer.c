/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtual timer: one deadline at a time, each taken exactly once. An
 * interrupt with nothing armed is a doubled one; a deadline long past and not
 * taken is a lost one.
 */
#include "guest.h"

#define CTL_ENABLE  1
#define CTL_ISTATUS 4

void timer_arm(struct cpu *c)
{
	u64 freq = read_sysreg(cntfrq_el0);
	u64 period = freq / 1000 * (5 + rnd(c, 15));
	u64 enable = CTL_ENABLE;

	if (params->inject == INJECT_LOST_TIMER && c->stats->ticks_armed == 30)
		enable = 0;
	c->deadline = counter() + period;
	c->armed_at = c->patience;
	c->armed = 1;
	c->stats->ticks_armed++;
	write_sysreg(c->deadline, cntv_cval_el0);
	write_sysreg(enable, cntv_ctl_el0);
	isb();
}

void timer_irq(struct cpu *c)
{
	u64 now = counter();

	/* Looked at first: a step back can turn a timer off that had fired. */
	if (now < c->last_count)
		report(FOUND_CORRUPT, SUBJ_CLOCK, now, c->last_count);
	if (!c->armed || !(read_sysreg(cntv_ctl_el0) & CTL_ISTATUS))
		report(FOUND_DOUBLED, SUBJ_TIMER, read_sysreg(cntv_ctl_el0), c->armed);
	else if (now < c->deadline)
		report(FOUND_OUT_OF_ORDER, SUBJ_TIMER, now, c->deadline);
	/* A restore takes so long that each deadline is over, right or wrong. */
	else if (read_sysreg(cntv_cval_el0) != c->deadline)
		report(FOUND_CORRUPT, SUBJ_TIMER, read_sysreg(cntv_cval_el0), c->deadline);
	c->armed = 0;
	c->stats->ticks_taken++;
	write_sysreg(0, cntv_ctl_el0);
	isb();
	if (!params->drain && !c->napping)
		timer_arm(c);
	if (params->inject == INJECT_DOUBLE_TIMER && c->stats->ticks_armed == 30)
		c->armed = 0;
}

void timer_check(struct cpu *c)
{
	u64 daif = irq_save();
	int late = counter() > c->deadline && patience_of(c) > c->armed_at + params->limit;

	if (c->armed && late && c->timer_reported != c->deadline) {
		c->timer_reported = c->deadline;
		report(FOUND_LOST, SUBJ_TIMER, gic_diagnosis(c), c->deadline);
	}
	irq_restore(daif);
}
