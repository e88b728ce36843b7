// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the VMs of a tree of processes consist of, and whether all of it can be carried. Every
 * refusal is made here, before anything in a process has been changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "probe/caps.h"
#include "probe/discover.h"
#include "probe/in_flight.h"
#include "probe/kernel.h"
#include "probe/park.h"
#include "probe/room.h"
#include "probe/sysctl.h"
#include "probe/tree.h"
#include "probe/vcpu.h"
#include "probe/vgic_v2.h"
#include "remote/task.h"

/* A fd of KVM's that the dump knows by name and cannot carry. */
static const struct {
	const char *name, *what, *advice;
} refused_fds[] = {
	{ "anon_inode:kvm-vfio", "an assigned device", "unplug it" },
	{ "anon_inode:[kvm-gmem]", "guest_memfd memory", "use memory of the VMM's own" },
	{ "/[kvm-gmem]", "guest_memfd memory", "use memory of the VMM's own" },
	{ "anon_inode:kvm-", "a KVM fd", "have the VMM close it" },
};

/* State of a VM that has no getter: bit in kvm_rec.vm.has. */
static const struct {
	enum kvm_has bit;
	const char *what, *advice;
} refused_state[] = {
	{ KVM_HAS_DEAD, "the VM is dead (vm_dead): KVM answers EIO to everything", "end it" },
	{ KVM_HAS_PROTECTED, "a protected VM", "its state is closed to the host" },
	{ KVM_HAS_DIRTY_RING, "a dirty ring", "use dirty bitmaps, or no dirty tracking" },
};

/* Bits of kvm->arch.flags, the same in the kernels that kernel.c knows; NULL: a VM may have it. */
enum { VM_COUNTER_OFFSET = 5 };
static const char *const arch_flags[64] = {
	[ARCH_FLAG_NISV_TO_USER] = NULL,
	[1] = "KVM_CAP_ARM_MTE",
	[2] = NULL, /* HAS_RAN_ONCE */
	[3] = NULL, /* VCPU_FEATURES_CONFIGURED */
	[ARCH_FLAG_SYSTEM_SUSPEND] = NULL,
	[VM_COUNTER_OFFSET] = NULL,
	[6] = NULL, /* TIMER_PPIS_IMMUTABLE */
	[7] = NULL, /* ID_REGS_INITIALIZED */
	[8] = NULL, /* FGU_INITIALIZED */
	[9] = NULL, /* GUEST_HAS_SVE: a vCPU feature too */
	[ARCH_FLAG_WRITABLE_IMP_ID_REGS] = NULL,
	[ARCH_FLAG_SEA_TO_USER] = NULL,
};
#define KNOWN_ARCH_FLAGS 12

/* vCPU features; NULL: carried. */
static const char *const features[] = {
	[KVM_ARM_VCPU_POWER_OFF] = NULL,
	[KVM_ARM_VCPU_EL1_32BIT] = NULL,
	[KVM_ARM_VCPU_PSCI_0_2] = NULL,
	[KVM_ARM_VCPU_PMU_V3] = NULL,
	[KVM_ARM_VCPU_SVE] = NULL,
	[KVM_ARM_VCPU_PTRAUTH_ADDRESS] = NULL,
	[KVM_ARM_VCPU_PTRAUTH_GENERIC] = NULL,
	[KVM_ARM_VCPU_HAS_EL2] = "nested virtualisation",
};
#define KNOWN_FEATURES (sizeof(features) / sizeof(features[0]))

/* One VM: what its owner has of it, and what becomes of that. */
struct discovery {
	pid_t pid;
	struct proc_scan scan;
	struct kvm_rec *recs;
	size_t nr_recs;
	const struct kvm_rec *vm_rec;
	struct vm_state *vm;
	struct discovered_vm *found;
	struct eventfd_table *eventfds;
};

static int refuse(pid_t pid, const char *what, const char *advice)
{
	pr_err("pid %d: %s: " REFUSAL ": %s\n", pid, what, advice);
	return -ENOTSUP;
}

static int refuse_fd(pid_t pid, const struct proc_fd *fd, const char *what, const char *advice)
{
	pr_err("pid %d: fd %d (%s): %s: " REFUSAL ": %s\n", pid, fd->fd, fd->name, what, advice);
	return -ENOTSUP;
}

static int check_fds(pid_t pid, const struct proc_scan *scan)
{
	if (!kernel_is_arm64())
		return refuse(pid, "a VM that is not an arm64 one", "dump on an arm64 host");
	for (size_t i = 0; i < scan->nr_fds; i++) {
		const struct proc_fd *fd = &scan->fds[i];
		size_t r = 0;

		if (fd->kind != PROC_FD_OTHER)
			continue;
		while (r < sizeof(refused_fds) / sizeof(refused_fds[0]) - 1 &&
		       strncmp(fd->name, refused_fds[r].name, strlen(refused_fds[r].name)))
			r++;
		return refuse_fd(pid, fd, refused_fds[r].what, refused_fds[r].advice);
	}
	return 0;
}

