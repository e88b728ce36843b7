# SPDX-License-Identifier: GPL-2.0-only
"""Capabilities with values. What neither the guest nor the VMM can see of them, this driver sees from outside."""

import glob
import os
import platform
import re
import shutil
import time

import lives
from common import read
from zdtmvm import Failure

POLLS = 'halt_attempted_poll'


class Lives(lives.Lives):
    needed = ['KVM_CAP_HALT_POLL', 'KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE']
    capabilities = None     # as the first dump has told them

    def __init__(self, name, args):
        if not platform.release().startswith('6.12.'):
            self.needed = [*self.needed, 'KVM_CAP_ARM_WRITABLE_IMP_ID_REGS', 'KVM_CAP_ARM_SEA_TO_USER']
        super().__init__(name, args)

    def polls(self):
        """How often its vCPUs have polled before they slept; of a restored VM, since then."""
        paths = glob.glob(f'/sys/kernel/debug/kvm/{self.vm.pid}-*/{POLLS}')
        if len(paths) != 1:
            raise Failure(f'the VMs of pid {self.vm.pid} in debugfs are {paths}')
        return int(read(paths[0]))

    def check_polls(self):
        end = time.monotonic() + 30
        while not self.polls():
            if time.monotonic() > end:
                raise Failure(f'no vCPU polls: {POLLS} is 0')
            time.sleep(0.1)

    def check_told(self, result):
        told = re.findall(r'kvm_vgic: .*?: capabilities: (.*)', result.log)
        result.require(len(told) == 1, f'the capabilities were told {len(told)} times')
        if self.capabilities is None:
            Lives.capabilities = told[0]
            print(f'  {told[0]}', flush=True)
        result.require(told[0] == self.capabilities, f'the capabilities are {told[0]}, not {self.capabilities}')

    def dump_ok(self, images, *options):
        self.check_polls()
        result = super().dump_ok(images, *options)
        self.check_told(result)
        return result

    def goes_on(self):
        super().goes_on()
        self.check_polls()
        # What only KVM sees, the next dump tells.
        images = self.images()
        self.check_told(super().dump(images, '-R'))
        shutil.rmtree(images)
        assert os.path.exists(f'/proc/{self.vm.pid}')
