/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fields of kernel structures that the iterator reads, and no others: the
 * running kernel's BTF says where they are (CO-RE), and that they are there.
 */
#ifndef KVM_VGIC_KERNEL_TYPES_H
#define KVM_VGIC_KERNEL_TYPES_H

#define NULL ((void *)0)
typedef _Bool bool;
#define true 1
#define false 0

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

/*
 * What an iterator is called with is laid out for programs of BPF, and the verifier knows what each place of it holds: not
 * looked for in BTF, all of which the kernel goes through for each type that is.
 */
struct seq_file;
struct task_struct;
struct file;
struct vm_area_struct;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};
struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next;
};
struct hlist_node {
	struct hlist_node *next;
};
struct hlist_head {
	struct hlist_node *first;
};
typedef struct {
	int counter;
} atomic_t;

/* A type that begins with a number of 64 bits: for loads of those that no type is known of. */
struct timespec64 {
	__s64 tv_sec;
};

struct mm_struct;
struct file;
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *open_fds;
};
struct files_struct {
	atomic_t count;
	struct fdtable *fdt;
};
struct pid;
struct signal_struct {
	struct list_head thread_head;
};
struct task_struct {
	struct mm_struct *mm;
	struct files_struct *files;
	int tgid;
	unsigned int flags;
	void *worker_private;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct hlist_node pid_links[1];
	struct signal_struct *signal;
	struct list_head thread_node;
	struct list_head children;
};
struct upid {
	int nr;
};
struct pid {
	unsigned int level;
	struct hlist_head tasks[1];
	struct upid numbers[1];
};
struct qstr {
	const unsigned char *name;
};
struct dentry {
	struct qstr d_name;
};
struct path {
	struct dentry *dentry;
};
struct super_block {
	unsigned long s_magic;
};
struct inode {
	struct super_block *i_sb;
};
struct file {
	struct path f_path;
	struct inode *f_inode;
	void *private_data;
};

/* The number of references: of 6.12; of 7.x, which has one less in it. */
struct file___6_12 {
	struct {
		__s64 counter;
	} f_count;
};
struct file___7_0 {
	struct {
		struct {
			__s64 counter;
		} refcnt;
	} f_ref;
};
struct eventfd_ctx {
	struct {
		struct {
			atomic_t refs;
		} refcount;
	} kref;
	unsigned int flags;
};

/* Of a kernel thread, and of one that executes works. */
struct kthread {
	void *data;
};
struct work_struct {
	struct {
		__s64 counter;
	} data;
	void *func;
};
struct worker {
	struct work_struct *current_work;
	void *current_func;
};

struct userfaultfd_ctx;
struct vm_userfaultfd_ctx {
	struct userfaultfd_ctx *ctx;
};
struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_flags;
	struct file *vm_file;
	struct vm_userfaultfd_ctx vm_userfaultfd_ctx;
};

