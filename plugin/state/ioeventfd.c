// SPDX-License-Identifier: GPL-2.0-only
/* KVM_IOEVENTFD: a write of the guest's that signals an eventfd (api.rst 4.59). */
#include "remote/remote.h"
#include "state/vm.h"

static int bind_fd(struct vm_state *vm, struct remote *remote, const struct ioeventfd_state *ioeventfd,
		   int fd)
{
	struct batch b = BATCH(remote, vm->id, "ioeventfds");
	struct kvm_ioeventfd arg = {
		.fd = fd,
		.addr = ioeventfd->addr,
		.len = ioeventfd->len,
		.flags = ioeventfd->flags,
		.datamatch = ioeventfd->datamatch,
	};
	int ret;

	batch_ioctl(&b, vm->fd, KVM_IOEVENTFD, &arg, sizeof(arg), "KVM_IOEVENTFD")->detail = ioeventfd->addr;
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

static int apply(struct vm_state *vm, struct remote *remote, const struct ioeventfd_state *ioeventfd)
{
	int fd = eventfd_borrow(vm, remote, &ioeventfd->eventfd);

	if (fd < 0)
		return fd;
	return bind_fd(vm, remote, ioeventfd, fd) ?: eventfd_return(vm, remote, &ioeventfd->eventfd, fd);
}

int ioeventfd_apply(struct vm_state *vm, struct remote *remote)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < vm->nr_ioeventfds; i++)
		ret = apply(vm, remote, &vm->ioeventfds[i]);
	return ret;
}
