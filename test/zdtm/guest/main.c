/* SPDX-License-Identifier: GPL-2.0-only */
/* The loop of a vCPU, the drain at the end, and the report of a finding. */
#include "guest.h"

#define PSCI_CPU_OFF	0x84000002
#define PSCI_CPU_ON	0xc4000003
#define PSCI_SYSTEM_OFF 0x84000008
#define PSCI_ALREADY_ON (-4)

void guest_main(u64 index);
void guest_irq(void);
void guest_fatal(void);

struct cpu cpus[VM_MAX_VCPUS];

static u64 psci(u64 function, u64 arg1, u64 arg2, u64 arg3)
{
	register u64 x0 asm("x0") = function;
	register u64 x1 asm("x1") = arg1;
	register u64 x2 asm("x2") = arg2;
	register u64 x3 asm("x3") = arg3;

	asm volatile("hvc #0"
		     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
		     :
		     : "memory", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
		       "x16", "x17");
	return x0;
}

u64 rnd(struct cpu *c, u64 n)
{
	c->rng ^= c->rng << 13;
	c->rng ^= c->rng >> 7;
	c->rng ^= c->rng << 17;
	return (c->rng >> 11) % n;
}

void report(enum finding kind, enum subject what, u64 got, u64 want)
{
	struct cpu *c = this_cpu();
	u64 daif = irq_save();

	c->stats->found[kind]++;
	mmio_write64(c->dev + DEV_ERR_WHAT, what);
	mmio_write64(c->dev + DEV_ERR_GOT, got);
	mmio_write64(c->dev + DEV_ERR_WANT, want);
	mmio_write64(c->dev + DEV_ERR_KIND, kind);
	irq_restore(daif);
}

void spend(u64 usec)
{
	u64 until = counter() + read_sysreg(cntfrq_el0) * usec / 1000000;

	while (counter() < until)
		;
}

/*
 * How long this vCPU has waited, of the time that it was seen to run: each step counts 20 ms at
 * most. When the host lets all of the VM stand still for seconds nothing is lost by that.
 */
u64 patience_of(struct cpu *c)
{
	u64 now = counter(), passed = now - c->patience_at, most = read_sysreg(cntfrq_el0) / 50;

	c->patience_at = now;
	c->patience += passed < most ? passed : most;
	return c->patience;
}

void guest_fatal(void)
{
	report(FOUND_UNEXPECTED, SUBJ_EXCEPTION, read_sysreg(esr_el1), read_sysreg(elr_el1));
	for (;;)
		guest_wfi();
}

void guest_irq(void)
{
	struct cpu *c = this_cpu();
	u64 intid = gic_acknowledge(c);

	if (intid == 1023)
		return;
	if (intid < VM_MAX_VCPUS)
		sgi_irq(c, intid);
	else if (intid == VM_INTID_VTIMER)
		timer_irq(c);
	else if (intid >= VM_FIRST_LPI ? lpi_irq(c, intid) : spi_irq(c, intid))
		return; /* it ended the interrupt itself */
	gic_eoi(c, intid);
}

/*
 * Sleep until some interrupt; one that came before the WFI ends it at once.
 * In the drain the timer may have been the last there is.
 */
static void wait_for_interrupt(struct cpu *c)
{
	u64 daif = irq_save();

	dsb();
	if (c->armed)
		guest_wfi();
	c->stats->wfi++;
	irq_restore(daif);
}

/* The main loop's clock. Every look at it is checked: a loop that waits would hide a step back. */
static u64 now(struct cpu *c)
{
	u64 count = counter();

	if (count < c->last_count)
		report(FOUND_CORRUPT, SUBJ_CLOCK, count, c->last_count);
	c->last_count = count;
	c->stats->cntvct = count;
	return count;
}

/* One of the things a vCPU can be doing when the world stops. */
static void one_phase(struct cpu *c)
{
	u64 until = now(c) + read_sysreg(cntfrq_el0) * (1 + rnd(c, 4)) / 1000;
	u64 phase = rnd(c, 8);

	do {
		switch (phase) {
		case 0 ... 1:
			mmio_read_step(c);
			break;
		case 2 ... 3:
			mmio_write_step(c);
			break;
		case 4:
			mmio_hold_step(c);
			break;
		case 5:
			spend(200 + rnd(c, 1000));
			break;
		default:
			wait_for_interrupt(c);
		}
	} while (now(c) < until);
}

