// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"
#include "remote/direct.h"
#include "state/counter.h"
#include "state/host.h"
#include "state/reg_policy.h"
#include "state/vm.h"

/* ---- capabilities ---- */

static bool needs_serror_esr(const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i].events.exception.serror_pending &&
		    vm->vcpus[i].events.exception.serror_has_esr)
			return true;
	return false;
}

static bool needs_stolen_time(const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i].pvtime != VCPU_NO_PVTIME)
			return true;
	return false;
}

static bool needs_nisv(const struct vm_state *vm)
{
	return vm->caps & VM_CAP_NISV_TO_USER;
}

static bool needs_suspend(const struct vm_state *vm)
{
	return vm->caps & VM_CAP_SYSTEM_SUSPEND;
}

static bool needs_halt_poll(const struct vm_state *vm)
{
	return vm->caps & VM_CAP_HALT_POLL;
}

static bool needs_manual_dirty_log(const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_slots; i++)
		if (vm->slots[i].flags & KVM_MEM_LOG_DIRTY_PAGES)
			return true;
	return vm->caps & VM_CAP_MANUAL_DIRTY_LOG;
}

static bool needs_eager_split(const struct vm_state *vm)
{
	return vm->caps & VM_CAP_EAGER_SPLIT;
}

static bool needs_writable_imp_id_regs(const struct vm_state *vm)
{
	return vm->caps & VM_CAP_WRITABLE_IMP_ID_REGS;
}

static bool needs_sea_to_user(const struct vm_state *vm)
{
	return vm->caps & VM_CAP_SEA_TO_USER;
}

static bool needs_counter_offset(const struct vm_state *vm)
{
	return vm->counter_offset;
}

/* What KVM_ARM_VCPU_INIT was given, and other state that not every host can take. */
static const struct {
	int feature; /* KVM_ARM_VCPU_*, or -1: */
	bool (*needed)(const struct vm_state *vm);
	int cap;
	const char *what;
} needs[] = {
	{ KVM_ARM_VCPU_EL1_32BIT, NULL, KVM_CAP_ARM_EL1_32BIT, "AArch32 at EL1 (KVM_ARM_VCPU_EL1_32BIT)" },
	{ KVM_ARM_VCPU_PMU_V3, NULL, KVM_CAP_ARM_PMU_V3, "a PMU (KVM_ARM_VCPU_PMU_V3)" },
	{ KVM_ARM_VCPU_SVE, NULL, KVM_CAP_ARM_SVE, "SVE (KVM_ARM_VCPU_SVE)" },
	{ KVM_ARM_VCPU_PTRAUTH_ADDRESS, NULL, KVM_CAP_ARM_PTRAUTH_ADDRESS,
	  "pointer authentication (KVM_ARM_VCPU_PTRAUTH_ADDRESS)" },
	{ KVM_ARM_VCPU_PTRAUTH_GENERIC, NULL, KVM_CAP_ARM_PTRAUTH_GENERIC,
	  "generic pointer authentication (KVM_ARM_VCPU_PTRAUTH_GENERIC)" },
	{ -1, needs_serror_esr, KVM_CAP_ARM_INJECT_SERROR_ESR,
	  "RAS, for the syndrome of an SError that is pending (KVM_CAP_ARM_INJECT_SERROR_ESR)" },
	{ -1, needs_stolen_time, KVM_CAP_STEAL_TIME, "stolen time (KVM_CAP_STEAL_TIME)" },
	{ -1, needs_nisv, KVM_CAP_ARM_NISV_TO_USER, "KVM_CAP_ARM_NISV_TO_USER" },
	{ -1, needs_suspend, KVM_CAP_ARM_SYSTEM_SUSPEND, "PSCI SYSTEM_SUSPEND (KVM_CAP_ARM_SYSTEM_SUSPEND)" },
	{ -1, needs_counter_offset, KVM_CAP_COUNTER_OFFSET,
	  "KVM_ARM_SET_COUNTER_OFFSET (KVM_CAP_COUNTER_OFFSET)" },
	{ -1, needs_halt_poll, KVM_CAP_HALT_POLL, "KVM_CAP_HALT_POLL" },
	{ -1, needs_manual_dirty_log, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
	  "dirty logs (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)" },
	{ -1, needs_eager_split, KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES,
	  "blocks of that size to split by (KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE)" },
	{ -1, needs_writable_imp_id_regs, KVM_CAP_ARM_WRITABLE_IMP_ID_REGS,
	  "KVM_CAP_ARM_WRITABLE_IMP_ID_REGS" },
	{ -1, needs_sea_to_user, KVM_CAP_ARM_SEA_TO_USER, "KVM_CAP_ARM_SEA_TO_USER" },
};
#define NR_NEEDS (sizeof(needs) / sizeof(needs[0]))

