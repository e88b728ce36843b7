// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tables of LPIs in guest memory (Documentation/virt/kvm/devices/arm-vgic-v3.rst,
 * KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES; the architecture's GICR_PROPBASER and GICR_PENDBASER).
 */
#include <inttypes.h>
#include <stdlib.h>

#include "log.h"
#include "remote/remote.h"
#include "state/guest_memory.h"
#include "state/its_table.h"
#include "state/lpi.h"
#include "state/vm.h"
#include "zeros.h"

#define PENDING_FIRST (LPI_MIN / 8u) /* the pending table begins with INTID 0, the other one with 8192 */
#define PENDING_SIZE (LPI_NR / 8u)
#define INTID_BITS 16u /* INTERRUPT_ID_BITS_ITS */

static void free_tables(struct lpi_table *tables, size_t n)
{
	for (size_t i = 0; tables && i < n; i++)
		free(tables[i].bytes);
	free(tables);
}

void lpi_free(struct lpi_state *lpi)
{
	if (!lpi)
		return;
	free(lpi->config.bytes);
	free_tables(lpi->pending, lpi->nr_pending);
	free_tables(lpi->kept, lpi->nr_pending);
	free(lpi);
}

/* A 64-bit register that KVM moves in halves. */
static uint64_t redist_u64(const struct vm_state *vm, size_t vcpu, const char *name)
{
	const struct vgic_values *values = vgic_values_of(vgic_v3_redist_regs, vgic_v3_nr_redist_regs,
							  vm->vgic->redist[vcpu], name);

	return values->v[0] | values->v[1] << 32;
}

static uint64_t config_addr(const struct vm_state *vm)
{
	return redist_u64(vm, 0, "GICR_PROPBASER") & 0x000ffffffffff000;
}

static uint64_t pending_addr(const struct vm_state *vm, size_t vcpu)
{
	return (redist_u64(vm, vcpu, "GICR_PENDBASER") & 0x000fffffffff0000) + PENDING_FIRST;
}

/* Bytes of the configuration table: GICR_PROPBASER.IDbits is the bits of an INTID, less one. */
static uint32_t config_size(const struct vm_state *vm)
{
	uint32_t bits = (redist_u64(vm, 0, "GICR_PROPBASER") & 0x1f) + 1;

	if (bits > INTID_BITS)
		bits = INTID_BITS;
	return 1u << bits > LPI_MIN ? (1u << bits) - LPI_MIN : 0;
}

static int alloc_table(uint32_t size, struct lpi_table *table)
{
	table->bytes = malloc(size ?: 1);
	return table->bytes ? 0 : -ENOMEM;
}

/* What there is of @size bytes at @gpa, whole. */
static int read_table(struct guest_memory *mem, uint64_t gpa, uint32_t size, struct lpi_table *table)
{
	int ret;

	if (size && !guest_read_at_once(mem, gpa, table->bytes, size))
		table->size = size;
	while (table->size < size) {
		uint32_t part = GUEST_PAGE - (gpa + table->size) % GUEST_PAGE;

		if (part > size - table->size)
			part = size - table->size;
		ret = guest_read(mem, gpa + table->size, &table->bytes[table->size], part);
		if (ret)
			return ret == -EFAULT || ret == -E2BIG ? 0 : ret;
		table->size += part;
	}
	return 0;
}

/* Most of a table is nothing: by lines at first. */
static void trim(struct lpi_table *table)
{
	while (table->size >= ZEROS_LINE && line_is_zeros(&table->bytes[table->size - ZEROS_LINE]))
		table->size -= ZEROS_LINE;
	while (table->size && !table->bytes[table->size - 1])
		table->size--;
}

/* All of them at once, as a rule. */
static bool read_pending_at_once(struct guest_memory *mem, struct lpi_table *tables)
{
	const struct vm_state *vm = mem->vm;
	struct iovec here[VM_MAX_VCPUS], there[VM_MAX_VCPUS];

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		there[i] = (struct iovec){ (void *)pending_addr(vm, i), PENDING_SIZE };
		here[i] = (struct iovec){ tables[i].bytes, PENDING_SIZE };
	}
	if (!guest_read_all(mem, here, there, vm->nr_vcpus))
		return false;
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		tables[i].size = PENDING_SIZE;
	return true;
}

