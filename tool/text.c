// SPDX-License-Identifier: GPL-2.0-only
/* criu-kvm show, for people: of the document what is set. */
#include "document.h"

static json_t *list_of(json_t *object, const char *key)
{
	return json_object_get(object, key);
}

/* "a, b"; "none". */
static void print_list(const char *what, json_t *list)
{
	json_t *value;
	size_t i;

	printf("  %-14s", what);
	json_array_foreach(list, i, value)
		printf("%s%s", i ? ", " : "", json_string_value(value));
	printf("%s\n", json_array_size(list) ? "" : "none");
}

static void show_capabilities(json_t *vm)
{
	const char *name;
	json_t *value;

	json_object_foreach(list_of(vm, "capabilities"), name, value)
		printf("  %-14s%s (%" JSON_INTEGER_FORMAT ")\n", "capability", name, json_integer_value(value));
}

static void show_memslots(json_t *vm)
{
	json_t *slot;
	size_t i;

	printf("\n  memslot  guest address       size                host address\n");
	json_array_foreach(list_of(vm, "memslots"), i, slot) {
		json_t *flag, *dirty = json_object_get(slot, "dirty_pages");
		size_t f;

		printf("  %7" PRId64 "  %-18s  %-18s  %-18s", get_number(slot, "slot"), get_text(slot, "gpa"),
		       get_text(slot, "size"), get_text(slot, "hva"));
		json_array_foreach(list_of(slot, "flags"), f, flag)
			printf(" %s", json_string_value(flag));
		if (dirty)
			printf(", %" JSON_INTEGER_FORMAT " pages dirty", json_integer_value(dirty));
		putchar('\n');
	}
	json_array_foreach(list_of(vm, "backings"), i, slot)
		printf("  memslot %" PRId64 " shows %s of %s from %s on\n", get_number(slot, "slot"),
		       get_text(slot, "size"), get_text(slot, "path"), get_text(slot, "offset"));
}

static void show_pending(json_t *vcpu)
{
	json_t *events = json_object_get(vcpu, "events"), *run = json_object_get(vcpu, "run");
	json_t *mmio = json_object_get(run, "mmio");

	if (strcmp(get_text(vcpu, "pending_exit"), "none"))
		printf("        owes an MMIO %s at %s, %" PRId64 " bytes\n", get_text(vcpu, "pending_exit"),
		       mmio ? get_text(mmio, "address") : "-", mmio ? get_number(mmio, "length") : 0);
	if (get_truth(events, "serror_pending"))
		printf("        an SError is pending, syndrome %s\n", get_text(events, "serror_esr"));
	if (json_object_get(vcpu, "debug"))
		printf("        is debugged, control %s\n", get_text(json_object_get(vcpu, "debug"), "control"));
	if (json_object_get(vcpu, "pvtime"))
		printf("        steal time at %s\n", get_text(vcpu, "pvtime"));
}

static void show_vcpus(json_t *vm)
{
	json_t *vcpu;
	size_t i;

	printf("\n  vCPU   id  MPIDR               PC                  PSTATE      state      exit\n");
	json_array_foreach(list_of(vm, "vcpus"), i, vcpu) {
		json_t *regs = json_object_get(vcpu, "regs");

		printf("  %4" PRId64 " %4" PRId64 "  %-18s  %-18s  %-10s  %-9s  %s\n", get_number(vcpu, "idx"),
		       get_number(vcpu, "id"), get_text(vcpu, "mpidr"), get_text(regs, "PC"),
		       get_text(regs, "PSTATE"), get_text(vcpu, "mp_state"),
		       get_text(json_object_get(vcpu, "run"), "exit_reason"));
		show_pending(vcpu);
	}
}

static void print_vcpu(json_t *irq)
{
	json_t *vcpu = json_object_get(irq, "vcpu"), *on = json_object_get(irq, "active_on");

	if (json_is_integer(vcpu))
		printf("vCPU %" JSON_INTEGER_FORMAT, json_integer_value(vcpu));
	else
		printf("no vCPU");
	if (on)
		printf(", active on vCPU %" JSON_INTEGER_FORMAT, json_integer_value(on));
}

static void print_flag(json_t *irq, const char *flag)
{
	if (get_truth(irq, flag))
		printf(" %s", flag);
}

