// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRIU's hooks, and the life of a dump and of a restore.
 *
 * dump:	PAUSE_DEVICES		loads the probe, while tasks still run
 *		CHECKPOINT_DEVICES	reads the VM, writes its images, swaps kvm_run out
 *		DUMP_EXT_FILE		notes under which id CRIU knows each fd
 *		exit			swaps kvm_run in, whatever became of the dump
 * restore:	init			reads and validates all images, before a task is forked
 *		RESTORE_EXT_FILE	creates the VM's objects, in the process that will own them
 *		RESUME_DEVICES_LATE	writes all state, with memory in place and no task running
 */
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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
#include "probe/backing.h"
#include "probe/discover.h"
#include "probe/kernel.h"
#include "probe/proc.h"
#include "probe/thread.h"
#include "remote/task.h"
#include "remote/threads.h"
#include "setting.h"
#include "signals.h"
#include "state/host.h"
#include "state/kvm_run.h"

#define PLUGIN_NAME "kvm_vgic_plugin"

/* Exported by criu for its plugins; in no header that is installed. */
int add_inventory_plugin(const char *name);
void network_unlock(void);
bool check_and_remove_inventory_plugin(const char *name, size_t n);

/*
 * CRIU 4.3 calls RESTORE_EXT_FILE with a second argument and reads it back. Whether
 * there is one is told by a symbol that only 4.3 and later export.
 */
void criu_plugin_get_options(void) __attribute__((weak));

/*
 * The loader refuses a descriptor with more hooks, or of a higher version, than its
 * own: 4.1.1 has 12 hooks and version 0.2.0, and every later CRIU takes that too.
 */
_Static_assert(CR_PLUGIN_HOOK__MAX >= 12, "criu-plugin.h is older than CRIU 4.1");

static int stage_now;

/* A VM that is being dumped, and what was done to its process. */
struct dumped_vm {
	struct vm_state *vm;
	struct image_seals seals;
	pid_t pid;
	bool swapped;
	bool dumped; /* its images are good, as far as CRIU has come */
};

static struct {
	struct dumped_vm *vms;
	size_t nr;
	struct image_dump_id id;
	pid_t vmm; /* the one process with KVM that PAUSE_DEVICES has seen */
} dump;

static struct {
	struct vm_state **vms;
	size_t nr, nr_done;
	pid_t root;   /* the first task that the late hook was called for */
	bool created; /* in this process: RESTORE_EXT_FILE runs in a child of criu */
} restore;

/*
 * CRIU takes -ENOTSUP from a hook as "not mine" and goes on: a refusal, or an errno
 * of the kernel's that happens to be the same, must not look like it.
 */
static int to_criu(int ret)
{
	return ret == -ENOTSUP ? -EINVAL : ret;
}

/* ---- dump ---- */

/*
 * Outside of CRIU's limit for stopping tasks (--timeout, 10 s), in which this hook is called: on a slow
 * host the kernel takes long to verify the probe, and nothing is stopped yet.
 */
static int load_probe(void)
{
	unsigned int left = alarm(0);
	int ret = kernel_probe_load();

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
	if (ret > 0 && dump.vmm && dump.vmm != pid) {
		pr_err("pid %d: a second process with KVM, beside %d: not supported by this version: dump "
		       "one VMM at a "
		       "time, and close KVM fds that are not used\n",
		       pid, dump.vmm);
		return -EINVAL;
	}
	if (ret > 0)
		dump.vmm = pid;
	if (ret > 0 && stage_now == CR_PLUGIN_STAGE__PRE_DUMP) {
		pr_err("pid %d: pre-dump of a VMM is not possible: dump it\n", pid);
		return -EINVAL;
	}
	return to_criu(ret < 0 ? ret : load_probe());
}

/* The VMs of all dumped processes so far, as image functions take them. */
static int write_index(void)
{
	const struct vm_state *vms[IMAGE_MAX_VMS];
	struct image_seals seals[IMAGE_MAX_VMS];

	for (size_t i = 0; i < dump.nr; i++) {
		vms[i] = dump.vms[i].vm;
		seals[i] = dump.vms[i].seals;
	}
	return image_write_index(criu_get_image_dir(), &dump.id, vms, seals, dump.nr);
}

