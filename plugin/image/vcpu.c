// SPDX-License-Identifier: GPL-2.0-only
/* kvm-vcpu-<vm>.img and kvm-vcpu-events-<vm>.img: vcpu.proto, vcpu_events.proto. */
#include <inttypes.h>
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

_Static_assert((int)VCPU_PENDING_NONE == (int)KVM_VGIC__VCPU_PENDING__VCPU_PENDING_NONE &&
		       (int)VCPU_PENDING_READ == (int)KVM_VGIC__VCPU_PENDING__VCPU_PENDING_READ &&
		       (int)VCPU_PENDING_WRITE == (int)KVM_VGIC__VCPU_PENDING__VCPU_PENDING_WRITE,
	       "vcpu.proto has the values of state/vcpu.h");

static uint32_t stored_size(const struct vcpu_reg *reg)
{
	uint32_t size = kvm_reg_size(reg->id);

	return size < VCPU_REG_MAX ? size : VCPU_REG_MAX;
}

static size_t stored_sizes(const struct vcpu_state *vcpu)
{
	size_t size = 0;

	for (size_t i = 0; i < vcpu->nr_regs; i++)
		size += stored_size(&vcpu->regs[i]);
	return size;
}

/* The ids of a VM's registers are most of them: they are in the image once, as a rule. */
static void pack_reg_ids(KvmVgic__VcpuEntry *entry, const struct vcpu_state *vcpu, const struct vcpu_state *before)
{
	if (before && vcpu_same_regs(vcpu, before))
		return;
	for (size_t i = 0; i < vcpu->nr_regs; i++)
		entry->reg_ids[i] = vcpu->regs[i].id;
	entry->n_reg_ids = vcpu->nr_regs;
}

static void pack_reg_values(KvmVgic__VcpuEntry *entry, const struct vcpu_state *vcpu)
{
	uint8_t *at = entry->reg_values.data;

	for (size_t i = 0; i < vcpu->nr_regs; i++) {
		uint32_t size = stored_size(&vcpu->regs[i]);

		if (size == sizeof(uint64_t)) /* as most are: no call for them */
			memcpy(at, vcpu->regs[i].value, sizeof(uint64_t));
		else
			memcpy(at, vcpu->regs[i].value, size);
		at += size;
	}
	entry->reg_values.len = at - entry->reg_values.data;
}

static void pack_maps(KvmVgic__VcpuMapEntry **list, const struct vcpu_state *vcpu)
{
	for (size_t i = 0; i < vcpu->nr_maps; i++) {
		kvm_vgic__vcpu_map_entry__init(list[i]);
		list[i]->start = vcpu->maps[i].start;
		list[i]->size = vcpu->maps[i].size;
		list[i]->offset = vcpu->maps[i].offset;
		list[i]->prot = vcpu->maps[i].prot;
		list[i]->flags = vcpu->maps[i].flags;
	}
}

/* The registers of struct arm64_guest_debug, one after the other. */
#define DEBUG_REGS 64
_Static_assert(sizeof(struct arm64_guest_debug) - offsetof(struct arm64_guest_debug, dbg_bcr) == DEBUG_REGS * sizeof(uint64_t),
	       "nothing but registers");

static void pack_debug(KvmVgic__GuestDebugEntry *entry, uint64_t *regs, const struct arm64_guest_debug *debug)
{
	entry->control = debug->control;
	entry->n_regs = DEBUG_REGS;
	memcpy(regs, (const uint8_t *)debug + offsetof(struct arm64_guest_debug, dbg_bcr), DEBUG_REGS * sizeof(*regs));
	entry->regs = regs;
}

