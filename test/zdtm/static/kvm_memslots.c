/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memslots of every kind, several hundred of them. The guest goes round them all: it reads what it wrote there
 * the last time, and writes the next.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "guest.h"
#include "oddvm.h"

const char *test_doc = "Memslots of every kind\n";
const char *test_author = "The kvm-vgic authors";

static char *filename;
TEST_OPTION(filename, string, "prefix of files for guest memory", 1);

#define PAGE		4096ul
#define HUGE		(2ul << 20)
#define TABLE		0xa000 /* in the VM's RAM, behind the two vCPUs' structs */
#define MAX_PLACES	500
#define NR_SMALL	400
#define SMALL_GPA	0x60000000ul
#define OTHERS_GPA	0x50000000ul
#define MAGIC		0xfeed0000ull

/* A place in guest memory, of which each vCPU has a word. */
struct place {
	uint64_t gpa;
	uint32_t is_read_only; /* a write is an exit */
	uint32_t is_off;       /* not to be touched yet */
	uint64_t value[ODD_NR_VCPUS];
};

struct table {
	volatile uint64_t nr;
	struct place places[MAX_PLACES];
};
_Static_assert(TABLE + sizeof(struct table) <= ODD_RAM_SIZE, "it fits");
_Static_assert(TABLE >= GUEST_CPU(ODD_NR_VCPUS), "it is behind the vCPUs' structs");

struct slots_guest {
	struct guest g;
	volatile uint64_t rounds;
};

enum { SAY_VALUE = 1 };
const char *const guest_says[] = { [SAY_VALUE] = "guest memory has changed: is, at" };

/* --- in the guest --- */

GUEST static void visit(struct slots_guest *s, volatile struct place *p)
{
	volatile uint64_t *at = (volatile uint64_t *)(p->gpa + 8 * s->g.id);

	if (p->is_off)
		return;
	if (*at != p->value[s->g.id])
		guest_report(&s->g, SAY_VALUE, *at, (uint64_t)at);
	if (p->is_read_only) {
		mmio_write64((uint64_t)at, MAGIC);
		return;
	}
	p->value[s->g.id]++;
	*at = p->value[s->g.id];
}

GUEST static void run(struct guest *g)
{
	struct table *table = (struct table *)(ODD_RAM_BASE + TABLE);
	struct slots_guest *s = (struct slots_guest *)g;
	uint64_t i;

	for (;;) {
		for (i = 0; i < table->nr; i++) {
			visit(s, &table->places[i]);
			guest_progress(g, 32);
		}
		s->rounds++;
	}
}

/* --- in the VMM --- */

static struct odd_vm vm;
static uint32_t next_id = 1;
static uint64_t next_gpa = OTHERS_GPA;
static volatile uint64_t refused[ODD_NR_VCPUS]; /* writes to read-only memslots */

static struct table *table(void)
{
	return (struct table *)(vm.ram + TABLE);
}

static struct place *add_place(uint64_t gpa)
{
	struct place *p = &table()->places[table()->nr];

	if (table()->nr == MAX_PLACES)
		return NULL;
	p->gpa = gpa;
	table()->nr++;
	return p;
}

static int set_slot(uint32_t id, uint32_t flags, uint64_t gpa, uint64_t size, void *memory)
{
	struct kvm_userspace_memory_region region = {
		.slot = id,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)memory,
	};

	return ioctl(vm.vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

/* A memslot over @memory, with a place at its first page and one at its last. */
static int add_slot(void *memory, uint64_t size, uint32_t flags)
{
	uint64_t gpa = next_gpa;
	struct place *p;
	unsigned int n;

	if (memory == MAP_FAILED || set_slot(next_id++, flags, gpa, size, memory))
		return -1;
	next_gpa += 2 * HUGE;
	for (n = 0; n < 2; n++) {
		uint64_t at = n ? size - PAGE : 0;

		p = add_place(gpa + at);
		if (!p)
			return -1;
		memcpy(p->value, (char *)memory + at, sizeof(p->value));
		p->is_read_only = !!(flags & KVM_MEM_READONLY);
	}
	return 0;
}

static void *map(size_t size, int flags, int fd)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, flags | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
}

/* A file of that many pages, each with something in it. */
static int make_file(const char *suffix, size_t size)
{
	char path[256];
	uint64_t at;
	int fd;

	snprintf(path, sizeof(path), "%s.%s", filename, suffix);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (at = 0; fd >= 0 && at < size; at += PAGE) {
		const uint64_t words[] = { 0x1234500 + at, 0x6789a00 + at };

		if (pwrite(fd, words, sizeof(words), at) != sizeof(words) || ftruncate(fd, size))
			return -1;
	}
	return fd;
}

