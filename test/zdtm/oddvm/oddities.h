/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef ODDITIES_H
#define ODDITIES_H

#include "oddvm.h"

/* process.c */
extern const struct oddity process_oddities[];
extern const size_t process_nr_oddities;

/* bindings.c */
extern const struct oddity binding_oddities[];
extern const size_t binding_nr_oddities;

/* cramped.c */
extern const struct oddity cramped_oddities[];
extern const size_t cramped_nr_oddities;
/* Until the test is to end, as @odd has it wait. */
void odd_wait_for_end(const struct oddity *odd);

/* hostile.c */
extern const struct oddity hostile_oddities[];
extern const size_t hostile_nr_oddities;

/* Ends the test: it is skipped, for want of @what. */
void odd_lacking(const char *what) __attribute__((noreturn));

/* Of the whole process: its VM, all that was started, and its children. Whether all was well. */
bool odd_finish(struct odd_vm *vm, const struct oddity *odd);
/* Builds and starts a VM with @odd. 0 or -1, logged. */
int odd_build(struct odd_vm *vm, const struct oddity *odd);

#endif /* ODDITIES_H */
