// SPDX-License-Identifier: GPL-2.0-only
/*
 * GICv5 through KVM's device attributes (Documentation/virt/kvm/devices/arm-vgic-v5.rst).
 *
 * Two documents describe this interface and differ in where LPIs are saved, and in
 * which registers come before the ISTs. What is common:
 *
 * save:	ISTs; IRS registers; what is behind selectors; CPU interfaces. Guest memory last, by CRIU: the
 *		series of April 2026 writes the LPI IST there.
 * restore:	vCPUs; address, number of SPIs, INIT; ID registers, IRS_IST_CFGR, IRS_IST_BASER; the other IRS
 *		registers, which Linux 7.4 wants before the ISTs and the series of April 2026 after them; CPU
 *		interfaces. Nothing after a vCPU has run: KVM answers EBUSY.
 *
 * docs/gicv5.md says which kernel has which.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "log.h"
#include "remote/remote.h"
#include "state/guest_memory.h"
#include "state/kvm_run.h"
#include "state/vm.h"

#define IRS(name_, offset_, policy_)                                                                         \
	{                                                                                                    \
		.name = name_, .frame = VGIC_IRS, .offset = offset_, .count = 1, .policy = policy_           \
	}
#define CPUIF(name_, instr_)                                                                                 \
	{                                                                                                    \
		.name = name_, .frame = VGIC_CPUIF, .offset = instr_, .count = 1, .policy = VGIC_SAVE        \
	}

/* Before the ISTs: what there is, and where the guest has its LPI IST. */
const struct vgic_reg vgic_v5_id_regs[] = {
	IRS("IRS_IDR0", 0x000, VGIC_SAVE),	IRS("IRS_IDR1", 0x004, VGIC_SAVE),
	IRS("IRS_IDR2", 0x008, VGIC_SAVE),	IRS("IRS_IDR5", 0x014, VGIC_SAVE),
	IRS("IRS_IDR6", 0x018, VGIC_SAVE),	IRS("IRS_IDR7", 0x01c, VGIC_SAVE),
	IRS("IRS_IST_CFGR", 0x190, VGIC_SAVE),	IRS("IRS_IST_BASER", 0x180, VGIC_SAVE),
};
const size_t vgic_v5_nr_id_regs = sizeof(vgic_v5_id_regs) / sizeof(vgic_v5_id_regs[0]);

/* After them. Selectors at their own place: what they select is written by way of them. */
const struct vgic_reg vgic_v5_irs_regs[] = {
	IRS("IRS_CR1", 0x084, VGIC_SAVE),	   IRS("IRS_CR0", 0x080, VGIC_SAVE),
	IRS("IRS_SPI_SELR", 0x108, VGIC_APART),	   IRS("IRS_PE_SELR", 0x140, VGIC_APART),
	IRS("IRS_IIDR", 0x040, VGIC_SEEN),	   IRS("IRS_AIDR", 0x044, VGIC_SEEN),
	IRS("IRS_SYNC_STATUSR", 0x0c4, VGIC_SEEN), IRS("IRS_SPI_STATUSR", 0x118, VGIC_SEEN),
	IRS("IRS_PE_STATUSR", 0x144, VGIC_SEEN),   IRS("IRS_IST_STATUSR", 0x194, VGIC_SEEN),
};
const size_t vgic_v5_nr_irs_regs = sizeof(vgic_v5_irs_regs) / sizeof(vgic_v5_irs_regs[0]);

/* There are many of each behind one offset; another register, of the table above, says which. */
static const struct vgic_reg pe_cr0 = IRS("IRS_PE_CR0", 0x148, VGIC_APART);
static const struct vgic_reg spi_cfgr = IRS("IRS_SPI_CFGR", 0x114, VGIC_APART);

const struct vgic_reg vgic_v5_cpuif_regs[] = {
	CPUIF("ICC_PPI_PRIORITYR0_EL1", 0xc670),  CPUIF("ICC_PPI_PRIORITYR1_EL1", 0xc671),
	CPUIF("ICC_PPI_PRIORITYR2_EL1", 0xc672),  CPUIF("ICC_PPI_PRIORITYR3_EL1", 0xc673),
	CPUIF("ICC_PPI_PRIORITYR4_EL1", 0xc674),  CPUIF("ICC_PPI_PRIORITYR5_EL1", 0xc675),
	CPUIF("ICC_PPI_PRIORITYR6_EL1", 0xc676),  CPUIF("ICC_PPI_PRIORITYR7_EL1", 0xc677),
	CPUIF("ICC_PPI_PRIORITYR8_EL1", 0xc678),  CPUIF("ICC_PPI_PRIORITYR9_EL1", 0xc679),
	CPUIF("ICC_PPI_PRIORITYR10_EL1", 0xc67a), CPUIF("ICC_PPI_PRIORITYR11_EL1", 0xc67b),
	CPUIF("ICC_PPI_PRIORITYR12_EL1", 0xc67c), CPUIF("ICC_PPI_PRIORITYR13_EL1", 0xc67d),
	CPUIF("ICC_PPI_PRIORITYR14_EL1", 0xc67e), CPUIF("ICC_PPI_PRIORITYR15_EL1", 0xc67f),
	CPUIF("ICC_PPI_ENABLER0_EL1", 0xc656),	  CPUIF("ICC_PPI_ENABLER1_EL1", 0xc657),
	CPUIF("ICC_PPI_SACTIVER0_EL1", 0xc66a),	  CPUIF("ICC_PPI_SACTIVER1_EL1", 0xc66b),
	CPUIF("ICC_PPI_SPENDR0_EL1", 0xc66e),	  CPUIF("ICC_PPI_SPENDR1_EL1", 0xc66f),
	CPUIF("ICC_APR_EL1", 0xce00),		  CPUIF("ICC_PCR_EL1", 0xce02),
	CPUIF("ICC_CR0_EL1", 0xce01),		  CPUIF("ICC_ICSR_EL1", 0xc654),
};
const size_t vgic_v5_nr_cpuif_regs = sizeof(vgic_v5_cpuif_regs) / sizeof(vgic_v5_cpuif_regs[0]);

