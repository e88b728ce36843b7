// SPDX-License-Identifier: GPL-2.0-only
/* criu-kvm diff: the documents of two dumps, field by field. */
#include <stdlib.h>

#include "document.h"

static const char usage[] =
	"usage: criu-kvm diff [OPTION] DIR1 DIR2\n\n"
	"Lists what differs between the VMs of two dumps, a line for each field: its path, and both values. The fields\n"
	"are those of criu-kvm show --json.\n\n"
	"  --json         the same, for programs\n"
	"  -v, --verbose\n"
	"  -h, --help\n\n"
	"Exit status: 0 they are the same; 1 they differ; 2 usage; 3 one of them could not be read.\n";

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

/* By what an entry of a list is known in the other dump; of other lists it is the place. */
static const struct {
	const char *list;
	const char *key;
} identities[] = {
	{ "vms", "id" },
	{ "vcpus", "idx" },
	{ "memslots", "slot" },
	{ "itses", "index" },
	{ "collections", "icid" },
	{ "devices", "device_id" },
	{ "events", "event_id" },
	{ "level1", "index" },
	{ "lpis", "intid" },
	{ "files", "id" },
	{ "threads", "tid" },
	{ "routes", "gsi" },
};

/* Interrupts are told apart by more: a private one is its vCPU's. */
static char *irq_name(json_t *irq)
{
	const char *kind = get_text(irq, "kind");
	char *name;
	int ret;

	if (!strcmp(kind, "SPI") || !strcmp(kind, "LPI"))
		ret = asprintf(&name, "%s %" PRId64, kind, get_number(irq, "intid"));
	else
		ret = asprintf(&name, "%s %" PRId64 " of vCPU %" PRId64, kind, get_number(irq, "intid"),
			       get_number(irq, "vcpu"));
	if (ret < 0)
		tool_no_memory();
	return name;
}

static char *entry_name(const char *list, json_t *entry, size_t place)
{
	char *name;

	if (!strcmp(list, "interrupts"))
		return irq_name(entry);
	for (size_t i = 0; i < sizeof(identities) / sizeof(identities[0]); i++)
		if (!strcmp(list, identities[i].list) && json_object_get(entry, identities[i].key)) {
			if (asprintf(&name, "%" PRId64, get_number(entry, identities[i].key)) < 0)
				tool_no_memory();
			return name;
		}
	if (asprintf(&name, "%zu", place) < 0)
		tool_no_memory();
	return name;
}

/* Of @list's entries, by name; a name that is there twice has its place behind it. */
static json_t *by_name(const char *list, json_t *array)
{
	json_t *index = new_object(), *entry;
	size_t i;

	json_array_foreach(array, i, entry) {
		char *name = entry_name(list, entry, i), *more;

		if (json_object_get(index, name)) {
			if (asprintf(&more, "%s, place %zu", name, i) < 0)
				tool_no_memory();
			free(name);
			name = more;
		}
		put(index, name, json_incref(entry));
		free(name);
	}
	return index;
}

static void differs(json_t *found, const char *path, json_t *a, json_t *b)
{
	json_t *entry = new_object();

	put(entry, "path", json_string(path));
	if (a)
		put(entry, "from", json_incref(a));
	if (b)
		put(entry, "to", json_incref(b));
	add(found, entry);
}

static void compare(json_t *found, const char *path, const char *key, json_t *a, json_t *b);

static void compare_member(json_t *found, const char *path, bool of_list, const char *key, json_t *a, json_t *b)
{
	char *inner;

	if (asprintf(&inner, of_list ? "%s[%s]" : *path ? "%s.%s" : "%s%s", path, key) < 0)
		tool_no_memory();
	compare(found, inner, key, a, b);
	free(inner);
}

static void compare_members(json_t *found, const char *path, bool of_list, json_t *a, json_t *b)
{
	const char *key;
	json_t *value;

	json_object_foreach(a, key, value)
		compare_member(found, path, of_list, key, value, json_object_get(b, key));
	json_object_foreach(b, key, value)
		if (!json_object_get(a, key))
			compare_member(found, path, of_list, key, NULL, value);
}

static void compare_lists(json_t *found, const char *path, const char *key, json_t *a, json_t *b)
{
	json_t *x = by_name(key, a), *y = by_name(key, b);

	compare_members(found, path, true, x, y);
	json_decref(x);
	json_decref(y);
}

static void compare(json_t *found, const char *path, const char *key, json_t *a, json_t *b)
{
	if (a && b && json_equal(a, b))
		return;
	if (json_is_object(a) && json_is_object(b))
		compare_members(found, path, false, a, b);
	else if (json_is_array(a) && json_is_array(b))
		compare_lists(found, path, key, a, b);
	else
		differs(found, path, a, b);
}

static void print_as_json(json_t *list)
{
	json_t *d = new_versioned("criu-kvm-diff", "1.0");

	put(d, "differences", json_incref(list));
	print_json(d);
	json_decref(d);
}

/* As JSON, but for strings; "-" for what is not there. */
static char *value_text(json_t *value)
{
	char *text;

	if (!value)
		text = strdup("-");
	else if (json_is_string(value))
		text = strdup(json_string_value(value));
	else
		text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
	if (!text)
		tool_no_memory();
	return text;
}

static void print_differences(json_t *list)
{
	json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry) {
		char *from = value_text(json_object_get(entry, "from")), *to = value_text(json_object_get(entry, "to"));

		printf("%s: %s -> %s\n", get_text(entry, "path"), from, to);
		free(from);
		free(to);
	}
}

static json_t *document_in(const char *dir)
{
	struct tool_images images;
	json_t *document;

	if (tool_read(dir, &images))
		return NULL;
	document = document_make(&images);
	tool_free(&images);
	return document;
}

int cmd_diff(int argc, char **argv)
{
	const struct tool_options o = {
		.usage = usage, .options = options, .take = take, .nr_args = 2, .max_args = 2
	};
	json_t *a, *b, *found;
	int status;

	if (tool_parse(argc, argv, &o, &status))
		return status;
	a = document_in(argv[optind]);
	b = document_in(argv[optind + 1]);
	if (!a || !b) {
		json_decref(a);
		json_decref(b);
		return TOOL_TROUBLE;
	}
	found = new_array();
	compare(found, "", "", a, b);
	json_decref(a);
	json_decref(b);
	if (as_json)
		print_as_json(found);
	else
		print_differences(found);
	status = json_array_size(found) ? TOOL_NO : TOOL_YES;
	json_decref(found);
	return status;
}
