# SPDX-License-Identifier: GPL-2.0-only
"""What tests share: criu, the small VM, and what a failed dump must leave alone."""

import contextlib
import ctypes
import glob
import os
import platform
import re
import shutil
import statistics
import struct
import subprocess
import tempfile
import time

from zdtmvm import TESTING, WORK, Failure, Vm, is_alive, output_of, tree, wait_gone

TIMEOUT = 120           # seconds for what is to happen at once
ODD_STATS_ADDR = 0x5a0000000000
ODD_RAM_ADDR = 0x5a0000100000
ODD_RAM_COUNTER = ODD_RAM_ADDR + 0x2000
ODD_PLACE = 0x100000000   # from one VM of a process to the next
ODD_MAGIC = 0x6d762d64646f2d76
NR_BPF = {'x86_64': 321}.get(platform.machine(), 280)
BPF_NEXT_ID = {'program': 11, 'map': 12, 'link': 31}
LEAVES = {'-R', '--leave-running', '-s', '--leave-stopped'}


class Skip(Exception):
    pass


def require(condition, message):
    if not condition:
        raise Failure(message)


def wait_for(done, message, seconds=TIMEOUT):
    end = time.monotonic() + seconds
    while not done():
        require(time.monotonic() < end, message)
        time.sleep(0.02)


class Result:
    """What a run of criu said."""

    def __init__(self, status, log, output):
        self.status = status
        self.log = log
        self.output = output
        self.errors = re.findall(r'Error \([^)]*\): kvm_vgic: (.*)', log)

    def describe(self):
        lines = [x for x in self.log.splitlines() if 'kvm_vgic' in x or 'Error' in x]
        return '\n'.join(['    ' + x for x in lines[-25:]] or ['    (nothing in its log) ' + self.output[-500:]])

    def fail(self, message):
        raise Failure(f'{message}\n{self.describe()}')

    def require(self, condition, message):
        if not condition:
            self.fail(message)


seen_messages = set()   # of the plugin's errors, in all cases


def dumped_pids(action, options):
    """The processes that are to be gone after it: a restore cannot make them while one is still waited for."""
    if action != 'dump' or LEAVES & set(options):
        return []
    return tree(int(options[options.index('-t') + 1]))


def criu(action, images, *options, env=None, wrap=(), log=None):
    """Runs criu, whatever becomes of it. @wrap: a command to run it under."""
    log = log or os.path.join(images, action + '.log')
    pids = dumped_pids(action, options)
    command = [*wrap, 'criu', action, '-D', images, '-o', log, '-v4', *options]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, **TESTING, **(env or {})}) as process:
        output = output_of(process, log)
    text = ''
    if os.path.exists(log):
        with open(log, errors='replace') as f:
            text = f.read()
    result = Result(process.returncode, text, output.decode(errors='replace'))
    seen_messages.update(result.errors)
    for pid in pids if result.status == 0 else []:
        wait_gone(pid)
    return result


def work_dir(prefix):
    os.makedirs(WORK, exist_ok=True)
    return tempfile.mkdtemp(prefix=prefix + '.', dir=WORK)


def criu_ok(action, images, *options, **more):
    result = criu(action, images, *options, **more)
    result.require(result.status == 0, f'criu {action} failed with {result.status}')
    return result


def min_median_max(times):
    return f'{min(times):.2f} / {statistics.median(times):.2f} / {max(times):.2f} s' if times else '-'


# What a process is made of, as a look from outside tells.

def read(path):
    with open(path, errors='replace') as f:
        return f.read()


def has_gicv2():
    """Whether the host's interrupt controller is one: its guests have none else then."""
    return 'GICv2' in read('/proc/interrupts')


def fd_table(pid):
    table = {}
    for fd in os.listdir(f'/proc/{pid}/fd'):
        flags = re.search(r'flags:\s*(\d+)', read(f'/proc/{pid}/fdinfo/{fd}'))[1]
        table[int(fd)] = (os.readlink(f'/proc/{pid}/fd/{fd}'), flags)
    return table


def kvm_run_flags(pid):
    """VmFlags of each mapping of a vCPU: what mmap() alone would not bring back."""
    return re.findall(r'^(\S+) .*kvm-vcpu.*\n(?:(?!VmFlags).*\n)*VmFlags: (.*)', read(f'/proc/{pid}/smaps'), re.M)


