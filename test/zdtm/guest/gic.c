/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's GICv3. Set-up differs between vCPUs where it can, and is read
 * back now and then: a restore that forgets a register or gives one vCPU's to
 * another is found.
 */
#include "guest.h"

#define GICD_IROUTER	0x6000
#define GICR_CTLR	0x0000
#define GICR_TYPER	0x0008
#define GICR_WAKER	0x0014
#define GICR_PROPBASER	0x0070
#define GICR_PENDBASER	0x0078
#define GICR_IGROUPR0	0x10080
#define GICR_ISENABLER0 0x10100
#define GICR_ICENABLER0 0x10180
#define GICR_ISPENDR0	0x10200
#define GICR_ISACTIVER0 0x10300
#define GICR_IPRIORITYR 0x10400
#define GICR_ICFGR0	0x10c00

#define ICC_IAR1    S3_0_C12_C12_0
#define ICC_PMR	    S3_0_C4_C6_0
#define ICC_RPR	    S3_0_C12_C11_3
#define ICC_EOIR1   S3_0_C12_C12_1
#define ICC_DIR	    S3_0_C12_C11_1
#define ICC_SGI1R   S3_0_C12_C11_5
#define ICC_BPR0    S3_0_C12_C8_3
#define ICC_BPR1    S3_0_C12_C12_3
#define ICC_AP1R0   S3_0_C12_C9_0
#define ICC_CTLR    S3_0_C12_C12_4
#define ICC_SRE	    S3_0_C12_C12_5
#define ICC_IGRPEN1 S3_0_C12_C12_7

#define SGI1R_OTHERS (1ull << 40)

#define ENABLE_LPIS	       1ull
#define LPI_ID_BITS	       15ull /* one less than there are: INTIDs below 65536 */
#define INNER_SHAREABLE_RAWAWB (1ull << 10 | 7ull << 7)
#define PENDING_TABLE_ZERO     (1ull << 62)

/*
 * For what stays active for ever. When more is active than a CPU has list registers, KVM 7.x
 * deactivates by a guest's EOI the active interrupt of the highest priority: not these, then.
 */
#define LOWEST 0xf8

static u64 word_of(u64 reg, u64 spi)
{
	return VM_GICD_BASE + reg + spi / 32 * 4;
}

static u32 bit_of(u64 intid)
{
	return 1u << intid % 32;
}

/* Of 32 SPIs from @first on. A fresh GIC of KVM's has all in group 1: one is not. */
static u32 group0(u64 first)
{
	return first == VM_SPI_GROUP0 / 32 * 32 ? bit_of(VM_SPI_GROUP0) : 0;
}

void gic_init_dist(void)
{
	u64 i;

	mmio_write32(VM_GICD_BASE + GICD_CTLR, 0x12); /* ARE, group 1 */
	for (i = 32; i < VM_NR_IRQS; i += 32)
		mmio_write32(VM_GICD_BASE + GICD_IGROUPR + i / 8, ~group0(i));
	gic_set_route(VM_SPI_ACTIVE, 0);
	mmio_write8(VM_GICD_BASE + GICD_IPRIORITYR + VM_SPI_ACTIVE, LOWEST);
	mmio_write32(word_of(GICD_ISPENDR, VM_SPI_PENDING), bit_of(VM_SPI_PENDING));
	mmio_write32(word_of(GICD_ISACTIVER, VM_SPI_ACTIVE), bit_of(VM_SPI_ACTIVE));
}

void gic_set_route(u64 intid, u64 to)
{
	mmio_write64(VM_GICD_BASE + GICD_IROUTER + 8 * intid, gic_route_to(to));
}

u64 gic_route(u64 intid)
{
	return mmio_read64(VM_GICD_BASE + GICD_IROUTER + 8 * intid);
}

u64 gic_route_to(u64 index)
{
	return affinity_of(index);
}

