# SPDX-License-Identifier: GPL-2.0-only
"""Dirty logs: of a VMM that KVM_GET_DIRTY_LOG clears them for, and of ones that clear them by themselves."""

from common import discard, kvm_parts
from zdtmvm import Failure, wait_gone

import lives


class Lives(lives.Lives):
    needed = ['dirty logs']

    def not_read(self):
        """A dump that tells nothing of them is seen too: all pages are clean then."""
        images = self.images()
        self.parts = kvm_parts(self.vm.pid)
        result = self.dump(images, env={'KVM_VGIC_SKIP': 'dirty logs'})
        result.require(result.status == 0, f'criu dump failed with {result.status}')
        wait_gone(self.vm.pid)
        self.restore_ok(images)
        try:
            self.vm.wait_moved(self.vm.stats())
            self.end()
        except Failure as e:
            print(f'  not dumped: {str(e).strip().splitlines()[-1]}', flush=True)
            discard(self.vm)
            self.vm = self.start(self.vm.name)
            return
        raise Failure('a dump without dirty logs is as good as one with them')

    def more(self):
        super().more()
        self.not_read()
        for manual in self.sample((1, 3), 1):
            self.options = [f'--manual={manual}']
            self.renew()
            for life in self.lives():
                life()
            super().more()