def all_flags(pid):
    """VmFlags of every mapping."""
    return re.findall(r'^([0-9a-f]+-[0-9a-f]+) .*\n(?:[A-Z](?!mFlags).*\n)*VmFlags: (.*)', read(f'/proc/{pid}/smaps'), re.M)


def locked_memory(pid):
    return re.search(r'VmLck:\s*(\d+)', read(f'/proc/{pid}/status'))[1]


def kvm_maps(pid):
    """Where vCPUs are mapped, and how: the inode is the host's."""
    return re.findall(r'^(\S+ \S+ \S+) .*(kvm-vcpu.*)', read(f'/proc/{pid}/maps'), re.M)


def is_kvm(link):
    """Of a fd of KVM's."""
    return link == '/dev/kvm' or link.startswith('anon_inode:kvm-')


def kvm_parts(pid):
    """What a restore must bring back of KVM in @pid and its descendants. Their order is another one then: CRIU forks
    the children of a process from the last to the first."""
    return {i: {'mappings of KVM': kvm_maps(p), 'flags of kvm_run': kvm_run_flags(p), 'locked memory': locked_memory(p),
                'fds of KVM': {fd: x for fd, x in fd_table(p).items() if is_kvm(x[0])}}
            for i, p in enumerate(sorted(tree(pid)))}


def thread_state(pid):
    """What being traced and having run somebody else's system calls could leave behind."""
    state = {}
    for tid in os.listdir(f'/proc/{pid}/task'):
        status = read(f'/proc/{pid}/task/{tid}/status')
        state[int(tid)] = re.findall(r'^(TracerPid|SigBlk|SigIgn|SigCgt|SigPnd|Seccomp):\s*(\S+)', status, re.M)
    return state


def snapshot(pid):
    return {p: {'maps': read(f'/proc/{p}/maps'), 'fds': fd_table(p), 'threads': thread_state(p),
                'flags of mappings': all_flags(p), 'locked memory': locked_memory(p)} for p in tree(pid)}


def difference(what, old, new):
    if what != 'maps':
        return f'{what} were {old}, are {new}'
    old, new = old.splitlines(), new.splitlines()
    return '; '.join(['gone: ' + x for x in old if x not in new] + ['new: ' + x for x in new if x not in old])


def check_same(old, new):
    require(old.keys() == new.keys(), f'the processes were {sorted(old)}, are {sorted(new)}')
    for pid, parts in old.items():
        for what, value in parts.items():
            if value != new[pid][what]:
                raise Failure(f'changed in pid {pid}: {difference(what, value, new[pid][what])}')


def without_signal_masks(state):
    return {pid: {**parts, 'threads': {tid: [x for x in values if x[0] != 'SigBlk']
                                       for tid, values in parts['threads'].items()}}
            for pid, parts in state.items()}


def check_same_soon(old, pid):
    """@old may show a thread in KVM_RUN, with the signal mask that KVM_SET_SIGNAL_MASK gives it only there."""
    for _ in range(100):
        new = snapshot(pid)
        if new == old or without_signal_masks(new) != without_signal_masks(old):
            break
        time.sleep(0.02)
    check_same(old, new)


# What criu could leave behind on the host.

def bpf_ids():
    """All that is loaded, of each kind."""
    libc = ctypes.CDLL(None, use_errno=True)
    ids = set()
    for kind, command in BPF_NEXT_ID.items():
        attr = bytearray(32)
        while True:
            buf = (ctypes.c_char * len(attr)).from_buffer(attr)
            if libc.syscall(ctypes.c_long(NR_BPF), ctypes.c_long(command), buf, ctypes.c_long(len(attr))):
                break
            del buf
            struct.pack_into('<II', attr, 0, struct.unpack_from('<I', attr, 4)[0], 0)
            ids.add((kind, struct.unpack_from('<I', attr, 0)[0]))
    return ids


def processes():
    """All but the kernel's threads, by whatever name: a task of a restore bears criu's until late."""
    found = set()
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            os.readlink(f'/proc/{name}/exe')
            found.add(int(name))
        except OSError:
            pass            # a thread of the kernel, a zombie, or gone
    return found


def left_of(before, seconds=10):
    """What has come since @before and does not go."""
    end = time.monotonic() + seconds
    while (left := processes() - before) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def check_nothing_left(images, bpf_before):
    left = glob.glob(os.path.join(images, 'kvm-*.tmp'))
    require(not left, f'left behind: {left}')
    pinned = os.listdir('/sys/fs/bpf') if os.path.isdir('/sys/fs/bpf') else []
    require(not pinned, f'pinned BPF objects: {pinned}')
    # The kernel frees them a little later.
    end = time.monotonic() + 5
    while bpf_ids() - bpf_before and time.monotonic() < end:
        time.sleep(0.05)
    require(not bpf_ids() - bpf_before, f'BPF objects still loaded: {bpf_ids() - bpf_before}')


