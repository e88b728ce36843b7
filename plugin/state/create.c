// SPDX-License-Identifier: GPL-2.0-only
/* The objects of a VM, made in the mm that will own them: by its process itself, or in it. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "log.h"
#include "remote/remote.h"
#include "state/vm.h"

#define AT_FDCWD_ARG ((uint64_t)(int64_t)AT_FDCWD)

/* What is being made, and where. */
struct maker {
	struct vm_state *vm;
	struct remote *remote;
	bool parked;
};

/* Runs the one call in @b, which it ends: its result, or a negative errno, logged. */
static int64_t make(const struct maker *m, struct batch *b, const char *what)
{
	int64_t ret = batch_try(b);

	if (!ret)
		ret = b->calls[0].result;
	batch_fini(b);
	if (ret < 0)
		pr_err("vm %u: creation: %s: %s (errno %d)\n", m->vm->id, what, strerror(-ret), (int)-ret);
	return ret;
}

static int close_fd(const struct maker *m, int fd)
{
	return batch_close(m->remote, m->vm->id, "creation", fd);
}

/* Moves @fd to the number that the late sequence will know it by: that, or a negative errno, logged. */
static int park(const struct maker *m, int fd, enum kvm_file_kind kind, uint32_t index)
{
	struct batch b = BATCH(m->remote, m->vm->id, "creation");
	int to = vm_parked_fd(m->vm, kind, index), got, ret;

	if (!m->parked)
		return fd;
	batch_syscall(&b, "fcntl", SYS_fcntl, fd, F_DUPFD_CLOEXEC, to, 0, 0, 0);
	got = batch_try(&b);
	if (!got)
		got = b.calls[0].result;
	batch_fini(&b);
	ret = close_fd(m, fd);
	if (ret)
		return ret;
	if (got == to)
		return got;
	if (got >= 0)
		close_fd(m, got);
	pr_err("vm %u: fd %d is not free for the time of the restore%s\n", m->vm->id, to,
	       got < 0 ? "; raise the limit of open files (RLIMIT_NOFILE)" : "");
	return -EBUSY;
}

static int open_system(const struct maker *m)
{
	struct batch b = BATCH(m->remote, m->vm->id, "creation");
	char path[] = "/dev/kvm";
	struct remote_call *call =
		batch_syscall(&b, "openat", SYS_openat, AT_FDCWD_ARG, 0, O_RDWR | O_CLOEXEC, 0, 0, 0);
	int fd;

	call->data = path;
	call->data_arg = 1;
	call->size = sizeof(path);
	fd = make(m, &b, "/dev/kvm");
	if (fd < 0)
		pr_err("vm %u: give the restored process access to /dev/kvm, in its own mount namespace\n",
		       m->vm->id);
	return fd;
}

static int create_vm(const struct maker *m)
{
	struct batch b = BATCH(m->remote, m->vm->id, "creation");
	int kvm = open_system(m), fd, ret;

	if (kvm < 0)
		return kvm;
	batch_ioctl_value(&b, kvm, KVM_CREATE_VM, m->vm->ipa_bits & KVM_VM_TYPE_ARM_IPA_SIZE_MASK,
			  "KVM_CREATE_VM");
	fd = make(m, &b, "KVM_CREATE_VM");
	ret = close_fd(m, kvm);
	if (fd < 0 || ret)
		return fd < 0 ? fd : ret;
	fd = park(m, fd, KVM_FILE_VM, 0);
	m->vm->fd = fd;
	return fd < 0 ? fd : 0;
}

/* Its fd, at its place, or a negative errno, logged. */
static int create_device(const struct maker *m, uint32_t type, const char *what, enum kvm_file_kind kind,
			 uint32_t index)
{
	struct batch b = BATCH(m->remote, m->vm->id, "creation");
	struct kvm_create_device dev = { .type = type };
	int ret;

	batch_ioctl(&b, m->vm->fd, KVM_CREATE_DEVICE, &dev, sizeof(dev), "KVM_CREATE_DEVICE");
	ret = make(m, &b, what);
	return ret < 0 ? ret : park(m, dev.fd, kind, index);
}

static int create_vgic(const struct maker *m)
{
	struct vm_state *vm = m->vm;
	const char *gic = vm_gic_name(vm);
	char what[40];
	int fd;

	snprintf(what, sizeof(what), "KVM_CREATE_DEVICE, %s", gic);
	fd = create_device(m, vm_gic_type(vm), what, KVM_FILE_VGIC, 0);
	if (fd == -ENODEV)
		pr_err("vm %u: this host's KVM has no %s for guests: restore on one that has\n", vm->id, gic);
	if (fd < 0)
		return fd;
	vm_set_gic_fd(vm, fd);
	return 0;
}

/* In creation order: vcpu_idx is what redistributors, and the kernel's own arrays, go by. */
static int create_vcpus(const struct maker *m)
{
	for (size_t i = 0; i < m->vm->nr_vcpus; i++) {
		struct batch b = BATCH(m->remote, m->vm->id, "creation");
		int fd;

		batch_ioctl_value(&b, m->vm->fd, KVM_CREATE_VCPU, m->vm->vcpus[i].id, "KVM_CREATE_VCPU");
		fd = make(m, &b, "KVM_CREATE_VCPU");
		if (fd >= 0)
			fd = park(m, fd, KVM_FILE_VCPU, i);
		if (fd < 0)
			return fd;
		m->vm->vcpus[i].fd = fd;
	}
	return 0;
}

/* Before any state: creating an ITS gives GICR_PROPBASER its reset value. */
static int create_itses(const struct maker *m)
{
	for (size_t i = 0; i < m->vm->nr_itses; i++) {
		int fd = create_device(m, KVM_DEV_TYPE_ARM_VGIC_ITS, "KVM_CREATE_DEVICE, ITS", KVM_FILE_ITS,
				       i);

		if (fd < 0)
			return fd;
		m->vm->itses[i].fd = fd;
	}
	return 0;
}

int vm_create(struct vm_state *vm, struct remote *remote, bool parked)
{
	const struct maker m = { vm, remote, parked };
	int ret = create_vm(&m);

	if (!ret)
		ret = caps_apply_early(vm, remote);
	if (!ret)
		ret = create_vgic(&m);
	if (!ret)
		ret = create_vcpus(&m);
	return ret ?: create_itses(&m);
}
