// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model of a GICv5 (test/model) is what says whether the plugin is right: that it says what Linux 7.4 and the
 * documents of April 2026 say, rule by rule and errno by errno. In the order of the kernel's own test of this
 * device (tools/testing/selftests/kvm/arm64/vgic_v5.c).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_vm.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BAD ((void *)1) /* a pointer to nothing */

enum { ADDR = 0, NR_IRQS = 3, CTRL = 4, CPU = 6, IRS = 10, IST = 11 };
enum { IDR0 = 0, IDR1 = 4, IDR2 = 8, IDR5 = 0x14, IDR6 = 0x18, IDR7 = 0x1c, CR0 = 0x80, CR1 = 0x84, SPI_SELR = 0x108,
       SPI_CFGR = 0x114, PE_SELR = 0x140, PE_CR0 = 0x148, BASER = 0x180, CFGR = 0x190 };
#define APR 0xce00ull
#define CR0_EL1 0xce01ull

static struct fake_kvm *kvm;

static int call(unsigned long req, uint32_t group, uint64_t attr, const void *value)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	return fake_v5_ioctl(kvm, req, &a);
}

static int set(uint32_t group, uint64_t attr, uint64_t value)
{
	return call(KVM_SET_DEVICE_ATTR, group, attr, &value);
}

static int set_at(uint32_t group, uint64_t attr, const void *value)
{
	return call(KVM_SET_DEVICE_ATTR, group, attr, value);
}

static int get_at(uint32_t group, uint64_t attr, void *value)
{
	return call(KVM_GET_DEVICE_ATTR, group, attr, value);
}

static int has(uint32_t group, uint64_t attr)
{
	return call(KVM_HAS_DEVICE_ATTR, group, attr, NULL);
}

static uint64_t get(uint32_t group, uint64_t attr)
{
	uint64_t value[2] = { 0x5a5a5a5a5a5a5a5a };

	assert_int_equal(get_at(group, attr, value), 0);
	return group == NR_IRQS ? (uint32_t)value[0] : value[0];
}

static int guest(uint32_t offset, uint64_t value)
{
	return set(MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | offset, value);
}

static int set_ists(const void *spi, uint64_t spi_size, const void *lpi, uint64_t lpi_size)
{
	const struct arm64_vgic_v5_ist d = { (uintptr_t)spi, spi_size, (uintptr_t)lpi, lpi_size };

	return set_at(IST, 0, &d);
}

static int get_ists(void *spi, uint64_t spi_size, void *lpi, uint64_t lpi_size)
{
	struct arm64_vgic_v5_ist d = { (uintptr_t)spi, spi_size, (uintptr_t)lpi, lpi_size };

	return get_at(IST, 0, &d);
}

/* A new device beside @nr_vcpus vCPUs, 2 at most, of which none has run. */
static void fresh(enum model_abi abi, size_t nr_vcpus)
{
	const struct model_host host = { abi, 20, 8, 5, 5, 64, 40 };

	if (kvm)
		fake_free(kvm);
	kvm = fake_running((struct fake_shape){ .nr_vcpus = 2, .nr_irqs = 64, .v5 = true, .abi = abi });
	kvm->nr_vcpus = nr_vcpus;
	fake_v5_destroy(kvm);
	fake_v5_create(kvm, &host);
	kvm->ran = false;
}

/* With 64 SPIs and its address, after INIT. */
static void ready(enum model_abi abi)
{
	fresh(abi, 2);
	assert_int_equal(set(ADDR, 6, 0x8000000), 0);
	if (abi == MODEL_MERGED)
		assert_int_equal(set(NR_IRQS, 0, 64), 0);
	assert_int_equal(set(CTRL, 0, 0), 0);
}

static uint64_t mpidr(uint32_t vcpu)
{
	uint64_t value = fake_reg_u64(&kvm->vcpus[vcpu], ARM64_MPIDR_EL1);

	return ((value & 0xffffff) | (value >> 8 & 0xff000000)) << 32;
}

