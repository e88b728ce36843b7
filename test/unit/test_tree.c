// SPDX-License-Identifier: GPL-2.0-only
/* Which VM is whose, in a tree of processes: by the records of the iterator, made up here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "probe/discover.h"
#include "probe/eventfd.h"
#include "probe/park.h"
#include "probe/room.h"
#include "probe/tree.h"
#include "testlog.h"

#define GICV3 7
#define MAX_PROCS 70

/* What the kernel would say. */
bool kernel_is_arm64(void)
{
	return true;
}

bool kernel_saves_orphans(void)
{
	return true;
}

bool kernel_step_is_pending(unsigned int sflags)
{
	return false;
}

int probe_bindings(pid_t pid, const struct kvm_rec *vm_rec, struct eventfd_table *eventfds, struct vm_state *vm)
{
	return 0;
}

void eventfd_table_free(struct eventfd_table *eventfds)
{
}

static struct kvm_rec holders[8];
static size_t nr_holders, nr_looks;
static unsigned int held; /* looks in which somebody has the first file for a moment */

/* test_room has it */
int room_check(pid_t pid, const struct proc_view *seen, const struct room *need)
{
	return 0;
}

int kernel_probe_holders(const pid_t *pids, size_t nr_pids, struct kvm_rec **recs, size_t *nr)
{
	nr_looks++;
	*nr = nr_holders;
	*recs = calloc(nr_holders + 1, sizeof(**recs));
	assert_non_null(*recs);
	for (size_t i = 0; i < nr_holders; i++) {
		(*recs)[i] = holders[i];
		(*recs)[i].holder.refs += nr_looks <= held && holders[i].holder.file == holders[0].holder.file;
	}
	return 0;
}

static size_t nr_walks; /* through the page tables of a process */
static size_t nr_map_looks; /* at the mappings alone of a process */

int proc_scan_map_flags(pid_t pid, struct proc_scan *scan)
{
	nr_walks++;
	return 0;
}

int proc_max_fd(const struct proc_scan *scan)
{
	return scan->nr_open ? scan->open[scan->nr_open - 1] : -1;
}

void proc_scan_free(struct proc_scan *scan)
{
	free(scan->fds);
	free(scan->maps);
	free(scan->open);
	free(scan->view.areas.list);
}

/* A tree that is being made up. */
static struct kvm_process procs[MAX_PROCS];
static struct kvm_tree tree;
static struct discovered all;

static void *more(void *array, size_t nr, size_t size)
{
	void *grown = reallocarray(array, nr + 1, size);

	assert_non_null(grown);
	return grown;
}

static struct kvm_process *add_process(pid_t pid)
{
	struct kvm_process *proc = &procs[tree.nr_procs++];

	*proc = (struct kvm_process){ .pid = pid, .scan = { .view.status.vpid = pid, .userfaultfd = -1, .fd_limit = 1024 } };
	return proc;
}

static size_t nr_asked; /* for children */

/* All are the first one's. */
int proc_add_children(pid_t pid, pid_t **pids, size_t *nr)
{
	nr_asked++;
	for (size_t p = 1; p < tree.nr_procs && pid == procs[0].pid; p++) {
		*pids = more(*pids, *nr, sizeof(**pids));
		(*pids)[(*nr)++] = procs[p].pid;
	}
	return 0;
}

static const struct kvm_process *find_process(pid_t pid)
{
	for (size_t p = 0; p < tree.nr_procs; p++)
		if (procs[p].pid == pid)
			return &procs[p];
	fail();
	return NULL;
}

#define MAX_WORDS 20 /* of 64 fds */

/* With room for more. */
static void *copy(const void *array, size_t nr, size_t size)
{
	void *made = calloc(nr + 2 * MAX_WORDS, size);

	assert_non_null(made);
	return nr ? memcpy(made, array, nr * size) : made;
}

/* With a mapping or two of what is not KVM's. */
int proc_scan(pid_t pid, struct proc_scan *scan)
{
	*scan = find_process(pid)->scan;
	scan->by_numbers = false;
	scan->fds = copy(scan->fds, scan->nr_fds, sizeof(*scan->fds));
	scan->maps = copy(scan->maps, scan->nr_maps, sizeof(*scan->maps));
	scan->open = copy(scan->open, scan->nr_open, sizeof(*scan->open));
	scan->view.areas = (struct proc_areas){ calloc(2, sizeof(*scan->view.areas.list)), 2, 2 };
	return 0;
}

