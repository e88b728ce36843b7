// SPDX-License-Identifier: GPL-2.0-only
/* A timer on each vCPU, which may not come early; and the counter, which may not go back. */
#include <errno.h>
#include <time.h>

#include "load.h"

#define PERIOD_NS 20000000ull

static uint64_t read_counter(void)
{
	uint64_t value;

	/* dmb: what was read before it is older on a real CPU, too. */
	asm volatile("dmb ishld\n\tisb\n\tmrs %0, cntvct_el0" : "=r" (value) : : "memory");
	return value;
}

void check_counter(enum kind kind)
{
	static atomic_ulong last;
	unsigned long before = atomic_load(&last), now = read_counter();

	if (now < before)
		wrong(kind, "the counter is at %lu, and was at %lu", now, before);
	atomic_store(&last, now);
}

static void *work(void *arg)
{
	struct timespec time;
	uint64_t next;

	pin((unsigned long)arg);
	for (next = now_ns(); !atomic_load(&stopping); next += PERIOD_NS) {
		if (now_ns() > next + 10 * PERIOD_NS)
			next = now_ns();	/* the machine is slow: no race to catch up */
		time.tv_sec = next / 1000000000;
		time.tv_nsec = next % 1000000000;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
			;
		check_counter(TIMER);
		if (now_ns() < next)
			wrong(TIMER, "%lu ns early on vCPU %lu", next - now_ns(), (unsigned long)arg);
		else
			right(TIMER, (unsigned long)arg);
	}
	return NULL;
}

void timer_start(unsigned int nr_cpus)
{
	unsigned int cpu;

	set_workers(TIMER, nr_cpus);
	for (cpu = 0; cpu < nr_cpus; cpu++)
		start_thread(work, cpu);
}
