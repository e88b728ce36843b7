/* SPDX-License-Identifier: GPL-2.0-only */
/* criu's print_on_level() for tests: keeps what was said last. KVM_VGIC_TEST_LOG=1 shows all of it. */
#ifndef KVM_VGIC_TEST_LOG_H
#define KVM_VGIC_TEST_LOG_H

#include <stdbool.h>

void log_reset(void);
/* Errors since log_reset(). */
unsigned int log_errors(void);
/* The last error, without criu's prefix, the plugin's name and the newline. */
const char *log_error(void);
/* Whether one of them has @text in it. */
bool log_has(const char *text);
/* Whether an info line since log_reset() has. */
bool log_told(const char *text);

#endif
