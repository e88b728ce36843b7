/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A running VM with one thing that a dump does not carry: the dump must fail by
 * name, and leave the VM as it was. The names are in oddvm/.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "zdtmtst.h"
#include "oddities.h"

const char *test_doc = "A running KVM VM with something in it that cannot be dumped\n";
const char *test_author = "The kvm-vgic authors";

static char *what = "vfio";
TEST_OPTION(what, string, "what it has (vfio)", 0);

static int enable(struct odd_vm *vm, const struct oddity *odd)
{
	struct kvm_enable_cap cap = { .cap = odd->cap, .args = { odd->cap_arg } };

	if (!odd->cap)
		return 0;
	if (ioctl(vm->vm_fd, KVM_CHECK_EXTENSION, odd->cap) <= 0)
		odd_lacking(odd->name);
	return ioctl(vm->vm_fd, KVM_ENABLE_CAP, &cap);
}

static void check_features(struct odd_vm *vm)
{
	static const struct {
		int feature, cap;
		const char *name;
	} needs[] = {
		{ KVM_ARM_VCPU_PMU_V3, KVM_CAP_ARM_PMU_V3, "PMU for guests" },
		{ KVM_ARM_VCPU_SVE, KVM_CAP_ARM_SVE, "SVE" },
		{ KVM_ARM_VCPU_PTRAUTH_ADDRESS, KVM_CAP_ARM_PTRAUTH_ADDRESS, "pointer authentication" },
		{ KVM_ARM_VCPU_EL1_32BIT, KVM_CAP_ARM_EL1_32BIT, "AArch32 at EL1" },
		{ KVM_ARM_VCPU_HAS_EL2, 240 /* KVM_CAP_ARM_EL2 */, "nested virtualisation" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(needs); i++)
		if (vm->features >> needs[i].feature & 1 && ioctl(vm->vm_fd, KVM_CHECK_EXTENSION, needs[i].cap) <= 0)
			odd_lacking(needs[i].name);
}

static int build_vcpus(struct odd_vm *vm, uint32_t leave_out)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++) {
		if (leave_out & (i ? ODD_VCPU_1 : ODD_VCPU_0))
			continue;
		if (odd_create_vcpu(vm, i) || (!(i && leave_out & ODD_VCPU_1_INIT) && odd_init_vcpu(vm, i)))
			return -1;
	}
	return 0;
}

static int build_gic(struct odd_vm *vm, uint32_t leave_out)
{
	if (leave_out & ODD_GIC)
		return 0;
	if (odd_create_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V3))
		odd_lacking("GICv3 for guests");
	if (!(leave_out & ODD_GIC_PLACE) && odd_place_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V3))
		return -1;
	return leave_out & ODD_GIC_INIT ? 0 : odd_init_gic(vm);
}

static int build_vm(struct odd_vm *vm, const struct oddity *odd)
{
	vm->features = odd->features;
	if (odd_create(vm))
		return -1;
	check_features(vm);
	if (enable(vm, odd) || (odd->early && odd->early(vm)) || odd_add_memory(vm, 0) ||
	    build_vcpus(vm, odd->leave_out) || build_gic(vm, odd->leave_out) || (odd->built && odd->built(vm)))
		return -1;
	if (!(odd->leave_out & ODD_START_0) && odd_start(vm, 0))
		return -1;
	return odd->leave_out & ODD_START_1 ? 0 : odd_start(vm, 1);
}

int odd_build(struct odd_vm *vm, const struct oddity *odd)
{
	if (!(odd->leave_out & ODD_VM) && (build_vm(vm, odd) || !odd_goes_on(vm))) {
		pr_perror("set-up of the VM: %s", vm->stats ? vm->stats->error : "");
		return -1;
	}
	if (odd->running && odd->running(vm)) {
		pr_perror("set-up of %s", odd->name);
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct oddity *odd;
	static struct odd_vm vm;

	test_init(argc, argv);

	odd = oddity_find(what);
	if (!odd) {
		pr_err("--what %s is not known\n", what);
		return 1;
	}
	if (odd_build(&vm, odd))
		return 1;

	test_daemon();
	odd_wait_for_end(odd);

	if (!odd_finish(&vm, odd)) {
		errno = 0;
		fail("the VM or its process did not go on");
		return 1;
	}
	pass();
	return 0;
}
