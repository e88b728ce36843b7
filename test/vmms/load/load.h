/* SPDX-License-Identifier: GPL-2.0-only */
/* What a Linux guest is kept busy with: init of its initramfs. Each kind of work checks itself and counts. */
#ifndef LOAD_H
#define LOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_CPUS 64

enum kind { DISK, TIMER, IPI, NET, RNG, NR_KINDS };

extern atomic_bool stopping;

/* main.c */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void set_workers(enum kind kind, unsigned int nr);
void right(enum kind kind, unsigned int worker);
void wrong(enum kind kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void pin(unsigned int cpu);
void start_thread(void *(*run)(void *arg), unsigned long arg);
void sleep_ms(unsigned int ms);
uint64_t now_ns(void);
void fill(void *buffer, size_t size, uint64_t seed);

/* One file each. */
void disk_start(unsigned int nr_cpus);
void disk_end(void);
void timer_start(unsigned int nr_cpus);
void check_counter(enum kind kind);
void ipi_start(unsigned int nr_cpus);
void net_start(void);
void rng_start(void);

#endif
