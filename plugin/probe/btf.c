// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own search for a type of a program's goes through all of its types for each name: 130000 of them, which
 * takes it longer than all else of a load. Here one pass finds all names. What a question means is libbpf's rule for
 * CO-RE (relo_core.c), and the layout is Documentation/bpf/btf.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "probe/btf.h"

#define MAX_BTF (64u << 20) /* bytes */
#define MAX_SAME_NAME 8
#define MAX_NAMES 255
#define MAX_DEPTH 32 /* of modifiers, arrays, and members without a name */
#define INDEX_STEP 32 /* types: where each so many-th one is, is kept */
#define NR_KINDS 128

/*
 * struct btf_header, and struct btf_type's info, as newer kernels have them, whatever the headers are that this is compiled with: the
 * last two fields are there where hdr_len says so, and bits that are new are 0 in all that is older.
 */
struct header {
	uint16_t magic;
	uint8_t version, flags;
	uint32_t hdr_len, type_off, type_len, str_off, str_len, layout_off, layout_len;
};
#define OLD_HEADER offsetof(struct header, layout_off)

static unsigned int kind_of(const struct btf_type *type)
{
	return type->info >> 24 & (NR_KINDS - 1);
}

/* Members, enumerators, parameters or variables; of a function, its linkage. */
static unsigned int nr_parts(const struct btf_type *type)
{
	return type->info & 0xffffff;
}

/* What is behind a struct btf_type, in bytes: at first, and for each of its members. */
struct layout {
	unsigned char known, asked; /* asked: for programs ask for its name */
	unsigned char at_first, each;
};

static const struct layout known_layouts[] = {
	[BTF_KIND_INT] = { 1, 0, sizeof(uint32_t), 0 },
	[BTF_KIND_PTR] = { 1, 0, 0, 0 },
	[BTF_KIND_ARRAY] = { 1, 0, sizeof(struct btf_array), 0 },
	[BTF_KIND_STRUCT] = { 1, 1, 0, sizeof(struct btf_member) },
	[BTF_KIND_UNION] = { 1, 1, 0, sizeof(struct btf_member) },
	[BTF_KIND_ENUM] = { 1, 1, 0, sizeof(struct btf_enum) },
	[BTF_KIND_FWD] = { 1, 0, 0, 0 },
	[BTF_KIND_TYPEDEF] = { 1, 0, 0, 0 },
	[BTF_KIND_VOLATILE] = { 1, 0, 0, 0 },
	[BTF_KIND_CONST] = { 1, 0, 0, 0 },
	[BTF_KIND_RESTRICT] = { 1, 0, 0, 0 },
	[BTF_KIND_FUNC] = { 1, 1, 0, 0 },
	[BTF_KIND_FUNC_PROTO] = { 1, 0, 0, sizeof(struct btf_param) },
	[BTF_KIND_VAR] = { 1, 0, sizeof(struct btf_var), 0 },
	[BTF_KIND_DATASEC] = { 1, 0, 0, sizeof(struct btf_var_secinfo) },
	[BTF_KIND_FLOAT] = { 1, 0, 0, 0 },
	[BTF_KIND_DECL_TAG] = { 1, 0, sizeof(struct btf_decl_tag), 0 },
	[BTF_KIND_TYPE_TAG] = { 1, 0, 0, 0 },
	[BTF_KIND_ENUM64] = { 1, 0, 0, sizeof(struct btf_enum64) },
};

struct types {
	char *data; /* the whole file */
	void *mapping; /* MAP_FAILED: it was read */
	size_t size;
	const char *first, *end; /* types */
	const char *strings;
	unsigned int nr_strings, nr_types;
	uint32_t *index;
	struct layout layouts[NR_KINDS];
};

struct found {
	unsigned int ids[MAX_SAME_NAME], nr;
};

/* Names by a hash of the first four characters. */
struct wanted {
	unsigned char first[256], next[MAX_NAMES + 1]; /* number of a name, from 1 on */
};

static unsigned int hash_of(const char *name)
{
	uint32_t word;

	memcpy(&word, name, sizeof(word));
	return word * 0x9e3779b1u >> 24;
}

