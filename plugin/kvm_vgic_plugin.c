// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRIU's hooks, and the life of a dump and of a restore.
 *
 * dump:	PAUSE_DEVICES		loads the probe, while tasks still run
 *		CHECKPOINT_DEVICES	looks at the whole tree at first, and puts back what a criu that was
 *					killed has left of a VM; then, process by process,
 *					reads its VMs, writes their images, swaps kvm_run out
 *		DUMP_EXT_FILE		notes under which id CRIU knows each fd
 *		exit			swaps kvm_run in, whatever became of the dump
 * restore:	init			reads and validates all images, before a task is forked
 *		RESTORE_EXT_FILE	creates a VM's objects, in the process that will own them
 *		RESUME_DEVICES_LATE	writes all state, with memory in place and no task running;
 *					when the last VM is whole, lets the vCPUs of all of them run
 */
#include <fcntl.h>
#include <linux/kcmp.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#pragma GCC visibility push(default)
#include <criu-plugin.h>
#pragma GCC visibility pop

#include "fault.h"
#include "image/image.h"
#include "log.h"
#include "plan.h"
#include "probe/apart.h"
#include "probe/backing.h"
#include "probe/discover.h"
#include "probe/kernel.h"
#include "probe/park.h"
#include "probe/proc.h"
#include "probe/standing.h"
#include "probe/sysctl.h"
#include "probe/thread.h"
#include "probe/vgic_v2.h"
#include "put_back.h"
#include "remote/direct.h"
#include "remote/give.h"
#include "remote/served.h"
#include "remote/task.h"
#include "remote/threads.h"
#include "remote/trace.h"
#include "remote/visit.h"
#include "setting.h"
#include "signals.h"
#include "spent.h"
#include "stand_in.h"
#include "state/file.h"
#include "state/kvm_run.h"
#include "streamed.h"
#include "verify.h"

#define PLUGIN_NAME "kvm_vgic_plugin"

/* Exported by criu for its plugins; in no header that is installed. */
int add_inventory_plugin(const char *name);
void network_unlock(void);
bool check_and_remove_inventory_plugin(const char *name, size_t n);

/*
 * The loader refuses a descriptor with more hooks, or of a higher version, than its
 * own: 4.1.1 has 12 hooks and version 0.2.0, and every later CRIU takes that too.
 */
_Static_assert(CR_PLUGIN_HOOK__MAX >= 12, "criu-plugin.h is older than CRIU 4.1");

_Static_assert(DISCOVER_MAX_VMS <= IMAGE_MAX_VMS, "VMs that images have no room for");

#define FILE_TIMEOUT 30 /* seconds without a block of a file under a memslot */

static int stage_now;

/* A VM that is being dumped, and what was done to its process. */
struct dumped_vm {
	struct vm_state *vm;
	const struct proc_view *seen; /* of @pid, which stands still since */
	const struct discovered_fd *fds;
	size_t nr_fds;
	size_t next_fd; /* of fds, that CRIU is likely to ask for next */
	size_t nr_noted; /* so many of the first of fds are in vm->files */
	struct image_seals seals;
	struct image_target images;
	pid_t pid;
	unsigned long long kvm; /* by which the probe knows it */
	bool written; /* its images are to be written, or are there */
	bool has_images; /* all of them are, but kvm-vm.img */
	bool lpis_changed; /* its pending tables may be those of the dump */
	bool swapped;
	const struct left_view *view; /* where a thread of it has gone on since: what stands where */
	bool dumped; /* its images are good, as far as CRIU has come */
};

static struct {
	struct discovered all;
	struct dumped_vm *vms; /* of all, in the same order */
	size_t nr;
	struct image_files files; /* of none of them */
	struct image_dump_id id;
	pid_t criu; /* this process */
	bool in_inventory;
	bool failed; /* here, before CRIU has run anything in a process */
} dump;

/* A VM that is being restored. */
struct restored_vm {
	struct vm_state *vm;
	bool *created; /* by its owner, in RESTORE_EXT_FILE: that runs in a child of criu, and criu is to know: shared memory */
	bool built, started;
	pid_t pid; /* of its owner, from the late hook on */
};

static struct {
	struct restored_vm *vms;
	struct vm_state **states;
	size_t nr, nr_built;
	struct image_files files; /* of no VM */
	bool done;
	struct stand_in_token token;
	bool *stand_ins; /* one was made, likewise */
	pid_t root; /* the first task that the late hook was called for */
} restore;

/*
 * CRIU takes -ENOTSUP from a hook as "not mine" and goes on: a refusal, or an errno
 * of the kernel's that happens to be the same, must not look like it.
 */
static int to_criu(int ret)
{
	if (ret == -ENOMEM)
		pr_err("out of memory\n"); /* not said where a list could not grow */
	return ret == -ENOTSUP ? -EINVAL : ret;
}

/* ---- dump ---- */