static bool is_needed(const struct vm_state *vm, size_t i)
{
	return needs[i].feature >= 0 ? vm->features >> needs[i].feature & 1 : needs[i].needed(vm);
}

static bool is_answered(const struct vm_state *vm, size_t i, int64_t answer)
{
	/* That one answers with a bit for each size. */
	return needs[i].cap == KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES ? answer & (int64_t)vm->split_chunk : answer;
}

/* The VM that registers are tried on: of one vCPU. */
struct trial {
	const struct vm_state *image;
	struct vm_state vm;	/* what is not of this trial is the image's */
	struct vcpu_state vcpu; /* with the registers of the first, copied */
	struct remote *remote;
	int kvm, gic; /* fds */
	size_t cpu_kinds; /* of this host */
	bool refused; /* something is missing, and has been named */
};

/* The answers to all questions, in the order of needs[], then of the IPA size. */
static int ask(struct trial *t, int64_t answers[NR_NEEDS + 1])
{
	struct batch b = BATCH(t->remote, t->vm.id, "this host");
	int ret;

	for (size_t i = 0; i < NR_NEEDS; i++)
		batch_ioctl_value(&b, t->kvm, KVM_CHECK_EXTENSION, needs[i].cap, "KVM_CHECK_EXTENSION")
			->detail = needs[i].cap;
	batch_ioctl_value(&b, t->kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE, "KVM_CHECK_EXTENSION")
		->detail = KVM_CAP_ARM_VM_IPA_SIZE;
	ret = batch_run(&b);
	for (size_t i = 0; !ret && i < b.nr; i++)
		answers[i] = b.calls[i].result;
	batch_fini(&b);
	return ret;
}

/*
 * KVM counts on CPUs of one kind: of which, KVM_ARM_VCPU_INIT decides by the CPU that it runs on. Where
 * nobody tells the kinds the VM is refused too: that can be mended, and a counter that stands still is not
 * seen.
 */
static bool has_cpus_for_pmu(const struct vm_state *vm, size_t cpu_kinds)
{
	if (cpu_kinds == 1 || !(vm->features >> KVM_ARM_VCPU_PMU_V3 & 1))
		return true;
	if (cpu_kinds)
		pr_err("vm %u: it has a PMU, and this host has CPUs of several kinds: restore on a host with "
		       "CPUs of one kind\n",
		       vm->id);
	else
		pr_err("vm %u: it has a PMU, and /sys/bus/event_source does not tell whether this host has "
		       "CPUs of several kinds: mount sysfs on /sys\n",
		       vm->id);
	return false;
}

/* What is missing is taken from the trial: its registers can be tried all the same. */
static int check_capabilities(struct trial *t)
{
	int64_t answers[NR_NEEDS + 1];
	int ret = ask(t, answers);
	uint32_t ipa_limit;

	if (ret)
		return ret;
	for (size_t i = 0; i < NR_NEEDS; i++) {
		if (!is_needed(t->image, i) || is_answered(t->image, i, answers[i]))
			continue;
		pr_err("vm %u: it has %s, and this host's KVM has not: restore on a host that has\n",
		       t->vm.id, needs[i].what);
		if (needs[i].feature >= 0)
			t->vm.features &= ~(1ull << needs[i].feature);
		if (needs[i].cap == KVM_CAP_ARM_WRITABLE_IMP_ID_REGS)
			t->vm.caps &= ~VM_CAP_WRITABLE_IMP_ID_REGS;
		t->refused = true;
	}
	if (!has_cpus_for_pmu(&t->vm, t->cpu_kinds)) /* which has the PMU still where KVM has one */
		t->refused = true;
	ipa_limit = answers[NR_NEEDS] ? answers[NR_NEEDS]
				      : 40; /* api.rst, KVM_CREATE_VM: without the capability */
	if (t->vm.ipa_bits <= ipa_limit)
		return 0;
	pr_err("vm %u: it has guest physical addresses of %u bits, and this host's KVM of %u at most\n",
	       t->vm.id, t->vm.ipa_bits, ipa_limit);
	t->vm.ipa_bits = ipa_limit;
	t->refused = true;
	return 0;
}

/* ---- the trial ---- */

