/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What runs inside the task: one system call (one_call), or an array of struct
 * batch_slot (batch_code). Position independent; uses no FP register and no stack.
 *
 * Each ends with a signal to itself, at which its tracer takes over. A task that
 * has lost its tracer, criu having been killed, ignores that signal (SIGURG) and goes
 * on to rt_sigreturn, with sp at a frame that holds what it was before: it runs on.
 *
 * x21: its pid, x22: its tid, in its own pid namespace.
 */
#define SIGURG		23
#define NR_tgkill	131
#define NR_rt_sigreturn	139

	.macro	stop_or_return name
	mov	x0, x21
	mov	x1, x22
	mov	x2, #SIGURG
	mov	x8, #NR_tgkill
	svc	#0
	.globl	\name\()_stop		/* the PC at the tracer's stop */
	.hidden	\name\()_stop
\name\()_stop:
	mov	x8, #NR_rt_sigreturn
	svc	#0
	.globl	\name\()_end
	.hidden	\name\()_end
\name\()_end:
	.endm

	.section .rodata
	.balign 8
	.globl	one_call
	.hidden	one_call
/* x0 to x5, x8: the call. x20: its result. */
one_call:
	svc	#0
	mov	x20, x0
	stop_or_return one_call

	.balign 8
	.globl	batch_code
	.hidden	batch_code
/* x19: the first slot, x20: how many. x20: the number of slots not executed, or executed and failed. */
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
2:	stop_or_return batch_code

	.section .note.GNU-stack, "", %progbits
