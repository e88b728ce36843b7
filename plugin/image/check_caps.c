// SPDX-License-Identifier: GPL-2.0-only
/* The rules for capabilities, what they were given, and the SMCCC filter. */
#include <inttypes.h>

#include "image/check.h"

/* A capability that is not there was given nothing. */
static int check_given(const struct vm_state *vm)
{
	const uint32_t known = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;

	if (vm->halt_poll_ns && !(vm->caps & VM_CAP_HALT_POLL))
		return refuse_vm(vm, "halt_poll_ns, and no KVM_CAP_HALT_POLL");
	if (!vm->manual_dirty_log != !(vm->caps & VM_CAP_MANUAL_DIRTY_LOG))
		return refuse_vm(vm, "manual_dirty_log 0x%x, and caps 0x%x", vm->manual_dirty_log, vm->caps);
	if (vm->manual_dirty_log & ~known ||
	    (vm->manual_dirty_log && !(vm->manual_dirty_log & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)))
		return refuse_vm(vm, "manual_dirty_log 0x%x is not known", vm->manual_dirty_log);
	if (!vm->split_chunk != !(vm->caps & VM_CAP_EAGER_SPLIT))
		return refuse_vm(vm, "split_chunk 0x%" PRIx64 ", and caps 0x%x", vm->split_chunk, vm->caps);
	if (vm->split_chunk & (vm->split_chunk - 1))
		return refuse_vm(vm, "split_chunk 0x%" PRIx64 " is no size of a block", vm->split_chunk);
	return 0;
}

static int check_filter(const struct vm_state *vm)
{
	const struct smccc_filter *filter = &vm->smccc_filter;

	if (filter->nr && !(vm->caps & VM_CAP_SMCCC_FILTER))
		return refuse_vm(vm, "smccc_filter, and caps 0x%x", vm->caps);
	if (filter->nr > SMCCC_MAX_RANGES)
		return refuse_vm(vm, "smccc_filter: %zu ranges, at most %u expected", filter->nr,
				 SMCCC_MAX_RANGES);
	for (size_t i = 0; i < filter->nr; i++) {
		const struct smccc_range *range = &filter->ranges[i];

		if (range->last < range->first || (i && range->first <= filter->ranges[i - 1].last))
			return refuse_vm(vm,
					 "smccc_filter: range %zu, 0x%x to 0x%x: not after the one before", i,
					 range->first, range->last);
		if (range->action > SMCCC_MAX_ACTION)
			return refuse_vm(vm, "smccc_filter: range %zu: action %u is not known", i,
					 range->action);
		if (smccc_is_reserved(range->first, range->last))
			return refuse_vm(vm, "smccc_filter: range %zu, 0x%x to 0x%x: KVM's own", i,
					 range->first, range->last);
		/* Its length would be 0. */
		if (range->last - range->first == UINT32_MAX)
			return refuse_vm(vm, "smccc_filter: range %zu: all calls", i);
	}
	return 0;
}

int check_caps(const struct vm_state *vm)
{
	int ret;

	if (vm->caps & ~VM_CAP_KNOWN)
		return refuse_vm(vm, "caps 0x%x are not known", vm->caps);
	ret = check_given(vm);
	return ret ? ret : check_filter(vm);
}
