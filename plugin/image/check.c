// SPDX-License-Identifier: GPL-2.0-only
/* The rules for a VM as a whole, and for several of them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "image/check.h"

#define PARK_MAX (INT32_MAX - 2 - VM_MAX_VCPUS - VM_MAX_ITSES) /* so that the fd numbers above it are ints */

int claims_alloc(struct claims *claims, size_t max)
{
	*claims = (struct claims){ .list = reallocarray(NULL, max + 1, sizeof(*claims->list)) };
	if (claims->list)
		return 0;
	pr_err("no memory to check images\n");
	return -ENOMEM;
}

void claims_free(struct claims *claims)
{
	free(claims->list);
}

void claims_add(struct claims *claims, const struct claim *c)
{
	claims->list[claims->n++] = *c;
}

static int cmp(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_claims(const void *a_, const void *b_)
{
	const struct claim *a = a_, *b = b_;
	int ret = cmp(a->space, b->space);

	if (!ret)
		ret = cmp(a->first, b->first);
	if (!ret)
		ret = cmp(a->vm, b->vm);
	return ret ? ret : cmp(a->n, b->n);
}

static bool in_order(const struct claims *claims)
{
	for (size_t i = 1; i < claims->n; i++)
		if (compare_claims(&claims->list[i - 1], &claims->list[i]) > 0)
			return false;
	return true;
}

const struct claim *claims_clash(struct claims *claims)
{
	if (!in_order(claims))
		qsort(claims->list, claims->n, sizeof(*claims->list), compare_claims);
	for (size_t i = 1; i < claims->n; i++) {
		const struct claim *c = &claims->list[i];

		if (c[-1].space == c->space && c[-1].last >= c->first)
			return c;
	}
	return NULL;
}

static bool is_uuid(const char id[37])
{
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? id[i] != '-' : !id[i] || !strchr("0123456789abcdef", id[i]))
			return false;
	}
	return !id[36];
}

/* All that KVM_ARM_VCPU_INIT of Linux 7.2 knows but HAS_EL2. */
#define KNOWN_FEATURES 0x7full

static int check_head(const struct vm_state *vm)
{
	if (!vm->id)
		return refuse_vm(vm, "id is 0");
	if (vm->vpid < 1)
		return refuse_vm(vm, "vpid %d is no pid", vm->vpid);
	if (vm->page_size < 4096 || vm->page_size > 65536 || !aligned(vm->page_size, vm->page_size))
		return refuse_vm(vm, "page_size %u is no page size", vm->page_size);
	if (!is_uuid(vm->boot_id))
		return refuse_vm(vm, "boot_id is no UUID");
	if (vm->ipa_bits < 32 || vm->ipa_bits > 52)
		return refuse_vm(vm, "ipa_bits %u, 32 to 52 expected", vm->ipa_bits);
	if (vm->features & ~KNOWN_FEATURES)
		return refuse_vm(vm, "features 0x%" PRIx64 " are not known", vm->features);
	if (!vm->nr_vcpus || vm->nr_vcpus > VM_MAX_VCPUS)
		return refuse(IMAGE_VCPU ": %zu vCPUs, 1 to %u expected", vm->id, vm->nr_vcpus, VM_MAX_VCPUS);
	if (vm->park_base < 0 || vm->park_base > PARK_MAX)
		return refuse_vm(vm, "park_base %d is no fd number", vm->park_base);
	return 0;
}

static int check_pmu_filter(const struct vm_state *vm)
{
	const struct pmu_filter *filter = &vm->pmu_filter;

	if (filter->active && !(vm->features >> KVM_ARM_VCPU_PMU_V3 & 1))
		return refuse_vm(vm, "pmu_filter, and no PMU");
	if (filter->nr > PMU_MAX_EVENTS / 2)
		return refuse_vm(vm, "pmu_filter: %zu ranges, at most %u expected", filter->nr,
				 PMU_MAX_EVENTS / 2);
	for (size_t i = 0; i < filter->nr; i++) {
		const struct pmu_range *range = &filter->allowed[i];

		if (range->last < range->first || range->last >= PMU_MAX_EVENTS ||
		    (i && range->first <= filter->allowed[i - 1].last))
			return refuse_vm(vm, "pmu_filter: range %zu, 0x%x to 0x%x: not after the one before, or "
					     "beyond 0x%x",
					 i, range->first, range->last, PMU_MAX_EVENTS - 1);
	}
	return 0;
}

