// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "fault.h"
#include "log.h"
#include "remote/remote.h"
#include "state/caps.h"
#include "state/vm.h"

static uint64_t nothing(const struct vm_state *vm)
{
	return 0;
}

static uint64_t halt_poll_ns(const struct vm_state *vm)
{
	return vm->halt_poll_ns;
}

static uint64_t manual_dirty_log(const struct vm_state *vm)
{
	return vm->manual_dirty_log;
}

static uint64_t split_chunk(const struct vm_state *vm)
{
	return vm->split_chunk;
}

#define ENABLE "KVM_ENABLE_CAP, "

static const struct {
	uint32_t flag; /* VM_CAP_* */
	uint32_t cap;
	bool early; /* before there are vCPUs */
	uint64_t (*argument)(const struct vm_state *vm);
	const char *what;
} caps[] = {
	{ VM_CAP_NISV_TO_USER, KVM_CAP_ARM_NISV_TO_USER, false, nothing, ENABLE "KVM_CAP_ARM_NISV_TO_USER" },
	{ VM_CAP_SYSTEM_SUSPEND, KVM_CAP_ARM_SYSTEM_SUSPEND, false, nothing,
	  ENABLE "KVM_CAP_ARM_SYSTEM_SUSPEND" },
	{ VM_CAP_HALT_POLL, KVM_CAP_HALT_POLL, false, halt_poll_ns, ENABLE "KVM_CAP_HALT_POLL" },
	{ VM_CAP_MANUAL_DIRTY_LOG, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, false, manual_dirty_log,
	  ENABLE "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2" },
	{ VM_CAP_EAGER_SPLIT, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, false, split_chunk,
	  ENABLE "KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE" },
	{ VM_CAP_WRITABLE_IMP_ID_REGS, KVM_CAP_ARM_WRITABLE_IMP_ID_REGS, true, nothing,
	  ENABLE "KVM_CAP_ARM_WRITABLE_IMP_ID_REGS" },
	{ VM_CAP_SEA_TO_USER, KVM_CAP_ARM_SEA_TO_USER, false, nothing, ENABLE "KVM_CAP_ARM_SEA_TO_USER" },
};
#define NR_CAPS (sizeof(caps) / sizeof(caps[0]))

static const char *name_of(size_t i)
{
	return caps[i].what + strlen(ENABLE);
}

static bool is_wanted(const struct vm_state *vm, size_t i, bool early)
{
	return vm->caps & caps[i].flag && caps[i].early == early && !fault_leaves_out(name_of(i));
}

static struct kvm_enable_cap enable_arg(const struct vm_state *vm, size_t i)
{
	return (struct kvm_enable_cap){ .cap = caps[i].cap, .args = { caps[i].argument(vm) } };
}

static int apply(const struct vm_state *vm, struct remote *remote, bool early)
{
	struct batch b = BATCH(remote, vm->id, "capabilities");
	struct kvm_enable_cap enable[NR_CAPS];
	int ret;

	for (size_t i = 0; i < NR_CAPS; i++) {
		enable[i] = enable_arg(vm, i);
		if (is_wanted(vm, i, early))
			batch_ioctl(&b, vm->fd, KVM_ENABLE_CAP, &enable[i], sizeof(enable[i]), caps[i].what)
				->detail = enable[i].args[0];
	}
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

int caps_apply_early(const struct vm_state *vm, struct remote *remote)
{
	return apply(vm, remote, true);
}

int caps_apply(struct vm_state *vm, struct remote *remote)
{
	return apply(vm, remote, false);
}

/* Architecture calls, fast ones of either width: kvm_smccc_filter_insert_reserved(). */
static const struct smccc_range reserved[] = {
	{ 0x80000000, 0x8000ffff, KVM_SMCCC_FILTER_HANDLE },
	{ 0xc0000000, 0xc000ffff, KVM_SMCCC_FILTER_HANDLE },
};

int smccc_is_reserved(uint32_t first, uint32_t last)
{
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (first <= reserved[i].last && last >= reserved[i].first)
			return 1;
	return 0;
}

int caps_apply_smccc_filter(struct vm_state *vm, struct remote *remote)
{
	const struct smccc_filter *filter = &vm->smccc_filter;
	struct arm64_smccc_filter *set = calloc(filter->nr + 1, sizeof(*set));
	struct batch b = BATCH(remote, vm->id, "SMCCC filter");
	int ret;

	if (!set)
		return -ENOMEM;
	for (size_t i = 0; i < filter->nr; i++) {
		const struct smccc_range *range = &filter->ranges[i];

		set[i] = (struct arm64_smccc_filter){
			.base = range->first,
			.nr_functions = range->last - range->first + 1,
			.action = range->action,
		};
		batch_set_attr(&b, vm->fd, KVM_ARM_VM_SMCCC_CTRL, KVM_ARM_VM_SMCCC_FILTER, &set[i],
			       sizeof(set[i]), "KVM_ARM_VM_SMCCC_FILTER")
			->detail = range->first;
	}
	ret = batch_run(&b);
	batch_fini(&b);
	free(set);
	return ret;
}

int caps_at(const struct vm_state *vm, size_t i, const char **name, uint64_t *value)
{
	*name = i < NR_CAPS ? name_of(i) : NULL;
	if (!*name || !(vm->caps & caps[i].flag))
		return 0;
	*value = caps[i].argument(vm);
	return 1;
}

const char *caps_describe(const struct vm_state *vm, char *text, size_t size)
{
	size_t n = 0;

	snprintf(text, size, "none");
	for (size_t i = 0; i < NR_CAPS && n < size; i++)
		if (vm->caps & caps[i].flag)
			n += snprintf(text + n, size - n, "%s%s (%" PRIu64 ")", n ? ", " : "", name_of(i),
				      caps[i].argument(vm));
	if (vm->caps & VM_CAP_SMCCC_FILTER && n < size)
		snprintf(text + n, size - n, "%sKVM_ARM_VM_SMCCC_FILTER (%zu ranges)", n ? ", " : "",
			 vm->smccc_filter.nr);
	return text;
}
