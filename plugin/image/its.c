// SPDX-License-Identifier: GPL-2.0-only
/* kvm-its-<vm>.img: its.proto. */
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

/* Writing */

static void pack_ctes(KvmVgic__ItsCteEntry **list, const struct its_tables *t)
{
	for (size_t i = 0; i < t->nr_ctes; i++) {
		kvm_vgic__its_cte_entry__init(list[i]);
		list[i]->rdbase = t->ctes[i].rdbase;
		list[i]->icid = t->ctes[i].icid;
	}
}

static void pack_l1es(KvmVgic__ItsL1eEntry **list, const struct its_tables *t)
{
	for (size_t i = 0; i < t->nr_l1es; i++) {
		kvm_vgic__its_l1e_entry__init(list[i]);
		list[i]->index = t->l1es[i].index;
		list[i]->addr = t->l1es[i].addr;
	}
}

static void pack_its(struct frame_out *out, const struct its_state *its)
{
	KvmVgic__ItsDeviceEntry device = KVM_VGIC__ITS_DEVICE_ENTRY__INIT;
	KvmVgic__ItsEntry entry = KVM_VGIC__ITS_ENTRY__INIT;
	size_t nr_regs = its->regs ? its_nr_regs : 0;

	entry.its = &device;
	device.fd = its->fd;
	device.frame = its->base;
	device.n_ctes = its->tables.nr_ctes;
	device.n_l1es = its->tables.nr_l1es;
	if (ENTRY_LIST(out, nr_regs, device.regs) && ENTRY_LIST(out, device.n_ctes, device.ctes) &&
	    ENTRY_LIST(out, device.n_l1es, device.l1es)) {
		device.n_regs = vgic_pack_values(device.regs, its_regs, nr_regs, its->regs);
		pack_ctes(device.ctes, &its->tables);
		pack_l1es(device.l1es, &its->tables);
		frame_add(out, &entry.base);
	}
	free(device.regs);
	free(device.ctes);
	free(device.l1es);
}

static void pack_dte(struct frame_out *out, const struct its_dte *from)
{
	KvmVgic__ItsDteEntry dte = KVM_VGIC__ITS_DTE_ENTRY__INIT;
	KvmVgic__ItsEntry entry = KVM_VGIC__ITS_ENTRY__INIT;

	entry.dte = &dte;
	dte.device_id = from->device_id;
	dte.next = from->next;
	dte.itt_addr = from->itt_addr;
	dte.size = from->size;
	dte.n_ites = from->nr_ites;
	if (ENTRY_LIST(out, from->nr_ites, dte.ites)) {
		for (size_t i = 0; i < from->nr_ites; i++) {
			kvm_vgic__its_ite_entry__init(dte.ites[i]);
			dte.ites[i]->event_id = from->ites[i].event_id;
			dte.ites[i]->pintid = from->ites[i].pintid;
			dte.ites[i]->next = from->ites[i].next;
			dte.ites[i]->icid = from->ites[i].icid;
		}
		frame_add(out, &entry.base);
	}
	free(dte.ites);
}

static void pack_lpi(struct frame_out *out, const struct lpi_state *from)
{
	KvmVgic__LpiEntry lpi = KVM_VGIC__LPI_ENTRY__INIT;
	KvmVgic__ItsEntry entry = KVM_VGIC__ITS_ENTRY__INIT;

	entry.lpi = &lpi;
	lpi.config = (ProtobufCBinaryData){ .data = from->config.bytes, .len = from->config.size };
	lpi.n_pending = from->nr_pending;
	lpi.pending = calloc(from->nr_pending + 1, sizeof(*lpi.pending));
	if (!lpi.pending) {
		pr_err("%s: no memory for %zu pending tables\n", out->file, from->nr_pending);
		out->err = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < from->nr_pending; i++)
		lpi.pending[i] = (ProtobufCBinaryData){ .data = from->pending[i].bytes,
							.len = from->pending[i].size };
	frame_add(out, &entry.base);
	free(lpi.pending);
}

