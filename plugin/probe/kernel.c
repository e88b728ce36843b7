// SPDX-License-Identifier: GPL-2.0-only
/* Loading and running the iterator. */
#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"
#include "probe/discover.h"
#include "probe/kernel.h"
#include "probe/program.h"

/*
 * Bits of kvm->arch.flags are macros, which BTF does not hold: CO-RE cannot notice
 * that one has moved. So they are known per kernel series, and discover.c's
 * table holds for these.
 */
static const struct series {
	const char *release;
	bool saves_orphans;	  /* ITS interrupts without a collection */
	unsigned int step_pending; /* in sflags: DBG_SS_ACTIVE_PENDING, now HOST_SS_ACTIVE_PENDING */
} known_series[] = {
	{ "6.12.", false, 1 << 5 },
	{ "7.2.", true, 1 << 3 },
};

static int load_result = 1; /* not tried yet */
static struct utsname running;

/* By what uname() says, which it is asked once. */
static const struct series *running_series(void)
{
	if (!running.release[0] && uname(&running))
		return NULL;
	for (size_t i = 0; i < sizeof(known_series) / sizeof(known_series[0]); i++)
		if (!strncmp(running.release, known_series[i].release, strlen(known_series[i].release)))
			return &known_series[i];
	return NULL;
}

bool kernel_is_arm64(void)
{
#ifdef __aarch64__
	return true;
#else
	return false;
#endif
}

bool kernel_saves_orphans(void)
{
	const struct series *series = running_series();

	return series && series->saves_orphans;
}

bool kernel_step_is_pending(unsigned int sflags)
{
	const struct series *series = running_series();

	return series && sflags & series->step_pending;
}

int kernel_check_series(void)
{
	if (running_series())
		return 0;
	pr_err("kernel %s: its KVM structures are not known to this plugin, only those of Linux 6.12 and "
	       "7.2\n",
	       running.release);
	return -ENOTSUP;
}

bool kernel_is_confidential(void)
{
	char modes[64] = "";
	FILE *file = fopen("/sys/kernel/security/lockdown", "re");

	if (file) {
		if (!fgets(modes, sizeof(modes), file))
			modes[0] = '\0';
		fclose(file);
	}
	return strstr(modes, "[confidentiality]");
}

static int cannot_load(int err)
{
	pr_err("cannot load the BPF iterator: %s (errno %d): %s (details with -v4)\n", strerror(-err), -err,
	       kernel_is_confidential() ? "the kernel is locked down (confidentiality): integrity is the most "
				   "that it can be" :
				   "CAP_BPF and CAP_PERFMON are needed, and a kernel with the "
				   "structures this plugin knows, that is not locked down for confidentiality");
	return err;
}

static int load_programs(void)
{
	for (enum program_id id = 0; id < NR_PROGRAMS; id++) {
		int fd = program_fd(id);

		if (fd >= 0)
			continue;
		cannot_load(fd);
		program_log(id);
		return fd;
	}
	return 0;
}

static int load(void)
{
	int ret = kernel_check_series();

	if (ret)
		return ret;
	if (access("/sys/kernel/btf/vmlinux", R_OK)) {
		ret = -errno;
		pr_err("/sys/kernel/btf/vmlinux: %s: a kernel with CONFIG_DEBUG_INFO_BTF is needed\n",
		       strerror(-ret));
		return ret;
	}
	ret = programs_open();
	if (ret)
		return cannot_load(ret);
	return programs_ask() ?: load_programs();
}

int kernel_probe_load(void)
{
	if (load_result > 0)
		load_result = load();
	return load_result;
}

void kernel_probe_unload(void)
{
	programs_close();
	load_result = 1;
}

/* Records of a pass, or of all of them. */
struct pile {
	char *buf;
	size_t room, used; /* bytes */
};

static bool make_room(struct pile *pile)
{
	char *more;

	if (pile->room - pile->used >= 4096)
		return true;
	more = realloc(pile->buf, pile->room + (64 << 10));
	if (!more)
		return false;
	pile->buf = more;
	pile->room += 64 << 10;
	return true;
}

/* Appends all that can be read from @fd. */
static int read_all(int fd, struct pile *pile)
{
	for (;;) {
		ssize_t got;

		if (!make_room(pile))
			return -ENOMEM;
		got = read(fd, pile->buf + pile->used, pile->room - pile->used);
		if (got < 0 && errno == EAGAIN)
			continue;
		if (got <= 0)
			return got ? -errno : 0;
		pile->used += got;
	}
}

