// SPDX-License-Identifier: GPL-2.0-only
/* What a guest or a VMM could tell two fake VMs apart by. */
#include <stdio.h>
#include <string.h>

#include "fake_kvm.h"

static char where[64];

#define DIFF(field)                                                                                          \
	do {                                                                                                 \
		if (memcmp(&a->field, &b->field, sizeof(a->field)))                                          \
			return #field;                                                                       \
	} while (0)

static bool is_counter(uint64_t id)
{
	return id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT;
}

static const char *diff_irq(const struct fake_irq *a, const struct fake_irq *b)
{
	DIFF(group);
	DIFF(enabled);
	DIFF(pending);
	DIFF(level);
	DIFF(active);
	DIFF(config);
	DIFF(priority);
	DIFF(router);
	DIFF(source);
	DIFF(queue);
	return NULL;
}

static const char *diff_irqs(const struct fake_irq *a, const struct fake_irq *b, uint32_t first, uint32_t end)
{
	const char *diff = NULL;

	for (uint32_t n = first; n < end && !diff; n++) {
		diff = diff_irq(&a[n], &b[n]);
		if (diff) {
			snprintf(where, sizeof(where), "%s of interrupt %u", diff, n);
			return where;
		}
	}
	return NULL;
}

static const char *diff_regs(const struct fake_kvm *of, const struct fake_vcpu *a, const struct fake_vcpu *b)
{
	DIFF(nr_regs);
	for (size_t r = 0; r < a->nr_regs; r++) {
		bool same = !memcmp(a->regs[r].value, b->regs[r].value, kvm_reg_size(a->regs[r].id));
		/* One that does not exist has no value. */
		bool hidden = !fake_reg_exists(of, a, a->regs[r].id);

		if (same || hidden || is_counter(a->regs[r].id))
			continue;
		snprintf(where, sizeof(where), "register %#llx", (unsigned long long)a->regs[r].id);
		return where;
	}
	return NULL;
}

/* The CPU interface, as far as it exists with this many priority bits. */
static const char *diff_icc(const struct fake_vcpu *a, const struct fake_vcpu *b)
{
	static const uint32_t pri_bits[FAKE_ICC_REGS] = {
		[3] = 6, [4] = 7, [5] = 7, [7] = 6, [8] = 7, [9] = 7
	};

	DIFF(pri_bits);
	for (size_t r = 0; r < FAKE_ICC_REGS; r++)
		if (a->pri_bits >= pri_bits[r])
			DIFF(icc[r]);
	return NULL;
}

/* KVM keeps the registers of a debugger that has gone, and of one that uses none. */
static const char *diff_debug(const struct fake_vcpu *a, const struct fake_vcpu *b)
{
	DIFF(debug.control);
	if (a->debug.control & FAKE_DEBUG_HW)
		DIFF(debug);
	return NULL;
}

/* A PMU counts in the thread of KVM_RUN alone. None yet: it will be the right one. */
static const char *diff_thread(const struct fake_vcpu *a, const struct fake_vcpu *b)
{
	if (a->vtid && b->vtid)
		DIFF(vtid);
	return NULL;
}

static const char *diff_vcpu(const struct fake_kvm *of, const struct fake_vcpu *a, const struct fake_vcpu *b)
{
	const char *diff;

	DIFF(id);
	DIFF(initialised);
	DIFF(mp_state);
	DIFF(timer_irq);
	DIFF(sve_finalized);
	DIFF(pmu_irq);
	DIFF(pmu_created);
	DIFF(pvtime);
	DIFF(stolen);
	DIFF(sigset_active);
	if (a->sigset_active)
		DIFF(sigset);
	DIFF(serror);
	DIFF(serror_esr);
	DIFF(mmio_needed);
	DIFF(run);
	DIFF(propbaser);
	DIFF(pendbaser);
	DIFF(gicr_ctlr);
	diff = diff_regs(of, a, b);
	if (!diff)
		diff = diff_debug(a, b);
	if (!diff)
		diff = diff_thread(a, b);
	if (!diff)
		diff = diff_icc(a, b);
	return diff ? diff : diff_irqs(a->irq, b->irq, 0, VGIC_NR_PRIVATE);
}