static size_t nr_lists; /* of fds that were asked for */
static int hidden;	/* a fd that another process has put another before meanwhile, or -1 */
static bool told_twice; /* which fds are open: by a pass that had no room for more, and by the next */

static int compare_numbers(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int proc_scan_by_numbers(pid_t pid, struct proc_scan *scan)
{
	proc_scan(pid, scan);
	scan->by_numbers = true;
	for (size_t i = 0; i < scan->nr_open; i++)
		if (scan->open[i] == hidden)
			scan->open[i] = 900;
	if (scan->nr_open)
		qsort(scan->open, scan->nr_open, sizeof(*scan->open), compare_numbers);
	for (size_t i = 0; i < scan->nr_fds; i++)
		if (scan->fds[i].fd == hidden)
			scan->fds[i] = scan->fds[--scan->nr_fds];
	if (hidden == scan->userfaultfd)
		scan->userfaultfd = -1;
	return 0;
}

int proc_scan_fds(pid_t pid, struct proc_scan *scan)
{
	proc_scan_free(scan);
	nr_lists++;
	return proc_scan(pid, scan);
}

void kernel_probe_ahead(pid_t pid)
{
}

void kernel_probe_end_ahead(void)
{
}

int kernel_probe(pid_t pid, struct kvm_rec **recs, size_t *nr)
{
	const struct kvm_process *proc = find_process(pid);
	struct kvm_rec *all_of = copy(proc->recs, proc->nr_recs, sizeof(*all_of));

	*nr = proc->nr_recs;
	for (unsigned int fd = 0; fd < MAX_WORDS * 64; fd += 64) {
		struct kvm_rec open = { .type = KVM_REC_OPEN, .fd = fd };

		for (size_t i = 0; i < proc->scan.nr_open; i++)
			if ((unsigned int)proc->scan.open[i] / 64 * 64 == fd)
				open.open |= 1ull << proc->scan.open[i] % 64;
		for (int times = open.open ? 1 + told_twice : 0; times; times--)
			all_of[(*nr)++] = open;
	}
	*recs = all_of;
	return 0;
}

/* Of a process without KVM fds. What /proc would say of a userfaultfd its scan has beforehand. */
int kernel_probe_maps(pid_t pid, struct kvm_rec **recs, size_t *nr)
{
	nr_map_looks++;
	*nr = 0;
	*recs = calloc(1, sizeof(**recs));
	assert_non_null(*recs);
	for (size_t p = 0; p < tree.nr_procs; p++)
		if (procs[p].pid == pid && procs[p].scan.uffd_area)
			(*recs)[(*nr)++] = (struct kvm_rec){ .type = KVM_REC_UFFD };
	return 0;
}

#define VM_USUAL 0xfbull /* VM_READ, WRITE, SHARED, and that they may be, of linux/mm.h */

static struct kvm_rec *add_rec(struct kvm_process *proc, enum kvm_rec_type type, unsigned long long kvm, int fd,
			       bool owned)
{
	struct kvm_rec *rec;

	proc->recs = more(proc->recs, proc->nr_recs, sizeof(*proc->recs));
	rec = &proc->recs[proc->nr_recs++];
	*rec = (struct kvm_rec){ .type = type, .kvm = kvm, .fd = fd, .owned = owned };
	return rec;
}

/* An fd, and the record of it. */
static struct kvm_rec *add_fd(struct kvm_process *proc, enum proc_fd_kind kind, enum kvm_rec_type type,
			      unsigned long long kvm, bool owned)
{
	int fd = proc->scan.nr_open ? proc->scan.open[proc->scan.nr_open - 1] + 1 : 3;

	proc->scan.fds = more(proc->scan.fds, proc->scan.nr_fds, sizeof(*proc->scan.fds));
	proc->scan.open = more(proc->scan.open, proc->scan.nr_open, sizeof(*proc->scan.open));
	proc->scan.fds[proc->scan.nr_fds++] = (struct proc_fd){ .fd = fd, .kind = kind, .name = "anon_inode:kvm-x" };
	proc->scan.open[proc->scan.nr_open++] = fd;
	return add_rec(proc, type, kvm, fd, owned);
}

static struct kvm_rec *add_vcpu(struct kvm_process *proc, unsigned long long kvm, unsigned int idx, bool owned)
{
	struct kvm_rec *rec = add_fd(proc, PROC_FD_VCPU, KVM_REC_VCPU, kvm, owned);

	rec->vcpu.idx = rec->vcpu.id = idx;
	rec->vcpu.steal_base = VCPU_NO_PVTIME;
	return rec;
}

static void add_map(struct kvm_process *proc, unsigned long long kvm, unsigned int idx, uint64_t start, bool owned)
{
	struct kvm_rec *rec = add_rec(proc, KVM_REC_MAP, kvm, 0, owned);

	rec->map.start = start;
	rec->map.flags = VM_USUAL;
	rec->map.idx = idx;
	proc->scan.maps = more(proc->scan.maps, proc->scan.nr_maps, sizeof(*proc->scan.maps));
	proc->scan.maps[proc->scan.nr_maps++] = (struct proc_map){ .start = start,
								   .size = 4096,
								   .prot = PROT_READ | PROT_WRITE,
								   .is_shared = 1,
								   .vcpu_id = idx };
}

/* The record of the VM itself, by fd @fd; and a memslot, at an address that is the VM's. */
static void add_vm_rec(struct kvm_process *proc, unsigned long long kvm, int fd, unsigned int nr_vcpus)
{
	struct kvm_rec *rec = add_rec(proc, KVM_REC_VM, kvm, fd, true);

	rec->vm.vtcr = 64 - 40;
	rec->vm.nr_vcpus = nr_vcpus;
	rec->vm.nr_devices = 1;
	rec->vm.vgic_model = GICV3;
	rec->vm.vgic_in_kernel = rec->vm.vgic_initialized = 1;
	add_rec(proc, KVM_REC_CAPS, kvm, fd, false);
	rec = add_rec(proc, KVM_REC_SLOT, kvm, fd, false);
	rec->slot.npages = 16;
	rec->slot.hva = kvm << 20;
}

/* A VM of 2 vCPUs with all its fds, in its owner; without its own where not @has_fd. */
static void add_vm(struct kvm_process *proc, unsigned long long kvm, bool has_fd)
{
	int first;

	if (has_fd)
		add_fd(proc, PROC_FD_VM, KVM_REC_VM_FD, kvm, true);
	add_vcpu(proc, kvm, 0, true);
	first = proc->scan.open[proc->scan.nr_open - 1] - has_fd;
	add_vcpu(proc, kvm, 1, true);
	add_fd(proc, PROC_FD_VGIC_V3, KVM_REC_DEVICE, kvm, true);
	add_vm_rec(proc, kvm, first, 2);
	add_map(proc, kvm, 0, (kvm << 20) + 0x8000, true);
	add_map(proc, kvm, 1, (kvm << 20) + 0xa000, true);
}

static int set_up(void **state)
{
	tree = (struct kvm_tree){ .procs = procs };
	all = (struct discovered){ 0 };
	nr_walks = nr_map_looks = nr_looks = nr_holders = held = nr_lists = nr_asked = 0;
	hidden = -1;
	told_twice = false;
	log_reset();
	return 0;
}

static int tear_down(void **state)
{
	for (size_t p = 0; p < tree.nr_procs; p++)
		kvm_process_free(&procs[p]);
	discovered_free(&all);
	return 0;
}

static int discover_tree(void)
{
	for (size_t p = 0; p < tree.nr_procs; p++)
		assert_int_equal(kvm_process_list_handles(&tree.procs[p]), 0);
	return discover_vms(&tree, &all);
}

static void assert_found(size_t nr)
{
	int ret = discover_tree();

	assert_string_equal(log_error(), "");
	assert_int_equal(ret, 0);
	assert_int_equal(all.nr_vms, nr);
}

static void assert_refused(const char *says)
{
	assert_int_equal(discover_tree(), -ENOTSUP);
	assert_int_equal(log_errors(), 1);
	assert_true(log_has(says));
}

/* That @found has what add_vm() gave the VM at @kvm, and nothing of another. */
static void assert_own(const struct discovered_vm *found, unsigned long long kvm, pid_t pid)
{
	const struct vm_state *vm = found->vm;

	assert_int_equal(found->pid, pid);
	assert_int_equal(vm->vpid, pid);
	assert_int_equal(vm->nr_vcpus, 2);
	assert_int_equal(vm->nr_slots, 1);
	assert_int_equal(vm->slots[0].hva, kvm << 20);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(vm->vcpus[i].nr_maps, 1);
		assert_int_equal(vm->vcpus[i].maps[0].start, (kvm << 20) + 0x8000 + 0x2000 * i);
	}
}

