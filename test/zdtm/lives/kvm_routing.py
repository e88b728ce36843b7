# SPDX-License-Identifier: GPL-2.0-only
"""GSI routes, dumped at random moments with interrupts pending, or on their way by an irqfd."""

import random
import time

import lives


class Lives(lives.Lives):
    needed = ['GSI routing', 'irqfds']

    def dump(self, images, *options, **more):
        time.sleep(random.uniform(0, 0.5))
        return super().dump(images, *options, **more)