/*
 * What a dump allocates while tasks stand still, brought beforehand: malloc() has it from the kernel page by page, by a fault
 * each. Nothing is given back between two allocations.
 */
static void warm_heap(void)
{
	const size_t size = 4u << 20;
	void *heap;

	mallopt(M_MMAP_THRESHOLD, 2 * size);
	mallopt(M_TRIM_THRESHOLD, 2 * size);
	heap = aligned_alloc(64, size);
	if (heap)
		explicit_bzero(heap, size);
	free(heap);
}

/*
 * Outside of CRIU's limit for stopping tasks (--timeout, 10 s), in which this hook is called: on a slow
 * host the kernel takes long to verify the probe, and nothing is stopped yet.
 */
static int load_probe(void)
{
	unsigned int left = alarm(0);
	int ret = kernel_probe_load();

	sysctl_read();
	signals_read();
	trace_hear_limit();
	served_prepare();
	warm_heap();
	alarm(left);
	return ret;
}

/* Also called by pre-dump, which goes on to mappings that CRIU cannot parse. */
static int pause_devices(int pid)
{
	int ret = discover_uses_kvm(pid);

	/* It still runs, and may have ended: CRIU finds that out by itself. */
	if (!ret || ret == -ESRCH)
		return -ENOTSUP;
#ifndef __aarch64__
	if (ret > 0) {
		pr_err("pid %d: a VM that is not an arm64 one: not supported: dump on an arm64 host\n", pid);
		return -EINVAL;
	}
#endif
	if (ret > 0 && stage_now == CR_PLUGIN_STAGE__PRE_DUMP) {
		pr_err("pid %d: pre-dump of a VMM is not possible: dump it\n", pid);
		return -EINVAL;
	}
	if (ret > 0 && images_are_streamed()) {
		pr_err("pid %d: a VM with --stream: not supported by this version: dump it to files\n", pid);
		return -EINVAL;
	}
	return to_criu(ret < 0 ? ret : load_probe());
}

/* The VMs that have been read so far, as image functions take them. */
static size_t written_vms(const struct vm_state **vms, struct image_seals *seals)
{
	size_t n = 0;

	for (size_t i = 0; i < dump.nr; i++) {
		if (!dump.vms[i].written)
			continue;
		vms[n] = dump.vms[i].vm;
		seals[n++] = dump.vms[i].seals;
	}
	return n;
}

static int write_index(void)
{
	const struct vm_state *vms[IMAGE_MAX_VMS];
	struct image_seals seals[IMAGE_MAX_VMS];
	size_t n = written_vms(vms, seals);

	return image_write_index(criu_get_image_dir(), &dump.id, vms, seals, n, &dump.files);
}

static bool is_noted(const struct vm_state *vm, const struct kvm_file *object)
{
	for (size_t i = 0; i < vm->nr_files; i++)
		if (vm->files[i].kind == object->kind && vm->files[i].index == object->index)
			return true;
	return false;
}

/* Whether CRIU will ask for another file: of each object it asks for one, of statistics and of /dev/kvm nobody knows. */
static bool more_are_to_come(void)
{
	for (size_t i = 0; i < dump.nr; i++) {
		struct dumped_vm *d = &dump.vms[i];

		while (d->nr_noted < d->nr_fds && is_noted(d->vm, &d->fds[d->nr_noted].object))
			d->nr_noted++;
		if (d->nr_noted < d->nr_fds)
			return true;
	}
	return false;
}

/* A dump that ends before has no use for it. */
static int write_index_if_whole(void)
{
	return more_are_to_come() ? 0 : write_index();
}

static int write_images(struct dumped_vm *d)
{
	int ret = image_write_vm_parts(&d->images, d->vm);

	d->has_images = !ret;
	return ret ?: write_index_if_whole();
}

/* What a restore would refuse is refused before anything is taken away. */
static int check_images(struct dumped_vm *d)
{
	const struct vm_state *vms[IMAGE_MAX_VMS];
	struct image_seals seals[IMAGE_MAX_VMS];

	d->written = true;
	return image_check(vms, written_vms(vms, seals));
}

struct writing {
	struct dumped_vm *d;
	int ret;
};

static void write_beside(void *arg)
{
	struct writing *images = arg;
	enum spent before = spent_on(SPENT_IMAGES);

	images->ret = write_images(images->d);
	spent_on(before);
}

/* Whether somebody wants criu to end: the dump then fails at the next place where it can. */
static int interrupted(void)
{
	int sig = signals_held();

	if (!sig)
		return 0;
	pr_err("signal %d (%s): the dump is given up\n", sig, strsignal(sig));
	return -EINTR;
}

static struct task_space vm_space(const struct vm_state *vm, const struct proc_view *seen)
{
	return (struct task_space){ .scratch = vm_scratch(vm), .room = vm_room(vm), .seen = seen };
}

/*
 * What an undo needs: as little as it can do with, for CRIU may have left memory in the process that counts against its limits. What a thread that has
 * gone on has mapped since is to be seen.
 */
