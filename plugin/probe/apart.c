// SPDX-License-Identifier: GPL-2.0-only
/*
 * See apart.h. A read that waits for a server ends by no signal but one that ends its process, and not always by that:
 * so it is another process's, which is left to itself then. It tells by a pipe that it goes on, and at last what it found.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "probe/apart.h"
#include "probe/backing.h"

/* What comes by the pipe. */
enum word { GOES_ON, FOUND, DONE };

struct message {
	enum word word;
	int result;	  /* of DONE */
	struct backing b; /* of FOUND; its path follows */
	size_t path_size; /* bytes, with the 0 at its end */
};

static int to_parent = -1; /* of the child */

static int put(const void *data, size_t size)
{
	return write(to_parent, data, size) == (ssize_t)size ? 0 : -EPIPE;
}

/* The child's, between two blocks: criu may have ended. */
static int tell_on(void)
{
	const struct message on = { .word = GOES_ON };

	return put(&on, sizeof(on));
}

static int tell_found(const struct backing *b)
{
	struct message found = { .word = FOUND, .b = *b, .path_size = strlen(b->path) + 1 };

	return put(&found, sizeof(found)) ?: put(b->path, found.path_size);
}

static void run_child(pid_t pid, struct vm_state *vm)
{
	struct message done = { .word = DONE, .result = backing_capture(pid, vm, tell_on) };

	for (size_t i = 0; i < vm->nr_backings && !done.result; i++)
		done.result = tell_found(&vm->backings[i]);
	put(&done, sizeof(done));
	_exit(0);
}

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* All of @size bytes from @fd. @give_up is asked every now and then. */
static int get(int fd, void *buf, size_t size, int (*give_up)(void), int seconds)
{
	time_t end = now() + seconds;
	size_t got = 0;

	while (got < size) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		int ret = poll(&poll_fd, 1, 200);
		ssize_t n = ret > 0 ? read(fd, (char *)buf + got, size - got) : 0;

		if (ret > 0 && n <= 0)
			return -EPIPE;
		got += n;
		ret = give_up ? give_up() : 0;
		if (ret)
			return ret;
		if (got < size && now() > end)
			return -ETIMEDOUT;
	}
	return 0;
}

static int take_found(int fd, struct vm_state *vm, const struct message *m, int seconds)
{
	struct backing *more = reallocarray(vm->backings, vm->nr_backings + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	vm->backings = more;
	more[vm->nr_backings] = m->b;
	more[vm->nr_backings].path = malloc(m->path_size);
	if (!more[vm->nr_backings].path)
		return -ENOMEM;
	return get(fd, more[vm->nr_backings++].path, m->path_size, NULL, seconds);
}

/* To the last word. */
static int listen_to(int fd, struct vm_state *vm, int (*give_up)(void), int seconds)
{
	struct message m;
	int ret;

	do {
		ret = get(fd, &m, sizeof(m), give_up, seconds);
		if (!ret && m.word == FOUND)
			ret = take_found(fd, vm, &m, seconds);
	} while (!ret && m.word != DONE);
	return ret ?: m.result;
}

/* One that waits for a server ends when it is answered. */
static void end_child(pid_t child)
{
	const struct timespec nap = { .tv_nsec = 10000000 };

	for (int i = 0; i < 20 && !waitpid(child, NULL, WNOHANG); i++) {
		kill(child, SIGKILL);
		nanosleep(&nap, NULL);
	}
}

int backing_capture_apart(pid_t pid, struct vm_state *vm, int (*give_up)(void), int seconds)
{
	int pipes[2], ret;
	pid_t child;

	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	child = fork();
	if (!child) {
		close(pipes[0]);
		to_parent = pipes[1];
		run_child(pid, vm);
	}
	ret = child < 0 ? -errno : 0;
	close(pipes[1]);
	ret = ret ?: listen_to(pipes[0], vm, give_up, seconds);
	close(pipes[0]);
	if (child > 0)
		end_child(child);
	if (ret == -ETIMEDOUT)
		pr_err("pid %d: a file under a memslot cannot be read: no answer of its server for %d s: have that answer, "
		       "or keep it out of the tree\n",
		       pid, seconds);
	else if (ret == -EPIPE || child < 0)
		pr_err("pid %d: the process that reads its files: %s (errno %d)\n", pid, strerror(-ret), -ret);
	return ret;
}
