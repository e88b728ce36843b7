// SPDX-License-Identifier: GPL-2.0-only
/* See testtool.h. */
#include <stdarg.h>
#include <stdio.h>

#include "testtool.h"
#include "tool.h"

static char told[256];
static unsigned int errors;

void tool_reset(void)
{
	told[0] = 0;
	errors = 0;
}

unsigned int tool_errors(void)
{
	return errors;
}

const char *tool_told(void)
{
	return told;
}

void tool_error(const char *format, ...)
{
	va_list args;

	errors++;
	va_start(args, format);
	vsnprintf(told, sizeof(told), format, args);
	va_end(args);
}
