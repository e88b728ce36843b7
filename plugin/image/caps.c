// SPDX-License-Identifier: GPL-2.0-only
/* What vm.proto has of capabilities. */
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

void caps_pack(KvmVgic__VmEntry *entry, const struct vm_state *vm)
{
	entry->caps = vm->caps;
	entry->has_halt_poll_ns = vm->caps & VM_CAP_HALT_POLL;
	entry->halt_poll_ns = vm->halt_poll_ns;
	entry->has_manual_dirty_log = vm->caps & VM_CAP_MANUAL_DIRTY_LOG;
	entry->manual_dirty_log = vm->manual_dirty_log;
	entry->has_split_chunk = vm->caps & VM_CAP_EAGER_SPLIT;
	entry->split_chunk = vm->split_chunk;
}

bool smccc_filter_pack(struct frame_out *out, KvmVgic__VmEntry *entry, KvmVgic__SmcccFilterEntry *filter,
		       const struct vm_state *vm)
{
	const struct smccc_filter *from = &vm->smccc_filter;

	if (!(vm->caps & VM_CAP_SMCCC_FILTER))
		return true;
	entry->smccc_filter = filter;
	filter->n_ranges = from->nr;
	if (!ENTRY_LIST(out, from->nr, filter->ranges))
		return false;
	for (size_t i = 0; i < from->nr; i++) {
		kvm_vgic__smccc_range_entry__init(filter->ranges[i]);
		filter->ranges[i]->first = from->ranges[i].first;
		filter->ranges[i]->last = from->ranges[i].last;
		filter->ranges[i]->action = from->ranges[i].action;
	}
	return true;
}

static int unpack_filter(const struct frame_in *in, const KvmVgic__SmcccFilterEntry *from,
			 struct vm_state *vm)
{
	struct smccc_filter *filter = &vm->smccc_filter;
	int ret;

	if (!from)
		return 0;
	if (from->n_ranges > SMCCC_MAX_RANGES) {
		pr_err("%s: VM %u: %zu ranges of SMCCC calls, at most %u expected\n", in->file, vm->id,
		       from->n_ranges, SMCCC_MAX_RANGES);
		return -EINVAL;
	}
	ret = entry_alloc(in, &filter->ranges, from->n_ranges, sizeof(*filter->ranges));
	if (ret)
		return ret;
	filter->nr = from->n_ranges;
	for (size_t i = 0; i < filter->nr; i++)
		filter->ranges[i] = (struct smccc_range){
			.first = from->ranges[i]->first,
			.last = from->ranges[i]->last,
			.action = from->ranges[i]->action,
		};
	return 0;
}

int caps_unpack(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct vm_state *vm)
{
	vm->caps = entry->caps;
	vm->halt_poll_ns = entry->halt_poll_ns;
	vm->manual_dirty_log = entry->manual_dirty_log;
	vm->split_chunk = entry->split_chunk;
	return unpack_filter(in, entry->smccc_filter, vm);
}
