// SPDX-License-Identifier: GPL-2.0-only
/* See eventfd.h. */
#include <string.h>

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
	return is_owners(vm, ref) ? 0 : batch_close(remote, vm->id, "return of an eventfd", fd);
}
