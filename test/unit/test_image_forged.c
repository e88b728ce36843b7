// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files with a right seal that no dump of ours has written: other versions of
 * the format, and what someone with a hex editor could make.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "forge.h"
#include "image.pb-c.h"
#include "its.pb-c.h"
#include "testlog.h"
#include "vcpu.pb-c.h"
#include "thread.pb-c.h"
#include "vcpu_events.pb-c.h"
#include "vgic.pb-c.h"
#include "vm.pb-c.h"

static int set_up(void **state)
{
	struct forge *forge = calloc(1, sizeof(*forge));

	forge_init(forge, 2, 96);
	*state = forge;
	return 0;
}

static int tear_down(void **state)
{
	forge_fini(*state);
	free(*state);
	return 0;
}

static int read_result(const struct forge *forge)
{
	struct vm_state **vms;
	struct image_files files;
	size_t n;
	int ret;

	log_reset();
	ret = image_read_all(forge->dir, &vms, &n, &files);
	if (!ret)
		image_free_all(vms, n, &files);
	return ret;
}

static void assert_accepted(const struct forge *forge)
{
	int ret = read_result(forge);

	assert_string_equal(log_error(), "");
	assert_int_equal(ret, 0);
}

static void assert_says(const struct forge *forge, const char *message)
{
	int ret = read_result(forge);

	assert_string_equal(log_error(), message);
	assert_int_equal(log_errors(), 1);
	assert_int_equal(ret, -EINVAL);
}

/* Adds all payloads of the valid @file, each once changed by @change. */
static void copy_changed(struct forge *forge, enum forge_file file, struct frame_out *out,
			 void (*change)(ProtobufCMessage *msg, unsigned int i))
{
	ProtobufCMessage *msg;
	unsigned int i = 0;
	struct frame_in in;

	assert_int_equal(frame_open(&in, forge->dir, forge_name(file), forge_kind(file)), 0);
	while (frame_next(&in, &msg) == 1) {
		if (change)
			change(msg, i++);
		frame_add(out, msg);
		frame_free(msg);
	}
	frame_close(&in);
}

static void entry(struct frame_out *out, const void *message, uint32_t size)
{
	const uint8_t le[] = { size, size >> 8, size >> 16, size >> 24 };

	forge_bytes(out, le, sizeof(le));
	forge_bytes(out, message, size);
}

/* Versions */

static void write_version(struct forge *forge, enum forge_file file, uint32_t major, uint32_t minor,
			  const void *more, size_t size)
{
	struct frame_kind kind = *forge_kind(file);
	struct frame_out out;

	kind.major = major;
	kind.minor = minor;
	frame_begin(&out, forge_name(file), &kind, &fixture_dump);
	copy_changed(forge, file, &out, NULL);
	if (size)
		entry(&out, more, size);
	forge_finish(forge, file, &out);
}

static void a_newer_major_version_is_refused_by_name(void **state)
{
	struct forge *forge = *state;

	write_version(forge, FORGE_VM, 5, 3, NULL, 0);
	assert_says(forge, "kvm-vm.img: format version 5.3, only 4.x is known to this plugin");
	forge_reset(forge);
	write_version(forge, FORGE_VCPU, 5, 0, NULL, 0);
	assert_says(forge, "kvm-vcpu-1.img: format version 5.0, only 4.x is known to this plugin");
	forge_reset(forge);
	write_version(forge, FORGE_VCPU_EVENTS, 2, 0, NULL, 0);
	assert_says(forge, "kvm-vcpu-events-1.img: format version 2.0, only 1.x is known to this plugin");
	forge_reset(forge);
	write_version(forge, FORGE_VGIC, 3, 0, NULL, 0);
	assert_says(forge, "kvm-vgic-1.img: format version 3.0, only 2.x is known to this plugin");
	forge_reset(forge);
	write_version(forge, FORGE_ITS, 3, 0, NULL, 0);
	assert_says(forge, "kvm-its-1.img: format version 3.0, only 2.x is known to this plugin");
}

/* Without what a vCPU has beside its registers, or values where they are now: a restore must not lose them. */
static void an_older_major_version_is_refused_by_name(void **state)
{
	struct forge *forge = *state;

	write_version(forge, FORGE_VM, 2, 0, NULL, 0);
	assert_says(forge, "kvm-vm.img: format version 2.0, only 4.x is known to this plugin");
	forge_reset(forge);

	write_version(forge, FORGE_VCPU, 3, 0, NULL, 0);
	assert_says(forge, "kvm-vcpu-1.img: format version 3.0, only 4.x is known to this plugin");
	forge_reset(forge);
	write_version(forge, FORGE_VGIC, 1, 0, NULL, 0);
	assert_says(forge, "kvm-vgic-1.img: format version 1.0, only 2.x is known to this plugin");
	forge_reset(forge);
	write_version(forge, FORGE_ITS, 1, 0, NULL, 0);
	assert_says(forge, "kvm-its-1.img: format version 1.0, only 2.x is known to this plugin");
}

static void version_0_is_refused(void **state)
{
	struct forge *forge = *state;

	write_version(forge, FORGE_VGIC, 0, 1, NULL, 0);
	assert_says(forge, "kvm-vgic-1.img: format version 0.1, only 2.x is known to this plugin");
}

static void a_newer_minor_version_is_accepted(void **state)
{
	struct forge *forge = *state;

	for (int file = 0; file < FORGE_NR_FILES; file++) {
		write_version(forge, file, forge_kind(file)->major, 7, NULL, 0);
		assert_accepted(forge);
		forge_reset(forge);
	}
}

/* Field 9 of an entry, of type bytes: nothing that 1.0 has. */
static const uint8_t unknown_entry[] = { 9 << 3 | 2, 2, 0xaa, 0xbb };

static void a_newer_minor_version_may_have_other_entries(void **state)
{
	struct forge *forge = *state;

	for (int file = 0; file < FORGE_NR_FILES; file++) {
		write_version(forge, file, forge_kind(file)->major, 1, unknown_entry, sizeof(unknown_entry));
		assert_accepted(forge);
		forge_reset(forge);
	}
	write_version(forge, FORGE_VGIC, 2, 0, unknown_entry, sizeof(unknown_entry));
	assert_says(forge, "kvm-vgic-1.img: entry 3: empty");
}

/* A payload with field 200, fixed32, after the known ones. */
static void add_unknown_field(ProtobufCMessage *msg, unsigned int i)
{
	uint8_t *data = malloc(4);

	memcpy(data, "\1\2\3\4", 4);
	msg->unknown_fields = calloc(1, sizeof(*msg->unknown_fields));
	msg->n_unknown_fields = 1;
	msg->unknown_fields[0] = (ProtobufCMessageUnknownField){
		.tag = 200, .wire_type = PROTOBUF_C_WIRE_TYPE_32BIT, .len = 4, .data = data
	};
}

static void a_newer_minor_version_may_have_other_fields(void **state)
{
	struct forge *forge = *state;

	for (int file = 0; file < FORGE_NR_FILES; file++) {
		struct frame_kind kind = *forge_kind(file);
		struct frame_out out;

		kind.minor++;
		frame_begin(&out, forge_name(file), &kind, &fixture_dump);
		copy_changed(forge, file, &out, add_unknown_field);
		forge_finish(forge, file, &out);
		assert_accepted(forge);
		forge_reset(forge);
	}
}

/* Framing */

static void write_entries(struct forge *forge, enum forge_file file, const void *entries, size_t size)
{
	struct frame_out out;

	forge_begin(&out, file);
	forge_bytes(&out, entries, size);
	forge_finish(forge, file, &out);
}

