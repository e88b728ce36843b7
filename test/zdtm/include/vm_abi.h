/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the test VMM and its guest agree on: the memory map, the device
 * registers, and the blocks of counters both keep. The runner reads the
 * counters from outside through /proc/PID/mem, so every field is a u64 and
 * the blocks live at fixed addresses of the VMM.
 */
#ifndef VM_ABI_H
#define VM_ABI_H

#define VM_MAX_VCPUS	8
#define VM_NR_SOURCES	4
#define VM_NR_IRQS	128

/* Guest physical memory. One 1 GiB stage 1 block covers all RAM. */
#define VM_GICD_BASE	0x08000000
#define VM_GICC_BASE	0x08010000	/* of a GICv2: CPU interface, two pages */
#define VM_GICR_BASE	0x080a0000
#define VM_GICR_BASE2	0x08800000	/* the second region, when there are two */
#define VM_GICR_SIZE	0x20000
#define VM_DEV_BASE	0x09000000	/* one page of registers per vCPU */
#define VM_DEV_SIZE	0x1000
#define VM_SRC_BASE	0x09100000	/* registers of the interrupt sources */
#define VM_SRC_SIZE	0x20
#define VM_CODE_BASE	0x40000000	/* anonymous, MAP_SHARED */
#define VM_CODE_SIZE	0x400000
#define VM_MAIL_BASE	0x50000000	/* memfd, MAP_SHARED */
#define VM_MAIL_SIZE	0x200000
#define VM_STATS_BASE	0x60000000	/* anonymous, MAP_PRIVATE */
#define VM_STATS_SIZE	0x200000

/*
 * With ITSes only. The memory holds what the VMM and the guest both count of each LPI, and then what
 * is the GIC's: LPI properties, pending tables (one per vCPU), and the tables of each ITS.
 */
#define VM_NR_ITSES	2
#define VM_ITS_BASE	0x08c00000
#define VM_ITS_SIZE	0x20000
#define VM_LPI_BASE	0x70000000	/* anonymous, MAP_PRIVATE: struct lpi_record of each LPI */
#define VM_LPI_SIZE	0x500000
#define VM_LPI_AREA	(VM_LPI_BASE + 0x40000)	/* struct lpi_area */
#define VM_LPI_PROP	(VM_LPI_BASE + 0x50000)
#define VM_LPI_PEND	(VM_LPI_BASE + 0x80000)
#define VM_ITS_TABLES	(VM_LPI_BASE + 0x100000)
#define VM_ITS_TABLES_SIZE	0x200000
#define VM_FIRST_LPI	8192		/* the architecture's */
#define VM_NR_EVENTS	32		/* of a device, at most */
#define VM_MAX_DEVICES	66
#define VM_MAX_LPIS	(VM_MAX_DEVICES * VM_NR_EVENTS)

/* Where the VMM maps its own counters and the guest's. */
#define VMM_STATS_ADDR		0x5a0000000000
#define VMM_STATS_SPAN		0x10000
#define VMM_GUEST_STATS_ADDR	0x5a0000100000
#define VMM_STATS_MAGIC		0x736d6d762d6d766b	/* "kvm-vmms" */
#define VMM_STATS_VERSION	2

/*
 * Registers of a vCPU's device page. A sequence register exists in each
 * access width; the four share one sequence number, cut to the width.
 */
#define DEV_WSEQ8	0x00
#define DEV_WSEQ4	0x08
#define DEV_WSEQ2	0x0c
#define DEV_WSEQ1	0x0e
#define DEV_RSEQ8	0x10
#define DEV_RSEQ4	0x18
#define DEV_RSEQ2	0x1c
#define DEV_RSEQ1	0x1e
#define DEV_ERR_WHAT	0x20
#define DEV_ERR_GOT	0x28
#define DEV_ERR_WANT	0x30
#define DEV_ERR_KIND	0x38	/* writing it files the report */
#define DEV_RSEQ_HOLD	0x40	/* as RSEQ8, read while all registers are live */

/* Registers of an interrupt source. */
#define SRC_SEQ		0x00	/* read: number of the interrupt that is up */
#define SRC_CLEAR	0x08	/* write: take a level line down */
#define SRC_DONE	0x10	/* write: deactivated, the next one may come */

