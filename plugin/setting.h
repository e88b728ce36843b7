/* SPDX-License-Identifier: GPL-2.0-only */
/* What a user can choose, by environment variables of criu. */
#ifndef KVM_VGIC_SETTING_H
#define KVM_VGIC_SETTING_H

enum setting_clock {
	CLOCK_CONTINUE, /* the guest's counters go on from where they stopped: the default */
	CLOCK_ADVANCE,	/* and by the time that has passed since the dump */
};

/* KVM_VGIC_CLOCK: "continue" or "advance". */
enum setting_clock setting_clock(void);

/* Whether what is set can be understood: 0 or -EINVAL, logged. To be asked before a task is forked. */
int setting_check(void);

#endif
