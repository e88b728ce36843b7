/* SPDX-License-Identifier: GPL-2.0-only */
/* Registers by which a guest learns what CPU and what firmware it has, and the names of their fields. */
#ifndef KVM_VGIC_STATE_ID_REG_H
#define KVM_VGIC_STATE_ID_REG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_REG_NAME 48	 /* bytes */
#define ID_REG_FIELDS 64 /* of one register, at most: one for each bit */

struct id_field {
	char name[24]; /* "SVE"; "bits [15:12]" where it has no name here */
	uint8_t msb, lsb;
};

/* One of the space of feature ID registers (op0 3, op1 0, CRn 0, CRm 1 to 7), in which one that is absent
 * reads as 0. */
bool id_reg_is_feature(uint64_t id);
/* A bitmap of hypercall services, in which 0 is none. */
bool id_reg_is_bitmap(uint64_t id);
/* One of KVM's firmware registers, the bitmaps among them. */
bool id_reg_is_firmware(uint64_t id);
/* Any of these, or another that tells what the CPU is: its number, its caches. All vCPUs of a VM have the
 * same. */
bool id_reg_is_identity(uint64_t id);

/* Its name; where it has none here, as an assembler or KVM has it. */
void id_reg_name(uint64_t id, char name[ID_REG_NAME]);

/* Fields of a register of up to 64 bits, from the highest down, which together are all of it; their number.
 */
size_t id_reg_fields(uint64_t id, struct id_field fields[ID_REG_FIELDS]);
uint64_t id_field_mask(const struct id_field *f);

#endif