/* Redistributors stand in creation order, not in the order of ids. */
u64 gic_redistributor(u64 index)
{
	u64 affinity = affinity_of(index);
	u64 region, i, base;

	affinity = (affinity & 0xffffff) | (affinity >> 8 & 0xff000000); /* as in GICR_TYPER */

	for (region = 0; region < 2; region++)
		for (i = 0; i < params->gicr_count[region]; i++) {
			base = params->gicr_base[region] + i * VM_GICR_SIZE;
			if (mmio_read64(base + GICR_TYPER) >> 32 == (u32)affinity)
				return base;
		}
	report(FOUND_UNEXPECTED, SUBJ_GIC, affinity, 0);
	return params->gicr_base[0];
}

static u64 gic_snapshot(struct cpu *c, u32 *first)
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
	*v++ = mmio_read32(VM_GICD_BASE + GICD_CTLR) & 0x7fffffff;
	*v++ = mmio_read32(word_of(GICD_ISPENDR, VM_SPI_PENDING)) & bit_of(VM_SPI_PENDING);
	*v++ = mmio_read32(word_of(GICD_ISACTIVER, VM_SPI_ACTIVE)) & bit_of(VM_SPI_ACTIVE);
	*v++ = mmio_read32(c->gicr + GICR_PROPBASER);
	*v++ = mmio_read32(c->gicr + GICR_PENDBASER);
	*v++ = mmio_read32(c->gicr + GICR_ISPENDR0) & bit_of(VM_PPI_PENDING);
	*v++ = mmio_read32(c->gicr + GICR_ISACTIVER0) & bit_of(VM_PPI_ACTIVE);
	*v++ = mmio_read32(c->gicr + GICR_IGROUPR0);
	*v++ = mmio_read32(c->gicr + GICR_ISENABLER0);
	*v++ = mmio_read32(c->gicr + GICR_ICFGR0);
	*v++ = mmio_read32(c->gicr + GICR_ICFGR0 + 4);
	for (i = 0; i < 32; i += 4)
		*v++ = mmio_read32(c->gicr + GICR_IPRIORITYR + i);
	if (params->nr_itses) {
		*v++ = mmio_read32(c->gicr + GICR_CTLR);
		*v++ = mmio_read32(c->gicr + GICR_PROPBASER + 4);
		*v++ = mmio_read32(c->gicr + GICR_PENDBASER + 4);
	}
	return v - first;
}

/* Without ITSes nothing looks at these tables; the registers are there all the same. */
static void init_no_lpis(struct cpu *c)
{
	mmio_write64(c->gicr + GICR_PROPBASER, VM_CODE_BASE + VM_CODE_SIZE / 4);
	mmio_write64(c->gicr + GICR_PENDBASER, VM_CODE_BASE + VM_CODE_SIZE / 4 * 3 + (c->index << 16));
}

/*
 * For all vCPUs by vCPU 0: an LPI may be sent to one that has not started yet. Nothing of it can
 * change any more once LPIs are enabled.
 */
void gic_init_lpis(void)
{
	u64 i, gicr;

	for (i = 0; i < params->nr_vcpus; i++) {
		gicr = gic_redistributor(i);
		mmio_write64(gicr + GICR_PROPBASER, VM_LPI_PROP | LPI_ID_BITS | INNER_SHAREABLE_RAWAWB);
		mmio_write64(gicr + GICR_PENDBASER,
			     (VM_LPI_PEND + (i << 16)) | PENDING_TABLE_ZERO | INNER_SHAREABLE_RAWAWB);
		mmio_write32(gicr + GICR_CTLR, ENABLE_LPIS);
		if (!(mmio_read32(gicr + GICR_CTLR) & ENABLE_LPIS))
			report(FOUND_UNEXPECTED, SUBJ_GIC, i, ENABLE_LPIS);
	}
}

