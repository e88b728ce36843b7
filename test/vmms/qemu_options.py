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

from common import criu, read
from qemuvm import MEMORY, Process, Qemu, machine_options
from zdtmvm import Failure

WORK = '/tmp/vmms/options'
DISK = 'driver=file,node-name=disk,filename=disk,cache.direct=on'
USE_DISK = ['-device', 'virtio-blk-pci,drive=disk']
QMP = ['-qmp', 'unix:qmp.sock,server=on,wait=off']
RING = 'anon_inode:[io_uring]'
LOCKS = 'Some file locks are hold by dumping tasks! You can try --file-locks to dump them.'
UNPLUG = ('a device that reaches guest memory by itself: not supported by this version: unplug it, or have the VMM serve it '
          '(QEMU: vhost=off)')


class Row:
    """@error: the first error of the dump, PID for QEMU's, or None: it works, is restored, and QMP answers. @criu: options of it.
    @around: a context in which QEMU is dumped. @holds: a fd or mapping that it must have then; with @ring it may have io_uring."""

    def __init__(self, name, options, error=None, criu=(), around=None, holds=None, ring=False, base=None):
        self.name, self.options, self.error, self.criu = name, options, error, criu
        self.around, self.holds, self.ring = around, holds, ring
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


@contextlib.contextmanager
def reads_disk(vm):
    """QEMU opens a ring with the first request."""
    with vm.monitor() as monitor:
        monitor.execute('human-monitor-command', **{'command-line': 'qemu-io disk "read 0 4k"'})
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
    Row('aio=native', disk('locking=off,aio=native'), around=reads_disk, holds='/[aio] (deleted)'),
    Row('aio=io_uring', disk('locking=off,aio=io_uring'), f'Unknown shit 600 ({RING})', around=reads_disk, holds=RING, ring=True),
    Row('locking=auto', disk('aio=threads'), LOCKS),
    Row('locking=auto, --file-locks', disk('aio=threads'), criu=['--file-locks']),
    Row('pidfile', ['-pidfile', 'qemu.pid'], LOCKS),
    Row('pidfile, --file-locks', ['-pidfile', 'qemu.pid'], criu=['--file-locks']),
    Row('client of QMP', [], 'unix: External socket is used. Consider using --ext-unix-sk option.', around=connected),
    Row('client of QMP, --ext-unix-sk', [], "unix: Can't dump half of stream unix connection. name: qmp.sock; peer name: (null)",
        around=connected, criu=['--ext-unix-sk']),
    Row('TAP', ['-netdev', TAP, *NET], 'tun: Net namespace is required to dump tun link'),
    Row('vhost-net', ['-netdev', TAP + ',vhost=on', *NET], 'kvm_vgic: pid PID: /dev/vhost-net: ' + UNPLUG),
    Row('vhost-vsock', ['-device', 'vhost-vsock-pci,guest-cid=3'], 'kvm_vgic: pid PID: /dev/vhost-vsock: ' + UNPLUG),
    Row('serial pty', ['-serial', 'pty'], holds='/dev/ptmx'),
    Row('serial stdio', ['-serial', 'stdio']),
    Row('vnc', ['-vnc', '127.0.0.1:1']),
    Row('vnc, a client', ['-vnc', '127.0.0.1:1'], 'inet: Connected TCP socket, consider using --tcp-established option.',
        around=vnc_client),
    Row('vnc, a socket with a name', ['-vnc', 'unix:vnc.sock']),
    Row('sandbox', ['-sandbox', 'on']),
    Row('daemonize', ['-daemonize'], 'The root process PID is not a session leader. Consider using --shell-job option'),
    Row('daemonize, --shell-job', ['-daemonize'], criu=['--shell-job']),
    Row('dirty-ring-size', [], 'kvm_vgic: pid PID: a dirty ring: not supported by this version: use dirty '
        'bitmaps, or no dirty tracking', base=machine(accel='kvm,dirty-ring-size=4096')),
    Row('memory-backend-file', [], base=backend('memory-backend-file,mem-path=ram,share=on')),
    Row('memory-backend-memfd, huge pages', [], base=backend('memory-backend-memfd,hugetlb=on,share=on')),
    Row('snapshot', ['-drive', 'file=disk,format=raw,if=none,id=disk,snapshot=on,file.locking=off', *USE_DISK], LOCKS),
    Row('snapshot, --file-locks', ['-drive', 'file=disk,format=raw,if=none,id=disk,snapshot=on,file.locking=off', *USE_DISK],
        criu=['--file-locks']),
]


def set_ring(allowed):
    with open('/proc/sys/kernel/io_uring_disabled', 'w') as f:
        f.write('0' if allowed else '2')


def held(pid):
    """What its fds and mappings are of. One of a client that has just gone may vanish meanwhile."""
    links = re.findall(r'^(?:\S+ +){5}(.*)', read(f'/proc/{pid}/maps'), re.M)
    for fd in os.listdir(f'/proc/{pid}/fd'):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f'/proc/{pid}/fd/{fd}'))
    return links


def first_error(result):
    errors = re.findall(r'Error \([^)]*\): (.*)', result.log)
    return errors[0] if errors else result.output.strip()


def dump_and_restore(vm, row):
    """What became of it: the first error, or None."""
    os.mkdir(vm.images)
    with (row.around or contextlib.nullcontext)(vm):
        if row.holds and row.holds not in held(vm.process.pid):
            raise Failure(f'QEMU has no {row.holds}')
        result = criu('dump', vm.images, '-t', str(vm.process.pid), *row.criu)
    if result.status:
        vm.check_answers()
        return first_error(result).replace(f' {vm.process.pid}', ' PID')
    vm.remove_sockets()
    result = criu('restore', vm.images, '-d', *row.criu)
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
        good = said is None if row.error is None else bool(said and said == row.error)
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
