# SPDX-License-Identifier: GPL-2.0-only
"""A PMU in the guest: with a filter that lets it count cycles, then with one that does not."""

import lives


class Lives(lives.Lives):
    needed = ['PMU', 'PMU event filter', 'PMU counters']

    def more(self):
        super().more()
        self.options = ['--deny_cycles']
        self.renew()
        for life in self.lives():
            life()
        super().more()
