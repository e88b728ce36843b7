/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every exit with which KVM leaves a vCPU to its VMM and that can be provoked: MMIO reads and writes of each
 * width and extension, and what docs/pending-exits.md has beside them. The guest makes them in turn, again
 * and again. Each hands over a value made of a number that both sides count, so that one that is lost or
 * doubled shows at once. The VMM looks at kvm_run and registers, waits, and looks again, before and after it
 * serves an exit: there most dumps catch it.
 */
#include <errno.h>
#include <linux/psci.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "look.h"
#include "regs.h"

const char *test_doc = "A KVM VM that leaves its VMM every exit that can be provoked\n";
const char *test_author = "The kvm-vgic authors";

/* Kinds of exits. In x26 a bit for each that this vCPU makes. */
#define MMIO	 0
#define NISV	 1 /* an access that the CPU does not describe, and the VMM carries out whole */
#define BREAK	 2 /* BRK under guest debugging */
#define HW_BREAK 3 /* a breakpoint of the VMM's */
#define FAULT	 4 /* none: KVM_RUN fails, for the guest's memory is not there */
#define SUSPEND	 5 /* PSCI SYSTEM_SUSPEND, and the wake-up from it */
#define EVENT	 6 /* PSCI calls that end the VM: KVM stops all of its vCPUs */
#define STEP	 7 /* an access under a single step: its exit, then the report of the step */
#define UNMAPPED 8 /* a write whose page the guest's tables do not have any more when it is completed */
#define NR_KINDS 9

#define NOT_OF_VCPU_0 (1u << EVENT)
#define NOT_OF_VCPU_1 (1u << HW_BREAK | 1u << SUSPEND)

static int kinds = (1 << NR_KINDS) - 1;
TEST_OPTION(kinds, int, "which exits there are: a bit for each kind (all)", 0);

#define MULTIPLIER 0x9e3779b97f4a7c15
#define BRK_IMM	   0x42
#define EC_BREAK   0x30u
#define EC_STEP	   0x32u
#define EC_BRK	   0x3cu
#define SIGN_BIT   0x8000

/* Of each vCPU, from ODD_DEV_BASE. */
#define DEV_SIZE  0x1000
#define DEV_SIGN  0xfe0 /* reads as SIGN_BIT */
#define DEV_WRONG 0xff0 /* written with x5, which is not what x6 is */
#define DEV_TRAP  0xff8 /* written with the ESR_EL1 of an exception */

#define UNMAPPED_NS 20000000

/* A memslot over what cannot be accessed, and one that is read-only. */
#define HOLE_BASE 0x40100000
#define HOLE_SLOT 1
#define ROM_BASE  0x40200000
#define ROM_SLOT  2

/* A pending SPI wakes vCPU 0, the one to which a new GIC routes it. It is not taken. */
#define WAKE_SPI   32
#define GICD_CTLR  0
#define GICD_ISENABLER1 0x104
#define ICC_PMR	   (3 << 14 | 0 << 11 | 4 << 7 | 6 << 3 | 0) /* op0, op1, CRn, CRm, op2 */
#define SCTLR_EL1  ARM64_SYS_REG(3, 0, 1, 0, 0)
#define SCTLR_M	   1u
#define TTBR0_EL1  ARM64_SYS_REG(3, 0, 2, 0, 0)
#define TCR_EL1	   ARM64_SYS_REG(3, 0, 2, 0, 2)
#define MAIR_EL1   ARM64_SYS_REG(3, 0, 10, 2, 0)
#define TCR	   (1 << 23 | 25)    /* EPD1; T0SZ: 39 bits, so that an entry of the one table maps 1 GiB */
#define MAIR	   0x44		     /* memory, not cached */
#define BLOCK	   (1 << 10 | 3 << 8 | 1) /* AF, SH */
#define TABLE	   0xc000	     /* in RAM */
#define DBGBCR_EL1 (0xf << 5 | 3 << 1 | 1)		     /* BAS, PMC: EL1 and EL0, E */

/*
 * The guest makes them in this order.
 *	READ(kind, address in the device or the VM, bytes, instruction, what makes x6, the right result)
 *	WRITE(kind, address, bytes, whether zero is written, instruction)
 *	OTHER(kind, instruction, event, function of PSCI)
 */
