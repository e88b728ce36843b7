/* SPDX-License-Identifier: GPL-2.0-only */
/* Names of a vCPU's registers, for those who look into images. */
#ifndef KVM_VGIC_STATE_REG_NAME_H
#define KVM_VGIC_STATE_REG_NAME_H

#include "state/id_reg.h"

/* As the Arm ARM has it, "X0", "SCTLR_EL1"; where it is not known here, as id_reg_name() says. */
void reg_name(uint64_t id, char name[ID_REG_NAME]);

#endif
