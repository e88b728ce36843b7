# SPDX-License-Identifier: GPL-2.0-only
"""A test VM seen from outside: its counters, its life as a zdtm test, its dumps and restores."""

import glob
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import time

HERE = os.path.dirname(os.path.realpath(__file__))
WORK = '/tmp/zdtm'
TESTING = {'KVM_VGIC_TESTING': '1'}    # lets the plugin heed what of its environment is for tests

STATS_ADDR = 0x5a0000000000
GUEST_STATS_ADDR = 0x5a0000100000
STATS_MAGIC = 0x736d6d762d6d766b
STATS_SIZE = 1720
GUEST_CPU_SIZE = 240
MAX_VCPUS = 8
NR_SOURCES = 4

SUBJECTS = ['timer', 'sgi', 'edge', 'level', 'route', 'mmio read', 'mmio write', 'memory', 'gpr', 'fp',
            'sysreg', 'gic', 'clock', 'interrupt', 'exception', 'lpi', 'msi', 'lpi route', 'its', 'vmm']
FINDINGS = ['lost', 'doubled', 'out of order', 'corrupt', 'unexpected']
GUEST_FIELDS = ['loops', 'ticks_armed', 'ticks_taken', 'sgi_sent', 'sgi_taken', 'edge_taken', 'level_taken',
                'rerouted', 'reads', 'writes', 'irq_reads', 'irq_writes', 'wfi', 'cntvct']
GUEST_LPI_FIELDS = ['lpi_sent', 'lpi_taken', 'lpi_cleared', 'msi_taken', 'msi_cleared', 'lpis_enabled',
                    'lpis_discarded', 'lpis_moved', 'collections_moved']
MUST_MOVE = ['loops', 'ticks_taken', 'sgi_taken', 'reads', 'writes']
CAUGHT = ['pending MMIO read', 'pending MMIO write', 'KVM_RUN interrupted', 'guest in WFI']

SILENCE = 120           # seconds; a criu that writes nothing to its log for so long hangs
LONGEST = 1800          # in all, a criu that goes round in circles


class Failure(Exception):
    pass


def last_line(path):
    try:
        with open(path, errors='replace') as f:
            return f.read().rstrip().rpartition('\n')[2] or 'nothing'
    except FileNotFoundError:
        return 'nothing'


def output_of(process, log, look=None):
    """What a criu prints until it ends. How long that takes is the machine's matter; that it comes to a new line is not.
    @look: to be called often."""
    begun = grown = time.monotonic()
    size = -1
    while True:
        try:
            return process.communicate(timeout=0.02 if look else 0.5)[0]
        except subprocess.TimeoutExpired:
            pass
        if look:
            look()
        now, old = time.monotonic(), size
        size = os.path.getsize(log) if os.path.exists(log) else 0
        grown = now if size != old else grown
        if now - grown > SILENCE or now - begun > LONGEST:
            process.kill()
            process.wait()
            raise Failure(f'criu hangs: after {now - begun:.0f} s, the last {now - grown:.0f} of them without a word, '
                          f'its log ends with: {last_line(log)}')


