/* SPDX-License-Identifier: GPL-2.0-only */
/* What the BPF iterator tells user space: one record of fixed size per object it meets. */
#ifndef KVM_VGIC_KVM_ITER_H
#define KVM_VGIC_KVM_ITER_H

enum kvm_rec_type {
	KVM_REC_VM = 1,	  /* of a VM fd */
	KVM_REC_SLOT,	  /* of a VM fd, after its KVM_REC_VM */
	KVM_REC_ACTIVE,	  /* likewise: an SPI active on a vCPU that its IROUTER does not name */
	KVM_REC_UNROUTED, /* likewise: of SPIs, those whose IROUTER was never written */
	KVM_REC_PMU,	  /* likewise: 64 events of the PMU event filter */
	KVM_REC_VCPU,	  /* of a vCPU fd */
	KVM_REC_DEBUG,	  /* likewise: some of the registers that its debugger has given KVM */
	KVM_REC_DEVICE,	  /* of the fd of a GICv3 */
	KVM_REC_ITS,	  /* of the fd of an ITS */
};

/* State that has no getter: a bit each in kvm_rec.vm.has. Most of it is not carried. */
enum kvm_has {
	KVM_HAS_IRQFD,
	KVM_HAS_IOEVENTFD,
	KVM_HAS_COALESCED_MMIO,
	KVM_HAS_ROUTING,
	KVM_HAS_DIRTY_RING,
	KVM_HAS_MANUAL_DIRTY_LOG,
	KVM_HAS_HALT_POLL,
	KVM_HAS_PMU_FILTER,
	KVM_HAS_SMCCC_FILTER,
	KVM_HAS_PROTECTED,
	KVM_HAS_DEAD,
	KVM_HAS_SPLIT_CHUNK,
};

struct kvm_rec {
	unsigned int type;
	unsigned int fd;
	unsigned long long kvm; /* address of struct kvm: tells VMs apart, nothing else */
	union {
		struct {
			unsigned long long vtcr, flags, features;
			unsigned long long poffset;
			unsigned int has;
			unsigned int nr_vcpus, nr_devices, vgic_model;
			unsigned char same_mm, vgic_in_kernel, vgic_initialized, pad[5];
		} vm;
		struct {
			unsigned long long gpa, npages, hva;
			unsigned int flags, id;
		} slot;
		struct {
			unsigned int intid, vcpu_idx;
		} active;
		struct {
			/* 32 SPIs: one record for each would not fit into a pass. */
			unsigned int first, bits;
		} unrouted;
		struct {
			unsigned long long guest_debug, steal_base, sigset;
			unsigned long long mmio_addr; /* of kvm_run, as the next two */
			unsigned int exit_reason, mmio_is_write;
			unsigned int idx, id;
			unsigned int mmio_needed, iflags, sflags, sigset_active;
			unsigned int pmu_created;
			unsigned int vtid; /* 0: the thread that last ran it is none of this process */
		} vcpu;
		struct {
			unsigned int first; /* of the 64 u64 of struct kvm_guest_debug_arch */
			unsigned int pad;
			unsigned long long values[4];
		} debug;
		struct {
			/* Events that are not told have the last bit of those told before them, or 0. */
			unsigned int first, pad;
			unsigned long long allowed; /* a bit for each */
		} pmu;
		struct {
			unsigned long long object; /* address of struct vgic_its: tells ITSes apart */
			unsigned int orphans;	   /* interrupts whose collection the guest has unmapped */
			unsigned int unread;	   /* there are more interrupts than were looked at */
		} its;
	};
};

#endif