static int read_all(int fd, struct types *types, size_t size)
{
	ssize_t got = 1;

	types->data = malloc(size);
	while (types->data && got && types->size < size) {
		got = read(fd, types->data + types->size, size - types->size);
		if (got >= 0)
			types->size += got;
		else if (errno != EINTR)
			return -errno;
	}
	return types->data ? 0 : -ENOMEM;
}

/* By a mapping, which kernels from 6.16 on have: a read brings a page. */
static int get_types(const char *path, struct types *types)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = 0;
	struct stat stat;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &stat)) {
		ret = -errno;
	} else if (stat.st_size > MAX_BTF) {
		ret = -E2BIG;
	} else {
		types->mapping = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
		if (types->mapping != MAP_FAILED) {
			types->data = types->mapping;
			types->size = stat.st_size;
		} else {
			ret = read_all(fd, types, stat.st_size);
		}
	}
	close(fd);
	return ret;
}

static void put_types(struct types *types)
{
	if (types->mapping == MAP_FAILED)
		free(types->data);
	else
		munmap(types->mapping, types->size);
	free(types->index);
}

static int unreadable(int err)
{
	pr_err("this kernel's BTF cannot be read, by which the BPF iterator knows its structures: %s (errno %d)\n", strerror(-err), -err);
	return err;
}

/* Of kinds that are not known the kernel says how they are passed over, where it is new enough to have others. */
static int find_layouts(struct types *types, const struct header *header)
{
	const struct {
		uint8_t at_first, each;
		uint16_t flags;
	} *told;
	uint64_t begin = header->hdr_len;

	memcpy(types->layouts, known_layouts, sizeof(known_layouts));
	if (header->hdr_len < sizeof(*header))
		return 0;
	if (begin + header->layout_off + header->layout_len > types->size)
		return unreadable(-EINVAL);
	told = (const void *)(types->data + begin + header->layout_off);
	for (size_t kind = 0; kind < NR_KINDS && kind < header->layout_len / sizeof(*told); kind++)
		if (kind && !types->layouts[kind].known)
			types->layouts[kind] = (struct layout){ .known = 1, .at_first = told[kind].at_first, .each = told[kind].each };
	return 0;
}

/* Where types and strings are; -EINVAL where these do not lie in the file, or strings do not end. */
static int find_parts(struct types *types)
{
	const struct header *header = (void *)types->data;
	uint64_t begin;

	if (types->size < sizeof(*header) || header->magic != BTF_MAGIC || header->version != BTF_VERSION || header->hdr_len < OLD_HEADER)
		return unreadable(-EINVAL);
	begin = header->hdr_len;
	if (begin + header->type_off + header->type_len > types->size || (header->hdr_len + header->type_off) % 4 ||
	    begin + header->str_off + header->str_len > types->size || !header->str_len)
		return unreadable(-EINVAL);
	types->first = types->data + begin + header->type_off;
	types->end = types->first + header->type_len;
	types->strings = types->data + begin + header->str_off;
	types->nr_strings = header->str_len;
	return types->strings[header->str_len - 1] ? unreadable(-EINVAL) : find_layouts(types, header);
}

/* FUNC has its linkage where others have the number of their members. */
static const struct btf_type *next_type(const struct types *types, const struct btf_type *type)
{
	const struct layout *layout = &types->layouts[kind_of(type)];

	return (const void *)((const char *)(type + 1) + layout->at_first + layout->each * nr_parts(type));
}

static int unknown_kind(unsigned int nr, unsigned int kind)
{
	pr_err("this kernel's BTF has a type, number %u, of a kind that is not known: %u\n", nr + 1, kind);
	return -EINVAL;
}

static int note_if_wanted(const char *name, unsigned int kind, unsigned int id, const struct btf_query *query,
			  const struct wanted *wanted, struct found *found)
{
	for (unsigned int i = wanted->first[hash_of(name)]; i; i = wanted->next[i]) {
		if (query->names[i - 1].kind != kind || strcmp(query->names[i - 1].name, name))
			continue;
		if (found[i - 1].nr == MAX_SAME_NAME) {
			pr_err("this kernel has more than %u types called %s: the BPF iterator cannot tell which is meant\n", MAX_SAME_NAME, name);
			return -E2BIG;
		}
		found[i - 1].ids[found[i - 1].nr++] = id;
	}
	return 0;
}

