/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two vCPUs on one CPU of the host, each of which is told how much time the other has taken from it: by
 * stolen time (Documentation/virt/kvm/arm/pvtime.rst), which goes on, and never back.
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

/* A restored thread runs on any CPU again. */
static bool on_one_cpu(struct odd_vcpu *vcpu)
{
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	if (sched_setaffinity(0, sizeof(first), &first))
		odd_found(vcpu->vm, "sched_setaffinity: errno", errno);
	return guest_exit(vcpu);
}

static int set_guest(unsigned int i)
{
	struct pvtime_guest *p = guest_cpu(&vm, i);
	uint64_t address = STOLEN(i);

	p->address = address;
	return odd_set_attr(vm.vcpu[i].fd, KVM_ARM_VCPU_PVTIME_CTRL, KVM_ARM_VCPU_PVTIME_IPA, &address) ||
	       guest_set(&vm, i, run) ? -1 : 0;
}

static int create_vm(void)
{
	unsigned int i;

	vm.exit = on_one_cpu;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) || set_guest(i))
			return -1;
	if (odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    odd_init_gic(&vm))
		return -1;
	return odd_start_all(&vm);
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
	const struct timespec tick = { .tv_nsec = 10000000 };
	unsigned int i, ticks;

	for (i = 0; i < ODD_NR_VCPUS && has_address(i); i++) {
		const struct pvtime_guest *p = guest_cpu(&vm, i);
		uint64_t grown = p->grown;

		for (ticks = 0; ticks < 6000 && p->grown < grown + 3 && !vm.stats->error[0]; ticks++)
			nanosleep(&tick, NULL);
		if (p->grown < grown + 3)
			odd_found(&vm, "stolen time stands still, ns:", p->ns);
		test_msg("vcpu %u: %llu ns stolen, in %llu parts\n", i, (unsigned long long)p->ns,
			 (unsigned long long)p->grown);
	}
	return !vm.stats->error[0];
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (odd_create(&vm) || odd_add_memory(&vm, 0)) {
		pr_perror("set-up of the VM");
		return 1;
	}
	if (ioctl(vm.kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_STEAL_TIME) <= 0) {
		skip("this host's KVM has no stolen time");
		return 1;
	}
	if (create_vm()) {
		pr_perror("set-up of the VM: %s", vm.stats->error);
		return 1;
	}

	test_daemon();
	test_waitsig();

	errno = 0;
	if (!checked_all()) {
		fail("%s", vm.stats->error);
		return 1;
	}
	return odd_verdict(&vm);
}
