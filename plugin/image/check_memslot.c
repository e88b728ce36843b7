// SPDX-License-Identifier: GPL-2.0-only
/* The rules for memslots and their dirty logs. */
#include <inttypes.h>

#include "image/check.h"

/* The clean and the dirty runs are pairs: the last one is dirty. */
static int check_log(const struct vm_state *vm, const struct memslot *slot)
{
	uint64_t left = slot->size / vm->page_size;

	if (slot->log.nr && !(slot->flags & KVM_MEM_LOG_DIRTY_PAGES))
		return refuse_vm(vm, "memslot %u: a dirty log, and flags 0x%x", slot->slot, slot->flags);
	if (slot->log.nr % 2)
		return refuse_vm(vm, "memslot %u: a dirty log of %zu runs", slot->slot, slot->log.nr);
	for (size_t i = 0; i < slot->log.nr; i++) {
		if ((i && !slot->log.runs[i]) || slot->log.runs[i] > left)
			return refuse_vm(vm, "memslot %u: dirty log, run %zu: %" PRIu64 " pages of %" PRIu64,
					 slot->slot, i, slot->log.runs[i], left);
		left -= slot->log.runs[i];
	}
	return 0;
}

/* An id with bits above 15 is of an address space that arm64 does not have. */
#define SLOT_MAX (VM_MAX_SLOTS - 1)

static int check_slot(const struct vm_state *vm, const struct memslot *slot)
{
	if (slot->slot > SLOT_MAX)
		return refuse_vm(vm, "memslot %u: an id up to %u expected", slot->slot, SLOT_MAX);
	if (!aligned(slot->gpa | slot->size | slot->hva, vm->page_size))
		return refuse_vm(vm, "memslot %u: not aligned to pages of %u bytes", slot->slot,
				 vm->page_size);
	if (!within_ipa(vm, slot->gpa, slot->size))
		return refuse_vm(vm,
				 "memslot %u: gpa 0x%" PRIx64 ", size 0x%" PRIx64 ": not within %u IPA bits",
				 slot->slot, slot->gpa, slot->size, vm->ipa_bits);
	if (!is_range(slot->hva, slot->size))
		return refuse_vm(vm, "memslot %u: hva 0x%" PRIx64 ", size 0x%" PRIx64 ": overflow",
				 slot->slot, slot->hva, slot->size);
	if (slot->flags & ~(KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES))
		return refuse_vm(vm, "memslot %u: flags 0x%x are not known", slot->slot, slot->flags);
	return check_log(vm, slot);
}

static int check_slot_clashes(const struct vm_state *vm, struct claims *ids, struct claims *gpas)
{
	const struct claim *c;

	for (size_t i = 0; i < vm->nr_slots; i++) {
		const struct memslot *s = &vm->slots[i];

		claims_add(ids, &(struct claim){ .first = s->slot, .last = s->slot, .n = i });
		claims_add(gpas, &(struct claim){ .first = s->gpa, .last = s->gpa + s->size - 1, .n = i });
	}
	c = claims_clash(ids);
	if (c)
		return refuse_vm(vm, "memslot %" PRIu64 ": twice", c->first);
	c = claims_clash(gpas);
	if (c)
		return refuse_vm(vm, "memslot %u: gpa 0x%" PRIx64 " is memslot %u's too",
				 vm->slots[c->n].slot, c->first, vm->slots[c[-1].n].slot);
	return 0;
}

int check_slots(const struct vm_state *vm)
{
	struct claims ids = { 0 }, gpas = { 0 };
	int ret = 0;

	if (vm->nr_slots > VM_MAX_SLOTS)
		return refuse_vm(vm, "%zu memslots, at most %u expected", vm->nr_slots, VM_MAX_SLOTS);
	for (size_t i = 0; i < vm->nr_slots && !ret; i++)
		ret = check_slot(vm, &vm->slots[i]);
	if (!ret)
		ret = claims_alloc(&ids, vm->nr_slots);
	if (!ret)
		ret = claims_alloc(&gpas, vm->nr_slots);
	if (!ret)
		ret = check_slot_clashes(vm, &ids, &gpas);
	claims_free(&ids);
	claims_free(&gpas);
	return ret;
}
