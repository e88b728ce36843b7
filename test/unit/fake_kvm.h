/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fake VMM with a fake KVM under it, behind struct remote: it executes the calls
 * of a plan on a small model of one VM, records each as a readable line, and fails the
 * one it is told to. The model keeps the rules of the kernel that a wrong order would
 * break in silence: what is pending is queued at once or never, an active interrupt
 * stays with its vCPU, a vCPU that runs unmasked takes its interrupts.
 */
#ifndef KVM_VGIC_TEST_FAKE_KVM_H
#define KVM_VGIC_TEST_FAKE_KVM_H

#include "../model/vgic_v5_model.h"
#include "remote/remote.h"
#include "state/vm.h"

#define FAKE_PAGE 4096u
#define FAKE_ROOM 0x7e0000000000u /* remote.room */
#define FAKE_ROOM_SIZE (4u << 20)
#define FAKE_VCPUS 8
#define FAKE_REGS 48
#define FAKE_FDS 128
#define FAKE_MAPS 64
#define FAKE_SLOTS 8
#define FAKE_REGIONS 80
#define FAKE_ICC_REGS 15
#define FAKE_ITSES 4
#define FAKE_DEVICES 8 /* of an ITS */
#define FAKE_EVENTS 8  /* of a device */
#define FAKE_COLLECTIONS 8
#define FAKE_COMMANDS 128 /* of a queue of one page */
#define FAKE_LPIS 64
#define FAKE_INVARIANTS 32
#define FAKE_CAPS 24
#define FAKE_SMCCC_RANGES 8
#define FAKE_FIRST_THREAD 200 /* of the process: its vCPUs' are above */
#define FAKE_THREAD(i) (FAKE_FIRST_THREAD + 1 + (int32_t)(i))

#define FAKE_X0 ARM64_CORE_U64(0)
/* The register that exists only while the low field of the ID register says so. */
#define FAKE_ID_MMFR3 ARM64_SYS_REG(3, 0, 0, 7, 3)
#define FAKE_TCR2 ARM64_SYS_REG(3, 0, 2, 0, 3)
#define FAKE_PSCI_VERSION (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW)
/* Those of vCPU features: the first and the last of each kind. */
#define FAKE_V0 (KVM_REG_ARM64 | KVM_REG_SIZE_U128 | KVM_REG_ARM_CORE | 84) /* without SVE only: Z0 is the same */
#define FAKE_FFR (KVM_REG_ARM64 | KVM_REG_SIZE_U256 | KVM_REG_ARM64_SVE | 0x600)
#define FAKE_APIA ARM64_SYS_REG(3, 0, 2, 1, 0)
#define FAKE_APGA ARM64_SYS_REG(3, 0, 2, 3, 1)
#define FAKE_PMCCNTR ARM64_SYS_REG(3, 3, 9, 13, 0)
#define FAKE_PMEVCNTR0 ARM64_SYS_REG(3, 3, 14, 8, 0)
#define FAKE_PMEVCNTR30 ARM64_SYS_REG(3, 3, 14, 11, 6)
#define FAKE_PMEVTYPER0 ARM64_SYS_REG(3, 3, 14, 12, 0)
/* Pairs of registers of the same bits: one sets them, one clears them. */
#define FAKE_PMCNTENSET ARM64_SYS_REG(3, 3, 9, 12, 1)
#define FAKE_PMCNTENCLR ARM64_SYS_REG(3, 3, 9, 12, 2)
#define FAKE_PMOVSSET ARM64_SYS_REG(3, 3, 9, 14, 3)
#define FAKE_PMOVSCLR ARM64_SYS_REG(3, 3, 9, 12, 3)
#define FAKE_PMINTENSET ARM64_SYS_REG(3, 0, 9, 14, 1)
#define FAKE_PMINTENCLR ARM64_SYS_REG(3, 0, 9, 14, 2)
#define FAKE_PMU_MASK 0x8000003fu /* of the cycle counter and six others */
/* A workaround of the firmware, which a guest with SSBS is not told of. */
#define FAKE_PFR1 ARM64_SYS_REG(3, 0, 0, 4, 1)
#define FAKE_WORKAROUND_2 (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW | 2)
/* Vector lengths that the host's CPUs have: 128, 256 and 512 bits. */
#define FAKE_VLS 0xbull
#define FAKE_FEAT_BMAP (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW_FEAT_BMAP)

