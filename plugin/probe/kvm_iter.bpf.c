// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walks the files of a process and tells what KVM keeps of each VM and has no
 * getter for. Reads only; everything it follows is a kernel pointer read with a
 * fault-safe helper, and every walk is bounded. It goes by the bits of open fds: the kernel's own iterator of files
 * looks at each entry of the table, which of a process that CRIU has restored is as large as CRIU's own. Of that table it has no
 * reference: a pass in which the process has lost it, being killed, may tell anything, and says so.
 */
#include "kernel_types.h"

#include "../state/pmu_events.h"
#include "kvm_file.bpf.h"
#include "kvm_iter.h"
#include "kvm_task.bpf.h"

#define MAX_CHAIN 4096 /* memslots in one hash bucket; the kernel allows 32764 in all */
/*
 * Steps, after which a pass begins with no further fd: over a fd, or 64 that are not open, or in what a fd or VM has. All of a pass is
 * one run of the program, in which its CPU does nothing else.
 */
#define STEPS_IN_PASS (1 << 17)
#define STEPS_OF_FD 64 /* of one that is of a VM: as long as what is read takes */
#define MAX_DEVICES 64
#define MAX_THREADS (1 << 16)
#define MAX_SPIS 1024
#define MAX_ROUTES 4096
#define ID_AA64DFR0_EL1 32 /* in kvm->arch.id_regs: IDREG_IDX(), in the kernels that kernel.c knows */
#define DEBUG_REGS 64	 /* in struct kvm_guest_debug_arch */
#define MAX_ITS_STEPS (1 << 20) /* devices and interrupts of an ITS, whose number is the guest's */
#define KVM_DEV_TYPE_ARM_VGIC_V2 5
#define KVM_DEV_TYPE_ARM_VGIC_V3 7
#define NR_PRIVATE 32
#define NR_SGIS 16
#define KVM_IRQ_ROUTING_IRQCHIP 1

/*
 * What is read of each interrupt of a VM is read by loads, which answer 0 where nothing is mapped, as the helper does: thousands
 * of calls of that take longer than KVM itself does. The kernel's verifier has to know the type for it.
 */
extern void *bpf_rdonly_cast(const void *obj__ign, __u32 btf_id__k) __ksym;
#define AS(type, addr) ((type *)bpf_rdonly_cast((void *)(addr), bpf_core_type_id_kernel(type)))

/* A pointer too: what the verifier knows to be one is not passed on as a number. */
static unsigned long long word_at(unsigned long long addr)
{
	return AS(struct timespec64, addr)->tv_sec;
}

char _license[] SEC("license") = "GPL";

/* VMs that were told of, and by which fd: user space sets nr_seen to 0 before the first pass. */
struct {
	unsigned long long kvm;
	unsigned int fd;
} seen[KVM_MAX_VMS];
unsigned int nr_seen;
unsigned int nr_too_many; /* VMs that are not told, for there were as many as there may be */

/*
 * Steps in the lists of ITSes that are left to a probe, which user space sets: the process has as many fds of one as it likes,
 * and each is walked.
 */
unsigned int its_steps_left;

struct walk {
	struct bpf_iter__task *ctx;
	unsigned long long kvm; /* as integers: pointers in a type of ours would be relocated */
	unsigned long long at, aux;
	unsigned int fd;
	unsigned int result;
};

/*
 * What a pass tells has to fit into its output. Where the next one goes on, which user space sets to 0 before the first:
 * a fd, and the record of the VM that is told with it, beside the first; and whether there is one.
 */
unsigned int next_fd, first_record, more;

/* Which VM that was; and whether its fd is another's by now, or the process has ended: what the passes have told is nothing. */
static unsigned long long told_vm;
unsigned int changed;

/*
 * What loops count is kept here, not on the stack: the verifier knows nothing of it, and does not follow each value
 * that it can have.
 */
static unsigned int told, steps; /* in this pass */
static unsigned int records;	 /* of this VM so far, beside the first */
static unsigned int of_caps;	 /* those of tell_caps() among them, when all were told: it walks a tree, and is not to for each pass; else 0 */

/*
 * The record that is made: not on the stack, which is 512 bytes for all functions that call each other, and of which
 * the verifier keeps a copy for each way that it is to go yet.
 */
static struct kvm_rec out;

static void begin(enum kvm_rec_type type, unsigned long long kvm, unsigned int fd)
{
	out = (struct kvm_rec){ .type = type, .fd = fd, .kvm = kvm };
}

/* One place alone: at each that takes the context's seq the verifier searches all of the kernel's types. */
VERIFIED_ALONE int emit(struct bpf_iter__task *ctx)
{
	told++;
	return bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
}

/* Of a VM there may be more than a pass can tell: those from first_record on, while there is room. */
static bool is_next(void)
{
	return records++ == first_record && told < KVM_RECORDS_IN_PASS;
}

/* One is left to the next pass, and so are all behind it. */
static bool is_full(void)
{
	return records > first_record;
}