void its_pack(struct frame_out *out, const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_itses; i++) {
		pack_its(out, &vm->itses[i]);
		for (size_t d = 0; d < vm->itses[i].tables.nr_dtes; d++)
			pack_dte(out, &vm->itses[i].tables.dtes[d]);
	}
	if (vm->lpi)
		pack_lpi(out, vm->lpi);
}

/* Reading */

/* A field narrower in the state than on the wire: too large it would be another value. */
static int refuse_field(const struct frame_in *in, const char *field, uint64_t value, uint64_t max)
{
	pr_err("%s: entry %u: %s %llu, at most %llu expected\n", in->file, in->entry, field,
	       (unsigned long long)value, (unsigned long long)max);
	return -EINVAL;
}

static int unpack_ctes(const struct frame_in *in, const KvmVgic__ItsDeviceEntry *entry, struct its_tables *t)
{
	int ret;

	if (entry->n_ctes > ITS_MAX_IDS + 1)
		return refuse_field(in, "number of collections", entry->n_ctes, ITS_MAX_IDS + 1);
	ret = entry_alloc(in, &t->ctes, entry->n_ctes, sizeof(*t->ctes));
	if (ret)
		return ret;
	t->nr_ctes = entry->n_ctes;
	for (size_t i = 0; i < t->nr_ctes; i++) {
		if (entry->ctes[i]->icid > UINT16_MAX)
			return refuse_field(in, "ICID", entry->ctes[i]->icid, UINT16_MAX);
		t->ctes[i] = (struct its_cte){ .rdbase = entry->ctes[i]->rdbase,
					       .icid = entry->ctes[i]->icid };
	}
	return 0;
}

static int unpack_l1es(const struct frame_in *in, const KvmVgic__ItsDeviceEntry *entry, struct its_tables *t)
{
	int ret;

	if (entry->n_l1es > ITS_MAX_L1ES)
		return refuse_field(in, "number of level 1 entries", entry->n_l1es, ITS_MAX_L1ES);
	ret = entry_alloc(in, &t->l1es, entry->n_l1es, sizeof(*t->l1es));
	if (ret)
		return ret;
	t->nr_l1es = entry->n_l1es;
	for (size_t i = 0; i < t->nr_l1es; i++)
		t->l1es[i] =
			(struct its_l1e){ .index = entry->l1es[i]->index, .addr = entry->l1es[i]->addr };
	return 0;
}

static int unpack_its(const struct frame_in *in, const KvmVgic__ItsDeviceEntry *entry, struct vm_state *vm)
{
	struct its_state *its;
	int ret = 0;

	if (vm->nr_itses == VM_MAX_ITSES)
		return refuse_field(in, "number of ITSes", VM_MAX_ITSES + 1, VM_MAX_ITSES);
	if (!vm->itses)
		ret = entry_alloc(in, &vm->itses, VM_MAX_ITSES, sizeof(*vm->itses));
	if (ret)
		return ret;
	its = &vm->itses[vm->nr_itses++];
	its->fd = entry->fd;
	its->base = entry->frame;
	if (entry->n_regs)
		ret = vgic_unpack_values(in, "ITS", its_regs, its_nr_regs, entry->regs, entry->n_regs,
					 &its->regs);
	if (!ret)
		ret = unpack_ctes(in, entry, &its->tables);
	return ret ?: unpack_l1es(in, entry, &its->tables);
}

static int unpack_ites(const struct frame_in *in, const KvmVgic__ItsDteEntry *entry, struct its_dte *dte)
{
	int ret;

	if (entry->n_ites > ITS_MAX_IDS)
		return refuse_field(in, "number of interrupts", entry->n_ites, ITS_MAX_IDS);
	ret = entry_alloc(in, &dte->ites, entry->n_ites, sizeof(*dte->ites));
	if (ret)
		return ret;
	dte->nr_ites = entry->n_ites;
	for (size_t i = 0; i < dte->nr_ites; i++) {
		const KvmVgic__ItsIteEntry *from = entry->ites[i];

		if (from->next > UINT16_MAX || from->icid > UINT16_MAX)
			return refuse_field(in, from->next > UINT16_MAX ? "next" : "ICID",
					    from->next > UINT16_MAX ? from->next : from->icid, UINT16_MAX);
		dte->ites[i] = (struct its_ite){
			.event_id = from->event_id,
			.pintid = from->pintid,
			.next = from->next,
			.icid = from->icid,
		};
	}
	return 0;
}

