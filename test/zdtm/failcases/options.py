# SPDX-License-Identifier: GPL-2.0-only
"""CRIU's options, and places where criu is run: what a VM goes through with, and what is refused by name."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
if __name__ == '__main__':
    sys.path[:0] = [HERE, os.path.dirname(HERE)]

import common  # noqa: E402
from common import (Result, SmallVm, OddVm, Skip, Unharmed, bpf_ids, check_nothing_left, criu, criu_ok, discard,  # noqa: E402
                    finish, left_of, processes, read, require, work_dir)
from refusals import REFUSAL, check_error  # noqa: E402
from streamer import Streamer  # noqa: E402
from zdtmvm import Failure, Vm, tree, wait_gone  # noqa: E402

SECONDS = 100           # for what criu does in the background
PLUGIN = '/usr/lib/criu/kvm_vgic_plugin.so'
LOCKDOWN = '/sys/kernel/security/lockdown'
USER = '1000'
TICKING = 'n=0; while :; do n=$((n + 1)); echo $n >"$1"; sleep 0.02; done'


@contextlib.contextmanager
def small_vm(name='kvm_vgic_refused', *options):
    vm = SmallVm(name, list(options) or (['--what=none'] if name == 'kvm_vgic_refused' else []))
    try:
        yield vm
    finally:
        discard(vm)


def folder_of(vm, name='images'):
    path = os.path.join(vm.dir, name)
    os.mkdir(path)
    return path


def dumped(vm, images, *options, **more):
    result = criu_ok('dump', images, '-t', str(vm.pid), *options, **more)
    wait_gone(vm.pid)
    return result


def goes_on(vm):
    vm.wait_moved(vm.stats())
    finish(vm)


def dump_fails(vm, images, *options, says, by_plugin=False, **more):
    """Stock CRIU's own line, or one of the plugin's and no other."""
    unharmed = Unharmed(vm)
    result = criu('dump', images, '-t', str(vm.pid), *options, **more)
    result.require(result.status != 0, 'the dump succeeded')
    if by_plugin:
        check_error(result, says)
    result.require(says in result.log + result.output, f'neither log nor output says "{says}"')
    unharmed.check(images)


def restore_fails(images, *options, says, **more):
    bpf, before = bpf_ids(), processes()
    result = criu('restore', images, '-d', *options, **more)
    result.require(result.status != 0, 'the restore succeeded')
    result.require(says in result.log, f'the log does not say "{says}"')
    result.require(not left_of(before), f'tasks left: {left_of(before)}')
    check_nothing_left(images, bpf)


# ---- --stream ----

def stream_dump():
    with small_vm() as vm:
        images, streamed = folder_of(vm), folder_of(vm, 'streamed')
        with Streamer('dump', images, streamed):
            dump_fails(vm, images, '--stream', says='a VM with --stream: ' + REFUSAL + 'dump it to files', by_plugin=True)
        require(os.listdir(images) == ['streamer-capture.sock'] or set(os.listdir(images)) <=
                {'streamer-capture.sock', 'dump.log', 'stats-dump'}, f'left behind: {os.listdir(images)}')
        dumped(vm, images)
        criu_ok('restore', images, '-d')
        goes_on(vm)


def stream_restore():
    with small_vm() as vm:
        images, sockets = folder_of(vm), folder_of(vm, 'sockets')
        dumped(vm, images)
        with Streamer('restore', sockets, images):
            restore_fails(sockets, '--stream', says='images of a VM with --stream: ' + REFUSAL + 'restore from files')
        criu_ok('restore', images, '-d')
        goes_on(vm)


def ticked(path):
    return os.stat(path).st_mtime_ns if os.path.exists(path) else 0


def wait_ticks(path):
    old = ticked(path)
    wait_for(lambda: ticked(path) != old, 'the process does not run')


def stream_without_vm():
    """The streamer here is one: with the plugin installed, a process without a VM goes through it."""
    folder = work_dir('stream')
    images, count = os.path.join(folder, 'images'), os.path.join(folder, 'count')
    os.mkdir(images)
    process = subprocess.Popen(['/bin/bash', '-c', TICKING, 'bash', count], stdin=subprocess.DEVNULL, cwd=folder,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_ticks(count)
        with Streamer('dump', folder, images) as streamer:
            criu_ok('dump', folder, '-t', str(process.pid), '--stream', '-R')
        require('inventory.img' in streamer.requests, f'the streamer was given {streamer.requests}')
        wait_ticks(count)
        process.kill()
        process.wait()
        with Streamer('restore', folder, images):
            result = criu_ok('restore', folder, '-d', '--stream')
        result.require(not result.errors, 'the plugin has something to say')
        wait_ticks(count)
    finally:
        kill_group(process.pid)
        process.poll()
        shutil.rmtree(folder, ignore_errors=True)


# ---- --lazy-pages ----

def wait_for(done, message, seconds=SECONDS):
    end = time.monotonic() + seconds
    while not done():
        require(time.monotonic() < end, message)
        time.sleep(0.02)


def kill_group(pgid):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pgid, signal.SIGKILL)


class Background:
    """A criu that serves others, ready for them once this is there."""

    def __init__(self, action, images, *options, wrap=()):
        self.action, self.log = action, os.path.join(images, f'{action}.log')
        ready, told = os.pipe()
        self.process = subprocess.Popen(
            [*wrap, 'criu', action, '-D', images, '-o', self.log, '-v4', '--status-fd', str(told), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[told])
        os.close(told)
        with open(ready, 'rb') as f:
            word = f.read(1)
        if not word:
            self.ended()
            raise Failure(f'criu {action} serves nobody: {self.result().describe()}')

    def result(self):
        return Result(self.process.returncode, read(self.log), '')

    def ended(self):
        """What became of it."""
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired as e:
            raise Failure(f'criu {self.action} does not end') from e
        return self.result()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.process.kill()
        self.process.wait()


class Slow:
    """A cgroup of which a process has only little of a CPU: what it is asked for is then really missing."""

    root = '/sys/fs/cgroup'
    path = root + '/kvm_vgic_slow'

    def __init__(self, process):
        self.process = process

    def limit(self, value):
        with open(self.path + '/cpu.max', 'w') as f:
            f.write(value)

    def __enter__(self):
        with open(self.root + '/cgroup.subtree_control', 'w') as f:
            f.write('+cpu')
        os.mkdir(self.path)
        self.limit('3000 100000')
        with open(self.path + '/cgroup.procs', 'w') as f:
            f.write(str(self.process.pid))
        return self

    def __exit__(self, *args):
        self.limit('max')
        with open(self.root + '/cgroup.procs', 'w') as f, contextlib.suppress(ProcessLookupError):
            f.write(str(self.process.pid))
        os.rmdir(self.path)
        with open(self.root + '/cgroup.subtree_control', 'w') as f:
            f.write('-cpu')


SCRIPT = """#!/bin/sh
[ "$CRTOOLS_SCRIPT_ACTION" != {when} ] || cp {log} {copy}
"""


def watching_script(vm, log, when, copy):
    """Of --action-script: what the daemon has said when the restore comes there."""
    path = os.path.join(vm.dir, when)
    with open(path, 'w') as f:
        f.write(SCRIPT.format(when=when, log=log, copy=copy))
    os.chmod(path, 0o755)
    return ['--action-script', path]


def faults(log):
    """The pages that the daemon was asked for."""
    return [int(x, 16) for x in re.findall(r'#PF at (0x[0-9a-f]+)', read(log))]


def lazy_memory(pid):
    """Private, and without a file: what CRIU's daemon brings on demand."""
    return [tuple(int(x, 16) for x in found) for found in
            re.findall(r'^([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 *$', read(f'/proc/{pid}/maps'), re.M)]


