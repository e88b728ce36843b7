/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "zdtmtst.h"
#include "vmm.h"

const char *test_doc = "A running KVM VM with a GICv3: timers, SGIs, edge and level SPIs, MMIO\n";
const char *test_author = "The kvm-vgic authors";

static int vcpus = 4;
TEST_OPTION(vcpus, int, "number of vCPUs, 1 to 8 (4)", 0);

static char *redist = "legacy";
TEST_OPTION(redist, string, "how redistributors are placed: legacy (default) or region", 0);

static int limit = 20;
TEST_OPTION(limit, int, "seconds after which an event is lost (20)", 0);

static char *inject = "none";
TEST_OPTION(inject, string, "a fault to make, which must fail the test", 0);

static const char *const inject_names[NR_INJECTS] = {
	[INJECT_NONE] = "none",
	[INJECT_LOST_EDGE] = "lost-edge",
	[INJECT_DOUBLE_EDGE] = "double-edge",
	[INJECT_LOST_LEVEL] = "lost-level",
	[INJECT_DOUBLE_LEVEL] = "double-level",
	[INJECT_LOST_SGI] = "lost-sgi",
	[INJECT_DOUBLE_SGI] = "double-sgi",
	[INJECT_LOST_TIMER] = "lost-timer",
	[INJECT_DOUBLE_TIMER] = "double-timer",
	[INJECT_LOST_READ] = "lost-read",
	[INJECT_DOUBLE_READ] = "double-read",
	[INJECT_LOST_WRITE] = "lost-write",
	[INJECT_DOUBLE_WRITE] = "double-write",
	[INJECT_WRONG_ROUTE] = "wrong-route",
	[INJECT_MEMORY] = "memory",
	[INJECT_GPR] = "gpr",
	[INJECT_FP] = "fp",
	[INJECT_SYSREG] = "sysreg",
	[INJECT_GIC] = "gic",
	[INJECT_CLOCK] = "clock",
	[INJECT_EXCEPTION] = "exception",
	[INJECT_SILENT] = "silent",
};

static int parse_config(struct vmm_config *config)
{
	unsigned int i;

	if (vcpus < 1 || vcpus > VM_MAX_VCPUS || limit < 1)
		return -1;
	config->nr_vcpus = vcpus;
	config->limit_s = limit;
	config->redist_regions = !strcmp(redist, "region");
	if (!config->redist_regions && strcmp(redist, "legacy"))
		return -1;
	for (i = 0; i < NR_INJECTS; i++)
		if (!strcmp(inject, inject_names[i])) {
			config->inject = i;
			return 0;
		}
	return -1;
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

int main(int argc, char **argv)
{
	struct vmm_config config = { 0 };
	static struct vmm vmm;
	int ret;

	test_init(argc, argv);

	if (parse_config(&config)) {
		pr_err("a bad value of --vcpus, --redist, --limit or --inject\n");
		return 1;
	}
	if (vmm_start(&vmm, &config)) {
		pr_err("%s\n", vmm_error(&vmm));
		return 1;
	}

	test_daemon();
	test_waitsig();

	ret = vmm_finish(&vmm);
	print_counters(&vmm);
	if (ret) {
		errno = 0;
		fail("%s", vmm_error(&vmm));
		return 1;
	}
	pass();
	return 0;
}
