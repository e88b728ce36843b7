/* SPDX-License-Identifier: GPL-2.0-only */
/* The redistributors' part of LPIs, and the guest's. */
#include <string.h>
#include <sys/ioctl.h>

#include "its.h"
#include "lpi.h"

#define GICR_CTLR	0x00000
#define GICR_PROPBASER	0x00070
#define GICR_PENDBASER	0x00078
#define ID_BITS		16
#define CODE		0x5000	/* offset in the RAM of oddvm.h */

/*
 * As the guest of oddvm.c; x6: LPI_MAY_TAKE, x7: its LPI_TAKEN. Interrupts stay masked: it asks for them,
 * until ICC_IAR1_EL1 says that there is none (1023).
 * While an SPI is active it makes an exit, as a driver that quiets its device would: without one Linux 7.2 does
 * not see that a level interrupt ends (vgic_v3_fold_lr()), and the guest takes it again.
 */
asm(".pushsection .rodata\n"
    ".globl lpi_guest, lpi_guest_end\n"
    ".hidden lpi_guest, lpi_guest_end\n"
    "lpi_guest:\n"
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
    "	cbz	x8, 3f\n"
    "2:	mrs	x8, S3_0_C12_C12_0\n"	/* ICC_IAR1_EL1 */
    "	dsb	sy\n"
    "	cmp	x8, #1023\n"
    "	b.eq	3f\n"
    "	ldrb	w9, [x7, x8]\n"
    "	add	w9, w9, #1\n"
    "	strb	w9, [x7, x8]\n"
    "	cmp	x8, #8192\n"		/* LPI_MIN */
    "	b.hs	4f\n"
    "	mrs	x9, S3_0_C0_C4_0\n"	/* ID_AA64PFR0_EL1: HCR_EL2.TID3 */
    "4:	msr	S3_0_C12_C12_1, x8\n"	/* ICC_EOIR1_EL1 */
    "	isb\n"
    "	b	2b\n"
    "3:	str	x1, [x3]\n"
    "	b	1b\n"
    "lpi_guest_end:\n"
    ".popsection\n");
extern const char lpi_guest[], lpi_guest_end[];

static uint8_t *table(uint32_t offset)
{
	return (uint8_t *)(ITS_RAM_ADDR + (uint64_t)offset);
}

/* MPIDR_EL1's Aff0 is the vCPU's id: there are few of them. */
static int set_redist(struct odd_vm *vm, unsigned int vcpu, uint32_t reg, uint32_t value)
{
	return odd_set_attr(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, (uint64_t)vcpu << 32 | reg, &value);
}

static int set_redist_64(struct odd_vm *vm, unsigned int vcpu, uint32_t reg, uint64_t value)
{
	return set_redist(vm, vcpu, reg, value) || set_redist(vm, vcpu, reg + 4, value >> 32) ? -1 : 0;
}

int lpi_set_tables(struct odd_vm *vm, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (set_redist_64(vm, i, GICR_PROPBASER, (ITS_RAM_BASE + LPI_CONFIG) | (ID_BITS - 1)) ||
		    set_redist_64(vm, i, GICR_PENDBASER, ITS_RAM_BASE + LPI_PENDING(i)))
			return -1;
	return 0;
}

int lpi_enable(struct odd_vm *vm, unsigned int vcpu, bool on)
{
	return set_redist(vm, vcpu, GICR_CTLR, on);
}

int lpi_get_ctlr(struct odd_vm *vm, unsigned int vcpu, uint32_t *ctlr)
{
	struct kvm_device_attr a = { .group = KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, .addr = (uintptr_t)ctlr,
				     .attr = (uint64_t)vcpu << 32 | GICR_CTLR };

	return ioctl(vm->gic_fd, KVM_GET_DEVICE_ATTR, &a);
}

void lpi_configure(uint32_t lpi, uint8_t config)
{
	table(LPI_CONFIG)[lpi - LPI_MIN] = config;
}

void lpi_mark_pending(unsigned int vcpu, uint32_t lpi, bool pending)
{
	uint8_t *byte = &table(LPI_PENDING(vcpu))[lpi / 8], bit = 1u << lpi % 8;

	*byte = pending ? *byte | bit : *byte & ~bit;
}

bool lpi_is_marked(unsigned int vcpu, uint32_t lpi)
{
	return table(LPI_PENDING(vcpu))[lpi / 8] >> lpi % 8 & 1;
}

int lpi_save_pending(struct odd_vm *vm)
{
	return odd_set_attr(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, NULL);
}

int lpi_set_guest(struct odd_vm *vm, unsigned int vcpu)
{
	memcpy(vm->ram + CODE, lpi_guest, lpi_guest_end - lpi_guest);
	return odd_set_reg(vm, vcpu, ODD_CORE(regs.pc), ODD_RAM_BASE + CODE) ||
	       odd_set_reg(vm, vcpu, ODD_CORE(regs.regs[6]), ITS_RAM_BASE + LPI_MAY_TAKE) ||
	       odd_set_reg(vm, vcpu, ODD_CORE(regs.regs[7]), ITS_RAM_BASE + LPI_TAKEN(vcpu)) ? -1 : 0;
}

int lpi_enable_group(struct odd_vm *vm)
{
	uint32_t ctlr = 0x12;	/* ARE, EnableGrp1 */

	return odd_set_attr(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, &ctlr);
}

volatile uint64_t *lpi_may_take(void)
{
	return (volatile uint64_t *)table(LPI_MAY_TAKE);
}

unsigned int lpi_taken(unsigned int vcpu, uint32_t lpi)
{
	return *(volatile uint8_t *)(table(LPI_TAKEN(vcpu)) + lpi);
}
