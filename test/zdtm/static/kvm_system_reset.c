/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vCPUs that a SYSTEM_RESET of another one has stopped in the middle of an MMIO access:
 * each has left KVM_RUN with KVM_EXIT_MMIO and not come back when the last one calls PSCI, and KVM makes
 * all of them KVM_MP_STATE_STOPPED (kvm_prepare_system_event()). The accesses are completed after
 * the dump, as a VMM does before it resets its vCPUs: KVM_RUN with immediate_exit.
 */
#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <sys/ioctl.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A KVM VM whose vCPUs a SYSTEM_RESET stopped in the middle of MMIO accesses\n";
const char *test_author = "The kvm-vgic authors";

#define PSCI_SYSTEM_RESET 0x84000009
#define NR_VCPUS	  4
#define UNTOUCHED	  0x5555555555555555

/* Each vCPU starts at an instruction of these. */
asm(".pushsection .rodata\n"
    ".balign 4\n"
    ".globl access_code, access_code_end\n"
    ".hidden access_code, access_code_end\n"
    "access_code:\n"
    "	ldr	x5, [x3]\n"
    "	str	x5, [x3]\n"
    "	hvc	#0\n"
    "	b	.\n"
    "access_code_end:\n"
    ".popsection\n");
extern const char access_code[], access_code_end[];

enum { LOAD, STORE, CALL };

/* What each vCPU does; answered: the VMM has put the answer to the read in kvm_run before the dump. */
static const struct {
	const char *name;
	unsigned int insn;
	bool answered;
} plan[] = {
	{ "a read", LOAD, false },
	{ "a read with its answer", LOAD, true },
	{ "a write", STORE, false },
	{ "SYSTEM_RESET", CALL, false }, /* the last: it stops the others */
};
_Static_assert(ARRAY_SIZE(plan) == NR_VCPUS, "each vCPU does something");

static struct odd_vm vm;
static sem_t left[NR_VCPUS], go_on[NR_VCPUS], completed[NR_VCPUS];

static uint64_t start_of(unsigned int i)
{
	return ODD_RAM_BASE + ODD_RAM_CODE + 4 * plan[i].insn;
}

static uint64_t answer_of(unsigned int i)
{
	return 0x1122334455667700 + i;
}

static void wait_on(sem_t *sem)
{
	while (sem_wait(sem))
		;
}

/* KVM_RUN, a pause in which the dump comes, and what completes the access. Errors show in kvm_run. */
static void *vcpu_thread(void *arg)
{
	struct odd_vcpu *vcpu = arg;
	unsigned int i = vcpu->id;

	while (ioctl(vcpu->fd, KVM_RUN, 0) && errno == EINTR)
		;
	if (plan[i].answered)
		memcpy(vcpu->run->mmio.data, &(uint64_t){ answer_of(i) }, sizeof(uint64_t));
	sem_post(&left[i]);
	wait_on(&go_on[i]);
	vcpu->run->immediate_exit = 1;
	vcpu->last = ioctl(vcpu->fd, KVM_RUN, 0) ? errno : 0;
	vcpu->run->immediate_exit = 0;
	sem_post(&completed[i]);
	return NULL;
}

static int create_vcpu(unsigned int i)
{
	return odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) ||
	       odd_set_reg(&vm, i, ODD_CORE(regs.pc), start_of(i)) ||
	       odd_set_reg(&vm, i, ODD_CORE(regs.regs[0]), PSCI_SYSTEM_RESET) ||
	       odd_set_reg(&vm, i, ODD_CORE(regs.regs[5]), UNTOUCHED);
}

static int create_vm(void)
{
	unsigned int i;

	if (odd_create(&vm) || odd_add_memory(&vm, 0))
		return -1;
	memcpy(vm.ram + ODD_RAM_CODE, access_code, access_code_end - access_code);
	for (i = 0; i < NR_VCPUS; i++)
		if (create_vcpu(i))
			return -1;
	return odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	       odd_init_gic(&vm);
}

/* One after the other: the last one must find the others out of KVM_RUN. */
static int run_to_exits(void)
{
	unsigned int i;

	for (i = 0; i < NR_VCPUS; i++) {
		if (sem_init(&left[i], 0, 0) || sem_init(&go_on[i], 0, 0) || sem_init(&completed[i], 0, 0))
			return -1;
		errno = pthread_create(&vm.vcpu[i].thread, NULL, vcpu_thread, &vm.vcpu[i]);
		if (errno)
			return -1;
		wait_on(&left[i]);
	}
	return 0;
}

