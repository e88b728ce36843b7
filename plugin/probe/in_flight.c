// SPDX-License-Identifier: GPL-2.0-only
/* See in_flight.h. */
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "probe/in_flight.h"

/* How often is looked, and how long is waited between: whoever looks into /proc has a file for a moment. */
#define TRIES 50
#define PAUSE_US 20000

/* Whether CRIU can open a file of @found's in another process: its file_master() is that with the lowest pid. */
static bool is_not_first(const struct kvm_tree *tree, const struct discovered_vm *found)
{
	for (size_t p = 0; p < tree->nr_procs; p++)
		if (tree->procs[p].scan.view.status.vpid < found->vm->vpid)
			return true;
	return false;
}

/* As is_not_first(), of the VM at @kvm. */
static bool matters(const struct kvm_tree *tree, const struct discovered *all, unsigned long long kvm)
{
	for (size_t v = 0; v < all->nr_vms; v++)
		if (all->vms[v].kvm == kvm)
			return is_not_first(tree, &all->vms[v]);
	return false;
}

static int compare(unsigned long long a, unsigned long long b)
{
	return (a > b) - (a < b);
}

static int compare_holders(const void *a_, const void *b_)
{
	const struct kvm_rec *a = a_, *b = b_;
	int ret = compare(a->holder.file, b->holder.file);

	if (!ret)
		ret = compare(a->holder.in, b->holder.in);
	return ret ? ret : compare(a->holder.at, b->holder.at);
}

/* The fd as its process has it, or NULL: of a process that is not dumped, or of a mapping. */
static const struct proc_fd *fd_of(const struct kvm_tree *tree, const struct kvm_rec *rec)
{
	for (size_t p = 0; p < tree->nr_procs && !rec->holder.is_map; p++) {
		const struct proc_scan *scan = &tree->procs[p].scan;

		for (size_t i = 0; tree->procs[p].pid == (pid_t)rec->holder.pid && i < scan->nr_fds; i++)
			if (scan->fds[i].fd == (int)rec->fd)
				return &scan->fds[i];
	}
	return NULL;
}

/* Of the records of one file, a fd of the tree where somebody else has the file, too; or NULL. */
static const struct kvm_rec *find_in_file(const struct kvm_tree *tree, const struct kvm_rec *recs, size_t nr)
{
	const struct kvm_rec *named = NULL;
	unsigned long long holders = 0;

	for (size_t i = 0; i < nr; i++) {
		/* Processes that share a table of fds, or memory, show each as theirs. */
		holders += !i || compare_holders(&recs[i], &recs[i - 1]);
		if (!named && fd_of(tree, &recs[i]))
			named = &recs[i];
	}
	return recs[0].holder.refs > holders ? named : NULL;
}

static const struct kvm_rec *find(const struct kvm_tree *tree, const struct discovered *all, struct kvm_rec *recs,
				  size_t nr)
{
	const struct kvm_rec *found = NULL;

	if (nr)
		qsort(recs, nr, sizeof(*recs), compare_holders);
	for (size_t i = 0, n; i < nr && !found; i += n) {
		for (n = 1; i + n < nr && recs[i + n].holder.file == recs[i].holder.file; n++)
			;
		if (matters(tree, all, recs[i].kvm))
			found = find_in_file(tree, &recs[i], n);
	}
	return found;
}

/* 1 and *@found, 0 or a negative errno. */
static int look(const struct kvm_tree *tree, const struct discovered *all, struct kvm_rec *found)
{
	struct kvm_rec *recs = NULL;
	const struct kvm_rec *rec;
	size_t nr = 0;
	int ret = kernel_probe_holders(tree->pids, tree->nr_pids, &recs, &nr);

	rec = ret ? NULL : find(tree, all, recs, nr);
	if (rec)
		*found = *rec;
	free(recs);
	return ret ? ret : rec != NULL;
}

int probe_in_flight(const struct kvm_tree *tree, const struct discovered *all)
{
	struct kvm_rec found;
	bool needed = false;
	int ret;

	for (size_t v = 0; v < all->nr_vms; v++)
		needed |= is_not_first(tree, &all->vms[v]);
	ret = needed ? look(tree, all, &found) : 0;
	for (int i = 0; ret > 0 && i < TRIES; i++) {
		usleep(PAUSE_US);
		ret = look(tree, all, &found);
	}
	if (ret <= 0)
		return ret;
	pr_err("pid %u: fd %u (%s): on its way through a socket too, or in use by the kernel (io_uring), or by a "
	       "process that criu cannot see, or mapped by one outside of the tree: " REFUSAL ": have it received, or end that use of it\n",
	       found.holder.pid, found.fd, fd_of(tree, &found)->name);
	return -ENOTSUP;
}