#define EXITS(READ, WRITE, OTHER) \
	READ(MMIO, 0x010, 1, "ldrb w5, [x11, #0x010]", "and x6, x20, #0xff") \
	READ(MMIO, 0x022, 2, "ldrh w5, [x11, #0x022]", "and x6, x20, #0xffff") \
	READ(MMIO, 0x034, 4, "ldr w5, [x11, #0x034]", "mov w6, w20") \
	READ(MMIO, 0x048, 8, "ldr x5, [x11, #0x048]", "mov x6, x20") \
	READ(MMIO, 0x051, 1, "ldrsb w5, [x11, #0x051]", SIGNED("sxtb w6, w20", "and x7, x20, #0xff")) \
	READ(MMIO, 0x063, 1, "ldrsb x5, [x11, #0x063]", SIGNED("sxtb x6, w20", "and x7, x20, #0xff")) \
	READ(MMIO, 0x072, 2, "ldrsh w5, [x11, #0x072]", SIGNED("sxth w6, w20", "and x7, x20, #0xffff")) \
	READ(MMIO, 0x086, 2, "ldrsh x5, [x11, #0x086]", SIGNED("sxth x6, w20", "and x7, x20, #0xffff")) \
	READ(MMIO, 0x094, 4, "ldrsw x5, [x11, #0x094]", SIGNED("sxtw x6, w20", "mov w7, w20")) \
	READ(MMIO, 0x000, 4, "ldar w5, [x11]", "mov w6, w20") \
	READ(MMIO, 0x0a8, 8, "ldr x30, [x11, #0x0a8]", "mov x5, x30\n mov x6, x20") \
	READ(MMIO, 0x0b4, 4, "ldr wzr, [x11, #0x0b4]", "mvn x6, x20") \
	WRITE(MMIO, 0x0c1, 1, false, "strb w20, [x11, #0x0c1]") \
	WRITE(MMIO, 0x0d2, 2, false, "strh w20, [x11, #0x0d2]") \
	WRITE(MMIO, 0x0e4, 4, false, "str w20, [x11, #0x0e4]") \
	WRITE(MMIO, 0x0f8, 8, false, "str x20, [x11, #0x0f8]") \
	WRITE(MMIO, 0x100, 8, true, "str xzr, [x11, #0x100]") \
	WRITE(MMIO, 0x000, 1, false, "stlrb w20, [x11]") \
	WRITE(MMIO, ROM_BASE, 8, false, "str x20, [x14]") \
	READ(NISV, 0x000, 8, "ldr x5, [x11], #0x80", "mov x6, x20") \
	WRITE(NISV, 0x000, 4, false, "str w20, [x11, #-0x80]!") \
	OTHER(BREAK, "brk #0x42", 0, 0) \
	OTHER(HW_BREAK, "exits_break: nop", 0, 0) \
	WRITE(UNMAPPED, 0x108, 8, false, "str x20, [x11, #0x108]") \
	OTHER(STEP, "brk #0x42\n	ldr x5, [x11, #0x110]", 0, 0) \
	OTHER(STEP, "brk #0x42\n	str x20, [x11, #0x118]\n	mov x5, x20", 0, 0) \
	READ(FAULT, 0x000, 8, "ldr x5, [x13]", "mov x6, x20") \
	OTHER(SUSPEND, "hvc #0", KVM_SYSTEM_EVENT_SUSPEND, PSCI_1_0_FN64_SYSTEM_SUSPEND) \
	OTHER(EVENT, "hvc #0", KVM_SYSTEM_EVENT_SHUTDOWN, PSCI_0_2_FN_SYSTEM_OFF) \
	OTHER(EVENT, "hvc #0", KVM_SYSTEM_EVENT_RESET, PSCI_0_2_FN_SYSTEM_RESET) \
	OTHER(EVENT, "hvc #0", KVM_SYSTEM_EVENT_RESET, PSCI_1_1_FN64_SYSTEM_RESET2)
#define WRITEBACK  0x80
#define STEP_READ  0x110 /* in the device */
#define STEP_WRITE 0x118

/*
 * The result is @extended where the CPU tells KVM of sign extensions (ESR_EL2.SSE), else @plain. QEMU's
 * does not tell: the guest asks first, by a read of DEV_SIGN.
 */
#define SIGNED(extended, plain) \
	extended "\n	" plain "\n	tst	x27, x27\n	csel	x6, x6, x7, ne"

/*
 * x11, x12: the device; x13, x14: the two memslots; x19: the number; x20: the value; x21: MULTIPLIER;
 * x24: its counter; x27: whether signs are extended. Exits that are no accesses have their answer in x5, as
 * a read, and those by PSCI INTERNAL_FAILURE in x0.
 */
#define TEXT(x)	 #x
#define VALUE(x) TEXT(x)
#define BEGIN(kind) \
	"	tbz	x26, #" VALUE(kind) ", 9f\n" \
	"	add	x19, x19, #1\n" \
	"	mul	x20, x19, x21\n" \
	"	mvn	x5, x20\n" \
	"	mov	x30, x5\n"
