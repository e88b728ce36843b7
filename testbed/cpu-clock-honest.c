// SPDX-License-Identifier: GPL-2.0-only
/*
 * cpu-clock-honest at-once|summed: whether the clock of an emulated host with two CPUs is what it says, 2 ns
 * for an instruction of a CPU of its own, or of all of them. testbed/cpu-clock-test runs it.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TRIES 3
#define SPINS 10000000	  /* 4 instructions each */
#define SPIN_MS 80.0	  /* what they take */
#define WAIT_MS 20	  /* less than a spin */
#define HANDOFFS 2000	  /* from each CPU to the other */
#define AHEAD_NS 50000	  /* two quanta, and some more where a thread of QEMU comes late */
#define HANDOFF_NS 500000 /* the kernel's work for one, many times over */

static unsigned int passed, failed;

static void __attribute__((format(printf, 2, 3))) check(bool ok, const char *text, ...)
{
	va_list args;

	printf(ok ? "ok: " : "FAILED: ");
	va_start(args, text);
	vprintf(text, args);
	va_end(args);
	putchar('\n');
	*(ok ? &passed : &failed) += 1;
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void pin(long cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("sched_setaffinity");
		exit(2);
	}
}

static void spin(void)
{
	uint64_t n = SPINS;

	asm volatile("1: add x9, x9, #1\n add x10, x10, #1\n subs %0, %0, #1\n b.ne 1b"
		     : "+r"(n)::"x9", "x10", "cc");
}

static void *spinner(void *cpu)
{
	pin((long)cpu);
	spin();
	return NULL;
}

/* FIRST on CPU 0 and SECOND on CPU 1. */
static double ms_of_both(void *(*first)(void *), void *(*second)(void *))
{
	uint64_t start = now();
	pthread_t threads[2];

	if (pthread_create(&threads[0], NULL, first, (void *)0) ||
	    pthread_create(&threads[1], NULL, second, (void *)1))
		exit(2);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	return (now() - start) / 1e6;
}

/* The shortest of some: the kernel has other work now and then. */
static void check_spins(bool at_once)
{
	double alone = 1e9, both = 1e9, ms;
	uint64_t start;

	for (int i = 0; i < TRIES; i++) {
		start = now();
		spin();
		ms = (now() - start) / 1e6;
		alone = ms < alone ? ms : alone;
		ms = ms_of_both(spinner, spinner);
		both = ms < both ? ms : both;
	}
	if (at_once)
		check(both <= 1.2 * alone,
		      "two threads at once take %.2f times as long as one, wanted at most 1.2", both / alone);
	else
		check(both >= 1.8 * alone, "two threads take %.2f times as long as one, wanted at least 1.8",
		      both / alone);
	check(alone >= SPIN_MS && alone <= 1.05 * SPIN_MS, "one thread takes %.2f ms, wanted %.0f", alone,
	      SPIN_MS);
}

static double waited_ms;

static void *waiter(void *cpu)
{
	const struct timespec wait = { .tv_nsec = WAIT_MS * 1000000 };
	uint64_t start;

	pin((long)cpu);
	start = now();
	nanosleep(&wait, NULL);
	waited_ms = (now() - start) / 1e6;
	return NULL;
}

/* The upper limit is for a machine that is busy: its main loop fires the timer. */
static void check_wait(const char *meanwhile)
{
	check(waited_ms >= WAIT_MS && waited_ms <= 10 * WAIT_MS, "a wait of %d ms while %s takes %.2f ms",
	      WAIT_MS, meanwhile, waited_ms);
}

static _Atomic uint64_t handed_at; /* by the CPU whose number its lowest bit is */
static atomic_int turn;
static int64_t took[2 * HANDOFFS];

static void futex(int op, int value)
{
	syscall(SYS_futex, &turn, op, value, NULL, NULL, 0);
}

/* Each is woken by the other, and compares its clock with that by which it was woken. */
static void *player(void *cpu)
{
	int me = (long)cpu, n;

	pin(me);
	for (int i = 0; i < HANDOFFS; i++) {
		while ((n = atomic_load(&turn)) % 2 != me)
			futex(FUTEX_WAIT_PRIVATE, n);
		took[n] = now() - (n ? atomic_load(&handed_at) : now());
		atomic_store(&handed_at, now());
		atomic_store(&turn, n + 1);
		futex(FUTEX_WAKE_PRIVATE, 1);
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void check_handoffs(void)
{
	int64_t median;

	ms_of_both(player, player);
	qsort(took, 2 * HANDOFFS, sizeof(*took), compare);
	median = took[HANDOFFS];
	check(took[0] >= -AHEAD_NS, "no clock is behind that of who woke it by more than %d ns: %ld",
	      AHEAD_NS, (long)-took[0]);
	check(median >= 0 && median <= HANDOFF_NS, "to wake another CPU takes %ld ns, wanted at most %d",
	      (long)median, HANDOFF_NS);
}

int main(int argc, char **argv)
{
	bool at_once = argc == 2 && !strcmp(argv[1], "at-once");

	if (!at_once && (argc != 2 || strcmp(argv[1], "summed"))) {
		fprintf(stderr, "usage: cpu-clock-honest at-once|summed\n");
		return 2;
	}
	pin(0);
	check_spins(at_once);
	waiter((void *)0);
	check_wait("all are idle");
	ms_of_both(waiter, spinner);
	check_wait("another CPU executes");
	check_handoffs();
	printf("cpu-clock-honest: %u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
