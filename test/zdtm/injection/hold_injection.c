// SPDX-License-Identifier: GPL-2.0-only
/*
 * hold_injection PID FD GSI: as soon as criu has seized process PID it signals the eventfd that is FD there, and holds
 * the injection of GSI, which it is bound to, in the worker that executes it: not before, as RCU waits for that CPU, and
 * criu for RCU. Says "ready", and "held" when it is; lets go when its standard input ends, or after BPF's limit.
 */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hold_injection.skel.h"

#define PAUSE_US 1000
#define TRIES 60000

static bool is_traced(pid_t pid)
{
	char path[40], line[128];
	int tracer = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "TracerPid: %d", &tracer) == 1)
			break;
	if (file)
		fclose(file);
	return tracer;
}

static int signal_eventfd(pid_t pid, int theirs)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	int fd = pidfd < 0 ? -1 : syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
	int ret = fd < 0 ? -1 : eventfd_write(fd, 1);

	close(fd);
	close(pidfd);
	return ret;
}

static int say(const char *word)
{
	return puts(word) < 0 || fflush(stdout) ? -1 : 0;
}

static int hold(struct hold_injection *skel, pid_t pid, int fd)
{
	char c;

	if (hold_injection__attach(skel) || say("ready"))
		return -1;
	for (int i = 0; i < TRIES && !is_traced(pid); i++)
		usleep(PAUSE_US);
	if (signal_eventfd(pid, fd))
		return -1;
	for (int i = 0; i < TRIES && !skel->bss->held; i++)
		usleep(PAUSE_US);
	if (!skel->bss->held || say("held"))
		return -1;
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	skel->bss->release = true;
	return 0;
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
	if (ret)
		perror("hold_injection");
	hold_injection__destroy(skel);
	return ret ? 1 : 0;
}
