# SPDX-License-Identifier: GPL-2.0-only
"""A PMU in the guest: with a filter that lets it count cycles, then with one that does not.

Every dump finds a vCPU with a read that is to be completed: its PMU goes on where that is done by its own thread.
"""

import lives


class Lives(lives.Lives):
    needed = ['PMU', 'PMU event filter', 'PMU counters']

    def dump_ok(self, images, *options):
        return self.dump_until(images, *options, tries=20, longest=0.2,
                               caught=lambda result: 'exit MMIO, pending read' in result.log)

    def more(self):
        self.needed = self.needed + ['threads of vCPUs']
        super().more()
        self.needed = Lives.needed
        self.options = ['--deny_cycles']
        self.renew()
        for life in self.lives():
            life()
        super().more()
