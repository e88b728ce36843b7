/* SPDX-License-Identifier: GPL-2.0-only */
/* The end of a test. */
#include <errno.h>

#include "zdtmtst.h"
#include "oddvm.h"

bool odd_is_well(struct odd_vm *vm)
{
	if (odd_goes_on(vm) && odd_stop(vm))
		return true;
	errno = 0;
	fail("%s", vm->stats->error);
	return false;
}

int odd_verdict(struct odd_vm *vm)
{
	if (!odd_is_well(vm))
		return 1;
	pass();
	return 0;
}