#define BASER_VALID 1ull
#define BASER_ADDR 0x00ffffffffffffc0ull
#define CFGR_LPI_ID_BITS 0x1fu

void vgic_v5_free(struct vgic_v5_state *gic)
{
	if (!gic)
		return;
	vgic_values_free_all(gic->cpuif, gic->nr_cpus);
	free(gic->id);
	free(gic->irs);
	free(gic->pe_cr0.v);
	free(gic->spi_cfgr.v);
	free(gic->spi.iste);
	free(gic->lpi.iste);
	free(gic);
}

static uint64_t id_reg(const struct vgic_v5_state *gic, const char *name)
{
	return vgic_values_of(vgic_v5_id_regs, vgic_v5_nr_id_regs, gic->id, name)->v[0];
}

int vgic_v5_nr_lpis(const struct vgic_v5_state *gic, uint32_t *nr)
{
	uint32_t bits = id_reg(gic, "IRS_IST_CFGR") & CFGR_LPI_ID_BITS;

	*nr = 0;
	if (!(id_reg(gic, "IRS_IST_BASER") & BASER_VALID))
		return 0;
	if (bits > VGIC_V5_MAX_LPI_ID_BITS)
		return bits;
	*nr = 1u << bits;
	return 0;
}

static struct vgic_part part_of(const struct vm_state *vm, size_t vcpu)
{
	return (struct vgic_part){ .fd = vm->vgic_v5->fd, .mpidr = vm->vcpus[vcpu].mpidr };
}

/* ---- what errnos mean ---- */

static const struct kvm_error config_errors[] = {
	{ E2BIG, "IRS_CONFIG_FRAME is beyond the VM's IPA size, or there are more vCPUs than this host has VPEs for" },
	{ EEXIST, "it has an address already" },
	{ EINVAL, "its address or its number of SPIs is none that this host's KVM takes, or a vCPU is a nested one" },
	{ ENODEV, "there is no vCPU" },
	{ ENOSPC, "this host has no VM id left" },
	{ ENOMEM, "the kernel has no memory for it" },
	{ EBUSY, "it is set up already, or a vCPU is being created" },
	{ ETIMEDOUT, "the IRS did not answer in time" },
	{ ENXIO, "it was not set up as this needs, or KVM has no such attribute" },
	{ EFAULT, "the task's memory for it cannot be used" },
	{ 0 },
};

static const struct kvm_error reg_errors[] = {
	{ ENXIO, "KVM has no such register, or the IRS has no address" },
	{ EINVAL, "the value is none that this host's KVM takes" },
	{ EBUSY, "a vCPU runs or has run, or the GIC is not initialised" },
	{ ENOENT, "KVM has no such register" },
	{ EFAULT, "the task's memory for it cannot be used" },
	{ ENOMEM, "the kernel has no memory for the LPI IST" },
	{ ETIMEDOUT, "the IRS did not take the LPI IST in time" },
	{ 0 },
};

static const struct kvm_error get_errors[] = {
	{ EBUSY, "a vCPU runs, or the IRS went on changing its tables while they were read: try again" },
	{ ETIMEDOUT, "the IRS did not write its tables out in time: try again" },
	{ EINVAL, "IRS_IST_CFGR describes no LPI IST that KVM has, or the VM's own tables are not valid" },
	{ ENOENT, "KVM has no SPI IST" },
	{ EFAULT, "the LPI IST is not in guest memory (IRS_IST_BASER), or the task's memory for it cannot be used" },
	{ ENXIO, "IRS_IST_BASER is valid and KVM has no LPI IST: a restore of this VM was not completed" },
	{ ENOMEM, "the kernel has no memory for it" },
	{ 0 },
};