static int tear_down(void **state)
{
	fake_free(kvm);
	kvm = NULL;
	return 0;
}

static void addresses(void **state)
{
	fresh(MODEL_MERGED, 2);
	assert_int_equal(has(ADDR, 6), 0);
	assert_int_equal(has(ADDR, 7), -ENXIO);
	assert_true(get(ADDR, 6) == UINT64_MAX);
	assert_int_equal(get_at(ADDR, 7, BAD), -ENXIO);
	assert_int_equal(get_at(ADDR, 6, BAD), -EFAULT);
	assert_int_equal(set_at(ADDR, 7, BAD), -EFAULT); /* before the type is looked at */
	assert_int_equal(set(ADDR, 7, 0), -ENXIO);
	assert_int_equal(set(ADDR, 6, 0x1000), -EINVAL);
	assert_int_equal(set(ADDR, 6, 0xffffffffffff0000), -EINVAL); /* wraps */
	assert_int_equal(set(ADDR, 6, 1ull << 40), -E2BIG);
	assert_int_equal(set(ADDR, 6, (1ull << 40) - 0x10000), -E2BIG);
	assert_int_equal(set(ADDR, 6, 0), 0);
	assert_int_equal(get(ADDR, 6), 0);
	assert_int_equal(set(ADDR, 6, 0x1000), -EEXIST); /* before it is looked at */
}

static void numbers_of_spis(void **state)
{
	fresh(MODEL_MERGED, 2);
	assert_int_equal(has(NR_IRQS, 0), 0);
	assert_int_equal(get(NR_IRQS, 0), 0);
	assert_int_equal(set_at(NR_IRQS, 0, BAD), -EFAULT);
	assert_int_equal(set(NR_IRQS, 0, 31), -EINVAL);
	assert_int_equal(set(NR_IRQS, 0, 33), -EINVAL);
	assert_int_equal(set(NR_IRQS, 0, 1056), -EINVAL);
	assert_int_equal(set(NR_IRQS, 0, 1024), 0);
	assert_int_equal(get(NR_IRQS, 0), 1024);
	assert_int_equal(set(NR_IRQS, 0, 31), -EINVAL); /* before it is said to be set */
	assert_int_equal(set(NR_IRQS, 0, 64), -EBUSY);
	assert_int_equal(set(CTRL, 0, 0), 0);
	assert_int_equal(get(NR_IRQS, 0), 1024);

	fresh(MODEL_MERGED, 2);
	assert_int_equal(set(CTRL, 0, 0), 0);
	assert_int_equal(get(NR_IRQS, 0), 32);
	assert_int_equal(set(NR_IRQS, 0, 64), -EBUSY);

	fresh(MODEL_V1, 2);
	assert_int_equal(has(NR_IRQS, 0), -ENXIO);
	assert_int_equal(get_at(NR_IRQS, 0, &(uint64_t){ 0 }), -ENXIO);
	assert_int_equal(set(NR_IRQS, 0, 64), -ENXIO);
}

static void init_and_ppis(void **state)
{
	uint64_t ppis[2];

	fresh(MODEL_MERGED, 0);
	assert_int_equal(set(CTRL, 0, 0), -ENODEV);
	fresh(MODEL_MERGED, 2);
	assert_int_equal(has(CTRL, 0), 0);
	assert_int_equal(has(CTRL, 5), 0);
	assert_int_equal(has(CTRL, 1), -ENXIO);
	assert_int_equal(get(CTRL, 5), 0);
	assert_int_equal(set(CTRL, 0, 0), 0);
	assert_int_equal(set(CTRL, 0, 0), 0);
	assert_int_equal(get_at(CTRL, 5, ppis), 0);
	assert_int_equal(ppis[0], 8);
	assert_int_equal(ppis[1], 0);
	assert_int_equal(get_at(CTRL, 5, BAD), -EFAULT);
	assert_int_equal(set(CTRL, 5, 8), -ENXIO);
}

