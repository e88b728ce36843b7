// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walks the files of a process and tells what KVM keeps of each VM and has no
 * getter for. Reads only; everything it follows is a kernel pointer read with a
 * fault-safe helper, and every walk is bounded.
 */
#include "kernel_types.h"

#include "../state/pmu_events.h"
#include "kvm_file.bpf.h"
#include "kvm_iter.h"
#include "kvm_task.bpf.h"

#define MAX_CHAIN 4096 /* memslots in one hash bucket; the kernel allows 32764 in all */
#define MAX_DEVICES 64
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

char _license[] SEC("license") = "GPL";

/* VMs that this pass has told of, and by which fd: user space sets nr_seen to 0 before it. */
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
	struct seq_file *seq;
	unsigned long long kvm; /* as integers: pointers in a type of ours would be relocated */
	unsigned long long at, aux;
	unsigned int fd;
	unsigned int result;
};

unsigned int first_record; /* of a VM, that this pass is to tell */
unsigned int most_records; /* of any VM, beside the first: as many passes are needed */

/*
 * What loops count is kept here, not on the stack: the verifier knows nothing of it, and does not follow each value
 * that it can have.
 */
static unsigned int records; /* of this VM so far, beside the first */

static void emit(struct seq_file *seq, struct kvm_rec *rec)
{
	bpf_seq_write(seq, rec, sizeof(*rec));
}

/* Further records of a VM, of which there may be more than a pass can tell. */
static void emit_more(struct walk *w, struct kvm_rec *rec)
{
	unsigned int nr = records++;

	if (nr >= first_record && nr - first_record < KVM_RECORDS_IN_PASS)
		emit(w->seq, rec);
}

static int emit_slot(__u32 i, struct walk *w)
{
	void *node = (void *)w->at;
	struct kvm_rec rec = { .type = KVM_REC_SLOT, .fd = w->fd, .kvm = w->kvm };
	struct kvm_memory_slot *slot;

	if (!node)
		return 1;
	slot = node - bpf_core_field_offset(struct kvm_memory_slot, id_node) -
	       w->aux * sizeof(void *) * 2;
	rec.slot.gpa = BPF_CORE_READ(slot, base_gfn);
	rec.slot.npages = BPF_CORE_READ(slot, npages);
	rec.slot.hva = BPF_CORE_READ(slot, userspace_addr);
	rec.slot.flags = BPF_CORE_READ(slot, flags);
	rec.slot.id = (unsigned short)BPF_CORE_READ(slot, id) | (__u32)BPF_CORE_READ(slot, as_id) << 16;
	emit_more(w, &rec);
	w->at = (unsigned long long)next_of(node);
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
	return 0;
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

/* Not on the stack, as caps_rec is not. */
static struct kvm_rec spi_rec;

static void emit_spi(struct walk *w, enum kvm_rec_type type)
{
	spi_rec.type = type;
	spi_rec.fd = w->fd;
	spi_rec.kvm = w->kvm;
	emit_more(w, &spi_rec);
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
	spi_rec.active.intid = irq->intid;
	spi_rec.active.vcpu_idx = holder->vcpu_idx;
	emit_spi(w, KVM_REC_ACTIVE);
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
		spi_rec.unrouted.first = NR_PRIVATE + i - 31;
		spi_rec.unrouted.bits = w->result;
		emit_spi(w, KVM_REC_UNROUTED);
		w->result = 0;
	}
	return 0;
}

/* Not on the stack, as caps_rec is not. */
static struct kvm_rec lines_rec;

/* Of a GICv2, which has no LEVEL_INFO: a line's level, and what is pending without it. */
static void note_line(struct vgic_irq *irq, __u32 i)
{
	lines_rec.lines.level |= (__u32)BPF_CORE_READ_BITFIELD_PROBED(irq, line_level) << (i % 32);
	lines_rec.lines.latch |= (__u32)BPF_CORE_READ_BITFIELD_PROBED(irq, pending_latch) << (i % 32);
}

static int emit_spi_lines(__u32 i, struct walk *w)
{
	if (i >= w->aux)
		return 1;
	note_line((void *)w->at + i * bpf_core_type_size(struct vgic_irq), i);
	if (i % 32 != 31)
		return 0;
	lines_rec.lines.first = NR_PRIVATE + i - 31;
	emit_more(w, &lines_rec);
	lines_rec.lines.level = lines_rec.lines.latch = 0;
	return 0;
}

