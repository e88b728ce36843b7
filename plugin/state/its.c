// SPDX-License-Identifier: GPL-2.0-only
/*
 * ITSes (Documentation/virt/kvm/devices/arm-vgic-its.rst).
 *
 * What an ITS maps is in KVM's own structures. KVM_DEV_ARM_ITS_SAVE_TABLES writes it to guest
 * memory, from where CRIU carries it and KVM_DEV_ARM_ITS_RESTORE_TABLES reads it. In between it is the
 * guest's to have changed, and whoever can write the images': so the image has it too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "remote/remote.h"
#include "state/guest_memory.h"
#include "state/its.h"
#include "state/vm.h"

#define ITS(name_, offset_, count_, policy_)                                                                 \
	{                                                                                                    \
		.name = name_, .frame = VGIC_ITS, .offset = offset_, .count = count_, .policy = policy_      \
	}

/*
 * "ITS Restore Sequence": CBASER, which resets CREADR and CWRITER; the others; the tables; CTLR. A CBASER of 0,
 * never written, would be kept as 0x1800000000000000, as GICR_PROPBASER would.
 */
const struct vgic_reg its_regs[] = {
	ITS("GITS_TYPER", 0x0008, 1, VGIC_CHECK),  ITS("GITS_CBASER", 0x0080, 1, VGIC_NONZERO),
	ITS("GITS_IIDR", 0x0004, 1, VGIC_SAVE),	   ITS("GITS_BASER", 0x0100, 8, VGIC_SAVE),
	ITS("GITS_CWRITER", 0x0088, 1, VGIC_SAVE), ITS("GITS_CREADR", 0x0090, 1, VGIC_SAVE),
	ITS("GITS_CTLR", 0x0000, 1, VGIC_APART),
};
const size_t its_nr_regs = sizeof(its_regs) / sizeof(its_regs[0]);

uint64_t its_reg(const struct its_state *its, const char *name, uint32_t i)
{
	return its->regs ? vgic_values_of(its_regs, its_nr_regs, its->regs, name)->v[i] : 0;
}

void its_free(struct its_state *itses, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		free(itses[i].regs);
		its_tables_free(&itses[i].tables);
	}
	free(itses);
}

static struct vgic_part part_of(const struct its_state *its)
{
	return (struct vgic_part){ .fd = its->fd };
}

/* What messages call it, also those of calls that wait. */
static const char *its_name(const struct vm_state *vm, struct its_state *its)
{
	if (its->base == VGIC_ADDR_UNSET)
		snprintf(its->name, sizeof(its->name), "ITS %zu, without an address", (size_t)(its - vm->itses));
	else
		snprintf(its->name, sizeof(its->name), "ITS %zu at %#" PRIx64, (size_t)(its - vm->itses), its->base);
	return its->name;
}

/* @run for each ITS of @vm that has an address: without one a guest cannot have used it. */
static int for_each_placed(struct vm_state *vm, struct remote *remote,
			   int (*run)(struct vm_state *vm, struct remote *remote, struct its_state *its))
{
	int ret = 0;

	for (size_t i = 0; i < vm->nr_itses && !ret; i++)
		if (vm->itses[i].base != VGIC_ADDR_UNSET)
			ret = run(vm, remote, &vm->itses[i]);
	return ret;
}

/* A batch for @its. */
static struct batch batch_of(const struct vm_state *vm, struct remote *remote, struct its_state *its, const char *step,
			     const struct kvm_error *errors)
{
	struct batch b = BATCH_FOR(remote, vm->id, step, its_name(vm, its), errors);

	return b;
}

/* Dump */

int its_capture_addresses(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "ITS addresses");
	int ret;

	for (size_t i = 0; i < vm->nr_itses; i++)
		batch_get_attr(&b, vm->itses[i].fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE,
			       &vm->itses[i].base, sizeof(vm->itses[i].base), "KVM_VGIC_ITS_ADDR_TYPE");
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

