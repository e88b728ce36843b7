/* SPDX-License-Identifier: GPL-2.0-only */
/* vCPUs that a criu which was killed has left standing (state/left.h), as they are seen from outside of their process. */
#ifndef KVM_VGIC_PROBE_STANDING_H
#define KVM_VGIC_PROBE_STANDING_H

#include <sys/types.h>

#include "probe/proc.h"
#include "state/left.h"

/*
 * Both look at the first page of kvm_run by a mapping of their own, and do nothing in @pid, whose vCPUs' fds are in @vcpu and
 * @vm. Whether it is marked: 1, 0 or a negative errno, logged.
 */
int standing_is_marked(pid_t pid, const struct vm_state *vm, const struct vcpu_state *vcpu);
/* left_check() of each vCPU: not by what KVM answers, which is EIO of all that a restore has left once it has called KVM_RUN. */
int standing_check(pid_t pid, const struct vm_state *vm);

/* What stands where, by /proc/PID/maps. */
struct standing_places {
	struct left_view view;
	struct proc_scan scan;
};

/*
 * @pid is stopped; before a session is opened there, whose memory could be taken for a copy. To be freed by
 * standing_places_free() whatever is returned: 0 or a negative errno, logged, but for -ESRCH.
 */
int standing_places_read(pid_t pid, struct standing_places *places);
void standing_places_free(struct standing_places *places);

#endif