/* All that arm-vgic-v5.rst lists. */
static const uint32_t offsets[] = {
	0x000, 0x004, 0x008, 0x00c, 0x010, 0x014, 0x018, 0x01c, 0x040, 0x044, 0x080, 0x084, 0x0c0, 0x0c4,
	0x100, 0x108, 0x10c, 0x110, 0x114, 0x118, 0x140, 0x144, 0x148, 0x180, 0x190, 0x194, 0x1c0, 0x200,
	0x210, 0x214, 0x240, 0x248, 0x250, 0x258, 0x25c, 0x280, 0x288, 0x28c, 0x2c0, 0x2c8, 0x2d0, 0x2d8,
	0x2e0, 0x300, 0x308, 0x340, 0x344, 0x380, 0x384, 0x3c0, 0x3c8, 0x3d0, 0xffbc, 0xffd0, 0xffd4, 0xffd8,
	0xffdc, 0xffe0, 0xffe4, 0xffe8, 0xffec, 0xfff0, 0xfff4, 0xfff8, 0xfffc,
};

static void irs_registers_in_check_order(void **state)
{
	uint64_t value;

	fresh(MODEL_MERGED, 0);
	assert_int_equal(get_at(IRS, CR0, BAD), -EINVAL); /* no vCPU */
	assert_int_equal(set_at(IRS, CR0, BAD), -EINVAL);
	assert_int_equal(has(IRS, CR0), -EINVAL);
	fresh(MODEL_MERGED, 2);
	for (size_t i = 0; i < COUNT(offsets); i++)
		assert_int_equal(has(IRS, offsets[i]), 0);
	kvm->runs = true;
	assert_int_equal(set_at(IRS, 0x600, BAD), -EFAULT);
	assert_int_equal(set(IRS, 0x600, 0), -EBUSY);
	kvm->runs = false;
	assert_int_equal(set(IRS, 0x600, 0), -EBUSY); /* not initialised */
	assert_int_equal(get_at(IRS, 0x600, BAD), -EBUSY);
	assert_int_equal(set(CTRL, 0, 0), 0);
	assert_int_equal(set(IRS, 0x600, 0), -ENXIO); /* no address */
	assert_int_equal(get_at(IRS, CR0, &value), -ENXIO);
	assert_int_equal(set(ADDR, 6, 0), 0);
	for (size_t i = 0; i < COUNT(offsets); i++) {
		value = get(IRS, offsets[i]);
		assert_int_equal(set(IRS, offsets[i], value), 0);
		assert_int_equal(get_at(IRS, offsets[i], BAD), -EFAULT);
	}
	assert_int_equal(get_at(IRS, 0x600, BAD), -ENXIO);
	assert_int_equal(get_at(IRS, 0x10000, BAD), -ENXIO);
	assert_int_equal(has(IRS, 0x10000), -ENXIO);
	assert_int_equal(get_at(IRS, IDR0 + 2, BAD), -EINVAL);
	assert_int_equal(set(IRS, BASER + 4, 0), -EINVAL);
	assert_int_equal(get_at(IRS, 0x3c4, BAD), -EINVAL);
	assert_int_equal(has(IRS, IDR0 + 2), -EINVAL);
	kvm->runs = true;
	assert_int_equal(get_at(IRS, CR0, &value), -EBUSY);
	kvm->runs = false;
	kvm->ran = true;
	assert_int_equal(get_at(IRS, CR0, &value), 0);
	assert_int_equal(set(IRS, CR0, 0), -EBUSY);
	ready(MODEL_V1);
	kvm->ran = true;
	assert_int_equal(set(IRS, SPI_SELR, 1), 0);
}

