// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRIU tells its plugins nothing of --stream; but it is connected to the streamer by then, by a
 * socket whose fd is another one in each CRIU, and whose peer has a name.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "streamed.h"

static bool is_streamer(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	return !strcmp(name, "streamer-capture.sock") || !strcmp(name, "streamer-serve.sock");
}

static bool leads_to_streamer(int fd)
{
	struct {
		struct sockaddr_un addr;
		char end; /* sun_path need not have one */
	} peer = { 0 };
	socklen_t len = sizeof(peer.addr);

	return !getpeername(fd, (struct sockaddr *)&peer.addr, &len) && peer.addr.sun_family == AF_UNIX &&
	       is_streamer(peer.addr.sun_path);
}

bool images_are_streamed(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *de;
	bool found = false;

	while (dir && !found && (de = readdir(dir)))
		found = leads_to_streamer(atoi(de->d_name));
	if (dir)
		closedir(dir);
	return found;
}
