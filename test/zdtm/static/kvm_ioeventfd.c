// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two vCPUs that ring doorbells: ioeventfds of every length, with and without a value to match, several at
 * one address, one that a child alone has. What was rung and what was heard must be the same number, whenever
 * the VM is dumped; and what matches none must leave KVM_RUN.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "guest.h"

const char *test_doc = "ioeventfds of a small KVM VM\n";
const char *test_author = "The kvm-vgic authors";

enum { BYTE_A, BYTE_B, HALF, WORD, DOUBLE, ANY, CHILDS, NR_BELLS, NONE = NR_BELLS };

#define NR_VCPUS 2
#define BELL_BASE(cpu) (ODD_DEV_BASE + 0x1000 + 0x1000 * (uint64_t)(cpu))
#define BELL(cpu, n) (BELL_BASE(cpu) + 0x10 * (n))
#define SHARED_PAGE GUEST_CPU(4) /* offset in the VM's RAM */
#define CHECK_TICKS 6000

const char *const guest_says[] = { NULL };

struct bells {
	volatile uint64_t stop;
	volatile uint64_t rung[NR_VCPUS][NR_BELLS + 1]; /* the last: what matches none */
	volatile uint64_t stopped[NR_VCPUS];
};

/* --- the guest --- */

GUEST_INLINE struct bells *guest_bells(void)
{
	return (struct bells *)(uint64_t)(ODD_RAM_BASE + SHARED_PAGE);
}

GUEST_INLINE void mmio_write8(uint64_t addr, uint32_t v)
{
	asm volatile("strb %w0, [%1]" : : "r"(v), "r"(addr) : "memory");
}

GUEST_INLINE void mmio_write16(uint64_t addr, uint32_t v)
{
	asm volatile("strh %w0, [%1]" : : "r"(v), "r"(addr) : "memory");
}

/* What is rung is counted before. */
GUEST static void ring(uint64_t cpu, uint64_t n, uint64_t round)
{
	guest_bells()->rung[cpu][n]++;
	dsb();
	if (n == BYTE_A)
		mmio_write8(BELL(cpu, 0), 0x11);
	else if (n == BYTE_B)
		mmio_write8(BELL(cpu, 0), 0x22);
	else if (n == NONE)
		mmio_write8(BELL(cpu, 0), 0x33);
	else if (n == HALF)
		mmio_write16(BELL(cpu, HALF), round);
	else if (n == WORD)
		mmio_write32(BELL(cpu, WORD), 0x12345678);
	else if (n == DOUBLE)
		mmio_write64(BELL(cpu, DOUBLE), 0x123456789abcdef0);
	else if (n == CHILDS)
		mmio_write32(BELL(cpu, CHILDS), round);
	else if (round & 1)
		mmio_write8(BELL(cpu, ANY), round);
	else
		mmio_write64(BELL(cpu, ANY), round);
}

GUEST static void entry(struct guest *g)
{
	uint64_t round, n;

	for (round = 0;; round++) {
		for (n = 0; n <= NONE && !guest_bells()->stop; n++)
			ring(g->id, n, round);
		if (guest_bells()->stop)
			guest_bells()->stopped[g->id] = 1;
		guest_progress(g, ODD_STEP / 4);
	}
}

/* --- the VMM --- */

/* The child's and the VMM's; shared with the child. */
struct heard {
	volatile uint64_t heard[NR_VCPUS][NR_BELLS];
	volatile bool stop;
};

static struct odd_vm vm;
static struct heard *heard;
static int bells[NR_VCPUS][NR_BELLS];
static volatile uint64_t exits[NR_VCPUS];
static pthread_t listener;
static pid_t child;

static struct bells *guests(void)
{
	return (struct bells *)(vm.ram + SHARED_PAGE);
}

/* Rather late: at most moments something is counted that nobody has read. */
static void listen_once(unsigned int first, unsigned int end)
{
	const struct timespec rest = { .tv_nsec = 20000000 };
	unsigned int i, n;
	uint64_t count;

	for (i = 0; i < NR_VCPUS; i++)
		for (n = first; n < end; n++)
			if (read(bells[i][n], &count, sizeof(count)) == sizeof(count))
				heard->heard[i][n] += count;
	nanosleep(&rest, NULL);
}

static void *listen_all(void *arg)
{
	while (!heard->stop)
		listen_once(0, CHILDS);
	listen_once(0, CHILDS);
	return NULL;
}

static void child_main(void)
{
	while (!heard->stop)
		listen_once(CHILDS, NR_BELLS);
	listen_once(CHILDS, NR_BELLS);
	exit(0);
}

