/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VMM that is stopped when it is dumped, and must be so when it was restored, until its parent has it go on. With
 * --child=0 the test itself is the VMM: lives/kvm_stopped.py stops it from outside, or has criu leave it stopped.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A small KVM VM is dumped and restored while its process is stopped\n";
const char *test_author = "The kvm-vgic authors";

static int child = 1;
TEST_OPTION(child, int, "1: the VMM is a child of the test, which stops it, 0: the test itself (1)", 0);

/* Where the guest was, and its VMM. */
struct place {
	uint64_t count[ODD_NR_VCPUS], writes[ODD_NR_VCPUS];
};

static struct odd_vm vm;

static int set_up(void)
{
	if (!odd_setup(&vm))
		return 0;
	pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
	return -1;
}

static void vmm(int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (set_up() || write(ready, "", 1) != 1)
		_exit(1);
	close(ready);
	test_waitsig();
	if (odd_goes_on(&vm) && odd_stop(&vm))
		_exit(0);
	pr_err("%s\n", vm.stats->error);
	_exit(1);
}

static int look(pid_t pid, struct place *at)
{
	struct iovec to[] = { { at, sizeof(*at) } };
	struct iovec from[] = {
		{ (void *)(ODD_RAM_ADDR + ODD_RAM_COUNTER), sizeof(at->count) },
		{ (char *)ODD_STATS_ADDR + offsetof(struct odd_stats, writes), sizeof(at->writes) },
	};

	return process_vm_readv(pid, to, 1, from, 2, 0) == sizeof(*at) ? 0 : -1;
}

/* Within some seconds; all its threads are. */
static bool is_stopped(pid_t pid)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	siginfo_t info;
	unsigned int ticks;

	for (ticks = 0; ticks < 1000; ticks++) {
		info.si_pid = 0;
		if (waitid(P_PID, pid, &info, WSTOPPED | WEXITED | WNOHANG | WNOWAIT))
			return false;
		if (info.si_pid)
			return info.si_code == CLD_STOPPED;
		nanosleep(&tick, NULL);
	}
	return false;
}

/* A child with a VM that stands @at. Its pid, or -1. */
static pid_t start_stopped(struct place *at)
{
	int ready[2];
	pid_t pid;
	char c;

	if (pipe(ready))
		return -1;
	pid = test_fork();
	if (!pid) {
		close(ready[0]);
		vmm(ready[1]);
	}
	close(ready[1]);
	if (pid < 0 || read(ready[0], &c, 1) != 1 || close(ready[0]))
		return -1;
	return kill(pid, SIGSTOP) || !is_stopped(pid) || look(pid, at) ? -1 : pid;
}

static const char *stands(pid_t pid, const struct place *at)
{
	const struct timespec pause = { .tv_nsec = 500000000 };
	struct place now;

	if (!is_stopped(pid))
		return "it is not stopped any more";
	nanosleep(&pause, NULL);
	if (look(pid, &now) || memcmp(&now, at, sizeof(now)))
		return "the guest has moved";
	return NULL;
}

static const char *goes_on(pid_t pid)
{
	int status;

	if (kill(pid, SIGCONT) || kill(pid, SIGTERM) || waitpid(pid, &status, 0) != pid || status)
		return "it does not go on";
	return NULL;
}

int main(int argc, char **argv)
{
	const char *wrong;
	struct place at;
	pid_t pid = 0;

	test_init(argc, argv);

	if (child)
		pid = start_stopped(&at);
	if (pid < 0 || (!child && set_up())) {
		pr_perror("set-up");
		return 1;
	}

	test_daemon();
	test_waitsig();

	if (!child)
		return odd_verdict(&vm);
	wrong = stands(pid, &at) ?: goes_on(pid);
	if (wrong) {
		errno = 0;
		fail("%s", wrong);
		return 1;
	}
	pass();
	return 0;
}
