/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Process 1 of a container: start COMMAND [ARGUMENT]...
 *
 * Starts COMMAND, reaps whatever ends, hands SIGTERM to its children, and ends with the last of them, by the worst
 * of their exit statuses. A daemon that COMMAND leaves behind is a child too: process 1 inherits it.
 */
#include <err.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void end_children(void)
{
	FILE *children = fopen("/proc/thread-self/children", "r");
	int pid;

	if (!children)
		err(125, "/proc/thread-self/children");
	while (fscanf(children, "%d", &pid) == 1)
		kill(pid, SIGTERM);
	fclose(children);
}

/* Whether there is a child left. */
static bool reap(int *worst)
{
	int status, code;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		if (code > *worst)
			*worst = code;
	}
	return !pid;
}

int main(int argc, char **argv)
{
	sigset_t signals, before;
	int worst = 0;
	pid_t pid;

	if (argc < 2)
		errx(125, "usage: start COMMAND [ARGUMENT]...");
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, &before);

	pid = fork();
	if (pid < 0)
		err(125, "fork");
	if (!pid) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		execvp(argv[1], argv + 1);
		err(127, "%s", argv[1]);
	}
	/* EINTR: a dump and a restore came in between. */
	while (reap(&worst))
		if (sigwaitinfo(&signals, NULL) == SIGTERM)
			end_children();
	return worst;
}
