# SPDX-License-Identifier: GPL-2.0-only
"""What the plugin and the kernel's trace say, what becomes of many such figures, and how they are shown."""

import collections
import re
import statistics

SPENT = re.compile(r'kvm_vgic: the (dump|restore) took (\d+) us \((.*)\), (\d+) ioctls and (\d+) other system calls '
                   r'in (\d+) round trips of (\d+) us')
PART = re.compile(r'([a-z_ ]+) (\d+)(?:, |$)')
SIGURG = 23
KVM_IOCTLS = 0xae
PTRACE_CONT, PTRACE_GETREGSET, PTRACE_SETREGSET, PTRACE_INTERRUPT = 7, 0x4204, 0x4205, 0x4207


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


class Traced(collections.namedtuple('Traced', 'ioctls signals gone')):
    """What tracepoints have seen of a thread: KVM's ioctls; SIGURGs that it sent itself, one at the end of each round trip; and how
    often its tracer has set its registers and set it going, to read its registers as the next thing, which CRIU does not of its own.
    One that is interrupted runs nothing: PTRACE_CONT only takes it from one stop to another."""

    def __str__(self):
        return f'{self.ioctls} ioctls, {self.gone} PTRACE_CONT, {self.signals} SIGURG'


def sys_calls(trace):
    """(thread, name, its arguments) of each line that is one of those that are traced."""
    for line in trace.splitlines():
        call = re.match(r'\s*\S.*-(\d+)\s+\[\d+\].*: sys_(ioctl|tgkill|ptrace)\((.*)\)', line)
        if call:
            yield int(call[1]), call[2], {name: int(value, 16) for name, value in re.findall(r'(\w+): (?:0x)?([0-9a-f]+)', call[3])}


def traced(trace, pid):
    """Of thread @pid. A restored process makes its VM before the first round trip, by itself."""
    ioctls = signals = gone = 0
    is_set = is_going = False
    for thread, name, values in sys_calls(trace):
        if name == 'ptrace' and values['pid'] == pid:
            request = values['request']
            gone += is_going and request == PTRACE_GETREGSET
            is_going = is_set and request == PTRACE_CONT
            is_set = request == PTRACE_SETREGSET or is_set and request not in (PTRACE_CONT, PTRACE_INTERRUPT)
        elif name == 'tgkill' and thread == pid:
            signals += values['sig'] == SIGURG
        elif name == 'ioctl' and thread == pid and signals:
            ioctls += (values['cmd'] >> 8 & 0xff) == KVM_IOCTLS
    return Traced(ioctls, signals, gone)


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
