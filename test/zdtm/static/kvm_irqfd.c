// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two vCPUs and a line of irqfds, each signalled again as soon as the guest has taken the interrupt: what was
 * signalled and what was taken must be the same number, whenever the VM is dumped. Edge and level interrupts,
 * of this process's own eventfds, and of some that a child signals, one of which this process has closed.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "guest.h"

const char *test_doc = "irqfds of a small KVM VM, with and without resampling\n";
const char *test_author = "The kvm-vgic authors";

static int full;
TEST_OPTION(full, int, "1: RLIMIT_NOFILE allows no more than the fds that CRIU needs (0)", 0);

enum {
	EDGE,		 /* on vCPU 0 */
	EDGE_1,		 /* on vCPU 1 */
	SHARED,		 /* a child has the eventfd too, and signals it */
	CHILDS,		 /* the child alone has it */
	COUNTED,	 /* once, before it was bound: the eventfd's count stays */
	RESAMPLED,	 /* level; the guest's EOI signals another eventfd */
	RESAMPLED_TOO,	 /* on the same GSI: both are told */
	RESAMPLED_CHILD, /* the child alone has both */
	NR_LINES
};

#define SPI(line) (40u + (line))
#define GSI(line) (SPI(line) - 32)
#define SHARED_PAGE GUEST_CPU(4) /* offset in the VM's RAM */
#define NR_VCPUS 2

enum { OTHER_INTERRUPT = 1, DOUBLED };
const char *const guest_says[] = {
	[OTHER_INTERRUPT] = "an interrupt of no line: its INTID, nothing",
	[DOUBLED] = "doubled: an interrupt that was not signalled: line, times taken",
};

struct line {
	volatile uint64_t signalled, taken;
};

struct lines {
	volatile uint64_t ready;
	struct line line[NR_LINES];
};

/* --- the guest --- */

GUEST_INLINE struct lines *guest_lines(void)
{
	return (struct lines *)(uint64_t)(ODD_RAM_BASE + SHARED_PAGE);
}

GUEST_INLINE bool is_level(unsigned int line)
{
	return line >= RESAMPLED;
}

/*
 * A driver would quiet its device before the end of a level interrupt: an exit. Without one while the interrupt is
 * active Linux 7.2 does not see that it ends (vgic_v3_fold_lr()): the level stays, and the guest takes it again.
 */
GUEST_INLINE void quiet_device(void)
{
	mmio_read32(ODD_DIST_BASE + 0x4); /* GICD_TYPER */
}

GUEST static void take(struct guest *g, unsigned int line)
{
	struct lines *lines = guest_lines();

	if (lines->line[line].taken == lines->line[line].signalled)
		guest_report(g, DOUBLED, line, lines->line[line].taken);
	lines->line[line].taken++;
	dsb();
	if (is_level(line))
		quiet_device();
}

GUEST static void irq(struct guest *g, struct guest_frame *frame)
{
	uint32_t id = guest_acknowledge();

	if (id >= SPI(0) && id < SPI(NR_LINES))
		take(g, id - SPI(0));
	else
		guest_report(g, OTHER_INTERRUPT, id, 0);
	guest_eoi(id);
}

GUEST static void set_spi(unsigned int line)
{
	const uint64_t dist = ODD_DIST_BASE;
	uint32_t id = SPI(line), word = id / 32 * 4, edge = 2u << 2 * (id % 16);
	const uint64_t config = dist + 0xc00 + id / 16 * 4; /* GICD_ICFGR: KVM's SPIs are edges at first */

	mmio_write32(dist + 0x080 + word, ~0u);		      /* GICD_IGROUPR */
	mmio_write32(dist + 0x400 + id / 4 * 4, 0xa0a0a0a0);  /* GICD_IPRIORITYR */
	mmio_write64(dist + 0x6000 + 8 * id, line == EDGE_1); /* GICD_IROUTER */
	mmio_write32(config, (mmio_read32(config) & ~edge) | (is_level(line) ? 0 : edge));
	mmio_write32(dist + 0x100 + word, 1u << id % 32);     /* GICD_ISENABLER */
}

/* Now and then interrupts stay pending for a while. */
GUEST static void entry(struct guest *g)
{
	unsigned int i;

	guest_gic_init(g, 0);
	for (i = 0; !g->id && i < NR_LINES; i++)
		set_spi(i);
	if (!g->id)
		guest_lines()->ready = 1;
	for (;;) {
		irq_unmask();
		for (i = 0; i < 64; i++)
			guest_progress(g, 16);
		irq_mask();
		for (i = 0; i < 64; i++)
			guest_progress(g, 16);
	}
}

/* --- the VMM --- */

static struct odd_vm vm;
static int eventfds[NR_LINES], resamplefds[NR_LINES];
static int order[2], answer[2]; /* pipes to and from the child */
static pid_t child;
static volatile bool stop;
static pthread_t threads[NR_LINES];

