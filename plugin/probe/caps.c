// SPDX-License-Identifier: GPL-2.0-only
/* See caps.h. */
#include <stdlib.h>

#include "log.h"
#include "probe/caps.h"
#include "probe/discover.h"

static const struct {
	unsigned int bit;
	uint32_t cap;
} flag_caps[] = {
	{ ARCH_FLAG_NISV_TO_USER, VM_CAP_NISV_TO_USER },
	{ ARCH_FLAG_SYSTEM_SUSPEND, VM_CAP_SYSTEM_SUSPEND },
	{ ARCH_FLAG_WRITABLE_IMP_ID_REGS, VM_CAP_WRITABLE_IMP_ID_REGS },
	{ ARCH_FLAG_SEA_TO_USER, VM_CAP_SEA_TO_USER },
};

static const struct kvm_rec *find_caps(struct probe_recs all, unsigned int vm_fd)
{
	for (const struct kvm_rec *r = all.recs; r < all.recs + all.nr; r++)
		if (r->type == KVM_REC_CAPS && r->fd == vm_fd)
			return r;
	return NULL;
}

static int fill_filter(struct probe_recs all, unsigned int vm_fd, struct smccc_filter *filter)
{
	filter->ranges = calloc(all.nr + 1, sizeof(*filter->ranges));
	if (!filter->ranges)
		return -ENOMEM;
	for (const struct kvm_rec *r = all.recs; r < all.recs + all.nr; r++)
		if (r->type == KVM_REC_SMCCC && r->fd == vm_fd &&
		    !smccc_is_reserved(r->smccc.first, r->smccc.last))
			filter->ranges[filter->nr++] = (struct smccc_range){
				.first = r->smccc.first,
				.last = r->smccc.last,
				.action = r->smccc.action,
			};
	return 0;
}

int probe_caps(pid_t pid, struct probe_recs all, unsigned int vm_fd, uint64_t flags, struct vm_state *vm)
{
	const struct kvm_rec *rec = find_caps(all, vm_fd);
	char text[512];
	int ret;

	if (!rec)
		return -EIO;
	for (size_t i = 0; i < sizeof(flag_caps) / sizeof(flag_caps[0]); i++)
		if (flags >> flag_caps[i].bit & 1)
			vm->caps |= flag_caps[i].cap;
	vm->halt_poll_ns = rec->caps.override_halt_poll ? rec->caps.halt_poll_ns : 0;
	vm->manual_dirty_log = rec->caps.manual_dirty_log;
	vm->split_chunk = rec->caps.split_chunk;
	vm->caps |= (rec->caps.override_halt_poll ? VM_CAP_HALT_POLL : 0) |
		    (rec->caps.manual_dirty_log ? VM_CAP_MANUAL_DIRTY_LOG : 0) |
		    (rec->caps.split_chunk ? VM_CAP_EAGER_SPLIT : 0) |
		    (rec->caps.smccc_filter ? VM_CAP_SMCCC_FILTER : 0);
	ret = fill_filter(all, vm_fd, &vm->smccc_filter);
	if (vm->caps)
		pr_info("pid %d: capabilities: %s\n", pid, caps_describe(vm, text, sizeof(text)));
	if (ret || (!rec->caps.smccc_unread && vm->smccc_filter.nr <= SMCCC_MAX_RANGES))
		return ret;
	pr_err("pid %d: an SMCCC filter of more than %u ranges: " REFUSAL
	       ": have the VMM set fewer, longer ones\n",
	       pid, SMCCC_MAX_RANGES);
	return -ENOTSUP;
}
