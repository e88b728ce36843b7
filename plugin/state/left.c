// SPDX-License-Identifier: GPL-2.0-only
/*
 * See left.h. The VMM goes on when criu is gone: what it writes meanwhile, the answer to an exit among it, is in the
 * copies, and that is what the real pages get. KVM writes to none of them, for no vCPU runs.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "log.h"
#include "state/left.h"

_Static_assert(sizeof(struct kvm_run) + sizeof(struct left_record) <= 4096, "no room behind struct kvm_run");

static int refuse(const struct vcpu_state *vcpu, const char *why)
{
	pr_err("vcpu %u (fd %d): %s\n", vcpu->id, vcpu->fd, why);
	return -EBUSY;
}

/* The record is in memory of the VMM's: it can say anything. */
static bool is_sane(const struct vm_state *vm, const struct vcpu_map *map)
{
	const uint64_t page = vm->page_size, all = 2 * page;

	return map->size && map->size <= all && map->offset <= all - map->size &&
	       !((map->start | map->size | map->offset) & (page - 1)) && map->start < map->start + map->size;
}

static const struct left_record *record_of(const struct vm_state *vm, const struct vcpu_state *vcpu)
{
	const struct left_record *record = (const void *)(vcpu->run + left_record_at(vm->page_size));

	if (record->magic != LEFT_MAGIC || record->nr_maps > VCPU_MAX_MAPS)
		return NULL;
	for (size_t i = 0; i < record->nr_maps; i++)
		if (!is_sane(vm, &record->maps[i]))
			return NULL;
	return record;
}

static int read_page(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page)
{
	int ret;

	vcpu->run = calloc(1, vcpu->run_size);
	if (!vcpu->run)
		return -ENOMEM;
	ret = remote->ops->read(remote, page, vcpu->run, vcpu->run_size);
	return ret ? kvm_run_access_failed(vm, vcpu, "read", ret) : 0;
}

/*
 * The page as it was before the dump. Where the VMM has the real one still, its exit is the newer one, but for none, which the
 * swap has put there: then a put_back() was cut short behind the mappings. What the VMM has cleared of immediate_exit it wants
 * cleared. What stood where the record is, a copy has; else it was nothing.
 */
static void clean(const struct vm_state *vm, struct vcpu_state *vcpu, const struct left_record *record, bool has_copy)
{
	struct kvm_run *run = (struct kvm_run *)vcpu->run;
	const struct kvm_run *before = (const struct kvm_run *)record->head;

	memcpy(run->padding1, before->padding1, sizeof(run->padding1));
	if (has_copy || run->immediate_exit)
		run->immediate_exit = before->immediate_exit;
	if (has_copy || run->exit_reason == KVM_EXIT_UNKNOWN)
		run->exit_reason = before->exit_reason;
	memset(vcpu->run + left_record_at(vm->page_size), 0, sizeof(*record));
}

/* What the VMM has changed in the copy at @map, or all in it that cannot be told. */
static int merge(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, const struct vcpu_map *map,
		 const uint8_t *before)
{
	uint8_t *copy = malloc(map->size);
	int ret = copy ? remote->ops->read(remote, map->start, copy, map->size) : -ENOMEM;

	for (uint64_t i = 0; i < map->size && !ret; i++)
		if (copy[i] != before[map->offset + i])
			vcpu->run[map->offset + i] = copy[i];
	free(copy);
	return ret ? kvm_run_access_failed(vm, vcpu, "copy", ret) : 0;
}

/* Of several copies of one page each has what was written by way of it. */
static int merge_copies(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu,
			const enum left_place *places)
{
	uint8_t *before = malloc(vcpu->run_size);
	int ret = 0;

	if (!before)
		return -ENOMEM;
	memcpy(before, vcpu->run, vcpu->run_size);
	for (size_t i = 0; i < vcpu->nr_maps && !ret; i++)
		if (places[i] == LEFT_COPY)
			ret = merge(vm, remote, vcpu, &vcpu->maps[i], before);
	free(before);
	return ret;
}

int left_check(const struct vm_state *vm, const struct vcpu_state *vcpu)
{
	if (!kvm_run_is_marked(vcpu) || record_of(vm, vcpu))
		return 0;
	return refuse(vcpu, "left by a restore that did not come to its end: end the process, and restore again");
}

/*
 * /proc tells vCPUs of several VMs by their ids alone, their first pages tell themselves: no two records name the same
 * place. The second page, where it is mapped alone, says nothing. Nobody writes to a record.
 */
static int ask_whose(struct vm_state *vm, struct remote *remote, const struct vcpu_state *vcpu, const struct vcpu_map *map,
		     enum left_place *place)
{
	const uint64_t at = left_record_at(vm->page_size);
	struct left_record there;
	int ret;