static struct task_space undo_space(const struct dumped_vm *d, size_t scratch, bool has_gone_on)
{
	return (struct task_space){ .scratch = scratch, .room = kvm_run_room(d->vm), .seen = has_gone_on ? NULL : d->seen };
}

static int swap_in(struct dumped_vm *d, struct remote *remote)
{
	int ret = d->view ? put_back_written(d->vm, remote, d->view) : kvm_run_swap_in(d->vm, remote);

	d->swapped = ret;
	if (!ret)
		pr_info("vm %u of pid %d: kvm_run put back\n", d->vm->id, d->pid);
	return ret;
}

/*
 * The images are written while the task exchanges its mappings: what is in them has been read, and where they cannot be written all of it
 * is undone at the end of the dump, as after each failure that comes later. What the task itself has failed in is undone in the same session: mremap()
 * may have unmapped what it was to replace. A new session could not be mapped for the reason that it failed for, or would be mapped in that place.
 */
static int swap_out(struct dumped_vm *d, struct remote *remote)
{
	struct writing images = { .d = d };
	const struct beside write = { write_beside, &images };
	int ret;

	d->swapped = true;
	ret = kvm_run_swap_out(d->vm, remote, &write);
	if (ret)
		swap_in(d, remote);
	return ret ?: images.ret;
}

/* The first VM of its process knows the threads. */
static bool went_on(const struct dumped_vm *d)
{
	for (size_t i = 0; i < dump.nr; i++)
		if (dump.vms[i].pid == d->pid && threads_went_on(dump.vms[i].vm))
			return true;
	return false;
}

static int put_lpis_back(void *arg, struct remote *remote)
{
	struct dumped_vm *d = arg;
	int ret = lpi_put_back(d->vm, remote, d->dumped, went_on(d));

	d->lpis_changed = ret;
	return ret;
}

/* The first part makes an eventfd there, for which there is room: discover() has looked. Behind it the probe reads once more. */
static int read_vm(struct dumped_vm *d, struct remote *remote)
{
	int ret = plan_run_part(plan_dump, plan_nr_dump, plan_settle, d->vm, remote);
	int err = irqfd_flush_end(d->vm, remote);

	ret = ret ?: err;
	ret = ret ?: probe_vgic_v2_lines(d->pid, d->kvm, d->vm);
	ret = ret ?: plan_run_part(plan_dump, plan_nr_dump, plan_read, d->vm, remote);
	d->lpis_changed = d->vm->lpi;
	return ret;
}

/* Most VMs have no file under a memslot. */
static int read_files(struct dumped_vm *d)
{
	if (!backing_is_there(&d->seen->areas, d->vm))
		return 0;
	return backing_capture_apart(d->pid, d->vm, interrupted, FILE_TIMEOUT);
}

/* The first of the VMs of its process has the process's threads: they are read before anything is run in it. */
static bool has_threads(const struct dumped_vm *d)
{
	for (const struct dumped_vm *before = dump.vms; before < d; before++)
		if (before->pid == d->pid)
			return false;
	return true;
}

/*
 * Reads all of the VM, then takes kvm_run out of CRIU's sight: in one session, which takes longer to open
 * than images to write. Should criu be killed meanwhile the task goes on by its way back.
 */
static int save(void *arg, struct remote *remote)
{
	struct dumped_vm *d = arg;
	int ret = read_vm(d, remote);

	spent_on(SPENT_IMAGES);
	ret = ret ?: read_files(d) ?: check_images(d);
	spent_on(SPENT_SWAP);
	return ret ?: swap_out(d, remote);
}

static int dump_vm(struct dumped_vm *d)
{
	int ret;

	spent_on(SPENT_THREADS);
	ret = has_threads(d) ? threads_take(d->pid, d->vm) : 0;
	spent_on(SPENT_READ);
	if (!ret)
		ret = session(d->pid, vm_space(d->vm, d->seen), save, d);
	if (!ret)
		ret = fault_injected("swapped");
	return ret ?: interrupted();
}

static bool was_looked_at(int pid)
{
	for (size_t i = 0; i < dump.all.nr_pids; i++)
		if (dump.all.pids[i] == pid)
			return true;
	return false;
}

static int begin_dump(void)
{
	dump.vms = calloc(dump.all.nr_vms + 1, sizeof(*dump.vms));
	if (!dump.vms)
		return -ENOMEM;
	for (dump.nr = 0; dump.nr < dump.all.nr_vms; dump.nr++) {
		const struct discovered_vm *found = &dump.all.vms[dump.nr];

		found->vm->id = dump.nr + 1;
		dump.vms[dump.nr] = (struct dumped_vm){
			.vm = found->vm, .fds = found->fds, .nr_fds = found->nr_fds, .pid = found->pid,
			.kvm = found->kvm, .seen = found->seen,
			.images = { criu_get_image_dir(), &dump.id, &dump.vms[dump.nr].seals }
		};
		found->vm->images = &dump.vms[dump.nr].images;
	}
	dump.criu = getpid();
	signals_hold();
	return image_new_dump_id(&dump.id);
}