static int unlink_file(const char *suffix)
{
	char path[256];

	snprintf(path, sizeof(path), "%s.%s", filename, suffix);
	return unlink(path);
}

static int add_anonymous(void)
{
	void *read_only = map(3 * PAGE, MAP_PRIVATE, -1);

	if (read_only == MAP_FAILED)
		return -1;
	memset(read_only, 0x77, 3 * PAGE);
	return add_slot(map(5 * PAGE, MAP_PRIVATE, -1), 5 * PAGE, 0) ||
	       add_slot(map(5 * PAGE, MAP_SHARED, -1), 5 * PAGE, 0) ||
	       add_slot(read_only, 3 * PAGE, KVM_MEM_READONLY) ||
	       add_slot(map(4 * PAGE, MAP_PRIVATE, -1), 4 * PAGE, KVM_MEM_LOG_DIRTY_PAGES) ? -1 : 0;
}

/* Where the host has such pages: the test's driver reserves some. */
static int add_huge(void)
{
	int fd = memfd_create("huge guest memory", MFD_HUGETLB);
	void *memory = map(HUGE, MAP_PRIVATE | MAP_HUGETLB, -1);

	if (memory == MAP_FAILED) {
		test_msg("no huge pages\n");
		return fd < 0 ? 0 : close(fd);
	}
	if (fd < 0 || ftruncate(fd, HUGE))
		return -1;
	return add_slot(memory, HUGE, 0) || add_slot(map(HUGE, MAP_SHARED | MAP_HUGETLB, -1), HUGE, 0) ||
	       add_slot(map(HUGE, MAP_SHARED, fd), HUGE, 0) ? -1 : 0;
}

/*
 * What the guest writes to a shared file with a name is not in an image: it only reads there. A private mapping shows
 * what is written to the file until it is written to itself: so each has a file of its own.
 */
static int add_files(void)
{
	int memory = memfd_create("guest memory", 0), other = memfd_create("other guest memory", 0);
	int shared = make_file("shared", 3 * PAGE), private = make_file("private", 6 * PAGE);
	int gone = make_file("gone", 3 * PAGE);

	if (memory < 0 || other < 0 || shared < 0 || private < 0 || gone < 0 || ftruncate(memory, 7 * PAGE) ||
	    ftruncate(other, 7 * PAGE) || unlink_file("gone"))
		return -1;
	return add_slot(map(7 * PAGE, MAP_SHARED, memory), 7 * PAGE, 0) ||
	       add_slot(map(7 * PAGE, MAP_PRIVATE, other), 7 * PAGE, 0) ||
	       add_slot(map(3 * PAGE, MAP_SHARED, shared), 3 * PAGE, KVM_MEM_READONLY) ||
	       add_slot(map(6 * PAGE, MAP_PRIVATE, private), 6 * PAGE, 0) ||
	       add_slot(map(3 * PAGE, MAP_SHARED, gone), 3 * PAGE, 0) ? -1 : 0;
}

/*
 * Three over the same memory. Of the page that two of them have, the guest writes to another word by way of each; the
 * VMM looks in same_memory() whether both are in it.
 */
static char *twice;

static int add_shared_memory(void)
{
	char *memory = map(4 * PAGE, MAP_SHARED, -1);
	uint64_t first = next_gpa;

	if (memory == MAP_FAILED || set_slot(next_id++, 0, first, 4 * PAGE, memory) ||
	    set_slot(next_id++, 0, first + HUGE, 2 * PAGE, memory + 2 * PAGE) ||
	    set_slot(next_id++, KVM_MEM_READONLY, first + HUGE + 4 * PAGE, PAGE, memory))
		return -1;
	next_gpa += 2 * HUGE;
	twice = memory + 2 * PAGE;
	return add_place(first) && add_place(first + 2 * PAGE) && add_place(first + HUGE + 64) ? 0 : -1;
}

/* A memslot over several mappings: private, shared, and none at all in between. */
static int add_patchwork(void)
{
	char *memory = map(6 * PAGE, MAP_PRIVATE, -1);
	uint64_t gpa = next_gpa;

	if (memory == MAP_FAILED ||
	    mmap(memory + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS, -1,
		 0) == MAP_FAILED ||
	    munmap(memory + 3 * PAGE, PAGE) || set_slot(next_id++, 0, gpa, 6 * PAGE, memory))
		return -1;
	next_gpa += 2 * HUGE;
	return add_place(gpa + PAGE) && add_place(gpa + 2 * PAGE) && add_place(gpa + 5 * PAGE) ? 0 : -1;
}