static const struct kvm_error set_errors[] = {
	{ EBUSY, "a vCPU runs or has run, or the LPI IST is there already" },
	{ ETIMEDOUT, "the IRS did not take the tables in time" },
	{ EINVAL, "IRS_IST_CFGR describes no LPI IST that this host's KVM takes" },
	{ ENOENT, "this host's KVM has no SPI IST" },
	{ EFAULT, "the LPI IST is not in guest memory (IRS_IST_BASER), or the task's memory for it cannot be used" },
	{ ENXIO, "KVM has not what the tables belong to" },
	{ ENOMEM, "the kernel has no memory for the LPI IST, or for what is pending" },
	{ 0 },
};

/* ---- ISTs: the two forms ---- */

#define SPI_ROOM (VGIC_V5_MAX_SPIS * sizeof(uint32_t))
#define LPI_ROOM (sizeof(uint32_t) << VGIC_V5_MAX_LPI_ID_BITS)

size_t vgic_v5_room(const struct vm_state *vm)
{
	return vm->vgic_v5 ? SPI_ROOM + LPI_ROOM : 0;
}

/* In the room, behind what kvm_run has of it. */
static uint64_t spi_room(const struct vm_state *vm, const struct remote *remote)
{
	return remote->room + kvm_run_room(vm);
}

static uint64_t lpi_room(const struct vm_state *vm, const struct remote *remote)
{
	return spi_room(vm, remote) + SPI_ROOM;
}