static void ids_of_another_host(void **state)
{
	uint64_t idr0, idr1, idr2;

	ready(MODEL_MERGED);
	idr0 = get(IRS, IDR0);
	idr1 = get(IRS, IDR1);
	idr2 = get(IRS, IDR2);
	assert_int_equal(idr0, 1 | 5 << 2);
	assert_int_equal(idr1, 2 | 2 << 16 | 4 << 20); /* vCPU ids 7 and 2: three bits */
	assert_int_equal(idr2, 16 | 1 << 5 | 8 << 6);  /* of a host with 20 bits */
	assert_int_equal(set(IRS, IDR0, idr0 & ~3ull), -EINVAL);
	for (unsigned int bit = 6; bit <= 12; bit++)
		assert_int_equal(set(IRS, IDR0, idr0 | 1 << bit), -EINVAL);
	assert_int_equal(set(IRS, IDR0, idr0 ^ (1 << 2 | 7 << 16)), 0); /* PA_RANGE, IRSID */
	assert_int_equal(set(IRS, IDR1, idr1 ^ 1 << 16), -EINVAL);
	assert_int_equal(set(IRS, IDR1, idr1 + (1 << 20)), -EINVAL);
	assert_int_equal(set(IRS, IDR1, (idr1 & ~0xffffull) | 77), 0);
	assert_int_equal(get(IRS, IDR1), idr1); /* PE_CNT is what it is */
	assert_int_equal(set(IRS, IDR1, idr1 - (1 << 20)), 0);
	assert_int_equal(set(IRS, IDR2, 0), -EINVAL);
	assert_int_equal(set(IRS, IDR2, idr2 & ~32ull), -EINVAL);
	assert_int_equal(set(IRS, IDR2, idr2 | 1 << 10), -EINVAL);
	assert_int_equal(set(IRS, IDR2, idr2 | 1 << 14), -EINVAL);
	assert_int_equal(set(IRS, IDR2, idr2 | 1 << 15), -EINVAL);
	assert_int_equal(set(IRS, IDR2, idr2 + 5), -EINVAL); /* 21 bits */
	assert_int_equal(set(IRS, IDR2, idr2 + 4), 0);
	assert_int_equal(set(IRS, IDR2, idr2 - (1 << 6)), -EINVAL); /* fewer than the host's */
	assert_int_equal(set(IRS, IDR2, 10 | 1 << 5 | 11 << 6), -EINVAL); /* more than there are */
	for (uint32_t offset = IDR5; offset <= IDR7; offset += 4) {
		assert_int_equal(get(IRS, offset), offset == IDR7 ? 0 : 64);
		assert_int_equal(set(IRS, offset, get(IRS, offset) + 1), -EINVAL);
		assert_int_equal(set(IRS, offset, get(IRS, offset)), 0);
	}
}

static void irs_registers_keep_what_kvm_keeps(void **state)
{
	static const uint32_t statusr[] = { 0x0c4, 0x118, 0x144, 0x194 };

	ready(MODEL_MERGED);
	assert_int_equal(get(IRS, SPI_SELR), 0xffffff);
	assert_int_equal(get(IRS, PE_SELR), 0xffff);
	assert_int_equal(get(IRS, SPI_CFGR), 0);
	assert_int_equal(get(IRS, PE_CR0), 0);
	for (size_t i = 0; i < COUNT(statusr); i++) {
		assert_int_equal(set(IRS, statusr[i], 0), 0);
		assert_int_equal(get(IRS, statusr[i]), 1);
	}
	assert_int_equal(set(IRS, CR0, UINT64_MAX), 0);
	assert_int_equal(get(IRS, CR0), 3);
	assert_int_equal(set(IRS, CR0, 0), 0);
	assert_int_equal(get(IRS, CR0), 2);
	assert_int_equal(set(IRS, CR1, UINT64_MAX), 0);
	assert_int_equal(get(IRS, CR1), 0xffff & ~(1 << 9 | 1 << 11));
	assert_int_equal(set(IRS, BASER, UINT64_MAX), 0);
	assert_true(get(IRS, BASER) == 0x00ffffffffffffc1);
	assert_null(kvm->v5->lpi); /* nothing is allocated */
	assert_int_equal(set(IRS, CFGR, UINT64_MAX), 0);
	assert_int_equal(get(IRS, CFGR), 0x101ff);
	assert_int_equal(set(IRS, PE_SELR, 2), 0); /* an id, no index */
	assert_int_equal(get(IRS, PE_CR0), 1);
	assert_int_equal(set(IRS, PE_SELR, 1), 0);
	assert_int_equal(get(IRS, PE_CR0), 0);
	assert_int_equal(guest(SPI_SELR, 9), 0);
	assert_int_equal(guest(SPI_CFGR, 1), 0);
	assert_int_equal(get(IRS, SPI_CFGR), 1);
	assert_int_equal(set(IRS, SPI_CFGR, 0), 0); /* no effect */
	assert_int_equal(get(IRS, SPI_CFGR), 1);
	ready(MODEL_V1);
	assert_int_equal(set(IRS, SPI_SELR, 9), 0);
	assert_int_equal(set(IRS, SPI_CFGR, 1), 0);
	assert_int_equal(get(IRS, SPI_CFGR), 1);
}

