/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls of the guest that the VMM serves, denies or leaves to KVM: each is made again and again, and answered by whom
 * it was before. The filter has so many ranges that KVM keeps them in more than one node of its tree.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "zdtmtst.h"
#include "guest.h"
#include "oddvm.h"

const char *test_doc = "SMCCC filter of a KVM VM\n";
const char *test_author = "The kvm-vgic authors";

/* Of PSCI. */
#define VERSION			0x84000000u
#define MIGRATE_INFO_TYPE	0x84000006u
#define FEATURES		0x8400000au
#define NOT_SUPPORTED		(-1ull)
#define MANY			0xc7000000u /* single functions, every third: KVM has none there */
#define NR_MANY			90
#define MAGIC			0x5eed0000ull

struct smccc_guest {
	struct guest g;
	uint64_t features; /* what KVM says to a call that the filter leaves alone */
	volatile uint64_t rounds;
};

enum { SAY_ANSWER = 1 };
const char *const guest_says[] = { [SAY_ANSWER] = "a call was answered otherwise: is, the function" };

/* --- in the guest --- */

GUEST static void expect(struct smccc_guest *s, uint64_t function, uint64_t want)
{
	uint64_t is = guest_hvc(function, VERSION, 0, 0);

	if (is != want)
		guest_report(&s->g, SAY_ANSWER, is, function);
	guest_progress(&s->g, ODD_STEP / 8);
}

GUEST static void run(struct guest *g)
{
	struct smccc_guest *s = (struct smccc_guest *)g;
	uint64_t n;

	s->features = guest_hvc(FEATURES, VERSION, 0, 0);
	for (;;) {
		expect(s, VERSION, NOT_SUPPORTED);		/* KVM has it: denied */
		expect(s, MIGRATE_INFO_TYPE, MAGIC ^ MIGRATE_INFO_TYPE); /* KVM has it: served */
		expect(s, FEATURES, s->features);
		expect(s, 0xc3000000, MAGIC ^ 0xc3000000);
		expect(s, 0xc3000001, MAGIC ^ 0xc3000001);
		expect(s, 0xc300ffff, MAGIC ^ 0xc300ffff);
		expect(s, 0xc3010000, NOT_SUPPORTED);
		for (n = 0; n < 3 * NR_MANY; n++)
			expect(s, MANY + n, n % 3 ? NOT_SUPPORTED : MAGIC ^ (MANY + n));
		expect(s, 0xffffffff, MAGIC ^ 0xffffffff);
		s->rounds++;
	}
}

/* --- in the VMM --- */

static struct odd_vm vm;
static volatile uint64_t served[ODD_NR_VCPUS];

static bool is_served(uint64_t nr)
{
	return nr == MIGRATE_INFO_TYPE || (nr >= 0xc3000000 && nr <= 0xc300ffff) ||
	       (nr >= MANY && nr < MANY + 3 * NR_MANY && (nr - MANY) % 3 == 0) || nr == 0xffffffff;
}

static bool serve(struct odd_vcpu *vcpu)
{
	const struct timespec rest = { .tv_nsec = 200000 };
	const struct kvm_run *run = vcpu->run;

	if (run->exit_reason != KVM_EXIT_HYPERCALL)
		return guest_exit(vcpu);
	/* A dump may find it not served yet. */
	nanosleep(&rest, NULL);
	if (!is_served(run->hypercall.nr))
		odd_found(vcpu->vm, "a call that was not to be forwarded", run->hypercall.nr);
	if (odd_set_reg(vcpu->vm, vcpu->id, ODD_CORE(regs.regs[0]), MAGIC ^ run->hypercall.nr))
		odd_found(vcpu->vm, "KVM_SET_ONE_REG: errno", errno);
	served[vcpu->id]++;
	return true;
}

static int add_range(uint32_t base, uint32_t nr, uint8_t action)
{
	struct kvm_smccc_filter filter = { .base = base, .nr_functions = nr, .action = action };

	return odd_set_attr(vm.vm_fd, KVM_ARM_VM_SMCCC_CTRL, KVM_ARM_VM_SMCCC_FILTER, &filter);
}

/* In no order, and one of them is what KVM does anyway. */
static int set_filter(void)
{
	unsigned int n;

	if (add_range(0xc3000000, 0x10000, KVM_SMCCC_FILTER_FWD_TO_USER) ||
	    add_range(VERSION, 1, KVM_SMCCC_FILTER_DENY) ||
	    add_range(0xffffffff, 1, KVM_SMCCC_FILTER_FWD_TO_USER) ||
	    add_range(FEATURES, 1, KVM_SMCCC_FILTER_HANDLE) ||
	    add_range(MIGRATE_INFO_TYPE, 1, KVM_SMCCC_FILTER_FWD_TO_USER))
		return -1;
	for (n = 0; n < NR_MANY; n++)
		if (add_range(MANY + 3 * ((n * 7) % NR_MANY), 1, KVM_SMCCC_FILTER_FWD_TO_USER))
			return -1;
	return 0;
}

static int create_vm(void)
{
	unsigned int i;

	if (odd_add_memory(&vm, 0) || set_filter())
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) || guest_set(&vm, i, run))
			return -1;
	vm.exit = serve;
	if (odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    odd_init_gic(&vm))
		return -1;
	return odd_start_all(&vm);
}

/* All calls once more, on every vCPU. */
static bool called_all(void)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	unsigned int i, ticks;

	for (i = 0; i < ODD_NR_VCPUS; i++) {
		const struct smccc_guest *s = guest_cpu(&vm, i);
		uint64_t rounds = s->rounds;

		for (ticks = 0; ticks < 6000 && s->rounds < rounds + 2 && !vm.stats->error[0]; ticks++)
			nanosleep(&tick, NULL);
		if (s->rounds < rounds + 2)
			odd_found(&vm, "no progress: rounds of calls", rounds);
		test_msg("vcpu %u: %llu rounds, %llu calls served\n", i, (unsigned long long)s->rounds,
			 (unsigned long long)served[i]);
	}
	return !vm.stats->error[0];
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (odd_create(&vm) || create_vm()) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	if (!called_all()) {
		errno = 0;
		fail("%s", vm.stats->error);
		return 1;
	}
	return odd_verdict(&vm);
}
