/* SPDX-License-Identifier: GPL-2.0-only */
/* The oddities of a VM itself: of its objects, capabilities, memory and interrupts. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "its.h"
#include "lpi.h"
#include "oddities.h"

#define FEATURE(name)	(1u << KVM_ARM_VCPU_##name)
#define PVTIME_BASE	0x50000000
#define MPIDR_EL1	ARM64_SYS_REG(3, 0, 0, 0, 5)

void odd_lacking(const char *what)
{
	skip("this host has no %s", what);
	exit(1);
}

static int create_device(struct odd_vm *vm, uint32_t type, const char *what)
{
	struct kvm_create_device create = { .type = type, .flags = KVM_CREATE_DEVICE_TEST };

	if (ioctl(vm->vm_fd, KVM_CREATE_DEVICE, &create))
		odd_lacking(what);
	create.flags = 0;
	return ioctl(vm->vm_fd, KVM_CREATE_DEVICE, &create) ? -1 : (int)create.fd;
}

/* One more than the images have room for. */
static int many_itses(struct odd_vm *vm)
{
	unsigned int i;

	for (i = 0; i < 33; i++)
		if (create_device(vm, KVM_DEV_TYPE_ARM_VGIC_ITS, "ITS") < 0)
			return -1;
	return 0;
}

/* MAPC with V=0 of a collection that has an interrupt. */
static int its_orphan(struct odd_vm *vm)
{
	static struct odd_its its;
	unsigned int i;

	if (its_add_memory(vm, NULL) || its_create(&its, vm, 0) || its_place(&its) ||
	    lpi_set_tables(vm, ODD_NR_VCPUS))
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (lpi_enable(vm, i, true))
			return -1;
	if (its_set_tables(&its, 4096, NULL, 0) || its_enable(&its, true))
		return -1;
	its_put(&its, its_mapc(0, 1));
	its_put(&its, its_mapd(&its, 1, ITS_ITT(0), 1));
	its_put(&its, its_mapti(1, 0, LPI_MIN, 0));
	its_put(&its, its_unmapc(0));
	return its_ring(&its);
}

static int its_closed(struct odd_vm *vm)
{
	int fd = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_ITS, "ITS");

	return fd < 0 ? -1 : close(fd);
}

static int vfio(struct odd_vm *vm)
{
	return create_device(vm, KVM_DEV_TYPE_VFIO, "KVM_DEV_TYPE_VFIO") < 0 ? -1 : 0;
}

/* A GICv2 in place of the GICv3 that the set-up left out. */
static int gicv2(struct odd_vm *vm)
{
	vm->gic_fd = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V2, "GICv2 for guests");
	if (vm->gic_fd < 0 || odd_place_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V2))
		return -1;
	return odd_init_gic(vm);
}

/* Takes an SGI, and goes on with the guest of oddvm.c: x12: GICC_IAR, x11: that guest. */
static const uint32_t take_code[] = {
	0xb940018c, /* ldr w12, [x12] */
	0xd61f0160, /* br x11 */
};

#define SGI	3

/* vCPU 1 sends vCPU 0 an SGI, which takes it and never ends it. */
static int gicv2_sgi(struct odd_vm *vm)
{
	const uint64_t vcpu_1 = 1ull << KVM_DEV_ARM_VGIC_CPUID_SHIFT;
	uint32_t on = 1, mask = 0x1f, sgi = 1u << 16 | SGI;

	if (gicv2(vm) || odd_set_attr(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, &on) ||
	    odd_set_attr(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_CPU_REGS, 0, &on) ||
	    odd_set_attr(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_CPU_REGS, 4, &mask) ||
	    odd_set_attr(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, vcpu_1 | 0xf00, &sgi))
		return -1;
	memcpy(vm->ram + ODD_RAM_CODE, take_code, sizeof(take_code));
	return odd_set_reg(vm, 0, ODD_CORE(regs.pc), ODD_RAM_BASE + ODD_RAM_CODE) ||
	       odd_set_reg(vm, 0, ODD_CORE(regs.regs[11]), ODD_RAM_BASE) ||
	       odd_set_reg(vm, 0, ODD_CORE(regs.regs[12]), ODD_GICC_BASE + 0xc) ? -1 : 0;
}