static int create(struct trial *t, int fd, unsigned long req, uint64_t arg, const char *what)
{
	struct batch b = BATCH(t->remote, t->vm.id, "trial of this host");
	int ret;

	batch_ioctl_value(&b, fd, req, arg, what);
	ret = batch_run(&b);
	if (!ret)
		ret = b.calls[0].result;
	batch_fini(&b);
	return ret;
}

/* ID_AA64PFR0_EL1.GIC is that of a VM with one. */
static int create_gic(struct trial *t)
{
	struct kvm_create_device dev = { .type = vm_gic_type(&t->vm) };
	struct batch b = BATCH(t->remote, t->vm.id, "trial of this host");
	int ret;

	batch_ioctl(&b, t->vm.fd, KVM_CREATE_DEVICE, &dev, sizeof(dev), "KVM_CREATE_DEVICE")->may_fail =
		ENODEV;
	ret = batch_run(&b);
	if (!ret && b.calls[0].result) {
		pr_err("vm %u: this host's KVM has no %s for guests: restore on one that has\n", t->vm.id,
		       vm_gic_name(&t->vm));
		t->refused = true;
	} else if (!ret) {
		t->gic = dev.fd;
	}
	batch_fini(&b);
	return ret;
}

static int create_trial(struct trial *t)
{
	int ret;

	t->vm.fd = create(t, t->kvm, KVM_CREATE_VM, t->vm.ipa_bits & KVM_VM_TYPE_ARM_IPA_SIZE_MASK,
			  "KVM_CREATE_VM");
	ret = t->vm.fd < 0 ? t->vm.fd : caps_apply_early(&t->vm, t->remote);
	if (!ret)
		ret = create_gic(t);
	if (ret)
		return ret;
	t->vcpu.fd = create(t, t->vm.fd, KVM_CREATE_VCPU, t->vcpu.id, "KVM_CREATE_VCPU");
	return t->vcpu.fd < 0 ? t->vcpu.fd : 0;
}

static void close_trial(struct trial *t)
{
	int fds[] = { t->vcpu.fd, t->gic, t->vm.fd };
	struct batch b = BATCH(t->remote, t->vm.id, "trial of this host");

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			batch_syscall(&b, "close", SYS_close, fds[i], 0, 0, 0, 0, 0);
	batch_run(&b);
	batch_fini(&b);
}

/* A bit for each multiple of 128 bits, from 128 up. */
#define VLS_WORDS 8

/*
 * Up to the longest that the guest has KVM takes all that the host has, and no others (api.rst 4.68).
 * Adds those to @text that only the guest has, or only the host; their number.
 */
static size_t differing_lengths(const uint64_t *image, const uint64_t *host, bool of_guest, char *text,
				size_t size)
{
	size_t longest = VLS_WORDS * 64, nr = 0, n = 0;

	while (longest && !(image[(longest - 1) / 64] >> (longest - 1) % 64 & 1))
		longest--;
	for (size_t i = 0; i < longest; i++) {
		bool has = image[i / 64] >> i % 64 & 1, can = host[i / 64] >> i % 64 & 1;

		if (has != can && has == of_guest && n < size)
			n += snprintf(text + n, size - n, "%s%zu", nr++ ? ", " : "", 128 * (i + 1));
	}
	return nr;
}

/* Whether they are these; what is wrong has been named. */
static bool compare_lengths(const struct trial *t, const struct vcpu_state *vcpu, const uint64_t *host)
{
	const uint64_t *image = vcpu_reg_u64(vcpu, ARM64_SVE_VLS);
	char text[512];
	bool same = true;

	if (image && differing_lengths(image, host, true, text, sizeof(text))) {
		pr_err("vm %u: vcpu %u: SVE vectors of %s bits: the guest has them, and this host's KVM has "
		       "not\n",
		       t->vm.id, vcpu->idx, text);
		same = false;
	}
	if (image && differing_lengths(image, host, false, text, sizeof(text))) {
		pr_err("vm %u: vcpu %u: SVE vectors of %s bits: the guest has them not, and this host's KVM "
		       "cannot do without\n",
		       t->vm.id, vcpu->idx, text);
		same = false;
	}
	return same;
}

/* Each vCPU has lengths of its own; the first for which they are wrong is told of. The trial goes on with the
 * host's. */
