// SPDX-License-Identifier: GPL-2.0-only
/* Where the kernel has its fields: a wrong answer would have the iterator read something else for a VM's state. */
#include <bpf/btf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/btf.h"
#include "testlog.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { NAME_VM, NAME_MODE, NAME_CAST, NAME_DEVICE, NAME_NONE, NR_NAMES };
static const struct btf_name names[NR_NAMES] = {
	[NAME_VM] = { "kvm", BTF_KIND_STRUCT },
	[NAME_MODE] = { "kvm_mode", BTF_KIND_ENUM },
	[NAME_CAST] = { "cast_to", BTF_KIND_FUNC },
	[NAME_DEVICE] = { "device", BTF_KIND_STRUCT },
	[NAME_NONE] = { "kvm_none", BTF_KIND_STRUCT },
};

struct fixture {
	struct btf *btf;
	int u8, u32, s16, u64, dev, vm, cast;
};

/*
 * struct kvm { u64 mm; union { u32 low; struct { u16 pad; s16 high; }; }; u8 a : 3, b : 4; const u32 flags; u32 chip[2][3]; struct device at;
 * u64 map[]; }, and types of other kinds that are passed over.
 */
static int make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int inner, both, flags, three, chip, flexible, proto;

	f->btf = btf__new_empty();
	f->u8 = btf__add_int(f->btf, "unsigned char", 1, 0);
	f->u32 = btf__add_int(f->btf, "unsigned int", 4, 0);
	f->s16 = btf__add_int(f->btf, "short", 2, BTF_INT_SIGNED);
	f->u64 = btf__add_int(f->btf, "unsigned long", 8, 0);
	f->dev = btf__add_struct(f->btf, "device", 16);
	btf__add_field(f->btf, "id", f->u64, 64, 0);
	inner = btf__add_struct(f->btf, NULL, 4);
	btf__add_field(f->btf, "high", f->s16, 16, 0);
	both = btf__add_union(f->btf, NULL, 4);
	btf__add_field(f->btf, "low", f->u32, 0, 0);
	btf__add_field(f->btf, NULL, inner, 0, 0);
	flags = btf__add_const(f->btf, btf__add_typedef(f->btf, "flags_t", f->u32));
	three = btf__add_array(f->btf, f->u32, f->u32, 3);
	chip = btf__add_array(f->btf, f->u32, three, 2);
	flexible = btf__add_array(f->btf, f->u32, f->u64, 0);
	f->vm = btf__add_struct(f->btf, "kvm", 64);
	btf__add_field(f->btf, "mm", f->u64, 0, 0);
	btf__add_field(f->btf, NULL, both, 64, 0);
	btf__add_field(f->btf, "a", f->u8, 96, 3);
	btf__add_field(f->btf, "b", f->u8, 99, 4);
	btf__add_field(f->btf, "flags", flags, 128, 0);
	btf__add_field(f->btf, "chip", chip, 160, 0);
	btf__add_field(f->btf, "at", f->dev, 384, 0);
	btf__add_field(f->btf, "map", flexible, 512, 0);
	btf__add_enum(f->btf, "kvm_mode", 4);
	btf__add_enum_value(f->btf, "MODE_NONE", 0);
	btf__add_enum_value(f->btf, "MODE_VHE", 7);
	proto = btf__add_func_proto(f->btf, f->u32);
	btf__add_func_param(f->btf, "what", f->u64);
	f->cast = btf__add_func(f->btf, "cast_to", BTF_FUNC_STATIC, proto);
	*state = f;
	return 0;
}

static int clear(void **state)
{
	struct fixture *f = *state;

	btf__free(f->btf);
	free(f);
	return 0;
}

/* Of the first @size bytes, or of all. */
static int ask_of(const void *data, size_t size, const struct btf_value *value, const struct btf_step *steps, unsigned int *ids,
		  struct btf_answer *answer)
{
	const struct btf_query query = { names, steps, value, NR_NAMES, value ? 1 : 0 };
	char path[] = "/tmp/test_btf.XXXXXX";
	int fd = mkstemp(path), ret;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
	ret = btf_ask(path, &query, ids, answer);
	unlink(path);
	return ret;
}

static int ask(struct fixture *f, unsigned int name, unsigned int what, const struct btf_step *steps, unsigned int nr,
	       struct btf_answer *answer)
{
	const struct btf_value value = { name, what, 0, 0, nr };
	unsigned int ids[NR_NAMES], size;
	const void *data = btf__raw_data(f->btf, &size);

	return ask_of(data, size, &value, steps, ids, answer);
}

