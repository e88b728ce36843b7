# SPDX-License-Identifier: GPL-2.0-only
"""A restore that cannot be complete leaves nothing that runs; damaged images are refused before a task is forked."""

import collections
import ctypes
import glob
import os
import re
import shutil
import signal
import time

from common import (SmallVm, bpf_ids, check_nothing_left, cpu_kinds, criu, criu_ok, discard, finish, left_of,
                    processes, read, require)
from zdtmvm import Failure, Vm, is_alive, wait_gone

TRACE = '/sys/kernel/tracing/instances/kvm_vgic'
DEBUGFS = '/sys/kernel/debug/kvm'
REPLAY_ENTRIES = 64     # of a guest, which a replay may need
BUFFER_KB = 4096        # of the trace, per CPU: a guest is entered some thousand times in a second

# What is dumped and restored here, and how it is started.
VMS = {
    'one': lambda: Vm('kvm_vgic_v3', ['--vcpus=2']),
    'its': lambda: SmallVm('kvm_its_tables', []),
    'pmu': lambda: SmallVm('kvm_pmu', []),
    'tree-root': lambda: SmallVm('kvm_tree', ['--children=39', '--vm_child=0']),
    'tree-child': lambda: SmallVm('kvm_tree', ['--children=39', '--vm_child=20']),
}

# Of plan_restore in plugin/plan.c; restore-steps-are-known compares them with what a restore says it does.
STEPS = [
    'no vCPU runs', 'capabilities', 'SMCCC filter', 'vCPU target', 'memslots', 'dirty logs', 'ITS tables compared',
    'LPI tables compared', 'vCPU initialisation', 'vector lengths', 'ID and firmware registers', 'register list',
    'PMU event filter', 'vCPU registers', 'number of PMU counters', 'timer interrupts', 'GIC addresses',
    'GIC distributor', 'GIC redistributors', 'LPIs enabled', 'GIC CPU interfaces', 'ITS registers', 'ITS tables',
    'ITS control', 'GSI routing', 'PMU', 'guest counters', 'pending exits', 'vCPU events', 'steal time', 'guest debugging',
    'signal masks', 'power states', 'irqfds', 'ioeventfds', 'coalesced MMIO', 'kvm_run pages', 'vCPUs may run',
    'fds kept aside',
]
OTHER_GIC_STEPS = 12    # of GICv2 and v5: they are counted, and left out for these VMs
# Those that do nothing for a VM without an ITS.
ITS_STEPS = [x for x in STEPS if re.search('ITS|LPI', x)]
FILES = ['kvm-vm.img', 'kvm-vcpu-1.img', 'kvm-vcpu-events-1.img', 'kvm-vgic-1.img', 'kvm-its-1.img',
         'kvm-thread-1.img']
VM_OF_FILE = {'kvm-its-1.img': 'its'}   # the others: 'one'


class Dumped:
    """A VM that was dumped twice: first with --leave-running, for images that are almost the right ones."""

    def __init__(self, what='one'):
        self.vm = VMS[what]()
        self.images = os.path.join(self.vm.dir, 'images')
        self.other = os.path.join(self.vm.dir, 'other')
        os.mkdir(self.images)
        os.mkdir(self.other)
        self.vm.wait_moved(self.vm.stats())
        criu_ok('dump', self.other, '-t', str(self.vm.pid), '-R')
        result = criu_ok('dump', self.images, '-t', str(self.vm.pid))
        self.owner = int(re.search(r'vm 1 of pid (\d+): \d+ vCPUs', result.log)[1])
        wait_gone(self.vm.pid)


kept = {}       # by name, for all cases here: what a failed restore leaves behind would show in the next


def dumped(what='one'):
    if what not in kept:
        kept[what] = Dumped(what)
    return kept[what]


def clean_up():
    while kept:
        discard(kept.popitem()[1].vm)


class GuestEntries:
    """Which threads entered a guest, as KVM's own tracepoint tells."""

    def __enter__(self):
        os.makedirs(TRACE, exist_ok=True)
        self.write('buffer_size_kb', BUFFER_KB)
        self.write('events/kvm/kvm_entry/enable', 1)
        return self

    @staticmethod
    def write(name, value):
        with open(os.path.join(TRACE, name), 'w') as f:
            f.write(str(value))

    def threads(self):
        """The thread of each entry. An event that was lost would be one that nobody asked after."""
        self.write('events/kvm/kvm_entry/enable', 0)
        for path in glob.glob(TRACE + '/per_cpu/cpu*/stats'):
            lost = re.findall(r'^(?:overrun|commit overrun|dropped events): [1-9].*', read(path), re.M)
            require(not lost, f'the trace has lost events: {path}: {lost}')
        return [int(x) for x in re.findall(r'^.*-(\d+)\s+\[\d+\].*kvm_entry', read(TRACE + '/trace'), re.M)]

    def __exit__(self, *args):
        self.write('events/kvm/kvm_entry/enable', 0)
        os.rmdir(TRACE)