static bool has_fd(const struct discovered_vm *found, pid_t pid, int fd, enum kvm_file_kind kind, uint32_t index)
{
	for (size_t i = 0; i < found->nr_fds; i++)
		if (found->fds[i].pid == pid && found->fds[i].fd == fd)
			return found->fds[i].object.kind == kind && found->fds[i].object.index == index;
	return false;
}

static int refuse_nothing(pid_t pid, const struct proc_scan *scan)
{
	return 0;
}

/* There are as many as a process likes. */
static void mappings_are_kept_of_a_vms_process_alone(void **state)
{
	struct kvm_tree seen;

	add_vm(add_process(10), 1, true);
	add_process(11);
	add_fd(add_process(12), PROC_FD_VM, KVM_REC_VM_FD, 1, false);
	assert_int_equal(kvm_tree_scan(10, refuse_nothing, &seen), 0);
	assert_int_equal(seen.nr_procs, 3);
	assert_int_equal(seen.procs[0].scan.view.areas.nr, 2);
	assert_int_equal(seen.procs[1].scan.view.areas.nr, 0);
	assert_int_equal(seen.procs[2].scan.view.areas.nr, 0);
	kvm_tree_free(&seen);
}

/* What the iterator has seen as the scan has: nothing is asked for twice. Where there is no iterator, the kernel lists the fds. */
static void fds_are_listed_where_they_may_not_be_all(void **state)
{
	struct kvm_process *proc = add_process(10);
	struct kvm_tree seen;

	for (unsigned long long kvm = 1; kvm <= 40; kvm++)
		add_vm(proc, kvm, true);
	for (unsigned int times = 0; times < 2; times++) {
		told_twice = times;
		assert_int_equal(kvm_tree_scan(10, refuse_nothing, &seen), 0);
		assert_int_equal(nr_lists, 0);
		kvm_tree_free(&seen);
	}
	add_process(11);
	assert_int_equal(kvm_tree_scan(10, refuse_nothing, &seen), 0);
	assert_int_equal(nr_lists, 1);
	kvm_tree_free(&seen);
}

