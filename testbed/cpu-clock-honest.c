// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void pin(int cpu)
{
	cpu_set_t s;
	CPU_ZERO(&s);
	CPU_SET(cpu, &s);
	sched_setaffinity(0, sizeof(s), &s);
}

static void spin(uint64_t n) /* n rounds of 4 instructions */
{
	asm volatile("1: add x9, x9, #1\n add x10, x10, #1\n subs %0, %0, #1\n b.ne 1b" : "+r"(n) :: "x9", "x10", "cc");
}

static pthread_barrier_t bar;
static uint64_t took[2];
static void *spinner(void *arg)
{
	long cpu = (long)arg;
	pin(cpu);
	pthread_barrier_wait(&bar);
	uint64_t t = now();
	spin(10000000);
	took[cpu] = now() - t;
	return NULL;
}

static atomic_int turn;
static void futex(int op, int val) { syscall(SYS_futex, &turn, op, val, NULL, NULL, 0); }
#define ROUNDS 2000
static void *pinger(void *arg)
{
	int me = (long)arg;
	pin(me);
	for (int i = 0; i < ROUNDS; i++) {
		int v;
		while ((v = atomic_load(&turn)) % 2 != me)
			futex(FUTEX_WAIT_PRIVATE, v);
		atomic_fetch_add(&turn, 1);
		futex(FUTEX_WAKE_PRIVATE, 1);
	}
	return NULL;
}

static uint64_t pair(void *(*f)(void *))
{
	pthread_t a, b;
	uint64_t t = now();
	pthread_create(&a, NULL, f, (void *)0);
	pthread_create(&b, NULL, f, (void *)1);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	return now() - t;
}

int main(void)
{
	pin(0);
	spin(1000);
	for (int i = 0; i < 3; i++) {
		uint64_t t = now();
		spin(10000000);
		printf("one thread: %.3f ms (80.000)\n", (now() - t) / 1e6);
		pthread_barrier_init(&bar, NULL, 2);
		t = pair(spinner);
		printf("two threads: %.3f ms, %.3f and %.3f of its own (80.000)\n", t / 1e6, took[0] / 1e6, took[1] / 1e6);
		atomic_store(&turn, 0);
		printf("ping-pong: %.3f us a round trip\n", pair(pinger) / 1e3 / ROUNDS);
		struct timespec ms = { 0, 10000000 };
		t = now();
		nanosleep(&ms, NULL);
		printf("sleep: %.3f ms (10)\n", (now() - t) / 1e6);
		/* monotonic over CPUs */
		uint64_t last = 0, back = 0;
		for (int k = 0; k < 20; k++) {
			pin(k & 1);
			for (int m = 0; m < 200; m++) {
				uint64_t n = now();
				if (n < last && last - n > back)
					back = last - n;
				last = n;
			}
		}
		printf("largest step back: %lu ns\n", back);
	}
	return 0;
}
