// SPDX-License-Identifier: GPL-2.0-only
/*
 * A clock of instructions for CPUs that execute at once: testbed/run --at-once.
 *
 * QEMU's -icount has one count, of one thread that is all CPUs in turn. Here each CPU is a thread (-accel
 * tcg,thread=multi) with a clock of its own, which stands still but for 2 ns an instruction:
 *
 *  - no CPU that executes is ahead of another that does by more than two quanta: it waits, see
 *    end_of_quantum().
 *  - a CPU that was idle goes on at the time of whoever woke it.
 *  - all else in QEMU, its timers first of all, has the time of the slowest CPU that executes; while all are
 *    idle, that time goes on as the real one does, as with -icount.
 *
 * QEMU's virtual clock with thread=multi is its machine's CLOCK_MONOTONIC, and what its plugins can have
 * changed of that (10.0) is no more than to wait for it. So this is two things in one: a plugin, which
 * counts, and a library to be preloaded, whose clock_gettime() takes the C library's place, and the condition
 * variables on which CPUs sleep.
 *
 * A CPU that waits here is inside a translated block. Who wants all CPUs outside of theirs, as for a TLB's
 * flush, waits on a condition variable, and is waited for by nobody meanwhile. Should that ever not be all:
 * no wait is longer than a second. A CPU that gives it up is ahead by one quantum more, and then waits again.
 * So one given up is an error of 4 us at most; how many there were is told at the end, and testbed/run judges
 * it.
 *
 * What this does not take away: a timer fires when this machine lets QEMU's main loop run, so a wait can last
 * longer on a busy one, never shorter; who has waited in QEMU is waited for again only when its thread has
 * come, until when the others run on; a block that is left early, by a fault, counts as a whole.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define PUBLIC __attribute__((visibility("default")))

/* Of QEMU's interface of plugins (docs/devel/tcg-plugins.rst), what is used. */
#define QEMU_PLUGIN_VERSION 4
enum { CB_NO_REGS = 0, COND_GE = 7, INLINE_ADD_U64 = 0 };
struct u64_of_cpu {
	void *scoreboard;
	size_t offset;
};
void *qemu_plugin_scoreboard_new(size_t size);
void *qemu_plugin_scoreboard_find(void *scoreboard, unsigned int cpu);
size_t qemu_plugin_tb_n_insns(const void *tb);
void qemu_plugin_register_vcpu_init_cb(uint64_t id, void (*cb)(uint64_t id, unsigned int cpu));
void qemu_plugin_register_vcpu_idle_cb(uint64_t id, void (*cb)(uint64_t id, unsigned int cpu));
void qemu_plugin_register_vcpu_resume_cb(uint64_t id, void (*cb)(uint64_t id, unsigned int cpu));
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(uint64_t id, void *tb));
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(void *tb, int op, struct u64_of_cpu entry,
						       uint64_t value);
void qemu_plugin_register_vcpu_tb_exec_cond_cb(void *tb, void (*cb)(unsigned int cpu, void *data), int flags,
					       int cond, struct u64_of_cpu entry, uint64_t value, void *data);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*cb)(uint64_t id, void *data), void *data);

struct info {
	const char *target;
	int min_version, version;
	bool is_system;
	int cpus, max_cpus;
};

PUBLIC int qemu_plugin_version = QEMU_PLUGIN_VERSION;
PUBLIC int qemu_plugin_install(uint64_t id, const struct info *info, int argc, char **argv);

#define NS_OF_INSTRUCTION 2
#define QUANTUM 2000 /* instructions */
#define QUANTUM_NS (QUANTUM * NS_OF_INSTRUCTION)
#define MAX_CPUS 64

enum state {
	ABSENT,
	EXECUTES,
	WAITS, /* for something in QEMU: time stands still for it, and nobody waits for it */
	IDLE
};

static struct cpu {
	enum state state;
	uint64_t time;		/* ns, at the start of this quantum */
	uint64_t *instructions; /* of this quantum, added to by translated code */
	pthread_cond_t *halted; /* QEMU's, on which it sleeps when idle */
	pthread_cond_t woken;	/* what it sleeps on */
} cpus[MAX_CPUS];