static void children_are_not_asked_for_where_there_are_none(void **state)
{
	struct kvm_process *proc = add_process(10);
	struct kvm_tree seen;

	add_vm(proc, 1, true);
	assert_int_equal(kvm_tree_scan(10, refuse_nothing, &seen), 0);
	assert_int_equal(nr_asked, 1);
	kvm_tree_free(&seen);
	add_rec(proc, KVM_REC_CHILDLESS, 0, 0, false);
	assert_int_equal(kvm_tree_scan(10, refuse_nothing, &seen), 0);
	assert_int_equal(nr_asked, 1);
	assert_int_equal(seen.nr_pids, 1);
	assert_int_equal(seen.pids[0], 10);
	kvm_tree_free(&seen);
}

static int refuse_other_fds(pid_t pid, const struct proc_scan *scan)
{
	for (size_t i = 0; i < scan->nr_fds; i++)
		if (scan->fds[i].kind == PROC_FD_OTHER)
			return -ENOTSUP;
	return 0;
}

/* The one that was missed is the VM's, is a userfaultfd, or is refused. */
static void what_a_running_process_puts_before_a_fd_does_not_hide_it(void **state)
{
	struct kvm_process *proc = add_process(10);
	struct kvm_tree seen;

	add_vm(proc, 1, true);
	add_fd(proc, PROC_FD_SYSTEM, 0, 0, true);
	for (hidden = 3; hidden <= 7; hidden++) {
		nr_lists = 0;
		told_twice = hidden % 2;
		proc->scan.userfaultfd = hidden;
		assert_int_equal(kvm_tree_scan(10, refuse_other_fds, &seen), 0);
		assert_int_equal(nr_lists, 1);
		assert_int_equal(seen.procs[0].scan.nr_fds, proc->scan.nr_fds);
		assert_int_equal(seen.procs[0].scan.userfaultfd, hidden);
		kvm_tree_free(&seen);
	}
	hidden = 7;
	proc->scan.fds[proc->scan.nr_fds - 1].kind = PROC_FD_OTHER;
	assert_int_equal(kvm_tree_scan(10, refuse_other_fds, &seen), -ENOTSUP);
	kvm_tree_free(&seen);
}

