/* SPDX-License-Identifier: GPL-2.0-only */
/* A process that looks like another than it is, has more than anybody needs, or memory whose server stands still. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "fuse.h"
#include "its.h"
#include "lpi.h"
#include "oddities.h"

/* Names */

static int map_one(int fd)
{
	return fd < 0 || mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0;
}

static int file_named(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 || ftruncate(fd, 4096) || map_one(fd) ? -1 : 0;
}

static int memfd_named(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	return fd < 0 || ftruncate(fd, 4096) || map_one(fd) ? -1 : 0;
}

/* Files, memory and folders that are called as KVM's are, and as devices are, and are none. */
static int names(struct odd_vm *vm)
{
	static const char *const kvm[] = { "anon_inode:kvm-vm", "anon_inode:kvm-vcpu:0", "anon_inode:kvm-arm-vgic-v3",
					   "anon_inode:kvm-unknown" };
	void *named;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kvm); i++)
		if (file_named(kvm[i]) || memfd_named(kvm[i]))
			return -1;
	if (mkdir("dev", 0700) || file_named("dev/kvm") || file_named("/dev/vhost-nothing") || memfd_named("/dev/kvm"))
		return -1;
	named = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (named == MAP_FAILED)
		return -1;
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, named, 4096, "kvm-vcpu:0");	/* not every kernel has it */
	return 0;
}

static int node_of(const char *path, const char *name)
{
	struct stat st;

	return stat(path, &st) || mknod(name, S_IFCHR | 0600, st.st_rdev) ? -1 : 0;
}

/* KVM by another name: its VM was made by /dev/kvm. */
static int kvm_elsewhere(struct odd_vm *vm)
{
	return node_of("/dev/kvm", "elsewhere") || open("elsewhere", O_RDWR | O_CLOEXEC) < 0 ? -1 : 0;
}

static int vhost_elsewhere(struct odd_vm *vm)
{
	if (access("/dev/vhost-vsock", F_OK))
		odd_lacking("vhost-vsock");
	return node_of("/dev/vhost-vsock", "elsewhere") || open("elsewhere", O_RDWR | O_CLOEXEC) < 0 ? -1 : 0;
}

/* The mark that a dump puts into the pages of vCPUs that are not to run. */
static int mark(struct odd_vm *vm)
{
	memcpy(vm->vcpu[0].run->padding1, "kvmvgi", 6);
	return 0;
}

/* Numbers */

#define NR_FDS	2000

static int many_fds(struct odd_vm *vm)
{
	struct rlimit limit = { 4 * NR_FDS, 4 * NR_FDS };
	unsigned int i;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		return -1;
	for (i = 0; i < NR_FDS; i++)
		if (dup(i % 2 ? vm->vm_fd : vm->vcpu[i / 2 % ODD_NR_VCPUS].fd) < 0)
			return -1;
	return 0;
}

/* Each is a file of its own, of more than images have room for. */
static int many_files(struct odd_vm *vm)
{
	struct rlimit limit = { 8192, 8192 };
	unsigned int i;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		return -1;
	for (i = 0; i < 4100; i++)
		if (ioctl(vm->vm_fd, KVM_GET_STATS_FD, NULL) < 0)
			return -1;
	return 0;
}

#define NR_SLOTS	2000
#define SLOTS_BASE	0x100000000

/* One after the other of the same memory. */
static int add_slots(struct odd_vm *vm, unsigned int nr)
{
	struct kvm_userspace_memory_region region = { .memory_size = 4096 };
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int i;

	if (memory == MAP_FAILED)
		return -1;
	for (i = 0; i < nr; i++) {
		region.slot = 100 + i;
		region.guest_phys_addr = SLOTS_BASE + 2 * 4096 * (uint64_t)i;
		region.userspace_addr = (uintptr_t)memory;
		if (ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region))
			return -1;
	}
	return 0;
}

static int many_slots(struct odd_vm *vm)
{
	return add_slots(vm, NR_SLOTS);
}

#define NR_VCPUS	400	/* more of them than the iterator tells in one read */

static int add_vcpu(int vm_fd, unsigned int id)
{
	struct kvm_vcpu_init init = { 0 };
	int fd = ioctl(vm_fd, KVM_CREATE_VCPU, id);

	if (fd < 0 || ioctl(vm_fd, KVM_ARM_PREFERRED_TARGET, &init))
		return -1;
	init.features[0] = 1u << KVM_ARM_VCPU_PSCI_0_2;
	return ioctl(fd, KVM_ARM_VCPU_INIT, &init) || map_one(fd) ? -1 : 0;
}

