/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_VGIC_TOOL_INVENTORY_H
#define KVM_VGIC_TOOL_INVENTORY_H

#include "tool.h"

/* Whether criu would ask the plugin for the images in @dirfd: 0; -EINVAL: no; -EIO: it cannot be read. Told on stderr. */
int inventory_check(int dirfd);

#endif
