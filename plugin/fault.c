// SPDX-License-Identifier: GPL-2.0-only
/* See fault.h. No part of a build without the Meson option fault_points. */
#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"

/* criu and the tasks that it forks in a restore pass points. */
struct passed {
	unsigned int nr;
	pid_t criu;
};

static struct passed alone, *passed = &alone;
static char struck[160]; /* the point, for the log */

static const char *const kinds[] = {
	[FAULT_STEP] = "step", [FAULT_CALL] = "call", [FAULT_REMOTE] = "remote", [FAULT_IMAGE] = "image",
	[FAULT_MEMORY] = "memory",
};

void fault_init(void)
{
	struct passed *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (passed != &alone)
		munmap(passed, sizeof(*passed));
	if (shared == MAP_FAILED)
		abort(); /* a sweep that numbers points anew in each process would miss some */
	shared->criu = getpid();
	passed = shared;
}

/* criu may be run with rights that its user has not. */
static const char *setting(const char *variable)
{
	const char *testing = secure_getenv("KVM_VGIC_TESTING");

	return testing && !strcmp(testing, "1") ? secure_getenv(variable) : NULL;
}

static bool names(const char *variable, const char *what)
{
	const char *fault = setting(variable);

	return fault && !strcmp(fault, what);
}

static bool is_number(const char *variable, unsigned int nr)
{
	const char *fault = setting(variable);

	return fault && isdigit((unsigned char)*fault) && strtoul(fault, NULL, 10) == nr;
}

/* Opened each time: CRIU closes the fds of a task that it restores. */
static void list(unsigned int nr, enum fault_kind kind, const char *place, const char *what)
{
	const char *path = setting("KVM_VGIC_FAULT_LIST");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return;
	dprintf(fd, "%u\t%s\t%s\t%s\n", nr, kinds[kind], place, what);
	close(fd);
}

bool fault_counts(void)
{
	const char *fault = setting("KVM_VGIC_FAULT");

	return (fault && isdigit((unsigned char)*fault)) || setting("KVM_VGIC_FAULT_LIST");
}

bool fault_passed(enum fault_kind kind, const char *place, const char *what)
{
	unsigned int nr = __atomic_add_fetch(&passed->nr, 1, __ATOMIC_RELAXED);

	list(nr, kind, place, what);
	if (!is_number("KVM_VGIC_FAULT", nr))
		return false;
	snprintf(struck, sizeof(struck), "point %u, %s %s: %s", nr, kinds[kind], place, what);
	return true;
}

/* A task of the restore that gives criu a signal lets it arrive. */
static void signal_criu(int sig)
{
	struct timespec while_it_arrives = { .tv_nsec = 200000000 };

	if (!passed->criu || passed->criu == getpid()) {
		raise(sig);
		return;
	}
	kill(passed->criu, sig);
	nanosleep(&while_it_arrives, NULL);
}

int fault_strikes(void)
{
	const char *sig = setting("KVM_VGIC_FAULT_SIGNAL");

	pr_warn("fault injected: %s%s%s\n", struck, sig ? ", signal " : "", sig ?: "");
	if (!sig)
		return -EIO;
	signal_criu(atoi(sig));
	return 0;
}

int fault_point(enum fault_kind kind, const char *place, const char *what)
{
	return fault_passed(kind, place, what) ? fault_strikes() : 0;
}

int fault_injected(const char *step)
{
	int ret = fault_point(FAULT_STEP, "step", step);

	if (names("KVM_VGIC_KILL", step))
		raise(SIGKILL);
	if (ret || !names("KVM_VGIC_FAULT", step))
		return ret;
	snprintf(struck, sizeof(struck), "%s", step);
	return fault_strikes();
}

int fault_injected_of(unsigned int vm, const char *step)
{
	char point[80];

	snprintf(point, sizeof(point), "vm %u %s", vm, step);
	if (names("KVM_VGIC_KILL", point))
		raise(SIGKILL);
	if (!names("KVM_VGIC_FAULT", point))
		return 0;
	snprintf(struck, sizeof(struck), "%s", point);
	return fault_strikes();
}

bool fault_leaves_out(const char *what)
{
	if (!names("KVM_VGIC_SKIP", what))
		return false;
	pr_warn("KVM_VGIC_SKIP is set: the restored VM is damaged: left out: %s\n", what);
	return true;
}

bool fault_moves(const char *step)
{
	if (!names("KVM_VGIC_LATE", step))
		return false;
	pr_warn("KVM_VGIC_LATE is set: the restored VM is damaged: late: %s\n", step);
	return true;
}
