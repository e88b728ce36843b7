/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two vCPUs that go through all vector lengths, at each of them with known values in all of Z0-Z31, P0-P15
 * and FFR for a while; and a third that never runs, whose SVE registers the VMM has written.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "zdtmtst.h"
#include "guest.h"
#include "oddvm.h"
#include "regs.h"

const char *test_doc = "SVE registers and vector lengths of a KVM guest\n";
const char *test_author = "The kvm-vgic authors";

static int vl;
TEST_OPTION(vl, int, "bytes of the longest vector that the VM has (0: as the host)", 0);

#define NR_VCPUS	(ODD_NR_VCPUS + 1)
#define STILL		ODD_NR_VCPUS /* the one that never runs */
#define MAX_VL		256
#define MAX_VLS		(MAX_VL / 16)
#define AREA_BASE	0x50000000

/* Registers as they are loaded and stored; the slack is for in(). */
struct area {
	uint64_t in_z[(32 * MAX_VL + MAX_VL) / 8];
	uint64_t in_p[(16 * MAX_VL / 8 + MAX_VL / 2) / 8];
	uint64_t out_z[32 * MAX_VL / 8];
	uint64_t out_p[16 * MAX_VL / 64];
};

/* A vCPU's. */
struct sve_guest {
	struct guest g;
	uint64_t area; /* its address */
	uint64_t nr_vls, vls[MAX_VLS];
	volatile uint64_t rounds;
};

enum { SAY_VL = 1, SAY_Z, SAY_P, SAY_FFR };
const char *const guest_says[] = {
	[SAY_VL] = "another vector length",
	[SAY_Z] = "a Z register: vector length, byte",
	[SAY_P] = "a P register: vector length, byte",
	[SAY_FFR] = "FFR: vector length",
};

void guest_sve_load(const uint64_t *z, const uint64_t *p, uint64_t ffr);
uint64_t guest_sve_store(uint64_t *z, uint64_t *p, uint64_t ffr);
uint64_t guest_sve_vl(void);

/* --- in the guest --- */

/* ZCR_EL1.LEN, and what it is to give: the longest vector there is up to it. */
GUEST static void set_vl(struct guest *g, uint64_t len, uint64_t want)
{
	write_sysreg(len, S3_0_C1_C2_0);
	isb();
	if (guest_sve_vl() != want)
		guest_report(g, SAY_VL, guest_sve_vl(), want);
}

GUEST static void compare(struct guest *g, uint64_t what, uint64_t bytes, const uint64_t *a, const uint64_t *b,
			  uint64_t size)
{
	uint64_t i;

	for (i = 0; i < size / 8; i++)
		if (a[i] != b[i])
			guest_report(g, what, bytes, 8 * i);
}

GUEST static void hold(struct guest *g)
{
	uint64_t n, spin;

	for (n = 0; n < 8; n++) {
		for (spin = 0; spin < 100000; spin++)
			asm volatile("");
		guest_progress(g, ODD_STEP);
	}
}

GUEST static void one_length(struct sve_guest *s, uint64_t bytes)
{
	struct area *area = (struct area *)s->area;
	/* Each length has other values in each register. */
	const uint64_t *z = area->in_z + bytes / 8, *p = area->in_p + bytes / 16;

	set_vl(&s->g, bytes / 16 - 1, bytes);
	guest_sve_load(z, p, bytes - 3);
	hold(&s->g);
	if (guest_sve_vl() != bytes)
		guest_report(&s->g, SAY_VL, guest_sve_vl(), bytes);
	if (!guest_sve_store(area->out_z, area->out_p, bytes - 3))
		guest_report(&s->g, SAY_FFR, bytes, 0);
	compare(&s->g, SAY_Z, bytes, z, area->out_z, 32 * bytes);
	compare(&s->g, SAY_P, bytes, p, area->out_p, 16 * bytes / 8);
}

GUEST static void run(struct guest *g)
{
	struct sve_guest *s = (struct sve_guest *)g;
	uint64_t i;

	write_sysreg(3 << 20 | 3 << 16, cpacr_el1); /* FPEN, ZEN */
	isb();
	for (;;) {
		set_vl(g, MAX_VLS - 1, s->vls[s->nr_vls - 1]);
		for (i = 0; i < s->nr_vls; i++)
			one_length(s, s->vls[i]);
		s->rounds++;
	}
}