static int gicv2_uninit(struct odd_vm *vm)
{
	vm->gic_fd = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V2, "GICv2 for guests");
	return vm->gic_fd < 0 ? -1 : odd_place_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V2);
}

/* By the old ioctls: there is no device fd. */
static int gicv2_irqchip(struct odd_vm *vm)
{
	struct kvm_arm_device_addr dist = { .id = KVM_VGIC_V2_ADDR_TYPE_DIST, .addr = ODD_DIST_BASE };
	struct kvm_arm_device_addr cpu = { .id = KVM_VGIC_V2_ADDR_TYPE_CPU, .addr = ODD_GICC_BASE };

	if (ioctl(vm->vm_fd, KVM_CREATE_IRQCHIP))
		odd_lacking("GICv2 for guests");
	return ioctl(vm->vm_fd, KVM_ARM_SET_DEVICE_ADDR, &dist) || ioctl(vm->vm_fd, KVM_ARM_SET_DEVICE_ADDR, &cpu);
}

static int second_vm(struct odd_vm *vm)
{
	return ioctl(vm->kvm_fd, KVM_CREATE_VM, 0) < 0 ? -1 : 0;
}

static int close_gic(struct odd_vm *vm)
{
	return close(vm->gic_fd);
}

static int close_vcpu(struct odd_vm *vm)
{
	return munmap(vm->vcpu[1].run, vm->run_size) || close(vm->vcpu[1].fd);
}

/* The mapping is the vCPU's last reference, beside the VM's own. */
static int close_mapped_vcpu(struct odd_vm *vm)
{
	return close(vm->vcpu[1].fd);
}

/* More ranges than an image has room for. */
static int long_filter(struct odd_vm *vm)
{
	struct kvm_smccc_filter filter = { .base = 0xc2000000, .nr_functions = 1, .action = KVM_SMCCC_FILTER_DENY };
	unsigned int i;

	for (i = 0; i < 1025; i++, filter.base += 2)
		if (odd_set_attr(vm->vm_fd, KVM_ARM_VM_SMCCC_CTRL, KVM_ARM_VM_SMCCC_FILTER, &filter))
			return -1;
	return 0;
}

/* Of Linux 7.2: memory that the VMM can map. */
#ifndef KVM_CAP_GUEST_MEMFD_FLAGS
#define KVM_CAP_GUEST_MEMFD_FLAGS 244
#endif
#define GMEM_MMAP	    1
#define GMEM_INIT_SHARED    2

static int guest_memfd(struct odd_vm *vm)
{
	struct kvm_create_guest_memfd create = { .size = 0x10000, .flags = GMEM_MMAP | GMEM_INIT_SHARED };
	int flags = ioctl(vm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD_FLAGS);

	if (flags < 0 || (create.flags & ~flags))
		odd_lacking("guest_memfd");
	return ioctl(vm->vm_fd, KVM_CREATE_GUEST_MEMFD, &create);
}

static int has_guest_memfd(struct odd_vm *vm)
{
	return guest_memfd(vm) < 0 ? -1 : 0;
}

/* The memslot keeps it. */
static int guest_memfd_slot(struct odd_vm *vm)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = 5,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = 0x50000000,
		.memory_size = 0x10000,
		.guest_memfd = guest_memfd(vm),
	};

	region.userspace_addr = (uintptr_t)mmap(NULL, region.memory_size, PROT_READ | PROT_WRITE, MAP_SHARED,
						region.guest_memfd, 0);
	if ((int)region.guest_memfd < 0 || ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION2, &region))
		return -1;
	if (munmap((void *)(uintptr_t)region.userspace_addr, region.memory_size))
		return -1;
	return close(region.guest_memfd);
}

static int same_mpidr(struct odd_vm *vm)
{
	return odd_set_reg(vm, 1, MPIDR_EL1, 0x80000000);
}

