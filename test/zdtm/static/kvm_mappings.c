/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM whose kvm_run pages are mapped in all the ways there are, with all the flags a
 * mapping of them can have, and whose fds have duplicates. lives/kvm_mappings.py compares
 * them from outside; here, what they are mappings and duplicates of.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A KVM VM with kvm_run mapped many times over, and duplicated fds\n";
const char *test_author = "The kvm-vgic authors";

#define HIGH_FD	50000

/* What is written where KVM reads nothing, and must be seen through every mapping of the same page. */
#define MARK		0x6b72616d2d6d766bu
#define MARK_RUN	0xa00	/* in the page of struct kvm_run, after it */
#define MARK_RING	0xff8	/* in the page of coalesced MMIO, which has no zones here */

struct alias {
	unsigned int vcpu;
	size_t offset, pages;	/* pages of the vCPU fd */
	int prot;
	int extra;		/* for mmap() */
	int advice;		/* for madvise() */
	int lock;		/* enum lock */
	char *at;
};

enum lock { NO_LOCK, LOCK, LOCK_ONFAULT };

static struct alias aliases[] = {
	{ .vcpu = 0, .offset = 0, .pages = 2, .prot = PROT_READ | PROT_WRITE, .advice = MADV_DONTFORK },
	{ .vcpu = 0, .offset = 0, .pages = 1, .prot = PROT_READ, .advice = MADV_DONTDUMP },
	{ .vcpu = 0, .offset = 1, .pages = 1, .prot = PROT_READ | PROT_WRITE },
	{ .vcpu = 0, .offset = 1, .pages = 1, .prot = PROT_READ, .extra = MAP_NORESERVE },
	{ .vcpu = 0, .offset = 0, .pages = 2, .prot = PROT_READ, .lock = LOCK },
	{ .vcpu = 1, .offset = 0, .pages = 1, .prot = PROT_READ | PROT_WRITE, .lock = LOCK_ONFAULT },
	{ .vcpu = 1, .offset = 0, .pages = 2, .prot = PROT_READ | PROT_WRITE, .advice = MADV_SEQUENTIAL },
	{ .vcpu = 1, .offset = 1, .pages = 1, .prot = PROT_READ | PROT_WRITE, .advice = MADV_RANDOM },
	{ .vcpu = 1, .offset = 0, .pages = 1, .prot = PROT_READ, .advice = MADV_NOHUGEPAGE },
	{ .vcpu = 1, .offset = 0, .pages = 1, .prot = PROT_READ, .advice = MADV_HUGEPAGE },
};

static long page;

static void *map(struct odd_vm *vm, void *at, const struct alias *a)
{
	return mmap(at, a->pages * page, a->prot, MAP_SHARED | (at ? MAP_FIXED : 0) | a->extra,
		    vm->vcpu[a->vcpu].fd, a->offset * page);
}

/* With a page on each side that is not mapped: no two become one. */
static int map_alias(struct odd_vm *vm, struct alias *a)
{
	char *room = mmap(NULL, 4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room == MAP_FAILED)
		return -1;
	a->at = map(vm, room + page, a);
	if (a->at == MAP_FAILED)
		return -1;
	if (a->advice && madvise(a->at, a->pages * page, a->advice))
		return -1;
	if (a->lock == LOCK)
		return mlock(a->at, a->pages * page);
	return a->lock ? syscall(SYS_mlock2, a->at, a->pages * page, MLOCK_ONFAULT) : 0;
}

/* Its two pages one after the other: the kernel makes one mapping of them. */
static int map_merged(struct odd_vm *vm)
{
	static const struct alias first = { .vcpu = 0, .offset = 0, .pages = 1, .prot = PROT_READ | PROT_WRITE };
	static const struct alias second = { .vcpu = 0, .offset = 1, .pages = 1, .prot = PROT_READ | PROT_WRITE };
	char *room = mmap(NULL, 4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room == MAP_FAILED || map(vm, room + page, &first) == MAP_FAILED)
		return -1;
	return map(vm, room + 2 * page, &second) == MAP_FAILED ? -1 : 0;
}