/* Makes memory of that part of the room, or with PROT_NONE room again. */
static int map_room(struct vm_state *vm, struct remote *remote, int prot)
{
	struct batch b = BATCH(remote, vm->id, "buffers of GICv5 ISTs");
	int ret;

	batch_syscall(&b, "mmap", SYS_mmap, spi_room(vm, remote), vgic_v5_room(vm), prot,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

static size_t ist_size(const struct vgic_v5_ist *ist)
{
	return ist->nr * sizeof(*ist->iste);
}

/* KVM refuses a buffer of an LPI IST that there is not. */
static struct arm64_vgic_v5_ist descriptor(const struct vm_state *vm, const struct remote *remote)
{
	const struct vgic_v5_state *gic = vm->vgic_v5;

	return (struct arm64_vgic_v5_ist){
		.spi_ist_addr = spi_room(vm, remote),
		.spi_ist_size = ist_size(&gic->spi),
		.lpi_ist_addr = gic->lpi.nr ? lpi_room(vm, remote) : 0,
		.lpi_ist_size = ist_size(&gic->lpi),
	};
}

/*
 * Which form it is: KVM_HAS_DEVICE_ATTR has no answer. To one of the two kernels this is a descriptor of nothing,
 * which it refuses before it touches the buffer; to the other a buffer, large enough, for the SPIs.
 * 1 and @buf filled for VGIC_V5_RAW, 0 for VGIC_V5_DESCRIPTOR, or a negative errno, logged.
 */
static int get_raw(struct vm_state *vm, struct remote *remote, uint32_t *buf)
{
	const uint32_t size = VGIC_V5_MAX_SPIS * sizeof(*buf); /* whatever this host's number is */
	struct batch b = BATCH_FOR(remote, vm->id, "GICv5 ISTs", NULL, get_errors);
	int ret;

	memset(buf, 0, size);
	if (vm->vgic_v5->nr_spis)
		batch_get_attr(&b, vm->vgic_v5->fd, KVM_DEV_ARM_VGIC_GRP_IST, 0, buf, size,
			       "KVM_DEV_ARM_VGIC_GRP_IST")
			->may_fail = EINVAL;
	else
		batch_get_attr(&b, vm->vgic_v5->fd, KVM_DEV_ARM_VGIC_GRP_IST, 0, NULL, 0,
			       "KVM_DEV_ARM_VGIC_GRP_IST");
	ret = batch_run(&b);
	if (!ret)
		ret = b.calls[0].result ? 0 : 1;
	batch_fini(&b);
	return ret;
}

static int get_described(struct vm_state *vm, struct remote *remote)
{
	/* As large as the other form's answer: should this be such a kernel after all, it overwrites nothing else. */
	union {
		struct arm64_vgic_v5_ist desc;
		uint32_t spis[VGIC_V5_MAX_SPIS];
	} arg = { .desc = descriptor(vm, remote) };
	const struct arm64_vgic_v5_ist asked = arg.desc;
	struct vgic_v5_state *gic = vm->vgic_v5;
	struct batch b = BATCH_FOR(remote, vm->id, "GICv5 ISTs", NULL, get_errors);
	int ret, err;

	ret = map_room(vm, remote, PROT_READ | PROT_WRITE);
	if (ret)
		return ret;
	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_IST, 0, &arg, sizeof(arg), "KVM_DEV_ARM_VGIC_GRP_IST");
	ret = batch_run(&b);
	batch_fini(&b);
	if (!ret && memcmp(&arg.desc, &asked, sizeof(asked))) {
		pr_err("vm %u: GICv5 ISTs: KVM refused a buffer as if it were a descriptor, and took a descriptor for a "
		       "buffer: try again\n",
		       vm->id);
		ret = -EIO;
	}
	if (!ret)
		ret = remote->ops->read(remote, spi_room(vm, remote), gic->spi.iste, ist_size(&gic->spi));
	if (!ret && gic->lpi.nr)
		ret = remote->ops->read(remote, lpi_room(vm, remote), gic->lpi.iste, ist_size(&gic->lpi));
	err = map_room(vm, remote, PROT_NONE);
	return ret ?: err;
}

/* Of VGIC_V5_RAW: where the guest has it, and KVM has just written it. */
static int read_guest_ist(struct vm_state *vm, struct remote *remote, uint32_t *iste)
{
	struct guest_memory mem = GUEST_MEMORY(vm, remote);
	uint64_t at = id_reg(vm->vgic_v5, "IRS_IST_BASER") & BASER_ADDR;
	int ret = guest_read(&mem, at, iste, ist_size(&vm->vgic_v5->lpi));

	if (ret)
		pr_err("vm %u: LPI IST at %#" PRIx64 ": not in guest memory (errno %d)\n", vm->id, at, -ret);
	return ret;
}

/* ---- dump ---- */

/* The size of both tables, from registers that are read again when these are. */
static int size_ists(struct vm_state *vm)
{
	struct vgic_v5_state *gic = vm->vgic_v5;
	int bits;

	if (gic->nr_spis > VGIC_V5_MAX_SPIS) {
		pr_err("vm %u: GICv5: %u SPIs, at most %u expected\n", vm->id, gic->nr_spis, VGIC_V5_MAX_SPIS);
		return -E2BIG;
	}
	gic->spi.nr = gic->nr_spis;
	gic->spi.iste = calloc(VGIC_V5_MAX_SPIS, sizeof(*gic->spi.iste));
	if (!gic->spi.iste)
		return -ENOMEM;
	bits = vgic_v5_nr_lpis(gic, &gic->lpi.nr);
	if (bits) {
		pr_err("vm %u: GICv5: IRS_IST_CFGR.LPI_ID_BITS %d, at most %u expected\n", vm->id, bits,
		       VGIC_V5_MAX_LPI_ID_BITS);
		return -E2BIG;
	}
	gic->lpi.iste = calloc(gic->lpi.nr + 1, sizeof(*gic->lpi.iste));
	return gic->lpi.iste ? 0 : -ENOMEM;
}

static int capture_ids(struct vm_state *vm, struct remote *remote)
{
	const struct vgic_part part = part_of(vm, 0);
	struct batch b = BATCH_FOR(remote, vm->id, "IRS ID registers", NULL, reg_errors);
	int ret;

	free(vm->vgic_v5->id);
	ret = vgic_regs_capture(&b, &part, vgic_v5_id_regs, vgic_v5_nr_id_regs, &vm->vgic_v5->id);
	batch_fini(&b);
	return ret;
}

/* KVM has no registers of an IRS without address, and of none before INIT, which makes a PPI of software's. */
static int check_is_set_up(const struct vm_state *vm)
{
	const struct vgic_v5_state *gic = vm->vgic_v5;
	const char *lacks = gic->irs_base == VGIC_ADDR_UNSET			    ? "has no address" :
			    !(gic->userspace_ppis[0] | gic->userspace_ppis[1]) ? "was not initialised" :
										     NULL;

	if (!lacks)
		return 0;
	pr_err("vm %u: a GICv5 that %s: not supported by this version: dump it when the VM has been set up\n", vm->id,
	       lacks);
	return -ENOTSUP;
}

int vgic_v5_capture_config(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v5_state *gic = vm->vgic_v5;
	struct batch b = BATCH_FOR(remote, vm->id, "GICv5 addresses", "GICv5", config_errors);
	bool no_nr_irqs;
	int ret;

	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V5_ADDR_TYPE_IRS, &gic->irs_base,
		       sizeof(gic->irs_base), "KVM_VGIC_V5_ADDR_TYPE_IRS");
	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_USERSPACE_PPIS,
		       gic->userspace_ppis, sizeof(gic->userspace_ppis), "KVM_DEV_ARM_VGIC_USERSPACE_PPIS");
	batch_get_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &gic->nr_spis, sizeof(gic->nr_spis),
		       "KVM_DEV_ARM_VGIC_GRP_NR_IRQS")
		->may_fail = ENXIO;
	ret = batch_run(&b);
	no_nr_irqs = !ret && b.calls[2].result;
	batch_fini(&b);
	if (!ret)
		ret = check_is_set_up(vm);
	if (!ret)
		ret = capture_ids(vm, remote);
	if (!ret && no_nr_irqs)
		gic->nr_spis = id_reg(gic, "IRS_IDR6");
	return ret ?: size_ists(vm);
}

