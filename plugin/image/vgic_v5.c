// SPDX-License-Identifier: GPL-2.0-only
/* A GICv5 in kvm-vgic-<vm>.img: vgic_v5_entry of vgic.proto. */
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

/* The fields of an ISTE, each a column of the message: as the table below, so there. */
#define NR_COLUMNS 8

static const struct {
	const char *name;
	uint32_t first, bits;
} columns[NR_COLUMNS] = {
	{ "pending", 0, 1 },	  { "active", 1, 1 }, { "handling_mode", 2, 1 }, { "enable", 3, 1 },
	{ "routing_mode", 4, 1 }, { "other", 5, 6 },  { "priority", 11, 5 },	  { "iaffid", 16, 16 },
};

struct column {
	uint32_t **v;
	size_t *n;
};

static void columns_of(KvmVgic__VgicV5Ist *ist, struct column list[NR_COLUMNS])
{
	const struct column of[NR_COLUMNS] = {
		{ &ist->pending, &ist->n_pending },	       { &ist->active, &ist->n_active },
		{ &ist->handling_mode, &ist->n_handling_mode }, { &ist->enable, &ist->n_enable },
		{ &ist->routing_mode, &ist->n_routing_mode },   { &ist->other, &ist->n_other },
		{ &ist->priority, &ist->n_priority },	       { &ist->iaffid, &ist->n_iaffid },
	};

	memcpy(list, of, sizeof(of));
}

static uint32_t field_of(uint32_t iste, size_t column)
{
	return iste >> columns[column].first & ((1u << columns[column].bits) - 1);
}

/* Writing */

static bool is_next_run(const struct vgic_v5_ist *ist, uint32_t i)
{
	return !i || ist->iste[i] != ist->iste[i - 1];
}

static size_t count_runs(const struct vgic_v5_ist *ist)
{
	size_t nr = 0;

	for (uint32_t i = 0; i < ist->nr; i++)
		nr += is_next_run(ist, i);
	return nr;
}

/* All columns are one block, which msg->count begins; for free(). */
static bool pack_ist(struct frame_out *out, KvmVgic__VgicV5Ist *msg, const struct vgic_v5_ist *ist)
{
	size_t nr = count_runs(ist), run = 0;
	struct column list[NR_COLUMNS];

	msg->count = calloc((NR_COLUMNS + 1) * nr + 1, sizeof(*msg->count));
	if (!msg->count) {
		pr_err("%s: no memory for %u interrupts\n", out->file, ist->nr);
		out->err = -ENOMEM;
		return false;
	}
	msg->n_count = nr;
	columns_of(msg, list);
	for (size_t c = 0; c < NR_COLUMNS; c++) {
		*list[c].v = msg->count + (c + 1) * nr;
		*list[c].n = nr;
	}
	for (uint32_t i = 0; i < ist->nr; i++) {
		run += is_next_run(ist, i);
		msg->count[run - 1]++;
		for (size_t c = 0; c < NR_COLUMNS; c++)
			(*list[c].v)[run - 1] = field_of(ist->iste[i], c);
	}
	return true;
}

void vgic_v5_pack(struct frame_out *out, const struct vgic_v5_state *gic)
{
	KvmVgic__VgicV5Ist spi = KVM_VGIC__VGIC_V5_IST__INIT, lpi = KVM_VGIC__VGIC_V5_IST__INIT;
	KvmVgic__VgicEntry entry = KVM_VGIC__VGIC_ENTRY__INIT;
	KvmVgic__VgicV5Entry v5 = KVM_VGIC__VGIC_V5_ENTRY__INIT;

	entry.v5 = &v5;
	v5.fd = gic->fd;
	v5.form = gic->form == VGIC_V5_RAW ? KVM_VGIC__VGIC_V5_FORM__VGIC_V5_RAW :
					     KVM_VGIC__VGIC_V5_FORM__VGIC_V5_DESCRIPTOR;
	v5.nr_spis = gic->nr_spis;
	v5.irs_frame = gic->irs_base;
	v5.n_userspace_ppis = 2;
	v5.userspace_ppis = (uint64_t *)gic->userspace_ppis;
	v5.n_pe_cr0 = gic->pe_cr0.nr;
	v5.pe_cr0 = gic->pe_cr0.v;
	v5.n_spi_cfgr = gic->spi_cfgr.nr;
	v5.spi_cfgr = gic->spi_cfgr.v;
	v5.spi = &spi;
	v5.lpi = &lpi;
	v5.nr_cpus = gic->nr_cpus;
	v5.n_id = vgic_pack_values(out, &v5.id, vgic_v5_id_regs, vgic_v5_nr_id_regs, &gic->id, 1);
	v5.n_irs = vgic_pack_values(out, &v5.irs, vgic_v5_irs_regs, vgic_v5_nr_irs_regs, &gic->irs, 1);
	v5.n_cpuif = vgic_pack_values(out, &v5.cpuif, vgic_v5_cpuif_regs, vgic_v5_nr_cpuif_regs, gic->cpuif,
				      gic->nr_cpus);
	if (pack_ist(out, &spi, &gic->spi) && pack_ist(out, &lpi, &gic->lpi))
		frame_add(out, &entry.base);
	free(spi.count);
	free(lpi.count);
	free(v5.id);
	free(v5.irs);
	free(v5.cpuif);
}

/* Reading */

static int refuse(const struct frame_in *in, const char *whose, const char *what)
{
	pr_err("%s: %s IST: %s\n", in->file, whose, what);
	return -EINVAL;
}

