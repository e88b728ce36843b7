// SPDX-License-Identifier: GPL-2.0-only
/* See rseq.h. */
#include <stdint.h>
#include <sys/ptrace.h>

#include "remote/rseq.h"
#include "remote/trace.h"

/* struct rseq_cs of include/uapi/linux/rseq.h, in words. */
enum { CS_FLAGS, CS_START_IP, CS_POST_COMMIT_OFFSET, CS_ABORT_IP, CS_WORDS };

int rseq_abort(pid_t tid)
{
	struct __ptrace_rseq_configuration conf;
	uint64_t cs_addr, at, cs[CS_WORDS], none = 0;
	struct user_regs_struct regs;
	int ret;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof(conf), &conf) < 0 || !conf.rseq_abi_pointer)
		return 0;
	at = conf.rseq_abi_pointer + 8; /* struct rseq, rseq_cs */
	ret = trace_peek(tid, at, &cs_addr, 1);
	if (ret || !cs_addr)
		return ret;
	ret = trace_peek(tid, cs_addr, cs, CS_WORDS) ?: trace_get_regs(tid, &regs);
	if (ret || regs.pc - cs[CS_START_IP] >= cs[CS_POST_COMMIT_OFFSET])
		return ret;
	regs.pc = cs[CS_ABORT_IP];
	return trace_set_regs(tid, &regs) ?: trace_poke(tid, at, &none, 1);
}
