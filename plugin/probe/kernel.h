/* SPDX-License-Identifier: GPL-2.0-only */
/* What only the kernel knows of a process's VMs, read by a BPF iterator. */
#ifndef KVM_VGIC_PROBE_KERNEL_H
#define KVM_VGIC_PROBE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "probe/kvm_iter.h"

/*
 * Loads the iterator, once; later calls return what the first did. The kernel's
 * verifier takes tens of milliseconds: to be called before tasks are frozen.
 * 0, or a negative errno, logged: no BTF, no permission, a kernel whose
 * structures are not known.
 */
int kernel_probe_load(void);
void kernel_probe_unload(void);

/* Whether its structures are known: 0 or -ENOTSUP, logged. */
int kernel_check_series(void);

/* Locked down so that BPF programs can read nothing of it. false: it is not, or securityfs is not mounted. */
bool kernel_is_confidential(void);

/* Whether this is the plugin of such a host. */
bool kernel_is_arm64(void);

/* Whether KVM_DEV_ARM_ITS_SAVE_TABLES of this kernel copes with interrupts that have no collection any more. */
bool kernel_saves_orphans(void);

/* Whether sflags of a vCPU say that a single step of KVM_SET_GUEST_DEBUG is to be taken at the next KVM_RUN. */
bool kernel_step_is_pending(unsigned int sflags);

/* The records of @pid, in *@recs, to be freed by the caller whatever is returned. 0 or a negative errno, logged. */
int kernel_probe(pid_t pid, struct kvm_rec **recs, size_t *nr);

/*
 * Begins that for @pid in a thread, beside what else is looked at: kernel_probe() takes what it has found. Another process's
 * or kernel_probe_end_ahead() drops it; nothing else is called here before one of these. Where it cannot be begun nothing is lost.
 */
void kernel_probe_ahead(pid_t pid);
void kernel_probe_end_ahead(void);

/* Likewise, of its mappings alone. */
int kernel_probe_maps(pid_t pid, struct kvm_rec **recs, size_t *nr);

/* Likewise: what @vm, a KVM_REC_VM of @pid, has bound, KVM_BINDINGS_PER_PASS of it, from the @first-th on. -EAGAIN: its fd is another's by now. */
int kernel_probe_bindings(pid_t pid, const struct kvm_rec *vm, unsigned int first, struct kvm_rec **recs, size_t *nr);
/* Likewise: the eventfds of all processes that this one's pid namespace has. */
int kernel_probe_eventfds(struct kvm_rec **recs, size_t *nr);
/* Likewise: the threads of @pid, and their tables of fds. */
int kernel_probe_tasks(pid_t pid, struct kvm_rec **recs, size_t *nr);
/*
 * Likewise: who of these processes has an open file of a VM, by a fd; and by a mapping who of @pids has. The memory of
 * others is not looked at: there may be thousands, and one that is busy with its own would be waited for.
 */
int kernel_probe_holders(const pid_t *pids, size_t nr_pids, struct kvm_rec **recs, size_t *nr);
/* Likewise: the injections of irqfds that kernel workers are executing, those that passes of bindings have told of. */
int kernel_probe_works(struct kvm_rec **recs, size_t *nr);

#endif