int vgic_v5_capture_ists(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v5_state *gic = vm->vgic_v5;
	int ret;

	ret = get_raw(vm, remote, gic->spi.iste);
	if (ret < 0)
		return ret;
	gic->form = ret ? VGIC_V5_RAW : VGIC_V5_DESCRIPTOR;
	if (gic->form == VGIC_V5_DESCRIPTOR)
		return get_described(vm, remote);
	return gic->lpi.nr ? read_guest_ist(vm, remote, gic->lpi.iste) : 0;
}

static const struct vgic_reg *irs_table_reg(const char *name)
{
	for (size_t i = 0; i < vgic_v5_nr_irs_regs; i++)
		if (!strcmp(vgic_v5_irs_regs[i].name, name))
			return &vgic_v5_irs_regs[i];
	abort();
}

static const uint64_t *irs_value(const struct vgic_v5_state *gic, const char *name)
{
	return vgic_values_of(vgic_v5_irs_regs, vgic_v5_nr_irs_regs, gic->irs, name)->v;
}

/* All of a register behind its selector. */
struct walk {
	const char *name; /* of the selector */
	const struct vgic_reg *selr, *reg;
	struct vgic_values *values;
	uint32_t nr;
	uint64_t *which; /* what to write to @selr for each */
};

static void free_walks(struct walk walks[2])
{
	free(walks[0].which);
	free(walks[1].which);
}

/* Of each PE, whose IAFFID is the vCPU's id; of each SPI. */
static int make_walks(struct vm_state *vm, struct walk walks[2])
{
	struct vgic_v5_state *gic = vm->vgic_v5;

	walks[0] = (struct walk){ .name = "IRS_PE_SELR", .reg = &pe_cr0, .values = &gic->pe_cr0, .nr = vm->nr_vcpus };
	walks[1] = (struct walk){
		.name = "IRS_SPI_SELR", .reg = &spi_cfgr, .values = &gic->spi_cfgr, .nr = gic->nr_spis
	};
	for (size_t w = 0; w < 2; w++) {
		walks[w].selr = irs_table_reg(walks[w].name);
		walks[w].which = calloc(walks[w].nr + 1, sizeof(*walks[w].which));
		if (!walks[w].which) {
			free_walks(walks);
			return -ENOMEM;
		}
		for (uint32_t i = 0; i < walks[w].nr; i++)
			walks[w].which[i] = w ? i : vm->vcpus[i].id;
	}
	return 0;
}

/* 1: written; 0: KVM does not let it be, since a vCPU has run; or a negative errno, logged. */
static int try_selector(struct vm_state *vm, struct remote *remote, const struct walk *w)
{
	const struct vgic_part part = part_of(vm, 0);
	struct batch b = BATCH_FOR(remote, vm->id, "IRS registers behind selectors", "IRS registers", reg_errors);
	int ret;

	vgic_reg_add_set(&b, &part, w->selr, 0, irs_value(vm->vgic_v5, w->name))->may_fail = EBUSY;
	ret = batch_run(&b);
	if (!ret)
		ret = !b.calls[0].result;
	batch_fini(&b);
	return ret;
}

static void put_selector_back(struct vm_state *vm, struct remote *remote, const struct walk *w)
{
	const struct vgic_part part = part_of(vm, 0);
	struct batch b = BATCH_FOR(remote, vm->id, "IRS registers behind selectors", "IRS registers", reg_errors);

	vgic_reg_add_set(&b, &part, w->selr, 0, irs_value(vm->vgic_v5, w->name));
	batch_run(&b);
	batch_fini(&b);
}

/*
 * Reads what is behind a selector, and puts the selector back, in one batch: that runs to its end even if criu does
 * not. Linux 7.4 lets no register be written once a vCPU has run (EBUSY), and its document has no such walk: its PEs
 * are all the same, and how an SPI is triggered is in its ISTE.
 */
static int capture_walk(struct vm_state *vm, struct remote *remote, const struct walk *w)
{
	const struct vgic_part part = part_of(vm, 0);
	struct batch b = BATCH_FOR(remote, vm->id, "IRS registers behind selectors", "IRS registers", reg_errors);
	int ret = try_selector(vm, remote, w);

	if (ret <= 0)
		return ret;
	w->values->v = calloc(w->nr + 1, sizeof(*w->values->v));
	if (!w->values->v)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->nr; i++) {
		vgic_reg_add_set(&b, &part, w->selr, 0, &w->which[i]);
		vgic_reg_add_get(&b, &part, w->reg, 0, &w->values->v[i]);
	}
	vgic_reg_add_set(&b, &part, w->selr, 0, irs_value(vm->vgic_v5, w->name));
	ret = batch_run(&b);
	batch_fini(&b);
	if (ret)
		put_selector_back(vm, remote, w);
	else
		w->values->nr = w->nr;
	return ret;
}

