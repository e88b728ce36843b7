// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"
#include "its_entry.h"

#define PAGE 4096u

const struct image_dump_id fixture_dump = { .bytes = "fixture's dump i" };

static void *alloc(size_t n, size_t size)
{
	void *block = calloc(n + 1, size);

	if (!block)
		abort();
	return block;
}

/* Values that differ from each other and from zero, the same in each run. */
static uint64_t next_value(void)
{
	static uint64_t x = 1;

	x = x * 6364136223846793005 + 1442695040888963407;
	return x ^ x >> 33;
}

/* vCPU 2 has one less than the others, as none of a real VM. */
static void fill_regs(struct vcpu_state *vcpu)
{
	static const uint64_t ids[] = {
		ARM64_MPIDR_EL1,
		ARM64_CORE_PC,
		ARM64_CORE_PSTATE,
		ARM64_MDSCR_EL1,
		KVM_REG_ARM64 | KVM_REG_SIZE_U8 | KVM_REG_ARM_FW | 1,
		KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_CORE | 212,
		KVM_REG_ARM64 | KVM_REG_SIZE_U128 | KVM_REG_ARM_CORE | 84,
		ARM64_SVE_VLS,
		KVM_REG_ARM64 | KVM_REG_SIZE_U2048 | KVM_REG_ARM64_SVE | 32,
	};

	vcpu->nr_regs = sizeof(ids) / sizeof(ids[0]) - (vcpu->idx == 2);
	vcpu->regs = alloc(vcpu->nr_regs, sizeof(*vcpu->regs));
	for (size_t r = 0; r < vcpu->nr_regs; r++) {
		vcpu->regs[r].id = ids[r];
		for (size_t i = 0; i < kvm_reg_size(ids[r]); i++)
			vcpu->regs[r].value[i] = next_value();
	}
	memcpy(vcpu->regs[0].value, &vcpu->mpidr, sizeof(vcpu->mpidr));
}

/* vCPU 0 owes a read, vCPU 1 a write, vCPU 2 nothing, and so on. */
static void fill_run(struct vcpu_state *vcpu)
{
	struct kvm_run *run;

	vcpu->pending = (vcpu->idx + 1) % 3;
	vcpu->run_size = 2 * PAGE;
	vcpu->run = alloc(vcpu->run_size, 1);
	run = (struct kvm_run *)vcpu->run;
	run->exit_reason = vcpu->pending ? KVM_EXIT_MMIO : KVM_EXIT_INTR;
	run->mmio.phys_addr = 0x9000000;
	run->mmio.len = 1 << vcpu->idx % 4;
	run->mmio.is_write = vcpu->pending == VCPU_PENDING_WRITE;
	memset(run->mmio.data, 0x5a, run->mmio.len);
	if (vcpu->idx == 1)
		vcpu->run[vcpu->run_size - 1] = 0x77;
}

/* What its VMM has set up: each on some vCPUs, all on the first. */
static void fill_settings(struct vcpu_state *vcpu, size_t i)
{
	uint64_t *const regs[] = { vcpu->debug.dbg_bcr, vcpu->debug.dbg_bvr, vcpu->debug.dbg_wcr,
				   vcpu->debug.dbg_wvr };

	vcpu->pmu_irq = i == 4 ? 0 : 23;
	vcpu->pmu_created = i % 5 < 3;
	vcpu->pvtime = i % 2 ? VCPU_NO_PVTIME : 0x47ff0000 + 64 * i;
	vcpu->sigset_active = i % 3 == 0;
	vcpu->sigset = vcpu->sigset_active ? next_value() : 0;
	if (i % 4 && i % 4 != 3)
		return;
	vcpu->debug.control = i % 4 ? 0x10001 : 0x30003;
	for (size_t r = 0; r < 64; r++)
		regs[r / 16][r % 16] = next_value();
}

static void fill_vcpu(struct vcpu_state *vcpu, size_t i, size_t nr_vcpus)
{
	static const uint32_t mp_states[] = { KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_STOPPED,
					      KVM_MP_STATE_SUSPENDED };
	uint64_t start = 0xffff80000000 + i * 8 * PAGE;

	vcpu->idx = i;
	vcpu->id = nr_vcpus < VM_MAX_VCPUS / 2 ? 2 * (nr_vcpus - i) : nr_vcpus - 1 - i;
	vcpu->fd = 10 + i;
	vcpu->mpidr = 0x80000000 | (i + 1) % 16 | (i + 1) / 16 << 8;
	vcpu->vtimer_irq = 27;
	vcpu->ptimer_irq = 30;
	vcpu->mp_state = mp_states[i % 3];
	vcpu->events.exception.serror_pending = i % 2;
	vcpu->events.exception.serror_has_esr = 1;
	vcpu->events.exception.serror_esr = i % 2 ? 0x1000000 + i : 0;
	vcpu->maps[0] = (struct vcpu_map){ start, 2 * PAGE, 0, PROT_READ | PROT_WRITE, VCPU_MAP_DONTFORK };
	vcpu->maps[1] = (struct vcpu_map){ start + 4 * PAGE, PAGE, PAGE, PROT_READ, 0 };
	vcpu->nr_maps = 2;
	fill_settings(vcpu, i);
	fill_regs(vcpu);
	fill_run(vcpu);
}

static struct vgic_values *values_of(const struct vgic_reg *table, size_t nr_regs, uint32_t nr_irqs)
{
	struct vgic_values *values = vgic_values_alloc(table, nr_regs, nr_irqs);

	if (!values)
		abort();
	return values;
}