/* KVM_ARM_VCPU_PMU_V3_SET_PMU ties a VM to CPUs of one kind, and whether it was used is not to be seen. */
static int check_cpu_kinds(const struct discovery *d)
{
	bool has_pmu = d->vm_rec->vm.features >> KVM_ARM_VCPU_PMU_V3 & 1;
	size_t kinds = has_pmu ? pmu_nr_cpu_kinds() : 1;

	if (kinds == 1)
		return 0;
	if (kinds)
		return refuse(d->pid, "a PMU, on a host with CPUs of several kinds",
			      "run the VM without that vCPU feature");
	return refuse(d->pid,
		      "a PMU, on a host that does not tell its kinds of CPUs (bus/event_source of sysfs)",
		      "mount sysfs on /sys");
}

static int check_flags(const struct discovery *d)
{
	for (unsigned int bit = 0; bit < 64; bit++) {
		if (!(d->vm_rec->vm.flags >> bit & 1))
			continue;
		if (bit >= KNOWN_ARCH_FLAGS)
			return refuse(d->pid, "a capability that this plugin does not know",
				      "tell its authors");
		if (arch_flags[bit])
			return refuse(d->pid, arch_flags[bit], "have the VMM not enable it");
	}
	for (unsigned int bit = 0; bit < 64; bit++) {
		if (!(d->vm_rec->vm.features >> bit & 1))
			continue;
		if (bit >= KNOWN_FEATURES)
			return refuse(d->pid, "a vCPU feature that this plugin does not know",
				      "tell its authors");
		if (features[bit])
			return refuse(d->pid, features[bit], "run the VM without that vCPU feature");
	}
	return check_cpu_kinds(d);
}

static size_t count_fds(const struct discovery *d, enum proc_fd_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < d->scan.nr_fds; i++)
		n += d->scan.fds[i].kind == kind;
	return n;
}

/* Whether @rec is of an ITS, and the first of those of the same one: fds may be duplicated. */
static bool is_first_of_its(const struct discovery *d, const struct kvm_rec *rec)
{
	if (rec->type != KVM_REC_ITS)
		return false;
	for (const struct kvm_rec *before = d->recs; before < rec; before++)
		if (before->type == KVM_REC_ITS && before->its.object == rec->its.object)
			return false;
	return true;
}

static size_t count_itses(const struct discovery *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->nr_recs; i++)
		n += is_first_of_its(d, &d->recs[i]);
	return n;
}

/* By its fd: what the kernel keeps of a GICv5 beside the device is its own business. */
static bool has_vgic_v5(const struct discovery *d)
{
	const struct kvm_rec *rec = d->vm_rec;

	return count_fds(d, PROC_FD_VGIC_V5) &&
	       (!rec->vm.vgic_in_kernel || rec->vm.vgic_model == KVM_DEV_TYPE_ARM_VGIC_V5);
}

/* A read of a register would initialise a GICv2 (vgic_v2_attr_regs_access()), which fixes the number of vCPUs. */
static int check_gic_of(const struct discovery *d, bool is_v2)
{
	const struct kvm_rec *rec = d->vm_rec;

	if (is_v2 && !rec->vm.nr_devices)
		return refuse(d->pid, "a GICv2 made by KVM_CREATE_IRQCHIP, which has no fd to read it by",
			      "have the VMM make it by KVM_CREATE_DEVICE");
	if (!count_fds(d, is_v2 ? PROC_FD_VGIC_V2 : PROC_FD_VGIC_V3))
		return refuse(d->pid,
			      is_v2 ? "a GICv2 whose device fd was closed"
				    : "a GICv3 whose device fd was closed",
			      "have the VMM keep it open");
	if (!rec->vm.vgic_initialized)
		return refuse(d->pid,
			      is_v2 ? "a GICv2 that was not initialised" : "a GICv3 that was not initialised",
			      "dump it when the VM has been set up");
	return 0;
}

static int check_gic(const struct discovery *d)
{
	const struct kvm_rec *rec = d->vm_rec;

	if (has_vgic_v5(d))
		return 0;
	if (!rec->vm.vgic_in_kernel)
		return refuse(d->pid, "a VM without in-kernel interrupt controller", "give the VM a GICv3");
	switch (rec->vm.vgic_model) {
	case KVM_DEV_TYPE_ARM_VGIC_V2:
		return check_gic_of(d, true);
	case KVM_DEV_TYPE_ARM_VGIC_V3:
		return check_gic_of(d, false);
	case KVM_DEV_TYPE_ARM_VGIC_V5:
		return refuse(d->pid, "a GICv5 whose device fd was closed", "have the VMM keep it open");
	}
	return refuse(d->pid, "another GIC", "give the VM a GICv3");
}

static int check_vm(const struct discovery *d)
{
	const struct kvm_rec *rec = d->vm_rec;
	int ret;

	for (size_t i = 0; i < sizeof(refused_state) / sizeof(refused_state[0]); i++)
		if (rec->vm.has >> refused_state[i].bit & 1)
			return refuse(d->pid, refused_state[i].what, refused_state[i].advice);
	ret = check_gic(d);
	if (ret)
		return ret;
	if (rec->vm.nr_devices != 1 + count_itses(d))
		return refuse(d->pid, "a device beside the GIC, with its fd closed",
			      "have the VMM keep it open, or not create it");
	if (count_itses(d) && rec->vm.vgic_model == KVM_DEV_TYPE_ARM_VGIC_V2)
		return refuse(d->pid, "an ITS beside a GICv2", "give the VM a GICv3, or no ITS");
	if (count_itses(d) > VM_MAX_ITSES)
		return refuse(d->pid, "more than 32 ITSes", "give the VM fewer");
	if (!rec->vm.nr_vcpus || rec->vm.nr_vcpus > VM_MAX_VCPUS)
		return refuse(d->pid, "a VM without vCPUs, or with more than 512",
			      "dump it when it has been set up");
	return check_flags(d);
}

