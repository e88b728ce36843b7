// SPDX-License-Identifier: GPL-2.0-only
/*
 * Three vCPUs, each with its virtual and its physical timer. At any moment one vCPU's are armed for
 * later, one's have fired but are masked (IMASK), and one's have fired and are not taken, for PSTATE.I is set.
 * They change roles in each round. Each timer's interrupt must come once, and not before its time.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <time.h>

#include "zdtmtst.h"
#include "guest.h"

const char *test_doc = "A small KVM VM with timers armed, masked, and fired but not taken\n";
const char *test_author = "The kvm-vgic authors";

static int offset;
TEST_OPTION(offset, int, "1: the VMM sets the guest's counters by KVM_ARM_SET_COUNTER_OFFSET (0)", 0);

#define NR_VCPUS	3

#define CTL_ENABLE	1
#define CTL_IMASK	2
#define CTL_ISTATUS	4
#define ISR_I		(1u << 7)

enum { VIRTUAL, PHYSICAL, NR_TIMERS };
enum { ARMED, MASKED, FIRED, NR_ROLES };

/* Not KVM's own choice, 27 and 30: a restore that leaves them to KVM is found. */
static const int intid[NR_TIMERS] = { 20, 21 };

enum { OTHER_INTERRUPT = 1, DOUBLED, EARLY, LATE, LOST, BACKWARD, BAD_CVAL, BAD_CTL, WITHDRAWN };
const char *const guest_says[] = {
	[OTHER_INTERRUPT] = "an interrupt that is none of a timer: its INTID, nothing",
	[DOUBLED] = "doubled: an interrupt of a timer that is not armed: its INTID, CTL",
	[EARLY] = "a timer interrupt before its time: counter, CVAL",
	[LATE] = "a timer interrupt too late: virtual counter, when it was due",
	[LOST] = "lost: a timer interrupt that does not come: virtual counter, when it was due",
	[BACKWARD] = "a counter goes backward: it is, it was",
	[BAD_CVAL] = "a timer's CVAL is not what was written: it is, it was",
	[BAD_CTL] = "a timer's CTL is not what was written: it is, it was",
	[WITHDRAWN] = "a timer interrupt is not pending any more: ISR_EL1, CTL",
};

struct timer {
	volatile uint64_t armed;	/* how often */
	volatile uint64_t taken;	/* its interrupts */
	volatile uint64_t cval, ctl;	/* what was written */
	volatile uint64_t due;		/* by the virtual counter */
	volatile uint64_t last;		/* its counter */
	uint64_t intid;
};

/* lives/kvm_timer.py knows it. */
struct timer_guest {
	struct guest g;
	uint64_t frequency, round, limit;	/* of the counters */
	struct timer timer[NR_TIMERS];
};

/* --- the guest --- */

GUEST static uint64_t counter_of(struct timer_guest *t, unsigned int which)
{
	uint64_t last = t->timer[which].last, now; /* in this order: an interrupt may come in between */

	isb();
	now = which == VIRTUAL ? read_sysreg(cntvct_el0) : read_sysreg(cntpct_el0);
	if (now < last)
		guest_report(&t->g, BACKWARD, now, last);
	t->timer[which].last = now;
	return now;
}

GUEST static void set_ctl(struct timer *timer, unsigned int which, uint64_t ctl)
{
	timer->ctl = ctl;
	if (which == VIRTUAL)
		write_sysreg(ctl, cntv_ctl_el0);
	else
		write_sysreg(ctl, cntp_ctl_el0);
	isb();
}

GUEST static void arm(struct timer_guest *t, unsigned int which, uint64_t due, uint64_t ctl)
{
	struct timer *timer = &t->timer[which];

	timer->due = due;
	timer->cval = which == VIRTUAL ? due :
					 due - counter_of(t, VIRTUAL) + counter_of(t, PHYSICAL);
	timer->armed++;
	if (which == VIRTUAL)
		write_sysreg(timer->cval, cntv_cval_el0);
	else
		write_sysreg(timer->cval, cntp_cval_el0);
	set_ctl(timer, which, ctl);
}

GUEST static uint64_t get_ctl(unsigned int which)
{
	return which == VIRTUAL ? read_sysreg(cntv_ctl_el0) : read_sysreg(cntp_ctl_el0);
}

