// SPDX-License-Identifier: GPL-2.0-only
/* Images: what is written is read, and nothing else is. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "its_entry.h"
#include "image/frame.h"
#include "remote/remote.h"
#include "testlog.h"

static const char *const files[] = { "kvm-vm.img", "kvm-vcpu-1.img", "kvm-vcpu-events-1.img",
				     "kvm-vgic-1.img", "kvm-its-1.img", "kvm-thread-1.img" };

#define NR_FILES (sizeof(files) / sizeof(files[0]))

struct set {
	struct vm_state *vm;
	int dir;
};

/* The smallest VM: its files are damaged byte by byte. */
static int set_up(void **state)
{
	struct set *set = calloc(1, sizeof(*set));

	set->vm = fixture_vm(1, VGIC_MIN_IRQS);
	set->dir = fixture_dir();
	*state = set;
	return fixture_write(set->dir, &fixture_dump, &set->vm, 1);
}

static int tear_down(void **state)
{
	struct set *set = *state;

	vm_state_free(set->vm);
	fixture_close(set->dir);
	free(set);
	return 0;
}

static int read_result(int dir)
{
	struct vm_state **vms;
	struct image_files loose;
	size_t n;
	int ret;

	log_reset();
	ret = image_read_all(dir, &vms, &n, &loose);
	if (!ret)
		image_free_all(vms, n, &loose);
	return ret;
}

/* Refused, with one error that names @file. */
static void assert_refused(int dir, const char *file)
{
	int ret = read_result(dir);

	assert_int_equal(ret, -EINVAL);
	assert_int_equal(log_errors(), 1);
	assert_memory_equal(log_error(), file, strlen(file));
}

static void assert_says(int dir, const char *message)
{
	assert_int_equal(read_result(dir), -EINVAL);
	assert_int_equal(log_errors(), 1);
	assert_string_equal(log_error(), message);
}

/* Of no VM: alone, and beside VMs. */
static void files_of_no_vm_come_back(void **state)
{
	struct kvm_file list[] = { { .id = 7, .kind = KVM_FILE_SYSTEM, .flags = O_RDONLY },
				   { .id = 9, .kind = KVM_FILE_SYSTEM, .flags = O_RDWR | O_NONBLOCK } };
	const struct image_files files_of_none = { list, 2 };

	for (size_t n = 0; n < 2; n++) {
		struct vm_state *vm = fixture_vm(1, 64), **back;
		struct image_files loose;
		int dir = fixture_dir();
		size_t nr_back;

		assert_int_equal(fixture_write_with(dir, &fixture_dump, &vm, n, &files_of_none), 0);
		assert_int_equal(image_read_all(dir, &back, &nr_back, &loose), 0);
		assert_int_equal(nr_back, n);
		assert_int_equal(loose.nr, 2);
		assert_memory_equal(loose.list, list, sizeof(list));
		image_free_all(back, nr_back, &loose);
		fixture_close(dir);
		vm_state_free(vm);
	}
}

static void assert_round_trip(struct vm_state **vms, size_t n)
{
	struct vm_state **back;
	struct image_files loose;
	int dir = fixture_dir();
	const char *diff;
	size_t nr_back;

	log_reset();
	assert_int_equal(image_check((const struct vm_state *const *)vms, n), 0);
	assert_int_equal(fixture_write(dir, &fixture_dump, vms, n), 0);
	assert_int_equal(image_read_all(dir, &back, &nr_back, &loose), 0);
	assert_int_equal(log_errors(), 0);
	assert_int_equal(nr_back, n);
	for (size_t i = 0; i < n; i++) {
		diff = fixture_diff(vms[i], back[i]);
		if (diff)
			fail_msg("VM %zu came back with another %s", i, diff);
		vm_state_free(vms[i]);
	}
	image_free_all(back, n, &loose);
	fixture_close(dir);
}

static void a_vm_comes_back_as_it_was(void **state)
{
	static const size_t nr_vcpus[] = { 1, 2, 4, 8 };

	for (size_t i = 0; i < sizeof(nr_vcpus) / sizeof(nr_vcpus[0]); i++) {
		struct vm_state *vm = fixture_vm(nr_vcpus[i], 96 * (i + 1));

		assert_round_trip(&vm, 1);
	}
}

static void a_vm_with_a_gicv5_comes_back(void **state)
{
	static const uint32_t lpi_bits[] = { 0, 8, 16 }, nr_spis[] = { 0, 32, 1024 };

	for (size_t s = 0; s < sizeof(nr_spis) / sizeof(nr_spis[0]); s++)
		for (size_t l = 0; l < sizeof(lpi_bits) / sizeof(lpi_bits[0]); l++) {
			struct vm_state *vm = fixture_vm_v5(1 + 3 * s, nr_spis[s], lpi_bits[l]);

			assert_round_trip(&vm, 1);
		}
}

static void a_vm_with_a_gicv2_comes_back(void **state)
{
	for (size_t n = 1; n <= VGIC_V2_MAX_VCPUS; n++) {
		struct vm_state *vm = fixture_vm_v2(n, n == 1 ? VGIC_MAX_IRQS : 32 * (n + 1));

		assert_round_trip(&vm, 1);
	}
}

