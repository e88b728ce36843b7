/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM with a GICv5, which here is the model of test/model behind the ioctls of the real kernel: every register and
 * every entry of its tables is after the restore what it was before the dump. lives/kvm_vgic_v5.py loads the
 * model, and compares the calls that it has recorded with the documented sequences.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "oddvm.h"
#include "vgic_v5_model.h"

const char *test_doc = "A small KVM VM with a GICv5 (a model of one)\n";
const char *test_author = "The kvm-vgic authors";

static char *vcpus = "2", *spis = "32", *lpi_bits = "0", *abi = "merged";
TEST_OPTION(vcpus, string, "number of vCPUs, of which two at most run", 0);
TEST_OPTION(spis, string, "number of SPIs", 0);
TEST_OPTION(lpi_bits, string, "bits of an LPI id, 0 for no LPIs", 0);
TEST_OPTION(abi, string, "form of the interface: merged or v1", 0);
static int uffd;
TEST_OPTION(uffd, int, "with a userfaultfd, which a dump refuses", 0);

#define DEV_TYPE_VGIC_V5	16
#define GRP_CPU_SYSREGS		6
#define GRP_IRS_REGS		10
#define GRP_IST			11
#define IRS_BASE		0x08000000
#define LPI_RAM_BASE		0x80000000	/* guest memory of its own */
#define LPI_RAM_ADDR		0x5a0001000000
#define LPI_RAM_SIZE		0x41000
#define LPI_IST			0xc40		/* in it: aligned as the register wants it, to 64 bytes */
#define ID_STEP			3		/* an IAFFID is an id, no index */
#define MAX_SPIS		1024
#define MAX_LPIS		65536
#define MAX_VCPUS		8
#define MPIDR_EL1		ARM64_SYS_REG(3, 0, 0, 0, 5)

/* All registers that KVM documents, by offset; those that it answers 0 for too. */
static const uint32_t irs_regs[] = {
	0x000, 0x004, 0x008, 0x00c, 0x010, 0x014, 0x018, 0x01c, 0x040, 0x044, 0x080, 0x084, 0x0c0, 0x0c4,
	0x100, 0x108, 0x10c, 0x110, 0x114, 0x118, 0x140, 0x144, 0x148, 0x180, 0x190, 0x194, 0x1c0, 0x200,
	0x210, 0x214, 0x240, 0x248, 0x250, 0x258, 0x25c, 0x280, 0x288, 0x28c, 0x2c0, 0x2c8, 0x2d0, 0x2d8,
	0x2e0, 0x300, 0x308, 0x340, 0x344, 0x380, 0x384, 0x3c0, 0x3c8, 0x3d0, 0xffbc, 0xffd0, 0xffd4, 0xffd8,
	0xffdc, 0xffe0, 0xffe4, 0xffe8, 0xffec, 0xfff0, 0xfff4, 0xfff8, 0xfffc,
};
static const uint32_t cpu_regs[] = {
	0xc654, 0xc656, 0xc657, 0xc66a, 0xc66b, 0xc66e, 0xc66f, 0xc670, 0xc671, 0xc672, 0xc673, 0xc674, 0xc675,
	0xc676, 0xc677, 0xc678, 0xc679, 0xc67a, 0xc67b, 0xc67c, 0xc67d, 0xc67e, 0xc67f, 0xce00, 0xce01, 0xce02,
};

static struct odd_vm vm;
static unsigned int nr_vcpus, nr_spis, nr_lpis;
static uint64_t mpidr[MAX_VCPUS];

/* What there is to see of the GIC. */
static struct state {
	uint64_t addr, ppis[2];
	uint32_t nr_irqs;
	uint64_t irs[ARRAY_SIZE(irs_regs)], cpu[MAX_VCPUS][ARRAY_SIZE(cpu_regs)];
	uint32_t spi[MAX_SPIS], lpi[MAX_LPIS];
} saved, found;

static bool is_merged(void)
{
	return !strcmp(abi, "merged");
}

static int set(uint32_t group, uint64_t attr, uint64_t value)
{
	return odd_set_attr(vm.gic_fd, group, attr, &value);
}

