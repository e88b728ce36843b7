// SPDX-License-Identifier: GPL-2.0-only
/*
 * struct kvm_run (Documentation/virt/kvm/api.rst, section 5).
 *
 * KVM_EXIT_MMIO is the one exit that arm64 completes at the next KVM_RUN: the PC still
 * points at the instruction, and the answer is in the page. That the kernel is
 * waiting for it is in vcpu->mmio_needed and in no getter. Lost, the VMM's answer
 * is dropped or the access is made twice. So the restored vCPU executes the
 * instruction once more, with interrupts masked and stepped by guest debug so that
 * it cannot go further, and leaves with the same exit; the saved page is then put
 * over the one that this made.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "fault.h"
#include "log.h"
#include "remote/remote.h"
#include "state/kvm_run.h"

/* Masks interrupts and SErrors. In AArch32 (bit 4) the place of D is the endianness of data. */
#define PSTATE_MASKED(pstate) ((pstate) | ((pstate)&0x10 ? 0x1c0 : 0x3c0))
/* A signal to the VMM makes KVM_RUN return EINTR before the guest ran: tried again, within reason. */
#define REPLAY_TRIES 16

static struct kvm_run *run_of(const struct vcpu_state *vcpu)
{
	return (struct kvm_run *)vcpu->run;
}

/* Maps @vcpu's page anywhere in the task, and leaves the address in *@addr. */
static int map_page(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t *addr)
{
	struct batch b = BATCH(remote, vm->id, "kvm_run page");
	int ret;

	b.vcpu = vcpu->idx;
	batch_syscall(&b, "mmap", SYS_mmap, 0, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd,
		      0);
	ret = batch_run(&b);
	if (!ret)
		*addr = b.calls[0].result;
	batch_fini(&b);
	return ret;
}

static int unmap_page(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t addr)
{
	struct batch b = BATCH(remote, vm->id, "kvm_run page");
	int ret;

	b.vcpu = vcpu->idx;
	batch_syscall(&b, "munmap", SYS_munmap, addr, vcpu->run_size, 0, 0, 0, 0);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

static int access_failed(const struct vm_state *vm, const struct vcpu_state *vcpu, const char *what, int err)
{
	pr_err("vm %u: vcpu %u: kvm_run page: %s: %s (errno %d)\n", vm->id, vcpu->idx, what, strerror(-err),
	       -err);
	return err;
}

/* With @vcpu's page mapped for as long as it takes: @use(vm, remote, vcpu, address of the page). */
static int with_page(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu,
		     int (*use)(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu,
				uint64_t page))
{
	uint64_t page;
	int ret = map_page(vm, remote, vcpu, &page), err;

	if (ret)
		return ret;
	ret = use(vm, remote, vcpu, page);
	err = unmap_page(vm, remote, vcpu, page);
	return ret ?: err;
}

static int for_each_page(struct vm_state *vm, struct remote *remote,
			 int (*use)(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu,
				    uint64_t page))
{
	int ret = 0;

	for (size_t i = 0; !ret && i < vm->nr_vcpus; i++)
		ret = with_page(vm, remote, &vm->vcpus[i], use);
	return ret;
}

static const char *exit_name(const struct kvm_run *run)
{
	static char number[16];

	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		return "MMIO";
	case KVM_EXIT_INTR:
		return "INTR";
	case KVM_EXIT_SYSTEM_EVENT:
		return "SYSTEM_EVENT";
	}
	snprintf(number, sizeof(number), "%u", run->exit_reason);
	return number;
}

static int capture_page(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page)
{
	static const char *const pending[] = {
		[VCPU_PENDING_NONE] = "none",
		[VCPU_PENDING_READ] = "read",
		[VCPU_PENDING_WRITE] = "write",
	};
	const uint64_t *pc = vcpu_reg_u64(vcpu, ARM64_CORE_PC);
	int ret;

	vcpu->run = calloc(1, vcpu->run_size);
	if (!vcpu->run)
		return -ENOMEM;
	ret = remote->ops->read(remote, page, vcpu->run, vcpu->run_size);
	if (ret)
		return access_failed(vm, vcpu, "read", ret);
	if (!vcpu->nr_maps && run_of(vcpu)->immediate_exit) {
		pr_err("vm %u: vcpu %u: kvm_run is not mapped and forbids to run: a criu that was killed has "
		       "left it so: "
		       "end the process\n",
		       vm->id, vcpu->idx);
		return -EBUSY;
	}
	if (run_of(vcpu)->exit_reason == KVM_EXIT_MMIO && vcpu->mmio_needed)
		vcpu->pending = run_of(vcpu)->mmio.is_write ? VCPU_PENDING_WRITE : VCPU_PENDING_READ;
	pr_info("vm %u vcpu %u (id %u): exit %s, pending %s, pc %#" PRIx64 "\n", vm->id, vcpu->idx, vcpu->id,
		exit_name(run_of(vcpu)), pending[vcpu->pending], pc ? *pc : 0);
	return 0;
}

