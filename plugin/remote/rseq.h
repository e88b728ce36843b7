/* SPDX-License-Identifier: GPL-2.0-only */
/* A thread that was stopped inside a restartable sequence. */
#ifndef KVM_VGIC_REMOTE_RSEQ_H
#define KVM_VGIC_REMOTE_RSEQ_H

#include <sys/types.h>

/*
 * Aborts the restartable sequence in which the stopped thread @tid is, if it is in one, as the kernel would
 * when it goes on: before anything is run in it, which loses that abort. 0 or a negative errno.
 */
int rseq_abort(pid_t tid);

#endif
