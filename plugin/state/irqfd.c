// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_IRQFD: an eventfd that injects an interrupt (api.rst 4.75), at once when it is signalled. What is on
 * its way is in the GIC by the time of the dump, or in a work of the kernel's, which the probe has waited
 * for.
 */
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fault.h"
#include "log.h"
#include "remote/remote.h"
#include "state/vm.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

/*
 * An irqfd whose eventfd was signalled and closed is in no list any more, and its interrupt may be still to
 * come. KVM_IRQFD_FLAG_DEASSIGN waits for all that have ended, whatever it is called for: here for one that
 * never was. With the last fd of the VM itself all have ended, and were waited for (kvm_vm_release()).
 */
int irqfd_flush_begin(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "irqfds that have ended");
	int ret;

	if (vm->fd < 0)
		return 0;
	vm->flush = (struct irqfd_flush){ .begun = true, .fd = -EIO, .closed = -EIO };
	batch_syscall(&b, "eventfd2", SYS_eventfd2, 0, 0, 0, 0, 0, 0)->results = &vm->flush.fd;
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

int irqfd_flush(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "irqfds that have ended");
	struct irqfd_flush *flush = &vm->flush;
	int ret;

	if (!flush->begun)
		return 0;
	ret = batch_flush(remote);
	flush->none = (struct kvm_irqfd){ .fd = flush->fd, .flags = KVM_IRQFD_FLAG_DEASSIGN };
	batch_ioctl(&b, vm->fd, KVM_IRQFD, &flush->none, sizeof(flush->none), "KVM_IRQFD, KVM_IRQFD_FLAG_DEASSIGN");
	batch_syscall(&b, "close", SYS_close, flush->fd, 0, 0, 0, 0, 0)->results = &flush->closed;
	ret = ret ?: batch_later(&b);
	batch_fini(&b);
	return ret;
}

int irqfd_flush_end(struct vm_state *vm, struct remote *remote)
{
	const struct irqfd_flush flush = vm->flush;

	vm->flush.begun = false;
	if (!flush.begun || flush.fd < 0 || !flush.closed)
		return 0;
	return batch_close(remote, vm->id, "irqfds that have ended", flush.fd);
}

/*
 * What an eventfd counts when it is bound is injected, once more than it was before the dump, and is not
 * taken off the count (kvm_irqfd_assign()): so it is taken off here. RWF_NOWAIT, for one that counts nothing
 * lets its reader wait.
 */
static void add_drain(struct batch *b, int fd, struct iovec *iov, uint64_t *count)
{
	struct remote_call *call;

	*iov = (struct iovec){ .iov_len = sizeof(*count) };
	call = batch_syscall(b, "preadv2", SYS_preadv2, fd, 0, 1, -1, 0, RWF_NOWAIT);
	call->data_arg = 1;
	call->data = iov;
	call->size = sizeof(*iov);
	call->inner = count;
	call->inner_size = sizeof(*count);
	call->inner_at = offsetof(struct iovec, iov_base);
	call->may_fail = EAGAIN;
	call->detail = fd;
}

static int bind_fds(struct vm_state *vm, struct remote *remote, const struct irqfd_state *irqfd, int fd,
		    int resamplefd)
{
	struct batch b = BATCH(remote, vm->id, "irqfds");
	struct kvm_irqfd arg = {
		.fd = fd,
		.gsi = irqfd->gsi,
		.flags = irqfd->resample ? KVM_IRQFD_FLAG_RESAMPLE : 0,
		.resamplefd = irqfd->resample ? resamplefd : 0,
	};
	struct iovec iov;
	uint64_t count = 0;
	int ret;

	if (!fault_leaves_out("drained irqfds"))
		add_drain(&b, fd, &iov, &count);
	batch_ioctl(&b, vm->fd, KVM_IRQFD, &arg, sizeof(arg), "KVM_IRQFD")->detail = irqfd->gsi;
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

/* Where it fails the process ends, with what it has borrowed. */
static int apply(struct vm_state *vm, struct remote *remote, const struct irqfd_state *irqfd)
{
	int resamplefd = -1, fd = eventfd_borrow(vm, remote, &irqfd->eventfd), ret;

	if (fd < 0)
		return fd;
	if (irqfd->resample)
		resamplefd = eventfd_borrow(vm, remote, &irqfd->resamplefd);
	if (irqfd->resample && resamplefd < 0)
		return resamplefd;
	ret = bind_fds(vm, remote, irqfd, fd, resamplefd);
	if (!ret && irqfd->resample)
		ret = eventfd_return(vm, remote, &irqfd->resamplefd, resamplefd);
	return ret ?: eventfd_return(vm, remote, &irqfd->eventfd, fd);
}

int irqfd_apply(struct vm_state *vm, struct remote *remote)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < vm->nr_irqfds; i++)
		ret = apply(vm, remote, &vm->irqfds[i]);
	return ret;
}
