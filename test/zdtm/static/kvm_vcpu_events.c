/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SErrors that the VMM injects into vCPU 1 of two, each with a syndrome of its own, while the guest has them
 * masked (PSTATE.A). They stay pending for a while and are then let in: each is taken once, with its
 * syndrome. Then one is injected while they are not masked, at an exit that KVM has still to complete: it is taken
 * behind that access. vCPU 0 has SErrors unmasked all the time, and gets none.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "zdtmtst.h"
#include "guest.h"

const char *test_doc = "A small KVM VM with an SError pending on one of its vCPUs\n";
const char *test_author = "The kvm-vgic authors";

#define TARGET		1 /* the vCPU with SErrors */
#define IDLE_EXITS	10
#define PENDING_EXITS	30
#define TAKEN_EXITS	500 /* after which one is lost */

/* ESR_EL1 of an SError: EC, IL; ISS are the 25 bits that KVM takes, IDS (bit 24) among them. */
#define ESR_SERROR	(0x2full << 26 | 1 << 25)
#define ISS_MASK	0x1ffffff
#define ISS_IDS		(1 << 24)

enum { DOUBLED = 1, OTHER_ESR };
const char *const guest_says[] = {
	[DOUBLED] = "doubled: an SError that was not let in: ESR_EL1, how many there were",
	[OTHER_ESR] = "an SError with another syndrome: ESR_EL1 is, was to be",
};

enum { IDLE, CLOSING, PENDING, OPENING, AT_EXIT, NR_PHASES };
enum { STAY_IDLE = 1, STAY_PENDING, STAY_AT_EXIT };

/* lives/kvm_vcpu_events.py knows the first ones. */
struct events_guest {
	struct guest g;
	volatile uint64_t stay;	  /* in one phase, for a dump to find it; or 0 */
	volatile uint64_t phase;
	volatile uint64_t taken;  /* SErrors, as the guest counts them */
	volatile uint64_t let_in; /* as many as it may have taken */
	volatile uint64_t close;  /* it is to mask SErrors */
	volatile uint64_t closed; /* it has */
	volatile uint64_t esr, esr_mask;
};
_Static_assert(offsetof(struct events_guest, stay) == 88, "lives/kvm_vcpu_events.py knows");

/* --- the guest --- */

GUEST static void take(struct guest *g, struct guest_frame *frame)
{
	struct events_guest *e = (struct events_guest *)g;

	e->taken++;
	if (e->taken > e->let_in)
		guest_report(g, DOUBLED, frame->esr, e->taken);
	else if ((frame->esr ^ e->esr) & e->esr_mask)
		guest_report(g, OTHER_ESR, frame->esr, e->esr);
}

GUEST static void entry(struct guest *g)
{
	struct events_guest *e = (struct events_guest *)g;

	e->closed = 1; /* as at reset */
	for (;;) {
		if (e->close && !e->closed)
			asm volatile("msr daifset, #4" : : : "memory");
		else if (!e->close && e->closed)
			asm volatile("msr daifclr, #4" : : : "memory");
		e->closed = e->close;
		guest_progress(g, 16);
	}
}

/* --- the VMM --- */

static struct odd_vm vm;
static bool has_esr;
static uint64_t injected, nr_exits;

static struct events_guest *guest_of(unsigned int i)
{
	return guest_cpu(&vm, i);
}

static void found(const char *what, uint64_t detail)
{
	errno = 0;
	odd_found(&vm, what, detail);
}

/* All 25 bits change, and IDS is set now and then. */
static uint32_t iss_of(uint64_t nr)
{
	return (nr * 0x9e3779b1 >> 8 & ISS_MASK & ~ISS_IDS) | (nr % 3 ? ISS_IDS : 0);
}

static void inject(struct odd_vcpu *vcpu)
{
	struct events_guest *e = guest_of(vcpu->id);
	struct kvm_vcpu_events events = { .exception.serror_pending = 1 };

	injected++;
	events.exception.serror_has_esr = has_esr;
	if (has_esr)
		events.exception.serror_esr = iss_of(injected);
	e->esr = ESR_SERROR | events.exception.serror_esr;
	if (ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events))
		odd_found(&vm, "KVM_SET_VCPU_EVENTS: errno", errno);
}

#define PSTATE_A 0x100

