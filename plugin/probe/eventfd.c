// SPDX-License-Identifier: GPL-2.0-only
/* See eventfd.h. */
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "probe/binding.h"
#include "probe/discover.h"
#include "probe/eventfd.h"
#include "probe/kernel.h"
#include "probe/proc.h"

/* How often is looked whether nothing moves any more, and how long is waited between: a second in all. */
#define TRIES 50
#define PAUSE_US 20000

/* What a look at the VM's bindings has brought. */
struct look {
	struct kvm_rec *bound, *fds, *tasks, *works;
	struct holder *holders;
	struct bindings b;
};

static void free_look(struct look *look)
{
	free(look->bound);
	free(look->fds);
	free(look->tasks);
	free(look->works);
	free(look->holders);
	free(look->b.uses);
}

/* The records at the end of @to, which are those at @at. */
static int append(struct kvm_rec **at, struct probe_recs *to, const struct kvm_rec *recs, size_t nr)
{
	struct kvm_rec *more = reallocarray(*at, to->nr + nr + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	to->recs = *at = more;
	for (size_t i = 0; i < nr; i++)
		more[to->nr++] = recs[i];
	return 0;
}

/* By passes, until one tells nothing. */
static int look_at_bindings(struct look *look, const struct kvm_rec *vm)
{
	size_t before;
	int ret;

	do {
		struct kvm_rec *recs = NULL;
		size_t nr;

		before = look->b.bound.nr;
		ret = kernel_probe_bindings(look->b.pid, vm, before, &recs, &nr);
		if (!ret)
			ret = append(&look->bound, &look->b.bound, recs, nr);
		free(recs);
	} while (!ret && look->b.bound.nr > before);
	return ret;
}

/* All that criu's pid namespace has: a walk through the fds of each of its processes. */
static int know_eventfds(struct eventfd_table *all)
{
	int ret = all->known ? 0 : kernel_probe_eventfds(&all->recs, &all->nr);

	all->known = !ret;
	return ret;
}

void eventfd_table_free(struct eventfd_table *all)
{
	free(all->recs);
	*all = (struct eventfd_table){ 0 };
}

/* The eventfds that are bound, of all. */
static int look_at_eventfds(struct look *look, struct eventfd_table *all)
{
	int ret = look->b.nr_uses ? know_eventfds(all) : 0;
	size_t nr = 0;

	if (ret)
		return ret;
	look->fds = calloc(all->nr + 1, sizeof(*look->fds));
	if (!look->fds)
		return -ENOMEM;
	for (size_t i = 0; i < all->nr; i++)
		if (binding_count_uses(&look->b, all->recs[i].eventfd.eventfd))
			look->fds[nr++] = all->recs[i];
	if (nr)
		qsort(look->fds, nr, sizeof(*look->fds), binding_compare_fds);
	look->b.fds = (struct probe_recs){ look->fds, nr };
	return 0;
}

static bool is_known(const struct look *look, pid_t pid)
{
	for (size_t i = 0; i < look->b.nr_holders; i++)
		if (look->holders[i].pid == pid)
			return true;
	return false;
}

static int look_at_tasks(struct look *look, pid_t pid)
{
	struct kvm_rec *recs = NULL;
	size_t nr;
	int ret = kernel_probe_tasks(pid, &recs, &nr);

	if (!ret)
		ret = append(&look->tasks, &look->b.tasks, recs, nr);
	free(recs);
	return ret;
}

static int look_at_holders(struct look *look)
{
	int ret = 0;

	look->b.holders = look->holders = calloc(look->b.fds.nr + 1, sizeof(*look->holders));
	if (!look->holders)
		return -ENOMEM;
	for (size_t i = 0; !ret && i < look->b.fds.nr; i++) {
		struct holder holder = { .pid = look->fds[i].eventfd.pid };

		if (is_known(look, holder.pid))
			continue;
		holder.dumped = proc_is_traced(holder.pid);
		holder.vpid = holder.dumped ? proc_vpid(holder.pid, holder.pid) : 0;
		holder.found = holder.vpid > 0 && proc_find_traced(holder.vpid) == holder.pid;
		look->holders[look->b.nr_holders++] = holder;
		ret = look_at_tasks(look, holder.pid);
	}
	return ret;
}

static bool has_irqfds(const struct look *look)
{
	for (size_t i = 0; i < look->b.bound.nr; i++)
		if (look->b.bound.recs[i].type == KVM_REC_IRQFD)
			return true;
	return false;
}

/* After what queues them: one that is not queued any more is being executed, or done. */
static int look_at_works(struct look *look)
{
	int ret = has_irqfds(look) ? kernel_probe_works(&look->works, &look->b.works.nr) : 0;

	look->b.works.recs = look->works;
	return ret;
}

static int look_once(struct look *look, pid_t pid, const struct kvm_rec *vm, struct eventfd_table *eventfds)
{
	int ret;

	*look = (struct look){ .b.pid = pid };
	ret = look_at_bindings(look, vm);
	if (!ret)
		ret = look_at_works(look);
	if (!ret)
		ret = binding_list_uses(&look->b);
	if (!ret)
		ret = look_at_eventfds(look, eventfds);
	return ret ?: look_at_holders(look);
}

static int look_until_at_rest(struct look *look, pid_t pid, const struct kvm_rec *vm, struct eventfd_table *eventfds)
{
	int ret = look_once(look, pid, vm, eventfds);

	for (int i = 0; !ret && i < TRIES && !binding_at_rest(&look->b); i++) {
		usleep(PAUSE_US);
		free_look(look);
		eventfd_table_free(eventfds);
		ret = look_once(look, pid, vm, eventfds);
	}
	return ret;
}

static int check_limits(const struct vm_state *vm, pid_t pid)
{
	if (vm->nr_irqfds <= VM_MAX_IRQFDS && vm->nr_ioeventfds <= VM_MAX_IOEVENTFDS &&
	    vm->nr_zones <= VM_MAX_ZONES)
		return 0;
	pr_err("pid %d: more than %u irqfds, %u ioeventfds or %u coalesced MMIO zones: " REFUSAL
	       ": have the VMM bind fewer\n",
	       pid, VM_MAX_IRQFDS, VM_MAX_IOEVENTFDS, VM_MAX_ZONES);
	return -ENOTSUP;
}

/*
 * What the VM's record says that there is has come, and nothing else: a list that cannot be read is an empty one. Of routes all VMs have
 * some; an irqfd can have ended meanwhile, with its eventfd.
 */
static int check_told(const struct kvm_rec *vm_rec, pid_t pid, const struct vm_state *vm)
{
	const bool has_irqfds = vm_rec->vm.has >> KVM_HAS_IRQFD & 1, has_ioeventfds = vm_rec->vm.has >> KVM_HAS_IOEVENTFD & 1,
		   has_zones = vm_rec->vm.has >> KVM_HAS_COALESCED_MMIO & 1;

	if ((has_irqfds || !vm->nr_irqfds) && has_ioeventfds == !!vm->nr_ioeventfds && has_zones == !!vm->nr_zones)
		return 0;
	pr_err("pid %d: the BPF iterator tells of %zu irqfds, %zu ioeventfds and %zu zones of coalesced MMIO: it did not see all\n", pid,
	       vm->nr_irqfds, vm->nr_ioeventfds, vm->nr_zones);
	return -EIO;
}

#define HAS_BINDINGS \
	(1u << KVM_HAS_IRQFD | 1u << KVM_HAS_IOEVENTFD | 1u << KVM_HAS_COALESCED_MMIO | 1u << KVM_HAS_ROUTING)

int probe_bindings(pid_t pid, const struct kvm_rec *vm_rec, struct eventfd_table *eventfds, struct vm_state *vm)
{
	struct look look;
	int ret;

	if (!(vm_rec->vm.has & HAS_BINDINGS))
		return 0;
	vm->routing.own = vm_rec->vm.has >> KVM_HAS_ROUTING & 1;
	ret = look_until_at_rest(&look, pid, vm_rec, eventfds);
	if (!ret)
		ret = binding_fill(&look.b, vm);
	free_look(&look);
	ret = ret ?: check_told(vm_rec, pid, vm);
	return ret ?: check_limits(vm, pid);
}