int vgic_v5_capture_irs(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v5_state *gic = vm->vgic_v5;
	struct batch b = BATCH_FOR(remote, vm->id, "IRS registers", NULL, reg_errors);
	const struct vgic_part part = part_of(vm, 0);
	struct walk walks[2];
	int ret = capture_ids(vm, remote);

	if (!ret)
		ret = vgic_regs_capture(&b, &part, vgic_v5_irs_regs, vgic_v5_nr_irs_regs, &gic->irs);
	batch_fini(&b);
	if (!ret)
		ret = make_walks(vm, walks);
	if (!ret) {
		ret = capture_walk(vm, remote, &walks[0]) ?: capture_walk(vm, remote, &walks[1]);
		free_walks(walks);
	}
	return ret;
}

int vgic_v5_capture_cpuif(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v5_state *gic = vm->vgic_v5;
	int ret = 0;

	gic->cpuif = calloc(vm->nr_vcpus, sizeof(*gic->cpuif));
	if (!gic->cpuif)
		return -ENOMEM;
	gic->nr_cpus = vm->nr_vcpus;
	for (size_t i = 0; !ret && i < vm->nr_vcpus; i++) {
		const struct vgic_part part = part_of(vm, i);
		struct batch b = BATCH_FOR(remote, vm->id, "GICv5 CPU interface", NULL, reg_errors);

		b.vcpu = i;
		ret = vgic_regs_capture(&b, &part, vgic_v5_cpuif_regs, vgic_v5_nr_cpuif_regs, &gic->cpuif[i]);
		batch_fini(&b);
	}
	return ret;
}

/* ---- restore ---- */

/* Of a new GIC: every SPI is as it was made. */
static int check_form(struct vm_state *vm, struct remote *remote)
{
	static const char *const names[] = {
		[VGIC_V5_DESCRIPTOR] = "a descriptor of two tables (Linux 7.4)",
		[VGIC_V5_RAW] = "the SPIs' table alone (posted before Linux 7.4)",
	};
	uint32_t *fresh = calloc(VGIC_V5_MAX_SPIS, sizeof(*fresh));
	enum vgic_v5_form form;
	int ret;

	if (!fresh)
		return -ENOMEM;
	ret = get_raw(vm, remote, fresh);
	free(fresh);
	if (ret < 0)
		return ret;
	form = ret ? VGIC_V5_RAW : VGIC_V5_DESCRIPTOR;
	if (form == vm->vgic_v5->form)
		return 0;
	pr_err("vm %u: GICv5 ISTs: this host's KVM takes %s, that of the dump %s: restore on a kernel like that of "
	       "the dump\n",
	       vm->id, names[form], names[vm->vgic_v5->form]);
	return -EINVAL;
}

static int check_ppis(struct vm_state *vm, struct remote *remote)
{
	const uint64_t *saved = vm->vgic_v5->userspace_ppis;
	struct batch b = BATCH_FOR(remote, vm->id, "GICv5 addresses", "GICv5", config_errors);
	uint64_t found[2] = { 0 };
	int ret;

	batch_get_attr(&b, vm->vgic_v5->fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_USERSPACE_PPIS, found,
		       sizeof(found), "KVM_DEV_ARM_VGIC_USERSPACE_PPIS");
	ret = batch_run(&b);
	batch_fini(&b);
	if (ret || !memcmp(found, saved, sizeof(found)))
		return ret;
	pr_err("vm %u: GICv5: the VMM may drive PPIs %#" PRIx64 " %#" PRIx64 " on this host, %#" PRIx64 " %#" PRIx64
	       " where it was dumped\n",
	       vm->id, found[0], found[1], saved[0], saved[1]);
	return -EINVAL;
}

int vgic_v5_apply_config(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v5_state *gic = vm->vgic_v5;
	struct batch b = BATCH_FOR(remote, vm->id, "GICv5 addresses", "GICv5", config_errors);
	int ret;

	batch_set_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V5_ADDR_TYPE_IRS, &gic->irs_base,
		       sizeof(gic->irs_base), "KVM_VGIC_V5_ADDR_TYPE_IRS");
	/* Where there is none, the number is the host's, and compared with the ID registers. */
	batch_set_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &gic->nr_spis, sizeof(gic->nr_spis),
		       "KVM_DEV_ARM_VGIC_GRP_NR_IRQS")
		->may_fail = ENXIO;
	batch_set_attr(&b, gic->fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, 0,
		       "KVM_DEV_ARM_VGIC_CTRL_INIT");
	ret = batch_run(&b);
	batch_fini(&b);
	if (!ret)
		ret = check_ppis(vm, remote);
	return ret;
}

enum id_rule { ID_SAME, ID_AT_MOST, ID_AT_LEAST };