/*
 * All processes are stopped when CRIU asks for the first of them, the tree's root: nothing is done in any
 * before each of their VMs is known to be one that can be carried. Of one that stands not all is to be seen, its exits
 * and mappings not, before it is back.
 */
static int look_at_tree(int pid)
{
	int ret = discover(pid, &dump.all);

	ret = ret ?: put_back_standing(&dump.all);
	if (ret > 0) {
		discovered_free(&dump.all);
		ret = discover(pid, &dump.all);
	}
	if (ret == -ESRCH)
		pr_err("pid %d: has ended\n", pid);
	return ret ?: dump.all.uses_kvm ? begin_dump() : 0;
}

/* CRIU takes a name that is there twice for another plugin's. */
static int enter_inventory(void)
{
	if (dump.in_inventory)
		return 0;
	dump.in_inventory = true;
	return add_inventory_plugin(PLUGIN_NAME) ? -ENOMEM : 0;
}

static int dump_vms_of(int pid)
{
	int ret = -ENOTSUP;

	for (size_t i = 0; i < dump.nr; i++) {
		struct dumped_vm *d = &dump.vms[i];
		const struct vm_state *vm = d->vm;

		if (d->pid != pid)
			continue;
		ret = dump_vm(d) ?: enter_inventory();
		if (ret) {
			dump.failed = true;
			pr_err("vm %u of pid %d: not dumped, and left as it was\n", vm->id, pid);
			return to_criu(ret);
		}
		pr_info("vm %u of pid %d: %zu vCPUs, %zu memslots, %zu ITSes saved\n", vm->id, pid,
			vm->nr_vcpus, vm->nr_slots, vm->nr_itses);
	}
	return ret;
}

static int look_and_dump(int pid)
{
	int ret = 0;

	if (!dump.all.nr_pids)
		ret = look_at_tree(pid);
	if (!ret && !was_looked_at(pid)) {
		pr_err("pid %d: CRIU asks for it before the root of its tree: another plugin has answered for "
		       "that: "
		       "dump without other plugins\n",
		       pid);
		ret = -EINVAL;
	}
	return ret ? to_criu(ret) : dump_vms_of(pid);
}

static int checkpoint_devices(int pid)
{
	int ret;

	spent_on(SPENT_LOOK);
	ret = look_and_dump(pid);
	spent_on(SPENT_NOT);
	return ret;
}

/* Whether @fd, CRIU's copy, is the same open file as @task_fd of @pid. */
static bool same_file(int fd, pid_t pid, int task_fd)
{
	return !syscall(SYS_kcmp, dump.criu, pid, KCMP_FILE, fd, task_fd);
}

/* Whether @fd is the one of @d that is @n behind the next one, and then the object behind it. */
static bool is_file(struct dumped_vm *d, size_t n, int fd, struct kvm_file *file)
{
	size_t i = (d->next_fd + n) % d->nr_fds;

	if (!same_file(fd, d->fds[i].pid, d->fds[i].fd))
		return false;
	d->next_fd = i + 1;
	file->kind = d->fds[i].object.kind;
	file->index = d->fds[i].object.index;
	return true;
}

/* The VM of whose next @most fds @fd is one, with the object in @file; or NULL. */
static struct vm_state *find_file(int fd, size_t most, struct kvm_file *file)
{
	for (size_t i = 0; i < dump.nr; i++)
		for (size_t n = 0; n < most && n < dump.vms[i].nr_fds; n++)
			if (is_file(&dump.vms[i], n, fd, file))
				return dump.vms[i].vm;
	return NULL;
}

static bool is_system(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 232);
}

/* Adds @file, of which @fd is a copy, to a list of them, and to kvm-vm.img. */
static int note_file(struct kvm_file **list, size_t *nr, int fd, struct kvm_file *file)
{
	int ret = fault_injected("dump-ext-file") ?: interrupted();
	struct kvm_file *more = ret ? NULL : reallocarray(*list, *nr + 1, sizeof(*more));

	if (!more)
		return ret ?: -ENOMEM;
	kvm_file_describe(fd, file);
	*list = more;
	more[(*nr)++] = *file;
	return write_index_if_whole();
}

static int note_ext_file(int fd, int id)
{
	struct kvm_file file = { .id = id };
	struct vm_state *vm = find_file(fd, 1, &file); /* CRIU asks by rising numbers, as they are here */
	char path[32], link[64] = "";

	if (!vm && dump.all.uses_kvm && is_system(fd))
		return enter_inventory() ?: note_file(&dump.files.list, &dump.files.nr, fd, &file);
	vm = vm ?: find_file(fd, SIZE_MAX, &file);
	if (vm)
		return note_file(&vm->files, &vm->nr_files, fd, &file);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, link, sizeof(link) - 1) < 0 ||
	    strncmp(link, "anon_inode:kvm-", strlen("anon_inode:kvm-")))
		return -ENOTSUP;
	pr_err("file %#x (%s): of no VM that was dumped\n", id, link);
	return -EINVAL;
}

