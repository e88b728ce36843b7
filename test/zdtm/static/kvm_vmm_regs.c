/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VMM's own registers: its first thread and those of its vCPUs, in which the plugin runs
 * system calls, and two others, one computing and one waiting in a system call. Whatever they
 * are doing when the world stops they go on with, and with what they had. The vCPUs' do it at
 * an exit that KVM has to complete.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "hold.h"
#include "oddvm.h"

const char *test_doc = "General and FP registers, keys, signals, restartable sequences and timed waits of a VMM\n";
const char *test_author = "The kvm-vgic authors";

static char *leader = "spin";
TEST_OPTION(leader, string, "what the first thread and the vCPUs' do: spin (default), rseq, call", 0);

#define HAVE_KEYS (HWCAP_PACA | HWCAP_PACG)

static struct odd_vm vm;
static volatile bool started, stop;
static uint64_t aborts;

static uint64_t pattern(unsigned int who, unsigned int n)
{
	return 0x9e3779b97f4a7c15 * (64 * who + n + 1);
}

static void fill(struct hold *h, unsigned int who)
{
	unsigned int i;

	memset(h, 0, sizeof(*h));
	for (i = 0; i < ARRAY_SIZE(h->in.x); i++)
		h->in.x[i] = pattern(who, i);
	for (i = 0; i < ARRAY_SIZE(h->in.v); i++)
		h->in.v[i] = pattern(who, 100 + i);
	h->in.nzcv = (uint64_t)(who + 5) % 16 << 28;
	h->in.fpcr = (uint64_t)(who % 3 + 1) << 22;	/* rounding */
	h->in.fpsr = 0x8000000 | (who + 1);		/* QC, exception flags */
	h->deadline = hold_counter() + hold_frequency() / 20;
}

static void compare(const struct hold *h, const char *who, bool in_call)
{
	char what[64];
	unsigned int i;

	for (i = 0; i < 31; i++) {
		if (i == 9 || i == 28 || (in_call && (i < 3 || i == 8)))
			continue;
		if (h->out.x[i] != (i == 10 ? h->deadline : h->in.x[i])) {
			snprintf(what, sizeof(what), "%s: x%u", who, i);
			odd_found(&vm, what, h->out.x[i]);
		}
	}
	for (i = 0; i < 64; i++)
		if (h->out.v[i] != h->in.v[i]) {
			snprintf(what, sizeof(what), "%s: v%u", who, i / 2);
			odd_found(&vm, what, h->out.v[i]);
		}
	if (h->out.nzcv != h->in.nzcv || h->out.fpcr != h->in.fpcr || h->out.fpsr != h->in.fpsr) {
		snprintf(what, sizeof(what), "%s: flags or FP status", who);
		odd_found(&vm, what, h->out.nzcv | h->out.fpcr | h->out.fpsr);
	}
}

static void spin_once(unsigned int who, const char *name)
{
	struct hold h;

	fill(&h, who);
	hold_regs(&h);
	compare(&h, name, false);
}

static void *spinner(void *arg)
{
	while (!stop)
		spin_once(1, "spinning thread");
	return NULL;
}

static int pipe_fds[2];

static void call_once(unsigned int who, const char *name)
{
	struct hold h;

	fill(&h, who);
	h.wait_fd = pipe_fds[0];
	hold_in_call(&h);
	if (h.out.x[0] != 1)
		odd_found(&vm, "read() of one byte", h.out.x[0]);
	compare(&h, name, true);
}

static void *waiter(void *arg)
{
	while (!stop)
		call_once(2, "waiting thread");
	return NULL;
}

/* Ends each call after a while, for whoever is in one. */
static void *waker(void *arg)
{
	const struct timespec pause = { .tv_nsec = 40000000 };

	while (!stop) {
		nanosleep(&pause, NULL);
		if (write(pipe_fds[1], "", 1) != 1)
			odd_found(&vm, "write()", errno);
	}
	/* One for each that may wait still: the waiting thread, the first, two of vCPUs. */
	if (write(pipe_fds[1], "....", 4) != 4)
		odd_found(&vm, "write()", errno);
	return NULL;
}

/* A timed wait may begin anew after a dump: it may be late, never early. */
static void *sleeper(void *arg)
{
	const struct timespec rest = { .tv_nsec = 150000000 };
	struct timespec a, b;

	while (!stop) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		if (clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL))
			odd_found(&vm, "clock_nanosleep()", errno);
		clock_gettime(CLOCK_MONOTONIC, &b);
		if ((b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec < rest.tv_nsec)
			odd_found(&vm, "a sleep ended early: ns", b.tv_nsec - a.tv_nsec);
	}
	return NULL;
}

