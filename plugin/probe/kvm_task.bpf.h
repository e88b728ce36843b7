/* SPDX-License-Identifier: GPL-2.0-only */
/* For BPF programs: what tasks are called. Behind kernel_types.h. */
#ifndef KVM_VGIC_KVM_TASK_BPF_H
#define KVM_VGIC_KVM_TASK_BPF_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* The number of @pid in the pid namespace at @level, counted from the first. */
static inline unsigned int number_at(struct pid *pid, unsigned int level)
{
	struct upid *at = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
			  level * bpf_core_type_size(struct upid);

	return BPF_CORE_READ(at, nr);
}

/* The process of @task as the reader of the iterator knows it, and its /proc: iterators show its pid namespace. */
static inline unsigned int pid_of(struct task_struct *task)
{
	struct task_struct *reader = (void *)bpf_get_current_task();

	return number_at(BPF_CORE_READ(task, group_leader, thread_pid), BPF_CORE_READ(reader, thread_pid, level));
}

#endif
