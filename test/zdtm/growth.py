# SPDX-License-Identifier: GPL-2.0-only
"""What a VMM and the host hold after each cycle: it must not become more from dump to dump."""

import re

from common import fd_table, read
from zdtmvm import Failure, is_alive, tree

SLACK_KB = 2048     # of private memory: what the guest touches for the first time, stacks, heaps

# Figures of the VMM's processes together, and how much more of each there may be.
OF_VMM = {'fds': 0, 'mappings': 0, 'private dirty kB': SLACK_KB, 'resident kB': None}


def kb_of(text, name):
    return int(re.search(rf'^{name}:\s+(\d+)', text, re.M)[1])


def figures(pid):
    pids = tree(pid)
    return {
        'fds': sum(len(fd_table(p)) for p in pids),
        'mappings': sum(len(read(f'/proc/{p}/maps').splitlines()) for p in pids),
        'private dirty kB': sum(kb_of(read(f'/proc/{p}/smaps_rollup'), 'Private_Dirty') for p in pids),
        'resident kB': sum(kb_of(read(f'/proc/{p}/status'), 'VmRSS') for p in pids),
        # Of the host, to look at: other processes have a part in them.
        'unreclaimable slab kB': kb_of(read('/proc/meminfo'), 'SUnreclaim'),
        'open files': int(read('/proc/sys/fs/file-nr').split()[0]),
    }


class Growth:
    """Of one VM. The first restore is the beginning: CRIU leaves some mappings in more pieces than a program makes."""

    def __init__(self):
        self.vm = None
        self.first = self.last = None
        self.cycles = 0

    def look(self, vm):
        """After a cycle, where the VM has not ended with it. Another VM is another beginning."""
        if not is_alive(vm.pid):
            return
        now = figures(vm.pid)
        if vm is not self.vm:
            self.vm, self.first, self.cycles = vm, now, 0
        self.last = now
        self.cycles += 1

    def summary(self):
        return {name: [self.first[name], self.last[name]] for name in self.first} if self.first else {}

    def print(self):
        if self.cycles > 1:
            print(f'  after the first and the last of {self.cycles} restores: ' +
                  ', '.join(f'{name} {a} {b}' for name, (a, b) in self.summary().items()))

    def check(self):
        if not self.first:
            return
        for name, more in OF_VMM.items():
            if more is not None and self.last[name] > self.first[name] + more:
                raise Failure(f'{name} of the VMM have grown in {self.cycles} cycles: {self.first[name]} after the '
                              f'first restore, {self.last[name]} after the last')
