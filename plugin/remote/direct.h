/* SPDX-License-Identifier: GPL-2.0-only */
/* System calls in this process: for a VM of its own. */
#ifndef KVM_VGIC_REMOTE_DIRECT_H
#define KVM_VGIC_REMOTE_DIRECT_H

#include "remote/remote.h"

/* Without a room: there is no session that could end, and take with it what is mapped. */
#define DIRECT_REMOTE                                                                                        \
	{                                                                                                    \
		.ops = &direct_ops                                                                           \
	}

extern const struct remote_ops direct_ops;

#endif
