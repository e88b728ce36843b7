# SPDX-License-Identifier: GPL-2.0-only
"""A VMM in a pid and a mount namespace: as their process 1, and as a child of it. And no /dev/kvm there at restore."""

import atexit
import os
import stat
import subprocess
import sys
import time

import lives
from common import SmallVm, criu, discard, finish, read, require, work_dir
from zdtmvm import HERE, wait_gone


def make_device(path, number):
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(*number))


def make_namespace():
    """A folder with all that its mounts are made of."""
    folder = work_dir('ns')
    root = os.path.join(folder, 'root')
    for name in ('root', 'dev', 'no-kvm'):
        os.mkdir(os.path.join(folder, name))
    for name in ('dev', 'no-kvm'):
        make_device(os.path.join(folder, name, 'null'), (1, 3))
    make_device(os.path.join(folder, 'dev', 'kvm'), (10, 232))
    subprocess.run(['mount', '--bind', '/', root], check=True)
    atexit.register(subprocess.run, ['umount', '-l', root], check=False)
    # It is the host's own: nobody may remove what is in it.
    subprocess.run(['mount', '-o', 'remount,bind,ro', root], check=True)
    return folder


class NsVm(SmallVm):
    def __init__(self, name, options, folder):
        self.wrap = [sys.executable, os.path.join(HERE, 'lives', 'enter_ns.py'), folder]
        super().__init__(name, options)


def tasks_left():
    """Processes of this test, whatever namespace they are in."""
    left = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if os.readlink(f'/proc/{pid}/exe').endswith('/kvm_pidns'):
                left.append(int(pid))
        except OSError:
            pass
    return left


class Lives(lives.Lives):
    options = ['--child=0']
    dump_options = ['--external', 'mnt[/dev]:dev', '--external', 'mnt[/tmp]:tmp']

    def start(self, name):
        self.folder = make_namespace()
        return NsVm(name, self.options, self.folder)

    def mounts(self, dev):
        return ['--root', os.path.join(self.folder, 'root'), '--external', 'mnt[tmp]:/tmp',
                '--external', f'mnt[dev]:{os.path.join(self.folder, dev)}']

    def restore_ok(self, images, *options):
        """Pids of the host are others after it."""
        pidfile = os.path.join(images, 'restored.pid')
        result = criu('restore', images, '-d', '--pidfile', pidfile, *self.mounts('dev'), *options)
        result.require(result.status == 0, f'criu restore failed with {result.status}')
        self.vm.pid = int(read(pidfile))
        self.check_parts()
        return result

    def no_kvm(self):
        """Where the namespace has no /dev/kvm: refused, and no harm done to the images."""
        images = self.images()
        self.dump_ok(images)
        wait_gone(self.vm.pid)
        result = criu('restore', images, '-d', *self.mounts('no-kvm'), log=os.path.join(images, 'no-kvm.log'))
        result.require(result.status != 0, 'the restore succeeded')
        for says in ('/dev/kvm: No such file or directory', 'give the restored process access to'):
            result.require(any(says in x for x in result.errors), f'no error says "{says}"')
        end = time.monotonic() + 10
        while tasks_left() and time.monotonic() < end:
            time.sleep(0.02)
        require(not tasks_left(), f'tasks left: {tasks_left()}')
        self.restore_ok(images)
        self.goes_on()

    def more(self):
        self.no_kvm()
        finish(self.vm)
        discard(self.vm)
        self.vm = NsVm('kvm_pidns', ['--child=1'], self.folder)
        for life in [*super().lives(), self.no_kvm]:
            life()
