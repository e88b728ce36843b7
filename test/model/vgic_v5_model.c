// SPDX-License-Identifier: GPL-2.0-only
/*
 * See vgic_v5_model.h. Names and numbers are this file's own, not those of the plugin's tables: a
 * mistake in one of the two is seen.
 */
#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#else
#include <errno.h>
#include <stdio.h>
#include <string.h>
#endif

#include "vgic_v5_model.h"

#define GRP_ADDR 0
#define GRP_NR_IRQS 3
#define GRP_CTRL 4
#define GRP_CPU_SYSREGS 6
#define GRP_IRS_REGS 10
#define GRP_IST 11
#define ADDR_TYPE_IRS 6
#define CTRL_INIT 0
#define USERSPACE_PPIS 5

#define IRS_SIZE 0x20000ull
#define FRAME_SIZE 0x10000u
#define MIN_SPIS 32
#define MAX_SPIS 1024
#define UNSET (~0ull)

#define BASER_VALID 1ull
#define BASER_ADDR 0x00ffffffffffffc0ull
#define CFGR_STRUCTURE 0x10000u
#define CFGR_ISTSZ 0x180u
#define CFGR_KEPT 0x101ffu
#define CFGR_ID_BITS 0x1fu

/* PPIs that KVM has for guests: SW_PPI, the PMU's, timers'. */
#define EXPOSED_PPIS (1ull << 3 | 1ull << 23 | 1ull << 26 | 1ull << 27 | 1ull << 28 | 1ull << 30)

#define ISTE_PENDING 1u
#define ISTE_HM 4u
#define ISTE_HWU 0x600u

struct descriptor {
	u64 spi_addr, spi_size, lpi_addr, lpi_size;
};

void model_init(struct model *m, const struct model_host *host, const struct model_env *env, void *ctx)
{
	memset(m, 0, sizeof(*m));
	m->env = env;
	m->ctx = ctx;
	m->host = *host;
	m->irs_base = UNSET;
}

void model_fini(struct model *m)
{
	m->env->free(m->spi);
	m->env->free(m->is_level);
	m->env->free(m->lpi);
	m->env->free(m->cpus);
}

/* ---- what the state allows ---- */

static bool is_raw(const struct model *m)
{
	return m->host.abi == MODEL_V1;
}

static u32 field(u32 value, int first, int bits)
{
	return value >> first & ((1u << bits) - 1);
}

static bool cfgr_valid(const struct model *m)
{
	u32 bits = m->ist_cfgr & CFGR_ID_BITS;

	return !(m->ist_cfgr & (CFGR_STRUCTURE | CFGR_ISTSZ)) && bits >= field(m->idr2, 6, 4) &&
	       bits <= field(m->idr2, 0, 5);
}

static int make_lpi_ist(struct model *m)
{
	if (!cfgr_valid(m))
		return -EINVAL;
	m->lpi = m->env->alloc(sizeof(u32) << (m->ist_cfgr & CFGR_ID_BITS));
	if (!m->lpi)
		return -ENOMEM;
	m->nr_lpis = 1u << (m->ist_cfgr & CFGR_ID_BITS);
	return 0;
}

static void drop_lpi_ist(struct model *m)
{
	m->env->free(m->lpi);
	m->lpi = NULL;
	m->nr_lpis = 0;
}

/* ---- IRS registers ---- */

enum kind {
	RAZ_WI,
	CONSTANT, /* reads as @value, writes are ignored */
	CHECKED,  /* IRS_IDR*: a write says what the source had */
	STORED,
	OTHER,
};

