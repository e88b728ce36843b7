// SPDX-License-Identifier: GPL-2.0-only
/* criu-kvm check: whether this host can dump and restore VMs, and a process. */
#include <stdarg.h>
#include <stdlib.h>

#include "check.h"
#include "document.h"
#include "probe/kernel.h"

static const char usage[] =
	"usage: criu-kvm check [OPTION] [PID]\n\n"
	"Whether this host can dump and restore VMs; and, with PID, whether that process and those below it could be\n"
	"dumped, as far as is seen without stopping them. To be run as the user that runs criu, which is root.\n\n"
	"  --libdir DIR   where criu is told to look for plugins\n"
	"  --json         the answers, for programs\n"
	"  -v, --verbose\n"
	"  -h, --help\n\n"
	"Exit status: 0 yes; 1 no: something is missing; 2 usage; 3 something could not be found out.\n";

static const struct option options[] = {
	{ "libdir", required_argument, NULL, 'L' },
	{ "json", no_argument, NULL, 'j' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

struct check_options check_options;

static void take(int letter, const char *arg)
{
	if (letter == 'L')
		check_options.libdir = arg;
	else
		check_options.json = true;
}

static const struct {
	const char *name;
	void (*ask)(struct finding *f);
	bool of_process;
} checks[] = {
	{ "architecture", check_architecture, false },
	{ "criu", check_criu, false },
	{ "plugin", check_plugin, false },
	{ "other plugins", check_other_plugins, false },
	{ "KVM", check_kvm, false },
	{ "GIC", check_gic, false },
	{ "kernel", check_kernel, false },
	{ "BTF", check_btf, false },
	{ "lockdown", check_lockdown, false },
	{ "capabilities", check_capabilities, false },
	{ "BPF", check_bpf, false },
	{ "page size", check_page_size, false },
	{ "io_uring", check_io_uring, false },
	{ "process", check_process, true },
	{ "its io_uring", check_process_io_uring, true },
};
#define NR_CHECKS (sizeof(checks) / sizeof(checks[0]))

static const char *const answers[] = {
	[ANSWER_YES] = "yes", [ANSWER_WARN] = "warning", [ANSWER_NO] = "no", [ANSWER_UNKNOWN] = "unknown",
};

void answer(struct finding *f, enum answer answer, const char *advice, const char *format, ...)
{
	va_list args;

	f->answer = answer;
	f->advice = advice ? strdup(advice) : NULL;
	va_start(args, format);
	if (vasprintf(&f->found, format, args) < 0 || (advice && !f->advice))
		tool_no_memory();
	va_end(args);
}

static json_t *describe(size_t i, const struct finding *f)
{
	json_t *d = new_object();

	put(d, "name", json_string(checks[i].name));
	put(d, "answer", json_string(answers[f->answer]));
	put(d, "found", text(f->found));
	if (f->advice)
		put(d, "advice", text(f->advice));
	return d;
}

static json_t *ask_all(void)
{
	json_t *list = new_array();

	for (size_t i = 0; i < NR_CHECKS; i++) {
		struct finding f = { 0 };

		if (checks[i].of_process && !check_options.pid)
			continue;
		checks[i].ask(&f);
		add(list, describe(i, &f));
		free(f.found);
		free(f.advice);
	}
	return list;
}

static bool has_answer(json_t *list, enum answer wanted)
{
	json_t *check;
	size_t i;

	json_array_foreach(list, i, check)
		if (!strcmp(get_text(check, "answer"), answers[wanted]))
			return true;
	return false;
}

static void print_checks(json_t *list)
{
	json_t *check;
	size_t i;

	json_array_foreach(list, i, check) {
		printf("%-14s  %-8s    %s\n", get_text(check, "name"), get_text(check, "answer"), get_text(check, "found"));
		if (json_object_get(check, "advice"))
			printf("%28s%s\n", "-> ", get_text(check, "advice"));
	}
}

static void print_as_json(json_t *list)
{
	json_t *d = new_versioned("criu-kvm-check", "1.0");

	put(d, "checks", json_incref(list));
	print_json(d);
	json_decref(d);
}

static bool take_pid(const char *arg)
{
	char *end;
	long pid = strtol(arg, &end, 10);

	check_options.pid = pid;
	return end != arg && !*end && pid > 0 && pid == check_options.pid;
}

int cmd_check(int argc, char **argv)
{
	const struct tool_options o = { .usage = usage, .options = options, .take = take, .max_args = 1 };
	json_t *list;
	int status;

	if (tool_parse(argc, argv, &o, &status))
		return status;
	if (optind < argc && !take_pid(argv[optind])) {
		tool_error("check: %s is no pid", argv[optind]);
		return TOOL_USAGE;
	}
	list = ask_all();
	kernel_probe_unload();
	if (check_options.json)
		print_as_json(list);
	else
		print_checks(list);
	status = has_answer(list, ANSWER_NO) ? TOOL_NO : has_answer(list, ANSWER_UNKNOWN) ? TOOL_TROUBLE : TOOL_YES;
	json_decref(list);
	return status;
}
