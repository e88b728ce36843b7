/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM with features and firmware of one's choice: not every host can take it over. test/zdtm/across moves it. The
 * defaults are what each host can, and a VM does not have by itself.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A KVM VM with an old version of PSCI and a pending SError, as it is taken to another host\n";
const char *test_author = "The kvm-vgic authors";

unsigned int features;
TEST_OPTION(features, uint, "bitmap of KVM_ARM_VCPU_*, beside PSCI", 0);
unsigned int psci = 0x10000;
TEST_OPTION(psci, uint, "PSCI version that the guest is offered; 0: the kernel's (1.0)", 0);
unsigned int services;
TEST_OPTION(services, uint, "bitmap of KVM_REG_ARM_VENDOR_HYP_BMAP_2, which a kernel may not have; 0: none", 0);
unsigned int serror = 0x1234;
TEST_OPTION(serror, uint, "syndrome of an SError that stays pending; 0: none is (0x1234)", 0);

/* Not in the headers of Linux 6.1. */
#define VENDOR_HYP_BMAP_2	KVM_REG_ARM_FW_FEAT_BMAP_REG(3)

static int set_firmware(struct odd_vm *vm)
{
	if (psci && odd_set_reg(vm, 0, KVM_REG_ARM_PSCI_VERSION, psci))
		return -1;
	return services ? odd_set_reg(vm, 0, VENDOR_HYP_BMAP_2, services) : 0;
}

/* The guest has SErrors masked. */
static int pend_serror(struct odd_vm *vm)
{
	struct kvm_vcpu_events events = { .exception = { 1, 1, .serror_esr = serror } };

	return serror ? ioctl(vm->vcpu[1].fd, KVM_SET_VCPU_EVENTS, &events) : 0;
}

static int set_up(struct odd_vm *vm)
{
	unsigned int i;

	vm->features = features;
	if (odd_create(vm) || odd_add_memory(vm, 0))
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_create_vcpu(vm, i) || odd_init_vcpu(vm, i))
			return -1;
	if (set_firmware(vm) || pend_serror(vm))
		return -1;
	if (odd_create_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    odd_init_gic(vm))
		return -1;
	return odd_start_all(vm);
}

/* Of vCPUs that run no more. */
static bool is_what_it_was(struct odd_vm *vm)
{
	struct kvm_vcpu_events events = { 0 };
	uint64_t value = 0;

	if (psci && (odd_get_reg(vm, 0, KVM_REG_ARM_PSCI_VERSION, &value) || value != psci))
		return false;
	if (services && (odd_get_reg(vm, 0, VENDOR_HYP_BMAP_2, &value) || value != services))
		return false;
	if (!serror)
		return true;
	return !ioctl(vm->vcpu[1].fd, KVM_GET_VCPU_EVENTS, &events) && events.exception.serror_pending &&
	       events.exception.serror_has_esr && events.exception.serror_esr == serror;
}

int main(int argc, char **argv)
{
	static struct odd_vm vm;

	test_init(argc, argv);

	if (set_up(&vm)) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	if (!odd_is_well(&vm))
		return 1;
	errno = 0;
	if (!is_what_it_was(&vm)) {
		fail("PSCI, services or the SError");
		return 1;
	}
	pass();
	return 0;
}
