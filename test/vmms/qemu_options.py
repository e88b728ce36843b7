# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's options of which CRIU or the plugin has to be told, or which cannot be dumped: each is tried.

The machine waits for its guest (-S): what is tried is around it. docs/vmms.md has the table. A row works, or the first
error is the one that it names.
"""

import contextlib
import os
import re
import shutil
import socket
import struct
import subprocess
import time

from common import criu
from qemuvm import MEMORY, Process, Qemu, machine_options
from zdtmvm import Failure

WORK = '/tmp/vmms/options'
DISK = 'driver=file,node-name=disk,filename=disk,cache.direct=on'
USE_DISK = ['-device', 'virtio-blk-pci,drive=disk']
QMP = ['-qmp', 'unix:qmp.sock,server=on,wait=off']
RING = r"Can't dump file \d+ of that type \[\w+\] \(unknown /dev/\S+\)"


class Row:
    """@error: a pattern of the first error of the dump, or None: it works, is restored, and QMP answers.
    @dump, @restore: options of criu. @around: a context, with QEMU's folder, in which QEMU is dumped."""

    def __init__(self, name, options, error=None, dump=(), restore=(), around=None, ring=False, base=None):
        self.name, self.options, self.error = name, options, error
        self.dump, self.restore, self.around, self.ring = dump, restore, around, ring
        self.base = base or machine_options('anon')


@contextlib.contextmanager
def connected(vm):
    """A client of the monitor."""
    with vm.monitor():
        yield


@contextlib.contextmanager
def vnc_client(vm):
    with socket.create_connection(('127.0.0.1', 5901)) as sock:
        sock.recv(12)
        yield


def disk(more):
    return ['-blockdev', f'{DISK},{more}', *USE_DISK]


def machine(accel='kvm', more='', memory=None):
    options = machine_options('anon')
    options[options.index('kvm')] = accel
    options[options.index('-machine') + 1] += more
    return options + (memory or [])


def backend(kind):
    return machine(more=',memory-backend=ram', memory=['-object', f'{kind},id=ram,size={MEMORY}'])


TAP = 'tap,id=net,ifname=tap0,script=no,downscript=no'
NET = ['-device', 'virtio-net-pci,netdev=net,romfile=']
ROWS = [
    Row('none', []),
    Row('aio=threads', disk('locking=off,aio=threads')),
    Row('aio=native', disk('locking=off,aio=native')),
    Row('aio=io_uring', disk('locking=off,aio=io_uring'), 'X', ring=True),
    Row('iothread, with io_uring', ['-object', 'iothread,id=io'], 'X', ring=True),
    Row('main loop, with io_uring', [], 'X', ring=True),
    Row('locking=auto', disk('aio=threads'), 'X'),
    Row('locking=auto, --file-locks', disk('aio=threads'), 'X', dump=['--file-locks'], restore=['--file-locks']),
    Row('pidfile', ['-pidfile', 'qemu.pid'], 'X'),
    Row('pidfile, --file-locks', ['-pidfile', 'qemu.pid'], dump=['--file-locks'], restore=['--file-locks']),
    Row('client of QMP', [], 'X', around=connected),
    Row('client of QMP, --ext-unix-sk', [], 'X', around=connected, dump=['--ext-unix-sk'], restore=['--ext-unix-sk']),
    Row('TAP', ['-netdev', TAP, *NET], 'X'),
    Row('vhost-net', ['-netdev', TAP + ',vhost=on', *NET], 'X'),
    Row('vhost-vsock', ['-device', 'vhost-vsock-pci,guest-cid=3'], 'X'),
    Row('serial pty', ['-serial', 'pty'], 'X'),
    Row('serial stdio', ['-serial', 'stdio']),
    Row('vnc, nobody connected', ['-vnc', '127.0.0.1:1']),
    Row('vnc client', ['-vnc', '127.0.0.1:1'], 'X', around=vnc_client),
    Row('vnc unix', ['-vnc', 'unix:vnc.sock']),
    Row('sandbox', ['-sandbox', 'on']),
    Row('daemonize', ['-daemonize']),
    Row('dirty-ring-size', [], 'X', base=machine(accel='kvm,dirty-ring-size=4096')),
    Row('memory-backend-file', [], base=backend('memory-backend-file,mem-path=ram,share=on')),
    Row('memory-backend-memfd, huge pages', [], base=backend('memory-backend-memfd,hugetlb=on,share=on')),
    Row('snapshot', ['-drive', 'file=disk,format=raw,if=none,id=disk,snapshot=on,file.locking=off', *USE_DISK], 'X'),
]


def set_ring(allowed):
    with open('/proc/sys/kernel/io_uring_disabled', 'w') as f:
        f.write('0' if allowed else '2')


def first_error(result):
    errors = re.findall(r'Error \([^)]*\): (.*)', result.log)
    return errors[0] if errors else result.output.strip()


def dump_and_restore(vm, row):
    """What became of it: the first error, or None."""
    os.mkdir(vm.images)
    with (row.around or contextlib.nullcontext)(vm):
        result = criu('dump', vm.images, '-t', str(vm.process.pid), *row.dump)
    if result.status:
        vm.check_answers()
        return first_error(result)
    vm.remove_sockets()
    result = criu('restore', vm.images, '-d', *row.restore)
    if result.status:
        return 'restore: ' + first_error(result)
    vm.process = Process(vm.process.pid)
    vm.check_answers()
    return None


def daemon_of(vm):
    """The process that -daemonize leaves: the one that has bound the monitor."""
    if vm.process.end(60):
        raise Failure(f'QEMU does not start: {vm.said()}')
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(vm.socket('qmp'))
        return Process(struct.unpack('3i', sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def try_row(row):
    shutil.rmtree(WORK, ignore_errors=True)
    vm = Qemu(WORK, 1, row.base + QMP + ['-S'] + row.options)
    set_ring(row.ring)
    try:
        vm.start()
        if '-daemonize' in row.options:
            vm.process = daemon_of(vm)
        vm.check_answers()
        return dump_and_restore(vm, row)
    finally:
        vm.kill()


def run_row(row):
    start = time.monotonic()
    try:
        said = try_row(row)
        good = said is None if row.error is None else bool(said and re.fullmatch(row.error, said))
    except (Failure, OSError) as e:
        said, good = f'{type(e).__name__}: {e}', False
    print(f'{"ok" if good else "NOT OK":6} {row.name:32} {time.monotonic() - start:3.0f} s  {said or "works"}', flush=True)
    return good


def run(args):
    subprocess.run(['modprobe', '-a', 'tun', 'vhost_net', 'vhost_vsock'], check=True)
    with open('/proc/sys/vm/nr_hugepages', 'w') as f:
        f.write('200')
    rows = [row for row in ROWS if not args.only or row.name in args.only]
    good = [run_row(row) for row in rows]
    print(f'options: {sum(good)} passed, {len(good) - sum(good)} failed, 0 skipped')
    return bool(rows) and all(good)
