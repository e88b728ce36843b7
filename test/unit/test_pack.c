// SPDX-License-Identifier: GPL-2.0-only
/* That a message is packed as protobuf-c would pack it, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fixture.h"
#include "forge.h"
#include "image/entry.h"
#include "image/pack.h"

/* By @pack, which may have been used before. */
static void assert_same(struct pack *pack, const ProtobufCMessage *msg)
{
	size_t size = protobuf_c_message_get_packed_size(msg);
	uint8_t *bytes = malloc(size + 1);

	assert_non_null(bytes);
	assert_int_equal(protobuf_c_message_pack(msg, bytes), size);
	assert_true(pack_message(pack, msg));
	assert_int_equal(pack_len(pack), size);
	assert_memory_equal(pack->room + pack->at, bytes, size);
	free(bytes);
}

/* All that its files hold: of each VM something is in every field. */
static void assert_same_of(struct vm_state *vm)
{
	struct pack pack = { 0 };
	ProtobufCMessage *msg;
	struct frame_in in;
	struct forge forge;

	forge_init_of(&forge, vm);
	for (int file = 0; file < FORGE_NR_FILES; file++) {
		assert_int_equal(frame_open(&in, forge.dir, forge_name(file), forge_kind(file)), 0);
		while (frame_next(&in, &msg) == 1) {
			assert_same(&pack, msg);
			frame_free(msg);
		}
		frame_close(&in);
	}
	pack_free(&pack);
	forge_fini(&forge);
}

static void all_files_are_as_protobuf_c_has_them(void **state)
{
	assert_same_of(fixture_vm(1, 64));
	assert_same_of(fixture_vm(5, 992));
	assert_same_of(fixture_vm_v2(3, 96));
	assert_same_of(fixture_vm_v5(2, 64, 10));
}

static void numbers_of_each_length(void **state)
{
	KvmVgic__ItsDteEntry dte = KVM_VGIC__ITS_DTE_ENTRY__INIT;
	KvmVgic__MemslotEntry slot = KVM_VGIC__MEMSLOT_ENTRY__INIT;
	KvmVgic__BackingEntry backing = KVM_VGIC__BACKING_ENTRY__INIT;
	KvmVgic__VcpuEntry vcpu = KVM_VGIC__VCPU_ENTRY__INIT;
	struct pack pack = { 0 };
	uint32_t v32[2 * 32 + 1];
	uint64_t v64[2 * 64 + 1];

	v32[64] = v64[128] = 0;
	for (unsigned int i = 0; i < 64; i++) {
		v64[2 * i] = 1ull << i;
		v64[2 * i + 1] = (1ull << i) - 1;
		v32[2 * i % 64] = v64[2 * (i % 32)];
		v32[2 * i % 64 + 1] = v64[2 * (i % 32) + 1];
	}
	dte.event_id = v32;
	dte.n_event_id = sizeof(v32) / sizeof(v32[0]);
	slot.dirty = v64;
	slot.n_dirty = sizeof(v64) / sizeof(v64[0]);
	assert_same(&pack, &dte.base);
	assert_same(&pack, &slot.base);
	for (size_t i = 0; i < slot.n_dirty; i++) {
		vcpu.idx = v64[i];
		vcpu.fd = v64[i];
		vcpu.mpidr = v64[i];
		vcpu.has_sigset = i % 2;
		vcpu.sigset = v64[i];
		vcpu.pending = (KvmVgic__VcpuPending)(v64[i] & INT32_MAX);
		assert_same(&pack, &vcpu.base);
	}
	vcpu.fd = -1;
	assert_same(&pack, &vcpu.base);
	backing.path = "";
	backing.mtime = INT64_MIN;
	assert_same(&pack, &backing.base);
	pack_free(&pack);
}

/* Whatever room there was before, and also where a length is within one that is within another. */
static void of_any_size(void **state)
{
	KvmVgic__VgicRegValues values = KVM_VGIC__VGIC_REG_VALUES__INIT, *list[] = { &values, &values, &values };
	KvmVgic__VgicV3CpuEntry cpu = KVM_VGIC__VGIC_V3_CPU_ENTRY__INIT;
	uint64_t *v = calloc(100000, sizeof(*v));
	struct pack pack = { 0 };

	assert_non_null(v);
	values.name = "GICD_IROUTER";
	values.value = v;
	cpu.redist = list;
	cpu.cpuif = list;
	for (size_t n = 0; n < 100000; n = n < 20 ? n + 1 : 3 * n) {
		for (size_t i = 0; i < n; i++)
			v[i] = n * 0x0101010101010101 + i;
		values.n_value = n;
		cpu.n_redist = n % 4;
		cpu.n_cpuif = 1;
		assert_same(&pack, &cpu.base);
		pack_free(&pack);
		assert_same(&pack, &cpu.base);
	}
	pack_free(&pack);
	free(v);
}

static void a_head_goes_before(void **state)
{
	KvmVgic__ImageEntry entry = KVM_VGIC__IMAGE_ENTRY__INIT;
	struct pack pack = { 0 };
	uint8_t bytes[64];

	entry.has_seal = true;
	entry.seal = 0x0123456789abcdef;
	assert_true(pack_message(&pack, &entry.base));
	assert_true(pack_head(&pack, 30));
	entry = (KvmVgic__ImageEntry)KVM_VGIC__IMAGE_ENTRY__INIT;
	entry.has_other = true;
	entry.other = (ProtobufCBinaryData){ .data = pack.room + pack.at + 3, .len = pack_len(&pack) - 3 };
	assert_int_equal(kvm_vgic__image_entry__pack(&entry, bytes), pack_len(&pack));
	assert_memory_equal(bytes, pack.room + pack.at, pack_len(&pack));
	pack_free(&pack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_files_are_as_protobuf_c_has_them),
		cmocka_unit_test(numbers_of_each_length),
		cmocka_unit_test(of_any_size),
		cmocka_unit_test(a_head_goes_before),
	};

	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
