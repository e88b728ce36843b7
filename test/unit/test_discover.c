// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process's VM consists of, from what /proc and the BPF iterator tell, both made up here: what can be
 * dumped is found, and what cannot is refused by name. Here are all refusals that no host of the testbed can
 * bring about.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/discover.h"
#include "probe/eventfd.h"
#include "probe/kernel.h"
#include "probe/proc.h"
#include "probe/room.h"
#include "testlog.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PID 42
#define KVM 0xffff000012340000
#define OPEN_LIMIT 8192
#define VM_FD 5
#define GIC_FD 6
#define VCPU_FD 10 /* and the one behind it */
#define RAM 0x40000000ull
#define HVA 0xffff80000000u

enum { REC_VM, REC_CAPS, REC_SLOT, REC_GIC, REC_VCPU_0, REC_MAP_0, REC_VCPU_1, REC_MAP_1, REC_VM_FD, NR_RECS };

/* What there is. A test changes it. */
static struct host {
	struct proc_fd fds[8];
	size_t nr_fds;
	struct proc_map maps[4];
	size_t nr_maps;
	struct kvm_rec recs[NR_RECS + 4];
	size_t nr_recs;
	struct proc_scan more; /* the rest of it */
	size_t cpu_kinds;
	bool not_arm64, saves_orphans;
} host;

static void *copy_of(const void *from, size_t size)
{
	void *to = malloc(size + 1);

	if (!to)
		abort();
	return size ? memcpy(to, from, size) : to;
}

/* The kernel and /proc; test_binding has what is bound */

int probe_bindings(pid_t pid, const struct kvm_rec *vm_rec, struct eventfd_table *eventfds, struct vm_state *vm)
{
	return 0;
}

void eventfd_table_free(struct eventfd_table *eventfds)
{
}

bool kernel_is_arm64(void)
{
	return !host.not_arm64;
}

bool kernel_saves_orphans(void)
{
	return host.saves_orphans;
}

bool kernel_step_is_pending(unsigned int sflags)
{
	return sflags;
}

void kernel_probe_ahead(pid_t pid)
{
}

void kernel_probe_end_ahead(void)
{
}

int kernel_probe(pid_t pid, struct kvm_rec **recs, size_t *nr)
{
	*recs = copy_of(host.recs, sizeof(host.recs));
	*nr = host.nr_recs;
	return 0;
}

/* test_tree has it */
int kernel_probe_maps(pid_t pid, struct kvm_rec **recs, size_t *nr)
{
	return -ENOSYS;
}

/* test_room has it */
int room_check(pid_t pid, const struct proc_view *seen, const struct room *need)
{
	return 0;
}

int kernel_probe_holders(const pid_t *pids, size_t nr_pids, struct kvm_rec **recs, size_t *nr)
{
	return -ENOSYS;
}

int proc_scan(pid_t pid, struct proc_scan *scan)
{
	*scan = host.more;
	scan->fds = copy_of(host.fds, sizeof(host.fds));
	scan->nr_fds = host.nr_fds;
	scan->maps = copy_of(host.maps, sizeof(host.maps));
	scan->nr_maps = host.nr_maps;
	scan->open = copy_of(host.more.open, scan->nr_open * sizeof(*scan->open));
	return 0;
}

int proc_scan_by_numbers(pid_t pid, struct proc_scan *scan)
{
	return proc_scan(pid, scan);
}

/* test_tree has it */
int proc_scan_fds(pid_t pid, struct proc_scan *scan)
{
	return -ENOSYS;
}

int proc_scan_map_flags(pid_t pid, struct proc_scan *scan)
{
	scan->uffd_area = host.more.uffd_area;
	return 0;
}

int proc_add_children(pid_t pid, pid_t **pids, size_t *nr)
{
	return 0;
}

int proc_max_fd(const struct proc_scan *scan)
{
	return scan->nr_open ? scan->open[scan->nr_open - 1] : -1;
}

int __wrap_open_limit(void);
int __wrap_open_limit(void)
{
	return OPEN_LIMIT;
}

void proc_scan_free(struct proc_scan *scan)
{
	free(scan->fds);
	free(scan->maps);
	free(scan->open);
}

size_t __wrap_pmu_nr_cpu_kinds(void);
size_t __wrap_pmu_nr_cpu_kinds(void)
{
	return host.cpu_kinds;
}

/* A VM that can be dumped */