static const struct irs_reg {
	const char *name;
	u32 offset;
	bool is_wide;
	enum kind kind;
	u32 value;
} irs_regs[] = {
	{ "IDR0", 0x000, false, CHECKED, 0 },
	{ "IDR1", 0x004, false, CHECKED, 0 },
	{ "IDR2", 0x008, false, CHECKED, 0 },
	{ "IDR3", 0x00c, false, RAZ_WI, 0 },
	{ "IDR4", 0x010, false, RAZ_WI, 0 },
	{ "IDR5", 0x014, false, CHECKED, 0 },
	{ "IDR6", 0x018, false, CHECKED, 0 },
	{ "IDR7", 0x01c, false, CHECKED, 0 },
	{ "IIDR", 0x040, false, CONSTANT, 0x04b0043b },
	{ "AIDR", 0x044, false, CONSTANT, 0 },
	{ "CR0", 0x080, false, OTHER, 0 },
	{ "CR1", 0x084, false, STORED, 0xf5ff },
	{ "SYNCR", 0x0c0, false, RAZ_WI, 0 },
	{ "SYNC_STATUSR", 0x0c4, false, CONSTANT, 1 },
	{ "SPI_VMR", 0x100, true, RAZ_WI, 0 },
	{ "SPI_SELR", 0x108, false, STORED, 0xffffff },
	{ "SPI_DOMAINR", 0x10c, false, CONSTANT, 1 },
	{ "SPI_RESAMPLER", 0x110, false, RAZ_WI, 0 },
	{ "SPI_CFGR", 0x114, false, OTHER, 0 },
	{ "SPI_STATUSR", 0x118, false, CONSTANT, 1 },
	{ "PE_SELR", 0x140, false, STORED, 0xffff },
	{ "PE_STATUSR", 0x144, false, CONSTANT, 1 },
	{ "PE_CR0", 0x148, false, OTHER, 0 },
	{ "IST_BASER", 0x180, true, OTHER, 0 },
	{ "IST_CFGR", 0x190, false, OTHER, 0 },
	{ "IST_STATUSR", 0x194, false, CONSTANT, 1 },
	{ "MAP_L2_ISTR", 0x1c0, false, RAZ_WI, 0 },
	{ "VMT_BASER", 0x200, true, RAZ_WI, 0 },
	{ "VMT_CFGR", 0x210, false, RAZ_WI, 0 },
	{ "VMT_STATUSR", 0x214, false, RAZ_WI, 0 },
	{ "VPE_SELR", 0x240, true, RAZ_WI, 0 },
	{ "VPE_DBR", 0x248, true, RAZ_WI, 0 },
	{ "VPE_HPPIR", 0x250, true, RAZ_WI, 0 },
	{ "VPE_CR0", 0x258, false, RAZ_WI, 0 },
	{ "VPE_STATUSR", 0x25c, false, RAZ_WI, 0 },
	{ "VM_DBR", 0x280, true, RAZ_WI, 0 },
	{ "VM_SELR", 0x288, false, RAZ_WI, 0 },
	{ "VM_STATUSR", 0x28c, false, RAZ_WI, 0 },
	{ "VMAP_L2_VMTR", 0x2c0, true, RAZ_WI, 0 },
	{ "VMAP_VMR", 0x2c8, true, RAZ_WI, 0 },
	{ "VMAP_VISTR", 0x2d0, true, RAZ_WI, 0 },
	{ "VMAP_L2_VISTR", 0x2d8, true, RAZ_WI, 0 },
	{ "VMAP_VPER", 0x2e0, true, RAZ_WI, 0 },
	{ "SAVE_VMR", 0x300, true, RAZ_WI, 0 },
	{ "SAVE_VM_STATUSR", 0x308, false, RAZ_WI, 0 },
	{ "MEC_IDR", 0x340, false, RAZ_WI, 0 },
	{ "MEC_MECID_R", 0x344, false, RAZ_WI, 0 },
	{ "MPAM_IDR", 0x380, false, RAZ_WI, 0 },
	{ "MPAM_PARTID_R", 0x384, false, RAZ_WI, 0 },
	{ "SWERR_STATUSR", 0x3c0, true, RAZ_WI, 0 },
	{ "SWERR_SYNDROMER0", 0x3c8, true, RAZ_WI, 0 },
	{ "SWERR_SYNDROMER1", 0x3d0, true, RAZ_WI, 0 },
	/* The documents give no values for these, but for the component ids of every Arm device. */
	{ "DEVARCH", 0xffbc, false, CONSTANT, 0 },
	{ "PIDR4", 0xffd0, false, CONSTANT, 4 },
	{ "PIDR5", 0xffd4, false, CONSTANT, 0 },
	{ "PIDR6", 0xffd8, false, CONSTANT, 0 },
	{ "PIDR7", 0xffdc, false, CONSTANT, 0 },
	{ "PIDR0", 0xffe0, false, CONSTANT, 0 },
	{ "PIDR1", 0xffe4, false, CONSTANT, 0xb0 },
	{ "PIDR2", 0xffe8, false, CONSTANT, 0x0b },
	{ "PIDR3", 0xffec, false, CONSTANT, 0 },
	{ "CIDR0", 0xfff0, false, CONSTANT, 0x0d },
	{ "CIDR1", 0xfff4, false, CONSTANT, 0xf0 },
	{ "CIDR2", 0xfff8, false, CONSTANT, 0x05 },
	{ "CIDR3", 0xfffc, false, CONSTANT, 0xb1 },
};

static const struct irs_reg *irs_reg_at(u64 offset)
{
	size_t i;

	for (i = 0; i < sizeof(irs_regs) / sizeof(irs_regs[0]); i++)
		if (offset >= irs_regs[i].offset && offset < irs_regs[i].offset + (irs_regs[i].is_wide ? 8 : 4))
			return &irs_regs[i];
	return NULL;
}

