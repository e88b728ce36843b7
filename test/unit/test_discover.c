// SPDX-License-Identifier: GPL-2.0-only
/* From what /proc and the iterator tell of a process to its VM: that all of it is looked at. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/discover.h"
#include "probe/kernel.h"
#include "probe/proc.h"
#include "testlog.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PID 42
#define RAM 0x40000000ull

/* The process, its kernel and its host */

static const struct proc_fd fds[] = { { 3, PROC_FD_SYSTEM, "/dev/kvm" },
				      { 5, PROC_FD_VM, "anon_inode:kvm-vm" },
				      { 6, PROC_FD_VGIC_V3, "anon_inode:kvm-arm-vgic-v3" },
				      { 10, PROC_FD_VCPU, "anon_inode:kvm-vcpu:77" } };

static struct kvm_rec recs[4];
static size_t cpu_kinds;

static void set_up_process(void)
{
	recs[0] = (struct kvm_rec){ .type = KVM_REC_VM, .fd = 5 };
	recs[0].vm.vtcr = 24; /* 40 bits */
	recs[0].vm.features = 1 << KVM_ARM_VCPU_PSCI_0_2;
	recs[0].vm.nr_vcpus = recs[0].vm.nr_devices = 1;
	recs[0].vm.vgic_model = KVM_DEV_TYPE_ARM_VGIC_V3;
	recs[0].vm.same_mm = recs[0].vm.vgic_in_kernel = recs[0].vm.vgic_initialized = 1;
	recs[1] = (struct kvm_rec){ .type = KVM_REC_SLOT, .fd = 5 };
	recs[1].slot.gpa = RAM / sysconf(_SC_PAGESIZE);
	recs[1].slot.npages = 16;
	recs[2] = (struct kvm_rec){ .type = KVM_REC_DEVICE, .fd = 6 };
	recs[3] = (struct kvm_rec){ .type = KVM_REC_VCPU, .fd = 10 };
	recs[3].vcpu.id = 77;
	recs[3].vcpu.steal_base = VCPU_NO_PVTIME;
	for (size_t i = 0; i < COUNT(recs); i++)
		recs[i].kvm = 1;
	cpu_kinds = 1;
}

int proc_scan(pid_t pid, struct proc_scan *scan)
{
	*scan = (struct proc_scan){ .nr_fds = COUNT(fds), .max_fd = 10, .vpid = 1, .userfaultfd = -1 };
	scan->fds = calloc(COUNT(fds), sizeof(*fds));
	memcpy(scan->fds, fds, sizeof(fds));
	return 0;
}

int proc_scan_map_flags(pid_t pid, struct proc_scan *scan)
{
	return 0;
}

void proc_scan_free(struct proc_scan *scan)
{
	free(scan->fds);
}

int kernel_probe(pid_t pid, struct kvm_rec **told, size_t *nr)
{
	*told = calloc(COUNT(recs), sizeof(*recs));
	memcpy(*told, recs, sizeof(recs));
	*nr = COUNT(recs);
	return 0;
}

bool kernel_saves_orphans(void)
{
	return true;
}

bool kernel_step_is_pending(unsigned int sflags)
{
	return false;
}

size_t __wrap_pmu_nr_cpu_kinds(void);
size_t __wrap_pmu_nr_cpu_kinds(void)
{
	return cpu_kinds;
}

static void assert_found(void)
{
	struct vm_state *vm;

	log_reset();
	assert_int_equal(discover(PID, &vm), 0);
	assert_int_equal(log_errors(), 0);
	assert_int_equal(vm->vpid, 1);
	assert_int_equal(vm->ipa_bits, 40);
	assert_int_equal(vm->nr_slots, 1);
	assert_int_equal(vm->slots[0].gpa, RAM);
	assert_int_equal(vm->nr_vcpus, 1);
	assert_int_equal(vm->vcpus[0].id, 77);
	assert_true(vm->vcpus[0].pvtime == recs[3].vcpu.steal_base);
	vm_state_free(vm);
}

static void assert_refused(const char *says)
{
	struct vm_state *vm;

	log_reset();
	assert_int_equal(discover(PID, &vm), -ENOTSUP);
	assert_null(vm);
	assert_int_equal(log_errors(), 1);
	if (strncmp(log_error(), says, strlen(says)))
		fail_msg("'%s', and '%s' expected", log_error(), says);
}

static void a_vm_is_found(void **state)
{
	set_up_process();
	assert_found();
}

/* Of a VM without a PMU it does not matter where it ran. */
static void a_pmu_needs_cpus_of_one_kind(void **state)
{
	set_up_process();
	cpu_kinds = 2;
	assert_found();
	cpu_kinds = 0;
	assert_found();
	recs[0].vm.features |= 1 << KVM_ARM_VCPU_PMU_V3;
	assert_refused("pid 42: a PMU, on a host that does not tell its kinds of CPUs (bus/event_source of "
		       "sysfs): " REFUSAL ": mount sysfs on /sys");
	cpu_kinds = 2;
	assert_refused("pid 42: a PMU, on a host with CPUs of several kinds: " REFUSAL);
	cpu_kinds = 1;
	assert_found();
}

#define NO_MEMORY "pid 42: fd 10 (vCPU id 77): stolen time where no memslot is that can be written: " REFUSAL

static void stolen_time_needs_memory(void **state)
{
	set_up_process();
	recs[3].vcpu.steal_base = RAM + 64;
	assert_found();
	recs[3].vcpu.steal_base = RAM - 64;
	assert_refused(NO_MEMORY);
	recs[3].vcpu.steal_base = RAM;
	recs[1].slot.flags = KVM_MEM_READONLY;
	assert_refused(NO_MEMORY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vm_is_found),
		cmocka_unit_test(a_pmu_needs_cpus_of_one_kind),
		cmocka_unit_test(stolen_time_needs_memory),
	};

	return cmocka_run_group_tests_name("discovery", tests, NULL, NULL);
}
