// SPDX-License-Identifier: GPL-2.0-only
/* kvm-vm.img: what a VM has bound to eventfds, GSI routes, coalesced MMIO (vm.proto, state/eventfd.h). */
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"

static void pack_ref(KvmVgic__EventfdEntry *entry, const struct eventfd_ref *ref)
{
	kvm_vgic__eventfd_entry__init(entry);
	entry->vpid = ref->vpid;
	entry->fd = ref->fd;
}

/* A message and those that it points to, side by side: one room for a list. */
struct packed_irqfd {
	KvmVgic__IrqfdEntry entry;
	KvmVgic__EventfdEntry eventfd, resamplefd;
};

struct packed_ioeventfd {
	KvmVgic__IoeventfdEntry entry;
	KvmVgic__EventfdEntry eventfd;
};

static void pack_irqfds(KvmVgic__IrqfdEntry **list, const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_irqfds; i++) {
		struct packed_irqfd *packed = (struct packed_irqfd *)list[i];

		kvm_vgic__irqfd_entry__init(&packed->entry);
		pack_ref(&packed->eventfd, &vm->irqfds[i].eventfd);
		pack_ref(&packed->resamplefd, &vm->irqfds[i].resamplefd);
		packed->entry.gsi = vm->irqfds[i].gsi;
		packed->entry.eventfd = &packed->eventfd;
		packed->entry.resamplefd = vm->irqfds[i].resample ? &packed->resamplefd : NULL;
	}
}

static void pack_ioeventfds(KvmVgic__IoeventfdEntry **list, const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_ioeventfds; i++) {
		struct packed_ioeventfd *packed = (struct packed_ioeventfd *)list[i];

		kvm_vgic__ioeventfd_entry__init(&packed->entry);
		pack_ref(&packed->eventfd, &vm->ioeventfds[i].eventfd);
		packed->entry.addr = vm->ioeventfds[i].addr;
		packed->entry.len = vm->ioeventfds[i].len;
		packed->entry.flags = vm->ioeventfds[i].flags;
		packed->entry.datamatch = vm->ioeventfds[i].datamatch;
		packed->entry.eventfd = &packed->eventfd;
	}
}

static void pack_route(KvmVgic__IrqRouteEntry *entry, const struct irq_route *route)
{
	kvm_vgic__irq_route_entry__init(entry);
	entry->gsi = route->gsi;
	entry->type = route->type;
	entry->has_irqchip = entry->has_pin = route->type == KVM_IRQ_ROUTING_IRQCHIP;
	entry->irqchip = route->irqchip;
	entry->pin = route->pin;
	entry->has_address = entry->has_data = entry->has_flags = entry->has_devid = !entry->has_pin;
	entry->address = route->address;
	entry->data = route->data;
	entry->flags = route->flags;
	entry->devid = route->devid;
}

static bool pack_routing(struct frame_out *out, KvmVgic__VmEntry *entry, const struct irq_routing *routing)
{
	if (!routing->own)
		return true;
	entry->routing = entry_room(out, 1, sizeof(*entry->routing));
	if (!entry->routing)
		return false;
	kvm_vgic__irq_routing_entry__init(entry->routing);
	entry->routing->n_routes = routing->nr;
	if (!ENTRY_LIST(out, routing->nr, entry->routing->routes))
		return false;
	for (size_t i = 0; i < routing->nr; i++)
		pack_route(entry->routing->routes[i], &routing->routes[i]);
	return true;
}

static void pack_zones(KvmVgic__CoalescedZoneEntry **list, const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_zones; i++) {
		kvm_vgic__coalesced_zone_entry__init(list[i]);
		list[i]->addr = vm->zones[i].addr;
		list[i]->size = vm->zones[i].size;
		list[i]->pio = vm->zones[i].pio;
	}
}

bool bindings_pack(struct frame_out *out, KvmVgic__VmEntry *entry, const struct vm_state *vm)
{
	entry->n_irqfds = vm->nr_irqfds;
	entry->n_ioeventfds = vm->nr_ioeventfds;
	entry->n_zones = vm->nr_zones;
	entry->irqfds = entry_list(out, vm->nr_irqfds, sizeof(struct packed_irqfd));
	entry->ioeventfds = entry_list(out, vm->nr_ioeventfds, sizeof(struct packed_ioeventfd));
	if (!entry->irqfds || !entry->ioeventfds || !ENTRY_LIST(out, vm->nr_zones, entry->zones) ||
	    !pack_routing(out, entry, &vm->routing))
		return false;
	pack_irqfds(entry->irqfds, vm);
	pack_ioeventfds(entry->ioeventfds, vm);
	pack_zones(entry->zones, vm);
	return true;
}

