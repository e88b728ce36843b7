/* SPDX-License-Identifier: GPL-2.0-only */
#include <string.h>

#include "zdtmtst.h"
#include "vmm.h"

const char *test_doc =
	"A running KVM VM with two ITSes: LPIs from the guest and from the VMM, beside all else\n";
const char *test_author = "The kvm-vgic authors";

static char *shape = "dense";
TEST_OPTION(shape, string, "how ids of devices and events lie: dense (default) or sparse", 0);

int main(int argc, char **argv)
{
	struct vmm_config config = { .nr_itses = VM_NR_ITSES };

	test_init(argc, argv);

	config.sparse = !strcmp(shape, "sparse");
	if (vmm_test_options(&config) || (!config.sparse && strcmp(shape, "dense"))) {
		pr_err("a bad value of --vcpus, --redist, --limit, --inject or --shape\n");
		return 1;
	}
	return vmm_test(&config);
}
