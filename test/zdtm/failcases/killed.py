# SPDX-License-Identifier: GPL-2.0-only
"""criu killed in a dump: by what it can answer to, the VM goes on; by SIGKILL, it goes on, is recovered, or dumped again."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

from cgroup import Cgroup
from common import (SmallVm, criu, criu_ok, discard, finish, left_of, locked_memory, odd_vm, processes, read, require,
                    wait_for)
from lives.kvm_signals import PUT_BACK, AtLine, interrupted, recover, recovered, stands
from zdtmvm import Failure, is_alive, wait_gone

GENTLE = ['INT', 'TERM', 'HUP', 'ABRT']
MOMENTS = {'read': 'VM is read', 'swapped': 'kvm_run is swapped', 'pages': 'pages are dumped'}
# Points of the plugin, at which criu kills itself; whether the VM stands then, and whether CRIU's memory is in the VMM.
KILLED = [('reading', 'kvm_run pages', False, False), ('swapped', 'swapped', True, False),
          ('fds', 'dump-ext-file', True, True)]
LOCK_STEP, LOCK_MOST = 64 << 10, 4 << 20        # bytes
LAST_BATCHES = {'succeeds': 5, 'killed-behind': 5, 'killed': 100, 'fails': 5, 'writes-a-part': 5}
NOT_WHOLE = 'left by a restore that did not come to its end'


def gentle(name, moment):
    sig = getattr(signal, 'SIG' + name)
    with odd_vm('none') as (vm, images, unharmed):
        result = interrupted(vm.pid, images, sig, AtLine(MOMENTS[moment]))
        result.require(result.status in (1, -sig), f'criu ended with {result.status}')
        unharmed.check(images)
        finish(vm)


def kill(pid, images, point, *options):
    """A dump in which criu ends by SIGKILL."""
    result = criu('dump', images, '-t', str(pid), *options, env={'KVM_VGIC_KILL': point})
    result.require(result.status == -signal.SIGKILL, f'criu ended with {result.status}')
    return result


def has_memory(pid):
    fds = [os.readlink(f'/proc/{pid}/fd/{x}') for x in os.listdir(f'/proc/{pid}/fd')]
    return 'CRIUMFD' in read(f'/proc/{pid}/maps') or any('CRIUMFD' in x for x in fds)


def killed(point, left_standing, with_memory_left):
    """That recover takes the memory out shows in the maps, which are to be what they were."""
    with odd_vm('none') as (vm, images, unharmed):
        result = kill(vm.pid, images, point)
        require(has_memory(vm.pid) == with_memory_left, "CRIU's memory " + ('is not there' if with_memory_left else 'is there'))
        result.require(stands(vm) == left_standing, 'the VM ' + ('goes on' if left_standing else 'stands'))
        if left_standing:
            recovered(vm, unharmed)
        else:
            status, said = recover(vm.pid)
            require(status == 1 and 'nothing to put back' in said, f'recover ended with {status}: {said}')
            unharmed.check(vm.dir)
            finish(vm)


def dumped(vm, images):
    """A dump that succeeds, after one that did not, and a restore of it: what the dump says."""
    shutil.rmtree(images)
    os.mkdir(images)
    result = criu_ok('dump', images, '-t', str(vm.pid))
    wait_gone(vm.pid)
    criu_ok('restore', images, '-d')
    vm.wait_moved(vm.stats())
    finish(vm)
    return result


def dumped_after_recovery():
    """What was recovered is a VM as any other."""
    with odd_vm('none') as (vm, images, unharmed):
        kill(vm.pid, images, 'swapped')
        status, said = recover(vm.pid)
        require(status == 0, f'criu-kvm recover ended with {status}: {said}')
        unharmed.check(vm.dir)
        result = dumped(vm, images)
        result.require(PUT_BACK not in result.log, 'something was put back that recover had put back')


def dumped_again(point):
    """Without recover: the next dump does the same."""
    with odd_vm('none') as (vm, images, _):
        kill(vm.pid, images, point)
        require(stands(vm), 'the VM goes on')
        result = dumped(vm, images)
        result.require(PUT_BACK in result.log, 'the dump does not say that anything was put back')


def dumped_again_of_two():
    """Of two VMs of a process one stands."""
    vm = SmallVm('kvm_multi_vm', [])
    try:
        images = os.path.join(vm.dir, 'images')
        os.mkdir(images)
        kill(vm.pid, images, 'swapped')
        result = dumped(vm, images)
        result.require(result.log.count(PUT_BACK) == 1, f'{result.log.count(PUT_BACK)} VMs were put back, and one stood')
    finally:
        discard(vm)


def text_of(pid):
    """What each private mapping that can be executed has, by its address: 18 words of it may be the plugin's."""
    text = {}
    with open(f'/proc/{pid}/mem', 'rb', buffering=0) as mem:
        for line in read(f'/proc/{pid}/maps').splitlines():
            area, prot = line.split()[:2]
            start, end = (int(x, 16) for x in area.split('-'))
            if prot[2:] == 'xp':
                mem.seek(start)
                text[start] = mem.read(end - start)
    return text


