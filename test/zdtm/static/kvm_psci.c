// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPUs in every power state that PSCI knows. vCPU 0 watches the others, and when it is told to wakes them:
 *   vCPU 1 was on, and has turned itself off (CPU_OFF);
 *   vCPU 2 is in CPU_SUSPEND, from which its timer wakes it again and again, and now an SGI;
 *   vCPU 3 was never on (KVM_ARM_VCPU_POWER_OFF);
 *   vCPU 4, with --system_suspend: SYSTEM_SUSPEND, which the VMM does with KVM_MP_STATE_SUSPENDED.
 * Nothing may wake them but that, and AFFINITY_INFO must tell the truth.
 */
#include <errno.h>
#include <linux/psci.h>
#include <sys/ioctl.h>
#include <time.h>

#include "zdtmtst.h"
#include "guest.h"

const char *test_doc = "A small KVM VM with vCPUs that are off, suspended, and not started yet\n";
const char *test_author = "The kvm-vgic authors";

static int system_suspend;
TEST_OPTION(system_suspend, int, "1: a vCPU in KVM_MP_STATE_SUSPENDED too (0)", 0);

enum { WATCHER, TURNED_OFF, SUSPENDED, NEVER_ON, SLEEPER, MAX_VCPUS };

#define SGI		3
#define TIMER		27		/* KVM's own choice for the virtual timer */
#define ALL_MASKED	0x3c0		/* DAIF */
#define ROUND(n)	((n) % 255 + 1)	/* in the lowest bits of a context: 0 is of a vCPU that PSCI has not started */

enum { NO_START = 1, BAD_CONTEXT, BAD_RESET, RAN_ON, BAD_POWER, BAD_ANSWER, NOT_WOKEN, STRANGE_WAKE, OTHER_INTERRUPT };
const char *const guest_says[] = {
	[NO_START] = "a vCPU that was turned on does not start: vCPU, round",
	[BAD_CONTEXT] = "a vCPU starts with another context: it has, it was given",
	[BAD_RESET] = "a vCPU starts with DAIF, MPIDR",
	[RAN_ON] = "a vCPU that was off, or suspended, goes on: what PSCI answered, how often it was turned on",
	[BAD_POWER] = "AFFINITY_INFO is wrong: of vCPU, what it says",
	[BAD_ANSWER] = "PSCI's answer is wrong: it is, it should be",
	[NOT_WOKEN] = "lost: an SGI to a vCPU that is suspended: it has taken, were sent",
	[STRANGE_WAKE] = "doubled: a vCPU that is suspended has taken more SGIs than were sent: taken, sent",
	[OTHER_INTERRUPT] = "an interrupt of no source: its INTID, nothing",
};

struct psci_guest {
	struct guest g;
	/* Of the watcher; lives/kvm_psci.py knows these two: how often it is to wake all, and has. */
	volatile uint64_t wanted, done;
	/* Of the others. */
	volatile uint64_t given;	/* its context, as the watcher has said */
	volatile uint64_t ons;		/* how often it came on */
	volatile uint64_t may_go_off;	/* this many times */
	volatile uint64_t sgis, sent;
	volatile uint64_t ticks, deadline;
	uint64_t nr_vcpus;
};

/* --- the guest --- */

GUEST static uint64_t count(void)
{
	isb();
	return read_sysreg(cntvct_el0);
}

/* 20 s in all, by the guest's counter. */
GUEST static int goes_by(struct psci_guest *p, uint64_t since)
{
	guest_progress(&p->g, 64);
	return count() - since < 20 * read_sysreg(cntfrq_el0);
}

GUEST static void irq(struct guest *g, struct guest_frame *frame)
{
	struct psci_guest *p = (struct psci_guest *)g;
	uint32_t id = guest_acknowledge();

	if (id == SGI) {
		if (++p->sgis > p->sent)
			guest_report(g, STRANGE_WAKE, p->sgis, p->sent);
	} else if (id == TIMER) {
		p->ticks++;
		write_sysreg(0, cntv_ctl_el0);
	} else {
		guest_report(g, OTHER_INTERRUPT, id, 0);
	}
	guest_eoi(id);
}

/* What is pending, and nothing later. */
GUEST static void take_interrupts(void)
{
	irq_unmask();
	isb();
	irq_mask();
}

GUEST static uint64_t power_of(unsigned int i)
{
	return guest_hvc(PSCI_0_2_FN64_AFFINITY_INFO, i, 0, 0);
}

GUEST static void expect_power(struct psci_guest *p, unsigned int i, uint64_t want)
{
	uint64_t power = power_of(i);

	if (power != want)
		guest_report(&p->g, BAD_POWER, i, power);
}

GUEST static void expect_answer(struct psci_guest *p, int64_t answer, int64_t want)
{
	if ((int32_t)answer != want)
		guest_report(&p->g, BAD_ANSWER, answer, want);
}

