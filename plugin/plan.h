/* SPDX-License-Identifier: GPL-2.0-only */
/* The two sequences, as tables. */
#ifndef KVM_VGIC_PLAN_H
#define KVM_VGIC_PLAN_H

#include "remote/remote.h"
#include "state/vm.h"

/* The VMs that a step is for. */
enum plan_gic {
	ANY_GIC,
	GICV2,
	GICV2_OR_V3,
	GICV3,
	GICV5,
	GICV5_DESCRIPTOR, /* of one form of GRP_IST: at restore, when it is known */
	GICV5_RAW,
};

struct plan_step {
	const char *name;
	enum plan_gic gic;
	int (*run)(struct vm_state *vm, struct remote *remote);
	const char *rule; /* what puts the step in its place */
};

extern const struct plan_step plan_dump[], plan_restore[];
extern const size_t plan_nr_dump, plan_nr_restore;

/* Whether @vm has what @step is for. */
bool plan_applies(const struct plan_step *step, const struct vm_state *vm);

/* Some steps of a sequence: those from @first on, @nr of them. */
struct plan_part {
	size_t first, nr;
	bool is_last; /* nothing is done behind them in their session, where they succeed */
};

/* Of plan_dump: what may change a VM's interrupts still; and, when the probe has looked at them again, the rest. */
extern const struct plan_part plan_settle, plan_read;

/*
 * Of plan_restore: all that makes a VM whole; and, when all VMs of the tree are, what lets its vCPUs run.
 * And both, of the last one.
 */
extern const struct plan_part plan_build, plan_start, plan_whole;

/* Runs the steps in order and stops at the first that fails: 0 or its negative errno, logged with its name.
 */
int plan_run(const struct plan_step *steps, size_t nr, struct vm_state *vm, struct remote *remote);
/* The same of some of the @nr steps. */
int plan_run_part(const struct plan_step *steps, size_t nr, struct plan_part part, struct vm_state *vm,
		  struct remote *remote);

#endif