static __thread struct cpu *self;
static __thread bool halts;

/* What follows, and all of cpus[] but the count and what a CPU that executes knows of itself. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progress;
static unsigned int waiters;
static uint64_t shown;	    /* the latest time that was told to whom is no CPU */
static uint64_t idle_since; /* the same moment by both clocks */
static uint64_t idle_since_real;
static unsigned long quanta, waits, given_up;
static bool is_asked; /* by a CPU, for the time */

static int (*real_gettime)(clockid_t id, struct timespec *ts);
static int (*real_wait)(pthread_cond_t *cond, pthread_mutex_t *mutex);
static int (*real_timedwait)(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
static int (*real_broadcast)(pthread_cond_t *cond);

static uint64_t to_ns(const struct timespec *ts)
{
	return ts->tv_sec * 1000000000ULL + ts->tv_nsec;
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

static uint64_t real_time(void)
{
	struct timespec ts;

	real_gettime(CLOCK_MONOTONIC, &ts);
	return to_ns(&ts);
}

static uint64_t time_of(const struct cpu *cpu)
{
	return cpu->time + __atomic_load_n(cpu->instructions, __ATOMIC_RELAXED) * NS_OF_INSTRUCTION;
}

/* That of the slowest CPU that has a time which goes on, or nothing. */
static bool slowest(uint64_t *time)
{
	bool found = false;

	for (const struct cpu *cpu = cpus; cpu < cpus + MAX_CPUS; cpu++) {
		if (cpu->state != EXECUTES && cpu->state != WAITS)
			continue;
		if (!found || time_of(cpu) < *time)
			*time = time_of(cpu);
		found = true;
	}
	return found;
}

static uint64_t time_of_all(void)
{
	uint64_t time;

	if (!slowest(&time))
		time = idle_since + real_time() - idle_since_real;
	if (time > shown)
		shown = time;
	return shown;
}

/* By the clock of who calls. */
static uint64_t time_here(void)
{
	return self ? time_of(self) : time_of_all();
}

static void close_quantum(struct cpu *cpu)
{
	cpu->time = time_of(cpu);
	__atomic_store_n(cpu->instructions, 0, __ATOMIC_RELAXED);
}

static void start(struct cpu *cpu, uint64_t time)
{
	if (cpu->time < time)
		cpu->time = time;
	cpu->state = EXECUTES;
}

static void stop(struct cpu *cpu, enum state state)
{
	uint64_t time;

	close_quantum(cpu);
	cpu->state = state;
	if (!slowest(&time)) {
		idle_since = cpu->time > shown ? cpu->time : shown;
		idle_since_real = real_time();
	}
	if (waiters)
		real_broadcast(&progress);
}

static bool is_ahead(const struct cpu *cpu)
{
	for (const struct cpu *other = cpus; other < cpus + MAX_CPUS; other++)
		if (other->state == EXECUTES && other->time + QUANTUM_NS < cpu->time)
			return true;
	return false;
}

static void end_of_quantum(unsigned int index, void *data)
{
	struct cpu *cpu = &cpus[index];
	struct timespec until;

	pthread_mutex_lock(&lock);
	close_quantum(cpu);
	quanta++;
	if (waiters)
		real_broadcast(&progress);
	if (is_ahead(cpu)) {
		waits++;
		waiters++;
		until = to_timespec(real_time() + 1000000000);
		while (is_ahead(cpu)) {
			if (real_timedwait(&progress, &lock, &until)) {
				given_up++;
				break;
			}
		}
		waiters--;
	}
	pthread_mutex_unlock(&lock);
}

PUBLIC int clock_gettime(clockid_t id, struct timespec *ts)
{
	uint64_t time;

	if (id != CLOCK_MONOTONIC)
		return real_gettime(id, ts);
	if (self) {
		__atomic_store_n(&is_asked, true, __ATOMIC_RELAXED);
		time = time_of(self);
	} else {
		pthread_mutex_lock(&lock);
		time = time_of_all();
		pthread_mutex_unlock(&lock);
	}
	*ts = to_timespec(time);
	return 0;
}

/*
 * With the lock of ours, not by the condition variable: QEMU wakes CPUs without the mutex, too, and one that
 * was woken before it slept would be waited for here.
 */
static void sleep_until_woken(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	pthread_mutex_lock(&lock);
	self->halted = cond;
	stop(self, IDLE);
	pthread_mutex_unlock(mutex);
	while (self->state == IDLE)
		real_wait(&self->woken, &lock);
	pthread_mutex_unlock(&lock);
	pthread_mutex_lock(mutex);
}

PUBLIC int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	int error;

	if (!self)
		return real_wait(cond, mutex);
	if (halts) {
		sleep_until_woken(cond, mutex);
		return 0;
	}
	pthread_mutex_lock(&lock);
	stop(self, WAITS);
	pthread_mutex_unlock(&lock);
	error = real_wait(cond, mutex);
	pthread_mutex_lock(&lock);
	self->state = EXECUTES;
	pthread_mutex_unlock(&lock);
	return error;
}

/* QEMU's are all by CLOCK_MONOTONIC: it has that from clock_gettime() above, the kernel has the real one. */
PUBLIC int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
	struct timespec real_until;

	pthread_mutex_lock(&lock);
	real_until = to_timespec(to_ns(until) + real_time() - time_here());
	pthread_mutex_unlock(&lock);
	return real_timedwait(cond, mutex, &real_until);
}