/* Optional registers are there on every second vCPU. */
static struct vgic_values *fill_table(const struct vgic_reg *table, size_t nr_regs, uint32_t nr_irqs,
				      bool optional)
{
	struct vgic_values *values = values_of(table, nr_regs, nr_irqs);

	for (size_t r = 0; r < nr_regs; r++) {
		if (table[r].policy == VGIC_CLEAR || (table[r].policy == VGIC_OPTIONAL && !optional))
			continue;
		values[r].nr = vgic_reg_words(&table[r], nr_irqs);
		for (uint32_t i = 0; i < values[r].nr; i++)
			values[r].v[i] = next_value() >> (table[r].frame == VGIC_CPUIF ? 0 : 32);
	}
	return values;
}

/* Two SPIs that nobody has routed. */
static void fill_unrouted(struct vgic_v3_state *gic)
{
	for (size_t r = 0; r < vgic_v3_nr_dist_regs; r++)
		if (!strcmp(vgic_v3_dist_regs[r].name, "GICD_IROUTER"))
			gic->dist[r].v[33 - VGIC_NR_PRIVATE] = gic->dist[r].v[62 - VGIC_NR_PRIVATE] = 0;
	gic->unrouted[1] = 1u << (33 - VGIC_NR_PRIVATE) | 1u << (62 - VGIC_NR_PRIVATE);
}

static struct vgic_v3_state *make_vgic(size_t nr_vcpus, uint32_t nr_irqs)
{
	struct vgic_v3_state *gic = alloc(1, sizeof(*gic));

	gic->fd = 6;
	gic->nr_irqs = nr_irqs;
	gic->dist_base = 0x8000000;
	gic->nr_regions = 2;
	gic->regions = alloc(2, sizeof(*gic->regions));
	gic->regions[0] = (struct vgic_region){ .base = 0x80a0000, .count = 123 };
	gic->regions[1] = (struct vgic_region){ .base = 0x4000000000, .count = 512 };
	gic->iidr = 0x4b00243b;
	gic->dist = fill_table(vgic_v3_dist_regs, vgic_v3_nr_dist_regs, nr_irqs, true);
	fill_unrouted(gic);
	gic->nr_cpus = nr_vcpus;
	gic->redist = alloc(nr_vcpus, sizeof(*gic->redist));
	gic->cpuif = alloc(nr_vcpus, sizeof(*gic->cpuif));
	for (size_t i = 0; i < nr_vcpus; i++) {
		gic->redist[i] = fill_table(vgic_v3_redist_regs, vgic_v3_nr_redist_regs, nr_irqs, i % 2);
		gic->cpuif[i] = fill_table(vgic_v3_cpuif_regs, vgic_v3_nr_cpuif_regs, nr_irqs, i % 2);
	}
	gic->nr_active = 2;
	gic->active = alloc(2, sizeof(*gic->active));
	gic->active[0] = (struct vgic_active){ .intid = 32, .vcpu_idx = nr_vcpus - 1 };
	gic->active[1] = (struct vgic_active){ .intid = nr_irqs - 1, .vcpu_idx = 0 };
	return gic;
}

/* The bits of GITS_IIDR that name a revision of the tables stay 0. */
static void fill_its_regs(struct its_state *its)
{
	its->regs = fill_table(its_regs, its_nr_regs, VGIC_MIN_IRQS, true);
	for (size_t r = 0; r < its_nr_regs; r++)
		for (uint32_t i = 0; i < its->regs[r].nr; i++)
			its->regs[r].v[i] = next_value() & (strcmp(its_regs[r].name, "GITS_IIDR") ? UINT64_MAX : 0xfff);
}

static void add_dte(struct its_tables *t, uint32_t device_id, uint16_t next, uint8_t size, size_t nr_ites)
{
	t->dtes[t->nr_dtes++] = (struct its_dte){
		.device_id = device_id,
		.entry = DTE(next, 0x41000000 + 0x10000ULL * device_id, size),
		.first_ite = t->nr_ites,
		.nr_ites = nr_ites,
	};
	for (size_t i = 0; i < nr_ites; i++, t->nr_ites++) {
		t->event_ids[t->nr_ites] = 3 * i;
		t->ites[t->nr_ites] = ITE(i + 1 < nr_ites ? 3 : 0, LPI_MIN + 16 * device_id + i, i % 2 ? 65535 : 5);
	}
}

static void fill_its_tables(struct its_tables *t, bool two_level)
{
	t->nr_ctes = 2;
	t->ctes = alloc(t->nr_ctes, sizeof(*t->ctes));
	t->ctes[0] = CTE(2, 5);
	t->ctes[1] = CTE(0xffffffff, 65535);
	t->nr_l1es = two_level ? 2 : 0;
	t->l1es = alloc(t->nr_l1es, sizeof(*t->l1es));
	if (two_level) {
		t->l1es[0] = (struct its_l1e){ .index = 0, .entry = L1E(0x42000000) };
		t->l1es[1] = (struct its_l1e){ .index = 7, .entry = L1E(0x43000000) };
	}
	t->dtes = alloc(3, sizeof(*t->dtes));
	t->event_ids = alloc(6, sizeof(*t->event_ids));
	t->ites = alloc(6, sizeof(*t->ites));
	add_dte(t, two_level, 3, 4, 4);
	add_dte(t, 3 + two_level, 16383, 1, 0);
	add_dte(t, two_level ? 65535 : 20000, 0, 15, 2);
}

static void fill_itses(struct vm_state *vm)
{
	vm->nr_itses = FIXTURE_ITSES;
	vm->itses = alloc(vm->nr_itses, sizeof(*vm->itses));
	for (size_t i = 0; i < vm->nr_itses; i++) {
		vm->itses[i].fd = 7 + i;
		vm->itses[i].base = i < 2 ? 0x9000000 + 0x20000 * i : VGIC_ADDR_UNSET;
		if (i == 2)
			continue;
		fill_its_regs(&vm->itses[i]);
		fill_its_tables(&vm->itses[i].tables, i);
	}
}