static bool has_iaffid(const struct model *m, u32 iaffid)
{
	u32 i;

	for (i = 0; i < m->env->nr_vcpus(m->ctx); i++)
		if (m->env->vcpu_id(m->ctx, i) == iaffid)
			return true;
	return false;
}

static u64 get_irs_reg(const struct model *m, const struct irs_reg *reg)
{
	switch (reg->offset) {
	case 0x000:
		return m->idr0;
	case 0x004:
		return (m->idr1 & ~0xffffu) | m->env->nr_vcpus(m->ctx);
	case 0x008:
		return m->idr2;
	case 0x014:
	case 0x018:
		return m->nr_spis;
	case 0x080:
		return m->cr0 | 2; /* IDLE */
	case 0x084:
		return m->cr1;
	case 0x108:
		return m->spi_selr;
	case 0x114:
		return m->spi_selr < m->nr_spis && m->is_level[m->spi_selr];
	case 0x140:
		return m->pe_selr;
	case 0x148:
		return has_iaffid(m, m->pe_selr);
	case 0x180:
		return m->ist_baser;
	case 0x190:
		return m->ist_cfgr;
	}
	return reg->kind == CONSTANT ? reg->value : 0;
}

/* A source that this host could not have been. */
static int check_idr(struct model *m, u32 offset, u32 value)
{
	switch (offset) {
	case 0x000:
		if (field(value, 0, 2) != 1 || field(value, 6, 7))
			return -EINVAL;
		m->idr0 = value;
		return 0;
	case 0x004:
		if (field(value, 16, 4) != field(m->idr1, 16, 4) ||
		    field(value, 20, 3) > m->host.priority_bits - 1)
			return -EINVAL;
		m->idr1 = value & ~0xffffu; /* PE_CNT is what it is */
		return 0;
	case 0x008:
		if (!field(value, 5, 1) || field(value, 10, 1) || field(value, 14, 6) ||
		    field(value, 0, 5) > m->host.id_bits || field(value, 6, 4) < m->host.min_lpi_id_bits ||
		    field(value, 6, 4) > field(value, 0, 5))
			return -EINVAL;
		m->idr2 = value;
		return 0;
	}
	return field(value ^ get_irs_reg(m, irs_reg_at(offset)), 0, offset == 0x01c ? 24 : 25) ? -EINVAL : 0;
}

static int set_cfgr(struct model *m, u32 value)
{
	value &= CFGR_KEPT;
	if (m->lpi && value != m->ist_cfgr)
		return -EINVAL;
	m->ist_cfgr = value;
	return 0;
}

/* The v1 documents: the table is made when BASER is written. */
static int set_baser_v1(struct model *m, u64 value)
{
	int ret;

	drop_lpi_ist(m);
	m->ist_baser = 0;
	ret = value & BASER_VALID ? make_lpi_ist(m) : 0;
	if (!ret)
		m->ist_baser = value;
	return ret;
}

static int set_baser(struct model *m, u64 value)
{
	value &= BASER_ADDR | BASER_VALID;
	if (is_raw(m))
		return set_baser_v1(m, value);
	if (m->lpi && value != m->ist_baser)
		return -EINVAL;
	if (!m->lpi && value & BASER_VALID && !(m->ist_baser & BASER_VALID))
		m->restore_pending = true;
	m->ist_baser = value;
	return 0;
}

/*
 * What the documents' order forbids and KVM may let pass; EPROTO is no errno of the interface. Merged: all IRS
 * registers, then GRP_IST. v1: ID registers, IST_CFGR, IST_BASER, then GRP_IST, then the others.
 */
static bool out_of_order(const struct model *m, const struct irs_reg *reg, u64 value)
{
	if (reg->offset == 0x180 || reg->offset == 0x190)
		return m->ist_restored && value != get_irs_reg(m, reg);
	if (!is_raw(m))
		return m->ist_restored;
	if (reg->kind == CHECKED)
		return m->baser_restored || m->ist_restored;
	return m->restoring && !m->ist_restored;
}

static int set_irs_reg(struct model *m, const struct irs_reg *reg, u64 value)
{
	switch (reg->offset) {
	case 0x080:
		m->cr0 = value & 1;
		return 0;
	case 0x084:
		m->cr1 = value & reg->value;
		return 0;
	case 0x108:
		m->spi_selr = value & reg->value;
		return 0;
	case 0x114:
		if (is_raw(m) && m->spi_selr < m->nr_spis)
			m->is_level[m->spi_selr] = value & 1;
		return 0;
	case 0x140:
		m->pe_selr = value & reg->value;
		return 0;
	case 0x180:
		return set_baser(m, value);
	case 0x190:
		return set_cfgr(m, value);
	}
	return reg->kind == CHECKED ? check_idr(m, reg->offset, value) : 0;
}

