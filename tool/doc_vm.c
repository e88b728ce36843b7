// SPDX-License-Identifier: GPL-2.0-only
/* The document: VMs, their memory and their files. */
#include <stdlib.h>

#include "document.h"

static const struct bit_name feature_names[] = {
	{ KVM_ARM_VCPU_POWER_OFF, "KVM_ARM_VCPU_POWER_OFF" },
	{ KVM_ARM_VCPU_EL1_32BIT, "KVM_ARM_VCPU_EL1_32BIT" },
	{ KVM_ARM_VCPU_PSCI_0_2, "KVM_ARM_VCPU_PSCI_0_2" },
	{ KVM_ARM_VCPU_PMU_V3, "KVM_ARM_VCPU_PMU_V3" },
	{ KVM_ARM_VCPU_SVE, "KVM_ARM_VCPU_SVE" },
	{ KVM_ARM_VCPU_PTRAUTH_ADDRESS, "KVM_ARM_VCPU_PTRAUTH_ADDRESS" },
	{ KVM_ARM_VCPU_PTRAUTH_GENERIC, "KVM_ARM_VCPU_PTRAUTH_GENERIC" },
	{ KVM_ARM_VCPU_HAS_EL2, "KVM_ARM_VCPU_HAS_EL2" },
};

static const struct bit_name slot_flag_names[] = { { 0, "KVM_MEM_LOG_DIRTY_PAGES" }, { 1, "KVM_MEM_READONLY" } };
_Static_assert(KVM_MEM_LOG_DIRTY_PAGES == 1 << 0 && KVM_MEM_READONLY == 1 << 1, "slot_flag_names");

static const char *const file_kinds[] = {
	[KVM_FILE_SYSTEM] = "system", [KVM_FILE_VM] = "vm", [KVM_FILE_VCPU] = "vcpu", [KVM_FILE_VGIC] = "vgic",
	[KVM_FILE_ITS] = "its", [KVM_FILE_VM_STATS] = "vm-stats", [KVM_FILE_VCPU_STATS] = "vcpu-stats",
};

json_t *document_files(const struct kvm_file *files, size_t nr)
{
	json_t *list = new_array();

	for (size_t i = 0; i < nr; i++) {
		json_t *file = new_object();

		put(file, "id", number(files[i].id));
		put(file, "kind", NAMED(files[i].kind, file_kinds));
		put(file, "index", number(files[i].index));
		put(file, "flags", hex(files[i].flags));
		put(file, "pos", number(files[i].pos));
		add(list, file);
	}
	return list;
}

static json_t *capabilities(const struct vm_state *vm)
{
	json_t *caps = new_object();
	const char *name;
	uint64_t value;

	for (size_t i = 0;; i++) {
		bool has = caps_at(vm, i, &name, &value);

		if (!name)
			return caps;
		if (has)
			put(caps, name, number(value));
	}
}

static json_t *smccc_filter(const struct vm_state *vm)
{
	static const char *const actions[] = { "handle", "deny", "forward" };
	json_t *list = new_array();

	for (size_t i = 0; i < vm->smccc_filter.nr; i++) {
		const struct smccc_range *range = &vm->smccc_filter.ranges[i];
		json_t *entry = new_object();

		put(entry, "first", hex(range->first));
		put(entry, "last", hex(range->last));
		put(entry, "action", NAMED(range->action, actions));
		add(list, entry);
	}
	return list;
}

static json_t *pmu_filter(const struct vm_state *vm)
{
	json_t *list = new_array();

	for (size_t i = 0; i < vm->pmu_filter.nr; i++) {
		json_t *range = new_object();

		put(range, "first", number(vm->pmu_filter.allowed[i].first));
		put(range, "last", number(vm->pmu_filter.allowed[i].last));
		add(list, range);
	}
	return list;
}

static json_t *counters(const struct vm_state *vm)
{
	json_t *c = new_object();

	put(c, "virtual", hex(vm->vtimer_cnt));
	put(c, "physical", hex(vm->ptimer_cnt));
	put(c, "frequency", number(vm->cntfrq));
	put(c, "realtime", hex(vm->realtime));
	put(c, "physical_offset", truth(vm->ptimer_offset));
	put(c, "counter_offset", truth(vm->counter_offset));
	return c;
}

