/* SPDX-License-Identifier: GPL-2.0-only */
/* criu-kvm: what its subcommands have in common. */
#ifndef KVM_VGIC_TOOL_TOOL_H
#define KVM_VGIC_TOOL_TOOL_H

enum {
	TOOL_YES = 0,
	TOOL_NO = 1, /* what was asked is not so */
	TOOL_USAGE = 2,
	TOOL_TROUBLE = 3, /* it could not be found out, or done */
};

/* argv[0] is the subcommand's name. They return the exit status. */
int cmd_recover(int argc, char **argv);

/* An error on stderr, as "criu-kvm: ...". */
void tool_error(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

#endif