static int count_files(int dir)
{
	DIR *d = fdopendir(dup(dir));
	int n = 0;

	rewinddir(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void write_all_parts(const struct vm_state *vm, const struct image_target *target)
{
	assert_int_equal(image_check(&vm, 1), 0);
	assert_int_equal(image_write_vm_parts(target, vm), 0);
	assert_int_equal(count_files(target->dirfd), 5);
	fixture_close(target->dirfd);
}

/* The seals tell: it is what it would be if it were written with the rest. */
static void what_is_written_before_the_rest_is_the_same(void **state)
{
	struct vm_state *vms[] = { fixture_vm(3, 96), fixture_vm_v2(2, 64), fixture_vm_v5(2, 64, 8) };
	struct remote remote = { 0 };

	for (size_t i = 0; i < sizeof(vms) / sizeof(vms[0]); i++) {
		struct image_seals seals[2];
		struct image_target at_once = { fixture_dir(), &fixture_dump, &seals[0] };
		struct image_target early = { fixture_dir(), &fixture_dump, &seals[1] };

		write_all_parts(vms[i], &at_once);
		vms[i]->images = &early;
		assert_int_equal(image_write_early(vms[i], &remote), 0);
		assert_true(vms[i]->early_written);
		assert_int_equal(count_files(early.dirfd), 3);
		write_all_parts(vms[i], &early);
		assert_memory_equal(&seals[0], &seals[1], sizeof(seals[0]));
		vm_state_free(vms[i]);
	}
}

/* A former dump in the same folder is whole until all of the new one is there. */
static void no_file_has_its_name_before_all_are_written(void **state)
{
	struct vm_state *vm = fixture_vm(2, 64);
	struct image_seals seals;
	struct image_target target = { fixture_dir(), &fixture_dump, &seals };
	struct remote remote = { 0 };

	vm->images = &target;
	assert_int_equal(image_write_early(vm, &remote), 0);
	assert_int_equal(faccessat(target.dirfd, "kvm-vgic-1.img", F_OK, 0), -1);
	assert_int_equal(mkdirat(target.dirfd, "kvm-vcpu-events-1.img.tmp", 0700), 0);
	log_reset();
	assert_int_equal(image_write_vm_parts(&target, vm), -EISDIR);
	assert_int_equal(faccessat(target.dirfd, "kvm-vgic-1.img", F_OK, 0), -1);
	assert_int_equal(faccessat(target.dirfd, "kvm-vcpu-1.img", F_OK, 0), -1);
	assert_int_equal(unlinkat(target.dirfd, "kvm-vcpu-events-1.img.tmp", AT_REMOVEDIR), 0);
	image_drop_vm_parts(&target, vm);
	assert_int_equal(count_files(target.dirfd), 0);
	fixture_close(target.dirfd);
	vm_state_free(vm);
}

/* Nor is anything written of what has not been read. */
static void a_gic_that_is_wrong_is_refused_before_the_rest_is_there(void **state)
{
	struct vm_state *vm = fixture_vm(1, 64);
	struct image_seals seals;
	struct image_target target = { fixture_dir(), &fixture_dump, &seals };
	struct remote remote = { .queue.nr = 1 };

	log_reset();
	vm->images = &target;
	vm->vgic->dist[0].v[0] = 1ull << 32;
	assert_int_equal(image_write_early(vm, &remote), 0);
	assert_false(vm->early_written);
	remote.queue.nr = 0;
	assert_int_equal(image_write_early(vm, &remote), -EINVAL);
	assert_false(vm->early_written);
	assert_string_equal(log_error(), "kvm-vgic-1.img: distributor: GICD_TYPER: value 0x100000000 is wider than 32 bits");
	vm->vgic->dist[0].v[0] = 1;
	vm->itses[0].tables.dtes[0].entry = 0;
	log_reset();
	assert_int_equal(image_write_early(vm, &remote), -EINVAL);
	assert_false(vm->early_written);
	assert_int_equal(log_errors(), 1);
	assert_int_equal(count_files(target.dirfd), 0);
	fixture_close(target.dirfd);
	vm_state_free(vm);
}

/* Two registers that the check for one that is there twice cannot tell apart at once. */
static void registers_that_are_much_alike_come_back(void **state)
{
	struct vm_state *vm = fixture_vm(2, 64);

	for (size_t i = 0; i < 2; i++)
		vm->vcpus[i].regs[4].id = vm->vcpus[i].regs[5].id ^ 0x10101;
	assert_round_trip(&vm, 1);
}

static void the_largest_vm_comes_back(void **state)
{
	struct vm_state *vm = fixture_vm(VM_MAX_VCPUS, VGIC_MAX_IRQS);

	assert_round_trip(&vm, 1);
}

static void several_vms_come_back(void **state)
{
	struct vm_state *vms[] = { fixture_vm_id(2, 3, 64), fixture_vm_id(1, 1, 128),
				   fixture_vm_id(9, 2, 96) };

	assert_round_trip(vms, 3);
}

static void drop_backings(struct vm_state *vm)
{
	while (vm->nr_backings)
		free(vm->backings[--vm->nr_backings].path);
}

/* That of the first memslot, which alone has one. */
static void drop_log(struct vm_state *vm)
{
	free(vm->slots[0].log.runs);
	vm->slots[0].log = (struct dirty_log){ NULL, 0 };
}

static void drop_settings(struct vm_state *vm)
{
	vm->features = 0;
	vm->caps = 0;
	vm->halt_poll_ns = vm->manual_dirty_log = vm->split_chunk = 0;
	vm->smccc_filter.nr = 0;
	vm->counter_offset = vm->ptimer_offset = false;
	vm->cntfrq = 0;
	vm->realtime = 0;
	vm->pmu_filter.active = false;
	vm->pmu_filter.nr = 0;
	vm->nr_irqfds = vm->nr_ioeventfds = vm->nr_zones = 0;
	vm->routing.own = false;
	vm->routing.nr = 0;
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		vm->vcpus[i].pmu_irq = 0;
		vm->vcpus[i].pmu_created = false;
		vm->vcpus[i].pvtime = VCPU_NO_PVTIME;
		vm->vcpus[i].sigset_active = false;
		vm->vcpus[i].sigset = 0;
		vm->vcpus[i].debug = (struct arm64_guest_debug){ 0 };
	}
}

/* Another form of what is legal: no memory, no files, no mappings, no active SPI, one legacy region, 64 KiB pages. */
static void a_vm_with_little_comes_back(void **state)
{
	struct vm_state *vm = fixture_vm(2, 64);

	drop_settings(vm);
	drop_log(vm);
	vm->nr_slots = 0;
	drop_backings(vm);
	vm->vgic->nr_active = 0;
	vm->vgic->legacy_redist = true;
	vm->vgic->nr_regions = 1;
	vm->vgic->regions[0].count = 0;
	vm->page_size = 65536;
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		vm->vcpus[i].nr_maps = 0;
		vm->vcpus[i].pending = VCPU_PENDING_NONE;
		vm->vcpus[i].run_size = VCPU_RUN_MAX;
		free(vm->vcpus[i].run);
		vm->vcpus[i].run = calloc(1, VCPU_RUN_MAX);
		vm->vcpus[i].run[VCPU_RUN_MAX - 1] = 0xee;
	}
	assert_round_trip(&vm, 1);
}

