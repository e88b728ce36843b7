// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu-kvm show --dot: the routes of interrupts as a graph. What is in it are numbers and words of this program; an
 * edge of an interrupt that is pending or active is bold, of one that is not enabled dashed.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "document.h"

#define GITS_TRANSLATER 0x10040

/* A node's name, of the VM that is drawn. */
struct node {
	char name[64];
};

static int64_t vm_id;

static struct node node(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));
static struct node node(const char *format, ...)
{
	struct node n;
	int at = snprintf(n.name, sizeof(n.name), "vm%" PRId64 " ", vm_id);
	va_list args;

	va_start(args, format);
	vsnprintf(n.name + at, sizeof(n.name) - at, format, args);
	va_end(args);
	return n;
}

static void draw(struct node n, const char *shape, const char *format, ...)
	__attribute__((__format__(__printf__, 3, 4)));
static void draw(struct node n, const char *shape, const char *format, ...)
{
	va_list args;

	printf("\t\t\"%s\" [shape=%s label=\"", n.name, shape);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\"];\n");
}

static void draw_edge(struct node from, struct node to, const char *style, const char *label)
{
	printf("\t\t\"%s\" -> \"%s\" [style=%s label=\"%s\"];\n", from.name, to.name, style, label);
}

static const char *style_of(json_t *irq, bool pending)
{
	if (pending || get_truth(irq, "pending") || get_truth(irq, "active"))
		return "bold";
	return get_truth(irq, "enabled") ? "solid" : "dashed";
}

/* A node of its own for what goes to none. */
static struct node vcpu_of(json_t *of)
{
	json_t *vcpu = json_object_get(of, "vcpu");

	return json_is_integer(vcpu) ? node("vcpu%" JSON_INTEGER_FORMAT, json_integer_value(vcpu)) : node("no vCPU");
}

static void draw_vcpus(json_t *vm)
{
	json_t *vcpu;
	size_t i;

	json_array_foreach(json_object_get(vm, "vcpus"), i, vcpu)
		draw(node("vcpu%zu", i), "box3d", "vCPU %zu\\nMPIDR %s\\n%s", i, get_text(vcpu, "mpidr"),
		     get_text(vcpu, "mp_state"));
}

/* PPIs and SGIs are each vCPU's own: only what is shared is routed. */
static bool is_drawn(json_t *irq)
{
	const char *kind = get_text(irq, "kind");

	return (!strcmp(kind, "SPI") || !strcmp(kind, "LPI")) &&
	       (get_truth(irq, "enabled") || get_truth(irq, "pending") || get_truth(irq, "active"));
}

static void draw_shared(json_t *vm)
{
	json_t *irq;
	size_t i;

	json_array_foreach(json_object_get(vm, "interrupts"), i, irq) {
		struct node n = node("%s%" PRId64, get_text(irq, "kind"), get_number(irq, "intid"));

		if (!is_drawn(irq))
			continue;
		draw(n, "ellipse", "%s %" PRId64, get_text(irq, "kind"), get_number(irq, "intid"));
		draw_edge(n, vcpu_of(irq), style_of(irq, false), "");
	}
}

static struct node collection(int64_t its, int64_t icid)
{
	return node("its%" PRId64 " c%" PRId64, its, icid);
}

static struct node device_of(int64_t its, int64_t id)
{
	return node("its%" PRId64 " d%" PRId64, its, id);
}

static void draw_collections(json_t *its)
{
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(its, "collections"), i, c) {
		struct node n = collection(get_number(its, "index"), get_number(c, "icid"));

		draw(n, "hexagon", "collection %" PRId64, get_number(c, "icid"));
		draw_edge(n, vcpu_of(c), "solid", "");
	}
}

static void draw_device(int64_t its, json_t *device, json_t *lpis)
{
	struct node d = device_of(its, get_number(device, "device_id"));
	json_t *event;
	size_t i;

	draw(d, "box", "device %" PRId64, get_number(device, "device_id"));
	json_array_foreach(json_object_get(device, "events"), i, event) {
		const int64_t intid = get_number(event, "intid");
		struct node lpi = node("LPI%" PRId64, intid);
		json_t *of = document_lpi(lpis, intid);
		char label[32];

		snprintf(label, sizeof(label), "event %" PRId64, get_number(event, "event_id"));
		draw(lpi, "ellipse", "LPI %" PRId64, intid);
		draw_edge(d, lpi, "solid", label);
		draw_edge(lpi, collection(its, get_number(event, "icid")),
			  style_of(of, json_array_size(json_object_get(of, "pending_on"))), "");
	}
}

