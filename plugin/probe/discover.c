// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process's VM consists of, and whether all of it can be carried. Every
 * refusal is made here, before anything in the process has been changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "probe/discover.h"
#include "probe/kernel.h"
#include "probe/proc.h"
#include "probe/vcpu.h"

/* A fd of KVM's that the dump knows by name and cannot carry. */
static const struct {
	const char *name, *what, *advice;
} refused_fds[] = {
	{ "anon_inode:kvm-arm-vgic-v2", "a GICv2", "give the VM a GICv3" },
	{ "anon_inode:kvm-vm-stats", "a statistics fd", "have the VMM close it" },
	{ "anon_inode:kvm-vcpu-stats", "a statistics fd", "have the VMM close it" },
	{ "anon_inode:kvm-vfio", "an assigned device", "unplug it" },
	{ "anon_inode:[kvm-gmem]", "guest_memfd memory", "use memory of the VMM's own" },
	{ "anon_inode:kvm-", "a KVM fd", "have the VMM close it" },
};

/* State of a VM that has no getter: bit in kvm_rec.vm.has. */
static const struct {
	enum kvm_has bit;
	const char *what, *advice;
} refused_state[] = {
	{ KVM_HAS_DEAD, "the VM is dead (vm_dead): KVM answers EIO to everything", "end it" },
	{ KVM_HAS_PROTECTED, "a protected VM", "its state is closed to the host" },
	{ KVM_HAS_IRQFD, "irqfds", "have the VMM signal interrupts by KVM_IRQ_LINE" },
	{ KVM_HAS_IOEVENTFD, "ioeventfds",
	  "have the VMM serve its doorbells by exits (QEMU: ioeventfd=off)" },
	{ KVM_HAS_COALESCED_MMIO, "coalesced MMIO zones", "have the VMM unregister them" },
	{ KVM_HAS_ROUTING, "GSI routes of the VMM's own", "have the VMM keep the default routes" },
	{ KVM_HAS_DIRTY_RING, "a dirty ring", "use dirty bitmaps, or no dirty tracking" },
	{ KVM_HAS_MANUAL_DIRTY_LOG, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2", "have the VMM not enable it" },
	{ KVM_HAS_HALT_POLL, "KVM_CAP_HALT_POLL", "have the VMM not enable it" },
	{ KVM_HAS_SMCCC_FILTER, "an SMCCC filter", "have the VMM not set one" },
	{ KVM_HAS_SPLIT_CHUNK, "KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE", "have the VMM not enable it" },
};

/* Bits of kvm->arch.flags, the same in the kernels that kernel.c knows; NULL: a VM may have it. */
enum { NISV_TO_USER = 0, SYSTEM_SUSPEND = 4, VM_COUNTER_OFFSET = 5 };
static const char *const arch_flags[64] = {
	[NISV_TO_USER] = NULL,
	[1] = "KVM_CAP_ARM_MTE",
	[2] = NULL, /* HAS_RAN_ONCE */
	[3] = NULL, /* VCPU_FEATURES_CONFIGURED */
	[SYSTEM_SUSPEND] = NULL,
	[VM_COUNTER_OFFSET] = NULL,
	[6] = NULL, /* TIMER_PPIS_IMMUTABLE */
	[7] = NULL, /* ID_REGS_INITIALIZED */
	[8] = NULL, /* FGU_INITIALIZED */
	[9] = NULL, /* GUEST_HAS_SVE: a vCPU feature too */
	[10] = "KVM_CAP_ARM_WRITABLE_IMP_ID_REGS",
	[11] = "KVM_CAP_ARM_SEA_TO_USER",
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

struct discovery {
	pid_t pid;
	struct proc_scan scan;
	struct kvm_rec *recs;
	size_t nr_recs;
	const struct kvm_rec *vm_rec;
	struct vm_state *vm;
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

static int check_fds(const struct discovery *d)
{
	for (size_t i = 0; i < d->scan.nr_fds; i++) {
		const struct proc_fd *fd = &d->scan.fds[i];
		size_t r = 0;

		if (fd->kind != PROC_FD_OTHER)
			continue;
		while (r < sizeof(refused_fds) / sizeof(refused_fds[0]) - 1 &&
		       strncmp(fd->name, refused_fds[r].name, strlen(refused_fds[r].name)))
			r++;
		return refuse_fd(d->pid, fd, refused_fds[r].what, refused_fds[r].advice);
	}
	return 0;
}

static const struct kvm_rec *record_of(const struct discovery *d, enum kvm_rec_type type, int fd)
{
	for (size_t i = 0; i < d->nr_recs; i++)
		if (d->recs[i].type == type && (int)d->recs[i].fd == fd)
			return &d->recs[i];
	return NULL;
}

/* Each fd has its record, and all are of one VM, whose own fd is among them. */
static int match_fds(struct discovery *d)
{
	static const enum kvm_rec_type type[] = {
		[PROC_FD_VM] = KVM_REC_VM,
		[PROC_FD_VCPU] = KVM_REC_VCPU,
		[PROC_FD_VGIC_V3] = KVM_REC_DEVICE,
		[PROC_FD_VGIC_V5] = KVM_REC_DEVICE,
		[PROC_FD_ITS] = KVM_REC_ITS,
	};
	unsigned long long kvm = 0;

	for (size_t i = 0; i < d->scan.nr_fds; i++) {
		const struct proc_fd *fd = &d->scan.fds[i];
		const struct kvm_rec *rec;

		if (fd->kind == PROC_FD_SYSTEM || fd->kind == PROC_FD_OTHER)
			continue;
		rec = record_of(d, type[fd->kind], fd->fd);
		if (!rec) {
			pr_err("pid %d: fd %d (%s): the BPF iterator did not see it\n", d->pid, fd->fd,
			       fd->name);
			return -EIO;
		}
		if (kvm && rec->kvm != kvm)
			return refuse_fd(d->pid, fd, "a second VM in the process", "one VM in a process");
		kvm = rec->kvm;
		if (fd->kind == PROC_FD_VM && !d->vm_rec)
			d->vm_rec = rec;
	}
	if (!d->vm_rec)
		return refuse(d->pid,
			      kvm ? "a VM whose own fd was closed"
				  : "/dev/kvm or a vCPU mapping without a VM",
			      "keep the VM's fd open, and no KVM fd without a VM");
	return 0;
}

/* KVM_ARM_VCPU_PMU_V3_SET_PMU ties a VM to CPUs of one kind, and whether it was used is not to be seen. */
static int check_cpu_kinds(const struct discovery *d)
{
	size_t kinds = pmu_nr_cpu_kinds();

	if (kinds == 1 || !(d->vm_rec->vm.features >> KVM_ARM_VCPU_PMU_V3 & 1))
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

static int check_gic(const struct discovery *d)
{
	const struct kvm_rec *rec = d->vm_rec;

	if (has_vgic_v5(d))
		return 0;
	if (!rec->vm.vgic_in_kernel)
		return refuse(d->pid, "a VM without in-kernel interrupt controller", "give the VM a GICv3");
	if (rec->vm.vgic_model == KVM_DEV_TYPE_ARM_VGIC_V5)
		return refuse(d->pid, "a GICv5 whose device fd was closed", "have the VMM keep it open");
	if (rec->vm.vgic_model != KVM_DEV_TYPE_ARM_VGIC_V3)
		return refuse(d->pid,
			      rec->vm.vgic_model == KVM_DEV_TYPE_ARM_VGIC_V2 ? "a GICv2" : "another GIC",
			      "give the VM a GICv3");
	if (!count_fds(d, PROC_FD_VGIC_V3))
		return refuse(d->pid, "a GICv3 whose device fd was closed", "have the VMM keep it open");
	if (!rec->vm.vgic_initialized)
		return refuse(d->pid, "a GICv3 that was not initialised",
			      "dump it when the VM has been set up");
	return 0;
}

static int check_vm(const struct discovery *d)
{
	const struct kvm_rec *rec = d->vm_rec;
	int ret;

	if (!rec->vm.same_mm)
		return refuse(d->pid, "the VM belongs to another process, which handed its fd over",
			      "close the KVM fds where they are not used");
	for (size_t i = 0; i < sizeof(refused_state) / sizeof(refused_state[0]); i++)
		if (rec->vm.has >> refused_state[i].bit & 1)
			return refuse(d->pid, refused_state[i].what, refused_state[i].advice);
	ret = check_gic(d);
	if (ret)
		return ret;
	if (rec->vm.nr_devices != 1 + count_itses(d))
		return refuse(d->pid, "a device beside the GIC, with its fd closed",
			      "have the VMM keep it open, or not create it");
	/* Both have tables that KVM may write to guest memory. */
	if ((count_itses(d) || has_vgic_v5(d)) && d->scan.userfaultfd >= 0)
		return refuse(d->pid,
			      has_vgic_v5(d) ? "a GICv5, and a userfaultfd: KVM would wait for its handler, which stands still" :
					       "an ITS, and a userfaultfd: KVM would wait for its handler, which stands still",
			      "end the migration or snapshot that uses it");
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
	int ret = proc_scan_map_flags(d->pid, &d->scan);

	if (ret)
		return ret;
	for (size_t i = 0; i < d->scan.nr_maps; i++) {
		const struct proc_map *map = &d->scan.maps[i];
		struct vcpu_state *vcpu = vcpu_by_id(d->vm, map->vcpu_id);

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
		if (rec->slot.flags & KVM_MEM_LOG_DIRTY_PAGES)
			return refuse(d->pid, "a memslot under dirty logging",
				      "end the migration or snapshot that uses it");
		if (rec->slot.flags & ~KVM_MEM_READONLY)
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

static int gic_fd(const struct discovery *d, enum proc_fd_kind kind)
{
	int fd = -1;

	for (size_t i = 0; i < d->scan.nr_fds; i++)
		if (d->scan.fds[i].kind == kind)
			fd = d->scan.fds[i].fd;
	return fd;
}

static int fill_vgic_v5(struct discovery *d)
{
	d->vm->vgic_v5 = calloc(1, sizeof(*d->vm->vgic_v5));
	if (!d->vm->vgic_v5)
		return -ENOMEM;
	d->vm->vgic_v5->fd = gic_fd(d, PROC_FD_VGIC_V5);
	return 0;
}

static int fill_vgic(struct discovery *d)
{
	struct vgic_v3_state *gic = d->vm->vgic = calloc(1, sizeof(*gic));

	if (!gic)
		return -ENOMEM;
	gic->active = calloc(d->nr_recs, sizeof(*gic->active));
	if (!gic->active)
		return -ENOMEM;
	gic->fd = gic_fd(d, PROC_FD_VGIC_V3);
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
	if (!vm->itses)
		return -ENOMEM;
	for (size_t i = 0; i < d->nr_recs; i++) {
		int ret;

		if (!is_first_of_its(d, &d->recs[i]))
			continue;
		ret = check_its(d, &d->recs[i]);
		if (ret)
			return ret;
		vm->itses[vm->nr_itses++].fd = d->recs[i].fd;
	}
	return 0;
}

static uint32_t caps_of(uint64_t flags)
{
	return (flags >> NISV_TO_USER & 1 ? VM_CAP_NISV_TO_USER : 0) |
	       (flags >> SYSTEM_SUSPEND & 1 ? VM_CAP_SYSTEM_SUSPEND : 0);
}

static int fill_pmu(struct discovery *d)
{
	if (!(d->vm_rec->vm.has >> KVM_HAS_PMU_FILTER & 1))
		return 0;
	return probe_pmu_filter(recs_of(d), d->vm_rec->fd, &d->vm->pmu_filter);
}

static int fill_boot_id(struct vm_state *vm)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	int ret = -EIO;

	if (file) {
		ret = fscanf(file, "%36s", vm->boot_id) == 1 ? 0 : -EIO;
		fclose(file);
	}
	if (ret)
		pr_err("cannot read the boot id of this host\n");
	return ret;
}

/* Far above what the process has: CRIU's own fds go right after the highest, aligned, during a restore. */
static int park_base(int max_fd)
{
	int base = 4 * (max_fd + 256);

	return base < 4096 ? 4096 : base;
}

/* So that what is parked stays below fs.nr_open, 1048576 everywhere. */
#define MAX_FD 200000

static int fill_vm(struct discovery *d)
{
	struct vm_state *vm = d->vm = calloc(1, sizeof(*vm));
	int ret;

	if (!vm)
		return -ENOMEM;
	vm->vpid = d->scan.vpid;
	vm->page_size = sysconf(_SC_PAGESIZE);
	vm->fd = d->vm_rec->fd;
	vm->park_base = park_base(d->scan.max_fd);
	if (d->scan.max_fd > MAX_FD)
		return refuse(d->pid, "a file descriptor above 200000", "use lower numbers");
	vm->ipa_bits = 64 - (d->vm_rec->vm.vtcr & 0x3f); /* VTCR_EL2.T0SZ */
	vm->features = d->vm_rec->vm.features;
	vm->ptimer_offset = d->vm_rec->vm.poffset != 0;
	vm->counter_offset = d->vm_rec->vm.flags >> VM_COUNTER_OFFSET & 1;
	vm->caps = caps_of(d->vm_rec->vm.flags);
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
		ret = has_vgic_v5(d) ? fill_vgic_v5(d) : fill_vgic(d);
	if (!ret)
		ret = fill_itses(d);
	return ret;
}

static int examine(struct discovery *d)
{
	int ret;

#if !defined(__aarch64__) && !defined(KVM_VGIC_TEST)
	return refuse(d->pid, "a VM that is not an arm64 one", "dump on an arm64 host");
#endif
	ret = check_fds(d);
	if (!ret)
		ret = kernel_probe(d->pid, &d->recs, &d->nr_recs);
	if (!ret)
		ret = match_fds(d);
	if (!ret)
		ret = check_vm(d);
	if (!ret)
		ret = fill_vm(d);
	return ret;
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

int discover(pid_t pid, struct vm_state **vm)
{
	struct discovery d = { .pid = pid };
	int ret;

	*vm = NULL;
	ret = proc_scan(pid, &d.scan);
	if (!ret && (d.scan.nr_fds || d.scan.nr_maps))
		ret = examine(&d);
	if (ret)
		vm_state_free(d.vm);
	else
		*vm = d.vm;
	free(d.recs);
	proc_scan_free(&d.scan);
	return ret;
}