/* One pass of the program over what @info names, or over all tasks. */
static int run_pass(enum program_id id, const union bpf_iter_link_info *info, struct pile *pile)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = (void *)info, .iter_info_len = info ? sizeof(*info) : 0);
	int ret = fault_point(FAULT_REMOTE, "BPF iterator", program_name(id));
	int prog = ret ?: program_fd(id);
	int link = prog < 0 ? prog : bpf_link_create(prog, 0, BPF_TRACE_ITER, &opts);
	int fd = link < 0 ? link : bpf_iter_create(link);

	ret = fd < 0 ? fd : read_all(fd, pile);
	if (fd >= 0)
		close(fd);
	if (link >= 0)
		close(link);
	return ret;
}

/* Of the threads of @pid: those that share its fds are passed over. */
static int run_on_process(enum program_id id, pid_t pid, struct pile *pile)
{
	union bpf_iter_link_info info;

	memset(&info, 0, sizeof(info)); /* all of it: the kernel's may be smaller, and then wants zeroes behind its own */
	info.task.pid = pid;
	return run_pass(id, &info, pile);
}

/*
 * Of one thread: all have the same mappings, and each would tell them. Of fds it is the first's that CRIU dumps: another
 * thread can have a table of its own.
 */
static int run_on_thread(enum program_id id, pid_t tid, struct pile *pile)
{
	union bpf_iter_link_info info;

	memset(&info, 0, sizeof(info));
	info.task.tid = tid;
	return run_pass(id, &info, pile);
}

/* Its mappings of vCPUs, and those of userfaultfds. */
static int run_on_maps(pid_t pid, struct pile *pile)
{
	programs_bss->maps_told = 0;
	return run_on_thread(PROGRAM_KVM_MAPS, pid, pile);
}

/* What @pile has, for the caller to free; where @ret is an error, that, logged. */
static int take_records(struct pile *pile, int ret, pid_t pid, struct kvm_rec **recs, size_t *nr)
{
	*recs = (struct kvm_rec *)pile->buf;
	*nr = pile->used / sizeof(**recs);
	if (!ret)
		return 0;
	pr_err("pid %d: the BPF iterator: %s (errno %d)\n", pid, strerror(-ret), -ret);
	free(pile->buf);
	*recs = NULL;
	*nr = 0;
	return ret;
}

/* KVM has 32764 memslots at most: a VM with more records than this is none. */
#define MAX_RECORDS 65536
/* Of devices and interrupts of ITSes, of a process: each of 64 VMs has 57344 LPIs at most. */
#define ITS_STEPS (1u << 23)

/* By as many passes as what it has needs. */
static int probe_files(pid_t pid, struct pile *pile)
{
	int ret;

	programs_bss->nr_seen = 0;
	programs_bss->nr_too_many = 0;
	programs_bss->next_fd = 0;
	programs_bss->first_record = 0;
	programs_bss->changed = 0;
	programs_bss->its_steps_left = ITS_STEPS;
	do {
		programs_bss->more = 0;
		ret = run_on_thread(PROGRAM_KVM_FILES, pid, pile);
		if (!ret && programs_bss->nr_too_many)
			ret = -ENOTSUP;
		/* It has ended within a VM, of which the last pass has told nothing more. */
		programs_bss->changed |= !ret && !programs_bss->more && programs_bss->first_record;
		if (!ret && programs_bss->changed)
			ret = -EAGAIN;
		if (!ret && programs_bss->first_record >= MAX_RECORDS)
			ret = -E2BIG;
	} while (!ret && programs_bss->more);
	return ret;
}

static int say_changed(pid_t pid)
{
	pr_err("pid %d: its fds changed while they were looked at: it has ended, or a process that runs has them too (CLONE_FILES)\n",
	       pid);
	return -EAGAIN;
}

/* What is found meanwhile. */
static struct {
	pid_t pid; /* 0: of nobody */
	pthread_t thread;
	struct pile pile;
	int ret;
} ahead;

static void *probe_ahead(void *none)
{
	ahead.ret = probe_files(ahead.pid, &ahead.pile) ?: run_on_maps(ahead.pid, &ahead.pile);
	return NULL;
}

void kernel_probe_ahead(pid_t pid)
{
	sigset_t all, before;

	/* Room now: of its own the thread would have a heap to make first. */
	if (load_result || fault_counts() || !make_room(&ahead.pile))
		return;
	ahead.pid = pid;
	sigfillset(&all); /* CRIU's handlers are for its first thread */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&ahead.thread, NULL, probe_ahead, NULL))
		ahead.pid = 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* What it has found of @pid, or false. It has ended then. */
