/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two vCPUs on one CPU of the host, each of which is told how much time the other has taken from it: by
 * stolen time (Documentation/virt/kvm/arm/pvtime.rst), which goes on, and never back, and is no more than
 * the time that its thread was there and did not run.
 */
#include <errno.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <time.h>

#include "zdtmtst.h"
#include "guest.h"
#include "oddvm.h"

const char *test_doc = "Stolen time of a KVM guest\n";
const char *test_author = "The kvm-vgic authors";

#define SMCCC_ARCH_FEATURES	0x80000001
#define PV_TIME_FEATURES	0xc5000020
#define PV_TIME_ST		0xc5000021

/* In the RAM, behind odd_guest's counters: DEN 0057A, stolen time. 64 bytes and more apart. */
#define STOLEN(i)	(ODD_RAM_BASE + ODD_RAM_FAULTS + 0x800 + 0x100 * (i))

struct stolen {
	uint32_t revision, attributes;
	uint64_t ns;
};

struct pvtime_guest {
	struct guest g;
	uint64_t address, ns;
	volatile uint64_t grown; /* how often there was more */
};

enum { SAY_FEATURE = 1, SAY_ADDRESS, SAY_HEADER, SAY_BACK };
const char *const guest_says[] = {
	[SAY_FEATURE] = "no stolen time: function, answer",
	[SAY_ADDRESS] = "the address of stolen time: is, set",
	[SAY_HEADER] = "revision and attributes of stolen time",
	[SAY_BACK] = "stolen time goes back: is, was",
};

/* --- in the guest --- */

GUEST static void check_features(struct guest *g)
{
	uint64_t answer = guest_hvc(SMCCC_ARCH_FEATURES, PV_TIME_FEATURES, 0, 0);

	if (answer)
		guest_report(g, SAY_FEATURE, SMCCC_ARCH_FEATURES, answer);
	answer = guest_hvc(PV_TIME_FEATURES, PV_TIME_ST, 0, 0);
	if (answer)
		guest_report(g, SAY_FEATURE, PV_TIME_FEATURES, answer);
}

GUEST static void check_time(struct pvtime_guest *p)
{
	const volatile struct stolen *stolen = (const struct stolen *)p->address;
	uint64_t ns = stolen->ns;

	if (stolen->revision || stolen->attributes)
		guest_report(&p->g, SAY_HEADER, stolen->revision, stolen->attributes);
	if (ns < p->ns)
		guest_report(&p->g, SAY_BACK, ns, p->ns);
	p->grown += ns > p->ns;
	p->ns = ns;
}

GUEST static void run(struct guest *g)
{
	struct pvtime_guest *p = (struct pvtime_guest *)g;
	uint64_t address, spin;

	check_features(g);
	/* Once: the call sets it to 0. */
	address = guest_hvc(PV_TIME_ST, 0, 0, 0);
	if (address != p->address)
		guest_report(g, SAY_ADDRESS, address, p->address);
	for (;;) {
		check_features(g);
		for (spin = 0; spin < 1000000; spin++) {
			if (!(spin % 10000))
				check_time(p);
		}
		guest_progress(g, ODD_STEP);
	}
}

/* --- in the VMM --- */

static struct odd_vm vm;

static uint64_t began;

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/*
 * A restored thread is a new one: what it has run and waited is less than the old one's life and its own. The
 * clock is the scheduler's but for its rounding.
 */
static void check_stolen(struct odd_vcpu *vcpu)
{
	const struct stolen *stolen = (const void *)(vm.ram + STOLEN(vcpu->id) - ODD_RAM_BASE);
	uint64_t ran = now(CLOCK_THREAD_CPUTIME_ID), gone = now(CLOCK_MONOTONIC_RAW) - began;

	if (stolen->ns + ran > gone + gone / 1000)
		odd_found(vcpu->vm, "more time was stolen and run than has gone by, ns:", stolen->ns + ran - gone);
}

/* A restored thread runs on any CPU again. */
static bool on_one_cpu(struct odd_vcpu *vcpu)
{
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	if (sched_setaffinity(0, sizeof(first), &first))
		odd_found(vcpu->vm, "sched_setaffinity: errno", errno);
	check_stolen(vcpu);
	return guest_exit(vcpu);
}

static int set_guest(unsigned int i)
{
	struct pvtime_guest *p = guest_cpu(&vm, i);
	uint64_t address = STOLEN(i);

	p->address = address;
	return odd_init_vcpu(&vm, i) ||
	       odd_set_attr(vm.vcpu[i].fd, KVM_ARM_VCPU_PVTIME_CTRL, KVM_ARM_VCPU_PVTIME_IPA, &address) ||
	       guest_set(&vm, i, run) ? -1 : 0;
}

static int create_vm(void)
{
	vm.exit = on_one_cpu;
	began = now(CLOCK_MONOTONIC_RAW);
	return guest_create_vcpus(&vm, ODD_NR_VCPUS, set_guest) || odd_start_all(&vm) ? -1 : 0;
}

static bool has_address(unsigned int i)
{
	uint64_t address = 0;
	struct kvm_device_attr attr = {
		.group = KVM_ARM_VCPU_PVTIME_CTRL,
		.attr = KVM_ARM_VCPU_PVTIME_IPA,
		.addr = (uintptr_t)&address,
	};

	if (ioctl(vm.vcpu[i].fd, KVM_GET_DEVICE_ATTR, &attr))
		odd_found(&vm, "KVM_ARM_VCPU_PVTIME_IPA: errno", errno);
	else if (address != STOLEN(i))
		odd_found(&vm, "KVM_ARM_VCPU_PVTIME_IPA", address);
	return !vm.stats->error[0];
}

/* The time goes on being told, and the address is what it was. */
static bool checked_all(void)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++) {
		const struct pvtime_guest *p = guest_cpu(&vm, i);

		if (!has_address(i) || !guest_counts(&vm, &p->grown, 3, "stolen time stands still: times that it grew"))
			return false;
		test_msg("vcpu %u: %llu ns stolen, in %llu parts\n", i, (unsigned long long)p->ns,
			 (unsigned long long)p->grown);
	}
	return true;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (!guest_set_up(&vm, KVM_CAP_STEAL_TIME, "stolen time", create_vm))
		return 1;

	test_daemon();
	test_waitsig();

	return guest_verdict(&vm, checked_all());
}