static void expect(struct fixture *f, unsigned int what, const struct btf_step *steps, unsigned int nr, unsigned int value,
		   unsigned int size)
{
	struct btf_answer answer;

	assert_int_equal(ask(f, NAME_VM, what, steps, nr, &answer), 0);
	assert_true(answer.known);
	assert_int_equal(answer.value, value);
	if (size)
		assert_int_equal(answer.size, size);
}

static void expect_none(struct fixture *f, const struct btf_step *steps, unsigned int nr)
{
	struct btf_answer answer;

	assert_int_equal(ask(f, NAME_VM, BPF_CORE_FIELD_BYTE_OFFSET, steps, nr, &answer), 0);
	assert_false(answer.known);
	assert_int_equal(ask(f, NAME_VM, BPF_CORE_FIELD_EXISTS, steps, nr, &answer), 0);
	assert_true(answer.known);
	assert_int_equal(answer.value, 0);
}

#define STEP(member, kind) ((struct btf_step){ member, 0, kind })
#define ELEMENT(index, kind) ((struct btf_step){ NULL, index, kind })
#define STEPS(...) (struct btf_step[]){ __VA_ARGS__ }, COUNT(((struct btf_step[]){ __VA_ARGS__ }))
#define OF(kind, elements) (BTF_KIND_##kind | (elements) << 5)

static void a_member_is_where_the_kernel_has_it(void **state)
{
	expect(*state, BPF_CORE_FIELD_BYTE_OFFSET, STEPS(STEP("mm", BTF_KIND_INT)), 0, 8);
	expect(*state, BPF_CORE_FIELD_BYTE_OFFSET, STEPS(STEP("flags", BTF_KIND_INT)), 16, 4);
	expect(*state, BPF_CORE_FIELD_BYTE_OFFSET, STEPS(STEP("at", BTF_KIND_STRUCT), STEP("id", BTF_KIND_INT)), 56, 8);
	expect(*state, BPF_CORE_FIELD_EXISTS, STEPS(STEP("at", BTF_KIND_UNION)), 1, 0);
}

static void a_member_of_one_without_a_name_is_found(void **state)
{
	expect(*state, BPF_CORE_FIELD_BYTE_OFFSET, STEPS(STEP("low", BTF_KIND_INT)), 8, 4);
	expect(*state, BPF_CORE_FIELD_BYTE_OFFSET, STEPS(STEP("high", BTF_KIND_INT)), 10, 2);
	expect(*state, BPF_CORE_FIELD_SIGNED, STEPS(STEP("high", BTF_KIND_INT)), 1, 0);
}

static void elements_are_counted_by_their_size(void **state)
{
	const unsigned int row = OF(ARRAY, BTF_KIND_INT), chip = OF(ARRAY, row);

	expect(*state, BPF_CORE_FIELD_BYTE_OFFSET, STEPS(STEP("chip", chip)), 20, 0);
	expect(*state, BPF_CORE_FIELD_BYTE_OFFSET, STEPS(STEP("chip", chip), ELEMENT(1, row), ELEMENT(2, BTF_KIND_INT)), 40, 4);
	expect(*state, BPF_CORE_FIELD_BYTE_OFFSET, STEPS(STEP("map", row), ELEMENT(3, BTF_KIND_INT)), 88, 8);
}

static void a_bit_field_is_cut_out_of_its_word(void **state)
{
	expect(*state, BPF_CORE_FIELD_BYTE_OFFSET, STEPS(STEP("b", BTF_KIND_INT)), 12, 1);
	expect(*state, BPF_CORE_FIELD_BYTE_SIZE, STEPS(STEP("b", BTF_KIND_INT)), 1, 0);
	expect(*state, BPF_CORE_FIELD_LSHIFT_U64, STEPS(STEP("b", BTF_KIND_INT)), 64 - 7, 0);
	expect(*state, BPF_CORE_FIELD_RSHIFT_U64, STEPS(STEP("b", BTF_KIND_INT)), 64 - 4, 0);
	expect(*state, BPF_CORE_FIELD_RSHIFT_U64, STEPS(STEP("low", BTF_KIND_INT)), 32, 0);
}

static void what_is_not_there_is_not_known(void **state)
{
	expect_none(*state, STEPS(STEP("no", BTF_KIND_INT)));
	expect_none(*state, STEPS(STEP("mm", BTF_KIND_PTR)));
	expect_none(*state, STEPS(STEP("mm", BTF_KIND_INT), STEP("id", BTF_KIND_INT)));
	expect_none(*state, STEPS(STEP("mm", BTF_KIND_INT), ELEMENT(0, BTF_KIND_INT)));
	/* a flat array is not one of arrays, and has an end */
	expect_none(*state, STEPS(STEP("chip", OF(ARRAY, BTF_KIND_INT))));
	expect_none(*state, STEPS(STEP("map", OF(ARRAY, OF(ARRAY, BTF_KIND_INT)))));
	expect_none(*state, STEPS(STEP("chip", OF(ARRAY, OF(ARRAY, BTF_KIND_INT))), ELEMENT(2, OF(ARRAY, BTF_KIND_INT))));
}