/* Counts stops by a tracer, for a thread that calls nothing: not those of a host that is busy. */
static long nr_stops(void)
{
	struct rusage usage = { 0 };

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

/* A dump stops the world for longer than anything else here does: in a sequence that must be an abort. */
static void rseq_once(const char *who)
{
	volatile uint64_t *cs = (void *)((char *)__builtin_thread_pointer() + __rseq_offset +
					 offsetof(struct rseq, rseq_cs));
	struct hold h;
	uint64_t longest;
	long stops = nr_stops();
	char what[96];

	h.deadline = hold_counter() + hold_frequency() / 2;
	longest = hold_rseq(&h, cs, &aborts);
	if (longest > hold_frequency() / 4 && nr_stops() != stops) {
		snprintf(what, sizeof(what), "%s: stopped in a restartable sequence, and not aborted: ticks", who);
		odd_found(&vm, what, longest);
	}
}

static sigset_t urgent;

/* The si_code of the next that waits, or errno. Of libc's sigtimedwait() SI_TKILL is SI_USER. */
static int take_urgent(void)
{
	const struct timespec none = { 0 };
	siginfo_t info;

	return syscall(SYS_rt_sigtimedwait, &urgent, &info, &none, 8) == SIGURG ? info.si_code : errno;
}

/* SIGURG ends what the plugin runs in a thread. One waits for each of these, and one for the process. */
static void send_urgent(void)
{
	unsigned int i;

	kill(getpid(), SIGURG);
	pthread_kill(pthread_self(), SIGURG);
	for (i = 0; i < ODD_MAX_VCPUS && vm.vcpu[i].started; i++)
		pthread_kill(vm.vcpu[i].thread, SIGURG);
}

static volatile bool checked[ODD_NR_VCPUS];

static void check_urgent(const char *whose, int want)
{
	char what[64];
	int code = take_urgent();

	if (code != want) {
		snprintf(what, sizeof(what), "%s: not its SIGURG: si_code", whose);
		odd_found(&vm, what, code);
	}
}

static void lead(unsigned int who, const char *name)
{
	if (!strcmp(leader, "rseq"))
		rseq_once(name);
	else if (!strcmp(leader, "call"))
		call_once(who, name);
	else
		spin_once(who, name);
}

/* The thread of a vCPU has yet to serve the exit. */
static bool at_exit(struct odd_vcpu *vcpu)
{
	static const char name[] = "thread of a vCPU";

	if (started && !stop)
		lead(4 + vcpu->id, name);
	if (stop && !checked[vcpu->id]) {
		check_urgent(name, SI_TKILL);
		checked[vcpu->id] = true;
	}
	return false;
}

#define MAX_MS 60000

/* Their VMM goes on to serve exits: each finds soon that this is the end. */
static void wait_for_vcpus(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	unsigned int i, tries = 0;

	for (i = 0; i < ODD_NR_VCPUS; i++) {
		while (!checked[i] && tries++ < MAX_MS)
			nanosleep(&pause, NULL);
		if (!checked[i])
			odd_found(&vm, "a vCPU that makes no exit", i);
	}
}

static void check_keys(const uint64_t before[5])
{
	uint64_t now[5];

	hold_sign(0x123456789abc, now);
	if (memcmp(before, now, sizeof(now)))
		odd_found(&vm, "another key for pointer authentication", now[0]);
}

/* zdtm's own wait would leave the first thread in a call of libc. */
static void *wait_for_end(void *arg)
{
	test_waitsig();
	stop = true;
	return NULL;
}

int main(int argc, char **argv)
{
	static void *(*const work[])(void *) = { spinner, waiter, waker, sleeper };
	bool keys = (getauxval(AT_HWCAP) & HAVE_KEYS) == HAVE_KEYS;
	pthread_t threads[ARRAY_SIZE(work)], end;
	uint64_t signature[5] = { 0 };
	unsigned int i;

	test_init(argc, argv);

	sigemptyset(&urgent);
	sigaddset(&urgent, SIGURG);
	sigprocmask(SIG_BLOCK, &urgent, NULL);

	vm.exit = at_exit;
	if (odd_setup(&vm) || pipe(pipe_fds)) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}
	send_urgent();
	for (i = 0; i < ARRAY_SIZE(work); i++)
		if (pthread_create(&threads[i], NULL, work[i], NULL))
			return 1;
	if (keys)
		hold_sign(0x123456789abc, signature);

	test_daemon();
	started = true;
	if (pthread_create(&end, NULL, wait_for_end, NULL))
		return 1;
	while (!stop) {
		lead(0, "first thread");
		if (keys)
			check_keys(signature);
	}

	for (i = 0; i < ARRAY_SIZE(work); i++)
		pthread_join(threads[i], NULL);
	pthread_join(end, NULL);
	wait_for_vcpus();
	check_urgent("first thread", SI_TKILL);
	check_urgent("process", SI_USER);
	if (!strcmp(leader, "rseq"))
		test_msg("%llu aborts\n", (unsigned long long)aborts);
	return odd_verdict(&vm);
}
