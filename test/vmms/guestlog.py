# SPDX-License-Identifier: GPL-2.0-only
"""What the guest of a real VMM (load/) says on its serial console."""

import re
import time

from zdtmvm import Failure

KINDS = ['disk', 'timer', 'ipi', 'net', 'rng', 'lpi']
REPORT = re.compile('load: (works|asked|end): ' + ' '.join(rf'{k} (\d+)' for k in KINDS) + r' right, (\d+) wrong')
STARTED = re.compile(r'load: start: (\d+) vCPUs')
SAYINGS = re.compile(r'load: (start: \d+ vCPUs|power button)')
SILENCE = 300           # seconds; a guest that says nothing for so long hangs
SETTLED = 25            # seconds of the guest's; an RCU stall is told of after 21
BOOT = 900              # it says next to nothing while it boots
# What a kernel says at its end; and of a slow CPU, which emulated ones are, dump or no dump: the host's own kernel says it too.
EXPECTED = re.compile(r'\[ *\d+\.\d+\] (reboot: Power down|hrtimer: interrupt took \d+ ns)\n')


class Report:
    def __init__(self, match):
        self.what = match[1]
        self.right = dict(zip(KINDS, map(int, match.groups()[1:-1])))
        self.wrong = int(match.groups()[-1])


class GuestLog:
    """The file that the VMM writes the console to. @kinds: what the guest has to work on."""

    def __init__(self, path, alive, kinds=KINDS):
        self.path, self.alive, self.kinds = path, alive, kinds
        self.silence = SILENCE

    def lines(self):
        """The complete ones; from the guest's start on where it has started."""
        try:
            with open(self.path, errors='replace') as f:
                # Taken out before: it may stand within a line of ours.
                lines = EXPECTED.sub('', f.read().replace('\r', '')).split('\n')[:-1]
        except FileNotFoundError:
            return []
        starts = [i for i, line in enumerate(lines) if STARTED.fullmatch(line)]
        return lines[starts[0]:] if starts else lines

    def started(self):
        return bool(STARTED.fullmatch((self.lines() or [''])[0]))

    def reports(self):
        return [Report(m) for m in map(REPORT.fullmatch, self.lines()) if m]

    def complaints(self):
        """Every line that is not the load's own, or speaks of something wrong: the kernel has no reason to say anything."""
        if not self.started():
            return []
        return [x for x in self.lines() if not REPORT.fullmatch(x) and not SAYINGS.fullmatch(x)]

    def says(self, line):
        return line in self.lines()

    def check(self):
        complaints = self.complaints()
        if complaints:
            raise Failure('the guest complains: ' + ' | '.join(complaints[:3]))
        if any(r.wrong for r in self.reports()):
            raise Failure('the guest counts something wrong')

    def wait(self, done, what, silence=None):
        """@done: returns what is true once it has happened. As long as the guest says something there is hope, up to a limit."""
        silence = silence or self.silence
        end = time.monotonic() + 2 * silence
        said, last = len(self.lines()), time.monotonic()
        while True:
            self.check()
            result = done()
            if result:
                return result
            if not self.alive():
                raise Failure(f'the VMM has ended, before {what}')
            now = time.monotonic()
            if len(self.lines()) != said:
                said, last = len(self.lines()), now
            if now > end or now - last > silence:
                raise Failure(f'{what}: not in {silence if now <= end else 2 * silence} s')
            time.sleep(0.1)

    def wait_started(self, vcpus):
        self.wait(self.reports, 'the guest has started', BOOT)
        came = int(STARTED.fullmatch(self.lines()[0])[1])
        if came != vcpus:
            raise Failure(f'the guest has {came} vCPUs, {vcpus} expected')

    def wait_settled(self):
        """As long as its kernel takes to complain of a stall: the guest reports once a second of its own time."""
        known = len(self.reports())
        self.wait(lambda: self.reports()[known + SETTLED:], f'{SETTLED} seconds of the guest\'s')

    def wait_moved(self, base):
        """Every kind of work goes on since @base, which the guest was asked for: that it was about to say something when it was
        dumped tells nothing."""
        def still():
            last = self.reports()[-1]
            return [k for k in self.kinds if last.right[k] <= base.right[k]]
        try:
            self.wait(lambda: not still(), 'all kinds of work go on')
        except Failure as e:
            raise Failure(f'{e}: {", ".join(still())}' if still() else str(e)) from e
        return self.reports()[-1]

    def wait_report(self, what):
        known = len([r for r in self.reports() if r.what == what])
        return lambda: self.wait(lambda: [r for r in self.reports() if r.what == what][known:], f'the report "{what}"')[0]