static void *resize(void *array, size_t n, size_t size)
{
	array = realloc(array, n * size);
	assert_non_null(array);
	return array;
}

static void backings_to_the_limits(struct vm_state *vm)
{
	char path[PATH_MAX];

	drop_backings(vm);
	vm->backings = resize(vm->backings, VM_MAX_BACKINGS, sizeof(*vm->backings));
	for (size_t i = 0; i < VM_MAX_BACKINGS; i++)
		vm->backings[i] = (struct backing){ strdup("/"), INT64_MAX, INT64_MAX - 4095, 4095,
						    vm->slots[i].slot, vm->slots[i].gpa, UINT64_MAX,
						    UINT64_MAX, INT64_MIN };
	vm->nr_backings = VM_MAX_BACKINGS;
	memset(path, '/', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	free(vm->backings[0].path);
	vm->backings[0].path = strdup(path);
}

static void bindings_to_the_limits(struct vm_state *vm)
{
	const struct eventfd_ref ref = { INT32_MAX, INT32_MAX };

	vm->irqfds = resize(vm->irqfds, VM_MAX_IRQFDS, sizeof(*vm->irqfds));
	vm->ioeventfds = resize(vm->ioeventfds, VM_MAX_IOEVENTFDS, sizeof(*vm->ioeventfds));
	vm->zones = resize(vm->zones, VM_MAX_ZONES, sizeof(*vm->zones));
	vm->routing.routes = resize(vm->routing.routes, VM_MAX_ROUTES, sizeof(*vm->routing.routes));
	for (vm->nr_irqfds = 0; vm->nr_irqfds < VM_MAX_IRQFDS; vm->nr_irqfds++)
		vm->irqfds[vm->nr_irqfds] = (struct irqfd_state){ UINT32_MAX, true, ref, ref };
	for (vm->nr_ioeventfds = 0; vm->nr_ioeventfds < VM_MAX_IOEVENTFDS; vm->nr_ioeventfds++)
		vm->ioeventfds[vm->nr_ioeventfds] =
			(struct ioeventfd_state){ UINT64_MAX - 8, UINT64_MAX, 8, KVM_IOEVENTFD_FLAG_DATAMATCH, ref };
	for (vm->nr_zones = 0; vm->nr_zones < VM_MAX_ZONES; vm->nr_zones++)
		vm->zones[vm->nr_zones] = (struct coalesced_zone){ UINT64_MAX, UINT32_MAX, 1 };
	for (vm->routing.nr = 0; vm->routing.nr < VM_MAX_ROUTES; vm->routing.nr++)
		vm->routing.routes[vm->routing.nr] = (struct irq_route){
			.gsi = vm->routing.nr, .type = KVM_IRQ_ROUTING_MSI, .address = UINT64_MAX, .data = UINT32_MAX,
			.flags = KVM_MSI_VALID_DEVID, .devid = UINT32_MAX
		};
}

static void to_the_limits(struct vm_state *vm)
{
	struct vcpu_state *vcpu = &vm->vcpus[1];

	drop_log(vm);
	vm->slots = resize(vm->slots, VM_MAX_SLOTS, sizeof(*vm->slots));
	vm->nr_slots = VM_MAX_SLOTS;
	for (size_t i = 0; i < VM_MAX_SLOTS; i++)
		vm->slots[i] = (struct memslot){ i, 0, i << 12, 4096, i << 13, .log = { 0 } };
	vm->slots[0] = (struct memslot){ 0, 0, (1ULL << 52) - 4096, 4096, -4096ULL, .log = { 0 } };

	backings_to_the_limits(vm);
	bindings_to_the_limits(vm);
	vm->files = resize(vm->files, VM_MAX_FILES, sizeof(*vm->files));
	for (size_t i = vm->nr_files; i < VM_MAX_FILES; i++)
		vm->files[i] = (struct kvm_file){ .id = i };
	vm->nr_files = VM_MAX_FILES;
	vm->files[0].id = UINT32_MAX;

	vcpu->pending = VCPU_PENDING_NONE; /* which is replayed by registers */
	vcpu->regs = resize(vcpu->regs, VCPU_MAX_REGS, sizeof(*vcpu->regs));
	vcpu->nr_regs = VCPU_MAX_REGS;
	for (size_t r = 0; r < VCPU_MAX_REGS; r++) {
		vcpu->regs[r].id = KVM_REG_ARM64 | KVM_REG_SIZE_U2048 | r;
		memset(vcpu->regs[r].value, r, VCPU_REG_MAX);
	}

	memset(vcpu->run + vm->page_size, 0xee, vm->page_size);
	vcpu->nr_maps = VCPU_MAX_MAPS;
	for (size_t m = 0; m < VCPU_MAX_MAPS; m++)
		vcpu->maps[m] = (struct vcpu_map){ (m + 1) * -vcpu->run_size, vcpu->run_size, 0, m % 4, VCPU_MAP_KNOWN_FLAGS };

	vm->vgic->regions = resize(vm->vgic->regions, VGIC_MAX_REGIONS, sizeof(*vm->vgic->regions));
	vm->vgic->nr_regions = VGIC_MAX_REGIONS;
	for (uint64_t i = 0; i < VGIC_MAX_REGIONS; i++)
		vm->vgic->regions[i] = (struct vgic_region){ (63 - i) << 40, 4095, 0 };
}

static int open_file(int dir, const char *file, size_t *size);

static void *zeros(void *array, size_t n, size_t size)
{
	array = resize(array, n, size);
	return memset(array, 0, n * size);
}

/* All EventIDs, as far as the bounds go: 2^20 in all. */
static void devices_to_the_limits(struct its_tables *t)
{
	t->dtes = zeros(t->dtes, ITS_MAX_IDS + 1, sizeof(*t->dtes));
	t->nr_dtes = ITS_MAX_IDS + 1;
	t->nr_ites = ITS_MAX_ITES;
	t->event_ids = zeros(t->event_ids, ITS_MAX_ITES, sizeof(*t->event_ids));
	t->ites = zeros(t->ites, ITS_MAX_ITES, sizeof(*t->ites));
	for (size_t i = 0; i < t->nr_dtes; i++) {
		t->dtes[i] = (struct its_dte){ .device_id = i, .entry = UINT64_MAX, .first_ite = i * ITS_MAX_IDS };
		if (i < ITS_MAX_ITES / ITS_MAX_IDS)
			t->dtes[i].nr_ites = ITS_MAX_IDS;
	}
	for (size_t i = 0; i < t->nr_ites; i++) {
		t->event_ids[i] = i % ITS_MAX_IDS;
		t->ites[i] = UINT64_MAX;
	}
	t->dtes[ITS_MAX_IDS].device_id = UINT32_MAX;
}

static void lpis_to_the_limits(struct lpi_state *lpi)
{
	lpi->config.bytes = resize(lpi->config.bytes, LPI_NR, 1);
	memset(lpi->config.bytes, 0xff, LPI_NR);
	lpi->config.size = LPI_NR;
	for (size_t i = 0; i < lpi->nr_pending; i++) {
		lpi->pending[i].bytes = resize(lpi->pending[i].bytes, LPI_NR / 8, 1);
		memset(lpi->pending[i].bytes, 0xff, LPI_NR / 8);
		lpi->pending[i].size = LPI_NR / 8;
	}
}

/* After the VM's own: at the top of the address space. */
static void itses_to_the_limits(struct vm_state *vm)
{
	struct its_tables *t = &vm->itses[0].tables;

	for (size_t i = 1; i < vm->nr_itses; i++)
		vm->itses[i].tables.nr_dtes = vm->itses[i].tables.nr_ites = 0;
	vm->itses[0].base = (1ULL << 52) - 65536 - ITS_FRAME_SIZE;
	vm->itses[1].base = (1ULL << 52) - 65536 - 2 * ITS_FRAME_SIZE;
	for (size_t r = 0; r < its_nr_regs; r++)
		memset(vm->itses[0].regs[r].v, strcmp(its_regs[r].name, "GITS_IIDR") ? 0xff : 0, 8);
	t->ctes = zeros(t->ctes, ITS_MAX_IDS + 1, sizeof(*t->ctes));
	t->nr_ctes = ITS_MAX_IDS + 1;
	for (size_t i = 0; i < t->nr_ctes; i++)
		t->ctes[i] = UINT64_MAX;
	t->l1es = zeros(t->l1es, ITS_MAX_L1ES, sizeof(*t->l1es));
	t->nr_l1es = ITS_MAX_L1ES;
	for (size_t i = 0; i < t->nr_l1es; i++)
		t->l1es[i] = (struct its_l1e){ UINT32_MAX - ITS_MAX_L1ES + 1 + i, UINT64_MAX };
	devices_to_the_limits(t);
	lpis_to_the_limits(vm->lpi);
}

/* Which is another thing than no filter. */
static void a_filter_that_allows_nothing_comes_back(void **state)
{
	struct vm_state *vm = fixture_vm(1, 64);

	vm->pmu_filter.nr = 0;
	assert_round_trip(&vm, 1);
}

/* What is 0, and there all the same. */
static void zeros_that_mean_something_come_back(void **state)
{
	struct vm_state *vm = fixture_vm(2, 64);

	vm->slots[1].flags = 0; /* of the memory at 0 */
	vm->vcpus[1].pvtime = 0;
	vm->vcpus[1].sigset_active = true;
	vm->vcpus[1].sigset = 0;
	vm->vcpus[1].debug.control = KVM_GUESTDBG_ENABLE;
	assert_round_trip(&vm, 1);
}

/* Events, each apart from the next. */
static void the_most_ranges_of_events_come_back(void **state)
{
	struct vm_state *vm = fixture_vm(1, 64);
	struct pmu_filter *filter = &vm->pmu_filter;

	filter->nr = PMU_MAX_EVENTS / 2;
	filter->allowed = resize(filter->allowed, filter->nr, sizeof(*filter->allowed));
	for (uint32_t i = 0; i < filter->nr; i++)
		filter->allowed[i] = (struct pmu_range){ 2 * i + 1, 2 * i + 1 };
	assert_round_trip(&vm, 1);
}

static void each_feature_comes_back(void **state)
{
	for (uint32_t bit = 0; bit < 7; bit++) {
		struct vm_state *vm = fixture_vm(1, 64);

		drop_settings(vm);
		vm->features = 1u << bit;
		assert_round_trip(&vm, 1);
	}
}

/* As many ITSes as there can be, those added without an address. */
static void the_most_itses_come_back(void **state)
{
	struct vm_state *vm = fixture_vm(1, 64);

	vm->itses = resize(vm->itses, VM_MAX_ITSES, sizeof(*vm->itses));
	vm->files = resize(vm->files, vm->nr_files + VM_MAX_ITSES, sizeof(*vm->files));
	for (size_t i = vm->nr_itses; i < VM_MAX_ITSES; i++) {
		vm->itses[i] = (struct its_state){ .fd = 100 + i, .base = VGIC_ADDR_UNSET };
		vm->files[vm->nr_files++] = (struct kvm_file){ .id = 100 + i, .kind = KVM_FILE_ITS, .index = i };
	}
	vm->nr_itses = VM_MAX_ITSES;
	assert_round_trip(&vm, 1);
}

static void drop_itses(struct vm_state *vm)
{
	vm->nr_files -= vm->nr_itses + 2; /* statistics come behind those of ITSes */
	its_free(vm->itses, vm->nr_itses);
	vm->itses = NULL;
	vm->nr_itses = 0;
	lpi_free(vm->lpi);
	vm->lpi = NULL;
}

static void a_vm_without_its_comes_back(void **state)
{
	struct vm_state *vm = fixture_vm(2, 64);

	drop_itses(vm);
	assert_round_trip(&vm, 1);
}

static void the_largest_tables_come_back(void **state)
{
	struct vm_state *vm = fixture_vm(2, 96);

	itses_to_the_limits(vm);
	vm->ipa_bits = 52;
	assert_round_trip(&vm, 1);
}

static void settings_to_the_limits(struct vm_state *vm)
{
	struct vcpu_state *vcpu = &vm->vcpus[1];

	vm->features = 0x7f;
	vm->cntfrq = UINT32_MAX;
	vm->realtime = UINT64_MAX;
	vm->vcpus[0].pmu_irq = 95; /* the last of the GIC's */
	vcpu->pmu_irq = 1019;	   /* its PMU was not initialised: KVM has not looked at the GIC */
	vcpu->pmu_created = false;
	vm->vcpus[0].pvtime = 4096; /* the first memslot but the one at the end */
	vcpu->pvtime = (1ULL << 52) - 64;
	vcpu->sigset_active = true;
	vcpu->sigset = UINT64_MAX;
	memset(&vcpu->debug, 0xff, sizeof(vcpu->debug));
	vcpu->debug.control = 0x30003;
	vcpu->events.exception.serror_esr = 0x1ffffff;
}

static void the_largest_values_come_back(void **state)
{
	struct vm_state *vm = fixture_vm(2, 96);

	to_the_limits(vm);
	settings_to_the_limits(vm);
	vm->ipa_bits = 52;
	vm->park_base = INT32_MAX - 2 - VM_MAX_VCPUS - VM_MAX_ITSES;
	vm->fd = vm->park_base - 1;
	vm->itses[0].base = (1ULL << 52) - 65536 - ITS_FRAME_SIZE;
	vm->itses[1].base = (1ULL << 52) - 65536 - 2 * ITS_FRAME_SIZE;
	vm->vcpus[0].id = VM_MAX_VCPUS - 1;
	vm->vcpus[0].vtimer_irq = vm->vcpus[1].vtimer_irq = 31;
	vm->vgic->dist_base = (1ULL << 52) - 65536;
	vm->vgic->dist[0].v[0] = UINT32_MAX;
	assert_round_trip(&vm, 1);
}

static void the_smallest_values_come_back(void **state)
{
	struct vm_state *vm = fixture_vm(1, 64);

	drop_backings(vm);
	vm->vcpus[0].pmu_irq = 16;
	vm->vcpus[0].pvtime = 0;
	vm->vpid = 1;
	vm->fd = 0;
	vm->park_base = 11;
	vm->vcpus[0].vtimer_irq = 16;
	vm->vcpus[0].id = 0;
	vm->ipa_bits = 32;
	drop_log(vm);
	vm->nr_slots = 1;
	vm->slots[0] = (struct memslot){ 0, 0, 0, 1ULL << 32, 0, .log = { 0 } };
	vm->vcpus[0].pending = VCPU_PENDING_NONE; /* memory is everywhere */
	vm->vgic->nr_regions = 1;
	vm->vgic->regions[0] = (struct vgic_region){ 0, 1, 0 };
	assert_round_trip(&vm, 1);
}

static void a_gic_without_addresses_comes_back(void **state)
{
	struct vm_state *vm = fixture_vm(1, 64);

	vm->vgic->dist_base = VGIC_ADDR_UNSET;
	vm->vgic->nr_regions = 0;
	assert_round_trip(&vm, 1);
}

/* A usual VM's interrupts: 64 devices of 32 events on two ITSes, some of them pending. */
static void many_mappings(struct vm_state *vm)
{
	for (size_t n = 0; n < 2; n++) {
		struct its_tables *t = &vm->itses[n].tables;

		t->nr_dtes = 32;
		t->dtes = zeros(t->dtes, t->nr_dtes, sizeof(*t->dtes));
		t->nr_ites = 32 * t->nr_dtes;
		t->event_ids = zeros(t->event_ids, t->nr_ites, sizeof(*t->event_ids));
		t->ites = zeros(t->ites, t->nr_ites, sizeof(*t->ites));
		for (size_t d = 0; d < t->nr_dtes; d++)
			t->dtes[d] = (struct its_dte){ 0x100 * d, DTE(d < 31 ? 0x100 : 0, 0x123450000 + 0x1000 * d, 4), 32 * d, 32 };
		for (size_t i = 0; i < t->nr_ites; i++) {
			t->event_ids[i] = i % 32;
			t->ites[i] = ITE(i % 32 < 31, LPI_MIN + 1024 * n + i, i % 8);
		}
		t->nr_ctes = vm->nr_vcpus;
		t->ctes = zeros(t->ctes, t->nr_ctes, sizeof(*t->ctes));
		for (size_t i = 0; i < t->nr_ctes; i++)
			t->ctes[i] = CTE(vm->vcpus[i].id, i);
	}
	vm->lpi->config.size = 2048;
	vm->lpi->config.bytes = resize(vm->lpi->config.bytes, 2048, 1);
	memset(vm->lpi->config.bytes, 0xa1, 2048);
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		vm->lpi->pending[i].size = 256;
		vm->lpi->pending[i].bytes = resize(vm->lpi->pending[i].bytes, 256, 1);
		memset(vm->lpi->pending[i].bytes, 0x11, 256);
	}
}