static struct probe_recs recs_of(const struct discovery *d)
{
	return (struct probe_recs){ d->recs, d->nr_recs };
}

static int fill_vcpus(struct discovery *d)
{
	struct vm_state *vm = d->vm;
	size_t found = 0;

	vm->vcpus = calloc(d->vm_rec->vm.nr_vcpus, sizeof(*vm->vcpus));
	if (!vm->vcpus)
		return -ENOMEM;
	vm->nr_vcpus = d->vm_rec->vm.nr_vcpus;
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		vm->vcpus[i].fd = -1;

	for (size_t i = 0; i < d->nr_recs; i++) {
		const struct kvm_rec *rec = &d->recs[i];
		struct vcpu_state *vcpu;
		int ret;

		if (rec->type != KVM_REC_VCPU)
			continue;
		if (rec->vcpu.idx >= vm->nr_vcpus)
			return -EIO;
		vcpu = &vm->vcpus[rec->vcpu.idx];
		if (vcpu->fd >= 0)
			continue; /* a duplicate of a fd that has been seen */
		ret = probe_vcpu(d->pid, recs_of(d), rec, vcpu);
		if (ret)
			return ret;
		found++;
	}
	if (found != vm->nr_vcpus)
		return refuse(d->pid, "a vCPU whose fd was closed",
			      "have the VMM keep the fds of its vCPUs open");
	return 0;
}

static struct vcpu_state *vcpu_by_id(struct vm_state *vm, uint32_t id)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i].id == id)
			return &vm->vcpus[i];
	return NULL;
}

static int check_map(const struct discovery *d, const struct proc_map *map)
{
	if (!map->is_shared || map->prot & PROT_EXEC || !(map->prot & PROT_READ) ||
	    map->offset + map->size > 2 * d->vm->page_size)
		return refuse(d->pid, "a private, executable, unreadable or overlong mapping of a vCPU",
			      "have the VMM map kvm_run once, shared, readable and writable");
	if (map->strange[0]) {
		pr_err("pid %d: mapping %#llx of a vCPU: VmFlags \"%s\" (/proc/%d/smaps): " REFUSAL
		       ": have the VMM map kvm_run without it\n",
		       d->pid, (unsigned long long)map->start, map->strange, d->pid);
		return -ENOTSUP;
	}
	return 0;
}

static int fill_maps(struct discovery *d)
{
	for (size_t i = 0; i < d->scan.nr_maps; i++) {
		const struct proc_map *map = &d->scan.maps[i];
		struct vcpu_state *vcpu = vcpu_by_id(d->vm, map->vcpu_id);
		int ret;

		if (!vcpu)
			return refuse(d->pid, "a mapping of a vCPU whose fd was closed",
				      "have the VMM keep it open");
		ret = check_map(d, map);
		if (ret)
			return ret;
		if (vcpu->nr_maps == VCPU_MAX_MAPS)
			return refuse(d->pid, "more than 16 mappings of a vCPU", "have the VMM map it once");
		vcpu->maps[vcpu->nr_maps++] = (struct vcpu_map){
			.start = map->start,
			.size = map->size,
			.offset = map->offset,
			.prot = map->prot,
			.flags = map->flags,
		};
	}
	return 0;
}

static int fill_slots(struct discovery *d)
{
	struct vm_state *vm = d->vm;

	vm->slots = calloc(d->nr_recs, sizeof(*vm->slots));
	if (!vm->slots)
		return -ENOMEM;
	for (size_t i = 0; i < d->nr_recs; i++) {
		const struct kvm_rec *rec = &d->recs[i];

		if (rec->type != KVM_REC_SLOT || rec->fd != d->vm_rec->fd)
			continue;
		if (rec->slot.flags & KVM_MEM_GUEST_MEMFD)
			return refuse(d->pid, "a memslot with guest_memfd memory",
				      "use memory of the VMM's own");
		if (rec->slot.flags & ~(KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES))
			return refuse(d->pid, "a memslot with flags this plugin does not know",
				      "tell its authors");
		vm->slots[vm->nr_slots++] = (struct memslot){
			.slot = rec->slot.id,
			.flags = rec->slot.flags,
			.gpa = rec->slot.gpa * vm->page_size, /* the kernel counts in host pages */
			.size = rec->slot.npages * vm->page_size,
			.hva = rec->slot.hva,
		};
	}
	return 0;
}

static void fill_unrouted(struct vgic_v3_state *gic, const struct kvm_rec *rec)
{
	if (rec->unrouted.first / 32 < VGIC_MAX_IRQS / 32)
		gic->unrouted[rec->unrouted.first / 32] = rec->unrouted.bits;
}