static int emit_next(struct walk *w)
{
	first_record++;
	return emit(w->ctx);
}

static int emit_more(struct walk *w)
{
	if (is_next())
		emit_next(w);
	return is_full();
}

static int emit_slot(__u32 i, struct walk *w)
{
	void *node = (void *)w->at;
	struct kvm_memory_slot *slot;

	if (!node || is_full())
		return 1;
	steps++;
	w->at = (unsigned long long)next_of(node);
	if (!is_next())
		return 0;
	slot = node - bpf_core_field_offset(struct kvm_memory_slot, id_node) -
	       w->aux * sizeof(void *) * 2;
	begin(KVM_REC_SLOT, w->kvm, w->fd);
	out.slot.gpa = BPF_CORE_READ(slot, base_gfn);
	out.slot.npages = BPF_CORE_READ(slot, npages);
	out.slot.hva = BPF_CORE_READ(slot, userspace_addr);
	out.slot.flags = BPF_CORE_READ(slot, flags);
	out.slot.id = (unsigned short)BPF_CORE_READ(slot, id) | (__u32)BPF_CORE_READ(slot, as_id) << 16;
	emit_next(w);
	return 0;
}

static int walk_bucket(__u32 i, struct walk *w)
{
	struct kvm *kvm = (void *)w->kvm;
	struct kvm_memslots *slots = BPF_CORE_READ(kvm, memslots[0]);
	void *heads = (void *)slots + bpf_core_field_offset(struct kvm_memslots, id_hash);

	w->at = (unsigned long long)next_of(heads + i * sizeof(void *));
	w->aux = BPF_CORE_READ(slots, node_idx);
	bpf_loop(MAX_CHAIN, emit_slot, w, 0);
	return is_full();
}

static int count_device(__u32 i, struct walk *w)
{
	void *node = next_of((void *)w->at);

	if (!node || (unsigned long long)node == w->aux)
		return 1;
	w->at = (unsigned long long)node;
	w->result++;
	return 0;
}

/* Not the identity map of all SPIs, which is what KVM makes when the GIC is initialised. */
static int check_route(__u32 i, struct walk *w)
{
	unsigned long long map = w->at + bpf_core_field_offset(struct kvm_irq_routing_table, map);
	struct kvm_kernel_irq_routing_entry *e;
	struct hlist_node *first;

	if (i >= w->aux)
		return 1;
	first = AS(struct hlist_head, map + i * sizeof(void *))->first;
	if (!first) {
		w->result = 1;
		return 1;
	}
	e = AS(struct kvm_kernel_irq_routing_entry,
	       (void *)first - bpf_core_field_offset(struct kvm_kernel_irq_routing_entry, link));
	if (e->type != KVM_IRQ_ROUTING_IRQCHIP || e->irqchip.pin != i || e->link.next)
		w->result = 1;
	return w->result ? 1 : 0;
}

/* The size of the element is the running kernel's, not that of the few fields named here. */
static struct vgic_irq *spi(const struct walk *w, __u32 i)
{
	return AS(struct vgic_irq, w->at + i * bpf_core_type_size(struct vgic_irq));
}

static void note_active(struct walk *w, struct vgic_irq *irq)
{
	struct kvm_vcpu *holder = irq->vcpu;

	if (!BPF_CORE_READ_BITFIELD(irq, active) || !holder || holder == irq->target_vcpu)
		return;
	begin(KVM_REC_ACTIVE, w->kvm, w->fd);
	out.active.intid = irq->intid;
	out.active.vcpu_idx = holder->vcpu_idx;
	emit_more(w);
}

static int look_at_spi_v2(__u32 i, struct walk *w)
{
	if (i >= w->aux)
		return 1;
	note_active(w, spi(w, i));
	return 0;
}

/*
 * KVM sends an SPI of a fresh GIC to the first vCPU, whatever that one's MPIDR is
 * (kvm_vgic_dist_init()). GICD_IROUTER reads 0 then, as if it was routed to MPIDR 0.
 */
static int look_at_spi_v3(__u32 i, struct walk *w)
{
	struct kvm_vcpu *target;
	struct vgic_irq *irq;

	if (i >= w->aux)
		return 1;
	irq = spi(w, i);
	note_active(w, irq);
	target = irq->target_vcpu;
	if (target && !target->vcpu_idx && !irq->mpidr)
		w->result |= 1u << (i % 32);
	if (i % 32 == 31 && w->result) {
		begin(KVM_REC_UNROUTED, w->kvm, w->fd);
		out.unrouted.first = NR_PRIVATE + i - 31;
		out.unrouted.bits = w->result;
		emit_more(w);
		w->result = 0;
	}
	return 0;
}

/* Of a GICv2, which has no LEVEL_INFO: a line's level, and what is pending without it. */
static void note_line(struct vgic_irq *irq, __u32 i)
{
	out.lines.level |= (__u32)BPF_CORE_READ_BITFIELD_PROBED(irq, line_level) << (i % 32);
	out.lines.latch |= (__u32)BPF_CORE_READ_BITFIELD_PROBED(irq, pending_latch) << (i % 32);
}