def guest_tables(pid):
    """Where kvm_its_lpi has the tables of its ITSes (VM_LPI_SIZE)."""
    found = [x for x in lazy_memory(pid) if x[1] - x[0] >= 0x500000]
    require(found, 'no private guest memory')
    return found


def lazy_restore():
    """Guest memory is missing when the plugin and KVM read the tables of the ITSes in it."""
    vm = Vm('kvm_its_lpi', ['--vcpus=2'])
    try:
        images = folder_of(vm)
        vm.wait_moved(vm.stats())
        print('MAPS', lazy_memory(vm.pid), read(f'/proc/{vm.pid}/maps'))
        tables = guest_tables(vm.pid)
        dumped(vm, images)
        with Background('lazy-pages', images) as daemon:
            copies = {when: os.path.join(vm.dir, when + '.log') for when in ('post-restore', 'pre-resume')}
            options = sum((watching_script(vm, daemon.log, *x) for x in copies.items()), [])
            with Slow(daemon.process):
                criu_ok('restore', images, '-d', '--lazy-pages', *options)
                before, after = (faults(copies[x]) for x in ('post-restore', 'pre-resume'))
                on_demand = [x for x in after[len(before):] if any(a <= x < b for a, b in tables)]
                print('FAULTS', len(before), len(after), len(on_demand))
                require(on_demand, 'no page of the tables was missing when it was read: this test shows nothing')
            vm.wait_moved(vm.stats())
            result = daemon.ended()
            result.require(result.status == 0, 'the daemon failed')
        goes_on(vm)
    finally:
        discard(vm)


def cases():
    yield 'option-stream-dump', 'main', stream_dump, ()
    yield 'option-stream-restore', 'main', stream_restore, ()
    yield 'option-stream-without-vm', 'main', stream_without_vm, ()
    yield 'option-lazy-pages-restore', 'main', lazy_restore, ()
