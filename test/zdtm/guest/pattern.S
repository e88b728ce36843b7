/* SPDX-License-Identifier: GPL-2.0-only */
/* Register patterns that C cannot hold live. */

#define FP_STEP		0x9e5
#define GPR_STEP	0x1f7

/* Each register is its lower neighbour plus GPR_STEP. */
	.macro	chain_up low, next, more:vararg
	add	x\next, x\low, #GPR_STEP
	.ifnb	\more
	chain_up \next, \more
	.endif
	.endm

	.macro	chain_down high, next, more:vararg
	sub	x\high, x\high, x\next
	sub	x\high, x\high, #GPR_STEP
	orr	x30, x30, x\high
	.ifnb	\more
	chain_down \next, \more
	.endif
	.endm

	.text

/* The one WFI of the guest: the runner knows its address. */
	.global	guest_wfi
guest_wfi:
	wfi
	ret

/* void fp_fill(u64 seed): both halves of v0-v31 */
	.global	fp_fill
fp_fill:
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	mov	v\n\().d[0], x0
	add	x0, x0, #FP_STEP
	mov	v\n\().d[1], x0
	add	x0, x0, #FP_STEP
	.endr
	ret

/* u64 fp_differs(u64 seed): 0 when v0-v31 hold what fp_fill(seed) put there */
	.global	fp_differs
fp_differs:
	mov	x3, #0
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	mov	x2, v\n\().d[0]
	eor	x2, x2, x0
	orr	x3, x3, x2
	add	x0, x0, #FP_STEP
	mov	x2, v\n\().d[1]
	eor	x2, x2, x0
	orr	x3, x3, x2
	add	x0, x0, #FP_STEP
	.endr
	mov	x0, x3
	ret

/*
 * u64 gpr_hold(u64 seed, u64 mmio, u64 spins, u64 *value)
 * Fill x3-x30 and the flags, spin, read the MMIO register, spin again; return
 * 0 when every register still holds its pattern.
 */
	.global	gpr_hold
gpr_hold:
	stp	x29, x30, [sp, #-112]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	stp	x0, x3, [sp, #96]
	and	x3, x0, #0xf0000000
	msr	nzcv, x3
	add	x3, x0, #GPR_STEP
	chain_up 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
1:	sub	x2, x2, #1
	cbnz	x2, 1b
	ldr	x2, [x1]
	mov	x1, #2000
2:	sub	x1, x1, #1
	cbnz	x1, 2b
	mrs	x1, nzcv
	/* x30 collects the differences, from the top of the chain down. */
	sub	x30, x30, x29
	sub	x30, x30, #GPR_STEP
	chain_down 29,28,27,26,25,24,23,22,21,20,19,18,17,16,15,14,13,12,11,10,9,8,7,6,5,4,3
	sub	x3, x3, x0
	sub	x3, x3, #GPR_STEP
	orr	x30, x30, x3
	ldp	x3, x4, [sp, #96]
	eor	x5, x3, x0
	orr	x30, x30, x5
	and	x5, x3, #0xf0000000
	eor	x5, x5, x1
	orr	x0, x30, x5
	str	x2, [x4]
	ldp	x27, x28, [sp, #80]
	ldp	x25, x26, [sp, #64]
	ldp	x23, x24, [sp, #48]
	ldp	x21, x22, [sp, #32]
	ldp	x19, x20, [sp, #16]
	ldp	x29, x30, [sp], #112
	ret
