/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files that CRIU opens in another process than the one whose mm their VM belongs to: it takes the process
 * with the lowest pid of those that have the file, and sends it to the others. They get something else
 * at first, and the file when the VM has been made.
 */
#ifndef KVM_VGIC_STAND_IN_H
#define KVM_VGIC_STAND_IN_H

#include <stdint.h>
#include <sys/types.h>

/* Names the stand-ins of one restore: no file of a task's own has it. */
struct stand_in_token {
	char hex[33];
};

int stand_in_new_token(struct stand_in_token *token);

/* A file to be there in place of CRIU's file @id: its fd, or a negative errno, logged. */
int stand_in_open(const struct stand_in_token *token, uint32_t id);

/*
 * Replaces all that are open in @root or below it by what @get gives for an id: an fd of criu's, which is
 * closed when it has been used; or a negative errno, logged. 0 or a negative errno, logged.
 */
int stand_in_replace_all(const struct stand_in_token *token, pid_t root, int (*get)(uint32_t id));

#endif
