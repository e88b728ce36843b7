// SPDX-License-Identifier: GPL-2.0-only
/*
 * By way of criu, which may take fds of tasks that it traces (pidfd_getfd(2)), and a socket. That one task
 * took it from the other would be shorter, and is a matter of their users, of Yama and of pid namespaces.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe/proc.h"
#include "remote/bring.h"

static int take_fd(pid_t pid, int fd)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0), got, err;

	if (pidfd < 0)
		return -errno;
	got = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	err = errno;
	close(pidfd);
	return got < 0 ? -err : got;
}

static int make_pair(struct remote *remote, int pair[2])
{
	struct batch b = BATCH(remote, 0, "a way for an fd");
	struct remote_call *call = batch_syscall(&b, "socketpair", SYS_socketpair, AF_UNIX,
						 SOCK_DGRAM | SOCK_CLOEXEC, 0, 0, 0, 0);
	int ret;

	call->data_arg = 3;
	call->data = pair;
	call->size = 2 * sizeof(*pair);
	call->writes_back = true;
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

static int close_pair(struct remote *remote, const int pair[2])
{
	struct batch b = BATCH(remote, 0, "a way for an fd");
	int ret;

	for (int i = 0; i < 2; i++)
		batch_syscall(&b, "close", SYS_close, pair[i], 0, 0, 0, 0, 0)->detail = pair[i];
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

/* What comes with an empty message that brings one fd. */
union parcel {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr head;
};

static int send_fd(pid_t pid, int end, int fd)
{
	union parcel parcel = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
					  .cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS } };
	struct msghdr msg = { .msg_control = &parcel, .msg_controllen = sizeof(parcel) };
	int sock = take_fd(pid, end), ret;

	if (sock < 0)
		return sock;
	memcpy(CMSG_DATA(&parcel.head), &fd, sizeof(fd));
	ret = sendmsg(sock, &msg, MSG_DONTWAIT) < 0 ? -errno : 0;
	close(sock);
	return ret;
}

static int receive_fd(struct remote *remote, int end)
{
	struct batch b = BATCH(remote, 0, "a way for an fd");
	union parcel parcel = { 0 };
	struct msghdr msg = { .msg_controllen = sizeof(parcel) };
	struct remote_call *call =
		batch_syscall(&b, "recvmsg", SYS_recvmsg, end, 0, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, 0, 0, 0);
	int ret, fd;

	call->data_arg = 1;
	call->data = &msg;
	call->size = sizeof(msg);
	call->inner = &parcel;
	call->inner_size = sizeof(parcel);
	call->inner_at = offsetof(struct msghdr, msg_control);
	call->writes_back = true;
	ret = batch_run(&b);
	batch_fini(&b);
	if (ret)
		return ret;
	/* One that is at its limit of open files gets the message without. */
	if (parcel.head.cmsg_len != CMSG_LEN(sizeof(int)) || parcel.head.cmsg_type != SCM_RIGHTS)
		return -EMFILE;
	memcpy(&fd, CMSG_DATA(&parcel.head), sizeof(fd));
	return fd < 0 ? -EIO : fd;
}

/* @fd is criu's. */
static int hand_over(struct remote *remote, pid_t pid, int fd)
{
	int pair[2], ret = make_pair(remote, pair), err;

	if (ret)
		return ret;
	ret = send_fd(pid, pair[1], fd);
	if (!ret)
		ret = receive_fd(remote, pair[0]);
	err = close_pair(remote, pair);
	return err ?: ret;
}

int bring_fd(struct remote *remote, pid_t pid, pid_t vpid, int fd)
{
	pid_t holder = proc_find_traced(vpid);
	int ours, ret;

	if (holder < 0)
		return holder;
	ours = take_fd(holder, fd);
	if (ours < 0)
		return ours;
	ret = hand_over(remote, pid, ours);
	close(ours);
	return ret;
}
