// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the end of a message to its beginning, so that the length of what is in it is known when it comes to be written: each
 * value is looked at once, where protobuf-c counts the bytes of it first, of all messages around it anew.
 */
#include <stdlib.h>
#include <string.h>

#include "image/pack.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed64 is what memory has");

#define VARINT_MAX 10u
#define FIRST_ROOM 16384u

/* Room for @n bytes more, before what is there. */
static bool reserve(struct pack *p, size_t n)
{
	size_t len = pack_len(p), size = p->size ? p->size : FIRST_ROOM;
	uint8_t *room;

	if (p->at >= n)
		return true;
	while (size - len < n)
		size *= 2;
	room = malloc(size);
	if (!room)
		return false;
	if (len)
		memcpy(room + size - len, p->room + p->at, len);
	free(p->room);
	*p = (struct pack){ .room = room, .size = size, .at = size - len };
	return true;
}

void pack_free(struct pack *pack)
{
	free(pack->room);
	*pack = (struct pack){ 0 };
}

/* The following, but for those that say so, have room. */

/* Before @at: where it begins. */
static inline uint8_t *varint(uint8_t *at, uint64_t v)
{
	uint8_t *end = at;

	/* Most have one byte or two. */
	if (v < 0x80) {
		*--at = v;
		return at;
	}
	if (v < 0x4000) {
		*--at = v >> 7;
		*--at = v | 0x80;
		return at;
	}
	at -= (63 - __builtin_clzll(v)) / 7 + 1;
	for (uint8_t *byte = at; byte < end; byte++, v >>= 7)
		*byte = v | 0x80;
	end[-1] &= 0x7f;
	return at;
}

static void put_varint(struct pack *p, uint64_t v)
{
	p->at = varint(p->room + p->at, v) - p->room;
}

static void put(struct pack *p, const void *bytes, size_t n)
{
	p->at -= n;
	memcpy(p->room + p->at, bytes, n);
}

static void put_tag(struct pack *p, uint32_t field, ProtobufCWireType type)
{
	put_varint(p, (uint64_t)field << 3 | type);
}

/* What was put since @len bytes were there, as field @field. Sees to its room. */
static bool end_field(struct pack *p, uint32_t field, size_t len)
{
	if (!reserve(p, 2 * VARINT_MAX))
		return false;
	put_varint(p, pack_len(p) - len);
	put_tag(p, field, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
	return true;
}

bool pack_head(struct pack *pack, uint32_t field)
{
	return end_field(pack, field, 0);
}

static bool put_bytes(struct pack *p, uint32_t field, const void *bytes, size_t n)
{
	size_t len = pack_len(p);

	if (!reserve(p, n))
		return false;
	if (n)
		put(p, bytes, n);
	return end_field(p, field, len);
}

/* A number by its wire type, without a tag. */
static void put_number(struct pack *p, ProtobufCType type, const void *value)
{
	switch (type) {
	case PROTOBUF_C_TYPE_UINT32:
		put_varint(p, *(const uint32_t *)value);
		break;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_ENUM:
		put_varint(p, (int64_t) * (const int32_t *)value); /* one below 0 has 64 bits */
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
		put_varint(p, *(const uint64_t *)value);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		put_varint(p, *(const protobuf_c_boolean *)value ? 1 : 0);
		break;
	case PROTOBUF_C_TYPE_FIXED32:
		put(p, value, sizeof(uint32_t));
		break;
	case PROTOBUF_C_TYPE_FIXED64:
		put(p, value, sizeof(uint64_t));
		break;
	default:
		abort(); /* proto/ has no other */
	}
}

static ProtobufCWireType wire_type(ProtobufCType type)
{
	if (type == PROTOBUF_C_TYPE_FIXED32)
		return PROTOBUF_C_WIRE_TYPE_32BIT;
	return type == PROTOBUF_C_TYPE_FIXED64 ? PROTOBUF_C_WIRE_TYPE_64BIT : PROTOBUF_C_WIRE_TYPE_VARINT;
}

static bool put_message(struct pack *p, const ProtobufCMessage *msg);

/* One value of @field, with its tag. */
static bool put_field(struct pack *p, const ProtobufCFieldDescriptor *field, const void *value)
{
	const ProtobufCBinaryData *data = value;
	size_t len = pack_len(p);

	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		return put_message(p, *(const ProtobufCMessage *const *)value) && end_field(p, field->id, len);
	case PROTOBUF_C_TYPE_STRING:
		return put_bytes(p, field->id, *(const char *const *)value, strlen(*(const char *const *)value));
	case PROTOBUF_C_TYPE_BYTES:
		return put_bytes(p, field->id, data->data, data->len);
	default:
		if (!reserve(p, 2 * VARINT_MAX))
			return false;
		put_number(p, field->type, value);
		put_tag(p, field->id, wire_type(field->type));
		return true;
	}
}

