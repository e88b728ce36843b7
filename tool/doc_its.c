// SPDX-License-Identifier: GPL-2.0-only
/* The document: ITSes, and LPIs. */
#include <stdlib.h>

#include "document.h"

/* Of a table as lpi_table has it, from INTID 8192 on; what is behind its end is 0. */
static unsigned int config_of(const struct lpi_state *lpi, uint32_t n)
{
	return n < lpi->config.size ? lpi->config.bytes[n] : 0;
}

static bool is_pending(const struct lpi_table *table, uint32_t n)
{
	return n / 8 < table->size && table->bytes[n / 8] >> n % 8 & 1;
}

static int32_t vcpu_of_rdbase(const struct vm_state *vm, uint32_t id)
{
	for (size_t v = 0; v < vm->nr_vcpus; v++)
		if (vm->vcpus[v].id == id)
			return v;
	return -1;
}

/* The vCPUs of @its's collections, by ICID: an index, or -1. For free(). */
static int32_t *vcpus_by_icid(const struct vm_state *vm, const struct its_state *its)
{
	int32_t *vcpus = malloc(ITS_MAX_IDS * sizeof(*vcpus));

	if (!vcpus)
		tool_no_memory();
	for (size_t i = 0; i < ITS_MAX_IDS; i++)
		vcpus[i] = -1;
	for (size_t i = its->tables.nr_ctes; i--;)
		vcpus[its_cte_icid(its->tables.ctes[i])] = vcpu_of_rdbase(vm, its_cte_rdbase(its->tables.ctes[i]));
	return vcpus;
}

static json_t *vcpu_of(const int32_t *vcpus, uint16_t icid)
{
	return vcpus[icid] < 0 ? json_null() : number(vcpus[icid]);
}

static json_t *collections(const struct its_state *its, const int32_t *vcpus)
{
	json_t *list = new_array();

	for (size_t i = 0; i < its->tables.nr_ctes; i++) {
		uint64_t cte = its->tables.ctes[i];
		json_t *c = new_object();

		put(c, "icid", number(its_cte_icid(cte)));
		put(c, "rdbase", hex(its_cte_rdbase(cte)));
		put(c, "vcpu", vcpu_of(vcpus, its_cte_icid(cte)));
		add(list, c);
	}
	return list;
}

static json_t *events(const struct its_tables *t, const struct its_dte *dte, const int32_t *vcpus)
{
	json_t *list = new_array();

	for (size_t i = 0; i < dte->nr_ites; i++) {
		uint64_t ite = its_ite(t, dte, i);
		json_t *event = new_object();

		put(event, "event_id", number(its_event_id(t, dte, i)));
		put(event, "intid", number(its_ite_pintid(ite)));
		put(event, "icid", number(its_ite_icid(ite)));
		put(event, "next", number(its_ite_next(ite)));
		put(event, "vcpu", vcpu_of(vcpus, its_ite_icid(ite)));
		add(list, event);
	}
	return list;
}

static json_t *devices(const struct its_state *its, const int32_t *vcpus)
{
	json_t *list = new_array();

	for (size_t i = 0; i < its->tables.nr_dtes; i++) {
		const struct its_dte *dte = &its->tables.dtes[i];
		json_t *d = new_object();

		put(d, "device_id", number(dte->device_id));
		put(d, "event_bits", number(its_dte_size(dte->entry) + 1));
		put(d, "itt", hex(its_dte_itt_addr(dte->entry)));
		put(d, "next", number(its_dte_next(dte->entry)));
		put(d, "events", events(&its->tables, dte, vcpus));
		add(list, d);
	}
	return list;
}

static json_t *level1(const struct its_state *its)
{
	json_t *list = new_array();

	for (size_t i = 0; i < its->tables.nr_l1es; i++) {
		json_t *l1e = new_object();

		put(l1e, "index", number(its->tables.l1es[i].index));
		put(l1e, "address", hex(its_l1e_addr(its->tables.l1es[i].entry)));
		add(list, l1e);
	}
	return list;
}

static json_t *document_its(const struct vm_state *vm, size_t i)
{
	const struct its_state *its = &vm->itses[i];
	int32_t *vcpus = vcpus_by_icid(vm, its);
	json_t *d = new_object();

	put(d, "index", number(i));
	put(d, "fd", number(its->fd));
	put(d, "base", its->base == VGIC_ADDR_UNSET ? json_null() : hex(its->base));
	put(d, "enabled", truth(its_reg(its, "GITS_CTLR", 0) & 1));
	put(d, "regs", its->regs ? document_regs(its_regs, its_nr_regs, its->regs) : new_object());
	put(d, "level1", level1(its));
	put(d, "collections", collections(its, vcpus));
	put(d, "devices", devices(its, vcpus));
	free(vcpus);
	return d;
}

json_t *document_itses(const struct vm_state *vm)
{
	json_t *list = new_array();

	for (size_t i = 0; i < vm->nr_itses; i++)
		add(list, document_its(vm, i));
	return list;
}

static json_t *pending_on(const struct vm_state *vm, uint32_t n)
{
	json_t *list = new_array();

	for (size_t v = 0; v < vm->lpi->nr_pending; v++)
		if (is_pending(&vm->lpi->pending[v], n))
			add(list, number(v));
	return list;
}

/* Those that are configured or pending: the tables are mostly zeros. */
json_t *document_lpis(const struct vm_state *vm)
{
	json_t *list = new_array();

	for (uint32_t n = 0; vm->lpi && n < LPI_NR; n++) {
		unsigned int config = config_of(vm->lpi, n);
		json_t *on = pending_on(vm, n), *lpi;

		if (!config && !json_array_size(on)) {
			json_decref(on);
			continue;
		}
		lpi = new_object();
		put(lpi, "intid", number(LPI_MIN + n));
		put(lpi, "enabled", truth(config & 1));
		put(lpi, "priority", number(config & 0xfc));
		put(lpi, "config", hex(config));
		put(lpi, "pending_on", on);
		add(list, lpi);
	}
	return list;
}

json_t *document_index_lpis(json_t *vm)
{
	json_t *index = new_object(), *lpi;
	size_t i;

	json_array_foreach(json_object_get(vm, "lpis"), i, lpi) {
		char key[24];

		snprintf(key, sizeof(key), "%" PRId64, get_number(lpi, "intid"));
		put(index, key, json_incref(lpi));
	}
	return index;
}

json_t *document_lpi(json_t *index, int64_t intid)
{
	char key[24];

	snprintf(key, sizeof(key), "%" PRId64, intid);
	return json_object_get(index, key);
}
