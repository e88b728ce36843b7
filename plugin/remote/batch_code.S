/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Executes an array of struct batch_slot: x19 the first slot, x20 how many.
 * Position independent; copied into the task and ended by a breakpoint, with x20
 * the number of slots not executed, or executed and failed.
 *
 * Uses no FP register and no stack: the task's own may be in any state.
 */
	.section .rodata
	.balign 8
	.globl	batch_code
	.hidden	batch_code
batch_code:
	ldp	x8, x0, [x19]
	ldp	x1, x2, [x19, #16]
	ldp	x3, x4, [x19, #32]
	ldr	x5, [x19, #48]
	svc	#0
	ldr	x9, [x19, #56]
	str	x0, [x19, #56]
	cmn	x0, x9
	b.eq	1f
	/* mmap returns addresses, which are positive here: the sign alone tells an error */
	tbnz	x0, #63, 2f
1:	add	x19, x19, #64
	subs	x20, x20, #1
	b.ne	batch_code
2:	brk	#0
	.globl	batch_code_end
	.hidden	batch_code_end
batch_code_end:

	.section .note.GNU-stack, "", %progbits
