/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two vCPUs with a PMU of fewer counters than the host's, and an event filter: one event is counted exactly by
 * the guest itself (SW_INCR), one is filtered, cycles go on, and a counter that overflows raises its interrupt
 * while interrupts are masked. Now and then a vCPU asks the VMM something, who takes his time: a dump that
 * finds it there has a read to complete on a vCPU whose PMU counts.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "zdtmtst.h"
#include "guest.h"
#include "oddvm.h"

const char *test_doc = "Performance counters of a KVM guest\n";
const char *test_author = "The kvm-vgic authors";

static int deny_cycles;
TEST_OPTION(deny_cycles, bool, "the filter denies cycles, too", 0);

#define PPI		23
#define SPARED		2 /* counters of the host that the VM does not have */

/* Counters: what they count. */
#define SW		0 /* SW_INCR */
#define FILTERED	1
#define OVERFLOW	2 /* SW_INCR, up to 2^32 */
#define CYCLES		31

#define SW_INCR		0x00
#define CPU_CYCLES	0x11
#define STALL_FRONTEND	0x23

#define PMCR_E		(1u << 0)
#define PMCR_P		(1u << 1)
#define PMCR_C		(1u << 2)
#define PMCR_LC		(1u << 6)
#define PMCR_N(pmcr)	((pmcr) >> 11 & 0x1f)

#define MARK		0x5eed1234 /* of a counter that stands still */

/* A register for each vCPU: reads as the number of the read times FACTOR. */
#define ASK		(ODD_DEV_BASE + 0x400)
#define FACTOR		0x9e3779b97f4a7c15
#define ANSWER_NS	30000000

struct pmu_guest {
	struct guest g;
	uint64_t deny_cycles, nr_counters, ceid[2];
	uint64_t increments, cycles;
	volatile uint64_t overflows, taken, rounds;
	uint64_t asked;
};

enum {
	SAY_N = 1,
	SAY_CEID,
	SAY_SW,
	SAY_FILTERED,
	SAY_CYCLES,
	SAY_STANDS,
	SAY_OVERFLOW,
	SAY_EARLY,
	SAY_LOST,
	SAY_INTID,
	SAY_NO_OVERFLOW,
	SAY_ANSWER
};
const char *const guest_says[] = {
	[SAY_N] = "PMCR_EL0.N",
	[SAY_CEID] = "another PMCEID0_EL0 or PMCEID1_EL0: is, was",
	[SAY_SW] = "SW_INCR: is, counted by the guest",
	[SAY_FILTERED] = "the counter of a filtered event: is, was",
	[SAY_CYCLES] = "the cycle counter goes back: is, was",
	[SAY_STANDS] = "the cycle counter: is, was",
	[SAY_OVERFLOW] = "an overflow: PMOVSSET_EL0, counter",
	[SAY_EARLY] = "overflow interrupts: taken, overflows before this one",
	[SAY_LOST] = "overflow interrupts: taken, overflows",
	[SAY_INTID] = "an interrupt that is not the PMU's",
	[SAY_NO_OVERFLOW] = "an interrupt without overflow: PMOVSSET_EL0",
	[SAY_ANSWER] = "an answer to another question: is, was to be",
};

/* --- in the guest --- */

GUEST static void expect(struct pmu_guest *p, uint64_t what, uint64_t is, uint64_t want)
{
	if (is != want)
		guest_report(&p->g, what, is, want);
}

GUEST static void irq(struct guest *g, struct guest_frame *frame)
{
	struct pmu_guest *p = (struct pmu_guest *)g;
	uint32_t intid = guest_acknowledge();

	if (intid != PPI) {
		guest_report(g, SAY_INTID, intid, PPI);
		return;
	}
	if (read_sysreg(pmovsset_el0) != 1u << OVERFLOW)
		guest_report(g, SAY_NO_OVERFLOW, read_sysreg(pmovsset_el0), 1u << OVERFLOW);
	write_sysreg(1u << OVERFLOW, pmovsclr_el0);
	isb();
	p->taken++;
	guest_eoi(intid);
}

