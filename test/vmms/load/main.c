// SPDX-License-Identifier: GPL-2.0-only
/*
 * Init of the guest. It tells each second, and whenever it is sent a '?', how much of its work was right; at the power
 * button, or sent an 'e', it looks at the whole disk and switches the machine off. Other lines on the console are the
 * kernel's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define REPORT_NS 1000000000ull
#define MAX_TOLD 20
#define CONSOLE_LEVEL 8		/* klogctl's action */
#define ALL_BUT_DEBUGGING 7

static const char *const kind_names[NR_KINDS] = {"disk", "timer", "ipi", "net", "rng"};

atomic_bool stopping;
static atomic_ulong nr_right[NR_KINDS][MAX_CPUS];	/* of each worker */
static unsigned int nr_workers[NR_KINDS] = {1, 1, 1, 1, 1};
static atomic_ulong nr_wrong;

/* A line is one write: lines of threads do not mix. */
static void say_line(const char *prefix, const char *format, va_list args)
{
	char line[256];
	int len = snprintf(line, sizeof(line), "load: %s", prefix);

	len += vsnprintf(line + len, sizeof(line) - len - 1, format, args);
	if (len > (int)sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	if (write(1, line, len) != len)
		abort();
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_line("", format, args);
	va_end(args);
}

void set_workers(enum kind kind, unsigned int nr)
{
	nr_workers[kind] = nr;
}

void right(enum kind kind, unsigned int worker)
{
	atomic_fetch_add(&nr_right[kind][worker], 1);
}

/* By the worker that has done least: one that stands still must be seen. */
static unsigned long count_right(enum kind kind)
{
	unsigned long least = -1ul, n;
	unsigned int worker;

	for (worker = 0; worker < nr_workers[kind]; worker++) {
		n = atomic_load(&nr_right[kind][worker]);
		if (n < least)
			least = n;
	}
	return least;
}

void wrong(enum kind kind, const char *format, ...)
{
	char prefix[32];
	va_list args;

	if (atomic_fetch_add(&nr_wrong, 1) >= MAX_TOLD)
		return;
	snprintf(prefix, sizeof(prefix), "wrong: %s: ", kind_names[kind]);
	va_start(args, format);
	say_line(prefix, format, args);
	va_end(args);
}

/* Init that ends is a kernel panic, which the console shows. */
void fail(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	say_line("failed: ", format, args);
	va_end(args);
	say("failed: %s", strerror(error));
	exit(1);
}

void pin(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("cpu %u", cpu);
}

void start_thread(void *(*run)(void *arg), unsigned long arg)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, run, (void *)arg);
	if (errno)
		fail("pthread_create");
	pthread_detach(thread);
}

void sleep_ms(unsigned int ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

/* xorshift64: another seed, another content. */
void fill(void *buffer, size_t size, uint64_t seed)
{
	uint64_t *words = buffer, x = seed * 0x9e3779b97f4a7c15ull + 1;
	size_t i;

	for (i = 0; i < size / sizeof(*words); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		words[i] = x;
	}
}

/* Of all vCPUs: what came by the ITS. */
static unsigned long count_lpis(void)
{
	FILE *file = fopen("/proc/interrupts", "r");
	unsigned long sum = 0, n;
	char line[512], *at, *next;

	if (!file)
		fail("/proc/interrupts");
	while (fgets(line, sizeof(line), file)) {
		at = strchr(line, ':');
		if (!at || !strstr(at, "ITS"))
			continue;
		for (at++; n = strtoul(at, &next, 10), next != at; at = next)
			sum += n;
	}
	fclose(file);
	return sum;
}

static void report(const char *what)
{
	char line[200];
	int len = 0, kind;

	for (kind = 0; kind < NR_KINDS; kind++)
		len += snprintf(line + len, sizeof(line) - len, "%s %lu ", kind_names[kind], count_right(kind));
	say("%s: %slpi %lu right, %lu wrong", what, line, count_lpis(), atomic_load(&nr_wrong));
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void load_modules(void)
{
	struct dirent **names;
	int n = scandir("/modules", &names, NULL, compare_names), i, fd;
	char path[300];

	for (i = 0; i < n; i++) {
		if (names[i]->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/modules/%s", names[i]->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
			fail("%s", path);
		close(fd);
	}
}

static void mount_all(void)
{
	static const char *const types[][2] = {{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}};
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(*types); i++) {
		mkdir(types[i][1], 0755);
		if (mount(types[i][0], types[i][1], types[i][0], 0, NULL) && errno != EBUSY)
			fail("mount %s", types[i][1]);
	}
}

/* No echo, no lines: a '?' counts at once. */
static void make_console_raw(void)
{
	struct termios settings;

	if (tcgetattr(0, &settings))
		fail("the console");
	cfmakeraw(&settings);
	settings.c_oflag |= OPOST | ONLCR;
	tcsetattr(0, TCSANOW, &settings);
}

/* gpio-keys, whose driver has just been loaded; -1 where there is none. */
static int open_power_button(void)
{
	int tries, fd = -1;

	for (tries = 0; fd < 0 && tries < 20; tries++) {
		sleep_ms(50);
		fd = open("/dev/input/event0", O_RDONLY | O_CLOEXEC);
	}
	return fd;
}

static bool pressed(int fd)
{
	struct input_event event;

	return read(fd, &event, sizeof(event)) == sizeof(event) && event.type == EV_KEY && event.code == KEY_POWER && event.value;
}

static void work_until_end(int button)
{
	struct pollfd fds[] = {{.fd = 0, .events = POLLIN}, {.fd = button, .events = POLLIN}};
	uint64_t next = now_ns();
	char asked;

	for (;;) {
		int64_t left = next - now_ns();

		if (left <= 0) {
			report("works");
			next = now_ns() + REPORT_NS;
			continue;
		}
		if (poll(fds, 2, left / 1000000 + 1) <= 0)
			continue;
		check_counter(TIMER);
		asked = 0;
		if (fds[0].revents && read(0, &asked, 1) == 1 && asked == '?')
			report("asked");
		if (asked == 'e')
			return;
		if (fds[1].revents && pressed(button)) {
			say("power button");
			return;
		}
	}
}

int main(void)
{
	unsigned int nr_cpus;
	int button;

	mount_all();
	load_modules();
	make_console_raw();
	button = open_power_button();
	nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (nr_cpus > MAX_CPUS)
		fail("%u vCPUs", nr_cpus);
	disk_start(nr_cpus);
	timer_start(nr_cpus);
	ipi_start(nr_cpus);
	net_start();
	rng_start();
	if (klogctl(CONSOLE_LEVEL, NULL, ALL_BUT_DEBUGGING))
		fail("the kernel's log");
	say("start: %u vCPUs", nr_cpus);
	work_until_end(button);

	atomic_store(&stopping, true);
	disk_end();
	report("end");
	/* Else the kernel's last words come within this line. */
	tcdrain(1);
	reboot(RB_POWER_OFF);
	fail("power off");
}