static void cpu_registers(void **state)
{
	static const uint32_t raz[] = { 0xc657, 0xc66b, 0xc66f, 0xc678, 0xc67f };
	uint64_t value;

	fresh(MODEL_MERGED, 2);
	assert_int_equal(has(CPU, mpidr(1) | APR), 0);
	assert_int_equal(has(CPU, mpidr(1) | 0xc664), -ENXIO);
	assert_int_equal(has(CPU, 0x77ull << 32 | APR), -EINVAL);
	assert_int_equal(get_at(CPU, 0x77ull << 32 | APR, BAD), -EINVAL);
	assert_int_equal(get_at(CPU, mpidr(1) | APR, BAD), -EBUSY); /* not initialised */
	assert_int_equal(set(CTRL, 0, 0), 0);
	assert_int_equal(set_at(CPU, mpidr(1) | 0xc664, BAD), -EFAULT); /* before the register is looked up */
	assert_int_equal(set(CPU, mpidr(1) | 0xc664, 0), -ENOENT);
	assert_int_equal(get_at(CPU, mpidr(1) | 0xc664, BAD), -ENOENT);
	assert_int_equal(get_at(CPU, mpidr(1) | APR, BAD), -EFAULT);
	assert_int_equal(set(CPU, mpidr(1) | APR, UINT64_MAX), 0);
	assert_int_equal(get(CPU, mpidr(1) | APR), UINT32_MAX);
	assert_int_equal(get(CPU, mpidr(0) | APR), 0);
	assert_int_equal(set(CPU, mpidr(0) | CR0_EL1, UINT64_MAX), 0);
	assert_int_equal(get(CPU, mpidr(0) | CR0_EL1), 7);
	assert_int_equal(set(CPU, mpidr(0) | 0xc670, UINT64_MAX), 0);
	assert_true(get(CPU, mpidr(0) | 0xc670) == 0x1f1f1f1f1f1f1f1f);
	for (size_t i = 0; i < COUNT(raz); i++) {
		assert_int_equal(set(CPU, mpidr(0) | raz[i], UINT64_MAX), 0);
		assert_int_equal(get(CPU, mpidr(0) | raz[i]), 0);
	}
	kvm->runs = true;
	assert_int_equal(get_at(CPU, mpidr(0) | APR, &value), -EBUSY);
	kvm->runs = false;
	kvm->ran = true;
	assert_int_equal(get_at(CPU, mpidr(0) | APR, &value), 0);
	assert_int_equal(set(CPU, mpidr(0) | APR, 0), -EBUSY);
}

#define BITS 8
#define SPIS (64 * sizeof(uint32_t))
#define LPIS (sizeof(uint32_t) << BITS)
static uint32_t spi[64], lpi[1 << BITS];

