/* SPDX-License-Identifier: GPL-2.0-only */
/* criu-kvm: what its subcommands have in common. */
#ifndef KVM_VGIC_TOOL_TOOL_H
#define KVM_VGIC_TOOL_TOOL_H

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "image/image.h"
#include "log.h"

/* Exit status: docs/man/criu-kvm.1. */
enum {
	TOOL_YES = 0,
	TOOL_NO = 1,	  /* what was asked is not so: images that are refused, a difference, a host that cannot */
	TOOL_USAGE = 2,
	TOOL_TROUBLE = 3, /* it could not be found out */
};

/* argv[0] is the subcommand's name. They return the exit status. */
int cmd_check(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_recover(int argc, char **argv);

/*
 * Reads the options of a subcommand: @flags of one letter are told to @take, with their argument. 0: go on, with
 * @nr arguments behind optind; else *@status is the exit status. @usage is for --help and for errors.
 */
struct tool_options {
	const char *usage;
	const struct option *options;
	void (*take)(int letter, const char *arg);
	int nr_args; /* at least; */
	int max_args;
};
int tool_parse(int argc, char **argv, const struct tool_options *o, int *status);

/* The images of a folder. */
struct tool_images {
	struct vm_state **vms;
	size_t n;
	struct image_files files;
};
/* As a restore would read them. 0 or a negative errno, told on stderr: -ENOENT where no VM was dumped, -EINVAL where they
 * are refused. */
int tool_read(const char *dir, struct tool_images *images);
void tool_free(struct tool_images *images);

/* An error on stderr, as "criu-kvm: ..."; control characters and all but ASCII are escaped. */
void tool_error(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));
/* Without memory there is nothing to tell. */
void tool_no_memory(void) __attribute__((__noreturn__));
/* @status; where stdout has failed, the trouble that is, told on stderr. */
int tool_end(int status);

/*
 * @text for a terminal, in JSON and in graphs, to be freed: printable ASCII, every other byte as \xNN, a
 * backslash as \\. Images come from anywhere.
 */
char *tool_escape(const char *text);

/* What the plugin's code logs goes to stderr: errors; with @verbose the rest too. */
extern bool tool_verbose;
/* Until tool_log_take() errors are kept instead. */
void tool_log_keep(void);
/* Those that were kept, as the images have them and not escaped, to be freed: "one; another"; "" for none. */
char *tool_log_take(void);

#endif
