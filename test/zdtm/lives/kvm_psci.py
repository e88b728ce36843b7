# SPDX-License-Identifier: GPL-2.0-only
"""vCPUs off, suspended and not yet started: woken after each restore, and dumped while all are being woken."""

import random
import struct
import time

import lives
from common import require
from zdtmvm import Failure

WANTED = 0x5a0000100000 + 0x8000 + 88   # struct psci_guest.wanted of vCPU 0, and .done


class Lives(lives.Lives):
    needed = ['power states']
    busy = False        # it is dumped while the vCPUs are being woken

    def rounds(self):
        """(wanted, done)"""
        with open(f'/proc/{self.vm.pid}/mem', 'rb', buffering=0) as mem:
            mem.seek(WANTED)
            return struct.unpack('<2Q', mem.read(16))

    def want(self, rounds):
        with open(f'/proc/{self.vm.pid}/mem', 'r+b', buffering=0) as mem:
            mem.seek(WANTED)
            mem.write(struct.pack('<Q', rounds))

    def wait_done(self, rounds, seconds=120):
        end = time.monotonic() + seconds
        while self.rounds()[1] < rounds:
            self.vm.stats().check()
            if time.monotonic() > end:
                raise Failure(f'of {rounds} rounds {self.rounds()[1]} were done in {seconds} s')
            time.sleep(0.02)

    def dump(self, images, *options, **more):
        """At a moment of quiet, or at any."""
        wanted, done = self.rounds()
        if self.busy:
            self.want(1 << 40)
            time.sleep(random.uniform(0, 0.5))
        else:
            require(wanted == done, 'the vCPUs are still being woken')
        return super().dump(images, *options, **more)

    def wake_all(self):
        done = self.rounds()[1]
        self.want(done + 2)
        self.wait_done(done + 2)

    def goes_on(self):
        super().goes_on()
        self.wake_all()

    def failing_dump(self):
        super().failing_dump()
        self.wake_all()

    def leave_running(self):
        super().leave_running()
        self.busy = not self.busy

    def system_suspended(self):
        """The same with KVM_MP_STATE_SUSPENDED."""
        self.options = ['--system_suspend=1']
        self.renew()
        for _ in range(2):
            for live in self.lives():
                live()

    def more(self):
        super().more()
        self.busy = False
        self.system_suspended()