GUEST static void set_up(struct pmu_guest *p)
{
	guest_gic_init(&p->g, 1u << PPI);
	p->ceid[0] = read_sysreg(pmceid0_el0);
	p->ceid[1] = read_sysreg(pmceid1_el0);
	write_sysreg(PMCR_P | PMCR_C | PMCR_LC, pmcr_el0);
	write_sysreg(SW_INCR, pmevtyper0_el0);
	write_sysreg(p->deny_cycles ? CPU_CYCLES : STALL_FRONTEND, pmevtyper1_el0);
	write_sysreg(MARK, pmevcntr1_el0);
	write_sysreg(SW_INCR, pmevtyper2_el0);
	write_sysreg(0, pmccfiltr_el0);
	write_sysreg(MARK, pmccntr_el0);
	p->cycles = MARK;
	write_sysreg(~0u, pmovsclr_el0);
	write_sysreg(1u << OVERFLOW, pmintenset_el1);
	write_sysreg(1u << SW | 1u << FILTERED | 1u << OVERFLOW | 1u << CYCLES, pmcntenset_el0);
	write_sysreg(PMCR_E | PMCR_LC, pmcr_el0);
	isb();
}

GUEST static void check_cycles(struct pmu_guest *p)
{
	uint64_t now = read_sysreg(pmccntr_el0);

	if (p->deny_cycles)
		expect(p, SAY_STANDS, now, MARK);
	else if (now < p->cycles)
		guest_report(&p->g, SAY_CYCLES, now, p->cycles);
	p->cycles = now;
}

GUEST static void check(struct pmu_guest *p)
{
	unsigned int n;

	expect(p, SAY_N, PMCR_N(read_sysreg(pmcr_el0)), p->nr_counters);
	expect(p, SAY_CEID, read_sysreg(pmceid0_el0), p->ceid[0]);
	expect(p, SAY_CEID, read_sysreg(pmceid1_el0), p->ceid[1]);
	for (n = 0; n < 3; n++) {
		write_sysreg(1u << SW, pmswinc_el0);
		expect(p, SAY_SW, (uint32_t)read_sysreg(pmevcntr0_el0), (uint32_t)++p->increments);
	}
	expect(p, SAY_FILTERED, read_sysreg(pmevcntr1_el0), MARK);
	check_cycles(p);
}

GUEST static void rest(struct pmu_guest *p)
{
	uint64_t spin;

	for (spin = 0; spin < 100000; spin++)
		asm volatile("");
	guest_progress(&p->g, ODD_STEP);
}

/* Interrupts are masked: one is pending from now on. */
GUEST static void overflow(struct pmu_guest *p)
{
	write_sysreg(0xffffffff, pmevcntr2_el0);
	write_sysreg(1u << OVERFLOW, pmswinc_el0);
	p->overflows++;
	isb();
}

GUEST static void check_pending(struct pmu_guest *p)
{
	if (read_sysreg(pmovsset_el0) != 1u << OVERFLOW || (uint32_t)read_sysreg(pmevcntr2_el0))
		guest_report(&p->g, SAY_OVERFLOW, read_sysreg(pmovsset_el0), read_sysreg(pmevcntr2_el0));
	expect(p, SAY_EARLY, p->taken, p->overflows - 1);
}

/* It is taken, and not once more. */
GUEST static void take(struct pmu_guest *p)
{
	unsigned int n;

	irq_unmask();
	for (n = 0; n < 100000 && p->taken != p->overflows; n++)
		asm volatile("");
	expect(p, SAY_LOST, p->taken, p->overflows);
	rest(p);
	expect(p, SAY_LOST, p->taken, p->overflows);
	irq_mask();
}

GUEST static void ask(struct pmu_guest *p)
{
	uint64_t answer = mmio_read64(ASK + 8 * p->g.id);

	p->asked++;
	expect(p, SAY_ANSWER, answer, p->asked * FACTOR);
}

GUEST static void run(struct guest *g)
{
	struct pmu_guest *p = (struct pmu_guest *)g;

	set_up(p);
	for (;;) {
		uint64_t cycles = p->cycles;

		check(p);
		ask(p);
		rest(p);
		overflow(p);
		check_pending(p);
		rest(p);
		check_pending(p);
		take(p);
		check_cycles(p);
		if (!p->deny_cycles && p->cycles == cycles)
			guest_report(g, SAY_STANDS, p->cycles, cycles);
		p->rounds++;
	}
}

