// SPDX-License-Identifier: GPL-2.0-only
/*
 * A number goes round from vCPU to vCPU: each hop is a wake-up elsewhere, each round ends with a barrier on those that run.
 * One lost IPI is made up for by the vCPU's next timer: that each arrives is shown by kvm_vgic_v3, whose guest counts them.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "load.h"

#define PAUSE_MS 20

static int doors[MAX_CPUS];
static unsigned int nr_doors;
static uint64_t expected[MAX_CPUS];

static void pass(unsigned int cpu, uint64_t value)
{
	if (write(doors[cpu], &value, sizeof(value)) != sizeof(value))
		wrong(IPI, "eventfd of vCPU %u: %s", cpu, strerror(errno));
}

static void end_round(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0))
		wrong(IPI, "membarrier: %s", strerror(errno));
	sleep_ms(PAUSE_MS);
}

static void *work(void *arg)
{
	unsigned int cpu = (unsigned long)arg;
	uint64_t value = 0;

	pin(cpu);
	while (!atomic_load(&stopping)) {
		if (read(doors[cpu], &value, sizeof(value)) != sizeof(value) || value != expected[cpu])
			wrong(IPI, "vCPU %u has %lu, not %lu", cpu, value, expected[cpu]);
		else
			right(IPI, cpu);
		expected[cpu] = value + nr_doors;
		if (!cpu)
			end_round();
		pass((cpu + 1) % nr_doors, value + 1);
	}
	return NULL;
}

void ipi_start(unsigned int nr_cpus)
{
	unsigned int cpu;

	if (nr_cpus < 2)
		return;
	nr_doors = nr_cpus;
	set_workers(IPI, nr_doors);
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0))
		fail("membarrier");
	for (cpu = 0; cpu < nr_doors; cpu++) {
		doors[cpu] = eventfd(0, EFD_CLOEXEC);
		if (doors[cpu] < 0)
			fail("eventfd");
		expected[cpu] = cpu + 1;
	}
	for (cpu = 0; cpu < nr_doors; cpu++)
		start_thread(work, cpu);
	pass(0, 1);
}
