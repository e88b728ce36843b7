/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The MMIO accesses of the AArch32 guest in their order, for its assembler and for its VMM.
 *	READ(address, bytes, whether CPSR.E is set, instruction, what makes the result of the value)
 *	SIGNED(the same, and what makes it where the CPU does not tell KVM of sign extensions)
 *	THUMB(address, bytes, the same two): in an IT block
 *	WRITE(address, bytes, whether CPSR.E is set, instruction)
 */
#ifndef AARCH32_ACCESSES_H
#define AARCH32_ACCESSES_H

#define ACCESSES(READ, SIGNED, THUMB, WRITE) \
	READ(0x010, 1, 0, ldrb, uxtb) \
	READ(0x022, 2, 0, ldrh, uxth) \
	READ(0x034, 4, 0, ldr, mov) \
	SIGNED(0x041, 1, 0, ldrsb, sxtb, uxtb) \
	SIGNED(0x052, 2, 0, ldrsh, sxth, uxth) \
	READ(0x061, 1, 1, ldrb, uxtb) \
	READ(0x072, 2, 1, ldrh, uxth) \
	READ(0x084, 4, 1, ldr, mov) \
	SIGNED(0x092, 2, 1, ldrsh, sxth, uxth) \
	THUMB(0x014, 4, ldr, mov) \
	THUMB(0x026, 2, ldrh, uxth) \
	WRITE(0x0a1, 1, 0, strb) \
	WRITE(0x0b2, 2, 0, strh) \
	WRITE(0x0c4, 4, 0, str) \
	WRITE(0x0d1, 1, 1, strb) \
	WRITE(0x0e2, 2, 1, strh) \
	WRITE(0x0f4, 4, 1, str)

/* Registers of each vCPU's device that are none of these. */
#define DEV_SIGN  0xfe0 /* read as SIGN_BIT: whether the CPU tells KVM of sign extensions */
#define DEV_WRONG 0xff0 /* written with r1, which is not what r2 is; r3: of what register */
#define DEV_TRAP  0xff8 /* written with the CPSR of an exception */
#define SIGN_BIT  0x8000

#endif /* AARCH32_ACCESSES_H */
