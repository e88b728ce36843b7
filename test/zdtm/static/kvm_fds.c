/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Open files of KVM's in every constellation: duplicated, of statistics, at high numbers, closed while the
 * object lives, inherited over fork(), handed over by the process that owns the VM.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "Open files of small KVM VMs\n";
const char *test_author = "The kvm-vgic authors";

static int copies = 3;
TEST_OPTION(copies, int, "of how many of its 5 files the owning child hands over copies (3)", 0);

static int high = 300000;
TEST_OPTION(high, int, "the number of the highest fd (300000)", 0);

static char *ram;
TEST_OPTION(ram, string, "a file for the memory of the owning child's VM", 0);

#define POS	100	/* what is read of statistics */

static const char *wrong;	/* the first thing that is not as it was */

static void expect(bool good, const char *what)
{
	if (!good && !wrong)
		wrong = what;
}

static bool same_file(pid_t a, int fd_a, pid_t b, int fd_b)
{
	return !syscall(SYS_kcmp, a, b, KCMP_FILE, fd_a, fd_b);
}

static uint64_t position(int fd)
{
	unsigned long long pos = ~0ull;
	char path[48];
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "r");
	if (!info || fscanf(info, "pos: %llu", &pos) != 1)
		pos = ~0ull;
	if (info)
		fclose(info);
	return pos;
}

/* A statistics file that has been read up to POS, or not at all; -1 with errno set. */
static int stats_fd(int object, bool read_some)
{
	int fd = ioctl(object, KVM_GET_STATS_FD, NULL);
	char buf[POS];

	if (fd < 0 || (read_some && read(fd, buf, sizeof(buf)) != sizeof(buf)))
		return -1;
	return fd;
}

/* The id string of statistics ends in @end: "kvm-PID", "kvm-PID/vcpu-N". */
static bool is_stats_of(int fd, const char *end)
{
	struct kvm_stats_header header;
	char id[64] = "";
	size_t len;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) || header.name_size < 16 ||
	    pread(fd, id, sizeof(id) - 1, header.id_offset) <= 0)
		return false;
	len = strlen(id);
	return !strncmp(id, "kvm-", 4) && len >= strlen(end) && !strcmp(id + len - strlen(end), end) &&
	       !strchr(end, '/') == !strchr(id, '/');
}

/* ---- the root's VMs ---- */

static struct odd_vm first, second;	/* the second loses its own fd */
static int vm_dup, vm_high, vcpu_dup, gic_dup, kvm_dup, kvm_read;
static int vm_stats, vm_stats_dup, vcpu_stats, vcpu_stats_new;

static int dup_all(void)
{
	struct rlimit limit = { high + 1, high + 1 };

	vm_dup = dup(first.vm_fd);
	vcpu_dup = fcntl(first.vcpu[1].fd, F_DUPFD_CLOEXEC, 700);
	gic_dup = dup2(first.gic_fd, 800);
	kvm_dup = dup(first.kvm_fd);
	kvm_read = open("/dev/kvm", O_RDONLY);
	vm_stats = stats_fd(first.vm_fd, true);
	vm_stats_dup = dup(vm_stats);
	vcpu_stats = stats_fd(first.vcpu[1].fd, true);
	vcpu_stats_new = stats_fd(first.vcpu[1].fd, false);
	if (vm_dup < 0 || vcpu_dup < 0 || gic_dup < 0 || kvm_dup < 0 || kvm_read < 0 || vm_stats < 0 ||
	    vm_stats_dup < 0 || vcpu_stats < 0 || vcpu_stats_new < 0)
		return -1;
	if (fcntl(vm_dup, F_SETFL, O_RDWR | O_NONBLOCK) || setrlimit(RLIMIT_NOFILE, &limit))
		return -1;
	vm_high = dup2(first.vm_fd, high);
	return vm_high < 0 ? -1 : 0;
}

/* The fds go, the pages do not: a fork would give the child kvm_run too. */
static int keep_pages(struct odd_vm *vm)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (madvise(vm->vcpu[i].run, vm->run_size, MADV_DONTFORK))
			return -1;
	return 0;
}

static int set_up_root(void)
{
	second.place = 1;
	if (odd_setup(&first) || odd_setup(&second) || keep_pages(&first) || keep_pages(&second) || dup_all())
		return -1;
	close(second.kvm_fd);
	return close(second.vm_fd);
}

static void check_root(void)
{
	struct kvm_mp_state state;
	pid_t self = getpid();

	expect(same_file(self, first.vm_fd, self, vm_dup), "a dup of the VM's fd is another file");
	expect(same_file(self, first.vm_fd, self, vm_high), "the VM's fd at a high number is another file");
	expect(same_file(self, first.vcpu[1].fd, self, vcpu_dup), "a dup of a vCPU's fd is another file");
	expect(same_file(self, first.gic_fd, self, gic_dup), "a dup of the GIC's fd is another file");
	expect(same_file(self, first.kvm_fd, self, kvm_dup), "a dup of /dev/kvm is another file");
	expect(!same_file(self, first.kvm_fd, self, kvm_read), "/dev/kvm, opened twice, is one file");
	expect(same_file(self, vm_stats, self, vm_stats_dup), "a dup of a statistics fd is another file");
	expect(!same_file(self, vcpu_stats, self, vcpu_stats_new), "two statistics fds are one file");

	expect(ioctl(vm_high, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS) > 0, "the VM's fd at a high number");
	expect(!ioctl(vcpu_dup, KVM_GET_MP_STATE, &state), "the dup of a vCPU's fd");
	expect(ioctl(kvm_dup, KVM_GET_API_VERSION, 0) == KVM_API_VERSION, "the dup of /dev/kvm");
	expect((fcntl(kvm_read, F_GETFL) & O_ACCMODE) == O_RDONLY, "the access mode of /dev/kvm");
	expect(fcntl(first.vm_fd, F_GETFL) & O_NONBLOCK, "O_NONBLOCK of the VM's fd");
	expect(fcntl(vcpu_dup, F_GETFD) & FD_CLOEXEC && !(fcntl(gic_dup, F_GETFD) & FD_CLOEXEC), "close-on-exec");

	expect(position(vm_stats) == POS && position(vcpu_stats) == POS && !position(vcpu_stats_new),
	       "positions in statistics");
	expect(is_stats_of(vm_stats, ""), "the VM's statistics");
	expect(is_stats_of(vcpu_stats, "/vcpu-1") && is_stats_of(vcpu_stats_new, "/vcpu-1"), "a vCPU's statistics");
}