/* All vCPUs and mappings have the same names. */
static void four_vms_of_one_process(void **state)
{
	struct kvm_process *proc = add_process(10);

	for (unsigned long long kvm = 1; kvm <= 4; kvm++)
		add_vm(proc, kvm, true);
	assert_found(4);
	for (size_t v = 0; v < 4; v++) {
		int fd = 3 + 4 * v;

		assert_own(&all.vms[v], v + 1, 10);
		assert_int_equal(all.vms[v].vm->fd, fd);
		assert_int_equal(all.vms[v].nr_fds, 4);
		assert_true(has_fd(&all.vms[v], 10, fd, KVM_FILE_VM, 0));
		assert_true(has_fd(&all.vms[v], 10, fd + 2, KVM_FILE_VCPU, 1));
		assert_true(has_fd(&all.vms[v], 10, fd + 3, KVM_FILE_VGIC, 0));
		if (v)
			assert_int_equal(all.vms[v].vm->park_base,
					 all.vms[v - 1].vm->park_base + vm_nr_parked(all.vms[v - 1].vm));
	}
	assert_int_equal(nr_walks, 0);
}

/* What is usual is known without a walk through its page tables; of the rest /proc has the name. */
static void page_tables_are_walked_for_what_is_unusual(void **state)
{
	static const struct {
		unsigned long long vm_flags;
		uint32_t flags;
		size_t walks;
	} maps[] = {
		{ VM_USUAL, 0, 0 },
		{ VM_USUAL | 1 << 27, 0, 0 },	/* SOFTDIRTY */
		{ VM_USUAL | 1 << 13 | 1 << 17, VCPU_MAP_LOCKED | VCPU_MAP_DONTFORK, 0 },
		{ VM_USUAL | 1 << 10, 0, 1 },	/* PFNMAP */
		{ VM_USUAL | 1ull << 42, 0, 1 }, /* SEALED */
		{ 0, 0, 1 },			/* was not told */
	};

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		struct kvm_process *proc = add_process(10);

		add_vm(proc, 1, true);
		for (size_t r = 0; r < proc->nr_recs; r++)
			if (proc->recs[r].type == KVM_REC_MAP && proc->recs[r].map.idx == 1)
				proc->recs[r].map.flags = maps[i].vm_flags;
		assert_found(1);
		assert_int_equal(nr_walks, maps[i].walks);
		if (!maps[i].walks)
			assert_int_equal(all.vms[0].vm->vcpus[1].maps[0].flags, maps[i].flags);
		tear_down(state);
		set_up(state);
	}
}

static void page_tables_are_walked_for_a_mapping_that_was_not_seen(void **state)
{
	struct kvm_process *proc = add_process(10);

	add_vm(proc, 1, true);
	proc->recs[proc->nr_recs - 1].map.start += 4096;
	discover_tree();
	assert_int_equal(nr_walks, 1);
}

static void memory_of_a_vms_process_under_a_userfaultfd(void **state)
{
	struct kvm_process *proc = add_process(10);

	add_vm(proc, 1, true);
	add_rec(proc, KVM_REC_UFFD, 0, 0, false)->map.start = 0x7000;
	proc->scan.uffd_area = 0x7000;
	assert_refused("pid 10: mapping 0x7000: memory of a userfaultfd that another process holds");
	assert_int_equal(nr_walks, 1);
}

/* What CRIU says to it is CRIU's: it may have opened /dev/kvm for a look. */
static void a_userfaultfd_without_a_vm(void **state)
{
	struct kvm_process *proc = add_process(10);

	add_rec(proc, KVM_REC_UFFD, 0, 0, false)->map.start = 0x7000;
	proc->scan.uffd_area = 0x7000;
	assert_found(0);
}