/* A CPU executes from the moment in which it is woken: who wakes it must not be far ahead when its thread has
 * come. */
PUBLIC int pthread_cond_broadcast(pthread_cond_t *cond)
{
	pthread_mutex_lock(&lock);
	for (struct cpu *cpu = cpus; cpu < cpus + MAX_CPUS; cpu++)
		if (cpu->state == IDLE && cpu->halted == cond) {
			start(cpu, time_here());
			real_broadcast(&cpu->woken);
		}
	pthread_mutex_unlock(&lock);
	return real_broadcast(cond);
}

static struct u64_of_cpu count;

static void init_cpu(uint64_t id, unsigned int index)
{
	pthread_mutex_lock(&lock);
	pthread_cond_init(&cpus[index].woken, NULL);
	cpus[index].instructions = qemu_plugin_scoreboard_find(count.scoreboard, index);
	start(&cpus[index], time_of_all());
	pthread_mutex_unlock(&lock);
	self = &cpus[index];
}

static void begin_halt(uint64_t id, unsigned int index)
{
	halts = true;
}

static void end_halt(uint64_t id, unsigned int index)
{
	halts = false;
}

static void translate(uint64_t id, void *tb)
{
	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, INLINE_ADD_U64, count,
							  qemu_plugin_tb_n_insns(tb));
	qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, end_of_quantum, CB_NO_REGS, COND_GE, count, QUANTUM,
						  NULL);
}

/* A QEMU that has the time from elsewhere would be measured by a clock which nobody knows. */
static void tell(uint64_t id, void *data)
{
	if (!is_asked)
		fprintf(stderr, "cpu-clock: error: no CPU has asked this library for the time\n");
	else
		fprintf(stderr, "cpu-clock: %lu quanta, %lu waits, %lu given up\n", quanta, waits, given_up);
}

static void __attribute__((constructor)) find_real(void)
{
	pthread_condattr_t attr;

	real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	real_wait = dlsym(RTLD_NEXT, "pthread_cond_wait");
	real_timedwait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
	real_broadcast = dlsym(RTLD_NEXT, "pthread_cond_broadcast");
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&progress, &attr);
	idle_since = idle_since_real = real_time();
}

int qemu_plugin_install(uint64_t id, const struct info *info, int argc, char **argv)
{
	if (!info->is_system || info->max_cpus > MAX_CPUS) {
		fprintf(stderr, "cpu-clock: error: at most %d CPUs, of a whole machine\n", MAX_CPUS);
		return -1;
	}
	count.scoreboard = qemu_plugin_scoreboard_new(sizeof(uint64_t));
	qemu_plugin_register_vcpu_init_cb(id, init_cpu);
	qemu_plugin_register_vcpu_idle_cb(id, begin_halt);
	qemu_plugin_register_vcpu_resume_cb(id, end_halt);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, tell, NULL);
	return 0;
}
