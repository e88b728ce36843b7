// SPDX-License-Identifier: GPL-2.0-only
/* Every register of a vCPU: api.rst 4.68, 4.69, KVM_GET_REG_LIST. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "regs.h"
#include "zdtmtst.h"

#define MAX_REGS	1024

#define SYSREG(...)	ARM64_SYS_REG(__VA_ARGS__)
#define MPIDR_EL1	SYSREG(3, 0, 0, 0, 5)
#define PSTATE		ODD_CORE(regs.pstate)

enum same { BITS, COUNTS };

/* What may be another value after a restore. All others are equal, bit by bit. */
static const struct {
	uint64_t id;
	uint64_t mask; /* bits that may differ */
	enum same same;
	const char *name, *why;
} exempt[] = {
	{ KVM_REG_ARM_TIMER_CNT, ~0ull, COUNTS, "KVM_REG_ARM_TIMER_CNT", "the virtual counter goes on" },
	{ KVM_REG_ARM_PTIMER_CNT, ~0ull, COUNTS, "KVM_REG_ARM_PTIMER_CNT", "the physical counter goes on" },
	{ KVM_REG_ARM_TIMER_CTL, 1 << 2, BITS, "ISTATUS of KVM_REG_ARM_TIMER_CTL",
	  "KVM derives it from the counter and CVAL when it is read" },
	{ KVM_REG_ARM_PTIMER_CTL, 1 << 2, BITS, "ISTATUS of KVM_REG_ARM_PTIMER_CTL", "likewise" },
	{ SYSREG(2, 0, 0, 2, 0), ~0ull, BITS, "MDCCINT_EL1",
	  "KVM reads it from the CPU (__debug_save_state()), where QEMU makes the read a NOP: anything" },
};

static size_t size_of(uint64_t id)
{
	return 1u << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}

static int get(struct odd_vm *vm, unsigned int i, struct odd_reg *reg)
{
	struct kvm_one_reg one = { .id = reg->id, .addr = (uintptr_t)reg->value };

	memset(reg->value, 0, sizeof(reg->value));
	return ioctl(vm->vcpu[i].fd, KVM_GET_ONE_REG, &one);
}

static int set(struct odd_vm *vm, unsigned int i, const struct odd_reg *reg)
{
	struct kvm_one_reg one = { .id = reg->id, .addr = (uintptr_t)reg->value };

	return ioctl(vm->vcpu[i].fd, KVM_SET_ONE_REG, &one);
}

static uint64_t counter(void)
{
	uint64_t v;

	asm volatile("isb; mrs %0, cntvct_el0" : "=r"(v));
	return v;
}

static struct kvm_reg_list *list_of(struct odd_vm *vm, unsigned int i)
{
	struct kvm_reg_list *list = calloc(1, sizeof(*list) + MAX_REGS * sizeof(list->reg[0]));

	if (!list)
		return NULL;
	list->n = MAX_REGS;
	if (!ioctl(vm->vcpu[i].fd, KVM_GET_REG_LIST, list))
		return list;
	free(list);
	return NULL;
}

