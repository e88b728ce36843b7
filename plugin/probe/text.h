/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file of /proc whose length the kernel bounds, all of it at once: the kernel makes up a page of it for each read(), and libc would
 * ask for less.
 */
#ifndef KVM_VGIC_PROBE_TEXT_H
#define KVM_VGIC_PROBE_TEXT_H

#include <stddef.h>
#include <sys/types.h>

struct text {
	char *at; /* with a 0 at its end; for free() */
	size_t size, room; /* bytes, without and with that and what is free */
};

/* In place of what @text had, {} at first; to be freed by text_free() whatever is returned. 0 or a negative errno. */
int text_read(int dirfd, const char *path, struct text *text);
void text_free(struct text *text);

/* /proc/@pid/@name likewise. A negative errno is logged, but for -ESRCH: @pid has ended. */
int proc_text(pid_t pid, const char *name, struct text *text);

/* What has failed with errno, when /proc/@pid/@what was read: that, logged likewise. */
int proc_failed(pid_t pid, const char *what);

#endif
