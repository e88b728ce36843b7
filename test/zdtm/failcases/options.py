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

HERE = os.path.dirname(os.path.realpath(__file__))
if __name__ == '__main__':
    sys.path[:0] = [HERE, os.path.dirname(HERE)]

import common  # noqa: E402
import refusals  # noqa: E402
from cgroup import ROOT, Cgroup  # noqa: E402
from common import (OddVm, Result, SmallVm, Skip, Unharmed, bpf_ids, check_nothing_left, criu, criu_ok, discard,  # noqa: E402
                    finish, left_of, processes, read, require, wait_for, work_dir)
from refusals import REFUSAL, check_error  # noqa: E402
from streamer import Streamer  # noqa: E402
from zdtmvm import Failure, Vm, tree, wait_gone  # noqa: E402

SECONDS = 100           # for what criu does in the background
PLUGIN = '/usr/lib/criu/kvm_vgic_plugin.so'
LOCKDOWN = '/sys/kernel/security/lockdown'
USER = '1000'
NO_PLUGIN_DUMP = "'s mapfile link "
NO_PLUGIN_RESTORE = 'Missing required plugin: kvm_vgic_plugin'
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
    else:
        result.require(not result.errors, f'the plugin complains too: {result.errors}')
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


class Slow(Cgroup):
    """A process in it has only little of a CPU: what it is asked for is then really missing."""

    def __init__(self, process):
        super().__init__('slow', 'cpu')
        self.process = process

    def __enter__(self):
        super().__enter__()
        self.write('cpu.max', '3000 100000')
        self.add(self.process.pid)
        return self

    def __exit__(self, *args):
        with open(os.path.join(ROOT, 'cgroup.procs'), 'w') as f, contextlib.suppress(ProcessLookupError):
            f.write(str(self.process.pid))
        super().__exit__(*args)


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


def guest_tables(pid):
    """Where kvm_its_lpi has the tables of its ITSes and of LPIs: of VM_LPI_SIZE, private, without a file."""
    found = [(int(a, 16), int(b, 16)) for a, b in
             re.findall(r'^([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 *$', read(f'/proc/{pid}/maps'), re.M)]
    found = [x for x in found if x[1] - x[0] == 0x500000]
    require(len(found) == 1, f'mappings that can be the one with the tables: {found}')
    return found[0]


def vm_with_tables():
    vm = Vm('kvm_its_lpi', ['--vcpus=2'])
    vm.wait_moved(vm.stats())
    return vm, guest_tables(vm.pid)


def restore_lazily(vm, daemon, tables, images, **more):
    """Guest memory is missing when the plugin and KVM read the tables of the ITSes in it."""
    copies = {when: os.path.join(vm.dir, when + '.log') for when in ('post-restore', 'pre-resume')}
    scripts = sum((watching_script(vm, daemon.log, *x) for x in copies.items()), [])
    with Slow(daemon.process):
        result = criu_ok('restore', images, '-d', '--lazy-pages', *scripts, **more)
    before, after = (faults(copies[x]) for x in ('post-restore', 'pre-resume'))
    missing = [x for x in after[len(before):] if tables[0] <= x < tables[1]]
    result.require(missing, 'none of the tables was missing when they were read: this test shows nothing')
    # All of it: /proc/PID/mem, by which this looks at it, does not wait for a page.
    result = daemon.ended()
    result.require(result.status == 0, 'the daemon failed')


def lazy_restore():
    vm, tables = vm_with_tables()
    try:
        images = folder_of(vm)
        dumped(vm, images)
        with Background('lazy-pages', images) as daemon:
            restore_lazily(vm, daemon, tables, images)
        vm.wait_moved(vm.stats())
        again = folder_of(vm, 'again')
        dumped(vm, again)
        criu_ok('restore', again, '-d')
        goes_on(vm)
    finally:
        discard(vm)


@contextlib.contextmanager
def pid_namespace():
    """Process 1 of a new one, which reaps."""
    holder = subprocess.Popen(['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', '/bin/bash', '-c',
                               'while :; do sleep 1; done'], stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(tree(holder.pid)) > 1, 'no process 1 of a pid namespace')
        yield tree(holder.pid)[1]
    finally:
        holder.kill()
        holder.wait()


def outer_pid(vpid, init):
    """What process @vpid of the namespace of @init is called here."""
    for pid in tree(init):
        if re.search(rf'^NSpid:\s*{pid}\s+{vpid}$', read(f'/proc/{pid}/status'), re.M):
            return pid
    raise Failure(f'there is no process {vpid} in the pid namespace')


