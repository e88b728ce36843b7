// SPDX-License-Identifier: GPL-2.0-only
/* kvm-vm.img: vm.proto. */
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

_Static_assert((int)KVM_FILE_SYSTEM == (int)KVM_VGIC__KVM_FILE_KIND__KVM_FILE_SYSTEM &&
		       (int)KVM_FILE_VM == (int)KVM_VGIC__KVM_FILE_KIND__KVM_FILE_VM &&
		       (int)KVM_FILE_VCPU == (int)KVM_VGIC__KVM_FILE_KIND__KVM_FILE_VCPU &&
		       (int)KVM_FILE_VGIC == (int)KVM_VGIC__KVM_FILE_KIND__KVM_FILE_VGIC &&
		       (int)KVM_FILE_ITS == (int)KVM_VGIC__KVM_FILE_KIND__KVM_FILE_ITS &&
		       (int)KVM_FILE_VM_STATS == (int)KVM_VGIC__KVM_FILE_KIND__KVM_FILE_VM_STATS &&
		       (int)KVM_FILE_VCPU_STATS == (int)KVM_VGIC__KVM_FILE_KIND__KVM_FILE_VCPU_STATS,
	       "vm.proto has the kinds of state/vm.h");

static void pack_backings(KvmVgic__BackingEntry **list, const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_backings; i++) {
		kvm_vgic__backing_entry__init(list[i]);
		list[i]->path = vm->backings[i].path;
		list[i]->file_size = vm->backings[i].file_size;
		list[i]->offset = vm->backings[i].offset;
		list[i]->size = vm->backings[i].size;
		list[i]->slot = vm->backings[i].slot;
		list[i]->gpa = vm->backings[i].gpa;
		list[i]->hash = vm->backings[i].hash;
		list[i]->inode = vm->backings[i].inode;
		list[i]->mtime = vm->backings[i].mtime;
	}
}

static void pack_file(KvmVgic__KvmFileEntry *entry, const struct kvm_file *file)
{
	kvm_vgic__kvm_file_entry__init(entry);
	entry->id = file->id;
	entry->kind = (KvmVgic__KvmFileKind)file->kind;
	entry->index = file->index;
	entry->has_flags = true;
	entry->flags = file->flags;
	entry->has_pos = file->pos;
	entry->pos = file->pos;
}

void kvm_file_pack(struct frame_out *out, const struct kvm_file *file)
{
	KvmVgic__KvmFileEntry entry;

	pack_file(&entry, file);
	frame_add(out, &entry.base);
}

void kvm_file_unpack(const KvmVgic__KvmFileEntry *entry, struct kvm_file *file)
{
	*file = (struct kvm_file){
		.id = entry->id,
		.kind = (enum kvm_file_kind)entry->kind,
		.index = entry->index,
		.flags = entry->flags,
		.pos = entry->pos,
	};
}

static void pack_files(KvmVgic__KvmFileEntry **list, const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_files; i++)
		pack_file(list[i], &vm->files[i]);
}

/* Packs the filter into @entry, whose lists are to be freed; false where it could not be. */
static bool pack_filter(struct frame_out *out, KvmVgic__PmuFilterEntry *entry, const struct pmu_filter *filter)
{
	entry->n_allowed = filter->nr;
	if (!ENTRY_LIST(out, filter->nr, entry->allowed))
		return false;
	for (size_t i = 0; i < filter->nr; i++) {
		kvm_vgic__pmu_range_entry__init(entry->allowed[i]);
		entry->allowed[i]->first = filter->allowed[i].first;
		entry->allowed[i]->last = filter->allowed[i].last;
	}
	return true;
}

void vm_pack(struct frame_out *out, const struct vm_state *vm, const struct image_seals *seals)
{
	KvmVgic__VmEntry entry = KVM_VGIC__VM_ENTRY__INIT;
	KvmVgic__PmuFilterEntry filter = KVM_VGIC__PMU_FILTER_ENTRY__INIT;
	KvmVgic__SmcccFilterEntry smccc = KVM_VGIC__SMCCC_FILTER_ENTRY__INIT;
	char boot_id[sizeof(vm->boot_id)] = { 0 };

	memcpy(boot_id, vm->boot_id, sizeof(boot_id) - 1);
	entry.id = vm->id;
	entry.vpid = vm->vpid;
	entry.page_size = vm->page_size;
	entry.boot_id = boot_id;
	entry.ipa_bits = vm->ipa_bits;
	entry.features = vm->features;
	entry.vtimer_cnt = vm->vtimer_cnt;
	entry.ptimer_cnt = vm->ptimer_cnt;
	entry.ptimer_offset = vm->ptimer_offset;
	entry.counter_offset = vm->counter_offset;
	entry.cntfrq = vm->cntfrq;
	entry.realtime = vm->realtime;
	caps_pack(&entry, vm);
	entry.pmu_filter = vm->pmu_filter.active ? &filter : NULL;
	entry.fd = vm->fd;
	entry.park_base = vm->park_base;
	entry.n_backings = vm->nr_backings;
	entry.n_files = vm->nr_files;
	entry.vcpu_seal = seals->vcpu;
	entry.vcpu_events_seal = seals->vcpu_events;
	entry.vgic_seal = seals->vgic;
	entry.its_seal = seals->its;
	entry.thread_seal = seals->thread;
	if (ENTRY_LIST(out, vm->nr_backings, entry.backings) && ENTRY_LIST(out, vm->nr_files, entry.files) &&
	    pack_filter(out, &filter, &vm->pmu_filter) && memslots_pack(out, &entry, vm) &&
	    smccc_filter_pack(out, &entry, &smccc, vm) && bindings_pack(out, &entry, vm)) {
		pack_backings(entry.backings, vm);
		pack_files(entry.files, vm);
		frame_add(out, &entry.base);
	}
	memslots_free_packed(&entry);
	free(entry.backings);
	free(entry.files);
	free(filter.allowed);
	free(smccc.ranges);
	bindings_free(&entry);
}

