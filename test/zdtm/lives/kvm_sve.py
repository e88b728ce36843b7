# SPDX-License-Identifier: GPL-2.0-only
"""SVE in the guest: with all vector lengths of the host, then with fewer."""

import lives


class Lives(lives.Lives):
    needed = ['vector lengths', 'SVE registers']

    def more(self):
        self.options = ['--vl=64']
        self.renew()
        for life in self.lives():
            life()
        super().more()
