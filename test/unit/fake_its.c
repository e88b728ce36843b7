// SPDX-License-Identifier: GPL-2.0-only
/*
 * The attributes of fake ITSes and of LPIs, after Documentation/virt/kvm/devices/arm-vgic-its.rst,
 * arm-vgic-v3.rst and what the kernel does. Tables are really written to the fake's guest memory, and read
 * from there. Names and offsets of its own: not those of the plugin's tables.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_kvm.h"

#define GITS_CTLR 0x0u
#define GITS_IIDR 0x4u
#define GITS_TYPER 0x8u
#define GITS_CBASER 0x80u
#define GITS_CWRITER 0x88u
#define GITS_CREADR 0x90u
#define GITS_BASER 0x100u

#define VALID (1ULL << 63)
#define INDIRECT (1ULL << 62)
#define PTZ (1u << 30) /* of the upper half of GICR_PENDBASER */
#define SIZE_64K 0x10000u
#define BASER_PAGES_64K 0x200u
#define MAX_DTE_NEXT 16383u
#define MAX_ITE_NEXT 65535u
#define NOT_MAPPED 0xffffffffu
#define IPA_BITS 40
#define FRAME 0x20000u
#define QUEUE_SIZE(its) ((((its)->cbaser & 0xff) + 1) * 4096)
#define COMMAND 32u

/* Guest memory */

uint8_t *fake_guest(struct fake_kvm *kvm, uint64_t gpa, size_t size)
{
	for (size_t i = 0; i < kvm->nr_slots; i++) {
		const struct memslot *slot = &kvm->slots[i];
		struct fake_map *map;

		if (gpa < slot->gpa || gpa - slot->gpa >= slot->size || size > slot->size - (gpa - slot->gpa))
			continue;
		map = fake_map_at(kvm, slot->hva + (gpa - slot->gpa), size);
		return map ? fake_map_byte(kvm, map, slot->hva + (gpa - slot->gpa)) : NULL;
	}
	return NULL;
}

static int get_entry(struct fake_kvm *kvm, uint64_t gpa, uint64_t *entry)
{
	const uint8_t *at = fake_guest(kvm, gpa, sizeof(*entry));

	if (!at)
		return -EFAULT;
	memcpy(entry, at, sizeof(*entry));
	return 0;
}

static int put_entry(struct fake_kvm *kvm, uint64_t gpa, uint64_t entry)
{
	uint8_t *at = fake_guest(kvm, gpa, sizeof(entry));

	if (!at)
		return -EFAULT;
	memcpy(at, &entry, sizeof(entry));
	return 0;
}

static uint64_t table_base(uint64_t baser)
{
	return (baser & 0xffffffff0000) | (baser >> 12 & 0xf) << 48;
}

static uint64_t table_size(uint64_t baser)
{
	return ((baser & 0xff) + 1) * SIZE_64K;
}

/* Where the entry of @id is, and that it is there: what KVM asks before it stores one. */
static bool has_entry(struct fake_kvm *kvm, uint64_t baser, uint64_t id, uint64_t *gpa)
{
	uint64_t l1e;

	if (id > 65535)
		return false;
	*gpa = table_base(baser) + id * 8;
	if (!(baser & INDIRECT))
		return id < table_size(baser) / 8 && fake_guest(kvm, *gpa, 1);
	id = id * 8 / SIZE_64K;
	if (id >= table_size(baser) / 8 || get_entry(kvm, table_base(baser) + id * 8, &l1e) || !(l1e & VALID))
		return false;
	*gpa = (l1e & 0xfffffffff0000) + (*gpa - table_base(baser)) % SIZE_64K;
	return fake_guest(kvm, *gpa, 1);
}

/* LPIs */

struct fake_lpi *fake_lpi(struct fake_kvm *kvm, uint32_t intid)
{
	for (size_t i = 0; i < kvm->nr_lpis; i++)
		if (kvm->lpis[i].intid == intid)
			return &kvm->lpis[i];
	return NULL;
}

static void queue_lpi(struct fake_kvm *kvm, struct fake_lpi *lpi)
{
	if (!lpi->pending)
		lpi->queued = false;
	else if (lpi->enabled && lpi->target >= 0 && kvm->gic.ctlr & 3)
		lpi->queued = true;
}

static uint64_t base_of(const uint32_t baser[2], uint64_t mask)
{
	return (baser[0] | (uint64_t)baser[1] << 32) & mask;
}

