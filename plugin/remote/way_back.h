/* SPDX-License-Identifier: GPL-2.0-only */
/* The signal frame that takes a task back to what it was, without its tracer. */
#ifndef KVM_VGIC_REMOTE_WAY_BACK_H
#define KVM_VGIC_REMOTE_WAY_BACK_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>
#include <ucontext.h>
#include <sys/user.h>

/* struct rt_sigframe of arch/arm64/kernel/signal.c: what rt_sigreturn expects at sp, a multiple of 16. */
struct way_back {
	siginfo_t info;
	ucontext_t uc;
};

/*
 * Fills @frame with @regs, @sigmask, and the FP registers that the stopped task
 * @tid has now: 0 or a negative errno. Live SVE registers, which are in the @sve_size bytes of NT_ARM_SVE at @sve, are part of it where the frame
 * has room for them, which is up to a vector length of 96 bytes. Without SVE @sve is NULL.
 */
int way_back_build(pid_t tid, const struct user_regs_struct *regs, uint64_t sigmask, const void *sve, size_t sve_size,
		   struct way_back *frame);

#endif