static void vms_of_several_processes(void **state)
{
	struct kvm_process *root = add_process(10), *none = add_process(11), *child = add_process(12);

	add_vm(root, 1, true);
	none->scan.fds = more(NULL, 0, sizeof(*none->scan.fds));
	none->scan.fds[none->scan.nr_fds++] = (struct proc_fd){ .fd = 3, .kind = PROC_FD_SYSTEM };
	add_vm(child, 2, true);
	add_vm(child, 3, true);
	assert_found(3);
	assert_own(&all.vms[0], 1, 10);
	assert_own(&all.vms[1], 2, 12);
	assert_own(&all.vms[2], 3, 12);
	assert_int_equal(all.vms[0].vm->park_base, all.vms[1].vm->park_base);
}

/* The owner is not the one that comes first. */
static void what_others_have_is_the_owners(void **state)
{
	struct kvm_process *root = add_process(10), *child = add_process(12);
	struct kvm_rec *rec;

	add_fd(root, PROC_FD_VM, KVM_REC_VM_FD, 7, false);
	add_vcpu(root, 7, 1, false);
	rec = add_fd(root, PROC_FD_STATS, KVM_REC_STATS, 7, false);
	rec->stats.of_vcpu = rec->stats.idx = 1;
	add_fd(root, PROC_FD_STATS, KVM_REC_STATS, 7, false);
	add_vm(child, 7, true);
	assert_found(1);
	assert_own(&all.vms[0], 7, 12);
	assert_int_equal(all.vms[0].nr_fds, 6);
	assert_true(has_fd(&all.vms[0], 10, 3, KVM_FILE_VM, 0));
	assert_true(has_fd(&all.vms[0], 10, 4, KVM_FILE_VCPU, 1));
	assert_true(has_fd(&all.vms[0], 10, 5, KVM_FILE_VCPU_STATS, 1));
	assert_true(has_fd(&all.vms[0], 10, 6, KVM_FILE_VM_STATS, 0));
	/* The same file. */
	assert_false(has_fd(&all.vms[0], 12, 3, KVM_FILE_VM, 0));
}

/* CRIU asks of each of its files which of these it is. */
static void one_file_with_many_fds(void **state)
{
	struct kvm_process *proc = add_process(10);

	add_vm(proc, 1, true);
	for (int i = 0; i < 500; i++)
		add_fd(proc, PROC_FD_VM, KVM_REC_VM_FD, 1, true);
	assert_found(1);
	assert_own(&all.vms[0], 1, 10);
	assert_int_equal(all.vms[0].nr_fds, 4);
}

/* Each fd of statistics is a file of its own. */
static void more_files_than_images_have_room_for(void **state)
{
	struct kvm_process *proc = add_process(10);

	proc->scan.fd_limit = 8192;
	add_vm(proc, 1, true);
	for (int nr = 4; nr < VM_MAX_FILES; nr++) /* VM, GIC, two vCPUs */
		add_fd(proc, PROC_FD_STATS, KVM_REC_STATS, 1, true);
	assert_found(1);
	assert_int_equal(all.vms[0].nr_fds, VM_MAX_FILES);
	discovered_free(&all);
	add_fd(proc, PROC_FD_STATS, KVM_REC_STATS, 1, true);
	assert_refused("pid 10: more than 4096 files of a VM, with those of its statistics");
}

static void more_of_dev_kvm_than_images_have_room_for(void **state)
{
	struct kvm_process *proc = add_process(10);

	proc->scan.fd_limit = 8192;
	add_vm(proc, 1, true);
	for (int nr = 0; nr < VM_MAX_FILES; nr++)
		add_fd(proc, PROC_FD_SYSTEM, 0, 0, true);
	assert_found(1);
	discovered_free(&all);
	add_fd(proc, PROC_FD_SYSTEM, 0, 0, true);
	assert_refused("pid 10: more than 4096 fds of /dev/kvm in a tree of processes");
}

static void a_vm_without_its_own_fd(void **state)
{
	add_vm(add_process(10), 1, false);
	assert_found(1);
	assert_own(&all.vms[0], 1, 10);
	assert_int_equal(all.vms[0].vm->fd, -1);
}

static void a_vm_whose_fd_another_has(void **state)
{
	add_vm(add_process(10), 1, false);
	add_fd(add_process(11), PROC_FD_VM, KVM_REC_VM_FD, 1, false);
	assert_refused("pid 10: a VM whose fd another process has, and its own has not");
}

static void a_vm_whose_owner_is_elsewhere(void **state)
{
	add_fd(add_process(10), PROC_FD_VM, KVM_REC_VM_FD, 1, false);
	assert_refused("pid 10: the VM belongs to another process, which handed its fd over");
}