def replays(result):
    """The threads in which pending exits were replayed."""
    return [int(x) for x in re.findall(r'pending \w+ at \S+ replayed in thread (\d+)', result.log)]


def check_entries(result, entered):
    """No vCPU has run, but for a replay: one instruction, and what KVM has to map for it. The one that fails has no line."""
    unsaid = len(re.findall('pending exits: failed', result.log))
    for thread, n in sorted(collections.Counter(entered).items()):
        most = REPLAY_ENTRIES * replays(result).count(thread)
        if n > most and unsaid:
            unsaid -= 1
            most += REPLAY_ENTRIES
        result.require(n <= most, f'the guest was entered by thread {thread} {n} times, {most} at most expected')


def ran(d):
    """What a task of a tree has counted, in a file that is in no image; of a VM alone, the guest's entries tell."""
    path = os.path.join(d.vm.dir, d.vm.name + '.test.ran')
    if not os.path.exists(path):
        return None
    with open(path, 'rb') as f:
        return int.from_bytes(f.read(8), 'little')


def restore_fails(what, env, says):
    """No task is left, and nothing has run."""
    d = dumped(what)
    counted = ran(d)
    bpf, before = bpf_ids(), processes()
    with GuestEntries() as entries:
        result = criu('restore', d.images, '-d', env=env)
        left = left_of(before)
        entered = entries.threads()
    result.require(result.status != 0, 'the restore succeeded')
    result.require(not left, f'tasks left: {sorted(left)}')
    result.require(re.search(says, result.log), f'the log does not say "{says}"')
    check_entries(result, entered)
    result.require(ran(d) == counted, f'a task of the tree has run: it counted {ran(d)}, after {counted}')
    check_nothing_left(d.images, bpf)


def step_fails(what, step):
    restore_fails(what, {'KVM_VGIC_FAULT': step},
                  rf'vm 1: step \d+ of \d+, {re.escape(step)}: failed: .* \(errno 5\)')


def creation_fails(what):
    restore_fails(what, {'KVM_VGIC_FAULT': 'create'}, 'fault injected: create')


def threads_fail(what):
    """After the plan: the registers of the VMM's threads."""
    restore_fails(what, {'KVM_VGIC_FAULT': 'threads'}, 'fault injected: threads')


def killed(what, step):
    """criu is gone, and the tasks run on: no vCPU does, before all of the VM is there."""
    d = dumped(what)
    before = processes()
    with GuestEntries() as entries:
        result = criu('restore', d.images, '-d', env={'KVM_VGIC_KILL': step})
        time.sleep(0.5)
        entered = entries.threads()
    for pid in processes() - before:
        os.kill(pid, signal.SIGKILL)
    result.require(result.status == -signal.SIGKILL, f'criu ended with {result.status}')
    check_entries(result, entered)
    require(not left_of(before), f'tasks left: {sorted(left_of(before))}')


class InReplay:
    """The images of a VM in which every exit that is pending is replayed; its threads know their registers."""

    def __enter__(self):
        self.vm = SmallVm('kvm_vmm_regs', [])
        self.images = os.path.join(self.vm.dir, 'images')
        for _ in range(20):
            os.mkdir(self.images)
            result = criu_ok('dump', self.images, '-t', str(self.vm.pid), '-R')
            if 'pending write' in result.log:
                break
            shutil.rmtree(self.images)
        self.vm.kill()
        require(os.path.exists(self.images), 'no dump found an exit to be completed')
        wait_gone(self.vm.pid)
        return self

    def __exit__(self, *args):
        discard(self.vm)


def killed_in_replay():
    """With a thread of a vCPU in the plugin's code: it goes on where it was, with all that it had."""
    with InReplay() as d:
        result = criu('restore', d.images, '-d', env={'KVM_VGIC_KILL': 'thread held'})
        result.require(result.status == -signal.SIGKILL, f'criu ended with {result.status}')
        require(is_alive(d.vm.pid), 'the process has ended')
        threads = os.listdir(f'/proc/{d.vm.pid}/task')
        time.sleep(1)
        require(is_alive(d.vm.pid), f'the process has ended: {d.vm.output()}')
        require(os.listdir(f'/proc/{d.vm.pid}/task') == threads, 'a thread has ended')
        # It has seen its registers again by now; that its exit is not what it was it sees later.
        error = d.vm.stats().error
        require('thread' not in error, f'the VMM found: {error}')


