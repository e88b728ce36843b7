/* SPDX-License-Identifier: GPL-2.0-only */
/* A valid set of images, of which one file is exchanged for one of any content, rightly sealed. */
#ifndef KVM_VGIC_TEST_FORGE_H
#define KVM_VGIC_TEST_FORGE_H

#include "image/frame.h"

enum forge_file {
	FORGE_VM,
	FORGE_VCPU,
	FORGE_VCPU_EVENTS,
	FORGE_VGIC,
	FORGE_ITS,
	FORGE_THREAD,
	FORGE_NR_FILES,
};

struct forge {
	struct vm_state *vm;
	struct image_seals seals;
	int dir;
};

void forge_init(struct forge *forge, size_t nr_vcpus, uint32_t nr_irqs);
/* Of @vm, which forge_fini() frees. */
void forge_init_of(struct forge *forge, struct vm_state *vm);
void forge_fini(struct forge *forge);
/* The valid set again. */
void forge_reset(struct forge *forge);

const char *forge_name(enum forge_file file);
const struct frame_kind *forge_kind(enum forge_file file);

/* frame_begin() to forge_finish(): a file with any bytes for entries. */
void forge_begin(struct frame_out *out, enum forge_file file);
void forge_bytes(struct frame_out *out, const void *bytes, size_t size);
/* Puts the file into the set, and its seal into @forge. */
void forge_put(struct forge *forge, enum forge_file file, struct frame_out *out);
/* And into kvm-vm.img. */
void forge_finish(struct forge *forge, enum forge_file file, struct frame_out *out);

#endif
