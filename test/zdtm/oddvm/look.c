/* SPDX-License-Identifier: GPL-2.0-only */
/* See look.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "look.h"
#include "regs.h"

#define HOLD_NS 3000000
#define MDCCINT_EL1 ARM64_SYS_REG(2, 0, 0, 2, 0)

/*
 * KVM saves it after each run of a vCPU under guest debugging, and a replay is one. QEMU 7.2 seems to have no
 * such register: a read gave what the general register held before, a pointer of the kernel's.
 */
static void leave_out_mdccint(struct odd_vcpu *vcpu, struct odd_regs *regs)
{
	size_t i;

	for (i = 0; i < regs->nr; i++)
		if (regs->regs[i].id == MDCCINT_EL1)
			odd_get_reg(vcpu->vm, vcpu->id, MDCCINT_EL1, (uint64_t *)regs->regs[i].value);
}

static bool same_page(struct odd_vcpu *vcpu, const uint8_t *before, size_t size)
{
	const uint8_t *page = (uint8_t *)vcpu->run;
	char text[64];
	size_t i;

	for (i = 0; i < size && page[i] == before[i]; i++)
		;
	if (i == size)
		return true;
	snprintf(text, sizeof(text), "vcpu %u: kvm_run has changed by itself, from byte", vcpu->id);
	odd_found(vcpu->vm, text, i);
	return false;
}

bool odd_hold(struct odd_vcpu *vcpu, uint8_t fill)
{
	const struct timespec pause = { .tv_nsec = HOLD_NS };
	size_t size = sysconf(_SC_PAGESIZE), head = sizeof(*vcpu->run);
	uint8_t *page = (uint8_t *)vcpu->run, *before = malloc(size);
	struct odd_regs regs = { 0 };
	bool same = false;

	if (!before || odd_save_regs(vcpu->vm, vcpu->id, &regs)) {
		odd_found(vcpu->vm, "a vCPU cannot be looked at: errno", errno);
	} else {
		memset(page + head, fill, size - head);
		memcpy(before, page, size);
		nanosleep(&pause, NULL);
		leave_out_mdccint(vcpu, &regs);
		same = same_page(vcpu, before, size) && odd_same_regs(vcpu->vm, vcpu->id, &regs);
	}
	free(regs.regs);
	free(before);
	return same;
}
