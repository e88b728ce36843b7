# SPDX-License-Identifier: GPL-2.0-only
"""irqfds, dumped at random moments between a signal and its interrupt."""

import random
import time

import lives


class Lives(lives.Lives):
    needed = ['irqfds', 'drained irqfds']

    def dump(self, images, *options, **more):
        time.sleep(random.uniform(0, 0.3))
        return super().dump(images, *options, **more)
