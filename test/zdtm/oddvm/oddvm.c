/* SPDX-License-Identifier: GPL-2.0-only */
/* The VM, its two vCPU threads and its one device register. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "oddvm.h"

#define VBAR_EL1	ARM64_SYS_REG(3, 0, 12, 0, 0)
#define VECTORS		0x800

/* x0: its counter, x3: the register, x4: its counter of exceptions. Interrupts stay masked. */
asm(".pushsection .rodata\n"
    ".balign 2048\n"
    ".globl odd_guest, odd_guest_end\n"
    ".hidden odd_guest, odd_guest_end\n"
    "odd_guest:\n"
    "1:	add	x1, x1, #1\n"
    "	str	x1, [x0]\n"
    "	tst	x1, #4095\n"
    "	b.ne	1b\n"
    "	str	x1, [x3]\n"
    "	b	1b\n"
    "	.org	odd_guest + 0x800 + 0x200\n" /* VECTORS, synchronous from EL1 */
    "	ldr	x2, [x4]\n"
    "	add	x2, x2, #1\n"
    "	str	x2, [x4]\n"
    "	eret\n"
    "odd_guest_end:\n"
    ".popsection\n");
extern const char odd_guest[], odd_guest_end[];

/* The same loop for an AArch32 guest, which this file's assembler does not know. */
static const uint32_t guest32[] = {
	0xe2811001, /* 1: add r1, r1, #1 */
	0xe5801000, /*    str r1, [r0] */
	0xe1b02a01, /*    lsls r2, r1, #20 */
	0x1afffffb, /*    bne 1b */
	0xe5831000, /*    str r1, [r3] */
	0xeafffff9, /*    b 1b */
};

static bool is_aarch32(const struct odd_vm *vm)
{
	return vm->features & 1u << KVM_ARM_VCPU_EL1_32BIT;
}

static void found(struct odd_vm *vm, const char *what, unsigned int vcpu, uint64_t detail)
{
	int err = errno;

	if (!vm->stats->error[0])
		snprintf(vm->stats->error, sizeof(vm->stats->error), "vcpu %u: %s %#llx (%s)", vcpu, what,
			 (unsigned long long)detail, strerror(err));
}

void odd_found(struct odd_vm *vm, const char *what, uint64_t detail)
{
	if (!vm->stats->error[0])
		snprintf(vm->stats->error, sizeof(vm->stats->error), "%s %#llx", what, (unsigned long long)detail);
}

static void *map_at(uint64_t addr, size_t size)
{
	void *p = mmap((void *)addr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		       -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int odd_create(struct odd_vm *vm)
{
	vm->stats = map_at(ODD_STATS_ADDR + vm->place * (uint64_t)ODD_PLACE, 0x1000);
	vm->ram = map_at(ODD_RAM_ADDR + vm->place * (uint64_t)ODD_PLACE, ODD_RAM_SIZE);
	if (!vm->stats || !vm->ram)
		return -1;
	vm->stats->magic = ODD_MAGIC;
	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0)
		return -1;
	vm->vm_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	vm->run_size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	return vm->vm_fd < 0 ? -1 : 0;
}

int odd_add_memory(struct odd_vm *vm, uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.flags = flags,
		.guest_phys_addr = ODD_RAM_BASE,
		.memory_size = ODD_RAM_SIZE,
		.userspace_addr = (uintptr_t)vm->ram,
	};

	return ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

int odd_create_vcpu(struct odd_vm *vm, unsigned int i)
{
	struct odd_vcpu *vcpu = &vm->vcpu[i];

	vcpu->vm = vm;
	vcpu->id = i;
	vcpu->fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, vm->id_step ? i * vm->id_step : i);
	if (vcpu->fd < 0)
		return -1;
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	return vcpu->run == MAP_FAILED ? -1 : 0;
}

int odd_set_reg(struct odd_vm *vm, unsigned int i, uint64_t id, uint64_t value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)&value };

	return ioctl(vm->vcpu[i].fd, KVM_SET_ONE_REG, &reg);
}

