/* SPDX-License-Identifier: GPL-2.0-only */
/* How long tasks stand still because of the plugin, by what it does meanwhile: a line of the log, which test/bench reads. */
#ifndef KVM_VGIC_SPENT_H
#define KVM_VGIC_SPENT_H

enum spent {
	SPENT_NOT, /* CRIU's time */
	SPENT_LOOK,
	SPENT_THREADS,
	SPENT_READ,
	SPENT_IMAGES,
	SPENT_SWAP,
	SPENT_FILES,
	SPENT_UNDO,
	SPENT_BUILD,
	SPENT_START,
	NR_SPENT,
};

/* From now on time is spent on @what. What it was spent on before. */
enum spent spent_on(enum spent what);

/* Tells of all up to now, with the system calls that were run in tasks, and begins anew. */
void spent_tell(const char *action);

#endif