static void add_fd(int fd, enum proc_fd_kind kind, const char *name)
{
	struct proc_fd *to = &host.fds[host.nr_fds++];

	*to = (struct proc_fd){ .fd = fd, .kind = kind };
	snprintf(to->name, sizeof(to->name), "%s", name);
}

static struct kvm_rec *add_rec(enum kvm_rec_type type, unsigned int fd)
{
	struct kvm_rec *rec = &host.recs[host.nr_recs++];

	*rec = (struct kvm_rec){ .type = type, .fd = fd, .kvm = KVM, .owned = 1 };
	return rec;
}

static void add_vcpu(unsigned int i)
{
	struct kvm_rec *rec = add_rec(KVM_REC_VCPU, VCPU_FD + i);

	rec->vcpu.idx = rec->vcpu.id = i;
	rec->vcpu.steal_base = VCPU_NO_PVTIME;
	add_fd(VCPU_FD + i, PROC_FD_VCPU, "anon_inode:kvm-vcpu");
	host.maps[host.nr_maps++] = (struct proc_map){ .start = HVA + 0x10000 * i,
						       .size = 2 * sysconf(_SC_PAGESIZE),
						       .prot = PROT_READ | PROT_WRITE,
						       .is_shared = 1,
						       .vcpu_id = i };
	rec = add_rec(KVM_REC_MAP, 0);
	rec->map.start = HVA + 0x10000 * i;
	rec->map.idx = i;
}

static int a_good_vm(void **state)
{
	struct kvm_rec *rec;

	memset(&host, 0, sizeof(host));
	host.cpu_kinds = 1;
	host.more = (struct proc_scan){ .view.status.vpid = PID, .userfaultfd = -1, .fd_limit = OPEN_LIMIT };
	add_fd(VM_FD, PROC_FD_VM, "anon_inode:kvm-vm");
	rec = add_rec(KVM_REC_VM, VM_FD);
	rec->vm.vtcr = 64 - 40;
	rec->vm.features = 1 << KVM_ARM_VCPU_PSCI_0_2;
	rec->vm.nr_vcpus = 2;
	rec->vm.nr_devices = 1;
	rec->vm.vgic_model = KVM_DEV_TYPE_ARM_VGIC_V3;
	rec->vm.vgic_in_kernel = rec->vm.vgic_initialized = 1;
	add_rec(KVM_REC_CAPS, VM_FD);
	rec = add_rec(KVM_REC_SLOT, VM_FD);
	rec->slot.gpa = RAM / sysconf(_SC_PAGESIZE);
	rec->slot.npages = 256;
	rec->slot.hva = 0xffff10000000;
	add_fd(GIC_FD, PROC_FD_VGIC_V3, "anon_inode:kvm-arm-vgic-v3");
	add_rec(KVM_REC_DEVICE, GIC_FD);
	for (unsigned int i = 0; i < 2; i++)
		add_vcpu(i);
	add_rec(KVM_REC_VM_FD, VM_FD);
	log_reset();
	return 0;
}

static struct kvm_rec *add_its(void)
{
	host.recs[REC_VM].vm.nr_devices = 2;
	add_fd(30, PROC_FD_ITS, "anon_inode:kvm-arm-vgic-its");
	return add_rec(KVM_REC_ITS, 30);
}

/* Instead of its GICv3. */
static void has_gicv2(void)
{
	host.recs[REC_VM].vm.vgic_model = KVM_DEV_TYPE_ARM_VGIC_V2;
	host.fds[1].kind = PROC_FD_VGIC_V2;
}

static struct discovered all;

static int found(struct vm_state **vm)
{
	int ret;

	log_reset();
	discovered_free(&all);
	ret = discover(PID, &all);
	*vm = ret ? NULL : all.vms[0].vm;
	return ret;
}

static int tear_down(void **state)
{
	discovered_free(&all);
	free(host.more.open);
	return 0;
}

static void a_vm_is_found(void **state)
{
	struct vm_state *vm;

	assert_int_equal(found(&vm), 0);
	assert_non_null(vm);
	assert_int_equal(all.vms[0].seen->status.vpid, PID);
	assert_int_equal(log_errors(), 0);
	assert_int_equal(vm->fd, VM_FD);
	assert_int_equal(vm->ipa_bits, 40);
	assert_int_equal(vm->nr_vcpus, 2);
	assert_int_equal(vm->vcpus[1].fd, VCPU_FD + 1);
	assert_int_equal(vm->vgic->fd, GIC_FD);
	assert_int_equal(vm->nr_slots, 1);
	assert_int_equal(vm->slots[0].gpa, RAM);
}

