# SPDX-License-Identifier: GPL-2.0-only
"""A ring of coalesced MMIO, dumped at random moments with writes in it that the VMM has not read."""

import random
import time

import lives


class Lives(lives.Lives):
    needed = ['coalesced MMIO', 'kvm_run bytes']

    def dump(self, images, *options, **more):
        time.sleep(random.uniform(0, 0.3))
        return super().dump(images, *options, **more)
