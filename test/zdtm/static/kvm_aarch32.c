/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest whose EL1 is AArch32: aarch32/guest32.S. It checks the registers of all modes, those of VFP and
 * what MMIO reads give, in A32 and in an IT block of T32, little and big endian. The VMM checks what is
 * written, and that no access is lost or made twice: a value is made of a number that both sides count.
 */
#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "zdtmtst.h"
#include "accesses.h"
#include "look.h"

const char *test_doc = "A KVM VM with an AArch32 guest\n";
const char *test_author = "The kvm-vgic authors";

extern const char guest32[], guest32_end[];

#define MULTIPLIER 0x9e3779b1u
#define DEV_SIZE   0x1000 /* of each vCPU, from ODD_DEV_BASE */

static const struct row {
	unsigned int addr, len;
	bool is_write, big;
	const char *name;
} rows[] = {
#define READ_ROW(addr, len, big, insn, result)		{ addr, len, false, big, #insn },
#define SIGNED_ROW(addr, len, big, insn, result, plain) { addr, len, false, big, #insn },
#define THUMB_ROW(addr, len, insn, result)		{ addr, len, false, false, #insn " in T32" },
#define WRITE_ROW(addr, len, big, insn)			{ addr, len, true, big, #insn },
	ACCESSES(READ_ROW, SIGNED_ROW, THUMB_ROW, WRITE_ROW)
};

static struct odd_vm vm;
static uint32_t number[ODD_NR_VCPUS]; /* of accesses served */

static uint64_t device_of(const struct odd_vcpu *vcpu)
{
	return ODD_DEV_BASE + DEV_SIZE * vcpu->id;
}

static const struct row *row_of(const struct odd_vcpu *vcpu)
{
	return &rows[number[vcpu->id] % ARRAY_SIZE(rows)];
}

/* As the bytes are in kvm_run. */
static uint64_t value_of(const struct odd_vcpu *vcpu)
{
	const struct row *row = row_of(vcpu);
	uint32_t value = (number[vcpu->id] + 1) * MULTIPLIER;

	if (row->len == 1)
		return value & 0xff;
	if (row->len == 2)
		return row->big ? htobe16(value) : htole16(value);
	return row->big ? htobe32(value) : htole32(value);
}

/* Always false: what was looked for is not there. */
static bool wrong(const struct odd_vcpu *vcpu, const char *what, uint64_t got)
{
	char text[112];

	snprintf(text, sizeof(text), "vcpu %u, no. %u, %s at %#x: %s:", vcpu->id, number[vcpu->id] + 1,
		 row_of(vcpu)->name, row_of(vcpu)->addr, what);
	odd_found(&vm, text, got);
	return false;
}

static bool is_same(const struct odd_vcpu *vcpu, const char *what, uint64_t got, uint64_t want)
{
	return got == want || wrong(vcpu, what, got);
}

static bool hold(struct odd_vcpu *vcpu)
{
	return odd_hold(vcpu, number[vcpu->id]);
}

static bool access_is_right(struct odd_vcpu *vcpu)
{
	const struct row *row = row_of(vcpu);
	const struct kvm_run *run = vcpu->run;
	uint64_t data = 0;

	if (!is_same(vcpu, "the address", run->mmio.phys_addr, device_of(vcpu) + row->addr) ||
	    !is_same(vcpu, "the length", run->mmio.len, row->len) ||
	    !is_same(vcpu, "the direction", run->mmio.is_write, row->is_write))
		return false;
	memcpy(&data, run->mmio.data, row->len);
	return !row->is_write || is_same(vcpu, "what is written", data, value_of(vcpu));
}

/* What is no access of the table: a question, or what the guest has found. */
static bool guest_says(struct odd_vcpu *vcpu)
{
	uint64_t addr = vcpu->run->mmio.phys_addr - device_of(vcpu);
	uint32_t data = SIGN_BIT;
	uint64_t r3 = 0;
	char text[80];

	if (!vcpu->run->mmio.is_write) {
		memcpy(vcpu->run->mmio.data, &data, sizeof(data));
		return true;
	}
	memcpy(&data, vcpu->run->mmio.data, sizeof(data));
	if (addr == DEV_TRAP)
		return wrong(vcpu, "an exception: CPSR", data);
	odd_get_reg(&vm, vcpu->id, ODD_CORE(regs.regs[3]), &r3);
	snprintf(text, sizeof(text), r3 ? "register no. %u of guest32.S is" : "the guest got",
		 (unsigned int)r3);
	return wrong(vcpu, text, data);
}

static bool serve_access(struct odd_vcpu *vcpu)
{
	uint64_t value = value_of(vcpu);

	if (vcpu->run->exit_reason == KVM_EXIT_MMIO &&
	    vcpu->run->mmio.phys_addr >= device_of(vcpu) + DEV_SIGN)
		return guest_says(vcpu);
	if (!is_same(vcpu, "the exit", vcpu->run->exit_reason, KVM_EXIT_MMIO) || !access_is_right(vcpu) ||
	    !hold(vcpu))
		return false;
	if (!vcpu->run->mmio.is_write)
		memcpy(vcpu->run->mmio.data, &value, sizeof(value));
	if (!hold(vcpu))
		return false;
	number[vcpu->id]++;
	vm.stats->writes[vcpu->id]++;
	return true;
}

static bool serve(struct odd_vcpu *vcpu)
{
	if (!serve_access(vcpu))
		vcpu->stop = true;
	return true;
}

static int create_vcpu(unsigned int i)
{
	const struct {
		uint64_t reg, value;
	} regs[] = {
		{ ARM64_SYS_REG(3, 0, 12, 0, 0), ODD_RAM_BASE + ODD_RAM_CODE },			/* VBAR */
		{ ARM64_SYS_REG(3, 3, 13, 0, 3), ODD_RAM_BASE + ODD_RAM_COUNTER + 8 * i },	/* TPIDRURO */
		{ ODD_CORE(regs.pc), ODD_RAM_BASE + ODD_RAM_CODE },
		{ ODD_CORE(regs.regs[0]), ODD_DEV_BASE + DEV_SIZE * i },
		{ ODD_CORE(regs.regs[4]), number[i] },
		{ ODD_CORE(regs.regs[6]), MULTIPLIER },
		{ ODD_CORE(regs.regs[7]), i << 16 },
	};
	size_t r;

	if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i))
		return -1;
	for (r = 0; r < ARRAY_SIZE(regs); r++)
		if (odd_set_reg(&vm, i, regs[r].reg, regs[r].value))
			return -1;
	return 0;
}

static int create_vm(void)
{
	unsigned int i;

	vm.features = 1u << KVM_ARM_VCPU_EL1_32BIT;
	vm.exit = serve;
	if (odd_create(&vm) || odd_add_memory(&vm, 0))
		return -1;
	if (ioctl(vm.vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_EL1_32BIT) <= 0) {
		skip("this host has no AArch32 at EL1");
		exit(1);
	}
	memcpy(vm.ram + ODD_RAM_CODE, guest32, guest32_end - guest32);
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (create_vcpu(i))
			return -1;
	return odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	       odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_init_gic(&vm) ? -1 : 0;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (create_vm() || odd_start_all(&vm)) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	return odd_verdict(&vm);
}
