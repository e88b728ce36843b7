/* SPDX-License-Identifier: GPL-2.0-only */
/* One VM: what every other object of it hangs on. */
#ifndef KVM_VGIC_STATE_VM_H
#define KVM_VGIC_STATE_VM_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/backing.h"
#include "state/caps.h"
#include "state/eventfd.h"
#include "state/its.h"
#include "state/lpi.h"
#include "state/memslot.h"
#include "state/pmu.h"
#include "state/thread.h"
#include "state/vcpu.h"
#include "state/vgic_v2.h"
#include "state/vgic_v3.h"
#include "state/vgic_v5.h"
#include "uapi/kvm_arm64.h"

#define VM_MAX_VCPUS 512
#define VM_MAX_SLOTS 32767 /* KVM_USER_MEM_SLOTS */
#define VM_MAX_FILES 4096

enum kvm_file_kind {
	KVM_FILE_SYSTEM, /* /dev/kvm */
	KVM_FILE_VM,
	KVM_FILE_VCPU, /* index: vcpu_idx */
	KVM_FILE_VGIC,
	KVM_FILE_ITS, /* index: of vm_state.itses */
	KVM_FILE_VM_STATS = 8,
	KVM_FILE_VCPU_STATS, /* index: vcpu_idx */
};

/* A file description of the tree that CRIU handed to DUMP_EXT_FILE under its own id. */
struct kvm_file {
	uint32_t id;
	enum kvm_file_kind kind;
	uint32_t index;
	uint32_t flags; /* O_*, of KVM_FILE_FLAGS */
	uint64_t pos;	/* bytes that were read of a statistics file */
};
#define KVM_FILE_FLAGS (O_ACCMODE | O_APPEND | O_NONBLOCK)
#define KVM_FILE_MAX_POS (1u << 20)

struct vm_state {
	uint32_t id;	    /* 1, 2, ... in the order of discovery: the number in names of images */
	int32_t vpid;	    /* owner's pid in its innermost namespace: pids of criu's own do not last */
	uint32_t page_size; /* bytes, of the host that dumped */
	char boot_id[37];   /* of the host that dumped: its counters mean nothing in another boot */

	uint32_t ipa_bits;
	uint64_t features;   /* bitmap of KVM_ARM_VCPU_*, the same for each vCPU of a VM */
	struct irqfd_flush flush; /* of a dump; not in images */
	struct arm64_vcpu_init init; /* of a restore, what this host makes of that; not in images */
	uint64_t vtimer_cnt; /* KVM_REG_ARM_TIMER_CNT, the largest any vCPU read */
	uint64_t ptimer_cnt; /* KVM_REG_ARM_PTIMER_CNT, likewise */
	bool host_checked;   /* host_check() has said how this host's registers differ; not in the image */
	bool ptimer_offset;  /* the VM's physical counter was not the host's */
	bool counter_offset; /* its counters follow KVM_ARM_SET_COUNTER_OFFSET */
	uint32_t cntfrq;     /* Hz: what the guest's counters count in */
	uint64_t realtime;   /* ns since the Epoch, when the counters were read */
	uint32_t caps;	     /* VM_CAP_*: enabled for the VM; then what they were given: */
	uint32_t halt_poll_ns;
	uint32_t manual_dirty_log; /* KVM_DIRTY_LOG_* */
	uint64_t split_chunk;	   /* bytes */
	struct smccc_filter smccc_filter;
	struct pmu_filter pmu_filter;

	int32_t fd;	   /* its number in the process */
	int32_t park_base; /* fd numbers from here up are free in the process, for use during restore */

	struct memslot *slots;
	size_t nr_slots;
	struct backing *backings;
	size_t nr_backings;
	struct vcpu_state *vcpus; /* in creation order: vcpus[i].idx == i */
	size_t nr_vcpus;
	/* One of the three. */
	struct vgic_v2_state *vgic_v2;
	struct vgic_v3_state *vgic;
	struct vgic_v5_state *vgic_v5;
	struct irqfd_state *irqfds;
	size_t nr_irqfds;
	struct ioeventfd_state *ioeventfds;
	size_t nr_ioeventfds;
	struct irq_routing routing;
	struct coalesced_zone *zones;
	size_t nr_zones;
	struct its_state *itses;
	size_t nr_itses;
	struct lpi_state *lpi; /* NULL without an ITS */

	/* Not in images: where they go, at a dump; and what image_write_early() is for is checked and written, and has not changed since. */
	const struct image_target *images;
	bool early_written;

	struct kvm_file *files;
	size_t nr_files;
	struct thread_state *threads; /* of its owner; with the first of that one's VMs */
	size_t nr_threads;
};

struct remote;

/*
 * Creates the VM, its GIC, its vCPUs and its ITSes in the mm of @remote: @parked, at fd numbers
 * vm_parked_fd(), else wherever there is room; @vm is pointed to them. They hold no state yet: no vCPU of
 * them can run. 0 or a negative errno, logged.
 */
int vm_create(struct vm_state *vm, struct remote *remote, bool parked);

/* Where vm_create() leaves its fds, in the order VM, GIC, vCPUs, ITSes; vm_nr_parked() of them from vm->park_base.
 */
int vm_parked_fd(const struct vm_state *vm, enum kvm_file_kind kind, uint32_t index);
uint32_t vm_nr_parked(const struct vm_state *vm);

/* Points @vm to them, which were made in another process's copy of it. */
void vm_use_parked(struct vm_state *vm);

/* The fd that @vm has for the object of a file; -1 of /dev/kvm. */
int vm_object_fd(const struct vm_state *vm, enum kvm_file_kind kind, uint32_t index);

/* Its GIC: KVM_DEV_TYPE_ARM_VGIC_*, what messages call it, and the number of its fd in the process. */
uint32_t vm_gic_type(const struct vm_state *vm);
const char *vm_gic_name(const struct vm_state *vm);
int vm_gic_fd(const struct vm_state *vm);
void vm_set_gic_fd(struct vm_state *vm, int fd);

/* The memslot that has @ipa, or NULL. */
const struct memslot *vm_slot_at(const struct vm_state *vm, uint64_t ipa);

/* The one in which the guest's access at @ipa ends, or NULL: a write to one that is read-only is MMIO. */
const struct memslot *vm_memory_at(const struct vm_state *vm, uint64_t ipa, bool is_write);

/* Bytes of a remote's room that the steps of both sequences need; and of memory for their calls (remote/task.h). */
size_t vm_room(const struct vm_state *vm);
size_t vm_scratch(const struct vm_state *vm);
/* Likewise, for a dump that is undone. */
size_t vm_undo_scratch(const struct vm_state *vm);

/* A step of the restore sequence (plan.c). 0 or a negative errno, logged. */
int vm_close_parked(struct vm_state *vm, struct remote *remote);

/* Frees @vm and all it holds. NULL is nothing to free. */
void vm_state_free(struct vm_state *vm);

#endif