static int emit_spi_lines(__u32 i, struct walk *w)
{
	if (i >= w->aux)
		return 1;
	note_line((void *)w->at + i * bpf_core_type_size(struct vgic_irq), i);
	if (i % 32 != 31)
		return 0;
	out.lines.first = NR_PRIVATE + i - 31;
	emit_more(w);
	out.lines.level = out.lines.latch = 0;
	return 0;
}

static int note_private_line(__u32 i, struct walk *w)
{
	struct vgic_irq *irq = (void *)w->at + i * bpf_core_type_size(struct vgic_irq);

	note_line(irq, i);
	if (i < NR_SGIS && BPF_CORE_READ_BITFIELD_PROBED(irq, active) && BPF_CORE_READ(irq, active_source))
		out.lines.foreign |= 1u << i;
	return 0;
}

/*
 * The events that the filter lets through, by the words in which that changes. An older PMU has fewer, and
 * what is read behind those means nothing.
 */
static int emit_pmu_events(__u32 i, struct walk *w)
{
	__u64 allowed = 0;

	bpf_probe_read_kernel(&allowed, sizeof(allowed), (void *)w->at + i * sizeof(allowed));
	if (allowed == (w->aux ? ~0ull : 0))
		return 0;
	w->aux = allowed >> 63;
	begin(KVM_REC_PMU, w->kvm, w->fd);
	out.pmu.first = 64 * i;
	out.pmu.allowed = allowed;
	emit_more(w);
	return 0;
}

static bool list_is_empty(void *head)
{
	return next_of(head) == head;
}

static bool is_protected(struct kvm *kvm)
{
	struct kvm_protected_vm___7_0 *pkvm = (void *)kvm + bpf_core_field_offset(struct kvm, arch.pkvm);

	if (bpf_core_field_exists(struct kvm_protected_vm___7_0, is_protected))
		return BPF_CORE_READ_BITFIELD_PROBED(pkvm, is_protected);
	return BPF_CORE_READ_BITFIELD_PROBED(kvm, arch.pkvm.enabled);
}

VERIFIED_ALONE int has_own_routes(unsigned long long of)
{
	struct kvm *kvm = (void *)of;
	struct kvm_irq_routing_table *table = BPF_CORE_READ(kvm, irq_routing);
	struct walk w = { .at = (unsigned long long)table };

	w.aux = table ? BPF_CORE_READ(table, nr_rt_entries) : 0;
	if (w.aux != (__u32)BPF_CORE_READ(kvm, arch.vgic.nr_spis))
		return 1;
	bpf_loop(MAX_ROUTES, check_route, &w, 0);
	return w.result;
}

static unsigned int find_state(struct kvm *kvm)
{
	void *base = kvm;
	unsigned int has = 0;

#define HAS(what, condition) has |= (condition) ? 1u << (what) : 0
	HAS(KVM_HAS_IRQFD, !list_is_empty(base + bpf_core_field_offset(struct kvm, irqfds.items)));
	HAS(KVM_HAS_IOEVENTFD, !list_is_empty(base + bpf_core_field_offset(struct kvm, ioeventfds)));
	HAS(KVM_HAS_COALESCED_MMIO,
	    !list_is_empty(base + bpf_core_field_offset(struct kvm, coalesced_zones)));
	HAS(KVM_HAS_ROUTING, BPF_CORE_READ(kvm, arch.vgic.initialized) && has_own_routes((unsigned long long)kvm));
	HAS(KVM_HAS_DIRTY_RING, BPF_CORE_READ(kvm, dirty_ring_size));
	HAS(KVM_HAS_PMU_FILTER, BPF_CORE_READ(kvm, arch.pmu_filter));
	HAS(KVM_HAS_PROTECTED, is_protected(kvm));
	HAS(KVM_HAS_DEAD, BPF_CORE_READ(kvm, vm_dead));
#undef HAS
	return has;
}

#define MAPLE_NODE_MASK 255ull
#define MAPLE_NODE_TYPE(node) ((node) >> 3 & 0xf)
#define MAPLE_LEAF_64 1
#define MAPLE_RANGE_64 2
#define MAPLE_PIVOTS 15
#define MAX_SMCCC_STEPS (1 << 17) /* some dozen for a range, and for what is between two of them */
#define SMCCC_LAST 0xffffffffull

/* Where the walk through the SMCCC filter, a maple tree, stands. */
static volatile struct tree_walk {
	unsigned long long root, index; /* index: what is looked for */
	unsigned long long node, max;	/* on the way down: the node, and the last index below it */
	unsigned int slot, done;	/* slot: of the node, that is looked at */
} tree;

static unsigned long long read_word(unsigned long long addr)
{
	unsigned long long word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), (void *)addr);
	return word;
}

