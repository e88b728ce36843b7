# SPDX-License-Identifier: GPL-2.0-only
"""Three dumps of four find an SError pending, masked or with an access to be completed first; it is taken, and others come."""

import struct
import time

import lives
from common import ODD_RAM_ADDR, require
from zdtmvm import Failure

# struct events_guest of static/kvm_vcpu_events.c, in the page of vCPU 1.
ADDR = ODD_RAM_ADDR + 0x9000 + 88
IDLE, PENDING, AT_EXIT = 0, 2, 4
STAY = {IDLE: 1, PENDING: 2, AT_EXIT: 3}


class Lives(lives.Lives):
    needed = ['vCPU events']

    def __init__(self, name, args):
        self.caught = dict.fromkeys(STAY, 0)
        self.always = None
        super().__init__(name, args)

    def phase_and_taken(self):
        with open(f'/proc/{self.vm.pid}/mem', 'rb', buffering=0) as mem:
            mem.seek(ADDR + 8)
            return struct.unpack('<2Q', mem.read(16))

    def stay(self, what):
        with open(f'/proc/{self.vm.pid}/mem', 'r+b', buffering=0) as mem:
            mem.seek(ADDR)
            mem.write(struct.pack('<Q', what))

    def wait(self, what, condition):
        end = time.monotonic() + 60
        while not condition():
            self.vm.stats().check()
            if time.monotonic() > end:
                raise Failure(f'in 60 s {what}')
            time.sleep(0.01)

    def dump_ok(self, images, *options):
        phase = self.always or self.rng.choice([IDLE, PENDING, AT_EXIT, AT_EXIT])
        self.stay(STAY[phase])
        self.wait(f'it comes to no phase {phase}', lambda: self.phase_and_taken()[0] == phase)
        time.sleep(self.rng.uniform(0.02, 0.2))
        self.caught[phase] += 1
        result = super().dump_ok(images, *options)
        result.require(phase != AT_EXIT or 'vcpu 1 (id 1): exit MMIO, pending write' in result.log, 'no write is to be completed')
        if '-R' in options:
            self.stay(0)    # at an exit it makes no progress
        return result

    def goes_on(self):
        """One that was pending is taken, and another one after it."""
        taken = self.phase_and_taken()[1]
        self.stay(0)
        super().goes_on()
        self.wait('no SErrors are taken', lambda: self.phase_and_taken()[1] >= taken + 2)

    def left_out(self, what):
        self.always = PENDING
        return super().left_out(what)

    def end(self):
        print(f'  dumps with an SError pending: {self.caught[PENDING]}, at an exit: {self.caught[AT_EXIT]}, with none: '
              f'{self.caught[IDLE]}', flush=True)
        require(self.args.norst or self.args.cycles < 10 or all(self.caught.values()), 'no dump caught one or none')
        super().end()