static void an_entry_that_does_not_fit_is_refused(void **state)
{
	static const uint8_t half_a_size[] = { 1, 0 }, too_long[] = { 5, 0, 0, 0, 1, 2, 3, 4 },
			     huge[] = { 0xff, 0xff, 0xff, 0xff }, over_limit[] = { 1, 0, 0, 3 };
	struct forge *forge = *state;
	uint8_t *zeros = calloc(1, FRAME_ENTRY_MAX + 1);
	struct frame_out out;

	write_entries(forge, FORGE_VGIC, half_a_size, sizeof(half_a_size));
	assert_says(forge, "kvm-vgic-1.img: entry 2: 2 bytes left, no size");
	write_entries(forge, FORGE_VGIC, too_long, sizeof(too_long));
	assert_says(forge, "kvm-vgic-1.img: entry 2: size 5, 4 bytes left");
	write_entries(forge, FORGE_VGIC, huge, sizeof(huge));
	assert_says(forge, "kvm-vgic-1.img: entry 2: size 4294967295, 0 bytes left");
	forge_begin(&out, FORGE_VGIC);
	forge_bytes(&out, over_limit, sizeof(over_limit));
	forge_bytes(&out, zeros, FRAME_ENTRY_MAX + 1);
	forge_finish(forge, FORGE_VGIC, &out);
	assert_says(forge, "kvm-vgic-1.img: entry 2: size 50331649, 50331649 bytes left");
	free(zeros);
}

static void an_entry_that_does_not_decode_is_refused(void **state)
{
	static const uint8_t junk[] = { 3, 0, 0, 0, 0xff, 0xff, 0xff }, empty[] = { 0, 0, 0, 0 },
			     empty_payload[] = { 2, 0, 0, 0, 2 << 3 | 2, 0 };
	struct forge *forge = *state;

	write_entries(forge, FORGE_VCPU, junk, sizeof(junk));
	assert_says(forge, "kvm-vcpu-1.img: entry 2: does not decode");
	write_entries(forge, FORGE_VCPU, empty, sizeof(empty));
	assert_says(forge, "kvm-vcpu-1.img: entry 2: empty");
	write_entries(forge, FORGE_VCPU, empty_payload, sizeof(empty_payload));
	assert_says(forge, "kvm-vcpu-1.img: entry 2: does not decode as kvm_vgic.vcpu_entry");
}

/* Of two million fields that are not known, 4 MB in the file, protobuf-c would remember 180 MB. */
static void an_entry_that_would_fill_memory_is_refused(void **state)
{
	KvmVgic__ImageEntry message = KVM_VGIC__IMAGE_ENTRY__INIT;
	struct forge *forge = *state;
	struct frame_out out;
	uint8_t *packed;

	message.has_payload = true;
	message.payload.len = 2 * 2100000;
	message.payload.data = malloc(message.payload.len);
	for (size_t i = 0; i < message.payload.len; i += 2)
		memcpy(&message.payload.data[i], "\x78\0", 2); /* field 15, a varint: 0 */
	packed = malloc(kvm_vgic__image_entry__get_packed_size(&message));
	forge_begin(&out, FORGE_VGIC);
	entry(&out, packed, kvm_vgic__image_entry__pack(&message, packed));
	forge_finish(forge, FORGE_VGIC, &out);
	assert_says(forge, "kvm-vgic-1.img: entry 2: does not decode as kvm_vgic.vgic_entry");
	free(packed);
	free(message.payload.data);
}

static void write_entry(struct forge *forge, const KvmVgic__ImageEntry *message)
{
	uint8_t bytes[256];
	struct frame_out out;

	forge_begin(&out, FORGE_VCPU_EVENTS);
	entry(&out, bytes, kvm_vgic__image_entry__pack(message, bytes));
	forge_finish(forge, FORGE_VCPU_EVENTS, &out);
}

static void a_header_or_a_seal_elsewhere_is_refused(void **state)
{
	KvmVgic__ImageHeader header = KVM_VGIC__IMAGE_HEADER__INIT;
	KvmVgic__ImageEntry message = KVM_VGIC__IMAGE_ENTRY__INIT;
	struct forge *forge = *state;

	header.dump_id = (ProtobufCBinaryData){ 16, (uint8_t *)fixture_dump.bytes };
	message.header = &header;
	write_entry(forge, &message);
	assert_says(forge, "kvm-vcpu-events-1.img: entry 2: a second header");
	message.header = NULL;
	message.has_seal = true;
	write_entry(forge, &message);
	assert_says(forge, "kvm-vcpu-events-1.img: entry 2: a second seal");
}

/* The first entry is what @message says. */
static void write_header(struct forge *forge, const KvmVgic__ImageEntry *message)
{
	uint8_t bytes[256];
	struct frame_out out;

	forge_begin(&out, FORGE_VGIC);
	out.len = 8;
	if (message)
		entry(&out, bytes, kvm_vgic__image_entry__pack(message, bytes));
	copy_changed(forge, FORGE_VGIC, &out, NULL);
	forge_finish(forge, FORGE_VGIC, &out);
}

static void a_file_without_its_header_is_refused(void **state)
{
	static const char says[] = "kvm-vgic-1.img: entry 1: not a header";
	KvmVgic__ImageHeader header = KVM_VGIC__IMAGE_HEADER__INIT;
	KvmVgic__ImageEntry message = KVM_VGIC__IMAGE_ENTRY__INIT;
	struct forge *forge = *state;
	struct frame_out out;

	write_header(forge, NULL);
	assert_says(forge, says);
	forge_reset(forge);
	write_header(forge, &message);
	assert_says(forge, says);
	forge_reset(forge);

	message.header = &header;
	message.has_payload = true;
	header.major = forge_kind(FORGE_VGIC)->major;
	write_header(forge, &message);
	assert_says(forge, says);
	forge_reset(forge);

	message.has_payload = false;
	message.has_seal = true;
	write_header(forge, &message);
	assert_says(forge, says);
	forge_reset(forge);

	message.has_seal = false;
	header.dump_id = (ProtobufCBinaryData){ 15, (uint8_t *)fixture_dump.bytes };
	write_header(forge, &message);
	assert_says(forge, "kvm-vgic-1.img: header: dump_id: 16 bytes expected, 15 found");

	/* Nothing but magics and seal. */
	forge_begin(&out, FORGE_VGIC);
	out.len = 8;
	forge_finish(forge, FORGE_VGIC, &out);
	assert_says(forge, "kvm-vgic-1.img: entry 1: 0 bytes left, no size");
}

static void a_file_of_another_kind_is_refused(void **state)
{
	struct forge *forge = *state;
	struct frame_out out;

	frame_begin(&out, forge_name(FORGE_VGIC), &frame_vcpu, &fixture_dump);
	forge_finish(forge, FORGE_VGIC, &out);
	assert_says(forge, "kvm-vgic-1.img: magics 0x54564319 0x52240016, 0x54564319 0x52030109 expected");
}

static void a_file_with_another_common_magic_is_refused(void **state)
{
	struct forge *forge = *state;
	struct frame_out out;

	forge_begin(&out, FORGE_VGIC);
	out.buf[0] ^= 1;
	forge_finish(forge, FORGE_VGIC, &out);
	assert_says(forge, "kvm-vgic-1.img: magics 0x54564318 0x52030109, 0x54564319 0x52030109 expected");
}

/* Payloads that no state can be packed into */

