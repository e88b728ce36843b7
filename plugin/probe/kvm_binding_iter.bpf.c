// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a VM has bound, for which KVM has no getter: irqfds, ioeventfds, zones of coalesced MMIO, GSI routes.
 * There can be thousands, more than the output of one pass has room for: each
 * pass tells those from first_binding on.
 */
#include "kernel_types.h"

#include "kvm_file.bpf.h"
#include "kvm_iter.h"

#define PF_WQ_WORKER 0x20
#define WORK_PENDING 1 /* WORK_STRUCT_PENDING */
#define MAX_LIST 65536
#define MAX_ROUTES 4096
#define MAX_PINS 988
#define KVM_IRQ_ROUTING_IRQCHIP 1
#define KVM_IRQ_ROUTING_MSI 2

/* These walk through all tasks there are, where an iterator shows those of one pid namespace, which has no workers. */
extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task, unsigned int flags) __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __ksym;

char _license[] SEC("license") = "GPL";

/* Set by user space: the fd that is of the VM, whatever else it is, and the first that this pass is to tell. */
unsigned int binding_fd, first_binding;

/* What injects an irqfd's interrupt, once a pass has seen one: all that works are looked at for. */
static unsigned long long inject;

struct binding_walk {
	struct seq_file *seq;
	unsigned long long kvm;
	unsigned long long head, at; /* a list and the node that is left next; or the table of routes */
	unsigned int nr_routes;
	unsigned int seen; /* bindings so far, told or not */
	unsigned int fd;
};

static void emit_binding(struct binding_walk *w, struct kvm_rec *rec)
{
	unsigned int i = w->seen++ - first_binding;

	rec->fd = w->fd;
	rec->kvm = w->kvm;
	if (i < KVM_BINDINGS_PER_PASS)
		bpf_seq_write(w->seq, rec, sizeof(*rec));
}

/* The next node of the list, or NULL at its end. */
static void *step(struct binding_walk *w)
{
	void *node = next_of((void *)w->at);

	w->at = (unsigned long long)node;
	return w->at == w->head ? NULL : node;
}

static int tell_irqfd(__u32 i, struct binding_walk *w)
{
	struct kvm_rec rec = { .type = KVM_REC_IRQFD };
	struct kvm_kernel_irqfd *irqfd;
	void *node = step(w);

	if (!node)
		return 1;
	irqfd = node - bpf_core_field_offset(struct kvm_kernel_irqfd, list);
	rec.irqfd.gsi = BPF_CORE_READ(irqfd, gsi);
	rec.irqfd.eventfd = (unsigned long long)BPF_CORE_READ(irqfd, eventfd);
	rec.irqfd.resamplefd = (unsigned long long)BPF_CORE_READ(irqfd, resamplefd);
	rec.irqfd.work = (unsigned long long)irqfd + bpf_core_field_offset(struct kvm_kernel_irqfd, inject);
	rec.irqfd.pending = BPF_CORE_READ(irqfd, inject.data.counter) & WORK_PENDING;
	inject = (unsigned long long)BPF_CORE_READ(irqfd, inject.func);
	emit_binding(w, &rec);
	return 0;
}

static int tell_ioeventfd(__u32 i, struct binding_walk *w)
{
	struct kvm_rec rec = { .type = KVM_REC_IOEVENTFD };
	struct _ioeventfd *ioeventfd;
	void *node = step(w);
	__u8 bus;

	if (!node)
		return 1;
	ioeventfd = node - bpf_core_field_offset(struct _ioeventfd, list);
	bus = BPF_CORE_READ(ioeventfd, bus_idx);
	rec.ioeventfd.eventfd = (unsigned long long)BPF_CORE_READ(ioeventfd, eventfd);
	rec.ioeventfd.addr = BPF_CORE_READ(ioeventfd, addr);
	rec.ioeventfd.datamatch = BPF_CORE_READ(ioeventfd, datamatch);
	rec.ioeventfd.length = BPF_CORE_READ(ioeventfd, length);
	rec.ioeventfd.wildcard = BPF_CORE_READ(ioeventfd, wildcard);
	rec.ioeventfd.pio = bus == bpf_core_enum_value(enum kvm_bus, KVM_PIO_BUS);
	rec.ioeventfd.ccw = bus == bpf_core_enum_value(enum kvm_bus, KVM_VIRTIO_CCW_NOTIFY_BUS);
	rec.ioeventfd.fast = bus == bpf_core_enum_value(enum kvm_bus, KVM_FAST_MMIO_BUS);
	emit_binding(w, &rec);
	return 0;
}

static int tell_zone(__u32 i, struct binding_walk *w)
{
	struct kvm_rec rec = { .type = KVM_REC_ZONE };
	struct kvm_coalesced_mmio_dev *dev;
	void *node = step(w);

	if (!node)
		return 1;
	dev = node - bpf_core_field_offset(struct kvm_coalesced_mmio_dev, list);
	rec.zone.addr = BPF_CORE_READ(dev, zone.addr);
	rec.zone.size = BPF_CORE_READ(dev, zone.size);
	rec.zone.pio = BPF_CORE_READ(dev, zone.pio);
	emit_binding(w, &rec);
	return 0;
}

