// SPDX-License-Identifier: GPL-2.0-only
/* The rules for files under memslots. Their paths are opened, and shown to the user. */
#include <inttypes.h>
#include <limits.h>

#include "image/check.h"

/* Without control characters: a path goes into a log line. */
static bool is_path(const char *path)
{
	size_t len = strlen(path);

	if (path[0] != '/' || len >= PATH_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)path[i] < ' ' || path[i] == 0x7f)
			return false;
	return true;
}

static const struct memslot *slot_of(const struct vm_state *vm, const struct backing *b)
{
	for (size_t i = 0; i < vm->nr_slots; i++)
		if (vm->slots[i].slot == b->slot)
			return &vm->slots[i];
	return NULL;
}

static int check_backing(const struct vm_state *vm, size_t i)
{
	const struct backing *b = &vm->backings[i];
	const struct memslot *slot = slot_of(vm, b);

	if (!is_path(b->path))
		return refuse_vm(vm, "backing %zu: no absolute path, or one with control characters", i);
	/* A file is at most INT64_MAX bytes. */
	if (b->file_size > INT64_MAX || b->offset > b->file_size || !b->size ||
	    b->size > b->file_size - b->offset || !aligned(b->offset, vm->page_size))
		return refuse_vm(vm,
				 "backing %zu: offset 0x%" PRIx64 ", size 0x%" PRIx64
				 ": not in a file of 0x%" PRIx64 " bytes",
				 i, b->offset, b->size, b->file_size);
	if (!slot || b->gpa < slot->gpa || b->gpa - slot->gpa >= slot->size ||
	    b->size > slot->size - (b->gpa - slot->gpa))
		return refuse_vm(vm, "backing %zu: gpa 0x%" PRIx64 ", size 0x%" PRIx64 ": not in memslot %u",
				 i, b->gpa, b->size, b->slot);
	return 0;
}

/* They are read one after the other: else one file could be read as often as there are backings. */
static int check_backing_clashes(const struct vm_state *vm)
{
	struct claims gpas;
	const struct claim *c;
	int ret = claims_alloc(&gpas, vm->nr_backings);

	if (ret)
		return ret;
	for (size_t i = 0; i < vm->nr_backings; i++) {
		const struct backing *b = &vm->backings[i];

		claims_add(&gpas, &(struct claim){ .first = b->gpa, .last = b->gpa + b->size - 1, .n = i });
	}
	c = claims_clash(&gpas);
	if (c)
		ret = refuse_vm(vm, "backing %zu: gpa 0x%" PRIx64 " is backing %zu's too", c->n, c->first, c[-1].n);
	claims_free(&gpas);
	return ret;
}

int check_backings(const struct vm_state *vm)
{
	int ret = 0;

	if (vm->nr_backings > VM_MAX_BACKINGS)
		return refuse_vm(vm, "%zu backings, at most %u expected", vm->nr_backings, VM_MAX_BACKINGS);
	for (size_t i = 0; i < vm->nr_backings && !ret; i++)
		ret = check_backing(vm, i);
	return ret ?: check_backing_clashes(vm);
}