static struct lpi_table lpi_table(uint32_t size)
{
	struct lpi_table table = { .bytes = alloc(size, 1), .size = size };

	for (uint32_t i = 0; i < size; i++)
		table.bytes[i] = next_value() | 1;
	return table;
}

/* The first vCPU has nothing pending. */
static void fill_lpi(struct vm_state *vm)
{
	vm->lpi = alloc(1, sizeof(*vm->lpi));
	vm->lpi->config = lpi_table(40);
	vm->lpi->nr_pending = vm->nr_vcpus;
	vm->lpi->pending = alloc(vm->nr_vcpus, sizeof(*vm->lpi->pending));
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		vm->lpi->pending[i] = lpi_table(i % 4);
}

/* The first has all sets, the second one, the third none. */
static void fill_threads(struct vm_state *vm)
{
	vm->nr_threads = 3;
	vm->threads = alloc(vm->nr_threads, sizeof(*vm->threads));
	for (size_t t = 0; t < vm->nr_threads; t++) {
		struct thread_state *thread = &vm->threads[t];

		thread->vtid = vm->vpid + 7 * t;
		thread->nr_sets = t == 0 ? thread_nr_notes : t == 1;
		thread->sets = alloc(thread->nr_sets, sizeof(*thread->sets));
		for (size_t s = 0; s < thread->nr_sets; s++) {
			struct thread_regset *set = &thread->sets[s];

			*set = (struct thread_regset){ .note = thread_notes[s], .size = 8 + 24 * s };
			set->data = alloc(set->size, 1);
			for (size_t i = 0; i < set->size; i++)
				set->data[i] = next_value();
		}
	}
}

static void fill_caps(struct vm_state *vm)
{
	static const struct smccc_range ranges[] = { { 0x1000, 0x1000, 1 }, { 0x84000000, 0x84000007, 2 },
						     { 0xc3000000, 0xffffffff, 0 } };

	vm->caps = VM_CAP_KNOWN;
	vm->halt_poll_ns = 70000;
	vm->manual_dirty_log = 3;
	vm->split_chunk = 2 << 20;
	vm->smccc_filter.nr = 3;
	vm->smccc_filter.ranges = alloc(3, sizeof(ranges[0]));
	memcpy(vm->smccc_filter.ranges, ranges, sizeof(ranges));
}

/* The last of four has none: it has ended. */
static void fill_runners(struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		vm->vcpus[i].vtid = i % 4 < vm->nr_threads ? vm->threads[i % 4].vtid : 0;
}

static void fill_slots(struct vm_state *vm)
{
	vm->nr_slots = 3;
	vm->slots = alloc(vm->nr_slots, sizeof(*vm->slots));
	vm->slots[0] = (struct memslot){ 1, 1, 0x40000000, 0x8000000, 0xffff10000000, .log = { 0 } };
	vm->slots[0].log.nr = 4;
	vm->slots[0].log.runs = alloc(4, sizeof(*vm->slots[0].log.runs));
	memcpy(vm->slots[0].log.runs, (uint64_t[]){ 0, 3, 1000, 31765 }, 4 * sizeof(uint64_t));
	vm->slots[1] = (struct memslot){ 0, KVM_MEM_READONLY, 0, 0x200000, 0xffff00000000, .log = { 0 } };
	vm->slots[2] = (struct memslot){ 7, 0, 0x48000000, PAGE, 0xffff20000000, .log = { 0 } };
}

/* One slot in two files, and some of another. */
static void fill_backings(struct vm_state *vm)
{
	vm->nr_backings = 3;
	vm->backings = alloc(vm->nr_backings, sizeof(*vm->backings));
	vm->backings[0] = (struct backing){ strdup("/dev/shm/guest 1"), 0x9000000, 0x1000000, 0x4000000, 1,
					    0x40000000, 0x0123456789abcdef, 77, 1700000000 };
	vm->backings[1] = (struct backing){ strdup("/var/lib/guest \xc3\xa4"), 0x4000000, 0, 0x4000000, 1,
					    0x44000000, 0xfedcba9876543210, 1ULL << 40, -1 };
	vm->backings[2] = (struct backing){ strdup("/rom"), 0x101, 0, 0x101, 0, PAGE, 3, 4, 5 };
}

static struct kvm_file file_of(uint32_t id, enum kvm_file_kind kind, uint32_t index)
{
	bool is_stats = kind == KVM_FILE_VM_STATS || kind == KVM_FILE_VCPU_STATS;

	return (struct kvm_file){ .id = id,
				  .kind = kind,
				  .index = index,
				  .flags = is_stats ? O_RDONLY : kind == KVM_FILE_VM ? O_RDWR | O_NONBLOCK : O_RDWR,
				  .pos = is_stats ? 1000 + id % 10 : 0 };
}

static void fill_files(struct vm_state *vm)
{
	uint32_t id = vm->id * 0x10000;

	vm->nr_files = vm->nr_vcpus + vm->nr_itses + 4;
	vm->files = alloc(vm->nr_files + 2, sizeof(*vm->files));
	vm->files[0] = file_of(id++, KVM_FILE_SYSTEM, 0);
	vm->files[1] = file_of(id++, KVM_FILE_VM, 0);
	vm->files[2] = file_of(id++, KVM_FILE_VGIC, 0);
	vm->files[3] = file_of(id++, KVM_FILE_VM, 0);
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		vm->files[4 + i] = file_of(id++, KVM_FILE_VCPU, i);
	for (size_t i = 0; i < vm->nr_itses; i++)
		vm->files[4 + vm->nr_vcpus + i] = file_of(id++, KVM_FILE_ITS, i);
	vm->files[vm->nr_files++] = file_of(id++, KVM_FILE_VM_STATS, 0);
	vm->files[vm->nr_files++] = file_of(id++, KVM_FILE_VCPU_STATS, vm->nr_vcpus - 1);
}

