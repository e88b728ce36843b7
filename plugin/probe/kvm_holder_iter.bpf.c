// SPDX-License-Identifier: GPL-2.0-only
/* Who of all processes has eventfds, and the open files of VMs: by fds, and, where it is asked of one, by mappings of vCPUs. */
#include "kernel_types.h"

#include "kvm_file.bpf.h"
#include "kvm_iter.h"
#include "kvm_task.bpf.h"

char _license[] SEC("license") = "GPL";

/* How often @file is held: by fds, mappings, and what is in the kernel. */
static __u64 file_refs(struct file *file)
{
	struct file___6_12 *old = (void *)file;
	struct file___7_0 *new = (void *)file;

	if (bpf_core_field_exists(struct file___6_12, f_count))
		return BPF_CORE_READ(old, f_count.counter);
	return BPF_CORE_READ(new, f_ref.refcnt.counter) + 1;
}

SEC("iter/task_file")
int eventfds(struct bpf_iter__task_file *ctx)
{
	struct kvm_rec rec = { .type = KVM_REC_EVENTFD, .fd = ctx->fd };
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct eventfd_ctx *eventfd;
	char name[24] = "";

	if (!task || !file || !read_name(file, name, sizeof(name)) || !IS(name, "[eventfd]"))
		return 0;
	eventfd = BPF_CORE_READ(file, private_data);
	rec.eventfd.users = BPF_CORE_READ(eventfd, kref.refcount.refs.counter);
	/* Bound to nothing, as any process can have as many as it likes. */
	if (rec.eventfd.users < 2)
		return 0;
	rec.eventfd.eventfd = (unsigned long long)eventfd;
	rec.eventfd.files = (unsigned long long)BPF_CORE_READ(task, files);
	rec.eventfd.refs = file_refs(file) - 1; /* the iterator holds it too */
	rec.eventfd.flags = BPF_CORE_READ(eventfd, flags);
	rec.eventfd.tasks = BPF_CORE_READ(task, files, count.counter);
	rec.eventfd.pid = pid_of(task);
	bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec));
	return 0;
}

SEC("iter/task")
int file_tables(struct bpf_iter__task *ctx)
{
	struct kvm_rec rec = { .type = KVM_REC_TASK };
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;
	rec.task.files = (unsigned long long)BPF_CORE_READ(task, files);
	bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec));
	return 0;
}

/* A record of what has @file, of a VM; false: of none. */
static bool begin_holder(struct task_struct *task, struct file *file, struct kvm_rec *rec)
{
	char name[24] = "";
	struct kvm *kvm;

	if (!task || !file || !read_name(file, name, sizeof(name)))
		return false;
	kvm = kvm_of(kind_of(name), BPF_CORE_READ(file, private_data));
	rec->type = KVM_REC_HOLDER;
	rec->kvm = (unsigned long long)kvm;
	rec->holder.file = (unsigned long long)file;
	rec->holder.refs = file_refs(file);
	rec->holder.pid = pid_of(task);
	return kvm;
}

SEC("iter/task_file")
int fd_holders(struct bpf_iter__task_file *ctx)
{
	struct kvm_rec rec = { .fd = ctx->fd };
	struct task_struct *task = ctx->task;

	if (!begin_holder(task, ctx->file, &rec))
		return 0;
	rec.holder.refs--; /* the iterator holds it too */
	rec.holder.in = (unsigned long long)BPF_CORE_READ(task, files);
	rec.holder.at = ctx->fd;
	bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec));
	return 0;
}

/* As maps_told (kvm_iter.bpf.c). */
unsigned long holders_told;

SEC("iter/task_vma")
int map_holders(struct bpf_iter__task_vma *ctx)
{
	struct vm_area_struct *vma = ctx->vma;
	struct task_struct *task = ctx->task;
	struct kvm_rec rec = { 0 };

	if (!vma || BPF_CORE_READ(vma, vm_start) < holders_told || !begin_holder(task, BPF_CORE_READ(vma, vm_file), &rec))
		return 0;
	rec.holder.in = (unsigned long long)BPF_CORE_READ(task, mm);
	rec.holder.at = BPF_CORE_READ(vma, vm_start);
	rec.holder.is_map = 1;
	if (!bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec)))
		holders_told = rec.holder.at + 1;
	return 0;
}