/* As many registers as the emulated host's vCPUs have, each as long as the most of them are. */
static void usual_registers(struct vcpu_state *vcpu)
{
	vcpu->pending = VCPU_PENDING_NONE; /* which is replayed by registers */
	vcpu->nr_regs = 260;
	vcpu->regs = zeros(vcpu->regs, vcpu->nr_regs, sizeof(*vcpu->regs));
	for (size_t r = 0; r < vcpu->nr_regs; r++) {
		vcpu->regs[r].id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG | r;
		memset(vcpu->regs[r].value, r, 8);
	}
	vcpu->regs[0].id = ARM64_MPIDR_EL1;
	memcpy(vcpu->regs[0].value, &vcpu->mpidr, 8);
}

/* Bytes of all files of @vm, which it frees. */
static size_t size_of_images(struct vm_state *vm)
{
	struct vm_state **vms;
	struct image_files loose;
	int dir = fixture_dir();
	size_t all = 0, n, size;

	assert_int_equal(fixture_write(dir, &fixture_dump, &vm, 1), 0);
	for (size_t f = 0; f < NR_FILES; f++) {
		close(open_file(dir, files[f], &size));
		print_message("[          ] %zu vCPUs: %s: %zu bytes\n", vm->nr_vcpus, files[f], size);
		all += size;
	}
	assert_int_equal(image_read_all(dir, &vms, &n, &loose), 0);
	assert_null(fixture_diff(vm, vms[0]));
	image_free_all(vms, n, &loose);
	vm_state_free(vm);
	fixture_close(dir);
	return all;
}

