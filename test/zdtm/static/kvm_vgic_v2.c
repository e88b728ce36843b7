/* SPDX-License-Identifier: GPL-2.0-only */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "vmm.h"

const char *test_doc = "A running KVM VM with a GICv2: timers, SGIs, edge and level SPIs, MMIO\n";
const char *test_author = "The kvm-vgic authors";

/* On a host that has one, or can emulate it. */
static bool has_gicv2(void)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_ARM_VGIC_V2, .flags = KVM_CREATE_DEVICE_TEST };
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = ioctl(kvm, KVM_CREATE_VM, 0);
	bool has = !ioctl(vm, KVM_CREATE_DEVICE, &create);

	close(vm);
	close(kvm);
	return has;
}

int main(int argc, char **argv)
{
	struct vmm_config config = { .gicv2 = true };

	test_init(argc, argv);

	if (vmm_test_options(&config) || config.redist_regions) {
		pr_err("a bad value of --vcpus, --redist, --limit or --inject\n");
		return 1;
	}
	if (!has_gicv2()) {
		skip("this host has no GICv2 for guests");
		return 1;
	}
	return vmm_test(&config);
}
