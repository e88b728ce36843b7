/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest memory that is in files, and so not in CRIU's image. */
#ifndef KVM_VGIC_PROBE_BACKING_H
#define KVM_VGIC_PROBE_BACKING_H

#include <stdbool.h>
#include <sys/types.h>

#include "probe/area.h"
#include "state/vm.h"

/*
 * Fills @vm->backings from the mappings of @pid, stopped, whose memslots are known,
 * and warns of each. Reads all those files: @give_up is asked meanwhile whether to go on,
 * as backing_hash() does. 0 or a negative errno, logged.
 */
int backing_capture(pid_t pid, struct vm_state *vm, int (*give_up)(void));

/* Whether a memslot of @vm is over one of @areas, its process's, that is of a file, of whatever kind. */
bool backing_is_there(const struct proc_areas *areas, const struct vm_state *vm);

/*
 * Where paths of @vm->backings begin, as backing_check() takes it, when @pid is the VM's and has its mount namespace:
 * a fd for close(), or AT_FDCWD. Or another negative errno, logged.
 */
int backing_root(pid_t pid);

#endif