static int dump_ext_file(int fd, int id)
{
	int ret;

	spent_on(SPENT_FILES);
	ret = note_ext_file(fd, id);
	spent_on(SPENT_NOT);
	return ret == -ENOTSUP ? ret : to_criu(ret);
}

static int put_back(void *arg, struct remote *remote)
{
	struct dumped_vm *d = arg;
	int ret = 0, err = 0;

	/* First: no vCPU may find what was saved of its interrupts. */
	if (d->lpis_changed)
		ret = put_lpis_back(d, remote);
	if (d->swapped)
		err = swap_in(d, remote);
	return ret ?: err;
}

/*
 * In one session. What stands where is looked at each time, before it is opened: its memory could be taken for a copy. Where
 * that cannot be looked at the interrupts come back all the same.
 */
static int undo(struct dumped_vm *d, size_t scratch)
{
	struct standing_places places = { 0 };
	bool has_gone_on = went_on(d), may_be_written = d->swapped && has_gone_on;
	int ret = may_be_written ? standing_places_read(d->pid, &places) : 0, err;

	d->view = may_be_written ? &places.view : NULL;
	err = session(d->pid, undo_space(d, scratch, has_gone_on), ret ? put_lpis_back : put_back, d);
	d->view = NULL;
	standing_places_free(&places);
	return ret ?: err;
}

static void put_threads_back(const struct dumped_vm *d)
{
	if (threads_put_back(d->pid, d->vm))
		threads_put_back(d->pid, d->vm);
}

/*
 * Undoes exactly what was recorded, whatever @ret says: a failing post-dump script
 * comes with 0 and the tasks run on, and in a process about to be killed it harms nothing.
 */
static void undo_dump(struct dumped_vm *d)
{
	/* What fails for the moment, for memory of the kernel's or the process's, is tried again, with less: nothing else brings the VM back. */
	if ((d->lpis_changed || d->swapped) && undo(d, vm_undo_scratch(d->vm)))
		undo(d, TASK_SCRATCH_SMALL);
	if (d->lpis_changed)
		pr_err("vm %u of pid %d: LPI pending tables in its memory are those of the dump\n", d->vm->id, d->pid);
	if (d->swapped)
		pr_err("vm %u of pid %d: kvm_run was not put back: its vCPUs cannot run any more: try criu-kvm recover %d, "
		       "else end the process\n",
		       d->vm->id, d->pid, d->pid);
}

/*
 * A signal that came too late to fail the dump ends criu here, with the VMM whole and
 * before CRIU kills it: whoever sent it did not mean the VM.
 */
static void end_by_signal(int sig, int ret)
{
	if (!sig || ret)
		return;
	pr_err("signal %d (%s): the dump is given up, its process runs on\n", sig, strsignal(sig));
	network_unlock();
	raise(sig);
}

/*
 * While CRIU infects a task its handler of SIGCHLD takes each stop for a fault, and ends criu: also when it has failed to, and
 * the dump is undone. What comes late finds nothing more to wait for.
 */
static void hold_child_signal(sigset_t *before)
{
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, before);
}

/*
 * Where CRIU cannot reach its parasite (its fault point 5) the thread gives that up and goes on, traced; the dump fails by this, and
 * is undone in it. One that runs in a dump that has failed here is in a system call of ours: it is to end that.
 */
static void stop_again(void)
{
	for (size_t i = 0; i < dump.nr && !dump.failed; i++)
		if (dump.vms[i].vm->nr_threads)
			threads_stop_again(dump.vms[i].pid, dump.vms[i].vm);
}

/* What is there of images that are not all there. */
static void drop_images(void)
{
	for (size_t i = 0; i < dump.nr; i++)
		if (!dump.vms[i].has_images)
			image_drop_vm_parts(&dump.vms[i].images, dump.vms[i].vm);
}

static void end_dump(int ret)
{
	sigset_t signals;

	spent_on(SPENT_UNDO);
	hold_child_signal(&signals);
	if (ret)
		stop_again();
	for (size_t i = 0; i < dump.nr; i++) {
		dump.vms[i].dumped = !ret && !signals_held();
		undo_dump(&dump.vms[i]);
	}
	/* When nothing is run in any process any more: that loses what is put back here. */
	for (size_t i = 0; i < dump.nr; i++)
		if (dump.vms[i].vm->nr_threads)
			put_threads_back(&dump.vms[i]);
	if (dump.nr)
		spent_tell("the dump");
	drop_images();
	free(dump.vms);
	free(dump.files.list);
	discovered_free(&dump.all);
	memset(&dump, 0, sizeof(dump));
	kernel_probe_unload();
	sigprocmask(SIG_SETMASK, &signals, NULL);
	end_by_signal(signals_release(), ret);
}

