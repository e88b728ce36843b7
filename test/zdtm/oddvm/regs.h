/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All registers of a vCPU, as KVM_GET_REG_LIST names them: filled, saved, and compared with what
 * they are after a restore. The vCPU is out of KVM_RUN.
 */
#ifndef ODD_REGS_H
#define ODD_REGS_H

#include "oddvm.h"

#define ODD_REG_MAX	256	/* bytes: a vector register */

struct odd_reg {
	uint64_t id;
	uint8_t value[ODD_REG_MAX];
};

struct odd_regs {
	struct odd_reg *regs;
	size_t nr;
	uint64_t when;		/* the host's counter */
	size_t equal;		/* how many odd_same_regs() found so, bit by bit */
	uint64_t but;		/* the one register at which odd_same_regs() does not look; 0: at all */
};

/*
 * Gives each register a value of its own, where KVM takes one: a pattern, or else what it holds with one bit changed.
 * @takes: which registers; all, and with them the VM's counters, where it is NULL. The number of
 * registers that changed, or -1.
 */
int odd_fill_regs(struct odd_vm *vm, unsigned int i, bool (*takes)(uint64_t id));

/* 0, or -1 with errno set. */
int odd_save_regs(struct odd_vm *vm, unsigned int i, struct odd_regs *saved);

/* The same list, and every register equal but for what exempt[] in regs.c says; else odd_found() of the first. */
bool odd_same_regs(struct odd_vm *vm, unsigned int i, struct odd_regs *saved);

/* Says in the test's output which registers of @saved may differ, and why. */
void odd_print_exempt(const struct odd_regs *saved);

bool odd_is_sve(uint64_t id);

#endif /* ODD_REGS_H */
