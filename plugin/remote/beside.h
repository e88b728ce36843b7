/* SPDX-License-Identifier: GPL-2.0-only */
/* What is done here while calls are made in the VMM: it makes none there itself. */
#ifndef KVM_VGIC_REMOTE_BESIDE_H
#define KVM_VGIC_REMOTE_BESIDE_H

struct beside {
	void (*run)(void *arg); /* NULL: nothing */
	void *arg;
};

/* Once. */
static inline void beside_run(struct beside *beside)
{
	struct beside now = *beside;

	*beside = (struct beside){ 0 };
	if (now.run)
		now.run(now.arg);
}

#endif