static void a_mapping_of_anothers_vcpu(void **state)
{
	struct kvm_process *root = add_process(10);

	add_vm(root, 1, true);
	add_map(add_process(11), 1, 0, 0x5000, false);
	assert_refused("pid 11: a mapping of a vCPU of another process's VM");
}

static void a_vcpu_that_only_another_has(void **state)
{
	struct kvm_process *root = add_process(10);

	add_vm(root, 1, true);
	for (size_t i = 0; i < root->nr_recs; i++)
		if (root->recs[i].type == KVM_REC_VM)
			root->recs[i].vm.nr_vcpus = 3;
	add_vcpu(add_process(11), 1, 2, false);
	assert_refused("pid 10: a vCPU whose fd was closed");
}

static void a_mapping_alone(void **state)
{
	add_map(add_process(10), 1, 0, 0x5000, true);
	assert_refused("pid 10: a mapping of a vCPU whose fd was closed");
}

#define FILE_OF_VM 0xf1000

/* A process's fd or mapping of that file of VM 7, which there are @refs references to. */
static void add_holder(pid_t pid, unsigned int fd, unsigned long long in, bool is_map, unsigned long long refs)
{
	holders[nr_holders++] = (struct kvm_rec){
		.type = KVM_REC_HOLDER,
		.kvm = 7,
		.fd = fd,
		.holder = { .file = FILE_OF_VM, .refs = refs, .in = in, .at = fd, .pid = pid, .is_map = is_map },
	};
}

/* Their processes: the owner's, whose pid is the higher, and one before it. */
static void two_have_its_fd(void)
{
	struct kvm_process *root = add_process(10);

	add_fd(root, PROC_FD_VM, KVM_REC_VM_FD, 7, false);
	add_vm(add_process(12), 7, true);
}

static void all_that_have_a_file_are_known(void **state)
{
	two_have_its_fd();
	add_holder(12, 3, 0xa, false, 5);
	add_holder(10, 3, 0xb, false, 5);
	add_holder(12, 0x8000, 0xc, true, 5);
	add_holder(12, 77, 0xa, false, 5);
	add_holder(99, 3, 0xd, false, 5); /* is not dumped */
	add_holder(100, 3, 0xd, false, 5); /* shares its fds with that */
	assert_found(1);
	assert_int_equal(nr_looks, 1);
}

static void a_file_on_its_way_through_a_socket(void **state)
{
	two_have_its_fd();
	add_holder(99, 3, 0xd, false, 4);
	add_holder(12, 0x8000, 0xc, true, 4);
	add_holder(12, 3, 0xa, false, 4);
	assert_refused("pid 12: fd 3 (anon_inode:kvm-x): on its way through a socket too");
	assert_true(nr_looks > 10);
}

/* It has one reference, and two say that it is theirs. */
static void a_file_of_a_shared_table_in_a_socket(void **state)
{
	two_have_its_fd();
	add_holder(12, 3, 0xa, false, 2);
	add_holder(13, 3, 0xa, false, 2);
	assert_refused("pid 12: fd 3 (anon_inode:kvm-x): on its way through a socket too");
}

static void who_looks_at_a_file_for_a_moment(void **state)
{
	two_have_its_fd();
	add_holder(12, 3, 0xa, false, 2);
	add_holder(10, 3, 0xb, false, 2);
	held = 3;
	assert_found(1);
	assert_int_equal(nr_looks, 4);
}

/* CRIU opens it there, and what it sends is the file. */
static void a_file_in_a_socket_of_the_first_process(void **state)
{
	add_vm(add_process(10), 7, true);
	add_process(11);
	add_holder(10, 3, 0xa, false, 2);
	assert_found(1);
	assert_int_equal(nr_looks, 0);
}

/* A file that none of the tree has is none of its business. */
static void what_only_strangers_have(void **state)
{
	two_have_its_fd();
	add_holder(99, 3, 0xd, false, 2);
	assert_found(1);
}

/* It has no VM, and can share a VM's memory, or serve its devices. */
static struct kvm_process *add_helper(void)
{
	add_vm(add_process(10), 1, true);
	return add_process(11);
}

