// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading the tables of an ITS, ABI revision 0, and comparing them.
 *
 * The walk is that of vgic_its_restore_tables_v0() in arch/arm64/kvm/vgic/vgic-its.c: an entry
 * that is not valid is stepped over, a valid one says where the next one is, and what KVM
 * would answer EINVAL, EEXIST or EFAULT to is a defect.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/guest_memory.h"
#include "state/its_table.h"
#include "state/vm.h"

#define ENTRY 8u
#define TABLE_PAGE 0x10000u /* the one page size of KVM's GITS_BASER<n> */
#define PER_PAGE (TABLE_PAGE / ENTRY)

#define FIELD(value, high, low) ((value) >> (low) & (UINT64_MAX >> (63 - ((high) - (low)))))

#define BASER_VALID(baser) FIELD(baser, 63, 63)
#define BASER_INDIRECT(baser) FIELD(baser, 62, 62)
/* With pages of 64 KiB bits 51:48 of the address are in 15:12. */
#define BASER_ADDR(baser) (FIELD(baser, 47, 16) << 16 | FIELD(baser, 15, 12) << 48)
#define BASER_BYTES(baser) ((FIELD(baser, 7, 0) + 1) * TABLE_PAGE)

#define RDBASE_NONE 0xffffffffu /* COLLECTION_NOT_MAPPED */

struct walk {
	struct guest_memory *mem;
	struct its_tables *t;
	uint64_t baser_device, baser_collection;
	struct its_dte *dte; /* whose table is being read */
	int err;	     /* of FAILED */
	uint8_t has_icid[ITS_MAX_IDS / 8];
};

/* What a visitor of entries says: how many to the next one, or one of these. */
enum { LAST = 0, BROKEN = -1, FAILED = -2 };

static int __attribute__((format(printf, 2, 3))) broken(struct walk *w, const char *format, ...)
{
	va_list args;

	if (!w->t->defect[0]) {
		va_start(args, format);
		vsnprintf(w->t->defect, sizeof(w->t->defect), format, args);
		va_end(args);
	}
	return BROKEN;
}

static bool grow(void *array, size_t *room, size_t size)
{
	size_t more = *room ? 2 * *room : 8;
	void **at = array, *block = reallocarray(*at, more, size);

	if (!block)
		return false;
	*at = block;
	*room = more;
	return true;
}

/* One more element, zeroed: NULL without memory. */
static inline void *append(void *array, size_t *nr, size_t *room, size_t size)
{
	if (*nr == *room && !grow(array, room, size))
		return NULL;
	return memset(*(char **)array + (*nr)++ * size, 0, size);
}

/* Worse than a defect before it: KVM might never come to that. */
static int endless(struct walk *w, const char *what, uint32_t max)
{
	w->t->endless = true;
	w->t->defect[0] = 0;
	return broken(w, "more than %u %s", max, what);
}

struct its_dte *its_tables_add_dte(struct its_tables *t)
{
	return append(&t->dtes, &t->nr_dtes, &t->room_dtes, sizeof(*t->dtes));
}

/* Why an entry could not be read. */
static int unread(struct walk *w, const char *table, uint32_t id, uint64_t at, int err)
{
	if (err == -E2BIG)
		return endless(w, "pages of tables", GUEST_MAX_PAGES);
	if (err != -EFAULT) {
		w->err = err;
		return FAILED;
	}
	return broken(w, "%s: entry %u at 0x%" PRIx64 ": not in guest memory", table, id, at);
}

/*
 * Visits the entries of @bytes at @base, whose first is that of @id. LAST where a visitor said so, 1 at
 * the end of the table, or a negative one.
 */
static int scan(struct walk *w, const char *table, uint64_t base, uint64_t bytes, uint32_t id,
		int (*visit)(struct walk *w, uint32_t id, uint64_t entry))
{
	uint64_t at = 0, entry;

	while (at < bytes) {
		int next = guest_read_u64(w->mem, base + at, &entry);

		if (next)
			return unread(w, table, id, base + at, next);
		if (w->mem->nr_entries++ >= ITS_MAX_ENTRIES)
			return endless(w, "entries in the tables", ITS_MAX_ENTRIES);
		next = visit(w, id, entry);
		if (next <= 0)
			return next;
		/* Most of a table is nothing. */
		if (!entry) {
			uint32_t more = guest_count_zeroes(w->mem, base + at + ENTRY, (bytes - at) / ENTRY - 1);

			next += more;
			w->mem->nr_entries += more;
		}
		at += (uint64_t)next * ENTRY;
		id += next;
	}
	return 1;
}

