// SPDX-License-Identifier: GPL-2.0-only
/*
 * See binding.h.
 *
 * Whoever else can signal an eventfd could do so while the VM is saved, and the interrupt would be lost. That
 * is a process that has the file; or a part of the kernel, which has the file or the eventfd itself (vhost,
 * VFIO, AIO, io_uring): so the references to both are counted, and to the tables of fds. Processes outside of
 * criu's pid namespace are not to be seen, and are counted with them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "probe/binding.h"
#include "probe/discover.h"

#define EFD_SEMAPHORE 1u

/* What is bound to an eventfd, for messages. */
struct use {
	uint64_t eventfd;
	const char *what; /* "irqfd, GSI" */
	uint64_t where;
};

#define MAX_USES 2 /* of one record */

static size_t uses_of(const struct kvm_rec *rec, struct use uses[MAX_USES])
{
	size_t nr = 0;

	if (rec->type == KVM_REC_IOEVENTFD)
		uses[nr++] =
			(struct use){ rec->ioeventfd.eventfd, "ioeventfd, address", rec->ioeventfd.addr };
	if (rec->type == KVM_REC_IRQFD)
		uses[nr++] = (struct use){ rec->irqfd.eventfd, "irqfd, GSI", rec->irqfd.gsi };
	if (rec->type == KVM_REC_IRQFD && rec->irqfd.resamplefd)
		uses[nr++] =
			(struct use){ rec->irqfd.resamplefd, "resamplefd of an irqfd, GSI", rec->irqfd.gsi };
	return nr;
}

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_uses(const void *a, const void *b)
{
	return compare(*(const uint64_t *)a, *(const uint64_t *)b);
}

int binding_list_uses(struct bindings *b)
{
	struct use uses[MAX_USES];

	b->nr_uses = 0;
	b->uses = calloc(MAX_USES * b->bound.nr + 1, sizeof(*b->uses));
	if (!b->uses)
		return -ENOMEM;
	for (size_t i = 0; i < b->bound.nr; i++)
		for (size_t u = uses_of(&b->bound.recs[i], uses); u--;)
			b->uses[b->nr_uses++] = uses[u].eventfd;
	qsort(b->uses, b->nr_uses, sizeof(*b->uses), compare_uses);
	return 0;
}

size_t binding_count_uses(const struct bindings *b, uint64_t eventfd)
{
	const uint64_t *at = bsearch(&eventfd, b->uses, b->nr_uses, sizeof(*b->uses), compare_uses);
	const uint64_t *first = at, *last = at;

	if (!at)
		return 0;
	while (first > b->uses && first[-1] == eventfd)
		first--;
	while (last < b->uses + b->nr_uses && *last == eventfd)
		last++;
	return last - first;
}

int binding_compare_fds(const void *a_, const void *b_)
{
	const struct kvm_rec *a = a_, *b = b_;
	int ret = compare(a->eventfd.eventfd, b->eventfd.eventfd);

	if (!ret)
		ret = compare(a->eventfd.files, b->eventfd.files);
	return ret ? ret : compare(a->fd, b->fd);
}

static int compare_eventfd(const void *key, const void *rec)
{
	return compare(*(const uint64_t *)key, ((const struct kvm_rec *)rec)->eventfd.eventfd);
}

/* The fds of one eventfd. */
static struct probe_recs fds_of(const struct bindings *b, uint64_t eventfd)
{
	const struct kvm_rec *end = b->fds.recs + b->fds.nr, *last;
	const struct kvm_rec *first =
		b->fds.nr ? bsearch(&eventfd, b->fds.recs, b->fds.nr, sizeof(*first), compare_eventfd) : NULL;

	if (!first)
		return (struct probe_recs){ 0 };
	for (last = first; last < end && last->eventfd.eventfd == eventfd;)
		last++;
	while (first > b->fds.recs && first[-1].eventfd.eventfd == eventfd)
		first--;
	return (struct probe_recs){ first, last - first };
}