int kvm_run_capture(struct vm_state *vm, struct remote *remote)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		vm->vcpus[i].run_size = 2 * vm->page_size;
	return for_each_page(vm, remote, capture_page);
}

/* What stands in the page while the VMM has only a copy: no exit to complete, and no leave to run. */
static int forbid_run(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page)
{
	struct kvm_run head = *run_of(vcpu);
	int ret;

	head.immediate_exit = 1;
	head.exit_reason = KVM_EXIT_UNKNOWN;
	ret = remote->ops->write(remote, page, &head,
				 offsetof(struct kvm_run, exit_reason) + sizeof(head.exit_reason));
	return ret ? access_failed(vm, vcpu, "write", ret) : 0;
}

static int allow_run(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page)
{
	struct kvm_run *run = run_of(vcpu);
	int ret = remote->ops->write(remote, page, run,
				     offsetof(struct kvm_run, exit_reason) + sizeof(run->exit_reason));

	return ret ? access_failed(vm, vcpu, "write", ret) : 0;
}

/* An anonymous mapping with the bytes of the page, in the place of each mapping of it. */
static int swap_out_vcpu(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu)
{
	struct batch b = BATCH(remote, vm->id, "kvm_run mapping");
	int ret;

	b.vcpu = vcpu->idx;
	for (size_t i = 0; i < vcpu->nr_maps; i++)
		batch_syscall(&b, "mmap", SYS_mmap, vcpu->maps[i].start, vcpu->maps[i].size,
			      vcpu->maps[i].prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
			->detail = vcpu->maps[i].start;
	ret = batch_run(&b);
	batch_fini(&b);
	for (size_t i = 0; !ret && i < vcpu->nr_maps; i++) {
		const struct vcpu_map *map = &vcpu->maps[i];

		ret = remote->ops->write(remote, map->start, vcpu->run + map->offset, map->size);
		if (ret)
			access_failed(vm, vcpu, "copy", ret);
	}
	return ret;
}

int kvm_run_swap_out(struct vm_state *vm, struct remote *remote)
{
	int ret = for_each_page(vm, remote, forbid_run);

	for (size_t i = 0; !ret && i < vm->nr_vcpus; i++)
		ret = swap_out_vcpu(vm, remote, &vm->vcpus[i]);
	return ret;
}

/* The vCPU's mapping in each of its places, of the task or of the copy that CRIU restored. */
static int map_vcpu(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu)
{
	struct batch b = BATCH(remote, vm->id, "kvm_run mapping");
	int ret;

	b.vcpu = vcpu->idx;
	for (size_t i = 0; i < vcpu->nr_maps; i++)
		batch_syscall(&b, "mmap", SYS_mmap, vcpu->maps[i].start, vcpu->maps[i].size,
			      vcpu->maps[i].prot, MAP_SHARED | MAP_FIXED, vcpu->fd, vcpu->maps[i].offset)
			->detail = vcpu->maps[i].start;
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

int kvm_run_swap_in(struct vm_state *vm, struct remote *remote)
{
	int ret = 0, err;

	/* All of it, whatever fails: each vCPU put back is one that runs. */
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		err = map_vcpu(vm, remote, &vm->vcpus[i]);
		ret = ret ?: err;
		err = with_page(vm, remote, &vm->vcpus[i], allow_run);
		ret = ret ?: err;
	}
	return ret;
}

/* Guest debug with @control on @vcpu, and @pstate in its PSTATE. */
static int set_debug(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint32_t control,
		     uint64_t pstate)
{
	struct arm64_guest_debug debug = { .control = control };
	const uint64_t *mdscr = vcpu_reg_u64(vcpu, ARM64_MDSCR_EL1);
	struct batch b = BATCH(remote, vm->id, "replay of a pending exit");
	int ret;

	b.vcpu = vcpu->idx;
	batch_ioctl(&b, vcpu->fd, ARM64_SET_GUEST_DEBUG, &debug, sizeof(debug), "KVM_SET_GUEST_DEBUG");
	batch_set_reg(&b, vcpu->fd, ARM64_CORE_PSTATE, &pstate);
	/* Stepping leaves its own bits in MDSCR_EL1 when a vCPU does not come back to complete the step. */
	if (mdscr)
		batch_set_reg(&b, vcpu->fd, ARM64_MDSCR_EL1, mdscr);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

static int run_once(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu)
{
	struct batch b = BATCH(remote, vm->id, "replay of a pending exit");
	int ret = -EINTR;

	b.vcpu = vcpu->idx;
	for (int i = 0; i < REPLAY_TRIES && (ret == -EINTR || ret == -EAGAIN); i++) {
		batch_reset(&b);
		batch_ioctl_value(&b, vcpu->fd, KVM_RUN, 0, "KVM_RUN");
		ret = batch_try(&b);
	}
	if (ret)
		pr_err("vm %u: vcpu %u: replay of a pending exit: KVM_RUN: %s (errno %d)\n", vm->id,
		       vcpu->idx, strerror(-ret), -ret);
	batch_fini(&b);
	return ret;
}

static bool same_exit(const struct kvm_run *saved, const struct kvm_run *now)
{
	if (now->exit_reason != KVM_EXIT_MMIO || now->mmio.phys_addr != saved->mmio.phys_addr ||
	    now->mmio.len != saved->mmio.len || now->mmio.is_write != saved->mmio.is_write)
		return false;
	return !saved->mmio.is_write || !memcmp(now->mmio.data, saved->mmio.data, saved->mmio.len);
}

static int replay_page(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page)
{
	const uint64_t *pstate = vcpu_reg_u64(vcpu, ARM64_CORE_PSTATE);
	const struct kvm_run *saved = run_of(vcpu);
	struct kvm_run now;
	int ret;

	if (!pstate)
		return -EINVAL;
	ret = set_debug(vm, remote, vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
			PSTATE_MASKED(*pstate));
	if (!ret)
		ret = run_once(vm, remote, vcpu);
	if (!ret)
		ret = set_debug(vm, remote, vcpu, 0, *pstate);
	if (ret)
		return ret;
	ret = remote->ops->read(remote, page, &now, sizeof(now));
	if (ret)
		return access_failed(vm, vcpu, "read", ret);
	if (!same_exit(saved, &now)) {
		pr_err("vm %u: vcpu %u: replay of a pending exit: exit %u, %s of %u bytes at %#llx; was "
		       "MMIO, %s of %u "
		       "bytes at %#llx\n",
		       vm->id, vcpu->idx, now.exit_reason, now.mmio.is_write ? "write" : "read", now.mmio.len,
		       (unsigned long long)now.mmio.phys_addr, saved->mmio.is_write ? "write" : "read",
		       saved->mmio.len, (unsigned long long)saved->mmio.phys_addr);
		return -EIO;
	}
	pr_info("vm %u vcpu %u (id %u): pending %s at %#llx replayed\n", vm->id, vcpu->idx, vcpu->id,
		saved->mmio.is_write ? "write" : "read", (unsigned long long)saved->mmio.phys_addr);
	return 0;
}

int kvm_run_replay(struct vm_state *vm, struct remote *remote)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < vm->nr_vcpus; i++) {
		struct vcpu_state *vcpu = &vm->vcpus[i];

		if (vcpu->pending != VCPU_PENDING_NONE)
			ret = with_page(vm, remote, vcpu, replay_page);
	}
	return ret;
}

static int apply_page(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page)
{
	int ret = remote->ops->write(remote, page, vcpu->run, vcpu->run_size);

	return ret ? access_failed(vm, vcpu, "write", ret) : 0;
}

int kvm_run_apply(struct vm_state *vm, struct remote *remote)
{
	int ret = fault_leaves_out("kvm_run bytes") ? 0 : for_each_page(vm, remote, apply_page);

	for (size_t i = 0; !ret && i < vm->nr_vcpus; i++)
		ret = map_vcpu(vm, remote, &vm->vcpus[i]);
	return ret;
}
