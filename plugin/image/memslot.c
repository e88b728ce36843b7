// SPDX-License-Identifier: GPL-2.0-only
/* memslot_entry of vm.proto, with dirty logs. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "image/entry.h"
#include "log.h"

/* Bytes of the runs, each 7 bits to a byte. */
static size_t runs_size(const struct dirty_log *log)
{
	size_t size = 0;

	for (size_t i = 0; i < log->nr; i++)
		for (uint64_t run = log->runs[i]; size++, run > 0x7f;)
			run >>= 7;
	return size;
}

/* As runs, or as bits where those are shorter: of memory where clean and dirty pages take turns often. */
static bool pack_log(struct frame_out *out, const struct vm_state *vm, const struct memslot *slot,
		     KvmVgic__MemslotEntry *to)
{
	size_t size = dirty_log_bits_size(slot->size / vm->page_size);

	if (runs_size(&slot->log) <= size) {
		to->n_dirty = slot->log.nr;
		to->dirty = slot->log.runs;
		return true;
	}
	to->dirty_bits.data = entry_room(out, size, 1);
	if (!to->dirty_bits.data)
		return false;
	to->has_dirty_bits = true;
	to->dirty_bits.len = size;
	dirty_log_to_bits(&slot->log, (uint64_t *)to->dirty_bits.data);
	return true;
}

void memslots_free_packed(KvmVgic__VmEntry *entry)
{
	for (size_t i = 0; entry->slots && i < entry->n_slots; i++)
		free(entry->slots[i]->dirty_bits.data);
	free(entry->slots);
}

bool memslots_pack(struct frame_out *out, KvmVgic__VmEntry *entry, const struct vm_state *vm)
{
	entry->n_slots = vm->nr_slots;
	if (!ENTRY_LIST(out, vm->nr_slots, entry->slots))
		return false;
	for (size_t i = 0; i < vm->nr_slots; i++) {
		const struct memslot *slot = &vm->slots[i];
		KvmVgic__MemslotEntry *to = entry->slots[i];

		kvm_vgic__memslot_entry__init(to);
		to->slot = slot->slot;
		to->flags = slot->flags;
		to->gpa = slot->gpa;
		to->size = slot->size;
		to->hva = slot->hva;
		if (!pack_log(out, vm, slot, to))
			return false;
	}
	return true;
}

/* KVM's words are little-endian ones, as the images are. */
static int unpack_bits(const struct frame_in *in, const struct vm_state *vm, const KvmVgic__MemslotEntry *from,
		       struct memslot *slot)
{
	uint64_t pages = vm->page_size ? slot->size / vm->page_size : 0, *bits; /* not checked yet */
	int ret;

	if (from->n_dirty || from->dirty_bits.len / sizeof(*bits) != pages / 64 + !!(pages % 64) ||
	    from->dirty_bits.len % sizeof(*bits)) {
		pr_err("%s: VM %u: memslot %u: %zu bytes of a dirty log, beside %zu runs, for %" PRIu64 " pages\n",
		       in->file, vm->id, slot->slot, from->dirty_bits.len, from->n_dirty, pages);
		return -EINVAL;
	}
	ret = entry_alloc(in, &bits, from->dirty_bits.len, 1);
	if (ret)
		return ret;
	if (from->dirty_bits.len)
		memcpy(bits, from->dirty_bits.data, from->dirty_bits.len);
	ret = dirty_log_from_bits(&slot->log, bits, pages);
	free(bits);
	return ret;
}

static int unpack_log(const struct frame_in *in, const KvmVgic__MemslotEntry *from, struct memslot *slot)
{
	int ret = entry_alloc(in, &slot->log.runs, from->n_dirty, sizeof(*slot->log.runs));

	if (ret)
		return ret;
	slot->log.nr = from->n_dirty;
	for (size_t i = 0; i < from->n_dirty; i++)
		slot->log.runs[i] = from->dirty[i];
	return 0;
}

int memslots_unpack(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct vm_state *vm)
{
	int ret;

	if (entry->n_slots > VM_MAX_SLOTS) {
		pr_err("%s: VM %u: %zu memslots, at most %u expected\n", in->file, vm->id, entry->n_slots,
		       VM_MAX_SLOTS);
		return -EINVAL;
	}
	ret = entry_alloc(in, &vm->slots, entry->n_slots, sizeof(*vm->slots));
	if (ret)
		return ret;
	vm->nr_slots = entry->n_slots;
	for (size_t i = 0; !ret && i < vm->nr_slots; i++) {
		const KvmVgic__MemslotEntry *from = entry->slots[i];

		vm->slots[i] = (struct memslot){
			.slot = from->slot,
			.flags = from->flags,
			.gpa = from->gpa,
			.size = from->size,
			.hva = from->hva,
		};
		ret = from->has_dirty_bits ? unpack_bits(in, vm, from, &vm->slots[i]) :
					     unpack_log(in, from, &vm->slots[i]);
	}
	return ret;
}