/* Types have the numbers from 1 on. A name of less than three characters is none that is asked for. */
static int pass_over(struct types *types, const struct btf_query *query, const struct wanted *wanted,
		     struct found *found)
{
	const uint32_t last_name = types->nr_strings < sizeof(uint32_t) ? 0 : types->nr_strings - sizeof(uint32_t);
	const struct btf_type *type = (const void *)types->first, *next;
	const char *strings = types->strings, *end = types->end;
	unsigned int nr = 0;
	int ret = 0;

	types->index = malloc(((types->end - types->first) / sizeof(*type) / INDEX_STEP + 1) * sizeof(*types->index));
	if (!types->index)
		return unreadable(-ENOMEM);
	for (; !ret && (const char *)(type + 1) <= end; type = next) {
		unsigned int kind = kind_of(type);

		next = next_type(types, type);
		if (!types->layouts[kind].known)
			return unknown_kind(nr, kind);
		if ((const char *)next > end || type->name_off >= types->nr_strings)
			return unreadable(-EINVAL);
		if (nr % INDEX_STEP == 0)
			types->index[nr / INDEX_STEP] = (const char *)type - types->first;
		nr++;
		if (types->layouts[kind].asked && type->name_off <= last_name)
			ret = note_if_wanted(strings + type->name_off, kind, nr, query, wanted, found);
	}
	types->nr_types = nr;
	return ret ?: (const char *)type == end ? 0 : unreadable(-EINVAL);
}

static const struct btf_type *type_of(const struct types *types, unsigned int id)
{
	const struct btf_type *type;

	if (!id || id > types->nr_types)
		return NULL;
	type = (const void *)(types->first + types->index[(id - 1) / INDEX_STEP]);
	for (unsigned int i = (id - 1) % INDEX_STEP; i; i--)
		type = next_type(types, type);
	return type;
}

/* Without its modifiers; NULL: there is no such type. */
static const struct btf_type *bare_type(const struct types *types, unsigned int id)
{
	const struct btf_type *type = type_of(types, id);

	for (unsigned int i = 0; type && i < MAX_DEPTH; i++) {
		switch (kind_of(type)) {
		case BTF_KIND_TYPEDEF:
		case BTF_KIND_VOLATILE:
		case BTF_KIND_CONST:
		case BTF_KIND_RESTRICT:
		case BTF_KIND_TYPE_TAG:
			type = type_of(types, type->type);
			break;
		default:
			return type;
		}
	}
	return NULL;
}

static bool has_members(const struct btf_type *type)
{
	return kind_of(type) == BTF_KIND_STRUCT || kind_of(type) == BTF_KIND_UNION;
}

/* In bytes; 0: it has none. */
static uint64_t size_of(const struct types *types, const struct btf_type *type)
{
	uint64_t elements = 1;

	for (unsigned int i = 0; type && i < MAX_DEPTH; i++) {
		const struct btf_array *array = (const void *)(type + 1);

		switch (kind_of(type)) {
		case BTF_KIND_PTR:
			return elements * sizeof(uint64_t);
		case BTF_KIND_ARRAY:
			elements *= array->nelems;
			if (elements > UINT32_MAX)
				return 0;
			type = bare_type(types, array->type);
			break;
		case BTF_KIND_INT:
		case BTF_KIND_ENUM:
		case BTF_KIND_ENUM64:
		case BTF_KIND_STRUCT:
		case BTF_KIND_UNION:
		case BTF_KIND_FLOAT:
			return elements * type->size;
		default:
			return 0;
		}
	}
	return 0;
}

/* Where a walk from a type to one of its members stands. */
struct place {
	const struct btf_type *type; /* bare */
	uint64_t bit;
	unsigned int nr_bits; /* of a bit field; 0: it is none */
};