static void two_thousand_mappings_are_small(void **state)
{
	for (size_t vcpus = 2; vcpus <= 8; vcpus += 6) {
		struct vm_state *vm = fixture_vm(vcpus, 992);

		many_mappings(vm);
		for (size_t i = 0; i < vm->nr_vcpus; i++)
			usual_registers(&vm->vcpus[i]);
		/* With 960 SPIs, whatever their registers hold. */
		assert_in_range(size_of_images(vm), 20000, 64 << 10);
	}
}

static int open_file(int dir, const char *file, size_t *size)
{
	int fd = openat(dir, file, O_RDWR | O_CLOEXEC);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*size = st.st_size;
	return fd;
}

static void flip(int fd, off_t at, uint8_t mask)
{
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= mask;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void any_changed_byte_is_refused(void **state)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xff };
	struct set *set = *state;

	for (size_t f = 0; f < NR_FILES; f++) {
		size_t size;
		int fd = open_file(set->dir, files[f], &size);

		for (size_t at = 0; at < size; at++)
			for (size_t m = 0; m < sizeof(masks); m++) {
				flip(fd, at, masks[m]);
				assert_refused(set->dir, files[f]);
				flip(fd, at, masks[m]);
			}
		close(fd);
		assert_int_equal(read_result(set->dir), 0);
	}
}

