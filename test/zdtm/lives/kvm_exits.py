# SPDX-License-Identifier: GPL-2.0-only
"""Dumps at random moments; what exits they have caught is printed, and the most important ones must be among them."""

import collections
import random
import re
import shutil
import time

import lives
from common import require
from zdtmvm import wait_gone

CAUGHT = ['MMIO, pending read', 'MMIO, pending write']
CAUGHT_RUN = 10         # cycles from which on each must have been caught
# What a dump has to catch for the lack of a step to be seen.
AT = {'pending exits': CAUGHT}


class Lives(lives.Lives):
    needed = ['pending exits', 'kvm_run bytes', 'guest debugging', 'capabilities']

    def __init__(self, name, args):
        self.rng = random.Random(args.seed)
        self.caught = collections.Counter()
        self.now = set()
        super().__init__(name, args)

    def dump_ok(self, images, *options):
        time.sleep(self.rng.uniform(0.02, 0.4))
        result = super().dump_ok(images, *options)
        self.now = set(re.findall(r'kvm_vgic: vm \d+ vcpu \d+ \(id \d+\): exit (\S+, pending \w+)', result.log))
        self.caught.update(self.now)
        return result

    def wait_for(self, exits):
        """Dumps and restores until one of @exits has been caught: the next dump is to be of the same moment."""
        for _ in range(20):
            images = self.images()
            self.dump_ok(images, '-R')
            shutil.rmtree(images)
            if self.now & set(exits):
                return
        require(False, f'no dump caught any of {exits}')

    def end(self):
        print('  dumps caught: ' + ', '.join(f'{k}: {n}' for k, n in sorted(self.caught.items())), flush=True)
        missing = [x for x in CAUGHT if not self.caught[x]]
        require(not missing or self.args.norst or self.args.cycles < CAUGHT_RUN, f'no dump caught: {missing}')
        super().end()
