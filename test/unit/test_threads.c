// SPDX-License-Identifier: GPL-2.0-only
/* Register sets of a process's threads, read and put back: what ptrace answers is made up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include <cmocka.h>

#include "probe/proc.h"
#include "remote/rseq.h"
#include "remote/threads.h"
#include "remote/trace.h"
#include "testlog.h"

#define FIRST 100
#define NR 3

/* The thread whose sequence cannot be aborted, or whose register sets cannot be read. */
static pid_t no_abort, no_read;
static int nr_written, nr_listed;
static uint32_t written; /* bits of register sets 0x400 to 0x41f */
/* What the kernel says of the CPU, and the register sets that were asked of the first thread. */
static unsigned long caps, caps2;
static uint32_t asked[THREAD_MAX_SETS];
static size_t nr_asked;

unsigned long __wrap_getauxval(unsigned long type);
unsigned long __wrap_getauxval(unsigned long type)
{
	return type == AT_HWCAP ? caps : type == AT_HWCAP2 ? caps2 : 0;
}

int proc_each_vtid(pid_t pid, int (*use)(pid_t tid, pid_t vtid, void *arg), void *arg)
{
	int ret = 0;

	nr_listed++;
	for (pid_t i = 0; i < NR && !ret; i++)
		ret = use(FIRST + i, 1 + i, arg);
	return ret;
}

int proc_each_thread(pid_t pid, int (*use)(pid_t pid, pid_t tid, void *arg), void *arg)
{
	return 0;
}

pid_t proc_vpid(pid_t pid, pid_t tid)
{
	return 1 + tid - FIRST;
}

int rseq_abort(pid_t tid)
{
	return tid == no_abort ? -EFAULT : 0;
}

int trace_get_regset(pid_t tid, unsigned int note, void *buf, size_t *size)
{
	if (tid == FIRST)
		asked[nr_asked++] = note;
	*size = 16;
	memset(buf, 0, *size);
	return tid == no_read ? -ENOMEM : 0;
}

int trace_set_regset(pid_t tid, unsigned int note, const void *buf, size_t size)
{
	nr_written++;
	written |= 1u << (note - 0x400);
	return 0;
}

int trace_interrupt(pid_t tid, int timeout_ms)
{
	return 0;
}

bool trace_goes_on(pid_t tid)
{
	return false;
}

static void take_with_a_failure(pid_t abort_of, pid_t read_of, const char *says, const char *why)
{
	struct vm_state vm = { 0 };
	char whole[160];

	no_abort = abort_of;
	no_read = read_of;
	log_reset();
	assert_true(threads_take(FIRST, &vm) < 0);
	assert_int_equal(log_errors(), 2);
	assert_true(log_has(says));
	snprintf(whole, sizeof(whole), "pid %d: cannot read the registers of its threads: %s", FIRST, why);
	assert_string_equal(log_error(), whole);
	assert_int_equal(vm.nr_threads, 0); /* there is nothing to put back, and nothing more is said */
	assert_null(vm.threads);
}

static void what_cannot_be_read_of_a_thread_is_all_that_is_said(void **state)
{
	caps2 = 1ul << 23;
	take_with_a_failure(FIRST + 1, 0, "thread 101: cannot abort its restartable sequence: Bad address (errno 14)",
			    "Bad address (errno 14)");
	take_with_a_failure(0, FIRST + 2, "thread 102: cannot read register set 0x401: Cannot allocate memory (errno 12)",
			    "Cannot allocate memory (errno 12)");
	take_with_a_failure(0, FIRST, "thread 100: cannot read register set 0x401: Cannot allocate memory (errno 12)",
			    "Cannot allocate memory (errno 12)");
}

