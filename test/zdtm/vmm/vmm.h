/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small VMM, built as real ones are: one thread per vCPU, all file
 * descriptors in one process, devices in user space, a thread for device work.
 */
#ifndef VMM_H
#define VMM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "vm_abi.h"

#define TRACE_ENTRIES	2048

struct vmm_config {
	unsigned int nr_vcpus;
	bool redist_regions;		/* REDIST_REGION instead of the legacy REDIST */
	unsigned int limit_s;		/* an event later than that is lost */
	enum inject inject;
};

/* What a VMM's tracing would note about an access. */
struct trace_entry {
	uint64_t addr;
	uint64_t data;
};

struct vcpu {
	struct vmm *vmm;
	unsigned int index;		/* creation order */
	unsigned int id;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	volatile bool stop;
	volatile bool ended;
	uint64_t rseq;
	uint64_t wseq;
	uint64_t report[3];
	bool injected;
	unsigned int trace_next;
	uint64_t trace_sum;
	struct trace_entry trace[TRACE_ENTRIES];
};

/* An interrupt line and the registers behind it. */
struct source {
	unsigned int intid;
	bool level;
	volatile uint64_t sent;
	volatile uint64_t cleared;
	volatile uint64_t done;
	unsigned int pause;		/* device ticks until the next one */
	unsigned int waiting;		/* device ticks since the last one was sent */
	bool injected;
};

struct vmm {
	struct vmm_config config;
	int kvm_fd, vm_fd, gic_fd, memfd;
	size_t run_size;
	struct vcpu *vcpu[VM_MAX_VCPUS];
	struct source source[VM_NR_SOURCES];
	pthread_t device_thread;
	volatile bool device_stop;
	volatile bool powered_off;
	bool threads_started;
	pthread_mutex_t found_lock;
	struct vmm_stats *stats;
	volatile struct guest_params *params;
	volatile struct guest_stats *guest;
	char *code, *mail;
};

/* vmm.c: 0, or -1 with the reason in vmm_error() */
int vmm_start(struct vmm *vmm, const struct vmm_config *config);
int vmm_finish(struct vmm *vmm);
const char *vmm_error(struct vmm *vmm);
bool vmm_wait(struct vmm *vmm, bool (*done)(struct vmm *), unsigned int seconds);
bool vmm_found_any(struct vmm *vmm);
void vmm_found(struct vmm *vmm, enum finding kind, enum subject what, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* verdict.c */
int verdict_progress(struct vmm *vmm);
int verdict_totals(struct vmm *vmm);

/* memory.c */
int memory_create(struct vmm *vmm);
void memory_fill_params(struct vmm *vmm);

/* gic.c */
int gic_create(struct vmm *vmm);
int gic_init(struct vmm *vmm);
int gic_set_line(struct vmm *vmm, unsigned int intid, int level);

/* vcpu.c */
int vcpu_create(struct vmm *vmm, unsigned int index);
int vcpu_start(struct vcpu *vcpu);
void vcpu_stop(struct vcpu *vcpu);
int vcpu_set_reg(struct vcpu *vcpu, uint64_t id, uint64_t value);
int vcpu_get_reg(struct vcpu *vcpu, uint64_t id, uint64_t *value);

/* devices.c */
void devices_init(struct vmm *vmm);
void device_access(struct vcpu *vcpu, uint64_t addr, void *data, unsigned int len, bool is_write);
void *device_thread(void *arg);
bool devices_idle(struct vmm *vmm);

/* inject.c */
bool inject_now(struct vcpu *vcpu, enum inject which, uint64_t count);
void inject_state(struct vcpu *vcpu);
void inject_gpr(struct vcpu *vcpu);

#endif /* VMM_H */
