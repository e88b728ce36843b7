// SPDX-License-Identifier: GPL-2.0-only
/* The values of a table of registers: vgic_reg_values of vgic.proto. */
#include "image/entry.h"
#include "log.h"

/* Writing */

/* Register @r of all that have it, one after the other, where @to has room for them. */
static void pack_reg(KvmVgic__VgicRegValues *to, size_t r, struct vgic_values *const *of, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const struct vgic_values *values = &of[i][r];

		if (!values->nr)
			continue;
		memcpy(to->value + to->n_value, values->v, values->nr * sizeof(*values->v));
		to->n_value += values->nr;
		to->vcpu_idx[to->n_vcpu_idx++] = i;
	}
	if (to->n_vcpu_idx == nr)
		to->n_vcpu_idx = 0;
}

static size_t count_values(size_t nr_regs, struct vgic_values *const *of, size_t nr)
{
	size_t n = 0;

	for (size_t i = 0; i < nr; i++)
		for (size_t r = 0; r < nr_regs; r++)
			n += of[i][r].nr;
	return n;
}

/* What is only cleared the file has not, nor an optional register that none has. */
size_t vgic_pack_values(struct frame_out *out, KvmVgic__VgicRegValues ***list, const struct vgic_reg *table,
			size_t nr_regs, struct vgic_values *const *of, size_t nr)
{
	size_t nr_values = count_values(nr_regs, of, nr), n = 0;
	KvmVgic__VgicRegValues *msg;
	uint64_t *value;
	uint32_t *vcpu_idx;

	*list = entry_room(out, nr_regs * (sizeof(msg) + sizeof(*msg) + nr * sizeof(*vcpu_idx)) + nr_values * sizeof(*value), 1);
	if (!*list)
		return 0;
	msg = (KvmVgic__VgicRegValues *)(*list + nr_regs);
	value = (uint64_t *)(msg + nr_regs);
	vcpu_idx = (uint32_t *)(value + nr_values);
	for (size_t r = 0; r < nr_regs; r++) {
		if (table[r].policy == VGIC_CLEAR)
			continue;
		kvm_vgic__vgic_reg_values__init(msg);
		msg->name = (char *)table[r].name;
		msg->offset = table[r].offset;
		msg->value = value;
		msg->vcpu_idx = vcpu_idx;
		pack_reg(msg, r, of, nr);
		value += msg->n_value;
		vcpu_idx += msg->n_vcpu_idx;
		if (msg->n_value || table[r].policy != VGIC_OPTIONAL)
			(*list)[n++] = msg++;
	}
	return n;
}

/* Reading */

/* A table as the file has it, with whose it is for messages. */
struct table {
	const struct frame_in *in;
	const char *whose;
	const struct vgic_reg *regs;
	size_t nr_regs;
	KvmVgic__VgicRegValues **list;
	size_t n;
	struct vgic_values **of;
	size_t nr;
};

/*
 * How many one has is asked when all is there; of several, as many as they have, or it would not be known whose they are. An optional
 * one without values would be left out.
 */
static int unpack_reg(const struct table *t, size_t r, const KvmVgic__VgicRegValues *from)
{
	size_t n = from->n_vcpu_idx ?: t->nr, max = n * vgic_reg_words(&t->regs[r], VGIC_MAX_IRQS);
	bool all = n > 1 || t->regs[r].policy == VGIC_OPTIONAL;

	if (from->n_value > max || (all && from->n_value < max)) {
		pr_err("%s: %s: %s: %zu values, %s%zu expected\n", t->in->file, t->whose, t->regs[r].name, from->n_value,
		       all ? "" : "at most ", max);
		return -EINVAL;
	}
	for (size_t k = 0; k < n && from->n_value; k++) {
		size_t i = from->n_vcpu_idx ? from->vcpu_idx[k] : k, words = from->n_value / n;

		if (i >= t->nr || t->of[i][r].nr) {
			pr_err("%s: %s: %s: vcpu_idx %zu, twice or not below %zu\n", t->in->file, t->whose, t->regs[r].name, i,
			       t->nr);
			return -EINVAL;
		}
		t->of[i][r].nr = words;
		memcpy(t->of[i][r].v, from->value + k * words, words * sizeof(*from->value));
	}
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
static int unpack_table(const struct table *t)
{
	size_t n = 0;
	int ret = 0;

	for (size_t i = 0; i < t->nr; i++) {
		t->of[i] = vgic_values_alloc(t->regs, t->nr_regs, VGIC_MAX_IRQS);
		if (!t->of[i]) {
			pr_err("%s: no memory for %zu registers\n", t->in->file, t->nr_regs);
			return -ENOMEM;
		}
	}
	for (size_t r = 0; r < t->nr_regs && !ret; r++) {
		const struct vgic_reg *reg = &t->regs[r];

		if (reg->policy == VGIC_CLEAR)
			continue;
		if (n < t->n && is_reg(t->list[n], reg))
			ret = unpack_reg(t, r, t->list[n++]);
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
		.in = in, .whose = whose, .regs = table, .nr_regs = nr_regs, .list = list, .n = n, .of = values, .nr = 1,
	};

	return unpack_table(&t);
}

int vgic_unpack_nr_cpus(const struct frame_in *in, size_t n, size_t max, size_t *nr)
{
	if (n > max) {
		pr_err("%s: %zu vCPUs, at most %zu expected\n", in->file, n, max);
		return -EINVAL;
	}
	*nr = n;
	return 0;
}

int vgic_unpack_vcpu_values(const struct frame_in *in, const struct vgic_reg *table, size_t nr_regs,
			    KvmVgic__VgicRegValues **list, size_t n, struct vgic_values ***of, size_t nr)
{
	int ret = entry_alloc(in, of, nr, sizeof(**of));
	const struct table t = {
		.in = in, .whose = "vCPUs", .regs = table, .nr_regs = nr_regs, .list = list, .n = n, .of = *of, .nr = nr,
	};

	return ret ?: unpack_table(&t);
}
