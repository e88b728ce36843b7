// SPDX-License-Identifier: GPL-2.0-only
/* criu-kvm: what a user does about VMs beside criu itself. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "tool.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} commands[] = {
	{ "recover", cmd_recover, "lets a VM go on that a criu which was killed in a dump has left standing" },
};
#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

void tool_error(const char *format, ...)
{
	va_list args;

	fputs("criu-kvm: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* CRIU's, for the plugin's code: what is behind "Error (file.c:12): kvm_vgic: " is what the user is told. */
void print_on_level(unsigned int level, const char *format, ...)
{
	char line[512], *text;
	va_list args;

	if (level > LOG_WARN)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	text = strstr(line, LOG_PREFIX);
	text = text ? text + strlen(LOG_PREFIX) : line;
	text[strcspn(text, "\n")] = 0;
	tool_error("%s%s", level == LOG_WARN ? "warning: " : "", text);
}

static void usage(FILE *to)
{
	fprintf(to, "usage: criu-kvm COMMAND [OPTION]... [ARGUMENT]...\n\n");
	for (size_t i = 0; i < NR_COMMANDS; i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].what);
	fprintf(to, "\n  criu-kvm COMMAND --help\n");
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--help")) {
		usage(stdout);
		return TOOL_YES;
	}
	for (size_t i = 0; i < NR_COMMANDS && argc > 1; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	usage(stderr);
	return TOOL_USAGE;
}