def in_one_place():
    """What a criu that was killed has left in the VMM's text is where the next one stands: the VMM's own code never."""
    with odd_vm('none') as (vm, images, unharmed):
        texts = [text_of(vm.pid)]
        for _ in range(3):
            kill(vm.pid, images, 'kvm_run pages')
            texts.append(text_of(vm.pid))
            shutil.rmtree(images)
            os.mkdir(images)
        require(texts[0] != texts[1], "a criu that was killed has left nothing in the VMM's text: this test sees nothing")
        changed = [f'{start:x}' for text in texts[2:] for start in text if text[start] != texts[1][start]]
        require(not changed, f'another criu that was killed has left something else, in {changed}')
        unharmed.check(images)
        finish(vm)


def fails_again():
    """The next dump fails for another reason, when it has put the VM back: that runs on."""
    with odd_vm('none') as (vm, images, unharmed):
        kill(vm.pid, images, 'swapped')
        shutil.rmtree(images)
        os.mkdir(images)
        result = criu('dump', images, '-t', str(vm.pid), env={'KVM_VGIC_FAULT': 'dump-ext-file'})
        result.require(result.status == 1 and PUT_BACK in result.log, f'criu ended with {result.status}')
        unharmed.check(images)
        finish(vm)


def unreachable(what, *prepare):
    """CRIU's own fault 5: it cannot reach its parasite, whose memory it leaves, and lets the first thread go on."""
    with odd_vm(what) as (vm, images, unharmed):
        for step in prepare:
            step(vm, images)
        result = criu('dump', images, '-t', str(vm.pid), env={'CRIU_FAULT': '5'})
        result.require(result.status == 1 and 'kvm_run put back' in result.log, f'criu ended with {result.status}')
        result.require(PUT_BACK not in result.log, 'the VM is taken for one that an earlier criu has left')
        require(not stands(vm), 'the VM stands')
        status, said = recover(vm.pid)
        require(status == 0 and 'is unmapped' in said, f'recover ended with {status}: {said}')
        unharmed.check(images)
        finish(vm)


def lock_little(vm, images):
    """It may lock what a dump needs, and nothing beside: memory that CRIU leaves is on that account."""
    locked = int(locked_memory(vm.pid)) << 10
    for limit in range(locked, locked + LOCK_MOST, LOCK_STEP):
        resource.prlimit(vm.pid, resource.RLIMIT_MEMLOCK, (limit, limit))
        if criu('dump', images, '-t', str(vm.pid), '-R').status == 0:
            return
    raise Failure(f'no dump of a process that may lock {LOCK_MOST} bytes more')


