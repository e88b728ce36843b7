// SPDX-License-Identifier: GPL-2.0-only
/* See pending_write.h. */
#include <errno.h>
#include <string.h>

#include "log.h"
#include "remote/remote.h"
#include "state/pending_write.h"

#define PSTATE_MODE 0x1f
#define PSTATE_AARCH32 0x10
#define PSTATE_EL1T 0x4
#define PSTATE_EL1H 0x5
#define PSTATE_BTYPE 0xc00ull
#define PSTATE_SS (1ull << 21)

/* The classes of ESR_EL1: instruction and data aborts, from EL0 and from EL1. */
#define ESR_EC(esr) ((esr) >> 26 & 0x3f)
#define EC_IABT_EL0 0x20
#define EC_IABT_EL1 0x21
#define EC_DABT_EL0 0x24
#define EC_DABT_EL1 0x25

/* What an exception to EL1 changes, but for PC and PSTATE. */
static const uint64_t of_exception[] = {
	ARM64_CORE_ELR_EL1, ARM64_CORE_SPSR_EL1,
	ARM64_ESR_EL1, ARM64_FAR_EL1, ARM64_AFSR0_EL1, ARM64_AFSR1_EL1,
};

#define NR_OF_EXCEPTION (sizeof(of_exception) / sizeof(of_exception[0]))

/* Where a synchronous exception of @pstate goes, from VBAR_EL1. */
static uint64_t vector_of(uint64_t pstate)
{
	switch (pstate & PSTATE_MODE) {
	case PSTATE_EL1T:
		return 0;
	case PSTATE_EL1H:
		return 0x200;
	}
	return pstate & PSTATE_AARCH32 ? 0x600 : 0x400;
}

static bool is_abort(uint64_t esr)
{
	switch (ESR_EC(esr)) {
	case EC_IABT_EL0:
	case EC_IABT_EL1:
	case EC_DABT_EL0:
	case EC_DABT_EL1:
		return true;
	}
	return false;
}

/* ELR_EL1 and ESR_EL1 alone do not tell: an earlier abort of the same instruction leaves them so. */
int pending_is_aborted(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, bool *aborted)
{
	struct batch b = BATCH(remote, vm->id, "replay of a pending exit");
	const uint64_t *was = vcpu_reg_u64(vcpu, ARM64_CORE_PC), *vbar = vcpu_reg_u64(vcpu, ARM64_VBAR_EL1);
	const uint64_t *pstate = vcpu_reg_u64(vcpu, ARM64_CORE_PSTATE);
	uint64_t pc = 0, elr = 0, esr = 0;
	int ret;

	if (!was || !vbar || !pstate)
		return -EINVAL;
	b.vcpu = vcpu->idx;
	batch_get_reg(&b, vcpu->fd, ARM64_CORE_PC, &pc);
	batch_get_reg(&b, vcpu->fd, ARM64_CORE_ELR_EL1, &elr);
	batch_get_reg(&b, vcpu->fd, ARM64_ESR_EL1, &esr);
	ret = batch_run(&b);
	batch_fini(&b);
	*aborted = !ret && pc == (*vbar & ~0x7ffull) + vector_of(*pstate) && elr == *was && is_abort(esr);
	return ret;
}

bool pending_write_is_simple(const struct vcpu_state *vcpu)
{
	const uint64_t *pstate = vcpu_reg_u64(vcpu, ARM64_CORE_PSTATE);

	return vcpu->pending == VCPU_PENDING_WRITE && pstate && !(*pstate & PSTATE_AARCH32);
}

/* Of the saved ones: what later steps write is then right too. */
static bool change_reg(struct vcpu_state *vcpu, uint64_t id, uint64_t add, uint64_t clear)
{
	for (size_t i = 0; i < vcpu->nr_regs; i++) {
		uint64_t value;

		if (vcpu->regs[i].id != id)
			continue;
		memcpy(&value, vcpu->regs[i].value, sizeof(value));
		value = (value + add) & ~clear;
		memcpy(vcpu->regs[i].value, &value, sizeof(value));
		return true;
	}
	return false;
}

/* As kvm_handle_mmio_return() and kvm_skip_instr() do. */
int pending_write_complete(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu)
{
	struct batch b = BATCH(remote, vm->id, "completion of a pending exit");
	const struct kvm_run *run = (const struct kvm_run *)vcpu->run;
	int ret;

	for (size_t i = 0; i < NR_OF_EXCEPTION; i++)
		if (!vcpu_reg_u64(vcpu, of_exception[i]))
			return -EINVAL;
	if (!change_reg(vcpu, ARM64_CORE_PC, 4, 0) ||
	    !change_reg(vcpu, ARM64_CORE_PSTATE, 0, PSTATE_BTYPE | PSTATE_SS))
		return -EINVAL;
	b.vcpu = vcpu->idx;
	batch_set_reg(&b, vcpu->fd, ARM64_CORE_PC, vcpu_reg_u64(vcpu, ARM64_CORE_PC));
	batch_set_reg(&b, vcpu->fd, ARM64_CORE_PSTATE, vcpu_reg_u64(vcpu, ARM64_CORE_PSTATE));
	for (size_t i = 0; i < NR_OF_EXCEPTION; i++)
		batch_set_reg(&b, vcpu->fd, of_exception[i], vcpu_reg_u64(vcpu, of_exception[i]));
	ret = batch_run(&b);
	batch_fini(&b);
	if (!ret)
		pr_info("vm %u vcpu %u (id %u): pending write at %#llx completed: the guest has unmapped its "
			"page since\n",
			vm->id, vcpu->idx, vcpu->id, (unsigned long long)run->mmio.phys_addr);
	return ret;
}
