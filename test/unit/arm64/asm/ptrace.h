/* SPDX-License-Identifier: GPL-2.0-only */
/* As arm64's own, for a test that is compiled for the machine that it is built on. */
#ifndef KVM_VGIC_TEST_ASM_PTRACE_H
#define KVM_VGIC_TEST_ASM_PTRACE_H

#include <stdint.h>

struct user_sve_header {
	uint32_t size, max_size;
	uint16_t vl, max_vl, flags, reserved;
};

#define SVE_PT_REGS_MASK 1
#define SVE_PT_REGS_SVE 1

#endif
