/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The verdict at the end: what one side sent the other side took, each kind
 * happened at all, and the VM was going on when it was asked to stop.
 */
#include <stdio.h>

#include "vmm.h"

static struct guest_cpu_stats snapshot[VM_MAX_VCPUS];

/* Of all vCPUs: an LPI goes where it was moved to. */
static bool lpis_moved(struct vmm *vmm)
{
	uint64_t lpis = 0, msis = 0;
	unsigned int i;

	for (i = 0; i < vmm->config.nr_vcpus; i++) {
		lpis += vmm->guest->cpu[i].lpi_taken - snapshot[i].lpi_taken;
		msis += vmm->guest->cpu[i].msi_taken - snapshot[i].msi_taken;
	}
	return !vmm->config.nr_itses || (lpis && msis);
}

static bool all_moved(struct vmm *vmm)
{
	unsigned int i;

	if (vmm_found_any(vmm))
		return true;
	if (!lpis_moved(vmm))
		return false;
	for (i = 0; i < vmm->config.nr_vcpus; i++) {
		volatile struct guest_cpu_stats *now = &vmm->guest->cpu[i];

		if (now->ticks_taken == snapshot[i].ticks_taken || now->sgi_taken == snapshot[i].sgi_taken ||
		    now->reads == snapshot[i].reads || now->writes == snapshot[i].writes ||
		    now->loops == snapshot[i].loops)
			return false;
	}
	return true;
}

/* Whatever happened to the process before: every vCPU still does everything. */
int verdict_progress(struct vmm *vmm)
{
	unsigned int i;

	for (i = 0; i < VM_MAX_VCPUS; i++)
		snapshot[i] = vmm->guest->cpu[i];
	if (vmm_wait(vmm, all_moved, 2 * vmm->config.limit_s))
		return vmm_found_any(vmm) ? -1 : 0;
	vmm_found(vmm, FOUND_LOST, SUBJ_VMM, "some vCPU does not go on");
	return -1;
}

/* None at all fails too: a kind that did not happen was not tested. */
int verdict_compare(struct vmm *vmm, enum subject what, const char *name, uint64_t sent, uint64_t taken)
{
	enum finding kind = !sent ? FOUND_UNEXPECTED : sent > taken ? FOUND_LOST : FOUND_DOUBLED;

	if (sent == taken && sent)
		return 0;
	vmm_found(vmm, kind, what, "%s: %llu sent, %llu taken", name, (unsigned long long)sent,
		  (unsigned long long)taken);
	return -1;
}

static int compare_vcpu(struct vmm *vmm, unsigned int i)
{
	volatile struct guest_cpu_stats *guest = &vmm->guest->cpu[i];
	struct vmm_vcpu_stats *host = &vmm->stats->vcpu[i];
	unsigned int kind;
	int ret;

	ret = verdict_compare(vmm, SUBJ_TIMER, "timer interrupts of a vCPU", guest->ticks_armed, guest->ticks_taken);
	ret |= verdict_compare(vmm, SUBJ_MMIO_READ, "MMIO reads of a vCPU", guest->reads, host->reads);
	ret |= verdict_compare(vmm, SUBJ_MMIO_WRITE, "MMIO writes of a vCPU", guest->writes, host->writes);
	if (guest->irq_reads != host->src_reads || guest->irq_writes != host->src_writes) {
		vmm_found(vmm, FOUND_UNEXPECTED, SUBJ_MMIO_READ, "vcpu %u: accesses in the handler differ",
			  i);
		ret = -1;
	}
	/* The guest's own count, in case a report did not get through. */
	for (kind = 0; kind < NR_FINDINGS; kind++)
		if (guest->found[kind]) {
			vmm_found(vmm, kind, SUBJ_VMM, "vcpu %u: the guest counts %llu", i,
				  (unsigned long long)guest->found[kind]);
			ret = -1;
		}
	return ret;
}

int verdict_totals(struct vmm *vmm)
{
	uint64_t sgi_sent = 0, sgi_taken = 0, edge = 0, level = 0, sent[2] = { 0 };
	unsigned int i;
	int ret = 0;

	for (i = 0; i < vmm->config.nr_vcpus; i++) {
		sgi_sent += vmm->guest->cpu[i].sgi_sent;
		sgi_taken += vmm->guest->cpu[i].sgi_taken;
		edge += vmm->guest->cpu[i].edge_taken;
		level += vmm->guest->cpu[i].level_taken;
		ret |= compare_vcpu(vmm, i);
	}
	for (i = 0; i < VM_NR_SOURCES; i++)
		sent[vmm->source[i].level] += vmm->stats->source[i].sent;
	ret |= verdict_compare(vmm, SUBJ_SGI, "SGIs", sgi_sent, sgi_taken);
	ret |= verdict_compare(vmm, SUBJ_EDGE, "edge SPIs", sent[0], edge);
	ret |= verdict_compare(vmm, SUBJ_LEVEL, "level SPIs", sent[1], level);
	if (vmm->config.nr_itses)
		ret |= lpi_verdict(vmm);
	return ret;
}
