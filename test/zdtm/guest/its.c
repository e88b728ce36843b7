/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's ITSes: their tables, their command queues. KVM has executed all commands when the write
 * of GITS_CWRITER is over, so there is neither a SYNC nor a wait for GITS_CREADR.
 */
#include "guest.h"

#define GITS_CTLR    0x0000
#define GITS_IIDR    0x0004
#define GITS_TYPER   0x0008
#define GITS_CBASER  0x0080
#define GITS_CWRITER 0x0088
#define GITS_CREADR  0x0090
#define GITS_BASER   0x0100

#define GICR_TYPER 0x0008

#define VALID		 (1ull << 63)
#define INDIRECT	 (1ull << 62)
#define RAWAWB		 (7ull << 59)
#define SHAREABLE	 (1ull << 10)
#define PAGES_OF_64K	 (2ull << 8)
#define ADDRESS_AND_SIZE 0xffffffff00ffull
#define TYPE(baser)	 ((baser) >> 56 & 7)
#define TYPE_DEVICES	 1
#define TYPE_COLLECTIONS 4
#define ENABLED		 1

#define ITS_MOVI  0x01
#define ITS_MAPD  0x08
#define ITS_MAPC  0x09
#define ITS_MAPTI 0x0a

#define COMMAND_SIZE 32
#define QUEUE_SIZE   0x1000  /* the smallest: it wraps around all the time */
#define ENTRY_SIZE   8	     /* of KVM's tables, all three kinds */
#define PAGE_SIZE    0x10000 /* of KVM's tables, and what a level 1 entry stands for */
#define NR_PAGES     8	     /* of a flat device table for 16 bits of DeviceID, and of all of level 2 */

/* In the memory of one ITS. */
#define QUEUE	    0x00000
#define COLLECTIONS 0x10000
#define DEVICES	    0x20000 /* the flat table, or level 2 */
#define LEVEL1	    0xa0000
#define ITTS	    0x100000

struct its itses[VM_NR_ITSES];

#define area ((volatile struct lpi_area *)VM_LPI_AREA)

static u64 table_register(u64 address, u64 nr_pages)
{
	return VALID | RAWAWB | SHAREABLE | PAGES_OF_64K | address | (nr_pages - 1);
}

/* Level 2 pages only where there are devices: the other entries of level 1 are not valid. */
static u64 init_level1(struct its *its)
{
	volatile u64 *level1 = (u64 *)(its->tables + LEVEL1);
	u64 i, page;

	for (i = 0; i < area->nr_devices; i++) {
		page = area->device[i].id / (PAGE_SIZE / ENTRY_SIZE);
		if (area->device[i].its == its->index)
			level1[page] = VALID | (its->tables + DEVICES + page * PAGE_SIZE);
	}
	return INDIRECT | table_register(its->tables + LEVEL1, 1);
}

static u64 value_of_baser(struct its *its, u64 type)
{
	if (type == TYPE_COLLECTIONS)
		return table_register(its->tables + COLLECTIONS, 1);
	if (type != TYPE_DEVICES)
		return 0;
	if (area->two_level[its->index])
		return init_level1(its);
	return table_register(its->tables + DEVICES, NR_PAGES);
}

static void its_snapshot(struct its *its, u64 *v)
{
	v[0] = mmio_read32(its->base + GITS_CTLR);
	v[1] = mmio_read32(its->base + GITS_IIDR);
	v[2] = mmio_read64(its->base + GITS_TYPER);
	v[3] = mmio_read64(its->base + GITS_CBASER);
	v[4] = mmio_read64(its->base + GITS_BASER);
	v[5] = mmio_read64(its->base + GITS_BASER + 8);
	v[6] = mmio_read64(its->base + GITS_CWRITER) - its->write_at;
	v[7] = mmio_read64(its->base + GITS_CREADR) - its->write_at;
}

/* KVM has its own mind about cacheability only. */
static void set_register(struct its *its, u64 reg, u64 value)
{
	u64 now;

	mmio_write64(its->base + reg, value);
	now = mmio_read64(its->base + reg);
	if ((now ^ value) & (VALID | INDIRECT | ADDRESS_AND_SIZE))
		report(FOUND_UNEXPECTED, SUBJ_ITS, now, value);
}