/* Without those that are one: processes that share a table of fds show each fd as theirs. */
static size_t count_fds(struct probe_recs fds)
{
	size_t nr = 0;

	for (size_t i = 0; i < fds.nr; i++)
		nr += !i || fds.recs[i].fd != fds.recs[i - 1].fd ||
		      fds.recs[i].eventfd.files != fds.recs[i - 1].eventfd.files;
	return nr;
}

static bool is_injecting(const struct bindings *b, const struct kvm_rec *irqfd)
{
	for (size_t i = 0; i < b->works.nr; i++)
		if (b->works.recs[i].work.work == irqfd->irqfd.work)
			return true;
	return irqfd->irqfd.pending;
}

/* The file is held by its fds; the eventfd by the file and by what is bound to it. */
static bool file_is_held(struct probe_recs fds)
{
	return fds.nr && fds.recs[0].eventfd.refs > count_fds(fds);
}

static bool eventfd_is_held(const struct bindings *b, struct probe_recs fds)
{
	return fds.nr && fds.recs[0].eventfd.users > 1 + binding_count_uses(b, fds.recs[0].eventfd.eventfd);
}

static size_t count_tasks(const struct bindings *b, unsigned long long files)
{
	size_t nr = 0;

	for (size_t i = 0; i < b->tasks.nr; i++)
		nr += b->tasks.recs[i].task.files == files;
	return nr;
}

/* The fd in a table that is also of a task which is not seen (CLONE_FILES), or NULL. */
static const struct kvm_rec *find_shared(const struct bindings *b, struct probe_recs fds)
{
	for (size_t i = 0; i < fds.nr; i++)
		if (fds.recs[i].eventfd.tasks > count_tasks(b, fds.recs[i].eventfd.files))
			return &fds.recs[i];
	return NULL;
}

bool binding_at_rest(const struct bindings *b)
{
	for (size_t i = 0; i < b->bound.nr; i++)
		if (b->bound.recs[i].type == KVM_REC_IRQFD && is_injecting(b, &b->bound.recs[i]))
			return false;
	for (size_t i = 0; i < b->nr_uses; i++) {
		struct probe_recs fds = fds_of(b, b->uses[i]);

		if (file_is_held(fds) || eventfd_is_held(b, fds) || find_shared(b, fds))
			return false;
	}
	return true;
}

static int refuse(const struct bindings *b, const struct use *use, const char *why, const char *advice)
{
	pr_err("pid %d: %s %#llx: %s: " REFUSAL ": %s\n", b->pid, use->what, (unsigned long long)use->where,
	       why, advice);
	return -ENOTSUP;
}

static const struct holder *holder_of(const struct bindings *b, const struct kvm_rec *fd)
{
	for (size_t i = 0; i < b->nr_holders; i++)
		if (b->holders[i].pid == (pid_t)fd->eventfd.pid)
			return &b->holders[i];
	return NULL;
}

/* Somebody who is not dumped has it: as its fd is @fd. */
static int refuse_stranger(const struct bindings *b, const struct use *use, const struct kvm_rec *fd)
{
	char why[100];

	snprintf(why, sizeof(why), "pid %u has its eventfd too (fd %u), and is not dumped", fd->eventfd.pid,
		 fd->fd);
	return refuse(b, use, why, "dump that process with the VMM, or close it there");
}

/* A task that is not seen has it: by the table of fds that @fd is in. */
static int refuse_sharer(const struct bindings *b, const struct use *use, const struct kvm_rec *fd)
{
	char why[100];

	snprintf(why, sizeof(why), "a process that criu cannot see shares the fds of pid %u (CLONE_FILES)",
		 fd->eventfd.pid);
	return refuse(b, use, why, "end that process, or run criu in its pid namespace");
}