static int compare_ids(const void *a, const void *b)
{
	const struct odd_reg *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

int odd_save_regs(struct odd_vm *vm, unsigned int i, struct odd_regs *saved)
{
	struct kvm_reg_list *list = list_of(vm, i);
	size_t n, nr = list ? list->n : 0;
	int ret = list ? 0 : -1;

	*saved = (struct odd_regs){ .regs = calloc(nr + 1, sizeof(*saved->regs)), .nr = nr, .when = counter() };
	for (n = 0; !ret && n < nr; n++) {
		saved->regs[n].id = list->reg[n];
		ret = get(vm, i, &saved->regs[n]);
	}
	free(list);
	/* The order of the list is nobody's promise. */
	qsort(saved->regs, nr, sizeof(*saved->regs), compare_ids);
	return ret;
}

/* --- what they are filled with --- */

/* What stays as it is where a register takes a pattern. */
static const struct {
	uint64_t id, keep;
} kept[] = {
	{ PSTATE, ~0xf00003c0ull },	/* the mode; NZCV and DAIF are filled */
	{ MPIDR_EL1, ~0xff00ffffffull },	/* what is no affinity */
};

/* No two registers of a VM have the same. */
static void fill(struct odd_reg *reg, unsigned int vcpu)
{
	uint64_t seed = reg->id * 8 + vcpu, word, old;
	size_t n;

	memcpy(&old, reg->value, sizeof(old));
	for (n = 0; n < sizeof(reg->value); n += sizeof(word)) {
		seed += 0x9e3779b97f4a7c15;
		word = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9;
		word ^= word >> 27;
		memcpy(reg->value + n, &word, sizeof(word));
	}
	for (n = 0; n < ARRAY_SIZE(kept); n++)
		if (reg->id == kept[n].id) {
			memcpy(&word, reg->value, sizeof(word));
			word = (word & ~kept[n].keep) | (old & kept[n].keep);
			memcpy(reg->value, &word, sizeof(word));
		}
}

static bool is_counter(uint64_t id)
{
	return id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT;
}

/* An hour ahead, or a day: beyond what passes in a test, and far from an overflow. */
static void advance(struct odd_reg *reg)
{
	uint64_t value, frequency;

	asm("mrs %0, cntfrq_el0" : "=r"(frequency));
	memcpy(&value, reg->value, sizeof(value));
	value += (reg->id == KVM_REG_ARM_TIMER_CNT ? 3600 : 86400) * frequency;
	memcpy(reg->value, &value, sizeof(value));
}

/* Whether KVM takes @want, and has something else than @old then. */
static bool takes_value(struct odd_vm *vm, unsigned int i, const struct odd_reg *want, const struct odd_reg *old)
{
	struct odd_reg now = { .id = want->id };

	return !set(vm, i, want) && !get(vm, i, &now) && memcmp(now.value, old->value, sizeof(now.value));
}

/* ID registers and the like take little, and no pattern. */
static bool change_a_bit(struct odd_vm *vm, unsigned int i, const struct odd_reg *old)
{
	unsigned int bit;

	for (bit = 0; bit < 8 * size_of(old->id); bit++) {
		struct odd_reg want = *old;

		want.value[bit / 8] ^= 1 << bit % 8;
		if (takes_value(vm, i, &want, old))
			return true;
	}
	return false;
}

static bool change(struct odd_vm *vm, unsigned int i, const struct odd_reg *old)
{
	struct odd_reg want = *old;

	if (is_counter(old->id))
		advance(&want);
	else
		fill(&want, i);
	return takes_value(vm, i, &want, old) || change_a_bit(vm, i, old);
}

/* AArch64 ID registers: they decide which others there are. */
static bool is_id(uint64_t id)
{
	return id >= SYSREG(3, 0, 0, 1, 0) && id <= SYSREG(3, 0, 0, 7, 7);
}

static bool is_firmware(uint64_t id)
{
	uint64_t kind = id & KVM_REG_ARM_COPROC_MASK;

	return kind == KVM_REG_ARM_FW || kind == KVM_REG_ARM_FW_FEAT_BMAP;
}

/* ID, firmware and counter registers are the VM's: filled once, with the first vCPU. */
static bool is_of_vm(uint64_t id)
{
	return is_id(id) || is_firmware(id) || is_counter(id);
}

static int fill_some(struct odd_vm *vm, unsigned int i, bool ids, bool (*takes)(uint64_t id))
{
	struct odd_regs all;
	size_t n;
	int nr = 0;

	if (odd_save_regs(vm, i, &all))
		return -1;
	for (n = 0; n < all.nr; n++) {
		uint64_t id = all.regs[n].id;

		if (is_id(id) == ids && (takes ? takes(id) : !i || !is_of_vm(id)))
			nr += change(vm, i, &all.regs[n]);
	}
	free(all.regs);
	return nr;
}

int odd_fill_regs(struct odd_vm *vm, unsigned int i, bool (*takes)(uint64_t id))
{
	int ids = fill_some(vm, i, true, takes), others = ids < 0 ? -1 : fill_some(vm, i, false, takes);

	return others < 0 ? -1 : ids + others;
}

bool odd_is_sve(uint64_t id)
{
	return (id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM64_SVE;
}

/* --- whether they are the same --- */

static const char *name_of(uint64_t id)
{
	static char name[64];

	if ((id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM64_SYSREG)
		snprintf(name, sizeof(name), "system register %u,%u,%u,%u,%u", (unsigned int)(id >> 14 & 3),
			 (unsigned int)(id >> 11 & 7), (unsigned int)(id >> 7 & 15), (unsigned int)(id >> 3 & 15),
			 (unsigned int)(id & 7));
	else if ((id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM_CORE)
		snprintf(name, sizeof(name), "core register %u", (unsigned int)(id & 0xffff));
	else
		snprintf(name, sizeof(name), "register %#" PRIx64, id);
	return name;
}

/* Not back, and no further than the host's. */
static bool counts(uint64_t old, uint64_t now, uint64_t when)
{
	return now >= old && now - old <= counter() - when;
}

static bool is_same(const struct odd_reg *old, const struct odd_reg *now, uint64_t when)
{
	uint64_t a, b;
	size_t n;

	if (!memcmp(old->value, now->value, sizeof(old->value)))
		return true;
	memcpy(&a, old->value, sizeof(a));
	memcpy(&b, now->value, sizeof(b));
	for (n = 0; n < ARRAY_SIZE(exempt); n++)
		if (old->id == exempt[n].id)
			return exempt[n].same == COUNTS ? counts(a, b, when) : !((a ^ b) & ~exempt[n].mask);
	return false;
}

static void differs(struct odd_vm *vm, unsigned int i, const struct odd_reg *old, const struct odd_reg *now)
{
	char text[128];
	size_t n = 0;
	uint64_t a, b;

	while (n < ODD_REG_MAX - 8 && !memcmp(old->value + n, now->value + n, 8))
		n += 8;
	memcpy(&a, old->value + n, sizeof(a));
	memcpy(&b, now->value + n, sizeof(b));
	snprintf(text, sizeof(text), "vcpu %u: %s, byte %zu: was %#" PRIx64 ", is", i, name_of(old->id), n, a);
	odd_found(vm, text, b);
}

static bool compare(struct odd_vm *vm, unsigned int i, struct odd_regs *old, struct odd_regs *now)
{
	size_t n;

	old->equal = 0;
	for (n = 0; n < old->nr && n < now->nr; n++) {
		if (old->regs[n].id != now->regs[n].id) {
			odd_found(vm, "another list of registers, from", old->regs[n].id);
			return false;
		}
		if (old->regs[n].id != old->but && !is_same(&old->regs[n], &now->regs[n], old->when)) {
			differs(vm, i, &old->regs[n], &now->regs[n]);
			return false;
		}
		old->equal += !memcmp(old->regs[n].value, now->regs[n].value, ODD_REG_MAX);
	}
	if (old->nr != now->nr)
		odd_found(vm, "another number of registers", now->nr);
	return old->nr == now->nr;
}

bool odd_same_regs(struct odd_vm *vm, unsigned int i, struct odd_regs *saved)
{
	struct odd_regs now;
	bool same;

	if (odd_save_regs(vm, i, &now)) {
		odd_found(vm, "the registers of a vCPU cannot be read: errno", errno);
		return false;
	}
	same = compare(vm, i, saved, &now);
	free(now.regs);
	return same;
}

void odd_print_exempt(const struct odd_regs *saved)
{
	size_t n, r;

	for (n = 0; n < ARRAY_SIZE(exempt); n++)
		for (r = 0; r < saved->nr; r++)
			if (saved->regs[r].id == exempt[n].id)
				test_msg("registers: exempt: %s: %s\n", exempt[n].name, exempt[n].why);
}