/* Another VM, whose guest does not run. */
static int many_vcpus(struct odd_vm *vm)
{
	struct kvm_create_device gic = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	uint64_t dist = ODD_DIST_BASE, redist = 0x100000000;
	int fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	unsigned int i;

	for (i = 0; fd >= 0 && i < NR_VCPUS; i++)
		if (add_vcpu(fd, i))
			return -1;
	return fd < 0 || ioctl(fd, KVM_CREATE_DEVICE, &gic) ||
	       odd_set_attr(gic.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &dist) ||
	       odd_set_attr(gic.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, &redist) ||
	       odd_set_attr(gic.fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL) ? -1 : 0;
}

#define NR_MAPS		20000	/* vm.max_map_count is 65530 */

static int many_maps(struct odd_vm *vm)
{
	unsigned int i;

	for (i = 0; i < NR_MAPS; i++)
		if (map_one(vm->vcpu[0].fd))
			return -1;
	return 0;
}

#define NR_VMS		66	/* and that of the test: images have room for 64 */
#define NR_VM_SLOTS	300

static int small_vm(void *memory)
{
	struct kvm_userspace_memory_region region = { .memory_size = 4096, .userspace_addr = (uintptr_t)memory };
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), fd = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);

	for (region.slot = 0; fd >= 0 && region.slot < NR_VM_SLOTS; region.slot++) {
		region.guest_phys_addr = 2 * 4096 * (uint64_t)region.slot;
		if (ioctl(fd, KVM_SET_USER_MEMORY_REGION, &region))
			return -1;
	}
	return kvm < 0 || close(kvm) ? -1 : fd;
}

/* All that there is to tell of each of them; and many fds of the last. */
static int many_vms(struct odd_vm *vm)
{
	struct rlimit limit = { 8192, 8192 };
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = -1;
	unsigned int i;

	if (memory == MAP_FAILED || setrlimit(RLIMIT_NOFILE, &limit))
		return -1;
	for (i = 0; i < NR_VMS; i++) {
		fd = small_vm(memory);
		if (fd < 0)
			return -1;
	}
	/* Behind those of the others. */
	for (i = 0; i < 3 * NR_FDS; i++)
		if (fcntl(fd, F_DUPFD, fd) < 0)
			return -1;
	return 0;
}

/* A process that has the same table of fds, and its own memory. */
static pid_t sharing;

static int shared_table(struct odd_vm *vm)
{
	unsigned int i;

	sharing = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (sharing)
		return sharing < 0 ? -1 : 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (i = 0; i < ODD_NR_VCPUS; i++)
		munmap(vm->vcpu[i].run, vm->run_size);
	for (;;)
		pause();
}

static int end_sharing(struct odd_vm *vm)
{
	return kill(sharing, SIGKILL);
}

#define NR_TOLD	400	/* memslots: more than a pass of the iterator tells */

/* It is told by two passes, and what it has bound by further ones. */
static int told_by_passes(struct odd_vm *vm)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x10000000, .size = 4 };

	return ioctl(vm->vm_fd, KVM_REGISTER_COALESCED_MMIO, &zone) ? -1 : add_slots(vm, NR_TOLD);
}

/* What the number of the VM's fd is of when the signal has come: null, nothing, another VM, or the VM again, which @copy is. */
static int change_fd(const struct odd_vm *vm, int sig, int copy, int null)
{
	int other;

	switch (sig) {
	case SIGUSR1:
		return dup3(null, vm->vm_fd, O_CLOEXEC);
	case SIGUSR2:
		return close(vm->vm_fd);
	case SIGWINCH:
		other = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
		return other < 0 || dup3(other, vm->vm_fd, O_CLOEXEC) < 0 ? -1 : close(other);
	default:
		return dup3(copy, vm->vm_fd, O_CLOEXEC);
	}
}

#define CHANGED	"changed"	/* a folder, made when the fd is another's; whoever has asked for that takes it away */