void vcpu_pack(struct frame_out *out, const struct vcpu_state *vcpu, const struct vcpu_state *before)
{
	KvmVgic__VcpuEntry entry = KVM_VGIC__VCPU_ENTRY__INIT;
	KvmVgic__GuestDebugEntry debug = KVM_VGIC__GUEST_DEBUG_ENTRY__INIT;
	uint64_t debug_regs[DEBUG_REGS];

	entry.idx = vcpu->idx;
	entry.id = vcpu->id;
	entry.fd = vcpu->fd;
	entry.mpidr = vcpu->mpidr;
	entry.vtimer_irq = vcpu->vtimer_irq;
	entry.ptimer_irq = vcpu->ptimer_irq;
	entry.mp_state = vcpu->mp_state;
	entry.pending = (KvmVgic__VcpuPending)vcpu->pending;
	entry.pmu_irq = vcpu->pmu_irq;
	entry.pmu_created = vcpu->pmu_created;
	entry.has_pvtime = vcpu->pvtime != VCPU_NO_PVTIME;
	entry.pvtime = vcpu->pvtime;
	entry.has_sigset = vcpu->sigset_active;
	entry.sigset = vcpu->sigset;
	entry.has_vtid = vcpu->vtid;
	entry.vtid = vcpu->vtid;
	pack_debug(&debug, debug_regs, &vcpu->debug);
	entry.debug = vcpu->debug.control ? &debug : NULL;
	entry.n_maps = vcpu->nr_maps;
	entry.run_size = vcpu->run_size;
	entry.n_run = byte_runs_pack(out, &entry.run, vcpu->run, vcpu->run_size);
	entry.reg_ids = entry_room(out, vcpu->nr_regs, sizeof(*entry.reg_ids));
	entry.reg_values.data = entry_room(out, stored_sizes(vcpu), 1);
	if (entry.reg_ids && entry.reg_values.data && ENTRY_LIST(out, vcpu->nr_maps, entry.maps)) {
		pack_reg_ids(&entry, vcpu, before);
		pack_reg_values(&entry, vcpu);
		pack_maps(entry.maps, vcpu);
		frame_add(out, &entry.base);
	}
	free(entry.reg_ids);
	free(entry.reg_values.data);
	free(entry.maps);
	free(entry.run);
}

/* The next value of @left bytes of @values. */
static int unpack_reg(const struct frame_in *in, uint32_t idx, struct vcpu_reg *reg, const uint8_t **values,
		      size_t *left)
{
	uint32_t size = kvm_reg_size(reg->id);

	if (size > VCPU_REG_MAX) {
		pr_err("%s: vCPU %u: register 0x%" PRIx64 ": size %u, at most %u expected\n", in->file, idx,
		       reg->id, size, VCPU_REG_MAX);
		return -EINVAL;
	}
	if (size > *left) {
		pr_err("%s: vCPU %u: register 0x%" PRIx64 ": size %u, reg_values has %zu bytes left\n",
		       in->file, idx, reg->id, size, *left);
		return -EINVAL;
	}
	memcpy(reg->value, *values, size);
	*values += size;
	*left -= size;
	return 0;
}

static int unpack_reg_values(const struct frame_in *in, const KvmVgic__VcpuEntry *entry,
			     struct vcpu_state *vcpu)
{
	const uint8_t *values = entry->reg_values.data;
	size_t left = entry->reg_values.len;
	int ret = 0;

	for (size_t i = 0; i < vcpu->nr_regs && !ret; i++)
		ret = unpack_reg(in, vcpu->idx, &vcpu->regs[i], &values, &left);
	if (!ret && left) {
		pr_err("%s: vCPU %u: reg_values: %zu bytes after the last register\n", in->file, vcpu->idx,
		       left);
		ret = -EINVAL;
	}
	return ret;
}

static int unpack_regs(const struct frame_in *in, const KvmVgic__VcpuEntry *entry, struct vcpu_state *vcpu,
		       const struct vcpu_state *before)
{
	bool same = before && !entry->n_reg_ids;
	size_t n = same ? before->nr_regs : entry->n_reg_ids;
	int ret;

	if (n > VCPU_MAX_REGS) {
		pr_err("%s: vCPU %u: %zu registers, at most %u expected\n", in->file, vcpu->idx, n,
		       VCPU_MAX_REGS);
		return -EINVAL;
	}
	ret = entry_alloc(in, &vcpu->regs, n, sizeof(*vcpu->regs));
	if (ret)
		return ret;
	vcpu->nr_regs = n;
	for (size_t i = 0; i < n; i++)
		vcpu->regs[i].id = same ? before->regs[i].id : entry->reg_ids[i];
	return unpack_reg_values(in, entry, vcpu);
}

static int unpack_maps(const struct frame_in *in, const KvmVgic__VcpuEntry *entry, struct vcpu_state *vcpu)
{
	if (entry->n_maps > VCPU_MAX_MAPS) {
		pr_err("%s: vCPU %u: %zu mappings, at most %u expected\n", in->file, vcpu->idx, entry->n_maps,
		       VCPU_MAX_MAPS);
		return -EINVAL;
	}
	vcpu->nr_maps = entry->n_maps;
	for (size_t i = 0; i < vcpu->nr_maps; i++)
		vcpu->maps[i] = (struct vcpu_map){
			.start = entry->maps[i]->start,
			.size = entry->maps[i]->size,
			.offset = entry->maps[i]->offset,
			.prot = entry->maps[i]->prot,
			.flags = entry->maps[i]->flags,
		};
	return 0;
}

