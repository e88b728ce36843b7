/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM whose threads may do no more than running it needs: what the dump and the restore do in
 * them (mmap(), above all) is refused to the VMM itself.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A KVM VM whose VMM is under a seccomp filter\n";
const char *test_author = "The kvm-vgic authors";

/* The errno of all that is not allowed. */
#define REFUSED	EXDEV

#define ALLOW(name)                                                                                                    \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static struct sock_filter filter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	/* a VMM that runs */
	ALLOW(ioctl), ALLOW(read), ALLOW(write), ALLOW(futex), ALLOW(nanosleep), ALLOW(clock_nanosleep),
	ALLOW(rt_sigreturn), ALLOW(rt_sigprocmask), ALLOW(restart_syscall), ALLOW(getpid), ALLOW(gettid), ALLOW(tgkill),
	/* its end, and the verdict of a zdtm test */
	ALLOW(exit), ALLOW(exit_group), ALLOW(close), ALLOW(munmap), ALLOW(madvise), ALLOW(brk), ALLOW(fstat),
	ALLOW(newfstatat), ALLOW(lseek), ALLOW(renameat), ALLOW(unlinkat), ALLOW(clock_gettime), ALLOW(gettimeofday),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | REFUSED),
};

static bool is_refused(void)
{
	return mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == REFUSED;
}

/* For all threads. */
static int set_filter(void)
{
	struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program))
		return -1;
	return is_refused() ? 0 : -1;
}

int main(int argc, char **argv)
{
	static struct odd_vm vm;

	test_init(argc, argv);

	/* Has the log find out the time zone, for which it opens files. */
	test_msg("set-up\n");
	if (odd_setup(&vm) || set_filter()) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	if (!is_refused()) {
		fail("the filter is gone");
		return 1;
	}
	return odd_verdict(&vm);
}