struct kvm_vcpu;
struct vgic_irq {
	struct kvm_vcpu *vcpu;
	struct kvm_vcpu *target_vcpu;
	__u32 intid;
	_Bool line_level;
	_Bool pending_latch;
	_Bool active;
	__u32 mpidr;
	__u8 active_source;
};
struct vgic_cpu {
	struct vgic_irq *private_irqs;
};
struct vgic_dist {
	_Bool in_kernel;
	_Bool initialized;
	__u32 vgic_model;
	int nr_spis;
	struct vgic_irq *spis;
};
struct kvm_s2_mmu {
	__u64 vtcr;
	__u64 split_page_chunk_size;
};
struct arch_timer_vm_data {
	__u64 voffset;
	__u64 poffset;
};
struct maple_tree {
	void *ma_root;
};
struct maple_metadata {
	unsigned char end;
};
struct maple_range_64 {
	unsigned long pivot[15];
	union {
		void *slot[16];
		struct {
			void *pad[15];
			struct maple_metadata meta;
		};
	};
};
/* 6.12; pKVM's structure of 7.x has is_protected instead. */
struct kvm_protected_vm {
	_Bool enabled;
};
struct kvm_protected_vm___7_0 {
	_Bool is_protected;
};
struct kvm_arch {
	struct kvm_s2_mmu mmu;
	unsigned long flags;
	unsigned long vcpu_features[1];
	struct vgic_dist vgic;
	struct arch_timer_vm_data timer_data;
	unsigned long *pmu_filter;
	__u64 id_regs[56];
	struct maple_tree smccc_filter;
	struct kvm_protected_vm pkvm;
};
struct kvm_memory_slot {
	struct hlist_node id_node[2];
	__u64 base_gfn;
	unsigned long npages;
	unsigned long userspace_addr;
	__u32 flags;
	short id;
	__u16 as_id;
};
struct kvm_memslots {
	struct hlist_head id_hash[128];
	int node_idx;
};
struct kvm_kernel_irq_routing_entry {
	__u32 gsi;
	__u32 type;
	union {
		struct {
			unsigned int irqchip;
			unsigned int pin;
		} irqchip;
		struct {
			__u32 address_lo;
			__u32 address_hi;
			__u32 data;
			__u32 flags;
			__u32 devid;
		} msi;
	};
	struct hlist_node link;
};
struct kvm_irq_routing_table {
	__u32 nr_rt_entries;
	struct hlist_head map[];
};
/* An array of arrays, which the pahole of 6.12 told as a flat one. */
struct kvm_irq_routing_table___6_12 {
	int chip[988];
};
struct kvm_irq_routing_table___7_0 {
	int chip[1][988];
};
struct kvm_kernel_irqfd {
	int gsi;
	struct work_struct inject;
	struct eventfd_ctx *resamplefd;
	struct eventfd_ctx *eventfd;
	struct list_head list;
};
struct _ioeventfd {
	struct list_head list;
	__u64 addr;
	int length;
	struct eventfd_ctx *eventfd;
	__u64 datamatch;
	__u8 bus_idx;
	_Bool wildcard;
};
enum kvm_bus {
	KVM_MMIO_BUS,
	KVM_PIO_BUS,
	KVM_VIRTIO_CCW_NOTIFY_BUS,
	KVM_FAST_MMIO_BUS,
};
struct kvm_coalesced_mmio_zone {
	__u64 addr;
	__u32 size;
	__u32 pio;
};
struct kvm_coalesced_mmio_dev {
	struct list_head list;
	struct kvm_coalesced_mmio_zone zone;
};
struct kvm {
	struct mm_struct *mm;
	struct kvm_memslots *memslots[1];
	atomic_t online_vcpus;
	struct {
		struct list_head items;
	} irqfds;
	struct list_head ioeventfds;
	struct list_head coalesced_zones;
	struct list_head devices;
	struct kvm_irq_routing_table *irq_routing;
	__u64 manual_dirty_log_protect;
	__u32 dirty_ring_size;
	_Bool override_halt_poll_ns;
	unsigned int max_halt_poll_ns;
	_Bool vm_dead;
	struct kvm_arch arch;
};
struct kvm_guest_debug_arch {
	__u64 dbg_bcr[16];
	__u64 dbg_bvr[16];
	__u64 dbg_wcr[16];
	__u64 dbg_wvr[16];
};

struct kvm_pmu {
	_Bool created;
};

struct kvm_vcpu_arch {
	__u8 iflags;
	__u16 sflags; /* __u8 in 6.12 */
	struct {
		__u64 base;
	} steal;
	struct kvm_guest_debug_arch external_debug_state;
	struct kvm_pmu pmu;
	struct vgic_cpu vgic_cpu;
};

typedef struct {
	unsigned long sig[1];
} sigset_t;
struct kvm_run;
struct kvm_vcpu {
	struct kvm *kvm;
	struct kvm_run *run;
	int vcpu_id;
	int vcpu_idx;
	struct pid *pid;
	int mmio_needed;
	int sigset_active;
	sigset_t sigset;
	unsigned long guest_debug;
	struct kvm_vcpu_arch arch;
};
struct its_collection;
/* Of vgic-its.c. The host's own ITS driver has types of these two names too, without the fields named here. */
struct its_device {
	struct list_head dev_list;
	struct list_head itt_head;
};
struct its_ite {
	struct list_head ite_list;
	struct its_collection *collection;
};
struct vgic_its {
	struct list_head device_list;
};
struct kvm_device {
	struct kvm *kvm;
	void *private;
};

#pragma clang attribute pop

/* A walk through tasks, on the stack of the program. */
struct bpf_iter_task {
	__u64 opaque[3];
};
#define BPF_TASK_ITER_ALL_PROCS 0

#endif
