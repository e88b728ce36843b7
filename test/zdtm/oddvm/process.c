/* SPDX-License-Identifier: GPL-2.0-only */
/* The oddities of a VM's process: its mappings, its children, and what CRIU itself cannot dump. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddities.h"

static pid_t child;

static int map_vcpu(struct odd_vm *vm, size_t size, int prot, int flags)
{
	return mmap(NULL, size, prot, flags, vm->vcpu[1].fd, 0) == MAP_FAILED ? -1 : 0;
}

static int private_map(struct odd_vm *vm)
{
	return map_vcpu(vm, vm->run_size, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

static int exec_map(struct odd_vm *vm)
{
	return map_vcpu(vm, vm->run_size, PROT_READ | PROT_EXEC, MAP_SHARED);
}

static int dark_map(struct odd_vm *vm)
{
	return map_vcpu(vm, vm->run_size, PROT_NONE, MAP_SHARED);
}

static int long_map(struct odd_vm *vm)
{
	return map_vcpu(vm, 2 * vm->run_size, PROT_READ, MAP_SHARED);
}

static int many_maps(struct odd_vm *vm)
{
	int i;

	/* The one below the other would make one mapping of two, were the offsets not what they are. */
	for (i = 0; i < 64; i++)
		if (map_vcpu(vm, vm->run_size, PROT_READ, MAP_SHARED))
			return -1;
	return 0;
}

#ifndef SYS_mseal
#define SYS_mseal	462
#endif

/* It can neither be replaced by a copy nor be put back. */
static int sealed_map(struct odd_vm *vm)
{
	if (!syscall(SYS_mseal, vm->vcpu[1].run, vm->run_size, 0))
		return 0;
	if (errno == ENOSYS)
		odd_lacking("mseal()");
	return -1;
}

/* 0 in the child, which ends with its parent. */
static pid_t fork_child(void)
{
	child = test_fork();
	if (!child)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return child;
}

static void sleep_and_exit(void)
{
	test_waitsig();
	_exit(0);
}

static int inherited_fds(struct odd_vm *vm)
{
	if (!fork_child())
		sleep_and_exit();
	return child < 0 ? -1 : 0;
}

static void close_all(const struct odd_vm *vm)
{
	unsigned int i;

	close(vm->kvm_fd);
	close(vm->vm_fd);
	close(vm->gic_fd);
	for (i = 0; i < ODD_NR_VCPUS; i++)
		close(vm->vcpu[i].fd);
}

static int inherited_map(struct odd_vm *vm)
{
	if (!fork_child()) {
		close_all(vm);
		sleep_and_exit();
	}
	return child < 0 ? -1 : 0;
}

static void unmap_all(const struct odd_vm *vm)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++)
		munmap(vm->vcpu[i].run, vm->run_size);
}

static int inherited_vcpu(struct odd_vm *vm)
{
	if (!fork_child()) {
		int fd = dup(vm->vcpu[1].fd);

		unmap_all(vm);
		close_all(vm);
		(void)fd;
		sleep_and_exit();
	}
	return child < 0 ? -1 : 0;
}

/* The child has the VM's fd, and the VM's own process has not. */
static int vm_handed_over(struct odd_vm *vm)
{
	if (!fork_child()) {
		int fd = dup(vm->vm_fd);

		unmap_all(vm);
		close_all(vm);
		(void)fd;
		sleep_and_exit();
	}
	return child < 0 ? -1 : close(vm->vm_fd);
}

static int wait_for(int fd)
{
	char c;

	return read(fd, &c, 1) == 1 ? 0 : -1;
}

/* Where no CRIU has room for its own. */
static int fd_too_high(struct odd_vm *vm)
{
	FILE *file = fopen("/proc/sys/fs/nr_open", "r");
	struct rlimit limit;
	int max;

	if (!file || fscanf(file, "%d", &max) != 1 || fclose(file))
		return -1;
	limit = (struct rlimit){ max, max };
	return setrlimit(RLIMIT_NOFILE, &limit) || dup2(vm->vm_fd, max - 1) < 0 ? -1 : 0;
}

/* Three more may be opened. */
static int few_fds(struct odd_vm *vm)
{
	struct rlimit limit;
	int unused = dup(vm->vm_fd);

	if (unused < 0 || close(unused))
		return -1;
	limit.rlim_cur = limit.rlim_max = unused + 3;
	return setrlimit(RLIMIT_NOFILE, &limit);
}

