// SPDX-License-Identifier: GPL-2.0-only
/* The address space and the fds of the fake VMM. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fake_kvm.h"

#define ANYWHERE 0x7f0000000000u

static int vcpu_of_fd(const struct fake_kvm *kvm, uint64_t fd)
{
	return fd < FAKE_FDS && kvm->fds[fd].kind == FAKE_VCPU ? (int)kvm->fds[fd].index : -1;
}

static bool is_room(uint64_t addr)
{
	return addr - FAKE_ROOM < FAKE_ROOM_SIZE;
}

static void describe_mmap(const struct fake_kvm *kvm, const uint64_t *arg, char *line)
{
	const char *where = is_room(arg[0]) ? "room" : arg[3] & MAP_FIXED ? "fixed" : "anywhere";
	char owner[16] = "task";

	if (arg[3] & MAP_ANONYMOUS) {
		snprintf(line, FAKE_LINE,
			 "task: mmap anonymous %s %#" PRIx64 ", %" PRIu64 " bytes, prot %" PRIu64, where,
			 arg[0], arg[1], arg[2]);
		return;
	}
	if (vcpu_of_fd(kvm, arg[4]) >= 0)
		snprintf(owner, sizeof(owner), "vcpu %d", vcpu_of_fd(kvm, arg[4]));
	snprintf(line, FAKE_LINE,
		 "%s: mmap fd %" PRIu64 " %s %s %#" PRIx64 ", %" PRIu64 " bytes at +%#" PRIx64
		 ", prot %" PRIu64,
		 owner, arg[4], arg[3] & MAP_SHARED ? "shared" : "private", where, arg[0], arg[1], arg[5],
		 arg[2]);
}

/* The last place of process_vm_writev(), which is what the others are for. */
static struct iovec last_place(const uint64_t *arg)
{
	const struct iovec *to = (const struct iovec *)arg[3];
	size_t i = arg[4];

	while (i-- > 1 && !to[i].iov_len)
		;
	return to[i];
}

static void describe_write(struct fake_kvm *kvm, const uint64_t *arg, char *line)
{
	const struct iovec to = arg[4] ? last_place(arg) : (struct iovec){ 0 };
	const uint64_t addr = (uintptr_t)to.iov_base;
	const struct fake_map *map = fake_map_at(kvm, addr, to.iov_len);

	if (!arg[4])
		snprintf(line, FAKE_LINE, "task: process_vm_writev of nothing");
	else if (arg[4] > 2)
		snprintf(line, FAKE_LINE, "task: write %" PRIu64 " places", arg[4]);
	else if (map && map->vcpu >= 0 && to.iov_len >= FAKE_PAGE)
		snprintf(line, FAKE_LINE, "vcpu %d: write all of the page", map->vcpu);
	else if (map && map->vcpu >= 0)
		snprintf(line, FAKE_LINE, "vcpu %d: write page +%#" PRIx64, map->vcpu, addr - map->start + map->offset);
	else
		snprintf(line, FAKE_LINE, "task: write %#" PRIx64 ", %zu bytes", addr, to.iov_len);
}

void fake_task_describe(struct fake_kvm *kvm, long nr, const uint64_t *arg, char *line)
{
	if (nr == SYS_mmap)
		describe_mmap(kvm, arg, line);
	else if (nr == SYS_munmap)
		snprintf(line, FAKE_LINE, "task: munmap %#" PRIx64 ", %" PRIu64 " bytes", arg[0], arg[1]);
	else if (nr == SYS_mremap)
		snprintf(line, FAKE_LINE, "task: mremap %#" PRIx64 ", %" PRIu64 " bytes to %#" PRIx64, arg[0],
			 arg[1], arg[4]);
	else if (nr == SYS_process_vm_writev)
		describe_write(kvm, arg, line);
	else if (nr == SYS_mprotect)
		snprintf(line, FAKE_LINE, "task: mprotect %#" PRIx64 ", %" PRIu64 " bytes, prot %" PRIu64, arg[0], arg[1],
			 arg[2]);
	else if (nr == SYS_madvise)
		snprintf(line, FAKE_LINE, "task: madvise %#" PRIx64 ", %" PRIu64 " bytes, advice %" PRIu64,
			 arg[0], arg[1], arg[2]);
	else if (nr == SYS_mlock2)
		snprintf(line, FAKE_LINE, "task: mlock2 %#" PRIx64 ", %" PRIu64 " bytes, flags %" PRIu64,
			 arg[0], arg[1], arg[2]);
	else if (nr == SYS_munlock)
		snprintf(line, FAKE_LINE, "task: munlock %#" PRIx64 ", %" PRIu64 " bytes", arg[0], arg[1]);
	else if (nr == SYS_eventfd2)
		snprintf(line, FAKE_LINE, "task: eventfd2");
	else if (nr == SYS_preadv2)
		snprintf(line, FAKE_LINE, "task: preadv2 %" PRIu64, arg[0]);
	else if (nr == SYS_close)
		snprintf(line, FAKE_LINE, "task: close %" PRIu64, arg[0]);
	else
		snprintf(line, FAKE_LINE, "task: system call %ld", nr);
}