/* Not KVM's default: it must be told at a restore too. */
#define VM_INTID_VTIMER	21

/* Interrupts that stay as they are for ever: disabled, and pending or active. */
#define VM_PPI_PENDING	22
#define VM_PPI_ACTIVE	23
#define VM_SPI_PENDING	70
#define VM_SPI_ACTIVE	71
#define VM_SPI_GROUP0	72

#define GUEST_VERSION	1

#ifndef __ASSEMBLER__

#include <stdint.h>

/* What went wrong, the kinds the issue names first. */
enum finding {
	FOUND_LOST,
	FOUND_DOUBLED,
	FOUND_OUT_OF_ORDER,
	FOUND_CORRUPT,
	FOUND_UNEXPECTED,
	NR_FINDINGS
};

/* What it went wrong with. */
enum subject {
	SUBJ_TIMER,
	SUBJ_SGI,
	SUBJ_EDGE,
	SUBJ_LEVEL,
	SUBJ_ROUTE,
	SUBJ_MMIO_READ,
	SUBJ_MMIO_WRITE,
	SUBJ_MEMORY,
	SUBJ_GPR,
	SUBJ_FP,
	SUBJ_SYSREG,
	SUBJ_GIC,
	SUBJ_CLOCK,
	SUBJ_INTERRUPT,
	SUBJ_EXCEPTION,
	SUBJ_LPI,		/* sent by the guest: INT */
	SUBJ_MSI,		/* an LPI too, sent by the VMM: KVM_SIGNAL_MSI */
	SUBJ_LPI_ROUTE,
	SUBJ_ITS,
	SUBJ_VMM,		/* the VMM itself: its ioctls, exits and memory */
	NR_SUBJECTS
};

/* Faults a test can ask for, to prove that the checks can fail. */
enum inject {
	INJECT_NONE,
	INJECT_LOST_EDGE,
	INJECT_DOUBLE_EDGE,
	INJECT_LOST_LEVEL,
	INJECT_DOUBLE_LEVEL,
	INJECT_LOST_SGI,
	INJECT_DOUBLE_SGI,
	INJECT_LOST_TIMER,
	INJECT_DOUBLE_TIMER,
	INJECT_LOST_READ,
	INJECT_DOUBLE_READ,
	INJECT_LOST_WRITE,
	INJECT_DOUBLE_WRITE,
	INJECT_WRONG_ROUTE,
	INJECT_MEMORY,
	INJECT_GPR,
	INJECT_FP,
	INJECT_SYSREG,
	INJECT_GIC,
	INJECT_CLOCK,
	INJECT_EXCEPTION,
	INJECT_SILENT,
	INJECT_LOST_MSI,
	INJECT_DOUBLE_MSI,
	INJECT_LOST_LPI,
	INJECT_DOUBLE_LPI,
	INJECT_LPI_DISABLED,
	INJECT_LPI_CLEARED,
	INJECT_LPI_DISCARDED,
	INJECT_LPI_ROUTE,
	INJECT_LPI_UNEXPECTED,
	INJECT_LPI_SILENT,
	INJECT_ITS,
	NR_INJECTS
};

/* The first words of the guest image. */
struct guest_header {
	uint32_t branch;
	uint32_t version;
	uint64_t wfi_pc;
};

/* At VM_MAIL_BASE, written by the VMM. */
struct guest_params {
	uint64_t nr_vcpus;
	uint64_t mpidr[VM_MAX_VCPUS];
	uint64_t gicr_base[2];
	uint64_t gicr_count[2];
	uint64_t source_intid[VM_NR_SOURCES];
	uint64_t source_level[VM_NR_SOURCES];
	uint64_t limit;		/* counter ticks after which an event is lost */
	uint64_t inject;
	uint64_t drain;
	uint64_t nr_itses;
};

/* What an ITS translates. @unmapped: it was mapped once, and is no more. */
struct lpi_device {
	uint64_t its;
	uint64_t id;
	uint64_t nr_events;
	uint64_t event_step;	/* event n is n times that */
	uint64_t unmapped;
};

/* Who may send, and what may be taken. */
enum lpi_state {
	LPI_ON,
	LPI_DISABLED,		/* may be sent, must not be taken */
	LPI_UNMAPPED,		/* a KVM_SIGNAL_MSI must be answered with 0 */
};