static const char *diff_gic(const struct fake_gic *a, const struct fake_gic *b)
{
	DIFF(initialised);
	DIFF(legacy);
	DIFF(nr_irqs);
	DIFF(iidr);
	DIFF(ctlr);
	DIFF(typer);
	DIFF(dist_base);
	DIFF(nr_regions);
	for (size_t i = 0; i < a->nr_regions; i++) {
		DIFF(regions[i].base);
		DIFF(regions[i].count);
	}
	return diff_irqs(a->spi, b->spi, VGIC_NR_PRIVATE, a->nr_irqs);
}

static const char *diff_lpis(const struct fake_kvm *a, const struct fake_kvm *b)
{
	DIFF(nr_lpis);
	for (size_t i = 0; i < a->nr_lpis; i++) {
		const struct fake_lpi *left = &a->lpis[i];
		const struct fake_lpi *right = fake_lpi((struct fake_kvm *)b, left->intid);
		const char *field = !right ? "mapping" :
				    left->target != right->target ? "target" :
				    left->enabled != right->enabled ? "enabled" :
				    left->priority != right->priority ? "priority" :
				    left->pending != right->pending ? "pending" :
				    left->queued != right->queued ? "queued" :
								    NULL;

		if (!field)
			continue;
		snprintf(where, sizeof(where), "%s of LPI %u", field, left->intid);
		return where;
	}
	return NULL;
}

/* That of the same id: the order in which they were mapped is nobody's business. */
static const struct fake_device *same_device(const struct fake_its *its, uint32_t id)
{
	for (size_t i = 0; i < its->nr_devices; i++)
		if (its->devices[i].id == id)
			return &its->devices[i];
	return NULL;
}

static const char *diff_devices(const struct fake_its *its, const struct fake_its *other)
{
	if (its->nr_devices != other->nr_devices)
		return "nr_devices";
	for (size_t d = 0; d < its->nr_devices; d++) {
		const struct fake_device *a = &its->devices[d], *b = same_device(other, a->id);

		if (!b)
			return "a device";
		DIFF(bits);
		DIFF(itt);
		DIFF(nr_events);
		for (size_t i = 0; i < a->nr_events; i++) {
			DIFF(events[i].event);
			DIFF(events[i].lpi);
			DIFF(events[i].icid);
		}
	}
	return NULL;
}

static const char *diff_its(const struct fake_its *a, const struct fake_its *b)
{
	DIFF(base);
	DIFF(typer);
	DIFF(iidr);
	DIFF(cbaser);
	DIFF(cwriter);
	DIFF(creadr);
	DIFF(baser);
	DIFF(enabled);
	DIFF(executed);
	DIFF(nr_collections);
	for (size_t i = 0; i < a->nr_collections; i++) {
		DIFF(collections[i].icid);
		DIFF(collections[i].target);
	}
	return diff_devices(a, b);
}

static const char *diff_itses(const struct fake_kvm *a, const struct fake_kvm *b)
{
	DIFF(nr_itses);
	for (size_t i = 0; i < a->nr_itses; i++) {
		const char *diff = diff_its(&a->its[i], &b->its[i]);

		if (!diff)
			continue;
		snprintf(where, sizeof(where), "%s of ITS %zu", diff, i);
		return where;
	}
	return diff_lpis(a, b);
}

static const struct fake_map *same_map(const struct fake_kvm *kvm, const struct fake_map *like)
{
	for (size_t i = 0; i < kvm->nr_maps; i++) {
		const struct fake_map *map = &kvm->maps[i];

		if (map->start == like->start && map->size == like->size && map->offset == like->offset &&
		    map->prot == like->prot && map->flags == like->flags && map->vcpu == like->vcpu)
			return map;
	}
	return NULL;
}