/* How many pivots of @node mean something: ma_data_end() of lib/maple_tree.c. */
static unsigned int data_end(unsigned long long pivots, unsigned long long node, unsigned long long max)
{
	unsigned long long last = read_word(pivots + 8 * (MAPLE_PIVOTS - 1));
	struct maple_range_64 *n = (void *)node;

	if (!last)
		return BPF_CORE_READ(n, meta.end);
	return last == max ? MAPLE_PIVOTS - 1 : MAPLE_PIVOTS;
}

static void begin_at_root(void)
{
	tree.node = tree.root;
	tree.max = ~0ull;
	tree.slot = 0;
}

/*
 * One step towards the range that holds tree.index, as mtree_range_walk() goes: to the next slot of a node, or to the
 * node below; or from that range to what is behind it. One loop, as for an ITS.
 */
static int step_smccc(__u32 i, struct walk *w)
{
	unsigned long long node = tree.node & ~MAPLE_NODE_MASK, type = MAPLE_NODE_TYPE(tree.node), value;
	unsigned long long pivots = node + bpf_core_field_offset(struct maple_range_64, pivot);

	steps++;
	if ((type != MAPLE_LEAF_64 && type != MAPLE_RANGE_64) || tree.slot > MAPLE_PIVOTS)
		return 1;
	if (tree.slot < data_end(pivots, node, tree.max)) {
		value = read_word(pivots + 8 * tree.slot);
		if (value < tree.index) {
			tree.slot++;
			return 0;
		}
		tree.max = value;
	}
	value = read_word(node + bpf_core_field_offset(struct maple_range_64, slot) + 8 * tree.slot);
	if (type == MAPLE_RANGE_64) {
		tree.node = value;
		tree.slot = 0;
		return 0;
	}
	if (value) {
		out.smccc.first = tree.index;
		out.smccc.last = tree.max;
		out.smccc.action = value >> 1; /* xa_to_value() */
		if (emit_more(w))
			return 1;
	}
	if (tree.max >= SMCCC_LAST) {
		tree.done = 1;
		return 1;
	}
	tree.index = tree.max + 1;
	begin_at_root();
	return 0;
}

/* What capabilities were given, and the SMCCC filter. */
VERIFIED_ALONE int tell_caps(struct bpf_iter__task *ctx, unsigned long long of, unsigned int fd)
{
	struct walk w = { .ctx = ctx, .kvm = of, .fd = fd };
	struct kvm *kvm = (void *)of;

	begin(KVM_REC_SMCCC, of, fd);
	tree.index = tree.done = 0;
	tree.root = (unsigned long long)BPF_CORE_READ(kvm, arch.smccc_filter.ma_root);
	begin_at_root();
	if (tree.root)
		bpf_loop(MAX_SMCCC_STEPS, step_smccc, &w, 0);
	begin(KVM_REC_CAPS, of, fd);
	out.caps.smccc_filter = !!tree.root;
	out.caps.smccc_unread = tree.root && !tree.done;
	out.caps.manual_dirty_log = BPF_CORE_READ(kvm, manual_dirty_log_protect);
	out.caps.split_chunk = BPF_CORE_READ(kvm, arch.mmu.split_page_chunk_size);
	out.caps.override_halt_poll = BPF_CORE_READ(kvm, override_halt_poll_ns);
	out.caps.halt_poll_ns = BPF_CORE_READ(kvm, max_halt_poll_ns);
	emit_more(&w);
	return 0;
}

/* Of the task whose fds are looked at. */
static unsigned long long task_mm;
static int task_tgid;

static bool is_owned(struct kvm *kvm)
{
	return (unsigned long long)BPF_CORE_READ(kvm, mm) == task_mm;
}

/* By which fd w->kvm was told, in w->result. */
static int find_seen(__u32 i, struct walk *w)
{
	if (i >= KVM_MAX_VMS || i >= nr_seen)
		return 1;
	w->at = seen[i].kvm == w->kvm;
	w->result = seen[i].fd;
	return !!w->at;
}

/*
 * Whether @kvm is still to be told of, or was by this same @fd: its records may not have fitted into a pass. One too
 * many is not: it would be told by each of its fds, which are as many as the process likes.
 */
VERIFIED_ALONE int is_first_fd(unsigned long long kvm, unsigned int fd)
{
	struct walk w = { .kvm = kvm };
	unsigned int i = nr_seen;

	bpf_loop(KVM_MAX_VMS, find_seen, &w, 0);
	if (w.at)
		return w.result == fd;
	if (i >= KVM_MAX_VMS) {
		nr_too_many++;
		return 0;
	}
	seen[i].kvm = kvm;
	seen[i].fd = fd;
	nr_seen = i + 1;
	return 1;
}

