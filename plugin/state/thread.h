/* SPDX-License-Identifier: GPL-2.0-only */
/* What a thread of the VMM has in registers, and CRIU does not carry. */
#ifndef KVM_VGIC_STATE_THREAD_H
#define KVM_VGIC_STATE_THREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THREAD_MAX 32768
#define THREAD_MAX_SETS 16
/* ZA at a vector length of 256 bytes, and its header. */
#define THREAD_SET_MAX (65536 + 16)

/* A register set as PTRACE_GETREGSET gives it. */
struct thread_regset {
	uint32_t note; /* NT_ARM_* */
	uint32_t size; /* bytes */
	uint8_t *data;
};

struct thread_state {
	int32_t vtid; /* in its innermost pid namespace */
	struct thread_regset *sets;
	size_t nr_sets;
	bool went_on; /* after the dump had read it: threads_stop_again() */
};

/* The register sets that are carried, in the order in which they are put back. */
extern const uint32_t thread_notes[];
extern const size_t thread_nr_notes;
/* Whether a thread of this host can have one: false where its CPU or kernel certainly has not, and nothing is asked for that. */
bool thread_note_can_be(uint32_t note);
/* "SVE" of NT_ARM_SVE. */
const char *thread_note_name(uint32_t note);

void thread_free(struct thread_state *threads, size_t nr);

#endif