/* The byte with the pending bit of @intid in the table of @vcpu. */
static uint8_t *pending_byte(struct fake_kvm *kvm, int vcpu, uint32_t intid)
{
	return fake_guest(kvm, base_of(kvm->vcpus[vcpu].pendbaser, 0xfffffffff0000) + intid / 8, 1);
}

static int read_config(struct fake_kvm *kvm, struct fake_lpi *lpi)
{
	const uint8_t *prop =
		fake_guest(kvm, base_of(kvm->vcpus[0].propbaser, 0xffffffffff000) + lpi->intid - LPI_MIN, 1);

	if (!prop)
		return -EFAULT;
	lpi->priority = *prop & 0xfc;
	lpi->enabled = *prop & 1;
	queue_lpi(kvm, lpi);
	return 0;
}

/* Takes the bit from the table, and clears it there. */
static int take_pending(struct fake_kvm *kvm, struct fake_lpi *lpi)
{
	uint8_t *byte;

	if (lpi->target < 0)
		return 0;
	byte = pending_byte(kvm, lpi->target, lpi->intid);
	if (!byte)
		return -EFAULT;
	lpi->pending = *byte >> lpi->intid % 8 & 1;
	queue_lpi(kvm, lpi);
	*byte &= ~(1u << lpi->intid % 8);
	return 0;
}

int fake_lpi_add(struct fake_kvm *kvm, uint32_t intid, int target)
{
	struct fake_lpi *lpi = &kvm->lpis[kvm->nr_lpis];
	int ret;

	if (fake_lpi(kvm, intid))
		return 0;
	if (kvm->nr_lpis == FAKE_LPIS)
		return -ENOMEM;
	*lpi = (struct fake_lpi){ .intid = intid, .target = target };
	ret = read_config(kvm, lpi);
	if (!ret)
		ret = take_pending(kvm, lpi);
	if (!ret)
		kvm->nr_lpis++;
	return ret;
}

/* GICR_CTLR: what is in the table when LPIs are enabled, is pending, and what is not, is not. */
void fake_lpi_enable(struct fake_kvm *kvm, int vcpu, uint32_t ctlr)
{
	struct fake_vcpu *v = &kvm->vcpus[vcpu];
	bool enable = ctlr & 1;

	if (enable == (v->gicr_ctlr & 1))
		return;
	v->gicr_ctlr = enable;
	for (size_t i = 0; i < kvm->nr_lpis; i++) {
		struct fake_lpi *lpi = &kvm->lpis[i];
		const uint8_t *byte = pending_byte(kvm, vcpu, lpi->intid);

		if (lpi->target != vcpu || (enable && (v->pendbaser[1] & PTZ || !byte)))
			continue;
		lpi->pending = enable && *byte >> lpi->intid % 8 & 1;
		queue_lpi(kvm, lpi);
	}
}

int fake_lpi_save_pending(struct fake_kvm *kvm)
{
	if (!kvm->gic.initialised)
		return -ENXIO;
	for (size_t i = 0; i < kvm->nr_lpis; i++) {
		const struct fake_lpi *lpi = &kvm->lpis[i];
		uint8_t *byte = lpi->target < 0 ? NULL : pending_byte(kvm, lpi->target, lpi->intid);

		if (lpi->target < 0)
			continue;
		if (!byte)
			return -EFAULT;
		*byte = (*byte & ~(1u << lpi->intid % 8)) | lpi->pending << lpi->intid % 8;
	}
	return 0;
}

/* Saving tables */

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static int by_id(const void *a, const void *b)
{
	const struct fake_device *left = a, *right = b;

	return left->id < right->id ? -1 : left->id > right->id;
}

static int save_itt(struct fake_kvm *kvm, const struct fake_device *device)
{
	int ret = 0;

	for (size_t i = 0; i < device->nr_events && !ret; i++) {
		const struct fake_event *event = &device->events[i];
		uint64_t next =
			i + 1 < device->nr_events ? smaller(event[1].event - event->event, MAX_ITE_NEXT) : 0;

		ret = put_entry(kvm, device->itt + event->event * 8,
				next << 48 | (uint64_t)event->lpi << 16 | event->icid);
	}
	return ret;
}

static int save_devices(struct fake_kvm *kvm, struct fake_its *its)
{
	int ret = 0;

	qsort(its->devices, its->nr_devices, sizeof(its->devices[0]), by_id);
	for (size_t i = 0; i < its->nr_devices && !ret; i++) {
		const struct fake_device *device = &its->devices[i];
		uint64_t next =
			i + 1 < its->nr_devices ? smaller(device[1].id - device->id, MAX_DTE_NEXT) : 0;
		uint64_t gpa;

		if (!has_entry(kvm, its->baser[0], device->id, &gpa))
			return -EINVAL;
		ret = save_itt(kvm, device);
		if (!ret)
			ret = put_entry(kvm, gpa,
					VALID | next << 49 | device->itt >> 8 << 5 | (device->bits - 1));
	}
	return ret;
}

