// SPDX-License-Identifier: GPL-2.0-only
/* The rules for the VMM's threads: what they have is handed to PTRACE_SETREGSET, which checks it too. */
#include "image/check.h"

static int check_sets(const struct vm_state *vm, const struct thread_state *thread)
{
	size_t next = 0;

	for (size_t i = 0; i < thread->nr_sets; i++) {
		const struct thread_regset *set = &thread->sets[i];

		while (next < thread_nr_notes && thread_notes[next] != set->note)
			next++;
		if (next++ == thread_nr_notes)
			return refuse_thread(vm, thread, "register set 0x%x is not known, or not in its place",
					     set->note);
		if (!set->size)
			return refuse_thread(vm, thread, "register set 0x%x is empty", set->note);
	}
	return 0;
}

static int check_vtids(const struct vm_state *vm)
{
	struct claims ids = { 0 };
	const struct claim *c;
	int ret = claims_alloc(&ids, vm->nr_threads);

	if (ret)
		return ret;
	for (size_t i = 0; i < vm->nr_threads; i++)
		claims_add(&ids, &(struct claim){ .first = vm->threads[i].vtid, .last = vm->threads[i].vtid, .n = i });
	c = claims_clash(&ids);
	if (c)
		ret = refuse_thread(vm, &vm->threads[c->n], "twice");
	claims_free(&ids);
	return ret;
}

static bool has_thread(const struct vm_state *vm, int32_t vtid)
{
	for (size_t i = 0; i < vm->nr_threads; i++)
		if (vm->threads[i].vtid == vtid)
			return true;
	return false;
}

int check_runners(const struct vm_state *vm, const struct vm_state *first)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i].vtid && !has_thread(first, vm->vcpus[i].vtid))
			return refuse_vcpu(vm, i, "vtid %d is no thread of the VM's owner", vm->vcpus[i].vtid);
	return 0;
}

int check_threads(const struct vm_state *vm)
{
	int ret = 0;

	if (vm->nr_threads > THREAD_MAX)
		return refuse(IMAGE_THREAD ": %zu threads, at most %u expected", vm->id, vm->nr_threads,
			      THREAD_MAX);
	for (size_t i = 0; i < vm->nr_threads && !ret; i++) {
		if (vm->threads[i].vtid < 1)
			return refuse_thread(vm, &vm->threads[i], "no tid");
		ret = check_sets(vm, &vm->threads[i]);
	}
	return ret ?: check_vtids(vm);
}