#define CHECK "	cmp	x5, x6\n	b.ne	.Lwrong\n"
#define READ_CODE(kind, addr, len, insn, result) \
	BEGIN(kind) "	" insn "\n	" result "\n" CHECK "9:\n"
#define WRITE_CODE(kind, addr, len, zero, insn) BEGIN(kind) "	" insn "\n9:\n"
#define OTHER_CODE(kind, insn, event, function) BEGIN(kind) \
	"	movz	w0, #(" VALUE(function) ") & 0xffff\n" \
	"	movk	w0, #(" VALUE(function) ") >> 16, lsl #16\n" \
	"	mov	x1, #0\n" \
	"	" insn "\n" \
	"	mov	x6, x20\n" CHECK \
	"	mov	w6, #" VALUE(function) " >> 16\n" \
	"	cbz	w6, 9f\n" \
	"	mov	x5, x0\n" \
	"	mov	x6, #-6\n" CHECK "9:\n"

asm(".pushsection .rodata\n"
    ".balign 2048\n"
    ".globl exits_vectors, exits_code, exits_break, exits_end\n"
    ".hidden exits_vectors, exits_code, exits_break, exits_end\n"
    "exits_vectors:\n"
    "	.rept	16\n"
    "	.balign	128\n"
    "	mrs	x5, esr_el1\n"
    "	str	x5, [x12, #0xff8]\n" /* DEV_TRAP */
    "	b	.\n"
    "	.endr\n"
    "	.balign	128\n"
    "exits_code:\n"
    "	ldrsh	x5, [x12, #0xfe0]\n" /* DEV_SIGN */
    "	and	x27, x5, #0x10000\n"
    "	mov	x6, #0x8000\n" /* SIGN_BIT */
    "	sxth	x7, w6\n"
    "	cmp	x27, #0\n"
    "	csel	x6, x7, x6, ne\n"
    "	cmp	x5, x6\n"
    "	b.ne	.Lwrong\n"
    ".Lround:\n"
    "	ldr	x1, [x24]\n"
    "	add	x1, x1, #1\n"
    "	str	x1, [x24]\n"
    "	movz	x1, #4, lsl #16\n" /* a moment in which KVM_RUN can be interrupted */
    "1:	subs	x1, x1, #1\n"
    "	b.ne	1b\n"
    EXITS(READ_CODE, WRITE_CODE, OTHER_CODE)
    "	b	.Lround\n"
    ".Lwrong:\n"
    "	str	x5, [x12, #0xff0]\n" /* DEV_WRONG */
    "	b	.\n"
    "exits_end:\n"
    ".popsection\n");
extern const char exits_vectors[], exits_code[], exits_break[], exits_end[];

#define CODE_BASE   (ODD_RAM_BASE + ODD_RAM_CODE)
#define IN_GUEST(x) (CODE_BASE + ((x) - exits_vectors))

static const struct row {
	unsigned int kind, addr, len;
	bool is_write, zero;
	unsigned int event;
	const char *name;
} rows[] = {
#define READ_ROW(kind, addr, len, insn, result) { kind, addr, len, false, false, 0, insn },
#define WRITE_ROW(kind, addr, len, zero, insn)	{ kind, addr, len, true, zero, 0, insn },
#define OTHER_ROW(kind, insn, event, function)	{ kind, 0, 0, false, false, event, #function " " insn },
	EXITS(READ_ROW, WRITE_ROW, OTHER_ROW)
};

static struct odd_vm vm;
static size_t page_size;

/* A vCPU, as its thread sees it. */
static struct cpu {
	unsigned int kinds;
	unsigned int row;	/* which exit is next */
	uint64_t number;	/* of exits served */
} cpus[ODD_NR_VCPUS];

static volatile bool stand_still, stands_still; /* vCPU 0 */

static struct cpu *cpu_of(const struct odd_vcpu *vcpu)
{
	return &cpus[vcpu->id];
}

static uint64_t device_of(const struct odd_vcpu *vcpu)
{
	return ODD_DEV_BASE + DEV_SIZE * vcpu->id;
}

static const struct row *row_of(const struct odd_vcpu *vcpu)
{
	return &rows[cpu_of(vcpu)->row];
}

static uint64_t value_of(const struct odd_vcpu *vcpu)
{
	return (cpu_of(vcpu)->number + 1) * MULTIPLIER;
}

static uint64_t low_bytes(uint64_t value, unsigned int len)
{
	return len < 8 ? value & ((1ull << 8 * len) - 1) : value;
}