/* Collections */

static bool has_vcpu(const struct walk *w, uint32_t rdbase)
{
	if (rdbase == RDBASE_NONE)
		return true;
	for (size_t i = 0; i < w->mem->vm->nr_vcpus; i++)
		if (w->mem->vm->vcpus[i].id == rdbase)
			return true;
	return false;
}

static int visit_cte(struct walk *w, uint32_t i, uint64_t entry)
{
	uint64_t base = BASER_ADDR(w->baser_collection);
	struct its_cte *cte;

	if (!FIELD(entry, 63, 63))
		return LAST;
	cte = append(&w->t->ctes, &w->t->nr_ctes, &w->t->room_ctes, sizeof(*cte));
	if (!cte)
		return FAILED;
	cte->rdbase = FIELD(entry, 51, 16);
	cte->icid = FIELD(entry, 15, 0);
	if (!has_vcpu(w, cte->rdbase))
		return broken(w, "collection table, entry %u: RDBase %" PRIu64 " is no vCPU's id", i,
			      cte->rdbase);
	if (w->has_icid[cte->icid / 8] >> cte->icid % 8 & 1)
		return broken(w, "collection table, entry %u: ICID %u is there twice", i, cte->icid);
	if (cte->icid * ENTRY >= BASER_BYTES(w->baser_collection) || !guest_has(w->mem, base + cte->icid * ENTRY))
		return broken(w, "collection table, entry %u: ICID %u does not fit into the table", i,
			      cte->icid);
	w->has_icid[cte->icid / 8] |= 1u << cte->icid % 8;
	return 1;
}

/* Devices */

static int visit_dte(struct walk *w, uint32_t id, uint64_t entry)
{
	struct its_dte *dte;

	if (!FIELD(entry, 63, 63))
		return 1;
	if (w->mem->nr_dtes++ >= ITS_MAX_DTES)
		return endless(w, "devices", ITS_MAX_DTES);
	dte = its_tables_add_dte(w->t);
	if (!dte)
		return FAILED;
	dte->device_id = id;
	dte->next = FIELD(entry, 62, 49);
	dte->itt_addr = FIELD(entry, 48, 5) << 8;
	dte->size = FIELD(entry, 4, 0);
	if (dte->size >= ITS_ID_BITS)
		return broken(w, "device table, DeviceID %u: Size %u: more than %u EventID bits", id,
			      dte->size, ITS_ID_BITS);
	if (id >= ITS_MAX_IDS)
		return broken(w, "device table, DeviceID %u: more than %u bits", id, ITS_ID_BITS);
	return dte->next;
}

static int visit_l1e(struct walk *w, uint32_t index, uint64_t entry)
{
	struct its_l1e *l1e;

	if (!FIELD(entry, 63, 63))
		return 1;
	if (w->t->nr_l1es == ITS_MAX_L1ES)
		return endless(w, "level 2 tables", ITS_MAX_L1ES);
	l1e = append(&w->t->l1es, &w->t->nr_l1es, &w->t->room_l1es, sizeof(*l1e));
	if (!l1e)
		return FAILED;
	l1e->index = index;
	l1e->addr = FIELD(entry, 51, 16) << 16;
	/* A table of 256 pages has more than a DeviceID of 32 bits can count. */
	if (index > UINT32_MAX / PER_PAGE)
		return broken(w, "level 1 device table, entry %u: beyond all DeviceIDs", index);
	return scan(w, "device table", l1e->addr, TABLE_PAGE, index * PER_PAGE, visit_dte);
}

/* Interrupts */

