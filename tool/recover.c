// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu-kvm recover: a criu that was killed in a dump may have left a VMM with copies in the place of kvm_run, and
 * vCPUs that answer EINTR to KVM_RUN (docs/criu-killed.md). What was where is in the pages themselves: state/left.h. A later
 * dump puts them back likewise. It may have left memory of its own besides: parasite.h.
 */
#include <inttypes.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "freezer.h"
#include "log.h"
#include "parasite.h"
#include "probe/cgroup.h"
#include "probe/proc.h"
#include "probe/standing.h"
#include "remote/visit.h"
#include "state/kvm_run.h"
#include "stop.h"
#include "tool.h"

/* A second. */
#define PARASITE_TRIES 20
#define PARASITE_WAIT_US 50000

static const char usage[] =
	"usage: criu-kvm recover [--frozen] [--verbose] PID\n"
	"\n"
	"Where criu was killed in a dump of PID, a VMM, its VM may stand: KVM_RUN answers EINTR. This puts back\n"
	"what criu had taken, with what the VMM has written since, and the VM goes on. What criu had mapped of its own\n"
	"is unmapped, in any process. A cgroup that is frozen is thawed.\n"
	"\n"
	"  --frozen       leave the cgroup frozen: its vCPUs run when it is thawed\n"
	"  -v, --verbose  tell what is done\n"
	"  -h, --help\n"
	"\n"
	"Exit status: 0 the VM can go on; 1 there is nothing to put back; 2 usage; 3 it was not put back.\n";

struct recovery {
	pid_t pid;
	bool stays_frozen;
	struct vm_state vm; /* the vCPUs of all VMs of the process */
	struct parasite parasite;
	pid_t in_parasite; /* a thread of it that is still there */
	struct stopped stopped;
	struct freezer freezer;
	struct standing_places places;
};

/* ---- what there is ---- */

static bool is_known(const struct recovery *r, int fd)
{
	for (size_t i = 0; i < r->vm.nr_vcpus; i++)
		if (!syscall(SYS_kcmp, r->pid, r->pid, KCMP_FILE, r->vm.vcpus[i].fd, fd))
			return true;
	return false;
}

/* Each vCPU that stands, once. */
static int add_vcpu(struct recovery *r, const struct proc_fd *fd)
{
	struct vm_state *vm = &r->vm;
	struct vcpu_state vcpu = {
		.idx = vm->nr_vcpus,
		.id = strtoul(strrchr(fd->name, ':') + 1, NULL, 10),
		.fd = fd->fd,
		.run_size = 2 * vm->page_size,
	};
	int ret = is_known(r, fd->fd) ? 0 : standing_is_marked(r->pid, vm, &vcpu);

	if (ret > 0)
		vm->vcpus[vm->nr_vcpus++] = vcpu;
	return ret < 0 ? ret : 0;
}

static int find_vcpus(struct recovery *r)
{
	struct proc_scan scan;
	int ret = proc_scan(r->pid, &scan);

	if (ret == -ESRCH)
		tool_error("pid %d: there is no such process", r->pid);
	r->vm.page_size = sysconf(_SC_PAGESIZE);
	r->vm.vcpus = ret ? NULL : calloc(scan.nr_fds + 1, sizeof(*r->vm.vcpus));
	if (!ret && !r->vm.vcpus)
		ret = -ENOMEM;
	for (size_t i = 0; i < scan.nr_fds && !ret; i++)
		if (scan.fds[i].kind == PROC_FD_VCPU)
			ret = add_vcpu(r, &scan.fds[i]);
	proc_scan_free(&scan);
	return ret;
}

/* ---- putting it back ---- */

/* KVM answers EIO to a vCPU of another process's VM, whose copies are not here. */
static int check_owner(struct recovery *r, struct remote *remote)
{
	struct batch b = BATCH(remote, 0, "recover");
	struct kvm_mp_state state;
	int ret;

	for (size_t i = 0; i < r->vm.nr_vcpus; i++)
		batch_ioctl(&b, r->vm.vcpus[i].fd, KVM_GET_MP_STATE, &state, sizeof(state), "KVM_GET_MP_STATE");
	ret = batch_try(&b);
	batch_fini(&b);
	if (ret)
		tool_error("pid %d: KVM does not answer it for its vCPUs: %s (errno %d)%s", r->pid, strerror(-ret), -ret,
			   ret == -EIO ? ": the VM is another process's: name that one" : "");
	return ret;
}

static int put_back(struct recovery *r, struct remote *remote)
{
	size_t nr = 0;
	int ret = check_owner(r, remote) ?: left_put_back(&r->vm, remote, &r->places.view, &nr);

	for (size_t i = 0; i < nr && !ret; i++)
		printf("pid %d: vCPU %u: kvm_run is back\n", r->pid, r->vm.vcpus[i].id);
	return ret;
}