static struct line *line_of(unsigned int line)
{
	return &((struct lines *)(vm.ram + SHARED_PAGE))->line[line];
}

static bool is_childs(unsigned int line)
{
	return line == CHILDS || line == SHARED || line == RESAMPLED_CHILD;
}

/* The child signals what it is told to by the number of a line, and tells of the end of its level interrupt.
 */
static void child_main(void)
{
	struct pollfd fds[] = {
		{ .fd = order[0], .events = POLLIN },
		{ .fd = resamplefds[RESAMPLED_CHILD], .events = POLLIN },
	};
	uint64_t count;
	char line;

	close(order[1]);
	close(answer[0]);
	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			exit(1);
		if (fds[1].revents & POLLIN && read(fds[1].fd, &count, sizeof(count)) == sizeof(count) &&
		    write(answer[1], &count, 1) != 1)
			exit(1);
		if (fds[0].revents & POLLIN) {
			if (read(order[0], &line, 1) != 1)
				exit(1);
			eventfd_write(eventfds[(int)line], 1);
		} else if (fds[0].revents & POLLHUP) {
			exit(0);
		}
	}
}

static int start_child(void)
{
	unsigned int i;

	for (i = 0; i < NR_LINES; i++) {
		eventfds[i] = eventfd(0, EFD_CLOEXEC);
		resamplefds[i] = i >= RESAMPLED ? eventfd(0, EFD_CLOEXEC) : -1;
		if (eventfds[i] < 0 || (i >= RESAMPLED && resamplefds[i] < 0))
			return -1;
	}
	if (pipe(order) || pipe(answer))
		return -1;
	child = test_fork();
	if (!child)
		child_main();
	close(order[0]);
	close(answer[1]);
	return child < 0 ? -1 : 0;
}

/* The interrupt of RESAMPLED_TOO is RESAMPLED's. */
static unsigned int gsi_line(unsigned int line)
{
	return line == RESAMPLED_TOO ? RESAMPLED : line;
}

static int bind_line(unsigned int i)
{
	struct kvm_irqfd arg = { .fd = eventfds[i], .gsi = GSI(gsi_line(i)) };

	if (i >= RESAMPLED) {
		arg.flags = KVM_IRQFD_FLAG_RESAMPLE;
		arg.resamplefd = resamplefds[i];
	}
	return ioctl(vm.vm_fd, KVM_IRQFD, &arg);
}

/* KVM injects what was counted before, once, and leaves the count. */
static int bind_lines(void)
{
	unsigned int i;

	line_of(COUNTED)->signalled++;
	if (eventfd_write(eventfds[COUNTED], 1))
		return -1;
	for (i = 0; i < NR_LINES; i++)
		if (bind_line(i))
			return -1;
	close(eventfds[CHILDS]);
	close(eventfds[RESAMPLED_CHILD]);
	close(resamplefds[RESAMPLED_CHILD]);
	return 0;
}

static void rest(unsigned int usec)
{
	const struct timespec t = { .tv_nsec = usec * 1000 };

	nanosleep(&t, NULL);
}

static bool wait_taken(unsigned int i)
{
	unsigned int n;

	for (n = 0; n < 60000 && line_of(i)->taken < line_of(i)->signalled; n++)
		rest(1000);
	if (line_of(i)->taken == line_of(i)->signalled)
		return true;
	odd_found(&vm, "lost: an interrupt that was signalled is not taken: line", i);
	return false;
}

/* The end of a level interrupt: one signal of the resamplefd. */
static bool wait_told(unsigned int i, int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	uint64_t count = 0;
	int n;

	for (n = 0; n < 60000; n += 10) {
		if (poll(&wait, 1, 10) == 1 && read(fd, &count, i == RESAMPLED_CHILD ? 1 : sizeof(count)) > 0)
			return true;
	}
	odd_found(&vm, "lost: nobody is told of the end of a level interrupt: line", i);
	return false;
}

static bool signal_line(unsigned int i)
{
	const char name = i;

	line_of(i)->signalled++;
	if (is_childs(i))
		return write(order[1], &name, 1) == 1;
	return !eventfd_write(eventfds[i], 1);
}

static void *signaller(void *arg)
{
	unsigned int i = (uintptr_t)arg;
	unsigned int seed = i;

	while (!stop) {
		if (!signal_line(i) || !wait_taken(i))
			break;
		if (i == RESAMPLED &&
		    (!wait_told(i, resamplefds[i]) || !wait_told(RESAMPLED_TOO, resamplefds[i + 1])))
			break;
		if (i == RESAMPLED_CHILD && !wait_told(i, answer[0]))
			break;
		rest(rand_r(&seed) % 3000);
	}
	return NULL;
}

