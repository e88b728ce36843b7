/* SPDX-License-Identifier: GPL-2.0-only */
/* What a criu that was killed in an earlier dump has left standing, put back before this one: as criu-kvm recover does. */
#ifndef KVM_VGIC_PUT_BACK_H
#define KVM_VGIC_PUT_BACK_H

#include "probe/discover.h"
#include "remote/remote.h"
#include "state/left.h"

/*
 * Of all VMs in @all, whose processes are stopped, and what is to become of the dump: they run on whatever that is. 1, there
 * were such, and @all does not know where their kvm_run is by now; 0, none, and nothing was done; or a negative errno, logged.
 */
int put_back_standing(const struct discovered *all);

/*
 * Of @vm, which this dump has swapped out, and whose process has gone on since: with what that has written to the copies, as an
 * answer to an exit, which kvm_run_swap_in() would lose. @view is of a moment at which it was stopped again. 0 or a negative
 * errno, logged.
 */
int put_back_written(const struct vm_state *vm, struct remote *remote, const struct left_view *view);

#endif
