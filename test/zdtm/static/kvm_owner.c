/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM that a child of the test has made, and whose fd the test was given. SIGUSR2 makes the
 * test close it: then the child alone has KVM. kvm_owner.hook sends it after a restore.
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A KVM VM that a child process owns, and that its parent has a fd of, up to a restore\n";
const char *test_author = "The kvm-vgic authors";

#define MAX_FD	64	/* of the child */

static volatile sig_atomic_t asked;

static void ask(int sig)
{
	asked = 1;
}

static void own_vm(int to)
{
	static struct odd_vm vm;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (odd_setup(&vm) || odd_send_fd(to, vm.vm_fd))
		_exit(1);
	close(to);
	test_waitsig();
	_exit(odd_goes_on(&vm) && odd_stop(&vm) ? 0 : 1);
}

/* The child's pid or -1; its VM's fd is in *@vm_fd. */
static pid_t start_owner(int *vm_fd)
{
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	child = test_fork();
	if (!child) {
		close(pair[0]);
		own_vm(pair[1]);
	}
	close(pair[1]);
	*vm_fd = child < 0 ? -1 : odd_receive_fd(pair[0]);
	close(pair[0]);
	return *vm_fd < 0 ? -1 : child;
}

/* Whether the open file of @fd is one of @pid's too. */
static bool has(pid_t pid, int fd)
{
	int other;

	for (other = 0; other < MAX_FD; other++)
		if (!syscall(SYS_kcmp, getpid(), pid, KCMP_FILE, fd, other))
			return true;
	return false;
}

static int close_fd(pid_t child, int *vm_fd)
{
	errno = 0;
	if (!has(child, *vm_fd) || close(*vm_fd)) {
		fail("the fd is not one of the child's VM");
		return -1;
	}
	*vm_fd = -1;
	return 0;
}

int main(int argc, char **argv)
{
	const struct timespec tick = { .tv_nsec = 5000000 };
	struct sigaction action = { .sa_handler = ask };
	int vm_fd, status;
	pid_t child;

	test_init(argc, argv);

	child = start_owner(&vm_fd);
	if (child < 0 || sigaction(SIGUSR2, &action, NULL)) {
		pr_perror("set-up of a child with a VM");
		return 1;
	}

	test_daemon();
	while (test_go()) {
		nanosleep(&tick, NULL);
		if (asked && vm_fd >= 0 && close_fd(child, &vm_fd))
			return 1;
	}
	if (vm_fd >= 0 && close_fd(child, &vm_fd))
		return 1;

	if (kill(child, SIGTERM) || waitpid(child, &status, 0) != child || status) {
		errno = 0;
		fail("the VM of the child did not go on");
		return 1;
	}
	pass();
	return 0;
}
