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

#define BASER_VALID(baser) its_field(baser, 63, 63)
#define BASER_INDIRECT(baser) its_field(baser, 62, 62)
/* With pages of 64 KiB bits 51:48 of the address are in 15:12. */
#define BASER_ADDR(baser) (its_field(baser, 47, 16) << 16 | its_field(baser, 15, 12) << 48)
#define BASER_BYTES(baser) ((its_field(baser, 7, 0) + 1) * TABLE_PAGE)

#define RDBASE_NONE 0xffffffffu /* COLLECTION_NOT_MAPPED */

struct walk {
	struct guest_memory *mem;
	struct its_tables *t;
	uint64_t baser_device, baser_collection;
	const struct its_dte *dte; /* whose table is being read */
	uint32_t nr_events;	   /* entries of that */
	size_t nr_ahead;	   /* devices whose tables were read ahead */
	int err;	     /* of FAILED */
	uint8_t has_icid[ITS_MAX_IDS / 8];
	struct guest_ahead ahead;
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

/* Room for one more element; false: there is no memory. */
static inline bool has_room(void *array, size_t nr, size_t *room, size_t size)
{
	return nr < *room || grow(array, room, size);
}

/* Worse than a defect before it: KVM might never come to that. */
static int endless(struct walk *w, const char *what, uint32_t max)
{
	w->t->endless = true;
	w->t->defect[0] = 0;
	return broken(w, "more than %u %s", max, what);
}

#define ITES_AT_FIRST 1024u

/* Room for interrupts more: seldom, and so not a part of visit_ite(). */
static bool __attribute__((noinline)) grow_ites(struct its_tables *t)
{
	size_t room = t->room_ites ? 2 * t->room_ites : ITES_AT_FIRST;
	uint32_t *event_ids = reallocarray(t->event_ids, room, sizeof(*event_ids));
	uint64_t *ites;

	if (!event_ids)
		return false;
	t->event_ids = event_ids;
	ites = reallocarray(t->ites, room, sizeof(*ites));
	if (!ites)
		return false;
	t->ites = ites;
	t->room_ites = room;
	return true;
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

static bool has_icid(const struct walk *w, uint16_t icid)
{
	return w->has_icid[icid / 8] >> icid % 8 & 1;
}

static int visit_cte(struct walk *w, uint32_t i, uint64_t entry)
{
	uint64_t base = BASER_ADDR(w->baser_collection), rdbase = its_cte_rdbase(entry);
	uint16_t icid = its_cte_icid(entry);

	if (!its_is_valid(entry))
		return LAST;
	if (!has_room(&w->t->ctes, w->t->nr_ctes, &w->t->room_ctes, sizeof(*w->t->ctes)))
		return FAILED;
	w->t->ctes[w->t->nr_ctes++] = entry;
	if (!has_vcpu(w, rdbase))
		return broken(w, "collection table, entry %u: RDBase %" PRIu64 " is no vCPU's id", i, rdbase);
	if (has_icid(w, icid))
		return broken(w, "collection table, entry %u: ICID %u is there twice", i, icid);
	if (icid * ENTRY >= BASER_BYTES(w->baser_collection) || !guest_has(w->mem, base + icid * ENTRY))
		return broken(w, "collection table, entry %u: ICID %u does not fit into the table", i, icid);
	w->has_icid[icid / 8] |= 1u << icid % 8;
	return 1;
}

/* Devices */

static int visit_dte(struct walk *w, uint32_t id, uint64_t entry)
{
	uint8_t size = its_dte_size(entry);

	if (!its_is_valid(entry))
		return 1;
	if (w->mem->nr_dtes++ >= ITS_MAX_DTES)
		return endless(w, "devices", ITS_MAX_DTES);
	if (!has_room(&w->t->dtes, w->t->nr_dtes, &w->t->room_dtes, sizeof(*w->t->dtes)))
		return FAILED;
	w->t->dtes[w->t->nr_dtes++] = (struct its_dte){ .device_id = id, .entry = entry };
	if (size >= ITS_ID_BITS)
		return broken(w, "device table, DeviceID %u: Size %u: more than %u EventID bits", id, size, ITS_ID_BITS);
	if (id >= ITS_MAX_IDS)
		return broken(w, "device table, DeviceID %u: more than %u bits", id, ITS_ID_BITS);
	return its_dte_next(entry);
}

static int visit_l1e(struct walk *w, uint32_t index, uint64_t entry)
{
	if (!its_is_valid(entry))
		return 1;
	if (w->t->nr_l1es == ITS_MAX_L1ES)
		return endless(w, "level 2 tables", ITS_MAX_L1ES);
	if (!has_room(&w->t->l1es, w->t->nr_l1es, &w->t->room_l1es, sizeof(*w->t->l1es)))
		return FAILED;
	w->t->l1es[w->t->nr_l1es++] = (struct its_l1e){ index, entry };
	/* A table of 256 pages has more than a DeviceID of 32 bits can count. */
	if (index > UINT32_MAX / PER_PAGE)
		return broken(w, "level 1 device table, entry %u: beyond all DeviceIDs", index);
	return scan(w, "device table", its_l1e_addr(entry), TABLE_PAGE, index * PER_PAGE, visit_dte);
}

/* Interrupts */

static int __attribute__((noinline)) broken_ite(struct walk *w, uint32_t event, uint64_t ite)
{
	uint32_t device = w->dte->device_id, next = its_ite_next(ite);

	if (its_ite_pintid(ite) < LPI_MIN)
		return broken(w, "DeviceID %u, EventID %u: pINTID %u is no LPI", device, event, its_ite_pintid(ite));
	if (event + next >= w->nr_events)
		return broken(w, "DeviceID %u, EventID %u: next %u leaves the table", device, event, next);
	return broken(w, "DeviceID %u, EventID %u: ICID %u is no collection", device, event, its_ite_icid(ite));
}

static int visit_ite(struct walk *w, uint32_t event, uint64_t entry)
{
	uint32_t pintid = its_ite_pintid(entry), next = its_ite_next(entry);
	struct its_tables *t = w->t;

	if (!pintid)
		return 1;
	if (w->mem->nr_ites++ >= ITS_MAX_ITES)
		return endless(w, "interrupts", ITS_MAX_ITES);
	if (t->nr_ites == t->room_ites && !grow_ites(t))
		return FAILED;
	t->event_ids[t->nr_ites] = event;
	t->ites[t->nr_ites++] = entry;
	if (pintid < LPI_MIN || event + next >= w->nr_events || !has_icid(w, its_ite_icid(entry)))
		return broken_ite(w, event, entry);
	return next;
}

static bool is_at_fault(const struct its_dte *dte)
{
	return its_dte_size(dte->entry) >= ITS_ID_BITS || dte->device_id >= ITS_MAX_IDS;
}

/* Tables of interrupts are small, and often beside each other: the pages in which those of the next devices begin are read at once. */
static void read_ahead(struct walk *w)
{
	uint64_t pages[GUEST_AHEAD];
	size_t nr = 0;

	for (; w->nr_ahead < w->t->nr_dtes && !is_at_fault(&w->t->dtes[w->nr_ahead]); w->nr_ahead++) {
		uint64_t itt = its_dte_itt_addr(w->t->dtes[w->nr_ahead].entry), page = itt - itt % GUEST_PAGE;

		if (nr && pages[nr - 1] == page)
			continue;
		if (nr == GUEST_AHEAD)
			break;
		pages[nr++] = page;
	}
	if (nr > 1)
		guest_read_ahead(w->mem, pages, nr);
}

static int scan_itt(struct walk *w, struct its_dte *dte)
{
	int ret;

	w->dte = dte;
	w->nr_events = 2u << its_dte_size(dte->entry);
	dte->first_ite = w->t->nr_ites;
	ret = scan(w, "interrupt translation table", its_dte_itt_addr(dte->entry), (uint64_t)ENTRY * w->nr_events, 0, visit_ite);
	dte->nr_ites = w->t->nr_ites - dte->first_ite;
	return ret;
}

static int scan_itts(struct walk *w)
{
	int ret = 1;

	for (size_t i = 0; i < w->t->nr_dtes && ret >= 0; i++) {
		if (is_at_fault(&w->t->dtes[i]))
			break; /* itself, and the last one */
		if (i == w->nr_ahead)
			read_ahead(w);
		ret = scan_itt(w, &w->t->dtes[i]);
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
	mem->ahead = &w->ahead;
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
	mem->ahead = NULL;
	mem->bytes = NULL; /* it may have been in @w */
	free(w);
	return ret;
}

void its_tables_free(struct its_tables *t)
{
	free(t->ctes);
	free(t->l1es);
	free(t->dtes);
	free(t->event_ids);
	free(t->ites);
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
		    !same(&d, "RDBase", its_cte_rdbase(saved->ctes[i]), its_cte_rdbase(found->ctes[i])) ||
		    !same(&d, "ICID", its_cte_icid(saved->ctes[i]), its_cte_icid(found->ctes[i])))
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
		    !same(&d, "address", its_l1e_addr(saved->l1es[i].entry), its_l1e_addr(found->l1es[i].entry)))
			return false;
	}
	return true;
}