/* Always false: what was looked for is not there. */
static bool wrong(const struct odd_vcpu *vcpu, const char *what, uint64_t got)
{
	char text[112];

	snprintf(text, sizeof(text), "vcpu %u, no. %llu, \"%s\": %s:", vcpu->id,
		 (unsigned long long)cpu_of(vcpu)->number + 1, row_of(vcpu)->name, what);
	odd_found(&vm, text, got);
	return false;
}

static bool is_same(const struct odd_vcpu *vcpu, const char *what, uint64_t got, uint64_t want)
{
	return got == want || wrong(vcpu, what, got);
}

/* Nothing may change by itself. */
static bool hold(struct odd_vcpu *vcpu)
{
	return odd_hold(vcpu, cpu_of(vcpu)->number);
}

/* x5 and the PC: what an exit without completion by KVM needs. */
static bool put_result(const struct odd_vcpu *vcpu, uint64_t value, unsigned int pc_step)
{
	uint64_t pc = 0;

	if (odd_get_reg(&vm, vcpu->id, ODD_CORE(regs.pc), &pc) ||
	    odd_set_reg(&vm, vcpu->id, ODD_CORE(regs.pc), pc + pc_step) ||
	    odd_set_reg(&vm, vcpu->id, ODD_CORE(regs.regs[5]), value))
		return wrong(vcpu, "KVM_SET_ONE_REG: errno", errno);
	return true;
}

static bool set_state(const struct odd_vcpu *vcpu, uint32_t state)
{
	return !ioctl(vcpu->fd, KVM_SET_MP_STATE, &(struct kvm_mp_state){ state }) ||
	       wrong(vcpu, "KVM_SET_MP_STATE: errno", errno);
}

/* MMIO: KVM completes it at the next KVM_RUN. */

static bool mmio_is_right(struct odd_vcpu *vcpu)
{
	const struct row *row = row_of(vcpu);
	const struct kvm_run *run = vcpu->run;
	uint64_t data = 0;

	if (!is_same(vcpu, "the address", run->mmio.phys_addr,
		     row->addr < DEV_SIZE ? device_of(vcpu) + row->addr : row->addr) ||
	    !is_same(vcpu, "the length", run->mmio.len, row->len) ||
	    !is_same(vcpu, "the direction", run->mmio.is_write, row->is_write))
		return false;
	memcpy(&data, run->mmio.data, row->len);
	return !row->is_write ||
	       is_same(vcpu, "what is written", data, row->zero ? 0 : low_bytes(value_of(vcpu), row->len));
}

/* Every third one is completed without running on: kvm_run says MMIO still, and nothing is pending. */
static bool complete_alone(struct odd_vcpu *vcpu)
{
	int ret;

	if (cpu_of(vcpu)->number % 3)
		return true;
	vcpu->run->immediate_exit = 1;
	ret = ioctl(vcpu->fd, KVM_RUN, 0);
	vcpu->run->immediate_exit = 0;
	if (!ret || errno != EINTR)
		return wrong(vcpu, "KVM_RUN with immediate_exit: errno", ret ? errno : 0);
	return hold(vcpu);
}

static bool mmio_serve(struct odd_vcpu *vcpu)
{
	uint64_t value = value_of(vcpu);

	if (!vcpu->run->mmio.is_write)
		memcpy(vcpu->run->mmio.data, &value, vcpu->run->mmio.len);
	return hold(vcpu) && complete_alone(vcpu);
}

/* With translation the guest has its RAM, and no device: what another vCPU may make of its tables meanwhile. */
static bool translate(const struct odd_vcpu *vcpu, bool on)
{
	uint64_t sctlr = 0;

	if (odd_get_reg(&vm, vcpu->id, SCTLR_EL1, &sctlr) ||
	    odd_set_reg(&vm, vcpu->id, SCTLR_EL1, on ? sctlr | SCTLR_M : sctlr & ~SCTLR_M))
		return wrong(vcpu, "SCTLR_EL1: errno", errno);
	return true;
}

/*
 * The registers stay as they are, but for the PC, which a restore that has completed the write has moved. Nothing is
 * written to it: what is dumped in between would have it moved back, and the write made again.
 */
static bool stays(const struct odd_vcpu *vcpu, uint64_t pc)
{
	const struct timespec pause = { .tv_nsec = UNMAPPED_NS };
	struct odd_regs before = { 0 };
	uint64_t now = 0;
	bool same = !odd_save_regs(&vm, vcpu->id, &before);

	before.but = ODD_CORE(regs.pc);
	nanosleep(&pause, NULL);
	same = same && odd_same_regs(&vm, vcpu->id, &before);
	free(before.regs);
	if (odd_get_reg(&vm, vcpu->id, ODD_CORE(regs.pc), &now) || (now != pc && now != pc + 4))
		return wrong(vcpu, "the PC", now);
	return same;
}