def lazy_dump():
    """The dumped process stands until all its memory was sent to where it is restored: here, in a pid namespace."""
    vm, tables = vm_with_tables()
    try:
        images = folder_of(vm)
        server = ['--address', '127.0.0.1', '--port', '12345']
        with Background('dump', images, '-t', str(vm.pid), '--lazy-pages', *server) as dump, pid_namespace() as init:
            with Background('lazy-pages', images, '--page-server', *server) as daemon:
                restore_lazily(vm, daemon, tables, images, wrap=['nsenter', '--target', str(init), '--pid', '--mount'])
            result = dump.ended()
            result.require(result.status == 0, 'the dump failed')
            wait_gone(vm.pid)
            vm.pid = outer_pid(vm.pid, init)
            goes_on(vm)
    finally:
        discard(vm)


# ---- places where criu is run ----

def there_and_back(name):
    with small_vm(name) as vm:
        images = folder_of(vm)
        dumped(vm, images)
        criu_ok('restore', images, '-d')
        goes_on(vm)


def in_pid_namespace(what, name):
    """Test, criu and VM. Process 1 is a shell, which reaps."""
    run = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', '/bin/bash', '-c', '"$@"; exit $?', 'bash',
           sys.executable, os.path.realpath(__file__), what, name]
    result = subprocess.run(run, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            timeout=300, check=False)
    require(result.returncode == 0, result.stdout + result.stderr)
    common.seen_messages.update(json.loads(result.stdout))


def refused(name):
    """As it is where criu sees all processes."""
    refusals.RUNS.get(name, refusals.refused)(name, next(row[1] for row in refusals.ROWS if row[0] == name))


def outside(what, says):
    """Test and VM in two pid namespaces, criu in that of the VM, which does not show it the test: its process 1."""
    vm = OddVm(what)
    try:
        wrap = ['nsenter', '--target', str(tree(vm.pid)[1]), '--pid', '--mount']
        dump_fails(vm, folder_of(vm), '-t', '1', '-R', says=says + REFUSAL, by_plugin=True, wrap=wrap)
        finish(vm)
    finally:
        discard(vm)


def lockdown():
    """The modes there are, the one that the kernel is in in brackets."""
    if not os.path.exists(LOCKDOWN):
        subprocess.run(['mount', '-t', 'securityfs', 'none', '/sys/kernel/security'], check=False)
    if not os.path.exists(LOCKDOWN):
        raise Skip('this kernel has no lockdown')
    return read(LOCKDOWN)


def lockdown_integrity():
    require('[integrity]' in lockdown(), f'the lockdown is {lockdown()}')
    there_and_back('kvm_irqfd')


def lockdown_confidentiality():
    """A dump is refused; a restore needs nothing that it forbids. A lockdown is raised, and never lowered: this comes last."""
    require('[integrity]' in lockdown(), f'the lockdown is {lockdown()}')
    with small_vm() as vm, small_vm() as other:
        images = folder_of(vm)
        dumped(vm, images)
        with open(LOCKDOWN, 'w') as f:
            f.write('confidentiality')
        says = 'the kernel is locked down (confidentiality): integrity is the most that it can be'
        dump_fails(other, folder_of(other), says=says, by_plugin=True)
        finish(other)
        criu_ok('restore', images, '-d')
        goes_on(vm)


def as_user(*more):
    return ['setpriv', '--reuid', USER, '--regid', USER, '--clear-groups', *more]


class UserVm(SmallVm):
    wrap = as_user()


def unprivileged():
    """A VM of a user's, dumped by that user, with CAP_CHECKPOINT_RESTORE alone."""
    mode = os.stat('/dev/kvm').st_mode & 0o777
    os.chmod('/dev/kvm', 0o666)
    mask = os.umask(0)
    vm = UserVm('kvm_vgic_refused', ['--what=none'])
    os.umask(mask)
    try:
        images = folder_of(vm)
        os.chown(images, int(USER), int(USER))
        caps = ['--inh-caps', '+checkpoint_restore', '--ambient-caps', '+checkpoint_restore']
        dump_fails(vm, images, '--unprivileged', says='CAP_BPF and CAP_PERFMON are needed', by_plugin=True,
                   wrap=as_user(*caps), env={'XDG_RUNTIME_DIR': images})
        finish(vm)
    finally:
        os.chmod('/dev/kvm', mode)
        discard(vm)


