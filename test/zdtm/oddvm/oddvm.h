/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A very small running VM, whose set-up can be left incomplete or given an
 * oddity. Its guest counts in memory and tells a register of its progress now
 * and then, and that is all: what is tested with it are refusals.
 */
#ifndef ODDVM_H
#define ODDVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ODD_NR_VCPUS	2	/* of odd_setup() */
#define ODD_MAX_VCPUS	8	/* what a test can make by itself */

/* Where counters are, for a look from outside. The guest's are in its RAM, a u64 per vCPU. */
#define ODD_STATS_ADDR	0x5a0000000000
#define ODD_RAM_ADDR	0x5a0000100000
#define ODD_RAM_SIZE	0x10000
#define ODD_RAM_COUNTER	0x2000
#define ODD_RAM_FAULTS	0x3000		/* synchronous exceptions taken, a u64 per vCPU */
#define ODD_RAM_CODE	0x4000		/* of a test's own */
#define ODD_PLACE	0x100000000	/* from those of one VM of a process to those of the next */
#define ODD_MAGIC	0x6d762d64646f2d76	/* "v-odd-vm" */
#define ODD_STEP	4096		/* guest loops between two MMIO writes */

#define ODD_CORE(name)	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))

/* Guest physical addresses. */
#define ODD_RAM_BASE	0x40000000
#define ODD_DIST_BASE	0x08000000
#define ODD_REDIST_BASE	0x080a0000
#define ODD_GICC_BASE	0x08010000	/* of a GICv2 */
#define ODD_DEV_BASE	0x09000000

struct odd_stats {
	uint64_t magic;
	uint64_t running;		/* a bit for each vCPU that is to go on */
	uint64_t writes[ODD_MAX_VCPUS];	/* MMIO writes served */
	char error[128];		/* the first thing that went wrong */
};

struct odd_vcpu {
	struct odd_vm *vm;
	unsigned int id;		/* its index; and its id, but for id_step */
	int fd;
	struct kvm_run *run;
	uint64_t last;			/* what the last MMIO write said */
	pthread_t thread;
	bool started;
	volatile bool stop, ended;
};

struct odd_vm {
	int kvm_fd, vm_fd, gic_fd;
	size_t run_size;
	uint32_t features;		/* of its vCPUs, beside PSCI */
	unsigned int place;		/* of its counters and RAM, among those of its process */
	unsigned int id_step;		/* between the ids of vCPUs, where it is not 0 */
	void (*interrupted)(struct odd_vcpu *vcpu);	/* in its thread, where KVM_RUN answered EINTR; or NULL */
	struct odd_vcpu vcpu[ODD_MAX_VCPUS];
	/* Whether it has served an exit that is a test's own; or NULL. */
	bool (*exit)(struct odd_vcpu *vcpu);
	struct odd_stats *stats;
	char *ram;
};

/* Each answers 0, or -1 with errno set. */
int odd_create(struct odd_vm *vm);
int odd_add_memory(struct odd_vm *vm, uint32_t flags);
int odd_create_vcpu(struct odd_vm *vm, unsigned int i);
int odd_init_vcpu(struct odd_vm *vm, unsigned int i);
int odd_create_gic(struct odd_vm *vm, uint32_t type);
int odd_place_gic(struct odd_vm *vm, uint32_t type);
int odd_init_gic(struct odd_vm *vm);
int odd_start(struct odd_vm *vm, unsigned int i);
int odd_set_attr(int fd, uint32_t group, uint64_t attr, void *value);
int odd_set_reg(struct odd_vm *vm, unsigned int i, uint64_t id, uint64_t value);
int odd_get_reg(struct odd_vm *vm, unsigned int i, uint64_t id, uint64_t *value);
/* Every vCPU in its thread, and that they go on: 0 or -1. */
int odd_start_all(struct odd_vm *vm);
/* What a VM with memory lacks: vCPUs, a GIC, and that they run and go on. */
int odd_complete(struct odd_vm *vm);
/* All of the above in their order: a whole VM. */
int odd_setup(struct odd_vm *vm);

/* Notes the first thing that went wrong, for odd_goes_on() and for a look from outside. */
void odd_found(struct odd_vm *vm, const char *what, uint64_t detail);

/* Whether every vCPU that is to go on does so, with no error so far. */
bool odd_goes_on(struct odd_vm *vm);
/* Ends the vCPUs' threads. Whether all was well up to the end. */
bool odd_stop(struct odd_vm *vm);
/* Both; a failed test where not. */
bool odd_is_well(struct odd_vm *vm);
/* That alone as the verdict of a test: what its main() returns. */
int odd_verdict(struct odd_vm *vm);

/* Over a UNIX socket. */
int odd_send_fd(int to, int fd);
int odd_receive_fd(int from);

/*
 * What a VM, or its process, can have that a dump does not carry. The hooks are
 * called at their times and answer 0, or -1 with errno set; a hook that finds that
 * the host lacks what it needs does not return.
 */
struct oddity {
	const char *name;
	uint32_t leave_out;	/* steps of the set-up: enum odd_step */
	uint32_t features;	/* of the vCPUs */
	uint32_t cap;		/* to be enabled */
	uint64_t cap_arg;
	int (*early)(struct odd_vm *vm);	/* the VM has neither memory nor vCPUs */
	int (*built)(struct odd_vm *vm);	/* complete, but no vCPU has run */
	int (*running)(struct odd_vm *vm);
	/* After the dump that failed: whether the VM is still what it was, and can be completed. */
	int (*after)(struct odd_vm *vm);
};

enum odd_step {
	ODD_VM = 1,		/* all of it */
	ODD_GIC = 2,
	ODD_GIC_PLACE = 4,
	ODD_GIC_INIT = 8,
	ODD_VCPU_0 = 16,
	ODD_VCPU_1 = 32,
	ODD_VCPU_1_INIT = 64,
	ODD_START_0 = 128,
	ODD_START_1 = 256,
};

#define ODD_NO_VCPUS	(ODD_VCPU_0 | ODD_VCPU_1 | ODD_START_0 | ODD_START_1)
#define ODD_NO_START	(ODD_START_0 | ODD_START_1)

const struct oddity *oddity_find(const char *name);

#endif /* ODDVM_H */
