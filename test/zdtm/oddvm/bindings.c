/* SPDX-License-Identifier: GPL-2.0-only */
/* The oddities of what a VM has bound: eventfds that others have too, or nobody, or that are none for CRIU.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddities.h"

#define GSI 10
#define GSI_UNROUTED 1000

static int bind_gsi(struct odd_vm *vm, int fd, unsigned int gsi)
{
	struct kvm_irqfd arg = { .fd = fd, .gsi = gsi };

	return fd < 0 ? -1 : ioctl(vm->vm_fd, KVM_IRQFD, &arg);
}

static int bind_irqfd(struct odd_vm *vm, int fd)
{
	return bind_gsi(vm, fd, GSI);
}

static int bind_ioeventfd(int vm_fd, int fd)
{
	struct kvm_ioeventfd arg = { .fd = fd, .addr = ODD_DEV_BASE + 0x100, .len = 8 };

	return fd < 0 ? -1 : ioctl(vm_fd, KVM_IOEVENTFD, &arg);
}

/* In a process that is init's child, and of another session: not of this tree. It ends soon after this one.
 */
static int start_stranger(void (*run)(int fd), int fd)
{
	pid_t vmm = getpid(), child = fork();
	int status;

	if (child)
		return waitpid(child, &status, 0) == child && !status ? 0 : -1;
	if (fork())
		_exit(0);
	setsid();
	run(fd);
	while (!kill(vmm, 0))
		sleep(1);
	_exit(0);
}

static void close_all_but(int fd)
{
	int i;

	for (i = 0; i < 256; i++)
		if (i != fd)
			close(i);
}

static int irqfd_stranger(struct odd_vm *vm)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	return bind_irqfd(vm, fd) ? -1 : start_stranger(close_all_but, fd);
}

/* Its VM has the eventfd, and the process does not. */
static void have_a_vm(int fd)
{
	close_all_but(fd);
	bind_ioeventfd(ioctl(open("/dev/kvm", O_RDWR | O_CLOEXEC), KVM_CREATE_VM, 0), fd);
	close(fd);
}

static int ioeventfd_elsewhere(struct odd_vm *vm)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	if (bind_ioeventfd(vm->vm_fd, fd) || start_stranger(have_a_vm, fd))
		return -1;
	sleep(2); /* until it has */
	return 0;
}

static int resamplefd_closed(struct odd_vm *vm)
{
	struct kvm_irqfd arg = { .fd = eventfd(0, EFD_CLOEXEC),
				 .gsi = GSI,
				 .flags = KVM_IRQFD_FLAG_RESAMPLE };

	arg.resamplefd = eventfd(0, EFD_CLOEXEC);
	return ioctl(vm->vm_fd, KVM_IRQFD, &arg) || close(arg.resamplefd) ? -1 : 0;
}

static int irqfd_in_socket(struct odd_vm *vm)
{
	int fd = eventfd(0, EFD_CLOEXEC), pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	return bind_irqfd(vm, fd) || odd_send_fd(pair[0], fd) ? -1 : 0;
}

static int irqfd_semaphore(struct odd_vm *vm)
{
	return bind_irqfd(vm, eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE));
}

/*
 * hold_injection signals it, and holds the worker. An SPI is injected by whoever signals it: a worker has what cannot
 * be injected at once, as an MSI that the ITS has not in its cache, or a GSI without a route.
 */
static int irqfd_held(struct odd_vm *vm)
{
	return bind_gsi(vm, eventfd(0, EFD_CLOEXEC), GSI_UNROUTED);
}

const struct oddity binding_oddities[] = {
	{ "irqfd-stranger", .running = irqfd_stranger },
	{ "ioeventfd-elsewhere", .running = ioeventfd_elsewhere },
	{ "resamplefd-closed", .running = resamplefd_closed },
	{ "irqfd-in-socket", .running = irqfd_in_socket },
	{ "irqfd-semaphore", .running = irqfd_semaphore },
	{ "irqfd-held", .running = irqfd_held },
};
const size_t binding_nr_oddities = ARRAY_SIZE(binding_oddities);
