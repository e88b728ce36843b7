/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory of a process whose pages come from a file system, and so perhaps from a server that does not answer. */
#ifndef KVM_VGIC_REMOTE_SERVED_H
#define KVM_VGIC_REMOTE_SERVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/area.h"

struct served {
	struct {
		uint64_t start, end;
	} *areas; /* in rising order */
	size_t nr;
};

/* Looks what the kernel's own are: before tasks stand still. */
void served_prepare(void);

/* Those of @areas. 0, to be freed by served_free(), or -ENOMEM. Anonymous memory, shared or not, and memfds are the kernel's own. */
int served_find(const struct proc_areas *areas, struct served *served);
bool served_has(const struct served *served, uint64_t addr, size_t size);
void served_free(struct served *served);

#endif