static int note_private_line(__u32 i, struct walk *w)
{
	struct vgic_irq *irq = (void *)w->at + i * bpf_core_type_size(struct vgic_irq);

	note_line(irq, i);
	if (i < NR_SGIS && BPF_CORE_READ_BITFIELD_PROBED(irq, active) && BPF_CORE_READ(irq, active_source))
		lines_rec.lines.foreign |= 1u << i;
	return 0;
}

static void begin_lines(const struct walk *w)
{
	lines_rec = (struct kvm_rec){ .type = KVM_REC_LINES, .fd = w->fd, .kvm = w->kvm };
}

/*
 * The events that the filter lets through, by the words in which that changes. An older PMU has fewer, and
 * what is read behind those means nothing.
 */
static int emit_pmu_events(__u32 i, struct walk *w)
{
	struct kvm_rec rec = { .type = KVM_REC_PMU, .fd = w->fd, .kvm = w->kvm };
	__u64 allowed = 0;

	bpf_probe_read_kernel(&allowed, sizeof(allowed), (void *)w->at + i * sizeof(allowed));
	if (allowed == (w->aux ? ~0ull : 0))
		return 0;
	w->aux = allowed >> 63;
	rec.pmu.first = 64 * i;
	rec.pmu.allowed = allowed;
	emit_more(w, &rec);
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

static bool has_own_routes(struct kvm *kvm)
{
	struct kvm_irq_routing_table *table = BPF_CORE_READ(kvm, irq_routing);
	struct walk w = { .at = (unsigned long long)table };

	w.aux = table ? BPF_CORE_READ(table, nr_rt_entries) : 0;
	if (w.aux != (__u32)BPF_CORE_READ(kvm, arch.vgic.nr_spis))
		return true;
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
	HAS(KVM_HAS_ROUTING, BPF_CORE_READ(kvm, arch.vgic.initialized) && has_own_routes(kvm));
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

/* Not on the stack, which is 512 bytes for all functions that call each other. */
static struct kvm_rec caps_rec;

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
		caps_rec.smccc.first = tree.index;
		caps_rec.smccc.last = tree.max;
		caps_rec.smccc.action = value >> 1; /* xa_to_value() */
		emit_more(w, &caps_rec);
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
static void emit_caps(struct kvm *kvm, struct walk *w)
{
	caps_rec = (struct kvm_rec){ .type = KVM_REC_SMCCC, .fd = w->fd, .kvm = w->kvm };
	tree.index = tree.done = 0;
	tree.root = (unsigned long long)BPF_CORE_READ(kvm, arch.smccc_filter.ma_root);
	begin_at_root();
	if (tree.root)
		bpf_loop(MAX_SMCCC_STEPS, step_smccc, w, 0);
	caps_rec.type = KVM_REC_CAPS;
	caps_rec.caps.smccc_filter = !!tree.root;
	caps_rec.caps.smccc_unread = tree.root && !tree.done;
	caps_rec.caps.manual_dirty_log = BPF_CORE_READ(kvm, manual_dirty_log_protect);
	caps_rec.caps.split_chunk = BPF_CORE_READ(kvm, arch.mmu.split_page_chunk_size);
	caps_rec.caps.override_halt_poll = BPF_CORE_READ(kvm, override_halt_poll_ns);
	caps_rec.caps.halt_poll_ns = BPF_CORE_READ(kvm, max_halt_poll_ns);
	emit_more(w, &caps_rec);
}

static bool is_owned(struct task_struct *task, struct kvm *kvm)
{
	return task && BPF_CORE_READ(kvm, mm) == BPF_CORE_READ(task, mm);
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
 * Whether @kvm is still to be told of, or was by this same @fd: the kernel calls again for a file
 * whose records did not fit, and takes back those that did. One too many is not: it would be told by each of its fds, which are
 * as many as the process likes.
 */
static bool is_first_fd(struct kvm *kvm, unsigned int fd)
{
	struct walk w = { .kvm = (unsigned long long)kvm };
	unsigned int i = nr_seen;

	bpf_loop(KVM_MAX_VMS, find_seen, &w, 0);
	if (w.at)
		return w.result == fd;
	if (i >= KVM_MAX_VMS) {
		nr_too_many++;
		return false;
	}
	seen[i].kvm = (unsigned long long)kvm;
	seen[i].fd = fd;
	nr_seen = i + 1;
	return true;
}

static void emit_vm(struct bpf_iter__task_file *ctx, struct kvm *kvm)
{
	struct kvm_rec rec = { .type = KVM_REC_VM, .fd = ctx->fd, .kvm = (unsigned long long)kvm };
	struct walk w = { .seq = ctx->meta->seq, .kvm = rec.kvm, .fd = ctx->fd };
	unsigned int nr_events;

	w.at = w.aux = rec.kvm + bpf_core_field_offset(struct kvm, devices);
	bpf_loop(MAX_DEVICES, count_device, &w, 0);
	rec.vm.nr_devices = w.result;

	rec.vm.vtcr = BPF_CORE_READ(kvm, arch.mmu.vtcr);
	rec.vm.flags = BPF_CORE_READ(kvm, arch.flags);
	rec.vm.features = BPF_CORE_READ(kvm, arch.vcpu_features[0]);
	rec.vm.poffset = BPF_CORE_READ(kvm, arch.timer_data.poffset);
	rec.vm.nr_vcpus = BPF_CORE_READ(kvm, online_vcpus.counter);
	rec.vm.vgic_model = BPF_CORE_READ(kvm, arch.vgic.vgic_model);
	rec.vm.vgic_in_kernel = BPF_CORE_READ(kvm, arch.vgic.in_kernel);
	rec.vm.vgic_initialized = BPF_CORE_READ(kvm, arch.vgic.initialized);
	rec.owned = is_owned(ctx->task, kvm);
	rec.vm.has = find_state(kvm);
	if (!first_record)
		emit(w.seq, &rec);
	records = 0;
	emit_caps(kvm, &w);

	bpf_loop(128, walk_bucket, &w, 0);

	w.at = (unsigned long long)BPF_CORE_READ(kvm, arch.pmu_filter);
	w.aux = 0;
	nr_events = pmu_nr_events(BPF_CORE_READ(kvm, arch.id_regs[ID_AA64DFR0_EL1]));
	if (w.at)
		bpf_loop(nr_events / 64, emit_pmu_events, &w, 0);

	/* A GICv5 has no state of an SPI here. */
	if (rec.vm.vgic_model != KVM_DEV_TYPE_ARM_VGIC_V2 && rec.vm.vgic_model != KVM_DEV_TYPE_ARM_VGIC_V3)
		return;
	w.at = (unsigned long long)BPF_CORE_READ(kvm, arch.vgic.spis);
	w.aux = w.at ? BPF_CORE_READ(kvm, arch.vgic.nr_spis) : 0;
	if (rec.vm.vgic_model == KVM_DEV_TYPE_ARM_VGIC_V2) {
		bpf_loop(MAX_SPIS, look_at_spi_v2, &w, 0);
		begin_lines(&w);
		bpf_loop(MAX_SPIS, emit_spi_lines, &w, 0);
		return;
	}
	w.result = 0;
	bpf_loop(MAX_SPIS, look_at_spi_v3, &w, 0);
}

/* Breakpoints and watchpoints of KVM_SET_GUEST_DEBUG. */
static int emit_debug(__u32 i, struct walk *w)
{
	struct kvm_rec rec = { .type = KVM_REC_DEBUG, .fd = w->fd, .kvm = w->kvm };
	const __u32 n = sizeof(rec.debug.values) / sizeof(rec.debug.values[0]);

	rec.debug.first = n * i;
	bpf_probe_read_kernel(rec.debug.values, sizeof(rec.debug.values),
			      (void *)w->at + i * sizeof(rec.debug.values));
	emit(w->seq, &rec);
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

static void emit_vcpu(struct bpf_iter__task_file *ctx, struct kvm_vcpu *vcpu)
{
	struct kvm_rec rec = { .type = KVM_REC_VCPU, .fd = ctx->fd };
	struct walk w = { .seq = ctx->meta->seq, .fd = ctx->fd };
	struct kvm *kvm = BPF_CORE_READ(vcpu, kvm);
	struct task_struct *task = ctx->task;

	rec.kvm = (unsigned long long)kvm;
	rec.owned = is_owned(task, kvm);
	rec.vcpu.idx = BPF_CORE_READ(vcpu, vcpu_idx);
	rec.vcpu.id = BPF_CORE_READ(vcpu, vcpu_id);
	rec.vcpu.mmio_needed = BPF_CORE_READ(vcpu, mmio_needed);
	bpf_probe_read_kernel(&run_page, sizeof(run_page), BPF_CORE_READ(vcpu, run));
	rec.vcpu.run_head = run_page.head;
	rec.vcpu.exit_reason = run_page.exit_reason;
	rec.vcpu.mmio_addr = run_page.mmio_addr;
	rec.vcpu.mmio_is_write = run_page.mmio_is_write;
	rec.vcpu.iflags = BPF_CORE_READ(vcpu, arch.iflags);
	rec.vcpu.sflags = BPF_CORE_READ_BITFIELD_PROBED(vcpu, arch.sflags);
	rec.vcpu.sigset_active = BPF_CORE_READ(vcpu, sigset_active);
	rec.vcpu.sigset = BPF_CORE_READ(vcpu, sigset.sig[0]);
	rec.vcpu.guest_debug = BPF_CORE_READ(vcpu, guest_debug);
	rec.vcpu.steal_base = BPF_CORE_READ(vcpu, arch.steal.base);
	rec.vcpu.pmu_created = BPF_CORE_READ(vcpu, arch.pmu.created);
	rec.vcpu.vtid = task ? runner_of(vcpu, BPF_CORE_READ(task, tgid)) : 0;
	emit(ctx->meta->seq, &rec);

	w.kvm = rec.kvm;
	w.at = (unsigned long long)BPF_CORE_READ(vcpu, arch.vgic_cpu.private_irqs);
	if (w.at && BPF_CORE_READ(kvm, arch.vgic.vgic_model) == KVM_DEV_TYPE_ARM_VGIC_V2) {
		begin_lines(&w);
		bpf_loop(NR_PRIVATE, note_private_line, &w, 0);
		emit(w.seq, &lines_rec);
	}
	if (!rec.vcpu.guest_debug)
		return;
	w.at = (unsigned long long)vcpu + bpf_core_field_offset(struct kvm_vcpu, arch.external_debug_state);
	bpf_loop(DEBUG_REGS / 4, emit_debug, &w, 0);
}

/* Of a fd that has nothing but its VM. */
static void emit_handle(struct bpf_iter__task_file *ctx, enum kvm_rec_type type, struct kvm *kvm)
{
	struct kvm_rec rec = { .type = type, .fd = ctx->fd, .kvm = (unsigned long long)kvm };

	rec.owned = is_owned(ctx->task, kvm);
	emit(ctx->meta->seq, &rec);
}

/* Of @vcpu, or of the VM where that is NULL. */
static void emit_stats(struct bpf_iter__task_file *ctx, struct kvm *kvm, struct kvm_vcpu *vcpu)
{
	struct kvm_rec rec = { .type = KVM_REC_STATS, .fd = ctx->fd };

	rec.kvm = (unsigned long long)kvm;
	rec.owned = is_owned(ctx->task, kvm);
	rec.stats.of_vcpu = vcpu != NULL;
	rec.stats.idx = vcpu ? BPF_CORE_READ(vcpu, vcpu_idx) : 0;
	emit(ctx->meta->seq, &rec);
}

struct its_walk {
	unsigned long long devices, device; /* list heads: all devices; the interrupts of this one */
	unsigned long long at;		    /* the node that is left next: of either list */
	unsigned int orphans;
	unsigned int done;
};

/* By a type that is a pointer: of those named as the ITS's are there are two in the kernel. */
static unsigned long long pointer_at(unsigned long long addr)
{
	return (unsigned long long)AS(struct hlist_head, addr)->first;
}

/*
 * One step in the lists: to the next interrupt of a device, or to the next device. One loop, for
 * one in another costs the verifier dear.
 */
static int step_its(__u32 i, struct its_walk *w)
{
	unsigned long long next = pointer_at(w->at), ite;
	struct its_device *dev;

	if (!next || !its_steps_left)
		return 1;
	its_steps_left--;
	if (w->device && next == w->device + bpf_core_field_offset(struct its_device, itt_head)) {
		w->at = w->device + bpf_core_field_offset(struct its_device, dev_list);
		w->device = 0;
		return 0;
	}
	if (w->device) {
		ite = next - bpf_core_field_offset(struct its_ite, ite_list);
		w->orphans += !pointer_at(ite + bpf_core_field_offset(struct its_ite, collection));
		w->at = next;
		return 0;
	}
	if (next == w->devices) {
		w->done = 1;
		return 1;
	}
	dev = (void *)next - bpf_core_field_offset(struct its_device, dev_list);
	w->device = (unsigned long long)dev;
	w->at = w->device + bpf_core_field_offset(struct its_device, itt_head);
	return 0;
}

static void emit_its(struct bpf_iter__task_file *ctx, struct kvm_device *dev)
{
	struct kvm_rec rec = { .type = KVM_REC_ITS, .fd = ctx->fd };
	struct its_walk w = { 0 };
	struct kvm *kvm = BPF_CORE_READ(dev, kvm);

	rec.kvm = (unsigned long long)kvm;
	rec.owned = is_owned(ctx->task, kvm);
	rec.its.object = (unsigned long long)BPF_CORE_READ(dev, private);
	w.at = w.devices = rec.its.object + bpf_core_field_offset(struct vgic_its, device_list);
	bpf_loop(MAX_ITS_STEPS, step_its, &w, 0);
	rec.its.orphans = w.orphans;
	rec.its.unread = !w.done;
	emit(ctx->meta->seq, &rec);
}

/* What the fd itself is, of @kvm. */
static void emit_file(struct bpf_iter__task_file *ctx, const char *name, struct kvm *kvm, void *object)
{
	if (IS(name, "kvm-vm"))
		emit_handle(ctx, KVM_REC_VM_FD, kvm);
	else if (BEGINS(name, "kvm-vcpu:"))
		emit_vcpu(ctx, object);
	else if (IS(name, "kvm-arm-vgic-its"))
		emit_its(ctx, object);
	else if (BEGINS(name, "kvm-arm-vgic-"))
		emit_handle(ctx, KVM_REC_DEVICE, kvm);
	else if (IS(name, "kvm-vm-stats"))
		emit_stats(ctx, kvm, NULL);
	else if (BEGINS(name, "kvm-vcpu-stats:"))
		emit_stats(ctx, kvm, object);
}

SEC("iter/task_file")
int kvm_files(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	char name[24] = "";
	struct kvm *kvm;
	void *object;

	if (!ctx->task || !file || !read_name(file, name, sizeof(name)))
		return 0;
	object = BPF_CORE_READ(file, private_data);
	kvm = kvm_of(name, object);
	if (!kvm)
		return 0;
	if (!first_record)
		emit_file(ctx, name, kvm, object);
	if (!is_first_fd(kvm, ctx->fd))
		return 0;
	emit_vm(ctx, kvm);
	if (records > most_records)
		most_records = records;
	return 0;
}

/*
 * Where those that were told end, which user space sets to 0 before a pass: of one thread alone, which is what is asked, the kernel
 * begins again behind the last that a read ended with, without end (task_vma_seq_get_next()). Nothing told is the end of it.
 */
unsigned long maps_told;

/*
 * /proc tells mappings of vCPUs of several VMs by their ids alone; and flags of mappings, and whose faults a userfaultfd
 * has, by a walk through all page tables of the process.
 */
static int tell_map(struct bpf_iter__task_vma *ctx, struct vm_area_struct *vma, struct file *file)
{
	struct kvm_rec rec = { .type = KVM_REC_MAP };
	struct kvm_vcpu *vcpu = BPF_CORE_READ(file, private_data);
	struct kvm *kvm = BPF_CORE_READ(vcpu, kvm);

	rec.kvm = (unsigned long long)kvm;
	rec.owned = is_owned(ctx->task, kvm);
	rec.map.start = BPF_CORE_READ(vma, vm_start);
	rec.map.flags = BPF_CORE_READ(vma, vm_flags);
	rec.map.idx = BPF_CORE_READ(vcpu, vcpu_idx);
	return bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec));
}

/* Of any mapping: one of writes alone (UFFD_FEATURE_WP_ASYNC) of a vCPU's too. */
static int tell_userfaultfd(struct bpf_iter__task_vma *ctx, struct vm_area_struct *vma)
{
	struct kvm_rec rec = { .type = KVM_REC_UFFD };

	if (!bpf_core_field_exists(vma->vm_userfaultfd_ctx.ctx) || !BPF_CORE_READ(vma, vm_userfaultfd_ctx.ctx))
		return 0;
	rec.map.start = BPF_CORE_READ(vma, vm_start);
	return bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec));
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