static int save_collections(struct fake_kvm *kvm, const struct fake_its *its)
{
	uint64_t gpa = table_base(its->baser[1]);

	for (size_t i = 0; i < its->nr_collections; i++, gpa += 8)
		if (put_entry(kvm, gpa,
			      VALID | (uint64_t)its->collections[i].target << 16 | its->collections[i].icid))
			return -EFAULT;
	return put_entry(kvm, gpa, 0);
}

static int save_tables(struct fake_kvm *kvm, struct fake_its *its)
{
	int ret = its->baser[0] & VALID ? save_devices(kvm, its) : 0;

	return ret || !(its->baser[1] & VALID) ? ret : save_collections(kvm, its);
}

/* Restoring tables. Each visitor says how far it is to the next entry, 0 for none, or a negative errno. */

static int vcpu_of_id(const struct fake_kvm *kvm, uint32_t id)
{
	for (size_t i = 0; i < kvm->nr_vcpus; i++)
		if (kvm->vcpus[i].id == id)
			return i;
	return -1;
}

static const struct fake_collection *collection_of(const struct fake_its *its, uint16_t icid)
{
	for (size_t i = 0; i < its->nr_collections; i++)
		if (its->collections[i].icid == icid)
			return &its->collections[i];
	return NULL;
}

static int scan(struct fake_kvm *kvm, struct fake_its *its, uint64_t base, uint64_t size, uint32_t id,
		int (*visit)(struct fake_kvm *kvm, struct fake_its *its, uint32_t id, uint64_t entry))
{
	for (uint64_t at = 0, entry; at < size;) {
		int next = get_entry(kvm, base + at, &entry);

		if (!next)
			next = visit(kvm, its, id, entry);
		if (next <= 0)
			return next;
		at += next * 8ULL;
		id += next;
	}
	return 1;
}

static int restore_cte(struct fake_kvm *kvm, struct fake_its *its, uint32_t id, uint64_t entry)
{
	uint32_t target = entry >> 16;
	uint64_t gpa;

	if (!(entry & VALID))
		return 0;
	if (target != NOT_MAPPED && vcpu_of_id(kvm, target) < 0)
		return -EINVAL;
	if (collection_of(its, entry))
		return -EEXIST;
	if (!has_entry(kvm, its->baser[1], entry & 0xffff, &gpa))
		return -EINVAL;
	if (its->nr_collections == FAKE_COLLECTIONS)
		return -ENOMEM;
	its->collections[its->nr_collections++] = (struct fake_collection){ entry, target };
	return 1;
}

static int restore_ite(struct fake_kvm *kvm, struct fake_its *its, uint32_t id, uint64_t entry)
{
	struct fake_device *device = &its->devices[its->nr_devices - 1];
	const struct fake_collection *collection = collection_of(its, entry);
	uint32_t lpi = entry >> 16, next = entry >> 48;
	int ret;

	if (!lpi)
		return 1;
	if (lpi < LPI_MIN || id + next >= 1u << device->bits || !collection ||
	    !fake_guest(kvm, device->itt + id * 8, 1))
		return -EINVAL;
	if (device->nr_events == FAKE_EVENTS)
		return -ENOMEM;
	ret = fake_lpi_add(kvm, lpi,
			   collection->target == NOT_MAPPED ? -1 : vcpu_of_id(kvm, collection->target));
	if (ret)
		return ret;
	device->events[device->nr_events++] = (struct fake_event){ id, lpi, entry };
	return next;
}

static int restore_dte(struct fake_kvm *kvm, struct fake_its *its, uint32_t id, uint64_t entry)
{
	uint8_t bits = (entry & 0x1f) + 1;
	uint64_t itt = (entry >> 5 & 0xfffffffffff) << 8, gpa;
	int ret;

	if (!(entry & VALID))
		return 1;
	if (bits > 16 || !has_entry(kvm, its->baser[0], id, &gpa))
		return -EINVAL;
	if (its->nr_devices == FAKE_DEVICES)
		return -ENOMEM;
	its->devices[its->nr_devices++] = (struct fake_device){ .id = id, .bits = bits, .itt = itt };
	ret = scan(kvm, its, itt, 8ULL << bits, 0, restore_ite);
	return ret < 0 ? ret : (int)(entry >> 49 & MAX_DTE_NEXT);
}

