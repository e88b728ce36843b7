/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a VM has bound to eventfds, and where its GSIs go: irqfds, ioeventfds, GSI routes, and the zones of
 * coalesced MMIO (Documentation/virt/kvm/api.rst 4.75, 4.59, 4.52, 4.116).
 *
 * The eventfds are CRIU's: it restores them as fds of its processes, with their counts.
 */
#ifndef KVM_VGIC_STATE_EVENTFD_H
#define KVM_VGIC_STATE_EVENTFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>

#define VM_MAX_IRQFDS 16384
#define VM_MAX_IOEVENTFDS 16384
#define VM_MAX_ROUTES 4096 /* KVM_MAX_IRQ_ROUTES */
#define VM_MAX_ZONES 2048
#define VM_NR_PINS 988 /* KVM_IRQCHIP_NUM_PINS of arm64 */

/* An eventfd, by a process of the dumped tree that has it: the VM's owner where that one has. */
struct eventfd_ref {
	int32_t vpid; /* in its innermost pid namespace */
	int32_t fd;
};

struct irqfd_state {
	uint32_t gsi;
	bool resample;
	struct eventfd_ref eventfd, resamplefd;
};

struct ioeventfd_state {
	uint64_t addr;
	uint64_t datamatch;
	uint32_t len;	/* bytes, 0: any */
	uint32_t flags; /* KVM_IOEVENTFD_FLAG_* */
	struct eventfd_ref eventfd;
};

struct irq_route {
	uint32_t gsi;
	uint32_t type;	       /* KVM_IRQ_ROUTING_IRQCHIP or _MSI */
	uint32_t irqchip, pin; /* of the first */
	uint64_t address;      /* of the second, as the next three */
	uint32_t data;
	uint32_t flags; /* KVM_MSI_VALID_DEVID */
	uint32_t devid;
};

/* As KVM_SET_GSI_ROUTING takes it. Where it was not called each GSI is the SPI of its number. */
struct irq_routing {
	bool own;
	struct irq_route *routes; /* in an order that leaves each pin to the GSI that had it */
	size_t nr;
};

struct coalesced_zone {
	uint64_t addr;
	uint32_t size; /* bytes */
	uint32_t pio;  /* 0, 1 */
};

/* The wait for irqfds that have ended. */
struct irqfd_flush {
	struct kvm_irqfd none; /* for which none was ever made */
	int64_t fd;	       /* of its eventfd, which is ours; or a negative errno */
	int64_t closed;	       /* 0: it is */
	bool begun;
};

struct vm_state;
struct remote;

/*
 * The number that @ref's eventfd has in the owner of @vm, brought there where it is another process's; or a
 * negative errno, logged. Each is given back by eventfd_return().
 */
int eventfd_borrow(struct vm_state *vm, struct remote *remote, const struct eventfd_ref *ref);
int eventfd_return(struct vm_state *vm, struct remote *remote, const struct eventfd_ref *ref, int fd);

/* What irqfd_flush_begin() has made does not stay where the dump fails before irqfd_flush() has ended. 0 or a negative errno, logged. */
int irqfd_flush_end(struct vm_state *vm, struct remote *remote);

/* Steps of the two sequences (plan.c). 0 or a negative errno, logged. */
int irqfd_flush_begin(struct vm_state *vm, struct remote *remote);
int irqfd_flush(struct vm_state *vm, struct remote *remote);
int routing_apply(struct vm_state *vm, struct remote *remote);
int irqfd_apply(struct vm_state *vm, struct remote *remote);
int ioeventfd_apply(struct vm_state *vm, struct remote *remote);
int coalesced_apply(struct vm_state *vm, struct remote *remote);

#endif