static int user_writes(struct model *m, const struct irs_reg *reg, u64 value)
{
	bool wrong = out_of_order(m, reg, value);
	int ret = set_irs_reg(m, reg, value);

	if (!ret && wrong)
		return -EPROTO;
	if (!ret && reg->kind == CHECKED)
		m->restoring = true;
	if (!ret && reg->offset == 0x180)
		m->baser_restored = true;
	return ret;
}

/* A guest's write: IST_BASER makes and frees the table at once. */
static int guest_writes(struct model *m, u64 offset, u64 value)
{
	const struct irs_reg *reg = irs_reg_at(offset);

	if (!reg)
		return -ENXIO;
	if (reg->offset == 0x190 && m->ist_baser & BASER_VALID)
		return 0;
	if (reg->offset == 0x114 && m->spi_selr < m->nr_spis)
		m->is_level[m->spi_selr] = value & 1;
	if (reg->offset != 0x180)
		return reg->kind == CHECKED ? 0 : set_irs_reg(m, reg, value);
	if (m->ist_baser & BASER_VALID && value & BASER_VALID)
		return 0;
	drop_lpi_ist(m);
	m->ist_baser = 0;
	if (!(value & BASER_VALID))
		return 0;
	if (!make_lpi_ist(m))
		m->ist_baser = value & (BASER_ADDR | BASER_VALID);
	return 0;
}

/* ---- CPU interface ---- */

static const struct cpu_reg {
	const char *name;
	u32 instr;
	u64 kept; /* bits that a write leaves there; 0: RAZ/WI */
} cpu_regs[MODEL_CPU_REGS] = {
	{ "ICC_ICSR_EL1", 0xc654, 0x0000ffff0000f83full },
	{ "ICC_PPI_ENABLER0_EL1", 0xc656, ~0ull },
	{ "ICC_PPI_ENABLER1_EL1", 0xc657, 0 },
	{ "ICC_PPI_SACTIVER0_EL1", 0xc66a, ~0ull },
	{ "ICC_PPI_SACTIVER1_EL1", 0xc66b, 0 },
	{ "ICC_PPI_SPENDR0_EL1", 0xc66e, ~0ull },
	{ "ICC_PPI_SPENDR1_EL1", 0xc66f, 0 },
	{ "ICC_PPI_PRIORITYR0_EL1", 0xc670, 0x1f1f1f1f1f1f1f1full },
	{ "ICC_PPI_PRIORITYR1_EL1", 0xc671, 0x1f1f1f1f1f1f1f1full },
	{ "ICC_PPI_PRIORITYR2_EL1", 0xc672, 0x1f1f1f1f1f1f1f1full },
	{ "ICC_PPI_PRIORITYR3_EL1", 0xc673, 0x1f1f1f1f1f1f1f1full },
	{ "ICC_PPI_PRIORITYR4_EL1", 0xc674, 0x1f1f1f1f1f1f1f1full },
	{ "ICC_PPI_PRIORITYR5_EL1", 0xc675, 0x1f1f1f1f1f1f1f1full },
	{ "ICC_PPI_PRIORITYR6_EL1", 0xc676, 0x1f1f1f1f1f1f1f1full },
	{ "ICC_PPI_PRIORITYR7_EL1", 0xc677, 0x1f1f1f1f1f1f1f1full },
	{ "ICC_PPI_PRIORITYR8_EL1", 0xc678, 0 },
	{ "ICC_PPI_PRIORITYR9_EL1", 0xc679, 0 },
	{ "ICC_PPI_PRIORITYR10_EL1", 0xc67a, 0 },
	{ "ICC_PPI_PRIORITYR11_EL1", 0xc67b, 0 },
	{ "ICC_PPI_PRIORITYR12_EL1", 0xc67c, 0 },
	{ "ICC_PPI_PRIORITYR13_EL1", 0xc67d, 0 },
	{ "ICC_PPI_PRIORITYR14_EL1", 0xc67e, 0 },
	{ "ICC_PPI_PRIORITYR15_EL1", 0xc67f, 0 },
	{ "ICC_APR_EL1", 0xce00, 0xffffffffull },
	{ "ICC_CR0_EL1", 0xce01, 1 },
	{ "ICC_PCR_EL1", 0xce02, 0x1f },
};

static const struct cpu_reg *cpu_reg_at(u32 instr)
{
	size_t i;

	for (i = 0; i < MODEL_CPU_REGS; i++)
		if (cpu_regs[i].instr == instr)
			return &cpu_regs[i];
	return NULL;
}