/* @place becomes that of the member, which may be one of a member without a name. */
static bool find_member(const struct types *types, const char *name, struct place *place, unsigned int depth)
{
	const struct btf_type *type = place->type;
	const struct btf_member *members = (const void *)(type + 1);
	bool has_fields = type->info >> 31;

	if (!depth || !has_members(type))
		return false;
	for (unsigned int i = 0; i < nr_parts(type); i++) {
		uint32_t name_off = members[i].name_off, offset = members[i].offset;
		struct place member;

		if (name_off >= types->nr_strings)
			return false;
		if (name_off && strcmp(types->strings + name_off, name))
			continue;
		member.type = bare_type(types, members[i].type);
		member.bit = place->bit + (has_fields ? BTF_MEMBER_BIT_OFFSET(offset) : offset);
		member.nr_bits = has_fields ? BTF_MEMBER_BITFIELD_SIZE(offset) : 0;
		if (!member.type)
			return false;
		if (name_off || find_member(types, name, &member, depth - 1)) {
			*place = member;
			return true;
		}
	}
	return false;
}

/* An array that ends a structure may be told without its length. */
static bool find_element(const struct types *types, unsigned int index, struct place *place)
{
	const struct btf_array *array = (const void *)(place->type + 1);

	if (kind_of(place->type) != BTF_KIND_ARRAY || (array->nelems && index >= array->nelems))
		return false;
	place->type = bare_type(types, array->type);
	place->bit += 8 * index * size_of(types, place->type);
	place->nr_bits = 0;
	return place->type;
}

/* Structures and unions are alike; arrays are by their elements. */
static bool is_of(const struct types *types, const struct btf_type *type, unsigned int kinds)
{
	for (; type && (kinds & 31) == BTF_KIND_ARRAY; kinds >>= 5) {
		const struct btf_array *array = (const void *)(type + 1);

		if (kind_of(type) != BTF_KIND_ARRAY)
			return false;
		type = bare_type(types, array->type);
	}
	if (!type)
		return false;
	if (kinds == BTF_KIND_STRUCT || kinds == BTF_KIND_UNION)
		return has_members(type);
	return kind_of(type) == kinds;
}

static bool walk_to(const struct types *types, const struct btf_step *steps, unsigned int nr, struct place *place)
{
	for (unsigned int i = 0; i < nr; i++) {
		bool found = steps[i].member ? find_member(types, steps[i].member, place, MAX_DEPTH) :
					       find_element(types, steps[i].index, place);

		if (!found || !is_of(types, place->type, steps[i].kinds))
			return false;
	}
	return true;
}

static bool is_signed(const struct btf_type *type)
{
	const uint32_t *encoding = (const void *)(type + 1);

	if (kind_of(type) == BTF_KIND_INT)
		return BTF_INT_ENCODING(*encoding) & BTF_INT_SIGNED;
	/* An enumeration whatever its numbers are, as libbpf has it. */
	return kind_of(type) == BTF_KIND_ENUM;
}

/* As it is to be loaded: of a bit field, all of the word that holds it. */
static bool answer_member(const struct types *types, unsigned int what, const struct place *place,
			  struct btf_answer *answer)
{
	uint64_t size = size_of(types, place->type), at = place->bit / 8, nr_bits = place->nr_bits;

	if (place->nr_bits) {
		if (!size || size > sizeof(uint64_t))
			return false;
		at = place->bit / 8 / size * size;
		while (place->bit + nr_bits - at * 8 > size * 8) {
			size *= 2;
			if (size > sizeof(uint64_t))
				return false;
			at = place->bit / 8 / size * size;
		}
	} else if (place->bit % 8) {
		return false;
	} else {
		nr_bits = size * 8;
	}
	answer->size = size > sizeof(uint64_t) ? 0 : size;
	answer->can_widen = !is_signed(place->type) && !has_members(place->type);
	switch (what) {
	case BPF_CORE_FIELD_BYTE_OFFSET:
		answer->value = at;
		return at <= INT32_MAX;
	case BPF_CORE_FIELD_BYTE_SIZE:
		answer->value = size;
		return true;
	case BPF_CORE_FIELD_SIGNED:
		answer->value = is_signed(place->type);
		return true;
	case BPF_CORE_FIELD_LSHIFT_U64:
		answer->value = 64 - (place->bit + nr_bits - at * 8);
		return true;
	case BPF_CORE_FIELD_RSHIFT_U64:
		answer->value = 64 - nr_bits;
		return true;
	default:
		return false;
	}
}