static bool unmapped_serve(struct odd_vcpu *vcpu)
{
	uint64_t pc = 0;
	bool good = !odd_get_reg(&vm, vcpu->id, ODD_CORE(regs.pc), &pc) && translate(vcpu, true) && stays(vcpu, pc) &&
		    mmio_is_right(vcpu);

	return translate(vcpu, false) && good;
}

/* An access that the VMM carries out: the register, the write-back and the PC. */

static bool nisv_is_right(struct odd_vcpu *vcpu)
{
	const struct row *row = row_of(vcpu);
	uint64_t x20 = 0;

	if (odd_get_reg(&vm, vcpu->id, ODD_CORE(regs.regs[20]), &x20))
		return wrong(vcpu, "KVM_GET_ONE_REG: errno", errno);
	return is_same(vcpu, "the address", vcpu->run->arm_nisv.fault_ipa, device_of(vcpu) + row->addr) &&
	       is_same(vcpu, "the direction", vcpu->run->arm_nisv.esr_iss >> 6 & 1, row->is_write) &&
	       is_same(vcpu, "what is written", x20, value_of(vcpu));
}

static bool nisv_serve(struct odd_vcpu *vcpu)
{
	uint64_t x11 = 0;

	if (odd_get_reg(&vm, vcpu->id, ODD_CORE(regs.regs[11]), &x11) ||
	    odd_set_reg(&vm, vcpu->id, ODD_CORE(regs.regs[11]),
			row_of(vcpu)->is_write ? x11 - WRITEBACK : x11 + WRITEBACK))
		return wrong(vcpu, "KVM_SET_ONE_REG: errno", errno);
	return put_result(vcpu, value_of(vcpu), 4) && hold(vcpu);
}

/* Guest debugging. */

/* With @more of KVM_GUESTDBG_*. */
static int set_debug(unsigned int i, uint32_t more)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | more };

	if (cpus[i].kinds >> HW_BREAK & 1) {
		debug.control |= KVM_GUESTDBG_USE_HW;
		debug.arch.dbg_bcr[0] = DBGBCR_EL1;
		debug.arch.dbg_bvr[0] = IN_GUEST(exits_break);
	}
	if (!(cpus[i].kinds & (1u << BREAK | 1u << HW_BREAK | 1u << STEP)))
		return 0;
	return ioctl(vm.vcpu[i].fd, KVM_SET_GUEST_DEBUG, &debug);
}

static bool break_is_right(struct odd_vcpu *vcpu)
{
	return is_same(vcpu, "ESR_EL2", vcpu->run->debug.arch.hsr, EC_BRK << 26 | 1 << 25 | BRK_IMM);
}

static bool hw_break_is_right(struct odd_vcpu *vcpu)
{
	uint64_t pc = 0;

	if (odd_get_reg(&vm, vcpu->id, ODD_CORE(regs.pc), &pc))
		return wrong(vcpu, "KVM_GET_ONE_REG: errno", errno);
	return is_same(vcpu, "the class in ESR_EL2", vcpu->run->debug.arch.hsr >> 26, EC_BREAK) &&
	       is_same(vcpu, "the PC", pc, IN_GUEST(exits_break));
}

/* The VMM carries out the instruction: so it does for memory that is not there, too. */
static bool step_over(struct odd_vcpu *vcpu)
{
	return put_result(vcpu, value_of(vcpu), 4) && hold(vcpu);
}

/* The system events. */

static bool event_is_right(struct odd_vcpu *vcpu)
{
	struct kvm_mp_state state = { .mp_state = -1 };

	ioctl(vcpu->fd, KVM_GET_MP_STATE, &state);
	return is_same(vcpu, "the event", vcpu->run->system_event.type, row_of(vcpu)->event) &&
	       is_same(vcpu, "its power state", state.mp_state, KVM_MP_STATE_STOPPED);
}

/*
 * KVM stops the other vCPU too: by then it stands still, outside of KVM_RUN, or it would sleep there and the
 * VMM could not turn it on again.
 */
static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static void stop_other(const struct odd_vcpu *vcpu)
{
	stand_still = true;
	while (!stands_still && !vm.vcpu[!vcpu->id].ended && !vcpu->stop)
		nap();
}

static void let_other_go(const struct odd_vcpu *vcpu)
{
	stand_still = false;
	while (stands_still && !vm.vcpu[!vcpu->id].ended && !vcpu->stop)
		nap();
}

static void stand(const struct odd_vcpu *vcpu)
{
	while (stand_still && !vcpu->stop) {
		stands_still = true;
		nap();
	}
	stands_still = false;
}