/* Linux 6.12 keeps it for the next KVM_RUN; later ones deliver it at once. */
static int exception(struct odd_vm *vm)
{
	struct kvm_vcpu_events events = { .exception.ext_dabt_pending = 1 };

	return ioctl(vm->vcpu[1].fd, KVM_SET_VCPU_EVENTS, &events);
}

static int take_exception(struct odd_vm *vm)
{
	const volatile uint64_t *taken = (uint64_t *)(vm->ram + ODD_RAM_FAULTS);

	if (odd_start(vm, 1) || !odd_goes_on(vm))
		return -1;
	errno = 0;
	return taken[1] == 1 ? 0 : -1;
}

/* In a memslot that is gone. KVM goes on without a word. */
static int pvtime_unmapped(struct odd_vm *vm)
{
	uint64_t address = PVTIME_BASE;
	struct kvm_userspace_memory_region region = {
		.slot = 1,
		.guest_phys_addr = PVTIME_BASE,
		.memory_size = ODD_RAM_SIZE,
		.userspace_addr = (uintptr_t)vm->ram,
	};

	if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_STEAL_TIME) <= 0)
		odd_lacking("stolen time for guests");
	if (ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) ||
	    odd_set_attr(vm->vcpu[1].fd, KVM_ARM_VCPU_PVTIME_CTRL, KVM_ARM_VCPU_PVTIME_IPA, &address))
		return -1;
	region.memory_size = 0;
	return ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

#define PMU_IRQ 23

static int pmu(struct odd_vm *vm)
{
	unsigned int i;
	int irq = PMU_IRQ;

	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_set_attr(vm->vcpu[i].fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, &irq) ||
		    odd_set_attr(vm->vcpu[i].fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, NULL))
			return -1;
	return 0;
}

#define PSCI_SYSTEM_SUSPEND 0xc400000e
#define EC_STEP		    0x32

/* Calls PSCI, and goes on with the guest of oddvm.c. */
static const uint32_t call_code[] = {
	0xd4000002, /* hvc #0 */
	0xaa0a03e0, /* mov x0, x10 */
	0xd61f0160, /* br x11 */
};

/*
 * A call is over when it traps, unlike other instructions that do: KVM hands the event to the VMM, and keeps in
 * mind that the step is still to be reported.
 */
static int step_pending(struct odd_vm *vm)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };
	const struct kvm_run *run = vm->vcpu[1].run;

	memcpy(vm->ram + ODD_RAM_CODE, call_code, sizeof(call_code));
	if (odd_set_reg(vm, 1, ODD_CORE(regs.pc), ODD_RAM_BASE + ODD_RAM_CODE) ||
	    odd_set_reg(vm, 1, ODD_CORE(regs.regs[0]), PSCI_SYSTEM_SUSPEND) ||
	    odd_set_reg(vm, 1, ODD_CORE(regs.regs[10]), ODD_RAM_BASE + ODD_RAM_COUNTER + 8) ||
	    odd_set_reg(vm, 1, ODD_CORE(regs.regs[11]), ODD_RAM_BASE) ||
	    ioctl(vm->vcpu[1].fd, KVM_SET_GUEST_DEBUG, &debug) || ioctl(vm->vcpu[1].fd, KVM_RUN, 0))
		return -1;
	return run->exit_reason == KVM_EXIT_SYSTEM_EVENT ? 0 : -1;
}

/* The report comes before another instruction is executed; then the debugger lets go. */
static int report_step(struct odd_vm *vm)
{
	struct kvm_guest_debug none = { 0 };
	const struct kvm_run *run = vm->vcpu[1].run;
	uint64_t pc = 0;

	if (ioctl(vm->vcpu[1].fd, KVM_RUN, 0) || odd_get_reg(vm, 1, ODD_CORE(regs.pc), &pc))
		return -1;
	errno = 0;
	if (run->exit_reason != KVM_EXIT_DEBUG || run->debug.arch.hsr >> 26 != EC_STEP ||
	    pc != ODD_RAM_BASE + ODD_RAM_CODE + 4)
		return -1;
	return ioctl(vm->vcpu[1].fd, KVM_SET_GUEST_DEBUG, &none) || odd_start(vm, 1) || !odd_goes_on(vm) ? -1 : 0;
}