static const char *diff_task(const struct fake_kvm *a, const struct fake_kvm *b)
{
	for (int i = 0; i < FAKE_FDS; i++)
		if (a->fds[i].kind != b->fds[i].kind ||
		    (a->fds[i].kind && a->fds[i].index != b->fds[i].index)) {
			snprintf(where, sizeof(where), "fd %d", i);
			return where;
		}
	if (fake_nr_own_maps(a) != fake_nr_own_maps(b))
		return "number of mappings";
	for (size_t i = 0; i < a->nr_maps; i++)
		if (fake_is_own(&a->maps[i]) && !same_map(b, &a->maps[i])) {
			snprintf(where, sizeof(where), "mapping %#llx", (unsigned long long)a->maps[i].start);
			return where;
		}
	return NULL;
}

/* As far as the guest can name events: by the PMU it has, not by the host's. */
static const char *diff_pmu_filter(const struct fake_kvm *a, const struct fake_kvm *b)
{
	uint64_t dfr0 = fake_reg_u64((struct fake_vcpu *)&a->vcpus[0], ARM64_ID_AA64DFR0_EL1);
	uint32_t events = (dfr0 >> 8 & 0xf) > 1 ? PMU_MAX_EVENTS : 1024;

	DIFF(pmu_n);
	DIFF(pmu_filtered);
	for (uint32_t w = 0; a->pmu_filtered && w < events / 64; w++) {
		if (a->pmu_filter[w] == b->pmu_filter[w])
			continue;
		snprintf(where, sizeof(where), "PMU event filter from %#x on", 64 * w);
		return where;
	}
	return NULL;
}

static const char *diff_caps(const struct fake_kvm *a, const struct fake_kvm *b)
{
	DIFF(caps);
	DIFF(halt_poll_ns);
	DIFF(manual_dirty_log);
	DIFF(split_chunk);
	DIFF(nr_smccc);
	DIFF(smccc);
	return NULL;
}

static const char *diff_slots(const struct fake_kvm *a, const struct fake_kvm *b)
{
	DIFF(nr_slots);
	for (size_t i = 0; i < a->nr_slots; i++) {
		DIFF(slots[i]);
		if (!a->dirty[i] != !b->dirty[i] ||
		    (a->dirty[i] && memcmp(a->dirty[i], b->dirty[i], 8 * fake_log_words(&a->slots[i])))) {
			snprintf(where, sizeof(where), "dirty log of memslot %u", a->slots[i].slot);
			return where;
		}
	}
	return NULL;
}

/* The counters are left to the tests: they go on meanwhile. */
const char *fake_diff(const struct fake_kvm *a, const struct fake_kvm *b)
{
	static char text[96];
	const char *diff;

	DIFF(nr_vcpus);
	DIFF(features);
	DIFF(ptimer_offset);
	DIFF(counter_offset);
	DIFF(ring);
	diff = diff_caps(a, b);
	if (!diff)
		diff = diff_slots(a, b);
	if (!diff)
		diff = diff_itses(a, b);
	if (!diff)
		diff = diff_pmu_filter(a, b);
	if (!diff)
		diff = fake_binding_diff(a, b);
	if (diff)
		return diff;
	for (size_t i = 0; i < a->nr_vcpus; i++) {
		diff = diff_vcpu(a, &a->vcpus[i], &b->vcpus[i]);
		if (diff) {
			snprintf(text, sizeof(text), "vCPU %zu: %s", i, diff);
			return text;
		}
	}
	if (!a->v5 != !b->v5)
		return "v5";
	if (!a->v2 != !b->v2)
		return "v2";
	if (a->v2) {
		DIFF(v2->cpu_base);
		DIFF(v2->cpuif);
	}
	diff = a->v5 ? fake_v5_diff(a, b) : diff_gic(&a->gic, &b->gic);
	return diff ? diff : diff_task(a, b);
}
