/* SPDX-License-Identifier: GPL-2.0-only */
/* Access to the pages of vCPUs, for the parts of what is done with them: each function answers 0 or a negative errno, logged. */
#ifndef KVM_VGIC_STATE_KVM_RUN_PAGE_H
#define KVM_VGIC_STATE_KVM_RUN_PAGE_H

#include "remote/remote.h"
#include "state/vm.h"

#define KVM_RUN_HEAD 12 /* bytes of struct kvm_run up to exit_reason and with it: what forbids to run is in them */

/* What is done with a page: it is mapped at @page of @remote meanwhile. */
typedef int kvm_run_use(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page);

/*
 * For the pages of all vCPUs, with nothing of ours between the first and the last: should criu be killed there, the VM
 * is not left half one thing and half the other. To the first that fails; with @go_on all of them, whatever fails.
 */
int kvm_run_for_all_pages(struct vm_state *vm, struct remote *remote, bool go_on, kvm_run_use *use);

/*
 * Each vCPU's mapping in each of its places, of the task or of the copy that CRIU restored; with @go_on all of them, whatever
 * fails. Then what mmap() does not give them: with @lost, which is called for each vCPU of which some failed, it is no error.
 */
int kvm_run_map(struct vm_state *vm, struct remote *remote, bool go_on,
		void (*lost)(const struct vm_state *vm, const struct vcpu_state *vcpu));

/* A kvm_run_use: the page as vcpu->run has it, without mark and record (left.h). The vCPU may run. */
int kvm_run_release(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page);

/* Whether a page with this head (its first eight bytes) forbids to run because of us, or is within a replay; that in vcpu->run. */
bool kvm_run_has_mark(const void *head);
bool kvm_run_is_marked(const struct vcpu_state *vcpu);

/* The error line, and @err. */
int kvm_run_access_failed(const struct vm_state *vm, const struct vcpu_state *vcpu, const char *what, int err);

#endif
