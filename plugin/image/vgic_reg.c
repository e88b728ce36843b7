// SPDX-License-Identifier: GPL-2.0-only
/* The values of a table of registers: vgic_reg_values of vgic.proto. */
#include "image/entry.h"
#include "log.h"

/* What the file holds of a table: not what is only cleared, nor an optional register without a value. */
static bool is_stored(const struct vgic_reg *reg, const struct vgic_values *values)
{
	return reg->policy != VGIC_CLEAR && (reg->policy != VGIC_OPTIONAL || values->nr);
}

size_t vgic_pack_values(KvmVgic__VgicRegValues **list, const struct vgic_reg *table, size_t nr_regs,
			const struct vgic_values *values)
{
	size_t n = 0;

	for (size_t r = 0; r < nr_regs; r++) {
		if (!is_stored(&table[r], &values[r]))
			continue;
		kvm_vgic__vgic_reg_values__init(list[n]);
		list[n]->name = (char *)table[r].name;
		list[n]->offset = table[r].offset;
		list[n]->n_value = values[r].nr;
		list[n]->value = values[r].v;
		n++;
	}
	return n;
}

/* A table as the file has it, with whose it is for messages. */
struct table {
	const struct frame_in *in;
	const char *whose;
	const struct vgic_reg *regs;
	size_t nr_regs;
	KvmVgic__VgicRegValues **list;
	size_t n;
};

/* How many a register has here is asked when all is there; more than it can have are eight times what the file is. */
static int copy_values(const struct table *t, const struct vgic_reg *reg, const KvmVgic__VgicRegValues *from,
		       struct vgic_values *to)
{
	uint32_t max = vgic_reg_words(reg, VGIC_MAX_IRQS);
	int ret;

	if (from->n_value > max) {
		pr_err("%s: %s: %s: %zu values, at most %u expected\n", t->in->file, t->whose, reg->name, from->n_value, max);
		return -EINVAL;
	}
	ret = entry_alloc(t->in, &to->v, from->n_value, sizeof(*to->v));
	if (ret)
		return ret;
	to->nr = from->n_value;
	if (to->nr)
		memcpy(to->v, from->value, to->nr * sizeof(*to->v));
	return 0;
}

static bool is_reg(const KvmVgic__VgicRegValues *values, const struct vgic_reg *reg)
{
	return !strcmp(values->name, reg->name) && values->offset == reg->offset;
}

/* For the log: what a file calls a register can be anything. */
static const char *reg_name(const KvmVgic__VgicRegValues *values)
{
	static const char known[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
	size_t len = strspn(values->name, known);

	return len && len < 32 && !values->name[len] ? values->name : "another name";
}

static int refuse_reg(const struct table *t, const struct vgic_reg *expected,
		      const KvmVgic__VgicRegValues *found)
{
	if (!found)
		pr_err("%s: %s: %s (0x%x) expected, nothing found\n", t->in->file, t->whose, expected->name,
		       expected->offset);
	else if (!expected)
		pr_err("%s: %s: %s (0x%x) is not a register known here, or out of order\n", t->in->file,
		       t->whose, reg_name(found), found->offset);
	else
		pr_err("%s: %s: %s (0x%x) expected, %s (0x%x) found\n", t->in->file, t->whose, expected->name,
		       expected->offset, reg_name(found), found->offset);
	return -EINVAL;
}

/* The file has the registers of the table, in its order; whatever else it names would be lost state. */
static int unpack_table(const struct table *t, struct vgic_values **values)
{
	size_t n = 0;
	int ret;

	ret = entry_alloc(t->in, values, t->nr_regs, sizeof(**values));
	for (size_t r = 0; r < t->nr_regs && !ret; r++) {
		const struct vgic_reg *reg = &t->regs[r];

		if (reg->policy == VGIC_CLEAR)
			continue;
		if (n < t->n && is_reg(t->list[n], reg))
			ret = copy_values(t, reg, t->list[n++], &(*values)[r]);
		else if (reg->policy != VGIC_OPTIONAL)
			ret = refuse_reg(t, reg, n < t->n ? t->list[n] : NULL);
	}
	if (!ret && n < t->n)
		ret = refuse_reg(t, NULL, t->list[n]);
	return ret;
}

int vgic_unpack_values(const struct frame_in *in, const char *whose, const struct vgic_reg *table,
		       size_t nr_regs, KvmVgic__VgicRegValues **list, size_t n, struct vgic_values **values)
{
	const struct table t = {
		.in = in, .whose = whose, .regs = table, .nr_regs = nr_regs, .list = list, .n = n
	};

	return unpack_table(&t, values);
}
