/* SPDX-License-Identifier: GPL-2.0-only */
/* One vCPU: its registers, power state, events, and the exit it was caught in. */
#ifndef KVM_VGIC_STATE_VCPU_H
#define KVM_VGIC_STATE_VCPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uapi/kvm_arm64.h"

#define VCPU_REG_MAX 256       /* bytes: the largest register KVM_GET_ONE_REG moves */
#define VCPU_MAX_REGS 4096     /* a bound on KVM_GET_REG_LIST; 6.12 answers some 260, SVE adds 700 */
#define VCPU_MAX_MAPS 16       /* mappings of one vCPU fd in its process */
#define VCPU_RUN_MAX (2 << 16) /* bytes of the vCPU mapping: two pages of the largest arm64 page size */

struct vcpu_reg {
	uint64_t id;
	_Alignas(16)
		uint8_t value[VCPU_REG_MAX]; /* kvm_reg_size(id) bytes, guest byte order as KVM gives them */
};

/* What a VMM can make of a mapping beyond its protection. In images: the values stay. */
#define VCPU_MAP_LOCKED 0x001u	 /* mlock() */
#define VCPU_MAP_ONFAULT 0x002u	 /* with LOCKED: mlock2(MLOCK_ONFAULT) */
#define VCPU_MAP_DONTFORK 0x004u /* this and the next ones by madvise() */
#define VCPU_MAP_DONTDUMP 0x008u
#define VCPU_MAP_SEQUENTIAL 0x010u
#define VCPU_MAP_RANDOM 0x020u
#define VCPU_MAP_HUGEPAGE 0x040u
#define VCPU_MAP_NOHUGEPAGE 0x080u
#define VCPU_MAP_NORESERVE 0x100u /* of mmap() */
#define VCPU_MAP_KNOWN_FLAGS 0x1ffu

/* A mapping of the vCPU fd in the process that owns the VM, as /proc/PID/smaps has it. */
struct vcpu_map {
	uint64_t start, size, offset; /* bytes */
	uint32_t prot;		      /* PROT_* */
	uint32_t flags;		      /* VCPU_MAP_* */
};

/*
 * What KVM still owes the guest at the next KVM_RUN: an MMIO access that user
 * space was asked to serve. No getter shows it; see docs/architecture.md.
 */
enum vcpu_pending {
	VCPU_PENDING_NONE,
	VCPU_PENDING_READ,
	VCPU_PENDING_WRITE,
};

struct vcpu_state {
	uint32_t idx; /* creation order: what redistributors and routes are numbered by */
	uint32_t id;  /* what the VMM passed to KVM_CREATE_VCPU */
	int32_t fd;   /* its number in the process */
	uint64_t mpidr;
	int32_t vtid; /* the thread that last ran it, in its innermost pid namespace; 0: it has ended, or never was */

	struct vcpu_reg *regs;
	size_t nr_regs;
	uint32_t vtimer_irq, ptimer_irq; /* INTID of the PPI, 16 to 31 */
	uint32_t mp_state;		 /* KVM_MP_STATE_* */
	struct arm64_vcpu_events events;
	uint32_t pmu_irq;  /* INTID of the PMU's overflow interrupt; 0: not set */
	bool pmu_created;  /* KVM_ARM_VCPU_PMU_V3_INIT was made */
	uint64_t pvtime;   /* IPA of its stolen time structure, or VCPU_NO_PVTIME */
	bool sigset_active; /* KVM_SET_SIGNAL_MASK was made, with: */
	uint64_t sigset;
	struct arm64_guest_debug debug; /* control 0: its debugger is not attached */

	bool mmio_needed; /* of struct kvm_vcpu, at the dump; not in the image: pending is what it means */
	bool marked;	  /* its page (kvm_run_has_mark()), when the probe saw it; not in the image */
	enum vcpu_pending pending;
	struct vcpu_map maps[VCPU_MAX_MAPS];
	size_t nr_maps;
	uint8_t *run; /* the bytes of struct kvm_run and of the page after it */
	size_t run_size;
};

#define VCPU_NO_PVTIME (~0ull)
#define PVTIME_SIZE 64 /* bytes of struct pvclock_vcpu_stolen_time, which KVM writes */

struct vm_state;
struct remote;
struct remote_call;
struct batch;

/*
 * Adds to @b what writes @reg of @vcpu: to @run, where that can have it, else by a new run. Answers the run: that is @run for the
 * register which follows, if that is the next one added. NULL: a new one.
 */
struct remote_call *vcpu_reg_add_set(struct batch *b, const struct vcpu_state *vcpu, const struct vcpu_reg *reg,
				     struct remote_call *run);

/* Runs by batch_later(), for the step of this name, what @add adds for every vCPU. 0 or a negative errno, logged. */
int vcpu_for_each(struct vm_state *vm, struct remote *remote, const char *step,
		  void (*add)(struct batch *b, struct vm_state *vm, struct vcpu_state *vcpu));

/* Steps of the two sequences (plan.c). 0 or a negative errno, logged. Facts and orders: docs/architecture.md.
 */
int vcpu_capture_mpidr(struct vm_state *vm, struct remote *remote);
int vcpu_capture_lists(struct vm_state *vm, struct remote *remote);
int vcpu_capture_regs(struct vm_state *vm, struct remote *remote);
int vcpu_capture_timers(struct vm_state *vm, struct remote *remote);
int vcpu_capture_mp_state(struct vm_state *vm, struct remote *remote);
int vcpu_capture_events(struct vm_state *vm, struct remote *remote);

int vcpu_ask_target(struct vm_state *vm, struct remote *remote); /* before vcpu_apply_init() */
int vcpu_apply_init(struct vm_state *vm, struct remote *remote);
int vcpu_apply_vector_lengths(struct vm_state *vm, struct remote *remote);
int vcpu_apply_regs(struct vm_state *vm, struct remote *remote);
int vcpu_apply_timers(struct vm_state *vm, struct remote *remote);
int vcpu_apply_events(struct vm_state *vm, struct remote *remote);
int vcpu_apply_mp_state(struct vm_state *vm, struct remote *remote);
int vcpu_apply_debug(struct vm_state *vm, struct remote *remote);
int vcpu_apply_sigsets(struct vm_state *vm, struct remote *remote);
int vcpu_apply_pvtime(struct vm_state *vm, struct remote *remote);

/* Whether KVM can write stolen time at @ipa: KVM_ARM_VCPU_PVTIME_IPA takes no other address. */
bool pvtime_has_memory(const struct vm_state *vm, uint64_t ipa);

/* KVM_GET_REG_LIST of all vCPUs; @words is to be freed, whatever vcpu_get_reg_lists() returns. */
struct vcpu_reg_lists {
	uint64_t *words;
	uint64_t room; /* registers of each, at most */
};
int vcpu_get_reg_lists(struct vm_state *vm, struct remote *remote, struct vcpu_reg_lists *lists);
struct kvm_reg_list *vcpu_reg_list(const struct vcpu_reg_lists *lists, size_t i);

/* The value of a 64-bit register of @vcpu, or NULL. */
const uint64_t *vcpu_reg_u64(const struct vcpu_state *vcpu, uint64_t id);
/* Whether two vCPUs have the same registers, in the same order: as a rule all of a VM have. */
bool vcpu_same_regs(const struct vcpu_state *a, const struct vcpu_state *b);

#endif
