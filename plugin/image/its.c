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
	uint32_t *columns;

	entry.dte = &dte;
	dte.device_id = from->device_id;
	dte.next = from->next;
	dte.itt_addr = from->itt_addr;
	dte.size = from->size;
	dte.n_event_id = dte.n_pintid = dte.n_ite_next = dte.n_icid = from->nr_ites;
	dte.event_id = columns = entry_room(out, 4 * from->nr_ites, sizeof(*columns));
	if (!columns)
		return;
	dte.pintid = dte.event_id + from->nr_ites;
	dte.ite_next = dte.pintid + from->nr_ites;
	dte.icid = dte.ite_next + from->nr_ites;
	for (size_t i = 0; i < from->nr_ites; i++) {
		dte.event_id[i] = from->ites[i].event_id;
		dte.pintid[i] = from->ites[i].pintid;
		dte.ite_next[i] = from->ites[i].next;
		dte.icid[i] = from->ites[i].icid;
	}
	frame_add(out, &entry.base);
	free(columns);
}

static void pack_lpi_table(struct frame_out *out, KvmVgic__ItsEntry *entry, KvmVgic__LpiTableEntry *table,
			   const struct lpi_table *from)
{
	table->n_runs = byte_runs_pack(out, &table->runs, from->bytes, from->size);
	frame_add(out, &entry->base);
	free(table->runs);
}

static void pack_lpi(struct frame_out *out, const struct lpi_state *from)
{
	KvmVgic__LpiTableEntry config = KVM_VGIC__LPI_TABLE_ENTRY__INIT;
	KvmVgic__ItsEntry entry = KVM_VGIC__ITS_ENTRY__INIT;

	entry.lpi_config = &config;
	pack_lpi_table(out, &entry, &config, &from->config);
	entry.lpi_config = NULL;
	for (size_t i = 0; i < from->nr_pending; i++) {
		KvmVgic__LpiTableEntry pending = KVM_VGIC__LPI_TABLE_ENTRY__INIT;

		entry.lpi_pending = &pending;
		pack_lpi_table(out, &entry, &pending, &from->pending[i]);
	}
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
	size_t n = entry->n_event_id;
	int ret;

	if (n > ITS_MAX_IDS)
		return refuse_field(in, "number of interrupts", n, ITS_MAX_IDS);
	if (entry->n_pintid != n || entry->n_ite_next != n || entry->n_icid != n) {
		pr_err("%s: entry %u: %zu EventIDs, but %zu pINTIDs, %zu next, %zu ICIDs\n", in->file, in->entry,
		       n, entry->n_pintid, entry->n_ite_next, entry->n_icid);
		return -EINVAL;
	}
	ret = entry_alloc(in, &dte->ites, n, sizeof(*dte->ites));
	if (ret)
		return ret;
	dte->nr_ites = n;
	for (size_t i = 0; i < n; i++) {
		if (entry->ite_next[i] > UINT16_MAX)
			return refuse_field(in, "next", entry->ite_next[i], UINT16_MAX);
		if (entry->icid[i] > UINT16_MAX)
			return refuse_field(in, "ICID", entry->icid[i], UINT16_MAX);
		dte->ites[i] = (struct its_ite){
			.event_id = entry->event_id[i],
			.pintid = entry->pintid[i],
			.next = entry->ite_next[i],
			.icid = entry->icid[i],
		};
	}
	return 0;
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
	dte = its_tables_add_dte(&vm->itses[vm->nr_itses - 1].tables);
	if (!dte) {
		pr_err("%s: entry %u: no memory for one more device\n", in->file, in->entry);
		return -ENOMEM;
	}
	dte->device_id = entry->device_id;
	dte->next = entry->next;
	dte->itt_addr = entry->itt_addr;
	dte->size = entry->size;
	return unpack_ites(in, entry, dte);
}

static int unpack_lpi_table(const struct frame_in *in, const KvmVgic__LpiTableEntry *entry, uint32_t max,
			    struct lpi_table *table)
{
	uint32_t size;
	int ret = byte_runs_end(in, "a table", entry->runs, entry->n_runs, max, &size);

	if (!ret)
		ret = entry_alloc(in, &table->bytes, size, 1);
	if (ret)
		return ret;
	table->size = size;
	byte_runs_unpack(entry->runs, entry->n_runs, table->bytes);
	return 0;
}

static int unpack_lpi_config(const struct frame_in *in, const KvmVgic__LpiTableEntry *entry, struct vm_state *vm)
{
	int ret;

	if (vm->lpi) {
		pr_err("%s: entry %u: LPI configuration: twice\n", in->file, in->entry);
		return -EINVAL;
	}
	ret = entry_alloc(in, &vm->lpi, 1, sizeof(*vm->lpi));
	if (!ret)
		ret = entry_alloc(in, &vm->lpi->pending, VM_MAX_VCPUS, sizeof(*vm->lpi->pending));
	return ret ?: unpack_lpi_table(in, entry, LPI_NR, &vm->lpi->config);
}

static int unpack_lpi_pending(const struct frame_in *in, const KvmVgic__LpiTableEntry *entry, struct vm_state *vm)
{
	if (!vm->lpi) {
		pr_err("%s: entry %u: an LPI pending table before the configuration\n", in->file, in->entry);
		return -EINVAL;
	}
	if (vm->lpi->nr_pending == VM_MAX_VCPUS)
		return refuse_field(in, "number of pending tables", VM_MAX_VCPUS + 1, VM_MAX_VCPUS);
	return unpack_lpi_table(in, entry, LPI_NR / 8, &vm->lpi->pending[vm->lpi->nr_pending++]);
}

int its_unpack(const struct frame_in *in, const KvmVgic__ItsEntry *entry, struct vm_state *vm)
{
	if (!!entry->its + !!entry->dte + !!entry->lpi_config + !!entry->lpi_pending != 1) {
		pr_err("%s: entry %u: an ITS, a device or a table of LPIs expected\n", in->file, in->entry);
		return -EINVAL;
	}
	if (entry->its)
		return unpack_its(in, entry->its, vm);
	if (entry->dte)
		return unpack_dte(in, entry->dte, vm);
	return entry->lpi_config ? unpack_lpi_config(in, entry->lpi_config, vm) :
				   unpack_lpi_pending(in, entry->lpi_pending, vm);
}
