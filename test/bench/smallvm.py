# SPDX-License-Identifier: GPL-2.0-only
"""The plugin's time against that of the same ioctls alone, by the small VM of vm.c, for sizes of it."""

import collections
import contextlib
import glob
import os
import shutil
import signal
import struct
import subprocess
import time

from figures import Figures, Spent, Trouble, ratio, table, traced

HERE = os.path.dirname(os.path.realpath(__file__))
MAIL = 0x5b0000000000               # vm.c
MAIL_MAGIC = 0x686e65622d6d766b
COMMANDS = {'dump': 1, 'restore': 2}
WORK = '/tmp/bench'
PLUGINS = os.path.join(HERE, '../../criu')
FIRST_PID = 30000                   # a restore finds it free
TRACE = '/sys/kernel/tracing/instances/kvm_vgic_bench'
ACTIONS = ('dump', 'restore')

Shape = collections.namedtuple('Shape', 'vcpus spis lpis')
POINT = Shape(8, 960, 2048)
# From the point along each of the three.
AXES = {'vcpus': [1, 2, 4, 8, 16, 32], 'spis': [32, 256, 960], 'lpis': [0, 256, 2048, 8192]}


def shapes(axes):
    """The point, and what differs from it in one size."""
    found = [POINT]
    for axis in axes:
        found += [s for s in (POINT._replace(**{axis: n}) for n in AXES[axis]) if s != POINT]
    return found