static void any_truncation_is_refused(void **state)
{
	struct set *set = *state;

	for (size_t f = 0; f < NR_FILES; f++) {
		size_t size;
		int fd = open_file(set->dir, files[f], &size);

		while (size--) {
			assert_int_equal(ftruncate(fd, size), 0);
			assert_refused(set->dir, files[f]);
		}
		close(fd);
		assert_int_equal(fixture_write(set->dir, &fixture_dump, &set->vm, 1), 0);
	}
}

/* Zeros, a byte at a time; then the file's own last entry once more, which is a seal. */
static void appended_bytes_are_refused(void **state)
{
	struct set *set = *state;
	uint8_t seal[FRAME_SEAL_SIZE];

	for (size_t f = 0; f < NR_FILES; f++) {
		size_t size;
		int fd = open_file(set->dir, files[f], &size);

		for (size_t more = 1; more < 64; more++) {
			assert_int_equal(ftruncate(fd, size + more), 0);
			assert_refused(set->dir, files[f]);
		}
		assert_int_equal(ftruncate(fd, size), 0);
		assert_int_equal(pread(fd, seal, sizeof(seal), size - sizeof(seal)), sizeof(seal));
		assert_int_equal(pwrite(fd, seal, sizeof(seal), size), sizeof(seal));
		assert_refused(set->dir, files[f]);
		assert_int_equal(ftruncate(fd, size), 0);
		close(fd);
		assert_int_equal(read_result(set->dir), 0);
	}
}

