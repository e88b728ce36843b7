/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that have known values in all their registers while the world may stop. */
#ifndef HOLD_H
#define HOLD_H

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* x9 holds the counter, x10 the deadline, x28 the address of struct hold: no patterns there. */
struct hold_regs {
	uint64_t x[31];
	uint64_t nzcv, fpcr, fpsr;
	uint64_t v[64];
};

struct hold {
	struct hold_regs in, out;
	uint64_t deadline; /* of cntvct_el0 */
	uint64_t wait_fd;  /* hold_in_call() reads a byte from it */
	uint64_t byte;
};
_Static_assert(offsetof(struct hold, out) == 784, "hold.S");
_Static_assert(offsetof(struct hold, deadline) == 1568, "hold.S");

/* All of them in, until the deadline; then out. */
void hold_regs(struct hold *h);
/* The same in a read() from a pipe: all but what the call itself needs. */
void hold_in_call(struct hold *h);

/*
 * Until the deadline in a restartable sequence, which begins again when it is aborted: the longest time
 * that has passed between two looks at the counter within one. @cs: rseq's rseq_cs field.
 */
uint64_t hold_rseq(struct hold *h, volatile uint64_t *cs, uint64_t *aborts);

/* Vector registers, predicates and FFR, of the vector length there is; laid out as LDR and STR do. */
struct hold_sve {
	uint8_t z[32 * 256];
	uint8_t p[16 * 32];
	uint8_t ffr[32];
	uint8_t za[256 * 256];
};

void hold_sve(const struct hold_sve *in, struct hold_sve *out, uint64_t deadline);
/* In streaming mode, without FFR, with ZA. */
void hold_sme(const struct hold_sve *in, struct hold_sve *out, uint64_t deadline);
uint64_t hold_svl(void);

/* @value signed with each of the five keys. Needs HWCAP_PACA and HWCAP_PACG. */
void hold_sign(uint64_t value, uint64_t signature[5]);

static inline uint64_t hold_counter(void)
{
	uint64_t v;

	asm volatile("isb; mrs %0, cntvct_el0" : "=r"(v));
	return v;
}

static inline uint64_t hold_frequency(void)
{
	uint64_t v;

	asm("mrs %0, cntfrq_el0" : "=r"(v));
	return v;
}
#endif

#endif