static int first_fd(const struct discovery *d, enum proc_fd_kind kind)
{
	for (size_t i = 0; i < d->scan.nr_fds; i++)
		if (d->scan.fds[i].kind == kind)
			return d->scan.fds[i].fd;
	return -1;
}

static int fill_vgic_v5(struct discovery *d)
{
	d->vm->vgic_v5 = calloc(1, sizeof(*d->vm->vgic_v5));
	if (!d->vm->vgic_v5)
		return -ENOMEM;
	d->vm->vgic_v5->fd = first_fd(d, PROC_FD_VGIC_V5);
	return 0;
}

static int fill_vgic_v3(struct discovery *d)
{
	struct vgic_v3_state *gic = d->vm->vgic = calloc(1, sizeof(*gic));

	if (!gic)
		return -ENOMEM;
	gic->active = calloc(d->nr_recs, sizeof(*gic->active));
	if (!gic->active)
		return -ENOMEM;
	gic->fd = first_fd(d, PROC_FD_VGIC_V3);
	for (size_t i = 0; i < d->nr_recs; i++)
		if (d->recs[i].type == KVM_REC_ACTIVE && d->recs[i].fd == d->vm_rec->fd)
			gic->active[gic->nr_active++] = (struct vgic_active){
				.intid = d->recs[i].active.intid,
				.vcpu_idx = d->recs[i].active.vcpu_idx,
			};
	for (size_t i = 0; i < d->nr_recs; i++)
		if (d->recs[i].type == KVM_REC_UNROUTED && d->recs[i].fd == d->vm_rec->fd)
			fill_unrouted(gic, &d->recs[i]);
	return 0;
}

static int fill_vgic(struct discovery *d)
{
	if (has_vgic_v5(d))
		return fill_vgic_v5(d);
	if (d->vm_rec->vm.vgic_model == KVM_DEV_TYPE_ARM_VGIC_V2)
		return probe_vgic_v2(d->pid, recs_of(d), d->vm_rec->fd, first_fd(d, PROC_FD_VGIC_V2), d->vm);
	return fill_vgic_v3(d);
}

/*
 * KVM_DEV_ARM_ITS_SAVE_TABLES of Linux 6.12 follows the collection of an interrupt, which is NULL after a MAPC
 * with V=0 of the guest's: the host's kernel would not survive it in good health. Later ones save such an
 * interrupt as none.
 */
static int check_its(const struct discovery *d, const struct kvm_rec *rec)
{
	if (kernel_saves_orphans()) {
		if (rec->its.orphans)
			pr_warn("pid %d: fd %u: an ITS with %u interrupts of a collection that the guest has unmapped: "
				"KVM does not save them; they reach no vCPU as they are\n",
				d->pid, rec->fd, rec->its.orphans);
		return 0;
	}
	if (!rec->its.orphans && !rec->its.unread)
		return 0;
	pr_err("pid %d: fd %u: an ITS with %s: " REFUSAL " on this kernel, which would crash on saving it: let the "
	       "guest unmap the devices that have them (MAPD), or use Linux 7.2\n",
	       d->pid, rec->fd,
	       rec->its.orphans ? "interrupts of a collection that the guest has unmapped"
				: "more interrupts than can be looked at");
	return -ENOTSUP;
}

static int fill_itses(struct discovery *d)
{
	struct vm_state *vm = d->vm;

	vm->itses = calloc(count_itses(d) + 1, sizeof(*vm->itses));
	d->found->itses = calloc(count_itses(d) + 1, sizeof(*d->found->itses));
	if (!vm->itses || !d->found->itses)
		return -ENOMEM;
	for (size_t i = 0; i < d->nr_recs; i++) {
		int ret;

		if (!is_first_of_its(d, &d->recs[i]))
			continue;
		ret = check_its(d, &d->recs[i]);
		if (ret)
			return ret;
		d->found->itses[d->found->nr_itses++] = d->recs[i].its.object;
		vm->itses[vm->nr_itses++].fd = d->recs[i].fd;
	}
	return 0;
}

static int fill_pmu(struct discovery *d)
{
	if (!(d->vm_rec->vm.has >> KVM_HAS_PMU_FILTER & 1))
		return 0;
	return probe_pmu_filter(recs_of(d), d->vm_rec->fd, &d->vm->pmu_filter);
}

static int fill_boot_id(struct vm_state *vm)
{
	strcpy(vm->boot_id, sysctl_boot_id());
	if (vm->boot_id[0])
		return 0;
	pr_err("cannot read the boot id of this host\n");
	return -EIO;
}

