/* SPDX-License-Identifier: GPL-2.0-only */
/* What the zdtm tests with this VMM share: options, the counters at the end, a test's life. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "zdtmtst.h"
#include "vmm.h"

static int vcpus = 4;
TEST_OPTION(vcpus, int, "number of vCPUs, 1 to 8 (4)", 0);

static char *redist = "legacy";
TEST_OPTION(redist, string, "how redistributors are placed: legacy (default) or region", 0);

static int limit = 20;
TEST_OPTION(limit, int, "seconds after which an event is lost (20)", 0);

static char *inject = "none";
TEST_OPTION(inject, string, "a fault to make, which must fail the test", 0);

/* 0, or -1 when a value is none of an option's */
int vmm_test_options(struct vmm_config *config)
{
	int fault = inject_by_name(inject);

	if (vcpus < 1 || vcpus > VM_MAX_VCPUS || limit < 1 || fault < 0)
		return -1;
	config->nr_vcpus = vcpus;
	config->limit_s = limit;
	config->inject = fault;
	config->redist_regions = !strcmp(redist, "region");
	return config->redist_regions || !strcmp(redist, "legacy") ? 0 : -1;
}

/* The runner reads this line: sent and taken of each kind, after the drain. */
static void print_counters(const struct vmm *vmm)
{
	uint64_t sent[5] = { 0 }, taken[5] = { 0 };
	unsigned int i;

	for (i = 0; i < vmm->config.nr_vcpus; i++) {
		const struct guest_cpu_stats g = vmm->guest->cpu[i];

		sent[0] += g.ticks_armed;
		taken[0] += g.ticks_taken;
		sent[1] += g.sgi_sent;
		taken[1] += g.sgi_taken;
		taken[2] += g.edge_taken;
		taken[3] += g.level_taken;
		sent[4] += g.reads + g.writes;
		taken[4] += vmm->stats->vcpu[i].reads + vmm->stats->vcpu[i].writes;
	}
	for (i = 0; i < VM_NR_SOURCES; i++)
		sent[vmm->source[i].level ? 3 : 2] += vmm->stats->source[i].sent;
	test_msg("counters: timer %" PRIu64 " %" PRIu64 " sgi %" PRIu64 " %" PRIu64 " edge %" PRIu64
		 " %" PRIu64 " level %" PRIu64 " %" PRIu64 " mmio %" PRIu64 " %" PRIu64 "\n",
		 sent[0], taken[0], sent[1], taken[1], sent[2], taken[2], sent[3], taken[3], sent[4],
		 taken[4]);
}

/* The same of LPIs: those that were cleared were to be, and count as taken. */
static void print_lpi_counters(const struct vmm *vmm)
{
	struct lpi_totals t;

	lpi_count(vmm, &t);
	test_msg("LPI counters: lpi %" PRIu64 " %" PRIu64 " msi %" PRIu64 " %" PRIu64 "\n", t.lpi_sent,
		 t.lpi_taken + t.lpi_cleared, vmm->stats->msi_sent, t.msi_taken + t.msi_cleared);
	test_msg("LPIs: %" PRIu64 " enabled while pending, %" PRIu64 " cleared, %" PRIu64
		 " discarded, %" PRIu64 " moved, %" PRIu64 " collections moved, %" PRIu64
		 " MSIs of unmapped ones refused\n",
		 t.enabled, t.lpi_cleared + t.msi_cleared, t.discarded, t.moved, t.collections_moved,
		 vmm->stats->msi_refused);
}

/* From test_init() to the verdict: what main() returns. */
int vmm_test(const struct vmm_config *config)
{
	static struct vmm vmm;
	int ret;

	if (vmm_start(&vmm, config)) {
		pr_err("%s\n", vmm_error(&vmm));
		return 1;
	}

	test_daemon();
	test_waitsig();

	ret = vmm_finish(&vmm);
	print_counters(&vmm);
	if (config->nr_itses)
		print_lpi_counters(&vmm);
	if (ret) {
		errno = 0;
		fail("%s", vmm_error(&vmm));
		return 1;
	}
	pass();
	return 0;
}
