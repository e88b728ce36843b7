// SPDX-License-Identifier: GPL-2.0-only
/* Eventfds of the fake VMM and of a process beside it, what the VM has bound to them, and its GSI routes. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fake_vm.h"

#define FIRST_FREE_FD 100

static int free_fd(const struct fake_kvm *kvm)
{
	for (int fd = FIRST_FREE_FD; fd < FAKE_FDS; fd++)
		if (kvm->fds[fd].kind == FAKE_CLOSED)
			return fd;
	return -EMFILE;
}

int fake_eventfd_make(struct fake_kvm *kvm)
{
	int fd = free_fd(kvm);

	if (fd >= 0)
		kvm->fds[fd] = (struct fake_fd){ FAKE_EVENTFD, FAKE_EVENTFDS - 1 };
	return fd;
}

int fake_eventfd_bring(struct fake_kvm *kvm, int32_t vpid, int fd)
{
	int to = free_fd(kvm);

	if (vpid != FAKE_OTHER_VPID)
		return -ESRCH;
	if (fd != FAKE_OTHER_FD)
		return -EBADF;
	if (to >= 0)
		kvm->fds[to] = (struct fake_fd){ FAKE_EVENTFD, FAKE_OTHERS_EVENTFD };
	return to;
}

static uint64_t *count_of(struct fake_kvm *kvm, uint64_t fd)
{
	return fd < FAKE_FDS && kvm->fds[fd].kind == FAKE_EVENTFD ? &kvm->eventfds[kvm->fds[fd].index] : NULL;
}

int64_t fake_eventfd_read(struct fake_kvm *kvm, const uint64_t *arg)
{
	const struct iovec *iov = (const struct iovec *)(uintptr_t)arg[1];
	uint64_t *count = count_of(kvm, arg[0]);

	if (!count)
		return -EBADF;
	if (arg[5] != RWF_NOWAIT || iov->iov_len != sizeof(*count))
		return -EINVAL; /* it would wait for ever */
	if (!*count)
		return -EAGAIN;
	memcpy(iov->iov_base, count, sizeof(*count));
	*count = 0;
	return sizeof(*count);
}

static int bind_irqfd(struct fake_kvm *kvm, const struct kvm_irqfd *arg)
{
	struct fake_irqfd irqfd = { .gsi = arg->gsi, .eventfd = kvm->fds[arg->fd].index, .resamplefd = -1 };

	if (!kvm->gic.initialised && !kvm->v5)
		return -EAGAIN;
	if (arg->flags & KVM_IRQFD_FLAG_RESAMPLE) {
		if (!count_of(kvm, arg->resamplefd))
			return -EBADF;
		irqfd.resamplefd = kvm->fds[arg->resamplefd].index;
	}
	for (size_t i = 0; i < kvm->nr_irqfds; i++)
		if (kvm->irqfds[i].eventfd == irqfd.eventfd)
			return -EBUSY;
	if (kvm->nr_irqfds == FAKE_BINDINGS)
		abort();
	kvm->irqfds[kvm->nr_irqfds++] = irqfd;
	kvm->injected += kvm->eventfds[irqfd.eventfd] != 0;
	return 0;
}

static int set_irqfd(struct fake_kvm *kvm, const struct kvm_irqfd *arg)
{
	if (!count_of(kvm, arg->fd))
		return -EBADF;
	if (!(arg->flags & KVM_IRQFD_FLAG_DEASSIGN))
		return bind_irqfd(kvm, arg);
	kvm->injecting = 0;
	return 0;
}

static int set_ioeventfd(struct fake_kvm *kvm, const struct kvm_ioeventfd *arg)
{
	struct fake_ioeventfd *to = &kvm->ioeventfds[kvm->nr_ioeventfds];

	if (!count_of(kvm, arg->fd))
		return -EBADF;
	if (kvm->nr_ioeventfds++ == FAKE_BINDINGS)
		abort();
	*to = (struct fake_ioeventfd){ arg->addr, arg->datamatch, arg->len, arg->flags,
				       kvm->fds[arg->fd].index };
	return 0;
}

static int set_routing(struct fake_kvm *kvm, const struct kvm_irq_routing *arg)
{
	if (arg->nr > FAKE_BINDINGS || arg->flags)
		return -EINVAL;
	kvm->own_routes = true;
	kvm->nr_routes = arg->nr;
	memcpy(kvm->routes, arg->entries, arg->nr * sizeof(*arg->entries));
	return 0;
}

