/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State that only this vCPU writes, and that must therefore be what it last
 * wrote: system registers, FP registers, a number kept in each of the three
 * kinds of memory.
 */
#include "guest.h"

#define NR_MEMORIES	3

static u64 memory_base(struct cpu *c, u64 n)
{
	static const u64 base[NR_MEMORIES] = {
		VM_CODE_BASE + VM_CODE_SIZE / 2,
		VM_MAIL_BASE + VM_MAIL_SIZE / 2,
		VM_STATS_BASE + VM_STATS_SIZE / 2,
	};
	return base[n] + c->index * 0x10000;
}

/* A walk through the page leaves the numbers of the last 512 rounds in it. */
static volatile u64 *memory_slot(struct cpu *c, u64 n, u64 round)
{
	return (u64 *)memory_base(c, n) + round * 37 % 8192;
}

static void memory_check(struct cpu *c)
{
	u64 round = c->stats->loops, n;

	for (n = 0; n < NR_MEMORIES; n++) {
		if (round && *memory_slot(c, n, round - 1) != (round - 1) * (n + 3))
			report(FOUND_CORRUPT, SUBJ_MEMORY, *memory_slot(c, n, round - 1), (round - 1) * (n + 3));
		if (round >= 512 && *memory_slot(c, n, round - 512) != (round - 512) * (n + 3))
			report(FOUND_CORRUPT, SUBJ_MEMORY, *memory_slot(c, n, round - 512), (round - 512) * (n + 3));
	}
	for (n = 0; n < NR_MEMORIES; n++)
		*memory_slot(c, n, round) = round * (n + 3);
	if (params->inject == INJECT_MEMORY && round == 30)
		*memory_slot(c, 1, round) ^= 1ull << 40;
}

#define EACH_SYSREG(f)							\
	f(tpidr_el0) f(tpidrro_el0) f(tpidr_el1) f(contextidr_el1)	\
	f(vbar_el1) f(ttbr0_el1) f(ttbr1_el1) f(mair_el1) f(amair_el1)	\
	f(tcr_el1) f(sctlr_el1) f(cpacr_el1) f(sp_el0) f(fpcr) f(fpsr)	\
	f(csselr_el1) f(mpidr_el1) f(midr_el1) f(cntkctl_el1)		\
	f(cntfrq_el0) f(afsr0_el1) f(afsr1_el1) f(far_el1) f(esr_el1)	\
	EACH_GIC_SYSREG(f)

#ifdef GUEST_GICV2
#define EACH_GIC_SYSREG(f)		/* those are in memory: gic_v2.c */
#else
#define EACH_GIC_SYSREG(f)						\
	f(S3_0_C4_C6_0)		/* ICC_PMR */				\
	f(S3_0_C12_C8_3)	/* ICC_BPR0 */				\
	f(S3_0_C12_C9_0)	/* ICC_AP1R0 */				\
	f(S3_0_C12_C12_3)	/* ICC_BPR1 */				\
	f(S3_0_C12_C12_4)	/* ICC_CTLR */				\
	f(S3_0_C12_C12_5)	/* ICC_SRE */				\
	f(S3_0_C12_C12_7)	/* ICC_IGRPEN1 */
#endif

static u64 sysreg_snapshot(u64 *first)
{
	u64 *v = first;

#define ONE(reg) *v++ = read_sysreg(reg);
	EACH_SYSREG(ONE)
#undef ONE
	return v - first;
}

static void sysreg_check(struct cpu *c)
{
	u64 now[NR_SAVED_SYSREGS];
	u64 i, n = sysreg_snapshot(now);

	for (i = 0; i < n; i++)
		if (now[i] != c->sysreg[i]) {
			report(FOUND_CORRUPT, SUBJ_SYSREG, now[i], c->sysreg[i]);
			c->sysreg[i] = now[i];
		}
}

static void fp_check(struct cpu *c)
{
	u64 bad = fp_differs(c->fp_seed);

	if (bad)
		report(FOUND_CORRUPT, SUBJ_FP, bad, c->fp_seed);
	c->fp_seed = c->rng;
	fp_fill(c->fp_seed);
}

void state_init(struct cpu *c)
{
	u64 mark = 0x1010101010101010 * (c->index + 1);

	write_sysreg(mark ^ 0x11, tpidr_el0);
	write_sysreg(mark ^ 0x22, tpidrro_el0);
	write_sysreg(mark ^ 0x33, sp_el0);
	write_sysreg(mark ^ 0x44, far_el1);
	write_sysreg((mark ^ 0x55) & 0xffffffff, contextidr_el1);
	write_sysreg(0x3000000, fpcr);		/* DN, FZ */
	write_sysreg(0x800001f, fpsr);		/* QC and the exception flags */
	write_sysreg(0x56000000 | c->index, esr_el1);
	isb();
	sysreg_snapshot(c->sysreg);
	c->fp_seed = c->rng;
	fp_fill(c->fp_seed);
}

void state_check(struct cpu *c)
{
	sysreg_check(c);
	fp_check(c);
	memory_check(c);
}
