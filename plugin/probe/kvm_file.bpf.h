/* SPDX-License-Identifier: GPL-2.0-only */
/* For BPF programs: which open files are KVM's, and of which VM. Behind kernel_types.h. */
#ifndef KVM_VGIC_KVM_FILE_BPF_H
#define KVM_VGIC_KVM_FILE_BPF_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define ANON_INODE_FS_MAGIC 0x09041934

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

/* The VM of the file with that name and private_data, or NULL. */
static struct kvm *kvm_of(const char *name, void *object)
{
	if (IS(name, "kvm-vm") || IS(name, "kvm-vm-stats"))
		return object;
	if (BEGINS(name, "kvm-vcpu:") || BEGINS(name, "kvm-vcpu-stats:"))
		return BPF_CORE_READ((struct kvm_vcpu *)object, kvm);
	if (BEGINS(name, "kvm-arm-vgic-"))
		return BPF_CORE_READ((struct kvm_device *)object, kvm);
	return NULL;
}

#endif