static int visit_ite(struct walk *w, uint32_t event, uint64_t entry)
{
	uint32_t pintid = FIELD(entry, 47, 16), device = w->dte->device_id;
	struct its_ite *ite;

	if (!pintid)
		return 1;
	if (w->mem->nr_ites++ >= ITS_MAX_ITES)
		return endless(w, "interrupts", ITS_MAX_ITES);
	ite = append(&w->dte->ites, &w->dte->nr_ites, &w->dte->room, sizeof(*ite));
	if (!ite)
		return FAILED;
	ite->event_id = event;
	ite->next = FIELD(entry, 63, 48);
	ite->pintid = pintid;
	ite->icid = FIELD(entry, 15, 0);
	if (pintid < LPI_MIN)
		return broken(w, "DeviceID %u, EventID %u: pINTID %u is no LPI", device, event, pintid);
	if (event + ite->next >= 2u << w->dte->size)
		return broken(w, "DeviceID %u, EventID %u: next %u leaves the table", device, event,
			      ite->next);
	if (!(w->has_icid[ite->icid / 8] >> ite->icid % 8 & 1))
		return broken(w, "DeviceID %u, EventID %u: ICID %u is no collection", device, event,
			      ite->icid);
	return ite->next;
}

static int scan_itts(struct walk *w)
{
	int ret = 1;

	for (size_t i = 0; i < w->t->nr_dtes && ret >= 0; i++) {
		w->dte = &w->t->dtes[i];
		if (w->dte->size >= ITS_ID_BITS || w->dte->device_id >= ITS_MAX_IDS)
			break; /* at fault itself, and the last one */
		ret = scan(w, "interrupt translation table", w->dte->itt_addr,
			   (uint64_t)ENTRY << (w->dte->size + 1), 0, visit_ite);
	}
	return ret;
}

int its_tables_read(struct guest_memory *mem, uint64_t baser_device, uint64_t baser_collection,
		    struct its_tables *t)
{
	struct walk *w = calloc(1, sizeof(*w));
	int ret = 1;

	*t = (struct its_tables){ 0 };
	if (!w)
		return -ENOMEM;
	w->mem = mem;
	w->t = t;
	w->baser_device = baser_device;
	w->baser_collection = baser_collection;
	if (BASER_VALID(baser_collection))
		ret = scan(w, "collection table", BASER_ADDR(baser_collection), BASER_BYTES(baser_collection),
			   0, visit_cte);
	if (ret >= 0 && BASER_VALID(baser_device))
		ret = BASER_INDIRECT(baser_device)
			      ? scan(w, "level 1 device table", BASER_ADDR(baser_device),
				     BASER_BYTES(baser_device), 0, visit_l1e)
			      : scan(w, "device table", BASER_ADDR(baser_device), BASER_BYTES(baser_device), 0,
				     visit_dte);
	/* Of a broken device table too: KVM reads those of the devices before. */
	if (ret != FAILED && (ret >= 0 || w->t->nr_dtes))
		ret = scan_itts(w);
	ret = ret == FAILED ? w->err ?: -ENOMEM : 0;
	free(w);
	return ret;
}

void its_tables_free(struct its_tables *t)
{
	for (size_t i = 0; i < t->nr_dtes; i++)
		free(t->dtes[i].ites);
	free(t->dtes);
	free(t->ctes);
	free(t->l1es);
	*t = (struct its_tables){ 0 };
}

/* Comparison: @where has the table and the entry, and takes the field and its two values. */

struct difference {
	char *why;
	const char *table;
	const char *of; /* what @index counts */
	int64_t device; /* whose interrupt translation table, or -1 */
	uint32_t index;
};

static bool same(const struct difference *d, const char *field, uint64_t saved, uint64_t found)
{
	char device[36] = "";

	if (saved == found)
		return true;
	if (d->device >= 0)
		snprintf(device, sizeof(device), " of DeviceID %" PRId64, d->device);
	snprintf(d->why, ITS_WHY, "%s%s, %s %u: %s is %#" PRIx64 " in guest memory, %#" PRIx64 " in the image",
		 d->table, device, d->of, d->index, field, found, saved);
	return false;
}

/*
 * Two lists by ascending number: the first difference is in an entry of both, or it is an entry that one
 * of them has not, whose field @valid is then 0 there.
 */