static void a_helper(void **state)
{
	add_helper();
	assert_found(1);
	assert_int_equal(nr_map_looks, 1);
	assert_int_equal(nr_walks, 0);
}

static void a_helper_with_vhost(void **state)
{
	strcpy(add_helper()->scan.device, "/dev/vhost-net");
	assert_refused("pid 11: /dev/vhost-net: a device that reaches guest memory by itself");
}

static void a_helper_with_a_userfaultfd(void **state)
{
	add_helper()->scan.userfaultfd = 7;
	assert_refused("pid 11: a userfaultfd: KVM would wait for its handler");
}

static void memory_of_a_helpers_under_a_userfaultfd(void **state)
{
	add_helper()->scan.uffd_area = 0x7000;
	assert_refused("pid 11: mapping 0x7000: memory of a userfaultfd that another process holds");
	assert_int_equal(nr_walks, 1);
}

static void a_helper_with_a_high_fd(void **state)
{
	struct kvm_process *helper = add_helper();

	helper->scan.open = more(helper->scan.open, 0, sizeof(*helper->scan.open));
	helper->scan.open[helper->scan.nr_open++] = open_limit() - 1;
	assert_refused("pid 11: fd ");
	assert_true(log_has(": CRIU restores none above "));
}

static void a_helper_at_its_limit_of_fds(void **state)
{
	add_helper()->scan.fd_limit = 3;
	assert_refused("pid 11: 3 more fds allowed by its RLIMIT_NOFILE of 3, of the 4 that CRIU needs in it");
}

static void a_helper_with_shared_text(void **state)
{
	add_helper()->scan.barred_text = 0x400000;
	assert_refused("pid 11: mapping 0x400000: its first executable mapping is shared and not writable");
}

/* What CRIU says to it is CRIU's. */
static void vhost_without_a_vm(void **state)
{
	strcpy(add_process(10)->scan.device, "/dev/vhost-net");
	assert_found(0);
	assert_int_equal(nr_walks, 0);
}

static void the_most_vms(void **state)
{
	for (unsigned long long kvm = 1; kvm <= DISCOVER_MAX_VMS; kvm++)
		add_vm(add_process(kvm), kvm, true);
	assert_found(DISCOVER_MAX_VMS);
	discovered_free(&all);
	add_vm(add_process(1000), 1000, true);
	assert_refused("pid 1000: more than 64 VMs in a tree of processes");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(mappings_are_kept_of_a_vms_process_alone),
		TEST(children_are_not_asked_for_where_there_are_none),
		TEST(fds_are_listed_where_they_may_not_be_all),
		TEST(what_a_running_process_puts_before_a_fd_does_not_hide_it),
		TEST(four_vms_of_one_process),	     TEST(vms_of_several_processes),
		TEST(page_tables_are_walked_for_what_is_unusual),
		TEST(page_tables_are_walked_for_a_mapping_that_was_not_seen),
		TEST(memory_of_a_vms_process_under_a_userfaultfd), TEST(a_userfaultfd_without_a_vm),
		TEST(what_others_have_is_the_owners), TEST(one_file_with_many_fds),
		TEST(more_files_than_images_have_room_for),
		TEST(more_of_dev_kvm_than_images_have_room_for),
		TEST(a_vm_without_its_own_fd),
		TEST(a_vm_whose_fd_another_has),
		TEST(a_vm_whose_owner_is_elsewhere),  TEST(a_mapping_of_anothers_vcpu),
		TEST(a_vcpu_that_only_another_has),   TEST(a_mapping_alone),
		TEST(all_that_have_a_file_are_known), TEST(a_file_on_its_way_through_a_socket),
		TEST(a_file_of_a_shared_table_in_a_socket),
		TEST(who_looks_at_a_file_for_a_moment),
		TEST(a_file_in_a_socket_of_the_first_process),
		TEST(what_only_strangers_have),
		TEST(a_helper),			      TEST(a_helper_with_vhost),
		TEST(a_helper_with_a_userfaultfd),    TEST(memory_of_a_helpers_under_a_userfaultfd),
		TEST(a_helper_with_a_high_fd),	      TEST(a_helper_at_its_limit_of_fds),
		TEST(a_helper_with_shared_text),
		TEST(vhost_without_a_vm),	      TEST(the_most_vms),
	};

	return cmocka_run_group_tests_name("VMs of a tree", tests, NULL, NULL);
}
