/* SPDX-License-Identifier: GPL-2.0-only */
/* See hold.h. The loops use no flags, and no register that is held. */
#define OUT		784
#define DEADLINE	1568
#define WAIT_FD		1576
#define BYTE		1584
#define NZCV		248
#define FPCR		256
#define FPSR		264
#define V		272

	.arch	armv8.3-a

	.macro	save_all
	stp	x29, x30, [sp, #-160]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	stp	d8, d9, [sp, #96]
	stp	d10, d11, [sp, #112]
	stp	d12, d13, [sp, #128]
	stp	d14, d15, [sp, #144]
	.endm

	.macro	restore_all
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	d8, d9, [sp, #96]
	ldp	d10, d11, [sp, #112]
	ldp	d12, d13, [sp, #128]
	ldp	d14, d15, [sp, #144]
	ldp	x29, x30, [sp], #160
	.endm

	/* ldp or stp of all vectors at x9 */
	.macro	vectors op
	.irp	n, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
	vector_pair \op, \n, %(\n + 1)
	.endr
	.endm
	.altmacro
	.macro	vector_pair op, n, m
	\op	q\n, q\m, [x9, #16 * \n]
	.endm

	/* x28: struct hold */
	.macro	load_all
	add	x9, x28, #V
	vectors	ldp
	ldr	x9, [x28, #NZCV]
	msr	nzcv, x9
	ldr	x9, [x28, #FPCR]
	msr	fpcr, x9
	ldr	x9, [x28, #FPSR]
	msr	fpsr, x9
	ldp	x0, x1, [x28, #0]
	ldp	x2, x3, [x28, #16]
	ldp	x4, x5, [x28, #32]
	ldp	x6, x7, [x28, #48]
	ldr	x8, [x28, #64]
	ldr	x10, [x28, #DEADLINE]
	ldr	x11, [x28, #88]
	ldp	x12, x13, [x28, #96]
	ldp	x14, x15, [x28, #112]
	ldp	x16, x17, [x28, #128]
	ldp	x18, x19, [x28, #144]
	ldp	x20, x21, [x28, #160]
	ldp	x22, x23, [x28, #176]
	ldp	x24, x25, [x28, #192]
	ldp	x26, x27, [x28, #208]
	ldp	x29, x30, [x28, #232]
	.endm

	.macro	store_all
	add	x9, x28, #OUT
	stp	x0, x1, [x9, #0]
	stp	x2, x3, [x9, #16]
	stp	x4, x5, [x9, #32]
	stp	x6, x7, [x9, #48]
	stp	x8, xzr, [x9, #64]
	stp	x10, x11, [x9, #80]
	stp	x12, x13, [x9, #96]
	stp	x14, x15, [x9, #112]
	stp	x16, x17, [x9, #128]
	stp	x18, x19, [x9, #144]
	stp	x20, x21, [x9, #160]
	stp	x22, x23, [x9, #176]
	stp	x24, x25, [x9, #192]
	stp	x26, x27, [x9, #208]
	stp	xzr, x29, [x9, #224]
	str	x30, [x9, #240]
	mrs	x0, nzcv
	mrs	x1, fpcr
	mrs	x2, fpsr
	stp	x0, x1, [x9, #NZCV]
	str	x2, [x9, #FPSR]
	add	x9, x9, #V
	vectors	stp
	msr	fpcr, xzr
	.endm

	.text
	.globl	hold_regs
hold_regs:
	save_all
	mov	x28, x0
	load_all
1:	mrs	x9, cntvct_el0
	sub	x9, x9, x10
	tbnz	x9, #63, 1b
	store_all
	restore_all
	ret

	.globl	hold_in_call
hold_in_call:
	save_all
	mov	x28, x0
	load_all
	ldr	x0, [x28, #WAIT_FD]
	add	x1, x28, #BYTE
	mov	x2, #1
	mov	x8, #63				/* read */
	svc	#0
	store_all
	restore_all
	ret

/* x0: h, x1: rseq_cs, x2: aborts. The signature before the abort handler is glibc's RSEQ_SIG. */
	.globl	hold_rseq
hold_rseq:
	ldr	x3, [x0, #DEADLINE]
	mov	x4, #0				/* the longest time */
	adrp	x5, descriptor
	add	x5, x5, :lo12:descriptor
2:	str	x5, [x1]
start:	mrs	x6, cntvct_el0
3:	mrs	x7, cntvct_el0
	sub	x6, x7, x6
	cmp	x6, x4
	csel	x4, x6, x4, hi
	mov	x6, x7
	sub	x7, x7, x3
	tbnz	x7, #63, 3b
end:	str	xzr, [x1]
	mov	x0, x4
	ret
	.inst	0xd428bc00
aborted:
	ldr	x6, [x2]
	add	x6, x6, #1
	str	x6, [x2]
	b	2b

	.pushsection .data.rel.ro, "aw"
	.balign	32
descriptor:
	.word	0, 0				/* version, flags */
	.quad	start
	.quad	end - start
	.quad	aborted
	.popsection

	.arch_extension sve
	.macro	sve_all op, zbase, pbase
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	\op	z\n, [\zbase, #\n, mul vl]
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\op	p\n, [\pbase, #\n, mul vl]
	.endr
	.endm

#define SVE_P	8192
#define SVE_FFR	(8192 + 512)
#define SVE_ZA	(8192 + 512 + 32)

	.macro	sve_pointers base, pbase, fbase, abase
	add	\pbase, \base, #SVE_P
	add	\fbase, \pbase, #(SVE_FFR - SVE_P)
	add	\abase, \fbase, #(SVE_ZA - SVE_FFR)
	.endm

	.globl	hold_sve
hold_sve:
	save_all
	sve_pointers x0, x3, x4, x5
	ldr	p0, [x4]
	wrffr	p0.b
	sve_all	ldr, x0, x3
1:	mrs	x9, cntvct_el0
	sub	x9, x9, x2
	tbnz	x9, #63, 1b
	sve_pointers x1, x3, x4, x5
	sve_all	str, x1, x3
	rdffr	p0.b
	str	p0, [x4]
	restore_all
	ret

	.arch_extension sme
	.globl	hold_svl
hold_svl:
	rdsvl	x0, #1
	ret

	.globl	hold_sme
hold_sme:
	save_all
	smstart
	rdsvl	x10, #1
	sve_pointers x0, x3, x4, x5
	mov	w12, #0
1:	ldr	za[w12, 0], [x5]
	add	x5, x5, x10
	add	w12, w12, #1
	cmp	w12, w10
	b.lo	1b
	sve_all	ldr, x0, x3
2:	mrs	x9, cntvct_el0
	sub	x9, x9, x2
	tbnz	x9, #63, 2b
	sve_pointers x1, x3, x4, x5
	sve_all	str, x1, x3
	mov	w12, #0
3:	str	za[w12, 0], [x5]
	add	x5, x5, x10
	add	w12, w12, #1
	cmp	w12, w10
	b.lo	3b
	smstop
	restore_all
	ret

	.globl	hold_sign
hold_sign:
	mov	x2, #0x1234
	mov	x3, x0
	pacia	x3, x2
	mov	x4, x0
	pacib	x4, x2
	stp	x3, x4, [x1]
	mov	x3, x0
	pacda	x3, x2
	mov	x4, x0
	pacdb	x4, x2
	stp	x3, x4, [x1, #16]
	pacga	x3, x0, x2
	str	x3, [x1, #32]
	ret

	.section .note.GNU-stack, "", %progbits
