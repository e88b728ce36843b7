// SPDX-License-Identifier: GPL-2.0-only
/* The rules for what a VM has bound, those of KVM's own ioctls among them. */
#include <inttypes.h>

#include "image/check.h"

#define IOEVENTFD_FLAGS                                                                                      \
	(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY)

static bool is_ref(const struct eventfd_ref *ref)
{
	return ref->vpid >= 1 && ref->fd >= 0;
}

/* In the owner some numbers are those of the VM's own fds during a restore. */
static bool is_ref_of(const struct vm_state *vm, const struct eventfd_ref *ref)
{
	return is_ref(ref) && (ref->vpid != vm->vpid || ref->fd < vm->park_base ||
			       ref->fd - vm->park_base >= (int64_t)vm_nr_parked(vm));
}

static int check_irqfds(const struct vm_state *vm)
{
	if (vm->nr_irqfds > VM_MAX_IRQFDS)
		return refuse_vm(vm, "%zu irqfds, at most %u expected", vm->nr_irqfds, VM_MAX_IRQFDS);
	for (size_t i = 0; i < vm->nr_irqfds; i++) {
		const struct irqfd_state *irqfd = &vm->irqfds[i];

		if (!is_ref_of(vm, &irqfd->eventfd) ||
		    (irqfd->resample && !is_ref_of(vm, &irqfd->resamplefd)))
			return refuse_vm(vm, "irqfd %zu: no pid and fd of an eventfd", i);
	}
	return 0;
}

static bool is_length(const struct ioeventfd_state *ioeventfd)
{
	uint32_t len = ioeventfd->len;

	return len <= 8 && !(len & (len - 1)) &&
	       (len || !(ioeventfd->flags & KVM_IOEVENTFD_FLAG_DATAMATCH)) &&
	       ioeventfd->addr <= UINT64_MAX - len;
}

static int check_ioeventfds(const struct vm_state *vm)
{
	if (vm->nr_ioeventfds > VM_MAX_IOEVENTFDS)
		return refuse_vm(vm, "%zu ioeventfds, at most %u expected", vm->nr_ioeventfds,
				 VM_MAX_IOEVENTFDS);
	for (size_t i = 0; i < vm->nr_ioeventfds; i++) {
		const struct ioeventfd_state *ioeventfd = &vm->ioeventfds[i];

		if (ioeventfd->flags & ~IOEVENTFD_FLAGS)
			return refuse_vm(vm, "ioeventfd %zu: flags 0x%x are not known", i, ioeventfd->flags);
		if (!is_length(ioeventfd))
			return refuse_vm(
				vm, "ioeventfd %zu: address 0x%" PRIx64 ", length %u: not for flags 0x%x", i,
				ioeventfd->addr, ioeventfd->len, ioeventfd->flags);
		if (!is_ref_of(vm, &ioeventfd->eventfd))
			return refuse_vm(vm, "ioeventfd %zu: no pid and fd of an eventfd", i);
	}
	return 0;
}

static bool is_route(const struct irq_route *route)
{
	if (route->gsi >= VM_MAX_ROUTES)
		return false;
	if (route->type == KVM_IRQ_ROUTING_MSI)
		return !(route->flags & ~KVM_MSI_VALID_DEVID);
	return route->type == KVM_IRQ_ROUTING_IRQCHIP && !route->irqchip && route->pin < VM_NR_PINS;
}

static int check_routing(const struct vm_state *vm)
{
	const struct irq_routing *routing = &vm->routing;
	uint8_t seen[VM_MAX_ROUTES] = { 0 };

	if (routing->nr > VM_MAX_ROUTES)
		return refuse_vm(vm, "%zu GSI routes, at most %u expected", routing->nr, VM_MAX_ROUTES);
	for (size_t i = 0; i < routing->nr; i++) {
		const struct irq_route *route = &routing->routes[i];

		if (!is_route(route))
			return refuse_vm(vm, "GSI route %zu: GSI %u, type %u: not one that KVM takes", i,
					 route->gsi, route->type);
		if (seen[route->gsi]++)
			return refuse_vm(vm, "GSI route %zu: GSI %u has another", i, route->gsi);
	}
	return 0;
}

static int check_zones(const struct vm_state *vm)
{
	if (vm->nr_zones > VM_MAX_ZONES)
		return refuse_vm(vm, "%zu coalesced MMIO zones, at most %u expected", vm->nr_zones,
				 VM_MAX_ZONES);
	for (size_t i = 0; i < vm->nr_zones; i++)
		if (vm->zones[i].pio > 1)
			return refuse_vm(vm, "coalesced MMIO zone %zu: pio is %u, 0 or 1 expected", i,
					 vm->zones[i].pio);
	return 0;
}

int check_bindings(const struct vm_state *vm)
{
	int ret = check_irqfds(vm);

	if (!ret)
		ret = check_ioeventfds(vm);
	if (!ret)
		ret = check_routing(vm);
	return ret ? ret : check_zones(vm);
}