static int check_columns(const struct frame_in *in, const char *whose, size_t nr, const struct column list[NR_COLUMNS])
{
	for (size_t c = 0; c < NR_COLUMNS; c++) {
		if (*list[c].n != nr) {
			pr_err("%s: %s IST: %zu runs, %s of %zu\n", in->file, whose, nr, columns[c].name, *list[c].n);
			return -EINVAL;
		}
		for (size_t i = 0; i < nr; i++)
			if ((*list[c].v)[i] >> columns[c].bits) {
				pr_err("%s: %s IST: run %zu: %s %u is wider than %u bits\n", in->file, whose, i,
				       columns[c].name, (*list[c].v)[i], columns[c].bits);
				return -EINVAL;
			}
	}
	return 0;
}

static int unpack_ist(const struct frame_in *in, const char *whose, KvmVgic__VgicV5Ist *msg, uint32_t max,
		      struct vgic_v5_ist *ist)
{
	struct column list[NR_COLUMNS];
	uint64_t nr = 0;
	int ret;

	columns_of(msg, list);
	ret = check_columns(in, whose, msg->n_count, list);
	/* A run of none would cost time and hold nothing: as many as fit into a file. */
	for (size_t i = 0; !ret && i < msg->n_count && nr <= max; i++) {
		if (!msg->count[i]) {
			pr_err("%s: %s IST: run %zu is empty\n", in->file, whose, i);
			ret = -EINVAL;
		}
		nr += msg->count[i];
	}
	if (!ret && nr > max)
		ret = refuse(in, whose, "more interrupts than there can be");
	if (!ret)
		ret = entry_alloc(in, &ist->iste, nr, sizeof(*ist->iste));
	for (size_t i = 0; !ret && i < msg->n_count; i++)
		for (uint32_t k = 0; k < msg->count[i]; k++, ist->nr++)
			for (size_t c = 0; c < NR_COLUMNS; c++)
				ist->iste[ist->nr] |= (*list[c].v)[i] << columns[c].first;
	return ret;
}

static int unpack_words(const struct frame_in *in, const char *name, const uint64_t *from, size_t n, size_t max,
			struct vgic_values *to)
{
	int ret;

	if (n > max) {
		pr_err("%s: %s: %zu values, at most %zu expected\n", in->file, name, n, max);
		return -EINVAL;
	}
	ret = entry_alloc(in, &to->v, n, sizeof(*to->v));
	if (ret)
		return ret;
	to->nr = n;
	if (n)
		memcpy(to->v, from, n * sizeof(*to->v));
	return 0;
}

static int unpack_head(const struct frame_in *in, const KvmVgic__VgicV5Entry *entry, struct vgic_v5_state *gic)
{
	if (entry->form != KVM_VGIC__VGIC_V5_FORM__VGIC_V5_RAW &&
	    entry->form != KVM_VGIC__VGIC_V5_FORM__VGIC_V5_DESCRIPTOR) {
		pr_err("%s: form %d is not known\n", in->file, (int)entry->form);
		return -EINVAL;
	}
	if (entry->n_userspace_ppis != 2) {
		pr_err("%s: userspace_ppis: %zu values, 2 expected\n", in->file, entry->n_userspace_ppis);
		return -EINVAL;
	}
	gic->fd = entry->fd;
	gic->form = entry->form == KVM_VGIC__VGIC_V5_FORM__VGIC_V5_RAW ? VGIC_V5_RAW : VGIC_V5_DESCRIPTOR;
	gic->nr_spis = entry->nr_spis;
	gic->irs_base = entry->irs_frame;
	memcpy(gic->userspace_ppis, entry->userspace_ppis, sizeof(gic->userspace_ppis));
	return 0;
}

int vgic_v5_unpack(const struct frame_in *in, const KvmVgic__VgicV5Entry *entry, struct vgic_v5_state *gic)
{
	int ret = unpack_head(in, entry, gic);

	if (!ret)
		ret = vgic_unpack_values(in, "IRS", vgic_v5_id_regs, vgic_v5_nr_id_regs, entry->id, entry->n_id,
					 &gic->id);
	if (!ret)
		ret = vgic_unpack_values(in, "IRS", vgic_v5_irs_regs, vgic_v5_nr_irs_regs, entry->irs, entry->n_irs,
					 &gic->irs);
	if (!ret)
		ret = unpack_words(in, "IRS_PE_CR0", entry->pe_cr0, entry->n_pe_cr0, VM_MAX_VCPUS, &gic->pe_cr0);
	if (!ret)
		ret = unpack_words(in, "IRS_SPI_CFGR", entry->spi_cfgr, entry->n_spi_cfgr, VGIC_V5_MAX_SPIS,
				   &gic->spi_cfgr);
	if (!ret)
		ret = unpack_ist(in, "SPI", entry->spi, VGIC_V5_MAX_SPIS, &gic->spi);
	if (!ret)
		ret = unpack_ist(in, "LPI", entry->lpi, 1u << VGIC_V5_MAX_LPI_ID_BITS, &gic->lpi);
	if (!ret)
		ret = vgic_unpack_nr_cpus(in, entry->nr_cpus, VM_MAX_VCPUS, &gic->nr_cpus);
	return ret ?: vgic_unpack_vcpu_values(in, vgic_v5_cpuif_regs, vgic_v5_nr_cpuif_regs, entry->cpuif,
					      entry->n_cpuif, &gic->cpuif, gic->nr_cpus);
}