static void types_and_functions_have_their_numbers(void **state)
{
	struct fixture *f = *state;
	struct btf_answer answer;
	unsigned int ids[NR_NAMES], size;
	const void *data = btf__raw_data(f->btf, &size);

	assert_int_equal(ask_of(data, size, NULL, NULL, ids, NULL), 0);
	assert_int_equal(ids[NAME_VM], f->vm);
	assert_int_equal(ids[NAME_CAST], f->cast);
	assert_int_equal(ids[NAME_NONE], 0);
	expect(f, BPF_CORE_TYPE_ID_TARGET, NULL, 0, f->vm, 0);
	expect(f, BPF_CORE_TYPE_SIZE, NULL, 0, 64, 0);
	assert_int_equal(ask(f, NAME_MODE, BPF_CORE_ENUMVAL_VALUE, STEPS(STEP("MODE_VHE", BTF_KIND_ENUM)), &answer), 0);
	assert_true(answer.known);
	assert_int_equal(answer.value, 7);
	assert_int_equal(ask(f, NAME_MODE, BPF_CORE_ENUMVAL_VALUE, STEPS(STEP("MODE_NO", BTF_KIND_ENUM)), &answer), 0);
	assert_false(answer.known);
	assert_int_equal(ask(f, NAME_NONE, BPF_CORE_TYPE_SIZE, NULL, 0, &answer), 0);
	assert_false(answer.known);
	assert_int_equal(ask(f, NAME_NONE, BPF_CORE_TYPE_EXISTS, NULL, 0, &answer), 0);
	assert_int_equal(answer.value, 0);
	assert_int_equal(ask(f, NAME_VM, BPF_CORE_TYPE_EXISTS, NULL, 0, &answer), 0);
	assert_int_equal(answer.value, 1);
}

/* The host's ITS driver has types of the names of KVM's. */
static void of_two_types_of_a_name_that_with_the_member_is_meant(void **state)
{
	struct fixture *f = *state;
	const struct btf_step id = STEP("id", BTF_KIND_INT), list = STEP("list", BTF_KIND_INT);
	struct btf_answer answer;

	btf__add_struct(f->btf, "device", 64);
	btf__add_field(f->btf, "list", f->u64, 128, 0);
	assert_int_equal(ask(f, NAME_DEVICE, BPF_CORE_FIELD_BYTE_OFFSET, &id, 1, &answer), 0);
	assert_int_equal(answer.value, 8);
	assert_int_equal(ask(f, NAME_DEVICE, BPF_CORE_FIELD_BYTE_OFFSET, &list, 1, &answer), 0);
	assert_int_equal(answer.value, 16);
	btf__add_field(f->btf, "id", f->u64, 192, 0);
	assert_int_equal(ask(f, NAME_DEVICE, BPF_CORE_FIELD_BYTE_OFFSET, &id, 1, &answer), -EINVAL);
	assert_int_equal(ask(f, NAME_DEVICE, BPF_CORE_FIELD_EXISTS, &id, 1, &answer), 0);
	assert_int_equal(answer.value, 1);
	for (unsigned int i = 0; i < 8; i++)
		btf__add_struct(f->btf, "device", 64);
	assert_int_equal(ask(f, NAME_DEVICE, BPF_CORE_FIELD_EXISTS, &id, 1, &answer), -E2BIG);
}

static void a_number_of_another_size_is_told(void **state)
{
	struct btf_answer answer;

	assert_int_equal(ask(*state, NAME_VM, BPF_CORE_FIELD_BYTE_OFFSET, STEPS(STEP("low", BTF_KIND_INT)), &answer), 0);
	assert_true(answer.can_widen);
	assert_int_equal(ask(*state, NAME_VM, BPF_CORE_FIELD_BYTE_OFFSET, STEPS(STEP("high", BTF_KIND_INT)), &answer), 0);
	assert_false(answer.can_widen);
}

