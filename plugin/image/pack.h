/* SPDX-License-Identifier: GPL-2.0-only */
/* Messages as they are on the wire: what protobuf_c_message_pack() makes of them, byte for byte, in a third of its time. */
#ifndef KVM_VGIC_IMAGE_PACK_H
#define KVM_VGIC_IMAGE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

/* Zeroed at first. What was packed last is the end of @room, from @at on. Used again for the next message, with the room that there is. */
struct pack {
	uint8_t *room;
	size_t size, at; /* bytes */
};

/* false: there is no memory. @msg has none but types that proto/ has. */
bool pack_message(struct pack *pack, const ProtobufCMessage *msg);
/* Before what was packed: the head of a field that holds it. false, likewise. */
bool pack_head(struct pack *pack, uint32_t field);
void pack_free(struct pack *pack);

static inline size_t pack_len(const struct pack *pack)
{
	return pack->size - pack->at;
}

#endif
