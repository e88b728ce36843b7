// SPDX-License-Identifier: GPL-2.0-only
/* kvm-its-<vm>.img: its.proto. */
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

/* Writing */

/* Whether all interrupts of each device are one after the other, from EventID 0 on: the file does not name them then. */
static bool is_dense(const struct its_tables *t)
{
	for (size_t d = 0; d < t->nr_dtes; d++)
		for (size_t i = 0; i < t->dtes[d].nr_ites; i++)
			if (its_event_id(t, &t->dtes[d], i) != i)
				return false;
	return true;
}

static void pack_l1es(KvmVgic__ItsDeviceEntry *device, const struct its_tables *t)
{
	device->n_l1_index = device->n_l1e = t->nr_l1es;
	for (size_t i = 0; i < t->nr_l1es; i++) {
		device->l1_index[i] = t->l1es[i].index;
		device->l1e[i] = t->l1es[i].entry;
	}
}

static void pack_dtes(KvmVgic__ItsDeviceEntry *device, const struct its_tables *t)
{
	device->n_device_id = device->n_dte = device->n_nr_ites = t->nr_dtes;
	for (size_t i = 0; i < t->nr_dtes; i++) {
		device->device_id[i] = t->dtes[i].device_id;
		device->dte[i] = t->dtes[i].entry;
		device->nr_ites[i] = t->dtes[i].nr_ites;
	}
}

/* Room for what is not in columns in @t, of two kinds, for free(); false: there is no memory. */
static bool make_columns(struct frame_out *out, KvmVgic__ItsDeviceEntry *device, const struct its_tables *t)
{
	device->l1e = entry_room(out, t->nr_l1es + t->nr_dtes, sizeof(*device->l1e));
	device->l1_index = entry_room(out, t->nr_l1es + 2 * t->nr_dtes, sizeof(*device->l1_index));
	if (!device->l1e || !device->l1_index)
		return false;
	device->dte = device->l1e + t->nr_l1es;
	device->device_id = device->l1_index + t->nr_l1es;
	device->nr_ites = device->device_id + t->nr_dtes;
	return true;
}

static void pack_its(struct frame_out *out, const struct its_state *its)
{
	KvmVgic__ItsDeviceEntry device = KVM_VGIC__ITS_DEVICE_ENTRY__INIT;
	KvmVgic__ItsEntry entry = KVM_VGIC__ITS_ENTRY__INIT;
	const struct its_tables *t = &its->tables;
	size_t nr_regs = its->regs ? its_nr_regs : 0;

	entry.its = &device;
	device.fd = its->fd;
	device.frame = its->base;
	device.n_cte = t->nr_ctes;
	device.cte = t->ctes;
	device.n_event_id = is_dense(t) ? 0 : t->nr_ites;
	device.event_id = t->event_ids;
	device.n_ite = t->nr_ites;
	device.ite = t->ites;
	device.n_regs = vgic_pack_values(out, &device.regs, its_regs, nr_regs, &its->regs, 1);
	if (make_columns(out, &device, t)) {
		pack_l1es(&device, t);
		pack_dtes(&device, t);
		frame_add(out, &entry.base);
	}
	free(device.regs);
	free(device.l1e);
	free(device.l1_index);
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
	for (size_t i = 0; i < vm->nr_itses; i++)
		pack_its(out, &vm->itses[i]);
	if (vm->lpi)
		pack_lpi(out, vm->lpi);
}

/* Reading */

static int refuse_number(const struct frame_in *in, const char *of, size_t n, size_t max)
{
	pr_err("%s: entry %u: number of %s %zu, at most %zu expected\n", in->file, in->entry, of, n, max);
	return -EINVAL;
}

/* Of columns of one table. */
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

/* Without their interrupts, of which *@nr_ites is the number. */
static int unpack_dtes(const struct frame_in *in, const KvmVgic__ItsDeviceEntry *entry, struct its_tables *t,
		       uint64_t *nr_ites)
{
	int ret;

	if (entry->n_dte > ITS_MAX_IDS + 1)
		return refuse_number(in, "devices", entry->n_dte, ITS_MAX_IDS + 1);
	if (entry->n_device_id != entry->n_dte)
		return refuse_uneven(in, entry->n_device_id, "DeviceIDs", entry->n_dte);
	if (entry->n_nr_ites != entry->n_dte)
		return refuse_uneven(in, entry->n_nr_ites, "numbers of interrupts", entry->n_dte);
	ret = entry_alloc(in, &t->dtes, entry->n_dte, sizeof(*t->dtes));
	if (ret)
		return ret;
	t->nr_dtes = entry->n_dte;
	*nr_ites = 0;
	for (size_t i = 0; i < t->nr_dtes; i++) {
		t->dtes[i] = (struct its_dte){
			.device_id = entry->device_id[i],
			.entry = entry->dte[i],
			.first_ite = *nr_ites,
			.nr_ites = entry->nr_ites[i],
		};
		*nr_ites += entry->nr_ites[i];
	}
	return 0;
}

static int unpack_ites(const struct frame_in *in, const KvmVgic__ItsDeviceEntry *entry, struct its_tables *t)
{
	int ret;

	if (entry->n_event_id && entry->n_event_id != entry->n_ite)
		return refuse_uneven(in, entry->n_event_id, "EventIDs", entry->n_ite);
	if (entry->n_ite > ITS_MAX_ITES + 1)
		return refuse_number(in, "interrupts", entry->n_ite, ITS_MAX_ITES + 1);
	ret = entry_alloc(in, &t->ites, entry->n_ite, sizeof(*t->ites));
	ret = ret ?: entry_alloc(in, &t->event_ids, entry->n_ite, sizeof(*t->event_ids));
	if (ret)
		return ret;
	t->nr_ites = entry->n_ite;
	for (size_t d = 0; d < t->nr_dtes; d++) {
		const struct its_dte *dte = &t->dtes[d];

		for (size_t i = 0, at = dte->first_ite; i < dte->nr_ites; i++, at++) {
			t->ites[at] = entry->ite[at];
			t->event_ids[at] = entry->n_event_id ? entry->event_id[at] : i;
		}
	}
	return 0;
}

static int unpack_devices(const struct frame_in *in, const KvmVgic__ItsDeviceEntry *entry, struct its_tables *t)
{
	uint64_t nr_ites;
	int ret = unpack_dtes(in, entry, t, &nr_ites);

	if (!ret && nr_ites != entry->n_ite) {
		pr_err("%s: entry %u: devices of %llu interrupts, but %zu entries\n", in->file, in->entry,
		       (unsigned long long)nr_ites, entry->n_ite);
		ret = -EINVAL;
	}
	return ret ?: unpack_ites(in, entry, t);
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
	if (!ret)
		ret = unpack_l1es(in, entry, &its->tables);
	return ret ?: unpack_devices(in, entry, &its->tables);
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
	if (!!entry->its + !!entry->lpi_config + !!entry->lpi_pending != 1) {
		pr_err("%s: entry %u: an ITS or a table of LPIs expected\n", in->file, in->entry);
		return -EINVAL;
	}
	if (entry->its)
		return unpack_its(in, entry->its, vm);
	return entry->lpi_config ? unpack_lpi_config(in, entry->lpi_config, vm) :
				   unpack_lpi_pending(in, entry->lpi_pending, vm);
}