/* ---- restore ---- */

/*
 * Whether the dump's inventory names this plugin. Of an inventory without a list of
 * plugins CRIU says yes each time it is asked; of one with a list, once.
 */
static bool inventory_has_us(void)
{
	size_t n = strlen(PLUGIN_NAME);

	return check_and_remove_inventory_plugin(PLUGIN_NAME, n) &&
	       !check_and_remove_inventory_plugin(PLUGIN_NAME, n);
}

static int list_vms(void)
{
	bool *created = mmap(NULL, (IMAGE_MAX_VMS + 1) * sizeof(*created), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	restore.vms = created == MAP_FAILED ? NULL : calloc(restore.nr + 1, sizeof(*restore.vms));
	if (!restore.vms)
		return -ENOMEM;
	for (size_t i = 0; i < restore.nr; i++) {
		restore.vms[i].vm = restore.states[i];
		restore.vms[i].created = &created[i];
	}
	restore.stand_ins = &created[IMAGE_MAX_VMS];
	return 0;
}

static int begin_restore(void)
{
	int ret;

	if (!inventory_has_us())
		return 0;
#ifndef __aarch64__
	pr_err("the images are of an arm64 VM: restore them on an arm64 host\n");
	return -ENOTSUP;
#endif
	if (images_are_streamed()) {
		pr_err("images of a VM with --stream: not supported by this version: restore from files\n");
		return -EINVAL;
	}
	ret = verify_images(criu_get_image_dir(), &restore.states, &restore.nr, &restore.files);
	if (ret == -ENOENT)
		pr_err("kvm-vm.img: missing, and the inventory says that a VM was dumped\n");
	ret = ret ?: stand_in_new_token(&restore.token);
	ret = ret ?: list_vms();
	return to_criu(ret ?: verify_host(restore.states, restore.nr));
}

/*
 * A late hook that was never called, as where another plugin answers for the VM's task, is
 * seen only here, with the tasks running. Their vCPUs cannot: KVM_RUN answers ENOEXEC before
 * KVM_ARM_VCPU_INIT. CRIU takes no result from this hook, and its caller must not hear of success.
 */
static void end_restore(int ret)
{
	size_t missing = restore.done ? 0 : restore.nr;

	free(restore.vms);
	image_free_all(restore.states, restore.nr, &restore.files);
	memset(&restore, 0, sizeof(restore));
	if (ret || !missing)
		return;
	pr_err("%zu VMs were not restored, for the late hook was not called for all of them: their vCPUs cannot "
	       "run: end their processes, and restore without other plugins\n",
	       missing);
	exit(EXIT_FAILURE);
}

/* And the VM that it is of, in *@r, or NULL. */
static const struct kvm_file *file_by_id(uint32_t id, struct restored_vm **r)
{
	*r = NULL;
	for (size_t f = 0; f < restore.files.nr; f++)
		if (restore.files.list[f].id == id)
			return &restore.files.list[f];
	for (size_t i = 0; i < restore.nr; i++) {
		const struct vm_state *vm = restore.vms[i].vm;

		for (size_t f = 0; f < vm->nr_files; f++)
			if (vm->files[f].id == id) {
				*r = &restore.vms[i];
				return &vm->files[f];
			}
	}
	return NULL;
}

/* The first object of a VM that its owner is asked for brings them all, in the order of their creation. */
static int create_once(struct restored_vm *r)
{
	struct remote remote = DIRECT_REMOTE;
	int ret;

	if (*r->created)
		return 0;
	/* Before anything is made: files are what a user has most likely changed. */
	ret = backing_check(r->vm, AT_FDCWD) ?: fault_injected("create") ?: vm_create(r->vm, &remote, true);
	*r->created = !ret;
	return ret;
}

static int open_file(struct restored_vm *r, const struct kvm_file *file)
{
	/* Which may be in another mount namespace than the VM's process. */
	if (getpid() != r->vm->vpid) {
		*restore.stand_ins = true;
		return stand_in_open(&restore.token, file->id);
	}
	return create_once(r) ?: kvm_file_open(r->vm, file);
}

static int restore_ext_file(int id, bool *retry_needed)
{
	const struct kvm_file *file;
	struct restored_vm *r;

	/* The second argument is there from CRIU 4.3 on, which is told by a symbol that no older one exports. */
	if (criu_plugin_get_options)
		*retry_needed = false;
	file = file_by_id(id, &r);
	if (!file)
		return -ENOTSUP;
	/* /dev/kvm is of no VM, also where a list of one has it. */
	return to_criu(r && file->kind != KVM_FILE_SYSTEM ? open_file(r, file) : kvm_file_open(NULL, file));
}

/* A host booted anew counts from zero: the guest's physical counter must not go back. */
static void keep_ptimer(struct vm_state *vm)
{
	char boot_id[sizeof(vm->boot_id)] = "";
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!file || fscanf(file, "%36s", boot_id) != 1 || strcmp(boot_id, vm->boot_id))
		vm->ptimer_offset = true;
	if (file)
		fclose(file);
}