/* It announces it, and is off a little later. */
GUEST static void wait_off(struct psci_guest *p, unsigned int i)
{
	uint64_t since = count();

	while (power_of(i) != PSCI_0_2_AFFINITY_LEVEL_OFF)
		if (!goes_by(p, since)) {
			expect_power(p, i, PSCI_0_2_AFFINITY_LEVEL_OFF);
			return;
		}
}

GUEST static void turn_on(struct psci_guest *p, unsigned int i)
{
	struct psci_guest *other = guest_struct(i);
	uint64_t since = count(), ons = other->ons;

	other->given = (uint64_t)other | ROUND(p->done);
	dsb();
	expect_answer(p, guest_hvc(PSCI_0_2_FN64_CPU_ON, i, (uint64_t)guest_start, other->given), PSCI_RET_SUCCESS);
	while (other->ons == ons)
		if (!goes_by(p, since)) {
			guest_report(&p->g, NO_START, i, p->done);
			return;
		}
	expect_power(p, i, PSCI_0_2_AFFINITY_LEVEL_ON);
	expect_answer(p, guest_hvc(PSCI_0_2_FN64_CPU_ON, i, (uint64_t)guest_start, other->given),
		      PSCI_RET_ALREADY_ON);
	other->may_go_off++;
	wait_off(p, i);
}

GUEST static void wake(struct psci_guest *p, unsigned int i)
{
	struct psci_guest *other = guest_struct(i);
	uint64_t since = count();

	other->sent++;
	guest_send_sgi(SGI, i);
	while (other->sgis < other->sent)
		if (!goes_by(p, since)) {
			guest_report(&p->g, NOT_WOKEN, other->sgis, other->sent);
			return;
		}
}

GUEST static void watcher(struct guest *g)
{
	struct psci_guest *p = (struct psci_guest *)g;

	guest_gic_init(g, 0);
	wait_off(p, TURNED_OFF);
	for (;;) {
		expect_power(p, WATCHER, PSCI_0_2_AFFINITY_LEVEL_ON);
		expect_power(p, TURNED_OFF, PSCI_0_2_AFFINITY_LEVEL_OFF);
		expect_power(p, SUSPENDED, PSCI_0_2_AFFINITY_LEVEL_ON);
		expect_power(p, NEVER_ON, PSCI_0_2_AFFINITY_LEVEL_OFF);
		guest_progress(g, 64);
		if (p->done >= p->wanted)
			continue;
		turn_on(p, TURNED_OFF);
		turn_on(p, NEVER_ON);
		wake(p, SUSPENDED);
		if (p->nr_vcpus > SLEEPER)
			wake(p, SLEEPER);
		p->done++;
	}
}

/* vCPUs 1 and 3. */
GUEST static void comes_on(struct guest *g)
{
	struct psci_guest *p = (struct psci_guest *)g;
	uint64_t answer;

	if (g->context != p->given)
		guest_report(g, BAD_CONTEXT, g->context, p->given);
	if (read_sysreg(daif) != ALL_MASKED || (read_sysreg(mpidr_el1) & 0xff) != g->id)
		guest_report(g, BAD_RESET, read_sysreg(daif), read_sysreg(mpidr_el1));
	p->ons++;
	while (p->may_go_off < p->ons)
		guest_progress(g, 16);
	answer = guest_hvc(PSCI_0_2_FN_CPU_OFF, 0, 0, 0);
	guest_report(g, RAN_ON, answer, p->ons);
}

/* A suspended vCPU may wake for no reason (DEN0022, 5.4.4): it goes on only when an interrupt has come. */
GUEST static void suspends(struct guest *g)
{
	struct psci_guest *p = (struct psci_guest *)g;
	uint64_t before;

	guest_gic_init(g, 1u << SGI | 1u << TIMER);
	for (;;) {
		before = p->ticks;
		p->deadline = count() + read_sysreg(cntfrq_el0) / 20;
		write_sysreg(p->deadline, cntv_cval_el0);
		write_sysreg(1, cntv_ctl_el0);
		isb();
		while (p->ticks == before) {
			expect_answer(p, guest_hvc(PSCI_0_2_FN64_CPU_SUSPEND, 0, 0, 0), PSCI_RET_SUCCESS);
			take_interrupts();
		}
		guest_progress(g, ODD_STEP);
	}
}

/* The VMM lets it start again when an interrupt is pending, and not before. */
GUEST static void sleeps(struct guest *g)
{
	struct psci_guest *p = (struct psci_guest *)g;
	uint64_t answer;

	if (g->context != p->given)
		guest_report(g, BAD_CONTEXT, g->context, p->given);
	guest_gic_init(g, 1u << SGI);
	if (p->ons++) {
		take_interrupts();
		if (p->sgis + 1 != p->ons)
			guest_report(g, NOT_WOKEN, p->sgis, p->ons - 1);
	}
	p->given = (uint64_t)g | ROUND(p->ons);
	answer = guest_hvc(PSCI_1_0_FN64_SYSTEM_SUSPEND, (uint64_t)guest_start, p->given, 0);
	guest_report(g, RAN_ON, answer, p->ons);
}

