/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM in a tree of processes: in its root, or in one of the children. CRIU restores
 * and resumes the tasks of a tree one after the other, and the VM's is but one of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A small KVM VM in a tree of processes, and not in its root\n";
const char *test_author = "The kvm-vgic authors";

#define MAX_CHILDREN 64

static int children = 3;
TEST_OPTION(children, int, "how many children the root has (3)", 0);

static int vm_child = 2;
TEST_OPTION(vm_child, int, "which of them has the VM, from 1 on; 0 is the root (2)", 0);

/*
 * In a file, which is in no image: what is counted there has run. A restore that
 * fails must not have let even the first task of the tree go on for a moment.
 */
#define RAN_FILE "kvm_tree.test.ran"
static volatile uint64_t *ran;

static int map_ran(void)
{
	int fd = open(RAN_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *p;

	if (fd < 0 || ftruncate(fd, sizeof(*ran)))
		return -1;
	p = mmap(NULL, sizeof(*ran), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ran = p;
	return p == MAP_FAILED ? -1 : close(fd);
}

/* One process that has no VM counts as long as it runs; the others wait. */
static void wait_for_end(bool counts)
{
	while (counts && test_go())
		++*ran;
	test_waitsig();
}

static int run_vm(struct odd_vm *vm)
{
	if (!odd_setup(vm))
		return 0;
	pr_perror("set-up of the VM: %s", vm->stats ? vm->stats->error : "");
	return -1;
}

static bool end_vm(struct odd_vm *vm)
{
	if (odd_goes_on(vm) && odd_stop(vm))
		return true;
	pr_err("%s\n", vm->stats->error);
	return false;
}

/* Tells @ready when it is complete; its status says whether all was well. */
static void child(bool has_vm, bool counts, int ready)
{
	static struct odd_vm vm;
	bool good;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if ((has_vm && run_vm(&vm)) || write(ready, "", 1) != 1)
		_exit(1);
	close(ready);
	wait_for_end(counts);
	good = !has_vm || end_vm(&vm);
	_exit(good ? 0 : 1);
}

static int start_children(pid_t *pids)
{
	int pair[2], i;
	char c;

	if (pipe(pair))
		return -1;
	for (i = 0; i < children; i++) {
		pids[i] = test_fork();
		if (!pids[i]) {
			close(pair[0]);
			child(i + 1 == vm_child, !vm_child && !i, pair[1]);
		}
		if (pids[i] < 0)
			return -1;
	}
	close(pair[1]);
	for (i = 0; i < children; i++)
		if (read(pair[0], &c, 1) != 1)
			return -1;
	return close(pair[0]);
}

static bool end_children(const pid_t *pids)
{
	bool good = true;
	int i, status;

	for (i = 0; i < children; i++)
		if (kill(pids[i], SIGTERM) || waitpid(pids[i], &status, 0) != pids[i] || status)
			good = false;
	return good;
}

int main(int argc, char **argv)
{
	static struct odd_vm vm;
	pid_t pids[MAX_CHILDREN];
	bool good;

	test_init(argc, argv);

	if (children < 0 || children > MAX_CHILDREN || vm_child < 0 || vm_child > children) {
		pr_err("0 to %d children, and the VM in one of them\n", MAX_CHILDREN);
		return 1;
	}
	if (map_ran()) {
		pr_perror("%s", RAN_FILE);
		return 1;
	}
	/* Before the VM is made: they must not inherit its fds. */
	if (start_children(pids)) {
		pr_perror("set-up of the children");
		return 1;
	}
	if (!vm_child && run_vm(&vm))
		return 1;

	test_daemon();
	wait_for_end(vm_child);

	good = vm_child || end_vm(&vm);
	if (!end_children(pids) || !good) {
		errno = 0;
		fail("the VM or a child did not go on");
		return 1;
	}
	pass();
	return 0;
}