static bool same_number(struct difference *d, const char *valid, bool in_saved, uint32_t saved, bool in_found,
			uint32_t found)
{
	if (in_saved && in_found && saved == found) {
		d->index = saved;
		return true;
	}
	in_saved = in_saved && (!in_found || saved < found);
	d->index = in_saved ? saved : found;
	return same(d, valid, in_saved, !in_saved);
}

static bool same_ctes(const struct its_tables *saved, const struct its_tables *found, char *why)
{
	struct difference d = { .why = why, .table = "collection table", .of = "entry", .device = -1 };

	for (size_t i = 0; i < saved->nr_ctes || i < found->nr_ctes; i++) {
		if (!same_number(&d, "V", i < saved->nr_ctes, i, i < found->nr_ctes, i) ||
		    !same(&d, "RDBase", saved->ctes[i].rdbase, found->ctes[i].rdbase) ||
		    !same(&d, "ICID", saved->ctes[i].icid, found->ctes[i].icid))
			return false;
	}
	return true;
}

static bool same_l1es(const struct its_tables *saved, const struct its_tables *found, char *why)
{
	struct difference d = { .why = why, .table = "level 1 device table", .of = "entry", .device = -1 };

	for (size_t i = 0; i < saved->nr_l1es || i < found->nr_l1es; i++) {
		bool s = i < saved->nr_l1es, f = i < found->nr_l1es;

		if (!same_number(&d, "V", s, s ? saved->l1es[i].index : 0, f, f ? found->l1es[i].index : 0) ||
		    !same(&d, "address", saved->l1es[i].addr, found->l1es[i].addr))
			return false;
	}
	return true;
}

static bool same_dtes(const struct its_tables *saved, const struct its_tables *found, char *why)
{
	struct difference d = { .why = why, .table = "device table", .of = "DeviceID", .device = -1 };

	for (size_t i = 0; i < saved->nr_dtes || i < found->nr_dtes; i++) {
		bool s = i < saved->nr_dtes, f = i < found->nr_dtes;

		if (!same_number(&d, "V", s, s ? saved->dtes[i].device_id : 0, f,
				 f ? found->dtes[i].device_id : 0) ||
		    !same(&d, "next", saved->dtes[i].next, found->dtes[i].next) ||
		    !same(&d, "ITT_addr", saved->dtes[i].itt_addr, found->dtes[i].itt_addr) ||
		    !same(&d, "Size", saved->dtes[i].size, found->dtes[i].size))
			return false;
	}
	return true;
}

static bool same_ites(const struct its_dte *saved, const struct its_dte *found, char *why)
{
	struct difference d = { .why = why,
				.table = "interrupt translation table",
				.of = "EventID",
				.device = saved->device_id };

	for (size_t i = 0; i < saved->nr_ites || i < found->nr_ites; i++) {
		bool s = i < saved->nr_ites, f = i < found->nr_ites;
		uint32_t s_event = s ? saved->ites[i].event_id : 0, f_event = f ? found->ites[i].event_id : 0;

		if (!s || !f || s_event != f_event) {
			bool missing = s && (!f || s_event < f_event);

			d.index = missing ? s_event : f_event;
			return same(&d, "pINTID", missing ? saved->ites[i].pintid : 0,
				    missing ? 0 : found->ites[i].pintid);
		}
		d.index = s_event;
		if (!same(&d, "pINTID", saved->ites[i].pintid, found->ites[i].pintid) ||
		    !same(&d, "ICID", saved->ites[i].icid, found->ites[i].icid) ||
		    !same(&d, "next", saved->ites[i].next, found->ites[i].next))
			return false;
	}
	return true;
}

bool its_tables_equal(const struct its_tables *saved, const struct its_tables *found, char why[ITS_WHY])
{
	why[0] = 0;
	if (!same_ctes(saved, found, why) || !same_l1es(saved, found, why) || !same_dtes(saved, found, why))
		return false;
	for (size_t i = 0; i < saved->nr_dtes; i++)
		if (!same_ites(&saved->dtes[i], &found->dtes[i], why))
			return false;
	return true;
}
