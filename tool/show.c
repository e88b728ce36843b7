// SPDX-License-Identifier: GPL-2.0-only
/* criu-kvm show: what is in the images. */
#include "document.h"

static const char usage[] =
	"usage: criu-kvm show [OPTION] DIR\n\n"
	"Shows the VMs of the dump in DIR: vCPUs, memory, and the interrupts that are enabled, pending or active.\n\n"
	"  --json         all of it, for programs: criu-kvm-show.schema.json\n"
	"  --dot          the routes of the interrupts as a graph, for dot(1)\n"
	"  -v, --verbose  what is read, on stderr\n"
	"  -h, --help\n\n"
	"Exit status: 0 shown; 2 usage; 3 the images could not be read, or are refused.\n";

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "dot", no_argument, NULL, 'd' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static void (*view)(json_t *document);

static void take(int letter, const char *arg)
{
	view = letter == 'j' ? print_json : show_dot;
}

int cmd_show(int argc, char **argv)
{
	const struct tool_options o = {
		.usage = usage, .options = options, .take = take, .nr_args = 1, .max_args = 1
	};
	struct tool_images images;
	json_t *document;
	int status;

	view = show_text;
	if (tool_parse(argc, argv, &o, &status))
		return status;
	if (tool_read(argv[optind], &images))
		return TOOL_TROUBLE;
	document = document_make(&images);
	tool_free(&images);
	view(document);
	json_decref(document);
	return TOOL_YES;
}
