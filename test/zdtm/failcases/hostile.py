# SPDX-License-Identifier: GPL-2.0-only
"""A process that looks like another than it is, has more than anybody needs, or memory whose server stands still."""

import os
import re
import subprocess
import sys
import time

from common import SmallVm, Skip, criu, criu_ok, discard, finish, odd_vm, require
from cramped import works
from lives.kvm_signals import recover
from refusals import REFUSAL, refused

LIMIT = 30              # seconds, of a system call in the VMM and of a block of a file
DEVICE = '/dev/vhost-nothing'
VHOST = ': a device that reaches guest memory by itself: ' + REFUSAL


def names():
    try:
        works('hostile-names')
    finally:
        if os.path.exists(DEVICE):
            os.unlink(DEVICE)


def vhost_elsewhere():
    if subprocess.run(['modprobe', 'vhost_vsock'], check=False).returncode:
        raise Skip('this kernel has no vhost_vsock')
    refused('hostile-vhost-elsewhere', '/elsewhere' + VHOST)


def marked():
    """It says of itself that a criu has left it: nobody believes more of it than that."""
    with odd_vm('hostile-mark') as (vm, images, unharmed):
        result = criu('dump', images, '-t', str(vm.pid))
        result.require(result.status != 0 and 'left by a restore' in ''.join(result.errors), 'no error says that it is marked')
        unharmed.check(images)
        status, said = recover(vm.pid)
        require(status == 3 and 'left by a restore' in said, f'recover ended with {status}: {said}')
        unharmed.check(images)
        finish(vm)


def many_vms():
    """What criu learns of them is not multiplied by their fds: it has 192 MiB."""
    refused('hostile-many-vms', 'more than 64 VMs in a process: ' + REFUSAL, wrap=('prlimit', '--data=201326592'))


HOLDER = """
import os, resource, sys
nr = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (nr + 64, nr + 64))
fd = os.eventfd(0)
for _ in range(nr):
    os.dup(fd)
print("held", flush=True)
sys.stdin.read()
"""


def many_eventfds():
    """Of another process, and bound to nothing: criu, which has 64 MiB, learns nothing of them."""
    vm = SmallVm('kvm_irqfd', [])
    images = os.path.join(vm.dir, 'images')
    try:
        os.mkdir(images)
        vm.wait_moved(vm.stats())
        with subprocess.Popen([sys.executable, '-c', HOLDER, '600000'], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            require(holder.stdout.readline() == b'held\n', 'there are not so many fds')
            criu_ok('dump', images, '-t', str(vm.pid), wrap=('prlimit', '--data=67108864'))
            holder.stdin.close()
        criu_ok('restore', images, '-d')
        vm.wait_moved(vm.stats())
        finish(vm)
    finally:
        discard(vm)


def served(what, says):
    """The server is of the tree, and stands still: the dump fails in its time, and the VM goes on."""
    if subprocess.run(['modprobe', 'fuse'], check=False).returncode:
        raise Skip('this kernel has no FUSE')
    with odd_vm('hostile-' + what) as (vm, images, unharmed):
        try:
            start = time.monotonic()
            result = criu('dump', images, '-t', str(vm.pid))
            took = time.monotonic() - start
            result.require(result.status != 0, 'the dump succeeded')
            result.require(re.search(says, ''.join(result.errors)), f'no error says "{says}"')
            result.require(LIMIT <= took < 3 * LIMIT, f'it took {took:.0f} s')
            unharmed.check(images)
            finish(vm)
        finally:
            subprocess.run(['umount', '-l', os.path.join(vm.dir, 'fuse')], check=False)


def cases():
    yield 'hostile-names', 'main', names, ()
    yield 'hostile-kvm-elsewhere', 'main', works, ('hostile-kvm-elsewhere',)
    yield 'hostile-vhost-elsewhere', 'main', vhost_elsewhere, ()
    yield 'hostile-mark', 'main', marked, ()
    yield 'hostile-many-fds', 'main', works, ('hostile-many-fds',)
    yield 'hostile-many-files', 'main', refused, ('hostile-many-files', 'more than 4096 files')
    yield 'hostile-many-slots', 'main', works, ('hostile-many-slots',)
    yield 'hostile-many-vcpus', 'main', works, ('hostile-many-vcpus',)
    yield 'hostile-many-maps', 'main', refused, ('hostile-many-maps', 'more than 16 mappings of a vCPU: ' + REFUSAL)
    yield 'hostile-many-vms', 'main', many_vms, ()
    yield 'hostile-many-eventfds', 'main', many_eventfds, ()
    yield 'hostile-shared-table', 'main', works, ('hostile-shared-table',)
    yield 'hostile-thread-table', 'main', works, ('hostile-thread-table',)
    yield 'hostile-served-memory', 'main', served, ('served-memory', 'a file under a memslot cannot be read: no answer of its server')
    yield 'hostile-served-tables', 'main', served, ('served-tables', r'a system call in it does not return after 3\d s')
