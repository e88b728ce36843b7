/* SPDX-License-Identifier: GPL-2.0-only */
/* SVE registers of a guest in C, whose compiler leaves them alone. */
	.section guest, "ax"
	.arch_extension sve

	.macro	function name
	.globl	\name
	.hidden	\name
\name:
	.endm

	/* All Z registers at x0, all P registers at x1, laid out as LDR and STR do. */
	.macro	all op
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	\op	z\n, [x0, #\n, mul vl]
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\op	p\n, [x1, #\n, mul vl]
	.endr
	.endm

/* x2: how many elements FFR has, of a byte each: it is true up to one, and false from there, by definition */
	function guest_sve_load
	whilelo	p0.b, xzr, x2
	wrffr	p0.b
	all	ldr
	ret

/* The answer: whether FFR is what x2 says. */
	function guest_sve_store
	all	str
	rdffr	p0.b
	whilelo	p1.b, xzr, x2
	ptrue	p2.b
	eors	p3.b, p2/z, p0.b, p1.b
	cset	x0, eq
	ret

	function guest_sve_vl
	rdvl	x0, #1
	ret

	.section .note.GNU-stack, "", %progbits
