/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guests in C, in the file of the test that runs them. A function marked GUEST is copied into the
 * VM's memory with all others and runs there at EL1, interrupts masked, MMU off. So it calls and
 * refers to nothing but such functions: no globals, string literals or initialisers of arrays, no
 * libc; and no exclusives, for what it sees is Device memory. What it shares with the VMM lies in a
 * struct of the test's own that begins with struct guest. Such tests are guest_tests in meson.build.
 */
#ifndef ODD_GUEST_H
#define ODD_GUEST_H

/* Offsets in the VM's RAM: the code, and a page for each vCPU with its struct below and its stack above. */
#define GUEST_CODE	0x4000	/* ODD_RAM_CODE */
#define GUEST_CODE_END	0x8000
#define GUEST_CPU(i)	(GUEST_CODE_END + GUEST_CPU_SIZE * (i))
#define GUEST_CPU_SIZE	0x1000

/* guest.S knows these of the structs. */
#define GUEST_HANDLERS	0
#define GUEST_ENTRY	32
#define GUEST_CONTEXT	40
#define GUEST_FRAME	288

#ifndef __ASSEMBLER__
#include "oddvm.h"

#define GUEST		__attribute__((section("guest"), noinline, used, target("general-regs-only")))
#define GUEST_INLINE	static inline __attribute__((always_inline, target("general-regs-only")))

enum { GUEST_SYNC, GUEST_IRQ, GUEST_FIQ, GUEST_SERROR, GUEST_NR_HANDLERS };

/* Of one vCPU; TPIDR_EL1 points to it. */
struct guest {
	uint64_t handler[GUEST_NR_HANDLERS]; /* called with (struct guest *, struct guest_frame *) */
	uint64_t entry;			     /* called with (struct guest *) when the vCPU starts */
	uint64_t context;		     /* what was in x0 when it started */
	uint64_t id;			     /* its index */
	volatile uint64_t count;	     /* its progress */
	volatile uint64_t error, got, want;  /* the first one: guest_report() */
};

/* What an exception has saved, and what is put back at its end. */
struct guest_frame {
	uint64_t x[31];
	uint64_t elr, spsr, esr, far;
	uint64_t unused;
};

/* --- for the VMM --- */

/* What the codes of guest_report() mean: an array of the test's own. 0 is an exception that nobody expects. */
extern const char *const guest_says[];

/* After odd_init_vcpu(): the vCPU runs @entry instead of odd_init_vcpu()'s guest. */
int guest_set(struct odd_vm *vm, unsigned int i, void (*entry)(struct guest *g));
/*
 * The set-up of a test whose guest needs the capability @cap of KVM, for @what: a VM with memory, and what
 * @create makes of it. Whether it is there; the test is skipped where KVM lacks that.
 */
bool guest_set_up(struct odd_vm *vm, unsigned int cap, const char *what, int (*create)(void));
/* @nr vCPUs, each created and then left to @set, and a GIC: 0 or -1. */
int guest_create_vcpus(struct odd_vm *vm, unsigned int nr, int (*set)(unsigned int i));
/* Whether @count of a guest goes up by @by within a minute; odd_found() of @what where it does not. */
bool guest_counts(struct odd_vm *vm, const volatile uint64_t *count, uint64_t by, const char *what);
/* What main() returns: whether all was well, with what was looked at last. */
int guest_verdict(struct odd_vm *vm, bool good);
/* The struct of vCPU @i. */
void *guest_cpu(struct odd_vm *vm, unsigned int i);
/* Where the guest has a function marked GUEST. */
uint64_t guest_address(const void *function);
/* struct odd_vm.exit of these VMs: turns reports into odd_found(). A test's own calls it. */
bool guest_exit(struct odd_vcpu *vcpu);

/* --- for the guest --- */

#pragma GCC visibility push(hidden) /* no GOT */
/* guest.S: where a vCPU starts, x0 = the address of its struct, whatever the lowest 12 bits. */
extern const char guest_start[];
extern const char guest_vectors[];

/* Tells the VMM of an error; the first of a vCPU counts. @code is of guest_says, and not 0. */
void guest_report(struct guest *g, uint64_t code, uint64_t got, uint64_t want);
/* Handles what has no handler: a report of ESR and PC, and the vCPU goes no further. */
void guest_unexpected(struct guest *g, struct guest_frame *frame);
/* Redistributor and CPU interface of this vCPU, and the distributor: PPIs and SGIs in @enable are signaled. */
void guest_gic_init(struct guest *g, uint32_t enable);
#pragma GCC visibility pop

