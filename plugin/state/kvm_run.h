/* SPDX-License-Identifier: GPL-2.0-only */
/* The page a vCPU shares with its VMM, and the exit that may be pending in it. */
#ifndef KVM_VGIC_STATE_KVM_RUN_H
#define KVM_VGIC_STATE_KVM_RUN_H

#include "state/vm.h"

struct remote;

/* The room that the functions below need in a remote: bytes. */
size_t kvm_run_room(const struct vm_state *vm);

/* The memory for calls with which kvm_run_swap_in() is one round trip: bytes. */
size_t kvm_run_scratch(const struct vm_state *vm);

/* Reads each vCPU's page and decides whether KVM owes it the completion of an MMIO access. */
int kvm_run_capture(struct vm_state *vm, struct remote *remote);

/*
 * Replaces each mapping of a vCPU by an anonymous copy, which CRIU can dump, and
 * makes sure that no vCPU runs meanwhile: a VMM left alone with the copies (criu was
 * killed) gets EINTR from KVM_RUN. Undone by kvm_run_swap_in(), also after failing
 * half way. What is done @meanwhile, or NULL, is done once where that is 0, as soon as the first vCPU may have its copies.
 * Each of the two is the last that is done in its session, where it succeeds.
 */
int kvm_run_swap_out(struct vm_state *vm, struct remote *remote, const struct beside *meanwhile);
int kvm_run_swap_in(struct vm_state *vm, struct remote *remote);

/*
 * Restore, first: no vCPU may run before kvm_run_allow() has ended, but for the replay. criu may be
 * killed in between, and all tasks run on then.
 */
int kvm_run_forbid(struct vm_state *vm, struct remote *remote);

/*
 * Restore, after all other state of the VM: the first KVM_RUN of any vCPU locks ID
 * registers and filters of the VM. A vCPU with a pending exit takes it once more; or
 * its write is completed, where the guest has since unmapped what it wrote to.
 */
int kvm_run_replay(struct vm_state *vm, struct remote *remote);

/* Restore, after that: the page as the VMM left it, an answer to a pending exit among it, and
 * its mappings, with their flags, over the copies that CRIU restored. */
int kvm_run_apply(struct vm_state *vm, struct remote *remote);

/* Restore, last. */
int kvm_run_allow(struct vm_state *vm, struct remote *remote);

#endif
