# SPDX-License-Identifier: GPL-2.0-only
"""Each of the things that the VMM's first thread and those of its vCPUs can be doing, in turn."""

import shutil

import lives
from common import SmallVm

LEADERS = ['spin', 'rseq', 'call']


class Lives(lives.Lives):
    def start(self, name):
        self.leaders = LEADERS[1:]
        return SmallVm(name, ['--leader=' + LEADERS[0]])

    def next_leader(self):
        """The end of one VM, and another one."""
        self.end()
        shutil.rmtree(self.vm.dir)
        self.vm = SmallVm(self.vm.name, ['--leader=' + self.leaders.pop(0)])

    def more(self):
        while self.leaders:
            self.next_leader()
            for live in self.lives():
                live()