static int unpack_backings(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct vm_state *vm)
{
	int ret;

	if (entry->n_backings > VM_MAX_BACKINGS) {
		pr_err("%s: VM %u: %zu backings, at most %u expected\n", in->file, vm->id, entry->n_backings,
		       VM_MAX_BACKINGS);
		return -EINVAL;
	}
	ret = entry_alloc(in, &vm->backings, entry->n_backings, sizeof(*vm->backings));
	if (ret)
		return ret;
	vm->nr_backings = entry->n_backings;
	for (size_t i = 0; i < vm->nr_backings; i++) {
		const KvmVgic__BackingEntry *from = entry->backings[i];

		vm->backings[i] = (struct backing){
			.path = strdup(from->path),
			.file_size = from->file_size,
			.offset = from->offset,
			.size = from->size,
			.slot = from->slot,
			.gpa = from->gpa,
			.hash = from->hash,
			.inode = from->inode,
			.mtime = from->mtime,
		};
		if (!vm->backings[i].path) {
			pr_err("%s: VM %u: no memory for a path\n", in->file, vm->id);
			return -ENOMEM;
		}
	}
	return 0;
}

static int unpack_files(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct vm_state *vm)
{
	int ret;

	if (entry->n_files > VM_MAX_FILES) {
		pr_err("%s: VM %u: %zu files, at most %u expected\n", in->file, vm->id, entry->n_files,
		       VM_MAX_FILES);
		return -EINVAL;
	}
	ret = entry_alloc(in, &vm->files, entry->n_files, sizeof(*vm->files));
	if (ret)
		return ret;
	vm->nr_files = entry->n_files;
	for (size_t i = 0; i < vm->nr_files; i++)
		kvm_file_unpack(entry->files[i], &vm->files[i]);
	return 0;
}

static int unpack_filter(const struct frame_in *in, const KvmVgic__PmuFilterEntry *entry, struct vm_state *vm)
{
	struct pmu_filter *filter = &vm->pmu_filter;
	int ret;

	if (!entry)
		return 0;
	if (entry->n_allowed > PMU_MAX_EVENTS / 2) {
		pr_err("%s: VM %u: %zu ranges of PMU events, at most %u expected\n", in->file, vm->id,
		       entry->n_allowed, PMU_MAX_EVENTS / 2);
		return -EINVAL;
	}
	ret = entry_alloc(in, &filter->allowed, entry->n_allowed, sizeof(*filter->allowed));
	if (ret)
		return ret;
	filter->active = true;
	filter->nr = entry->n_allowed;
	for (size_t i = 0; i < filter->nr; i++)
		filter->allowed[i] = (struct pmu_range){ entry->allowed[i]->first, entry->allowed[i]->last };
	return 0;
}

int vm_unpack(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct vm_state *vm,
	      struct image_seals *seals)
{
	int ret;

	vm->id = entry->id;
	vm->vpid = entry->vpid;
	vm->page_size = entry->page_size;
	vm->ipa_bits = entry->ipa_bits;
	vm->features = entry->features;
	vm->vtimer_cnt = entry->vtimer_cnt;
	vm->ptimer_cnt = entry->ptimer_cnt;
	vm->ptimer_offset = entry->ptimer_offset;
	vm->counter_offset = entry->counter_offset;
	vm->cntfrq = entry->cntfrq;
	vm->realtime = entry->realtime;
	vm->fd = entry->fd;
	vm->park_base = entry->park_base;
	if (strlen(entry->boot_id) != sizeof(vm->boot_id) - 1) {
		pr_err("%s: VM %u: boot_id: %zu characters expected, %zu found\n", in->file, vm->id,
		       sizeof(vm->boot_id) - 1, strlen(entry->boot_id));
		return -EINVAL;
	}
	memcpy(vm->boot_id, entry->boot_id, sizeof(vm->boot_id));
	*seals = (struct image_seals){
		.vcpu = entry->vcpu_seal,
		.vcpu_events = entry->vcpu_events_seal,
		.vgic = entry->vgic_seal,
		.its = entry->its_seal,
		.thread = entry->thread_seal,
	};
	ret = memslots_unpack(in, entry, vm);
	if (!ret)
		ret = unpack_backings(in, entry, vm);
	if (!ret)
		ret = unpack_filter(in, entry->pmu_filter, vm);
	if (!ret)
		ret = caps_unpack(in, entry, vm);
	if (!ret)
		ret = bindings_unpack(in, entry, vm);
	return ret ? ret : unpack_files(in, entry, vm);
}
