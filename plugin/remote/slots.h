/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls as batch_code.S reads them, in memory of the task's: laid out, and taken back. */
#ifndef KVM_VGIC_REMOTE_SLOTS_H
#define KVM_VGIC_REMOTE_SLOTS_H

#include <stddef.h>
#include <stdint.h>

#include "remote/remote.h"

/* How many of @calls fit into @room bytes at once. */
size_t slots_fit(const struct remote_call *calls, size_t nr, size_t room);

/* Lays @calls out in @mirror, as the task sees them at @scratch. Returns the bytes used. */
uint32_t slots_lay_out(uint8_t *mirror, uint64_t scratch, const struct remote_call *calls, size_t nr);

/*
 * Takes back what the first @executed of the @nr calls brought. The task, or who shares its memory, may have written anything to
 * what is in @mirror by now.
 */
void slots_collect(const uint8_t *mirror, struct remote_call *calls, size_t nr, size_t executed);

#endif