struct change {
	const char *name;
	enum forge_file file;
	void (*change)(ProtobufCMessage *msg, unsigned int i);
	const char *says;
};

/* Room for more in a repeated field, each as its last one. */
static void *repeat_last(void *list, size_t n, size_t to)
{
	ProtobufCMessage **messages = realloc(list, to * sizeof(*messages));
	uint8_t packed[512];
	size_t size = protobuf_c_message_pack(messages[n - 1], packed);

	for (size_t i = n; i < to; i++)
		messages[i] = protobuf_c_message_unpack(messages[n - 1]->descriptor, NULL, size, packed);
	return messages;
}

static void values_short(ProtobufCMessage *msg, unsigned int i)
{
	((KvmVgic__VcpuEntry *)msg)->reg_values.len--;
}

static void values_long(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__VcpuEntry *vcpu = (KvmVgic__VcpuEntry *)msg;

	vcpu->reg_values.data = realloc(vcpu->reg_values.data, vcpu->reg_values.len + 2);
	memset(vcpu->reg_values.data + vcpu->reg_values.len, 0, 2);
	vcpu->reg_values.len += 2;
}

static void reg_long(ProtobufCMessage *msg, unsigned int i)
{
	if (!i)
		((KvmVgic__VcpuEntry *)msg)->reg_ids[1] ^= 1ULL << KVM_REG_SIZE_SHIFT;
}

static void reg_ids_of_no_vcpu_before(ProtobufCMessage *msg, unsigned int i)
{
	((KvmVgic__VcpuEntry *)msg)->n_reg_ids = 0;
}

static void values_of_the_vcpu_before(ProtobufCMessage *msg, unsigned int i)
{
	if (i == 1)
		((KvmVgic__VcpuEntry *)msg)->reg_values.len = 0;
}

static void maps_many(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__VcpuEntry *vcpu = (KvmVgic__VcpuEntry *)msg;

	vcpu->maps = repeat_last(vcpu->maps, vcpu->n_maps, 17);
	vcpu->n_maps = 17;
}

static void debug_regs(ProtobufCMessage *msg, size_t n)
{
	KvmVgic__GuestDebugEntry *debug = ((KvmVgic__VcpuEntry *)msg)->debug;

	debug->regs = realloc(debug->regs, (n + 1) * sizeof(*debug->regs));
	memset(debug->regs, 0, n * sizeof(*debug->regs));
	debug->n_regs = n;
}

static void debug_regs_few(ProtobufCMessage *msg, unsigned int i)
{
	if (!i)
		debug_regs(msg, 63);
}

static void debug_regs_many(ProtobufCMessage *msg, unsigned int i)
{
	if (!i)
		debug_regs(msg, 65);
}

static void debug_regs_none(ProtobufCMessage *msg, unsigned int i)
{
	if (!i)
		debug_regs(msg, 0);
}

static void pmu_ranges_many(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__PmuFilterEntry *filter = ((KvmVgic__VmEntry *)msg)->pmu_filter;

	filter->allowed = repeat_last((void *)filter->allowed, filter->n_allowed, 32769);
	filter->n_allowed = 32769;
}

static void run_long(ProtobufCMessage *msg, unsigned int i)
{
	if (i == 1)
		((KvmVgic__VcpuEntry *)msg)->run_size = 4096;
}

static void pending_negative(ProtobufCMessage *msg, unsigned int i)
{
	((KvmVgic__VcpuEntry *)msg)->pending = -1;
}

static void events_idx(ProtobufCMessage *msg, unsigned int i)
{
	((KvmVgic__VcpuEventsEntry *)msg)->idx = 1 - i;
}

static void events_flag_wide(ProtobufCMessage *msg, unsigned int i)
{
	((KvmVgic__VcpuEventsEntry *)msg)->serror_pending = 256;
}

static void events_esr_flag_wide(ProtobufCMessage *msg, unsigned int i)
{
	((KvmVgic__VcpuEventsEntry *)msg)->serror_has_esr = 257;
}

static void events_dabt_flag_wide(ProtobufCMessage *msg, unsigned int i)
{
	((KvmVgic__VcpuEventsEntry *)msg)->ext_dabt_pending = 256;
}

static KvmVgic__VgicV3Entry *v3(ProtobufCMessage *msg)
{
	return ((KvmVgic__VgicEntry *)msg)->v3;
}

static void gic_kind(ProtobufCMessage *msg, unsigned int i)
{
	frame_free(&v3(msg)->base);
	((KvmVgic__VgicEntry *)msg)->v3 = NULL;
}

/* The place of a register, by name: the order of the tables is the restore's business. */
static size_t reg_at(KvmVgic__VgicRegValues **list, size_t n, const char *name)
{
	for (size_t r = 0; r < n; r++)
		if (!strcmp(list[r]->name, name))
			return r;
	abort();
}

static KvmVgic__VgicRegValues **cpuif_reg(ProtobufCMessage *msg, const char *name)
{
	return &v3(msg)->cpuif[reg_at(v3(msg)->cpuif, v3(msg)->n_cpuif, name)];
}

static void reg_unknown(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__VgicV3Entry *gic = v3(msg);
	KvmVgic__VgicRegValues *reg;

	gic->dist = repeat_last(gic->dist, gic->n_dist, gic->n_dist + 1);
	reg = gic->dist[gic->n_dist++];
	strcpy(reg->name, "GICD_XTLR");
	reg->offset = 0xff0;
}

static void reg_missing(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__VgicV3Entry *gic = v3(msg);
	size_t last = reg_at(gic->cpuif, gic->n_cpuif, "ICC_AP1R0_EL1");

	while (gic->n_cpuif > last)
		frame_free(&gic->cpuif[--gic->n_cpuif]->base);
}

static void reg_order(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__VgicRegValues **a = cpuif_reg(msg, "ICC_CTLR_EL1"), **b = cpuif_reg(msg, "ICC_PMR_EL1"),
			       *swap = *a;

	*a = *b;
	*b = swap;
}

static void reg_offset(ProtobufCMessage *msg, unsigned int i)
{
	(*cpuif_reg(msg, "ICC_CTLR_EL1"))->offset++;
}

static void reg_name(ProtobufCMessage *msg, unsigned int i)
{
	(*cpuif_reg(msg, "ICC_CTLR_EL1"))->name[0] = 'X';
}

static void reg_name_unprintable(ProtobufCMessage *msg, unsigned int i)
{
	(*cpuif_reg(msg, "ICC_CTLR_EL1"))->name[0] = '\033';
}

/* An optional register that vCPU 1 alone has. */
static void reg_of_all(ProtobufCMessage *msg, unsigned int i)
{
	(*cpuif_reg(msg, "ICC_AP1R1_EL1"))->n_vcpu_idx = 0;
}

/* It would be nobody's. */
static void reg_of_none(ProtobufCMessage *msg, unsigned int i)
{
	(*cpuif_reg(msg, "ICC_AP1R1_EL1"))->n_value = 0;
}

static void reg_of_another(ProtobufCMessage *msg, unsigned int i)
{
	(*cpuif_reg(msg, "ICC_AP1R1_EL1"))->vcpu_idx[0] = 2;
}

static void reg_twice(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__VgicRegValues *reg = *cpuif_reg(msg, "ICC_AP1R1_EL1");

	reg->n_value = reg->n_vcpu_idx = 2;
	reg->value = realloc(reg->value, 2 * sizeof(*reg->value));
	reg->vcpu_idx = realloc(reg->vcpu_idx, 2 * sizeof(*reg->vcpu_idx));
	reg->value[1] = reg->value[0];
	reg->vcpu_idx[1] = reg->vcpu_idx[0];
}

