/* SPDX-License-Identifier: GPL-2.0-only */
/* One VM: what every other object of it hangs on. */
#ifndef KVM_VGIC_STATE_VM_H
#define KVM_VGIC_STATE_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/backing.h"
#include "state/its.h"
#include "state/lpi.h"
#include "state/pmu.h"
#include "state/thread.h"
#include "state/vcpu.h"
#include "state/vgic_v3.h"
#include "state/vgic_v5.h"

#define VM_MAX_VCPUS 512
#define VM_MAX_SLOTS 32768
#define VM_MAX_FILES 4096

/* Capabilities of the VM that change what its guest meets. In images: the values stay. */
#define VM_CAP_NISV_TO_USER 0x1u
#define VM_CAP_SYSTEM_SUSPEND 0x2u
#define VM_CAP_KNOWN 0x3u

struct memslot {
	uint32_t slot;		 /* slot id; bits 31:16 the address space, 0 on arm64 */
	uint32_t flags;		 /* KVM_MEM_* */
	uint64_t gpa, size, hva; /* bytes */
};

enum kvm_file_kind {
	KVM_FILE_SYSTEM, /* /dev/kvm */
	KVM_FILE_VM,
	KVM_FILE_VCPU, /* index: vcpu_idx */
	KVM_FILE_VGIC,
	KVM_FILE_ITS, /* index: of vm_state.itses */
};

/* A file description of the process that CRIU handed to DUMP_EXT_FILE under its own id. */
struct kvm_file {
	uint32_t id;
	enum kvm_file_kind kind;
	uint32_t index;
};

struct vm_state {
	uint32_t id;	    /* 1, 2, ... in the order of discovery: the number in names of images */
	int32_t vpid;	    /* owner's pid in its innermost namespace: pids of criu's own do not last */
	uint32_t page_size; /* bytes, of the host that dumped */
	char boot_id[37];   /* of the host that dumped: its counters mean nothing in another boot */

	uint32_t ipa_bits;
	uint64_t features;   /* bitmap of KVM_ARM_VCPU_*, the same for each vCPU of a VM */
	uint64_t vtimer_cnt; /* KVM_REG_ARM_TIMER_CNT, the largest any vCPU read */
	uint64_t ptimer_cnt; /* KVM_REG_ARM_PTIMER_CNT, likewise */
	bool host_checked;   /* host_check() has said how this host's registers differ; not in the image */
	bool ptimer_offset;  /* the VM's physical counter was not the host's */
	bool counter_offset; /* its counters follow KVM_ARM_SET_COUNTER_OFFSET */
	uint32_t cntfrq;     /* Hz: what the guest's counters count in */
	uint64_t realtime;   /* ns since the Epoch, when the counters were read */
	uint32_t caps;	     /* VM_CAP_*: enabled for the VM */
	struct pmu_filter pmu_filter;

	int32_t fd;	   /* its number in the process */
	int32_t park_base; /* fd numbers from here up are free in the process, for use during restore */

	struct memslot *slots;
	size_t nr_slots;
	struct backing *backings;
	size_t nr_backings;
	struct vcpu_state *vcpus; /* in creation order: vcpus[i].idx == i */
	size_t nr_vcpus;
	/* One of the two. */
	struct vgic_v3_state *vgic;
	struct vgic_v5_state *vgic_v5;
	struct its_state *itses;
	size_t nr_itses;
	struct lpi_state *lpi; /* NULL without an ITS */

	struct kvm_file *files;
	size_t nr_files;
	struct thread_state *threads; /* of the VM's owner, which its vCPUs' are among */
	size_t nr_threads;
};

struct remote;

/*
 * Creates the VM, its GIC, its vCPUs and its ITSes in this process, at fd numbers
 * vm_parked_*(). They hold no state yet: no vCPU of them can run. 0 or a negative
 * errno, logged.
 */
int vm_create(const struct vm_state *vm);

/* Where vm_create() leaves its fds, in the order VM, GIC, vCPUs, ITSes; vm_nr_parked() of them from vm->park_base.
 */
int vm_parked_fd(const struct vm_state *vm, enum kvm_file_kind kind, uint32_t index);
uint32_t vm_nr_parked(const struct vm_state *vm);

/* The number of its GIC's fd in the process. */
int vm_gic_fd(const struct vm_state *vm);

/* The memslot that has @ipa, or NULL. */
const struct memslot *vm_slot_at(const struct vm_state *vm, uint64_t ipa);

/* The one in which the guest's access at @ipa ends, or NULL: a write to one that is read-only is MMIO. */
const struct memslot *vm_memory_at(const struct vm_state *vm, uint64_t ipa, bool is_write);

/* Bytes of a remote's room that the steps of both sequences need. */
size_t vm_room(const struct vm_state *vm);

/* Steps of the restore sequence (plan.c). 0 or a negative errno, logged. */
int vm_apply_caps(struct vm_state *vm, struct remote *remote);
int vm_apply_memslots(struct vm_state *vm, struct remote *remote);
int vm_close_parked(struct vm_state *vm, struct remote *remote);

/* Frees @vm and all it holds. NULL is nothing to free. */
void vm_state_free(struct vm_state *vm);

#endif
