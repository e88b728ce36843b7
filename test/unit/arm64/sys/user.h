/* SPDX-License-Identifier: GPL-2.0-only */
/* As arm64's own, for a test that is compiled for the machine that it is built on. */
#ifndef KVM_VGIC_TEST_SYS_USER_H
#define KVM_VGIC_TEST_SYS_USER_H

struct user_regs_struct {
	unsigned long long regs[31], sp, pc, pstate;
};

#endif