bool fake_is_own(const struct fake_map *map)
{
	return !is_room(map->start);
}

size_t fake_nr_own_maps(const struct fake_kvm *kvm)
{
	size_t nr = 0;

	for (size_t i = 0; i < kvm->nr_maps; i++)
		nr += fake_is_own(&kvm->maps[i]);
	return nr;
}

/* The mapping that holds all of it, or NULL. */
struct fake_map *fake_map_at(struct fake_kvm *kvm, uint64_t addr, size_t size)
{
	for (size_t i = 0; i < kvm->nr_maps; i++) {
		struct fake_map *map = &kvm->maps[i];

		if (addr >= map->start && addr - map->start < map->size &&
		    size <= map->size - (addr - map->start))
			return map;
	}
	return NULL;
}

uint8_t *fake_map_byte(struct fake_kvm *kvm, const struct fake_map *map, uint64_t addr)
{
	uint64_t at = addr - map->start + map->offset;

	if (map->vcpu < 0)
		return &map->bytes[at];
	return at < FAKE_PAGE ? &kvm->vcpus[map->vcpu].run[at] : &kvm->ring[at - FAKE_PAGE];
}

static int remove_map(struct fake_kvm *kvm, uint64_t start, uint64_t size)
{
	for (size_t i = 0; i < kvm->nr_maps; i++) {
		if (kvm->maps[i].start != start || kvm->maps[i].size != size)
			continue;
		free(kvm->maps[i].bytes);
		kvm->maps[i] = kvm->maps[--kvm->nr_maps];
		return 0;
	}
	return -EINVAL;
}

static void clear_room(struct fake_kvm *kvm, uint64_t start, uint64_t size)
{
	for (size_t i = kvm->nr_maps; i--;)
		if (kvm->maps[i].start - start < size)
			remove_map(kvm, kvm->maps[i].start, kvm->maps[i].size);
}

struct fake_map *fake_map_add(struct fake_kvm *kvm, uint64_t start, uint64_t size, int prot, int vcpu,
			      uint64_t offset)
{
	struct fake_map *map = &kvm->maps[kvm->nr_maps];

	if (kvm->nr_maps++ == FAKE_MAPS)
		abort();
	*map = (struct fake_map){
		.start = start, .size = size, .offset = offset, .prot = prot, .vcpu = vcpu
	};
	if (vcpu < 0)
		map->bytes = calloc(1, size);
	return map;
}

/* What stands in the place of a fixed mapping goes, as a whole or not at all: more the plugin never asks for.
 */
static int64_t do_mmap(struct fake_kvm *kvm, const uint64_t *arg)
{
	int vcpu = arg[3] & MAP_ANONYMOUS ? -1 : vcpu_of_fd(kvm, arg[4]);
	uint64_t start = arg[0];

	if (!(arg[3] & MAP_ANONYMOUS) && (vcpu < 0 || arg[5] + arg[1] > 2 * FAKE_PAGE))
		return -EBADF;
	if (!(arg[3] & MAP_ANONYMOUS) && !(arg[3] & MAP_SHARED))
		return -EINVAL; /* a copy of the page: KVM would never see what is written to it */
	if (is_room(start)) {
		clear_room(kvm, start, arg[1]);
	} else if (arg[3] & MAP_FIXED) {
		if (remove_map(kvm, start, arg[1]))
			return -EINVAL;
	} else {
		for (start = ANYWHERE; fake_map_at(kvm, start, 1);)
			start += 16 * FAKE_PAGE;
	}
	if (is_room(start) && arg[2] == PROT_NONE)
		return start; /* the room as it was */
	fake_map_add(kvm, start, arg[1], arg[2], vcpu, vcpu < 0 ? 0 : arg[5])->flags =
		(arg[3] & MAP_NORESERVE ? VCPU_MAP_NORESERVE : 0) | (kvm->lock_future ? VCPU_MAP_LOCKED : 0);
	return start;
}

/* Of a map of the room that holds it that part alone. */
static struct fake_map *part_of_room(struct fake_kvm *kvm, uint64_t start, uint64_t size)
{
	struct fake_map *map = fake_map_at(kvm, start, size);
	struct fake_map whole;

	if (!map || !is_room(start) || map->vcpu >= 0)
		return map;
	whole = *map;
	map->bytes = NULL;
	remove_map(kvm, whole.start, whole.size);
	for (uint64_t at = whole.start; at < whole.start + whole.size;) {
		uint64_t end = at < start ? start : at == start ? start + size : whole.start + whole.size;

		map = fake_map_add(kvm, at, end - at, whole.prot, -1, 0);
		map->flags = whole.flags;
		memcpy(map->bytes, &whole.bytes[at - whole.start], end - at);
		at = end;
	}
	free(whole.bytes);
	return fake_map_at(kvm, start, size);
}

