// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "remote/remote.h"
#include "state/id_reg.h"
#include "state/reg_policy.h"
#include "state/vm.h"

#define NAMED 16 /* registers that a message names, at most */

/* Names of registers, for one message. */
struct names {
	char text[NAMED * (ID_REG_NAME + 2)]; /* ", " between them */
	size_t nr;
};

static void add_name(struct names *names, uint64_t id)
{
	char name[ID_REG_NAME];

	id_reg_name(id, name);
	if (names->nr < NAMED) {
		strcat(names->text, names->nr ? ", " : "");
		strcat(names->text, name);
	}
	names->nr++;
}

/* " and 3 more", or nothing. */
static const char *more(size_t nr, char text[32])
{
	text[0] = 0;
	if (nr > NAMED)
		snprintf(text, 32, " and %zu more", nr - NAMED);
	return text;
}

static uint64_t reg_value(const struct vcpu_reg *reg)
{
	uint64_t value = 0;

	memcpy(&value, reg->value,
	       kvm_reg_size(reg->id) < sizeof(value) ? kvm_reg_size(reg->id) : sizeof(value));
	return value;
}

/* ---- the lists: what one side has and the other has not ---- */

/*
 * Registers that Linux 6.12 lists also where the CPU has them not, by the field of an ID register that says
 * whether it has. 7.2 lists them only there.
 */
static const struct {
	uint64_t id, feature;
	unsigned int lsb;
} optional_regs[] = {
	{ ARM64_SYS_REG(3, 0, 2, 0, 3), ARM64_SYS_REG(3, 0, 0, 7, 3),
	  0 }, /* TCR2_EL1: ID_AA64MMFR3_EL1.TCRX */
	{ ARM64_SYS_REG(3, 0, 10, 2, 2), ARM64_SYS_REG(3, 0, 0, 7, 3), 8 }, /* PIRE0_EL1: .S1PIE */
	{ ARM64_SYS_REG(3, 0, 10, 2, 3), ARM64_SYS_REG(3, 0, 0, 7, 3), 8 }, /* PIR_EL1: .S1PIE */
};

/* An access to it is UNDEFINED for the guest: whatever KVM has there means nothing. */
static bool is_out_of_reach(const struct vcpu_state *vcpu, uint64_t id)
{
	for (size_t i = 0; i < sizeof(optional_regs) / sizeof(optional_regs[0]); i++) {
		const uint64_t *feature = vcpu_reg_u64(vcpu, optional_regs[i].feature);

		if (optional_regs[i].id == id)
			return !feature || !(*feature >> optional_regs[i].lsb & 0xf);
	}
	return false;
}

/* The guest finds the same without it: an ID register that is absent reads as 0, a service that KVM has not
 * is not offered. */