class Stats:
    """The counters of a VMM and its guest at one moment."""

    def __init__(self, pid):
        self.when = time.monotonic()
        with open(f'/proc/{pid}/mem', 'rb', buffering=0) as mem:
            mem.seek(STATS_ADDR)
            data = mem.read(STATS_SIZE)
            mem.seek(GUEST_STATS_ADDR)
            guest = mem.read(GUEST_CPU_SIZE * MAX_VCPUS)
        words = list(struct.unpack_from('<%dQ' % ((STATS_SIZE - 256) // 8), data))
        (magic, _, size, cpu_size, self.nr_vcpus, _, self.wfi_pc, self.cntfrq) = words[:8]
        if magic != STATS_MAGIC or size != STATS_SIZE or cpu_size != GUEST_CPU_SIZE:
            raise Failure(f'pid {pid}: the counters are not those this runner knows ({size}, {cpu_size})')
        del words[:8]
        self.found = [words[i * len(FINDINGS):(i + 1) * len(FINDINGS)] for i in range(len(SUBJECTS))]
        del words[:len(SUBJECTS) * len(FINDINGS)]
        self.sources = [dict(zip(('intid', 'level', 'sent', 'done'), words[i * 4:i * 4 + 4]))
                        for i in range(NR_SOURCES)]
        self.nr_itses, self.msi_sent, self.msi_refused = words[-3:]
        self.error = data[-256:].split(b'\0')[0].decode(errors='replace')
        self.cpus = []
        for i in range(self.nr_vcpus):
            values = struct.unpack_from('<30Q', guest, i * GUEST_CPU_SIZE)
            self.cpus.append(dict(zip(GUEST_FIELDS, values), naps=values[19]))
            if self.nr_itses:
                self.cpus[i].update(zip(GUEST_LPI_FIELDS, values[21:]))

    def total(self, field):
        return sum(cpu[field] for cpu in self.cpus)

    def lost_and_doubled(self, kind):
        rows = [row for subject, row in zip(SUBJECTS, self.found) if subject.split()[0] == kind]
        return sum(row[0] for row in rows), sum(row[1] for row in rows)

    def check(self):
        if any(any(row) for row in self.found):
            raise Failure(f'the VM found: {self.error}')

    def not_moved_since(self, old):
        still = [f'vcpu {i} {name}' for i in range(self.nr_vcpus) for name in MUST_MOVE
                 if self.cpus[i][name] == old.cpus[i][name]]
        if self.nr_itses:       # not of each vCPU: an LPI goes where it was moved to
            still += [name for name in ('lpi_taken', 'msi_taken') if self.total(name) == old.total(name)]
        return still + [f'SPI {s["intid"]}' for s, o in zip(self.sources, old.sources) if s['done'] == o['done']]

    def print(self):
        for i, cpu in enumerate(self.cpus):
            print(f'  vcpu {i}: ' + ', '.join(f'{name} {cpu[name]}' for name in cpu))
        for s in self.sources:
            print('  SPI {intid}: sent {sent}, done {done}'.format(**s))
        if self.nr_itses:
            print(f'  MSIs: sent {self.msi_sent}, and {self.msi_refused} of unmapped LPIs')
        for subject, row in zip(SUBJECTS, self.found):
            if any(row):
                print(f'  {subject}: ' + ', '.join(f'{n} {name}' for n, name in zip(row, FINDINGS) if n))


def is_alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as f:
            return f.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except OSError:
        return False


def wait_gone(pid, seconds=120):
    """A nested VM takes half a minute to end, in an emulated host."""
    end = time.monotonic() + seconds
    while os.path.exists(f'/proc/{pid}'):
        if time.monotonic() > end:
            raise Failure(f'pid {pid} is still there after {seconds} s')
        time.sleep(0.01)


def children_of_thread(path):
    try:
        with open(path) as f:
            return map(int, f.read().split())
    except (FileNotFoundError, ProcessLookupError):
        return []       # it has ended since


def tree(pid):
    """@pid and its descendants."""
    pids = [pid]
    for p in pids:
        for path in glob.glob(f'/proc/{p}/task/*/children'):
            pids += children_of_thread(path)
    return pids


class Vm:
    """One test process, across all its lives."""

    wrap = []           # a command to start it under

    def __init__(self, name, options):
        self.name = name
        self.dir = os.path.join(WORK, f'{name}.{os.getpid()}.{random.getrandbits(32):x}')
        self.outfile = os.path.join(self.dir, name + '.out')
        pidfile = os.path.join(self.dir, name + '.pid')
        os.makedirs(self.dir)
        command = [*self.wrap, os.path.join(HERE, name), '--pidfile=' + pidfile, '--outfile=' + self.outfile] + options
        if subprocess.run(command, cwd=self.dir, stdin=subprocess.DEVNULL).returncode:
            raise Failure(f'{name} does not start: {self.output()}')
        with open(pidfile) as f:
            self.pid = int(f.read())
        first = self.stats()
        self.nr_vcpus, self.wfi_pc = first.nr_vcpus, first.wfi_pc

    def output(self):
        for path in (self.outfile, self.outfile + '.inprogress'):
            if os.path.exists(path):
                with open(path) as f:
                    return f.read()
        return '(no output)'

    def stats(self):
        try:
            return Stats(self.pid)
        except OSError as e:
            raise Failure(f'pid {self.pid} is gone: {e}; {self.output()}') from e

    def wait_moved(self, old, seconds=60):
        """Every vCPU must do everything again, and find nothing."""
        end = time.monotonic() + seconds
        while True:
            now = self.stats()
            now.check()
            still = now.not_moved_since(old)
            if not still:
                return now
            if time.monotonic() > end:
                raise Failure(f'no progress in {seconds} s: ' + ', '.join(still))
            time.sleep(0.02)

    def kill(self):
        """And its descendants: a restore makes them anew."""
        pids = tree(self.pid)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass        # it has ended by itself
        for pid in pids:
            wait_gone(pid)

    def ask_to_stop(self):
        """zdtm's end of a test: SIGTERM, then the verdict is in the output file."""
        os.kill(self.pid, signal.SIGTERM)

    def verdict(self, seconds=200):
        end = time.monotonic() + seconds
        while not os.path.exists(self.outfile):
            if time.monotonic() > end or (not is_alive(self.pid) and not os.path.exists(self.outfile)):
                raise Failure(f'{self.name} gave no verdict: {self.output()}')
            time.sleep(0.05)
        return self.output()


class Criu:
    """Dumps and restores one VM, and remembers how long that took and what it caught."""

    def __init__(self, vm, watch=False):
        self.vm = vm
        self.watch = watch
        self.seen = None
        self.count = 0
        self.refused = 0
        self.dump_times = []
        self.restore_times = []
        self.image_sizes = []
        self.caught = dict.fromkeys(CAUGHT, 0)
        self.pcs = {}
        self.images = None

    def run(self, action, *options, env=None):
        log = os.path.join(self.images, action + '.log')
        command = ['criu', action, '-D', self.images, '-o', log, '-v4', *options]
        start = time.monotonic()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env={**os.environ, **TESTING, **(env or {})}) as process:
            output = output_of(process, log, self.look if self.watch else None)
        if process.returncode:
            raise Failure(f'criu {action} failed with {process.returncode}: {output.decode()}')
        return time.monotonic() - start

    def look(self):
        """Once all is frozen each look is the same: the last one before the end is the dumped state."""
        try:
            self.seen = Stats(self.vm.pid)
        except (OSError, struct.error, Failure):
            pass            # not there, or not filled yet: CRIU restores it at this moment

    def refused_for_now(self):
        """Whether the plugin refused the dump for what passes, and says so."""
        with open(os.path.join(self.images, 'dump.log'), errors='replace') as f:
            return re.search(r'kvm_vgic: .*: try again', f.read())

    def dump(self, *options, env=None):
        self.count += 1
        self.images = os.path.join(self.vm.dir, f'images.{self.count}')
        for _ in range(5):
            os.mkdir(self.images)
            try:
                time_taken = self.run('dump', '-t', str(self.vm.pid), *options, env=env)
                break
            except Failure:
                if not self.refused_for_now():
                    raise
                self.refused += 1
                failed = self.images + '.refused'
                shutil.rmtree(failed, ignore_errors=True)
                os.rename(self.images, failed)
        else:
            raise Failure('the dump was refused five times, for now')
        self.dump_times.append(time_taken)
        self.image_sizes.append(sum(map(os.path.getsize, glob.glob(os.path.join(self.images, 'kvm-*.img')))))
        self.read_dump_log()

    def restore(self, env=None):
        pidfile = os.path.join(self.images, 'restored.pid')
        self.restore_times.append(self.run('restore', '-d', '--pidfile', pidfile, env=env))

    def forget_images(self):
        shutil.rmtree(self.images)

    def read_dump_log(self):
        seen = set()
        self.pcs = {}
        with open(os.path.join(self.images, 'dump.log'), errors='replace') as f:
            for line in f:
                m = re.search(r'kvm_vgic: vm \d+ vcpu (\d+) \(id (\d+)\): exit (\S+), pending (\w+), pc (\w+)', line)
                if m:
                    pc = int(m[5], 16)
                    self.pcs[int(m[1])] = (int(m[2]), pc, m[3], m[4])
                    seen.add(self.classify(m[3], m[4], pc))
        if len(self.pcs) != self.vm.nr_vcpus:
            raise Failure(f'dump.log names {len(self.pcs)} vCPUs, not {self.vm.nr_vcpus}')
        for what in seen - {None}:
            self.caught[what] += 1

    def classify(self, reason, pending, pc):
        if pending in ('read', 'write'):
            return 'pending MMIO ' + pending
        if pc in (self.vm.wfi_pc, self.vm.wfi_pc + 4):
            return 'guest in WFI'
        return 'KVM_RUN interrupted' if reason in ('INTR', '10') else None

    def show_logs(self):
        for log in sorted(glob.glob(os.path.join(self.images or '/nonexistent', '*.log'))):
            with open(log, errors='replace') as f:
                lines = f.read().splitlines()
            plugin = [x for x in lines if 'kvm_vgic' in x or 'Error' in x]
            print(f'--- {os.path.basename(log)}: the plugin and errors')
            print('\n'.join(plugin[-40:]))
            print(f'--- {os.path.basename(log)}: the end')
            print('\n'.join(lines[-25:]))


def read_verdict(vm, output):
    """The test's own counts after the drain: {kind: (sent, taken)}."""
    last = output.strip().splitlines()[-1]
    if not last.endswith('PASS'):
        raise Failure(f'{vm.name}: {last}')
    words = ' '.join(re.findall('counters: (.*)', output)).split()
    return {words[i]: (int(words[i + 1]), int(words[i + 2])) for i in range(0, len(words), 3)}