static void fill_pmu_filter(struct pmu_filter *filter)
{
	static const struct pmu_range allowed[] = { { 0, 0 }, { 0x11, 0x3ff }, { 0x8000, 0xfffe }, { 0xffff, 0xffff } };

	filter->active = true;
	filter->nr = sizeof(allowed) / sizeof(allowed[0]);
	filter->allowed = alloc(filter->nr, sizeof(*allowed));
	memcpy(filter->allowed, allowed, sizeof(allowed));
}

static void fill_bindings(struct vm_state *vm)
{
	static const struct irq_route routes[] = {
		{ .gsi = 4095, .type = KVM_IRQ_ROUTING_IRQCHIP, .pin = 987 },
		{ .gsi = 7, .type = KVM_IRQ_ROUTING_MSI, .address = 0xfedcba9876543210, .data = 0x89abcdef,
		  .flags = KVM_MSI_VALID_DEVID, .devid = 0xfedcba98 },
		{ .gsi = 0, .type = KVM_IRQ_ROUTING_MSI },
	};

	vm->nr_irqfds = vm->nr_ioeventfds = vm->nr_zones = 2;
	vm->irqfds = alloc(vm->nr_irqfds, sizeof(*vm->irqfds));
	vm->irqfds[0] = (struct irqfd_state){ 0xffffffff, true, { vm->vpid, 999 }, { 200, 1000 } };
	vm->irqfds[1] = (struct irqfd_state){ .gsi = 3, .eventfd = { 200, INT32_MAX } };
	vm->ioeventfds = alloc(vm->nr_ioeventfds, sizeof(*vm->ioeventfds));
	vm->ioeventfds[0] = (struct ioeventfd_state){ 0xfffffffffffffff0, 0xfedcba9876543210, 8,
						      KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO,
						      { vm->vpid, 0 } };
	vm->ioeventfds[1] = (struct ioeventfd_state){ .addr = 0x9000000, .eventfd = { 201, 7 } };
	vm->zones = alloc(vm->nr_zones, sizeof(*vm->zones));
	vm->zones[0] = (struct coalesced_zone){ 0xfedcba9876543210, 0xfedcba98, 1 };
	vm->zones[1] = (struct coalesced_zone){ 0x9000000, 8, 0 };
	vm->routing.own = true;
	vm->routing.nr = sizeof(routes) / sizeof(routes[0]);
	vm->routing.routes = alloc(vm->routing.nr, sizeof(*routes));
	memcpy(vm->routing.routes, routes, sizeof(routes));
}

struct vm_state *fixture_vm_id(uint32_t id, size_t nr_vcpus, uint32_t nr_irqs)
{
	struct vm_state *vm = alloc(1, sizeof(*vm));

	vm->id = id;
	vm->vpid = 100 + id;
	vm->page_size = PAGE;
	strcpy(vm->boot_id, "0123cdef-89ab-4cde-8f01-23456789abcd");
	vm->ipa_bits = 40;
	vm->features = 1 << KVM_ARM_VCPU_PSCI_0_2 | 1 << KVM_ARM_VCPU_PMU_V3 | 1 << KVM_ARM_VCPU_SVE |
		       1 << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1 << KVM_ARM_VCPU_PTRAUTH_GENERIC;
	fill_caps(vm);
	vm->counter_offset = true;
	vm->cntfrq = 0xfedcba98;
	vm->realtime = 0xfedcba9876543211;
	fill_pmu_filter(&vm->pmu_filter);
	vm->vtimer_cnt = 0x123456789abcdef0;
	vm->ptimer_cnt = 0xfedcba9876543210;
	vm->ptimer_offset = true;
	vm->fd = 5;
	vm->park_base = 1000;
	fill_slots(vm);
	fill_backings(vm);
	fill_bindings(vm);
	vm->nr_vcpus = nr_vcpus;
	vm->vcpus = alloc(nr_vcpus, sizeof(*vm->vcpus));
	for (size_t i = 0; i < nr_vcpus; i++)
		fill_vcpu(&vm->vcpus[i], i, nr_vcpus);
	vm->vgic = make_vgic(nr_vcpus, nr_irqs);
	fill_itses(vm);
	fill_lpi(vm);
	fill_files(vm);
	fill_threads(vm);
	fill_runners(vm);
	return vm;
}

struct vm_state *fixture_vm(size_t nr_vcpus, uint32_t nr_irqs)
{
	return fixture_vm_id(1, nr_vcpus, nr_irqs);
}

static struct vgic_v5_ist make_ist(uint32_t nr)
{
	struct vgic_v5_ist ist = { .nr = nr, .iste = alloc(nr, sizeof(*ist.iste)) };

	/* Runs of one, of two, of three: and the last of them all alike. */
	for (uint32_t i = 0; i < nr; i++)
		ist.iste[i] = i % 6 == 2 || i % 6 == 4 || i % 6 == 5 ? ist.iste[i - 1] : (uint32_t)next_value();
	return ist;
}

static struct vgic_values *fill_words(const struct vgic_reg *table, size_t nr_regs, bool wide)
{
	struct vgic_values *values = values_of(table, nr_regs, VGIC_MIN_IRQS);

	for (size_t r = 0; r < nr_regs; r++) {
		values[r].nr = 1;
		values[r].v[0] = wide ? next_value() : (uint32_t)next_value();
	}
	return values;
}

