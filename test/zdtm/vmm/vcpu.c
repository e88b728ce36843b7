/* SPDX-License-Identifier: GPL-2.0-only */
/* A vCPU: made by the main thread, run by one of its own. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "vmm.h"

#define REG_MPIDR      ARM64_SYS_REG(3, 0, 0, 0, 5)
#define REG_CORE(name) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))

/* Neither in order nor without holes, but with distinct MPIDRs. */
static const unsigned int vcpu_ids[VM_MAX_VCPUS] = { 5, 0, 17, 3, 40, 9, 2, 23 };
/* A GICv2 has no more than eight CPUs, by id. */
static const unsigned int vcpu_ids_v2[VM_MAX_VCPUS] = { 5, 0, 7, 3, 4, 1, 2, 6 };

int vcpu_get_reg(struct vcpu *vcpu, uint64_t id, uint64_t *value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)value };

	return ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg);
}

int vcpu_set_reg(struct vcpu *vcpu, uint64_t id, uint64_t value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)&value };

	return ioctl(vcpu->fd, KVM_SET_ONE_REG, &reg);
}

/* The end of what KVM shares registers by, which it does not on arm64: bytes of the VMM's own, then. */
static char *mark_of(struct vcpu *vcpu)
{
	return vcpu->run->s.padding + sizeof(vcpu->run->s.padding) - 1;
}

static void check_mark(struct vcpu *vcpu)
{
	char want = vcpu->id + 1;

	if (*mark_of(vcpu) != want)
		vmm_found(vcpu->vmm, FOUND_CORRUPT, SUBJ_VMM, "vcpu %u (id %u): kvm_run: byte %u, not %u",
			  vcpu->index, vcpu->id, *mark_of(vcpu), want);
	*mark_of(vcpu) = want;
}

static int set_timer_irq(struct vcpu *vcpu)
{
	uint32_t intid = VM_INTID_VTIMER;
	struct kvm_device_attr attr = {
		.group = KVM_ARM_VCPU_TIMER_CTRL,
		.attr = KVM_ARM_VCPU_TIMER_IRQ_VTIMER,
		.addr = (uintptr_t)&intid,
	};

	return ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr);
}

static int vcpu_init(struct vcpu *vcpu)
{
	struct kvm_vcpu_init init = { 0 };

	if (ioctl(vcpu->vmm->vm_fd, KVM_ARM_PREFERRED_TARGET, &init))
		return -1;
	init.features[0] = 1u << KVM_ARM_VCPU_PSCI_0_2;
	if (vcpu->index)
		init.features[0] |= 1u << KVM_ARM_VCPU_POWER_OFF;
	if (ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init) || set_timer_irq(vcpu))
		return -1;
	if (vcpu->index == 0 && (vcpu_set_reg(vcpu, REG_CORE(regs.pc), VM_CODE_BASE) ||
				 vcpu_set_reg(vcpu, REG_CORE(regs.regs[0]), 0)))
		return -1;
	return vcpu_get_reg(vcpu, REG_MPIDR, &vcpu->vmm->stats->vcpu[vcpu->index].mpidr);
}

int vcpu_create(struct vmm *vmm, unsigned int index)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));

	if (!vcpu)
		return -1;
	vmm->vcpu[index] = vcpu;
	vcpu->vmm = vmm;
	vcpu->index = index;
	vcpu->id = vmm->config.gicv2 ? vcpu_ids_v2[index] : vcpu_ids[index];
	vmm->stats->vcpu[index].id = vcpu->id;
	vcpu->fd = ioctl(vmm->vm_fd, KVM_CREATE_VCPU, vcpu->id);
	if (vcpu->fd < 0)
		return -1;
	vcpu->run = mmap(NULL, vmm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		return -1;
	*mark_of(vcpu) = vcpu->id + 1;
	return vcpu_init(vcpu);
}