static void dist_reg_twice(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__VgicRegValues *reg = v3(msg)->dist[0];

	reg->n_vcpu_idx = 2;
	reg->vcpu_idx = calloc(2, sizeof(*reg->vcpu_idx));
}

static void active_many(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__VgicV3Entry *gic = v3(msg);

	gic->active = repeat_last(gic->active, gic->n_active, 1025);
	gic->n_active = 1025;
}

static void unrouted_many(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__VgicV3Entry *gic = v3(msg);

	gic->n_unrouted = 32;
	gic->unrouted = realloc(gic->unrouted, 32 * sizeof(*gic->unrouted));
	memset(gic->unrouted, 0, 32 * sizeof(*gic->unrouted));
}

/* An INTID that this GIC has not. */
static void unrouted_beyond(ProtobufCMessage *msg, unsigned int i)
{
	unrouted_many(msg, i);
	v3(msg)->n_unrouted = 31;
	v3(msg)->unrouted[30] = 1u << 31;
}

static void vgic_vcpus_many(ProtobufCMessage *msg, unsigned int i)
{
	v3(msg)->nr_cpus = 513;
}

static void backings_many(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__VmEntry *vm = (KvmVgic__VmEntry *)msg;

	vm->backings = repeat_last(vm->backings, vm->n_backings, 4097);
	vm->n_backings = 4097;
}

/* Of 32768 pages: 4096 bytes. */
static void log_bits(ProtobufCMessage *msg, size_t len, bool alone)
{
	KvmVgic__MemslotEntry *slot = ((KvmVgic__VmEntry *)msg)->slots[0];

	if (alone) {
		free(slot->dirty);
		slot->dirty = NULL;
		slot->n_dirty = 0;
	}
	slot->has_dirty_bits = true;
	slot->dirty_bits.data = calloc(1, len);
	slot->dirty_bits.len = len;
}

static void log_bits_short(ProtobufCMessage *msg, unsigned int i)
{
	log_bits(msg, 4088, true);
}

static void log_bits_odd(ProtobufCMessage *msg, unsigned int i)
{
	log_bits(msg, 4097, true);
}

static void log_bits_and_runs(ProtobufCMessage *msg, unsigned int i)
{
	log_bits(msg, 4096, false);
}

static void log_bits_without_page_size(ProtobufCMessage *msg, unsigned int i)
{
	((KvmVgic__VmEntry *)msg)->page_size = 0;
	log_bits(msg, 4096, true);
}

static void seal_of_vcpus(ProtobufCMessage *msg, unsigned int i)
{
	((KvmVgic__VmEntry *)msg)->vcpu_seal ^= 1;
}

static void seal_of_events(ProtobufCMessage *msg, unsigned int i)
{
	((KvmVgic__VmEntry *)msg)->vcpu_events_seal ^= 1;
}

static void seal_of_threads(ProtobufCMessage *msg, unsigned int i)
{
	((KvmVgic__VmEntry *)msg)->thread_seal ^= 1;
}

static void thread_sets_many(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__ThreadEntry *thread = (KvmVgic__ThreadEntry *)msg;

	if (i)
		return;
	thread->sets = repeat_last(thread->sets, thread->n_sets, 17);
	thread->n_sets = 17;
}

static void thread_set_long(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__ThreadEntry *thread = (KvmVgic__ThreadEntry *)msg;

	if (i)
		return;
	free(thread->sets[0]->data.data);
	thread->sets[0]->data.len = THREAD_SET_MAX + 1;
	thread->sets[0]->data.data = calloc(1, THREAD_SET_MAX + 1);
}

static void seal_of_vgic(ProtobufCMessage *msg, unsigned int i)
{
	((KvmVgic__VmEntry *)msg)->vgic_seal ^= 1;
}

static void seal_of_itses(ProtobufCMessage *msg, unsigned int i)
{
	((KvmVgic__VmEntry *)msg)->its_seal ^= 1;
}

/* Entries of the file: three ITSes, of which the first two have three devices each, the configuration of LPIs, pending tables. */
enum { AN_ITS = 0, THE_CONFIG = 3, A_PENDING = 4 };

static void its_nothing(ProtobufCMessage *msg, unsigned int i)
{
	if (i == AN_ITS) {
		frame_free(&((KvmVgic__ItsEntry *)msg)->its->base);
		((KvmVgic__ItsEntry *)msg)->its = NULL;
	}
}

/* Both an ITS and LPIs, of which nothing is there. */
static void its_two_things(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__LpiTableEntry *lpi;

	if (i != AN_ITS)
		return;
	lpi = malloc(sizeof(*lpi));
	kvm_vgic__lpi_table_entry__init(lpi);
	((KvmVgic__ItsEntry *)msg)->lpi_config = lpi;
}

static KvmVgic__ItsDeviceEntry *its_of(ProtobufCMessage *msg, unsigned int i)
{
	return i == AN_ITS ? ((KvmVgic__ItsEntry *)msg)->its : NULL;
}

static KvmVgic__LpiTableEntry *lpi_of(ProtobufCMessage *msg, unsigned int i)
{
	if (i == THE_CONFIG)
		return ((KvmVgic__ItsEntry *)msg)->lpi_config;
	return i == A_PENDING ? ((KvmVgic__ItsEntry *)msg)->lpi_pending : NULL;
}

static void ctes_many(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__ItsDeviceEntry *its = its_of(msg, i);

	if (!its)
		return;
	free(its->cte);
	its->n_cte = ITS_MAX_IDS + 2;
	its->cte = calloc(its->n_cte, sizeof(*its->cte));
}

static void l1es_many(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__ItsDeviceEntry *its = ((KvmVgic__ItsEntry *)msg)->its;

	if (!its || !its->n_l1e)
		return;
	free(its->l1e);
	its->n_l1e = ITS_MAX_L1ES + 1;
	its->l1e = calloc(its->n_l1e, sizeof(*its->l1e));
}

static void l1es_uneven(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__ItsDeviceEntry *its = ((KvmVgic__ItsEntry *)msg)->its;

	if (its && its->n_l1e)
		its->n_l1_index--;
}

static void its_reg_missing(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__ItsDeviceEntry *its = its_of(msg, i);

	if (its)
		frame_free(&its->regs[--its->n_regs]->base);
}

static void its_reg_unknown(ProtobufCMessage *msg, unsigned int i)
{
	if (its_of(msg, i))
		its_of(msg, i)->regs[1]->offset++;
}

static void dtes_many(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__ItsDeviceEntry *its = its_of(msg, i);

	if (!its)
		return;
	free(its->dte);
	its->n_dte = ITS_MAX_IDS + 2;
	its->dte = calloc(its->n_dte, sizeof(*its->dte));
}

static void dtes_uneven(ProtobufCMessage *msg, unsigned int i)
{
	if (its_of(msg, i))
		its_of(msg, i)->n_device_id--;
}

static void dtes_without_numbers(ProtobufCMessage *msg, unsigned int i)
{
	if (its_of(msg, i))
		its_of(msg, i)->n_nr_ites = 0;
}

static void ites_uneven(ProtobufCMessage *msg, unsigned int i)
{
	if (its_of(msg, i))
		its_of(msg, i)->n_event_id--;
}

static void ites_more(ProtobufCMessage *msg, unsigned int i)
{
	if (its_of(msg, i))
		its_of(msg, i)->nr_ites[1] = UINT32_MAX;
}

