// SPDX-License-Identifier: GPL-2.0-only
/* kvm-thread-<vm>.img: thread.proto. */
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

void thread_pack(struct frame_out *out, const struct thread_state *thread)
{
	KvmVgic__ThreadEntry entry = KVM_VGIC__THREAD_ENTRY__INIT;

	entry.vtid = thread->vtid;
	entry.n_sets = thread->nr_sets;
	if (ENTRY_LIST(out, thread->nr_sets, entry.sets)) {
		for (size_t i = 0; i < thread->nr_sets; i++) {
			kvm_vgic__thread_regset_entry__init(entry.sets[i]);
			entry.sets[i]->note = thread->sets[i].note;
			entry.sets[i]->data.data = thread->sets[i].data;
			entry.sets[i]->data.len = thread->sets[i].size;
		}
		frame_add(out, &entry.base);
	}
	free(entry.sets);
}

static int unpack_set(const struct frame_in *in, int32_t vtid, const KvmVgic__ThreadRegsetEntry *entry,
		      struct thread_regset *set)
{
	int ret;

	if (entry->data.len > THREAD_SET_MAX) {
		pr_err("%s: thread %d: register set 0x%x: %zu bytes, at most %u expected\n", in->file, vtid,
		       entry->note, entry->data.len, THREAD_SET_MAX);
		return -EINVAL;
	}
	ret = entry_alloc(in, &set->data, entry->data.len, 1);
	if (ret)
		return ret;
	set->note = entry->note;
	set->size = entry->data.len;
	if (set->size)
		memcpy(set->data, entry->data.data, set->size);
	return 0;
}

int thread_unpack(const struct frame_in *in, const KvmVgic__ThreadEntry *entry, struct thread_state *thread)
{
	int ret;

	thread->vtid = entry->vtid;
	if (entry->n_sets > THREAD_MAX_SETS) {
		pr_err("%s: thread %d: %zu register sets, at most %u expected\n", in->file, thread->vtid,
		       entry->n_sets, THREAD_MAX_SETS);
		return -EINVAL;
	}
	ret = entry_alloc(in, &thread->sets, entry->n_sets, sizeof(*thread->sets));
	if (ret)
		return ret;
	thread->nr_sets = entry->n_sets;
	for (size_t i = 0; i < thread->nr_sets && !ret; i++)
		ret = unpack_set(in, thread->vtid, entry->sets[i], &thread->sets[i]);
	return ret;
}
