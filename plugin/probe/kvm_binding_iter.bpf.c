// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a VM has bound, for which KVM has no getter: irqfds, ioeventfds, zones of coalesced MMIO, GSI routes.
 * There can be thousands, more than the output of one pass has room for: each
 * pass tells those from first_binding on, and steps over those before, for it is one run of the program,
 * in which its CPU does nothing else.
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

/* Set by user space: a fd that is of the VM, whatever else it is, which VM that is, and the first that this pass is to tell. */
unsigned int binding_fd, first_binding;
unsigned long long binding_vm;

/* The fd is another's by now, or the process has ended: what was told is nothing. */
unsigned int binding_changed;

/* What injects an irqfd's interrupt, once a pass has seen one: all that works are looked at for. */
static unsigned long long inject;

struct binding_walk {
	struct bpf_iter__task *ctx;
	unsigned long long kvm;
	unsigned long long head, at; /* a list and the node that is left next; or the table of routes */
	unsigned int nr_routes;
	unsigned int seen; /* bindings so far, told or not */
	unsigned int fd;
};

/* As out of kvm_iter.bpf.c. */
static struct kvm_rec binding;

/* As emit() there. */
VERIFIED_ALONE int emit_binding(struct bpf_iter__task *ctx)
{
	return bpf_seq_write(ctx->meta->seq, &binding, sizeof(binding));
}

static void begin_binding(const struct binding_walk *w, enum kvm_rec_type type)
{
	binding = (struct kvm_rec){ .type = type, .fd = w->fd, .kvm = w->kvm };
}

/* All of the window was told: what is left of the lists is for the next pass. */
static bool is_past(const struct binding_walk *w)
{
	return w->seen >= first_binding + KVM_BINDINGS_PER_PASS;
}

/* One that was told by a pass before is passed over: nothing of it is read. */
static bool was_told(struct binding_walk *w)
{
	return w->seen++ < first_binding;
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
	struct kvm_kernel_irqfd *irqfd;
	void *node = is_past(w) ? NULL : step(w);

	if (!node)
		return 1;
	if (was_told(w))
		return 0;
	irqfd = node - bpf_core_field_offset(struct kvm_kernel_irqfd, list);
	begin_binding(w, KVM_REC_IRQFD);
	binding.irqfd.gsi = BPF_CORE_READ(irqfd, gsi);
	binding.irqfd.eventfd = (unsigned long long)BPF_CORE_READ(irqfd, eventfd);
	binding.irqfd.resamplefd = (unsigned long long)BPF_CORE_READ(irqfd, resamplefd);
	binding.irqfd.work = (unsigned long long)irqfd + bpf_core_field_offset(struct kvm_kernel_irqfd, inject);
	binding.irqfd.pending = BPF_CORE_READ(irqfd, inject.data.counter) & WORK_PENDING;
	inject = (unsigned long long)BPF_CORE_READ(irqfd, inject.func);
	emit_binding(w->ctx);
	return 0;
}

static int tell_ioeventfd(__u32 i, struct binding_walk *w)
{
	struct _ioeventfd *ioeventfd;
	void *node = is_past(w) ? NULL : step(w);
	__u8 bus;

	if (!node)
		return 1;
	if (was_told(w))
		return 0;
	ioeventfd = node - bpf_core_field_offset(struct _ioeventfd, list);
	bus = BPF_CORE_READ(ioeventfd, bus_idx);
	begin_binding(w, KVM_REC_IOEVENTFD);
	binding.ioeventfd.eventfd = (unsigned long long)BPF_CORE_READ(ioeventfd, eventfd);
	binding.ioeventfd.addr = BPF_CORE_READ(ioeventfd, addr);
	binding.ioeventfd.datamatch = BPF_CORE_READ(ioeventfd, datamatch);
	binding.ioeventfd.length = BPF_CORE_READ(ioeventfd, length);
	binding.ioeventfd.wildcard = BPF_CORE_READ(ioeventfd, wildcard);
	binding.ioeventfd.pio = bus == bpf_core_enum_value(enum kvm_bus, KVM_PIO_BUS);
	binding.ioeventfd.ccw = bus == bpf_core_enum_value(enum kvm_bus, KVM_VIRTIO_CCW_NOTIFY_BUS);
	binding.ioeventfd.fast = bus == bpf_core_enum_value(enum kvm_bus, KVM_FAST_MMIO_BUS);
	emit_binding(w->ctx);
	return 0;
}