def replay_fails():
    with InReplay() as d:
        before = processes()
        result = criu('restore', d.images, '-d', env={'KVM_VGIC_FAULT': 'thread held'})
        result.require(result.status != 0, 'the restore succeeded')
        result.require('step' in ''.join(result.errors) and 'pending exits: failed' in result.log, 'no error says so')
        require(not left_of(before), f'tasks left: {sorted(left_of(before))}')


def criu_fails(what):
    """CRIU's own fault 6: after all tasks were restored, before the late hook."""
    restore_fails(what, {'CRIU_FAULT': '6'}, r'Error \(criu/')


def other_cpus(kinds, says):
    dumped('pmu')
    with cpu_kinds(*kinds):
        restore_fails('pmu', {}, 'vm 1: it has a PMU, and ' + says)


def late_hook_is_not_called():
    """CRIU lets the tasks run and asks nobody: no vCPU can, and criu does not say that all is well."""
    d = dumped()
    before = processes()
    with GuestEntries() as entries:
        result = criu('restore', d.images, '-d', env={'KVM_VGIC_FAULT': 'late-hook'})
        time.sleep(1)
        entered = entries.threads()
    d.vm.kill()
    result.require(result.status == 1, f'criu ended with {result.status}')
    result.require(any('the late hook was not called' in x for x in result.errors), 'no error says so')
    check_entries(result, entered)
    require(not left_of(before), f'tasks left: {sorted(left_of(before))}')


def steps_are_known():
    """The list above is the plan: a step that it lacks would not be made to fail."""
    d = dumped()
    try:
        result = criu_ok('restore', d.images, '-d')
    finally:
        d.vm.kill()
    said = re.findall(r'vm 1: step (\d+) of (\d+), (.*?): done', result.log)
    result.require([x[2] for x in said] == STEPS, f'the steps are {[x[2] for x in said]}')
    result.require(all(int(x[1]) == len(STEPS) + OTHER_GIC_STEPS for x in said), f'there are {said[0][1]} steps')


def works_at_last(what):
    d = dumped(what)
    counted = ran(d)
    criu_ok('restore', d.images, '-d')
    d.vm.wait_moved(d.vm.stats())
    require(counted is None or ran(d) > counted, 'a task of the tree that runs is not seen to')
    finish(d.vm)
    discard(kept.pop(what).vm)


# The instruments: they see a restore that is good.

def good_restore_shows():
    d = dumped()
    before = processes()
    with GuestEntries() as entries:
        try:
            result = criu_ok('restore', d.images, '-d')
            d.vm.wait_moved(d.vm.stats())
            left = left_of(before, 0)
        finally:
            d.vm.kill()         # the other cases are to find nothing of it
        entered = entries.threads()
    require(left == {d.vm.pid}, f'the tasks seen are {sorted(left)}, not {d.vm.pid}')
    try:
        check_entries(result, entered)
    except Failure:
        return
    raise Failure(f'a guest that ran was not seen to: {len(entered)} entries')


def trace_shows_a_restore():
    """All that images are refused before. (A restore under strace fails: CRIU is not the tracer of its tasks.)"""
    d = dumped()
    before = processes()
    result, seen = traced_restore(d.images)
    touched = {x.split(':')[0] for x in all_touched(seen)}
    result.require(touched == TOUCHES, f'strace has shown {sorted(touched)} of {sorted(TOUCHES)}')
    result.require(result.status == 0 or not left_of(before), 'a task was left')


# It is a new VM.

def kvm_folders(pid):
    return glob.glob(f'{DEBUGFS}/{pid}-*')


def statistic(pid, name):
    folders = kvm_folders(pid)
    require(len(folders) == 1, f'the VMs of pid {pid} in {DEBUGFS} are {folders}')
    return int(read(os.path.join(folders[0], name)))


def is_a_new_vm():
    """The old one is gone before, and the new one has no past but its replays."""
    d = dumped()
    require(not os.path.exists(f'/proc/{d.owner}') and not kvm_folders(d.owner), 'the old VM is still there')
    try:
        check_new_vm(d)
    finally:
        d.vm.kill()