/* One mapping, of which mprotect() and madvise() make two each. */
static int map_split(struct odd_vm *vm)
{
	static const struct alias whole = { .vcpu = 1, .offset = 0, .pages = 2, .prot = PROT_READ | PROT_WRITE };
	char *one = map(vm, NULL, &whole), *other = map(vm, NULL, &whole);

	if (one == MAP_FAILED || other == MAP_FAILED)
		return -1;
	return mprotect(one, page, PROT_READ) || madvise(other + page, page, MADV_DONTFORK);
}

/*
 * What is mapped from now on is locked: what a dump maps for a while, too, which must not take the lock of its neighbour
 * with it. The kernel maps from the top down: what is mapped next will be right below this.
 */
static int lock_future(void)
{
	if (mlockall(MCL_FUTURE))
		return -1;
	return mmap(NULL, 16 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static int map_all(struct odd_vm *vm)
{
	size_t i;

	page = sysconf(_SC_PAGESIZE);
	for (i = 0; i < ARRAY_SIZE(aliases); i++)
		if (map_alias(vm, &aliases[i]))
			return -1;
	return map_merged(vm) || map_split(vm) || lock_future();
}

static void mark(struct odd_vm *vm, uint64_t value)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++)
		*(uint64_t *)((char *)vm->vcpu[i].run + MARK_RUN) = value + i;
	/* All vCPUs of a VM share it. */
	*(uint64_t *)((char *)vm->vcpu[0].run + page + MARK_RING) = value;
}

static bool is_marked(const struct alias *a, uint64_t value)
{
	size_t ring = (1 - a->offset) * page + MARK_RING;

	if (!a->offset && *(uint64_t *)(a->at + MARK_RUN) != value + a->vcpu)
		return false;
	return a->offset + a->pages < 2 || *(uint64_t *)(a->at + ring) == value;
}

static bool all_marked(uint64_t value)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(aliases); i++)
		if (!is_marked(&aliases[i], value)) {
			pr_err("mapping %zu does not show its vCPU\n", i);
			return false;
		}
	return true;
}

/* Each shows what was written before, and what is written now: it is the page, and not a copy of it. */
static bool are_mapped(struct odd_vm *vm)
{
	if (!all_marked(MARK))
		return false;
	mark(vm, MARK + 0x100);
	return all_marked(MARK + 0x100);
}

/* Pairs of fds, each of one open file. */
static struct {
	int fd, dup;
} pairs[10];
static size_t nr_pairs;

static int add_pair(int fd, int duplicate)
{
	pairs[nr_pairs].fd = fd;
	pairs[nr_pairs++].dup = duplicate;
	return duplicate < 0 ? -1 : 0;
}

static int duplicate_all(struct odd_vm *vm)
{
	struct rlimit limit = { .rlim_cur = 2 * HIGH_FD, .rlim_max = 2 * HIGH_FD };

	if (setrlimit(RLIMIT_NOFILE, &limit))
		return -1;
	return add_pair(vm->kvm_fd, dup(vm->kvm_fd)) || add_pair(vm->vm_fd, dup(vm->vm_fd)) ||
	       add_pair(vm->vm_fd, fcntl(vm->vm_fd, F_DUPFD_CLOEXEC, 0)) ||
	       add_pair(vm->gic_fd, dup2(vm->gic_fd, HIGH_FD)) ||
	       add_pair(vm->vcpu[0].fd, dup(vm->vcpu[0].fd)) ||
	       add_pair(vm->vcpu[0].fd, fcntl(vm->vcpu[0].fd, F_DUPFD, HIGH_FD + 1)) ||
	       add_pair(vm->vcpu[1].fd, fcntl(vm->vcpu[1].fd, F_DUPFD_CLOEXEC, 100));
}

static bool are_duplicates(void)
{
	size_t i;

	for (i = 0; i < nr_pairs; i++)
		if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, pairs[i].fd, pairs[i].dup)) {
			pr_err("fd %d is no duplicate of fd %d\n", pairs[i].dup, pairs[i].fd);
			return false;
		}
	return true;
}

int main(int argc, char **argv)
{
	static struct odd_vm vm;

	test_init(argc, argv);

	if (odd_setup(&vm) || map_all(&vm) || duplicate_all(&vm)) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}
	mark(&vm, MARK);

	test_daemon();
	test_waitsig();

	if (!are_mapped(&vm) || !are_duplicates() || !odd_goes_on(&vm) || !odd_stop(&vm)) {
		errno = 0;
		fail("%s", vm.stats->error);
		return 1;
	}
	pass();
	return 0;
}
