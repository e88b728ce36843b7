# SPDX-License-Identifier: GPL-2.0-only
"""A PMU in the guest: with a filter that lets it count cycles, then with one that does not.

Every dump finds a vCPU with a read that is to be completed: its PMU goes on where that is done by its own thread.
"""

import os
import random
import shutil
import time

import lives
from zdtmvm import Failure, wait_gone

TRIES = 20


class Lives(lives.Lives):
    needed = ['PMU', 'PMU event filter', 'PMU counters']

    def __init__(self, name, args):
        self.rng = random.Random(args.seed)
        super().__init__(name, args)

    def dump_ok(self, images, *options):
        for _ in range(TRIES):
            time.sleep(self.rng.uniform(0.02, 0.2))
            result = super().dump_ok(images, *options)
            if 'exit MMIO, pending read' in result.log:
                return result
            if '-R' not in options:
                wait_gone(self.vm.pid)
                self.restore_ok(images)
            shutil.rmtree(images)
            os.mkdir(images)
        raise Failure(f'{TRIES} dumps, and none found a read to be completed')

    def more(self):
        self.needed = self.needed + ['threads of vCPUs']
        super().more()
        self.needed = Lives.needed
        self.options = ['--deny_cycles']
        self.renew()
        for life in self.lives():
            life()
        super().more()