static s64 vcpu_of_attr(const struct model *m, u64 attr)
{
	u32 i;

	for (i = 0; i < m->env->nr_vcpus(m->ctx); i++)
		if (m->env->vcpu_mpidr(m->ctx, i) == attr >> 32)
			return i;
	return -1;
}

/* LINK and LINK_IDLE read as one. */
static u64 cpu_reg_read(const struct cpu_reg *reg, u64 value)
{
	return reg->instr == 0xce01 ? value | 6 : value;
}

/* ---- groups ---- */

static int set_addr(struct model *m, const struct kvm_device_attr *attr)
{
	u64 base;

	if (m->env->copy_in(m->ctx, &base, attr->addr, sizeof(base)))
		return -EFAULT;
	if (attr->attr != ADDR_TYPE_IRS)
		return -ENXIO;
	if (m->irs_base != UNSET)
		return -EEXIST;
	if (base % FRAME_SIZE || base + IRS_SIZE < base)
		return -EINVAL;
	if (base + IRS_SIZE > 1ull << m->host.ipa_bits)
		return -E2BIG;
	m->irs_base = base;
	return 0;
}

static int get_addr(struct model *m, const struct kvm_device_attr *attr)
{
	if (attr->attr != ADDR_TYPE_IRS)
		return -ENXIO;
	return m->env->copy_out(m->ctx, attr->addr, &m->irs_base, sizeof(m->irs_base));
}

static int set_nr_irqs(struct model *m, const struct kvm_device_attr *attr)
{
	u32 nr;

	if (is_raw(m))
		return -ENXIO;
	if (m->env->copy_in(m->ctx, &nr, attr->addr, sizeof(nr)))
		return -EFAULT;
	if (nr < MIN_SPIS || nr > MAX_SPIS || nr % 32)
		return -EINVAL;
	if (m->nr_irqs_set || m->initialised)
		return -EBUSY;
	m->nr_irqs_set = true;
	m->nr_spis = nr;
	return 0;
}

static u32 log2_up(u32 n)
{
	u32 bits = 0;

	while (bits < 31 && 1u << bits < n)
		bits++;
	return bits;
}

static int initialise(struct model *m)
{
	u32 i, nr = m->env->nr_vcpus(m->ctx), max_id = 1;

	if (m->initialised)
		return 0;
	if (!nr)
		return -ENODEV;
	if (nr > MODEL_VCPUS)
		return -E2BIG;
	for (i = 0; i < nr; i++)
		if (m->env->vcpu_id(m->ctx, i) > max_id)
			max_id = m->env->vcpu_id(m->ctx, i);
	if (is_raw(m))
		m->nr_spis = m->host.nr_spis;
	else if (!m->nr_irqs_set)
		m->nr_spis = MIN_SPIS;
	m->cpus = m->env->alloc(nr * sizeof(*m->cpus));
	m->spi = m->env->alloc((m->nr_spis + 1) * sizeof(*m->spi));
	m->is_level = m->env->alloc((m->nr_spis + 1) * sizeof(*m->is_level));
	if (!m->cpus || !m->spi || !m->is_level) {
		m->env->free(m->cpus);
		m->env->free(m->spi);
		m->env->free(m->is_level);
		m->cpus = NULL;
		m->spi = NULL;
		m->is_level = NULL;
		return -ENOMEM;
	}
	m->idr0 = 1 | m->host.pa_range << 2;
	m->idr1 = (log2_up(max_id + 1) - 1) << 16 | (m->host.priority_bits - 1) << 20;
	m->idr2 = (m->host.id_bits < 16 ? m->host.id_bits : 16) | 1 << 5 | m->host.min_lpi_id_bits << 6;
	m->spi_selr = 0xffffff;
	m->pe_selr = 0xffff;
	m->initialised = true;
	return 0;
}

static int get_ppis(struct model *m, const struct kvm_device_attr *attr)
{
	u64 mask[2] = { m->initialised ? 8 : 0, 0 };

	if (attr->attr != USERSPACE_PPIS)
		return -ENXIO;
	return m->env->copy_out(m->ctx, attr->addr, mask, sizeof(mask));
}

static int set_ctrl(struct model *m, const struct kvm_device_attr *attr)
{
	return attr->attr == CTRL_INIT ? initialise(m) : -ENXIO;
}

/* No vCPU is in KVM_RUN, all is initialised, and where @fresh none has ever run. Taken until unlock_vcpus(). */
static int lock(struct model *m, bool fresh)
{
	int ret = 0;

	if (!m->env->lock_vcpus(m->ctx))
		return -EBUSY;
	if (!m->initialised || (fresh && m->env->has_run(m->ctx)))
		ret = -EBUSY;
	if (ret)
		m->env->unlock_vcpus(m->ctx);
	return ret;
}