static int unpack_run(const struct frame_in *in, const KvmVgic__VcpuEntry *entry, struct vcpu_state *vcpu)
{
	uint32_t end;
	int ret;

	if (entry->run_size > VCPU_RUN_MAX) {
		pr_err("%s: vCPU %u: run_size %u, at most %u expected\n", in->file, vcpu->idx,
		       entry->run_size, VCPU_RUN_MAX);
		return -EINVAL;
	}
	ret = byte_runs_end(in, "run", entry->run, entry->n_run, entry->run_size, &end);
	if (!ret)
		ret = entry_alloc(in, &vcpu->run, entry->run_size, 1);
	if (ret)
		return ret;
	vcpu->run_size = entry->run_size;
	byte_runs_unpack(entry->run, entry->n_run, vcpu->run);
	return 0;
}

static int unpack_debug(const struct frame_in *in, const KvmVgic__GuestDebugEntry *entry, struct vcpu_state *vcpu)
{
	if (!entry)
		return 0;
	if (entry->n_regs != DEBUG_REGS) {
		pr_err("%s: vCPU %u: debug: %zu registers, %u expected\n", in->file, vcpu->idx, entry->n_regs,
		       DEBUG_REGS);
		return -EINVAL;
	}
	vcpu->debug.control = entry->control;
	memcpy((uint8_t *)&vcpu->debug + offsetof(struct arm64_guest_debug, dbg_bcr), entry->regs,
	       DEBUG_REGS * sizeof(*entry->regs));
	return 0;
}

int vcpu_unpack(const struct frame_in *in, const KvmVgic__VcpuEntry *entry, struct vcpu_state *vcpu,
		const struct vcpu_state *before)
{
	int ret;

	vcpu->idx = entry->idx;
	vcpu->id = entry->id;
	vcpu->fd = entry->fd;
	vcpu->mpidr = entry->mpidr;
	vcpu->vtimer_irq = entry->vtimer_irq;
	vcpu->ptimer_irq = entry->ptimer_irq;
	vcpu->mp_state = entry->mp_state;
	vcpu->pending = (enum vcpu_pending)entry->pending;
	vcpu->pmu_irq = entry->pmu_irq;
	vcpu->pmu_created = entry->pmu_created;
	vcpu->pvtime = entry->has_pvtime ? entry->pvtime : VCPU_NO_PVTIME;
	vcpu->sigset_active = entry->has_sigset;
	vcpu->sigset = entry->has_sigset ? entry->sigset : 0;
	vcpu->vtid = entry->has_vtid ? entry->vtid : 0;
	ret = unpack_debug(in, entry->debug, vcpu);
	if (!ret)
		ret = unpack_regs(in, entry, vcpu, before);
	if (!ret)
		ret = unpack_maps(in, entry, vcpu);
	if (!ret)
		ret = unpack_run(in, entry, vcpu);
	return ret;
}

void vcpu_events_pack(struct frame_out *out, const struct vcpu_state *vcpu)
{
	KvmVgic__VcpuEventsEntry entry = KVM_VGIC__VCPU_EVENTS_ENTRY__INIT;

	entry.idx = vcpu->idx;
	entry.serror_pending = vcpu->events.exception.serror_pending;
	entry.serror_has_esr = vcpu->events.exception.serror_has_esr;
	entry.ext_dabt_pending = vcpu->events.exception.ext_dabt_pending;
	entry.serror_esr = vcpu->events.exception.serror_esr;
	frame_add(out, &entry.base);
}

static bool fits_u8(uint32_t v)
{
	return v <= UINT8_MAX;
}

int vcpu_events_unpack(const struct frame_in *in, const KvmVgic__VcpuEventsEntry *entry,
		       struct vcpu_state *vcpu)
{
	if (entry->idx != vcpu->idx) {
		pr_err("%s: entry %u: idx %u expected, %u found\n", in->file, in->entry, vcpu->idx,
		       entry->idx);
		return -EINVAL;
	}
	if (!fits_u8(entry->serror_pending) || !fits_u8(entry->serror_has_esr) ||
	    !fits_u8(entry->ext_dabt_pending)) {
		pr_err("%s: vCPU %u: a flag is larger than a byte\n", in->file, vcpu->idx);
		return -EINVAL;
	}
	vcpu->events.exception.serror_pending = entry->serror_pending;
	vcpu->events.exception.serror_has_esr = entry->serror_has_esr;
	vcpu->events.exception.ext_dabt_pending = entry->ext_dabt_pending;
	vcpu->events.exception.serror_esr = entry->serror_esr;
	return 0;
}