static int set_zone(struct fake_kvm *kvm, const struct kvm_coalesced_mmio_zone *arg)
{
	if (kvm->nr_zones == FAKE_BINDINGS)
		abort();
	kvm->zones[kvm->nr_zones++] = (struct coalesced_zone){ arg->addr, arg->size, arg->pio };
	return 0;
}

int64_t fake_binding_ioctl(struct fake_kvm *kvm, unsigned long req, const void *arg)
{
	switch (req) {
	case KVM_IRQFD:
		return set_irqfd(kvm, arg);
	case KVM_IOEVENTFD:
		return set_ioeventfd(kvm, arg);
	case KVM_SET_GSI_ROUTING:
		return set_routing(kvm, arg);
	case KVM_REGISTER_COALESCED_MMIO:
		return set_zone(kvm, arg);
	}
	return -ENOTTY;
}

void fake_binding_describe(unsigned long req, const void *arg, char *line)
{
	const struct kvm_coalesced_mmio_zone *zone = arg;
	const struct kvm_ioeventfd *ioeventfd = arg;
	const struct kvm_irq_routing *routing = arg;
	const struct kvm_irqfd *irqfd = arg;

	if (req == KVM_IRQFD && irqfd->flags & KVM_IRQFD_FLAG_DEASSIGN)
		snprintf(line, FAKE_LINE, "vm: KVM_IRQFD fd %u, DEASSIGN", irqfd->fd);
	else if (req == KVM_IRQFD)
		snprintf(line, FAKE_LINE, "vm: KVM_IRQFD fd %u, GSI %u, resamplefd %u", irqfd->fd, irqfd->gsi,
			 irqfd->resamplefd);
	else if (req == KVM_IOEVENTFD)
		snprintf(line, FAKE_LINE, "vm: KVM_IOEVENTFD fd %d, %u bytes at %#llx", ioeventfd->fd,
			 ioeventfd->len, (unsigned long long)ioeventfd->addr);
	else if (req == KVM_SET_GSI_ROUTING)
		snprintf(line, FAKE_LINE, "vm: KVM_SET_GSI_ROUTING, %u routes", routing->nr);
	else if (req == KVM_REGISTER_COALESCED_MMIO)
		snprintf(line, FAKE_LINE, "vm: KVM_REGISTER_COALESCED_MMIO %u bytes at %#llx", zone->size,
			 (unsigned long long)zone->addr);
	else
		snprintf(line, FAKE_LINE, "vm: unknown ioctl %#lx", req);
}

bool fake_binding_takes(const struct fake_kvm *kvm, uint64_t addr)
{
	for (size_t i = 0; i < kvm->nr_ioeventfds; i++)
		if (kvm->ioeventfds[i].addr == addr)
			return true;
	for (size_t i = 0; i < kvm->nr_zones; i++)
		if (addr - kvm->zones[i].addr < kvm->zones[i].size)
			return true;
	return false;
}

/* The VMM and what it has bound */