@contextlib.contextmanager
def cgroup_of(vm):
    with Cgroup('killed') as group:
        group.add(vm.pid)
        try:
            yield group
        finally:
            group.write('cgroup.freeze', 0)
            vm.kill()


def wait_frozen(group):
    wait_for(lambda: 'frozen 1' in group.read('cgroup.events'), 'the cgroup does not freeze')


def frozen(*options):
    """The cgroup is frozen when recover comes: thawed by it, or left so."""
    with odd_vm('none') as (vm, images, unharmed), cgroup_of(vm) as group:
        kill(vm.pid, images, 'swapped', '--freeze-cgroup', group.path)
        require('frozen 0' in group.read('cgroup.events'), 'CRIU has left the cgroup frozen: say so in docs/limits.md')
        group.write('cgroup.freeze', 1)
        wait_frozen(group)
        if not options:
            recovered(vm, unharmed)
            return
        status, said = recover(vm.pid, *options)
        require(status == 0 and 'when its cgroup is thawed' in said, f'recover ended with {status}: {said}')
        wait_frozen(group)
        require(stands(vm), 'the VM goes on, and was to stay frozen')
        group.write('cgroup.freeze', 0)
        unharmed.check(vm.dir)
        finish(vm)


def refused(pid, expected, says, tell=''):
    status, said = recover(pid)
    require(status == expected and says in said, f'{tell}recover ended with {status}: {said}')


def nothing_to_recover():
    """A VM that goes on is left alone; a process without VM, and none."""
    with odd_vm('none') as (vm, images, unharmed):
        refused(vm.pid, 1, 'nothing to put back')
        unharmed.check(images)
        refused(os.getpid(), 1, 'nothing to put back')
        finish(vm)
    with subprocess.Popen(['true']) as process:
        process.wait()
    refused(process.pid, 3, 'there is no such process')


def traced():
    """A criu that still runs has it."""
    with odd_vm('none') as (vm, images, unharmed):
        kill(vm.pid, images, 'swapped')
        with subprocess.Popen(['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=none', '-p', str(vm.pid)]) as tracer:
            try:
                while f'TracerPid:\t{tracer.pid}' not in read(f'/proc/{vm.pid}/status'):
                    time.sleep(0.01)
                refused(vm.pid, 3, f'pid {tracer.pid} traces it')
            finally:
                tracer.terminate()
        recovered(vm, unharmed)


# A process with memory as compel maps it, which reads: into it, as if a thread were there, or elsewhere.
NR_READ = '63'
WITH_MEMORY = '''
import io, mmap, os, sys
fd = os.memfd_create('CRIUMFD')
os.ftruncate(fd, 4 * mmap.PAGESIZE)
memory = mmap.mmap(fd, 4 * mmap.PAGESIZE)
os.write(1, b'.')
io.FileIO(0, closefd=False).readinto(memory if sys.argv[1] == 'in it' else bytearray(1))
os.write(1, b'.')
os.read(0, 1)
'''