/* As a program of BPF has them here: of one word. */
static bool answer_enumerator(const struct types *types, const struct btf_type *type, const char *name,
			      struct btf_answer *answer)
{
	const struct btf_enum *values = (const void *)(type + 1);

	for (unsigned int i = 0; i < nr_parts(type); i++) {
		if (values[i].name_off >= types->nr_strings || strcmp(types->strings + values[i].name_off, name))
			continue;
		answer->value = values[i].val;
		return true;
	}
	return false;
}

/* What the type with the number @id answers; false: it has not what is asked for. */
static bool answer_by(const struct types *types, const struct btf_query *query, const struct btf_value *value,
		      unsigned int id, struct btf_answer *answer)
{
	const struct btf_step *steps = query->steps + value->first_step;
	struct place place = { .type = type_of(types, id) };

	switch (value->what) {
	case BPF_CORE_TYPE_ID_TARGET:
		answer->value = id;
		return true;
	case BPF_CORE_TYPE_EXISTS:
		answer->value = 1;
		return true;
	case BPF_CORE_TYPE_SIZE:
		answer->value = place.type->size;
		return true;
	case BPF_CORE_ENUMVAL_VALUE:
		return answer_enumerator(types, place.type, steps->member, answer);
	case BPF_CORE_FIELD_EXISTS:
		answer->value = 1;
		return walk_to(types, steps, value->nr_steps, &place);
	default:
		return walk_to(types, steps, value->nr_steps, &place) && answer_member(types, value->what, &place, answer);
	}
}

/* What @value asks for, for a message. */
static const char *what_of(const struct btf_query *query, const struct btf_value *value)
{
	if (value->nr_steps)
		return query->steps[value->first_step + value->nr_steps - 1].member ?: "an element";
	return value->what == BPF_CORE_TYPE_ID_TARGET ? "the number" : "the size";
}

/* All types of the name that have it must answer the same: nobody says which of them is meant. */
static int answer_one(const struct types *types, const struct btf_query *query, const struct found *found,
		      const struct btf_value *value, struct btf_answer *answer)
{
	bool asks_whether = value->what == BPF_CORE_FIELD_EXISTS || value->what == BPF_CORE_TYPE_EXISTS;

	*answer = (struct btf_answer){ .known = asks_whether };
	for (unsigned int i = 0; i < found[value->name].nr; i++) {
		struct btf_answer one = { .known = true };

		if (!answer_by(types, query, value, found[value->name].ids[i], &one))
			continue;
		if (answer->known && !asks_whether && (one.value != answer->value || one.size != answer->size)) {
			pr_err("this kernel has several types called %s, and %s of these is not the same in all: the BPF iterator cannot tell which is meant\n",
			       query->names[value->name].name, what_of(query, value));
			return -EINVAL;
		}
		*answer = one;
	}
	return 0;
}

static void want(const struct btf_query *query, struct wanted *wanted)
{
	for (unsigned int i = 0; i < query->nr_names; i++) {
		unsigned int hash = hash_of(query->names[i].name);

		wanted->next[i + 1] = wanted->first[hash];
		wanted->first[hash] = i + 1;
	}
}

int btf_ask(const char *path, const struct btf_query *query, unsigned int *ids, struct btf_answer *answers)
{
	struct found found[MAX_NAMES] = { 0 };
	struct wanted wanted = { 0 };
	struct types types = { .mapping = MAP_FAILED };
	int ret;

	if (query->nr_names > MAX_NAMES) {
		pr_err("more than %u types of this kernel are asked for\n", MAX_NAMES);
		return -E2BIG;
	}
	want(query, &wanted);
	ret = get_types(path, &types);
	ret = ret ? unreadable(ret) : find_parts(&types) ?: pass_over(&types, query, &wanted, found);
	for (size_t i = 0; !ret && i < query->nr_names; i++)
		ids[i] = found[i].ids[0];
	for (size_t i = 0; !ret && i < query->nr_values; i++)
		ret = answer_one(&types, query, found, &query->values[i], &answers[i]);
	put_types(&types);
	return ret;
}
