# SPDX-License-Identifier: GPL-2.0-only
"""A dump that fails after kvm_run was swapped out: the VM goes on, and a later dump works."""

import contextlib
import os
import shutil
import subprocess
import tempfile

from common import OddVm, Unharmed, criu, criu_ok, discard, finish, work_dir
from zdtmvm import Vm, wait_gone

VCPUS = [2, 4]
TEST = 'kvm_vgic_v3'

kept = {}       # VMs by number of vCPUs: each goes through all failures, and then through a dump that works


def checking_vm(vcpus):
    if vcpus not in kept:
        kept[vcpus] = Vm(TEST, [f'--vcpus={vcpus}'])
        kept[vcpus].wait_moved(kept[vcpus].stats())
    return kept[vcpus]


@contextlib.contextmanager
def discarded_on_failure(vcpus):
    try:
        yield
    except BaseException:
        discard(kept.pop(vcpus))
        raise


def clean_up():
    while kept:
        discard(kept.popitem()[1])


def check_put_back(result):
    result.require(result.status != 0, 'the dump succeeded')
    result.require('kvm_run put back' in result.log, 'the log does not say that kvm_run was put back')


def failing(vcpus, *options, env=None, says=None):
    """One more dump of the VM of @vcpus that fails; @says is in the log."""
    vm = checking_vm(vcpus)
    with discarded_on_failure(vcpus), tempfile.TemporaryDirectory(dir=vm.dir) as images:
        unharmed = Unharmed(vm)
        result = criu('dump', images, '-t', str(vm.pid), *options, env=env)
        check_put_back(result)
        result.require(says in result.log, f'the log does not say "{says}"')
        unharmed.check(images)


def fault(vcpus, point):
    failing(vcpus, env={'KVM_VGIC_FAULT': point}, says='fault injected: ' + point)


def script_fails(vcpus):
    folder = work_dir('script')
    script = os.path.join(folder, 'script')
    with open(script, 'w') as f:
        f.write('#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" != post-dump ]\n')
    os.chmod(script, 0o755)
    try:
        failing(vcpus, '--action-script', script, says='One of more action scripts failed')
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def small_disk(size):
    folder = work_dir('disk')
    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'none', folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(['umount', folder], check=True)
        os.rmdir(folder)


def no_space(vcpus, size, swapped):
    """The images do not fit: of the plugin's those that are written first when @swapped is false, then those of vCPUs, then CRIU's."""
    vm = checking_vm(vcpus)
    with discarded_on_failure(vcpus), small_disk(size) as images:
        unharmed = Unharmed(vm)
        result = criu('dump', images, '-t', str(vm.pid), log=os.path.join(vm.dir, 'no-space.log'))
        result.require(result.status != 0, 'the dump succeeded')
        result.require('No space left on device' in result.log, 'the log does not say "No space left on device"')
        put_back = 'kvm_run put back' in result.log
        result.require(put_back == swapped, 'kvm_run was ' + ('swapped' if put_back else 'not swapped'))
        unharmed.check(images)


def undumpable(what, says):
    """The VMM holds something that CRIU itself cannot dump."""
    vm = OddVm(what)
    try:
        images = os.path.join(vm.dir, 'images')
        os.mkdir(images)
        unharmed = Unharmed(vm)
        result = criu('dump', images, '-t', str(vm.pid))
        check_put_back(result)
        result.require(says in result.log, f'the log does not say "{says}"')
        unharmed.check(images)
        finish(vm)
    finally:
        discard(vm)


def in_flight():
    """The VM's fd stands in the queue of a socket too: that much CRIU carries, where the VM's process is the first."""
    vm = OddVm('in-flight')
    try:
        images = os.path.join(vm.dir, 'images')
        os.mkdir(images)
        dump_and_restore(vm, images)
    finally:
        discard(vm)


def dump_and_restore(vm, images):
    criu_ok('dump', images, '-t', str(vm.pid))
    wait_gone(vm.pid)
    criu_ok('restore', images, '-d')
    vm.wait_moved(vm.stats())
    finish(vm)


def works_at_last(vcpus):
    vm = checking_vm(vcpus)
    images = os.path.join(vm.dir, 'images')
    with discarded_on_failure(vcpus):
        os.mkdir(images)
        dump_and_restore(vm, images)
    discard(kept.pop(vcpus))


def cases():
    for n in VCPUS:
        for point in ('swapped', 'dump-ext-file'):
            yield f'dump-fails-{point}-{n}-vcpus', 'main', fault, (n, point)
        yield f'dump-fails-post-dump-script-{n}-vcpus', 'main', script_fails, (n,)
        yield f'dump-fails-disk-full-early-{n}-vcpus', 'main', no_space, (n, '4k', False)
        yield f'dump-fails-disk-full-of-vcpus-{n}-vcpus', 'main', no_space, (n, '16k', True)
        yield f'dump-fails-disk-full-late-{n}-vcpus', 'main', no_space, (n, '160k', True)
        yield f'dump-after-failures-{n}-vcpus', 'main', works_at_last, (n,)
    yield 'dump-in-flight', 'main', in_flight, ()
    yield 'dump-fails-io-uring', 'main', undumpable, ('io-uring', 'send_fds failed')
    yield 'dump-fails-tcp', 'main', undumpable, ('tcp', '--tcp-established')