void its_init(struct its *its)
{
	u64 i, reg;

	its->index = its - itses;
	its->base = VM_ITS_BASE + its->index * VM_ITS_SIZE;
	its->tables = VM_ITS_TABLES + its->index * VM_ITS_TABLES_SIZE;
	its->itt_next = its->tables + ITTS;
	for (i = 0; i < 8; i++) {
		reg = GITS_BASER + 8 * i;
		set_register(its, reg, value_of_baser(its, TYPE(mmio_read64(its->base + reg))));
	}
	set_register(its, GITS_CBASER,
		     VALID | RAWAWB | SHAREABLE | (its->tables + QUEUE) | (QUEUE_SIZE / 0x1000 - 1));
	set_register(its, GITS_CWRITER, 0);
	mmio_write32(its->base + GITS_CTLR, ENABLED);
	if (!(mmio_read32(its->base + GITS_CTLR) & ENABLED))
		report(FOUND_UNEXPECTED, SUBJ_ITS, its->index, ENABLED);
	its_snapshot(its, its->reg);
}

void its_check(struct its *its)
{
	u64 now[NR_ITS_REGS];
	u64 i;

	if (params->inject == INJECT_ITS)
		mmio_write32(its->base + GITS_CTLR, 0);
	its_snapshot(its, now);
	for (i = 0; i < NR_ITS_REGS; i++)
		if (now[i] != its->reg[i])
			report(FOUND_CORRUPT, SUBJ_ITS, i << 60 ^ now[i], its->reg[i]);
}

/* Not to be interrupted with it: the next to have it could be one that this vCPU waits for. */
void its_lock(struct its *its)
{
	u64 daif = irq_save();

	while (__atomic_exchange_n(&its->lock, 1, __ATOMIC_ACQUIRE))
		asm volatile("yield");
	its->daif = daif;
}

void its_unlock(struct its *its)
{
	u64 daif = its->daif;

	__atomic_store_n(&its->lock, 0, __ATOMIC_RELEASE);
	irq_restore(daif);
}

/* Executed by its_run(): at most QUEUE_SIZE / COMMAND_SIZE - 1 may wait for it. */
static void queue(struct its *its, u64 word0, u64 word1, u64 word2)
{
	volatile u64 *command = (u64 *)(its->tables + QUEUE + its->write_at);

	command[0] = word0;
	command[1] = word1;
	command[2] = word2;
	command[3] = 0;
	its->write_at = (its->write_at + COMMAND_SIZE) % QUEUE_SIZE;
}

void its_run(struct its *its)
{
	u64 read_at;

	dsb();
	mmio_write64(its->base + GITS_CWRITER, its->write_at);
	read_at = mmio_read64(its->base + GITS_CREADR);
	if (read_at != its->write_at)
		report(FOUND_CORRUPT, SUBJ_ITS, read_at, its->write_at);
}

/* What it takes for the highest event. */
static u64 event_bits(const struct lpi_device *dev)
{
	u64 highest = (dev->nr_events - 1) * dev->event_step;
	u64 bits = 1;

	while (highest >> bits)
		bits++;
	return bits;
}

/* RAM starts as zeroes, and no ITT is given back. */
u64 its_new_itt(struct its *its, const struct lpi_device *dev)
{
	u64 itt = its->itt_next;
	u64 size = ENTRY_SIZE << event_bits(dev);

	its->itt_next += (size + 255) & ~255ull;
	return itt;
}

/* @itt: 0 to unmap the device */
void its_mapd(struct its *its, const struct lpi_device *dev, u64 itt)
{
	queue(its, ITS_MAPD | dev->id << 32, event_bits(dev) - 1, itt ? VALID | itt : 0);
}

/* Redistributors have numbers here, as GITS_TYPER.PTA is 0. */
void its_mapc(struct its *its, u64 icid)
{
	u64 typer = mmio_read64(gic_redistributor(its->collection[icid].target) + GICR_TYPER);

	queue(its, ITS_MAPC, 0, VALID | (typer >> 8 & 0xffff) << 16 | icid);
}

void its_mapti(struct its *its, const struct lpi_device *dev, u64 event, u64 intid, u64 icid)
{
	queue(its, ITS_MAPTI | dev->id << 32, intid << 32 | event, icid);
}

void its_movi(struct its *its, const struct lpi_device *dev, u64 event, u64 icid)
{
	queue(its, ITS_MOVI | dev->id << 32, event, icid);
}

/* INT, CLEAR, DISCARD, INV */
void its_command(struct its *its, u64 command, const struct lpi_device *dev, u64 event)
{
	queue(its, command | dev->id << 32, event, 0);
}

/*
 * Around a change of a route. An LPI that was sent before its end may still come to the old vCPU:
 * @moved_at gets the number of this end before anything changes.
 */
void its_begin_move(struct its *its, volatile u64 *moved_at)
{
	area->moves[its->index]++;
	*moved_at = area->moves[its->index] + 1;
	dsb();
}

void its_end_move(struct its *its)
{
	dsb();
	area->moves[its->index]++;
}
