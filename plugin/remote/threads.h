/* SPDX-License-Identifier: GPL-2.0-only */
/* What CRIU loses of a stopped process's threads: register sets, and the abort of restartable sequences. */
#ifndef KVM_VGIC_REMOTE_THREADS_H
#define KVM_VGIC_REMOTE_THREADS_H

#include <sys/types.h>

#include "state/vm.h"

/*
 * Of each thread of @pid, before the first system call is run in one of them, by us or by CRIU: aborts the restartable sequence that
 * it is in, and reads into @vm->threads its register sets. A system call loses SVE registers; CRIU saves 128 bits of each, and neither
 * vector lengths nor SME state. 0 or a negative errno, logged.
 */
int threads_take(pid_t pid, struct vm_state *vm);

/*
 * Stops those of @vm->threads that CRIU has let go on, as it does when it cannot reach its parasite, and reads their register
 * sets anew: before anything is undone in @pid. What they have made since runs, and is left alone.
 */
void threads_stop_again(pid_t pid, struct vm_state *vm);
/* Whether there was one. */
bool threads_went_on(const struct vm_state *vm);

/*
 * Puts them back where they were read, after the last system call that was run in @pid: those that one can have changed. Threads are told by
 * their tid in the innermost pid namespace.
 */
int threads_put_back(pid_t pid, const struct vm_state *vm);

/* Gives all of them to the threads that CRIU has made in place of these, after the last system call that was run there. */
int threads_apply(pid_t pid, const struct vm_state *vm);

#endif
