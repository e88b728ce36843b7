/* SPDX-License-Identifier: GPL-2.0-only */
/* A fake VM through a dump and a restore. */
#ifndef KVM_VGIC_TEST_TRIP_H
#define KVM_VGIC_TEST_TRIP_H

#include "fake_vm.h"

/* A VM, what its dump says of it, and the copy that is to become it. */
struct trip {
	struct fake_kvm *source, *copy;
	struct vm_state *vm;
};

void trip_finish(struct trip *trip);
/* A dump of @source that must succeed, and the objects that its restore begins with. */
struct trip trip_dump(struct fake_kvm *source);
/* What a restore reads of @vm's files, which are written for it. */
struct vm_state *trip_through_images(struct vm_state *vm);
int trip_restore(struct trip *trip);
void trip_assert_same(const struct trip *trip);
void trip_assert_comes_back(struct fake_kvm *source);

#endif