/* One more element for a list that the file gives no number of. */
static struct its_dte *add_dte(const struct frame_in *in, struct its_tables *t)
{
	if (t->nr_dtes == t->room_dtes) {
		size_t room = t->room_dtes ? 2 * t->room_dtes : 64;
		struct its_dte *more = reallocarray(t->dtes, room, sizeof(*more));

		if (!more) {
			pr_err("%s: no memory for %zu devices\n", in->file, room);
			return NULL;
		}
		t->dtes = more;
		t->room_dtes = room;
	}
	return memset(&t->dtes[t->nr_dtes++], 0, sizeof(*t->dtes));
}

static int unpack_dte(const struct frame_in *in, const KvmVgic__ItsDteEntry *entry, struct vm_state *vm)
{
	struct its_dte *dte;

	if (!vm->nr_itses) {
		pr_err("%s: entry %u: a device before the first ITS\n", in->file, in->entry);
		return -EINVAL;
	}
	if (vm->itses[vm->nr_itses - 1].tables.nr_dtes > ITS_MAX_IDS)
		return refuse_field(in, "number of devices", ITS_MAX_IDS + 2, ITS_MAX_IDS + 1);
	if (entry->next > UINT16_MAX)
		return refuse_field(in, "next", entry->next, UINT16_MAX);
	if (entry->size > UINT8_MAX)
		return refuse_field(in, "Size", entry->size, UINT8_MAX);
	dte = add_dte(in, &vm->itses[vm->nr_itses - 1].tables);
	if (!dte)
		return -ENOMEM;
	dte->device_id = entry->device_id;
	dte->next = entry->next;
	dte->itt_addr = entry->itt_addr;
	dte->size = entry->size;
	return unpack_ites(in, entry, dte);
}

static int unpack_table(const struct frame_in *in, const ProtobufCBinaryData *from, uint32_t max,
			struct lpi_table *table)
{
	int ret;

	if (from->len > max)
		return refuse_field(in, "bytes of a table", from->len, max);
	ret = entry_alloc(in, &table->bytes, from->len, 1);
	if (ret)
		return ret;
	table->size = from->len;
	if (table->size)
		memcpy(table->bytes, from->data, table->size);
	return 0;
}

static int unpack_lpi(const struct frame_in *in, const KvmVgic__LpiEntry *entry, struct vm_state *vm)
{
	int ret;

	if (vm->lpi) {
		pr_err("%s: entry %u: LPIs: twice\n", in->file, in->entry);
		return -EINVAL;
	}
	if (entry->n_pending > VM_MAX_VCPUS)
		return refuse_field(in, "number of pending tables", entry->n_pending, VM_MAX_VCPUS);
	ret = entry_alloc(in, &vm->lpi, 1, sizeof(*vm->lpi));
	if (!ret)
		ret = entry_alloc(in, &vm->lpi->pending, entry->n_pending, sizeof(*vm->lpi->pending));
	if (ret)
		return ret;
	vm->lpi->nr_pending = entry->n_pending;
	ret = unpack_table(in, &entry->config, LPI_NR, &vm->lpi->config);
	for (size_t i = 0; i < vm->lpi->nr_pending && !ret; i++)
		ret = unpack_table(in, &entry->pending[i], LPI_NR / 8, &vm->lpi->pending[i]);
	return ret;
}

int its_unpack(const struct frame_in *in, const KvmVgic__ItsEntry *entry, struct vm_state *vm)
{
	if (!!entry->its + !!entry->dte + !!entry->lpi != 1) {
		pr_err("%s: entry %u: an ITS, a device or LPIs expected\n", in->file, in->entry);
		return -EINVAL;
	}
	if (entry->its)
		return unpack_its(in, entry->its, vm);
	return entry->dte ? unpack_dte(in, entry->dte, vm) : unpack_lpi(in, entry->lpi, vm);
}
