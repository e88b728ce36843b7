# SPDX-License-Identifier: GPL-2.0-only
"""Dumps at random moments; what exits they have caught is printed, and the most important ones must be among them."""

import collections
import re

import lives
from common import require
from zdtmvm import Failure, wait_gone

CAUGHT = {'MMIO, pending read', 'MMIO, pending write'}
CAUGHT_RUN = 10         # cycles from which on each must have been caught
TRIES = 12              # for a moment at which the lack of a step, or a completed write, is to be seen
# What a dump has to catch for the lack of a step to be seen.
# That of a write the VMM may have had before.
AT = {'pending exits': CAUGHT, 'kvm_run bytes': {'MMIO, pending read'}}

UNMAPPED = 8    # of kinds of exits in kvm_exits.c: writes whose page is not mapped any more at the dump


class Lives(lives.Lives):
    needed = ['pending exits', 'kvm_run bytes', 'guest debugging', 'capabilities']
    # A replay brings all of kvm_run back but the VMM's answer.
    tries = dict.fromkeys(needed, TRIES)

    def __init__(self, name, args):
        self.caught = collections.Counter()
        self.wanted = set()
        super().__init__(name, args)

    def dump(self, images, *options, **more):
        """Again where a vCPU was interrupted between a single step and the report of it: that is refused."""
        for _ in range(5):
            result = super().dump(images, *options, **more)
            if not any('a single step that the host has pending' in x for x in result.errors):
                break
        return result

    def has_caught(self, result):
        """Whether one of what is wanted is among the exits of this dump."""
        now = set(re.findall(r'kvm_vgic: vm \d+ vcpu \d+ \(id \d+\): exit (\S+, pending \w+)', result.log))
        self.caught.update(now)
        return not self.wanted or now & self.wanted

    def dump_ok(self, images, *options):
        return self.dump_until(images, *options, caught=self.has_caught, tries=20, longest=0.4)

    def left_out(self, what):
        self.wanted = AT.get(what, set())
        try:
            return super().left_out(what)
        finally:
            self.wanted = set()

    def more(self):
        super().more()
        self.completed_by_hand()

    def completed_by_hand(self):
        """Of a VM that makes nothing but such writes, one must be found at its exit."""
        self.options = [f'--kinds={1 << UNMAPPED}']
        self.renew()
        for _ in range(TRIES):
            images = self.images()
            self.dump_ok(images)
            wait_gone(self.vm.pid)
            completed = 'completed: the guest has unmapped its page since' in self.restore_ok(images).log
            self.goes_on()
            if completed:
                return
        raise Failure('no restore has completed a write whose page is not mapped')

    def end(self):
        print('  dumps caught: ' + ', '.join(f'{k}: {n}' for k, n in sorted(self.caught.items())), flush=True)
        missing = CAUGHT - set(self.caught)
        require(not missing or self.args.norst or self.args.cycles < CAUGHT_RUN, f'no dump caught {missing}')
        super().end()