static int start_child(void)
{
	unsigned int i, n;

	heard = mmap(NULL, sizeof(*heard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (heard == MAP_FAILED)
		return -1;
	for (i = 0; i < NR_VCPUS; i++)
		for (n = 0; n < NR_BELLS; n++) {
			bells[i][n] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
			if (bells[i][n] < 0)
				return -1;
		}
	child = test_fork();
	if (!child)
		child_main();
	return child < 0 ? -1 : 0;
}

static int bind_bell(unsigned int i, unsigned int n)
{
	static const struct kvm_ioeventfd form[NR_BELLS] = {
		[BYTE_A] = { .len = 1, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH, .datamatch = 0x11 },
		[BYTE_B] = { .len = 1, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH, .datamatch = 0x22 },
		[HALF] = { .len = 2 },
		[WORD] = { .len = 4, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH, .datamatch = 0x12345678 },
		[DOUBLE] = { .len = 8,
			     .flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
			     .datamatch = 0x123456789abcdef0 },
		[ANY] = { .len = 0 },
		[CHILDS] = { .len = 4 },
	};
	struct kvm_ioeventfd arg = form[n];

	arg.fd = bells[i][n];
	arg.addr = BELL(i, n == BYTE_B ? BYTE_A : n);
	return ioctl(vm.vm_fd, KVM_IOEVENTFD, &arg) || (n == CHILDS && close(arg.fd)) ? -1 : 0;
}

static int bind_bells(void)
{
	unsigned int i, n;

	for (i = 0; i < NR_VCPUS; i++)
		for (n = 0; n < NR_BELLS; n++)
			if (bind_bell(i, n))
				return -1;
	return 0;
}

static bool exit_of_none(struct odd_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	if (run->exit_reason != KVM_EXIT_MMIO || run->mmio.phys_addr != BELL(vcpu->id, 0))
		return guest_exit(vcpu);
	if (run->mmio.len != 1 || run->mmio.data[0] != 0x33)
		odd_found(&vm, "a write that has an ioeventfd leaves KVM_RUN: its value", run->mmio.data[0]);
	exits[vcpu->id]++;
	return true;
}

static int set_up(void)
{
	unsigned int i;

	if (start_child() || odd_create(&vm) || odd_add_memory(&vm, 0) ||
	    odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3))
		return -1;
	for (i = 0; i < NR_VCPUS; i++)
		if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) || guest_set(&vm, i, entry))
			return -1;
	vm.exit = exit_of_none;
	if (odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_init_gic(&vm) || bind_bells())
		return -1;
	errno = pthread_create(&listener, NULL, listen_all, NULL);
	return errno || odd_start_all(&vm) ? -1 : 0;
}

static void rest(void)
{
	const struct timespec tick = { .tv_nsec = 10000000 };

	nanosleep(&tick, NULL);
}

/* Every bell is heard again. */
static bool all_are_heard(void)
{
	uint64_t before[NR_VCPUS][NR_BELLS];
	unsigned int i, n, ticks;

	for (i = 0; i < NR_VCPUS; i++)
		for (n = 0; n < NR_BELLS; n++)
			before[i][n] = heard->heard[i][n];
	for (i = 0; i < NR_VCPUS; i++)
		for (n = 0; n < NR_BELLS; n++)
			for (ticks = 0; heard->heard[i][n] < before[i][n] + 4; ticks++) {
				if (vm.stats->error[0] || ticks == CHECK_TICKS)
					return false;
				rest();
			}
	return true;
}

static bool guests_stop(void)
{
	unsigned int i, ticks;

	guests()->stop = 1;
	for (i = 0; i < NR_VCPUS; i++)
		for (ticks = 0; !guests()->stopped[i]; ticks++) {
			if (vm.stats->error[0] || ticks == CHECK_TICKS)
				return false;
			rest();
		}
	return true;
}

static bool counts_are_equal(void)
{
	unsigned int i, n;

	for (i = 0; i < NR_VCPUS; i++) {
		for (n = 0; n <= NR_BELLS; n++) {
			uint64_t rung = guests()->rung[i][n];
			uint64_t got = n == NONE ? exits[i] : heard->heard[i][n];

			test_msg("vcpu %u: bell %u rung %llu times, heard %llu times\n", i, n,
				 (unsigned long long)rung, (unsigned long long)got);
			if (rung != got)
				odd_found(&vm, "not as often heard as rung: bell", n);
		}
	}
	return !vm.stats->error[0];
}

int main(int argc, char **argv)
{
	bool well;
	int status;

	test_init(argc, argv);

	if (set_up()) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	errno = 0;
	well = all_are_heard() && guests_stop();
	heard->stop = true;
	pthread_join(listener, NULL);
	if (waitpid(child, &status, 0) != child || status) {
		fail("the child that listens ended with %#x", status);
		return 1;
	}
	errno = 0;
	if (!counts_are_equal() || !well) {
		fail("%s", vm.stats->error[0] ? vm.stats->error : "not every bell is heard");
		return 1;
	}
	return odd_verdict(&vm);
}