/* What acts on guest memory by itself */

static int open_userfaultfd(void)
{
	return syscall(SYS_userfaultfd, O_CLOEXEC);
}

static int userfaultfd(struct odd_vm *vm)
{
	return open_userfaultfd() < 0 ? -1 : 0;
}

/* A userfaultfd with @features for what is mapped at @page of this process, which is for whoever holds it. */
static int register_page(void *page, size_t size, uint64_t features, uint64_t mode)
{
	int fd = open_userfaultfd();
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register range = { .range = { (uintptr_t)page, size }, .mode = mode };

	return fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range) ? -1 : fd;
}

/* Which waits. */
static int register_memory(struct odd_vm *vm)
{
	void *page = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? -1 : register_page(page, getpagesize(), 0, UFFDIO_REGISTER_MODE_MISSING);
}

/* Of writes alone, which do not wait, any mapping can tell one. */
static int register_kvm_run(struct odd_vm *vm)
{
	return register_page(vm->vcpu[1].run, vm->run_size, UFFD_FEATURE_WP_ASYNC, UFFDIO_REGISTER_MODE_WP);
}

/* As a migration daemon does: the child holds what @make has made, and nothing of the VM. */
static int held_by_child(struct odd_vm *vm, int (*make)(struct odd_vm *vm))
{
	int pair[2], fd, ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	if (!fork_child()) {
		unmap_all(vm);
		close_all(vm);
		close(pair[0]);
		if (odd_receive_fd(pair[1]) < 0 || write(pair[1], "", 1) != 1)
			_exit(1);
		close(pair[1]);
		sleep_and_exit();
	}
	close(pair[1]);
	fd = child < 0 ? -1 : make(vm);
	ret = fd < 0 ? -1 : odd_send_fd(pair[0], fd) || wait_for(pair[0]);
	close(pair[0]);
	return ret ? -1 : close(fd);
}

static int userfaultfd_elsewhere(struct odd_vm *vm)
{
	return held_by_child(vm, register_memory);
}

static int userfaultfd_of_kvm_run(struct odd_vm *vm)
{
	return held_by_child(vm, register_kvm_run);
}

static int open_vhost(void)
{
	return open("/dev/vhost-vsock", O_RDWR | O_CLOEXEC);
}

static int vhost(struct odd_vm *vm)
{
	if (open_vhost() < 0)
		odd_lacking("vhost-vsock");
	return 0;
}

/* A process of the tree that has nothing of the VM, but for what @what opens. */
static int helper(struct odd_vm *vm, int (*what)(void), const char *name)
{
	int pair[2];
	char got;

	if (pipe(pair))
		return -1;
	if (!fork_child()) {
		unmap_all(vm);
		close_all(vm);
		close(pair[0]);
		got = what() < 0;
		if (write(pair[1], &got, 1) != 1 || got)
			_exit(1);
		sleep_and_exit();
	}
	close(pair[1]);
	if (child < 0 || read(pair[0], &got, 1) != 1)
		return -1;
	if (got)
		odd_lacking(name);
	return close(pair[0]);
}

static int userfaultfd_of_child(struct odd_vm *vm)
{
	return helper(vm, open_userfaultfd, "userfaultfd");
}

static int vhost_of_child(struct odd_vm *vm)
{
	return helper(vm, open_vhost, "vhost-vsock");
}

/* What CRIU itself cannot dump, and finds after kvm_run was swapped out. */

static int io_uring(struct odd_vm *vm)
{
	uint32_t params[30] = { 0 };

	return syscall(SYS_io_uring_setup, 4, params) < 0 ? -1 : 0;
}

static int tcp(struct odd_vm *vm)
{
	int port = 8880, server = tcp_init_server(AF_INET, &port), client;

	if (server < 0)
		return -1;
	client = tcp_init_client(AF_INET, "127.0.0.1", port);
	return client < 0 ? -1 : tcp_accept_server(server) < 0 ? -1 : 0;
}

static int in_flight(struct odd_vm *vm)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	return odd_send_fd(pair[0], vm->vm_fd);
}

/*
 * The VM is a child's, and its fd in the queue of a socket that this process has, and may not receive: CRIU opens it
 * here, where the VM cannot be made.
 */