static int capture_regs(struct vm_state *vm, struct remote *remote, struct its_state *its)
{
	const struct vgic_part part = part_of(its);
	struct batch b = BATCH(remote, vm->id, "ITS registers");
	int ret = vgic_regs_add_capture(&b, &part, its_regs, its_nr_regs, &its->regs) ?: batch_later(&b);

	batch_fini(&b);
	return ret;
}

int its_capture_regs(struct vm_state *vm, struct remote *remote)
{
	return for_each_placed(vm, remote, capture_regs);
}

static const struct kvm_error save_errors[] = {
	{ ENXIO, "it was not set up" },
	{ EINVAL, "a device that it knows has no place in the device table: the guest has changed GITS_BASER0, or "
		  "the level 1 table, since it mapped that device (Linux 6.12; later ones leave it out)" },
	{ EFAULT, "a table of its is not in guest memory: GITS_BASER0, GITS_BASER1, or the ITT_addr of a MAPD" },
	{ EBUSY, "a vCPU runs" },
	{ ENOMEM, "the kernel has no memory for it" },
	{ EACCES, "an LPI is injected directly by a GICv4 ITS, whose state only GICv4.1 can give back: run this "
		  "host's kernel without kvm-arm.vgic_v4_enable" },
	{ 0 },
};

static int check_revision(struct vm_state *vm, struct remote *remote, struct its_state *its)
{
	if (!its_table_revision(its))
		return 0;
	pr_err("vm %u: %s: GITS_IIDR %#" PRIx64 ": tables of a revision this plugin does not know\n", vm->id,
	       its_name(vm, its), its_reg(its, "GITS_IIDR", 0));
	return -EINVAL;
}

