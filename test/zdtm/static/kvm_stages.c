/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM that is built stage by stage: some before the first dump, the others at a SIGUSR2 each, or in the end. By
 * default all that come before its first KVM_RUN are before the dump: nearly every earlier one is refused. What a
 * dump must not have done meanwhile (KVM_ARM_VCPU_INIT, the INIT of the GIC, a KVM_RUN) is asked of KVM at the next
 * stage: each of them makes KVM refuse, or allow, something from then on.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A KVM VM that is complete when it is dumped, and runs for the first time after it\n";
const char *test_author = "The kvm-vgic authors";

static int first = 9;
TEST_OPTION(first, int, "how many stages there are before the first dump (9)", 0);

/* How many stages there have been, for a look from outside. */
#define STAGE_ADDR	0x5b0000000000

static struct odd_vm vm;
static volatile uint64_t *stage;
static volatile sig_atomic_t asked;

/* Each answers 0, or -1 with errno set; 0 in errno when KVM did not do what it was to do. */

static int wrong(const char *what)
{
	pr_err("%s\n", what);
	errno = 0;
	return -1;
}

static int open_kvm(void)
{
	vm.kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	return vm.kvm_fd < 0 ? -1 : 0;
}

static int bare_vm(void)
{
	if (ioctl(vm.kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION || close(vm.kvm_fd))
		return -1;
	return odd_create(&vm);
}

static int memory(void)
{
	return odd_add_memory(&vm, 0);
}

static int vcpu_0(void)
{
	return odd_create_vcpu(&vm, 0);
}

static int has_no_init(unsigned int i)
{
	struct kvm_reg_list list = { 0 };

	if (!ioctl(vm.vcpu[i].fd, KVM_GET_REG_LIST, &list) || errno != ENOEXEC)
		return wrong("a vCPU has had its KVM_ARM_VCPU_INIT");
	return 0;
}

static int vcpu_0_init(void)
{
	return has_no_init(0) || odd_init_vcpu(&vm, 0) ? -1 : 0;
}

static int gic(void)
{
	return odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3);
}

static int gic_place(void)
{
	/* That it has not been initialised: KVM takes one vCPU more. */
	return odd_create_vcpu(&vm, 1) || odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ? -1 : 0;
}

/* With vCPU 1 as it was created. A GIC that was initialised already would take no other size. */
static int gic_init(void)
{
	uint32_t nr_irqs = 96;

	if (odd_set_attr(vm.gic_fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &nr_irqs))
		return wrong("the GIC has had its INIT");
	if (odd_init_gic(&vm))
		return -1;
	if (!odd_set_attr(vm.gic_fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &nr_irqs) || errno != EBUSY)
		return wrong("the proof proves nothing: an initialised GIC takes another size");
	return 0;
}

static int vcpu_1_init(void)
{
	return has_no_init(1) || odd_init_vcpu(&vm, 1) ? -1 : 0;
}

static int set_timer_irq(void)
{
	int irq = 27;

	return odd_set_attr(vm.vcpu[0].fd, KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &irq);
}

static int run(void)
{
	if (set_timer_irq())
		return wrong("a vCPU has run");
	if (odd_start(&vm, 0) || odd_start(&vm, 1) || !odd_goes_on(&vm))
		return -1;
	if (!set_timer_irq() || errno != EBUSY)
		return wrong("the proof proves nothing: a VM that has run takes another timer interrupt");
	return 0;
}

/* The first VM is done with. */
static int destroy(void)
{
	unsigned int i;

	if (!odd_goes_on(&vm) || !odd_stop(&vm))
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (munmap(vm.vcpu[i].run, vm.run_size) || close(vm.vcpu[i].fd))
			return -1;
	if (munmap(vm.stats, 0x1000) || munmap(vm.ram, ODD_RAM_SIZE))
		return -1;
	return close(vm.gic_fd) || close(vm.vm_fd) || close(vm.kvm_fd) ? -1 : 0;
}

/* KVM gives a VM up whose GIC it cannot place at its first run. */
static int dead(void)
{
	uint64_t dist = ODD_DIST_BASE;

	if (destroy())
		return -1;
	memset(&vm, 0, sizeof(vm));
	if (odd_create(&vm) || odd_add_memory(&vm, 0) || odd_create_vcpu(&vm, 0) || odd_init_vcpu(&vm, 0) ||
	    odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    odd_set_attr(vm.gic_fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &dist) ||
	    odd_init_gic(&vm))
		return -1;
	return ioctl(vm.vcpu[0].fd, KVM_RUN, 0) < 0 ? 0 : wrong("the VM runs with half a GIC");
}

static int still_dead(void)
{
	return ioctl(vm.vcpu[0].fd, KVM_RUN, 0) < 0 && errno == EIO ? 0 : wrong("the VM is not dead any more");
}

/* In the order of STAGES in lives/kvm_stages.py. */
static int (*const stages[])(void) = {
	open_kvm, bare_vm, memory, vcpu_0, vcpu_0_init, gic, gic_place, gic_init, vcpu_1_init, run, dead,
};

static void ask(int sig)
{
	asked = 1;
}

static int next_stage(void)
{
	asked = 0;
	if (*stage == ARRAY_SIZE(stages))
		return 0;
	if (stages[*stage]()) {
		fail("stage %llu: %s", (unsigned long long)*stage, vm.stats ? vm.stats->error : "");
		return -1;
	}
	++*stage;
	return 0;
}

static int stages_up_to(uint64_t nr)
{
	while (*stage < nr)
		if (next_stage())
			return -1;
	return 0;
}

int main(int argc, char **argv)
{
	const struct timespec tick = { .tv_nsec = 5000000 };
	struct sigaction action = { .sa_handler = ask };

	test_init(argc, argv);

	stage = mmap((void *)STAGE_ADDR, 4096, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (stage == MAP_FAILED || sigaction(SIGUSR2, &action, NULL)) {
		pr_perror("set-up");
		return 1;
	}
	if (stages_up_to(first))
		return 1;

	test_daemon();
	while (test_go()) {
		nanosleep(&tick, NULL);
		if (asked && next_stage())
			return 1;
	}

	/* Whatever stages were not asked for. */
	if (stages_up_to(ARRAY_SIZE(stages)))
		return 1;
	if (still_dead()) {
		fail("the dead VM");
		return 1;
	}
	pass();
	return 0;
}
