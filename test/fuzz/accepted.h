/* SPDX-License-Identifier: GPL-2.0-only */
/* What targets that make images share. */
#ifndef KVM_VGIC_FUZZ_ACCEPTED_H
#define KVM_VGIC_FUZZ_ACCEPTED_H

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Reads the images in @dir: what is accepted must be written and read again as it is, or this aborts.
 * 0 where it was refused.
 */
int read_and_check(int dir);

/* Without libFuzzer: the input in that file, as a fuzzer has found it. 0, or 1 with a word. */
int run_file(const char *path);
/* @input as a file of that name in @dir. Likewise. */
int write_file(const char *dir, const char *name, const uint8_t *input, size_t size);

#endif
