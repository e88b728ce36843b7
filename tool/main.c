// SPDX-License-Identifier: GPL-2.0-only
/* criu-kvm: looks into the images of VMs, and at the host that is to have them. */
#include <stdlib.h>

#include "tool.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} commands[] = {
	{ "check", cmd_check, "whether this host can dump and restore VMs, and a process" },
	{ "show", cmd_show, "what is in the images of a dump" },
	{ "verify", cmd_verify, "whether a restore would take them" },
	{ "diff", cmd_diff, "what changed between two dumps" },
	{ "recover", cmd_recover, "lets a VM go on that a criu which was killed in a dump has left standing" },
	{ "plan", cmd_plan, "the steps of a restore, in order, and what puts each there" },
};
#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *to)
{
	fprintf(to, "usage: criu-kvm COMMAND [OPTION]... [ARGUMENT]...\n\n");
	for (size_t i = 0; i < NR_COMMANDS; i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].what);
	fprintf(to, "\n  criu-kvm COMMAND --help\n  criu-kvm --version\n\n"
		    "Exit status: 0 yes, or done; 1 no; 2 usage; 3 it could not be found out.\n");
}

static int run(int argc, char **argv)
{
	for (size_t i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(argv[0], commands[i].name))
			return commands[i].run(argc, argv);
	tool_error("no command %s, see criu-kvm --help", argv[0]);
	return TOOL_USAGE;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return TOOL_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(stdout);
		return tool_end(TOOL_YES);
	}
	if (!strcmp(argv[1], "--version")) {
		printf("criu-kvm %s\n", VERSION);
		return tool_end(TOOL_YES);
	}
	return tool_end(run(argc - 1, argv + 1));
}
