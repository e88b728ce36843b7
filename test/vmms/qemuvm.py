# SPDX-License-Identifier: GPL-2.0-only
"""QEMU with a Linux guest: how it is started so that CRIU can dump it, its monitor, its dumps and restores."""

import contextlib
import ctypes
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

from common import criu_ok, read
from guestlog import KINDS, GuestLog
from zdtmvm import Failure, is_alive

GUEST = '/share/guest'
WORK = '/tmp/vmms/qemu'
DISK_SIZE = 8 << 20
MEMORY = '192M'
PR_SET_CHILD_SUBREAPER = 36
PRESSES = 5
FIRST_PID = 20000       # of QEMU: a restore on another boot finds it free


def machine_options(memory, size=MEMORY):
    """Guest memory in QEMU's own anonymous memory, or in a memfd as other processes want it that share it."""
    options = ['-machine', 'virt,gic-version=3,its=on' + (',memory-backend=ram' if memory == 'memfd' else '')]
    if memory == 'memfd':
        options += ['-object', f'memory-backend-memfd,id=ram,size={size},share=on']
    return ['-accel', 'kvm', '-cpu', 'host', '-m', size, *options, '-nodefaults', '-display', 'none']


def devices():
    """Paths are those of the folder it runs in. docs/vmms.md says why each option is as it is."""
    return ['-qmp', 'unix:qmp.sock,server=on,wait=off',
            '-chardev', 'socket,id=serial,path=serial.sock,server=on,wait=off,logfile=console.log,logappend=on',
            '-serial', 'chardev:serial',
            '-object', 'iothread,id=io',
            '-blockdev', 'driver=file,node-name=disk,filename=disk,locking=off,aio=threads,cache.direct=on',
            '-device', 'virtio-blk-pci,drive=disk,iothread=io',
            '-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile=',
            '-object', 'rng-random,id=rng,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng']


def linux_guest():
    # A character on the console takes the best part of a millisecond: load/ has the kernel talk more once it has booted.
    return ['-kernel', f'{GUEST}/Image', '-initrd', f'{GUEST}/initramfs', '-append', 'console=ttyAMA0 loglevel=4']


def prepare_host():
    """No io_uring: CRIU cannot dump its rings, and QEMU makes do without. What outlives its parent becomes our child."""
    with open('/proc/sys/kernel/io_uring_disabled', 'w') as f:
        f.write('2')
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.environ['TMPDIR'] = '/tmp'


