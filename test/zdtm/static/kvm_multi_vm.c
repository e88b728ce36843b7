/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Several VMs: in one process, in several of a tree, and processes among them that have /dev/kvm
 * alone or nothing. All but the root are children of a thread of its that is not its first one.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "Small KVM VMs, several in a process and in a tree of processes\n";
const char *test_author = "The kvm-vgic authors";

#define MAX_VMS		8	/* of a process */
#define MAX_CHILDREN	16

static char *vms = "4,1,k,0,1";
TEST_OPTION(vms, string, "processes, the root first: the number of VMs, or k: /dev/kvm alone (4,1,k,0,1)", 0);

/*
 * In a file, which is in no image: what is counted there has run. A restore that fails must not have let a
 * vCPU of any VM run, nor a process.
 */
#define RAN_FILE "kvm_multi_vm.test.ran"
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

static bool count_exit(struct odd_vcpu *vcpu)
{
	++*ran;
	return false;
}

/* One process of the test. */
struct part {
	struct odd_vm vm[MAX_VMS];
	unsigned int nr_vms;
	int system_fd;	/* of a process without a VM; or -1 */
};

static int set_up(struct part *part, char what)
{
	unsigned int i;

	part->system_fd = -1;
	if (what == 'k') {
		part->system_fd = open("/dev/kvm", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		return part->system_fd < 0 ? -1 : 0;
	}
	part->nr_vms = what - '0';
	for (i = 0; i < part->nr_vms; i++) {
		part->vm[i].place = i;
		part->vm[i].exit = count_exit;
		if (!odd_setup(&part->vm[i]))
			continue;
		pr_perror("set-up of VM %u: %s", i, part->vm[i].stats ? part->vm[i].stats->error : "");
		return -1;
	}
	return 0;
}

static bool end(struct part *part)
{
	bool good = true;
	unsigned int i;

	for (i = 0; i < part->nr_vms; i++) {
		if (odd_goes_on(&part->vm[i]) && odd_stop(&part->vm[i]))
			continue;
		pr_err("VM %u: %s\n", i, part->vm[i].stats->error);
		good = false;
	}
	if (part->system_fd < 0)
		return good;
	return ioctl(part->system_fd, KVM_GET_API_VERSION, 0) == KVM_API_VERSION &&
	       (fcntl(part->system_fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDONLY | O_NONBLOCK) && good;
}

/* A process without a VM counts as long as it runs. */
static void wait_for_end(bool counts)
{
	const struct timespec tick = { .tv_nsec = 100000 };

	while (counts && test_go()) {
		++*ran;
		nanosleep(&tick, NULL);
	}
	test_waitsig();
}

static void child(char what, int ready)
{
	static struct part part;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (set_up(&part, what) || write(ready, "", 1) != 1)
		_exit(1);
	close(ready);
	wait_for_end(!part.nr_vms);
	_exit(end(&part) ? 0 : 1);
}

/* Before the root has a VM: they must not inherit its fds. */
static int start_children(const char *what, pid_t *pids)
{
	int pair[2], nr = 0;
	char c;

	if (pipe(pair))
		return -1;
	for (; *what; what++) {
		if (*what == ',')
			continue;
		pids[nr] = test_fork();
		if (!pids[nr]) {
			close(pair[0]);
			child(*what, pair[1]);
		}
		if (pids[nr] < 0 || read(pair[0], &c, 1) != 1)
			return -1;
		nr++;
	}
	close(pair[0]);
	close(pair[1]);
	return nr;
}

/* Children are a thread's: here not the first one's, which lives on, for they end with it (PR_SET_PDEATHSIG). */
static struct {
	pid_t pids[MAX_CHILDREN];
	int nr;
	pthread_barrier_t started;
} children;

static void *start(void *none)
{
	children.nr = start_children(vms + 1, children.pids);
	pthread_barrier_wait(&children.started);
	while (children.nr >= 0)
		pause();
	return NULL;
}

static int start_in_thread(void)
{
	pthread_t thread;

	if (pthread_barrier_init(&children.started, NULL, 2) || pthread_create(&thread, NULL, start, NULL))
		return -1;
	pthread_barrier_wait(&children.started);
	return children.nr < 0 ? -1 : 0;
}

static bool end_children(const pid_t *pids, int nr)
{
	bool good = true;
	int i, status;

	for (i = 0; i < nr; i++)
		if (kill(pids[i], SIGTERM) || waitpid(pids[i], &status, 0) != pids[i] || status) {
			pr_err("child %d: status %#x\n", i, status);
			good = false;
		}
	return good;
}

int main(int argc, char **argv)
{
	static struct part root;
	bool good;

	test_init(argc, argv);

	if (!vms[0] || strlen(vms) > 2 * MAX_CHILDREN || strspn(vms, ",k012345678") != strlen(vms)) {
		pr_err("--vms: numbers to %d, or k\n", MAX_VMS);
		return 1;
	}
	if (map_ran()) {
		pr_perror("%s", RAN_FILE);
		return 1;
	}
	if (start_in_thread() || set_up(&root, vms[0])) {
		pr_perror("set-up");
		return 1;
	}

	test_daemon();
	wait_for_end(!root.nr_vms);

	good = end(&root);
	if (!end_children(children.pids, children.nr) || !good) {
		errno = 0;
		fail("not all VMs went on");
		return 1;
	}
	pass();
	return 0;
}
