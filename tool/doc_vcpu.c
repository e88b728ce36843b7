// SPDX-License-Identifier: GPL-2.0-only
/* The document: vCPUs. */
#include "document.h"
#include "state/reg_name.h"

static const char *const mp_states[] = {
	[KVM_MP_STATE_RUNNABLE] = "runnable", [KVM_MP_STATE_STOPPED] = "stopped", [KVM_MP_STATE_SUSPENDED] = "suspended",
};

static const char *const pendings[] = {
	[VCPU_PENDING_NONE] = "none", [VCPU_PENDING_READ] = "read", [VCPU_PENDING_WRITE] = "write",
};

/* Those that arm64 has. */
static const char *const exit_reasons[] = {
	[KVM_EXIT_UNKNOWN] = "UNKNOWN", [KVM_EXIT_HYPERCALL] = "HYPERCALL", [KVM_EXIT_DEBUG] = "DEBUG",
	[KVM_EXIT_MMIO] = "MMIO", [KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY", [KVM_EXIT_INTR] = "INTR",
	[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR", [KVM_EXIT_SYSTEM_EVENT] = "SYSTEM_EVENT",
	[KVM_EXIT_ARM_NISV] = "ARM_NISV", [KVM_EXIT_DIRTY_RING_FULL] = "DIRTY_RING_FULL",
};

static const struct bit_name map_flags[] = {
	{ 0, "locked" },     { 1, "on-fault" }, { 2, "dontfork" },   { 3, "dontdump" },	 { 4, "sequential" },
	{ 5, "random" },     { 6, "hugepage" }, { 7, "nohugepage" }, { 8, "noreserve" },
};
_Static_assert(VCPU_MAP_KNOWN_FLAGS == 0x1ff, "map_flags");

static json_t *registers(const struct vcpu_state *vcpu)
{
	json_t *regs = new_object();

	for (size_t i = 0; i < vcpu->nr_regs; i++) {
		const struct vcpu_reg *reg = &vcpu->regs[i];
		char name[ID_REG_NAME];

		reg_name(reg->id, name);
		/* A name is one register's; should it ever be two's, none is lost. */
		if (json_object_get(regs, name))
			snprintf(name, sizeof(name), "0x%" PRIx64, reg->id);
		put(regs, name, hex_bytes(reg->value, kvm_reg_size(reg->id)));
	}
	return regs;
}

static json_t *events(const struct vcpu_state *vcpu)
{
	const struct arm64_vcpu_events *e = &vcpu->events;
	json_t *d = new_object();

	put(d, "serror_pending", truth(e->exception.serror_pending));
	put(d, "serror_has_esr", truth(e->exception.serror_has_esr));
	put(d, "serror_esr", hex(e->exception.serror_esr));
	put(d, "ext_dabt_pending", truth(e->exception.ext_dabt_pending));
	return d;
}

static json_t *mmio(const struct kvm_run *run)
{
	json_t *d = new_object();
	size_t len = run->mmio.len < sizeof(run->mmio.data) ? run->mmio.len : sizeof(run->mmio.data);

	put(d, "address", hex(run->mmio.phys_addr));
	put(d, "length", number(run->mmio.len));
	put(d, "write", truth(run->mmio.is_write));
	put(d, "data", len ? hex_bytes(run->mmio.data, len) : hex(0));
	return d;
}

static json_t *run_page(const struct vcpu_state *vcpu)
{
	const struct kvm_run *run = (const struct kvm_run *)vcpu->run;
	json_t *d = new_object();

	put(d, "size", number(vcpu->run_size));
	put(d, "exit_reason", NAMED(run->exit_reason, exit_reasons));
	put(d, "immediate_exit", truth(run->immediate_exit));
	if (run->exit_reason == KVM_EXIT_MMIO)
		put(d, "mmio", mmio(run));
	put(d, "hash", hash(vcpu->run, vcpu->run_size));
	return d;
}

static json_t *maps(const struct vcpu_state *vcpu)
{
	json_t *list = new_array();

	for (size_t i = 0; i < vcpu->nr_maps; i++) {
		const struct vcpu_map *m = &vcpu->maps[i];
		json_t *map = new_object();

		put(map, "start", hex(m->start));
		put(map, "size", hex(m->size));
		put(map, "offset", hex(m->offset));
		put(map, "prot", number(m->prot));
		put(map, "flags", bits(m->flags, map_flags, sizeof(map_flags) / sizeof(map_flags[0])));
		add(list, map);
	}
	return list;
}

static json_t *debug(const struct vcpu_state *vcpu)
{
	const struct arm64_guest_debug *d = &vcpu->debug;
	const struct {
		const char *name;
		const uint64_t *values;
	} parts[] = { { "bcr", d->dbg_bcr }, { "bvr", d->dbg_bvr }, { "wcr", d->dbg_wcr }, { "wvr", d->dbg_wvr } };
	json_t *object = new_object();

	put(object, "control", hex(d->control));
	for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
		json_t *list = new_array();

		for (size_t i = 0; i < 16; i++)
			add(list, hex(parts[p].values[i]));
		put(object, parts[p].name, list);
	}
	return object;
}

static json_t *document_vcpu(const struct vcpu_state *vcpu)
{
	json_t *d = new_object();

	put(d, "idx", number(vcpu->idx));
	put(d, "id", number(vcpu->id));
	put(d, "fd", number(vcpu->fd));
	put(d, "mpidr", hex(vcpu->mpidr));
	put(d, "tid", number(vcpu->vtid));
	put(d, "mp_state", NAMED(vcpu->mp_state, mp_states));
	put(d, "pending_exit", NAMED(vcpu->pending, pendings));
	put(d, "events", events(vcpu));
	put(d, "vtimer_irq", number(vcpu->vtimer_irq));
	put(d, "ptimer_irq", number(vcpu->ptimer_irq));
	put(d, "pmu_irq", number(vcpu->pmu_irq));
	put(d, "pmu_created", truth(vcpu->pmu_created));
	if (vcpu->pvtime != VCPU_NO_PVTIME)
		put(d, "pvtime", hex(vcpu->pvtime));
	if (vcpu->sigset_active)
		put(d, "sigset", hex(vcpu->sigset));
	if (vcpu->debug.control)
		put(d, "debug", debug(vcpu));
	put(d, "regs", registers(vcpu));
	put(d, "run", run_page(vcpu));
	put(d, "maps", maps(vcpu));
	return d;
}

json_t *document_vcpus(const struct vm_state *vm)
{
	json_t *list = new_array();

	for (size_t i = 0; i < vm->nr_vcpus; i++)
		add(list, document_vcpu(&vm->vcpus[i]));
	return list;
}