static bool same_dte(struct difference *d, uint64_t saved, uint64_t found)
{
	return same(d, "next", its_dte_next(saved), its_dte_next(found)) &&
	       same(d, "ITT_addr", its_dte_itt_addr(saved), its_dte_itt_addr(found)) &&
	       same(d, "Size", its_dte_size(saved), its_dte_size(found));
}

static bool same_dtes(const struct its_tables *saved, const struct its_tables *found, char *why)
{
	struct difference d = { .why = why, .table = "device table", .of = "DeviceID", .device = -1 };

	for (size_t i = 0; i < saved->nr_dtes || i < found->nr_dtes; i++) {
		bool s = i < saved->nr_dtes, f = i < found->nr_dtes;

		if (!same_number(&d, "V", s, s ? saved->dtes[i].device_id : 0, f,
				 f ? found->dtes[i].device_id : 0) ||
		    !same_dte(&d, saved->dtes[i].entry, found->dtes[i].entry))
			return false;
	}
	return true;
}

static bool same_ite(struct difference *d, uint64_t saved, uint64_t found)
{
	return saved == found || (same(d, "pINTID", its_ite_pintid(saved), its_ite_pintid(found)) &&
				  same(d, "ICID", its_ite_icid(saved), its_ite_icid(found)) &&
				  same(d, "next", its_ite_next(saved), its_ite_next(found)));
}

/* Of the device that is @s in @saved, and @f in @found. */
static bool same_ites(const struct its_tables *saved, const struct its_dte *s, const struct its_tables *found,
		      const struct its_dte *f, char *why)
{
	struct difference d = {
		.why = why, .table = "interrupt translation table", .of = "EventID", .device = s->device_id
	};

	for (size_t i = 0; i < s->nr_ites || i < f->nr_ites; i++) {
		bool in_s = i < s->nr_ites, in_f = i < f->nr_ites;
		uint32_t s_event = in_s ? its_event_id(saved, s, i) : 0, f_event = in_f ? its_event_id(found, f, i) : 0;

		if (!in_s || !in_f || s_event != f_event) {
			bool missing = in_s && (!in_f || s_event < f_event);

			d.index = missing ? s_event : f_event;
			return same(&d, "pINTID", missing ? its_ite_pintid(its_ite(saved, s, i)) : 0,
				    missing ? 0 : its_ite_pintid(its_ite(found, f, i)));
		}
		d.index = s_event;
		if (!same_ite(&d, its_ite(saved, s, i), its_ite(found, f, i)))
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
		if (!same_ites(saved, &saved->dtes[i], found, &found->dtes[i], why))
			return false;
	return true;
}