enum fake_kind { FAKE_CLOSED, FAKE_VM, FAKE_VGIC, FAKE_VCPU, FAKE_ITS, FAKE_SYSTEM, FAKE_EVENTFD }; /* FAKE_VGIC: v3, or v5 where there is one */

struct fake_fd {
	enum fake_kind kind;
	uint32_t index;
};

struct fake_map {
	uint64_t start, size, offset; /* bytes */
	int prot;
	uint32_t flags; /* VCPU_MAP_* */
	int vcpu;	/* whose pages; -1: anonymous */
	uint8_t *bytes; /* of an anonymous one */
	bool is_guest;	/* memory of the guest, under a memslot */
};

struct fake_reg {
	uint64_t id;
	uint8_t value[VCPU_REG_MAX];
};

struct fake_irq {
	bool group, enabled, pending, level, active;
	uint8_t config, priority; /* config: as ICFGR has it, 2 for edge */
	uint64_t router;
	bool routed; /* router was written: until then vCPU 0 is meant, whatever its MPIDR */
	int owner; /* vCPU of a private one, -1 */
	int queue; /* vCPU on whose list it is, -1: none, and nobody will be told of it */
	uint8_t source; /* of an SGI of a GICv2: ids of vCPUs that sent it. Of those router has the targets */
};

/* What a vCPU executes where its PC says @pc: a load or store to a device. */
struct fake_insn {
	uint64_t pc, phys;
	uint32_t len;
	bool is_write;
	bool unmapped; /* by the guest, since: it takes an abort */
	bool watched;  /* by the guest, where its MDSCR_EL1 says that watchpoints are on */
	uint64_t data;
};

struct fake_vcpu {
	uint32_t id;
	int32_t vtid; /* the thread that last called KVM_RUN, whose perf events its PMU has; 0: none */
	bool initialised;
	struct fake_reg regs[FAKE_REGS];
	size_t nr_regs;
	bool sve_finalized;
	uint32_t mp_state, timer_irq[2], pmu_irq;
	bool pmu_created;
	uint64_t pvtime, stolen; /* stolen: what KVM_RUN has added to its guest's stolen time */
	struct arm64_guest_debug debug;
	bool sigset_active;
	uint64_t sigset;
	bool serror;
	uint64_t serror_esr;
	bool mmio_needed;
	uint64_t skew; /* its counter reads this much above the VM's */
	struct fake_insn insn;
	uint8_t run[FAKE_PAGE];

	struct fake_irq irq[VGIC_NR_PRIVATE];
	uint32_t propbaser[2], pendbaser[2], gicr_ctlr;
	uint64_t icc[FAKE_ICC_REGS];
	uint32_t pri_bits;
};

struct fake_gic {
	bool initialised, legacy;
	uint32_t nr_irqs, iidr, ctlr, typer;
	uint64_t dist_base;
	struct vgic_region regions[FAKE_REGIONS];
	size_t nr_regions;
	struct fake_irq spi[VGIC_MAX_IRQS]; /* by INTID */
};

struct fake_event {
	uint32_t event, lpi;
	uint16_t icid;
};

struct fake_device {
	uint32_t id;
	uint8_t bits; /* of an EventID */
	uint64_t itt;
	struct fake_event events[FAKE_EVENTS]; /* in ascending order */
	size_t nr_events;
};

struct fake_collection {
	uint16_t icid;
	uint32_t target; /* vCPU id */
};

struct fake_its {
	uint64_t base, typer, cbaser, cwriter, creadr, baser[2];
	uint32_t iidr;
	bool enabled;
	struct fake_collection collections[FAKE_COLLECTIONS]; /* in the order of the guest's MAPC */
	size_t nr_collections;
	struct fake_device devices[FAKE_DEVICES];
	size_t nr_devices;
	uint8_t executed[FAKE_COMMANDS]; /* how often each command of the queue was */
};

struct fake_lpi {
	uint32_t intid;
	int target; /* vCPU, -1: none */
	uint8_t priority;
	bool enabled, pending;
	bool queued; /* to that vCPU, who will be told of it */
};

/* A register of which KVM takes these bits only as they are. */
struct fake_invariant {
	uint64_t id, bits;
};