/* As if the event had been refused: both vCPUs run on. */
static bool event_serve(struct odd_vcpu *vcpu)
{
	return set_state(vcpu, KVM_MP_STATE_RUNNABLE) &&
	       set_state(&vm.vcpu[!vcpu->id], KVM_MP_STATE_RUNNABLE) && put_result(vcpu, value_of(vcpu), 0) &&
	       hold(vcpu);
}

static bool suspend_is_right(struct odd_vcpu *vcpu)
{
	return is_same(vcpu, "the event", vcpu->run->system_event.type, row_of(vcpu)->event);
}

/* A signal, or a dump, and KVM_RUN has ended for it. */
static bool interrupted(struct odd_vcpu *vcpu)
{
	return is_same(vcpu, "the exit, of an interrupted KVM_RUN", vcpu->run->exit_reason, KVM_EXIT_INTR) &&
	       hold(vcpu);
}

/* 0 or the errno of KVM_RUN; EINTR where the thread is to end. */
static int run_vcpu(struct odd_vcpu *vcpu)
{
	int err;

	do
		err = ioctl(vcpu->fd, KVM_RUN, 0) ? errno : 0;
	while (err == EINTR && !vcpu->stop && interrupted(vcpu));
	return err;
}

/* Suspended, until KVM says that there is an interrupt: an exit of its own. */
static bool suspend_serve(struct odd_vcpu *vcpu)
{
	int err;

	if (!set_state(vcpu, KVM_MP_STATE_SUSPENDED) || !hold(vcpu))
		return false;
	err = run_vcpu(vcpu);
	if (err == EINTR)
		return false;
	if (!is_same(vcpu, "the wake-up: errno", err, 0) ||
	    !is_same(vcpu, "the wake-up: exit", vcpu->run->exit_reason, KVM_EXIT_SYSTEM_EVENT) ||
	    !is_same(vcpu, "the wake-up: event", vcpu->run->system_event.type, KVM_SYSTEM_EVENT_WAKEUP) ||
	    !hold(vcpu))
		return false;
	if (odd_set_reg(&vm, vcpu->id, ODD_CORE(regs.regs[0]), PSCI_RET_INTERNAL_FAILURE))
		return wrong(vcpu, "KVM_SET_ONE_REG: errno", errno);
	return set_state(vcpu, KVM_MP_STATE_RUNNABLE) && put_result(vcpu, value_of(vcpu), 0) && hold(vcpu);
}

/* From behind the BRK on, stepping, with @x5. */
static bool begin_step(struct odd_vcpu *vcpu, uint64_t x5, uint64_t *pc)
{
	if (!put_result(vcpu, x5, 4) || !hold(vcpu))
		return false;
	odd_get_reg(&vm, vcpu->id, ODD_CORE(regs.pc), pc);
	if (set_debug(vcpu->id, KVM_GUESTDBG_SINGLESTEP))
		return wrong(vcpu, "KVM_SET_GUEST_DEBUG: errno", errno);
	return hold(vcpu);
}

/* The report of the one instruction at @pc. */
static bool end_step(struct odd_vcpu *vcpu, uint64_t pc)
{
	uint64_t next = 0;
	int err = run_vcpu(vcpu);

	if (err == EINTR)
		return false;
	odd_get_reg(&vm, vcpu->id, ODD_CORE(regs.pc), &next);
	if (!is_same(vcpu, "the step: errno", err, 0) ||
	    !is_same(vcpu, "the step: exit", vcpu->run->exit_reason, KVM_EXIT_DEBUG) ||
	    !is_same(vcpu, "the step: class in ESR_EL2", vcpu->run->debug.arch.hsr >> 26, EC_STEP) ||
	    !is_same(vcpu, "the step: PC", next, pc + 4) || !hold(vcpu))
		return false;
	return !set_debug(vcpu->id, 0) || wrong(vcpu, "KVM_SET_GUEST_DEBUG: errno", errno);
}

/* And one instruction more, in a single step. */
static bool break_serve(struct odd_vcpu *vcpu)
{
	uint64_t pc;

	return begin_step(vcpu, value_of(vcpu), &pc) && end_step(vcpu, pc);
}