/* The pending tables of all redistributors, whole. */
static int read_pending(struct vm_state *vm, struct remote *remote, struct lpi_table **tables)
{
	struct guest_memory mem = GUEST_MEMORY(vm, remote);
	int ret = 0;

	*tables = calloc(vm->nr_vcpus, sizeof(**tables));
	if (!*tables)
		return -ENOMEM;
	for (size_t i = 0; i < vm->nr_vcpus && !ret; i++)
		ret = alloc_table(PENDING_SIZE, &(*tables)[i]);
	if (ret || read_pending_at_once(&mem, *tables))
		return ret;
	for (size_t i = 0; i < vm->nr_vcpus && !ret; i++)
		ret = read_table(&mem, pending_addr(vm, i), PENDING_SIZE, &(*tables)[i]);
	return ret;
}

static int read_tables(struct vm_state *vm, struct remote *remote, struct lpi_table *config,
		       struct lpi_table **pending)
{
	struct guest_memory mem = GUEST_MEMORY(vm, remote);
	int ret = alloc_table(config_size(vm), config) ?: read_table(&mem, config_addr(vm), config_size(vm), config);

	if (!ret)
		ret = read_pending(vm, remote, pending);
	if (ret)
		return ret;
	trim(config);
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		trim(&(*pending)[i]);
	return 0;
}

int lpi_keep_pending(struct vm_state *vm, struct remote *remote)
{
	if (!vm->nr_itses)
		return 0;
	vm->lpi = calloc(1, sizeof(*vm->lpi));
	if (!vm->lpi)
		return -ENOMEM;
	vm->lpi->nr_pending = vm->nr_vcpus;
	return read_pending(vm, remote, &vm->lpi->kept);
}

static const struct kvm_error save_errors[] = {
	{ ENXIO, "the GIC is not initialised" },
	{ EFAULT, "an LPI is mapped to a vCPU whose pending table (GICR_PENDBASER) is not in guest memory" },
	{ EBUSY, "a vCPU runs" },
	{ 0 },
};

int lpi_save_pending(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH_FOR(remote, vm->id, "LPI pending tables saved", "the GIC", save_errors);
	int ret;

	if (!vm->nr_itses)
		return 0;
	batch_set_attr(&b, vm->vgic->fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES,
		       NULL, 0, "KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES");
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

int lpi_capture(struct vm_state *vm, struct remote *remote)
{
	int ret = vm->lpi ? read_tables(vm, remote, &vm->lpi->config, &vm->lpi->pending) : 0;

	if (vm->lpi)
		vm->lpi->captured = !ret;
	return ret;
}

/* Whether some of the table at @gpa is in a file that CRIU's images only name. */
static bool is_in_file(const struct vm_state *vm, uint64_t gpa)
{
	for (size_t i = 0; i < vm->nr_backings; i++)
		if (gpa + PENDING_SIZE > vm->backings[i].gpa &&
		    gpa < vm->backings[i].gpa + vm->backings[i].size)
			return true;
	return false;
}

/* Of @trimmed zeros at the end are left out. */
static bool is_the_same(const struct lpi_table *whole, const struct lpi_table *trimmed)
{
	struct lpi_table to_compare = *whole;

	trim(&to_compare);
	return to_compare.size == trimmed->size && !memcmp(to_compare.bytes, trimmed->bytes, trimmed->size);
}

/* Whether table @i is not what it was, by @now, or where that is NULL by what was read behind lpi_save_pending(). */
static bool has_changed(const struct lpi_state *lpi, const struct lpi_table *now, size_t i)
{
	const struct lpi_table *kept = &lpi->kept[i];

	if (!now)
		return !is_the_same(kept, &lpi->pending[i]);
	return now[i].size == kept->size && memcmp(now[i].bytes, kept->bytes, kept->size);
}

int lpi_put_back(struct vm_state *vm, struct remote *remote, bool dumped, bool went_on)
{
	struct guest_memory mem = GUEST_MEMORY(vm, remote);
	struct lpi_table *now = NULL;
	int ret = 0;

	if (!vm->lpi || !vm->lpi->kept)
		return 0;
	if (went_on || !vm->lpi->captured)
		ret = read_pending(vm, remote, &now);
	for (size_t i = 0; i < vm->nr_vcpus && !ret; i++) {
		const struct lpi_table *kept = &vm->lpi->kept[i];

		if (dumped && is_in_file(vm, pending_addr(vm, i)))
			continue;
		if (has_changed(vm->lpi, now, i))
			ret = guest_write(&mem, pending_addr(vm, i), kept->bytes, kept->size);
	}
	free_tables(now, vm->nr_vcpus);
	if (ret)
		pr_err("vm %u: LPI pending tables were not put back: an LPI may be pending once more when the "
		       "guest next maps it\n",
		       vm->id);
	return ret;
}

void lpi_give_back(struct vm_state *vm, struct remote *remote)
{
	struct guest_memory mem = GUEST_MEMORY(vm, remote);

	if (!vm->lpi || !vm->lpi->compared)
		return;
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		const struct lpi_table *saved = &vm->lpi->pending[i];

		if (is_in_file(vm, pending_addr(vm, i)) &&
		    guest_write(&mem, pending_addr(vm, i), saved->bytes, saved->size))
			pr_err("vm %u: LPI pending table of vcpu %zu: not put back into its file: another restore "
			       "will find its content changed\n",
			       vm->id, i);
	}
}