static void a_missing_file_is_named(void **state)
{
	struct set *set = *state;

	for (size_t f = 1; f < NR_FILES; f++) {
		char message[80];

		unlinkat(set->dir, files[f], 0);
		snprintf(message, sizeof(message), "%s: cannot open: No such file or directory", files[f]);
		assert_says(set->dir, message);
		assert_int_equal(fixture_write(set->dir, &fixture_dump, &set->vm, 1), 0);
	}
}

static void a_missing_index_is_told_apart(void **state)
{
	struct set *set = *state;

	unlinkat(set->dir, files[0], 0);
	assert_int_equal(read_result(set->dir), -ENOENT);
	assert_string_equal(log_error(), "kvm-vm.img: cannot open: No such file or directory");
}

static void a_file_of_another_dump_is_refused(void **state)
{
	static const struct image_dump_id other_dump = { .bytes = "another dump's i" };
	struct set *set = *state;
	int other = fixture_dir();

	assert_int_equal(fixture_write(other, &other_dump, &set->vm, 1), 0);
	for (size_t f = 1; f < NR_FILES; f++) {
		char message[80];

		assert_int_equal(renameat(other, files[f], set->dir, files[f]), 0);
		snprintf(message, sizeof(message), "%s: of another dump than kvm-vm.img", files[f]);
		assert_says(set->dir, message);
		assert_int_equal(fixture_write(set->dir, &fixture_dump, &set->vm, 1), 0);
	}
	fixture_close(other);
}

/* The same dump id does not make two files a set: kvm-vm.img knows each by its seal. */
static void an_exchanged_file_is_refused(void **state)
{
	struct set *set = *state;
	struct vm_state *vm = fixture_vm(1, VGIC_MIN_IRQS);
	int other = fixture_dir();

	vm->vcpus[0].events.exception.serror_esr ^= 1;
	for (size_t f = 1; f < NR_FILES; f++) {
		char message[120];

		assert_int_equal(fixture_write(set->dir, &fixture_dump, &set->vm, 1), 0);
		assert_int_equal(fixture_write(other, &fixture_dump, &vm, 1), 0);
		assert_int_equal(renameat(other, files[f], set->dir, files[f]), 0);
		snprintf(message, sizeof(message),
			 "%s: not the one that was dumped: kvm-vm.img has another seal for it", files[f]);
		assert_says(set->dir, message);
	}
	vm_state_free(vm);
	fixture_close(other);
}

static void what_is_no_regular_file_is_refused(void **state)
{
	struct set *set = *state;

	unlinkat(set->dir, files[3], 0);
	assert_int_equal(mkfifoat(set->dir, files[3], 0600), 0);
	assert_says(set->dir, "kvm-vgic-1.img: not a regular file");
}

static void a_huge_file_is_refused_before_it_is_read(void **state)
{
	struct set *set = *state;
	size_t size;
	int fd = open_file(set->dir, files[1], &size);

	assert_int_equal(ftruncate(fd, FRAME_FILE_MAX + 1L), 0);
	close(fd);
	assert_says(set->dir, "kvm-vcpu-1.img: 67108865 bytes, at most 67108864 expected");
}