static int access_cpu(struct model *m, const struct kvm_device_attr *attr, bool set)
{
	const struct cpu_reg *reg = cpu_reg_at((u32)attr->attr);
	s64 i = vcpu_of_attr(m, attr->attr);
	u64 value = 0, *here;
	int ret;

	if (i < 0)
		return -EINVAL;
	ret = lock(m, set && !is_raw(m));
	if (ret)
		return ret;
	if (set && m->env->copy_in(m->ctx, &value, attr->addr, sizeof(value)))
		ret = -EFAULT;
	else if (!reg)
		ret = -ENOENT;
	if (!ret) {
		here = &m->cpus[i].reg[reg - cpu_regs];
		if (set)
			*here = value & reg->kept;
		value = cpu_reg_read(reg, *here);
	}
	m->env->unlock_vcpus(m->ctx);
	if (!ret && !set)
		ret = m->env->copy_out(m->ctx, attr->addr, &value, sizeof(value));
	return ret;
}

static int irs_reg_error(u64 offset)
{
	const struct irs_reg *reg = offset < FRAME_SIZE ? irs_reg_at(offset) : NULL;

	if (!reg)
		return -ENXIO;
	return offset == reg->offset ? 0 : -EINVAL;
}

static int access_irs(struct model *m, const struct kvm_device_attr *attr, bool set)
{
	const struct irs_reg *reg = irs_reg_at(attr->attr);
	u64 value = 0;
	int ret;

	if (!m->env->nr_vcpus(m->ctx))
		return -EINVAL;
	if (set && m->env->copy_in(m->ctx, &value, attr->addr, sizeof(value)))
		return -EFAULT;
	ret = lock(m, set && !is_raw(m));
	if (ret)
		return ret;
	if (m->irs_base == UNSET)
		ret = -ENXIO;
	if (!ret)
		ret = irs_reg_error(attr->attr);
	if (!ret && !reg->is_wide)
		value = (u32)value;
	if (!ret && set)
		ret = user_writes(m, reg, value);
	else if (!ret)
		value = get_irs_reg(m, reg);
	m->env->unlock_vcpus(m->ctx);
	if (!ret && !set)
		ret = m->env->copy_out(m->ctx, attr->addr, &value, sizeof(value));
	return ret;
}

/* ---- ISTs ---- */

static bool lpis_valid(const struct model *m)
{
	return m->ist_baser & BASER_VALID;
}

static int read_descriptor(struct model *m, u64 addr, struct descriptor *d)
{
	if (!addr)
		return -EINVAL;
	if (m->env->copy_in(m->ctx, d, addr, sizeof(*d)))
		return -EFAULT;
	if (!d->spi_addr || d->spi_size != m->nr_spis * sizeof(u32))
		return -EINVAL;
	if (!lpis_valid(m))
		return d->lpi_addr || d->lpi_size ? -EINVAL : 0;
	if (!cfgr_valid(m) || !d->lpi_addr || d->lpi_size != sizeof(u32) << (m->ist_cfgr & CFGR_ID_BITS))
		return -EINVAL;
	return 0;
}

static int get_ists(struct model *m, u64 addr)
{
	struct descriptor d;
	int ret = read_descriptor(m, addr, &d);

	if (!ret)
		ret = m->env->fails(m->ctx, "QUIESCE", GRP_IST, 0);
	if (!ret)
		ret = m->env->copy_out(m->ctx, d.spi_addr, m->spi, d.spi_size);
	if (!ret)
		ret = m->env->fails(m->ctx, "QUIESCE", GRP_IST, 1);
	if (!ret && lpis_valid(m))
		ret = m->lpi ? m->env->copy_out(m->ctx, d.lpi_addr, m->lpi, d.lpi_size) : -ENXIO;
	return ret ? ret : m->env->fails(m->ctx, "QUIESCE", GRP_IST, 2);
}

/* Pendings are made again when all entries are there: as one reads them, they are as they were written. */
static int take_entries(struct model *m, u32 *table, u64 addr, size_t size)
{
	size_t i;

	if (m->env->copy_in(m->ctx, table, addr, size))
		return -EFAULT;
	for (i = 0; i < size / sizeof(u32); i++)
		table[i] &= ~ISTE_HWU;
	return 0;
}

/* How an SPI is triggered goes with its entry. */
static void take_triggers(struct model *m)
{
	u32 i;

	for (i = 0; i < m->nr_spis; i++)
		m->is_level[i] = m->spi[i] & ISTE_HM;
}

static void drop_pendings(struct model *m)
{
	u32 i;

	for (i = 0; i < m->nr_spis; i++)
		m->spi[i] &= ~ISTE_PENDING;
}

