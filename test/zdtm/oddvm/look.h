/* SPDX-License-Identifier: GPL-2.0-only */
/* What a VMM sees of a vCPU that has left KVM_RUN, looked at twice. */
#ifndef ODD_LOOK_H
#define ODD_LOOK_H

#include "oddvm.h"

/*
 * A while, some milliseconds long without a dump in it, in which nothing may change: kvm_run, with @fill in
 * all of its page that is behind it, and no register. odd_found() of what has.
 */
bool odd_hold(struct odd_vcpu *vcpu, uint8_t fill);

#endif /* ODD_LOOK_H */
