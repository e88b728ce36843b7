# SPDX-License-Identifier: GPL-2.0-only
"""On a host without KVM the installed plugin is in nobody's way."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

from common import Skip, bpf_ids, check_nothing_left, criu, criu_ok, left_of, processes, require, work_dir

THREADS = '''
import sys, threading, time
counts = [0] * 3
def count(i):
    while True:
        counts[i] += 1
        time.sleep(0.005)
for i in range(3):
    threading.Thread(target=count, args=(i,), daemon=True).start()
while True:
    with open(sys.argv[1], "w") as f:
        print(*counts, file=f)
    time.sleep(0.02)
'''
SHELL = 'n=0; while :; do n=$((n + 1)); echo $n $n $n >"$1"; sleep 0.02; done'
PIPE = 'n=0; while read -r line; do n=$((n + 1)); echo $n $n $n >"$1"; done < <(while :; do echo x; sleep 0.02; done)'


def no_kvm():
    if os.path.exists('/dev/kvm'):
        raise Skip('this host has /dev/kvm')


def counts(path):
    """The numbers in the file, once all of a line is there."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            with open(path) as f:
                words = f.read().split()
            if len(words) == 3:
                return [int(x) for x in words]
        except OSError:
            pass
        time.sleep(0.01)
    return [0, 0, 0]


def goes_on(path):
    old = counts(path)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if all(a > b for a, b in zip(counts(path), old)):
            return True
        time.sleep(0.02)
    return False


def plain(command, name):
    """A plain process goes through --leave-running, dump and restore."""
    no_kvm()
    folder = work_dir(name)
    path = os.path.join(folder, 'counts')
    images = [os.path.join(folder, 'first'), os.path.join(folder, 'second')]
    for x in images:
        os.mkdir(x)
    with open(os.path.join(folder, 'out'), 'wb') as out:
        process = subprocess.Popen(command + [path], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder,
                                   start_new_session=True)
    pid, bpf = process.pid, bpf_ids()
    try:
        require(goes_on(path), 'it does not run')
        criu_ok('dump', images[0], '-t', str(pid), '-R')
        require(goes_on(path), 'it does not go on after a dump with -R')
        # A dump is over when no process is left, and this one is our child.
        reaper = threading.Thread(target=process.wait)
        reaper.start()
        criu_ok('dump', images[1], '-t', str(pid))
        reaper.join()
        result = criu_ok('restore', images[1], '-d')
        require(goes_on(path), 'it does not go on after the restore')
        result.require(not result.errors, 'the plugin has something to say')
        for x in images:
            check_nothing_left(x, bpf)
    finally:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.poll()
        shutil.rmtree(folder, ignore_errors=True)


def restore_vm(share):
    """A VM's images, dumped on a host with KVM: one clear error, and nothing left."""
    no_kvm()
    kept = os.path.join(share or '', 'dumped')
    if not os.path.isdir(kept):
        raise Skip('no images of a boot with KVM')
    with open(kept + '.path') as f:
        folder = f.read()
    shutil.copytree(kept, folder)
    images, bpf, before = os.path.join(folder, 'images'), bpf_ids(), processes()
    result = criu('restore', images, '-d')
    result.require(result.status != 0, 'the restore succeeded')
    result.require(len(result.errors) == 1, f'{len(result.errors)} error lines of the plugin, one expected')
    result.require('/dev/kvm: No such file or directory' in result.errors[0], 'the error does not name /dev/kvm')
    require(not left_of(before), f'tasks left: {left_of(before)}')
    check_nothing_left(images, bpf)
    shutil.rmtree(folder)


def cases():
    yield 'no-kvm-shell', 'nokvm', plain, (['/bin/bash', '-c', SHELL, 'shell'], 'shell')
    yield 'no-kvm-pipe', 'nokvm', plain, (['/bin/bash', '-c', PIPE, 'pipe'], 'pipe')
    yield 'no-kvm-python-threads', 'nokvm', plain, ([sys.executable, '-c', THREADS], 'python')
    yield 'no-kvm-restore-of-a-vm', 'nokvm', restore_vm, ('share',)
