/* SPDX-License-Identifier: GPL-2.0-only */
/* The life of a VM: set-up, drain, end. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm.h"

void vmm_found(struct vmm *vmm, enum finding kind, enum subject what, const char *format, ...)
{
	static const char *const names[NR_FINDINGS] = {
		[FOUND_LOST] = "lost",
		[FOUND_DOUBLED] = "doubled",
		[FOUND_OUT_OF_ORDER] = "out of order",
		[FOUND_CORRUPT] = "corrupt",
		[FOUND_UNEXPECTED] = "unexpected",
	};
	struct vmm_stats *stats = vmm->stats;
	int error = errno;
	va_list args;
	int n;

	pthread_mutex_lock(&vmm->found_lock);
	/* The first finding is the one that explains the others. */
	if (!stats->error[0]) {
		n = snprintf(stats->error, sizeof(stats->error), "%s: ", names[kind]);
		va_start(args, format);
		errno = error;
		vsnprintf(stats->error + n, sizeof(stats->error) - n, format, args);
		va_end(args);
	}
	stats->found[what][kind]++;
	pthread_mutex_unlock(&vmm->found_lock);
}

bool vmm_found_any(struct vmm *vmm)
{
	static const struct vmm_stats none;

	return memcmp(vmm->stats->found, none.found, sizeof(none.found));
}

const char *vmm_error(struct vmm *vmm)
{
	return vmm->stats && vmm->stats->error[0] ? vmm->stats->error : "no reason known";
}

static int step_failed(struct vmm *vmm, const char *step)
{
	vmm_found(vmm, FOUND_UNEXPECTED, SUBJ_VMM, "%s: %m", step);
	return -1;
}

static int stats_create(struct vmm *vmm)
{
	uint64_t freq;
	void *p = mmap((void *)VMM_STATS_ADDR, VMM_STATS_SPAN, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p == MAP_FAILED)
		return -1;
	asm("mrs %0, cntfrq_el0" : "=r"(freq));
	vmm->stats = p;
	vmm->stats->magic = VMM_STATS_MAGIC;
	vmm->stats->version = VMM_STATS_VERSION;
	vmm->stats->size = sizeof(*vmm->stats);
	vmm->stats->guest_cpu_size = sizeof(struct guest_cpu_stats);
	vmm->stats->nr_vcpus = vmm->config.nr_vcpus;
	vmm->stats->nr_sources = VM_NR_SOURCES;
	vmm->stats->cntfrq = freq;
	vmm->stats->nr_itses = vmm->config.nr_itses;
	return 0;
}

static int open_kvm(struct vmm *vmm)
{
	int size;

	vmm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vmm->kvm_fd < 0)
		return -1;
	vmm->vm_fd = ioctl(vmm->kvm_fd, KVM_CREATE_VM, 0);
	size = ioctl(vmm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	vmm->run_size = size;
	return vmm->vm_fd < 0 || size < 0 ? -1 : 0;
}

static int start_threads(struct vmm *vmm)
{
	unsigned int i;

	for (i = 0; i < vmm->config.nr_vcpus; i++)
		if (vcpu_start(vmm->vcpu[i]))
			return -1;
	errno = pthread_create(&vmm->device_thread, NULL, device_thread, vmm);
	return errno ? -1 : 0;
}

int vmm_start(struct vmm *vmm, const struct vmm_config *config)
{
	unsigned int i;

	memset(vmm, 0, sizeof(*vmm));
	pthread_mutex_init(&vmm->found_lock, NULL);
	vmm->config = *config;
	if (stats_create(vmm))
		return -1;
	if (open_kvm(vmm))
		return step_failed(vmm, "KVM_CREATE_VM");
	if (memory_create(vmm))
		return step_failed(vmm, "guest memory");
	if (gic_create(vmm))
		return step_failed(vmm, "KVM_CREATE_DEVICE of the GIC");
	for (i = 0; i < config->nr_vcpus; i++)
		if (vcpu_create(vmm, i))
			return step_failed(vmm, "KVM_CREATE_VCPU");
	if (gic_init(vmm))
		return step_failed(vmm, "set-up of the GIC");
	if (config->nr_itses && its_create(vmm))
		return step_failed(vmm, "set-up of the ITSes");
	devices_init(vmm);
	memory_fill_params(vmm);
	return start_threads(vmm) ? step_failed(vmm, "threads") : 0;
}

/* Waits count sleeps and not the clock, which goes on while the process is frozen or gone. */
bool vmm_wait(struct vmm *vmm, bool (*done)(struct vmm *), unsigned int seconds)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	unsigned int i;

	for (i = 0; i < seconds * 100; i++) {
		if (done(vmm))
			return true;
		nanosleep(&tick, NULL);
	}
	return done(vmm);
}

/* Once something is found the verdict is known: no end to wait for. */
static bool is_over(struct vmm *vmm)
{
	return vmm->powered_off || vmm_found_any(vmm);
}

/* The devices first: a vCPU that has finished would not take their interrupts. */
static int drain(struct vmm *vmm)
{
	vmm->device_stop = true;
	pthread_join(vmm->device_thread, NULL);
	vmm->params->drain = 1;
	if (vmm_wait(vmm, is_over, 3 * vmm->config.limit_s))
		return vmm->powered_off ? 0 : -1;
	vmm_found(vmm, FOUND_LOST, SUBJ_VMM, "the guest did not come to an end");
	return -1;
}

/* 0 when the VM was going on, came to its end, and nothing at all was found. */
int vmm_finish(struct vmm *vmm)
{
	unsigned int i;
	int ret;

	ret = verdict_progress(vmm);
	/* A short life may not have had all that it is to be judged by; what does not come, the verdict names. */
	vmm_wait(vmm, lpi_all_happened, 2 * vmm->config.limit_s);
	ret |= drain(vmm);
	for (i = 0; i < vmm->config.nr_vcpus; i++)
		vcpu_stop(vmm->vcpu[i]);
	ret |= verdict_totals(vmm);
	return vmm_found_any(vmm) ? -1 : ret;
}
