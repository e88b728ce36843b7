// SPDX-License-Identifier: GPL-2.0-only
/* KVM_SET_GSI_ROUTING: which interrupt an irqfd's GSI is (api.rst 4.52). */
#include <errno.h>
#include <stdlib.h>

#include "remote/remote.h"
#include "state/vm.h"

static void fill(struct kvm_irq_routing_entry *e, const struct irq_route *route)
{
	e->gsi = route->gsi;
	e->type = route->type;
	if (route->type == KVM_IRQ_ROUTING_IRQCHIP) {
		e->u.irqchip.irqchip = route->irqchip;
		e->u.irqchip.pin = route->pin;
		return;
	}
	e->flags = route->flags;
	e->u.msi.address_lo = route->address;
	e->u.msi.address_hi = route->address >> 32;
	e->u.msi.data = route->data;
	e->u.msi.devid = route->devid;
}

int routing_apply(struct vm_state *vm, struct remote *remote)
{
	const struct irq_routing *routing = &vm->routing;
	size_t size = sizeof(struct kvm_irq_routing) + routing->nr * sizeof(struct kvm_irq_routing_entry);
	struct batch b = BATCH(remote, vm->id, "GSI routing");
	struct kvm_irq_routing *arg;
	int ret;

	if (!routing->own)
		return 0;
	arg = calloc(1, size);
	if (!arg)
		return -ENOMEM;
	arg->nr = routing->nr;
	for (size_t i = 0; i < routing->nr; i++)
		fill(&arg->entries[i], &routing->routes[i]);
	batch_ioctl(&b, vm->fd, KVM_SET_GSI_ROUTING, arg, size, "KVM_SET_GSI_ROUTING")->detail = routing->nr;
	ret = batch_run(&b);
	batch_fini(&b);
	free(arg);
	return ret;
}
