/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a criu that was killed has left of its own in a process: the memory of its parasite, and the memfd that it is.
 * compel calls that memfd CRIUMFD (compel/include/infect-priv.h, as read in CRIU 4.1.1, 4.2 and 4.2.1), and nobody else does.
 * The anonymous memory that it takes on a kernel without memfd_create() could be anybody's.
 */
#ifndef KVM_VGIC_TOOL_PARASITE_H
#define KVM_VGIC_TOOL_PARASITE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "remote/remote.h"

struct parasite_map {
	uint64_t start, end;
};

struct parasite {
	struct parasite_map *maps;
	size_t nr_maps;
	int *fds;
	size_t nr_fds;
};

/* 0 or a negative errno, told; nothing of the process's is touched. To be freed whatever is returned. */
int parasite_find(pid_t pid, struct parasite *p);
bool parasite_is_there(const struct parasite *p);
void parasite_free(struct parasite *p);

/*
 * The thread among @tids, stopped and traced by us, that is in it, or comes back to it: a register points there, as pc
 * and the return address do. 0: none; or a negative errno, told.
 */
pid_t parasite_thread(const struct parasite *p, const pid_t *tids, size_t nr);

/* Unmaps it and closes it, by calls in the process. 0 or a negative errno, logged. */
int parasite_take_out(const struct parasite *p, struct remote *remote);

#endif
