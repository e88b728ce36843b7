// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each test's NAME.checkskip is a link to this, which zdtm.py executes before it starts the test: exit status 0 where
 * the host has what the test needs, else the reason and 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEV_TYPE_VGIC_V5 16 /* no kernel's header has it yet */
#define BLOCK_2M	 (1 << 21)
#define ANY		 (~0)

static int kvm = -1, vm = -1;

static bool has_device(unsigned int type)
{
	struct kvm_create_device create = { .type = type, .flags = KVM_CREATE_DEVICE_TEST };

	return !ioctl(vm, KVM_CREATE_DEVICE, &create);
}

/* One of the @bits of what the capability says. */
static bool has_cap(unsigned int cap, int bits)
{
	int value = ioctl(vm, KVM_CHECK_EXTENSION, cap);

	return value > 0 && value & bits;
}

static bool has_sve_itself(void)
{
	return getauxval(AT_HWCAP) & HWCAP_SVE;
}

/* A test that is not here needs a GICv3 and no more. */
static const struct need {
	const char *test;
	unsigned int gic, its, cap;
	int bits;
	bool (*other)(void);
	const char *name; /* of what is needed beside the GIC */
} needs[] = {
	{ "kvm_vgic_v2", .gic = KVM_DEV_TYPE_ARM_VGIC_V2 },
	{ "kvm_vgic_v5", .gic = DEV_TYPE_VGIC_V5 },
	{ "kvm_its_lpi", .its = 1 },
	{ "kvm_its_queue", .its = 1 },
	{ "kvm_its_tables", .its = 1 },
	{ "kvm_routing", .its = 1 },
	{ "kvm_aarch32", .cap = KVM_CAP_ARM_EL1_32BIT, .bits = ANY, .name = "AArch32 at EL1" },
	{ "kvm_across", .cap = KVM_CAP_ARM_INJECT_SERROR_ESR, .bits = ANY, .name = "RAS for guests" },
	{ "kvm_caps", .cap = KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES, .bits = BLOCK_2M, .name = "blocks of 2 MiB to split by" },
	{ "kvm_pauth", .cap = KVM_CAP_ARM_PTRAUTH_ADDRESS, .bits = ANY, .name = "pointer authentication" },
	{ "kvm_pmu", .cap = KVM_CAP_ARM_PMU_V3, .bits = ANY, .name = "PMU" },
	{ "kvm_pvtime", .cap = KVM_CAP_STEAL_TIME, .bits = ANY, .name = "stolen time" },
	{ "kvm_sve", .cap = KVM_CAP_ARM_SVE, .bits = ANY, .name = "SVE for guests" },
	{ "kvm_vmm_sve", .other = has_sve_itself, .name = "SVE" },
};

static const struct need *need_of(const char *test)
{
	static const struct need gicv3 = { 0 };
	size_t i;

	for (i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (!strcmp(needs[i].test, test))
			return &needs[i];
	return &gicv3;
}

static const char *gic_name(unsigned int type)
{
	return type == DEV_TYPE_VGIC_V5		   ? "GICv5 for guests"
	       : type == KVM_DEV_TYPE_ARM_VGIC_V2  ? "GICv2 for guests"
	       : type == KVM_DEV_TYPE_ARM_VGIC_ITS ? "ITS for guests"
						   : "GICv3 for guests";
}

/* What the host does not have for guests; or NULL. */
static const char *lacks(const struct need *need)
{
	unsigned int gic = need->gic ?: KVM_DEV_TYPE_ARM_VGIC_V3;

	if (!has_device(gic))
		return gic_name(gic);
	if (need->its && !has_device(KVM_DEV_TYPE_ARM_VGIC_ITS))
		return gic_name(KVM_DEV_TYPE_ARM_VGIC_ITS);
	if (need->cap && !has_cap(need->cap, need->bits))
		return need->name;
	return need->other && !need->other() ? need->name : NULL;
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *base = slash ? slash + 1 : argv[0], *lacked;
	char test[64] = "";

	strncpy(test, base, sizeof(test) - 1);
	test[strcspn(test, ".")] = 0;
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0) {
		printf("%s: no KVM: /dev/kvm: %s\n", test, strerror(errno));
		return 1;
	}
	lacked = lacks(need_of(test));
	if (!lacked)
		return 0;
	printf("%s: this host has no %s\n", test, lacked);
	return 1;
}