enum lpi_holder {
	LPI_FREE,
	LPI_HELD_BY_VMM,	/* while it sends */
	LPI_HELD_BY_GUEST,	/* while it changes the LPI's state */
};

/*
 * At VM_LPI_BASE: LPI n is event n % VM_NR_EVENTS of device n / VM_NR_EVENTS. The VMM sends the even
 * ones, the guest the odd ones. It is idle, and may be sent, when sent == taken + cleared.
 */
struct lpi_record {
	uint32_t holder;	/* compare and swap */
	uint32_t state;
	uint64_t sent;		/* the sender's, who counts first and then sends */
	uint64_t sent_at;	/* lpi_area.moves when it was sent */
	uint64_t taken;		/* the interrupt handler's */
	uint64_t cleared;	/* this and the rest: that of the vCPU which tends the LPI */
	uint64_t collection;
	uint64_t moved_at;	/* lpi_area.moves at the end of its last move */
	uint64_t patience;	/* of the sending vCPU, see patience_of() */
};

/* At VM_LPI_AREA. The VMM writes it but for the first two. */
struct lpi_area {
	uint64_t moves[VM_NR_ITSES];	/* begun and ended: odd while something is moved */
	uint64_t ready;			/* the VMM may send */
	uint64_t intid_step;		/* LPI n has INTID VM_FIRST_LPI + n times that */
	uint64_t two_level[VM_NR_ITSES];	/* of which kind the device table is to be */
	uint64_t nr_devices;
	struct lpi_device device[VM_MAX_DEVICES];
};

/* At VM_STATS_BASE, one per vCPU, written by that vCPU only. */
struct guest_cpu_stats {
	uint64_t loops;
	uint64_t ticks_armed;
	uint64_t ticks_taken;
	uint64_t sgi_sent;
	uint64_t sgi_taken;
	uint64_t edge_taken;
	uint64_t level_taken;
	uint64_t rerouted;
	uint64_t reads;		/* of sequence registers, in the main loop */
	uint64_t writes;
	uint64_t irq_reads;	/* of source registers, in the handler */
	uint64_t irq_writes;
	uint64_t wfi;
	uint64_t cntvct;
	uint64_t found[NR_FINDINGS];
	uint64_t naps;		/* CPU_OFF and CPU_ON again */
	uint64_t finished;
	uint64_t lpi_sent;	/* by INT, as all that is named lpi here */
	uint64_t lpi_taken;
	uint64_t lpi_cleared;
	uint64_t msi_taken;
	uint64_t msi_cleared;
	uint64_t lpis_enabled;	/* pending and disabled before: these and the rest of both kinds */
	uint64_t lpis_discarded;
	uint64_t lpis_moved;
	uint64_t collections_moved;
};

struct guest_stats {
	struct guest_cpu_stats cpu[VM_MAX_VCPUS];
};

struct vmm_vcpu_stats {
	uint64_t id;
	uint64_t mpidr;
	uint64_t reads;
	uint64_t writes;
	uint64_t src_reads;
	uint64_t src_writes;
	uint64_t interrupted;	/* KVM_RUN ended with EINTR */
};

struct vmm_source_stats {
	uint64_t intid;
	uint64_t level;
	uint64_t sent;
	uint64_t done;
};

/* At VMM_STATS_ADDR in the VMM. */
struct vmm_stats {
	uint64_t magic;
	uint64_t version;
	uint64_t size;		/* of this block, and of one vCPU's in the guest's */
	uint64_t guest_cpu_size;
	uint64_t nr_vcpus;
	uint64_t nr_sources;
	uint64_t wfi_pc;
	uint64_t cntfrq;
	uint64_t found[NR_SUBJECTS][NR_FINDINGS];
	struct vmm_source_stats source[VM_NR_SOURCES];
	struct vmm_vcpu_stats vcpu[VM_MAX_VCPUS];
	uint64_t nr_itses;
	uint64_t msi_sent;
	uint64_t msi_refused;	/* by the ITS, as the LPI was unmapped */
	char error[256];	/* the first finding, in words */
};

#endif /* __ASSEMBLER__ */
#endif /* VM_ABI_H */