static size_t value_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return sizeof(uint32_t);
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(ProtobufCMessage *);
	default:
		abort(); /* no list in proto/ is of another */
	}
}

static void put_varints(struct pack *p, const ProtobufCFieldDescriptor *field, const char *values, size_t n)
{
	uint8_t *at = p->room + p->at;

	if (field->type == PROTOBUF_C_TYPE_UINT32)
		while (n--)
			at = varint(at, ((const uint32_t *)values)[n]);
	else
		while (n--)
			at = varint(at, ((const uint64_t *)values)[n]);
	p->at = at - p->room;
}

static bool put_packed(struct pack *p, const ProtobufCFieldDescriptor *field, const char *values, size_t n)
{
	size_t size = value_size(field->type), len = pack_len(p);

	if (!reserve(p, n * VARINT_MAX))
		return false;
	if (wire_type(field->type) != PROTOBUF_C_WIRE_TYPE_VARINT)
		put(p, values, n * size);
	else
		put_varints(p, field, values, n);
	return end_field(p, field->id, len);
}

static bool put_list(struct pack *p, const ProtobufCFieldDescriptor *field, const char *values, size_t n)
{
	size_t size = value_size(field->type);
	bool ok = true;

	if (field->flags & PROTOBUF_C_FIELD_FLAG_PACKED)
		return !n || put_packed(p, field, values, n);
	while (ok && n--)
		ok = put_field(p, field, values + n * size);
	return ok;
}

/* Whether a field that may be missing is there. */
static bool is_there(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
	const char *member = (const char *)msg + field->offset;

	if (field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_STRING)
		return *(const void *const *)member;
	return *(const protobuf_c_boolean *)((const char *)msg + field->quantifier_offset);
}

/* What a newer version has put there, behind all else. */
static bool put_unknown(struct pack *p, const ProtobufCMessage *msg)
{
	for (size_t i = msg->n_unknown_fields; i--;) {
		const ProtobufCMessageUnknownField *field = &msg->unknown_fields[i];

		if (!reserve(p, field->len + VARINT_MAX))
			return false;
		put(p, field->data, field->len);
		put_tag(p, field->tag, field->wire_type);
	}
	return true;
}

static bool put_message(struct pack *p, const ProtobufCMessage *msg)
{
	const ProtobufCMessageDescriptor *type = msg->descriptor;
	bool ok = put_unknown(p, msg);

	for (unsigned int i = type->n_fields; ok && i--;) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		const char *member = (const char *)msg + field->offset;

		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			ok = put_list(p, field, *(const char *const *)member,
				      *(const size_t *)((const char *)msg + field->quantifier_offset));
		else if (field->label == PROTOBUF_C_LABEL_REQUIRED || is_there(msg, field))
			ok = put_field(p, field, member);
	}
	return ok;
}

bool pack_message(struct pack *pack, const ProtobufCMessage *msg)
{
	pack->at = pack->size;
	return put_message(pack, msg);
}
