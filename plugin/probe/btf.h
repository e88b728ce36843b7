/* SPDX-License-Identifier: GPL-2.0-only */
/* What BPF programs ask of the running kernel's types (CO-RE), answered by one pass over its BTF. */
#ifndef KVM_VGIC_PROBE_BTF_H
#define KVM_VGIC_PROBE_BTF_H

#include <stdbool.h>
#include <stddef.h>

/* A type or function, by name and BTF_KIND_*. */
struct btf_name {
	const char *name; /* of three characters at least */
	unsigned int kind;
};

/* From a type to one of its members, which may be a member of one without a name; or to an element of an array. */
struct btf_step {
	const char *member; /* NULL: an element */
	unsigned short index;
	unsigned short kinds; /* BTF_KIND_* of that, in five bits; of an array, the next five are of its elements */
};

/* One question: enum bpf_core_relo_kind, of the member that the steps lead to from a type; or of an enumerator. */
struct btf_value {
	unsigned short name; /* of the type */
	unsigned char what;
	unsigned char size; /* of the member as the program knows it; 0: it has none that can be loaded */
	unsigned short first_step, nr_steps;
};

struct btf_query {
	const struct btf_name *names;
	const struct btf_step *steps;
	const struct btf_value *values;
	size_t nr_names, nr_values;
};

struct btf_answer {
	bool known; /* false: the kernel has no such member or type */
	bool can_widen;	 /* an unsigned number or a pointer: one of another size means the same */
	unsigned char size; /* of the member */
	unsigned int value;
};

/*
 * Of the kernel whose BTF is in @path: the id of each name (0: it has none) in @ids, and the answers. 0 or a negative
 * errno, logged: -EINVAL also where there are several types of a name, and these answer differently.
 */
int btf_ask(const char *path, const struct btf_query *query, unsigned int *ids, struct btf_answer *answers);

#endif