static void ites_fewer(ProtobufCMessage *msg, unsigned int i)
{
	if (its_of(msg, i))
		its_of(msg, i)->nr_ites[0]--;
}

/* The last run of the table, which then ends at @end. */
static void lengthen(KvmVgic__LpiTableEntry *table, uint32_t end)
{
	KvmVgic__ByteRun *run;

	if (!table->n_runs) {
		table->runs = malloc(sizeof(*table->runs));
		table->runs[table->n_runs++] = malloc(sizeof(*run));
		kvm_vgic__byte_run__init(table->runs[0]);
	}
	run = table->runs[table->n_runs - 1];
	free(run->data.data);
	run->data.len = end - run->first;
	run->data.data = calloc(1, run->data.len);
}

static void config_long(ProtobufCMessage *msg, unsigned int i)
{
	if (i == THE_CONFIG)
		lengthen(lpi_of(msg, i), LPI_NR + 1);
}

static void pending_long(ProtobufCMessage *msg, unsigned int i)
{
	if (i == A_PENDING)
		lengthen(lpi_of(msg, i), LPI_NR / 8 + 1);
}

static void run_far(ProtobufCMessage *msg, unsigned int i)
{
	if (i == THE_CONFIG)
		lpi_of(msg, i)->runs[0]->first = UINT32_MAX;
}

static void runs_disordered(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__LpiTableEntry *table = lpi_of(msg, i);

	if (i != THE_CONFIG)
		return;
	table->runs = repeat_last(table->runs, table->n_runs, table->n_runs + 1);
	table->n_runs++;
}

static void config_twice(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__ItsEntry *entry = (KvmVgic__ItsEntry *)msg;

	if (i != A_PENDING)
		return;
	entry->lpi_config = entry->lpi_pending;
	entry->lpi_pending = NULL;
}

static void pending_first(ProtobufCMessage *msg, unsigned int i)
{
	KvmVgic__ItsEntry *entry = (KvmVgic__ItsEntry *)msg;

	if (i != THE_CONFIG)
		return;
	entry->lpi_pending = entry->lpi_config;
	entry->lpi_config = NULL;
}

static KvmVgic__VgicV5Entry *v5(ProtobufCMessage *msg)
{
	return ((KvmVgic__VgicEntry *)msg)->v5;
}

static void v5_form(ProtobufCMessage *msg, unsigned int i)
{
	v5(msg)->form = 7;
}

static void v5_ppis_few(ProtobufCMessage *msg, unsigned int i)
{
	v5(msg)->n_userspace_ppis = 1;
}

static void v5_column_short(ProtobufCMessage *msg, unsigned int i)
{
	v5(msg)->spi->n_priority--;
}

static void v5_column_long(ProtobufCMessage *msg, unsigned int i)
{
	v5(msg)->lpi->n_count--;
}

static void v5_field_wide(ProtobufCMessage *msg, unsigned int i)
{
	v5(msg)->lpi->priority[3] = 32;
}

static void v5_flag_wide(ProtobufCMessage *msg, unsigned int i)
{
	v5(msg)->spi->pending[0] = 2;
}

static void v5_spis_many(ProtobufCMessage *msg, unsigned int i)
{
	v5(msg)->spi->count[0] = 1025;
}

static void v5_lpis_many(ProtobufCMessage *msg, unsigned int i)
{
	v5(msg)->lpi->count[0] = UINT32_MAX;
}

static void v5_run_empty(ProtobufCMessage *msg, unsigned int i)
{
	v5(msg)->spi->count[1] = 0;
}

static void v5_reg_unknown(ProtobufCMessage *msg, unsigned int i)
{
	v5(msg)->irs[0]->offset++;
}

static void v5_reg_missing(ProtobufCMessage *msg, unsigned int i)
{
	frame_free(&v5(msg)->id[--v5(msg)->n_id]->base);
}

static void v5_vcpus_many(ProtobufCMessage *msg, unsigned int i)
{
	v5(msg)->nr_cpus = 513;
}

static void v5_words_many(ProtobufCMessage *msg, unsigned int i)
{
	free(v5(msg)->spi_cfgr);
	v5(msg)->n_spi_cfgr = 1025;
	v5(msg)->spi_cfgr = calloc(1025, sizeof(*v5(msg)->spi_cfgr));
}

/* Of a VM with a GICv5: 2 vCPUs, 64 SPIs, 256 LPIs. */
static const struct change v5_changes[] = {
	{ "v5_form", FORGE_VGIC, v5_form, "kvm-vgic-1.img: form 7 is not known" },
	{ "v5_ppis_few", FORGE_VGIC, v5_ppis_few, "kvm-vgic-1.img: userspace_ppis: 1 values, 2 expected" },
	{ "v5_column_short", FORGE_VGIC, v5_column_short, "kvm-vgic-1.img: SPI IST: 33 runs, priority of 32" },
	{ "v5_column_long", FORGE_VGIC, v5_column_long, "kvm-vgic-1.img: LPI IST: 128 runs, pending of 129" },
	{ "v5_field_wide", FORGE_VGIC, v5_field_wide,
	  "kvm-vgic-1.img: LPI IST: run 3: priority 32 is wider than 5 bits" },
	{ "v5_flag_wide", FORGE_VGIC, v5_flag_wide,
	  "kvm-vgic-1.img: SPI IST: run 0: pending 2 is wider than 1 bits" },
	{ "v5_spis_many", FORGE_VGIC, v5_spis_many,
	  "kvm-vgic-1.img: SPI IST: more interrupts than there can be" },
	{ "v5_lpis_many", FORGE_VGIC, v5_lpis_many,
	  "kvm-vgic-1.img: LPI IST: more interrupts than there can be" },
	{ "v5_run_empty", FORGE_VGIC, v5_run_empty, "kvm-vgic-1.img: SPI IST: run 1 is empty" },
	{ "v5_reg_unknown", FORGE_VGIC, v5_reg_unknown,
	  "kvm-vgic-1.img: IRS: IRS_CR1 (0x84) expected, IRS_CR1 (0x85) found" },
	{ "v5_reg_missing", FORGE_VGIC, v5_reg_missing,
	  "kvm-vgic-1.img: IRS: IRS_IST_BASER (0x180) expected, nothing found" },
	{ "v5_vcpus_many", FORGE_VGIC, v5_vcpus_many, "kvm-vgic-1.img: 513 vCPUs, at most 512 expected" },
	{ "v5_words_many", FORGE_VGIC, v5_words_many,
	  "kvm-vgic-1.img: IRS_SPI_CFGR: 1025 values, at most 1024 expected" },
};
#define NR_V5_CHANGES (sizeof(v5_changes) / sizeof(v5_changes[0]))

static KvmVgic__VgicV2Entry *v2(ProtobufCMessage *msg)
{
	return ((KvmVgic__VgicEntry *)msg)->v2;
}

static void v2_levels_few(ProtobufCMessage *msg, unsigned int i)
{
	v2(msg)->n_level--;
}

static void v2_levels_many(ProtobufCMessage *msg, unsigned int i)
{
	v2(msg)->nr_irqs = 1056;
	free(v2(msg)->level);
	v2(msg)->n_level = 32;
	v2(msg)->level = calloc(32, sizeof(*v2(msg)->level));
}

static void v2_irqs_none(ProtobufCMessage *msg, unsigned int i)
{
	v2(msg)->nr_irqs = 0;
	v2(msg)->n_level = 0;
}

static void v2_vcpus_many(ProtobufCMessage *msg, unsigned int i)
{
	free(v2(msg)->private_level);
	v2(msg)->n_private_level = 9;
	v2(msg)->private_level = calloc(9, sizeof(*v2(msg)->private_level));
}