/* What the guest has seen of the IRS and this host must be able to be. KVM takes the rest as it is written. */
static const struct {
	const char *reg, *field;
	uint32_t first, bits;
	enum id_rule rule;
} id_fields[] = {
	{ "IRS_IDR0", "INT_DOM", 0, 2, ID_SAME },
	{ "IRS_IDR0", "VIRT", 6, 1, ID_SAME },
	{ "IRS_IDR0", "ONE_N", 7, 1, ID_SAME },
	{ "IRS_IDR0", "VIRT_ONE_N", 8, 1, ID_SAME },
	{ "IRS_IDR0", "SETLPI", 9, 1, ID_SAME },
	{ "IRS_IDR0", "MEC", 10, 1, ID_SAME },
	{ "IRS_IDR0", "MPAM", 11, 1, ID_SAME },
	{ "IRS_IDR0", "SWE", 12, 1, ID_SAME },
	{ "IRS_IDR1", "IAFFID_BITS", 16, 4, ID_SAME },
	{ "IRS_IDR1", "PRIORITY_BITS", 20, 3, ID_AT_MOST },
	{ "IRS_IDR2", "ID_BITS", 0, 5, ID_AT_MOST },
	{ "IRS_IDR2", "LPI", 5, 1, ID_SAME },
	{ "IRS_IDR2", "MIN_LPI_ID_BITS", 6, 4, ID_AT_LEAST },
	{ "IRS_IDR2", "IST_LEVELS", 10, 1, ID_SAME },
	{ "IRS_IDR2", "ISTMD", 14, 1, ID_SAME },
	{ "IRS_IDR2", "ISTMD_SZ", 15, 5, ID_SAME },
	{ "IRS_IDR5", "SPI_RANGE", 0, 25, ID_SAME },
	{ "IRS_IDR6", "SPI_IRS_RANGE", 0, 25, ID_SAME },
	{ "IRS_IDR7", "SPI_BASE", 0, 24, ID_SAME },
};

static bool id_fits(enum id_rule rule, uint64_t saved, uint64_t found)
{
	return rule == ID_SAME ? saved == found : rule == ID_AT_MOST ? saved <= found : saved >= found;
}

static int compare_ids(const struct vm_state *vm, const struct vgic_values *now)
{
	static const char *const words[] = { [ID_SAME] = "", [ID_AT_MOST] = "at most ", [ID_AT_LEAST] = "at least " };
	int ret = 0;

	for (size_t i = 0; i < sizeof(id_fields) / sizeof(id_fields[0]); i++) {
		uint64_t mask = (1ull << id_fields[i].bits) - 1;
		uint64_t saved = id_reg(vm->vgic_v5, id_fields[i].reg) >> id_fields[i].first & mask;
		uint64_t found = vgic_values_of(vgic_v5_id_regs, vgic_v5_nr_id_regs, now, id_fields[i].reg)->v[0] >>
					 id_fields[i].first & mask;

		if (id_fits(id_fields[i].rule, saved, found))
			continue;
		pr_err("vm %u: %s.%s is %" PRIu64 " in the image, %s%" PRIu64 " on this host\n", vm->id,
		       id_fields[i].reg, id_fields[i].field, saved, words[id_fields[i].rule], found);
		ret = -EINVAL;
	}
	return ret;
}

/* The guest may know the implementation by them; KVM does not let them be written. */
static void warn_of_version(const struct vm_state *vm, const struct vgic_values *now)
{
	static const char *const names[] = { "IRS_IIDR", "IRS_AIDR" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		uint64_t found = vgic_values_of(vgic_v5_irs_regs, vgic_v5_nr_irs_regs, now, names[i])->v[0];

		if (found != *irs_value(vm->vgic_v5, names[i]))
			pr_warn("vm %u: %s is %#" PRIx64 " on this host, was %#" PRIx64 "\n", vm->id, names[i], found,
				*irs_value(vm->vgic_v5, names[i]));
	}
}

int vgic_v5_check_ids(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH_FOR(remote, vm->id, "IRS ID registers", NULL, reg_errors);
	struct vgic_values *ids = NULL, *irs = NULL;
	const struct vgic_part part = part_of(vm, 0);
	int ret = vgic_regs_capture(&b, &part, vgic_v5_id_regs, vgic_v5_nr_id_regs, &ids);

	batch_reset(&b);
	if (!ret)
		ret = vgic_regs_capture(&b, &part, vgic_v5_irs_regs, vgic_v5_nr_irs_regs, &irs);
	batch_fini(&b);
	if (!ret) {
		warn_of_version(vm, irs);
		ret = compare_ids(vm, ids);
	}
	free(ids);
	free(irs);
	return ret ?: check_form(vm, remote);
}