static uint64_t trace_checksum(const struct vcpu *vcpu)
{
	uint64_t sum = 0xcbf29ce484222325;
	unsigned int i;

	for (i = 0; i < TRACE_ENTRIES; i++) {
		sum = (sum ^ vcpu->trace[i].addr) * 0x100000001b3;
		sum = (sum ^ vcpu->trace[i].data) * 0x100000001b3;
	}
	return sum;
}

/*
 * VMMs do something between KVM_RUN and KVM_RUN. This one keeps a trace with a
 * checksum: a freeze has a fair chance to find the thread here, before or
 * after the access was served, and the VMM's own memory is checked too.
 */
static void trace(struct vcpu *vcpu, uint64_t addr, uint64_t data)
{
	struct trace_entry *entry = &vcpu->trace[vcpu->trace_next++ % TRACE_ENTRIES];

	if (vcpu->trace_sum && trace_checksum(vcpu) != vcpu->trace_sum)
		vmm_found(vcpu->vmm, FOUND_CORRUPT, SUBJ_VMM, "vcpu %u (id %u): the VMM's own trace changed",
			  vcpu->index, vcpu->id);
	entry->addr = addr;
	entry->data = data;
	vcpu->trace_sum = trace_checksum(vcpu);
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint64_t addr = run->mmio.phys_addr;
	/* Every other time, so that a freeze finds accesses served and not yet served. */
	bool trace_first = vcpu->trace_next % 2;

	if (trace_first)
		trace(vcpu, addr, run->mmio.len);
	device_access(vcpu, addr, run->mmio.data, run->mmio.len, run->mmio.is_write);
	if (!trace_first)
		trace(vcpu, addr, run->mmio.data[0]);
}

static void handle_system_event(struct vcpu *vcpu)
{
	uint32_t type = vcpu->run->system_event.type;

	if (type != KVM_SYSTEM_EVENT_SHUTDOWN)
		vmm_found(vcpu->vmm, FOUND_UNEXPECTED, SUBJ_VMM, "vcpu %u (id %u): system event %u",
			  vcpu->index, vcpu->id, type);
	vcpu->vmm->powered_off = true;
	vcpu->stop = true;
}

static void handle_exit(struct vcpu *vcpu)
{
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_MMIO:
		handle_mmio(vcpu);
		break;
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		handle_system_event(vcpu);
		break;
	default:
		vmm_found(vcpu->vmm, FOUND_UNEXPECTED, SUBJ_VMM, "vcpu %u (id %u): exit reason %u",
			  vcpu->index, vcpu->id, vcpu->run->exit_reason);
		vcpu->stop = true;
	}
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;

	while (!vcpu->stop) {
		if (!ioctl(vcpu->fd, KVM_RUN, 0)) {
			check_mark(vcpu);
			handle_exit(vcpu);
			inject_state(vcpu);
		} else if (errno == EINTR) {
			vcpu->vmm->stats->vcpu[vcpu->index].interrupted++;
		} else {
			vmm_found(vcpu->vmm, FOUND_UNEXPECTED, SUBJ_VMM, "vcpu %u (id %u): KVM_RUN: %m",
				  vcpu->index, vcpu->id);
			break;
		}
	}
	vcpu->ended = true;
	return NULL;
}

static void kick(int sig)
{
}

int vcpu_start(struct vcpu *vcpu)
{
	struct sigaction action = { .sa_handler = kick };

	if (sigaction(SIGUSR1, &action, NULL))
		return -1;
	errno = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);
	return errno ? -1 : 0;
}

/* A powered-off vCPU sleeps inside KVM_RUN: it takes a signal to get it out. */
void vcpu_stop(struct vcpu *vcpu)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	vcpu->stop = true;
	while (!vcpu->ended) {
		vcpu->run->immediate_exit = 1;
		pthread_kill(vcpu->thread, SIGUSR1);
		nanosleep(&pause, NULL);
	}
	pthread_join(vcpu->thread, NULL);
}
