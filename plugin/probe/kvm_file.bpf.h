/* SPDX-License-Identifier: GPL-2.0-only */
/* For BPF programs: which open files are KVM's, and of which VM. Behind kernel_types.h. */
#ifndef KVM_VGIC_KVM_FILE_BPF_H
#define KVM_VGIC_KVM_FILE_BPF_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define ANON_INODE_FS_MAGIC 0x09041934

/*
 * A function that the kernel's verifier looks at by itself, once, not along each way that leads to it: its arguments are
 * the program's context and numbers, of which it knows nothing.
 */
#define VERIFIED_ALONE __attribute__((noinline))

#define IS(name, what) (!bpf_strncmp(name, sizeof(what), what))
#define BEGINS(name, what) (!bpf_strncmp(name, sizeof(what) - 1, what))

/* The next one of a list: the first word of a node or a head of any kind (linux/types.h), in all kernels. */
static inline void *next_of(const void *node)
{
	void *next = NULL;

	bpf_probe_read_kernel(&next, sizeof(next), node);
	return next;
}

/* The name of @file where it has no inode of its own, which KVM's have not. */
static bool read_name(struct file *file, char *name, unsigned int size)
{
	if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) != ANON_INODE_FS_MAGIC)
		return false;
	return bpf_probe_read_kernel_str(name, size, BPF_CORE_READ(file, f_path.dentry, d_name.name)) > 0;
}

enum kvm_file {
	FILE_OTHER,
	FILE_VM,
	FILE_VM_STATS,
	FILE_VCPU,
	FILE_VCPU_STATS,
	FILE_ITS,
	FILE_DEVICE,
};

/* What a file with that name is. */
static enum kvm_file kind_of(const char *name)
{
	if (!BEGINS(name, "kvm-"))
		return FILE_OTHER;
	if (BEGINS(name, "kvm-vcpu:"))
		return FILE_VCPU;
	if (BEGINS(name, "kvm-vcpu-stats:"))
		return FILE_VCPU_STATS;
	if (IS(name, "kvm-vm"))
		return FILE_VM;
	if (IS(name, "kvm-vm-stats"))
		return FILE_VM_STATS;
	if (IS(name, "kvm-arm-vgic-its"))
		return FILE_ITS;
	return BEGINS(name, "kvm-arm-vgic-") ? FILE_DEVICE : FILE_OTHER;
}

/* The VM of the file that is that, with that private_data, or NULL. */
static struct kvm *kvm_of(enum kvm_file kind, void *object)
{
	switch (kind) {
	case FILE_VM:
	case FILE_VM_STATS:
		return object;
	case FILE_VCPU:
	case FILE_VCPU_STATS:
		return BPF_CORE_READ((struct kvm_vcpu *)object, kvm);
	case FILE_ITS:
	case FILE_DEVICE:
		return BPF_CORE_READ((struct kvm_device *)object, kvm);
	default:
		return NULL;
	}
}

#endif