#define read_sysreg(reg)						\
({									\
	uint64_t v_;							\
	asm volatile("mrs %0, " #reg : "=r"(v_) : : "memory");		\
	v_;								\
})
#define write_sysreg(value, reg)					\
	asm volatile("msr " #reg ", %0" : : "r"((uint64_t)(value)) : "memory")
#define isb()		asm volatile("isb" : : : "memory")
#define dsb()		asm volatile("dsb sy" : : : "memory")
#define wfi()		asm volatile("dsb sy; wfi" : : : "memory")
#define irq_unmask()	asm volatile("msr daifclr, #2" : : : "memory")
#define irq_mask()	asm volatile("msr daifset, #2" : : : "memory")

/* KVM hands nothing to user space but loads and stores without writeback. */
GUEST_INLINE uint64_t mmio_read64(uint64_t addr)
{
	uint64_t v;

	asm volatile("ldr %0, [%1]" : "=r"(v) : "r"(addr) : "memory");
	return v;
}

GUEST_INLINE void mmio_write64(uint64_t addr, uint64_t v)
{
	asm volatile("str %0, [%1]" : : "r"(v), "r"(addr) : "memory");
}

GUEST_INLINE uint32_t mmio_read32(uint64_t addr)
{
	uint32_t v;

	asm volatile("ldr %w0, [%1]" : "=r"(v) : "r"(addr) : "memory");
	return v;
}

GUEST_INLINE void mmio_write32(uint64_t addr, uint32_t v)
{
	asm volatile("str %w0, [%1]" : : "r"(v), "r"(addr) : "memory");
}

/* What odd_goes_on() looks for: the guest's loop calls it. @by: a power of two; the VMM hears of each ODD_STEP. */
GUEST_INLINE void guest_progress(struct guest *g, uint64_t by)
{
	g->count += by;
	*(volatile uint64_t *)(ODD_RAM_BASE + ODD_RAM_COUNTER + 8 * g->id) = g->count;
	if (!(g->count % ODD_STEP))
		mmio_write64(ODD_DEV_BASE + 8 * g->id, g->count);
}

/* The struct of any vCPU. */
GUEST_INLINE void *guest_struct(unsigned int i)
{
	return (void *)(uint64_t)(ODD_RAM_BASE + GUEST_CPU(i));
}

/* The function's identifier and its arguments: what it answers in x0. */
GUEST_INLINE uint64_t guest_hvc(uint64_t function, uint64_t arg1, uint64_t arg2, uint64_t arg3)
{
	register uint64_t x0 asm("x0") = function;
	register uint64_t x1 asm("x1") = arg1;
	register uint64_t x2 asm("x2") = arg2;
	register uint64_t x3 asm("x3") = arg3;

	asm volatile("hvc #0"
		     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
		     :
		     : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
		       "memory");
	return x0;
}

/* The INTID, which is then active. */
GUEST_INLINE uint32_t guest_acknowledge(void)
{
	uint32_t intid = read_sysreg(S3_0_C12_C12_0); /* ICC_IAR1_EL1 */

	dsb();
	return intid;
}

GUEST_INLINE void guest_eoi(uint32_t intid)
{
	dsb();
	write_sysreg(intid, S3_0_C12_C12_1); /* ICC_EOIR1_EL1 */
	isb();
}

/* An SGI to vCPU @to. */
GUEST_INLINE void guest_send_sgi(uint32_t sgi, unsigned int to)
{
	dsb();
	write_sysreg((uint64_t)sgi << 24 | 1u << to, S3_0_C12_C11_5); /* ICC_SGI1R_EL1 */
	isb();
}

/* Address of this vCPU's register of the redistributor's SGI frame. */
GUEST_INLINE uint64_t guest_sgi_frame(const struct guest *g, uint32_t offset)
{
	return ODD_REDIST_BASE + 0x20000 * g->id + 0x10000 + offset;
}

#define GICR_ISENABLER0	0x100
#define GICR_ICENABLER0	0x180
#define GICR_ISPENDR0	0x200
#define GICR_ISACTIVER0	0x300

#endif /* __ASSEMBLER__ */
#endif /* ODD_GUEST_H */
