// SPDX-License-Identifier: GPL-2.0-only
/* memslot_entry of vm.proto, with dirty logs. */
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

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
		to->n_dirty = slot->log.nr;
		to->dirty = slot->log.runs;
	}
	return true;
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
		ret = unpack_log(in, from, &vm->slots[i]);
	}
	return ret;
}
