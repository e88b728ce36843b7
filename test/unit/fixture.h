/* SPDX-License-Identifier: GPL-2.0-only */
/* A VM with something in every field, and the images of it. */
#ifndef KVM_VGIC_TEST_FIXTURE_H
#define KVM_VGIC_TEST_FIXTURE_H

#include "image/image.h"

#define FIXTURE_ITSES 3 /* of each VM; the last has no address */

/*
 * A valid VM, for vm_state_free(). Each array has room for one more. No memory
 * is no test: it aborts.
 */
struct vm_state *fixture_vm(size_t nr_vcpus, uint32_t nr_irqs);
/* The same as VM @id: another process, other file ids. */
struct vm_state *fixture_vm_id(uint32_t id, size_t nr_vcpus, uint32_t nr_irqs);

/* A VM with a GICv2, and so with 8 vCPUs at most and without ITSes. */
struct vm_state *fixture_vm_v2(size_t nr_vcpus, uint32_t nr_irqs);

/* A VM with a GICv5 of @nr_spis SPIs and 1 << @lpi_bits LPIs (0: none), and so without ITSes. */
struct vm_state *fixture_vm_v5(size_t nr_vcpus, uint32_t nr_spis, uint32_t lpi_bits);

/* NULL, or the name of the first field in which the two differ. */
const char *fixture_diff(const struct vm_state *a, const struct vm_state *b);

/* A new empty directory; fixture_close() removes it and the files in it. */
int fixture_dir(void);
void fixture_close(int dirfd);

/* Files of @vm but kvm-vm.img; and all files of @n VMs. */
int fixture_write_parts(int dirfd, const struct image_dump_id *dump, const struct vm_state *vm, struct image_seals *seals);
int fixture_write(int dirfd, const struct image_dump_id *dump, struct vm_state **vms, size_t n);
/* And @files in kvm-vm.img, which are of none of them. */
int fixture_write_with(int dirfd, const struct image_dump_id *dump, struct vm_state **vms, size_t n,
		       const struct image_files *files);

extern const struct image_dump_id fixture_dump;

#endif
