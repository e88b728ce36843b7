/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vCPUs with all features that the host offers and a value of its own in every register that
 * takes one. They never run, so that what is read after the restore is what was written: ID registers, too.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "zdtmtst.h"
#include "oddvm.h"
#include "regs.h"

const char *test_doc = "Every register of KVM_GET_REG_LIST\n";
const char *test_author = "The kvm-vgic authors";

#define PMU_PPI	23

static struct odd_vm vm;
static struct odd_regs saved[ODD_NR_VCPUS];

static const struct {
	int cap, feature;
	const char *name;
} features[] = {
	{ KVM_CAP_ARM_PMU_V3, KVM_ARM_VCPU_PMU_V3, "PMU" },
	{ KVM_CAP_ARM_SVE, KVM_ARM_VCPU_SVE, "SVE" },
	{ KVM_CAP_ARM_PTRAUTH_ADDRESS, KVM_ARM_VCPU_PTRAUTH_ADDRESS, "address authentication" },
	{ KVM_CAP_ARM_PTRAUTH_GENERIC, KVM_ARM_VCPU_PTRAUTH_GENERIC, "generic authentication" },
};

static void choose_features(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(features); i++)
		if (ioctl(vm.kvm_fd, KVM_CHECK_EXTENSION, features[i].cap) > 0) {
			vm.features |= 1u << features[i].feature;
			test_msg("registers: with %s\n", features[i].name);
		}
}

static int init_pmu(unsigned int i)
{
	int irq = PMU_PPI;

	if (!(vm.features & 1u << KVM_ARM_VCPU_PMU_V3))
		return 0;
	return odd_set_attr(vm.vcpu[i].fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, &irq) ||
	       odd_set_attr(vm.vcpu[i].fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, NULL) ? -1 : 0;
}

static int create_vm(void)
{
	unsigned int i;

	if (odd_create(&vm) || odd_add_memory(&vm, 0))
		return -1;
	choose_features();
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i))
			return -1;
	if (odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    odd_init_gic(&vm))
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (init_pmu(i))
			return -1;
	return 0;
}

static int fill_and_save(void)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++) {
		int filled = odd_fill_regs(&vm, i, NULL);

		if (filled < 0)
			return -1;
		test_msg("registers: vcpu %u: %d filled\n", i, filled);
	}
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_save_regs(&vm, i, &saved[i]))
			return -1;
	return 0;
}

static bool are_same(void)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++) {
		if (!odd_same_regs(&vm, i, &saved[i]))
			return false;
		test_msg("registers: vcpu %u: %zu of %zu are equal\n", i, saved[i].equal, saved[i].nr);
	}
	odd_print_exempt(&saved[0]);
	return true;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (create_vm() || fill_and_save()) {
		pr_perror("set-up of the VM");
		return 1;
	}

	test_daemon();
	test_waitsig();

	errno = 0;
	if (!are_same()) {
		fail("%s", vm.stats->error);
		return 1;
	}
	pass();
	return 0;
}
