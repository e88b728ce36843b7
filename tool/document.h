/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The images as a JSON document: docs/criu-kvm-show.schema.json. All views of them are made of it, so that what one
 * shows the others can; strings of images are escaped on their way in.
 */
#ifndef KVM_VGIC_TOOL_DOCUMENT_H
#define KVM_VGIC_TOOL_DOCUMENT_H

#include <inttypes.h>

#include <jansson.h>

#include "tool.h"

/* Of the schema. */
#define DOCUMENT_FORMAT "criu-kvm-show"
#define DOCUMENT_VERSION "1.0"

/* For json_decref(). */
json_t *document_make(const struct tool_images *images);

/* Parts of it. */
json_t *document_vm(const struct vm_state *vm);
json_t *document_files(const struct kvm_file *files, size_t nr);
json_t *document_vcpus(const struct vm_state *vm);
json_t *document_gic(const struct vm_state *vm);
json_t *document_interrupts(const struct vm_state *vm);
json_t *document_itses(const struct vm_state *vm);
json_t *document_lpis(const struct vm_state *vm);
json_t *document_irqfds(const struct vm_state *vm);
json_t *document_ioeventfds(const struct vm_state *vm);
json_t *document_routes(const struct vm_state *vm);
json_t *document_coalesced(const struct vm_state *vm);

/* Registers of @table that are not by interrupt, by name. */
json_t *document_regs(const struct vgic_reg *table, size_t nr_regs, const struct vgic_values *values);
/* Adds to @irq what @table has of its interrupt at @place: from INTID 32 on of arrays, else from the first. */
void document_irq(json_t *irq, const struct vgic_reg *table, size_t nr_regs, const struct vgic_values *values,
		  unsigned int place);

/* ---- values; without memory they do not return ---- */

void put(json_t *object, const char *key, json_t *value);
void add(json_t *array, json_t *value);
json_t *new_object(void);
json_t *new_array(void);
/* What programs read: "format", and "version", whose first number changes where a field goes or means something else. */
json_t *new_versioned(const char *format, const char *version);
json_t *number(int64_t n);
json_t *truth(bool b);
/* Registers, addresses, hashes: "0x1f", as 64 bits are more than many a JSON reader's numbers have. */
json_t *hex(uint64_t n);
/* Of an image: escaped. */
json_t *text(const char *text);
/* Little-endian bytes as one number: "0x..." */
json_t *hex_bytes(const uint8_t *bytes, size_t size);
/* The names of the bits that are set; of those without a name "bit N". */
struct bit_name {
	unsigned int bit;
	const char *name;
};
json_t *bits(uint64_t value, const struct bit_name *names, size_t nr);
/* A value by its name; else its number. */
json_t *named(uint32_t value, const char *const *names, size_t nr);
#define NAMED(value, names) named(value, names, sizeof(names) / sizeof((names)[0]))
/* A hash of bytes that nobody reads: whether two are the same. */
json_t *hash(const void *bytes, size_t size);

/* On stdout. */
void print_json(json_t *document);

/* The views. */
void show_text(json_t *document);
void show_dot(json_t *document);

/* The LPIs of a VM's document by INTID, for json_decref(): an ITS can have a million events. And one of them, or NULL. */
json_t *document_index_lpis(json_t *vm);
json_t *document_lpi(json_t *index, int64_t intid);

/* Reading: what the schema requires is there. */
static inline int64_t get_number(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static inline const char *get_text(json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "-";
}

static inline bool get_truth(json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

#endif
