// SPDX-License-Identifier: GPL-2.0-only
/* See thread.h. */
#include <stdlib.h>
#include <sys/auxv.h>

#include "state/thread.h"

/* include/uapi/linux/elf.h: not all of them are in every libc. */
#define NOTE_TLS 0x401
#define NOTE_SVE 0x405
#define NOTE_TAGGED_ADDR_CTRL 0x409
#define NOTE_PAC_ENABLED_KEYS 0x40a
#define NOTE_SSVE 0x40b
#define NOTE_ZA 0x40c
#define NOTE_ZT 0x40d
#define NOTE_FPMR 0x40e
#define NOTE_POE 0x40f

/*
 * Each vector set carries the thread's vector length as well. SVE before SSVE, which
 * enters streaming mode; ZA before ZT0, which is part of it (arch/arm64/sme.rst).
 */
const uint32_t thread_notes[] = {
	NOTE_TLS, NOTE_TAGGED_ADDR_CTRL, NOTE_PAC_ENABLED_KEYS, NOTE_SVE, NOTE_SSVE, NOTE_ZA, NOTE_ZT,
	NOTE_FPMR, NOTE_POE,
};
const size_t thread_nr_notes = sizeof(thread_notes) / sizeof(thread_notes[0]);

/* arch/arm64/include/uapi/asm/hwcap.h: likewise. */
#define CAP_SVE (1ull << 22)
#define CAP_PACA (1ull << 30)
#define CAP2_SME (1ull << 23)
#define CAP2_FPMR (1ull << 48)
#define CAP2_POE (1ull << 63)

/*
 * What one of must be there (Documentation/arch/arm64/elf_hwcaps.rst): what the CPU lacks, the kernel was built without or its command line
 * hides is neither told to programs nor a register set. Where there is SME alone the kernel takes a set of SVE. Of TLS the second register,
 * TPIDR2_EL0, is SME's; the first is CRIU's.
 */
static const struct {
	uint32_t note;
	uint64_t caps, caps2; /* of AT_HWCAP, AT_HWCAP2 */
} needs[] = {
	{ NOTE_TLS, 0, CAP2_SME }, { NOTE_PAC_ENABLED_KEYS, CAP_PACA, 0 }, { NOTE_SVE, CAP_SVE, CAP2_SME },
	{ NOTE_SSVE, 0, CAP2_SME }, { NOTE_ZA, 0, CAP2_SME }, { NOTE_ZT, 0, CAP2_SME },
	{ NOTE_FPMR, 0, CAP2_FPMR }, { NOTE_POE, 0, CAP2_POE },
};

bool thread_note_can_be(uint32_t note)
{
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (needs[i].note == note)
			return (getauxval(AT_HWCAP) & needs[i].caps) || (getauxval(AT_HWCAP2) & needs[i].caps2);
	return true;
}

const char *thread_note_name(uint32_t note)
{
	static const struct {
		uint32_t note;
		const char *name;
	} names[] = {
		{ NOTE_TLS, "TLS" },   { NOTE_TAGGED_ADDR_CTRL, "TAGGED_ADDR_CTRL" },
		{ NOTE_SVE, "SVE" },   { NOTE_PAC_ENABLED_KEYS, "PAC_ENABLED_KEYS" },
		{ NOTE_SSVE, "SSVE" }, { NOTE_ZA, "ZA" },
		{ NOTE_ZT, "ZT" },     { NOTE_FPMR, "FPMR" },
		{ NOTE_POE, "POE" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].note == note)
			return names[i].name;
	return "unknown";
}

void thread_free(struct thread_state *threads, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		for (size_t s = 0; s < threads[i].nr_sets; s++)
			free(threads[i].sets[s].data);
		free(threads[i].sets);
	}
	free(threads);
}