/* ---- a child with what it has inherited ---- */

static void inherit(void)
{
	struct kvm_mp_state state;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	test_waitsig();
	/* They are another process's, as they were. */
	errno = 0;
	if (ioctl(first.vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS) >= 0 || errno != EIO)
		_exit(2);
	if (!ioctl(first.vcpu[0].fd, KVM_GET_MP_STATE, &state) || errno != EIO)
		_exit(3);
	_exit(is_stats_of(vm_stats, "") && is_stats_of(vcpu_stats, "/vcpu-1") ? 0 : 4);
}

static void check_heir(pid_t heir)
{
	const int fds[] = { first.vm_fd, vm_high, first.gic_fd, first.vcpu[0].fd, vcpu_dup, vm_stats, vcpu_stats,
			    second.vcpu[1].fd, second.gic_fd };
	pid_t self = getpid();
	size_t i;

	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		expect(same_file(self, fds[i], heir, fds[i]), "what a child has inherited is another file");
}

/* ---- a child that owns a VM of which its parent has fds ---- */

#define NR_FILES 5
static int theirs[NR_FILES], ours[NR_FILES];	/* of the same files: in the child, in the root */

static int ram_in_file(struct odd_vm *vm)
{
	int fd;

	if (!ram)
		return 0;
	fd = open(ram, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, ODD_RAM_SIZE) ||
	    mmap(vm->ram, ODD_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED, fd, 0) == MAP_FAILED)
		return -1;
	return close(fd);
}

static void own(int to)
{
	static struct odd_vm vm;
	int stats, i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (odd_create(&vm) || ram_in_file(&vm) || odd_add_memory(&vm, 0) || odd_complete(&vm))
		_exit(1);
	close(vm.kvm_fd);
	stats = stats_fd(vm.vcpu[1].fd, true);
	memcpy(theirs, (int[]){ vm.vm_fd, stats, vm.vcpu[1].fd, vm.gic_fd, vm.vcpu[0].fd }, sizeof(theirs));
	if (stats < 0 || write(to, theirs, sizeof(theirs)) != sizeof(theirs))
		_exit(1);
	for (i = 0; i < copies; i++)
		if (odd_send_fd(to, theirs[i]))
			_exit(1);
	close(to);
	test_waitsig();
	_exit(odd_goes_on(&vm) && odd_stop(&vm) && position(stats) == POS && is_stats_of(stats, "/vcpu-1") ? 0 : 1);
}

static pid_t start_owner(void)
{
	int pair[2], i;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	child = test_fork();
	if (!child) {
		close(pair[0]);
		own(pair[1]);
	}
	close(pair[1]);
	if (child < 0 || read(pair[0], theirs, sizeof(theirs)) != sizeof(theirs))
		return -1;
	for (i = 0; i < copies; i++) {
		ours[i] = odd_receive_fd(pair[0]);
		if (ours[i] < 0 || (i == 1 && fcntl(ours[i], F_SETFD, FD_CLOEXEC)))
			return -1;
	}
	close(pair[0]);
	return child;
}

static void check_owner(pid_t owner)
{
	int i;

	for (i = 0; i < copies; i++)
		expect(same_file(getpid(), ours[i], owner, theirs[i]), "what a child has handed over is another file");
	errno = 0;
	expect(copies < 1 || (ioctl(ours[0], KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS) < 0 && errno == EIO),
	       "the VM of a child is the parent's");
	expect(copies < 2 || is_stats_of(ours[1], "/vcpu-1"), "the statistics that a child has handed over");
}

static bool end_child(pid_t child)
{
	int status = -1;

	if (!kill(child, SIGTERM) && waitpid(child, &status, 0) == child && !status)
		return true;
	pr_err("child %d: status %#x\n", child, status);
	return false;
}

int main(int argc, char **argv)
{
	pid_t owner, heir;
	bool good;

	test_init(argc, argv);

	/* First, so that it has nothing of the root's VMs. */
	owner = start_owner();
	if (owner < 0 || set_up_root()) {
		pr_perror("set-up: %s", first.stats ? first.stats->error : "");
		return 1;
	}
	heir = test_fork();
	if (!heir)
		inherit();
	if (heir < 0) {
		pr_perror("fork");
		return 1;
	}

	test_daemon();
	test_waitsig();

	check_root();
	check_heir(heir);
	check_owner(owner);
	good = end_child(heir);
	good = end_child(owner) && good;
	good = odd_goes_on(&first) && odd_stop(&first) && good;
	good = odd_goes_on(&second) && odd_stop(&second) && good;
	if (first.stats->error[0] || second.stats->error[0])
		pr_err("%s; %s\n", first.stats->error, second.stats->error);
	if (wrong || !good) {
		errno = 0;
		fail("%s", wrong ?: "a VM or a child did not go on");
		return 1;
	}
	pass();
	return 0;
}