/* COUNTED and RESAMPLED_TOO are never signalled. */
static bool is_signalled(unsigned int i)
{
	return i != COUNTED && i != RESAMPLED_TOO;
}

static int start_signallers(void)
{
	unsigned int i;

	while (!((volatile struct lines *)(vm.ram + SHARED_PAGE))->ready)
		rest(1000);
	for (i = 0; i < NR_LINES; i++) {
		errno = is_signalled(i) ? pthread_create(&threads[i], NULL, signaller, (void *)(uintptr_t)i)
					: 0;
		if (errno)
			return -1;
	}
	return 0;
}

static int set_up(void)
{
	unsigned int i;

	if (start_child() || odd_create(&vm) || odd_add_memory(&vm, 0) ||
	    odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3))
		return -1;
	for (i = 0; i < NR_VCPUS; i++) {
		if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) || guest_set(&vm, i, entry))
			return -1;
		((struct guest *)guest_cpu(&vm, i))->handler[GUEST_IRQ] = guest_address(irq);
	}
	if (odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_init_gic(&vm) || bind_lines())
		return -1;
	return odd_start_all(&vm) || start_signallers() ? -1 : 0;
}

#define PARASITE_FDS 4 /* with fewer, a dump is refused */

/* How many further fds can be opened, of those and one more. */
static int nr_free_fds(void)
{
	int fds[PARASITE_FDS + 1], nr, i;

	for (nr = 0; nr <= PARASITE_FDS; nr++) {
		fds[nr] = dup(0);
		if (fds[nr] < 0)
			break;
	}
	for (i = 0; i < nr; i++)
		close(fds[i]);
	return nr;
}

/* Those that CRIU's parasite needs can be opened, and no more, also after a dump and a restore. */
static bool use_up_fds(struct rlimit *limit)
{
	int fds[PARASITE_FDS], i;

	for (i = 0; i < PARASITE_FDS; i++)
		fds[i] = dup(0);
	for (i = 0; i < PARASITE_FDS; i++)
		close(fds[i]);
	if (fds[PARASITE_FDS - 1] < 0 || getrlimit(RLIMIT_NOFILE, limit))
		return false;
	limit->rlim_cur = limit->rlim_max = fds[PARASITE_FDS - 1] + 1;
	return !setrlimit(RLIMIT_NOFILE, limit) && nr_free_fds() == PARASITE_FDS;
}

static bool fds_are_used_up(const struct rlimit *limit)
{
	struct rlimit now;

	if (getrlimit(RLIMIT_NOFILE, &now) || now.rlim_cur != limit->rlim_cur || now.rlim_max != limit->rlim_max) {
		fail("RLIMIT_NOFILE is %llu, and was %llu", (unsigned long long)now.rlim_cur,
		     (unsigned long long)limit->rlim_cur);
		return false;
	}
	return nr_free_fds() == PARASITE_FDS;
}

static void print_lines(void)
{
	unsigned int i;

	for (i = 0; i < NR_LINES; i++)
		test_msg("line %u: signalled %llu times, taken %llu times\n", i,
			 (unsigned long long)line_of(i)->signalled, (unsigned long long)line_of(i)->taken);
}

/* Each line goes on; and at the end the guest has taken what was signalled. */
static bool all_lines_go_on(void)
{
	uint64_t before[NR_LINES];
	unsigned int i, n;

	for (i = 0; i < NR_LINES; i++)
		before[i] = line_of(i)->taken;
	for (i = 0; i < NR_LINES; i++)
		for (n = 0; is_signalled(i) && line_of(i)->taken < before[i] + 4; n++) {
			if (vm.stats->error[0] || n == 60000)
				return false;
			rest(1000);
		}
	stop = true;
	for (i = 0; i < NR_LINES; i++)
		if (is_signalled(i))
			pthread_join(threads[i], NULL);
	for (i = 0; i < NR_LINES; i++)
		if (line_of(i)->taken != line_of(i)->signalled)
			odd_found(&vm, "not as often taken as signalled: line", i);
	return !vm.stats->error[0];
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	bool all_go_on;
	int status;

	test_init(argc, argv);

	if (set_up()) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	if (full && !use_up_fds(&limit)) {
		fail("cannot set RLIMIT_NOFILE");
		return 1;
	}
	test_waitsig();

	errno = 0;
	all_go_on = all_lines_go_on();
	print_lines();
	if (!all_go_on) {
		fail("%s", vm.stats->error[0] ? vm.stats->error : "not every line goes on");
		return 1;
	}
	if (full && !fds_are_used_up(&limit)) {
		fail("other fds than before can be opened");
		return 1;
	}
	close(order[1]);
	if (waitpid(child, &status, 0) != child || status) {
		fail("the child that signals ended with %#x", status);
		return 1;
	}
	return odd_verdict(&vm);
}
