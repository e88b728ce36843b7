// SPDX-License-Identifier: GPL-2.0-only
/* See setting.h. */
#include <stdlib.h>

#include "log.h"
#include "setting.h"

#define CLOCK_VARIABLE "KVM_VGIC_CLOCK"

static const char *const clock_names[] = { [CLOCK_CONTINUE] = "continue", [CLOCK_ADVANCE] = "advance" };

/* The place of what the variable says in clock_names, or -1. */
static int find_clock(void)
{
	const char *value = getenv(CLOCK_VARIABLE);

	if (!value)
		return CLOCK_CONTINUE;
	for (int i = 0; i < (int)(sizeof(clock_names) / sizeof(clock_names[0])); i++)
		if (!strcmp(value, clock_names[i]))
			return i;
	return -1;
}

enum setting_clock setting_clock(void)
{
	return find_clock() == CLOCK_ADVANCE ? CLOCK_ADVANCE : CLOCK_CONTINUE;
}

int setting_check(void)
{
	if (find_clock() >= 0)
		return 0;
	pr_err("%s=%s is not known: \"%s\" or \"%s\" expected\n", CLOCK_VARIABLE, getenv(CLOCK_VARIABLE),
	       clock_names[CLOCK_CONTINUE], clock_names[CLOCK_ADVANCE]);
	return -EINVAL;
}