/* That instruction is an access, and the step not over before it is completed. */
static bool step_serve(struct odd_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint64_t pc, addr, data = 0, value = value_of(vcpu);
	int err;

	if (!begin_step(vcpu, ~value, &pc))
		return false;
	err = run_vcpu(vcpu);
	if (err == EINTR)
		return false;
	addr = device_of(vcpu) + (run->mmio.is_write ? STEP_WRITE : STEP_READ);
	memcpy(&data, run->mmio.data, sizeof(data));
	if (!is_same(vcpu, "stepped: errno", err, 0) ||
	    !is_same(vcpu, "stepped: exit", run->exit_reason, KVM_EXIT_MMIO) ||
	    !is_same(vcpu, "stepped: the address", run->mmio.phys_addr, addr) ||
	    !is_same(vcpu, "stepped: what is written", run->mmio.is_write ? data : value, value) ||
	    !hold(vcpu))
		return false;
	if (!run->mmio.is_write)
		memcpy(run->mmio.data, &value, sizeof(value));
	return hold(vcpu) && end_step(vcpu, pc);
}

static const struct {
	uint32_t exit;
	int err; /* of KVM_RUN */
	bool (*is_right)(struct odd_vcpu *vcpu);
	bool (*serve)(struct odd_vcpu *vcpu);
} table[NR_KINDS] = {
	[MMIO] = { KVM_EXIT_MMIO, 0, mmio_is_right, mmio_serve },
	[UNMAPPED] = { KVM_EXIT_MMIO, 0, mmio_is_right, unmapped_serve },
	[NISV] = { KVM_EXIT_ARM_NISV, 0, nisv_is_right, nisv_serve },
	[BREAK] = { KVM_EXIT_DEBUG, 0, break_is_right, break_serve },
	[HW_BREAK] = { KVM_EXIT_DEBUG, 0, hw_break_is_right, step_over },
	[FAULT] = { KVM_EXIT_UNKNOWN, EFAULT, NULL, step_over },
	[SUSPEND] = { KVM_EXIT_SYSTEM_EVENT, 0, suspend_is_right, suspend_serve },
	[EVENT] = { KVM_EXIT_SYSTEM_EVENT, 0, event_is_right, event_serve },
	[STEP] = { KVM_EXIT_DEBUG, 0, break_is_right, step_serve },
};

static bool is_right(struct odd_vcpu *vcpu)
{
	bool (*check)(struct odd_vcpu *vcpu) = table[row_of(vcpu)->kind].is_right;

	return !check || check(vcpu);
}

static void next_row(struct cpu *cpu)
{
	do
		cpu->row = (cpu->row + 1) % ARRAY_SIZE(rows);
	while (!(cpu->kinds >> rows[cpu->row].kind & 1));
}

/* What the guest itself has to say. */
static bool guest_says(struct odd_vcpu *vcpu)
{
	uint64_t base = device_of(vcpu), data = SIGN_BIT;
	struct kvm_run *run = vcpu->run;

	if (!run->mmio.is_write) {
		memcpy(run->mmio.data, &data, sizeof(data));
		return true;
	}
	memcpy(&data, run->mmio.data, sizeof(data));
	return wrong(vcpu, run->mmio.phys_addr == base + DEV_WRONG ? "of the one before the guest got" :
								    "an exception: ESR_EL1", data);
}

static bool is_for_test(const struct odd_vcpu *vcpu, int err)
{
	uint64_t addr = vcpu->run->mmio.phys_addr - device_of(vcpu);

	return !err && vcpu->run->exit_reason == KVM_EXIT_MMIO && addr >= DEV_SIGN && addr < DEV_SIZE;
}

static bool serve(struct odd_vcpu *vcpu, int err)
{
	unsigned int kind = row_of(vcpu)->kind;
	struct cpu *cpu = cpu_of(vcpu);

	if (is_for_test(vcpu, err))
		return guest_says(vcpu);
	if (!is_same(vcpu, "errno of KVM_RUN", err, table[kind].err) ||
	    !is_same(vcpu, "the exit", vcpu->run->exit_reason, table[kind].exit) ||
	    !is_right(vcpu) || !hold(vcpu) || !is_right(vcpu) || !table[kind].serve(vcpu))
		return false;
	cpu->number++;
	next_row(cpu);
	vm.stats->writes[vcpu->id]++;
	return true;
}

static void *vcpu_thread(void *arg)
{
	struct odd_vcpu *vcpu = arg;
	bool good = true;
	int err;

	while (good && !vcpu->stop) {
		if (row_of(vcpu)->kind == EVENT)
			stop_other(vcpu);
		err = run_vcpu(vcpu);
		if (!vcpu->id)
			stand(vcpu);
		good = err != EINTR && serve(vcpu, err);
		if (vcpu->id && row_of(vcpu)->kind != EVENT)
			let_other_go(vcpu);
	}
	/* It stays, after a failure too: whoever looks from outside at the process's threads finds them. */
	while (!vcpu->stop)
		nap();
	vcpu->ended = true;
	return NULL;
}

static void kick(int sig)
{
}

/* Set-up. */

static int enable(uint32_t cap)
{
	return ioctl(vm.vm_fd, KVM_ENABLE_CAP, &(struct kvm_enable_cap){ .cap = cap });
}

