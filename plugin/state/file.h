/* SPDX-License-Identifier: GPL-2.0-only */
/* Open files of KVM's: what each has beside the object that it is of. */
#ifndef KVM_VGIC_STATE_FILE_H
#define KVM_VGIC_STATE_FILE_H

#include "state/vm.h"

/* Flags and position of @file, of which @fd, of this process, is a copy. */
void kvm_file_describe(int fd, struct kvm_file *file);

/*
 * Another fd for @file in this process, where vm_create() has been; @vm is NULL for /dev/kvm. It, or a negative
 * errno, logged.
 */
int kvm_file_open(const struct vm_state *vm, const struct kvm_file *file);

/*
 * The same late, with all tasks stopped: an fd of criu's. @pid owns the VM, and @remote is in it.
 */
int kvm_file_fetch(const struct vm_state *vm, const struct kvm_file *file, pid_t pid, struct remote *remote);

#endif
