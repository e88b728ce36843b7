// SPDX-License-Identifier: GPL-2.0-only
/* criu-kvm plan: the restore sequence of plugin/plan.c, as far as the VMs of a dump have it. */
#include <stdlib.h>

#include "document.h"
#include "plan.h"

static const char usage[] =
	"usage: criu-kvm plan [OPTION] DIR\n\n"
	"Lists the steps by which a restore would rebuild the VMs of the dump in DIR, in order, each with what puts it\n"
	"in its place: the kernel document that says so, or what was found. docs/restore-order.md has more of each.\n\n"
	"  --json         the same, for programs\n"
	"  -v, --verbose\n"
	"  -h, --help\n\n"
	"Exit status: 0 listed; 2 usage; 3 the images could not be read, or are refused.\n";

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static bool as_json;

static void take(int letter, const char *arg)
{
	as_json = true;
}

/* "api.rst 4.82" of "api.rst 4.82: before every other ioctl": for free(), or NULL where no document says it. */
static char *document_of(const char *rule)
{
	size_t len = strcspn(rule, ":");
	char *document;

	if (!rule[len] || !memmem(rule, len, ".rst", 4))
		return NULL;
	document = strndup(rule, len);
	if (!document)
		tool_no_memory();
	return document;
}

static json_t *describe(const struct vm_state *vm, const struct plan_step *step)
{
	json_t *d = new_object();
	char *document = document_of(step->rule);

	put(d, "vm", number(vm->id));
	put(d, "step", number(step - plan_restore + 1));
	put(d, "name", json_string(step->name));
	put(d, "document", document ? json_string(document) : json_null());
	put(d, "rule", json_string(step->rule));
	free(document);
	return d;
}

/* All VMs are made whole before one may run. */
static json_t *sequence(const struct tool_images *images)
{
	const struct plan_part parts[] = { plan_build, plan_start };
	json_t *list = new_array();

	for (size_t p = 0; p < 2; p++)
		for (size_t v = 0; v < images->n; v++)
			for (size_t i = parts[p].first; i < parts[p].first + parts[p].nr; i++)
				if (plan_applies(&plan_restore[i], images->vms[v]))
					add(list, describe(images->vms[v], &plan_restore[i]));
	return list;
}

static void print_as_json(json_t *list)
{
	json_t *d = new_versioned("criu-kvm-plan", "1.0");

	put(d, "steps", json_incref(list));
	print_json(d);
	json_decref(d);
}

static void print_steps(json_t *list)
{
	int64_t vm = 0;
	json_t *step;
	size_t i;

	json_array_foreach(list, i, step) {
		if (get_number(step, "vm") != vm) {
			vm = get_number(step, "vm");
			printf("%sVM %" PRId64 "\n", i ? "\n" : "", vm);
		}
		printf("  %2" PRId64 "  %-29s %s\n", get_number(step, "step"), get_text(step, "name"),
		       get_text(step, "rule"));
	}
}

int cmd_plan(int argc, char **argv)
{
	const struct tool_options o = {
		.usage = usage, .options = options, .take = take, .nr_args = 1, .max_args = 1
	};
	struct tool_images images;
	json_t *list;
	int status;

	if (tool_parse(argc, argv, &o, &status))
		return status;
	if (tool_read(argv[optind], &images))
		return TOOL_TROUBLE;
	list = sequence(&images);
	tool_free(&images);
	if (as_json)
		print_as_json(list);
	else
		print_steps(list);
	json_decref(list);
	return TOOL_YES;
}
