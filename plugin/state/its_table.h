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

/* A collection table entry. The table is in the order of the list that KVM keeps, and so is this. */
struct its_cte {
	uint64_t rdbase; /* vCPU id in its low 32 bits, which KVM looks at; 0xffffffff: of no vCPU */
	uint16_t icid;
};

/* An interrupt translation entry. */
struct its_ite {
	uint32_t event_id;
	uint32_t pintid;
	uint16_t next; /* EventIDs to the next entry; 0: the last */
	uint16_t icid;
};

/* A device table entry, and the interrupt translation table that it points to. */
struct its_dte {
	uint32_t device_id;
	uint16_t next;	   /* DeviceIDs to the next entry, 16383 at most; 0: the last */
	uint8_t size;	   /* bits of an EventID less one */
	uint64_t itt_addr; /* IPA */
	struct its_ite *ites;
	size_t nr_ites, room;
};

/* A level 1 entry of a two-level device table. */
struct its_l1e {
	uint32_t index;
	uint64_t addr; /* IPA of 64 KiB of device table entries */
};

/* What is valid in the tables, in the order in which KVM comes across it. */
struct its_tables {
	struct its_cte *ctes;
	size_t nr_ctes, room_ctes;
	struct its_l1e *l1es;
	size_t nr_l1es, room_l1es;
	struct its_dte *dtes;
	size_t nr_dtes, room_dtes;
	/*
	 * Why KVM will not take them: the entry at fault, which is then the last one here. Empty: it will.
	 * Not in images: what compares equal has the same, or one of them has a bound's.
	 */
	char defect[128];
	bool endless; /* the defect is a bound above: KVM is not to be asked */
};

struct guest_memory;

/*
 * Reads the tables that GITS_BASER0 and GITS_BASER1 point to into *@t, to be freed by its_tables_free()
 * whatever is returned. Whatever the guest has made of them is no error but a defect; bounded in time and
 * size. 0 or -ENOMEM.
 */
int its_tables_read(struct guest_memory *mem, uint64_t baser_device, uint64_t baser_collection,
		    struct its_tables *t);
void its_tables_free(struct its_tables *t);
/* One more device at the end of @t, zeroed; NULL without memory. */
struct its_dte *its_tables_add_dte(struct its_tables *t);

/*
 * Whether @found, in guest memory, is what @saved, in the image, is. If not @why says
 * in which table, entry and field they differ.
 */
#define ITS_WHY 224
bool its_tables_equal(const struct its_tables *saved, const struct its_tables *found, char why[ITS_WHY]);

#endif
