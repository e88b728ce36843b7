# SPDX-License-Identifier: GPL-2.0-only
"""A ring of coalesced MMIO, dumped at random moments with writes in it that the VMM has not read."""

import random
import time

import lives


class Lives(lives.Lives):
    needed = ['coalesced MMIO', 'kvm_run bytes']
    tries = {'kvm_run bytes': 5}        # the ring is empty where the VMM has just read it

    def dump(self, images, *options, **more):
        time.sleep(random.uniform(0, 0.3))
        return super().dump(images, *options, **more)