static int check_eventfd(const struct bindings *b, const struct use *use, struct probe_recs fds)
{
	if (!fds.nr)
		return refuse(b, use, "no process has its eventfd", "have the VMM keep it open");
	for (size_t i = 0; i < fds.nr; i++) {
		const struct holder *holder = holder_of(b, &fds.recs[i]);

		if (!holder || !holder->dumped)
			return refuse_stranger(b, use, &fds.recs[i]);
	}
	if (file_is_held(fds))
		return refuse(b, use,
			      "its eventfd is on its way through a socket, or in use by the kernel (vhost, "
			      "io_uring), or by a process that criu cannot see",
			      "end that use of it");
	if (find_shared(b, fds))
		return refuse_sharer(b, use, find_shared(b, fds));
	if (eventfd_is_held(b, fds))
		return refuse(b, use, "its eventfd is bound by others too (another VM, vhost, VFIO, AIO)",
			      "end that use of it");
	if (fds.recs[0].eventfd.flags & EFD_SEMAPHORE)
		return refuse(b, use, "its eventfd is a semaphore, which CRIU does not restore as one",
			      "have the VMM use one without EFD_SEMAPHORE");
	return 0;
}

/* The fd by which a restore is to find it: the owner's if there is one. */
static const struct kvm_rec *choose(const struct bindings *b, struct probe_recs fds)
{
	const struct kvm_rec *best = NULL;

	for (size_t i = 0; i < fds.nr; i++) {
		if ((pid_t)fds.recs[i].eventfd.pid == b->pid)
			return &fds.recs[i];
		if (!best && holder_of(b, &fds.recs[i])->found)
			best = &fds.recs[i];
	}
	return best;
}

static int find_eventfd(const struct bindings *b, const struct use *use, struct eventfd_ref *ref)
{
	struct probe_recs fds = fds_of(b, use->eventfd);
	const struct kvm_rec *fd;
	int ret = check_eventfd(b, use, fds);

	if (ret)
		return ret;
	fd = choose(b, fds);
	if (!fd)
		return refuse(b, use,
			      "a restore could not tell which process has its eventfd: pids of the tree are "
			      "not unique",
			      "have the VMM keep it open");
	*ref = (struct eventfd_ref){ .vpid = holder_of(b, fd)->vpid, .fd = fd->fd };
	return 0;
}

static int add_irqfd(const struct bindings *b, const struct kvm_rec *rec, struct vm_state *vm)
{
	struct irqfd_state *irqfd = &vm->irqfds[vm->nr_irqfds++];
	struct use uses[MAX_USES];
	int ret;

	uses_of(rec, uses);
	if (is_injecting(b, rec))
		return refuse(b, &uses[0], "an interrupt that KVM has not injected yet", "try again");
	irqfd->gsi = rec->irqfd.gsi;
	irqfd->resample = rec->irqfd.resamplefd;
	ret = find_eventfd(b, &uses[0], &irqfd->eventfd);
	if (!ret && irqfd->resample)
		ret = find_eventfd(b, &uses[1], &irqfd->resamplefd);
	return ret;
}