static void ists_in_check_order(void **state)
{
	fresh(MODEL_MERGED, 2);
	assert_int_equal(has(IST, 0), 0);
	assert_int_equal(has(IST, 1), -ENXIO);
	assert_int_equal(get_at(IST, 1, BAD), -ENXIO); /* before INIT too */
	assert_int_equal(set_at(IST, 1, BAD), -ENXIO);
	assert_int_equal(get_at(IST, 0, NULL), -EBUSY);
	assert_int_equal(set_at(IST, 0, NULL), -EBUSY);
	ready(MODEL_MERGED);
	kvm->runs = true;
	assert_int_equal(get_at(IST, 0, NULL), -EBUSY);
	kvm->runs = false;
	kvm->ran = true;
	assert_int_equal(set_at(IST, 0, NULL), -EBUSY);
	assert_int_equal(get_at(IST, 0, NULL), -EINVAL);
	kvm->ran = false;
	assert_int_equal(set_at(IST, 0, NULL), -EINVAL);
	assert_int_equal(get_at(IST, 0, BAD), -EFAULT);
	assert_int_equal(set_at(IST, 0, BAD), -EFAULT);
	assert_int_equal(get_ists(NULL, 0, NULL, 0), -EINVAL);
	assert_int_equal(get_ists(spi, SPIS - 4, NULL, 0), -EINVAL);
	assert_int_equal(set_ists(spi, SPIS + 4, NULL, 0), -EINVAL);
	assert_int_equal(set_ists(NULL, SPIS, NULL, 0), -EINVAL);
	assert_int_equal(get_ists(spi, SPIS, lpi, 0), -EINVAL); /* there are none */
	assert_int_equal(set_ists(spi, SPIS, NULL, LPIS), -EINVAL);
	assert_int_equal(get_ists(BAD, SPIS, NULL, 0), -EFAULT);
	assert_int_equal(set_ists(BAD, SPIS, NULL, 0), -EFAULT);
	assert_int_equal(set_ists(spi, SPIS, NULL, 0), 0);
	assert_int_equal(set_ists(spi, SPIS, NULL, 0), 0); /* without LPIs as often as one likes */
}

static void lpi_tables_in_check_order(void **state)
{
	ready(MODEL_MERGED);
	assert_int_equal(set_ists(spi, SPIS, lpi, LPIS), -EINVAL); /* before the registers */
	assert_int_equal(set(IRS, BASER, 0x80000001), 0);
	assert_int_equal(model_first_run(kvm->v5, 0), -EINVAL);
	assert_int_equal(set(IRS, BASER, 0), 0);
	assert_int_equal(model_first_run(kvm->v5, 0), -EINVAL); /* that does not disarm it */
	assert_int_equal(set(IRS, BASER, 0x90000001), 0);
	assert_int_equal(get_ists(spi, SPIS, lpi, LPIS), -EINVAL); /* no valid IRS_IST_CFGR */
	assert_int_equal(set(IRS, CFGR, BITS | 1 << 16), 0);
	assert_int_equal(set_ists(spi, SPIS, lpi, LPIS), -EINVAL);
	assert_int_equal(set(IRS, CFGR, BITS | 1 << 7), 0);
	assert_int_equal(set_ists(spi, SPIS, lpi, LPIS), -EINVAL);
	assert_int_equal(set(IRS, CFGR, BITS - 1), 0);
	assert_int_equal(set_ists(spi, SPIS, lpi, LPIS), -EINVAL);
	assert_int_equal(set(IRS, CFGR, BITS), 0);
	assert_int_equal(set_ists(spi, SPIS, NULL, 0), -EINVAL);
	assert_int_equal(set_ists(spi, SPIS, lpi, LPIS - 4), -EINVAL);
	memset(spi, 0xff, sizeof(spi));
	spi[0] = 0;
	assert_int_equal(get_ists(spi, SPIS, lpi, LPIS), -ENXIO); /* there is none to read */
	assert_int_equal(spi[1], 0);				    /* found out after the SPIs */
	memset(spi, 0xff, sizeof(spi));
	assert_int_equal(set_ists(spi, SPIS, BAD, LPIS), -EFAULT);
	assert_null(kvm->v5->lpi);
	assert_int_equal(kvm->v5->spi[5], 0xffffffff & ~0x601u); /* written, but not pending */
	memset(lpi, 0xff, sizeof(lpi));
	assert_int_equal(set_ists(spi, SPIS, lpi, LPIS), 0);
	assert_int_equal(set_ists(spi, SPIS, lpi, LPIS), -EBUSY);
	assert_int_equal(set(IRS, BASER, 0x90000001), 0);
	assert_int_equal(set(IRS, BASER, 0x80000001), -EINVAL);
	assert_int_equal(set(IRS, BASER, 0), -EINVAL);
	assert_int_equal(set(IRS, CFGR, BITS), 0);
	assert_int_equal(set(IRS, CFGR, BITS + 1), -EINVAL);
	assert_int_equal(get_ists(spi, SPIS, lpi, LPIS), 0);
	for (size_t i = 0; i < 64; i++) {
		assert_int_equal(spi[i], 0xffffffff & ~0x600u);
		assert_true(kvm->v5->is_level[i]);
	}
	for (size_t i = 0; i < 1 << BITS; i++)
		assert_int_equal(lpi[i], 0xffffffff & ~0x600u);
	assert_int_equal(get_ists(spi, SPIS, BAD, LPIS), -EFAULT);
	assert_int_equal(model_first_run(kvm->v5, 0), 0);
}

