# SPDX-License-Identifier: GPL-2.0-only
"""A restore that cannot be complete leaves nothing that runs; damaged images are refused before a task is forked."""

import glob
import os
import re
import shutil
import time

from common import bpf_ids, check_nothing_left, criu, criu_ok, discard, finish, require
from zdtmvm import Vm, wait_gone

TEST = 'kvm_vgic_v3'
TRACE = '/sys/kernel/tracing/instances/kvm_vgic'

# Of plan_restore in plugin/plan.c; restore-steps-are-known compares them with what a restore says it does.
STEPS = [
    'memslots', 'vCPU initialisation', 'ID and firmware registers', 'register list', 'vCPU registers',
    'timer interrupts', 'GIC addresses', 'GIC distributor', 'GIC redistributors', 'GIC CPU interfaces',
    'guest counters', 'pending exits', 'vCPU events', 'power states', 'kvm_run pages', 'fds kept aside',
]
FILES = ['kvm-vm.img', 'kvm-vcpu-1.img', 'kvm-vcpu-events-1.img', 'kvm-vgic-1.img']


class Dumped:
    """A VM that was dumped twice: first with --leave-running, for images that are almost the right ones."""

    def __init__(self):
        self.vm = Vm(TEST, ['--vcpus=2'])
        self.images = os.path.join(self.vm.dir, 'images')
        self.other = os.path.join(self.vm.dir, 'other')
        os.mkdir(self.images)
        os.mkdir(self.other)
        self.vm.wait_moved(self.vm.stats())
        criu_ok('dump', self.other, '-t', str(self.vm.pid), '-R')
        criu_ok('dump', self.images, '-t', str(self.vm.pid))
        wait_gone(self.vm.pid)


kept = []       # one Dumped, for all cases here: what a failed restore leaves behind would show in the next


def dumped():
    if not kept:
        kept.append(Dumped())
    return kept[0]


def clean_up():
    while kept:
        discard(kept.pop().vm)


def running_tests():
    found = []
    for link in glob.glob('/proc/[0-9]*/exe'):
        try:
            if os.path.basename(os.readlink(link)) == TEST:
                found.append(int(link.split('/')[2]))
        except OSError:
            pass
    return found


class GuestEntries:
    """Which threads entered a guest, as KVM's own tracepoint tells."""

    def __enter__(self):
        os.makedirs(TRACE, exist_ok=True)
        self.switch(1)
        return self

    @staticmethod
    def switch(on):
        with open(TRACE + '/events/kvm/kvm_entry/enable', 'w') as f:
            f.write(str(on))

    def threads(self):
        with open(TRACE + '/trace') as f:
            return [int(x) for x in re.findall(r'^.*-(\d+)\s+\[\d+\].*kvm_entry', f.read(), re.M)]

    def __exit__(self, *args):
        self.switch(0)
        os.rmdir(TRACE)


def restore_fails(env, says):
    """No task is left; no vCPU has run, but for a replay, which is the leader's."""
    d = dumped()
    bpf = bpf_ids()
    with GuestEntries() as entries:
        result = criu('restore', d.images, '-d', env=env)
        end = time.monotonic() + 10
        while running_tests() and time.monotonic() < end:
            time.sleep(0.02)
        entered = entries.threads()
    left = running_tests()
    result.require(result.status != 0, 'the restore succeeded')
    result.require(not left, f'tasks left: {left}')
    result.require(re.search(says, result.log), f'the log does not say "{says}"')
    replays = len(re.findall(r'pending \w+ at \S+ replayed', result.log))
    wrong = [t for t in entered if t != d.vm.pid or not replays]
    result.require(not wrong, f'the guest was entered by threads {sorted(set(wrong))}, with {replays} replays')
    check_nothing_left(d.images, bpf)


def step_fails(step):
    restore_fails({'KVM_VGIC_FAULT': step}, rf'vm 1: step \d+ of \d+, {re.escape(step)}: failed: .* \(errno 5\)')


def creation_fails():
    restore_fails({'KVM_VGIC_FAULT': 'create'}, 'fault injected: create')


def criu_fails():
    """CRIU's own fault 6: after all tasks were restored, before the late hook."""
    restore_fails({'CRIU_FAULT': '6'}, r'Error \(criu/')


def steps_are_known():
    """The list above is the plan: a step that it lacks would not be made to fail."""
    d = dumped()
    result = criu('restore', d.images, '-d', env={'KVM_VGIC_FAULT': STEPS[-1]})
    said = re.findall(r'vm 1: step (\d+) of (\d+), (.*?): (?:done|failed)', result.log)
    result.require([x[2] for x in said] == STEPS, f'the steps are {[x[2] for x in said]}')
    result.require(all(int(x[1]) == len(STEPS) for x in said), f'there are {said[0][1]} steps')


def works_at_last():
    d = dumped()
    criu_ok('restore', d.images, '-d')
    d.vm.wait_moved(d.vm.stats())
    finish(d.vm)
    clean_up()


# Damaged images

class Damaged:
    """A copy of the images, by links, with one file to be replaced."""

    def __init__(self, name):
        self.name = name
        self.dir = dumped().images + '.damaged'

    def __enter__(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        os.mkdir(self.dir)
        for path in glob.glob(dumped().images + '/*.img'):
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


def untouched(seen):
    """Neither KVM nor a task has been touched: None, or what was."""
    for name, rest in seen:
        if name == 'openat' and '/dev/kvm' in rest:
            return 'opened /dev/kvm'
        if name == 'ioctl' and int(rest.split(',')[1], 0) >> 8 & 0xff == 0xae:
            return f'a KVM ioctl: {rest}'
        # CRIU tries ptrace out on a process of its own at each start: no task is made with this flag.
        if name in ('clone', 'clone3', 'fork', 'vfork') and 'CLONE_UNTRACED' not in rest:
            return f'{name}({rest}'
    return None


def check_refused(name, images, damage):
    trace = os.path.join(dumped().vm.dir, 'strace')
    wrap = ['strace', '-f', '-qq', '-o', trace, '-e', 'trace=openat,ioctl,clone,clone3,fork,vfork', '-e', 'raw=ioctl']
    result = criu('restore', images, '-d', wrap=wrap)
    seen = calls(trace)
    result.require(result.status != 0, f'{damage}: the restore succeeded')
    result.require(any(name in x for x in result.errors), f'{damage}: no error of the plugin names {name}')
    result.require(seen, 'strace saw nothing')
    touched = untouched(seen)
    result.require(not touched, f'{damage}: {touched}')
    require(not running_tests(), f'{damage}: a task was left')


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
    with Damaged(name) as damaged, open(os.path.join(dumped().other, name), 'rb') as f:
        damaged.write(f.read())
        # kvm-vm.img is what the others are compared with: it then refuses the first of them.
        check_refused(name if name != FILES[0] else FILES[1], damaged.dir, 'of another dump')


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


def cases():
    yield 'restore-steps-are-known', 'main', steps_are_known, ()
    yield 'restore-fails-create', 'main', creation_fails, ()
    for step in STEPS:
        yield 'restore-fails-' + step.replace(' ', '-'), 'main', step_fails, (step,)
    yield 'restore-fails-in-criu', 'main', criu_fails, ()
    for name in FILES:
        yield f'image-changed-{name}', 'main', one_byte, (name,)
        yield f'image-truncated-{name}', 'main', truncated, (name,)
        yield f'image-missing-{name}', 'main', missing, (name,)
        yield f'image-of-another-dump-{name}', 'main', of_another_dump, (name,)
    yield 'restore-after-failures', 'main', works_at_last, ()