static bool differs(unsigned int i, const char *what, uint64_t got, uint64_t want)
{
	if (got == want)
		return false;
	pr_err("vcpu %u, %s: %s is %#llx, not %#llx\n", i, plan[i].name, what, (unsigned long long)got,
	       (unsigned long long)want);
	return true;
}

static bool is_stopped(unsigned int i)
{
	struct kvm_mp_state state = { .mp_state = -1 };

	ioctl(vm.vcpu[i].fd, KVM_GET_MP_STATE, &state);
	return !differs(i, "its power state", state.mp_state, KVM_MP_STATE_STOPPED);
}

static bool check_mmio(unsigned int i)
{
	const struct kvm_run *run = vm.vcpu[i].run;
	uint64_t data;

	memcpy(&data, run->mmio.data, sizeof(data));
	if (differs(i, "the exit", run->exit_reason, KVM_EXIT_MMIO) ||
	    differs(i, "the address", run->mmio.phys_addr, ODD_DEV_BASE + 8 * i) ||
	    differs(i, "the length", run->mmio.len, 8) ||
	    differs(i, "the direction", run->mmio.is_write, plan[i].insn == STORE))
		return false;
	if (plan[i].answered)
		return !differs(i, "the answer in kvm_run", data, answer_of(i));
	return plan[i].insn != STORE || !differs(i, "what is written", data, UNTOUCHED);
}

static bool check_event(unsigned int i)
{
	const struct kvm_run *run = vm.vcpu[i].run;

	return !differs(i, "the exit", run->exit_reason, KVM_EXIT_SYSTEM_EVENT) &&
	       !differs(i, "the event", run->system_event.type, KVM_SYSTEM_EVENT_RESET);
}

/* What stands in kvm_run, and the power states. */
static bool check_exits(void)
{
	unsigned int i;

	for (i = 0; i < NR_VCPUS; i++)
		if (!is_stopped(i) || !(plan[i].insn == CALL ? check_event(i) : check_mmio(i)))
			return false;
	return true;
}

/* KVM_RUN completes what is pending and executes nothing. */
static bool complete(unsigned int i)
{
	uint64_t x5 = 0, pc = 0, want = plan[i].insn == LOAD ? answer_of(i) : UNTOUCHED;

	if (plan[i].insn == LOAD && !plan[i].answered)
		memcpy(vm.vcpu[i].run->mmio.data, &(uint64_t){ answer_of(i) }, sizeof(uint64_t));
	sem_post(&go_on[i]);
	wait_on(&completed[i]);
	pthread_join(vm.vcpu[i].thread, NULL);
	if (odd_get_reg(&vm, i, ODD_CORE(regs.regs[5]), &x5) || odd_get_reg(&vm, i, ODD_CORE(regs.pc), &pc))
		return false;
	return !differs(i, "errno of KVM_RUN", vm.vcpu[i].last, EINTR) && !differs(i, "x5", x5, want) &&
	       !differs(i, "the PC", pc, start_of(i) + 4) && is_stopped(i);
}

/* As a VMM does: the VM runs again, from the beginning. */
static bool reset_and_run(void)
{
	unsigned int i;

	for (i = 0; i < NR_VCPUS; i++) {
		vm.vcpu[i].last = 0;
		if (odd_init_vcpu(&vm, i))
			return false;
	}
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_start(&vm, i))
			return false;
	return odd_goes_on(&vm) && odd_stop(&vm);
}

int main(int argc, char **argv)
{
	unsigned int i;

	test_init(argc, argv);

	if (create_vm() || run_to_exits() || !check_exits()) {
		pr_perror("set-up of the VM");
		return 1;
	}

	test_daemon();
	test_waitsig();

	errno = 0;
	if (!check_exits()) {
		fail("kvm_run or a power state is not what it was");
		return 1;
	}
	for (i = 0; i < NR_VCPUS; i++)
		if (!complete(i)) {
			fail("vcpu %u: %s was not completed", i, plan[i].name);
			return 1;
		}
	if (!reset_and_run()) {
		fail("the VM does not run after its reset: %s", vm.stats->error);
		return 1;
	}
	pass();
	return 0;
}