static int fill_vm(struct discovery *d)
{
	struct vm_state *vm = d->vm = calloc(1, sizeof(*vm));
	int ret;

	if (!vm)
		return -ENOMEM;
	vm->vpid = d->scan.view.status.vpid;
	vm->page_size = sysconf(_SC_PAGESIZE);
	vm->fd = first_fd(d, PROC_FD_VM);
	vm->ipa_bits = 64 - (d->vm_rec->vm.vtcr & 0x3f); /* VTCR_EL2.T0SZ */
	vm->features = d->vm_rec->vm.features;
	vm->ptimer_offset = d->vm_rec->vm.poffset != 0;
	vm->counter_offset = d->vm_rec->vm.flags >> VM_COUNTER_OFFSET & 1;
	ret = probe_caps(d->pid, recs_of(d), d->vm_rec->fd, d->vm_rec->vm.flags, vm);
	if (!ret)
		ret = fill_boot_id(vm);
	if (!ret)
		ret = fill_vcpus(d);
	if (!ret)
		ret = fill_pmu(d);
	if (!ret)
		ret = fill_maps(d);
	if (!ret)
		ret = fill_slots(d);
	if (!ret)
		ret = probe_check_pvtime(d->pid, vm);
	if (!ret)
		ret = probe_check_exits(d->pid, recs_of(d), vm);
	if (!ret)
		ret = fill_vgic(d);
	if (!ret)
		ret = fill_itses(d);
	if (!ret)
		ret = probe_bindings(d->pid, d->vm_rec, d->eventfds, vm);
	return ret;
}

static const struct kvm_rec *vm_rec(const struct kvm_process *proc)
{
	for (size_t i = 0; i < proc->nr_recs; i++)
		if (proc->recs[i].type == KVM_REC_VM)
			return &proc->recs[i];
	return NULL;
}

static int examine(struct discovery *d)
{
	int ret;

	if (!d->vm_rec)
		return refuse(d->pid, "a mapping of a vCPU whose fd was closed", "have the VMM keep it open");
	ret = check_vm(d);
	return ret ?: fill_vm(d);
}

/* ---- all VMs of a tree ---- */

/* Appends an element of @size to an array: it, zeroed, or NULL. */
static void *grow(void *array, size_t *nr, size_t size)
{
	void **at = array, *more = reallocarray(*at, *nr + 1, size);

	if (!more)
		return NULL;
	*at = more;
	return memset((char *)more + (*nr)++ * size, 0, size);
}

static bool is_known(const struct discovered *all, unsigned long long kvm)
{
	for (size_t i = 0; i < all->nr_vms; i++)
		if (all->vms[i].kvm == kvm)
			return true;
	return false;
}

/* The process in whose mm the VM of @rec was made: KVM answers its ioctls, and no other's. */
static const struct kvm_process *find_owner(const struct kvm_tree *tree, const struct kvm_rec *rec)
{
	for (size_t p = 0; p < tree->nr_procs; p++)
		for (size_t i = 0; i < tree->procs[p].nr_recs; i++)
			if (tree->procs[p].recs[i].kvm == rec->kvm && tree->procs[p].recs[i].owned)
				return &tree->procs[p];
	return NULL;
}

static int examine_vm(const struct kvm_process *owner, struct discovered_vm *found,
		      struct eventfd_table *eventfds)
{
	struct kvm_process part;
	struct discovery d = { .pid = owner->pid, .found = found, .eventfds = eventfds };
	int ret = kvm_process_filter(owner, found->kvm, &part);

	d.scan = part.scan;
	d.recs = part.recs;
	d.nr_recs = part.nr_recs;
	d.vm_rec = ret ? NULL : vm_rec(&part);
	ret = ret ?: examine(&d);
	found->vm = d.vm;
	kvm_process_free(&part);
	return ret;
}

static int add_vm(const struct kvm_tree *tree, const struct kvm_process *proc, const struct kvm_rec *rec,
		  struct discovered *all)
{
	const struct kvm_process *owner = find_owner(tree, rec);
	struct discovered_vm *found;

	if (!owner)
		return refuse(proc->pid, "the VM belongs to another process, which handed its fd over",
			      "close the KVM fds where they are not used");
	if (all->nr_vms == DISCOVER_MAX_VMS)
		return refuse(proc->pid, "more than 64 VMs in a tree of processes", "dump parts of it");
	found = grow(&all->vms, &all->nr_vms, sizeof(*found));
	if (!found)
		return -ENOMEM;
	found->pid = owner->pid;
	found->kvm = rec->kvm;
	return examine_vm(owner, found, &all->eventfds);
}

static int add_vms_of(const struct kvm_tree *tree, const struct kvm_process *proc, struct discovered *all)
{
	int ret = 0;

	for (size_t i = 0; i < proc->nr_recs && !ret; i++)
		if (kvm_rec_is_handle(&proc->recs[i]) && !is_known(all, proc->recs[i].kvm))
			ret = add_vm(tree, proc, &proc->recs[i], all);
	return ret;
}

/* What @rec is a fd of, as images name it. */
static struct kvm_file object_of(const struct discovered_vm *found, const struct kvm_rec *rec)
{
	struct kvm_file file = { 0 };

	switch (rec->type) {
	case KVM_REC_VM_FD:
		file.kind = KVM_FILE_VM;
		break;
	case KVM_REC_VCPU:
		file.kind = KVM_FILE_VCPU;
		file.index = rec->vcpu.idx;
		break;
	case KVM_REC_DEVICE:
		file.kind = KVM_FILE_VGIC;
		break;
	case KVM_REC_ITS:
		file.kind = KVM_FILE_ITS;
		while (file.index < found->nr_itses && found->itses[file.index] != rec->its.object)
			file.index++;
		break;
	case KVM_REC_STATS:
		file.kind = rec->stats.of_vcpu ? KVM_FILE_VCPU_STATS : KVM_FILE_VM_STATS;
		file.index = rec->stats.idx;
		break;
	}
	return file;
}