/* CRIU's files */

/* How many objects of the kind @vm has: 0 of one that is not known. */
static uint32_t nr_of_kind(const struct vm_state *vm, enum kvm_file_kind kind)
{
	switch (kind) {
	case KVM_FILE_SYSTEM:
	case KVM_FILE_VM:
	case KVM_FILE_VGIC:
	case KVM_FILE_VM_STATS:
		return 1;
	case KVM_FILE_VCPU:
	case KVM_FILE_VCPU_STATS:
		return vm->nr_vcpus;
	case KVM_FILE_ITS:
		return vm->nr_itses ?: 1; /* so that its index is what is wrong */
	}
	return 0;
}

/* NULL, or what is wrong with what a restore does to the file. */
static const char *file_fault(const struct kvm_file *file)
{
	bool is_stats = file->kind == KVM_FILE_VM_STATS || file->kind == KVM_FILE_VCPU_STATS;

	if (file->flags & ~KVM_FILE_FLAGS || (file->flags & O_ACCMODE) == O_ACCMODE)
		return "flags that are not known";
	if (file->pos > (is_stats ? KVM_FILE_MAX_POS : 0))
		return "a position that it cannot have";
	return NULL;
}

static int check_file(const struct vm_state *vm, const struct kvm_file *file)
{
	uint32_t limit = nr_of_kind(vm, file->kind);

	if (!limit)
		return refuse_vm(vm, "file 0x%x: kind %d is not known", file->id, (int)file->kind);
	if (file->kind == KVM_FILE_ITS)
		limit = vm->nr_itses;
	if (file->index >= limit)
		return refuse_vm(vm, "file 0x%x: index %u, less than %u expected", file->id, file->index,
				 limit);
	if (file_fault(file))
		return refuse_vm(vm, "file 0x%x: %s", file->id, file_fault(file));
	return 0;
}

static int check_loose_file(const struct kvm_file *file)
{
	if (file->kind != KVM_FILE_SYSTEM || file->index)
		return refuse(IMAGE_VM ": file 0x%x: of no VM, and not /dev/kvm", file->id);
	if (file_fault(file))
		return refuse(IMAGE_VM ": file 0x%x: %s", file->id, file_fault(file));
	return 0;
}

static bool has_file(const struct vm_state *vm, enum kvm_file_kind kind, uint32_t index)
{
	for (size_t i = 0; i < vm->nr_files; i++)
		if (vm->files[i].kind == kind && vm->files[i].index == index)
			return true;
	return false;
}

/* An object without a file would be created, and then be nobody's. The VM itself may be: its vCPUs hold it. */
static int check_files_complete(const struct vm_state *vm)
{
	if (vm->fd >= 0 && !has_file(vm, KVM_FILE_VM, 0))
		return refuse_vm(vm, "no file is the VM");
	if (!has_file(vm, KVM_FILE_VGIC, 0))
		return refuse_vm(vm, "no file is the GIC");
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		if (!has_file(vm, KVM_FILE_VCPU, i))
			return refuse_vm(vm, "no file is vCPU %zu", i);
	for (size_t i = 0; i < vm->nr_itses; i++)
		if (!has_file(vm, KVM_FILE_ITS, i))
			return refuse_vm(vm, "no file is ITS %zu", i);
	return 0;
}

static int check_files(const struct vm_state *vm, bool complete)
{
	int ret = 0;

	if (vm->nr_files > VM_MAX_FILES)
		return refuse_vm(vm, "%zu files, at most %u expected", vm->nr_files, VM_MAX_FILES);
	for (size_t i = 0; i < vm->nr_files && !ret; i++)
		ret = check_file(vm, &vm->files[i]);
	return !ret && complete ? check_files_complete(vm) : ret;
}

int check_vm(const struct vm_state *vm, bool complete)
{
	int ret;

	ret = check_head(vm);
	if (!ret)
		ret = check_caps(vm);
	if (!ret)
		ret = check_pmu_filter(vm);
	if (!ret)
		ret = check_slots(vm);
	if (!ret)
		ret = check_backings(vm);
	if (!ret)
		ret = check_bindings(vm);
	if (!ret)
		ret = check_vcpus(vm);
	if (!ret && !vm->early_written)
		ret = check_vgic(vm) ?: check_itses(vm);
	if (!ret)
		ret = check_threads(vm);
	return ret ? ret : check_files(vm, complete);
}