/* --- the VMM --- */

static struct odd_vm vm;
static unsigned int nr_vcpus = SLEEPER;

static void (*const entries[MAX_VCPUS])(struct guest *g) = {
	[WATCHER] = watcher,
	[TURNED_OFF] = comes_on,
	[SUSPENDED] = suspends,
	[NEVER_ON] = comes_on,
	[SLEEPER] = sleeps,
};

static int set_state(struct odd_vcpu *vcpu, uint32_t state)
{
	struct kvm_mp_state s = { .mp_state = state };

	return ioctl(vcpu->fd, KVM_SET_MP_STATE, &s);
}

/* As the guest has asked for in x1 and x2. */
static int start_again(unsigned int i)
{
	uint64_t entry, context;

	return odd_get_reg(&vm, i, ODD_CORE(regs.regs[1]), &entry) ||
	       odd_get_reg(&vm, i, ODD_CORE(regs.regs[2]), &context) ||
	       odd_set_reg(&vm, i, ODD_CORE(regs.pc), entry) ||
	       odd_set_reg(&vm, i, ODD_CORE(regs.regs[0]), context) ||
	       set_state(&vm.vcpu[i], KVM_MP_STATE_RUNNABLE);
}

static bool serve_event(struct odd_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	int ret = -1;

	if (run->exit_reason != KVM_EXIT_SYSTEM_EVENT)
		return guest_exit(vcpu);
	if (run->system_event.type == KVM_SYSTEM_EVENT_SUSPEND)
		ret = set_state(vcpu, KVM_MP_STATE_SUSPENDED);
	else if (run->system_event.type == KVM_SYSTEM_EVENT_WAKEUP)
		ret = start_again(vcpu->id);
	if (ret)
		odd_found(&vm, "a system event that cannot be served:", run->system_event.type);
	return true;
}

static int enable_system_suspend(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ARM_SYSTEM_SUSPEND };

	if (!system_suspend)
		return 0;
	nr_vcpus = MAX_VCPUS;
	return ioctl(vm.vm_fd, KVM_ENABLE_CAP, &cap);
}

static int set_vcpu(unsigned int i)
{
	struct psci_guest *p = guest_cpu(&vm, i);

	vm.features = i == NEVER_ON ? 1u << KVM_ARM_VCPU_POWER_OFF : 0;
	p->nr_vcpus = nr_vcpus;
	/* These two are on from the start, and one of them goes off. */
	if (i == TURNED_OFF || i == SLEEPER)
		p->given = ODD_RAM_BASE + GUEST_CPU(i);
	p->may_go_off = i == TURNED_OFF;
	if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) || guest_set(&vm, i, entries[i]))
		return -1;
	p->g.handler[GUEST_IRQ] = guest_address(irq);
	return 0;
}

static int set_up(void)
{
	unsigned int i;

	if (odd_create(&vm) || odd_add_memory(&vm, 0) || enable_system_suspend())
		return -1;
	vm.exit = serve_event;
	for (i = 0; i < nr_vcpus; i++)
		if (set_vcpu(i))
			return -1;
	if (odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    odd_init_gic(&vm))
		return -1;
	for (i = 0; i < nr_vcpus; i++)
		if (odd_start(&vm, i))
			return -1;
	/* The others are off or asleep. */
	vm.stats->running = 1u << WATCHER | 1u << SUSPENDED;
	return odd_goes_on(&vm) ? 0 : -1;
}

static bool all_wake(void)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	struct psci_guest *watch = guest_cpu(&vm, WATCHER);
	unsigned int ticks;

	watch->wanted = watch->done + 2;
	for (ticks = 0; ticks < 12000 && watch->done < watch->wanted && !vm.stats->error[0]; ticks++)
		nanosleep(&tick, NULL);
	if (watch->done >= watch->wanted)
		return true;
	odd_found(&vm, "the watcher does not go on; rounds:", watch->done);
	return false;
}

static bool counts_agree(void)
{
	unsigned int i;

	for (i = TURNED_OFF; i < nr_vcpus; i++) {
		const struct psci_guest *p = guest_cpu(&vm, i);

		test_msg("vcpu %u: on %llu times, off %llu times; SGIs sent %llu, taken %llu; timer taken %llu times\n", i,
			 (unsigned long long)p->ons, (unsigned long long)p->may_go_off, (unsigned long long)p->sent,
			 (unsigned long long)p->sgis, (unsigned long long)p->ticks);
		if (p->sent != p->sgis || ((i == TURNED_OFF || i == NEVER_ON) && p->ons != p->may_go_off))
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (set_up()) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	errno = 0;
	if (!all_wake()) {
		fail("%s", vm.stats->error);
		return 1;
	}
	if (!odd_is_well(&vm))
		return 1;
	if (!counts_agree()) {
		fail("something was lost or doubled");
		return 1;
	}
	pass();
	return 0;
}
