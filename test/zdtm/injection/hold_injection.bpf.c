// SPDX-License-Identifier: GPL-2.0-only
/*
 * Holds the kernel worker that injects an irqfd's interrupt, in the middle of its work: it is on its way into
 * kvm_set_irq(), which irqfds alone call. A program may not sleep there: it spins, with interrupts on.
 */
#include "kernel_types.h"

#include <bpf/bpf_helpers.h>

#define LIMIT_NS 20000000000ull /* beyond it the kernel complains of the CPU */
#define MANY (1u << 20)

char _license[] SEC("license") = "GPL";

unsigned int gsi; /* whose injections are held */
volatile bool release;
volatile bool held; /* one was */

static unsigned long long until;

static long spin(__u32 i, void *unused)
{
	return release || bpf_ktime_get_ns() > until;
}

static long spin_on(__u32 i, void *unused)
{
	bpf_loop(MANY, spin, NULL, 0);
	return release || bpf_ktime_get_ns() > until;
}

/* (struct kvm *kvm, int irq_source_id, u32 irq, int level, bool line_status) */
SEC("fentry/kvm_set_irq")
int hold(unsigned long long *args)
{
	if ((unsigned int)args[2] != gsi || held)
		return 0;
	until = bpf_ktime_get_ns() + LIMIT_NS;
	held = true;
	bpf_loop(MANY, spin_on, NULL, 0);
	return 0;
}