static int write_images(struct dumped_vm *d)
{
	const struct vm_state *vm = d->vm;
	int ret = image_check(&vm, 1);

	if (!ret)
		ret = image_write_vm_parts(criu_get_image_dir(), &dump.id, vm, &d->seals);
	return ret ?: write_index();
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

/* @run with a session open on @d's process. */
static int with_remote(struct dumped_vm *d, int (*run)(struct dumped_vm *d, struct remote *remote))
{
	struct remote *remote;
	int ret, err;

	ret = task_remote_open(d->pid, vm_room(d->vm), &remote);
	if (ret)
		return ret;
	ret = run(d, remote);
	err = task_remote_close(remote);
	return ret ?: err;
}

static int read_vm(struct dumped_vm *d, struct remote *remote)
{
	return plan_run(plan_dump, plan_nr_dump, d->vm, remote);
}

static int swap_in(struct dumped_vm *d, struct remote *remote)
{
	int ret = kvm_run_swap_in(d->vm, remote);

	d->swapped = ret;
	if (!ret)
		pr_info("vm %u of pid %d: kvm_run put back\n", d->vm->id, d->pid);
	return ret;
}

/*
 * Undone in the same session where it fails: mremap() may have unmapped what it was to replace. A new
 * session could not be mapped for the reason that it failed for, or would be mapped in that place.
 */
static int swap_out(struct dumped_vm *d, struct remote *remote)
{
	int ret;

	d->swapped = true;
	ret = kvm_run_swap_out(d->vm, remote);
	if (ret)
		swap_in(d, remote);
	return ret;
}

static int put_lpis_back(struct dumped_vm *d, struct remote *remote)
{
	return lpi_put_back(d->vm, remote, d->dumped);
}

/*
 * Reads all of the VM, then takes kvm_run out of CRIU's sight. Files are read and images
 * written with no session open: slow storage must not hold the task where the end of criu
 * ends it.
 */
static int dump_vm(struct dumped_vm *d)
{
	int ret = threads_abort_rseq(d->pid) ?: threads_capture(d->pid, d->vm);

	if (!ret)
		ret = with_remote(d, read_vm);
	if (!ret)
		ret = backing_capture(d->pid, d->vm, interrupted);
	if (!ret)
		ret = write_images(d);
	if (!ret)
		ret = with_remote(d, swap_out);
	if (!ret)
		ret = fault_injected("swapped");
	return ret ?: interrupted();
}

static struct dumped_vm *new_dumped_vm(struct vm_state *vm, pid_t pid)
{
	struct dumped_vm *more = reallocarray(dump.vms, dump.nr + 1, sizeof(*more));

	if (!more)
		return NULL;
	dump.vms = more;
	vm->id = dump.nr + 1;
	more[dump.nr] = (struct dumped_vm){ .vm = vm, .pid = pid };
	return &more[dump.nr++];
}

static int checkpoint_devices(int pid)
{
	struct vm_state *vm;
	struct dumped_vm *d;
	int ret;

	ret = discover(pid, &vm);
	if (ret == -ESRCH)
		pr_err("pid %d: has ended\n", pid);
	if (ret)
		return to_criu(ret);
	if (!vm)
		return -ENOTSUP;
	signals_hold();
	if (dump.nr) {
		pr_err("pid %d: a second VM in the dumped tree: not supported by this version: dump one VMM "
		       "at a time\n",
		       pid);
		vm_state_free(vm);
		return -EINVAL;
	}
	ret = image_new_dump_id(&dump.id);
	d = ret ? NULL : new_dumped_vm(vm, pid);
	if (!d) {
		vm_state_free(vm);
		return ret ?: -ENOMEM;
	}
	ret = dump_vm(d);
	if (ret) {
		pr_err("vm %u of pid %d: not dumped, and left as it was\n", vm->id, pid);
		return to_criu(ret);
	}
	if (add_inventory_plugin(PLUGIN_NAME))
		return -ENOMEM;
	pr_info("vm %u of pid %d: %zu vCPUs, %zu memslots, %zu ITSes saved\n", vm->id, pid, vm->nr_vcpus,
		vm->nr_slots, vm->nr_itses);
	return 0;
}

/* Whether @fd, CRIU's copy, is the same open file as @task_fd of @pid. */
static bool same_file(int fd, pid_t pid, int task_fd)
{
	return !syscall(SYS_kcmp, getpid(), pid, KCMP_FILE, fd, task_fd);
}

static int find_vcpu(const struct dumped_vm *d, int fd, struct kvm_file *file)
{
	file->kind = KVM_FILE_VCPU;
	for (file->index = 0; file->index < d->vm->nr_vcpus; file->index++)
		if (same_file(fd, d->pid, d->vm->vcpus[file->index].fd))
			return 1;
	return 0;
}

static int find_its(const struct dumped_vm *d, int fd, struct kvm_file *file)
{
	file->kind = KVM_FILE_ITS;
	for (file->index = 0; file->index < d->vm->nr_itses; file->index++)
		if (same_file(fd, d->pid, d->vm->itses[file->index].fd))
			return 1;
	return 0;
}

/* The object of @d behind @fd: 1 and *@file, or 0. */
static int find_file(const struct dumped_vm *d, int fd, struct kvm_file *file)
{
	const struct vm_state *vm = d->vm;
	struct stat st;

	if (!fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 232))
		file->kind = KVM_FILE_SYSTEM;
	else if (same_file(fd, d->pid, vm->fd))
		file->kind = KVM_FILE_VM;
	else if (same_file(fd, d->pid, vm_gic_fd(vm)))
		file->kind = KVM_FILE_VGIC;
	else
		return find_vcpu(d, fd, file) || find_its(d, fd, file);
	return 1;
}