VERIFIED_ALONE int tell_vm(struct bpf_iter__task *ctx, unsigned long long of, unsigned int fd)
{
	struct walk w = { .kvm = of };
	struct kvm *kvm = (void *)of;

	begin(KVM_REC_VM, of, fd);
	w.at = w.aux = of + bpf_core_field_offset(struct kvm, devices);
	bpf_loop(MAX_DEVICES, count_device, &w, 0);
	out.vm.nr_devices = w.result;

	out.vm.vtcr = BPF_CORE_READ(kvm, arch.mmu.vtcr);
	out.vm.flags = BPF_CORE_READ(kvm, arch.flags);
	out.vm.features = BPF_CORE_READ(kvm, arch.vcpu_features[0]);
	out.vm.poffset = BPF_CORE_READ(kvm, arch.timer_data.poffset);
	out.vm.nr_vcpus = BPF_CORE_READ(kvm, online_vcpus.counter);
	out.vm.vgic_model = BPF_CORE_READ(kvm, arch.vgic.vgic_model);
	out.vm.vgic_in_kernel = BPF_CORE_READ(kvm, arch.vgic.in_kernel);
	out.vm.vgic_initialized = BPF_CORE_READ(kvm, arch.vgic.initialized);
	out.owned = is_owned(kvm);
	out.vm.has = find_state(kvm);
	emit(ctx);
	return 0;
}

VERIFIED_ALONE int tell_slots(struct bpf_iter__task *ctx, unsigned long long of, unsigned int fd)
{
	struct walk w = { .ctx = ctx, .kvm = of, .fd = fd };

	bpf_loop(128, walk_bucket, &w, 0);
	return 0;
}

VERIFIED_ALONE int tell_pmu_filter(struct bpf_iter__task *ctx, unsigned long long of, unsigned int fd)
{
	struct walk w = { .ctx = ctx, .kvm = of, .fd = fd };
	struct kvm *kvm = (void *)of;
	unsigned int nr_events = pmu_nr_events(BPF_CORE_READ(kvm, arch.id_regs[ID_AA64DFR0_EL1]));

	w.at = (unsigned long long)BPF_CORE_READ(kvm, arch.pmu_filter);
	if (w.at)
		bpf_loop(nr_events / 64, emit_pmu_events, &w, 0);
	return 0;
}

/* A GICv5 has no state of an SPI here. */
VERIFIED_ALONE int tell_spis(struct bpf_iter__task *ctx, unsigned long long of, unsigned int fd)
{
	struct walk w = { .ctx = ctx, .kvm = of, .fd = fd };
	struct kvm *kvm = (void *)of;
	unsigned int model = BPF_CORE_READ(kvm, arch.vgic.vgic_model);

	w.at = (unsigned long long)BPF_CORE_READ(kvm, arch.vgic.spis);
	w.aux = w.at ? BPF_CORE_READ(kvm, arch.vgic.nr_spis) : 0;
	if (model == KVM_DEV_TYPE_ARM_VGIC_V3) {
		bpf_loop(MAX_SPIS, look_at_spi_v3, &w, 0);
	} else if (model == KVM_DEV_TYPE_ARM_VGIC_V2) {
		bpf_loop(MAX_SPIS, look_at_spi_v2, &w, 0);
		begin(KVM_REC_LINES, w.kvm, fd);
		bpf_loop(MAX_SPIS, emit_spi_lines, &w, 0);
	}
	return 0;
}

static void emit_vm(struct bpf_iter__task *ctx, unsigned long long kvm, unsigned int fd)
{
	if (!first_record) {
		of_caps = 0;
		tell_vm(ctx, kvm, fd);
	}
	records = of_caps;
	if (!of_caps)
		tell_caps(ctx, kvm, fd);
	if (is_full())
		return;
	of_caps = records;
	tell_slots(ctx, kvm, fd);
	if (!is_full())
		tell_pmu_filter(ctx, kvm, fd);
	if (is_full())
		return;
	steps += MAX_SPIS;
	tell_spis(ctx, kvm, fd);
}

/* Breakpoints and watchpoints of KVM_SET_GUEST_DEBUG. */
static int emit_debug(__u32 i, struct walk *w)
{
	const __u32 n = sizeof(out.debug.values) / sizeof(out.debug.values[0]);

	begin(KVM_REC_DEBUG, w->kvm, w->fd);
	out.debug.first = n * i;
	bpf_probe_read_kernel(out.debug.values, sizeof(out.debug.values),
			      (void *)w->at + i * sizeof(out.debug.values));
	emit(w->ctx);
	return 0;
}

/*
 * The thread whose KVM_RUN was the last, by its number in its own pid namespace; 0 where it has ended, or is
 * not of this process: its number may be another thread's by now.
 */
static unsigned int runner_of(struct kvm_vcpu *vcpu, int tgid)
{
	struct pid *pid = BPF_CORE_READ(vcpu, pid);
	struct hlist_node *link = pid ? BPF_CORE_READ(pid, tasks[0].first) : NULL; /* PIDTYPE_PID */
	struct task_struct *task;

	if (!link)
		return 0;
	task = (void *)link - bpf_core_field_offset(struct task_struct, pid_links);
	if (BPF_CORE_READ(task, tgid) != tgid)
		return 0;
	return number_at(pid, BPF_CORE_READ(pid, level));
}