static int restore_l1e(struct fake_kvm *kvm, struct fake_its *its, uint32_t id, uint64_t entry)
{
	if (!(entry & VALID))
		return 1;
	return scan(kvm, its, entry & 0xfffffffff0000, SIZE_64K, id * (SIZE_64K / 8), restore_dte);
}

static int restore_tables(struct fake_kvm *kvm, struct fake_its *its)
{
	int ret = 0;

	if (its->baser[1] & VALID)
		ret = scan(kvm, its, table_base(its->baser[1]), table_size(its->baser[1]), 0, restore_cte);
	if (ret >= 0 && its->baser[0] & VALID)
		ret = scan(kvm, its, table_base(its->baser[0]), table_size(its->baser[0]), 0,
			   its->baser[0] & INDIRECT ? restore_l1e : restore_dte);
	if (ret < 0)
		its->nr_collections = its->nr_devices = 0;
	return ret < 0 ? ret : 0;
}

/* Registers */

void fake_its_run_commands(struct fake_its *its)
{
	while (its->enabled && its->creadr != its->cwriter) {
		its->executed[its->creadr / COMMAND % FAKE_COMMANDS]++;
		its->creadr += COMMAND;
		if (its->creadr == QUEUE_SIZE(its))
			its->creadr = 0;
	}
}

static void set_ctlr(struct fake_its *its, uint64_t value)
{
	if (!its->enabled && value & 1 && !(its->baser[0] & its->baser[1] & its->cbaser & VALID))
		return;
	its->enabled = value & 1;
	fake_its_run_commands(its);
}

static void set_cbaser(struct fake_its *its, uint64_t value)
{
	if (its->enabled)
		return;
	its->cbaser = value & ~0xf000ULL;
	its->creadr = its->cwriter = 0;
}

static void set_cwriter(struct fake_its *its, uint64_t value)
{
	value &= 0xfffe0;
	if (value >= QUEUE_SIZE(its))
		return;
	its->cwriter = value;
	fake_its_run_commands(its);
}

static int set_creadr(struct fake_its *its, uint64_t value)
{
	value &= 0xfffe0;
	if (its->enabled)
		return -EBUSY;
	if (value >= QUEUE_SIZE(its))
		return -EINVAL;
	its->creadr = value;
	return 0;
}

/* Type and size of entries are KVM's; a table at another place is an empty one. */
static void set_baser(struct fake_its *its, uint32_t n, uint64_t value)
{
	static const uint64_t type[] = { 1, 4 };

	if (its->enabled || n > 1)
		return;
	value = (value & ~(0x71f000000000300ULL | (n ? INDIRECT : 0))) | type[n] << 56 | 7ULL << 48 |
		BASER_PAGES_64K;
	if (value == its->baser[n])
		return;
	its->baser[n] = value;
	if (n)
		its->nr_collections = 0;
	else
		its->nr_devices = 0;
}

static int set_reg(struct fake_its *its, uint32_t offset, uint64_t value)
{
	switch (offset) {
	case GITS_CTLR:
		set_ctlr(its, value);
		return 0;
	case GITS_IIDR:
		if (value >> 12 & 0xf)
			return -EINVAL;
		return 0;
	case GITS_CBASER:
		set_cbaser(its, value);
		return 0;
	case GITS_CWRITER:
		set_cwriter(its, value);
		return 0;
	case GITS_CREADR:
		return set_creadr(its, value);
	}
	if (offset >= GITS_BASER)
		set_baser(its, (offset - GITS_BASER) / 8, value);
	return 0;
}

static uint64_t get_reg(const struct fake_its *its, uint32_t offset)
{
	switch (offset) {
	case GITS_CTLR:
		return its->enabled | (uint32_t)(its->creadr == its->cwriter) << 31;
	case GITS_IIDR:
		return its->iidr;
	case GITS_TYPER:
		return its->typer;
	case GITS_CBASER:
		return its->cbaser;
	case GITS_CWRITER:
		return its->cwriter;
	case GITS_CREADR:
		return its->creadr;
	}
	return offset < GITS_BASER + 16 ? its->baser[(offset - GITS_BASER) / 8] : 0;
}

static const struct {
	uint32_t offset;
	const char *name;
} regs[] = {
	{ GITS_CTLR, "GITS_CTLR" },	{ GITS_IIDR, "GITS_IIDR" },	  { GITS_TYPER, "GITS_TYPER" },
	{ GITS_CBASER, "GITS_CBASER" }, { GITS_CWRITER, "GITS_CWRITER" }, { GITS_CREADR, "GITS_CREADR" },
};

