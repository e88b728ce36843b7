#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""One side of a VM's way from a host to another: test/zdtm/across starts it on each, with a folder that both see.

    crossing.py dump FOLDER JOB...       each JOB: NAME TEST OPTION,OPTION,...
    crossing.py restore FOLDER JOB...    each JOB: NAME DUMPED-NAME WORD, where WORD is what is expected: works, refused

What became of each job is in FOLDER/NAME.json.
"""

import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.append(os.path.join(HERE, 'failcases'))

from common import SmallVm, criu, criu_ok, finish, is_alive, left_of, processes, require  # noqa: E402
from restores import all_touched, traced_restore  # noqa: E402
from zdtmvm import Failure, Vm, read_verdict, wait_gone  # noqa: E402

FIRST_PID = 20000       # of the dumped processes: what a host has running by itself is far below
PIDS = 1000             # between those of two jobs
CHECKING = ('kvm_vgic_v3', 'kvm_vgic_v2')
KVM_CREATE_VM = '0xae01'


def start(test, options):
    return Vm(test, options) if test in CHECKING else SmallVm(test, options)


def dump(folder, name, test, options, pid):
    """A VM that has run for a moment, its images and its files to @folder."""
    with open('/proc/sys/kernel/ns_last_pid', 'w') as f:
        f.write(str(pid))
    vm = start(test, options)
    images = os.path.join(vm.dir, 'images')
    os.mkdir(images)
    vm.wait_moved(vm.stats())
    criu_ok('dump', images, '-t', str(vm.pid))
    wait_gone(vm.pid)
    shutil.copytree(vm.dir, os.path.join(folder, name))
    return {'test': test, 'dir': vm.dir, 'pid': vm.pid, 'nr_vcpus': vm.nr_vcpus}


def come_back(folder, dumped):
    """The dumped VM, as if it had been started here; not yet restored."""
    with open(os.path.join(folder, dumped + '.json')) as f:
        was = json.load(f)
    require('pid' in was, f'{dumped} was not dumped')
    shutil.rmtree(was['dir'], ignore_errors=True)
    shutil.copytree(os.path.join(folder, dumped), was['dir'])
    vm = (Vm if was['test'] in CHECKING else SmallVm).__new__(Vm if was['test'] in CHECKING else SmallVm)
    vm.name, vm.dir, vm.pid, vm.nr_vcpus = was['test'], was['dir'], was['pid'], was['nr_vcpus']
    vm.outfile = os.path.join(vm.dir, vm.name + '.out')
    return vm


def said(result):
    return {'status': result.status, 'errors': result.errors,
            'info': re.findall(r'kvm_vgic: (vm \d+: registers .*)', result.log), 'end': result.describe()}


def goes_on(vm):
    """From the restore to the test's own verdict: what it says of its events."""
    vm.wait_moved(vm.stats())
    if vm.name not in CHECKING:
        finish(vm)
        return 'goes on'
    last = vm.wait_moved(vm.stats())
    vm.ask_to_stop()
    events = read_verdict(vm, vm.verdict())
    lost, doubled = (sum(last.lost_and_doubled(kind)[i] for kind in events) for i in (0, 1))
    for kind, (sent, taken) in events.items():
        require(sent == taken, f'{kind}: {sent} sent, {taken} taken')
    return f'goes on, {sum(sent for sent, _ in events.values())} events, {lost} lost, {doubled} doubled'


def restored(vm, images):
    result = criu('restore', images, '-d')
    outcome = said(result)
    if not result.status:
        outcome['guest'] = goes_on(vm)
    return outcome


def refused(vm, images):
    """With what was touched meanwhile: a VM made for a trial is one, and it is this process's own."""
    before = processes()
    result, calls = traced_restore(images)
    outcome = said(result)
    outcome['touched'] = sorted({x.split(':')[0] for x in all_touched(calls)})
    outcome['vms'] = sum(name == 'ioctl' and rest.split(',')[1].strip() == KVM_CREATE_VM for name, rest in calls)
    outcome['left'] = sorted(left_of(before, 5))
    outcome['forked'] = 'Forking task' in result.log or is_alive(vm.pid)
    return outcome


def restore(folder, name, dumped, word):
    vm = come_back(folder, dumped)
    images = os.path.join(vm.dir, 'images')
    try:
        return restored(vm, images) if word == 'works' else refused(vm, images)
    finally:
        if is_alive(vm.pid):
            vm.kill()
        shutil.rmtree(vm.dir)


def run(folder, name, job):
    try:
        outcome = job()
    except Exception as e:  # the other jobs are still to be done
        outcome = {'failure': str(e) if isinstance(e, Failure) else f'{type(e).__name__}: {e}'}
    with open(os.path.join(folder, name + '.json'), 'w') as f:
        json.dump(outcome, f)
    print(f'{name}: {outcome.get("failure", "done")}', flush=True)


def main():
    action, folder, *words = sys.argv[1:]
    # What criu finds out of a kernel is done once; under strace it would fail.
    subprocess.run(['criu', 'check'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    jobs = [words[i:i + 3] for i in range(0, len(words), 3)]
    for n, (name, what, more) in enumerate(jobs):
        if action == 'dump':
            run(folder, name, lambda: dump(folder, name, what, more.split(',') if more else [], FIRST_PID + n * PIDS))
        else:
            run(folder, name, lambda: restore(folder, name, what, more))


main()
