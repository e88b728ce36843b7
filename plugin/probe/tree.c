// SPDX-License-Identifier: GPL-2.0-only
/* See tree.h. */
#include <stdlib.h>

#include "log.h"
#include "probe/tree.h"

/* The record that the iterator has for a fd of each kind. */
static const enum kvm_rec_type rec_types[] = {
	[PROC_FD_VM] = KVM_REC_VM_FD,	    [PROC_FD_VCPU] = KVM_REC_VCPU,
	[PROC_FD_VGIC_V2] = KVM_REC_DEVICE, [PROC_FD_VGIC_V3] = KVM_REC_DEVICE,
	[PROC_FD_VGIC_V5] = KVM_REC_DEVICE, [PROC_FD_ITS] = KVM_REC_ITS,
	[PROC_FD_STATS] = KVM_REC_STATS,
};

bool kvm_rec_is_handle(const struct kvm_rec *rec)
{
	if (rec->type == KVM_REC_MAP)
		return true;
	for (size_t i = 0; i < sizeof(rec_types) / sizeof(rec_types[0]); i++)
		if (rec_types[i] && rec->type == rec_types[i])
			return true;
	return false;
}

static int compare_handles(const void *a, const void *b)
{
	const struct kvm_rec *x = *(const struct kvm_rec *const *)a, *y = *(const struct kvm_rec *const *)b;

	return x->fd != y->fd ? (x->fd > y->fd) - (x->fd < y->fd) : (x->type > y->type) - (x->type < y->type);
}

static int compare_maps(const void *a, const void *b)
{
	const struct kvm_rec *x = *(const struct kvm_rec *const *)a, *y = *(const struct kvm_rec *const *)b;

	return (x->map.start > y->map.start) - (x->map.start < y->map.start);
}

int kvm_process_list_handles(struct kvm_process *proc)
{
	free(proc->handles);
	free(proc->maps);
	proc->nr_handles = proc->nr_maps = 0;
	proc->handles = calloc(proc->nr_recs + 1, sizeof(*proc->handles));
	proc->maps = calloc(proc->nr_recs + 1, sizeof(*proc->maps));
	if (!proc->handles || !proc->maps)
		return -ENOMEM;
	for (size_t i = 0; i < proc->nr_recs; i++) {
		if (proc->recs[i].type == KVM_REC_MAP)
			proc->maps[proc->nr_maps++] = &proc->recs[i];
		else if (kvm_rec_is_handle(&proc->recs[i]))
			proc->handles[proc->nr_handles++] = &proc->recs[i];
	}
	if (proc->nr_handles)
		qsort(proc->handles, proc->nr_handles, sizeof(*proc->handles), compare_handles);
	if (proc->nr_maps)
		qsort(proc->maps, proc->nr_maps, sizeof(*proc->maps), compare_maps);
	return 0;
}

const struct kvm_rec *kvm_rec_of(const struct kvm_process *proc, const struct proc_fd *fd)
{
	const struct kvm_rec key = { .type = rec_types[fd->kind], .fd = fd->fd }, *at = &key, **found = NULL;

	if (fd->kind == PROC_FD_SYSTEM || fd->kind == PROC_FD_OTHER)
		return NULL;
	if (proc->nr_handles)
		found = bsearch(&at, proc->handles, proc->nr_handles, sizeof(at), compare_handles);
	return found ? *found : NULL;
}

const struct kvm_rec *kvm_rec_of_map(const struct kvm_process *proc, uint64_t start)
{
	const struct kvm_rec key = { .map.start = start }, *at = &key, **found = NULL;

	if (proc->nr_maps)
		found = bsearch(&at, proc->maps, proc->nr_maps, sizeof(at), compare_maps);
	return found ? *found : NULL;
}

