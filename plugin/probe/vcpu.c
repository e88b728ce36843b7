// SPDX-License-Identifier: GPL-2.0-only
/* See vcpu.h. */
#include <stdlib.h>

#include <linux/kvm.h>

#include "log.h"
#include "probe/discover.h"
#include "probe/kernel.h"
#include "probe/vcpu.h"
#include "state/kvm_run_page.h"

/* The iflags of a vCPU that was not in KVM_RUN: an exception that it is still to take, a PC still to move. */
#define IFLAGS_PENDING 0x3

/* VM_* of linux/mm.h, the same in the kernels that kernel.c knows; those of protection, file and kernel: READ to MAYSHARE, SOFTDIRTY. */
#define VM_USUAL 0x80000ffull
static const struct {
	uint64_t vm_flag;
	uint32_t flag;
} map_flags[] = {
	{ 1ull << 13, VCPU_MAP_LOCKED },      { 1ull << 15, VCPU_MAP_SEQUENTIAL }, { 1ull << 16, VCPU_MAP_RANDOM },
	{ 1ull << 17, VCPU_MAP_DONTFORK },    { 1ull << 19, VCPU_MAP_ONFAULT },	   { 1ull << 21, VCPU_MAP_NORESERVE },
	{ 1ull << 26, VCPU_MAP_DONTDUMP },    { 1ull << 29, VCPU_MAP_HUGEPAGE },   { 1ull << 30, VCPU_MAP_NOHUGEPAGE },
};

bool probe_map_flags(uint64_t vm_flags, uint32_t *flags)
{
	uint64_t known = VM_USUAL;

	*flags = 0;
	for (size_t i = 0; i < sizeof(map_flags) / sizeof(map_flags[0]); i++) {
		if (vm_flags & map_flags[i].vm_flag)
			*flags |= map_flags[i].flag;
		known |= map_flags[i].vm_flag;
	}
	return vm_flags && !(vm_flags & ~known);
}

static int refuse_vcpu(pid_t pid, unsigned int fd, unsigned int id, const char *what, const char *advice)
{
	pr_err("pid %d: fd %u (vCPU id %u): %s: " REFUSAL ": %s\n", pid, fd, id, what, advice);
	return -ENOTSUP;
}

static int refuse(pid_t pid, const struct kvm_rec *rec, const char *what, const char *advice)
{
	return refuse_vcpu(pid, rec->fd, rec->vcpu.id, what, advice);
}

static int check(pid_t pid, const struct kvm_rec *rec)
{
	if (rec->vcpu.iflags & IFLAGS_PENDING)
		return refuse(pid, rec, "an injected exception that the guest has not taken yet",
			      "try again: it is gone after the next KVM_RUN");
	if (kernel_step_is_pending(rec->vcpu.sflags))
		return refuse(pid, rec, "a single step that the host has pending",
			      "try again: it is gone after the next KVM_RUN; or detach the debugger");
	return 0;
}

/* The registers that KVM_SET_GUEST_DEBUG gave, of the same vCPU fd. */
static void fill_debug(struct probe_recs all, const struct kvm_rec *rec, struct arm64_guest_debug *debug)
{
	uint64_t *regs[] = { debug->dbg_bcr, debug->dbg_bvr, debug->dbg_wcr, debug->dbg_wvr };

	debug->control = rec->vcpu.guest_debug;
	for (const struct kvm_rec *r = all.recs; r < all.recs + all.nr; r++)
		for (unsigned int i = 0; r->type == KVM_REC_DEBUG && r->fd == rec->fd && i < 4; i++)
			if ((r->debug.first + i) / 16 < 4)
				regs[(r->debug.first + i) / 16][(r->debug.first + i) % 16] =
					r->debug.values[i];
}

int probe_vcpu(pid_t pid, struct probe_recs all, const struct kvm_rec *rec, struct vcpu_state *vcpu)
{
	int ret = check(pid, rec);

	if (ret)
		return ret;
	vcpu->fd = rec->fd;
	vcpu->idx = rec->vcpu.idx;
	vcpu->id = rec->vcpu.id;
	vcpu->vtid = rec->vcpu.vtid;
	vcpu->mmio_needed = rec->vcpu.mmio_needed;
	vcpu->marked = kvm_run_has_mark(&rec->vcpu.run_head);
	vcpu->pmu_created = rec->vcpu.pmu_created;
	vcpu->pvtime = rec->vcpu.steal_base;
	vcpu->sigset_active = rec->vcpu.sigset_active;
	vcpu->sigset = rec->vcpu.sigset_active ? rec->vcpu.sigset : 0;
	if (rec->vcpu.guest_debug)
		fill_debug(all, rec, &vcpu->debug);
	return 0;
}

int probe_check_pvtime(pid_t pid, const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		const struct vcpu_state *vcpu = &vm->vcpus[i];

		if (vcpu->pvtime != VCPU_NO_PVTIME && !pvtime_has_memory(vm, vcpu->pvtime))
			return refuse_vcpu(pid, vcpu->fd, vcpu->id,
					   "stolen time where no memslot is that can be written",
					   "a restored KVM would not take the address: give the guest its "
					   "memory there again (KVM_SET_USER_MEMORY_REGION)");
	}
	return 0;
}

static bool is_in_memory(const struct vm_state *vm, const struct kvm_rec *rec)
{
	return rec->type == KVM_REC_VCPU && rec->vcpu.exit_reason == KVM_EXIT_MMIO && rec->vcpu.mmio_needed &&
	       vm_memory_at(vm, rec->vcpu.mmio_addr, rec->vcpu.mmio_is_write);
}

int probe_check_exits(pid_t pid, struct probe_recs recs, const struct vm_state *vm)
{
	for (size_t i = 0; i < recs.nr; i++)
		if (is_in_memory(vm, &recs.recs[i]))
			return refuse(pid, &recs.recs[i],
				      "an MMIO access that is not completed, where a memslot lies by now",
				      "try again: it is gone after the next KVM_RUN");
	return 0;
}

/* The words that the iterator has told, and those between them, which are as the last bit before. */
static void fill_events(struct probe_recs all, unsigned int vm_fd, uint64_t *bits)
{
	const struct kvm_rec *r = all.recs, *end = all.recs + all.nr;
	uint64_t last = 0;

	for (unsigned int w = 0; w < PMU_MAX_EVENTS / 64; w++) {
		while (r < end && (r->type != KVM_REC_PMU || r->fd != vm_fd || r->pmu.first < 64 * w))
			r++;
		bits[w] = r < end && r->pmu.first == 64 * w ? r->pmu.allowed : last ? ~0ull : 0;
		last = bits[w] >> 63;
	}
}

int probe_pmu_filter(struct probe_recs all, unsigned int vm_fd, struct pmu_filter *filter)
{
	uint64_t *bits = calloc(PMU_MAX_EVENTS / 64, sizeof(*bits));
	int ret = bits ? 0 : -ENOMEM;

	if (!ret) {
		fill_events(all, vm_fd, bits);
		ret = pmu_filter_from_bits(filter, bits);
	}
	free(bits);
	return ret;
}