struct fake_cap {
	int cap, value; /* KVM_CAP_* */
};

#define FAKE_EVENTFDS 8
#define FAKE_OTHERS_EVENTFD 6 /* which another process has */
#define FAKE_BINDINGS 8

struct fake_irqfd {
	uint32_t gsi;
	int eventfd, resamplefd; /* -1: without */
};

struct fake_ioeventfd {
	uint64_t addr, datamatch;
	uint32_t len, flags;
	int64_t eventfd;
};

struct fake_kvm {
	struct remote remote;
	int32_t vtid; /* the thread that makes the calls */

	uint64_t eventfds[FAKE_EVENTFDS]; /* their counts */
	struct fake_irqfd irqfds[FAKE_BINDINGS];
	size_t nr_irqfds;
	struct fake_ioeventfd ioeventfds[FAKE_BINDINGS];
	size_t nr_ioeventfds;
	struct coalesced_zone zones[FAKE_BINDINGS];
	size_t nr_zones;
	struct kvm_irq_routing_entry routes[FAKE_BINDINGS];
	size_t nr_routes;
	bool own_routes;
	unsigned int injected;	/* by irqfds when they were bound */
	unsigned int injecting; /* by an irqfd that has ended: not yet in the GIC */

	struct fake_vcpu vcpus[FAKE_VCPUS];
	size_t nr_vcpus;
	uint64_t features;
	bool features_set;
	bool no_ras; /* of the host: without it an SError has no ESR */
	uint64_t host, vtimer, ptimer; /* the host's counter and the guest's */
	bool ptimer_offset, counter_offset, ran, runs;
	uint32_t caps; /* VM_CAP_* */
	uint32_t halt_poll_ns, manual_dirty_log;
	uint64_t split_chunk;
	struct smccc_range smccc[FAKE_SMCCC_RANGES];
	size_t nr_smccc;
	uint32_t pmu_events; /* how many this host's PMU has */
	uint32_t pmu_counters; /* likewise, of PMCR_EL0.N */
	uint32_t pmu_n;	       /* the VM's PMCR_EL0.N */
	bool pmu_assigns; /* Linux 7.2: writes of registers that set or clear bits are the value; else of 6.12 */
	bool pmu_filtered;
	uint64_t pmu_filter[PMU_MAX_EVENTS / 64]; /* allowed: a bit for each event */
	uint64_t signals; /* that the thread which calls KVM_RUN has pending, and blocks */
	int fail_quiesce[3]; /* of a GICv5: negative errnos, see struct model_env */
	struct memslot slots[FAKE_SLOTS];
	size_t nr_slots;
	uint64_t *dirty[FAKE_SLOTS]; /* the log of each, a bit for a page; or NULL */
	uint8_t ring[FAKE_PAGE]; /* the second page of each vCPU's mapping */
	struct fake_gic gic;
	struct fake_v2 *v2; /* with it, it is a GICv2; or NULL */
	struct model *v5; /* instead; or NULL */
	struct fake_its its[FAKE_ITSES];
	size_t nr_itses;
	struct fake_lpi lpis[FAKE_LPIS]; /* that are mapped */
	size_t nr_lpis;
	struct fake_invariant invariants[FAKE_INVARIANTS];
	size_t nr_invariants;
	struct fake_cap extensions[FAKE_CAPS]; /* of /dev/kvm */
	bool no_vgic;			 /* KVM_CREATE_DEVICE has no GIC */
	struct fake_fd fds[FAKE_FDS];
	struct fake_map maps[FAKE_MAPS];
	size_t nr_maps;
	bool lock_future; /* mlockall(MCL_FUTURE) */

	char (*lines)[128]; /* the record */
	size_t nr_lines, room_lines;
	size_t nr_calls; /* the lines that are calls: not fake_note()'s */
	size_t nr_last, behind_last; /* batches that were last, and those behind the first of them */

	/* The failure on request: of call @fail_call, from 1, or of those like @fail_like, @fail_times of
	 * them. */
	size_t fail_call;
	bool fail_again; /* and the call after it */
	const char *fail_like; /* for fnmatch() */
	size_t fail_times;
	int fail_errno;
	size_t failed_line; /* where in the record the last one was */
	size_t nr_beside;   /* calls of exec() beside which something was done */
	int dead;	    /* errno of a remote side that answers no more */
	int thread_dead;    /* likewise of its other threads alone */
};

