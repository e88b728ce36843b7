// SPDX-License-Identifier: GPL-2.0-only
/*
 * An SPI whose GICD_IROUTER nobody has written goes to the vCPU that was created first.
 * Here that one has MPIDR 1, and the other MPIDR 0, which is what the register reads as.
 * The SPI is pending from the start, and the guest takes it when it is told to, at the end.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "zdtmtst.h"
#include "oddvm.h"

const char *test_doc = "A small KVM VM with a pending SPI that was never routed\n";
const char *test_author = "The kvm-vgic authors";

#define CORE(name)	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))
#define MPIDR_EL1	ARM64_SYS_REG(3, 0, 0, 0, 5)
#define SPI		40	/* the guest knows it */
#define CODE		0x5000	/* offsets in RAM */
#define MAILBOX		0x4000

struct mailbox {
	volatile uint64_t take;		/* the guest may acknowledge interrupts */
	volatile uint64_t taken[ODD_NR_VCPUS];
};

/* As the guest of oddvm.c; x6: mailbox.take, x7: its mailbox.taken. It asks for interrupts, which stay masked. */
asm(".pushsection .rodata\n"
    ".globl guest, guest_end\n"
    ".hidden guest, guest_end\n"
    "guest:\n"
    "	mov	x8, #0xff\n"
    "	msr	S3_0_C4_C6_0, x8\n"	/* ICC_PMR_EL1 */
    "	mov	x8, #1\n"
    "	msr	S3_0_C12_C12_7, x8\n"	/* ICC_IGRPEN1_EL1 */
    "	isb\n"
    "1:	add	x1, x1, #1\n"
    "	str	x1, [x0]\n"
    "	tst	x1, #4095\n"
    "	b.ne	1b\n"
    "	ldr	x8, [x6]\n"
    "	cbz	x8, 2f\n"
    "	mrs	x8, S3_0_C12_C12_0\n"	/* ICC_IAR1_EL1 */
    "	dsb	sy\n"
    "	cmp	x8, #40\n"
    "	b.ne	2f\n"
    "	ldr	x9, [x7]\n"
    "	add	x9, x9, #1\n"
    "	str	x9, [x7]\n"
    "	msr	S3_0_C12_C12_1, x8\n"	/* ICC_EOIR1_EL1 */
    "	isb\n"
    "2:	str	x1, [x3]\n"
    "	b	1b\n"
    "guest_end:\n"
    ".popsection\n");
extern const char guest[], guest_end[];

static int set_vcpu(struct odd_vm *vm, unsigned int i)
{
	uint64_t mailbox = ODD_RAM_BASE + MAILBOX;

	memcpy(vm->ram + CODE, guest, guest_end - guest);
	return odd_create_vcpu(vm, i) || odd_init_vcpu(vm, i) ||
	       odd_set_reg(vm, i, MPIDR_EL1, 0x80000000 | (1 - i)) ||
	       odd_set_reg(vm, i, CORE(regs.pc), ODD_RAM_BASE + CODE) ||
	       odd_set_reg(vm, i, CORE(regs.regs[6]), mailbox + offsetof(struct mailbox, take)) ||
	       odd_set_reg(vm, i, CORE(regs.regs[7]), mailbox + offsetof(struct mailbox, taken[i])) ? -1 : 0;
}

static int set_dist(struct odd_vm *vm, uint32_t offset, uint32_t value)
{
	return odd_set_attr(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, offset, &value);
}

/* Edge-triggered, enabled, pending. */
static int set_gic(struct odd_vm *vm)
{
	const uint32_t bit = 1u << SPI % 32;

	return odd_create_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	       odd_init_gic(vm) ||
	       set_dist(vm, 0, 0x12) ||					/* GICD_CTLR: ARE, group 1 */
	       set_dist(vm, 0xc00 + SPI / 16 * 4, 2u << SPI % 16 * 2) ||	/* GICD_ICFGR */
	       set_dist(vm, 0x100 + SPI / 32 * 4, bit) ||			/* GICD_ISENABLER */
	       set_dist(vm, 0x200 + SPI / 32 * 4, bit) ? -1 : 0;		/* GICD_ISPENDR */
}

static int set_up(struct odd_vm *vm)
{
	unsigned int i;

	if (odd_create(vm) || odd_add_memory(vm, 0))
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (set_vcpu(vm, i))
			return -1;
	if (set_gic(vm))
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_start(vm, i))
			return -1;
	return odd_goes_on(vm) ? 0 : -1;
}

/* The SPI was sent @n times: the first vCPU must have taken all of them, and the other none. */
static bool is_taken(const struct mailbox *mailbox, uint64_t n)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	unsigned int ticks;

	for (ticks = 0; ticks < 2000 && mailbox->taken[0] + mailbox->taken[1] < n; ticks++)
		nanosleep(&tick, NULL);
	if (mailbox->taken[0] == n && !mailbox->taken[1])
		return true;
	fail("SPI %u was sent %llu times; vCPU 0, where it belongs, took it %llu times, vCPU 1 %llu times", SPI,
	     (unsigned long long)n, (unsigned long long)mailbox->taken[0],
	     (unsigned long long)mailbox->taken[1]);
	return false;
}

static bool send_again(struct odd_vm *vm)
{
	struct kvm_irq_level line = { .irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | SPI, .level = 1 };

	return !ioctl(vm->vm_fd, KVM_IRQ_LINE, &line);
}

int main(int argc, char **argv)
{
	static struct odd_vm vm;
	struct mailbox *mailbox;

	test_init(argc, argv);

	if (set_up(&vm)) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}
	mailbox = (struct mailbox *)(vm.ram + MAILBOX);

	test_daemon();
	test_waitsig();

	errno = 0;
	if (!odd_goes_on(&vm)) {
		fail("%s", vm.stats->error);
		return 1;
	}
	mailbox->take = 1;
	if (!is_taken(mailbox, 1))
		return 1;
	if (!send_again(&vm)) {
		pr_perror("KVM_IRQ_LINE");
		return 1;
	}
	if (!is_taken(mailbox, 2))
		return 1;
	if (!odd_stop(&vm)) {
		fail("%s", vm.stats->error);
		return 1;
	}
	pass();
	return 0;
}
