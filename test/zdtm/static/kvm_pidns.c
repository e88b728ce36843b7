/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM in a pid namespace, and in a child of the test, which has no KVM. With --child=0 the test itself is the VMM:
 * lives/kvm_pidns.py makes that process 1.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A KVM VM in a pid namespace\n";
const char *test_author = "The kvm-vgic authors";

static int child = 1;
TEST_OPTION(child, int, "1: the VMM is a child of the test, 0: the test itself (1)", 0);

static struct odd_vm vm;

static bool vm_ends_well(void)
{
	if (odd_goes_on(&vm) && odd_stop(&vm))
		return true;
	pr_err("%s\n", vm.stats->error);
	return false;
}

/* A child with the VM, which runs when this returns. Its pid, or -1. */
static pid_t start_child(void)
{
	int ready[2];
	char c;
	pid_t pid;

	if (pipe(ready))
		return -1;
	pid = test_fork();
	if (!pid) {
		close(ready[0]);
		if (odd_setup(&vm) || write(ready[1], "", 1) != 1)
			_exit(1);
		close(ready[1]);
		test_waitsig();
		_exit(vm_ends_well() ? 0 : 1);
	}
	close(ready[1]);
	if (pid > 0 && read(ready[0], &c, 1) != 1)
		pid = -1;
	close(ready[0]);
	return pid;
}

static bool child_ends_well(pid_t pid)
{
	int status;

	return !kill(pid, SIGTERM) && waitpid(pid, &status, 0) == pid && !status;
}

int main(int argc, char **argv)
{
	pid_t self, pid = 0;

	test_init(argc, argv);

	self = getpid();
	if (child)
		pid = start_child();
	if (pid < 0 || (!child && odd_setup(&vm))) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	errno = 0;
	if (getpid() != self) {
		fail("pid %d, was %d", getpid(), self);
		return 1;
	}
	if (child ? !child_ends_well(pid) : !vm_ends_well()) {
		fail("the VM did not go on");
		return 1;
	}
	pass();
	return 0;
}
