/* SPDX-License-Identifier: GPL-2.0-only */
/* The smallest VM there is, and nothing around it: what the other tests add to. */
#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A small running KVM VM\n";
const char *test_author = "The kvm-vgic authors";

int main(int argc, char **argv)
{
	static struct odd_vm vm;

	test_init(argc, argv);

	if (odd_setup(&vm)) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	return odd_verdict(&vm);
}
