// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu can be killed at any moment: out of memory, by a watchdog, by a user. A task
 * that is traced runs on then, from where it stands: inside our code, with our
 * registers. That code ends in rt_sigreturn on this frame.
 *
 * Layout: arch/arm64/include/uapi/asm/sigcontext.h.
 */
#include <asm/ptrace.h>
#include <asm/sigcontext.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "remote/trace.h"
#include "remote/way_back.h"

_Static_assert(sizeof(struct way_back) == 4688, "struct rt_sigframe");

/* The records that follow the general registers; a head of zeroes ends them. */
struct records {
	uint8_t *at, *end;
};

static void *add_record(struct records *r, uint32_t magic, uint32_t size)
{
	struct _aarch64_ctx *head = (void *)r->at;

	if (size > (size_t)(r->end - r->at))
		return NULL;
	*head = (struct _aarch64_ctx){ .magic = magic, .size = size };
	r->at += size;
	return head;
}

/* rt_sigreturn refuses a frame without one. */
static int add_fpsimd(pid_t tid, struct records *r)
{
	struct user_fpsimd_state fp;
	struct fpsimd_context *ctx;
	size_t size = sizeof(fp);
	int ret = trace_get_regset(tid, NT_PRFPREG, &fp, &size);

	if (ret)
		return ret;
	ctx = add_record(r, FPSIMD_MAGIC, sizeof(*ctx));
	if (!ctx)
		return -E2BIG;
	ctx->fpsr = fp.fpsr;
	ctx->fpcr = fp.fpcr;
	memcpy(ctx->vregs, fp.vregs, sizeof(ctx->vregs));
	return 0;
}

/* Where the registers are live, which they are not in a task that was stopped in a system call. */
static void add_sve(const struct user_sve_header *sve, size_t size, struct records *r)
{
	unsigned int vq, regs;
	struct sve_context *ctx;

	if (!sve || (sve->flags & SVE_PT_REGS_MASK) != SVE_PT_REGS_SVE)
		return;
	vq = sve_vq_from_vl(sve->vl);
	regs = SVE_SIG_REGS_SIZE(vq);
	ctx = add_record(r, SVE_MAGIC, (SVE_SIG_CONTEXT_SIZE(vq) + 15) & ~15u);
	if (ctx && SVE_PT_SVE_OFFSET + regs <= size) {
		ctx->vl = sve->vl;
		memcpy((uint8_t *)ctx + SVE_SIG_REGS_OFFSET, (const uint8_t *)sve + SVE_PT_SVE_OFFSET, regs);
	}
}

int way_back_build(pid_t tid, const struct user_regs_struct *regs, uint64_t sigmask, const void *sve, size_t sve_size,
		   struct way_back *frame)
{
	mcontext_t *mc = &frame->uc.uc_mcontext;
	struct records r = {
		.at = mc->__reserved,
		.end = mc->__reserved + sizeof(mc->__reserved) - sizeof(struct _aarch64_ctx),
	};
	int ret;

	memset(frame, 0, sizeof(*frame));
	/* A stack that is none: rt_sigreturn then leaves the alternative signal stack as it is. */
	frame->uc.uc_stack.ss_flags = -1;
	memcpy(&frame->uc.uc_sigmask, &sigmask, sizeof(sigmask));
	memcpy(mc->regs, regs->regs, sizeof(regs->regs));
	mc->sp = regs->sp;
	mc->pc = regs->pc;
	mc->pstate = regs->pstate;
	ret = add_fpsimd(tid, &r);
	if (!ret)
		add_sve(sve, sve_size, &r);
	return ret;
}
