// SPDX-License-Identifier: GPL-2.0-only
/* See thread.h. */
#include <stdlib.h>

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
