// SPDX-License-Identifier: GPL-2.0-only
/* kvm-its-<vm>.img: its.proto. */
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

/* Writing */

/* Level 1 entries by columns: for free(); false: there is no memory. */
static bool pack_l1es(struct frame_out *out, KvmVgic__ItsDeviceEntry *device, const struct its_tables *t)
{
	device->n_l1_index = device->n_l1e = t->nr_l1es;
	device->l1_index = entry_room(out, t->nr_l1es, sizeof(*device->l1_index));
	device->l1e = entry_room(out, t->nr_l1es, sizeof(*device->l1e));
	if (!device->l1_index || !device->l1e)
		return false;
	for (size_t i = 0; i < t->nr_l1es; i++) {
		device->l1_index[i] = t->l1es[i].index;
		device->l1e[i] = t->l1es[i].entry;
	}
	return true;
}

static void pack_its(struct frame_out *out, const struct its_state *its)
{
	KvmVgic__ItsDeviceEntry device = KVM_VGIC__ITS_DEVICE_ENTRY__INIT;
	KvmVgic__ItsEntry entry = KVM_VGIC__ITS_ENTRY__INIT;
	size_t nr_regs = its->regs ? its_nr_regs : 0;

	entry.its = &device;
	device.fd = its->fd;
	device.frame = its->base;
	device.n_cte = its->tables.nr_ctes;
	device.cte = its->tables.ctes;
	if (ENTRY_LIST(out, nr_regs, device.regs) && pack_l1es(out, &device, &its->tables)) {
		device.n_regs = vgic_pack_values(device.regs, its_regs, nr_regs, its->regs);
		frame_add(out, &entry.base);
	}
	free(device.regs);
	free(device.l1_index);
	free(device.l1e);
}

/* Whether the interrupts of @dte are one after the other, from EventID 0 on: the file does not name them then. */
static bool is_dense(const struct its_tables *t, const struct its_dte *dte)
{
	for (size_t i = 0; i < dte->nr_ites; i++)
		if (its_event_id(t, dte, i) != i)
			return false;
	return true;
}

static void pack_dte(struct frame_out *out, const struct its_tables *t, const struct its_dte *from)
{
	KvmVgic__ItsDteEntry dte = KVM_VGIC__ITS_DTE_ENTRY__INIT;
	KvmVgic__ItsEntry entry = KVM_VGIC__ITS_ENTRY__INIT;

	entry.dte = &dte;
	dte.device_id = from->device_id;
	dte.dte = from->entry;
	if (from->nr_ites) {
		dte.n_event_id = is_dense(t, from) ? 0 : from->nr_ites;
		dte.event_id = &t->event_ids[from->first_ite];
		dte.n_ite = from->nr_ites;
		dte.ite = &t->ites[from->first_ite];
	}
	frame_add(out, &entry.base);
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
		const struct its_tables *t = &vm->itses[i].tables;

		pack_its(out, &vm->itses[i]);
		for (size_t d = 0; d < t->nr_dtes; d++)
			pack_dte(out, t, &t->dtes[d]);
	}
	if (vm->lpi)
		pack_lpi(out, vm->lpi);
}

/* Reading */

static int refuse_number(const struct frame_in *in, const char *of, size_t n, size_t max)
{
	pr_err("%s: entry %u: number of %s %zu, at most %zu expected\n", in->file, in->entry, of, n, max);
	return -EINVAL;
}

/* Of two columns. */
static int refuse_uneven(const struct frame_in *in, size_t n, const char *of, size_t nr_entries)
{
	pr_err("%s: entry %u: %zu %s, but %zu entries\n", in->file, in->entry, n, of, nr_entries);
	return -EINVAL;
}

static int unpack_ctes(const struct frame_in *in, const KvmVgic__ItsDeviceEntry *entry, struct its_tables *t)
{
	int ret;

	if (entry->n_cte > ITS_MAX_IDS + 1)
		return refuse_number(in, "collections", entry->n_cte, ITS_MAX_IDS + 1);
	ret = entry_alloc(in, &t->ctes, entry->n_cte, sizeof(*t->ctes));
	if (ret)
		return ret;
	t->nr_ctes = entry->n_cte;
	for (size_t i = 0; i < t->nr_ctes; i++)
		t->ctes[i] = entry->cte[i];
	return 0;
}

static int unpack_l1es(const struct frame_in *in, const KvmVgic__ItsDeviceEntry *entry, struct its_tables *t)
{
	int ret;

	if (entry->n_l1e > ITS_MAX_L1ES)
		return refuse_number(in, "level 1 entries", entry->n_l1e, ITS_MAX_L1ES);
	if (entry->n_l1_index != entry->n_l1e)
		return refuse_uneven(in, entry->n_l1_index, "level 1 indices", entry->n_l1e);
	ret = entry_alloc(in, &t->l1es, entry->n_l1e, sizeof(*t->l1es));
	if (ret)
		return ret;
	t->nr_l1es = entry->n_l1e;
	for (size_t i = 0; i < t->nr_l1es; i++)
		t->l1es[i] = (struct its_l1e){ .index = entry->l1_index[i], .entry = entry->l1e[i] };
	return 0;
}

static int unpack_its(const struct frame_in *in, const KvmVgic__ItsDeviceEntry *entry, struct vm_state *vm)
{
	struct its_state *its;
	int ret = 0;

	if (vm->nr_itses == VM_MAX_ITSES)
		return refuse_number(in, "ITSes", VM_MAX_ITSES + 1, VM_MAX_ITSES);
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

static int unpack_dte(const struct frame_in *in, const KvmVgic__ItsDteEntry *entry, struct vm_state *vm)
{
	struct its_tables *t;
	struct its_dte *dte;

	if (!vm->nr_itses) {
		pr_err("%s: entry %u: a device before the first ITS\n", in->file, in->entry);
		return -EINVAL;
	}
	t = &vm->itses[vm->nr_itses - 1].tables;
	if (t->nr_dtes > ITS_MAX_IDS)
		return refuse_number(in, "devices", ITS_MAX_IDS + 2, ITS_MAX_IDS + 1);
	if (entry->n_ite > ITS_MAX_IDS)
		return refuse_number(in, "interrupts", entry->n_ite, ITS_MAX_IDS);
	if (entry->n_event_id && entry->n_event_id != entry->n_ite)
		return refuse_uneven(in, entry->n_event_id, "EventIDs", entry->n_ite);
	dte = its_tables_add_dte(t, entry->device_id, entry->dte);
	if (!dte || !its_tables_grow_ites(t, entry->n_ite)) {
		pr_err("%s: entry %u: no memory for one more device\n", in->file, in->entry);
		return -ENOMEM;
	}
	dte->nr_ites = entry->n_ite;
	for (size_t i = 0; i < dte->nr_ites; i++, t->nr_ites++) {
		t->event_ids[t->nr_ites] = entry->n_event_id ? entry->event_id[i] : i;
		t->ites[t->nr_ites] = entry->ite[i];
	}
	return 0;
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
		return refuse_number(in, "pending tables", VM_MAX_VCPUS + 1, VM_MAX_VCPUS);
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
