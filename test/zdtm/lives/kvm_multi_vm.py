# SPDX-License-Identifier: GPL-2.0-only
"""Several VMs: a dump that fails leaves all of them running, and a restore that fails runs none."""

import os
import shutil
import struct

import lives
from common import Unharmed, left_of, processes, require
from zdtmvm import wait_gone

# Of the third VM, and of any, at every stage: the failing step is of one VM, and the others are whole by then or not.
DUMP_FAULTS = ['vm 1 GIC addresses', 'vm 3 kvm_run pages', 'vm 4 vCPU registers']
RESTORE_FAULTS = ['vm 3 memslots', 'vm 3 kvm_run pages', 'vm 1 vCPUs may run', 'vm 4 vCPUs may run', 'threads']

# The root without a VM; no VM at all; many.
OTHERS = [['--vms=k,2,0,1,k'], ['--vms=0,k'], ['--vms=8']]


class Lives(lives.Lives):
    options = ['--vms=4,1,k,0,1']

    def failing_dump_of_one(self, point):
        images = self.images()
        unharmed = Unharmed(self.vm)
        result = self.dump(images, env={'KVM_VGIC_FAULT': point})
        result.require(result.status != 0, f'the dump succeeded in spite of a fault at {point}')
        result.require('fault injected: ' + point in result.log, f'there was no fault at {point}')
        unharmed.check(images)
        shutil.rmtree(images)

    def ran(self):
        with open(os.path.join(self.vm.dir, self.vm.name + '.test.ran'), 'rb') as f:
            return struct.unpack('<Q', f.read(8))[0]

    def failing_restore_of_one(self, images, point):
        before = processes()
        ran = self.ran()
        result = lives.criu('restore', images, '-d', env={'KVM_VGIC_FAULT': point})
        result.require(result.status != 0, f'the restore succeeded in spite of a fault at {point}')
        result.require('fault injected: ' + point in result.log, f'there was no fault at {point}')
        result.require('no vCPU of any VM has run' in result.log, 'the log does not say that no vCPU has run')
        require(not left_of(before), f'processes left: {left_of(before)}')
        require(self.ran() == ran, f'after a fault at {point} a VM or a process has run')

    def failing_restores(self):
        """Then one that is none."""
        images = self.images()
        self.dump_ok(images)
        wait_gone(self.vm.pid)
        for point in self.sample(RESTORE_FAULTS, 2):
            self.failing_restore_of_one(images, point)
        self.restore_ok(images)
        self.goes_on()
        shutil.rmtree(images)

    def more(self):
        for point in self.sample(DUMP_FAULTS, 1):
            self.failing_dump_of_one(point)
        self.failing_restores()
        for options in self.sample(OTHERS, 1):
            self.options = options
            self.renew()
            self.leave_running()
            self.dump_and_restore()