static void v2_reg_missing(ProtobufCMessage *msg, unsigned int i)
{
	frame_free(&v2(msg)->banked[--v2(msg)->n_banked]->base);
}

/* Of a VM with a GICv2: 2 vCPUs, 96 interrupts. */
static const struct change v2_changes[] = {
	{ "v2_levels_few", FORGE_VGIC, v2_levels_few, "kvm-vgic-1.img: 1 words of line levels, and 96 interrupts" },
	{ "v2_levels_many", FORGE_VGIC, v2_levels_many, "kvm-vgic-1.img: 32 words of line levels, and 1056 interrupts" },
	{ "v2_irqs_none", FORGE_VGIC, v2_irqs_none, "kvm-vgic-1.img: 0 words of line levels, and 0 interrupts" },
	{ "v2_vcpus_many", FORGE_VGIC, v2_vcpus_many, "kvm-vgic-1.img: 9 vCPUs, at most 8 expected" },
	{ "v2_reg_missing", FORGE_VGIC, v2_reg_missing,
	  "kvm-vgic-1.img: vCPUs: GICD_IPRIORITYR0 (0x400) expected, nothing found" },
};
#define NR_V2_CHANGES (sizeof(v2_changes) / sizeof(v2_changes[0]))

static const struct change changes[] = {
	{ "seal_of_itses", FORGE_VM, seal_of_itses,
	  "kvm-its-1.img: not the one that was dumped: kvm-vm.img has another seal for it" },
	{ "its_nothing", FORGE_ITS, its_nothing, "kvm-its-1.img: entry 2: an ITS or a table of LPIs expected" },
	{ "its_two_things", FORGE_ITS, its_two_things, "kvm-its-1.img: entry 2: an ITS or a table of LPIs expected" },
	{ "ctes_many", FORGE_ITS, ctes_many,
	  "kvm-its-1.img: entry 2: number of collections 65538, at most 65537 expected" },
	{ "l1es_many", FORGE_ITS, l1es_many,
	  "kvm-its-1.img: entry 3: number of level 1 entries 1025, at most 1024 expected" },
	{ "l1es_uneven", FORGE_ITS, l1es_uneven, "kvm-its-1.img: entry 3: 1 level 1 indices, but 2 entries" },
	{ "its_reg_missing", FORGE_ITS, its_reg_missing,
	  "kvm-its-1.img: ITS: GITS_CTLR (0x0) expected, nothing found" },
	{ "its_reg_unknown", FORGE_ITS, its_reg_unknown,
	  "kvm-its-1.img: ITS: GITS_CBASER (0x80) expected, GITS_CBASER (0x81) found" },
	{ "dtes_many", FORGE_ITS, dtes_many, "kvm-its-1.img: entry 2: number of devices 65538, at most 65537 expected" },
	{ "dtes_uneven", FORGE_ITS, dtes_uneven, "kvm-its-1.img: entry 2: 2 DeviceIDs, but 3 entries" },
	{ "dtes_without_numbers", FORGE_ITS, dtes_without_numbers,
	  "kvm-its-1.img: entry 2: 0 numbers of interrupts, but 3 entries" },
	{ "ites_uneven", FORGE_ITS, ites_uneven, "kvm-its-1.img: entry 2: 5 EventIDs, but 6 entries" },
	{ "ites_more", FORGE_ITS, ites_more, "kvm-its-1.img: entry 2: devices of 4294967301 interrupts, but 6 entries" },
	{ "ites_fewer", FORGE_ITS, ites_fewer, "kvm-its-1.img: entry 2: devices of 5 interrupts, but 6 entries" },
	{ "config_long", FORGE_ITS, config_long,
	  "kvm-its-1.img: entry 5: bytes 0 to 57345 of a table: not in order, or more than 57344" },
	{ "pending_long", FORGE_ITS, pending_long,
	  "kvm-its-1.img: entry 6: bytes 0 to 7169 of a table: not in order, or more than 7168" },
	{ "run_far", FORGE_ITS, run_far,
	  "kvm-its-1.img: entry 5: bytes 4294967295 to 4294967335 of a table: not in order, or more than 57344" },
	{ "runs_disordered", FORGE_ITS, runs_disordered,
	  "kvm-its-1.img: entry 5: bytes 0 to 40 of a table: not in order, or more than 57344" },
	{ "config_twice", FORGE_ITS, config_twice, "kvm-its-1.img: entry 6: LPI configuration: twice" },
	{ "pending_first", FORGE_ITS, pending_first,
	  "kvm-its-1.img: entry 5: an LPI pending table before the configuration" },
	{ "values_short", FORGE_VCPU, values_short,
	  "kvm-vcpu-1.img: vCPU 0: register 0x6080000000150020: size 256, reg_values has 255 bytes left" },
	{ "values_long", FORGE_VCPU, values_long,
	  "kvm-vcpu-1.img: vCPU 0: reg_values: 2 bytes after the last register" },
	{ "reg_long", FORGE_VCPU, reg_long,
	  "kvm-vcpu-1.img: vCPU 0: reg_values: 4 bytes after the last register" },
	{ "reg_ids_of_no_vcpu_before", FORGE_VCPU, reg_ids_of_no_vcpu_before,
	  "kvm-vcpu-1.img: vCPU 0: reg_values: 373 bytes after the last register" },
	{ "values_of_the_vcpu_before", FORGE_VCPU, values_of_the_vcpu_before,
	  "kvm-vcpu-1.img: vCPU 1: register 0x603000000013c005: size 8, reg_values has 0 bytes left" },
	{ "maps_many", FORGE_VCPU, maps_many, "kvm-vcpu-1.img: vCPU 0: 17 mappings, at most 16 expected" },
	{ "debug_regs_few", FORGE_VCPU, debug_regs_few,
	  "kvm-vcpu-1.img: vCPU 0: debug: 63 registers, 64 expected" },
	{ "debug_regs_many", FORGE_VCPU, debug_regs_many,
	  "kvm-vcpu-1.img: vCPU 0: debug: 65 registers, 64 expected" },
	{ "debug_regs_none", FORGE_VCPU, debug_regs_none,
	  "kvm-vcpu-1.img: vCPU 0: debug: 0 registers, 64 expected" },
	{ "pmu_ranges_many", FORGE_VM, pmu_ranges_many,
	  "kvm-vm.img: VM 1: 32769 ranges of PMU events, at most 32768 expected" },
	{ "run_long", FORGE_VCPU, run_long,
	  "kvm-vcpu-1.img: entry 3: bytes 8191 to 8192 of run: not in order, or more than 4096" },
	{ "pending_negative", FORGE_VCPU, pending_negative,
	  "kvm-vcpu-1.img: vCPU 0: pending -1 is not known" },
	{ "events_idx", FORGE_VCPU_EVENTS, events_idx,
	  "kvm-vcpu-events-1.img: entry 2: idx 0 expected, 1 found" },
	{ "events_flag_wide", FORGE_VCPU_EVENTS, events_flag_wide,
	  "kvm-vcpu-events-1.img: vCPU 0: a flag is larger than a byte" },
	{ "events_esr_flag_wide", FORGE_VCPU_EVENTS, events_esr_flag_wide,
	  "kvm-vcpu-events-1.img: vCPU 0: a flag is larger than a byte" },
	{ "events_dabt_flag_wide", FORGE_VCPU_EVENTS, events_dabt_flag_wide,
	  "kvm-vcpu-events-1.img: vCPU 0: a flag is larger than a byte" },
	{ "gic_kind", FORGE_VGIC, gic_kind, "kvm-vgic-1.img: entry 2: a GIC of a kind not known here" },
	{ "reg_unknown", FORGE_VGIC, reg_unknown,
	  "kvm-vgic-1.img: distributor: GICD_XTLR (0xff0) is not a register known here, or out of order" },
	{ "reg_missing", FORGE_VGIC, reg_missing,
	  "kvm-vgic-1.img: vCPUs: ICC_AP1R0_EL1 (0xc648) expected, nothing found" },
	{ "reg_order", FORGE_VGIC, reg_order,
	  "kvm-vgic-1.img: vCPUs: ICC_CTLR_EL1 (0xc664) expected, ICC_PMR_EL1 (0xc230) found" },
	{ "reg_offset", FORGE_VGIC, reg_offset,
	  "kvm-vgic-1.img: vCPUs: ICC_CTLR_EL1 (0xc664) expected, ICC_CTLR_EL1 (0xc665) found" },
	{ "reg_name", FORGE_VGIC, reg_name,
	  "kvm-vgic-1.img: vCPUs: ICC_CTLR_EL1 (0xc664) expected, XCC_CTLR_EL1 (0xc664) found" },
	{ "reg_name_unprintable", FORGE_VGIC, reg_name_unprintable,
	  "kvm-vgic-1.img: vCPUs: ICC_CTLR_EL1 (0xc664) expected, another name (0xc664) found" },
	{ "reg_of_all", FORGE_VGIC, reg_of_all, "kvm-vgic-1.img: vCPUs: ICC_AP1R1_EL1: 1 values, 2 expected" },
	{ "reg_of_none", FORGE_VGIC, reg_of_none, "kvm-vgic-1.img: vCPUs: ICC_AP1R1_EL1: 0 values, 1 expected" },
	{ "reg_of_another", FORGE_VGIC, reg_of_another,
	  "kvm-vgic-1.img: vCPUs: ICC_AP1R1_EL1: vcpu_idx 2, twice or not below 2" },
	{ "reg_twice", FORGE_VGIC, reg_twice,
	  "kvm-vgic-1.img: vCPUs: ICC_AP1R1_EL1: vcpu_idx 1, twice or not below 2" },
	{ "dist_reg_twice", FORGE_VGIC, dist_reg_twice,
	  "kvm-vgic-1.img: distributor: GICD_TYPER: 1 values, 2 expected" },
	{ "active_many", FORGE_VGIC, active_many, "kvm-vgic-1.img: 1025 active SPIs, at most 1024 expected" },
	{ "unrouted_many", FORGE_VGIC, unrouted_many,
	  "kvm-vgic-1.img: 32 words of unrouted SPIs, at most 31 expected" },
	{ "unrouted_beyond", FORGE_VGIC, unrouted_beyond,
	  "kvm-vgic-1.img: unrouted: intid 1023, 32 to 95 expected" },
	{ "vgic_vcpus_many", FORGE_VGIC, vgic_vcpus_many, "kvm-vgic-1.img: 513 vCPUs, at most 512 expected" },
	{ "log_bits_short", FORGE_VM, log_bits_short,
	  "kvm-vm.img: VM 1: memslot 1: 4088 bytes of a dirty log, beside 0 runs, for 32768 pages" },
	{ "log_bits_odd", FORGE_VM, log_bits_odd,
	  "kvm-vm.img: VM 1: memslot 1: 4097 bytes of a dirty log, beside 0 runs, for 32768 pages" },
	{ "log_bits_and_runs", FORGE_VM, log_bits_and_runs,
	  "kvm-vm.img: VM 1: memslot 1: 4096 bytes of a dirty log, beside 4 runs, for 32768 pages" },
	{ "log_bits_without_page_size", FORGE_VM, log_bits_without_page_size,
	  "kvm-vm.img: VM 1: memslot 1: 4096 bytes of a dirty log, beside 0 runs, for 0 pages" },
	{ "backings_many", FORGE_VM, backings_many,
	  "kvm-vm.img: VM 1: 4097 backings, at most 4096 expected" },
	{ "seal_of_vcpus", FORGE_VM, seal_of_vcpus,
	  "kvm-vcpu-1.img: not the one that was dumped: kvm-vm.img has another seal for it" },
	{ "seal_of_events", FORGE_VM, seal_of_events,
	  "kvm-vcpu-events-1.img: not the one that was dumped: kvm-vm.img has another seal for it" },
	{ "seal_of_vgic", FORGE_VM, seal_of_vgic,
	  "kvm-vgic-1.img: not the one that was dumped: kvm-vm.img has another seal for it" },
	{ "seal_of_threads", FORGE_VM, seal_of_threads,
	  "kvm-thread-1.img: not the one that was dumped: kvm-vm.img has another seal for it" },
	{ "thread_sets_many", FORGE_THREAD, thread_sets_many,
	  "kvm-thread-1.img: thread 101: 17 register sets, at most 16 expected" },
	{ "thread_set_long", FORGE_THREAD, thread_set_long,
	  "kvm-thread-1.img: thread 101: register set 0x401: 65553 bytes, at most 65552 expected" },
};