struct fake_kvm *fake_new(size_t nr_vcpus, uint32_t nr_irqs);
void fake_free(struct fake_kvm *kvm);

/* A line in the record that is not a call. */
void fake_note(struct fake_kvm *kvm, const char *line);
/* The record from here on. */
void fake_forget(struct fake_kvm *kvm);

bool fake_is_like(const char *line, const char *pattern);
/* Lines like @pattern, for fnmatch(). */
size_t fake_count(const struct fake_kvm *kvm, const char *pattern);
/* The line of the first, the @n-th counted from 1, and the last that is like @pattern; or -1. */
long fake_nth(const struct fake_kvm *kvm, const char *pattern, size_t n);
long fake_first(const struct fake_kvm *kvm, const char *pattern);
long fake_last(const struct fake_kvm *kvm, const char *pattern);

/* Registers of a vCPU as the model has them. */
struct fake_reg *fake_reg(struct fake_vcpu *vcpu, uint64_t id);
uint64_t fake_reg_u64(struct fake_vcpu *vcpu, uint64_t id);
void fake_set_reg_u64(struct fake_vcpu *vcpu, uint64_t id, uint64_t value);

/* Whether KVM shows it, by the vCPU's features and ID registers. */
bool fake_reg_exists(const struct fake_kvm *kvm, const struct fake_vcpu *vcpu, uint64_t id);

/* Whether vCPUs have the feature KVM_ARM_VCPU_*. */
bool fake_has(const struct fake_kvm *kvm, uint32_t feature);
void fake_pmu_allow(struct fake_kvm *kvm, uint32_t event, bool allow);

/* Dirty logs: of kvm->slots[@slot], by pages of it. */
size_t fake_log_words(const struct memslot *slot);
void fake_log_begin(struct fake_kvm *kvm, size_t slot);
void fake_drop_log(struct fake_kvm *kvm, size_t slot);
bool fake_log_has(const struct fake_kvm *kvm, size_t slot, uint64_t page);
void fake_log_mark(struct fake_kvm *kvm, size_t slot, uint64_t page);

/* The VMM calls KVM_RUN: 0 or a negative errno. */
int fake_run(struct fake_kvm *kvm, uint32_t vcpu);

/* Has the distributor look at @irq, as after a change of it that may make it pending. */
void fake_queue(struct fake_kvm *kvm, struct fake_irq *irq);

/* Guest memory: @size bytes at @gpa, or NULL where they are not all in one memslot. */
uint8_t *fake_guest(struct fake_kvm *kvm, uint64_t gpa, size_t size);
/* The LPI if it is mapped, or NULL. */
struct fake_lpi *fake_lpi(struct fake_kvm *kvm, uint32_t intid);
/* The commands between GITS_CREADR and GITS_CWRITER, if the ITS is enabled. */
void fake_its_run_commands(struct fake_its *its);

/* NULL, or what differs first: all that a guest or the VMM could find out. */
const char *fake_diff(const struct fake_kvm *a, const struct fake_kvm *b);

#define FAKE_DEBUG_HW 0x20000u /* KVM_GUESTDBG_USE_HW of arm64 */

/* Between the parts of the model. */
#define FAKE_LINE sizeof(((struct fake_kvm *)0)->lines[0])

int64_t fake_task_call(struct fake_kvm *kvm, long nr, const uint64_t *arg);
void fake_task_describe(struct fake_kvm *kvm, long nr, const uint64_t *arg, char *line);
/* Of the process's own: not in the room, which the end of a session takes with all that is in it. */
bool fake_is_own(const struct fake_map *map);
size_t fake_nr_own_maps(const struct fake_kvm *kvm);
struct fake_map *fake_map_at(struct fake_kvm *kvm, uint64_t addr, size_t size);
uint8_t *fake_map_byte(struct fake_kvm *kvm, const struct fake_map *map, uint64_t addr);
struct fake_map *fake_map_add(struct fake_kvm *kvm, uint64_t start, uint64_t size, int prot, int vcpu,
			      uint64_t offset);

