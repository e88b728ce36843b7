// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several hundred GSI routes: to LPIs by an ITS, to SPIs, and two to one SPI, of which the one that came last
 * is told of the interrupt's end. Half of those to LPIs have an irqfd, which a thread signals; the others get
 * theirs at the end. Each LPI must be taken as often as its eventfd was signalled, whenever the VM is dumped.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "its.h"
#include "lpi.h"
#include "oddvm.h"

const char *test_doc = "Several hundred GSI routes of a small KVM VM, and irqfds by them\n";
const char *test_author = "The kvm-vgic authors";

#define NR_DEVICES 2
#define NR_EVENTS 300 /* of each */
#define NR_LPIS (NR_DEVICES * NR_EVENTS)
#define NR_BOUND (NR_LPIS / 2) /* from the first one on */
#define LPI(i) (LPI_MIN + 7 * (i))
#define DEVICE(i) ((i) / NR_EVENTS ? 70u : 3u)
#define EVENT(i) ((i) % NR_EVENTS + 11)
#define VCPU(i) ((i) % ODD_NR_VCPUS)
#define GSI(i) (4095 - 5 * (i)) /* none is a default one's */

#define PIN 20 /* of the SPI */
#define SPI (PIN + 32)
#define GSI_FIRST 41 /* of the same pin; set first, and not told of its end */
#define GSI_LAST 40

#define TICKS 6000 /* of 10 ms, until something is lost */

static struct odd_vm vm;
static struct odd_its its;
static int eventfds[NR_LPIS], level, told[2];
static uint8_t signalled[NR_LPIS], levels;
static volatile bool stop;
static volatile uint64_t rounds;
static pthread_t thread;

static int set_routes(void)
{
	const uint64_t doorbell = ITS_FRAME(0) + 0x10040; /* GITS_TRANSLATER */
	struct kvm_irq_routing *routing;
	struct kvm_irq_routing_entry *e;
	unsigned int i;
	int ret;

	routing = calloc(1, sizeof(*routing) + (NR_LPIS + 2) * sizeof(*e));
	if (!routing)
		return -1;
	e = routing->entries;
	*e++ = (struct kvm_irq_routing_entry){ .gsi = GSI_FIRST,
					       .type = KVM_IRQ_ROUTING_IRQCHIP,
					       .u.irqchip.pin = PIN };
	*e++ = (struct kvm_irq_routing_entry){ .gsi = GSI_LAST,
					       .type = KVM_IRQ_ROUTING_IRQCHIP,
					       .u.irqchip.pin = PIN };
	for (i = 0; i < NR_LPIS; i++)
		*e++ = (struct kvm_irq_routing_entry){
			.gsi = GSI(i),
			.type = KVM_IRQ_ROUTING_MSI,
			.flags = KVM_MSI_VALID_DEVID,
			.u.msi = { .address_lo = doorbell,
				   .address_hi = doorbell >> 32,
				   .data = EVENT(i),
				   .devid = DEVICE(i) },
		};
	routing->nr = e - routing->entries;
	ret = ioctl(vm.vm_fd, KVM_SET_GSI_ROUTING, routing);
	free(routing);
	return ret;
}

static int bind_lpi(unsigned int i)
{
	struct kvm_irqfd arg = { .gsi = GSI(i) };

	eventfds[i] = eventfd(0, EFD_CLOEXEC);
	arg.fd = eventfds[i];
	return eventfds[i] < 0 ? -1 : ioctl(vm.vm_fd, KVM_IRQFD, &arg);
}

/* The level is raised by the first GSI; both want to be told of its end. */
static int bind_level(void)
{
	struct kvm_irqfd arg = { .flags = KVM_IRQFD_FLAG_RESAMPLE };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		arg.fd = eventfd(0, EFD_CLOEXEC);
		arg.resamplefd = told[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		arg.gsi = i ? GSI_FIRST : GSI_LAST;
		if (!i)
			level = arg.fd;
		if (ioctl(vm.vm_fd, KVM_IRQFD, &arg))
			return -1;
	}
	return 0;
}

static int set_spi(void)
{
	uint32_t bit = 1u << SPI % 32, level_triggered = 0;

	return odd_set_attr(vm.gic_fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0xc0c, &level_triggered) || /* GICD_ICFGR3 */
	       odd_set_attr(vm.gic_fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x84, &bit) || /* GICD_IGROUPR1 */
	       odd_set_attr(vm.gic_fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x104, &bit);  /* GICD_ISENABLER1 */
}