#define NR_CHANGES (sizeof(changes) / sizeof(changes[0]))

static struct vm_state *vm_of(const struct change *change)
{
	if (change >= v5_changes && change < v5_changes + NR_V5_CHANGES)
		return fixture_vm_v5(2, 64, 8);
	if (change >= v2_changes && change < v2_changes + NR_V2_CHANGES)
		return fixture_vm_v2(2, 96);
	return fixture_vm(2, 96);
}

/* The @i-th of all. */
static const struct change *change_at(size_t i)
{
	if (i < NR_CHANGES)
		return &changes[i];
	i -= NR_CHANGES;
	return i < NR_V5_CHANGES ? &v5_changes[i] : &v2_changes[i - NR_V5_CHANGES];
}

static void refuse_change(void **state)
{
	const struct change *change = *state;
	struct frame_out out;
	struct forge forge;

	forge_init_of(&forge, vm_of(change));
	forge_begin(&out, change->file);
	copy_changed(&forge, change->file, &out, change->change);
	forge_finish(&forge, change->file, &out);
	assert_says(&forge, change->says);
	forge_fini(&forge);
}

/* Too many, too few */

static void a_file_without_entries_is_refused(void **state)
{
	static const char *const says[] = {
		[FORGE_VM] = "kvm-vm.img: no VM in it",
		[FORGE_VCPU] = "kvm-vcpu-events-1.img: 2 vCPUs, kvm-vcpu-1.img has 0",
		[FORGE_VCPU_EVENTS] = "kvm-vcpu-events-1.img: 0 vCPUs, kvm-vcpu-1.img has 2",
		[FORGE_VGIC] = "kvm-vgic-1.img: no GIC in it",
		[FORGE_ITS] = "kvm-vm.img: VM 1: file 0x10006: index 0, less than 0 expected",
		[FORGE_THREAD] = "kvm-thread-1.img: no threads, 1 to 32768 expected",
	};
	struct forge *forge = *state;

	for (int file = 0; file < FORGE_NR_FILES; file++) {
		write_entries(forge, file, NULL, 0);
		assert_says(forge, says[file]);
		forge_reset(forge);
	}
}

