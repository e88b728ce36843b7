/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest at EL1 in AArch32. It fills the registers of all modes and those of VFP with values that change
 * in each round, reads and writes MMIO, and looks at all of them again. For clang's assembler: the compiler
 * of an arm64 host has none for A32. It is copied: there are only branches within.
 *
 * r0: the device; r4: number of the access; r5: its value; r6: what a number is multiplied by; r7: of which
 * all values of this round are made. TPIDRURO: where its counter is; TPIDRURW: whether the CPU tells KVM of
 * sign extensions.
 */
#include "accesses.h"

#define MODE_FIQ 0x11
#define MODE_IRQ 0x12
#define MODE_SVC 0x13
#define MODE_ABT 0x17
#define MODE_UND 0x1b
#define MODE_SYS 0x1f

	.syntax	unified
	.fpu	neon-fp-armv8
	.arm

/* What register no. @k holds in this round. */
	.macro	value_of dst, k
	movw	\dst, #(\k * 0x1357) & 0xffff
	movt	\dst, #(\k * 0x2468) & 0xffff
	add	\dst, \dst, r7
	.endm

	.macro	fill reg, k
	value_of r1, \k
	mov	\reg, r1
	.endm

	.macro	check reg, k
	mov	r1, \reg
	value_of r2, \k
	mov	r3, #\k
	cmp	r1, r2
	bne	wrong
	.endm

/* The bits of a program status register that hold what is written: N to Q, GE, A to F; and mode usr. */
	.macro	psr_value dst, tmp, k
	value_of \dst, \k
	movw	\tmp, #0x01c0
	movt	\tmp, #0xf80f
	and	\dst, \dst, \tmp
	orr	\dst, \dst, #0x10
	.endm

	.macro	fill_psr k
	psr_value r1, r2, \k
	msr	spsr_fsxc, r1
	.endm

	.macro	check_psr k
	mrs	r1, spsr
	psr_value r2, r3, \k
	mov	r3, #\k
	cmp	r1, r2
	bne	wrong
	.endm

	.macro	fill_fp n
	value_of r1, 64 + \n
	mvn	r2, r1
	vmov	d\n, r1, r2
	.endm

	.macro	check_fp n
	vmov	r1, r3, d\n
	value_of r2, 64 + \n
	cmp	r1, r2
	mvn	r2, r2
	cmpeq	r3, r2
	mov	r3, #64 + \n
	bne	wrong
	.endm

/* FPSCR: N to Q, and the cumulative exceptions. */
	.macro	fpscr_value dst, tmp
	value_of \dst, 63
	movw	\tmp, #0x009f
	movt	\tmp, #0xf800
	and	\dst, \dst, \tmp
	.endm

	.macro	fill_fpscr
	fpscr_value r1, r2
	vmsr	fpscr, r1
	.endm

	.macro	check_fpscr
	vmrs	r1, fpscr
	fpscr_value r2, r3
	mov	r3, #63
	cmp	r1, r2
	bne	wrong
	.endm

	.macro	all_registers do, do_psr, do_fp, do_fpscr
	\do	r8, 1
	\do	r9, 2
	\do	r10, 3
	\do	r11, 4
	\do	r12, 5
	\do	sp, 6
	\do	lr, 7
	.set	k, 8
	.irp	mode, MODE_IRQ, MODE_SVC, MODE_ABT, MODE_UND
	cps	#\mode
	\do	sp, k
	\do	lr, k + 1
	\do_psr	k + 2
	.set	k, k + 3
	.endr
	cps	#MODE_FIQ
	\do	r8, 20
	\do	r9, 21
	\do	r10, 22
	\do	r11, 23
	\do	r12, 24
	\do	sp, 25
	\do	lr, 26
	\do_psr	27
	cps	#MODE_SYS
	\do_fpscr
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	\do_fp	\n
	.endr
	.endm

	.macro	next_value
	add	r4, r4, #1
	mul	r5, r4, r6
	mvn	r1, r5
	mov	r3, #0
	.endm

	.macro	endian big
	.if	\big
	setend	be
	.else
	setend	le
	.endif
	.endm

	.macro	read addr, big, insn, result
	next_value
	endian	\big
	\insn	r1, [r0, #\addr]
	endian	0
	\result	r2, r5
	cmp	r1, r2
	bne	wrong
	.endm

	.macro	read_signed addr, big, insn, result, plain
	next_value
	endian	\big
	\insn	r1, [r0, #\addr]
	endian	0
	mrc	p15, 0, r3, c13, c0, 2
	cmp	r3, #0
	\result	r2, r5
	\plain\()eq r2, r5
	cmp	r1, r2
	bne	wrong
	.endm

/* Were the state of the IT block lost, what follows the read in it would not be right. */
	.macro	read_thumb addr, insn, result
	next_value
	add	r3, pc, #1
	bx	r3
	.thumb
	mov	r3, #0
	cmp	r0, r0
	itte	eq
	\insn\()eq r1, [r0, #\addr]
	addeq	r3, #1
	addne	r3, #2
	nop
	bx	pc
	nop
	.arm
	cmp	r3, #1
	bne	wrong
	\result	r2, r5
	cmp	r1, r2
	bne	wrong
	.endm

	.macro	write addr, big, insn
	next_value
	endian	\big
	\insn	r5, [r0, #\addr]
	endian	0
	.endm

/* For VBAR. The VMM starts the vCPU at the reset vector. */
vectors:
	b	start
	.rept	7
	b	trap
	.endr

start:
	mrc	p15, 0, r1, c1, c0, 2	/* CPACR */
	orr	r1, r1, #0xf << 20
	mcr	p15, 0, r1, c1, c0, 2
	isb
	mov	r1, #1 << 30		/* FPEXC.EN */
	vmsr	fpexc, r1
	cps	#MODE_SYS

	add	r2, r0, #DEV_SIGN
	ldrsh	r1, [r2]
	mov	r2, #SIGN_BIT
	mov	r3, #0
	cmp	r1, r2
	sxthne	r2, r2
	movne	r3, #1
	mcr	p15, 0, r3, c13, c0, 2
	cmp	r1, r2
	bne	wrong

round:
	add	r7, r7, r6
	all_registers fill, fill_psr, fill_fp, fill_fpscr
	mov	r1, #0x20000		/* a moment in which KVM_RUN can be interrupted */
1:	subs	r1, r1, #1
	bne	1b
#define READ(addr, len, big, insn, result)	     read addr, big, insn, result;
#define SIGNED(addr, len, big, insn, result, plain) read_signed addr, big, insn, result, plain;
#define THUMB(addr, len, insn, result)		     read_thumb addr, insn, result;
#define WRITE(addr, len, big, insn)		     write addr, big, insn;
	ACCESSES(READ, SIGNED, THUMB, WRITE)
	all_registers check, check_psr, check_fp, check_fpscr
	mrc	p15, 0, r1, c13, c0, 3	/* TPIDRURO */
	ldr	r2, [r1]
	add	r2, r2, #1
	str	r2, [r1]
	b	round

wrong:	str	r1, [r0, #DEV_WRONG]
	b	.
trap:	mrs	r1, cpsr
	str	r1, [r0, #DEV_TRAP]
	b	.
