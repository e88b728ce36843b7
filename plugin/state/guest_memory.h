/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory by guest physical address, through the memslots and the stopped VMM's memory. What is
 * read there, the guest has written: nothing in it is to be believed.
 */
#ifndef KVM_VGIC_STATE_GUEST_MEMORY_H
#define KVM_VGIC_STATE_GUEST_MEMORY_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

struct memslot;
struct vm_state;
struct remote;

#define GUEST_PAGE 4096u /* bytes of one read; a memslot begins and ends with a page */
/* 1 GiB: what a guest has made endless ends somewhere. */
#define GUEST_MAX_PAGES (1u << 18)
#define GUEST_AHEAD 16u /* pages that are read by one access */

/* What guest_read_ahead() has read. */
struct guest_ahead {
	uint64_t pages[GUEST_AHEAD];
	size_t nr;
	_Alignas(16) uint8_t buf[GUEST_AHEAD][GUEST_PAGE];
};

struct guest_memory {
	const struct vm_state *vm;
	struct remote *remote;
	const struct memslot *slot; /* the last one found */
	uint64_t page;		    /* what is at @bytes is at this address */
	const uint8_t *bytes;	    /* @buf, or in @ahead; NULL: no page is there */
	struct guest_ahead *ahead;  /* the caller's; NULL: nothing is read ahead */
	uint32_t nr_pages; /* read so far */
	/* What its_tables_read() has come across so far: it is bounded for all ITSes of a VM together. */
	uint32_t nr_entries, nr_dtes, nr_ites;
	_Alignas(16) uint8_t buf[GUEST_PAGE];
};

#define GUEST_MEMORY(vm_, remote_)                                                                           \
	{                                                                                                    \
		.vm = (vm_), .remote = (remote_)                                                             \
	}

/* Whether a memslot is there: what KVM asks of an address before it stores an entry for it. */
bool guest_has(struct guest_memory *mem, uint64_t gpa);
/*
 * 0, -EFAULT where no memslot is or its memory cannot be read, -E2BIG after GUEST_MAX_PAGES. What
 * precedes the failing page is in @buf.
 */
int guest_read(struct guest_memory *mem, uint64_t gpa, void *buf, size_t size);
/*
 * The @nr pages at @pages, GUEST_AHEAD at most, into @mem->ahead, by one access: those that are likely to be read next. They count when
 * their turn comes; where some of them cannot be read none are there, and what is wrong is told then.
 */
void guest_read_ahead(struct guest_memory *mem, const uint64_t *pages, size_t nr);
/* As guest_read(), by one access: where it fails nobody knows how far it has come. */
int guest_read_at_once(struct guest_memory *mem, uint64_t gpa, void *buf, size_t size);
/*
 * The @nr ranges @there, by guest physical addresses, which become those of the VMM, each to one of @here, of its size: whether that was one access.
 * If not nobody knows what of it was read.
 */
bool guest_read_all(struct guest_memory *mem, const struct iovec *here, struct iovec *there, size_t nr);
/* The little-endian word that all tables of an ITS consist of. As a rule it is in the page that the one before it was in. */
static inline int guest_read_u64(struct guest_memory *mem, uint64_t gpa, uint64_t *value)
{
	int ret = 0;

	if (mem->bytes && gpa - mem->page <= GUEST_PAGE - sizeof(*value))
		memcpy(value, &mem->bytes[gpa - mem->page], sizeof(*value));
	else
		ret = guest_read(mem, gpa, value, sizeof(*value));
	*value = le64toh(*value);
	return ret;
}
/* How many of the @nr such words at @gpa, as far as they are in the page that was read last, are 0 before the first that is not. */
uint64_t guest_count_zeroes(const struct guest_memory *mem, uint64_t gpa, uint64_t nr);
/* 0 or -EFAULT. */
int guest_write(struct guest_memory *mem, uint64_t gpa, const void *buf, size_t size);

#endif
