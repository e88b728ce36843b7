/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The devices: sequence registers per vCPU, and interrupt sources. A source
 * sends its next interrupt only after the guest said DONE to the last one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm.h"

/* clang-format off */
static const char *const subject_names[NR_SUBJECTS] = {
	[SUBJ_TIMER] = "timer interrupt",
	[SUBJ_SGI] = "SGI",
	[SUBJ_EDGE] = "edge SPI",
	[SUBJ_LEVEL] = "level SPI",
	[SUBJ_ROUTE] = "route of an SPI",
	[SUBJ_MMIO_READ] = "MMIO read",
	[SUBJ_MMIO_WRITE] = "MMIO write",
	[SUBJ_MEMORY] = "memory",
	[SUBJ_GPR] = "general register",
	[SUBJ_FP] = "FP register",
	[SUBJ_SYSREG] = "system register",
	[SUBJ_GIC] = "GIC register",
	[SUBJ_CLOCK] = "counter",
	[SUBJ_INTERRUPT] = "interrupt",
	[SUBJ_EXCEPTION] = "exception",
	[SUBJ_LPI] = "LPI by INT",
	[SUBJ_MSI] = "LPI by MSI",
	[SUBJ_LPI_ROUTE] = "route of an LPI",
	[SUBJ_ITS] = "ITS register",
	[SUBJ_VMM] = "unknown report",
};
/* clang-format on */

void devices_init(struct vmm *vmm)
{
	/* Two of each kind, in different words of the GIC's registers. */
	static const unsigned int intid[VM_NR_SOURCES] = { 40, 41, 100, 119 };
	unsigned int i;

	for (i = 0; i < VM_NR_SOURCES; i++) {
		vmm->source[i].intid = vmm->stats->source[i].intid = intid[i];
		vmm->stats->source[i].level = i % 2;
		vmm->source[i].level = i % 2;
		vmm->source[i].pause = 1 + i;
	}
}

static uint64_t cut(uint64_t v, unsigned int len)
{
	return len == 8 ? v : v & ((1ull << 8 * len) - 1);
}

static void wseq_write(struct vcpu *vcpu, uint64_t value, unsigned int len)
{
	struct vmm *vmm = vcpu->vmm;
	uint64_t want = ++vcpu->wseq;
	enum finding kind;

	vmm->stats->vcpu[vcpu->index].writes++;
	if (value == cut(want, len))
		return;
	if (value == cut(want - 1, len))
		kind = FOUND_DOUBLED;
	else if (value == cut(want + 1, len))
		kind = FOUND_LOST;
	else
		kind = FOUND_OUT_OF_ORDER;
	vmm_found(vmm, kind, SUBJ_MMIO_WRITE,
		  "vcpu %u (id %u): MMIO write of %u bytes: got 0x%llx, want 0x%llx", vcpu->index, vcpu->id,
		  len, (unsigned long long)value, (unsigned long long)cut(want, len));
	vcpu->wseq += value - cut(want, len);
}

static uint64_t rseq_read(struct vcpu *vcpu)
{
	uint64_t count = vcpu->vmm->stats->vcpu[vcpu->index].reads++;

	if (inject_now(vcpu, INJECT_LOST_READ, count))
		return vcpu->rseq;
	if (inject_now(vcpu, INJECT_DOUBLE_READ, count))
		vcpu->rseq++;
	return ++vcpu->rseq;
}

static void file_report(struct vcpu *vcpu, uint64_t kind)
{
	uint64_t what = vcpu->report[0];

	if (kind >= NR_FINDINGS)
		kind = FOUND_UNEXPECTED;
	if (what >= NR_SUBJECTS)
		what = SUBJ_VMM;
	vmm_found(vcpu->vmm, kind, what, "the guest, vcpu %u (id %u): %s: got 0x%llx, want 0x%llx",
		  vcpu->index, vcpu->id, subject_names[what], (unsigned long long)vcpu->report[1],
		  (unsigned long long)vcpu->report[2]);
}

static uint64_t page_access(struct vcpu *vcpu, uint64_t reg, uint64_t value, unsigned int len, bool is_write)
{
	if (is_write && reg < DEV_RSEQ8) {
		uint64_t count = vcpu->vmm->stats->vcpu[vcpu->index].writes;

		if (inject_now(vcpu, INJECT_LOST_WRITE, count))
			return 0;
		if (inject_now(vcpu, INJECT_DOUBLE_WRITE, count))
			wseq_write(vcpu, value, len);
		wseq_write(vcpu, value, len);
	} else if (!is_write && ((reg >= DEV_RSEQ8 && reg < DEV_ERR_WHAT) || reg == DEV_RSEQ_HOLD)) {
		if (reg == DEV_RSEQ_HOLD)
			inject_gpr(vcpu);
		return rseq_read(vcpu);
	} else if (is_write && reg >= DEV_ERR_WHAT && reg < DEV_ERR_KIND) {
		vcpu->report[(reg - DEV_ERR_WHAT) / 8] = value;
	} else if (is_write && reg == DEV_ERR_KIND) {
		file_report(vcpu, value);
	} else {
		vmm_found(vcpu->vmm, FOUND_UNEXPECTED, SUBJ_VMM,
			  "vcpu %u (id %u): access to device register 0x%llx", vcpu->index, vcpu->id,
			  (unsigned long long)reg);
	}
	return 0;
}

