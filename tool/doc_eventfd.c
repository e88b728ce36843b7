// SPDX-License-Identifier: GPL-2.0-only
/* The document: what a VM has bound to eventfds, and where its GSIs go. */
#include "document.h"

static json_t *eventfd(const struct eventfd_ref *ref)
{
	json_t *d = new_object();

	put(d, "pid", number(ref->vpid));
	put(d, "fd", number(ref->fd));
	return d;
}

json_t *document_irqfds(const struct vm_state *vm)
{
	json_t *list = new_array();

	for (size_t i = 0; i < vm->nr_irqfds; i++) {
		const struct irqfd_state *irqfd = &vm->irqfds[i];
		json_t *d = new_object();

		put(d, "gsi", number(irqfd->gsi));
		put(d, "eventfd", eventfd(&irqfd->eventfd));
		if (irqfd->resample)
			put(d, "resamplefd", eventfd(&irqfd->resamplefd));
		add(list, d);
	}
	return list;
}

json_t *document_ioeventfds(const struct vm_state *vm)
{
	json_t *list = new_array();

	for (size_t i = 0; i < vm->nr_ioeventfds; i++) {
		const struct ioeventfd_state *ioeventfd = &vm->ioeventfds[i];
		json_t *d = new_object();

		put(d, "address", hex(ioeventfd->addr));
		put(d, "length", number(ioeventfd->len));
		put(d, "flags", hex(ioeventfd->flags));
		put(d, "datamatch", hex(ioeventfd->datamatch));
		put(d, "eventfd", eventfd(&ioeventfd->eventfd));
		add(list, d);
	}
	return list;
}

json_t *document_routes(const struct vm_state *vm)
{
	json_t *list = new_array();

	for (size_t i = 0; i < vm->routing.nr; i++) {
		const struct irq_route *route = &vm->routing.routes[i];
		json_t *d = new_object();

		put(d, "gsi", number(route->gsi));
		if (route->type == KVM_IRQ_ROUTING_IRQCHIP) {
			put(d, "type", json_string("irqchip"));
			put(d, "irqchip", number(route->irqchip));
			put(d, "pin", number(route->pin));
		} else {
			put(d, "type", json_string("msi"));
			put(d, "address", hex(route->address));
			put(d, "data", hex(route->data));
			if (route->flags & KVM_MSI_VALID_DEVID)
				put(d, "device_id", number(route->devid));
		}
		add(list, d);
	}
	return list;
}

json_t *document_coalesced(const struct vm_state *vm)
{
	json_t *list = new_array();

	for (size_t i = 0; i < vm->nr_zones; i++) {
		json_t *d = new_object();

		put(d, "address", hex(vm->zones[i].addr));
		put(d, "size", number(vm->zones[i].size));
		put(d, "pio", truth(vm->zones[i].pio));
		add(list, d);
	}
	return list;
}
