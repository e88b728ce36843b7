/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Functions of libc that are points of fault.h wherever the plugin calls them. Included by the compiler's command line in a
 * build with the Meson option fault_points, so that no source has anything of it. A function that is not called
 * has failed with EIO, an allocation with ENOMEM.
 */
#ifndef KVM_VGIC_FAULT_SITES_H
#define KVM_VGIC_FAULT_SITES_H

#ifndef __ASSEMBLER__

/* First: the functions are declared there. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fault.h"

#define FAULT_FAILS(what) (fault_point(FAULT_REMOTE, __func__, __FILE_NAME__ ": " what) && (errno = EIO))

#define ptrace(request, ...) (FAULT_FAILS(#request) ? -1 : ptrace(request, __VA_ARGS__))
/* Not EIO, which says that nothing is mapped there. */
#define pread(...) (FAULT_FAILS("pread") ? (errno = ENOMEM, -1) : pread(__VA_ARGS__))
#define pwrite(...) (FAULT_FAILS("pwrite") ? (errno = ENOMEM, -1) : pwrite(__VA_ARGS__))
#define process_vm_readv(...) (FAULT_FAILS("process_vm_readv") ? -1 : process_vm_readv(__VA_ARGS__))
#define process_vm_writev(...) (FAULT_FAILS("process_vm_writev") ? -1 : process_vm_writev(__VA_ARGS__))
#define sendmsg(...) (FAULT_FAILS("sendmsg") ? -1 : sendmsg(__VA_ARGS__))
#define prlimit(...) (FAULT_FAILS("prlimit") ? -1 : prlimit(__VA_ARGS__))

/* What is as small as the compiler can see has no need to be tried. */
#define FAULT_IS_SMALL(size) (__builtin_constant_p(size) && (size) < 4096)
#define FAULT_NO_MEMORY(size)                                                                                \
	(!FAULT_IS_SMALL(size) && fault_point(FAULT_MEMORY, __func__, __FILE_NAME__) && (errno = ENOMEM))

#define malloc(size) (FAULT_NO_MEMORY(size) ? NULL : malloc(size))
#define calloc(n, size) (FAULT_NO_MEMORY((n) * (size)) ? NULL : calloc(n, size))
#define realloc(block, size) (FAULT_NO_MEMORY(size) ? NULL : realloc(block, size))
#define reallocarray(block, n, size) (FAULT_NO_MEMORY((n) * (size)) ? NULL : reallocarray(block, n, size))

#endif

#endif
