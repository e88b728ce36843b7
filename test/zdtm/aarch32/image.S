/* SPDX-License-Identifier: GPL-2.0-only */
	.section .rodata
	.balign	32
	.global	guest32, guest32_end
	.hidden	guest32, guest32_end
guest32:
	.incbin	"guest32.bin"
guest32_end:
	.section .note.GNU-stack, "", @progbits