static int note_file(struct vm_state *vm, struct kvm_file file)
{
	struct kvm_file *more = reallocarray(vm->files, vm->nr_files + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	vm->files = more;
	more[vm->nr_files++] = file;
	return write_index();
}

static int dump_ext_file(int fd, int id)
{
	char path[32], link[64] = "";

	for (size_t i = 0; i < dump.nr; i++) {
		struct kvm_file file = { .id = id };

		if (find_file(&dump.vms[i], fd, &file))
			return fault_injected("dump-ext-file") ?: interrupted() ?: note_file(dump.vms[i].vm, file);
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, link, sizeof(link) - 1) < 0 ||
	    strncmp(link, "anon_inode:kvm-", strlen("anon_inode:kvm-")))
		return -ENOTSUP;
	pr_err("file %#x (%s): of no VM that was dumped\n", id, link);
	return -EINVAL;
}

/*
 * Undoes exactly what was recorded, whatever @ret says: a failing post-dump script
 * comes with 0 and the tasks run on, and in a process about to be killed it harms nothing.
 */
static void undo_dump(struct dumped_vm *d)
{
	int ret = 0;

	/* First: no vCPU may find what was saved of its interrupts. */
	if (d->vm->lpi && with_remote(d, put_lpis_back))
		pr_err("vm %u of pid %d: LPI pending tables in its memory are those of the dump\n", d->vm->id, d->pid);
	if (d->swapped)
		ret = with_remote(d, swap_in);
	if (ret)
		pr_err("vm %u of pid %d: kvm_run was not put back: its vCPUs cannot run any more; end the "
		       "process\n",
		       d->vm->id, d->pid);
	if (d->vm->nr_threads)
		threads_apply(d->pid, d->vm);
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

static void end_dump(int ret)
{
	for (size_t i = 0; i < dump.nr; i++) {
		dump.vms[i].dumped = !ret && !signals_held();
		undo_dump(&dump.vms[i]);
		vm_state_free(dump.vms[i].vm);
	}
	free(dump.vms);
	memset(&dump, 0, sizeof(dump));
	kernel_probe_unload();
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

static int begin_restore(void)
{
	int ret;

	if (!inventory_has_us())
		return 0;
	if (setting_check())
		return -EINVAL;
#ifndef __aarch64__
	pr_err("the images are of an arm64 VM: restore them on an arm64 host\n");
	return -ENOTSUP;
#endif
	ret = image_read_all(criu_get_image_dir(), &restore.vms, &restore.nr);
	if (ret == -ENOENT)
		pr_err("kvm-vm.img: missing, and the inventory says that a VM was dumped\n");
	for (size_t i = 0; !ret && i < restore.nr; i++)
		ret = host_check(restore.vms[i]);
	return ret;
}

/*
 * A late hook that was never called, as where another plugin answers for the VM's task, is
 * seen only here, with the tasks running. Their vCPUs cannot: KVM_RUN answers ENOEXEC before
 * KVM_ARM_VCPU_INIT. CRIU takes no result from this hook, and its caller must not hear of success.
 */
static void end_restore(int ret)
{
	size_t missing = restore.nr - restore.nr_done;

	image_free_all(restore.vms, restore.nr);
	memset(&restore, 0, sizeof(restore));
	if (ret || !missing)
		return;
	pr_err("%zu VMs were not restored, for the late hook was not called for them: their vCPUs cannot "
	       "run: "
	       "end their processes, and restore without other plugins\n",
	       missing);
	exit(EXIT_FAILURE);
}

static const struct kvm_file *file_by_id(uint32_t id, struct vm_state **vm)
{
	for (size_t i = 0; i < restore.nr; i++)
		for (size_t f = 0; f < restore.vms[i]->nr_files; f++)
			if (restore.vms[i]->files[f].id == id) {
				*vm = restore.vms[i];
				return &restore.vms[i]->files[f];
			}
	return NULL;
}

static int open_system(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), err = errno;

	if (fd >= 0)
		return fd;
	pr_err("/dev/kvm: %s (errno %d): give the restored process access to it\n", strerror(err), err);
	return -err;
}

/* The first object of a VM that is asked for brings them all, in the order of their creation. */
static int create_once(const struct vm_state *vm)
{
	int ret;

	if (restore.created)
		return 0;
	if (getpid() != vm->vpid) {
		pr_err("vm %u: pid %d holds its fds, pid %d owned it\n", vm->id, getpid(), vm->vpid);
		return -EINVAL;
	}
	/* Files first: they are what a user has most likely changed. */
	ret = backing_check(vm) ?: fault_injected("create") ?: vm_create(vm);
	restore.created = !ret;
	return ret;
}

static int restore_ext_file(int id, bool *retry_needed)
{
	const struct kvm_file *file;
	struct vm_state *vm;
	int fd;

	if (criu_plugin_get_options)
		*retry_needed = false;
	file = file_by_id(id, &vm);
	if (!file)
		return -ENOTSUP;
	if (file->kind == KVM_FILE_SYSTEM)
		return open_system();
	fd = create_once(vm);
	if (fd)
		return to_criu(fd);
	fd = fcntl(vm_parked_fd(vm, file->kind, file->index), F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		pr_err("vm %u: file %#x: %s\n", vm->id, id, strerror(errno));
	return fd < 0 ? -errno : fd;
}

/* Points @vm to the fds that vm_create() has left in the process. */
static void use_parked(struct vm_state *vm)
{
	vm->fd = vm_parked_fd(vm, KVM_FILE_VM, 0);
	if (vm->vgic)
		vm->vgic->fd = vm_parked_fd(vm, KVM_FILE_VGIC, 0);
	else
		vm->vgic_v5->fd = vm_parked_fd(vm, KVM_FILE_VGIC, 0);
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		vm->vcpus[i].fd = vm_parked_fd(vm, KVM_FILE_VCPU, i);
	for (size_t i = 0; i < vm->nr_itses; i++)
		vm->itses[i].fd = vm_parked_fd(vm, KVM_FILE_ITS, i);
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

static int restore_vm(struct vm_state *vm, pid_t pid)
{
	struct remote *remote;
	int ret, err;

	use_parked(vm);
	keep_ptimer(vm);
	ret = probe_check_threads(pid, vm);
	if (ret)
		return ret;
	/* Now and when all is done: should criu be killed meanwhile, a VM that is whole has whole threads. */
	ret = threads_apply(pid, vm) ?: task_remote_open(pid, vm_room(vm), &remote);
	if (ret)
		return ret;
	ret = plan_run(plan_restore, plan_nr_restore, vm, remote);
	if (ret)
		lpi_give_back(vm, remote);
	err = task_remote_close(remote);
	if (!ret)
		ret = err;
	return ret ?: fault_injected("threads") ?: threads_apply(pid, vm);
}

/*
 * CRIU 4.1.1 and 4.2.1 ignore what this hook answers and let the tasks run. Its
 * first task is the first they detach from: with that one dead they fail the restore and
 * kill the others before any has run.
 */
static int stop_restore(const struct vm_state *vm, pid_t pid, int err)
{
	pr_err("vm %u of pid %d: not restored: no vCPU of it has run; the restore is stopped\n", vm->id, pid);
	kill(restore.root, SIGKILL);
	return to_criu(err);
}

static int resume_devices_late(int pid)
{
	int vpid, ret = -ENOTSUP;

	if (!restore.nr || fault_injected("late-hook"))
		return -ENOTSUP;
	if (!restore.root)
		restore.root = pid;
	vpid = proc_vpid(pid, pid);
	if (vpid < 0)
		return stop_restore(restore.vms[0], pid, vpid);
	for (size_t i = 0; i < restore.nr; i++) {
		struct vm_state *vm = restore.vms[i];

		if (vm->vpid != vpid)
			continue;
		ret = restore_vm(vm, pid);
		if (ret)
			return stop_restore(vm, pid, ret);
		restore.nr_done++;
		pr_info("vm %u of pid %d: %zu vCPUs, %zu memslots, %zu ITSes restored\n", vm->id, pid,
			vm->nr_vcpus, vm->nr_slots, vm->nr_itses);
	}
	return ret;
}

/* ---- the descriptor ---- */

static int plugin_init(int stage)
{
	stage_now = stage;
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