/* Several VMs */

/* The number of an object among those of its VM that have an fd. */
enum { OBJECT_VM, OBJECT_VGIC, OBJECT_VCPU };

/* Then, of each VM, the numbers that are its own during the restore. */
static size_t nr_objects(const struct vm_state *vm)
{
	return OBJECT_VCPU + vm->nr_vcpus + vm->nr_itses;
}

static int32_t object_fd(const struct vm_state *vm, size_t object)
{
	if (object == OBJECT_VM)
		return vm->fd;
	if (object == OBJECT_VGIC)
		return vm_gic_fd(vm);
	object -= OBJECT_VCPU;
	return object < vm->nr_vcpus ? vm->vcpus[object].fd : vm->itses[object - vm->nr_vcpus].fd;
}

static const char *object_name(const struct vm_state *vm, size_t object, char buf[80])
{
	if (object == OBJECT_VM)
		snprintf(buf, 80, IMAGE_VM ": VM %u", vm->id);
	else if (object == OBJECT_VGIC)
		snprintf(buf, 80, IMAGE_VGIC, vm->id);
	else if (object < OBJECT_VCPU + vm->nr_vcpus)
		snprintf(buf, 80, IMAGE_VCPU ": vCPU %zu", vm->id, object - OBJECT_VCPU);
	else if (object < nr_objects(vm))
		snprintf(buf, 80, IMAGE_ITS ": ITS %zu", vm->id, object - OBJECT_VCPU - vm->nr_vcpus);
	else
		snprintf(buf, 80, IMAGE_VM ": VM %u: park_base %d", vm->id, vm->park_base);
	return buf;
}

static int claim_fds(const struct vm_state *vm, size_t v, struct claims *fds)
{
	char name[80];

	for (size_t i = 0; i < nr_objects(vm); i++) {
		int32_t fd = object_fd(vm, i);

		if (i == OBJECT_VM && fd == -1)
			continue; /* closed: the VM lives by its vCPUs */
		if (fd < 0)
			return refuse("%s: fd %d, 0 or more expected", object_name(vm, i, name), fd);
		claims_add(fds,
			   &(struct claim){ .space = vm->vpid, .first = fd, .last = fd, .vm = v, .n = i });
	}
	claims_add(fds, &(struct claim){ .space = vm->vpid,
					 .first = vm->park_base,
					 .last = vm->park_base + vm_nr_parked(vm) - 1,
					 .vm = v,
					 .n = nr_objects(vm) });
	return 0;
}

static int check_fds(const struct vm_state *const *vms, size_t n, struct claims *fds)
{
	const struct claim *c;
	char one[80], other[80];
	int ret = 0;

	for (size_t v = 0; v < n && !ret; v++)
		ret = claim_fds(vms[v], v, fds);
	c = ret ? NULL : claims_clash(fds);
	if (c)
		ret = refuse("%s: fd %" PRIu64 " is that of %s too", object_name(vms[c->vm], c->n, one),
			     c->first, object_name(vms[c[-1].vm], c[-1].n, other));
	return ret;
}

static int check_map_clashes(const struct vm_state *const *vms, size_t n, struct claims *maps)
{
	const struct claim *c;

	for (size_t v = 0; v < n; v++)
		for (size_t i = 0; i < vms[v]->nr_vcpus; i++)
			for (size_t m = 0; m < vms[v]->vcpus[i].nr_maps; m++) {
				const struct vcpu_map *map = &vms[v]->vcpus[i].maps[m];

				claims_add(maps, &(struct claim){ .space = vms[v]->vpid,
								  .first = map->start,
								  .last = map->start + map->size - 1,
								  .vm = v,
								  .n = i });
			}
	c = claims_clash(maps);
	if (c)
		return refuse_vcpu(vms[c->vm], c->n,
				   "mapping 0x%" PRIx64 " overlaps one of vCPU %zu of VM %u", c->first,
				   c[-1].n, vms[c[-1].vm]->id);
	return 0;
}

