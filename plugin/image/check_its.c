// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rules for ITSes and LPIs. Entries of tables are not given to the kernel but compared with those in
 * guest memory, and a guest may have made nonsense of them: they have to be in order, no more.
 */
#include <inttypes.h>

#include "image/check.h"

#define ITS_ALIGN 0x10000ULL

static int check_regs(const struct vm_state *vm, const struct its_state *its)
{
	for (size_t r = 0; r < its_nr_regs; r++)
		if (its->regs[r].nr != its_regs[r].count)
			return refuse_its(vm, its, "%s: %u values expected, %u found", its_regs[r].name,
					  its_regs[r].count, its->regs[r].nr);
	if (its_table_revision(its))
		return refuse_its(vm, its, "GITS_IIDR 0x%" PRIx64 ": tables of a revision not known here",
				  its_reg(its, "GITS_IIDR", 0));
	return 0;
}

static int check_ctes(const struct vm_state *vm, const struct its_state *its)
{
	for (size_t i = 0; i < its->tables.nr_ctes; i++)
		if (!its_is_valid(its->tables.ctes[i]))
			return refuse_its(vm, its, "collection %zu: not valid", i);
	return 0;
}

static int check_l1es(const struct vm_state *vm, const struct its_state *its)
{
	const struct its_l1e *l1es = its->tables.l1es;

	for (size_t i = 0; i < its->tables.nr_l1es; i++)
		if (!its_is_valid(l1es[i].entry) || (i && l1es[i].index <= l1es[i - 1].index))
			return refuse_its(vm, its, "level 1 entry %u: not valid, or not in ascending order", l1es[i].index);
	return 0;
}

static int check_ites(const struct vm_state *vm, const struct its_state *its, const struct its_dte *dte)
{
	const struct its_tables *t = &its->tables;

	for (size_t i = 0; i < dte->nr_ites; i++) {
		uint32_t event_id = its_event_id(t, dte, i);

		if (event_id >= ITS_MAX_IDS || (i && event_id <= its_event_id(t, dte, i - 1)))
			return refuse_its(vm, its,
					  "DeviceID %u, EventID %u: more than %u bits, or not in ascending order",
					  dte->device_id, event_id, ITS_ID_BITS);
		if (!its_ite_pintid(its_ite(t, dte, i)))
			return refuse_its(vm, its, "DeviceID %u, EventID %u: pINTID 0", dte->device_id, event_id);
	}
	return 0;
}

static int check_dte(const struct vm_state *vm, const struct its_state *its, size_t i)
{
	const struct its_dte *dte = &its->tables.dtes[i];

	if (!its_is_valid(dte->entry) || (i && dte->device_id <= dte[-1].device_id))
		return refuse_its(vm, its, "DeviceID %u: not valid, or not in ascending order", dte->device_id);
	return check_ites(vm, its, dte);
}

static int check_tables(const struct vm_state *vm, const struct its_state *its, size_t *nr_ites)
{
	int ret = check_ctes(vm, its);

	if (!ret)
		ret = check_l1es(vm, its);

	for (size_t i = 0; i < its->tables.nr_dtes && !ret; i++) {
		ret = check_dte(vm, its, i);
		*nr_ites += its->tables.dtes[i].nr_ites;
	}
	if (!ret && *nr_ites > ITS_MAX_ITES)
		return refuse_its(vm, its, "more than %u interrupts", ITS_MAX_ITES);
	return ret;
}

static int check_its(const struct vm_state *vm, const struct its_state *its, size_t *nr_ites)
{
	bool placed = its->base != VGIC_ADDR_UNSET;
	int ret;

	if (placed && (!aligned(its->base, ITS_ALIGN) || !within_ipa(vm, its->base, ITS_FRAME_SIZE)))
		return refuse_its(vm, its, "frame 0x%" PRIx64 ": not aligned to 64 KiB, or not within %u IPA bits",
				  its->base, vm->ipa_bits);
	if (placed != !!its->regs)
		return refuse_its(vm, its, "%s", placed ? "no registers" : "registers, but no address");
	if (!placed && (its->tables.nr_ctes || its->tables.nr_l1es || its->tables.nr_dtes))
		return refuse_its(vm, its, "tables, but no address");
	ret = placed ? check_regs(vm, its) : 0;
	return ret ?: check_tables(vm, its, nr_ites);
}

static int check_lpi(const struct vm_state *vm)
{
	if (!!vm->lpi != !!vm->nr_itses)
		return refuse(IMAGE_ITS ": %s", vm->id, vm->lpi ? "LPIs, but no ITS" : "no LPIs");
	if (vm->lpi && vm->lpi->nr_pending != vm->nr_vcpus)
		return refuse(IMAGE_ITS ": %zu pending tables, " IMAGE_VCPU " has %zu vCPUs", vm->id,
			      vm->lpi->nr_pending, vm->id, vm->nr_vcpus);
	return 0;
}

/* After the GIC, which has compared the addresses of its frames with theirs. */
int check_itses(const struct vm_state *vm)
{
	size_t nr_ites = 0;
	int ret = 0;

	for (size_t i = 0; i < vm->nr_itses && !ret; i++)
		ret = check_its(vm, &vm->itses[i], &nr_ites);
	return ret ?: check_lpi(vm);
}