/* Each fd and each mapping has its record. */
static int check_complete(const struct kvm_process *proc)
{
	for (size_t i = 0; i < proc->scan.nr_fds; i++) {
		const struct proc_fd *fd = &proc->scan.fds[i];

		if (fd->kind == PROC_FD_SYSTEM || kvm_rec_of(proc, fd))
			continue;
		pr_err("pid %d: fd %d (%s): the BPF iterator did not see it\n", proc->pid, fd->fd, fd->name);
		return -EIO;
	}
	for (size_t i = 0; i < proc->scan.nr_maps; i++) {
		if (kvm_rec_of_map(proc, proc->scan.maps[i].start))
			continue;
		pr_err("pid %d: mapping %#llx of a vCPU: the BPF iterator did not see it\n", proc->pid,
		       (unsigned long long)proc->scan.maps[i].start);
		return -EIO;
	}
	return 0;
}

void kvm_process_free(struct kvm_process *proc)
{
	proc_scan_free(&proc->scan);
	free(proc->recs);
	free(proc->handles);
	free(proc->maps);
}

/* Of the 64 fds of @rec those that are open, and not in @open, which are in rising order; *@at is where in these to begin. */
static unsigned long long find_others(const struct kvm_rec *rec, const int *open, size_t nr, size_t *at)
{
	unsigned long long others = rec->open;

	while (*at && (unsigned int)open[*at - 1] >= rec->fd)
		--*at;
	for (; *at < nr && (unsigned int)open[*at] < rec->fd + 64; ++*at)
		if ((unsigned int)open[*at] >= rec->fd)
			others &= ~(1ull << (open[*at] - rec->fd));
	return others;
}

/*
 * Whether the iterator has met an fd that the scan has not. It may have gone through the table before: what a process that shares it,
 * and runs, has opened since is found when CRIU asks for it, and fails the dump.
 */
static bool has_other_fds(const struct kvm_process *proc)
{
	unsigned long long others = 0;
	size_t at = 0;

	for (size_t i = 0; i < proc->nr_recs; i++)
		if (proc->recs[i].type == KVM_REC_OPEN)
			others |= find_others(&proc->recs[i], proc->scan.open, proc->scan.nr_open, &at);
	return others;
}

static int look_at_kvm(int (*check)(pid_t pid, const struct proc_scan *scan), struct kvm_process *proc)
{
	int ret = check(proc->pid, &proc->scan);

	if (!ret)
		ret = kernel_probe(proc->pid, &proc->recs, &proc->nr_recs);
	if (!ret && proc->scan.by_numbers && has_other_fds(proc))
		ret = proc_scan_fds(proc->pid, &proc->scan) ?: check(proc->pid, &proc->scan);
	ret = ret ?: kvm_process_list_handles(proc);
	return ret ?: check_complete(proc);
}

static bool has_vm(const struct kvm_process *proc)
{
	for (size_t i = 0; i < proc->nr_recs; i++)
		if (proc->recs[i].owned)
			return true;
	return false;
}

/*
 * Of a process with KVM fds the iterator says whether these are all. Nobody asks later for the mappings of a process without a VM of its
 * own.
 */
static int scan_process(pid_t pid, int (*check)(pid_t pid, const struct proc_scan *scan),
			struct kvm_process *proc)
{
	int ret;

	*proc = (struct kvm_process){ .pid = pid };
	ret = proc_scan_by_numbers(pid, &proc->scan);
	if (!ret && proc->scan.by_numbers && !kvm_process_has_kvm(proc))
		ret = proc_scan_fds(pid, &proc->scan);
	if (!ret && kvm_process_has_kvm(proc))
		ret = look_at_kvm(check, proc);
	if (!has_vm(proc))
		proc_areas_free(&proc->scan.view.areas);
	return ret;
}

bool kvm_process_has_kvm(const struct kvm_process *proc)
{
	return proc->scan.nr_fds || proc->scan.nr_maps;
}

static bool is_childless(const struct kvm_process *proc)
{
	for (size_t i = 0; i < proc->nr_recs; i++)
		if (proc->recs[i].type == KVM_REC_CHILDLESS)
			return true;
	return false;
}