int odd_get_reg(struct odd_vm *vm, unsigned int i, uint64_t id, uint64_t *value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)value };

	return ioctl(vm->vcpu[i].fd, KVM_GET_ONE_REG, &reg);
}

static int set_guest(struct odd_vm *vm, unsigned int i)
{
	if (is_aarch32(vm))
		memcpy(vm->ram, guest32, sizeof(guest32));
	else
		memcpy(vm->ram, odd_guest, odd_guest_end - odd_guest);
	if (!is_aarch32(vm) && odd_set_reg(vm, i, VBAR_EL1, ODD_RAM_BASE + VECTORS))
		return -1;
	return odd_set_reg(vm, i, ODD_CORE(regs.pc), ODD_RAM_BASE) ||
	       odd_set_reg(vm, i, ODD_CORE(regs.regs[0]), ODD_RAM_BASE + ODD_RAM_COUNTER + 8 * i) ||
	       odd_set_reg(vm, i, ODD_CORE(regs.regs[1]), 0) ||
	       odd_set_reg(vm, i, ODD_CORE(regs.regs[3]), ODD_DEV_BASE + 8 * i) ||
	       odd_set_reg(vm, i, ODD_CORE(regs.regs[4]), ODD_RAM_BASE + ODD_RAM_FAULTS + 8 * i);
}

int odd_init_vcpu(struct odd_vm *vm, unsigned int i)
{
	int fd = vm->vcpu[i].fd, sve = KVM_ARM_VCPU_SVE;
	struct kvm_vcpu_init init = { 0 };

	if (ioctl(vm->vm_fd, KVM_ARM_PREFERRED_TARGET, &init))
		return -1;
	init.features[0] = 1u << KVM_ARM_VCPU_PSCI_0_2 | vm->features;
	if (ioctl(fd, KVM_ARM_VCPU_INIT, &init))
		return -1;
	if (vm->features & 1u << KVM_ARM_VCPU_SVE && ioctl(fd, KVM_ARM_VCPU_FINALIZE, &sve))
		return -1;
	return set_guest(vm, i);
}

int odd_create_gic(struct odd_vm *vm, uint32_t type)
{
	struct kvm_create_device create = { .type = type };

	if (ioctl(vm->vm_fd, KVM_CREATE_DEVICE, &create))
		return -1;
	vm->gic_fd = create.fd;
	return 0;
}

int odd_set_attr(int fd, uint32_t group, uint64_t attr, void *value)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	return ioctl(fd, KVM_SET_DEVICE_ATTR, &a);
}

int odd_place_gic(struct odd_vm *vm, uint32_t type)
{
	bool v2 = type == KVM_DEV_TYPE_ARM_VGIC_V2;
	uint64_t dist = ODD_DIST_BASE, cpu = v2 ? ODD_GICC_BASE : ODD_REDIST_BASE;

	return odd_set_attr(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_ADDR,
			    v2 ? KVM_VGIC_V2_ADDR_TYPE_DIST : KVM_VGIC_V3_ADDR_TYPE_DIST, &dist) ||
	       odd_set_attr(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_ADDR,
			    v2 ? KVM_VGIC_V2_ADDR_TYPE_CPU : KVM_VGIC_V3_ADDR_TYPE_REDIST, &cpu) ? -1 : 0;
}

