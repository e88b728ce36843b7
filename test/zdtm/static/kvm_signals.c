/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Each thread of the VMM has a signal of its own blocked and pending, and one is pending for all of them. criu, and
 * the plugin, run code of their own in these threads, and must not change that; nor must criu's end in the middle of
 * a dump, for which lives/kvm_signals.py sees.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A small KVM VM whose VMM has signals blocked and pending in each of its threads\n";
const char *test_author = "The kvm-vgic authors";

/* Blocked everywhere; blocked in the thread of vCPU @i alone; and what comes with each. */
#define FOR_ALL		SIGRTMIN
#define FOR_VCPU(i)	(SIGRTMIN + 1 + (i))
#define VALUE(sig)	(0x5160 + (sig))

static sigset_t leader_mask;
static bool prepared[ODD_NR_VCPUS];
static volatile bool asked;
static const char *volatile answers[ODD_NR_VCPUS];

static sigset_t vcpu_mask(unsigned int i)
{
	sigset_t mask = leader_mask;

	sigaddset(&mask, FOR_VCPU(i));
	return mask;
}

/* Takes it. */
static bool is_pending(int sig)
{
	const struct timespec none = { 0 };
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	return sigtimedwait(&set, &info, &none) == sig && info.si_code == SI_QUEUE && info.si_int == VALUE(sig);
}

/* What is wrong in this thread, or "". */
static const char *look(const sigset_t *mask, int sig)
{
	sigset_t now;

	/* No more of it is the kernel's. */
	if (pthread_sigmask(SIG_BLOCK, NULL, &now) || memcmp(&now, mask, _NSIG / 8))
		return "the signal mask is another one";
	return is_pending(sig) ? "" : "the pending signal is lost, or another one";
}

static bool prepare(struct odd_vcpu *vcpu)
{
	const union sigval value = { .sival_int = VALUE(FOR_VCPU(vcpu->id)) };
	sigset_t mask = vcpu_mask(vcpu->id);

	if (pthread_sigmask(SIG_SETMASK, &mask, NULL) || pthread_sigqueue(pthread_self(), FOR_VCPU(vcpu->id), value))
		odd_found(vcpu->vm, "no signals for vCPU", vcpu->id);
	return true;
}

/* In the vCPU's thread, at each of its exits. */
static bool at_exit(struct odd_vcpu *vcpu)
{
	sigset_t mask = vcpu_mask(vcpu->id);

	if (!prepared[vcpu->id])
		prepared[vcpu->id] = prepare(vcpu);
	else if (asked && !answers[vcpu->id])
		answers[vcpu->id] = look(&mask, FOR_VCPU(vcpu->id));
	return false;
}

static int set_up(struct odd_vm *vm)
{
	const union sigval value = { .sival_int = VALUE(FOR_ALL) };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, FOR_ALL);
	if (sigprocmask(SIG_BLOCK, &set, NULL) || sigprocmask(SIG_BLOCK, NULL, &leader_mask))
		return -1;
	vm->exit = at_exit;
	return odd_setup(vm) || sigqueue(getpid(), FOR_ALL, value) ? -1 : 0;
}

/* Each thread has answered, and found nothing. */
static bool all_are_well(struct odd_vm *vm)
{
	const char *wrong = look(&leader_mask, FOR_ALL);
	unsigned int i;

	errno = 0;
	if (*wrong)
		fail("the first thread: %s", wrong);
	asked = true;
	if (*wrong || !odd_is_well(vm))
		return false;
	for (i = 0; i < ODD_NR_VCPUS; i++) {
		if (answers[i] && !*answers[i])
			continue;
		fail("the thread of vCPU %u: %s", i, answers[i] ?: "no answer");
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	static struct odd_vm vm;

	test_init(argc, argv);

	if (set_up(&vm)) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	if (!all_are_well(&vm))
		return 1;
	pass();
	return 0;
}