/* A length of 0 stands twice in KVM's list, for the bus that does without it, and is bound once. */
static int add_ioeventfd(const struct bindings *b, const struct kvm_rec *rec, struct vm_state *vm)
{
	struct ioeventfd_state *ioeventfd = &vm->ioeventfds[vm->nr_ioeventfds];
	struct use uses[MAX_USES];

	if (rec->ioeventfd.fast)
		return 0;
	vm->nr_ioeventfds++;
	uses_of(rec, uses);
	ioeventfd->addr = rec->ioeventfd.addr;
	ioeventfd->len = rec->ioeventfd.length;
	ioeventfd->flags = (rec->ioeventfd.wildcard ? 0 : KVM_IOEVENTFD_FLAG_DATAMATCH) |
			   (rec->ioeventfd.pio ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			   (rec->ioeventfd.ccw ? KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY : 0);
	ioeventfd->datamatch = rec->ioeventfd.wildcard ? 0 : rec->ioeventfd.datamatch;
	return find_eventfd(b, &uses[0], &ioeventfd->eventfd);
}

static void add_route(const struct kvm_rec *rec, struct irq_routing *routing)
{
	routing->routes[routing->nr++] = (struct irq_route){
		.gsi = rec->route.gsi,
		.type = rec->route.type,
		.irqchip = rec->route.irqchip,
		.pin = rec->route.pin,
		.address = rec->route.address,
		.data = rec->route.data,
		.flags = rec->route.flags,
		.devid = rec->route.devid,
	};
}

/* KVM gives a pin to the last GSI that has it: to that one the end of its interrupt is told. */
static void add_routes(const struct bindings *b, struct irq_routing *routing)
{
	for (unsigned int acked = 0; acked < 2; acked++)
		for (size_t i = 0; i < b->bound.nr; i++)
			if (b->bound.recs[i].type == KVM_REC_ROUTE && !b->bound.recs[i].route.acked == !acked)
				add_route(&b->bound.recs[i], routing);
}

static void add_zone(const struct kvm_rec *rec, struct vm_state *vm)
{
	vm->zones[vm->nr_zones++] = (struct coalesced_zone){ rec->zone.addr, rec->zone.size, rec->zone.pio };
}

/*
 * Of two that are on the bus for one write the first takes it, and which that is depends on the order in which they
 * were registered (kvm_io_bus_register_dev()): but where they begin together, and have not the same length.
 */
static bool is_ambiguous(const struct ioeventfd_state *ioeventfd, const struct coalesced_zone *zone)
{
	uint64_t at = ioeventfd->addr - zone->addr;

	if (ioeventfd->flags & KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY ||
	    !(ioeventfd->flags & KVM_IOEVENTFD_FLAG_PIO) != !zone->pio)
		return false;
	if (at >= zone->size || zone->size - at < ioeventfd->len)
		return false;
	return at || !ioeventfd->len || ioeventfd->len == zone->size;
}

static int check_zones(const struct bindings *b, const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_ioeventfds; i++)
		for (size_t z = 0; z < vm->nr_zones; z++) {
			const struct use use = { 0, "ioeventfd, address", vm->ioeventfds[i].addr };

			if (is_ambiguous(&vm->ioeventfds[i], &vm->zones[z]))
				return refuse(b, &use,
					      "it is in a zone of coalesced MMIO, and the order in which the two were "
					      "registered is not to be seen",
					      "have the VMM end the one or the other");
		}
	return 0;
}

static int alloc_lists(const struct bindings *b, struct vm_state *vm)
{
	size_t nr = b->bound.nr + 1;

	vm->irqfds = calloc(nr, sizeof(*vm->irqfds));
	vm->ioeventfds = calloc(nr, sizeof(*vm->ioeventfds));
	vm->zones = calloc(nr, sizeof(*vm->zones));
	vm->routing.routes = calloc(nr, sizeof(*vm->routing.routes));
	return vm->irqfds && vm->ioeventfds && vm->zones && vm->routing.routes ? 0 : -ENOMEM;
}

int binding_fill(const struct bindings *b, struct vm_state *vm)
{
	int ret = alloc_lists(b, vm);

	for (size_t i = 0; !ret && i < b->bound.nr; i++) {
		const struct kvm_rec *rec = &b->bound.recs[i];

		if (rec->type == KVM_REC_IRQFD)
			ret = add_irqfd(b, rec, vm);
		else if (rec->type == KVM_REC_IOEVENTFD)
			ret = add_ioeventfd(b, rec, vm);
		else if (rec->type == KVM_REC_ZONE)
			add_zone(rec, vm);
	}
	if (!ret && vm->routing.own)
		add_routes(b, &vm->routing);
	return ret ?: check_zones(b, vm);
}