int discover_uses_kvm(pid_t pid)
{
	struct proc_scan scan;
	int ret = proc_scan(pid, &scan);

	if (!ret)
		ret = scan.nr_fds || scan.nr_maps;
	proc_scan_free(&scan);
	return ret;
}

/* An object has one file, of which there may be many fds; but for statistics, of which each fd is made anew. */
static bool has_fd(const struct discovered_vm *found, const struct kvm_file *object)
{
	for (size_t i = 0; i < found->nr_fds; i++)
		if (found->fds[i].object.kind == object->kind && found->fds[i].object.index == object->index)
			return true;
	return false;
}

static int add_fd(struct discovered_vm *found, pid_t pid, const struct kvm_rec *rec)
{
	struct kvm_file object = object_of(found, rec);
	struct discovered_fd *more;

	if (rec->type != KVM_REC_STATS && has_fd(found, &object))
		return 0;
	more = grow(&found->fds, &found->nr_fds, sizeof(*more));
	if (!more)
		return -ENOMEM;
	*more = (struct discovered_fd){ .pid = pid, .fd = rec->fd, .object = object };
	return 0;
}

static int add_fds(const struct kvm_tree *tree, struct discovered *all)
{
	int ret = 0;

	for (size_t v = 0; v < all->nr_vms; v++)
		for (size_t p = 0; p < tree->nr_procs; p++)
			for (size_t i = 0; i < tree->procs[p].nr_recs && !ret; i++) {
				const struct kvm_rec *rec = &tree->procs[p].recs[i];

				if (rec->kvm == all->vms[v].kvm && rec->type != KVM_REC_MAP &&
				    kvm_rec_is_handle(rec))
					ret = add_fd(&all->vms[v], tree->procs[p].pid, rec);
			}
	return ret;
}

static size_t count_system_fds(const struct kvm_tree *tree)
{
	size_t nr = 0;

	for (size_t p = 0; p < tree->nr_procs; p++)
		for (size_t i = 0; i < tree->procs[p].scan.nr_fds; i++)
			nr += tree->procs[p].scan.fds[i].kind == PROC_FD_SYSTEM;
	return nr;
}

/* The images of a dump with more would be refused at the restore. How many files the fds of /dev/kvm are is not known. */
static int check_files(const struct kvm_tree *tree, const struct discovered *all)
{
	if (count_system_fds(tree) > VM_MAX_FILES)
		return refuse(tree->procs[0].pid, "more than 4096 fds of /dev/kvm in a tree of processes",
			      "have the VMM close some");
	for (size_t v = 0; v < all->nr_vms; v++)
		if (all->vms[v].nr_fds > VM_MAX_FILES)
			return refuse(all->vms[v].pid, "more than 4096 files of a VM, with those of its statistics",
				      "have the VMM close some");
	return 0;
}

/* A process has mappings of vCPUs of its own VMs only. */
static int check_maps(const struct kvm_tree *tree)
{
	for (size_t p = 0; p < tree->nr_procs; p++)
		for (size_t i = 0; i < tree->procs[p].nr_recs; i++) {
			const struct kvm_rec *rec = &tree->procs[p].recs[i];

			if (rec->type == KVM_REC_MAP && !rec->owned)
				return refuse(tree->procs[p].pid,
					      "a mapping of a vCPU of another process's VM",
					      "have the VMM set MADV_DONTFORK on kvm_run, or unmap it there");
		}
	return 0;
}

/* What is asked of the VM by its fd is asked in its own process; without any fd nobody can ask for it. */
static int check_vm_fds(const struct discovered *all)
{
	for (size_t v = 0; v < all->nr_vms; v++)
		for (size_t i = 0; all->vms[v].vm->fd < 0 && i < all->vms[v].nr_fds; i++)
			if (all->vms[v].fds[i].object.kind == KVM_FILE_VM)
				return refuse(all->vms[v].pid,
					      "a VM whose fd another process has, and its own has not",
					      "have the VMM keep it open in both, or close it in both");
	return 0;
}

#define UFFD_ADVICE "end the migration or snapshot that uses it"

/*
 * CRIU's parasite has a socket and CRIU's log, and opens /proc and a file of it. Where it cannot, CRIU takes it
 * out in a way that ends the process (seen with 4.1.1): that must not come to pass.
 */
#define PARASITE_FDS 4

static int check_free_fds(const struct kvm_process *proc)
{
	uint64_t used = 0;

	while (used < proc->scan.nr_open && (uint64_t)proc->scan.open[used] < proc->scan.fd_limit)
		used++;
	if (proc->scan.fd_limit - used >= PARASITE_FDS)
		return 0;
	pr_err("pid %d: %llu more fds allowed by its RLIMIT_NOFILE of %llu, of the %d that CRIU needs in it: " REFUSAL
	       ": raise the limit: prlimit --pid %d --nofile=%llu\n",
	       proc->pid, (unsigned long long)(proc->scan.fd_limit - used),
	       (unsigned long long)proc->scan.fd_limit, PARASITE_FDS, proc->pid,
	       (unsigned long long)proc->scan.fd_limit + PARASITE_FDS);
	return -ENOTSUP;
}

