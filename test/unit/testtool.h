/* SPDX-License-Identifier: GPL-2.0-only */
/* criu-kvm's tool_error() for tests: keeps what was told last. */
#ifndef KVM_VGIC_TEST_TOOL_H
#define KVM_VGIC_TEST_TOOL_H

void tool_reset(void);
/* Errors since tool_reset(). */
unsigned int tool_errors(void);
/* The last of them, or "". */
const char *tool_told(void);

#endif
