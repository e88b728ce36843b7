// SPDX-License-Identifier: GPL-2.0-only
/*
 * hold_injection PID FD GSI: signals the eventfd that is FD of process PID, and holds the injection of GSI, which it is
 * bound to, in the worker that executes it. Says "held" when it is; lets go when its standard input ends. Status 3 where
 * the injection did not stay until then.
 */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hold_injection.skel.h"

#define TRIES 500
#define PAUSE_US 10000

static int signal_eventfd(pid_t pid, int theirs)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	int fd = pidfd < 0 ? -1 : syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
	int ret = fd < 0 ? -1 : eventfd_write(fd, 1);

	close(fd);
	close(pidfd);
	return ret;
}

static int hold(struct hold_injection *skel, pid_t pid, int fd)
{
	char c;

	if (hold_injection__attach(skel) || signal_eventfd(pid, fd)) {
		perror("hold_injection");
		return 1;
	}
	for (int i = 0; i < TRIES && !skel->bss->held; i++)
		usleep(PAUSE_US);
	if (!skel->bss->held) {
		fprintf(stderr, "hold_injection: no injection\n");
		return 1;
	}
	puts("held");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	skel->bss->release = true;
	while (skel->bss->held)
		usleep(PAUSE_US);
	return skel->bss->late ? 3 : 0;
}

int main(int argc, char **argv)
{
	struct hold_injection *skel = argc == 4 ? hold_injection__open_and_load() : NULL;
	int ret;

	if (!skel) {
		fprintf(stderr, "usage: hold_injection PID FD GSI, with BPF\n");
		return 2;
	}
	skel->bss->gsi = atoi(argv[3]);
	ret = hold(skel, atoi(argv[1]), atoi(argv[2]));
	hold_injection__destroy(skel);
	return ret;
}
