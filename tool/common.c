// SPDX-License-Identifier: GPL-2.0-only
/* Options, images, messages: see tool.h. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "tool.h"
#include "verify.h"

bool tool_verbose;

/* ---- messages ---- */

void tool_no_memory(void)
{
	fputs("criu-kvm: no memory\n", stderr);
	exit(TOOL_TROUBLE);
}

char *tool_escape(const char *text)
{
	char *escaped = malloc(4 * strlen(text) + 1), *at = escaped;

	if (!escaped)
		tool_no_memory();
	for (; *text; text++) {
		unsigned char c = *text;

		if (c == '\\')
			at += sprintf(at, "\\\\");
		else if (c < ' ' || c > '~')
			at += sprintf(at, "\\x%02x", c);
		else
			*at++ = c;
	}
	*at = 0;
	return escaped;
}

/* Kept errors. */
static struct {
	bool on;
	char *text;
	size_t size;
	FILE *stream;
} kept;

void tool_log_keep(void)
{
	kept.stream = open_memstream(&kept.text, &kept.size);
	if (!kept.stream)
		tool_no_memory();
	kept.on = true;
}

char *tool_log_take(void)
{
	kept.on = false;
	if (fclose(kept.stream))
		tool_no_memory();
	return kept.text;
}

static void tell(const char *format, va_list args, FILE *to, const char *before)
{
	char *line, *escaped;

	if (vasprintf(&line, format, args) < 0)
		tool_no_memory();
	line[strcspn(line, "\n")] = 0;
	escaped = tool_escape(line);
	fprintf(to, "%s%s\n", before, escaped);
	free(escaped);
	free(line);
}

void tool_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell(format, args, stderr, "criu-kvm: ");
	va_end(args);
}

/* CRIU's, for the plugin's code: the line behind "Error (file.c:12): kvm_vgic: " is what the user is told. */
void print_on_level(unsigned int level, const char *format, ...)
{
	const char *prefix = strstr(format, LOG_PREFIX);
	static const char *const before[] = { [LOG_ERROR] = "criu-kvm: ",
					      [LOG_WARN] = "criu-kvm: warning: ",
					      [LOG_INFO] = "criu-kvm: info: " };
	char *line, *text, *escaped;
	va_list args;

	if (level > LOG_INFO || (level > LOG_WARN && !tool_verbose) || (kept.on && level != LOG_ERROR))
		return;
	va_start(args, format);
	if (vasprintf(&line, format, args) < 0)
		tool_no_memory();
	va_end(args);
	text = prefix ? strstr(line, LOG_PREFIX) + strlen(LOG_PREFIX) : line;
	text[strcspn(text, "\n")] = 0;
	if (kept.on) {
		fprintf(kept.stream, "%s%s", ftell(kept.stream) ? "; " : "", text);
	} else {
		escaped = tool_escape(text);
		fprintf(stderr, "%s%s\n", before[level], escaped);
		free(escaped);
	}
	free(line);
}

int tool_end(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	tool_error("stdout: %s", strerror(errno));
	return TOOL_TROUBLE;
}

/* ---- options ---- */

static int wrong_usage(const char *command, const char *what)
{
	tool_error("%s: %s, see criu-kvm %s --help", command, what, command);
	return TOOL_USAGE;
}

int tool_parse(int argc, char **argv, const struct tool_options *o, int *status)
{
	int letter;

	optind = 1;
	opterr = 0;
	while ((letter = getopt_long(argc, argv, "hv", o->options, NULL)) != -1) {
		switch (letter) {
		case 'h':
			fputs(o->usage, stdout);
			*status = TOOL_YES;
			return -1;
		case 'v':
			tool_verbose = true;
			break;
		case '?':
			*status = wrong_usage(argv[0], "an option that it has not, or one without its value");
			return -1;
		default:
			o->take(letter, optarg);
		}
	}
	if (argc - optind >= o->nr_args && argc - optind <= o->max_args)
		return 0;
	*status = wrong_usage(argv[0], argc - optind < o->nr_args ? "an argument is missing" : "too many arguments");
	return -1;
}

/* ---- images ---- */

int tool_read(const char *dir, struct tool_images *images)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret;

	*images = (struct tool_images){ 0 };
	if (fd < 0) {
		tool_error("%s: %s", dir, strerror(errno));
		return -EIO;
	}
	ret = verify_images(fd, &images->vms, &images->n, &images->files);
	if (ret == -ENOENT)
		tool_error("%s: no kvm-vm.img: no dump of a VM", dir);
	close(fd);
	return ret;
}

void tool_free(struct tool_images *images)
{
	image_free_all(images->vms, images->n, &images->files);
}