/* Met later, it ends criu and not the dump, and the VMM is left with vCPUs that do not run. */
static int check_text(const struct kvm_process *proc)
{
	if (!proc->scan.barred_text)
		return 0;
	pr_err("pid %d: mapping %#llx: its first executable mapping is shared and not writable, and CRIU cannot put code there: " REFUSAL
	       ": load the program from a file, or map that code privately\n",
	       proc->pid, (unsigned long long)proc->scan.barred_text);
	return -ENOTSUP;
}

/* The dump would be one that cannot be restored. */
static int check_highest_fd(const struct kvm_process *proc)
{
	int highest = park_highest(open_limit());

	if (proc_max_fd(&proc->scan) <= highest)
		return 0;
	pr_err("pid %d: fd %d: CRIU restores none above %d, with fs.nr_open as it is: " REFUSAL
	       ": use lower numbers, or raise fs.nr_open and remove /run/criu.kdat, where CRIU notes it\n",
	       proc->pid, proc_max_fd(&proc->scan), highest);
	return -ENOTSUP;
}

static bool has_userfaultfd(const struct kvm_rec *recs, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (recs[i].type == KVM_REC_UFFD)
			return true;
	return false;
}

/* Whether the records say all there is to know of @proc's mappings of vCPUs, which get their flags, and nothing that is refused. */
static bool has_usual_maps(struct kvm_process *proc)
{
	for (size_t i = 0; i < proc->scan.nr_maps; i++) {
		struct proc_map *map = &proc->scan.maps[i];
		const struct kvm_rec *rec = kvm_rec_of_map(proc, map->start);

		if (!rec || !probe_map_flags(rec->map.flags, &map->flags))
			return false;
	}
	return true;
}

/*
 * Of what is not usual /proc has the name. It is not read for the others: for each the kernel walks the page tables of all of
 * the process, guest memory too.
 */
static int scan_map_flags(struct kvm_process *proc)
{
	struct kvm_rec *recs = NULL;
	size_t nr = 0;
	bool usual;
	int ret;

	if (kvm_process_has_kvm(proc)) {
		usual = !has_userfaultfd(proc->recs, proc->nr_recs) && has_usual_maps(proc);
	} else {
		ret = kernel_probe_maps(proc->pid, &recs, &nr);
		if (ret)
			return ret;
		usual = !has_userfaultfd(recs, nr);
		free(recs);
	}
	return usual ? 0 : proc_scan_map_flags(proc->pid, &proc->scan);
}

/* What acts on guest memory beside KVM and the VMM, and has state of its own. */
static int check_others(struct kvm_process *proc)
{
	int ret = scan_map_flags(proc);

	if (ret && ret != -ESRCH) /* a zombie has no memory */
		return ret;
	if (proc->scan.userfaultfd >= 0)
		return refuse(proc->pid, "a userfaultfd: KVM would wait for its handler, which stands still",
			      UFFD_ADVICE);
	if (proc->scan.uffd_area) {
		pr_err("pid %d: mapping %#llx: memory of a userfaultfd that another process holds: " REFUSAL
		       ": " UFFD_ADVICE "\n",
		       proc->pid, (unsigned long long)proc->scan.uffd_area);
		return -ENOTSUP;
	}
	if (proc->scan.device[0]) {
		pr_err("pid %d: %s: a device that reaches guest memory by itself: " REFUSAL
		       ": unplug it, or have the VMM serve it (QEMU: vhost=off)\n",
		       proc->pid, proc->scan.device);
		return -ENOTSUP;
	}
	return 0;
}

static bool has_vms(const struct kvm_tree *tree)
{
	for (size_t p = 0; p < tree->nr_procs; p++)
		for (size_t i = 0; i < tree->procs[p].nr_recs; i++)
			if (tree->procs[p].recs[i].kvm)
				return true;
	return false;
}

/* Any process of the tree can share guest memory, hand a device over, be ended by CRIU, or fail the restore of all. */
static int check_processes(struct kvm_tree *tree)
{
	int ret = 0;

	if (!has_vms(tree))
		return 0;
	for (size_t p = 0; p < tree->nr_procs && !ret; p++) {
		ret = check_free_fds(&tree->procs[p]);
		ret = ret ?: check_text(&tree->procs[p]);
		ret = ret ?: check_highest_fd(&tree->procs[p]);
		ret = ret ?: check_others(&tree->procs[p]);
	}
	return ret;
}

static const struct kvm_process *process_of(const struct kvm_tree *tree, pid_t pid)
{
	for (size_t p = 0; p < tree->nr_procs; p++)
		if (tree->procs[p].pid == pid)
			return &tree->procs[p];
	return NULL;
}

/* They are in one file, whose size has a bound. */
static int check_dirty_logs(const struct discovered *all)
{
	uint64_t pages = 0;

	for (size_t v = 0; v < all->nr_vms; v++)
		for (size_t i = 0; i < all->vms[v].vm->nr_slots; i++) {
			const struct memslot *slot = &all->vms[v].vm->slots[i];

			if (slot->flags & KVM_MEM_LOG_DIRTY_PAGES)
				pages += slot->size / all->vms[v].vm->page_size;
			if (pages > DIRTY_LOG_MAX_PAGES)
				return refuse(all->vms[v].pid, "more than 268435456 pages with dirty logs in a tree of processes",
					      "have the VMM end logs (KVM_MEM_LOG_DIRTY_PAGES)");
		}
	return 0;
}

