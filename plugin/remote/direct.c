// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "remote/direct.h"

/* The buffers are in this mm already. */
static int64_t run_call(struct remote *remote, const struct remote_call *call)
{
	uint64_t arg[6], inner = (uintptr_t)call->inner;
	long ret;

	(void)remote;
	memcpy(arg, call->arg, sizeof(arg));
	if (call->arg_2_is_rest)
		arg[2] = (uintptr_t)&arg[3];
	if (call->data)
		arg[call->data_arg] = (uintptr_t)call->data;
	if (call->also_arg)
		arg[call->also_arg] = (uintptr_t)call->data + call->also_at;
	if (call->inner)
		memcpy((uint8_t *)call->data + call->inner_at, &inner, sizeof(inner));
	ret = syscall(call->nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	return ret == -1 ? -errno : ret;
}

static int direct_exec(struct remote *remote, struct remote_call *calls, size_t nr)
{
	return remote_exec_each(remote, calls, nr, run_call);
}

/* By the kernel: an address that is not mapped is an error here as in another task. */
static int direct_read(struct remote *remote, uint64_t addr, void *buf, size_t size)
{
	struct iovec to = { buf, size }, from = { (void *)(uintptr_t)addr, size };

	(void)remote;
	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)size ? 0 : -EIO;
}

static int direct_write(struct remote *remote, uint64_t addr, const void *buf, size_t size)
{
	struct iovec from = { (void *)(uintptr_t)buf, size }, to = { (void *)(uintptr_t)addr, size };

	(void)remote;
	return process_vm_writev(getpid(), &from, 1, &to, 1, 0) == (ssize_t)size ? 0 : -EIO;
}

const struct remote_ops direct_ops = { .exec = direct_exec, .read = direct_read, .write = direct_write };
