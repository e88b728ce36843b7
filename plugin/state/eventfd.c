// SPDX-License-Identifier: GPL-2.0-only
/* See eventfd.h. */
#include <string.h>
#include <sys/syscall.h>

#include "log.h"
#include "remote/remote.h"
#include "state/vm.h"

static bool is_owners(const struct vm_state *vm, const struct eventfd_ref *ref)
{
	return ref->vpid == vm->vpid;
}

int eventfd_borrow(struct vm_state *vm, struct remote *remote, const struct eventfd_ref *ref)
{
	int fd;

	if (is_owners(vm, ref))
		return ref->fd;
	fd = remote->ops->bring(remote, ref->vpid, ref->fd);
	if (fd < 0)
		pr_err("vm %u: the eventfd that is fd %d of pid %d cannot be brought into the VMM: %s (errno "
		       "%d)\n",
		       vm->id, ref->fd, ref->vpid, strerror(-fd), -fd);
	return fd;
}

int eventfd_return(struct vm_state *vm, struct remote *remote, const struct eventfd_ref *ref, int fd)
{
	struct batch b = BATCH(remote, vm->id, "return of an eventfd");
	int ret;

	if (is_owners(vm, ref))
		return 0;
	batch_syscall(&b, "close", SYS_close, fd, 0, 0, 0, 0, 0)->detail = fd;
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}
