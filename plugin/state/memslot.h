/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest memory as KVM is told of it, and which of its pages the guest has written to. */
#ifndef KVM_VGIC_STATE_MEMSLOT_H
#define KVM_VGIC_STATE_MEMSLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm_state;
struct remote;

#define DIRTY_LOG_MAX_PAGES (1ull << 28) /* of all logged memslots of a tree: 1 TiB in pages of 4 KiB */

/* Pages of a memslot by turns: how many are clean, dirty, clean, ... from its first. Behind the last: clean. */
struct dirty_log {
	uint64_t *runs; /* none is 0 but the first */
	size_t nr;
};

struct memslot {
	uint32_t slot;		 /* slot id; bits 31:16 the address space, 0 on arm64 */
	uint32_t flags;		 /* KVM_MEM_* */
	uint64_t gpa, size, hva; /* bytes */
	struct dirty_log log;	 /* with KVM_MEM_LOG_DIRTY_PAGES */
};

/* From @bits, a bit for each of @nr_pages, as KVM_GET_DIRTY_LOG gives them. 0 or -ENOMEM. */
int dirty_log_from_bits(struct dirty_log *log, const uint64_t *bits, uint64_t nr_pages);

/* The other way: @bits are zeros until now. */
void dirty_log_to_bits(const struct dirty_log *log, uint64_t *bits);
size_t dirty_log_bits_size(uint64_t nr_pages);

/* Frees @slots and what they hold. */
void memslots_free(struct memslot *slots, size_t nr);

/* Whether all guest memory is at hand (remote.h): none of it is in a file with a name. */
bool memslots_are_at_hand(const struct vm_state *vm, struct remote *remote);

/* Bytes of a remote's room that the dump of dirty logs needs. */
size_t memslots_room(const struct vm_state *vm);

/* Steps of the two sequences (plan.c). 0 or a negative errno, logged. */
int memslots_capture_logs(struct vm_state *vm, struct remote *remote);
int memslots_apply(struct vm_state *vm, struct remote *remote);
int memslots_apply_logs(struct vm_state *vm, struct remote *remote);

#endif
