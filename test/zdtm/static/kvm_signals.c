/* SPDX-License-Identifier: GPL-2.0-only */
/* Whoever ends criu in the middle of a dump does not end the VM: lives/kvm_signals.py. */
#include <signal.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A small KVM VM outlives the criu that dumps it\n";
const char *test_author = "The kvm-vgic authors";

int main(int argc, char **argv)
{
	static struct odd_vm vm;
	sigset_t mask;

	test_init(argc, argv);

	if (odd_setup(&vm)) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	/* A mask of its own, which criu's end must not change either. */
	sigemptyset(&mask);
	sigaddset(&mask, SIGWINCH);
	if (sigprocmask(SIG_BLOCK, &mask, NULL)) {
		pr_perror("sigprocmask");
		return 1;
	}

	test_daemon();
	test_waitsig();

	return odd_verdict(&vm);
}