struct part_of_plan {
	struct restored_vm *r;
	struct plan_part part;
};

/* Part of the restore sequence, in the VM's owner. */
static int run_part(void *arg, struct remote *remote)
{
	const struct part_of_plan *of = arg;
	int ret = plan_run_part(plan_restore, plan_nr_restore, of->part, of->r->vm, remote);

	if (ret)
		lpi_give_back(of->r->vm, remote);
	return ret;
}

/* From outside of its owner, in whose mount namespace their paths mean something. */
static int check_files_late(const struct restored_vm *r)
{
	int root = backing_root(r->pid), ret;

	if (root < 0 && root != AT_FDCWD)
		return root;
	ret = backing_check(r->vm, root);
	if (root >= 0)
		close(root);
	return ret;
}

/* Eventfds of other processes are brought there, into one that may have as many fds as it is allowed. */
static int run_plan(struct restored_vm *r, struct plan_part part)
{
	return session_with_more_fds(r->pid, vm_space(r->vm, NULL), open_limit(), run_part, &(struct part_of_plan){ r, part });
}

static int create_there(void *arg, struct remote *remote)
{
	return fault_injected("create") ?: vm_create(arg, remote, false);
}

/* A VM of which CRIU has opened no file in its owner. */
static int create_late(struct restored_vm *r)
{
	return check_files_late(r) ?:
	       session_with_more_fds(r->pid, TASK_SPACE_SMALL, open_limit(), create_there, r->vm);
}

struct fetched {
	const struct restored_vm *r;
	const struct kvm_file *file;
	int fd;
};

static int fetch_there(void *arg, struct remote *remote)
{
	struct fetched *f = arg;

	f->fd = kvm_file_fetch(f->r->vm, f->file, f->r->pid, remote);
	return f->fd < 0 ? f->fd : 0;
}

/* What CRIU's file @id is, for those who have a stand-in of it. */
static int fetch_file(uint32_t id)
{
	struct restored_vm *r;
	struct fetched f = { .file = file_by_id(id, &r), .fd = -1 };
	int ret;

	if (!r)
		return -EINVAL;
	f.r = r;
	ret = session_with_more_fds(r->pid, TASK_SPACE_SMALL, open_limit(), fetch_there, &f);
	if (ret && f.fd >= 0)
		close(f.fd);
	return ret ?: f.fd;
}

/* With the files of all VMs there. */
static int replace_stand_ins(void)
{
	int ret = fault_injected("stand-ins");

	return ret || !*restore.stand_ins ? ret : stand_in_replace_all(&restore.token, restore.root, fetch_file);
}

/* The last one of all is built and let go in one session, which takes long to open. */
static int build_vm(struct restored_vm *r)
{
	bool last = restore.nr_built + 1 == restore.nr;
	int ret = 0;

	if (*r->created)
		vm_use_parked(r->vm);
	else
		ret = create_late(r);
	keep_ptimer(r->vm);
	if (!ret && last)
		ret = replace_stand_ins();
	ret = ret ?: run_plan(r, last ? plan_whole : plan_build);
	r->built = !ret;
	r->started = r->built && last;
	restore.nr_built += r->built;
	if (!ret)
		pr_info("vm %u of pid %d: %zu vCPUs, %zu memslots, %zu ITSes restored\n", r->vm->id, r->pid,
			r->vm->nr_vcpus, r->vm->nr_slots, r->vm->nr_itses);
	return ret;
}

/* Of a VM that is whole already, when another is not to be. */
static int give_lpis_back(void *arg, struct remote *remote)
{
	lpi_give_back(arg, remote);
	return 0;
}

/*
 * CRIU 4.1.1 and 4.2.1 ignore what this hook answers and let the tasks run. Its
 * first task is the first they detach from: with that one dead they fail the restore and
 * kill the others before any has run.
 */
static int stop_restore(struct restored_vm *r, pid_t pid, int err)
{
	pr_err("vm %u of pid %d: not restored: no vCPU of %s has run; the restore is stopped\n", r->vm->id,
	       pid, restore.nr > 1 ? "any VM" : "it");
	for (size_t i = 0; i < restore.nr; i++)
		if (restore.vms[i].built && restore.vms[i].vm->lpi)
			session(restore.vms[i].pid, vm_space(restore.vms[i].vm, NULL), give_lpis_back, restore.vms[i].vm);
	if (!fault_leaves_out("the end of the tree"))
		kill(restore.root, SIGKILL);
	return to_criu(err);
}

/* Threads of the process whose VMs @r is the first of. */
static int apply_threads(const struct restored_vm *r)
{
	return r->vm->nr_threads ? threads_apply(r->pid, r->vm) : 0;
}