/* struct kvm_run of linux/kvm.h, the same in all kernels, as far as it is read. */
static struct {
	__u64 head;
	__u32 exit_reason, flags;
	__u64 cr8, apic_base;
	__u64 mmio_addr; /* of the union, as those that follow */
	__u8 mmio_data[8];
	__u32 mmio_len;
	__u8 mmio_is_write;
} run_page;

VERIFIED_ALONE int tell_vcpu(struct bpf_iter__task *ctx, unsigned long long of, unsigned int fd)
{
	struct walk w = { .ctx = ctx, .fd = fd };
	struct kvm_vcpu *vcpu = (void *)of;
	bool is_debugged;
	struct kvm *kvm = BPF_CORE_READ(vcpu, kvm);

	begin(KVM_REC_VCPU, (unsigned long long)kvm, fd);
	out.owned = is_owned(kvm);
	out.vcpu.idx = BPF_CORE_READ(vcpu, vcpu_idx);
	out.vcpu.id = BPF_CORE_READ(vcpu, vcpu_id);
	out.vcpu.mmio_needed = BPF_CORE_READ(vcpu, mmio_needed);
	bpf_probe_read_kernel(&run_page, sizeof(run_page), BPF_CORE_READ(vcpu, run));
	out.vcpu.run_head = run_page.head;
	out.vcpu.exit_reason = run_page.exit_reason;
	out.vcpu.mmio_addr = run_page.mmio_addr;
	out.vcpu.mmio_is_write = run_page.mmio_is_write;
	out.vcpu.iflags = BPF_CORE_READ(vcpu, arch.iflags);
	out.vcpu.sflags = BPF_CORE_READ_BITFIELD_PROBED(vcpu, arch.sflags);
	out.vcpu.sigset_active = BPF_CORE_READ(vcpu, sigset_active);
	out.vcpu.sigset = BPF_CORE_READ(vcpu, sigset.sig[0]);
	out.vcpu.guest_debug = BPF_CORE_READ(vcpu, guest_debug);
	out.vcpu.steal_base = BPF_CORE_READ(vcpu, arch.steal.base);
	out.vcpu.pmu_created = BPF_CORE_READ(vcpu, arch.pmu.created);
	out.vcpu.vtid = runner_of(vcpu, task_tgid);
	is_debugged = out.vcpu.guest_debug;
	emit(ctx);

	w.kvm = (unsigned long long)kvm;
	w.at = (unsigned long long)BPF_CORE_READ(vcpu, arch.vgic_cpu.private_irqs);
	if (w.at && BPF_CORE_READ(kvm, arch.vgic.vgic_model) == KVM_DEV_TYPE_ARM_VGIC_V2) {
		begin(KVM_REC_LINES, w.kvm, fd);
		bpf_loop(NR_PRIVATE, note_private_line, &w, 0);
		emit(ctx);
	}
	if (!is_debugged)
		return 0;
	w.at = (unsigned long long)vcpu + bpf_core_field_offset(struct kvm_vcpu, arch.external_debug_state);
	bpf_loop(DEBUG_REGS / 4, emit_debug, &w, 0);
	return 0;
}

/* Not on the stack, as records is not. */
static struct its_walk {
	unsigned long long devices, device; /* list heads: all devices; the interrupts of this one */
	unsigned long long at;		    /* the node that is left next: of either list */
	unsigned int orphans;
	unsigned int done;
	unsigned int left; /* devices and interrupts that are looked at yet */
} its;

/* Interrupts that are looked at in one step: as many as a call of it weighs against. */
#define ITES_IN_STEP 4

/* Interrupts of a device, from @next on, which is one's. */
static void count_orphans(unsigned long long next)
{
	unsigned long long end = its.device + bpf_core_field_offset(struct its_device, itt_head);
	unsigned int n = 0;

	for (; n < ITES_IN_STEP && next && next != end; n++) {
		unsigned long long ite = next - bpf_core_field_offset(struct its_ite, ite_list);

		its.orphans += !word_at(ite + bpf_core_field_offset(struct its_ite, collection));
		its.at = next;
		next = word_at(next);
	}
	its.left -= n;
	its_steps_left -= n;
	steps += n;
}

/*
 * One step in the lists: to the next interrupts of a device, or to the next device. One loop, for
 * one in another costs the verifier dear.
 */
static int step_its(__u32 i, void *none)
{
	unsigned long long next = word_at(its.at);
	struct its_device *dev;

	if (!next || its.left < ITES_IN_STEP || its_steps_left < ITES_IN_STEP)
		return 1;
	if (its.device && next != its.device + bpf_core_field_offset(struct its_device, itt_head)) {
		count_orphans(next);
		return 0;
	}
	its.left--;
	its_steps_left--;
	steps++;
	if (its.device) {
		its.at = its.device + bpf_core_field_offset(struct its_device, dev_list);
		its.device = 0;
		return 0;
	}
	if (next == its.devices) {
		its.done = 1;
		return 1;
	}
	dev = (void *)next - bpf_core_field_offset(struct its_device, dev_list);
	its.device = (unsigned long long)dev;
	its.at = its.device + bpf_core_field_offset(struct its_device, itt_head);
	return 0;
}

