/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tables of an ITS as KVM keeps them in guest memory: ABI revision 0 of
 * Documentation/virt/kvm/devices/arm-vgic-its.rst. Entries of 8 bytes, found as
 * KVM_DEV_ARM_ITS_RESTORE_TABLES finds them.
 */
#ifndef KVM_VGIC_STATE_ITS_TABLE_H
#define KVM_VGIC_STATE_ITS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ITS_ID_BITS 16 /* of a DeviceID and of an EventID: VITS_TYPER_DEVBITS, VITS_TYPER_IDBITS */
#define ITS_MAX_IDS (1u << ITS_ID_BITS)
/*
 * No guest in its senses has more, and KVM's own walk, which has no such bounds, would keep the host
 * busy for hours, or until it has no memory left. All but the last for all ITSes of a VM together.
 */
#define ITS_MAX_ENTRIES (1u << 26) /* valid or not: 1024 devices of 16 EventID bits */
#define ITS_MAX_DTES (1u << 18)
#define ITS_MAX_ITES (1u << 20) /* a VM has 57344 LPIs */
#define ITS_MAX_L1ES 1024u	/* of one ITS; 8 of them reach all DeviceIDs */
#define LPI_MIN 8192u

static inline uint64_t its_field(uint64_t entry, unsigned int high, unsigned int low)
{
	return entry >> low & UINT64_MAX >> (63 - (high - low));
}

/* V of a collection table entry, of a device table entry, and of a level 1 entry. */
static inline bool its_is_valid(uint64_t entry)
{
	return its_field(entry, 63, 63);
}

/* Fields of a collection table entry: a vCPU id in the low 32 bits, which KVM looks at; 0xffffffff: of no vCPU */
static inline uint64_t its_cte_rdbase(uint64_t cte)
{
	return its_field(cte, 51, 16);
}

static inline uint16_t its_cte_icid(uint64_t cte)
{
	return its_field(cte, 15, 0);
}

/* Of a level 1 entry: IPA of 64 KiB of device table entries */
static inline uint64_t its_l1e_addr(uint64_t l1e)
{
	return its_field(l1e, 51, 16) << 16;
}

/* Of a device table entry: DeviceIDs to the next one, 16383 at most; 0: the last */
static inline uint16_t its_dte_next(uint64_t dte)
{
	return its_field(dte, 62, 49);
}

/* IPA of the interrupt translation table */
static inline uint64_t its_dte_itt_addr(uint64_t dte)
{
	return its_field(dte, 48, 5) << 8;
}

/* bits of an EventID less one */
static inline uint8_t its_dte_size(uint64_t dte)
{
	return its_field(dte, 4, 0);
}

/* Of an interrupt translation entry: EventIDs to the next one; 0: the last */
static inline uint16_t its_ite_next(uint64_t ite)
{
	return its_field(ite, 63, 48);
}

/* 0: the entry is not valid */
static inline uint32_t its_ite_pintid(uint64_t ite)
{
	return its_field(ite, 47, 16);
}

static inline uint16_t its_ite_icid(uint64_t ite)
{
	return its_field(ite, 15, 0);
}

struct its_l1e {
	uint32_t index;
	uint64_t entry;
};

struct its_dte {
	uint32_t device_id;
	uint64_t entry;
	size_t first_ite, nr_ites; /* in the lists of its_tables */
};

/* The valid entries of the tables as memory has them, in the order in which KVM comes across them. */
struct its_tables {
	uint64_t *ctes; /* by place: as the list that KVM keeps */
	size_t nr_ctes, room_ctes;
	struct its_l1e *l1es; /* of a two-level device table */
	size_t nr_l1es, room_l1es;
	struct its_dte *dtes;
	size_t nr_dtes, room_dtes;
	/* Of all interrupt translation tables, device by device: */
	uint32_t *event_ids;
	uint64_t *ites;
	size_t nr_ites, room_ites;
	/*
	 * Why KVM will not take them: the entry at fault, which is then the last one here. Empty: it will.
	 * Not in images: what compares equal has the same, or one of them has a bound's.
	 */
	char defect[128];
	bool endless; /* the defect is a bound above: KVM is not to be asked */
};

/* Of interrupt @i of @dte, a device of @t. */
static inline uint32_t its_event_id(const struct its_tables *t, const struct its_dte *dte, size_t i)
{
	return t->event_ids[dte->first_ite + i];
}

static inline uint64_t its_ite(const struct its_tables *t, const struct its_dte *dte, size_t i)
{
	return t->ites[dte->first_ite + i];
}

struct guest_memory;

/*
 * Reads the tables that GITS_BASER0 and GITS_BASER1 point to into *@t, to be freed by its_tables_free()
 * whatever is returned. Whatever the guest has made of them is no error but a defect; bounded in time and
 * size. 0 or -ENOMEM.
 */
int its_tables_read(struct guest_memory *mem, uint64_t baser_device, uint64_t baser_collection,
		    struct its_tables *t);
void its_tables_free(struct its_tables *t);

/*
 * Whether @found, in guest memory, is what @saved, in the image, is. If not @why says
 * in which table, entry and field they differ.
 */
#define ITS_WHY 224
bool its_tables_equal(const struct its_tables *saved, const struct its_tables *found, char why[ITS_WHY]);

#endif