/* Each of CLEAR and DONE must come once per interrupt and name it. */
static void source_step(struct vcpu *vcpu, struct source *s, volatile uint64_t *step, uint64_t seq,
			const char *name)
{
	if (seq == (uint32_t)s->sent && *step + 1 == s->sent) {
		*step = s->sent;
		return;
	}
	vmm_found(vcpu->vmm, *step == s->sent ? FOUND_DOUBLED : FOUND_OUT_OF_ORDER,
		  s->level ? SUBJ_LEVEL : SUBJ_EDGE,
		  "vcpu %u (id %u): %s of SPI %u: got 0x%llx, last sent 0x%llx", vcpu->index, vcpu->id, name,
		  s->intid, (unsigned long long)seq, (unsigned long long)s->sent);
}

static uint64_t source_access(struct vcpu *vcpu, uint64_t offset, uint64_t value, bool is_write)
{
	struct source *s = &vcpu->vmm->source[offset / VM_SRC_SIZE];
	struct vmm_vcpu_stats *stats = &vcpu->vmm->stats->vcpu[vcpu->index];
	uint64_t reg = offset % VM_SRC_SIZE;

	if (is_write)
		stats->src_writes++;
	else
		stats->src_reads++;
	if (!is_write && reg == SRC_SEQ)
		return s->sent;
	if (is_write && reg == SRC_CLEAR) {
		gic_set_line(vcpu->vmm, s->intid, 0);
		source_step(vcpu, s, &s->cleared, value, "CLEAR");
	} else if (is_write && reg == SRC_DONE) {
		source_step(vcpu, s, &s->done, value, "DONE");
		vcpu->vmm->stats->source[s - vcpu->vmm->source].done++;
	} else {
		vmm_found(vcpu->vmm, FOUND_UNEXPECTED, SUBJ_VMM,
			  "vcpu %u (id %u): access to source register 0x%llx", vcpu->index, vcpu->id,
			  (unsigned long long)offset);
	}
	return 0;
}

void device_access(struct vcpu *vcpu, uint64_t addr, void *data, unsigned int len, bool is_write)
{
	uint64_t page = VM_DEV_BASE + vcpu->index * VM_DEV_SIZE;
	uint64_t value = 0;

	if (is_write)
		memcpy(&value, data, len);
	if (addr >= page && addr < page + VM_DEV_SIZE)
		value = page_access(vcpu, addr - page, value, len, is_write);
	else if (addr >= VM_SRC_BASE && addr < VM_SRC_BASE + VM_NR_SOURCES * VM_SRC_SIZE)
		value = source_access(vcpu, addr - VM_SRC_BASE, value, is_write);
	else
		vmm_found(vcpu->vmm, FOUND_UNEXPECTED, SUBJ_VMM, "vcpu %u (id %u): MMIO at 0x%llx",
			  vcpu->index, vcpu->id, (unsigned long long)addr);
	if (!is_write)
		memcpy(data, &value, len);
}

static bool inject_here(struct vmm *vmm, struct source *s, enum inject edge, enum inject level)
{
	if (vmm->config.inject != (s->level ? level : edge) || s->sent < 10 || s->injected)
		return false;
	s->injected = true;
	return true;
}

static void raise_line(struct vmm *vmm, struct source *s)
{
	gic_set_line(vmm, s->intid, 1);
	if (!s->level)
		gic_set_line(vmm, s->intid, 0);
}

static void send(struct vmm *vmm, struct source *s)
{
	s->waiting = 0;
	s->pause = 1 + rand() % 6;
	if (inject_here(vmm, s, INJECT_DOUBLE_EDGE, INJECT_DOUBLE_LEVEL)) {
		raise_line(vmm, s);
		/* No more of this source: the next would merge with it. */
		s->pause = -1;
		return;
	}
	s->sent++;
	vmm->stats->source[s - vmm->source].sent++;
	if (!inject_here(vmm, s, INJECT_LOST_EDGE, INJECT_LOST_LEVEL))
		raise_line(vmm, s);
}

/* Time is counted in ticks of this thread: it must not pass while the process is frozen or gone. */
static void source_tick(struct vmm *vmm, struct source *s)
{
	const unsigned int limit = vmm->config.limit_s * (1000000 / DEVICE_TICK_US);

	if (s->done != s->sent) {
		if (++s->waiting == limit)
			vmm_found(vmm, FOUND_LOST, s->level ? SUBJ_LEVEL : SUBJ_EDGE,
				  "SPI %u number %llu was sent and not taken", s->intid,
				  (unsigned long long)s->sent);
	} else if (vmm->device_stop || (vmm->config.inject == INJECT_SILENT && !s->level)) {
		return;
	} else if (s->pause-- == 0) {
		send(vmm, s);
	}
}

bool devices_idle(struct vmm *vmm)
{
	unsigned int i;

	for (i = 0; i < VM_NR_SOURCES; i++)
		if (vmm->source[i].done != vmm->source[i].sent)
			return false;
	return lpi_idle(vmm);
}

void *device_thread(void *arg)
{
	const struct timespec tick = { .tv_nsec = DEVICE_TICK_US * 1000 };
	struct vmm *vmm = arg;
	unsigned int i;

	while (!vmm->device_stop || (!devices_idle(vmm) && !vmm_found_any(vmm))) {
		for (i = 0; i < VM_NR_SOURCES; i++)
			source_tick(vmm, &vmm->source[i]);
		lpi_tick(vmm);
		nanosleep(&tick, NULL);
	}
	return NULL;
}