/* Far-off types are found by where each 32nd is. */
static void many_types_do_not_change_an_answer(void **state)
{
	struct fixture *f = *state;
	const struct btf_step far = STEP("far", BTF_KIND_INT);
	struct btf_answer answer;
	int last;

	for (unsigned int i = 0; i < 3000; i++) {
		btf__add_struct(f->btf, i % 7 ? "kvm_other" : NULL, 8 * i % 11);
		if (i % 3)
			btf__add_field(f->btf, "far", f->u8, 0, 0);
	}
	last = btf__add_const(f->btf, btf__add_typedef(f->btf, "far_t", f->s16));
	btf__add_struct(f->btf, "kvm_none", 32);
	btf__add_field(f->btf, "far", last, 48, 0);
	assert_int_equal(ask(f, NAME_NONE, BPF_CORE_FIELD_BYTE_OFFSET, &far, 1, &answer), 0);
	assert_int_equal(answer.value, 6);
	assert_int_equal(answer.size, 2);
}

static void what_is_cut_off_is_refused(void **state)
{
	struct fixture *f = *state;
	unsigned int ids[NR_NAMES], size;
	const char *data = btf__raw_data(f->btf, &size);
	struct btf_header *header;
	char *copy;

	for (unsigned int left = 0; left < size; left++)
		assert_int_equal(ask_of(data, left, NULL, NULL, ids, NULL), -EINVAL);
	copy = memcpy(malloc(size), data, size);
	header = (void *)copy;
	copy[size - 1] = 'x'; /* strings end the file */
	assert_int_equal(ask_of(copy, size, NULL, NULL, ids, NULL), -EINVAL);
	copy[size - 1] = 0;
	header->type_len -= 4;
	assert_int_equal(ask_of(copy, size, NULL, NULL, ids, NULL), -EINVAL);
	header->type_len += 4;
	header->str_len = 8; /* names lie beyond */
	copy[header->hdr_len + header->str_off + 7] = 0;
	assert_int_equal(ask_of(copy, size, NULL, NULL, ids, NULL), -EINVAL);
	free(copy);
	assert_int_equal(btf_ask("/nonexistent", &(struct btf_query){ names, NULL, NULL, NR_NAMES, 0 }, ids, NULL), -ENOENT);
}

/* What newer kernels have behind the header: how each kind is passed over. */
struct layout {
	uint8_t at_first, each;
	uint16_t flags;
};

/*
 * A type of @kind with @nr parts of @each bytes and @at_first before them, and struct kvm_none of 24 bytes behind it. What is asked of that, with
 * @nr_layouts in the file.
 */
static int ask_behind(struct fixture *f, unsigned int kind, unsigned int nr, struct layout layout, unsigned int nr_layouts,
		      struct btf_answer *answer)
{
	const unsigned int layouts = nr_layouts * sizeof(layout), more = 2 * sizeof(uint32_t);
	unsigned int ids[NR_NAMES], size, behind = sizeof(struct btf_type) + layout.at_first + layout.each * nr;
	const struct btf_value value = { NAME_NONE, BPF_CORE_TYPE_SIZE, 0, 0, 0 };
	const uint32_t name = btf__add_str(f->btf, "kvm_none");
	const char *data = btf__raw_data(f->btf, &size);
	const struct btf_header *old = (const void *)data;
	char *copy = calloc(1, size + behind + sizeof(struct btf_type) + more + layouts), *at = copy + sizeof(*old) + more;
	uint32_t head[] = { sizeof(*old) + more, 0, old->type_len + behind + sizeof(struct btf_type), 0, old->str_len, 0, layouts };
	int ret;

	assert_non_null(copy);
	assert_int_equal(sizeof(*old), 24);
	memcpy(at, data + old->hdr_len + old->type_off, old->type_len);
	at += old->type_len;
	((uint32_t *)at)[1] = kind << 24 | nr;
	at += behind;
	((uint32_t *)at)[0] = name;
	((uint32_t *)at)[1] = BTF_KIND_STRUCT << 24;
	((uint32_t *)at)[2] = 24;
	at += sizeof(struct btf_type);
	for (unsigned int i = 0; i < nr_layouts; i++)
		memcpy(at + i * sizeof(layout), &layout, sizeof(layout));
	head[5] = head[2];
	at += layouts;
	memcpy(at, data + old->hdr_len + old->str_off, old->str_len);
	head[3] = head[2] + layouts;
	memcpy(copy, old, 4);
	memcpy(copy + 4, head, sizeof(head));
	log_reset();
	ret = ask_of(copy, at + old->str_len - copy, &value, NULL, ids, answer);
	free(copy);
	return ret;
}

