/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether CRIU's images go through criu-image-streamer (--stream). */
#ifndef KVM_VGIC_STREAMED_H
#define KVM_VGIC_STREAMED_H

#include <stdbool.h>

bool images_are_streamed(void);

#endif