static void draw_itses(json_t *vm)
{
	json_t *lpis = document_index_lpis(vm), *its, *device;
	size_t i, d;

	json_array_foreach(json_object_get(vm, "itses"), i, its) {
		draw_collections(its);
		json_array_foreach(json_object_get(its, "devices"), d, device)
			draw_device(get_number(its, "index"), device, lpis);
	}
	json_decref(lpis);
}

/* The device that sends the MSI of @route, of the ITS that it is written to; or the address. */
static struct node target_of(json_t *vm, json_t *route)
{
	const uint64_t address = strtoull(get_text(route, "address"), NULL, 16);
	json_t *its;
	size_t i;

	json_array_foreach(json_object_get(vm, "itses"), i, its)
		if (strtoull(get_text(its, "base"), NULL, 16) + GITS_TRANSLATER == address)
			return device_of(i, get_number(route, "device_id"));
	return node("MSI to %s", get_text(route, "address"));
}

static void draw_route(json_t *vm, json_t *route)
{
	struct node gsi = node("gsi%" PRId64, get_number(route, "gsi"));
	char label[32];

	if (!strcmp(get_text(route, "type"), "irqchip")) {
		draw_edge(gsi, node("SPI%" PRId64, get_number(route, "pin") + VGIC_NR_PRIVATE), "solid", "");
		return;
	}
	snprintf(label, sizeof(label), "event %s", get_text(route, "data"));
	draw_edge(gsi, target_of(vm, route), "solid", label);
}

/* From the eventfd to where its GSI leads; other GSIs lead nowhere from. */
static void draw_irqfds(json_t *vm)
{
	json_t *irqfd, *route, *used = new_object();
	size_t i;

	json_array_foreach(json_object_get(vm, "irqfds"), i, irqfd) {
		json_t *eventfd = json_object_get(irqfd, "eventfd");
		const int64_t pid = get_number(eventfd, "pid"), fd = get_number(eventfd, "fd");
		const int64_t gsi = get_number(irqfd, "gsi");
		char key[24];

		snprintf(key, sizeof(key), "%" PRId64, gsi);
		put(used, key, truth(true));
		draw(node("fd%" PRId64 ":%" PRId64, pid, fd), "note", "eventfd %" PRId64 " of pid %" PRId64, fd, pid);
		draw(node("gsi%" PRId64, gsi), "cds", "GSI %" PRId64, gsi);
		draw_edge(node("fd%" PRId64 ":%" PRId64, pid, fd), node("gsi%" PRId64, gsi), "solid", "irqfd");
		if (!json_object_get(vm, "routes"))
			draw_edge(node("gsi%" PRId64, gsi), node("SPI%" PRId64, gsi + VGIC_NR_PRIVATE), "solid", "");
	}
	json_array_foreach(json_object_get(vm, "routes"), i, route) {
		char key[24];

		snprintf(key, sizeof(key), "%" PRId64, get_number(route, "gsi"));
		if (json_object_get(used, key))
			draw_route(vm, route);
	}
	json_decref(used);
}

static void draw_vm(json_t *vm)
{
	vm_id = get_number(vm, "id");
	printf("\tsubgraph cluster_vm%" PRId64 " {\n\t\tlabel=\"VM %" PRId64 ", %s\";\n", vm_id, vm_id,
	       get_text(json_object_get(vm, "gic"), "kind"));
	draw_vcpus(vm);
	draw_shared(vm);
	draw_itses(vm);
	draw_irqfds(vm);
	printf("\t}\n");
}

void show_dot(json_t *document)
{
	json_t *vm;
	size_t i;

	printf("digraph interrupts {\n\trankdir=LR;\n\tnode [fontname=sans fontsize=10];\n"
	       "\tedge [fontname=sans fontsize=8];\n");
	json_array_foreach(json_object_get(document, "vms"), i, vm)
		draw_vm(vm);
	printf("}\n");
}
