/* SPDX-License-Identifier: GPL-2.0-only */
/* Where a guest in C starts, and its exception vectors. */
#include "guest.h"

	/* The page's alignment is the section's: adrp means the same in the copy. */
	.section guest, "ax"
	.balign	4096

	.globl	guest_vectors, guest_start
	.hidden	guest_vectors, guest_start
guest_vectors:
	.set	n, 0
	.rept	16
	.balign	0x80
	sub	sp, sp, #GUEST_FRAME
	stp	x0, x1, [sp]
	mov	x1, #8 * (n & 3)
	b	exception
	.set	n, n + 1
	.endr

	.balign	0x80
exception:
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
	mrs	x2, elr_el1
	stp	x30, x2, [sp, #240]
	mrs	x2, spsr_el1
	mrs	x3, esr_el1
	stp	x2, x3, [sp, #256]
	mrs	x2, far_el1
	str	x2, [sp, #272]
	mrs	x0, tpidr_el1
	add	x2, x0, x1
	ldr	x2, [x2, #GUEST_HANDLERS]
	mov	x1, sp
	blr	x2
	ldr	x2, [sp, #256]
	msr	spsr_el1, x2
	ldp	x30, x2, [sp, #240]
	msr	elr_el1, x2
	ldp	x28, x29, [sp, #224]
	ldp	x26, x27, [sp, #208]
	ldp	x24, x25, [sp, #192]
	ldp	x22, x23, [sp, #176]
	ldp	x20, x21, [sp, #160]
	ldp	x18, x19, [sp, #144]
	ldp	x16, x17, [sp, #128]
	ldp	x14, x15, [sp, #112]
	ldp	x12, x13, [sp, #96]
	ldp	x10, x11, [sp, #80]
	ldp	x8, x9, [sp, #64]
	ldp	x6, x7, [sp, #48]
	ldp	x4, x5, [sp, #32]
	ldp	x2, x3, [sp, #16]
	ldp	x0, x1, [sp], #GUEST_FRAME
	eret

/* x0 is all that a vCPU turned on by PSCI has. */
guest_start:
	mov	x2, x0
	and	x0, x0, #~(GUEST_CPU_SIZE - 1)
	str	x2, [x0, #GUEST_CONTEXT]
	add	x1, x0, #GUEST_CPU_SIZE
	mov	sp, x1
	msr	tpidr_el1, x0
	adr	x1, guest_vectors
	msr	vbar_el1, x1
	isb
	ldr	x1, [x0, #GUEST_ENTRY]
	blr	x1
	b	.

	.section .note.GNU-stack, "", %progbits