/* By the first of them, for all VMs of its process. */
static int check_thread_owners(const struct vm_state *const *vms, size_t n)
{
	for (size_t v = 0; v < n; v++) {
		size_t first = 0;
		int ret;

		while (vms[first]->vpid != vms[v]->vpid)
			first++;
		if (first == v && !vms[v]->nr_threads)
			return refuse(IMAGE_THREAD ": no threads, 1 to %u expected", vms[v]->id, THREAD_MAX);
		if (first != v && vms[v]->nr_threads)
			return refuse(IMAGE_THREAD ": threads of a process whose threads are with VM %u",
				      vms[v]->id, vms[first]->id);
		ret = check_runners(vms[v], vms[first]);
		if (ret)
			return ret;
	}
	return 0;
}

static int check_file_ids(const struct vm_state *const *vms, size_t n, const struct image_files *files,
			  struct claims *ids)
{
	const struct claim *c;

	for (size_t i = 0; i < files->nr; i++)
		claims_add(ids,
			   &(struct claim){ .first = files->list[i].id, .last = files->list[i].id, .vm = n });

	for (size_t v = 0; v < n; v++)
		for (size_t i = 0; i < vms[v]->nr_files; i++) {
			uint32_t id = vms[v]->files[i].id;

			claims_add(ids, &(struct claim){ .first = id, .last = id, .vm = v, .n = i });
		}
	c = claims_clash(ids);
	if (c && c->vm == n)
		return refuse(IMAGE_VM ": file 0x%" PRIx64 " of no VM: twice", c->first);
	if (c)
		return refuse_vm(vms[c->vm], "file 0x%" PRIx64 ": twice", c->first);
	return 0;
}

static int check_vm_ids(const struct vm_state *const *vms, size_t n)
{
	for (size_t a = 0; a < n; a++)
		for (size_t b = 0; b < a; b++)
			if (vms[a]->id == vms[b]->id)
				return refuse_vm(vms[a], "twice");
	return 0;
}

/* KVM has memory for each page of them, whatever the log says, and clears the clean ones by pieces. */
static int check_logged_pages(const struct vm_state *const *vms, size_t n)
{
	uint64_t pages = 0;

	for (size_t v = 0; v < n; v++)
		for (size_t i = 0; i < vms[v]->nr_slots; i++) {
			if (vms[v]->slots[i].flags & KVM_MEM_LOG_DIRTY_PAGES)
				pages += vms[v]->slots[i].size / vms[v]->page_size;
			if (pages > DIRTY_LOG_MAX_PAGES)
				return refuse_vm(vms[v], "more than %llu pages with dirty logs", DIRTY_LOG_MAX_PAGES);
		}
	return 0;
}

/* Room for all that the VMs can claim. */
static int alloc_shared(const struct vm_state *const *vms, size_t n, size_t loose, struct claims *fds,
			struct claims *maps, struct claims *ids)
{
	size_t objects = 0, mappings = 0, files = loose;
	int ret;

	for (size_t v = 0; v < n; v++) {
		objects += nr_objects(vms[v]) + 1;
		mappings += vms[v]->nr_vcpus * VCPU_MAX_MAPS;
		files += vms[v]->nr_files;
	}
	ret = claims_alloc(fds, objects);
	if (!ret)
		ret = claims_alloc(maps, mappings);
	return ret ? ret : claims_alloc(ids, files);
}

int check_shared(const struct vm_state *const *vms, size_t n, const struct image_files *files)
{
	struct claims fds = { 0 }, maps = { 0 }, ids = { 0 };
	int ret = 0;

	for (size_t i = 0; i < files->nr && !ret; i++)
		ret = check_loose_file(&files->list[i]);
	if (!ret)
		ret = check_vm_ids(vms, n);
	if (!ret)
		ret = check_nr_regs(vms, n);
	if (!ret)
		ret = check_logged_pages(vms, n);
	if (!ret)
		ret = check_thread_owners(vms, n);
	if (!ret)
		ret = alloc_shared(vms, n, files->nr, &fds, &maps, &ids);
	if (!ret)
		ret = check_fds(vms, n, &fds);
	if (!ret)
		ret = check_map_clashes(vms, n, &maps);
	if (!ret)
		ret = check_file_ids(vms, n, files, &ids);
	claims_free(&fds);
	claims_free(&maps);
	claims_free(&ids);
	return ret;
}
