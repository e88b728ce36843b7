/* SPDX-License-Identifier: GPL-2.0-only */
/* The BPF programs of *_iter.bpf.c, loaded one by one. */
#ifndef KVM_VGIC_PROBE_PROGRAM_H
#define KVM_VGIC_PROBE_PROGRAM_H

/* struct programs_bss, what user space and programs share; enum program_id, PROGRAM_ and the name of each */
#include "kvm_programs.h"

/* What the programs need, before any is loaded: maps, and names of functions. 0 or a negative errno. */
int programs_open(void);
/* Likewise: the kernel's types. A negative errno is logged: this kernel has not what they need. */
int programs_ask(void);
void programs_close(void);

const char *program_name(enum program_id id);

/* The fd of a program, which is loaded where it was not; or a negative errno. */
int program_fd(enum program_id id);

/* Why @id cannot be loaded, as the kernel's verifier says it, to the log: for authors of programs. */
void program_log(enum program_id id);

extern struct programs_bss *programs_bss;

#endif