void bindings_free(KvmVgic__VmEntry *entry)
{
	free(entry->irqfds);
	free(entry->ioeventfds);
	free(entry->zones);
	if (entry->routing)
		free(entry->routing->routes);
	free(entry->routing);
}

static struct eventfd_ref unpack_ref(const KvmVgic__EventfdEntry *entry)
{
	return (struct eventfd_ref){ entry->vpid, entry->fd };
}

/* Room for @n of what there may be @max of. */
static int unpack_list(const struct frame_in *in, const struct vm_state *vm, const char *what, void *array,
		       size_t n, size_t max, size_t size)
{
	if (n <= max)
		return entry_alloc(in, array, n, size);
	pr_err("%s: VM %u: %zu %s, at most %zu expected\n", in->file, vm->id, n, what, max);
	return -EINVAL;
}

static int unpack_irqfds(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct vm_state *vm)
{
	int ret = unpack_list(in, vm, "irqfds", &vm->irqfds, entry->n_irqfds, VM_MAX_IRQFDS,
			      sizeof(*vm->irqfds));

	for (size_t i = 0; !ret && i < entry->n_irqfds; i++) {
		const KvmVgic__IrqfdEntry *from = entry->irqfds[i];
		struct irqfd_state *irqfd = &vm->irqfds[vm->nr_irqfds++];

		irqfd->gsi = from->gsi;
		irqfd->eventfd = unpack_ref(from->eventfd);
		irqfd->resample = from->resamplefd;
		if (irqfd->resample)
			irqfd->resamplefd = unpack_ref(from->resamplefd);
	}
	return ret;
}

static int unpack_ioeventfds(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct vm_state *vm)
{
	int ret = unpack_list(in, vm, "ioeventfds", &vm->ioeventfds, entry->n_ioeventfds, VM_MAX_IOEVENTFDS,
			      sizeof(*vm->ioeventfds));

	for (size_t i = 0; !ret && i < entry->n_ioeventfds; i++)
		vm->ioeventfds[vm->nr_ioeventfds++] = (struct ioeventfd_state){
			.addr = entry->ioeventfds[i]->addr,
			.len = entry->ioeventfds[i]->len,
			.flags = entry->ioeventfds[i]->flags,
			.datamatch = entry->ioeventfds[i]->datamatch,
			.eventfd = unpack_ref(entry->ioeventfds[i]->eventfd),
		};
	return ret;
}

/* The fields of the other type mean nothing. */
static struct irq_route unpack_route(const KvmVgic__IrqRouteEntry *entry)
{
	struct irq_route route = { .gsi = entry->gsi, .type = entry->type };

	if (route.type == KVM_IRQ_ROUTING_IRQCHIP) {
		route.irqchip = entry->irqchip;
		route.pin = entry->pin;
		return route;
	}
	route.address = entry->address;
	route.data = entry->data;
	route.flags = entry->flags;
	route.devid = entry->devid;
	return route;
}

static int unpack_routing(const struct frame_in *in, const KvmVgic__IrqRoutingEntry *entry,
			  struct vm_state *vm)
{
	struct irq_routing *routing = &vm->routing;
	int ret;

	if (!entry)
		return 0;
	routing->own = true;
	ret = unpack_list(in, vm, "GSI routes", &routing->routes, entry->n_routes, VM_MAX_ROUTES,
			  sizeof(*routing->routes));
	for (size_t i = 0; !ret && i < entry->n_routes; i++)
		routing->routes[routing->nr++] = unpack_route(entry->routes[i]);
	return ret;
}

static int unpack_zones(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct vm_state *vm)
{
	int ret = unpack_list(in, vm, "coalesced MMIO zones", &vm->zones, entry->n_zones, VM_MAX_ZONES,
			      sizeof(*vm->zones));

	for (size_t i = 0; !ret && i < entry->n_zones; i++)
		vm->zones[vm->nr_zones++] =
			(struct coalesced_zone){ entry->zones[i]->addr, entry->zones[i]->size,
						 entry->zones[i]->pio };
	return ret;
}

int bindings_unpack(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct vm_state *vm)
{
	int ret = unpack_irqfds(in, entry, vm);

	if (!ret)
		ret = unpack_ioeventfds(in, entry, vm);
	if (!ret)
		ret = unpack_routing(in, entry->routing, vm);
	return ret ? ret : unpack_zones(in, entry, vm);
}