static int enable_all(void)
{
	if ((kinds >> NISV & 1 && enable(KVM_CAP_ARM_NISV_TO_USER)) ||
	    (kinds >> SUSPEND & 1 && enable(KVM_CAP_ARM_SYSTEM_SUSPEND)))
		return -1;
	return 0;
}

static int add_page(uint32_t slot, uint64_t base, int prot, uint32_t flags)
{
	void *page = mmap(NULL, page_size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = base,
		.memory_size = page_size,
		.userspace_addr = (uintptr_t)page,
	};

	return page == MAP_FAILED ? -1 : ioctl(vm.vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static int create_vcpu(unsigned int i)
{
	const struct {
		uint64_t reg, value;
	} regs[] = {
		{ ARM64_SYS_REG(3, 0, 12, 0, 0), CODE_BASE }, /* VBAR_EL1 */
		{ TTBR0_EL1, ODD_RAM_BASE + TABLE },
		{ TCR_EL1, TCR },
		{ MAIR_EL1, MAIR },
		{ ODD_CORE(regs.pc), IN_GUEST(exits_code) },
		{ ODD_CORE(regs.regs[11]), ODD_DEV_BASE + DEV_SIZE * i },
		{ ODD_CORE(regs.regs[12]), ODD_DEV_BASE + DEV_SIZE * i },
		{ ODD_CORE(regs.regs[13]), HOLE_BASE },
		{ ODD_CORE(regs.regs[14]), ROM_BASE },
		{ ODD_CORE(regs.regs[19]), cpus[i].number },
		{ ODD_CORE(regs.regs[21]), MULTIPLIER },
		{ ODD_CORE(regs.regs[24]), ODD_RAM_BASE + ODD_RAM_COUNTER + 8 * i },
		{ ODD_CORE(regs.regs[26]), cpus[i].kinds },
	};
	size_t r;

	if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i))
		return -1;
	for (r = 0; r < ARRAY_SIZE(regs); r++)
		if (odd_set_reg(&vm, i, regs[r].reg, regs[r].value))
			return -1;
	return set_debug(i, 0);
}

/* The interrupt that wakes vCPU 0: pending from now on. */
static int pend_wake_up(void)
{
	uint32_t group_1 = 2, bit = 1u << WAKE_SPI % 32;
	uint64_t pmr = 0xf0;
	struct kvm_irq_level line = {
		.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | WAKE_SPI,
		.level = 1,
	};

	return odd_set_attr(vm.gic_fd, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, ICC_PMR, &pmr) ||
	       odd_set_attr(vm.gic_fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, GICD_CTLR, &group_1) ||
	       odd_set_attr(vm.gic_fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, GICD_ISENABLER1, &bit) ||
	       ioctl(vm.vm_fd, KVM_IRQ_LINE, &line);
}

static int create_vm(void)
{
	const uint64_t block = ODD_RAM_BASE | BLOCK;
	unsigned int i;

	page_size = sysconf(_SC_PAGESIZE);
	if (odd_create(&vm) || enable_all() || odd_add_memory(&vm, 0) ||
	    add_page(HOLE_SLOT, HOLE_BASE, PROT_NONE, 0) ||
	    add_page(ROM_SLOT, ROM_BASE, PROT_READ | PROT_WRITE, KVM_MEM_READONLY))
		return -1;
	memcpy(vm.ram + ODD_RAM_CODE, exits_vectors, exits_end - exits_vectors);
	memcpy(vm.ram + TABLE + 8 * (ODD_RAM_BASE >> 30), &block, sizeof(block));
	for (i = 0; i < ODD_NR_VCPUS; i++) {
		cpus[i].kinds = kinds & ~(i ? NOT_OF_VCPU_1 : NOT_OF_VCPU_0);
		cpus[i].number = (uint64_t)i << 32;
		cpus[i].row = ARRAY_SIZE(rows) - 1;
		next_row(&cpus[i]);
		if (create_vcpu(i))
			return -1;
	}
	return odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	       odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_init_gic(&vm) || pend_wake_up();
}

static int start(void)
{
	struct sigaction action = { .sa_handler = kick };
	unsigned int i;

	if (sigaction(SIGUSR1, &action, NULL))
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++) {
		errno = pthread_create(&vm.vcpu[i].thread, NULL, vcpu_thread, &vm.vcpu[i]);
		if (errno)
			return -1;
		vm.vcpu[i].started = true;
		vm.stats->running |= 1u << i;
	}
	return odd_goes_on(&vm) ? 0 : -1;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (create_vm() || start()) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	return odd_verdict(&vm);
}