static int map_lpis(void)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++)
		its_put(&its, its_mapc(i, i));
	for (i = 0; i < NR_DEVICES; i++)
		its_put(&its, its_mapd(&its, DEVICE(i * NR_EVENTS), ITS_ITT(i), 9));
	for (i = 0; i < NR_LPIS; i++) {
		lpi_configure(LPI(i), LPI_PRIORITY | LPI_ENABLED);
		its_put(&its, its_mapti(DEVICE(i), EVENT(i), LPI(i), VCPU(i)));
	}
	return its_ring(&its);
}

static int set_up_its(void)
{
	return its_create(&its, &vm, 0) || its_place(&its) || lpi_set_tables(&vm, ODD_NR_VCPUS) ||
			       lpi_enable(&vm, 0, true) || lpi_enable(&vm, 1, true) ||
			       its_set_tables(&its, 0x10000, NULL, 0) || its_enable(&its, true) || map_lpis()
		       ? -1
		       : 0;
}

static int set_up(void)
{
	unsigned int i;

	if (odd_create(&vm) || odd_add_memory(&vm, 0) || its_add_memory(&vm, NULL))
		return -1;
	for (i = 0; i < ODD_NR_VCPUS; i++)
		if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) || lpi_set_guest(&vm, i))
			return -1;
	if (odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) ||
	    odd_init_gic(&vm) || lpi_enable_group(&vm) || set_spi() || set_up_its() || set_routes() ||
	    bind_level())
		return -1;
	for (i = 0; i < NR_BOUND; i++)
		if (bind_lpi(i))
			return -1;
	return odd_start_all(&vm);
}

static void rest(unsigned int msec)
{
	const struct timespec t = { .tv_nsec = msec * 1000000 };

	nanosleep(&t, NULL);
}

static bool wait_taken(unsigned int i)
{
	unsigned int ticks;

	for (ticks = 0; lpi_taken(VCPU(i), LPI(i)) != signalled[i] && ticks < TICKS; ticks++)
		rest(10);
	if (lpi_taken(VCPU(i), LPI(i)) == signalled[i] && !lpi_taken(!VCPU(i), LPI(i)))
		return true;
	odd_found(&vm, "lost or doubled: an LPI, or it was another vCPU's:", LPI(i));
	return false;
}

/* Its end is told to the GSI that has the pin, once, and to no other. */
static bool wait_level(void)
{
	struct pollfd fd = { .fd = told[0], .events = POLLIN };
	uint64_t count = 0;

	if (poll(&fd, 1, TICKS * 10) != 1 || read(told[0], &count, sizeof(count)) < 0 || count != 1)
		odd_found(&vm, "the end of the level interrupt was told so often:", count);
	else if (read(told[1], &count, sizeof(count)) > 0)
		odd_found(&vm, "the end of the level interrupt was told to a GSI that has not its pin",
			  GSI_FIRST);
	else if (lpi_taken(0, SPI) != levels)
		odd_found(&vm, "lost or doubled: the level interrupt, taken", lpi_taken(0, SPI));
	return !vm.stats->error[0];
}

/* One interrupt of each, which stay pending for a moment, and are then all taken. */
static bool round_of(unsigned int nr)
{
	unsigned int i;

	levels++;
	if (eventfd_write(level, 1))
		return false;
	for (i = 0; i < nr; i++) {
		signalled[i]++;
		if (eventfd_write(eventfds[i], 1))
			return false;
	}
	rest(20);
	*lpi_may_take() = 1;
	for (i = 0; i < nr; i++)
		if (!wait_taken(i))
			return false;
	if (!wait_level())
		return false;
	*lpi_may_take() = 0;
	rounds++;
	return true;
}

static void *signaller(void *arg)
{
	while (!stop && round_of(NR_BOUND))
		;
	return NULL;
}

static bool rounds_go_on(void)
{
	uint64_t before = rounds;
	unsigned int ticks;

	for (ticks = 0; rounds < before + 2 && !vm.stats->error[0] && ticks < TICKS; ticks++)
		rest(10);
	stop = true;
	pthread_join(thread, NULL);
	test_msg("%llu rounds\n", (unsigned long long)rounds);
	return rounds >= before + 2 && !vm.stats->error[0];
}

/* The routes that nobody has used so far. */
static bool all_routes_lead_on(void)
{
	unsigned int i;

	for (i = NR_BOUND; i < NR_LPIS; i++)
		if (bind_lpi(i)) {
			odd_found(&vm, "KVM_IRQFD fails: GSI", GSI(i));
			return false;
		}
	return round_of(NR_LPIS);
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (set_up() || (errno = pthread_create(&thread, NULL, signaller, NULL))) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	if (!rounds_go_on() || !all_routes_lead_on()) {
		errno = 0;
		fail("%s", vm.stats->error[0] ? vm.stats->error : "no round ends");
		return 1;
	}
	return odd_verdict(&vm);
}
