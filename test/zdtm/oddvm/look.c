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
		same = same_page(vcpu, before, size) && odd_same_regs(vcpu->vm, vcpu->id, &regs);
	}
	free(regs.regs);
	free(before);
	return same;
}