static int apply_table(struct vm_state *vm, struct remote *remote, const char *step, const struct vgic_reg *table,
		       size_t nr_regs, const struct vgic_values *values)
{
	const struct vgic_part part = part_of(vm, 0);
	struct batch b = BATCH_FOR(remote, vm->id, step, NULL, reg_errors);
	int ret;

	vgic_regs_add_apply(&b, &part, table, nr_regs, values);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

int vgic_v5_apply_ids(struct vm_state *vm, struct remote *remote)
{
	return apply_table(vm, remote, "IRS ID registers", vgic_v5_id_regs, vgic_v5_nr_id_regs, vm->vgic_v5->id);
}

/* An ISTE as messages have it. */
#define ISTE_TEXT 96
static const char *iste_text(uint32_t e, char text[ISTE_TEXT])
{
	snprintf(text, ISTE_TEXT, "%#x: %s%s%s, priority %u, IAFFID %u", e, ISTE_PENDING(e) ? "pending " : "",
		 ISTE_ACTIVE(e) ? "active " : "", ISTE_ENABLE(e) ? "enabled" : "disabled", ISTE_PRIORITY(e),
		 ISTE_IAFFID(e));
	return text;
}

/* Guest memory has the LPI IST of VGIC_V5_RAW: the guest had written what it liked there, and so may an image. */
static int compare_guest_ist(struct vm_state *vm, struct remote *remote)
{
	const struct vgic_v5_ist *lpi = &vm->vgic_v5->lpi;
	uint32_t *found = calloc(lpi->nr + 1, sizeof(*found)), i = 0;
	char saved_text[ISTE_TEXT], found_text[ISTE_TEXT];
	int ret = found ? read_guest_ist(vm, remote, found) : -ENOMEM;

	while (!ret && i < lpi->nr && found[i] == lpi->iste[i])
		i++;
	if (!ret && i < lpi->nr) {
		pr_err("vm %u: LPI IST: LPI %u is %s in guest memory, %s in the image: guest memory was changed "
		       "between dump and restore\n",
		       vm->id, i, iste_text(found[i], found_text), iste_text(lpi->iste[i], saved_text));
		ret = -EINVAL;
	}
	free(found);
	return ret;
}

/* Both tables where KVM will read them from. */
static int write_room(struct vm_state *vm, struct remote *remote)
{
	const struct vgic_v5_state *gic = vm->vgic_v5;
	int ret = remote->ops->write(remote, spi_room(vm, remote), gic->spi.iste, ist_size(&gic->spi));

	if (!ret && gic->lpi.nr)
		ret = remote->ops->write(remote, lpi_room(vm, remote), gic->lpi.iste, ist_size(&gic->lpi));
	return ret;
}

static int set_ists(struct vm_state *vm, struct remote *remote, const void *value, uint32_t size)
{
	struct batch b = BATCH_FOR(remote, vm->id, "GICv5 ISTs", NULL, set_errors);
	int ret;

	batch_set_attr(&b, vm->vgic_v5->fd, KVM_DEV_ARM_VGIC_GRP_IST, 0, size ? value : NULL, size,
		       "KVM_DEV_ARM_VGIC_GRP_IST");
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

int vgic_v5_apply_ists(struct vm_state *vm, struct remote *remote)
{
	struct vgic_v5_state *gic = vm->vgic_v5;
	struct arm64_vgic_v5_ist desc;
	int ret, err;

	if (gic->form == VGIC_V5_RAW) {
		ret = gic->lpi.nr ? compare_guest_ist(vm, remote) : 0;
		return ret ?: set_ists(vm, remote, gic->spi.iste, ist_size(&gic->spi));
	}
	desc = descriptor(vm, remote);
	ret = map_room(vm, remote, PROT_READ | PROT_WRITE) ?: write_room(vm, remote);
	if (!ret)
		ret = set_ists(vm, remote, &desc, sizeof(desc));
	err = map_room(vm, remote, PROT_NONE);
	return ret ?: err;
}

static int apply_walks(struct vm_state *vm, struct remote *remote, const struct walk walks[2])
{
	const struct vgic_part part = part_of(vm, 0);
	struct batch b = BATCH_FOR(remote, vm->id, "IRS registers behind selectors", NULL, reg_errors);
	int ret;

	for (size_t w = 0; w < 2; w++)
		for (uint32_t i = 0; i < walks[w].values->nr; i++) {
			vgic_reg_add_set(&b, &part, walks[w].selr, 0, &walks[w].which[i]);
			vgic_reg_add_set(&b, &part, walks[w].reg, 0, &walks[w].values->v[i]);
		}
	for (size_t w = 2; w--;)
		vgic_reg_add_set(&b, &part, walks[w].selr, 0, irs_value(vm->vgic_v5, walks[w].name));
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

int vgic_v5_apply_irs(struct vm_state *vm, struct remote *remote)
{
	struct walk walks[2];
	int ret;

	ret = apply_table(vm, remote, "IRS registers", vgic_v5_irs_regs, vgic_v5_nr_irs_regs, vm->vgic_v5->irs);
	if (!ret)
		ret = make_walks(vm, walks);
	if (!ret) {
		ret = apply_walks(vm, remote, walks);
		free_walks(walks);
	}
	return ret;
}

int vgic_v5_apply_cpuif(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH_FOR(remote, vm->id, "GICv5 CPU interface", NULL, reg_errors);
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		const struct vgic_part part = part_of(vm, i);

		b.vcpu = i;
		vgic_regs_add_apply(&b, &part, vgic_v5_cpuif_regs, vgic_v5_nr_cpuif_regs, vm->vgic_v5->cpuif[i]);
	}
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}
