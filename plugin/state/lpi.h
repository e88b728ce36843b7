/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * LPIs: their configuration table and each redistributor's pending table, which are in
 * guest memory. KVM reads them when an LPI is mapped, and when LPIs are enabled.
 */
#ifndef KVM_VGIC_STATE_LPI_H
#define KVM_VGIC_STATE_LPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LPI_NR 57344u /* INTIDs 8192 to 65535 */

/*
 * What a table says of the LPIs from INTID 8192 on, without the zeros at its end. It ends early where guest
 * memory does.
 */
struct lpi_table {
	uint8_t *bytes;
	uint32_t size; /* bytes */
};

/* Of a VM that has an ITS. */
struct lpi_state {
	struct lpi_table config;   /* a byte for each LPI: GICR_PROPBASER is the same in all of KVM's */
	struct lpi_table *pending; /* a bit for each LPI; indexed as vm_state.vcpus is */
	size_t nr_pending;
	/*
	 * The pending tables before KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, whole, to put back where the VM
	 * goes on; or NULL. Not in images.
	 */
	struct lpi_table *kept;
	bool captured; /* config and pending are what KVM has saved, whole; not in images */
	bool compared; /* guest memory has these tables; not in images */
};

struct vm_state;
struct remote;

/* Steps of the dump sequence (plan.c); nothing to do for a VM without ITS. 0 or a negative errno, logged. */
int lpi_keep_pending(struct vm_state *vm, struct remote *remote);
int lpi_save_pending(struct vm_state *vm, struct remote *remote);
int lpi_capture(struct vm_state *vm, struct remote *remote);
/*
 * Undoes lpi_save_pending() in guest memory: a bit that stays there while the VM goes on is an
 * interrupt again when the guest next maps that LPI. Memory in files is the restored VM's too once
 * @dumped, and left alone. @went_on: a thread of the VMM has gone on since, and they are not known any more. 0 or a
 * negative errno, logged.
 */
int lpi_put_back(struct vm_state *vm, struct remote *remote, bool dumped, bool went_on);

/* Whether the tables in guest memory are what @vm says. 0 or a negative errno, logged. */
int lpi_check(struct vm_state *vm, struct remote *remote);

/*
 * KVM_DEV_ARM_ITS_RESTORE_TABLES clears what it takes of the pending tables. After a restore that failed,
 * memory in files is to be what it was at the dump, or no other restore would begin.
 */
void lpi_give_back(struct vm_state *vm, struct remote *remote);

void lpi_free(struct lpi_state *lpi);

#endif
