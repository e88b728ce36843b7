/* SPDX-License-Identifier: GPL-2.0-only */
/* A process that has no room for anything more, by each of the limits that there are. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddities.h"

#define LEFT		0x10000		/* bytes that a limit leaves */

/* A field of /proc/self/status, in bytes. */
static uint64_t status(const char *format)
{
	FILE *file = fopen("/proc/self/status", "r");
	unsigned long kib = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file) && sscanf(line, format, &kib) != 1)
		;
	if (file)
		fclose(file);
	return (uint64_t)kib << 10;
}

static int limit(int resource, uint64_t bytes)
{
	struct rlimit l = { bytes, bytes };

	return setrlimit(resource, &l);
}

static int address_space(struct odd_vm *vm)
{
	return limit(RLIMIT_AS, status("VmSize: %lu") + LEFT);
}

static int data(struct odd_vm *vm)
{
	return limit(RLIMIT_DATA, status("VmData: %lu") + LEFT);
}

/* Of whoever may lock any amount no limit is asked. */
static int drop_ipc_lock(void)
{
	struct { uint32_t version; int pid; } head = { 0x20080522, 0 };
	struct { uint32_t effective, permitted, inheritable; } caps[2];

	if (syscall(SYS_capget, &head, caps))
		return -1;
	caps[0].effective &= ~(1u << 14);
	caps[0].permitted &= ~(1u << 14);
	return syscall(SYS_capset, &head, caps);
}

static int memlock(struct odd_vm *vm)
{
	if (mlockall(MCL_CURRENT | MCL_FUTURE) || limit(RLIMIT_MEMLOCK, status("VmLck: %lu") + LEFT))
		return -1;
	return drop_ipc_lock();
}

#define MAPPINGS	4000	/* more than criu itself needs, which has the same limit */

/* Each page of another kind than its neighbours. */
static int mappings(struct odd_vm *vm)
{
	char *pages = mmap(NULL, MAPPINGS * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int i;

	if (pages == MAP_FAILED)
		return -1;
	for (i = 0; i < MAPPINGS; i += 2)
		if (mprotect(pages + i * 4096, 4096, PROT_READ))
			return -1;
	return 0;
}

#define REFUSE(name)	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), \
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV)

/* Of the first thread, which a dump runs its system calls in. */
static int seccomp(struct odd_vm *vm)
{
	static struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(ioctl), REFUSE(mmap), REFUSE(mprotect), REFUSE(mremap), REFUSE(process_vm_readv),
		REFUSE(process_vm_writev), REFUSE(munlock), REFUSE(socketpair), REFUSE(eventfd2),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

/* Its text */

/* A shared copy in the place of a mapping, with @prot: what is executed stays the same. */
static int share(uint64_t start, size_t size, int prot)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	if (fd < 0 || write(fd, (void *)start, size) != (ssize_t)size)
		return -1;
	if (mmap((void *)start, size, prot, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		return -1;
	return close(fd);
}

#define WRITABLE	(PROT_READ | PROT_WRITE | PROT_EXEC)

/* Without the vDSO where @all. */
static int share_text(bool all, int prot)
{
	struct { uint64_t start; size_t size; } maps[64];
	FILE *file = fopen("/proc/self/maps", "r");
	unsigned int nr = 0, i;
	char line[512];

	while (file && nr < ARRAY_SIZE(maps) && fgets(line, sizeof(line), file)) {
		unsigned long start, end;
		char perms[5];

		if (sscanf(line, "%lx-%lx %4s", &start, &end, perms) != 3 || perms[2] != 'x' || perms[3] != 'p')
			continue;
		if (!all && strstr(line, "[vdso]"))
			continue;
		maps[nr].start = start;
		maps[nr++].size = end - start;
	}
	if (!file || fclose(file))
		return -1;
	for (i = 0; i < nr; i++)
		if (share(maps[i].start, maps[i].size, prot))
			return -1;
	return nr ? 0 : -1;
}

static int no_text(struct odd_vm *vm)
{
	return share_text(true, WRITABLE);
}

static int vdso_alone(struct odd_vm *vm)
{
	return share_text(false, WRITABLE);
}

/* CRIU cannot write to it. */
static int shared_text(struct odd_vm *vm)
{
	return share_text(false, PROT_READ | PROT_EXEC);
}

/* A stack that is full: signals have another one. */

static ucontext_t waiting, before;

static void wait_for_end(void)
{
	test_waitsig();
}

static int other_signal_stack(void)
{
	static char room[65536];
	stack_t stack = { .ss_sp = room, .ss_size = sizeof(room) };
	struct sigaction act;

	if (sigaltstack(&stack, NULL) || sigaction(SIGTERM, NULL, &act))
		return -1;
	act.sa_flags |= SA_ONSTACK;
	return sigaction(SIGTERM, &act, NULL);
}

#define TIGHT	4096u	/* bytes, less than a signal frame */

static int full_stack(struct odd_vm *vm)
{
	char *guarded = mmap(NULL, TIGHT + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (guarded == MAP_FAILED || mprotect(guarded + 4096, TIGHT, PROT_READ | PROT_WRITE) || other_signal_stack() ||
	    getcontext(&waiting))
		return -1;
	waiting.uc_stack.ss_sp = guarded + 4096;
	waiting.uc_stack.ss_size = TIGHT;
	waiting.uc_link = &before;
	makecontext(&waiting, wait_for_end, 0);
	return 0;
}

void odd_wait_for_end(const struct oddity *odd)
{
	if (odd->running == full_stack)
		swapcontext(&before, &waiting);
	else
		test_waitsig();
}

const struct oddity cramped_oddities[] = {
	{ "cramped-address-space", .running = address_space },
	{ "cramped-data", .running = data },
	{ "cramped-memlock", .running = memlock },
	{ "cramped-seccomp", .running = seccomp },
	{ "cramped-no-text", .running = no_text },
	{ "cramped-vdso-alone", .running = vdso_alone },
	{ "cramped-shared-text", .running = shared_text },
	{ "cramped-stack", .running = full_stack },
	{ "cramped-mappings", .running = mappings },
};
const size_t cramped_nr_oddities = ARRAY_SIZE(cramped_oddities);
