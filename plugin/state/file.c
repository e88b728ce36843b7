// SPDX-License-Identifier: GPL-2.0-only
/* See file.h. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "log.h"
#include "remote/give.h"
#include "state/file.h"
#include "uapi/kvm_arm64.h"

static bool is_stats(const struct kvm_file *file)
{
	return file->kind == KVM_FILE_VM_STATS || file->kind == KVM_FILE_VCPU_STATS;
}

/* Not by lseek(), which these files do not have. */
static uint64_t position(int fd)
{
	uint64_t pos = 0;
	char path[48];
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	if (!info || fscanf(info, "pos: %" SCNu64, &pos) != 1)
		pos = 0;
	if (info)
		fclose(info);
	return pos;
}

void kvm_file_describe(int fd, struct kvm_file *file)
{
	file->flags = fcntl(fd, F_GETFL) & KVM_FILE_FLAGS;
	file->pos = is_stats(file) ? position(fd) : 0;
}

static int open_system(const struct kvm_file *file)
{
	int fd = open("/dev/kvm", (file->flags & O_ACCMODE) | O_CLOEXEC), err = errno;

	if (fd >= 0)
		return fd;
	pr_err("/dev/kvm: %s (errno %d): give the restored process access to it\n", strerror(err), err);
	return -err;
}

/* The position is where a reader goes on: what is in front of it is read once more. */
static int skip(int fd, uint64_t pos)
{
	char buf[512];

	while (pos) {
		ssize_t got = read(fd, buf, pos < sizeof(buf) ? pos : sizeof(buf));

		if (got <= 0)
			return got ? -errno : -ENODATA;
		pos -= got;
	}
	return 0;
}

/* Its counters begin at 0: KVM lets nobody set them. */
static int open_stats(const struct vm_state *vm, const struct kvm_file *file)
{
	bool of_vcpu = file->kind == KVM_FILE_VCPU_STATS;
	int object = vm_parked_fd(vm, of_vcpu ? KVM_FILE_VCPU : KVM_FILE_VM, file->index);
	int fd = ioctl(object, KVM_GET_STATS_FD, 0), ret;

	ret = fd < 0 ? -errno : skip(fd, file->pos);
	if (!ret)
		return fd;
	pr_err("vm %u: file %#x: statistics of %s: %s (errno %d)%s\n", vm->id, file->id,
	       of_vcpu ? "a vCPU" : "the VM", strerror(-ret), -ret,
	       ret == -ENODATA ? ": this kernel has fewer of them" : "");
	if (fd >= 0)
		close(fd);
	return ret;
}

static int open_object(const struct vm_state *vm, const struct kvm_file *file)
{
	int fd = fcntl(vm_parked_fd(vm, file->kind, file->index), F_DUPFD_CLOEXEC, 0), err = errno;

	if (fd >= 0)
		return fd;
	pr_err("vm %u: file %#x: %s (errno %d)\n", vm->id, file->id, strerror(err), err);
	return -err;
}

/* Statistics made by KVM in @remote: an fd there. */
static int make_stats(const struct vm_state *vm, const struct kvm_file *file, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "statistics");
	int ret;

	batch_ioctl_value(&b, vm_object_fd(vm, file->kind, file->index), KVM_GET_STATS_FD, 0,
			  "KVM_GET_STATS_FD");
	ret = batch_run(&b);
	if (!ret)
		ret = b.calls[0].result;
	batch_fini(&b);
	return ret;
}

static void close_remote(const struct vm_state *vm, struct remote *remote, int fd)
{
	batch_close(remote, vm->id, "statistics", fd);
}

int kvm_file_fetch(const struct vm_state *vm, const struct kvm_file *file, pid_t pid, struct remote *remote)
{
	int there = is_stats(file) ? make_stats(vm, file, remote) : vm_object_fd(vm, file->kind, file->index);
	int fd = there < 0 ? there : fd_take(pid, there), ret = fd;

	if (is_stats(file) && there >= 0)
		close_remote(vm, remote, there);
	if (fd >= 0)
		ret = skip(fd, file->pos);
	if (ret < 0) {
		pr_err("vm %u: file %#x: %s (errno %d)\n", vm->id, file->id, strerror(-ret), -ret);
		if (fd >= 0)
			close(fd);
		return ret;
	}
	if (file->flags & ~O_ACCMODE)
		fcntl(fd, F_SETFL, file->flags & ~O_ACCMODE);
	return fd;
}

int kvm_file_open(const struct vm_state *vm, const struct kvm_file *file)
{
	int fd = !vm || file->kind == KVM_FILE_SYSTEM ? open_system(file)
		 : is_stats(file)		      ? open_stats(vm, file)
						      : open_object(vm, file);

	if (fd >= 0 && file->flags & ~O_ACCMODE)
		fcntl(fd, F_SETFL, file->flags & ~O_ACCMODE);
	return fd;
}
