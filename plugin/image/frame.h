/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CRIU's framing of an image file, and the seal at its end. Knows that entries
 * carry a payload, not what is in it.
 */
#ifndef KVM_VGIC_IMAGE_FRAME_H
#define KVM_VGIC_IMAGE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "image/image.h"

#define IMAGE_VM "kvm-vm.img"
#define IMAGE_VCPU "kvm-vcpu-%u.img"
#define IMAGE_VCPU_EVENTS "kvm-vcpu-events-%u.img"
#define IMAGE_VGIC "kvm-vgic-%u.img"
#define IMAGE_ITS "kvm-its-%u.img"
#define IMAGE_THREAD "kvm-thread-%u.img"

#define FRAME_NAME_MAX 48
#define FRAME_FILE_MAX (64u << 20)
#define FRAME_ENTRY_MAX (48u << 20) /* DIRTY_LOG_MAX_PAGES bits, and all else of a VM */
#define FRAME_SEAL_SIZE 13 /* the last entry: size, tag, xxh64 */

/* A kind of file: one per .proto, each with a version of its own. */
struct frame_kind {
	uint32_t magic;
	uint32_t major, minor;
	const ProtobufCMessageDescriptor *payload;
	const ProtobufCMessageDescriptor *other; /* the second type of its entries; NULL: there is none */
};

extern const struct frame_kind frame_vm, frame_vcpu, frame_vcpu_events, frame_vgic, frame_its,
	frame_thread;

/* A file being written: in memory until frame_write(). The first error sticks. */
struct frame_out {
	char file[FRAME_NAME_MAX];
	const struct frame_kind *kind;
	uint8_t *buf;
	size_t len, cap;
	int err;
};

void frame_begin(struct frame_out *out, const char *file, const struct frame_kind *kind,
		 const struct image_dump_id *dump);
void frame_add(struct frame_out *out, const ProtobufCMessage *payload);
/* Seals the file, writes it to @dirfd under a temporary name, and frees @out whatever comes of it. 0 or a negative errno, logged. */
int frame_write(struct frame_out *out, int dirfd, uint64_t *seal);
/* Gives what was written of file @image its name: all of the new file or all of a former one is there. 0 or a negative errno, logged. */
int frame_commit(const char *image, int dirfd);
/* Both. */
int frame_finish(struct frame_out *out, int dirfd, uint64_t *seal);
/* Takes away what may have been written of @image, and has not got its name. */
void frame_forget(const char *image, int dirfd);
/* Frees @out without writing anything. */
void frame_drop(struct frame_out *out);

/* A file being read: whole, its seal and header already checked by frame_open(). */
struct frame_in {
	char file[FRAME_NAME_MAX];
	const struct frame_kind *kind;
	uint8_t *buf;
	size_t pos, end;    /* of the entries; the seal follows */
	unsigned int entry; /* number of the entry last read; the header is 1 */
	uint32_t minor;
	struct image_dump_id dump;
	uint64_t seal;
};

int frame_open(struct frame_in *in, int dirfd, const char *file, const struct frame_kind *kind);
/* 1 and the next payload in @msg, whose descriptor says which it is, for frame_free(); 0 at the end; or a negative errno. */
int frame_next(struct frame_in *in, ProtobufCMessage **msg);
void frame_free(ProtobufCMessage *msg);
void frame_close(struct frame_in *in);

#endif