class Monitor:
    """A client of QMP for as long as it is open."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(path)
        self.file = self.sock.makefile('rw')
        self.file.readline()
        self.execute('qmp_capabilities')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def execute(self, command, **arguments):
        self.file.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline() or '{"error": "QEMU has closed the monitor"}')
            if 'error' in answer:
                raise Failure(f'QMP {command}: {answer["error"]}')
            if 'return' in answer:
                return answer['return']


class Process:
    """QEMU in one of its lives, waited for in the background."""

    def __init__(self, pid, popen=None):
        self.pid, self.status = pid, None
        self.thread = threading.Thread(target=self.wait, args=(popen,), daemon=True)
        self.thread.start()

    def wait(self, popen):
        self.status = popen.wait() if popen else os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def end(self, seconds):
        """Its exit status."""
        self.thread.join(seconds)
        if self.status is None:
            raise Failure(f'QEMU does not end in {seconds} s')
        return self.status


class Qemu:
    """One virtual machine, across all its lives."""

    def __init__(self, directory, vcpus, options):
        self.dir, self.vcpus, self.options = directory, vcpus, options
        self.process = None
        self.images = os.path.join(directory, 'images')
        self.log = GuestLog(os.path.join(directory, 'console.log'), self.alive, self.how_ended,
                            [k for k in KINDS if k != 'ipi' or vcpus > 1])

    def alive(self):
        return self.process is not None and is_alive(self.process.pid)

    def how_ended(self):
        return f'status {self.process.end(60)}' if self.process else 'not started'

    def start(self):
        os.makedirs(self.dir)
        with open(os.path.join(self.dir, 'disk'), 'wb') as f:
            f.truncate(DISK_SIZE)
        with open('/proc/sys/kernel/ns_last_pid', 'w') as f:
            f.write(str(FIRST_PID))
        with open(os.path.join(self.dir, 'qemu.out'), 'wb') as out:
            popen = subprocess.Popen(['qemu-system-aarch64', '-smp', str(self.vcpus), *self.options], cwd=self.dir,
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        self.process = Process(popen.pid, popen)
        return self

    def said(self):
        with open(os.path.join(self.dir, 'qemu.out'), errors='replace') as f:
            return f.read().strip()

    def socket(self, name):
        return os.path.join(self.dir, name + '.sock')

    def monitor(self):
        """A new client of the monitor; QEMU may still be opening it."""
        for _ in range(600):
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                return Monitor(self.socket('qmp'))
            if not self.alive():
                raise Failure(f'QEMU has ended: {self.said()}')
            time.sleep(0.1)
        raise Failure('there is no monitor to connect to')

    def check_answers(self, expected='prelaunch'):
        """To a new client."""
        with self.monitor() as monitor:
            status = monitor.execute('query-status')['status']
        if status != expected:
            raise Failure(f'QEMU says of its guest: {status}')

    def ask(self):
        """By way of the serial console: a '?' in, a report out."""
        answered = self.log.wait_report('asked')
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.socket('serial'))
            sock.sendall(b'?')
            return answered()

    def wait_alone(self):
        """QEMU has noticed that the last client of its sockets is gone: CRIU dumps no connected ones."""
        end = time.monotonic() + 60
        while re.search(r' 0001 03 +\d+ (qmp|serial)\.sock$', read('/proc/net/unix'), re.M):
            if time.monotonic() > end:
                raise Failure('QEMU does not notice that a client is gone')
            time.sleep(0.05)

    def new_images(self):
        shutil.rmtree(self.images, ignore_errors=True)
        os.mkdir(self.images)

    def dump(self, *options, env=None):
        self.new_images()
        start = time.monotonic()
        criu_ok('dump', self.images, '-t', str(self.process.pid), *options, env=env)
        return time.monotonic() - start

    def remove_sockets(self):
        """CRIU binds them anew: the files of the old ones must not be in the way."""
        for path in glob.glob(os.path.join(self.dir, '*.sock')):
            os.unlink(path)

    def restore(self, *options, env=None):
        self.remove_sockets()
        start = time.monotonic()
        try:
            criu_ok('restore', self.images, '-d', *options, env=env)
        except Failure:
            self.reap_dead()
            raise
        taken = time.monotonic() - start
        self.process = Process(self.process.pid)
        return taken

    def reap_dead(self):
        """What criu has killed after a restore that failed is a child of ours. It must not have left one that lives."""
        end = time.monotonic() + 60
        with contextlib.suppress(ChildProcessError):
            while not os.waitpid(self.process.pid, os.WNOHANG)[0]:
                if time.monotonic() > end:
                    raise Failure(f'criu restore has failed, and left process {self.process.pid}')
                time.sleep(0.1)

    def image_size(self):
        return sum(map(os.path.getsize, glob.glob(os.path.join(self.images, '*.img'))))

    def press_power_button(self):
        """QEMU lets go of it after 100 ms. A guest that is slower to look than that misses it, and it is pressed again; but one
        that has lost its interrupt must not be helped for long."""
        next_press = presses = 0

        def noticed():
            nonlocal next_press, presses
            if time.monotonic() >= next_press:
                presses += 1
                if presses > PRESSES:
                    raise Failure(f'the guest does not notice its power button, which was pressed {PRESSES} times')
                with self.monitor() as monitor:
                    monitor.execute('system_powerdown')
                next_press = time.monotonic() + 10
            return self.log.says('load: power button')
        self.log.wait(noticed, 'the guest notices its power button')

    def end(self):
        status = self.process.end(120)
        self.log.check()
        if status:
            raise Failure(f'QEMU ends with status {status}: {self.said()}')

    def power_down(self):
        """The guest looks at its whole disk and goes; so does QEMU. Returns the guest's last report."""
        ended = self.log.wait_report('end')
        self.press_power_button()
        last = ended()
        self.end()
        return last

    def kill(self):
        if self.alive():
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.end(120)

    def check_works(self):
        """The guest answers on its console and works, and a new client of the monitor is answered."""
        report = self.log.wait_moved(self.ask())
        self.check_answers('running')
        return report

    def waits(self):
        """Of each thread, the function of the kernel that it sleeps in."""
        return [read(path) for path in sorted(glob.glob(f'/proc/{self.process.pid}/task/*/wchan'))] if self.alive() else []

    def keep_logs(self):
        """What a failure leaves, where it can be looked at."""
        print(f'QEMU said: {self.said()[:400] or "nothing"}; what its threads wait in: {", ".join(self.waits())}; the last lines of the guest:')
        print('\n'.join('   ' + x for x in self.log.lines()[-12:]), flush=True)
        if os.path.ismount('/share'):
            where = '/share/qemu-failure'
            shutil.rmtree(where, ignore_errors=True)
            shutil.copytree(self.dir, where, ignore=shutil.ignore_patterns('*.sock', 'pages-*', 'disk'))
            print(f'logs and images without memory are in the folder of --share: {os.path.basename(where)}', flush=True)


def new_vm(vcpus, memory):
    """The one that is tested, not yet started."""
    shutil.rmtree(WORK, ignore_errors=True)
    version = subprocess.run(['qemu-system-aarch64', '--version'], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    print(f'{version}; {vcpus} vCPUs, guest memory {memory}', flush=True)
    return Qemu(WORK, vcpus, machine_options(memory) + devices() + linux_guest())