static int get(uint32_t group, uint64_t attr, void *value)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	return ioctl(vm.gic_fd, KVM_GET_DEVICE_ATTR, &a);
}

/* Bits that differ from one @x to the next, the same in each run. */
static uint64_t mix(uint64_t x)
{
	x = (x + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
	return x ^ x >> 29;
}

/* Every state that an interrupt can be in; HWU (10:9) is hardware's own, bits 8:5 are reserved. */
static uint32_t some_iste(uint64_t i)
{
	return mix(i) & ~0x7e0u;
}

static int add_lpi_memory(void)
{
	struct kvm_userspace_memory_region region = {
		.slot = 1,
		.guest_phys_addr = LPI_RAM_BASE,
		.memory_size = LPI_RAM_SIZE,
		.userspace_addr = LPI_RAM_ADDR,
	};

	if (mmap((void *)LPI_RAM_ADDR, LPI_RAM_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
		return -1;
	return ioctl(vm.vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

/* As a guest leaves them. */
static int fill_irs(void)
{
	unsigned int i;

	if (set(MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x084, 0x2a) ||
	    set(MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x080, 1) ||
	    set(MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x108, nr_spis / 2) ||
	    set(MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x140, ID_STEP * (nr_vcpus - 1)))
		return -1;
	for (i = 0; i < nr_spis; i++)
		if (set(MODEL_GRP_TEST, MODEL_TEST_SPI | i, some_iste(i)))
			return -1;
	if (!nr_lpis)
		return 0;
	if (set(MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x190, atoi(lpi_bits)) ||
	    set(MODEL_GRP_TEST, MODEL_TEST_GUEST_REG | 0x180, (LPI_RAM_BASE + LPI_IST) | 1))
		return -1;
	for (i = 0; i < nr_lpis; i++)
		if (set(MODEL_GRP_TEST, MODEL_TEST_LPI | i, some_iste(MAX_SPIS + i)))
			return -1;
	return 0;
}

static int fill_cpus(void)
{
	unsigned int i;
	size_t r;

	for (i = 0; i < nr_vcpus; i++)
		for (r = 0; r < ARRAY_SIZE(cpu_regs); r++)
			if (set(MODEL_GRP_TEST, MODEL_TEST_CPU_REG | i << 16 | cpu_regs[r], mix(1000 * i + r)))
				return -1;
	return 0;
}

static int set_up(void)
{
	unsigned int i;

	vm.id_step = ID_STEP;
	if (odd_create(&vm) || odd_add_memory(&vm, 0) || add_lpi_memory())
		return -1;
	if (odd_create_gic(&vm, DEV_TYPE_VGIC_V5))
		return -1;
	for (i = 0; i < nr_vcpus; i++)
		if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) || odd_get_reg(&vm, i, MPIDR_EL1, &mpidr[i]))
			return -1;
	if (set(KVM_DEV_ARM_VGIC_GRP_ADDR, 6, IRS_BASE))
		return -1;
	if (is_merged() && odd_set_attr(vm.gic_fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &nr_spis))
		return -1;
	return odd_init_gic(&vm) || fill_irs() || fill_cpus() ? -1 : 0;
}

static int read_ists(struct state *s)
{
	uint64_t desc[4] = { (uintptr_t)s->spi, nr_spis * 4, nr_lpis ? (uintptr_t)s->lpi : 0, nr_lpis * 4 };

	if (is_merged())
		return get(GRP_IST, 0, desc);
	if (get(GRP_IST, 0, nr_spis ? s->spi : NULL))
		return -1;
	memcpy(s->lpi, (void *)(LPI_RAM_ADDR + LPI_IST), nr_lpis * 4);
	return 0;
}

static int read_state(struct state *s)
{
	unsigned int i;
	size_t r;

	if (get(KVM_DEV_ARM_VGIC_GRP_ADDR, 6, &s->addr) || get(KVM_DEV_ARM_VGIC_GRP_CTRL, 5, s->ppis))
		return -1;
	if (is_merged() && get(KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &s->nr_irqs))
		return -1;
	for (r = 0; r < ARRAY_SIZE(irs_regs); r++)
		if (get(GRP_IRS_REGS, irs_regs[r], &s->irs[r]))
			return -1;
	for (i = 0; i < nr_vcpus; i++)
		for (r = 0; r < ARRAY_SIZE(cpu_regs); r++)
			if (get(GRP_CPU_SYSREGS, (mpidr[i] & 0xffffff) << 32 | cpu_regs[r], &s->cpu[i][r]))
				return -1;
	return read_ists(s);
}

/* That there is something to lose: what was put in is what is read. */
static bool is_as_meant(void)
{
	unsigned int i;

	for (i = 0; i < nr_spis; i++)
		if (saved.spi[i] != some_iste(i))
			return false;
	for (i = 0; i < nr_lpis; i++)
		if (saved.lpi[i] != some_iste(MAX_SPIS + i))
			return false;
	return saved.addr == IRS_BASE && saved.cpu[0][1] && !(saved.cpu[0][1] & 1) && saved.irs[10] & 1;
}

static bool ist_same(const char *what, const uint32_t *old, const uint32_t *new, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (old[i] == new[i])
			continue;
		fail("%s %u was %#x, is %#x", what, i, old[i], new[i]);
		return false;
	}
	return true;
}

static bool regs_same(void)
{
	unsigned int i;
	size_t r;

	for (r = 0; r < ARRAY_SIZE(irs_regs); r++)
		if (saved.irs[r] != found.irs[r]) {
			fail("IRS register %#x was %#llx, is %#llx", irs_regs[r], (unsigned long long)saved.irs[r],
			     (unsigned long long)found.irs[r]);
			return false;
		}
	for (i = 0; i < nr_vcpus; i++)
		for (r = 0; r < ARRAY_SIZE(cpu_regs); r++)
			if (saved.cpu[i][r] != found.cpu[i][r]) {
				fail("vCPU %u: register %#x was %#llx, is %#llx", i, cpu_regs[r],
				     (unsigned long long)saved.cpu[i][r], (unsigned long long)found.cpu[i][r]);
				return false;
			}
	if (saved.addr == found.addr && saved.nr_irqs == found.nr_irqs &&
	    !memcmp(saved.ppis, found.ppis, sizeof(saved.ppis)))
		return true;
	fail("the address, the number of SPIs or the PPIs of user space");
	return false;
}

static int start(void)
{
	unsigned int i;

	for (i = 0; i < nr_vcpus && i < ODD_NR_VCPUS; i++)
		if (odd_start(&vm, i))
			return -1;
	return odd_goes_on(&vm) ? 0 : -1;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	nr_vcpus = atoi(vcpus);
	nr_spis = atoi(spis);
	nr_lpis = atoi(lpi_bits) ? 1u << atoi(lpi_bits) : 0;
	if (!nr_vcpus || nr_vcpus > MAX_VCPUS || nr_spis > MAX_SPIS || nr_lpis > MAX_LPIS) {
		pr_err("no such VM\n");
		return 1;
	}
	if (uffd && syscall(SYS_userfaultfd, O_CLOEXEC) < 0) {
		pr_perror("userfaultfd");
		return 1;
	}
	if (set_up()) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}
	/* A vCPU that runs loses the PPIs that KVM does not give to guests, and is in the way of a look. */
	if (start() || !odd_stop(&vm) || read_state(&saved) || start()) {
		pr_perror("a first run: %s", vm.stats->error);
		return 1;
	}
	if (!is_as_meant()) {
		pr_err("the GIC's state is not what it is to be\n");
		return 1;
	}

	test_daemon();
	test_waitsig();

	if (!odd_is_well(&vm))
		return 1;
	errno = 0;
	if (read_state(&found)) {
		fail("the state cannot be read");
		return 1;
	}
	if (!ist_same("SPI", saved.spi, found.spi, nr_spis) || !ist_same("LPI", saved.lpi, found.lpi, nr_lpis) ||
	    !regs_same())
		return 1;
	pass();
	return 0;
}
