// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_SET_SIGNAL_MASK: a signal that a vCPU's thread has blocked ends KVM_RUN all the same. Old VMMs kick
 * their vCPUs so. The mask is one of the first vCPU alone: the second is not to be kicked.
 */
#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A small KVM VM with a signal mask for KVM_RUN (KVM_SET_SIGNAL_MASK)\n";
const char *test_author = "The kvm-vgic authors";

static volatile unsigned int kicks[ODD_NR_VCPUS];
static sigset_t kick_set;

static void interrupted(struct odd_vcpu *vcpu)
{
	const struct timespec none = { 0 };

	if (sigtimedwait(&kick_set, NULL, &none) == SIGUSR2)
		kicks[vcpu->id]++;
}

/* Nothing is blocked in KVM_RUN. */
static int set_mask(struct odd_vm *vm)
{
	struct {
		struct kvm_signal_mask head;
		uint64_t set;
	} __attribute__((packed)) arg = { .head.len = 8 };

	return ioctl(vm->vcpu[0].fd, KVM_SET_SIGNAL_MASK, &arg);
}

/* Whether vCPU @i took the kick: within some seconds, in which it goes on. */
static bool is_kicked(struct odd_vm *vm, unsigned int i)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	unsigned int before = kicks[i], ticks;

	pthread_kill(vm->vcpu[i].thread, SIGUSR2);
	for (ticks = 0; ticks < 300 && kicks[i] == before; ticks++)
		nanosleep(&tick, NULL);
	return kicks[i] == before + 1;
}

int main(int argc, char **argv)
{
	static struct odd_vm vm;

	test_init(argc, argv);

	sigemptyset(&kick_set);
	sigaddset(&kick_set, SIGUSR2);
	vm.interrupted = interrupted;
	if (sigprocmask(SIG_BLOCK, &kick_set, NULL) || odd_setup(&vm) || set_mask(&vm)) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	errno = 0;
	if (!is_kicked(&vm, 0) || !is_kicked(&vm, 0)) {
		fail("vCPU 0 was not kicked: its signal mask is lost");
		return 1;
	}
	if (is_kicked(&vm, 1)) {
		fail("vCPU 1 was kicked, and has no signal mask");
		return 1;
	}
	return odd_verdict(&vm);
}
