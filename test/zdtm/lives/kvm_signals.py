# SPDX-License-Identifier: GPL-2.0-only
"""Whoever ends criu in the middle of a dump does not end the VM."""

import collections
import os
import re
import shutil
import signal
import subprocess
import time

import lives
from common import Result, Unharmed, criu_ok, discard, finish, read, require
from zdtmvm import SILENCE, Failure, is_alive, wait_gone

GENTLE = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT]
ALL = GENTLE + [signal.SIGKILL]
TIMEOUT = 60            # seconds for criu to end
NR_RANDOM = 2           # moments in a cycle that no line of the log tells
NR_GENTLE = 5           # moments in a cycle, beside the swap, at which criu is asked to end
NR_KILLED = 4           # and at which it is killed

# What dump.log says at the moment, and a name for it.
MOMENTS = {
    'begin': 'Dumping processes',
    'probe is loaded': "`kvm_vgic_plugin' hook 10 ",
    'tasks are seized': 'Seized task',
    'VM is read': 'step 3 of',
    'VM was read': 'kvm_run pages: done',
    'kvm_run is swapped': 'ITSes saved',
    'mappings are read': 'Collecting mappings',
    'parasite is in': 'switched to daemon mode',
    'fds are dumped': "`kvm_vgic_plugin' hook 2 ",
    'pages are dumped': 'Dumping pages',
    'threads are dumped': 'Dumping core for thread',
    'inventory is written': 'Writing image inventory',
    'scripts are run': 'Running post-dump scripts',
    'kvm_run is back': 'kvm_run put back',
}

# One at which the VM goes on, and one at which it stands.
ALWAYS = ['VM is read', 'kvm_run is swapped']

# CRIU runs code of its own in the task from the first of each pair to the second. A task that it leaves there
# ends by SIGTRAP, with a VM or without (compel's syscalls end in a breakpoint). Between the pairs its parasite
# serves a socket, and gives the task back when the other end is gone.
PARASITE = [('Parasite syscall_ip', 'switched to daemon mode'), ('Waiting for', 'Dumping mm')]
PUT_BACK = 'is back in its place: a criu that was killed had left'
SWEEP = 3               # and of its ptrace calls: SIGKILL before each of so many
# The plugin has mapped something of its own in the task between these lines: before so many calls there too. All that is asked of
# vCPUs is asked in the round trip that maps their pages, and the steps are done with it.
MAPPED = [('GIC registers: done', 'kvm_run pages: done'), ('kvm_run pages: done', 'ITSes saved'),
          ('Writing image inventory', 'kvm_run put back')]
SWEEP_MAPPED = 2


def default_signals():
    """In criu, before it is executed: who started the test may ignore or block them."""
    for sig in GENTLE:
        signal.signal(sig, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ALL)


class AtLine:
    """When the log has said @line."""

    def __init__(self, name):
        self.name = name
        self.line = MOMENTS[name]

    def wait(self, process, log):
        end = time.monotonic() + SILENCE
        while process.poll() is None and not (os.path.exists(log) and self.line in read(log)):
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(process.args, SILENCE)


class After:
    """A time after the start."""

    def __init__(self, seconds):
        self.name = f'{seconds:.4f} s'
        self.seconds = seconds

    def wait(self, process, log):
        time.sleep(self.seconds)


class AtPtrace:
    """Before criu's ptrace call number @nr: strace sends the signal itself, which is SIGKILL.

    Not with --seccomp-bpf: the kernel takes no signal from a tracer at the stop which that makes.
    """

    def __init__(self, nr, out, window=None):
        self.name = f'ptrace call {nr}'
        self.window = window        # lines of the log, between which it is
        self.wrap = ['strace', '-f', '-qq', '-o', out, '-e', 'trace=ptrace',
                     '-e', f'inject=ptrace:signal=KILL:when={nr}']

    def wait(self, process, log):
        process.wait(TIMEOUT)


def interrupted(pid, images, sig, moment):
    """criu dump, and @sig for it at @moment. The log ends where a SIGKILL has ended criu."""
    log = os.path.join(images, 'dump.log')
    command = [*getattr(moment, 'wrap', ()), 'criu', 'dump', '-D', images, '-o', log, '-v4', '-t', str(pid)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          preexec_fn=default_signals) as process:
        try:
            moment.wait(process, log)
            process.send_signal(sig)
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired as e:
            process.kill()
            raise Failure(f'criu does not come to "{moment.name}", or does not end by {sig.name} there') from e
    return Result(process.returncode, read(log) if os.path.exists(log) else '', '')