static void a_vm_with_a_gicv2_is_found(void **state)
{
	struct vm_state *vm;

	has_gicv2();
	assert_int_equal(found(&vm), 0);
	assert_null(vm->vgic);
	assert_int_equal(vm->vgic_v2->fd, GIC_FD);
	assert_int_equal(vm->vgic_v2->nr_cpus, 2);
}

static void memslots_of_both_flags_are_found(void **state)
{
	struct vm_state *vm;

	host.recs[REC_SLOT].slot.flags = KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES;
	assert_int_equal(found(&vm), 0);
	assert_int_equal(vm->slots[0].flags, KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES);
}

static void assert_found(void)
{
	struct vm_state *vm;

	assert_int_equal(found(&vm), 0);
	assert_int_equal(log_errors(), 0);
}

/* Refusals */

#define STATE(bit) (host.recs[REC_VM].vm.has |= 1u << (bit))
#define FLAG(bit) (host.recs[REC_VM].vm.flags |= 1ull << (bit))
#define VM (host.recs[REC_VM].vm)

/* Changes @what and expects one error line that begins like this, with something to do behind it. */
#define REFUSED(name, says, what)                                                                            \
	static void name##_is_refused(void **state)                                                          \
	{                                                                                                    \
		what;                                                                                        \
		assert_refused(says);                                                                        \
	}

static void assert_refused(const char *says)
{
	struct vm_state *vm;
	const char *advice;

	assert_int_equal(found(&vm), -ENOTSUP);
	assert_null(vm);
	assert_int_equal(log_errors(), 1);
	if (!strstr(log_error(), says))
		fail_msg("'%s' is not in: %s", says, log_error());
	advice = strstr(log_error(), REFUSAL ": ");
	assert_non_null(advice);
	assert_true(strlen(advice) > strlen(REFUSAL ": ") + 5);
}

/* Of a VM without a PMU it does not matter where it ran. */
static void a_pmu_needs_cpus_of_one_kind(void **state)
{
	host.cpu_kinds = 2;
	assert_found();
	host.cpu_kinds = 0;
	assert_found();
	VM.features |= 1 << KVM_ARM_VCPU_PMU_V3;
	assert_refused("a PMU, on a host that does not tell its kinds of CPUs (bus/event_source of sysfs)");
	host.cpu_kinds = 2;
	assert_refused("a PMU, on a host with CPUs of several kinds");
	host.cpu_kinds = 1;
	assert_found();
}

static void stolen_time_needs_memory(void **state)
{
	const char *says = "(vCPU id 0): stolen time where no memslot is that can be written";
	unsigned long long *base = &host.recs[REC_VCPU_0].vcpu.steal_base;

	*base = RAM + 64;
	assert_found();
	*base = RAM - 64;
	assert_refused(says);
	*base = RAM;
	host.recs[REC_SLOT].slot.flags = KVM_MEM_READONLY;
	assert_refused(says);
}

/* Saving it would crash this kernel. */
static void assert_its_refused(const char *says)
{
	struct vm_state *vm;

	assert_int_equal(found(&vm), -ENOTSUP);
	assert_int_equal(log_errors(), 1);
	if (!strstr(log_error(), says))
		fail_msg("'%s' is not in: %s", says, log_error());
	assert_non_null(strstr(log_error(), "(MAPD), or use Linux 7.2"));
}

static void an_its_with_interrupts_of_no_collection_is_refused(void **state)
{
	add_its()->its.orphans = 7;
	assert_its_refused("fd 30: an ITS with interrupts of a collection that the guest has unmapped: " REFUSAL);
	host.saves_orphans = true;
	assert_found();
}

static void an_its_with_too_many_interrupts_is_refused(void **state)
{
	struct kvm_rec *its = add_its();

	assert_found();
	its->its.unread = 1;
	assert_its_refused("fd 30: an ITS with more interrupts than can be looked at: " REFUSAL);
	host.saves_orphans = true;
	assert_found();
}

static void disown(void)
{
	for (size_t i = 0; i < host.nr_recs; i++)
		host.recs[i].owned = 0;
}

