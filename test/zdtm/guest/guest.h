/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest: every vCPU runs the same loop and checks everything it can see.
 * It is built without FP registers, so the FP patterns stay live through all
 * of it, handlers included.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stddef.h>
#include <stdint.h>
#include "vm_abi.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define NR_SAVED_SYSREGS	32
#define NR_SAVED_GIC		36
#define NR_COLLECTIONS		8
#define NR_ITS_REGS		8

struct cpu {
	u64 index;
	u64 rng;
	u64 stack_top;
	volatile struct guest_cpu_stats *stats;
	u64 dev;		/* this vCPU's device page */
	u64 gicr;		/* its redistributor */
	u64 eoimode;
	u64 rseq;
	u64 wseq;
	u64 last_count;
	u64 fp_seed;
	volatile u64 napping;	/* it goes off, vCPU 0 turns it on again */
	volatile u64 nap_until;
	volatile u64 armed;	/* a deadline is programmed and not yet taken */
	volatile u64 deadline;
	u64 running;		/* priority of the interrupt that is being handled */
	u32 iar;		/* with a GICv2: what it was acknowledged as */
	u64 patience;		/* see patience_of() */
	u64 patience_at;
	u64 injected;		/* the fault that was asked for has been made */
	u64 armed_at;		/* by patience_of() */
	u64 timer_reported;
	u64 sysreg[NR_SAVED_SYSREGS];
	u32 gic[NR_SAVED_GIC];
};

#define params	((volatile struct guest_params *)VM_MAIL_BASE)

#define STR_(x)		#x
#define STR(x)		STR_(x)
#define read_sysreg(reg)						\
({									\
	u64 __v;							\
	asm volatile("mrs %0, " STR(reg) : "=r"(__v) : : "memory");	\
	__v;								\
})
#define write_sysreg(val, reg)						\
	asm volatile("msr " STR(reg) ", %0" : : "r"((u64)(val)) : "memory")
#define isb()		asm volatile("isb" : : : "memory")
#define dsb()		asm volatile("dsb sy" : : : "memory")
#define irq_enable()	asm volatile("msr daifclr, #2" : : : "memory")

static inline u64 irq_save(void)
{
	u64 daif = read_sysreg(daif);

	asm volatile("msr daifset, #2" : : : "memory");
	return daif;
}

static inline void irq_restore(u64 daif)
{
	write_sysreg(daif, daif);
}

static inline struct cpu *this_cpu(void)
{
	return (struct cpu *)read_sysreg(tpidr_el1);
}

/* The affinity fields, without MPIDR's other bits: what PSCI and IROUTER take. */
static inline u64 affinity_of(u64 index)
{
	return params->mpidr[index] & 0xff00ffffff;
}

static inline u64 counter(void)
{
	isb();
	return read_sysreg(cntvct_el0);
}

/*
 * Plain loads and stores without writeback: KVM can only hand those to user
 * space, so the compiler must not choose the instruction.
 */
#define MMIO_ACCESSORS(bits, insn, w)					\
static inline u##bits mmio_read##bits(u64 addr)				\
{									\
	u64 v;								\
	asm volatile("ldr" insn " %" w "0, [%1]" : "=r"(v) : "r"(addr) : "memory"); \
	return v;							\
}									\
static inline void mmio_write##bits(u64 addr, u##bits v)		\
{									\
	asm volatile("str" insn " %" w "0, [%1]" : : "r"((u64)v), "r"(addr) : "memory"); \
}
MMIO_ACCESSORS(8, "b", "w")
MMIO_ACCESSORS(16, "h", "w")
MMIO_ACCESSORS(32, "", "w")
MMIO_ACCESSORS(64, "", "x")

/* pattern.S */
void guest_wfi(void);
void fp_fill(u64 seed);
u64 fp_differs(u64 seed);
u64 gpr_hold(u64 seed, u64 mmio, u64 spins, u64 *value);
extern char vectors[];
extern char _start[];

/* main.c */
extern struct cpu cpus[VM_MAX_VCPUS];
u64 rnd(struct cpu *c, u64 n);
void report(enum finding kind, enum subject what, u64 got, u64 want);
void spend(u64 usec);
u64 patience_of(struct cpu *c);

/* gic.c */
#define GICD_CTLR	0x0000
#define GICD_IGROUPR	0x0080
#define GICD_ISENABLER	0x0100
#define GICD_ISPENDR	0x0200
#define GICD_ISACTIVER	0x0300
#define GICD_IPRIORITYR	0x0400
#define GICD_ICFGR	0x0c00
u64 gic_redistributor(u64 index);
/* Where an SPI goes: what the GIC has of that, and what it has for a vCPU. */
void gic_set_route(u64 intid, u64 to);
u64 gic_route(u64 intid);
u64 gic_route_to(u64 index);
void gic_init_dist(void);
void gic_init_cpu(struct cpu *c);
void gic_init_lpis(void);
void gic_check(struct cpu *c);
u64 gic_diagnosis(struct cpu *c);
void gic_send_sgi(u64 sgi, u64 to);
void gic_send_sgi_others(u64 sgi);
u64 gic_acknowledge(struct cpu *c);
void gic_eoi(struct cpu *c, u64 intid);

/* timer.c */
void timer_arm(struct cpu *c);
void timer_irq(struct cpu *c);
void timer_check(struct cpu *c);

/* sgi.c */
void sgi_send_some(struct cpu *c);
void sgi_irq(struct cpu *c, u64 sgi);
void sgi_check(struct cpu *c);
int sgi_all_taken(struct cpu *c);

/* spi.c */
void spi_init(void);
int spi_irq(struct cpu *c, u64 intid);

/* its.c: all but its_init() and its_lock() with the lock held */
#define ITS_INT		0x03
#define ITS_CLEAR	0x04
#define ITS_INV		0x0c
#define ITS_DISCARD	0x0f

struct its_collection {
	volatile u64 target;	/* index of a vCPU */
	volatile u64 moved_at;	/* as lpi_record.moved_at */
};

struct its {
	u64 index;
	u64 base;
	u64 tables;
	u64 write_at;		/* where in the queue the next command goes */
	u64 itt_next;
	u64 daif;		/* of the vCPU that has the lock */
	u32 lock;
	struct its_collection collection[NR_COLLECTIONS];
	u64 reg[NR_ITS_REGS];
};

extern struct its itses[VM_NR_ITSES];
void its_init(struct its *its);
void its_lock(struct its *its);
void its_unlock(struct its *its);
void its_run(struct its *its);
void its_mapd(struct its *its, const struct lpi_device *dev, u64 itt);
void its_mapc(struct its *its, u64 icid);
void its_mapti(struct its *its, const struct lpi_device *dev, u64 event, u64 intid, u64 icid);
void its_movi(struct its *its, const struct lpi_device *dev, u64 event, u64 icid);
void its_command(struct its *its, u64 command, const struct lpi_device *dev, u64 event);
u64 its_new_itt(struct its *its, const struct lpi_device *dev);
void its_begin_move(struct its *its, volatile u64 *moved_at);
void its_end_move(struct its *its);
void its_check(struct its *its);

/* lpi.c */
void lpi_init(void);
void lpi_step(struct cpu *c);
void lpi_check(struct cpu *c);
int lpi_drained(struct cpu *c);
int lpi_irq(struct cpu *c, u64 intid);

/* mmio.c */
void mmio_read_step(struct cpu *c);
void mmio_write_step(struct cpu *c);
void mmio_hold_step(struct cpu *c);

/* state.c */
void state_init(struct cpu *c);
void state_check(struct cpu *c);

#endif /* GUEST_H */
