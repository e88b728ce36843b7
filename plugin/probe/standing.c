// SPDX-License-Identifier: GPL-2.0-only
/* See standing.h. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "probe/standing.h"
#include "remote/give.h"

/* ---- pages ---- */

static int page_failed(pid_t pid, int fd, int err)
{
	pr_err("pid %d: fd %d: kvm_run cannot be looked at: %s (errno %d)\n", pid, fd, strerror(-err), -err);
	return err;
}

/* Asked again of what was taken: a process that runs may have put there meanwhile what never answers, a file of FUSE's. */
static bool is_vcpu(int ours)
{
	char path[32], link[sizeof(PROC_VCPU)] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", ours);
	return readlink(path, link, sizeof(link) - 1) > 0 && !strcmp(link, PROC_VCPU);
}

/* By a mapping of our own; a copy, which the VMM cannot change any more. 0 or a negative errno, logged. */
static int copy_page(pid_t pid, int fd, uint8_t *copy, size_t size)
{
	int ours = fd_take(pid, fd), ret = 0;
	void *page = MAP_FAILED;

	if (ours < 0)
		return page_failed(pid, fd, ours);
	if (!is_vcpu(ours))
		ret = -EBADF;
	else if ((page = mmap(NULL, size, PROT_READ, MAP_SHARED, ours, 0)) == MAP_FAILED)
		ret = -errno;
	close(ours);
	if (ret)
		return page_failed(pid, fd, ret);
	memcpy(copy, page, size);
	munmap(page, size);
	return 0;
}

/* What @ask says of a vCPU whose run is a copy of its first page. */
static int ask_page(pid_t pid, const struct vm_state *vm, const struct vcpu_state *vcpu,
		    int (*ask)(const struct vm_state *vm, const struct vcpu_state *vcpu))
{
	struct vcpu_state seen = *vcpu;
	int ret;

	seen.run = malloc(vm->page_size);
	if (!seen.run)
		return -ENOMEM;
	ret = copy_page(pid, vcpu->fd, seen.run, vm->page_size) ?: ask(vm, &seen);
	free(seen.run);
	return ret;
}

static int is_marked(const struct vm_state *vm, const struct vcpu_state *vcpu)
{
	return kvm_run_is_marked(vcpu);
}

int standing_is_marked(pid_t pid, const struct vm_state *vm, const struct vcpu_state *vcpu)
{
	return ask_page(pid, vm, vcpu, is_marked);
}

int standing_check(pid_t pid, const struct vm_state *vm)
{
	int ret = 0;

	for (size_t i = 0; i < vm->nr_vcpus && !ret; i++)
		ret = ask_page(pid, vm, &vm->vcpus[i], left_check);
	return ret;
}

/* ---- what stands in the places of mappings ---- */

/* Private and anonymous. */
static bool could_be_copy(const struct proc_area *area)
{
	return !area->is_shared && !area->inode && strncmp(area->name, "[v", 2);
}

/* The copy may have become one with memory beside it. */
static bool is_copy(const struct standing_places *places, const struct vcpu_map *map)
{
	const struct proc_areas *areas = &places->scan.view.areas;
	uint64_t at = map->start;

	for (size_t i = 0; i < areas->nr && at < map->start + map->size; i++) {
		const struct proc_area *area = &areas->list[i];

		if (at < area->start || at >= area->end)
			continue;
		if (!could_be_copy(area) || area->prot != map->prot)
			return false;
		at = area->end;
	}
	return at >= map->start + map->size;
}

static enum left_place look(const struct left_view *view, const struct vcpu_state *vcpu, const struct vcpu_map *map)
{
	const struct standing_places *places = (const struct standing_places *)view;

	for (size_t i = 0; i < places->scan.nr_maps; i++) {
		const struct proc_map *is = &places->scan.maps[i];

		if (is->start == map->start && is->size == map->size && is->vcpu_id == vcpu->id && is->is_shared)
			return LEFT_PAGE;
	}
	return is_copy(places, map) ? LEFT_COPY : LEFT_OTHER;
}

int standing_places_read(pid_t pid, struct standing_places *places)
{
	*places = (struct standing_places){ .view = { look } };
	return proc_scan(pid, &places->scan);
}

void standing_places_free(struct standing_places *places)
{
	proc_scan_free(&places->scan);
	*places = (struct standing_places){ 0 };
}
