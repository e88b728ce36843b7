# SPDX-License-Identifier: GPL-2.0-only
"""Each stage of a VM's construction is dumped: refused by name, or carried. The construction goes on after it."""

import os
import shutil
import signal
import struct
import time

import lives
from common import Unharmed, require
from zdtmvm import Failure

STAGE_ADDR = 0x5b0000000000
NO_VM = 'only /dev/kvm'
NO_GIC = 'a VM without in-kernel interrupt controller: '
NO_GIC_INIT = 'a GICv3 that was not initialised: '

# What the dump says; None: the stage is carried. In the order of stages[] in static/kvm_stages.c.
STAGES = [
    (NO_VM, None),
    ('a bare VM', NO_GIC),
    ('memory', NO_GIC),
    ('a vCPU without INIT', NO_GIC),
    ('a vCPU with INIT', NO_GIC),
    ('a GIC without addresses', NO_GIC_INIT),
    ('a GIC without INIT', NO_GIC_INIT),
    ('a GIC, a vCPU without INIT', 'a vCPU without KVM_ARM_VCPU_INIT: '),
    ('complete, never run', None),
    ('running', None),
    ('dead', 'the VM is dead (vm_dead): '),
]
RUNNING = 9


class Lives(lives.Lives):
    options = ['--first=1']
    built = False

    def stage(self):
        """How many stages there have been."""
        with open(f'/proc/{self.vm.pid}/mem', 'rb', buffering=0) as mem:
            mem.seek(STAGE_ADDR)
            return struct.unpack('<Q', mem.read(8))[0]

    def next_stage(self):
        want = self.stage() + 1
        os.kill(self.vm.pid, signal.SIGUSR2)
        end = time.monotonic() + 60
        while self.stage() < want:
            if time.monotonic() > end:
                raise Failure(f'stage {want} does not come: {self.vm.output()}')
            time.sleep(0.01)
        require(self.stage() == want, f'stage {self.stage()}, {want} expected')

    def refused(self, says):
        images = self.images()
        unharmed = Unharmed(self.vm)
        result = self.dump(images)
        result.require(result.status != 0, 'the dump succeeded')
        result.require(result.errors and says in result.errors[0], f'the first error does not say "{says}"')
        unharmed.check(images)
        shutil.rmtree(images)

    def try_stage(self):
        name, says = STAGES[self.stage() - 1]
        try:
            if says:
                self.refused(says)
            else:
                for life in self.lives_at(name):
                    life()
        except Failure as e:
            raise Failure(f'stage "{name}": {e}') from e

    def lives_at(self, name):
        lives_here = super().lives()
        if name == NO_VM:
            lives_here.remove(self.failing_dump)    # which looks for a kvm_run that is put back
        return lives_here

    def construction(self):
        """Up to a VM that runs."""
        self.try_stage()
        while self.stage() <= RUNNING:
            self.next_stage()
            self.try_stage()
        self.built = True

    def lives(self):
        return super().lives() if self.built else [self.construction]

    def more(self):
        self.next_stage()
        self.try_stage()