/* Runs are by turns clean and dirty. */
static uint64_t dirty_pages(const struct dirty_log *log)
{
	uint64_t nr = 0;

	for (size_t i = 1; i < log->nr; i += 2)
		nr += log->runs[i];
	return nr;
}

static json_t *memslots(const struct vm_state *vm)
{
	json_t *list = new_array();

	for (size_t i = 0; i < vm->nr_slots; i++) {
		const struct memslot *s = &vm->slots[i];
		json_t *slot = new_object();

		put(slot, "slot", number(s->slot));
		put(slot, "gpa", hex(s->gpa));
		put(slot, "size", hex(s->size));
		put(slot, "hva", hex(s->hva));
		put(slot, "flags", bits(s->flags, slot_flag_names, 2));
		if (s->flags & KVM_MEM_LOG_DIRTY_PAGES) {
			put(slot, "dirty_pages", number(dirty_pages(&s->log)));
			put(slot, "dirty_hash", hash(s->log.runs, s->log.nr * sizeof(*s->log.runs)));
		}
		add(list, slot);
	}
	return list;
}

static json_t *backings(const struct vm_state *vm)
{
	json_t *list = new_array();

	for (size_t i = 0; i < vm->nr_backings; i++) {
		const struct backing *b = &vm->backings[i];
		json_t *backing = new_object();

		put(backing, "path", text(b->path));
		put(backing, "file_size", hex(b->file_size));
		put(backing, "offset", hex(b->offset));
		put(backing, "size", hex(b->size));
		put(backing, "slot", number(b->slot));
		put(backing, "gpa", hex(b->gpa));
		put(backing, "hash", hex(b->hash));
		put(backing, "inode", hex(b->inode));
		put(backing, "mtime", number(b->mtime));
		add(list, backing);
	}
	return list;
}

static json_t *threads(const struct vm_state *vm)
{
	json_t *list = new_array();

	for (size_t i = 0; i < vm->nr_threads; i++) {
		json_t *thread = new_object(), *sets = new_object();

		for (size_t s = 0; s < vm->threads[i].nr_sets; s++) {
			const struct thread_regset *set = &vm->threads[i].sets[s];
			json_t *entry = new_object();

			put(entry, "size", number(set->size));
			put(entry, "hash", hash(set->data, set->size));
			put(sets, thread_note_name(set->note), entry);
		}
		put(thread, "tid", number(vm->threads[i].vtid));
		put(thread, "sets", sets);
		add(list, thread);
	}
	return list;
}

json_t *document_vm(const struct vm_state *vm)
{
	json_t *d = new_object();

	put(d, "id", number(vm->id));
	put(d, "pid", number(vm->vpid));
	put(d, "fd", number(vm->fd));
	put(d, "park_base", number(vm->park_base));
	put(d, "page_size", number(vm->page_size));
	put(d, "boot_id", text(vm->boot_id));
	put(d, "ipa_bits", number(vm->ipa_bits));
	put(d, "features", bits(vm->features, feature_names, sizeof(feature_names) / sizeof(feature_names[0])));
	put(d, "capabilities", capabilities(vm));
	if (vm->caps & VM_CAP_SMCCC_FILTER)
		put(d, "smccc_filter", smccc_filter(vm));
	if (vm->pmu_filter.active)
		put(d, "pmu_filter", pmu_filter(vm));
	put(d, "counters", counters(vm));
	put(d, "memslots", memslots(vm));
	put(d, "backings", backings(vm));
	put(d, "vcpus", document_vcpus(vm));
	put(d, "gic", document_gic(vm));
	put(d, "interrupts", document_interrupts(vm));
	put(d, "itses", document_itses(vm));
	put(d, "lpis", document_lpis(vm));
	put(d, "irqfds", document_irqfds(vm));
	put(d, "ioeventfds", document_ioeventfds(vm));
	if (vm->routing.own)
		put(d, "routes", document_routes(vm));
	put(d, "coalesced", document_coalesced(vm));
	put(d, "files", document_files(vm->files, vm->nr_files));
	put(d, "threads", threads(vm));
	return d;
}

json_t *document_make(const struct tool_images *images)
{
	json_t *d = new_versioned(DOCUMENT_FORMAT, DOCUMENT_VERSION), *vms = new_array();

	for (size_t i = 0; i < images->n; i++)
		add(vms, document_vm(images->vms[i]));
	put(d, "vms", vms);
	put(d, "files", document_files(images->files.list, images->files.nr));
	return d;
}