static struct vgic_values make_words(uint32_t nr)
{
	struct vgic_values words = { .nr = nr, .v = alloc(nr, sizeof(*words.v)) };

	for (uint32_t i = 0; i < nr; i++)
		words.v[i] = next_value();
	return words;
}

static struct vgic_v5_state *make_vgic_v5(size_t nr_vcpus, uint32_t nr_spis, uint32_t lpi_bits)
{
	struct vgic_v5_state *gic = alloc(1, sizeof(*gic));

	gic->fd = 6;
	gic->form = VGIC_V5_RAW;
	gic->nr_spis = nr_spis;
	gic->irs_base = 0x8000000;
	gic->userspace_ppis[0] = 8;
	gic->userspace_ppis[1] = 0x100;
	gic->id = fill_words(vgic_v5_id_regs, vgic_v5_nr_id_regs, false);
	gic->irs = fill_words(vgic_v5_irs_regs, vgic_v5_nr_irs_regs, false);
	*vgic_values_of(vgic_v5_id_regs, vgic_v5_nr_id_regs, gic->id, "IRS_IST_CFGR")->v = lpi_bits;
	*vgic_values_of(vgic_v5_id_regs, vgic_v5_nr_id_regs, gic->id, "IRS_IST_BASER")->v =
		lpi_bits ? 0x40000001 : 0;
	*vgic_values_of(vgic_v5_id_regs, vgic_v5_nr_id_regs, gic->id, "IRS_IDR5")->v = nr_spis;
	*vgic_values_of(vgic_v5_id_regs, vgic_v5_nr_id_regs, gic->id, "IRS_IDR6")->v = nr_spis;
	*vgic_values_of(vgic_v5_id_regs, vgic_v5_nr_id_regs, gic->id, "IRS_IDR7")->v = 0;
	gic->pe_cr0 = make_words(nr_vcpus);
	gic->spi_cfgr = make_words(nr_spis);
	gic->spi = make_ist(nr_spis);
	gic->lpi = make_ist(lpi_bits ? 1u << lpi_bits : 0);
	gic->nr_cpus = nr_vcpus;
	gic->cpuif = alloc(nr_vcpus, sizeof(*gic->cpuif));
	for (size_t i = 0; i < nr_vcpus; i++)
		gic->cpuif[i] = fill_words(vgic_v5_cpuif_regs, vgic_v5_nr_cpuif_regs, true);
	return gic;
}

/* A VM without what is its GICv3's. */
static struct vm_state *without_v3(size_t nr_vcpus)
{
	struct vm_state *vm = fixture_vm(nr_vcpus, VGIC_MIN_IRQS);

	vgic_v3_free(vm->vgic);
	its_free(vm->itses, vm->nr_itses);
	lpi_free(vm->lpi);
	vm->vgic = NULL;
	vm->itses = NULL;
	vm->nr_itses = 0;
	vm->lpi = NULL;
	free(vm->files);
	fill_files(vm);
	return vm;
}

/* SGIs are pending by their senders alone, and lines are of what is level-triggered. */
static struct vgic_v2_state *make_vgic_v2(size_t nr_vcpus, uint32_t nr_irqs)
{
	struct vgic_v2_state *gic = alloc(1, sizeof(*gic));

	gic->fd = 6;
	gic->nr_irqs = nr_irqs;
	gic->dist_base = 0x8000000;
	gic->cpu_base = 0x8010000;
	gic->iidr = 0x4b00243b;
	gic->dist = fill_table(vgic_v2_dist_regs, vgic_v2_nr_dist_regs, nr_irqs, true);
	for (uint32_t first = VGIC_NR_PRIVATE; first < nr_irqs; first += 32)
		gic->lines[first / 32].level = vgic_v2_level_triggered(gic, first) & next_value();
	gic->nr_cpus = nr_vcpus;
	gic->private = alloc(nr_vcpus, sizeof(*gic->private));
	gic->banked = alloc(nr_vcpus, sizeof(*gic->banked));
	gic->cpuif = alloc(nr_vcpus, sizeof(*gic->cpuif));
	for (size_t i = 0; i < nr_vcpus; i++) {
		gic->banked[i] = fill_table(vgic_v2_banked_regs, vgic_v2_nr_banked_regs, nr_irqs, true);
		gic->cpuif[i] = fill_table(vgic_v2_cpuif_regs, vgic_v2_nr_cpuif_regs, nr_irqs, true);
		*vgic_values_of(vgic_v2_banked_regs, vgic_v2_nr_banked_regs, gic->banked[i], "GICD_ISPENDR0")->v &=
			~(uint64_t)VGIC_V2_SGIS;
		gic->private[i].level = (uint32_t)next_value() & ~VGIC_V2_SGIS;
	}
	gic->nr_active = 1;
	gic->active = alloc(1, sizeof(*gic->active));
	gic->active[0] = (struct vgic_active){ .intid = 40, .vcpu_idx = nr_vcpus - 1 };
	return gic;
}

struct vm_state *fixture_vm_v2(size_t nr_vcpus, uint32_t nr_irqs)
{
	struct vm_state *vm = without_v3(nr_vcpus);

	for (size_t i = 0; i < nr_vcpus; i++)
		vm->vcpus[i].id = nr_vcpus - 1 - i;
	vm->vgic_v2 = make_vgic_v2(nr_vcpus, nr_irqs);
	return vm;
}

struct vm_state *fixture_vm_v5(size_t nr_vcpus, uint32_t nr_spis, uint32_t lpi_bits)
{
	struct vm_state *vm = without_v3(nr_vcpus);

