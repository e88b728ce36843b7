/* SPDX-License-Identifier: GPL-2.0-only */
#include "zdtmtst.h"
#include "vmm.h"

const char *test_doc = "A running KVM VM with a GICv3: timers, SGIs, edge and level SPIs, MMIO\n";
const char *test_author = "The kvm-vgic authors";

int main(int argc, char **argv)
{
	struct vmm_config config = { 0 };

	test_init(argc, argv);

	if (vmm_test_options(&config)) {
		pr_err("a bad value of --vcpus, --redist, --limit or --inject\n");
		return 1;
	}
	return vmm_test(&config);
}