/* Every third number that a restore could use. */
static void fill_fds(void)
{
	host.more.open = calloc(OPEN_LIMIT, sizeof(*host.more.open));
	for (int fd = 0; fd < OPEN_LIMIT - 64; fd += 3)
		host.more.open[host.more.nr_open++] = fd;
}

static void has_fd(int fd)
{
	host.more.open = copy_of(&fd, sizeof(fd));
	host.more.nr_open = 1;
}

static void a_high_fd(void **state)
{
	has_fd(OPEN_LIMIT - 64);
	assert_found();
}

/* All but @nr of those that it may have, with one above its limit, which it had before that was lowered. */
static void may_have_more_fds(size_t nr)
{
	enum { LIMIT = 20 };

	host.more.fd_limit = LIMIT;
	host.more.open = calloc(LIMIT + 1, sizeof(*host.more.open));
	for (size_t fd = nr; fd <= LIMIT; fd++)
		host.more.open[host.more.nr_open++] = fd;
}

static void enough_fds_for_the_parasite(void **state)
{
	may_have_more_fds(4);
	assert_found();
}

REFUSED(another_architecture, "a VM that is not an arm64 one", host.not_arm64 = true)
REFUSED(a_protected_vm, "a protected VM", STATE(KVM_HAS_PROTECTED))
REFUSED(a_dead_vm, "the VM is dead (vm_dead)", STATE(KVM_HAS_DEAD))
REFUSED(a_dirty_ring, "a dirty ring", STATE(KVM_HAS_DIRTY_RING))
REFUSED(mte, "KVM_CAP_ARM_MTE", FLAG(1))
REFUSED(an_unknown_flag, "a capability that this plugin does not know", FLAG(12))
REFUSED(the_last_flag, "a capability that this plugin does not know", FLAG(63))
REFUSED(nesting, "nested virtualisation", VM.features |= 1 << KVM_ARM_VCPU_HAS_EL2)
REFUSED(an_unknown_feature, "a vCPU feature that this plugin does not know", VM.features |= 1 << 8)
REFUSED(guest_memfd, "(anon_inode:[kvm-gmem]): guest_memfd memory",
	add_fd(30, PROC_FD_OTHER, "anon_inode:[kvm-gmem]"))
REFUSED(guest_memfd_of_a_new_kernel, "(/[kvm-gmem] (deleted)): guest_memfd memory",
	add_fd(30, PROC_FD_OTHER, "/[kvm-gmem] (deleted)"))
REFUSED(a_memslot_of_guest_memfd, "a memslot with guest_memfd memory",
	host.recs[REC_SLOT].slot.flags = 1 << 2)
REFUSED(an_unknown_memslot, "a memslot with flags this plugin does not know",
	host.recs[REC_SLOT].slot.flags = 1 << 3)
REFUSED(too_many_pages_with_dirty_logs, "more than 268435456 pages with dirty logs",
	(host.recs[REC_SLOT].slot.flags = KVM_MEM_LOG_DIRTY_PAGES, host.recs[REC_SLOT].slot.npages = (1 << 28) + 1))
REFUSED(an_assigned_device, "(anon_inode:kvm-vfio): an assigned device",
	add_fd(30, PROC_FD_OTHER, "anon_inode:kvm-vfio"))
REFUSED(an_unknown_fd, "(anon_inode:kvm-new): a KVM fd", add_fd(30, PROC_FD_OTHER, "anon_inode:kvm-new"))
REFUSED(a_userfaultfd, "a userfaultfd: KVM would wait", host.more.userfaultfd = 31)
REFUSED(a_userfaultfd_elsewhere, "mapping 0xffff10000000: memory of a userfaultfd that another process holds",
	host.more.uffd_area = 0xffff10000000)
REFUSED(vhost, "/dev/vhost-net: a device that reaches guest memory by itself",
	strcpy(host.more.device, "/dev/vhost-net"))
REFUSED(vfio, "/dev/vfio/vfio: a device that reaches guest memory by itself",
	strcpy(host.more.device, "/dev/vfio/vfio"))
REFUSED(a_first_text_that_is_shared, "mapping 0x400000: its first executable mapping is shared and not writable",
	host.more.barred_text = 0x400000)
