// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads and writes in random order past the page cache. What each block must hold is known from the times it was written.
 * Each vCPU has a worker, and QEMU gives each vCPU a queue: nobody else's interrupt makes up for a lost one.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/fs.h>

#include "load.h"

#define BLOCK 4096u
#define MAX_BLOCKS 4096u
#define CHUNK 32u	/* blocks */
#define PAUSE_MS 30

static int disk;
static unsigned int nr_blocks;
static unsigned int written[MAX_BLOCKS];	/* how often; 0: all of it is still 0 */
static pthread_t workers[MAX_CPUS];
static unsigned int nr_workers;

static void expected(void *buffer, unsigned int block)
{
	if (written[block])
		fill(buffer, BLOCK, (uint64_t)written[block] << 32 | block);
	else
		memset(buffer, 0, BLOCK);
}

static void *aligned(unsigned int blocks)
{
	void *buffer;

	errno = posix_memalign(&buffer, BLOCK, blocks * BLOCK);
	if (errno)
		fail("posix_memalign");
	return buffer;
}

static unsigned int worker_of(unsigned int block)
{
	return block % nr_workers;
}

static void write_block(void *buffer, unsigned int block)
{
	written[block]++;
	expected(buffer, block);
	if (pwrite(disk, buffer, BLOCK, (off_t)block * BLOCK) != BLOCK)
		wrong(DISK, "write of block %u: %s", block, strerror(errno));
	else
		right(DISK, worker_of(block));
}

/* @nr blocks by one request. */
static void check_blocks(char *buffer, void *good, unsigned int block, unsigned int nr)
{
	unsigned int i;

	if (pread(disk, buffer, nr * BLOCK, (off_t)block * BLOCK) != nr * BLOCK) {
		wrong(DISK, "read of block %u: %s", block, strerror(errno));
		return;
	}
	for (i = 0; i < nr; i++) {
		expected(good, block + i);
		if (memcmp(buffer + i * BLOCK, good, BLOCK))
			wrong(DISK, "block %u is not as it was written the last time (%u)", block + i, written[block + i]);
		else
			right(DISK, worker_of(block + i));
	}
}

/* Each worker has blocks of its own. */
static void *work(void *arg)
{
	unsigned int first = (unsigned long)arg, seed = first + 1, n;
	void *buffer = aligned(1), *good = aligned(1);

	pin(first);
	for (n = 0; !atomic_load(&stopping); n++) {
		write_block(buffer, rand_r(&seed) % (nr_blocks / nr_workers) * nr_workers + first);
		check_blocks(buffer, good, rand_r(&seed) % (nr_blocks / nr_workers) * nr_workers + first, 1);
		if (n % 16 == 0 && fdatasync(disk))
			wrong(DISK, "flush: %s", strerror(errno));
		sleep_ms(PAUSE_MS);
	}
	return NULL;
}

void disk_start(unsigned int nr_cpus)
{
	unsigned long i;
	uint64_t size;

	disk = open("/dev/vda", O_RDWR | O_DIRECT | O_CLOEXEC);
	if (disk < 0 || ioctl(disk, BLKGETSIZE64, &size))
		fail("the disk");
	nr_blocks = (size / BLOCK < MAX_BLOCKS ? size / BLOCK : MAX_BLOCKS) / CHUNK * CHUNK;
	nr_workers = nr_cpus;
	set_workers(DISK, nr_workers);
	for (i = 0; i < nr_workers; i++)
		if (pthread_create(&workers[i], NULL, work, (void *)i))
			fail("pthread_create");
}

/* All of it, once nobody writes. */
void disk_end(void)
{
	void *buffer = aligned(CHUNK), *good = aligned(1);
	unsigned int i;

	for (i = 0; i < nr_workers; i++)
		pthread_join(workers[i], NULL);
	for (i = 0; i + CHUNK <= nr_blocks; i += CHUNK)
		check_blocks(buffer, good, i, CHUNK);
}