	for (size_t i = 0; i < nr_vcpus; i++)
		vm->vcpus[i].vtimer_irq = vm->vcpus[i].ptimer_irq = 0;
	for (size_t i = 0; i < nr_vcpus; i++)
		vm->vcpus[i].pmu_irq = 0x20000017;
	vm->vgic_v5 = make_vgic_v5(nr_vcpus, nr_spis, lpi_bits);
	return vm;
}

/* Comparing */

#define DIFF(field)                                                                                          \
	do {                                                                                                 \
		if (a->field != b->field)                                                                    \
			return #field;                                                                       \
	} while (0)
#define DIFF_BYTES(field, size)                                                                              \
	do {                                                                                                 \
		if ((size) > 0 && memcmp(a->field, b->field, size))                                                \
			return #field;                                                                       \
	} while (0)

static const char *diff_vcpu(const struct vcpu_state *a, const struct vcpu_state *b)
{
	DIFF(idx);
	DIFF(id);
	DIFF(fd);
	DIFF(mpidr);
	DIFF(vtimer_irq);
	DIFF(ptimer_irq);
	DIFF(pmu_irq);
	DIFF(pmu_created);
	DIFF(vtid);
	DIFF(pvtime);
	DIFF(sigset_active);
	DIFF(sigset);
	DIFF(debug.control);
	DIFF_BYTES(debug.dbg_bcr, sizeof(a->debug.dbg_bcr));
	DIFF_BYTES(debug.dbg_bvr, sizeof(a->debug.dbg_bvr));
	DIFF_BYTES(debug.dbg_wcr, sizeof(a->debug.dbg_wcr));
	DIFF_BYTES(debug.dbg_wvr, sizeof(a->debug.dbg_wvr));
	DIFF(mp_state);
	DIFF(pending);
	DIFF(nr_regs);
	for (size_t r = 0; r < a->nr_regs; r++) {
		DIFF(regs[r].id);
		DIFF_BYTES(regs[r].value, kvm_reg_size(a->regs[r].id));
	}
	DIFF_BYTES(events.exception.pad, sizeof(a->events.exception.pad));
	DIFF_BYTES(events.reserved, sizeof(a->events.reserved));
	DIFF(events.exception.serror_pending);
	DIFF(events.exception.serror_has_esr);
	DIFF(events.exception.ext_dabt_pending);
	DIFF(events.exception.serror_esr);
	DIFF(nr_maps);
	for (size_t m = 0; m < a->nr_maps; m++) {
		DIFF(maps[m].start);
		DIFF(maps[m].size);
		DIFF(maps[m].offset);
		DIFF(maps[m].prot);
		DIFF(maps[m].flags);
	}
	DIFF(run_size);
	DIFF_BYTES(run, a->run_size);
	return NULL;
}

static const char *diff_values(const struct vgic_reg *table, size_t nr_regs, const struct vgic_values *a,
			       const struct vgic_values *b)
{
	for (size_t r = 0; r < nr_regs; r++)
		if (a[r].nr != b[r].nr || (a[r].nr && memcmp(a[r].v, b[r].v, a[r].nr * sizeof(*a[r].v))))
			return table[r].name;
	return NULL;
}

static const char *diff_vgic_regs(const struct vgic_v3_state *a, const struct vgic_v3_state *b)
{
	const char *diff = diff_values(vgic_v3_dist_regs, vgic_v3_nr_dist_regs, a->dist, b->dist);

	for (size_t i = 0; i < a->nr_cpus && !diff; i++) {
		diff = diff_values(vgic_v3_redist_regs, vgic_v3_nr_redist_regs, a->redist[i],
				   b->redist[i]);
		if (!diff)
			diff = diff_values(vgic_v3_cpuif_regs, vgic_v3_nr_cpuif_regs, a->cpuif[i],
					   b->cpuif[i]);
	}
	return diff;
}

static const char *diff_ist(const struct vgic_v5_ist *a, const struct vgic_v5_ist *b)
{
	DIFF(nr);
	DIFF_BYTES(iste, a->nr * sizeof(*a->iste));
	return NULL;
}

static const char *diff_words(const struct vgic_values *a, const struct vgic_values *b)
{
	DIFF(nr);
	DIFF_BYTES(v, a->nr * sizeof(*a->v));
	return NULL;
}

static const char *diff_vgic_v5(const struct vgic_v5_state *a, const struct vgic_v5_state *b)
{
	const char *diff;

	DIFF(fd);
	DIFF(form);
	DIFF(nr_spis);
	DIFF(irs_base);
	DIFF_BYTES(userspace_ppis, sizeof(a->userspace_ppis));
	DIFF(nr_cpus);
	diff = diff_values(vgic_v5_id_regs, vgic_v5_nr_id_regs, a->id, b->id);
	if (!diff)
		diff = diff_values(vgic_v5_irs_regs, vgic_v5_nr_irs_regs, a->irs, b->irs);
	for (size_t i = 0; i < a->nr_cpus && !diff; i++)
		diff = diff_values(vgic_v5_cpuif_regs, vgic_v5_nr_cpuif_regs, a->cpuif[i], b->cpuif[i]);
	if (!diff)
		diff = diff_words(&a->pe_cr0, &b->pe_cr0);
	if (!diff)
		diff = diff_words(&a->spi_cfgr, &b->spi_cfgr);
	if (!diff)
		diff = diff_ist(&a->spi, &b->spi);
	return diff ?: diff_ist(&a->lpi, &b->lpi);
}

static const char *diff_active(const struct vgic_active *a, size_t nr_a, const struct vgic_active *b, size_t nr_b)
{
	if (nr_a != nr_b)
		return "nr_active";
	for (size_t i = 0; i < nr_a; i++)
		if (a[i].intid != b[i].intid || a[i].vcpu_idx != b[i].vcpu_idx)
			return "active";
	return NULL;
}