/*
 * vCPU 0's part of a nap, see nap(). It remembers which one it has ended: the
 * vCPU can be off for the next time before this one runs again.
 */
static void end_nap(void)
{
	static u64 ended;
	struct cpu *c = &cpus[params->nr_vcpus - 1];
	u64 this_nap;
	int ret;

	if (!c->nap_until || counter() < c->nap_until || c->stats->naps == ended)
		return;
	this_nap = c->stats->naps;
	ret = psci(PSCI_CPU_ON, affinity_of(c->index), (u64)_start, c->index);
	if (ret == PSCI_ALREADY_ON)
		return;
	if (ret)
		report(FOUND_UNEXPECTED, SUBJ_EXCEPTION, ret, PSCI_CPU_ON);
	ended = this_nap;
}

static void wait_until_idle(struct cpu *c)
{
	while (c->armed || !sgi_all_taken(c)) {
		sgi_check(c);
		timer_check(c);
		if (c->index == 0)
			end_nap();
		if (c->stats->found[FOUND_LOST])
			break;
	}
}

/*
 * The last vCPU turns itself off now and then and starts from the beginning:
 * a dump finds it stopped, with interrupts for it pending.
 */
static void nap(struct cpu *c)
{
	c->napping = 1;
	wait_until_idle(c);
	irq_save();
	c->stats->naps++;
	c->nap_until = counter() + read_sysreg(cntfrq_el0) * (5 + rnd(c, 50)) / 1000;
	dsb();
	psci(PSCI_CPU_OFF, 0, 0, 0);
}

static void run(struct cpu *c)
{
	struct cpu *last = &cpus[params->nr_vcpus - 1];

	while (!params->drain) {
		if (params->inject == INJECT_EXCEPTION && c->stats->loops == 30)
			asm volatile("udf #0");
		sgi_send_some(c);
		lpi_step(c);
		one_phase(c);
		sgi_check(c);
		timer_check(c);
		lpi_check(c);
		state_check(c);
		if (c->stats->loops % 32 == 31)
			gic_check(c);
		c->stats->loops++;
		if (c->index == 0)
			end_nap();
		/* A vCPU 0 that waits for what a fault has lost could not end a nap: an SPI would be lost first. */
		else if (c == last && params->inject == INJECT_NONE && rnd(c, 16) == 0)
			nap(c);
	}
}

/* Nothing new is sent; all that is under way must still arrive. */
static void drain(struct cpu *c)
{
	wait_until_idle(c);
	while (!lpi_drained(c) && !c->stats->found[FOUND_LOST]) {
		lpi_check(c);
		if (c->index == 0)
			end_nap();
	}
	state_check(c);
	gic_check(c);
	dsb();
	c->stats->finished = 1;
}

static int all_finished(void)
{
	u64 i;

	for (i = 0; i < params->nr_vcpus; i++)
		if (!cpus[i].stats || !cpus[i].stats->finished)
			return 0;
	return 1;
}

static void start_others(void)
{
	u64 i;

	for (i = 1; i < params->nr_vcpus; i++)
		if (psci(PSCI_CPU_ON, affinity_of(i), (u64)_start, i))
			report(FOUND_UNEXPECTED, SUBJ_EXCEPTION, i, PSCI_CPU_ON);
}

static void cpu_init(struct cpu *c, u64 index)
{
	struct guest_stats *stats = (struct guest_stats *)VM_STATS_BASE;
	register u64 sp asm("sp");

	c->index = index;
	c->stack_top = sp;
	c->rng = counter() ^ (0x9e3779b97f4a7c15 * (index + 1));
	c->dev = VM_DEV_BASE + index * VM_DEV_SIZE;
	c->eoimode = index & 1;
	c->nap_until = 0;
	dsb();
	c->napping = 0;
	c->stats = &stats->cpu[index];
	write_sysreg(c, tpidr_el1);
}

void guest_main(u64 index)
{
	struct cpu *c = &cpus[index];

	cpu_init(c, index);
	if (index == 0) {
		gic_init_dist();
		spi_init();
		lpi_init();
	}
	gic_init_cpu(c);
	state_init(c);
	timer_arm(c);
	irq_enable();
	if (index == 0)
		start_others();
	run(c);
	drain(c);
	while (!all_finished()) {
		if (index == 0)
			end_nap();
		spend(1000);
	}
	irq_save();
	if (index == 0)
		psci(PSCI_SYSTEM_OFF, 0, 0, 0);
	psci(PSCI_CPU_OFF, 0, 0, 0);
}