@contextlib.contextmanager
def hidden(path):
    subprocess.run(['mount', '-t', 'tmpfs', 'none', path], check=True)
    try:
        yield
    finally:
        subprocess.run(['umount', path], check=True)


@contextlib.contextmanager
def cpu_kinds(*names):
    """The host tells that it has CPUs of these kinds, by a PMU of each."""
    devices = '/sys/bus/event_source/devices'
    with hidden(devices):
        for i, name in enumerate(names):
            os.mkdir(os.path.join(devices, name))
            with open(os.path.join(devices, name, 'cpus'), 'w') as f:
                f.write(f'{i}\n')
        yield


class Unharmed:
    """Checks that a dump that fails leaves the VM, its process and the host alone."""

    def __init__(self, vm):
        self.vm = vm
        self.bpf = bpf_ids()
        self.before = snapshot(vm.pid)
        self.stats = vm.stats()

    def check(self, images):
        require(is_alive(self.vm.pid), f'pid {self.vm.pid} did not survive the dump: {self.vm.output()}')
        check_same_soon(self.before, self.vm.pid)
        check_nothing_left(images, self.bpf)
        # From now on, not only up to the freeze.
        self.vm.wait_moved(self.vm.stats())
        check_same_soon(self.before, self.vm.pid)


class OddStats:
    """The counters of the small VMs (oddvm/) of a process and its children."""

    def __init__(self, pid):
        self.counters = {}
        self.error = ''
        for p in tree(pid):
            place = 0
            while (p == pid or is_alive(p)) and self.add(p, place):     # a child may be a zombie
                place += 1

    def add(self, pid, place):
        """Whether there is a VM at that place of the process."""
        with open(f'/proc/{pid}/mem', 'rb', buffering=0) as mem:
            try:
                mem.seek(ODD_STATS_ADDR + place * ODD_PLACE)
                data = mem.read(208)
                mem.seek(ODD_RAM_COUNTER + place * ODD_PLACE)
                counts = struct.unpack('<8Q', mem.read(64))
            except OSError:
                return False
        magic, running, *writes = struct.unpack_from('<10Q', data)
        if magic != ODD_MAGIC:
            raise Failure(f'pid {pid}: the counters are not those of a small VM')
        self.error = self.error or data[80:208].split(b'\0')[0].decode(errors='replace')
        for i in range(8):
            if running >> i & 1:
                name = f'pid {pid} vcpu {i}' + (f' of VM {place}' if place else '')
                self.counters[f'{name} loops'] = counts[i]
                self.counters[f'{name} MMIO writes'] = writes[i]
        return True

    # What zdtmvm.Vm looks for.
    nr_vcpus = wfi_pc = 0

    def check(self):
        require(not self.error, f'the VM found: {self.error}')

    def not_moved_since(self, old):
        return [name for name, value in self.counters.items() if value == old.counters.get(name)]


class SmallVm(Vm):
    """A test with a VM of oddvm/."""

    def __init__(self, name, options):
        try:
            super().__init__(name, options)
        except Failure as e:
            skipped = re.search(r'SKIP: \S+ (.*)', str(e))
            if skipped:
                raise Skip(skipped[1]) from e
            raise

    def stats(self):
        return OddStats(self.pid)


class OddVm(SmallVm):
    """A small VM with an oddity: kvm_vgic_refused --what=@what."""

    def __init__(self, what):
        super().__init__('kvm_vgic_refused', ['--what=' + what])


@contextlib.contextmanager
def odd_vm(what):
    """A VM with that oddity, a folder for images, and what it was."""
    vm = OddVm(what)
    try:
        images = os.path.join(vm.dir, 'images')
        os.mkdir(images)
        yield vm, images, Unharmed(vm)
    finally:
        discard(vm)


def finish(vm):
    """The end of a zdtm test: it must pass."""
    vm.ask_to_stop()
    last = vm.verdict().strip().splitlines()[-1]
    require(last.endswith('PASS'), f'after SIGTERM: {vm.output()}')


def discard(vm):
    vm.kill()
    shutil.rmtree(vm.dir, ignore_errors=True)
