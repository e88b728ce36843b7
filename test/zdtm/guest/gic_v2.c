/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's GICv2, in place of gic.c: the same that can be forgotten or given to another vCPU. Interrupts are
 * of both groups, which a read of GICC_IAR acknowledges alike (AckCtl).
 */
#include "guest.h"

#define GICD_ICENABLER 0x0180
#define GICD_ITARGETSR 0x0800
#define GICD_SGIR      0x0f00

#define GICC_CTLR  0x0000
#define GICC_PMR   0x0004
#define GICC_BPR   0x0008
#define GICC_IAR   0x000c
#define GICC_EOIR  0x0010
#define GICC_RPR   0x0014
#define GICC_ABPR  0x001c
#define GICC_APR   0x00d0
#define GICC_DIR   0x1000

#define CTLR_GROUPS  3u
#define CTLR_ACKCTL  4u
#define CTLR_EOIMODE 0x200u

/* Senders that share an SGI: who has sent it is then told by the GIC alone. */
#define NR_SGIS 3

/* For what stays active for ever: see gic.c. */
#define LOWEST 0xf8

static u64 word_of(u64 reg, u64 intid)
{
	return VM_GICD_BASE + reg + intid / 32 * 4;
}

static u32 bit_of(u64 intid)
{
	return 1u << intid % 32;
}

static u32 gicc_read(u64 reg)
{
	return mmio_read32(VM_GICC_BASE + reg);
}

static void gicc_write(u64 reg, u32 value)
{
	mmio_write32(VM_GICC_BASE + reg, value);
}

/* A fresh GICv2 of KVM's has all in group 0. Every second interrupt is not. */
#define GROUPS 0xaaaaaaaau

void gic_init_dist(void)
{
	u64 i;

	mmio_write32(VM_GICD_BASE + GICD_CTLR, 1);
	for (i = 32; i < VM_NR_IRQS; i += 32)
		mmio_write32(VM_GICD_BASE + GICD_IGROUPR + i / 8, GROUPS);
	gic_set_route(VM_SPI_ACTIVE, 0);
	mmio_write8(VM_GICD_BASE + GICD_IPRIORITYR + VM_SPI_ACTIVE, LOWEST);
	mmio_write32(word_of(GICD_ISPENDR, VM_SPI_PENDING), bit_of(VM_SPI_PENDING));
	mmio_write32(word_of(GICD_ISACTIVER, VM_SPI_ACTIVE), bit_of(VM_SPI_ACTIVE));
}

void gic_set_route(u64 intid, u64 to)
{
	mmio_write8(VM_GICD_BASE + GICD_ITARGETSR + intid, gic_route_to(to));
}

u64 gic_route(u64 intid)
{
	return mmio_read8(VM_GICD_BASE + GICD_ITARGETSR + intid);
}

/* By creation order. */
u64 gic_route_to(u64 index)
{
	return 1u << index;
}

/* There is none, and no LPIs either. */
u64 gic_redistributor(u64 index)
{
	report(FOUND_UNEXPECTED, SUBJ_GIC, index, 0);
	return 0;
}

void gic_init_lpis(void)
{
}

static u64 gic_snapshot(u32 *first)
{
	u32 *v = first;
	u64 i;

	for (i = 0; i < 3; i++) {
		*v++ = mmio_read32(VM_GICD_BASE + GICD_ISENABLER + 4 + i * 4);
		*v++ = mmio_read32(VM_GICD_BASE + GICD_IGROUPR + 4 + i * 4);
		*v++ = mmio_read32(VM_GICD_BASE + GICD_ICFGR + 8 + i * 8);
	}
	for (i = 0; i < VM_NR_SOURCES; i++)
		*v++ = mmio_read8(VM_GICD_BASE + GICD_IPRIORITYR + params->source_intid[i]);
	*v++ = mmio_read32(VM_GICD_BASE + GICD_CTLR);
	*v++ = mmio_read32(word_of(GICD_ISPENDR, VM_SPI_PENDING)) & bit_of(VM_SPI_PENDING);
	*v++ = mmio_read32(word_of(GICD_ISACTIVER, VM_SPI_ACTIVE)) & bit_of(VM_SPI_ACTIVE);
	*v++ = mmio_read32(word_of(GICD_ISPENDR, 0)) & bit_of(VM_PPI_PENDING);
	*v++ = mmio_read32(word_of(GICD_ISACTIVER, 0)) & bit_of(VM_PPI_ACTIVE);
	*v++ = mmio_read32(word_of(GICD_IGROUPR, 0));
	*v++ = mmio_read32(word_of(GICD_ISENABLER, 0));
	for (i = 0; i < 32; i += 4)
		*v++ = mmio_read32(VM_GICD_BASE + GICD_IPRIORITYR + i);
	*v++ = gicc_read(GICC_CTLR);
	*v++ = gicc_read(GICC_PMR);
	*v++ = gicc_read(GICC_BPR);
	*v++ = gicc_read(GICC_ABPR);
	*v++ = gicc_read(GICC_RPR);
	return v - first;
}

