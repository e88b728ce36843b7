// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "testlog.h"

static char last[1024];
static char all[8192]; /* errors and warnings, as much of them as fits */
static char told[8192]; /* information, likewise */
static unsigned int errors;

void log_reset(void)
{
	last[0] = 0;
	all[0] = 0;
	told[0] = 0;
	errors = 0;
}

unsigned int log_errors(void)
{
	return errors;
}

const char *log_error(void)
{
	const char *message = strstr(last, LOG_PREFIX);

	return message ? message + strlen(LOG_PREFIX) : last;
}

bool log_told(const char *text)
{
	return strstr(told, text);
}

bool log_has(const char *text)
{
	return strstr(all, text);
}

void print_on_level(unsigned int loglevel, const char *format, ...)
{
	char line[sizeof(last)];
	va_list args;

	if (getenv("KVM_VGIC_TEST_LOG")) {
		va_start(args, format);
		vfprintf(stderr, format, args);
		va_end(args);
	}
	if (loglevel > LOG_INFO)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (loglevel == LOG_INFO)
		strncat(told, line, sizeof(told) - strlen(told) - 1);
	else
		strncat(all, line, sizeof(all) - strlen(all) - 1);
	if (loglevel != LOG_ERROR)
		return;
	errors++;
	strcpy(last, line);
	last[strcspn(last, "\n")] = 0;
}