static int in_flight_from_child(struct odd_vm *none)
{
	static struct odd_vm vm;
	int pair[2], ready[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) || pipe(ready))
		return -1;
	if (!fork_child()) {
		close(ready[0]);
		if (odd_setup(&vm) || odd_send_fd(pair[0], vm.vm_fd) || write(ready[1], "", 1) != 1)
			_exit(1);
		test_waitsig();
		_exit(odd_goes_on(&vm) && odd_stop(&vm) ? 0 : 1);
	}
	close(ready[1]);
	ret = child < 0 ? -1 : wait_for(ready[0]);
	close(ready[0]);
	return ret;
}

static int mount_own_proc(void)
{
	return unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	       mount("proc", "/proc", "proc", 0, NULL);
}

/*
 * The VM is of process 1 of a pid namespace. This one, outside of it, has the eventfd of its irqfd too; with
 * CLONE_FILES in @flags by the same table of fds, of which nobody closes anything.
 */
static int irqfd_outside(unsigned long flags)
{
	static struct odd_vm vm;
	struct kvm_irqfd irqfd = { .fd = eventfd(0, EFD_CLOEXEC), .gsi = 10 };
	int ready[2];

	if (pipe(ready))
		return -1;
	child = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD | flags, NULL, NULL, NULL, 0);
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (mount_own_proc() || odd_setup(&vm) || ioctl(vm.vm_fd, KVM_IRQFD, &irqfd) ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		test_waitsig();
		_exit(odd_goes_on(&vm) && odd_stop(&vm) ? 0 : 1);
	}
	return child < 0 ? -1 : wait_for(ready[0]);
}

static int irqfd_outside_by_fd(struct odd_vm *none)
{
	return irqfd_outside(0);
}

static int irqfd_outside_by_table(struct odd_vm *none)
{
	return irqfd_outside(CLONE_FILES);
}

const struct oddity process_oddities[] = {
	{ "private-map", .built = private_map },
	{ "exec-map", .built = exec_map },
	{ "dark-map", .built = dark_map },
	{ "long-map", .built = long_map },
	{ "many-maps", .built = many_maps },
	{ "sealed-map", .built = sealed_map },
	{ "inherited-fds", .running = inherited_fds },
	{ "inherited-map", .running = inherited_map },
	{ "inherited-vcpu", .running = inherited_vcpu },
	{ "vm-handed-over", .running = vm_handed_over },
	{ "fd-too-high", .running = fd_too_high },
	{ "few-fds", .running = few_fds },
	{ "userfaultfd", .running = userfaultfd },
	{ "userfaultfd-elsewhere", .running = userfaultfd_elsewhere },
	{ "userfaultfd-of-kvm-run", .running = userfaultfd_of_kvm_run },
	{ "userfaultfd-of-child", .running = userfaultfd_of_child },
	{ "vhost", .running = vhost },
	{ "vhost-of-child", .running = vhost_of_child },
	{ "io-uring", .running = io_uring },
	{ "tcp", .running = tcp },
	{ "in-flight", .running = in_flight },
	{ "in-flight-from-child", .leave_out = ODD_VM, .running = in_flight_from_child },
	{ "irqfd-outside-by-fd", .leave_out = ODD_VM, .running = irqfd_outside_by_fd },
	{ "irqfd-outside-by-table", .leave_out = ODD_VM, .running = irqfd_outside_by_table },
};
const size_t process_nr_oddities = ARRAY_SIZE(process_oddities);

static bool end_child(void)
{
	int status;

	if (child <= 0)
		return true;
	return !kill(child, SIGTERM) && waitpid(child, &status, 0) == child && !status;
}

static bool finish_vm(struct odd_vm *vm, const struct oddity *odd)
{
	if (odd->after && odd->after(vm)) {
		pr_perror("the VM is not what it was before the dump");
		return false;
	}
	/* Some have no VM of their own. */
	return !vm->stats || (odd_goes_on(vm) && odd_stop(vm));
}

bool odd_finish(struct odd_vm *vm, const struct oddity *odd)
{
	bool good = finish_vm(vm, odd);

	if (vm->stats && vm->stats->error[0])
		pr_err("%s\n", vm->stats->error);
	if (!end_child()) {
		pr_err("the child did not end well\n");
		good = false;
	}
	return good;
}