static int tell_zone(__u32 i, struct binding_walk *w)
{
	struct kvm_coalesced_mmio_dev *dev;
	void *node = is_past(w) ? NULL : step(w);

	if (!node)
		return 1;
	if (was_told(w))
		return 0;
	dev = node - bpf_core_field_offset(struct kvm_coalesced_mmio_dev, list);
	begin_binding(w, KVM_REC_ZONE);
	binding.zone.addr = BPF_CORE_READ(dev, zone.addr);
	binding.zone.size = BPF_CORE_READ(dev, zone.size);
	binding.zone.pio = BPF_CORE_READ(dev, zone.pio);
	emit_binding(w->ctx);
	return 0;
}

/* The GSIs of the pins of the one interrupt controller. */
static void *gsis_of(struct kvm_irq_routing_table *table)
{
	if (bpf_core_field_exists(struct kvm_irq_routing_table___6_12, chip))
		return (void *)table + bpf_core_field_offset(struct kvm_irq_routing_table___6_12, chip);
	return (void *)table + bpf_core_field_offset(struct kvm_irq_routing_table___7_0, chip);
}

static void read_irqchip(struct kvm_irq_routing_table *table, struct kvm_kernel_irq_routing_entry *e)
{
	int gsi = -1;

	binding.route.irqchip = BPF_CORE_READ(e, irqchip.irqchip);
	binding.route.pin = BPF_CORE_READ(e, irqchip.pin);
	if (!binding.route.irqchip && binding.route.pin < MAX_PINS)
		bpf_probe_read_kernel(&gsi, sizeof(gsi), gsis_of(table) + binding.route.pin * sizeof(gsi));
	binding.route.acked = gsi == (int)binding.route.gsi;
}

/* One GSI has one route, for arm64 has one interrupt controller. */
static int tell_route(__u32 i, struct binding_walk *w)
{
	struct kvm_irq_routing_table *table = (void *)w->at;
	struct kvm_kernel_irq_routing_entry *e;
	void *map, *first;

	if (i >= w->nr_routes || is_past(w))
		return 1;
	map = (void *)table + bpf_core_field_offset(struct kvm_irq_routing_table, map);
	first = next_of(map + i * sizeof(void *));
	if (!first || was_told(w))
		return 0;
	e = first - bpf_core_field_offset(struct kvm_kernel_irq_routing_entry, link);
	begin_binding(w, KVM_REC_ROUTE);
	binding.route.gsi = i;
	binding.route.type = BPF_CORE_READ(e, type);
	if (binding.route.type == KVM_IRQ_ROUTING_IRQCHIP) {
		read_irqchip(table, e);
	} else if (binding.route.type == KVM_IRQ_ROUTING_MSI) {
		binding.route.address =
			(__u64)BPF_CORE_READ(e, msi.address_hi) << 32 | BPF_CORE_READ(e, msi.address_lo);
		binding.route.data = BPF_CORE_READ(e, msi.data);
		binding.route.flags = BPF_CORE_READ(e, msi.flags);
		binding.route.devid = BPF_CORE_READ(e, msi.devid);
	}
	emit_binding(w->ctx);
	return 0;
}

/* The VM that binding_fd is of, or NULL. */
static struct kvm *vm_at_fd(struct files_struct *files)
{
	struct fdtable *fds = BPF_CORE_READ(files, fdt);
	char name[24] = "";
	struct file *file;

	if (binding_fd >= BPF_CORE_READ(fds, max_fds))
		return NULL;
	file = next_of((void *)BPF_CORE_READ(fds, fd) + binding_fd * sizeof(void *));
	if (!file || !read_name(file, name, sizeof(name)))
		return NULL;
	return kvm_of(kind_of(name), BPF_CORE_READ(file, private_data));
}

SEC("iter/task")
int kvm_bindings(struct bpf_iter__task *ctx)
{
	struct binding_walk w = { .ctx = ctx, .fd = binding_fd };
	struct task_struct *task = ctx->task;
	struct kvm_irq_routing_table *table;
	struct files_struct *files;
	struct kvm *kvm;

	if (!task)
		return 0;
	files = BPF_CORE_READ(task, files);
	kvm = vm_at_fd(files);
	w.kvm = (unsigned long long)kvm;
	if (!kvm || w.kvm != binding_vm)
		return 0;
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
	binding_changed = !files || BPF_CORE_READ(task, files) != files;
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
