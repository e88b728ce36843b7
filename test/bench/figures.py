# SPDX-License-Identifier: GPL-2.0-only
"""What the plugin and the kernel's trace say, what becomes of many such figures, and how they are shown."""

import re
import statistics

SPENT = re.compile(r'kvm_vgic: the (dump|restore) took (\d+) us \((.*)\), (\d+) ioctls and (\d+) other system calls '
                   r'in (\d+) round trips of (\d+) us')
PART = re.compile(r'([a-z_ ]+) (\d+)(?:, |$)')
SIGURG = 23
KVM_IOCTLS = 0xae


class Trouble(Exception):
    pass


class Spent:
    """The plugin's line at the end of a dump or a restore."""

    def __init__(self, log, action):
        lines = [m for m in SPENT.finditer(log) if m[1] == action]
        if len(lines) != 1:
            raise Trouble(f'{len(lines)} lines of the plugin tell how long the {action} took, not one')
        line = lines[0]
        self.us = int(line[2])
        self.parts = {name: int(us) for name, us in PART.findall(line[3])}
        self.ioctls, self.others, self.trips, self.trips_us = map(int, line.group(4, 5, 6, 7))


def traced(trace, pid):
    """(KVM's ioctls, round trips) of process @pid, as tracepoints have seen them. What a thread does in a round trip ends in a
    SIGURG that it sends itself; its first thread has a part in each. What a thread does by itself comes before the first of
    them or after the last: a restored process makes its VM before, and its vCPUs run after."""
    ioctls = trips = 0
    waiting = {}        # of each thread that has sent itself one, ioctls since
    for line in trace.splitlines():
        call = re.match(r'\s*\S.*-(\d+)\s+\[\d+\].*: sys_(ioctl|tgkill)\((.*)\)', line)
        if not call:
            continue
        tid = int(call[1])
        values = {name: int(value, 16) for name, value in re.findall(r'(\w+): (?:0x)?([0-9a-f]+)', call[3])}
        if call[2] == 'ioctl':
            if tid in waiting:
                waiting[tid] += (values['cmd'] >> 8 & 0xff) == KVM_IOCTLS
        elif values['sig'] == SIGURG and (values['tgid'], values['pid']) == (pid, tid):
            trips += tid == pid
            ioctls += waiting.get(tid, 0)
            waiting[tid] = 0
    return ioctls, trips


class Figures:
    """Of one thing that is measured many times."""

    def __init__(self):
        self.values = []

    def add(self, value):
        self.values.append(value)

    def median(self):
        if not self.values:
            raise Trouble('nothing was measured')
        return statistics.median(self.values)

    def same(self, what):
        """Their one value: what must not differ from time to time."""
        if len(set(self.values)) != 1:
            raise Trouble(f'{what} differ from time to time: {sorted(set(self.values))}')
        return self.values[0]


def ratio(a, b):
    """Of two medians."""
    if b.median() <= 0:
        raise Trouble('a ratio to nothing')
    return a.median() / b.median()


def table(head, rows):
    """Columns as wide as they have to be, numbers to the right."""
    lines = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join('  '.join(cell.rjust(width) for cell, width in zip(line, widths)) for line in lines)
