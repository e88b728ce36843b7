/* SPDX-License-Identifier: GPL-2.0-only */
/* Entry of every vCPU (x0 = its index), translation on, exception vectors. */
#include "vm_abi.h"

#define STACK_SIZE	0x4000

	.section .text.start, "ax"
	.global	_start
_start:
	b	entry
	.word	GUEST_VERSION
	.quad	guest_wfi

entry:
	mov	x19, x0
	ldr	x1, =vectors
	msr	vbar_el1, x1
	ldr	x1, =0x04ff			/* attr 1: Device-nGnRE, attr 0: Normal WB */
	msr	mair_el1, x1
	ldr	x1, =0x00803519			/* T0SZ 25, WB, inner shareable, EPD1 */
	msr	tcr_el1, x1
	ldr	x1, =page_table
	msr	ttbr0_el1, x1
	msr	ttbr1_el1, x1
	dsb	sy
	tlbi	vmalle1
	dsb	sy
	isb
	ldr	x1, =0x30d0180d			/* RES1, I, SA, C, M */
	msr	sctlr_el1, x1
	mov	x1, #(3 << 20)			/* FP not trapped */
	msr	cpacr_el1, x1
	isb
	ldr	x1, =stacks
	mov	x2, #STACK_SIZE
	add	x3, x19, #1
	madd	x1, x2, x3, x1
	mov	sp, x1
	mov	x0, x19
	bl	guest_main
1:	b	1b

	.macro	fatal_vector
	.balign	0x80
	b	fatal_entry
	.endm

	.balign	0x800
	.global	vectors
vectors:
	.rept	4				/* current EL, SP_EL0: not used */
	fatal_vector
	.endr
	fatal_vector				/* synchronous */
	.balign	0x80
	b	irq_entry
	.rept	10
	fatal_vector
	.endr

/* x19-x28 and the FP registers are kept by the C code. */
irq_entry:
	sub	sp, sp, #192
	stp	x0, x1, [sp, #0]
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x29, [sp, #144]
	mrs	x0, elr_el1
	stp	x30, x0, [sp, #160]
	mrs	x0, spsr_el1
	str	x0, [sp, #176]
	bl	guest_irq
	ldr	x0, [sp, #176]
	msr	spsr_el1, x0
	ldp	x30, x0, [sp, #160]
	msr	elr_el1, x0
	ldp	x18, x29, [sp, #144]
	ldp	x16, x17, [sp, #128]
	ldp	x14, x15, [sp, #112]
	ldp	x12, x13, [sp, #96]
	ldp	x10, x11, [sp, #80]
	ldp	x8, x9, [sp, #64]
	ldp	x6, x7, [sp, #48]
	ldp	x4, x5, [sp, #32]
	ldp	x2, x3, [sp, #16]
	ldp	x0, x1, [sp, #0]
	add	sp, sp, #192
	eret

/* The stack may be what is broken: take its own again, report and stop. */
fatal_entry:
	mrs	x0, tpidr_el1
	ldr	x1, [x0, #16]			/* struct cpu.stack_top */
	mov	sp, x1
	b	guest_fatal

	.section .rodata
	.balign	4096
page_table:
	.quad	0x0060000000000405		/* 0: Device, XN */
	.quad	0x0040000040000701		/* 1 GiB: Normal, inner shareable */
	.fill	510, 8, 0

	.bss
	.balign	16
stacks:
	.space	STACK_SIZE * VM_MAX_VCPUS
