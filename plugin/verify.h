/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a restore asks before anything is forked: of the images, and of this host. criu's own, at
 * init(RESTORE), and criu-kvm's.
 */
#ifndef KVM_VGIC_VERIFY_H
#define KVM_VGIC_VERIFY_H

#include "image/image.h"

/* Reads and checks all images in @dirfd, for image_free_all(). 0 or a negative errno, logged but for -ENOENT: none. */
int verify_images(int dirfd, struct vm_state ***vms, size_t *n, struct image_files *files);

/* Whether this host can carry each of @vms: likewise. */
int verify_host(struct vm_state *const *vms, size_t n);

#endif