static void what_newer_kernels_have_is_passed_over(void **state)
{
	static const struct {
		unsigned int kind, nr;
		struct layout layout;
	} types[] = {
		{ 20, 3, { 8, 4, 0 } },
		{ 20, 0, { 0, 0, 0 } },
		{ 22, 70000, { 4, 12, 0 } },
		{ 36, 2, { 4, 4, 0 } }, /* in five bits it would be a structure */
		{ 127, 5, { 0, 8, 0 } },
	};
	struct btf_answer answer;

	for (size_t i = 0; i < COUNT(types); i++) {
		assert_int_equal(ask_behind(*state, types[i].kind, types[i].nr, types[i].layout, 128, &answer), 0);
		assert_true(answer.known);
		assert_int_equal(answer.value, 24);
		assert_int_equal(ask_behind(*state, types[i].kind, types[i].nr, types[i].layout, types[i].kind + 1, &answer), 0);
		assert_int_equal(ask_behind(*state, types[i].kind, types[i].nr, types[i].layout, types[i].kind, &answer), -EINVAL);
		assert_true(log_has("of a kind that is not known"));
	}
}

static void more_members_than_16_bits_count(void **state)
{
	struct btf_answer answer;

	assert_int_equal(ask_behind(*state, BTF_KIND_DATASEC, 70000, (struct layout){ 0, 12, 0 }, 0, &answer), 0);
	assert_true(answer.known);
	assert_int_equal(answer.value, 24);
}

static void what_is_wrong_is_said(void **state)
{
	struct fixture *f = *state;
	const struct btf_step id = STEP("id", BTF_KIND_INT);
	struct btf_answer answer;

	btf__add_struct(f->btf, "device", 64);
	btf__add_field(f->btf, "id", f->u64, 128, 0);
	log_reset();
	assert_int_equal(ask(f, NAME_DEVICE, BPF_CORE_FIELD_BYTE_OFFSET, &id, 1, &answer), -EINVAL);
	assert_true(log_has("several types called device, and id of these is not the same in all"));
	assert_int_equal(ask(f, NAME_DEVICE, BPF_CORE_TYPE_SIZE, NULL, 0, &answer), -EINVAL);
	assert_true(log_has("several types called device, and the size of these is not the same in all"));
	assert_int_equal(ask(f, NAME_DEVICE, BPF_CORE_TYPE_ID_TARGET, NULL, 0, &answer), -EINVAL);
	assert_true(log_has("several types called device, and the number of these is not the same in all"));
	for (unsigned int i = 0; i < 8; i++)
		btf__add_struct(f->btf, "device", 64);
	log_reset();
	assert_int_equal(ask(f, NAME_DEVICE, BPF_CORE_FIELD_EXISTS, &id, 1, &answer), -E2BIG);
	assert_true(log_has("more than 8 types called device"));
}

/* Memory of @size bytes is not to be had: there is one that asks for so much. */
static size_t none_of = SIZE_MAX;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return size == none_of ? NULL : __real_malloc(size);
}

static void what_there_is_no_memory_for_is_said(void **state)
{
	struct fixture *f = *state;
	unsigned int ids[NR_NAMES], size;
	const void *data = btf__raw_data(f->btf, &size);
	const struct btf_header *header = data;

	none_of = (header->type_len / sizeof(struct btf_type) / 32 + 1) * sizeof(uint32_t);
	log_reset();
	assert_int_equal(ask_of(data, size, NULL, NULL, ids, NULL), -ENOMEM);
	none_of = SIZE_MAX;
	assert_true(log_has("this kernel's BTF cannot be read"));
}

static void more_names_than_there_is_room_for_are_refused(void **state)
{
	struct btf_name many[256];
	unsigned int ids[COUNT(many)];

	for (size_t i = 0; i < COUNT(many); i++)
		many[i] = names[NAME_VM];
	log_reset();
	assert_int_equal(btf_ask("/dev/null", &(struct btf_query){ many, NULL, NULL, COUNT(many), 0 }, ids, NULL), -E2BIG);
	assert_true(log_has("more than 255 types of this kernel are asked for"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_member_is_where_the_kernel_has_it),
		TEST(a_member_of_one_without_a_name_is_found),
		TEST(elements_are_counted_by_their_size),
		TEST(a_bit_field_is_cut_out_of_its_word),
		TEST(what_is_not_there_is_not_known),
		TEST(types_and_functions_have_their_numbers),
		TEST(of_two_types_of_a_name_that_with_the_member_is_meant),
		TEST(a_number_of_another_size_is_told),
		TEST(many_types_do_not_change_an_answer),
		TEST(what_is_cut_off_is_refused),
		TEST(what_newer_kernels_have_is_passed_over),
		TEST(more_members_than_16_bits_count),
		TEST(what_is_wrong_is_said),
		TEST(what_there_is_no_memory_for_is_said),
		TEST(more_names_than_there_is_room_for_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
