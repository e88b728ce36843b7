/* SPDX-License-Identifier: GPL-2.0-only */
/* The end of a test: the VM goes on, has found nothing, and comes to its end. */
#include <errno.h>

#include "zdtmtst.h"
#include "oddvm.h"

int odd_verdict(struct odd_vm *vm)
{
	if (odd_goes_on(vm) && odd_stop(vm)) {
		pass();
		return 0;
	}
	errno = 0;
	fail("%s", vm->stats->error);
	return 1;
}