static const char *reg_name(uint64_t offset)
{
	for (size_t r = 0; r < sizeof(regs) / sizeof(regs[0]); r++)
		if (regs[r].offset == offset)
			return regs[r].name;
	return offset >= GITS_BASER && offset < GITS_BASER + 64 ? "GITS_BASER" : NULL;
}

static int access_reg(struct fake_its *its, uint64_t offset, uint64_t *value, bool set)
{
	if (offset & (offset < GITS_TYPER ? 3 : 7))
		return -EINVAL;
	if (its->base == VGIC_ADDR_UNSET || !reg_name(offset))
		return -ENXIO;
	if (set)
		return set_reg(its, offset, *value);
	*value = get_reg(its, offset);
	return 0;
}

static int access_addr(struct fake_its *its, uint64_t *value, bool set)
{
	if (!set) {
		*value = its->base;
		return 0;
	}
	if (its->base != VGIC_ADDR_UNSET)
		return -EEXIST;
	if (*value % SIZE_64K)
		return -EINVAL;
	if (*value >= 1ULL << IPA_BITS || *value + FRAME > 1ULL << IPA_BITS)
		return -E2BIG;
	its->base = *value;
	return 0;
}

static int control(struct fake_kvm *kvm, struct fake_its *its, uint64_t attr)
{
	switch (attr) {
	case KVM_DEV_ARM_VGIC_CTRL_INIT:
		return 0;
	case KVM_DEV_ARM_ITS_SAVE_TABLES:
		return save_tables(kvm, its);
	case KVM_DEV_ARM_ITS_RESTORE_TABLES:
		return restore_tables(kvm, its);
	}
	return -ENXIO;
}

int64_t fake_its_ioctl(struct fake_kvm *kvm, uint32_t i, unsigned long req, void *arg)
{
	const struct kvm_device_attr *attr = arg;
	void *value = (void *)(uintptr_t)attr->addr;
	bool set = req == KVM_SET_DEVICE_ATTR;

	if (req != KVM_SET_DEVICE_ATTR && req != KVM_GET_DEVICE_ATTR)
		return -ENOTTY;
	switch (attr->group) {
	case KVM_DEV_ARM_VGIC_GRP_ADDR:
		return attr->attr == KVM_VGIC_ITS_ADDR_TYPE ? access_addr(&kvm->its[i], value, set) : -ENODEV;
	case KVM_DEV_ARM_VGIC_GRP_CTRL:
		return set ? control(kvm, &kvm->its[i], attr->attr) : -ENXIO;
	case KVM_DEV_ARM_VGIC_GRP_ITS_REGS:
		return access_reg(&kvm->its[i], attr->attr, value, set);
	}
	return -ENXIO;
}

/* What a call says: "its 0: SET GITS_CBASER 0x80 = 0x..." */
void fake_its_describe(uint32_t i, unsigned long req, const void *arg, char *line)
{
	static const char *const ctrl[] = { "INIT", "SAVE_TABLES", "RESTORE_TABLES" };
	const struct kvm_device_attr *attr = arg;
	const char *how = req == KVM_SET_DEVICE_ATTR ? "SET" : "GET", *name = reg_name(attr->attr);
	uint64_t value = 0;
	int n;

	if (attr->group == KVM_DEV_ARM_VGIC_GRP_CTRL) {
		snprintf(line, FAKE_LINE, "its %u: %s CTRL %s", i, how,
			 attr->attr < 3 ? ctrl[attr->attr] : "?");
		return;
	}
	if (attr->group == KVM_DEV_ARM_VGIC_GRP_ADDR)
		n = snprintf(line, FAKE_LINE, "its %u: %s ADDR ITS", i, how);
	else
		n = snprintf(line, FAKE_LINE, "its %u: %s %s %#" PRIx64, i, how, name ? name : "?",
			     (uint64_t)attr->attr);
	memcpy(&value, (void *)(uintptr_t)attr->addr, sizeof(value));
	if (req == KVM_SET_DEVICE_ATTR)
		snprintf(line + n, FAKE_LINE - n, " = %#" PRIx64, value);
}

/* As KVM_CREATE_DEVICE leaves it. */
void fake_its_reset(struct fake_its *its)
{
	*its = (struct fake_its){ .base = VGIC_ADDR_UNSET, .typer = 0x1ef71, .iidr = 0x4b00043b };
	set_baser(its, 0, 0);
	set_baser(its, 1, 0);
}