/* With the VMM's table of fds, and no child of its: it runs when that stands still. Its pid is a folder's name. */
static int changing_fds(struct odd_vm *vm)
{
	int copy = fcntl(vm->vm_fd, F_DUPFD_CLOEXEC, 0), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const struct timespec second = { .tv_sec = 1 };
	pid_t vmm = getpid(), pid;
	char name[16];
	sigset_t all;
	unsigned int i;

	pid = copy < 0 || null < 0 ? -1 : syscall(SYS_clone, CLONE_FILES | CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
	snprintf(name, sizeof(name), "%d", pid);
	if (pid)
		return pid < 0 ? -1 : mkdir(name, 0700);
	for (i = 0; i < ODD_NR_VCPUS; i++)
		munmap(vm->vcpu[i].run, vm->run_size);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	while (!kill(vmm, 0)) {
		int sig = sigtimedwait(&all, NULL, &second);

		if (sig > 0 && (change_fd(vm, sig, copy, null) < 0 || mkdir(CHANGED, 0700)))
			break;
	}
	_exit(0);
}

/* A thread whose table of fds is its own, which CRIU does not look at, with a file of the VM's that nobody else has. */
static pthread_barrier_t has_file;

static void *with_own_table(void *arg)
{
	const struct odd_vm *vm = arg;

	if (unshare(CLONE_FILES) || ioctl(vm->vm_fd, KVM_GET_STATS_FD, NULL) < 0)
		exit(1);
	pthread_barrier_wait(&has_file);
	for (;;)
		pause();
}

static int thread_table(struct odd_vm *vm)
{
	pthread_t thread;

	if (pthread_barrier_init(&has_file, NULL, 2) || pthread_create(&thread, NULL, with_own_table, vm))
		return -1;
	pthread_barrier_wait(&has_file);
	return 0;
}

/* Memory that is a server's, which is of the tree and stands still with it */

static int server(struct odd_vm *vm, int fd)
{
	pid_t pid = test_fork();
	unsigned int i;

	if (pid)
		return pid < 0 ? -1 : close(fd);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Nothing of the VM, which others must not have. */
	for (i = 0; i < ODD_NR_VCPUS; i++)
		munmap(vm->vcpu[i].run, vm->run_size);
	if (dup2(fd, 3) != 3 || syscall(SYS_close_range, 4, ~0u, 0))
		_exit(1);
	odd_fuse_serve(3, ITS_RAM_SIZE);
}

/* The memslot of its.h, none of which was read yet. */
static int served_memory(struct odd_vm *vm)
{
	struct kvm_userspace_memory_region region = { .slot = ITS_RAM_SLOT, .guest_phys_addr = ITS_RAM_BASE,
						      .memory_size = ITS_RAM_SIZE, .userspace_addr = ITS_RAM_ADDR };
	int fd;

	if (mkdir("fuse", 0700))
		return -1;
	fd = odd_fuse_mount("fuse");
	if (fd < 0)
		odd_lacking("FUSE");
	if (server(vm, fd))
		return -1;
	fd = open("fuse/" FUSE_FILE, O_RDWR | O_CLOEXEC);
	if (fd < 0 || mmap((void *)ITS_RAM_ADDR, ITS_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
			   fd, 0) == MAP_FAILED)
		return -1;
	return close(fd) || ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) ? -1 : 0;
}

/* Which a dump reads before all else. */
static int served_tables(struct odd_vm *vm)
{
	static struct odd_its its;
	unsigned int i;

	if (served_memory(vm) || its_create(&its, vm, 0) || its_place(&its) || lpi_set_tables(vm, ODD_NR_VCPUS))
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (lpi_enable(vm, i, true))
			return -1;
	return 0;
}

const struct oddity hostile_oddities[] = {
	{ "hostile-names", .running = names },
	{ "hostile-kvm-elsewhere", .running = kvm_elsewhere },
	{ "hostile-vhost-elsewhere", .running = vhost_elsewhere },
	{ "hostile-mark", .running = mark },
	{ "hostile-many-fds", .running = many_fds },
	{ "hostile-many-files", .running = many_files },
	{ "hostile-many-slots", .built = many_slots },
	{ "hostile-many-vcpus", .running = many_vcpus },
	{ "hostile-many-maps", .running = many_maps },
	{ "hostile-many-vms", .running = many_vms },
	{ "hostile-shared-table", .running = shared_table, .after = end_sharing },
	{ "hostile-changing-fds", .built = told_by_passes, .running = changing_fds },
	{ "hostile-thread-table", .running = thread_table },
	{ "hostile-served-memory", .built = served_memory },
	{ "hostile-served-tables", .built = served_tables },
};
const size_t hostile_nr_oddities = ARRAY_SIZE(hostile_oddities);
