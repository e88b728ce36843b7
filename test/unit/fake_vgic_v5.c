// SPDX-License-Identifier: GPL-2.0-only
/* The model of a GICv5 (test/model) behind the fake VMM: what the kernel module gives it, from the fake. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_kvm.h"

/* An address in the fake's mappings, or, of what came with a call, one of this program's. */
static int copy_in(void *ctx, void *to, uint64_t from, size_t size)
{
	struct fake_map *map = fake_map_at(ctx, from, size);

	if (!map && from >> 40 == FAKE_ROOM >> 40)
		return -EFAULT;
	if (from < 4096)
		return -EFAULT;
	memcpy(to, map ? fake_map_byte(ctx, map, from) : (void *)(uintptr_t)from, size);
	return 0;
}

static int copy_out(void *ctx, uint64_t to, const void *from, size_t size)
{
	struct fake_map *map = fake_map_at(ctx, to, size);

	if (to < 4096)
		return -EFAULT;
	memcpy(map ? fake_map_byte(ctx, map, to) : (void *)(uintptr_t)to, from, size);
	return 0;
}

static int guest_read(void *ctx, uint64_t gpa, void *to, size_t size)
{
	const uint8_t *at = fake_guest(ctx, gpa, size);

	if (at)
		memcpy(to, at, size);
	return at ? 0 : -EFAULT;
}

static int guest_write(void *ctx, uint64_t gpa, const void *from, size_t size)
{
	uint8_t *at = fake_guest(ctx, gpa, size);

	if (at)
		memcpy(at, from, size);
	return at ? 0 : -EFAULT;
}

static uint32_t nr_vcpus(void *ctx)
{
	return ((struct fake_kvm *)ctx)->nr_vcpus;
}

static uint32_t vcpu_id(void *ctx, uint32_t i)
{
	return ((struct fake_kvm *)ctx)->vcpus[i].id;
}

static uint64_t vcpu_mpidr(void *ctx, uint32_t i)
{
	uint64_t mpidr = fake_reg_u64(&((struct fake_kvm *)ctx)->vcpus[i], ARM64_MPIDR_EL1);

	return (mpidr & 0xffffff) | (mpidr >> 8 & 0xff000000);
}

static bool lock_vcpus(void *ctx)
{
	return !((struct fake_kvm *)ctx)->runs;
}

static void unlock_vcpus(void *ctx)
{
}

static bool has_run(void *ctx)
{
	return ((struct fake_kvm *)ctx)->ran;
}

static void *alloc(size_t size)
{
	return calloc(1, size ? size : 1);
}

static void record(void *ctx, const char *line)
{
}

static int fails(void *ctx, const char *op, uint32_t group, uint64_t attr)
{
	/* The fake fails calls by itself. */
	return strcmp(op, "QUIESCE") ? 0 : ((struct fake_kvm *)ctx)->fail_quiesce[attr];
}

static const struct model_env env = {
	.copy_in = copy_in,
	.copy_out = copy_out,
	.guest_read = guest_read,
	.guest_write = guest_write,
	.nr_vcpus = nr_vcpus,
	.vcpu_id = vcpu_id,
	.vcpu_mpidr = vcpu_mpidr,
	.lock_vcpus = lock_vcpus,
	.unlock_vcpus = unlock_vcpus,
	.has_run = has_run,
	.alloc = alloc,
	.free = free,
	.record = record,
	.fails = fails,
};

void fake_v5_create(struct fake_kvm *kvm, const struct model_host *host)
{
	kvm->v5 = alloc(sizeof(*kvm->v5));
	if (!kvm->v5)
		abort();
	model_init(kvm->v5, host, &env, kvm);
}

void fake_v5_destroy(struct fake_kvm *kvm)
{
	if (kvm->v5)
		model_fini(kvm->v5);
	free(kvm->v5);
	kvm->v5 = NULL;
}

int fake_v5_get(struct fake_kvm *kvm, uint32_t group, uint64_t attr, void *value)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	return model_get_attr(kvm->v5, &a);
}

int fake_v5_set(struct fake_kvm *kvm, uint32_t group, uint64_t attr, uint64_t value)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)&value };

	return model_set_attr(kvm->v5, &a);
}

int64_t fake_v5_ioctl(struct fake_kvm *kvm, unsigned long req, void *arg)
{
	switch (req) {
	case KVM_SET_DEVICE_ATTR:
		return model_set_attr(kvm->v5, arg);
	case KVM_GET_DEVICE_ATTR:
		return model_get_attr(kvm->v5, arg);
	case KVM_HAS_DEVICE_ATTR:
		return model_has_attr(kvm->v5, arg);
	}
	return -ENOTTY;
}

/* "gic: SET IRS_REGS CR0 = 0x1", "gic: GET IST" */
void fake_v5_describe(struct fake_kvm *kvm, unsigned long req, const void *arg, char *line)
{
	const struct kvm_device_attr *attr = arg;
	uint64_t value = 0;
	char name[64];
	int n;

	model_name(kvm->v5, attr, name, sizeof(name));
	n = snprintf(line, FAKE_LINE, "gic: %s %s", req == KVM_SET_DEVICE_ATTR ? "SET" : "GET", name);
	if (req != KVM_SET_DEVICE_ATTR || !attr->addr || !strcmp(name, "IST"))
		return;
	memcpy(&value, (void *)(uintptr_t)attr->addr, strcmp(name, "NR_IRQS") ? 8 : 4);
	snprintf(line + n, FAKE_LINE - n, " = %#" PRIx64, value);
}

#define DIFF(field)                          \
	do {                                 \
		if (a->field != b->field)    \
			return "v5 " #field; \
	} while (0)

static const char *diff_ist(const char *what, const uint32_t *a, const uint32_t *b, uint32_t nr)
{
	static char where[40];

	for (uint32_t i = 0; i < nr; i++) {
		if (!((a[i] ^ b[i]) & ~0x600u)) /* HWU is not written back */
			continue;
		snprintf(where, sizeof(where), "%s %u", what, i);
		return where;
	}
	return NULL;
}

const char *fake_v5_diff(const struct fake_kvm *left, const struct fake_kvm *right)
{
	const struct model *a = left->v5, *b = right->v5;
	const char *diff;

	DIFF(initialised);
	DIFF(irs_base);
	DIFF(nr_spis);
	DIFF(idr0);
	DIFF(idr1);
	DIFF(idr2);
	DIFF(cr0);
	DIFF(cr1);
	DIFF(spi_selr);
	DIFF(pe_selr);
	DIFF(ist_cfgr);
	DIFF(ist_baser);
	DIFF(nr_lpis);
	for (size_t i = 0; i < left->nr_vcpus; i++)
		if (memcmp(a->cpus[i].reg, b->cpus[i].reg, sizeof(a->cpus[i].reg)))
			return "v5 CPU interface";
	if (a->is_level && memcmp(a->is_level, b->is_level, a->nr_spis * sizeof(*a->is_level)))
		return "v5 trigger of an SPI";
	diff = diff_ist("SPI", a->spi, b->spi, a->nr_spis);
	return diff ?: diff_ist("LPI", a->lpi, b->lpi, a->nr_lpis);
}