#define OTHER_DEV_BASE (ODD_DEV_BASE + 0x10000)

static int set_other_memory(struct odd_vm *vm, uint64_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = 1,
		.guest_phys_addr = OTHER_DEV_BASE,
		.memory_size = size,
		.userspace_addr = (uintptr_t)vm->ram,
	};

	return ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

/* A write of vCPU 1 that is served and not completed, and memory over its address. */
static int exit_in_memory(struct odd_vm *vm)
{
	struct odd_vcpu *vcpu = &vm->vcpu[1];

	if (odd_set_reg(vm, 1, ODD_CORE(regs.regs[3]), OTHER_DEV_BASE) || ioctl(vcpu->fd, KVM_RUN, 0) ||
	    odd_set_reg(vm, 1, ODD_CORE(regs.regs[3]), ODD_DEV_BASE + 8))
		return -1;
	errno = 0;
	if (vcpu->run->exit_reason != KVM_EXIT_MMIO || vcpu->run->mmio.phys_addr != OTHER_DEV_BASE)
		return -1;
	vcpu->last += ODD_STEP;
	return set_other_memory(vm, ODD_RAM_SIZE);
}

static int complete_exit(struct odd_vm *vm)
{
	return set_other_memory(vm, 0) || odd_start(vm, 1) || !odd_goes_on(vm) ? -1 : 0;
}

/* KVM gives a VM up whose GIC it cannot place at its first run. */
static int dead(struct odd_vm *vm)
{
	uint64_t dist = ODD_DIST_BASE;

	if (odd_set_attr(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &dist) ||
	    odd_init_gic(vm) || !ioctl(vm->vcpu[0].fd, KVM_RUN, 0))
		return -1;
	return ioctl(vm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS) < 0 && errno == EIO ? 0 : -1;
}

static int still_dead(struct odd_vm *vm)
{
	return ioctl(vm->vcpu[0].fd, KVM_RUN, 0) < 0 && errno == EIO ? 0 : -1;
}

/* Half built */

/* That the dump has not initialised the GIC is seen by what KVM refuses from then on. */
static int finish_gic(struct odd_vm *vm)
{
	if (odd_create_vcpu(vm, 1) || odd_init_vcpu(vm, 1) || odd_init_gic(vm))
		return -1;
	return odd_start(vm, 0) || odd_start(vm, 1);
}

static int finish_vcpu(struct odd_vm *vm)
{
	struct kvm_reg_list list = { 0 };

	if (ioctl(vm->vcpu[1].fd, KVM_GET_REG_LIST, &list) == 0 || errno != ENOEXEC)
		return -1;
	return odd_init_vcpu(vm, 1) || odd_start(vm, 1);
}

/* Without KVM_ARM_VCPU_FINALIZE. */
static int init_alone(struct odd_vm *vm)
{
	struct kvm_vcpu_init init = { 0 };

	if (ioctl(vm->vm_fd, KVM_ARM_PREFERRED_TARGET, &init))
		return -1;
	init.features[0] = FEATURE(PSCI_0_2) | vm->features;
	return ioctl(vm->vcpu[1].fd, KVM_ARM_VCPU_INIT, &init);
}

static int finish_sve(struct odd_vm *vm)
{
	struct kvm_reg_list list = { 0 };

	if (ioctl(vm->vcpu[1].fd, KVM_GET_REG_LIST, &list) == 0 || errno != EPERM)
		return -1;
	return odd_init_vcpu(vm, 1) || odd_start(vm, 1);
}

static int finish_vcpus(struct odd_vm *vm)
{
	/* A GIC that has been initialised takes no more vCPUs: with or without a dump. */
	if (ioctl(vm->vm_fd, KVM_CREATE_VCPU, 0) >= 0)
		return -1;
	return errno == EBUSY ? 0 : -1;
}

