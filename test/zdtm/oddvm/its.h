/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ITSes that are driven by the VMM instead of a guest: it puts commands into the queue in guest
 * memory, and KVM executes them when GITS_CWRITER is written by KVM_SET_DEVICE_ATTR. All of this
 * with every vCPU out of KVM_RUN: KVM answers EBUSY else.
 */
#ifndef ODD_ITS_H
#define ODD_ITS_H

#include "oddvm.h"

/* A memslot of its own holds all tables and queues; most of it is never touched. */
#define ITS_RAM_ADDR	0x5a0000800000
#define ITS_RAM_BASE	0x50000000
#define ITS_RAM_SIZE	0xa00000
#define ITS_RAM_SLOT	8

/* Offsets in it: a block for each ITS, after what lpi.h has. */
#define ITS_BLOCK(n)	(0x200000 * ((n) + 1))
#define ITS_QUEUE	0x000000
#define ITS_CTES	0x010000	/* the collection table */
#define ITS_DTES	0x020000	/* the device table; 64 KiB of level 1, and then level 2 tables */
#define ITS_LEVEL_2(i)	(ITS_DTES + 0x10000 * (1 + (i)))
#define ITS_ITTS	0x0a0000	/* small interrupt translation tables, 4 KiB each */
#define ITS_ITT(i)	(ITS_ITTS + 0x1000 * (i))
#define ITS_BIG_ITT	0x100000	/* of 65536 EventIDs */
#define ITS_ASIDE	0x180000	/* another queue; KVM's are at multiples of 64 KiB */

#define ITS_FRAME(n)	(0x0a000000 + 0x20000 * (uint64_t)(n))	/* guest physical */

/* Offsets of registers. */
#define GITS_CTLR	0x0000
#define GITS_IIDR	0x0004
#define GITS_TYPER	0x0008
#define GITS_CBASER	0x0080
#define GITS_CWRITER	0x0088
#define GITS_CREADR	0x0090
#define GITS_BASER0	0x0100	/* devices */
#define GITS_BASER1	0x0108	/* collections */

#define ITS_VALID	(1ull << 63)
#define ITS_INDIRECT	(1ull << 62)

#define ITS_COMMAND	32u	/* bytes */

struct odd_its {
	struct odd_vm *vm;
	int fd;
	unsigned int n;		/* which block and frame are its own */
	uint32_t queue_size;	/* bytes */
	uint32_t put;		/* where in the queue the next command goes */
};

struct its_command {
	uint64_t dw[4];
};

/* Each answers 0, or -1 with errno set. */

/* The memslot; in the file @path, or anonymous memory. */
int its_add_memory(struct odd_vm *vm, const char *path);
/* The device, and nothing else. */
int its_create(struct odd_its *its, struct odd_vm *vm, unsigned int n);
/* Its address, and INIT. */
int its_place(struct odd_its *its);
int its_get(const struct odd_its *its, uint32_t reg, uint64_t *value);
int its_set(const struct odd_its *its, uint32_t reg, uint64_t value);
/* Queue and tables: @level_2 tables of a two-level device table are there, of which @l1 are the indices; or 0. */
int its_set_tables(struct odd_its *its, uint32_t queue_size, const unsigned int *l1, size_t level_2);
int its_enable(const struct odd_its *its, bool on);

/* Puts a command into the queue, and no more. */
void its_put(struct odd_its *its, struct its_command command);
/* Has what was put there executed; if the ITS is not enabled, only announced. */
int its_ring(const struct odd_its *its);
int its_do(struct odd_its *its, struct its_command command);
/* Executes it from another queue: the ITS's own shows nothing of it. */
int its_do_aside(struct odd_its *its, struct its_command command);

/* @itt: offset in the ITS's block; @bits of an EventID. */
struct its_command its_mapd(const struct odd_its *its, uint32_t device, uint32_t itt, unsigned int bits);
struct its_command its_unmapd(uint32_t device);
struct its_command its_mapc(uint16_t icid, uint32_t vcpu);
struct its_command its_unmapc(uint16_t icid);
struct its_command its_mapti(uint32_t device, uint32_t event, uint32_t lpi, uint16_t icid);
struct its_command its_movi(uint32_t device, uint32_t event, uint16_t icid);
struct its_command its_int(uint32_t device, uint32_t event);
struct its_command its_clear(uint32_t device, uint32_t event);
struct its_command its_discard(uint32_t device, uint32_t event);
struct its_command its_sync(void);

int its_save_tables(const struct odd_its *its);
/* KVM_SIGNAL_MSI: 1 delivered, 0 not mapped, or -1. */
int its_signal(const struct odd_its *its, uint32_t device, uint32_t event);

/* An entry of a table, by its offset in the ITS's block. */
uint64_t *its_entry(const struct odd_its *its, uint32_t offset);

#endif /* ODD_ITS_H */