/* --- in the VMM --- */

static struct odd_vm vm;
static uint64_t answered[ODD_NR_VCPUS];

static bool serve(struct odd_vcpu *vcpu)
{
	const struct timespec while_asked = { .tv_nsec = ANSWER_NS };
	struct kvm_run *run = vcpu->run;
	uint64_t answer;

	if (run->exit_reason != KVM_EXIT_MMIO || run->mmio.is_write || run->mmio.phys_addr != ASK + 8 * vcpu->id)
		return guest_exit(vcpu);
	nanosleep(&while_asked, NULL);
	answer = ++answered[vcpu->id] * FACTOR;
	memcpy(run->mmio.data, &answer, sizeof(answer));
	return true;
}

/*
 * The first range decides what becomes of events that no range names: it allows, so they are denied. The guest
 * sees the filter in PMCEID0_EL0 and PMCEID1_EL0.
 */
static int set_filter(void)
{
	struct kvm_pmu_event_filter filter[] = {
		{ .base_event = 0x08, .nevents = 0x20, .action = KVM_PMU_EVENT_ALLOW },
		{ .base_event = STALL_FRONTEND, .nevents = 1, .action = KVM_PMU_EVENT_DENY },
		{ .base_event = CPU_CYCLES, .nevents = 1, .action = KVM_PMU_EVENT_DENY },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(filter) - !deny_cycles; i++)
		if (odd_set_attr(vm.vcpu[0].fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_FILTER, &filter[i]))
			return -1;
	return 0;
}

/* Fewer counters than the host has: PMCR_EL0.N is the VMM's choice until a vCPU has run. */
static int set_nr_counters(unsigned int i)
{
	const uint64_t id = ARM64_SYS_REG(3, 3, 9, 12, 0);
	struct pmu_guest *p = guest_cpu(&vm, i);
	uint64_t pmcr;

	if (odd_get_reg(&vm, i, id, &pmcr))
		return -1;
	p->nr_counters = PMCR_N(pmcr);
	if (!i && p->nr_counters >= OVERFLOW + 1 + SPARED)
		p->nr_counters -= SPARED;
	pmcr = (pmcr & ~(0x1full << 11)) | p->nr_counters << 11;
	if (odd_set_reg(&vm, i, id, pmcr) || odd_get_reg(&vm, i, id, &pmcr))
		return -1;
	errno = EINVAL;
	return PMCR_N(pmcr) == p->nr_counters ? 0 : -1;
}

static int init_pmu(unsigned int i)
{
	int irq = PPI;

	return odd_set_attr(vm.vcpu[i].fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, &irq) ||
	       odd_set_attr(vm.vcpu[i].fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, NULL) ||
	       set_nr_counters(i) ? -1 : 0;
}

static int set_guest(unsigned int i)
{
	struct pmu_guest *p = guest_cpu(&vm, i);

	p->deny_cycles = deny_cycles;
	if (odd_init_vcpu(&vm, i) || guest_set(&vm, i, run))
		return -1;
	p->g.handler[GUEST_IRQ] = guest_address(irq);
	return 0;
}

static int create_vm(void)
{
	unsigned int i;

	vm.features = 1u << KVM_ARM_VCPU_PMU_V3;
	vm.exit = serve;
	if (guest_create_vcpus(&vm, ODD_NR_VCPUS, set_guest) || set_filter())
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (init_pmu(i))
			return -1;
	return odd_start_all(&vm);
}

/* All of it again, on every vCPU. */
static bool checked_all(void)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++) {
		const struct pmu_guest *p = guest_cpu(&vm, i);

		if (!guest_counts(&vm, &p->rounds, 2, "no progress: checks of the counters"))
			return false;
		test_msg("vcpu %u: %llu counters, %llu increments, %llu overflow interrupts, %llu cycles\n", i,
			 (unsigned long long)p->nr_counters, (unsigned long long)p->increments,
			 (unsigned long long)p->taken, (unsigned long long)p->cycles);
	}
	return true;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (!guest_set_up(&vm, KVM_CAP_ARM_PMU_V3, "PMU", create_vm))
		return 1;

	test_daemon();
	test_waitsig();

	return guest_verdict(&vm, checked_all());
}