GUEST static uint64_t get_cval(unsigned int which)
{
	return which == VIRTUAL ? read_sysreg(cntv_cval_el0) : read_sysreg(cntp_cval_el0);
}

GUEST static void take(struct timer_guest *t, unsigned int which)
{
	struct timer *timer = &t->timer[which];
	uint64_t now = counter_of(t, which);

	if (timer->armed == timer->taken)
		guest_report(&t->g, DOUBLED, timer->intid, get_ctl(which));
	else if (now < timer->cval)
		guest_report(&t->g, EARLY, now, timer->cval);
	else if (get_cval(which) != timer->cval)
		guest_report(&t->g, BAD_CVAL, get_cval(which), timer->cval);
	else if (counter_of(t, VIRTUAL) > timer->due + t->limit)
		guest_report(&t->g, LATE, counter_of(t, VIRTUAL), timer->due);
	timer->taken++;
	set_ctl(timer, which, 0);
}

GUEST static void irq(struct guest *g, struct guest_frame *frame)
{
	struct timer_guest *t = (struct timer_guest *)g;
	uint32_t id = guest_acknowledge();

	if (id == t->timer[VIRTUAL].intid)
		take(t, VIRTUAL);
	else if (id == t->timer[PHYSICAL].intid)
		take(t, PHYSICAL);
	else
		guest_report(g, OTHER_INTERRUPT, id, 0);
	guest_eoi(id);
}

/* Its interrupt may come now, and must. */
GUEST static void wait_taken(struct timer_guest *t, unsigned int which)
{
	struct timer *timer = &t->timer[which];

	while (timer->taken < timer->armed) {
		uint64_t now = counter_of(t, VIRTUAL);

		if (now > timer->due && now - timer->due > t->limit) {
			guest_report(&t->g, LOST, now, timer->due);
			return;
		}
		guest_progress(&t->g, 16);
	}
}

/* A timer that has fired and cannot be taken. */
GUEST static void check(struct timer_guest *t, unsigned int which)
{
	struct timer *timer = &t->timer[which];

	if (get_ctl(which) != (timer->ctl | CTL_ISTATUS))
		guest_report(&t->g, BAD_CTL, get_ctl(which), timer->ctl | CTL_ISTATUS);
	if (get_cval(which) != timer->cval)
		guest_report(&t->g, BAD_CVAL, get_cval(which), timer->cval);
}

GUEST static void role_armed(struct timer_guest *t, uint64_t end)
{
	arm(t, VIRTUAL, end, CTL_ENABLE);
	arm(t, PHYSICAL, end, CTL_ENABLE);
}

GUEST static void role_masked(struct timer_guest *t, uint64_t end)
{
	arm(t, VIRTUAL, counter_of(t, VIRTUAL), CTL_ENABLE | CTL_IMASK);
	arm(t, PHYSICAL, counter_of(t, VIRTUAL), CTL_ENABLE | CTL_IMASK);
	while (counter_of(t, VIRTUAL) < end) {
		check(t, VIRTUAL);
		check(t, PHYSICAL);
		guest_progress(&t->g, 16);
	}
	set_ctl(&t->timer[VIRTUAL], VIRTUAL, CTL_ENABLE);
	set_ctl(&t->timer[PHYSICAL], PHYSICAL, CTL_ENABLE);
}

/* Once it is pending it stays so. */
GUEST static void role_fired(struct timer_guest *t, uint64_t end)
{
	uint64_t pending = 0, isr;

	irq_mask();
	arm(t, VIRTUAL, counter_of(t, VIRTUAL), CTL_ENABLE);
	arm(t, PHYSICAL, counter_of(t, VIRTUAL), CTL_ENABLE);
	while (counter_of(t, VIRTUAL) < end || !pending) {
		check(t, VIRTUAL);
		check(t, PHYSICAL);
		isr = read_sysreg(isr_el1) & ISR_I;
		if (pending && !isr)
			guest_report(&t->g, WITHDRAWN, isr, get_ctl(VIRTUAL));
		pending = isr;
		guest_progress(&t->g, 16);
	}
	irq_unmask();
}

