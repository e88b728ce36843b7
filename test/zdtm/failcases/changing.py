# SPDX-License-Identifier: GPL-2.0-only
"""A VMM whose fds become others', or that ends, while a dump looks at them: pass by pass of the BPF iterator."""

import collections
import os
import shutil
import signal
import subprocess

from common import TESTING, Result, criu_ok, finish, odd_vm, read, require, seen_messages, wait_for
from zdtmvm import is_alive

SAYS = 'its fds changed while they were looked at'
# oddvm/hostile.c: what the number of the VM's fd is of after each signal.
CHANGES = {'file': signal.SIGUSR1, 'closed': signal.SIGUSR2, 'vm': signal.SIGWINCH}
BACK = signal.SIGHUP
# Programs, and before which of their passes. By the first the VM was told in part, and by which fd.
PASSES = {'state': ('kvm_files', 1), 'bound': ('kvm_bindings', 0)}


def points_of_passes(vm, images):
    """Of each program of the iterator's, the points (plugin/fault.h) before its passes."""
    path = os.path.join(vm.dir, 'points')
    criu_ok('dump', images, '-t', str(vm.pid), '-R', env={'KVM_VGIC_FAULT_LIST': path})
    shutil.rmtree(images)
    os.mkdir(images)
    points = collections.defaultdict(list)
    for line in read(path).splitlines():
        nr, _, place, what = line.split('\t')
        if place == 'BPF iterator':
            points[what].append(nr)
    return points


def change(vm, sig):
    """By the process that has the VMM's table of fds, and is not dumped."""
    done = os.path.join(vm.dir, 'changed')
    os.kill(int(next(filter(str.isdigit, os.listdir(vm.dir)))), sig)
    wait_for(lambda: os.path.isdir(done), 'no fd was changed')
    os.rmdir(done)


def dump_with(vm, images, point, meanwhile):
    """A dump that stops at @point until @meanwhile is done."""
    log = os.path.join(images, 'dump.log')
    env = {**os.environ, **TESTING, 'KVM_VGIC_FAULT': point, 'KVM_VGIC_FAULT_SIGNAL': str(signal.SIGSTOP.value)}
    with subprocess.Popen(['criu', 'dump', '-D', images, '-o', log, '-v4', '-t', str(vm.pid)], env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            stop = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            require(stop.si_code == os.CLD_STOPPED, f'criu did not stop at point {point}')
            meanwhile()
        except BaseException:
            process.kill()
            raise
        finally:
            process.send_signal(signal.SIGCONT)
    result = Result(process.returncode, read(log), '')
    seen_messages.update(result.errors)
    return result


def check_said(result):
    result.require(result.status == 1, f'criu ended with {result.status}')
    result.require(any(SAYS in x for x in result.errors), f'no error says "{SAYS}"')


def changed(program, nr, what):
    with odd_vm('hostile-changing-fds') as (vm, images, unharmed):
        point = points_of_passes(vm, images)[program][nr]
        result = dump_with(vm, images, point, lambda: change(vm, CHANGES[what]))
        change(vm, BACK)
        check_said(result)
        unharmed.check(images)
        finish(vm)


def end(vm):
    os.kill(vm.pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(vm.pid), 'it does not end')


def ended(program, nr):
    with odd_vm('hostile-changing-fds') as (vm, images, _):
        point = points_of_passes(vm, images)[program][nr]
        check_said(dump_with(vm, images, point, lambda: end(vm)))


def cases():
    for when, (program, nr) in PASSES.items():
        for what in CHANGES:
            yield f'changing-{when}-{what}', 'main', changed, (program, nr, what)
        yield f'changing-{when}-ended', 'main', ended, (program, nr)
