// SPDX-License-Identifier: GPL-2.0-only
/* Random bytes from the host: enough of them, and never the same. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

#define SIZE 32
#define PAUSE_MS 250

static void *work(void *arg)
{
	unsigned char last[SIZE] = {0}, got[SIZE];
	int fd = (unsigned long)arg;

	while (!atomic_load(&stopping)) {
		if (read(fd, got, SIZE) != SIZE)
			wrong(RNG, "read: %s", strerror(errno));
		else if (!memcmp(got, last, SIZE))
			wrong(RNG, "the same %u bytes twice", SIZE);
		else
			right(RNG, 0);
		memcpy(last, got, SIZE);
		sleep_ms(PAUSE_MS);
	}
	return NULL;
}

void rng_start(void)
{
	int fd = open("/dev/hwrng", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail("/dev/hwrng");
	start_thread(work, fd);
}