/* --- in the VMM --- */

static struct odd_vm vm;
static struct area *areas;
static struct odd_regs saved;

static void fill_area(unsigned int i)
{
	uint8_t *byte = (uint8_t *)&areas[i];
	size_t n;

	for (n = 0; n < sizeof(areas[i]); n++)
		byte[n] = (n * 0x9e3779b1u + i * 77) >> 13;
}

static int add_areas(void)
{
	size_t size = (ODD_NR_VCPUS * sizeof(*areas) + 0xffff) & ~0xfffful;
	struct kvm_userspace_memory_region region = {
		.slot = 1,
		.guest_phys_addr = AREA_BASE,
		.memory_size = size,
	};
	unsigned int i;

	areas = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (areas == MAP_FAILED)
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		fill_area(i);
	region.userspace_addr = (uintptr_t)areas;
	return ioctl(vm.vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

/* KVM takes all lengths of the host up to one. */
static int limit_vls(unsigned int i, uint64_t vls[KVM_ARM64_SVE_VLS_WORDS])
{
	struct kvm_one_reg reg = { .id = KVM_REG_ARM64_SVE_VLS, .addr = (uintptr_t)vls };

	if (ioctl(vm.vcpu[i].fd, KVM_GET_ONE_REG, &reg))
		return -1;
	if (!vl)
		return 0;
	vls[0] &= (1ull << vl / 16) - 1;
	return ioctl(vm.vcpu[i].fd, KVM_SET_ONE_REG, &reg);
}

static void tell_guest(unsigned int i, uint64_t vls)
{
	struct sve_guest *s = guest_cpu(&vm, i);
	unsigned int n;

	s->area = AREA_BASE + i * sizeof(*areas);
	for (n = 0; n < MAX_VLS; n++)
		if (vls >> n & 1)
			s->vls[s->nr_vls++] = 16 * (n + 1);
	if (!i)
		test_msg("%llu vector lengths, up to %llu bytes\n", (unsigned long long)s->nr_vls,
			 (unsigned long long)s->vls[s->nr_vls - 1]);
}

static int init_vcpu(unsigned int i)
{
	uint64_t vls[KVM_ARM64_SVE_VLS_WORDS] = { 0 };
	struct kvm_vcpu_init init = { 0 };
	int sve = KVM_ARM_VCPU_SVE;

	if (ioctl(vm.vm_fd, KVM_ARM_PREFERRED_TARGET, &init))
		return -1;
	init.features[0] = 1u << KVM_ARM_VCPU_PSCI_0_2 | 1u << KVM_ARM_VCPU_SVE;
	if (ioctl(vm.vcpu[i].fd, KVM_ARM_VCPU_INIT, &init) || limit_vls(i, vls) ||
	    ioctl(vm.vcpu[i].fd, KVM_ARM_VCPU_FINALIZE, &sve) || guest_set(&vm, i, run))
		return -1;
	tell_guest(i, vls[0]);
	return 0;
}

static int create_vm(void)
{
	return add_areas() || guest_create_vcpus(&vm, NR_VCPUS, init_vcpu) ||
	       odd_fill_regs(&vm, STILL, odd_is_sve) < 0 || odd_save_regs(&vm, STILL, &saved) ||
	       odd_start_all(&vm) ? -1 : 0;
}

/* Every vCPU has been through all lengths again, and found nothing; the still one has its registers. */
static bool checked_all(void)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++) {
		const struct sve_guest *s = guest_cpu(&vm, i);

		if (!guest_counts(&vm, &s->rounds, 2, "no progress: vector lengths gone through"))
			return false;
	}
	return odd_same_regs(&vm, STILL, &saved);
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (!guest_set_up(&vm, KVM_CAP_ARM_SVE, "SVE", create_vm))
		return 1;

	test_daemon();
	test_waitsig();

	return guest_verdict(&vm, checked_all());
}