static void each_thread_has_its_registers_back(void **state)
{
	struct vm_state vm = { 0 };

	caps2 = 1ul << 23;
	no_abort = no_read = nr_written = nr_asked = 0;
	log_reset();
	assert_int_equal(threads_take(FIRST, &vm), 0);
	assert_int_equal(vm.nr_threads, NR);
	assert_int_equal(threads_apply(FIRST, &vm), 0);
	assert_true(nr_written >= NR);
	assert_int_equal(log_errors(), 0);
	vm.nr_threads--;
	assert_int_equal(threads_apply(FIRST, &vm), -EINVAL);
	assert_true(log_has("thread 102: not one of those that were dumped"));
	thread_free(vm.threads, NR);
}

static void assert_asked(unsigned long cpu, unsigned long cpu2, const uint32_t *notes, size_t nr)
{
	struct vm_state vm = { 0 };

	no_abort = no_read = nr_asked = 0;
	caps = cpu;
	caps2 = cpu2;
	assert_int_equal(threads_take(FIRST, &vm), 0);
	assert_int_equal(nr_asked, nr);
	assert_memory_equal(asked, notes, nr * sizeof(*notes));
	thread_free(vm.threads, vm.nr_threads);
}

#define ASKED(cpu, cpu2, ...) \
	assert_asked(cpu, cpu2, (const uint32_t[]){ __VA_ARGS__ }, sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

/* arch/arm64/include/uapi/asm/hwcap.h and include/uapi/linux/elf.h. */
static void what_the_cpu_has_not_is_not_asked(void **state)
{
	ASKED(0, 0, 0x409);
	ASKED(~(1ul << 22 | 1ul << 30), ~(1ul << 23 | 1ul << 48 | 1ul << 63), 0x409);
	ASKED(1ul << 30, 0, 0x409, 0x40a);			       /* PACA */
	ASKED(1ul << 22, 0, 0x409, 0x405);			       /* SVE */
	ASKED(0, 1ul << 23, 0x401, 0x409, 0x405, 0x40b, 0x40c, 0x40d); /* SME */
	ASKED(0, 1ul << 48, 0x409, 0x40e);			       /* FPMR */
	ASKED(0, 1ul << 63, 0x409, 0x40f);			       /* POE */
	ASKED(-1ul, -1ul, 0x401, 0x409, 0x40a, 0x405, 0x40b, 0x40c, 0x40d, 0x40e, 0x40f);
}

/* Each of them has 16 bytes: ZA is off, and neither it nor ZT0 is written but for the vector length. */
static void a_system_call_loses_none_of_what_prctl_sets(void **state)
{
	const uint32_t prctl = 1u << 0x9 | 1u << 0xa;
	uint32_t all;
	struct vm_state vm = { 0 };

	caps = caps2 = -1ul;
	no_abort = no_read = nr_asked = written = 0;
	assert_int_equal(threads_take(FIRST, &vm), 0);
	assert_int_equal(threads_apply(FIRST, &vm), 0);
	assert_int_equal(written & prctl, prctl);
	all = written;
	written = 0;
	assert_int_equal(threads_put_back(FIRST, &vm), 0);
	assert_int_equal(written, all & ~prctl);
	thread_free(vm.threads, vm.nr_threads);
}

/* And nobody is looked for. */
static void where_a_call_loses_nothing_nothing_is_written(void **state)
{
	struct vm_state vm = { 0 };

	caps = 1ul << 30; /* PACA */
	caps2 = nr_asked = nr_written = 0;
	assert_int_equal(threads_take(FIRST, &vm), 0);
	nr_listed = 0;
	assert_int_equal(threads_put_back(FIRST, &vm), 0);
	assert_int_equal(nr_written + nr_listed, 0);
	assert_int_equal(threads_apply(FIRST, &vm), 0);
	assert_int_equal(nr_written, 2 * NR);
	thread_free(vm.threads, vm.nr_threads);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cannot_be_read_of_a_thread_is_all_that_is_said),
		cmocka_unit_test(each_thread_has_its_registers_back),
		cmocka_unit_test(what_the_cpu_has_not_is_not_asked),
		cmocka_unit_test(a_system_call_loses_none_of_what_prctl_sets),
		cmocka_unit_test(where_a_call_loses_nothing_nothing_is_written),
	};

	return cmocka_run_group_tests_name("registers of threads", tests, NULL, NULL);
}