static void the_first_run(void **state)
{
	fresh(MODEL_MERGED, 2);
	assert_int_equal(model_first_run(kvm->v5, 0), -EBUSY);
	assert_int_equal(set(CTRL, 0, 0), 0);
	assert_int_equal(model_first_run(kvm->v5, 0), -ENXIO);
	assert_int_equal(set(IRS, BASER, 1), -ENXIO);
	assert_int_equal(set(ADDR, 6, 0), 0);
	assert_int_equal(set(CPU, mpidr(0) | 0xc656, UINT64_MAX), 0);
	assert_int_equal(set(CPU, mpidr(1) | 0xc66a, UINT64_MAX), 0);
	assert_int_equal(model_first_run(kvm->v5, 0), 0);
	assert_int_equal(model_first_run(kvm->v5, 1), 0);
	assert_int_equal(get(CPU, mpidr(0) | 0xc656), 0x5c800008); /* the PPIs that there are */
	assert_int_equal(get(CPU, mpidr(1) | 0xc66a), 0x5c800008);
	assert_int_equal(set(CPU, mpidr(0) | 0xc656, UINT64_MAX), 0);
	assert_int_equal(model_first_run(kvm->v5, 0), 0);
	assert_true(get(CPU, mpidr(0) | 0xc656) == UINT64_MAX); /* it was the first alone */
}

static void a_guest_that_makes_its_table(void **state)
{
	ready(MODEL_MERGED);
	assert_int_equal(guest(BASER, 0x80000001), 0); /* without a valid IRS_IST_CFGR */
	assert_int_equal(get(IRS, BASER), 0);
	assert_int_equal(guest(CFGR, BITS), 0);
	assert_int_equal(guest(BASER, 0x80000001), 0);
	assert_non_null(kvm->v5->lpi);
	assert_int_equal(guest(BASER, 0x90000001), 0);
	assert_int_equal(get(IRS, BASER), 0x80000001);
	assert_int_equal(guest(CFGR, BITS + 1), 0);
	assert_int_equal(get(IRS, CFGR), BITS);
	assert_int_equal(model_first_run(kvm->v5, 0), 0);
	assert_int_equal(guest(BASER, 0), 0);
	assert_null(kvm->v5->lpi);
	assert_int_equal(guest(IDR2, 0), 0);
	assert_int_equal(get(IRS, IDR2), 16 | 1 << 5 | 8 << 6);
}