def last_line(result):
    lines = [x for x in result.log.splitlines() if x.strip()]
    return re.sub(r'^\(\S+\)\s*', '', lines[-1]) if lines else ''


def in_parasite(log):
    return any(log.rfind(begin) > log.rfind(end) for begin, end in PARASITE)


def mapped(pid):
    """Where anything is mapped: a copy of a page takes its place exactly."""
    ranges = []
    for line in read(f'/proc/{pid}/maps').splitlines():
        start, end = (int(x, 16) for x in line.split()[0].split('-'))
        if ranges and ranges[-1][1] == start:
            ranges[-1][1] = end
        else:
            ranges.append([start, end])
    return ranges


def counters(vm):
    stats = vm.stats()
    stats.check()
    return stats


def stands(vm):
    """No vCPU makes any progress, for as long as it takes to tell on a busy machine."""
    old = counters(vm)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        time.sleep(0.1)
        if len(counters(vm).not_moved_since(old)) < len(old.counters):
            return False
    return True


def has_ended(pid):
    """Or is about to: its memory is gone before it is."""
    end = time.monotonic() + 2
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.1)
    return not is_alive(pid)


def recover(pid, *options):
    """criu-kvm recover: its exit status, and all that it has said."""
    done = subprocess.run(['criu-kvm', 'recover', *options, str(pid)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=TIMEOUT, check=False)
    return done.returncode, done.stdout.decode(errors='replace').strip()


def recovered(vm, unharmed):
    """One command, and it is what it was."""
    status, said = recover(vm.pid)
    require(status == 0, f'criu-kvm recover ended with {status}: {said}')
    try:
        unharmed.check(vm.dir)
        finish(vm)
    except (Failure, OSError) as e:
        raise Failure(f'recovered ({said}), and {e}') from e


class Trace:
    """The ptrace calls that strace has seen of a dump, and what criu logged between them."""

    def __init__(self, path):
        self.said = []      # (number of ptrace calls before it, line of the log)
        self.nr = 0
        for line in read(path).splitlines():
            if re.match(r'\d+\s+ptrace\(', line):
                self.nr += 1
            elif 'write(' in line:
                self.said.append((self.nr, line))

    def all_calls(self):
        return range(1, self.nr + 1)

    def calls_between(self, begin, end):
        first = [nr for nr, line in self.said if begin in line]
        last = [nr for nr, line in self.said if end in line]
        require(first and last and first[0] + 1 < last[-1], f'no ptrace calls between "{begin}" and "{end}"')
        return range(first[0] + 1, last[-1] + 1)


class Lives(lives.Lives):

    def __init__(self, name, args):
        super().__init__(name, args)
        self.name = name
        self.span = 1           # seconds that a dump takes
        self.traced = None      # what strace saw of one
        self.states = collections.Counter()     # that a SIGKILL left VMs in
        self.in_window = collections.Counter()  # of MAPPED, SIGKILLs that came there

    def trace(self):
        return os.path.join(self.vm.dir, 'strace')

    def measure(self):
        """A whole dump: that every moment can be told, and how long it takes, when criu has been read from the disk."""
        for _ in range(2):
            images = self.images()
            start = time.monotonic()
            result = self.dump_ok(images, '-R')
            self.span = time.monotonic() - start
            missing = [x for x in MOMENTS.values() if x not in result.log]
            result.require(not missing, f'a dump does not say: {missing}')
            shutil.rmtree(images)

    def measure_ptrace(self):
        images = self.images()
        wrap = ['strace', '-f', '-qq', '-s', '200', '-o', self.trace(), '-e', 'trace=ptrace,write']
        result = self.dump(images, '-R', wrap=wrap)
        result.require(result.status == 0, f'criu dump failed under strace with {result.status}')
        self.traced = Trace(self.trace())
        require(self.traced.nr > 50, f'strace has seen {self.traced.nr} ptrace calls of a dump')
        shutil.rmtree(images)

    def random_moments(self):
        return [After(self.rng.uniform(0, self.span)) for _ in range(NR_RANDOM)]

    def some_lines(self, n):
        return [AtLine(x) for x in self.rng.sample(sorted(MOMENTS), n)]

    def some_calls(self, calls, n, window=None):
        return [AtPtrace(x, self.trace(), window) for x in sorted(self.rng.sample(calls, min(n, len(calls))))]

    def gentle(self):
        """Each signal where it could do most harm; one at each of some other moments."""
        for sig in GENTLE:
            self.end_gently(sig, AtLine('kvm_run is swapped'))
        for moment in self.some_lines(NR_GENTLE) + self.random_moments():
            self.end_gently(self.rng.choice(GENTLE), moment)

    def end_gently(self, sig, moment):
        """The dump is given up and the VM is whole; or it was complete, and there are images of it."""
        images = self.images()
        unharmed = Unharmed(self.vm)
        result = interrupted(self.vm.pid, images, sig, moment)
        try:
            require(result.status in (0, 1, -sig), 'not by itself nor by the signal')
            if result.status and is_alive(self.vm.pid):
                unharmed.check(images)
            else:
                self.complete(self.vm, images, result)
        except Failure as e:
            result.fail(f'{sig.name} at "{moment.name}": criu ended with {result.status} after '
                        f'"{last_line(result)}": {e}')
        shutil.rmtree(images)

    def complete(self, vm, images, result):
        """The signal came when all was dumped."""
        require('kvm_run put back' in result.log, 'the VM has ended')
        wait_gone(vm.pid)
        self.restore_ok(images)
        vm.wait_moved(vm.stats())

    def killed(self):
        """Whatever became of the VMs before: they say together what is wrong."""
        moments = [AtLine(x) for x in ALWAYS] + self.some_lines(NR_KILLED) + self.random_moments()
        moments += self.some_calls(self.traced.all_calls(), SWEEP)
        for window in MAPPED:
            moments += self.some_calls(self.traced.calls_between(*window), SWEEP_MAPPED, window)
        wrong = [x for x in map(self.end_by_kill, moments) if x]
        print('  VMs that criu left by SIGKILL: ' + ', '.join(f'{n} {x}' for x, n in sorted(self.states.items())), flush=True)
        require(not wrong, f'{len(wrong)} of {len(moments)} SIGKILLs: ' + '; '.join(wrong))
        require(self.states['stands'] and self.states['goes on'], 'no VM stood, or none went on')
        missed = [x for x in MAPPED if not self.in_window[x]]
        require(not missed, f'no SIGKILL came between {missed}')

    def end_by_kill(self, moment):
        """What is wrong afterwards, or nothing."""
        vm = self.start(self.name)
        try:
            images = os.path.join(vm.dir, 'images')
            os.mkdir(images)
            unharmed = Unharmed(vm)
            unharmed.mapped = mapped(vm.pid)
            window = getattr(moment, 'window', None)
            result = interrupted(vm.pid, images, signal.SIGKILL, moment)
            try:
                self.states[self.after_kill(vm, images, unharmed, result, window)] += 1
            except (Failure, OSError) as e:
                return f'at "{moment.name}", after "{last_line(result)}": {e}'
        finally:
            discard(vm)
        return None

    def after_kill(self, vm, images, unharmed, result, window):
        """The VM goes on; or all of it stands, and goes on when it was dumped and restored, or recovered."""
        if window and window[0] in result.log and window[1] not in result.log:
            self.in_window[window] += 1
        if not is_alive(vm.pid) and not in_parasite(result.log):
            self.complete(vm, images, result)
            return 'dumped'
        try:
            if stands(vm):
                if window:
                    require(mapped(vm.pid) == unharmed.mapped, f'other memory is mapped than before in pid {vm.pid}')
                if self.states['stands'] % 2:
                    recovered(vm, unharmed)
                else:
                    self.dumped_again(vm)
                return 'stands'
            unharmed.check(vm.dir)      # not images: the file that criu was writing is left there
            finish(vm)
            return 'goes on'
        except (Failure, OSError) as e:
            if not has_ended(vm.pid):
                raise
            require(in_parasite(result.log), f'the VM has ended: {e}')
            return "ended in CRIU's own code"

    def dumped_again(self, vm):
        images = os.path.join(vm.dir, 'again')
        os.mkdir(images)
        result = criu_ok('dump', images, '-t', str(vm.pid))
        result.require(PUT_BACK in result.log, 'the VM stood, and the dump does not say that it was put back')
        self.complete(vm, images, result)
        finish(vm)

    def lives(self):
        """With --short criu is ended in the first cycle alone: that takes some minutes."""
        ends = [] if self.args.short and self.traced else [self.measure, self.gentle, self.measure_ptrace, self.killed]
        return [*ends, *super().lives()]