static void show_interrupts(json_t *vm)
{
	json_t *irq;
	size_t i;

	printf("\n  interrupts of the GIC that are enabled, pending or active, or whose line is raised\n");
	json_array_foreach(list_of(vm, "interrupts"), i, irq) {
		if (!get_truth(irq, "enabled") && !get_truth(irq, "pending") && !get_truth(irq, "active") &&
		    !get_truth(irq, "level"))
			continue;
		printf("  %s %5" PRId64 "  priority %3" PRId64 "  ", get_text(irq, "kind"), get_number(irq, "intid"),
		       get_number(irq, "priority"));
		print_vcpu(irq);
		putchar(':');
		print_flag(irq, "enabled");
		print_flag(irq, "pending");
		print_flag(irq, "active");
		if (get_truth(irq, "level"))
			printf(" line raised");
		putchar('\n');
	}
}

static void print_lpi(json_t *index, int64_t intid)
{
	json_t *lpi = document_lpi(index, intid), *on;
	size_t i;

	print_flag(lpi, "enabled");
	json_array_foreach(list_of(lpi, "pending_on"), i, on)
		printf(" pending on vCPU %" JSON_INTEGER_FORMAT, json_integer_value(on));
}

static void show_events(json_t *device, json_t *index)
{
	json_t *event;
	size_t i;

	json_array_foreach(list_of(device, "events"), i, event) {
		printf("  device %5" PRId64 " event %5" PRId64 " -> LPI %5" PRId64 " -> collection %3" PRId64 " -> ",
		       get_number(device, "device_id"), get_number(event, "event_id"), get_number(event, "intid"),
		       get_number(event, "icid"));
		print_vcpu(event);
		putchar(':');
		print_lpi(index, get_number(event, "intid"));
		putchar('\n');
	}
}

static void show_itses(json_t *vm)
{
	json_t *index = document_index_lpis(vm), *its, *device;
	size_t i, d;

	json_array_foreach(list_of(vm, "itses"), i, its) {
		printf("\n  ITS %" PRId64 " at %s, %s, %zu devices\n", get_number(its, "index"), get_text(its, "base"),
		       get_truth(its, "enabled") ? "enabled" : "not enabled",
		       json_array_size(list_of(its, "devices")));
		json_array_foreach(list_of(its, "devices"), d, device)
			show_events(device, index);
	}
	json_decref(index);
}

static void show_bindings(json_t *vm)
{
	json_t *entry;
	size_t i;

	if (json_array_size(list_of(vm, "irqfds")) || json_array_size(list_of(vm, "ioeventfds")))
		putchar('\n');
	json_array_foreach(list_of(vm, "irqfds"), i, entry)
		printf("  irqfd of GSI %" PRId64 " <- fd %" PRId64 " of pid %" PRId64 "%s\n", get_number(entry, "gsi"),
		       get_number(json_object_get(entry, "eventfd"), "fd"),
		       get_number(json_object_get(entry, "eventfd"), "pid"),
		       json_object_get(entry, "resamplefd") ? ", resampled" : "");
	json_array_foreach(list_of(vm, "ioeventfds"), i, entry)
		printf("  ioeventfd at %s -> fd %" PRId64 " of pid %" PRId64 "\n", get_text(entry, "address"),
		       get_number(json_object_get(entry, "eventfd"), "fd"),
		       get_number(json_object_get(entry, "eventfd"), "pid"));
}

static void show_vm(json_t *vm)
{
	json_t *gic = json_object_get(vm, "gic"), *counters = json_object_get(vm, "counters");

	printf("VM %" PRId64 " of pid %" PRId64 ": %s, %zu vCPUs, %zu ITSes, %" PRId64 "-bit addresses\n",
	       get_number(vm, "id"), get_number(vm, "pid"), get_text(gic, "kind"),
	       json_array_size(list_of(vm, "vcpus")), json_array_size(list_of(vm, "itses")),
	       get_number(vm, "ipa_bits"));
	printf("  %-14sboot %s, pages of %" PRId64 " bytes, counter of %" PRId64 " Hz\n", "dumped on",
	       get_text(vm, "boot_id"), get_number(vm, "page_size"), get_number(counters, "frequency"));
	print_list("features", list_of(vm, "features"));
	show_capabilities(vm);
	show_memslots(vm);
	show_vcpus(vm);
	show_interrupts(vm);
	show_itses(vm);
	show_bindings(vm);
	putchar('\n');
}

void show_text(json_t *document)
{
	json_t *vm, *file;
	size_t i;

	json_array_foreach(list_of(document, "vms"), i, vm)
		show_vm(vm);
	json_array_foreach(list_of(document, "files"), i, file)
		printf("file %" PRId64 " of no VM: /dev/kvm\n", get_number(file, "id"));
}
