/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Faults on request, as CRIU's own --fault. For tests: in a build with the Meson option fault_points alone, and
 * there with KVM_VGIC_TESTING=1 only. Each use is logged.
 * KVM_VGIC_FAULT names the point that fails: what a failing dump or restore leaves behind. "vm 3 GIC registers" is
 * a step of one VM of several. A number is the place of a point among all that are passed: the steps, each system
 * call in the VMM, each operation by which that is done, each access to an image, each allocation that can be large.
 * KVM_VGIC_FAULT_SIGNAL=N: criu gets that signal there, and the point does not fail.
 * KVM_VGIC_FAULT_LIST names a file to which each point that is passed is added: number, kind, place, what.
 * KVM_VGIC_KILL names the point where criu is killed: the same as KVM_VGIC_FAULT with a signal of 9.
 * KVM_VGIC_SKIP names what is left out, unnoticed: whether the tests see it. That is a step of the two
 * sequences, a register of the tables in state/vgic_v2.c, state/vgic_v3.c and state/its.c, a class of registers in
 * state/vcpu.c (CNTV_CTL_EL0 and its like), "kvm_run bytes", "drained irqfds", "threads of vCPUs", "host check",
 * "one pending bit", "one replay", "the end of the tree" (after a restore that fails), or "munmap" (of what the plugin maps).
 * KVM_VGIC_LATE names a step of plan_restore that is run after "ITS control" instead of in its place.
 */
#ifndef KVM_VGIC_FAULT_H
#define KVM_VGIC_FAULT_H

#include <stdbool.h>

enum fault_kind { FAULT_STEP, FAULT_CALL, FAULT_REMOTE, FAULT_IMAGE, FAULT_MEMORY };

#ifdef FAULT_POINTS

/* Before the first process is forked: all of them number the points together. */
void fault_init(void);

/* Passes a point: whether it is the one that KVM_VGIC_FAULT means. Then fault_strikes() is to be called. */
bool fault_passed(enum fault_kind kind, const char *place, const char *what);
/* What it comes to: the negative errno that is the answer there, or 0 where criu has got a signal and lives. */
int fault_strikes(void);

/* Both: 0 or a negative errno. */
int fault_point(enum fault_kind kind, const char *place, const char *what);

/* Whether points are listed, or one is meant by its number: they have their numbers from the order in which one thread passes them. */
bool fault_counts(void);

int fault_injected(const char *step);
int fault_injected_of(unsigned int vm, const char *step);
bool fault_leaves_out(const char *what);
bool fault_moves(const char *step);

#else

static inline void fault_init(void)
{
}

static inline bool fault_passed(enum fault_kind kind, const char *place, const char *what)
{
	return false;
}

static inline int fault_strikes(void)
{
	return 0;
}

static inline int fault_point(enum fault_kind kind, const char *place, const char *what)
{
	return 0;
}

static inline bool fault_counts(void)
{
	return false;
}

static inline int fault_injected(const char *step)
{
	return 0;
}

static inline int fault_injected_of(unsigned int vm, const char *step)
{
	return 0;
}

static inline bool fault_leaves_out(const char *what)
{
	return false;
}

static inline bool fault_moves(const char *step)
{
	return false;
}

#endif

#endif