def check_new_vm(d):
    with GuestEntries() as entries:
        result = criu_ok('restore', d.images, '-d', '--leave-stopped')
        new = {x: statistic(d.owner, x) for x in ('exits', 'mmio_exit_user')}
        entered = entries.threads()
    result.require(new['mmio_exit_user'] == len(replays(result)), f'{new}, with replays in {replays(result)}')
    result.require(new['exits'] <= len(entered), f'{new}, with {len(entered)} entries')
    check_entries(result, entered)
    os.kill(d.owner, signal.SIGCONT)
    d.vm.wait_moved(d.vm.stats())
    require(statistic(d.owner, 'mmio_exit_user') > new['mmio_exit_user'], 'a VM that runs is not seen to')


# Damaged images

class Damaged:
    """A copy of the images, by links, with one file to be replaced."""

    def __init__(self, name):
        self.name = name
        self.images = dumped(VM_OF_FILE.get(name, 'one')).images
        self.dir = self.images + '.damaged'

    def __enter__(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        os.mkdir(self.dir)
        for path in glob.glob(self.images + '/*.img'):
            os.link(path, os.path.join(self.dir, os.path.basename(path)))
        self.path = os.path.join(self.dir, self.name)
        with open(self.path, 'rb') as f:
            self.data = f.read()
        os.unlink(self.path)
        return self

    def write(self, data):
        with open(self.path, 'wb') as f:
            f.write(data)

    def __exit__(self, *args):
        shutil.rmtree(self.dir)


def calls(trace):
    """What strace has seen: (name, the rest of the line). Unfinished calls are lines too."""
    with open(trace, errors='replace') as f:
        return re.findall(r'^\d+\s+(\w+)\((.*)', f.read(), re.M)


TOUCHES = {'opened /dev/kvm', 'a KVM ioctl', 'a task'}


def all_touched(seen):
    """What of KVM and of tasks was touched, each as one of TOUCHES, a colon, and the call."""
    touched = []
    for name, rest in seen:
        if name == 'openat' and '/dev/kvm' in rest:
            touched.append('opened /dev/kvm:')
        if name == 'ioctl' and int(rest.split(',')[1], 0) >> 8 & 0xff == 0xae:
            touched.append(f'a KVM ioctl: {rest}')
        # CRIU tries ptrace out on a process of its own at each start: no task is made with this flag.
        if name in ('clone', 'clone3', 'fork', 'vfork') and 'CLONE_UNTRACED' not in rest:
            touched.append(f'a task: {name}({rest}')
    return touched


def traced_restore(images):
    trace = os.path.join(os.path.dirname(images), 'strace')
    wrap = ['strace', '--seccomp-bpf', '-f', '-qq', '-o', trace, '-e', 'trace=openat,ioctl,clone,clone3,fork,vfork',
            '-e', 'raw=ioctl']
    result = criu('restore', images, '-d', wrap=wrap)
    return result, calls(trace)


def check_refused(name, images, damage):
    before = processes()
    result, seen = traced_restore(images)
    result.require(result.status != 0, f'{damage}: the restore succeeded')
    result.require(any(name in x for x in result.errors), f'{damage}: no error of the plugin names {name}')
    result.require(seen, 'strace saw nothing')
    touched = all_touched(seen)
    result.require(not touched, f'{damage}: {touched[:1]}')
    require(not left_of(before), f'{damage}: a task was left')


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:]


