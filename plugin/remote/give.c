// SPDX-License-Identifier: GPL-2.0-only
/*
 * See give.h. By a socket of the task's own, of which criu takes the other end: to take an fd from
 * another process the task itself would need the right to trace it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"
#include "remote/give.h"

#define MORE_FDS 8192 /* the objects of a VM, and some */

int fd_take(pid_t pid, int fd)
{
	int ret = fault_point(FAULT_REMOTE, __func__, "pidfd_getfd"), pidfd, got, err;

	if (ret)
		return ret;
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	got = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	err = errno;
	close(pidfd);
	return got < 0 ? -err : got;
}

union fd_message {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static int send_fd(int sock, int fd)
{
	union fd_message control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
					       .cmsg_level = SOL_SOCKET,
					       .cmsg_type = SCM_RIGHTS } };
	struct msghdr msg = { .msg_control = &control, .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	return sendmsg(sock, &msg, MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* The fd that comes by @sock, in the task. */
static int receive_fd(struct remote *remote, int sock)
{
	struct batch b = BATCH(remote, 0, "receiving an fd");
	struct msghdr msg = { .msg_controllen = sizeof(union fd_message) };
	union fd_message control = { 0 };
	struct remote_call *call =
		batch_syscall(&b, "recvmsg", SYS_recvmsg, sock, 0, MSG_CMSG_CLOEXEC | MSG_DONTWAIT, 0, 0, 0);
	int ret, fd = -EMFILE; /* a task that may have no more fds gets the message without */

	call->data = &msg;
	call->data_arg = 1;
	call->size = sizeof(msg);
	call->inner = &control;
	call->inner_size = sizeof(control);
	call->inner_at = offsetof(struct msghdr, msg_control);
	call->writes_back = true;
	ret = batch_try(&b);
	batch_fini(&b);
	if (ret)
		return ret;
	if (control.head.cmsg_level == SOL_SOCKET && control.head.cmsg_type == SCM_RIGHTS &&
	    control.head.cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	return fd;
}

static int socket_pair(struct remote *remote, int pair[2])
{
	struct batch b = BATCH(remote, 0, "sockets for an fd");
	struct remote_call *call = batch_syscall(&b, "socketpair", SYS_socketpair, AF_UNIX,
						 SOCK_DGRAM | SOCK_CLOEXEC, 0, 0, 0, 0);
	int ret;

	call->data = pair;
	call->data_arg = 3;
	call->size = 2 * sizeof(*pair);
	call->writes_back = true;
	ret = batch_try(&b);
	batch_fini(&b);
	return ret;
}

static int close_pair(struct remote *remote, const int pair[2])
{
	struct batch b = BATCH(remote, 0, "sockets for an fd");
	int ret;

	batch_syscall(&b, "close", SYS_close, pair[0], 0, 0, 0, 0, 0);
	batch_syscall(&b, "close", SYS_close, pair[1], 0, 0, 0, 0, 0);
	ret = batch_try(&b);
	batch_fini(&b);
	return ret;
}

/* Moves @from to the number @to. */
static int move_fd(struct remote *remote, int from, int to, bool cloexec)
{
	struct batch b = BATCH(remote, 0, "placing an fd");
	int ret;

	batch_syscall(&b, "dup3", SYS_dup3, from, to, cloexec ? O_CLOEXEC : 0, 0, 0, 0);
	batch_syscall(&b, "close", SYS_close, from, 0, 0, 0, 0, 0);
	ret = batch_try(&b);
	batch_fini(&b);
	return ret;
}

int fd_send(struct remote *remote, pid_t pid, int fd)
{
	int pair[2], sock, got, ret;

	ret = socket_pair(remote, pair);
	if (ret)
		return ret;
	sock = fd_take(pid, pair[1]);
	got = sock < 0 ? sock : send_fd(sock, fd);
	if (!got)
		got = receive_fd(remote, pair[0]);
	if (sock >= 0)
		close(sock);
	ret = close_pair(remote, pair);
	return got < 0 ? got : ret ?: got;
}

int fd_give(struct remote *remote, pid_t pid, int fd, int to, bool cloexec)
{
	int got = fd_send(remote, pid, fd);

	return got < 0 ? got : move_fd(remote, got, to, cloexec);
}

int more_fds_begin(pid_t pid, rlim_t limit, struct rlimit *before)
{
	struct rlimit more;
	int ret = 0;

	if (prlimit(pid, RLIMIT_NOFILE, NULL, before))
		ret = -errno;
	more = *before;
	more.rlim_cur = more.rlim_cur + MORE_FDS < limit ? more.rlim_cur + MORE_FDS : limit;
	if (more.rlim_max < more.rlim_cur)
		more.rlim_max = more.rlim_cur;
	if (!ret && more.rlim_cur > before->rlim_cur && prlimit(pid, RLIMIT_NOFILE, &more, NULL))
		ret = -errno;
	if (ret)
		pr_err("pid %d: cannot raise its RLIMIT_NOFILE for a while: %s (errno %d)\n", pid, strerror(-ret),
		       -ret);
	return ret;
}

int more_fds_end(pid_t pid, const struct rlimit *before)
{
	int ret = prlimit(pid, RLIMIT_NOFILE, before, NULL) ? -errno : 0;

	if (ret)
		pr_err("pid %d: cannot set its RLIMIT_NOFILE to what it was: %s (errno %d)\n", pid, strerror(-ret), -ret);
	return ret;
}
