/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The MSIs of the VMM's devices: every other LPI. It sends at random, and soon to each LPI that the guest has
 * disabled: those are to be pending when a dump comes. One that the ITS has no translation for must be
 * refused.
 */
#include <stdlib.h>
#include <sys/ioctl.h>

#include "vmm.h"

#define SENT_A_TICK   2
#define LOOKED_A_TICK 64
#define MAX_PENDING   128
#define TRANSLATER    0x10040 /* GITS_TRANSLATER: where a device writes an MSI to */

static volatile struct lpi_device *device_of(struct vmm *vmm, unsigned int lpi)
{
	return &vmm->lpi_area->device[lpi / VM_NR_EVENTS];
}

static unsigned int nr_lpis(struct vmm *vmm)
{
	return vmm->lpi_area->nr_devices * VM_NR_EVENTS;
}

static bool exists(struct vmm *vmm, unsigned int lpi)
{
	return lpi % VM_NR_EVENTS < device_of(vmm, lpi)->nr_events;
}

static bool is_idle(struct vmm *vmm, unsigned int lpi)
{
	return vmm->lpi[lpi].sent == vmm->lpi[lpi].taken + vmm->lpi[lpi].cleared;
}

static bool try_hold(volatile struct lpi_record *r)
{
	uint32_t free = LPI_FREE;

	return __atomic_compare_exchange_n(&r->holder, &free, LPI_HELD_BY_VMM, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static void release(volatile struct lpi_record *r)
{
	__atomic_store_n(&r->holder, LPI_FREE, __ATOMIC_RELEASE);
}

/* @want: 1 when it is to arrive, 0 when the ITS is to refuse it */
static void signal_msi(struct vmm *vmm, unsigned int lpi, int want)
{
	volatile struct lpi_device *dev = device_of(vmm, lpi);
	struct kvm_msi msi = {
		.address_lo = VM_ITS_BASE + dev->its * VM_ITS_SIZE + TRANSLATER,
		.data = lpi % VM_NR_EVENTS * dev->event_step,
		.flags = KVM_MSI_VALID_DEVID,
		.devid = dev->id,
	};
	int got = ioctl(vmm->vm_fd, KVM_SIGNAL_MSI, &msi);

	if (got < 0)
		vmm_found(vmm, FOUND_UNEXPECTED, SUBJ_MSI, "KVM_SIGNAL_MSI of device %u event %u: %m",
			  msi.devid, msi.data);
	else if (got != want)
		vmm_found(vmm, want ? FOUND_LOST : FOUND_UNEXPECTED, SUBJ_MSI,
			  "KVM_SIGNAL_MSI of device %u event %u, which is %smapped, answers %d", msi.devid,
			  msi.data, want ? "" : "un", got);
}

static bool inject_here(struct vmm *vmm, unsigned int lpi)
{
	return (vmm->config.inject == INJECT_LOST_MSI || vmm->config.inject == INJECT_DOUBLE_MSI) &&
	       vmm->lpi[lpi].state == LPI_ON && vmm->stats->msi_sent > 50;
}

/* Counted first, as the guest may take it at once. */
static void count_sent(struct vmm *vmm, unsigned int lpi)
{
	volatile struct lpi_record *r = &vmm->lpi[lpi];

	r->sent_at = vmm->lpi_area->moves[device_of(vmm, lpi)->its];
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	r->sent++;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	vmm->stats->msi_sent++;
	vmm->msis.ticks_sent[lpi] = vmm->msis.ticks;
}

static void send_idle(struct vmm *vmm, unsigned int lpi)
{
	vmm->msis.over = inject_here(vmm, lpi);
	if (!vmm->msis.over || vmm->config.inject == INJECT_LOST_MSI)
		count_sent(vmm, lpi);
	if (!vmm->msis.over || vmm->config.inject == INJECT_DOUBLE_MSI)
		signal_msi(vmm, lpi, 1);
}

/* Held, so that the guest changes nothing of it meanwhile. */
static void send(struct vmm *vmm, unsigned int lpi)
{
	volatile struct lpi_record *r = &vmm->lpi[lpi];

	if (!exists(vmm, lpi) || vmm->msis.over || !try_hold(r))
		return;
	if (r->state == LPI_UNMAPPED) {
		signal_msi(vmm, lpi, 0);
		vmm->stats->msi_refused++;
	} else if (is_idle(vmm, lpi)) {
		send_idle(vmm, lpi);
	}
	release(r);
}

/* One that is disabled has all the time in the world. */
static void check_lost(struct vmm *vmm, unsigned int lpi)
{
	const unsigned int limit = vmm->config.limit_s * (1000000 / DEVICE_TICK_US);
	unsigned int *since = &vmm->msis.ticks_sent[lpi];

	if (is_idle(vmm, lpi) || vmm->lpi[lpi].state != LPI_ON) {
		*since = vmm->msis.ticks;
	} else if (vmm->msis.ticks - *since > limit) {
		vmm_found(vmm, FOUND_LOST, SUBJ_MSI,
			  "LPI by MSI: number %llu of device %u event %u was sent and not taken",
			  (unsigned long long)vmm->lpi[lpi].sent, (unsigned int)device_of(vmm, lpi)->id,
			  (unsigned int)(lpi % VM_NR_EVENTS * device_of(vmm, lpi)->event_step));
		*since = vmm->msis.ticks;
	}
}

static void look_at_some(struct vmm *vmm)
{
	unsigned int i, lpi;

	for (i = 0; i < LOOKED_A_TICK; i += 2) {
		lpi = vmm->msis.next_look;
		vmm->msis.next_look = (lpi + 2) % nr_lpis(vmm);
		check_lost(vmm, lpi);
		if (vmm->lpi[lpi].state != LPI_ON && !vmm->device_stop)
			send(vmm, lpi);
	}
}

/*
 * Not one more than a slow guest has time for: on a busy host those of a high priority would come for ever before
 * SGIs, the timer and other LPIs, which would be found to be lost.
 */
static bool has_room(const struct vmm *vmm)
{
	struct lpi_totals t;

	lpi_count(vmm, &t);
	return vmm->stats->msi_sent - t.msi_taken - t.msi_cleared < MAX_PENDING;
}

/* Ticks and no clock, as for the interrupt sources. */
void lpi_tick(struct vmm *vmm)
{
	unsigned int i;

	if (!vmm->config.nr_itses || !vmm->lpi_area->ready)
		return;
	vmm->msis.ticks++;
	look_at_some(vmm);
	for (i = 0; i < SENT_A_TICK && !vmm->device_stop && has_room(vmm); i++)
		send(vmm, rand() % (nr_lpis(vmm) / 2) * 2);
}

bool lpi_idle(struct vmm *vmm)
{
	unsigned int lpi;

	for (lpi = 0; vmm->config.nr_itses && lpi < nr_lpis(vmm); lpi += 2)
		if (!is_idle(vmm, lpi))
			return false;
	return true;
}

static int happened(struct vmm *vmm, const char *what, uint64_t count)
{
	if (count)
		return 0;
	vmm_found(vmm, FOUND_UNEXPECTED, SUBJ_LPI, "LPIs %s: 0", what);
	return -1;
}

/* Each by itself, as two errors can hide each other in a sum. */
static int compare_each(struct vmm *vmm)
{
	unsigned int lpi;
	int ret = 0;

	for (lpi = 0; lpi < nr_lpis(vmm); lpi++) {
		volatile struct lpi_record *r = &vmm->lpi[lpi];

		if (r->sent == r->taken + r->cleared)
			continue;
		vmm_found(vmm, r->sent > r->taken + r->cleared ? FOUND_LOST : FOUND_DOUBLED,
			  lpi % 2 ? SUBJ_LPI : SUBJ_MSI, "LPI %u: %llu sent, %llu taken, %llu cleared", lpi,
			  (unsigned long long)r->sent, (unsigned long long)r->taken,
			  (unsigned long long)r->cleared);
		ret = -1;
	}
	return ret;
}

void lpi_count(const struct vmm *vmm, struct lpi_totals *t)
{
	unsigned int i;

	*t = (struct lpi_totals){ 0 };
	for (i = 0; i < vmm->config.nr_vcpus; i++) {
		volatile struct guest_cpu_stats *g = &vmm->guest->cpu[i];

		t->lpi_sent += g->lpi_sent;
		t->lpi_taken += g->lpi_taken;
		t->lpi_cleared += g->lpi_cleared;
		t->msi_taken += g->msi_taken;
		t->msi_cleared += g->msi_cleared;
		t->enabled += g->lpis_enabled;
		t->discarded += g->lpis_discarded;
		t->moved += g->lpis_moved;
		t->collections_moved += g->collections_moved;
	}
}

bool lpi_all_happened(struct vmm *vmm)
{
	struct lpi_totals t;

	if (!vmm->config.nr_itses || vmm_found_any(vmm))
		return true;
	lpi_count(vmm, &t);
	return t.enabled && t.lpi_cleared + t.msi_cleared && t.discarded && t.moved && t.collections_moved &&
	       vmm->stats->msi_refused;
}

int lpi_verdict(struct vmm *vmm)
{
	struct lpi_totals t;
	int ret;

	lpi_count(vmm, &t);
	ret = compare_each(vmm);
	ret |= verdict_compare(vmm, SUBJ_LPI, "LPIs by INT", t.lpi_sent, t.lpi_taken + t.lpi_cleared);
	ret |= verdict_compare(vmm, SUBJ_MSI, "LPIs by MSI", vmm->stats->msi_sent,
			       t.msi_taken + t.msi_cleared);
	ret |= happened(vmm, "enabled while pending", t.enabled);
	ret |= happened(vmm, "cleared", t.lpi_cleared + t.msi_cleared);
	ret |= happened(vmm, "discarded", t.discarded);
	ret |= happened(vmm, "moved", t.moved);
	ret |= happened(vmm, "moved with their collection", t.collections_moved);
	ret |= happened(vmm, "refused", vmm->stats->msi_refused);
	return ret;
}
