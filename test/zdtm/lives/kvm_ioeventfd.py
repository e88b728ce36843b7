# SPDX-License-Identifier: GPL-2.0-only
"""ioeventfds, dumped at random moments."""

import random
import time

import lives


class Lives(lives.Lives):
    needed = ['ioeventfds']

    def dump(self, images, *options, **more):
        time.sleep(random.uniform(0, 0.3))
        return super().dump(images, *options, **more)