static int set_ists(struct model *m, u64 addr)
{
	struct descriptor d;
	int ret = read_descriptor(m, addr, &d);

	if (ret)
		return ret;
	if (m->lpi)
		return -EBUSY;
	if (lpis_valid(m))
		ret = make_lpi_ist(m);
	if (!ret)
		ret = take_entries(m, m->spi, d.spi_addr, d.spi_size);
	if (!ret && m->lpi)
		ret = take_entries(m, m->lpi, d.lpi_addr, d.lpi_size);
	if (ret) {
		drop_pendings(m);
		drop_lpi_ist(m);
		return ret;
	}
	take_triggers(m);
	m->restore_pending = false;
	m->ist_restored = true;
	return 0;
}

/* The v1 documents: the buffer of the SPIs; LPIs are where the guest has put them. */
static int check_raw(const struct model *m, u64 addr)
{
	if (!m->nr_spis)
		return addr ? -ENOENT : 0;
	return addr ? 0 : -EINVAL;
}

static int get_ists_v1(struct model *m, u64 addr)
{
	int ret = check_raw(m, addr);

	if (!ret && m->nr_spis)
		ret = m->env->copy_out(m->ctx, addr, m->spi, m->nr_spis * sizeof(u32));
	if (!ret && m->lpi)
		ret = m->env->guest_write(m->ctx, m->ist_baser & BASER_ADDR, m->lpi, m->nr_lpis * sizeof(u32));
	return ret;
}

static int set_ists_v1(struct model *m, u64 addr)
{
	int ret = check_raw(m, addr);
	u32 i;

	if (!ret && m->nr_spis)
		ret = take_entries(m, m->spi, addr, m->nr_spis * sizeof(u32));
	if (!ret && m->lpi)
		ret = m->env->guest_read(m->ctx, m->ist_baser & BASER_ADDR, m->lpi, m->nr_lpis * sizeof(u32));
	for (i = 0; !ret && i < m->nr_lpis; i++)
		m->lpi[i] &= ~ISTE_HWU;
	if (!ret)
		m->ist_restored = true;
	return ret;
}

static int access_ists(struct model *m, const struct kvm_device_attr *attr, bool set)
{
	int ret;

	if (attr->attr)
		return -ENXIO;
	ret = lock(m, set && !is_raw(m));
	if (ret)
		return ret;
	if (is_raw(m))
		ret = set ? set_ists_v1(m, attr->addr) : get_ists_v1(m, attr->addr);
	else
		ret = set ? set_ists(m, attr->addr) : get_ists(m, attr->addr);
	m->env->unlock_vcpus(m->ctx);
	return ret;
}

/* ---- what a test does ---- */

static int set_test(struct model *m, const struct kvm_device_attr *attr)
{
	u32 low = (u32)attr->attr;
	u64 value;

	if (!m->initialised)
		return -EBUSY;
	if (m->env->copy_in(m->ctx, &value, attr->addr, sizeof(value)))
		return -EFAULT;
	switch (attr->attr - low) {
	case MODEL_TEST_GUEST_REG:
		return guest_writes(m, low, value);
	case MODEL_TEST_SPI:
		if (low >= m->nr_spis)
			return -EINVAL;
		m->spi[low] = (u32)value;
		m->is_level[low] = value & ISTE_HM;
		return 0;
	case MODEL_TEST_LPI:
		if (low >= m->nr_lpis)
			return -EINVAL;
		m->lpi[low] = (u32)value;
		return 0;
	case MODEL_TEST_CPU_REG:
		if (low >> 16 >= m->env->nr_vcpus(m->ctx) || !cpu_reg_at(low & 0xffff))
			return -EINVAL;
		m->cpus[low >> 16].reg[cpu_reg_at(low & 0xffff) - cpu_regs] =
			value & cpu_reg_at(low & 0xffff)->kept;
		return 0;
	}
	return -ENXIO;
}

static void hide_ppis(struct model *m, u32 i)
{
	static const u32 instrs[] = { 0xc656, 0xc66a, 0xc66e }; /* ENABLER0, SACTIVER0, SPENDR0 */
	size_t r;

	for (r = 0; r < sizeof(instrs) / sizeof(instrs[0]); r++)
		m->cpus[i].reg[cpu_reg_at(instrs[r]) - cpu_regs] &= EXPOSED_PPIS;
}

int model_first_run(struct model *m, u32 i)
{
	if (!m->initialised)
		return -EBUSY;
	if (m->restore_pending)
		return -EINVAL;
	if (m->irs_base == UNSET)
		return -ENXIO;
	if (!m->cpus[i].ran)
		hide_ppis(m, i);
	m->cpus[i].ran = true;
	return 0;
}

/* ---- the device ---- */

