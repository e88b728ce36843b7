/* SPDX-License-Identifier: GPL-2.0-only */
/* A file system of one file, and the server of it. */
#ifndef ODD_FUSE_H
#define ODD_FUSE_H

#include <stdint.h>

#define FUSE_FILE	"ram"	/* in the folder that it is mounted on */

/* Mounts it on @folder: the fd to serve it by, or -1. */
int odd_fuse_mount(const char *folder);
/* Serves it: all zeros, of @size bytes. Does not return. */
void odd_fuse_serve(int fd, uint64_t size) __attribute__((noreturn));

#endif /* ODD_FUSE_H */