/* All VMs are whole. */
static int start_vms(void)
{
	int ret = 0;

	spent_on(SPENT_START);
	for (size_t i = 0; !ret && i < restore.nr; i++) {
		if (restore.vms[i].started)
			continue;
		ret = run_plan(&restore.vms[i], plan_start);
		if (ret)
			return stop_restore(&restore.vms[i], restore.vms[i].pid, ret);
	}
	for (size_t i = 0; !ret && i < restore.nr; i++) {
		ret = fault_injected("threads") ?: apply_threads(&restore.vms[i]);
		if (ret)
			return stop_restore(&restore.vms[i], restore.vms[i].pid, ret);
	}
	restore.done = true;
	return 0;
}

/*
 * Threads now and when all is done: should criu be killed meanwhile, a VM that is whole has whole threads. Before
 * anything is run in the process.
 */
static int build_vms_of(int pid, int vpid)
{
	int ret = -ENOTSUP;

	for (size_t i = 0; i < restore.nr; i++) {
		struct restored_vm *r = &restore.vms[i];

		if (r->vm->vpid != vpid || r->pid)
			continue;
		r->pid = pid;
		ret = probe_check_threads(pid, r->vm) ?: apply_threads(r);
		if (ret)
			return stop_restore(r, pid, ret);
	}
	for (size_t i = 0; i < restore.nr; i++) {
		if (restore.vms[i].pid != pid)
			continue;
		ret = build_vm(&restore.vms[i]);
		if (ret)
			return stop_restore(&restore.vms[i], pid, ret);
	}
	return ret;
}

/* Whether a task of the tree is @vpid, and not one that has ended: the hook is called for that one too. */
static bool is_called_for(int32_t vpid, const pid_t *pids, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (proc_is_traced(pids[i]) && proc_vpid(pids[i], pids[i]) == vpid)
			return true;
	return false;
}

/*
 * With the first task, which is the tree's root: whom an image names is the image's. A VM that nobody makes would be missed at
 * exit only, with the tasks running.
 */
static int check_owners(pid_t root)
{
	pid_t *pids = NULL;
	size_t nr = 0;
	int ret = proc_tree(root, &pids, &nr);

	for (size_t i = 0; i < restore.nr && !ret; i++) {
		const struct vm_state *vm = restore.vms[i].vm;

		if (is_called_for(vm->vpid, pids, nr))
			continue;
		pr_err("vm %u: no task is pid %d, whose VM it is: the images do not belong together\n", vm->id, vm->vpid);
		ret = -EINVAL;
	}
	free(pids);
	return ret ? stop_restore(&restore.vms[0], root, ret) : 0;
}

/* The owner of all VMs is @vpid, as a rule: no tree is to be looked at then. */
static bool owns_all(int32_t vpid)
{
	for (size_t i = 0; i < restore.nr; i++)
		if (restore.vms[i].vm->vpid != vpid)
			return false;
	return true;
}

static int build_and_start(int pid)
{
	bool is_first = !restore.root;
	int vpid, ret;

	if (is_first)
		restore.root = pid;
	vpid = proc_vpid(pid, pid);
	if (vpid < 0)
		return stop_restore(&restore.vms[0], pid, vpid);
	ret = is_first && !owns_all(vpid) ? check_owners(pid) : 0;
	if (ret)
		return ret;
	ret = build_vms_of(pid, vpid);
	return !ret && restore.nr_built == restore.nr ? start_vms() : ret;
}

static int resume_devices_late(int pid)
{
	int ret;

	if (!restore.nr || fault_injected("late-hook"))
		return -ENOTSUP; /* no VM: there may be /dev/kvm */
	spent_on(SPENT_BUILD);
	ret = build_and_start(pid);
	spent_on(SPENT_NOT);
	if (restore.done)
		spent_tell("the restore");
	return ret;
}

/* ---- the descriptor ---- */

static int plugin_init(int stage)
{
	stage_now = stage;
	fault_init();
	return stage == CR_PLUGIN_STAGE__RESTORE ? begin_restore() : 0;
}

static void plugin_exit(int stage, int ret)
{
	if (stage == CR_PLUGIN_STAGE__RESTORE)
		end_restore(ret);
	else
		end_dump(ret);
}

cr_plugin_desc_t CR_PLUGIN_DESC = {
	.name = PLUGIN_NAME,
	.init = plugin_init,
	.exit = plugin_exit,
	.version = CRIU_PLUGIN_GEN_VERSION(0, 2, 0),
	.max_hooks = 12,
	.hooks = {
		[CR_PLUGIN_HOOK__PAUSE_DEVICES] = pause_devices,
		[CR_PLUGIN_HOOK__CHECKPOINT_DEVICES] = checkpoint_devices,
		[CR_PLUGIN_HOOK__DUMP_EXT_FILE] = dump_ext_file,
		[CR_PLUGIN_HOOK__RESTORE_EXT_FILE] = restore_ext_file,
		[CR_PLUGIN_HOOK__RESUME_DEVICES_LATE] = resume_devices_late,
	},
};