/* Of the VMs of one process: sessions one after the other, copies of kvm_run all together. */
static struct room room_of(const struct discovered *all, pid_t pid)
{
	struct room need = { 0 };
	uint64_t longest = 0, scratch = 0, most = 0, copies = 0;

	for (size_t v = 0; v < all->nr_vms; v++) {
		const struct vm_state *vm = all->vms[v].vm;

		if (all->vms[v].pid != pid)
			continue;
		longest = vm_room(vm) > longest ? vm_room(vm) : longest;
		scratch = vm_scratch(vm) > scratch ? vm_scratch(vm) : scratch;
		most = vm->nr_vcpus > most ? vm->nr_vcpus : most;
		for (size_t i = 0; i < vm->nr_vcpus; i++)
			for (size_t m = 0; m < vm->vcpus[i].nr_maps; m++) {
				copies += vm->vcpus[i].maps[m].size;
				need.mappings++;
			}
	}
	need.data = scratch + 2 * copies; /* in the room, then where they belong */
	need.space = longest + scratch + need.data;
	need.mappings += TASK_REMOTE_MAPS + most;
	return need;
}

static int check_room(const struct kvm_tree *tree, const struct discovered *all)
{
	int ret = 0;

	for (size_t v = 0; v < all->nr_vms && !ret; v++) {
		const pid_t pid = all->vms[v].pid;
		struct room need = room_of(all, pid);

		ret = room_check(pid, &process_of(tree, pid)->scan.view, &need);
	}
	return ret;
}

/* Each VM of a process has numbers of its own there, behind those of the ones before it. */
static int place_parked(const struct kvm_tree *tree, struct discovered *all)
{
	for (size_t v = 0; v < all->nr_vms; v++) {
		const pid_t pid = all->vms[v].pid;
		uint32_t need = 0, before = 0;
		int base;

		for (size_t o = 0; o < all->nr_vms; o++) {
			if (all->vms[o].pid != pid)
				continue;
			need += vm_nr_parked(all->vms[o].vm);
			before += o < v ? vm_nr_parked(all->vms[o].vm) : 0;
		}
		base = park_base(&process_of(tree, pid)->scan, need, open_limit());
		if (base < 0)
			return refuse(pid, "no room between its file descriptors for those of a restore",
				      "use fewer of them, or lower numbers");
		all->vms[v].vm->park_base = base + before;
	}
	return 0;
}

int discover_vms(struct kvm_tree *tree, struct discovered *all)
{
	int ret = check_processes(tree);

	for (size_t p = 0; p < tree->nr_procs && !ret; p++)
		ret = add_vms_of(tree, &tree->procs[p], all);
	eventfd_table_free(&all->eventfds);
	ret = ret ?: check_maps(tree);
	ret = ret ?: add_fds(tree, all);
	ret = ret ?: check_files(tree, all);
	ret = ret ?: check_vm_fds(all);
	ret = ret ?: check_dirty_logs(all);
	ret = ret ?: check_room(tree, all);
	ret = ret ?: probe_in_flight(tree, all);
	return ret ?: place_parked(tree, all);
}

/* For those who are to do something in the processes of VMs. */
static int keep_views(struct kvm_tree *tree, struct discovered *all)
{
	all->views = calloc(tree->nr_procs + 1, sizeof(*all->views));
	if (!all->views)
		return -ENOMEM;
	all->nr_views = tree->nr_procs;
	for (size_t p = 0; p < tree->nr_procs; p++) {
		all->views[p] = tree->procs[p].scan.view;
		tree->procs[p].scan.view = (struct proc_view){ 0 };
	}
	for (size_t v = 0; v < all->nr_vms; v++)
		all->vms[v].seen = &all->views[process_of(tree, all->vms[v].pid) - tree->procs];
	return 0;
}

int discover(pid_t root, struct discovered *all)
{
	struct kvm_tree tree;
	int ret;

	*all = (struct discovered){ 0 };
	ret = kvm_tree_scan(root, check_fds, &tree);
	ret = ret ?: discover_vms(&tree, all);
	ret = ret ?: keep_views(&tree, all);
	for (size_t p = 0; p < tree.nr_procs; p++)
		all->uses_kvm |= kvm_process_has_kvm(&tree.procs[p]);
	all->pids = tree.pids;
	all->nr_pids = tree.nr_pids;
	tree.pids = NULL;
	kvm_tree_free(&tree);
	return ret;
}

void discovered_free(struct discovered *all)
{
	for (size_t v = 0; v < all->nr_vms; v++) {
		vm_state_free(all->vms[v].vm);
		free(all->vms[v].fds);
		free(all->vms[v].itses);
	}
	for (size_t i = 0; i < all->nr_views; i++)
		proc_view_free(&all->views[i]);
	free(all->views);
	free(all->vms);
	free(all->pids);
	*all = (struct discovered){ 0 };
}