static const char *diff_vgic_v2(const struct vgic_v2_state *a, const struct vgic_v2_state *b)
{
	const char *diff;

	DIFF(fd);
	DIFF(nr_irqs);
	DIFF(dist_base);
	DIFF(cpu_base);
	DIFF(iidr);
	DIFF(nr_cpus);
	for (size_t i = 0; i < VGIC_V2_WORDS; i++)
		DIFF(lines[i].level);
	diff = diff_values(vgic_v2_dist_regs, vgic_v2_nr_dist_regs, a->dist, b->dist);
	for (size_t i = 0; i < a->nr_cpus && !diff; i++) {
		DIFF(private[i].level);
		diff = diff_values(vgic_v2_banked_regs, vgic_v2_nr_banked_regs, a->banked[i], b->banked[i]);
		if (!diff)
			diff = diff_values(vgic_v2_cpuif_regs, vgic_v2_nr_cpuif_regs, a->cpuif[i],
					   b->cpuif[i]);
	}
	return diff ? diff : diff_active(a->active, a->nr_active, b->active, b->nr_active);
}

static const char *diff_vgic(const struct vgic_v3_state *a, const struct vgic_v3_state *b)
{
	DIFF(fd);
	DIFF(nr_irqs);
	DIFF(dist_base);
	DIFF(legacy_redist);
	DIFF(nr_regions);
	for (size_t i = 0; i < a->nr_regions; i++) {
		DIFF(regions[i].base);
		DIFF(regions[i].count);
		DIFF(regions[i].flags);
	}
	DIFF(iidr);
	DIFF(nr_cpus);
	DIFF_BYTES(unrouted, sizeof(a->unrouted));
	DIFF(nr_active);
	for (size_t i = 0; i < a->nr_active; i++) {
		DIFF(active[i].intid);
		DIFF(active[i].vcpu_idx);
	}
	return diff_vgic_regs(a, b);
}

static const char *diff_dtes(const struct its_tables *a, const struct its_tables *b)
{
	DIFF(nr_dtes);
	for (size_t i = 0; i < a->nr_dtes; i++) {
		DIFF(dtes[i].device_id);
		DIFF(dtes[i].entry);
		DIFF(dtes[i].nr_ites);
		for (size_t e = 0; e < a->dtes[i].nr_ites; e++)
			if (its_event_id(a, &a->dtes[i], e) != its_event_id(b, &b->dtes[i], e) ||
			    its_ite(a, &a->dtes[i], e) != its_ite(b, &b->dtes[i], e))
				return "an interrupt";
	}
	return NULL;
}

static const char *diff_its(const struct its_state *a, const struct its_state *b)
{
	const char *diff = NULL;

	DIFF(fd);
	DIFF(base);
	if (!a->regs != !b->regs)
		return "regs";
	if (a->regs)
		diff = diff_values(its_regs, its_nr_regs, a->regs, b->regs);
	DIFF(tables.nr_ctes);
	for (size_t i = 0; i < a->tables.nr_ctes; i++)
		DIFF(tables.ctes[i]);
	DIFF(tables.nr_l1es);
	for (size_t i = 0; i < a->tables.nr_l1es; i++) {
		DIFF(tables.l1es[i].index);
		DIFF(tables.l1es[i].entry);
	}
	return diff ?: diff_dtes(&a->tables, &b->tables);
}

static const char *diff_itses(const struct vm_state *a, const struct vm_state *b)
{
	const char *diff = NULL;

	DIFF(nr_itses);
	for (size_t i = 0; i < a->nr_itses && !diff; i++)
		diff = diff_its(&a->itses[i], &b->itses[i]);
	if (!a->lpi != !b->lpi)
		return "lpi";
	if (diff || !a->lpi)
		return diff;
	DIFF(lpi->config.size);
	DIFF_BYTES(lpi->config.bytes, a->lpi->config.size);
	DIFF(lpi->nr_pending);
	for (size_t i = 0; i < a->lpi->nr_pending; i++) {
		DIFF(lpi->pending[i].size);
		DIFF_BYTES(lpi->pending[i].bytes, a->lpi->pending[i].size);
	}
	return NULL;
}

static const char *diff_threads(const struct vm_state *a, const struct vm_state *b)
{
	DIFF(nr_threads);
	for (size_t t = 0; t < a->nr_threads; t++) {
		DIFF(threads[t].vtid);
		DIFF(threads[t].nr_sets);
		for (size_t s = 0; s < a->threads[t].nr_sets; s++) {
			DIFF(threads[t].sets[s].note);
			DIFF(threads[t].sets[s].size);
			DIFF_BYTES(threads[t].sets[s].data, a->threads[t].sets[s].size);
		}
	}
	return NULL;
}

static const char *diff_bindings(const struct vm_state *a, const struct vm_state *b)
{
	DIFF(nr_irqfds);
	for (size_t i = 0; i < a->nr_irqfds; i++) {
		DIFF(irqfds[i].gsi);
		DIFF(irqfds[i].resample);
		DIFF(irqfds[i].eventfd.vpid);
		DIFF(irqfds[i].eventfd.fd);
		DIFF(irqfds[i].resamplefd.vpid);
		DIFF(irqfds[i].resamplefd.fd);
	}
	DIFF(nr_ioeventfds);
	for (size_t i = 0; i < a->nr_ioeventfds; i++) {
		DIFF(ioeventfds[i].addr);
		DIFF(ioeventfds[i].datamatch);
		DIFF(ioeventfds[i].len);
		DIFF(ioeventfds[i].flags);
		DIFF(ioeventfds[i].eventfd.vpid);
		DIFF(ioeventfds[i].eventfd.fd);
	}
	DIFF(routing.own);
	DIFF(routing.nr);
	for (size_t i = 0; i < a->routing.nr; i++) {
		DIFF(routing.routes[i].gsi);
		DIFF(routing.routes[i].type);
		DIFF(routing.routes[i].irqchip);
		DIFF(routing.routes[i].pin);
		DIFF(routing.routes[i].address);
		DIFF(routing.routes[i].data);
		DIFF(routing.routes[i].flags);
		DIFF(routing.routes[i].devid);
	}
	DIFF(nr_zones);
	for (size_t i = 0; i < a->nr_zones; i++) {
		DIFF(zones[i].addr);
		DIFF(zones[i].size);
		DIFF(zones[i].pio);
	}
	return NULL;
}