/* The GSIs of the pins of the one interrupt controller. */
static void *gsis_of(struct kvm_irq_routing_table *table)
{
	if (bpf_core_field_exists(struct kvm_irq_routing_table___6_12, chip))
		return (void *)table + bpf_core_field_offset(struct kvm_irq_routing_table___6_12, chip);
	return (void *)table + bpf_core_field_offset(struct kvm_irq_routing_table___7_0, chip);
}

static void read_irqchip(struct kvm_irq_routing_table *table, struct kvm_kernel_irq_routing_entry *e,
			 struct kvm_rec *rec)
{
	int gsi = -1;

	rec->route.irqchip = BPF_CORE_READ(e, irqchip.irqchip);
	rec->route.pin = BPF_CORE_READ(e, irqchip.pin);
	if (!rec->route.irqchip && rec->route.pin < MAX_PINS)
		bpf_probe_read_kernel(&gsi, sizeof(gsi), gsis_of(table) + rec->route.pin * sizeof(gsi));
	rec->route.acked = gsi == (int)rec->route.gsi;
}

/* One GSI has one route, for arm64 has one interrupt controller. */
static int tell_route(__u32 i, struct binding_walk *w)
{
	struct kvm_irq_routing_table *table = (void *)w->at;
	struct kvm_rec rec = { .type = KVM_REC_ROUTE };
	struct kvm_kernel_irq_routing_entry *e;
	void *map, *first;

	if (i >= w->nr_routes)
		return 1;
	map = (void *)table + bpf_core_field_offset(struct kvm_irq_routing_table, map);
	first = next_of(map + i * sizeof(void *));
	if (!first)
		return 0;
	e = first - bpf_core_field_offset(struct kvm_kernel_irq_routing_entry, link);
	rec.route.gsi = i;
	rec.route.type = BPF_CORE_READ(e, type);
	if (rec.route.type == KVM_IRQ_ROUTING_IRQCHIP) {
		read_irqchip(table, e, &rec);
	} else if (rec.route.type == KVM_IRQ_ROUTING_MSI) {
		rec.route.address =
			(__u64)BPF_CORE_READ(e, msi.address_hi) << 32 | BPF_CORE_READ(e, msi.address_lo);
		rec.route.data = BPF_CORE_READ(e, msi.data);
		rec.route.flags = BPF_CORE_READ(e, msi.flags);
		rec.route.devid = BPF_CORE_READ(e, msi.devid);
	}
	emit_binding(w, &rec);
	return 0;
}

SEC("iter/task_file")
int kvm_bindings(struct bpf_iter__task_file *ctx)
{
	struct binding_walk w = { .seq = ctx->meta->seq, .fd = ctx->fd };
	struct kvm_irq_routing_table *table;
	struct file *file = ctx->file;
	char name[24] = "";
	struct kvm *kvm;

	if (!ctx->task || !file || ctx->fd != binding_fd || !read_name(file, name, sizeof(name)))
		return 0;
	kvm = kvm_of(name, BPF_CORE_READ(file, private_data));
	if (!kvm)
		return 0;
	w.kvm = (unsigned long long)kvm;
	w.head = w.at = w.kvm + bpf_core_field_offset(struct kvm, irqfds.items);
	bpf_loop(MAX_LIST, tell_irqfd, &w, 0);
	w.head = w.at = w.kvm + bpf_core_field_offset(struct kvm, ioeventfds);
	bpf_loop(MAX_LIST, tell_ioeventfd, &w, 0);
	w.head = w.at = w.kvm + bpf_core_field_offset(struct kvm, coalesced_zones);
	bpf_loop(MAX_LIST, tell_zone, &w, 0);
	table = BPF_CORE_READ(kvm, irq_routing);
	w.at = (unsigned long long)table;
	w.nr_routes = table ? BPF_CORE_READ(table, nr_rt_entries) : 0;
	bpf_loop(MAX_ROUTES, tell_route, &w, 0);
	return 0;
}

static void tell_work(struct seq_file *seq, struct task_struct *task)
{
	struct kvm_rec rec = { .type = KVM_REC_WORK };
	struct kthread *kthread;
	struct worker *worker;

	if (!(BPF_CORE_READ(task, flags) & PF_WQ_WORKER))
		return;
	kthread = BPF_CORE_READ(task, worker_private);
	worker = BPF_CORE_READ(kthread, data);
	rec.work.work = (unsigned long long)BPF_CORE_READ(worker, current_work);
	if (rec.work.work && (unsigned long long)BPF_CORE_READ(worker, current_func) == inject)
		bpf_seq_write(seq, &rec, sizeof(rec));
}

/* Called for one task, whichever that is. */
SEC("iter/task")
int works(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task;
	struct bpf_iter_task it;

	if (!ctx->task)
		return 0;
	bpf_iter_task_new(&it, NULL, BPF_TASK_ITER_ALL_PROCS);
	while ((task = bpf_iter_task_next(&it)))
		tell_work(seq, task);
	bpf_iter_task_destroy(&it);
	return 0;
}