REFUSED(a_gic_without_fd, "a GICv3 whose device fd was closed", host.fds[1] = host.fds[--host.nr_fds])
REFUSED(a_gicv5_without_fd, "a GICv5 whose device fd was closed", VM.vgic_model = KVM_DEV_TYPE_ARM_VGIC_V5)
REFUSED(a_gicv2_without_fd, "a GICv2 whose device fd was closed", VM.vgic_model = KVM_DEV_TYPE_ARM_VGIC_V2)
REFUSED(a_gicv2_of_old, "a GICv2 made by KVM_CREATE_IRQCHIP, which has no fd to read it by",
	(VM.vgic_model = KVM_DEV_TYPE_ARM_VGIC_V2, VM.nr_devices = 0))
REFUSED(a_gicv2_half_made, "a GICv2 that was not initialised", (has_gicv2(), VM.vgic_initialized = 0))
REFUSED(an_its_beside_a_gicv2, "an ITS beside a GICv2",
	(has_gicv2(), add_its()))
REFUSED(an_unknown_gic, "another GIC", VM.vgic_model = 77)
REFUSED(a_gic_half_made, "a GICv3 that was not initialised", VM.vgic_initialized = 0)
REFUSED(no_gic, "a VM without in-kernel interrupt controller", VM.vgic_in_kernel = 0)
REFUSED(a_device_without_fd, "a device beside the GIC, with its fd closed", VM.nr_devices = 2)
REFUSED(another_owner, "the VM belongs to another process", disown())
REFUSED(no_vcpu, "a VM without vCPUs, or with more than 512", VM.nr_vcpus = 0)
REFUSED(a_vcpu_without_fd, "a vCPU whose fd was closed", VM.nr_vcpus = 3)
REFUSED(a_fd_too_high, "fd 8129: CRIU restores none above 8128", has_fd(OPEN_LIMIT - 63))
REFUSED(too_few_fds_for_the_parasite, "3 more fds allowed by its RLIMIT_NOFILE of 20, of the 4 that CRIU needs",
	may_have_more_fds(3))
REFUSED(no_room_for_fds, "no room between its file descriptors for those of a restore", fill_fds())

#define TEST(name) cmocka_unit_test_setup_teardown(name, a_good_vm, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_vm_is_found),
		TEST(a_vm_with_a_gicv2_is_found),
		TEST(memslots_of_both_flags_are_found),
		TEST(a_pmu_needs_cpus_of_one_kind),
		TEST(stolen_time_needs_memory),
		TEST(an_its_with_interrupts_of_no_collection_is_refused),
		TEST(an_its_with_too_many_interrupts_is_refused),
		TEST(another_architecture_is_refused),
		TEST(a_protected_vm_is_refused),
		TEST(a_dead_vm_is_refused),
		TEST(a_dirty_ring_is_refused),
		TEST(mte_is_refused),
		TEST(an_unknown_flag_is_refused),
		TEST(the_last_flag_is_refused),
		TEST(nesting_is_refused),
		TEST(an_unknown_feature_is_refused),
		TEST(guest_memfd_is_refused),
		TEST(guest_memfd_of_a_new_kernel_is_refused),
		TEST(a_memslot_of_guest_memfd_is_refused),
		TEST(an_unknown_memslot_is_refused),
		TEST(too_many_pages_with_dirty_logs_is_refused),
		TEST(an_assigned_device_is_refused),
		TEST(an_unknown_fd_is_refused),
		TEST(a_userfaultfd_is_refused),
		TEST(a_userfaultfd_elsewhere_is_refused),
		TEST(vhost_is_refused),
		TEST(vfio_is_refused),
		TEST(a_first_text_that_is_shared_is_refused),
		TEST(a_gic_without_fd_is_refused),
		TEST(a_gicv5_without_fd_is_refused),
		TEST(a_gicv2_without_fd_is_refused),
		TEST(a_gicv2_of_old_is_refused),
		TEST(a_gicv2_half_made_is_refused),
		TEST(an_its_beside_a_gicv2_is_refused),
		TEST(an_unknown_gic_is_refused),
		TEST(a_gic_half_made_is_refused),
		TEST(no_gic_is_refused),
		TEST(a_device_without_fd_is_refused),
		TEST(another_owner_is_refused),
		TEST(no_vcpu_is_refused),
		TEST(a_vcpu_without_fd_is_refused),
		TEST(a_high_fd),
		TEST(a_fd_too_high_is_refused),
		TEST(enough_fds_for_the_parasite),
		TEST(too_few_fds_for_the_parasite_is_refused),
		TEST(no_room_for_fds_is_refused),
	};

	return cmocka_run_group_tests_name("what can be dumped, and refusals", tests, NULL, NULL);
}