@contextlib.contextmanager
def with_memory(where):
    with subprocess.Popen([sys.executable, '-c', WITH_MEMORY, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          bufsize=0) as process:
        try:
            process.stdout.read(1)
            wait_for(lambda: read(f'/proc/{process.pid}/syscall').split()[0] == NR_READ, 'it does not read')
            yield process
        finally:
            process.kill()


def memory_alone():
    """No VM of it was left standing, or it has none: what criu has mapped goes all the same."""
    with with_memory('not in it') as process:
        refused(process.pid, 0, 'is unmapped')
        require(not has_memory(process.pid), 'it has the memory still')
        process.stdin.write(b'.')
        require(process.stdout.read(1) == b'.', 'the process does not go on')
        refused(process.pid, 1, 'nothing to put back')


def memory_in_use():
    """A thread is in it: it is left, until the thread has come out."""
    with with_memory('in it') as process:
        refused(process.pid, 3, f'thread {process.pid} is in what criu has mapped')
        require(has_memory(process.pid), 'the memory is gone from under a thread')
        with subprocess.Popen(['criu-kvm', 'recover', str(process.pid)], stdout=subprocess.DEVNULL) as recovery:
            time.sleep(0.2)
            process.stdin.write(b'.')
            require(recovery.wait(60) == 0, f'recover ended with {recovery.returncode}')
        require(process.stdout.read(1) == b'.' and not has_memory(process.pid), 'it has the memory still')


def by_a_restore(step, check):
    """What a restore has left is not whole, and cannot be made so."""
    with odd_vm('none') as (vm, images, _):
        criu_ok('dump', images, '-t', str(vm.pid))
        before = processes()
        result = criu('restore', images, '-d', env={'KVM_VGIC_KILL': step})
        result.require(result.status == -signal.SIGKILL, f'criu ended with {result.status}')
        try:
            require(is_alive(vm.pid), 'no task was left')
            check(vm)
            require(is_alive(vm.pid), 'the process has ended')
        finally:
            for pid in processes() - before:
                os.kill(pid, signal.SIGKILL)
        require(not left_of(before), f'tasks left: {sorted(left_of(before))}')


def not_recovered(vm):
    refused(vm.pid, 3, NOT_WHOLE)


def not_dumped(vm):
    images = os.path.join(vm.dir, 'again')
    os.mkdir(images)
    result = criu('dump', images, '-t', str(vm.pid))
    result.require(result.status == 1 and NOT_WHOLE in ''.join(result.errors), 'no dump refuses it by name')
    require(stands(vm), 'the VM goes on')


def last_batch(mode, times):
    """Of a session, by itself: what else is mapped where its memory was stays."""
    program = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), 'last_batch')
    ran = subprocess.run([program, mode, str(times)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    require(ran.returncode == 0, f'last_batch ended with {ran.returncode}: {ran.stdout}')


def cases():
    for name in GENTLE:
        for moment in MOMENTS:
            yield f'dump-killed-{name.lower()}-{moment}', 'main', gentle, (name, moment)
    for name, *what in KILLED:
        yield f'dump-killed-kill-{name}', 'main', killed, what
    for name, point, left_standing, _ in KILLED:
        if left_standing:
            yield f'dump-killed-kill-{name}-dumped-again', 'main', dumped_again, (point,)
    yield 'dump-killed-kill-one-of-two', 'main', dumped_again_of_two, ()
    yield 'dump-killed-kill-in-one-place', 'main', in_one_place, ()
    yield 'dump-killed-kill-fails-again', 'main', fails_again, ()
    yield 'dump-parasite-unreachable', 'main', unreachable, ('none',)
    yield 'dump-parasite-unreachable-locked', 'main', unreachable, ('cramped-memlock', lock_little)
    yield 'dump-killed-recovered-dumped-again', 'main', dumped_after_recovery, ()
    yield 'dump-killed-frozen-recover', 'main', frozen, ()
    yield 'dump-killed-frozen-stays', 'main', frozen, ('--frozen',)
    yield 'dump-killed-traced', 'main', traced, ()
    for mode, times in LAST_BATCHES.items():
        yield f'session-last-batch-{mode}', 'main', last_batch, (mode, times)
    yield 'dump-killed-memory-alone', 'main', memory_alone, ()
    yield 'dump-killed-memory-in-use', 'main', memory_in_use, ()
    yield 'dump-nothing-to-recover', 'main', nothing_to_recover, ()
    yield 'restore-killed-nothing-to-recover', 'main', by_a_restore, ('vCPU registers', not_recovered)
    # Not before: a VM whose vCPU has no KVM_ARM_VCPU_INIT is dead once the VMM has called KVM_RUN, and refused for that.
    yield 'restore-killed-not-dumped', 'main', by_a_restore, ('vCPUs may run', not_dumped)
