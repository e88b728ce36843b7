/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What runs inside the task, in its text: one system call (one_call), or an array of struct batch_slot and struct batch_run
 * (batch_code). Position independent; uses no FP register and no stack.
 *
 * Both end with a signal to itself, at which its tracer takes over. A task that
 * has lost its tracer, criu having been killed, ignores that signal (SIGURG), gives back
 * the memory that was ours, and goes on to rt_sigreturn, with sp at a frame that holds
 * what it was before: it runs on.
 *
 * x21: its pid, x22: its tid, in its own pid namespace. x23, x24: the memory that is ours, and its
 * size, 0 to leave it there; x23 is 0 while the one call is the mmap() of it. It is given back once: afterwards another thread, which
 * runs when criu has been killed, may have mapped something there.
 */
#define SIGURG		23
#define NR_ioctl	29
#define NR_tgkill	131
#define NR_rt_sigreturn	139
#define NR_munmap	215
#define NR_mprotect	226
#define PROT_READ_WRITE	3

	.macro	label name
	.globl	\name
	.hidden	\name
\name:
	.endm

	.section .rodata
	.balign 8
/*
 * x0 to x5, x8: the call. x20: its result. x26: bytes, where it is the mmap() of our memory, that are to be read and written; x27:
 * whether they are, as mprotect() answers. Else x26 is 0.
 */
	label	task_code
	label	one_call
	svc	#0
	mov	x20, x0
	cbz	x26, one_call_tail
	mov	x1, x26
	mov	x2, #PROT_READ_WRITE
	mov	x8, #NR_mprotect
	svc	#0
	mov	x27, x0
one_call_tail:
	mov	x0, x21
	mov	x1, x22
	mov	x2, #SIGURG
	mov	x8, #NR_tgkill
	svc	#0
	label	one_call_stop			/* the PC at the tracer's stop */
	cbz	x24, 2f
	cbnz	x23, 1f
	mov	x23, x20
1:	mov	x0, x23
	mov	x1, x24
	mov	x8, #NR_munmap
	svc	#0
2:	mov	x8, #NR_rt_sigreturn
	svc	#0

/*
 * x19: the first slot, x20: how many calls, x25: the first result. x20: the number of calls not executed, or executed and failed. x27: 1
 * to give back the memory when there are none, in which nothing is read or written any more then: what munmap() answers; else 0.
 */
	label	batch_code
	ldr	x8, [x19]
	lsr	x1, x8, #32
	cbnz	x1, 1f
	ldp	x11, x1, [x19, #8]		/* struct batch_slot */
	ldp	x2, x3, [x19, #24]
	ldp	x4, x5, [x19, #40]
	ldp	w9, w26, [x19, #56]
	mov	x10, #1
	b	2f
1:	mov	w11, w8				/* struct batch_run */
	add	x2, x19, #8
	ldp	w10, w9, [x19, #32]
	ldp	x12, x13, [x19, #40]
	ldp	w14, w15, [x19, #56]
	add	x15, x19, x15
	mov	x26, #0
	mov	x8, #NR_ioctl
2:	mov	x0, x11
	svc	#0
	str	x0, [x25], #8
	cmn	x0, x9
	b.eq	3f
	/* mmap returns addresses, which are positive here: the sign alone tells an error */
	tbnz	x0, #63, one_call_tail
3:	sub	x20, x20, #1
	subs	x10, x10, #1
	b.eq	5f
	ldp	x16, x17, [x15]			/* to the next of a run: its number, and where its value is */
	add	x16, x16, x13
	add	x17, x17, x14
	cbz	x12, 4f
	ldr	x16, [x12, #8]!
4:	stp	x16, x17, [x15]
	b	2b
5:	cmp	x26, #0				/* none, or all that it was to answer: else it has failed too */
	ccmp	x0, x26, #4, ne
	cinc	x20, x20, ne
	b.ne	one_call_tail
	add	x19, x19, #64
	cbnz	x20, batch_code
	cbz	x27, one_call_tail
	mov	x0, x23
	mov	x1, x24
	mov	x24, #0
	mov	x8, #NR_munmap
	svc	#0
	mov	x27, x0
	b	one_call_tail
	label	task_code_end

	.section .note.GNU-stack, "", %progbits
