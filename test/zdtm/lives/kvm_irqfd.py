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

    def more(self):
        """Then, with a VMM that has all of the fds that it may have but those that CRIU needs."""
        super().more()
        self.options = ['--full=1']
        self.renew()
        for life in super().lives():
            life()