/* All that there is to do by system calls in it. */
static int run_calls(void *arg, struct remote *remote)
{
	struct recovery *r = arg;
	int ret = r->vm.nr_vcpus ? put_back(r, remote) : 0;

	return ret || r->in_parasite ? ret : parasite_take_out(&r->parasite, remote);
}

/* The parasite as it is when all threads are held: who runs may unmap what it likes. */
static int stop_once(struct recovery *r)
{
	int ret;

	parasite_free(&r->parasite);
	ret = stop_process(r->pid, &r->stopped) ?: parasite_find(r->pid, &r->parasite);
	if (ret)
		return ret;
	r->in_parasite = parasite_thread(&r->parasite, r->stopped.tids, r->stopped.nr);
	return r->in_parasite < 0 ? r->in_parasite : 0;
}

/* The parasite gives its thread back by itself when criu is gone, in a moment; not where it is frozen. */
static int stop(struct recovery *r)
{
	int ret = stop_once(r);

	for (int i = 0; !ret && r->in_parasite && i < PARASITE_TRIES; i++) {
		stop_end(&r->stopped);
		usleep(PARASITE_WAIT_US);
		ret = stop_once(r);
	}
	if (!ret && r->in_parasite) {
		tool_error("pid %d: thread %d is in what criu has mapped, which is left there: try again", r->pid, r->in_parasite);
		ret = r->vm.nr_vcpus ? 0 : -EBUSY; /* its VM can go on with it */
	}
	if (ret)
		stop_end(&r->stopped);
	return ret;
}

/* Thawed when all its threads are held: what is run in a frozen one does not run. */
static int recover(struct recovery *r)
{
	int ret = freezer_find(CGROUP_ROOT, r->pid, &r->freezer) ?: stop(r), err;

	if (ret)
		return ret;
	ret = standing_check(r->pid, &r->vm) ?: standing_places_read(r->pid, &r->places);
	ret = ret ?: freezer_write(&r->freezer, "0");
	ret = ret ?: visit(r->pid, (struct task_space){ .scratch = TASK_SCRATCH_SMALL, .room = kvm_run_room(&r->vm) }, run_calls, r);
	if (ret || r->stays_frozen) {
		err = freezer_write(&r->freezer, "1");
		ret = ret ?: err;
	}
	stop_end(&r->stopped);
	return ret;
}

/* The exit status. */
static int tell_end(const struct recovery *r, int ret)
{
	if (ret) {
		tool_error("pid %d: not recovered", r->pid);
		return TOOL_TROUBLE;
	}
	for (size_t i = 0; i < r->parasite.nr_maps && !r->in_parasite; i++)
		printf("pid %d: what criu had mapped at %#" PRIx64 " is unmapped\n", r->pid, r->parasite.maps[i].start);
	for (size_t i = 0; i < r->parasite.nr_fds && !r->in_parasite; i++)
		printf("pid %d: fd %d, which was criu's, is closed\n", r->pid, r->parasite.fds[i]);
	if (r->vm.nr_vcpus)
		printf("pid %d: %zu vCPUs can run again%s\n", r->pid, r->vm.nr_vcpus,
		       r->freezer.nr && r->stays_frozen ? ", when its cgroup is thawed" : "");
	return TOOL_YES;
}

static int recover_pid(struct recovery *r)
{
	int ret = find_vcpus(r) ?: parasite_find(r->pid, &r->parasite);

	if (!ret && !r->vm.nr_vcpus && !parasite_is_there(&r->parasite)) {
		tool_error("pid %d: nothing to put back: no vCPU of it was left standing", r->pid);
		return TOOL_NO;
	}
	return tell_end(r, ret ?: recover(r));
}

static void free_all(struct recovery *r)
{
	for (size_t i = 0; i < r->vm.nr_vcpus; i++)
		free(r->vm.vcpus[i].run);
	free(r->vm.vcpus);
	standing_places_free(&r->places);
	parasite_free(&r->parasite);
	freezer_free(&r->freezer);
}

static bool parse_pid(const char *text, pid_t *pid)
{
	char *end;
	long value = strtol(text, &end, 10);

	*pid = value;
	return *text && !*end && value > 0 && value == *pid;
}

static bool stays_frozen;

static void take_option(int letter, const char *arg)
{
	stays_frozen = true;
}

int cmd_recover(int argc, char **argv)
{
	static const struct option options[] = { { "frozen", no_argument, NULL, 'f' },
						 { "verbose", no_argument, NULL, 'v' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	static const struct tool_options o = {
		.usage = usage, .options = options, .take = take_option, .nr_args = 1, .max_args = 1
	};
	struct recovery r = { 0 };
	int status;

	if (tool_parse(argc, argv, &o, &status))
		return status;
	r.stays_frozen = stays_frozen;
	if (!parse_pid(argv[optind], &r.pid)) {
		tool_error("%s: no pid, see criu-kvm recover --help", argv[optind]);
		return TOOL_USAGE;
	}
	status = recover_pid(&r);
	free_all(&r);
	return status;
}
