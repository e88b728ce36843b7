/* SPDX-License-Identifier: GPL-2.0-only */
/* The VMs that plans are tried on: one caught in the middle of everything, one just created. */
#ifndef KVM_VGIC_TEST_FAKE_VM_H
#define KVM_VGIC_TEST_FAKE_VM_H

#include "fake_kvm.h"
#include "plan.h"

#define FAKE_SYSTEM_FD 4 /* /dev/kvm */
#define FAKE_VM_FD 5
#define FAKE_VGIC_FD 6
#define FAKE_VCPU_FD 10
#define FAKE_ITS_FD 24
#define FAKE_PARK_BASE 64
#define FAKE_EVENTFD_FD 40
#define FAKE_VPID 17
#define FAKE_OTHER_VPID 18 /* of a process beside the VMM */
#define FAKE_OTHER_FD 3	   /* its eventfd */

/* Features of vCPUs: all that a VM of this project can have. AArch32 excludes some. */
#define FAKE_FEATURES                                                                                        \
	(1u << KVM_ARM_VCPU_PSCI_0_2 | 1u << KVM_ARM_VCPU_PMU_V3 | 1u << KVM_ARM_VCPU_SVE |                  \
	 1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1u << KVM_ARM_VCPU_PTRAUTH_GENERIC)
#define FAKE_PVTIME(i) (0x47ff0000u + 64 * (i)) /* where vCPU i has its stolen time, if it has */
#define FAKE_SIGUSR1 (1ull << 9)		  /* what sigsets of vCPUs let through */

/* MMIO that the guest of fake_running() does on vCPU 0 (a read) and 1 (a write). */
#define FAKE_READ_PHYS 0x9000010u
#define FAKE_WRITE_PHYS 0x9000020u
#define FAKE_SPI_UNROUTED 37	/* pending, and never routed: vCPU 0's, whose MPIDR is not 0 */
#define FAKE_SPI_ROUTED_AWAY 36 /* active on the last vCPU, routed to vCPU 0 since */
/* Of a GICv2. */
#define FAKE_PPI_RAISED 19	/* its line is raised on vCPU 0, by the VMM */
#define FAKE_SPI_BOTH_WAYS 38	/* its line is raised, and it is pending without that too */
#define FAKE_SPI_STALE 39	/* its line was raised before the guest made it edge-triggered */

struct fake_shape {
	size_t nr_vcpus;
	uint32_t nr_irqs;
	bool legacy_redist;
	uint32_t pri_bits; /* 5 to 7; 0: 7 */
	bool itses;	   /* it has FAKE_NR_ITSES of them */
	uint32_t features; /* of its vCPUs; 0: FAKE_FEATURES */
	bool counter_offset; /* by KVM_ARM_SET_COUNTER_OFFSET */
	bool v2;	     /* a GICv2 instead */
	/* A GICv5 instead: with nr_irqs SPIs and 1 << lpi_bits LPIs, of which 0 is none. */
	bool v5;
	enum model_abi abi;
	uint32_t lpi_bits;
};

/*
 * ITSes of a VM that has any: 0 is enabled, with a flat device table; 1 is not, has a two-level one and
 * commands that were not processed; 2 has no address. Their tables, and those of LPIs, are in a memslot of
 * their own, the last one.
 */
#define FAKE_NR_ITSES 3
#define FAKE_RAM 0x80000000u
#define FAKE_RAM_SIZE 0x1e0000u
#define FAKE_RAM_HVA 0xffff40000000u
#define FAKE_DEVICE_TABLE FAKE_RAM		 /* of ITS 0: 5 pages of 64 KiB */
#define FAKE_COLLECTION_TABLE(its) (FAKE_RAM + ((its) ? 0x90000 : 0x50000))
#define FAKE_L1_TABLE (FAKE_RAM + 0x60000) /* of ITS 1 */
#define FAKE_L2_TABLE(i) (FAKE_RAM + ((i) ? 0x80000 : 0x70000)) /* of its level 1 entries 0 and 4 */
#define FAKE_LPI_CONFIG (FAKE_RAM + 0xa0000)
#define FAKE_LPI_PENDING(vcpu) (FAKE_RAM + 0xb0000 + 0x10000 * (vcpu))
#define FAKE_ITT(i) (FAKE_RAM + 0x130000 + 0x1000 * (i)) /* of the i-th device of all */
#define FAKE_LARGE_ITT (FAKE_RAM + 0x140000)		 /* of 65536 events */
#define FAKE_LPI_IST FAKE_RAM /* of a GICv5 */
#define FAKE_QUEUE(its) (FAKE_RAM + 0x1c0000 + 0x10000 * (its))
/* DeviceIDs: of ITS 0 and of ITS 1, further apart than an entry can say. */
#define FAKE_DEVICE_A 3u     /* events 0, 1, 5 */
#define FAKE_DEVICE_B 16500u /* events 0 and 65535 */
#define FAKE_DEVICE_C 40000u
#define FAKE_DEVICE_D 8u     /* of ITS 1: events 0 to 3 */
#define FAKE_DEVICE_E 33000u
/* LPIs, by what becomes of them. */
#define FAKE_LPI_PENDS 8192u	/* pending and enabled, on the first vCPU */
#define FAKE_LPI_IDLE 8193u	/* enabled */
#define FAKE_LPI_MASKED 8200u	/* pending, not enabled */
#define FAKE_LPI_LAST 65535u	/* pending, on the last vCPU */
#define FAKE_LPI_UNMAPPED 8301u /* of a collection without a vCPU */

/*
 * A VM that runs, as the dump finds it. Of its vCPUs, by index: 0 and 1 owe an MMIO read and a
 * write, 1 is stopped meanwhile; 2 has been served; 3 is in WFI; 4 is stopped and owes a read; 5 is
 * stopped; 6 has an SError pending; 7 is suspended. 0, 3 and 6 have a debugger, 0, 2 and 6 steal time, 0, 1 and 5
 * signal masks; all have a PMU, but that 5 has no interrupt for it and 7 has not initialised it: they have not run.
 */
struct fake_kvm *fake_running(struct fake_shape shape);
/* What discovery makes of it. */
struct vm_state *fake_discovered(const struct fake_kvm *kvm);

/*
 * As vm_create() leaves a copy of @running, whose fds are parked, with its memory as CRIU has it:
 * copies in the place of the vCPUs' mappings. @vm is pointed to the parked fds.
 */
struct fake_kvm *fake_created(const struct fake_kvm *running, struct vm_state *vm);

/* The KVM of another host, which has all capabilities and no VM yet: @vm's is for the caller of KVM_CREATE_VM. */
struct fake_kvm *fake_host(const struct fake_kvm *running, struct vm_state *vm);

/* A dump of @kvm that must succeed; the VM is for vm_state_free(). */
struct vm_state *fake_dump(struct fake_kvm *kvm);

/* Whether @line can follow the KVM_RUN of a replay, also a failing one: no vCPU runs or is stepped then. */
bool fake_ends_replay(const char *line);

/*
 * plan_run() with a heading in the record for each step, and without its error line. Stops as it does;
 * *@failed is then the step that failed.
 */
int fake_steps(const struct plan_step *steps, size_t nr, struct vm_state *vm, struct fake_kvm *kvm,
	       size_t *failed);

#endif