	if (*place != LEFT_PAGE || map->offset)
		return 0;
	ret = remote->ops->read(remote, map->start + at, &there, sizeof(there));
	if (ret)
		return kvm_run_access_failed(vm, vcpu, "read", ret);
	if (memcmp(&there, vcpu->run + at, sizeof(there)))
		*place = LEFT_OTHER;
	return 0;
}

/* What is to become of a page that is marked, in vcpu->run and its maps. */
static int judge(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, const struct left_view *view)
{
	const struct left_record *record = record_of(vm, vcpu);
	enum left_place places[VCPU_MAX_MAPS];
	bool has_copy = false;
	int ret;

	if (!record)
		return left_check(vm, vcpu);
	vcpu->nr_maps = record->nr_maps;
	memcpy(vcpu->maps, record->maps, record->nr_maps * sizeof(*record->maps));
	for (size_t i = 0; i < vcpu->nr_maps; i++) {
		places[i] = view->look(view, vcpu, &vcpu->maps[i]);
		ret = ask_whose(vm, remote, vcpu, &vcpu->maps[i], &places[i]);
		if (ret)
			return ret;
		has_copy |= places[i] == LEFT_COPY && !vcpu->maps[i].offset; /* of what clean() is about */
		if (places[i] == LEFT_OTHER)
			return refuse(vcpu, "neither its page nor a copy of it is where the dump found it mapped: end the process");
	}
	clean(vm, vcpu, record, has_copy);
	return merge_copies(vm, remote, vcpu, places);
}

/* Those that stand, to the front of @vm's: *@nr of them. Nothing is written. */
static int find(struct vm_state *vm, struct remote *remote, const struct left_view *view, size_t *nr)
{
	int ret = kvm_run_for_all_pages(vm, remote, false, read_page);
	size_t kept = 0;

	for (size_t i = 0; i < vm->nr_vcpus && !ret; i++) {
		struct vcpu_state *vcpu = &vm->vcpus[i], other;

		if (!kvm_run_is_marked(vcpu))
			continue;
		ret = judge(vm, remote, vcpu, view);
		/* In the place of one that is not. */
		other = vm->vcpus[kept];
		vm->vcpus[kept++] = *vcpu;
		*vcpu = other;
	}
	*nr = kept;
	return ret;
}

/* All but what forbids to run, and but the record: should this be cut short, it can be done once more. */
static int write_body(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page)
{
	uint64_t end = left_record_at(vm->page_size), rest = vm->page_size;
	int ret = remote->ops->write(remote, page + KVM_RUN_HEAD, vcpu->run + KVM_RUN_HEAD, end - KVM_RUN_HEAD);

	if (!ret)
		ret = remote->ops->write(remote, page + rest, vcpu->run + rest, vcpu->run_size - rest);
	return ret ? kvm_run_access_failed(vm, vcpu, "write", ret) : 0;
}

static void say_lost(const struct vm_state *vm, const struct vcpu_state *vcpu)
{
	pr_warn("vcpu %u: goes on, but its mapping of kvm_run has lost flags\n", vcpu->id);
}

/*
 * Into each of several copies what all of them come to: should this be cut short behind write_body(), the older content of one
 * would be a change of the page.
 */
static int write_copies(struct vm_state *vm, struct remote *remote, const struct left_view *view, const struct vcpu_state *vcpu)
{
	int ret = 0;

	for (size_t i = 0; i < vcpu->nr_maps && vcpu->nr_maps > 1 && !ret; i++) {
		const struct vcpu_map *map = &vcpu->maps[i];

		if (view->look(view, vcpu, map) == LEFT_COPY)
			ret = remote->ops->write(remote, map->start, vcpu->run + map->offset, map->size);
	}
	return ret ? kvm_run_access_failed(vm, vcpu, "copy", ret) : 0;
}

static int put_back(struct vm_state *vm, struct remote *remote, const struct left_view *view)
{
	int ret = 0;

	for (size_t i = 0; i < vm->nr_vcpus && !ret; i++)
		ret = write_copies(vm, remote, view, &vm->vcpus[i]);
	ret = ret ?: kvm_run_for_all_pages(vm, remote, false, write_body);
	ret = ret ?: kvm_run_map(vm, remote, false, say_lost);
	return ret ?: kvm_run_for_all_pages(vm, remote, false, kvm_run_release);
}

int left_put_back(struct vm_state *vm, struct remote *remote, const struct left_view *view, size_t *nr)
{
	size_t all = vm->nr_vcpus;
	int ret = find(vm, remote, view, nr);

	vm->nr_vcpus = *nr;
	if (!ret)
		ret = put_back(vm, remote, view);
	vm->nr_vcpus = all;
	return ret;
}