static int save_tables(struct vm_state *vm, struct remote *remote, struct its_state *its)
{
	struct batch b = batch_of(vm, remote, its, "ITS tables saved", save_errors);
	int ret;

	batch_set_attr(&b, its->fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_ITS_SAVE_TABLES, NULL, 0,
		       "KVM_DEV_ARM_ITS_SAVE_TABLES");
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

int its_save_tables(struct vm_state *vm, struct remote *remote)
{
	return batch_flush(remote) ?: for_each_placed(vm, remote, check_revision) ?:
	       for_each_placed(vm, remote, save_tables);
}

static int read_tables(struct guest_memory *mem, const struct its_state *its, struct its_tables *tables)
{
	return its_tables_read(mem, its_reg(its, "GITS_BASER", 0), its_reg(its, "GITS_BASER", 1), tables);
}

/* A guest that has broken its own tables is dumped all the same: KVM did not mind. */
static int capture_tables(struct vm_state *vm, struct guest_memory *mem, struct its_state *its)
{
	int ret = read_tables(mem, its, &its->tables);

	if (!ret && its->tables.defect[0])
		pr_warn("vm %u: %s: %s: the guest has overwritten its tables; a restore %s refuse them\n", vm->id,
			its_name(vm, its), its->tables.defect,
			its->tables.endless ? "will" : "by KVM is likely to");
	return ret;
}

int its_capture_tables(struct vm_state *vm, struct remote *remote)
{
	struct guest_memory mem = GUEST_MEMORY(vm, remote);
	int ret = 0;

	for (size_t i = 0; i < vm->nr_itses && !ret; i++)
		ret = capture_tables(vm, &mem, &vm->itses[i]);
	return ret;
}

/* Restore */

static int check_tables(struct vm_state *vm, struct guest_memory *mem, struct its_state *its)
{
	char why[ITS_WHY];
	struct its_tables found;
	int ret = read_tables(mem, its, &found);

	if (!ret && !its_tables_equal(&its->tables, &found, why)) {
		pr_err("vm %u: %s: %s: guest memory was changed between dump and restore\n", vm->id,
		       its_name(vm, its), why);
		ret = -EINVAL;
	}
	if (!ret && found.endless) {
		pr_err("vm %u: %s: %s: tables that keep KVM busy without end are not given to it\n", vm->id,
		       its_name(vm, its), found.defect);
		ret = -E2BIG;
	}
	if (!ret)
		memcpy(its->tables.defect, found.defect, sizeof(found.defect));
	its_tables_free(&found);
	return ret;
}

int its_check_tables(struct vm_state *vm, struct remote *remote)
{
	struct guest_memory mem = GUEST_MEMORY(vm, remote);
	int ret = batch_flush(remote); /* its failure is no hole in guest memory */

	for (size_t i = 0; i < vm->nr_itses && !ret; i++)
		ret = check_tables(vm, &mem, &vm->itses[i]);
	return ret;
}

static const struct kvm_error addr_errors[] = {
	{ E2BIG, "its address is beyond the VM's IPA size" },
	{ EINVAL, "its address is not aligned to 64 KiB" },
	{ EEXIST, "it has an address already" },
	{ ENODEV, "this host's KVM has no ITS" },
	{ 0 },
};

static int place(struct vm_state *vm, struct remote *remote, struct its_state *its)
{
	struct batch b = batch_of(vm, remote, its, "ITS address", addr_errors);
	int ret;

	batch_set_attr(&b, its->fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, &its->base,
		       sizeof(its->base), "KVM_VGIC_ITS_ADDR_TYPE");
	batch_set_attr(&b, its->fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, 0,
		       "KVM_DEV_ARM_VGIC_CTRL_INIT");
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

static const struct kvm_error reg_errors[] = {
	{ ENXIO, "it has no address, or not that register" },
	{ EINVAL, "the value is none that this host's KVM takes" },
	{ EBUSY, "a vCPU runs, or the ITS is enabled already" },
	{ 0 },
};

static int apply_regs(struct vm_state *vm, struct remote *remote, struct its_state *its)
{
	const struct vgic_part part = part_of(its);
	struct batch b = batch_of(vm, remote, its, "ITS registers", reg_errors);
	int ret = place(vm, remote, its) ?: vgic_regs_check(&b, &part, its_regs, its_nr_regs, its->regs);

	if (!ret) {
		vgic_regs_add_apply(&b, &part, its_regs, its_nr_regs, its->regs);
		ret = batch_later(&b);
	}
	batch_fini(&b);
	return ret;
}

int its_apply_regs(struct vm_state *vm, struct remote *remote)
{
	return for_each_placed(vm, remote, apply_regs);
}

static const struct kvm_error restore_errors[] = {
	{ ENXIO, "it was not set up" },
	{ EINVAL, "KVM does not take the tables in guest memory" },
	{ EEXIST, "a collection is there twice" },
	{ EFAULT, "an LPI's configuration (GICR_PROPBASER) or pending bit (GICR_PENDBASER) is not in guest memory" },
	{ EBUSY, "a vCPU runs" },
	{ ENOMEM, "the kernel has no memory for what it maps" },
	{ 0 },
};

static int restore_tables(struct vm_state *vm, struct remote *remote, struct its_state *its)
{
	struct batch b = batch_of(vm, remote, its, "ITS tables", restore_errors);
	bool is_broken = its->tables.defect[0];
	int ret;

	batch_set_attr(&b, its->fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_ITS_RESTORE_TABLES, NULL, 0,
		       "KVM_DEV_ARM_ITS_RESTORE_TABLES");
	ret = is_broken ? batch_run(&b) : batch_later(&b);
	if (is_broken && b.nr && b.calls[0].result) /* else what has failed has waited for it */
		pr_err("vm %u: %s: %s: so it was at the dump: the guest had overwritten its tables\n", vm->id, its->name,
		       its->tables.defect);
	batch_fini(&b);
	return ret;
}

int its_restore_tables(struct vm_state *vm, struct remote *remote)
{
	return for_each_placed(vm, remote, restore_tables);
}

static int apply_ctlr(struct vm_state *vm, struct remote *remote, struct its_state *its)
{
	const struct vgic_part part = part_of(its);
	const struct vgic_values *ctlr = vgic_values_of(its_regs, its_nr_regs, its->regs, "GITS_CTLR");
	struct batch b = batch_of(vm, remote, its, "ITS control", reg_errors);
	int ret;

	vgic_reg_add_set(&b, &part, &its_regs[ctlr - its->regs], 0, ctlr->v);
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

int its_apply_ctlr(struct vm_state *vm, struct remote *remote)
{
	return for_each_placed(vm, remote, apply_ctlr);
}
