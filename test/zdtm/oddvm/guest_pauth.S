/* SPDX-License-Identifier: GPL-2.0-only */
/* Pointer authentication by a guest in C. The order of keys: IA, IB, DA, DB, GA. */
	.section guest, "ax"
	.arch	armv8.3-a

	.macro	function name
	.globl	\name
	.hidden	\name
\name:
	.endm

/* x0: a pointer, x1: the modifier, x2: what each key makes of them */
	function guest_sign
	mov	x3, x0
	pacia	x3, x1
	mov	x4, x0
	pacib	x4, x1
	stp	x3, x4, [x2]
	mov	x3, x0
	pacda	x3, x1
	mov	x4, x0
	pacdb	x4, x1
	stp	x3, x4, [x2, #16]
	pacga	x3, x0, x1
	str	x3, [x2, #32]
	ret

/* x0: signed pointers, x1: the modifier, x2: what authentication with each key makes of them, all but GA */
	function guest_authenticate
	ldp	x3, x4, [x0]
	ldp	x5, x6, [x0, #16]
	autia	x3, x1
	autib	x4, x1
	autda	x5, x1
	autdb	x6, x1
	stp	x3, x4, [x2]
	stp	x5, x6, [x2, #16]
	ret

	.section .note.GNU-stack, "", %progbits
