/* SPDX-License-Identifier: GPL-2.0-only */
/* From records of what a VM has bound, and of who has the eventfds, to the VM's state, or a refusal by name.
 */
#ifndef KVM_VGIC_PROBE_BINDING_H
#define KVM_VGIC_PROBE_BINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/vcpu.h"

/* A process that has one of the eventfds. */
struct holder {
	pid_t pid;
	pid_t vpid;  /* in its innermost pid namespace */
	bool dumped; /* it is of the tree */
	bool found;  /* @vpid is that of no other process of the tree */
};

struct bindings {
	pid_t pid;		 /* of the VM's owner */
	struct probe_recs bound; /* of the VM: KVM_REC_IRQFD, _IOEVENTFD, _ZONE, _ROUTE */
	struct probe_recs fds;	 /* KVM_REC_EVENTFD of these, by binding_compare_fds() */
	struct probe_recs tasks; /* KVM_REC_TASK of all holders */
	struct probe_recs works; /* KVM_REC_WORK */
	const struct holder *holders;
	size_t nr_holders;
	uint64_t *uses; /* the eventfds, each as often as it is bound, in order; for free() */
	size_t nr_uses;
};

/* Fills @b->uses from @b->bound. 0 or -ENOMEM. */
int binding_list_uses(struct bindings *b);
/* How often @eventfd is bound. */
size_t binding_count_uses(const struct bindings *b, uint64_t eventfd);
/* For qsort(): by eventfd, then by table of fds and fd. */
int binding_compare_fds(const void *a, const void *b);

/*
 * Whether nothing moves: no interrupt is being injected, and nobody has an eventfd but the processes of @b.
 * What holds one for a moment is gone the next time.
 */
bool binding_at_rest(const struct bindings *b);

/* Fills @vm; 0, -ENOMEM, or -ENOTSUP, logged. Where @b is not at rest that is a refusal. */
int binding_fill(const struct bindings *b, struct vm_state *vm);

#endif