static void the_form_of_v1(void **state)
{
	ready(MODEL_V1);
	assert_int_equal(get_at(IST, 0, NULL), -EINVAL);
	assert_int_equal(set_at(IST, 0, NULL), -EINVAL);
	assert_int_equal(get_at(IST, 0, BAD), -EFAULT);
	assert_int_equal(set(IRS, BASER, FAKE_LPI_IST | 1), -EINVAL); /* IRS_IST_CFGR first */
	assert_int_equal(set(IRS, CFGR, BITS), 0);
	assert_int_equal(set(IRS, BASER, FAKE_LPI_IST | 1), 0);
	assert_non_null(kvm->v5->lpi);
	memset(spi, 0xff, sizeof(spi));
	memset(fake_map_byte(kvm, fake_map_at(kvm, FAKE_RAM_HVA, 4), FAKE_RAM_HVA), 0x77, LPIS);
	kvm->ran = true; /* only a vCPU that runs is in the way */
	assert_int_equal(set_at(IST, 0, spi), 0);
	assert_int_equal(kvm->v5->lpi[3], 0x77777777 & ~0x600u);
	memset(spi, 0, sizeof(spi));
	assert_int_equal(get_at(IST, 0, spi), 0);
	assert_int_equal(spi[7], 0xffffffff & ~0x600u);
	kvm->runs = true;
	assert_int_equal(set_at(IST, 0, spi), -EBUSY);
	assert_int_equal(get_at(IST, 0, spi), -EBUSY);
	kvm->runs = false;
	kvm->v5->ist_baser = 0x7000000001;
	assert_int_equal(get_at(IST, 0, spi), -EFAULT);
	assert_int_equal(set_at(IST, 0, spi), -EFAULT);
}

static void v1_without_spis(void **state)
{
	const struct model_host host = { MODEL_V1, 16, 8, 5, 5, 0, 40 };

	fresh(MODEL_V1, 2);
	fake_v5_destroy(kvm);
	fake_v5_create(kvm, &host);
	assert_int_equal(set(CTRL, 0, 0), 0);
	assert_int_equal(get_at(IST, 0, spi), -ENOENT);
	assert_int_equal(set_at(IST, 0, spi), -ENOENT);
	assert_int_equal(get_at(IST, 0, NULL), 0);
	assert_int_equal(set_at(IST, 0, NULL), 0);
}

/* What no kernel refuses, and the documents do not allow. */
static void an_order_that_is_not_documented(void **state)
{
	static const uint32_t others[] = { CR0, CR1, SPI_SELR, PE_SELR, PE_CR0, SPI_CFGR };

	ready(MODEL_MERGED);
	assert_int_equal(set_ists(spi, SPIS, NULL, 0), 0);
	assert_int_equal(set(IRS, IDR0, get(IRS, IDR0)), -EPROTO);
	assert_int_equal(set(IRS, IDR0, 0), -EINVAL); /* what KVM says comes first */
	assert_int_equal(set(IRS, CR1, 3), -EPROTO);
	assert_int_equal(set(IRS, BASER, 0x80000001), -EPROTO);
	assert_int_equal(set(IRS, CFGR, get(IRS, CFGR)), 0);
	for (size_t i = 0; i < COUNT(others); i++) {
		ready(MODEL_V1);
		assert_int_equal(set(IRS, others[i], 0), 0); /* as a save does */
		assert_int_equal(set(IRS, IDR0, get(IRS, IDR0)), 0);
		assert_int_equal(set(IRS, others[i], 1), -EPROTO);
		assert_int_equal(set_at(IST, 0, spi), 0);
		assert_int_equal(set(IRS, others[i], 1), 0);
		assert_int_equal(set(IRS, IDR0, get(IRS, IDR0)), -EPROTO);
		assert_int_equal(set(IRS, CFGR, 9), -EPROTO);
	}
	ready(MODEL_V1);
	assert_int_equal(set(IRS, CFGR, BITS), 0);
	assert_int_equal(set(IRS, BASER, FAKE_LPI_IST | 1), 0);
	assert_int_equal(set(IRS, IDR2, get(IRS, IDR2)), -EPROTO);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(addresses),
		TEST(numbers_of_spis),
		TEST(init_and_ppis),
		TEST(irs_registers_in_check_order),
		TEST(ids_of_another_host),
		TEST(irs_registers_keep_what_kvm_keeps),
		TEST(cpu_registers),
		TEST(ists_in_check_order),
		TEST(lpi_tables_in_check_order),
		TEST(the_first_run),
		TEST(a_guest_that_makes_its_table),
		TEST(the_form_of_v1),
		TEST(v1_without_spis),
		TEST(an_order_that_is_not_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