static bool take_ahead(pid_t pid, struct pile *pile, int *ret)
{
	bool is_its = ahead.pid == pid;

	if (!ahead.pid)
		return false;
	pthread_join(ahead.thread, NULL);
	*pile = ahead.pile;
	*ret = ahead.ret;
	memset(&ahead, 0, sizeof(ahead));
	if (!is_its) {
		free(pile->buf);
		*pile = (struct pile){ 0 };
	}
	return is_its;
}

void kernel_probe_end_ahead(void)
{
	struct pile pile;
	int ret;

	take_ahead(-1, &pile, &ret);
}

int kernel_probe(pid_t pid, struct kvm_rec **recs, size_t *nr)
{
	struct pile pile = { 0 };
	int ret;

	*recs = NULL;
	*nr = 0;
	ret = kernel_probe_load();
	if (ret)
		return ret;
	if (!take_ahead(pid, &pile, &ret))
		ret = probe_files(pid, &pile) ?: run_on_maps(pid, &pile);
	if (!programs_bss->nr_too_many && !programs_bss->changed)
		return take_records(&pile, ret, pid, recs, nr);
	free(pile.buf);
	if (programs_bss->changed)
		return say_changed(pid);
	_Static_assert(KVM_MAX_VMS == 64, "the text says so");
	pr_err("pid %d: more than 64 VMs in a process: " REFUSAL ": dump parts of it\n", pid);
	return -ENOTSUP;
}

int kernel_probe_maps(pid_t pid, struct kvm_rec **recs, size_t *nr)
{
	struct pile pile = { 0 };
	int ret = kernel_probe_load();

	*recs = NULL;
	*nr = 0;
	return ret ?: take_records(&pile, run_on_maps(pid, &pile), pid, recs, nr);
}

/* One pass of one program, over @pid or, where that is 0, over all tasks. */
static int probe_once(enum program_id id, pid_t pid, struct kvm_rec **recs, size_t *nr)
{
	struct pile pile = { 0 };
	int ret = pid ? run_on_process(id, pid, &pile) : run_pass(id, NULL, &pile);

	return take_records(&pile, ret, pid, recs, nr);
}

int kernel_probe_bindings(pid_t pid, const struct kvm_rec *vm, unsigned int first, struct kvm_rec **recs, size_t *nr)
{
	struct pile pile = { 0 };
	int ret = kernel_probe_load();

	if (ret)
		return ret;
	programs_bss->binding_fd = vm->fd;
	programs_bss->binding_vm = vm->kvm;
	programs_bss->first_binding = first;
	programs_bss->binding_changed = 1; /* until a pass has seen that it is not so */
	ret = run_on_thread(PROGRAM_KVM_BINDINGS, pid, &pile);
	if (ret || !programs_bss->binding_changed)
		return take_records(&pile, ret, pid, recs, nr);
	free(pile.buf);
	*recs = NULL;
	*nr = 0;
	return say_changed(pid);
}

int kernel_probe_eventfds(struct kvm_rec **recs, size_t *nr)
{
	int ret = kernel_probe_load();

	return ret ?: probe_once(PROGRAM_EVENTFDS, 0, recs, nr);
}

int kernel_probe_tasks(pid_t pid, struct kvm_rec **recs, size_t *nr)
{
	int ret = kernel_probe_load();

	return ret ?: probe_once(PROGRAM_FILE_TABLES, pid, recs, nr);
}

int kernel_probe_holders(const pid_t *pids, size_t nr_pids, struct kvm_rec **recs, size_t *nr)
{
	struct pile pile = { 0 };
	int ret = kernel_probe_load();

	*recs = NULL;
	*nr = 0;
	if (ret)
		return ret;
	ret = run_pass(PROGRAM_FD_HOLDERS, NULL, &pile);
	for (size_t i = 0; i < nr_pids && !ret; i++) {
		programs_bss->holders_told = 0;
		ret = run_on_thread(PROGRAM_MAP_HOLDERS, pids[i], &pile);
	}
	return take_records(&pile, ret, 0, recs, nr);
}

int kernel_probe_works(struct kvm_rec **recs, size_t *nr)
{
	int ret = kernel_probe_load();

	return ret ?: probe_once(PROGRAM_WORKS, getpid(), recs, nr);
}