/* All but SGIs 0 to 7 is unused: it differs from a fresh GIC, whose SGIs are enabled and of group 1. */
static void init_redistributor(struct cpu *c)
{
	u64 i;

	c->gicr = gic_redistributor(c->index);
	mmio_write32(c->gicr + GICR_WAKER, 0);
	while (mmio_read32(c->gicr + GICR_WAKER) & 4)
		;
	if (!params->nr_itses)
		init_no_lpis(c);
	mmio_write32(c->gicr + GICR_IGROUPR0, ~bit_of(15));
	for (i = 0; i < 32; i++)
		mmio_write8(c->gicr + GICR_IPRIORITYR + i, 0x80 + ((i + c->index) % 4) * 0x10);
	mmio_write8(c->gicr + GICR_IPRIORITYR + VM_PPI_ACTIVE, LOWEST);
	mmio_write32(c->gicr + GICR_ICENABLER0, 0xff00);
	mmio_write32(c->gicr + GICR_ISENABLER0, bit_of(VM_INTID_VTIMER) | 0xff);
	mmio_write32(c->gicr + GICR_ISPENDR0, bit_of(VM_PPI_PENDING));
	mmio_write32(c->gicr + GICR_ISACTIVER0, bit_of(VM_PPI_ACTIVE));
}

void gic_init_cpu(struct cpu *c)
{
	init_redistributor(c);
	write_sysreg(read_sysreg(ICC_SRE) | 1, ICC_SRE);
	isb();
	write_sysreg(0xf0, ICC_PMR);
	write_sysreg(c->eoimode << 1, ICC_CTLR);
	write_sysreg(4 + c->index % 3, ICC_BPR0);
	write_sysreg(3 + c->index % 4, ICC_BPR1);
	/* The lowest priority is running for ever: whatever else there is comes before it. */
	write_sysreg(1u << LOWEST / 8, ICC_AP1R0);
	write_sysreg(1, ICC_IGRPEN1);
	isb();
	dsb();
	/* The set-up of the sources is vCPU 0's and done before the others start. */
	gic_snapshot(c, c->gic);
}

void gic_check(struct cpu *c)
{
	u32 now[NR_SAVED_GIC];
	u64 i, n;

	if (params->inject == INJECT_GIC)
		mmio_write8(c->gicr + GICR_IPRIORITYR + 15, 0);
	n = gic_snapshot(c, now);
	for (i = 0; i < n; i++)
		if (now[i] != c->gic[i])
			report(FOUND_CORRUPT, SUBJ_GIC, i << 32 | now[i], c->gic[i]);
}

/*
 * What a report of a lost SGI or timer interrupt says of the vCPU that should
 * have taken it: running priority (of its own only), active, pending.
 */
u64 gic_diagnosis(struct cpu *c)
{
	u64 rpr = c == this_cpu() ? read_sysreg(ICC_RPR) & 0xff : 0;
	u64 active = mmio_read32(c->gicr + GICR_ISACTIVER0) & 0xfffffff;
	u64 pending = mmio_read32(c->gicr + GICR_ISPENDR0) & 0xfffffff;

	return rpr << 56 | active << 28 | pending;
}

void gic_send_sgi(u64 sgi, u64 to)
{
	u64 mpidr = affinity_of(to);
	u64 aff1 = mpidr >> 8 & 0xff, aff2 = mpidr >> 16 & 0xff, aff3 = mpidr >> 32 & 0xff;

	dsb();
	write_sysreg(aff3 << 48 | aff2 << 32 | sgi << 24 | aff1 << 16 | 1ull << (mpidr & 0xf), ICC_SGI1R);
	isb();
}

void gic_send_sgi_others(u64 sgi)
{
	dsb();
	write_sysreg(SGI1R_OTHERS | sgi << 24, ICC_SGI1R);
	isb();
}

/* From here to gic_eoi() the interrupt is active, and its priority the running one. */
u64 gic_acknowledge(struct cpu *c)
{
	u64 intid = read_sysreg(ICC_IAR1);

	dsb();
	c->running = read_sysreg(ICC_RPR);
	return intid;
}

void gic_eoi(struct cpu *c, u64 intid)
{
	u64 running = read_sysreg(ICC_RPR);

	if (running != c->running)
		report(FOUND_CORRUPT, SUBJ_GIC, running, c->running);
	dsb();
	write_sysreg(intid, ICC_EOIR1);
	isb();
	/* An LPI has no active state. */
	if (c->eoimode && intid < VM_FIRST_LPI)
		write_sysreg(intid, ICC_DIR);
	isb();
}
