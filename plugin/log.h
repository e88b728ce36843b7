/* SPDX-License-Identifier: GPL-2.0-only */
/* Log lines in CRIU's own style and levels, through the function that criu exports to plugins. */
#ifndef KVM_VGIC_LOG_H
#define KVM_VGIC_LOG_H

#include <errno.h>
#include <string.h>

#define LOG_ERROR 1
#define LOG_WARN 2
#define LOG_INFO 3
#define LOG_DEBUG 4

void print_on_level(unsigned int loglevel, const char *format, ...)
	__attribute__((__format__(__printf__, 2, 3)));

#define LOG_PREFIX "kvm_vgic: "
#define pr_err(fmt, ...)                                                                                     \
	print_on_level(LOG_ERROR, "Error (%s:%d): " LOG_PREFIX fmt, __FILE_NAME__, __LINE__, ##__VA_ARGS__)
#define pr_warn(fmt, ...)                                                                                    \
	print_on_level(LOG_WARN, "Warn  (%s:%d): " LOG_PREFIX fmt, __FILE_NAME__, __LINE__, ##__VA_ARGS__)
#define pr_info(fmt, ...) print_on_level(LOG_INFO, LOG_PREFIX fmt, ##__VA_ARGS__)
#define pr_debug(fmt, ...) print_on_level(LOG_DEBUG, LOG_PREFIX fmt, ##__VA_ARGS__)

#endif