/* The next of tree->pids. One that has ended, and is waited for, has nothing. */
static int add_process(struct kvm_tree *tree, pid_t pid, int (*check)(pid_t pid, const struct proc_scan *scan))
{
	struct kvm_process *procs = reallocarray(tree->procs, tree->nr_procs + 1, sizeof(*procs)), *proc;
	bool childless;
	int ret;

	if (!procs)
		return -ENOMEM;
	tree->procs = procs;
	proc = &procs[tree->nr_procs];
	ret = scan_process(pid, check, proc);
	childless = !ret && is_childless(proc);
	if (!ret)
		tree->nr_procs++;
	else
		kvm_process_free(proc);
	if (ret && (ret != -ESRCH || pid == tree->pids[0]))
		return ret;
	return childless ? 0 : proc_add_children(pid, &tree->pids, &tree->nr_pids);
}

/* Parents first. */
static int scan_tree(pid_t root, int (*check)(pid_t pid, const struct proc_scan *scan), struct kvm_tree *tree)
{
	int ret = 0;

	tree->pids = malloc(sizeof(*tree->pids));
	if (!tree->pids)
		return -ENOMEM;
	tree->pids[tree->nr_pids++] = root;
	for (size_t i = 0; !ret && i < tree->nr_pids; i++)
		ret = add_process(tree, tree->pids[i], check);
	return ret;
}

int kvm_tree_scan(pid_t root, int (*check)(pid_t pid, const struct proc_scan *scan), struct kvm_tree *tree)
{
	int ret;

	*tree = (struct kvm_tree){ 0 };
	/* Most often a VMM is the root itself, or is alone. */
	kernel_probe_ahead(root);
	ret = scan_tree(root, check, tree);
	kernel_probe_end_ahead();
	return ret;
}

void kvm_tree_free(struct kvm_tree *tree)
{
	for (size_t i = 0; i < tree->nr_procs; i++)
		kvm_process_free(&tree->procs[i]);
	free(tree->procs);
	free(tree->pids);
	*tree = (struct kvm_tree){ 0 };
}

static void filter_fds(const struct kvm_process *proc, unsigned long long kvm, struct proc_scan *part)
{
	for (size_t i = 0; i < proc->scan.nr_fds; i++) {
		const struct kvm_rec *rec = kvm_rec_of(proc, &proc->scan.fds[i]);

		if (rec && rec->kvm == kvm)
			part->fds[part->nr_fds++] = proc->scan.fds[i];
	}
}

static void filter_maps(const struct kvm_process *proc, unsigned long long kvm, struct proc_scan *part)
{
	for (size_t i = 0; i < proc->scan.nr_maps; i++) {
		const struct kvm_rec *rec = kvm_rec_of_map(proc, proc->scan.maps[i].start);

		if (rec && rec->kvm == kvm)
			part->maps[part->nr_maps++] = proc->scan.maps[i];
	}
}

int kvm_process_filter(const struct kvm_process *proc, unsigned long long kvm, struct kvm_process *part)
{
	*part = (struct kvm_process){
		.pid = proc->pid,
		.scan = { .view.status = proc->scan.view.status, .userfaultfd = -1 },
		.recs = calloc(proc->nr_recs + 1, sizeof(*part->recs)),
	};
	part->scan.fds = calloc(proc->scan.nr_fds + 1, sizeof(*part->scan.fds));
	part->scan.maps = calloc(proc->scan.nr_maps + 1, sizeof(*part->scan.maps));
	if (!part->recs || !part->scan.fds || !part->scan.maps)
		return -ENOMEM;
	filter_fds(proc, kvm, &part->scan);
	filter_maps(proc, kvm, &part->scan);
	for (size_t i = 0; i < proc->nr_recs; i++)
		if (proc->recs[i].kvm == kvm)
			part->recs[part->nr_recs++] = proc->recs[i];
	return 0;
}