int64_t fake_vcpu_ioctl(struct fake_kvm *kvm, uint32_t i, unsigned long req, void *arg);
int64_t fake_vm_ioctl(struct fake_kvm *kvm, unsigned long req, void *arg);
void fake_vcpu_describe(const struct fake_kvm *kvm, uint32_t i, unsigned long req, const void *arg,
			char *line);
void fake_vm_describe(unsigned long req, const void *arg, char *line);

int64_t fake_attr_ioctl(struct fake_kvm *kvm, struct fake_vcpu *vcpu, const struct kvm_device_attr *attr,
			bool set);
void fake_attr_describe(const struct kvm_device_attr *attr, bool set, char *more);
/* /dev/kvm, and what is created from it: at the fds of a VM that runs. */
int64_t fake_host_ioctl(struct fake_kvm *kvm, unsigned long req, uint64_t arg);
void fake_host_describe(unsigned long req, uint64_t arg, char *line);

int64_t fake_its_ioctl(struct fake_kvm *kvm, uint32_t i, unsigned long req, void *arg);
void fake_its_describe(uint32_t i, unsigned long req, const void *arg, char *line);
void fake_its_reset(struct fake_its *its);
void fake_lpi_enable(struct fake_kvm *kvm, int vcpu, uint32_t ctlr);
int fake_lpi_save_pending(struct fake_kvm *kvm);
/* Maps an LPI, as MAPTI does: with the configuration and the pending bit that are in the tables. */
int fake_lpi_add(struct fake_kvm *kvm, uint32_t intid, int target);

/* What a GICv2 has beside fake_gic. */
struct fake_v2 {
	uint64_t cpu_base;
	bool groups_writable; /* GICD_IIDR was written */
	uint32_t cpuif[FAKE_VCPUS][5]; /* GICC_CTLR, PMR, BPR, ABPR, APR0 */
};

void fake_v2_create(struct fake_kvm *kvm);
int fake_v2_target(const struct fake_irq *irq);
int64_t fake_v2_ioctl(struct fake_kvm *kvm, unsigned long req, void *arg);
int64_t fake_v2_irq_line(struct fake_kvm *kvm, const struct kvm_irq_level *line);
void fake_v2_describe(struct fake_kvm *kvm, unsigned long req, const void *arg, char *line);

void fake_v5_create(struct fake_kvm *kvm, const struct model_host *host);
void fake_v5_destroy(struct fake_kvm *kvm);
/* What nobody records: a guest's doing, a set-up, or a look. 0 or a negative errno. */
int fake_v5_set(struct fake_kvm *kvm, uint32_t group, uint64_t attr, uint64_t value);
int fake_v5_get(struct fake_kvm *kvm, uint32_t group, uint64_t attr, void *value);
int64_t fake_v5_ioctl(struct fake_kvm *kvm, unsigned long req, void *arg);
void fake_v5_describe(struct fake_kvm *kvm, unsigned long req, const void *arg, char *line);
const char *fake_v5_diff(const struct fake_kvm *left, const struct fake_kvm *right);

int fake_eventfd_make(struct fake_kvm *kvm);
int fake_eventfd_bring(struct fake_kvm *kvm, int32_t vpid, int fd);
int64_t fake_eventfd_read(struct fake_kvm *kvm, const uint64_t *arg);
int64_t fake_binding_ioctl(struct fake_kvm *kvm, unsigned long req, const void *arg);
void fake_binding_describe(unsigned long req, const void *arg, char *line);
/* Whether a write to @addr goes to an ioeventfd or a ring, and does not leave KVM_RUN. */
bool fake_binding_takes(const struct fake_kvm *kvm, uint64_t addr);
const char *fake_binding_diff(const struct fake_kvm *a, const struct fake_kvm *b);
/* The VMM's eventfds as CRIU restores them; what the VM has bound; what discovery makes of that. */
void fake_eventfd_open(struct fake_kvm *kvm);
void fake_binding_fill(struct fake_kvm *kvm);
void fake_binding_discover(const struct fake_kvm *kvm, struct vm_state *vm);

void fake_vgic_reset(struct fake_kvm *kvm);
int64_t fake_vgic_ioctl(struct fake_kvm *kvm, unsigned long req, void *arg);
void fake_vgic_describe(struct fake_kvm *kvm, unsigned long req, const void *arg, char *line);

#endif
