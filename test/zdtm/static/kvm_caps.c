/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Capabilities of a VM that were given a value: how long a vCPU polls before it sleeps, by what blocks memory is
 * split, and, of Linux 7.2, which CPU the guest sees and who is told of broken memory.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <time.h>

#include "zdtmtst.h"
#include "guest.h"
#include "oddvm.h"

const char *test_doc = "Capabilities of a KVM VM\n";
const char *test_author = "The kvm-vgic authors";

#ifndef KVM_CAP_ARM_WRITABLE_IMP_ID_REGS
#define KVM_CAP_ARM_WRITABLE_IMP_ID_REGS	239
#endif
#ifndef KVM_CAP_ARM_SEA_TO_USER
#define KVM_CAP_ARM_SEA_TO_USER			245
#endif

#define VTIMER		27
#define POLL_NS		400000000 /* far above KVM's own, and above the guest's naps */
#define CHUNK		(2ul << 20)
#define MIDR_EL1	ARM64_SYS_REG(3, 0, 0, 0, 0)
#define OTHER_MIDR	0x610f0222 /* no Arm CPU */

struct caps_guest {
	struct guest g;
	uint64_t midr;
	volatile uint64_t naps;
};

enum { SAY_MIDR = 1 };
const char *const guest_says[] = { [SAY_MIDR] = "MIDR_EL1: is, was" };

/* --- in the guest --- */

/* Of 5 ms, which is longer than KVM polls by itself. Interrupts are masked: the timer ends it all the same. */
GUEST static void nap(void)
{
	write_sysreg(read_sysreg(cntfrq_el0) / 200, cntv_tval_el0);
	write_sysreg(1, cntv_ctl_el0);
	isb();
	wfi();
	write_sysreg(0, cntv_ctl_el0);
	isb();
}

GUEST static void run(struct guest *g)
{
	struct caps_guest *c = (struct caps_guest *)g;

	guest_gic_init(g, 1u << VTIMER);
	for (;;) {
		nap();
		if (read_sysreg(midr_el1) != c->midr)
			guest_report(g, SAY_MIDR, read_sysreg(midr_el1), c->midr);
		guest_progress(g, ODD_STEP);
		c->naps++;
	}
}

/* --- in the VMM --- */

static struct odd_vm vm;
static bool other_midr;

static int enable(uint32_t what, uint64_t value)
{
	struct kvm_enable_cap cap = { .cap = what, .args = { value } };

	return ioctl(vm.vm_fd, KVM_ENABLE_CAP, &cap);
}

static bool can(uint32_t cap)
{
	return ioctl(vm.vm_fd, KVM_CHECK_EXTENSION, cap) > 0;
}

static int enable_all(void)
{
	other_midr = can(KVM_CAP_ARM_WRITABLE_IMP_ID_REGS);
	return enable(KVM_CAP_HALT_POLL, POLL_NS) || enable(KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, CHUNK) ||
	       (other_midr && enable(KVM_CAP_ARM_WRITABLE_IMP_ID_REGS, 0)) ||
	       (can(KVM_CAP_ARM_SEA_TO_USER) && enable(KVM_CAP_ARM_SEA_TO_USER, 0)) ? -1 : 0;
}

static int create_vcpu(unsigned int i)
{
	struct caps_guest *c = guest_cpu(&vm, i);

	if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) || guest_set(&vm, i, run))
		return -1;
	if (other_midr && odd_set_reg(&vm, i, MIDR_EL1, OTHER_MIDR))
		return -1;
	return odd_get_reg(&vm, i, MIDR_EL1, &c->midr);
}

static int create_vm(void)
{
	unsigned int i;

	if (enable_all() || odd_add_memory(&vm, 0))
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (create_vcpu(i))
			return -1;
	if (odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    odd_init_gic(&vm))
		return -1;
	return odd_start_all(&vm);
}

static bool is_the_same(void)
{
	int chunk = ioctl(vm.vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE);
	unsigned int i;

	if (chunk != CHUNK)
		odd_found(&vm, "blocks are split by other ones: of", chunk);
	for (i = 0; i < ODD_NR_VCPUS; i++)
		test_msg("vcpu %u: %llu naps, MIDR_EL1 %#llx\n", i,
			 (unsigned long long)((struct caps_guest *)guest_cpu(&vm, i))->naps,
			 (unsigned long long)((struct caps_guest *)guest_cpu(&vm, i))->midr);
	return !vm.stats->error[0];
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (odd_create(&vm)) {
		pr_perror("set-up of the VM");
		return 1;
	}
	if (!(ioctl(vm.vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES) & CHUNK)) {
		skip("this host's KVM has no blocks of 2 MiB to split by");
		return 1;
	}
	if (create_vm()) {
		pr_perror("set-up of the VM: %s", vm.stats->error);
		return 1;
	}

	test_daemon();
	test_waitsig();

	if (!is_the_same()) {
		errno = 0;
		fail("%s", vm.stats->error);
		return 1;
	}
	return odd_verdict(&vm);
}
