/* SPDX-License-Identifier: GPL-2.0-only */
/* What a user can choose: by --plugin-option, which CRIU 4.3 was the first to have, or by environment variables of criu. */
#ifndef KVM_VGIC_SETTING_H
#define KVM_VGIC_SETTING_H

enum setting_clock {
	CLOCK_CONTINUE, /* the guest's counters go on from where they stopped: the default */
	CLOCK_ADVANCE,	/* and by the time that has passed since the dump */
};

/* --plugin-option kvm_vgic.clock=VALUE or KVM_VGIC_CLOCK=VALUE: "continue" or "advance". */
enum setting_clock setting_clock(void);

/* Whether what is set can be understood: 0 or -EINVAL, logged. To be asked before a task is forked. */
int setting_check(void);

/* CRIU's own, from 4.3 on. After a name that it makes up, each option is "--PLUGIN.NAME" or "--PLUGIN.NAME=VALUE". */
int criu_plugin_get_options(int *argc, char ***argv) __attribute__((weak));

#endif
