// SPDX-License-Identifier: GPL-2.0-only
/* The document: what register tables say of one interrupt. */
#include <stdlib.h>

#include "document.h"

/*
 * Registers that have a field for each interrupt, of whatever GIC: "_ISENABLER" is GICD_ISENABLER and
 * GICR_ISENABLER0. The tables of plugin/state say which there are.
 */
enum irq_show { FLAG, NUMBER, TRIGGER, ELSEWHERE };

static const struct irq_field {
	const char *reg;
	unsigned int bits; /* of each interrupt */
	enum irq_show show;
	const char *name;
} irq_fields[] = {
	{ "_IGROUPR", 1, NUMBER, "group" },
	{ "_ISENABLER", 1, FLAG, "enabled" },
	{ "_ISPENDR", 1, FLAG, "pending" },
	{ "_ISACTIVER", 1, FLAG, "active" },
	{ "LEVEL_INFO", 1, FLAG, "level" },
	{ "_ICFGR", 2, TRIGGER, "trigger" },
	{ "_IPRIORITYR", 8, NUMBER, "priority" },
	{ "_SPENDSGIR", 8, NUMBER, "sources" },
	{ "_ITARGETSR", 8, NUMBER, "targets" },
	{ "_IROUTER", 64, ELSEWHERE, NULL },
	{ "_PPI_ENABLER", 1, FLAG, "enabled" },
	{ "_PPI_SPENDR", 1, FLAG, "pending" },
	{ "_PPI_SACTIVER", 1, FLAG, "active" },
	{ "_PPI_PRIORITYR", 8, NUMBER, "priority" },
};

/* NULL for a register that is not by interrupt. *@nr is the number behind its name: 1 of GICR_ICFGR1. */
static const struct irq_field *field_of(const struct vgic_reg *reg, unsigned int *nr)
{
	for (size_t i = 0; i < sizeof(irq_fields) / sizeof(irq_fields[0]); i++) {
		const char *at = strstr(reg->name, irq_fields[i].reg);

		if (!at)
			continue;
		*nr = strtoul(at + strlen(irq_fields[i].reg), NULL, 10);
		return &irq_fields[i];
	}
	return NULL;
}

json_t *document_regs(const struct vgic_reg *table, size_t nr_regs, const struct vgic_values *values)
{
	json_t *regs = new_object();
	unsigned int nr;

	for (size_t i = 0; i < nr_regs; i++) {
		json_t *list;

		if (field_of(&table[i], &nr) || !values[i].nr)
			continue;
		if (values[i].nr == 1) {
			put(regs, table[i].name, hex(values[i].v[0]));
			continue;
		}
		list = new_array();
		for (uint32_t w = 0; w < values[i].nr; w++)
			add(list, hex(values[i].v[w]));
		put(regs, table[i].name, list);
	}
	return regs;
}

static void put_field(json_t *irq, const struct irq_field *f, uint64_t value)
{
	switch (f->show) {
	case FLAG:
		put(irq, f->name, truth(value));
		break;
	case NUMBER:
		put(irq, f->name, number(value));
		break;
	case TRIGGER:
		put(irq, f->name, json_string(value & 2 ? "edge" : "level"));
		break;
	case ELSEWHERE:
		break;
	}
}

void document_irq(json_t *irq, const struct vgic_reg *table, size_t nr_regs, const struct vgic_values *values,
		  unsigned int place)
{
	for (size_t i = 0; i < nr_regs; i++) {
		const unsigned int width = table[i].frame == VGIC_CPUIF ? 64 : 32;
		const struct irq_field *f;
		unsigned int nr, first, bit;

		f = field_of(&table[i], &nr);
		if (!f || f->show == ELSEWHERE)
			continue;
		first = nr * (width / f->bits);
		if (place < first)
			continue;
		bit = (place - first) * f->bits;
		if (bit / width < values[i].nr)
			put_field(irq, f, values[i].v[bit / width] >> bit % width & ((1u << f->bits) - 1));
	}
}