VERIFIED_ALONE int tell_its(struct bpf_iter__task *ctx, unsigned long long of, unsigned int fd)
{
	struct kvm_device *dev = (void *)of;
	struct kvm *kvm = BPF_CORE_READ(dev, kvm);

	begin(KVM_REC_ITS, (unsigned long long)kvm, fd);
	out.owned = is_owned(kvm);
	out.its.object = (unsigned long long)BPF_CORE_READ(dev, private);
	its.at = its.devices = out.its.object + bpf_core_field_offset(struct vgic_its, device_list);
	its.device = 0;
	its.orphans = its.done = 0;
	its.left = MAX_ITS_STEPS;
	bpf_loop(MAX_ITS_STEPS, step_its, NULL, 0);
	out.its.orphans = its.orphans;
	out.its.unread = !its.done;
	emit(ctx);
	return 0;
}

/* Of a fd that has nothing but its VM, or of statistics: of @vcpu, or of the VM. */
static void emit_handle(struct bpf_iter__task *ctx, enum kvm_file kind, struct kvm *kvm, struct kvm_vcpu *vcpu,
			unsigned int fd)
{
	begin(kind == FILE_VM	  ? KVM_REC_VM_FD :
	      kind == FILE_DEVICE ? KVM_REC_DEVICE :
				    KVM_REC_STATS,
	      (unsigned long long)kvm, fd);
	out.owned = is_owned(kvm);
	if (kind == FILE_VCPU_STATS) {
		out.stats.of_vcpu = 1;
		out.stats.idx = BPF_CORE_READ(vcpu, vcpu_idx);
	}
	emit(ctx);
}

/* Records of a fd itself, at most, with the first of its VM and one more: less room than that is left to the next pass. */
#define RECORDS_OF_FD 20

/* What a file tells that is of a VM; 0: not all of it. */
VERIFIED_ALONE int tell_file(struct bpf_iter__task *ctx, unsigned long long of, unsigned int fd)
{
	struct file *file = (void *)of;
	enum kvm_file kind = FILE_OTHER;
	char name[24] = "";
	struct kvm *kvm;
	void *object;

	if (file && read_name(file, name, sizeof(name)))
		kind = kind_of(name);
	object = BPF_CORE_READ(file, private_data);
	kvm = kvm_of(kind, object);
	if (first_record && (unsigned long long)kvm != told_vm)
		changed = 1;
	if (!kvm || changed)
		return !changed;
	if (told > KVM_RECORDS_IN_PASS - RECORDS_OF_FD)
		return 0;
	steps += STEPS_OF_FD;
	if (first_record)
		; /* what the fd itself is was told */
	else if (kind == FILE_VCPU)
		tell_vcpu(ctx, (unsigned long long)object, fd);
	else if (kind == FILE_ITS)
		tell_its(ctx, (unsigned long long)object, fd);
	else
		emit_handle(ctx, kind, kvm, object, fd);
	if (!is_first_fd((unsigned long long)kvm, fd))
		return 1;
	told_vm = (unsigned long long)kvm;
	emit_vm(ctx, told_vm, fd);
	return !is_full();
}

/* Where the walk through the table stands: not on the stack, as records is not. */
static struct {
	unsigned long long files, open; /* addresses: struct file *[], and a bit for each fd that is open */
	unsigned long long left;	/* of 64 bits, those that were not looked at, the next one first */
	unsigned int fd, end;		/* which the next one is of; and behind the last of the table */
} table;

/* What fds are open, of the 64 with this one. */
static unsigned long long open_word(unsigned int fd)
{
	return word_at(table.open + fd / 64 * 8);
}

/* To the next 64 bits; false: there are no more. */
static bool next_word(void)
{
	table.fd = (table.fd + 63) & ~63u;
	if (table.fd >= table.end)
		return false;
	table.left = open_word(table.fd);
	if (!table.left)
		table.fd += 64;
	return true;
}

/* Which of 64 fds are open, for user space to compare with what /proc has said. A pass that begins with them tells it again. */
static void tell_open(struct walk *w)
{
	begin(KVM_REC_OPEN, 0, table.fd);
	out.open = table.left;
	emit(w->ctx);
}

/* Over one fd, or to the next 64. One that was told is not told again by the next pass. */
static int step_fd(__u32 i, struct walk *w)
{
	bool is_open = table.left & 1;
	unsigned int fd = table.fd;

	if (steps > STEPS_IN_PASS || told > KVM_RECORDS_IN_PASS - RECORDS_OF_FD)
		return 1;
	if (first_record && !is_open) {
		changed = 1;
		return 1;
	}
	if (table.left && fd % 64 == 0 && !first_record)
		tell_open(w);
	if (table.left) {
		table.left >>= 1;
		table.fd++;
	} else if (!next_word()) {
		more = 0;
		return 1;
	}
	if (is_open && !tell_file(w->ctx, word_at(table.files + fd * sizeof(void *)), fd))
		return 1;
	next_fd = table.fd;
	first_record = 0;
	steps++;
	return 0;
}