static int check_lengths(struct trial *t)
{
	uint64_t *tried = (uint64_t *)vcpu_reg_u64(&t->vcpu, ARM64_SVE_VLS), host[VLS_WORDS] = { 0 };
	struct batch b = BATCH(t->remote, t->vm.id, "trial of this host");
	bool same = true;
	int ret;

	if (!tried || !(t->vm.features >> KVM_ARM_VCPU_SVE & 1))
		return 0;
	batch_get_reg(&b, t->vcpu.fd, ARM64_SVE_VLS, host);
	ret = batch_run(&b);
	batch_fini(&b);
	if (ret)
		return ret;
	for (size_t i = 0; same && i < t->image->nr_vcpus; i++)
		same = compare_lengths(t, &t->image->vcpus[i], host);
	if (!same) {
		memcpy(tried, host, sizeof(host));
		t->refused = true;
	}
	return 0;
}

/*
 * The steps of the real restore that the host can refuse. Without a feature that is missing the ID registers
 * tell what comes with it; the list would only name registers of it one by one.
 */
static int try_registers(struct trial *t)
{
	int ret = vcpu_ask_target(&t->vm, t->remote) ?: vcpu_apply_init(&t->vm, t->remote);

	if (!ret)
		ret = check_lengths(t);
	if (!ret)
		ret = vcpu_apply_vector_lengths(&t->vm, t->remote);
	if (!ret)
		ret = reg_policy_apply_ids(&t->vm, t->remote);
	if (!ret && t->refused)
		return 0;
	if (!ret)
		ret = reg_policy_check_list(&t->vm, t->remote);
	if (!ret)
		ret = vcpu_apply_regs(&t->vm, t->remote);
	return ret ?: pmu_check_nr_counters(&t->vm, t->remote);
}

/* The image's vCPU 0 as the only one of the trial. */
static int begin_trial(struct trial *t, const struct vm_state *vm)
{
	t->image = vm;
	t->vm = *vm;
	t->vm.fd = -1;
	t->vcpu = vm->vcpus[0];
	t->vcpu.fd = -1;
	t->vm.vcpus = &t->vcpu;
	t->vm.nr_vcpus = 1;
	t->vcpu.regs = calloc(t->vcpu.nr_regs, sizeof(*t->vcpu.regs));
	if (!t->vcpu.regs)
		return -ENOMEM;
	memcpy(t->vcpu.regs, vm->vcpus[0].regs, t->vcpu.nr_regs * sizeof(*t->vcpu.regs));
	return 0;
}

int host_check_kvm(struct vm_state *vm, struct remote *remote, int kvm, size_t cpu_kinds)
{
	struct trial t = { .remote = remote, .kvm = kvm, .gic = -1, .cpu_kinds = cpu_kinds };
	int ret = begin_trial(&t, vm);

	if (!ret)
		ret = check_capabilities(&t);
	if (!ret)
		ret = create_trial(&t);
	if (!ret)
		ret = try_registers(&t);
	close_trial(&t);
	free(t.vcpu.regs);
	if (!ret && t.refused)
		ret = -EINVAL;
	vm->host_checked = !ret;
	if (ret)
		pr_err("vm %u: cannot go on on this host: nothing of it was created\n", vm->id);
	return ret;
}

/* What addresses in the image are counted in. */
static bool has_page_size(const struct vm_state *vm)
{
	if (vm->page_size == sysconf(_SC_PAGESIZE))
		return true;
	pr_err("vm %u: dumped on a host with pages of %u bytes, this one has %ld\n", vm->id, vm->page_size,
	       sysconf(_SC_PAGESIZE));
	return false;
}

/* And times. */
static bool has_frequency(const struct vm_state *vm)
{
	if (vm->cntfrq == counter_frequency())
		return true;
	pr_err("vm %u: dumped on a host whose counter has %u Hz (CNTFRQ_EL0), this one's has %u: the guest's clock "
	       "would be wrong: restore on a host of the same frequency\n",
	       vm->id, vm->cntfrq, counter_frequency());
	return false;
}

static int check_with_kvm(struct vm_state *vm)
{
	struct remote remote = DIRECT_REMOTE;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), ret;

	if (kvm < 0) {
		pr_info("vm %u: /dev/kvm: %s: this host is not checked beforehand\n", vm->id,
			strerror(errno));
		return has_cpus_for_pmu(vm, pmu_nr_cpu_kinds()) ? 0 : -EINVAL;
	}
	ret = host_check_kvm(vm, &remote, kvm, pmu_nr_cpu_kinds());
	close(kvm);
	return ret;
}

/* Another frequency is no reason not to tell what else differs. */
int host_check(struct vm_state *vm)
{
	bool same;
	int ret;

	if (!has_page_size(vm))
		return -EINVAL;
	same = has_frequency(vm);
	ret = fault_leaves_out("host check") ? 0 : check_with_kvm(vm);
	return same ? ret : -EINVAL;
}