def run_criu(action, images, *options):
    """(seconds, log): as stock criu is run, with the released plugin. Level 3 of the log has the plugin's line."""
    log = os.path.join(images, action + '.log')
    start = time.monotonic()
    result = subprocess.run(['criu', action, '-D', images, '-o', log, '-v3', '-L', PLUGINS, *options],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    taken = time.monotonic() - start
    with open(log, errors='replace') as f:
        text = f.read()
    if result.returncode:
        raise Trouble(f'criu {action} failed with {result.returncode}:\n' + '\n'.join(text.splitlines()[-25:]))
    return taken, text


class BenchVm:
    """The small VM, across its lives, and its commands."""

    def __init__(self, shape):
        self.dir = os.path.join(WORK, 'vm')
        self.images = os.path.join(self.dir, 'images')
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        with open('/proc/sys/kernel/ns_last_pid', 'w') as f:
            f.write(str(FIRST_PID))
        options = [f'--{axis}={n}' for axis, n in shape._asdict().items()]
        with open(os.path.join(self.dir, 'out'), 'wb') as out:
            self.popen = subprocess.Popen([os.path.join(HERE, 'bench_vm'), *options], cwd=self.dir,
                                          start_new_session=True, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.pid = self.popen.pid
        self.asked = 0
        self.wait(lambda: self.read_mail()[0] == MAIL_MAGIC)

    def said(self):
        with open(os.path.join(self.dir, 'out'), errors='replace') as f:
            return f.read().strip()

    def wait(self, done, seconds=300):
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end or (self.popen and self.popen.poll() is not None):
                raise Trouble(f'the VM does not answer: {self.said()}')
            time.sleep(0.005)

    def read_mail(self):
        try:
            with open(f'/proc/{self.pid}/mem', 'rb', buffering=0) as mem:
                mem.seek(MAIL)
                return struct.unpack('<QQQQqQ', mem.read(48))
        except OSError:
            return (0,) * 6

    def alone(self, action):
        """Its own ioctls of that: (us, how many)."""
        self.asked += 1
        with open(f'/proc/{self.pid}/mem', 'r+b', buffering=0) as mem:
            for at, value in ((16, COMMANDS[action]), (8, self.asked)):
                mem.seek(MAIL + at)
                mem.write(struct.pack('<Q', value))
        self.wait(lambda: self.read_mail()[3] == self.asked)
        *_, ns, nr = self.read_mail()
        if ns < 0:
            raise Trouble(f'the VM cannot {action} by itself: errno {-ns}: {self.said()}')
        return ns / 1000, nr

    def dump(self):
        shutil.rmtree(self.images, ignore_errors=True)
        os.mkdir(self.images)
        _, log = run_criu('dump', self.images, '-t', str(self.pid))
        self.reap()
        return Spent(log, 'dump')

    def restore(self):
        _, log = run_criu('restore', self.images, '-d')
        return Spent(log, 'restore')

    def reap(self):
        """What was dumped: its pid is to be free. A restored one is a child of ours too."""
        if self.popen:
            self.popen.wait()
            self.popen = None
        while os.path.exists(f'/proc/{self.pid}'):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
            time.sleep(0.005)

    def image_bytes(self):
        return sum(map(os.path.getsize, glob.glob(os.path.join(self.images, 'kvm-*.img'))))

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            self.reap()


class Tracer:
    """The kernel's own count of what is run in a process, and of what its tracer does to it."""

    EVENTS = ('sys_enter_ioctl', 'sys_enter_tgkill', 'sys_enter_ptrace')

    def write(self, name, value):
        with open(os.path.join(TRACE, name), 'w') as f:
            f.write(str(value))

    def switch(self, on):
        for event in self.EVENTS:
            self.write(f'events/syscalls/{event}/enable', int(on))

    def __enter__(self):
        os.makedirs(TRACE, exist_ok=True)
        self.write('buffer_size_kb', 4096)
        self.switch(True)
        return self

    def __exit__(self, *_):
        self.switch(False)
        os.rmdir(TRACE)

    def take(self, pid):
        self.switch(False)
        with open(os.path.join(TRACE, 'trace')) as f:
            text = f.read()
        lost = [path for path in glob.glob(TRACE + '/per_cpu/cpu*/stats')
                if 'overrun: 0\n' not in open(path).read()]
        if lost:
            raise Trouble('the trace has lost events')
        return traced(text, pid)


class Measured:
    """All that was measured of VMs of one size."""

    def __init__(self, shape):
        self.shape = shape
        self.us, self.alone_us, self.ioctls, self.alone_ioctls, self.trips, self.trips_us = (
            {action: Figures() for action in ACTIONS} for _ in range(6))
        self.parts = {action: collections.defaultdict(Figures) for action in ACTIONS}
        self.bytes = Figures()

    def add_alone(self, vm, action):
        us, nr = vm.alone(action)
        self.alone_us[action].add(us)
        self.alone_ioctls[action].add(nr)

    def add_spent(self, action, spent):
        self.us[action].add(spent.us)
        self.ioctls[action].add(spent.ioctls)
        self.trips[action].add(spent.trips)
        self.trips_us[action].add(spent.trips_us)
        for name, us in spent.parts.items():
            self.parts[action][name].add(us)

    def round(self, vm):
        self.add_alone(vm, 'dump')
        self.add_spent('dump', vm.dump())
        self.bytes.add(vm.image_bytes())
        self.add_spent('restore', vm.restore())
        self.add_alone(vm, 'restore')

    def check(self):
        """That both have done the same."""
        for action in ACTIONS:
            of_plugin, alone = self.ioctls[action].same('ioctls'), self.alone_ioctls[action].same('ioctls')
            if of_plugin != alone:
                raise Trouble(f'{self.shape}: the plugin makes {of_plugin} ioctls at a {action}, {alone} were made alone')

    def ratio(self, action):
        return ratio(self.us[action], self.alone_us[action])

    def row(self):
        cells = list(self.shape)
        for action in ACTIONS:
            cells += [f'{self.us[action].median() / 1000:.1f}', f'{self.alone_us[action].median() / 1000:.1f}',
                      f'{self.ratio(action):.2f}', self.ioctls[action].same('ioctls'), f'{self.trips[action].median():g}']
        return cells + [f'{self.bytes.median():g}']

    def figures(self):
        found = {**self.shape._asdict(), 'image_bytes': self.bytes.median()}
        for action in ACTIONS:
            found |= {f'{action}_us': self.us[action].median(), f'{action}_alone_us': self.alone_us[action].median(),
                      f'{action}_ratio': self.ratio(action), f'ioctls_{action}': self.ioctls[action].same('ioctls'),
                      f'round_trips_{action}': self.trips[action].median(),
                      f'round_trips_{action}_us': self.trips_us[action].median(),
                      f'{action}_parts_us': {name: f.median() for name, f in self.parts[action].items()}}
        return found


HEAD = ['vCPUs', 'SPIs', 'LPIs', *('dump ms', 'alone', 'ratio', 'ioctls', 'trips'),
        *('restore ms', 'alone', 'ratio', 'ioctls', 'trips'), 'bytes']


def check_counts(vm):
    """The plugin's own counts against what tracepoints see, once; not while time is taken."""
    for action, run in (('dump', vm.dump), ('restore', vm.restore)):
        with Tracer() as tracer:
            spent = run()
            seen = tracer.take(vm.pid)
        print(f'{action}: {spent.ioctls} ioctls in {spent.trips} round trips; tracepoints: {seen}', flush=True)
        if seen != (spent.ioctls, spent.trips, spent.trips):
            raise Trouble(f'the plugin has counted {spent.ioctls} ioctls and {spent.trips} round trips at a {action}')


def measure(shape, rounds):
    """One VM through all its rounds; a first one that does not count, for what is loaded only once."""
    vm = BenchVm(shape)
    try:
        Measured(shape).round(vm)
        if shape == POINT:
            check_counts(vm)
        measured = Measured(shape)
        for _ in range(rounds):
            measured.round(vm)
        measured.check()
        return measured
    finally:
        vm.end()


def measure_all(axes, rounds):
    all_measured = []
    for shape in shapes(axes):
        all_measured.append(measure(shape, rounds))
        print(f'measured: {shape.vcpus} vCPUs, {shape.spis} SPIs, {shape.lpis} LPIs', flush=True)
    return all_measured


def print_all(all_measured):
    print(f'\nThe plugin while nobody runs, and the same ioctls alone. Medians of {len(all_measured[0].bytes.values)}.')
    print(table(HEAD, [m.row() for m in sorted(all_measured, key=lambda m: m.shape)]))
    for action in ACTIONS:
        parts = all_measured[0].parts[action]
        print(f'{action} of {POINT.vcpus} vCPUs, {POINT.spis} SPIs, {POINT.lpis} LPIs, ms: ' +
              ', '.join(f'{name} {f.median() / 1000:.1f}' for name, f in parts.items()) +
              f'; in round trips {all_measured[0].trips_us[action].median() / 1000:.1f}', flush=True)