static struct place *absent[2];
/* Where nothing else comes to lie that finds its own place. */
static char *const absent_memory[2] = { (char *)0x5b0000000000, (char *)0x5b0000100000 };

static bool map_absent(unsigned int i)
{
	return mmap(absent_memory[i], 2 * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED;
}

/* One whose memory comes later, and one whose memory has gone. */
static int add_absent(void)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		if ((i && !map_absent(i)) || set_slot(next_id++, 0, next_gpa, 2 * PAGE, absent_memory[i]) ||
		    (i && munmap(absent_memory[i], 2 * PAGE)))
			return -1;
		absent[i] = add_place(next_gpa + PAGE);
		if (!absent[i])
			return -1;
		absent[i]->is_off = 1;
		next_gpa += 2 * HUGE;
	}
	return 0;
}

/* Single pages of one mapping, in another order than their addresses have. */
static int add_many(void)
{
	char *memory = map(NR_SMALL * PAGE, MAP_PRIVATE, -1);
	unsigned int i;

	if (memory == MAP_FAILED)
		return -1;
	for (i = 0; i < NR_SMALL; i++) {
		uint64_t gpa = SMALL_GPA + 0x10000 * i;

		if (set_slot(1000 + (i * 13) % NR_SMALL, 0, gpa, PAGE, memory + PAGE * ((i * 7) % NR_SMALL)) ||
		    !add_place(gpa))
			return -1;
	}
	return 0;
}

static bool serve(struct odd_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	uint64_t value = 0, i;

	if (run->exit_reason != KVM_EXIT_MMIO || !run->mmio.is_write)
		return guest_exit(vcpu);
	for (i = 0; i < table()->nr; i++)
		if (run->mmio.phys_addr == table()->places[i].gpa + 8 * vcpu->id)
			break;
	if (i == table()->nr)
		return guest_exit(vcpu);
	memcpy(&value, run->mmio.data, sizeof(value));
	if (!table()->places[i].is_read_only || value != MAGIC)
		odd_found(vcpu->vm, "an exit by guest memory", run->mmio.phys_addr);
	refused[vcpu->id]++;
	return true;
}

static int create_vm(void)
{
	unsigned int i;

	if (odd_add_memory(&vm, 0) || add_anonymous() || add_huge() || add_files() || add_shared_memory() ||
	    add_patchwork() || add_absent() || add_many())
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) || guest_set(&vm, i, run))
			return -1;
	vm.exit = serve;
	if (odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    odd_init_gic(&vm))
		return -1;
	return odd_start_all(&vm);
}

/* All places once more, on every vCPU. */
static bool went_round(void)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	unsigned int i, ticks;

	for (i = 0; i < ODD_NR_VCPUS; i++) {
		const struct slots_guest *s = guest_cpu(&vm, i);
		uint64_t rounds = s->rounds, exits = refused[i];

		for (ticks = 0; ticks < 6000 && s->rounds < rounds + 2 && !vm.stats->error[0]; ticks++)
			nanosleep(&tick, NULL);
		if (s->rounds < rounds + 2)
			odd_found(&vm, "no progress: rounds", rounds);
		if (refused[i] < exits + 4)
			odd_found(&vm, "writes to read-only memslots that were no exits: of vCPU", i);
		test_msg("vcpu %u: %llu rounds of %llu places, %llu writes were exits\n", i,
			 (unsigned long long)s->rounds, (unsigned long long)table()->nr,
			 (unsigned long long)refused[i]);
	}
	return !vm.stats->error[0];
}

/* Memory for the memslots that had none: the guest finds it, and writes there. */
static bool memory_comes(void)
{
	unsigned int i, n;

	for (i = 0; i < 2; i++) {
		if (!map_absent(i)) {
			odd_found(&vm, "memory where there was none: errno", errno);
			return false;
		}
		*(volatile uint32_t *)&absent[i]->is_off = 0;
	}
	if (!went_round())
		return false;
	for (i = 0; i < 2; i++)
		for (n = 0; n < ODD_NR_VCPUS; n++)
			if (!*(volatile uint64_t *)(absent_memory[i] + PAGE + 8 * n)) {
				odd_found(&vm, "a memslot that got its memory later has nothing in it: the vCPU", n);
				return false;
			}
	return true;
}

static bool same_memory(void)
{
	const volatile uint64_t *words = (uint64_t *)twice;

	if (words[0] && words[8])
		return true;
	odd_found(&vm, "two memslots over the same memory do not show it, word", words[0] ? 8 : 0);
	return false;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (odd_create(&vm) || create_vm()) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	if (!went_round() || !memory_comes() || !same_memory()) {
		errno = 0;
		fail("%s", vm.stats->error);
		return 1;
	}
	return odd_verdict(&vm);
}