/* KVM may deliver one that is not masked at once, and forgets an access then: so would the VMM lose its exit. */
static void inject_at_exit(struct odd_vcpu *vcpu)
{
	const uint64_t id = ODD_CORE(regs.pstate);
	uint64_t pstate = 0;

	if (odd_get_reg(&vm, vcpu->id, id, &pstate) || odd_set_reg(&vm, vcpu->id, id, pstate | PSTATE_A))
		odd_found(&vm, "PSTATE: errno", errno);
	else if (pstate & PSTATE_A)
		found("SErrors are masked: PSTATE", pstate);
	inject(vcpu);
	if (odd_set_reg(&vm, vcpu->id, id, pstate))
		odd_found(&vm, "PSTATE: errno", errno);
}

/* What KVM says is pending: @wanted or not, and with the syndrome that it was given. */
static void check_pending(struct odd_vcpu *vcpu, bool wanted)
{
	struct kvm_vcpu_events events = { 0 };

	if (ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events))
		odd_found(&vm, "KVM_GET_VCPU_EVENTS: errno", errno);
	else if (wanted && !events.exception.serror_pending)
		found("lost: an SError that was pending: no.", injected);
	else if (!wanted && events.exception.serror_pending)
		found("an SError is pending that nobody has injected: on vcpu", vcpu->id);
	else if (wanted && has_esr && events.exception.serror_esr != iss_of(injected))
		found("the pending SError has another syndrome:", events.exception.serror_esr);
}

static bool is_over(const struct events_guest *e)
{
	switch (e->phase) {
	case IDLE:
		return nr_exits >= IDLE_EXITS && e->stay != STAY_IDLE;
	case CLOSING:
		return e->closed;
	case PENDING:
		return nr_exits >= PENDING_EXITS && e->stay != STAY_PENDING;
	}
	if (nr_exits == TAKEN_EXITS)
		found("lost: an SError that was let in: no.", injected);
	return e->taken == e->let_in;
}

/* Neither the access nor the SError goes by itself. */
static void stay_at_exit(struct odd_vcpu *vcpu)
{
	const struct timespec tick = { .tv_nsec = 5000000 };
	const struct events_guest *e = guest_of(vcpu->id);

	do {
		check_pending(vcpu, true);
		nanosleep(&tick, NULL);
	} while (e->stay == STAY_AT_EXIT && !vcpu->stop && !vm.stats->error[0]);
	check_pending(vcpu, true);
}

/* The target has left KVM_RUN to tell of its progress. */
static void next_phase(struct odd_vcpu *vcpu)
{
	struct events_guest *e = guest_of(vcpu->id);

	nr_exits++;
	if (e->phase != OPENING && e->phase != AT_EXIT)
		check_pending(vcpu, e->phase == PENDING);
	if (!is_over(e))
		return;
	nr_exits = 0;
	e->phase = (e->phase + 1) % NR_PHASES;
	if (e->phase == CLOSING) {
		e->close = 1;
	} else if (e->phase == PENDING) {
		inject(vcpu);
	} else if (e->phase == OPENING) {
		e->let_in = injected;
		e->close = 0;
	} else if (e->phase == AT_EXIT) {
		e->let_in = injected + 1;
		inject_at_exit(vcpu);
		stay_at_exit(vcpu);
	}
}

static bool serve(struct odd_vcpu *vcpu)
{
	if (guest_exit(vcpu))
		return true;
	if (vcpu->id == TARGET)
		next_phase(vcpu);
	else
		check_pending(vcpu, false);
	return false;
}

static int set_vcpu(unsigned int i)
{
	struct events_guest *e = guest_of(i);

	e->esr_mask = has_esr ? ~0ull : 0x3full << 26;
	if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) || guest_set(&vm, i, entry))
		return -1;
	/* The other's handler is guest_unexpected(). */
	if (i == TARGET)
		e->g.handler[GUEST_SERROR] = guest_address(take);
	return 0;
}

static int set_up(void)
{
	unsigned int i;

	if (odd_create(&vm) || odd_add_memory(&vm, 0) || odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3))
		return -1;
	has_esr = ioctl(vm.vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_INJECT_SERROR_ESR) > 0;
	vm.exit = serve;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (set_vcpu(i))
			return -1;
	return odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_init_gic(&vm) ? -1 : odd_start_all(&vm);
}

/* Up to a moment in which none is pending: each has been taken then. */
static void drain(void)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	struct events_guest *e = guest_of(TARGET);

	e->stay = STAY_IDLE;
	while (!vm.stats->error[0] && e->phase != IDLE)
		nanosleep(&tick, NULL);
	if (e->taken != injected)
		found("not every SError was taken, but", e->taken);
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

	drain();
	if (!odd_is_well(&vm))
		return 1;
	test_msg("%llu SErrors, %s a syndrome, each taken once\n", (unsigned long long)injected,
		 has_esr ? "with" : "without");
	pass();
	return 0;
}