/* All but those SGIs that are sent is unused: it differs from a fresh GIC, whose SGIs are enabled and of group 0. */
static void init_banked(struct cpu *c)
{
	u64 i;

	mmio_write32(word_of(GICD_IGROUPR, 0), GROUPS);
	for (i = 0; i < 32; i++)
		mmio_write8(VM_GICD_BASE + GICD_IPRIORITYR + i, 0x80 + ((i + c->index) % 4) * 0x10);
	mmio_write8(VM_GICD_BASE + GICD_IPRIORITYR + VM_PPI_ACTIVE, LOWEST);
	mmio_write32(word_of(GICD_ICENABLER, 0), 0xff00);
	mmio_write32(word_of(GICD_ISENABLER, 0), bit_of(VM_INTID_VTIMER) | 0xff);
	mmio_write32(word_of(GICD_ISPENDR, 0), bit_of(VM_PPI_PENDING));
	mmio_write32(word_of(GICD_ISACTIVER, 0), bit_of(VM_PPI_ACTIVE));
}

void gic_init_cpu(struct cpu *c)
{
	init_banked(c);
	gicc_write(GICC_PMR, 0xf0 - 8 * (c->index % 2));
	gicc_write(GICC_BPR, 2 + c->index % 3);
	gicc_write(GICC_ABPR, 3 + c->index % 4);
	/* The lowest priority is running for ever: whatever else there is comes before it. */
	gicc_write(GICC_APR, 1u << LOWEST / 8);
	gicc_write(GICC_CTLR, CTLR_GROUPS | CTLR_ACKCTL | (c->eoimode ? CTLR_EOIMODE : 0));
	dsb();
	/* The set-up of the sources is vCPU 0's and done before the others start. */
	gic_snapshot(c->gic);
}

void gic_check(struct cpu *c)
{
	u32 now[NR_SAVED_GIC];
	u64 i, n;

	if (params->inject == INJECT_GIC)
		mmio_write8(VM_GICD_BASE + GICD_IPRIORITYR + 15, 0);
	n = gic_snapshot(now);
	for (i = 0; i < n; i++)
		if (now[i] != c->gic[i])
			report(FOUND_CORRUPT, SUBJ_GIC, i << 32 | now[i], c->gic[i]);
}

/* As in gic.c; what is banked can be told of this vCPU only. */
u64 gic_diagnosis(struct cpu *c)
{
	u64 rpr = gicc_read(GICC_RPR) & 0xff;
	u64 active = mmio_read32(word_of(GICD_ISACTIVER, 0)) & 0xfffffff;
	u64 pending = mmio_read32(word_of(GICD_ISPENDR, 0)) & 0xfffffff;

	return c == this_cpu() ? rpr << 56 | active << 28 | pending : 0;
}

/* @sgi names its sender, and so do here the GIC and the SGI together. */
void gic_send_sgi(u64 sgi, u64 to)
{
	dsb();
	mmio_write32(VM_GICD_BASE + GICD_SGIR, 1u << (16 + to) | sgi % NR_SGIS);
}

void gic_send_sgi_others(u64 sgi)
{
	u64 i;

	/* By the list: KVM takes "all but this one" for a mask by id, and the list for one by creation order. */
	dsb();
	for (i = 0; i < params->nr_vcpus; i++)
		if (i != sgi)
			gic_send_sgi(sgi, i);
}

/* The sender of an SGI, which the GIC names by its id: the lowest bits of its affinity. */
static u64 sender_of(u32 iar)
{
	u64 i, id = iar >> 10 & 7;

	for (i = 0; i < params->nr_vcpus; i++)
		if (affinity_of(i) == id && i % NR_SGIS == (iar & 0x3ff))
			return i;
	report(FOUND_UNEXPECTED, SUBJ_SGI, iar, 0);
	return 0;
}

u64 gic_acknowledge(struct cpu *c)
{
	u32 iar = gicc_read(GICC_IAR);
	u64 intid = iar & 0x3ff;

	dsb();
	if (intid >= 1020)
		return 1023;
	c->iar = iar;
	c->running = gicc_read(GICC_RPR);
	return intid < 16 ? sender_of(iar) : intid;
}

void gic_eoi(struct cpu *c, u64 intid)
{
	u64 running = gicc_read(GICC_RPR);

	if (running != c->running)
		report(FOUND_CORRUPT, SUBJ_GIC, running, c->running);
	dsb();
	gicc_write(GICC_EOIR, c->iar);
	if (c->eoimode)
		gicc_write(GICC_DIR, c->iar);
	dsb();
}
