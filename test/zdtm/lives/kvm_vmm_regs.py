# SPDX-License-Identifier: GPL-2.0-only
"""Each of the things that the VMM's first thread and those of its vCPUs can be doing, in turn.

Its vCPUs are at an exit nearly always: the plugin has to run system calls in their threads.
"""

import re
import shutil

import lives
from common import SmallVm, require

LEADERS = ['spin', 'rseq', 'call']


class Lives(lives.Lives):
    def start(self, name):
        self.leaders = LEADERS[1:]
        self.replays = 0
        return SmallVm(name, ['--leader=' + LEADERS[0]])

    def restore_ok(self, images, *options):
        result = super().restore_ok(images, *options)
        threads = [int(x) for x in re.findall(r'pending \w+ at \S+ replayed in thread (\d+)', result.log)]
        result.require(self.vm.pid not in threads, f'replayed in {threads}, of which {self.vm.pid} is the first thread')
        self.replays += len(threads)
        return result

    def end(self):
        super().end()
        require(self.replays, 'no restore has run a system call in the thread of a vCPU')
        self.replays = 0

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