static const struct fake_irqfd irqfds[] = { { 5, 0, -1 }, { 6, 1, 2 }, { 9, FAKE_OTHERS_EVENTFD, -1 } };
static const struct fake_ioeventfd ioeventfds[] = {
	{ FAKE_WRITE_PHYS, 0, 4, 0, 3 },
	{ 0x9000100, 7, 8, KVM_IOEVENTFD_FLAG_DATAMATCH, 4 },
	{ 0x9000100, 9, 8, KVM_IOEVENTFD_FLAG_DATAMATCH, FAKE_OTHERS_EVENTFD },
};
static const struct coalesced_zone zones[] = { { FAKE_WRITE_PHYS & ~0xfull, 0x20, 0 }, { 0x70, 2, 1 } };
static const struct irq_route routes[] = {
	{ .gsi = 5, .type = KVM_IRQ_ROUTING_IRQCHIP, .pin = 3 },
	{ .gsi = 4095,
	  .type = KVM_IRQ_ROUTING_MSI,
	  .address = 0x80800a0040,
	  .data = 17,
	  .flags = KVM_MSI_VALID_DEVID,
	  .devid = 8 },
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void fake_eventfd_open(struct fake_kvm *kvm)
{
	for (int i = 0; i < FAKE_OTHERS_EVENTFD; i++)
		kvm->fds[FAKE_EVENTFD_FD + i] = (struct fake_fd){ FAKE_EVENTFD, i };
	kvm->eventfds[0] = 3; /* bound since: KVM has injected it, and left the count */
	kvm->eventfds[3] = 1;
}

void fake_binding_fill(struct fake_kvm *kvm)
{
	fake_eventfd_open(kvm);
	kvm->nr_irqfds = COUNT(irqfds);
	memcpy(kvm->irqfds, irqfds, sizeof(irqfds));
	kvm->nr_ioeventfds = COUNT(ioeventfds);
	memcpy(kvm->ioeventfds, ioeventfds, sizeof(ioeventfds));
	kvm->nr_zones = COUNT(zones);
	memcpy(kvm->zones, zones, sizeof(zones));
	kvm->own_routes = true;
	kvm->nr_routes = COUNT(routes);
	for (size_t i = 0; i < COUNT(routes); i++) {
		struct kvm_irq_routing_entry *e = &kvm->routes[i];

		*e = (struct kvm_irq_routing_entry){ .gsi = routes[i].gsi,
						     .type = routes[i].type,
						     .flags = routes[i].flags };
		if (e->type == KVM_IRQ_ROUTING_MSI)
			e->u.msi = (struct kvm_irq_routing_msi){ .address_lo = routes[i].address,
								 .address_hi = routes[i].address >> 32,
								 .data = routes[i].data,
								 .devid = routes[i].devid };
		else
			e->u.irqchip.pin = routes[i].pin;
	}
}

static struct eventfd_ref ref_of(int eventfd)
{
	if (eventfd == FAKE_OTHERS_EVENTFD)
		return (struct eventfd_ref){ FAKE_OTHER_VPID, FAKE_OTHER_FD };
	return (struct eventfd_ref){ FAKE_VPID, FAKE_EVENTFD_FD + eventfd };
}

static void *room(size_t n, size_t size)
{
	void *block = calloc(n + 1, size);

	if (!block)
		abort();
	return block;
}

void fake_binding_discover(const struct fake_kvm *kvm, struct vm_state *vm)
{
	vm->irqfds = room(kvm->nr_irqfds, sizeof(*vm->irqfds));
	vm->ioeventfds = room(kvm->nr_ioeventfds, sizeof(*vm->ioeventfds));
	vm->zones = room(kvm->nr_zones, sizeof(*vm->zones));
	for (; vm->nr_irqfds < kvm->nr_irqfds; vm->nr_irqfds++) {
		const struct fake_irqfd *from = &kvm->irqfds[vm->nr_irqfds];
		struct irqfd_state *to = &vm->irqfds[vm->nr_irqfds];

		*to = (struct irqfd_state){ .gsi = from->gsi,
					    .resample = from->resamplefd >= 0,
					    .eventfd = ref_of(from->eventfd) };
		if (to->resample)
			to->resamplefd = ref_of(from->resamplefd);
	}
	for (; vm->nr_ioeventfds < kvm->nr_ioeventfds; vm->nr_ioeventfds++) {
		const struct fake_ioeventfd *from = &kvm->ioeventfds[vm->nr_ioeventfds];

		vm->ioeventfds[vm->nr_ioeventfds] =
			(struct ioeventfd_state){ from->addr, from->datamatch, from->len, from->flags,
						  ref_of(from->eventfd) };
	}
	memcpy(vm->zones, kvm->zones, kvm->nr_zones * sizeof(*kvm->zones));
	vm->nr_zones = kvm->nr_zones;
	vm->routing.own = kvm->own_routes;
	vm->routing.nr = kvm->nr_routes;
	vm->routing.routes = room(COUNT(routes), sizeof(*routes));
	memcpy(vm->routing.routes, routes, kvm->nr_routes * sizeof(*routes));
}

const char *fake_binding_diff(const struct fake_kvm *a, const struct fake_kvm *b)
{
	if (a->nr_irqfds != b->nr_irqfds || memcmp(a->irqfds, b->irqfds, sizeof(a->irqfds)))
		return "irqfds";
	if (a->nr_ioeventfds != b->nr_ioeventfds ||
	    memcmp(a->ioeventfds, b->ioeventfds, sizeof(a->ioeventfds)))
		return "ioeventfds";
	if (a->nr_zones != b->nr_zones || memcmp(a->zones, b->zones, sizeof(a->zones)))
		return "zones";
	if (a->own_routes != b->own_routes || a->nr_routes != b->nr_routes ||
	    memcmp(a->routes, b->routes, sizeof(a->routes)))
		return "routes";
	if (a->injecting != b->injecting)
		return "injecting";
	return a->injected == b->injected ? NULL : "injected";
}