GUEST static void entry(struct guest *g)
{
	struct timer_guest *t = (struct timer_guest *)g;
	uint64_t round, end;

	guest_gic_init(g, 1u << t->timer[VIRTUAL].intid | 1u << t->timer[PHYSICAL].intid);
	irq_unmask();
	for (;;) {
		round = counter_of(t, VIRTUAL) / t->round;
		end = (round + 1) * t->round;
		if ((round + g->id) % NR_ROLES == ARMED)
			role_armed(t, end);
		else if ((round + g->id) % NR_ROLES == MASKED)
			role_masked(t, end);
		else
			role_fired(t, end);
		wait_taken(t, VIRTUAL);
		wait_taken(t, PHYSICAL);
	}
}

/* --- the VMM --- */

static struct odd_vm vm;

static struct timer *timer_of(unsigned int i, unsigned int which)
{
	struct timer_guest *t = guest_cpu(&vm, i);

	return &t->timer[which];
}

/* The guest's counters begin at a thousand seconds. */
static int set_offset(void)
{
	struct kvm_arm_counter_offset counter = { 0 };
	uint64_t frequency, now;

	if (!offset)
		return 0;
	asm("mrs %0, cntfrq_el0" : "=r"(frequency));
	asm volatile("mrs %0, cntvct_el0" : "=r"(now)); /* without an offset of the host's own: its physical one */
	counter.counter_offset = now - 1000 * frequency;
	return ioctl(vm.vm_fd, KVM_ARM_SET_COUNTER_OFFSET, &counter);
}

static int set_guest(unsigned int i)
{
	struct timer_guest *t = guest_cpu(&vm, i);
	unsigned int n;

	asm("mrs %0, cntfrq_el0" : "=r"(t->frequency));
	t->round = t->frequency / 10;
	t->limit = t->frequency * 20;
	for (n = 0; n < NR_TIMERS; n++)
		t->timer[n].intid = intid[n];
	if (guest_set(&vm, i, entry))
		return -1;
	t->g.handler[GUEST_IRQ] = guest_address(irq);
	return 0;
}

static int set_intid(unsigned int i, uint64_t attr, int id)
{
	return odd_set_attr(vm.vcpu[i].fd, KVM_ARM_VCPU_TIMER_CTRL, attr, &id);
}

static int set_vcpu(unsigned int i)
{
	return odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) ||
	       set_intid(i, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, intid[VIRTUAL]) ||
	       set_intid(i, KVM_ARM_VCPU_TIMER_IRQ_PTIMER, intid[PHYSICAL]) || set_guest(i) ? -1 : 0;
}

static int set_up(void)
{
	unsigned int i;

	if (odd_create(&vm) || odd_add_memory(&vm, 0) || odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    set_offset())
		return -1;
	for (i = 0; i < NR_VCPUS; i++)
		if (set_vcpu(i))
			return -1;
	if (odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_init_gic(&vm))
		return -1;
	for (i = 0; i < NR_VCPUS; i++)
		if (odd_start(&vm, i))
			return -1;
	return odd_goes_on(&vm) ? 0 : -1;
}

/* Every timer, in every role: what was under way before is then accounted for. */
static bool all_fire(void)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	uint64_t taken[NR_VCPUS][NR_TIMERS];
	unsigned int i, n, ticks;

	for (i = 0; i < NR_VCPUS; i++)
		for (n = 0; n < NR_TIMERS; n++)
			taken[i][n] = timer_of(i, n)->taken;
	for (i = 0; i < NR_VCPUS; i++)
		for (n = 0; n < NR_TIMERS; n++)
			for (ticks = 0; timer_of(i, n)->taken < taken[i][n] + NR_ROLES; ticks++) {
				if (vm.stats->error[0] || ticks == 6000)
					return false;
				nanosleep(&tick, NULL);
			}
	return true;
}

static void print_counts(void)
{
	unsigned int i, n;

	for (i = 0; i < NR_VCPUS; i++)
		for (n = 0; n < NR_TIMERS; n++)
			test_msg("vcpu %u: %s timer armed %llu times, taken %llu times\n", i,
				 n == VIRTUAL ? "virtual" : "physical",
				 (unsigned long long)timer_of(i, n)->armed,
				 (unsigned long long)timer_of(i, n)->taken);
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
	if (!all_fire()) {
		fail("%s", vm.stats->error[0] ? vm.stats->error : "not every timer fires");
		return 1;
	}
	if (!odd_is_well(&vm))
		return 1;
	print_counts();
	pass();
	return 0;
}
