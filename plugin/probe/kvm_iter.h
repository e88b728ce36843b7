/* SPDX-License-Identifier: GPL-2.0-only */
/* What the BPF iterator tells user space: one record of fixed size per object it meets. */
#ifndef KVM_VGIC_KVM_ITER_H
#define KVM_VGIC_KVM_ITER_H

enum kvm_rec_type {
	KVM_REC_VM = 1,	  /* of the first fd of a VM's that is met, whatever it is of */
	KVM_REC_SLOT,	  /* of the same fd, after the KVM_REC_VM */
	KVM_REC_ACTIVE,	  /* likewise: an SPI active on a vCPU that it is not routed to any more */
	KVM_REC_UNROUTED, /* likewise: of SPIs, those whose IROUTER was never written */
	KVM_REC_PMU,	  /* likewise: 64 events of the PMU event filter */
	KVM_REC_VCPU,	  /* of a vCPU fd */
	KVM_REC_DEBUG,	  /* likewise: some of the registers that its debugger has given KVM */
	KVM_REC_DEVICE,	  /* of the fd of a GIC */
	KVM_REC_ITS,	  /* of the fd of an ITS */
	KVM_REC_LINES,	  /* as of a KVM_REC_VM: 32 SPIs of a GICv2; of a vCPU fd: its SGIs and PPIs */
	KVM_REC_CAPS,	  /* as of a KVM_REC_VM: what capabilities were given */
	KVM_REC_SMCCC,	  /* likewise: a range of the SMCCC filter */
	KVM_REC_VM_FD,	  /* of each VM fd */
	KVM_REC_STATS,	  /* of a statistics fd */
	KVM_REC_MAP,	  /* of a mapping of a vCPU, without a fd */
	KVM_REC_OPEN,	  /* of 64 fds from this one on: which of them are open */
	KVM_REC_CHILDLESS, /* of no fd: none of the process's threads has a child */
	KVM_REC_UFFD,	  /* of memory that a userfaultfd is registered for, without a fd, of no VM */
	/* What a VM has bound, as of a KVM_REC_VM; told by windows (kvm_binding_iter.bpf.c) */
	KVM_REC_IRQFD,
	KVM_REC_IOEVENTFD,
	KVM_REC_ZONE,	 /* of coalesced MMIO */
	KVM_REC_ROUTE,	 /* of a GSI */
	KVM_REC_EVENTFD, /* of a fd that is an eventfd, in any process */
	KVM_REC_TASK,	 /* of no fd: a thread of a process */
	KVM_REC_WORK,	 /* of no fd: what a kernel worker is doing */
	KVM_REC_HOLDER,	 /* of a fd or a mapping, in any process, of an open file of a VM */
};

/* VMs of one process: a dump carries no more of a whole tree. */
#define KVM_MAX_VMS 64

/* What one pass of the iterator tells has to fit into 32 KiB: a further one goes on behind so many records. */
#define KVM_RECORDS_IN_PASS 320

/* How many of the things that a VM has bound one pass tells: so many records fit. */
#define KVM_BINDINGS_PER_PASS 256

/* State that has no getter: a bit each in kvm_rec.vm.has. Most of it is not carried. */
enum kvm_has {
	KVM_HAS_IRQFD,
	KVM_HAS_IOEVENTFD,
	KVM_HAS_COALESCED_MMIO,
	KVM_HAS_ROUTING,
	KVM_HAS_DIRTY_RING,
	KVM_HAS_PMU_FILTER,
	KVM_HAS_PROTECTED,
	KVM_HAS_DEAD,
};

struct kvm_rec {
	unsigned short type;
	unsigned short owned; /* of records of a fd or a mapping: the VM is of the process's own mm */
	unsigned int fd;
	unsigned long long kvm; /* address of struct kvm: tells VMs apart, nothing else */
	union {
		struct {
			unsigned long long vtcr, flags, features;
			unsigned long long poffset;
			unsigned int has;
			unsigned int nr_vcpus, nr_devices, vgic_model;
			unsigned char vgic_in_kernel, vgic_initialized, pad[6];
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
			unsigned int first;   /* INTID; the others are a bit for each from it on */
			unsigned int level, latch;
			unsigned int foreign; /* SGIs that are active, and were sent by another vCPU than 0 */
		} lines;
		struct {
			unsigned long long guest_debug, steal_base, sigset;
			unsigned long long run_head;  /* of kvm_run, the first eight bytes */
			unsigned long long mmio_addr; /* likewise, as the next two */
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
		struct {
			unsigned long long manual_dirty_log, split_chunk;
			unsigned int override_halt_poll, halt_poll_ns;
			unsigned int smccc_filter; /* there is one */
			unsigned int smccc_unread; /* and not all of it could be read */
		} caps;
		struct {
			unsigned int first, last, action;
		} smccc;
		/* An eventfd is named by the address of its struct eventfd_ctx. */
		struct {
			unsigned long long eventfd, resamplefd; /* resamplefd: 0 without */
			unsigned long long work;		/* address: its injection */
			unsigned int gsi;
			unsigned int pending; /* the work is queued */
		} irqfd;
		struct {
			unsigned long long eventfd, addr, datamatch;
			unsigned int length;
			unsigned char wildcard, pio, ccw, fast; /* fast: the second entry of a length of 0 */
		} ioeventfd;
		struct {
			unsigned long long addr;
			unsigned int size, pio;
		} zone;
		struct {
			unsigned long long address; /* of an MSI */
			unsigned int gsi, type, irqchip, pin, data, flags, devid;
			unsigned int acked; /* of the GSIs with this pin, the one that its end is told to */
		} route;
		struct {
			unsigned long long eventfd;
			unsigned long long files; /* address of struct files_struct: tells fd tables apart */
			unsigned long long refs;  /* to the open file, without the iterator's own */
			unsigned int users;	  /* references to the eventfd: one by the file, one by each binding */
			unsigned int flags;	  /* EFD_* */
			unsigned int pid;
			unsigned int tasks; /* that have this table of fds */
		} eventfd;
		struct {
			unsigned long long files; /* as of an eventfd; 0: it has ended */
		} task;
		struct {
			unsigned long long work; /* address */
		} work;
		struct {
			unsigned long long file; /* address: tells open files apart */
			unsigned long long refs; /* to it, without the iterator's own */
			unsigned long long in;	 /* address of the struct files_struct or mm_struct */
			unsigned long long at;	 /* fd, or address of the mapping */
			unsigned int pid;
			unsigned int is_map;
		} holder;
		struct {
			unsigned int of_vcpu, idx; /* the vCPU's, where it is of one */
		} stats;
		unsigned long long open; /* a bit for each */
		struct {
			unsigned long long start;
			unsigned long long flags; /* VM_* of linux/mm.h */
			unsigned int idx, pad; /* of the vCPU */
		} map;
	};
};

#endif
