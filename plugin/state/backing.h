/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory that is in a file: CRIU's image of a mapping of a file that has a
 * name is that name. The file is the user's to keep; here is what tells whether he did.
 */
#ifndef KVM_VGIC_STATE_BACKING_H
#define KVM_VGIC_STATE_BACKING_H

#include <stdint.h>

#define VM_MAX_BACKINGS 4096

/* Bytes of a file that a memslot shows to the guest: one for each mapping under it. */
struct backing {
	char *path;	       /* from the root of its owner's mount namespace */
	uint64_t file_size;    /* bytes */
	uint64_t offset, size; /* bytes, none beyond the end of the file */
	uint32_t slot;
	uint64_t gpa;  /* of the first of them */
	uint64_t hash; /* backing_hash() */
	/* Of no consequence, but a hint when the content is not what it was. */
	uint64_t inode;
	int64_t mtime; /* seconds */
};

struct vm_state;

/*
 * What @b->offset and @b->size are in @fd, in *@hash: 0, and for each block of
 * BACKING_BLOCK bytes that is not all zeros its xxh64, with the sum of the hash so
 * far and the block's number, from 1, as seed. So a hole is the same as zeros, and
 * costs no time. @give_up, if there is one, is asked now and then: what it
 * answers but 0 is returned. 0 or a negative errno.
 */
#define BACKING_BLOCK (256u << 10)
int backing_hash(const struct backing *b, int fd, int (*give_up)(void), uint64_t *hash);

/*
 * Whether the files under @vm's memslots are what they were at the dump: 0, or a negative errno, logged. Their paths
 * begin at @root, a folder; or, AT_FDCWD, where those of this process do.
 */
int backing_check(const struct vm_state *vm, int root);

#endif
