# SPDX-License-Identifier: GPL-2.0-only
"""SVE in the guest: with all vector lengths of the host, then with fewer."""

import lives
from common import discard


class Lives(lives.Lives):
    needed = ['vector lengths', 'SVE registers']

    def more(self):
        self.options = ['--vl=64']
        discard(self.vm)
        self.vm = self.start(self.vm.name)
        for life in self.lives():
            life()
        super().more()