/* Written again for each file that CRIU meets: the last one holds, and nothing is left of the way. */
static void the_index_can_be_rewritten(void **state)
{
	struct set *set = *state;
	struct image_seals seals;
	size_t nr_files = set->vm->nr_files;

	assert_int_equal(fixture_write_parts(set->dir, &fixture_dump, set->vm, &seals), 0);
	for (size_t n = 0; n <= nr_files; n++) {
		set->vm->nr_files = n;
		assert_int_equal(image_write_index(set->dir, &fixture_dump,
						   (const struct vm_state *const *)&set->vm, &seals, 1, NULL),
				 0);
		assert_int_equal(read_result(set->dir), n >= nr_files - 2 ? 0 : -EINVAL); /* the last two are of statistics */
	}
	assert_int_equal(faccessat(set->dir, "kvm-vm.img.tmp", F_OK, 0), -1);
}

/* A full disk, here a limit on the size of files, leaves the former file as it was. */
static void a_failed_write_leaves_the_former_file(void **state)
{
	struct set *set = *state;
	struct rlimit old, small;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	log_reset();
	assert_int_equal(fixture_write(set->dir, &fixture_dump, &set->vm, 1), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(log_errors(), 1);
	assert_string_equal(log_error(), "kvm-vgic-1.img: cannot write: File too large");
	assert_int_equal(read_result(set->dir), 0);
	assert_int_equal(faccessat(set->dir, "kvm-vgic-1.img.tmp", F_OK, 0), -1);
}

/* As one that was cut short leaves it; or a FIFO, at which nobody is to wait while a VM stands still. */
static void what_bears_the_name_of_a_new_file_is_replaced(void **state)
{
	struct set *set = *state;
	int fd = openat(set->dir, "kvm-vcpu-1.img.tmp", O_WRONLY | O_CREAT | O_EXCL, 0644);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(mkfifoat(set->dir, "kvm-vm.img.tmp", 0600), 0);
	assert_int_equal(fixture_write(set->dir, &fixture_dump, &set->vm, 1), 0);
	assert_int_equal(read_result(set->dir), 0);
	assert_int_equal(faccessat(set->dir, "kvm-vm.img.tmp", F_OK, 0), -1);
}

static void images_are_for_root_only(void **state)
{
	struct set *set = *state;
	struct stat st;

	for (size_t f = 0; f < NR_FILES; f++) {
		assert_int_equal(fstatat(set->dir, files[f], &st, 0), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
}

static void dump_ids_differ(void **state)
{
	struct image_dump_id a, b;

	assert_int_equal(image_new_dump_id(&a), 0);
	assert_int_equal(image_new_dump_id(&b), 0);
	assert_memory_not_equal(&a, &b, sizeof(a));
}

#define WITH_SET(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vm_comes_back_as_it_was),
		cmocka_unit_test(a_vm_with_a_gicv2_comes_back),
		cmocka_unit_test(a_vm_with_a_gicv5_comes_back),
		cmocka_unit_test(what_is_written_before_the_rest_is_the_same),
		cmocka_unit_test(no_file_has_its_name_before_all_are_written),
		cmocka_unit_test(a_gic_that_is_wrong_is_refused_before_the_rest_is_there),
		cmocka_unit_test(registers_that_are_much_alike_come_back),
		cmocka_unit_test(the_largest_vm_comes_back),
		cmocka_unit_test(several_vms_come_back),
		cmocka_unit_test(a_vm_with_little_comes_back),
		cmocka_unit_test(a_filter_that_allows_nothing_comes_back),
		cmocka_unit_test(zeros_that_mean_something_come_back),
		cmocka_unit_test(the_most_ranges_of_events_come_back),
		cmocka_unit_test(each_feature_comes_back),
		cmocka_unit_test(a_vm_without_its_comes_back),
		cmocka_unit_test(the_most_itses_come_back),
		cmocka_unit_test(the_largest_tables_come_back),
		cmocka_unit_test(two_thousand_mappings_are_small),
		cmocka_unit_test(files_of_no_vm_come_back),
		cmocka_unit_test(the_largest_values_come_back),
		cmocka_unit_test(the_smallest_values_come_back),
		cmocka_unit_test(a_gic_without_addresses_comes_back),
		WITH_SET(any_changed_byte_is_refused),
		WITH_SET(any_truncation_is_refused),
		WITH_SET(appended_bytes_are_refused),
		WITH_SET(a_missing_file_is_named),
		WITH_SET(a_missing_index_is_told_apart),
		WITH_SET(a_file_of_another_dump_is_refused),
		WITH_SET(an_exchanged_file_is_refused),
		WITH_SET(what_is_no_regular_file_is_refused),
		WITH_SET(a_huge_file_is_refused_before_it_is_read),
		WITH_SET(the_index_can_be_rewritten),
		WITH_SET(a_failed_write_leaves_the_former_file),
		WITH_SET(what_bears_the_name_of_a_new_file_is_replaced),
		WITH_SET(images_are_for_root_only),
		cmocka_unit_test(dump_ids_differ),
	};

	return cmocka_run_group_tests_name("images", tests, NULL, NULL);
}