static int finish_vm(struct odd_vm *vm)
{
	if (odd_create_vcpu(vm, 0) || odd_init_vcpu(vm, 0) || odd_create_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    odd_place_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V3))
		return -1;
	return finish_gic(vm);
}

static const struct oddity oddities[] = {
	{ .name = "none" },
	{ "its-closed", .running = its_closed },
	{ "its-orphan", .built = its_orphan },
	{ "many-itses", .built = many_itses },
	{ "vfio", .running = vfio },
	{ "gicv2-closed", .leave_out = ODD_GIC, .built = gicv2, .running = close_gic },
	{ "gicv2-sgi", .leave_out = ODD_GIC, .built = gicv2_sgi },
	{ "gicv2-uninit", .leave_out = ODD_GIC | ODD_VCPU_1 | ODD_NO_START, .built = gicv2_uninit, .after = finish_gic },
	{ "gicv2-irqchip", .leave_out = ODD_GIC, .early = gicv2_irqchip },
	{ "second-vm", .running = second_vm },
	{ "gic-closed", .running = close_gic },
	{ "vcpu-closed", .leave_out = ODD_START_1, .running = close_vcpu },
	{ "vcpu-closed-mapped", .leave_out = ODD_START_1, .running = close_mapped_vcpu },
	{ "dirty-ring", .cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL, .cap_arg = 65536 },
	{ "mte", .cap = KVM_CAP_ARM_MTE },
	{ "guest-memfd", .running = has_guest_memfd },
	{ "guest-memfd-slot", .running = guest_memfd_slot },
	{ "smccc-filter-long", .early = long_filter },
	{ "nested", .features = FEATURE(HAS_EL2) },
	{ "pmu", .features = FEATURE(PMU_V3), .built = pmu },
	{ "pvtime-unmapped", .built = pvtime_unmapped },
	{ "same-mpidr", .built = same_mpidr },
	{ "exception", .leave_out = ODD_START_1, .built = exception, .after = take_exception },
	{ "step-pending", .leave_out = ODD_START_1, .cap = KVM_CAP_ARM_SYSTEM_SUSPEND, .built = step_pending,
	  .after = report_step },
	{ "exit-in-memory", .leave_out = ODD_START_1, .built = exit_in_memory, .after = complete_exit },
	{ "dead", .leave_out = ODD_GIC_PLACE | ODD_GIC_INIT | ODD_NO_START, .built = dead, .after = still_dead },
	{ "gic-uninit", .leave_out = ODD_GIC_INIT | ODD_VCPU_1 | ODD_NO_START, .after = finish_gic },
	{ "sve-unfinished", .leave_out = ODD_VCPU_1_INIT | ODD_START_1, .features = FEATURE(SVE), .running = init_alone,
	  .after = finish_sve },
	{ "vcpu-uninit", .leave_out = ODD_VCPU_1_INIT | ODD_START_1, .after = finish_vcpu },
	{ "no-gic", .leave_out = ODD_GIC },
	{ "no-vcpus", .leave_out = ODD_NO_VCPUS, .after = finish_vcpus },
	{ "bare-vm", .leave_out = ODD_GIC | ODD_NO_VCPUS, .after = finish_vm },
};

static const struct oddity *find_in(const struct oddity *list, size_t nr, const char *name)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (!strcmp(list[i].name, name))
			return &list[i];
	return NULL;
}

const struct oddity *oddity_find(const char *name)
{
	const struct {
		const struct oddity *list;
		size_t nr;
	} all[] = {
		{ oddities, ARRAY_SIZE(oddities) },
		{ process_oddities, process_nr_oddities },
		{ binding_oddities, binding_nr_oddities },
		{ cramped_oddities, cramped_nr_oddities },
		{ hostile_oddities, hostile_nr_oddities },
	};
	const struct oddity *found = NULL;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all) && !found; i++)
		found = find_in(all[i].list, all[i].nr, name);
	return found;
}