static int64_t do_mprotect(struct fake_kvm *kvm, const uint64_t *arg)
{
	struct fake_map *map = part_of_room(kvm, arg[0], arg[1]);

	if (!map || map->start != arg[0] || map->size != arg[1])
		return -EINVAL; /* more the plugin never asks for */
	map->prot = arg[2];
	return 0;
}

/* As the kernel: up to what is not there, or may not be written to. */
static int64_t do_write(struct fake_kvm *kvm, const uint64_t *arg)
{
	const struct iovec *from = (const struct iovec *)arg[1], *to = (const struct iovec *)arg[3];
	const uint8_t *bytes;

	if (arg[0] != FAKE_FIRST_THREAD)
		return -ESRCH;
	if (!arg[2] && !arg[4])
		return 0;
	if (arg[2] != 1)
		return -EINVAL;
	bytes = from->iov_base;
	for (size_t i = 0; i < arg[4]; i++) {
		const uint64_t addr = (uintptr_t)to[i].iov_base;
		struct fake_map *map = to[i].iov_len ? fake_map_at(kvm, addr, to[i].iov_len) : NULL;

		if (to[i].iov_len && (!map || !(map->prot & PROT_WRITE)))
			return bytes > (const uint8_t *)from->iov_base ? bytes - (const uint8_t *)from->iov_base : -EFAULT;
		for (size_t n = 0; n < to[i].iov_len; n++)
			*fake_map_byte(kvm, map, addr + n) = *bytes++;
	}
	return bytes - (const uint8_t *)from->iov_base == (long)from->iov_len ? (int64_t)from->iov_len : -EINVAL;
}

static int64_t do_mremap(struct fake_kvm *kvm, const uint64_t *arg)
{
	struct fake_map *map = part_of_room(kvm, arg[0], arg[1]);

	/* The kernel would take the lock of all of it, and of what it was merged with. */
	if (!map || map->flags & VCPU_MAP_LOCKED || map->start != arg[0] || map->size != arg[1] || arg[2] != arg[1] ||
	    arg[3] != (MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) || remove_map(kvm, arg[4], arg[1]))
		return -EINVAL;
	fake_map_at(kvm, arg[0], arg[1])->start = arg[4];
	return arg[4];
}

static struct fake_map *whole_map(struct fake_kvm *kvm, const uint64_t *arg)
{
	struct fake_map *map = fake_map_at(kvm, arg[0], arg[1]);

	return map && map->start == arg[0] && map->size == arg[1] ? map : NULL;
}

static int64_t do_madvise(struct fake_kvm *kvm, const uint64_t *arg)
{
	static const uint32_t flags[] = {
		[MADV_DONTFORK] = VCPU_MAP_DONTFORK,	 [MADV_DONTDUMP] = VCPU_MAP_DONTDUMP,
		[MADV_SEQUENTIAL] = VCPU_MAP_SEQUENTIAL, [MADV_RANDOM] = VCPU_MAP_RANDOM,
		[MADV_HUGEPAGE] = VCPU_MAP_HUGEPAGE,	 [MADV_NOHUGEPAGE] = VCPU_MAP_NOHUGEPAGE,
	};
	struct fake_map *map = whole_map(kvm, arg);

	if (!map || arg[2] >= sizeof(flags) / sizeof(flags[0]) || !flags[arg[2]])
		return -EINVAL;
	map->flags |= flags[arg[2]];
	return 0;
}

static int64_t do_lock(struct fake_kvm *kvm, const uint64_t *arg, uint32_t flags)
{
	struct fake_map *map = whole_map(kvm, arg);

	if (!map)
		return -ENOMEM;
	map->flags = (map->flags & ~(VCPU_MAP_LOCKED | VCPU_MAP_ONFAULT)) | flags;
	return 0;
}

int64_t fake_task_call(struct fake_kvm *kvm, long nr, const uint64_t *arg)
{
	switch (nr) {
	case SYS_mmap:
		return do_mmap(kvm, arg);
	case SYS_mremap:
		return do_mremap(kvm, arg);
	case SYS_mprotect:
		return do_mprotect(kvm, arg);
	case SYS_process_vm_writev:
		return do_write(kvm, arg);
	case SYS_munmap:
		return remove_map(kvm, arg[0], arg[1]);
	case SYS_madvise:
		return do_madvise(kvm, arg);
	case SYS_mlock2:
		return do_lock(kvm, arg, VCPU_MAP_LOCKED | (arg[2] & MLOCK_ONFAULT ? VCPU_MAP_ONFAULT : 0));
	case SYS_munlock:
		return do_lock(kvm, arg, 0);
	case SYS_eventfd2:
		return fake_eventfd_make(kvm);
	case SYS_preadv2:
		return fake_eventfd_read(kvm, arg);
	case SYS_close:
		if (arg[0] >= FAKE_FDS || kvm->fds[arg[0]].kind == FAKE_CLOSED)
			return -EBADF;
		kvm->fds[arg[0]].kind = FAKE_CLOSED;
		return 0;
	}
	return -ENOSYS;
}
