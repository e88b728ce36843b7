/* SPDX-License-Identifier: GPL-2.0-only */
/* The VMs that plans are tried on: one caught in the middle of everything, one just created. */
#ifndef KVM_VGIC_TEST_FAKE_VM_H
#define KVM_VGIC_TEST_FAKE_VM_H

#include "fake_kvm.h"
#include "plan.h"

#define FAKE_VM_FD 5
#define FAKE_VGIC_FD 6
#define FAKE_VCPU_FD 10
#define FAKE_PARK_BASE 64

/* MMIO that the guest of fake_running() does on vCPU 0 (a read) and 1 (a write). */
#define FAKE_READ_PHYS 0x9000010u
#define FAKE_WRITE_PHYS 0x9000020u
#define FAKE_SPI_UNROUTED 37	/* pending, and never routed: vCPU 0's, whose MPIDR is not 0 */
#define FAKE_SPI_ROUTED_AWAY 36 /* active on the last vCPU, routed to vCPU 0 since */

struct fake_shape {
	size_t nr_vcpus;
	uint32_t nr_irqs;
	bool legacy_redist;
	uint32_t pri_bits; /* 5 to 7; 0: 7 */
};

/*
 * A VM that runs, as the dump finds it. Of its vCPUs, by index: 0 and 1 owe an MMIO read and a
 * write, 1 is stopped meanwhile; 2 has been served; 3 is in WFI; 4 is stopped and owes a read; 5 is
 * stopped; 6 has an SError pending; 7 is suspended.
 */
struct fake_kvm *fake_running(struct fake_shape shape);
/* What discovery makes of it. */
struct vm_state *fake_discovered(const struct fake_kvm *kvm);

/*
 * As vm_create() leaves a copy of @running, whose fds are parked, with its memory as CRIU has it:
 * copies in the place of the vCPUs' mappings. @vm is pointed to the parked fds.
 */
struct fake_kvm *fake_created(const struct fake_kvm *running, struct vm_state *vm);

/* A dump of @kvm that must succeed; the VM is for vm_state_free(). */
struct vm_state *fake_dump(struct fake_kvm *kvm);

/*
 * plan_run() with a heading in the record for each step, and without its error line. Stops as it does;
 * *@failed is then the step that failed.
 */
int fake_steps(const struct plan_step *steps, size_t nr, struct vm_state *vm, struct fake_kvm *kvm,
	       size_t *failed);

#endif
