/* SPDX-License-Identifier: GPL-2.0-only */
/* A VMM that is stopped before a dump, or left stopped after it: lives/kvm_stopped.py. */
#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A small KVM VM is dumped and restored while its process is stopped\n";
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
