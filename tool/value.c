// SPDX-License-Identifier: GPL-2.0-only
/* Values of a document: see document.h. */
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "document.h"

static json_t *made(json_t *value)
{
	if (!value)
		tool_no_memory();
	return value;
}

void put(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value))
		tool_no_memory();
}

void add(json_t *array, json_t *value)
{
	if (json_array_append_new(array, value))
		tool_no_memory();
}

json_t *new_object(void)
{
	return made(json_object());
}

json_t *new_array(void)
{
	return made(json_array());
}

json_t *new_versioned(const char *format, const char *version)
{
	json_t *d = new_object();

	put(d, "format", json_string(format));
	put(d, "version", json_string(version));
	return d;
}

json_t *number(int64_t n)
{
	return made(json_integer(n));
}

json_t *truth(bool b)
{
	return json_boolean(b);
}

json_t *hex(uint64_t n)
{
	return made(json_sprintf("0x%" PRIx64, n));
}

json_t *text(const char *text)
{
	char *escaped = tool_escape(text);
	json_t *value = made(json_string(escaped));

	free(escaped);
	return value;
}

json_t *hex_bytes(const uint8_t *bytes, size_t size)
{
	char *digits = malloc(2 * size + 3), *at = digits;
	json_t *value;

	if (!digits)
		tool_no_memory();
	while (size > 1 && !bytes[size - 1])
		size--;
	at += sprintf(at, "0x%x", bytes[size - 1]);
	while (--size)
		at += sprintf(at, "%02x", bytes[size - 1]);
	value = made(json_string(digits));
	free(digits);
	return value;
}

json_t *bits(uint64_t value, const struct bit_name *names, size_t nr)
{
	json_t *list = new_array();

	for (unsigned int bit = 0; bit < 64; bit++) {
		const char *name = NULL;

		if (!(value >> bit & 1))
			continue;
		for (size_t i = 0; i < nr; i++)
			if (names[i].bit == bit)
				name = names[i].name;
		add(list, name ? made(json_string(name)) : made(json_sprintf("bit %u", bit)));
	}
	return list;
}

json_t *named(uint32_t value, const char *const *names, size_t nr)
{
	if (value < nr && names[value])
		return made(json_string(names[value]));
	return made(json_sprintf("%u", value));
}

json_t *hash(const void *bytes, size_t size)
{
	return hex(XXH64(bytes, size, 0));
}

void print_json(json_t *document)
{
	if (json_dumpf(document, stdout, JSON_INDENT(1) | JSON_ENSURE_ASCII))
		tool_error("stdout: it could not be written");
	putchar('\n');
}
