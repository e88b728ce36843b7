/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The images of a dump: struct vm_state to files and back. docs/image-format.md
 * has the format; nothing of protobuf is seen beyond this header.
 *
 * All functions answer 0 or a negative errno, having logged one error that names
 * the file, the entry and the field.
 */
#ifndef KVM_VGIC_IMAGE_IMAGE_H
#define KVM_VGIC_IMAGE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "state/vm.h"

#define IMAGE_MAX_VMS 64

/* Names one dump, in every file of it: files of two dumps do not mix. */
struct image_dump_id {
	uint8_t bytes[16];
};

/* Checksums of the files of one VM; kvm-vm.img holds them. */
struct image_seals {
	uint64_t vcpu, vcpu_events, vgic, its, thread;
};

/* Files of the tree that are of no VM: /dev/kvm. */
struct image_files {
	struct kvm_file *list;
	size_t nr;
};

int image_new_dump_id(struct image_dump_id *dump);

/*
 * The rules of image_read_all() for @vms, except that files may be missing yet:
 * a dump that its own restore would refuse fails before anything is written.
 * Writing itself checks nothing but sizes.
 */
int image_check(const struct vm_state *const *vms, size_t n);

/* Where the files of a VM go, and whose they are. */
struct image_target {
	int dirfd;
	const struct image_dump_id *dump;
	struct image_seals *seals; /* of the files that have been written */
};

/*
 * A step of the dump sequence (plan.c): what image_check() and image_write_vm_parts() do of the GIC, of ITSes and LPIs, and the image of
 * threads, done as soon as these have been read, and not again then. It needs nothing of the vCPUs but their number and affinities. The
 * files have no name yet. Nothing where vm->images is NULL. 0 or a negative errno, logged.
 */
int image_write_early(struct vm_state *vm, struct remote *remote);

/* Writes all files of @vm but kvm-vm.img, and gives them their names when all are written: what had these names is kept where one cannot be written. */
int image_write_vm_parts(const struct image_target *target, const struct vm_state *vm);

/* Takes away what has been written of @vm and has no name yet: of a dump that has failed. */
void image_drop_vm_parts(const struct image_target *target, const struct vm_state *vm);

/* Writes kvm-vm.img, atomically: again each time that a file is added to a VM, or to @files (NULL: none). */
int image_write_index(int dirfd, const struct image_dump_id *dump, const struct vm_state *const *vms,
		      const struct image_seals *seals, size_t n, const struct image_files *files);

/*
 * Reads and checks all of a dump. -ENOENT: there is no kvm-vm.img; every other
 * refusal of what the files hold, a missing one included, is -EINVAL.
 */
int image_read_all(int dirfd, struct vm_state ***vms, size_t *n, struct image_files *files);

/* Frees what image_read_all() gave. */
void image_free_all(struct vm_state **vms, size_t n, struct image_files *files);

#endif
