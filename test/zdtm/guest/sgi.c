/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SGIs between all pairs of vCPUs. The INTID names the sender, so that no two
 * senders can merge; a sender has one SGI under way to each receiver and sends
 * the next only after the last was taken.
 */
#include "guest.h"

struct mailbox {
	volatile u64 sent;
	volatile u64 taken;
	volatile u64 when;
	u64 reported;
};

/* Behind the parameters, in the memfd memory. */
#define mail ((struct mailbox(*)[VM_MAX_VCPUS])(VM_MAIL_BASE + 0x1000))

static int is_free(struct cpu *c, u64 to)
{
	return mail[c->index][to].sent == mail[c->index][to].taken;
}

static void post(struct cpu *c, u64 to)
{
	struct mailbox *m = &mail[c->index][to];

	m->when = patience_of(c);
	m->sent++;
	c->stats->sgi_sent++;
}

static void send_one(struct cpu *c, u64 to)
{
	if (!is_free(c, to))
		return;
	post(c, to);
	gic_send_sgi(c->index, to);
}

/* It is the last one that this vCPU sends: the next would merge with a doubled one. */
static void send_wrong(struct cpu *c, u64 to)
{
	c->injected = 1;
	while (!is_free(c, to))
		;
	post(c, to);
	if (params->inject == INJECT_LOST_SGI)
		return;
	gic_send_sgi(c->index, to);
	while (!is_free(c, to))
		;
	gic_send_sgi(c->index, to);
}

static int wrong_is_due(struct cpu *c)
{
	return (params->inject == INJECT_LOST_SGI || params->inject == INJECT_DOUBLE_SGI) &&
	       c->stats->sgi_sent >= 30;
}

static void send_others(struct cpu *c)
{
	u64 i;

	for (i = 0; i < params->nr_vcpus; i++)
		if (!is_free(c, i))
			return;
	for (i = 0; i < params->nr_vcpus; i++)
		if (i != c->index)
			post(c, i);
	gic_send_sgi_others(c->index);
}

void sgi_send_some(struct cpu *c)
{
	if (c->injected)
		return;
	if (wrong_is_due(c))
		send_wrong(c, rnd(c, params->nr_vcpus));
	else if (rnd(c, 8) == 0)
		send_others(c);
	else
		send_one(c, rnd(c, params->nr_vcpus));
}

void sgi_irq(struct cpu *c, u64 sgi)
{
	struct mailbox *m = &mail[sgi][c->index];
	u64 sent = m->sent, taken = m->taken;

	if (sent == taken)
		report(FOUND_DOUBLED, SUBJ_SGI, sgi, sent);
	else if (sent != taken + 1)
		report(FOUND_OUT_OF_ORDER, SUBJ_SGI, sent, taken + 1);
	else
		c->stats->sgi_taken++;
	dsb();
	m->taken = sent;
}

void sgi_check(struct cpu *c)
{
	struct mailbox *m = mail[c->index];
	u64 i;

	for (i = 0; i < params->nr_vcpus; i++, m++) {
		if (m->sent == m->taken || m->reported == m->sent || patience_of(c) < m->when + params->limit)
			continue;
		m->reported = m->sent;
		report(FOUND_LOST, SUBJ_SGI, gic_diagnosis(&cpus[i]), m->sent);
	}
}

int sgi_all_taken(struct cpu *c)
{
	u64 i;

	for (i = 0; i < params->nr_vcpus; i++)
		if (!is_free(c, i))
			return 0;
	return 1;
}
