# SPDX-License-Identifier: GPL-2.0-only
"""QEMU dumped in one boot of the host and restored in another: its images, its disk and its logs go by the shared folder.

What a newer or an older kernel makes of the registers is docs/register-policy.md's to say; the words are compared.
"""

import json
import os
import re
import shutil
import time

from common import criu, left_of, processes
from kernelwords import PSCI, UP
from qemuvm import WORK, Process, Qemu, new_vm
from zdtmvm import Failure

CARRIED = '/share/carried'
# (from, to): (lines of information, errors). No errors: the VM goes on.
WORDS = {('6.12', '7.2'): (UP, []), ('7.2', '6.12'): ([], PSCI)}


def series():
    return '.'.join(os.uname().release.split('.')[:2])


def leave(args):
    vm = new_vm(args.vcpus, args.memory)
    vm.start().log.wait_started(args.vcpus)
    vm.check_works()
    vm.dump()
    vm.remove_sockets()
    shutil.rmtree(CARRIED, ignore_errors=True)
    shutil.copytree(vm.dir, CARRIED)
    with open(os.path.join(CARRIED, 'vm.json'), 'w') as f:
        json.dump({'vcpus': vm.vcpus, 'pid': vm.process.pid, 'kernel': series()}, f)
    print(f'dumped on Linux {os.uname().release}', flush=True)
    return True


def come_back():
    """(the VM, which is not yet restored; its process's pid; the kernel that it comes from)"""
    with open(os.path.join(CARRIED, 'vm.json')) as f:
        was = json.load(f)
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(CARRIED, WORK)
    return Qemu(WORK, was['vcpus'], []), was['pid'], was['kernel']


def refused(result, before, errors):
    if not result.status:
        raise Failure('the restore was not refused')
    if result.errors != errors:
        raise Failure(f'the errors are {result.errors}, {errors} expected')
    if 'Forking task' in result.log or left_of(before, 5):
        raise Failure(f'a task was forked, or left: {left_of(before, 0)}')
    print('refused, no task forked: ' + errors[0])


def end(vm, info):
    """A QEMU that reads its vCPUs' registers at its end asks for those that it found at its start: what the new kernel has no
    more it does not get, says so for ever and has to be ended (docs/vmms.md)."""
    ended = vm.log.wait_report('end')
    vm.press_power_button()
    last = ended()
    if not info:
        vm.end()
        return last
    said = 'qemu-system-aarch64: Failed to get registers: Invalid argument'
    for _ in range(600):
        if said in vm.said().splitlines():
            return last
        time.sleep(0.1)
    raise Failure(f'QEMU does not say: {said}')


def goes_on(vm, result, info):
    result.require(not result.status, 'criu restore failed')
    said = re.findall(r'kvm_vgic: (vm \d+: registers .*)', result.log)
    if said != info:
        raise Failure(f'the log has {said}, {info} expected')
    vm.check_works()
    vm.dump()
    vm.restore()
    vm.check_works()
    last = end(vm, info)
    print(('QEMU does not end by itself there, and is killed; the guest ' if info else '') +
          'goes on, was dumped and restored there, and ended: ' + ', '.join(f'{k} {n}' for k, n in last.right.items()))


def arrive(args):
    vm, pid, source = come_back()
    print(f'dumped on Linux {source}, to be restored on Linux {os.uname().release}', flush=True)
    info, errors = WORDS[source, series()] if source != series() else ([], [])
    before = processes()
    result = criu('restore', vm.images, '-d')
    if errors:
        refused(result, before, errors)
        return True
    vm.process = None if result.status else Process(pid)
    try:
        goes_on(vm, result, info)
    except Failure:
        vm.keep_logs()
        raise
    finally:
        vm.kill()
    return True