/* Zeros at the end are left out. */
static unsigned int byte_at(const struct lpi_table *table, int64_t i)
{
	return i < table->size ? table->bytes[i] : 0;
}

/* The first byte that differs, or -1. */
static int64_t first_difference(const struct lpi_table *a, const struct lpi_table *b)
{
	for (uint32_t i = 0; i < a->size || i < b->size; i++)
		if (byte_at(a, i) != byte_at(b, i))
			return i;
	return -1;
}

static int check_config(const struct vm_state *vm, const struct lpi_table *found)
{
	int64_t at = first_difference(&vm->lpi->config, found);

	if (at < 0)
		return 0;
	pr_err("vm %u: LPI configuration table, INTID %" PRId64 ": %#x in guest memory, %#x in the image\n",
	       vm->id, LPI_MIN + at, byte_at(found, at), byte_at(&vm->lpi->config, at));
	return -EINVAL;
}

static int check_pending(const struct vm_state *vm, size_t vcpu, const struct lpi_table *found)
{
	const struct lpi_table *saved = &vm->lpi->pending[vcpu];
	int64_t at = first_difference(saved, found);
	unsigned int differ, bit;

	if (at < 0)
		return 0;
	differ = byte_at(saved, at) ^ byte_at(found, at);
	bit = __builtin_ctz(differ);
	pr_err("vm %u: LPI pending table of vcpu %zu, INTID %" PRId64 ": %u in guest memory, %u in the image\n",
	       vm->id, vcpu, LPI_MIN + 8 * at + bit, byte_at(found, at) >> bit & 1,
	       byte_at(saved, at) >> bit & 1);
	return -EINVAL;
}

int lpi_check(struct vm_state *vm, struct remote *remote)
{
	struct lpi_table config = { 0 }, *pending = NULL;
	int ret;

	if (!vm->nr_itses)
		return 0;
	ret = batch_flush(remote); /* its failure is no hole in guest memory */
	if (!ret)
		ret = read_tables(vm, remote, &config, &pending);
	if (!ret)
		ret = check_config(vm, &config);
	for (size_t i = 0; i < vm->nr_vcpus && !ret; i++)
		ret = check_pending(vm, i, &pending[i]);
	vm->lpi->compared = !ret;
	free(config.bytes);
	free_tables(pending, vm->nr_vcpus);
	return ret;
}
