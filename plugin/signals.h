/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ctrl-C and its like during a dump. criu dies of them wherever it is: with the VMM's
 * registers borrowed, or with its kvm_run mappings swapped out. Between the first
 * change in a VMM and the last they are held back.
 */
#ifndef KVM_VGIC_SIGNALS_H
#define KVM_VGIC_SIGNALS_H

/*
 * How they are handled, before tasks are stopped: signals_hold() has less to ask then. CRIU sets handlers of SIGALRM, SIGCHLD and
 * SIGPIPE alone.
 */
void signals_read(void);

/* From now on SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGABRT are only noted. Again is nothing. */
void signals_hold(void);

/* The signal that came since signals_hold(), or 0. */
int signals_held(void);

/* As before signals_hold(). Returns what signals_held() did. */
int signals_release(void);

#endif
