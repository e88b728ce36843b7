// SPDX-License-Identifier: GPL-2.0-only
/* The two sequences of plugin/plan.c, as tab-separated lines: for test_order.py. */
#include <stdio.h>

#include "plan.h"

static void print(const char *sequence, const struct plan_step *steps, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		printf("%s\t%s\t%s\n", sequence, steps[i].name, steps[i].rule);
}

int main(void)
{
	print("Dump", plan_dump, plan_nr_dump);
	print("Restore", plan_restore, plan_nr_restore);
	return 0;
}