void model_name(const struct model *m, const struct kvm_device_attr *attr, char *name, size_t size)
{
	u32 low = (u32)attr->attr;

	switch (attr->group) {
	case GRP_ADDR:
		snprintf(name, size, "ADDR %u", low);
		return;
	case GRP_NR_IRQS:
		snprintf(name, size, "NR_IRQS");
		return;
	case GRP_CTRL:
		snprintf(name, size, "CTRL %s",
			 low == CTRL_INIT      ? "INIT" :
			 low == USERSPACE_PPIS ? "USERSPACE_PPIS" :
						 "?");
		return;
	case GRP_CPU_SYSREGS:
		snprintf(name, size, "CPU_SYSREGS %lld %s", (long long)vcpu_of_attr(m, attr->attr),
			 cpu_reg_at(low) ? cpu_reg_at(low)->name : "?");
		return;
	case GRP_IRS_REGS:
		snprintf(name, size, "IRS_REGS %s", irs_reg_at(low) ? irs_reg_at(low)->name : "?");
		return;
	case GRP_IST:
		snprintf(name, size, "IST");
		return;
	}
	snprintf(name, size, "group %u", attr->group);
}

static void record(const struct model *m, const char *op, const struct kvm_device_attr *attr, int ret)
{
	char line[MODEL_LINE], name[64];

	model_name(m, attr, name, sizeof(name));
	if (attr->group == GRP_IRS_REGS && (attr->attr == 0x108 || attr->attr == 0x140) && !ret)
		snprintf(line, sizeof(line), "%s %s %u: 0", op, name, attr->attr == 0x108 ? m->spi_selr : m->pe_selr);
	else
		snprintf(line, sizeof(line), "%s %s: %d", op, name, ret);
	m->env->record(m->ctx, line);
}

static int do_set(struct model *m, const struct kvm_device_attr *attr)
{
	switch (attr->group) {
	case GRP_ADDR:
		return set_addr(m, attr);
	case GRP_NR_IRQS:
		return set_nr_irqs(m, attr);
	case GRP_CTRL:
		return set_ctrl(m, attr);
	case GRP_CPU_SYSREGS:
		return access_cpu(m, attr, true);
	case GRP_IRS_REGS:
		return access_irs(m, attr, true);
	case GRP_IST:
		return access_ists(m, attr, true);
	}
	return -ENXIO;
}

static int do_get(struct model *m, const struct kvm_device_attr *attr)
{
	switch (attr->group) {
	case GRP_ADDR:
		return get_addr(m, attr);
	case GRP_NR_IRQS:
		return is_raw(m) ? -ENXIO : m->env->copy_out(m->ctx, attr->addr, &m->nr_spis, sizeof(m->nr_spis));
	case GRP_CTRL:
		return get_ppis(m, attr);
	case GRP_CPU_SYSREGS:
		return access_cpu(m, attr, false);
	case GRP_IRS_REGS:
		return access_irs(m, attr, false);
	case GRP_IST:
		return access_ists(m, attr, false);
	}
	return -ENXIO;
}

int model_set_attr(struct model *m, const struct kvm_device_attr *attr)
{
	int ret;

	if (attr->group == MODEL_GRP_TEST)
		return set_test(m, attr);
	ret = m->env->fails(m->ctx, "SET", attr->group, attr->attr);
	if (!ret)
		ret = do_set(m, attr);
	record(m, "SET", attr, ret);
	return ret;
}

int model_get_attr(struct model *m, const struct kvm_device_attr *attr)
{
	int ret = m->env->fails(m->ctx, "GET", attr->group, attr->attr);

	if (!ret)
		ret = do_get(m, attr);
	record(m, "GET", attr, ret);
	return ret;
}

int model_has_attr(struct model *m, const struct kvm_device_attr *attr)
{
	switch (attr->group) {
	case GRP_ADDR:
		return attr->attr == ADDR_TYPE_IRS ? 0 : -ENXIO;
	case GRP_NR_IRQS:
		return is_raw(m) ? -ENXIO : 0;
	case GRP_CTRL:
		return attr->attr == CTRL_INIT || attr->attr == USERSPACE_PPIS ? 0 : -ENXIO;
	case GRP_CPU_SYSREGS:
		if (vcpu_of_attr(m, attr->attr) < 0)
			return -EINVAL;
		return cpu_reg_at((u32)attr->attr) ? 0 : -ENXIO;
	case GRP_IRS_REGS:
		return m->env->nr_vcpus(m->ctx) ? irs_reg_error(attr->attr) : -EINVAL;
	case GRP_IST:
	case MODEL_GRP_TEST:
		return attr->attr && attr->group == GRP_IST ? -ENXIO : 0;
	}
	return -ENXIO;
}