/* Likewise through the threads: the head of their list, and the one that was looked at last. */
static struct {
	unsigned long long head, at;
	bool all_childless;
} threads;

static int look_at_thread(__u32 i, void *none)
{
	unsigned long long next = word_at(threads.at), children;

	steps++;
	if (next == threads.head)
		threads.all_childless = true;
	if (!next || next == threads.head)
		return 1;
	children = next - bpf_core_field_offset(struct task_struct, thread_node) + bpf_core_field_offset(struct task_struct, children);
	threads.at = next;
	return word_at(children) != children;
}

/* Children are of one thread each: /proc has a file for that, which need not be read of each where there are none. */
VERIFIED_ALONE int tell_childless(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;
	threads.head = threads.at =
		(unsigned long long)BPF_CORE_READ(task, signal) + bpf_core_field_offset(struct signal_struct, thread_head);
	threads.all_childless = false;
	bpf_loop(MAX_THREADS, look_at_thread, NULL, 0);
	if (!threads.all_childless)
		return 0;
	begin(KVM_REC_CHILDLESS, 0, 0);
	return emit(ctx);
}

SEC("iter/task")
int kvm_files(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct walk w = { .ctx = ctx };
	struct files_struct *files;
	struct fdtable *fds;

	if (!task)
		return 0;
	task_mm = (unsigned long long)BPF_CORE_READ(task, mm);
	task_tgid = BPF_CORE_READ(task, tgid);
	files = BPF_CORE_READ(task, files);
	fds = BPF_CORE_READ(files, fdt);
	table.files = (unsigned long long)BPF_CORE_READ(fds, fd);
	table.open = (unsigned long long)BPF_CORE_READ(fds, open_fds);
	table.end = BPF_CORE_READ(fds, max_fds);
	table.fd = next_fd;
	table.left = next_fd < table.end ? open_word(next_fd) >> next_fd % 64 : 0;
	told = steps = 0;
	more = 1;
	if (!next_fd && !first_record)
		tell_childless(ctx);
	bpf_loop(STEPS_IN_PASS, step_fd, &w, 0);
	if (!files || BPF_CORE_READ(task, files) != files)
		changed = 1;
	return 0;
}

/*
 * Where those that were told end, which user space sets to 0 before a pass: of one thread alone, which is what is asked, the kernel
 * begins again behind the last that a read ended with, without end (task_vma_seq_get_next()). Nothing told is the end of it.
 */
unsigned long maps_told;

/* As emit(), for the same reason. */
VERIFIED_ALONE int emit_map(struct bpf_iter__task_vma *ctx)
{
	return bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
}

/*
 * /proc tells mappings of vCPUs of several VMs by their ids alone; and flags of mappings, and whose faults a userfaultfd
 * has, by a walk through all page tables of the process.
 */
static int tell_map(struct bpf_iter__task_vma *ctx, struct vm_area_struct *vma, struct file *file)
{
	struct kvm_vcpu *vcpu = BPF_CORE_READ(file, private_data);
	struct kvm *kvm = BPF_CORE_READ(vcpu, kvm);
	struct task_struct *task = ctx->task;
	struct mm_struct *mm = task ? BPF_CORE_READ(task, mm) : NULL;

	begin(KVM_REC_MAP, (unsigned long long)kvm, 0);
	out.owned = BPF_CORE_READ(kvm, mm) == mm;
	out.map.start = BPF_CORE_READ(vma, vm_start);
	out.map.flags = BPF_CORE_READ(vma, vm_flags);
	out.map.idx = BPF_CORE_READ(vcpu, vcpu_idx);
	return emit_map(ctx);
}

/* Of any mapping: one of writes alone (UFFD_FEATURE_WP_ASYNC) of a vCPU's too. */
static int tell_userfaultfd(struct bpf_iter__task_vma *ctx, struct vm_area_struct *vma)
{
	if (!bpf_core_field_exists(vma->vm_userfaultfd_ctx.ctx) || !BPF_CORE_READ(vma, vm_userfaultfd_ctx.ctx))
		return 0;
	begin(KVM_REC_UFFD, 0, 0);
	out.map.start = BPF_CORE_READ(vma, vm_start);
	return emit_map(ctx);
}

/* What does not fit is asked for again. */
SEC("iter/task_vma")
int kvm_maps(struct bpf_iter__task_vma *ctx)
{
	struct vm_area_struct *vma = ctx->vma;
	char name[24] = "";
	struct file *file;

	if (!vma || !ctx->task || BPF_CORE_READ(vma, vm_start) < maps_told || tell_userfaultfd(ctx, vma))
		return 0;
	file = BPF_CORE_READ(vma, vm_file);
	if (file && read_name(file, name, sizeof(name)) && BEGINS(name, "kvm-vcpu:") && tell_map(ctx, vma, file))
		return 0;
	maps_told = BPF_CORE_READ(vma, vm_start) + 1;
	return 0;
}
