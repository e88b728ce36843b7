// SPDX-License-Identifier: GPL-2.0-only
/* Guests in C: how they get into a VM, and what they share. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "zdtmtst.h"
#include "guest.h"

extern const char __start_guest[], __stop_guest[]; /* the linker's */

#define REPORT		(ODD_DEV_BASE + 0x800) /* a register for each vCPU */

_Static_assert(GUEST_CODE == ODD_RAM_CODE, "guest.h is of one mind with oddvm.h");
_Static_assert(GUEST_CPU(ODD_MAX_VCPUS) <= ODD_RAM_SIZE, "there is a page for each vCPU");
_Static_assert(offsetof(struct guest, handler) == GUEST_HANDLERS, "guest.S knows");
_Static_assert(offsetof(struct guest, entry) == GUEST_ENTRY, "guest.S knows");
_Static_assert(offsetof(struct guest, context) == GUEST_CONTEXT, "guest.S knows");
_Static_assert(sizeof(struct guest_frame) == GUEST_FRAME, "guest.S knows");

/* --- in the VMM --- */

uint64_t guest_address(const void *function)
{
	return ODD_RAM_BASE + GUEST_CODE + ((const char *)function - __start_guest);
}

void *guest_cpu(struct odd_vm *vm, unsigned int i)
{
	return vm->ram + GUEST_CPU(i);
}

int guest_set(struct odd_vm *vm, unsigned int i, void (*entry)(struct guest *g))
{
	struct guest *g = guest_cpu(vm, i);
	unsigned int n;

	if (__stop_guest - __start_guest > GUEST_CODE_END - GUEST_CODE) {
		errno = E2BIG;
		return -1;
	}
	memcpy(vm->ram + GUEST_CODE, __start_guest, __stop_guest - __start_guest);
	for (n = 0; n < GUEST_NR_HANDLERS; n++)
		g->handler[n] = guest_address(guest_unexpected);
	g->entry = guest_address(entry);
	g->id = i;
	if (!vm->exit)
		vm->exit = guest_exit;
	return odd_set_reg(vm, i, ODD_CORE(regs.pc), guest_address(guest_start)) ||
	       odd_set_reg(vm, i, ODD_CORE(regs.regs[0]), ODD_RAM_BASE + GUEST_CPU(i)) ? -1 : 0;
}

bool guest_set_up(struct odd_vm *vm, unsigned int cap, const char *what, int (*create)(void))
{
	if (odd_create(vm) || odd_add_memory(vm, 0)) {
		pr_perror("set-up of the VM");
		return false;
	}
	if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, cap) <= 0) {
		skip("this host's KVM has no %s", what);
		return false;
	}
	if (create()) {
		pr_perror("set-up of the VM: %s", vm->stats->error);
		return false;
	}
	return true;
}

int guest_create_vcpus(struct odd_vm *vm, unsigned int nr, int (*set)(unsigned int i))
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (odd_create_vcpu(vm, i) || set(i))
			return -1;
	return odd_create_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	       odd_init_gic(vm) ? -1 : 0;
}

bool guest_counts(struct odd_vm *vm, const volatile uint64_t *count, uint64_t by, const char *what)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	uint64_t before = *count;
	unsigned int ticks;

	for (ticks = 0; ticks < 6000 && *count < before + by && !vm->stats->error[0]; ticks++)
		nanosleep(&tick, NULL);
	if (*count < before + by)
		odd_found(vm, what, before);
	return !vm->stats->error[0];
}

int guest_verdict(struct odd_vm *vm, bool good)
{
	if (good)
		return odd_verdict(vm);
	errno = 0;
	fail("%s", vm->stats->error);
	return 1;
}

bool guest_exit(struct odd_vcpu *vcpu)
{
	const struct guest *g = guest_cpu(vcpu->vm, vcpu->id);
	struct odd_stats *stats = vcpu->vm->stats;
	const struct kvm_run *run = vcpu->run;

	if (run->exit_reason != KVM_EXIT_MMIO || !run->mmio.is_write || run->mmio.phys_addr != REPORT + 8 * vcpu->id)
		return false;
	if (!stats->error[0])
		snprintf(stats->error, sizeof(stats->error), "vcpu %u: %s: %#llx, %#llx", vcpu->id,
			 g->error > 1 ? guest_says[g->error - 1] : "an exception (ESR, PC)",
			 (unsigned long long)g->got, (unsigned long long)g->want);
	return true;
}

/* --- in the guest --- */

GUEST void guest_report(struct guest *g, uint64_t code, uint64_t got, uint64_t want)
{
	if (g->error)
		return;
	g->got = got;
	g->want = want;
	g->error = code + 1;
	mmio_write64(REPORT + 8 * g->id, code);
}

GUEST void guest_unexpected(struct guest *g, struct guest_frame *frame)
{
	guest_report(g, 0, frame->esr, frame->elr);
	for (;;)
		wfi();
}

GUEST void guest_gic_init(struct guest *g, uint32_t enable)
{
	unsigned int i;

	mmio_write32(ODD_DIST_BASE, 0x12);				/* GICD_CTLR: ARE, group 1 */
	mmio_write32(ODD_REDIST_BASE + 0x20000 * g->id + 0x14, 0);	/* GICR_WAKER */
	mmio_write32(guest_sgi_frame(g, 0x80), ~0u);			/* GICR_IGROUPR0 */
	for (i = 0; i < 32; i += 4)
		mmio_write32(guest_sgi_frame(g, 0x400 + i), 0xa0a0a0a0);	/* GICR_IPRIORITYR */
	mmio_write32(guest_sgi_frame(g, GICR_ICENABLER0), ~enable);
	mmio_write32(guest_sgi_frame(g, GICR_ISENABLER0), enable);
	write_sysreg(read_sysreg(S3_0_C12_C12_5) | 1, S3_0_C12_C12_5);	/* ICC_SRE_EL1 */
	isb();
	write_sysreg(0xf0, S3_0_C4_C6_0);				/* ICC_PMR_EL1 */
	write_sysreg(1, S3_0_C12_C12_7);				/* ICC_IGRPEN1_EL1 */
	isb();
}
