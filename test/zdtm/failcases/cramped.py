# SPDX-License-Identifier: GPL-2.0-only
"""A process that has come to one of its limits: it is dumped, or the limit is named and nothing has happened to it."""

import contextlib
import os
import re
import subprocess

from cgroup import Cgroup, has_controller
from common import OddVm, Skip, Unharmed, criu, criu_ok, discard, finish, odd_vm, read, work_dir
from refusals import REFUSAL, check_error, refused
from zdtmvm import wait_gone

# The oddity, as kvm_vgic_refused knows it, and what the one error line must say.
REFUSED = [
    ('address-space', 'left by its RLIMIT_AS, of the '),
    ('data', 'left by its RLIMIT_DATA, of the '),
    ('memlock', 'no more of its memory may be locked: raise RLIMIT_MEMLOCK'),
    ('no-text', 'it has no private executable mapping in which code could stand for a while'),
    ('shared-text', 'its first executable mapping is shared and not writable, and CRIU cannot put code there: ' + REFUSAL),
    ('stack', 'no room for a signal frame below its stack pointer '),
]
WORKS = ['seccomp', 'vdso-alone']
CGROUP = Cgroup('cramped', 'memory')
ROOM = 512 << 10        # bytes that a memory cgroup has left


def works(what):
    vm = OddVm(what)
    try:
        dump_and_restore(vm)
    finally:
        discard(vm)


def dump_and_restore(vm):
    images = os.path.join(vm.dir, 'images')
    os.mkdir(images)
    criu_ok('dump', images, '-t', str(vm.pid))
    wait_gone(vm.pid)
    criu_ok('restore', images, '-d')
    vm.wait_moved(vm.stats())
    finish(vm)


@contextlib.contextmanager
def sysctl(name, value):
    path = os.path.join('/proc/sys', name)
    before = read(path)
    with open(path, 'w') as f:
        f.write(str(value))
    try:
        yield
    finally:
        with open(path, 'w') as f:
            f.write(before)


def too_many_mappings():
    """As many as there may be, and then as many as the message asks for. The limit is that of all processes: the VMM has more than criu."""
    with odd_vm('cramped-mappings') as (vm, images, unharmed):
        with sysctl('vm/max_map_count', len(read(f'/proc/{vm.pid}/maps').splitlines())):
            result = criu('dump', images, '-t', str(vm.pid))
            check_error(result, 'are more than vm.max_map_count: ' + REFUSAL)
        unharmed.check(images)
        with sysctl('vm/max_map_count', re.search(r'sysctl vm.max_map_count=(\d+)', result.errors[0])[1]):
            criu_ok('dump', images, '-t', str(vm.pid))
        criu_ok('restore', images, '-d')
        vm.wait_moved(vm.stats())
        finish(vm)


def full_shm():
    """Nothing of a dump is put there."""
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4k', 'none', '/dev/shm'], check=True)
    try:
        with open('/dev/shm/full', 'w') as f:
            f.write('x' * 4096)
        works('none')
    finally:
        subprocess.run(['umount', '/dev/shm'], check=True)


class InCgroup(OddVm):
    """Whose memory is on the cgroup's account."""

    wrap = ['sh', '-c', f'echo $$ >{CGROUP.path}/cgroup.procs && exec "$0" "$@"']


def full_cgroup():
    """The kernel would kill it."""
    if not has_controller('memory'):
        raise Skip('this host has no memory cgroups')
    with CGROUP:
        vm = InCgroup('none')
        try:
            images = work_dir('images')
            unharmed = Unharmed(vm)
            CGROUP.write('memory.max', int(CGROUP.read('memory.current')) + ROOM)
            check_error(criu('dump', images, '-t', str(vm.pid)), f'left of memory.max of its cgroup /{CGROUP.name}, of the ')
            unharmed.check(images)
            CGROUP.write('memory.max', 'max')
            dump_and_restore(vm)
        finally:
            discard(vm)


def cases():
    for what, says in REFUSED:
        yield 'cramped-' + what, 'main', refused, ('cramped-' + what, says)
    for what in WORKS:
        yield 'cramped-' + what, 'main', works, ('cramped-' + what,)
    yield 'cramped-mappings', 'main', too_many_mappings, ()
    yield 'cramped-shm', 'main', full_shm, ()
    yield 'cramped-cgroup', 'main', full_cgroup, ()