def places(data):
    """The magics, the header, the length and the body of the first entry, the middle, the seal."""
    first = 12 + int.from_bytes(data[8:12], 'little')
    return sorted({0, 5, 8, 16, first, first + 8, len(data) // 2, len(data) - 13, len(data) - 8, len(data) - 1})


def one_byte(name):
    with Damaged(name) as damaged:
        for at in places(damaged.data):
            damaged.write(flipped(damaged.data, at))
            check_refused(name, damaged.dir, f'byte {at} of {len(damaged.data)} changed')


def truncated(name):
    with Damaged(name) as damaged:
        size = len(damaged.data)
        for keep in (0, 8, size // 2, size - 13, size - 1):
            damaged.write(damaged.data[:keep])
            check_refused(name, damaged.dir, f'{keep} of {size} bytes left')


def missing(name):
    with Damaged(name) as damaged:
        check_refused(name, damaged.dir, 'missing')


def of_another_dump(name):
    other = dumped(VM_OF_FILE.get(name, 'one')).other
    with Damaged(name) as damaged, open(os.path.join(other, name), 'rb') as f:
        damaged.write(f.read())
        # kvm-vm.img is what the others are compared with: it then refuses the first of them.
        check_refused(name if name != FILES[0] else FILES[1], damaged.dir, 'of another dump')


def sealed(data):
    """With the seal that belongs to it: whoever makes images can make that, too."""
    body = data[:-13]
    xxh64 = ctypes.CDLL('libxxhash.so.0').XXH64
    xxh64.restype = ctypes.c_uint64
    return body + data[-13:-8] + xxh64(body, ctypes.c_size_t(len(body)), ctypes.c_uint64(0)).to_bytes(8, 'little')


def of_no_task():
    """A VM whose owner is none of the tasks: nobody would make it, and nobody is to run without it."""
    with Damaged(FILES[0]) as damaged:
        vpid = damaged.data.index(b'\x08\x01\x10', 12 + int.from_bytes(damaged.data[8:12], 'little')) + 3
        damaged.write(sealed(damaged.data[:vpid] + bytes([damaged.data[vpid] ^ 1]) + damaged.data[vpid + 1:]))
        before = processes()
        result = criu('restore', damaged.dir, '-d')
        left = left_of(before)
    result.require(not left, f'tasks left: {sorted(left)}')
    result.require(result.status != 0, 'the restore succeeded')
    result.require(any('no task is pid' in x for x in result.errors), 'no error says so')


# For a host without KVM: images that a boot before it has made.

def keep_images(folder):
    """A copy of a dumped VM's folder, and where it was: its files must be there again."""
    d = Dumped()
    try:
        where = os.path.join(folder, 'dumped')
        shutil.rmtree(where, ignore_errors=True)
        shutil.rmtree(d.other)
        shutil.copytree(d.vm.dir, where)
        with open(where + '.path', 'w') as f:
            f.write(d.vm.dir)
    finally:
        discard(d.vm)


def steps_fail(what, prefix, steps):
    for step in steps:
        yield prefix + step.replace(' ', '-'), 'main', step_fails, (what, step)


def failures_of(what, prefix):
    yield prefix + 'create', 'main', creation_fails, (what,)
    yield from steps_fail(what, prefix, [x for x in STEPS if x not in ITS_STEPS])
    yield prefix + 'threads', 'main', threads_fail, (what,)
    yield prefix + 'in-criu', 'main', criu_fails, (what,)


def cases():
    yield 'restore-steps-are-known', 'main', steps_are_known, ()
    yield 'control-good-restore-shows', 'main', good_restore_shows, ()
    yield 'control-trace-shows-a-restore', 'main', trace_shows_a_restore, ()
    yield 'restore-is-a-new-vm', 'main', is_a_new_vm, ()
    yield from failures_of('one', 'restore-fails-')
    yield from steps_fail('its', 'restore-fails-', ITS_STEPS)
    for step in STEPS[:-1]:
        what = 'its' if step in ITS_STEPS else 'one'
        yield 'restore-killed-at-' + step.replace(' ', '-'), 'main', killed, (what, step)
    yield 'restore-killed-in-a-replay', 'main', killed_in_replay, ()
    yield 'restore-fails-in-a-replay', 'main', replay_fails, ()
    yield 'restore-late-hook-not-called', 'main', late_hook_is_not_called, ()
    yield ('restore-on-many-cpu-kinds', 'main', other_cpus,
           (['armv8_cortex_a53', 'armv8_cortex_a72'], 'this host has CPUs of several kinds'))
    yield ('restore-on-no-cpu-kinds', 'main', other_cpus,
           ([], '/sys/bus/event_source does not tell whether this host has CPUs of several kinds'))
    yield 'restore-with-a-pmu-after-failures', 'main', works_at_last, ('pmu',)
    for name in FILES:
        yield f'image-changed-{name}', 'main', one_byte, (name,)
        yield f'image-truncated-{name}', 'main', truncated, (name,)
        yield f'image-missing-{name}', 'main', missing, (name,)
        yield f'image-of-another-dump-{name}', 'main', of_another_dump, (name,)
    yield 'image-of-a-vm-of-no-task', 'main', of_no_task, ()
    yield 'restore-after-failures', 'main', works_at_last, ('one',)
    yield 'restore-with-an-its-after-failures', 'main', works_at_last, ('its',)
    for what in ('tree-root', 'tree-child'):
        yield from failures_of(what, f'restore-of-{what}-fails-')
        yield f'restore-of-{what}-after-failures', 'main', works_at_last, (what,)
