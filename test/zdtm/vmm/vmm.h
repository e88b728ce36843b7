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
#define DEVICE_TICK_US	2000

struct vmm_config {
	unsigned int nr_vcpus;
	bool redist_regions;		/* REDIST_REGION instead of the legacy REDIST */
	bool gicv2;			/* as is the guest that was built in */
	unsigned int limit_s;		/* an event later than that is lost */
	enum inject inject;
	unsigned int nr_itses;		/* 0 or VM_NR_ITSES */
	bool sparse;			/* how the ids of devices and events lie, see its.c */
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

/* What the VMM alone knows of the LPIs that it sends. */
struct msis {
	unsigned int ticks;		/* of the device thread, that LPIs could be sent in */
	unsigned int next_look;
	unsigned int ticks_sent[VM_MAX_LPIS];	/* ticks when it was sent, or enabled */
	bool over;			/* no more: a fault was made of the last one */
};

/* Of all vCPUs, see guest_cpu_stats. */
struct lpi_totals {
	uint64_t lpi_sent, lpi_taken, lpi_cleared;
	uint64_t msi_taken, msi_cleared;
	uint64_t enabled, discarded, moved, collections_moved;
};

struct vmm {
	struct vmm_config config;
	int kvm_fd, vm_fd, gic_fd, memfd;
	int its_fd[VM_NR_ITSES];
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
	volatile struct lpi_record *lpi;	/* of the guest's memory, and NULL without ITSes */
	volatile struct lpi_area *lpi_area;
	struct msis msis;
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
int verdict_compare(struct vmm *vmm, enum subject what, const char *name, uint64_t sent, uint64_t taken);

/* test.c: the options of all tests with this VMM, and the life of such a test */
int vmm_test_options(struct vmm_config *config);
int vmm_test(const struct vmm_config *config);

/* memory.c */
int memory_create(struct vmm *vmm);
void memory_fill_params(struct vmm *vmm);

/* gic.c */
int gic_create(struct vmm *vmm);
int gic_init(struct vmm *vmm);
int gic_set_line(struct vmm *vmm, unsigned int intid, int level);

/* its.c */
int its_create(struct vmm *vmm);

/* lpi.c */
void lpi_tick(struct vmm *vmm);
bool lpi_idle(struct vmm *vmm);
void lpi_count(const struct vmm *vmm, struct lpi_totals *t);
/* Each kind of what lpi_verdict() asks for has happened, or something was found. */
bool lpi_all_happened(struct vmm *vmm);
int lpi_verdict(struct vmm *vmm);

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
int inject_by_name(const char *name);
bool inject_now(struct vcpu *vcpu, enum inject which, uint64_t count);
void inject_state(struct vcpu *vcpu);
void inject_gpr(struct vcpu *vcpu);

#endif /* VMM_H */