static const char *diff_lists(const struct vm_state *a, const struct vm_state *b)
{
	const char *diff = NULL;

	DIFF(nr_slots);
	for (size_t i = 0; i < a->nr_slots; i++) {
		DIFF(slots[i].slot);
		DIFF(slots[i].flags);
		DIFF(slots[i].gpa);
		DIFF(slots[i].size);
		DIFF(slots[i].hva);
		DIFF(slots[i].log.nr);
		for (size_t r = 0; r < a->slots[i].log.nr; r++)
			DIFF(slots[i].log.runs[r]);
	}
	DIFF(nr_backings);
	for (size_t i = 0; i < a->nr_backings; i++) {
		DIFF_BYTES(backings[i].path, strlen(a->backings[i].path) + 1);
		DIFF(backings[i].file_size);
		DIFF(backings[i].offset);
		DIFF(backings[i].size);
		DIFF(backings[i].slot);
		DIFF(backings[i].gpa);
		DIFF(backings[i].hash);
		DIFF(backings[i].inode);
		DIFF(backings[i].mtime);
	}
	DIFF(nr_files);
	for (size_t i = 0; i < a->nr_files; i++) {
		DIFF(files[i].id);
		DIFF(files[i].kind);
		DIFF(files[i].index);
		DIFF(files[i].flags);
		DIFF(files[i].pos);
	}
	DIFF(nr_vcpus);
	for (size_t i = 0; i < a->nr_vcpus && !diff; i++)
		diff = diff_vcpu(&a->vcpus[i], &b->vcpus[i]);
	return diff;
}

const char *fixture_diff(const struct vm_state *a, const struct vm_state *b)
{
	const char *diff;

	DIFF(id);
	DIFF(vpid);
	DIFF(page_size);
	DIFF_BYTES(boot_id, sizeof(a->boot_id));
	DIFF(ipa_bits);
	DIFF(features);
	DIFF(vtimer_cnt);
	DIFF(ptimer_cnt);
	DIFF(ptimer_offset);
	DIFF(counter_offset);
	DIFF(cntfrq);
	DIFF(realtime);
	DIFF(caps);
	DIFF(halt_poll_ns);
	DIFF(manual_dirty_log);
	DIFF(split_chunk);
	DIFF(smccc_filter.nr);
	DIFF_BYTES(smccc_filter.ranges, a->smccc_filter.nr * sizeof(struct smccc_range));
	DIFF(pmu_filter.active);
	DIFF(pmu_filter.nr);
	for (size_t i = 0; i < a->pmu_filter.nr; i++) {
		DIFF(pmu_filter.allowed[i].first);
		DIFF(pmu_filter.allowed[i].last);
	}
	DIFF(fd);
	DIFF(park_base);
	diff = diff_lists(a, b);
	if (!diff)
		diff = diff_bindings(a, b);
	if (!diff)
		diff = diff_threads(a, b);
	if (!diff)
		diff = diff_itses(a, b);
	if (!diff && (!a->vgic != !b->vgic || !a->vgic_v2 != !b->vgic_v2))
		diff = "vgic";
	if (diff)
		return diff;
	if (a->vgic_v2)
		return diff_vgic_v2(a->vgic_v2, b->vgic_v2);
	return a->vgic ? diff_vgic(a->vgic, b->vgic) : diff_vgic_v5(a->vgic_v5, b->vgic_v5);
}

/* Files */

/* In memory where that is to be had: a disk's file system takes its time over each rename. */
int fixture_dir(void)
{
	char shm[] = "/dev/shm/kvm-vgic-test-XXXXXX", tmp[] = "/tmp/kvm-vgic-test-XXXXXX";
	const char *path = mkdtemp(shm);
	int fd;

	if (!path)
		path = mkdtemp(tmp);
	if (!path)
		abort();
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		abort();
	return fd;
}

void fixture_close(int dirfd)
{
	char link[64], path[256];
	ssize_t n;
	DIR *dir;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	n = readlink(link, path, sizeof(path) - 1);
	dir = fdopendir(dirfd);
	if (n < 0 || !dir)
		abort();
	path[n] = 0;
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd, entry->d_name, 0);
	closedir(dir);
	rmdir(path);
}

int fixture_write_parts(int dirfd, const struct image_dump_id *dump, const struct vm_state *vm, struct image_seals *seals)
{
	const struct image_target target = { dirfd, dump, seals };

	return image_write_vm_parts(&target, vm);
}

int fixture_write(int dirfd, const struct image_dump_id *dump, struct vm_state **vms, size_t n)
{
	return fixture_write_with(dirfd, dump, vms, n, NULL);
}

int fixture_write_with(int dirfd, const struct image_dump_id *dump, struct vm_state **vms, size_t n,
		       const struct image_files *files)
{
	struct image_seals seals[IMAGE_MAX_VMS + 1];
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++)
		ret = fixture_write_parts(dirfd, dump, vms[i], &seals[i]);
	return ret ? ret : image_write_index(dirfd, dump, (const struct vm_state *const *)vms, seals, n, files);
}