int odd_init_gic(struct odd_vm *vm)
{
	return odd_set_attr(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
}

/* Each write must be the next one: a KVM_RUN that a dump left undone would show here. */
static void serve(struct odd_vcpu *vcpu)
{
	const struct timespec rest = { .tv_nsec = 2000000 };
	struct kvm_run *run = vcpu->run;
	uint64_t value = 0;

	if (vcpu->vm->exit && vcpu->vm->exit(vcpu))
		return;
	if (run->exit_reason != KVM_EXIT_MMIO || !run->mmio.is_write || run->mmio.len > sizeof(value)) {
		errno = 0;
		found(vcpu->vm, "exit", vcpu->id, run->exit_reason);
		vcpu->stop = true;
		return;
	}
	memcpy(&value, run->mmio.data, run->mmio.len);
	if (run->mmio.phys_addr != ODD_DEV_BASE + 8 * vcpu->id || value != vcpu->last + ODD_STEP) {
		errno = 0;
		found(vcpu->vm, "an MMIO write out of order: of", vcpu->id, value);
	}
	vcpu->last = value;
	vcpu->vm->stats->writes[vcpu->id]++;
	/* Leaves the CPU to criu: the tests run on slow machines. */
	nanosleep(&rest, NULL);
}

static void *vcpu_thread(void *arg)
{
	struct odd_vcpu *vcpu = arg;

	while (!vcpu->stop) {
		if (!ioctl(vcpu->fd, KVM_RUN, 0)) {
			serve(vcpu);
		} else if (errno != EINTR) {
			found(vcpu->vm, "KVM_RUN: errno", vcpu->id, errno);
			break;
		} else if (vcpu->vm->interrupted) {
			vcpu->vm->interrupted(vcpu);
		}
	}
	vcpu->ended = true;
	return NULL;
}

static void kick(int sig)
{
}

int odd_start(struct odd_vm *vm, unsigned int i)
{
	struct sigaction action = { .sa_handler = kick };

	if (sigaction(SIGUSR1, &action, NULL))
		return -1;
	vm->vcpu[i].stop = vm->vcpu[i].ended = false;	/* it may have been stopped before */
	errno = pthread_create(&vm->vcpu[i].thread, NULL, vcpu_thread, &vm->vcpu[i]);
	if (errno)
		return -1;
	vm->vcpu[i].started = true;
	vm->stats->running |= 1u << i;
	return 0;
}

static bool has_moved(struct odd_vm *vm, unsigned int i, uint64_t writes, uint64_t count)
{
	const volatile uint64_t *counter = (uint64_t *)(vm->ram + ODD_RAM_COUNTER);

	return vm->stats->writes[i] >= writes + 2 && counter[i] > count;
}

bool odd_goes_on(struct odd_vm *vm)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	const volatile uint64_t *counter = (uint64_t *)(vm->ram + ODD_RAM_COUNTER);
	const volatile struct odd_stats *stats = vm->stats;
	unsigned int i, ticks;

	for (i = 0; i < ODD_MAX_VCPUS; i++) {
		uint64_t writes = stats->writes[i], count = counter[i];

		if (!(stats->running >> i & 1))
			continue;
		for (ticks = 0; ticks < 3000 && !has_moved(vm, i, writes, count); ticks++)
			nanosleep(&tick, NULL);
		errno = 0;
		if (!has_moved(vm, i, writes, count))
			found(vm, "no progress beyond", i, count);
	}
	return !stats->error[0];
}

bool odd_stop(struct odd_vm *vm)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	unsigned int i;

	for (i = 0; i < ODD_MAX_VCPUS; i++) {
		struct odd_vcpu *vcpu = &vm->vcpu[i];

		if (!vcpu->started)
			continue;
		vcpu->stop = true;
		while (!vcpu->ended) {
			pthread_kill(vcpu->thread, SIGUSR1);
			nanosleep(&pause, NULL);
		}
		pthread_join(vcpu->thread, NULL);
	}
	return !vm->stats->error[0];
}

int odd_start_all(struct odd_vm *vm)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_start(vm, i))
			return -1;
	return odd_goes_on(vm) ? 0 : -1;
}

int odd_complete(struct odd_vm *vm)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_create_vcpu(vm, i) || odd_init_vcpu(vm, i))
			return -1;
	if (odd_create_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    odd_init_gic(vm))
		return -1;
	return odd_start_all(vm);
}

int odd_setup(struct odd_vm *vm)
{
	return odd_create(vm) || odd_add_memory(vm, 0) ? -1 : odd_complete(vm);
}