# ---- other options ----

def track_mem():
    """What pre-dump builds on: arm64 has no soft-dirty bits."""
    with small_vm() as vm:
        dump_fails(vm, folder_of(vm), '--track-mem', says='Tracking memory is not available')
        finish(vm)


def parent_images():
    """CRIU takes images of a pre-dump for that alone."""
    with small_vm() as vm:
        criu_ok('dump', folder_of(vm, 'first'), '-t', str(vm.pid), '-R')
        dump_fails(vm, folder_of(vm), '--prev-images-dir', '../first', says='Pid-reuse detection failed: ')
        finish(vm)


def other_libdir():
    """The plugin at another place; and where there is none, CRIU's own words."""
    with small_vm() as vm:
        images, libs, empty = (folder_of(vm, x) for x in ('images', 'libs', 'empty'))
        dump_fails(vm, folder_of(vm, 'failed'), '--libdir', empty, says=NO_PLUGIN_DUMP)
        shutil.copy(PLUGIN, libs)
        dumped(vm, images, '--libdir', libs)
        restore_fails(images, '--libdir', empty, says=NO_PLUGIN_RESTORE)
        criu_ok('restore', images, '-d', '--libdir', libs)
        goes_on(vm)


def work_dir_and_dedup():
    """Images and all else in folders of their own; the memory's file loses at the restore what it has given."""
    with small_vm() as vm:
        images, work = folder_of(vm), folder_of(vm, 'work')
        dumped(vm, images, '--work-dir', work)
        require('kvm-vm.img' in os.listdir(images) and 'kvm-vm.img' not in os.listdir(work), 'images at the wrong place')
        criu_ok('restore', images, '-d', '--work-dir', work, '--auto-dedup')
        goes_on(vm)


OUTSIDE_BY_FD = ('irqfd, GSI 0xa: its eventfd is on its way through a socket, or in use by the kernel (vhost, io_uring), or by '
                 'a process that criu cannot see: ')
OUTSIDE_BY_TABLE = 'irqfd, GSI 0xa: a process that criu cannot see shares the fds of pid 1 (CLONE_FILES): '


INNER = {'carried': there_and_back, 'refused': refused}


def cases():
    yield 'option-stream-dump', 'main', stream_dump, ()
    yield 'option-stream-restore', 'main', stream_restore, ()
    yield 'option-stream-without-vm', 'main', stream_without_vm, ()
    yield 'option-lazy-pages-restore', 'main', lazy_restore, ()
    yield 'option-lazy-pages-dump', 'main', lazy_dump, ()
    yield 'option-pid-namespace', 'main', in_pid_namespace, ('carried', 'kvm_vgic_refused')
    yield 'option-pid-namespace-irqfd', 'main', in_pid_namespace, ('carried', 'kvm_irqfd')
    yield 'option-pid-namespace-ioeventfd', 'main', in_pid_namespace, ('carried', 'kvm_ioeventfd')
    yield 'option-pid-namespace-stranger', 'main', in_pid_namespace, ('refused', 'irqfd-stranger')
    yield 'option-pid-namespace-irqfd-held', 'main', in_pid_namespace, ('refused', 'irqfd-held')
    yield 'option-pid-namespace-in-flight', 'main', in_pid_namespace, ('refused', 'in-flight-from-child')
    yield 'option-pid-namespace-irqfd-outside', 'main', outside, ('irqfd-outside-by-fd', OUTSIDE_BY_FD)
    yield 'option-pid-namespace-fds-outside', 'main', outside, ('irqfd-outside-by-table', OUTSIDE_BY_TABLE)
    yield 'option-unprivileged', 'main', unprivileged, ()
    yield 'option-track-mem', 'main', track_mem, ()
    yield 'option-libdir', 'main', other_libdir, ()
    yield 'option-prev-images-dir', 'main', parent_images, ()
    yield 'option-work-dir', 'main', work_dir_and_dedup, ()
    yield 'option-lockdown-integrity', 'lockdown', lockdown_integrity, ()
    yield 'option-lockdown-confidentiality', 'lockdown', lockdown_confidentiality, ()


if __name__ == '__main__':
    try:
        INNER[sys.argv[1]](sys.argv[2])
    except Failure as e:
        sys.exit(str(e))
    print(json.dumps(sorted(common.seen_messages)))