static bool can_be_dropped(const struct vcpu_state *vcpu, const struct vcpu_reg *reg)
{
	if (id_reg_is_feature(reg->id) || id_reg_is_firmware(reg->id))
		return !reg_value(reg);
	return is_out_of_reach(vcpu, reg->id);
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool has_id(const uint64_t *ids, size_t nr, uint64_t id)
{
	return bsearch(&id, ids, nr, sizeof(*ids), compare_ids);
}

/* The registers that a step is about, of those in a list. */
typedef bool (*reg_class)(uint64_t id);

bool reg_policy_is_first(uint64_t id)
{
	return id_reg_is_identity(id) || id == ARM64_MPIDR_EL1;
}

static bool is_later(uint64_t id)
{
	return !reg_policy_is_first(id);
}

/* What differs is the same for all vCPUs, and host_check() may have said it. */
static bool is_news(const struct vm_state *vm, const struct vcpu_state *vcpu)
{
	return !vm->host_checked && !vcpu->idx;
}

/* Case 1: in the image, and not in @host, which is sorted. */
static int drop_regs(const struct vm_state *vm, struct vcpu_state *vcpu, const struct kvm_reg_list *host,
		     reg_class class)
{
	struct names dropped = { .nr = 0 }, refused = { .nr = 0 };
	size_t kept = 0;
	char rest[32];

	for (size_t i = 0; i < vcpu->nr_regs; i++) {
		struct vcpu_reg *reg = &vcpu->regs[i];

		if (class(reg->id) && !has_id((const uint64_t *)host->reg, host->n, reg->id)) {
			if (can_be_dropped(vcpu, reg)) {
				add_name(&dropped, reg->id);
				continue;
			}
			add_name(&refused, reg->id);
		}
		if (kept != i)
			vcpu->regs[kept] = *reg;
		kept++;
	}
	vcpu->nr_regs = kept;
	if (dropped.nr && is_news(vm, vcpu))
		pr_info("vm %u: registers that this kernel has not, and that the guest does not miss: %s%s: "
			"dropped\n",
			vm->id, dropped.text, more(dropped.nr, rest));
	if (!refused.nr)
		return 0;
	pr_err("vm %u: vcpu %u: registers of the image that this kernel has not: %s%s: restore on a host "
	       "with the "
	       "same CPU and a kernel that is as new\n",
	       vm->id, vcpu->idx, refused.text, more(refused.nr, rest));
	return -EINVAL;
}

static int add_zero(struct vcpu_state *vcpu, uint64_t id)
{
	struct vcpu_reg *regs = reallocarray(vcpu->regs, vcpu->nr_regs + 1, sizeof(*regs));

	if (!regs)
		return -ENOMEM;
	vcpu->regs = regs;
	regs[vcpu->nr_regs++] = (struct vcpu_reg){ .id = id };
	return 0;
}

struct additions {
	struct names zero, left, refused;
};

/* Case 2: @id is in this kernel's list, and not in the image. */
static int add_reg(struct vcpu_state *vcpu, uint64_t id, struct additions *a)
{
	uint64_t kind = id & KVM_REG_ARM_COPROC_MASK;

	if (id_reg_is_feature(id) || id_reg_is_bitmap(id)) {
		add_name(&a->zero, id);
		return add_zero(vcpu, id);
	}
	if (kind == KVM_REG_ARM64_SYSREG || kind == KVM_REG_ARM_FW)
		add_name(&a->left, id);
	else
		add_name(&a->refused, id);
	return 0;
}

static int report_additions(const struct vm_state *vm, const struct vcpu_state *vcpu,
			    const struct additions *a)
{
	char rest[32];

	if (a->zero.nr && is_news(vm, vcpu))
		pr_info("vm %u: registers that the image has not: %s%s: written as 0, as the guest found "
			"them\n",
			vm->id, a->zero.text, more(a->zero.nr, rest));
	if (a->left.nr && is_news(vm, vcpu))
		pr_info("vm %u: registers that the image has not: %s%s: left as this kernel makes them\n",
			vm->id, a->left.text, more(a->left.nr, rest));
	if (!a->refused.nr)
		return 0;
	pr_err("vm %u: vcpu %u: registers that every kernel has, and the image has not: %s%s: the image is "
	       "damaged\n",
	       vm->id, vcpu->idx, a->refused.text, more(a->refused.nr, rest));
	return -EINVAL;
}

/* @ids: those of the image, sorted. */
static int add_regs(const struct vm_state *vm, struct vcpu_state *vcpu, const struct kvm_reg_list *host,
		    reg_class class, const uint64_t *ids, size_t nr)
{
	struct additions a = { .zero.nr = 0 };
	int ret = 0;

	for (size_t i = 0; !ret && i < host->n; i++)
		if (class(host->reg[i]) && !has_id(ids, nr, host->reg[i]))
			ret = add_reg(vcpu, host->reg[i], &a);
	return ret ?: report_additions(vm, vcpu, &a);
}

/* The same, and in the same order, as one kernel lists them: there is nothing to fit. */
static bool has_the_same(const struct vcpu_state *vcpu, const struct kvm_reg_list *host)
{
	if (vcpu->nr_regs != host->n)
		return false;
	for (size_t i = 0; i < vcpu->nr_regs; i++)
		if (vcpu->regs[i].id != host->reg[i])
			return false;
	return true;
}

/* Fits @vcpu's registers of one class to what this kernel has, which is sorted then. */
static int fit(struct vm_state *vm, struct vcpu_state *vcpu, struct kvm_reg_list *host, reg_class class)
{
	size_t nr = vcpu->nr_regs;
	uint64_t *ids;
	int ret, err;

	if (has_the_same(vcpu, host))
		return 0;
	ids = calloc(nr + 1, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++)
		ids[i] = vcpu->regs[i].id;
	qsort(ids, nr, sizeof(*ids), compare_ids);
	qsort(host->reg, host->n, sizeof(host->reg[0]), compare_ids);
	ret = drop_regs(vm, vcpu, host, class);
	err = add_regs(vm, vcpu, host, class, ids, nr);
	free(ids);
	return ret ?: err;
}

static int fit_all(struct vm_state *vm, struct remote *remote, reg_class class)
{
	struct vcpu_reg_lists lists;
	int ret = vcpu_get_reg_lists(vm, remote, &lists);

	for (size_t i = 0; !ret && i < vm->nr_vcpus; i++)
		ret = fit(vm, &vm->vcpus[i], vcpu_reg_list(&lists, i), class);
	free(lists.words);
	return ret;
}

int reg_policy_check_list(struct vm_state *vm, struct remote *remote)
{
	return fit_all(vm, remote, is_later);
}

/* ---- case 3: a value that this kernel refuses ---- */

/* A register of a vCPU that was refused, and what KVM has in its place. */
struct refusal {
	struct vm_state *vm;
	struct remote *remote;
	const struct vcpu_state *vcpu;
	uint64_t id, image, host;
};

static int read_host(struct refusal *r)
{
	struct batch b = BATCH(r->remote, r->vm->id, "refused registers");
	int ret;

	b.vcpu = r->vcpu->idx;
	batch_get_reg(&b, r->vcpu->fd, r->id, &r->host);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

/* Whether KVM takes @value: 1, 0 or a negative errno. */
static int takes(const struct refusal *r, uint64_t value)
{
	struct batch b = BATCH(r->remote, r->vm->id, "refused registers");
	int ret;

	b.vcpu = r->vcpu->idx;
	batch_set_reg(&b, r->vcpu->fd, r->id, &value)->may_fail = EINVAL;
	ret = batch_run(&b);
	if (!ret)
		ret = !b.calls[0].result;
	batch_fini(&b);
	return ret;
}

static bool differs(const struct refusal *r, const struct id_field *f)
{
	return (r->image ^ r->host) & id_field_mask(f);
}

/* Whether KVM would take the register if only field @f of it were the image's. */
static int takes_field(const struct refusal *r, const struct id_field *f)
{
	uint64_t mask = id_field_mask(f);

	return takes(r, (r->host & ~mask) | (r->image & mask));
}

/* Adds to @text how field @f differs, if it does. */
static void describe_field(const struct refusal *r, const struct id_field *f, char *text, size_t size)
{
	uint64_t mask = id_field_mask(f);
	size_t n = strlen(text);

	if (differs(r, f))
		snprintf(text + n, size - n, "%s%s is %" PRIu64 " in the image, %" PRIu64 " on this host",
			 n ? "; " : "", f->name, (r->image & mask) >> f->lsb, (r->host & mask) >> f->lsb);
}

/* The fields that KVM refuses, each for itself; where it takes each, all that differ. */
static int describe_fields(const struct refusal *r, char *text, size_t size)
{
	struct id_field fields[ID_REG_FIELDS];
	size_t nr = id_reg_fields(r->id, fields);
	bool alone = false;

	*text = 0;
	for (size_t i = 0; i < nr; i++) {
		int taken = differs(r, &fields[i]) ? takes_field(r, &fields[i]) : 1;

		if (taken < 0)
			return taken;
		if (!taken)
			describe_field(r, &fields[i], text, size);
		alone |= !taken;
	}
	for (size_t i = 0; !alone && i < nr; i++)
		describe_field(r, &fields[i], text, size);
	return 0;
}

static uint64_t image_value(const struct vcpu_state *vcpu, uint64_t id)
{
	for (size_t i = 0; i < vcpu->nr_regs; i++)
		if (vcpu->regs[i].id == id)
			return reg_value(&vcpu->regs[i]);
	return 0;
}

static int explain(struct vm_state *vm, struct remote *remote, const struct vcpu_state *vcpu, uint64_t id)
{
	struct refusal r = {
		.vm = vm, .remote = remote, .vcpu = vcpu, .id = id, .image = image_value(vcpu, id)
	};
	char name[ID_REG_NAME], text[2048];
	int ret = read_host(&r);

	if (!ret)
		ret = describe_fields(&r, text, sizeof(text));
	if (ret)
		return ret;
	id_reg_name(id, name);
	pr_err("vm %u: register %s: %#" PRIx64 " is refused by this kernel: %s\n", vm->id, name, r.image,
	       *text ? text : "and it is what it has itself");
	return 0;
}

/* Of the calls of @b, which are runs, the next that was refused, from @of_run of call @i on: false where there is none. */
static bool next_refused(const struct batch *b, size_t *i, size_t *of_run)
{
	for (; *i < b->nr; ++*i, *of_run = 0)
		for (; b->calls[*i].result && *of_run <= b->calls[*i].more; ++*of_run)
			if (b->calls[*i].results[*of_run])
				return true;
	return false;
}

/* Those of the first vCPU that has any: they are the VM's. */
static int explain_all(struct vm_state *vm, struct remote *remote, const struct batch *b)
{
	struct names others = { .nr = 0 }; /* than those that have a line of their own */
	int32_t vcpu = -1;
	size_t nr = 0;
	char rest[32];
	int ret = 0;

	for (size_t i = 0, of_run = 0; !ret && next_refused(b, &i, &of_run); of_run++) {
		uint64_t id = remote_call_number(&b->calls[i], of_run);

		if (nr && b->calls[i].vcpu != vcpu)
			break;
		vcpu = b->calls[i].vcpu;
		if (nr++ < NAMED)
			ret = explain(vm, remote, &vm->vcpus[vcpu], id);
		else
			add_name(&others, id);
	}
	if (!nr)
		return 0;
	pr_err("vm %u: %zu registers of the image refused%s%s%s: the guest was told of another CPU, firmware "
	       "or "
	       "kernel: restore it on a host that has what it was told of\n",
	       vm->id, nr, others.nr ? ", also " : "", others.text, more(others.nr, rest));
	return ret ?: -EINVAL;
}

/* @results has room for one of each register. */
static void add_writes(struct batch *b, const struct vcpu_state *vcpu, bool firmware, int64_t *results)
{
	struct remote_call *run = NULL;

	for (size_t i = 0; i < vcpu->nr_regs; i++) {
		const struct vcpu_reg *reg = &vcpu->regs[i];

		if (!reg_policy_is_first(reg->id) || id_reg_is_firmware(reg->id) != firmware) {
			run = NULL;
			continue;
		}
		run = vcpu_reg_add_set(b, vcpu, reg, run);
		run->may_fail = EINVAL;
		if (!run->more)
			run->results = &results[i];
	}
}

static size_t nr_regs_of_all(const struct vm_state *vm)
{
	size_t nr = 0;

	for (size_t i = 0; i < vm->nr_vcpus; i++)
		nr += vm->vcpus[i].nr_regs;
	return nr;
}

/*
 * Which values KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2 takes depends on ID_AA64PFR1_EL1.SSBS
 * (get_kernel_wa_level()).
 */
static int write_ids(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "ID and firmware registers");
	int64_t *results = calloc(nr_regs_of_all(vm) + 1, sizeof(*results)), *of_vcpu = results;
	int ret;

	if (!results)
		return -ENOMEM;
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		b.vcpu = i;
		add_writes(&b, &vm->vcpus[i], false, of_vcpu);
		add_writes(&b, &vm->vcpus[i], true, of_vcpu);
		of_vcpu += vm->vcpus[i].nr_regs;
	}
	ret = batch_run(&b);
	if (!ret)
		ret = explain_all(vm, remote, &b);
	batch_fini(&b);
	free(results);
	return ret;
}

int reg_policy_apply_ids(struct vm_state *vm, struct remote *remote)
{
	return fit_all(vm, remote, reg_policy_is_first) ?: write_ids(vm, remote);
}