static void everything_twice_is_refused(void **state)
{
	static const char *const says[] = {
		[FORGE_VM] = "kvm-vm.img: VM 1: twice",
		[FORGE_VCPU] = "kvm-vcpu-events-1.img: 2 vCPUs, kvm-vcpu-1.img has 4",
		[FORGE_VCPU_EVENTS] = "kvm-vcpu-events-1.img: 4 vCPUs, kvm-vcpu-1.img has 2",
		[FORGE_VGIC] = "kvm-vgic-1.img: more than one GIC",
		[FORGE_ITS] = "kvm-its-1.img: entry 11: LPI configuration: twice",
		[FORGE_THREAD] = "kvm-thread-1.img: thread 101: twice",
	};
	struct forge *forge = *state;
	struct frame_out out;

	for (int file = 0; file < FORGE_NR_FILES; file++) {
		forge_begin(&out, file);
		copy_changed(forge, file, &out, NULL);
		copy_changed(forge, file, &out, NULL);
		forge_finish(forge, file, &out);
		assert_says(forge, says[file]);
		forge_reset(forge);
	}
}

static void more_vcpus_than_kvm_has_are_refused(void **state)
{
	struct forge forge;

	forge_init(&forge, VM_MAX_VCPUS + 1, 64);
	assert_says(&forge, "kvm-vcpu-1.img: more than 512 vCPUs");
	forge_fini(&forge);
}

static void more_itses_than_the_format_has_are_refused(void **state)
{
	KvmVgic__ItsDeviceEntry its = KVM_VGIC__ITS_DEVICE_ENTRY__INIT;
	KvmVgic__ItsEntry message = KVM_VGIC__ITS_ENTRY__INIT;
	struct forge *forge = *state;
	struct frame_out out;

	message.its = &its;
	forge_begin(&out, FORGE_ITS);
	for (int i = 0; i <= VM_MAX_ITSES; i++)
		frame_add(&out, &message.base);
	forge_finish(forge, FORGE_ITS, &out);
	assert_says(forge, "kvm-its-1.img: entry 34: number of ITSes 33, at most 32 expected");
}

static void more_vms_than_the_format_has_are_refused(void **state)
{
	struct forge *forge = *state;
	struct frame_out out;

	forge_begin(&out, FORGE_VM);
	for (int i = 0; i <= IMAGE_MAX_VMS; i++)
		copy_changed(forge, FORGE_VM, &out, NULL);
	forge_finish(forge, FORGE_VM, &out);
	assert_says(forge, "kvm-vm.img: more than 64 VMs");
}

static void a_dump_too_large_to_be_read_is_not_written(void **state)
{
	struct forge *forge = *state;
	struct frame_out out;
	uint8_t *zeros = calloc(1, FRAME_FILE_MAX);

	log_reset();
	forge_begin(&out, FORGE_VGIC);
	forge_bytes(&out, zeros, FRAME_FILE_MAX);
	assert_int_equal(frame_finish(&out, forge->dir, NULL), -EFBIG);
	assert_string_equal(log_error(), "kvm-vgic-1.img: would be larger than 67108864 bytes");
	assert_int_equal(log_errors(), 1);
	free(zeros);
	assert_accepted(forge);
}

static void an_entry_too_large_to_be_read_is_not_written(void **state)
{
	KvmVgic__VcpuEntry vcpu = KVM_VGIC__VCPU_ENTRY__INIT;
	struct forge *forge = *state;
	struct frame_out out;

	log_reset();
	vcpu.reg_values.len = FRAME_ENTRY_MAX;
	vcpu.reg_values.data = calloc(1, vcpu.reg_values.len);
	forge_begin(&out, FORGE_VCPU);
	frame_add(&out, &vcpu.base);
	frame_add(&out, &vcpu.base);
	assert_int_equal(frame_finish(&out, forge->dir, NULL), -EFBIG);
	assert_string_equal(log_error(), "kvm-vcpu-1.img: an entry would be larger than 50331648 bytes");
	assert_int_equal(log_errors(), 1);
	free(vcpu.reg_values.data);
	assert_accepted(forge);
}

/* What a reader that knows the kind of a file decodes, crit or protoc: the same bytes. */
static void entries_decode_as_messages_of_their_kind(void **state)
{
	static const ProtobufCMessageDescriptor *const kinds[] = {
		[FORGE_VM] = &kvm_vgic__vm_image__descriptor,
		[FORGE_VCPU] = &kvm_vgic__vcpu_image__descriptor,
		[FORGE_VCPU_EVENTS] = &kvm_vgic__vcpu_events_image__descriptor,
		[FORGE_VGIC] = &kvm_vgic__vgic_image__descriptor,
		[FORGE_ITS] = &kvm_vgic__its_image__descriptor,
		[FORGE_THREAD] = &kvm_vgic__thread_image__descriptor,
	};
	static const size_t nr_entries[] = {
		[FORGE_VM] = 1, [FORGE_VCPU] = 2, [FORGE_VCPU_EVENTS] = 2, [FORGE_VGIC] = 1,
		[FORGE_ITS] = FIXTURE_ITSES + 3, [FORGE_THREAD] = 3,
	};
	struct forge *forge = *state;

	for (int file = 0; file < FORGE_NR_FILES; file++) {
		size_t entries = 0;
		struct frame_in in;

		assert_int_equal(frame_open(&in, forge->dir, forge_name(file), forge_kind(file)), 0);
		for (size_t at = 8, size; at < in.end + FRAME_SEAL_SIZE; at += 4 + size, entries++) {
			ProtobufCMessage *msg;

			size = in.buf[at] | in.buf[at + 1] << 8;
			msg = protobuf_c_message_unpack(kinds[file], NULL, size, in.buf + at + 4);
			assert_non_null(msg);
			assert_int_equal(msg->n_unknown_fields, 0);
			frame_free(msg);
		}
		assert_int_equal(entries, 2 + nr_entries[file]);
		frame_close(&in);
	}
}

#define FORGED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		FORGED(a_newer_major_version_is_refused_by_name),
		FORGED(an_older_major_version_is_refused_by_name),
		FORGED(version_0_is_refused),
		FORGED(a_newer_minor_version_is_accepted),
		FORGED(a_newer_minor_version_may_have_other_entries),
		FORGED(a_newer_minor_version_may_have_other_fields),
		FORGED(an_entry_that_does_not_fit_is_refused),
		FORGED(an_entry_that_does_not_decode_is_refused),
		FORGED(an_entry_that_would_fill_memory_is_refused),
		FORGED(a_header_or_a_seal_elsewhere_is_refused),
		FORGED(a_file_without_its_header_is_refused),
		FORGED(a_file_of_another_kind_is_refused),
		FORGED(a_file_with_another_common_magic_is_refused),
		FORGED(a_file_without_entries_is_refused),
		FORGED(everything_twice_is_refused),
		cmocka_unit_test(more_vcpus_than_kvm_has_are_refused),
		FORGED(more_itses_than_the_format_has_are_refused),
		FORGED(more_vms_than_the_format_has_are_refused),
		FORGED(a_dump_too_large_to_be_read_is_not_written),
		FORGED(an_entry_too_large_to_be_read_is_not_written),
		FORGED(entries_decode_as_messages_of_their_kind),
	};
	struct CMUnitTest refused[NR_CHANGES + NR_V5_CHANGES + NR_V2_CHANGES];

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		const struct change *change = change_at(i);

		refused[i] = (struct CMUnitTest){
			.name = change->name, .test_func = refuse_change, .initial_state = (void *)change
		};
	}
	return cmocka_run_group_tests_name("forged files", tests, NULL, NULL) |
	       cmocka_run_group_tests_name("forged payloads", refused, NULL, NULL);
}
